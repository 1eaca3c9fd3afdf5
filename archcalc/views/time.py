"""Times as a page: bounds, the estimate and what it is made of, the layers that take most, and the roofline."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.algebra.units import grouped, si
from archcalc.errors import UsageError
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.drawing import check_file, save
from archcalc.views.table import Table, csv_text

SHOWN = 12  # layers of the page, those that take most
WHY = {
    "compute_s": "arithmetic, at the peak rate",
    "memory_s": "memory traffic, at the full bandwidth",
    "quantisation_s": "whole tiles and whole waves",
    "efficiency_s": "rates that are reached, below both peaks",
    "launch_s": "launches, gaps, waiting for the host",
}
REASONS = "Why practice is slower than theory; the parts of the estimate"
MODES = {
    "torch": "as PyTorch does by default: convolutions in TF32 where the device has it, matrices in IEEE",
    "ieee": "in IEEE arithmetic",
    "tf32": "in TF32 where the device has it",
}
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


def seconds(t: float) -> str:
    """A time to four significant digits.

    >>> seconds(0.0035234608), seconds(0.0)
    ('3.523 ms', '0 s')
    """
    if t == 0:
        return "0 s"
    unit, name = next(((unit, name) for unit, name in UNITS if t >= unit * 0.99995), UNITS[-1])
    value = t / unit
    return f"{value:.{max(0, 3 - len(str(int(value))) + 1)}f} {name}" if value < 10**4 else f"{value:,.0f} {name}"


def text(timing: Any, width: int) -> str:
    """The page for a terminal."""
    blocks = [heading(timing, width), bounds(timing)]
    if "estimate_s" in timing.totals:
        blocks += [why(timing), layers(timing, width)]
    return "\n\n".join([*blocks, "\n".join(closing(timing, width))])


def heading(timing: Any, width: int) -> str:
    """What runs where."""
    inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in timing.inputs.items())
    line = f"{timing.model} on {timing.device.name}: {inputs}, {timing.dtype}, {task(timing)}"
    return "\n".join(textwrap.wrap(line, width))


def task(timing: Any) -> str:
    """Which passes run."""
    return "forward and backward" if timing.training else "forward"


def bounds(timing: Any) -> str:
    """The times that nothing beats, then the one that is expected."""
    named = times(timing)
    long = max(len(name) for name, _, _ in named)
    room = 9 if timing.device.bandwidth is not None else 0
    return "\n".join(f"{name.ljust(long)}  {t:>{room}}  {note}".rstrip() for name, t, note in named)


def times(timing: Any) -> list[tuple[str, str, str]]:
    """What is timed, the time, and what to bear in mind."""
    totals = timing.totals
    if timing.device.bandwidth is None:
        rate = si(int(next(iter(timing.rates.values()))))
        counted = f"two operations for each multiply–accumulate at {rate}FLOP/s"
        halved = "if only multiplications are counted"
        return [("at least", seconds(timing.plain_s), counted), ("", seconds(timing.plain_s / 2), halved)]
    kind = "calibrated" if timing.calibrated else "uncalibrated"
    return [
        ("at least, however it is executed", seconds(totals["bound_s"]), ""),
        ("at least, kernel by kernel", seconds(totals["bound_eager_s"]), ""),
        ("  with direct sums only", seconds(totals["bound_direct_s"]), "Winograd and FFT may beat this"),
        (f"expected: an estimate, {kind}", seconds(totals["estimate_s"]), ""),
    ]


def why(timing: Any) -> str:
    """What the estimate is made of."""
    long = max(map(len, WHY.values()))
    lines = [f"  {name.ljust(long)}  {t:>9}  {share:>7}" for name, t, share in reasons(timing)]
    return "\n".join([f"{REASONS}:", *lines])


def reasons(timing: Any) -> list[tuple[str, str, str]]:
    """Each part of the estimate, its time and its share."""
    totals = timing.totals
    whole = totals["estimate_s"] or 1.0
    return [(name, seconds(totals[key]), f"{100 * totals[key] / whole:.1f} %") for key, name in WHY.items()]


def layers(timing: Any, width: int) -> str:
    """The layers that take most."""
    page, rest = slowest(timing)
    return "\n".join([page.text() if page.width <= width else page.narrowed(width).text(), *rest])


def slowest(timing: Any) -> tuple[Table, list[str]]:
    """The layers that take most as a table, and in words what the others take."""
    order = sorted(timing.rows, key=lambda row: -row.estimate_s)
    rows = [row for row in order if row.kernels][:SHOWN]
    rest = order[len(rows) :]
    said = f"and {len(rest)} more, {seconds(sum(row.estimate_s for row in rest))} together"
    return table(rows, timing), [said] if rest else []


def html(timing: Any) -> str:
    """The page for a notebook."""
    shapes = {name: shown(shape) for name, shape in timing.inputs.items()}
    numeric = (False, True, False)
    parts = [
        notebook.heading(timing.model, shapes, timing.dtype, task(timing), f"on {timing.device.name}"),
        notebook.table(Table(("", "time", ""), numeric, tuple(times(timing)))),
    ]
    if "estimate_s" in timing.totals:
        page, rest = slowest(timing)
        made_of = Table(("", "time", "share"), (False, True, True), tuple(reasons(timing)))
        parts += [notebook.paragraph(f"{REASONS}:"), notebook.table(made_of), notebook.table(page)]
        parts += map(notebook.paragraph, rest)
    return notebook.frame(*parts, notebook.paragraphs(closing(timing, 10**6)))


def table(rows: Sequence[Any], timing: Any) -> Table:
    """Layers as a table."""
    cells = tuple(
        (
            row.name, str(row.kernels), seconds(row.bound_s), seconds(row.estimate_s),
            f"{100 * row.estimate_s / (timing.totals['estimate_s'] or 1):.1f} %", row.limit,
            f"{row.intensity:.1f}" if row.macs_exact else "",
        )
        for row in rows
    )  # fmt: skip
    titles = ("layer", "kernels", "at least", "expected", "share", "limit", "FLOP/B")
    return Table(titles, (False, True, True, True, True, False, True), cells)


def closing(timing: Any, width: int) -> Iterator[str]:
    """What the figures rest on."""
    device = timing.device
    if device.bandwidth is None:
        yield from textwrap.wrap("Assumes nothing but the rate: no memory traffic, no launches.", width)
    else:
        yield from textwrap.wrap(f"Assumes {'; '.join(rests_on(timing))}.", width)
    if timing.energy_j is not None:
        low, high = timing.energy_j
        yield f"Energy, a rough estimate from published figures: {low:.3g} to {high:.3g} J"
    yield f"Status: {timing.status}"
    for note in timing.notes:
        yield from textwrap.wrap(f"Note: {note}", width, subsequent_indent="  ")


def rests_on(timing: Any) -> list[str]:
    """Rates, ridge and conditions in words."""
    device = timing.device
    rates = ", ".join(f"{name} {si(int(rate))}FLOP/s" for name, rate in timing.rates.items())
    ridges = ", ".join(f"{name} {rate / device.bandwidth:.1f}" for name, rate in timing.rates.items())
    said = [f"dense peak rates: {rates}"]
    said.append(f"{grouped(round(device.bandwidth / 1e9))} GB/s; compute-bound above (FLOP per byte): {ridges}")
    if timing.dtype == "float32":
        said.append(f"float32 is multiplied {MODES[timing.math_mode]}")
    fitted = ", ".join(timing.calibrated)
    kind = f"calibrated for {fitted}" if fitted else "by default numbers, not calibrated"
    said.append(f"eager PyTorch, one stream, nothing else on the device; the estimate is {kind}")
    return said + (["no optimizer step"] if timing.training else [])


def csv(timing: Any) -> str:
    """Every layer as comma-separated values, seconds."""
    names = [*timing.rows[0].__struct_fields__, "intensity"] if timing.rows else ["name"]
    return csv_text(names, [[getattr(row, name) for name in names] for row in timing.rows])


def check_plot(timing: Any) -> None:
    """A roofline needs a slope."""
    if timing.device.bandwidth is None:
        raise UsageError("--plot", "needs a device whose bandwidth is known", timing.device.id)


def plot(timing: Any, path: str) -> None:
    """The roofline: what is reached over FLOP per byte, each layer a point with its name, equal ones together."""
    check_file(path)
    check_plot(timing)
    from matplotlib import pyplot

    points: dict[tuple[float, float], list[str]] = {}
    for row in timing.rows:
        if row.macs_exact and row.estimate_s:
            place = (row.intensity, 2 * row.macs_exact / row.estimate_s)
            points.setdefault(place, []).append(row.name)
    figure, panel = pyplot.subplots(figsize=(10, 6.5), layout="constrained")
    width = timing.device.bandwidth
    low = min((place[0] for place in points), default=1.0) / 3
    high = 3 * max([*(place[0] for place in points), *(rate / width for rate in timing.rates.values())])
    for name, rate in timing.rates.items():
        panel.plot([low, rate / width, high], [low * width, rate, rate], color="black", linewidth=1)
        panel.text(high, rate, f"{name} {si(int(rate))}FLOP/s", ha="right", va="bottom", fontsize="small")
    panel.text(low * 1.1, low * width * 1.5, f"{width / 1e9:,.0f} GB/s", fontsize="small", rotation=35)
    for number, ((intensity, reached), names) in enumerate(points.items(), start=1):
        panel.plot(intensity, reached, "o", markersize=4, color="tab:blue", alpha=0.7)
        panel.annotate(str(number), (intensity, reached), xytext=(2, 2), textcoords="offset points", fontsize=6)
        more = f" and {len(names) - 1} like it" if len(names) > 1 else ""
        panel.plot([], [], " ", label=f"{number}  {names[0]}{more}")
    figure.legend(loc="outside right upper", fontsize=5.5, handlelength=0, frameon=False)
    panel.set(xscale="log", yscale="log", xlabel="FLOP per byte", ylabel="FLOP/s", xlim=(low, high))
    panel.set_title(
        "\n".join([heading(timing, 200), "points: the estimate; lines: what the device can do"]), fontsize="small"
    )
    panel.grid(visible=True, which="major", alpha=0.3)
    save(figure, path)
