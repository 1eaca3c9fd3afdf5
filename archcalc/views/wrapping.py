"""A tall drawing in columns side by side, cut where a single wire leads on."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from msgspec import Struct

from archcalc.views.layered import Lattice

TALL = 1200.0  # from here on a drawing is cut
ASPECT = 1.6  # of the whole, width to height, as far as the cuts allow
MOSTLY = 0.6  # a stretch without cuts this long makes columns pointless
GUTTER, TURN = 44.0, 12.0  # between two columns; what a wire takes under a column and over the next


class Bridge(Struct, frozen=True):
    """How a wire goes from a column to the next: down to `low`, along `x` up to `high`."""

    low: float
    x: float
    high: float


class Wrapped(Struct):
    """Where every rank moves, and the wire from one column to the next by the rank that it leaves."""

    right: list[float]
    down: list[float]
    bridges: dict[int, Bridge]


def wrapped(
    made: Lattice, tops: Sequence[float], feet: Sequence[float], sides: Sequence[tuple[float, float]]
) -> Wrapped:
    """Columns for ranks with these tops, feet, and left and right ends."""
    if not made.ranks:
        return Wrapped([], [], {})
    starts = _starts(made, tops, feet, max(right for _, right in sides) - min(left for left, _ in sides))
    moved = Wrapped([], [], {})
    at, head = min(left for left, _ in sides), tops[0]
    for start, end in zip(starts, [*starts[1:], len(made.ranks)], strict=True):
        over = TURN if start else 0.0
        left, right = min(left for left, _ in sides[start:end]), max(right for _, right in sides[start:end])
        moved.right += [at - left] * (end - start)
        moved.down += [head + over - tops[start]] * (end - start)
        at += right - left
        if end < len(made.ranks):
            moved.bridges[end - 1] = Bridge(feet[end - 1] + moved.down[-1] + 4, at + GUTTER / 2, head - 4)
        at += GUTTER
    return moved


def _starts(made: Lattice, tops: Sequence[float], feet: Sequence[float], width: float) -> list[int]:
    """The rank at the top of each column: so many columns as suit the page, as equal as the cuts allow."""
    height = feet[-1] - tops[0]
    legal = [at for at in range(1, len(made.ranks)) if _single(made, at - 1)]
    ends = [0, *legal, len(made.ranks)]
    longest = max(feet[end - 1] - tops[start] for start, end in pairwise(ends))
    if height <= TALL or longest > MOSTLY * height:
        return [0]
    wanted = min(round(height / max(longest, TALL / 2)), round(sqrt(ASPECT * height / (width + GUTTER)))) or 1
    goal = max(longest, height / wanted)
    starts = _cut(legal, tops, feet, goal)
    while len(starts) > wanted:
        goal *= 1.03
        starts = _cut(legal, tops, feet, goal)
    return starts


def _cut(legal: Sequence[int], tops: Sequence[float], feet: Sequence[float], goal: float) -> list[int]:
    """The first ranks of columns that are not higher than the goal."""
    starts, before = [0], 0
    for at in [*legal, len(feet)]:
        if feet[at - 1] - tops[starts[-1]] > goal and before > starts[-1]:
            starts.append(before)
        before = at
    return starts


def _single(made: Lattice, rank: int) -> bool:
    """Does one tensor alone, of one box, lead from this rank to the next?"""
    sources = [vertex for vertex in made.ranks[rank] if made.down[vertex]]
    return len(sources) == 1 and sources[0] < made.boxes and made.sent[sources[0]] == 1
