"""Normalisations: batch, layer, group, instance, root mean square, and local response."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import EACH, Sees, all_but
from archcalc.algebra.num import divides, largest, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.window import Window
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, Weight, own, positions_of, register, shown

Affine = Annotated[bool, Meta(description="scale and shift by learned numbers")]
Epsilon = Annotated[float, Meta(description="added to the variance; changes no count")]
Axes = Annotated[int | tuple[int, ...], Meta(description="axes normalised together; -1 is the last, 0 the batch")]


def normalise(elements: int, rows: int, affine: bool) -> Ops:
    """Subtract each row's mean and divide by its deviation, by the two-pass algorithm.

    Per row of n: mean n − 1 additions and 1 multiplication; centred squares n and n; variance the same as the mean;
    epsilon 1 addition; 1 inverse root; scaling n multiplications; affine n and n.
    Source: docs/conventions.md, layer norm.

    >>> normalise(elements=128, rows=4, affine=True)
    Ops(mul=392, add=508, cmp=0, div=4, exp=0)
    """
    learned = elements if affine else 0
    return Ops(mul=2 * elements + learned + 2 * rows, add=2 * (elements - rows) + elements + learned + rows, div=rows)


def keeps_statistics(
    x: Shape, rows: int, dtype: str | None = "float32", *, training_only: bool = False
) -> tuple[Saved, ...]:
    """The input, and each row's mean and inverse deviation; these are float32 also where the input is half."""
    return (Saved(0, prod(x)), *[Saved("own", rows, "statistic", dtype, training_only=training_only)] * 2)


def channel_weights(channels: int, affine: bool) -> dict[str, Weight]:
    """One scale and one shift per channel."""
    return {"weight": Weight((channels,)), "bias": Weight((channels,))} if affine else {}


@register("batch_norm", example="batch_norm", on=[(1, 64, 112, 112)])
class BatchNorm(Layer, frozen=True):
    """Scale and shift each channel by its running statistics, as at inference.

    Parameters: channels for the scale and channels for the bias, if affine. Buffers: 2 × channels if running, and a
        counter that no total includes.
    Operations: 1 multiplication and 1 addition per element (the statistics fold into scale and shift);
        without running statistics each channel is normalised over the batch as a row, as in layer_norm.
    Source: docs/conventions.md; Ioffe and Szegedy (2015).

    >>> BatchNorm().ops([(1, 8, 10, 10)], (1, 8, 10, 10)).total
    1600
    """

    pace: ClassVar = "norm"
    image: ClassVar = True

    affine: Affine = True
    running: Annotated[bool, Meta(description="keep running statistics and use them at inference")] = True
    epsilon: Epsilon = 1e-5
    scale: Annotated[bool, Meta(description="scale as well as shift, where affine")] = True
    bias: Annotated[bool, Meta(description="shift as well as scale, where affine")] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.affine and not (self.scale or self.bias):
            raise self.error("affine needs a scale or a bias", "neither")

    def out(self, *xs: Shape) -> Shape:
        return with_channels(self, xs[0])

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        channels, learned = xs[0][1], {"weight": self.scale, "bias": self.bias}
        weights = {name: w for name, w in channel_weights(channels, self.affine).items() if learned[name]}
        if self.running:
            weights["running_mean"] = weights["running_var"] = Weight((channels,), "buffer")
            weights["num_batches_tracked"] = Weight((), "counter")
        return weights

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        if self.running:
            return Ops(mul=prod(y), add=prod(y))
        learned = Ops(mul=prod(y) if self.scale else 0, add=prod(y) if self.bias else 0) if self.affine else Ops()
        return normalise(elements=prod(y), rows=y[1], affine=False) + learned

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH if self.running else all_but(len(y) - 1, range(2, len(y)), "normalises over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_statistics(xs[0], rows=y[1], training_only=self.running)


@register("instance_norm", example="instance_norm", on=[(1, 64, 56, 56)])
class InstanceNorm(Layer, frozen=True):
    """Normalise each channel of each image over its cells.

    Parameters: 2 × channels if affine (off by default, as in PyTorch). Operations: layer_norm's, with
        batch × channels rows. Source: docs/conventions.md, layer norm; Ulyanov et al. (2016).
    """

    pace: ClassVar = "norm"
    image: ClassVar = True

    affine: Affine = False
    epsilon: Epsilon = 1e-5

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) < 3:
            raise self.error("the input must be (batch, channels, axes …)", shown(xs[0]))
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return channel_weights(xs[0][1], self.affine)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return normalise(elements=prod(y), rows=y[0] * y[1], affine=self.affine)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, range(2, len(y)), "normalises over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        rows = y[0] * y[1]  # PyTorch normalises batch × channels channels, with its scale repeated for each image
        repeated = (Saved("own", rows, "statistic"),) if self.affine else ()
        return keeps_statistics(xs[0], rows) + repeated

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        rows = y[0] * y[1]
        return (own(rows), own(2 * (rows - y[1]))) if self.affine else ((), ())  # the repeated shift; their gradients


@register("group_norm", example="group_norm: {groups: 32}", on=[(1, 64, 56, 56)])
class GroupNorm(Layer, frozen=True):
    """Normalise groups of channels of each image together.

    Parameters: 2 × channels if affine. Operations: layer_norm's, with batch × groups rows.
    Source: docs/conventions.md, group norm; Wu and He (2018).
    """

    pace: ClassVar = "norm"
    autocast: ClassVar = "float32"

    image: ClassVar = True

    groups: Annotated[int, Meta(description="groups that the channels are divided into")]
    affine: Affine = True
    epsilon: Epsilon = 1e-5

    at_least: ClassVar = {"groups": 1}

    def out(self, *xs: Shape) -> Shape:
        _, channels, *_ = with_channels(self, xs[0])
        if divides(self.groups, channels) is False:
            raise self.error("groups must divide the input channels", f"groups={self.groups}, channels={channels}")
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return channel_weights(xs[0][1], self.affine)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return normalise(elements=prod(y), rows=y[0] * self.groups, affine=self.affine)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, range(1, len(y)), "normalises over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_statistics(xs[0], rows=y[0] * self.groups, dtype=None)


@register("layer_norm", example="layer_norm", on=[(1, 197, 768)], main="axes")
class LayerNorm(Layer, frozen=True):
    """Normalise over some axes, the last by default, each position by itself.

    Parameters: 2 × the sizes of the normalised axes, if affine. Operations: per row of n elements
        multiplications 2n + 2 (+ n affine), additions 2(n − 1) + n + 1 (+ n affine), 1 inverse root.
    Source: docs/conventions.md; Ba et al. (2016).

    >>> LayerNorm().weights((1, 197, 768))["weight"].shape
    (768,)
    """

    pace: ClassVar = "norm"
    autocast: ClassVar = "float32"

    axes: Axes = -1
    affine: Affine = True
    bias: Annotated[bool, Meta(description="shift as well as scale, where affine")] = True
    epsilon: Epsilon = 1e-5

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axes)
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        shape = normalised(self, xs[0])
        weights = {"weight": Weight(shape), "bias": Weight(shape)}
        return {name: w for name, w in weights.items() if self.affine and (name == "weight" or self.bias)}

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        ops = normalise(prod(y), prod(y) // prod(normalised(self, y)), self.affine)
        return ops if self.bias or not self.affine else Ops(mul=ops.mul, add=ops.add - prod(y), div=ops.div)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, positions_of(self, y, self.axes), "normalises over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_statistics(xs[0], rows=prod(y) // prod(normalised(self, y)))


def as_channels_last(rank: int, axes: tuple[int, ...]) -> bool:
    """Moved to the end, do these axes make what PyTorch takes for a channels-last image? It has no fused norm there."""
    spatial = tuple(range(1, rank - 1))
    return rank in (4, 5) and axes in (spatial, (rank - 1, *spatial))


@register("rms_norm", example="rms_norm", on=[(1, 128, 4096)], main="axes")
class RMSNorm(Layer, frozen=True):
    """Divide by the root mean square over some axes, the last by default.

    Parameters: the sizes of the normalised axes, if affine. Operations: per row of n elements multiplications
        2n + 1 (+ n affine), additions n − 1 + 1, 1 inverse root.
    Source: docs/conventions.md; Zhang and Sennrich (2019).

    >>> RMSNorm().ops([(1, 1, 4)], (1, 1, 4))
    Ops(mul=13, add=4, cmp=0, div=1, exp=0)
    """

    pace: ClassVar = "norm"

    axes: Axes = -1
    affine: Affine = True
    epsilon: Epsilon = 1e-5

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axes)
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {"weight": Weight(normalised(self, xs[0]))} if self.affine else {}

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        elements, rows = prod(y), prod(y) // prod(normalised(self, y))
        return Ops(mul=2 * elements + (elements if self.affine else 0) + rows, add=elements - rows + rows, div=rows)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, positions_of(self, y, self.axes), "normalises over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        rows = prod(y) // prod(normalised(self, y))
        if self.fused(y, device):
            return (Saved(0, prod(y)), Saved("own", rows, "statistic", "float32"))
        kept = (Saved(0, prod(y), wanted_by=0), Saved("own", rows, "statistic", "float32", wanted_by=0))
        scaled = (Saved("own", prod(y), wanted_by="weight"),) if self.affine else ()
        return kept + scaled  # without a fused kernel the scale reads a normalised input of its own

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        if self.fused(y, device):
            return (), ()
        rows = prod(y) // prod(normalised(self, y))
        return () if self.affine else own(rows), own((2 if self.affine else 3) * prod(y) - rows)

    def fused(self, y: Shape, device: str) -> bool:
        """Is it one kernel?"""
        return device == "cuda" and not as_channels_last(len(y), positions_of(self, y, self.axes))


@register("local_response_norm", example="local_response_norm: 5", on=[(1, 96, 55, 55)], main="size")
class LocalResponseNorm(Layer, frozen=True):
    """Divide each cell by a power of the squares summed over `size` neighbouring channels; no weights.

    y = x / (k + alpha · Σ x²)^beta, the sum over channels c − ⌊size/2⌋ … c + ⌊(size − 1)/2⌋ that exist.
    Operations per element: 1 square, 1 multiplication by alpha, 1 addition of k, the power as exp(beta · log) =
        2 exp and 1 multiplication, 1 division; additions of the sum: valid channel taps − 1.
    Source: Krizhevsky et al., AlexNet (2012), §3.3. (PyTorch divides alpha by size first: no count changes.)

    >>> LocalResponseNorm(size=1).ops([(1, 1, 1, 1)], (1, 1, 1, 1))
    Ops(mul=3, add=1, cmp=0, div=1, exp=2)
    """

    autocast: ClassVar = "float32"

    image: ClassVar = True

    size: Annotated[int, Meta(description="channels in one sum")] = 5
    alpha: Annotated[float, Meta(description="weight of the sum; changes no count")] = 1e-4
    beta: Annotated[float, Meta(description="exponent; changes no count")] = 0.75
    k: Annotated[float, Meta(description="added constant; changes no count")] = 1.0

    at_least: ClassVar = {"size": 1}

    def out(self, *xs: Shape) -> Shape:
        return with_channels(self, xs[0])

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        batch, channels, *axes = y
        window = Window(self.size, before=self.size // 2, after=(self.size - 1) // 2)
        sums = batch * prod(axes) * window.valid_taps(channels, stops=channels) - prod(y)
        return Ops(mul=3 * prod(y), add=sums + prod(y), div=prod(y), exp=2 * prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, [1], "sums over channels")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        batch, channels, *axes = y
        squares = batch * (channels + self.size - 1) * prod(axes)  # padded at both ends of the channels, then averaged
        kept = (squares, prod(y), prod(y))  # squares, base and power
        return (Saved(0, prod(y)), *[Saved("own", elements, training_only=True) for elements in kept])

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        batch, _, *axes = y
        padding = batch * (self.size - 1) * prod(axes)
        forward = () if training else own(2 * prod(y))  # three tensors while the power is taken, before the output is
        return forward, own(largest(prod(y) - padding, 0))  # four tensors while the power's gradient is taken


def with_channels(layer: Layer, x: Shape) -> Shape:
    """The shape, if it has a channel axis."""
    if len(x) < 2:
        raise layer.error("the input must be (batch, channels, …)", shown(x))
    return x


def normalised(layer: LayerNorm | RMSNorm, x: Shape) -> Shape:
    """Sizes of the axes that are normalised together."""
    return tuple(x[position] for position in positions_of(layer, x, layer.axes))
