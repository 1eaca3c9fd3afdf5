"""Arguments of blocks: which of a block's numbers differ from use to use, and which of them follow from each other."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from archcalc.dialects.fields import words
from archcalc.dialects.yaml_fold_blocks import Block
from archcalc.dialects.yaml_fold_tree import Item, Line, Repeat, Slot, fields, mapped

SIZES = frozenset({"filters", "units", "width", "features"})  # numbers of values: one may be a multiple of another
PADDINGS = {"dilation": ("{}", 1), "kernel": ("{} // 2", 2)}  # what a padding usually follows
BASES = 40  # groups of which another may be a multiple, at most


class Argument(Struct, frozen=True):
    """An argument of a block: the slot whose values it has, and its default where most uses have the same."""

    name: str
    field: str  # that it is named for
    slot: int
    default: tuple[Any, ...] = ()  # one value, or none


class Words(Struct, frozen=True):
    """An expression or the name of an argument, where a value could stand."""

    text: str


class Signature(Struct, frozen=True):
    """What a block is given, and what its slots say."""

    arguments: tuple[Argument, ...]
    says: Mapping[int, Any]  # slot -> a value, or Words


class Spot(Struct, frozen=True):
    """A slot with the field that it is of, and the line that it stands in."""

    slot: int
    field: str
    label: str


class Group(Struct):
    """Slots that always hold the same, and what they say: an argument's name, or an expression of another's."""

    spots: list[Spot]
    column: tuple[Any, ...]  # kind and value in each use of the block
    base: "Group | None" = None
    form: str = "{}"
    name: str = ""

    @property
    def field(self) -> str:
        """What an argument for it is named for."""
        return self.spots[0].field

    @property
    def numbers(self) -> list[int]:
        """Its values, where all are integers of at least 1."""
        return [value for kind, value in self.column if kind == "int" and value > 0]

    def words(self) -> Words:
        """What stands in its slots."""
        return Words(self.form.format(self.base.name if self.base is not None else self.name))


def signature(block: Block, known: Mapping[int, Signature], taken: Collection[str]) -> Signature:
    """The arguments of a block, whose inner blocks' are known; `taken` are names that mean something else."""
    columns = [tuple(map(_typed, column)) for column in zip(*block.uses, strict=True)]
    says: dict[int, Any] = {}
    groups: dict[Any, Group] = {}
    for spot in _spots(block, known):
        column = columns[spot.slot]
        if len(set(column)) == 1:
            says[spot.slot] = block.uses[0][spot.slot]
        else:
            family = "size" if spot.field in SIZES else spot.field
            groups.setdefault((family, column), Group([], column)).spots.append(spot)
    _derive(list(groups.values()))
    own = [group for group in groups.values() if group.base is None]
    _name(own, taken)
    says |= {spot.slot: group.words() for group in groups.values() for spot in group.spots}
    return Signature(tuple([_argument(group, block) for group in own]), says)


def _argument(group: Group, block: Block) -> Argument:
    """The group's argument, with a default if more than half of the uses have the same."""
    slot = group.spots[0].slot
    (value, times), *_ = Counter(group.column).most_common(1)
    common = times > 1 and times * 2 > len(group.column)
    default = (block.uses[group.column.index(value)][slot],) if common else ()
    return Argument(group.name, group.field, slot, default)


def _typed(value: Any) -> Any:
    """A value that equals another only if it is of the same kind: true is not 1."""
    return (type(value).__name__, tuple(map(_typed, value)) if isinstance(value, tuple) else value)


def _spots(block: Block, known: Mapping[int, Signature]) -> list[Spot]:
    """Every slot that the text of a block shows."""
    found: list[Spot] = []

    def note(item: Item) -> Item:
        if isinstance(item, Line):
            named = _fields(item, known)
            found.extend(Spot(slot.number, field, _label(item)) for field, slot in named if isinstance(slot, Slot))
        elif isinstance(item, Repeat) and isinstance(item.times, Slot):
            found.append(Spot(item.times.number, "times", ""))
        return item

    mapped(block.body, note)
    return found


def _fields(line: Line, known: Mapping[int, Signature]) -> Iterator[tuple[str, Any]]:
    if isinstance(line.head, int):
        for argument in known[line.head].arguments:
            yield argument.field, line.values[argument.slot]
    else:
        yield from zip(fields(line.head), line.values, strict=True)


def _label(line: Line) -> str:
    return line.name or ""


def _derive(groups: Sequence[Group]) -> None:
    """Groups of sizes that are multiples or parts of another, and paddings that follow from the kernel or dilation."""
    sizes = [group for group in groups if group.field in SIZES and len(group.numbers) == len(group.column)]
    bases: list[Group] = []
    for group in sizes:
        for base in bases:
            form = _form(group.numbers, base.numbers)
            if form:
                group.base, group.form = base, form
                break
        else:
            bases = [*bases, group][:BASES]
    for group in groups:
        for other, form, part in (
            (g, *PADDINGS[g.field]) for g in groups if group.field == "padding" and g.field in PADDINGS
        ):
            if list(group.column) == [(kind, value // part) if kind == "int" else None for kind, value in other.column]:
                group.base, group.form = other, form


def _form(numbers: Sequence[int], others: Sequence[int]) -> str:
    """The first numbers as a multiple or a part of the others; empty if they are neither."""
    times, part = numbers[0] // others[0], others[0] // numbers[0]
    pairs = list(zip(numbers, others, strict=True))
    if all(a == times * b for a, b in pairs):
        return f"{times}*{{}}"
    return f"{{}} // {part}" if all(a * part == b for a, b in pairs) else ""


def _name(groups: Sequence[Group], taken: Collection[str]) -> None:
    """Name arguments for their field, and for the line too where there are several of one field."""
    counts = Counter(group.field for group in groups)
    labels = Counter(field for field, label in {(group.field, group.spots[0].label) for group in groups} if label)
    given = {*taken, *words()}
    for group in groups:
        wanted = group.field
        if labels[wanted] == counts[wanted] > 1:
            wanted = f"{re.sub(r'[^A-Za-z0-9_]', '_', group.spots[0].label)}_{wanted}"
        wanted = f"_{wanted}" if wanted[0].isdigit() else wanted
        name, number = wanted, 1
        while name in given:
            number += 1
            name = f"{wanted}{'_' if wanted[-1].isdigit() else ''}{number}"
        given.add(name)
        group.name = name
