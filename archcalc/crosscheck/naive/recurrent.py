"""Programs of the kinds that work on sequences: recurrent cells step by step, einsum letter by letter, positions."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.elements import sigmoid, tanh
from archcalc.crosscheck.naive.number import Array, Number, total
from archcalc.crosscheck.naive.program import Weights, compute, filled

State = list[Number]


class Tensors:
    """The tensors of one layer in one direction, and sums with their rows."""

    def __init__(self, weights: Weights, place: str) -> None:
        self.named = {name.removesuffix(place): tensor for name, tensor in weights.items() if name.endswith(place)}

    def sums(self, of: str, vector: State, rows: slice = slice(None)) -> State:
        """Each row times the vector, plus its bias where it has one."""
        values = [total([w * v for w, v in zip(row, vector, strict=True)]) for row in self.named[f"weight_{of}"][rows]]
        bias = self.named.get(f"bias_{of}")
        return values if bias is None else together(values, list(bias[rows]))


def together(first: State, second: State) -> State:
    """Two vectors added."""
    return [a + b for a, b in zip(first, second, strict=True)]


def times(first: State, second: State) -> State:
    """Two vectors multiplied, number by number: no product of matrices."""
    with first[0].tally.apart():
        return [a * b for a, b in zip(first, second, strict=True)]


def parted(values: State, units: int) -> list[State]:
    """The values of each gate."""
    return [values[at : at + units] for at in range(0, len(values), units)]


class Step:
    """One step of a layer in one direction: from its input and state to the next state."""

    def __init__(self, layer: layers.Recurrent, tensors: Tensors) -> None:
        self.layer, self.tensors = layer, tensors
        zero = Number(0.0, tensors.named["weight_ih"].flat[0].tally)
        self.memory = [zero] * layer.units
        self.first = [zero] * layer.state

    def __call__(self, x: State, state: State) -> State:
        return {"rnn": self.rnn, "lstm": self.lstm, "gru": self.gru}[self.layer.function](x, state)

    def rnn(self, x: State, state: State) -> State:
        sums = together(self.tensors.sums("ih", x), self.tensors.sums("hh", state))
        return [tanh(value) if self.layer.nonlinearity == "tanh" else value.at_least(0) for value in sums]

    def lstm(self, x: State, state: State) -> State:
        """What the memory takes in, what it forgets, what it could hold, and what it shows."""
        sums = together(self.tensors.sums("ih", x), self.tensors.sums("hh", state))
        entry, forget, candidate, shows = parted(sums, self.layer.units)
        taken = times(list(map(sigmoid, entry)), list(map(tanh, candidate)))
        self.memory = together(times(list(map(sigmoid, forget)), self.memory), taken)
        shown = times(list(map(sigmoid, shows)), list(map(tanh, self.memory)))
        return shown if self.layer.projection is None else self.tensors.sums("hr", shown)

    def gru(self, x: State, state: State) -> State:
        """What the candidate reads of the state, and how much of the state stays."""
        units = self.layer.units
        reset, update, candidate = parted(self.tensors.sums("ih", x), units)
        scales = parted(self.tensors.sums("hh", state, slice(2 * units)), units)
        reset, update = ([sigmoid(a) for a in together(*both)] for both in zip((reset, update), scales, strict=True))
        if self.layer.reset_after:
            read = times(reset, self.tensors.sums("hh", state, slice(2 * units, None)))
        else:
            read = self.tensors.sums("hh", times(reset, state), slice(2 * units, None))
        fresh = [tanh(value) for value in together(candidate, read)]
        leave = [Number(1.0, z.tally) - z for z in update]
        return together(times(leave, fresh), times(update, state))


def run(step: Step, rows: Sequence[State]) -> list[State]:
    """Every step's state."""
    state, states = step.first, []
    for x in rows:
        state = step(x, state)
        states.append(state)
    return states


@compute.register
def _(layer: layers.Recurrent, xs: Sequence[Array], weights: Weights) -> Array:
    sequences = [[list(row) for row in rows] for rows in xs[0]]
    last: list[State] = []
    for number in range(layer.layers):
        made, last = [], []
        for rows in sequences:
            forward = run(Step(layer, Tensors(weights, f"_l{number}")), rows)
            ways, ends = [forward], list(forward[-1])
            if layer.bidirectional:
                back = run(Step(layer, Tensors(weights, f"_l{number}_reverse")), rows[::-1])
                ways.append(back[::-1])
                ends += back[-1]
            made.append([[value for part in parts for value in part] for parts in zip(*ways, strict=True)])
            last.append(ends)
        sequences = made
    return np.array(sequences if layer.returns == "sequence" else last, dtype=object)


@compute.register
def _(layer: layers.Einsum, xs: Sequence[Array], weights: Weights) -> Array:
    """One product for each choice of places for all letters; those with the same place in the output are summed."""
    inputs, _, output = layer.equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    sizes = {letter: n for term, x in zip(terms, xs, strict=True) for letter, n in zip(term, x.shape, strict=True)}
    found: dict[tuple[int, ...], list[Number]] = {}
    for choice in product(*map(range, sizes.values())):
        at = dict(zip(sizes, choice, strict=True))
        a, b = (x[tuple(at[letter] for letter in term)] for term, x in zip(terms, xs, strict=True))
        found.setdefault(tuple(at[letter] for letter in output), []).append(a * b)
    return filled([sizes[letter] for letter in output], lambda *at: total(found[at]))


@compute.register
def _(layer: layers.AddedPosition, xs: Sequence[Array], weights: Weights) -> Array:
    return filled(xs[0].shape, lambda *at: xs[0][at] + weights["weight"][at[1:]])


@compute.register
def _(layer: layers.Rotary, xs: Sequence[Array], weights: Weights) -> Array:
    """Feature i is turned with feature i + half, both by one angle."""
    x, half = xs[0], weights["cosines"].shape[1]

    def cell(*at: int) -> Number:
        *rows, place, feature = at
        if feature >= 2 * half:
            return x[at]  # type: ignore[no-any-return]
        angle, first = (place, feature % half), feature < half
        along = x[at] * weights["cosines"][angle]
        across = x[(*rows, place, (feature + half) % (2 * half))] * weights["sines"][angle]
        return along - across if first else along + across  # type: ignore[no-any-return]

    return filled(x.shape, cell)
