"""The layers of a spec: kinds with their fields, structures and blocks, expanded into named nodes."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct

from archcalc.algebra.num import is_symbolic
from archcalc.algebra.size import holds_size
from archcalc.dialects.fields import COMMON, fields_of, make, shown, take, take_any
from archcalc.dialects.yaml_text import Value
from archcalc.dialects.yaml_unknown import UNKNOWN, unknown_layer
from archcalc.errors import ModelError, nearest
from archcalc.layers.layer import KINDS, Layer, broken_rule, titled
from archcalc.model.build import LIMIT, Builder, Scope, TooLong
from archcalc.model.graph import Place

STRUCTURES = ("residual", "repeat", UNKNOWN)
DEPTH = 60  # structures and blocks inside each other
PROBLEMS = 100  # after so many, the rest of the file is not read
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
LEVELS = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*(/|$))*", re.ASCII)  # of a line's name: layer1/0/conv1


class Block(Struct, frozen=True, eq=False):
    """A block of the spec's author: its arguments with their defaults, the names of its inputs, its lines."""

    name: str
    args: Mapping[str, Value]
    ports: tuple[str, ...]
    layers: Value


class Context(Struct, frozen=True, eq=False):
    """What a line can refer to beside layers: names with values; and whether its weights may be trained."""

    names: Mapping[str, Any]
    blocks: tuple[str, ...] = ()  # that this line stands in, outermost first
    trainable: bool = True


class Line(Struct, frozen=True, eq=False):
    """One line of `layers`, split into what is common to all and the rest."""

    head: str
    argument: Value | None
    rest: dict[str, Value]
    name: str | None
    reads: tuple[str, ...] | None
    trainable: bool
    shared_with: str | None
    value: Value
    path: str

    @property
    def listed(self) -> Value | None:
        """The argument, if it is a list."""
        return self.argument if self.argument is not None and self.argument.shape == "list" else None


class Reported(ModelError):
    """A mistake that stands among the problems already, met again."""


class LayerReader:
    """Reads lines into a builder; a line that is wrong becomes a problem, and what reads it is not blamed for it."""

    def __init__(
        self,
        builder: Builder,
        blocks: Mapping[str, Block],
        broken: Collection[str],  # names of blocks that have mistakes of their own: what uses them is not blamed
        names: Mapping[str, Any],
        file: str,
        problems: list[ModelError],
    ) -> None:
        self.builder, self.blocks, self.broken = builder, blocks, broken
        self.file, self.problems = file, problems
        self.reported: set[str] = set()
        self.used: set[str] = set()
        self.depth = 0
        self.layers: dict[tuple[int, int], tuple[Line, Layer | None]] = {}  # by line and context: a repeat reads once
        self.contexts: dict[Any, Context] = {(): Context(names)}
        self.known = [*KINDS, *STRUCTURES, *blocks]

    def read(self, scope: Scope, value: Value) -> None:
        """The layers of the whole model."""
        self.lines(scope, value, "layers", self.contexts[()])

    def unused(self) -> list[str]:
        """Blocks that no line uses: nothing is known of what stands in them."""
        return [name for name in self.blocks if name not in self.used]

    def lines(self, scope: Scope, value: Value, path: str, context: Context) -> None:
        """Every line of a list, each one reading the one before."""
        if value.shape != "list":
            self.problem(ModelError("layers", "must be a list", shown(value.plain)), value, path)
            return
        if self.depth >= DEPTH:
            raise ModelError("layers", f"structures and blocks must nest at most {DEPTH} levels", "more")
        scope.reserved |= _names_given(value)
        self.depth += 1
        for number, item in enumerate(value.data):
            if len(self.problems) < PROBLEMS:
                self.line(scope, item, f"{path}[{number}]", context)
        self.depth -= 1

    def line(self, scope: Scope, value: Value, path: str, context: Context) -> None:
        key = (id(value), id(context))
        try:
            self.builder.count_line()
            if key not in self.layers:
                self.layers[key] = self.parsed(value, path, context)
            line, layer = self.layers[key]
            self.place(scope, line, layer, context)
        except TooLong as error:
            error.where = error.where or self.where(value, path)
            raise
        except ModelError as error:
            if not isinstance(error, Reported):
                self.problem(error, value, path)
            self.stand_in(scope, value)

    def parsed(self, value: Value, path: str, context: Context) -> tuple[Line, Layer | None]:
        """A line, and its layer if it is a kind and not a structure of branches."""
        line = self.split(value, path, context)
        if line.head == UNKNOWN:
            return line, unknown_layer(line.rest, context.names)
        if line.head in self.blocks or line.head in STRUCTURES or self.is_branches(line):
            return line, None
        return line, self.layer(line, context)

    def split(self, value: Value, path: str, context: Context) -> Line:
        """The head of a line, its common fields, and the rest."""
        head, argument = self.head(value)
        if head in self.broken:
            raise Reported(head, "has a mistake of its own")
        if head not in self.known:
            raise ModelError(
                "layers", "must be a kind, a structure or a block", head, way_out=nearest(head, self.known)
            )
        rest = dict(argument.items()) if argument is not None and argument.shape == "map" else {}
        common: dict[str, Any] = {}
        for field, (wanted, _) in COMMON.items():
            if field in rest:
                common[field] = self.taken(rest.pop(field), wanted, {}, f"{titled(head)}: {field}", path)
        name, reads = common.get("name"), common.get("from")
        if name is not None and not LEVELS.fullmatch(name):
            raise ModelError(titled(head), "a name must be letters, digits, _ . -, its levels joined by /", repr(name))
        reads = (reads,) if isinstance(reads, str) else reads
        if reads == () and head != UNKNOWN:
            raise ModelError(titled(head), "from must name at least one layer", "[]")
        trainable = context.trainable and common.get("trainable", True)
        return Line(head, argument, rest, name, reads, trainable, common.get("shared_with"), value, path)

    def head(self, value: Value) -> tuple[str, Value | None]:
        if value.shape == "scalar" and isinstance(value.data, str):
            return value.data, None
        if value.shape == "map" and len(value.data) == 1:
            key, argument = value.data[0]
            return str(key.data), None if argument.data is None else argument
        if value.shape == "map":
            keys = ", ".join(str(key.data) for key, _ in value.data)
            raise ModelError(
                "layers", "a line is one kind with its fields", f"the keys {keys}", way_out="indent its fields"
            )
        raise ModelError("layers", "a line is a kind, or a kind with its fields", shown(value.plain))

    def is_branches(self, line: Line) -> bool:
        """Does a joining kind hold the ways that it joins?"""
        if line.head not in KINDS or KINDS[line.head].cls.arity[1] is not None:
            return False
        return "branches" in line.rest or line.listed is not None

    def layer(self, line: Line, context: Context) -> Layer:
        """The layer that a line of a kind describes; each of its wrong fields is a problem."""
        kind, known = line.head, fields_of(line.head)
        given = dict(line.rest)
        if self.is_branches(line):
            given.pop("branches", None)
        elif line.argument is not None and line.argument.shape != "map":
            given = {self.main(kind): line.argument}
        wrong: list[tuple[ModelError, Value]] = []
        values = {}
        for field, value in given.items():
            try:
                values[field] = self.field(kind, field, value, context.names)
            except ModelError as error:
                wrong.append((error, value))
        for missing in known.values():
            if missing.required and missing.name not in given:
                rule = f"needs the field {missing.name} ({missing.meaning})"
                wrong.append((ModelError(titled(kind), rule), line.value))
        for mistake, value in wrong:
            self.problem(mistake, value, line.path)
        if wrong:
            raise Reported(titled(kind), "has wrong fields")
        return make(kind, values)

    def field(self, kind: str, field: str, value: Value, names: Mapping[str, Any]) -> Any:
        """The value of one field of a kind."""
        known = fields_of(kind)
        if field not in known:
            raise ModelError(titled(kind), "has no such field", field, way_out=nearest(field, [*known, *COMMON]))
        taken = take(value, known[field].type, names, f"{titled(kind)}: {field}")
        rule = "" if holds_size(taken) else broken_rule(KINDS[kind].cls, field, taken)
        if rule:
            raise ModelError(titled(kind), rule, shown(taken))
        return taken

    def main(self, kind: str) -> str:
        if not KINDS[kind].main:
            raise ModelError(titled(kind), "takes no value", "one", way_out=f"write `- {kind}`")
        return KINDS[kind].main

    def place(self, scope: Scope, line: Line, layer: Layer | None, context: Context) -> None:
        """Add what a line stands for."""
        sources = self.builder.sources(scope, line.reads, layer)
        place = Place(line.path, self.file, line.value.line, line.value.column)
        if layer is not None:
            self.builder.add(
                scope, layer, name=line.name, sources=sources, trainable=line.trainable,
                shared_with=line.shared_with, place=place,
            )  # fmt: skip
            return
        if line.shared_with is not None:
            raise ModelError(line.head, "shared_with is for a single layer", line.shared_with)
        if len(sources) != 1 and line.head not in self.blocks:
            raise ModelError(line.head, "its lines start from one layer", ", ".join(line.reads or sources))
        if line.trainable != context.trainable:
            context = self.frozen(context)
        if line.head in self.blocks:
            self.use_block(scope, line, sources, context)
        elif line.head == "residual":
            self.residual(scope, line, sources, context, place)
        elif line.head == "repeat":
            self.repeat(scope, line, sources, context)
        else:
            self.branches(scope, line, sources, context, place)

    def residual(self, scope: Scope, line: Line, sources: Sequence[str], context: Context, place: Place) -> None:
        self.no_more(line, ("layers", "shortcut"))
        body, shortcut = line.listed or line.rest.get("layers"), line.rest.get("shortcut")
        if body is None:
            raise ModelError("residual", "needs layers: the body", "none")
        self.builder.residual(
            scope, line.name, sources,
            body=lambda inner: self.lines(inner, body, f"{line.path}.layers", context),
            shortcut=self.way(shortcut, f"{line.path}.shortcut", context),
            place=place,
        )  # fmt: skip

    def branches(self, scope: Scope, line: Line, sources: Sequence[str], context: Context, place: Place) -> None:
        listed = line.listed or line.rest["branches"]
        if listed.shape != "list" or not listed.data or any(way.shape != "list" for way in listed.data):
            raise ModelError(line.head, "branches must be a list of lists of layers", shown(listed.plain))
        ways = [self.way(way, f"{line.path}.branches[{n}]", context) for n, way in enumerate(listed.data)]
        self.builder.branches(scope, line.name, sources, ways, self.layer(line, context), place)

    def repeat(self, scope: Scope, line: Line, sources: Sequence[str], context: Context) -> None:
        body, times = line.rest.get("layers"), line.rest.get("times")
        self.no_more(line, ("layers", "times", "start"))
        if body is None or times is None:
            raise ModelError("repeat", "needs times and layers", ", ".join(line.rest) or "neither")
        count = self.taken(times, int, context.names, "repeat: times", line.path)
        if is_symbolic(count):
            raise ModelError("repeat", "times must be a number: it decides which layers there are", str(count))
        if not 0 <= count <= LIMIT:
            raise ModelError("repeat", f"times must lie between 0 and {LIMIT:,}", str(count))
        start = (
            self.taken(line.rest["start"], int, context.names, "repeat: start", line.path)
            if "start" in line.rest
            else 1
        )
        if is_symbolic(start) or not 0 <= start <= LIMIT:
            raise ModelError("repeat", f"start must be a number between 0 and {LIMIT:,}", str(start))
        scope.above = sources[0]
        self.builder.repeat(
            scope, line.name, count, lambda inner, _: self.lines(inner, body, f"{line.path}.layers", context), start
        )

    def use_block(self, scope: Scope, line: Line, sources: Sequence[str], context: Context) -> None:
        block = self.blocks[line.head]
        if block.name in context.blocks:
            raise ModelError("blocks", "must not use themselves", " → ".join([*context.blocks, block.name]))
        if len(sources) != len(block.ports):
            wanted = f"needs {len(block.ports)} inputs ({', '.join(block.ports)})"
            raise ModelError(block.name, wanted, f"{len(sources)}", way_out="name them with from: [a, b]")
        self.used.add(block.name)
        inner = self.inside(block, self.arguments(block, line, context), context)
        path = self.builder.name(scope, line.name, block.name)
        output = self.builder.block(
            scope, path.removeprefix(scope.prefix), sources, block.ports,
            lambda level: self.lines(level, block.layers, f"blocks.{block.name}.layers", inner),
        )  # fmt: skip
        self.builder.define(scope, path, output, line.name)

    def arguments(self, block: Block, line: Line, context: Context) -> dict[str, Any]:
        """Values of a block's arguments: as given, else by default."""
        given = dict(line.rest)
        if line.argument is not None and line.argument.shape != "map":
            given = {next(iter(block.args), ""): line.argument}
        for name, value in given.items():
            if name not in block.args:
                error = ModelError(
                    block.name, "has no such argument", name, way_out=nearest(name, [*block.args, *COMMON])
                )
                error.where = self.where(value, line.path)
                raise error
        values: dict[str, Any] = {}
        for name, default in block.args.items():
            if name not in given and default.data is None:
                raise ModelError(block.name, f"needs the argument {name}", "none")
            names = context.names if name in given else {**context.names, **values}
            value = given.get(name, default)
            try:
                values[name] = take_any(value, names, f"{block.name}: {name}")
            except ModelError as error:
                error.where = self.where(value, line.path)
                raise
        return values

    def taken(self, value: Value, wanted: Any, names: Mapping[str, Any], what: str, path: str) -> Any:
        """A value of some type; a mistake is placed at the value, not at its line."""
        try:
            return take(value, wanted, names, what)
        except ModelError as error:
            error.where = self.where(value, path)
            raise

    def frozen(self, context: Context) -> Context:
        """The same context for frozen weights; kept, since lines are known by their context's identity."""
        key = ("frozen", id(context))
        if key not in self.contexts:
            self.contexts[key] = Context(context.names, context.blocks, trainable=False)
        return self.contexts[key]

    def inside(self, block: Block, values: Mapping[str, Any], context: Context) -> Context:
        """The context of a block's lines; one for all uses with the same arguments, so that they are read once."""
        given = tuple((name, type(value), value) for name, value in values.items())  # true is not 1
        key = (block.name, given, context.blocks, context.trainable)
        if key not in self.contexts:
            names = {**self.contexts[()].names, **values}
            self.contexts[key] = Context(names, (*context.blocks, block.name), context.trainable)
        return self.contexts[key]

    def way(self, value: Value | None, path: str, context: Context) -> Callable[[Scope], None]:
        """What fills the scope of a branch; nothing, where it is empty: the branch hands its input on."""
        return lambda inner: None if value is None else self.lines(inner, value, path, context)

    def no_more(self, line: Line, known: Sequence[str]) -> None:
        for field in line.rest:
            if field not in known:
                raise ModelError(
                    line.head, "has no such field", field, way_out=nearest(field, [*known, "name", "from"])
                )

    def stand_in(self, scope: Scope, value: Value) -> None:
        """A name for a line that could not be read, so that the lines after it are read for their own sake."""
        name = _given_name(value)
        path = f"{scope.prefix}{name or f'line {value.line}'}"
        if path not in self.builder.paths:
            self.builder.define(scope, path, f"{path}?", name)

    def where(self, value: Value, path: str) -> str:
        return str(Place(path, self.file, value.line, value.column))

    def problem(self, error: ModelError, value: Value, path: str) -> None:
        """Note a mistake with its place; once, however often its line is used."""
        error.where = error.where or self.where(value, path)
        if str(error) not in self.reported:
            self.reported.add(str(error))
            self.problems.append(error)


def _names_given(value: Value) -> frozenset[str]:
    """Names that the lines of a list give themselves, and levels in them: made names keep clear of them."""
    names = [name for item in value.data if (name := _given_name(item))]
    return frozenset(names).union(name.partition("/")[0] for name in names)


def _given_name(line: Value) -> str | None:
    if line.shape == "map" and len(line.data) == 1 and line.data[0][1].shape == "map":
        return next((str(given.data) for key, given in line.data[0][1].items() if key == "name"), None)
    return None
