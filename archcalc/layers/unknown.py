"""The place of an operator that an import did not understand: its shape may be known, its cost is not."""

from collections.abc import Sequence
from typing import ClassVar

from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Shape


class Unknown(Layer, frozen=True):
    """An operator that is named and not counted: any total over it is partial and printed as a lower bound.

    It is not registered: a spec cannot ask for it.
    """

    operator: str
    output: Shape

    arity: ClassVar = (0, None)

    def out(self, *xs: Shape) -> Shape:
        return self.output

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()
