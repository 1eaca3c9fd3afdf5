"""Operations of keras.ops that stand in a functional model: arithmetic, reductions, layout, activations."""

from collections.abc import Mapping
from typing import Any

from archcalc import layers
from archcalc.algebra.num import LIMIT
from archcalc.dialects.keras_config import is_whole
from archcalc.dialects.keras_layers import FOLDED, Reader, axis_of, function
from archcalc.dialects.keras_moves import combined, joined, permuted, reshaped
from archcalc.dialects.keras_weave import Call, Value
from archcalc.layers.activation import Clamp
from archcalc.layers.index import Slice
from archcalc.layers.layer import Layer, kind_of

LARGE = float(LIMIT)

ARITHMETIC = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Divide": "divide", "TrueDivide": "divide",
    "Maximum": "maximum", "Minimum": "minimum",
}  # fmt: skip
REDUCTIONS = {"Mean": "reduce_mean", "Sum": "reduce_sum", "Max": "reduce_max", "Amax": "reduce_max"}
ELEMENTWISE = {
    "Absolute": "abs", "Abs": "abs", "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square",
    "Negative": "negative", "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Erf": "erf", "Floor": "floor",
    "Ceil": "ceil", "Round": "round", "Sign": "sign",
}  # fmt: skip
SAME = ("ConvertToTensor", "Cast", "StopGradient")
FUNCTIONS = {
    "Relu": "relu", "Relu6": "relu6", "Sigmoid": "sigmoid", "Silu": "silu", "Tanh": "tanh", "Softplus": "softplus",
    "Softsign": "softsign", "Elu": "elu", "Selu": "selu", "HardSigmoid": "hard_sigmoid", "HardSilu": "hard_silu",
    "Softmax": "softmax", "LogSoftmax": "log_softmax", "LogSigmoid": "log_sigmoid",
}  # fmt: skip


def operation(call: Call) -> list[Value]:
    """One operation; what is not understood, or reads numbers that stand in the file, is named and not counted."""
    known = None if call.lead or not call.values else OPERATIONS.get(call.config.kind)
    return call.unknown() if known is None else known(call)


def _elementwise(call: Call) -> list[Value]:
    return [call.add(layers.Activation(ELEMENTWISE[call.config.kind]), call.only)]


def _same(call: Call) -> list[Value]:
    return [call.add(layers.Identity(), call.only)]


def _arithmetic(call: Call) -> list[Value]:
    """Two tensors; axes go together from the last on, so that fewer axes than the other's would meet its batch."""
    if len(call.values) == 1:
        return _with_number(call)
    if len(call.values) != 2 or call.values[0].rank != call.values[1].rank:
        return call.unknown()
    return [combined(call, ARITHMETIC[call.config.kind], call.values)]


def _with_number(call: Call) -> list[Value]:
    """A tensor and a number that stands in the file."""
    sides = [call.argument(0, "x1"), call.argument(1, "x2")]
    number = next((side for side in sides if not isinstance(side, Value)), None)
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < LARGE:
        return call.unknown()
    turned = sides[1] is call.values[0]  # the number stands first
    steps = [layer for needs, layer in steps_with(ARITHMETIC[call.config.kind], float(number)) if turned or not needs]
    if not steps:
        return call.unknown()
    x = call.only
    for place, layer in enumerate(reversed(steps)):
        x = call.add(layer, x, part="" if place == len(steps) - 1 else kind_of(layer))
    return [x]


def steps_with(function: str, number: float) -> list[tuple[bool, Layer]]:
    """What a number does to a tensor, last step first; a step that is marked only where the number stands first."""
    activation = layers.Activation
    match function:
        case "add":
            return [(False, activation("shift", alpha=number))]
        case "subtract":
            return [(False, activation("shift", alpha=-number)), (True, activation("negative"))]
        case "multiply":
            return [(False, activation("scale", alpha=number))]
        case "divide":
            return [(False, activation("scale", alpha=number)), (True, activation("reciprocal"))]
    return [(False, Clamp(**{"low" if function == "maximum" else "high": number}))]


def _reduced(call: Call) -> list[Value]:
    axes = call.config.given("axis", None)
    if axes is None or 0 in call.config.numbers("axis"):
        return call.unknown()
    x, keep = call.only, call.config.flag("keepdims", False)
    places = tuple(axis_of(call, x, axis) for axis in call.config.numbers("axis"))
    stays = x.first and (keep or 1 not in places)  # the channels are still behind the batch
    x = x if stays else call.written()
    places = tuple(axis_of(call, x, axis) for axis in call.config.numbers("axis"))
    return [call.add(layers.Reduce(REDUCTIONS[call.config.kind], axes=places, keep_axes=keep), x)]


def _function(call: Call) -> list[Value]:
    name = FUNCTIONS[call.config.kind]
    if name in FOLDED:
        axes = call.config.numbers("axis", -1)
        return [call.add(FOLDED[name](axis=axis_of(call, call.only, axes[0])), call.only)]
    layer = function(call, call.only, name)
    return call.unknown() if layer is None else [call.add(layer, call.only)]


def _gelu(call: Call) -> list[Value]:
    tanh = call.config.given("approximate", True) is not False
    return [call.add(layers.Activation("gelu_tanh" if tanh else "gelu"), call.only)]


def _matmul(call: Call) -> list[Value]:
    values = [call.weave.as_written(value) for value in call.values]
    alike = len(values) == 2 and values[0].rank == values[1].rank > 2 and values[0].shape[:-2] == values[1].shape[:-2]
    return [call.add(layers.MatMul(), *values)] if alike else call.unknown()


def _reshape(call: Call) -> list[Value]:
    """The batch stays first: the file writes it as -1, or not at all as a number."""
    target = call.config.given("newshape", None)
    if not isinstance(target, list | tuple) or len(target) < 2 or not all(map(is_whole, target[1:])):
        return call.unknown()
    if target[0] not in (-1, None) or -1 in target[1:]:
        return call.unknown()
    return [reshaped(call, call.only, target[1:])]


def _transpose(call: Call) -> list[Value]:
    axes = call.config.given("axes", None)
    if axes is None or sorted(call.config.numbers("axes")) != list(range(call.only.rank)) or axes[0] != 0:
        return call.unknown()
    return [permuted(call, call.only, axes[1:])]


def _concatenate(call: Call) -> list[Value]:
    axis = call.config.given("axis", -1)
    return call.unknown() if axis in (0, None) else joined(call, call.config.numbers("axis", -1)[0])


def _axes(call: Call) -> list[Value]:
    """An axis of size 1 more or fewer: the file says the shape that comes of it."""
    sizes = call.expected.get(0)
    if sizes is None or sum(size is None for size in sizes) > 1:
        return call.unknown()
    return [reshaped(call, call.only, [-1 if size is None else size for size in sizes])]


def _power(call: Call) -> list[Value]:
    number = call.argument(1, "x2")
    if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < LARGE:
        return call.unknown()
    layer = layers.Activation("square") if number == 2 else layers.Activation("power", alpha=float(number))
    return [call.add(layer, call.only)]


def _clip(call: Call) -> list[Value]:
    return [call.add(Clamp(low=call.config.real("x_min"), high=call.config.real("x_max")), call.only)]


def _item(call: Call) -> list[Value]:
    """A part of the tensor, axis by axis; a new axis is one of size 1."""
    key = call.argument(1, "key")
    items = written_out(key if isinstance(key, list) else [key], call.only.rank)
    x = call.written()
    if items is None or len(items) > x.rank + 4 or items[:1] != [WHOLE]:
        return call.unknown()
    axis = 0
    for made, item in enumerate(items):
        if item is None:
            x = call.add(layers.Reshape(shape=(*x.shape[1:axis], 1, *x.shape[axis:])), x, part=f"axis{made}")
        elif item != WHOLE:
            x = call.add(Slice(axis=axis, **item), x, part=f"part{made}", first=False)
        axis += 0 if item and item.get("drop") else 1
    return [call.add(layers.Identity(), x)]


WHOLE: dict[str, Any] = {}


def written_out(items: list[Any], rank: int) -> list[dict[str, Any] | None] | None:
    """Each axis' part as fields of a slice; None for a new axis; None at all where something else stands there."""
    made: list[dict[str, Any] | None] = []
    for item in items:
        kind = item.get("class_name") if isinstance(item, Mapping) else ""
        if kind == "__ellipsis__":
            named = sum(other is not None for other in items) - 1
            made += [WHOLE] * max(rank - named, 0)
        elif item is None:
            made.append(None)
        elif is_whole(item) and abs(item) < LIMIT:
            made.append({"start": item, "stop": item + 1 if item != -1 else None, "drop": True})
        elif kind == "__slice__" and (fields := _slice(item.get("config"))) is not None:
            made.append(fields)
        else:
            return None
    return made


def _slice(config: Any) -> dict[str, Any] | None:
    if not isinstance(config, Mapping):
        return None
    start, stop, step = (config.get(name) for name in ("start", "stop", "step"))
    if any(value is not None and not (is_whole(value) and abs(value) < LIMIT) for value in (start, stop, step)):
        return None
    fields = {name: value for name, value in (("start", start), ("stop", stop), ("step", step)) if value is not None}
    return None if step is not None and step < 1 else {} if fields in ({}, {"start": 0}, {"step": 1}) else fields


OPERATIONS: dict[str, Reader] = {
    **dict.fromkeys(ARITHMETIC, _arithmetic), **dict.fromkeys(REDUCTIONS, _reduced), **dict.fromkeys(SAME, _same),
    **dict.fromkeys(ELEMENTWISE, _elementwise), **dict.fromkeys(FUNCTIONS, _function),
    "Power": _power, "Clip": _clip, "GetItem": _item, "Gelu": _gelu, "Matmul": _matmul, "Reshape": _reshape,
    "Transpose": _transpose, "Concatenate": _concatenate, "ExpandDims": _axes, "Squeeze": _axes,
}  # fmt: skip
