"""Kinds that join several inputs: elementwise with broadcasting, or side by side."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import EACH, SAME, Link, Sees, all_but, shifted
from archcalc.algebra.num import differ, less, prod
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, alike, own, positions_of, register, shown

TABLE = {  # operations per element and further input
    "add": Ops(add=1),
    "subtract": Ops(add=1),
    "multiply": Ops(mul=1),
    "divide": Ops(div=1),
    "maximum": Ops(cmp=1),
    "minimum": Ops(cmp=1),
}
SUMMARIES = {
    "add": "Sum of the inputs, element by element",
    "subtract": "The first input minus the others, element by element",
    "multiply": "Product of the inputs, element by element",
    "divide": "The first input divided by the others, element by element",
    "maximum": "The largest of the inputs, element by element",
    "minimum": "The smallest of the inputs, element by element",
}


def broadcast(layer: Layer, xs: Sequence[Shape]) -> Shape:
    """The common shape of inputs of equally many axes, those of size 1 being repeated."""
    if len({len(x) for x in xs}) > 1:
        raise layer.error("inputs must have equally many axes", " and ".join(map(shown, xs)))
    return tuple(_common(layer, xs, sizes) for sizes in zip(*xs, strict=True))


def _common(layer: Layer, xs: Sequence[Shape], sizes: Sequence[int]) -> int:
    """The common size of one axis."""
    common = 1
    for size in sizes:
        if differ(size, 1) is False:
            continue
        if differ(common, 1) is not False and differ(common, size):
            raise layer.error("inputs must agree in every axis, or have size 1 there", " and ".join(map(shown, xs)))
        if not differ(common, 1):  # one that is known not to be 1 stays: the others are equal to it, or 1
            common = size
    return common


def repeating(x: Shape, y: Shape) -> Sees:
    """How an output sees an input some of whose axes it repeats."""
    repeated = [axis for axis, (a, b) in enumerate(zip(x, y, strict=True)) if differ(a, b)]
    return all_but(len(y) - 1, repeated, "repeats the axis") if repeated else EACH


class Combine(Layer, frozen=True):
    """Combine inputs element by element; an axis of size 1 is repeated to the size of the others. No weights.

    Operations: one per output element for each input after the first, of the kind that the name says.
    Source: docs/conventions.md, residual add; broadcasting as in NumPy, between inputs of equally many axes.

    >>> Combine("multiply").out((1, 64, 56, 56), (1, 64, 1, 1))
    (1, 64, 56, 56)
    """

    function: str

    arity: ClassVar = (2, None)

    def __post_init__(self) -> None:
        if self.function not in TABLE:
            raise self.error("function must be one of the table", repr(self.function))

    def out(self, *xs: Shape) -> Shape:
        return broadcast(self, xs)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return repeating(xs[number], y)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return TABLE[self.function].times((len(xs) - 1) * prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """Inputs are combined one after another: each step needs what its derivatives are computed from."""
        kept: list[Saved] = []
        for number in range(1, len(xs)):
            so_far = self.out(*xs[:number]) if number > 1 else xs[0]
            before, both = tuple(range(number)), tuple(range(number + 1))
            left, right = {  # whose gradient needs the result so far, and whose the next input
                "multiply": ((number,), before),
                "divide": ((number,), both),
                "maximum": (both, both),
                "minimum": (both, both),
            }.get(self.function, ((), ()))
            kept.append(Saved(0 if number == 1 else "own", prod(so_far), wanted_by=left))
            kept.append(Saved(number, prod(xs[number]), wanted_by=right))
        return tuple(tensor for tensor in kept if tensor.wanted_by)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """A result so far is let go. Gradients are made in the output's size, and then summed to an input's.

        Of more than two inputs the last step is looked at.
        """
        forward = own(prod(y)) if len(xs) > 2 and self.function in ("add", "subtract") else ()
        whole, steps = prod(y), (self.out(*xs[:-1]), xs[-1])
        wanted = any(graded[:-1]), graded[-1]
        sizes = [prod(x) for x, needed in zip(steps, wanted, strict=True) if needed]
        summed = [n for n in sizes if differ(n, whole) is not False]
        smaller = summed[0] if summed else 0
        if not sizes or self.function == "add":
            return forward, ()
        if self.function == "subtract":  # the first input's gradient is the one that arrived, or its sum
            return forward, own(whole) if wanted[1] and sizes[-1] in summed else ()
        if self.function == "divide" and wanted[1]:  # four tensors while the divisor's gradient is taken
            return forward, own(4 * whole - sum(sizes))
        if self.function in ("maximum", "minimum"):  # half a gradient where both are equal, and two masks
            return forward, own((len(sizes) + 1) * whole - sum(sizes)) + own(2 * whole, "bool")
        return forward, own(len(sizes) * whole + smaller - sum(sizes))

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return (self.function == "add" or (self.function == "subtract" and number == 0)) and alike(xs[number], y)


for _name, _summary in SUMMARIES.items():
    _example = f"{_name}: {{from: [a, b]}}"
    register(_name, example=_example, on=[(1, 64, 56, 56)] * 2, summary=_summary, function=_name)(Combine)


Relation = Literal["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]


@register("compare", example="compare: {relation: less, from: [a, b]}", on=[(1, 64, 56, 56)] * 2)
class Compare(Layer, frozen=True):
    """Compare two inputs element by element, or one with a number: truth values. 1 comparison per element, no weights.

    An axis of size 1 is repeated. Source: docs/conventions.md, compare. No gradient flows through it.
    """

    relation: Annotated[Relation, Meta(description="what must hold of the first input and the second")] = "greater"
    value: Annotated[float, Meta(description="what a single input is compared with")] = 0.0

    arity: ClassVar = (1, 2)
    makes: ClassVar = "bool"
    differentiable: ClassVar = False

    def out(self, *xs: Shape) -> Shape:
        return broadcast(self, xs)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return repeating(xs[number], y)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=prod(y))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()


@register("where", example="where: {from: [condition, a, b]}", on=[(1, 64, 56, 56)] * 3)
class Where(Layer, frozen=True):
    """Where the first input holds (is not 0) the second, else the third: 1 selection per element, no weights.

    An axis of size 1 is repeated. Source: docs/conventions.md, select.
    """

    arity: ClassVar = (3, 3)

    def out(self, *xs: Shape) -> Shape:
        return broadcast(self, xs)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return repeating(xs[number], y)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=prod(y))

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        """The condition, and one of the others, the smaller: it may be chosen everywhere."""
        condition, first, second = map(prod, xs)
        return (condition, 0, second) if less(second, first) else (condition, first, 0)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (Saved(0, prod(xs[0]), "mask", "bool", wanted_by=(1, 2)),)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Gradients are made in the output's size beside a zero, and then summed to an input's."""
        sizes = [prod(x) for x, needed in zip(xs[1:], graded[1:], strict=True) if needed]
        summed = [n for n in sizes if differ(n, prod(y)) is not False]
        return (), own(len(sizes) * prod(y) + (summed[0] if summed else 1) - sum(sizes)) if sizes else ()


@register("concat", example="concat: {from: [a, b]}", on=[(1, 64, 28, 28), (1, 128, 28, 28)])
class Concat(Layer, frozen=True):
    """Lay inputs side by side along one axis, the channels by default. No weights, 0 operations.

    >>> Concat().out((1, 64, 28, 28), (1, 128, 28, 28))
    (1, 192, 28, 28)
    """

    axis: Annotated[int, Meta(description="the axis along which the inputs are laid; 1 is the channels")] = 1

    arity: ClassVar = (1, None)
    moves_data: ClassVar = True

    def along(self, x: Shape) -> int:
        """Which axis of an input that is; 0 lays them one behind the other in the batch."""
        return 0 if self.axis == 0 and x else positions_of(self, x, self.axis)[0]

    def out(self, *xs: Shape) -> Shape:
        position = self.along(xs[0])
        for x in xs[1:]:
            others = [differ(a, b) for axis, (a, b) in enumerate(zip(xs[0], x, strict=False)) if axis != position]
            if len(x) != len(xs[0]) or any(others):
                raise self.error(f"inputs must agree in every axis but {position}", " and ".join(map(shown, xs)))
        return (*xs[0][:position], sum(x[position] for x in xs), *xs[0][position + 1 :])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        position = self.along(xs[0])
        placed = shifted(-sum(x[position] for x in xs[:number]), everywhere=len(xs) == 1)
        links = (Link(axis, placed if axis == position else SAME) for axis in range(1, len(y)))
        return Sees(tuple(links), channels="apart" if position == 1 and len(xs) > 1 else "each")

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return True  # a part of it
