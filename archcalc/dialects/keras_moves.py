"""Keras layers that lay values out otherwise or join several tensors: reshaping, permuting, repeating, merging."""

from collections.abc import Sequence

from archcalc import layers
from archcalc.dialects.keras_layers import axis_of, reads, unit
from archcalc.dialects.keras_weave import Call, Value

MERGES = {
    "Add": "add", "Subtract": "subtract", "Multiply": "multiply", "Maximum": "maximum", "Minimum": "minimum",
}  # fmt: skip


@reads("Flatten")
def _flatten(call: Call) -> list[Value]:
    x = call.only if not call.lead else call.written()
    if x.rank < 2:
        return [call.add(layers.Reshape(shape=(1,)), x, first=False)]
    if x.rank == 1 + call.lead:
        return [call.add(layers.Reshape(shape=(*x.shape[1:], 1)), x, first=False)]
    return [call.add(layers.Flatten(start=1 + call.lead), x, first=False)]


@reads("Reshape")
def _reshape(call: Call) -> list[Value]:
    return [reshaped(call, call.only, call.config.numbers("target_shape"))]


def reshaped(call: Call, x: Value, target: Sequence[int], part: str = "") -> Value:
    """The same values in Keras' order of axes; where one axis holds all values, the order makes no difference."""
    sizes, values = (*x.sizes[: call.lead], *target), sum(size != 1 for size in x.sizes)
    if len(sizes) > 2 and values < 2 and all(size == 1 for size in sizes[:-1]):
        channels_first = layers.Reshape(shape=(sizes[-1], *sizes[:-1]))
        return call.add(channels_first, x, part=part, first=True)
    x = x if values < 2 else call.weave.as_written(x)
    return call.add(layers.Reshape(shape=sizes), x, part=part, first=False)


@reads("Permute")
def _permute(call: Call) -> list[Value]:
    dims = call.config.numbers("dims")
    if sorted(dims) != list(range(1, call.only.rank - call.lead)):
        rule = f"dims must name each of {call.only.rank - call.lead - 1} axes once, from 1"
        raise call.config.error(rule, f"{list(dims)}")
    return [permuted(call, call.only, [*range(1, 1 + call.lead), *(axis + call.lead for axis in dims)])]


def permuted(call: Call, x: Value, dims: Sequence[int], part: str = "") -> Value:
    """The axes, counted as Keras has them with time in front, in another order."""
    order = (0, *(_place(x, axis) for axis in dims))
    return call.add(layers.Permute(order=order), x, part=part, first=False)


def _place(x: Value, axis: int) -> int:
    return axis if not x.first else 1 if axis == x.rank - 1 else axis + 1


@reads("RepeatVector")
def _repeat(call: Call) -> list[Value]:
    """Each feature is a channel with one cell, which is repeated."""
    if call.only.rank != 2 or call.lead:
        raise call.config.error("the input must be (batch, features)", f"{call.only.rank - 1} axes")
    cell = call.add(layers.Reshape(shape=(call.only.shape[1], 1)), call.only, part="cell", first=True)
    return [call.add(layers.Resize(scale=call.config.whole("n")), cell)]


@reads("Concatenate")
def _concatenate(call: Call) -> list[Value]:
    return joined(call, call.config.numbers("axis", -1)[0])


def joined(call: Call, axis: int) -> list[Value]:
    """All tensors side by side along an axis."""
    values = call.weave.alike(call.values)
    if not values:
        raise call.config.error("reads one tensor or more", "none")
    return [call.add(layers.Concat(axis=axis_of(call, values[0], axis)), *values)]


@reads(*MERGES)
def _merge(call: Call) -> list[Value]:
    return [combined(call, MERGES[call.config.kind], call.values)]


def combined(call: Call, function: str, values: Sequence[Value], part: str = "") -> Value:
    """Tensors combined element by element; those with fewer axes get axes of size 1 behind the batch, as Keras does."""
    if len(values) < 2:
        raise call.config.error("reads two tensors or more", f"{len(values)}")
    return call.add(layers.Combine(function), *call.weave.alike(widened(call, values)), part=part)


def widened(call: Call, values: Sequence[Value]) -> list[Value]:
    """The tensors with equally many axes."""
    rank = max(value.rank for value in values)
    made = []
    for number, value in enumerate(values):
        missing = rank - value.rank
        ones = (*(1,) * missing, *value.sizes)
        made.append(reshaped(call, value, ones[call.lead :], f"axes{number}") if missing else value)
    return made


@reads("Average")
def _average(call: Call) -> list[Value]:
    """The sum, and a share of it."""
    return [mean(call, call.values)]


def mean(call: Call, values: Sequence[Value]) -> Value:
    """The tensors added, and divided by how many they are."""
    total = combined(call, "add", values, "sum")
    return call.add(layers.Activation("scale", alpha=1 / len(values)), total)


@reads("CustomScaleLayer")
def _scaled_sum(call: Call) -> list[Value]:
    """The first tensor and a share of the second, as keras.applications has it in Inception-ResNet."""
    if len(call.values) != 2:
        raise call.config.error("reads two tensors", f"{len(call.values)}")
    first, second = call.values
    share = call.add(layers.Activation("scale", alpha=call.config.real("scale")), second, part="share")
    return [combined(call, "add", [first, share])]


@reads("Dot")
def _dot(call: Call) -> list[Value]:
    """A product of matrices over one axis of each; the other axes joined for it, and then apart again."""
    axes = call.config.numbers("axes")
    if len(call.values) != 2 or len(axes) > 2 or call.lead:
        raise call.config.error("reads two tensors, along one axis of each", f"{len(call.values)} tensors")
    sides = [call.weave.as_written(value) for value in call.values]
    places = [axis_of(call, x, axis) for x, axis in zip(sides, (axes * 2)[:2], strict=True)]
    if call.config.flag("normalize", False):
        sides = [unit(call, x, (place,), f"unit{n}") for n, (x, place) in enumerate(zip(sides, places, strict=True))]
    others = [[size for at, size in enumerate(x.shape) if at not in (0, place)]
              for x, place in zip(sides, places, strict=True)]  # fmt: skip
    rows = [_as_matrix(call, x, place, f"side{n}") for n, (x, place) in enumerate(zip(sides, places, strict=True))]
    target = (*others[0], *others[1]) or (1,)
    whole = target == (*rows[0].shape[1:2], *rows[1].shape[1:2])
    product = call.add(layers.MatMul(transpose_second=True), *rows, part="" if whole else "product", first=False)
    return [product if whole else call.add(layers.Reshape(shape=target), product, first=False)]


def _as_matrix(call: Call, x: Value, place: int, part: str) -> Value:
    """Rows of what is not summed over, each with what is."""
    if place != x.rank - 1:
        order = (*(axis for axis in range(x.rank) if axis != place), place)
        x = call.add(layers.Permute(order=order), x, part=f"{part}_turned", first=False)
    return x if x.rank == 3 else call.add(layers.Reshape(shape=(-1, x.shape[-1])), x, part=f"{part}_rows", first=False)
