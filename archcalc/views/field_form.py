"""A field in symbols for a notebook: its size, stride and start along each axis, in LaTeX."""

from typing import Any

from archcalc.algebra.written import written
from archcalc.views.formula import bracketed, stacked


def mathematics(form: Any) -> str:
    """A line each; axes stand between × signs."""
    lines = []
    for name in ("size", "stride", "start"):
        texts = [written(number, "latex") for number in getattr(form, name)]
        axes = texts if len(texts) == 1 else [bracketed(text) for text in texts]
        lines.append(rf"\text{{{name}}} = " + r" \times ".join(axes))
    return stacked(lines)
