"""Which of a device's rates an operation runs at, by the network's format and how float32 is multiplied."""

from archcalc.errors import UsageError
from archcalc.hardware.device import Device
from archcalc.hardware.kernel import MathMode, Pace

RATES = {"float16": "fp16", "bfloat16": "bf16", "float8": "fp8", "int8": "int8"}


def rate_of(device: Device, dtype: str, math_mode: MathMode, pace: Pace) -> str:
    """The name of the rate at which products of a kernel run.

    PyTorch's defaults multiply float32 convolutions in TF32 where the device has it, and matrices in IEEE float32.
    Values of half the width are multiplied as float32 where that is faster, as on a P4.
    Raises UsageError where the device states no such rate.
    """
    if dtype == "float64":
        return first_of(device, "fp64_tensor", "fp64_matrix", "fp64")
    if dtype == "float32":
        reduced = math_mode == "tf32" or (math_mode == "torch" and pace == "conv")
        return first_of(device, *(("tf32",) if reduced else ()), "fp32_matrix", "fp32")
    if dtype not in RATES:
        known = ", ".join(device.peak_tflops)
        raise UsageError("--dtype", f"must have a rate on {device.id}, which states {known}", dtype)
    own = RATES[dtype]
    return "fp32" if highest(device, own) > device.rate(own) else own  # raises, and says which rates there are


def first_of(device: Device, *names: str) -> str:
    """The first of these rates that the device states, else the last one, which then raises."""
    return next((name for name in names if device.has_rate(name)), names[-1])


def highest(device: Device, rate: str) -> float:
    """FLOP/s that nothing at this rate beats: what may be rounded may also be multiplied as float32."""
    own = device.rate(rate)
    widened = rate in ("tf32", "fp16", "bf16", "fp8") and device.has_rate("fp32")
    return max(own, device.rate("fp32")) if widened else own
