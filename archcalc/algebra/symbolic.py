"""Floor division in a normal form, and the question whether two expressions agree for every size."""

from collections.abc import Sequence
from itertools import product
from math import gcd, lcm, prod
from typing import Any, Literal

import sympy
from msgspec import Struct

UNDER_CONDITIONS = "normal form, where the conditions hold"
MOST_CLASSES = 1_000  # residue classes that one comparison looks at


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
        whole, rest = _multiples(sympy.expand(p), q, exactly=True)
        if _leading(rest) < 0:  # rounding down a negative is minus rounding up a positive
            return whole - cls(-rest + q - 1, q)
        more, rest = _multiples(rest, q, exactly=False)
        if rest.is_Integer:
            return whole + more  # what is left is less than one
        smaller, divisor = _flattened(cls, *_cancelled(rest, q))
        if (smaller, divisor) == (p, q):
            return None
        return whole + more + cls(smaller, divisor)


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


def normal(expression: Any) -> Any:
    """The expression with every floor, ceiling and remainder written by FloorDiv, expanded.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> normal(-(-((H - 1) // 2 + 1) // 2))
    FloorDiv(H + 3, 4)
    """
    expression = sympy.sympify(expression)
    expression = expression.replace(sympy.floor, lambda p: FloorDiv(*sympy.fraction(sympy.together(p))))
    expression = expression.replace(sympy.ceiling, lambda p: _ceiling(*sympy.fraction(sympy.together(p))))
    expression = expression.replace(sympy.Mod, lambda p, q: p - q * FloorDiv(p, q))
    return sympy.expand(expression)


def _ceiling(p: Any, q: Any) -> Any:
    return -FloorDiv(-p, q)


Class = tuple[tuple[Any, int, int], ...]  # (symbol, m, r): the sizes with that symbol = m·t + r


class Claim(Struct, frozen=True):
    """An expression that somebody gives, and what it assumes of its symbols."""

    expression: Any
    conditions: tuple[Any, ...] = ()


class Agreement(Struct, frozen=True):
    """Whether an expression equals what is claimed, for every size that some claim admits, and how that is known."""

    verdict: Literal["equal", "different", "unknown"]
    by: str  # the normal form, residue classes, or the sizes at which they differ
    unseen: tuple[Class, ...] = ()  # residue classes that no claim admits


def agree(expression: Any, *claims: Claim) -> Agreement:
    """Compare by normal form, then class by class: every symbol s as m·t + r, for each rest r of its divisors' m.

    A class in which the conditions of a claim fail is left to the other claims.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> agree((H + 1) // 2 + H // 2, Claim(H)).by
    '2 residue classes'
    """
    theirs = [normal(claim.expression) for claim in claims]
    differences = [sympy.expand(normal(expression) - other) for other in theirs]
    about = normal(expression).free_symbols.union(*(other.free_symbols for other in theirs))
    assumed = [[_relation(c) for given in claim.conditions for c in sympy.And.make_args(given)] for claim in claims]
    # what is assumed of other symbols too excludes no size of these by itself
    own = [[condition for condition in conditions if condition.free_symbols <= about] for conditions in assumed]
    if any(difference == 0 and not conditions for difference, conditions in zip(differences, own, strict=True)):
        return Agreement("equal", "normal form")
    moduli = _moduli([*differences, *(condition for conditions in own for condition in conditions)])
    count = prod(moduli.values())
    if count > MOST_CLASSES and 0 in differences:
        return Agreement("equal", UNDER_CONDITIONS)
    if count > MOST_CLASSES:
        return Agreement("unknown", f"{count} residue classes are too many to look at")
    unseen = []
    for rests in product(*map(range, moduli.values())):
        place = tuple((symbol, m, rest) for (symbol, m), rest in zip(moduli.items(), rests, strict=True))
        found = [_in_class(*claim, place) for claim in zip(differences, own, assumed, strict=True)]
        wrong = next((answer for answer in found if isinstance(answer, Agreement)), None)
        if wrong is not None:
            return wrong
        if True not in found:
            unseen.append(place)
    by = "normal form" if 0 in differences and not unseen else f"{count - len(unseen)} residue classes"
    return Agreement("equal", by, tuple(unseen))


def _in_class(difference: Any, own: Sequence[Any], assumed: Sequence[Any], place: Class) -> "Agreement | bool":
    """True where the difference vanishes, False where the conditions exclude the class, else why not."""
    sizes = {symbol: m * sympy.Symbol(f"t_{symbol}", integer=True, positive=True) + rest for symbol, m, rest in place}
    if any(_relation(condition.subs(sizes)) == sympy.false for condition in own):
        return False
    if difference == 0 or normal(difference.subs(sizes)) == 0:
        return True
    symbols = sorted(difference.free_symbols.union(*(condition.free_symbols for condition in assumed)), key=str)
    for t, others in product((1, 2, 3), (2, 5, 30)):
        known = {symbol: others + number for number, symbol in enumerate(symbols)}
        known |= {symbol: m * t + rest for symbol, m, rest in place}
        apart = difference.subs(known)
        if apart.is_Rational and apart != 0 and all(condition.subs(known) == sympy.true for condition in assumed):
            apart_at = ", ".join(f"{symbol} = {size}" for symbol, size in known.items())
            return Agreement("different", apart_at or "every size")
    where = ", ".join(f"{symbol} = {m}·t + {rest}" for symbol, m, rest in place)
    return Agreement("unknown", f"not decided for {where}" if where else f"not decided: {difference}")


def _relation(condition: Any) -> Any:
    """A condition with both sides in normal form."""
    if isinstance(condition, sympy.core.relational.Relational):
        return condition.func(normal(condition.lhs - condition.rhs), 0)
    if isinstance(condition, sympy.And | sympy.Or | sympy.Not):
        return condition.func(*map(_relation, condition.args))
    return condition


def _moduli(expressions: Sequence[Any]) -> dict[Any, int]:
    """For each symbol, the least common multiple of the divisors that it stands under."""
    moduli: dict[Any, int] = {}
    for expression in expressions:
        for quotient in expression.atoms(FloorDiv):
            p, q = quotient.args
            if q.is_Integer:
                for symbol in sorted(p.free_symbols, key=str):
                    moduli[symbol] = lcm(moduli.get(symbol, 1), int(q))
    return moduli
