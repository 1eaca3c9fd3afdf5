"""Arithmetic on the weights of affine layers: folded into one another, composed, unrolled into a matrix."""

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from archcalc.algebra.window import Window
from archcalc.layers.conv import Conv
from archcalc.layers.layer import Shape
from archcalc.layers.pool import AvgPool
from archcalc.layers.windowed import unchecked

Array = np.ndarray[Any, Any]
ALL: Any = slice(None)
Own = Mapping[str, Array]  # the tensors of one layer


def scale_and_shift(norm: Own, epsilon: float) -> tuple[Array, Array]:
    """A batch norm at inference as x·scale + shift, per channel."""
    scale = 1 / np.sqrt(norm["running_var"] + epsilon)
    if "weight" in norm:
        scale = scale * norm["weight"]
    shift = -norm["running_mean"] * scale
    return scale, shift + norm["bias"] if "bias" in norm else shift


def folded_weights(linear: Own, norm: Own, epsilon: float, axis: int, groups: int) -> dict[str, Array]:
    """A linear layer followed by a batch norm, as one: filters scaled, the bias scaled and shifted.

    `axis` is where the weight has its outputs: 1 for a transposed convolution, whose groups stand along axis 0.
    """
    weight = linear["weight"]
    scale, shift = scale_and_shift(norm, epsilon)
    bias = shift + linear["bias"] * scale if "bias" in linear else shift
    if axis == 0:
        factors = scale.reshape(-1, *[1] * (weight.ndim - 1))
    else:  # rows of a group all lead to the group's own outputs
        factors = np.repeat(scale.reshape(groups, -1), weight.shape[0] // groups, axis=0)
        factors = factors.reshape(*factors.shape, *[1] * (weight.ndim - 2))
    return {"weight": (weight * factors).astype(weight.dtype), "bias": bias.astype(weight.dtype)}


class Map:
    """An affine map of images that one convolution can be: a kernel without groups or dilation, a stride, a bias."""

    def __init__(self, kernel: Array, stride: tuple[int, ...], bias: Array) -> None:
        self.kernel, self.stride, self.bias = kernel, stride, bias

    def then(self, after: "Map") -> "Map":
        """This map and then another: tap b of this under tap a of the other is tap stride·a + b of both."""
        here, there = self.kernel.shape[2:], after.kernel.shape[2:]
        spans = [n + s * (m - 1) for n, m, s in zip(here, there, self.stride, strict=True)]
        kernel = np.zeros((after.kernel.shape[0], self.kernel.shape[1], *spans), self.kernel.dtype)
        for tap in product(*map(range, here)):
            places = tuple(slice(b, b + s * m, s) for b, m, s in zip(tap, there, self.stride, strict=True))
            share = np.tensordot(after.kernel, self.kernel[(ALL, ALL, *tap)], axes=(1, 0))
            kernel[(ALL, ALL, *places)] += np.moveaxis(share, -1, 1)
        bias = after.bias + after.kernel.reshape(*after.kernel.shape[:2], -1).sum(2) @ self.bias
        return Map(kernel, tuple(s * t for s, t in zip(self.stride, after.stride, strict=True)), bias)


def identity(channels: int, rank: int, scale: Array | float = 1.0, shift: Array | None = None) -> Map:
    """Each channel scaled and shifted."""
    kernel = np.eye(channels) * scale if not isinstance(scale, np.ndarray) else np.diag(scale)
    bias = np.zeros(channels) if shift is None else shift
    return Map(kernel.reshape(channels, channels, *[1] * rank), (1,) * rank, bias)


def of_conv(layer: Conv, own: Own, x: Shape) -> Map:
    """A convolution, its groups written out as zeros between channels, its dilation as zeros between taps."""
    weight, windows = own["weight"], layer.windows(x)
    each, filters = weight.shape[1], layer.filters // layer.groups
    kernel = np.zeros((layer.filters, x[1], *(w.span for w in windows)), weight.dtype)
    taps = tuple(slice(None, None, w.dilation) for w in windows)
    for group in range(layer.groups):
        rows = slice(group * filters, (group + 1) * filters)
        kernel[(rows, slice(group * each, (group + 1) * each), *taps)] = weight[rows]
    bias = own["bias"] if "bias" in own else np.zeros(layer.filters, weight.dtype)
    return Map(kernel, tuple(w.stride for w in windows), bias)


def of_avg_pool(windows: Sequence[Window], channels: int, share: float | None = None) -> Map:
    """An average over windows without padding; or, with a share, each cell so many times."""
    sizes = [w.kernel for w in windows]
    kernel = np.zeros((channels, channels, *sizes))
    kernel[np.arange(channels), np.arange(channels)] = 1 / prod(sizes) if share is None else share
    return Map(kernel, tuple(w.stride for w in windows), np.zeros(channels))


def spread(matrix: Array, made: Map, windows: Sequence[Window], x: Shape) -> Array:
    """A matrix on a map's output cells as one on its input cells; taps on padding meet nothing."""
    axes, stops = x[2:], matrix.shape[2:]
    padded = [
        max(n + w.before, w.before + (m - 1) * w.stride + w.span) for n, w, m in zip(axes, windows, stops, strict=True)
    ]
    full = np.zeros((matrix.shape[0], x[1], *padded), matrix.dtype)
    for tap in product(*map(range, made.kernel.shape[2:])):
        places = tuple(slice(t, t + w.stride * m, w.stride) for t, w, m in zip(tap, windows, stops, strict=True))
        share = np.tensordot(matrix, made.kernel[(ALL, ALL, *tap)], axes=(1, 0))
        full[(ALL, ALL, *places)] += np.moveaxis(share, -1, 1)
    kept = tuple(slice(w.before, w.before + n) for n, w in zip(axes, windows, strict=True))
    return full[(ALL, ALL, *kept)]


def averaged(matrix: Array, layer: AvgPool, x: Shape) -> Array:
    """A matrix on a pool's outputs, each divided by the cells that its mean is of."""
    for axis, (n, window, stated) in enumerate(
        zip(x[2:], layer.windows(x), unchecked(layer, x[2:]), strict=True), start=2
    ):
        low, high = (-stated.before, n + stated.after) if layer.counts_padding else (0, n)
        starts = np.arange(matrix.shape[axis]) * window.stride - window.before
        counts = np.minimum(starts + window.kernel, high) - np.maximum(starts, low)
        matrix = matrix / counts.reshape(*[1] * axis, -1, *[1] * (matrix.ndim - axis - 1))
    return matrix
