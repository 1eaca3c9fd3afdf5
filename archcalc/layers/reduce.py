"""Reductions over any axes: mean, sum, largest and smallest, product, variance; and running sums."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees, all_but
from archcalc.algebra.num import differ, prod
from archcalc.algebra.ops import Ops
from archcalc.layers.index import AnyAxis, place_of
from archcalc.layers.layer import (
    Graded,
    Layer,
    Saved,
    Scratch,
    Shape,
    keeps_input,
    keeps_output,
    own,
    positions_of,
    register,
    shared_out,
)

SUMMARIES = {
    "reduce_mean": "Mean over some axes: n − 1 additions and 1 multiplication per output",
    "reduce_sum": "Sum over some axes: n − 1 additions per output",
    "reduce_max": "Maximum over some axes: n − 1 comparisons per output",
    "reduce_min": "Minimum over some axes: n − 1 comparisons per output",
    "reduce_prod": "Product over one axis: n − 1 multiplications per output",
    "reduce_variance": "Variance over some axes: the mean of squared distances from the mean",
}
EXTREMES = ("reduce_max", "reduce_min")
IN_FLOAT32 = ("reduce_sum", "reduce_prod")  # under mixed precision; source: PyTorch's list of autocast ops


class Reduce(Layer, frozen=True):
    """Replace some axes by one number each; no weights.

    Operations per output, over n elements: sum n − 1 additions; mean 1 multiplication more; max and min n − 1
        comparisons; product n − 1 multiplications; variance, in two passes, 3n − 2 additions and n + 2 multiplications.
    Source: docs/conventions.md, avg pool and max pool, of which these are the whole-axis case; the variance is its
        share in a layer norm.

    >>> Reduce("reduce_mean", axes=(2, 3)).out((1, 64, 56, 56))
    (1, 64)
    """

    pace: ClassVar = "norm"

    function: str
    axes: Annotated[int | tuple[int, ...], Meta(description="axes to reduce; -1 is the last, 0 the batch is no choice")]
    keep_axes: Annotated[bool, Meta(description="keep the reduced axes, with size 1")] = False
    whole: Annotated[bool, Meta(description="the batch is an axis like the others, and may be reduced")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in SUMMARIES:
            raise self.error("function must be one of the table", repr(self.function))
        if self.function == "reduce_prod" and isinstance(self.axes, tuple) and len(self.axes) > 1:
            raise self.error("reduces one axis at a time", f"{list(self.axes)}")

    @property
    def autocast(self) -> Literal["float32", "follows"]:  # type: ignore[override]
        """PyTorch's mixed precision sums and multiplies in float32."""
        return "float32" if self.function in IN_FLOAT32 else "follows"

    def reduced(self, x: Shape) -> tuple[int, ...]:
        """The positions of the axes that are reduced."""
        if not self.whole:
            return positions_of(self, x, self.axes)
        axes = self.axes if isinstance(self.axes, tuple) else (self.axes,)
        positions = tuple(place_of(self, x, axis) for axis in axes)
        if len(set(positions)) < len(positions):
            raise self.error("each axis must be named once", f"{self.axes}")
        return positions

    def out(self, *xs: Shape) -> Shape:
        reduced = self.reduced(xs[0])
        kept = [1 if axis in reduced else n for axis, n in enumerate(xs[0]) if self.keep_axes or axis not in reduced]
        return tuple(kept)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        reduced = self.reduced(xs[0])
        if 0 in reduced:
            return None  # images are mixed
        axes = [axis for axis in range(1, len(xs[0])) if self.keep_axes or axis not in reduced]
        return Sees(tuple(None if axis in reduced else Link(axis, SAME) for axis in axes), "reduces the axis")

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        elements, outputs = prod(xs[0]), prod(y)
        merged = elements - outputs
        match self.function:
            case "reduce_max" | "reduce_min":
                return Ops(cmp=merged)
            case "reduce_prod":
                return Ops(mul=merged)
            case "reduce_variance":  # the mean, the distances from it, their squares, and the mean of those
                return Ops(mul=elements + 2 * outputs, add=2 * merged + elements)
        return Ops(mul=outputs if self.function == "reduce_mean" else 0, add=merged)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        if self.function == "reduce_variance":
            return keeps_input(xs[0])
        needed = self.function in (*EXTREMES, "reduce_prod")
        return keeps_input(xs[0]) + keeps_output(y) if needed else ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Products as PyTorch makes them where a row may hold a zero: others take less."""
        elements, outputs = prod(xs[0]), prod(y)
        match self.function:
            case "reduce_max" | "reduce_min":
                return (), shared_out(xs[0], y)
            case "reduce_prod":
                return (), () if self.hands_back(0, xs, y) else own(5 * elements)
            case "reduce_variance":
                return (), own(elements + 2 * outputs)
        return (), ()

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        alone = self.function == "reduce_prod" and differ(prod(xs[0]), prod(y)) is False  # one factor for each product
        return alone or self.function == "reduce_sum"  # every cell of a sum has the same gradient


for _name, _summary in SUMMARIES.items():
    _example = f"{_name}: {{axes: [2, 3]}}" if _name != "reduce_prod" else "reduce_prod: -1"
    register(_name, example=_example, on=[(1, 64, 56, 56)], main="axes", summary=_summary, function=_name)(Reduce)


@register("arg_max", example="arg_max: 1", on=[(1, 1000)])
class ArgMax(Layer, frozen=True):
    """The index of the largest element along an axis: n − 1 comparisons per output, no weights.

    Indices are int64, and no gradient flows through them. Source: docs/conventions.md, max pool; PyTorch's argmax.

    >>> ArgMax(axis=1).out((1, 21, 224, 224))
    (1, 224, 224)
    """

    pace: ClassVar = "norm"
    image: ClassVar = False
    makes: ClassVar = "int64"
    differentiable: ClassVar = False

    axis: AnyAxis = -1
    keep_axis: Annotated[bool, Meta(description="keep the axis, with size 1")] = False

    def out(self, *xs: Shape) -> Shape:
        position = place_of(self, xs[0], self.axis)
        return (*xs[0][:position], *((1,) if self.keep_axis else ()), *xs[0][position + 1 :])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        position = place_of(self, xs[0], self.axis)
        if position == 0:
            return None  # images are mixed
        axes = [axis for axis in range(1, len(xs[0])) if self.keep_axis or axis != position]
        return Sees(tuple(None if axis == position else Link(axis, SAME) for axis in axes), "compares along the axis")

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=prod(xs[0]) - prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()


@register("cumulative_sum", example="cumulative_sum: -1", on=[(1, 8, 1024)])
class CumulativeSum(Layer, frozen=True):
    """Each element is the sum of itself and all before it along an axis; no weights.

    Additions: n − 1 per row of n. Source: each operation once; PyTorch's cumsum, ONNX's CumSum.

    >>> CumulativeSum().ops([(1, 8, 1024)], (1, 8, 1024)).add
    8184
    """

    pace: ClassVar = "norm"
    autocast: ClassVar = "float32"

    axis: Annotated[int, Meta(description="the axis along which is summed; -1 is the last, 1 the channels")] = -1

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axis)
        return xs[0]

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        links = all_but(len(y) - 1, positions_of(self, y, self.axis), "").links
        return Sees(links, "sums what lies before along the axis", bound=True)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        (position,) = positions_of(self, y, self.axis)
        return Ops(add=prod(y) - prod(y) // y[position])

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """The gradient turned round, and its sums, before they are turned back."""
        return (), () if self.hands_back(0, xs, y) else own(2 * prod(y))

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        (position,) = positions_of(self, y, self.axis)
        return differ(y[position], 1) is False


@register("normalize", example="normalize", on=[(1, 512)])
class Normalize(Layer, frozen=True):
    """Divide each row by its length: x / max(√Σx², epsilon); no weights.

    Operations per row of n: n multiplications, n − 1 additions, 1 root, 1 comparison, n divisions.
    Source: the formula, each operation in it counted once; PyTorch's normalize.

    >>> Normalize().ops([(1, 512)], (1, 512))
    Ops(mul=512, add=511, cmp=1, div=513, exp=0)
    """

    pace: ClassVar = "norm"

    axis: Annotated[int, Meta(description="the axis whose rows get length 1; -1 is the last, 1 the channels")] = -1
    epsilon: Annotated[float, Meta(description="the least length that is divided by")] = 1e-12

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axis)
        return xs[0]

    def rows(self, y: Shape) -> int:
        """How many rows there are along the axis."""
        (position,) = positions_of(self, y, self.axis)
        return prod(y[:position]) * prod(y[position + 1 :])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, positions_of(self, y, self.axis), "sums over the axis")

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        elements, rows = prod(y), self.rows(y)
        return Ops(mul=elements, add=elements - rows, cmp=rows, div=rows + elements)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """The input, its rows' lengths, and those divided by."""
        rows = self.rows(y)
        return (*keeps_input(y), Saved("own", rows, training_only=True), *own(rows))

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), own(4 * prod(y) - 2 * self.rows(y))
