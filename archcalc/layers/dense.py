"""Products of matrices: the dense layer, and the product of two inputs."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees
from archcalc.algebra.num import differ, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.layers.conv import Bias, linear_ops, with_bias
from archcalc.layers.join import broadcast
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, Weight, own, register, shown


@register("dense", example="dense: 10", on=[(1, 784)])
class Dense(Layer, frozen=True):
    """Multiply the last axis by a weight matrix: every output sees every input of its row. Leading axes stay.

    Parameters: units × (features + 1 with bias). MACs: rows × units × features, rows = product of the leading axes.
    Source: docs/conventions.md; the last axis is the one that PyTorch's Linear multiplies.

    >>> Dense(units=10).out((1, 784))
    (1, 10)
    """

    autocast: ClassVar = "half"
    image: ClassVar = False

    units: Annotated[int, Meta(description="output features")]
    bias: Bias = True

    at_least: ClassVar = {"units": 1}

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) < 2:
            raise self.error("the input must be (batch, …, features)", shown(xs[0]))
        *rows, _ = xs[0]
        return (*rows, self.units)

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        *_, features = xs[0]
        return with_bias(Weight((self.units, features)), self.units, self.bias)

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        *_, features = xs[0]
        return prod(y) * features

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return linear_ops(self.macs(xs, y), prod(y), prod(y), self.bias)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((*(Link(axis, SAME) for axis in range(1, len(y) - 1)), None), "reads the whole axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (Saved(0, prod(xs[0]), wanted_by="weight"),)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        *rows, features = xs[0]
        return Product(1, prod(rows), self.units, features)


@register("matmul", example="matmul: {from: [a, b]}", on=[(1, 12, 64, 32), (1, 12, 32, 64)])
class MatMul(Layer, frozen=True):
    """Multiply two inputs as matrices over their last two axes; a leading axis of size 1 is repeated.

    Output: leading axes × rows of the first × columns of the second. MACs: outputs × the axis that is summed over.
    Source: docs/conventions.md, matmul; broadcasting as in NumPy, between inputs of equally many axes.

    >>> MatMul(transpose_second=True).out((1, 12, 64, 32), (1, 12, 64, 32))
    (1, 12, 64, 64)
    """

    autocast: ClassVar = "half"
    image: ClassVar = False

    transpose_second: Annotated[bool, Meta(description="swap the last two axes of the second input first")] = False

    arity: ClassVar = (2, 2)

    def out(self, *xs: Shape) -> Shape:
        first, second = xs
        if len(first) < 3 or len(first) != len(second):
            raise self.error("inputs must be (batch, …, rows, columns), alike", f"{shown(first)} and {shown(second)}")
        *lead, rows, inner = first
        *lead_second, inner_second, columns = self.second(second)
        if differ(inner, inner_second):
            got = f"{shown(first)} and {shown(self.second(second))}"
            raise self.error("the first's columns must be the second's rows", got)
        lead = [*broadcast(self, (tuple(lead), tuple(lead_second)))]
        return (*lead, rows, columns)

    def second(self, x: Shape) -> Shape:
        """The second input's shape as it is multiplied."""
        *lead, rows, columns = x
        return (*lead, columns, rows) if self.transpose_second else x

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        *_, inner = xs[0]
        return prod(y) * inner

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return linear_ops(self.macs(xs, y), prod(y), prod(y), bias=False)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        *lead, rows, columns = range(1, len(y))
        rest = [None if differ(xs[number][axis], y[axis]) else Link(axis, SAME) for axis in lead]
        kept = Link(rows if number == 0 or self.transpose_second else columns, SAME)
        return Sees((*rest, kept, None) if number == 0 else (*rest, None, kept), "sums over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """An input whose leading axes are repeated in part is copied, for PyTorch joins them into one."""
        return tuple(
            Saved("own", self.repeated(x, y), wanted_by=1 - number)
            if self.copied(x, y)
            else Saved(number, prod(x), wanted_by=1 - number)
            for number, x in enumerate(xs)
        )

    def repeated(self, x: Shape, y: Shape) -> int:
        """Elements of an input with its leading axes repeated."""
        return prod(y[:-2]) * prod(x[-2:])

    def copied(self, x: Shape, y: Shape) -> bool:
        """Are some of its leading axes repeated, and others not?"""
        axes = [(n, size) for n, size in zip(x[:-2], y[:-2], strict=True) if differ(size, 1) is not False]
        changed = [differ(n, size) is True for n, size in axes]
        return any(changed) and not all(changed)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Gradients are made with leading axes repeated, then summed; a batch alone is joined with the rows."""
        if len(y) == 3:
            return (), ()
        wanted = [x for x, needed in zip(xs, graded, strict=True) if needed]
        if any(self.copied(x, y) for x in xs):
            return (), own(sum(self.repeated(x, y) for x in wanted if not self.copied(x, y)))
        return (), own(sum(self.repeated(x, y) - prod(x) for x in wanted))

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        *lead, rows, columns = y
        return Product(prod(lead), rows, columns, xs[0][-1])
