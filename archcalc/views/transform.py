"""What a transform did, as the remarks above the spec that it makes."""

from collections.abc import Iterator
from typing import Any

from archcalc.algebra.units import grouped
from archcalc.layers.layer import shown

MOST = 12  # notes of one kind


def remarks(made: Any, sliding: Any = None) -> list[str]:
    """Where it is equal, what it changes in numbers, and what else is to be known."""
    return [*_lines(made), *(_beside(sliding) if sliding is not None else ())]


def _lines(made: Any) -> Iterator[str]:
    equal = f"computes the same {made.equal}" if made.equal else "another network, not equal: to be trained anew"
    yield f"{made.before.name}, {made.name}: {equal}"
    before, after = (report.totals for report in made.reports)
    pairs = (
        (name, getattr(before, key), getattr(after, key)) for name, key in (("parameters", "params"), ("MACs", "macs"))
    )
    yield ", ".join(f"{name} {grouped(old)} → {grouped(new)}" for name, old, new in pairs)
    yield from made.notes[:MOST]
    if len(made.notes) > MOST:
        yield f"and {len(made.notes) - MOST} more"


def _beside(sliding: Any) -> Iterator[str]:
    yield (
        f"at {shown(sliding.input)}: {grouped(sliding.convolutional_macs)} MACs; the original slid over it in steps of "
        f"{shown(sliding.steps)} takes {shown(sliding.windows)} windows × {grouped(sliding.window_macs)} = "
        f"{grouped(sliding.sliding_macs)} MACs, {sliding.ratio:.1f} times as many"
    )
