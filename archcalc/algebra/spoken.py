"""Numbers that remember how they were made, so that a formula can say itself in names and in values."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from msgspec import Struct

SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4  # how strongly the parts of a text hold together


class Marks(Struct, frozen=True):
    """The signs of one way of writing."""

    times: str
    often: str  # between a plain count and what is counted
    over: str  # {0} over {1}, exact
    floored: str  # the same, rounded down
    raised: str
    name: Callable[[str], str] = str
    brackets: bool = True  # a sum over a divisor needs them


def _tex(name: str) -> str:
    r"""A name in LaTeX, a small number behind it as an index.

    >>> print(_tex("out_channels₂"))
    \text{out\_channels}_{2}
    """
    plain = name.rstrip("₀₁₂₃₄₅₆₇₈₉")
    index = name[len(plain) :].translate(str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789"))
    return r"\text{" + plain.replace("_", r"\_") + "}" + (f"_{{{index}}}" if index else "")


def grouped(n: int) -> str:
    """Digits in groups of three.

    >>> grouped(-3620)
    '−3,620'
    """
    return f"{n:,}".replace("-", "−")


PLAIN = Marks(" × ", "·", "{0}/{1}", "⌊{0}/{1}⌋", "{0}^{1}")
LATEX = Marks(
    r" \times ", r" \cdot ", r"\frac{{{0}}}{{{1}}}", r"\left\lfloor \frac{{{0}}}{{{1}}} \right\rfloor", "{0}^{{{1}}}",
    name=_tex, brackets=False,
)  # fmt: skip


class Spoken(int):
    """An integer with the expression that it came from; arithmetic with it gives another.

    >>> filters, kernel = named(20, "filters"), named(5, "kernel")
    >>> count = filters * (kernel * kernel * 1 + 1)
    >>> count.said(), count.shown(), int(count)
    ('filters × (kernel × kernel + 1)', '20 × (5 × 5 + 1)', 520)
    """

    made: "Made"

    def __new__(cls, value: int, made: "Made") -> "Spoken":
        number = super().__new__(cls, value)
        number.made = made
        return number

    def said(self, marks: Marks = PLAIN) -> str:
        """How it is made, in names."""
        return _text(self, marks, names=True)[0]

    def shown(self, marks: Marks = PLAIN) -> str:
        """How it is made, in values."""
        return _text(self, marks, names=False)[0]

    def called(self, name: str) -> "Spoken":
        """The same number under a name: how it was made is not said again."""
        return named(int(self), name, self)

    @property
    def remainders(self) -> list[tuple[int, int]]:
        """Divisions on the way that leave a rest: (dividend, divisor)."""
        return [(int(p), int(q)) for p, q in _divisions(self) if p % q]

    def __add__(self, other: int) -> "Spoken":
        return _sum(self, other, 1)

    def __radd__(self, other: int) -> "Spoken":
        return _sum(other, self, 1)

    def __sub__(self, other: int) -> "Spoken":
        return _sum(self, other, -1)

    def __rsub__(self, other: int) -> "Spoken":
        return _sum(other, self, -1)

    def __neg__(self) -> "Spoken":
        return _sum(0, self, -1)

    def __mul__(self, other: int) -> "Spoken":
        return _product(self, other)

    def __rmul__(self, other: int) -> "Spoken":
        return _product(other, self)

    def __floordiv__(self, other: int) -> "Spoken":
        return _quotient(self, other)

    def __rfloordiv__(self, other: int) -> "Spoken":
        return _quotient(other, self)

    def __pow__(self, other: int, modulo: None = None) -> "Spoken":  # type: ignore[override]
        return Spoken(int(self) ** int(other), Made("power", (self, other)))

    __hash__ = int.__hash__

    def __reduce__(self) -> Any:
        return (int, (int(self),))  # elsewhere it is the number that it is


class Made(Struct, frozen=True, eq=False):
    """How a number was made: the name it goes by, or parts that are added (with signs), multiplied, or divided."""

    how: Literal["name", "sum", "product", "quotient", "power"]
    parts: tuple[Any, ...] = ()
    signs: tuple[int, ...] = ()  # of a sum's parts: how often each is added
    name: str = ""


def named(value: int, name: str, of: int | None = None) -> Spoken:
    """A number that goes by a name; `of` is how it was made, kept but not said."""
    return Spoken(value, Made("name", () if of is None else (of,), name=name))


def _how(n: int) -> str:
    return n.made.how if isinstance(n, Spoken) else "plain"


def _terms(n: int) -> list[tuple[int, int]]:
    """The parts of a sum with how often each is added; any other number is a sum of itself."""
    if isinstance(n, Spoken):
        return list(zip(n.made.parts, n.made.signs, strict=True)) if n.made.how == "sum" else [(n, 1)]
    return [(abs(n), 1 if n > 0 else -1)] if n else []


def _sum(a: int, b: int, sign: int) -> Spoken:
    """Terms that are the same count together; plain numbers are added up; what is then zero is not said."""
    value = int(a) + sign * int(b)
    terms: list[tuple[int, int]] = []
    places: dict[Any, list[int]] = {}  # of terms that may be the same
    for part, times in [*_terms(a), *((part, sign * times) for part, times in _terms(b))]:
        alike = places.setdefault(_outline(part), [])
        place = next((at for at in alike if _same(part, terms[at][0])), None)
        if place is None:
            alike.append(len(terms))
            terms.append((part, times))
        elif isinstance(part, Spoken):
            terms[place] = (part, terms[place][1] + times)
        else:
            total = terms[place][0] * terms[place][1] + part * times
            terms[place] = (abs(total), 1 if total > 0 else -1)
    terms = _whole_stops([(part, times) for part, times in terms if times and (isinstance(part, Spoken) or part)])
    if len(terms) == 1 and terms[0][1] == 1 and isinstance(terms[0][0], Spoken):
        return terms[0][0]
    parts, signs = zip(*terms, strict=True) if terms else ((), ())
    return Spoken(value, Made("sum", parts, signs))


def _outline(part: int) -> Any:
    """What two terms have in common if they are the same."""
    return (part.made.how, int(part), part.made.name, part.made.signs) if isinstance(part, Spoken) else None


def _same(a: int, b: int) -> bool:
    """Are two terms one and the same: both plain, one number, or of one name and value?"""
    if not isinstance(a, Spoken) or not isinstance(b, Spoken):
        return not isinstance(a, Spoken) and not isinstance(b, Spoken)
    if a is b:
        return True
    if _outline(a) != _outline(b):
        return False
    if a.made.how == "name":
        return True
    return len(a.made.parts) == len(b.made.parts) and all(map(_equal, a.made.parts, b.made.parts))


def _equal(a: int, b: int) -> bool:
    return a == b if not isinstance(a, Spoken) and not isinstance(b, Spoken) else _same(a, b)


def _whole_stops(terms: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """(n − k)/k + 1 is n/k, also where it is rounded down: the size rule of a pool as people write it."""
    ones = [at for at, (part, times) in enumerate(terms) if not isinstance(part, Spoken) and part * times == 1]
    for at, (part, times) in enumerate(terms if ones else ()):
        if times == 1 and _how(part) == "quotient":
            top, below = part.made.parts  # type: ignore[attr-defined]
            if any(_same(term, below) and often == -1 for term, often in _terms(top) if isinstance(term, Spoken)):
                kept = [term for place, term in enumerate(terms) if place not in (at, ones[0])]
                return [(_quotient(top + below, below), 1), *kept]
    return terms


def _product(a: int, b: int) -> Spoken:
    """Factors in a row; a plain 1 is not said, a plain 0 ends it."""
    if not isinstance(a, Spoken) and a == 1:
        return b  # type: ignore[return-value]
    if not isinstance(b, Spoken) and b == 1:
        return a  # type: ignore[return-value]
    if any(not isinstance(n, Spoken) and n == 0 for n in (a, b)):
        return Spoken(0, Made("sum"))
    left = a.made.parts if isinstance(a, Spoken) and a.made.how == "product" else (a,)
    return Spoken(int(a) * int(b), Made("product", (*left, b)))


def _quotient(a: int, b: int) -> Spoken:
    if not isinstance(b, Spoken) and b == 1:
        return a  # type: ignore[return-value]
    if isinstance(a, Spoken) and isinstance(b, Spoken) and b and a.made.how == "product":
        place = next((at for at, factor in enumerate(a.made.parts) if _equal(factor, b)), None)
        if place is not None:  # rows × features over features
            return _spoken(_multiplied([*a.made.parts[:place], *a.made.parts[place + 1 :]]))
    return Spoken(int(a) // int(b), Made("quotient", (a, b)))


def _spoken(n: int) -> Spoken:
    return n if isinstance(n, Spoken) else Spoken(n, Made("sum", (n,), (1,)) if n else Made("sum"))


def _divisions(n: Any) -> Iterator[tuple[int, int]]:
    if isinstance(n, Spoken):
        if n.made.how == "quotient":
            yield n.made.parts
        for part in n.made.parts:
            yield from _divisions(part)


def _text(n: int, marks: Marks, *, names: bool) -> tuple[str, int]:
    """A text, and how strongly it holds together."""
    if not isinstance(n, Spoken):
        return grouped(n), ATOM if n >= 0 else SUM
    made = n.made
    if made.how == "name":
        return (marks.name(made.name), ATOM) if names else (grouped(int(n)), ATOM if n >= 0 else SUM)
    if made.how == "sum":
        return _sum_text(made, marks, names)
    if made.how == "product":
        first, *rest = [_text(part, marks, names=names) for part in made.parts]
        texts = [_held(first, PRODUCT), *(_held(part, POWER) for part in rest)]
        return marks.times.join(texts), PRODUCT
    top, below = (_text(part, marks, names=names) for part in made.parts)
    if made.how == "power":
        return marks.raised.format(_held(top, ATOM), _held(below, ATOM) if marks.brackets else below[0]), POWER
    whole = int(made.parts[0]) % int(made.parts[1]) == 0
    held = (_held(top, POWER), _held(below, POWER)) if marks.brackets else (top[0], below[0])
    return (marks.over if whole else marks.floored).format(*held), ATOM if not whole or not marks.brackets else PRODUCT


def _sum_text(made: Made, marks: Marks, names: bool) -> tuple[str, int]:
    if not made.parts:
        return "0", ATOM
    text = ""
    for part, times in zip(made.parts, made.signs, strict=True):
        often = f"{abs(times)}{marks.often}" if abs(times) > 1 else ""
        term = often + _held(_text(part, marks, names=names), POWER if often else PRODUCT)
        text += f" {'−' if times < 0 else '+'} {term}" if text else f"{'−' if times < 0 else ''}{term}"
    return text, SUM if len(made.parts) > 1 or made.signs[0] < 0 else PRODUCT


def _held(text: tuple[str, int], strength: int) -> str:
    return text[0] if text[1] >= strength else f"({text[0]})"


def factored(n: int) -> int:
    """A sum of products whose terms have factors in common, with those in front: filters × (taps + 1).

    >>> filters, taps = named(20, "filters"), named(25, "taps")
    >>> factored(filters * taps + filters).said()
    'filters × (taps + 1)'
    """
    if not isinstance(n, Spoken) or n.made.how != "sum" or len(n.made.parts) < 2:
        return n
    rows = [list(_factors(part)) for part in n.made.parts]
    common = []
    for factor in list(rows[0]):
        places = [next((at for at, other in enumerate(row) if _equal(factor, other)), None) for row in rows]
        if None not in places and isinstance(factor, Spoken):
            common.append(factor)
            for row, at in zip(rows, places, strict=True):
                del row[at]  # type: ignore[arg-type]
    if not common:
        return n
    inner: int = 0
    for row, times in zip(rows, n.made.signs, strict=True):
        inner = inner + times * _multiplied(row) if times != -1 else inner - _multiplied(row)
    return _multiplied([*common, inner])


def _factors(n: Any) -> Iterator[int]:
    """The factors of a product, those inside brackets too."""
    if _how(n) != "product":
        yield n
    else:
        for part in n.made.parts:
            yield from _factors(part)


def simplest(n: int) -> int:
    """A product whose sums are factored: channels × stops × (kernel × kernel − 1).

    >>> channels, stops, kernel = named(20, "channels"), named(12, "stops"), named(2, "kernel")
    >>> simplest(channels * (kernel * stops - stops)).said()
    'channels × stops × (kernel − 1)'
    """
    if _how(n) != "product":
        return factored(n)
    parts = [factored(part) for part in n.made.parts]  # type: ignore[attr-defined]
    if all(one is other for one, other in zip(parts, n.made.parts, strict=True)):  # type: ignore[attr-defined]
        return n
    return _multiplied([factor for part in parts for factor in (_outer(part) if _how(part) == "product" else [part])])


def _outer(n: Any) -> Sequence[int]:
    parts: Sequence[int] = n.made.parts
    return parts


def _multiplied(factors: Sequence[int]) -> int:
    result = 1
    for factor in factors:
        result = result * factor
    return result
