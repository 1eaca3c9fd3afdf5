"""Random configurations of every kind on small inputs, as Hypothesis strategies: what they find is made small."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from archcalc import layers
from archcalc.crosscheck import strategies_attention, strategies_moves, strategies_sequence
from archcalc.crosscheck.drawn import (
    WORDS,
    Case,
    Draw,
    accepted,
    axes,
    batches,
    image,
    padding,
    pairs,
    per_axis,
    ranks,
    tensor,
)
from archcalc.dialects.kinds import example_layer
from archcalc.layers.layer import KINDS, Kind, Layer


@st.composite
def convs(draw: Draw, kind: Kind = KINDS["conv"]) -> Case:
    """A convolution, in groups or not."""
    rank, groups = draw(ranks), draw(st.sampled_from([1, 1, 2, 3]))
    fields = windowed(draw, rank, 4)
    fields |= {"filters": groups * draw(st.integers(1, 3)), "groups": groups, "bias": draw(st.booleans())}
    x = image(draw, rank, groups * draw(st.integers(1, 3)), high=12)
    return accepted(lambda: layers.Conv(**fields), x)


def windowed(draw: Draw, rank: int, kernel: int) -> dict[str, Any]:
    """Kernel, stride, padding and dilation of a convolution."""
    words = (*WORDS, "causal") if rank == 1 else WORDS
    return {
        "kernel": draw(per_axis(rank, 1, kernel)),
        "stride": draw(per_axis(rank, 1, 3)),
        "padding": draw(padding(rank, words)),
        "dilation": draw(per_axis(rank, 1, 3)),
    }


@st.composite
def transposed(draw: Draw, kind: Kind = KINDS["conv_transpose"]) -> Case:
    """A transposed convolution, cropped in every way."""
    rank, groups = draw(ranks), draw(st.sampled_from([1, 1, 2]))
    pad = draw(padding(rank))
    fields = {
        "filters": groups * draw(st.integers(1, 2)),
        "kernel": draw(per_axis(rank, 1, 4)),
        "stride": draw(per_axis(rank, 1, 3)),
        "padding": pad,
        "output_padding": 0 if isinstance(pad, str) else draw(per_axis(rank, 0, 2)),
        "dilation": draw(per_axis(rank, 1, 3)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return accepted(lambda: layers.ConvTranspose(**fields), image(draw, rank, groups * draw(st.integers(1, 2)), high=5))


@st.composite
def by_channel(draw: Draw, kind: Kind) -> Case:
    """A depthwise or separable convolution."""
    rank = draw(ranks)
    fields = windowed(draw, rank, 3) | {"multiplier": draw(st.integers(1, 2)), "bias": draw(st.booleans())}
    if kind.cls is layers.SeparableConv:
        fields["filters"] = draw(st.integers(1, 3))
    return accepted(lambda: kind.cls(**fields), image(draw, rank))


@st.composite
def pools(draw: Draw, kind: Kind | None = None) -> Case:
    """A pool over windows; with no kind given, of either sort."""
    cls = kind.cls if kind else draw(st.sampled_from([layers.MaxPool, layers.AvgPool]))
    rank = draw(ranks)
    fields = {
        "kernel": draw(per_axis(rank, 1, 4)),
        "stride": draw(st.none() | per_axis(rank, 1, 4)),
        "padding": draw(padding(rank)),
        "ceil_mode": draw(st.booleans()),
    }
    if cls is layers.MaxPool:
        fields["dilation"] = draw(per_axis(rank, 1, 3))
    else:
        fields["count_include_pad"] = draw(st.none() | st.booleans())
    return accepted(lambda: cls(**fields), (draw(batches), draw(st.integers(1, 3)), *draw(axes(rank))))


@st.composite
def whole_pools(draw: Draw, kind: Kind) -> Case:
    """A pool over whole axes."""
    keep = draw(st.booleans())
    return accepted(lambda: kind.cls(keep_axes=keep), image(draw))


@st.composite
def adaptive_pools(draw: Draw, kind: Kind) -> Case:
    """A pool onto a given size."""
    rank = draw(ranks)
    size = draw(per_axis(rank, 1, 5))
    return accepted(lambda: kind.cls(size=size), image(draw, rank))


@st.composite
def denses(draw: Draw, kind: Kind) -> Case:
    """A dense layer on rows with any leading axes."""
    units, bias = draw(st.integers(1, 8)), draw(st.booleans())
    return accepted(lambda: layers.Dense(units=units, bias=bias), tensor(draw))


@st.composite
def products(draw: Draw, kind: Kind) -> Case:
    """A product of two inputs."""
    lead, (rows, inner, columns) = draw(axes(draw(st.integers(1, 3)), high=3)), draw(axes(3, high=5))
    turned, repeated = draw(st.booleans()), [draw(st.sampled_from([(n, n), (n, n), (1, n), (n, 1)])) for n in lead[1:]]
    second = (columns, inner) if turned else (inner, columns)
    leads = [(lead[0], *(pair[number] for pair in repeated)) for number in (0, 1)]
    return accepted(lambda: layers.MatMul(transpose_second=turned), (*leads[0], rows, inner), (*leads[1], *second))


@st.composite
def channel_norms(draw: Draw, kind: Kind) -> Case:
    """A batch or instance norm."""
    fields = {"affine": draw(st.booleans())}
    if kind.cls is layers.BatchNorm:
        fields["running"] = draw(st.booleans())
        if fields["affine"]:
            fields |= draw(st.sampled_from([{}, {"scale": False}, {"bias": False}]))
        return accepted(lambda: kind.cls(**fields), tensor(draw))
    return accepted(lambda: kind.cls(**fields), image(draw))


@st.composite
def group_norms(draw: Draw, kind: Kind) -> Case:
    """A norm over groups of channels."""
    groups, affine = draw(st.integers(1, 3)), draw(st.booleans())
    x = tensor(draw, channels=groups * draw(st.integers(1, 3)))
    return accepted(lambda: layers.GroupNorm(groups=groups, affine=affine), x)


@st.composite
def axis_norms(draw: Draw, kind: Kind) -> Case:
    """A norm over some axes."""
    x = tensor(draw)
    chosen = draw(st.lists(st.integers(1, len(x) - 1), min_size=1, unique=True))
    fields: dict[str, Any] = {"axes": draw(st.sampled_from([-1, tuple(chosen)])), "affine": draw(st.booleans())}
    if kind.cls is layers.LayerNorm:
        fields["bias"] = draw(st.booleans())
    return accepted(lambda: kind.cls(**fields), x)


@st.composite
def response_norms(draw: Draw, kind: Kind) -> Case:
    """A norm over neighbouring channels."""
    size = draw(st.integers(1, 6))
    return accepted(lambda: layers.LocalResponseNorm(size=size), image(draw, channels=draw(st.integers(1, 6)), high=4))


@st.composite
def elementwise(draw: Draw, kind: Kind) -> Case:
    """A function of every element, with its parameter or without."""
    fields = dict(kind.fixed)
    if kind.name in (
        "leaky_relu", "elu", "celu", "threshold", "hardshrink", "softshrink", "scale", "shift", "power"
    ):  # fmt: skip
        fields["alpha"] = draw(st.sampled_from([None, 0.25, 1.5]))
    return accepted(lambda: kind.cls(**fields), tensor(draw))


@st.composite
def slopes(draw: Draw, kind: Kind) -> Case:
    """A learned slope for all, or for each channel."""
    each = draw(st.booleans())
    return accepted(lambda: layers.PReLU(per_channel=each), tensor(draw))


@st.composite
def along_an_axis(draw: Draw, kind: Kind) -> Case:
    """A kind that works along one axis."""
    x = tensor(draw)
    axis = draw(st.integers(1, len(x) - 1))
    if kind.cls is layers.GLU:
        x = tuple(2 * n if at == axis else n for at, n in enumerate(x))
    signed = draw(st.sampled_from([axis, axis - len(x)]))
    return accepted(lambda: kind.cls(axis=signed), x)


@st.composite
def dropouts(draw: Draw, kind: Kind) -> Case:
    """Any dropout, also of nothing and of everything."""
    rate = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    return accepted(lambda: kind.cls(**kind.fixed, rate=rate), tensor(draw))


@st.composite
def flattens(draw: Draw, kind: Kind) -> Case:
    """Axes joined into one."""
    x = tensor(draw)
    start = draw(st.integers(1, len(x) - 1))
    end = draw(st.integers(start, len(x) - 1))
    return accepted(lambda: layers.Flatten(start=start, end=draw(st.sampled_from([end, end - len(x)]))), x)


@st.composite
def reshapes(draw: Draw, kind: Kind) -> Case:
    """The same values in another shape."""
    sizes, whole = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)), draw(st.booleans())
    x = (draw(batches), *sizes)
    shape = list(draw(st.permutations(x if whole else sizes)))
    if draw(st.booleans()):
        shape[draw(st.integers(0, len(shape) - 1))] = -1
    return accepted(lambda: layers.Reshape(shape=tuple(shape), whole=whole), x)


@st.composite
def permutations(draw: Draw, kind: Kind) -> Case:
    """The axes in another order."""
    x = tensor(draw)
    order = draw(st.permutations(range(1, len(x))).map(lambda rest: (0, *rest)) | st.permutations(range(len(x))))
    return accepted(lambda: layers.Permute(order=tuple(order), whole=order[0] != 0), x)


@st.composite
def margins(draw: Draw, kind: Kind) -> Case:
    """Cells added to the axes, or cut from them."""
    rank = draw(ranks)
    fields = {"amount": draw(per_axis(rank, 0, 3) | pairs(rank))}
    if kind.cls is layers.Pad:
        fields["mode"] = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    return accepted(lambda: kind.cls(**fields), image(draw, rank))


@st.composite
def shuffles(draw: Draw, kind: Kind) -> Case:
    """Channels laid out as cells, or cells as channels."""
    factor, (batch, channels, *cells) = draw(st.integers(1, 3)), image(draw, high=3)
    if kind.cls is layers.PixelShuffle:
        return accepted(lambda: layers.PixelShuffle(factor=factor), (batch, channels * factor ** len(cells), *cells))
    x = (batch, channels, *(n * factor for n in cells))
    return accepted(lambda: layers.PixelUnshuffle(factor=factor), x)


@st.composite
def embeddings(draw: Draw, kind: Kind) -> Case:
    """A table of vectors."""
    vocabulary, width = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    x = (draw(batches), *draw(axes(draw(st.integers(1, 2)), high=5)))
    return accepted(lambda: layers.Embedding(vocabulary=vocabulary, width=width), x)


@st.composite
def resizes(draw: Draw, kind: Kind) -> Case:
    """Another grid, by a factor, a size or another input; PyTorch's bicubic has two axes."""
    rank = draw(ranks)
    fields: dict[str, Any] = {
        "mode": draw(st.sampled_from(["nearest", "bilinear", "bicubic"] if rank == 2 else ["nearest", "bilinear"]))
    }
    fields["align_corners"] = fields["mode"] != "nearest" and draw(st.booleans())
    x, how = image(draw, rank, high=6), draw(st.sampled_from(["scale", "size", "like"]))
    if how == "like":
        other = image(draw, rank, high=6)
        return accepted(lambda: layers.Resize(**fields), x, (x[0], *other[1:]))
    fields[how] = draw(per_axis(rank, 1, 3 if how == "scale" else 7))
    return accepted(lambda: layers.Resize(**fields), x)


@st.composite
def combinations(draw: Draw, kind: Kind) -> Case:
    """Two or three inputs, some of whose axes are repeated; the first is whole."""
    whole = tensor(draw)
    others = [
        (whole[0], *(draw(st.sampled_from([n, n, 1])) for n in whole[1:])) for _ in range(draw(st.integers(1, 2)))
    ]
    inputs = draw(st.permutations([whole, *others]))
    return accepted(lambda: kind.cls(**kind.fixed), *inputs)


@st.composite
def concatenations(draw: Draw, kind: Kind) -> Case:
    """One to three inputs side by side."""
    x = tensor(draw)
    axis = draw(st.integers(1, len(x) - 1))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    inputs = [(*x[:axis], n, *x[axis + 1 :]) for n in sizes]
    return accepted(lambda: layers.Concat(axis=draw(st.sampled_from([axis, axis - len(x)]))), *inputs)


@st.composite
def reductions(draw: Draw, kind: Kind) -> Case:
    """Some axes replaced by one number each."""
    x = tensor(draw)
    whole = draw(st.booleans())
    chosen = draw(st.lists(st.integers(0 if whole else 1, len(x) - 1), min_size=1, unique=True))
    fields = {"axes": draw(st.sampled_from([chosen[0] - len(x), tuple(chosen)])), "keep_axes": draw(st.booleans())}
    return accepted(lambda: kind.cls(**kind.fixed, **fields, whole=whole), x)


STRATEGIES: dict[type[Layer], Callable[[Kind], st.SearchStrategy[Case]]] = {
    **strategies_sequence.STRATEGIES,
    **strategies_moves.STRATEGIES,
    **strategies_attention.STRATEGIES,
    layers.Conv: convs,
    layers.ConvTranspose: transposed,
    layers.DepthwiseConv: by_channel,
    layers.SeparableConv: by_channel,
    layers.MaxPool: pools,
    layers.AvgPool: pools,
    layers.GlobalAvgPool: whole_pools,
    layers.GlobalMaxPool: whole_pools,
    layers.AdaptiveAvgPool: adaptive_pools,
    layers.AdaptiveMaxPool: adaptive_pools,
    layers.Dense: denses,
    layers.MatMul: products,
    layers.BatchNorm: channel_norms,
    layers.InstanceNorm: channel_norms,
    layers.GroupNorm: group_norms,
    layers.LayerNorm: axis_norms,
    layers.RMSNorm: axis_norms,
    layers.LocalResponseNorm: response_norms,
    layers.Activation: elementwise,
    layers.PReLU: slopes,
    layers.GLU: along_an_axis,
    layers.Softmax: along_an_axis,
    layers.LogSoftmax: along_an_axis,
    layers.Dropout: dropouts,
    layers.Identity: elementwise,
    layers.Flatten: flattens,
    layers.Reshape: reshapes,
    layers.Permute: permutations,
    layers.Pad: margins,
    layers.Crop: margins,
    layers.PixelShuffle: shuffles,
    layers.PixelUnshuffle: shuffles,
    layers.Embedding: embeddings,
    layers.Resize: resizes,
    layers.Combine: combinations,
    layers.Concat: concatenations,
    layers.Reduce: reductions,
}


def cases(kind: Kind) -> st.SearchStrategy[Case]:
    """Configurations of a kind; of one that has no strategy, its registered example."""
    if kind.cls in STRATEGIES:
        return STRATEGIES[kind.cls](kind)
    return st.just((example_layer(kind), kind.on))
