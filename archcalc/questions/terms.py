"""What one row adds to a quantity as a product of named factors, and every slip in that row's formula."""

from collections.abc import Iterator, Mapping
from itertools import chain

from msgspec import Struct

from archcalc.algebra.dtype import BITS
from archcalc.algebra.num import prod
from archcalc.algebra.ops import CONVENTIONS
from archcalc.algebra.units import grouped
from archcalc.layers import Conv, ConvTranspose, Dense
from archcalc.layers.layer import shown
from archcalc.layers.windowed import per_axis
from archcalc.model.report import row_of
from archcalc.model.walk import Use
from archcalc.questions.quantities import BYTES_OF, OPS

COUNTS, WEIGHTS = ("params", "trainable_params"), ("params", "trainable_params", "weight_bytes")
WORK, SIZES = ("macs", "macs_exact", "mul", "add", "flops"), ("elements", "output_bytes")
SIGNS = str.maketrans({"+": "+ ", "-": "− "})  # of a summand
Factors = Mapping[str, tuple[int, ...]]
Edits = Iterator[tuple[str, "Term"]]


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
        if quantity in SIZES and isinstance(self.use.layer, Conv | ConvTranspose):
            yield (
                "the maps of the input channels are multiplied in, not summed",
                self.having(channels=self.use.xs[0][1:2]),
            )
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


def count_of(use: Use, quantity: str, dtype: str) -> int:
    """A row's number of a quantity, bytes of weights as elements."""
    row, name = row_of(use, dtype, CONVENTIONS["archcalc"]), BYTES_OF.get(quantity, quantity)
    return use.answers.elements if name == "elements" else getattr(row.ops if name in OPS else row, name)


def term_of(use: Use, quantity: str, dtype: str) -> Term:
    """A row's number as a product where the layer is linear or a size is asked for, else as it is."""
    value = count_of(use, quantity, dtype)
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
