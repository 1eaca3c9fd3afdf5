"""How the cells of one map see the cells of another, axis by axis: what receptive fields are composed of."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, Literal

from msgspec import Struct

from archcalc.algebra.num import ceil_div, gcd
from archcalc.algebra.window import Window

Cells = Callable[[int], Iterable[int]]
Channels = Literal["each", "mixed", "apart", "picked"]  # see Sees


class Sight(Struct, frozen=True):
    """Cell o of one axis sees cells of another that lie in [start + o·stride, start + o·stride + size).

    These are the narrowest such numbers; `cells(o)` are the very cells, some of them perhaps beyond the axis' ends.
    """

    start: Any  # of cell 0: an integer or a fraction
    stride: Any
    size: Any
    cells: Cells
    taps: int | None = None  # of windows: where cells are seen, from the start, if not everywhere
    step: int = 1
    bounded: bool = True  # is what is said of start, stride and size true at the borders too?
    everywhere: bool = True  # does every cell see something?

    def seen(self, wanted: int, n: int) -> int:
        """Which of n cells the wanted cells see; sets of cells are integers, bit i for cell i."""
        found = 0
        for o in bits(wanted):
            found |= self.mask(o)
        return found & ((1 << n) - 1)

    def mask(self, o: int) -> int:
        """The cells that cell o sees, those before the axis left out."""
        cells, found = self.cells(o), 0
        if isinstance(cells, range) and cells.step == 1:
            first = max(cells.start, 0)
            return ((1 << (cells.stop - first)) - 1) << first if cells.stop > first else 0
        for cell in cells:
            if cell >= 0:
                found |= 1 << cell
        return found

    def reached(self, seen: int, n: int) -> int:
        """Which of the first n cells see at least one of these cells."""
        if not seen:
            return 0
        first, last = 0, n - 1
        if self.bounded and self.stride:
            low, high = (seen & -seen).bit_length() - 1, seen.bit_length() - 1
            first = max(0, ceil_div(low - self.start - self.size + 1, self.stride))
            last = min(last, (high - self.start) // self.stride)
        return sum(1 << o for o in range(int(first), int(last) + 1) if self.mask(o) & seen)


class Link(Struct, frozen=True):
    """Which axis of the input an axis of the output goes along, and how."""

    source: int
    sight: Sight


class Sees(Struct, frozen=True):
    """How an output sees an input: for each of its axes behind the batch a link, or None for an axis of its own.

    Axes of the input that no link names are seen whole.
    """

    links: tuple[Link | None, ...]
    why: str = ""  # some axis is seen whole
    here: str = ""  # what holds at this size of the input only
    nothing: bool = False  # no value of the input is read
    bound: bool = False  # through axes that no link names less may be seen than is said
    known: bool = True  # else the kind does not say what it sees
    channels: Channels = "each"
    # Each sees its own; every one sees all; they see different cells; cells in different places see different channels.


def bits(cells: int) -> Iterable[int]:
    """The cells of a set.

    >>> list(bits(0b1101))
    [0, 2, 3]
    """
    while cells:
        lowest = cells & -cells
        yield lowest.bit_length() - 1
        cells ^= lowest


def ratio(a: Any, b: Any) -> Any:
    """The quotient of two integers, an integer where it is one.

    >>> ratio(6, 3), ratio(1, 2)
    (2, Fraction(1, 2))
    """
    return whole(Fraction(a, b))


def whole(a: Any) -> Any:
    """The same number, an integer where it is one."""
    return a.numerator if isinstance(a, Fraction) and a.denominator == 1 else a


def half(a: Any) -> Any:
    """Half of a number, without rounding."""
    if isinstance(a, int):
        return a // 2 if a % 2 == 0 else Fraction(a, 2)
    return whole(a / 2)


SAME = Sight(0, 1, 1, lambda o: range(o, o + 1), 1)
EACH = Sees(())  # each cell sees the cell in its own place


def shifted(by: int, *, everywhere: bool = True) -> Sight:
    """Cell o sees cell o + by, where there is one."""
    return Sight(by, 1, 1, lambda o: range(o + by, o + by + 1), 1, everywhere=everywhere)


def through(window: Window) -> Sight:
    """What the stops of a window see.

    >>> list(through(Window(kernel=3, stride=2, before=1)).cells(0))
    [-1, 0, 1]
    """
    span, step, before, stride = window.span, window.dilation, window.before, window.stride
    return Sight(
        -before, stride, span, lambda o: range(o * stride - before, o * stride - before + span, step),
        window.kernel, step,
    )  # fmt: skip


def adjoint(window: Window) -> Sight:
    """What the cells of a transposed convolution see: the stops of the window that reach them.

    >>> sight = adjoint(Window(kernel=3, stride=2, before=1))
    >>> (sight.start, sight.stride, sight.size), [list(sight.cells(o)) for o in (2, 3)]
    ((Fraction(-1, 2), Fraction(1, 2), 2), [[1], [1, 2]])
    """
    span, stride, before, step = window.span, window.stride, window.before, window.dilation

    def cells(o: int) -> list[int]:
        first, last = ceil_div(o + before - span + 1, stride), (o + before) // stride
        return [i for i in range(first, last + 1) if (o + before - i * stride) % step == 0]

    start = ratio(before - span + 1, stride)
    return Sight(start, ratio(1, stride), whole(ratio(span - 1, stride) + 1), cells)


def spread(factor: int) -> Sight:
    """Cell o sees the cell ⌊o / factor⌋ that it is a part of."""
    return Sight(
        ratio(1 - factor, factor), ratio(1, factor), whole(ratio(factor - 1, factor) + 1),
        lambda o: range(o // factor, o // factor + 1),
    )  # fmt: skip


def shared(n: int, size: int) -> Sight:
    """Cell i of `size` sees cells ⌊i·n/size⌋ … ⌈(i+1)·n/size⌉ − 1 of n: adaptive pooling."""
    common = ratio(gcd(n, size), size)
    return Sight(
        common - 1, ratio(n, size), whole(ratio(n, size) + 2 - 2 * common),
        lambda i: range(i * n // size, ceil_div((i + 1) * n, size)),
    )  # fmt: skip


def sampled(place: tuple[int, int], factor: tuple[int, int], reach: tuple[int, int]) -> Sight:
    """Cell o lies at place + o · factor between the cells, two fractions, and sees cells nearer than `reach` to it.

    `reach` is before and behind; (1, 0) is the nearest cell at or before it. Kernels of interpolation vanish at whole
    distances: where the place is a cell, that is all it sees.
    """
    at, step = Fraction(*place), Fraction(*factor)
    parts = step.denominator  # places differ by multiples of 1 / parts
    least = at % Fraction(1, parts)  # how far a place lies behind a cell: least, least + 1 / parts, …
    most = least + Fraction(parts - 1, parts)
    if least == 0 and parts > 1 and reach != (1, 0):
        least = Fraction(1, parts)  # the others see more
    before = reach[0] - 1 + most if most else Fraction(0)
    behind = reach[1] - least if most and reach[1] else Fraction(0)

    def cells(o: int) -> range:
        position = at + o * step
        first = position.numerator // position.denominator
        if position == first or reach == (1, 0):
            return range(first, first + 1)
        return range(first - reach[0] + 1, first + reach[1] + 1)

    return Sight(whole(at - before), whole(step), whole(before + behind + 1), cells)


def clamped(sight: Sight, n: int, *, bounded: bool = False) -> Sight:
    """The same, with the first and last cell in the place of those beyond them."""
    return Sight(
        sight.start, sight.stride, sight.size,
        lambda o: sorted({min(max(cell, 0), n - 1) for cell in sight.cells(o)}),
        sight.taps, bounded=bounded,
    )  # fmt: skip


def tabled(sight: Sight, cell: Callable[[int], int]) -> Sight:
    """Where each cell sees one other, which the sight is only right about away from the borders."""
    return Sight(sight.start, sight.stride, sight.size, lambda o: (cell(o),), 1, bounded=False)


def all_but(axes: int, whole_axes: Sequence[int], why: str) -> Sees:
    """A map of so many axes behind the batch, some of them seen whole, the others cell by cell."""
    links = (None if axis in whole_axes else Link(axis, SAME) for axis in range(1, axes + 1))
    return Sees(tuple(links), why)


def over(sights: Sequence[Sight], channels: Channels = "each", here: str = "") -> Sees:
    """An image: its axes are seen by these sights."""
    links = (Link(axis, sight) for axis, sight in enumerate(sights, start=2))
    return Sees((Link(1, SAME) if channels == "each" else None, *links), here=here, channels=channels)


def regrouped(sizes: Sequence[int], to: Sequence[int], why: str) -> Sees:
    """The same values in another shape: an axis that stays is seen place by place, joined and split ones whole.

    >>> [link and link.source for link in regrouped((20, 5, 6), (4, 5, 30), "").links]
    [None, None, None]
    >>> [link and link.source for link in regrouped((1, 20, 5, 6), (20, 30), "").links]
    [2, None]
    """
    links: list[Link | None] = []
    here = there = 0
    while there < len(to):
        while to[there] != 1 and here < len(sizes) - 1 and sizes[here] == 1:
            here += 1
        first, left, right = here, 1, to[there]
        start, there = there, there + 1
        while left != right:
            if left < right and here < len(sizes):
                left, here = left * sizes[here], here + 1
            elif there < len(to):
                right, there = right * to[there], there + 1
            else:
                break
        if left == right == 1 and here < len(sizes) and sizes[here] == 1:
            here += 1
        alone = here - first == 1 and there - start == 1
        links += [Link(first + 1, SAME)] if alone else [None] * (there - start)
    return Sees(tuple(links), why, bound=True, channels="apart")
