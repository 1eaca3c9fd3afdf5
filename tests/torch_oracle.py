"""The real network: a PyTorch module for a layer, in PyTorch's own words, to compare shapes, tensors and MACs."""

from collections.abc import Callable
from functools import singledispatch

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from archcalc import layers


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return self.function(*xs)


class Padded(nn.Module):
    """A module without padding of its own behind an explicit, possibly asymmetric, padding."""

    def __init__(self, module: nn.Module, pads: list[int], value: float = 0.0) -> None:
        super().__init__()
        self.module, self.pads, self.value = module, pads, value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(nn.functional.pad(x, self.pads, value=self.value))


def run(layer, xs):
    """Output shape, tensors by name and shape, and MACs of the real module on the meta device."""
    with torch.device("meta"):
        module = build(layer, xs).eval()
        data = [torch.empty(x, dtype=torch.int64 if isinstance(layer, layers.Embedding) else None) for x in xs]
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            y = module(*data)
    tensors = {name.removeprefix("module."): tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    return tuple(y.shape), tensors, counter.get_total_flops() // 2


def sizes(layer, name, rank):
    value = getattr(layer, name)
    return value if isinstance(value, tuple) else (value,) * rank


def flat_pads(pads):
    """PyTorch's order: the last axis first, before and after."""
    return [cells for pair in reversed(pads) for cells in pair]


@singledispatch
def build(layer, xs) -> nn.Module:
    raise NotImplementedError(type(layer))


@build.register
def _(layer: layers.Conv, xs):
    channels, rank = xs[0][1], len(xs[0]) - 2
    pads = [(w.before, w.after) for w in layer.windows(xs[0])]
    cls = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    fields = {name: sizes(layer, name, rank) for name in ("stride", "dilation")}
    conv = cls(channels, layer.filters, sizes(layer, "kernel", rank), groups=layer.groups, bias=layer.bias, **fields)
    if all(before == after for before, after in pads):
        conv.padding = tuple(before for before, _ in pads)
        return conv
    return Padded(conv, flat_pads(pads))


@build.register
def _(layer: layers.ConvTranspose, xs):
    channels, rank = xs[0][1], len(xs[0]) - 2
    cls = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[rank - 1]
    windows = layer.windows(xs[0])
    extra = sizes(layer, "output_padding", rank)
    plain = all(w.before == w.after for w in windows)
    conv = cls(
        channels, layer.filters, sizes(layer, "kernel", rank), sizes(layer, "stride", rank),
        padding=tuple(w.before for w in windows) if plain else 0, output_padding=extra if plain else 0,
        groups=layer.groups, bias=layer.bias, dilation=sizes(layer, "dilation", rank),
    )  # fmt: skip
    if plain:
        return conv
    crops = [(-w.before, more - w.after) for w, more in zip(windows, extra, strict=True)]
    return Sequence(conv, Of(lambda x: nn.functional.pad(x, flat_pads(crops))))


class Sequence(nn.Module):
    """A module and what is done to its output; tensors keep the module's names."""

    def __init__(self, module: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.module, self.after = module, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.module(x))


@build.register(layers.MaxPool)
@build.register(layers.AvgPool)
def _(layer, xs):
    rank = len(xs[0]) - 2
    from archcalc.layers.windowed import unchecked

    windows = unchecked(layer, xs[0][2:])
    kernel, stride = [tuple(getattr(w, name) for w in windows) for name in ("kernel", "stride")]
    plain = all(w.before == w.after and 2 * w.before <= w.kernel for w in windows)  # else PyTorch's pools refuse
    inner = tuple(w.before for w in windows) if plain else 0
    ceil = layer.ceil_mode and plain  # the explicit padding already holds the overhang
    if isinstance(layer, layers.MaxPool):
        cls = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[rank - 1]
        pool = cls(kernel, stride, inner, sizes(layer, "dilation", rank), ceil_mode=ceil)
    else:
        cls = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[rank - 1]
        pool = cls(kernel, stride, inner, ceil, layer.count_include_pad)
    return pool if plain else Padded(pool, flat_pads([(w.before, w.after) for w in layer.windows(xs[0])]))


@build.register
def _(layer: layers.GlobalAvgPool, xs):
    axes = tuple(range(2, len(xs[0])))
    return Of(lambda x: x.mean(axes, keepdim=layer.keep_axes))


@build.register
def _(layer: layers.GlobalMaxPool, xs):
    axes = tuple(range(2, len(xs[0])))
    return Of(lambda x: x.amax(axes, keepdim=layer.keep_axes))


@build.register(layers.AdaptiveAvgPool)
@build.register(layers.AdaptiveMaxPool)
def _(layer, xs):
    rank = len(xs[0]) - 2
    return getattr(nn, f"{type(layer).__name__}{rank}d")(sizes(layer, "size", rank))


@build.register
def _(layer: layers.Dense, xs):
    return nn.Linear(xs[0][-1], layer.units, bias=layer.bias)


@build.register
def _(layer: layers.MatMul, xs):
    return Of(lambda a, b: a @ (b.transpose(-1, -2) if layer.transpose_second else b))


@build.register
def _(layer: layers.BatchNorm, xs):
    cls = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(xs[0]) - 2]
    return cls(xs[0][1], affine=layer.affine, track_running_stats=layer.running)


@build.register
def _(layer: layers.InstanceNorm, xs):
    cls = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[len(xs[0]) - 3]
    return cls(xs[0][1], affine=layer.affine)


@build.register
def _(layer: layers.GroupNorm, xs):
    return nn.GroupNorm(layer.groups, xs[0][1], affine=layer.affine)


@build.register
def _(layer: layers.LayerNorm, xs):
    axes = layer.axes if isinstance(layer.axes, tuple) else (layer.axes,)
    return nn.LayerNorm([xs[0][axis] for axis in axes], elementwise_affine=layer.affine, bias=layer.bias)


@build.register
def _(layer: layers.RMSNorm, xs):
    return nn.RMSNorm(xs[0][-1], elementwise_affine=layer.affine)


@build.register
def _(layer: layers.LocalResponseNorm, xs):
    return nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)


ACTIVATIONS = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "rrelu": nn.RReLU,
    "threshold": lambda: nn.Threshold(0.5, 0.0), "elu": nn.ELU, "celu": nn.CELU, "selu": nn.SELU,
    "sigmoid": nn.Sigmoid, "logsigmoid": nn.LogSigmoid, "tanh": nn.Tanh, "softsign": nn.Softsign,
    "softplus": nn.Softplus, "silu": nn.SiLU, "mish": nn.Mish, "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"), "quick_gelu": lambda: Of(lambda x: x * torch.sigmoid(1.702 * x)),
    "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish, "hardtanh": nn.Hardtanh, "hardshrink": nn.Hardshrink,
    "softshrink": nn.Softshrink, "tanhshrink": nn.Tanhshrink, "abs": lambda: Of(torch.abs),
    "exp": lambda: Of(torch.exp), "log": lambda: Of(torch.log), "sqrt": lambda: Of(torch.sqrt),
    "square": lambda: Of(torch.square),
}  # fmt: skip


@build.register
def _(layer: layers.Activation, xs):
    return ACTIVATIONS[layer.function]()


@build.register
def _(layer: layers.PReLU, xs):
    return nn.PReLU(xs[0][1] if layer.per_channel else 1)


@build.register
def _(layer: layers.GLU, xs):
    return nn.GLU(layer.axis)


@build.register
def _(layer: layers.Softmax, xs):
    return nn.Softmax(layer.axis)


@build.register
def _(layer: layers.LogSoftmax, xs):
    return nn.LogSoftmax(layer.axis)


@build.register
def _(layer: layers.Dropout, xs):
    return nn.Dropout(layer.rate)  # at inference every variant hands its input on


@build.register
def _(layer: layers.Identity, xs):
    return nn.Identity()


@build.register
def _(layer: layers.Flatten, xs):
    return nn.Flatten(layer.start, layer.end)


@build.register
def _(layer: layers.Reshape, xs):
    return Of(lambda x: x.reshape(x.shape[0], *layer.shape))


@build.register
def _(layer: layers.Permute, xs):
    return Of(lambda x: x.permute(layer.order))


@build.register(layers.Pad)
@build.register(layers.Crop)
def _(layer, xs):
    from archcalc.layers.reshape import amounts

    pads = flat_pads(amounts(layer, len(xs[0]) - 2))
    if isinstance(layer, layers.Crop):
        return Of(lambda x: nn.functional.pad(x, [-cells for cells in pads]))
    return Of(lambda x: nn.functional.pad(x, pads, mode=layer.mode))


@build.register
def _(layer: layers.PixelShuffle, xs):
    return nn.PixelShuffle(layer.factor)


@build.register
def _(layer: layers.PixelUnshuffle, xs):
    return nn.PixelUnshuffle(layer.factor)


@build.register
def _(layer: layers.Embedding, xs):
    return nn.Embedding(layer.vocabulary, layer.width)


@build.register
def _(layer: layers.Resize, xs):
    rank = len(xs[0]) - 2
    mode = {("bilinear", 1): "linear", ("bilinear", 3): "trilinear"}.get((layer.mode, rank), layer.mode)
    wanted = xs[1][2:] if len(xs) == 2 else layer.size
    factor = layer.scale
    return Of(lambda x, *_: nn.functional.interpolate(x, size=wanted, scale_factor=factor, mode=mode))


JOINS = {
    "add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div,
    "maximum": torch.maximum, "minimum": torch.minimum,
}  # fmt: skip


@build.register
def _(layer: layers.Combine, xs):
    def combined(first, *others):
        for other in others:
            first = JOINS[layer.function](first, other)
        return first

    return Of(combined)


@build.register
def _(layer: layers.Concat, xs):
    return Of(lambda *parts: torch.cat(parts, layer.axis))


@build.register
def _(layer: layers.Reduce, xs):
    function = {"reduce_mean": torch.mean, "reduce_sum": torch.sum, "reduce_max": torch.amax}[layer.function]
    return Of(lambda x: function(x, layer.axes, keepdim=layer.keep_axes))
