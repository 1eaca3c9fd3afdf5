"""Kinds that move or drop values without computing: views, padding, cropping, shuffling, dropout."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import (
    EACH,
    SAME,
    Link,
    Sees,
    Sight,
    clamped,
    over,
    regrouped,
    shifted,
    spread,
    tabled,
    through,
)
from archcalc.algebra.num import differ, divides, less, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.window import Window
from archcalc.layers.layer import (
    Graded,
    Layer,
    Saved,
    Scratch,
    Shape,
    image,
    keeps_input,
    own,
    positions_of,
    register,
    shown,
)

Amount = int | tuple[int | tuple[int, int], ...]


class Moves(Layer, frozen=True):
    """A layer that computes nothing: it has no weights and does no operation, by definition; most keep nothing."""

    moves_data: ClassVar = True

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()


class View(Moves, frozen=True):
    """A layer that only names the same memory otherwise: nothing is copied, in either direction."""

    def aliases(self, training: bool) -> bool:
        return True

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return True


@register("identity", example="identity", on=[(1, 64, 56, 56)])
class Identity(View, frozen=True):
    """Hand the input on: a name for a place. Output: the input's shape; 0 operations, by definition."""

    def out(self, *xs: Shape) -> Shape:
        return xs[0]

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH


class Dropout(Moves, frozen=True):
    """Drop values at random while training; at inference hand the input on.

    Output: the input's shape; 0 operations.

    Source: docs/conventions.md, dropout at inference.
    """

    function: str
    rate: Annotated[float, Meta(description="share that is dropped while training, 0 to 1")] = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise self.error("rate must lie between 0 and 1", f"{self.rate}")

    def out(self, *xs: Shape) -> Shape:
        return xs[0]

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        if self.rate in (0, 1):  # nothing is dropped, or everything: PyTorch multiplies by one zero
            return () if self.rate == 0 else (Saved("own", 1, "mask", training_only=True),)
        masked = {"channel_dropout": prod(y[:2]), "drop_path": y[0]}.get(self.function, prod(y))
        truth = "bool" if self.function == "dropout" and device == "cuda" else None  # one fused kernel keeps no factors
        return (Saved("own", masked, "mask", truth, training_only=True),)

    def aliases(self, training: bool) -> bool:
        return not training or self.rate == 0

    def in_place(self, y: Shape, training: bool) -> tuple[Saved, ...] | None:
        if training and self.function not in ("dropout", "channel_dropout"):
            return None
        return self.saved((y,), y, "cpu") if training else ()  # the mask; in place no fused kernel makes it smaller

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return self.rate == 0


VARIANTS = {
    "dropout": "Drop single values while training; nothing at inference (Srivastava et al., 2014)",
    "channel_dropout": "Drop whole channels while training; nothing at inference (Tompson et al., 2015)",
    "alpha_dropout": "Drop to the saturation value while training; nothing at inference (Klambauer et al., 2017)",
    "gaussian_dropout": "Multiply by noise around 1 while training; nothing at inference (Srivastava et al., 2014)",
    "drop_path": "Drop a whole branch per example while training; nothing at inference (Huang et al., 2016)",
}
for _name, _summary in VARIANTS.items():
    register(_name, example=f"{_name}: 0.1", on=[(1, 64, 56, 56)], main="rate", summary=_summary, function=_name)(
        Dropout
    )


@register("flatten", example="flatten", on=[(1, 20, 5, 5)], main="start")
class Flatten(View, frozen=True):
    """Join the axes from `start` to `end` into one; the batch stays. 0 operations.

    The order of the values (channels first or last) changes no count: the columns of the next layer swap.

    >>> Flatten().out((1, 20, 5, 5))
    (1, 500)
    """

    start: Annotated[int, Meta(description="first axis that is joined; 1 is the channels")] = 1
    end: Annotated[int, Meta(description="last axis that is joined; -1 is the last")] = -1

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) < 2:
            raise self.error("the input must have an axis beside the batch", shown(xs[0]))
        start, end = (positions_of(self, xs[0], axis)[0] for axis in (self.start, self.end))
        if start > end:
            raise self.error("start must not lie behind end", f"start={self.start}, end={self.end}")
        return (*xs[0][:start], prod(xs[0][start : end + 1]), *xs[0][end + 1 :])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return regrouped(xs[0][1:], y[1:], "joins axes")


Whole = Annotated[bool, Meta(description="the batch is an axis like the others: it is named too, and may change")]


@register("reshape", example="reshape: [20, 25]", on=[(1, 500)])
class Reshape(View, frozen=True):
    """Lay the same values out in another shape; the batch stays, one size may be -1 (what is left). 0 operations.

    With `whole` the shape names all axes, the batch first: windows may then be cut into the batch.

    >>> Reshape(shape=(-1, 25)).out((2, 500))
    (2, 20, 25)
    >>> Reshape(shape=(-1, 49, 96), whole=True).out((2, 8, 8, 49, 96))
    (128, 49, 96)
    """

    image: ClassVar = False

    shape: Annotated[tuple[int, ...], Meta(description="sizes behind the batch, one of them may be -1")]
    whole: Whole = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(less(size, 1) and size != -1 for size in self.shape) or self.shape.count(-1) > 1:
            raise self.error("sizes must be at least 1, one of them may be -1", f"{list(self.shape)}")

    def out(self, *xs: Shape) -> Shape:
        kept, sizes = ((), xs[0]) if self.whole else (xs[0][:1], xs[0][1:])
        values, named = prod(sizes), prod(size for size in self.shape if size != -1)
        if divides(named, values) is False or (-1 not in self.shape and less(named, values)):
            raise self.error("the new shape must hold the same values", f"{shown(sizes)} to {list(self.shape)}")
        return (*kept, *(values // named if size == -1 else size for size in self.shape))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        if not y or differ(xs[0][0], y[0]) is not False:
            return None  # images are cut, or joined, along the batch
        return regrouped(xs[0][1:], y[1:], "joins or splits axes")


@register("permute", example="permute: [0, 2, 3, 1]", on=[(1, 20, 5, 6)])
class Permute(View, frozen=True):
    """Reorder the axes; the batch, axis 0, stays first unless `whole` lets it move. 0 operations.

    >>> Permute(order=(0, 2, 3, 1)).out((1, 20, 5, 6))
    (1, 5, 6, 20)
    """

    image: ClassVar = False

    order: Annotated[tuple[int, ...], Meta(description="which input axis each output axis is, 0 (the batch) first")]
    whole: Annotated[bool, Meta(description="the batch is an axis like the others, and may move")] = False

    def out(self, *xs: Shape) -> Shape:
        named = sorted(self.order) == list(range(len(xs[0])))
        if not named or (self.order[:1] != (0,) and not self.whole):
            first = "" if self.whole else ", the batch (0) first"
            error = self.error(f"order must name every axis once{first}", f"{list(self.order)} for {len(xs[0])} axes")
            error.way_out = "whole: true lets the batch move" if named else ""
            raise error
        return tuple(xs[0][axis] for axis in self.order)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        return Sees(tuple(Link(axis, SAME) for axis in self.order[1:])) if self.order[:1] == (0,) else None


def amounts(layer: "Pad | Crop", rank: int) -> list[tuple[int, int]]:
    """Cells (before, after) for each of `rank` axes."""
    value: Amount = layer.amount
    if not isinstance(value, tuple):
        return [(value, value)] * rank
    if len(value) != rank:
        raise layer.error(f"amount must be one number, or one for each of {rank} axes", f"{list(value)}")
    return [item if isinstance(item, tuple) else (item, item) for item in value]


@register("pad", example="pad: 3", on=[(1, 3, 224, 224)])
class Pad(Moves, frozen=True):
    """Add cells around each spatial axis. Output size per axis: size + before + after. 0 operations.

    >>> Pad(amount=((0, 1), (0, 1))).out((1, 3, 224, 224))
    (1, 3, 225, 225)
    """

    image: ClassVar = True

    amount: Annotated[Amount, Meta(description="cells: a number, one per axis, or [before, after] pairs")]
    mode: Annotated[
        Literal["constant", "reflect", "replicate", "circular"], Meta(description="what the new cells hold")
    ] = "constant"

    at_least: ClassVar = {"amount": 0}

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        around = list(zip(axes, amounts(self, len(axes)), strict=True))
        if self.mode in ("reflect", "circular"):  # reflect repeats all cells but the border, circular all of them
            spare = 1 if self.mode == "reflect" else 0
            for n, cells in around:
                if any(less(n - spare, amount) for amount in cells):
                    raise self.error(f"{self.mode} padding must find its cells in the axis", f"{max(cells)} for {n}")
        return (batch, channels, *(n + before + after for n, (before, after) in around))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        axes = xs[0][2:]
        return over([self.sight(n, a) for n, (a, _) in zip(axes, amounts(self, len(axes)), strict=True)])

    def sight(self, n: int, before: int) -> Sight:
        """The cell that a cell of the padded axis holds; zeros hold none."""
        moved = shifted(-before)
        match self.mode:
            case "constant":
                return moved
            case "replicate":
                return clamped(moved, n)
            case "reflect":
                return tabled(moved, lambda o: n - 1 - abs(n - 1 - abs(o - before)))
        return tabled(moved, lambda o: (o - before) % n)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0]) if self.mode in ("reflect", "replicate") else ()

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), own(prod(y)) if self.mode == "circular" else ()


@register("crop", example="crop: 4", on=[(1, 64, 64, 64)])
class Crop(Moves, frozen=True):
    """Cut cells from the ends of each spatial axis. Output size per axis: size − before − after. 0 operations.

    Source: docs/conventions.md, crop.

    >>> Crop(amount=4).out((1, 64, 64, 64))
    (1, 64, 56, 56)
    """

    image: ClassVar = True

    amount: Annotated[Amount, Meta(description="cells: a number, one per axis, or [before, after] pairs")]

    at_least: ClassVar = {"amount": 0}

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        sizes = [n - before - after for n, (before, after) in zip(axes, amounts(self, len(axes)), strict=True)]
        if any(less(size, 1) for size in sizes):
            raise self.error("at least one cell must be left", f"{shown(axes)} cropped to {shown(sizes)}")
        return (batch, channels, *sizes)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return over([shifted(before) for before, _ in amounts(self, len(y) - 2)])

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        return (prod(y),)


@register("pixel_shuffle", example="pixel_shuffle: 2", on=[(1, 64, 32, 32)])
class PixelShuffle(Moves, frozen=True):
    """Lay groups of factor^axes channels out as blocks of factor × factor cells. 0 operations.

    Output: channels / factor^axes, each axis × factor. Source: Shi et al. (2016).

    >>> PixelShuffle(factor=2).out((1, 64, 32, 32))
    (1, 16, 64, 64)
    """

    image: ClassVar = True

    factor: Annotated[int, Meta(description="cells that one cell becomes along each axis")]

    at_least: ClassVar = {"factor": 1}

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        block = self.factor ** len(axes)
        if divides(block, channels) is False:
            raise self.error(f"{block} = factor^axes must divide the channels", f"channels={channels}")
        return (batch, channels // block, *(n * self.factor for n in axes))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return over([spread(self.factor)] * (len(y) - 2), "picked")


@register("pixel_unshuffle", example="pixel_unshuffle: 2", on=[(1, 16, 64, 64)])
class PixelUnshuffle(Moves, frozen=True):
    """Lay blocks of factor × factor cells out as channels: the inverse of pixel_shuffle. 0 operations.

    Source: Shi et al. (2016).

    >>> PixelUnshuffle(factor=2).out((1, 16, 64, 64))
    (1, 64, 32, 32)
    """

    image: ClassVar = True

    factor: Annotated[int, Meta(description="cells along each axis that become channels")]

    at_least: ClassVar = {"factor": 1}

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        if any(divides(self.factor, n) is False for n in axes):
            raise self.error("factor must divide every axis", f"factor={self.factor}, axes {shown(axes)}")
        return (batch, channels * self.factor ** len(axes), *(n // self.factor for n in axes))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return over([through(Window(self.factor, self.factor))] * (len(y) - 2), "apart")
