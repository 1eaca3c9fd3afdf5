"""The door to the programs: each kind has one, found by its class."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import singledispatch
from itertools import product
from typing import Any

import numpy as np

from archcalc.crosscheck.naive.number import Array, Number
from archcalc.layers.layer import Layer

Weights = Mapping[str, Array]


@singledispatch
def compute(layer: Layer, xs: Sequence[Array], weights: Weights) -> Array:
    """The output of a layer, computed number by number; registering a function gives another kind its program."""
    raise NotImplementedError(layer.kind)


def has_program(layer: Layer) -> bool:
    """Is there a program for this kind?"""
    return compute.dispatch(type(layer)) is not compute.dispatch(object)


def filled(shape: Sequence[int], value: Callable[..., Number]) -> Array:
    """An array whose cell at each index is the value there."""
    y = np.empty(tuple(shape), dtype=object)
    for at in np.ndindex(*y.shape):
        y[at] = value(*at)
    return y


def each(x: Array, function: Callable[[Number], Number]) -> Array:
    """The function of every element."""
    return filled(x.shape, lambda *at: function(x[at]))


def positions(axes: int | tuple[int, ...], rank: int) -> list[int]:
    """Axes as numbers from 0."""
    return [axis % rank for axis in (axes if isinstance(axes, tuple) else (axes,))]


def rows(shape: Sequence[int], axes: Sequence[int]) -> Iterator[list[tuple[int, ...]]]:
    """The indices of an array in rows: those of one row differ only along the axes."""
    for start in product(*(range(n) if axis not in axes else [0] for axis, n in enumerate(shape))):
        yield list(product(*(range(n) if axis in axes else [start[axis]] for axis, n in enumerate(shape))))


def plus(value: Number, bias: Any, place: Any) -> Number:
    """With the bias of that place, where there is one."""
    return value if bias is None else value + bias[place]
