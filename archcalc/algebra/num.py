"""Arithmetic over any number: Python integers, numpy arrays, sympy expressions.

Formulas are annotated `int`, the reading that every user meets first; a body that uses only `+ - * // **`
and the functions of this file gives the same answer in the other readings.
"""

import math
from typing import Any

LIMIT = 10**18  # no size or count of a field, and no intermediate value of an expression, of a real network comes near
prod = math.prod  # multiplies whatever numbers it is given; numpy.prod would wrap at 2**63
gcd = math.gcd  # of hyperparameters, which are integers in every reading


def ceil_div(a: int, b: int) -> int:
    """The quotient rounded up, by floor division alone.

    >>> ceil_div(7, 2), ceil_div(-7, 2)
    (4, -3)
    """
    return -(-a // b)


def largest(a: int, b: int) -> int:
    """The larger of two numbers, in whatever reading they are.

    >>> largest(3, 5)
    5
    """
    if isinstance(a, int) and isinstance(b, int):
        return a if a > b else b
    return _choose("maximum", "Max", a, b)


def smallest(a: int, b: int) -> int:
    """The smaller of two numbers, in whatever reading they are.

    >>> smallest(3, 5)
    3
    """
    if isinstance(a, int) and isinstance(b, int):
        return a if a < b else b
    return _choose("minimum", "Min", a, b)


def less(a: int, b: int) -> bool | None:
    """Is a < b: True and False when known, None when it depends on a symbol or differs over an array.

    >>> less(3, 5)
    True
    """
    return _known(a < b)


def differ(a: int, b: int) -> bool | None:
    """Are a and b unequal: True and False when known, None otherwise.

    >>> differ(3, 5), differ(4, 4)
    (True, False)
    """
    if type(a) is int and type(b) is int:
        return a != b
    zero = getattr(a - b, "is_zero", None)  # sympy's own three-valued answer
    if hasattr(a - b, "free_symbols"):
        return None if zero is None else not zero
    return _known(a != b)


def divides(divisor: int, n: int) -> bool | None:
    """Does divisor divide n without rest: True and False when known, None otherwise.

    >>> divides(3, 64)
    False
    """
    rest = differ(n % divisor, 0)
    return None if rest is None else not rest


def _known(answer: Any) -> bool | None:
    if answer is True or answer is False:
        return bool(answer)
    if hasattr(answer, "free_symbols"):  # a sympy relation; only the decided ones convert to bool
        return bool(answer) if answer in (True, False) else None
    if not hasattr(answer, "all"):  # another kind of number, that decides by itself
        return bool(answer)
    return bool(answer.flat[0]) if answer.all() or not answer.any() else None


def _choose(array: str, symbol: str, a: Any, b: Any) -> Any:
    if hasattr(a, "free_symbols") or hasattr(b, "free_symbols"):
        import sympy

        return getattr(sympy, symbol)(a, b)
    if not (hasattr(a, "shape") or hasattr(b, "shape")):  # another kind of number, that decides by itself
        return a if bool(a > b) == (symbol == "Max") else b
    import numpy

    return getattr(numpy, array)(a, b)
