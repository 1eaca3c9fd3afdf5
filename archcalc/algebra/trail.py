"""Receptive fields as pieces: what cells of a map see of an axis, composed along paths, with the hull over branches."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from archcalc.algebra.field import EACH, Sees, Sight, half, whole
from archcalc.algebra.num import differ, largest, smallest

MOST_TAPS = 1024  # of a window whose holes are followed

Axis = tuple[str, int]  # an input, and the position of one of its axes in the full shape
Key = tuple[int | None, Any]  # along which axis of the map, in which stride; (None, 0): the same for all cells


class Piece(Struct, frozen=True, gc=False):
    """Cell r along a key's axis sees [start + r · stride, start + r · stride + size)."""

    start: Any
    size: Any
    taps: int | None = 1  # where in there cells are seen, bit i for start + i; None: not followed
    why: str = ""  # which layer made it the same for all cells, and how
    bound: bool = False  # less may be seen
    border: bool = False  # near the border other cells are seen

    @property
    def centre(self) -> Any:
        """Of cell 0, cells being at whole numbers."""
        return whole(self.start + half(self.size - 1))

    def then(self, stride: Any, sight: Sight) -> "Piece":
        """What a cell sees through cells that see this, in this stride."""
        return Piece(
            whole(self.start + stride * sight.start), whole(self.size + stride * (sight.size - 1)),
            _composed(self, stride, sight), self.why, self.bound or not sight.everywhere,
            self.border or not sight.bounded,
        )  # fmt: skip

    def all(self, stride: Any, n: int, why: str, bound: bool) -> "Piece":
        """What n cells see together."""
        reach = stride * (n - 1)
        taps = filled(self.size + reach) if n == 1 or (self.full and less_than(stride, self.size + 1)) else None
        taps = self.taps if differ(n, 1) is False else taps
        return Piece(self.start, whole(self.size + reach), taps, self.why or why, bound or self.bound, self.border)

    @property
    def full(self) -> bool:
        """Is every cell seen between the first and the last?"""
        return self.taps is not None and self.taps == filled(self.size)

    def with_(self, other: "Piece") -> "Piece":
        """The hull of both."""
        start = smallest(self.start, other.start)
        size = largest(self.start + self.size, other.start + other.size) - start
        both = (self, other)
        inner = [piece for piece in both if differ(piece.start, start) is False and differ(piece.size, size) is False]
        parts = inner or both  # what the larger one is, the hull is
        taps = [_moved(piece, piece.start - start) for piece in both]
        full = any(piece.full for piece in inner)
        united = filled(size) if full else None if None in taps else int(taps[0] or 0) | int(taps[1] or 0)
        return Piece(
            start, size, united, next((piece.why for piece in both if piece.why), ""),
            all(piece.bound for piece in parts) if inner else any(piece.bound for piece in parts),
            any(piece.border for piece in both),
        )  # fmt: skip


Trail = Mapping[Axis, Mapping[Key, Piece]]


def less_than(a: Any, b: Any) -> bool:
    """Is a < b, for certain?"""
    return bool(a < b) if not hasattr(a, "free_symbols") and not hasattr(b, "free_symbols") else False


def filled(size: Any) -> int | None:
    """So many cells without a hole; None where their number is no integer."""
    return (1 << size) - 1 if isinstance(size, int) else None


def _moved(piece: Piece, by: Any) -> int | None:
    return piece.taps << by if piece.taps is not None and isinstance(by, int) else None


def _composed(piece: Piece, stride: Any, sight: Sight) -> int | None:
    """Where cells are seen through a window whose cells see this."""
    seen, taps, size = piece.taps, sight.taps, piece.size
    if taps == 1:
        return seen
    if seen is None or not isinstance(taps, int) or not isinstance(stride, int) or not isinstance(size, int):
        return None
    hop = stride * sight.step
    if hop <= size and seen == (1 << size) - 1:
        return int((1 << (size + hop * (taps - 1))) - 1)
    if taps > MOST_TAPS:
        return None
    found = 0
    for tap in range(taps):
        found |= seen << (tap * hop)
    return found


def seen_through(view: Sees, trail: Trail, x: Sequence[int], layer: str) -> Trail:
    """The trail of a map that sees this one."""
    if view is EACH:
        return trail
    if view.nothing:
        return {}
    links = {link.source: (position, link.sight) for position, link in enumerate(view.links, start=1) if link}
    made: dict[Axis, dict[Key, Piece]] = {}
    for axis, pieces in trail.items():
        found: dict[Key, Piece] = {}
        for (source, stride), piece in pieces.items():
            if source is None:
                add(found, (None, 0), piece)
            elif source in links:
                position, sight = links[source]
                moved = whole(stride * sight.stride)
                add(found, (position, moved) if differ(moved, 0) is not False else (None, 0), piece.then(stride, sight))
            else:
                add(found, (None, 0), piece.all(stride, x[source], f"{layer} {view.why}", view.bound))
        made[axis] = found
    return made


def add(pieces: dict[Key, Piece], key: Key, piece: Piece) -> None:
    """Put a piece to the others; two of one stride become their hull."""
    pieces[key] = pieces[key].with_(piece) if key in pieces else piece


def hull(trails: Sequence[Trail]) -> Trail:
    """What a layer sees through all its inputs."""
    if all(trail is trails[0] for trail in trails):
        return trails[0]
    together: dict[Axis, dict[Key, Piece]] = {}
    for trail in trails:
        for axis, pieces in trail.items():
            own = together.setdefault(axis, {})
            for key, piece in pieces.items():
                add(own, key, piece)
    return together
