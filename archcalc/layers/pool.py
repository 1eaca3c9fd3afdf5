"""Pooling over windows, over whole axes, and onto a given size."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees, over, shared, through
from archcalc.algebra.num import called, ceil_div, gcd, less, prod, smallest
from archcalc.algebra.ops import Ops
from archcalc.algebra.window import Window
from archcalc.layers.layer import (
    Graded,
    Layer,
    Saved,
    Scratch,
    Shape,
    image,
    keeps_input,
    keeps_output,
    own,
    register,
    shared_out,
)
from archcalc.layers.windowed import (
    Padding,
    PerAxis,
    cells_read,
    depends_on_size,
    does_not_fit,
    evenly_padded,
    kept_under,
    per_axis,
    taps_inside,
    unchecked,
    windows_over,
    windows_that_meet,
)

Kernel = Annotated[PerAxis, Meta(description="cells under the window along each axis")]
Stride = Annotated[PerAxis | None, Meta(description="cells between two stops; the kernel when not given")]
Pad = Annotated[Padding, Meta(description="cells added around each axis; numbers at most half the kernel")]
Ceil = Annotated[
    bool, Meta(description="round the number of stops up: the last window may overhang, but starts inside")
]
Keep = Annotated[bool, Meta(description="keep the pooled axes, with size 1")]
SizePerAxis = Annotated[PerAxis, Meta(description="output size along each axis")]
POSITIVE = {"kernel": 1, "stride": 1, "padding": 0}


def pool_windows(pool: "MaxPool | AvgPool", axes: Sequence[int]) -> tuple[Window, ...]:
    """The windows of a pool; under ceil_mode their padding behind is what the last window that starts inside needs."""
    if not isinstance(pool.padding, str):
        for window in unchecked(pool, axes):
            if less(window.kernel, 2 * window.before) or less(window.kernel, 2 * window.after):
                got = f"padding ({window.before}, {window.after}), kernel {window.kernel}"
                raise pool.error("padding must be at most half the kernel", got)
    if not pool.ceil_mode:
        return windows_over(pool, axes)
    return tuple(overhanging(pool, window, n) for window, n in zip(unchecked(pool, axes), axes, strict=True))


def overhanging(pool: "MaxPool | AvgPool", window: Window, n: int) -> Window:
    """The window, padded behind as PyTorch's ceil_mode rule says: the last stop starts before cell n + before."""
    free = n + window.before + window.after - window.span
    stops = ceil_div(free, window.stride) + 1
    last_inside = (n + window.before - 1) // window.stride + 1  # stops o with o · stride < n + before
    stops = smallest(stops, last_inside)
    if less(stops, 1):
        raise does_not_fit(pool, window, n)
    overhang = (stops - 1) * window.stride - free
    after = called(window.after + overhang, "padding behind")
    return Window(window.kernel, window.stride, window.before, after, window.dilation)


@register("max_pool", example="max_pool: 2", on=[(1, 20, 24, 24)])
class MaxPool(Layer, frozen=True):
    """Keep the largest cell under each window, channel by channel; no weights.

    Output size per axis: as for conv; with ceil_mode the division rounds up, and the last window must start inside.
    Comparisons: valid taps − outputs (padding is never compared; a window that meets only padding compares nothing).
    Source: docs/conventions.md; size rules of PyTorch's MaxPool.

    >>> MaxPool(kernel=3, stride=2, ceil_mode=True).out((1, 64, 112, 112))
    (1, 64, 56, 56)
    """

    image: ClassVar = True

    kernel: Kernel
    stride: Stride = None
    padding: Pad = 0
    dilation: Annotated[PerAxis, Meta(description="cells between two taps")] = 1
    ceil_mode: Ceil = False

    at_least: ClassVar = POSITIVE | {"dilation": 1}

    def out(self, *xs: Shape) -> Shape:
        return pooled(self, xs[0])

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return pool_windows(self, x[2:])

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        _, _, *axes = xs[0]
        batch, channels, *stops = y
        windows = self.windows(xs[0])
        taps = taps_inside(windows, axes, stops) - windows_that_meet(windows, axes, stops)
        return Ops(cmp=batch * channels * taps)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return pool_sees(self, xs[0])

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        return (cells_read(self.windows(xs[0]), xs[0], y[2:]),)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (pooled_over(self, xs[0]), indices(y))


@register("avg_pool", example="avg_pool: 2", on=[(1, 64, 112, 112)])
class AvgPool(Layer, frozen=True):
    """Average each window: one addition per tap after the first, one multiplication per stop; no weights.

    Output size per axis: as for max_pool. Multiplications: outputs. Additions: valid taps − outputs,
        where the cells of the padding count as valid if count_include_pad (never those of a ceil_mode overhang).
    Source: docs/conventions.md; size rules of PyTorch's AvgPool. Keras' average pools never count padding.

    >>> AvgPool(kernel=2).out((1, 64, 112, 112))
    (1, 64, 56, 56)
    """

    image: ClassVar = True

    kernel: Kernel
    stride: Stride = None
    padding: Pad = 0
    ceil_mode: Ceil = False
    count_include_pad: Annotated[
        bool | None, Meta(description="zeros of the padding take part; if not given, those of numbers do, of rules not")
    ] = None

    at_least: ClassVar = POSITIVE

    @property
    def counts_padding(self) -> bool:
        """PyTorch counts padding unless told otherwise, Keras' `same` never does."""
        return not isinstance(self.padding, str) if self.count_include_pad is None else self.count_include_pad

    def out(self, *xs: Shape) -> Shape:
        return pooled(self, xs[0])

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return pool_windows(self, x[2:])

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        _, _, *axes = xs[0]
        batch, channels, *stops = y
        windows = self.windows(xs[0])
        if self.counts_padding:  # the padded axis is the axis
            axes = [n + w.before + w.after for n, w in zip(axes, unchecked(self, axes), strict=True)]
            windows = tuple(Window(window.kernel, window.stride) for window in windows)
        taps = batch * channels * taps_inside(windows, axes, stops)
        return Ops(mul=prod(y), add=taps - prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return pool_sees(self, xs[0])

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        return (cells_read(self.windows(xs[0]), xs[0], y[2:]),)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        over = pooled_over(self, xs[0])
        counts = Saved("own", prod(y), "statistic")  # how many cells each mean is of, where they are counted apart
        return (over,) if over.of == 0 else (over, counts)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        over = pooled_over(self, xs[0])
        if over.of == 0:
            return (), ()
        cells = own(over.elements if self.counts_padding else prod(xs[0]))  # that count, and then with padding
        return cells + (own(over.elements) if training else ()), ()


def pool_sees(pool: MaxPool | AvgPool, x: Shape) -> Sees:
    """Each channel by itself, cells by windows; a ceil_mode overhang sees nothing more."""
    return over([through(window) for window in pool.windows(x)], here=depends_on_size(pool))


def pads_itself(pool: MaxPool | AvgPool, x: Shape) -> bool:
    """Does PyTorch's own pool do this: the same padding before and behind, at most half the kernel?

    Under ceil_mode it adds an overhang to padding in numbers by itself.
    """
    windows = unchecked(pool, x[2:])
    too_much = any(less(window.kernel, 2 * window.before) for window in windows)
    return evenly_padded(windows) and not too_much and not (pool.ceil_mode and isinstance(pool.padding, str))


def pooled_over(pool: MaxPool | AvgPool, x: Shape) -> Saved:
    """The tensor that PyTorch's pool moves over, and keeps."""
    return kept_under(pool.windows(x), x, copied=not pads_itself(pool, x))


def indices(y: Shape) -> Saved:
    """Which cell was the largest, for each output."""
    return Saved("own", prod(y), "index", "int64")


def pooled(pool: MaxPool | AvgPool, x: Shape) -> Shape:
    """The output shape of a pool: its windows size the axes, channels stay."""
    batch, channels, axes = image(pool, x)
    return (batch, channels, *(window.size(n) for window, n in zip(pool.windows(x), axes, strict=True)))


class GlobalPool(Layer, frozen=True):
    """Pool every spatial axis whole; no weights."""

    pace: ClassVar = "norm"
    image: ClassVar = True

    keep_axes: Keep = True

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        return (batch, channels, *(1 for _ in axes)) if self.keep_axes else (batch, channels)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((Link(1, SAME), *[None] * (len(y) - 2)), "pools whole axes")


@register("global_avg_pool", example="global_avg_pool", on=[(1, 2048, 7, 7)])
class GlobalAvgPool(GlobalPool, frozen=True):
    """Average each channel over all its cells; no weights.

    Output: batch × channels × 1 × 1, or batch × channels without keep_axes.
    Multiplications: outputs. Additions: inputs − outputs. Source: docs/conventions.md, avg pool.

    >>> GlobalAvgPool(keep_axes=False).out((1, 2048, 7, 7))
    (1, 2048)
    """

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(mul=prod(y), add=prod(xs[0]) - prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()  # a mean hands the same gradient to every cell


@register("global_max_pool", example="global_max_pool", on=[(1, 512, 7, 7)])
class GlobalMaxPool(GlobalPool, frozen=True):
    """Keep the largest cell of each channel; no weights.

    Output: batch × channels × 1 × 1, or batch × channels without keep_axes.
    Comparisons: inputs − outputs. Source: docs/conventions.md, max pool.
    """

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=prod(xs[0]) - prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0]) + keeps_output(y)  # where they are equal, the gradient goes

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), shared_out(xs[0], y)


class AdaptivePool(Layer, frozen=True):
    """Pool onto a given size: output cell i of an axis covers cells ⌊i·n/size⌋ … ⌈(i+1)·n/size⌉ − 1."""

    image: ClassVar = True

    size: SizePerAxis

    at_least: ClassVar = {"size": 1}

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        return (batch, channels, *per_axis(self, "size", len(axes)))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        here = "sizes that adapt" if any(size > 1 for size in y[2:]) else ""
        return over([shared(n, size) for n, size in zip(xs[0][2:], y[2:], strict=True)], here=here)

    def taps(self, x: Shape, y: Shape) -> int:
        """Cells under all windows; windows of neighbours overlap where the size does not divide the axis."""
        batch, channels, *axes = x
        _, _, *sizes = y
        return batch * channels * prod(covered(n, size) for n, size in zip(axes, sizes, strict=True))


def covered(n: int, size: int) -> int:
    """Cells under the adaptive windows of one axis, those of two windows twice: n + size − gcd(n, size).

    >>> covered(14, 7), covered(10, 7)
    (14, 16)
    """
    if isinstance(n, int) and isinstance(size, int):
        return n + size - gcd(n, size)
    return sum(ceil_div((i + 1) * n, size) - i * n // size for i in range(size))  # there is no gcd of a symbol


@register("adaptive_avg_pool", example="adaptive_avg_pool: 6", on=[(1, 256, 13, 13)])
class AdaptiveAvgPool(AdaptivePool, frozen=True):
    """Average onto a given size, whatever the input size; no weights.

    Output cell i of an axis averages cells ⌊i·n/size⌋ … ⌈(i+1)·n/size⌉ − 1.
    Multiplications: outputs. Additions: taps − outputs, taps per axis = n + size − gcd(n, size).
    Source: docs/conventions.md, avg pool; PyTorch's AdaptiveAvgPool for the cells.

    >>> AdaptiveAvgPool(size=6).out((1, 256, 13, 13))
    (1, 256, 6, 6)
    """

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(mul=prod(y), add=self.taps(xs[0], y) - prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        whole = all(size == 1 for size in per_axis(self, "size", len(y) - 2))
        return () if whole else keeps_input(xs[0])  # onto one cell it is a mean, which keeps nothing


@register("adaptive_max_pool", example="adaptive_max_pool: 6", on=[(1, 256, 13, 13)])
class AdaptiveMaxPool(AdaptivePool, frozen=True):
    """Keep the largest cell of each of a given number of windows, whatever the input size; no weights.

    Comparisons: taps − outputs, taps per axis = n + size − gcd(n, size).
    Source: docs/conventions.md, max pool; PyTorch's AdaptiveMaxPool for the cells.
    """

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=self.taps(xs[0], y) - prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (*keeps_input(xs[0]), indices(y))
