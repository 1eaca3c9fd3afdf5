"""A network as boxes and wires: blocks down to a depth, and equal blocks in a row as one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.ops import CONVENTIONS
from archcalc.errors import UsageError
from archcalc.layers.layer import Shape
from archcalc.layers.unknown import Unknown
from archcalc.model.network import Network
from archcalc.model.report import composites, row_of
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.views import flowchart, svg

MOST, MOST_WIRES = 500, 5_000  # of a drawing
READABLE = 30  # boxes, where the depth is not given


class Box(Struct, frozen=True):
    """An input, an output, a layer, a block of layers, or equal ones in a row; numbers are those of all of them."""

    role: Literal["input", "layer", "block", "output"]
    name: str
    last: str  # the name of the last one in a row; else the same
    times: int
    kind: str
    family: str  # the file of the kind: conv, pool, norm; block, where it is one
    detail: str  # kernel and stride, where there are
    layers: int
    params: int
    macs: int
    output: Shape
    shared_with: str | None = None  # the layer that owns its tensors
    uncounted: int = 0  # operators that are not understood


class Wire(Struct, frozen=True):
    """A tensor on its way from one box to another, by their places in the list of boxes."""

    source: int
    target: int
    tensor: str  # the name of the layer or input that makes it
    shape: Shape


class Drawing(Struct, frozen=True):
    """Boxes in an order in which each reads only from earlier ones; `svg()`, `mermaid()` and `dot()` are texts."""

    model: str
    inputs: dict[str, Shape]
    depth: int
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    status: Literal["complete", "partial"]

    def svg(self, *, live: bool = False) -> str:
        """A picture that needs nothing else, for documents, slides and browsers; a live one for a page of `page`."""
        return svg.svg(self, live=live)

    def mermaid(self) -> str:
        """A flowchart as text, which GitHub, GitLab and many editors draw.

        Raises UsageError where it is more than Mermaid reads.
        """
        return flowchart.mermaid(self)

    def dot(self) -> str:
        """A directed graph in the language of Graphviz."""
        return flowchart.dot(self)

    def __repr__(self) -> str:
        return f"<Drawing of {self.model}: {len(self.boxes)} boxes at depth {self.depth}>"

    def __str__(self) -> str:
        return flowchart.mermaid(self)

    def _repr_svg_(self) -> str:
        return self.svg()

    def to_dict(self) -> dict[str, Any]:
        """The drawing as plain data: integers exact, shapes channels first."""
        return {"schema_version": 1, "tool": f"archcalc {__version__}", **to_builtins(self)}


def draw(
    model: Network, input: Sizes | Mapping[str, Sizes] | None = None, *, batch: int = 1, depth: int | None = None
) -> Drawing:
    """The drawing of a model at an input size; without a depth, the deepest that stays readable."""
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool) or depth < 1):
        raise UsageError("depth", "must be at least 1", f"{depth!r}")
    shapes = full_shapes(model.inputs, input, batch)
    network = _Network(model, shapes, model.walk(shapes))
    if depth is None:
        depth, runs = network.readable()
    else:
        runs = network.folded(depth)
    count = len(runs) + len(shapes) + len(model.outputs)
    if count > MOST:
        way_out = f"--depth {depth - 1} draws fewer" if depth > 1 else "archcalc report lists them all"
        rule = f"a drawing has at most {MOST} boxes"
        raise UsageError("draw", rule, f"{count:,} at depth {depth}", way_out=way_out)
    drawing = network.drawing(depth, runs)
    if len(drawing.wires) > MOST_WIRES:
        raise UsageError("draw", f"a drawing has at most {MOST_WIRES:,} wires", f"{len(drawing.wires):,}")
    return drawing


class _Run(Struct):
    """Equal groups of uses, one after the other."""

    name: str
    groups: list[list[Use]]

    @property
    def uses(self) -> list[Use]:
        return [use for group in self.groups for use in group]


class _Network:
    """A walked model, and how it falls into boxes."""

    def __init__(self, model: Network, shapes: Mapping[str, Shape], uses: Sequence[Use]) -> None:
        self.model, self.shapes, self.uses = model, shapes, uses
        self.made = {use.node.name: use.name for use in uses}  # the part of a composite that is its output
        self.outputs = [self.made.get(name, name) for name in model.outputs]
        self.depths = max((use.name.count("/") + 1 for use in uses), default=1)

    def readable(self) -> tuple[int, list[_Run]]:
        """The deepest depth with few enough boxes, and its boxes."""
        found = 1, self.folded(1)
        for depth in range(2, self.depths + 1):
            runs = self.folded(depth)
            if len(runs) > READABLE:
                break
            found = depth, runs
        return found

    def folded(self, depth: int) -> list[_Run]:
        """Uses whose names agree down to a depth, and equal groups of them that only hand on to each other.

        Only uses that follow each other are put together: so a wire never leads back.
        """
        runs: list[_Run] = []
        for use in self.uses:
            name = "/".join(use.name.split("/")[:depth])
            if runs and runs[-1].name == name:
                runs[-1].groups[0].append(use)
            else:
                runs.append(_Run(name, [[use]]))
        return list(self._joined(runs))

    def _joined(self, runs: list[_Run]) -> Iterator[_Run]:
        owner = {use.name: at for at, run in enumerate(runs) for use in run.groups[0]}
        reads = [{source for use in run.groups[0] for source in use.inputs if owner.get(source) != at}
                 for at, run in enumerate(runs)]  # fmt: skip
        readers: list[set[int]] = [set() for _ in runs]
        for at, sources in enumerate(reads):
            for source in sources:
                if source in owner:
                    readers[owner[source]].add(at)
        for name in self.outputs:
            if name in owner:
                readers[owner[name]].add(-1)
        plans = [_plan(run.groups[0]) for run in runs]
        into = list(range(len(runs)))
        for at, sources in enumerate(reads):
            before = {owner.get(source, -1) for source in sources}
            one = next(iter(before)) if len(before) == 1 and len(sources) == 1 else -1
            if one >= 0 and readers[one] == {at} and plans[one] == plans[at]:
                into[at] = into[one]
                runs[into[at]].groups += runs[at].groups
        yield from (run for at, run in enumerate(runs) if into[at] == at)

    def drawing(self, depth: int, runs: list[_Run]) -> Drawing:
        """Boxes and wires."""
        boxes = [Box("input", name, name, 1, "input", "input", "", 0, 0, 0, y) for name, y in self.shapes.items()]
        place = {name: at for at, name in enumerate(self.shapes)}
        kinds, shape = composites(self.uses), dict(self.shapes)
        for run in runs:
            place |= dict.fromkeys([use.name for use in run.uses], len(boxes))
            shape |= {use.name: use.answers.y for use in run.uses}
            boxes.append(_box(run, kinds))
        wires = dict.fromkeys(
            Wire(place[source], place[use.name], source, shape[source])
            for use in self.uses for source in use.inputs if place[source] != place[use.name]
        )  # fmt: skip
        for name, source in zip(self.model.outputs, self.outputs, strict=True):
            wires[Wire(place[source], len(boxes), source, shape[source])] = None
            boxes.append(Box("output", name, name, 1, "output", "output", "", 0, 0, 0, shape[source]))
        status: Literal["complete", "partial"] = "partial" if any(box.uncounted for box in boxes) else "complete"
        return Drawing(self.model.name, dict(self.shapes), depth, tuple(boxes), tuple(wires), status)


def _plan(uses: Sequence[Use]) -> list[Any]:
    """What makes two groups equal: layers, shapes, who reads what, and whose weights are counted; names do not."""
    inside = {use.name: at for at, use in enumerate(uses)}
    outside: dict[str, int] = {}
    return [
        (
            use.layer, use.xs, use.answers.y, use.node.trainable, use.shared,
            [inside[source] if source in inside else -1 - outside.setdefault(source, len(outside))
             for source in use.inputs],
        )
        for use in uses
    ]  # fmt: skip


def _box(run: _Run, kinds: Mapping[str, str]) -> Box:
    uses, first = run.uses, run.groups[0]
    rows = [row_of(use, "float32", CONVENTIONS["archcalc"]) for use in uses]
    alone = len(first) == 1
    last = run.groups[-1][0].name.split("/")[: run.name.count("/") + 1]
    return Box(
        role="layer" if alone else "block",
        name=run.name,
        last="/".join(last),
        times=len(run.groups),
        kind=first[0].kind if alone else kinds.get(run.name, "block"),
        family=type(first[0].layer).__module__.rsplit(".", 1)[-1] if alone else "block",
        detail=_window(first[0]) if alone else "",
        layers=len(uses),
        params=sum([row.params for row in rows]),
        macs=sum([row.macs for row in rows]),
        output=uses[-1].answers.y,
        shared_with=first[0].shared_with if alone and len(run.groups) == 1 else None,
        uncounted=sum([isinstance(use.layer, Unknown) for use in uses]),
    )


def _window(use: Use) -> str:
    """Kernel and stride, such as 7×7 / 2, where the kind has them."""
    kernel, stride = getattr(use.layer, "kernel", None), getattr(use.layer, "stride", None)
    if kernel is None:
        return ""
    rank = max(1, len(use.answers.y) - 2)
    text = "×".join(map(str, (kernel,) * rank if isinstance(kernel, int) else kernel))
    steps = (stride,) * rank if isinstance(stride, int) else tuple(stride or ())
    if not steps or set(steps) == {1} or stride == kernel:
        return text
    return f"{text} / {steps[0] if len(set(steps)) == 1 else '×'.join(map(str, steps))}"
