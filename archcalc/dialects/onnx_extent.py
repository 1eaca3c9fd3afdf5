"""Extent: a size that knows how it follows from the inputs' axes, beside its value at the file's own sizes."""

from collections.abc import Mapping
from fractions import Fraction
from math import gcd, lcm
from typing import Any, Union

from archcalc.algebra.size import LENGTH, Size

Term = tuple["Atom", ...]  # factors, sorted
Form = Mapping[Term, Any]  # a sum of products of atoms, each with its coefficient
Number = Union[int, float, Fraction, "Extent"]
BATCH = 17  # while reading, for a batch that the file leaves open: a size that nothing else has
TERMS = 40  # of one sum: beyond, what a size follows from is not written any more
FACTORS = 8  # of one product
HUGE = 10**36  # no coefficient of a size comes near


class Lost(Exception):
    """How a number follows from the inputs cannot be said."""


class Atom:
    """An input's axis, or a quotient, smaller or larger of two sums; it goes by its text."""

    __slots__ = ("divisor", "inside", "text", "value")

    def __init__(self, text: str, value: int, inside: Form | None = None, divisor: int = 1) -> None:
        if len(text) > LENGTH:
            raise Lost
        self.text, self.value = text, value
        self.inside, self.divisor = inside, divisor  # of ⌊inside / divisor⌋

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atom) and self.text == other.text

    def __lt__(self, other: "Atom") -> bool:
        return self.text < other.text

    def __hash__(self) -> int:
        return hash(self.text)


class Extent:
    """A whole number in terms of input axes. Arithmetic keeps the terms; comparisons look at its value.

    >>> height = axis("image.height", 224)
    >>> halved = (height + 2 * 3 - 7) // 2 + 1
    >>> halved = (halved - 1) // 2 + 1
    >>> halved.text, halved.value
    ('(image.height + 3) // 4', 56)
    """

    __slots__ = ("form", "value")

    def __init__(self, form: Form) -> None:
        self.form = form
        self.value = sum(_worth(term, factor) for term, factor in form.items())

    @property
    def text(self) -> str:
        """It as an expression over input axes."""
        return _written(self.form)

    def size(self) -> Size:
        """It as a field of a layer; Lost where it cannot be one."""
        text = self.text
        if len(text) > LENGTH or any(isinstance(factor, Fraction) for factor in self.form.values()):
            raise Lost(text)
        return Size(text)

    def __add__(self, other: Any) -> Any:
        return _sum(self.form, _form(other), 1)

    def __sub__(self, other: Any) -> Any:
        return _sum(self.form, _form(other), -1)

    def __rsub__(self, other: Any) -> Any:
        return _sum(_form(other), self.form, -1)

    def __mul__(self, other: Any) -> Any:
        return _product(self.form, _form(other))

    def __floordiv__(self, other: Any) -> Any:
        return floored(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return floored(other, self)

    def __truediv__(self, other: Any) -> Any:
        return _over(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return _over(other, self)

    def __mod__(self, other: Any) -> Any:
        return self - other * floored(self, other)

    def __rmod__(self, other: Any) -> Any:
        return other - self * floored(other, self)

    def __neg__(self) -> Any:
        return _sum({}, self.form, -1)

    __radd__, __rmul__ = __add__, __mul__

    def __index__(self) -> int:
        return int(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == worth(other))

    def __lt__(self, other: Any) -> bool:
        return bool(self.value < worth(other))

    def __le__(self, other: Any) -> bool:
        return bool(self.value <= worth(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self.value > worth(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self.value >= worth(other))

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return str(self.value)


def axis(text: str, value: int) -> Extent:
    """The size of an input's axis."""
    return Extent({(Atom(text, value),): 1})


def worth(number: Any) -> Any:
    """The value at the file's own sizes."""
    return number.value if isinstance(number, Extent) else number


def follows(number: Any) -> bool:
    """Does it follow the inputs' sizes?"""
    return isinstance(number, Extent)


def same(a: Any, b: Any) -> bool:
    """Are they equal at every size?"""
    return _form(a) == _form(b)


def floored(number: Any, divisor: Any) -> Any:
    """⌊number / divisor⌋ in normal form: whole multiples outside, quotients of quotients as one.

    >>> floored(axis("x.axis1", 10) * 6 + 5, 4).text
    '(2 * x.axis1 + 1) // 4 + x.axis1 + 1'
    """
    if worth(divisor) == 0:
        raise ZeroDivisionError
    form, below = _form(number), _form(divisor)
    exact = _divided(form, below)
    if exact is not None:
        return _made(exact)
    if set(below) == {()}:
        return _by_whole(form, below[()])
    value = worth(number) // worth(divisor)
    return Extent({(Atom(f"({_inner(form)} // {_inner(below)})", value),): 1})


def lesser(a: Any, b: Any) -> Any:
    """The smaller of two."""
    return _chosen("min", a, b)


def greater(a: Any, b: Any) -> Any:
    """The larger of two.

    >>> greater(axis("x.axis1", 10) - 4, axis("x.axis1", 10)).text
    'x.axis1'
    """
    return _chosen("max", a, b)


def _chosen(name: str, a: Any, b: Any) -> Any:
    distance = a - b
    if not isinstance(distance, Extent):
        return a if (distance < 0) == (name == "min") else b
    choice = min if name == "min" else max
    text = f"{name}({_written(_form(a))}, {_written(_form(b))})"
    return Extent({(Atom(text, choice(worth(a), worth(b))),): 1})


def _form(number: Any) -> Form:
    if isinstance(number, Extent):
        return number.form
    if isinstance(number, float):
        number = Fraction(number).limit_denominator(10**6) if abs(number) < 1e18 else None
    if number is None or not isinstance(number, int | Fraction):
        raise Lost
    return {(): _plain(number)} if number else {}


def _plain(number: Any) -> Any:
    return number.numerator if isinstance(number, Fraction) and number.denominator == 1 else number


def _made(form: Form) -> Any:
    """The number of a form: a plain one where no axis is left."""
    if not form:
        return 0
    if len(form) > TERMS or any(len(term) > FACTORS for term in form):
        raise Lost
    if any(max(abs(factor.numerator), factor.denominator) > HUGE for factor in form.values()):
        raise Lost
    return form[()] if set(form) == {()} else Extent(form)


def _worth(term: Term, factor: Any) -> Any:
    value = factor
    for atom in term:
        value = value * atom.value
    return _plain(value)


def _sum(a: Form, b: Form, sign: int) -> Any:
    total = dict(a)
    for term, factor in b.items():
        total[term] = _plain(total.get(term, 0) + sign * factor)
    return _made({term: factor for term, factor in total.items() if factor})


def _product(a: Form, b: Form) -> Any:
    total: dict[Term, Any] = {}
    for left, x in a.items():
        for right, y in b.items():
            term = tuple(sorted(left + right))
            total[term] = _plain(total.get(term, 0) + x * y)
    return _made({term: factor for term, factor in total.items() if factor})


def _over(a: Any, b: Any) -> Any:
    """A quotient that may have a rest: exact, or by a plain number."""
    if worth(b) == 0:
        raise ZeroDivisionError
    form, below = _form(a), _form(b)
    exact = _divided(form, below)
    if exact is None and set(below) == {()}:
        exact = {term: _plain(Fraction(factor) / below[()]) for term, factor in form.items()}
    if exact is None:
        raise Lost
    return _made(exact)


def _divided(form: Form, below: Form) -> Form | None:
    """Long division that leaves no rest; None where it would."""
    lead = max(below, key=_order)
    rest: dict[Term, Any] = dict(form)
    quotient: dict[Term, Any] = {}
    for _ in range(TERMS):
        if not rest:
            return quotient
        term = max(rest, key=_order)
        left = _without(term, lead)
        ratio = Fraction(rest[term]) / below[lead]
        if left is None or ratio.denominator != 1:
            return None
        quotient[left] = ratio.numerator
        for factor_term, factor in below.items():
            product = tuple(sorted(left + factor_term))
            rest[product] = rest.get(product, 0) - ratio.numerator * factor
            if not rest[product]:
                del rest[product]
    return None


def _order(term: Term) -> Any:
    return len(term), term


def _without(term: Term, factors: Term) -> Term | None:
    """A product without some of its factors; None where it does not have them."""
    left = list(term)
    for atom in factors:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def _by_whole(form: Form, divisor: Any) -> Any:
    """⌊sum / number⌋."""
    scale = lcm(Fraction(divisor).denominator, *(Fraction(factor).denominator for factor in form.values()))
    by = int(divisor * scale)
    if by < 0:
        form, by = {term: -factor for term, factor in form.items()}, -by
    parts = {term: divmod(int(factor * scale), by) for term, factor in form.items()}
    whole = _made({term: times for term, (times, _) in parts.items() if times})
    rest = {term: left for term, (_, left) in parts.items() if left}
    common = gcd(by, *rest.values())
    return whole + _quotient({term: left // common for term, left in rest.items()}, by // common)


def _quotient(form: Form, by: int) -> Any:
    """⌊form / by⌋ with nothing to pull out; a quotient inside is flattened: ⌊(⌊x/a⌋ + c)/b⌋ = ⌊(x + a·c)/(a·b)⌋."""
    if by == 1 or not form or set(form) == {()}:
        number = _made(form)
        return number // by
    terms = [term for term in form if term]
    if len(terms) == 1 and len(terms[0]) == 1 and form[terms[0]] == 1 and terms[0][0].inside is not None:
        (atom,) = terms[0]
        return _by_whole(_form(_made(atom.inside or {}) + form.get((), 0) * atom.divisor), atom.divisor * by)
    value = sum(_worth(term, factor) for term, factor in form.items()) // by
    return Extent({(Atom(f"{_inner(form)} // {by}", value, form, by),): 1})


def _inner(form: Form) -> str:
    """A form as an operand of a division."""
    text = _written(form)
    return text if text.replace(".", "").replace("_", "").isalnum() else f"({text})"


def _written(form: Form) -> str:
    """A form as text: terms with most factors first, what is subtracted behind what is added."""
    if not form:
        return "0"
    pieces: list[str] = []
    for term in sorted(form, key=lambda term: (form[term] < 0, -len(term), term)):
        factor = form[term]
        number = [str(abs(factor))] if abs(factor) != 1 or not term else []
        alone = len(term) == 1 and not number and factor > 0
        names = [atom.text if alone or atom.inside is None else f"({atom.text})" for atom in term]
        sign = (" - " if pieces else "-") if factor < 0 else (" + " if pieces else "")
        pieces.append(sign + " * ".join(number + names))
    return "".join(pieces)
