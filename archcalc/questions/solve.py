"""The inverse question: the largest input, batch or hyperparameter within limits, and the proof that it is."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice, pairwise
from math import comb, gcd, lcm
from typing import Any

import sympy
from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.num import LIMIT
from archcalc.algebra.symbolic import FloorDiv, Largest, normal, period_of
from archcalc.algebra.units import grouped, parse_bytes, parse_count
from archcalc.errors import ModelError, UsageError, nearest
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import outline
from archcalc.questions.closed_form import ClosedForm, Derivation
from archcalc.questions.fitting import Fitting
from archcalc.questions.quantities import COUNTED, OPS
from archcalc.questions.symbols import BATCH, symbols_of
from archcalc.views import solve as views

CLASSES = 4_096  # rests for which growth is proved one by one
SCANNED = 20_000  # candidates that are looked at where growth is not proved
TRIED = 1_024  # values of a hyperparameter that are looked at one by one
PEAKS = "archcalc fit finds the largest batch and input whose peak fits into --memory"


class Constraint(Struct, frozen=True):
    """A quantity with its limit."""

    quantity: str
    relation: str  # <= or <
    limit: int

    def holds(self, value: int) -> bool:
        """Does a value keep the limit?"""
        return value <= self.limit if self.relation == "<=" else value < self.limit

    def __str__(self) -> str:
        return f"{self.quantity} {self.relation} {grouped(self.limit)}"


class At(Struct, frozen=True):
    """One candidate: the number that is maximised, the sizes that it means, and what they cost."""

    n: int
    sizes: Mapping[str, int]
    values: tuple[int, ...]


class Solution(Struct, frozen=True):
    """The largest candidate that keeps every limit, the next one, which does not, and how it is known."""

    model: str
    maximised: str
    constraints: tuple[Constraint, ...]
    holds: At | None  # None: no candidate keeps them
    fails: At | None  # None: no candidate that was looked at breaks them; if proved, none that there is
    reason: str
    proved: bool

    @property
    def answer(self) -> str:
        """The answer as --input, --batch or --set take it."""
        if self.holds is None or (self.fails is None and not self.proved):
            return ""
        return "x".join(map(str, self.holds.sizes.values()))

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Answer and certificate, a line each."""
        lines = [views.answer(self), *self.certificate("holds", self.holds), *self.certificate("fails", self.fails)]
        return "\n".join([*lines, *textwrap.wrap(self.reason, 80)])

    def certificate(self, word: str, at: At | None) -> Iterator[str]:
        """What each limited quantity is at a candidate."""
        where = "x".join(map(str, at.sizes.values())) if at is not None else ""
        for constraint, value in zip(self.constraints, at.values if at is not None else (), strict=False):
            kept = "keeps" if constraint.holds(value) else "breaks"
            if word == "fails" and kept == "keeps":
                continue
            yield f"  {word} at {where}: {constraint.quantity} {grouped(value)} {kept} {constraint}"

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """The solution as plain data."""
        tool = {"schema_version": 1, "tool": f"archcalc {__version__}"}
        return {**tool, **to_builtins(self), "answer": self.answer}


def solve(
    model: Network, maximised: str, subject_to: str | Sequence[str], input: Sizes | None = None, *, batch: int = 1,
    aspect: str = "1:1", multiple: int = 1, dtype: str = "float32", convention: str = "archcalc",
) -> Solution:  # fmt: skip
    """The largest input, batch or hyperparameter that keeps limits; see Model.solve."""
    limits = constraints(subject_to)
    known = ["input", "batch", *(name for name, value in model.settings.items() if not isinstance(value, bool))]
    if maximised not in known:
        rule = f"must be one of {', '.join(known)}"
        raise UsageError("--max", rule, maximised, way_out=nearest(maximised, known, listed=False))
    if not isinstance(multiple, int) or multiple < 1:
        raise UsageError("--multiple", "must be at least 1", f"{multiple}")
    asked = {"batch": batch, "dtype": dtype, "convention": convention}
    if maximised in model.settings and maximised not in ("input", "batch"):
        return _largest_setting(model, maximised, limits, multiple, {"input": input, **asked})
    factors = {BATCH: multiple} if maximised == "batch" else _shape_factors(model, aspect, multiple)
    derivation = Derivation(model, list(factors), input=input, **asked)  # type: ignore[arg-type]
    forms = [derivation.form(limit.quantity) for limit in limits]
    _refuse_partial(forms)
    line = derivation.along_line(factors) if maximised == "input" else None
    if maximised == "input" and line is None:
        raise UsageError(
            "--max", "input needs strides whose product is at most 512", "larger ones", way_out="archcalc sweep"
        )
    return Search(model.name, maximised, limits, forms, factors, line).solution()


def _refuse_partial(forms: Sequence[ClosedForm]) -> None:
    if any(form.partial for form in forms):
        raise ModelError(
            "solve", "needs every layer counted: a partial total bounds nothing", "a layer that is not known"
        )


def constraints(text: str | Sequence[str]) -> tuple[Constraint, ...]:
    """The limits in a text such as "macs <= 1G, output_bytes <= 2GiB".

    >>> [str(limit) for limit in constraints("macs <= 1G, output_bytes < 2GiB")]
    ['macs <= 1,000,000,000', 'output_bytes < 2,147,483,648']
    """
    texts = [text] if isinstance(text, str) else text
    parts = [part for given in texts for part in re.split(r",(?=\s*[A-Za-z_])", given)]
    found = []
    for part in parts:
        match = re.fullmatch(r"\s*([A-Za-z_]+)\s*(<=|<)\s*(\S.*?)\s*", part)
        if not match:
            raise UsageError("--subject-to", "must be limits such as macs <= 1G, joined by commas", repr(part))
        name, relation, amount = match.groups()
        if name not in COUNTED:
            known = nearest(name.lower(), COUNTED) or f"known: {', '.join(COUNTED)}"
            way_out = PEAKS if "peak" in name.lower() else known
            raise UsageError("--subject-to", "must limit a quantity of the report", name, way_out=way_out)
        try:
            limit = parse_bytes(amount) if name.endswith("_bytes") else parse_count(amount)
        except UsageError as error:
            raise UsageError("--subject-to", f"{name} {error.rule}", error.got) from None
        found.append(Constraint(name, relation, limit))
    return tuple(found)


def _shape_factors(model: Network, aspect: str, multiple: int) -> dict[str, int]:
    """For each spatial axis, what the candidate is multiplied by: the aspect, width to height, and the multiple."""
    axes = [symbol.name for symbol in symbols_of(model, {}) if symbol.usual]
    if len(model.inputs) != 1:
        raise UsageError("--max", "input needs a model with one input", ", ".join(model.inputs), way_out="--max batch")
    match = re.fullmatch(r"\s*([1-9][0-9]{0,5})\s*:\s*([1-9][0-9]{0,5})\s*", aspect)
    if not match or (len(axes) != 2 and match[1] != match[2]):
        images = "is for images: this input has no width and height"
        rule = "must be WIDTH:HEIGHT, such as 16:9" if len(axes) == 2 else images
        raise UsageError("--aspect", rule, repr(aspect))
    wide, high = int(match[1]) // gcd(int(match[1]), int(match[2])), int(match[2]) // gcd(int(match[1]), int(match[2]))
    step = lcm(multiple // gcd(multiple, wide), multiple // gcd(multiple, high))
    return dict(zip(axes, (high * step, wide * step), strict=True)) if len(axes) == 2 else dict.fromkeys(axes, multiple)


class Search:
    """The candidates n = 1, 2, 3 … in order, each axis being a multiple of n; those that the model accepts count."""

    def __init__(
        self, model: str, maximised: str, limits: Sequence[Constraint], forms: Sequence[ClosedForm],
        factors: Mapping[str, int], line: Fitting | None,
    ) -> None:  # fmt: skip
        self.model, self.maximised, self.limits, self.forms = model, maximised, tuple(limits), forms
        self.factors, self.line = factors, line
        expressions = [expression for form in forms for expression in form.expressions]
        periods = [(name, period_of(expressions, name)) for name in factors]
        own = 1 if line is None else line.period
        self.period = lcm(own, *(period // gcd(period, factors[name]) for name, period in periods))
        late = [size for size in line.smallest if size is not None] + list(line.alone) if line is not None else []
        self.regular = max(late, default=0) + 1  # from here on, the accepted candidates repeat with the period

    def legal(self, n: int) -> bool:
        """Does the model accept the candidate?"""
        return self.line is None or n in self.line

    def candidates(self, start: int) -> Iterator[int]:
        """Legal ones from a number on."""
        numbers = range(start, self.regular) if self.ends else count(max(1, start))
        return filter(self.legal, numbers)

    @property
    def ends(self) -> bool:
        """Is there a last legal candidate, as where positions are looked up in a table?"""
        return self.line is not None and all(size is None for size in self.line.smallest)

    def next(self, n: int) -> int:
        """The smallest legal candidate from n on."""
        found = next(islice(filter(self.legal, range(max(1, n), max(n, self.regular) + self.period + 1)), 1), None)
        if found is None:
            sizes = ", ".join(f"{name} = {factor}·n" for name, factor in self.factors.items())
            raise UsageError("--multiple", "must leave sizes that the model accepts", sizes)
        return found

    def at(self, n: int) -> At:
        """What a candidate costs, exactly."""
        sizes = {name: factor * n for name, factor in self.factors.items()}
        return At(n, sizes, tuple(int(form.function(*sizes.values())[0]) for form in self.forms))

    def kept(self, n: int) -> bool:
        """Does a candidate keep every limit?"""
        return all(limit.holds(value) for limit, value in zip(self.limits, self.at(n).values, strict=True))

    def solution(self) -> Solution:
        """By halving where growth is proved, else by looking at every candidate up to a bound."""
        first = self.next(1)
        if self.ends or not self.grows():
            return self.scanned()
        name = f"the {self.maximised}" if self.maximised in ("input", "batch") else self.maximised
        why = f"no limited quantity shrinks as {name} grows: proved {self._classes()}"
        if not self.kept(first):
            return self.found(None, first, f"{why}, and this is the smallest candidate", proved=True)
        low, high = first, self.next(2 * first)
        while self.kept(high):
            if 4 * high * max(self.factors.values()) > LIMIT:
                return self.found(high, None, f"the limits do not seem to bound it; {why}", proved=False)
            low, high = high, self.next(2 * high)
        while (middle := self.next(low + 1)) != high:
            half = self.next((low + high) // 2)
            middle = half if low < half < high else middle
            low, high = (middle, high) if self.kept(middle) else (low, middle)
        return self.found(low, high, why, proved=True)

    def _classes(self) -> str:
        every = "size" if self.maximised in ("input", "batch") else "value"
        return f"for every {every}" if self.period == 1 else f"for each of {self.period} remainders"

    def found(self, holds: int | None, fails: int | None, reason: str, *, proved: bool) -> Solution:
        """The solution with what both candidates cost."""
        both = [None if n is None else self.at(n) for n in (holds, fails)]
        return Solution(self.model, self.maximised, self.limits, both[0], both[1], reason, proved)

    def scanned(self) -> Solution:
        """The largest of the candidates, or of those up to a bound, each looked at."""
        looked = list(islice(self.candidates(1), SCANNED))
        kept = [n for n in looked if self.kept(n)]
        last = "x".join(map(str, self.at(looked[-1]).sizes.values()))
        why = f"there is no proof of growth: every candidate up to {last} was looked at"
        why = f"the model accepts nothing above {last}: every candidate was looked at" if self.ends else why
        if not kept:
            return self.found(None, looked[0], why, proved=self.ends)
        after = next((n for n in looked if n > kept[-1]), None)
        return self.found(kept[-1], after, why, proved=self.ends)

    def grows(self) -> bool:
        """Is no quantity smaller at the next candidate, for all of them?

        Within one rest of n by the period, every quotient is linear in t (n = period · t + rest), so a quantity is a
        polynomial in t; its growth to the next candidate is one too, and never negative if its differences are not.
        """
        if self.period > CLASSES or any(e.has(Largest) for form in self.forms for e in form.expressions):
            return False
        small = list(islice(filter(self.legal, range(1, self.regular + self.period)), self.regular + self.period))
        values = [self.at(n).values for n in [*small, self.next(self.regular + self.period)]]
        if any(b < a for now, after in pairwise(values) for a, b in zip(now, after, strict=True)):
            return False
        start = self.regular
        return all(self._class_grows(n) for n in range(start, start + self.period) if self.legal(n))

    def _class_grows(self, n: int) -> bool:
        step = self.next(n + 1) - n
        for form in self.forms:
            degree = _degree(form.expressions[0])
            places = [n + self.period * t for t in range(degree + 1)]
            growth = [self._value(form, place + step) - self._value(form, place) for place in places]
            for order in range(degree + 1):  # the coefficients in the basis of binomials
                if sum((-1) ** (order - k) * comb(order, k) * growth[k] for k in range(order + 1)) < 0:
                    return False
        return True

    def _value(self, form: ClosedForm, n: int) -> int:
        return int(form.function(*(factor * n for factor in self.factors.values()))[0])


def _degree(expression: Any) -> int:
    """An upper bound of the degree in the symbols, a quotient counting as a symbol."""
    expression = normal(expression)
    powers = [
        sum(int(sympy.sympify(factor).as_base_exp()[1]) for factor in sympy.Mul.make_args(term) if factor.free_symbols)
        for term in sympy.Add.make_args(expression)
    ]
    inner = [_degree(quotient.args[0]) for quotient in expression.atoms(FloorDiv)]
    return max(powers, default=0) * max(1, *inner, 1)


def _largest_setting(
    model: Network, name: str, limits: Sequence[Constraint], multiple: int, asked: Mapping[str, Any]
) -> Solution:
    """The largest value of a hyperparameter: by a formula in it where there is one, of those that the layers take."""
    try:
        derivation = Derivation(model, [name], **asked)
        forms = [derivation.form(limit.quantity) for limit in limits]
    except ModelError:
        return _scanned_setting(model, name, limits, multiple, asked)
    _refuse_partial(forms)
    search = Search(model.name, name, limits, forms, {name: multiple}, None)
    if not search.grows():
        return _scanned_setting(model, name, limits, multiple, asked)
    solution = search.solution()
    last = solution.holds.n if solution.holds else 0
    holds = next((n for n in range(last, max(0, last - TRIED), -1) if _takes(model, name, n * multiple, asked)), None)
    fails = next((n for n in range(last + 1, last + TRIED) if _takes(model, name, n * multiple, asked)), None)
    if holds is None and fails is None:
        return _scanned_setting(model, name, limits, multiple, asked)
    fails = None if solution.fails is None else fails
    reason = f"{solution.reason}; only values that the layers take are candidates"
    return search.found(holds, fails, reason, proved=solution.proved)


def _takes(model: Network, name: str, value: int, asked: Mapping[str, Any]) -> bool:
    try:
        network = model.with_settings({name: value})
        network.walk(full_shapes(network.inputs, asked["input"], asked["batch"]), outline)
    except ModelError:
        return False
    return True


def _scanned_setting(
    model: Network, name: str, limits: Sequence[Constraint], multiple: int, asked: Mapping[str, Any]
) -> Solution:
    """The largest of the first values of a hyperparameter, each read into a network of its own."""
    found: list[tuple[At, bool]] = []
    for n in range(1, TRIED + 1):
        try:
            report = model.with_settings({name: n * multiple}).report(**asked)
        except ModelError:
            continue
        totals = report.totals
        values = tuple(getattr(totals.ops if limit.quantity in OPS else totals, limit.quantity) for limit in limits)
        kept = all(limit.holds(value) for limit, value in zip(limits, values, strict=True))
        found.append((At(n, {name: n * multiple}, values), kept))
    if not found:
        raise ModelError("solve", f"needs a value of {name} that the layers take", f"none up to {TRIED * multiple}")
    why = f"there is no proof of growth: every {name} up to {TRIED * multiple} was looked at"
    last = max((place for place, (_, kept) in enumerate(found) if kept), default=-1)
    holds = found[last][0] if last >= 0 else None
    fails = found[last + 1][0] if last + 1 < len(found) else None
    return Solution(model.name, name, tuple(limits), holds, fails, why, proved=False)
