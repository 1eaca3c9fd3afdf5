"""Levels of a graph as blocks: equal ones are one block, and those that are used once stand where they are used."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.dialects.fields import words
from archcalc.dialects.yaml_fold_pieces import Nodes, Piece
from archcalc.dialects.yaml_fold_repeat import unrepeated
from archcalc.dialects.yaml_fold_scope import Folded, Manner, Scope, made
from archcalc.dialects.yaml_fold_tree import (
    Item,
    Items,
    Line,
    Repeat,
    Slot,
    filled,
    lines_in,
    mapped,
    names_read,
    reading,
    with_slots,
)
from archcalc.dialects.yaml_layers import STRUCTURES
from archcalc.layers.layer import KINDS
from archcalc.model.graph import Graph

END = re.compile(r"[_.-]*[0-9]+[a-z]?$|[_.-]+$")  # of a name, without which it names a block
SHORT = 12  # lines of a block that may stand in the place of its only use
RESERVED = frozenset({"None", "True", "False"})


class Block(Struct):
    """A block to be: its lines with slots, and what stands in the slots wherever it is used."""

    name: str
    ports: tuple[str, ...]
    body: Items
    uses: list[tuple[Any, ...]]
    pieces: list[Piece]  # of the graph, that are uses of it


class Folding:
    """A graph as blocks, the last of which is the whole."""

    def __init__(self, graph: Graph, manner: Manner, names: Mapping[Piece, str] | None = None) -> None:
        self.nodes, self.manner, self.names = Nodes(graph, manner.structures), manner, names or {}
        self.blocks: list[Block] = []
        self.numbers: dict[Any, int] = {}
        self.taken: set[str] = {*KINDS, *STRUCTURES, *RESERVED}
        inputs = self.nodes.inputs
        top = Scope(self.nodes, manner, 0, inputs, self.block, self.named)
        body, slots = with_slots(top.items(0, len(graph.nodes), 0, -1 if len(inputs) == 1 else None))
        self.blocks.append(Block("", tuple(inputs.values()), body, [slots], []))
        self.outputs = [top.reference(node, (0, len(graph.nodes), 0)) for node in self.nodes.outputs]
        for block in self.blocks:
            block.body = unrepeated(block.body, partial(_times, block.uses))
        if manner.inline:
            self.inline()

    def block(self, piece: Piece) -> Folded:
        """The block that a level is, with what this use of it has in its slots."""
        reads = self.nodes.outside(piece.start, piece.end)
        local = {path[piece.depth] for path in self.nodes.parts[piece.start : piece.end]}
        stem = "given" if "input" in local else "input"
        ports = {source: stem + (str(number) if number > 1 else "") for number, source in enumerate(reads, start=1)}
        scope = Scope(self.nodes, self.manner, piece.depth, ports, self.block, self.named)
        items = scope.items(piece.start, piece.end, piece.depth, reads[0] if reads else None)
        body, slots = with_slots(items)
        key = (len(ports), body)
        if key not in self.numbers:
            self.numbers[key] = len(self.blocks)
            name = self.fresh(self.names.get(piece) or self.stem(piece))
            self.blocks.append(Block(name, tuple(ports.values()) or (stem,), body, [], []))
        number = self.numbers[key]
        self.blocks[number].uses.append(slots)
        self.blocks[number].pieces.append(piece)
        return number, slots, self.blocks[number].name, reads

    def named(self, number: int) -> str:
        """What a block is called."""
        return self.blocks[number].name

    def stem(self, piece: Piece) -> str:
        """What a level suggests as a name: its own without its number, or that of the level around it."""
        *around, own = self.nodes.parts[piece.start][: piece.depth]
        stem = stem_of(own)
        if not stem:
            stem = next((f"{found}_block" for level in reversed(around) if (found := stem_of(level))), "block")
        return f"{stem}_block" if stem in KINDS or stem in words() else stem

    def fresh(self, stem: str) -> str:
        """A name that no block has yet."""
        name, number = stem, 1
        while name in self.taken:
            number += 1
            name = f"{stem}{'_' if stem[-1].isdigit() else ''}{number}"
        self.taken.add(name)
        return name

    def better_names(self) -> dict[Piece, str]:
        """For each level, a name of its block: what most of the levels suggest; blocks of many come first."""
        self.taken = {*KINDS, *STRUCTURES, *RESERVED}
        found: dict[Piece, str] = {}
        for block in sorted(self.blocks[:-1], key=lambda block: -len(block.pieces)):
            (stem, _), *_ = Counter(map(self.stem, block.pieces)).most_common(1)
            name = self.fresh(stem)
            found |= dict.fromkeys(block.pieces, name)
        return found

    def used(self) -> dict[int, int]:
        """How often each block stands in the text, in lines that are read."""
        counts: dict[int, int] = {}
        open_blocks = [len(self.blocks) - 1]
        while open_blocks:
            for line in lines_in(self.blocks[open_blocks.pop()].body):
                if isinstance(line.head, int):
                    if line.head not in counts:
                        open_blocks.append(line.head)
                    counts[line.head] = counts.get(line.head, 0) + 1
        return counts

    def inline(self) -> None:
        """Put lines of short blocks that are used once where they are used, their names under the level's."""
        counts = self.used()
        for block in self.blocks:
            found: list[Item] = []
            ends: dict[str, str] = {}  # names of levels that are gone -> what their last line is called now
            for item in block.body:
                inner = inlined(item, self.blocks, counts)
                found += inner or [item]
                if inner and isinstance(item, Line):
                    ends[level_of(item, self.blocks)] = end_of(inner[-1]) or ""
            if ends:
                block.body = reading(found, partial(_other, ends))
                self.outputs = [_other(ends, name) if block is self.blocks[-1] else name for name in self.outputs]


def _other(names: Mapping[str, str], name: str) -> str:
    return names.get(name, name)


def _times(uses: Sequence[Sequence[Any]], times: Any) -> int | None:
    """How many turns a repeat has in every use of its block; None where they differ."""
    if not isinstance(times, Slot):
        return int(times)
    found = {use[times.number] for use in uses}
    return int(found.pop()) if len(found) == 1 else None


def level_of(use: Line, blocks: Sequence[Block]) -> str:
    """The level that the only use of a block makes."""
    return use.name or made(blocks[use.head].name if isinstance(use.head, int) else use.head, {}, set())


def end_of(item: Item) -> str | None:
    """What the last line of an item is called, where that is given."""
    if isinstance(item, Repeat) and isinstance(item.times, int) and isinstance(item.body[-1], Line):
        name = item.body[-1].name
        return None if name is None else f"{name}{item.start + item.times - 1}"
    return item.name


def inlined(use: Item, blocks: Sequence[Block], counts: Mapping[int, int]) -> Items | None:
    """A block's lines in place of its only use; None for what is none, for many lines, or if they need its names."""
    if not isinstance(use, Line) or not isinstance(use.head, int) or counts.get(use.head) != 1:
        return None
    block, level = blocks[use.head], level_of(use, blocks)
    body = spelled(block.body, blocks) if len(block.body) <= SHORT else None
    if body is None or end_of(body[-1]) is None:
        return None
    if use.reads is None and names_read(body) & set(block.ports):
        return None
    sources = dict(zip(block.ports, use.reads or (), strict=False))
    body = reading(body, lambda name: sources.get(name, f"{level}/{name}"))
    if body[0].reads is None and use.reads is not None:
        body = (replace(body[0], reads=use.reads[:1]), *body[1:])

    def named(item: Item) -> Item:
        return item if item.name is None else replace(item, name=f"{level}/{item.name}")

    return filled(mapped(body, named), lambda value: use.values[value.number] if isinstance(value, Slot) else value)


def spelled(body: Items, blocks: Sequence[Block]) -> Items | None:
    """Lines with every name given; None where structures make names, or where most lines need none."""
    lines = lines_in(body)
    given = {line.name for line in lines if line.name is not None}
    if any(not isinstance(item, Line) and not _all_named(item) for item in body):
        return None
    if len(body) > 2 and len(given) * 2 < len(lines):
        return None
    counts: dict[str, int] = {}

    def named(item: Item) -> Item:
        if item.name is not None or not isinstance(item, Line):
            return item
        kind = item.head if isinstance(item.head, str) else blocks[item.head].name
        return replace(item, name=made(kind, counts, given))

    return tuple([named(item) for item in body])


def _all_named(item: Item) -> bool:
    return isinstance(item, Repeat) and all(isinstance(line, Line) and line.name is not None for line in item.body)


def folding(graph: Graph, manner: Manner) -> Folding:
    """A graph as blocks, twice: how blocks are named decides which lines need no name."""
    first = Folding(graph, manner)
    return Folding(graph, manner, first.better_names()) if len(first.blocks) > 1 else first


def stem_of(name: str) -> str:
    """What a level is called without its number; empty if nothing is left that begins with a letter.

    >>> stem_of("layer4"), stem_of("inception3a"), stem_of("0"), stem_of("denselayer12")
    ('layer', 'inception', '', 'denselayer')
    """
    stem = END.sub("", name)
    return stem if re.match(r"[A-Za-z_][A-Za-z0-9_.-]*$", stem, re.ASCII) else ""
