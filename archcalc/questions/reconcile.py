"""Why a counting tool prints another number: its figure, ours, and the difference as named lines that add up."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from archcalc import __version__
from archcalc.algebra.num import prod
from archcalc.layers.layer import Shape
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.views import reconcile as views

Quantity = Literal["macs", "flops", "params"]


class Part(Struct, frozen=True):
    """A term of what a tool counts for one use of a layer, under the name of its cause."""

    cause: str
    n: int
    instead: bool = False  # it stands for what we count; else it comes on top


class Refusal(Struct, frozen=True):
    """The tool does not get through a network with this layer."""

    why: str


Counted = Sequence[Part] | Refusal | None  # None: what it does with the layer is not known


class Figure(Struct, frozen=True):
    """A number that a tool prints, the quantity of ours that it is laid beside, and how it comes about."""

    quantity: Quantity
    says: str  # what the tool calls it
    count: Callable[[Use], Counted]


class Tool(Struct, frozen=True):
    """A counting tool: its name, the version whose rules these are, where they were read, and its figures."""

    name: str
    version: str
    source: str
    figures: tuple[Figure, ...]
    remarks: tuple[str, ...] = ()
    one_image: bool = False  # it makes its own input, a batch of 1


class Line(Struct, frozen=True):
    """One cause of a difference, over all uses of a kind."""

    kind: str
    cause: str
    uses: int
    difference: int


class Reconciled(Struct, frozen=True):
    """One figure of one tool beside ours; `ours` and the lines add up to `printed`."""

    tool: str
    version: str
    says: str
    quantity: Quantity
    ours: int
    printed: int | None  # None: the tool raises, and prints nothing
    lines: tuple[Line, ...]
    unknown: tuple[str, ...] = ()  # kinds of which it is not known what the tool makes of them
    refusal: str = ""

    @property
    def status(self) -> Literal["complete", "partial", "refused"]:
        """Partial: `printed` leaves out kinds of which nothing is known, and is a lower bound."""
        return "refused" if self.printed is None else "partial" if self.unknown else "complete"

    @property
    def difference(self) -> int | None:
        """The tool's figure − ours; None where it prints none."""
        return None if self.printed is None else self.printed - self.ours

    def to_dict(self) -> dict[str, Any]:
        """The figure as plain data."""
        lines = [{name: getattr(line, name) for name in line.__struct_fields__} for line in self.lines]
        names = ("tool", "version", "says", "quantity", "ours", "printed", "difference", "status", "refusal")
        return {**{name: getattr(self, name) for name in names}, "unknown": list(self.unknown), "lines": lines}


class Reconciliation(Struct, frozen=True):
    """What every tool prints for one model at one size, and why; `str()` is the page."""

    model: str
    inputs: dict[str, Shape]
    network: str  # whose figures these are, in words
    figures: tuple[Reconciled, ...]
    remarks: Mapping[str, Sequence[str]]  # of the tools that are asked

    @property
    def status(self) -> Literal["complete", "partial"]:
        """Complete: every figure is known, and every tool gets through."""
        return "complete" if all(figure.status == "complete" for figure in self.figures) else "partial"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "network": self.network,
            "status": self.status,
            "figures": [figure.to_dict() for figure in self.figures],
            "remarks": {tool: list(said) for tool, said in self.remarks.items()},
        }

    def __str__(self) -> str:
        return views.text(self, 80)

    def __repr__(self) -> str:
        return f"<Reconciliation of {self.model}: {len(self.figures)} figures, {self.status}>"

    def _repr_html_(self) -> str:
        return views.html(self)


def reconcile(
    model: Network,
    tools: Sequence[Tool],
    network: str,
    input: Sizes | Mapping[str, Sizes] | None = None,
    *,
    batch: int = 1,
) -> Reconciliation:
    """Lay the figures of these tools beside ours, MACs beside MACs, FLOPs beside 2 · MACs, parameters beside ours.

    Raises UsageError for a wrong size and ModelError where the shapes do not fit.
    """
    shapes = full_shapes(model.inputs, input, batch)
    uses = model.walk(shapes)
    alone = model.walk(full_shapes(model.inputs, input, 1)) if any(tool.one_image for tool in tools) else uses
    return Reconciliation(
        model=model.name,
        inputs=shapes,
        network=network,
        figures=tuple(
            of_figure(tool, figure, alone if tool.one_image else uses) for tool in tools for figure in tool.figures
        ),
        remarks={tool.name: tool.remarks for tool in tools if tool.remarks},
    )


def of_figure(tool: Tool, figure: Figure, uses: Sequence[Use]) -> Reconciled:
    """One figure of a tool over a walked model."""
    told = [(use, figure.count(use)) for use in uses]
    refusal = next((f"{use.kind} {use.name}: {said.why}" for use, said in told if isinstance(said, Refusal)), "")
    unknown = () if refusal else tuple(dict.fromkeys(use.kind for use, said in told if said is None))
    counted = sum(part.n for _, said in told if not isinstance(said, Refusal) for part in said or ())
    return Reconciled(
        tool=tool.name,
        version=tool.version,
        says=figure.says,
        quantity=figure.quantity,
        ours=sum(own(use, figure.quantity) for use in uses),
        printed=None if refusal else counted,
        lines=() if refusal else tuple(_lines(told, figure.quantity)),
        unknown=unknown,
        refusal=refusal,
    )


def own(use: Use, quantity: Quantity) -> int:
    """What we count for a use: a tied tensor in its first use, 2 FLOPs for a multiply–accumulate."""
    if quantity == "params":
        weights = use.answers.weights.items()
        return sum(prod(w.shape) for name, w in weights if w.role == "trainable" and name not in use.shared)
    return use.answers.macs * (2 if quantity == "flops" else 1)


def _lines(told: Sequence[tuple[Use, Counted]], quantity: Quantity) -> Iterator[Line]:
    """Differences summed by kind and cause, in the order of the model; causes that cancel to nothing are left out."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for use, said in told:
        for cause, difference in _differences(own(use, quantity), said):
            uses, total = sums.get((use.kind, cause), (0, 0))
            sums[use.kind, cause] = uses + 1, total + difference
    for (kind, cause), (uses, total) in sums.items():
        if total:
            yield Line(kind, cause, uses, total)


def _differences(ours: int, said: Counted) -> Iterator[tuple[str, int]]:
    """What each part of one use adds to ours, or takes from it."""
    if said is None or isinstance(said, Refusal):
        yield "not known, taken for 0", -ours
        return
    standing = [part for part in said if part.instead]
    if not standing:
        yield "not counted", -ours
    for part in standing:
        yield part.cause, part.n - ours
    yield from ((part.cause, part.n) for part in said if not part.instead)
