"""Activations: elementwise functions as one checked table, and those that look further than one element."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from archcalc.algebra.field import EACH, SAME, Link, Sees, all_but, through
from archcalc.algebra.num import divides, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.window import Window
from archcalc.layers.layer import (
    Graded,
    Layer,
    Saved,
    Scratch,
    Shape,
    Weight,
    keeps_input,
    keeps_output,
    own,
    positions_of,
    register,
    shown,
)


class Row(Struct, frozen=True):
    """One activation: its formula, its operations per element, and its parameter where it has one."""

    formula: str
    per_element: Ops
    alpha: float | None = None  # default of the function's parameter
    keeps: tuple[str, ...] = ("input",)  # what its derivative is computed from: input, output, one inside, or noise
    scratch: int = 0  # tensors of the input's size that PyTorch makes within the backward pass, beside the gradient


TABLE = {
    "relu": Row("max(x, 0)", Ops(cmp=1), keeps=("output",)),
    "relu6": Row("min(max(x, 0), 6)", Ops(cmp=2)),
    "leaky_relu": Row("x if x > 0 else alpha·x", Ops(mul=1, cmp=1), alpha=0.01),
    "rrelu": Row("x if x > 0 else (1/8 + 1/3)/2 · x, at inference", Ops(mul=1, cmp=1), keeps=("input", "noise")),
    "threshold": Row("x if x > alpha else 0", Ops(cmp=1), alpha=0.0),
    "elu": Row("x if x > 0 else alpha·(exp(x) − 1)", Ops(mul=1, add=1, cmp=1, exp=1), alpha=1.0),
    "celu": Row("x if x > 0 else alpha·(exp(x·(1/alpha)) − 1)", Ops(mul=2, add=1, cmp=1, exp=1), alpha=1.0),
    "selu": Row("s·(x if x > 0 else a·(exp(x) − 1))", Ops(mul=2, add=1, cmp=1, exp=1)),
    "sigmoid": Row("1 / (1 + exp(−x))", Ops(add=2, div=1, exp=1), keeps=("output",)),
    "logsigmoid": Row("−log(1 + exp(−x))", Ops(add=3, exp=2), keeps=("input", "inside")),
    "tanh": Row("tanh(x)", Ops(exp=1), keeps=("output",)),
    "softsign": Row("x / (1 + |x|)", Ops(add=1, cmp=1, div=1), keeps=("input", "inside"), scratch=3),
    "softplus": Row("log(1 + exp(x)), x itself above a threshold", Ops(add=1, cmp=1, exp=2)),
    "silu": Row("x · sigmoid(x)", Ops(mul=1, add=2, div=1, exp=1)),
    "mish": Row("x · tanh(softplus(x))", Ops(mul=1, add=1, cmp=1, exp=3)),
    "gelu": Row("x·½·(1 + erf(x·√½))", Ops(mul=3, add=1, exp=1)),
    "gelu_tanh": Row("½·x·(1 + tanh(√(2/π)·(x + 0.044715·x·x·x)))", Ops(mul=6, add=2, exp=1)),
    "quick_gelu": Row("x · sigmoid(1.702·x)", Ops(mul=2, add=2, div=1, exp=1), keeps=("input", "inside"), scratch=1),
    "hardsigmoid": Row("min(max(x + 3, 0), 6) · (1/6)", Ops(mul=1, add=1, cmp=2)),
    "hardswish": Row("x · min(max(x + 3, 0), 6) · (1/6)", Ops(mul=2, add=1, cmp=2)),
    "hardtanh": Row("min(max(x, −1), 1)", Ops(cmp=2)),
    "hardshrink": Row("x if |x| > alpha else 0", Ops(cmp=2), alpha=0.5),
    "softshrink": Row("x ∓ alpha beyond ±alpha, else 0", Ops(add=1, cmp=2), alpha=0.5),
    "tanhshrink": Row("x − tanh(x)", Ops(add=1, exp=1), keeps=("inside",), scratch=1),
    "abs": Row("|x|", Ops(cmp=1), scratch=1),
    "exp": Row("exp(x)", Ops(exp=1), keeps=("output",)),
    "log": Row("log(x)", Ops(exp=1)),
    "sqrt": Row("√x", Ops(div=1), keeps=("output",), scratch=1),
    "square": Row("x·x", Ops(mul=1), scratch=2),
    "negative": Row("−x", Ops(add=1), keeps=()),
    "reciprocal": Row("1 / x", Ops(div=1), keeps=("output",), scratch=2),
    "rsqrt": Row("1 / √x", Ops(div=1), keeps=("output",), scratch=2),
    "scale": Row("alpha·x", Ops(mul=1), alpha=1.0, keeps=()),
    "shift": Row("x + alpha", Ops(add=1), alpha=0.0, keeps=()),
    "power": Row("x^alpha", Ops(exp=1), alpha=2.0, scratch=2),
    "sin": Row("sin(x)", Ops(exp=1), scratch=1),
    "cos": Row("cos(x)", Ops(exp=1), scratch=2),
    "erf": Row("erf(x)", Ops(exp=1), scratch=4),
    "floor": Row("the integer at or below x: ⌊x⌋", Ops(cmp=1), keeps=()),
    "ceil": Row("the integer at or above x: ⌈x⌉", Ops(cmp=1), keeps=()),
    "round": Row("the nearest integer, ⌊x⌉", Ops(cmp=1), keeps=()),
    "sign": Row("1 if x > 0, −1 if x < 0, else 0", Ops(cmp=2), keeps=()),
}


# Under mixed precision; source: PyTorch's list of autocast ops
IN_FLOAT32 = ("exp", "log", "softplus", "square", "reciprocal", "rsqrt", "power")
FROM_RESULT = ("leaky_relu", "elu", "celu", "selu")  # their in-place forms derive from the result


SELECTIONS = ("max(", "min(", " if ", "|", "softplus", "threshold", "beyond", "⌊", "⌈")  # words of formulas


def check(table: dict[str, Row]) -> None:
    """Each row must count what its formula shows: it does something, and a selection in it is a comparison."""
    for name, row in table.items():
        counted = row.per_element
        if counted.total < 1 or min(counted.mul, counted.add, counted.cmp, counted.div, counted.exp) < 0:
            raise TypeError(f"activation {name}: an elementwise function does at least one operation")
        if (row.alpha is not None) != ("alpha" in row.formula):
            raise TypeError(f"activation {name}: alpha stands in the formula if and only if it has a default")
        chooses = any(word in row.formula for word in SELECTIONS)
        if chooses != (counted.cmp > 0):
            raise TypeError(f"activation {name}: a selection is a comparison: {row.formula}")


check(TABLE)


class Activation(Layer, frozen=True):
    """Apply one function of the table to every element; no weights.

    Source: docs/conventions.md where it lists the function; else the formula, each operation in it counted once.

    >>> Activation("relu6").ops([(1, 8, 10, 10)], (1, 8, 10, 10))
    Ops(mul=0, add=0, cmp=1600, div=0, exp=0)
    """

    function: str
    alpha: Annotated[float | None, Meta(description="the function's parameter, where its formula has one")] = None

    def __post_init__(self) -> None:
        if self.function not in TABLE:
            raise self.error("function must be one of the table", repr(self.function))
        if self.alpha is not None and TABLE[self.function].alpha is None:
            raise self.error(f"{self.function} has no parameter", f"alpha={self.alpha}")

    @property
    def parameter(self) -> float | None:
        """The function's parameter: as given, else its default; None where the formula has none."""
        return TABLE[self.function].alpha if self.alpha is None else self.alpha

    @property
    def autocast(self) -> Literal["float32", "follows"]:  # type: ignore[override]
        """PyTorch's mixed precision computes some functions in float32."""
        return "float32" if self.function in IN_FLOAT32 else "follows"

    def out(self, *xs: Shape) -> Shape:
        return xs[0]

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return TABLE[self.function].per_element.times(prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        keeps = TABLE[self.function].keeps
        if self.function == "logsigmoid" and device == "cuda":
            keeps = ("input",)  # its fused kernel computes the exponential again
        tensors: dict[str, Saved] = {
            "input": Saved(0, prod(y)),
            "output": Saved("output", prod(y)),
            "inside": Saved("own", prod(y)),
            "noise": Saved("own", prod(y), "mask"),  # made at inference too
        }
        return tuple(tensors[name] for name in keeps)

    def in_place(self, y: Shape, training: bool) -> tuple[Saved, ...] | None:
        if not training:
            return ()
        keeps = TABLE[self.function].keeps
        if not keeps:
            return ()
        return keeps_output(y) if keeps == ("output",) or self.function in FROM_RESULT else None

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        flat = self.function == "power" and self.parameter == 0  # its gradient is zero
        return (), own((0 if flat else TABLE[self.function].scratch) * prod(y))

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return self.function == "shift"


for _name, _row in TABLE.items():
    _fixed: dict[str, Any] = {"function": _name} | ({"alpha": None} if _row.alpha is None else {})
    register(_name, example=_name, on=[(1, 64, 56, 56)], summary=_row.formula, **_fixed)(Activation)


@register("clamp", example="clamp: {low: -1, high: 1}", on=[(1, 64, 56, 56)])
class Clamp(Layer, frozen=True):
    """min(max(x, low), high), with either bound or both; no weights.

    Operations per element: 1 comparison for each bound. Source: the formula, each operation in it counted once.
    """

    low: Annotated[float | None, Meta(description="nothing below it; null: no such bound")] = None
    high: Annotated[float | None, Meta(description="nothing above it; null: no such bound")] = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise self.error("needs a bound, low or high", "neither")

    @property
    def bounds(self) -> int:
        """How many bounds there are."""
        return sum(bound is not None for bound in (self.low, self.high))

    def out(self, *xs: Shape) -> Shape:
        return xs[0]

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(cmp=self.bounds * prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(y)

    def in_place(self, y: Shape, training: bool) -> tuple[Saved, ...] | None:
        return None if training else ()  # the backward pass needs the input as it was

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), own(self.bounds * prod(y), "bool") + own(1)  # where it lies within each bound, and a zero


@register("prelu", example="prelu", on=[(1, 64, 56, 56)])
class PReLU(Layer, frozen=True):
    """x if x > 0 else slope·x, with a learned slope for all, or for each channel.

    Parameters: 1, or channels if per_channel. Operations per element: 1 multiplication, 1 comparison.
    Source: docs/conventions.md; He et al. (2015).
    """

    autocast: ClassVar = "half"

    per_channel: Annotated[bool, Meta(description="one slope per channel instead of one for all")] = False

    def out(self, *xs: Shape) -> Shape:
        if self.per_channel and len(xs[0]) < 2:
            raise self.error("the input must have channels", shown(xs[0]))
        return xs[0]

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {"weight": Weight((xs[0][1] if self.per_channel else 1,))}

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops(mul=prod(y), cmp=prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return EACH

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(y)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        return (), own(prod(y))  # the slope's gradient of every element, before they are summed


@register("glu", example="glu", on=[(1, 64, 56, 56)])
class GLU(Layer, frozen=True):
    """Split an axis in two halves and multiply the first by the sigmoid of the second; no weights.

    Operations per output: sigmoid's (2 additions, 1 division, 1 exp) and 1 multiplication.
    Source: Dauphin et al. (2017); docs/conventions.md for sigmoid.

    >>> GLU().out((1, 64, 56, 56))
    (1, 32, 56, 56)
    """

    axis: Annotated[int, Meta(description="the axis that is split; 1 is the channels")] = 1

    def out(self, *xs: Shape) -> Shape:
        (position,) = positions_of(self, xs[0], self.axis)
        if divides(2, xs[0][position]) is False:
            raise self.error("the axis must have an even size", f"{xs[0][position]}")
        return (*xs[0][:position], xs[0][position] // 2, *xs[0][position + 1 :])

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return (TABLE["sigmoid"].per_element + Ops(mul=1)).times(prod(y))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        (position,) = positions_of(self, xs[0], self.axis)
        halves = through(Window(2, dilation=y[position]))
        return Sees(tuple(Link(axis, halves if axis == position else SAME) for axis in range(1, len(y))))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_input(xs[0])


@register("softmax", example="softmax", on=[(1, 1000)])
class Softmax(Layer, frozen=True):
    """Turn each row into weights that sum to one: exp(x − max) / Σ exp(x − max); no weights.

    Operations per row of n: n − 1 comparisons, n subtractions, n exp, n − 1 additions, n divisions.
    Source: docs/conventions.md.

    >>> Softmax().ops([(1, 10)], (1, 10))
    Ops(mul=0, add=19, cmp=9, div=10, exp=10)
    """

    pace: ClassVar = "softmax"
    autocast: ClassVar = "float32"

    axis: Annotated[int, Meta(description="the axis that sums to one; -1 is the last, 1 the channels")] = -1

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axis)
        return xs[0]

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        elements, rows = row_count(self, y)
        return Ops(add=elements - rows + elements, cmp=elements - rows, div=elements, exp=elements)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, positions_of(self, y, self.axis), "sums over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_output(y)


@register("log_softmax", example="log_softmax", on=[(1, 1000)])
class LogSoftmax(Layer, frozen=True):
    """The logarithm of softmax: (x − max) − log Σ exp(x − max); no weights.

    Operations per row of n: n − 1 comparisons, 2n subtractions, n exp, n − 1 additions, 1 log.
    Source: docs/conventions.md.
    """

    pace: ClassVar = "softmax"
    autocast: ClassVar = "float32"

    axis: Annotated[int, Meta(description="the axis that is normalised; -1 is the last, 1 the channels")] = -1

    def out(self, *xs: Shape) -> Shape:
        positions_of(self, xs[0], self.axis)
        return xs[0]

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        elements, rows = row_count(self, y)
        return Ops(add=elements - rows + 2 * elements, cmp=elements - rows, exp=elements + rows)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return all_but(len(y) - 1, positions_of(self, y, self.axis), "sums over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return keeps_output(y)


def row_count(layer: Softmax | LogSoftmax, y: Shape) -> tuple[int, int]:
    """Elements, and the rows that they form along the layer's axis."""
    (position,) = positions_of(layer, y, layer.axis)
    return prod(y), prod(y[:position]) * prod(y[position + 1 :])
