"""Recurrent kinds: a state that is carried along a sequence, step by step."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from archcalc.algebra.field import Sees
from archcalc.algebra.num import differ, less, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.layers.activation import TABLE as ACTIVATIONS
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, Weight, own, register, shown

SIGMOID, TANH = ACTIVATIONS["sigmoid"].per_element, ACTIVATIONS["tanh"].per_element
DIRECTIONS = ("", "_reverse")
BIASES = ("bias_ih", "bias_hh")


class Cell(Struct, frozen=True):
    """What one step does beside its products: rows of weights for each unit, and operations for each unit."""

    gates: int
    per_unit: Ops
    states: int  # vectors that are carried on
    formula: str


CELLS = {
    "rnn": Cell(1, Ops(), 1, "h = tanh(W·x + U·h), or relu"),  # and the nonlinearity
    "lstm": Cell(
        4, SIGMOID.times(3) + TANH.times(2) + Ops(mul=3, add=1), 2,
        "c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c)",
    ),
    "gru": Cell(
        3, SIGMOID.times(2) + TANH + Ops(mul=3, add=2), 1,
        "h = (1 − σ(z))·n + σ(z)·h, n = tanh(W·x + σ(r)·(U·h))",
    ),
}  # fmt: skip
SUMMARIES = {
    "rnn": "Carry a state along the sequence: h = tanh(W·x + U·h), or relu in place of tanh",
    "lstm": "Carry a state and a memory along the sequence, behind three gates (long short-term memory)",
    "gru": "Carry a state along the sequence, behind two gates (gated recurrent unit)",
}


class Recurrent(Layer, frozen=True):
    """Run along axis 1 of (batch, length, features), from a state of zeros; several layers, in one or two directions.

    Per step, layer and direction, of x features and a state of s numbers, with 1 (rnn), 3 (gru) or 4 (lstm) gates:
        s is the projection, else the units; behind the first layer x is s × directions.
    Parameters: gates × units × (x + s + biases), and projection × units.
    MACs: gates × units × (x + s), and projection × units; the products with the first state, zero, included.
    Operations beside the products, per unit: rnn one nonlinearity; lstm 3 sigmoids, 2 tanh, 3 multiplications,
        1 addition; gru 2 sigmoids, 1 tanh, 3 multiplications, 2 additions; and biases × gates additions.
    Output: (batch, length, s × directions), or of the last layer the last state of each direction.
    Every sequence of a batch is as long as the longest.
    Source: Hochreiter & Schmidhuber (1997) with Gers' forget gate; Cho et al. (2014); Sak et al. (2014) for the
        projection; gates and tensors as in PyTorch's documentation of RNN, LSTM and GRU.

    >>> Recurrent("lstm", units=512).out((1, 128, 256))
    (1, 128, 512)
    >>> Recurrent("lstm", units=512).macs([(1, 128, 256)], (1, 128, 512)) == 128 * 4 * 512 * (256 + 512)
    True
    """

    autocast: ClassVar = "half"
    image: ClassVar = False
    in_steps: ClassVar = True
    keeps_more: ClassVar = "it also keeps its gates, in a buffer whose size only the library that runs it knows"

    function: str
    units: Annotated[int, Meta(description="length of the state, in each direction")]
    layers: Annotated[int, Meta(description="layers, each running over the outputs of the one before")] = 1
    bidirectional: Annotated[bool, Meta(description="run from both ends, and lay both outputs side by side")] = False
    biases: Annotated[int, Meta(description="bias vectors per gate: 2 as PyTorch has them, 1 as Keras' LSTM, or 0")] = 2
    returns: Annotated[
        Literal["sequence", "last"], Meta(description="every step's state, or that after the last step")
    ] = "sequence"
    dropout: Annotated[float, Meta(description="share of what each layer but the last gives that is dropped")] = 0.0
    projection: Annotated[int | None, Meta(description="length that the state is projected to; none if null")] = None
    nonlinearity: Annotated[Literal["tanh", "relu"], Meta(description="the function of each step")] = "tanh"
    reset_after: Annotated[
        bool, Meta(description="the reset gate acts behind the product with the state, else before it")
    ] = True

    at_least: ClassVar = {"units": 1, "layers": 1, "biases": 0, "projection": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in CELLS:
            raise self.error("function must be one of the table", repr(self.function))
        if less(2, self.biases):
            raise self.error("biases must be 0, 1 or 2", f"{self.biases}")
        if self.projection is not None and less(self.projection, self.units) is False:
            raise self.error("projection must be less than the units", f"{self.projection} and {self.units}")
        if not 0 <= self.dropout <= 1:
            raise self.error("dropout must lie between 0 and 1", f"{self.dropout}")
        if self.dropout and differ(self.layers, 1) is False:
            raise self.error("dropout is between layers: it needs 2 or more", f"{self.dropout} and 1 layer")

    @property
    def gates(self) -> int:
        """Rows of the weights for each unit."""
        return CELLS[self.function].gates

    @property
    def directions(self) -> int:
        """How often it runs over the sequence."""
        return 2 if self.bidirectional else 1

    @property
    def state(self) -> int:
        """Length of what a step hands to the next, and gives."""
        return self.units if self.projection is None else self.projection

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 3:
            raise self.error("the input must be (batch, length, features)", shown(xs[0]))
        batch, length, _ = xs[0]
        width = self.state * self.directions
        return (batch, width) if self.returns == "last" else (batch, length, width)

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        found, features = dict[str, Weight](), xs[0][-1]
        rows = self.gates * self.units
        for layer in range(self.layers):
            for place in (f"_l{layer}{direction}" for direction in DIRECTIONS[: self.directions]):
                found[f"weight_ih{place}"] = Weight((rows, features))
                found[f"weight_hh{place}"] = Weight((rows, self.state))
                found |= {f"{bias}{place}": Weight((rows,)) for bias in BIASES[: self.biases]}
                if self.projection is not None:
                    found[f"weight_hr{place}"] = Weight((self.projection, self.units))
            features = self.state * self.directions
        return found

    def inner(self, features: int) -> int:
        """Numbers that a gate of each layer reads in one step, all layers together."""
        return features + self.state + (self.layers - 1) * (self.state * self.directions + self.state)

    def steps(self, x: Shape) -> int:
        """Steps of all sequences in all directions."""
        batch, length, _ = x
        return batch * length * self.directions

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        projected = 0 if self.projection is None else self.layers * self.projection * self.units
        return self.steps(xs[0]) * (self.gates * self.units * self.inner(xs[0][-1]) + projected)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        """Each product of n terms takes n − 1 additions; one more joins those of the input and of the state."""
        macs, cells = self.macs(xs, y), self.steps(xs[0]) * self.layers
        sums = macs + cells * self.gates * self.units * (self.biases - 1)
        sums = sums if self.projection is None else sums - cells * self.projection
        beside = CELLS[self.function].per_unit
        if self.function == "rnn":
            beside = beside + ACTIVATIONS[self.nonlinearity].per_element
        return Ops(mul=macs, add=sums) + beside.times(cells * self.units)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        """One product a step, of input and state side by side; layers as if they were one that reads more."""
        batch, length, features = xs[0]
        steps, inner = length * self.directions, self.inner(features)
        if self.projection is None:
            return Product(steps, batch, self.gates * self.units, inner)
        return Product(steps, batch, self.units, self.gates * inner + self.layers * self.projection)

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        """All; of a single step none that meet the state, which is zero, nor the gate that only scales it."""
        every = sum(prod(weight.shape) for weight in self.weights(*xs).values())
        if differ(xs[0][1], 1) is not False:
            return every
        scales = 0 if self.function == "rnn" or self.resets_a_bias else 1
        rows, inner = self.gates * self.units, self.inner(xs[0][-1]) - self.layers * self.state
        idle = rows * self.layers * self.state + scales * self.units * (inner + self.layers * self.biases)
        return every - self.directions * idle

    @property
    def resets_a_bias(self) -> bool:
        """Does the reset gate scale a bias beside the state?"""
        return self.function == "gru" and self.reset_after and differ(self.biases, 2) is False

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        part = not self.bidirectional and self.returns == "sequence"  # a step sees those before it
        return Sees((None,) * (len(y) - 1), "runs along the axis", bound=part)

    def first_states(self, x: Shape) -> tuple[Saved, ...]:
        """The zeros that each layer starts from, in each direction."""
        states = self.layers * self.directions * x[0]
        cells = (states * self.units,) if CELLS[self.function].states == 2 else ()
        return tuple(Saved("own", n, "statistic") for n in (states * self.state, *cells))

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """What every way of running it keeps until its gradient is whole: its input, and each step's state.

        See `keeps_more` for what else. Where it gives the last state alone, that is the output.
        """
        whole = self.steps(xs[0]) * self.state
        if self.returns == "sequence":
            return (Saved(0, prod(xs[0])), Saved("output", whole))
        return (Saved(0, prod(xs[0])), Saved("own", whole - prod(y), "statistic"), Saved("output", prod(y)))

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """The last states, which it gives beside the sequence."""
        return own(sum(state.elements for state in self.first_states(xs[0]))), ()


_of_one: dict[str, dict[str, object]] = {  # fields that only another of them has
    "rnn": {"projection": None, "reset_after": True},
    "lstm": {"nonlinearity": "tanh", "reset_after": True},
    "gru": {"projection": None, "nonlinearity": "tanh"},
}
for _name, _fixed in _of_one.items():
    register(
        _name, example=f"{_name}: 512", on=[(1, 128, 256)], main="units", summary=SUMMARIES[_name],
        function=_name, **_fixed,
    )(Recurrent)  # fmt: skip
