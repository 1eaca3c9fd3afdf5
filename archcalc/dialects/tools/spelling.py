"""Which PyTorch module a layer is, and which functions that module calls: what counting tools see of it.

The module's class is what tools that hook modules look at, the calls are what those look at that patch or trace
functions. Two spellings are known: the network that `archcalc.torch.build` makes, and the modules that networks
written by hand take where there is a choice.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from msgspec import Struct

from archcalc import layers
from archcalc.algebra.num import prod
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.pool import pads_itself
from archcalc.layers.windowed import evenly_padded, per_axis, unchecked


class Call(Struct, frozen=True):
    """One call of a function or operator: its name without the number of axes, and what decides its count."""

    word: str
    x: Shape  # the first tensor
    y: Shape  # the result
    other: Shape = ()  # the second tensor
    weight: Shape = ()
    macs: int = 0
    bias: bool = False
    affine: bool = False
    training: bool = False  # statistics of the batch at hand
    lists: bool = False  # strides and dilations come as lists
    amount: Any = None  # of a resampling: ("size", …) or ("scale", …)
    stride: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    span: tuple[int, ...] = ()


class Spelling(Struct, frozen=True):
    """The module's class (empty: a module that no tool knows), what it calls, and what tracing does to it."""

    module: str
    calls: tuple[Call, ...] = ()
    untraceable: bool = False  # it computes with the input's size, which tracing makes a tensor


Xs = Sequence[Shape]


@singledispatch
def spelled(layer: Layer, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling | None:
    """The spelling of a layer; None where it is not known."""
    return None


def _rank(x: Shape) -> int:
    return len(x) - 2


def _over(name: str, x: Shape) -> str:
    return f"{name}{_rank(x)}d"


def _padded(x: Shape, windows: Sequence[Any]) -> Shape:
    axes = zip(x[2:], windows, strict=True)
    return (*x[:2], *(n + window.before + window.after for n, window in axes))


@spelled.register
def _(layer: layers.Conv, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    windows = unchecked(layer, xs[0][2:])
    even = evenly_padded(windows)
    plain = even and not isinstance(layer.padding, str)
    x = xs[0] if even else _padded(xs[0], windows)
    weight = layer.weights(*xs)["weight"].shape
    call = Call("conv", x, y, weight=weight, macs=layer.macs(xs, y), bias=layer.bias, lists=not plain)
    return Spelling(_over("Conv" if plain else "PaddedConv", xs[0]), (call,), untraceable=not plain)


@spelled.register
def _(layer: layers.ConvTranspose, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    x, windows = xs[0], layer.windows(xs[0])
    plain = not isinstance(layer.padding, str) and evenly_padded(windows)
    extra = per_axis(layer, "output_padding", _rank(x))
    full = [
        (n - 1) * w.stride + w.span + cells + (0 if plain else max(-w.after, 0))
        for n, w, cells in zip(x[2:], windows, extra, strict=True)
    ]
    weight = layer.weights(*xs)["weight"].shape
    call = Call(
        "conv_transpose",
        x,
        y if plain else (*y[:2], *full),
        weight=weight,
        macs=layer.macs(xs, y),
        bias=layer.bias,
        stride=tuple(w.stride for w in windows),
        crop=tuple(w.before if plain else 0 for w in windows),
        span=tuple(w.span for w in windows),
    )
    return Spelling(_over("ConvTranspose" if plain else "CroppedConvTranspose", x), (call,))


@spelled.register
def _(layer: layers.Dense, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    weight = (layer.units, xs[0][-1])
    return Spelling("Linear", (Call("linear", xs[0], y, weight=weight, macs=layer.macs(xs, y), bias=layer.bias),))


@spelled.register
def _(layer: layers.MatMul, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    a, b = xs
    other = (*b[:-2], b[-1], b[-2]) if layer.transpose_second else b
    return Spelling("", (Call("@", a, y, other=other, macs=layer.macs(xs, y)),))


@spelled.register
def _(layer: layers.BatchNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    call = Call("batch_norm", xs[0], y, affine="weight" in layer.weights(*xs), training=not layer.running)
    return Spelling(f"BatchNorm{max(1, _rank(xs[0]))}d", (call,))


@spelled.register
def _(layer: layers.InstanceNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling(_over("InstanceNorm", xs[0]), (Call("instance_norm", xs[0], y, affine=layer.affine),))


@spelled.register
def _(layer: layers.GroupNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("GroupNorm", (Call("group_norm", xs[0], y, affine=layer.affine),))


@spelled.register
def _(layer: layers.LayerNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    call = Call("layer_norm", xs[0], y, affine=layer.affine)
    return Spelling("LayerNorm" if by_hand else "AxesLayerNorm", (call,))


@spelled.register
def _(layer: layers.RMSNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("RMSNorm" if by_hand else "AxesRMSNorm", (Call("rms_norm", xs[0], y, affine=layer.affine),))


@spelled.register
def _(layer: layers.LocalResponseNorm, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """PyTorch averages the squares over channels that it makes an axis of their own: one pool of one axis more."""
    batch, channels, *axes = xs[0]
    flat = axes if len(axes) == 1 else [axes[0], prod(axes[1:])]
    padded, summed = ((batch, 1, n, *flat) for n in (channels + layer.size - 1, channels))
    square, scale = Call("Tensor.mul", xs[0], y, other=xs[0]), Call("Tensor.mul", y, y)
    return Spelling("LocalResponseNorm", (square, Call("avg_pool", padded, summed), scale, Call("Tensor.add", y, y)))


@spelled.register
def _(layer: layers.MaxPool, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    by_itself = pads_itself(layer, xs[0])
    plain = by_itself and not isinstance(layer.padding, str)
    x = xs[0] if by_itself else _padded(xs[0], layer.windows(xs[0]))
    return Spelling(_over("MaxPool", x) if plain else "", (Call("max_pool", x, y),), untraceable=not plain)


@spelled.register
def _(layer: layers.AvgPool, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    if pads_itself(layer, xs[0]):
        plain = not isinstance(layer.padding, str)
        return Spelling(_over("AvgPool", xs[0]) if plain else "", (Call("avg_pool", xs[0], y),), not plain)
    call = Call("avg_pool", _padded(xs[0], layer.windows(xs[0])), y)
    return Spelling("", (call, call), untraceable=True)  # of the values, and of the cells that count


@spelled.register
def _(layer: layers.GlobalAvgPool, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    if by_hand and layer.keep_axes:
        return Spelling(_over("AdaptiveAvgPool", xs[0]), (Call("adaptive_avg_pool", xs[0], y),))
    return Spelling("", (Call("mean", xs[0], y),))


@spelled.register
def _(layer: layers.AdaptiveAvgPool, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling(_over("AdaptiveAvgPool", xs[0]), (Call("adaptive_avg_pool", xs[0], y),))


@spelled.register
def _(layer: layers.AdaptiveMaxPool, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling(_over("AdaptiveMaxPool", xs[0]), (Call("adaptive_max_pool", xs[0], y),))


ACTIVATIONS = {  # what each activation's module is called, and the function that it calls, where a tool asks for one
    "relu": ("ReLU", "relu"), "relu6": ("ReLU6", "hardtanh"), "leaky_relu": ("LeakyReLU", "leaky_relu"),
    "elu": ("ELU", "elu"), "silu": ("SiLU", "silu"), "gelu": ("GELU", "gelu"), "gelu_tanh": ("GELU", "gelu"),
}  # fmt: skip


@spelled.register
def _(layer: layers.Activation, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    if layer.function == "quick_gelu":  # x * sigmoid(1.702 * x)
        return Spelling("", (Call("*", y, y), Call("*", y, y)))
    if layer.function == "scale":
        return Spelling("", (Call("*", y, y),))
    module, word = ACTIVATIONS.get(layer.function, ("", layer.function))
    return Spelling(module, (Call(word, xs[0], y),))


@spelled.register
def _(layer: layers.PReLU, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("PReLU", (Call("prelu", xs[0], y),))


@spelled.register(layers.GLU)
@spelled.register(layers.LogSoftmax)
@spelled.register(layers.GlobalMaxPool)
@spelled.register(layers.Identity)
@spelled.register(layers.Flatten)
@spelled.register(layers.Reshape)
@spelled.register(layers.Permute)
@spelled.register(layers.Pad)
@spelled.register(layers.Crop)
@spelled.register(layers.Concat)
@spelled.register(layers.Dropout)
@spelled.register(layers.Slice)
@spelled.register(layers.Expand)
@spelled.register(layers.Gather)
@spelled.register(layers.Roll)
@spelled.register(layers.Flip)
@spelled.register(layers.Clamp)
@spelled.register(layers.Compare)
@spelled.register(layers.Where)
@spelled.register(layers.ArgMax)
@spelled.register(layers.CumulativeSum)
@spelled.register(layers.Normalize)
@spelled.register(layers.Fold)
@spelled.register(layers.Parameter)
@spelled.register(layers.Constant)
@spelled.register(layers.SplitHeads)
@spelled.register(layers.AddedPosition)
def _(layer: Any, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("")  # no tool counts anything that it calls


@spelled.register
def _(layer: layers.Unfold, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("", untraceable=True)


@spelled.register
def _(layer: layers.Embedding, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("Embedding")


@spelled.register
def _(layer: layers.Softmax, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("Softmax", (Call("softmax", xs[0], y),))


@spelled.register(layers.PixelShuffle)
@spelled.register(layers.PixelUnshuffle)
def _(layer: Any, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """Over two axes PyTorch's own; else sizes are multiplied, which a trace takes for products of numbers."""
    rank = _rank(y)
    sizes = 0 if rank == 2 else rank if isinstance(layer, layers.PixelShuffle) else 1
    return Spelling("PixelShuffle" if rank == 2 else "", (Call("*", (), ()),) * sizes)


@spelled.register
def _(layer: layers.Resize, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    size = tuple(xs[1][2:]) if len(xs) == 2 else layer.size
    amount = ("scale", layer.scale) if size is None else ("size", size)
    word = {"nearest": "upsample_nearest", "bilinear": "upsample_linear", "bicubic": "upsample_bicubic"}[layer.mode]
    calls = (Call("interpolate", xs[0], y, amount=amount), Call(word, xs[0], y))
    return Spelling("Upsample" if by_hand and len(xs) == 1 else "", calls)


@spelled.register
def _(layer: layers.Combine, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """One operator between each two inputs; an operator, not a function, since nothing patches those."""
    calls, so_far = [], xs[0]
    for x in xs[1:]:
        result = type(layer)(layer.function).out(so_far, x)
        calls.append(Call("*" if layer.function == "multiply" else layer.function, so_far, result, other=x))
        so_far = result
    return Spelling("", tuple(calls))


@spelled.register
def _(layer: layers.Reduce, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    return Spelling("", (Call({"reduce_mean": "mean"}.get(layer.function, layer.function), xs[0], y),))
