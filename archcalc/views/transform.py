"""What a transform did, as the remarks above the spec that it makes."""

from collections.abc import Iterator
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.table import Table

MOST = 12  # notes of one kind


def remarks(made: Any, sliding: Any = None) -> list[str]:
    """Where it is equal, what it changes in numbers, and what else is to be known."""
    return [*_lines(made), *(_beside(sliding) if sliding is not None else ())]


def html(made: Any) -> str:
    """What it did, for a notebook."""
    rows = tuple((name, grouped(old), grouped(new)) for name, old, new in changes(made))
    return notebook.frame(
        notebook.heading(made.before.name, {}, f"{made.name}: {equality(made)}"),
        notebook.table(Table(("", "before", "after"), (False, True, True), rows)),
        notebook.paragraphs(noted(made)),
    )


def _lines(made: Any) -> Iterator[str]:
    yield f"{made.before.name}, {made.name}: {equality(made)}"
    yield ", ".join(f"{name} {grouped(old)} → {grouped(new)}" for name, old, new in changes(made))
    yield from noted(made)


def equality(made: Any) -> str:
    """Where it computes the same."""
    return f"computes the same {made.equal}" if made.equal else "another network, not equal: to be trained anew"


def changes(made: Any) -> Iterator[tuple[str, int, int]]:
    """What it changes in numbers: before and after."""
    before, after = (report.totals for report in made.reports)
    for name, key in (("parameters", "params"), ("MACs", "macs")):
        yield name, getattr(before, key), getattr(after, key)


def noted(made: Any) -> Iterator[str]:
    """What else is to be known, as far as one reads."""
    yield from made.notes[:MOST]
    if len(made.notes) > MOST:
        yield f"and {len(made.notes) - MOST} more"


def _beside(sliding: Any) -> Iterator[str]:
    yield (
        f"at {shown(sliding.input)}: {grouped(sliding.convolutional_macs)} MACs; the original slid over it in steps of "
        f"{shown(sliding.steps)} takes {shown(sliding.windows)} windows × {grouped(sliding.window_macs)} = "
        f"{grouped(sliding.sliding_macs)} MACs, {sliding.ratio:.1f} times as many"
    )
