"""PyTorch modules for what PyTorch has none: rules of padding, and functions that a spec treats as layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archcalc.layers.layer import Layer, Shape
from archcalc.layers.norm import LayerNorm, RMSNorm
from archcalc.layers.pool import pads_itself
from archcalc.layers.reshape import Dropout
from archcalc.layers.windowed import evenly_padded, unchecked


def flat(pads: list[tuple[int, int]]) -> list[int]:
    """(before, after) per axis in PyTorch's order: the last axis first. PyTorch pads by numbers, not by symbols."""
    return [int(cells) for pair in reversed(pads) for cells in pair]


class Function(nn.Module):
    """A layer without tensors that PyTorch has only as a function."""

    def __init__(self, layer: Layer, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.layer, self.function = layer, function

    def forward(self, *xs: Tensor) -> Tensor:
        return self.function(*xs)

    def extra_repr(self) -> str:
        return repr(self.layer)


def shuffled(factor: int) -> Callable[[Tensor], Tensor]:
    """Groups of channels laid out as blocks of cells, over any number of axes; PyTorch's own does two."""

    def shuffle(x: Tensor) -> Tensor:
        batch, channels, *axes = x.shape
        rank = len(axes)
        split = x.reshape(batch, channels // factor**rank, *[factor] * rank, *axes)
        places = [place for axis in range(rank) for place in (2 + rank + axis, 2 + axis)]
        return split.permute(0, 1, *places).reshape(batch, -1, *(n * factor for n in axes))

    return shuffle


def unshuffled(factor: int) -> Callable[[Tensor], Tensor]:
    """Blocks of cells laid out as channels, over any number of axes."""

    def unshuffle(x: Tensor) -> Tensor:
        batch, channels, *axes = x.shape
        rank = len(axes)
        split = x.reshape(batch, channels, *(n for size in axes for n in (size // factor, factor)))
        cells, within = [2 + 2 * axis for axis in range(rank)], [3 + 2 * axis for axis in range(rank)]
        moved = split.permute(0, 1, *within, *cells)
        return moved.reshape(batch, channels * factor**rank, *(n // factor for n in axes))

    return unshuffle


class Padded(nn.Module):
    """Mixed into a convolution: pads by the layer's rule and the input's size, where uneven on a copy."""

    layer: Any
    weight: Tensor
    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        windows = self.layer.windows(tuple(x.shape))
        padding: Any = [int(window.before) for window in windows]
        if not evenly_padded(windows):
            x, padding = nn.functional.pad(x, flat([(window.before, window.after) for window in windows])), 0
        convolve: Callable[..., Tensor] = getattr(nn.functional, f"conv{len(windows)}d")
        strides, dilations = ([getattr(w, name) for w in windows] for name in ("stride", "dilation"))
        return convolve(x, self.weight, self.bias, strides, padding, dilations, self.layer.groups)


class PaddedConv1d(Padded, nn.Conv1d):
    """A convolution over one axis with a rule of padding."""


class PaddedConv2d(Padded, nn.Conv2d):
    """A convolution over two axes with a rule of padding."""


class PaddedConv3d(Padded, nn.Conv3d):
    """A convolution over three axes with a rule of padding."""


class Cropped(nn.Module):
    """Mixed into a transposed convolution without padding of its own: crops its output unevenly."""

    layer: Any

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        full: Tensor = super().forward(x, output_size)
        crops = [(-window.before, -max(window.after, 0)) for window in self.layer.windows(tuple(x.shape))]
        return nn.functional.pad(full, flat(crops))


class CroppedConvTranspose1d(Cropped, nn.ConvTranspose1d):
    """A transposed convolution over one axis with an uneven crop."""


class CroppedConvTranspose2d(Cropped, nn.ConvTranspose2d):
    """A transposed convolution over two axes with an uneven crop."""


class CroppedConvTranspose3d(Cropped, nn.ConvTranspose3d):
    """A transposed convolution over three axes with an uneven crop."""


class PaddedMaxPool(nn.Module):
    """A maximum pool with a rule of padding: the padding never wins."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        windows = self.layer.windows(tuple(x.shape))
        padding = [0 for _ in windows]
        pool: Callable[..., Tensor] = getattr(nn.functional, f"max_pool{len(windows)}d")
        kernel, stride, dilation = ([getattr(w, name) for w in windows] for name in ("kernel", "stride", "dilation"))
        if pads_itself(self.layer, tuple(x.shape)):
            padding = [int(w.before) for w in windows]
        else:
            x = nn.functional.pad(x, flat([(w.before, w.after) for w in windows]), value=-torch.inf)
        return pool(x, kernel, stride, padding, dilation)


class PaddedAvgPool(nn.Module):
    """An average pool with a rule of padding: sums divided by the cells that count."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        windows, stated = self.layer.windows(tuple(x.shape)), unchecked(self.layer, tuple(x.shape[2:]))
        pool: Callable[..., Tensor] = getattr(nn.functional, f"avg_pool{len(windows)}d")
        kernel, stride = ([getattr(w, name) for w in windows] for name in ("kernel", "stride"))
        if pads_itself(self.layer, tuple(x.shape)):
            even = [int(w.before) for w in windows]
            plain: Tensor = pool(x, kernel, stride, even, False, self.layer.counts_padding)
            return plain

        def mean(values: Tensor, pads: list[tuple[int, int]]) -> Tensor:
            return pool(nn.functional.pad(values, flat(pads)), kernel, stride)

        around = [(w.before, w.after) for w in windows]
        cells = torch.ones_like(x)
        if self.layer.counts_padding:  # the stated padding counts, the overhang behind it does not
            cells = nn.functional.pad(cells, flat([(w.before, w.after) for w in stated]), value=1.0)
            behind = [(0, w.after - s.after) for w, s in zip(windows, stated, strict=True)]
            return mean(x, around) / mean(cells, behind)
        return mean(x, around) / mean(cells, around)


class Noise(nn.Module):
    """Dropout that PyTorch has no module for; like all of them it does nothing at inference."""

    def __init__(self, layer: Dropout) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        rate = self.layer.rate
        if not self.training or rate == 0:
            return x
        if rate == 1:
            return x * torch.zeros((), dtype=x.dtype, device=x.device)
        if self.layer.function == "gaussian_dropout":
            noise: Tensor = 1 + torch.randn_like(x) * (rate / (1 - rate)) ** 0.5
            return x * noise
        own = 2 if self.layer.function == "channel_dropout" else 1  # axes along which each value has a fate of its own
        kept = torch.empty((*x.shape[:own], *(1 for _ in x.shape[own:])), dtype=x.dtype, device=x.device)
        factors: Tensor = kept.bernoulli_(1 - rate) / (1 - rate)
        return x * factors


class AxesLayerNorm(nn.LayerNorm):
    """A layer norm over axes that are not the last ones: they are moved to the end and back."""

    def __init__(self, layer: LayerNorm, axes: Sequence[int], x: Shape) -> None:
        super().__init__([x[axis] for axis in axes], layer.epsilon, layer.affine, layer.bias)
        self.layer, self.axes = layer, tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        last = tuple(range(x.dim() - len(self.axes), x.dim()))
        return super().forward(x.movedim(self.axes, last)).movedim(last, self.axes)


class AxesRMSNorm(nn.RMSNorm):
    """A root mean square norm over axes that are not the last ones."""

    def __init__(self, layer: RMSNorm, axes: Sequence[int], x: Shape) -> None:
        super().__init__([x[axis] for axis in axes], layer.epsilon, layer.affine)
        self.layer, self.axes = layer, tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        last = tuple(range(x.dim() - len(self.axes), x.dim()))
        return super().forward(x.movedim(self.axes, last)).movedim(last, self.axes)
