"""Build a model in PyTorch, run it layer by layer, and lay each formula beside what was measured.

It works on a network of its own, and leaves random state, modes, default dtype and device as they were.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from msgspec import Struct, to_builtins
from torch.utils.flop_counter import FlopCounterMode

from archcalc import __version__
from archcalc.algebra.units import grouped, iec
from archcalc.dialects.torch_network import Network, build
from archcalc.errors import CannotRun, UsageError
from archcalc.layers.layer import Shape, shown
from archcalc.model.model import Model
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.views.table import Table

NOT_CHECKED = "operations other than MACs, tensors saved for backward, memory, time"


class Check(Struct, frozen=True):
    """One number or shape of one layer: by formula, as measured, and whether they agree."""

    layer: str
    what: Literal["output", "tensors", "MACs"]
    formula: Any
    measured: Any

    @property
    def equal(self) -> bool:
        """Do formula and measurement agree?"""
        return bool(self.formula == self.measured)


class Verification(Struct, frozen=True):
    """All checks of a model at one size, and where they were made; `str(…)` is the table."""

    model: str
    inputs: dict[str, Shape]
    environment: dict[str, str]
    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks in which formula and measurement differ."""
        return tuple(check for check in self.checks if not check.equal)

    def __str__(self) -> str:
        inputs = ", ".join(f"{name} {shown(shape)}" for name, shape in self.inputs.items())
        counts = ", ".join(f"{number} of {what}" for what, number in self._counts().items())
        verdict = "all equal" if not self.failures else f"{len(self.failures)} differ"
        lines = [f"{self.model}: {inputs}, formula against the real network", "", self.table().text(), ""]
        lines += [f"checked  {counts}: {verdict}", f"with     {', '.join(self.environment.values())}"]
        return "\n".join([*lines, f"not      {NOT_CHECKED}"])

    def table(self) -> Table:
        """A row for each layer: what was measured, and the formula beside it where they differ."""
        by_layer: dict[str, dict[str, Check]] = {}
        for check in self.checks:
            by_layer.setdefault(check.layer, {})[check.what] = check
        rows = tuple(_row(name, checks) for name, checks in by_layer.items())
        return Table(("layer", "output", "tensors", "MACs", "verdict"), (False, False, True, True, False), rows)

    def to_dict(self) -> dict[str, Any]:
        """The checks as plain data."""
        checks = [{**to_builtins(check), "equal": check.equal} for check in self.checks]
        head = {"schema_version": 1, "tool": f"archcalc {__version__}", "model": self.model}
        inputs = {name: list(shape) for name, shape in self.inputs.items()}
        return head | {"inputs": inputs, "environment": self.environment, "checks": checks, "not_checked": NOT_CHECKED}

    def _counts(self) -> dict[str, int]:
        whats = ("output", "tensors", "MACs")
        return {what: sum(check.what == what for check in self.checks) for what in whats}


def verify(
    model: Model,
    input: Sizes | Mapping[str, Sizes] | None = None,
    *,
    batch: int = 1,
    device: str = "meta",
    seed: int = 0,
) -> Verification:
    """Formula against the real network: output shapes, every tensor by name and shape, and MACs of the linear kinds.

    MACs are half the FLOPs of torch's counter, which is right for forward convolution and products; kinds without
    MACs have no such check. On the `meta` device nothing is allocated; on another one, CannotRun says so before
    anything is, if the network would not fit.
    """
    if device not in ("meta", "cpu", "cuda"):
        raise UsageError("--device", "must be one of meta, cpu, cuda", repr(device))
    if device == "cuda" and not torch.cuda.is_available():
        raise CannotRun("verify", "needs a CUDA device", "none that PyTorch can use", way_out="--device cpu or meta")
    shapes = full_shapes(model.inputs, input, batch)
    uses = model.walk(shapes)
    if device != "meta":
        _must_fit(model, input, batch, device)
    devices = [torch.cuda.current_device()] if device == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad(), torch.device(device):
        torch.manual_seed(seed)
        network = build(model, {name: shape[1:] for name, shape in shapes.items()}, device=device).eval()
        checks = tuple(_checks(model, network, uses, shapes))
    environment = {"torch": f"torch {torch.__version__}", "device": device, "seed": f"seed {seed}"}
    return Verification(model.name, shapes, environment, checks)


def _checks(model: Model, network: Network, uses: list[Use], shapes: Mapping[str, Shape]) -> Iterator[Check]:
    values = {name: _data(shape, model.inputs[name].dtype) for name, shape in shapes.items()}
    last_reader = {source: name for name, _, sources in network.calls for source in sources}
    for use, (name, path, sources) in zip(uses, network.calls, strict=True):
        module = network.get_submodule(path)
        with FlopCounterMode(display=False) as counter:
            values[name] = module(*(values[source] for source in sources))
        yield Check(name, "output", use.answers.y, tuple(values[name].shape))
        tensors = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        yield Check(name, "tensors", use.answers.shapes, tensors)
        if use.answers.macs or counter.get_total_flops():
            yield Check(name, "MACs", use.answers.macs, counter.get_total_flops() // 2)
        for source in sources:  # a value is let go once its last reader has run
            if last_reader[source] == name and source not in network.outputs:
                values.pop(source, None)


def _data(shape: Shape, dtype: str | None) -> torch.Tensor:
    if dtype is None:
        return torch.rand(shape)
    return torch.zeros(shape, dtype=getattr(torch, dtype))


def _must_fit(model: Model, input: Any, batch: int, device: str) -> None:
    """Refuse a network whose weights and outputs, if none of them were let go, exceed the free memory."""
    totals = model.report(input, batch=batch).totals
    needed = totals.weight_bytes + totals.buffer_bytes + totals.output_bytes
    if device == "cuda":
        free = torch.cuda.mem_get_info()[0]
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > free:
        got = f"{iec(needed)} of weights and outputs, {iec(free)} free"
        raise CannotRun("verify", "the network must fit the memory", got, way_out="--device meta, or a smaller --input")


def _row(name: str, checks: Mapping[str, Check]) -> tuple[str, ...]:
    output, tensors, macs = checks["output"], checks["tensors"], checks.get("MACs")
    cells = [_cell(output, shown), _cell(tensors, _tensors), _cell(macs, grouped) if macs else ""]
    return (name, *cells, "equal" if all(check.equal for check in checks.values()) else "DIFFERS")


def _cell(check: Check, text: Callable[[Any], str]) -> str:
    return text(check.measured) if check.equal else f"{text(check.measured)}, formula {text(check.formula)}"


def _tensors(shapes: Mapping[str, Shape]) -> str:
    return f"{len(shapes)}" if shapes else ""
