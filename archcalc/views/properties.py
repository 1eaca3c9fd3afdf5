"""Properties as a page: a table of the layers, and the verdicts about the whole with their reasons."""

import textwrap
from collections.abc import Iterator
from typing import Any

from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.table import Table

VERDICTS = ("linear", "affine", "homogeneous", "elementwise")
WHERE = {"everywhere": "", "inside": ", away from borders", "moving": ", of what moves inside the image"}
MARKS = {"everywhere": "", "inside": " inside", "moving": " moving"}
UNSHIFTED = "no axis along which the input could be shifted"
LEGEND = {
    "shift": "a number: shifts of the input by so many cells move the output too (2→3: by 3 cells), at every cell",
    "inside": "away from borders",
    "moving": "what moves inside the image, on an even background; the borders stay",
    "stays": "the output stays as it is",
}


def text(answer: Any, width: int) -> str:
    """The page for a terminal."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in answer.inputs.items())
    blocks = ["\n".join(textwrap.wrap(f"{answer.model}: {inputs}, at inference", width))]
    if len(answer.layers) > 1:
        blocks.append(table(answer).narrowed(width).text())
    blocks.append("\n".join(said(answer.whole, width)))
    if len(answer.layers) > 1:
        blocks.append("\n".join(legend(answer, width)))
    return "\n\n".join(blocks)


def html(answer: Any) -> str:
    """The page for a notebook."""
    several = len(answer.layers) > 1
    shapes = {name: shown(shape) for name, shape in answer.inputs.items()}
    return notebook.frame(
        notebook.heading(answer.model, shapes, "at inference"),
        notebook.paragraph(f"{answer.whole.name}, as a map of its input:"),
        notebook.entries(verdicts(answer.whole)),
        "" if answer.whole.shifts else notebook.paragraph(UNSHIFTED),
        notebook.table(table(answer)) if several else "",
        notebook.paragraphs(legend(answer, 10**6) if several else ()),
    )


def table(answer: Any) -> Table:
    """A row for each layer by itself, and one for the whole."""
    axes = max((tuple(along.axis for along in row.shifts) for row in answer.layers), key=len)
    titles = ("layer", "kind", *VERDICTS, *axes)
    rows = tuple(tuple(cells(row, len(axes))) for row in answer.layers)
    whole = ("all", "", *tuple(cells(answer.whole, len(axes)))[2:])
    return Table(titles, (False,) * len(titles), rows, whole)


def cells(row: Any, rank: int) -> Iterator[str]:
    """One line of the table."""
    yield from (row.name, row.kind)
    yield from ("yes" if getattr(row, name).holds else "no" for name in VERDICTS)
    yield from (mark(along) for along in row.shifts)
    yield from [""] * (rank - len(row.shifts))


def mark(along: Any) -> str:
    """The verdict along one axis, in a word."""
    if along.why:
        return "no"
    if along.invariant:
        return "stays" + (f" {along.period}" if along.period > 1 else "")
    step = "" if along.step == 1 else f"→{along.step}"
    return f"{along.period}{step}{MARKS[along.where]}"


def said(whole: Any, width: int) -> Iterator[str]:
    """The verdicts about the whole, with their reasons."""
    found = list(verdicts(whole))
    room = max(len(name) for name, _ in found)
    yield from textwrap.wrap(f"{whole.name}, as a map of its input:", width)
    for name, verdict in found:
        indent = " " * (room + 4)
        yield textwrap.fill(f"  {name.ljust(room)}  {verdict}", width, subsequent_indent=indent)
    if not whole.shifts:
        yield f"  {UNSHIFTED}"


def verdicts(whole: Any) -> Iterator[tuple[str, str]]:
    """Each property and axis with what holds."""
    for name in VERDICTS:
        verdict = getattr(whole, name)
        yield name, f"no: {verdict.why}" if verdict.why else "yes"
    for along in whole.shifts:
        yield along.axis, sentence(along)


def sentence(along: Any) -> str:
    """What a shift along one axis does."""
    if along.why:
        return f"not shift-equivariant: {along.why}"
    reason = f" ({along.because})" if along.because else ""
    unit = "any shift" if along.period == 1 else f"shifts by multiples of {along.period}"
    if along.invariant:
        return f"invariant under {unit}{WHERE[along.where]}{reason}"
    ratio = "the output by as many"
    if along.step != along.period:
        ratio = f"the output by {along.step} for each {along.period}" if along.period > 1 else f"{along.step} for each"
    moves = "" if along.period == along.step else f", {ratio}"
    return f"equivariant under {unit}{moves}{WHERE[along.where]}{reason}"


def legend(answer: Any, width: int) -> Iterator[str]:
    """What the words of the table mean, of those that stand in it."""
    marks = [mark(along) for row in (*answer.layers, answer.whole) for along in row.shifts]
    for word, meaning in LEGEND.items():
        if word == "shift" and any(text[:1].isdigit() for text in marks):
            yield from textwrap.wrap(meaning, width)
        elif any(word in text for text in marks):
            yield textwrap.fill(f"{word}: {meaning}", width, subsequent_indent=" " * (len(word) + 2))
