"""PyTorch's words for experts: rows sorted by the expert that they go through, and each expert's rows multiplied."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

from archcalc import layers
from archcalc.dialects.torch import module
from archcalc.dialects.torch_attention import mixed
from archcalc.dialects.torch_read import read
from archcalc.layers.layer import Layer, Shape

OPENING: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "gelu_tanh": nn.GELU("tanh"),
    "relu": nn.functional.relu,
    "sigmoid": torch.sigmoid,
}


@torch.library.custom_op("archcalc::grouped_rows", mutates_args=())
def grouped_rows(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Rows times the matrix of the group that they belong to, (groups, outputs, features); groups end where told."""
    made, start = rows.new_empty(rows.shape[0], weight.shape[1]), 0
    for matrix, end in zip(weight, ends.tolist(), strict=True):
        torch.mm(rows[start:end], matrix.t(), out=made[start:end])
        start = end
    return made


@grouped_rows.register_fake
def _(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    return rows.new_empty(rows.shape[0], weight.shape[1])


@torch.library.custom_op("archcalc::grouped_weights", mutates_args=())
def grouped_weights(left: Tensor, right: Tensor, ends: Tensor) -> Tensor:
    """For each group the product of its rows on the left, turned, and on the right: the gradient of its matrix."""
    made, start = left.new_zeros(ends.shape[0], left.shape[1], right.shape[1]), 0
    for matrix, end in zip(made, ends.tolist(), strict=True):
        torch.mm(left[start:end].t(), right[start:end], out=matrix)
        start = end
    return made


@grouped_weights.register_fake
def _(left: Tensor, right: Tensor, ends: Tensor) -> Tensor:
    return left.new_empty(ends.shape[0], left.shape[1], right.shape[1])


@register_flop_formula(torch.ops.archcalc.grouped_rows)
def _(rows: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Every row by one matrix."""
    return 2 * rows[0] * weight[1] * weight[2]


class Routed(torch.autograd.Function):
    """What experts say of the tokens that choose them; for the gradients, what stands between is made again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scores: Tensor, gate: Tensor, up: Tensor, down: Tensor, layer: Any) -> Tensor:
        rows = x.flatten(0, -2)
        highest, chosen = scores.flatten(0, -2).topk(layer.top_k, -1)
        shares = highest.softmax(-1)
        experts, order = chosen.flatten().sort(stable=True)
        every = torch.arange(gate.shape[0], device=x.device)
        ends = torch.searchsorted(experts, every, right=True)
        tokens = order // layer.top_k
        taken = rows[tokens]
        opening, through = grouped_rows(taken, gate, ends), grouped_rows(taken, up, ends)
        opened = OPENING[layer.activation](opening)
        inner = opened * through
        said, sorted_shares = grouped_rows(inner, down, ends), shares.flatten()[order]
        weighed = said * sorted_shares[:, None]
        y = torch.zeros_like(rows).index_add_(0, tokens, weighed).view_as(x)
        ctx.layer, ctx.weights = layer, (gate, up, down)
        ctx.save_for_backward(x, order, ends, sorted_shares, opening, through, said)
        return y

    @staticmethod
    def backward(ctx: Any, arrived: Tensor) -> Any:
        x, order, ends, shares, opening, through, said = ctx.saved_tensors
        gate, up, down = ctx.weights
        tokens = order // ctx.layer.top_k
        back = arrived.flatten(0, -2)[tokens]
        of_scores = Routed.back_to_scores(ctx.layer.top_k, (back * said).sum(-1), shares, order, ends)
        taken = x.flatten(0, -2)[tokens]
        with torch.enable_grad():
            before = opening.detach().requires_grad_()
            opened = OPENING[ctx.layer.activation](before)
        inner = opened.detach() * through
        spoken = back * shares[:, None]
        within = grouped_rows(spoken, down.transpose(1, 2), ends)
        of_down = grouped_weights(spoken, inner, ends)
        of_through, of_opened = within * opened.detach(), within * through
        (of_opening,) = torch.autograd.grad(opened, before, of_opened)
        of_gate, of_up = grouped_weights(of_opening, taken, ends), grouped_weights(of_through, taken, ends)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_taken = grouped_rows(of_opening, gate.transpose(1, 2), ends)
            beside = grouped_rows(of_through, up.transpose(1, 2), ends)
            of_x = torch.zeros_like(x.flatten(0, -2)).index_add_(0, tokens, of_taken.add_(beside)).view_as(x)
        return of_x, of_scores.view(*x.shape[:-1], gate.shape[0]), of_gate, of_up, of_down, None

    @staticmethod
    def back_to_scores(top_k: int, of_shares: Tensor, shares: Tensor, order: Tensor, ends: Tensor) -> Tensor:
        """The gradient of the softmax over what each token chose, laid where its scores stood."""
        mine, theirs = (torch.empty_like(shares).index_copy_(0, order, x).view(-1, top_k) for x in (shares, of_shares))
        back = (mine * (theirs - (mine * theirs).sum(-1, keepdim=True))).flatten()[order]
        places = torch.arange(len(order), device=order.device)
        experts = torch.searchsorted(ends, places, right=True)
        made = torch.zeros(len(order) // top_k, len(ends), dtype=shares.dtype, device=shares.device)
        return made.index_put_((order // top_k, experts), back)


class Experts(nn.Module):
    """Perceptrons as three tensors, one matrix of each for every expert."""

    gate: Tensor
    up: Tensor
    down: Tensor

    def __init__(self, layer: layers.Experts, *xs: Shape) -> None:
        super().__init__()
        self.layer = layer
        for name, weight in layer.weights(*xs).items():
            tensor = torch.empty(weight.shape)
            nn.init.normal_(tensor, std=0.02)
            self.register_parameter(name, nn.Parameter(tensor))

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        tensors = mixed(x, scores, self.gate, self.up, self.down)
        y: Tensor = Routed.apply(*tensors, self.layer)  # type: ignore[no-untyped-call]
        return y

    def extra_repr(self) -> str:
        return repr(self.layer)


@module.register
def _(layer: layers.Experts, *xs: Shape) -> nn.Module:
    return Experts(layer, *xs)


@read.register
def _(module: Experts) -> Layer:
    return module.layer
