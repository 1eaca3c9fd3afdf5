"""What a folded spec is before it is text: lines, repeats, residuals and branches, with slots for what varies."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.size import Size
from archcalc.dialects.fields import Field, fields_of, words
from archcalc.dialects.yaml_unknown import FIELDS as UNKNOWN_FIELDS
from archcalc.dialects.yaml_unknown import UNKNOWN
from archcalc.layers.layer import Layer, kind_of
from archcalc.layers.sized import Sized
from archcalc.layers.unknown import Unknown

Reads = tuple[str, ...] | None  # None: the line above


class Slot(Struct, frozen=True):
    """The place of a value that may differ from use to use of a block."""

    number: int


class Line(Struct, frozen=True):
    """A layer by its kind, or a use of a block by its number."""

    head: str | int
    values: tuple[Any, ...]  # of the kind's fields, in their order; or of the block's slots
    name: str | None = None
    reads: Reads = None
    trainable: bool = True
    shared_with: str | None = None


class Repeat(Struct, frozen=True):
    """The same items several times; names that are given end with the number of the turn."""

    times: Any
    start: int
    body: "Items"
    reads: Reads = None
    name: None = None


class Residual(Struct, frozen=True):
    """A body and a shortcut from the same input, added; no name, no level."""

    body: "Items"
    shortcut: "Items"
    reads: Reads = None
    name: None = None


class Branches(Struct, frozen=True):
    """Ways from the same input, joined; the join has the name."""

    join: Line
    ways: "tuple[Items, ...]"
    name: str | None = None
    reads: Reads = None


Item = Line | Repeat | Residual | Branches
Items = tuple[Item, ...]


def fields(head: str) -> dict[str, Field]:
    """The fields that a line of a kind may have, in order."""
    return UNKNOWN_FIELDS if head == UNKNOWN else fields_of(head)


def head_of(layer: Layer) -> str:
    """What a layer's line begins with."""
    return UNKNOWN if isinstance(layer, Unknown) else kind_of(layer)


def values_of(layer: Layer) -> tuple[Any, ...]:
    """The values of all fields of a layer's kind; what a layer that follows the inputs does not say is the default."""
    known = fields(head_of(layer))
    if isinstance(layer, Sized):
        given = dict(layer.values)
        return tuple([given.get(name, field.default) for name, field in known.items()])
    return tuple([getattr(layer, name) for name in known])


def mapped(items: Sequence[Item], change: Callable[[Item], Item]) -> Items:
    """The items with each one changed, those in structures and joins included, inner ones first."""
    return tuple([change(_inside(item, change)) for item in items])


def _inside(item: Item, change: Callable[[Item], Item]) -> Item:
    match item:
        case Repeat():
            return replace(item, body=mapped(item.body, change))
        case Residual():
            return replace(item, body=mapped(item.body, change), shortcut=mapped(item.shortcut, change))
        case Branches():
            return replace(item, join=change(item.join), ways=tuple([mapped(way, change) for way in item.ways]))
    return item


def filled(items: Sequence[Item], value: Callable[[Any], Any]) -> Items:
    """The items with every value in them, and every number of turns, as the function makes it."""

    def change(item: Item) -> Item:
        if isinstance(item, Line):
            return replace(item, values=tuple([value(one) for one in item.values]))
        return replace(item, times=value(item.times)) if isinstance(item, Repeat) else item

    return mapped(items, change)


def with_slots(items: Items) -> tuple[Items, tuple[Any, ...]]:
    """The items with a slot in place of each value that a block's argument may hold, and the values."""
    taken: list[Any] = []

    def slot(value: Any) -> Any:
        if not fits(value):
            return value
        taken.append(value)
        return Slot(len(taken) - 1)

    return filled(items, slot), tuple(taken)


def reading(items: Sequence[Item], other: Callable[[str], str]) -> Items:
    """The items with other names of what they read and share."""

    def change(item: Item) -> Item:
        reads = None if item.reads is None else tuple(map(other, item.reads))
        if isinstance(item, Line) and item.shared_with is not None:
            return replace(item, reads=reads, shared_with=other(item.shared_with))
        return replace(item, reads=reads) if item.reads else item

    return mapped(items, change)


def names_read(items: Sequence[Item]) -> set[str]:
    """Names that the items give of what they read or share."""
    found: set[str] = set()

    def note(name: str) -> str:
        found.add(name)
        return name

    reading(items, note)
    return found


def fits(value: Any) -> bool:
    """May an argument of a block hold this value?"""
    if isinstance(value, tuple):
        return bool(value) and all(
            _number(v) or (isinstance(v, tuple) and len(v) == 2 and all(map(_number, v))) for v in value
        )
    return isinstance(value, int | float | Size) or (isinstance(value, str) and value in words())


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def lines_in(items: Sequence[Item]) -> list[Line]:
    """Every line, those of structures included."""
    found: list[Line] = []

    def note(item: Item) -> Item:
        if isinstance(item, Line):
            found.append(item)
        return item

    mapped(items, note)
    return found


def size(items: Sequence[Item]) -> int:
    """Lines of text, roughly."""
    return sum([_size(item) for item in items])


def _size(item: Item) -> int:
    match item:
        case Line():
            return 1
        case Repeat():
            return 3 + size(item.body)
        case Residual():
            return 1 + size(item.body) + (2 + size(item.shortcut) if item.shortcut else 0)
        case Branches():
            return 1 + sum(map(size, item.ways))
