"""The question whether two expressions agree for every size: by normal form, else over whole classes of sizes."""

from collections.abc import Sequence
from itertools import product
from math import lcm, prod
from typing import Any, Literal

import sympy
from msgspec import Struct

from archcalc.algebra.symbolic import FloorDiv, normal

UNDER_CONDITIONS = "normal form, where the conditions hold"
MOST_CLASSES = 1_000  # residue classes that one comparison looks at

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
