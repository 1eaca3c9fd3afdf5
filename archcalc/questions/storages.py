"""Which blocks of memory a network's values lie in, and which of them training keeps for the backward pass."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import prod
from archcalc.layers.layer import Saved, Shape, positions_of
from archcalc.layers.norm import LayerNorm, RMSNorm
from archcalc.layers.reshape import Permute
from archcalc.layers.resize import Resize
from archcalc.model.graph import Input
from archcalc.model.walk import Use

HALVES = ("float16", "bfloat16")


class Block(Struct, frozen=True, gc=False):
    """A tensor with memory of its own."""

    name: str
    elements: int
    dtype: str
    role: str = "activation"  # or inner, index, mask, statistic, cast, cast weight, scratch, gradient, weight gradient

    @property
    def bytes(self) -> int:
        """What its elements take."""
        return bytes_of(self.elements, self.dtype)


class Stay(Struct, frozen=True, gc=False):
    """What one use of a layer does to memory: where its output lies, what it makes beside it, what it keeps."""

    use: Use
    output: Block  # an input's own block where nothing is copied
    own: tuple[Block, ...]  # made beside the output in the forward pass, kept or not
    kept: tuple[Block, ...]  # needed by the backward pass; parameters and inputs of the model are left out
    graded: tuple[bool, ...]  # which inputs a gradient flows back to
    learning: tuple[str, ...]  # which of its tensors train
    scratch: tuple[Block, Block]  # made and let go within the forward and the backward pass
    weight_dtype: str  # of its tensors, and of their gradients
    input_dtypes: tuple[str, ...]


class Stays(Struct, frozen=True):
    """All uses in order, and the model's inputs as blocks; `unsaid` is why what is kept is not known, else empty."""

    inputs: dict[str, Block]
    uses: tuple[Stay, ...]
    unsaid: str = ""


def stays(
    uses: Sequence[Use],
    inputs: Mapping[str, Input],
    shapes: Mapping[str, Shape],
    *,
    dtype: str = "float32",
    amp: str | None = None,
    training: bool = True,
    in_place: bool = False,
    device: str = "cuda",
    graded: Collection[str] = (),
) -> Stays:
    """Follow every value to the block that it lies in.

    `amp` is the half format of mixed precision; `in_place` lets activations overwrite their input where that is
    right; `graded` names inputs of the model that need a gradient too. A layer behind which nothing needs a gradient
    keeps nothing.
    """
    given = {name: Block(name, prod(shapes[name]), item.dtype or dtype) for name, item in inputs.items()}
    follower = _Follower(given, dtype, amp, training, device)
    follower.graded.update(dict.fromkeys(graded, True))
    follower.readers = _readers(uses) if in_place else None
    return Stays(given, tuple([follower.visit(use) for use in uses]), follower.unsaid)


def kept(found: Stays) -> list[tuple[Block, str]]:
    """Every block that training keeps, once, with the layer that keeps it first."""
    first: dict[str, tuple[Block, str]] = {}
    for stay in found.uses:
        for block in stay.kept:
            first.setdefault(block.name, (block, stay.use.name))
    return list(first.values())


class _Follower:
    """State of one pass: the block of every value, and who learns."""

    def __init__(self, inputs: Mapping[str, Block], dtype: str, amp: str | None, training: bool, device: str) -> None:
        self.inputs, self.dtype, self.amp, self.training, self.device = inputs, dtype, amp, training, device
        self.blocks = dict(inputs)
        self.graded = dict.fromkeys(inputs, False)  # does a gradient flow back to this value?
        self.learns: dict[tuple[str, str], bool] = {}  # does this tensor of this use train?
        self.readers: Mapping[str, int] | None = None  # how many read a value, where results may overwrite inputs
        self.locked: set[str] = set()  # blocks that the backward pass needs as they are
        self.cast: set[str] = set()  # tensors that mixed precision has copied already
        self.unsaid = ""

    def visit(self, use: Use) -> Stay:
        layer, y = use.layer, use.answers.y
        learning = self.learning(use)
        given = tuple([self.blocks[source].dtype for source in use.inputs])
        graded = tuple([self.graded[source] for source in use.inputs])
        if isinstance(layer, Resize):
            graded = (graded[0], *[False] * (len(graded) - 1))  # the second input only says a size
        self.graded[use.name] = bool(learning) or any(graded)
        differentiated = self.training and self.graded[use.name]
        casts = list(self.casts(use, learning)) if self.amp is not None else []
        replaces = self.overwrites(use)
        self.blocks[use.name] = output = self.output(use, replaces)
        tensors = layer.saved(use.xs, y, self.device)
        if tensors is None or permutes(use):
            self.unsaid = self.unsaid or _why(use)
        if replaces:
            tensors = (Saved("output", use.answers.elements),)
        own = [block for block, _ in casts]
        kept = [block for block, saved in casts if saved and differentiated]
        copies = {number: block for block, _ in casts for number in _copied(block, use)}
        for number, tensor in enumerate(tensors or ()):
            block = self.block(tensor, use, number, copies, output)
            if tensor.of == "own" and (self.training or not tensor.training_only):
                own.append(block)
            if differentiated and block.name not in self.inputs and _wanted(tensor, graded, learning):
                kept.append(block)
        self.locked.update(block.name for block in kept)
        scratch = [
            Block(f"{use.name} (within)", n, output.dtype, "scratch") for n in layer.scratch(use.xs, y, self.training)
        ]
        return Stay(use, output, tuple(own), tuple(kept), graded, learning, (scratch[0], scratch[1]), self.dtype, given)

    def output(self, use: Use, replaces: bool) -> Block:
        """Where the result lies."""
        if use.inputs and (replaces or use.layer.aliases(self.training)):
            return self.blocks[use.inputs[0]]
        return Block(use.name, use.answers.elements, use.dtype or self.computed(use))

    def computed(self, use: Use) -> str:
        """The format that a layer computes in."""
        if self.amp is None:
            return self.dtype
        rule = use.layer.autocast
        if rule == "follows":
            given = [self.blocks[source].dtype for source in use.inputs]
            return self.amp if given and all(dtype == self.amp for dtype in given) else self.dtype
        return self.amp if rule == "half" else self.dtype

    def casts(self, use: Use, learning: Sequence[str]) -> Iterator[tuple[Block, bool]]:
        """Copies that mixed precision makes of inputs and weights in another format, and whether they are kept."""
        rule, wanted = use.layer.autocast, self.computed(use)
        if rule == "follows":
            return
        for number, source in enumerate(use.inputs):
            block = self.blocks[source]
            if block.dtype != wanted and block.dtype in (*HALVES, "float32", "float64"):
                yield Block(f"{use.name} (input {number + 1} cast)", block.elements, wanted, "cast"), False
        for name, weight in use.answers.weights.items() if rule == "half" else ():
            key = f"{use.shared_with if name in use.shared else use.name}.{name} cast"
            if key not in self.cast:
                self.cast.add(key)
                yield Block(key, prod(weight.shape), wanted, "cast weight"), name == "weight" and any(learning)

    def overwrites(self, use: Use) -> bool:
        """May the result lie in the input's place: nobody else reads it, and nothing needs it as it was?"""
        if self.readers is None or not use.layer.in_place(self.training):
            return False
        source = use.inputs[0]
        block = self.blocks[source]
        free = block.name not in self.inputs and block.name not in self.locked
        return free and self.readers.get(source, 0) == 1

    def learning(self, use: Use) -> tuple[str, ...]:
        """The tensors that train; a tied one does if its owner's does."""
        learning = []
        for name, weight in use.answers.weights.items():
            if weight.role != "trainable":
                continue
            tied = name in use.shared
            trains = self.learns[str(use.shared_with), name] if tied else use.node.trainable
            self.learns[use.name, name] = trains
            learning += [name] if trains else []
        return tuple(learning)

    def block(self, tensor: Saved, use: Use, number: int, copies: Mapping[int, Block], output: Block) -> Block:
        """The block of a tensor that a layer keeps."""
        if isinstance(tensor.of, int):
            return copies.get(tensor.of) or self.blocks[use.inputs[tensor.of]]
        if tensor.of == "output":
            return output
        dtype = tensor.dtype or output.dtype
        if tensor.role == "statistic" and self.dtype == "float64":
            dtype = "float64"  # statistics are at least float32
        role = "inner" if tensor.role == "activation" else tensor.role
        return Block(f"{use.name} (own {number + 1})", tensor.elements, dtype, role)


def _copied(block: Block, use: Use) -> list[int]:
    """Which input a cast copy stands for."""
    return [n for n in range(len(use.inputs)) if block.name == f"{use.name} (input {n + 1} cast)"]


def _readers(uses: Sequence[Use]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for use in uses:
        for source in use.inputs:
            counts[source] = counts.get(source, 0) + 1
    return counts


def _why(use: Use) -> str:
    if permutes(use):
        return f"{use.name}: what reads a permuted tensor may keep a copy of it"
    return f"{use.name}: {use.kind} does not say what it keeps"


def permutes(use: Use) -> bool:
    """Does the output lie in memory in another order than its axes? A norm over other axes than the last moves them."""
    if isinstance(use.layer, LayerNorm | RMSNorm):
        rank = len(use.answers.y)
        axes = positions_of(use.layer, use.answers.y, use.layer.axes)
        return axes != tuple(range(rank - len(axes), rank))
    return isinstance(use.layer, Permute)


def _wanted(tensor: Saved, graded: Sequence[bool], learning: Sequence[str]) -> bool:
    """Does somebody need a gradient that is computed from it?"""
    match tensor.wanted_by:
        case None:
            return True
        case str(name):
            return name in learning
        case int(number):
            return graded[number]
        case numbers:
            return any(graded[number] for number in numbers)
