"""The real network's peak memory to the byte: every operation's results are watched, on tensors without numbers."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from torch.utils.weak import WeakIdKeyDictionary

from archcalc.dialects.torch_network import Network, network_of
from archcalc.layers.layer import Shape
from archcalc.model.graph import Graph
from archcalc.model.walk import Use
from archcalc.questions import storages
from archcalc.questions.account import Choices
from archcalc.questions.liveness import segments

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda weights: torch.optim.SGD(weights, foreach=True),
    "momentum": lambda weights: torch.optim.SGD(weights, momentum=0.9, foreach=True),
    "adam": lambda weights: torch.optim.Adam(weights, foreach=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, foreach=True),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, foreach=True),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, foreach=True),
}
STATELESS = ("none", "sgd")  # of the others, the state is there from the second step on


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations have made, while they live; and the most there were.

    As torch.distributed's MemTracker counts, without its account of every module, which takes most of its time.
    PyTorch sums gradients out of place while such a mode is on.
    """

    least_axes = 0  # of tensors that count

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.held: Any = WeakIdKeyDictionary()

    def see(self, *values: Any) -> None:
        """Count the storages that are new."""
        for value in values:
            if isinstance(value, Tensor):
                block = value.untyped_storage()
                if block not in self.held:
                    size = block.nbytes()
                    self.held[block] = weakref.ref(block, partial(self.gone, size))
                    self.now += size
        self.most = max(self.most, self.now)

    def gone(self, size: int, _: Any) -> None:
        """A storage of this size is no more."""
        self.now -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.see(
            *(value for value in tree_leaves(result) if isinstance(value, Tensor) and value.dim() >= self.least_axes)
        )
        return result


class _Loss(torch.autograd.Function):
    """Takes no memory, and sends every output a gradient that is made anew, as a loss does."""

    @staticmethod
    def forward(ctx: Any, *ys: Tensor) -> Tensor:
        ctx.ys = [(y.shape, y.dtype, y.device) for y in ys]
        return ys[0].new_zeros((0,))

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        return tuple(torch.ones(shape, dtype=dtype, device=device) for shape, dtype, device in ctx.ys)


def tracked(
    model: Graph, uses: Sequence[Use], shapes: Mapping[str, Shape], choices: Choices, *,
    dtype: str = "float32", prepare: Callable[[Network], Any] | None = None,
) -> int:  # fmt: skip
    """Most bytes that the real network takes on a CPU, at inference or in a step of training like those after it.

    Nothing is computed. `prepare` may alter the network first.
    """
    with FakeTensorMode(), computing_in(getattr(torch, dtype)):
        network = network_of(model, uses, device="cpu")
        if prepare is not None:
            prepare(network)
        xs = inputs(model, shapes, dtype)
        forward: Callable[..., Any] = network
        if choices.training and choices.checkpoint:
            forward = recomputed(network, parts(model, uses, shapes, choices))
        amp = torch.autocast("cpu", getattr(torch, choices.amp)) if choices.amp else nullcontext()
        return most(network, forward, xs, choices, amp)


@contextmanager
def computing_in(dtype: torch.dtype) -> Iterator[None]:
    """New floating tensors are of this format."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def inputs(model: Graph, shapes: Mapping[str, Shape], dtype: str) -> list[Tensor]:
    """A tensor for each input of the model."""
    return [
        torch.empty(shape, dtype=getattr(torch, model.inputs[name].dtype or dtype), device="cpu")
        for name, shape in shapes.items()
    ]


def most(network: nn.Module, forward: Callable[..., Any], xs: list[Tensor], choices: Choices, amp: Any) -> int:
    """Run it under the watch."""
    watch = Watch()
    watch.see(*network.parameters(), *network.buffers(), *xs)
    network.train(choices.training)
    if not choices.training:
        with watch, torch.no_grad(), amp:
            _ys = forward(*xs)
        return watch.most
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = OPTIMIZERS[choices.optimizer](weights) if weights and choices.optimizer != "none" else None
    with watch, torch.enable_grad():
        for _ in range(1 if choices.optimizer in STATELESS and choices.set_to_none else 2):
            watch.most = watch.now
            step(forward, xs, amp)
            if optimizer is not None:
                watch.least_axes = 1  # it counts its steps in a number for each tensor, which for CUDA lies on the CPU
                optimizer.step()
                watch.least_axes = 0
            network.zero_grad(set_to_none=choices.set_to_none)
    return watch.most


def step(forward: Callable[..., Any], xs: list[Tensor], amp: Any) -> None:
    """One forward and backward pass; the outputs are held until both are done."""
    with amp:
        ys = forward(*xs)
    loss: Any = _Loss.apply(*ys) if isinstance(ys, tuple) else _Loss.apply(ys)  # type: ignore[no-untyped-call]
    if loss.requires_grad:  # a network without trained weights has no backward pass
        loss.backward(torch.empty_like(loss))


def parts(model: Graph, uses: Sequence[Use], shapes: Mapping[str, Shape], choices: Choices) -> list[list[str]]:
    """Names of the layers of each segment between checkpoints."""
    found = storages.stays(uses, model.inputs, shapes)
    assert choices.checkpoint is not None  # noqa: S101 - asked for by the caller
    return [[stay.use.name for stay in part] for part in segments(found.uses, choices.checkpoint, choices.depth)]


def recomputed(network: Network, names: list[list[str]]) -> Callable[..., Any]:
    """The network, run segment by segment: all but the last are run again in the backward pass."""
    calls = {name: (path, sources) for name, path, sources in network.calls}

    def run(part: list[str], given: list[str], wanted: list[str], *values: Tensor) -> tuple[Tensor, ...]:
        known = dict(zip(given, values, strict=True))
        last = {source: name for name in part for source in (name, *calls[name][1])}
        for name in part:
            path, sources = calls[name]
            known[name] = network.get_submodule(path)(*(known[source] for source in sources))
            for source in [source for source, reader in last.items() if reader == name and source not in wanted]:
                del known[source]
        return tuple(known[name] for name in wanted)

    def forward(*xs: Tensor) -> Any:
        values = dict(zip(network.inputs, xs, strict=True))
        for number, part in enumerate(names):
            later = {source for other in names[number + 1 :] for name in other for source in calls[name][1]}
            given = list(dict.fromkeys(s for name in part for s in calls[name][1] if s not in part))
            wanted = [name for name in part if name in later or name in network.outputs]
            arguments = [values[name] for name in given]
            last = number == len(names) - 1
            made = run(part, given, wanted, *arguments) if last else checkpoint(
                run, part, given, wanted, *arguments, use_reentrant=False
            )  # fmt: skip
            values |= zip(wanted, made, strict=True)
            del arguments, made
            values = {name: value for name, value in values.items() if name in later or name in network.outputs}
        results = tuple(values[name] for name in network.outputs)
        return results[0] if len(results) == 1 else results

    return forward
