"""A whole model as one PyTorch module, whose sub-modules go by the spec's path names."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archcalc.dialects import torch_attention, torch_cells, torch_experts, torch_sequence  # noqa: F401 - their modules register themselves
from archcalc.dialects.torch import module
from archcalc.dialects.torch_weights import OWN
from archcalc.errors import ModelError
from archcalc.model.graph import Graph
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.questions.model import Model

StandIn = Callable[[Use, ModelError], nn.Module]


class Network(nn.Module):
    """The model as PyTorch runs it: one module for each use of a layer, called in the order of the spec.

    `layer1/block1/conv1` is the sub-module `layer1.block1.conv1`. Tied tensors are one parameter; frozen layers
    have `requires_grad` off. It returns one tensor, or a tuple where the model has several outputs.
    """

    def __init__(self, model: Graph, uses: Sequence[Use], stand_in: StandIn | None = None) -> None:
        super().__init__()
        self.inputs = tuple(model.inputs)
        self.calls: list[tuple[str, str, tuple[str, ...]]] = []  # name, module, what it reads
        ends: dict[str, str] = {}
        paths: dict[str, str] = {}
        levels = {use.name[:at] for use in uses for at, letter in enumerate(use.name) if letter == "/"}
        for use in uses:
            made = _made(use, stand_in)
            if not use.node.trainable:
                made.requires_grad_(requires_grad=False)
            path = paths[use.name] = _place(self, use.name, levels)
            self.set_submodule(path, made)
            self.calls.append((use.name, path, use.inputs))
            ends[use.node.name] = use.name
            for tensor in use.shared:
                owner = self.get_submodule(paths[str(use.shared_with)])
                setattr(made, tensor, getattr(owner, tensor))
        self.outputs = tuple(ends.get(name, name) for name in model.outputs)
        self.done_after = _last_readers(self.calls, self.outputs)

    def forward(self, *inputs: Tensor) -> Any:
        """Run the layers in order, on inputs in the order of the spec."""
        values = dict(zip(self.inputs, inputs, strict=True))
        for name, path, sources in self.calls:
            values[name] = self.get_submodule(path)(*(values[source] for source in sources))
            for source in self.done_after.get(name, ()):  # nothing reads it any more: its memory is free
                del values[source]
        results = tuple(values[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results


def _last_readers(calls: Sequence[tuple[str, str, tuple[str, ...]]], outputs: Sequence[str]) -> dict[str, list[str]]:
    """Which values are read for the last time by each call; those that nothing reads are let go by their own."""
    last = {name: reader for reader, _, sources in calls for name in (reader, *sources)}
    done: dict[str, list[str]] = {}
    for name, reader in last.items():
        if name not in outputs:
            done.setdefault(reader, []).append(name)
    return done


def _made(use: Use, stand_in: StandIn | None) -> nn.Module:
    try:
        return module(use.layer, *use.xs)
    except ModelError as error:
        if stand_in is None:
            raise
        return stand_in(use, error)


def _place(root: nn.Module, name: str, levels: set[str]) -> str:
    """The path of a sub-module; levels on the way are made, and a level's own module stands inside it."""
    parts = name.split("/")
    level = root
    for part in parts[:-1]:
        if not hasattr(level, part):
            level.add_module(part, nn.Module())
        level = getattr(level, part)
    if name in levels:
        if not hasattr(level, parts[-1]):
            level.add_module(parts[-1], nn.Module())
        parts.append(OWN)
    return ".".join(parts)


def build(model: Model, input: Sizes | dict[str, Sizes] | None = None, *, device: str = "cpu") -> Network:
    """The real network, with PyTorch's own initial weights, for inputs of the spec's size or the size given.

    >>> import archcalc
    >>> network = build(archcalc.load("zoo:digits"), device="meta")
    >>> sum(parameter.numel() for parameter in network.parameters())
    9150
    """
    return network_of(model, model.walk(full_shapes(model.inputs, input, batch=1)), device=device)


def network_of(model: Graph, uses: Sequence[Use], *, device: str, stand_in: StandIn | None = None) -> Network:
    """The network of a walked model; `stand_in` makes a module for a layer that has none."""
    taken = {*dir(nn.Module()), "inputs", "outputs", "calls", "done_after", OWN}
    for name in (name for use in uses for name in use.name.split("/")):
        if name in taken or "." in name:
            rule = "a layer of a module must not be called as an attribute of modules, nor have a dot in its name"
            raise ModelError("torch", rule, name, way_out="rename the layer in the spec")
    with torch.device(device):
        return Network(model, uses, stand_in)
