"""One level of a graph as the lines of a spec: its names, what its lines read, its residuals and branches."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from archcalc.dialects.yaml_fold_pieces import Nodes, Piece
from archcalc.dialects.yaml_fold_repeat import repeated
from archcalc.dialects.yaml_fold_tree import (
    Branches,
    Item,
    Items,
    Line,
    Reads,
    Repeat,
    Residual,
    head_of,
    values_of,
)
from archcalc.dialects.yaml_unknown import UNKNOWN
from archcalc.layers.join import Combine
from archcalc.layers.layer import kind_of

ADD = Combine("add")


class Manner(Struct, frozen=True):
    """How much is folded."""

    levels: bool = True  # into blocks
    structures: bool = True  # into residuals and branches
    repeats: bool = True
    inline: bool = True  # blocks that are used once


class Entry(Struct):
    """A line before it has a name: where it stands, what it reads, what it stands for."""

    piece: Piece
    kind: str  # by which the spec's reader names it
    local: str
    inputs: tuple[int, ...]
    output: int
    block: tuple[int, tuple[object, ...]] | None = None  # number and values of slots
    body: "list[Entry] | None" = None  # of a residual
    shortcut: "Entry | None" = None
    name: str | None = None  # None: as the reader makes it

    @property
    def leaf(self) -> bool:
        """Is it one layer by itself?"""
        return self.block is None and self.piece.ways is None and self.body is None


Folded = tuple[int, tuple[object, ...], str, list[int]]  # number, slots, name, what it reads


class Scope:
    """Names that are seen from a block's lines, or from those at the top."""

    def __init__(
        self,
        nodes: Nodes,
        manner: Manner,
        base: int,
        ports: Mapping[int, str],
        block: Callable[[Piece], Folded],
        named: Callable[[int], str],
    ) -> None:
        self.nodes, self.manner, self.base, self.ports = nodes, manner, base, ports
        self.block, self.named = block, named  # what a level is, and what the block of a number is called
        self.depths: dict[int, int] = {}  # last node of a level -> parts of the level's path

    def items(self, start: int, end: int, depth: int, above: int | None) -> Items:
        """Lines for nodes from start to end, whose names begin at a depth of their paths."""
        nodes = self.nodes
        whole = self.manner.levels
        pieces = (
            nodes.pieces(start, end, depth)
            if whole
            else (Piece(n, n + 1, len(nodes.parts[n])) for n in range(start, end))
        )
        entries = [self.entry(piece, depth) for piece in pieces]
        name_all(entries, self.ports.values() if self.base == 0 == depth else ())
        while True:
            formed = self.residuals(entries, above) if self.manner.structures else entries
            found = self.lines(formed, above, (start, end, depth))
            called = list(Called(self.named).names(found))
            wrong = [entry for entry, name in zip(entries, called, strict=True) if name not in (None, entry.local)]
            unnamed = [entry for entry in wrong if entry.name is None]
            if not unnamed:
                return found
            for entry in unnamed:
                entry.name = entry.local

    def entry(self, piece: Piece, depth: int) -> Entry:
        """A piece as a line to be."""
        path, nodes = self.nodes.parts[piece.output], self.nodes
        local = "/".join(path[depth : piece.depth])
        if piece.ways is not None:
            return Entry(piece, kind_of(nodes.all[piece.output].layer), local, (piece.source,), piece.output)
        if piece.end - piece.start > 1 or len(path) > piece.depth:
            number, slots, name, reads = self.block(piece)
            self.depths[piece.output] = piece.depth
            return Entry(piece, name, local, tuple(reads), piece.output, (number, slots))
        return Entry(piece, kind_of(nodes.all[piece.start].layer), local, nodes.reads[piece.start], piece.start)

    def residuals(self, entries: Sequence[Entry], above: int | None) -> list[Entry]:
        """The entries with body, shortcut and sum as one."""
        done: list[Entry] = []
        found = 0
        for entry in entries:
            residual = self.residual(entry, done, above, found + 1)
            if residual is None:
                done.append(entry)
                continue
            found += 1
            del done[len(done) - len(residual.body or ()) - (residual.shortcut is not None) :]
            done.append(residual)
        return done

    def residual(self, entry: Entry, done: Sequence[Entry], above: int | None, number: int) -> Entry | None:
        """The residual that an entry ends as its sum; None where it is none."""
        node = self.nodes.all[entry.output]
        if not entry.leaf or entry.name is not None or node.layer != ADD or len(entry.inputs) != 2:
            return None
        if not node.trainable or node.shared_with is not None:
            return None
        body, shortcut, source = list(done), None, entry.inputs[1]
        if body and body[-1].output == source and self.is_shortcut(body[-1], number):
            shortcut = body.pop()
            source = shortcut.inputs[0]
        begin = next(
            (n + 1 for n in reversed(range(len(body))) if body[n].output == source), 0 if source == above else None
        )
        body = body[begin:] if begin is not None else []
        if not body or body[-1].output != entry.inputs[0] or source not in body[0].inputs:
            return None
        return Entry(entry.piece, "", "", (source,), entry.output, body=body, shortcut=shortcut)

    def is_shortcut(self, entry: Entry, number: int) -> bool:
        """Is it the level that a residual's shortcut makes, from one input?"""
        wanted = f"shortcut{number}" if number > 1 else "shortcut"
        return entry.block is not None and entry.local == wanted and len(entry.inputs) == 1

    def lines(self, entries: Sequence[Entry], above: int | None, within: tuple[int, int, int]) -> Items:
        """The entries as items, each reading the one above if it names nothing else."""
        made: list[Item] = []
        for entry in entries:
            made.append(self.item(entry, above, within))
            above = entry.output
        return repeated(made) if self.manner.repeats else tuple(made)

    def item(self, entry: Entry, above: int | None, within: tuple[int, int, int]) -> Item:
        reads = self.reads(entry, above, within)
        if entry.body is not None:
            return Residual(self.lines(entry.body, entry.inputs[0], within), self.shortcut(entry), reads)
        if entry.block is not None:
            return Line(*entry.block, entry.name, reads)
        if entry.piece.ways is not None:
            join = replace(self.line(entry, None, within), name=entry.name)
            depth = entry.piece.depth + 1
            ways = tuple(self.way(way, depth, entry.piece.source) for way in entry.piece.ways)
            return Branches(join, ways, entry.name, reads)
        return self.line(entry, reads, within)

    def way(self, way: tuple[int, int], depth: int, source: int) -> Items:
        return self.items(*way, depth, source) if way[1] > way[0] else ()

    def shortcut(self, entry: Entry) -> Items:
        if entry.shortcut is None:
            return ()
        piece = entry.shortcut.piece
        return self.items(piece.start, piece.end, piece.depth, entry.inputs[0])

    def line(self, entry: Entry, reads: Reads, within: tuple[int, int, int]) -> Line:
        node, owner = self.nodes.all[entry.output], self.nodes.owner[entry.output]
        shared = None if owner is None else self.reference(owner, within)
        return Line(head_of(node.layer), values_of(node.layer), entry.name, reads, node.trainable, shared)

    def reads(self, entry: Entry, above: int | None, within: tuple[int, int, int]) -> Reads:
        """What a line's `from` says: nothing where it reads the line above."""
        if entry.inputs == (above,) and above is not None:
            return None
        if not entry.inputs and entry.block is not None:  # it reads nothing, but is given something
            return None if above is not None else (self.reference(-1, within),)
        return tuple([self.reference(source, within) for source in entry.inputs])

    def reference(self, source: int, within: tuple[int, int, int]) -> str:
        """The name by which a line knows what it reads."""
        if source in self.ports:
            return self.ports[source]
        start, end, depth = within
        path = self.nodes.parts[source]
        return "/".join(path[depth if start <= source < end else self.base : self.depths.get(source, len(path))])


class Called:
    """What the spec's reader calls the lines of one scope."""

    def __init__(self, named: Callable[[int], str]) -> None:
        self.named, self.turn = named, ""
        self.given: set[str] = set()
        self.counts: dict[str, int] = {}

    def names(self, items: Items) -> Iterator[str | None]:
        """A name for each line; None in place of a residual's shortcut, which is a scope of its own."""
        for name in [item.name for item in items if item.name]:
            self.given |= {name, name.partition("/")[0]}
        for item in items:
            match item:
                case Line():
                    yield self.name(item.name, item.head if isinstance(item.head, str) else self.named(item.head))
                case Branches():
                    yield self.name(item.name, str(item.join.head))
                case Repeat():
                    yield from self.turns(item)
                case Residual():
                    yield from self.names(item.body)
                    yield from [None] if item.shortcut else []
                    yield self.name(None, "add")

    def turns(self, repeat: Repeat) -> Iterator[str | None]:
        turn = self.turn
        for number in range(repeat.start, repeat.start + repeat.times):
            self.turn = f"{turn}_{number}" if turn else str(number)
            yield from self.names(repeat.body)
        self.turn = turn

    def name(self, name: str | None, kind: str) -> str:
        found = (
            made("Unknown" if kind == UNKNOWN else kind, self.counts, self.given) if name is None else name + self.turn
        )
        self.given.add(found)
        return found


def name_all(entries: Sequence[Entry], taken: Iterable[str] = ()) -> None:
    """Give a name to each entry that would not be called by its own if it had none."""
    given = set(taken)
    while True:
        counts, before = dict[str, int](), len(given)
        for entry in entries:
            if entry.name is None and made(entry.kind, counts, given) != entry.local:
                entry.name = entry.local
                given |= {entry.local, entry.local.partition("/")[0]}
        if len(given) == before:
            return


def made(kind: str, counts: dict[str, int], given: set[str]) -> str:
    """The name that the reader makes for the next line of a kind."""
    while True:
        counts[kind] = counts.get(kind, 0) + 1
        made = f"{kind}{'_' if kind[-1].isdigit() else ''}{counts[kind]}"
        if made not in given:
            return made
