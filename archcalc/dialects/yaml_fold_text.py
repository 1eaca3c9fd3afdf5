"""Folded blocks as the values of a spec: lines with their fields, blocks with their arguments."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from archcalc.algebra.size import Size
from archcalc.dialects.yaml_fold_args import Signature, Words, signature
from archcalc.dialects.yaml_fold_blocks import Block, Folding
from archcalc.dialects.yaml_fold_tree import Branches, Item, Line, Repeat, Residual, Slot, fields
from archcalc.dialects.yaml_unknown import UNKNOWN


def root_of(folding: Folding, inputs: Collection[str]) -> dict[str, Any]:
    """The keys `layers` and `blocks` of a spec."""
    known: dict[int, Signature] = {}
    writer = Writer(folding.blocks, known)
    for number, block in enumerate(folding.blocks):
        known[number] = signature(block, known, inputs)
    used = folding.used()
    whole = len(folding.blocks) - 1
    root: dict[str, Any] = {"layers": writer.lines(folding.blocks[whole].body, known[whole].says)}
    blocks = {folding.blocks[number].name: writer.block(number) for number in sorted(used, reverse=True)}
    return root | {"blocks": blocks} if blocks else root


class Writer:
    """Writes lines, with the names of blocks and the expressions that slots stand for."""

    def __init__(self, blocks: Sequence[Block], known: Mapping[int, Signature]) -> None:
        self.blocks, self.known = blocks, known

    def block(self, number: int) -> dict[str, Any]:
        """A block with its arguments, inputs and lines."""
        block, arguments = self.blocks[number], self.known[number].arguments
        args = {argument.name: plain(argument.default[0]) if argument.default else None for argument in arguments}
        found: dict[str, Any] = {"args": args} if args else {}
        if block.ports != ("input",):
            found["inputs"] = list(block.ports)
        return found | {"layers": self.lines(block.body, self.known[number].says)}

    def lines(self, items: Sequence[Item], says: Mapping[int, Any]) -> list[Any]:
        """Items as the lines of a list."""
        return [self.item(item, says) for item in items]

    def item(self, item: Item, says: Mapping[int, Any]) -> Any:
        """One item as a line."""
        match item:
            case Line():
                return self.line(item, says)
            case Repeat():
                start = {"start": item.start} if item.start != 1 else {}
                fields = {"times": plain(said(item.times, says)), **start, **common(item)}
                return {"repeat": {**fields, "layers": self.lines(item.body, says)}}
            case Residual():
                body, around = self.lines(item.body, says), common(item)
                if not item.shortcut and not around:
                    return {"residual": body}
                shortcut = {"shortcut": self.lines(item.shortcut, says)} if item.shortcut else {}
                return {"residual": {**around, "layers": body, **shortcut}}
            case Branches():
                ways = [self.lines(way, says) for way in item.ways]
                more = common(item) | given(item.join, says)
                return {item.join.head: {**more, "branches": ways} if more else ways}

    def line(self, line: Line, says: Mapping[int, Any]) -> Any:
        """A layer or a use of a block: bare, with the value of its main field, or with its fields."""
        around = common(line)
        if isinstance(line.head, int):
            head, values = self.blocks[line.head].name, self.arguments(line, says)
        else:
            head, values = line.head, given(line, says)
            main = next(iter(fields(head)), "")
            if list(values) == [main] and not around and not isinstance(values[main], list) and head != UNKNOWN:
                return {head: values[main]}
        return {head: {**around, **values}} if around or values else head

    def arguments(self, line: Line, says: Mapping[int, Any]) -> dict[str, Any]:
        """What a use of a block says that the block's defaults do not."""
        found = {}
        for argument in self.known[line.head].arguments:  # type: ignore[index]
            value = said(line.values[argument.slot], says)
            if not argument.default or not alike(value, argument.default[0]):
                found[argument.name] = plain(value)
        return found


def common(item: Item) -> dict[str, Any]:
    """The fields that any line may have."""
    found: dict[str, Any] = {} if item.name is None else {"name": item.name}
    unknown = isinstance(item, Line) and item.head == UNKNOWN
    if item.reads or (unknown and item.reads == ()):
        found["from"] = item.reads[0] if item.reads and len(item.reads) == 1 else list(item.reads or ())
    if isinstance(item, Line):
        found |= {} if item.trainable else {"trainable": False}
        found |= {} if item.shared_with is None else {"shared_with": item.shared_with}
    return found


def given(line: Line, says: Mapping[int, Any]) -> dict[str, Any]:
    """The fields of a line that are not their defaults."""
    found = {}
    for field, slot in zip(fields(line.head).values(), line.values, strict=True):  # type: ignore[arg-type]
        value = said(slot, says)
        if field.required or not alike(value, field.default):
            found[field.name] = plain(value)
    return found


def said(value: Any, says: Mapping[int, Any]) -> Any:
    """The value, or what its slot says."""
    return says[value.number] if isinstance(value, Slot) else value


def alike(value: Any, default: Any) -> bool:
    """Are they equal, and of one kind: true is not 1?"""
    return type(value) is type(default) and bool(value == default)


def plain(value: Any) -> Any:
    """A value as lists and text, as a spec holds it."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Words):
        return value.text
    return value.text if isinstance(value, Size) else value
