"""Interpolation onto another grid."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import Sees, Sight, clamped, over, sampled
from archcalc.algebra.num import prod, smallest
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Saved, Shape, image, register
from archcalc.layers.windowed import PerAxis, per_axis

TAPS = {"nearest": 1, "bilinear": 2, "bicubic": 4}  # along each axis


@register("resize", example="resize: 2", on=[(1, 512, 28, 28)])
class Resize(Layer, frozen=True):
    """Resample every channel onto another grid; no weights. A second input gives the size that is wanted.

    Output size per axis: size × scale, or `size`, or that of the second input.
    Operations per output: a weighted mean of t = 1, 2, 4 taps per axis (nearest, bilinear, bicubic), t^axes
        multiplications and t^axes − 1 additions with the weights at hand; nearest computes nothing.
    Source: docs/conventions.md, bilinear resize (4 and 3 per output on two axes); Keys (1981) for bicubic.

    >>> Resize(scale=2, mode="bilinear").ops([(1, 8, 10, 10)], (1, 8, 20, 20))
    Ops(mul=12800, add=9600, cmp=0, div=0, exp=0)
    """

    image: ClassVar = True

    scale: Annotated[PerAxis | None, Meta(description="factor along each axis")] = None
    size: Annotated[PerAxis | None, Meta(description="output size along each axis, instead of scale")] = None
    mode: Annotated[
        Literal["nearest", "bilinear", "bicubic"], Meta(description="interpolation, along every axis alike")
    ] = "nearest"
    align_corners: Annotated[bool, Meta(description="the corner cells stay in place; changes no count")] = False

    at_least: ClassVar = {"scale": 1, "size": 1}
    arity: ClassVar = (1, 2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale is not None and self.size is not None:
            raise self.error("give scale or size, not both", f"scale={self.scale}, size={self.size}")
        if self.mode not in TAPS:
            raise self.error(f"mode must be one of {', '.join(TAPS)}", repr(self.mode))
        if self.align_corners and self.mode == "nearest":
            raise self.error("align_corners needs an interpolation", "mode=nearest")

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        given = [self.scale is not None, self.size is not None, len(xs) == 2]
        if sum(given) != 1:
            rule = "needs exactly one of scale, size and a second input"
            raise self.error(rule, f"scale={self.scale}, size={self.size}, inputs={len(xs)}")
        if len(xs) == 2:
            return (batch, channels, *self.like(axes, xs[1]))
        if self.size is not None:
            return (batch, channels, *per_axis(self, "size", len(axes)))
        return (
            batch,
            channels,
            *(n * factor for n, factor in zip(axes, per_axis(self, "scale", len(axes)), strict=True)),
        )

    def like(self, axes: Sequence[int], other: Shape) -> Sequence[int]:
        """The axes of the input whose size is taken."""
        _, _, wanted = image(self, other)
        if len(wanted) != len(axes):
            raise self.error("both inputs must have equally many spatial axes", f"{len(axes)} and {len(wanted)}")
        return wanted

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        taps = TAPS[self.mode] ** (len(y) - 2)
        return Ops() if self.mode == "nearest" else Ops(mul=taps, add=taps - 1).times(prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        """Exact fractions say where cells lie; of a second input nothing is seen but its size."""
        if number == 1:
            return Sees((), nothing=True)
        sights = [self.sight(n, size) for n, size in zip(xs[0][2:], y[2:], strict=True)]
        return over(sights, here="" if self.scale is not None and not self.align_corners else "its factor")

    def sight(self, n: int, size: int) -> Sight:
        """Cell o of `size` lies at o·n/size, or between there and its other end, or corners lie on corners."""
        if self.mode == "nearest":
            return sampled((0, 1), (n, size), (1, 0))
        reach = TAPS[self.mode] // 2
        factor = (n - 1, max(size - 1, 1)) if self.align_corners else (n, size)
        place = (0, 1) if self.align_corners else (n - size, 2 * size)
        return clamped(sampled(place, factor, (reach, reach)), n, bounded=True)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        """At least one cell for each output cell; a second input only says a size."""
        batch, channels, *axes = xs[0]
        reached = [smallest(n, size) for n, size in zip(axes, y[2:], strict=True)]
        return (batch * channels * prod(reached), *[0] * (len(xs) - 1))
