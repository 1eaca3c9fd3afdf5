"""What a cross-check found, as data and as a page: formula, measurement and verdict; what was not checked, and why."""

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.ops import Ops
from archcalc.algebra.units import grouped, iec
from archcalc.layers.layer import Shape, shown
from archcalc.views.table import Table

What = Literal["output", "tensors", "MACs", "exact MACs", "operations", "values", "saved", "every size", "runs"]
WHATS: dict[What, str] = {  # and the oracle that each is compared with
    "output": "shape of the real output",
    "tensors": "the real parameters and buffers, by name and shape",
    "MACs": "torch's counter, on the meta device",
    "exact MACs": "counting one by one",
    "operations": "counting one by one",
    "values": "the program that was counted computes what the real layer does",
    "saved": "tensors that automatic differentiation packs in training; in the total each storage once, no input",
    "every size": "what PyTorch derives for symbolic sizes",
    "runs": "PyTorch builds and runs it",
}


class Check(Struct, frozen=True):
    """One fact about one layer: by formula, as measured, and whether they agree; where unchecked, why."""

    layer: str
    what: What
    formula: Any
    measured: Any
    verdict: Literal["equal", "differs", "unchecked"]
    note: str = ""  # why it is unchecked, or at which size it was looked at

    @classmethod
    def of(cls, layer: str, what: What, formula: Any, measured: Any, note: str = "") -> "Check":
        """Formula and measurement, compared."""
        return cls(layer, what, formula, measured, "equal" if formula == measured else "differs", note)

    @classmethod
    def none(cls, layer: str, what: What, why: str) -> "Check":
        """A fact that could not be looked at."""
        return cls(layer, what, None, None, "unchecked", why)

    def __str__(self) -> str:
        at = f" ({self.note})" if self.note else ""
        return f"{self.layer}, {self.what}: formula {told(self.formula)}, measured {told(self.measured)}{at}"

    def to_dict(self) -> dict[str, Any]:
        """The check as plain data."""
        return {
            "layer": self.layer, "what": self.what, "formula": _plain(self.formula),
            "measured": _plain(self.measured), "verdict": self.verdict, "note": self.note,
        }  # fmt: skip


class Run(Struct, frozen=True):
    """All checks of a model at one input size, and what its device took where that was measured."""

    inputs: dict[str, Shape]
    checks: tuple[Check, ...]
    whole: Check  # bytes that training keeps, each storage once
    cost: dict[str, Any] | None = None  # peak memory and time, on a device that tells them

    def table(self) -> Table:
        """A row for each layer: what was measured, and the verdict over all its checks."""
        layers: dict[str, list[Check]] = {}
        for check in self.checks:
            layers.setdefault(check.layer, []).append(check)
        rows = [_row(layer, checks) for layer, checks in layers.items() if checks[0].what in ("output", "runs")]
        total = sum(check.measured or 0 for check in self.checks if check.what == "MACs")
        last = ("total", "", "", grouped(total), _bytes_cell(self.whole), verdict_of([*self.checks, self.whole]))
        titles = ("layer", "output", "tensors", "MACs", "saved bytes", "verdict")
        return Table(titles, (False, False, True, True, True, False), tuple(rows), last)

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data."""
        head = {"inputs": {name: list(shape) for name, shape in self.inputs.items()}}
        cost = {} if self.cost is None else {"cost": self.cost}
        return head | {"checks": [check.to_dict() for check in (*self.checks, self.whole)]} | cost


class Verification(Struct, frozen=True):
    """A model beside the real network, at one or more input sizes; `str(…)` is the page."""

    model: str
    environment: dict[str, str]
    runs: tuple[Run, ...]
    not_checked: tuple[str, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of all runs."""
        return tuple(check for run in self.runs for check in (*run.checks, run.whole))

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks in which formula and measurement differ."""
        return tuple(check for check in self.checks if check.verdict == "differs")

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made."""
        return tuple(check for check in self.checks if check.verdict == "unchecked")

    def __str__(self) -> str:
        return self.text(80)

    def text(self, width: int) -> str:
        """The page for a terminal of this width."""
        parts = []
        for run in self.runs:
            inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in run.inputs.items())
            table = run.table()
            parts += [f"{self.model}: {inputs}, formulas beside the real network"]
            parts += [(table if table.width <= width else table.narrowed(width)).text()]
            if run.cost:
                parts += ["\n".join(f"{name:9}{value}" for name, value in told_cost(run.cost).items())]
        closing = counts(tallied(self.checks))
        closing += [("differs", str(check)) for check in self.failures]
        closing += [("unchecked", text) for text in reasons(self.checks)]
        closing += [("partly", text) for text in reasons(self.checks, "equal")]
        closing += [("with", ", ".join(self.environment.values())), *(("not", text) for text in self.not_checked)]
        return "\n\n".join([*parts, entries(closing, width)])

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        head = {"schema_version": 1, "tool": f"archcalc {__version__}", "model": self.model}
        runs = [run.to_dict() for run in self.runs]
        return head | {"environment": self.environment, "runs": runs, "not_checked": list(self.not_checked)}


def verdict_of(checks: Sequence[Check]) -> str:
    """One word over several checks."""
    verdicts = Counter(check.verdict for check in checks)
    if verdicts["differs"]:
        return "DIFFERS"
    if not verdicts["equal"]:
        return "unchecked"
    return "equal" + (f", {verdicts['unchecked']} unchecked" if verdicts["unchecked"] else "")


def tallied(checks: Iterable[Check]) -> Counter[tuple[What, str]]:
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


def reasons(checks: Iterable[Check], verdict: str = "unchecked") -> list[str]:
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


def told_cost(cost: Mapping[str, Any]) -> dict[str, str]:
    """What a device took, as lines."""
    lines = {"peak": f"{grouped(cost['peak_bytes'])} B = {iec(cost['peak_bytes'])} allocated at most"}
    for name in ("forward", "training"):
        if name in cost:
            seconds = cost[name]
            spread = f"{1e3 * seconds['low_s']:.3f} to {1e3 * seconds['high_s']:.3f} ms, {seconds['repeats']} repeats"
            lines[name] = f"{1e3 * seconds['median_s']:.3f} ms median, {spread}"
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, Ops):
        return to_builtins(value)
    if isinstance(value, dict):
        return {name: list(shape) for name, shape in value.items()}
    if isinstance(value, list):
        return [kept._asdict() for kept in value]
    return list(value) if isinstance(value, tuple) else value


def _row(layer: str, checks: Sequence[Check]) -> tuple[str, ...]:
    by_what = {check.what: check.measured for check in checks}

    def cell(what: What, text: Any) -> str:
        measured = by_what.get(what)
        return "" if measured is None or isinstance(measured, str) else text(measured)

    cells = [cell("output", shown), cell("tensors", lambda tensors: str(len(tensors) or "")), cell("MACs", grouped)]
    saved = cell("saved", lambda kept: grouped(sum(tensor.bytes for tensor in kept)) if kept else "")
    return (layer, *cells, saved, verdict_of(checks))


def _bytes_cell(whole: Check) -> str:
    return "" if whole.measured is None else grouped(whole.measured)
