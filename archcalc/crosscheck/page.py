"""How findings are told: verdicts, counts with their oracles, reasons, values; as text and as HTML."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from archcalc.algebra.ops import Ops
from archcalc.algebra.units import grouped, iec
from archcalc.layers.layer import shown
from archcalc.views import notebook
from archcalc.views.table import Table

What = Literal["output", "tensors", "MACs", "exact MACs", "operations", "values", "saved", "peak", "every size", "runs"]
WHATS: dict[What, str] = {  # and the oracle that each is compared with
    "output": "shape of the real output",
    "tensors": "the real parameters and buffers, by name and shape",
    "MACs": "torch's counter, on the meta device",
    "exact MACs": "counting one by one",
    "operations": "counting one by one",
    "values": "the program that was counted computes what the real layer does",
    "saved": "tensors that automatic differentiation packs in training; in the total each storage once, no input",
    "peak": "most that the real tensors take at once: within 1 % at inference, 2 % in training",
    "every size": "what PyTorch derives for symbolic sizes",
    "runs": "PyTorch builds and runs it",
}


def verdict_of(checks: Iterable[Any]) -> str:
    """One word over several checks."""
    verdicts = Counter(check.verdict for check in checks)
    if verdicts["differs"]:
        return "DIFFERS"
    if not verdicts["equal"]:
        return "unchecked"
    return "equal" + (f", {verdicts['unchecked']} unchecked" if verdicts["unchecked"] else "")


def tallied(checks: Iterable[Any]) -> Counter[tuple[What, str]]:
    """How many checks there are of each sort with each verdict."""
    return Counter((check.what, check.verdict) for check in checks)


def counts(tally: Mapping[tuple[What, str], int]) -> list[tuple[str, str]]:
    """How many facts of each sort were compared, and with what."""
    lines: list[tuple[str, str]] = []
    for what, oracle in WHATS.items():
        found = {word: tally.get((what, word), 0) for word in ("equal", "differs", "unchecked")}
        if any(found.values()) and (what != "runs" or found["differs"]):
            numbers = [f"{number:,} {word}" for word, number in found.items() if number or word == "equal"]
            lines.append((what, f"{', '.join(numbers)}: {oracle}"))
    return lines


def reasons(checks: Iterable[Any], verdict: str = "unchecked") -> list[str]:
    """Each reason for which something is unchecked, or equal but for something, with how often and where first."""
    why: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check.verdict == verdict and (verdict == "unchecked" or (check.what == "every size" and check.note)):
            why.setdefault((check.what, check.note), []).append(check.layer)
    return [f"{what} of {layers[0]}{_others(layers)}: {note}" for (what, note), layers in why.items()]


def _others(layers: Sequence[str]) -> str:
    others = len(layers) - 1
    return f" and {others:,} other{'s' if others > 1 else ''}" if others else ""


def entries(lines: Iterable[tuple[str, str]], width: int) -> str:
    """Words with their texts, wrapped under each other."""
    return "\n".join(
        textwrap.fill(text, max(50, width), initial_indent=f"{word:12}", subsequent_indent=" " * 12)
        for word, text in lines
    )


def told(value: Any) -> str:
    """A value as a person writes it."""
    if isinstance(value, Ops):
        return ", ".join(f"{name} {getattr(value, name):,}" for name in Ops.__struct_fields__)
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(shape)}" for name, shape in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    if isinstance(value, tuple):
        return shown(value)
    return grouped(value) if isinstance(value, int) else str(value)


def told_cost(cost: Mapping[str, Any]) -> str:
    """What a device took, as lines."""
    lines: list[tuple[str, str]] = []
    said = cost.get("predicted", {})
    if "peak_bytes" in cost:
        peak = cost["peak_bytes"]
        lines.append(("peak", f"{grouped(peak)} B = {iec(peak)} allocated at most, in training"))
        if "peak_bytes" in said:
            formula = said["peak_bytes"]
            lines.append(("", f"{grouped(formula)} B by formula, {100 * (formula / peak - 1):+.2f} %"))
    for name in ("forward", "training"):
        if name in cost:
            seconds = {key: 1e3 * cost[name][f"{key}_s"] for key in ("median", "low", "high")}
            spread = f"{seconds['low']:.3f} to {seconds['high']:.3f} ms in {cost[name]['repeats']} repeats"
            lines.append((name, f"{seconds['median']:.3f} ms median, first to last decile {spread}"))
            lines += [("", beside(said[name], cost[name]["median_s"]))] if name in said else []
    if "failed" in cost:
        lines.append(("failed", cost["failed"]))
    return entries(lines, 80)


def beside(said: Mapping[str, float], measured: float) -> str:
    """The bound and the estimate as shares of a measured time; a bound that is beaten is wrong."""
    bound = said["bound_eager_s"] / measured
    beaten = " (beaten: this is a mistake, please report it)" if bound > 1 else ""
    expected = f", expected {said['estimate_s'] / measured:.2f} of it" if "estimate_s" in said else ""
    return f"at least {bound:.2f} of it by formula{beaten}{expected}"


def text(parts: Iterable[str | Table], lines: Iterable[tuple[str, str]], width: int) -> str:
    """Headings, tables and closing lines for a terminal of this width."""
    shown_parts = [
        part if isinstance(part, str) else (part if part.width <= width else part.narrowed(width)).text()
        for part in parts
    ]
    return "\n\n".join([*shown_parts, entries(lines, width)])


def html(parts: Iterable[str | Table], lines: Iterable[tuple[str, str]]) -> str:
    """The same for a notebook."""
    pieces = [_piece(part) if isinstance(part, str) else notebook.table(part) for part in parts]
    return notebook.frame(*pieces, notebook.entries(lines))


def _piece(part: str) -> str:
    return notebook.preformatted(part) if "\n" in part else notebook.paragraph(part)
