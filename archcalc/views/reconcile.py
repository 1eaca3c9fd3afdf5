"""Figures of counting tools beside ours: a table of all, then the lines that make each difference."""

import textwrap
from collections.abc import Iterator
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.table import Table

OURS = {"macs": "MACs", "flops": "2·MACs", "params": "params"}
TITLES = ("tool", "prints", "its figure", "ours", "", "difference", "")
SPARED = (6, 4)  # columns that go, in this order, where a terminal is narrow


def text(found: Any, width: int) -> str:
    """The page for a terminal."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in found.inputs.items())
    head = textwrap.wrap(f"{found.model}: {inputs}; {found.network}", width)
    blocks = ["\n".join(head), fitting(table(found), width).text()]
    blocks += ["\n".join(lines(figure, width)) for figure in found.figures if figure.difference != 0 or figure.unknown]
    return "\n\n".join([*blocks, "\n".join(remarks(found, width))])


def html(found: Any) -> str:
    """The page for a notebook."""
    shapes = {name: shown(shape) for name, shape in found.inputs.items()}
    told = [figure for figure in found.figures if figure.difference != 0 or figure.unknown]
    return notebook.frame(
        notebook.heading(found.model, shapes, found.network),
        notebook.table(fitting(table(found), 10**6)),
        *(notebook.folded(f"{figure.tool} {figure.says}: why", because(figure), opened=False) for figure in told),
        notebook.paragraphs(remarks(found, 10**6)),
    )


def because(figure: Any) -> str:
    """How a figure comes about, as a table of differences whose sum it is."""
    if figure.printed is None:
        return notebook.paragraph(f"raises at {figure.refusal}")
    first, *between, (said, printed) = sums(figure)
    page = Table(("", figure.quantity), (False, True), (first, *between), (said, printed))
    unknown = f"lower bound: not known of {', '.join(figure.unknown)}"
    return notebook.table(page) + (notebook.paragraph(unknown) if figure.unknown else "")


def fitting(whole: Table, width: int) -> Table:
    """The table without empty columns, and without as many as it takes to fit."""
    filled = [any(column) for column in zip(whole.titles, *whole.rows, strict=True)]
    places = [place for place, shown in enumerate(filled) if shown]
    for place in SPARED:
        if place in places and whole.picked(places).width > width:
            places.remove(place)
    return whole.picked(places)


def table(found: Any) -> Table:
    """A row for each figure."""
    rows = tuple(tuple(cells(figure)) for figure in found.figures)
    return Table(TITLES, (False, False, True, True, False, True, True), rows)


def cells(figure: Any) -> Iterator[str]:
    """One line of the table."""
    yield from (figure.tool, figure.says)
    yield "raises" if figure.printed is None else bound(figure) + grouped(figure.printed)
    yield from (grouped(figure.ours), OURS[figure.quantity])
    yield "" if figure.difference is None else signed(figure.difference)
    yield share(figure)


def bound(figure: Any) -> str:
    """The mark of a figure that leaves something out."""
    return "≥ " if figure.status == "partial" else ""


def signed(n: int) -> str:
    """A difference with its sign."""
    return f"+{grouped(n)}" if n > 0 else grouped(n).replace("-", "−")


def share(figure: Any) -> str:
    """The difference in percent of ours, where that says something."""
    if not figure.difference or not figure.ours:
        return ""
    percent = round(100_000 * figure.difference / figure.ours) / 1_000
    return f"{percent:+.1f} %".replace("-", "−") if abs(percent) >= 0.05 else "< 0.05 %"


def lines(figure: Any, width: int) -> Iterator[str]:
    """How a figure comes about: ours, the differences by cause, and their sum."""
    yield from textwrap.wrap(f"{figure.tool} {figure.says}", width)
    if figure.printed is None:
        yield from textwrap.wrap(f"raises at {figure.refusal}", width, initial_indent="  ", subsequent_indent="    ")
        return
    rows = sums(figure)
    room = max(len(number) for _, number in rows)
    for said, number in rows:
        first, *rest = textwrap.wrap(said, width - room - 4)
        yield f"  {number.rjust(room)}  {first}"
        yield from (" " * (room + 4) + more for more in rest)
    if figure.unknown:
        kinds = f"lower bound: not known of {', '.join(figure.unknown)}"
        yield from textwrap.wrap(kinds, width, initial_indent="  ", subsequent_indent="    ")


def sums(figure: Any) -> list[tuple[str, str]]:
    """Ours, the differences by cause, and the figure that they add up to."""
    rows = [(OURS[figure.quantity] + ", ours", grouped(figure.ours))]
    rows += [(f"{line.kind}: {line.cause}{times(line.uses)}", signed(line.difference)) for line in figure.lines]
    return [*rows, (f"{figure.tool} {figure.says}", bound(figure) + grouped(figure.printed))]


def times(uses: int) -> str:
    """How many layers a line is about."""
    return f" ({uses} layers)" if uses > 1 else ""


def remarks(found: Any, width: int) -> Iterator[str]:
    """Whose rules these are, and what one has to know of each tool."""
    versions = dict.fromkeys(f"{figure.tool} {figure.version}" for figure in found.figures)
    yield from textwrap.wrap(f"rules as of {', '.join(versions)}", width, subsequent_indent="  ")
    for tool, said in found.remarks.items():
        for remark in said:
            yield from textwrap.wrap(f"{tool}: {remark}", width, subsequent_indent="  ")
