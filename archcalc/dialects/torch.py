"""PyTorch's words: a layer or a whole model as the real module, and a module as our layer."""

from functools import partial, reduce, singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from archcalc import layers
from archcalc.dialects import torch_modules as own
from archcalc.dialects.torch_modules import Function
from archcalc.errors import ModelError
from archcalc.layers.layer import Layer, Shape, positions_of
from archcalc.layers.pool import pads_itself
from archcalc.layers.reshape import amounts
from archcalc.layers.windowed import evenly_padded, per_axis, unchecked


@singledispatch
def module(layer: Layer, *xs: Shape) -> nn.Module:
    """The PyTorch module of a layer for inputs of these shapes; tensors have the names that `layer.weights` gives."""
    way_out = "archcalc.torch.module.register(type of the layer) gives it one"
    raise ModelError(layer.kind, "has no PyTorch module", type(layer).__name__, way_out=way_out)


def _rank(x: Shape) -> int:
    return len(x) - 2


def _plain(layer: Any, x: Shape) -> bool:
    """Does PyTorch's own symmetric padding say the same?"""
    return not isinstance(layer.padding, str) and evenly_padded(unchecked(layer, x[2:]))


def _padding(layer: Any, x: Shape) -> tuple[int, ...]:
    return tuple(window.before for window in unchecked(layer, x[2:]))


def _class(layer: Layer, name: str, rank: int, room: Any = nn) -> Any:
    """PyTorch's class over so many axes."""
    cls = getattr(room, f"{name}{rank}d", None)
    if cls is None:
        raise ModelError(layer.kind, f"has no PyTorch module over {rank} axes", f"{name}{rank}d")
    return cls


@module.register
def _(layer: layers.Conv, x: Shape) -> nn.Module:
    rank, plain = _rank(x), _plain(layer, x)
    cls = _class(layer, "Conv", rank) if plain else _class(layer, "PaddedConv", rank, own)
    kernel, stride, dilation = (per_axis(layer, name, rank) for name in ("kernel", "stride", "dilation"))
    padding = _padding(layer, x) if plain else 0
    made: nn.Module = cls(x[1], layer.filters, kernel, stride, padding, dilation, layer.groups, layer.bias)
    if not plain:
        made.layer = layer  # type: ignore[assignment]
    return made


@module.register
def _(layer: layers.ConvTranspose, x: Shape) -> nn.Module:
    rank, windows = _rank(x), layer.windows(x)
    plain = not isinstance(layer.padding, str) and evenly_padded(windows)
    cls = _class(layer, "ConvTranspose", rank) if plain else _class(layer, "CroppedConvTranspose", rank, own)
    kernel, stride, dilation = (per_axis(layer, name, rank) for name in ("kernel", "stride", "dilation"))
    crop = tuple(window.before for window in windows) if plain else 0
    lacking = [0 if plain else max(-window.after, 0) for window in windows]
    extra = tuple(map(sum, zip(per_axis(layer, "output_padding", rank), lacking, strict=True)))
    made: nn.Module = cls(x[1], layer.filters, kernel, stride, crop, extra, layer.groups, layer.bias, dilation)
    if not plain:
        made.layer = layer  # type: ignore[assignment]
    return made


def _pool_is_plain(layer: Any, x: Shape) -> bool:
    """Numbers of padding that PyTorch's pool takes as they are."""
    return not isinstance(layer.padding, str) and pads_itself(layer, x)


@module.register
def _(layer: layers.MaxPool, x: Shape) -> nn.Module:
    cls = _class(layer, "MaxPool", _rank(x))
    if not _pool_is_plain(layer, x):
        return own.PaddedMaxPool(layer)
    windows = unchecked(layer, x[2:])
    kernel, stride, dilation = (tuple(getattr(w, n) for w in windows) for n in ("kernel", "stride", "dilation"))
    return cls(kernel, stride, _padding(layer, x), dilation, ceil_mode=layer.ceil_mode)  # type: ignore[no-any-return]


@module.register
def _(layer: layers.AvgPool, x: Shape) -> nn.Module:
    cls = _class(layer, "AvgPool", _rank(x))
    if not _pool_is_plain(layer, x):
        return own.PaddedAvgPool(layer)
    windows = unchecked(layer, x[2:])
    kernel, stride = (tuple(getattr(w, name) for w in windows) for name in ("kernel", "stride"))
    return cls(kernel, stride, _padding(layer, x), layer.ceil_mode, layer.counts_padding)  # type: ignore[no-any-return]


@module.register
def _(layer: layers.GlobalAvgPool, x: Shape) -> nn.Module:
    axes = tuple(range(2, len(x)))
    return Function(layer, lambda x: x.mean(axes, keepdim=layer.keep_axes))


@module.register
def _(layer: layers.GlobalMaxPool, x: Shape) -> nn.Module:
    axes = tuple(range(2, len(x)))
    return Function(layer, lambda x: x.amax(axes, keepdim=layer.keep_axes))


@module.register(layers.AdaptiveAvgPool)
@module.register(layers.AdaptiveMaxPool)
def _(layer: Any, x: Shape) -> nn.Module:
    cls = _class(layer, type(layer).__name__, _rank(x))
    return cls(per_axis(layer, "size", _rank(x)))  # type: ignore[no-any-return]


@module.register
def _(layer: layers.Dense, x: Shape) -> nn.Module:
    return nn.Linear(x[-1], layer.units, bias=layer.bias)


@module.register
def _(layer: layers.MatMul, *xs: Shape) -> nn.Module:
    return Function(layer, lambda a, b: a @ (b.transpose(-1, -2) if layer.transpose_second else b))


@module.register
def _(layer: layers.BatchNorm, x: Shape) -> nn.Module:
    cls = _class(layer, "BatchNorm", max(1, _rank(x)))
    made: nn.Module = cls(x[1], layer.epsilon, affine=layer.affine, track_running_stats=layer.running)
    for name in [name for name, learned in (("weight", layer.scale), ("bias", layer.bias)) if not learned]:
        made.register_parameter(name, None)
    return made


@module.register
def _(layer: layers.InstanceNorm, x: Shape) -> nn.Module:
    cls = _class(layer, "InstanceNorm", _rank(x))
    return cls(x[1], layer.epsilon, affine=layer.affine)  # type: ignore[no-any-return]


@module.register
def _(layer: layers.GroupNorm, x: Shape) -> nn.Module:
    return nn.GroupNorm(layer.groups, x[1], layer.epsilon, layer.affine)


@module.register
def _(layer: layers.LayerNorm, x: Shape) -> nn.Module:
    return own.AxesLayerNorm(layer, positions_of(layer, x, layer.axes), x)


@module.register
def _(layer: layers.RMSNorm, x: Shape) -> nn.Module:
    return own.AxesRMSNorm(layer, positions_of(layer, x, layer.axes), x)


@module.register
def _(layer: layers.LocalResponseNorm, x: Shape) -> nn.Module:
    return nn.LocalResponseNorm(layer.size, layer.alpha * layer.size, layer.beta, layer.k)  # it divides alpha by size


ACTIVATIONS: dict[str, Any] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "rrelu": nn.RReLU, "elu": nn.ELU, "celu": nn.CELU,
    "selu": nn.SELU, "sigmoid": nn.Sigmoid, "logsigmoid": nn.LogSigmoid, "tanh": nn.Tanh, "softsign": nn.Softsign,
    "softplus": nn.Softplus, "silu": nn.SiLU, "mish": nn.Mish, "gelu": nn.GELU, "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish, "hardtanh": nn.Hardtanh, "hardshrink": nn.Hardshrink, "softshrink": nn.Softshrink,
    "tanhshrink": nn.Tanhshrink,
}  # fmt: skip
FUNCTIONS: dict[str, Any] = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "abs": torch.abs,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "negative": torch.neg,
    "reciprocal": torch.reciprocal,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "sign": torch.sign,
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "reduce_mean": torch.mean,
    "reduce_sum": torch.sum,
    "reduce_max": torch.amax,
    "reduce_min": torch.amin,
    "reduce_variance": lambda x, axes, keepdim: torch.var(x, axes, correction=0, keepdim=keepdim),
    "reduce_prod": lambda x, axes, keepdim: torch.prod(x, axes[0] if isinstance(axes, tuple) else axes, keepdim),
}
WITH_NUMBER: dict[str, Any] = {
    "scale": lambda x, alpha: x * alpha,
    "shift": lambda x, alpha: x + alpha,
    "power": lambda x, alpha: x**alpha,
}


@module.register
def _(layer: layers.Activation, x: Shape) -> nn.Module:
    if layer.function == "gelu_tanh":
        return nn.GELU(approximate="tanh")
    if layer.function == "threshold":
        return nn.Threshold(layer.parameter or 0.0, 0.0)
    if layer.function in FUNCTIONS:
        return Function(layer, FUNCTIONS[layer.function])
    if layer.function in WITH_NUMBER:
        return Function(layer, partial(WITH_NUMBER[layer.function], alpha=layer.parameter))
    arguments = () if layer.parameter is None else (layer.parameter,)
    return ACTIVATIONS[layer.function](*arguments)  # type: ignore[no-any-return]


@module.register
def _(layer: layers.PReLU, x: Shape) -> nn.Module:
    return nn.PReLU(x[1] if layer.per_channel else 1)


@module.register
def _(layer: layers.GLU, x: Shape) -> nn.Module:
    return nn.GLU(layer.axis)


@module.register
def _(layer: layers.Softmax, x: Shape) -> nn.Module:
    return nn.Softmax(layer.axis)


@module.register
def _(layer: layers.LogSoftmax, x: Shape) -> nn.Module:
    return nn.LogSoftmax(layer.axis)


@module.register
def _(layer: layers.Dropout, x: Shape) -> nn.Module:
    if layer.function == "channel_dropout" and 1 <= _rank(x) <= 3:
        return getattr(nn, f"Dropout{_rank(x)}d")(layer.rate)  # type: ignore[no-any-return]
    kinds = {"dropout": nn.Dropout, "alpha_dropout": nn.AlphaDropout}
    return kinds[layer.function](layer.rate) if layer.function in kinds else own.Noise(layer)


@module.register
def _(layer: layers.Identity, x: Shape) -> nn.Module:
    return nn.Identity()


@module.register
def _(layer: layers.Flatten, x: Shape) -> nn.Module:
    return nn.Flatten(layer.start, layer.end)


@module.register
def _(layer: layers.Reshape, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.reshape(*(() if layer.whole else x.shape[:1]), *layer.shape))


@module.register
def _(layer: layers.Permute, x: Shape) -> nn.Module:
    return Function(layer, lambda x: x.permute(layer.order))


@module.register
def _(layer: layers.Pad, x: Shape) -> nn.Module:
    pads = own.flat(amounts(layer, _rank(x)))
    return Function(layer, lambda x: nn.functional.pad(x, pads, mode=layer.mode))


@module.register
def _(layer: layers.Crop, x: Shape) -> nn.Module:
    crops = [-cells for cells in own.flat(amounts(layer, _rank(x)))]
    return Function(layer, lambda x: nn.functional.pad(x, crops))


@module.register
def _(layer: layers.PixelShuffle, x: Shape) -> nn.Module:
    return nn.PixelShuffle(layer.factor) if _rank(x) == 2 else Function(layer, own.shuffled(layer.factor))


@module.register
def _(layer: layers.PixelUnshuffle, x: Shape) -> nn.Module:
    return nn.PixelUnshuffle(layer.factor) if _rank(x) == 2 else Function(layer, own.unshuffled(layer.factor))


@module.register
def _(layer: layers.Embedding, x: Shape) -> nn.Module:
    return nn.Embedding(layer.vocabulary, layer.width)


@module.register
def _(layer: layers.Resize, *xs: Shape) -> nn.Module:
    mode = {("bilinear", 1): "linear", ("bilinear", 3): "trilinear"}.get((layer.mode, _rank(xs[0])), layer.mode)
    corners = None if layer.mode == "nearest" else layer.align_corners

    def resize(x: Tensor, *like: Tensor) -> Tensor:
        size = tuple(like[0].shape[2:]) if like else layer.size
        scale = None if size is not None else layer.scale
        return nn.functional.interpolate(x, size, scale, mode, corners)

    return Function(layer, resize)


@module.register
def _(layer: layers.Combine, *xs: Shape) -> nn.Module:
    return Function(layer, lambda *parts: reduce(FUNCTIONS[layer.function], parts))


@module.register
def _(layer: layers.Concat, *xs: Shape) -> nn.Module:
    return Function(layer, lambda *parts: torch.cat(parts, layer.axis))


@module.register
def _(layer: layers.Reduce, x: Shape) -> nn.Module:
    return Function(layer, lambda x: FUNCTIONS[layer.function](x, layer.axes, keepdim=layer.keep_axes))
