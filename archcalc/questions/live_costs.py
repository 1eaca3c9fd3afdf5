"""What memory and time rest on, for every size at once: a tape of blocks, and the traffic of the kernels, in slots."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from archcalc.algebra.dtype import BITS, BYTEWISE
from archcalc.algebra.num import guided
from archcalc.errors import ArchcalcError
from archcalc.hardware.device import Device
from archcalc.hardware.rates import highest, rate_of
from archcalc.questions.account import Account, Choices
from archcalc.questions.kernels import Launch, launches, leading_to, touched
from archcalc.questions.ledger import Tape
from archcalc.questions.live import Asked, Assumed, Live
from archcalc.questions.storages import Block, stays
from archcalc.questions.traffic import read_once, written_once

NARROW, WIDE = "bfloat16", "float32"  # two formats that tell what follows the format from what does not


def in_cases(question: Callable[[Live], dict[str, Any]], asked: Sequence[Asked], live: Live) -> list[dict[str, Any]]:
    """What a question finds, and where: `unless` all of some comparisons hold, or where all `assumed` ones do.

    The formulas come first; where the model's own size is in doubt, also what holds there. Of other sizes nothing is
    known, and nothing at all where a layer has no formula in the letters.
    """
    found: list[dict[str, Any]] = []
    with suppress(TypeError, ArchcalcError):
        doubts = live.doubts(asked)
        found.append(question(live) | {"unless": doubts, "assumed": []})
        if any(map(live.hold, doubts)):
            case = Assumed(live, live.values)
            with guided(case):
                here = question(live)
            found.append(here | {"unless": [], "assumed": case.slots()})
    return found


# All that memory, and a bound of time, depend on in one layer; each by itself, since some take long to answer.
KEPT: tuple[Asked, ...] = (
    lambda layer, xs, y: layer.saved(xs, y, "cuda"),
    *(
        lambda layer, xs, y, training=training: layer.scratch(xs, y, training, [True] * len(xs), "cuda")
        for training in (False, True)
    ),
    lambda layer, xs, y: tuple(layer.hands_back(number, xs, y) for number in range(len(xs))),
)
MOVED: tuple[Asked, ...] = (
    lambda layer, xs, y: layer.reads(xs, y),
    lambda layer, xs, y: layer.reads_weights(xs, y),
    lambda layer, xs, y: layer.product(xs, y),
)


def memory(live: Live) -> dict[str, Any]:
    """Tapes of inference and training; a block is a slot of elements and the bytes of one: 0 for the model's format.

    A step of a tape is the number of a block, plus one, that is taken (negative: let go), or 0 before a moment:
    its phase, and the number of its layer. What stands all along is listed by tensor, since each is rounded up.
    """
    account = Account(live.graph, live.uses, live.shapes, NARROW, Choices(training=True, optimizer="none"))
    blocks = _Blocks(live)
    return {
        "weights": [live.program.slot(n) for n, role, _ in account.tensors if role == "trainable"],
        "buffers": [live.program.slot(n) for n, role, _ in account.tensors if role == "buffer"],
        "counters": sum(role == "counter" for _, role, _ in account.tensors),
        "trained": [live.program.slot(n) for n, _, trains in account.tensors if trains],
        "inputs": [blocks.number(block) for block in account.inputs()],
        "inference": blocks.steps(_tape(account, training=False)),
        "training": blocks.steps(_tape(account, training=True)),
        "blocks": blocks.found,
        "unsaid": account.found[True].unsaid,
    }


def _tape(account: Account, *, training: bool) -> Tape:
    tape = Tape()
    account.into(tape, training=training)
    return tape


class _Blocks:
    """Blocks by number: [slot of elements, bytes of one, role]; equal ones are one."""

    def __init__(self, live: Live) -> None:
        self.live, self.numbers, self.found = live, dict[Any, int](), list[list[Any]]()
        self.place = {name: at for at, name in enumerate(live.names)}

    def number(self, block: Block) -> int:
        """Which one it is."""
        width = 0 if block.dtype == NARROW else BITS[block.dtype] // 8
        if block.role == "statistic":
            width = -1  # at least that of float32
        key = (self.live.program.slot(block.elements), width, block.role)
        if key not in self.numbers:
            self.numbers[key] = len(self.found)
            self.found.append(list(key))
        return self.numbers[key]

    def steps(self, tape: Tape) -> list[int]:
        """A tape as numbers."""
        held: dict[str, int] = {}
        steps: list[int] = []
        for what, of in tape.steps:
            if what == "take":
                held[of.name] = self.number(of)
                steps.append(1 + held[of.name])
            elif what == "free":
                steps.append(-1 - held.pop(of))
            else:
                steps += [0, PHASES.index(of.phase), self.place.get(of.name, -1)]
        return steps


PHASES = ("forward", "again", "backward", "step")


def kernels(live: Live) -> dict[str, Any]:
    """The main kernels of a forward pass, [layer, pace, macs, taps, read, written, needed]; what has to be moved once.

    Bytes are pairs of slots, at the two formats of `formats`: in another format they lie on the line through both.
    """
    touched.cache_clear()  # it is not to hold what was answered under other assumptions
    try:
        narrow, wide = (_kernels(live, dtype) for dtype in (NARROW, WIDE))
    finally:
        touched.cache_clear()
    place, slots = {name: at for at, name in enumerate(live.names)}, live.slots
    rows = [
        [place[b.use.name], b.kernel.pace, *slots([b.kernel.macs, b.kernel.taps]),
         slots([a.kernel.read_bytes, b.kernel.read_bytes]), slots([a.kernel.write_bytes, b.kernel.write_bytes]),
         int(b.use.name in wide.needed)]
        for a, b in zip(narrow.launches, wide.launches, strict=True)
    ]  # fmt: skip
    once = [slots(pair) for pair in zip(narrow.once, wide.once, strict=True)]
    return {"rows": rows, "once": once, "formats": [BITS[NARROW] // 8, BITS[WIDE] // 8]}


class _Kernels(Struct, frozen=True):
    """The main kernels at a format, the layers that outputs need, and bytes that any execution reads and writes."""

    launches: list[Launch]
    needed: set[str]
    once: tuple[Any, Any]


def _kernels(live: Live, dtype: str) -> _Kernels:
    found, ends = stays(live.uses, live.graph.inputs, live.shapes, dtype=dtype, training=False), _ends(live)
    needed = leading_to(found, ends)
    kept = [stay for stay in found.uses if stay.use.name in needed]
    once = read_once(found, kept, training=False), written_once(found, kept, ends, training=False)
    return _Kernels([launch for launch in launches(found, ends, training=False) if launch.main], needed, once)


def _ends(live: Live) -> list[str]:
    ends = {use.node.name: use.name for use in live.uses}
    return [ends[name] for name in live.graph.outputs if name in ends]


def rates(own: Sequence[Device]) -> list[list[Any]]:
    """Devices: [id, name, bytes/s, cache, memory, [of matrix products, of convolutions] by format], in FLOP/s.

    Rates are the highest that a bound rests on; None where the device states none. A bandwidth without the size of the
    cache bounds nothing, and is left out.
    """
    return [
        [device.id, device.name, device.bandwidth if device.cache_bytes is not None else None, device.cache_bytes,
         device.memory.bytes, [[_peak(device, dtype, pace) for pace in ("gemm", "conv")] for dtype in BYTEWISE]]
        for device in own
    ]  # fmt: skip


def _peak(device: Device, dtype: str, pace: Any) -> float | None:
    try:
        return highest(device, rate_of(device, dtype, "torch", pace))
    except ArchcalcError:
        return None
