"""What a cross-check found, as data and as a page: formula, measurement and verdict; what was not checked, and why."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.ops import Ops
from archcalc.algebra.units import grouped
from archcalc.crosscheck import page
from archcalc.crosscheck.page import What
from archcalc.hardware.allocator import GRANULE
from archcalc.layers.layer import Shape, shown
from archcalc.views.table import Table


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
    def within(cls, layer: str, what: What, formula: int, measured: int, percent: int, note: str = "") -> "Check":
        """Formula and measurement, equal if they differ by so many hundredths, or an allocator's block, at most."""
        near = abs(formula - measured) <= max(GRANULE, percent * measured // 100)
        return cls(layer, what, formula, measured, "equal" if near else "differs", note)

    @classmethod
    def none(cls, layer: str, what: What, why: str) -> "Check":
        """A fact that could not be looked at."""
        return cls(layer, what, None, None, "unchecked", why)

    def __str__(self) -> str:
        at = f" ({self.note})" if self.note else ""
        return f"{self.layer}, {self.what}: formula {page.told(self.formula)}, measured {page.told(self.measured)}{at}"

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
    peaks: tuple[Check, ...] = ()  # bytes that are taken at once, at inference and in training
    cost: dict[str, Any] | None = None  # peak memory and time, on a device that tells them

    @property
    def all_checks(self) -> tuple[Check, ...]:
        """Of its layers, and of the whole."""
        return (*self.checks, self.whole, *self.peaks)

    def table(self) -> Table:
        """A row for each layer: what was measured, and the verdict over all its checks."""
        layers: dict[str, list[Check]] = {}
        for check in self.checks:
            layers.setdefault(check.layer, []).append(check)
        rows = [_row(layer, checks) for layer, checks in layers.items() if checks[0].what in ("output", "runs")]
        total = sum(check.measured or 0 for check in self.checks if check.what == "MACs")
        last = ("total", "", "", grouped(total), _bytes_cell(self.whole), page.verdict_of(self.all_checks))
        titles = ("layer", "output", "tensors", "MACs", "saved bytes", "verdict")
        return Table(titles, (False, False, True, True, True, False), tuple(rows), last)

    def to_dict(self) -> dict[str, Any]:
        """The run as plain data."""
        head = {"inputs": {name: list(shape) for name, shape in self.inputs.items()}}
        cost = {} if self.cost is None else {"cost": self.cost}
        return head | {"checks": [check.to_dict() for check in self.all_checks]} | cost


class Verification(Struct, frozen=True):
    """A model beside the real network, at one or more input sizes; `str(…)` is the page."""

    model: str
    environment: dict[str, str]
    runs: tuple[Run, ...]
    not_checked: tuple[str, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of all runs."""
        return tuple(check for run in self.runs for check in run.all_checks)

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

    def __repr__(self) -> str:
        return f"<Verification of {self.model}: {page.verdict_of(self.checks)}>"

    def _repr_html_(self) -> str:
        return page.html(self._parts(), self._closing())

    def text(self, width: int) -> str:
        """The page for a terminal of this width."""
        return page.text(self._parts(), self._closing(), width)

    def _parts(self) -> list[str | Table]:
        parts: list[str | Table] = []
        for run in self.runs:
            inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in run.inputs.items())
            parts += [f"{self.model}: {inputs}, formulas beside the real network", run.table()]
            parts += [page.told_cost(run.cost)] if run.cost else []
        return parts

    def _closing(self) -> list[tuple[str, str]]:
        lines = page.counts(page.tallied(self.checks))
        lines += [("differs", str(check)) for check in self.failures]
        lines += [("unchecked", text) for text in page.reasons(self.checks)]
        lines += [("partly", text) for text in page.reasons(self.checks, "equal")]
        return [*lines, ("with", ", ".join(self.environment.values())), *(("not", text) for text in self.not_checked)]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        head = {"schema_version": 1, "tool": f"archcalc {__version__}", "model": self.model}
        runs = [run.to_dict() for run in self.runs]
        return head | {"environment": self.environment, "runs": runs, "not_checked": list(self.not_checked)}


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
    return (layer, *cells, saved, page.verdict_of(checks))


def _bytes_cell(whole: Check) -> str:
    return grouped(whole.measured) if isinstance(whole.measured, int) else ""
