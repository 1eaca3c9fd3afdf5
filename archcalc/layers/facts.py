"""What each kind's map is like: linear, affine, homogeneous of some degree, elementwise; and why not.

One table for all kinds, since it is read as one: `facts.register(kind)` adds a kind of one's own, and a kind that is
not in it does not say. At inference, for the shapes at hand.
"""

from collections.abc import Sequence
from functools import singledispatch
from math import prod
from typing import Literal

from msgspec import Struct

from archcalc.algebra.num import divides
from archcalc.layers import (
    activation,
    attention,
    conv,
    dense,
    einsum,
    embedding,
    experts,
    index,
    join,
    norm,
    pool,
    position,
    recurrent,
    reduce,
    reshape,
    resize,
    source,
    unfold,
    weighted,
)
from archcalc.layers.layer import Layer, Shape, positions_of

Shapes = Sequence[Shape]
Form = Literal["linear", "affine", "homogeneous", "other"]
EARLIER = "reads other cells than the one in its place"


class Facts(Struct, frozen=True, gc=False):
    """What a map of one or more inputs is like, all inputs taken together.

    Linear maps are affine and of degree 1; `homogeneous` ones scale by a power of any positive factor of their inputs.
    """

    form: Form
    why: str = ""  # what keeps it from being linear: "adds a bias", after the layer's name
    elementwise: str = (
        ""  # what keeps an output cell from reading the cell in its own place alone; empty if nothing does
    )
    degree: float = 1  # f(t·x) = t^degree · f(x) for t > 0
    powers: tuple[int, ...] = ()  # of products and quotients: the degree in each input by itself


@singledispatch
def facts(layer: Layer, xs: Shapes, y: Shape) -> Facts | None:
    """What the layer's map is like on inputs of these shapes; None where the kind does not say."""
    return None


def unless(holds: bool, why: str = EARLIER) -> str:
    """The reason, unless the property holds."""
    return "" if holds else why


def trivial(layer: conv.Conv | conv.ConvTranspose | pool.MaxPool | pool.AvgPool, x: Shape) -> bool:
    """Do its windows hold one cell each, stop at every cell, and pad nothing?"""
    return all(w.kernel == w.stride == 1 and w.before == w.after == 0 for w in layer.windows(x))


def largest_of(layer: Layer, xs: Shapes, y: Shape, elementwise: str) -> Facts:
    """A maximum over cells: it scales with its input; where nothing is compared it chooses nothing."""
    if layer.ops(xs, y).cmp == 0:
        return Facts("linear", elementwise=elementwise)
    return Facts("homogeneous", "takes the largest of several cells", elementwise)


def constant(value: float | str) -> Facts:
    """One value, whatever is read: of a single number, what is left of dividing it by itself, or by its deviation."""
    return Facts("affine", f"gives {value}, whatever it reads") if value else Facts("linear")


def normalised(layer: norm.GroupNorm | norm.LayerNorm, single: bool) -> Facts:
    """Centred and divided by the deviation; a single number is its own mean."""
    if single:
        return constant("its bias" if layer.affine and getattr(layer, "bias", True) else 0)
    return Facts("other", "divides by the deviation of its input", EARLIER)


def biased(bias: bool, elementwise: str) -> Facts:
    """A sum of products with weights, and a bias."""
    return Facts("affine", "adds a bias", elementwise) if bias else Facts("linear", elementwise=elementwise)


@facts.register
def _(layer: conv.Conv, xs: Shapes, y: Shape) -> Facts:
    (x,) = xs
    return biased(layer.bias, unless(trivial(layer, x) and layer.taps(x) == 1 and x == y))


@facts.register
def _(layer: conv.ConvTranspose, xs: Shapes, y: Shape) -> Facts:
    (x,) = xs
    alone = trivial(layer, x) and layer.groups == x[1] and x == y
    return biased(layer.bias, unless(alone))


@facts.register
def _(layer: dense.Dense, xs: Shapes, y: Shape) -> Facts:
    return biased(layer.bias, unless(xs[0][-1] == y[-1] == 1))


@facts.register
def _(layer: dense.MatMul, xs: Shapes, y: Shape) -> Facts:
    return Facts("homogeneous", "multiplies its inputs", unless(prod((*xs[0][-2:], y[-1])) == 1), powers=(1, 1))


@facts.register
def _(layer: pool.MaxPool, xs: Shapes, y: Shape) -> Facts:
    return largest_of(layer, xs, y, unless(trivial(layer, xs[0])))


@facts.register
def _(layer: pool.AvgPool, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(trivial(layer, xs[0])))


@facts.register(pool.GlobalAvgPool)
@facts.register(pool.AdaptiveAvgPool)
def _(layer: Layer, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(xs[0] == y))


@facts.register(pool.GlobalMaxPool)
@facts.register(pool.AdaptiveMaxPool)
def _(layer: Layer, xs: Shapes, y: Shape) -> Facts:
    return largest_of(layer, xs, y, unless(xs[0] == y))


@facts.register
def _(layer: reduce.Reduce, xs: Shapes, y: Shape) -> Facts:
    over_batch = 0 in layer.reduced(xs[0])
    if over_batch and xs[0][0] == 1:  # what holds of one image alone need not hold of several
        xs = [(2, *xs[0][1:])]
        y = layer.out(*xs)
    elementwise = unless(xs[0] == y)
    if layer.function in reduce.EXTREMES:
        return largest_of(layer, xs, y, elementwise)
    if layer.function == "reduce_variance":
        return Facts("homogeneous", "squares distances from the mean", elementwise, degree=2)
    factors = prod(xs[0]) // prod(y)
    if layer.function == "reduce_prod" and factors > 1:
        form: Form = "other" if over_batch else "homogeneous"  # of a degree that the batch says
        return Facts(form, "multiplies its input with itself", elementwise, degree=factors)
    return Facts("linear", elementwise=elementwise)


@facts.register
def _(layer: reduce.ArgMax, xs: Shapes, y: Shape) -> Facts:
    over_batch = index.place_of(layer, xs[0], layer.axis) == 0  # which may hold more images than the one at hand
    if layer.ops(xs, y).cmp == 0 and not over_batch:
        return constant(0)
    return Facts("homogeneous", "gives the place of the largest of several cells", EARLIER, degree=0)


@facts.register
def _(layer: reduce.Normalize, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "divides by the length of a row", unless(layer.rows(y) == prod(y)))


LIKE_LINES = {"relu", "leaky_relu", "rrelu", "abs"}  # two rays from the origin
LINES = {
    ("power", 1.0),
    ("shift", 0.0),
    ("leaky_relu", 1.0),
    ("hardshrink", 0.0),
    ("softshrink", 0.0),
}  # with this parameter they do not bend
BENT = {("threshold", 0.0), ("elu", 0.0)}  # with this parameter it is relu
DEGREES = {"square": 2.0, "sqrt": 0.5, "reciprocal": -1.0, "rsqrt": -0.5, "sign": 0.0}


@facts.register
def _(layer: activation.Activation, xs: Shapes, y: Shape) -> Facts:
    with_parameter = (layer.function, layer.parameter)
    if with_parameter in LINES or layer.function in ("negative", "scale"):
        return Facts("linear")
    if layer.function == "shift":
        return Facts("affine", "adds a number")
    if layer.function == "power":
        return Facts("homogeneous", f"computes {activation.TABLE['power'].formula}", degree=layer.parameter or 0.0)
    why = f"computes {activation.TABLE[layer.function].formula}"
    if layer.function in LIKE_LINES or with_parameter in BENT:
        return Facts("homogeneous", why)
    if layer.function in DEGREES:
        return Facts("homogeneous", why, degree=DEGREES[layer.function])
    return Facts("other", why)


@facts.register
def _(layer: activation.Clamp, xs: Shapes, y: Shape) -> Facts:
    scales = not layer.low and not layer.high  # a bound of 0 is one at any scale
    return Facts("homogeneous" if scales else "other", "cuts values off at its bounds")


@facts.register
def _(layer: activation.PReLU, xs: Shapes, y: Shape) -> Facts:
    return Facts("homogeneous", "computes x if x > 0 else slope·x")


@facts.register
def _(layer: activation.GLU, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "multiplies one half by the sigmoid of the other", EARLIER)


@facts.register
def _(layer: activation.Softmax, xs: Shapes, y: Shape) -> Facts:
    single = y[positions_of(layer, y, layer.axis)[0]] == 1
    return constant(1) if single else Facts("other", "divides exponentials by their sum", EARLIER)


@facts.register
def _(layer: activation.LogSoftmax, xs: Shapes, y: Shape) -> Facts:
    single = y[positions_of(layer, y, layer.axis)[0]] == 1
    return constant(0) if single else Facts("other", "subtracts the logarithm of a sum of exponentials", EARLIER)


@facts.register
def _(layer: norm.BatchNorm, xs: Shapes, y: Shape) -> Facts:
    if layer.running:
        return Facts("affine", "subtracts the running mean")
    return Facts("other", "divides by the deviation over the batch", EARLIER)


@facts.register
def _(layer: norm.InstanceNorm, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "divides by the deviation of its input", EARLIER)


@facts.register
def _(layer: norm.GroupNorm, xs: Shapes, y: Shape) -> Facts:
    return normalised(layer, single=prod(y[1:]) == layer.groups)


@facts.register
def _(layer: norm.LayerNorm, xs: Shapes, y: Shape) -> Facts:
    return normalised(layer, single=prod(norm.normalised(layer, y)) == 1)


@facts.register
def _(layer: norm.RMSNorm, xs: Shapes, y: Shape) -> Facts:
    single = prod(norm.normalised(layer, y)) == 1
    return Facts("other", "divides by the root mean square of its input", unless(single))


@facts.register
def _(layer: norm.LocalResponseNorm, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "divides by a power of a sum of squares", unless(layer.size == 1 or y[1] == 1))


@facts.register(index.Gather)
@facts.register
def _(layer: embedding.Embedding, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "looks indices up in a table", EARLIER)


@facts.register
def _(layer: join.Combine, xs: Shapes, y: Shape) -> Facts:
    elementwise = unless(all(x == y for x in xs), "repeats an input along an axis")
    if layer.function in ("add", "subtract"):
        return Facts("linear", elementwise=elementwise)
    if layer.function in ("maximum", "minimum"):
        return Facts("homogeneous", f"takes the {layer.function} of its inputs", elementwise)
    power, does = (1, "multiplies its inputs") if layer.function == "multiply" else (-1, "divides its inputs")
    return Facts("homogeneous", does, elementwise, powers=(1, *[power] * (len(xs) - 1)))


@facts.register
def _(layer: join.Compare, xs: Shapes, y: Shape) -> Facts:
    elementwise = unless(all(x == y for x in xs), "repeats an input along an axis")
    scales = len(xs) == 2 or layer.value == 0
    return Facts("homogeneous" if scales else "other", "compares", elementwise, degree=0)


@facts.register
def _(layer: join.Where, xs: Shapes, y: Shape) -> Facts:
    elementwise = unless(all(x == y for x in xs), "repeats an input along an axis")
    return Facts("homogeneous", "selects by its first input", elementwise)


@facts.register
def _(layer: join.Concat, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(len(xs) == 1))


@facts.register(reshape.Identity)
@facts.register(reshape.Dropout)
def _(layer: Layer, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear")


@facts.register(reshape.Flatten)
@facts.register(reshape.Reshape)
@facts.register(reshape.Pad)
@facts.register(reshape.Crop)
@facts.register(reshape.PixelShuffle)
@facts.register(reshape.PixelUnshuffle)
@facts.register(index.Slice)
@facts.register(index.Expand)
@facts.register(unfold.Unfold)
@facts.register(unfold.Fold)
def _(layer: Layer, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(xs[0] == y))


@facts.register
def _(layer: reshape.Permute, xs: Shapes, y: Shape) -> Facts:
    several = [axis for axis, n in enumerate(xs[0]) if n > 1 or axis == 0]  # the batch may hold more than one image
    moved = [axis for axis in several if layer.order.index(axis) != axis]
    return Facts("linear", elementwise=unless(not moved and xs[0] == y))


@facts.register
def _(layer: index.Roll, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(all(divides(y[axis], shift) for axis, shift in layer.moves(y).items())))


@facts.register
def _(layer: index.Flip, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(all(y[axis] == 1 for axis in positions_of(layer, y, layer.axes))))


@facts.register
def _(layer: reduce.CumulativeSum, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(y[positions_of(layer, y, layer.axis)[0]] == 1))


@facts.register
def _(layer: source.Source, xs: Shapes, y: Shape) -> Facts:
    return Facts("affine", "is the same, whatever is read", degree=0)


@facts.register
def _(layer: weighted.WeightedConv, xs: Shapes, y: Shape) -> Facts:
    alone = trivial(layer.conv(xs), xs[0]) and layer.conv(xs).taps(xs[0]) == 1 and all(x == y for x in xs)
    if len(xs) > weighted.BIAS:
        return Facts("other", "multiplies its inputs, and adds one", unless(alone))
    return Facts("homogeneous", "multiplies its inputs", unless(alone), powers=(1, 1))


@facts.register
def _(layer: resize.Resize, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=unless(all(x == y for x in xs)))


@facts.register
def _(layer: recurrent.Recurrent, xs: Shapes, y: Shape) -> Facts:
    elementwise = unless(prod(xs[0][1:]) == prod(y[1:]) == 1 and xs[0] == y)
    if layer.function != "rnn":
        return Facts("other", "multiplies by gates that read its input", elementwise)
    why = f"computes {activation.TABLE[layer.nonlinearity].formula} at each step"
    scales = layer.nonlinearity == "relu" and layer.biases == 0
    return Facts("homogeneous" if scales else "other", why, elementwise)


@facts.register
def _(layer: einsum.Einsum, xs: Shapes, y: Shape) -> Facts:
    in_place = len({*layer.terms}) == 1 and len({*xs, y}) == 1
    return Facts("homogeneous", "multiplies its inputs", unless(in_place), powers=(1, 1))


@facts.register
def _(layer: position.AddedPosition, xs: Shapes, y: Shape) -> Facts:
    return Facts("affine", "adds a table of positions")


@facts.register
def _(layer: position.Rotary, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=EARLIER)


@facts.register
def _(layer: attention.Attention, xs: Shapes, y: Shape) -> Facts:
    elementwise = unless(all(x == y for x in xs))
    if layer.trivial(xs):
        return Facts("linear", elementwise=elementwise)
    return Facts("other", "divides exponentials by their sum", EARLIER)


@facts.register
def _(layer: attention.SplitHeads, xs: Shapes, y: Shape) -> Facts:
    return Facts("linear", elementwise=EARLIER)


@facts.register
def _(layer: experts.Experts, xs: Shapes, y: Shape) -> Facts:
    return Facts("other", "chooses experts by their scores", EARLIER)
