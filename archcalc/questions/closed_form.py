"""Closed forms: a quantity of a model as one expression in its sizes, with the conditions under which it holds."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import gcd, lcm
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc import __version__
from archcalc.algebra.assumptions import Assumptions, Domain, Substitution
from archcalc.algebra.assumptions import assume as assumptions_in
from archcalc.algebra.compiled import Compiled, compiled
from archcalc.algebra.dtype import MODEL_DTYPES, bytes_of
from archcalc.algebra.num import is_symbolic, prod
from archcalc.algebra.ops import CONVENTIONS, Convention, Ops
from archcalc.algebra.symbolic import Largest, floored, normal, period_of
from archcalc.algebra.written import STYLES, written
from archcalc.errors import ModelError, UsageError
from archcalc.layers.layer import Layer, Shape, kind_of
from archcalc.layers.unknown import Unknown
from archcalc.model.network import Network, one_of
from archcalc.model.report import row_of
from archcalc.model.sizes import Sizes, full_shapes, whole_number
from archcalc.model.walk import Answers, Use, bounded, outline, walk
from archcalc.questions.fitting import Fitting, fitting, tried
from archcalc.questions.quantities import BYTES_OF, OPS, QUANTITIES, uses_of
from archcalc.questions.symbols import Symbol, chosen, replaced
from archcalc.views import formula as views

MOST_TRIED = 100  # sizes that are tried one by one where a rule could be found


class ClosedForm(Struct, frozen=True, dict=True, eq=False):
    """A quantity as an expression; of the output, one for each axis. `form(H=1024, W=768)` is its exact value."""

    model: str
    of: str
    layer: str | None
    expressions: tuple[Any, ...]
    symbols: tuple[Symbol, ...]
    inputs: Mapping[str, tuple[Any, ...]]
    assumptions: Assumptions
    convention: str
    dtype: str
    partial: bool
    fitting: Callable[[], Mapping[str, Fitting]]
    walked: Callable[[Mapping[str, int]], Any]  # the walk of the model at sizes

    @property
    def expression(self) -> Any:
        """The expression, in sympy; of the output shape, a tuple of them."""
        return self.expressions if self.of == "output" else self.expressions[0]

    @cached_property
    def function(self) -> Compiled:
        """The same as a function of integers and arrays, in the order of the symbols."""
        return compiled(self.expressions, [symbol.name for symbol in self.symbols])

    def __call__(self, **sizes: int) -> Any:
        """The exact value at these sizes; UsageError for sizes that the formula does not hold for."""
        names = [symbol.name for symbol in self.symbols]
        fixed = {name: own.first for name in names if (own := self.assumptions.domain(name)).most == own.first}
        sizes = {**fixed, **{name: whole_number("formula", size) for name, size in sizes.items()}}
        if set(sizes) != set(names):
            raise UsageError("formula", f"takes {', '.join(names) or 'nothing'}", ", ".join(sizes) or "nothing")
        for name, size in sizes.items():
            rule = self.refusal(name, size)
            if rule:
                raise UsageError("formula", f"holds where {rule}", f"{name} = {size}")
        for name, stands in self.assumptions.equal.items():
            if sizes[name] != sizes[stands]:
                raise UsageError("formula", f"holds where {name} == {stands}", f"{sizes[name]} and {sizes[stands]}")
        self.walked(sizes)  # raises where the model refuses them together
        values = self.function(*(sizes[name] for name in names))
        return tuple(map(int, values)) if self.of == "output" else int(values[0])

    def refusal(self, name: str, size: int) -> str:
        """The condition that a size breaks; empty if none."""
        domain, fits = self.assumptions.domain(name), self.fitting().get(name)
        if size not in domain:
            return " and ".join(domain.said(name)) or f"{name} ≥ 1"
        return fits.legal() if fits is not None and size not in fits else ""

    def under(self, domains: Mapping[str, Domain]) -> tuple[Any, ...]:
        """The expressions for sizes of these domains, which only makes them simpler."""
        both = {name: self.assumptions.domain(name).and_(domain) or domain for name, domain in domains.items()}
        way = Substitution([symbol.name for symbol in self.symbols], Assumptions(both, self.assumptions.equal))
        forward = {way.symbols[name]: value for name, value in way.forward.items()}
        return tuple(shortest(expression.subs(forward), way.back) for expression in self.expressions)

    @property
    def conditions(self) -> list[str]:
        """What was assumed, which sizes are legal, and at which of them no floor drops anything."""
        return views.conditions(self)

    def written(self, style: str) -> str:
        """The formula in text, ascii, latex, mathml, python or js."""
        one_of("style", style, STYLES)
        return views.written_form(self, style)

    def __str__(self) -> str:
        return views.page([self], 80)

    def __repr__(self) -> str:
        return f"<ClosedForm {self.of} of {self.layer or self.model}: {self.written('text')}>"

    def _repr_latex_(self) -> str:
        return views.mathematics(self)

    def to_dict(self) -> dict[str, Any]:
        """The formula as plain data, in every language."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "of": self.of,
            "layer": self.layer,
            "symbols": {symbol.name: symbol.meaning for symbol in self.symbols},
            "inputs": {
                name: [str(size) if is_symbolic(size) else size for size in shape]
                for name, shape in self.inputs.items()
            },
            "dtype": self.dtype,
            "convention": self.convention,
            "status": "partial" if self.partial else "complete",
            "conditions": self.conditions,
            **{style: self.written(style) for style in STYLES},
        }


class Derivation:
    """Derives the closed forms of one model in some symbols, under some assumptions."""

    def __init__(
        self, model: Network, symbols: str | Sequence[str] | None = None, assume: str | Sequence[str] = (),
        input: Sizes | Mapping[str, Sizes] | None = None, *, batch: int = 1,
        dtype: str = "float32", convention: str = "archcalc",
    ) -> None:  # fmt: skip
        one_of("dtype", dtype, MODEL_DTYPES)
        one_of("convention", convention, CONVENTIONS)
        self.model, self.input, self.batch = model, input, batch
        self.dtype, self.convention = dtype, convention
        self.shapes = full_shapes(model.inputs, input, batch)
        model.walk(self.shapes, outline)  # what does not fit as it stands has no formula either
        self.symbols = chosen(model, model.settings, symbols)
        self.names = [symbol.name for symbol in self.symbols]
        self.assumptions = assumptions_in([assume] if isinstance(assume, str) else assume, self.names)
        if assume:
            self.check()

    def form(self, of: str, layer: str | None = None) -> ClosedForm:
        """The closed form of a quantity; of a layer or block, or of the whole model."""
        form = self.raw(of, layer)
        if any(expression.has(Largest) for expression in form.expressions) and self.fitting:
            least = {name: fits.least for name, fits in self.fitting.items()}
            return replace(form, expressions=self.expressions(of, layer, least)[0])
        return form

    def raw(self, of: str, layer: str | None = None) -> ClosedForm:
        """The same, but the larger of two numbers stays where only the legal sizes say which it is."""
        one_of("of", of, QUANTITIES)
        expressions, partial = self.expressions(of, layer, {})
        fixed = {name: domain for name, domain in self.assumptions.domains.items() if domain.most == domain.first}
        plain = Substitution(self.names, Assumptions(fixed, self.assumptions.equal)).forward
        inputs = replaced(self.shapes, self.symbols, plain)
        return ClosedForm(
            self.model.name, of, layer, expressions, tuple(self.symbols), inputs, self.assumptions,
            self.convention, self.dtype, partial, lambda: self.fitting, self.at,
        )  # fmt: skip

    def expressions(self, of: str, layer: str | None, least: Mapping[str, int]) -> tuple[tuple[Any, ...], bool]:
        """The expressions in the symbols, for sizes from `least` on; and whether something was not counted."""
        way = Substitution(self.names, self.assumptions, least)
        uses = self.walk(way, asking(of, CONVENTIONS[self.convention], self.names))
        wanted = uses_of(uses, layer)
        partial = any(isinstance(use.layer, Unknown) for use in wanted)
        if of == "output":
            outputs = (use for use in reversed(wanted) if layer or use.node.name == self.model.outputs[0])
            shape = next(outputs).answers.y
            return tuple(shortest(size, way.back) for size in shape), partial
        total = sum(self.amount(use, BYTES_OF.get(of, of)) for use in wanted)
        total = bytes_of(total, self.dtype) if of in BYTES_OF else total
        return (shortest(total, way.back),), partial

    def walk(self, way: Substitution, ask: Callable[[Layer, tuple[Shape, ...]], Answers]) -> list[Use]:
        """The walk with what the symbols stand for in their places."""
        settings = {symbol.name: way.forward[symbol.name] for symbol in self.symbols if symbol.of == "setting"}
        graph = self.model.with_settings(settings)
        shapes = full_shapes(graph.inputs, self.input, self.batch) if settings else self.shapes
        return walk(graph, replaced(shapes, self.symbols, way.forward), ask=ask)

    def at(self, sizes: Mapping[str, int]) -> list[Use]:
        """The walk at sizes; ModelError where the model refuses them."""
        network = self.model.with_settings({name: n for name, n in sizes.items() if name in self.model.settings})
        own = full_shapes(network.inputs, self.input, self.batch)
        return network.walk(replaced(own, self.symbols, sizes), outline)

    def amount(self, use: Use, of: str) -> Any:
        """A quantity of one use of a layer."""
        row = row_of(use, self.dtype, CONVENTIONS[self.convention])
        return getattr(row.ops if of in OPS else row, of)

    @cached_property
    def fitting(self) -> dict[str, Fitting]:
        """What the axes may be, found by trying the network at many sizes."""
        found = {}
        for symbol in self.symbols:
            if symbol.of == "axis" and self.alone(symbol):
                stands = self.assumptions.equal.get(symbol.name, symbol.name)
                image = self.model.reads_as_image(symbol.input) and symbol.position > 1
                spatial = symbol.position - 2 if image else None
                period, own = period_of(self.sizes, stands), self.shapes[symbol.input][symbol.position]
                fits = fitting(symbol.name, period, self.tried(self.alike(symbol)), spatial, own)
                if fits is not None:
                    found[symbol.name] = fits
        return found

    def alone(self, symbol: Symbol) -> bool:
        """Can an axis be looked at by itself: is there one input, or has each an axis that is assumed to be equal?"""
        return {other.input for other in self.alike(symbol)} >= set(self.model.inputs)

    @cached_property
    def sizes(self) -> list[Any]:
        """Every size in the network as an expression; none where it has no form for all sizes of its axes."""
        others = {symbol.name for symbol in self.symbols if symbol.of != "axis"}
        domains = {name: domain for name, domain in self.assumptions.domains.items() if name in others}
        try:
            way = Substitution(self.names, Assumptions(domains, self.assumptions.equal))
            return [size for use in self.walk(way, outline_of(self.names)) for size in use.answers.y]
        except ModelError:
            return []

    def accepted(self, names: Sequence[str], values: Sequence[int]) -> Fitting | frozenset[int]:
        """Which sizes axes may have together: a few are tried one by one, many go by the rule."""
        line = self.along_line(dict.fromkeys(names, 1)) if len(values) > MOST_TRIED else None
        if line is not None:
            return line
        walked = self.tried([symbol for symbol in self.symbols if symbol.name in names])
        return frozenset(n for n in values if walked(n) is not None)

    def along_line(self, factors: Mapping[str, int]) -> Fitting | None:
        """Which n are accepted when each of these axes has its factor times n."""
        periods = [(period_of(self.sizes, name), factor) for name, factor in factors.items()]
        period = lcm(*(period // gcd(period, factor) for period, factor in periods))
        walked = self.tried([symbol for symbol in self.symbols if symbol.name in factors], factors)
        own = [self.shapes[s.input][s.position] // factors[s.name] for s in self.symbols if s.name in factors]
        return fitting("n", period, walked, None, max(own[0], 1))

    def tried(
        self, symbols: Sequence[Symbol], factors: Mapping[str, int] | None = None
    ) -> Callable[[int], Sequence[Use] | None]:
        """The walk at a size of an axis; None where the model refuses it, or has other sizes than the formula.

        The latter happens where an axis of size 1 is repeated to the size of another: no formula in the axis says that.
        """
        distinct = list(dict.fromkeys(filter(is_symbolic, self.sizes)))
        function, along = compiled(distinct, self.names), self.along(symbols, factors or {})

        def holds(shapes: Mapping[str, Shape], uses: Sequence[Use]) -> bool:
            here = (self.own(other) if other.of == "setting" else _size(shapes, other) for other in self.symbols)
            values = dict(zip(distinct, function(*here), strict=True))
            walked = (size for use in uses for size in use.answers.y)
            return not self.sizes or all(values.get(e, e) == n for e, n in zip(self.sizes, walked, strict=True))

        return tried(self.model, along, holds)

    def own(self, symbol: Symbol) -> int:
        """The value that a hyperparameter has in the spec."""
        return int(self.model.settings[symbol.name])

    def along(self, symbols: Sequence[Symbol], factors: Mapping[str, int]) -> Callable[[int], Mapping[str, Shape]]:
        """Input shapes with these axes of a given size, or a multiple of it."""
        return lambda n: replaced(self.shapes, symbols, {s.name: n * factors.get(s.name, 1) for s in symbols})

    def alike(self, symbol: Symbol) -> list[Symbol]:
        """An axis, and those that are assumed to be equal to it."""
        stands = self.assumptions.equal.get(symbol.name, symbol.name)
        return [other for other in self.symbols if self.assumptions.equal.get(other.name, other.name) == stands]

    def check(self) -> None:
        """Refuse assumptions under which the model accepts no size."""
        for name, fits in self.fitting.items():
            domain = self.assumptions.domain(name)
            start = (domain.and_(Domain(least=max(fits.least, 1))) or Domain(least=2**62)).first
            if not any(n in domain for n in fits.sizes(start, domain.modulus)):
                said = " and ".join(domain.said(name))
                raise UsageError(
                    "--assume", "must leave a size that the model accepts", said, way_out=f"it accepts {fits.legal()}"
                )


def _size(shapes: Mapping[str, Shape], symbol: Symbol) -> int:
    """The size of an axis, or the batch."""
    return shapes[symbol.input][symbol.position] if symbol.of == "axis" else next(iter(shapes.values()))[0]


def closed_form(model: Network, of: str, **options: Any) -> ClosedForm:
    """The closed form of one quantity; see Model.closed_form."""
    layer = options.pop("layer", None)
    return Derivation(model, **options).form(of, layer)


def asking(of: str, convention: Convention, names: Sequence[str]) -> Callable[[Layer, tuple[Shape, ...]], Answers]:
    """The question of a walk that answers no more than a quantity needs; exact MACs of symbols are slow."""
    weights = of in ("params", "trainable_params", "buffers", *BYTES_OF)
    macs = of == "macs" or (of == "flops" and convention.per_mac != 0)
    exact = of == "macs_exact" or (of == "flops" and convention.per_exact_mac != 0)
    ops = of in OPS or (of == "flops" and convention.per_op != 0)

    def ask(layer: Layer, xs: tuple[Shape, ...]) -> Answers:
        try:
            y = tuple(map(_normal, bounded(layer, layer.out(*xs))))
            owned = layer.weights(*xs)
            values = list(owned.values()) if weights else []
            return Answers(
                kind=kind_of(layer),
                y=y,
                weights=owned,
                shapes={},
                params=sum(prod(w.shape) for w in values if w.role == "trainable"),
                buffers=sum(prod(w.shape) for w in values if w.role == "buffer"),
                macs=layer.macs(xs, y) if macs else 0,
                macs_exact=layer.macs_exact(xs, y) if exact else 0,
                ops=layer.ops(xs, y) if ops else Ops(),
                elements=prod(y),
            )
        except TypeError as error:  # a loop over a symbol
            raise layer.error(f"{of} needs a number where the formula has {', '.join(names)}", str(error)) from None

    return ask


def outline_of(names: Sequence[str]) -> Callable[[Layer, tuple[Shape, ...]], Answers]:
    """Shapes alone, in normal form."""
    return asking("output", CONVENTIONS["archcalc"], names)


def _normal(size: Any) -> Any:
    return normal(size) if is_symbolic(size) else size


def shortest(expression: Any, back: Mapping[Any, Any]) -> Any:
    """The expression in the symbols again: as sums of products, or expanded where that is shorter to read."""
    kept = floored(expression).subs(back)
    expanded = normal(kept)
    return min((expanded, kept), key=lambda form: len(written(form)))
