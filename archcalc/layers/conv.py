"""Convolutions of one, two or three axes: plain, transposed, depthwise and separable."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from archcalc.algebra.field import Channels, Sees, adjoint, over, through
from archcalc.algebra.num import divides, largest, less, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.algebra.window import Window
from archcalc.layers.layer import (
    Composite,
    Graded,
    Layer,
    Part,
    Saved,
    Scratch,
    Shape,
    Weight,
    image,
    keeps_input,
    numbers,
    own,
    register,
    shown,
)
from archcalc.layers.windowed import (
    Cropping,
    Padding,
    PerAxis,
    cells_read,
    depends_on_size,
    evenly_padded,
    kept_under,
    per_axis,
    taps_inside,
    unchecked,
    windows_over,
    windows_that_meet,
)

Filters = Annotated[int, Meta(description="output channels")]
Kernel = Annotated[PerAxis, Meta(description="taps along each axis")]
Stride = Annotated[PerAxis, Meta(description="cells between two stops")]
Pad = Annotated[
    Padding, Meta(description="cells added around each axis: a number, one per axis, [before, after] pairs, or a rule")
]
Dilation = Annotated[PerAxis, Meta(description="cells between two taps")]
Groups = Annotated[int, Meta(description="channel groups that do not see each other")]
Bias = Annotated[bool, Meta(description="add one learned number per filter or unit")]
POSITIVE = {"filters": 1, "kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def groups_divide(layer: Any, n: int, what: str) -> None:
    """Refuse groups of unequal size."""
    if divides(layer.groups, n) is False:
        got = f"groups={layer.groups}, {what.rsplit(maxsplit=1)[-1]}={n}"
        raise layer.error(f"groups must divide the {what}", got)


def linear_ops(macs: int, sums: int, outputs: int, bias: bool) -> Ops:
    """A dot product of n terms is n multiplications and n − 1 additions; a bias is one more addition per output."""
    return Ops(mul=macs, add=macs - sums + (outputs if bias else 0))


@register("conv", example="conv: {filters: 20, kernel: 5}", on=[(1, 1, 28, 28)])
class Conv(Layer, frozen=True):
    """Slide filters over the input; each output cell is one dot product of a filter with the cells under it.

    Output size per axis: (size + padding before + padding after − span) // stride + 1,
        with span = dilation × (kernel − 1) + 1.
    Parameters: filters × (taps per filter + 1 with bias), with taps per filter = kernel × channels / groups.
    MACs: batch × stops × filters × taps per filter; macs_exact leaves out the taps that fall on padding.
    Source: docs/conventions.md (direct algorithm); `same` is the rule of TensorFlow and Keras.

    >>> Conv(filters=20, kernel=5).out((1, 1, 28, 28))
    (1, 20, 24, 24)
    """

    autocast: ClassVar = "half"
    image: ClassVar = True

    filters: Filters
    kernel: Kernel
    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1
    groups: Groups = 1
    bias: Bias = True

    at_least: ClassVar = POSITIVE

    def __post_init__(self) -> None:
        super().__post_init__()
        groups_divide(self, self.filters, "filters")

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        groups_divide(self, channels, "input channels")
        sizes = [window.size(n) for window, n in zip(self.windows(xs[0]), axes, strict=True)]
        return (batch, self.filters, *sizes)

    def windows(self, x: Shape) -> tuple[Window, ...]:
        return windows_over(self, x[2:])

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        _, channels, *axes = xs[0]
        filter_shape = (channels // self.groups, *per_axis(self, "kernel", len(axes)))
        return with_bias(Weight((self.filters, *filter_shape)), self.filters, self.bias)

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        batch, filters, *stops = y
        return batch * prod(stops) * filters * self.taps(xs[0])  # every filter uses all its taps at every stop

    def macs_exact(self, xs: Sequence[Shape], y: Shape) -> int:
        if self.padding in (0, "valid"):
            return self.macs(xs, y)
        batch, filters, *stops = y
        _, channels, *axes = xs[0]
        inside = taps_inside(self.windows(xs[0]), axes, stops)
        return batch * filters * (channels // self.groups) * inside

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return linear_ops(self.macs(xs, y), prod(y), prod(y), self.bias)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        windows = self.windows(xs[0])
        return (kept_under(windows, xs[0], copied=not evenly_padded(windows)),)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        batch, filters, *stops = y
        return Product(self.groups, batch * prod(stops), filters // self.groups, self.taps(xs[0]))

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        return (cells_read(self.windows(xs[0]), xs[0], y[2:]),)

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        _, channels, *axes = xs[0]
        windows = zip(self.windows(xs[0]), axes, y[2:], strict=True)
        taps = prod(window.taps_that_meet(n, stops) for window, n, stops in windows)
        return self.filters * (channels // self.groups) * taps + (self.filters if self.bias else 0)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        sights = [through(window) for window in self.windows(xs[0])]
        return over(sights, mixing(self), depends_on_size(self))

    def taps(self, x: Shape) -> int:
        """Terms of one dot product."""
        _, channels, *axes = x
        return prod(per_axis(self, "kernel", len(axes))) * (channels // self.groups)


@register(
    "conv_transpose", example="conv_transpose: {filters: 16, kernel: 4, stride: 2, padding: 1}", on=[(1, 8, 10, 10)]
)
class ConvTranspose(Layer, frozen=True):
    """Spread every input cell over the output by the filters: the adjoint of a convolution with the same fields.

    Output size per axis: (size − 1) × stride − padding before − padding after + span + output_padding;
        with `same` padding: size × stride; with `valid`: (size − 1) × stride + the larger of span and stride.
    Parameters: channels × filters / groups × kernel, plus filters with bias.
    MACs: batch × input cells × channels × filters / groups × kernel; macs_exact leaves out products that land
        on the cropped border.
    Additions: MACs − the outputs that at least one product reaches, plus one per output with bias.
    Source: docs/conventions.md; PyTorch's ConvTranspose (output_padding adds cells behind, smaller than stride or
        dilation); `same` and `valid` follow Keras, which crops the odd cell behind.

    >>> ConvTranspose(filters=16, kernel=4, stride=2, padding=1).out((1, 8, 10, 10))
    (1, 16, 20, 20)
    """

    autocast: ClassVar = "half"
    image: ClassVar = True

    filters: Filters
    kernel: Kernel
    stride: Stride = 1
    padding: Annotated[
        Cropping,
        Meta(description="cells cropped from each end: a number, one per axis, pairs, or a rule"),
    ] = 0
    output_padding: Annotated[PerAxis, Meta(description="cells added behind the output")] = 0
    dilation: Dilation = 1
    groups: Groups = 1
    bias: Bias = True

    at_least: ClassVar = POSITIVE | {"output_padding": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            raise self.error("padding must be numbers, valid or same", self.padding)
        if isinstance(self.padding, str) and any(numbers(self.output_padding)):
            got = f"output_padding={self.output_padding}, padding={self.padding}"
            raise self.error("output_padding goes with padding in numbers", got)
        groups_divide(self, self.filters, "filters")

    def out(self, *xs: Shape) -> Shape:
        batch, channels, axes = image(self, xs[0])
        groups_divide(self, channels, "input channels")
        sizes = [
            (n - 1) * window.stride - window.before - window.after + window.span + extra
            for window, n, extra in zip(self.windows(xs[0]), axes, self.added_behind(len(axes)), strict=True)
        ]
        if any(less(size, 1) for size in sizes):
            raise self.error("the crop must leave at least one cell", f"sizes {shown(sizes)}")
        return (batch, self.filters, *sizes)

    def windows(self, x: Shape) -> tuple[Window, ...]:
        """The windows of the convolution whose adjoint this is."""
        _, _, *axes = x
        return self.by_rule(len(axes)) if isinstance(self.padding, str) else unchecked(self, axes)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return over([adjoint(window) for window in self.windows(xs[0])], mixing(self))

    def by_rule(self, rank: int) -> tuple[Window, ...]:
        """`same` crops span − stride cells, the odd one behind, and leaves size × stride; `valid` crops none.

        Where the span is smaller than the stride, both add the missing cells behind.
        """
        windows = []
        for field in zip(*(per_axis(self, name, rank) for name in ("kernel", "stride", "dilation")), strict=True):
            window = Window(kernel=field[0], stride=field[1], dilation=field[2])
            crop = window.span - window.stride
            if less(0, crop):
                crop = crop if self.padding == "same" else 0
            before = crop // 2 if less(0, crop) else 0
            windows.append(Window(window.kernel, window.stride, before, crop - before, window.dilation))
        return tuple(windows)

    def added_behind(self, rank: int) -> tuple[int, ...]:
        """Output padding per axis, checked against the stops that it must not add."""
        extra = per_axis(self, "output_padding", rank)
        stride, dilation = per_axis(self, "stride", rank), per_axis(self, "dilation", rank)
        for cells, s, d in zip(extra, stride, dilation, strict=True):
            if not less(cells, s) and not less(cells, d):
                got = f"output_padding={cells}, stride={s}, dilation={d}"
                raise self.error("output_padding must be smaller than the stride or the dilation", got)
        return extra

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        _, channels, *axes = xs[0]
        shape = (channels, self.filters // self.groups, *per_axis(self, "kernel", len(axes)))
        return with_bias(Weight(shape), self.filters, self.bias)

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        batch, channels, *cells = xs[0]
        kernel = prod(per_axis(self, "kernel", len(cells)))
        return batch * prod(cells) * channels * (self.filters // self.groups) * kernel

    def macs_exact(self, xs: Sequence[Shape], y: Shape) -> int:
        batch, channels, *cells = xs[0]
        _, _, *sizes = y
        landed = taps_inside(self.windows(xs[0]), sizes, cells)
        return batch * channels * (self.filters // self.groups) * landed

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        _, _, *cells = xs[0]
        batch, filters, *sizes = y
        windows = self.windows(xs[0])
        reached = prod(w.cells_reached(size, n) for w, size, n in zip(windows, sizes, cells, strict=True))
        return linear_ops(self.macs(xs, y), batch * filters * reached, prod(y), self.bias)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0])

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        _, _, *cells = xs[0]
        batch, filters, *_ = y
        windows = self.windows(xs[0])
        if evenly_padded(windows) and not isinstance(self.padding, str):
            return (), ()
        full = [(n - 1) * w.stride + w.span + largest(-w.after, 0) for w, n in zip(windows, cells, strict=True)]
        whole = batch * filters * prod(full)  # PyTorch crops evenly; otherwise a whole output is made first
        made = prod(xs[0]) + sum(prod(weight.shape) for weight in self.weights(*xs).values())
        return own(whole), own(largest(whole - prod(y), whole - made))  # what arrived goes before gradients are made

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        batch, channels, *cells = xs[0]
        kernel = prod(per_axis(self, "kernel", len(cells)))
        filters = self.filters // self.groups
        return Product(self.groups, batch * prod(cells), filters * kernel, channels // self.groups)

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        batch, channels, *cells = xs[0]
        return (batch * channels * windows_that_meet(self.windows(xs[0]), y[2:], cells),)

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        _, channels, *cells = xs[0]
        windows = zip(self.windows(xs[0]), y[2:], cells, strict=True)
        taps = prod(window.taps_that_meet(size, n) for window, size, n in windows)
        return channels * (self.filters // self.groups) * taps + (self.filters if self.bias else 0)


@register("depthwise_conv", example="depthwise_conv: {kernel: 3, padding: same}", on=[(1, 32, 112, 112)])
class DepthwiseConv(Composite, frozen=True):
    """Convolve each channel by itself, with `multiplier` filters each: a convolution with as many groups as channels.

    Output, parameters and operations: those of conv with filters = channels × multiplier and groups = channels.
    Source: the DepthwiseConv layers of Keras.
    """

    kernel: Kernel
    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1
    multiplier: Annotated[int, Meta(description="filters for each channel")] = 1
    bias: Bias = True

    at_least: ClassVar = {"kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "multiplier": 1}

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        _, channels, _ = image(self, xs[0])
        return (Part("", depthwise(self, channels, bias=self.bias)),)


@register("separable_conv", example="separable_conv: {filters: 128, kernel: 3, padding: same}", on=[(1, 64, 147, 147)])
class SeparableConv(Composite, frozen=True):
    """A depthwise convolution without bias, then a convolution of one tap that mixes the channels.

    Parameters: channels × multiplier × kernel + filters × channels × multiplier, plus filters with bias.
    Source: Chollet, Xception (2017); the SeparableConv layers of Keras.
    """

    filters: Filters
    kernel: Kernel
    stride: Stride = 1
    padding: Pad = 0
    dilation: Dilation = 1
    multiplier: Annotated[int, Meta(description="filters for each channel in the depthwise part")] = 1
    bias: Bias = True

    at_least: ClassVar = {
        "filters": 1, "kernel": 1, "stride": 1, "padding": 0, "dilation": 1, "multiplier": 1
    }  # fmt: skip

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        _, channels, _ = image(self, xs[0])
        pointwise = Conv(filters=self.filters, kernel=1, bias=self.bias)
        return (Part("depthwise", depthwise(self, channels, bias=False)), Part("pointwise", pointwise, ("depthwise",)))


def mixing(layer: Conv | ConvTranspose) -> Channels:
    """Does every filter see all channels? Otherwise each sees some."""
    return "mixed" if layer.groups == 1 else "each"


def depthwise(layer: Any, channels: int, *, bias: bool) -> Conv:
    """The grouped convolution inside a depthwise or separable one."""
    return Conv(
        filters=channels * layer.multiplier,
        kernel=layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=channels,
        bias=bias,
    )


def with_bias(weight: Weight, filters: int, bias: bool) -> dict[str, Weight]:
    """The tensors of a linear kind, named as frameworks name them."""
    return {"weight": weight, "bias": Weight((filters,))} if bias else {"weight": weight}
