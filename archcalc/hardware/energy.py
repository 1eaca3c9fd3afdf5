"""Energy of operations and traffic as a range, from published figures per operation and per byte: an estimate.

The figures are in `energy.yaml`, with their sources. The range of one operation is made so:

- lower end: the circuits of the operations alone, each in its own dtype, every operand at hand for nothing; device
  memory at its lowest published figure.
- upper end: sums in the accumulator's dtype (fp32, or int32 for int8), both operands of every product read from the
  smallest memory of the table, and each byte from device memory, at its highest figure, passing once through its
  largest.

Neither end holds fetching and decoding instructions, registers, long wires, leakage, idle power, cooling or losses of
the supply, so a card may draw more than the upper end; it cannot draw more than its power limit for the time that it
runs. Divisions and exponentials have no published figure here and are not counted.
"""

import os
from collections.abc import Mapping
from functools import cache

import msgspec
import yaml
from msgspec import Struct

from archcalc.algebra.ops import Ops
from archcalc.errors import UsageError
from archcalc.hardware.device import LOADER, Device, devices

TABLE = os.path.join(os.path.dirname(__file__), "energy.yaml")
PICO = 1e-12
ACCESS_BYTES = 8  # of one access in the table
WIDTH_BYTES = {"int8": 1, "int32": 4, "bf16": 2, "fp16": 2, "fp32": 4}
SUMS_IN = {"int8": "int32", "int32": "int32"}  # the others in fp32


class Node(Struct, frozen=True):
    """Published figures of one process node, in picojoule."""

    nm: int
    add_pj: dict[str, float]
    mul_pj: dict[str, float]
    sram_pj: dict[int, float]  # of one access, by KiB of the memory
    sources: tuple[str, ...]


class Traffic(Struct, frozen=True):
    """Published figures of one kind of device memory, in picojoule of an access: lowest, highest."""

    type: str
    access_pj: tuple[float, float]
    sources: tuple[str, ...]


class _Process(Struct, frozen=True):
    nm: int
    ids: tuple[str, ...]
    source: str


class Published(Struct, frozen=True):
    """The table: figures, their sources, and the nodes of built-in devices."""

    sources: dict[str, str]
    nodes: tuple[Node, ...]
    memories: tuple[Traffic, ...]
    processes: tuple[_Process, ...]


@cache
def table() -> Published:
    """Every published figure, with its sources."""
    with open(TABLE, encoding="utf-8") as file:
        return msgspec.convert(yaml.load(file, Loader=LOADER), Published)  # noqa: S506 - a safe loader, the one in C


class Technology(Struct, frozen=True):
    """Which figures a range rests on: a node for either end, a memory, and what has to be said about the choice."""

    low: Node
    high: Node
    memory: Traffic
    notes: tuple[str, ...] = ()


def technology(nm: int, memory: str) -> Technology:
    """The figures for a chip of this process node, in nanometres, and this type of memory, such as 7 and HBM2.

    Between the published nodes the finer one gives the lower end and the coarser one the upper end; beyond the finest
    its own figures give both. Raises UsageError where nothing is published.

    >>> technology(12, "HBM2").notes
    ('12 nm lies between published nodes: lower end as in 7 nm, upper end as in 45 nm',)
    """
    nodes = sorted(table().nodes, key=lambda node: -node.nm)
    coarser = [node for node in nodes if node.nm >= nm]
    finer = [node for node in nodes if node.nm <= nm]
    if not coarser:
        raise UsageError("energy", f"has figures from {nodes[0].nm} nm down", f"{nm} nm")
    low, high = (finer or nodes[-1:])[0], coarser[-1]
    notes = []
    if not finer:
        notes.append(f"nothing is published for {nm} nm: figures of {low.nm} nm, which are likely too high")
    elif low is not high:
        notes.append(f"{nm} nm lies between published nodes: lower end as in {low.nm} nm, upper end as in {high.nm} nm")
    found, note = _memory(memory)
    return Technology(low, high, found, (*notes, *note))


def _memory(kind: str) -> tuple[Traffic, tuple[str, ...]]:
    """The published memory of this type, or of the generation before it."""
    known = {row.type: row for row in table().memories}
    kind = kind.partition(" ")[0]
    if kind in known:
        return known[kind], ()
    for family, older in (("HBM", "HBM2"), ("GDDR6", "GDDR6"), ("GDDR7", "GDDR6"), ("DDR", "DDR")):
        if kind.startswith(family):
            return known[older], (f"nothing is published for {kind}: figures of {older}",)
    raise UsageError("energy", f"has figures for {', '.join(known)}", kind)


def technology_of(device: Device) -> Technology:
    """The figures for a built-in device; UsageError if its process node or its memory is not known."""
    fits = [
        (len(start), row.nm)
        for row in table().processes
        for start in row.ids
        if device.id in devices() and device.id.startswith(start)
    ]
    if not fits:
        raise UsageError("energy", "needs a device whose process node is known", device.id)
    if device.memory.type is None:
        raise UsageError("energy", "needs a device whose type of memory is known", device.id)
    return technology(max(fits)[1], device.memory.type)


def energy_j(ops: Mapping[str, Ops], traffic_bytes: int, on: Technology) -> tuple[float, float]:
    """Joule, lower and upper end, of these operations by dtype and these bytes from and to device memory.

    A comparison counts as an addition, divisions and exponentials do not count.

    >>> low, high = energy_j({"bf16": Ops(mul=10**12, add=10**12)}, 0, technology(7, "HBM2"))
    >>> round(low, 3), round(high, 3)
    (0.32, 4.34)
    """
    low = sum(_circuits(dtype, counted, on.low, dtype) for dtype, counted in ops.items())
    high = sum(
        _circuits(dtype, counted, on.high, SUMS_IN.get(dtype, "fp32")) + _operands(dtype, counted, on.high)
        for dtype, counted in ops.items()
    )
    accesses = traffic_bytes / ACCESS_BYTES
    low += accesses * on.memory.access_pj[0]
    high += accesses * (on.memory.access_pj[1] + on.high.sram_pj[max(on.high.sram_pj)])
    return low * PICO, high * PICO


def _circuits(dtype: str, ops: Ops, node: Node, sums_in: str) -> float:
    for name in (dtype, sums_in):
        if name not in node.mul_pj:
            way_out = f"figures are published for {', '.join(node.mul_pj)}"
            raise UsageError("energy", f"needs a published figure for {name} at {node.nm} nm", "none", way_out=way_out)
    return ops.mul * node.mul_pj[dtype] + (ops.add + ops.cmp) * node.add_pj[sums_in]


def _operands(dtype: str, ops: Ops, node: Node) -> float:
    return ops.mul * 2 * WIDTH_BYTES[dtype] / ACCESS_BYTES * node.sram_pj[min(node.sram_pj)]
