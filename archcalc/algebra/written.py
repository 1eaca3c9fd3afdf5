"""How an expression is written: for reading, in ASCII, in LaTeX, in Python, and in JavaScript with exact integers."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from html import escape
from math import lcm
from typing import Any

import sympy
from msgspec import Struct

from archcalc.algebra.symbolic import FloorDiv, Largest

SUM, PRODUCT, ATOM = 1, 2, 3  # how strongly the parts of a text hold together
FRACTION = "<mfrac><mrow>{0}</mrow><mrow>{1}</mrow></mfrac>"


class Style(Struct, frozen=True):
    """The marks of one language."""

    times: str
    power: str
    floor: str  # of {0}/{1}
    ceil: str  # empty: written by floor
    largest: str
    smallest: str
    number: Callable[[int], str] = str
    name: Callable[[str], str] = str
    group: str = "({})"
    grouped: bool = True  # a sum over a divisor needs brackets
    whole: bool = False  # a language of integers: fractions are put over one denominator, and divided at the end
    over: str = "{0}/{1}"
    exponent: Callable[[str], str] = str
    plus: str = " + "
    minus: str = " - "
    negative: str = "-"


def _identifier(name: str) -> str:
    """A name as programs allow it.

    >>> _identifier("width-mult")
    'width_mult'
    """
    import keyword

    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"{plain}_" if keyword.iskeyword(plain) or plain[:1].isdigit() or plain in RESERVED else plain


RESERVED = (
    "floordiv", "max", "min", "BigInt", "true", "false", "null", "var", "let", "const", "function", "new", "this",
    "typeof", "void", "delete", "case", "default", "do", "switch", "throw", "catch", "super", "enum", "export",
    "extends", "instanceof", "debugger",
)  # fmt: skip


def _superscript(exponent: str) -> str:
    """The exponent in raised digits; behind ^ where it is no number.

    >>> _superscript("12"), _superscript("n")
    ('¹²', '^n')
    """
    return exponent.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")) if exponent.isdigit() else f"^{exponent}"


def _tex_name(name: str) -> str:
    return name if len(name) == 1 else r"\mathit{" + name.replace("_", r"\_") + "}"


STYLES = {
    "text": Style("·", "{0}{1}", "⌊{0}/{1}⌋", "⌈{0}/{1}⌉", "max({0}, {1})", "min({0}, {1})", exponent=_superscript),
    "ascii": Style("*", "{0}^{1}", "floor({0}/{1})", "ceil({0}/{1})", "max({0}, {1})", "min({0}, {1})"),
    "latex": Style(
        r" \cdot ", "{0}^{{{1}}}", r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor",
        r"\left\lceil \frac{{{0}}}{{{1}}} \right\rceil", r"\max\left({0}, {1}\right)", r"\min\left({0}, {1}\right)",
        name=_tex_name, group=r"\left({}\right)", grouped=False, over=r"\frac{{{0}}}{{{1}}}",
    ),
    "mathml": Style(
        "<mo>·</mo>", "<msup><mrow>{0}</mrow><mrow>{1}</mrow></msup>",
        f"<mrow><mo>⌊</mo>{FRACTION}<mo>⌋</mo></mrow>", f"<mrow><mo>⌈</mo>{FRACTION}<mo>⌉</mo></mrow>",
        "<mrow><mi>max</mi><mo>(</mo>{0}<mo>,</mo>{1}<mo>)</mo></mrow>",
        "<mrow><mi>min</mi><mo>(</mo>{0}<mo>,</mo>{1}<mo>)</mo></mrow>",
        number=lambda n: f"<mn>{n:,}</mn>", name=lambda name: f"<mi>{escape(name)}</mi>",
        group="<mrow><mo>(</mo>{}<mo>)</mo></mrow>", grouped=False, over=FRACTION,
        plus="<mo>+</mo>", minus="<mo>−</mo>", negative="<mo>−</mo>",
    ),
    "python": Style(
        "*", "{0}**{1}", "({0}//{1})", "", "max({0}, {1})", "min({0}, {1})",
        name=_identifier, whole=True, over="({0})//{1}",
    ),
    "js": Style(
        "*", "({0}**{1})", "floordiv({0}, {1})", "", "max({0}, {1})", "min({0}, {1})",
        number=lambda n: f"{n}n", name=_identifier, whole=True, grouped=False, over="floordiv({0}, {1})",
    ),
}  # fmt: skip


def written(expression: Any, style: str = "text", names: Mapping[str, str] | None = None) -> str:
    """The expression in one of STYLES; `names` replaces names of symbols.

    >>> H = sympy.Symbol("H", integer=True, positive=True)
    >>> written(3 * FloorDiv(H + 3, 4) * (H - 4) - 5)
    '3·⌈H/4⌉·(H - 4) - 5'
    """
    return _Writer(STYLES[style], names or {}).whole(sympy.sympify(expression))


class _Writer:
    """One writing; each method gives a text and how strongly it holds together."""

    def __init__(self, style: Style, names: Mapping[str, str]) -> None:
        self.style, self.names = style, names

    def whole(self, expression: Any) -> str:
        if not self.style.whole:
            return self.sum(expression)[0]
        numerator, denominator = over_one(expression)
        text = self.sum(numerator)[0]
        return text if denominator == 1 else self.style.over.format(text, self.style.number(denominator))

    def sum(self, expression: Any) -> tuple[str, int]:
        style = self.style
        parts = [self.term(term) for term in ordered(expression)]
        first = next((place for place, (negative, *_) in enumerate(parts) if not negative), 0)
        parts.insert(0, parts.pop(first))  # 33 - k rather than -k + 33
        negative, text, strength = parts[0]
        text = f"{style.negative}{text}" if negative else text
        more = [f"{style.minus if negative else style.plus}{part}" for negative, part, _ in parts[1:]]
        return "".join([text, *more]), SUM if more or negative else strength

    def term(self, term: Any) -> tuple[bool, str, int]:
        """One term of a sum: is it negative, and what it is without its sign."""
        number, name = term.as_coeff_Mul()
        factors = list(sympy.Mul.make_args(name)) if name != 1 else []
        for place, factor in enumerate(factors):
            if factor.is_Add:  # 2·H - 4 as 2·(H - 4)
                content, factors[place] = factor.primitive()
                number *= content
            elif isinstance(factor, Largest) and all(_is_negative(part) for part in factor.args):
                factors[place], number = Smaller(*(-part for part in factor.args)), -number
        factors.sort(key=_by_rank)
        if len(factors) == 1 and factors[0].is_Add:
            factors, number = [sympy.expand(factors[0] * number)], sympy.Integer(1)
        top, below = abs(int(number.p)), int(number.q)
        texts = [self.style.number(top)] if top != 1 or not factors else []
        texts += list(map(self.factor, factors))
        text = self.style.times.join(texts)
        strength = ATOM if len(texts) == 1 and not (factors and factors[0].is_Add) else PRODUCT
        if below != 1:
            text, strength = self.style.over.format(text, self.style.number(below)), PRODUCT
        return number < 0, text, strength

    def factor(self, factor: Any) -> str:
        text, strength = self.atom(factor)
        return text if strength > SUM else self.style.group.format(text)

    def atom(self, part: Any) -> tuple[str, int]:
        style = self.style
        if part.is_Symbol:
            return style.name(self.names.get(part.name, part.name)), ATOM
        if part.is_Integer:
            return style.number(int(part)), ATOM
        if isinstance(part, FloorDiv):
            return self.quotient(*part.args)
        if isinstance(part, Largest | Smaller):
            form = style.largest if isinstance(part, Largest) else style.smallest
            return form.format(*map(self.whole, part.args)), ATOM
        if part.is_Pow:
            base, exponent = part.args
            return style.power.format(self.factor(base), style.exponent(self.whole(exponent))), ATOM
        return self.sum(part)

    def quotient(self, p: Any, q: Any) -> tuple[str, int]:
        """A quotient rounded down; rounded up where that is shorter."""
        constant, rest = p.as_coeff_Add()
        up = bool(self.style.ceil and q.is_Integer and constant == q - 1)
        text, strength = self.sum(rest if up else p)
        inner = self.style.group.format(text) if strength == SUM and self.style.grouped else text
        made = (self.style.ceil if up else self.style.floor).format(inner, self.atom(q)[0])
        return made, ATOM


class Smaller:
    """The smaller of two expressions, while it is written."""

    is_Add = is_Symbol = is_Integer = is_Pow = False  # noqa: N815 - as sympy asks

    def __init__(self, *parts: Any) -> None:
        self.args = parts


def ordered(expression: Any) -> Sequence[Any]:
    """The terms of a sum: those with the most factors first, symbols in alphabetical order, the constant last."""
    terms = sympy.Add.make_args(expression)
    return sorted(terms, key=_order)


def _order(term: Any) -> Any:
    number, name = term.as_coeff_Mul()
    factors = [factor for factor in sympy.Mul.make_args(name) if factor != 1]
    degree = sum(int(factor.args[1]) if factor.is_Pow and factor.args[1].is_Integer else 1 for factor in factors)
    return -degree, sorted((_by_rank(factor) for factor in factors), key=str), number


@lru_cache(maxsize=10_000)
def _by_rank(factor: Any) -> Any:
    """Symbols stand before quotients, those before sums; each sort by its divisor and name."""
    if isinstance(factor, Smaller):
        return (3, 0, "")
    divisors = [int(part.args[1]) for part in factor.atoms(FloorDiv) if part.args[1].is_Integer]
    rank = 0 if factor.is_Symbol else 1 if isinstance(factor, FloorDiv) else 2
    return rank, max(divisors, default=0), str(factor)


def _is_negative(expression: Any) -> bool:
    return bool(ordered(expression)[0].as_coeff_Mul()[0] < 0)


def over_one(expression: Any) -> tuple[Any, int]:
    """Numerator and denominator, all terms together: each term by itself need not be whole."""
    expression = sympy.sympify(expression)
    if any(not number.is_Integer for number in expression.atoms(sympy.Rational)):
        expression = sympy.expand(expression)  # no factor by itself needs to be whole either
    terms = sympy.Add.make_args(expression)
    denominator = lcm(*(int(term.as_coeff_Mul()[0].q) for term in terms))
    return (expression, 1) if denominator == 1 else (sympy.Add(*(term * denominator for term in terms)), denominator)
