"""A drawing laid out: every box, wire and label with its place, before any language of pictures."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct

from archcalc.views.boxes import LABEL, Line, length, lines, wire_text
from archcalc.views.layered import Lattice, lattice
from archcalc.views.placing import Sized, columns, reach
from archcalc.views.wrapping import Bridge, wrapped

MARGIN = 20.0
PAD = 12.0  # on each side of a text in a box
BAND = 19.0  # under a box, for the shape that leaves it
LEAST, MOST, STEEP = 20.0, 90.0, 0.08  # height of the way between two ranks: more where a wire goes far
BESIDE = 5.0  # from a wire to its label

Point = tuple[float, float]


class Placed(Struct, frozen=True):
    """A box with its place; x and y are its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[Line, ...]
    baselines: tuple[float, ...]


class Label(Struct, frozen=True):
    """A shape beside its wire, from x to the right."""

    x: float
    y: float  # of the baseline
    width: float
    text: str
    tensor: str  # what goes along it, by the name of the layer or input that makes it


class Port(Struct, frozen=True):
    """Where a tensor leaves its box, from the middle of it."""

    offset: float
    width: float  # of the label
    text: str


class Ground(Struct, frozen=True):
    """The middle of every vertex, the top and the foot of every rank, and the wires between columns."""

    x: list[float]
    tops: list[float]
    feet: list[float]
    bridges: dict[int, Bridge]


class Plan(Struct, frozen=True):
    """Where everything is; a path is the corners that a wire passes, and between two ranks it may bend."""

    width: float
    height: float
    boxes: tuple[Placed, ...]
    labels: tuple[Label, ...]
    paths: tuple[tuple[Point, ...], ...]  # one for each wire of the drawing


def planned(drawing: Any) -> Plan:
    """The layout of a drawing."""
    tensors: dict[tuple[int, str], list[int]] = {}
    for wire in drawing.wires:
        tensors.setdefault((wire.source, wire.tensor), []).append(wire.target)
    number = {key: at for at, key in enumerate(tensors)}
    made = lattice(len(drawing.boxes), [(source, readers) for (source, _), readers in tensors.items()])
    ports = _ports({(wire.source, wire.tensor): wire_text(wire) for wire in drawing.wires})
    written = [lines(box) for box in drawing.boxes]
    sizes = [_size(text, list(ports.get(at, {}).values())) for at, text in enumerate(written)]
    ground = _ground(made, sizes)
    boxes = [_placed(ground.x[at], ground.tops[made.rank[at]], sizes[at], written[at]) for at in range(made.boxes)]
    paths = []
    for wire in drawing.wires:
        port, box = ports[wire.source][wire.tensor], boxes[wire.source]
        start = ground.x[wire.source] + port.offset, box.y + box.height
        paths.append(_path(made, made.routes[number[wire.source, wire.tensor], wire.target], ground, start))
    labels = [
        Label(
            ground.x[source] + port.offset + BESIDE, boxes[source].y + boxes[source].height + 14, port.width, port.text,
            tensor,
        )
        for source, leaving in ports.items()
        for tensor, port in leaving.items()
    ]  # fmt: skip
    right = [label.x + label.width for label in labels] + [x for path in paths for x, _ in path]
    low = [y for path in paths for _, y in path]
    width = max([*right, *(box.x + box.width for box in boxes)], default=0.0) + MARGIN
    height = max([*low, *(box.y + box.height for box in boxes)], default=0.0) + MARGIN
    return Plan(width, height, tuple(boxes), tuple(labels), tuple(paths))


def _ports(texts: dict[tuple[int, str], str]) -> dict[int, dict[str, Port]]:
    """One tensor leaves in the middle, several side by side, with room for their labels."""
    leaving: dict[int, dict[str, str]] = {}
    for (source, name), text in texts.items():
        leaving.setdefault(source, {})[name] = text
    ports: dict[int, dict[str, Port]] = {}
    for source, named in leaving.items():
        widths = [length(text, LABEL) for text in named.values()]
        step = max(widths) + 4 * BESIDE
        first = -step * (len(widths) - 1) / 2
        ports[source] = {
            name: Port(first + step * at, widths[at], text) for at, (name, text) in enumerate(named.items())
        }
    return ports


def _size(text: list[Line], ports: Sequence[Port]) -> Sized:
    width = max([length(line.text, line.size) for line in text] + [2 * abs(port.offset) for port in ports]) + 2 * PAD
    right = max([width / 2] + [port.offset + port.width + 2 * BESIDE for port in ports])
    return Sized(width, 12 + sum([line.size + 4 for line in text]), right)


def _ground(made: Lattice, sizes: Sequence[Sized]) -> Ground:
    """Where vertices and ranks are, in as many columns as it takes."""
    x = [MARGIN + at for at in columns(made, sizes)]
    tops, feet = _heights(made, sizes, x)
    sides = []
    for rank in made.ranks:
        ends = [(x[vertex], *reach(made, sizes, vertex)) for vertex in rank]
        sides.append((min(at - left for at, left, _ in ends), max(at + right for at, _, right in ends)))
    moved = wrapped(made, tops, feet, sides)
    return Ground(
        [at + moved.right[made.rank[vertex]] for vertex, at in enumerate(x)],
        [at + down for at, down in zip(tops, moved.down, strict=True)],
        [at + down for at, down in zip(feet, moved.down, strict=True)],
        moved.bridges,
    )


def _heights(made: Lattice, sizes: Sequence[Sized], x: Sequence[float]) -> tuple[list[float], list[float]]:
    """Where each rank begins, and where the way to the next one does."""
    tops, feet, at = [], [], MARGIN
    for rank in made.ranks:
        tops.append(at)
        at += max([sizes[vertex].height for vertex in rank if vertex < made.boxes], default=0.0) + BAND
        feet.append(at)
        far = max([abs(x[vertex] - x[other]) for vertex in rank for other in made.down[vertex]], default=0.0)
        at += min(MOST, LEAST + STEEP * far)
    return tops, feet


def _placed(x: float, y: float, size: Sized, text: list[Line]) -> Placed:
    at, baselines = y + 4, []
    for line in text:
        at += line.size + 4
        baselines.append(round(at - 1, 1))
    return Placed(x - size.width / 2, y, size.width, size.height, tuple(text), tuple(baselines))


def _path(made: Lattice, route: Sequence[int], ground: Ground, start: Point) -> tuple[Point, ...]:
    """Down to the foot of the rank, across to the top of the next, and so on to the reader."""
    corners = [start, (start[0], ground.feet[made.rank[route[0]]])]
    for before, vertex in pairwise(route):
        bridge, rank, x = ground.bridges.get(made.rank[before]), made.rank[vertex], ground.x[vertex]
        if bridge is not None:
            corners[-1] = corners[-1][0], bridge.low
            corners += [(bridge.x, bridge.low), (bridge.x, bridge.high), (x, bridge.high)]
        corners.append((x, ground.tops[rank]))
        if vertex >= made.boxes:
            corners.append((x, ground.feet[rank]))
    inner = zip(corners, corners[1:], corners[2:], strict=False)
    return (corners[0], *(b for a, b, c in inner if not a[0] == b[0] == c[0]), corners[-1])
