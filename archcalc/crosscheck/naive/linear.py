"""Programs of the kinds that multiply and accumulate: convolutions, transposed convolutions, dense layers, products."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.number import Array, Number, total
from archcalc.crosscheck.naive.program import Weights, compute, filled, plus
from archcalc.crosscheck.naive.slide import Axis, cells, inside, slide, stated
from archcalc.layers.windowed import per_axis


def convolved(x: Array, weight: Array, bias: Array | None, groups: int, axes: Sequence[Axis]) -> Array:
    """Every filter at every stop of every image: the products of its taps with the cells under them, added up."""
    filters, taken = weight.shape[:2]
    stops = [slide(n, axis) for n, axis in zip(x.shape[2:], axes, strict=True)]

    def cell(image: int, filter: int, *at: int) -> Number:
        first = filter // (filters // groups) * taken  # of the channels that its group sees
        terms = correlated(x[image, first : first + taken], weight[filter], axes, at)
        return plus(total(terms), bias, filter)

    return filled((len(x), filters, *stops), cell)


def correlated(x: Array, filter: Array, axes: Sequence[Axis], at: Sequence[int]) -> list[Number]:
    """The products of a filter's taps (channels × taps) with the cells of x (channels × axes) under them."""
    terms = []
    for channel in range(len(filter)):
        taps = product(*map(range, filter.shape[1:]))
        for tap, cell in zip(taps, cells(at, axes), strict=True):
            tapped = filter[(channel, *tap)]
            padding = Number(0.0, tapped.tally, padding=True)
            terms.append((x[(channel, *cell)] if inside(cell, x.shape[1:]) else padding) * tapped)
    return terms


@compute.register
def _(layer: layers.Conv, xs: Sequence[Array], weights: Weights) -> Array:
    return convolved(xs[0], weights["weight"], weights.get("bias"), layer.groups, stated(layer, xs[0].shape[2:]))


@compute.register
def _(layer: layers.WeightedConv, xs: Sequence[Array], weights: Weights) -> Array:
    x, kernel, *bias = xs
    axes = stated(layer.conv([x.shape for x in xs]), x.shape[2:])
    return convolved(x, kernel, bias[0] if bias else None, layer.groups, axes)


def by_channel(x: Array, weight: Array, bias: Array | None, axes: Sequence[Axis]) -> Array:
    """Each channel with filters of its own: without the grouped convolution that the kind is built of."""
    each = len(weight) // x.shape[1]
    own = [slice(channel * each, (channel + 1) * each) for channel in range(x.shape[1])]
    maps = [
        convolved(x[:, [channel]], weight[filters], None if bias is None else bias[filters], 1, axes)
        for channel, filters in enumerate(own)
    ]
    return np.concatenate(maps, axis=1)


@compute.register
def _(layer: layers.DepthwiseConv, xs: Sequence[Array], weights: Weights) -> Array:
    return by_channel(xs[0], weights["weight"], weights.get("bias"), stated(layer, xs[0].shape[2:]))


@compute.register
def _(layer: layers.SeparableConv, xs: Sequence[Array], weights: Weights) -> Array:
    """Channel by channel, then each output cell a mixture of the channels."""
    maps = by_channel(xs[0], weights["depthwise.weight"], None, stated(layer, xs[0].shape[2:]))
    mixing = weights["pointwise.weight"]
    mixed = rows_times(np.moveaxis(maps, 1, -1), mixing.reshape(mixing.shape[:2]), weights.get("pointwise.bias"))
    return np.moveaxis(mixed, -1, 1)


@compute.register
def _(layer: layers.ConvTranspose, xs: Sequence[Array], weights: Weights) -> Array:
    """Spread every cell over the output; products that land on the cropped border are added up beside it."""
    x, weight, bias = xs[0], weights["weight"], weights.get("bias")
    zero = Number(0.0, x.flat[0].tally)
    y, spilt = np.empty((len(x), layer.filters, *_spread_sizes(layer, x)), dtype=object), zero
    for cell, value in _spread(layer, x, weight):
        if not inside(cell[2:], y.shape[2:]):
            value.tally.on_padding += 1
            spilt = spilt + value
        else:
            y[cell] = value if y[cell] is None else y[cell] + value
    return filled(y.shape, lambda *at: plus(zero if y[at] is None else y[at], bias, at[1]))


def _spread_sizes(layer: Any, x: Array) -> list[int]:
    """From the first tap of the first cell to the last tap of the last, less the crop, and what is added behind."""
    extra = per_axis(layer, "output_padding", x.ndim - 2)
    reach = [
        (n - 1) * w.stride + (w.kernel - 1) * w.dilation + 1
        for w, n in zip(layer.windows(x.shape), x.shape[2:], strict=True)
    ]
    crops = [w.before + w.after for w in layer.windows(x.shape)]
    return [size - crop + cells for size, crop, cells in zip(reach, crops, extra, strict=True)]


def _spread(layer: Any, x: Array, weight: Array) -> Iterator[tuple[tuple[int, ...], Number]]:
    """Every product of a cell with a tap, and where it lands."""
    windows, filters = layer.windows(x.shape), weight.shape[1]
    for image, channel, *at in np.ndindex(*x.shape):
        group = channel // (x.shape[1] // layer.groups)
        for number, *tap in np.ndindex(*weight.shape[1:]):
            cell = [i * w.stride + t * w.dilation - w.before for i, t, w in zip(at, tap, windows, strict=True)]
            value = x[(image, channel, *at)] * weight[(channel, number, *tap)]
            yield (image, group * filters + number, *cell), value


def rows_times(x: Array, weight: Array, bias: Array | None) -> Array:
    """Each row along the last axis times a matrix of units × features."""
    shape = (*x.shape[:-1], len(weight))
    return filled(shape, lambda *at: plus(dot(x[at[:-1]], weight[at[-1]]), bias, at[-1]))


def dot(a: Array, b: Array) -> Number:
    """The products of n pairs, added up: n multiplications, n − 1 additions."""
    return total([p * q for p, q in zip(a, b, strict=True)])


@compute.register
def _(layer: layers.Dense, xs: Sequence[Array], weights: Weights) -> Array:
    return rows_times(xs[0], weights["weight"], weights.get("bias"))


@compute.register
def _(layer: layers.MatMul, xs: Sequence[Array], weights: Weights) -> Array:
    first, second = xs
    columns = second if layer.transpose_second else second.swapaxes(-1, -2)
    lead = np.broadcast_shapes(first.shape[:-2], columns.shape[:-2])
    first, columns = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (first, columns))
    shape = (*first.shape[:-1], columns.shape[-2])
    return filled(shape, lambda *at: dot(first[at[:-1]], columns[(*at[:-2], at[-1])]))
