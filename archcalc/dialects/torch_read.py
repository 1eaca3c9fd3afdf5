"""A single PyTorch module as our layer: the way back from `module`."""

from collections.abc import Callable
from functools import singledispatch
from typing import Any

from torch import nn

from archcalc import layers
from archcalc.dialects import torch_modules as own
from archcalc.dialects.torch import ACTIVATIONS
from archcalc.errors import ModelError
from archcalc.layers.activation import TABLE
from archcalc.layers.layer import Layer

NAMES = {cls: name for name, cls in ACTIVATIONS.items()}


@singledispatch
def read(module: nn.Module) -> Layer:
    """The layer that a module is; ModelError where there is none, or where a setting of it has no counterpart.

    >>> read(nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)).kind
    'conv'
    """
    if type(module) in NAMES:
        return _activation(module)
    raise _unknown(module, "this class")


def _unknown(module: nn.Module, what: str) -> ModelError:
    return ModelError(type(module).__name__, f"archcalc has no layer with {what}", repr(module))


def _one(values: Any) -> Any:
    """One number where all axes agree."""
    if not isinstance(values, tuple | list):
        return values
    return values[0] if len(set(values)) == 1 else tuple(values)


def _activation(module: nn.Module) -> Layer:
    name = NAMES[type(module)]
    if type(module) is nn.Hardtanh and (module.min_val, module.max_val) != (-1, 1):
        return layers.Clamp(low=module.min_val, high=module.max_val)
    default = TABLE[name].alpha
    given = next(
        (getattr(module, field) for field in ("negative_slope", "alpha", "lambd") if hasattr(module, field)), None
    )
    return layers.Activation(name, alpha=given if default is not None and given != default else None)


@read.register(own.Function)
@read.register(own.Padded)
@read.register(own.Cropped)
@read.register(own.PaddedMaxPool)
@read.register(own.PaddedAvgPool)
@read.register(own.Noise)
@read.register(own.AxesLayerNorm)
@read.register(own.AxesRMSNorm)
def _(module: Any) -> Layer:
    return module.layer  # type: ignore[no-any-return]


def _linear_fields(module: Any) -> dict[str, Any]:
    if module.padding_mode != "zeros":
        raise _unknown(module, f"padding_mode={module.padding_mode}")
    fields = {"stride": module.stride, "padding": module.padding, "dilation": module.dilation}
    one = {name: _one(value) for name, value in fields.items()}
    return one | {"kernel": _one(module.kernel_size), "groups": module.groups, "bias": module.bias is not None}


@read.register(nn.Conv1d)
@read.register(nn.Conv2d)
@read.register(nn.Conv3d)
def _(module: Any) -> Layer:
    return layers.Conv(filters=module.out_channels, **_linear_fields(module))


@read.register(nn.ConvTranspose1d)
@read.register(nn.ConvTranspose2d)
@read.register(nn.ConvTranspose3d)
def _(module: Any) -> Layer:
    extra = _one(module.output_padding)
    return layers.ConvTranspose(filters=module.out_channels, output_padding=extra, **_linear_fields(module))


def _pool_fields(module: Any) -> dict[str, Any]:
    kernel, stride = _one(module.kernel_size), _one(module.stride)
    fields = {"kernel": kernel, "stride": None if stride == kernel else stride, "padding": _one(module.padding)}
    return fields | {"ceil_mode": module.ceil_mode}


@read.register(nn.MaxPool1d)
@read.register(nn.MaxPool2d)
@read.register(nn.MaxPool3d)
def _(module: Any) -> Layer:
    return layers.MaxPool(dilation=_one(module.dilation), **_pool_fields(module))


@read.register(nn.AvgPool1d)
@read.register(nn.AvgPool2d)
@read.register(nn.AvgPool3d)
def _(module: Any) -> Layer:
    if getattr(module, "divisor_override", None) is not None:
        raise _unknown(module, "divisor_override")
    return layers.AvgPool(count_include_pad=module.count_include_pad, **_pool_fields(module))


def _adaptive(make: Callable[..., Layer], module: Any) -> Layer:
    sizes = module.output_size
    if sizes is None or (isinstance(sizes, tuple) and None in sizes):
        raise _unknown(module, "an output size taken from the input")
    return make(size=_one(sizes))


@read.register(nn.AdaptiveAvgPool1d)
@read.register(nn.AdaptiveAvgPool2d)
@read.register(nn.AdaptiveAvgPool3d)
def _(module: Any) -> Layer:
    return _adaptive(layers.AdaptiveAvgPool, module)


@read.register(nn.AdaptiveMaxPool1d)
@read.register(nn.AdaptiveMaxPool2d)
@read.register(nn.AdaptiveMaxPool3d)
def _(module: Any) -> Layer:
    return _adaptive(layers.AdaptiveMaxPool, module)


@read.register
def _(module: nn.Linear) -> Layer:
    return layers.Dense(units=module.out_features, bias=module.bias is not None)


@read.register
def _(module: nn.Embedding) -> Layer:
    return layers.Embedding(vocabulary=module.num_embeddings, width=module.embedding_dim)


@read.register(nn.BatchNorm1d)
@read.register(nn.BatchNorm2d)
@read.register(nn.BatchNorm3d)
def _(module: Any) -> Layer:
    scale, bias = (not module.affine or tensor is not None for tensor in (module.weight, module.bias))
    running, epsilon = module.track_running_stats, module.eps
    return layers.BatchNorm(affine=module.affine, running=running, epsilon=epsilon, scale=scale, bias=bias)


@read.register(nn.InstanceNorm1d)
@read.register(nn.InstanceNorm2d)
@read.register(nn.InstanceNorm3d)
def _(module: Any) -> Layer:
    if module.track_running_stats:
        raise _unknown(module, "track_running_stats")
    return layers.InstanceNorm(affine=module.affine, epsilon=module.eps)


@read.register
def _(module: nn.GroupNorm) -> Layer:
    return layers.GroupNorm(groups=module.num_groups, affine=module.affine, epsilon=module.eps)


@read.register
def _(module: nn.LayerNorm) -> Layer:
    axes = _last(len(module.normalized_shape))
    affine, bias = module.elementwise_affine, not module.elementwise_affine or module.bias is not None
    return layers.LayerNorm(axes=axes, affine=affine, bias=bias, epsilon=module.eps)


@read.register
def _(module: nn.RMSNorm) -> Layer:
    epsilon = {} if module.eps is None else {"epsilon": module.eps}
    return layers.RMSNorm(axes=_last(len(module.normalized_shape)), affine=module.elementwise_affine, **epsilon)


def _last(count: int) -> int | tuple[int, ...]:
    return -1 if count == 1 else tuple(range(-count, 0))


@read.register
def _(module: nn.LocalResponseNorm) -> Layer:
    return layers.LocalResponseNorm(size=module.size, alpha=module.alpha / module.size, beta=module.beta, k=module.k)


@read.register
def _(module: nn.GELU) -> Layer:
    return layers.Activation("gelu_tanh" if module.approximate == "tanh" else "gelu")


@read.register
def _(module: nn.Threshold) -> Layer:
    if module.value != 0:
        raise _unknown(module, "another value than 0 below the threshold")
    return layers.Activation("threshold", alpha=module.threshold or None)


@read.register
def _(module: nn.PReLU) -> Layer:
    return layers.PReLU(per_channel=module.num_parameters > 1)


@read.register
def _(module: nn.GLU) -> Layer:
    return layers.GLU(axis=module.dim)


@read.register
def _(module: nn.Softmax) -> Layer:
    if module.dim is None:
        raise _unknown(module, "no dim")
    return layers.Softmax(axis=module.dim)


@read.register
def _(module: nn.LogSoftmax) -> Layer:
    if module.dim is None:
        raise _unknown(module, "no dim")
    return layers.LogSoftmax(axis=module.dim)


@read.register
def _(module: nn.Dropout) -> Layer:
    return layers.Dropout("dropout", rate=module.p)


@read.register
def _(module: nn.AlphaDropout) -> Layer:
    return layers.Dropout("alpha_dropout", rate=module.p)


@read.register(nn.Dropout1d)
@read.register(nn.Dropout2d)
@read.register(nn.Dropout3d)
def _(module: Any) -> Layer:
    return layers.Dropout("channel_dropout", rate=module.p)


@read.register
def _(module: nn.Identity) -> Layer:
    return layers.Identity()


@read.register
def _(module: nn.Flatten) -> Layer:
    return layers.Flatten(start=module.start_dim, end=module.end_dim)


@read.register
def _(module: nn.PixelShuffle) -> Layer:
    return layers.PixelShuffle(factor=module.upscale_factor)


@read.register
def _(module: nn.PixelUnshuffle) -> Layer:
    return layers.PixelUnshuffle(factor=module.downscale_factor)
