"""What is assumed of symbols, such as `H % 32 == 0`, `H == W` and `H >= 64`; and the substitution that uses it."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from math import gcd, lcm
from typing import Any

from msgspec import Struct

from archcalc.algebra.expression import evaluate
from archcalc.errors import ModelError, UsageError, nearest

FORM = "must compare a symbol with a number, such as H % 32 == 0, H == W or H >= 64"
MIRRORED = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq}


class Domain(Struct, frozen=True):
    """The integers that a symbol may be: those with one rest, from the least to the most.

    >>> Domain(modulus=32, least=40).first
    64
    """

    modulus: int = 1
    rest: int = 0
    least: int = 1
    most: int | None = None

    @property
    def first(self) -> int:
        """The smallest of them."""
        return self.least + (self.rest - self.least) % self.modulus

    def __contains__(self, n: int) -> bool:
        return n % self.modulus == self.rest and self.least <= n and (self.most is None or n <= self.most)

    def and_(self, other: "Domain") -> "Domain | None":
        """The integers in both; None if there are none. Two rests become one (Chinese remainder theorem)."""
        common = gcd(self.modulus, other.modulus)
        if (self.rest - other.rest) % common:
            return None
        modulus = lcm(self.modulus, other.modulus)
        step = (other.rest - self.rest) // common * pow(self.modulus // common, -1, other.modulus // common)
        most = min((end for end in (self.most, other.most) if end is not None), default=None)
        rest = (self.rest + self.modulus * step) % modulus
        both = Domain(modulus, rest, max(self.least, other.least), most)
        return both if most is None or both.first <= most else None

    def said(self, name: str) -> list[str]:
        """The conditions in words that a person would write."""
        if self.most == self.first:
            return [f"{name} == {self.most}"]
        said = [f"{name} % {self.modulus} == {self.rest}"] if self.modulus > 1 else []
        said += [f"{name} >= {self.least}"] if self.least > (self.rest or self.modulus) else []
        return said + ([f"{name} <= {self.most}"] if self.most is not None else [])


class Assumptions(Struct, frozen=True):
    """A domain for each symbol that something is assumed of; and symbols that are others' equals."""

    domains: Mapping[str, Domain] = {}
    equal: Mapping[str, str] = {}  # symbol -> the one that stands for both
    texts: tuple[str, ...] = ()

    def domain(self, name: str) -> Domain:
        """What a symbol may be."""
        return self.domains.get(self.equal.get(name, name), Domain())


def assume(texts: Sequence[str], symbols: Sequence[str]) -> Assumptions:
    """Read assumptions about these symbols; UsageError where one is not understood, or none can hold with the others.

    >>> assume(["H % 32 == 0", "W == H", "64 <= H"], ["H", "W"]).domain("W")
    Domain(modulus=32, rest=0, least=64, most=None)
    """
    found = [(text, *relation) for text in texts for relation in _relations(text, symbols)]
    equal: dict[str, str] = {}
    for _, name, what in found:
        if isinstance(what, str):
            one, other = equal.get(name, name), equal.get(what, what)
            one, other = sorted((one, other), key=list(symbols).index)  # the first of them stands for both
            equal = {symbol: one if stands == other else stands for symbol, stands in equal.items()} | {other: one}
    equal = {name: stands for name, stands in equal.items() if name != stands}
    domains: dict[str, Domain] = {}
    for text, name, what in found:
        if isinstance(what, Domain):
            stands = equal.get(name, name)
            both = domains.get(stands, Domain()).and_(what)
            if both is None:
                others = [f'"{other}"' for other in texts if other != text]
                raise UsageError(
                    "--assume", "must be possible together", f'"{text}" with {", ".join(others) or "itself"}'
                )
            domains[stands] = both
    return Assumptions(domains, equal, tuple(texts))


def _relations(text: str, symbols: Sequence[str]) -> Iterator[tuple[str, Domain | str]]:
    """Each comparison of a text: a symbol, and its domain or its equal."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body if len(text) < 200 else None
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        tree = None
    if isinstance(tree, ast.Tuple) and tree.elts:
        for part in tree.elts:
            yield from _relations(ast.unparse(part), symbols)
        return
    if not isinstance(tree, ast.Compare):
        way_out = "write == for equality" if re.search("[^=<>!]=[^=]", text) else ""
        raise UsageError("--assume", FORM, repr(text), way_out=way_out)
    sides = [tree.left, *tree.comparators]
    for left, operator, right in zip(sides, tree.ops, sides[1:], strict=False):
        if not _speaks_of_symbol(left):
            left, right, operator = right, left, MIRRORED.get(type(operator), ast.NotEq)()  # noqa: PLW2901
        if not _speaks_of_symbol(left):
            raise UsageError("--assume", FORM, repr(text))
        yield _relation(text, left, type(operator), right, symbols)


def _speaks_of_symbol(tree: ast.AST) -> bool:
    return isinstance(tree, ast.Name) or (
        isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mod) and isinstance(tree.left, ast.Name)
    )


def _relation(text: str, left: Any, operator: Any, right: Any, symbols: Sequence[str]) -> tuple[str, Domain | str]:
    name = _known(left.id if isinstance(left, ast.Name) else left.left.id, symbols)
    if isinstance(left, ast.Name) and operator is ast.Eq and isinstance(right, ast.Name):
        return name, _known(right.id, symbols)
    number = _number(text, right)
    if isinstance(left, ast.BinOp):
        modulus = _number(text, left.right)
        if operator is not ast.Eq or modulus < 1 or not 0 <= number < modulus:
            raise UsageError("--assume", "a rest must be == a number from 0 to below the divisor", repr(text))
        return name, Domain(modulus, number)
    ranges = {
        ast.Eq: Domain(least=max(number, 1), most=number),
        ast.GtE: Domain(least=max(number, 1)),
        ast.Gt: Domain(least=max(number + 1, 1)),
        ast.LtE: Domain(most=number),
        ast.Lt: Domain(most=number - 1),
    }
    if operator not in ranges:
        raise UsageError("--assume", FORM, repr(text))
    if Domain().and_(ranges[operator]) is None:
        raise UsageError("--assume", "must leave a size of at least 1", repr(text))
    return name, ranges[operator]


def _known(name: str, symbols: Sequence[str]) -> str:
    if name not in symbols:
        raise UsageError("--assume", "must speak of symbols of the formula", name, way_out=nearest(name, symbols))
    return name


def _number(text: str, tree: ast.AST) -> int:
    try:
        return evaluate(ast.unparse(tree), {})
    except ModelError as error:
        raise UsageError("--assume", FORM, repr(text), way_out=error.rule) from None


class Substitution:
    """For each symbol an expression in a number t = 0, 1, 2 … that has only the values assumed; and the way back."""

    def __init__(
        self, symbols: Sequence[str], assumptions: Assumptions, least: Mapping[str, int] | None = None
    ) -> None:
        import sympy

        self.symbols = {name: sympy.Symbol(name, integer=True, positive=True) for name in symbols}
        self.forward: dict[str, Any] = {}
        self.back: dict[Any, Any] = {}
        for name in symbols:
            stands = assumptions.equal.get(name, name)
            own = assumptions.domain(name)
            known = Domain(own.modulus, own.rest, max(own.least, (least or {}).get(stands, 1)), own.most)
            if own.most == own.first:
                self.forward[name] = sympy.Integer(own.first)
            elif (known.modulus, known.first) == (1, 1):
                self.forward[name] = self.symbols[stands]
            else:
                t = sympy.Symbol(f"t_{stands}", integer=True, nonnegative=True)
                self.forward[name] = known.modulus * t + known.first
                self.back[t] = (self.symbols[stands] - known.first) / known.modulus
