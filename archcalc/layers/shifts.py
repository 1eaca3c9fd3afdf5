"""What each kind does to a shift: along which axis the output moves, by how much, and where that holds.

One table for all kinds, as in facts.py: `shift.register(kind)` adds a kind of one's own.
"""

from collections.abc import Sequence
from functools import singledispatch
from itertools import pairwise
from math import gcd, prod
from typing import Literal

from msgspec import Struct

from archcalc.algebra.window import Window
from archcalc.layers import (
    activation,
    attention,
    conv,
    dense,
    einsum,
    embedding,
    experts,
    join,
    norm,
    pool,
    position,
    recurrent,
    reduce,
    reshape,
    resize,
)
from archcalc.layers.layer import Layer, Shape, positions_of
from archcalc.layers.windowed import per_axis

Shapes = Sequence[Shape]
Where = Literal["everywhere", "inside", "moving"]
GRADES: tuple[Where, ...] = ("everywhere", "inside", "moving")
"""Everywhere: for any image seen through a window that moves, in every cell that both outputs have.

Inside: the same away from borders. Moving: for what moves inside the image, on a background that is everywhere alike.
"""
ITS_OWN = "has weights of its own for every position"
MIXES = "mixes the channels"


class Shift(Struct, frozen=True, gc=False):
    """If an input moves by `period` cells along an axis, the output moves by `step` cells along its axis `at`."""

    at: int | None = None  # axis of the output; None: the output stays as it is
    period: int = 1
    step: int = 1
    where: Where = "everywhere"
    because: str = ""  # why not everywhere, after the layer's name
    broken: str = ""  # why the output does not follow at all, after the layer's name


@singledispatch
def shift(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift | None:
    """What a shift of input `number` along its axis `at` does; None where the kind does not say."""
    return None


def unchanged(at: int) -> Shift:
    """The output moves as the input does."""
    return Shift(at)


def pooled(what: str) -> Shift:
    """The output stays as it is, as long as nothing leaves the image."""
    return Shift(None, where="moving", because=what)


def over_whole(at: int, what: str) -> Shift:
    """The output moves, and depends on the whole axis, borders included."""
    return Shift(at, where="moving", because=what)


def broken(why: str) -> Shift:
    """The output does not follow."""
    return Shift(broken=why)


def stepping(at: int, window: Window, x: Shape, y: Shape, because: str) -> Shift:
    """A window that moves: the output moves by one cell when the input moves by the stride."""
    reach = (y[at] - 1) * window.stride + window.span - window.before  # where the last stop ends
    if window.before > 0 or reach > x[at]:
        return Shift(at, window.stride, 1, "inside", because)
    return Shift(at, window.stride)


def spreading(at: int, window: Window, extra: int) -> Shift:
    """The adjoint: the output moves by the stride; `extra` cells at its end lie beyond the last window."""
    shared = window.span - window.stride  # cells at each end that lack a neighbour's share
    whole = window.before >= shared and window.after - extra >= shared
    where, because = ("everywhere", "") if whole else ("inside", "lacks neighbours at the border")
    return Shift(at, 1, window.stride, where, because)  # type: ignore[arg-type]


@shift.register
def _(layer: conv.Conv, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken(MIXES) if at < 2 else stepping(at, layer.windows(xs[0])[at - 2], xs[0], y, "pads with zeros")


@shift.register
def _(layer: conv.ConvTranspose, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at < 2:
        return broken(MIXES)
    return spreading(at, layer.windows(xs[0])[at - 2], per_axis(layer, "output_padding", len(y) - 2)[at - 2])


@shift.register(pool.MaxPool)
@shift.register(pool.AvgPool)
def _(layer: pool.MaxPool | pool.AvgPool, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at) if at < 2 else stepping(at, layer.windows(xs[0])[at - 2], xs[0], y, "pads its windows")


@shift.register(pool.GlobalAvgPool)
@shift.register(pool.GlobalMaxPool)
def _(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at) if at < 2 else pooled("pools the whole axis")


@shift.register(pool.AdaptiveAvgPool)
@shift.register(pool.AdaptiveMaxPool)
def _(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at < 2:
        return unchanged(at)
    if y[at] == 1 and xs[0][at] > 1:
        return pooled("pools the whole axis")
    stride = regular(xs[0][at], y[at])
    if stride is None:
        return broken(f"pools {xs[0][at]} cells onto {y[at]} by unequal windows")
    return Shift(at, stride)


def regular(n: int, size: int) -> int | None:
    """The stride of adaptive windows ⌊i·n/size⌋ … ⌈(i + 1)·n/size⌉ − 1, if they are all alike and equally far apart.

    >>> regular(13, 6), regular(10, 7)
    (2, None)
    """
    starts = [i * n // size for i in range(size)]
    lengths = {-(-(i + 1) * n // size) - start for i, start in enumerate(starts)}
    gaps = {after - before for before, after in pairwise(starts)} or {n}
    return gaps.pop() if len(lengths) == len(gaps) == 1 and 0 not in gaps else None


@shift.register
def _(layer: reduce.Reduce, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    reduced = layer.reduced(xs[0])
    if 0 in reduced:
        return broken("reduces the batch")
    if at in reduced:
        return pooled("reduces the whole axis")
    return unchanged(at if layer.keep_axes else at - sum(axis < at for axis in reduced))


@shift.register
def _(layer: dense.Dense, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken(ITS_OWN) if at == len(y) - 1 else unchanged(at)


@shift.register
def _(layer: dense.MatMul, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    rows, columns = len(y) - 2, len(y) - 1
    if at < rows:
        return unchanged(at)
    summed = (rows if not layer.transpose_second else columns) if number else columns
    return broken("sums over the axis") if at == summed else unchanged(columns if number else rows)


@shift.register
def _(layer: activation.Activation, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at)


@shift.register
def _(layer: activation.PReLU, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken(ITS_OWN) if layer.per_channel and at == 1 else unchanged(at)


@shift.register
def _(layer: activation.GLU, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken("splits the axis in halves") if (at,) == positions_of(layer, xs[0], layer.axis) else unchanged(at)


@shift.register(activation.Softmax)
@shift.register(activation.LogSoftmax)
def _(layer: activation.Softmax, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    whole = (at,) == positions_of(layer, y, layer.axis)
    return over_whole(at, "sums over the whole axis") if whole else unchanged(at)


@shift.register
def _(layer: norm.BatchNorm, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at == 1:
        return broken(ITS_OWN) if layer.affine or layer.running else unchanged(at)
    return unchanged(at) if layer.running else over_whole(at, "normalises over the whole image")


@shift.register
def _(layer: norm.InstanceNorm, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at == 1:
        return broken(ITS_OWN) if layer.affine else unchanged(at)
    return over_whole(at, "normalises over the whole image")


@shift.register
def _(layer: norm.GroupNorm, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken("normalises groups of channels") if at == 1 else over_whole(at, "normalises over the whole image")


@shift.register(norm.LayerNorm)
@shift.register(norm.RMSNorm)
def _(layer: norm.LayerNorm, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at not in positions_of(layer, y, layer.axes):
        return unchanged(at)
    return broken(ITS_OWN) if layer.affine else over_whole(at, "normalises over the whole axis")


@shift.register
def _(layer: norm.LocalResponseNorm, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    cut = at == 1 and layer.size > 1
    return Shift(at, where="inside", because="has fewer neighbours at the ends") if cut else unchanged(at)


@shift.register
def _(layer: embedding.Embedding, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at)


@shift.register
def _(layer: join.Combine, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    repeated = xs[number][at] == 1 and y[at] > 1
    return broken("repeats a cell along the axis") if repeated else unchanged(at)


@shift.register
def _(layer: join.Concat, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    along = at == layer.along(xs[0]) and len(xs) > 1
    return broken("lays its inputs behind one another along the axis") if along else unchanged(at)


@shift.register(reshape.Identity)
@shift.register(reshape.Dropout)
def _(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at)


@shift.register(reshape.Flatten)
@shift.register(reshape.Reshape)
def _(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    """Values keep their order: a cell further along the axis is so many values further, and those are so many cells."""
    (x,) = xs
    if x[:1] != y[:1]:
        return broken("cuts images along the batch")
    for place in (place for place in range(1, len(y)) if prod(y[1:place]) == prod(x[1:at]) and y[place] > 1):
        values, made = prod(x[at + 1 :]), prod(y[place + 1 :])
        common = gcd(values, made)
        if made // common < x[at]:
            return Shift(place, made // common, values // common)
    return unchanged(at) if x == y else broken("lays the axis in one row with others")


@shift.register
def _(layer: reshape.Pad, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at < 2 or not any(reshape.amounts(layer, len(y) - 2)[at - 2]):
        return unchanged(at)
    return Shift(at, where="inside", because="adds cells at the border")


@shift.register
def _(layer: reshape.Crop, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at)


@shift.register
def _(layer: reshape.PixelShuffle, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at < 2:
        return unchanged(at) if layer.factor == 1 else broken("lays channels out as cells")
    return Shift(at, 1, layer.factor)


@shift.register
def _(layer: reshape.PixelUnshuffle, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if at < 2:
        return unchanged(at) if layer.factor == 1 else broken("lays cells out as channels")
    return Shift(at, layer.factor)


@shift.register
def _(layer: resize.Resize, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if number:
        return Shift(None)  # only its size is read
    if at < 2 or xs[0][at] == y[at]:
        return unchanged(at)
    if layer.align_corners:
        return broken("keeps the corners in place, so that its step is no whole number of cells")
    common = gcd(xs[0][at], y[at])
    edge: Where = "everywhere" if layer.mode == "nearest" else "inside"
    return Shift(at, xs[0][at] // common, y[at] // common, edge, "" if edge == "everywhere" else "repeats the border")


@shift.register
def _(layer: recurrent.Recurrent, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken("starts from a state of zero" if at == 1 else ITS_OWN)


@shift.register
def _(layer: einsum.Einsum, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    letter, output = layer.terms[number][at], layer.terms[2]
    return unchanged(output.index(letter)) if letter in output else broken("sums over the axis")


@shift.register
def _(layer: position.AddedPosition, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken("adds another number at every position")


@shift.register
def _(layer: position.Rotary, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at) if at < len(y) - 2 else broken("turns every position by another angle")


@shift.register
def _(layer: attention.Attention, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    """Queries, keys and values move together; positions that see as many others move, where those are not cut off."""
    if number < attention.VALUE and layer.trivial(xs):
        return Shift(None)  # is not read
    place = at + 4 - len(xs[number])  # as if heads were an axis
    if place == 1:
        return in_heads(layer, xs, y, number)
    if place == 3:
        why = {attention.VALUE: "lays heads side by side", attention.MASK: "sums over keys"}
        kept = number == attention.VALUE and layer.heads is None
        return unchanged(at) if kept else broken(why.get(number, "compares whole vectors"))
    return in_length(layer, xs, len(y) - 2, number)


def in_heads(layer: attention.Attention, xs: Shapes, y: Shape, number: int) -> Shift:
    """Along the axis of heads, those of keys being as many or fewer."""
    heads = layer.scores(xs)[1]
    if layer.heads is not None:
        return broken("lays heads side by side")
    if number == attention.MASK:
        return unchanged(1) if xs[number][1] == heads else broken("repeats a head's mask")
    return Shift(1, 1, heads // xs[number][1])


def in_length(layer: attention.Attention, xs: Shapes, to: int, number: int) -> Shift:
    """Along the positions, which all inputs have."""
    *_, queries, keys = layer.scores(xs)
    if number == attention.QUERY:
        return unchanged(to)
    if number == attention.MASK:
        return broken("tells pairs apart") if xs[number][2] > 1 or xs[number][3] > 1 else unchanged(to)
    if layer.window is None and keys > 1:
        return broken("sums over keys")
    before, behind = layer.reach(keys)
    cut = before > keys - queries or behind > 0
    return Shift(to, where="inside", because="sees fewer keys at the ends") if cut else unchanged(to)


@shift.register
def _(layer: attention.SplitHeads, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    _, heads, _, width = y
    return unchanged(2) if at == 1 else Shift(1, width) if heads > 1 else unchanged(3)


@shift.register
def _(layer: experts.Experts, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return broken(ITS_OWN) if at == len(y) - 1 else unchanged(at)
