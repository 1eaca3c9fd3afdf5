"""Wiring of a walked model, and the model with nodes replaced or taken out: the ground of all transforms."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.errors import ModelError
from archcalc.layers.layer import Layer, Shape
from archcalc.model.graph import Node
from archcalc.model.network import Network
from archcalc.model.report import Report
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.views import transform as views

Tensors = dict[str, dict[str, Any]]  # use → tensor of it → array
Carry = Callable[[Tensors], Tensors]


class Transform(Struct, frozen=True):
    """A model made of another: what was done, where both compute the same, and how weights are carried over."""

    name: str
    before: Network
    after: Network
    equal: str  # where the outputs are equal; empty: nowhere
    notes: tuple[str, ...]
    carry: Carry | None  # None: no weights can be carried over

    @property
    def reports(self) -> tuple[Report, Report]:
        """Both models at the size that this was made for, which is their own."""
        return self.before.report(), self.after.report()

    def weights(self, tensors: Tensors) -> Tensors:
        """The new model's arrays, by use and name, from the old one's; `archcalc.torch.carry` takes state dicts."""
        if self.carry is None:
            rule = "is another network: no weights of the old one make it equal"
            raise ModelError(self.name, rule, way_out="train it anew")
        return self.carry(tensors)

    def __str__(self) -> str:
        return "\n".join(views.remarks(self))

    def __repr__(self) -> str:
        return f"<Transform {self.name} of {self.before.name}>"

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """What was done and what it changes, as plain data."""
        totals = [
            {name: getattr(report.totals, name) for name in ("params", "buffers", "macs")} for report in self.reports
        ]
        return {
            "schema_version": 1,
            "transform": self.name,
            "model": self.before.name,
            "equal": self.equal,
            "before": totals[0],
            "after": totals[1],
            "notes": list(self.notes),
        }


class Wiring:
    """Who reads whom, and every shape, at one input size."""

    def __init__(self, model: Network, input: Sizes | Mapping[str, Sizes] | None = None) -> None:
        given = full_shapes(model.inputs, input, batch=1)
        if input is not None:
            sized = {name: replace(item, shape=given[name][1:]) for name, item in model.inputs.items()}
            model = replace(model, inputs=sized)
        self.model = model
        self.uses: list[Use] = model.walk(given)
        self.shapes: dict[str, Shape] = dict(given)
        for use in self.uses:
            self.shapes[use.name] = self.shapes[use.node.name] = use.answers.y
        self.nodes = {node.name: node for node in model.nodes}
        self.readers: dict[str, list[Node]] = {}
        for node in model.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self.tied = {node.shared_with for node in model.nodes} | {n.name for n in model.nodes if n.shared_with}

    def xs(self, node: Node) -> tuple[Shape, ...]:
        """Shapes of a node's inputs."""
        return tuple(self.shapes[name] for name in node.inputs)

    def alone(self, node: Node) -> bool:
        """Is its output read once, and by another layer only?"""
        return len(self.readers.get(node.name, ())) == 1 and node.name not in self.model.outputs

    def before(self, node: Node) -> Node | None:
        """The node that it reads; None for an input of the model, or where it reads several."""
        return self.nodes.get(node.inputs[0]) if len(node.inputs) == 1 else None

    def parts(self, node: Node) -> list[Use]:
        """The uses that a node is: itself, or the parts of a composite."""
        return [use for use in self.uses if use.node.name == node.name]


def rewired(model: Network, layers: Mapping[str, Layer], gone: Mapping[str, str]) -> Network:
    """The model with other layers for some nodes, and without others, whose readers read what they are mapped to."""

    def now(name: str) -> str:
        while name in gone:
            name = gone[name]
        return name

    nodes = [
        replace(node, layer=layers.get(node.name, node.layer), inputs=tuple(map(now, node.inputs)))
        for node in model.nodes
        if node.name not in gone
    ]
    return changed(model, nodes, [now(name) for name in model.outputs])


def changed(model: Network, nodes: Iterable[Node], outputs: Iterable[str]) -> Network:
    """The model with other nodes; what its author expected of it holds no more."""
    made: Network = replace(model, nodes=tuple(nodes), outputs=tuple(outputs), expect={}, reread=None)
    return made


def refusal(name: str, rule: str, got: str, node: Node | None = None, way_out: str = "") -> ModelError:
    """Why a transform does not apply, at the layer that prevents it."""
    where = "" if node is None else str(node.place) if node.place else f'"{node.name}"'
    return ModelError(name, rule, got, where=where, way_out=way_out)


def simple(numbers: Iterable[int]) -> int | tuple[int, ...]:
    """One number where all axes have the same."""
    values = tuple(numbers)
    return values[0] if len(set(values)) == 1 else values
