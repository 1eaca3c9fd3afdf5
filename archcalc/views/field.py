"""Receptive fields as a page, as plain data, and drawn over the image."""

import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.errors import UsageError
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.drawing import check_file, save
from archcalc.views.table import Table

CONVENTION = (
    "Pixels lie at whole numbers, boxes are half-open: cell r of an axis sees [start + r·stride, start + r·stride + "
    "size), its centre is start + r·stride + (size − 1)/2; padding is −start. At borders less of it lies on the image."
)
DOTS = 40_000  # cells that a drawing shows


def text(field: Any, width: int) -> str:
    """The page for a terminal."""
    inputs = ", ".join(f"{name} {shown(shape[1:])}" for name, shape in field.inputs.items())
    shown_rows = list(field.rows) if field.alone else changes(field.rows)
    page = table(field, shown_rows)
    lines = [f"{field.model}: what cells see of {inputs}", ""]
    lines.append((page if page.width <= width else page.narrowed(width)).text())
    hidden = len(field.rows) - len(shown_rows)
    if hidden:
        lines.append(f"and {hidden} layers that see what the layer above them sees")
    lines += ["", *textwrap.wrap(CONVENTION, width)]
    for part in (cell_lines(field), seers_lines(field)):
        lines += ["", *(line for whole in part for line in textwrap.wrap(whole, width, subsequent_indent="  "))] * bool(
            part
        )
    for note in field.notes:
        lines += textwrap.wrap(f"Note: {note}", width, subsequent_indent="  ")
    return "\n".join(lines)


def html(field: Any) -> str:
    """The page for a notebook."""
    rows = list(field.rows) if field.alone else changes(field.rows)
    hidden = len(field.rows) - len(rows)
    said = [f"and {hidden} layers that see what the layer above them sees"] if hidden else []
    said += [CONVENTION, *cell_lines(field), *seers_lines(field), *(f"Note: {note}" for note in field.notes)]
    return notebook.frame(
        notebook.heading(
            field.model, {name: shown(shape[1:]) for name, shape in field.inputs.items()}, "what cells see"
        ),
        notebook.table(table(field, rows)),
        notebook.paragraphs(said),
    )


def changes(rows: Sequence[Any]) -> list[Any]:
    """The layers that see anything else than the layer above them, as far as the page shows it."""
    kept, above = [], None
    for row in rows:
        now = [(name, cells(extents), *remarks(row, extents, here=False)) for name, extents in row.extents.items()]
        if now != above or not row.aligned:
            kept.append(row)
        above = now
    return kept


def table(field: Any, rows: Sequence[Any]) -> Table:
    """A line for each layer and input."""
    several = sum(bool(axes) for axes in field.places.values()) > 1
    lines = []
    for row in rows:
        found = row.extents.items() or [("", ())]
        for name, extents in found:
            start = (row.name, shown(row.output[1:]), *((name,) if several else ()))
            lines.append((*start, *cells(extents), "; ".join(remarks(row, extents))))
    titles = ("layer", "output", *(("input",) if several else ()), "size", "stride", "start", "centre", "")
    numeric = (False, False, *((False,) if several else ()), True, True, True, True, False)
    whole = Table(titles, numeric, tuple(lines))
    return whole if any(line[-1] for line in lines) else whole.picked(range(len(titles) - 1))


def cells(extents: Sequence[Any]) -> tuple[str, ...]:
    """Size, stride, start and centre, one number where all axes agree."""
    if not extents:
        return ("nothing", "", "", "")
    if all(extent.whole for extent in extents):
        return ("everything", "", "", "")
    size = along([extent.size for extent in extents])
    return (size, *(along([getattr(extent, name) for extent in extents]) for name in ("stride", "start", "centre")))


def along(numbers: Sequence[Any]) -> str:
    """Numbers of several axes.

    >>> along([35, 35]), along([35, Fraction(1, 2)]), along([None, None])
    ('35', '35×1/2', '–')
    """
    shown_ones = ["–" if number is None else str(number) for number in numbers]
    return shown_ones[0] if len(set(shown_ones)) == 1 else "×".join(shown_ones)


def remarks(row: Any, extents: Sequence[Any], *, here: bool = True) -> Iterator[str]:
    """What else is to be said of a layer."""
    why = next((extent.why for extent in extents if extent.why), "")
    if why:
        layer, _, reason = why.partition(" ")
        yield reason if here and layer == row.name else f"by {layer.rsplit('/', 1)[-1]}"
    if any(extent.seen is not None and extent.seen < extent.size and not extent.whole for extent in extents):
        yield f"holes: {along([extent.seen for extent in extents])} seen"
    if any(extent.seen is None and not extent.whole for extent in extents):
        yield "cells differ"
    if not row.aligned:
        yield "not aligned"
    if any(extent.bound for extent in extents) and (row.axes or not all(extent.whole for extent in extents)):
        yield "at most"
    if any(extent.border for extent in extents):
        yield "not at borders"


def cell_lines(field: Any) -> list[str]:
    """What the cell sees."""
    seen = field.cell
    if seen is None:
        return []
    place = listed(seen.cell)
    lines = []
    for name, glimpse in seen.glimpses.items():
        of = f" of {name}" if len(seen.glimpses) > 1 else ""
        if glimpse.clipped is None:
            lines.append(f"Cell {place} of {seen.layer} sees nothing{of}: its box lies in the padding.")
        else:
            most = "" if glimpse.exact else "at most "
            where = spans(glimpse.clipped)
            lines.append(
                f"Cell {place} of {seen.layer} sees {most}{where}{of}: {boxed(glimpse.clipped)}, {pixels(glimpse)}."
            )
        if glimpse.box is not None:
            about = f", centre {listed(glimpse.centre)}" if glimpse.centre is not None else ""
            what = "Its box, also beyond the image:" if glimpse.tight else "By stride and start it lies within"
            lines.append(f"{what} {boxed(glimpse.box)}{about}.")
    if not seen.glimpses:
        lines.append(f"Cell {place} of {seen.layer} sees nothing of any input.")
    return lines


def pixels(glimpse: Any) -> str:
    """How many pixels are seen, and that it is not all of the box."""
    area = 1
    for low, high in glimpse.clipped:
        area *= high - low
    return f"{grouped(glimpse.pixels)} pixels" + (f" of its {grouped(area)}" if area != glimpse.pixels else "")


def seers_lines(field: Any) -> list[str]:
    """Which cells see the box."""
    seers = field.seers
    if seers is None:
        return []
    inside = boxed(seers.box) + (f" of {seers.of}" if len(field.inputs) > 1 else "")
    if seers.cells is None:
        return [f"No cell of {seers.layer} sees any of {inside}."]
    most = "" if seers.exact else "at most "
    counted = f"{grouped(seers.count)} of {grouped(seers.out_of)}"
    return [f"Cells of {seers.layer} that see some of {inside}: {most}{boxed(seers.cells)}, {counted}."]


def spans(box: Sequence[tuple[int, int]]) -> str:
    """A box in words."""
    names = {1: ("positions",), 2: ("rows", "columns")}.get(len(box), tuple(f"axis {at}" for at in range(len(box))))
    return ", ".join(f"{name} {low} … {high - 1}" for name, (low, high) in zip(names, box, strict=True))


def boxed(box: Sequence[tuple[Any, Any]]) -> str:
    """A half-open box.

    >>> boxed([(12, 40), (Fraction(-1, 2), 3)])
    '[12, 40) × [-0.5, 3)'
    """
    return " × ".join(f"[{decimal(low)}, {decimal(high)})" for low, high in box)


def listed(place: Sequence[Any]) -> str:
    """A place on all axes."""
    return f"({', '.join(map(decimal, place))})"


def decimal(number: Any) -> str:
    """A number as a decimal where that is exact and short, else as a fraction."""
    if isinstance(number, Fraction) and number.denominator in (2, 4, 8):
        return str(float(number))
    return str(number)


def data(field: Any) -> dict[str, Any]:
    """Rows, the cell and the cells that see the box, as plain data."""
    several = sum(bool(axes) for axes in field.places.values()) > 1
    found: dict[str, Any] = {"rows": [row_data(row, several) for row in field.rows]}
    if field.cell is not None:
        found["cell"] = cell_data(field.cell, several)
    if field.seers is not None:
        seers = field.seers
        found["seen_by"] = {
            "layer": seers.layer, "input": seers.of, "box": ends(seers.box), "cells": ends(seers.cells),
            "count": seers.count, "of": seers.out_of, "exact": seers.exact,
        }  # fmt: skip
    return found


def row_data(row: Any, several: bool) -> dict[str, Any]:
    """One layer; `field` where the model has one input, `fields` by name where it has several."""
    fields = {name: extent_data(extents) for name, extents in row.extents.items()}
    own = {"fields": fields} if several else {"field": next(iter(fields.values()), None)}
    return {"name": row.name, "kind": row.kind, "output": list(row.output), **own, "aligned": row.aligned}


def extent_data(extents: Sequence[Any]) -> dict[str, Any]:
    """The field of one input, a number per axis."""
    padding = [None if extent.start is None else -extent.start for extent in extents]
    found: dict[str, Any] = {
        name: plain([getattr(extent, name) for extent in extents]) for name in ("size", "stride", "start")
    }
    found["padding"] = plain(padding)
    found["centre"] = plain([extent.centre for extent in extents])
    found["seen"] = plain([extent.seen for extent in extents])
    found["everything"] = all(extent.whole for extent in extents)
    found["why"] = next((extent.why for extent in extents if extent.why), "")
    found["bound"] = any(extent.bound for extent in extents)
    found["borders"] = not any(extent.border for extent in extents)
    if all(extent.inner is not None for extent in extents):
        size, stride, start = zip(*(extent.inner for extent in extents), strict=True)
        found["local"] = {"size": plain(size), "stride": plain(stride), "start": plain(start)}
    return found


def cell_data(seen: Any, several: bool) -> dict[str, Any]:
    """What one cell sees."""
    found = {
        name: {
            "box": ends(glimpse.box), "clipped": ends(glimpse.clipped), "pixels": glimpse.pixels,
            "centre": None if glimpse.centre is None else plain(glimpse.centre), "exact": glimpse.exact,
        }
        for name, glimpse in seen.glimpses.items()
    }  # fmt: skip
    own = {"inputs": found} if several or not found else next(iter(found.values()))
    return {"layer": seen.layer, "cell": list(seen.cell), **own}


def ends(box: Sequence[tuple[Any, Any]] | None) -> list[Any] | None:
    """All starts, then all ends."""
    return None if box is None else plain([low for low, _ in box]) + plain([high for _, high in box])


def plain(numbers: Sequence[Any]) -> list[Any]:
    """Integers as they are, fractions as text."""
    return [number if number is None or isinstance(number, int) else str(number) for number in numbers]


def plot(field: Any, path: str) -> None:
    """The image to scale, the places of the cells, and the box of the one that was asked for."""
    check_file(path)
    if field.cell is None:
        raise UsageError("--plot", "draws the box of a cell", "no --cell")
    drawn = [(name, glimpse) for name, glimpse in field.cell.glimpses.items() if len(field.places[name]) in (1, 2)]
    if not drawn:
        raise UsageError("--plot", "draws inputs with one or two axes of places", "none")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(drawn), figsize=(6 * len(drawn), 6), layout="constrained", squeeze=False)
    row = next(row for row in field.rows if row.name == field.cell.layer)
    for panel, (name, glimpse) in zip(panels[0], drawn, strict=True):
        sizes = [field.inputs[name][axis] for axis in field.places[name]]
        outline(panel, [(0, n) for n in sizes], edgecolor="black", facecolor="whitesmoke", label=name)
        dots(panel, row, row.extents[name])
        if glimpse.box is not None:
            outline(panel, glimpse.box, edgecolor="tab:orange", linestyle="--", fill=False, label="box")
        if glimpse.clipped is not None:
            outline(panel, glimpse.clipped, edgecolor="tab:red", facecolor="tab:red", alpha=0.3, label="seen")
        if field.seers is not None and field.seers.of == name:
            outline(panel, field.seers.box, edgecolor="tab:green", fill=False, label="asked for")
        panel.set(aspect="equal" if len(sizes) == 2 else "auto", title=f"{name} {shown(sizes)}")
        panel.autoscale_view()
        if len(sizes) == 2:
            panel.invert_yaxis()
        panel.legend(fontsize="small")
    figure.suptitle(f"{field.model}: cell {listed(field.cell.cell)} of {row.name} {shown(row.output[1:])}")
    save(figure, path)


def outline(panel: Any, box: Sequence[tuple[Any, Any]], **style: Any) -> None:
    """A box as a rectangle; pixels reach half a pixel around their whole numbers."""
    (top, bottom), (left, right) = box if len(box) == 2 else ((0, 1), box[0])
    x, y = (float(left) - 0.5, float(right) - 0.5), (float(top) - 0.5, float(bottom) - 0.5)
    panel.fill((x[0], x[1], x[1], x[0]), (y[0], y[0], y[1], y[1]), **style)


def dots(panel: Any, row: Any, extents: Sequence[Any]) -> None:
    """The centres of all cells, where there are not too many."""
    if any(extent.centre is None for extent in extents):
        return
    lines = [
        [float(extent.centre + extent.stride * at) for at in range(row.output[extent.position])] for extent in extents
    ]
    rows, columns = lines if len(lines) == 2 else ([0.0], lines[0])
    if len(rows) * len(columns) <= DOTS:
        points = [(x, y) for y in rows for x in columns]
        size = max(0.5, min(4.0, 300 / max(len(rows), len(columns))))
        panel.plot(*zip(*points, strict=True), ".", markersize=size, color="tab:blue", alpha=0.5, label="cells")
