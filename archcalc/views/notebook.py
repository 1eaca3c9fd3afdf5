"""Pieces of HTML for notebooks and pages: self-contained, in the reader's own colours; a name is text, and no more."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from archcalc.views.boxes import visible
from archcalc.views.table import Table

MOST = 200  # rows that a notebook shows of one table
FEW = 30  # rows that are shown unfolded
LEFTWARD = {"R", "AL", "AN"}  # letters and digits that are written from right to left
CLASSES = "archcalc tex2jax_ignore mathjax_ignore"  # dollars in a name are no mathematics
LINE = "; border-top: 1px solid"  # above a total


def escaped(text: str) -> str:
    r"""Text as HTML writes it; marks that would reorder it, and characters that cannot be seen, are written out.

    >>> escaped('<b> & "c"'), escaped("a\u202eb")
    ('&lt;b&gt; &amp; &quot;c&quot;', 'a\\u202eb')
    """
    import html

    return html.escape(text if text.isprintable() else visible(text))


def isolated(text: str) -> str:
    """A name, or a text that may hold one: where it is written from right to left, what stands around it is not."""
    leftward = not text.isascii() and any(unicodedata.bidirectional(char) in LEFTWARD for char in text)
    return f"<bdi>{escaped(text)}</bdi>" if leftward else escaped(text)


def frame(*parts: str) -> str:
    """All that one object shows."""
    return "\n".join([f'<div class="{CLASSES}" dir="ltr" style="overflow-x: auto">', *filter(None, parts), "</div>"])


def document(title: str, body: str) -> str:
    """A file of its own, which loads nothing and runs nothing."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"  # of the elements' own style attributes
    look = ":root{color-scheme:light dark;font-family:system-ui,sans-serif;line-height:1.4}td,th{padding:2px 8px}"
    return "\n".join([
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{escaped(title)} · archcalc</title>',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{look}</style></head><body>",
        body,
        "</body></html>",
    ])  # fmt: skip


def heading(model: str, inputs: Mapping[str, str], *words: str) -> str:
    """What is shown: the model, its inputs with their shapes, and what else was chosen."""
    sizes = [f"{isolated(name)} {escaped(shape)}" for name, shape in inputs.items()]
    return f"<p><strong>{isolated(model)}</strong>: {', '.join([*sizes, *map(escaped, words)])}</p>"


def paragraph(text: str) -> str:
    """A sentence or two."""
    return f"<p>{isolated(text)}</p>"


def paragraphs(lines: Iterable[str]) -> str:
    """Each of them by itself."""
    return "\n".join(map(paragraph, lines))


def preformatted(text: str) -> str:
    """Lines that stand under each other as they are."""
    lines = (isolated(line) for line in text.split("\n"))
    return '<pre style="white-space: pre-wrap">' + "\n".join(lines) + "</pre>"


def folded(title: str, *parts: str, opened: bool) -> str:
    """A part that opens and closes under its title."""
    head = f"<details{' open' if opened else ''}><summary>{isolated(title)}</summary>"
    return "\n".join([head, *filter(None, parts), "</details>"])


def table(page: Table, most: int | None = MOST) -> str:
    """A table; beyond so many rows it says how many more there are, and the total is of all."""
    shown = page.rows[:most]
    titles = [
        _cell("th", 'scope="col"', title, right) if title else "<td></td>"
        for title, right in zip(page.titles, page.numeric, strict=True)
    ]
    lines = [
        '<table style="font-variant-numeric: tabular-nums">',
        f"<thead><tr>{''.join(titles)}</tr></thead>",
        "<tbody>",
    ]
    lines += [_row(row, page.numeric) for row in shown]
    if len(shown) < len(page.rows):
        rest = f"… and {len(page.rows) - len(shown):,} more rows"
        lines.append(f'<tr><td colspan="{len(page.titles)}" style="text-align: left">{rest}</td></tr>')
    total = [f"<tfoot>{_row(page.total, page.numeric, LINE)}</tfoot>"] if page.total else []
    return "\n".join([*lines, "</tbody>", *total, "</table>"])


def entries(pairs: Iterable[tuple[str, str]]) -> str:
    """Words, each with what is to be said of it."""
    rows = [_row(pair, (False, False)) for pair in pairs]
    return "\n".join(["<table>", "<tbody>", *rows, "</tbody>", "</table>"]) if rows else ""


def _row(cells: Sequence[str], numeric: Sequence[bool], line: str = "") -> str:
    """A row, whose first cell is the heading of the others."""
    first, *rest = zip(cells, numeric, strict=True)
    made = [_cell("th", 'scope="row"', *first, f"; font-weight: normal{line}")]
    return f"<tr>{''.join([*made, *(_cell('td', '', cell, right, line) for cell, right in rest)])}</tr>"


def _cell(tag: str, scope: str, text: str, right: bool, style: str = "") -> str:
    """One cell; what is no number may be a name."""
    words = escaped(text.strip(" ")) if right else isolated(text.strip(" "))
    side = f'style="text-align: {"right" if right else "left"}{style}"'
    return f"<{' '.join(filter(None, (tag, scope, side)))}>{words}</{tag}>"
