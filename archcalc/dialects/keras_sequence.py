"""Keras layers over sequences: recurrent ones, attention, and wrappers that apply a layer to each step or both ways."""

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc import layers
from archcalc.dialects.keras_config import Config
from archcalc.dialects.keras_layers import READERS, kept, of_keras, reads
from archcalc.dialects.keras_moves import mean, reshaped
from archcalc.dialects.keras_weave import Call, Value, said_sizes
from archcalc.layers.layer import Layer

CELLS = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "rnn"}
USUAL = {"LSTM": ("tanh", "sigmoid"), "GRU": ("tanh", "sigmoid")}
MERGES = {"sum": "add", "mul": "multiply", "concat": "", "ave": ""}


def recurrent(config: Config, **more: Any) -> Layer | None:
    """The recurrent layer of a config; None where it has functions that ours does not know."""
    usual = USUAL.get(config.kind)
    functions = (config.given("activation", "tanh"), config.given("recurrent_activation", "sigmoid"))
    if functions != usual if usual else functions[0] not in ("tanh", "relu"):
        return None
    after = config.flag("reset_after", True) if config.kind == "GRU" else True
    biases = (2 if config.kind == "GRU" and after else 1) if config.flag("use_bias", True) else 0
    returns = "sequence" if config.flag("return_sequences", False) else "last"
    more |= {"nonlinearity": functions[0]} if config.kind == "SimpleRNN" else {}
    more |= {"biases": biases, "returns": returns, "reset_after": after}
    return layers.Recurrent(CELLS[config.kind], config.whole("units"), **more)


def sequence(call: Call) -> Value:
    """What a recurrent layer runs along, in Keras' order; states that it starts from are none of it."""
    if not call.values:
        raise call.config.error("reads a sequence", "nothing")
    if len(call.values) > 1:
        call.weave.remarks.append(f"{call.name}: it starts from states of another layer, which its row does not list")
    return call.weave.as_written(call.values[0])


@reads(*CELLS)
def _recurrent(call: Call) -> list[Value]:
    layer = None if call.lead else recurrent(call.config)
    if layer is None:
        return call.unknown()
    y = call.add(layer, sequence(call), first=False)
    return [y, *states(call, y)] if call.config.flag("return_state", False) else [y]


def states(call: Call, y: Value) -> list[Value]:
    """What is carried on behind the last step: as long as the last output, which says its size."""
    count = 2 if call.config.kind == "LSTM" else 1
    if y.rank == 2 or not any(number in call.expected for number in range(1, count + 1)):
        return [y] * count
    x = call.weave.channels_first(y)
    last = call.add(layers.Crop(amount=((x.shape[2] - 1, 0),)), x, part="last", first=True)
    return [call.add(layers.Reshape(shape=(x.shape[1],)), last, part="state", first=False)] * count


@reads("Bidirectional")
def _bidirectional(call: Call) -> list[Value]:
    """Both directions in one where they agree and lie side by side; else two layers, merged."""
    both = [inner(call, name) for name in ("layer", "backward_layer")]
    merge = call.config.given("merge_mode", "concat")
    made = [None if config is None or config.kind not in CELLS else recurrent(config) for config in both]
    states_too = any(config is not None and config.given("return_state", False) for config in both)
    if call.lead or None in made or states_too or (merge is not None and merge not in MERGES):
        return call.unknown()
    x = sequence(call)
    if made[0] == made[1] and merge == "concat" and both[0] is not None:
        return [call.add(recurrent(both[0], bidirectional=True) or layers.Identity(), x, first=False)]
    ways = zip(made, ("forward", "backward"), strict=True)
    ends = [call.add(layer, x, part=part, first=False) for layer, part in ways if layer is not None]
    if merge is None:
        return ends
    if merge == "ave":
        return [mean(call, ends)]
    joined = layers.Concat(axis=ends[0].rank - 1) if merge == "concat" else layers.Combine(MERGES[merge])
    return [call.add(joined, *ends, first=False)]


def inner(call: Call, name: str) -> Config | None:
    """The config of a wrapped layer; None where it is not Keras' own. A backward one is by default the forward one."""
    entry = call.config.given(name, None if name == "backward_layer" else {})
    if entry is None:
        return inner(call, "layer")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("class_name"), str):
        raise call.config.error(f"{name} must be a layer", type(entry).__name__)
    return Config(entry["class_name"], entry.get("config"), call.config.where) if of_keras(entry) else None


@reads("TimeDistributed")
def _each_step(call: Call) -> list[Value]:
    """The layer inside sees one step: time is one more axis in front of its own."""
    config = inner(call, "layer")
    if config is None or config.kind not in READERS:
        return call.unknown()
    step = Call(
        call.weave, config, call.name, call.key, {"0": call.only}, lead=call.lead + 1, depth=call.depth + 1,
        trainable=call.trainable and config.given("trainable", True) is not False, expected=call.expected,
    )  # fmt: skip
    return READERS[config.kind](step)


@reads("Masking")
def _masking(call: Call) -> list[Value]:
    return kept(call, call.only)


def projected(call: Call, x: Value, units: int, part: str) -> Value:
    """A tensor multiplied onto the features of all heads."""
    return call.add(layers.Dense(units, bias=call.config.flag("use_bias", True)), x, part=part)


def asked(call: Call, names: tuple[str, str, str]) -> tuple[Value, Value, Value] | None:
    """Query, key and value of a call; the key is by default the value. None where one is not (length, features)."""
    given = call.argument(0, "inputs")  # the older layers read one list
    if isinstance(given, list):
        found = [x for x in given if isinstance(x, Value)][:3]
        query, value, key = (found[place] if place < len(found) else None for place in range(3))
    else:
        query, value, key = (call.tensor(place, name) for place, name in enumerate(names))
    if query is None or value is None:
        raise call.config.error("reads a query and a value", f"{len(call.values)} tensors")
    three = [call.weave.as_written(x) for x in (query, key or value, value)]
    return (three[0], three[1], three[2]) if all(x.rank == 3 for x in three) and not call.lead else None


def causal(call: Call) -> bool:
    """Does no query see a key behind its own place?"""
    return call.argument(-1, "use_causal_mask") is True


def core(call: Call, three: Sequence[Value], heads: int, few: int | None = None) -> Value:
    """The attention of query, key and value in all heads, and the heads side by side."""
    mask = call.tensor(3, "attention_mask")
    masks = [] if mask is None else [_mask(call, mask)]
    attention = layers.Attention(heads=heads, kv_heads=few, causal=causal(call))
    return call.add(attention, *three, *masks, part="core", first=False)


def _mask(call: Call, mask: Value) -> Value:
    mask = call.weave.as_written(mask)
    if mask.rank not in (3, 4):
        raise call.config.error("attention_mask must be (batch, queries, keys)", said_sizes(mask.sizes))
    return mask if mask.rank == 4 else reshaped(call, mask, (1, *mask.sizes), "mask")


def special(call: Call) -> bool:
    """Has it a form that ours does not know?"""
    other = any(call.config.given(name, None) not in (None, False) for name in ("use_gate", "sliding_window"))
    return other or call.argument(-1, "return_attention_scores") is True


@reads("MultiHeadAttention")
def _multi_head(call: Call) -> list[Value]:
    given, config = asked(call, ("query", "value", "key")), call.config
    if given is None or special(call) or config.given("attention_axes", None) not in (None, [1], (1,), 1):
        return call.unknown()
    count, width = config.whole("num_heads"), config.whole("key_dim")
    value_width = width if config.given("value_dim", None) is None else config.whole("value_dim")
    units = given[0].shape[-1]
    if config.given("output_shape", None) is not None:
        units = config.wholes("output_shape", 1)[0]
    sizes = zip(given, (width, width, value_width), ("query", "key", "value"), strict=True)
    seen = core(call, [projected(call, x, count * size, part) for x, size, part in sizes], count)
    return [projected(call, seen, units, "")]


@reads("GroupQueryAttention", "GroupedQueryAttention")
def _grouped(call: Call) -> list[Value]:
    given, config = asked(call, ("query", "value", "key")), call.config
    if given is None or special(call):
        return call.unknown()
    width, few = config.whole("head_dim"), config.whole("num_key_value_heads")
    count = config.whole("num_query_heads")
    sizes = zip(given, (count, few, few), ("query", "key", "value"), strict=True)
    seen = core(call, [projected(call, x, n * width, part) for x, n, part in sizes], count, few)
    return [projected(call, seen, given[0].shape[-1], "")]


@reads("Attention")
def _attention(call: Call) -> list[Value]:
    """Without weights, without heads, and without scaling: two products and a softmax."""
    given = asked(call, ("query", "value", "key"))
    plain = call.config.word("score_mode", ("dot", "concat"), "dot") == "dot"
    if call.config.flag("use_scale", False) or not plain or causal(call) or given is None or special(call):
        return call.unknown()
    query, key, value = given
    scores = call.add(layers.MatMul(transpose_second=True), query, key, part="scores", first=False)
    weights = call.add(layers.Softmax(axis=2), scores, part="weights", first=False)
    return [call.add(layers.MatMul(), weights, value, first=False)]
