"""Does a model keep its promises: the numbers that its author expects, and budgets that its user sets."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from archcalc.algebra.units import grouped
from archcalc.errors import ModelError, nearest
from archcalc.layers.layer import shown
from archcalc.model.network import Network
from archcalc.model.report import Report
from archcalc.model.sizes import Sizes
from archcalc.questions.quantities import OPS

BUDGETS = ("params", "macs", "flops", "output_bytes", "weight_bytes")  # what can be limited


class Finding(Struct, frozen=True):
    """One comparison: what was compared, the wanted number (or limit), the counted one, and whether they agree."""

    what: str
    wanted: Any
    counted: Any
    holds: bool
    limit: bool = False

    def __str__(self) -> str:
        relation = ("at most" if self.limit else "expected") + f" {_text(self.wanted)}"
        return f"{'ok  ' if self.holds else 'FAIL'}  {self.what}: {relation}, counted {_text(self.counted)}"


def expectations(model: Network) -> list[Finding]:
    """Every number of the spec's `expect:`, at the spec's own size and at the sizes it names under `at`."""
    found = list(_compared(model, None, "", model.expect))
    for size, wanted in model.expect.get("at", {}).items():
        found += _compared(model, size, f"at {size}, ", wanted)
    return found


def budgets(
    model: Network, limits: Mapping[str, int], input: Sizes | Mapping[str, Sizes] | None = None, **kwargs: Any
) -> list[Finding]:
    """Totals at an input size against limits by name (see BUDGETS); an incomplete total can only fail."""
    report = model.report(input, **kwargs)
    size = ", ".join(f"{name} {shown(shape)}" for name, shape in report.inputs.items())
    found = []
    for name, limit in limits.items():
        counted = getattr(report.totals, name)
        holds = counted <= limit and report.status == "complete"
        found.append(Finding(f"{name} at {size}", limit, counted, holds, limit=True))
    return found


def _compared(model: Network, size: str | None, where: str, expect: Mapping[str, Any]) -> Iterator[Finding]:
    report = model.report(size)
    folded: dict[int, Report] = {}
    for name, wanted in expect.items():
        if name == "layers":
            for layer, inner in wanted.items():
                depth = layer.count("/") + 1
                if depth not in folded:
                    folded[depth] = model.report(size, depth=depth)
                yield from _compared_row(folded[depth], where, layer, inner)
        elif name == "output":
            counted = report.output
            yield Finding(f"{where}output", wanted, counted, wanted == counted)
        elif name != "at":
            yield _finding(f"{where}{name}", wanted, report.totals, name)


def _compared_row(report: Report, where: str, layer: str, expect: Mapping[str, Any]) -> Iterator[Finding]:
    """The row of a layer, or of a block, which is the sum of its layers."""
    row = next((row for row in report.rows if row.name == layer), None)
    if row is None:
        way_out = nearest(layer, [row.name for row in report.rows])
        raise ModelError("expect", "layers must name layers of the model", layer, way_out=way_out)
    for name, wanted in expect.items():
        yield _finding(f"{where}{layer}.{name}", wanted, row, name)


def _finding(what: str, wanted: Any, source: Any, name: str) -> Finding:
    counted = getattr(source.ops if name in OPS else source, name)
    return Finding(what, wanted, counted, wanted == counted)


def _text(value: Any) -> str:
    return grouped(value) if isinstance(value, int) else shown(value)
