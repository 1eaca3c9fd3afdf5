"""A sweep as CSV (written in pieces, resumable), as tables, and as a plot with logarithmic axes."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.errors import UsageError
from archcalc.views import notebook
from archcalc.views.drawing import check_file, save
from archcalc.views.table import Table

SHOWN = 1000  # rows of a printed table
DRAWN = 100_000  # points of a plot
UNITS = {"output_bytes": "bytes", "weight_bytes": "bytes", "buffer_bytes": "bytes", "macs": "multiply–accumulates",
         "macs_exact": "multiply–accumulates", "params": "parameters", "flops": "FLOPs"}  # fmt: skip
DIFFERENT = "a file to go on with must be of the same sweep"


def table(sweep: Any, most: int | None = None) -> Table:
    """The points as a table of text."""
    rows = tuple(tuple("" if n is None else grouped(n) for n in row) for row in islice(sweep.rows(), most))
    return Table(sweep.columns, (True,) * len(sweep.columns), rows)


def text(sweep: Any) -> str:
    """The first points as a table for a terminal, and how many more there are."""
    lines = [heading(sweep), "", table(sweep, SHOWN).text()]
    more = sweep.points - SHOWN
    return "\n".join([*lines, *([f"… and {more:,} more points"] if more > 0 else [])])


def heading(sweep: Any) -> str:
    """What was swept."""
    return f"{sweep.model}: {swept(sweep)}"


def swept(sweep: Any) -> str:
    """How many points, and what holds for all of them."""
    over = f"{sweep.points:,} points" + (" at random" if sweep.sample is not None else "")
    counted = f", convention {sweep.convention}" if "flops" in sweep.of else ""
    return f"{over}, {sweep.dtype}, status {sweep.status}{counted}"


def markup(sweep: Any, style: str) -> str:
    """The points in a markup language."""
    return html(sweep, most=None) if style == "html" else table(sweep).markup(style)


def html(sweep: Any, most: int | None = notebook.MOST) -> str:
    """The first points for a notebook, or all of them for a page."""
    more = sweep.points - most if most is not None else 0
    rows = notebook.table(table(sweep, most), None)
    rest = notebook.paragraph(f"… and {more:,} more points: .table(), .rows() and .write(path) have them all")
    return notebook.frame(notebook.heading(sweep.model, {}, swept(sweep)), rows, rest if more > 0 else "")


def csv_lines(sweep: Any, start: int = 0, shown: Callable[[int], Any] | None = None) -> Iterator[tuple[str, int]]:
    """Chunks of CSV without the header, each with how many of its points the model refuses."""
    for chunk in sweep.chunks(start):
        legal = chunk["legal"]
        refused = int((~legal).sum())
        columns = [[str(n) for n in chunk[name].tolist()] for name in sweep.columns]
        if refused:
            for column in columns[len(sweep.axes) :]:
                column[:] = [cell if ok else "" for cell, ok in zip(column, legal.tolist(), strict=True)]
        yield "\n".join(map(",".join, zip(*columns, strict=True))) + "\n", refused
        if shown is not None:
            shown(len(legal))


def write_csv(sweep: Any, path: str, shown: Callable[[int], Any] | None = None) -> int:
    """Write into PATH.part and give it its name at the end; a part of the same sweep that is there is gone on with."""
    part, header = f"{path}.part", ",".join(sweep.columns) + "\n"
    try:
        start, size = resumed(sweep, part, header)
        if shown is not None and start:
            shown(start)
        refused = 0
        with open(part, "r+" if start else "w", encoding="utf-8", newline="") as file:
            file.truncate(size)
            file.seek(size)
            if not start:
                file.write(header)
            for lines, without in csv_lines(sweep, start, shown):
                file.write(lines)
                file.flush()
                refused += without
        os.replace(part, path)
    except OSError as error:
        raise UsageError("-o", "must be a file that can be written", f"{path}: {error.strerror}") from None
    return refused


def resumed(sweep: Any, part: str, header: str) -> tuple[int, int]:
    """How many points an interrupted run has written whole, and at which byte they end; UsageError if they differ."""
    if not os.path.exists(part):
        return 0, 0
    with open(part, "rb") as file:
        first = file.readline()
        done, size, last = 0, len(first), b""
        for line in file:
            if line.endswith(b"\n"):
                done, size, last = done + 1, size + len(line), line
    if not first.endswith(b"\n") or not done:
        return 0, 0
    again = next(iter(sweep.rows(done - 1)), None) if done <= sweep.points else None
    expected = "" if again is None else ",".join("" if n is None else str(n) for n in again) + "\n"
    if first != header.encode() or last != expected.encode():
        raise UsageError("-o", DIFFERENT, part, way_out="delete it, or write elsewhere")
    return done, size


def check_plot(sweep: Any, path: str) -> None:
    """Refuse what cannot be drawn, before anything is computed."""
    check_file(path)
    if sweep.points > DRAWN:
        way_out = f"--sample {DRAWN}, or fewer values"
        raise UsageError("--plot", f"must have at most {DRAWN:,} points", f"{sweep.points:,}", way_out=way_out)


def plot(sweep: Any, path: str) -> None:
    """Draw every quantity over the first axis that varies, both logarithmic; a line for each value of the others."""
    check_plot(sweep, path)
    from matplotlib import pyplot

    data = sweep.table()
    varying = [name for name in sweep.axes if len(set(data[name].tolist())) > 1]
    along = next(
        (name for name in reversed(varying) if name not in sweep.settings), varying[-1] if varying else sweep.axes[-1]
    )
    others = [name for name in varying if name != along and not (data[name] == data[along]).all()]
    figure, panels = pyplot.subplots(
        len(sweep.of), 1, figsize=(7, 3.2 * len(sweep.of)), squeeze=False, layout="constrained"
    )
    for panel, quantity in zip(panels[:, 0], sweep.of, strict=True):
        _draw(panel, data, along, others, quantity)
        panel.set_xlabel(_axis_label(sweep, data, along))
        panel.set_ylabel(
            f"{quantity} [{UNITS.get(quantity, 'operations')}]" if UNITS.get(quantity) != quantity else quantity
        )
    figure.suptitle(heading(sweep))
    save(figure, path)


LINES = 12  # of one panel


def _draw(panel: Any, data: Any, along: str, others: Sequence[str], quantity: str) -> None:
    places = list(zip(*(data[name].tolist() for name in others), strict=True)) if others else [()] * len(data[along])
    for number, place in enumerate(dict.fromkeys(places)):
        if number == LINES:
            panel.set_title(f"the first {LINES} of {len(set(places))} lines", fontsize="small")
            break
        at = [row for row, other in enumerate(places) if other == place]
        label = ", ".join(f"{name} = {value}" for name, value in zip(others, place, strict=True))
        values = [float(n) if n is not None else float("nan") for n in data[quantity][at].tolist()]
        panel.plot(data[along][at], values, marker="." if len(at) < 60 else "", label=label)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(visible=True, which="major", alpha=0.4)
    if others:
        panel.legend(fontsize="small")


def _axis_label(sweep: Any, data: Any, along: str) -> str:
    """The axis with its unit; those that move with it are named too."""
    if along in sweep.settings or along == "N":
        return along if along in sweep.settings else "batch N [images]"
    together = [name for name in sweep.axes if name not in sweep.settings and (data[name] == data[along]).all()]
    return f"{' = '.join(together)} [cells]"
