"""Where in a picture a layer reports something: cells above a threshold, as boxes of pixels, overlaps merged."""

from collections.abc import Sequence
from math import ceil, floor
from typing import Any

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.errors import ModelError
from archcalc.layers.layer import Shape, shown
from archcalc.model.network import Network
from archcalc.questions.field import field
from archcalc.views import maps as views

Box = tuple[int, int, int, int]  # top, left, bottom, right; bottom and right are not part of it
MOST = 100_000  # cells above the threshold that are looked at


class Place(Struct, frozen=True):
    """One cell that reports: which channel, how strongly, and what it sees of the picture."""

    channel: int
    score: float
    cell: tuple[int, int]
    box: Box
    centre: tuple[float, float]  # of what the cell sees, before it is cut off at the border


class Located(Struct, frozen=True):
    """All places of a picture, the strongest first."""

    model: str
    layer: str
    image: Shape
    threshold: float
    overlap: float
    cells: int  # above the threshold, before overlaps were merged
    places: tuple[Place, ...]

    def _repr_html_(self) -> str:
        return views.places_html(self)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {"schema_version": 1, "tool": f"archcalc {__version__}", **to_builtins(self)}


def located(model: Network, layer: str, values: Any, image: Shape, threshold: float, overlap: float) -> Located:
    """The places where a layer's output (channels, height, width) reaches a threshold.

    A cell is of the channel in which it is strongest. A place that shares more than `overlap` of its pixels with a
    stronger one (intersection over union) is merged into that.
    """
    if len(values.shape) != 3:
        way_out = "archcalc convert --to fully-convolutional makes maps of it"
        raise ModelError("locate", "needs a layer with channels × height × width", f"{layer}: {shown(values.shape)}",
                         way_out=way_out)  # fmt: skip
    eyes = Eyes(model, layer, image)
    found = [Place(channel, score, cell, *eyes.seen(cell)) for channel, score, cell in above(values, threshold)]
    kept = merged(found, overlap)
    return Located(model.name, layer, tuple(image), threshold, overlap, len(found), tuple(kept))


def above(values: Any, threshold: float) -> list[tuple[int, float, tuple[int, int]]]:
    """Channel, score and cell of each cell above the threshold, the strongest first."""
    import numpy as np

    best = values.max(axis=0)
    rows, columns = np.nonzero(best >= threshold)
    if len(rows) > MOST:
        rule = f"must leave at most {MOST:,} cells"
        raise ModelError("--threshold", rule, f"{len(rows):,} at {threshold}", way_out="a higher threshold")
    order = np.argsort(-best[rows, columns], kind="stable")
    channels = values.argmax(axis=0)
    return [
        (int(channels[r, c]), float(best[r, c]), (int(r), int(c)))
        for r, c in zip(rows[order], columns[order], strict=True)
    ]


class Eyes:
    """What the cells of a layer see of a picture."""

    def __init__(self, model: Network, layer: str, image: Shape) -> None:
        self.model, self.layer, self.image = model, layer, tuple(image)
        (self.extents,) = field(model, layer, input=self.image)[layer].extents.values()

    def seen(self, cell: tuple[int, int]) -> tuple[Box, tuple[float, float]]:
        """The pixels that a cell sees, cut off at the border, and the centre of what it sees."""
        if any(extent.stride is None for extent in self.extents):
            return self.looked(cell)
        ends, centre = [], []
        for at, extent, n in zip(cell, self.extents, self.image[1:], strict=True):
            start = extent.start + at * extent.stride
            ends.append((max(floor(start), 0), min(ceil(start + extent.size), n)))
            centre.append(float(start + (extent.size - 1) / 2))
        (top, bottom), (left, right) = ends
        return (top, left, bottom, right), (centre[0], centre[1])

    def looked(self, cell: tuple[int, int]) -> tuple[Box, tuple[float, float]]:
        """The same where branches differ in their strides: followed cell by cell."""
        seen = field(self.model, self.layer, cell, input=self.image).cell
        glimpse = next(iter(seen.glimpses.values())) if seen is not None else None
        (top, bottom), (left, right) = (glimpse.clipped if glimpse else None) or ((0, 0), (0, 0))
        return (top, left, bottom, right), ((top + bottom - 1) / 2, (left + right - 1) / 2)


def merged(places: Sequence[Place], overlap: float) -> list[Place]:
    """Of places that overlap, the strongest: the others go."""
    import numpy as np

    boxes, kept = np.array([place.box for place in places], dtype=np.int64).reshape(-1, 4), list[Place]()
    strongest = np.empty_like(boxes, order="F")  # each edge of all boxes side by side
    for place, box in zip(places, boxes, strict=True):
        if (shared(box, strongest[: len(kept)]) <= overlap).all():
            strongest[len(kept)] = box
            kept.append(place)
    return kept


def shared(box: Any, others: Any) -> Any:
    """Pixels of a box and of each other one over pixels of either.

    >>> import numpy as np
    >>> float(shared(np.array([0, 0, 2, 2]), np.array([[0, 1, 2, 3]]))[0])
    0.3333333333333333
    """
    import numpy as np

    top, left, bottom, right = others.T
    height = np.minimum(box[2], bottom) - np.maximum(box[0], top)
    width = np.minimum(box[3], right) - np.maximum(box[1], left)
    both = np.maximum(height, 0) * np.maximum(width, 0)
    either = (box[2] - box[0]) * (box[3] - box[1]) + (bottom - top) * (right - left) - both
    return both / np.maximum(either, 1)  # boxes of nothing share nothing
