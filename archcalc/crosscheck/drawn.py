"""What random configurations are drawn from: ranks, sizes, paddings and shapes, and that a layer takes them."""

from collections.abc import Callable
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from archcalc import layers
from archcalc.errors import LayerError
from archcalc.layers.layer import Layer, Shape

Case = tuple[Layer, tuple[Shape, ...]]  # a layer and input shapes that it takes
Draw = Callable[[st.SearchStrategy[Any]], Any]

ranks = st.integers(1, 3)
batches = st.integers(1, 2)
WORDS = ("valid", "same")


def axes(rank: int, low: int = 1, high: int = 12) -> st.SearchStrategy[tuple[int, ...]]:
    """Sizes of spatial axes, smaller where there are three."""
    return st.lists(st.integers(low, high if rank < 3 else min(high, 6)), min_size=rank, max_size=rank).map(tuple)


def per_axis(rank: int, low: int, high: int) -> st.SearchStrategy[Any]:
    """One number, or one per axis."""
    number = st.integers(low, high)
    return number | st.lists(number, min_size=rank, max_size=rank).map(tuple)


def pairs(rank: int, high: int = 2) -> st.SearchStrategy[Any]:
    """Cells before and behind, per axis."""
    pair = st.tuples(st.integers(0, high), st.integers(0, high))
    return st.lists(pair, min_size=rank, max_size=rank).map(tuple)


def padding(rank: int, words: tuple[str, ...] = WORDS) -> st.SearchStrategy[Any]:
    """Numbers, pairs, or a rule."""
    return per_axis(rank, 0, 3) | st.sampled_from(words) | pairs(rank)


def tensor(draw: Draw, least: int = 2, most: int = 5, channels: int | None = None) -> Shape:
    """A shape (batch, channels, …) of so many axes."""
    rank = draw(st.integers(least, most)) - 2
    return (draw(batches), channels or draw(st.integers(1, 5)), *draw(axes(rank, high=5)))


def image(draw: Draw, rank: int | None = None, channels: int | None = None, low: int = 1, high: int = 8) -> Shape:
    """A shape (batch, channels, *axes)."""
    rank = rank or draw(ranks)
    return (draw(batches), channels or draw(st.integers(1, 4)), *draw(axes(rank, low, high)))


def accepted(make: Callable[[], Layer], *xs: Shape) -> Case:
    """The case, if the fields go together and the layer takes the inputs."""
    try:
        layer = make()
        if isinstance(layer, layers.Composite):
            layer.parts(*xs)[0].layer.out(*xs)
        else:
            layer.out(*xs)
    except LayerError:
        assume(condition=False)
    return layer, xs
