"""PyTorch's caching allocator on CUDA, replayed: how much memory a process reserves for a sequence of blocks.

The rules are those of c10/cuda/CUDACachingAllocator.cpp with its default settings: sizes are rounded up to 512 B;
blocks up to 1 MiB come from segments of 2 MiB, blocks below 10 MiB from segments of 20 MiB, larger ones from segments
rounded up to 2 MiB; the smallest free block that fits is taken, and what is left of it stays free if that is at least
512 B among small blocks, more than 1 MiB among large ones; neighbours that are free are joined.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any

MIB = 2**20
GRANULE = 512
SMALL, SMALL_SEGMENT = MIB, 2 * MIB  # a block up to the first comes from segments of the second
MEDIUM, MEDIUM_SEGMENT = 10 * MIB, 20 * MIB
ROUND_LARGE = 2 * MIB


class _Block:
    """A piece of a segment, and its neighbours in it."""

    __slots__ = ("after", "before", "free", "size", "small", "start")

    def __init__(self, start: int, size: int, *, small: bool) -> None:
        self.start, self.size, self.small, self.free = start, size, small, True
        self.before: _Block | None = None
        self.after: _Block | None = None


class Allocator:
    """Blocks by name; `reserved` is what was taken from the driver so far."""

    def __init__(self) -> None:
        self.reserved = 0
        self.pools: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}  # free: size, start, key
        self.blocks: dict[int, _Block] = {}  # by start
        self.taken: dict[Any, _Block] = {}

    def run(self, events: Iterable[tuple[Any, int]]) -> int:
        """Take blocks (name, bytes) and free them (name, 0), in order; the bytes reserved at the end."""
        for name, size in events:
            if size:
                self.take(name, size)
            elif name in self.taken:
                self.let_go(name)
        return self.reserved

    def take(self, name: Any, size: int) -> None:
        """Place a block in the smallest free one that fits, or in a new segment."""
        size = -(-size // GRANULE) * GRANULE
        small = size <= SMALL
        pool = self.pools[small]
        at = bisect_left(pool, (size, -1, -1))
        block = self.blocks[pool.pop(at)[1]] if at < len(pool) else self.segment(size, small=small)
        rest = block.size - size
        if rest >= GRANULE if small else rest > SMALL:
            self.split(block, size)
        block.free = False
        self.taken[name] = block

    def segment(self, size: int, *, small: bool) -> _Block:
        """A new segment, as one block."""
        large = MEDIUM_SEGMENT if size < MEDIUM else -(-size // ROUND_LARGE) * ROUND_LARGE
        length = SMALL_SEGMENT if small else large
        block = _Block(self.reserved, length, small=small)
        self.blocks[block.start] = block
        self.reserved += length
        return block

    def split(self, block: _Block, size: int) -> None:
        """Cut off what is not needed, and keep it free."""
        rest = _Block(block.start + size, block.size - size, small=block.small)
        rest.before, rest.after = block, block.after
        if block.after is not None:
            block.after.before = rest
        block.after, block.size = rest, size
        self.blocks[rest.start] = rest
        insort(self.pools[block.small], (rest.size, rest.start, 0))

    def let_go(self, name: Any) -> None:
        """Free a block, and join it with free neighbours."""
        block = self.taken.pop(name)
        pool = self.pools[block.small]
        block.free = True
        for other in (block.before, block.after):
            if other is not None and other.free:
                del pool[bisect_left(pool, (other.size, other.start, 0))]
        if block.before is not None and block.before.free:
            block = self.join(block.before, block)
        if block.after is not None and block.after.free:
            block = self.join(block, block.after)
        insort(pool, (block.size, block.start, 0))

    def join(self, first: _Block, second: _Block) -> _Block:
        """Two neighbours as one."""
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        del self.blocks[second.start]
        return first
