"""ONNX operators that act element by element: activations, arithmetic, comparisons."""

from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.onnx_extent import follows, worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import FORMATS, OTHER, Value
from archcalc.layers import Activation, Clamp, Combine, Compare, Dropout, Identity, PReLU, Where

PLAIN = {  # operators without attributes that count
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Selu": "selu",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish",
    "Mish": "mish",
    "Abs": "abs",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Neg": "negative",
    "Reciprocal": "reciprocal",
    "Sin": "sin",
    "Cos": "cos",
    "Erf": "erf",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sign": "sign",
}
WITH_ALPHA = {"LeakyRelu": ("leaky_relu", 0.01), "Elu": ("elu", 1.0), "Celu": ("celu", 1.0),
              "ThresholdedRelu": ("threshold", 1.0)}  # fmt: skip
JOINS = {"Add": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "Sum": "add", "Max": "maximum",
         "Min": "minimum", "And": "minimum", "Or": "maximum"}  # fmt: skip
RELATIONS = {"Less": "less", "LessOrEqual": "less_equal", "Greater": "greater", "GreaterOrEqual": "greater_equal",
             "Equal": "equal", "Xor": "not_equal"}  # fmt: skip
TURNED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}
POWERS = {2.0: "square", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal"}


def activation(op: Op) -> Value:
    return op.add(Activation, op.data(0), function=PLAIN[op.kind])


def activation_with_alpha(op: Op) -> Value:
    function, default = WITH_ALPHA[op.kind]
    return op.add(Activation, op.data(0), function=function, alpha=op.real("alpha", default))


def gelu(op: Op) -> Value:
    form = op.word("approximate", "none")
    return op.add(Activation, op.data(0), function="gelu_tanh" if form == "tanh" else "gelu")


def swish(op: Op) -> Value:
    if op.real("alpha", 1.0) != 1:
        raise NotUnderstood("its alpha is not 1")
    return op.add(Activation, op.data(0), function="silu")


def shrink(op: Op) -> Value:
    edge, bias = op.real("lambd", 0.5), op.real("bias", 0.0)
    if bias not in (0.0, edge):
        raise NotUnderstood("its bias is neither 0 nor lambd")
    return op.add(Activation, op.data(0), function="softshrink" if bias else "hardshrink", alpha=edge)


def prelu(op: Op) -> Value:
    x, slope = op.data(0), op.value(1)
    if not slope.constant:
        raise NotUnderstood("its slope is computed")
    channels = x.sizes[1] if x.rank > 1 else 0
    ahead = (1,) * (x.rank - slope.rank) + slope.sizes
    each = slope.elements > 1
    if each and (slope.elements != channels or ahead[1:2] != (channels,)):
        raise NotUnderstood("its slopes are not one for each channel")
    return op.add(PReLU, x, tensors={"weight": slope}, per_channel=each)


def clip(op: Op) -> Value:
    if op.version < 11:
        low, high = op.real("min", -3.4e38), op.real("max", 3.4e38)
        bounds: list[float | None] = [low if low > -3e38 else None, high if high < 3e38 else None]
    else:
        bounds = [bound(op, 1), bound(op, 2)]
    x = op.data(0)
    if bounds == [0.0, 6.0]:
        return op.add(Activation, x, function="relu6")
    if bounds == [None, None]:
        return op.add(Identity, x)
    return op.add(Clamp, x, low=bounds[0], high=bounds[1])


def bound(op: Op, number: int) -> float | None:
    """A bound of a clip, if it is given."""
    value = op.given(number)
    if value is None:
        return None
    if value.elements != 1:
        raise op.error("a bound must be one number", f"{value.elements}")
    return scalar(value) if value.numbers else 0.0


def scalar(value: Value) -> float:
    """The number that a constant of one value is; 1 where it is not kept."""
    number = worth(value.numbers.items[0]) if value.numbers else 1.0
    return float(number) if abs(number) < 1e38 else 1.0


def lone(value: Value, other: Value) -> bool:
    """Is it one constant number that does not change the other's shape?"""
    return value.constant and prod(map(worth, value.sizes)) == 1 and value.rank <= other.rank and not other.constant


def arithmetic(op: Op) -> Value:
    """Two inputs or more; a constant number is a shift or a scale."""
    function, values = JOINS[op.kind], [op.value(number) for number in range(len(op.inputs))]
    if len(values) == 1:
        return op.add(Identity, values[0])
    if len(values) == 2:
        a, b = values
        made = one_number(op, function, a, b)
        if made is None and function in ("add", "multiply"):
            made = one_number(op, function, b, a)
        if made is not None:
            return made
        if function == "divide" and lone(a, b) and a.numbers and a.numbers.items[0] == 1:
            return op.add(Activation, b, function="reciprocal")
    return op.joined(Combine, *values, function=function)


def one_number(op: Op, function: str, x: Value, number: Value) -> Value | None:
    """A sum, difference or product with one constant number."""
    if not lone(number, x) or function not in ("add", "subtract", "multiply"):
        return None
    alpha = scalar(number)
    if function == "multiply":
        return op.add(Activation, x, function="scale", alpha=alpha)
    return op.add(Activation, x, function="shift", alpha=alpha if function == "add" else -alpha)


def mean(op: Op) -> Value:
    values = [op.value(number) for number in range(len(op.inputs))]
    if len(values) == 1:
        return op.add(Identity, values[0])
    total = op.joined(Combine, *values, function="add")
    return op.add(Activation, total, function="scale", alpha=1 / len(values))


def power(op: Op) -> Value:
    x, exponent = op.value(0), op.value(1)
    if not lone(exponent, x):
        raise NotUnderstood("its exponent is no constant number")
    alpha = scalar(exponent)
    if alpha in POWERS:
        return op.add(Activation, x, function=POWERS[alpha])
    return op.add(Identity, x) if alpha == 1 else op.add(Activation, x, function="power", alpha=alpha)


def comparison(op: Op) -> Value:
    relation, a, b = RELATIONS[op.kind], op.value(0), op.value(1)
    if lone(b, a):
        return op.add(Compare, a, relation=relation, value=scalar(b))
    if lone(a, b):
        return op.add(Compare, b, relation=TURNED.get(relation, relation), value=scalar(a))
    return op.joined(Compare, a, b, relation=relation)


def negation(op: Op) -> Value:
    """What does not hold: what is equal to 0."""
    return op.add(Compare, op.data(0), relation="equal", value=0.0)


def where(op: Op) -> Value:
    return op.joined(Where, *(op.value(number) for number in range(3)))


def identity(op: Op) -> Value:
    """Hand the value on, a constant without a row."""
    x = op.value(0)
    return x if x.constant else op.add(Identity, x)


def cast(op: Op) -> Value:
    """Another number format: no operation is counted."""
    x = op.value(0)
    if not x.constant:
        return op.add(Identity, x)
    form = FORMATS.get(op.whole("to", 1), OTHER) if op.kind == "Cast" else FORMATS[1]
    numbers = x.numbers
    if numbers is not None:
        if form.name == "bool":
            numbers = (
                None
                if any(map(follows, numbers.items))
                else type(numbers)(numbers.shape, tuple(map(bool, numbers.items)))
            )
        elif not form.real and any(isinstance(n, float) and not abs(n) < 2**63 for n in numbers.items):
            numbers = None
        else:
            items: tuple[Any, ...] = numbers.items if form.real else tuple(map(toward_zero, numbers.items))
            numbers = type(numbers)(numbers.shape, items, form.real)
    return Value(x.shape, None, numbers, x.tensor, form.name if form.name != "float32" else None)


def toward_zero(number: Any) -> Any:
    """A number without its fraction; sizes are not negative."""
    return number // 1 if follows(number) else int(number)


def dropout(op: Op) -> list[Value]:
    x = op.value(0)
    if x.constant:
        return [x, Value(x.shape, None, dtype="bool")]
    given = op.given(1)
    rate = op.real("ratio", 0.5) if op.version < 12 or given is None else scalar(given) if given.numbers else 0.5
    made = op.add(Dropout, x, function="dropout", rate=min(max(rate, 0.0), 1.0))
    return [made, Value(made.shape, None, dtype="bool")]  # its mask holds ones at inference
