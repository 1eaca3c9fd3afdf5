"""Where a list of nodes is divided: runs that share a level of their path names, and branches that a node joins."""

from collections import Counter
from collections.abc import Iterator

from msgspec import Struct

from archcalc.layers.layer import KINDS, kind_of
from archcalc.model.graph import Graph


class Piece(Struct, frozen=True):
    """Nodes in a row: one node, all nodes of a level, or ways with the node that joins them."""

    start: int
    end: int
    depth: int  # parts of the path that name it
    ways: tuple[tuple[int, int], ...] | None = None  # of a join: where each way stands; empty ones hand the input on
    source: int = 0  # of a join: what all ways read

    @property
    def output(self) -> int:
        """Its last node."""
        return self.end - 1


class Nodes:
    """A graph by numbers: nodes count from 0; inputs are -1, -2, …"""

    def __init__(self, graph: Graph, joins: bool = True) -> None:
        self.all, self.joins = graph.nodes, joins
        self.parts = [tuple(node.name.split("/")) for node in graph.nodes]
        self.inputs = {-1 - place: name for place, name in enumerate(graph.inputs)}
        number = {name: place for place, name in self.inputs.items()}
        number |= {node.name: place for place, node in enumerate(graph.nodes)}
        self.reads = [tuple([number[name] for name in node.inputs]) for node in graph.nodes]
        self.owner = [None if node.shared_with is None else number[node.shared_with] for node in graph.nodes]
        self.outputs = [number[name] for name in graph.outputs]
        self.below = Counter(path[:depth] for path in self.parts for depth in range(1, len(path)))
        self.names = {*self.parts, *((name,) for name in graph.inputs)}

    def pieces(self, start: int, end: int, depth: int) -> Iterator[Piece]:
        """The nodes from start to end, divided by the part of their paths at this depth."""
        while start < end:
            head, stop = self.parts[start][depth], start
            while stop < end and self.parts[stop][depth] == head:
                stop += 1
            yield from self._run(start, stop, depth)
            start = stop

    def _run(self, start: int, end: int, depth: int) -> Iterator[Piece]:
        """Nodes that share this part: a level or a join if all such nodes are here; else each for itself."""
        path, within = self.parts[start][: depth + 1], end - start
        if within == self.below[path] and path not in self.names:
            yield Piece(start, end, depth + 1)
            return
        joined = self._joined(start, end, depth) if within == self.below[path] + 1 > 1 else None
        if joined is not None:
            yield joined
            return
        while start < end:
            if len(self.parts[start]) == depth + 1:
                yield Piece(start, start + 1, depth + 1)
                start += 1
                continue
            stop = start
            while stop < end and len(self.parts[stop]) > depth + 1:
                stop += 1
            yield from self.pieces(start, stop, depth + 1)
            start = stop

    def _joined(self, start: int, end: int, depth: int) -> Piece | None:
        """Branches as a spec's structure names them, `concat1/branch1/…`, with the join `concat1` behind them."""
        join = self.all[end - 1]
        if not self.joins or len(self.parts[end - 1]) != depth + 1 or not self._may_join(end - 1):
            return None
        ways: dict[int, tuple[int, int]] = {}
        while start < end - 1:
            label, stop = self.parts[start][depth + 1], start
            while stop < end - 1 and self.parts[stop][depth + 1] == label and len(self.parts[stop]) > depth + 2:
                stop += 1
            number = label.removeprefix("branch")
            if stop == start or f"branch{number}" != label or not number.isdecimal() or number[0] == "0":
                return None
            if int(number) <= max(ways, default=0) or int(number) > len(join.inputs):
                return None
            ways[int(number)] = (start, stop)
            start = stop
        return self._ways(ways, end, depth)

    def _may_join(self, node: int) -> bool:
        layer, use = self.all[node].layer, self.all[node]
        joins = kind_of(layer) in KINDS and layer.arity[1] is None
        return joins and use.trainable and use.shared_with is None

    def _ways(self, ways: dict[int, tuple[int, int]], end: int, depth: int) -> Piece | None:
        """The join with its ways, if each ends in it, and all that are empty hand on the same."""
        reads = self.reads[end - 1]
        handed = {source for number, source in enumerate(reads, start=1) if number not in ways}
        first = next(iter(ways.values()))[0]
        source = next(iter(handed), self.reads[first][0] if self.reads[first] else None)
        if source is None or source >= first or len(handed) > 1:
            return None
        if any(reads[number - 1] != way[1] - 1 for number, way in ways.items()):
            return None
        return Piece(first, end, depth + 1, tuple(ways.get(n, (0, 0)) for n in range(1, len(reads) + 1)), source)

    def outside(self, start: int, end: int) -> list[int]:
        """What nodes from start to end read, or share, of what stands before them."""
        found: dict[int, None] = {}
        for place in range(start, end):
            for source in (*self.reads[place], self.owner[place]):
                if source is not None and source < start:
                    found[source] = None
        return list(found)
