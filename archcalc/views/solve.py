"""A solution for a notebook: the answer, what it costs and what the next candidate costs, and why nothing is larger."""

from typing import Any

from archcalc.algebra.units import grouped
from archcalc.views import notebook
from archcalc.views.table import Table


def html(solution: Any) -> str:
    """The answer and its certificate."""
    rows = tuple(
        (at, limit.quantity, grouped(value), f"{'keeps' if limit.holds(value) else 'breaks'} {limit}")
        for at, values in candidates(solution)
        for limit, value in zip(solution.constraints, values, strict=True)
    )
    page = Table((solution.maximised, "quantity", "counted", ""), (False, False, True, False), rows)
    return notebook.frame(
        notebook.heading(solution.model, {}, answer(solution)),
        notebook.table(page) if rows else "",
        notebook.paragraph(solution.reason),
    )


def answer(solution: Any) -> str:
    """The largest candidate, if there is one."""
    if solution.holds is None:
        return f"no {solution.maximised} keeps the limits"
    if solution.fails is None and not solution.proved:
        return f"no largest {solution.maximised} was found"
    return f"largest {solution.maximised}: {solution.answer}"


def candidates(solution: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The one that keeps every limit, and the next one: its sizes and what it costs."""
    found = (at for at in (solution.holds, solution.fails) if at is not None)
    return [("x".join(map(str, at.sizes.values())), at.values) for at in found]
