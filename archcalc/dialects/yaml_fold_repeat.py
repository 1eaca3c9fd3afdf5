"""Items that follow each other several times, found and written once."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.dialects.yaml_fold_tree import Branches, Item, Items, Line, Repeat, Residual, lines_in, size

PERIOD = 40  # items of one turn, at most
NUMBERED = re.compile(r"(.*?)(0|[1-9][0-9]{0,5})", re.DOTALL)


class Turned(Struct, frozen=True):
    """An item as it would stand in a repeat, where numbers end its names."""

    item: Item
    key: int  # equal for equal items
    loose: int  # the same, whatever the item reads
    numbers: frozenset[int | None]
    lines: int


def repeated(items: Sequence[Item]) -> Items:
    """The items with equal ones in a row as repeats; what another block may repeat is a repeat of one turn."""
    keys: dict[Item, int] = {}
    turned = [_turned(item, keys) for item in items]
    found: list[Item] = []
    place = 0
    while place < len(items):
        run = _longest(turned, place)
        if run is None and _may_repeat(turned[place]):
            run = (1, 1)
        if run is None:
            found.append(items[place])
            place += 1
        else:
            found.append(_repeat(items, turned, place, *run))
            place += run[0] * run[1]
    return tuple(found)


def _may_repeat(one: Turned) -> bool:
    """Uses of blocks, and residuals: there may be more of them in an equal level."""
    many = isinstance(one.item, Residual) or (isinstance(one.item, Line) and isinstance(one.item.head, int))
    return many and len(one.numbers) < 2 and None not in one.numbers and one.item.reads is None


def unrepeated(items: Sequence[Item], times_of: Callable[[Any], int | None]) -> Items:
    """The items without repeats that save no line; `times_of` says how many turns a repeat always has, if it does."""
    found: list[Item] = []
    for item in items:
        match item:
            case Repeat():
                body, times = unrepeated(item.body, times_of), times_of(item.times)
                if times is None or worth(body, times):
                    found.append(replace(item, body=body, times=item.times if times is None else times))
                else:
                    found += _turns(replace(item, body=body), times)
            case Residual():
                body, shortcut = unrepeated(item.body, times_of), unrepeated(item.shortcut, times_of)
                found.append(replace(item, body=body, shortcut=shortcut))
            case Branches():
                found.append(replace(item, ways=tuple([unrepeated(way, times_of) for way in item.ways])))
            case _:
                found.append(item)
    return tuple(found)


def _turns(repeat: Repeat, times: int) -> list[Item]:
    """The turns of a repeat one after the other."""
    numbers = range(repeat.start, repeat.start + times)
    found = [_numbered_item(item, number) for number in numbers for item in repeat.body]
    return [replace(found[0], reads=repeat.reads), *found[1:]] if repeat.reads is not None else found


def _numbered_item(item: Item, number: int) -> Item:
    if isinstance(item, Residual):
        return replace(item, body=tuple([_numbered_item(inner, number) for inner in item.body]))
    if item.name is None:
        return item
    return _with_name(item, f"{item.name}{number}")


def _with_name(item: Item, name: str) -> Item:
    return (
        replace(item, name=name, join=replace(item.join, name=name))
        if isinstance(item, Branches)
        else replace(item, name=name)
    )


def _repeat(items: Sequence[Item], turned: Sequence[Turned], place: int, period: int, times: int) -> Repeat:
    last = place + (times - 1) * period
    body = tuple([one.item for one in turned[last : last + period]])
    inner = body if period == 1 or any(one.numbers for one in turned[place : place + period]) else repeated(body)
    start = next((number for one in turned[place : place + period] for number in one.numbers), 1)
    first = items[place]
    reads = first.reads if first.reads != body[0].reads else None
    return Repeat(times, 1 if start is None else start, inner, reads)


def _turned(item: Item, keys: dict[Item, int]) -> Turned:
    numbers: set[int | None] = set()
    stem = _stem(item, numbers)
    loose = replace(stem, reads=None) if stem.reads is not None and len(stem.reads) == 1 else stem
    key = keys.setdefault(stem, len(keys))
    return Turned(stem, key, keys.setdefault(loose, len(keys)), frozenset(numbers), size([item]))


def _stem(item: Item, numbers: set[int | None]) -> Item:
    """The item with its given names less the numbers that they end with; what a repeat does not number stays."""
    if isinstance(item, Residual):
        return replace(item, body=tuple([_stem(inner, numbers) for inner in item.body]))
    if isinstance(item, Repeat):
        if any(line.name is not None for line in lines_in(item.body)):
            numbers.add(None)
        return item
    if item.name is None:
        return item
    match = NUMBERED.fullmatch(item.name)
    numbers.add(int(match[2]) if match else None)
    return _with_name(item, match[1]) if match else item


def _longest(turned: Sequence[Turned], place: int) -> tuple[int, int] | None:
    """Period and times of the repeat from here that saves most lines; None where none saves any."""
    best, found = 0, None
    for period in range(1, min(PERIOD, (len(turned) - place) // 2) + 1):
        if turned[place].loose != turned[place + period].key and turned[place].key != turned[place + period].key:
            continue
        times = _times(turned, place, period)
        gain = _saved(turned[place : place + period], times) if times > 1 else 0
        if gain > best:
            best, found = gain, (period, times)
    return found


def _saved(turn: Sequence[Turned], times: int) -> int:
    """Lines of text that a repeat saves; it also counts where another block may have another number of turns."""
    gain = saved([one.item for one in turn], times)
    return max(gain, times - 1) if len(turn) == 1 and _may_repeat(turn[0]) else gain


def worth(body: Items, times: int) -> bool:
    """Is a repeat shorter than its turns?"""
    return saved(body, times) > 0


def saved(body: Sequence[Item], times: int) -> int:
    """Lines of text that a repeat saves; a use of a block, repeated, is one line."""
    if len(body) == 1 and isinstance(body[0], Line):
        return times - 1 if times > 2 or isinstance(body[0].head, int) else 0
    return (times - 1) * size(body) - 3


def _times(turned: Sequence[Turned], place: int, period: int) -> int:
    """How often the items from here stand in a row, each turn reading the one before."""
    second = [one.key for one in turned[place + period : place + 2 * period]]
    first = turned[place]
    if [one.key for one in turned[place + 1 : place + period]] != second[1:]:
        return 1
    if second[0] not in (first.key, first.loose):
        return 1
    times = 1
    starts = list(_starts(turned[place : place + period]))
    while _numbered(turned[place + times * period : place + (times + 1) * period], starts, times):
        if [one.key for one in turned[place + times * period : place + (times + 1) * period]] != second:
            break
        times += 1
    return times


def _starts(turn: Sequence[Turned]) -> Iterator[Any]:
    for one in turn:
        yield from one.numbers


def _numbered(turn: Sequence[Turned], starts: Sequence[Any], times: int) -> bool:
    """Do all given names of a turn end with its number?"""
    if len(set(starts)) > 1 or None in starts:
        return False
    return bool(turn) and set(_starts(turn)) == {start + times for start in starts}
