"""Run one PyTorch module and say what was seen: output, tensors, multiply–accumulates, what is kept for backward."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from archcalc.algebra.dtype import bytes_of
from archcalc.layers.layer import Saved, Shape


class Kept(NamedTuple):
    """A tensor kept for the backward pass: an input by number, the output or an own one; elements; dtype."""

    of: int | str
    elements: int
    dtype: str

    @property
    def bytes(self) -> int:
        """What it takes."""
        return bytes_of(self.elements, self.dtype)

    def __str__(self) -> str:
        of = f"input {self.of + 1}" if isinstance(self.of, int) else self.of
        return f"{of} {self.elements:,} {self.dtype}"


REFUSALS = {  # what PyTorch cannot do, by its message, though the layer is well defined
    "Expected more than 1 value per channel": "PyTorch does not normalise a single value",
    "Expected more than 1 spatial element": "PyTorch does not normalise a single value",
    "input Tensors supported": "PyTorch interpolates over one to three axes, bicubically over two",
    "Expected 3D or higher dimensionality": "PyTorch's local response norm needs a spatial axis",
    "Supported combinations for non-constant padding": "PyTorch reflects and repeats over one to three axes",
    "lambda must be": "PyTorch's shrinkage needs an alpha of at least 0 that float32 holds",
    "eps must be": "PyTorch's norms need an epsilon above 0",
    "alpha cannot be 0": "PyTorch's celu divides by its parameter",
    "smaller than kernel size": "PyTorch's average pool over three axes measures its kernel without the padding",
}


def refusal(error: Exception) -> str | None:
    """Why PyTorch refuses, where it is known to; None for any other error."""
    return next((reason for words, reason in REFUSALS.items() if words in str(error)), None)


def data(shape: Shape, dtype: str | None, device: str, *, largest: int = 1) -> Tensor:
    """Random values from −2 to 2, or indices below `largest`."""
    if dtype is None:
        return torch.rand(shape, device=device) * 4 - 2
    return torch.randint(0, largest, shape, dtype=getattr(torch, dtype), device=device)


def storage(tensor: Tensor) -> int:
    """Which block of memory a tensor lies in."""
    return int(tensor.untyped_storage()._cdata)


def counted_macs(module: nn.Module, xs: Sequence[Tensor]) -> tuple[Any, Any]:
    """The output, and half the FLOPs of torch's counter: right for forward convolution, products and attention."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        y = module(*xs)
    return y, counter.get_total_flops() // 2


def tensors_of(module: nn.Module) -> dict[str, Shape]:
    """Every parameter and buffer by name."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def kept_by(module: nn.Module, xs: Sequence[Tensor]) -> Counter[Kept]:
    """What automatic differentiation keeps, each storage once, when every input and weight needs a gradient.

    Parameters and buffers are left out.
    """
    inputs = [x.detach().requires_grad_(x.is_floating_point()) for x in xs]
    module.requires_grad_(requires_grad=True)
    y, packed = packing(module, inputs)
    places: dict[int, int | str] = {storage(tensor): "" for tensor in module.state_dict().values()}
    places.setdefault(storage(y), "output")
    places |= {storage(x): number for number, x in enumerate(inputs)}
    largest: dict[int, Kept] = {}
    for tensor in packed:
        key = storage(tensor)
        elements = min(tensor.numel(), tensor.untyped_storage().nbytes() // tensor.element_size())  # repeats take none
        found = Kept(places.get(key, "own"), elements, str(tensor.dtype).removeprefix("torch."))
        if found.of != "" and not _of_the_device(found) and largest.get(key, found).elements <= found.elements:
            largest[key] = found
    return Counter(largest.values())


def _of_the_device(kept: Kept) -> bool:
    """Empty buffers, and the bytes that cuDNN reserves for a batch norm: no tensors of the network."""
    return kept.of == "own" and (kept.elements == 0 or kept.dtype == "uint8")


def packing(module: nn.Module, xs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The output in training, and every tensor that automatic differentiation packed for the backward pass."""
    packed: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        packed.append(tensor)
        return tensor

    was_training = module.training
    try:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y: Any = module.train()(*xs)
    finally:
        module.train(was_training)
    return y, packed


def stated(saved: Sequence[Saved], dtypes: Sequence[str | None] = ()) -> Counter[Kept]:
    """What a layer says it keeps, in the same terms, in a float32 network; an input has the dtype that it has."""

    def dtype(tensor: Saved) -> str:
        given = dtypes[tensor.of] if isinstance(tensor.of, int) and dtypes else None
        return given or tensor.dtype or "float32"

    return Counter(Kept(tensor.of, tensor.elements, dtype(tensor)) for tensor in saved)
