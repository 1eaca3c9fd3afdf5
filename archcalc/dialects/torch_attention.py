"""PyTorch's words for attention: a module around its own kernels, and the way back."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from archcalc import layers
from archcalc.dialects.torch import module
from archcalc.dialects.torch_modules import Function
from archcalc.dialects.torch_read import read
from archcalc.layers.layer import Layer, Shape

FLASH = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


class Attention(nn.Module):
    """The core on PyTorch's kernels; what they cannot leave out by themselves is told them by a mask."""

    def __init__(self, layer: layers.Attention) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        xs = tuple(tuple(x.shape) for x in (query, key, value, mask) if x is not None)
        fused, by_mask = self.layer.fused(xs), self.layer.by_mask(xs)
        shapes = self.layer.split(xs)
        query, key, value = mixed(query, key, value)
        query, key, value = (divided(x, shape[1]) for x, shape in zip((query, key, value), shapes, strict=True))
        if by_mask or (mask is not None and self.layer.limited):
            hidden = self.hidden(query, key)
            mask = hidden if mask is None else mask + hidden
        causal = self.layer.causal and mask is None
        if fused and by_name(query):
            kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
            y: Tensor = kernel(query, key, value, 0.0, causal, attn_mask=mask)[0]
        else:
            grouped = bool(query.shape[1] != key.shape[1])  # sizes may be symbols
            attend = nn.functional.scaled_dot_product_attention
            with sdpa_kernel(FLASH if fused else SDPBackend.MATH):
                y = attend(query, key, value, mask, is_causal=causal, enable_gqa=grouped)
        return y if self.layer.heads is None else y.transpose(1, 2).flatten(2)

    def hidden(self, query: Tensor, key: Tensor) -> Tensor:
        """Zero for pairs that are seen, minus infinity for the others."""
        queries, keys = query.shape[2], key.shape[2]
        before, behind = self.layer.reach(keys)
        hidden = self.beyond(query, keys).triu_(keys - queries + behind + 1)
        if self.layer.window is not None:
            hidden += self.beyond(query, keys).tril_(keys - queries - before - 1)
        return hidden

    @staticmethod
    def beyond(query: Tensor, keys: int) -> Tensor:
        """Minus infinity for every pair."""
        return torch.full((query.shape[2], keys), -torch.inf, dtype=query.dtype, device=query.device)

    def extra_repr(self) -> str:
        return repr(self.layer)


def divided(x: Tensor, heads: int) -> Tensor:
    """Features as an axis of heads with features of their own; nothing is copied."""
    return x if x.dim() == 4 else torch.unflatten(x, 2, (heads, x.shape[2] // heads)).transpose(1, 2)


def mixed(*xs: Tensor) -> Sequence[Tensor]:
    """The tensors in the format of mixed precision where that is on, which a kernel called by name is not asked for."""
    device = xs[0].device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return xs
    return [x.to(torch.get_autocast_dtype(device)) for x in xs]


def by_name(x: Tensor) -> bool:
    """Is the CPU's kernel called by its name? On `meta` where it is differentiated: PyTorch would choose another.

    Where it is not, PyTorch's products stand there, which its counter can count.
    """
    return x.device.type == "cpu" or (x.device.type == "meta" and torch.is_grad_enabled())


@module.register
def _(layer: layers.Attention, *xs: Shape) -> nn.Module:
    return Attention(layer)


@module.register
def _(layer: layers.SplitHeads, x: Shape) -> nn.Module:
    return Function(layer, lambda x: divided(x, layer.heads))


@read.register
def _(module: Attention) -> Layer:
    return module.layer
