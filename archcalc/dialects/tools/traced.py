"""Tools that see operators: torch's own counter and ptflops where they run, fvcore and torchprofile in a trace."""

from collections.abc import Mapping

from archcalc.algebra.num import prod
from archcalc.dialects.tools.rules import (
    GRID,
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
)
from archcalc.dialects.tools.spelling import Call
from archcalc.questions.reconcile import Figure, Part, Refusal, Tool


def with_bias(call: Call) -> list[Part]:
    """Multiply–accumulates, and an addition of the bias for each output."""
    return [linear(call.macs), *([bias(prod(call.y))] if call.bias else [])]


def biases(call: Call) -> list[Part]:
    """Both bias vectors of a recurrent step; where a layer has but one, PyTorch adds zeros too."""
    return [Part("two biases counted, 1 per gate and step each", prod(call.y))]


def up_to_five_axes(rule: Rule) -> Rule:
    """The rule, for a tensor of at most five axes."""
    return lambda call: rule(call) if len(call.x) <= 5 else Refusal("it takes norms of at most five axes")


def by_statistics(call: Call) -> list[Part]:
    """A batch norm: fewer where its statistics are at hand, and it is a scale and a shift."""
    plain, affine = (4, 5) if call.training else (1, 2)
    return [each(affine if call.affine else plain, prod(call.x))]


def half_the_cost(call: Call) -> list[Part]:
    """Half of NumPy's cost, but for two equations that the tool knows."""
    equation, size = call.amount
    order = {letter: chr(97 + n) for n, letter in enumerate(dict.fromkeys(filter(str.isalpha, equation)))}
    exact = "".join(order.get(letter, letter) for letter in equation) in ("abc,abd->acd", "abc,adc->adb")
    return [linear(size if exact else contraction(call) // 2, ROUNDED)]


def on_the_output_grid(call: Call) -> list[Part]:
    """A transposed convolution taken for one on its output, all input channels for each output: groups forgotten."""
    channels, per_group = call.weight[:2]
    if call.y[1] == channels:  # as many channels out as in: the weight's second axis is taken for them
        channels = per_group
    return [linear(prod(call.y) * channels * prod(call.weight[2:]), GRID)]


def where_affine(call: Call) -> list[Part]:
    """One for each element of a norm with weights, nothing for one without."""
    return [each(1, prod(call.y))] if call.affine else []


def alike_heads(call: Call) -> list[Part] | Refusal:
    """Both products of an attention, whose keys must have as many heads as the queries."""
    return products(call) if call.x[1] == call.other[1] else Refusal("keys must have as many heads as queries")


def all_letters(call: Call) -> list[Part]:
    """The sizes of all letters of an equation."""
    return [linear(call.amount[1], "products that nothing sums")]


def as_wide_as_the_state(call: Call) -> list[Part]:
    """Products of an LSTM's four gates, as wide as the state that is handed on: too few where it is projected."""
    layers, directions, state = call.weight
    batch, length, features = call.x
    numbers = features + state + (layers - 1) * (state * directions + state)
    return [linear(batch * length * directions * 4 * state * numbers, "gates taken to be as wide as the projection")]


RECURRENT = ("rnn", "lstm", "gru")
DISPATCHED: Mapping[str, Rule] = {
    **dict.fromkeys(("conv", "kept_conv", "conv_transpose", "linear", "@", "einsum"), doubled),
    **dict.fromkeys(("attention", "fused_attention", *RECURRENT), doubled),
}
ATEN: Mapping[str, Rule] = {
    **dict.fromkeys(("conv", "kept_conv", "conv_transpose", "linear"), with_bias),
    **dict.fromkeys(("@", "attention", "einsum", "rnn", "gru"), products),
    "lstm": lambda call: products(call) if call.amount is not None else [],  # without a projection one kernel, unseen
    "recurrent_bias": biases,
}
FVCORE: Mapping[str, Rule] = {
    **dict.fromkeys(("conv", "conv_transpose", "linear"), products),
    **dict.fromkeys(("group_norm", "layer_norm", "instance_norm"), up_to_five_axes(norm(4, 5))),
    "@": first_by_second,
    "einsum": half_the_cost,
    "batch_norm": by_statistics,
    "upsample_nearest2d": per_output(1),
    "upsample_linear2d": per_output(4),
    "adaptive_avg_pool2d": per_input(1),
}
TORCHPROFILE: Mapping[str, Rule] = {
    **dict.fromkeys(("conv", "linear", "@"), products),
    **dict.fromkeys(("batch_norm", "instance_norm", "group_norm", "layer_norm"), where_affine),
    **dict.fromkeys(("*", "Tensor.mul", "avg_pool", "adaptive_avg_pool", "mean", "leaky_relu"), per_output(1)),
    "conv_transpose": on_the_output_grid,
    "upsample_linear2d": per_output(4),
    "attention": alike_heads,
    "einsum": all_letters,
    "lstm": as_wide_as_the_state,
}


def tools(network: Network) -> list[Tool]:
    """The tools that see operators, for one of the two spellings."""
    torch = Figure("flops", "FLOPs", by_calls(DISPATCHED, network))
    aten = Figure("macs", "MACs", by_calls(ATEN, network))
    fvcore = Figure("macs", "flops", by_calls(FVCORE, network, traced=True))
    torchprofile = Figure("macs", "MACs", by_calls(TORCHPROFILE, network, traced=True))
    said = "FlopCounterMode, with network and input on the meta device"
    alone = 'with backend="aten", on a CPU; counts one image, whatever the batch'
    return [
        Tool("torch", "2.13.0", "torch/utils/flop_counter.py", (torch,), (said,)),
        Tool("fvcore", "0.1.5.post20221221", "fvcore/nn/flop_count.py, fvcore/nn/jit_handles.py",
             (fvcore, parameters()), ("prints MACs and calls them flops",)),
        Tool("ptflops-aten", "0.7.5", "ptflops/aten_ops.py", (aten, parameters(frozen=False)), (alone,),
             one_image=True),
        Tool("torchprofile", "0.1.0", "torchprofile/handlers.py", (torchprofile,)),
    ]  # fmt: skip
