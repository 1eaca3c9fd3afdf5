"""What fits, as a page."""

import textwrap
from typing import Any

from archcalc.algebra.units import grouped, iec
from archcalc.layers.layer import shown

NOT_IN = (
    "Compared is what the allocator hands out at the peak. The CUDA context, workspaces and fragmentation come on top: "
    "leave some hundred MiB free."
)


def text(fit: Any, width: int) -> str:
    """The answer, what fits at most, and the ways out."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in fit.inputs.items())
    task = f"training with {fit.choices.optimizer}" if fit.choices.training else "inference"
    lines = textwrap.wrap(f"{fit.model}: {inputs}, {fit.dtype}, {task}", width)
    verdict = ("fits" if not fit.notes else "may fit") if fit.fits else "does not fit"
    peak, room = fit.peak_bytes, fit.memory_bytes
    lines += ["", *textwrap.wrap(f"{verdict}: peak {grouped(peak)} B = {iec(peak)}, {fit.when}", width),
              f"memory: {grouped(room)} B = {iec(room)}"]  # fmt: skip
    batch = grouped(fit.largest_batch) if fit.largest_batch is not None else "none, not even one fits"
    lines.append(f"largest batch at this input: {batch}")
    if len(fit.inputs) == 1 and len(next(iter(fit.inputs.values()))) > 3:
        size = "x".join(map(str, fit.largest_input)) if fit.largest_input else "none"
        lines.append(f"largest input at this batch: {size}")
    for way in fit.ways:
        lines += ["", *_way(way, width)] if way is fit.ways[0] else _way(way, width)
    for note in fit.notes:
        lines += ["", *textwrap.wrap(f"partial: peaks are lower bounds, largest sizes upper bounds. {note}", width)]
    return "\n".join([*lines, "", *textwrap.wrap(NOT_IN, width)])


def _way(way: Any, width: int) -> list[str]:
    peak = "" if way.peak_bytes is None else f"{iec(way.peak_bytes)}, {'fits' if way.fits else 'does not fit'}"
    line = f"{way.name.ljust(15)}  {peak.ljust(23)}  {way.what}".rstrip()
    lines = (
        textwrap.wrap(line, width, subsequent_indent=" " * 42, drop_whitespace=True) if len(line) > width else [line]
    )
    return lines + [" " * 42 + part for part in textwrap.wrap(way.price, width - 42)]
