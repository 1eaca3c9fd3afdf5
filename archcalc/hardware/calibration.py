"""Calibration: the numbers of a device, fitted to at most 32 timings of kernels, and what they miss on others."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import groupby
from math import exp, fsum, log
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from archcalc.errors import CannotRun, ModelError, UsageError, nearest
from archcalc.hardware.device import Device, devices
from archcalc.hardware.estimate import Machine, Numbers, Parts, defaults, estimate, machine
from archcalc.hardware.measured import Row

SCHEMA_VERSION = 1
MOST = 32  # rows of a fit
SHARES = {"linear": 6, "bmm": 6, "conv": 8, "elementwise": 3, "softmax": 4, "layer_norm": 5, "attention": 2}
HIDDEN = 0.5  # of the host's time for an addition: the second event is recorded while the kernel runs
OVERHEAD_S = 27e-6  # two events, and the host's time for an addition of two tensors: what is expected
# Of the logarithm of a time: how closely an op keeps to any such model. Beyond it a row counts less and less.
NOISE = {
    "linear": 0.1, "bmm": 0.1, "conv": 0.2, "elementwise": 0.04, "softmax": 0.08, "layer_norm": 0.1, "attention": 0.1,
}  # fmt: skip
# What is fitted, and how far the logarithm of each may stray from its default; gap_s is not seen in single kernels.
SPREAD = {
    "gemm": 0.3, "tile_cost": 1.0, "conv": 0.5, "attention": 0.5, "elementwise": 0.3, "softmax": 0.3, "norm": 0.3,
    "in_cache": 0.5,
}  # fmt: skip
OVERHEAD_SPREAD = 0.5
AT_MOST = {"tile_cost": 256.0, "in_cache": 16.0}  # all others are shares
AT_LEAST = {"tile_cost": 0.1, "in_cache": 1.0}
FILE_BYTES = 1 << 20
SOME, NONE_NEGATIVE = float("inf"), "a number, at least 0"
RANGES = {
    "tile_cost": (0, SOME, NONE_NEGATIVE), "gap_s": (0, SOME, NONE_NEGATIVE), "host_s": (0, SOME, NONE_NEGATIVE),
    "in_cache": (1, SOME, "a factor, at least 1"),
}  # fmt: skip
SHIPPED = os.path.join(os.path.dirname(__file__), "calibrations")


class Calibration(Struct, frozen=True, kw_only=True):
    """Numbers of one device at one rate, how well they tell times, and where they are from."""

    schema_version: int = SCHEMA_VERSION
    device: str
    rate: str  # fp32, tf32, bf16, …
    numbers: Numbers
    overhead_s: float  # of the measurement: host and events around an addition of two tensors
    rows_fitted: int
    rows_checked: int  # rows that the fit did not see
    residuals: dict[str, float]  # per op, mean of |estimate − time| / time on the rows that the fit did not see
    residuals_fitted: dict[str, float]  # the same on those that it saw
    environment: dict[str, str] = field(default_factory=dict)  # clocks, versions, date: as the measurement states them


def fit(
    rows: Sequence[Row], device: Device, rate: str = "fp32", environment: Mapping[str, str] | None = None
) -> Calibration:
    """Numbers that tell the times of at most 32 of the rows best: the same ones whatever the order of rows.

    Least squares of logarithms with soft-L1, held to the defaults by priors. Nothing is fitted per shape, and nothing
    to networks. Raises UsageError for rows of another device or rate, CannotRun without SciPy.
    """
    for row in rows:
        if (row.gpu, row.rate) != (device.id, rate):
            raise UsageError("calibrate", f"rows must be of {device.id} at {rate}", f"{row.gpu} at {row.rate}")
    if not rows:
        raise UsageError("calibrate", f"needs timings of {device.id} at {rate}", "none")
    on, start = machine(device, rate), defaults(device, rate)
    seen = chosen(rows, on, start)
    numbers, overhead_s = _fitted(seen, on, start)
    taken = set(map(id, seen))
    others = [row for row in rows if id(row) not in taken]
    return Calibration(
        device=device.id,
        rate=rate,
        numbers=numbers,
        overhead_s=overhead_s,
        rows_fitted=len(seen),
        rows_checked=len(others),
        residuals=residuals(others, on, numbers, overhead_s),
        residuals_fitted=residuals(seen, on, numbers, overhead_s),
        environment=dict(environment or {}),
    )


def chosen(rows: Sequence[Row], on: Machine, start: Numbers, most: int = MOST) -> list[Row]:
    """At most so many rows, of all ops by their shares, and of each from the smallest to the largest in even steps."""
    by_op: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_op[row.op].append(row)
    left, quota = most, dict.fromkeys(by_op, 0)
    while left and (open_ops := [op for op in by_op if quota[op] < len(by_op[op])]):
        op = min(open_ops, key=lambda op: (quota[op] / SHARES[op], op))  # the one that lags most behind its share
        quota[op] += 1
        left -= 1
    picked = []
    for op in sorted(by_op):
        ordered = sorted(by_op[op], key=lambda row: (estimate(row.kernel, on, start).total_s, _key(row)))
        count = quota[op]
        picked += [ordered[(2 * step + 1) * len(ordered) // (2 * count)] for step in range(count)]
    return picked


def _key(row: Row) -> tuple[float, ...]:
    """What tells rows of like estimates apart, so that the order of rows in a file does not matter."""
    kernel = row.kernel
    return (row.seconds, kernel.macs, kernel.read_bytes, kernel.write_bytes, row.steps)


def seen_s(parts: Parts, steps: float, overhead_s: float) -> float:
    """What a pair of events around one call shows: the host's work first, then the kernel and the second event."""
    return (steps - HIDDEN) * overhead_s + max(HIDDEN * overhead_s, parts.total_s)


def residuals(rows: Sequence[Row], on: Machine, numbers: Numbers, overhead_s: float) -> dict[str, float]:
    """Mean of |estimate − time| / time, per op."""
    ordered = sorted(rows, key=lambda row: row.op)
    return {op: _mean_error(list(group), on, numbers, overhead_s) for op, group in groupby(ordered, lambda row: row.op)}


def _mean_error(rows: Sequence[Row], on: Machine, numbers: Numbers, overhead_s: float) -> float:
    told = (seen_s(estimate(row.kernel, on, numbers), row.steps, overhead_s) for row in rows)
    return fsum(abs(time - row.seconds) / row.seconds for time, row in zip(told, rows, strict=True)) / len(rows)


def _fitted(rows: Sequence[Row], on: Machine, start: Numbers) -> tuple[Numbers, float]:
    """Numbers and overhead that tell these rows best."""
    names = list(SPREAD)
    expected = [log(getattr(start, name)) for name in names] + [log(OVERHEAD_S)]
    spreads = [*SPREAD.values(), OVERHEAD_SPREAD]
    low = [log(AT_LEAST.get(name, 0.01)) for name in names] + [log(1e-7)]
    high = [log(AT_MOST.get(name, 1.0)) for name in names] + [log(1e-2)]

    def numbers_at(point: Sequence[float]) -> Numbers:
        return replace(start, **{name: exp(value) for name, value in zip(names, point, strict=False)})

    def misses(point: Sequence[float]) -> list[float]:
        numbers, overhead_s = numbers_at(point), exp(point[-1])
        times = [seen_s(estimate(row.kernel, on, numbers), row.steps, overhead_s) for row in rows]
        of_rows = [log(time / row.seconds) / NOISE[row.op] for time, row in zip(times, rows, strict=True)]
        strays = [(at - prior) / spread for at, prior, spread in zip(point, expected, spreads, strict=True)]
        return of_rows + strays

    found = _scipy_optimize().least_squares(
        misses, expected, bounds=(low, high), loss="soft_l1", diff_step=1e-3, x_scale=spreads
    )
    point = [float(value) for value in found.x]
    overhead_s = exp(point[-1])
    launch_s = (1 - HIDDEN) * overhead_s  # what of it comes before the kernel
    return replace(numbers_at(point), host_s=launch_s), overhead_s


def _scipy_optimize() -> Any:
    try:
        return import_module("scipy.optimize")  # loaded only for a fit
    except ImportError as error:
        raise CannotRun("calibrate", "needs SciPy", str(error), way_out="pip install 'archcalc[calibrate]'") from None


def save(calibration: Calibration, path: str) -> None:
    """Write it as JSON."""
    text = msgspec.json.format(msgspec.json.encode(calibration), indent=2)
    try:
        with open(path, "wb") as file:
            file.write(text + b"\n")
    except OSError as error:
        raise UsageError("calibration", "must be a file that can be written", f"{path}: {error.strerror}") from None


def load(path: str, device: Device, rate: str | None = None) -> Calibration:
    """The calibration in a file, which must be of this device, and at this rate if one is given: UsageError if not.

    Raises ModelError for a file that is missing, unreadable, not a calibration, or of another version.
    """
    try:
        with open(path, "rb") as file:
            calibration = _decoded(file.read(FILE_BYTES), path)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        raise ModelError("calibration", "no such file", path, way_out=near) from None
    except OSError as error:
        raise ModelError("calibration", "must be readable", f"{path}: {error.strerror}") from None
    if calibration.device != device.id or rate not in (None, calibration.rate):
        got = f"{path} of {calibration.device} at {calibration.rate}"
        wanted = device.id if rate is None else f"{device.id} at {rate}"
        raise UsageError("calibration", f"must be of {wanted}", got, way_out="archcalc calibrate")
    return calibration


def _decoded(data: bytes, path: str) -> Calibration:
    """The calibration that JSON states."""
    try:
        version = msgspec.json.decode(data, type=dict[str, Any]).get("schema_version")
        if version != SCHEMA_VERSION:
            raise ModelError("calibration", f"schema_version must be {SCHEMA_VERSION}", repr(version), where=path)
        calibration = msgspec.json.decode(data, type=Calibration)
    except msgspec.DecodeError as error:
        raise ModelError(
            "calibration", "must be JSON as `archcalc calibrate` writes it", str(error), where=path
        ) from None
    for name, value in msgspec.structs.asdict(calibration.numbers).items():
        low, high, rule = RANGES.get(name, (1e-6, 1, "a share, above 0 and at most 1"))
        if not low <= value <= high:
            raise ModelError("calibration", f"{name} must be {rule}", f"{value}", where=path)
    return calibration


def shipped(device: Device, rate: str) -> Calibration | None:
    """The calibration that comes with the package for this device at this rate, if one does."""
    path = os.path.join(SHIPPED, f"{device.id}.{rate}.json")
    return _kept(path, device.id, rate) if os.path.exists(path) else None


@lru_cache(maxsize=64)
def _kept(path: str, name: str, rate: str) -> Calibration:
    """A file of the package, read once."""
    return load(path, devices()[name], rate)
