"""Random configurations of every kind, each checked as a model of its own; what fails is made as small as it gets."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import hypothesis
import torch
from hypothesis import HealthCheck, Phase, Verbosity
from msgspec import Struct, field

from archcalc import __version__, layers
from archcalc.crosscheck import facts, page
from archcalc.crosscheck.bench import Bench
from archcalc.crosscheck.drawn import Case
from archcalc.crosscheck.page import What
from archcalc.crosscheck.result import Check
from archcalc.crosscheck.strategies import STRATEGIES, cases
from archcalc.crosscheck.verify import check_device, check_seed, environment_of, not_checked
from archcalc.crosscheck.world import untouched
from archcalc.dialects.spec_line import spec_of
from archcalc.errors import UsageError
from archcalc.layers.layer import KINDS, Kind, Layer, Shape
from archcalc.views.table import Table

SHARE: dict[type[Layer], int] = {  # kinds with many fields get more of the configurations
    layers.Conv: 16, layers.ConvTranspose: 16, layers.MaxPool: 16, layers.AvgPool: 16, layers.SeparableConv: 6,
    layers.DepthwiseConv: 6, layers.Resize: 6, layers.Activation: 1,
}  # fmt: skip
USUAL = 2
MOST_CASES = 1_000_000


class Mismatch(Exception):
    """A configuration in which a formula and a measurement differ."""


class Failure(Struct, frozen=True):
    """The smallest configuration that was found in which something differs, as a spec that can be pasted back."""

    spec: str
    batch: int
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        remark = f"# archcalc verify FILE{f' --batch {self.batch}' if self.batch > 1 else ''}"
        return "\n".join([remark, *(f"# {check}" for check in self.checks), self.spec])

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data."""
        return {"spec": self.spec, "batch": self.batch, "checks": [check.to_dict() for check in self.checks]}


class Found(Struct):
    """What was found of one kind."""

    kind: str
    cases: int = 0
    tally: Counter[tuple[What, str]] = field(default_factory=Counter)
    unchecked: tuple[Check, ...] = ()
    partly: tuple[Check, ...] = ()  # equal, but for what their notes say
    failure: Failure | None = None

    def add(self, checks: Sequence[Check]) -> None:
        """One more configuration in which nothing differs."""
        self.cases += 1
        self.tally.update(page.tallied(checks))
        self.unchecked += tuple(check for check in checks if check.verdict == "unchecked")
        self.partly += tuple(check for check in checks if check.verdict == "equal" and check.what == "every size")

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain data."""
        return {
            "kind": self.kind, "cases": self.cases,
            "counts": [{"what": what, "verdict": verdict, "number": n} for (what, verdict), n in self.tally.items()],
            "unchecked": page.reasons(self.unchecked), "partly": page.reasons(self.partly, "equal"),
            "failure": self.failure.to_dict() if self.failure else None,
        }  # fmt: skip


class KindsVerification(Struct, frozen=True):
    """Every kind beside the real network, over random configurations; `str(…)` is the page."""

    environment: dict[str, str]
    found: tuple[Found, ...]
    not_checked: tuple[str, ...]

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The smallest failing configuration of each kind that has one."""
        return tuple(found.failure for found in self.found if found.failure)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that could not be made."""
        return tuple(check for found in self.found for check in found.unchecked)

    @property
    def tally(self) -> Counter[tuple[What, str]]:
        """How many facts of each sort there are with each verdict."""
        return sum((found.tally for found in self.found), Counter[tuple[What, str]]())

    def __str__(self) -> str:
        return self.text(80)

    def __repr__(self) -> str:
        cases = sum(found.cases for found in self.found)
        return f"<KindsVerification: {len(self.found)} kinds, {cases:,} configurations, {len(self.failures)} fail>"

    def _repr_html_(self) -> str:
        return page.html([self.table(), *map(str, self.failures)], self._closing())

    def text(self, width: int) -> str:
        """The page for a terminal of this width."""
        return "\n\n".join([page.text([self.table()], self._closing(), width), *map(str, self.failures)])

    def _closing(self) -> list[tuple[str, str]]:
        lines = page.counts(self.tally)
        lines += [("unchecked", text) for text in page.reasons(self.unchecked)]
        lines += [("partly", text) for found in self.found for text in page.reasons(found.partly, "equal")]
        without = [found.kind for found in self.found if KINDS[found.kind].cls not in STRATEGIES]
        lines += [("example", f"no random configurations, only the example: {', '.join(without)}")] if without else []
        return [*lines, ("with", ", ".join(self.environment.values())), *(("not", text) for text in self.not_checked)]

    def table(self) -> Table:
        """A row for each kind: configurations, facts that were equal, facts that were not looked at, the verdict."""
        rows = tuple(_row(found.kind, found.cases, found.tally, found.failure is not None) for found in self.found)
        total = _row("total", sum(found.cases for found in self.found), self.tally, bool(self.failures))
        titles = ("kind", "configurations", "equal", "unchecked", "verdict")
        return Table(titles, (False, True, True, True, False), rows, total)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        head = {"schema_version": 1, "tool": f"archcalc {__version__}", "environment": self.environment}
        return head | {"kinds": [found.to_dict() for found in self.found], "not_checked": list(self.not_checked)}


def _row(kind: str, number: int, tally: Mapping[tuple[What, str], int], failed: bool) -> tuple[str, ...]:
    equal, unchecked = (sum(n for (_, v), n in tally.items() if v == verdict) for verdict in ("equal", "unchecked"))
    verdict = "DIFFERS" if failed else "equal" if equal else "unchecked"
    return (kind, f"{number:,}", f"{equal:,}", f"{unchecked:,}" if unchecked else "", verdict)


def verify_kinds(
    number: int = 1_000, *, device: str = "meta", seed: int = 0, shown: Callable[[], None] = lambda: None
) -> KindsVerification:
    """About `number` random configurations over all kinds, at least one of each, checked as `verify` checks a model.

    A kind whose formula and measurement differ is not looked at further; its smallest failing configuration is kept.
    """
    check_device(device)
    check_seed(seed)
    if not 1 <= number <= MOST_CASES:
        raise UsageError("--cases", f"must lie between 1 and {MOST_CASES:,}", f"{number}")
    shares = {name: SHARE.get(kind.cls, USUAL) for name, kind in KINDS.items()}
    with untouched(seed, device):
        found = tuple(
            verified(KINDS[name], max(1, round(number * share / sum(shares.values()))), device, seed, shown)
            for name, share in shares.items()
        )
        return KindsVerification(environment_of(device, seed), found, not_checked(device))


def verified(kind: Kind, number: int, device: str, seed: int, shown: Callable[[], None] = lambda: None) -> Found:
    """Random configurations of one kind, the first that fails made as small as it gets."""
    found = Found(kind.name)
    last: list[tuple[Case, list[Check]]] = []
    known: dict[Any, list[Check]] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
        verbosity=Verbosity.quiet, report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(cases(kind))
    def one(case: Case) -> None:
        torch.manual_seed(seed)  # the same configuration has the same numbers whenever it is looked at
        checks = list(checked(*case, device, known))
        wrong = [check for check in checks if check.verdict == "differs"]
        if wrong:
            last[:] = [(case, wrong)]
            raise Mismatch
        found.add(checks)
        shown()

    try:
        one()
    except Mismatch:
        (layer, xs), wrong = last[0]
        found.failure = Failure(spec_of(layer, xs, facts.dtypes_of(layer, xs)), xs[0][0] if xs else 1, tuple(wrong))
    return found


def checked(
    layer: Layer, xs: tuple[Shape, ...], device: str = "meta", known: dict[Any, list[Check]] | None = None
) -> Iterator[Check]:
    """Every check of one layer on inputs of these shapes; `known` is what was found of it on others."""
    graph, uses = facts.alone(layer, xs, facts.dtypes_of(layer, xs))
    bench = Bench(graph, uses, {f"x{number}": x for number, x in enumerate(xs, start=1)}, device, known)
    yield from bench.in_network()
    yield from bench.by_itself()
