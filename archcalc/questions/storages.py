"""Which blocks of memory a network's values lie in, and which of them training keeps for the backward pass."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.dtype import HALVES, bytes_of
from archcalc.algebra.num import prod
from archcalc.layers.activation import LogSoftmax, Softmax
from archcalc.layers.dense import Dense
from archcalc.layers.einsum import Einsum
from archcalc.layers.join import Where
from archcalc.layers.layer import Layer, Saved, Shape, positions_of
from archcalc.layers.norm import LayerNorm, RMSNorm
from archcalc.layers.reduce import Reduce
from archcalc.layers.reshape import Permute
from archcalc.layers.resize import Resize
from archcalc.model.graph import Input
from archcalc.model.walk import Use


class Block(Struct, frozen=True, gc=False):
    """A tensor with memory of its own."""

    name: str
    elements: int
    dtype: str
    role: str = "activation"  # inner, index, mask, statistic, (frozen) cast, cast weight, scratch, (weight) gradient

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
    scratch: tuple[tuple[Block, ...], tuple[Block, ...]]  # made and let go within the forward and the backward pass
    weight_dtype: str  # of its tensors, and of their gradients
    input_dtypes: tuple[str, ...]
    packs: Literal["nothing", "inputs", "results"]  # for the backward pass
    idle: bool  # no output depends on it


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
    outputs: Collection[str] | None = None,
) -> Stays:
    """Follow every value to the block that it lies in.

    `amp` is the half format of mixed precision; `in_place` lets activations overwrite their input where that is
    right; `graded` names inputs of the model that need a gradient too; `outputs` are not overwritten. A layer that
    needs no gradient itself, and behind which none does, keeps nothing.
    """
    given = {name: Block(name, prod(shapes[name]), item.dtype or dtype) for name, item in inputs.items()}
    follower = _Follower(given, dtype, amp, training, device)
    follower.graded.update(dict.fromkeys(graded, True))
    if in_place:
        follower.count_readers(uses, outputs or ())
    if outputs is not None:
        follower.idle = {use.name for use in uses} - leading(uses, outputs)
    return Stays(given, tuple([follower.visit(use) for use in uses]), follower.unsaid)


def kept(found: Stays) -> list[tuple[Block, str]]:
    """Every block that training keeps, once, with the layer that keeps it first."""
    first: dict[str, tuple[Block, str]] = {}
    for stay in found.uses:
        for block in () if stay.idle else stay.kept:
            first.setdefault(block.name, (block, stay.use.name))
    return list(first.values())


class _Follower:
    """State of one pass: the block of every value, and who learns."""

    def __init__(self, inputs: Mapping[str, Block], dtype: str, amp: str | None, training: bool, device: str) -> None:
        self.inputs, self.dtype, self.amp, self.training, self.device = inputs, dtype, amp, training, device
        self.blocks = dict(inputs)
        self.graded = dict.fromkeys(inputs, False)  # does a gradient flow back to this value?
        self.learns: dict[tuple[str, str], bool] = {}  # does this tensor of this use train?
        self.origins: dict[str, str] = {}  # value -> the one that it is a view of, where results may overwrite inputs
        self.readers: dict[str, int] = {}  # how many read that, themselves or a view of it
        self.idle: Collection[str] = ()  # layers that no output depends on
        self.locked: set[str] = set()  # blocks that the backward pass needs as they are
        self.cast: set[str] = set()  # tensors that mixed precision has copied already
        self.saved: dict[int, tuple[Saved, ...] | None] = {}
        self.unsaid = ""

    def visit(self, use: Use) -> Stay:
        layer, learning = use.layer, self.learning(use)
        given = tuple([self.blocks[source].dtype for source in use.inputs])
        graded = tuple([layer.differentiable and self.graded[source] for source in use.inputs])
        if isinstance(layer, Resize):
            graded = (graded[0], *[False] * (len(graded) - 1))  # the second input only says a size
        if isinstance(layer, Where):
            graded = (False, *graded[1:])  # the first only says which of the others is taken
        self.graded[use.name] = bool(learning) or any(graded)
        casts = list(self.casts(use, learning, graded)) if self.amp is not None else []
        tensors = self.told(use)
        if tensors is None or layer.keeps_more or permutes(use):
            self.unsaid = self.unsaid or _why(use)
        instead = self.overwrites(use)
        tensors = (tensors or ()) if instead is None else instead
        self.blocks[use.name] = output = self.output(use, instead is not None)
        own, kept = self.beside(use, tensors, casts, output, (graded, learning))
        forward, backward = layer.scratch(use.xs, use.answers.y, self.training, graded, self.device)
        scratch = _within(use, forward, output), _within(use, backward, output)
        packed = packs(use, tensors) if self.differentiated(use) else "nothing"
        return Stay(use, output, own, kept, graded, learning, scratch, self.dtype, given, packed, use.name in self.idle)

    def told(self, use: Use) -> tuple[Saved, ...] | None:
        """What the layer says that it keeps; uses with the same answers are the same layer on the same shapes."""
        key = id(use.answers)
        if key not in self.saved:
            self.saved[key] = use.layer.saved(use.xs, use.answers.y, self.device)
        return self.saved[key]

    def differentiated(self, use: Use) -> bool:
        """Is there a backward pass through it?"""
        return self.training and self.graded[use.name]

    def beside(
        self, use: Use, tensors: Sequence[Saved], casts: Sequence[tuple[Block, bool]], output: Block,
        wanted: tuple[Sequence[bool], Sequence[str]],
    ) -> tuple[tuple[Block, ...], tuple[Block, ...]]:  # fmt: skip
        """What is made beside the output, and what is kept, where these gradients are wanted."""
        own = [block for block, _ in casts if block.name not in self.cast]
        self.cast.update(block.name for block in own)
        kept = [block for block, saved in casts if saved and self.differentiated(use)]
        copies = {number: block for block, _ in casts for number in _copied(block, use)}
        for number, tensor in enumerate(tensors):
            block = self.block(tensor, use, number, copies, output)
            if tensor.of == "own" and (self.training or not tensor.training_only):
                own.append(block)
            if self.differentiated(use) and block.name not in self.inputs and _wanted(tensor, *wanted):
                kept.append(block)
        self.locked.update(block.name for block in kept)
        return tuple(own), tuple(kept)

    def output(self, use: Use, replaces: bool) -> Block:
        """Where the result lies."""
        if use.inputs and (replaces or use.layer.aliases(self.training)):
            return self.blocks[use.inputs[0]]
        elements = 0 if use.layer.aliases(self.training) else use.answers.elements  # of nothing read: its own weight's
        return Block(use.name, elements, use.dtype or self.computed(use))

    def computed(self, use: Use) -> str:
        """The format that a layer computes in."""
        if self.amp is None:
            return self.dtype
        rule = use.layer.autocast
        if rule == "follows":
            given = [self.blocks[source].dtype for source in use.inputs]
            return self.amp if given and all(dtype == self.amp for dtype in given) else self.dtype
        return self.amp if rule == "half" else self.dtype

    def casts(self, use: Use, learning: Sequence[str], graded: Sequence[bool]) -> Iterator[tuple[Block, bool]]:
        """Copies that mixed precision makes of inputs and weights in another format, and whether they are kept."""
        rule, wanted = use.layer.autocast, self.computed(use)
        if rule == "follows" or reads_halves(use.layer, str(self.amp)):
            return
        for number, source in enumerate(use.inputs):
            block = self.blocks[source]
            if block.dtype != wanted and block.dtype in (*HALVES, "float32", "float64"):
                yield Block(f"{use.name} (input {number + 1} cast)", block.elements, wanted, "cast"), False
        needed = any(graded) or not isinstance(use.layer, Dense)  # a convolution keeps its weight whatever is needed
        for name, weight in use.answers.weights.items() if rule == "half" else ():
            key = f"{use.shared_with if name in use.shared else use.name}.{name} cast"
            block = Block(key, prod(weight.shape), wanted, "cast weight")
            if name not in learning:  # only what trains is kept for the next use
                block = replace(block, name=f"{key} for {use.name}", role="frozen cast")
            yield block, name == "weight" and needed

    def count_readers(self, uses: Sequence[Use], outputs: Collection[str]) -> None:
        """How many read each value; the caller reads the model's outputs."""
        for use in uses:
            view = bool(use.inputs) and use.layer.aliases(self.training)
            self.origins[use.name] = self.origins.get(use.inputs[0], use.inputs[0]) if view else use.name
            for source in () if view else use.inputs:
                origin = self.origins.get(source, source)
                self.readers[origin] = self.readers.get(origin, 0) + 1
        for name in outputs:
            self.readers[self.origins.get(name, name)] = len(uses) + 1

    def overwrites(self, use: Use) -> tuple[Saved, ...] | None:
        """What it keeps if the result may lie in the input's place: nobody else reads that, nor needs it as it was."""
        if not self.origins or not use.inputs:
            return None
        block = self.blocks[use.inputs[0]]
        free = block.name not in self.inputs and block.name not in self.locked
        alone = self.readers.get(self.origins.get(use.inputs[0], ""), 0) == 1 and block.dtype == self.computed(use)
        return use.layer.in_place(use.answers.y, self.training) if free and alone else None

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


def reads_halves(layer: Layer, amp: str) -> bool:
    """Does its kernel on CUDA read this format and write float32, so that nothing is copied?"""
    if isinstance(layer, Softmax | LogSoftmax):
        return amp == "float16"
    return isinstance(layer, Reduce)


def leading(uses: Sequence[Use], outputs: Collection[str]) -> set[str]:
    """The layers and inputs that the outputs depend on."""
    found = set(outputs)
    for use in reversed(uses):
        if use.name in found:
            found.update(use.inputs)
    return found


def _within(use: Use, tensors: Sequence[Saved], output: Block) -> tuple[Block, ...]:
    """Tensors that are made and let go within one pass through a layer."""
    named = enumerate(tensors, 1)
    return tuple([Block(f"{use.name} (within {n})", t.elements, t.dtype or output.dtype, "scratch") for n, t in named])


def packs(use: Use, tensors: Sequence[Saved]) -> Literal["nothing", "inputs", "results"]:
    """What it hands to the backward pass: its inputs and weights when it starts, or also what its kernel makes."""
    if any(tensor.of == "output" or (tensor.of == "own" and tensor.role != "activation") for tensor in tensors):
        return "results"
    return "inputs" if tensors or use.answers.weights else "nothing"


def _copied(block: Block, use: Use) -> list[int]:
    """Which input a cast copy stands for."""
    return [n for n in range(len(use.inputs)) if block.name == f"{use.name} (input {n + 1} cast)"]


def _why(use: Use) -> str:
    if permutes(use):
        return f"{use.name}: what reads a permuted tensor may keep a copy of it"
    if use.layer.keeps_more:
        return f"{use.name}: {use.layer.keeps_more}"
    return f"{use.name}: {use.kind} does not say what it keeps"


def permutes(use: Use) -> bool:
    """Does the output lie in memory in another order than its axes? A norm over other axes than the last moves them."""
    if isinstance(use.layer, LayerNorm | RMSNorm):
        rank = len(use.answers.y)
        axes = positions_of(use.layer, use.answers.y, use.layer.axes)
        return axes != tuple(range(rank - len(axes), rank))
    if isinstance(use.layer, Einsum):
        return use.layer.permutes(use.xs)
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
