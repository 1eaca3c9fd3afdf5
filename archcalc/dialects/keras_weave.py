"""Nodes of a model that is read from Keras: each tensor in our order of axes or in Keras', turned where need be."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.dialects.keras_config import Config
from archcalc.errors import LayerError, ModelError
from archcalc.layers import Permute, Reshape, Unknown
from archcalc.layers.layer import Composite, Layer, Shape, shown
from archcalc.model.graph import Input, Node, check_arity
from archcalc.model.walk import bounded

NODES = 100_000  # of one model: nested models may be called again and again
ODD = re.compile(r"[^A-Za-z0-9_.-]", re.ASCII)
Sizes = tuple[int | None, ...]  # as Keras writes a shape, without the batch


class Value(Struct, frozen=True):
    """A tensor: the node that makes it, and its shape with a batch of 1."""

    node: str
    shape: Shape
    first: bool = False  # channels stand first where Keras has them last; else the axes are in Keras' order
    known: bool = True  # is anything known of its shape but the batch?

    @property
    def rank(self) -> int:
        """Axes, with the batch."""
        return len(self.shape)

    @property
    def sizes(self) -> Shape:
        """Sizes in Keras' order, without the batch."""
        return (*self.shape[2:], self.shape[1]) if self.first else self.shape[1:]


class Weave:
    """The nodes so far. Every method that adds one returns the tensor that it makes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.inputs: dict[str, Input] = {}
        self.nodes: list[Node] = []
        self.taken: set[str] = set()
        self.turned: dict[Value, Value] = {}  # the same tensor in the other order
        self.owners: dict[Any, str] = {}  # (Keras layer, part) -> the node that owns its tensors
        self.remarks: list[str] = []
        self.noted: set[str] = set()
        self.operations: set[str] = set()  # nodes that go if nothing reads them: what they make was left out

    def note_once(self, about: str, remark: str) -> None:
        """A remark, if it is the first of its kind."""
        if about not in self.noted:
            self.noted.add(about)
            self.remarks.append(remark)

    def fresh(self, name: str) -> str:
        """A name like this one that no node has, of letters that a spec takes."""
        name = "/".join(clean(part) for part in name.split("/"))
        made, number = name, 1
        while made in self.taken:
            number += 1
            made = f"{name}_{number}"
        self.taken.add(made)
        return made

    def input(self, name: str, item: Input) -> Value:
        """An input of the model."""
        name = self.fresh(name)
        self.inputs[name] = item
        return Value(name, (1, *item.shape), first=item.channels_last)

    def put(self, name: str, layer: Layer, values: Sequence[Value], first: bool, **node: Any) -> Value:
        """One use of a layer."""
        if len(self.nodes) >= NODES:
            raise ModelError("Keras", f"a model must have at most {NODES:,} layers, all calls written out", "more")
        where = f'"{name}" in {self.file}'
        check_arity(layer, len(values), where)
        try:
            shape = shape_of(layer, tuple(value.shape for value in values))
        except LayerError as error:
            read = " and ".join(shown(value.shape) for value in values)
            error.where = error.where or f"{where}, input {read}"
            raise
        made = self.fresh(name)
        self.nodes.append(Node(made, layer, tuple(value.node for value in values), **node))
        return Value(made, shape, first=first and len(shape) > 2)

    def channels_first(self, value: Value) -> Value:
        """The tensor with its last axis, in Keras' order, as axis 1."""
        if value.first or value.rank < 3:
            return value
        *axes, channels = value.shape[1:]
        if all(size == 1 for size in axes):  # the values stand in the same order both ways
            return self._turned(value, Reshape(shape=(channels, *axes)), "channels_first", first=True)
        return self._turned(value, Permute(order=to_first(value.rank)), "channels_first", first=True)

    def as_written(self, value: Value) -> Value:
        """The tensor with its axes in Keras' order."""
        if not value.first:
            return value
        channels, *axes = value.shape[1:]
        if all(size == 1 for size in axes):
            return self._turned(value, Reshape(shape=(*axes, channels)), "channels_last", first=False)
        return self._turned(value, Permute(order=to_last(value.rank)), "channels_last", first=False)

    def _turned(self, value: Value, layer: Layer, name: str, *, first: bool) -> Value:
        if value not in self.turned:
            other = self.put(f"{value.node}/{name}", layer, [value], first)
            self.turned[value], self.turned[other] = other, value
        return self.turned[value]

    def needed(self, outputs: Sequence[str]) -> tuple[Node, ...]:
        """The nodes without operations that only made a mask."""
        read, kept = set(outputs), []
        for node in reversed(self.nodes):
            if node.name in read or node.name not in self.operations:
                kept.append(node)
                read.update(node.inputs)
        return tuple(reversed(kept))

    def alike(self, values: Sequence[Value]) -> list[Value]:
        """The tensors in one order of axes: the one that most of them have, channels first where they are as many."""
        many = [value for value in values if value.rank > 2]
        first = 2 * sum(value.first for value in many) >= len(many)
        return [self.channels_first(value) if first else self.as_written(value) for value in values]


def clean(name: str) -> str:
    """A layer's name in the letters that a spec's names have.

    >>> clean("my layer"), clean("1x1")
    ('my_layer', '_1x1')
    """
    name = ODD.sub("_", name)[:100] or "_"
    return name if name[0].isalpha() or name[0] == "_" else f"_{name}"


def to_first(rank: int) -> tuple[int, ...]:
    """The order that brings the last axis to the front, behind the batch.

    >>> to_first(4), to_last(4)
    ((0, 3, 1, 2), (0, 2, 3, 1))
    """
    return (0, rank - 1, *range(1, rank - 1))


def to_last(rank: int) -> tuple[int, ...]:
    """The order that brings axis 1 to the end."""
    return (0, *range(2, rank), 1)


def shape_of(layer: Layer, xs: tuple[Shape, ...]) -> Shape:
    """The output shape of a layer, a composite's through its parts."""
    if not isinstance(layer, Composite):
        return bounded(layer, layer.out(*xs))
    made: dict[str, Shape] = {}
    shape = xs[0]
    for part in layer.parts(*xs):
        shape = made[part.name] = shape_of(part.layer, tuple(_read(source, xs, made) for source in part.sources))
    return shape


def _read(source: str | int, xs: tuple[Shape, ...], made: Mapping[str, Shape]) -> Shape:
    return xs[source] if isinstance(source, int) else made[source]


class Call:
    """One call of a Keras layer: its config, the tensors that it is called on, and where its nodes go."""

    def __init__(self, weave: Weave, config: Config, name: str, key: Any, arguments: Mapping[str, Any], **state: Any):
        self.weave, self.config, self.name = weave, config, name
        self.key = key  # the Keras layer, the same in every call of it
        self.arguments = arguments  # by name, or by number where it was given by place
        masks = {name for name in arguments if name.endswith("mask")}
        self.values: list[Value] = tensors({name: given for name, given in arguments.items() if name not in masks})
        if any(tensors(arguments[name]) for name in masks - {"attention_mask"}):
            weave.note_once("masks", f"masks that leave out steps are not counted, first in {name}")
        self.lead: int = state.get("lead", 0)  # axes of time in front, under TimeDistributed
        self.trainable: bool = state.get("trainable", True)
        self.expected: Mapping[int, Sizes] = state.get("expected", {})  # what the file says of outputs
        self.depth: int = state.get("depth", 0)

    @property
    def shapeless(self) -> bool:
        """Does it read a tensor of which no shape is known?"""
        return not all(value.known for value in self.values)

    @property
    def only(self) -> Value:
        """The one tensor that it reads."""
        if len(self.values) != 1:
            raise self.config.error("reads one tensor", f"{len(self.values)}")
        return self.values[0]

    def argument(self, place: int, name: str) -> Any:
        """What was given by place or by name; None if neither."""
        return self.arguments.get(str(place), self.arguments.get(name))

    def tensor(self, place: int, name: str) -> Value | None:
        """The same, if it is a tensor."""
        given = self.argument(place, name)
        return given if isinstance(given, Value) else None

    def add(self, layer: Layer, *values: Value, part: str = "", first: bool | None = None) -> Value:
        """One node of this call; `part` names it within the layer. Weights belong to the first call of the layer."""
        name = f"{self.name}/{part}" if part else self.name
        first = values[0].first if first is None and values else bool(first)
        owner = self.weave.owners.get((self.key, part))
        made = self.weave.put(
            name, layer, values, first, trainable=self.trainable, shared_with=owner if _owns(layer, values) else None
        )
        self.weave.owners.setdefault((self.key, part), made.node)
        return made

    def image(self) -> Value:
        """The tensor with its channels as axis 1, whichever data_format the layer has."""
        last = self.config.word("data_format", ("channels_last", "channels_first"), "channels_last") == "channels_last"
        return self.weave.channels_first(self.only) if last else self.weave.as_written(self.only)

    def written(self) -> Value:
        """The tensor with its axes in Keras' order."""
        return self.weave.as_written(self.only)

    def unknown(self, what: str = "") -> list[Value]:
        """The layer as a line that is named and not counted; its outputs are what the file says of them."""
        outputs: Mapping[int, Sizes | None] = self.expected or {0: None}
        made = []
        for number in range(max(outputs) + 1):
            like, shape = self._output(outputs.get(number))
            layer = Unknown(what or self.config.kind, shape, tuple(value.shape for value in self.values))
            value = self.add(layer, *self.values, part=f"output{number}" if number else "", first=like)
            made.append(replace(value, known=len(shape) > 1 or outputs.get(number) is not None))
        return made

    def _output(self, sizes: Sizes | None) -> tuple[bool, Shape]:
        """An output that is not understood: do its channels stand first, as those of an input like it; its shape."""
        if sizes is None and self.config.kind == "Lambda" and self.config.given("output_shape", None) is not None:
            sizes = self.config.shape("output_shape", (None, *self.config.items("output_shape")))
        if sizes is None:
            rule = (
                "the shape of its output is not in the file, nor said by what reads it: it is shown as the batch alone"
            )
            self.weave.note_once("scalar", f"{self.name} ({self.config.kind}): {rule}")
            return False, (1,)
        for value in self.values:
            if fits(sizes, value.sizes):
                return value.first, value.shape
        known = tuple(size for size in sizes if size is not None)
        if len(known) < len(sizes):
            rule = "what it does is not known, and its output has open axes in the file"
            way_out = "build the model with a fixed input shape, and save it again"
            raise self.config.error(rule, said_sizes(sizes), way_out)
        return False, (1, *known)


def fits(sizes: Sizes, own: Sequence[int]) -> bool:
    """Can a shape be this one, whatever its open axes are?"""
    return len(sizes) == len(own) and all(size in (None, n) for size, n in zip(sizes, own, strict=True))


def said_sizes(sizes: Sizes) -> str:
    """A shape with its open axes.

    >>> said_sizes((None, None, 3))
    '?×?×3'
    """
    return "×".join("?" if size is None else str(size) for size in sizes) or "scalar"


def _owns(layer: Layer, values: Sequence[Value]) -> bool:
    return isinstance(layer, Composite) or bool(layer.weights(*(value.shape for value in values)))


def tensors(arguments: Any) -> list[Value]:
    """All tensors among arguments, in order; those of a mapping by its keys' order."""
    if isinstance(arguments, Value):
        return [arguments]
    if isinstance(arguments, Mapping):
        return [value for key in sorted(arguments, key=str) for value in tensors(arguments[key])]
    return [value for item in arguments for value in tensors(item)] if isinstance(arguments, list | tuple) else []
