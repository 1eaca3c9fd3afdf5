"""Look-up tables."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees
from archcalc.algebra.num import prod
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Saved, Shape, Weight, register


@register("embedding", example="embedding: {vocabulary: 50257, width: 768}", on=[(1, 1024)])
class Embedding(Layer, frozen=True):
    """Replace every index by a learned vector. 0 operations: it copies rows.

    Output: the input's shape with `width` as a last axis. Parameters: vocabulary × width. Source: docs/conventions.md.

    >>> Embedding(vocabulary=50257, width=768).out((1, 1024))
    (1, 1024, 768)
    """

    image: ClassVar = False

    vocabulary: Annotated[int, Meta(description="how many different indices there are")]
    width: Annotated[int, Meta(description="length of each vector")]

    at_least: ClassVar = {"vocabulary": 1, "width": 1}

    def out(self, *xs: Shape) -> Shape:
        return (*xs[0], self.width)

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {"weight": Weight((self.vocabulary, self.width))}

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((*(Link(axis, SAME) for axis in range(1, len(y) - 1)), None))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (Saved(0, prod(xs[0]), "index", "int64"),)

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.width  # all indices may be the same
