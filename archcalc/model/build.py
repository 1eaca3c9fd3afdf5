"""Builder: names and connects layers as they are added; scopes give path names, and resolve the names that layers read.

Structures (residual, branches, repeats, blocks) are scopes and ordinary nodes; nothing of them is left in the graph.
"""

from collections.abc import Callable, Mapping, Sequence

from archcalc.errors import ModelError, nearest
from archcalc.layers.join import Combine
from archcalc.layers.layer import Layer, kind_of
from archcalc.model.graph import Input, Node, Place, check_arity

LIMIT = 1_000_000  # lines of one model, its repeats and blocks written out


class TooLong(ModelError):
    """The model stands for more lines than are allowed: reading it stops at once."""


class Scope:
    """One level of path names: what is known in it, and the line above."""

    def __init__(self, prefix: str, above: str | None, outer: "Scope | None" = None) -> None:
        self.prefix = prefix  # empty, or ends with a slash
        self.above = above  # the node that the next layer reads by default
        self.outer = outer  # where names are looked up next; None at the top and inside a block
        self.local: dict[str, str] = {}  # names of this scope -> nodes
        self.counts: dict[str, int] = {}  # how many layers of a kind had their name made here
        self.reserved: frozenset[str] = frozenset()  # names that the author gives in this scope, here or further down
        self.turn = ""  # inside a repeat, what explicit names end with


class Builder:
    """Collects the nodes of a model; every method that adds returns the path name of what it added."""

    def __init__(self, inputs: Mapping[str, Input]) -> None:
        self.inputs = dict(inputs)
        self.nodes: list[Node] = []
        self.paths: dict[str, str] = {name: name for name in inputs}  # path of a node or structure -> its output's node
        self.lines = 0

    def top(self) -> Scope:
        """The outermost scope; with one input, the first layer reads it."""
        scope = Scope("", next(iter(self.inputs)) if len(self.inputs) == 1 else None)
        scope.local = {name: name for name in self.inputs}
        return scope

    def inside(self, scope: Scope, name: str, sources: Sequence[str], ports: Sequence[str] = ()) -> Scope:
        """A scope one level down; with ports it is a block, which sees nothing but those names of its inputs."""
        inner = Scope(f"{scope.prefix}{name}/", sources[0] if sources else None, None if ports else scope)
        inner.local = dict(zip(ports, sources, strict=False))
        return inner

    def name(self, scope: Scope, wanted: str | None, kind: str) -> str:
        """The path name that the next layer takes: the wanted one, or the kind with its number in this scope."""
        if wanted is not None:
            path = f"{scope.prefix}{wanted}{scope.turn}"
            if not path or path.endswith("/"):
                raise ModelError("model", "a name that is only a number belongs into a repeat", repr(wanted))
            if path in self.paths:
                raise ModelError("model", "names must be unique", repr(path))
            return path
        while True:
            scope.counts[kind] = scope.counts.get(kind, 0) + 1
            made = f"{kind}{'_' if kind[-1].isdigit() else ''}{scope.counts[kind]}"
            if made not in scope.reserved and scope.prefix + made not in self.paths:
                return scope.prefix + made

    def sources(self, scope: Scope, names: Sequence[str] | None, layer: Layer | None = None) -> tuple[str, ...]:
        """The nodes that these names mean in this scope; by default, the line above, if the layer reads anything."""
        if names is None and layer is not None and layer.arity[1] == 0:
            return ()
        if names is None:
            if scope.above is None:
                rule = "the first layer of a model with several inputs must say which it reads"
                raise ModelError("model", rule, way_out=f"from: one of {', '.join(self.inputs)}")
            return (scope.above,)
        return tuple(self.find(scope, name) for name in names)

    def find(self, scope: Scope, name: str) -> str:
        """The node that a name means, looked up in this scope and outwards."""
        around: Scope | None = scope
        known: list[str] = []
        while around is not None:
            if name in around.local:
                return around.local[name]
            if around.prefix + name in self.paths:
                return self.paths[around.prefix + name]
            known += around.local
            around = around.outer
        rule = "must name an input or an earlier layer"
        near = nearest(name, [place for place in dict.fromkeys(known) if " " not in place])
        raise ModelError("from", rule, name, way_out=near)

    def add(
        self,
        scope: Scope,
        layer: Layer,
        *,
        name: str | None = None,
        sources: Sequence[str] | None = None,
        trainable: bool = True,
        shared_with: str | None = None,
        place: Place | None = None,
    ) -> str:
        """One use of a layer; `sources` are nodes, by default the line above."""
        inputs = tuple(sources) if sources is not None else self.sources(scope, None, layer)
        path = self.name(scope, name, kind_of(layer))
        owner = self.find(scope, shared_with) if shared_with is not None else None
        self.put(Node(path, layer, inputs, trainable, owner, _named(place, path)))
        self.define(scope, path, path, name)
        return path

    def put(self, node: Node) -> None:
        """Append a node whose name is made."""
        check_arity(node.layer, len(node.inputs), str(node.place) if node.place else f'"{node.name}"')
        self.nodes.append(node)

    def define(self, scope: Scope, path: str, output: str, name: str | None = None) -> None:
        """Make a layer or structure known: by its path, in its scope, and as the line above."""
        self.paths[path] = output
        scope.local[path.removeprefix(scope.prefix)] = output
        if name is not None:
            scope.local[name] = output  # inside a repeat, the plain name means the latest turn's
        scope.above = output

    def last(self, scope: Scope) -> str:
        """What the last line of a scope gives on."""
        if scope.above is None:
            raise ModelError("model", "needs at least one layer", "none")
        return scope.above

    def count_line(self) -> None:
        """Keep what repeats and blocks stand for finite."""
        self.lines += 1
        if self.lines > LIMIT:
            raise TooLong("model", f"must have at most {LIMIT:,} lines, repeats and blocks written out", "more")

    def residual(
        self,
        scope: Scope,
        name: str | None,
        sources: Sequence[str],
        body: Callable[[Scope], None],
        shortcut: Callable[[Scope], None],
        place: Place | None = None,
    ) -> str:
        """Two ways from the same input, added: the body and the shortcut. A name makes a level; else names go on."""
        inner = scope
        if name is not None:
            inner = self.inside(scope, name + scope.turn, sources)
        inner.above = sources[0]
        body(inner)
        inner.counts["shortcut"] = inner.counts.get("shortcut", 0) + 1
        number = inner.counts["shortcut"]
        way = self.inside(inner, f"shortcut{number}" if number > 1 else "shortcut", sources)
        shortcut(way)
        ends = (self.last(inner), self.last(way))
        return self.add(scope, Combine("add"), name=name, sources=ends, place=place)

    def branches(
        self,
        scope: Scope,
        name: str | None,
        sources: Sequence[str],
        ways: Sequence[Callable[[Scope], None]],
        join: Layer,
        place: Place | None = None,
    ) -> str:
        """Several ways from the same input, joined; the join goes by the structure's name."""
        path = self.name(scope, name, kind_of(join))
        inner = self.inside(scope, path.removeprefix(scope.prefix), sources)
        ends = []
        for number, way in enumerate(ways, start=1):
            branch = self.inside(inner, f"branch{number}", sources)
            way(branch)
            ends.append(self.last(branch))
        self.put(Node(path, join, tuple(ends), place=_named(place, path)))
        self.define(scope, path, path, name)
        return path

    def block(
        self, scope: Scope, name: str, sources: Sequence[str], ports: Sequence[str], body: Callable[[Scope], None]
    ) -> str:
        """A level of its own, whose layers see only its inputs, by the names of its ports."""
        inner = self.inside(scope, name, sources, ports)
        body(inner)
        return self.last(inner)

    def repeat(
        self, scope: Scope, name: str | None, times: int, body: Callable[[Scope, int], None], start: int = 1
    ) -> None:
        """The same lines several times, each turn reading the one before. A name makes a level; else names go on."""
        path = self.name(scope, name, "repeat") if name is not None else ""
        inner = self.inside(scope, path.removeprefix(scope.prefix), (self.last(scope),)) if path else scope
        turn = inner.turn
        for number in range(start, start + times):
            self.count_line()
            inner.turn = f"{turn}_{number}" if turn else str(number)
            body(inner, number)
        inner.turn = turn
        if path:
            self.define(scope, path, self.last(inner), name)


def _named(place: Place | None, path: str) -> Place | None:
    return Place(f'{place.path} "{path}"', place.file, place.line, place.column) if place else None
