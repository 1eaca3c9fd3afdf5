"""Programs of the kinds that work on single elements or rows: activations, softmax, normalisations, joins."""

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.number import Array, Number, largest, mean, total
from archcalc.crosscheck.naive.program import Weights, compute, each, filled, positions, rows


def sigmoid(x: Number) -> Number:
    """1 / (1 + exp(−x))."""
    return 1 / (1 + exp(-x))


def softplus(x: Number) -> Number:
    """log(1 + exp(x)), and x itself above 20."""
    return x.where(x.value > 20, log(1 + exp(x)))


def clamped(x: Number, low: float, high: float) -> Number:
    """min(max(x, low), high)."""
    return x.at_least(low).at_most(high)


def exp(x: Number) -> Number:
    """The exponential."""
    return x.function(math.exp)


def log(x: Number) -> Number:
    """The natural logarithm."""
    return x.function(math.log)


def tanh(x: Number) -> Number:
    """The hyperbolic tangent."""
    return x.function(math.tanh)


def _inverse(a: float) -> float:
    """One over a parameter, known before any element is seen."""
    return 1 / a if a else math.inf


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # Klambauer et al. (2017)
FUNCTIONS: dict[str, Callable[[Number, float], Number]] = {
    "relu": lambda x, _: x.at_least(0),
    "relu6": lambda x, _: clamped(x, 0, 6),
    "leaky_relu": lambda x, a: x.where(x.value > 0, a * x),
    "rrelu": lambda x, _: x.where(x.value > 0, (1 / 8 + 1 / 3) / 2 * x),
    "threshold": lambda x, a: x.where(x.value > a, 0),
    "elu": lambda x, a: x.where(x.value > 0, a * x.exp_less_one()),
    "celu": lambda x, a: x.where(x.value > 0, a * (x * _inverse(a)).exp_less_one()),
    "selu": lambda x, _: SELU_SCALE * x.where(x.value > 0, SELU_ALPHA * x.exp_less_one()),
    "sigmoid": lambda x, _: sigmoid(x),
    "logsigmoid": lambda x, _: -log(1 + exp(-x)),
    "tanh": lambda x, _: tanh(x),
    "softsign": lambda x, _: x / (1 + abs(x)),
    "softplus": lambda x, _: softplus(x),
    "silu": lambda x, _: x * sigmoid(x),
    "mish": lambda x, _: x * tanh(softplus(x)),
    "gelu": lambda x, _: x * 0.5 * (1 + (x * math.sqrt(0.5)).function(math.erf)),
    "gelu_tanh": lambda x, _: 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))),
    "quick_gelu": lambda x, _: x * sigmoid(1.702 * x),
    "hardsigmoid": lambda x, _: clamped(x + 3, 0, 6) * (1 / 6),
    "hardswish": lambda x, _: x * clamped(x + 3, 0, 6) * (1 / 6),
    "hardtanh": lambda x, _: clamped(x, -1, 1),
    "hardshrink": lambda x, a: x.where(abs(x).value > a, 0),
    "softshrink": lambda x, a: x - clamped(x, -a, a),
    "tanhshrink": lambda x, _: x - tanh(x),
    "abs": lambda x, _: abs(x),
    "exp": lambda x, _: exp(x),
    "log": lambda x, _: log(x),
    "sqrt": lambda x, _: x.sqrt(),
    "square": lambda x, _: x * x,
    "negative": lambda x, _: -x,
    "reciprocal": lambda x, _: 1 / x,
    "rsqrt": lambda x, _: x.inverse_root(),
    "scale": lambda x, a: a * x,
    "shift": lambda x, a: x + a,
    "power": lambda x, a: x.function(lambda value: math.pow(value, a)),
    "sin": lambda x, _: x.function(math.sin),
    "cos": lambda x, _: x.function(math.cos),
    "erf": lambda x, _: x.function(math.erf),
    "floor": lambda x, _: x.at_most(math.floor(x.value)),
    "ceil": lambda x, _: x.at_least(math.ceil(x.value)),
    "round": lambda x, _: x.where(x.value == round(x.value), round(x.value)),
    "sign": lambda x, _: x.where(x.value <= 0, 1).where(x.value >= 0, -1),
}


@compute.register
def _(layer: layers.Activation, xs: Sequence[Array], weights: Weights) -> Array:
    parameter = layer.parameter or 0.0
    return each(xs[0], lambda x: FUNCTIONS[layer.function](x, parameter))


@compute.register
def _(layer: layers.Clamp, xs: Sequence[Array], weights: Weights) -> Array:
    def bounded(x: Number) -> Number:
        x = x if layer.low is None else x.at_least(layer.low)
        return x if layer.high is None else x.at_most(layer.high)

    return each(xs[0], bounded)


@compute.register
def _(layer: layers.PReLU, xs: Sequence[Array], weights: Weights) -> Array:
    slopes = weights["weight"]

    def cell(*at: int) -> Number:
        x = xs[0][at]
        return x.where(x.value > 0, slopes[at[1] if layer.per_channel else 0] * x)  # type: ignore[no-any-return]

    return filled(xs[0].shape, cell)


@compute.register
def _(layer: layers.GLU, xs: Sequence[Array], weights: Weights) -> Array:
    first, second = np.split(xs[0], 2, axis=layer.axis)
    return filled(first.shape, lambda *at: first[at] * sigmoid(second[at]))


@compute.register(layers.Softmax)
@compute.register(layers.LogSoftmax)
def _(layer: Any, xs: Sequence[Array], weights: Weights) -> Array:
    x, y = xs[0], np.empty(xs[0].shape, dtype=object)
    for row in rows(x.shape, positions(layer.axis, x.ndim)):
        most = largest([x[at] for at in row])
        shifted = [x[at] - most for at in row]
        powers = [exp(value) for value in shifted]
        whole = total(powers)
        logarithm = log(whole) if isinstance(layer, layers.LogSoftmax) else None
        for at, value, power in zip(row, shifted, powers, strict=True):
            y[at] = power / whole if logarithm is None else value - logarithm
    return y


@compute.register
def _(layer: layers.Normalize, xs: Sequence[Array], weights: Weights) -> Array:
    x, y = xs[0], np.empty(xs[0].shape, dtype=object)
    for row in rows(x.shape, positions(layer.axis, x.ndim)):
        length = total([x[at] * x[at] for at in row]).sqrt().at_least(layer.epsilon)
        for at in row:
            y[at] = x[at] / length
    return y


@compute.register
def _(layer: layers.BatchNorm, xs: Sequence[Array], weights: Weights) -> Array:
    x = xs[0]
    if not layer.running:
        return scaled(normalised(x, [a for a in range(x.ndim) if a != 1], layer.epsilon), weights, [1])

    def folded(channel: int) -> tuple[float, float]:
        values = {name: weight[channel].value for name, weight in weights.items() if weight.ndim}
        scale = values.get("weight", 1.0) / math.sqrt(values["running_var"] + layer.epsilon)
        return scale, values.get("bias", 0.0) - values["running_mean"] * scale

    known = [folded(channel) for channel in range(x.shape[1])]  # before any image is seen
    return filled(x.shape, lambda *at: x[at] * known[at[1]][0] + known[at[1]][1])


@compute.register
def _(layer: layers.InstanceNorm, xs: Sequence[Array], weights: Weights) -> Array:
    return scaled(normalised(xs[0], range(2, xs[0].ndim), layer.epsilon), weights, [1])


@compute.register
def _(layer: layers.GroupNorm, xs: Sequence[Array], weights: Weights) -> Array:
    x = xs[0]
    split = x.reshape(len(x), layer.groups, x.shape[1] // layer.groups, *x.shape[2:])
    return scaled(normalised(split, range(2, split.ndim), layer.epsilon).reshape(x.shape), weights, [1])


@compute.register
def _(layer: layers.LayerNorm, xs: Sequence[Array], weights: Weights) -> Array:
    axes = positions(layer.axes, xs[0].ndim)
    return scaled(normalised(xs[0], axes, layer.epsilon), weights, axes)


@compute.register
def _(layer: layers.RMSNorm, xs: Sequence[Array], weights: Weights) -> Array:
    axes, x = positions(layer.axes, xs[0].ndim), xs[0]
    y = np.empty(x.shape, dtype=object)
    for row in rows(x.shape, axes):
        inverse = (mean([x[at] * x[at] for at in row]) + layer.epsilon).inverse_root()
        for at in row:
            y[at] = x[at] * inverse
    return scaled(y, weights, axes)


def normalised(x: Array, axes: Sequence[int], epsilon: float) -> Array:
    """Each row minus its mean, times the inverse of its deviation."""
    y = np.empty(x.shape, dtype=object)
    for row in rows(x.shape, axes):
        middle = mean([x[at] for at in row])
        centred = [x[at] - middle for at in row]
        inverse = (mean([value * value for value in centred]) + epsilon).inverse_root()
        for at, value in zip(row, centred, strict=True):
            y[at] = value * inverse
    return y


def scaled(y: Array, weights: Weights, axes: Sequence[int]) -> Array:
    """Times the learned weight and plus the learned bias, which vary along some axes, where there are any."""

    def cell(*at: int) -> Number:
        place = tuple(at[axis] for axis in axes)
        value = y[at] * weights["weight"][place] if "weight" in weights else y[at]
        return value + weights["bias"][place] if "bias" in weights else value  # type: ignore[no-any-return]

    return filled(y.shape, cell)


@compute.register
def _(layer: layers.LocalResponseNorm, xs: Sequence[Array], weights: Weights) -> Array:
    x, squares = xs[0], each(xs[0], lambda x: x * x)

    def cell(image: int, channel: int, *at: int) -> Number:
        near = range(channel - layer.size // 2, channel + (layer.size - 1) // 2 + 1)
        base = total([squares[(image, c, *at)] for c in near if 0 <= c < x.shape[1]]) * layer.alpha + layer.k
        return x[(image, channel, *at)] / exp(log(base) * layer.beta)  # type: ignore[no-any-return]

    return filled(x.shape, cell)


JOINS: dict[str, Callable[[Number, Number], Number]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": Number.at_least,
    "minimum": Number.at_most,
}


@compute.register
def _(layer: layers.Combine, xs: Sequence[Array], weights: Weights) -> Array:
    """Every output element from one element of each input, in order."""
    spread = np.broadcast_arrays(*xs)
    return filled(spread[0].shape, lambda *at: reduce(JOINS[layer.function], [x[at] for x in spread]))


RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
}


@compute.register
def _(layer: layers.Compare, xs: Sequence[Array], weights: Weights) -> Array:
    """One for what holds, zero for what does not."""
    spread = np.broadcast_arrays(*xs)

    def cell(*at: int) -> Number:
        other = spread[1][at].value if len(xs) == 2 else layer.value
        return spread[0][at].chosen(float(RELATIONS[layer.relation](spread[0][at].value, other)))  # type: ignore[no-any-return]

    return filled(spread[0].shape, cell)


@compute.register
def _(layer: layers.Where, xs: Sequence[Array], weights: Weights) -> Array:
    holds, first, second = np.broadcast_arrays(*xs)
    return filled(holds.shape, lambda *at: first[at].where(holds[at].value != 0, second[at]))
