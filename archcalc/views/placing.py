"""Where boxes stand and lanes run: straight where possible, and never one over the other."""

from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from msgspec import Struct

from archcalc.views.layered import Lattice

GAP, LANE = 26.0, 9.0  # between two boxes of a rank; on each side of a lane
ROUNDS = 24  # of moving what is not aligned towards what it is linked with


class Sized(Struct, frozen=True):
    """A box before it is placed: how far it reaches to each side of its middle, with its labels."""

    width: float
    height: float
    right: float  # from the middle; at least half the width


def columns(made: Lattice, sizes: Sequence[Sized]) -> list[float]:
    """The middle of every vertex: aligned vertices share it, and neighbours in a rank keep their distance."""
    of, count = _aligned(made)
    limits = _distances(made, sizes, of)
    order = _from_left(count, limits)
    x = _between(count, order, limits)
    links: list[list[int]] = [[] for _ in range(count)]
    for vertex, below in enumerate(made.down):
        for other in below:
            if of[vertex] != of[other]:
                links[of[vertex]].append(of[other])
                links[of[other]].append(of[vertex])
    _settle(x, order, limits, links)
    least = min((x[of[vertex]] - reach(made, sizes, vertex)[0] for vertex in range(len(of))), default=0.0)
    return [round(x[at] - least, 1) for at in of]


def reach(made: Lattice, sizes: Sequence[Sized], vertex: int) -> tuple[float, float]:
    """How far a vertex reaches to its left and right."""
    if vertex >= made.boxes:
        return LANE, LANE
    return sizes[vertex].width / 2, sizes[vertex].right


def _aligned(made: Lattice) -> tuple[list[int], int]:
    """A number for every vertex, the same for those on one vertical line, and how many there are.

    Lanes come first, then the longest unbroken way of boxes through the network; links that cross an aligned one bend.
    """
    place = {vertex: at for rank in made.ranks for at, vertex in enumerate(rank)}
    head, foot = list(range(len(made.rank))), dict[int, int]()
    taken: list[list[tuple[int, int]]] = [[] for _ in made.ranks]
    for upper, lower in _wanted(made):
        gap, pair = taken[made.rank[upper]], (place[upper], place[lower])
        at = bisect(gap, pair)
        crosses = (at and gap[at - 1][1] > pair[1]) or (at < len(gap) and gap[at][1] < pair[1])
        if upper not in foot and head[lower] == lower and not crosses:
            gap.insert(at, pair)
            foot[upper], head[lower] = lower, upper
    number, count = [0] * len(head), 0
    for rank in made.ranks:
        for vertex in rank:
            if head[vertex] != vertex:
                number[vertex] = number[head[vertex]]
            else:
                number[vertex], count = count, count + 1
    return number, count


def _wanted(made: Lattice) -> Iterable[tuple[int, int]]:
    """Links to align, the most wanted first."""
    for point in range(made.boxes, len(made.rank)):
        yield from ((point, other) for other in made.down[point] if other >= made.boxes)
    ahead, behind = [0] * made.boxes, [0] * made.boxes
    for box in reversed(range(made.boxes)):
        ahead[box] = 1 + max((ahead[other] for other in made.down[box] if other < made.boxes), default=0)
    for box in range(made.boxes):
        behind[box] = 1 + max((behind[other] for other in made.up[box] if other < made.boxes), default=0)
    pairs = [
        (box, other)
        for box in range(made.boxes)
        for other in _foremost(made.down[box], ahead)
        if box in _foremost(made.up[other], behind)
    ]
    yield from sorted(pairs, key=lambda pair: -(behind[pair[0]] + ahead[pair[1]]))
    for box in range(made.boxes):
        if len(made.up[box]) == 1 and made.up[box][0] >= made.boxes:
            yield made.up[box][0], box


def _foremost(near: Sequence[int], reach: Sequence[int]) -> Sequence[int]:
    """Of several boxes the one that leads furthest; none if they are alike, then all stand around the middle."""
    boxes = [other for other in near if other < len(reach)]
    most = max([reach[other] for other in boxes], default=0)
    found = [other for other in boxes if reach[other] == most]
    return found if len(found) == 1 else ()


def _distances(made: Lattice, sizes: Sequence[Sized], of: list[int]) -> dict[tuple[int, int], float]:
    """How far apart two lines must be at least."""
    limits: dict[tuple[int, int], float] = {}
    for rank in made.ranks:
        for left, right in pairwise(rank):
            gap = GAP if left < made.boxes and right < made.boxes else LANE / 2
            far = reach(made, sizes, left)[1] + gap + reach(made, sizes, right)[0]
            pair = of[left], of[right]
            limits[pair] = max(limits.get(pair, 0.0), far)
    return limits


def _from_left(count: int, limits: dict[tuple[int, int], float]) -> list[int]:
    """Lines such that each comes after all that are left of it."""
    after: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for left, right in limits:
        after[left].append(right)
        missing[right] += 1
    free = [line for line in range(count) if not missing[line]]
    for line in free:
        for other in after[line]:
            missing[other] -= 1
            if not missing[other]:
                free.append(other)
    return free


def _between(count: int, order: list[int], limits: dict[tuple[int, int], float]) -> list[float]:
    """Half-way between pushed to the left and pushed to the right: the mean of two legal drawings is legal."""
    left, right = [0.0] * count, [0.0] * count
    before, after = _sides(count, limits)
    for line in order:
        left[line] = max((left[other] + far for other, far in before[line]), default=0.0)
    end = max(left, default=0.0)
    for line in reversed(order):
        right[line] = min((right[other] - far for other, far in after[line]), default=end)
    return [(one + other) / 2 for one, other in zip(left, right, strict=True)]


def _sides(count: int, limits: dict[tuple[int, int], float]) -> Any:
    before: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    after: list[list[tuple[int, float]]] = [[] for _ in range(count)]
    for (left, right), far in limits.items():
        before[right].append((left, far))
        after[left].append((right, far))
    return before, after


def _settle(x: list[float], order: list[int], limits: dict[tuple[int, int], float], links: list[list[int]]) -> None:
    """Move every line towards the middle of what it is linked with, as far as its neighbours let it."""
    before, after = _sides(len(x), limits)
    for turn in range(ROUNDS):
        for line in order if turn % 2 else reversed(order):
            if links[line]:
                wish = sum([x[other] for other in links[line]]) / len(links[line])
                lowest = max((x[other] + far for other, far in before[line]), default=-inf)
                highest = min((x[other] - far for other, far in after[line]), default=inf)
                x[line] = max(lowest, min(wish, highest))
