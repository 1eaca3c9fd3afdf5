"""What a CUDA device takes for a network: peak allocated memory, and time by events, with the device's clocks."""

import statistics
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archcalc.errors import CannotRun
from archcalc.hardware.device import device as device_of
from archcalc.layers.layer import Shape
from archcalc.questions.model import Model

WARM_UP, REPEATS = 10, 30


def hardware(device: str) -> dict[str, str]:
    """The card, its driver's CUDA version and its memory; nothing for another device."""
    if device != "cuda":
        return {}
    card = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"gpu": card.name, "cuda": f"CUDA {torch.version.cuda}", "memory": f"{card.total_memory:,} B of memory"}


def measured(network: nn.Module, inputs: Callable[[], Sequence[Tensor]], device: str) -> dict[str, Any] | None:
    """The time of a forward pass, peak memory and time of a training step, or why not all of it; None without CUDA."""
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
            loss: Any = torch.stack([y.float().sum() for y in (ys if isinstance(ys, tuple) else (ys,))]).sum()
            if loss.requires_grad:  # a network without trained weights has no backward pass
                loss.backward()

    found: dict[str, Any] = {}
    was_training = network.training
    try:
        found["forward"] = times(forward)
        network.train()
        found["peak_bytes"] = peak_bytes(training)
        found["training"] = times(training)
    except (RuntimeError, ValueError) as error:  # the card is full, or a layer does not train at this size
        found["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        network.train(was_training)
        network.zero_grad(set_to_none=True)
    return found | {"clocks": clocks()}


def predicted(model: Model, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """What the models of memory and time say of the same passes on this machine's device, where it is in the table."""
    sizes, batch = {name: shape[1:] for name, shape in shapes.items()}, next(iter(shapes.values()))[0]
    found: dict[str, Any] = {}
    training = model.memory(sizes, batch=batch, training=True, optimizer="none").training
    if training is not None:
        found["peak_bytes"] = training.bytes
    try:
        device = device_of("local")
    except CannotRun:
        return found
    for name, trains in (("forward", False), ("training", True)):
        totals = model.time(device, sizes, batch=batch, training=trains).totals
        found[name] = {key: totals[key] for key in ("bound_s", "bound_eager_s", "estimate_s") if key in totals}
    return found


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
