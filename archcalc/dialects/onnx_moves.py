"""ONNX operators that move values: other shapes and orders, parts, repetitions, other grids."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.onnx_extent import BATCH, Extent, floored, follows, same, worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import Value, known
from archcalc.layers import (
    Concat,
    Crop,
    Embedding,
    Expand,
    Flip,
    Gather,
    Identity,
    Pad,
    Permute,
    PixelShuffle,
    PixelUnshuffle,
    Resize,
    Slice,
)
from archcalc.layers.layer import Shape

FAR = 2**31 - 1  # what exporters write for "to the end"
REPEATS = 10**9
MODES = {"nearest": "nearest", "linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}
FILLS = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def reshape(op: Op) -> Value:
    x, wanted = op.value(0), op.numbers(1)
    if wanted is None or any(worth(n) < -1 for n in wanted):
        raise op.error("needs a shape of numbers from -1", f"{wanted}")
    zero = op.whole("allowzero", 0)
    shape = list(in_batches(x, wanted))
    for place, n in enumerate(shape):
        if not follows(n) and n == 0 and not zero:
            if place >= x.rank:
                raise op.error("a size of 0 takes one of the input", f"{list(wanted)} for {x.rank} axes")
            shape[place] = x.sizes[place]
    if shape.count(-1) > 1:
        raise op.error("one size may be -1", f"{list(wanted)}")
    if -1 in shape:
        rest = prod(n for n in shape if n != -1)
        if worth(rest) == 0 or worth(x.elements) % worth(rest):
            raise op.error("the new shape must hold the same values", f"{list(x.sizes)} to {list(wanted)}")
        shape[shape.index(-1)] = x.elements // rest
    return op.reshaped(x, tuple(shape))


def in_batches(x: Value, wanted: Sequence[Any]) -> Sequence[Any]:
    """A shape that is written for the file's own batch, with the size that holds it made for any batch.

    Nothing moves in a reshape: what lies before the batch in the input lies before it in the output.
    """
    places = [place for place, n in enumerate(x.sizes) if batch_of(n)]
    batch = batch_of(x.sizes[places[0]]) if len(places) == 1 else None
    if batch is None or batch.value == BATCH or any(".batch" in n.text for n in wanted if isinstance(n, Extent)):
        return wanted
    before = worth(prod(x.sizes[: places[0]]))
    for place, size in enumerate(wanted):
        if worth(size) < 1:
            break
        if worth(prod(wanted[:place])) == before and not worth(size) % batch.value:
            return [*wanted[:place], size // batch.value * batch, *wanted[place + 1 :]]
    return wanted


def batch_of(size: Any) -> Extent | None:
    """The batch, where a size is a multiple of it."""
    terms = list(size.form) if isinstance(size, Extent) else [()]
    batch = next((atom for atom in terms[0] if atom.text.endswith(".batch")), None)
    return Extent({(batch,): 1}) if batch is not None and all(batch in term for term in terms) else None


def flatten(op: Op) -> Value:
    x = op.value(0)
    axis = op.whole("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    if not 0 <= axis <= x.rank:
        raise op.error(f"an axis must lie between {-x.rank} and {x.rank}", f"{axis}")
    return op.reshaped(x, (prod(x.sizes[:axis]), prod(x.sizes[axis:])))


def transpose(op: Op) -> Value:
    x = op.value(0)
    order = op.wholes("perm") or tuple(reversed(range(x.rank)))
    if sorted(order) != list(range(x.rank)):
        raise op.error("perm must name every axis once", f"{list(order)} for {x.rank} axes")
    if x.constant:
        numbers = x.numbers.permuted(order) if x.numbers else None
        return Value(tuple(x.sizes[axis] for axis in order), None, numbers, x.tensor, x.dtype)
    return op.add(Permute, x, order=order, whole=order[:1] != (0,))


def squeeze(op: Op) -> Value:
    x, axes = op.value(0), op.setting("axes", 1, 13)
    if axes is None:
        gone = [place for place, n in enumerate(x.sizes) if not follows(n) and n == 1]
    else:
        gone = [op.position(axis, x.rank) for axis in axes]
        if any(worth(x.sizes[place]) != 1 for place in gone):
            raise op.error("an axis that goes must have size 1", f"axes {list(axes)} of {list(x.sizes)}")
    return op.reshaped(x, tuple(n for place, n in enumerate(x.sizes) if place not in gone))


def unsqueeze(op: Op) -> Value:
    x, axes = op.value(0), op.setting("axes", 1, 13)
    if axes is None:
        raise op.error("needs axes")
    rank = x.rank + len(axes)
    places = {op.position(axis, rank) for axis in axes}
    if len(places) != len(axes):
        raise op.error("each axis must be named once", f"{list(axes)}")
    sizes = iter(x.sizes)
    return op.reshaped(x, tuple(1 if place in places else next(sizes) for place in range(rank)))


def concat(op: Op) -> Value:
    values = [op.value(number) for number in range(len(op.inputs))]
    values = [value for value in values if prod(map(worth, value.sizes))] or values[:1]
    position = op.axis(values[0].rank)
    if len(values) == 1:
        return op.add(Identity, values[0])
    values = [repeated_over_batch(op, op.made(value), values) for value in values]
    if position:
        return op.broadened(op.add(Concat, *values, axis=position), values[:1]) if position else values[0]
    made = op.add(Concat, *(op.reshaped(value, (1, *value.sizes)) for value in values), axis=1)
    return op.reshaped(made, made.sizes[1:])


def repeated_over_batch(op: Op, value: Value, others: Sequence[Value]) -> Value:
    """A tensor that the file holds for its own batch, beside values that have any."""
    if value.rank < 2 or follows(value.sizes[0]) or value.sizes[0] != 1:
        return value
    batch = next((v.sizes[0] for v in others if v.sizes and follows(v.sizes[0]) and worth(v.sizes[0]) == 1), None)
    if batch is None or op.axis(value.rank) == 0:
        return value
    return op.add(Expand, value, shape=(batch, *[-1] * (value.rank - 1)))


def split(op: Op) -> list[Value]:
    x = op.value(0)
    position = op.axis(x.rank, 0)
    n, count = x.sizes[position], op.whole("num_outputs", op.outputs)
    sizes = op.setting("split", 1, 13)
    if sizes is None:
        if not 0 < count <= 10_000:
            raise op.error("needs a number of outputs", f"{count}")
        part = -(-n // count)
        sizes = (*[part] * (count - 1), n - part * (count - 1))
    if worth(sum(sizes)) != worth(n) or len(sizes) != op.outputs:
        raise op.error("its parts must be the axis", f"{list(map(worth, sizes))} of {n}")
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    if x.numbers is not None and x.constant:
        places = [range(worth(start), worth(start + size)) for start, size in zip(starts, sizes, strict=True)]
        return [known(x.numbers.along(position, kept)) for kept in places]
    wanted = zip(starts, sizes, op.used, strict=True)
    return [part_of(op, x, position, start, start + size) if used else x for start, size, used in wanted]


def part_of(op: Op, x: Value, position: int, start: Any, stop: Any, step: int = 1, *, drop: bool = False) -> Value:
    """Some cells of one axis."""
    n = x.sizes[position]
    if worth(start) == 0 and step == 1 and not drop and (same(stop, n) or worth(stop) > FAR):
        return x
    ends = same(stop, n) or worth(stop) >= FAR
    first, last = (worth(place) + worth(n) if worth(place) < 0 else worth(place) for place in (start, stop))
    if min(last, worth(n)) <= max(first, 0):
        raise NotUnderstood("it leaves no cell")
    return op.add(Slice, x, axis=position, start=start, stop=None if ends else stop, step=step, drop=drop)


def slice_(op: Op) -> Value:
    x = op.value(0)
    starts, ends = op.setting("starts", 1, 10), op.setting("ends", 2, 10)
    axes, steps = op.setting("axes", 3, 10), op.numbers(4) if op.version >= 10 else None
    if starts is None or ends is None or len(starts) != len(ends):
        raise op.error("needs as many starts as ends", f"{starts} and {ends}")
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(axes) == len(steps) == len(starts):
        raise op.error("needs an axis and a step for each start", f"{len(axes)} and {len(steps)} for {len(starts)}")
    made = x
    for start, stop, axis, step in zip(starts, ends, axes, steps, strict=True):
        position = op.position(axis, x.rank)
        made = sliced(op, made, position, start, stop, worth(step))
    return made if made is not x else identity_of(op, x)


def sliced(op: Op, x: Value, position: int, start: Any, stop: Any, step: int) -> Value:
    """One axis of a slice; backwards only the whole of it."""
    if step > 0:
        return part_of(op, x, position, start, stop, step)
    n = worth(x.sizes[position])
    whole = worth(start) in (-1, n - 1) or worth(start) >= n
    if step == 0 or not whole or worth(stop) >= -n or position == 0:
        raise NotUnderstood("it runs backwards over a part of an axis")
    turned = op.add(Flip, x, axes=position)
    return turned if step == -1 else part_of(op, turned, position, 0, FAR, -step)


def identity_of(op: Op, x: Value) -> Value:
    """The value itself, in a row that says so; a constant as it is."""
    return x if x.constant else op.add(Identity, x)


def gather(op: Op) -> Value:
    x, indices = op.value(0), op.value(1)
    position = op.axis(x.rank, 0)
    if x.learned and x.rank == 2 and position == 0 and indices.elements > 1:
        vocabulary, width = map(worth, x.sizes)
        return op.add(Embedding, indices, tensors={"weight": x}, vocabulary=vocabulary, width=width)
    if indices.constant and indices.numbers and len(indices.numbers.items) == 1 and indices.rank < 2:
        at = indices.numbers.items[0]
        stop = FAR if not follows(at) and at == -1 else at + 1
        return part_of(op, op.made(x), position, at, stop, drop=indices.rank == 0)
    return op.add(Gather, x, indices, axis=position)


def expand(op: Op) -> Value:
    x, wanted = op.value(0), op.numbers(1)
    if wanted is None:
        raise op.error("needs a shape")
    rank = max(x.rank, len(wanted))
    own, other = ((*[1] * (rank - len(shape)), *shape) for shape in (x.sizes, wanted))
    if any(worth(a) != worth(b) and 1 not in (worth(a), worth(b)) for a, b in zip(own, other, strict=True)):
        raise op.error("only an axis of size 1 can be repeated", f"{list(x.sizes)} to {list(wanted)}")
    shape = tuple(common(a, b) for a, b in zip(own, other, strict=True))
    return repeated(op, op.lifted(x, rank), shape)


def common(a: Any, b: Any) -> Any:
    """The size of an axis that is 1 or equal; one that follows the inputs' sizes is preferred."""
    if worth(a) == worth(b):
        return a if follows(a) else b
    return b if worth(a) == 1 else a


def repeated(op: Op, x: Value, shape: Shape) -> Value:
    """The value with axes of size 1 repeated."""
    kept = [same(a, b) for a, b in zip(x.sizes, shape, strict=True)]
    if all(kept):
        return x
    return op.add(Expand, x, shape=tuple(-1 if keep else n for keep, n in zip(kept, shape, strict=True)))


def tile(op: Op) -> Value:
    """Repeat along axes: each is cut in front of itself, and repeated there."""
    x, times = op.value(0), op.numbers(1)
    if times is None or len(times) != x.rank or any(not 0 < worth(n) <= REPEATS for n in times):
        raise op.error(f"needs {x.rank} repeats of at least 1", f"{times}")
    for axis, count in enumerate(times):
        if same(count, 1):
            continue
        before, n, behind = x.sizes[:axis], x.sizes[axis], x.sizes[axis + 1 :]
        apart = op.reshaped(op.made(x), (*before, 1, n, *behind))
        x = op.reshaped(repeated(op, apart, (*before, count, n, *behind)), (*before, count * n, *behind))
    return x


def pad(op: Op) -> Value:
    x, wanted = op.value(0), op.setting("pads", 1, 11)
    axes = op.numbers(3) if op.version >= 18 else None
    places = range(x.rank) if axes is None else [op.position(axis, x.rank) for axis in axes]
    if wanted is None or len(wanted) != 2 * len(places):
        raise op.error("pads must have a begin and an end for each axis", f"{wanted}")
    around = dict(zip(places, zip(wanted[: len(places)], wanted[len(places) :], strict=True), strict=True))
    cells = [around.get(axis, (0, 0)) for axis in range(x.rank)]
    mode = FILLS.get(op.word("mode", "constant"))
    if mode is None:
        raise NotUnderstood("its mode is not known")
    for kind, sign in ((Crop, -1), (Pad, 1)):
        amounts = [tuple(sign * n if sign * worth(n) > 0 else 0 for n in pair) for pair in cells]
        if any(worth(n) for pair in amounts for n in pair):
            x = framed(op, x, kind, amounts, {"mode": mode} if kind is Pad else {})
    return identity_of(op, x) if not any(worth(n) for pair in cells for n in pair) else x


def framed(op: Op, x: Value, kind: Any, amounts: Sequence[Any], fields: dict[str, Any]) -> Value:
    """Cells added or cut; where also of the batch or the channels, all axes are taken for spatial ones."""
    x = op.made(x)
    if x.rank > 2 and not any(worth(n) for pair in amounts[:2] for n in pair):
        return op.add(kind, x, amount=tuple(amounts[2:]), **fields)
    made = op.add(kind, op.reshaped(x, (1, 1, *x.sizes)), amount=tuple(amounts), **fields)
    return op.reshaped(made, made.sizes[2:])


def resize(op: Op) -> Value:
    x = op.data(0)
    mode = MODES.get(op.word("mode", "nearest"))
    way = op.word("coordinate_transformation_mode", "half_pixel")
    if mode is None or way == "tf_crop_and_resize" or op.word("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NotUnderstood("how it samples is not known")
    sizes = wanted_sizes(op, x)
    if x.rank < 3 or not all(map(same, sizes[:2], x.sizes[:2])):
        raise NotUnderstood("it resizes the batch or the channels")
    factors = [n // own if worth(own) and same(n // own * own, n) else None
               for n, own in zip(sizes[2:], x.sizes[2:], strict=True)]  # fmt: skip
    corners = way == "align_corners" and mode != "nearest"
    if all(type(factor) is int and factor > 0 for factor in factors):
        scale = factors[0] if len(set(factors)) == 1 else tuple(factors)
        return op.add(Resize, x, scale=scale, mode=mode, align_corners=corners)
    return op.add(Resize, x, size=tuple(sizes[2:]), mode=mode, align_corners=corners)


def wanted_sizes(op: Op, x: Value) -> list[Any]:
    """The output size of every axis of a resizing: as given, or ⌊size × scale⌋."""
    first = op.kind == "Upsample" or op.version < 11
    sizes = None if first else op.numbers(3) if len(op.inputs) > 3 else None
    axes = op.wholes("axes") if op.version >= 18 else None
    places = [op.position(axis, x.rank) for axis in axes] if axes else list(range(x.rank))
    if not sizes:
        scales = op.given(1 if first else 2)
        factors = op.attribute("scales", "floats", (6,)) if scales is None else None
        if scales is not None:
            if scales.numbers is None:
                raise NotUnderstood("its scales follow from what the inputs hold")
            factors = scales.numbers.items
        if not factors or len(factors) != len(places):
            raise op.error(f"needs {len(places)} scales or sizes", f"{factors}")
        sizes = tuple(grown(op, x.sizes[at], factor) for at, factor in zip(places, factors, strict=True))
    if len(sizes) != len(places):
        raise op.error(f"needs {len(places)} scales or sizes", f"{len(sizes)}")
    given = dict(zip(places, sizes, strict=True))
    return [given.get(at, n) for at, n in enumerate(x.sizes)]


def grown(op: Op, n: Any, factor: Any) -> Any:
    """⌊size × factor⌋; the factor stands in the file as a rounded fraction."""
    if not follows(factor):
        if not 0 < factor < 1e9:
            raise op.error("scales must be numbers above 0", f"{factor}")
        near = Fraction(factor).limit_denominator(1000)
        factor = near if abs(near - Fraction(factor)) * worth(n) < Fraction(1, 10_000) else Fraction(factor)
        factor = factor.numerator if factor.denominator == 1 else factor
    return floored(n * factor, 1)


def depth_to_space(op: Op) -> Value:
    return op.add(PixelShuffle, op.data(0), factor=op.whole("blocksize"))


def space_to_depth(op: Op) -> Value:
    return op.add(PixelUnshuffle, op.data(0), factor=op.whole("blocksize"))
