"""Does a network fit into memory: the largest batch and input that do, and what can be changed where it does not."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.errors import UsageError
from archcalc.hardware.device import Device
from archcalc.layers.layer import Shape
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.questions.account import Choices
from archcalc.questions.asked import Asked, largest_batch, largest_input, why_no_input
from archcalc.questions.memory import checked
from archcalc.questions.ways import Way, ways
from archcalc.views import fit as views


class Fit(Struct, frozen=True):
    """What fits; `str()` is the page."""

    model: str
    inputs: dict[str, Shape]
    dtype: str
    choices: Choices
    memory_bytes: int
    peak_bytes: int
    when: str
    largest_batch: int | None  # None: not even one
    largest_input: tuple[int, ...] | None  # of the spatial axes, at the batch asked for
    ways: tuple[Way, ...]  # if what was asked does not fit
    device: str | None = None
    why_no_input: str = ""  # where there is an image, and none of its proportions fits
    notes: tuple[str, ...] = ()  # what makes the peak a lower bound, and so the largest sizes upper ones

    @property
    def status(self) -> str:
        """Is all of it known?"""
        return "partial" if self.notes else "complete"

    @property
    def fits(self) -> bool:
        """Does what was asked fit?"""
        return self.peak_bytes <= self.memory_bytes

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        data: dict[str, Any] = to_builtins(self)
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            **data,
            "fits": self.fits,
            "status": self.status,
        }


def fit(
    model: Network, memory_bytes: int | None = None, input: Sizes | Mapping[str, Sizes] | None = None, *,
    batch: int = 1, dtype: str = "float32", device: Device | None = None, multiple: int = 1, **choices: Any,
) -> Fit:  # fmt: skip
    """What fits into so many bytes, or into a device's memory; see Model.fit."""
    room = room_of(memory_bytes, device)
    chosen = checked(choices, dtype)
    if not isinstance(multiple, int) or multiple < 1:
        raise UsageError("--multiple", "must be at least 1", f"{multiple}")
    asked = Asked(model, full_shapes(model.inputs, input, batch), dtype, chosen)
    peak, when = asked.peak, asked.when
    found = () if peak <= room else tuple(ways(asked, room, device))
    best = largest_input(asked, room, multiple)
    why = why_no_input(asked, multiple) if best is None and asked.of_image else ""
    return Fit(
        model.name, asked.shapes, dtype, chosen, room, peak, when, largest_batch(asked, room),
        best, found, device.id if device is not None else None, why, tuple(asked.account.notes()),
    )  # fmt: skip


def room_of(memory_bytes: int | None, device: Device | None) -> int:
    """The memory that there is."""
    own = device.memory_bytes if device is not None else None
    if memory_bytes is None:
        if own is None:
            got = "neither" if device is None else f"{device.id}, whose memory is not known"
            raise UsageError("--memory", "needs a number of bytes, or a device whose memory is known", got)
        return own
    if own is not None and memory_bytes > own:
        raise UsageError("--memory", f"must be at most what {device.id} has: {own:,} B", f"{memory_bytes:,} B")  # type: ignore[union-attr]
    if memory_bytes < 1:
        raise UsageError("--memory", "must be at least 1 byte", f"{memory_bytes}")
    return memory_bytes
