"""Kinds that pick, repeat, turn or look up cells along axes, of which the batch may be one: nothing is computed."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees, all_but, shifted, tabled, through
from archcalc.algebra.num import ceil_div, differ, largest, less, prod, smallest
from archcalc.algebra.window import Window
from archcalc.layers.layer import Layer, Saved, Shape, alike, positions_of, register, shown
from archcalc.layers.reshape import Moves, View

AnyAxis = Annotated[int, Meta(description="the axis; 0 is the batch, 1 the channels, -1 the last")]


def place_of(layer: Layer, x: Shape, axis: int) -> int:
    """Which position of a shape an axis is, the batch among them; negative ones count from the end."""
    position = axis + len(x) if axis < 0 else axis
    if not 0 <= position < len(x):
        raise layer.error(f"an axis must lie between 0 and {len(x) - 1}, or -1 and -{len(x)}", f"{axis}")
    return position


@register("slice", example="slice: {axis: 1, stop: 32}", on=[(1, 64, 56, 56)])
class Slice(View, frozen=True):
    """Keep the cells start, start + step, … before `stop` of one axis. 0 operations: the same memory.

    Output size of the axis: ⌈(stop − start) / step⌉; what lies beyond its ends is cut. Negative numbers count from
        the end. With `drop` one cell must be left, and the axis goes.
    Source: Python's slices; PyTorch's indexing.

    >>> Slice(axis=-1, start=1, stop=-1, step=2).out((1, 3, 10))
    (1, 3, 4)
    """

    axis: AnyAxis
    start: Annotated[int, Meta(description="the first cell")] = 0
    stop: Annotated[int | None, Meta(description="the cell before which it ends; null: to the end")] = None
    step: Annotated[int, Meta(description="cells between two that are kept")] = 1
    drop: Annotated[bool, Meta(description="take the axis away; one cell must be left")] = False

    at_least: ClassVar = {"step": 1}

    @property
    def image(self) -> bool | None:  # type: ignore[override]
        """An axis that goes leaves the others in other places."""
        return False if self.drop else None

    def out(self, *xs: Shape) -> Shape:
        position, size = place_of(self, xs[0], self.axis), self.cells(xs[0])
        if less(size, 1):
            raise self.error("at least one cell must be left", f"{self.range} of {xs[0][position]}")
        if self.drop and differ(size, 1):
            raise self.error("an axis that goes must have one cell left", f"{self.range} of {xs[0][position]}")
        return (*xs[0][:position], *(() if self.drop else (size,)), *xs[0][position + 1 :])

    @property
    def range(self) -> str:
        """Start, stop and step as Python writes them."""
        return f"{self.start}:{'' if self.stop is None else self.stop}:{self.step}"

    def cells(self, x: Shape) -> int:
        """How many cells of the axis are kept."""
        n = x[place_of(self, x, self.axis)]
        return ceil_div((n if self.stop is None else within(self.stop, n)) - within(self.start, n), self.step)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        position = place_of(self, xs[0], self.axis)
        if position == 0:
            return None if self.drop else Sees(tuple(Link(axis, SAME) for axis in range(1, len(y))))
        picked = through(Window(1, self.step, -within(self.start, xs[0][position])))
        kept = [axis for axis in range(1, len(xs[0])) if axis != position or not self.drop]
        links = tuple(Link(axis, picked if axis == position else SAME) for axis in kept)
        return Sees(links, "picks a place of the axis" if self.drop else "", bound=self.drop)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        return (prod(y),)

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return self.step == 1 and alike(
            xs[0], y
        )  # else zeros of the input's size are made, and the gradient laid into them


def within(place: int, n: int) -> int:
    """A place of an axis of n cells, counted from its start and not beyond its ends.

    >>> within(-2, 10), within(12, 10), within(-12, 10)
    (8, 10, 0)
    """
    return largest(n + place, 0) if less(place, 0) else smallest(place, n)


@register("expand", example="expand: [-1, 8, 56, 56]", on=[(1, 8, 1, 1)])
class Expand(View, frozen=True):
    """Repeat axes of size 1 to the sizes given. 0 operations: the same memory, read again and again.

    Source: PyTorch's expand. The gradient of a repeated axis is the sum over it.

    >>> Expand(shape=(-1, 8, 56, 56)).out((2, 8, 1, 1))
    (2, 8, 56, 56)
    """

    shape: Annotated[tuple[int, ...], Meta(description="sizes of all axes, the batch first; -1 keeps the input's")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(less(size, 1) and size != -1 for size in self.shape):
            raise self.error("sizes must be at least 1, or -1", f"{list(self.shape)}")

    def out(self, *xs: Shape) -> Shape:
        got = f"{shown(xs[0])} to {list(self.shape)}"
        if len(self.shape) != len(xs[0]):
            raise self.error("shape must name every axis, the batch first", got)
        y = tuple(n if size == -1 else size for n, size in zip(xs[0], self.shape, strict=True))
        if any(differ(n, 1) and differ(n, size) for n, size in zip(xs[0], y, strict=True)):
            raise self.error("only an axis of size 1 can be repeated", got)
        return y

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        repeated = [axis for axis, (n, size) in enumerate(zip(xs[0], y, strict=True)) if differ(n, size)]
        return all_but(len(y) - 1, repeated, "repeats the axis" if repeated else "")

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return alike(xs[0], y)


@register("gather", example="gather: {from: [table, indices]}", on=[(169, 12), (49, 49)])
class Gather(Moves, frozen=True):
    """Look indices up along one axis of the first input: an embedding whose table is an input. 0 operations.

    Output: the first input's axes, with all axes of the second, the indices, in the place of `axis`.
    Source: ONNX's Gather; PyTorch's indexing by a tensor.

    >>> Gather().out((169, 12), (49, 49))
    (49, 49, 12)
    """

    image: ClassVar = False

    axis: AnyAxis = 0

    arity: ClassVar = (2, 2)

    def out(self, *xs: Shape) -> Shape:
        values, indices = xs
        position = place_of(self, values, self.axis)
        return (*values[:position], *indices, *values[position + 1 :])

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        """Any cell along the axis may be picked; the other axes stay, and those of the indices are seen one by one."""
        position, places = place_of(self, xs[0], self.axis), len(xs[1])
        links: list[Link | None] = []
        for axis in range(1, len(y)):
            index, own = axis - position, axis if axis < position else axis - places + 1
            if number == 0:
                links.append(None if 0 <= index < places else Link(own, SAME))
            else:
                links.append(Link(index, SAME) if 0 < index < places else None)
        return Sees(tuple(links), "" if number else "may pick any cell of the axis", bound=True)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return (Saved(1, prod(xs[1]), "index", "int64", wanted_by=0),)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        row = prod(xs[0]) // xs[0][place_of(self, xs[0], self.axis)]
        return (row, prod(xs[1]))  # all indices may be the same


@register("roll", example="roll: {axes: [2, 3], shifts: [-3, -3]}", on=[(1, 96, 56, 56)])
class Roll(Moves, frozen=True):
    """Move cells along axes; those that leave at one end come in at the other. 0 operations: a copy.

    Source: PyTorch's roll; Liu et al. (2021) shift windows by it.
    """

    axes: Annotated[int | tuple[int, ...], Meta(description="the axes; -1 is the last, 0 the batch is no choice")]
    shifts: Annotated[int | tuple[int, ...], Meta(description="cells that each of them moves, towards the end")]

    def out(self, *xs: Shape) -> Shape:
        self.moves(xs[0])
        return xs[0]

    def moves(self, x: Shape) -> dict[int, int]:
        """The axes that move, and by how much."""
        positions = positions_of(self, x, self.axes)
        shifts = self.shifts if isinstance(self.shifts, tuple) else (self.shifts,)
        if len(shifts) != len(positions):
            raise self.error("needs one shift for each axis", f"axes={self.axes}, shifts={self.shifts}")
        return dict(zip(positions, shifts, strict=True))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        moved = {axis: (shift, y[axis]) for axis, shift in self.moves(y).items()}
        sights = {
            axis: tabled(shifted(-shift), lambda o, shift=shift, n=n: (o - shift) % n)  # type: ignore[misc]
            for axis, (shift, n) in moved.items()
        }
        return Sees(tuple(Link(axis, sights.get(axis, SAME)) for axis in range(1, len(y))))


@register("flip", example="flip: -1", on=[(1, 3, 224, 224)])
class Flip(Moves, frozen=True):
    """Turn axes round: the last cell first. 0 operations: a copy. Source: PyTorch's flip."""

    axes: Annotated[int | tuple[int, ...], Meta(description="the axes; -1 is the last, 0 the batch is no choice")]

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axes)
        return xs[0]

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        links = all_but(len(y) - 1, positions_of(self, y, self.axes), "").links
        return Sees(links, "turns the axis round", bound=True)
