"""One pass over the operators of an ONNX file: each becomes nodes, a constant, or a line that names it as unknown."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from archcalc.dialects.onnx_extent import Extent, Lost, follows, worth
from archcalc.dialects.onnx_fold import folded
from archcalc.dialects.onnx_graph import NotUnderstood, Op, Weave
from archcalc.dialects.onnx_names import clean, path_of
from archcalc.dialects.onnx_operators import OPERATORS, VIEWS
from archcalc.dialects.onnx_values import FORMATS, OTHER, RANK, Value
from archcalc.errors import LayerError, ModelError, nearest
from archcalc.layers import Unknown
from archcalc.layers.layer import Shape

WORD = re.compile(r"(?<=[a-z])([A-Z])")
DEFAULT = ("", "ai.onnx")  # the names of the domain whose operators are known
DEPTH = 50  # functions inside functions
SUBGRAPHS = 50  # graphs inside attributes


class Run:
    """The operators of a graph, with what the file says around them."""

    def __init__(self, weave: Weave, model: Any, versions: Mapping[str, int], dims: Mapping[str, Extent]) -> None:
        self.weave, self.dims = weave, dims
        self.versions = versions
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.infos = {info.name: info for info in (*model.graph.value_info, *model.graph.output)}
        self.open: list[tuple[str, str]] = []  # functions that are being written out
        self.wanted = {name for node in model.graph.node for name in node.input} | {*self.infos}

    def graph(self, nodes: Sequence[Any], scope: dict[str, Value], later: Mapping[str, str], paths: Any = None) -> None:
        """All operators in order; what they make is added to the scope."""
        for node in nodes:
            inputs = [self.read(node, name, scope, later) if name else None for name in node.input]
            path = path_of(node) if paths is None else paths
            for name, value in zip(node.output, self.operator(node, inputs, path, scope), strict=False):
                if name in scope:
                    raise ModelError(
                        node.op_type, "each value must be made once", repr(name[:200]), where=self.weave.file
                    )
                if name:
                    scope[name] = value

    def read(self, node: Any, name: str, scope: Mapping[str, Value], later: Mapping[str, str]) -> Value:
        """A value by its name."""
        if name in scope:
            return scope[name]
        place = f'"{node.name or node.op_type}" in {self.weave.file}'
        if name in later:
            rule = "operators must be in order, without cycles: each reads what is made before it"
            raise ModelError(node.op_type, rule, repr(name), where=place)
        near = nearest(name, scope, listed=False)
        raise ModelError(node.op_type, "must read what the graph has", repr(name), where=place, way_out=near)

    def operator(self, node: Any, inputs: list[Value | None], path: tuple[str, ...], scope: Any) -> Sequence[Value]:
        """What an operator makes."""
        if (node.domain, node.op_type) in self.functions:
            return self.function(node, inputs, path)
        op = Op(self.weave, node, inputs, self.versions.get("", 1), path)
        if node.domain not in DEFAULT:
            return self.unknown(op, node, f"{node.domain}.{node.op_type}", scope)
        try:
            made = self.understood(op, node)
        except NotUnderstood as reason:
            self.weave.remark(f"{node.op_type} ({op.title}): {reason}")
            made = self.unknown(op, node, node.op_type, scope, reason.shape)
        except (Lost, ArithmeticError):
            self.weave.remark(f"{node.op_type} ({op.title}): how its sizes follow from the inputs' cannot be said")
            made = self.unknown(op, node, node.op_type, scope)
        return made

    def understood(self, op: Op, node: Any) -> Sequence[Value]:
        """What an operator makes, if it is one of the table."""
        content = folded(op)
        if content is not None:
            return [content]
        if op.kind not in OPERATORS:
            raise NotUnderstood("has no kind here")
        given = [value for value in op.inputs if value is not None]
        constant = all(value.constant for value in given) and op.kind not in VIEWS
        if constant and given and not any(value.learned for value in given):
            return self.aside(op)
        made = OPERATORS[op.kind](op)
        values = [made] if isinstance(made, Value) else [*made]
        for number, name in enumerate(node.output[len(values) :], start=len(values)):
            wanted = name and (name in self.wanted or self.open)
            read = [value for value in given if value.node is not None]
            title = f"{op.kind}, output {number}"
            values.append(self.unknown_output(op, title, name, read) if wanted else Value(None))
        return values

    def aside(self, op: Op) -> Sequence[Value]:
        """What is computed of constants alone is a constant: only its shape is asked for."""
        weave, op.weave = op.weave, self.weave.aside()
        try:
            made = OPERATORS[op.kind](op)
        except LayerError as error:
            raise NotUnderstood(f"{error.rule}, {error.got}") from None
        finally:
            op.weave = weave
        values = [made] if isinstance(made, Value) else made
        real = not all(value is None or value.dtype == "int64" for value in op.inputs)
        return [
            Value(value.shape, None, value.numbers, None, value.dtype or (None if real else "int64"))
            for value in values
        ]

    def function(self, node: Any, inputs: Sequence[Value | None], path: tuple[str, ...]) -> Sequence[Value]:
        """A function of the file, written out."""
        key, function = (node.domain, node.op_type), self.functions[node.domain, node.op_type]
        self.refuse_call(node, len(inputs), len(function.input))
        given = [*inputs, *[None] * (len(function.input) - len(inputs))]
        scope = {name: value for name, value in zip(function.input, given, strict=True) if value is not None}
        missing = {name for name, value in zip(function.input, given, strict=True) if value is None}
        body = [bound(inner, node, function, missing) for inner in function.node]
        versions = self.versions
        self.versions = {entry.domain: entry.version for entry in function.opset_import} or versions
        self.open.append(key)
        try:
            self.graph(body, scope, made_by(body), path or (clean(node.op_type),))
        finally:
            self.open.pop()
            self.versions = versions
        return [self.result(node, name, scope) for name in function.output]

    def refuse_call(self, node: Any, given: int, taken: int) -> None:
        """Refuse a call that would not end, or gives more than the function takes."""
        rule = got = ""
        if (node.domain, node.op_type) in self.open:
            rule, got = "functions must not call themselves", " in ".join(name for _, name in self.open[:5])
        elif len(self.open) >= DEPTH:
            rule, got = f"functions must nest at most {DEPTH} levels", "more"
        elif given > taken:
            rule, got = f"takes {taken} inputs", f"{given}"
        if rule:
            raise ModelError(node.op_type, rule, got, where=self.weave.file)

    def result(self, node: Any, name: str, scope: Mapping[str, Value]) -> Value:
        """An output of a function."""
        if name not in scope:
            raise ModelError(node.op_type, "a function must make its outputs", repr(name), where=self.weave.file)
        return scope[name]

    def unknown(
        self, op: Op, node: Any, title: str, scope: Mapping[str, Value], shape: Shape | None = None
    ) -> list[Value]:
        """A line for each output of an operator that is not understood; what inner graphs read is read here too."""
        title = "".join(letter for letter in title[:100] if letter.isprintable())
        read = [value for value in op.inputs if value is not None and value.node is not None]
        read += [scope[name] for name in captured(node, SUBGRAPHS) if name in scope and scope[name].node is not None]
        made: list[Value] = []
        for name in node.output:
            if name or not made:
                made.append(self.unknown_output(op, title, name, read, shape))
            else:
                made.append(Value(None))
        return made

    def unknown_output(self, op: Op, title: str, name: str, read: Sequence[Value], shape: Shape | None = None) -> Value:
        """One output, in the shape that is known or that the file says."""
        said, dtype = self.said(name)
        shape = said if shape is None else shape
        if shape is None or any(worth(n) < 1 for n in shape):
            self.weave.remark(f"{title} ({op.title}): its output's shape is not in the file, and it counts as empty")
            return Value(None, op.put(Unknown, {"operator": title, "output": ()}, read, self.name(op)).node)
        plain = shape and not any(map(follows, shape)) and all(value.shape for value in read)
        seen = tuple(tuple(map(worth, value.sizes)) for value in read) if plain else ()
        value = op.put(Unknown, {"operator": title, "output": shape, "seen": seen}, read, self.name(op))
        if seen and read[0].sizes[0] == shape[0]:  # the batch, which it is taken to keep
            shape = (read[0].sizes[0], *shape[1:])
        return Value(shape, value.node, dtype=dtype)

    def name(self, op: Op) -> str:
        """The name of a line that is not counted: the operator's own, or what it is with a number."""
        return self.weave.names.named(op.path, clean(WORD.sub(r"_\1", op.kind)).lower())

    def said(self, name: str) -> tuple[Shape | None, str | None]:
        """The shape that the file says of a value, and its number format."""
        info = self.infos.get(name)
        if info is None or not info.type.tensor_type.HasField("shape") or len(info.type.tensor_type.shape.dim) > RANK:
            return None, None
        sizes: list[Any] = []
        for dim in info.type.tensor_type.shape.dim:
            size = dim.dim_value if dim.HasField("dim_value") else self.dims.get(dim.dim_param)
            if size is None or not 0 < worth(size) < 10**18:
                return None, None
            sizes.append(size)
        return tuple(sizes), FORMATS.get(info.type.tensor_type.elem_type, OTHER).name


def made_by(nodes: Sequence[Any]) -> dict[str, str]:
    """Which operator makes each value."""
    return {name: node.op_type for node in nodes for name in node.output if name}


def bound(inner: Any, call: Any, function: Any, missing: Collection[str]) -> Any:
    """An operator of a function, with the attributes that the call gives, and without the inputs that it does not."""
    node = type(inner)()
    node.CopyFrom(inner)
    given = {entry.name: entry for entry in (*function.attribute_proto, *call.attribute)}
    for place in reversed(range(len(node.attribute))):
        entry = node.attribute[place]
        if entry.ref_attr_name:
            name, source = entry.name, given.get(entry.ref_attr_name)
            if source is None:
                del node.attribute[place]
            else:
                entry.CopyFrom(source)
                entry.name = name
    for place, name in enumerate(node.input):
        if name in missing:
            node.input[place] = ""
    return node


def captured(node: Any, depth: int) -> Iterator[str]:
    """Names that the graphs inside an operator read."""
    for entry in node.attribute:
        for graph in [entry.g] if entry.HasField("g") else entry.graphs:
            for inner in graph.node:
                yield from inner.input
                if depth:
                    yield from captured(inner, depth - 1)
            yield from (output.name for output in graph.output)
