"""Device: an accelerator as its sheet states it, with the rates, bandwidth and cache that a bound on time may rest on.

Rates are dense peaks, the highest stated at any clock; what no source states is None or an error, never a guess.
The table of built-in devices is `devices.yaml`.
"""

import os
import re
from collections.abc import Mapping
from fractions import Fraction
from functools import cache
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from archcalc.errors import CannotRun, UsageError, nearest
from archcalc.views import hardware as views

TABLE = os.path.join(os.path.dirname(__file__), "devices.yaml")
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RATES = (
    "fp64", "fp64_tensor", "fp64_matrix", "fp32", "fp32_matrix", "tf32", "fp16", "fp16_fp16acc", "bf16", "fp8", "int8",
)  # fmt: skip
MOST_MEANT = 6  # devices that a message lists because their names hold the one that was given
UNITS = {"M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
PLAIN_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*([MGTP])FLOP(?:S|/S)?", re.IGNORECASE)


class Memory(Struct, frozen=True):
    """Device memory as the vendor states it, or as a driver showed it."""

    size: float | None = None
    unit: Literal["GB", "GiB", "MiB"] = "GB"
    type: str | None = None
    read_mib: float | None = None  # what a driver showed, where somebody looked

    @property
    def bytes(self) -> int | None:
        """Bytes on the card; None if unknown.

        The GB of a sheet are taken as GiB: memory chips come in powers of two, and drivers show 81,920 MiB or a little
        less for "80 GB" (a reserve, and on GDDR cards error correction, take up to a sixteenth). The decimal reading
        is off by 7 %: the H200's "141 GB" are 143,771 MiB = 140.4 GiB, far from the 131.3 GiB of 141e9 bytes.

        >>> Memory(80, "GB").bytes, Memory(141, "GB", read_mib=143771).bytes
        (85899345920, 150754820096)
        """
        if self.read_mib is not None:
            return int(self.read_mib * 2**20)
        return None if self.size is None else int(self.size * (2**20 if self.unit == "MiB" else 2**30))


class Device(Struct, frozen=True, kw_only=True):
    """What a device can do, in the units of its sheet; None and missing rates are unknown."""

    id: str
    name: str
    vendor: str | None = None
    arch: str | None = None
    year: int | None = None
    compute_capability: str | None = None
    device_names: tuple[str, ...] = ()  # as the driver prints it
    memory: Memory = Memory()
    bandwidth_gbps: float | None = None  # as stated, 1 GB = 1e9 bytes
    bus_bits: int | None = None
    data_rate_gtps: float | None = None
    l2_mb: float | None = None  # MiB, as l3_mb
    l3_mb: float | None = None
    sms: int | None = None  # multiprocessors, compute units, cores
    fp32_lanes: int | None = None
    fp32_flop_per_lane: int = 2  # per clock; 4 where a lane issues two fused multiply-adds
    boost_mhz: float | None = None
    tensor_clock_mhz: float | None = None  # of the stated tensor rates, where it is not the boost clock
    tdp_w: float | None = None
    peak_tflops: dict[str, float] = {}
    peak_at_max_clock_tflops: dict[str, float] = {}
    tensor: frozenset[str] = frozenset()  # rates that need tensor or matrix cores
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def has_rate(self, dtype: str) -> bool:
        """Is a rate of this name stated?"""
        return dtype in self.peak_tflops

    def rate(self, dtype: str) -> float:
        """FLOP/s: the highest dense rate of this name that is stated at any clock.

        Raises UsageError where none is: a rate is never made up from another one.
        """
        if dtype not in self.peak_tflops:
            has = f"{self.id} with {', '.join(self.peak_tflops) or 'no rate at all'}"
            way_out = "no source states one, and none is made up; a file of your own may: --devices FILE"
            raise UsageError("--device", f"must have a rate for {dtype}", has, way_out=way_out)
        stated = max(self.peak_tflops[dtype], self.peak_at_max_clock_tflops.get(dtype, 0))
        return float(Fraction(str(stated)) * 10**12)

    @property
    def bus_bandwidth(self) -> float | None:
        """Bytes per second that the bus can carry: its width × its data rate."""
        if self.bus_bits is None or self.data_rate_gtps is None:
            return None
        return float(Fraction(str(self.data_rate_gtps)) * self.bus_bits * 10**9 / 8)

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second, the larger of what is stated and what the bus can carry; None if neither is known.

        The larger one, because a time that nothing beats must not rest on a rounded figure.
        """
        stated = None if self.bandwidth_gbps is None else float(Fraction(str(self.bandwidth_gbps)) * 10**9)
        known = [figure for figure in (stated, self.bus_bandwidth) if figure is not None]
        return max(known, default=None)

    @property
    def cache_bytes(self) -> int | None:
        """Bytes that may stay on the chip between kernels: L2 and any level after it; None if the L2 is unknown."""
        return None if self.l2_mb is None else int((self.l2_mb + (self.l3_mb or 0)) * 2**20)

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of device memory; the GB of a sheet are GiB (see Memory)."""
        return self.memory.bytes

    def ridge(self, dtype: str) -> float | None:
        """FLOP per byte from which on arithmetic, not memory, is the limit; None if the bandwidth is unknown."""
        return None if self.bandwidth is None else self.rate(dtype) / self.bandwidth

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """The stated figures, and what is taken from them: bytes, bytes/s, FLOP/s, FLOP per byte."""
        stated = {key: value for key, value in msgspec.to_builtins(self).items() if value not in (None, [], {})}
        stated["tensor"] = [name for name in self.peak_tflops if name in self.tensor]
        stated["memory"] = {key: value for key, value in stated["memory"].items() if value is not None}
        return stated | {
            "memory_bytes": self.memory_bytes,
            "cache_bytes": self.cache_bytes,
            "bandwidth_bytes_per_s": self.bandwidth,
            "rate_flops_per_s": {name: self.rate(name) for name in self.peak_tflops},
            "ridge_flops_per_byte": {name: self.ridge(name) for name in self.peak_tflops},
        }


class _Table(Struct, frozen=True):
    sources: dict[str, str]
    devices: tuple[Device, ...]


@cache
def _table() -> _Table:
    with open(TABLE, encoding="utf-8") as file:
        return msgspec.convert(yaml.load(file, Loader=LOADER), _Table)  # noqa: S506 - a safe loader, the one in C


@cache
def devices() -> dict[str, Device]:
    """All built-in devices, by id."""
    return {row.id: row for row in _table().devices}


def sources() -> dict[str, str]:
    """What the short names of sources in the built-in rows stand for."""
    return _table().sources


def device(name: str, own: Mapping[str, Device] | None = None, *, asked: str = "--device") -> Device:
    """The device of this name: an id with or without its vendor, a driver's name, a plain rate, or `local`.

    `own` are devices that are known beside the built-in ones; `asked` is what an error calls the place of the name.
    Case does not matter. Raises UsageError for another name, and what `local` raises.

    >>> device("nvidia-h200").id, device("RTX4090").id, device("NVIDIA H200").id, device("2.5 TFLOP/s").rate("bf16")
    ('nvidia-h200', 'nvidia-rtx4090', 'nvidia-h200', 2500000000000.0)
    """
    wanted = name.strip()
    if wanted.lower() == "local":
        return local(own)
    if match := PLAIN_RATE.fullmatch(wanted):
        return _plain(wanted, Fraction(match[1]) * UNITS[match[2].upper()])
    goes_by = names({**devices(), **(own or {})})
    if wanted.lower() in goes_by:
        return goes_by[wanted.lower()]
    meant = sorted({row.id for known, row in goes_by.items() if wanted and wanted.lower() in known})
    one_of = "one of " if len(meant) > 1 else ""
    listed = f"did you mean {one_of}{', '.join(meant)}?" if 0 < len(meant) <= MOST_MEANT else ""
    way_out = listed or nearest(wanted.lower(), goes_by, listed=False) or "see: archcalc hardware"
    raise UsageError(asked, "no such device", repr(name) if not wanted else name, way_out=way_out)


def names(known: Mapping[str, Device]) -> dict[str, Device]:
    """Every name that a device goes by, in small letters; an id counts before what others are called."""
    found: dict[str, Device] = {}
    for row in known.values():
        short = row.id.removeprefix(f"{(row.vendor or '').lower()}-")
        spoken = [name.lower() for name in row.device_names]
        older = [name.removeprefix("nvidia ") for name in spoken]  # as drivers said until about 2021
        for other in (short.lower(), *spoken, *older):
            found.setdefault(other, row)
    return found | {row.id.lower(): row for row in known.values()}


def _plain(name: str, rate: Fraction) -> Device:
    """A device that is nothing but a rate, for every dtype: the question of the classroom."""
    if not rate:
        raise UsageError("--device", "must have a rate above zero", name)
    note = "just a rate, the same for every dtype: no bandwidth, no cache, no memory"
    return Device(id=name, name=name, peak_tflops=dict.fromkeys(RATES, float(rate / 10**12)), notes=(note,))


def local(own: Mapping[str, Device] | None = None) -> Device:
    """The CUDA device of this machine: its row in the table, with what its driver says in place of the sheet's figures.

    Memory and multiprocessors are the driver's, the L2 is the larger of both, and where the driver allows a higher
    clock than the sheet, rates are stated at it too. Raises CannotRun without PyTorch, a CUDA device, or a row for it.
    """
    way_out = "name a device instead, such as --device nvidia-h200; archcalc hardware lists them"
    try:
        import torch
    except ImportError as error:
        way_out = f"pip install 'archcalc[torch]', or {way_out}"
        raise CannotRun("--device local", "needs PyTorch", str(error), way_out=way_out) from None
    if not torch.cuda.is_available():
        raise CannotRun("--device local", "needs a CUDA device", "none that PyTorch can use", way_out=way_out)
    name = torch.cuda.get_device_name()
    row = names({**devices(), **(own or {})}).get(name.lower())
    if row is None:
        way_out = "state its rates in a file of your own (--devices FILE), with this name under device_names"
        raise CannotRun("--device local", "needs a row for the device", name, way_out=way_out)
    return _as_driven(row, torch.cuda.get_device_properties(torch.cuda.current_device()))


def _as_driven(row: Device, driver: Any) -> Device:
    """A row with the driver's figures in it."""
    memory = replace(row.memory, read_mib=driver.total_memory / 2**20)
    read_l2 = getattr(driver, "L2_cache_size", 0) / 2**20
    mhz = getattr(driver, "clock_rate", 0) / 1000  # older versions of PyTorch do not tell
    faster: dict[str, float] = row.peak_at_max_clock_tflops
    if row.boost_mhz is not None and mhz > row.boost_mhz:
        scale = mhz / row.boost_mhz
        faster = {name: row.rate(name) / 1e12 * scale for name in row.peak_tflops}
    return replace(
        row,
        memory=memory,
        sms=driver.multi_processor_count,
        l2_mb=max(row.l2_mb or 0, read_l2) or None,
        peak_at_max_clock_tflops=faster,
        notes=(*row.notes, "Read from the driver: memory, multiprocessors, L2, highest clock."),
    )
