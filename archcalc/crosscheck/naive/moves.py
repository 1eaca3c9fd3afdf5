"""Programs of the kinds that only move values: numpy does the moving, nothing is counted because nothing is done."""

from collections.abc import Sequence

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.number import Array, Number, Tally
from archcalc.crosscheck.naive.program import Weights, compute, filled
from archcalc.crosscheck.naive.slide import inside
from archcalc.layers.reshape import amounts


@compute.register(layers.Identity)
@compute.register(layers.Dropout)
def _(layer: layers.Layer, xs: Sequence[Array], weights: Weights) -> Array:
    return xs[0]  # what is dropped while training is not at inference


@compute.register
def _(layer: layers.Flatten, xs: Sequence[Array], weights: Weights) -> Array:
    shape = list(xs[0].shape)
    start, end = layer.start % len(shape), layer.end % len(shape)
    return xs[0].reshape([*shape[:start], -1, *shape[end + 1 :]])


@compute.register
def _(layer: layers.Reshape, xs: Sequence[Array], weights: Weights) -> Array:
    return xs[0].reshape([*(() if layer.whole else xs[0].shape[:1]), *layer.shape])


@compute.register
def _(layer: layers.Permute, xs: Sequence[Array], weights: Weights) -> Array:
    return xs[0].transpose(layer.order)


@compute.register
def _(layer: layers.Pad, xs: Sequence[Array], weights: Weights) -> Array:
    """Cells of the new axes, by where they lie in the old: outside it, inside, folded back, at the border, around."""
    x, zero = xs[0], Number(0.0, xs[0].flat[0].tally)
    around = amounts(layer, x.ndim - 2)

    def source(place: int, n: int) -> int:
        folded = {"reflect": n - 1 - abs(n - 1 - abs(place)), "replicate": min(max(place, 0), n - 1)}
        return folded.get(layer.mode, place % n)

    def cell(image: int, channel: int, *at: int) -> Number:
        places = [place - before for place, (before, _) in zip(at, around, strict=True)]
        if layer.mode == "constant" and not inside(places, x.shape[2:]):
            return zero
        found = [source(place, n) for place, n in zip(places, x.shape[2:], strict=True)]
        return x[(image, channel, *found)]  # type: ignore[no-any-return]

    sizes = [n + before + after for n, (before, after) in zip(x.shape[2:], around, strict=True)]
    return filled((*x.shape[:2], *sizes), cell)


@compute.register
def _(layer: layers.Crop, xs: Sequence[Array], weights: Weights) -> Array:
    cut = amounts(layer, xs[0].ndim - 2)
    kept = [slice(before, n - after) for n, (before, after) in zip(xs[0].shape[2:], cut, strict=True)]
    return xs[0][(slice(None), slice(None), *kept)]


@compute.register
def _(layer: layers.PixelShuffle, xs: Sequence[Array], weights: Weights) -> Array:
    """Channel c·f² + i·f + j becomes cell (i, j) of each block of channel c."""
    f, rank = layer.factor, xs[0].ndim - 2
    shape = (len(xs[0]), xs[0].shape[1] // f**rank, *(n * f for n in xs[0].shape[2:]))

    def cell(image: int, channel: int, *at: int) -> Number:
        within = 0
        for place in at:
            within = within * f + place % f
        return xs[0][(image, channel * f**rank + within, *(place // f for place in at))]  # type: ignore[no-any-return]

    return filled(shape, cell)


@compute.register
def _(layer: layers.PixelUnshuffle, xs: Sequence[Array], weights: Weights) -> Array:
    f, rank = layer.factor, xs[0].ndim - 2
    shape = (len(xs[0]), xs[0].shape[1] * f**rank, *(n // f for n in xs[0].shape[2:]))

    def cell(image: int, channel: int, *at: int) -> Number:
        channel, within = divmod(channel, f**rank)
        inner = []
        for place in reversed(at):
            within, rest = divmod(within, f)
            inner.append(place * f + rest)
        return xs[0][(image, channel, *reversed(inner))]  # type: ignore[no-any-return]

    return filled(shape, cell)


@compute.register
def _(layer: layers.Concat, xs: Sequence[Array], weights: Weights) -> Array:
    return np.concatenate(xs, axis=layer.axis)


@compute.register
def _(layer: layers.Embedding, xs: Sequence[Array], weights: Weights) -> Array:
    return filled((*xs[0].shape, layer.width), lambda *at: weights["weight"][int(xs[0][at[:-1]].value), at[-1]])


@compute.register
def _(layer: layers.Slice, xs: Sequence[Array], weights: Weights) -> Array:
    axis = layer.axis % xs[0].ndim
    kept = range(xs[0].shape[axis])[layer.start : layer.stop : layer.step]
    return xs[0].take(kept[0] if layer.drop else kept, axis)


@compute.register
def _(layer: layers.Expand, xs: Sequence[Array], weights: Weights) -> Array:
    sizes = [n if size == -1 else size for n, size in zip(xs[0].shape, layer.shape, strict=True)]
    return np.broadcast_to(xs[0], sizes)


@compute.register
def _(layer: layers.Gather, xs: Sequence[Array], weights: Weights) -> Array:
    values, indices = xs
    axis, places = layer.axis % values.ndim, indices.ndim

    def cell(*at: int) -> Number:
        index = int(indices[at[axis : axis + places]].value)
        return values[(*at[:axis], index, *at[axis + places :])]  # type: ignore[no-any-return]

    return filled((*values.shape[:axis], *indices.shape, *values.shape[axis + 1 :]), cell)


@compute.register
def _(layer: layers.Roll, xs: Sequence[Array], weights: Weights) -> Array:
    return np.roll(xs[0], layer.shifts, layer.axes)


@compute.register
def _(layer: layers.Flip, xs: Sequence[Array], weights: Weights) -> Array:
    return np.flip(xs[0], layer.axes)


@compute.register
def _(layer: layers.Parameter, xs: Sequence[Array], weights: Weights) -> Array:
    return weights["weight"].reshape(layer.out())


@compute.register
def _(layer: layers.Constant, xs: Sequence[Array], weights: Weights) -> Array:
    return filled(layer.out(), lambda *_: Number(0.0, Tally()))  # any values serve: nothing is done to make them
