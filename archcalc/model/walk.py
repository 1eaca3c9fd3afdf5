"""The one pass over a graph: shapes and every answer for each use of a layer, in whatever numbers the inputs are."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.num import LIMIT, is_symbolic, less, prod
from archcalc.algebra.ops import Ops
from archcalc.errors import LayerError, ModelError
from archcalc.layers.layer import Composite, Layer, Shape, Weight, kind_of, shown
from archcalc.layers.sized import Sized
from archcalc.model.graph import AXES, Graph, Node, check_arity


class Answers(Struct, frozen=True, gc=False):
    """What a layer says about inputs of some shapes; the same layer on the same shapes says the same."""

    kind: str
    y: Shape
    weights: dict[str, Weight]
    shapes: dict[str, Shape]  # of the weights
    params: int
    buffers: int
    macs: int
    macs_exact: int
    ops: Ops
    elements: int  # of the output


class Use(Struct, frozen=True, gc=False):
    """A node, or one part of a composite node, with its answers."""

    name: str
    kind: str
    layer: Layer
    inputs: tuple[str, ...]
    xs: tuple[Shape, ...]
    answers: Answers
    node: Node
    dtype: str | None  # of the output; None: the model's
    image: bool  # the output is channels before spatial axes
    shared_with: str | None = None
    shared: tuple[str, ...] = ()  # names of the tensors that the other node owns


def bounded(layer: Layer, y: Shape) -> Shape:
    """The shape, if its size is not absurd."""
    if len(y) > AXES:
        raise layer.error(f"an output must have at most {AXES} axes", f"{len(y)}")
    if any(not is_symbolic(size) and less(LIMIT, size) for size in y):
        raise layer.error("every axis of an output must stay below 10**18", "more")
    return y


def answer(layer: Layer, xs: tuple[Shape, ...]) -> Answers:
    """Ask a layer everything about inputs of these shapes."""
    return everything(layer, xs, bounded(layer, layer.out(*xs)))


def everything(layer: Layer, xs: tuple[Shape, ...], y: Shape) -> Answers:
    """All that a layer says, its output shape being known."""
    weights = layer.weights(*xs)
    return Answers(
        kind=kind_of(layer),
        y=y,
        weights=weights,
        shapes={name: weight.shape for name, weight in weights.items()},
        params=sum(prod(w.shape) for w in weights.values() if w.role == "trainable"),
        buffers=sum(prod(w.shape) for w in weights.values() if w.role == "buffer"),
        macs=layer.macs(xs, y),
        macs_exact=layer.macs_exact(xs, y),
        ops=layer.ops(xs, y),
        elements=prod(y),
    )


def outline(layer: Layer, xs: tuple[Shape, ...]) -> Answers:
    """The output shape alone, where the rest is not asked for."""
    y = bounded(layer, layer.out(*xs))
    return Answers(kind_of(layer), y, layer.weights(*xs), {}, 0, 0, 0, 0, Ops(), 0)


def walk(
    graph: Graph,
    shapes: Mapping[str, Shape],
    problems: list[ModelError] | None = None,
    ask: Callable[[Layer, tuple[Shape, ...]], Answers] = answer,
) -> list[Use]:
    """Every use of a layer in order, for inputs of these full shapes (with batch, channels first).

    The first layer that refuses its inputs raises ModelError with its place; given a list, all that refuse are
    collected there, and what depends on them is left out. `ask` says what is wanted of each layer.
    """
    for name, item in graph.inputs.items():
        if item.only or item.where:
            item.admit(name, shapes)
    walker = _Walker(graph, dict(shapes), ask)
    for node in graph.nodes:
        if problems is not None and not all(name in walker.shapes for name in node.inputs):
            continue
        try:
            walker.visit(node, node.name, node.layer, node.inputs, node.shared_with)
        except LayerError as error:
            seen = [shown(walker.shapes[name]) for name in node.inputs]
            place = str(node.place) if node.place else f'"{node.name}"'
            error.where = error.where or f"{place}, input {' and '.join(seen)}"
            if problems is None:
                raise
            problems.append(error)
    return walker.uses


class _Walker:
    """State of one walk: shapes and dtypes by name, and answers by (layer, input shapes)."""

    def __init__(
        self, graph: Graph, shapes: dict[str, Shape], answer: Callable[[Layer, tuple[Shape, ...]], Answers]
    ) -> None:
        self.inputs, self.shapes, self.answer = dict(shapes), shapes, answer
        self.dtypes = {name: item.dtype for name, item in graph.inputs.items()}
        self.images = {name: graph.reads_as_image(name) for name in graph.inputs}
        self.last_part: dict[str, str] = {}  # composite node -> the part whose output is its own
        self.known: dict[Any, Answers] = {}
        self.uses: list[Use] = []
        self.owners = {node.shared_with for node in graph.nodes if node.shared_with is not None}
        self.by_name: dict[str, Use] = {}  # uses whose tensors others use too

    def visit(self, node: Node, name: str, layer: Layer, inputs: tuple[str, ...], shared_with: str | None) -> None:
        if self.last_part:
            inputs = tuple([self.last_part.get(source, source) for source in inputs])
        xs = tuple([self.shapes[source] for source in inputs])
        if isinstance(layer, Sized):
            layer = layer.at(self.inputs)
        if isinstance(layer, Composite):
            self.visit_parts(node, name, layer, inputs, xs, shared_with)
            return
        answers = self.ask(layer, xs)
        if name in self.shapes:  # a part of a composite, and a node below its name
            raise layer.error("names must be unique", repr(name))
        self.shapes[name] = answers.y
        kept = layer.moves_data and inputs
        self.dtypes[name] = dtype = self.dtypes[inputs[0]] if kept else layer.makes
        self.images[name] = image = self.images[inputs[0]] if layer.image is None and inputs else layer.image is True
        kind = kind_of(node.layer) if isinstance(node.layer, Composite) and name == node.name else answers.kind
        use = Use(name, kind, layer, inputs, xs, answers, node, dtype, image)
        if shared_with is not None:
            use = self.tied(use, shared_with)
        if node.name in self.owners:
            self.by_name[name] = use
        self.uses.append(use)

    def ask(self, layer: Layer, xs: tuple[Shape, ...]) -> Answers:
        try:
            known = self.known.get((layer, xs))
            if known is None:
                known = self.known[layer, xs] = self.answer(layer, xs)
            return known
        except TypeError:  # arrays are not hashable
            return self.answer(layer, xs)

    def visit_parts(
        self, node: Node, name: str, layer: Composite, inputs: tuple[str, ...], xs: Any, shared_with: str | None
    ) -> None:
        last = name
        for part in layer.parts(*xs):
            sources = tuple(inputs[at] if isinstance(at, int) else f"{name}/{at}" for at in part.sources)
            last = f"{name}/{part.name}" if part.name else name
            owner = f"{shared_with}/{part.name}" if shared_with and part.name else shared_with
            check_arity(part.layer, len(sources), f'"{last}"')
            self.visit(node, last, part.layer, sources, owner)
        self.shapes[name] = self.shapes[last]
        if last != name:
            self.last_part[name] = last

    def tied(self, use: Use, owner: str) -> Use:
        """The use with the tensors marked that an earlier node owns."""
        if owner not in self.by_name:
            raise use.layer.error("shared_with must name an earlier layer with weights", repr(owner))
        theirs = self.by_name[owner].answers.weights
        common = tuple(name for name in use.answers.weights if name in theirs)
        for name in common:
            mine, other = use.answers.weights[name].shape, theirs[name].shape
            if mine != other:
                got = f"{name} {shown(mine)} here, {shown(other)} in {owner}"
                raise use.layer.error("a shared tensor must have one shape", got)
        if not common:
            raise use.layer.error("shared_with must name a layer that has a tensor of the same name", repr(owner))
        return replace(use, shared_with=owner, shared=common)
