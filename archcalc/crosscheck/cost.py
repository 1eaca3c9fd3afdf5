"""What a CUDA device takes for a network: peak allocated memory, and time by events, with the device's clocks."""

import statistics
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP, REPEATS = 10, 30


def hardware(device: str) -> dict[str, str]:
    """The card, its driver's CUDA version and its memory; nothing for another device."""
    if device != "cuda":
        return {}
    card = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"gpu": card.name, "cuda": f"CUDA {torch.version.cuda}", "memory": f"{card.total_memory:,} B of memory"}


def measured(network: nn.Module, inputs: Callable[[], Sequence[Tensor]], device: str) -> dict[str, Any] | None:
    """Peak memory of a training step, and the time of a forward pass and of a training step; None without CUDA."""
    if device != "cuda":
        return None
    xs = inputs()

    def forward() -> None:
        with torch.no_grad():
            network(*xs)

    def training() -> None:
        network.zero_grad(set_to_none=True)
        with torch.enable_grad():
            ys = network(*xs)
            sum(y.float().sum() for y in (ys if isinstance(ys, tuple) else (ys,))).backward()

    was_training = network.training
    try:
        timed = {"forward": times(forward)}
        network.train()
        peak = peak_bytes(training)
        timed["training"] = times(training)
    finally:
        network.train(was_training)
        network.zero_grad(set_to_none=True)
    return {"peak_bytes": peak, **timed, "clocks": clocks()}


def peak_bytes(step: Callable[[], None]) -> int:
    """Most bytes that PyTorch had allocated at once during a second step, gradients being there already."""
    step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


def times(step: Callable[[], None]) -> dict[str, Any]:
    """Seconds of one step by CUDA events: the median of repeats after a warm-up, and their first and last decile."""
    for _ in range(WARM_UP):
        step()
    marks: Any = torch.cuda.Event
    events = [(marks(enable_timing=True), marks(enable_timing=True)) for _ in range(REPEATS)]
    for start, end in events:
        start.record()
        step()
        end.record()
    torch.cuda.synchronize()
    seconds = sorted(start.elapsed_time(end) / 1000 for start, end in events)
    deciles = statistics.quantiles(seconds, n=10)
    return {"median_s": statistics.median(seconds), "low_s": deciles[0], "high_s": deciles[-1], "repeats": REPEATS}


def clocks() -> dict[str, str]:
    """The card's clocks as its driver tells them now; empty where there is no such tool."""
    fields = "clocks.sm,clocks.mem,clocks.max.sm,power.draw"
    try:
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(zip(fields.split(","), map(str.strip, answer.splitlines()[0].split(",")), strict=False))
