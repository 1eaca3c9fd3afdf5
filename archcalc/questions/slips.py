"""Judges a claimed number: it is right, or a known slip yields exactly that number, or nothing that is known does."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, count, islice
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from archcalc.algebra.dtype import BITS, MODEL_DTYPES, bytes_of
from archcalc.algebra.num import prod
from archcalc.algebra.ops import CONVENTIONS
from archcalc.algebra.units import grouped, parse_bytes, parse_count
from archcalc.errors import ModelError, UsageError, nearest
from archcalc.layers import AvgPool, Conv, ConvTranspose, Dense, Identity, MaxPool, Unknown
from archcalc.layers.layer import Layer, Shape, shown
from archcalc.layers.windowed import per_axis
from archcalc.model.graph import Graph, Input, Node
from archcalc.model.network import Network, one_of
from archcalc.model.report import row_of
from archcalc.model.walk import Use, answer, walk
from archcalc.questions.quantities import BYTES_OF, OPS, QUANTITIES

COUNTS, WEIGHTS = ("params", "trainable_params"), ("params", "trainable_params", "weight_bytes")
WORK, SIZES = ("macs", "macs_exact", "mul", "add", "flops"), ("elements", "output_bytes")
CLAIMED = (*[name for name in QUANTITIES if name != "output"], "elements")
LOOKED_FOR = "bias, kernel, channels, groups, area, padding, stride, rounding, pools, batch, sums, units, digits"
MOST, SHOWN = 5, 6  # explanations of one claim; terms of a sum that a sentence writes out
WALKED = 50_000  # layers of changed networks, so that a deep one is answered in a second or two
SIGNS = str.maketrans({"+": "+ ", "-": "− "})  # of a summand
Factors = Mapping[str, tuple[int, ...]]
Edits = Iterator[tuple[str, "Term"]]
Guess = tuple[str, list["Term"], bool]  # what somebody may have counted: the slip, all terms of the sum, is it a habit
Plans = Iterator[tuple[str, dict[int, Any], bool]]  # the slip, where, is it made wherever it can be: a habit


class Verdict(Struct, frozen=True):
    """A claim and the counted number; where they differ, the slips that yield the claim, best explanation first."""

    target: str
    claimed: int
    counted: int
    holds: bool
    slips: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.holds:
            return f"{self.target}: {grouped(self.counted)} is right"
        head = f"{self.target}: claimed {grouped(self.claimed)}, counted {grouped(self.counted)}: "
        return head + ("\n  or: ".join(self.slips) or f"no known slip gives this number (looked for: {LOOKED_FOR})")

    def to_dict(self) -> dict[str, Any]:
        return {**to_builtins(self), "slips": list(self.slips)}


class Term(Struct, frozen=True, gc=False):
    """What one row adds to a number: times × the product of the factors + plus; without a product, plus alone."""

    use: Use
    value: int
    plus: int
    times: int = 1
    factors: Factors = {}

    def having(self, plus: int | None = None, **changed: tuple[int, ...]) -> "Term":
        """The same term with other factors, in their places, or another summand."""
        factors, added = {**self.factors, **changed}, self.plus if plus is None else plus
        return Term(self.use, self.times * prod(map(prod, factors.values())) + added, added, self.times, factors)

    def __str__(self) -> str:
        numbers = [n for n in chain([self.times], *self.factors.values()) if n != 1] or [1]
        plus = f" {self.plus:+,}".translate(SIGNS) if self.plus else ""
        return "·".join(map(grouped, numbers)) + plus if self.factors else grouped(self.plus)

    def bias_slips(self, quantity: str) -> Edits:
        outputs = prod(self.use.answers.y)
        if quantity in WEIGHTS and self.plus:
            yield "the bias is forgotten", self.having(0)
            yield "one bias is counted for the whole layer", self.having(1)
            yield "the bias is counted twice", self.having(2 * self.plus)
            yield "one bias too many is counted", self.having(self.plus + 1)
        elif quantity in WEIGHTS:
            yield "a bias is counted that the layer does not have", self.having(prod(self.factors["filters"]))
        elif quantity in WORK:
            yield "a bias is counted for each output", self.having(self.plus + outputs)
            if quantity in ("add", "flops"):
                yield "one addition per output is forgotten", self.having(self.plus - outputs)

    def channel_slips(self, quantity: str) -> Edits:
        filters, channels = self.factors["filters"], self.factors.get("channels", ())
        own, groups = self.plus // prod(filters) if quantity in WEIGHTS else 0, getattr(self.use.layer, "groups", 1)
        if self.factors.get("kernel"):
            yield "the groups are forgotten", self.having(channels=(*channels, groups))
            yield "the input channels are forgotten", self.having(channels=())
            yield "3 input channels are taken", self.having(channels=(3,))
        if self.factors.get("kernel") and groups == 1:
            fewer = self.having(own * prod(channels) if quantity in WEIGHTS else None, filters=channels)
            yield "as many input channels as filters are taken", self.having(channels=filters)
            yield "as many filters as input channels are taken", fewer
            yield "filters and input channels are confused", fewer.having(channels=filters)
        noun = "units" if isinstance(self.use.layer, Dense) else "channels" if quantity in SIZES else "filters"
        alone = self.having(own if quantity in WEIGHTS else None, filters=())
        yield f"the factor {grouped(prod(filters))} ({noun}) is forgotten", alone
        if quantity in WEIGHTS and noun == "units":
            yield "the layer's inputs are named as its parameters", alone.having(0)

    def kernel_slips(self, _: str) -> Edits:
        kernel = self.factors.get("kernel", ())
        yield "the kernel is counted along one axis only", self.having(kernel=kernel[:1])
        for size in sorted(range(1, 12), key=lambda size: abs(size - max(kernel, default=0))):
            if kernel:
                yield f"the kernel is taken as {shown([size] * len(kernel))}", self.having(kernel=(size,) * len(kernel))

    def area_slips(self, quantity: str) -> Edits:
        read, made, stops = self.use.xs[0][2:], self.use.answers.y[2:], self.factors.get("stops", ())
        if quantity in WEIGHTS and self.factors.get("kernel"):
            yield "the weights are multiplied by the output area", self.having(stops=made)
            yield "the parameters are multiplied by the output area", self.having(self.plus * prod(made), stops=made)
        elif stops:
            yield "the output area is forgotten", self.having(stops=())
            yield "only one axis of the output area is multiplied in", self.having(stops=stops[:1])
            if self.factors.get("kernel"):
                grid, stops = ("output", made) if isinstance(self.use.layer, ConvTranspose) else ("input", read)
                yield "the input area is multiplied in as well", self.having(read=read)
                yield f"the products are counted on the {grid} grid", self.having(stops=stops)


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
        return [_term(again[at], self.quantity, self.dtype) for at in self.chosen]

    def total(self, terms: Iterable[Term]) -> int:
        """The sum; weights are summed as elements, since half bytes are rounded up once for all of them."""
        elements = sum([term.value for term in terms])
        return bytes_of(elements, self.dtype) if self.quantity in BYTES_OF else elements

    def totals(self, dtype: str) -> dict[str, int]:
        """Every quantity of the rows; the inputs only of one layer, where they are nobody's outputs."""
        uses = [self.walked[at] for at in self.chosen]
        sums = {name: sum([_count(use, name, dtype) for use in uses]) for name in CLAIMED}
        sums |= {name: bytes_of(sums[of], dtype) for name, of in BYTES_OF.items()}
        return sums | ({"inputs": sum(map(prod, uses[0].xs))} if len(self.chosen) == 1 else {})

    def explained(self, terms: list[Term], claimed: int, text: str) -> list[str]:
        """Sentences about the slips that yield the claim: causes before slips of the pen; two slips only if need be."""
        counted = self.total(terms)
        guesses = [*_in_formulas(terms, self.quantity), *self.in_networks()]
        hits = [self.said(terms, *guess) for guess in guesses if self.total(guess[1]) == claimed]
        sums = [self.said(terms, *guess) for guess in _in_sums(terms) if self.total(guess[1]) == claimed]
        named = [sentence for value, sentence in self.misnamed() if value == claimed]
        units = [] if hits or named else [*self.scaled(counted, claimed)]
        pen = [phrase for phrase, value in _typed(counted) if value == claimed]
        if any(value == counted and "lost" in phrase for phrase, value in _typed(claimed)):
            pen.append(f"a digit is added: {grouped(counted)} became {grouped(claimed)}")
        one = dict.fromkeys([*_rounded(counted, claimed, text), *hits, *named, *sums, *units, *pen])
        return list(one or dict.fromkeys(self.two_slips(terms, guesses, claimed)))[:MOST]

    def two_slips(self, terms: Sequence[Term], guesses: Sequence[Guess], claimed: int) -> Iterator[str]:
        """Pairs of habits: a changed network with a changed formula, and either with a factor."""
        for phrase, changed, _ in (guess for guess in guesses if guess[2]):
            for other, both, _ in _in_formulas(changed, self.quantity, habits=True):
                if self.total(both) == claimed:
                    yield f"{phrase}; {self.said(changed, other, both)}"
            for sentence in self.scaled(self.total(changed), claimed):
                yield f"{self.said(terms, phrase, changed)}; {sentence}"

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

    def scaled(self, value: int, claimed: int) -> Iterator[str]:
        """A factor between a number and the claim that a unit or the batch explains."""
        batch = next(iter(self.shapes.values()))[0]
        batches = [(batch, 1, "the batch is counted"), (1, batch, "the batch is forgotten")] if batch > 1 else []
        for up, down, phrase in (IN_BYTES if self.quantity.endswith("_bytes") else []) + batches + FACTORS:
            if value and value * up == claimed * down:
                working = (f" × {grouped(up)}" if up > 1 else "") + (f" ÷ {grouped(down)}" if down > 1 else "")
                yield f"{phrase}: {grouped(value)}{working} = {grouped(claimed)}"

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
        claimed = parse_bytes(text) if quantity.endswith("_bytes") else parse_count(text)
    except UsageError as error:
        raise UsageError("--claim", f"{target} {error.rule}", error.got) from None
    case = Case(model.inputs, shapes, walked[: chosen[-1] + 1], chosen, quantity, dtype)
    terms = [_term(walked[at], quantity, dtype) for at in chosen]
    counted = case.total(terms)
    slips = [] if claimed == counted else case.explained(terms, claimed, text)
    unknown = [walked[at].name for at in chosen if isinstance(walked[at].layer, Unknown)]
    if unknown and quantity not in SIZES:
        slips = [f"{', '.join(unknown[:3])} cannot be counted, so that {grouped(counted)} is a lower bound"]
    return Verdict(target, claimed, counted, claimed == counted and not slips, tuple(slips))


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


def _count(use: Use, quantity: str, dtype: str) -> int:
    row, name = row_of(use, dtype, CONVENTIONS["archcalc"]), BYTES_OF.get(quantity, quantity)
    return use.answers.elements if name == "elements" else getattr(row.ops if name in OPS else row, name)


def _term(use: Use, quantity: str, dtype: str) -> Term:
    """A row's number as a product where the layer is linear or a size is asked for, else as it is."""
    value = _count(use, quantity, dtype)
    times = {"flops": 2, "output_bytes": BITS[use.dtype or dtype] // 8}.get(quantity, 1)
    factors = _factors(use, quantity) if value else {}
    plus = value - times * prod(map(prod, factors.values()))
    bias = prod(use.answers.shapes["bias"]) if "bias" in use.answers.shapes else 0
    usual = (bias,) if quantity in WEIGHTS else (0, -prod(use.answers.y)) if quantity in ("add", "flops") else (0,)
    if factors and plus in usual:
        return Term(use, value, plus, times, factors)
    return Term(use, value, value)  # also tied weights, taps on padding, half bytes


def _factors(use: Use, quantity: str) -> Factors:
    """What is multiplied for this quantity, by name; empty where it is no product."""
    layer, y = use.layer, use.answers.y
    if quantity in SIZES and use.image:
        return {"batch": y[:1], "filters": y[1:2], "stops": y[2:]}
    if quantity not in WEIGHTS + WORK or not isinstance(layer, Conv | ConvTranspose | Dense):
        return {}
    x, turned = use.xs[0], isinstance(layer, ConvTranspose)
    linear: Factors = {"filters": y[-1:], "channels": x[-1:], "kernel": ()}
    stops = x[1:-1]
    if not isinstance(layer, Dense):
        stops, kernel = (x if turned else y)[2:], per_axis(layer, "kernel", len(y) - 2)
        filters, channels = (y[1] // layer.groups, x[1]) if turned else (y[1], x[1] // layer.groups)
        linear = {"filters": (filters,), "channels": (channels,), "kernel": kernel}
    return {"batch": y[:1], "stops": stops, **linear} if quantity in WORK else linear


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


def _rounded(counted: int, claimed: int, text: str) -> Iterator[str]:
    """A claim with a prefix may be the right number to fewer digits."""
    match = re.fullmatch(r"\s*[0-9,_]+(?:\.([0-9]+))?\s*([A-Za-z]+)\s*", text)
    unit = parse_bytes(f"1{match[2].removesuffix('B')}B") if match else 0
    if match and 2 * abs(counted - claimed) * 10 ** len(match[1] or "") <= unit:
        yield f"the claim is rounded: {grouped(counted)} is about {text.strip()}"
