"""The account of a walked network's memory: what stands all along, the ledgers of its passes, and their peaks."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from msgspec import Struct

from archcalc.algebra.dtype import BITS, bytes_of
from archcalc.algebra.num import ceil_div, prod
from archcalc.hardware.allocator import GRANULE
from archcalc.layers.layer import Shape
from archcalc.layers.unknown import Unknown
from archcalc.model.graph import Graph
from archcalc.model.walk import Use
from archcalc.questions.ledger import Ledger, Moment, Reached
from archcalc.questions.liveness import Pass, segments
from archcalc.questions.optimizers import OPTIMIZERS
from archcalc.questions.storages import Block, Stays, kept, leading, stays

COUNTER_BYTES = 8  # a batch norm counts its batches in one int64


class Choices(Struct, frozen=True):
    """What the memory of a network depends on beside its input."""

    training: bool = False
    optimizer: str = "adam"
    amp: str | None = None  # the half format of mixed precision
    checkpoint: int | None = None  # so many layers or blocks to a segment that is computed twice
    depth: int = 1  # levels of their names that make a block, for checkpoints
    in_place: bool = False  # activations overwrite their input where that is right
    hold: Literal["reads", "blocks"] = "reads"  # a value stays until its last reader, or its reader's block, has ended
    set_to_none: bool = True  # gradients of weights are let go before each step, and not filled with zeros
    master: bool = False  # a float32 copy of weights of a smaller format
    allocator: Literal["cuda", "exact"] = "cuda"  # blocks of 512 bytes, or every byte as it is


class Row(Struct, frozen=True, gc=False):
    """What one use of a layer adds."""

    name: str
    kind: str
    output_bytes: int
    saved_bytes: int  # blocks first kept by this layer; parameters and the model's inputs add nothing


class Peak(Struct, frozen=True, dict=True, eq=False):
    """The moment at which most is taken, and what it is made of; `parts` add up to `bytes`."""

    moment: Moment
    compose: Callable[[], dict[str, int]]

    @cached_property
    def parts(self) -> dict[str, int]:
        """What is taken then, by what it is for: found by running up to the moment once more."""
        return self.compose()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Peak) and (self.moment, self.parts) == (other.moment, other.parts)

    __hash__ = None  # type: ignore[assignment]

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.moment.bytes

    @property
    def when(self) -> str:
        """The moment in words."""
        return self.moment.words


class Account:
    """Adds up what a walked network takes."""

    def __init__(
        self, model: Graph, uses: Sequence[Use], shapes: Mapping[str, Shape], dtype: str, choices: Choices,
        *, device: str = "cuda", sums_in_place: bool = True,
    ) -> None:  # fmt: skip
        self.model, self.uses, self.shapes, self.dtype, self.choices = model, uses, shapes, dtype, choices
        self.device, self.sums_in_place = device, sums_in_place
        ends = {use.node.name: use.name for use in uses}
        self.outputs = list(dict.fromkeys(ends[name] for name in model.outputs if name in ends))
        self.granule = GRANULE if choices.allocator == "cuda" else 1

    @cached_property
    def found(self) -> dict[bool, Stays]:
        """Where every value lies, at inference and in training."""
        choices, inputs = self.choices, self.model.inputs
        return {
            training: stays(
                self.uses, inputs, self.shapes, dtype=self.dtype, amp=choices.amp, training=training,
                in_place=choices.in_place, device=self.device, outputs=self.outputs,
            )
            for training in ((False, True) if choices.training else (False,))
        }  # fmt: skip

    def rounded(self, size: int) -> int:
        """A block as the allocator gives it."""
        return size if self.granule == 1 else ceil_div(size, self.granule) * self.granule

    @cached_property
    def tensors(self) -> list[tuple[int, str, bool]]:
        """Elements, role and whether it trains, of every tensor that a layer owns; a tied one stands at its owner."""
        reached = leading(self.uses, self.outputs)  # no gradient comes to a layer that no output depends on
        return [
            (prod(weight.shape), weight.role, weight.role == "trainable" and use.node.trainable and use.name in reached)
            for use in self.uses
            for name, weight in use.answers.weights.items()
            if name not in use.shared
        ]

    def standing(self, *, training: bool) -> list[int]:
        """Bytes of the blocks that are there all along: weights, buffers, inputs, and what the optimizer stores."""
        sizes = [*self.weights(), *self.buffers(), *(block.bytes for block in self.inputs())]
        return [self.rounded(size) for size in sizes + (self.stored() if training else [])]

    def weights(self) -> list[int]:
        """Bytes of each tensor of weights."""
        return [bytes_of(n, self.dtype) for n, role, _ in self.tensors if role == "trainable"]

    def buffers(self, *, counters: bool = True) -> list[int]:
        """Bytes of each running statistic, and of the counters beside them."""
        roles = {"buffer": self.dtype} | ({"counter": "int64"} if counters else {})
        return [bytes_of(n, roles[role]) for n, role, _ in self.tensors if role in roles]

    def inputs(self) -> list[Block]:
        """What the model is given, which the caller holds."""
        return list(self.found[False].inputs.values())

    def trained(self, dtype: str) -> list[int]:
        """Bytes of each tensor that trains, in a format."""
        return [bytes_of(n, dtype) for n, _, trains in self.tensors if trains]

    def stored(self) -> list[int]:
        """What a step of the optimizer leaves: its state, a float32 copy of the weights, gradients that stay."""
        choices, wide = self.choices, self.wide
        kept = self.trained(wide) * OPTIMIZERS[choices.optimizer][0]
        kept += self.trained("float32") if self.has_master else []
        return kept + ([] if choices.set_to_none else self.trained(self.dtype))

    @property
    def has_master(self) -> bool:
        """Is there a float32 copy of weights of a smaller format?"""
        return self.choices.master and BITS[self.dtype] < BITS["float32"]

    @property
    def wide(self) -> str:
        """The format that the optimizer computes in."""
        return "float32" if self.has_master else self.dtype

    def peak(self, *, training: bool) -> tuple[Peak, Ledger]:
        """The peak, and the ledger of all moments."""
        ledger = self.ledger(training=training)
        if not ledger.moments:
            ledger.note("forward", "nothing")
        place = max(range(len(ledger.moments)), key=lambda place: ledger.moments[place].bytes)

        def parts() -> dict[str, int]:
            return self.parts(self.ledger(training=training, until=place), training=training)

        return Peak(ledger.moments[place], parts), ledger

    def ledger(self, *, training: bool, until: int | None = None) -> Ledger:
        """All moments of one pass, or of its beginning up to one of them."""
        return self.into(Ledger(self.granule, sum(self.standing(training=training)), until), training=training)

    def into(self, ledger: Ledger, *, training: bool) -> Ledger:
        """Run one pass, with the optimizer's step after it, into a ledger."""
        choices, found = self.choices, self.found[training]
        parted = segments(found.uses, choices.checkpoint, choices.depth) if choices.checkpoint and training else ()
        one_pass = Pass(
            found, self.outputs, ledger, training=training, blocks_hold=choices.hold == "blocks",
            gradients_stay=not choices.set_to_none, sums_in_place=self.sums_in_place, segments=parted,
        )  # fmt: skip
        with contextlib.suppress(Reached):
            one_pass.run()
            if training and choices.optimizer != "none":
                beside = sum(self.trained(self.wide)) * OPTIMIZERS[choices.optimizer][1]
                ledger.hold(Block("step", beside, "int8", "scratch"))
                ledger.note("step", choices.optimizer)
                ledger.drop("step")
        return ledger

    @property
    def shapes_by_name(self) -> dict[str, Shape]:
        """The shape of every value, inputs and composites too."""
        found = dict(self.shapes)
        for use in self.uses:
            found[use.name] = found[use.node.name] = use.answers.y
        return found

    def by_use(self, *, training: bool) -> list[int]:
        """Bytes that belong to each use: its tensors with their gradients and state, and what it keeps or gives."""
        copies = 1
        if training:
            copies += 1 + OPTIMIZERS[self.choices.optimizer][0]
        saved = {row.name: row.saved_bytes for row in self.rows}
        sizes = []
        for use in self.uses:
            own = sum(prod(w.shape) for name, w in use.answers.weights.items() if name not in use.shared)
            values = saved[use.name] if training else 0
            sizes.append(copies * bytes_of(own, self.dtype) + values)
        return sizes

    def parts(self, ledger: Ledger, *, training: bool) -> dict[str, int]:
        """What is taken at the last moment of a ledger, by what it is for."""
        parts = {
            "weights": sum(self.weights()),
            "buffers": sum(self.buffers()),
            "inputs": sum(block.bytes for block in self.inputs()),
        }
        if training:
            parts["optimizer"] = sum(self.trained(self.wide)) * OPTIMIZERS[self.choices.optimizer][0]
            parts["float32 copy of the weights"] = sum(self.trained("float32")) if self.has_master else 0
            stay = not self.choices.set_to_none
            parts["gradients of weights"] = sum(self.trained(self.dtype)) if stay else 0
        saved = {block.name for block, _ in kept(self.found[training])} if training else set()
        for _, _, block in ledger.held.values():
            name = PARTS.get(block.role, "made beside outputs")
            if block.name.removesuffix(" again") in saved:
                name = "saved for backward"
            parts[name] = parts.get(name, 0) + block.bytes
        parts["rounding"] = ledger.now - sum(parts.values())
        return {name: size for name, size in parts.items() if not (isinstance(size, int) and size == 0)}

    def quantities(self) -> dict[str, int]:
        """The sizes that have a name, without rounding."""
        sums = {
            "weight_bytes": sum(self.weights()),
            "buffer_bytes": sum(self.buffers(counters=False)),
            "input_bytes": sum(block.bytes for block in self.inputs()),
            "output_bytes": sum(row.output_bytes for row in self.rows),
        }
        if self.choices.training:
            sums["saved_bytes"] = sum(block.bytes for block, _ in kept(self.found[True]))
            sums["gradient_bytes"] = sum(self.trained(self.dtype))
            sums["optimizer_bytes"] = sum(self.trained(self.wide)) * OPTIMIZERS[self.choices.optimizer][0]
            if self.has_master:
                sums["master_bytes"] = sum(self.trained("float32"))
        return sums

    @cached_property
    def rows(self) -> list[Row]:
        """What each use of a layer adds."""
        saved: dict[str, int] = {}
        for block, name in kept(self.found[True]) if self.choices.training else ():
            saved[name] = saved.get(name, 0) + block.bytes
        return [
            Row(stay.use.name, stay.use.kind, bytes_of(stay.use.answers.elements, stay.output.dtype),
                saved.get(stay.use.name, 0))
            for stay in self.found[self.choices.training].uses
        ]  # fmt: skip

    def notes(self) -> list[str]:
        """What was not counted."""
        unknown = [use.name for use in self.uses if isinstance(use.layer, Unknown)]
        unsaid = self.found[True].unsaid if self.choices.training else ""
        notes = [f"not counted: {', '.join(unknown)}"] if unknown else []
        return notes + ([f"what training keeps is a lower bound: {unsaid}"] if unsaid else [])

    def classroom(self) -> dict[str, int]:
        """The figures that are worked out by hand: maps, inputs and weights, each once, and nothing else.

        Inference: the weights and the two neighbouring maps that take most. Training: all maps of the batch,
        the inputs and the weights; gradients are not counted.
        """
        sizes = {block.name: block.bytes for block in self.inputs()} | {row.name: row.output_bytes for row in self.rows}
        pairs = [sizes[use.name] + sum(sizes[source] for source in dict.fromkeys(use.inputs)) for use in self.uses]
        weights = sum(self.weights())
        given = sum(block.bytes for block in self.inputs())
        maps = sum(row.output_bytes for row in self.rows)
        return {"inference": weights + max(pairs, default=0), "training": weights + given + maps}


PARTS = {
    "activation": "values in flight",
    "gradient": "gradients of values",
    "weight gradient": "gradients of weights",
    "cast weight": "weights in half precision",
    "scratch": "made within one layer",
    "inner": "made within one layer",
    "cast": "copies in another format",
    "frozen cast": "copies in another format",
}
