"""A network as a page on which every number follows the sizes that a reader chooses."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from archcalc.algebra.dtype import BITS, BYTEWISE
from archcalc.algebra.ops import CONVENTIONS
from archcalc.algebra.written import written
from archcalc.errors import UsageError
from archcalc.hardware.device import Device, devices
from archcalc.hardware.device import device as device_of
from archcalc.layers.unknown import Unknown
from archcalc.model.network import Network
from archcalc.model.report import composites, row_of
from archcalc.model.sizes import Sizes
from archcalc.questions import live_costs
from archcalc.questions.closed_form import shortest
from archcalc.questions.drawing import draw
from archcalc.questions.explain import fields_text
from archcalc.questions.live import COUNTS, Live
from archcalc.questions.live_field import fields
from archcalc.questions.live_words import Words
from archcalc.questions.memory import TRAINED
from archcalc.questions.optimizers import OPTIMIZERS
from archcalc.views import page as views

MOST = 20_000  # layers: beyond, a browser takes longer to open the page than a reader waits
USUAL = "nvidia-h100-sxm"


class Page(Struct, frozen=True, dict=True, eq=False):
    """A page for one model: `html` is the file, `data` what it holds."""

    live: Live
    report: Any  # at the model's own size
    dtype: str
    device: Device

    @cached_property
    def data(self) -> dict[str, Any]:
        """Everything on the page, as plain data; numbers are slots of the program."""
        return {**self.described(), **self.counted(), **self.choices()}

    def described(self) -> dict[str, Any]:
        """What the page is of."""
        live, report = self.live, self.report
        return {
            "tool": report.to_dict()["tool"],
            "model": live.model.name,
            "about": live.model.about,
            "status": report.status,
            "partial": report.status != "complete",
            "masked": report.masked,
            "notes": list(report.notes),
            "symbols": [{"name": s.name, "of": s.of, "value": live.values[s.name]} for s in live.symbols],
            "square": {"H", "W"} <= {symbol.name for symbol in live.symbols},
            "fixed": live.fixed,
            "inputs": [{"name": name, "shape": live.slots(shape)} for name, shape in live.shapes.items()],
            "formulas": self.formulas(),
        }

    def counted(self) -> dict[str, Any]:
        """Layers, and everything that is asked of them."""
        live, (answers, rows) = self.live, self.rows()
        return {
            "counts": list(COUNTS),
            "answers": answers,
            "rows": rows,
            "blocks": composites(live.uses),
            "refused": list(map(astuple, live.refused())),
            "memory": live_costs.in_cases(live_costs.memory, live_costs.KEPT, live),
            "phases": list(live_costs.PHASES),
            "kernels": live_costs.in_cases(live_costs.kernels, live_costs.MOVED, live),
            "fields": fields(live),
            "words": self.words(),
        }

    def choices(self) -> dict[str, Any]:
        """What a reader chooses from, and what is chosen to begin with."""
        return {
            "dtype": self.dtype,
            "device": self.device.id,
            "devices": live_costs.rates(self.devices),
            "dtypes": [[name, BITS[name] // 8] for name in BYTEWISE],
            "bytes": {name: bits // 8 for name, bits in BITS.items() if bits >= 8},
            "conventions": {c.name: [c.meaning, c.per_op, c.per_mac, c.per_exact_mac] for c in CONVENTIONS.values()},
            "trained": list(TRAINED),
            "optimizers": {name: list(numbers) for name, numbers in OPTIMIZERS.items()},
        }

    @property
    def devices(self) -> list[Device]:
        """Those to choose from: the table's, and one that is not of it."""
        known = devices()
        return [*known.values(), *([] if self.device.id in known else [self.device])]

    def rows(self) -> tuple[list[Any], list[Any]]:
        """Answers, [output, counts] in slots; and rows: [name, kind, fields, inputs, answer, dtype, unknown, owner]."""
        answers: list[Any] = []
        numbers: dict[str, int] = {}
        rows = []
        for use in self.live.uses:
            answer = [self.live.slots(use.answers.y), self.live.counts(use)]
            number = numbers.setdefault(str(answer), len(answers))
            if number == len(answers):
                answers.append(answer)
            unknown = int(isinstance(use.layer, Unknown))
            said = fields_text(use.layer)
            rows.append([use.name, use.kind, said, list(use.inputs), number, use.dtype, unknown, use.shared_with])
        return answers, rows

    def formulas(self) -> dict[str, str]:
        """What the whole model costs in its letters, as MathML."""
        rows = [row_of(use, self.dtype, CONVENTIONS["archcalc"]) for use in self.live.uses]
        sums = {"parameters": sum(row.params for row in rows), "MACs": sum(row.macs for row in rows)}
        return {title: written(shortest(total, {}), "mathml") for title, total in sums.items()}

    def words(self) -> dict[str, Any]:
        """Derivations."""
        words = Words(self.live)
        return {"templates": words.templates, "rows": words.rows}

    @cached_property
    def html(self) -> str:
        """The page as one file."""
        data = self.data  # it fills the program
        return views.page(data, self.live.program.source("compute"), self.drawing)

    @property
    def drawing(self) -> str:
        """The network's picture, or why there is none."""
        try:
            return draw(self.live.model, self.live.given, batch=self.live.batch).svg(live=True)
        except UsageError as error:
            return f"No drawing: {error.rule}."

    def __repr__(self) -> str:
        return f"<Page of {self.live.model.name}: write .html to a file>"


def page(
    model: Network, input: Sizes | Mapping[str, Sizes] | None = None, *, batch: int = 1, dtype: str = "float32",
    device: Device | str | None = None,
) -> Page:  # fmt: skip
    """The page of a model; see Model.page."""
    if dtype not in BYTEWISE:
        raise UsageError("--dtype", f"of a page must be one of {', '.join(BYTEWISE)}", dtype)
    if len(model.nodes) > MOST:
        rule = f"a page has at most {MOST:,} layers"
        raise UsageError("page", rule, f"{len(model.nodes):,}", way_out="archcalc report lists them all")
    live = Live(model, input, batch)
    report = model.report(live.given, batch=batch, dtype=dtype)
    return Page(live, report, dtype, device if isinstance(device, Device) else device_of(device or USUAL))
