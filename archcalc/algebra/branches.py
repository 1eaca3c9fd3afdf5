"""Which answers to what symbols leave open make a formula refuse: its ways tried one by one."""

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from typing import Any

from msgspec import Struct

from archcalc.algebra.num import Relation, guided
from archcalc.errors import ModelError

MOST = 256  # ways that are tried
MOST_EQUAL = 6  # comparisons that are tried together


class Choice(Struct, frozen=True):
    """A comparison of two numbers, and whether it holds on a way."""

    relation: Relation
    left: Any
    right: Any
    holds: bool


class Refusal(Struct, frozen=True):
    """A way that ends in an error: where all its choices are so."""

    choices: tuple[Choice, ...]
    error: ModelError


class _Open(BaseException):
    """A comparison that a way has not decided: no `except` of a formula is to catch it."""

    def __init__(self, relation: Relation, left: Any, right: Any) -> None:
        super().__init__()
        self.asked = relation, left, right


def refusals(formula: Callable[[], Any], most: int = MOST) -> tuple[Refusal, ...] | None:
    """Every way on which a formula raises ModelError; None where there are more ways than are tried.

    >>> import sympy
    >>> from archcalc.layers import Conv
    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> (refusal,) = refusals(lambda: Conv(filters=2, kernel=3).out((1, 1, H)))
    >>> refusal.choices[0].relation, refusal.choices[0].left, refusal.choices[0].right, refusal.choices[0].holds
    ('less', H, 3, True)
    """
    found: list[Refusal] = []
    waiting: list[tuple[Choice, ...]] = [()]
    for _ in range(most):
        if not waiting:
            return tuple(found)
        way = waiting.pop()
        try:
            with guided(_follower(way)):
                formula()
        except _Open as fork:
            waiting += [(*way, Choice(*fork.asked, holds)) for holds in (True, False)]
        except ModelError as error:
            found.append(Refusal(way, error))
    return None


def _follower(way: tuple[Choice, ...]) -> Callable[[Relation, Any, Any], bool]:
    def answer(relation: Relation, left: Any, right: Any) -> bool:
        for choice in way:
            if (choice.relation, choice.left, choice.right) == (relation, left, right):
                return choice.holds
        raise _Open(relation, left, right)

    return answer


def flips(formula: Callable[[], Any]) -> list[tuple[tuple[Choice, ...], Any]]:
    """Answers that make a formula give something else than without them, and what that is.

    Each answer by itself, and up to three numbers that are equal at once, as of all axes. Ways that raise ModelError
    are left out: `refusals` has them.
    """
    asked: dict[tuple[Relation, Any, Any], None] = {}
    with guided(lambda *question: asked.setdefault(question)):
        usual = formula()
    equal = [Choice(*question, False) for question in asked if question[0] == "differ"][:MOST_EQUAL]
    tried: list[tuple[Choice, ...]] = [(Choice(*question, holds),) for question in asked for holds in (True, False)]
    tried += [some for count in (2, 3) for some in combinations(equal, count)]
    found = []
    for choices in tried:
        with suppress(ModelError), guided(_some(choices)):
            if (made := formula()) != usual:
                found.append((choices, made))
    return found


def _some(choices: tuple[Choice, ...]) -> Callable[[Relation, Any, Any], bool | None]:
    held = {(choice.relation, choice.left, choice.right): choice.holds for choice in choices}
    return lambda *asked: held.get(asked)
