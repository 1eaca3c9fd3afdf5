"""Build a model in PyTorch, run it layer by layer, and lay each formula beside what was measured."""

import os
import random
from collections.abc import Mapping
from typing import Any

import torch

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import prod
from archcalc.algebra.units import iec
from archcalc.crosscheck import cost
from archcalc.crosscheck.bench import Bench, Progress
from archcalc.crosscheck.result import Check, Run, Verification
from archcalc.crosscheck.world import untouched
from archcalc.errors import CannotRun, ModelError, UsageError
from archcalc.layers.layer import Shape
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import outline, walk
from archcalc.questions import storages
from archcalc.questions.model import Model

DEVICES = ("meta", "cpu", "cuda")
LARGEST_SEED = 2**63
MOST_SAMPLES = 100
CELLS = 2**56  # of a tensor: more than PyTorch can address, also without numbers in it


def verify(
    model: Model,
    input: Sizes | Mapping[str, Sizes] | None = None,
    *,
    batch: int = 1,
    device: str = "meta",
    samples: int = 0,
    seed: int = 0,
    show: Progress = iter,
) -> Verification:
    """Formulas against the real network, at this input size and at `samples` more that the model accepts.

    For each use of a layer: output shape; every tensor by name and shape; MACs by torch's counter on the meta device;
    operations and exact MACs by counting one by one on small shapes; what it keeps for backward; output sizes and MACs
    for every size, against the expressions that PyTorch derives. Of the whole: what training keeps, and the peaks.
    On the `meta` device nothing is allocated; on another one, CannotRun says so before anything is, if the network
    would not fit. On `cuda` peak memory and time are measured too.
    """
    check_device(device)
    check_seed(seed)
    if not 0 <= samples <= MOST_SAMPLES:
        raise UsageError("--samples", f"must lie between 0 and {MOST_SAMPLES}", f"{samples}")
    shapes = [full_shapes(model.inputs, input, batch)]
    _must_fit(model, shapes[0], device)  # and fit together: refused before anything is built
    for other in other_shapes(model, shapes[0], samples, seed):
        _must_fit(model, other, device)
        shapes.append(other)
    with untouched(seed, device):
        known: dict[Any, list[Check]] = {}
        runs = tuple(_run(model, asked, device, known, show) for asked in shapes)
        environment = environment_of(device, seed)
    return Verification(model.name, environment, runs, not_checked(device))


def check_device(device: str) -> None:
    """Refuse a device that is unknown or not there."""
    if device not in DEVICES:
        raise UsageError("--device", f"must be one of {', '.join(DEVICES)}", repr(device))
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotRun("verify", "needs a CUDA device", "none that PyTorch can use", way_out="--device cpu or meta")


def check_seed(seed: int) -> None:
    """Refuse a seed that PyTorch cannot take."""
    if not 0 <= seed < LARGEST_SEED:
        raise UsageError("--seed", "must lie between 0 and 2**63 - 1", f"{seed}")


def environment_of(device: str, seed: int) -> dict[str, str]:
    """What the numbers were measured with."""
    version = torch.__version__.partition("+")[0]  # what follows names the build
    return {"torch": f"torch {version}", "device": device, "seed": f"seed {seed}"} | cost.hardware(device)


def not_checked(device: str) -> tuple[str, ...]:
    """What this device does not tell."""
    if device == "cuda":
        return ()
    return ("time, what CUDA keeps for backward, peak memory there: --device cuda measures them",)


def other_shapes(model: Model, shapes: Mapping[str, Shape], samples: int, seed: int) -> list[dict[str, Shape]]:
    """Random input shapes that the model accepts, half to twice as large; fewer where it accepts no others."""
    dice, found = random.Random(seed), list[dict[str, Shape]]()  # noqa: S311 - sizes, no secrets
    for _ in range(10 * samples):
        sizes = {name: _resized(dice, model, shapes, name) for name in shapes}
        if len(found) < samples and sizes != shapes and sizes not in found and _accepts(model, sizes):
            found.append(sizes)
    return found


def _resized(dice: random.Random, model: Model, shapes: Mapping[str, Shape], name: str) -> Shape:
    """A shape whose axes, but for channels or features, are drawn anew, each until the model accepts it alone."""
    shape = list(shapes[name])
    image, indices = model.reads_as_image(name), model.inputs[name].dtype is not None
    for axis in range(2 if image else 1, len(shape) if image or indices else len(shape) - 1):
        for _ in range(100):
            size = dice.randint(max(1, shapes[name][axis] // 2), 2 * shapes[name][axis])
            alone = tuple(size if at == axis else n for at, n in enumerate(shapes[name]))
            if _accepts(model, {**shapes, name: alone}):
                shape[axis] = size
                break
    return tuple(shape)


def _accepts(model: Model, shapes: Mapping[str, Shape]) -> bool:
    try:
        walk(model, shapes, ask=outline)
    except ModelError:
        return False
    return True


def _run(model: Model, shapes: Mapping[str, Shape], device: str, known: dict[Any, list[Check]], show: Progress) -> Run:
    bench = Bench(model, model.walk(shapes), shapes, device, known)
    checks = (*bench.in_network(), *bench.by_itself(show))
    taken = cost.measured(bench.network, bench.inputs, device)
    if taken is not None:
        taken["predicted"] = cost.predicted(model, shapes)
    return Run(dict(shapes), checks, bench.whole(), tuple(bench.peaks()), taken)


def _must_fit(model: Model, shapes: Mapping[str, Shape], device: str) -> None:
    """Refuse a network whose weights, outputs and tensors kept for backward, all at once, exceed the free memory."""
    uses = model.walk(shapes)
    tensors = [weight for use in uses for weight in use.answers.shapes.values()]
    largest = max(map(prod, [*shapes.values(), *(use.answers.y for use in uses), *tensors]))
    if largest > CELLS:
        raise CannotRun("verify", "a tensor must have at most 2**56 cells", f"{largest}", way_out="a smaller --input")
    if device == "meta":
        return
    owned = sum(use.answers.params + use.answers.buffers for use in uses if not use.shared)
    owned *= 2 if device == "cuda" else 1  # a training step has gradients too
    found = storages.stays(uses, model.inputs, shapes, device="cuda" if device == "cuda" else "cpu")
    kept = 0 if found.unsaid else sum(block.bytes for block, _ in storages.kept(found))
    cells = (owned, *map(prod, shapes.values()), *(use.answers.elements for use in uses))
    needed = kept + sum(bytes_of(n, "float32") for n in cells)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else available_bytes()
    if needed > free:
        got = f"{iec(needed)} of inputs, weights, outputs and what training keeps, {iec(free)} available"
        raise CannotRun("verify", "the network must fit the memory", got, way_out="--device meta, or a smaller --input")


def available_bytes() -> int:
    """Memory that a program can have without swapping: what Linux says, else all there is."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
