"""Random configurations of the kinds that pick, turn, look up, compare and give cells."""

from collections.abc import Callable
from math import prod

from hypothesis import strategies as st

from archcalc import layers
from archcalc.crosscheck.drawn import Case, Draw, accepted, axes, batches, image, padding, per_axis, ranks, tensor
from archcalc.layers.layer import Kind, Layer, Shape


def any_axis(draw: Draw, x: Shape, first: int = 0) -> int:
    """An axis, from the start or from the end."""
    axis = draw(st.integers(first, len(x) - 1))
    return draw(st.sampled_from([axis, axis - len(x)]))  # type: ignore[no-any-return]


@st.composite
def slices(draw: Draw, kind: Kind) -> Case:
    """Some cells of an axis, also by numbers beyond its ends."""
    x = tensor(draw)
    axis, ends = any_axis(draw, x), st.integers(-7, 7)
    fields = {"start": draw(ends), "stop": draw(st.none() | ends), "step": draw(st.integers(1, 3))}
    return accepted(lambda: layers.Slice(axis=axis, drop=draw(st.booleans()), **fields), x)


@st.composite
def expansions(draw: Draw, kind: Kind) -> Case:
    """Some axes of size 1 repeated."""
    x = tuple(draw(st.sampled_from([1, n])) for n in tensor(draw))
    shape = tuple(draw(st.sampled_from([-1, n])) if n > 1 else draw(st.sampled_from([-1, 1, 3])) for n in x)
    return accepted(lambda: layers.Expand(shape=shape), x)


@st.composite
def look_ups(draw: Draw, kind: Kind) -> Case:
    """Indices looked up along any axis."""
    x = tensor(draw, most=4)
    axis = any_axis(draw, x)
    return accepted(lambda: layers.Gather(axis=axis), x, draw(axes(draw(st.integers(1, 2)), high=4)))


@st.composite
def rolls(draw: Draw, kind: Kind) -> Case:
    """Cells moved along some axes, or those turned round."""
    x = tensor(draw)
    chosen = tuple(draw(st.lists(st.integers(1, len(x) - 1), min_size=1, unique=True)))
    if kind.cls is layers.Flip:
        return accepted(lambda: layers.Flip(axes=draw(st.sampled_from([chosen, chosen[0] - len(x)]))), x)
    shifts = tuple(draw(st.lists(st.integers(-6, 6), min_size=len(chosen), max_size=len(chosen))))
    return accepted(lambda: layers.Roll(axes=chosen, shifts=shifts), x)


@st.composite
def sources(draw: Draw, kind: Kind) -> Case:
    """A tensor by itself, as it is or with axes in front."""
    shape = draw(axes(draw(ranks), high=4))
    front = draw(st.none() | st.integers(len(shape), 4))
    if kind.cls is layers.Parameter:
        role = draw(st.sampled_from(["trainable", "buffer"]))
        return accepted(lambda: layers.Parameter(shape=shape, axes=front, role=role))
    dtype = draw(st.sampled_from([None, "int64", "bool"]))
    return accepted(lambda: layers.Constant(shape=shape, axes=front, dtype=dtype))


@st.composite
def clamps(draw: Draw, kind: Kind) -> Case:
    """Either bound, or both."""
    bound = st.sampled_from([-1.0, 0.0, 0.5])
    low, high = draw(st.none() | bound), draw(st.none() | bound)
    return accepted(lambda: layers.Clamp(low=low, high=high), tensor(draw))


@st.composite
def comparisons(draw: Draw, kind: Kind) -> Case:
    """Inputs of which some axes are repeated, compared or selected from."""
    whole = tensor(draw)
    count = draw(st.integers(1, 2)) if kind.cls is layers.Compare else 3
    others = [(whole[0], *(draw(st.sampled_from([n, n, 1])) for n in whole[1:])) for _ in range(count - 1)]
    inputs = draw(st.permutations([whole, *others]))
    if kind.cls is layers.Where:
        return accepted(layers.Where, *inputs)
    relation = draw(st.sampled_from(["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]))
    return accepted(lambda: layers.Compare(relation=relation, value=draw(st.sampled_from([0.0, 0.5]))), *inputs)


@st.composite
def along_any_axis(draw: Draw, kind: Kind) -> Case:
    """A kind that works along one axis, which may be the batch for the largest's place."""
    x = tensor(draw)
    if kind.cls is layers.ArgMax:
        axis, keep = any_axis(draw, x), draw(st.booleans())
        return accepted(lambda: layers.ArgMax(axis=axis, keep_axis=keep), x)
    return accepted(lambda: kind.cls(axis=any_axis(draw, x, 1)), x)


@st.composite
def columns(draw: Draw, kind: Kind) -> Case:
    """Windows over two axes laid out as columns, or columns added up under them."""
    rank, x = 2, image(draw, 2)
    fields = {
        "kernel": draw(per_axis(rank, 1, 3)),
        "stride": draw(per_axis(rank, 1, 3)),
        "padding": draw(padding(rank)),
        "dilation": draw(per_axis(rank, 1, 2)),
    }
    unfold, xs = accepted(lambda: layers.Unfold(**fields), x)
    if kind.cls is layers.Unfold:
        return unfold, xs
    return accepted(lambda: layers.Fold(size=x[2:], **fields), unfold.out(x))


@st.composite
def weighted(draw: Draw, kind: Kind) -> Case:
    """A convolution by an input, in groups or not."""
    rank, groups = draw(ranks), draw(st.sampled_from([1, 1, 2]))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel = (filters, channels // groups, *draw(axes(rank, high=3)))
    fields = {"stride": draw(per_axis(rank, 1, 2)), "padding": draw(padding(rank)), "groups": groups}
    bias = [(filters,)] if draw(st.booleans()) else []
    x = (draw(batches), channels, *draw(axes(rank, low=3, high=6 if prod(kernel) < 40 else 4)))
    return accepted(lambda: layers.WeightedConv(**fields), x, kernel, *bias)


STRATEGIES: dict[type[Layer], Callable[[Kind], st.SearchStrategy[Case]]] = {
    layers.Slice: slices,
    layers.Expand: expansions,
    layers.Gather: look_ups,
    layers.Roll: rolls,
    layers.Flip: rolls,
    layers.Parameter: sources,
    layers.Constant: sources,
    layers.Clamp: clamps,
    layers.Compare: comparisons,
    layers.Where: comparisons,
    layers.ArgMax: along_any_axis,
    layers.CumulativeSum: along_any_axis,
    layers.Normalize: along_any_axis,
    layers.Unfold: columns,
    layers.Fold: columns,
    layers.WeightedConv: weighted,
}
