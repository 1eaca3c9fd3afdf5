"""The graph that grows while an ONNX file is read, and one operator of the file as its reading sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.onnx_extent import Extent, Lost, follows, same, worth
from archcalc.dialects.onnx_names import Names, clean
from archcalc.dialects.onnx_values import MOST, Value, tensor_value, whole
from archcalc.errors import LayerError, ModelError
from archcalc.layers import Combine, Constant, Flatten, Parameter, Reshape
from archcalc.layers.layer import Layer, Shape, kind_of, shown
from archcalc.layers.sized import sized_layer
from archcalc.model.graph import Input, Node, check_arity
from archcalc.model.walk import bounded

NODES = 100_000  # of one model, functions written out
CONSTANT_DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


class NotUnderstood(Exception):
    """What an operator does has no kind here, for this reason; its output's shape may be known."""

    def __init__(self, reason: str, shape: Shape | None = None) -> None:
        super().__init__(reason)
        self.shape = shape


class Weave:
    """Nodes so far, the tensors that they own, and what is to be said about the file."""

    def __init__(self, file: str, names: Names) -> None:
        self.file, self.names = file, names
        self.inputs: dict[str, Input] = {}
        self.nodes: list[Node] = []
        self.owners: dict[str, tuple[str, str, Shape]] = {}  # initialiser -> node, its tensor's name and shape
        self.sources: dict[str, Value] = {}  # initialiser -> the node that is it
        self.repeated: dict[str, None] = {}  # initialisers that are counted more than once
        self.remarks: list[str] = []

    def aside(self) -> "Weave":
        """A place for nodes that only tell a shape."""
        return Weave(self.file, Names([]))

    def remark(self, text: str) -> None:
        """Something that every report has to say, once."""
        if text not in self.remarks:
            self.remarks.append(text)

    def append(self, node: Node) -> None:
        """One more node."""
        if len(self.nodes) >= NODES:
            raise ModelError("ONNX", f"a model must have at most {NODES:,} nodes, functions written out", "more")
        check_arity(node.layer, len(node.inputs), f'"{node.name}" in {self.file}')
        self.nodes.append(node)

    def owner(self, layer: Layer, xs: Sequence[Shape], tensors: Mapping[str, Value]) -> str | None:
        """The node that owns a layer's tensors already; what is shared in part, or in another shape, counts again."""
        own = {name: weight.shape for name, weight in layer.weights(*xs).items() if weight.role != "counter"}
        found = {name: self.owners.get(tensors[name].tensor or "") for name in own if name in tensors}
        nodes = {entry[0] for entry in found.values() if entry}
        if not nodes:
            return None
        node = next(iter(nodes))
        theirs = {entry[1]: entry[2] for entry in self.owners.values() if entry[0] == node}
        if all(found.get(name) == (node, name, shape) for name, shape in own.items() if name in theirs):
            return node
        self.repeated |= dict.fromkeys(tensors[name].tensor or "" for name, entry in found.items() if entry)
        return None

    def own(self, node: str, layer: Layer, xs: Sequence[Shape], tensors: Mapping[str, Value]) -> None:
        """Note whose tensors these are now."""
        for name, weight in layer.weights(*xs).items():
            tensor = tensors[name].tensor if name in tensors else None
            if tensor is not None:
                self.owners.setdefault(tensor, (node, name, weight.shape))


class Op:
    """One operator of the file: its inputs, its attributes, and how it becomes nodes."""

    def __init__(self, weave: Weave, node: Any, inputs: Sequence[Value | None], version: int, path: tuple[str, ...]):
        self.weave, self.inputs, self.version, self.path = weave, list(inputs), version, path
        self.kind: str = node.op_type
        self.title = clean(node.name or node.op_type)
        self.outputs = len(node.output)
        self.used: tuple[bool, ...] = tuple(bool(name) for name in node.output)
        self.attributes: dict[str, Any] = {entry.name: entry for entry in node.attribute}
        self.first_output = node.output[0] if self.outputs else ""

    @property
    def where(self) -> str:
        """The place that errors name."""
        return f'"{self.title}" in {self.weave.file}'

    def error(self, rule: str, got: str = "") -> ModelError:
        """A mistake in this operator."""
        return ModelError(self.kind, rule, got, where=self.where)

    def attribute(self, name: str, form: str, kinds: tuple[int, ...]) -> Any:
        """The value of an attribute; None where it is not given."""
        entry = self.attributes.get(name)
        if entry is None:
            return None
        if entry.type not in kinds:
            raise self.error(f"{name} must be of another type", f"type {entry.type}")
        return getattr(entry, form)

    def whole(self, name: str, default: int | None = None) -> int:
        """An attribute that is a whole number."""
        value = self.attribute(name, "i", (2,))
        if value is None and default is None:
            raise self.error(f"needs the attribute {name}")
        return default if value is None else int(value)  # type: ignore[return-value]

    def wholes(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers."""
        value = self.attribute(name, "ints", (7,))
        if value is not None and (len(value) > MOST or any(abs(n) > 2**63 for n in value)):
            raise self.error(f"{name} must have at most {MOST:,} numbers", f"{len(value):,}")
        return None if value is None else tuple(value)

    def real(self, name: str, default: float) -> float:
        """An attribute that is a number."""
        value = self.attribute(name, "f", (1,))
        return default if value is None else float(value)

    def word(self, name: str, default: str) -> str:
        """An attribute that is text."""
        value = self.attribute(name, "s", (3,))
        return default if value is None else value.decode("utf-8", "replace")

    def given(self, number: int) -> Value | None:
        """An input, if it is given."""
        return self.inputs[number] if number < len(self.inputs) else None

    def value(self, number: int) -> Value:
        """An input that must be given, and whose shape is known."""
        value = self.given(number)
        if value is None:
            raise self.error(f"needs input {number}", f"{len(self.inputs)}")
        if value.shape is None:
            raise NotUnderstood("the shape of what it reads is not known")
        return value

    def data(self, number: int) -> Value:
        """The same as a node's output."""
        return self.made(self.value(number))

    def numbers(self, number: int) -> tuple[Any, ...] | None:
        """What an input holds, whole numbers all; None where it is not given."""
        value = self.given(number)
        if value is None:
            return None
        if value.numbers is None or not all(map(whole, value.numbers.items)):
            raise NotUnderstood(f"input {number} follows from what the inputs hold")
        return tuple(n if follows(n) else int(n) for n in value.numbers.items)

    def setting(self, name: str, number: int, since: int) -> tuple[Any, ...] | None:
        """Whole numbers that were an attribute before they became an input."""
        return self.wholes(name) if self.version < since else self.numbers(number)

    def axis(self, rank: int, default: int | None = None, name: str = "axis") -> int:
        """The attribute `axis`, counted from the front."""
        return self.position(self.whole(name, default), rank)

    def position(self, axis: Any, rank: int) -> int:
        """An axis counted from the front."""
        place = worth(axis) + rank if worth(axis) < 0 else worth(axis)
        if not 0 <= place < max(rank, 1):
            raise self.error(f"an axis must lie between {-rank} and {rank - 1}", f"{axis}")
        return int(place)

    def made(self, value: Value) -> Value:
        """A value as some node's output: a weight or constant becomes a node."""
        if value.node is not None:
            return value
        if value.shape is None or any(worth(n) == 0 for n in value.shape):
            raise NotUnderstood("it reads a tensor of no values")
        if not value.learned:
            dtype = value.dtype if value.dtype in CONSTANT_DTYPES else None
            fields = {"shape": value.shape, "dtype": dtype}
            return self.put(Constant, fields, (), self.weave.names.numbered("", "constant"))
        tensor = value.tensor or ""
        if tensor not in self.weave.sources:
            name = self.weave.names.fresh("/".join(map(clean, tensor[:500].split("."))))
            self.weave.sources[tensor] = self.put(
                Parameter, {"shape": value.shape}, (), name, tensors={"weight": value}
            )
        source = self.weave.sources[tensor]
        return source if source.shape == value.shape else self.reshaped(source, value.sizes)

    def add(self, of: type[Layer], *values: Value, tensors: Mapping[str, Value] | None = None, **fields: Any) -> Value:
        """One use of a kind on these values; `tensors` are the file's, by the names of the kind's own."""
        return self.put(of, fields, [self.made(value) for value in values], "", tensors or {})

    def put(
        self, of: type[Layer], fields: Mapping[str, Any], values: Sequence[Value], name: str,
        tensors: Mapping[str, Value] | None = None,
    ) -> Value:  # fmt: skip
        """One node of this name, by default the operator's own."""
        weave, xs = self.weave, tuple(value.sizes for value in values)
        try:
            layer, shape = self.asked(of, fields, xs)
            owner = weave.owner(layer, xs, tensors) if tensors else None
        except LayerError as error:
            read = " and ".join(map(shown, xs))
            error.where = error.where or f"{self.where}{', input ' if xs else ''}{read}"
            raise
        name = name or weave.names.named(self.path, kind_of(layer))
        weave.append(Node(name, self.sized(of, fields), tuple(value.node or "" for value in values), shared_with=owner))
        if tensors:
            weave.own(name, layer, xs, tensors)
        return Value(shape, name)

    def asked(self, of: type[Layer], fields: Mapping[str, Any], xs: Sequence[Shape]) -> tuple[Layer, Shape]:
        """The layer and its output shape, in terms of the inputs' sizes where that can be said."""
        try:
            layer = of(**fields)
            return layer, bounded(layer, layer.out(*xs))
        except Lost:
            layer = of(**{name: as_worth(value) for name, value in fields.items()})
            return layer, bounded(layer, layer.out(*(as_worth(x) for x in xs)))

    def sized(self, of: type[Layer], fields: Mapping[str, Any]) -> Layer:
        """The layer whose fields follow the inputs' sizes where these do."""
        try:
            return sized_layer(of, {name: as_size(value) for name, value in fields.items()})
        except Lost:
            self.weave.remark(f"{self.title}: how its sizes follow from the inputs' is too long to be kept")
            return of(**{name: as_worth(value) for name, value in fields.items()})

    def checked(self, tensor: Value, shape: Sequence[int], what: str) -> Value:
        """A tensor of the file, if it is a constant that has so many values."""
        if not tensor.constant:
            raise NotUnderstood(f"its {what} is computed")
        if tensor.elements != prod(shape):
            raise self.error(f"its {what} must be {shown(shape)}", shown(tensor.sizes))
        return tensor

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """The same values in another shape; a weight stays that weight."""
        if worth(value.elements) != worth(prod(shape)):
            raise self.error("the new shape must hold the same values", f"{shown(value.sizes)} to {shown(shape)}")
        if value.constant:
            numbers = value.numbers.reshaped(tuple(map(worth, shape))) if value.numbers else None
            return Value(shape, None, numbers, value.tensor, value.dtype)
        if len(shape) == value.rank and all(map(same, shape, value.sizes)):
            return value
        kept = bool(value.rank and shape) and same(shape[0], value.sizes[0])
        if kept and len(shape) == 2 and value.rank > 2:
            return self.add(Flatten, value)
        rest = list(shape[1:] if kept else shape)
        open_ones = [place for place, n in enumerate(rest) if follows(n)]
        if len(open_ones) == 1:
            rest[open_ones[0]] = -1
        return self.add(Reshape, value, shape=tuple(rest), whole=not kept)

    def lifted(self, value: Value, rank: int) -> Value:
        """The value with axes of size 1 in front until it has so many."""
        return self.reshaped(value, (*[1] * (rank - value.rank), *value.sizes)) if value.rank < rank else value

    def joined(self, of: type[Layer], *values: Value, **fields: Any) -> Value:
        """A kind that repeats axes of size 1, on values brought to equally many axes."""
        rank = max(value.rank for value in values)
        lifted = [self.lifted(self.made(value), rank) for value in values]
        return self.broadened(self.add(of, *lifted, **fields), lifted)

    def broadened(self, made: Value, values: Sequence[Value]) -> Value:
        """The value with axes that follow an input's where any of those joined does, though they are as long here."""
        shape = tuple(
            n if follows(n) else next((v.sizes[at] for v in values if follows(v.sizes[at]) and v.sizes[at] == n), n)
            for at, n in enumerate(made.sizes)
        )
        return Value(shape, made.node)

    def with_bias(self, made: Value, bias: Value, position: int = 1) -> Value:
        """The value with a constant added along one axis."""
        bias = self.reshaped(bias, (bias.elements, *[1] * (made.rank - 1 - position)))
        return self.joined(Combine, made, bias, function="add")

    def constant(self, name: str) -> Value | None:
        """An attribute that is a tensor."""
        tensor = self.attribute(name, "t", (4,))
        return None if tensor is None else tensor_value(tensor, name, self.weave.file)


def as_size(value: Any) -> Any:
    """A field's value with a Size for every Extent in it."""
    if isinstance(value, tuple):
        return tuple(map(as_size, value))
    return value.size() if isinstance(value, Extent) else value


def as_worth(value: Any) -> Any:
    """A field's value with a plain number for every Extent in it."""
    return tuple(map(as_worth, value)) if isinstance(value, tuple) else worth(value)
