"""Tools that hook modules: thop, ptflops, torchinfo; and what Keras takes for parameters."""

from collections.abc import Mapping, Sequence

from archcalc import layers
from archcalc.algebra.num import prod
from archcalc.dialects.tools.rules import (
    GRID,
    Hooked,
    ModuleRule,
    Network,
    Rule,
    bias,
    by_modules,
    called,
    class_of,
    each,
    hooked,
    linear,
    parameters,
    per_input,
    per_output,
    recurrent_weights,
    spelling_of,
    trained,
)
from archcalc.layers.windowed import per_axis
from archcalc.model.walk import Use
from archcalc.questions.reconcile import Counted, Figure, Part, Tool

AGAIN = "again by its function"
GATES = "gates and biases counted"
PROJECTION = "the projection left out"


def macs(seen: Hooked) -> list[Part]:
    """The multiply–accumulates, as we count them."""
    return [linear(seen.use.answers.macs)]


def nothing(seen: Hooked) -> list[Part]:
    """The tool knows the module, and counts 0."""
    return []


def of_output(seen: Hooked) -> list[Part]:
    """One for each element of the output."""
    return [each(1, prod(seen.y), "output element")]


def of_input(seen: Hooked) -> list[Part]:
    """One for each element of the input."""
    return [each(1, prod(seen.x), "input element")]


def with_bias(seen: Hooked) -> list[Part]:
    """Multiply–accumulates, and an addition of the bias for each output."""
    return [linear(seen.use.answers.macs), *([bias(prod(seen.y))] if seen.layer.bias else [])]


def thop_transposed(seen: Hooked) -> list[Part]:
    """As a convolution of the output's size: input channels of a group, times the kernel, for each output."""
    kernel = prod(per_axis(seen.layer, "kernel", len(seen.x) - 2))
    return [linear(prod(seen.y) * (seen.x[1] // seen.layer.groups) * kernel, GRID)]


def thop_norm(seen: Hooked) -> list[Part]:
    """Twice two for each element with weights, although inference folds them."""
    return [each(4 if seen.layer.affine else 2, prod(seen.x))]


def thop_softmax(seen: Hooked) -> list[Part]:
    """Exponentials, additions and divisions of each row."""
    n = seen.x[seen.layer.axis]
    return [Part("3n − 1 per row of n", prod(seen.x) // n * (3 * n - 1))]


def thop_adaptive(seen: Hooked) -> list[Part]:
    """Cells of the input for each output, in fractions, and a division."""
    cells = 1.0
    for n, size in zip(seen.x[2:], seen.y[2:], strict=True):
        cells *= n / size
    return [Part("input cells per output, and a division", int((cells + 1) * prod(seen.y)))]


def thop_upsampled(seen: Hooked) -> list[Part]:
    """So many for each output, by the mode; over three axes only the nearest cell is known."""
    mode = {("bilinear", 3): "linear", ("bilinear", 5): "trilinear"}.get((seen.layer.mode, len(seen.x)))
    return [each(UPSAMPLED.get(mode or seen.layer.mode, 0), prod(seen.y), "output element")]


def thop_recurrent(seen: Hooked) -> list[Part]:
    """Each cell's products, an addition, the biases and what follows the gates; a projection is not known."""
    layer = seen.layer
    h, ways = layer.units, layer.directions
    inputs = [seen.x[-1], *[h * ways] * (layer.layers - 1)]
    times = seen.x[0] * seen.x[1] * ways
    rest = layer.gates * (3 * h if layer.biases else h) + {"rnn": 0, "lstm": 4, "gru": 4}[layer.function] * h
    products = sum(layer.gates * h * (n + h) for n in inputs)
    return [linear(times * products, PROJECTION), Part(GATES, times * rest * layer.layers)]


UPSAMPLED = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}
THOP: Mapping[str, ModuleRule] = {
    **dict.fromkeys(("Conv", "Linear"), macs),
    **dict.fromkeys(("BatchNorm", "LayerNorm", "InstanceNorm"), thop_norm),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), thop_recurrent),
    **dict.fromkeys(("ReLU", "ReLU6", "LeakyReLU", "MaxPool", "AdaptiveMaxPool", "Dropout", "PixelShuffle"), nothing),
    "ConvTranspose": thop_transposed,
    "PReLU": of_input,
    "Softmax": thop_softmax,
    "AvgPool": of_output,
    "AdaptiveAvgPool": thop_adaptive,
    "Upsample": thop_upsampled,
}


def ptflops_norm(seen: Hooked) -> list[Part]:
    """Twice for a module that is `affine`; a layer norm has no such field, and counts once."""
    return [each(2 if seen.layer.affine and seen.module != "LayerNorm" else 1, prod(seen.x))]


def ptflops_recurrent(seen: Hooked) -> list[Part]:
    """The weights of each layer for each step, and what follows the gates."""
    products, rest = recurrent_weights(seen.layer, seen.x)
    return [linear(products, PROJECTION), Part(GATES, rest)]


PTFLOPS: Mapping[str, ModuleRule] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Linear"), with_bias),
    **dict.fromkeys(("ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6", "GELU", "Upsample"), of_output),
    **dict.fromkeys(("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"), of_input),
    **dict.fromkeys(("BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm"), ptflops_norm),
    **dict.fromkeys(("RNN", "LSTM", "GRU"), ptflops_recurrent),
}
PTFLOPS_FUNCTIONS: Mapping[str, Rule] = {
    **dict.fromkeys(("relu", "prelu", "elu", "gelu", "silu", "softmax"), per_input(1)),
    **dict.fromkeys(("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool"), per_input(1)),
    **dict.fromkeys(("Tensor.mul", "Tensor.add"), per_input(1)),
    "interpolate": per_output(1),
}


def ptflops(network: Network) -> Figure:
    """Modules by their hooks, and functions that it patches: what is both is counted twice."""
    by_hook = by_modules(PTFLOPS, network)

    def count(use: Use) -> Counted:
        spelling, said = spelling_of(use, network), by_hook(use)
        if spelling is None or not isinstance(said, Sequence):
            return said
        more = called(PTFLOPS_FUNCTIONS, spelling)
        if not isinstance(more, Sequence) or class_of(spelling.module) not in PTFLOPS:
            return more
        return [*said, *(Part(f"{AGAIN}, {part.cause}", part.n) for part in more)]

    return Figure("macs", "MACs", count)


def torchinfo(network: Network) -> Figure:
    """Parameters times the output's batch, and its spatial cells where the class has `Conv` in its name."""

    def count(use: Use) -> Counted:
        spelling = spelling_of(use, network)
        return None if spelling is None else torchinfo_module(hooked(use, spelling))

    return Figure("macs", "mult-adds", count)


def torchinfo_module(seen: Hooked) -> list[Part]:
    """The weight stands for the products of a linear kind, and is counted like them for any other."""
    if isinstance(seen.layer, layers.Recurrent):
        steps = prod(seen.y[:2]) * sum(map(prod, trained(seen.use).values()))
        return [linear(steps, "parameters × the first two axes of the output, biases too")]
    of_conv = "Conv" in seen.module
    times = seen.y[0] * (prod(seen.y[2:]) if of_conv else 1)
    sizes = {name: times * prod(shape) for name, shape in trained(seen.use).items() if name in ("weight", "bias")}
    if not seen.use.answers.macs:
        return [Part("parameters × batch", sum(sizes.values()))] if sizes else []
    weight = linear(sizes.get("weight", 0), GRID if of_conv else "axes between batch and features forgotten")
    said = "bias counted, 1 per output" if of_conv else "bias counted, once per batch"
    return [weight, *([Part(said, sizes["bias"])] if "bias" in sizes else [])]


def keras(use: Use) -> Counted:
    """Running means and variances are parameters to Keras, which do not train."""
    own = sum(prod(shape) for name, shape in trained(use).items() if name not in use.shared)
    buffers = 0 if use.shared else use.answers.buffers
    return [linear(own), Part("running means and variances counted as parameters", buffers)]


def tools(network: Network) -> list[Tool]:
    """The tools that hook modules, for one of the two spellings."""

    def thop_knows(use: Use) -> bool | None:
        spelling = spelling_of(use, network)
        return None if spelling is None else class_of(spelling.module) in THOP

    thop = Figure("macs", "MACs", by_modules(THOP, network))
    alone = 'with backend="pytorch", its default; counts one image, whatever the batch'
    return [
        Tool("thop", "0.1.1.post2209072238", "thop/profile.py, thop/vision, thop/rnn_hooks.py",
             (thop, parameters(tied=True, known=thop_knows)), ("leaves buffers in the state_dict",)),
        Tool("ptflops", "0.7.5", "ptflops/pytorch_ops.py, ptflops/pytorch_engine.py",
             (ptflops(network), parameters(frozen=False)), (alone,), one_image=True),
        Tool("torchinfo", "1.8.0", "torchinfo/layer_info.py", (torchinfo(network), parameters(tied=True))),
        Tool("keras", "3", "keras/src/utils/summary_utils.py", (Figure("params", "Total params", keras),),
             ("of the same layers in Keras",)),
    ]  # fmt: skip
