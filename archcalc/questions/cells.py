"""Which cells see which, cell by cell: sets of cells followed back to the inputs, or from the inputs onwards."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from msgspec import Struct

from archcalc.algebra.field import EACH, Sees
from archcalc.errors import UsageError
from archcalc.layers.layer import Shape, shown
from archcalc.model.walk import Use

MOST = 64  # boxes of cells that are followed apart; more are joined, and what is said becomes a bound

Cells = tuple[int, ...]  # for each axis behind the batch the set of its cells; all combinations are meant
Views = Callable[[Use, int], Sees]
Places = Mapping[str, Sequence[int]]


class Glimpse(Struct, frozen=True):
    """What a cell sees of one input."""

    box: tuple[tuple[Any, Any], ...] | None  # by size, stride and start, also beyond the image; None: no one stride
    centre: tuple[Any, ...] | None
    clipped: tuple[tuple[int, int], ...] | None  # the hull of the pixels that it sees; None: it sees none
    pixels: int  # that it sees
    exact: bool  # else it may see less
    tight: bool = True  # the box is what it sees where the image does not end


class Seen(Struct, frozen=True):
    """What one cell of a layer sees."""

    layer: str
    cell: tuple[int, ...]
    glimpses: dict[str, Glimpse]


class Seers(Struct, frozen=True):
    """The cells of a layer that see at least one pixel of a box."""

    layer: str
    of: str  # the input that the box is in
    box: tuple[tuple[int, int], ...]
    cells: tuple[tuple[int, int], ...] | None  # their hull; None: there are none
    count: int
    out_of: int
    exact: bool


def seen_by(
    uses: Sequence[Use], shapes: Mapping[str, Shape], places: Places, view: Views, row: Any, use: Use,
    cell: Sequence[int],
) -> Seen:  # fmt: skip
    """What a cell of a layer sees of each input."""
    place = checked_cell(row, cell)
    wanted = tuple(
        1 << place[row.axes.index(axis)] if axis in row.axes else full(n)
        for axis, n in enumerate(row.output[1:], start=1)
    )
    found, exact = backwards(uses, view, use, wanted)
    glimpses = {}
    for name, extents in row.extents.items():
        axes, boxes = places[name], found.get(name, [])
        kept = [tuple(box[axis - 1] for axis in axes) for box in boxes]
        clipped = hull(kept) if kept else None
        box, centre = by_formula(row, place, extents)
        whole = all(extent.whole for extent in extents)
        tight = not any(extent.seen is None or extent.bound for extent in extents)
        box = tuple((0, shapes[name][axis]) for axis in axes) if whole else box
        glimpses[name] = Glimpse(box, centre, clipped, count(kept), exact, tight)
    return Seen(use.name, place, glimpses)


def checked_cell(row: Any, cell: Sequence[int]) -> tuple[int, ...]:
    """The place of a cell, if the layer has it."""
    sizes = [row.output[axis] for axis in row.axes]
    given = whole_numbers("--cell", cell)
    if len(given) != len(sizes):
        rule = f"{row.name} ({shown(row.output[1:])}) has {len(sizes)} axes of places, give a number for each"
        raise UsageError("--cell", rule, ",".join(map(str, given)))
    if not all(0 <= at < n for at, n in zip(given, sizes, strict=True)):
        last = ",".join(str(n - 1) for n in sizes)
        rule = f"cells of {row.name} ({shown(row.output[1:])}) are {','.join('0' * len(sizes))} to {last}"
        raise UsageError("--cell", rule, ",".join(map(str, given)))
    return given


def whole_numbers(what: str, given: Any) -> tuple[int, ...]:
    """Several whole numbers."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not all(type(n) is int for n in given):
        raise UsageError(what, "must be whole numbers", repr(given))
    return tuple(given)


def by_formula(row: Any, place: Sequence[int], extents: Sequence[Any]) -> tuple[Any, Any]:
    """Box and centre of a cell by stride and start; None where branches have no common ones."""
    if any(extent.stride is None for extent in extents):
        return None, None
    box, centre = [], []
    for extent, at in zip(extents, along(row, extents, place), strict=True):
        start = extent.start + at * extent.stride
        box.append((start, start + extent.size))
        centre.append(None if extent.centre is None else extent.centre + at * extent.stride)
    return tuple(box), None if None in centre else tuple(centre)


def along(row: Any, extents: Sequence[Any], place: Sequence[int]) -> list[int]:
    """For each axis of the input the place on the output's axis that goes along it."""
    return [0 if extent.position is None else place[row.axes.index(extent.position)] for extent in extents]


def seers_of(
    uses: Sequence[Use], shapes: Mapping[str, Shape], places: Places, view: Views, row: Any, use: Use, box: Any,
) -> Seers:  # fmt: skip
    """The cells of a layer that see some of a box."""
    name, ranges = checked_box(shapes, places, box)
    start = [full(n) for n in shapes[name][1:]]
    for axis, (low, high) in zip(places[name], ranges, strict=True):
        n = shapes[name][axis]
        start[axis - 1] = full(min(high, n)) & ~full(max(low, 0))
    found, exact = onwards(uses, view, use, name, tuple(start))
    kept = [tuple(cells[axis - 1] for axis in row.axes) for cells in found]
    out_of = 1
    for axis in row.axes:
        out_of *= row.output[axis]
    return Seers(use.name, name, ranges, hull(kept) if kept else None, count(kept), out_of, exact)


def checked_box(shapes: Mapping[str, Shape], places: Places, box: Any) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Which input a box is in, and from where to where on each axis."""
    name, numbers = which_input(places, box)
    given = whole_numbers("--box", numbers)
    axes, text = places[name], ",".join(map(str, given))
    sizes = [shapes[name][axis] for axis in axes]
    if len(given) != 2 * len(axes):
        rule = f"needs {len(axes)} starts, then {len(axes)} ends, for input {name} ({shown(sizes)})"
        raise UsageError("--box", rule, text)
    ranges = tuple(zip(given[: len(axes)], given[len(axes) :], strict=True))
    if any(low >= high for low, high in ranges):
        raise UsageError("--box", "every end must lie behind its start: ends are not part of the box", text)
    if any(high <= 0 or low >= n for (low, high), n in zip(ranges, sizes, strict=True)):
        raise UsageError("--box", f"must meet the input {name} ({shown(sizes)})", text)
    return name, ranges


def which_input(places: Places, box: Any) -> tuple[str, Any]:
    """The input that a box names; it need not where there is one only."""
    known = [name for name, axes in places.items() if axes]
    if isinstance(box, Mapping) and len(box) == 1:
        ((name, numbers),) = box.items()
        if name in known:
            return name, numbers
    elif not isinstance(box, Mapping) and len(known) == 1:
        return known[0], box
    got = ", ".join(map(str, box)) if isinstance(box, Mapping) else "a box without a name"
    raise UsageError("--box", "must name the input that it is in", got, way_out=", ".join(f"{n}=…" for n in known))


def backwards(uses: Sequence[Use], view: Views, use: Use, wanted: Cells) -> tuple[dict[str, list[Cells]], bool]:
    """Which cells of every map and input these cells of a layer see; and whether that is exact."""
    found: dict[str, list[Cells]] = {use.name: [wanted]}
    exact, picky = True, picking(uses, view)
    position = next(at for at, other in enumerate(uses) if other.name == use.name)
    for one in reversed(uses[: position + 1]):
        boxes = found.get(one.name)
        if not boxes:
            continue
        exact = exact and one.name not in picky
        if len(boxes) > MOST:
            exact, boxes = False, [tuple(map(union, zip(*boxes, strict=True)))]
        for number, source in enumerate(one.inputs):
            how, x = view(one, number), one.xs[number]
            if not how.nothing:
                for box in boxes:
                    exact = exact and as_said(how, [link is not None for link in how.links], box, one.answers.y)
                    keep(found.setdefault(source, []), back(how, box, x))
    return found, exact


def picking(uses: Sequence[Use], view: Views) -> set[str]:
    """Layers whose cells see some of the channels only, where those do not see alike: then less may be seen."""
    alike: dict[str, bool] = {}
    found = set()
    for use in uses:
        ways = [view(use, number).channels for number in range(len(use.inputs))]
        own = [alike.get(source, True) for source in use.inputs]
        alike[use.name] = all(
            way == "mixed" or (way in ("each", "picked") and same) for way, same in zip(ways, own, strict=True)
        )
        if any(way == "picked" and not same for way, same in zip(ways, own, strict=True)):
            found.add(use.name)
    return found


def back(view: Sees, box: Cells, x: Shape) -> Cells:
    """The cells of an input that cells of the output see."""
    if view is EACH:
        return box
    seen = [full(n) for n in x[1:]]
    for link, cells in zip(view.links, box, strict=True):
        if link is not None:
            seen[link.source - 1] = link.sight.seen(cells, x[link.source])
    return tuple(seen)


def onwards(
    uses: Sequence[Use], view: Views, use: Use, name: str, wanted: Cells
) -> tuple[list[Cells], bool]:  # fmt: skip
    """Which cells of a layer see some of these cells of an input; and whether that is exact."""
    found: dict[str, list[Cells]] = {name: [wanted]}
    exact, picky = True, picking(uses, view)
    for one in uses:
        own = found.setdefault(one.name, [])
        for number, source in enumerate(one.inputs):
            how = view(one, number)
            for box in () if how.nothing else found.get(source, ()):
                named = {link.source for link in how.links if link is not None}
                exact = exact and as_said(how, [axis in named for axis in range(1, len(box) + 1)], box, one.xs[number])
                keep(own, forth(how, box, one.answers.y))
        exact = exact and not (own and one.name in picky)
        if len(own) > MOST:
            exact, own[:] = False, [tuple(map(union, zip(*own, strict=True)))]
        if one.name == use.name:
            break
    return found[use.name], exact


def as_said(view: Sees, linked: Sequence[bool], box: Cells, shape: Shape) -> bool:
    """Is what is said of these cells exact? Of axes that were joined or split it is, where all cells are meant."""
    if view is EACH or not view.bound:
        return True
    unlinked = (cells == full(n) for cells, n, link in zip(box, shape[1:], linked, strict=True) if not link)
    return view.known and all(unlinked)


def forth(view: Sees, box: Cells, y: Shape) -> Cells:
    """The cells of the output that see some of these cells of the input."""
    if view is EACH:
        return box
    return tuple(
        full(n) if link is None else link.sight.reached(box[link.source - 1], n)
        for link, n in zip(view.links, y[1:], strict=True)
    )


def keep(boxes: list[Cells], box: Cells) -> None:
    """Put a box to the others, unless it is empty or inside one of them; those inside it go."""
    if not all(box) or any(within(box, other) for other in boxes):
        return
    boxes[:] = [other for other in boxes if not within(other, box)]
    boxes.append(box)


def within(box: Cells, other: Cells) -> bool:
    """Is one box inside another?"""
    return all(mine & ~theirs == 0 for mine, theirs in zip(box, other, strict=True))


def full(n: int) -> int:
    """All of n cells."""
    return (1 << n) - 1


def union(sets: Sequence[int]) -> int:
    """All cells of some sets."""
    found = 0
    for cells in sets:
        found |= cells
    return found


def hull(boxes: Sequence[Cells]) -> tuple[tuple[int, int], ...]:
    """The smallest half-open box around all."""
    return tuple(
        ((cells & -cells).bit_length() - 1, cells.bit_length()) for cells in map(union, zip(*boxes, strict=True))
    )


def count(boxes: Sequence[Cells]) -> int:
    """Cells in at least one of the boxes: along the first axis, those that lie in the same boxes count alike."""
    if not boxes:
        return 0
    if len(boxes[0]) == 0:
        return 1

    @cache
    def rest(inside: tuple[int, ...]) -> int:
        return count([boxes[at][1:] for at in inside])

    if len(boxes) == 1:
        return boxes[0][0].bit_count() * rest((0,))
    total = 0
    for cell in range(union([box[0] for box in boxes]).bit_length()):
        inside = tuple(at for at, box in enumerate(boxes) if box[0] >> cell & 1)
        total += rest(inside) if inside else 0
    return total
