"""Judges a claimed number: it is right, or a known slip yields exactly that number, or nothing that is known does."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import chain, count, islice
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from archcalc.algebra.dtype import MODEL_DTYPES, bytes_of
from archcalc.algebra.num import prod
from archcalc.algebra.units import grouped, parse_rounded
from archcalc.errors import ModelError, UsageError, nearest
from archcalc.layers import AvgPool, Conv, ConvTranspose, Identity, MaxPool, Unknown
from archcalc.layers.layer import Layer, Shape, shown
from archcalc.model.graph import Graph, Input, Node
from archcalc.model.network import Network, one_of
from archcalc.model.walk import Use, answer, walk
from archcalc.questions.quantities import BYTES_OF, QUANTITIES
from archcalc.questions.terms import COUNTS, SIGNS, SIZES, WEIGHTS, WORK, Term, count_of, term_of

CLAIMED = (*[name for name in QUANTITIES if name != "output"], "elements")
LOOKED_FOR = "bias, kernel, channels, groups, area, padding, stride, rounding, pools, batch, sums, units, digits"
MOST, SHOWN = 5, 6  # explanations of one claim; terms of a sum that a sentence writes out
WALKED = 50_000  # layers of changed networks, so that a deep one is answered in a second or two
Claimed = int | Fraction  # a fraction: a claim with a prefix that means no whole number, such as 3.446MiB
Guess = tuple[str, list[Term], bool]  # what somebody may have counted: the slip, all terms of the sum, is it a habit
Plans = Iterator[tuple[str, dict[int, Any], bool]]  # the slip, where, is it made wherever it can be: a habit


class Verdict(Struct, frozen=True):
    """A claim and the counted number; where they differ, the slips that yield the claim, best explanation first."""

    target: str
    claimed: int | float  # as above
    counted: int
    holds: bool
    slips: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.holds:
            return f"{self.target}: {grouped(self.counted)} is right"
        head = f"{self.target}: claimed {self.claimed:,}, counted {grouped(self.counted)}: "
        return head + ("\n  or: ".join(self.slips) or f"no known slip gives this number (looked for: {LOOKED_FOR})")

    def to_dict(self) -> dict[str, Any]:
        return {**to_builtins(self), "slips": list(self.slips)}


class Case(Struct, frozen=True):
    """A quantity of some rows of a walked network, which can be walked again with a slip in it."""

    inputs: Mapping[str, Input]
    shapes: Mapping[str, Shape]
    walked: Sequence[Use]  # up to the last of the rows
    chosen: tuple[int, ...]
    quantity: str
    dtype: str

    def changed(self, layers: Mapping[int, Layer]) -> list[Term]:
        """The terms where some layers are replaced; parts of composites are nodes here, so that they can be."""
        own = [(use, layers.get(at, use.layer)) for at, use in enumerate(self.walked)]
        nodes = [Node(use.name, to, use.inputs, use.node.trainable, use.shared_with) for use, to in own]
        again = walk(Graph("changed", self.inputs, tuple(nodes), ()), self.shapes)
        return [term_of(again[at], self.quantity, self.dtype) for at in self.chosen]

    def total(self, terms: Iterable[Term]) -> int:
        """The sum; weights are summed as elements, since half bytes are rounded up once for all of them."""
        elements = sum([term.value for term in terms])
        return bytes_of(elements, self.dtype) if self.quantity in BYTES_OF else elements

    def totals(self, dtype: str) -> dict[str, int]:
        """Every quantity of the rows; the inputs only of one layer, where they are nobody's outputs."""
        uses = [self.walked[at] for at in self.chosen]
        sums = {name: sum([count_of(use, name, dtype) for use in uses]) for name in CLAIMED}
        sums |= {name: bytes_of(sums[of], dtype) for name, of in BYTES_OF.items()}
        return sums | ({"inputs": sum(map(prod, uses[0].xs))} if len(self.chosen) == 1 else {})

    def explained(self, terms: list[Term], claimed: Claimed, rounded: Sequence[str]) -> list[str]:
        """Sentences about the slips that yield the claim: causes before slips of the pen; two slips only if need be."""
        counted = self.total(terms)
        guesses = [*_in_formulas(terms, self.quantity), *self.in_networks()]
        hits = [self.said(terms, *guess) for guess in guesses if self.total(guess[1]) == claimed]
        sums = [self.said(terms, *guess) for guess in _in_sums(terms) if self.total(guess[1]) == claimed]
        named = [sentence for value, sentence in self.misnamed() if value == claimed]
        units = [] if hits or named else [*self.scaled(counted, claimed)]
        pen = [phrase for phrase, value in _typed(counted) if value == claimed]
        if isinstance(claimed, int) and any(value == counted and "lost" in phrase for phrase, value in _typed(claimed)):
            pen.append(f"a digit is added: {grouped(counted)} became {_said(claimed)}")
        one = dict.fromkeys([*rounded, *hits, *named, *sums, *units, *pen])
        return list(one or dict.fromkeys(self.two_slips(terms, guesses, claimed)))[:MOST]

    def two_slips(self, terms: Sequence[Term], guesses: Sequence[Guess], claimed: Claimed) -> Iterator[str]:
        """Pairs of habits, each pair once: in a network and a formula, in either and a factor, in a row and the sum."""
        said = set()
        for phrase, changed, _ in (guess for guess in guesses if guess[2]):
            for other, both, _ in _in_formulas(changed, self.quantity, habits=True):
                if self.total(both) == claimed and {phrase, other} not in said:
                    said.add(frozenset((phrase, other)))
                    yield f"{phrase}; {self.said(changed, other, both)}"
            for sentence in self.scaled(self.total(changed), claimed):
                yield f"{self.said(terms, phrase, changed)}; {sentence}"
        yield from self.of_one_row(terms, claimed)

    def of_one_row(self, terms: Sequence[Term], claimed: Claimed) -> Iterator[str]:
        """Slips in the number of one row, which was taken for the number of all; the largest row first."""
        rows = [(at, term) for at, term in zip(self.chosen, terms, strict=True) if term.value and len(terms) > 1]
        for at, term in sorted(rows, key=lambda row: -row[1].value):
            row = replace(self, chosen=(at,))
            guesses = _in_formulas([term], self.quantity)
            hits = [row.said([term], *guess) for guess in guesses if row.total(guess[1]) == claimed]
            named = [sentence for value, sentence in row.misnamed() if value == claimed]
            yield from (f"{term.use.name} alone is counted; {sentence}" for sentence in dict.fromkeys([*hits, *named]))

    def in_networks(self) -> Iterator[Guess]:
        """Every slip in a layer's fields, with the shapes that follow from it."""
        found: dict[str, dict[int, Layer]] = {}
        for at, use in enumerate(self.walked):
            for phrase, layer in _misread(use, use.layer):
                with suppress(ModelError):  # as below
                    if answer(layer, use.xs) != use.answers:
                        found.setdefault(phrase, {})[at] = layer
        names = ["" if self.chosen == (at,) else use.name for at, use in enumerate(self.walked)]
        for phrase, layers, habit in islice(_plans(found, names), WALKED // len(self.walked)):
            with suppress(ModelError):  # the changed network does not fit: nobody has counted it
                yield phrase, self.changed(layers), habit

    def misnamed(self) -> Iterator[tuple[int, str]]:
        """Another quantity of the same rows under this one's name; and bytes in another number format."""
        sums = self.totals(self.dtype)
        for quantities, summed, phrase in OTHERS:
            if self.quantity in quantities and all(name in sums for name in summed):
                values = [sums[name] for name in summed]
                text = f"{phrase}: {' + '.join(map(grouped, values))}"
                yield sum(values), text + (f" = {grouped(sum(values))}" if len(values) > 1 else "")
        for dtype in ("float64", "float32", "float16", "int8", "int4") if self.quantity.endswith("_bytes") else ():
            value = self.totals(dtype)[self.quantity]
            yield value, f"{dtype} is taken for {self.dtype}: {grouped(value)}"

    def scaled(self, value: int, claimed: Claimed) -> Iterator[str]:
        """A factor between a number and the claim that a unit or the batch explains."""
        batch = next(iter(self.shapes.values()))[0]
        batches = [(batch, 1, "the batch is counted"), (1, batch, "the batch is forgotten")] if batch > 1 else []
        for up, down, phrase in (IN_BYTES if self.quantity.endswith("_bytes") else []) + batches + FACTORS:
            if value and value * up == claimed * down:
                working = (f" × {grouped(up)}" if up > 1 else "") + (f" ÷ {grouped(down)}" if down > 1 else "")
                yield f"{phrase}: {grouped(value)}{working} = {_said(claimed)}"

    def said(self, terms: Sequence[Term], phrase: str, changed: Sequence[Term], _: bool = True) -> str:
        before, after = (sum([term.value for term in some]) for some in (terms, changed))
        parts = [grouped(term.value) for term in changed if term.value]
        working = " + ".join(parts) if 1 < len(parts) <= SHOWN else f"{before:,} {after - before:+,}".translate(SIGNS)
        if len(terms) == 1 and changed[0].factors != terms[0].factors:
            working = str(changed[0])
        text = f"{phrase}: {working}" + (f" = {grouped(after)}" if working != grouped(after) else "")
        return text + (f" elements, {grouped(self.total(changed))} bytes" if self.quantity in BYTES_OF else "")


def judge(model: Network, target: str, text: str, shapes: Mapping[str, Shape], dtype: str = "float32") -> Verdict:
    """Is a claim about a quantity of a layer, a block or the whole model right; if not, which slips yield it exactly?

    Raises UsageError for a layer, a quantity, a dtype or a unit that does not exist.
    """
    one_of("dtype", dtype, MODEL_DTYPES)
    walked = model.walk(shapes)
    chosen, quantity = _named(target, walked)
    try:
        claimed, half = parse_rounded(text, of_bytes=quantity.endswith("_bytes"))
    except UsageError as error:
        raise UsageError("--claim", f"{target} {error.rule}", error.got) from None
    case = Case(model.inputs, shapes, walked[: chosen[-1] + 1], chosen, quantity, dtype)
    terms = [term_of(walked[at], quantity, dtype) for at in chosen]
    counted = case.total(terms)
    about = [f"the claim is rounded: {grouped(counted)} is about {text.strip()}"]
    rounded = about if -half <= counted - claimed <= half else []
    slips = [] if claimed == counted else case.explained(terms, claimed, rounded)
    unknown = [walked[at].name for at in chosen if isinstance(walked[at].layer, Unknown)]
    if unknown and quantity not in SIZES:
        slips = [f"{', '.join(unknown[:3])} cannot be counted, so that {grouped(counted)} is a lower bound"]
    plain = claimed if isinstance(claimed, int) else float(claimed)
    return Verdict(target, plain, counted, claimed == counted and not slips, tuple(slips))


def _named(target: str, uses: Sequence[Use]) -> tuple[tuple[int, ...], str]:
    """Which rows a target means, and which quantity of them."""
    path, _, quantity = target.rpartition(".")
    names = [use.name for use in uses]
    if quantity not in CLAIMED:
        way_out = f"such as {target}.params" if target in names else nearest(quantity, CLAIMED)
        raise UsageError("--claim", f"must end in one of {', '.join(CLAIMED)}", repr(target), way_out=way_out)
    own = (names.index(path),) if path in names else ()  # a join goes by the name of what it joins
    chosen = own or tuple(at for at, name in enumerate(names) if name.startswith(f"{path}/"))
    if not chosen and path not in ("", "total"):
        raise UsageError("--claim", "must name a layer or a block", repr(path), way_out=nearest(path, names))
    return chosen or tuple(range(len(uses))), quantity


def _plans(found: Mapping[str, dict[int, Any]], names: Sequence[str]) -> Plans:
    """Each slip in the layer that has no name here, then in all that it can be made in, then in each of them alone."""
    order = sorted(found.items(), key=lambda item: "kernel" in item[0])  # a kernel is written down, and seldom misread
    yield from ((phrase, {at: to}, True) for phrase, changed in order for at, to in changed.items() if not names[at])
    for phrase, changed in order:
        if len(changed) > 1:
            yield f"{phrase}, in {len(changed)} layers", changed, True
        yield from ((f"{names[at]}: {phrase}", {at: changed[at]}, len(changed) == 1) for at in changed if names[at])


def _in_formulas(terms: Sequence[Term], quantity: str, *, habits: bool = False) -> Iterator[Guess]:
    """Every slip in a layer's formula, its shapes being right."""
    found: dict[str, dict[int, Term]] = {}
    for at, term in enumerate(terms):
        slips = (term.bias_slips, term.channel_slips, term.kernel_slips, term.area_slips) if term.factors else ()
        for phrase, other in chain.from_iterable(slip(quantity) for slip in slips):
            if other.value != term.value:
                found.setdefault(phrase, {})[at] = other
    for phrase, changed, habit in _plans(found, [term.use.name if len(terms) > 1 else "" for term in terms]):
        if habit or not habits:
            yield phrase, [*map(changed.get, count(), terms)], habit


def _misread(use: Use, layer: Layer) -> Iterator[tuple[str, Layer]]:
    """The layer with one field misread."""
    if not isinstance(layer, Conv | ConvTranspose | MaxPool | AvgPool):
        return
    x, pool = use.xs[0], isinstance(layer, MaxPool | AvgPool)
    if isinstance(layer, MaxPool | AvgPool):
        yield "the pool is ignored", Identity()
        other_way = "down" if layer.ceil_mode else "up"
        yield f"the size is rounded {other_way}", replace(layer, ceil_mode=not layer.ceil_mode)
    elif isinstance(layer, Conv):  # padded behind by what one more stop needs
        sizes = zip(layer.windows(x), x[2:], strict=True)
        needed = [(w.before, w.after + (w.span - n - w.before - w.after) % w.stride) for w, n in sizes]
        yield "the size is rounded up", replace(layer, padding=tuple(needed))
    rule: Any = "same" if layer.padding in (0, "valid") else "valid"
    if not getattr(layer, "output_padding", 0):  # which goes with no rule
        yield f"the padding is taken as {rule}", replace(layer, padding=rule)
    yield "the stride is ignored", replace(layer, stride=1)
    if not isinstance(layer, AvgPool):
        yield "the dilation is ignored", replace(layer, dilation=1)
    for size in range(2, 5) if pool else range(1, 12):
        name = f"the {'pool' if pool else 'kernel'} is taken as {shown([size] * (len(x) - 2))}"
        yield name, replace(layer, kernel=size, stride=size if pool and layer.stride == layer.kernel else layer.stride)


def _in_sums(terms: Sequence[Term]) -> Iterator[Guess]:
    """Every slip in adding the rows up."""
    for at, old in enumerate(terms if len(terms) > 1 else ()):
        for phrase, n in [("left out", 0), ("counted twice", 2 * old.value), *_typed(old.value)] if old.value else []:
            yield f"{old.use.name}: {phrase}", [*terms[:at], Term(old.use, n, n), *terms[at + 1 :]], False
        if sum(term.value > 0 for term in terms) > 2:  # of two, the other one is left out
            yield f"{old.use.name} alone is counted", [t if t is old else Term(t.use, 0, 0) for t in terms], False
    kinds = [term.use.kind for term in terms]
    for kind in dict.fromkeys(kinds):
        if kinds.count(kind) > 1:
            yield f"every {kind} is left out", [Term(t.use, 0, 0) if t.use.kind == kind else t for t in terms], False


def _typed(n: int) -> Iterator[tuple[str, int]]:
    text = str(n)
    for at, d in enumerate(text):
        head, tail = text[:at], text[at + 1 :]
        others = {"lost": head + tail, "doubled": head + d + d + tail, "swapped": head + tail[:1] + d + tail[1:]}
        for phrase, other in others.items():
            if other.lstrip("0") == other and other not in ("", text):
                yield f"a digit is {phrase}: {grouped(n)} became {grouped(int(other))}", int(other)


OTHERS: tuple[tuple[Sequence[str], tuple[str, ...], str], ...] = (  # what is claimed, what is summed, the slip
    (COUNTS, ("params", "buffers"), "the buffers are counted as parameters"),
    (("params",), ("trainable_params",), "the frozen parameters are left out"),
    (("trainable_params",), ("params",), "the frozen parameters are counted as trainable"),
    (COUNTS, ("elements",), "the outputs are named as parameters"),
    (COUNTS, ("inputs",), "the layer's inputs are named as its parameters"),
    (COUNTS, ("macs",), "MACs are named as parameters"),
    ((*WORK, "buffers"), ("params",), "the parameters are named so"),
    (WORK, ("macs", "macs"), "each MAC is counted as two operations, and nothing else"),
    (WORK[:3], ("flops",), "FLOPs are named as MACs"),
    (("macs",), ("macs_exact",), "the taps on padding are left out"),
    (("macs_exact",), ("macs",), "the taps on padding are counted"),
    (("flops",), ("macs",), "MACs are named as FLOPs, the additions are forgotten"),
    (("flops",), ("mul", "add"), "only multiplications and additions are counted"),
    (("elements", "params"), ("output_bytes",), "the bytes of the output are named so"),
    (("params", "output_bytes"), ("weight_bytes",), "the bytes of the weights are named so"),
    (SIZES[1:], ("elements",), "elements are named as bytes, the width of the numbers is forgotten"),
    (WEIGHTS[2:], ("params",), "elements are named as bytes, the width of the numbers is forgotten"),
)


FACTORS = [(2, 1, "twice the number"), (1, 2, "half of the number")]
for _n in (1000, 10**6):
    FACTORS += [(_n, 1, "the unit is too large"), (1, _n, "the unit is too small")]
IN_BYTES = [(8, 1, "bits are named as bytes"), (1, 8, "bytes are taken for bits")]
for _power, _prefix in enumerate("kMGT", start=1):
    _iec, _si = (1024**_power, f"{_prefix.upper()}iB"), (1000**_power, f"{_prefix}B")
    IN_BYTES += [(a, b, f"{name} is written for {other}") for (a, name), (b, other) in ((_iec, _si), (_si, _iec))]


def _said(claimed: Claimed) -> str:
    return f"{claimed if isinstance(claimed, int) else float(claimed):,}"
