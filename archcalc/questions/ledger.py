"""The ledger of a pass: which blocks are held, how many bytes that is, and at which moments."""

from typing import Any, Literal

from msgspec import Struct

from archcalc.algebra.num import ceil_div
from archcalc.questions.storages import Block

Phase = Literal["forward", "again", "backward", "step"]


class Moment(Struct, frozen=True, gc=False):
    """What is taken in all while one layer runs: its inputs and its results both exist."""

    phase: Phase
    name: str
    bytes: int

    @property
    def words(self) -> str:
        """When it is."""
        words = {"forward": "while {} runs", "again": "while {} runs again", "backward": "in the backward pass of {}"}
        return words.get(self.phase, "in the optimizer's step").format(self.name)


class Reached(Exception):
    """The moment that was asked for has come: the ledger stays as it is."""


class Ledger:
    """Blocks that are held, by name, each counted once however many hold it."""

    def __init__(self, granule: int, base: int, until: int | None = None) -> None:
        self.granule, self.now, self.until = granule, base, until
        self.held: dict[str, list[Any]] = {}  # name -> [holders, bytes, block]
        self.moments: list[Moment] = []
        self.events: list[tuple[str, int]] = []  # what an allocator sees: a name with its bytes, or with 0 to free it

    def hold(self, block: Block) -> None:
        """Take a block, or hold one that is taken already."""
        entry = self.held.get(block.name)
        if entry is not None:
            entry[0] += 1
            return
        self.held[block.name] = [1, self.take(block), block]

    def take(self, block: Block) -> Any:
        """A block that nobody held: the bytes that it takes."""
        size = block.bytes
        if self.granule != 1:
            size = ceil_div(size, self.granule) * self.granule
        self.now = self.now + size
        if not (isinstance(size, int) and size == 0):  # an allocator gives no block for nothing
            self.events.append((block.name, size))
        return size

    def drop(self, name: str) -> None:
        """Let go of a block; it is free when nobody holds it."""
        entry = self.held[name]
        entry[0] -= 1
        if entry[0] == 0:
            del self.held[name]
            self.free(name, entry[1])

    def free(self, name: str, size: Any) -> None:
        """A block that nobody holds any more."""
        self.now = self.now - size
        if not (isinstance(size, int) and size == 0):
            self.events.append((name, 0))

    def note(self, phase: Phase, name: str) -> None:
        """A moment; the one that is asked for ends the pass."""
        self.moments.append(Moment(phase, name, self.now))
        if self.until is not None and len(self.moments) > self.until:
            raise Reached


class Tape(Ledger):
    """A ledger that does not add up: blocks as they are taken and let go, and moments, in order.

    Whoever plays it says what a block takes, for any size of the input.
    """

    def __init__(self) -> None:
        super().__init__(granule=1, base=0)
        self.steps: list[tuple[str, Any]] = []  # ("take", block), ("free", block's name), ("moment", Moment)

    def take(self, block: Block) -> int:
        self.steps.append(("take", block))
        return 0

    def free(self, name: str, size: int) -> None:
        self.steps.append(("free", name))

    def note(self, phase: Phase, name: str) -> None:
        self.steps.append(("moment", Moment(phase, name, 0)))
