"""Two reports side by side as a page: conditions, changed rows, rows of one side, totals, what has to be said."""

import textwrap
from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.views import notebook
from archcalc.views.columns import COLUMNS, TOTALLED, cell
from archcalc.views.report import DEFAULT, fitting, heading, table
from archcalc.views.table import Table, shortened

ALWAYS = ("params", "macs", "flops", "output_bytes")  # totals that are shown even where they are equal
FOLLOWS = {"trainable_params": "params", "macs_exact": "macs"}  # not told again where both changed alike
OPS = ("mul", "add", "cmp", "div", "exp")
MOST_TENSORS = 3  # tensors of one row that are told one by one
TITLES = ("A", "B", "difference", "ratio")
NUMERIC = (False, True, True, True, True)
CHOICES = ((0, 1, 2, 3, 4), (0, 1, 2, 4), (0, 1, 2))  # columns, the first choice that fits
MARGIN = 13  # where the text of conditions and closing lines starts
Line = tuple[str, str, str, str, str]


def text(found: Any, width: int) -> str:
    """The difference for a terminal of this width: columns give way first, then names are shortened."""
    headings = [textwrap.fill(line, width, subsequent_indent="   ") for line in _headings(found)]
    parts = ["\n".join(headings), "\n".join(_entries(_conditions(found), width))]
    parts.append(_sections("layer", [(row.name, _words(row), _numbers(row)) for row in _changed(found)], width))
    for title, group in _one_sided(found):
        parts.append(f"{title}\n\n{fitting(group, width, 'channels_first').text()}")
    parts.append(_sections("total", [("", [], _total_lines(found))], width) if not found.costs_same else "")
    parts.append("\n".join(_entries(_closing(found), width)))
    return "\n\n".join(part for part in parts if part)


def markdown(found: Any) -> str:
    """The difference in Markdown."""
    parts: list[str | Table] = [*_headings(found), *map(": ".join, _conditions(found))]
    parts += [_whole(found)] if not found.costs_same else []
    for title, group in _one_sided(found):
        parts += [title, table(group, DEFAULT, "channels_first")]
    parts += map(": ".join, _closing(found))
    return "\n\n".join(part if isinstance(part, str) else part.markup("markdown") for part in parts)


def html(found: Any) -> str:
    """The difference for a notebook."""
    parts = [notebook.paragraphs(_headings(found)), notebook.entries(_conditions(found))]
    parts += [notebook.table(_whole(found))] if not found.costs_same else []
    for title, group in _one_sided(found):
        parts += [notebook.paragraph(title), notebook.table(table(group, DEFAULT, "channels_first"))]
    return notebook.frame(*parts, notebook.entries(_closing(found)))


def ratio_text(ratio: Fraction) -> str:
    """A ratio to three digits: per cent between a half and two, else a factor; without a decimal point if exact.

    >>> [ratio_text(Fraction(n, 1000)) for n in (2560, 1123, 500, 999, 4000, 1806250)]
    ['×2.56', '+12.3 %', '−50 %', '−0.1 %', '×4', '×1,806']
    """
    if Fraction(1, 2) <= ratio < 2:
        change = 100 * (ratio - 1)
        return f"{_sign(change)}{_digits(abs(change))} %"
    return f"×{_digits(ratio)}"


def signed(n: int) -> str:
    """A difference with its sign, in groups of three.

    >>> signed(-11672), signed(0)
    ('−11,672', '0')
    """
    return f"{_sign(n)}{grouped(abs(n))}"


def _sign(n: int | Fraction) -> str:
    return "−" if n < 0 else "+" if n else ""


def _digits(value: Fraction) -> str:
    """Three significant digits, rounded half up exactly; more before the decimal point, fewer if they say it all."""
    places = 0
    while value and places < 6 and value * 10**places < 100:
        places += 1
    scaled = (2 * value * 10**places + 1) // 2
    if value and not scaled:
        return f"<{'0.':0<{places + 1}}1"
    whole, rest = divmod(scaled, 10**places)
    digits = f"{grouped(whole)}.{rest:0{places}}" if places else grouped(whole)
    return digits.rstrip("0").rstrip(".") if places and scaled == value * 10**places else digits


def _headings(found: Any) -> list[str]:
    return [f"{side}  {heading(report, 'channels_first')}" for side, report in _sides(found)]


def _sides(found: Any) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return ("A", found.before), ("B", found.after)


def _conditions(found: Any) -> Iterator[tuple[str, str]]:
    for change in found.conditions:
        rule = ": FLOPs under two conventions are not compared" if change.what == "convention" else ""
        yield change.what, f"{_told(change.before)} → {_told(change.after)}{rule}"


def _changed(found: Any) -> list[Any]:
    return [row for row in found.rows if row.state == "changed"]


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None or value == {} else cell(value)


def _words(row: Any) -> list[Line]:
    """A line for what changed in a row that is neither a number nor a shape."""
    words = [change for change in row.changes if change.what in ("kind", "inputs", "shared_with")]
    return [
        (_title(change.what), _told(change.before or None), _told(change.after or None), "", "") for change in words
    ]


def _numbers(row: Any) -> list[Line]:
    """A line for each shape and number that changed, without those that say the same again."""
    changes = {change.what: change for change in row.changes}
    lines = [("output", *_line(changes["output"]))] if "output" in changes else []
    lines += _tensors(changes["weights"]) if "weights" in changes else []
    return lines + [(_title(change.what), *_line(change)) for change in row.changes if _told_apart(change, changes)]


def _told_apart(change: Any, changes: dict[str, Any]) -> bool:
    """Is this number worth a line: not where it follows from another line's?"""
    what = change.what
    if what not in TOTALLED:
        return what in ("weight_bytes", "buffer_bytes")
    if what in OPS:  # FLOPs tell the sum of them, where they can
        return "flops" not in changes
    first = changes.get(FOLLOWS.get(what, ""))
    return first is None or (first.before, first.after) != (change.before, change.after)


def _tensors(change: Any) -> list[Line]:
    """A line for each tensor whose shape changed; only their numbers if these are many."""
    a, b = change.before, change.after
    names = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
    if len(names) > MOST_TENSORS:
        same = sum(a[name] == b.get(name) for name in a)
        return [("tensors", f"{len(a)}", f"{len(b)}", f"{same} the same", "")]
    return [(f"tensor {name}", _told(a.get(name)), _told(b.get(name)), "", "") for name in names]


def _title(what: str) -> str:
    return COLUMNS[what].title if what in COLUMNS else what.replace("_", " ")


def _line(change: Any, marks: tuple[str, str] = ("", "")) -> tuple[str, str, str, str]:
    """A, B, difference and ratio of a change; marks say that a side is a lower bound."""
    missing = "not counted" if change.what in TOTALLED else "none"
    cells = [
        mark + (missing if side is None else cell(side))
        for mark, side in zip(marks, (change.before, change.after), strict=True)
    ]
    bound = {("≥ ", ""): "≤ ", ("", "≥ "): "≥ "}.get(marks, "")
    difference = "" if change.difference is None else bound + signed(change.difference)
    ratio = "" if change.ratio in (None, 1) else bound + ratio_text(change.ratio)
    return cells[0], cells[1], difference, ratio


def _total_lines(found: Any) -> list[Line]:
    """A line for each total that changed, and for those that everybody looks for."""
    first, second = ("≥ " if report.status == "partial" else "" for _, report in _sides(found))
    changes = {change.what: change for change in found.totals if change.changed}
    wanted = [
        change
        for change in found.totals
        if change.what in ALWAYS or (change.what in changes and _told_apart(change, changes))
    ]
    return [(_title(change.what), *_line(change, (first, second))) for change in wanted]


def _sections(title: str, sections: Sequence[tuple[str, list[Line], list[Line]]], width: int) -> str:
    """Names, each with its lines under it; words stand free, and all numbers and shapes in the same columns."""
    if not sections:
        return ""
    lines = tuple((f"  {line[0]}", *line[1:]) for _, _, numbers in sections for line in numbers)
    head, rule, *placed = _fitted(Table((title, *TITLES), NUMERIC, lines), width).text().split("\n")
    page, rest = [head, rule], iter(placed)
    for name, words, numbers in sections:
        page += [shortened(name, max(16, width))] if name else []
        page += [line for word, a, b, *_ in words for line in _entry(f"  {word}", f"{a} → {b}", width)]
        page += [next(rest) for _ in numbers]
    return "\n".join(page)


def _fitted(page: Table, width: int) -> Table:
    """The first choice of columns that fits."""
    choices = [page.picked(places) for places in CHOICES]
    return next((choice for choice in choices if choice.width <= width), choices[-1].narrowed(width))


def _whole(found: Any) -> Table:
    """Changed rows and totals as one table, for markup."""
    lines: list[tuple[str, ...]] = []
    for row in _changed(found):
        lines += [(row.name, *line) for line in [*_words(row), *_numbers(row)]]
    lines += [("total", *line) for line in _total_lines(found)]
    return Table(("layer", "quantity", *TITLES), (False, *NUMERIC), tuple(lines))


def _one_sided(found: Any) -> Iterator[tuple[str, Any]]:
    """Rows that only one side has, under a title, with their sums."""
    for side, report in _sides(found):
        rows = [row.before or row.after for row in found.rows if row.state == f"only in {side}"]
        if rows:
            sums = {key: sum(COLUMNS[key].value(row) for row in rows) for key in ALWAYS}
            group = {"rows": rows, "totals": SimpleNamespace(**sums), "status": report.status, "images": report.images}
            yield f"only in {side}, {_counted(len(rows))}", SimpleNamespace(**group)


def _closing(found: Any) -> Iterator[tuple[str, str]]:
    """Outputs that differ, how many rows do, and the notes of both reports."""
    if found.outputs.changed:
        yield "outputs", f"{_told(found.outputs.before)} → {_told(found.outputs.after)}"
    yield "rows", _verdict(found)
    partial = [side for side, report in _sides(found) if report.status == "partial"]
    if partial:
        rest = "; a difference is of what was counted" if len(partial) == 2 else ""
        yield "status", f"{' and '.join(partial)} partial: totals are lower bounds{rest}"
    for note in dict.fromkeys([*found.before.notes, *found.after.notes]):
        sides = [side for side, report in _sides(found) if note in report.notes]
        yield f"note {'' if len(sides) == 2 else sides[0]}".rstrip(), note


def _verdict(found: Any) -> str:
    """How many rows are in which state; plainly, where nothing differs."""
    rest = "; FLOPs were not compared" if found.not_compared else ""
    if found.costs_same:
        return f"no difference in {_counted(len(found.rows))}{rest}"
    states = [row.state for row in found.rows]
    counts = [f"{states.count(state):,} {state}" for state in ("changed", "only in A", "only in B") if state in states]
    unchanged = states.count("unchanged")
    if not unchanged and "changed" not in states:
        rest += "; no name stands in both, and rows are matched by name"
    return ", ".join([*counts, f"{unchanged:,} unchanged"]) + rest


def _counted(rows: int) -> str:
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def _entries(entries: Iterator[tuple[str, str]], width: int) -> list[str]:
    return [line for word, told in entries for line in _entry(word, told, width)]


def _entry(word: str, told: str, width: int) -> list[str]:
    """A word and its text, wrapped under itself."""
    return textwrap.wrap(f"{word:{MARGIN - 1}} {told}", max(width, 2 * MARGIN), subsequent_indent=" " * MARGIN)
