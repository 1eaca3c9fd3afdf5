"""What cells see: the receptive field of every layer, the box of a cell, and the cells that see a box."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from msgspec import Struct

from archcalc import __version__
from archcalc.algebra.field import Sees
from archcalc.algebra.num import differ, less
from archcalc.algebra.trail import Axis, Piece, Trail, filled, hull, seen_through
from archcalc.errors import ModelError, UsageError
from archcalc.layers.layer import Shape, shown
from archcalc.layers.unknown import Unknown
from archcalc.model.graph import Graph
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use, outline
from archcalc.questions.cells import Seen, Seers, seen_by, seers_of
from archcalc.questions.quantities import uses_of
from archcalc.views import field as views


class Extent(Struct, frozen=True):
    """What cells see of one axis of an input. Cell r sees [start + r·stride, start + r·stride + size)."""

    size: Any  # the largest of all cells, where strides differ
    stride: Any = None  # 0: the same for all cells; None: branches differ in it
    start: Any = None
    centre: Any = None  # of cell 0
    seen: int | None = None  # cells that are seen between the first and the last; None: not known
    whole: bool = False  # all of the axis
    why: str = ""  # why all cells see the same
    bound: bool = False  # less may be seen
    border: bool = False  # near the border other cells are seen
    position: int | None = None  # the axis of the output that goes along it
    inner: tuple[Any, Any, Any] | None = None  # size, stride and start apart from what all cells see


class Row(Struct, frozen=True):
    """The field of a layer, for each input an extent per axis, and which axes of its output have places."""

    name: str
    kind: str
    output: Shape
    axes: tuple[int, ...]
    extents: dict[str, tuple[Extent, ...]]
    aligned: bool  # branches that meet here have one stride and one centre

    @property
    def everything(self) -> bool:
        """Does a cell see the whole of every input that the layer depends on?"""
        return all(extent.whole for extents in self.extents.values() for extent in extents)


class Field(Struct, frozen=True, dict=True, eq=False):
    """The receptive fields of a network; `str()` is the page."""

    model: str
    inputs: dict[str, Shape]
    places: dict[str, tuple[int, ...]]  # axes of each input that are fields' axes
    status: str
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    cell: Seen | None = None  # what the cell that was asked for sees
    seers: Seers | None = None  # which cells see the box that was asked for
    alone: bool = False  # was one layer asked for?

    def __getitem__(self, name: str) -> Row:
        """The row of a layer."""
        return next(row for row in self.rows if row.name == uses_of(self.rows, name)[-1].name)  # type: ignore[arg-type]

    def plot(self, path: str) -> None:
        """Draw the image, the box of the cell and the cells into an SVG or PNG file."""
        views.plot(self, path)

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self)

    def __repr__(self) -> str:
        return f"<Field of {self.model}: {len(self.rows)} layers>"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data; fractions are text such as "1/2"."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "status": self.status,
            "notes": list(self.notes),
            **views.data(self),
        }


def field(
    model: Network, layer: str | None = None, cell: Sequence[int] | None = None,
    box: Sequence[int] | Mapping[str, Sequence[int]] | None = None, *,
    input: Sizes | Mapping[str, Sizes] | None = None, batch: int = 1,
) -> Field:  # fmt: skip
    """The receptive fields of a network; see Model.field."""
    shapes = full_shapes(model.inputs, input, batch)
    uses = model.walk(shapes, outline)
    places = {name: places_of(model, name, shape) for name, shape in shapes.items()}
    if not any(places.values()):
        got = ", ".join(f"{name} {shown(shape[1:])}" for name, shape in shapes.items())
        raise ModelError("Field", "an input must have an axis of places: an image, a sequence", got)
    asked = named(uses, layer) if layer is not None else None
    tracer = Tracer(uses, shapes, places)
    rows = [tracer.row(use) for use in uses]
    chosen = asked or default(rows, uses)
    seen = seers = None
    if cell is not None:
        seen = seen_by(uses, shapes, places, tracer.view, row_of(rows, chosen, "--cell"), chosen, cell)
    if box is not None:
        seers = seers_of(uses, shapes, places, tracer.view, row_of(rows, chosen, "--box"), chosen, box)
    if asked is not None:
        rows = [row for row in rows if row.name == asked.name]
    notes = [*model.remarks, *tracer.notes(asked)]
    partial = any(isinstance(use.layer, Unknown) for use in uses)
    return Field(
        model.name, shapes, places, "partial" if partial else "complete", tuple(notes), tuple(rows), seen, seers,
        asked is not None,
    )  # fmt: skip


def places_of(graph: Graph, name: str, shape: Shape) -> tuple[int, ...]:
    """The axes of an input that are places: of an image those behind the channels, of a sequence all but features."""
    if graph.reads_as_image(name):
        return tuple(range(2, len(shape)))
    dtype = graph.inputs[name].dtype
    indices = dtype is not None and not dtype.startswith(("float", "bfloat"))
    return tuple(range(1, len(shape) if indices else len(shape) - 1))


def named(uses: Sequence[Use], layer: str) -> Use:
    """The layer of this name, or the last one of a block."""
    found = uses_of(uses, layer)
    return next((use for use in found if use.name == layer), found[-1])


def default(rows: Sequence[Row], uses: Sequence[Use]) -> Use:
    """The last layer with places whose cells do not all see everything; else the last with places; else the last."""
    order = list(zip(rows, uses, strict=True))[::-1]
    some = [use for row, use in order if row.axes and not row.everything and several(row)]
    single = [use for row, use in order if row.axes and not row.everything]
    return (some or single or [use for row, use in order if row.axes] or [order[0][1]])[0]


def several(row: Row) -> bool:
    """Has a layer more than one place?"""
    return any(differ(row.output[axis], 1) is not False for axis in row.axes)


def row_of(rows: Sequence[Row], use: Use, option: str) -> Row:
    """The row of a layer whose output has places."""
    row = next(row for row in rows if row.name == use.name)
    if not row.axes:
        what = "cells of this layer have no places in the image"
        raise UsageError(option, f"needs a layer with places: {what}", f"{use.name} {shown(row.output[1:])}")
    return row


class Tracer:
    """The fields of one walk, layer by layer."""

    def __init__(self, uses: Sequence[Use], shapes: Mapping[str, Shape], places: Mapping[str, Sequence[int]]) -> None:
        self.trails: dict[str, Trail] = {}
        self.shapes, self.places = shapes, places
        self.views: dict[Any, Sees] = {}
        self.remarks: list[tuple[str, str]] = []  # layer, and what there is to say
        self.extents: dict[Any, Extent] = {}
        for name, axes in places.items():
            self.trails[name] = {(name, axis): {(axis, 1): Piece(0, 1)} for axis in axes}
        self.sources = {use.name: use.inputs for use in uses}
        self.crooked = {use.name: self.visit(use) for use in uses}

    def visit(self, use: Use) -> bool:
        """Compose the trail of a layer; do branches that meet here differ in stride or centre?"""
        trails = []
        for number, source in enumerate(use.inputs):
            view = self.view(use, number)
            if view.here and (use.name, view.here) not in self.remarks:
                self.remarks.append((use.name, view.here))
            trails.append(seen_through(view, self.trails[source], use.xs[number], use.name))
        self.trails[use.name] = hull(trails) if trails else {}
        return len(trails) > 1 and any(differs(trails, axis) for axis in self.trails[use.name])

    def view(self, use: Use, number: int) -> Sees:
        """How a layer sees its input of this number; the same layer on the same shapes sees alike."""
        key = (use.layer, use.xs, number)
        view = self.views.get(key)
        if view is None:
            y = use.answers.y
            view = use.layer.sees(number, use.xs, y)
            if view is None:
                view = Sees((None,) * (len(y) - 1), "does not say what it sees", bound=True, known=False)
            self.views[key] = view
        return view

    def row(self, use: Use) -> Row:
        """What is said of a layer."""
        trail, y = self.trails[use.name], use.answers.y
        found: dict[str, tuple[Extent, ...]] = {}
        positions = set(range(2, len(y))) if use.image else set()
        for name, axes in self.places.items():
            pieces = [trail.get((name, axis)) for axis in axes]
            if axes and all(pieces):
                found[name] = tuple(
                    self.extent(own or {}, y, self.shapes[name][axis]) for own, axis in zip(pieces, axes, strict=True)
                )
                positions |= {p for own in pieces for p, _ in own or () if p is not None}
        return Row(use.name, use.kind, y, tuple(sorted(positions)), found, not self.crooked[use.name])

    def extent(self, pieces: Mapping[Any, Piece], y: Shape, n: int) -> Extent:
        """What is said of one axis."""
        key = (id(pieces), y, n)
        found = self.extents.get(key)
        if found is None:
            found = self.extents[key] = extent_of(pieces, y, n)
        return found

    def notes(self, asked: Use | None) -> list[str]:
        """What holds at this size only, of the layers that lead to the one that is asked for."""
        leading = set(self.sources) if asked is None else {asked.name}
        for name, sources in reversed(self.sources.items()):
            leading |= set(sources) if name in leading else set()
        grouped: dict[str, list[str]] = {}
        for name, here in self.remarks:
            if name in leading:
                grouped.setdefault(here, []).append(name)
        return [
            f"holds at this input size: {here} in {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
            for here, names in grouped.items()
        ]


def extent_of(pieces: Mapping[Any, Piece], y: Shape, n: int) -> Extent:
    """The pieces of one axis as one extent."""
    moving = {key: piece for key, piece in pieces.items() if key[0] is not None}
    fixed = pieces.get((None, 0))
    inner = None
    if len(moving) == 1 and fixed is not None:
        (((_, stride), piece),) = moving.items()
        inner = (piece.size, stride, piece.start)
    bound, border = (any(getattr(piece, name) for piece in pieces.values()) for name in ("bound", "border"))
    if fixed is not None and covers(fixed, n):
        return Extent(n, 0, 0, None, n, True, fixed.why, fixed.bound, inner=inner)
    if len(pieces) == 1:
        (((position, stride), piece),) = pieces.items()
        seen = piece.taps.bit_count() if piece.taps is not None else None
        centre = piece.centre if stride else None
        return Extent(piece.size, stride, piece.start, centre, seen, False, piece.why, bound, border, position)
    why = fixed.why if fixed is not None else ""
    return Extent(widest(pieces, y), why=why, bound=bound, border=border, inner=inner)


def covers(piece: Piece, n: int) -> bool:
    """Is every cell of an axis seen?"""
    over = less(0, piece.start) is False and less(piece.start + piece.size, n) is False
    return over and (piece.taps is None or piece.taps == filled(piece.size))


def widest(pieces: Mapping[Any, Piece], y: Shape) -> Any:
    """The largest hull of all cells: it is one of a corner, for the width is a convex function of the place."""
    axes = sorted({position for position, _ in pieces if position is not None})
    sizes = []
    for corner in product(*((0, y[axis] - 1) for axis in axes)):
        place = dict(zip(axes, corner, strict=True))
        starts = [p.start + stride * place.get(position, 0) for (position, stride), p in pieces.items()]
        ends = [start + piece.size for start, piece in zip(starts, pieces.values(), strict=True)]
        sizes.append(max(ends) - min(starts))
    return max(sizes)


def differs(trails: Sequence[Trail], axis: Axis) -> bool:
    """Do branches go along an axis in different strides, or about different centres?"""
    moving = [
        (position, stride, piece.centre)
        for trail in trails
        for (position, stride), piece in trail.get(axis, {}).items()
        if position is not None
    ]
    return any(mine[0] == other[0] and mine != other for at, mine in enumerate(moving) for other in moving[:at])
