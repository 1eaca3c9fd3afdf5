"""Kinds that tell a sequence's positions: tables that are added, and pairs that are turned."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import EACH, Sees, all_but
from archcalc.algebra.num import divides, less, prod
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, Weight, own, register, shown

Positions = Annotated[int, Meta(description="positions in the table: the longest sequence that it takes")]


def positions_fit(layer: Layer, most: int, length: int) -> None:
    """Refuse a sequence that is longer than the table."""
    if less(most, length):
        raise layer.error("the sequence must not be longer than the table", f"{length} positions, length={most}")


class AddedPosition(Layer, frozen=True):
    """Add a table of one vector per position to a sequence (batch, length, width); the rest of the table is not read.

    A learned table is a parameter, a table of sines a buffer, computed once and not counted: length × width either way.
    Operations: 1 addition per element. A class token is a position too: 14 × 14 patches and the token are 197.
    Source: Gehring et al. (2017) and Devlin et al. (2019), learned; Vaswani et al. (2017), §3.5, of sines.

    >>> AddedPosition("learned_position", length=197).weights((1, 197, 768))["weight"].shape
    (197, 768)
    """

    image: ClassVar = False

    function: Literal["learned_position", "sinusoidal_position"]
    length: Positions

    at_least: ClassVar = {"length": 1}

    @property
    def role(self) -> Literal["trainable", "buffer"]:
        """What the table is."""
        return "trainable" if self.function == "learned_position" else "buffer"

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 3:
            raise self.error("the input must be (batch, length, width)", shown(xs[0]))
        positions_fit(self, self.length, xs[0][1])
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {"weight": Weight((self.length, xs[0][2]), self.role)}

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(add=prod(y))

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        _, length, width = y
        return length * width

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return True

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """A learned table's gradient, summed over the batch, before it is laid into the whole table."""
        return (), own(self.reads_weights(xs, y)) if self.role == "trainable" else ()


for _name, _summary in {
    "learned_position": "Add a learned vector for each position of a sequence",
    "sinusoidal_position": "Add sines and cosines of each position of a sequence, of many wavelengths",
}.items():
    register(_name, example=f"{_name}: 197", on=[(1, 197, 768)], main="length", summary=_summary, function=_name)(
        AddedPosition
    )


@register("rotary", example="rotary: 2048", on=[(1, 32, 1024, 128)])
class Rotary(Layer, frozen=True):
    """Turn pairs of features by angles that grow with the position along the axis before the last; no parameters.

    The input is (batch, …, length, width); the first `features` of the width are turned, the others stay as they are.
    Operations per turned element: 2 multiplications, 1 addition: (a·cos − b·sin, b·cos + a·sin).
    Buffers: cosines and sines, each length × features / 2, computed once and not counted; `shared_with` has one table
        for several layers. Which two features are a pair changes no count.
    Source: Su et al. (2021), RoFormer, §3.4.2; turned in part as by Black et al. (2022), GPT-NeoX.

    >>> Rotary(length=2048).ops([(1, 32, 1024, 128)], (1, 32, 1024, 128))
    Ops(mul=8388608, add=4194304, cmp=0, div=0, exp=0)
    """

    image: ClassVar = False

    length: Positions
    features: Annotated[int | None, Meta(description="features that are turned, the first ones; all if null")] = None
    base: Annotated[float, Meta(description="the longest wavelength over 2π; changes no count")] = 10000.0

    at_least: ClassVar = {"length": 1, "features": 2}

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) < 3:
            raise self.error("the input must be (batch, …, length, width)", shown(xs[0]))
        *_, length, width = xs[0]
        positions_fit(self, self.length, length)
        turned = self.turned(xs[0])
        if less(width, turned):
            raise self.error("features must be at most the width", f"features={turned}, width={width}")
        if divides(2, turned) is False:
            raise self.error("the features that are turned must be even", f"{turned}")
        return xs[0]

    def turned(self, x: Shape) -> int:
        """How many features of each position are turned."""
        return x[-1] if self.features is None else self.features

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        table = Weight((self.length, self.turned(xs[0]) // 2), "buffer")
        return {"cosines": table, "sines": table}

    def elements(self, x: Shape) -> int:
        """Elements that are turned."""
        *rows, _ = x
        return prod(rows) * self.turned(x)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(mul=2, add=1).times(self.elements(xs[0]))

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        return xs[0][-2] * self.turned(xs[0])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, [len(y) - 1], "turns pairs of the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """The turned halves, before they are laid side by side; and their gradients, before they are turned back."""
        halves = own(self.elements(xs[0]))
        return halves, halves
