"""Programs of the kinds that merge or resample cells of a grid: pools, reductions, interpolation."""

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.number import Array, Number, largest, mean, smallest, total, variance
from archcalc.crosscheck.naive.number import product as multiplied
from archcalc.crosscheck.naive.program import Weights, compute, filled, positions, rows
from archcalc.crosscheck.naive.slide import cells, inside, slide, slide_beyond, stated
from archcalc.layers.windowed import per_axis

Merge = Callable[[Sequence[Number]], Number]


def pooled(layer: Any, x: Array, merge: Merge, around: Sequence[tuple[int, int]] | None) -> Array:
    """Merge the cells under every window; those off the axis take part only within the margin `around` it."""
    axes, zero = stated(layer, x.shape[2:]), Number(0.0, x.flat[0].tally)
    stops = [(slide_beyond if layer.ceil_mode else slide)(n, axis) for n, axis in zip(x.shape[2:], axes, strict=True)]

    def cell(image: int, channel: int, *at: int) -> Number:
        under = [cell for cell in cells(at, axes) if inside(cell, x.shape[2:], around)]
        values = [x[(image, channel, *cell)] if inside(cell, x.shape[2:]) else zero for cell in under]
        return merge(values or [Number(-math.inf, zero.tally)])  # a window that meets nothing

    return filled((*x.shape[:2], *stops), cell)


@compute.register
def _(layer: layers.MaxPool, xs: Sequence[Array], weights: Weights) -> Array:
    return pooled(layer, xs[0], largest, None)


@compute.register
def _(layer: layers.AvgPool, xs: Sequence[Array], weights: Weights) -> Array:
    margins = [(axis.before, axis.after) for axis in stated(layer, xs[0].shape[2:])]
    return pooled(layer, xs[0], mean, margins if layer.counts_padding else None)


@compute.register(layers.GlobalAvgPool)
@compute.register(layers.GlobalMaxPool)
def _(layer: Any, xs: Sequence[Array], weights: Weights) -> Array:
    merge = mean if isinstance(layer, layers.GlobalAvgPool) else largest
    kept = xs[0].shape[:2] + ((1,) * (xs[0].ndim - 2) if layer.keep_axes else ())
    return filled(kept, lambda image, channel, *_: merge(list(xs[0][image, channel].flat)))


@compute.register(layers.AdaptiveAvgPool)
@compute.register(layers.AdaptiveMaxPool)
def _(layer: Any, xs: Sequence[Array], weights: Weights) -> Array:
    merge = mean if isinstance(layer, layers.AdaptiveAvgPool) else largest
    sizes = per_axis(layer, "size", xs[0].ndim - 2)

    def cell(image: int, channel: int, *at: int) -> Number:
        along = zip(at, xs[0].shape[2:], sizes, strict=True)
        under = tuple(slice(math.floor(i * n / size), math.ceil((i + 1) * n / size)) for i, n, size in along)
        return merge(list(xs[0][image, channel][under].flat))

    return filled((*xs[0].shape[:2], *sizes), cell)


MERGES: dict[str, Merge] = {
    "reduce_mean": mean, "reduce_sum": total, "reduce_max": largest, "reduce_min": smallest, "reduce_prod": multiplied,
    "reduce_variance": variance,
}  # fmt: skip


@compute.register
def _(layer: layers.Reduce, xs: Sequence[Array], weights: Weights) -> Array:
    merge = MERGES[layer.function]
    axes = positions(layer.axes, xs[0].ndim)
    kept = [1 if axis in axes else n for axis, n in enumerate(xs[0].shape)]
    values = [merge([xs[0][at] for at in row]) for row in rows(xs[0].shape, axes)]
    y = np.array(values, dtype=object).reshape(kept)
    return y if layer.keep_axes else y.reshape([n for axis, n in enumerate(kept) if axis not in axes])


@compute.register
def _(layer: layers.Resize, xs: Sequence[Array], weights: Weights) -> Array:
    """Each output cell a weighted sum of the nearest cells; the weights are known before any image is seen."""
    x, sizes = xs[0], layer.out(*[x.shape for x in xs])[2:]
    taps = {"nearest": _nearest, "bilinear": _linear, "bicubic": _cubic}[layer.mode]
    known = [
        [taps(n, size, cell, layer.align_corners) for cell in range(size)]
        for n, size in zip(x.shape[2:], sizes, strict=True)
    ]

    def cell(image: int, channel: int, *at: int) -> Number:
        near = list(product(*(axis[place] for axis, place in zip(known, at, strict=True))))
        values = [x[(image, channel, *(cell for cell, _ in tap))] for tap in near]
        if layer.mode == "nearest":
            return values[0]  # type: ignore[no-any-return]
        return total([value * math.prod(weight for _, weight in tap) for value, tap in zip(values, near, strict=True)])

    return filled((*x.shape[:2], *sizes), cell)


def _nearest(n: int, size: int, cell: int, _: bool) -> list[tuple[int, float]]:
    return [(min(cell * n // size, n - 1), 1.0)]


def _place(n: int, size: int, cell: int, corners: bool) -> float:
    """Where the centre of an output cell lies among the input cells."""
    if corners:
        return cell * (n - 1) / (size - 1) if size > 1 else 0.0
    return (cell + 0.5) * n / size - 0.5


def _linear(n: int, size: int, cell: int, corners: bool) -> list[tuple[int, float]]:
    place = max(_place(n, size, cell, corners), 0.0)
    first = min(math.floor(place), n - 1)
    return [(first, 1 - (place - first)), (min(first + 1, n - 1), place - first)]


def _cubic(n: int, size: int, cell: int, corners: bool) -> list[tuple[int, float]]:
    """Keys' kernel with a = −3/4, cells beyond the border being those on it."""
    place = _place(n, size, cell, corners)
    first = math.floor(place)
    return [(min(max(first + k, 0), n - 1), _keys(abs(place - first - k))) for k in (-1, 0, 1, 2)]


def _keys(t: float, a: float = -0.75) -> float:
    near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
    return near if t <= 1 else far


@compute.register
def _(layer: layers.ArgMax, xs: Sequence[Array], weights: Weights) -> Array:
    x, axis = xs[0], layer.axis % xs[0].ndim
    kept = [1 if at == axis else n for at, n in enumerate(x.shape)]
    places = []
    for row in rows(x.shape, [axis]):
        best = 0
        for place in range(1, len(row)):
            best = place if x[row[place]].chosen(x[row[place]].value > x[row[best]].value).value else best
        places.append(Number(best, x.flat[0].tally))
    y = np.array(places, dtype=object).reshape(kept)
    return y if layer.keep_axis else y.squeeze(axis)


@compute.register
def _(layer: layers.CumulativeSum, xs: Sequence[Array], weights: Weights) -> Array:
    y = np.empty(xs[0].shape, dtype=object)
    for row in rows(y.shape, positions(layer.axis, y.ndim)):
        for place, at in enumerate(row):
            y[at] = xs[0][at] if place == 0 else y[row[place - 1]] + xs[0][at]
    return y


@compute.register
def _(layer: layers.Unfold, xs: Sequence[Array], weights: Weights) -> Array:
    """Column by column the cells under a window, channel after channel."""
    x, axes = xs[0], stated(layer, xs[0].shape[2:])
    stops, zero = [slide(n, axis) for n, axis in zip(x.shape[2:], axes, strict=True)], Number(0.0, x.flat[0].tally)
    columns = [
        [x[(image, channel, *cell)] if inside(cell, x.shape[2:]) else zero
         for channel in range(x.shape[1]) for cell in cells(at, axes)]
        for image in range(len(x)) for at in np.ndindex(*stops)
    ]  # fmt: skip
    return np.array(columns, dtype=object).reshape(len(x), math.prod(stops), -1).swapaxes(1, 2)


@compute.register
def _(layer: layers.Fold, xs: Sequence[Array], weights: Weights) -> Array:
    axes, zero = stated(layer, layer.sizes), Number(0.0, xs[0].flat[0].tally)
    stops = [slide(n, axis) for n, axis in zip(layer.sizes, axes, strict=True)]
    taps = math.prod(axis.kernel for axis in axes)
    y = np.empty((len(xs[0]), xs[0].shape[1] // taps, *layer.sizes), dtype=object)
    for image, channel in np.ndindex(*y.shape[:2]):
        for stop, at in enumerate(np.ndindex(*stops)):
            for tap, cell in enumerate(cells(at, axes)):
                if inside(cell, layer.sizes):
                    value, place = xs[0][image, channel * taps + tap, stop], (image, channel, *cell)
                    y[place] = value if y[place] is None else y[place] + value
    return filled(y.shape, lambda *at: zero if y[at] is None else y[at])
