"""Floor division in a normal form, and what is known of the sign of an expression."""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache, reduce
from math import gcd, lcm
from typing import Any

import sympy


class FloorDiv(sympy.Function):  # type: ignore[misc]
    r"""The quotient of two integers rounded down, in normal form: nested ones flattened, multiples pulled out.

    $\lfloor(\lfloor x/a\rfloor + c)/b\rfloor = \lfloor(x + ac)/(ab)\rfloor$ for integers.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> FloorDiv(2 * H - 1, 2), FloorDiv(FloorDiv(H + 1, 2) + 1, 2), -FloorDiv(-H, 4)
    (H - 1, FloorDiv(H + 3, 4), FloorDiv(H + 3, 4))
    """

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, p: Any, q: Any) -> Any:
        """The normal form; None where it is one already, or where the divisor is no positive integer."""
        if not (q.is_Integer and q > 0):
            return None
        given = (p, q)
        p, q = _cleared(sympy.expand(p), q)
        whole, rest = _multiples(p, q, exactly=True)
        if _leading(rest) < 0:  # rounding down a negative is minus rounding up a positive
            return whole - cls(-rest + q - 1, q)
        more, rest = _multiples(rest, q, exactly=False)
        if rest.is_Integer:
            return whole + more  # what is left is less than one
        smaller, divisor = _flattened(cls, *_cancelled(rest, q))
        if (smaller, divisor) == given:
            return None
        return whole + more + cls(smaller, divisor)


def _cleared(p: Any, q: Any) -> tuple[Any, Any]:
    """Numerator and divisor without fractions: what is a whole number only together, such as H/32, stays exact."""
    common = lcm(*(int(term.as_coeff_Mul()[0].q) for term in sympy.Add.make_args(p) if _rational(term)))
    return (p, q) if common == 1 else (sympy.expand(p * common), q * common)


def _rational(term: Any) -> bool:
    return bool(term.as_coeff_Mul()[0].is_Rational)


def _multiples(p: Any, q: Any, *, exactly: bool) -> tuple[Any, Any]:
    """Write p as whole · q + rest: of terms that q divides, or of every term, so that coefficients lie in 0 … q − 1."""
    whole = rest = sympy.Integer(0)
    for term in sympy.Add.make_args(p):
        number, name = term.as_coeff_Mul()
        quotient, remainder = divmod(number, q)
        if exactly and remainder != 0:
            quotient, remainder = sympy.Integer(0), number
        whole, rest = whole + quotient * name, rest + remainder * name
    return whole, rest


def _leading(p: Any) -> Any:
    """The coefficient of the first term that is no constant; 0 if there is none."""
    terms = sorted((term for term in sympy.Add.make_args(p) if not term.is_Integer), key=_name)
    return terms[0].as_coeff_Mul()[0] if terms else 0


def _name(term: Any) -> Any:
    return sympy.default_sort_key(term.as_coeff_Mul()[1])


def _cancelled(p: Any, q: Any) -> tuple[Any, Any]:
    """Without the factors that q has in common with every coefficient; the constant is rounded down."""
    constant, rest = p.as_coeff_Add()
    common = gcd(int(q), *(int(term.as_coeff_Mul()[0]) for term in sympy.Add.make_args(rest)))
    return sympy.expand(rest / common) + constant // common, q // common


def _flattened(cls: Any, p: Any, q: Any) -> tuple[Any, Any]:
    """A quotient of a quotient as one."""
    for term in sorted(sympy.Add.make_args(p), key=_name):
        if isinstance(term, cls) and term.args[1].is_Integer:
            inner, divisor = term.args
            return sympy.expand(inner + divisor * (p - term)), q * divisor
    return p, q


class Largest(sympy.Function):  # type: ignore[misc]
    """The larger of two integers; of itself where it is known which one that is.

    sympy's Max compares its arguments by every means that it has, which takes seconds for a network.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> Largest(H + 1, 1), Largest(H, 2)
    (H + 1, Largest(2, H))
    """

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, a: Any, b: Any) -> Any:
        """The one that is known to be at least the other; else both, in one order."""
        if at_least(a - b, 0):
            return a
        if at_least(b - a, 0):
            return b
        return None if sympy.default_sort_key(a) <= sympy.default_sort_key(b) else cls(b, a)


def smallest(a: Any, b: Any) -> Any:
    """The smaller of two integers, by the larger of their negatives."""
    return -Largest(-a, -b)


def floored(expression: Any) -> Any:
    """The expression with every floor, ceiling and remainder written by FloorDiv, every choice by Largest."""
    expression = sympy.sympify(expression)
    if expression.has(sympy.floor, sympy.ceiling, sympy.Mod):
        expression = expression.replace(sympy.floor, lambda p: FloorDiv(*sympy.fraction(sympy.together(p))))
        expression = expression.replace(sympy.ceiling, lambda p: _ceiling(*sympy.fraction(sympy.together(p))))
        expression = expression.replace(sympy.Mod, lambda p, q: p - q * FloorDiv(p, q))
    if expression.has(sympy.Max, sympy.Min):
        expression = expression.replace(sympy.Max, lambda *numbers: reduce(Largest, numbers))
        expression = expression.replace(sympy.Min, lambda *numbers: reduce(smallest, numbers))
    return expression


@lru_cache(maxsize=50_000)  # layers that are alike, and each way of one, ask for the same again
def normal(expression: Any) -> Any:
    """The expression floored and expanded.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> normal(-(-((H - 1) // 2 + 1) // 2))
    FloorDiv(H + 3, 4)
    """
    return sympy.expand(floored(expression))


def _ceiling(p: Any, q: Any) -> Any:
    return -FloorDiv(-p, q)


def period_of(expressions: Iterable[Any], name: str) -> int:
    """By how much a symbol of this name must grow so that every quotient grows by a whole number.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> period_of([FloorDiv(H, 4), FloorDiv(2 * FloorDiv(H, 3), 3)], "H")
    36
    """
    return lcm(*(_period(expression, name) for expression in expressions if isinstance(expression, sympy.Basic)))


def _period(expression: Any, name: str) -> int:
    inner = lcm(*(_period(part, name) for part in expression.args))
    if not isinstance(expression, FloorDiv) or name not in map(str, expression.args[0].free_symbols):
        return inner
    return inner * int(expression.args[1]) if expression.args[1].is_Integer else inner


class Bounds:
    """What an expression is known to lie between: a linear combination of atoms, and a constant from low to high.

    An atom is a product of symbols, at least 1 where all are positive, else at least 0.
    """

    def __init__(self, expression: Any) -> None:
        self.atoms: dict[Any, Fraction] = {}
        self.low = self.high = Fraction(0)
        self.known = True
        self.add(sympy.expand(expression), Fraction(1))

    def add(self, expression: Any, factor: Fraction) -> None:
        """Take in so many times an expression; a quotient rounded down lies less than one below the exact one."""
        for term in sympy.Add.make_args(expression):
            number, name = term.as_coeff_Mul()
            if not number.is_Rational:
                self.known = False
                return
            share = factor * Fraction(int(number.p), int(number.q))
            if name == 1:
                self.low, self.high = self.low + share, self.high + share
            elif isinstance(name, FloorDiv) and name.args[1].is_Integer:
                divisor = int(name.args[1])
                lost = Fraction(divisor - 1, divisor)
                up, down = (share, Fraction(0)) if share > 0 else (Fraction(0), share)
                self.add(name.args[0], share / divisor)
                self.low, self.high = self.low - up * lost, self.high - down * lost
            elif all(part.is_Symbol and part.is_nonnegative for part in sympy.Mul.make_args(name)):
                self.atoms[name] = self.atoms.get(name, Fraction(0)) + share
            else:
                self.known = False

    def least(self) -> Fraction | None:
        """A lower bound; None if there is none."""
        if not self.known or any(share < 0 for share in self.atoms.values()):
            return None
        return self.low + sum(share for atom, share in self.atoms.items() if atom.is_positive)


@lru_cache(maxsize=10_000)  # the layers of a network ask the same of the same sizes
def at_least(expression: Any, bound: int) -> bool:
    """Is an integer expression known to be at least this for all values of its symbols?

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> at_least(H - 2 * FloorDiv(H, 2), 0), at_least(FloorDiv(H, 2), 1)
    (True, False)
    """
    least = Bounds(normal(expression)).least()
    return least is not None and least > bound - 1  # it is an integer
