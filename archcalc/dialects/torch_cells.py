"""PyTorch's words for kinds that pick, turn, look up, compare and give cells: functions and indexing, not modules."""

from typing import Any

import torch
from torch import Tensor, nn

from archcalc import layers
from archcalc.dialects.torch import module
from archcalc.dialects.torch_modules import Function, flat
from archcalc.dialects.torch_read import read
from archcalc.errors import ModelError
from archcalc.layers.index import place_of, within
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.windowed import evenly_padded, windows_over


class OwnTensor(nn.Module):
    """A tensor by itself, which reads nothing."""

    def __init__(self, layer: layers.Parameter) -> None:
        super().__init__()
        self.layer, self.shape = layer, layer.out()
        values = torch.randn(layer.shape) * 0.02
        if layer.role == "trainable":
            self.weight: Tensor = nn.Parameter(values)
        else:
            self.register_buffer("weight", values)

    def forward(self) -> Tensor:
        graded = torch.is_grad_enabled()  # PyTorch's counter of FLOPs trips over a view that asks for what is off
        return (self.weight if graded else self.weight.detach()).view(self.shape)


class Zeros(nn.Module):
    """Stands for a constant: values of its shape and format."""

    def __init__(self, layer: layers.Constant) -> None:
        super().__init__()
        self.layer, self.shape = layer, layer.out()
        self.register_buffer("place", torch.empty(0), persistent=False)  # follows the network's device and format

    def forward(self) -> Tensor:
        place: Tensor = self.get_buffer("place")
        dtype = place.dtype if self.layer.dtype is None else getattr(torch, self.layer.dtype)
        return torch.zeros(self.shape, dtype=dtype, device=place.device)


@read.register(OwnTensor)
@read.register(Zeros)
def _(module: Any) -> Layer:
    return module.layer  # type: ignore[no-any-return]


@module.register
def _(layer: layers.Parameter) -> nn.Module:
    return OwnTensor(layer)


@module.register
def _(layer: layers.Constant) -> nn.Module:
    return Zeros(layer)


@module.register
def _(layer: layers.Slice, x: Shape) -> nn.Module:
    position = place_of(layer, x, layer.axis)
    cut = (*[slice(None)] * position, slice(layer.start, layer.stop, layer.step))

    def select(x: Tensor) -> Tensor:
        return x.select(position, int(within(layer.start, x.shape[position])))

    return Function(layer, select if layer.drop else lambda x: x[cut])


@module.register
def _(layer: layers.Expand, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.expand(layer.shape))


@module.register
def _(layer: layers.Gather, *xs: Shape) -> nn.Module:
    place = place_of(layer, xs[0], layer.axis)

    def gather(values: Tensor, indices: Tensor) -> Tensor:
        if place == 0 and values.dim() == 2:
            return nn.functional.embedding(indices, values)
        picked = values.index_select(place, indices.reshape(-1))
        return picked.reshape(*values.shape[:place], *indices.shape, *values.shape[place + 1 :])

    return Function(layer, gather)


@module.register
def _(layer: layers.Roll, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.roll(layer.shifts, layer.axes))


@module.register
def _(layer: layers.Flip, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.flip(layer.axes))


@module.register
def _(layer: layers.Clamp, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.clamp(layer.low, layer.high))


RELATIONS = {
    "less": torch.lt, "less_equal": torch.le, "greater": torch.gt, "greater_equal": torch.ge, "equal": torch.eq,
    "not_equal": torch.ne,
}  # fmt: skip


@module.register
def _(layer: layers.Compare, *xs: Shape) -> nn.Module:
    relation = RELATIONS[layer.relation]
    return Function(layer, relation if len(xs) == 2 else lambda x: relation(x, layer.value))


@module.register
def _(layer: layers.Where, *xs: Shape) -> nn.Module:
    return Function(layer, lambda holds, a, b: torch.where(holds if holds.dtype is torch.bool else holds != 0, a, b))


@module.register
def _(layer: layers.ArgMax, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.argmax(layer.axis, keepdim=layer.keep_axis))


@module.register
def _(layer: layers.CumulativeSum, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.cumsum(layer.axis))


@module.register
def _(layer: layers.Normalize, x: Shape) -> nn.Module:
    return Function(layer, lambda x: nn.functional.normalize(x, dim=layer.axis, eps=layer.epsilon))


def _padded(x: Tensor, windows: Any) -> tuple[Tensor, Any]:
    """The input and PyTorch's even padding; where the padding is uneven, a padded copy and none."""
    if evenly_padded(windows):
        return x, [int(window.before) for window in windows]
    return nn.functional.pad(x, flat([(window.before, window.after) for window in windows])), 0


def _fields(windows: Any, *names: str) -> dict[str, Any]:
    return {name: [int(getattr(window, name)) for window in windows] for name in names}


def _two_axes(layer: Layer, rank: int) -> None:
    if rank != 2:
        raise ModelError(layer.kind, f"has no PyTorch module over {rank} axes", "unfold and fold take two")


@module.register
def _(layer: layers.Unfold, x: Shape) -> nn.Module:
    _two_axes(layer, len(x) - 2)

    def unfold(x: Tensor) -> Tensor:
        windows = layer.windows(tuple(x.shape))
        copy, padding = _padded(x, windows)
        fields = _fields(windows, "kernel", "dilation", "stride")
        return nn.functional.unfold(copy, fields["kernel"], fields["dilation"], padding, fields["stride"])

    return Function(layer, unfold)


@module.register
def _(layer: layers.Fold, x: Shape) -> nn.Module:
    _two_axes(layer, len(layer.sizes))
    windows = layer.windows(x)
    fields = _fields(windows, "kernel", "dilation", "stride", "before", "after")
    around = list(zip(fields["before"], fields["after"], strict=True))
    even = all(before == after for before, after in around)
    sizes = [n if even else n + before + after for n, (before, after) in zip(layer.sizes, around, strict=True)]
    padding = fields["before"] if even else 0

    def fold(x: Tensor) -> Tensor:
        whole = nn.functional.fold(x, tuple(sizes), fields["kernel"], fields["dilation"], padding, fields["stride"])
        return whole if even else nn.functional.pad(whole, flat([(-before, -after) for before, after in around]))

    return Function(layer, fold)


@module.register
def _(layer: layers.WeightedConv, *xs: Shape) -> nn.Module:
    convolve = getattr(nn.functional, f"conv{len(xs[0]) - 2}d", None)
    if convolve is None:
        raise ModelError(layer.kind, f"has no PyTorch module over {len(xs[0]) - 2} axes", "conv1d to conv3d")

    def weighted(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
        windows = windows_over(layer.conv([x.shape, kernel.shape]), x.shape[2:])
        copy, padding = _padded(x, windows)
        fields = _fields(windows, "stride", "dilation")
        y: Tensor = convolve(copy, kernel, bias, fields["stride"], padding, fields["dilation"], layer.groups)
        return y

    return Function(layer, weighted)
