"""Convolution by a kernel that is an input: computed by another network, or normalised before each use."""

from collections.abc import Sequence
from typing import ClassVar

from archcalc.algebra.field import Sees
from archcalc.algebra.num import differ, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.layers.conv import Conv, Dilation, Groups, Pad, Stride
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, image, own, register, shown
from archcalc.layers.windowed import evenly_padded

X, KERNEL, BIAS = range(3)


@register(
    "weighted_conv",
    example="weighted_conv: {padding: 1, from: [x, kernel]}",
    on=[(1, 64, 56, 56), (128, 64, 3, 3)],
)
class WeightedConv(Layer, frozen=True):
    """Convolve the first input by the second, a kernel (filters, channels / groups, *taps), and add the third, a bias.

    Output, MACs and operations: those of a convolution with the same fields. It has no weights of its own.
    Source: weight standardisation (Qiao et al., 2019) and hypernetworks (Ha et al., 2017) compute their kernels.

    >>> WeightedConv(padding=1).out((1, 64, 56, 56), (128, 64, 3, 3))
    (1, 128, 56, 56)
    """

    autocast: ClassVar = "half"
    image: ClassVar = True

    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1
    groups: Groups = 1

    arity: ClassVar = (2, 3)
    at_least: ClassVar = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}

    def conv(self, xs: Sequence[Shape]) -> Conv:
        """The convolution whose weights the inputs are."""
        filters, _, *taps = xs[KERNEL]
        fields = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return Conv(filters=filters, kernel=tuple(taps), bias=len(xs) > BIAS, **fields)  # type: ignore[arg-type]

    def out(self, *xs: Shape) -> Shape:
        _, channels, axes = image(self, xs[X])
        if len(xs[KERNEL]) != len(axes) + 2 or differ(xs[KERNEL][1] * self.groups, channels):
            got = f"a kernel {shown(xs[KERNEL])}, an input {shown(xs[X])}, groups={self.groups}"
            raise self.error("the kernel must be (filters, channels / groups, taps …)", got)
        if len(xs) > BIAS and (len(xs[BIAS]) != 1 or differ(xs[BIAS][0], xs[KERNEL][0])):
            raise self.error("the bias must be one number per filter", shown(xs[BIAS]))
        return self.conv(xs).out(xs[X])

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.conv(xs).macs(xs[:1], y)

    def macs_exact(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.conv(xs).macs_exact(xs[:1], y)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return self.conv(xs).ops(xs[:1], y)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        return self.conv(xs).product(xs[:1], y)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        if number == X:
            return self.conv(xs).sees(number, xs[:1], y)
        return Sees((None,) * (len(y) - 1), "is convolved by it", bound=True)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        (kept,) = self.conv(xs).saved(xs[:1], y, device)
        return (Saved(kept.of, kept.elements, wanted_by=KERNEL), Saved(KERNEL, prod(xs[KERNEL]), wanted_by=X))

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """The gradients of kernel and bias are there before that of a padded copy is cropped."""
        if evenly_padded(self.conv(xs).windows(xs[X])):
            return (), ()
        return (), own(sum(prod(x) for x, needed in zip(xs[KERNEL:], graded[KERNEL:], strict=True) if needed))

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        conv, biases = self.conv(xs), [prod(x) for x in xs[BIAS:]]
        return (*conv.reads(xs[:1], y), conv.reads_weights(xs[:1], y) - sum(biases), *biases)
