"""ONNX operators for sequences: recurrent layers, attention, Einsum."""

from typing import Any

from archcalc.dialects.onnx_extent import worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import Value
from archcalc.errors import LayerError
from archcalc.layers import Attention, Concat, Einsum, Permute, Recurrent, Slice
from archcalc.layers.recurrent import CELLS

USUAL = {"LSTM": ("sigmoid", "tanh", "tanh"), "GRU": ("sigmoid", "tanh"), "RNN": ("tanh",)}
PEEPHOLES = 7  # the input of an LSTM that looks into its memory


def recurrent(op: Op) -> list[Value]:
    """One layer over a sequence, in one or two directions; outputs are the steps' states, and the last ones."""
    x, turned = op.value(0), bool(op.whole("layout", 0))
    if x.rank != 3:
        raise op.error("the input must have three axes", f"{x.rank}")
    fields = recurrent_fields(op)
    directions, units = 2 if fields["bidirectional"] else 1, fields["units"]
    tensors = recurrent_tensors(op, x, directions, units, CELLS[fields["function"]].gates)
    if not turned:
        x = op.add(Permute, x, order=(1, 0, 2), whole=True)
    made = op.add(Recurrent, x, tensors=tensors, biases=2 if "bias" in tensors else 0, **fields)
    outputs = [steps(op, made, directions, units, turned=turned) if op.used[0] else made]
    if any(op.used[1:]):
        outputs += [last(op, made, directions, units, turned=turned)] * (len(op.used) - 1)
    return outputs


def recurrent_fields(op: Op) -> dict[str, Any]:
    """The fields of the kind, where it does what the operator does."""
    way = op.word("direction", "forward")
    directions = 2 if way == "bidirectional" else 1
    names = op.attribute("activations", "strings", (8,))
    functions = tuple(name.decode("utf-8", "replace").lower() for name in names or ())
    if functions not in ((), USUAL[op.kind] * directions) and not (op.kind == "RNN" and set(functions) == {"relu"}):
        raise NotUnderstood("its activations are not the usual ones")
    if op.given(PEEPHOLES) is not None or op.attribute("clip", "f", (1,)) or op.whole("input_forget", 0):
        raise NotUnderstood("it has peepholes, a clip or coupled gates")
    fields: dict[str, Any] = {
        "function": op.kind.lower(),
        "units": op.whole("hidden_size"),
        "bidirectional": directions == 2,
    }
    if op.kind == "GRU":
        fields["reset_after"] = bool(op.whole("linear_before_reset", 0))
    if op.kind == "RNN" and "relu" in functions:
        fields["nonlinearity"] = "relu"
    return fields


def recurrent_tensors(op: Op, x: Value, directions: int, units: int, gates: int) -> dict[str, Value]:
    """The file's tensors, each of which holds several of the kind's."""
    rows = gates * units
    tensors = {
        "input weights": op.checked(op.value(1), (directions, rows, worth(x.sizes[2])), "weight"),
        "state weights": op.checked(op.value(2), (directions, rows, units), "recurrence weight"),
    }
    bias = op.given(3)
    return tensors if bias is None else tensors | {"bias": op.checked(bias, (directions, 2 * rows), "bias")}


def steps(op: Op, made: Value, directions: int, units: int, *, turned: bool) -> Value:
    """Every step's state: (length, directions, batch, units), or with the batch first."""
    batch, length, _ = made.sizes
    apart = op.reshaped(made, (batch, length, directions, units))
    return apart if turned else op.add(Permute, apart, order=(1, 2, 0, 3), whole=True)


def last(op: Op, made: Value, directions: int, units: int, *, turned: bool) -> Value:
    """The last state of each direction, which runs backwards in the second."""
    if directions == 1:
        state = op.add(Slice, made, axis=1, start=-1)
    else:
        ends = []
        for number, (start, stop) in enumerate(((-1, None), (0, 1))):
            end = op.add(Slice, made, axis=1, start=start, stop=stop)
            ends.append(op.add(Slice, end, axis=2, start=number * units, stop=(number + 1) * units))
        state = op.add(Concat, *ends, axis=1)
    return state if turned else op.add(Permute, state, order=(1, 0, 2), whole=True)


def attention(op: Op) -> list[Value]:
    """Queries, keys and values, with the heads as an axis or inside the features; a mask is added to the scores."""
    query, key, value = (op.data(number) for number in range(3))
    mask = op.given(3)
    if any(op.given(number) is not None for number in (4, 5, 6)) or any(op.used[1:]):
        raise NotUnderstood("it keeps or takes keys of earlier steps")
    if op.real("softcap", 0.0):
        raise NotUnderstood("its scores are capped")
    fields: dict[str, Any] = {"causal": bool(op.whole("is_causal", 0))}
    if query.rank == 3:
        fields |= {"heads": op.whole("q_num_heads"), "kv_heads": op.whole("kv_num_heads")}
        if fields["heads"] == fields["kv_heads"]:
            del fields["kv_heads"]
    if fields["causal"] and worth(query.sizes[-2]) != worth(key.sizes[-2]):
        raise NotUnderstood("its causal mask starts at the first of more keys than queries")
    masks = [] if mask is None else [op.lifted(op.made(mask), 4)]
    try:
        return [op.add(Attention, query, key, value, *masks, **fields)]
    except LayerError as error:
        raise NotUnderstood(f"{error.rule}, {error.got}") from None


def einsum(op: Op) -> Value:
    """A product of two inputs, where its letters go as the kind has them."""
    values = [op.value(number) for number in range(len(op.inputs))]
    if len(values) != 2:
        raise NotUnderstood("it has other than two inputs")
    equation = op.word("equation", "").replace(" ", "")
    if "->" not in equation:
        letters = "".join(sorted(letter for letter in set(equation) - {","} if equation.count(letter) == 1))
        equation = f"{equation}->{letters}"
    try:
        return op.add(Einsum, *values, equation=equation)
    except LayerError as error:
        raise NotUnderstood(f"{error.rule}, {error.got}") from None
