"""Do the figures of a device agree with each other? Rates with lanes, clocks and ratios, bandwidth with the bus."""

from collections.abc import Iterator

from msgspec import Struct

from archcalc.hardware.device import Device

CLOSE = 0.01  # of figures that are computed from one another
ROUNDED = 0.025  # of figures that vendors round: bandwidths, ratios between rates

# Products of half precision that a multiprocessor's tensor cores do in a clock, dense, by NVIDIA's compute capability:
# tensor cores × products of each, as white papers of the architectures and notes of the table state them.
HALF_PRODUCTS = {
    "7.0": 512, "7.5": 512, "8.0": 1024, "8.6": 512, "8.7": 1024, "8.9": 512, "9.0": 2048, "10.0": 4096, "12.0": 512,
}  # fmt: skip


class Finding(Struct, frozen=True):
    """One rule laid on the figures that a device states: what they say, and whether it holds."""

    rule: str
    says: str
    holds: bool

    def __str__(self) -> str:
        return f"{self.rule}; got {self.says}"


def check(device: Device) -> list[str]:
    """What does not agree, a sentence each; empty for a row in order."""
    return [str(finding) for finding in findings(device) if not finding.holds]


def findings(device: Device) -> list[Finding]:
    """Every rule that the stated figures allow to lay on them."""
    rules = (_lanes, _bus, _names, _order, _ratios, _tensor_cores, _clocks)
    return [finding for rule in rules for finding in rule(device)]


def _lanes(device: Device) -> Iterator[Finding]:
    lanes, mhz, fp32 = device.fp32_lanes, device.boost_mhz, device.peak_tflops.get("fp32")
    if lanes and mhz and fp32:
        made = device.fp32_flop_per_lane * lanes * mhz / 1e6
        text = f"{device.fp32_flop_per_lane} × {lanes:,} lanes × {mhz:,g} MHz = {made:.4g} TFLOP/s"
        yield _equal("fp32 must be lanes × clock", f"{fp32:,g}", fp32, text, made, CLOSE)
    if lanes and device.sms:
        says = f"{lanes:,} lanes in {device.sms} multiprocessors"
        yield Finding("lanes must be shared evenly", says, lanes % device.sms == 0)


def _bus(device: Device) -> Iterator[Finding]:
    stated, carried = device.bandwidth_gbps, device.bus_bandwidth
    if stated and carried:
        text = f"{device.bus_bits} bits × {device.data_rate_gtps:g} GT/s / 8 = {carried / 1e9:,.1f} GB/s"
        yield _equal("bandwidth must be bus × data rate", f"{stated:,g}", stated, text, carried / 1e9, ROUNDED)


def _names(device: Device) -> Iterator[Finding]:
    for rule, named in (
        ("tensor rates must be among the rates", device.tensor),
        ("rates at the highest clock must be among the rates", device.peak_at_max_clock_tflops),
    ):
        if named:
            missing = sorted(set(named) - set(device.peak_tflops))
            yield Finding(rule, f"without {', '.join(missing)}" if missing else "all", not missing)


def _order(device: Device) -> Iterator[Finding]:
    rates = device.peak_tflops
    for slow, fast in (("fp64", "fp32"), ("fp32", "tf32"), ("tf32", "fp16"), ("tf32", "bf16")):
        if slow in rates and fast in rates:
            says = f"{rates[slow]:,g} and {rates[fast]:,g} TFLOP/s"
            yield Finding(f"{slow} must be no faster than {fast}", says, rates[slow] <= rates[fast] * (1 + CLOSE))


def _ratios(device: Device) -> Iterator[Finding]:
    rates = device.peak_tflops
    half = max((rates[name] for name in ("fp16", "bf16", "fp16_fp16acc") if name in rates), default=None)
    for name in ("fp8", "int8"):
        if half is not None and name in rates:
            says = f"{rates[name]:,g} beside {half:,g} TFLOP/s of 16 bits, {rates[name] / half:.2f} times"
            yield Finding(f"{name} must be dense, at most twice 16 bits", says, rates[name] <= 2 * half * (1 + ROUNDED))


def _tensor_cores(device: Device) -> Iterator[Finding]:
    products = HALF_PRODUCTS.get(device.compute_capability or "")
    if products is None or device.sms is None or device.boost_mhz is None:
        return
    most = 2 * products * device.sms * device.boost_mhz / 1e6
    text = f"2 × {products:,} products × {device.sms} SMs × {device.boost_mhz:,g} MHz = {most:,.1f} TFLOP/s"
    for name in ("fp16", "bf16"):
        if name in device.tensor and name in device.peak_tflops:
            stated = max(device.peak_tflops[name], device.peak_at_max_clock_tflops.get(name, 0))
            yield Finding(f"{name} must be dense", f"{stated:,g} beside {text}", stated <= most * (1 + CLOSE))


def _clocks(device: Device) -> Iterator[Finding]:
    for name, faster in device.peak_at_max_clock_tflops.items():
        slower = device.peak_tflops.get(name)
        if slower is not None:
            says = f"{faster:,g} and {slower:,g} TFLOP/s"
            yield Finding(f"{name} must gain by the highest clock", says, faster >= slower)
            if device.tensor_clock_mhz and device.boost_mhz and name in device.tensor:
                text = f"{device.boost_mhz:,g} / {device.tensor_clock_mhz:,g} MHz"
                made = device.boost_mhz / device.tensor_clock_mhz
                yield _equal(
                    f"{name} must gain as the clock does", f"{faster / slower:.3f}", faster / slower, text, made, CLOSE
                )


def _equal(rule: str, shown: str, stated: float, text: str, made: float, tolerance: float) -> Finding:
    apart = abs(stated / made - 1)
    return Finding(rule, f"{shown} beside {text}, {apart:.1%} apart", apart <= tolerance)
