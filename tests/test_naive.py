"""Formulas of windows against naive counting, over random configurations."""

from math import prod

from hypothesis import given
from hypothesis import strategies as st

from archcalc.layers import AdaptiveAvgPool, AvgPool
from archcalc.layers.pool import covered
from archcalc.layers.windowed import unchecked
from tests import naive
from tests.strategies import convs, pools, transposed


def fields(layer, x):
    """Kernel, stride, padding, dilation per axis, as the layer itself states them."""
    windows = unchecked(layer, x[2:])
    return (
        [w.kernel for w in windows],
        [w.stride for w in windows],
        [(w.before, w.after) for w in windows],
        [w.dilation for w in windows],
    )


@given(convs())
def test_convolution(pair):
    layer, x = pair
    kernel, stride, padding, dilation = fields(layer, x)
    y = layer.out(x)
    _, _, *stops = y
    slid = [
        naive.stops_that_fit(n, k, s, *p, d)
        for n, k, s, p, d in zip(x[2:], kernel, stride, padding, dilation, strict=True)
    ]
    assert stops == slid
    everything, inside = naive.conv_taps(x[2:], stops, kernel, stride, padding, dilation)
    per_image = x[0] * layer.filters * (x[1] // layer.groups)
    assert layer.macs([x], y) == per_image * everything
    assert layer.macs_exact([x], y) == per_image * inside
    ops = layer.ops([x], y)
    assert (ops.mul, ops.add) == (layer.macs([x], y), layer.macs([x], y) - (0 if layer.bias else prod(y)))


@given(transposed())
def test_transposed_convolution(pair):
    layer, x = pair
    windows = layer.windows(x)
    y = layer.out(x)
    crop = [w.before for w in windows]
    everything, landed, reached = naive.transposed_products(
        x[2:], y[2:], [w.kernel for w in windows], [w.stride for w in windows], crop, [w.dilation for w in windows]
    )
    per_image = x[0] * x[1] * (layer.filters // layer.groups)
    assert layer.macs([x], y) == per_image * everything
    assert layer.macs_exact([x], y) == per_image * landed
    sums = x[0] * layer.filters * reached
    assert layer.ops([x], y).add == per_image * everything - sums + (prod(y) if layer.bias else 0)


@given(pools())
def test_pooling(pair):
    layer, x = pair
    kernel, stride, padding, dilation = fields(layer, x)
    y = layer.out(x)
    slide = naive.pool_stops_ceil if layer.ceil_mode else naive.stops_that_fit
    each = list(zip(x[2:], kernel, stride, padding, dilation, strict=True))
    assert list(y[2:]) == [slide(n, k, s, *p, d) for n, k, s, p, d in each]
    if isinstance(layer, AvgPool) and layer.counts_padding:
        axes, padding = (
            [n + before + after for n, (before, after) in zip(x[2:], padding, strict=True)],
            [(0, 0)] * len(kernel),
        )
    else:
        axes = x[2:]
    taps = naive.taps_per_window(axes, y[2:], kernel, stride, padding, dilation)
    merged = x[0] * x[1] * sum(max(0, count - 1) for count in taps)
    ops = layer.ops([x], y)
    assert (ops.add if isinstance(layer, AvgPool) else ops.cmp) == merged >= 0


@given(st.integers(1, 60), st.integers(1, 20))
def test_adaptive_windows(n, size):
    from math import gcd

    assert covered(n, size) == naive.adaptive_taps(n, size) == n + size - gcd(n, size)
    assert AdaptiveAvgPool(size=size).ops([(1, 1, n)], (1, 1, size)).add == naive.adaptive_taps(n, size) - size
