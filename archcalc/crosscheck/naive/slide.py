"""Sliding a window by steps: how often it stops, and which cells lie under it."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from archcalc.layers.windowed import unchecked


class Axis(NamedTuple):
    """What a layer states for one axis."""

    kernel: int
    stride: int
    before: int
    after: int
    dilation: int


def stated(layer: Any, sizes: Sequence[int]) -> list[Axis]:
    """The window along each axis; `same` and `causal` as numbers of cells, an overhang left out."""
    return [Axis(w.kernel, w.stride, w.before, w.after, w.dilation) for w in unchecked(layer, sizes)]


def slide(n: int, axis: Axis) -> int:
    """Slide until the last tap would leave the padded axis."""
    stops = 0
    while stops * axis.stride + (axis.kernel - 1) * axis.dilation < n + axis.before + axis.after:
        stops += 1
    return stops


def slide_beyond(n: int, axis: Axis) -> int:
    """Slide while the window starts before the padding behind, until one reaches the end of the padded axis."""
    stops, start = 0, 0
    while start < n + axis.before:
        stops += 1
        if start + (axis.kernel - 1) * axis.dilation + 1 >= n + axis.before + axis.after:
            break
        start += axis.stride
    return stops


def cells(at: Sequence[int], axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """The cells under a window, tap by tap; those of the padding lie outside the axis."""
    along = [
        [stop * axis.stride - axis.before + tap * axis.dilation for tap in range(axis.kernel)]
        for stop, axis in zip(at, axes, strict=True)
    ]
    yield from product(*along)


def inside(cell: Sequence[int], sizes: Sequence[int], around: Sequence[tuple[int, int]] | None = None) -> bool:
    """Does a cell lie on the axes, or on what counts (before, after) around them?"""
    margins = around or [(0, 0)] * len(sizes)
    return all(-before <= c < n + after for c, n, (before, after) in zip(cell, sizes, margins, strict=True))
