"""The nodes of an exported program as nodes of ours: values, weights, names; what each operator is, a table says."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import fx

from archcalc.dialects.aten_sizes import NoSize, Sizes, hinted
from archcalc.errors import LayerError
from archcalc.layers import Constant, Parameter, Reshape, Unknown
from archcalc.layers.layer import Layer, kind_of
from archcalc.layers.sized import Sized, sized_layer
from archcalc.model.graph import Node

Shape = tuple[Any, ...]
OPERATORS: dict[str, Callable[["Op"], Any]] = {}
MADE = ("new_zeros", "new_ones", "new_empty", "new_full", "zeros_like", "ones_like", "empty_like", "full_like")


class Unclear(Exception):
    """An operator, or an argument of it, that no kind says."""


class Held(Struct, frozen=True):
    """A tensor that the module holds: a parameter, a buffer, or a constant."""

    name: str
    shape: Shape
    role: str  # trainable, buffer, constant


class Fixed(Struct, frozen=True):
    """A tensor that is computed of constants alone."""

    shape: Shape
    dtype: str


class Draft(Struct):
    """A node that has no name yet."""

    layer: Layer
    sources: tuple["Draft | str", ...]
    shape: Shape  # as PyTorch has it: its sizes may be symbols
    call: tuple[str, ...]  # which call of which module it was part of
    path: str  # of the module
    tensors: tuple[str, ...] = ()  # of the module's that it uses as its weights
    name: str = ""


def operator(*names: str) -> Callable[[Callable[["Op"], Any]], Callable[["Op"], Any]]:
    """Say what operators of these names are; those that write in place are the same."""

    def known(function: Callable[["Op"], Any]) -> Callable[["Op"], Any]:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return known


class Op:
    """One operator of the program, with its arguments by name."""

    def __init__(self, network: "Importer", node: fx.Node, name: str) -> None:
        self.network, self.node, self.name = network, node, name
        self.sizes = network.sizes
        schema = getattr(node.target, "_schema", None)
        self.given: dict[str, Any] = dict(node.kwargs)
        for number, argument in enumerate(schema.arguments if schema else ()):
            if number < len(node.args):
                self.given[argument.name] = node.args[number]
            elif argument.name not in self.given:
                self.given[argument.name] = argument.default_value
        self.value: Any = node.meta.get("val")

    def __getitem__(self, name: str) -> Any:
        """An argument that is no tensor, with sizes as they are known."""
        return self.plain(self.given[name])

    def plain(self, value: Any) -> Any:
        if isinstance(value, fx.Node):
            return value.meta["val"]
        return [self.plain(item) for item in value] if isinstance(value, list | tuple) else value

    def has(self, name: str) -> bool:
        """Is there such an argument, and is it not None?"""
        return self.given.get(name) is not None

    def number(self, name: str) -> Any:
        """An argument as an integer or a Size."""
        return self.sizes.size(self[name])

    def numbers(self, name: str) -> tuple[Any, ...]:
        """A list of integers, some of which may be sizes."""
        return self.sizes.shape(self[name])

    @property
    def first(self) -> str:
        """What the tensor goes by that an operator works on."""
        return "input" if "input" in self.given else "self"

    def shape(self, name: str = "") -> Shape:
        """The shape of a tensor among the arguments, as PyTorch has it; by default of the one that is worked on."""
        return tuple(self.given[name or self.first].meta["val"].shape)

    @property
    def y(self) -> Shape:
        """The shape of the output, as PyTorch has it."""
        return tuple(self.value.shape)

    def held(self, name: str) -> Held | None:
        """The tensor of the module's that an argument is, if it is one itself and does not stand as a node already."""
        given = self.given.get(name)
        value = self.network.values.get(given) if isinstance(given, fx.Node) else None
        if not isinstance(value, Held) or (value.role != "trainable" and not name.startswith("running")):
            return None  # a matrix that is a buffer is no parameter of the layer that multiplies by it
        return None if value.name in self.network.standing else value

    def x(self, name: str = "", axes: int | None = None) -> "Draft | str":
        """A tensor among the arguments as what a layer can read, with leading axes of size 1 up to `axes`."""
        return self.tensor(self.given[name or self.first], axes)

    def tensor(self, node: fx.Node, axes: int | None = None) -> "Draft | str":
        return self.network.tensor(node, self, axes)

    def add(
        self, of: type[Layer], values: Mapping[str, Any], *sources: "Draft | str", tensors: Iterable[Held | None] = (),
        shape: Shape | None = None,
    ) -> Draft:  # fmt: skip
        """A node of a kind with these fields, giving `shape`, or what the operator gives."""
        layer = sized_layer(of, dict(values))
        names = tuple(tensor.name for tensor in tensors if tensor is not None)
        return self.network.add(self, layer, sources, self.y if shape is None else shape, names)


class Importer:
    """Reads one program; `nodes` are its layers in the order in which they run."""

    def __init__(self, held: Mapping[fx.Node, Held], inputs: Mapping[fx.Node, str], hints: Mapping[Any, int]) -> None:
        self.values: dict[fx.Node, Any] = {**held, **inputs}
        self.hints = hints
        self.sizes = Sizes()
        self.shapes: dict[str, Shape] = {}
        for node, name in inputs.items():
            self.sizes.add(name, node.meta["val"].shape)
            self.shapes[name] = tuple(node.meta["val"].shape)
        self.drafts: list[Draft] = []
        self.unknown: Counter[str] = Counter()
        self.fixed = 0  # operators that compute constants
        self.sources: dict[Any, Draft] = {}  # parameters and constants that are nodes of their own

    @property
    def standing(self) -> set[str]:
        """Names of the tensors that are nodes of their own."""
        return {key[0] for key in self.sources if isinstance(key[0], str)}

    def read(self, node: fx.Node) -> None:
        """One node of the program, its value kept for those that read it."""
        value = node.meta.get("val")
        if node.op != "call_function" or not (_is_tensor(value) or _many(value)):
            return  # sizes are known from what was traced
        if not node.users and _plain_name(node.target) == "getitem":
            return  # one of several results, which nothing reads
        reads = [self.values[source] for source in node.all_input_nodes if source in self.values]
        if _plain_name(node.target) in MADE or not any(map(_depends, reads)):
            self.values[node] = _constants(value)
            self.fixed += 1
            return
        self.values[node] = self.understood(node)

    def understood(self, node: fx.Node) -> Any:
        """What an operator gives: by the table, if its shape comes out as PyTorch has it, else as unknown."""
        name = _plain_name(node.target)
        op, before, made = Op(self, node, name), len(self.drafts), set(self.sources)
        try:
            if name not in OPERATORS:
                raise Unclear(name)
            return OPERATORS[name](op)
        except (Unclear, LayerError, NoSize, LookupError, TypeError, ValueError, AttributeError):
            # the latter: an overload, or a value of an argument, that the operator's function does not know
            del self.drafts[before:]
            self.sources = {key: draft for key, draft in self.sources.items() if key in made}
            return self.not_understood(op)

    def not_understood(self, op: Op) -> Any:
        """A named place for what no kind says: one for each tensor that it gives."""
        self.unknown[op.name] += 1
        sources = [op.tensor(node) for node in op.node.all_input_nodes if node in self.values and self.readable(node)]
        values = op.value if _many(op.value) else [op.value]
        return _one_or_all([
            self.add(op, sized_layer(Unknown, {"operator": op.name, "output": self.sizes.shape(v.shape)}), sources,
                     tuple(v.shape), (), check=False)
            for v in values if _is_tensor(v)
        ], op.value)  # fmt: skip

    def readable(self, node: fx.Node) -> bool:
        """Is it one tensor?"""
        return not isinstance(self.values[node], tuple)

    def add(
        self, op: Op, layer: Layer, sources: Sequence[Draft | str], shape: Shape, tensors: tuple[str, ...],
        check: bool = True,
    ) -> Draft:  # fmt: skip
        """One more node; LayerError where it does not give the shape that PyTorch gives."""
        if check:
            self.check(layer, sources, shape)
        stack = op.node.meta.get("nn_module_stack") or {}
        path = next(reversed(list(stack.values())))[0] if stack else ""
        draft = Draft(layer, tuple(sources), shape, tuple(stack), path, tensors)
        self.drafts.append(draft)
        return draft

    def check(self, layer: Layer, sources: Sequence[Draft | str], shape: Shape) -> None:
        """The layer's own formula must give what PyTorch gave, at the example's size."""
        here = {name: hinted(given, self.hints) for name, given in self.shapes.items()}
        layer = layer.at(here) if isinstance(layer, Sized) else layer
        xs = [hinted(self.shapes[s] if isinstance(s, str) else s.shape, self.hints) for s in sources]
        y = tuple(layer.out(*xs))
        if y != hinted(shape, self.hints):
            raise layer.error("gives another shape here than in PyTorch", f"{y}, not {hinted(shape, self.hints)}")

    def tensor(self, node: fx.Node, op: Op, axes: int | None = None) -> Draft | str:
        """A value as a node or an input; a tensor that stands by itself becomes a node."""
        value = self.values[node]
        shape = tuple(node.meta["val"].shape)
        missing = 0 if axes is None else axes - len(shape)
        if isinstance(value, Held | Fixed):
            return self.source(value, axes if missing else None, op)
        if isinstance(value, tuple):
            raise Unclear("several tensors")
        if missing > 0:
            padded = (*[1] * missing, *shape)
            return self.add(op, sized_layer(Reshape, {"shape": self.sizes.shape(padded), "whole": True}), [value],
                            padded, ())  # fmt: skip
        return value  # type: ignore[no-any-return]

    def source(self, value: Held | Fixed, axes: int | None, op: Op) -> Draft:
        """A parameter, buffer or constant as a node; one for all that read it alike."""
        key = (value.name, axes) if isinstance(value, Held) else (self.sizes.shape(value.shape), value.dtype, axes)
        if key not in self.sources:
            shape = (*[1] * ((axes or 0) - len(value.shape)), *value.shape)
            fields = {"shape": self.sizes.shape(value.shape), "axes": axes}
            if isinstance(value, Held) and value.role != "constant":
                layer = sized_layer(Parameter, fields | {"role": value.role})
                draft = self.add(op, layer, [], shape, (value.name,))
                draft.path, draft.call = value.name, (value.name,)
            else:
                layer = sized_layer(Constant, fields | ({"dtype": value.dtype} if isinstance(value, Fixed) else {}))
                draft = self.add(op, layer, [], shape, ())
            self.sources[key] = draft
        return self.sources[key]

    def unused(self, held: Iterable[Held]) -> None:
        """Parameters that nothing uses: nodes that nothing reads, so that they count."""
        used = {name for draft in self.drafts for name in draft.tensors}
        for tensor in held:
            if tensor.role == "trainable" and tensor.name not in used and math.prod(tensor.shape):
                layer = Parameter(shape=tuple(tensor.shape))
                self.drafts.append(Draft(layer, (), tensor.shape, (tensor.name,), tensor.name, (tensor.name,)))

    def nodes(self, trainable: Mapping[str, bool]) -> list[Node]:
        """The drafts as nodes, named by the modules that they are of."""
        named(self.drafts)
        owners: dict[str, str] = {}
        found = []
        for draft in self.drafts:
            first = draft.tensors[0] if draft.tensors else ""
            shared = owners.get(first)
            if shared is not None and isinstance(draft.layer, Parameter) and self.second(first):
                draft.layer, shared = Constant(draft.layer.shape, draft.layer.axes), None  # it counts with its layer
            for tensor in draft.tensors:
                owners.setdefault(tensor, draft.name)
            trains = all(trainable.get(tensor, True) for tensor in draft.tensors)
            found.append(Node(draft.name, draft.layer, tuple(map(name_of, draft.sources)), trains, shared))
        return found

    def second(self, tensor: str) -> bool:
        """Does a layer have this tensor beside another that it goes by, as a bias?"""
        return any(tensor in draft.tensors[1:] for draft in self.drafts)


def name_of(source: Draft | str) -> str:
    """The name of what a node reads."""
    return source if isinstance(source, str) else source.name


def named(drafts: Sequence[Draft]) -> None:
    """Name each node by its module: a module that is one layer gives its own name, others a level for their layers."""
    calls = Counter(draft.call for draft in drafts)
    inner = {call[:depth] for call in calls for depth in range(1, len(call))}
    taken: Counter[str] = Counter()
    numbers: Counter[tuple[tuple[str, ...], str]] = Counter()
    for draft in drafts:
        path = draft.path.replace(".", "/")
        kind = kind_of(draft.layer).lower()
        if calls[draft.call] > 1 or draft.call in inner or not path:
            numbers[draft.call, kind] += 1
            path = f"{path}/{kind}{numbers[draft.call, kind]}" if path else f"{kind}{numbers[draft.call, kind]}"
        taken[path] += 1
        draft.name = path if taken[path] == 1 else f"{path}_{taken[path]}"


def _plain_name(target: Any) -> str:
    """The operator's name without its overload, and without the mark of those that write in place."""
    packet = getattr(target, "overloadpacket", None)
    name = str(packet).removeprefix("aten.") if packet is not None else getattr(target, "__name__", str(target))
    return name if name.startswith("__") else name.rstrip("_")


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _many(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(map(_is_tensor, value))


def _depends(value: Any) -> bool:
    """Does it depend on an input or on a weight?"""
    if isinstance(value, tuple):
        return any(map(_depends, value))
    return isinstance(value, Draft | str) or callable(value) or (isinstance(value, Held) and value.role == "trainable")


def _constants(value: Any) -> Any:
    if _many(value):
        return tuple(map(_constants, value))
    return Fixed(tuple(value.shape), str(value.dtype).removeprefix("torch.")) if _is_tensor(value) else None


def _one_or_all(drafts: Sequence[Draft], value: Any) -> Any:
    if not _many(value):
        return drafts[0]
    rest = iter(drafts)
    return tuple(next(rest) if _is_tensor(item) else None for item in value)
