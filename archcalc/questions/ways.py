"""What can be changed where a network does not fit: each way with its new peak and its price."""

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.dtype import BITS, bytes_of
from archcalc.algebra.num import ceil_div, prod
from archcalc.errors import ModelError, UsageError
from archcalc.hardware.device import Device
from archcalc.hardware.rates import RATES
from archcalc.layers.conv import Conv
from archcalc.layers.pool import AvgPool, MaxPool
from archcalc.layers.windowed import per_axis
from archcalc.model.graph import Node
from archcalc.model.network import Network
from archcalc.questions.asked import Asked, largest_batch
from archcalc.questions.storages import Stays
from archcalc.questions.time import time

RETRAIN = "changes the network: retrain"
EVERY = (1, 2, 3, 4, 6, 8)  # segments that are tried for checkpoints
DEPTHS = (1, 2, 3)
DEVICES = (2, 4, 8, 16, 32, 64)


class Way(Struct, frozen=True):
    """One change: what it is, bytes at the new peak (per device), whether that fits, and what it costs."""

    name: str
    what: str
    peak_bytes: int | None  # None: the way does not exist for this model
    fits: bool
    price: str


def ways(asked: Asked, room: int, device: Device | None) -> Iterator[Way]:
    """All ways in the order of a lecture; those of several devices last."""
    clock = Clock(asked, device)
    yield smaller_batch(asked, room, clock)
    yield larger_stride(asked, room)
    yield fewer_layers(asked, room)
    yield sixteen_bit(asked, room, clock)
    if asked.choices.training:
        yield checkpoints(asked, room, clock)
    yield data_parallel(asked, room)
    yield tensor_parallel(asked, room)
    yield pipeline(asked, room)


class Clock:
    """Estimated times, where a device is given."""

    def __init__(self, asked: Asked, device: Device | None) -> None:
        self.asked, self.device = asked, device if device is not None and device.bandwidth is not None else None

    def seconds(self, asked: Asked, *, training: bool | None = None, dtype: str | None = None) -> float | None:
        """The estimate of one pass, or step; None without a device, or without a rate of it for the format."""
        if self.device is None:
            return None
        sizes = {name: shape[1:] for name, shape in asked.shapes.items()}
        trains = asked.choices.training if training is None else training
        try:
            timing = time(
                asked.model, self.device, sizes, batch=asked.batch, dtype=dtype or asked.dtype, training=trains
            )  # fmt: skip
        except UsageError:
            return None
        return timing.totals["estimate_s"]

    @property
    def half(self) -> str:
        """The format of 16 bits: bfloat16, or float16 where the device has no rate for that."""
        device = self.device
        return (
            "float16" if device is not None and device.has_rate("fp16") and not device.has_rate("bf16") else "bfloat16"
        )

    @property
    def has_half(self) -> bool:
        """Does the device state a rate for it?"""
        return self.device is not None and self.device.has_rate(RATES[self.half])

    def ratio(self, new: float | None, steps: int = 1) -> str:
        """How much longer it takes than what was asked, as an estimate."""
        old = self.seconds(self.asked)
        if new is None or not old:
            return ""
        return f"about {steps * new / old:.2f} times the time"


def smaller_batch(asked: Asked, room: int, clock: Clock) -> Way:
    """Fewer images at once, gradients added up over several passes."""
    best = largest_batch(asked, room)
    if best is None:
        one = asked.at_batch(1)
        return Way("smaller batch", "batch 1", one.peak, fits=False, price="even one does not fit")
    steps = ceil_div(asked.batch, best)
    even = ceil_div(asked.batch, steps)
    small = asked.at_batch(even)
    again = f"{steps} passes" + (" with gradient accumulation" if asked.choices.training else "")
    price = clock.ratio(clock.seconds(small), steps) or "the same arithmetic, more launches"
    return Way("smaller batch", f"batch {even}, {again}", small.peak, fits=small.peak <= room, price=price)


def changed(asked: Asked, nodes: Sequence[Node], outputs: Sequence[str] | None = None) -> Asked:
    """The same question of a network with other nodes."""
    model: Network = replace(asked.model, nodes=tuple(nodes), outputs=tuple(outputs or asked.model.outputs))
    return replace(asked, model=model)


def larger_stride(asked: Asked, room: int) -> Way:
    """Twice the stride in the first layer that moves a window and can have it."""
    nodes = asked.model.nodes
    for place, node in enumerate(nodes):
        layer, shapes = node.layer, [asked.account.shapes_by_name[name] for name in node.inputs]
        if not isinstance(layer, Conv | MaxPool | AvgPool) or not shapes:
            continue
        given = "stride" if layer.stride is not None else "kernel"  # a pool steps by its kernel unless told otherwise
        doubled = tuple(2 * s for s in per_axis(layer, given, len(shapes[0]) - 2))
        other = changed(
            asked, [*nodes[:place], replace(node, layer=replace(layer, stride=doubled)), *nodes[place + 1 :]]
        )
        try:
            peak = other.peak
        except ModelError:
            continue
        what = f"{node.name} with stride {'×'.join(map(str, doubled))}"
        return Way("larger stride", what, peak, fits=peak <= room, price=RETRAIN)
    return Way("larger stride", "no layer can have one", None, fits=False, price=RETRAIN)


def fewer_layers(asked: Asked, room: int) -> Way:
    """Without layers or blocks that keep the shape, those that save most first; else without the last one."""
    dropped: list[str] = []
    best = asked
    while best.peak > room and (smaller := without_one(best)) is not None:
        name, best = smaller
        dropped.append(name)
    if not dropped:
        cut = without_last(asked)
        if cut is None:
            return Way("fewer layers", "none can be left out", None, fits=False, price=RETRAIN)
        dropped, best = [cut[0]], cut[1]
    listed = ", ".join(dropped[:3]) + (f" and {len(dropped) - 3} more" if len(dropped) > 3 else "")
    return Way("fewer layers", f"without {listed}", best.peak, fits=best.peak <= room, price=RETRAIN)


def without_one(asked: Asked) -> tuple[str, Asked] | None:
    """The network without the layer or block whose outputs take most, of those that keep the shape."""
    units: dict[str, list[Node]] = {}
    for node in asked.model.nodes:
        parts = node.name.split("/")
        for depth in range(1, len(parts) + 1):
            units.setdefault("/".join(parts[:depth]), []).append(node)
    sizes = {stay.use.node.name: stay.output.bytes for stay in asked.account.found[asked.choices.training].uses}
    order = sorted(units, key=lambda name: -sum(sizes.get(node.name, 0) for node in units[name]))
    for name in order:
        other = without(asked, units[name])
        if other is not None and other.peak < asked.peak:
            return name, other
    return None


def without(asked: Asked, unit: Sequence[Node]) -> Asked | None:
    """The network without some nodes, if they read one value, give one of the same shape, and hold weights."""
    inside = {node.name for node in unit}
    sources = {source for node in unit for source in node.inputs if source not in inside}
    last = unit[-1].name
    shapes = asked.account.shapes_by_name
    weighs = any(use.answers.params for use in asked.account.uses if use.node.name in inside)
    if len(sources) != 1 or not weighs or len(inside) == len(asked.model.nodes):
        return None
    (source,) = sources
    others = [node for node in asked.model.nodes if node.name not in inside]
    read = {name for node in others for name in node.inputs} | set(asked.model.outputs)
    if (
        shapes.get(source) != shapes.get(last)
        or read & (inside - {last})
        or any(n.shared_with in inside for n in others)
    ):
        return None
    nodes = [replace(node, inputs=tuple(source if name == last else name for name in node.inputs)) for node in others]
    outputs = [source if name == last else name for name in asked.model.outputs]
    return changed(asked, nodes, outputs) if not set(outputs) & set(asked.model.inputs) else None


def without_last(asked: Asked) -> tuple[str, Asked] | None:
    """The network without its last layer."""
    *nodes, last = asked.model.nodes
    if not nodes or len(asked.model.outputs) != 1:
        return None
    return last.name, changed(asked, nodes, [nodes[-1].name])


def sixteen_bit(asked: Asked, room: int, clock: Clock) -> Way:
    """Mixed precision in training, half precision at inference."""
    if BITS[asked.dtype] <= 16 or asked.choices.amp is not None:
        return Way("16-bit", "it is already", asked.peak, fits=False, price="none")
    if asked.choices.training and asked.dtype == "float32":
        half = replace(asked, choices=replace(asked.choices, amp=clock.half))
        what = f"mixed precision, {clock.half}"
    else:
        half, what = replace(asked, dtype=clock.half), f"{clock.half} throughout"
    price = "other roundings: check the accuracy"
    faster = clock.ratio(clock.seconds(asked, dtype=clock.half)) if clock.has_half else ""
    return Way("16-bit", what, half.peak, fits=half.peak <= room, price="; ".join(filter(None, [faster, price])))


def checkpoints(asked: Asked, room: int, clock: Clock) -> Way:
    """Segments that are computed twice: the choice with the smallest peak."""
    tried = [replace(asked.choices, checkpoint=every, depth=depth) for depth in DEPTHS for every in EVERY]
    best = min((replace(asked, choices=choices) for choices in tried), key=lambda other: other.peak)
    forward, step = clock.seconds(asked, training=False), clock.seconds(asked)
    price = "up to one more forward pass"
    if forward is not None and step:
        price += f": about {1 + forward / step:.2f} times the time"
    chosen = best.choices
    what = f"every={chosen.checkpoint}" + (f",depth={chosen.depth}" if chosen.depth > 1 else "")
    return Way("checkpoints", what, best.peak, fits=best.peak <= room, price=price)


def data_parallel(asked: Asked, room: int) -> Way:
    """Each device has the whole network and its share of the batch."""
    found = None
    for devices in (n for n in DEVICES if n <= asked.batch):
        found = devices, asked.at_batch(ceil_div(asked.batch, devices))
        if found[1].peak <= room:
            break
    if found is None:
        return Way("data parallel", "needs a batch above 1", None, fits=False, price="")
    devices, share = found
    gradients = sum(asked.account.trained(asked.dtype)) if asked.choices.training else 0
    moved = 2 * (devices - 1) * gradients // devices
    price = f"each sends {moved:,} B a step (gradients, in a ring)" if moved else "nothing is sent"
    what = f"{devices} devices, batch {share.batch} each"
    return Way("data parallel", what, share.peak, fits=share.peak <= room, price=price)


def tensor_parallel(asked: Asked, room: int) -> Way:
    """Each device has its share of every layer's filters; outputs are gathered, and whole on each."""
    account, training = asked.account, asked.choices.training
    held = sum(account.weights())
    if training:
        held += sum(account.trained(asked.dtype)) + sum(account.stored())
    sent = 0
    for stay in account.found[training].uses:
        use = stay.use
        if use.layer.product(use.xs, use.answers.y) is not None and use.answers.params:
            sent += bytes_of(use.answers.elements, asked.dtype)
            sent += 2 * bytes_of(prod(use.xs[0]), asked.dtype) if training and stay.graded[0] else 0
    for devices in DEVICES:
        peak = asked.peak - held + ceil_div(held, devices)
        if peak <= room:
            break
    price = (
        f"each sends {(devices - 1) * sent // devices:,} B a {'step' if training else 'pass'}; the peak is estimated"
    )
    return Way("tensor parallel", f"{devices} devices share each layer's filters", peak, fits=peak <= room, price=price)


def pipeline(asked: Asked, room: int) -> Way:
    """The layers in stages, one on each device: as even as the layers' own bytes allow."""
    account, training = asked.account, asked.choices.training
    amounts = account.by_use(training=training)
    whole = sum(amounts)
    if len(amounts) < 2:
        return Way("pipeline", "needs two layers", None, fits=False, price="")
    flight = max(0, asked.peak - whole)
    for devices in (n for n in DEVICES if n <= len(amounts)):
        stages, cuts = split(amounts, devices)
        peak = max(stages) + flight
        if peak <= room:
            break
    if not cuts:
        return Way("pipeline", "one layer holds nearly all of it", None, fits=False, price="")
    crossed = sum(crossing(account.found[training], cut) for cut in cuts)
    price = f"{crossed * (2 if training else 1):,} B cross between stages; the peak is estimated"
    return Way("pipeline", f"{len(stages)} devices, a stage each", peak, fits=peak <= room, price=price)


def crossing(found: Stays, cut: int) -> int:
    """Bytes of the values made before a cut and read behind it, skips too."""
    before = {stay.use.name: stay.output for stay in found.uses[:cut]}
    blocks = {before[name] for stay in found.uses[cut:] for name in stay.use.inputs if name in before}
    return sum(block.bytes for block in blocks)


def split(amounts: Sequence[int], parts: int) -> tuple[list[int], list[int]]:
    """Consecutive groups, the largest of which is as small as possible; and where they are cut."""
    low, high = max(amounts), sum(amounts)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(packed(amounts, middle)) <= parts else (middle + 1, high)
    groups = packed(amounts, low)
    ends = [sum(map(len, groups[:n])) for n in range(1, len(groups))]
    return [sum(group) for group in groups], ends


def packed(amounts: Sequence[int], most: int) -> list[list[int]]:
    """Groups filled one after another up to a sum."""
    groups: list[list[int]] = [[]]
    for amount in amounts:
        if groups[-1] and sum(groups[-1]) + amount > most:
            groups.append([])
        groups[-1].append(amount)
    return groups
