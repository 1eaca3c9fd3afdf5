"""Reductions over any axes: mean, sum and maximum."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.num import prod
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Saved, Shape, keeps_input, keeps_output, positions_of, register

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

    def out(self, *xs: Shape) -> Shape:
        reduced = positions_of(self, xs[0], self.axes)
        kept = [1 if axis in reduced else n for axis, n in enumerate(xs[0]) if self.keep_axes or axis not in reduced]
        return tuple(kept)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        merged = prod(xs[0]) - prod(y)
        if self.function == "reduce_max":
            return Ops(cmp=merged)
        return Ops(mul=prod(y) if self.function == "reduce_mean" else 0, add=merged)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0]) + keeps_output(y) if self.function == "reduce_max" else ()

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return self.function == "reduce_sum"  # every cell of a sum has the same gradient


for _name, _summary in SUMMARIES.items():
    _example = f"{_name}: {{axes: [2, 3]}}"
    register(_name, example=_example, on=[(1, 64, 56, 56)], main="axes", summary=_summary, function=_name)(Reduce)
