"""Table: titles, rows of text and a total, written in any format."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

FORMATS = ("text", "markdown", "csv", "json", "latex", "html")
ELLIPSIS = "…"


class Table(Struct, frozen=True):
    """Cells as text; `numeric` says which columns are aligned to the right."""

    titles: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()

    @property
    def widths(self) -> list[int]:
        """Characters that each column needs."""
        return [
            max(map(len, column)) for column in zip(self.titles, *self.rows, self.total or self.titles, strict=True)
        ]

    @property
    def width(self) -> int:
        """Characters of one line of the text format."""
        return sum(self.widths) + 2 * (len(self.titles) - 1)

    def text(self) -> str:
        """Plain columns under a rule; the total under another.

        The layout is ours because loading a table library costs more time than the whole report.
        """
        widths = self.widths
        rule = "  ".join("-" * width for width in widths)
        lines = [self._line(self.titles, widths), rule, *(self._line(row, widths) for row in self.rows)]
        if self.total:
            lines += [rule, self._line(self.total, widths)]
        return "\n".join(lines)

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        placed = zip(cells, widths, self.numeric, strict=True)
        aligned = [cell.rjust(width) if right else cell.ljust(width) for cell, width, right in placed]
        return "  ".join(aligned).rstrip()

    def markup(self, style: str) -> str:
        """The table in a markup language: markdown or latex."""
        from tabulate import tabulate  # a tenth of a second, and plain text does not need it

        formats = {"markdown": "github", "latex": "latex_booktabs"}
        rows = [*self.rows, self.total] if self.total else list(self.rows)
        align = ["right" if right else "left" for right in self.numeric]
        return tabulate(rows, headers=self.titles, tablefmt=formats[style], colalign=align, disable_numparse=True)

    def picked(self, places: Sequence[int]) -> "Table":
        """The table with only these columns."""

        def of(cells: Sequence[Any]) -> tuple[Any, ...]:
            return tuple([cells[place] for place in places])

        return Table(of(self.titles), of(self.numeric), tuple(map(of, self.rows)), of(self.total) if self.total else ())

    def narrowed(self, width: int) -> "Table":
        """The table with path names shortened in the middle, so that a line takes this width where that is possible."""
        room = max(16, self.widths[0] - (self.width - width))
        rows = tuple((shortened(row[0], room), *row[1:]) for row in self.rows)
        return Table(self.titles, self.numeric, rows, self.total)


def shortened(path: str, room: int) -> str:
    """A path name with levels left out, the second one first; the last name always stays.

    >>> shortened("inception3a/concat1/branch1/conv_bn1/conv1", 40)
    'inception3a/…/branch1/conv_bn1/conv1'
    """
    parts = path.split("/")
    if len(path) <= room:
        return path
    for dropped in range(1, len(parts) - 1):
        short = "/".join([parts[0], ELLIPSIS, *parts[dropped + 1 :]])
        if len(short) <= room:
            return short
    return ELLIPSIS + path[-(room - 1) :]


def csv_text(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated values with a header line, numbers unformatted."""
    import csv
    import io

    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([titles, *rows])
    return out.getvalue().rstrip("\n")
