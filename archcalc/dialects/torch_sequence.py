"""PyTorch's words for kinds that work on sequences: recurrent modules, einsum, positions; and the way back."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from archcalc import layers
from archcalc.dialects.torch import module
from archcalc.dialects.torch_modules import Function
from archcalc.dialects.torch_read import read
from archcalc.errors import ModelError
from archcalc.layers.layer import Shape
from archcalc.layers.recurrent import BIASES, DIRECTIONS

RUN: dict[str, Any] = {
    "rnn_tanh": torch.rnn_tanh,
    "rnn_relu": torch.rnn_relu,
    "lstm": torch.lstm,
    "gru": torch.gru,
}


class Carried:
    """Mixed into PyTorch's recurrent modules: they give one tensor, and may have one bias for each gate instead of two.

    A missing second bias is a vector of zeros, which PyTorch's functions want.
    """

    layer: Any
    training: bool

    def take(self, layer: layers.Recurrent) -> None:
        """Be this layer: without the second bias where it has but one."""
        self.layer = layer
        for place in places(layer) if layer.biases == 1 else ():
            delattr(self, f"bias_hh{place}")

    def tensors(self, place: str) -> Iterator[Tensor]:
        """Those of one layer in one direction, in PyTorch's order."""
        for name in ("weight_ih", "weight_hh", *(BIASES if self.layer.biases else ())):
            found = getattr(self, name + place, None)
            yield torch.zeros_like(getattr(self, f"bias_ih{place}")) if found is None else found
        if self.layer.projection is not None:
            yield getattr(self, f"weight_hr{place}")

    def forward(self, x: Tensor) -> Tensor:
        layer, zeros = self.layer, x.new_zeros
        states = layer.layers * layer.directions, x.shape[0]
        first: Any = zeros((*states, layer.state))
        if layer.function == "lstm":
            first = (first, zeros((*states, layer.units)))
        weights = [tensor for place in places(layer) for tensor in self.tensors(place)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
            sequence, last, *_ = RUN[runs(layer)](
                x, first, weights, layer.biases > 0, layer.layers, layer.dropout, self.training, layer.bidirectional,
                True,
            )  # fmt: skip
        return given(layer, sequence, last[-layer.directions :])


class RNN(Carried, nn.RNN):  # type: ignore[misc] # it gives one tensor
    """PyTorch's RNN as a layer of one output."""


class LSTM(Carried, nn.LSTM):  # type: ignore[misc] # it gives one tensor
    """PyTorch's LSTM as a layer of one output."""


class GRU(Carried, nn.GRU):  # type: ignore[misc] # it gives one tensor
    """PyTorch's GRU as a layer of one output."""


class GRUResetBefore(GRU):
    """A GRU whose reset gate acts on the state before it is multiplied, as Cho et al. have it; PyTorch has none."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # as its bases
        layer, ends = self.layer, list[Tensor]()
        for number in range(layer.layers):
            if number and self.training and layer.dropout:
                x = functional.dropout(x, layer.dropout)
            ways = [self.run(x, f"_l{number}{way}", way != "") for way in DIRECTIONS[: layer.directions]]
            x, ends = torch.cat([way[0] for way in ways], -1), [way[1] for way in ways]
        return given(layer, x, torch.stack(ends))

    def run(self, x: Tensor, place: str, backwards: bool) -> tuple[Tensor, Tensor]:
        """Every step's state in one direction, and the last one."""
        input_weight, state_weight, *biases = self.tensors(place)
        bias, state_bias = biases or (None, None)
        units, batch, length = self.layer.units, x.shape[0], x.shape[1]
        scaling, own = torch.split(state_weight, [2 * units, units])
        scaling_bias, own_bias = (None, None) if state_bias is None else torch.split(state_bias, [2 * units, units])
        inputs, state = functional.linear(x, input_weight, bias), x.new_zeros((batch, units))
        states: list[Any] = [None] * length
        for step in reversed(range(length)) if backwards else range(length):
            gates, candidate = torch.split(inputs[:, step], [2 * units, units], -1)
            gates = torch.sigmoid(gates + functional.linear(state, scaling, scaling_bias))
            reset, update = gates.chunk(2, -1)
            candidate = torch.tanh(candidate + functional.linear(reset * state, own, own_bias))
            states[step] = state = (1 - update) * candidate + update * state
        return torch.stack(states, 1), state


def places(layer: layers.Recurrent) -> Iterator[str]:
    """What the names of its tensors end in, layer by layer and direction by direction."""
    return (f"_l{number}{way}" for number in range(layer.layers) for way in DIRECTIONS[: layer.directions])


def runs(layer: layers.Recurrent) -> str:
    """The function of PyTorch's that runs it."""
    return f"rnn_{layer.nonlinearity}" if layer.function == "rnn" else layer.function


def given(layer: layers.Recurrent, sequence: Tensor, last: Tensor) -> Tensor:
    """What the layer gives: the sequence, or the last state of each direction side by side."""
    if layer.returns == "sequence":
        return sequence
    return last[0] if len(last) == 1 else torch.cat(list(last), -1)


@module.register
def _(layer: layers.Recurrent, x: Shape) -> nn.Module:
    words: dict[str, Any] = {
        "num_layers": layer.layers, "bias": layer.biases > 0, "batch_first": True, "dropout": layer.dropout,
        "bidirectional": layer.bidirectional,
    }  # fmt: skip
    if layer.function == "rnn":
        words["nonlinearity"] = layer.nonlinearity
    if layer.projection is not None:
        words["proj_size"] = layer.projection
    classes: dict[str, Any] = {"rnn": RNN, "lstm": LSTM, "gru": GRU if layer.reset_after else GRUResetBefore}
    made = classes[layer.function](x[-1], layer.units, **words)
    made.take(layer)
    return made  # type: ignore[no-any-return]


@read.register(RNN)
@read.register(LSTM)
@read.register(GRU)
def _(module: Any) -> layers.Layer:
    return module.layer  # type: ignore[no-any-return]


@read.register(nn.RNN)
@read.register(nn.LSTM)
@read.register(nn.GRU)
def _(module: Any) -> layers.Layer:
    if not module.batch_first:
        raise ModelError(type(module).__name__, "archcalc has no layer with batch_first=False", repr(module))
    fields: dict[str, Any] = {
        "units": module.hidden_size, "layers": module.num_layers, "bidirectional": module.bidirectional,
        "biases": 2 if module.bias else 0, "dropout": module.dropout if module.num_layers > 1 else 0.0,
        "projection": module.proj_size or None,
    }  # fmt: skip
    if isinstance(module, nn.RNN):
        fields["nonlinearity"] = module.nonlinearity
    return layers.Recurrent(type(module).__name__.lower(), **fields)


@module.register
def _(layer: layers.Einsum, *xs: Shape) -> nn.Module:
    equation = layer.equation.replace(" ", "")
    alone = layer.summed and all(n == 1 for n in map(layer.sizes(xs).get, layer.summed))
    return Function(layer, lambda a, b: contracted(layer, a, b) if alone else torch.einsum(equation, a, b))


def contracted(layer: layers.Einsum, a: Tensor, b: Tensor) -> Tensor:
    """A sum of one product, as a product of matrices all the same; `torch.einsum` takes another way there."""
    first, second, output = layer.terms
    order = [layer.letters(first=x, second=y) for x, y in ((True, True), (True, False), (False, True))]
    shared, left, right = order
    sizes = layer.sizes([tuple(a.shape), tuple(b.shape)])

    def joined(x: Tensor, term: str, *groups: str) -> Tensor:
        turned = x.permute([term.index(letter) for letter in "".join(groups)])
        return turned.reshape([layer.size(group, (a.shape, b.shape)) for group in groups])

    product = joined(a, first, shared, left, layer.summed) @ joined(b, second, shared, layer.summed, right)
    made = "".join(order)
    return product.reshape([sizes[letter] for letter in made]).permute([made.index(letter) for letter in output])


class Positions(nn.Module):
    """Adds the first rows of a table, learned or of sines."""

    weight: Tensor

    def __init__(self, layer: layers.AddedPosition, width: int) -> None:
        super().__init__()
        self.layer = layer
        if layer.role == "trainable":
            self.weight = nn.Parameter(torch.randn(layer.length, width) * 0.02)
        else:
            self.register_buffer("weight", waves(layer.length, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.weight[: x.shape[1]]


def waves(length: int, width: int) -> Tensor:
    """Sines in even places, cosines in odd ones, of wavelengths from 2π to 10,000 · 2π."""
    even = torch.arange(0, width, 2)
    angles = torch.arange(length)[:, None] * 10000.0 ** (-even / width)
    both = torch.stack([angles.sin(), angles.cos()], -1)
    return both.flatten(1)[:, :width].contiguous()


class Turned(nn.Module):
    """Turns feature i with feature i + half by the angles of a table."""

    cosines: Tensor
    sines: Tensor

    def __init__(self, layer: layers.Rotary, width: int) -> None:
        super().__init__()
        self.layer, turned = layer, layer.turned((width,))
        wavelengths = layer.base ** (-torch.arange(0, turned, 2) / turned)
        angles = torch.arange(layer.length)[:, None] * wavelengths
        self.register_buffer("cosines", angles.cos())
        self.register_buffer("sines", angles.sin())

    def forward(self, x: Tensor) -> Tensor:
        length, half = x.shape[-2], self.cosines.shape[1]
        cosines, sines = self.cosines[:length], self.sines[:length]
        a, b, rest = torch.split(x, [half, half, x.shape[-1] - 2 * half], -1)
        turned = [a * cosines - b * sines, b * cosines + a * sines]
        return torch.cat([*turned, rest], -1)


@module.register
def _(layer: layers.AddedPosition, x: Shape) -> nn.Module:
    return Positions(layer, x[2])


@module.register
def _(layer: layers.Rotary, x: Shape) -> nn.Module:
    return Turned(layer, x[-1])


@read.register(Positions)
@read.register(Turned)
def _(module: Any) -> layers.Layer:
    return module.layer  # type: ignore[no-any-return]
