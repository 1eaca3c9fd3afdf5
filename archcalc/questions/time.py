"""How long a network takes on a device: a bound that nothing beats, an estimate, and why practice is slower."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.dtype import MODEL_DTYPES
from archcalc.algebra.ops import Ops
from archcalc.errors import UsageError
from archcalc.hardware.calibration import Calibration, shipped
from archcalc.hardware.device import Device
from archcalc.hardware.device import device as device_of
from archcalc.hardware.energy import energy_j, technology_of
from archcalc.hardware.estimate import Machine, Numbers, Parts, bound, defaults, estimate, machine
from archcalc.hardware.kernel import MATH_MODES, MathMode
from archcalc.hardware.rates import highest, rate_of
from archcalc.layers.attention import Attention
from archcalc.layers.layer import Shape
from archcalc.layers.unknown import Unknown
from archcalc.model.network import Network, one_of
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.questions.kernels import Launch, launches, leading_to
from archcalc.questions.storages import Stays, stays
from archcalc.questions.traffic import read_once, written_once
from archcalc.views import time as views

PARTS = ("compute_s", "memory_s", "quantisation_s", "efficiency_s", "launch_s")


class Row(Struct, frozen=True, gc=False):
    """One use of a layer: seconds of all its kernels."""

    name: str
    kind: str
    kernels: int
    macs_exact: int  # of all its products
    traffic_bytes: int  # distinct elements that its main kernels read and write
    limit: str  # what its longest main kernel waits for: compute, memory, or nothing
    bound_s: float
    bound_direct_s: float
    estimate_s: float
    compute_s: float
    memory_s: float
    quantisation_s: float
    efficiency_s: float
    launch_s: float

    @property
    def intensity(self) -> float:
        """FLOP per byte, two for a multiply–accumulate."""
        return 2 * self.macs_exact / self.traffic_bytes if self.traffic_bytes else 0.0


class Timing(Struct, frozen=True, dict=True, eq=False):
    """Times of a network in seconds; `str()` is the page. Parts of `totals` add up to the estimate."""

    model: str
    inputs: dict[str, Shape]
    device: Device
    dtype: str
    math_mode: MathMode
    training: bool
    rates: dict[str, float]  # name -> FLOP/s, of the rates that its products run at
    rows: tuple[Row, ...]
    totals: dict[str, float]
    status: str
    notes: tuple[str, ...]
    calibrated: tuple[str, ...]  # rates whose numbers are fitted to measurements
    plain_s: float  # 2 · MACs / rate, padding taps included, as classrooms count
    energy_j: tuple[float, float] | None = None

    def plot(self, path: str) -> None:
        """Draw the roofline with a point for each layer, into an SVG or PNG file."""
        views.plot(self, path)

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self)

    def __repr__(self) -> str:
        return f"<Timing of {self.model} on {self.device.id}: at least {self.totals['bound_s']:.3g} s>"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data, seconds."""
        energy = {} if self.energy_j is None else {"energy_j": list(self.energy_j)}
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "device": self.device.id,
            "dtype": self.dtype,
            "math_mode": self.math_mode,
            "training": self.training,
            "rates": self.rates,
            "calibrated": list(self.calibrated),
            "status": self.status,
            "notes": list(self.notes),
            "rows": [to_builtins(row) | {"intensity": row.intensity} for row in self.rows],
            "totals": self.totals | energy,
        }


def time(
    model: Network, device: Device | str, input: Sizes | Mapping[str, Sizes] | None = None, *, batch: int = 1,
    dtype: str = "float32", math_mode: MathMode = "torch", training: bool = False,
    calibration: Calibration | Sequence[Calibration] = (), energy: bool = False,
) -> Timing:  # fmt: skip
    """The times of a network; see Model.time."""
    one_of("dtype", dtype, MODEL_DTYPES)
    one_of("math_mode", math_mode, MATH_MODES)
    on = device_of(device) if isinstance(device, str) else device
    given = [calibration] if isinstance(calibration, Calibration) else list(calibration)
    shapes = full_shapes(model.inputs, input, batch)
    uses = model.walk(shapes)
    found = stays(uses, model.inputs, shapes, dtype=dtype, training=training)
    return Clock(model, found, uses, on, Pace(on, dtype, math_mode, given)).timing(
        shapes, training=training, energy=energy
    )


class Pace:
    """What a device's kernels run at: rates by kind of kernel, machines and numbers by rate."""

    def __init__(self, device: Device, dtype: str, math_mode: MathMode, given: Sequence[Calibration]) -> None:
        self.device, self.dtype, self.math_mode = device, dtype, math_mode
        self.given = {}
        for calibration in given:
            if calibration.device != device.id:
                raise UsageError("--calibration", f"must be of {device.id}", calibration.device)
            self.given[calibration.rate] = calibration
        self.names: dict[str, str] = {}
        self.machines: dict[str, Machine] = {}
        self.numbers: dict[str, Numbers] = {}
        self.best: dict[str, Machine] = {}
        self.calibrated: list[str] = []

    def rate(self, pace: str) -> str:
        """The rate of a kernel's products; traffic goes by the numbers of matrix products."""
        known = "conv" if pace == "conv" else "gemm"
        if known not in self.names:
            name = rate_of(self.device, self.dtype, self.math_mode, known)  # type: ignore[arg-type]
            self.names[known] = name
            self.prepare(name)
        return self.names[known]

    def prepare(self, name: str) -> None:
        """The machine and the numbers at a rate."""
        if name in self.machines:
            return
        self.machines[name] = machine(self.device, name)
        calibration = self.given.get(name) or shipped(self.device, name)
        self.numbers[name] = calibration.numbers if calibration else defaults(self.device, name)
        if calibration:
            self.calibrated.append(name)

    def sound(self, pace: str) -> Machine:
        """The device as a bound sees it: the highest rate, and traffic only where bandwidth and cache are known."""
        name = self.rate(pace)
        if name not in self.best:
            cache = self.device.cache_bytes
            width = self.device.bandwidth if cache is not None else None
            self.best[name] = Machine(highest(self.device, name), width, cache or 0)
        return self.best[name]

    @property
    def can_move(self) -> bool:
        """Are bandwidth and cache known, so that traffic takes a time that nothing beats?"""
        return self.device.bandwidth is not None and self.device.cache_bytes is not None

    def bound(self, launch: Launch, *, safe: bool) -> float:
        """Seconds that no run of a kernel beats."""
        return bound(launch.kernel, self.sound(launch.kernel.pace), safe=safe)

    def estimate(self, launch: Launch) -> Parts:
        """Seconds that a kernel is expected to take, by parts."""
        rate = self.rate(launch.kernel.pace)
        return estimate(launch.kernel, self.machines[rate], self.numbers[rate])


class Clock:
    """Adds up the times of a network's kernels."""

    def __init__(self, model: Network, found: Stays, uses: Sequence[Use], device: Device, pace: Pace) -> None:
        self.model, self.found, self.uses, self.device, self.pace = model, found, uses, device, pace
        ends = {use.node.name: use.name for use in uses}
        self.outputs = [ends[name] for name in model.outputs if name in ends]

    def timing(self, shapes: Mapping[str, Shape], *, training: bool, energy: bool) -> Timing:
        """The whole account."""
        self.pace.rate("gemm")
        of: dict[str, list[Launch]] = {use.name: [] for use in self.uses}
        for launch in launches(self.found, self.outputs, training=training):
            of[launch.use.name].append(launch)
        rows = tuple(self.row(use, of[use.name]) for use in self.uses)
        every = [launch for made in of.values() for launch in made]
        pace = self.pace
        plain = sum(self.computed(use, of[use.name]) for use in self.uses)
        plain_s = 2 * plain / pace.sound("gemm").peak
        unknown = [use.name for use in self.uses if isinstance(use.layer, Unknown)]
        notes = [f"not counted: {', '.join(unknown)}"] * bool(unknown) + list(self.notes())
        return Timing(
            self.model.name, dict(shapes), self.device, pace.dtype, pace.math_mode, training,
            {name: self.device.rate(name) for name in dict.fromkeys(pace.names.values())}, rows,
            self.totals(rows, every, plain_s, training=training), "partial" if unknown else "complete", tuple(notes),
            tuple(pace.calibrated), plain_s, self.energy(every, rows) if energy else None,
        )  # fmt: skip

    @staticmethod
    def computed(use: Use, made: Sequence[Launch]) -> int:
        """All multiply–accumulates of a use's products: once forward, and once for each gradient."""
        products = [launch.kernel.product for launch in made if launch.kernel.product is not None]
        if isinstance(use.layer, Attention):  # two products, which one kernel or two may do
            return sum(product.macs for product in products)
        return use.answers.macs * len(products)

    def row(self, use: Use, made: Sequence[Launch]) -> Row:
        """The times of one use."""
        main = [launch for launch in made if launch.main]
        parts = [self.pace.estimate(launch) for launch in made]
        compute, memory, whole, efficiency = (sum(getattr(part, name) for part in parts) for name in PARTS[:4])
        gaps = sum(self.pace.numbers[self.pace.rate(launch.kernel.pace)].gap_s for launch in made)
        return Row(
            use.name, use.kind, len(made),
            sum(launch.kernel.macs for launch in main),
            sum(launch.kernel.read_bytes + launch.kernel.write_bytes for launch in main),
            limit_of(made, parts),
            sum(self.pace.bound(launch, safe=True) for launch in main),
            sum(self.pace.bound(launch, safe=False) for launch in main),
            compute + memory + whole + efficiency + gaps, compute, memory, whole, efficiency, gaps,
        )  # fmt: skip

    def totals(
        self, rows: Sequence[Row], every: Sequence[Launch], plain_s: float, *, training: bool
    ) -> dict[str, float]:
        """The named times of the whole network."""
        sums = {name: sum(getattr(row, name) for row in rows) for name in PARTS}
        busy = sum(sums.values())
        host = sum(self.pace.numbers[self.pace.rate(launch.kernel.pace)].host_s for launch in every)
        sums["launch_s"] += max(host - busy, 0.0)  # the device waits for the host
        fused = self.fused(every, training=training)
        bounds = {
            "bound_s": fused,  # holds for eager execution too, and is the larger one where each kernel fits the cache
            "bound_eager_s": max(fused, sum(row.bound_s for row in rows)),
            "bound_direct_s": max(fused, sum(row.bound_direct_s for row in rows)),
        }
        if self.device.bandwidth is None:  # nothing is expected of a device that is just a rate
            return bounds | {"bound_direct_s": plain_s}
        return bounds | {"estimate_s": max(busy, host), **sums}

    def fused(self, every: Sequence[Launch], *, training: bool) -> float:
        """What no execution beats, also a compiled one: all arithmetic, or inputs, weights and outputs moved once.

        What no output depends on need not be computed at all.
        """
        wanted = leading_to(self.found, self.outputs)
        arithmetic = sum(
            2 * launch.kernel.macs / launch.kernel.taps / self.pace.sound(launch.kernel.pace).peak
            for launch in every
            if launch.main and launch.use.name in wanted
        )
        if not self.pace.can_move:
            return arithmetic
        needed = [stay for stay in self.found.uses if stay.use.name in wanted]
        read = read_once(self.found, needed, training=training)
        written = written_once(self.found, needed, self.outputs, training=training)
        cache, width = self.device.cache_bytes or 0, self.device.bandwidth or 1.0
        return max(arithmetic, (max(read - cache, 0) + max(written - cache, 0)) / width)

    def energy(self, every: Sequence[Launch], rows: Sequence[Row]) -> tuple[float, float]:
        """Joule, from and to, of the products and the traffic of the main kernels."""
        ends: list[float] = []
        for tf32 in ("fp16", "fp32"):  # its significand is that of fp16, its exponent that of fp32
            macs: dict[str, int] = {}
            for launch in (launch for launch in every if launch.main):
                rate = self.pace.rate(launch.kernel.pace)
                name = tf32 if rate == "tf32" else rate.split("_")[0]
                macs[name] = macs.get(name, 0) + launch.kernel.macs
            ops = {name: Ops(mul=n, add=n) for name, n in macs.items() if n}
            moved = sum(row.traffic_bytes for row in rows)
            ends += energy_j(ops, moved, technology_of(self.device))
        return min(ends), max(ends)

    def notes(self) -> Iterator[str]:
        """What is left out for want of a figure, and what is given in vain."""
        if self.device.bandwidth is None:
            yield "no memory term: the device states no bandwidth"
        elif self.device.cache_bytes is None:
            yield "no memory term in the bounds: the size of the device's cache is not known"
        waiting = ", ".join(use.name for use in self.uses if use.layer.in_steps)
        if waiting and self.device.bandwidth is not None:
            yield f"{waiting}: each step waits for the one before, which the estimate leaves out: expect more"
        for rate in self.pace.given:
            if rate not in self.pace.numbers:
                yield f"the calibration at {rate} is not used: nothing runs at that rate"


def limit_of(made: Sequence[Launch], parts: Sequence[Parts]) -> str:
    """What the longest kernel of a use waits for."""
    if not made:
        return "nothing"
    longest = max(parts, key=lambda part: part.total_s)
    return "compute" if longest.compute_s > 0 else "memory"
