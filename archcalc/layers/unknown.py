"""The place of an operator that an import did not understand: its shape may be known, its cost is not."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from archcalc.algebra.num import differ
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Shape, shown


class Unknown(Layer, frozen=True):
    """An operator that is named and not counted: any total over it is partial and printed as a lower bound.

    It is not registered: a spec cannot ask for it.
    """

    operator: str
    output: Shape
    seen: tuple[Shape, ...] = ()  # the input shapes that the output belongs to; none: it is the same for all

    arity: ClassVar = (0, None)

    def out(self, *xs: Shape) -> Shape:
        if not self.seen:
            return self.output
        if not any(differ(a, b) is not False for x, seen in zip(xs, self.seen, strict=True) for a, b in _axes(x, seen)):
            return (xs[0][0], *self.output[1:])
        if len(xs) == 1 and self.output == self.seen[0]:  # what keeps the shape there is taken to keep it
            return xs[0]
        rule = f"the output of {self.operator} is known for inputs of {' and '.join(map(shown, self.seen))} only"
        raise self.error(rule, " and ".join(map(shown, xs)))

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()


def _axes(x: Shape, seen: Shape) -> Iterator[tuple[int, int]]:
    """Sizes beside each other, without the batch, which an operator is taken to keep."""
    return zip(x[1:], seen[1:], strict=True)
