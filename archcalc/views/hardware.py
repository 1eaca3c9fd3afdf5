"""Devices as pages: the table of all of them, and everything about one."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archcalc.algebra.units import iec
from archcalc.views import notebook
from archcalc.views.table import Table

if TYPE_CHECKING:
    from archcalc.hardware.device import Device

SHOWN = ("fp32", "tf32", "fp16", "bf16")  # rates that the table of all devices has a column for
UNKNOWN = "-"
RATELESS = "No rate is stated."
LEGEND = (
    "GiB of memory; GB/s the larger of what is stated and what the bus carries; cache in MiB, all levels from L2 on; "
    "rates in TFLOP/s, dense, at the highest clock stated; - what no source states."
)


def table_page(devices: Sequence["Device"], width: int) -> str:
    """Every device, a line each."""
    rows = tuple(
        (
            row.id,
            figure(row.memory_bytes, 2**30),
            figure(row.bandwidth, 1e9),
            figure(row.cache_bytes, 2**20),
            *(figure(row.rate(name), 1e12) if row.has_rate(name) else UNKNOWN for name in SHOWN),
        )
        for row in devices
    )
    page = Table(("device", "GiB", "GB/s", "cache", *SHOWN), (False, *[True] * 7), rows).text()
    closing = textwrap.fill(LEGEND, width)
    return "\n".join([page, "", closing, "", f"{len(rows)} devices. One of them: archcalc hardware nvidia-h200"])


def figure(value: float | None, unit: float) -> str:
    """Four significant digits at most, in this unit.

    >>> figure(1_070_500_000_000_000, 1e12), figure(None, 1), figure(16 * 2**30, 2**30)
    ('1,071', '-', '16')
    """
    if value is None:
        return UNKNOWN
    number = value / unit
    return f"{number + 1e-9:,.0f}" if number >= 1000 else f"{number:.4g}"


def device_page(device: "Device", findings: Sequence[Any], sources: Mapping[str, str], width: int) -> str:
    """All about one device: its figures, its rates, what was checked, notes and sources in full."""
    held = sum(finding.holds for finding in findings)
    checks = [f"{finding.rule}: {finding.says}" for finding in findings]
    said = [f"{source}: {sources[source]}" if source in sources else source for source in device.sources]
    parts = [
        textwrap.fill(f"{device.id}: {device.name}", width),
        "\n".join(_entries(list(_facts(device)), width)),
        _rates(device),
        *_section(f"Checks: {held} of {len(findings)} hold", checks, width),
        *_section("Notes", device.notes, width),
        *_section("Sources", said, width),
    ]
    return "\n\n".join(part for part in parts if part)


def html(device: "Device") -> str:
    """All about one device for a notebook."""
    rates = _rate_table(device)
    said = [*device.notes, *(f"Source: {source}" for source in device.sources)]
    return notebook.frame(
        notebook.heading(device.id, {}, device.name),
        notebook.entries(_facts(device)),
        notebook.table(rates) if rates.rows else notebook.paragraph(RATELESS),
        notebook.paragraphs(said),
    )


def _facts(device: "Device") -> Iterator[tuple[str, str]]:
    words = (device.vendor, device.arch, str(device.year or ""))
    capability = f"compute capability {device.compute_capability}" if device.compute_capability else ""
    if made := ", ".join(word for word in (*words, capability) if word):
        yield "made", made
    if device.device_names:
        yield "drivers say", ", ".join(device.device_names)
    yield "memory", _memory(device)
    yield "bandwidth", _bandwidth(device)
    yield "cache", "unknown" if device.cache_bytes is None else f"{iec(device.cache_bytes)}{_levels(device)}"
    lanes = f", {device.fp32_lanes:,} fp32 lanes" if device.fp32_lanes else ""
    yield "processors", f"{device.sms}{lanes}" if device.sms else "unknown"
    if device.boost_mhz:
        tensor = f"; tensor rates are stated at {device.tensor_clock_mhz:,g} MHz" if device.tensor_clock_mhz else ""
        yield "clock", f"{device.boost_mhz:,g} MHz{tensor}"
    if device.tdp_w:
        yield "power", f"{device.tdp_w:g} W"


def _memory(device: "Device") -> str:
    memory = device.memory
    if memory.bytes is None:
        return f"size unknown{f', {memory.type}' if memory.type else ''}"
    stated = f"{memory.size:g} {memory.unit} " if memory.size else ""
    read = f", {memory.read_mib:,g} MiB read" if memory.read_mib else ""
    return f"{stated}{memory.type or ''}".strip() + f": {iec(memory.bytes)}{read}"


def _bandwidth(device: "Device") -> str:
    if device.bandwidth is None:
        return "unknown"
    parts = [f"{device.bandwidth_gbps:,g} stated"] if device.bandwidth_gbps else []
    if device.bus_bandwidth:
        carried = f"{device.bus_bandwidth / 1e9:,.1f} by {device.bus_bits} bits × {device.data_rate_gtps:g} GT/s"
        parts.append(carried)
    return f"{device.bandwidth / 1e9:,.1f} GB/s ({', '.join(parts)})"


def _levels(device: "Device") -> str:
    return f" (L2 {device.l2_mb:g}, after it {device.l3_mb:g} MiB)" if device.l3_mb else ""


def _rates(device: "Device") -> str:
    rates = _rate_table(device)
    return rates.text() if rates.rows else RATELESS


def _rate_table(device: "Device") -> Table:
    rows = tuple(
        (
            name,
            f"{stated:,g}",
            f"{device.peak_at_max_clock_tflops[name]:,g}" if name in device.peak_at_max_clock_tflops else "",
            UNKNOWN if (ridge := device.ridge(name)) is None else f"{ridge:,.1f}",
            "tensor" if name in device.tensor else "vector",
        )
        for name, stated in device.peak_tflops.items()
    )
    titles = ("rate", "TFLOP/s", "at highest clock", "FLOP per byte", "cores")
    return Table(titles, (False, True, True, True, False), rows)


def _entries(entries: Sequence[tuple[str, str]], width: int) -> Iterator[str]:
    margin = max(len(name) for name, _ in entries) + 2
    for name, words in entries:
        yield _filled(f"{name:{margin}}{words}", width, "", " " * margin)


def _section(title: str, lines: Sequence[str], width: int) -> list[str]:
    filled = [_filled(line, width, "  ", "    ") for line in lines]
    return ["\n".join([title, *filled])] if lines else []


def _filled(text: str, width: int, first: str, rest: str) -> str:
    """Text in lines of this width; names with hyphens stay whole."""
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
