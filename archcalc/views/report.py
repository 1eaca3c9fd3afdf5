"""A report as a page: what it is of, its table, its totals and what has to be said about them."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.algebra.ops import CONVENTIONS
from archcalc.algebra.units import grouped, iec, si
from archcalc.views import notebook
from archcalc.views.columns import COLUMNS, TOTALLED, Column, cell, chosen, shape_text
from archcalc.views.table import Table, csv_text

DEFAULT = [column for column in COLUMNS.values() if column.rank < 9]


def table(report: Any, columns: Sequence[Column], layout: str) -> Table:
    """The report's rows and totals as a table of text."""
    rows = tuple(
        tuple(cell(column.value(row), _layout(report, row.name, layout)) for column in columns) for row in report.rows
    )
    mark = "≥ " if report.status == "partial" else ""
    total = [mark + cell(column.value(report.totals)) if column.key in TOTALLED else "" for column in columns]
    if columns[0].key not in TOTALLED:
        total[0] = "total"
    titles = tuple(column.title for column in columns)
    return Table(titles, tuple(column.numeric for column in columns), rows, tuple(total))


def text(report: Any, width: int, columns: str | None = None, layout: str = "channels_first") -> str:
    """The report for a terminal of this width: columns of less interest give way, then names are shortened."""
    page = fitting(report, width, layout) if columns is None else table(report, chosen(columns), layout)
    return "\n\n".join([heading(report, layout), page.text(), "\n".join(closing(report, width))])


def fitting(report: Any, width: int, layout: str) -> Table:
    """The widest choice of the default columns that fits."""
    page = whole = table(report, DEFAULT, layout)
    for rank in (2, 1, 0):
        if page.width <= width:
            return page
        page = whole.picked([place for place, column in enumerate(DEFAULT) if column.rank <= rank])
    return page.narrowed(width)


def markup(report: Any, style: str, columns: str | None = None, layout: str = "channels_first") -> str:
    """The report in Markdown, LaTeX or HTML."""
    wanted = chosen(columns) if columns is not None else DEFAULT
    if style == "html":
        return html(report, wanted, layout, most=None)
    page = table(report, wanted, layout).markup(style)
    lines = [heading(report, layout), *closing(report, width=10**6)]
    if style == "latex":
        page = page.replace("×", r"$\times$").replace("\n total ", "\n\\midrule\n total ")
        return "\n".join([*(f"% {line}" for line in lines[:1]), page, *(f"% {line}" for line in lines[1:])])
    return "\n\n".join([lines[0], page, "\n".join(f"- {' '.join(line.split())}" for line in lines[1:])])


def html(
    report: Any, columns: Sequence[Column] = DEFAULT, layout: str = "channels_first", most: int | None = notebook.MOST
) -> str:
    """The report for a notebook, or whole for a page."""
    rows = notebook.table(table(report, columns, layout), most)
    return notebook.frame(titled(report, layout), rows, notebook.entries(summary(report)))


def titled(report: Any, layout: str = "channels_first") -> str:
    """What the report is of, in HTML."""
    shapes = {name: shape_text(shape, _layout(report, name, layout)) for name, shape in report.inputs.items()}
    return notebook.heading(report.model, shapes, report.dtype)


def csv(report: Any, columns: str | None = None, layout: str = "channels_first") -> str:
    """The report's rows as comma-separated values, numbers unformatted; the totals are their sums."""
    wanted = chosen(columns) if columns is not None else list(COLUMNS.values())
    rows = [[_raw(column.value(row), _layout(report, row.name, layout)) for column in wanted] for row in report.rows]
    return csv_text([column.key for column in wanted], rows)


def heading(report: Any, layout: str) -> str:
    """What the report is of."""
    shapes = ((name, shape_text(shape, _layout(report, name, layout))) for name, shape in report.inputs.items())
    inputs = ", ".join(f"{name} {shape}" for name, shape in shapes)
    return f"{report.model}: {inputs}, {report.dtype}"


def closing(report: Any, width: int) -> list[str]:
    """Totals that no column shows, the convention, the status and the notes."""
    lines = (f"{word:9}{said}" for word, said in summary(report))
    return [wrapped for line in lines for wrapped in textwrap.wrap(line, width, subsequent_indent=" " * 9)]


def summary(report: Any) -> Iterator[tuple[str, str]]:
    """The same as words with what is said of each."""
    totals, mark = report.totals, "≥ " if report.status == "partial" else ""
    convention = CONVENTIONS[report.convention]
    yield "params", f"{mark}{grouped(totals.params)}{_split(totals)}"
    yield "MACs", f"{mark}{grouped(totals.macs)}{_rounded(totals.macs)}{_padding(totals, masked=report.masked)}"
    counted = f"{mark}{grouped(totals.flops)}{_rounded(totals.flops)}"
    yield "FLOPs", f"{counted}, convention {convention.name}: {convention.meaning}"
    buffers = f", buffers {_bytes(totals.buffer_bytes)}" if totals.buffer_bytes else ""
    outputs = f"outputs of all layers {_bytes(totals.output_bytes)}"
    yield "memory", f"weights {_bytes(totals.weight_bytes)}, {outputs}{buffers}"
    yield "status", report.status
    for note in report.notes:
        yield "note", note


def _layout(report: Any, name: str, layout: str) -> str:
    """The layout of one tensor: only images have channels to move."""
    return layout if name in report.images else "channels_first"


def _split(totals: Any) -> str:
    frozen = totals.params - totals.trainable_params
    parts = [f"{grouped(frozen)} of them frozen"] if frozen else []
    parts += [f"{grouped(totals.active_params)} of them active for each token"] if totals.active_params else []
    parts += [f"{grouped(totals.buffers)} buffer values beside them"] if totals.buffers else []
    return f" ({', '.join(parts)})" if parts else ""


def _rounded(n: int) -> str:
    return f" = {si(n)}" if n >= 10**6 else ""


def _padding(totals: Any, *, masked: bool) -> str:
    spared = totals.macs - totals.macs_exact
    pairs = "of masked pairs, " if masked else ""
    return f", {grouped(totals.macs_exact)} without those {pairs}on padding or cropped borders" if spared else ""


def _bytes(n: int) -> str:
    return f"{grouped(n)} B" + (f" = {iec(n)}" if n >= 1024 else "")


def _raw(value: Any, layout: str) -> Any:
    return value if isinstance(value, int) else cell(value, layout)
