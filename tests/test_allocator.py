"""The caching allocator replayed: worked out by hand, and laws that hold for any sequence of blocks."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archcalc import load
from archcalc.hardware.allocator import Allocator

KIB, MIB = 2**10, 2**20

BY_HAND = {
    "nothing": ([], 0),
    "one byte takes a small segment": ([("a", 1)], 2 * MIB),
    "1 MiB is small: two of them fill a segment": ([("a", MIB), ("b", MIB)], 2 * MIB),
    "a third one needs another": ([("a", MIB), ("b", MIB), ("c", 1)], 4 * MIB),
    "a byte more is large: 20 MiB": ([("a", MIB + 1)], 20 * MIB),
    "below 10 MiB: 20 MiB, where two fit": ([("a", 10 * MIB - 512), ("b", 10 * MIB - 512)], 20 * MIB),
    "10 MiB and more: its own size": ([("a", 10 * MIB)], 10 * MIB),
    "rounded up to 2 MiB": ([("a", 11 * MIB)], 12 * MIB),
    "the rest of a large segment is free if more than 1 MiB": ([("a", 18 * MIB + 512), ("b", MIB + 512)], 20 * MIB),
    "1 MiB that is left stays with its block": ([("a", 11 * MIB), ("b", 512 + MIB)], 32 * MIB),
    "what was let go is used again": ([("a", 30 * MIB), ("a", 0), ("b", 28 * MIB)], 30 * MIB),
    "a smaller one takes a part of it": ([("a", 30 * MIB), ("a", 0), ("b", 4 * MIB), ("c", 26 * MIB)], 30 * MIB),
    "a larger one does not fit": ([("a", 30 * MIB), ("a", 0), ("b", 32 * MIB)], 62 * MIB),
    "neighbours are joined": (
        [("a", 10 * MIB - 512), ("b", 10 * MIB + 512 - 1024), ("a", 0), ("b", 0), ("c", 20 * MIB)], 20 * MIB,
    ),
    "not across a block between them": (
        [("a", 8 * MIB), ("b", 2 * MIB), ("c", 9 * MIB), ("a", 0), ("c", 0), ("d", 12 * MIB)], 32 * MIB,
    ),
    "small and large pools are apart": ([("a", 20 * MIB), ("a", 0), ("b", 512)], 22 * MIB),
    "the smallest that fits": (
        [("a", 30 * MIB), ("b", 40 * MIB), ("a", 0), ("b", 0), ("c", 30 * MIB), ("d", 40 * MIB)], 70 * MIB,
    ),
    "a name that is not there": ([("a", 0)], 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name):
    events, reserved = BY_HAND[name]
    assert Allocator().run(events) == reserved


def test_where_blocks_lie():
    """The rest behind a block, of 512 B at least, is the next one's place; the first place is the lowest."""
    allocator = Allocator()
    allocator.run([("a", 100), ("b", 513), ("c", 512), ("b", 0), ("d", 600), ("e", 1)])
    assert {name: (block.start, block.size) for name, block in allocator.taken.items()} == {
        "a": (0, 512), "c": (1536, 512), "d": (512, 1024), "e": (2048, 512),
    }  # fmt: skip


SIZES = st.one_of(
    st.integers(1, 4 * KIB), st.integers(1, MIB), st.integers(MIB, 12 * MIB), st.integers(9 * MIB, 40 * MIB),
    st.sampled_from([512, MIB, MIB + 1, 10 * MIB - 1, 10 * MIB, 19 * MIB, 20 * MIB]),
)  # fmt: skip


@st.composite
def events(draw):
    """Blocks that are taken and let go, in any order."""
    found, held = [], []
    for number in range(draw(st.integers(1, 40))):
        if held and draw(st.booleans()):
            found.append((held.pop(draw(st.integers(0, len(held) - 1))), 0))
        else:
            found.append((number, draw(SIZES)))
            held.append(number)
    return found


def check_sound(allocator):
    """Blocks fill the segments without gap or overlap; free neighbours of a segment are one."""
    blocks = sorted(allocator.blocks.values(), key=lambda block: block.start)
    assert sum(block.size for block in blocks) == allocator.reserved
    for first, second in pairwise(blocks):
        assert first.start + first.size == second.start
        assert not (first.free and second.free and first.after is second)
    taken = allocator.taken.values()
    assert {block.start for block in blocks if not block.free} == {block.start for block in taken}
    free = [(block.size, block.start, 0) for block in blocks if block.free]
    assert sorted(entry for pool in allocator.pools.values() for entry in pool) == sorted(free)


@given(events())
def test_any_sequence(sequence):
    allocator, live, most = Allocator(), {}, 0
    for name, size in sequence:
        before = allocator.reserved
        allocator.run([(name, size)])
        live.pop(name, None)
        live |= {name: size} if size else {}
        most = max(most, sum(live.values()))
        assert allocator.reserved >= before  # nothing is given back to the driver
        check_sound(allocator)
    assert allocator.reserved >= most
    assert all(allocator.taken[name].size >= size for name, size in live.items())
    assert Allocator().run(sequence) == allocator.reserved


@given(events())
def test_letting_everything_go_joins_each_segment_again(sequence):
    allocator = Allocator()
    allocator.run(sequence)
    allocator.run([(name, 0) for name in list(allocator.taken)])
    assert allocator.taken == {}
    assert all(block.free and block.before is None and block.after is None for block in allocator.blocks.values())
    assert sum(block.size for block in allocator.blocks.values()) == allocator.reserved


@given(events())
def test_the_same_once_more_needs_nothing_new(sequence):
    """A first pass leaves segments that a second one of the same blocks fits into, or it takes a few more; a third none."""
    allocator = Allocator()
    found = []
    for _ in range(4):
        found.append(allocator.run(sequence))
        allocator.run([(name, 0) for name in list(allocator.taken)])
    assert found[0] <= found[1] <= found[2] <= found[3]
    assert found[3] <= 2 * found[0] + 40 * MIB


@pytest.mark.parametrize("choices", [{}, {"training": True}], ids=["inference", "training"])
@pytest.mark.parametrize("name", ["resnet18", "exercise_m", "unet"])
def test_a_network_reserves_what_it_takes_and_a_little_more(name, choices):
    found = load(f"zoo:{name}").memory(batch=4, **choices)
    assert found.reserved_bytes % (2 * MIB) == 0
    assert found.peak.bytes <= found.reserved_bytes <= 1.6 * found.peak.bytes + 40 * MIB
