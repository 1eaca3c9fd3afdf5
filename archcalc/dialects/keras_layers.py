"""Keras layers that work element by element or on the last axis: dense, activations, norms, dropouts, embeddings."""

from collections.abc import Callable, Mapping
from typing import Any

from archcalc import layers
from archcalc.dialects.keras_config import Config, said
from archcalc.dialects.keras_weave import Call, Value, clean
from archcalc.layers.activation import Clamp
from archcalc.layers.layer import Layer
from archcalc.layers.source import Parameter

Reader = Callable[[Call], list[Value]]
READERS: dict[str, Reader] = {}  # by Keras' class name
PLAIN = ("linear", None)
SLOPE = 0.2  # of Keras' function leaky_relu
FUNCTIONS = {  # Keras' name -> the row of our table
    "relu": "relu", "relu6": "relu6", "leaky_relu": "leaky_relu", "elu": "elu", "celu": "celu", "selu": "selu",
    "softplus": "softplus", "softsign": "softsign", "soft_shrink": "softshrink", "silu": "silu", "swish": "silu",
    "gelu": "gelu", "tanh": "tanh", "tanh_shrink": "tanhshrink", "sigmoid": "sigmoid", "exponential": "exp",
    "hard_sigmoid": "hardsigmoid", "hard_silu": "hardswish", "hard_swish": "hardswish", "hard_tanh": "hardtanh",
    "hard_shrink": "hardshrink", "mish": "mish", "log_sigmoid": "logsigmoid", "threshold": "threshold",
}  # fmt: skip
FOLDED = {"softmax": layers.Softmax, "log_softmax": layers.LogSoftmax}  # along the last axis
IDLE = (  # they do nothing but while training
    "GaussianNoise", "ActivityRegularization", "Identity",
    *(f"Random{what}" for what in (
        "Brightness", "ColorDegeneration", "ColorJitter", "Contrast", "ElasticTransform", "Erasing", "Flip",
        "GaussianBlur", "Grayscale", "Hue", "Invert", "Perspective", "Posterization", "Rotation", "Saturation",
        "Sharpness", "Shear", "Translation", "Zoom",
    )),
)  # fmt: skip


def reads(*names: str) -> Callable[[Reader], Reader]:
    """Make a reader known for Keras classes."""

    def known(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(names, reader))
        return reader

    return known


def axis_of(call: Call, value: Value, axis: int) -> int:
    """Where an axis that Keras counts stands in the tensor; the batch is no choice."""
    place = axis + value.rank if axis < 0 else axis + call.lead
    if not 0 < place < value.rank:
        rule = f"an axis must lie between 1 and {value.rank - 1 - call.lead}, or count from the end"
        raise call.config.error(rule, f"{axis}")
    if not value.first:
        return place
    return 1 if place == value.rank - 1 else place + 1


def axes_of(call: Call, value: Value, name: str, default: Any = -1) -> tuple[int, ...]:
    """The same for a field of one or several axes."""
    return tuple(axis_of(call, value, axis) for axis in call.config.numbers(name, default))


def one_or_more(axes: tuple[int, ...]) -> int | tuple[int, ...]:
    """One axis as a number."""
    return axes[0] if len(axes) == 1 else axes


def activated(call: Call, value: Value) -> list[Value]:
    """The tensor behind the activation that the layer has inside."""
    return activation(call, value, call.config.given("activation", None), inside=True)


def activation(call: Call, value: Value, written: Any, *, inside: bool) -> list[Value]:
    """A function as Keras writes one: its name, or a layer that is one; code that is not Keras' is not counted."""
    if written in PLAIN:
        return [value] if inside else [call.add(layers.Identity(), value)]
    if isinstance(written, Mapping):
        return _serialised(call, value, written, inside=inside)
    if not isinstance(written, str):
        raise call.config.error("activation must be a name or a layer", said(written))
    layer, part = function(call, value, written), clean(written) if inside else ""
    if layer is None:
        layer = layers.Unknown(f"activation {clean(written)}", value.shape, (value.shape,))
    return [call.add(layer, value, part=part)]


def _serialised(call: Call, value: Value, written: Mapping[str, Any], *, inside: bool) -> list[Value]:
    kind = written.get("class_name")
    if isinstance(kind, str) and kind in READERS and of_keras(written):
        config = Config(kind, written.get("config"), call.config.where)
        name = f"{call.name}/{clean(kind)}" if inside else call.name
        state = {"lead": call.lead, "trainable": call.trainable, "depth": call.depth}
        return READERS[kind](Call(call.weave, config, name, (call.key, "activation"), {"0": value}, **state))
    config_name = written.get("config")
    named = clean(config_name if isinstance(config_name, str) else f"{kind}".strip("_"))
    layer = layers.Unknown(f"activation {named}", value.shape, (value.shape,))
    return [call.add(layer, value, part=named if inside else "")]


def of_keras(entry: Mapping[str, Any]) -> bool:
    """Is a serialised object one of Keras' own, not one that a user's code registered?"""
    module, registered = entry.get("module"), entry.get("registered_name")
    own = module is None or module == "keras" or (isinstance(module, str) and module.startswith("keras."))
    return own and registered in (None, entry.get("class_name"))


def function(call: Call, value: Value, name: str) -> Layer | None:
    """The layer of an activation's name; None where there is none."""
    if name in FOLDED:
        return FOLDED[name](axis=axis_of(call, value, -1))
    if name == "glu":
        return layers.GLU(axis=axis_of(call, value, -1))
    row = FUNCTIONS.get(name)
    if row is None:
        return None
    return layers.Activation(row, alpha=SLOPE if row == "leaky_relu" else None)


@reads("Dense")
def _dense(call: Call) -> list[Value]:
    layer = layers.Dense(units=call.config.whole("units"), bias=call.config.flag("use_bias", True))
    return activated(call, call.add(layer, call.written()))


@reads("Embedding")
def _embedding(call: Call) -> list[Value]:
    return [call.add(table(call), call.written(), first=False)]


def table(call: Call) -> layers.Embedding:
    """The look-up table of an embedding."""
    return layers.Embedding(vocabulary=call.config.whole("input_dim"), width=call.config.whole("output_dim"))


@reads("ReversibleEmbedding")
def _reversible(call: Call) -> list[Value]:
    """Called in reverse it multiplies by its own table."""
    if not call.config.flag("tie_weights", True) or call.config.given("logit_soft_cap", None) is not None:
        return call.unknown()
    if call.argument(1, "reverse") is not True:
        return _embedding(call)
    return [call.add(layers.Dense(units=call.config.whole("input_dim"), bias=False), call.written())]


@reads("Activation")
def _activation(call: Call) -> list[Value]:
    return activation(call, call.only, call.config.given("activation"), inside=False)


@reads("ReLU")
def _relu(call: Call) -> list[Value]:
    most = call.config.given("max_value", None)
    slope, threshold = (call.config.real(name, 0.0) for name in ("negative_slope", "threshold"))
    match (None if most is None else call.config.real("max_value"), slope, threshold):
        case (None, 0.0, 0.0):
            layer = layers.Activation("relu")
        case (6.0, 0.0, 0.0):
            layer = layers.Activation("relu6")
        case (None, _, 0.0):
            layer = layers.Activation("leaky_relu", alpha=slope)
        case (None, 0.0, _):
            layer = layers.Activation("threshold", alpha=threshold)
        case (float(bound), 0.0, 0.0):
            return [call.add(Clamp(low=0.0, high=bound), call.only)]
        case _:
            return kept(call, call.only)
    return [call.add(layer, call.only)]


@reads("LeakyReLU", "ELU")
def _leaky(call: Call) -> list[Value]:
    name, field, default = {"LeakyReLU": ("leaky_relu", "negative_slope", 0.3), "ELU": ("elu", "alpha", 1.0)}[
        call.config.kind
    ]
    return [call.add(layers.Activation(name, alpha=call.config.real(field, default)), call.only)]


def kept(call: Call, value: Value, what: str = "") -> list[Value]:
    """A layer that is not understood, but keeps the shape."""
    layer = layers.Unknown(what or call.config.kind, value.shape, (value.shape,))
    return [call.add(layer, value)]


@reads("PReLU")
def _prelu(call: Call) -> list[Value]:
    """One slope for all, per channel, or per cell: then the larger of the input and its product with the slopes."""
    x = call.weave.channels_first(call.only)
    given = call.config.given("shared_axes", None)
    shared = set() if given is None else set(axes_of(call, x, "shared_axes"))
    sizes = tuple(1 if axis in shared else x.shape[axis] for axis in range(1, x.rank))
    if call.lead:
        return kept(call, x)
    if all(size == 1 for size in sizes[1:]):
        return [call.add(layers.PReLU(per_channel=sizes[0] > 1), x)]
    sloped = call.add(layers.Combine("multiply"), x, learned(call, sizes, "alpha"), part="sloped")
    return [call.add(layers.Combine("maximum"), x, sloped)]


def learned(call: Call, sizes: tuple[int, ...], part: str) -> Value:
    """A tensor that is learned, to be joined with one of these sizes or 1 behind the batch."""
    return call.add(Parameter(shape=(1, *sizes)), part=part)


@reads("Softmax")
def _softmax(call: Call) -> list[Value]:
    axes = axes_of(call, call.only, "axis")
    return [call.add(layers.Softmax(axis=axes[0]), call.only)] if len(axes) == 1 else kept(call, call.only)


@reads("Dropout", "AlphaDropout", "GaussianDropout")
def _dropout(call: Call) -> list[Value]:
    kinds = {"Dropout": "dropout", "AlphaDropout": "alpha_dropout", "GaussianDropout": "gaussian_dropout"}
    return [call.add(layers.Dropout(kinds[call.config.kind], rate=call.config.real("rate")), call.only)]


@reads("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")
def _channels_dropped(call: Call) -> list[Value]:
    return [call.add(layers.Dropout("channel_dropout", rate=call.config.real("rate")), call.image())]


@reads(*IDLE)
def _idle(call: Call) -> list[Value]:
    return [call.add(layers.Identity(), call.only)]


def on_channels(call: Call) -> Value | None:
    """The tensor with the axis that the layer names as axis 1; None where no order of ours has it there."""
    axes = call.config.numbers("axis", -1)
    if len(axes) != 1:
        return None
    for order in (lambda x: x, call.weave.channels_first, call.weave.as_written):  # each is made only if it is needed
        if axis_of(call, x := order(call.only), axes[0]) == 1:
            return x
    return None


def scales(call: Call) -> tuple[bool, bool]:
    """Does a norm scale, and does it shift?"""
    return call.config.flag("scale", True), call.config.flag("center", True)


@reads("BatchNormalization")
def _batch_norm(call: Call) -> list[Value]:
    x, (scale, shift) = on_channels(call), scales(call)
    if x is None or call.config.flag("renorm", False):
        return kept(call, call.only)
    affine, epsilon = scale or shift, call.config.real("epsilon", 1e-3)
    layer = layers.BatchNorm(affine=affine, epsilon=epsilon, scale=scale or not affine, bias=shift or not affine)
    return [call.add(layer, x)]


@reads("GroupNormalization")
def _group_norm(call: Call) -> list[Value]:
    x = on_channels(call)
    if x is None or call.lead:
        return kept(call, call.only)
    groups = call.config.numbers("groups", 32)
    groups = (x.shape[1],) if groups == (-1,) else (call.config.whole("groups", 32),)
    epsilon = call.config.real("epsilon", 1e-3)
    return [normed(call, x, lambda both: layers.GroupNorm(groups=groups[0], affine=both, epsilon=epsilon), (1,))]


def normed(call: Call, x: Value, norm: Callable[[bool], Layer], axes: tuple[int, ...]) -> Value:
    """The norm, with what it learns; where that is a scale or a shift alone, it stands beside a norm without either."""
    scale, shift = scales(call)
    if scale == shift:
        return call.add(norm(scale), x)
    sizes = tuple(n if axis in axes else 1 for axis, n in enumerate(x.shape))[1:]
    plain = call.add(norm(False), x, part="normalised")
    joined = layers.Combine("multiply" if scale else "add")
    return call.add(joined, plain, learned(call, sizes, "gamma" if scale else "beta"))


@reads("LayerNormalization")
def _layer_norm(call: Call) -> list[Value]:
    places, (scale, shift) = axes_of(call, call.only, "axis"), scales(call)
    axes, epsilon = one_or_more(places), call.config.real("epsilon", 1e-3)
    if call.config.flag("rms_scaling", False):
        return [call.add(layers.RMSNorm(axes=axes, epsilon=epsilon), call.only)]
    if scale and not shift:
        return [call.add(layers.LayerNorm(axes=axes, bias=False, epsilon=epsilon), call.only)]
    return [normed(call, call.only, lambda both: layers.LayerNorm(axes=axes, affine=both, epsilon=epsilon), places)]


@reads("RMSNormalization")
def _rms_norm(call: Call) -> list[Value]:
    axes = one_or_more(axes_of(call, call.only, "axis"))
    return [call.add(layers.RMSNorm(axes=axes, epsilon=call.config.real("epsilon", 1e-6)), call.only)]


@reads("LayerScale")
def _layer_scale(call: Call) -> list[Value]:
    """A learned factor for each feature, as keras.applications has it in ConvNeXt."""
    x, features = call.only, call.only.sizes[-1]
    ones = [1] * (x.rank - 2)
    sizes = (features, *ones) if x.first else (*ones, features)
    return [call.add(layers.Combine("multiply"), x, learned(call, sizes, "gamma"))]


@reads("StochasticDepth")
def _stochastic_depth(call: Call) -> list[Value]:
    return [call.add(layers.Dropout("drop_path", rate=call.config.real("drop_path_rate", 0.0)), call.only)]


@reads("UnitNormalization")
def _unit_norm(call: Call) -> list[Value]:
    return [unit(call, call.only, axes_of(call, call.only, "axis"), "")]


def unit(call: Call, x: Value, axes: tuple[int, ...], part: str) -> Value:
    """The tensor divided by its length along some axes."""
    name = f"{part}_" if part else ""
    square = call.add(layers.Activation("square"), x, part=f"{name}square")
    total = call.add(layers.Reduce("reduce_sum", axes=axes, keep_axes=True), square, part=f"{name}sum")
    length = call.add(layers.Activation("sqrt"), total, part=f"{name}length")
    return call.add(layers.Combine("divide"), x, length, part=part)


@reads("Normalization")
def _normalization(call: Call) -> list[Value]:
    """Means and variances of the data are values that it owns, as a batch norm's; given in numbers they are none."""
    axis = call.config.given("axis", -1)
    x = None if axis is None or axis in ([], ()) else on_channels(call)
    if call.config.given("mean", None) is not None or axis is None:
        return [scaled(call, call.only, 1.0, -1.0, ("shift", ""))]
    if x is None or call.config.flag("invert", False):
        return kept(call, call.only)
    return [call.add(layers.BatchNorm(affine=False), x)]


@reads("Rescaling")
def _rescaling(call: Call) -> list[Value]:
    """Numbers per channel are as many operations as one number for all."""
    scale, offset = (_number(call.config.given(name, default)) for name, default in (("scale", None), ("offset", 0.0)))
    return [scaled(call, call.only, scale, offset, ("", "offset"))]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18 else 1.0


def scaled(call: Call, x: Value, scale: float, offset: float, parts: tuple[str, str]) -> Value:
    """The tensor multiplied by a number, and another one added: the second first where its part has no name."""
    steps = [(parts[0], layers.Activation("scale", alpha=scale)), (parts[1], layers.Activation("shift", alpha=offset))]
    for part, layer in steps:
        x = call.add(layer, x, part=part)
    return x
