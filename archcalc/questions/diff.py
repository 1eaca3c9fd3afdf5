"""What differs between two reports: conditions, rows matched by name, totals; from what to what, and by how much."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Literal

from msgspec import Struct

from archcalc import __version__
from archcalc.layers.unknown import Unknown
from archcalc.model.report import Report, Row, Totals
from archcalc.questions.quantities import OPS
from archcalc.views import diff as views

State = Literal["unchanged", "changed", "only in A", "only in B"]
WORDS = ("kind", "inputs", "output", "weights", "shared_with")  # what a row says beside its numbers
COUNTED = ("params", "trainable_params", "buffers", "macs", "macs_exact", *OPS, "flops")
NUMBERS = (*COUNTED, "output_bytes")


class Change(Struct, frozen=True):
    """One quantity in A and in B; None where a side does not have it, or did not count it.

    >>> Change("macs", 200, 512).difference, Change("macs", 200, 512).ratio
    (312, Fraction(64, 25))
    """

    what: str
    before: Any
    after: Any

    @property
    def changed(self) -> bool:
        """Are the two unequal?"""
        return bool(self.before != self.after)

    @property
    def difference(self) -> int | None:
        """B − A; None where these are not two numbers."""
        return self.after - self.before if self._numbers else None

    @property
    def ratio(self) -> Fraction | None:
        """B / A, exactly; None where these are not two numbers, or A is 0."""
        return Fraction(self.after, self.before) if self._numbers and self.before else None

    def to_dict(self) -> dict[str, Any]:
        """The change as plain data; the ratio as numerator and denominator."""
        data = {"what": self.what, "before": _plain(self.before), "after": _plain(self.after)}
        if self._numbers:
            data["difference"] = self.difference
            data["ratio"] = list(self.ratio.as_integer_ratio()) if self.ratio is not None else None
        return data

    @property
    def _numbers(self) -> bool:
        return type(self.before) is int and type(self.after) is int


class RowDifference(Struct, frozen=True):
    """The rows of one name: what became of them, and which of their quantities changed."""

    name: str
    state: State
    before: Row | None
    after: Row | None
    changes: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The pair as plain data: changes of a changed row, all of a row that only one side has."""
        data: dict[str, Any] = {"name": self.name, "state": self.state}
        row = self.after if self.before is None else self.before if self.after is None else None
        if row is not None:
            return data | {"row": row.to_dict()}
        return data | {"changes": [change.to_dict() for change in self.changes]}


class Difference(Struct, frozen=True):
    """Everything that differs between report A and report B; `str(difference)` is a page for 80 columns."""

    before: Report
    after: Report
    conditions: tuple[Change, ...]  # what the reports were asked for that differs
    rows: tuple[RowDifference, ...]  # all of them: in the order of A, then those that only B has
    outputs: Change
    totals: tuple[Change, ...]  # all of them, changed or not
    not_compared: tuple[str, ...] = ()  # quantities that mean different things in A and in B

    @property
    def same(self) -> bool:
        """Is nothing different: no condition, no row, no output, no total?"""
        return not self.conditions and self.costs_same

    @property
    def costs_same(self) -> bool:
        """Is no row, no output and no total different, whatever the conditions?"""
        rows = all(row.state == "unchanged" for row in self.rows)
        return rows and not self.outputs.changed and not any(total.changed for total in self.totals)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        states = [row.state for row in self.rows]
        counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        return f"<Difference of {self.before.model} and {self.after.model}: {counts} rows>"

    def _repr_html_(self) -> str:
        return views.html(self)

    def text(self, width: int = 80) -> str:
        """The page for a terminal of this width."""
        return views.text(self, width)

    def markdown(self) -> str:
        """The page in Markdown."""
        return views.markdown(self)

    def to_dict(self) -> dict[str, Any]:
        """The difference as plain data: integers exact, shapes channels first; of unchanged rows only their number."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "same": self.same,
            "before": _side(self.before),
            "after": _side(self.after),
            "conditions": [change.to_dict() for change in self.conditions],
            "not_compared": list(self.not_compared),
            "unchanged_rows": sum(row.state == "unchanged" for row in self.rows),
            "rows": [row.to_dict() for row in self.rows if row.state != "unchanged"],
            "outputs": self.outputs.to_dict(),
            "totals": [change.to_dict() for change in self.totals],
        }


def compare(
    before: Report, after: Report, settings: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})
) -> Difference:
    """What differs from A (before) to B (after), rows matched by name: fold both to the same depth first.

    `settings` are the hyperparameters of both models: those that both have and that differ are named as conditions.
    FLOPs under two conventions are two quantities: they are not compared.
    """
    not_compared = ("flops",) if before.convention != after.convention else ()
    return Difference(
        before=before,
        after=after,
        conditions=tuple(_conditions(before, after, settings)),
        rows=tuple(_rows(before, after, not_compared)),
        outputs=Change("outputs", before.outputs, after.outputs),
        totals=tuple(_totals(before.totals, after.totals, not_compared)),
        not_compared=not_compared,
    )


def _conditions(
    before: Report, after: Report, settings: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> Iterator[Change]:
    asked = [
        Change(f"set {name}", value, settings[1][name]) for name, value in settings[0].items() if name in settings[1]
    ]
    names = dict.fromkeys([*before.inputs, *after.inputs])
    given = [Change(f"input {name}", before.inputs.get(name), after.inputs.get(name)) for name in names]
    others = [Change(name, getattr(before, name), getattr(after, name)) for name in ("dtype", "convention", "status")]
    yield from (change for change in [*asked, *given, *others] if change.changed)


def _rows(before: Report, after: Report, not_compared: tuple[str, ...]) -> Iterator[RowDifference]:
    mine, theirs = ({row.name: row for row in report.rows} for report in (before, after))
    for name in dict.fromkeys([*mine, *theirs]):
        a, b = mine.get(name), theirs.get(name)
        if a is None or b is None:
            yield RowDifference(name, "only in A" if b is None else "only in B", a, b)
        else:
            changes = tuple(_changes(a, b, not_compared))
            yield RowDifference(name, "changed" if changes else "unchanged", a, b, changes)


def _changes(a: Row, b: Row, not_compared: tuple[str, ...]) -> Iterator[Change]:
    for name in (*WORDS, *NUMBERS):
        change = Change(name, quantity(a, name), quantity(b, name))
        if change.changed and name not in not_compared:
            yield change


def quantity(row: Row | Totals, name: str) -> Any:
    """One quantity of a row or a total; None where the row is of an operator that was not counted."""
    if isinstance(row, Row) and row.kind == Unknown.__name__ and name in COUNTED:
        return None
    return getattr(row.ops if name in OPS else row, name)


def _totals(a: Totals, b: Totals, not_compared: tuple[str, ...]) -> Iterator[Change]:
    for name in (*NUMBERS, "weight_bytes", "buffer_bytes"):
        if name not in not_compared:
            yield Change(name, quantity(a, name), quantity(b, name))


def _side(report: Report) -> dict[str, Any]:
    """What one report is of."""
    data = report.to_dict()
    return {name: data[name] for name in ("model", "inputs", "dtype", "convention", "status", "notes")}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: list(shape) for name, shape in value.items()}
    return list(value) if isinstance(value, tuple) else value
