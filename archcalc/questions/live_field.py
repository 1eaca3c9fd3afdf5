"""What cells see, for every size at once: size, stride and start of each layer's receptive field in slots."""

from collections.abc import Sequence
from typing import Any

from archcalc.algebra.num import is_symbolic
from archcalc.algebra.symbolic import normal
from archcalc.questions.field import Row, Tracer, places_of
from archcalc.questions.live import Live


def fields(live: Live) -> list[list[list[Any]] | None]:
    """For each layer [input, axis, size, stride, start, whole] of every axis of the inputs, its numbers in slots.

    None where a layer does not say what it sees, or does so for a size at a time. A stride of None: branches differ.
    """
    places = {name: places_of(live.graph, name, shape) for name, shape in live.shapes.items()}
    tracer, found = Tracer((), live.shapes, places), list[list[list[Any]] | None]()
    for use in live.uses:
        try:
            tracer.sources[use.name] = use.inputs
            tracer.crooked[use.name] = tracer.visit(use)
            row = tracer.row(use)
            found.append(told(live, row, places))
        except (KeyError, TypeError, ValueError):  # a letter where a number is needed, here or before
            tracer.trails.pop(use.name, None)
            found.append(None)
    return found


def told(live: Live, row: Row, places: dict[str, tuple[int, ...]]) -> list[list[Any]]:
    """The extents of a layer."""
    return [
        [name, axis, *slots(live, (extent.size, extent.stride, extent.start)), extent.whole]
        for name, extents in row.extents.items()
        for axis, extent in zip(places[name], extents, strict=True)
    ]


def slots(live: Live, numbers: Sequence[Any]) -> list[Any]:
    """Slots of whole numbers; other numbers, as text."""
    return [number_of(live, n) for n in numbers]


def number_of(live: Live, n: Any) -> Any:
    """A slot; a fraction as the pair of numerator and denominator; None for what is not known."""
    if n is None:
        return None
    if isinstance(n, int) or (is_symbolic(n) and n.is_integer):
        return live.program.slot(normal(n) if is_symbolic(n) else n)
    return None if is_symbolic(n) else f"{n.numerator}/{n.denominator}"
