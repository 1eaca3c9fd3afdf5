"""What fits, as a page."""

import textwrap
from collections.abc import Iterator
from typing import Any

from archcalc.algebra.units import grouped, iec
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.table import Table

NOT_IN = (
    "Compared is what the allocator hands out at the peak. The CUDA context, workspaces and fragmentation come on top: "
    "leave some hundred MiB free."
)


def text(fit: Any, width: int) -> str:
    """The answer, what fits at most, and the ways out."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in fit.inputs.items())
    lines = textwrap.wrap(f"{fit.model}: {inputs}, {fit.dtype}, {task(fit)}", width)
    said = [f"{word}: {what}" for word, what in answer(fit)]
    lines += ["", *(part for line in said for part in textwrap.wrap(line, width))]
    for way in fit.ways:
        lines += ["", *_way(way, width)] if way is fit.ways[0] else _way(way, width)
    for note in notes(fit):
        lines += ["", *textwrap.wrap(note, width)]
    return "\n".join([*lines, "", *textwrap.wrap(NOT_IN, width)])


def html(fit: Any) -> str:
    """The page for a notebook."""
    shapes = {name: shown(shape) for name, shape in fit.inputs.items()}
    rows = tuple((way.name, *peak_of(way), way.what, way.price) for way in fit.ways)
    ways = Table(("way out", "peak", "", "what", "its price"), (False, True, False, False, False), rows)
    return notebook.frame(
        notebook.heading(fit.model, shapes, fit.dtype, task(fit)),
        notebook.entries(answer(fit)),
        notebook.table(ways) if rows else "",
        notebook.paragraphs([*notes(fit), NOT_IN]),
    )


def task(fit: Any) -> str:
    """What is to fit."""
    return f"training with {fit.choices.optimizer}" if fit.choices.training else "inference"


def answer(fit: Any) -> Iterator[tuple[str, str]]:
    """Does it fit, and what does at most."""
    verdict = ("fits" if not fit.notes else "may fit") if fit.fits else "does not fit"
    peak, room = fit.peak_bytes, fit.memory_bytes
    yield verdict, f"peak {grouped(peak)} B = {iec(peak)}, {fit.when}"
    yield "memory", f"{grouped(room)} B = {iec(room)}"
    batch = grouped(fit.largest_batch) if fit.largest_batch is not None else "none, not even one fits"
    yield "largest batch at this input", batch
    if fit.largest_input or fit.why_no_input:
        best = "x".join(map(str, fit.largest_input or ())) or f"none, {fit.why_no_input}"
        yield "largest input at this batch", best


def notes(fit: Any) -> Iterator[str]:
    """What makes it partial."""
    for note in fit.notes:
        yield f"partial: peaks are lower bounds, largest sizes upper bounds. {note}"


def peak_of(way: Any) -> tuple[str, str]:
    """The peak that a way leads to, and whether that fits; nothing where it is not known."""
    return ("", "") if way.peak_bytes is None else (iec(way.peak_bytes), "fits" if way.fits else "does not fit")


def _way(way: Any, width: int) -> list[str]:
    peak = ", ".join(filter(None, peak_of(way)))
    line = f"{way.name.ljust(15)}  {peak.ljust(23)}  {way.what}".rstrip()
    lines = (
        textwrap.wrap(line, width, subsequent_indent=" " * 42, drop_whitespace=True) if len(line) > width else [line]
    )
    return lines + [" " * 42 + part for part in textwrap.wrap(way.price, width - 42)]
