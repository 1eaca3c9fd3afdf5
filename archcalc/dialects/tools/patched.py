"""Tools that put functions of their own in the place of PyTorch's: calflops and DeepSpeed's profiler."""

from collections.abc import Callable, Mapping
from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.tools.rules import (
    ROUNDED,
    Network,
    Rule,
    bias,
    by_calls,
    contraction,
    doubled,
    each,
    first_by_second,
    linear,
    norm,
    parameters,
    per_input,
    per_output,
    products,
    recurrent_weights,
)
from archcalc.dialects.tools.spelling import Call
from archcalc.dialects.tools.traced import by_statistics
from archcalc.questions.reconcile import Figure, Part, Refusal, Tool

GROUPS = "divided by the groups twice"


def convolution(call: Call) -> list[Part] | Refusal:
    """2 FLOPs for each multiply–accumulate, and the bias; a number is added to the strides, which must be no list."""
    if call.lists:
        return Refusal("strides come as a list, to which it adds a number")
    return [linear(2 * call.macs), *([bias(prod(call.y))] if call.bias else [])]


def convolution_macs(call: Call) -> list[Part] | Refusal:
    """The multiply–accumulates of the same."""
    return said if isinstance(said := convolution(call), Refusal) else products(call)


def divided_twice(call: Call) -> int:
    """The multiply–accumulates of a transposed convolution, as calflops has them."""
    channels, per_group = call.weight[:2]
    filters = per_group // (call.y[1] // per_group)
    return prod(call.weight[2:]) * channels * filters * call.x[0] * prod(call.x[2:])


def transposed(call: Call) -> list[Part]:
    """Calflops divides by the groups twice, and takes the bias for the outputs of a convolution, not its adjoint."""
    outputs = call.x[0] * call.weight[1]
    for n, crop, span, stride in zip(call.x[2:], call.crop, call.span, call.stride, strict=True):
        outputs *= (n + 2 * crop - span) // stride + 1
    wrong = Part("bias counted for the outputs of a convolution, not its adjoint", outputs)
    return [linear(2 * divided_twice(call), GROUPS), *([wrong] if call.bias else [])]


def twice(rule: Callable[[Call], list[Part]]) -> Rule:
    """2 FLOPs for each multiply–accumulate of the rule."""
    return lambda call: [linear(2 * part.n, part.cause) for part in rule(call)]


def sized(call: Call) -> list[Part]:
    """The output's cells where a resampling is told its size: channels and batch are forgotten, as is a second axis."""
    size: Any = call.amount[1]
    return [Part("1 per output cell, channels and batch forgotten", prod(size) if isinstance(size, tuple) else size)]


def calflops_resampled(call: Call) -> list[Part] | Refusal:
    """Resampling by a scale: the scale is forgotten, and where it is a list, a power of it is taken."""
    what, value = call.amount
    if what == "size":
        return sized(call)
    if isinstance(value, tuple) and len(value) != call.x[0]:
        return Refusal("the scale comes as a list, of which it takes a power")
    return [each(1, prod(call.x), "input element, the scale forgotten")]


def deepspeed_resampled(call: Call) -> list[Part]:
    """Resampling by a scale: one for each output."""
    return sized(call) if call.amount[0] == "size" else [each(1, prod(call.y), "output element")]


def refusing(rule: Rule) -> Rule:
    """Nothing where the rule counts, a refusal where it refuses."""
    return lambda call: said if isinstance(said := rule(call), Refusal) else []


def cost(call: Call) -> list[Part]:
    """NumPy's cost of a sum of products, no multiply–accumulates beside it."""
    return [linear(contraction(call), ROUNDED)]


def recurrent_module(call: Call) -> list[Part]:
    """A recurrent module by its hook: n products and n − 1 additions for each gate, twice; no multiply–accumulates."""
    layer, x = call.amount, call.x
    macs, behind = recurrent_weights(layer, x)
    first = 2 * x[0] * x[1] * layer.directions * layer.layers * layer.gates * layer.units
    return [linear(2 * macs, "the projection left out"), Part("gates and biases counted", behind - first)]


PATCHED: Mapping[str, Rule] = {
    **dict.fromkeys(("relu", "prelu", "elu", "leaky_relu", "silu", "gelu", "softmax"), per_input(1)),
    **dict.fromkeys(("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool"), per_input(1)),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), norm(4, 5)),
    **dict.fromkeys(("Tensor.mul", "Tensor.add"), per_output(1)),
    "conv": convolution,
    "linear": doubled,
    "einsum": cost,
    "batch_norm": by_statistics,
    "recurrent_module": recurrent_module,
}
CALFLOPS: Mapping[str, Rule] = {**PATCHED, "conv_transpose": transposed, "interpolate": calflops_resampled}
CALFLOPS_MACS: Mapping[str, Rule] = {
    "conv": convolution_macs,
    "conv_transpose": lambda call: [linear(divided_twice(call), GROUPS)],
    "linear": products,
    "interpolate": refusing(calflops_resampled),
}
DEEPSPEED: Mapping[str, Rule] = {
    **PATCHED,
    "conv_transpose": convolution,
    "@": twice(first_by_second),
    "attention": doubled,
    "interpolate": deepspeed_resampled,
}
DEEPSPEED_MACS: Mapping[str, Rule] = {
    "conv": convolution_macs,
    **dict.fromkeys(("conv_transpose", "linear", "attention"), products),
    "@": first_by_second,
}


def tools(network: Network) -> list[Tool]:
    """The tools that patch functions, for one of the two spellings."""

    def figures(flops: Mapping[str, Rule], macs: Mapping[str, Rule]) -> tuple[Figure, Figure]:
        return Figure("flops", "FLOPs", by_calls(flops, network)), Figure("macs", "MACs", by_calls(macs, network))

    calflops = (*figures(CALFLOPS, CALFLOPS_MACS), parameters(frozen=False))
    deepspeed = (*figures(DEEPSPEED, DEEPSPEED_MACS), parameters())
    leaves = ("leaves PyTorch's functions patched where it raises",)
    return [
        Tool("calflops", "0.3.2", "calflops/pytorch_ops.py", calflops, leaves),
        Tool("deepspeed", "0.19.8", "deepspeed/profiling/flops_profiler/profiler.py", deepspeed, leaves),
    ]
