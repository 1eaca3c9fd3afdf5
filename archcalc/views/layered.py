"""A graph in ranks: every wire goes down, wires past a rank are lanes in it, and few of them cross."""

from bisect import bisect_right, insort
from collections.abc import Sequence

from msgspec import Struct

Wires = Sequence[tuple[int, Sequence[int]]]  # for each tensor: the box it leaves, and the boxes that read it
EFFORT = 400_000  # steps that putting ranks in order may take: large drawings are put in order less well, not slower


class Lattice(Struct):
    """Boxes 0 … boxes − 1 and, after them, points where a lane passes a rank; links join neighbouring ranks."""

    boxes: int
    rank: list[int]  # of every vertex
    ranks: list[list[int]]  # vertices from left to right
    up: list[list[int]]
    down: list[list[int]]
    routes: dict[tuple[int, int], list[int]]  # (tensor, reader) -> vertices from the box it leaves to the reader
    sent: list[int]  # how many tensors leave a box


def lattice(boxes: int, wires: Wires) -> Lattice:
    """Ranks, lanes and an order; a box may only read boxes before it.

    All readers of a tensor share one lane, which is what keeps densely connected networks readable.
    """
    rank = ranked(boxes, wires)
    made = Lattice(boxes, rank, [], [[] for _ in rank], [[] for _ in rank], {}, [0] * boxes)
    for at, (source, readers) in enumerate(wires):
        _lane(made, at, source, sorted(readers, key=lambda reader: (rank[reader], reader)))
    made.ranks = _first_order(made)
    _untangle(made)
    return made


def ranked(boxes: int, wires: Wires) -> list[int]:
    """The longest way to each box; a box that sends more than it reads stands just above its first reader."""
    reads: list[list[int]] = [[] for _ in range(boxes)]
    sends: list[list[Sequence[int]]] = [[] for _ in range(boxes)]
    for source, readers in wires:
        sends[source].append(readers)
        for reader in readers:
            reads[reader].append(source)
    rank = [0] * boxes
    for box in range(boxes):
        rank[box] = max((rank[source] + 1 for source in reads[box]), default=0)
    for box in reversed(range(boxes)):
        if len(sends[box]) > len(reads[box]):
            rank[box] = min(rank[reader] for readers in sends[box] for reader in readers) - 1
    return rank


def _lane(made: Lattice, at: int, source: int, readers: Sequence[int]) -> None:
    """The points that a tensor passes on its way to its readers, the nearest first."""
    way = [source]
    made.sent[source] += 1
    for reader in readers:
        while made.rank[way[-1]] < made.rank[reader] - 1:
            point = len(made.rank)
            made.rank.append(made.rank[way[-1]] + 1)
            made.up.append([way[-1]])
            made.down.append([])
            made.down[way[-1]].append(point)
            way.append(point)
        made.up[reader].append(way[-1])
        made.down[way[-1]].append(reader)
        made.routes[at, reader] = [*way, reader]


def _first_order(made: Lattice) -> list[list[int]]:
    """Depth first, boxes before lanes: what a box leads to stays beneath it, and lanes come to lie around it."""
    ranks: list[list[int]] = [[] for _ in range(max(made.rank, default=-1) + 1)]
    seen = [False] * len(made.rank)
    waiting = [box for box in reversed(range(made.boxes)) if not made.up[box]]
    while waiting:
        vertex = waiting.pop()
        if not seen[vertex]:
            seen[vertex] = True
            ranks[made.rank[vertex]].append(vertex)
            waiting += sorted(made.down[vertex], reverse=True)
    return ranks


def _untangle(made: Lattice) -> None:
    """Sweeps down and up, each rank ordered by the middle of what it hangs on; the best order seen is kept."""
    best, least = [list(rank) for rank in made.ranks], crossings(made)
    links = sum(map(len, made.down)) + 1
    for turn in range(min(16, EFFORT // (8 * links))):
        if not least:
            break
        downwards = turn % 2 == 0
        place = _places(made)
        for at in range(1, len(made.ranks)) if downwards else range(len(made.ranks) - 2, -1, -1):
            _by_middle(made.ranks[at], made.up if downwards else made.down, place)
        _exchange(made)
        found = crossings(made)
        if found < least:
            best, least = [list(rank) for rank in made.ranks], found
    made.ranks = best


def _places(made: Lattice) -> list[int]:
    place = [0] * len(made.rank)
    for rank in made.ranks:
        for at, vertex in enumerate(rank):
            place[vertex] = at
    return place


def _by_middle(rank: list[int], near: list[list[int]], place: list[int]) -> None:
    """Order one rank; what hangs on nothing keeps its place."""
    middle = {
        vertex: sum(place[other] for other in near[vertex]) / len(near[vertex]) if near[vertex] else place[vertex]
        for vertex in rank
    }
    rank.sort(key=middle.__getitem__)
    for at, vertex in enumerate(rank):
        place[vertex] = at


def _exchange(made: Lattice) -> None:
    """Neighbours change places where that saves crossings."""
    place = _places(made)
    for rank in made.ranks:
        for at in range(len(rank) - 1):
            left, right = rank[at], rank[at + 1]
            kept = turned = 0
            for near in (made.up, made.down):
                kept += _crossed(near[left], near[right], place)
                turned += _crossed(near[right], near[left], place)
            if turned < kept:
                rank[at], rank[at + 1] = right, left
                place[left], place[right] = at + 1, at


def _crossed(left: list[int], right: list[int], place: list[int]) -> int:
    """Links of the left vertex that cross links of the right one."""
    ends = sorted([place[vertex] for vertex in right])
    return sum([bisect_right(ends, place[vertex] - 1) for vertex in left])


def crossings(made: Lattice) -> int:
    """How many pairs of links cross."""
    place, found = _places(made), 0
    for rank in made.ranks[:-1]:
        seen: list[int] = []
        for vertex in rank:
            ends = sorted([place[other] for other in made.down[vertex]])
            found += sum([len(seen) - bisect_right(seen, end) for end in ends])
            for end in ends:
                insort(seen, end)
    return found
