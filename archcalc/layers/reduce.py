"""Reductions over any axes: mean, sum and maximum."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees
from archcalc.algebra.num import prod
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import (
    Graded,
    Layer,
    Saved,
    Scratch,
    Shape,
    keeps_input,
    keeps_output,
    positions_of,
    register,
    shared_out,
)

SUMMARIES = {
    "reduce_mean": "Mean over some axes: n − 1 additions and 1 multiplication per output",
    "reduce_sum": "Sum over some axes: n − 1 additions per output",
    "reduce_max": "Maximum over some axes: n − 1 comparisons per output",
}


class Reduce(Layer, frozen=True):
    """Replace some axes by one number each; no weights.

    Operations per output, over n elements: sum n − 1 additions; mean 1 multiplication more; max n − 1 comparisons.
    Source: docs/conventions.md, avg pool and max pool, of which these are the whole-axis case.

    >>> Reduce("reduce_mean", axes=(2, 3)).out((1, 64, 56, 56))
    (1, 64)
    """

    pace: ClassVar = "norm"

    function: str
    axes: Annotated[int | tuple[int, ...], Meta(description="axes to reduce; -1 is the last, 0 the batch is no choice")]
    keep_axes: Annotated[bool, Meta(description="keep the reduced axes, with size 1")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in SUMMARIES:
            raise self.error("function must be one of the table", repr(self.function))

    @property
    def autocast(self) -> Literal["float32", "follows"]:  # type: ignore[override]
        """PyTorch's mixed precision sums in float32."""
        return "float32" if self.function == "reduce_sum" else "follows"

    def out(self, *xs: Shape) -> Shape:
        reduced = positions_of(self, xs[0], self.axes)
        kept = [1 if axis in reduced else n for axis, n in enumerate(xs[0]) if self.keep_axes or axis not in reduced]
        return tuple(kept)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        reduced = positions_of(self, xs[0], self.axes)
        axes = [axis for axis in range(1, len(xs[0])) if self.keep_axes or axis not in reduced]
        return Sees(tuple(None if axis in reduced else Link(axis, SAME) for axis in axes), "reduces the axis")

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        merged = prod(xs[0]) - prod(y)
        if self.function == "reduce_max":
            return Ops(cmp=merged)
        return Ops(mul=prod(y) if self.function == "reduce_mean" else 0, add=merged)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0]) + keeps_output(y) if self.function == "reduce_max" else ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), shared_out(xs[0], y) if self.function == "reduce_max" else ()

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return self.function == "reduce_sum"  # every cell of a sum has the same gradient


for _name, _summary in SUMMARIES.items():
    _example = f"{_name}: {{axes: [2, 3]}}"
    register(_name, example=_example, on=[(1, 64, 56, 56)], main="axes", summary=_summary, function=_name)(Reduce)
