"""When each block of memory is taken and let go: the forward pass, and the backward pass in reverse."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.num import ceil_div, prod
from archcalc.questions.storages import Block, Stay, Stays

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
        size = block.bytes
        if self.granule != 1:
            size = ceil_div(size, self.granule) * self.granule
        self.held[block.name] = [1, size, block]
        self.now = self.now + size
        self.events.append((block.name, size))

    def drop(self, name: str) -> None:
        """Let go of a block; it is free when nobody holds it."""
        entry = self.held[name]
        entry[0] -= 1
        if entry[0] == 0:
            self.now = self.now - entry[1]
            del self.held[name]
            self.events.append((name, 0))

    def note(self, phase: Phase, name: str) -> None:
        """A moment; the one that is asked for ends the pass."""
        self.moments.append(Moment(phase, name, self.now))
        if self.until is not None and len(self.moments) > self.until:
            raise Reached


class Pass:
    """One forward pass, and the backward pass after it, over the stays of a network."""

    def __init__(
        self, found: Stays, outputs: Sequence[str], ledger: Ledger, *, training: bool,
        blocks_hold: bool = False, gradients_stay: bool = False, sums_in_place: bool = True,
        segments: Sequence[Sequence[Stay]] = (),
    ) -> None:  # fmt: skip
        self.found, self.ledger, self.training, self.outputs = found, ledger, training, outputs
        self.done_after = last_reads(found.uses, outputs, blocks_hold=blocks_hold)
        self.gradients: dict[str, str] = {}  # value -> block of its gradient
        self.gradients_stay = gradients_stay  # from step to step, instead of being made anew
        self.sums_in_place = sums_in_place  # PyTorch does not while a mode watches every operation
        self.learned: set[tuple[str, str]] = set()
        self.number = 0
        self.blocks = {stay.use.name: stay.output for stay in found.uses} | dict(found.inputs)
        self.segments = segments or [found.uses]
        self.casts: list[str] = []  # copies of weights that mixed precision caches until the forward pass ends

    def run(self) -> None:
        """All moments, in order, into the ledger."""
        *before, last = self.segments
        bounds = [self.bounds(segment) for segment in before]
        for segment, read in zip(before, bounds, strict=True):
            for block in read if self.training else ():
                self.keep(block)
            for stay in segment:
                self.forward(stay, keeping=False)
        for stay in last:
            self.forward(stay, keeping=self.training)
        self.end_forward()
        if self.training:
            self.back(last)
            for segment, read in zip(reversed(before), reversed(bounds), strict=True):
                self.back(self.again(segment))
                for block in read:
                    self.let_go(block)
        for name in self.outputs:
            self.let_go(self.blocks[name])

    def forward(self, stay: Stay, *, keeping: bool) -> None:
        """One layer: its results appear, then goes what nobody needs any more."""
        self.appear(stay, "forward", keeping=keeping)
        for name in self.done_after.get(stay.use.name, ()):
            self.let_go(self.blocks[name])

    def appear(self, stay: Stay, phase: Phase, *, keeping: bool) -> None:
        """The output and what is made beside it; what is kept stays."""
        self.keep(stay.output)
        within = (*stay.own, *stay.scratch[0])
        for block in within:
            self.ledger.hold(block)
            if block.role == "cast weight":
                self.ledger.hold(block)
                self.casts.append(block.name)
        for block in stay.kept if keeping else ():
            self.keep(block)
        self.ledger.note(phase, stay.use.name)
        for block in within:
            self.ledger.drop(block.name)

    def end_forward(self) -> None:
        """Copies of weights that only the cache held go."""
        for name in self.casts:
            self.ledger.drop(name)
        self.casts = []
        if self.training:
            for name in self.outputs:
                self.gradients[name] = self.new_gradient(self.blocks[name])

    def keep(self, block: Block) -> None:
        """Hold a block, unless the caller holds it all along."""
        if block.name not in self.found.inputs:
            self.ledger.hold(block)

    def let_go(self, block: Block) -> None:
        """Hold it no more."""
        if block.name not in self.found.inputs:
            self.ledger.drop(block.name)

    def bounds(self, segment: Sequence[Stay]) -> list[Block]:
        """What a segment reads from before it."""
        inside = {stay.use.name for stay in segment}
        read = dict.fromkeys(source for stay in segment for source in stay.use.inputs if source not in inside)
        return [self.blocks[source] for source in read]

    def again(self, segment: Sequence[Stay]) -> list[Stay]:
        """Run a segment forward once more, with new blocks, and keep what its backward pass needs."""
        inside = {stay.output.name for stay in segment}
        inside |= {block.name for stay in segment for block in stay.own if block.role != "cast weight"}

        def renewed(block: Block) -> Block:
            return replace(block, name=f"{block.name} again") if block.name in inside else block

        stays = [
            replace(stay, output=renewed(stay.output), own=tuple(map(renewed, stay.own)),
                    kept=tuple(map(renewed, stay.kept)))
            for stay in segment
        ]  # fmt: skip
        inner = {stay.use.name: stay.output for stay in stays}
        done = last_reads(stays, ())
        for stay in stays:
            self.appear(stay, "again", keeping=True)
            for name in done.get(stay.use.name, ()):
                if name in inner:
                    self.let_go(inner[name])
        for name in self.casts:
            self.ledger.drop(name)
        self.casts = []
        return stays

    def back(self, segment: Sequence[Stay]) -> None:
        """The backward pass through some layers."""
        for stay in reversed(segment):
            if stay.learning or any(stay.graded):
                self.back_through(stay)

    def new_gradient(self, of: Block, elements: int | None = None) -> str:
        """Take a block for the gradient of a value."""
        self.number += 1
        name = f"gradient {self.number}"
        self.ledger.hold(Block(name, of.elements if elements is None else elements, of.dtype, "gradient"))
        return name

    def back_through(self, stay: Stay) -> None:
        """One layer backwards: gradients of inputs and weights appear; then goes what it kept, and what arrived."""
        ledger, use = self.ledger, stay.use
        arrived = self.gradients.pop(use.name, None)
        if arrived is None:  # nothing that the loss depends on reads it
            for block in stay.kept:
                self.let_go(block)
            return
        temporary = self.learn(stay)
        inner = [self.new_gradient(block) for block in stay.own if block.role in INNER and any(stay.graded)]
        if inner:
            self.note_with(stay.scratch[1], use.name)
            for block in stay.kept:
                self.let_go(block)
        made = [
            (source, self.gradient_of(stay, number, arrived))
            for number, source in enumerate(use.inputs)
            if stay.graded[number]
        ]
        self.note_with(() if inner else stay.scratch[1], use.name)
        for name in temporary + inner:
            ledger.drop(name)
        for block in () if inner else stay.kept:
            self.let_go(block)
        ledger.drop(arrived)
        for source, gradient in made:
            self.add(source, gradient, use.name)

    def note_with(self, scratch: Sequence[Block], name: str) -> None:
        """A moment of the backward pass, with what is made and let go within."""
        for block in scratch:
            self.ledger.hold(block)
        self.ledger.note("backward", name)
        for block in scratch:
            self.ledger.drop(block.name)

    def gradient_of(self, stay: Stay, number: int, arrived: str) -> str:
        """The block of an input's gradient: the one that arrived, where it is only handed on."""
        use = stay.use
        if use.layer.hands_back(number, use.xs, use.answers.y):
            self.ledger.held[arrived][0] += 1
            return arrived
        return self.new_gradient(self.blocks[use.inputs[number]], prod(use.xs[number]))

    def learn(self, stay: Stay) -> list[str]:
        """Gradients of the tensors that train; those that are added to one that is there already are let go."""
        temporary = []
        for name in stay.learning:
            tied = name in stay.use.shared
            key = (str(stay.use.shared_with), name) if tied else (stay.use.name, name)
            block = weight_gradient(stay, name, key)
            if key in self.learned or self.gradients_stay:
                block = replace(block, name=f"{block.name} again")
                temporary.append(block.name)
            self.learned.add(key)
            self.ledger.hold(block)
        cast = [block for block in stay.own if block.role == "cast weight"]
        for block in cast:  # a gradient in half precision, before it becomes one in the weight's
            half = replace(block, name=f"gradient of {block.name}", role="gradient")
            temporary.append(half.name)
            self.ledger.hold(half)
        return temporary

    def add(self, source: str, gradient: str, name: str) -> None:
        """What several layers send back is summed: in place where nobody else holds the sum so far."""
        ledger, sum_so_far = self.ledger, self.gradients.get(source)
        if sum_so_far is None:
            self.gradients[source] = gradient
            return
        shared = ledger.held[sum_so_far][0] > 1 or not self.sums_in_place
        if shared:
            self.gradients[source] = self.new_gradient(self.blocks[source])
        ledger.note("backward", name)
        if shared:
            ledger.drop(sum_so_far)
        ledger.drop(gradient)


INNER = ("inner", "cast")  # what is made inside a layer, and has a gradient of its own


def weight_gradient(stay: Stay, name: str, key: tuple[str, str]) -> Block:
    """The gradient of a tensor, in the tensor's own format."""
    shape = stay.use.answers.weights[name].shape
    return Block(f"gradient of {'.'.join(key)}", prod(shape), stay.weight_dtype, "weight gradient")


def last_reads(uses: Sequence[Stay], outputs: Sequence[str], *, blocks_hold: bool = False) -> Mapping[str, list[str]]:
    """Which values are done with after each use: those that it reads last, or that nothing reads.

    Where blocks hold, a value stays until every block that read it has ended, as the arguments of a running function.
    """
    last: dict[str, int] = {}
    ends = block_ends(uses) if blocks_hold else {}
    for place, stay in enumerate(uses):
        name = stay.use.name
        last[name] = max(last.get(name, 0), place)
        for source in stay.use.inputs:
            held = [end for block, end in ends.items() if inside(name, block) and not inside(source, block)]
            last[source] = max([last.get(source, 0), place, *held])
    done: dict[str, list[str]] = {}
    for name, place in last.items():
        if name not in outputs:
            done.setdefault(uses[place].use.name, []).append(name)
    return done


def block_ends(uses: Sequence[Stay]) -> dict[str, int]:
    """Where the last layer of each block stands, by the block's path."""
    ends: dict[str, int] = {}
    for place, stay in enumerate(uses):
        parts = stay.use.name.split("/")
        for depth in range(1, len(parts)):
            ends["/".join(parts[:depth])] = place
    return ends


def inside(name: str, block: str) -> bool:
    """Does a layer lie in a block?"""
    return name.startswith(f"{block}/")


def segments(uses: Sequence[Stay], every: int, depth: int) -> list[list[Stay]]:
    """So many layers or blocks to a segment, in order; a block is what agrees in so many levels of its name."""
    units: list[list[Stay]] = []
    last: list[str] = []
    for stay in uses:
        unit = stay.use.name.split("/")[:depth]
        if unit == last:
            units[-1].append(stay)
        else:
            units.append([stay])
        last = unit
    return [[*chain(*units[start : start + every])] for start in range(0, len(units), every)]
