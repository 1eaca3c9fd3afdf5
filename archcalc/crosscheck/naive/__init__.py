"""Each kind as a program on single numbers, which count what is done to them: slow, and plain to see.

No formula of a kind is used, only what it states of its windows. The results are compared with the real network, so
that what is counted is known to be what the layer computes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from archcalc.algebra.ops import Ops
from archcalc.crosscheck.naive import attention, elements, grid, linear, moves, recurrent
from archcalc.crosscheck.naive.number import Array, Number, Tally, counted
from archcalc.crosscheck.naive.program import compute, has_program
from archcalc.layers.layer import Layer

__all__ = ["Number", "attention", "compute", "elements", "grid", "has_program", "linear", "moves", "recurrent", "run"]


def run(layer: Layer, xs: Sequence[Array], weights: Mapping[str, Array]) -> tuple[Array, Ops, int]:
    """The output for plain arrays, the operations that it took, and the products of its linear part off padding.

    >>> from archcalc.layers import Conv
    >>> weights = {"weight": np.ones((1, 1, 3)), "bias": np.zeros(1)}
    >>> y, ops, inside = run(Conv(filters=1, kernel=3, padding=1), [np.ones((1, 1, 4))], weights)
    >>> y.tolist(), ops, inside
    ([[[2.0, 3.0, 3.0, 2.0]]], Ops(mul=12, add=12, cmp=0, div=0, exp=0), 10)
    """
    tally = Tally()
    y = compute(layer, [counted(x, tally) for x in xs], {name: counted(w, tally) for name, w in weights.items()})
    values = np.array([number.value for number in y.flat], dtype=float).reshape(y.shape)
    return values, tally.ops, tally.mul - tally.on_padding - tally.beside
