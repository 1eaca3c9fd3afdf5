"""A spec from its YAML values: the top-level keys, what each may hold, and all that is wrong with them together."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from archcalc.algebra.dtype import BITS
from archcalc.algebra.num import less
from archcalc.algebra.size import Axes
from archcalc.dialects.fields import COMMON, shown, take
from archcalc.dialects.yaml_layers import NAME, STRUCTURES, Block, LayerReader
from archcalc.dialects.yaml_text import Value, read
from archcalc.errors import ModelError, Problems, UsageError, nearest
from archcalc.layers.layer import KINDS, Composite
from archcalc.model.build import Builder
from archcalc.model.graph import Graph, Input
from archcalc.model.sizes import full_shapes
from archcalc.model.walk import walk
from archcalc.questions.model import Model

QUANTITIES = (
    "params", "trainable_params", "buffers", "macs", "macs_exact", "mul", "add", "cmp", "div", "exp", "flops",
    "output_bytes", "weight_bytes", "buffer_bytes",
)  # fmt: skip
ROW_QUANTITIES = tuple(name for name in QUANTITIES if name not in ("weight_bytes", "buffer_bytes"))
KEYS = {
    "archcalc": "version of the spec language: 1",
    "name": "name of the model; the file's if not given",
    "about": "what it is, in a sentence",
    "source": "where its numbers are from",
    "inputs": "name → sizes without batch, channels first; or {shape, dtype, channels_last}",
    "channels_last": "true: the inputs are written with the channels last",
    "set": "hyperparameters: name → integer or expression; --set overrides them",
    "blocks": "name → {args, inputs, layers}: a line of one's own, used like a kind",
    "layers": "the lines of the model, each reading the one above",
    "outputs": "names of the layers that the model returns; the last one if not given",
    "expect": "numbers that `archcalc check` compares",
}


class Spec:
    """One reading of a spec: its problems are collected, and raised together at the end."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[ModelError] = []
        self.broken_inputs: set[str] = set()  # known by name only: what reads them is not blamed for it
        self.broken_blocks: set[str] = set()
        self.root = read(text, file, self.problems)
        if self.root.shape != "map":
            raise self.error(self.root, "spec", "must be a mapping with inputs and layers", shown(self.root.plain))
        self.keys = self.mapping(self.root, KEYS, "spec")
        for key in ("archcalc", "inputs", "layers"):
            if key not in self.keys:
                missing = self.error(self.root, "spec", f"needs {key}:", "none")
                missing.way_out = "write `archcalc: 1` on the first line" if key == "archcalc" else KEYS[key]
                self.problems.append(missing)
        version = self.keys.get("archcalc")
        if version is not None and (version.data != 1 or not isinstance(version.data, int) or version.data is True):
            self.problems.append(self.error(version, "archcalc", "the version must be 1", shown(version.plain)))

    def model(self, settings: Mapping[str, Any]) -> Model:
        names = self.settings(settings)
        builder = Builder(self.inputs(names))
        scope = builder.top()
        if not builder.inputs:
            scope.above = "?"  # something is wrong with the inputs: no layer is blamed for it
        known = {**{name: Axes(len(item.shape) + 1) for name, item in builder.inputs.items()}, **names}
        reader = LayerReader(builder, self.blocks(), self.broken_blocks, known, self.file, self.problems)
        if "layers" in self.keys:
            reader.read(scope, self.keys["layers"])
        outputs = self.tried("layers", lambda value: self.last(value, builder, scope)) or ()
        outputs = self.tried("outputs", lambda value: self.outputs(value, builder, scope)) or outputs
        expect = self.tried("expect", lambda value: self.expectations(value, names, builder)) or {}
        text: dict[str, Any] = {key: self.tried(key, self.text) or "" for key in ("name", "about", "source")}
        if self.problems:
            raise self.all_problems(builder)
        name = text.pop("name") or os.path.splitext(os.path.basename(self.file))[0]
        remarks = tuple(f"block {block}: no line uses it; its lines were not read" for block in reader.unused())
        return Model(
            name, builder.inputs, tuple(builder.nodes), outputs, expect, **text, remarks=remarks, settings=names
        )

    def last(self, value: Value, builder: Builder, scope: Any) -> tuple[str, ...]:
        if value.shape == "list" and not value.data:
            raise ModelError("layers", "needs at least one layer", "none")
        return (scope.above,) if scope.above is not None else ()

    def all_problems(self, builder: Builder) -> ModelError:
        """What was found, and what the layers that could be read say about each other's shapes."""
        known = set(builder.inputs) - self.broken_inputs
        nodes = []
        for node in builder.nodes:
            if known.issuperset(node.inputs):
                nodes.append(node)
                known.add(node.name)
        graph = Graph(self.file, builder.inputs, tuple(nodes), ())
        shapes: list[ModelError] = []
        walk(graph, full_shapes(builder.inputs, None, batch=1), shapes)
        problems = sorted([*self.problems, *shapes], key=_line)
        return problems[0] if len(problems) == 1 else Problems(problems)

    def mapping(self, value: Value, known: Mapping[str, Any], what: str) -> dict[str, Value]:
        """The keys of a mapping; those that are not known become problems."""
        found = {}
        for key, item in value.data:
            if str(key.data) in known:
                found[str(key.data)] = item
            else:
                error = self.error(key, what, "has no such key", str(key.data))
                error.way_out = nearest(str(key.data), known)
                self.problems.append(error)
        return found

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Hyperparameters, the given ones in place of the spec's; later ones may use earlier ones."""
        value = self.keys.get("set")
        items = dict(value.items()) if value is not None and value.shape == "map" else {}
        if value is not None and value.shape != "map":
            self.problems.append(self.error(value, "set", "must be a mapping of names to integers", shown(value.plain)))
        for name in given:
            if name not in items:
                rule = "must name a hyperparameter of the spec" if items else "this spec has no set: to override"
                raise UsageError("--set", rule, name, way_out=nearest(name, items))
        names: dict[str, Any] = {}
        for name, item in items.items():
            self.named(name, item, "set")
            try:
                names[name] = given[name] if name in given else take(item, int | bool, names, f"set: {name}")
            except ModelError as error:
                self.problem(error, item)
                names[name] = 1
        return names

    def inputs(self, names: Mapping[str, Any]) -> dict[str, Input]:
        value = self.keys.get("inputs")
        if value is None or value.shape != "map" or not value.data:
            if value is not None:
                self.problems.append(
                    self.error(value, "inputs", "must be a mapping of names to sizes", shown(value.plain))
                )
            return {}
        last = self.tried("channels_last", lambda item: take(item, bool, {}, "spec: channels_last")) or False
        inputs = {}
        for name, item in value.items():
            self.named(name, item, "inputs")
            try:
                inputs[name] = self.input(name, item, names, last)
            except ModelError as error:
                self.problem(error, item)
                inputs[name] = Input((1,))
                self.broken_inputs.add(name)
        return inputs

    def input(self, name: str, value: Value, names: Mapping[str, Any], last: bool) -> Input:
        dtype = None
        sizes = value
        if value.shape == "map":
            fields = self.mapping(value, ("shape", "dtype", "channels_last"), f"inputs: {name}")  # type: ignore[arg-type]
            if "shape" not in fields:
                raise ModelError("inputs", f"{name} needs shape:", shown(value.plain))
            sizes = fields["shape"]
            last = (
                take(fields["channels_last"], bool, {}, f"{name}: channels_last") if "channels_last" in fields else last
            )
            dtype = self.dtype(fields["dtype"]) if "dtype" in fields else None
        shape = take(sizes, int | tuple[int, ...], names, f"inputs: {name}")
        shape = shape if isinstance(shape, tuple) else (shape,)
        if not shape or any(less(size, 1) for size in shape):
            raise ModelError("inputs", f"the sizes of {name} must be at least 1", shown(shape))
        return Input((shape[-1], *shape[:-1]) if last else shape, dtype, last)

    def dtype(self, value: Value) -> str:
        if not isinstance(value.data, str) or value.data not in BITS:
            raise ModelError("inputs", f"dtype must be one of {', '.join(BITS)}", shown(value.plain))
        return value.data

    def blocks(self) -> dict[str, Block]:
        value = self.keys.get("blocks")
        if value is None:
            return {}
        if value.shape != "map":
            self.problems.append(
                self.error(value, "blocks", "must be a mapping of names to blocks", shown(value.plain))
            )
            return {}
        blocks = {}
        for name, item in value.items():
            try:
                blocks[name] = self.block(name, item)
            except ModelError as error:
                self.problem(error, item)
                self.broken_blocks.add(name)
        return blocks

    def block(self, name: str, value: Value) -> Block:
        self.named(name, value, "blocks")
        if name in KINDS or name in STRUCTURES:
            raise ModelError("blocks", "must not take the name of a kind", name)
        if value.shape != "map":
            raise ModelError("blocks", f"{name} must be a mapping with args and layers", shown(value.plain))
        fields = self.mapping(value, ("args", "inputs", "layers"), f"blocks: {name}")  # type: ignore[arg-type]
        if "layers" not in fields:
            raise ModelError("blocks", f"{name} needs layers:", "none")
        args = fields.get("args")
        if args is not None and args.shape != "map":
            raise ModelError("blocks", f"args of {name} must be a mapping of names to defaults", shown(args.plain))
        ports = take(fields["inputs"], tuple[str, ...], {}, f"{name}: inputs") if "inputs" in fields else ("input",)
        if not ports or len(set(ports)) < len(ports):
            raise ModelError("blocks", f"inputs of {name} must be different names", shown(ports))
        given = dict(args.items()) if args is not None else {}
        for word in [*given, *ports]:
            self.named(word, value, f"blocks: {name}")
            if word in COMMON:
                raise ModelError("blocks", f"{name} must not name an argument as a field of every line", word)
        return Block(name, given, ports, fields["layers"])

    def outputs(self, value: Value, builder: Builder, scope: Any) -> tuple[str, ...]:
        names = take(value, str | tuple[str, ...], {}, "spec: outputs")
        if not names:
            raise ModelError("outputs", "must name at least one layer", "none")
        return tuple(builder.find(scope, name) for name in ((names,) if isinstance(names, str) else names))

    def expectations(
        self,
        value: Value,
        names: Mapping[str, Any],
        builder: Builder,
        inner: tuple[str, ...] = ("layers", "at"),
        quantities: tuple[str, ...] = QUANTITIES,
    ) -> dict[str, Any]:
        """Expected numbers: totals, `output`, by layer or block under `layers`, and at other sizes under `at`."""
        if value.shape != "map":
            raise ModelError("expect", "must be a mapping of quantities to numbers", shown(value.plain))
        known = dict.fromkeys([*quantities, "output", *inner])
        found: dict[str, Any] = {}
        for key, item in self.mapping(value, known, "expect").items():
            try:
                if key == "layers":
                    found[key] = self.expected_layers(item, names, builder)
                elif key == "at":
                    found[key] = self.expected_sizes(item, names, builder)
                else:
                    found[key] = take(item, tuple[int, ...] if key == "output" else int, names, f"expect: {key}")
            except ModelError as error:
                self.problem(error, item)
        return found

    def expected_layers(self, value: Value, names: Mapping[str, Any], builder: Builder) -> dict[str, Any]:
        if value.shape != "map":
            raise ModelError("expect", "layers must be a mapping", shown(value.plain))
        composite = {node.name for node in builder.nodes if isinstance(node.layer, Composite)}
        for name, item in value.items():
            if name not in builder.paths and name.rpartition("/")[0] not in composite and not self.problems:
                error = ModelError("expect", "layers must name layers of the model", name)
                error.way_out = nearest(name, builder.paths)
                self.problem(error, item)
        return {name: self.expectations(item, names, builder, (), ROW_QUANTITIES) for name, item in value.items()}

    def expected_sizes(self, value: Value, names: Mapping[str, Any], builder: Builder) -> dict[str, Any]:
        if value.shape != "map":
            raise ModelError("expect", "at must be a mapping of sizes", shown(value.plain))
        for size, item in value.items():
            try:
                full_shapes(builder.inputs, size, batch=1)
            except UsageError as error:
                raise ModelError("expect", f"at: {error.rule}", error.got, way_out=error.way_out) from None
            if item.shape != "map":
                raise ModelError("expect", "must be a mapping of quantities to numbers", shown(item.plain))
        return {size: self.expectations(item, names, builder, ("layers",)) for size, item in value.items()}

    def text(self, value: Value) -> str:
        if value.shape != "scalar" or not value.text or not value.text.isprintable():
            raise ModelError("spec", "name, about and source must be a line of text", shown(value.plain))
        return value.text

    def tried(self, key: str, reading: Callable[[Value], Any]) -> Any:
        """What a top-level key says, if it is there and right; else its mistake becomes a problem."""
        if key not in self.keys:
            return None
        try:
            return reading(self.keys[key])
        except ModelError as error:
            self.problem(error, self.keys[key])
            return None

    def named(self, name: str, value: Value, what: str) -> None:
        if not NAME.fullmatch(name) or name in ("None", "True", "False"):  # as null, true and false read
            self.problem(ModelError(what, "a name must be letters, digits, _ . -, a letter first", repr(name)), value)

    def error(self, value: Value, subject: str, rule: str, got: str) -> ModelError:
        return ModelError(subject, rule, got, where=f"{self.file}:{value.line}:{value.column}")

    def problem(self, error: ModelError, value: Value) -> None:
        error.where = error.where or f"{self.file}:{value.line}:{value.column}"
        self.problems.append(error)


def _line(error: ModelError) -> tuple[int, ...]:
    """Line and column, by which mistakes are sorted."""
    places = re.findall(r":([0-9]+):([0-9]+)(?=,|$)", error.where)
    return tuple(map(int, places[0])) if places else (0, 0)
