"""Random configurations of layers on random small inputs, for laws, naive counting and the real network."""

from hypothesis import assume
from hypothesis import strategies as st

from archcalc import layers
from archcalc.errors import LayerError

ranks = st.integers(1, 3)


def axes(rank, low=1, high=12):
    return st.lists(st.integers(low, high if rank < 3 else 6), min_size=rank, max_size=rank).map(tuple)


def per_axis(rank, low, high):
    """One number, or one per axis."""
    number = st.integers(low, high)
    return number | st.lists(number, min_size=rank, max_size=rank).map(tuple)


def padding(rank, words=("valid", "same")):
    pair = st.tuples(st.integers(0, 2), st.integers(0, 2))
    return per_axis(rank, 0, 3) | st.sampled_from(words) | st.lists(pair, min_size=rank, max_size=rank).map(tuple)


@st.composite
def convs(draw):
    """A convolution and an input that it takes."""
    rank, groups = draw(ranks), draw(st.sampled_from([1, 1, 2, 3]))
    layer = layers.Conv(
        filters=groups * draw(st.integers(1, 3)),
        kernel=draw(per_axis(rank, 1, 4)),
        stride=draw(per_axis(rank, 1, 3)),
        padding=draw(padding(rank, ("valid", "same", "causal") if rank == 1 else ("valid", "same"))),
        dilation=draw(per_axis(rank, 1, 3)),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return accepted(layer, (draw(st.integers(1, 2)), groups * draw(st.integers(1, 3)), *draw(axes(rank))))


@st.composite
def transposed(draw):
    """A transposed convolution and an input that it takes."""
    rank, groups = draw(ranks), draw(st.sampled_from([1, 1, 2]))
    layer = layers.ConvTranspose(
        filters=groups * draw(st.integers(1, 2)),
        kernel=draw(per_axis(rank, 1, 4)),
        stride=draw(per_axis(rank, 1, 3)),
        padding=(pad := draw(padding(rank))),
        output_padding=0 if isinstance(pad, str) else draw(per_axis(rank, 0, 2)),
        dilation=draw(per_axis(rank, 1, 3)),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return accepted(layer, (draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *draw(axes(rank, high=5))))


@st.composite
def pools(draw):
    """A pool over windows and an input that it takes."""
    rank = draw(ranks)
    stride = draw(st.none() | per_axis(rank, 1, 4))
    fields = {"kernel": draw(per_axis(rank, 1, 4)), "stride": stride, "padding": draw(padding(rank))}
    fields["ceil_mode"] = draw(st.booleans())
    try:
        if draw(st.booleans()):
            layer = layers.MaxPool(**fields, dilation=draw(per_axis(rank, 1, 3)))
        else:
            layer = layers.AvgPool(**fields, count_include_pad=draw(st.none() | st.booleans()))
    except LayerError:
        assume(False)
    return accepted(layer, (draw(st.integers(1, 2)), draw(st.integers(1, 3)), *draw(axes(rank))))


def accepted(layer, x):
    """The pair, if the layer takes the input."""
    try:
        layer.out(x)
    except LayerError:
        assume(False)
    return layer, x
