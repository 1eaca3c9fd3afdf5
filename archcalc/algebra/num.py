"""Arithmetic over any number: Python integers, numpy arrays, sympy expressions.

Formulas are annotated `int`, the reading that every user meets first; a body that uses only `+ - * // **`
and the functions of this file gives the same answer in the other readings.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

Relation = Literal["less", "differ"]
Guide = Callable[[Relation, Any, Any], bool | None]

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
    if _symbolic(a, b):
        known = _less(a, b)
        return _asked("less", a, b) if known is None else known
    return _known(a < b)


def differ(a: int, b: int) -> bool | None:
    """Are a and b unequal: True and False when known, None otherwise.

    >>> differ(3, 5), differ(4, 4)
    (True, False)
    """
    if type(a) is int and type(b) is int:
        return a != b
    if _symbolic(a, b):
        zero = _normal(a - b).is_zero  # sympy's own three-valued answer
        if zero is not None or _less(a, b) or _less(b, a):
            return not zero
        return _asked("differ", a, b)
    return _known(a != b)


def divides(divisor: int, n: int) -> bool | None:
    """Does divisor divide n without rest: True and False when known, None otherwise.

    >>> divides(3, 64)
    False
    """
    rest = differ(n % divisor, 0)
    return None if rest is None else not rest


_guide: ContextVar[Guide | None] = ContextVar("guide", default=None)


@contextmanager
def guided(guide: Guide) -> Iterator[None]:
    """Within, what depends on symbols is answered by a guide: True or False as if it were known, or None."""
    token = _guide.set(guide)
    try:
        yield
    finally:
        _guide.reset(token)


def _asked(relation: Relation, a: Any, b: Any) -> bool | None:
    guide = _guide.get()
    return None if guide is None else guide(relation, a, b)


def called(n: int, name: str) -> int:
    """The same number; one that remembers how it was made goes by this name from here on."""
    return n if type(n) is int or not hasattr(n, "called") else n.called(name)


def is_symbolic(n: Any) -> bool:
    """Does it stand for a number that is not known: a sympy expression?"""
    return hasattr(n, "free_symbols")


def _symbolic(a: Any, b: Any) -> bool:
    return is_symbolic(a) or is_symbolic(b)


def _normal(expression: Any) -> Any:
    from archcalc.algebra.symbolic import normal

    return normal(expression)


def _less(a: Any, b: Any) -> bool | None:
    from archcalc.algebra.symbolic import at_least

    if at_least(b - a, 1):
        return True
    return False if at_least(a - b, 0) else None


def _known(answer: Any) -> bool | None:
    if answer is True or answer is False:
        return bool(answer)
    if not hasattr(answer, "all"):  # another kind of number, that decides by itself
        return bool(answer)
    return bool(answer.flat[0]) if answer.all() or not answer.any() else None


def _choose(array: str, symbol: str, a: Any, b: Any) -> Any:
    if _symbolic(a, b):
        from archcalc.algebra import symbolic

        a, b = symbolic.normal(a), symbolic.normal(b)
        return symbolic.Largest(a, b) if symbol == "Max" else symbolic.smallest(a, b)
    if not (hasattr(a, "shape") or hasattr(b, "shape")):  # fractions, and others that decide by themselves
        return a if bool(a > b) == (symbol == "Max") else b
    import numpy

    return getattr(numpy, array)(a, b)
