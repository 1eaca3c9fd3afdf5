"""When each block of memory is taken and let go: the forward pass, and the backward pass in reverse."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from msgspec.structs import replace

from archcalc.algebra.num import prod
from archcalc.questions.ledger import Ledger, Phase
from archcalc.questions.storages import Block, Stay, Stays


class Pass:
    """One forward pass, and the backward pass after it, over the stays of a network."""

    def __init__(
        self, found: Stays, outputs: Sequence[str], ledger: Ledger, *, training: bool,
        blocks_hold: bool = False, gradients_stay: bool = False, sums_in_place: bool = True,
        segments: Sequence[Sequence[Stay]] = (),
    ) -> None:  # fmt: skip
        self.found, self.ledger, self.training, self.outputs = found, ledger, training, outputs
        self.done_after = last_reads(found.uses, outputs, blocks_hold=blocks_hold)
        self.forgotten = forgotten(found.uses)
        self.remembered: set[str] = set()  # layers that keep something
        self.gradients: dict[str, str] = {}  # value -> block of its gradient
        self.gradients_stay = gradients_stay  # from step to step, instead of being made anew
        self.sums_in_place = sums_in_place  # PyTorch does not while a mode watches every operation
        self.learned: set[tuple[str, str]] = set()
        keys = [key_of(stay, name) for stay in found.uses for name in stay.learning]
        self.uses_left = Counter(keys)  # of each tensor that trains, from which a gradient is still to come
        self.half = {block.name: block for stay in found.uses for block in stay.own if block.role == "cast weight"}
        self.number = 0
        self.blocks = {stay.use.name: stay.output for stay in found.uses} | dict(found.inputs)
        self.sizes = {stay.use.name: stay.use.answers.elements for stay in found.uses}  # a view's are not its block's
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
        for other in self.forgotten.get(stay.use.name, ()):
            for block in other.kept if other.use.name in self.remembered else ():
                self.let_go(block)

    def appear(self, stay: Stay, phase: Phase, *, keeping: bool, whole: bool = True) -> None:
        """The output and what is made beside it, or only that; what is kept stays."""
        if whole:
            self.keep(stay.output)
        within = (*stay.own, *stay.scratch[0]) if whole else stay.own
        for block in within:
            self.ledger.hold(block)
            if block.role == "cast weight":
                self.ledger.hold(block)
                self.casts.append(block.name)
        if keeping and not (stay.idle and phase == "again"):
            self.remembered.add(stay.use.name)
            for block in stay.kept:
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
            graded = {stay.use.name for stay in self.found.uses if stay.learning or any(stay.graded)}
            for name in self.outputs:
                if name in graded:
                    self.gradients[name] = self.new_gradient(self.blocks[name], self.sizes[name])

    def keep(self, block: Block) -> None:
        """Hold a block, unless the caller holds it all along."""
        if block.name not in self.found.inputs:
            self.ledger.hold(block)

    def let_go(self, block: Block) -> None:
        """Hold it no more."""
        if block.name not in self.found.inputs:
            self.ledger.drop(block.name)

    def bounds(self, segment: Sequence[Stay]) -> list[Block]:
        """What a segment reads from before it, if it must be run again."""
        if all(stay.packs == "nothing" for stay in segment):
            return []
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
        self.rerun(stays)
        return stays

    def rerun(self, stays: Sequence[Stay]) -> None:
        """The forward pass of a segment; PyTorch ends it once the last tensor is there that the backward pass needs."""
        packing = [place for place, stay in enumerate(stays) if stay.packs != "nothing"]
        end = packing[-1] if packing else -1
        done, alive = last_reads(stays, ()), dict[str, Block]()
        for place, stay in enumerate(stays[: end + 1]):
            whole = place < end or stay.packs == "results"
            self.appear(stay, "again", keeping=True, whole=whole)
            alive |= {stay.use.name: stay.output} if whole else {}
            for name in done.get(stay.use.name, ()):
                if name in alive:
                    self.let_go(alive.pop(name))
        for block in alive.values():
            self.let_go(block)
        for name in self.casts:
            self.ledger.drop(name)
        self.casts = []

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
        if arrived is None or stay.idle:
            return
        taken = not use.inputs and ledger.held[arrived][0] == 1 and not self.gradients_stay
        if taken:  # a tensor that is read by itself takes the gradient that arrives for its own
            ledger.drop(arrived)
        temporary, turning = self.learn(stay)
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
        if not taken:
            ledger.drop(arrived)
        for source, gradient in made:
            self.add(source, gradient, use.name)
        for gone, block, stays in turning:
            self.turn(gone, block, use.name, stays=stays)

    def turn(self, gone: str, block: Block, name: str, *, stays: bool) -> None:
        """A gradient turns into another block."""
        self.ledger.hold(block)
        self.ledger.note("backward", name)
        self.ledger.drop(gone)
        if not stays:
            self.ledger.drop(block.name)

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

    def learn(self, stay: Stay) -> tuple[list[str], list[tuple[str, Block, bool]]]:
        """Gradients of the tensors that train appear.

        Given back are the names of those that go with the layer, and those that turn into another block after it,
        with that block and whether it stays. What several uses of a tensor send back is summed first.
        """
        temporary, turning = list[str](), list[tuple[str, Block, bool]]()
        for name in stay.learning:
            key = key_of(stay, name)
            self.uses_left[key] -= 1
            final = weight_gradient(stay, name, key)
            if self.gradients_stay:  # it is added to the one that is there
                final = replace(final, name=f"{final.name} again")
            half = self.half.get(f"{'.'.join(key)} cast")
            block = final if half is None else replace(half, name=f"gradient of {half.name}", role="gradient")
            if key in self.learned:
                more = replace(block, name=f"{block.name} more")
                self.ledger.hold(more)
                temporary += [more.name] if self.sums_in_place else []
                turning += [] if self.sums_in_place else [(more.name, replace(block, name=f"{block.name} sum"), False)]
            else:
                self.learned.add(key)
                self.ledger.hold(block)
            if self.uses_left[key] == 0:
                turning += [] if half is None else [(block.name, final, not self.gradients_stay)]
                temporary += [block.name] if half is None and self.gradients_stay else []
        return temporary, turning

    def add(self, source: str, gradient: str, name: str) -> None:
        """What several layers send back is summed: in place where nobody else holds the sum so far."""
        ledger, sum_so_far = self.ledger, self.gradients.get(source)
        if sum_so_far is None:
            self.gradients[source] = gradient
            return
        shared = ledger.held[sum_so_far][0] > 1 or not self.sums_in_place
        if shared:
            self.gradients[source] = self.new_gradient(self.blocks[source], self.sizes.get(source))
        ledger.note("backward", name)
        if shared:
            ledger.drop(sum_so_far)
        ledger.drop(gradient)


INNER = ("inner", "cast")  # what is made inside a layer, and has a gradient of its own


def key_of(stay: Stay, name: str) -> tuple[str, str]:
    """A tensor by its owner and its name."""
    return (str(stay.use.shared_with), name) if name in stay.use.shared else (stay.use.name, name)


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


def forgotten(uses: Sequence[Stay]) -> Mapping[str, list[Stay]]:
    """Layers that no output depends on, by the use after which the last value behind them goes, and what they keep."""
    ends: dict[str, int] = {}  # of a value, and of all that is computed from it
    found: dict[str, list[Stay]] = {}
    for place, stay in reversed(list(enumerate(uses))):
        end = ends[stay.use.name] = max(ends.get(stay.use.name, 0), place)
        for source in stay.use.inputs:
            ends[source] = max(ends.get(source, 0), end)
        if stay.idle:
            found.setdefault(uses[end].use.name, []).append(stay)
    return found


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
