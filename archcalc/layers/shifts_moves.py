"""What kinds that pick, turn, look up and compare cells do to a shift: further rows of the table in shifts.py."""

from math import prod

from archcalc.layers import activation, index, join, reduce, reshape, source, unfold, weighted
from archcalc.layers.layer import Layer, Shape, positions_of
from archcalc.layers.shifts import MIXES, Shapes, Shift, broken, over_whole, shift, spreading, stepping, unchanged

BATCH = "moves the batch"  # whatever else it does: what holds of one image by itself need not hold of several


@shift.register
def _(layer: activation.Clamp, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(at)


@shift.register
def _(layer: index.Slice, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    position = index.place_of(layer, xs[0], layer.axis)
    if not layer.drop:
        return Shift(at, layer.step) if at == position else unchanged(at)
    if position == 0:
        return broken(BATCH)
    return broken("picks one place of the axis") if at == position else unchanged(at - (position < at))


@shift.register(index.Expand)
@shift.register(join.Compare)
@shift.register(join.Where)
def _(layer: Layer, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    repeated = xs[number][at] == 1 and y[at] > 1
    return broken("repeats a cell along the axis") if repeated else unchanged(at)


@shift.register
def _(layer: index.Gather, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    position, added = index.place_of(layer, xs[0], layer.axis), len(xs[1]) - 1
    if number == 1:
        alone = position > 0 and xs[0][position] == 1  # all indices name the one cell
        return Shift(None) if alone else unchanged(position + at)
    if at == position:
        return broken("looks places of the axis up")
    return unchanged(at if at < position else at + added)


@shift.register
def _(layer: index.Roll, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    """As on a ring: only where the ends meet are neighbours not neighbours in the image."""
    start = layer.moves(y).get(at, 0) % y[at]  # where the first cell comes to lie
    if start == 0:
        return unchanged(at)
    at_border = min(start, y[at] - start) <= y[at] // 4  # further in, no cell is away from it
    return Shift(at, where="inside" if at_border else "moving", because="carries cells round the end of the axis")


@shift.register
def _(layer: index.Flip, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    turned = at in positions_of(layer, y, layer.axes) and y[at] > 1
    return broken("turns the axis round") if turned else unchanged(at)


@shift.register
def _(layer: reduce.ArgMax, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    position = index.place_of(layer, xs[0], layer.axis)
    if at == position:
        return broken("gives places along the axis")
    return broken(BATCH) if position == 0 else unchanged(at if layer.keep_axis else at - (position < at))


@shift.register
def _(layer: reduce.CumulativeSum, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    along = (at,) == positions_of(layer, y, layer.axis)
    return broken("sums from the start of the axis") if along and y[at] > 1 else unchanged(at)


@shift.register
def _(layer: reduce.Normalize, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    along = (at,) == positions_of(layer, y, layer.axis)
    return over_whole(at, "sums over the whole axis") if along else unchanged(at)


@shift.register
def _(layer: unfold.Unfold, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    """A channel is as many columns' cells as there are taps; a row of stops follows the one before."""
    windows = layer.windows(xs[0])
    if at == 1:
        return Shift(1, 1, prod(window.kernel for window in windows))
    stops = [window.size(n) for window, n in zip(windows, xs[0][2:], strict=True)]
    if prod(stops[: at - 2]) > 1:
        return broken("lays windows out in one row")
    along = stepping(at, windows[at - 2], xs[0], (*y[:2], *stops), "pads its windows")
    return Shift(2, along.period, prod(stops[at - 1 :]), along.where, along.because)


@shift.register
def _(layer: unfold.Fold, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    """As many columns' cells as there are taps are a channel; as many stops as a row has are a step to the next row."""
    windows = layer.windows(xs[0])
    if at == 1:
        return Shift(1, prod(window.kernel for window in windows))
    first = next((axis for axis, stops in enumerate(layer.stops) if stops > 1), None)
    if first is None:
        return broken("has one window alone")
    window, padded = windows[first], y[2 + first] + windows[first].before + windows[first].after
    moved = spreading(2 + first, window, padded - (layer.stops[first] - 1) * window.stride - window.span)
    return Shift(moved.at, prod(layer.stops[first + 1 :]), moved.step, moved.where, moved.because)


@shift.register
def _(layer: weighted.WeightedConv, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    if number or at < 2:
        return broken(MIXES if not number else "convolves by it")
    return stepping(at, layer.conv(xs).windows(xs[0])[at - 2], xs[0], y, "pads with zeros")


@shift.register
def _(layer: source.Source, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return Shift(None)  # it reads nothing that could move


@shift.register
def _(layer: reshape.Permute, xs: Shapes, y: Shape, at: int, number: int = 0) -> Shift:
    return unchanged(layer.order.index(at)) if layer.order[0] == 0 else broken(BATCH)
