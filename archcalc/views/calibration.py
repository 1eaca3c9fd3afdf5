"""A calibration as a page: the ten numbers beside their defaults, and what they miss."""

import textwrap
from collections.abc import Iterator
from typing import Any

from archcalc.views.table import Table
from archcalc.views.time import seconds

MEANINGS = {
    "gemm": "share of the peak, matrix products",
    "tile_cost": "elements lost at each side of a tile",
    "conv": "share of the peak, convolutions",
    "attention": "share of the peak, fused attention",
    "elementwise": "share of the bandwidth, elementwise",
    "softmax": "share of the bandwidth, softmax",
    "norm": "share of the bandwidth, norms and reductions",
    "in_cache": "how much faster traffic within the cache is",
    "gap_s": "between two kernels",
    "host_s": "for the host to launch one kernel",
}


def text(fit: Any, start: Any, width: int) -> str:
    """One calibration, beside the numbers that it started from."""
    rows = tuple((name, _value(name, fit.numbers), _value(name, start), what) for name, what in MEANINGS.items())
    numbers = Table(("number", "fitted", "default", "meaning"), (False, True, True, False), rows)
    ops = dict.fromkeys([*fit.residuals_fitted, *fit.residuals])
    misses = Table(
        ("kernel", "others", "fitted to"), (False, True, True),
        tuple((op, _share(fit.residuals.get(op)), _share(fit.residuals_fitted.get(op))) for op in ops),
    )  # fmt: skip
    head = f"{fit.device} at {fit.rate}: fitted to {fit.rows_fitted} timings, checked on {fit.rows_checked} others"
    said = "Mean of |estimate - time| / time, on timings that the fit did not see and on those that it saw:"
    return "\n\n".join([
        head, numbers.text(), "\n".join([*textwrap.wrap(said, width), misses.text()]), "\n".join(_closing(fit, width)),
    ])  # fmt: skip


def _value(name: str, numbers: Any) -> str:
    value: float = getattr(numbers, name)
    return seconds(value) if name.endswith("_s") else f"{value:.3f}"


def _share(error: float | None) -> str:
    return "" if error is None else f"{100 * error:.1f} %"


def _closing(fit: Any, width: int) -> Iterator[str]:
    yield f"Overhead within each timing, host and events: {seconds(fit.overhead_s)}"
    for name, value in fit.environment.items():
        yield from textwrap.wrap(f"{name}: {value}", width, subsequent_indent="  ")
