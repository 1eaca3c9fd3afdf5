"""Windows laid out as columns, and columns added up under windows again."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import Sees
from archcalc.algebra.num import differ, divides, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.window import Window
from archcalc.layers.conv import Dilation, Kernel, Pad, Stride
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, image, own, register, shown
from archcalc.layers.reshape import Moves
from archcalc.layers.windowed import (
    PerAxis,
    cells_read,
    evenly_padded,
    per_axis,
    taps_inside,
    unchecked,
    windows_over,
)

POSITIVE = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1}


@register("unfold", example="unfold: {kernel: 3, padding: 1}", on=[(1, 64, 56, 56)])
class Unfold(Moves, frozen=True):
    """Lay the cells under each window out as a column: (batch, channels × taps, stops). 0 operations: a copy.

    Stops and span are those of a convolution with the same fields. Source: PyTorch's Unfold (im2col).

    >>> Unfold(kernel=3, padding=1).out((1, 64, 56, 56))
    (1, 576, 3136)
    """

    image: ClassVar = False

    kernel: Kernel
    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1

    at_least: ClassVar = POSITIVE

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        stops = [window.size(n) for window, n in zip(self.windows(xs[0]), axes, strict=True)]
        return (batch, channels * prod(per_axis(self, "kernel", len(axes))), prod(stops))

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return windows_over(self, x[2:])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((None, None), "lays windows out as columns", bound=True)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        _, _, *axes = xs[0]
        stops = [window.size(n) for window, n in zip(self.windows(xs[0]), axes, strict=True)]
        return (cells_read(self.windows(xs[0]), xs[0], stops),)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """A padded copy where the padding is uneven, and its gradient."""
        windows = self.windows(xs[0])
        if evenly_padded(windows):
            return (), ()
        copy = padded(windows, xs[0])
        return own(copy), own(copy - prod(xs[0]))


@register("fold", example="fold: {size: 56, kernel: 3, padding: 1}", on=[(1, 576, 3136)])
class Fold(Layer, frozen=True):
    """Lay columns (batch, channels × taps, stops) back under their windows and add up where they overlap.

    Output: (batch, channels, *size): the adjoint of unfold with the same fields.
    Additions: the taps that fall on no padding − the cells that at least one reaches. Source: PyTorch's Fold (col2im).

    >>> Fold(size=(56, 56), kernel=3, padding=1).out((1, 576, 3136))
    (1, 64, 56, 56)
    """

    image: ClassVar = True

    size: Annotated[PerAxis, Meta(description="cells along each axis of the output; one number for two alike")]
    kernel: Kernel
    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1

    at_least: ClassVar = POSITIVE | {"size": 1}

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 3:
            raise self.error("the input must be (batch, channels × taps, stops)", shown(xs[0]))
        batch, columns, stops = xs[0]
        taps, wanted = prod(per_axis(self, "kernel", len(self.sizes))), prod(self.stops)
        if divides(taps, columns) is False:
            raise self.error("the taps must divide the columns", f"{taps} taps, {columns} columns")
        if differ(stops, wanted):
            raise self.error(f"a size of {shown(self.sizes)} has {wanted} stops", f"{stops}")
        return (batch, columns // taps, *self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The size of each axis of the output."""
        if isinstance(self.size, tuple):
            return self.size
        fields = (self.kernel, self.stride, self.padding, self.dilation)
        return (self.size,) * len(next((field for field in fields if isinstance(field, tuple)), (1, 1)))

    @property
    def stops(self) -> tuple[int, ...]:
        """How often the windows stop along each axis."""
        return tuple(window.size(n) for window, n in zip(windows_over(self, self.sizes), self.sizes, strict=True))

    def windows(self, x: Shape) -> tuple[Window, ...]:
        """The windows of the unfolding whose adjoint this is."""
        return unchecked(self, self.sizes)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((None,) * (len(y) - 1), "lays columns under windows", bound=True)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        """What lies on no padding."""
        return (prod(y[:2]) * taps_inside(self.windows(xs[0]), y[2:], self.stops),)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        batch, channels, *sizes = y
        windows = self.windows(xs[0])
        landed = taps_inside(windows, sizes, self.stops)
        reached = prod(w.cells_reached(n, stops) for w, n, stops in zip(windows, sizes, self.stops, strict=True))
        return Ops(add=batch * channels * (landed - reached))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """A whole output before it is cropped where the padding is uneven, and its gradient."""
        windows = self.windows(xs[0])
        if evenly_padded(windows):
            return (), ()
        whole = padded(windows, y)
        return own(whole), own(whole - prod(y))


def padded(windows: Sequence[Window], x: Shape) -> int:
    """Elements of a map with the padding of its windows."""
    batch, channels, *axes = x
    return batch * channels * prod(n + w.before + w.after for w, n in zip(windows, axes, strict=True))
