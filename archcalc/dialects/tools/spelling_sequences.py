"""How PyTorch spells kinds that work on sequences: attention, recurrent layers, sums of products, rotations."""

from archcalc import layers
from archcalc.algebra.num import prod
from archcalc.dialects.tools.spelling import Call, Spelling, Xs, spelled
from archcalc.layers.layer import Shape


@spelled.register
def _(layer: layers.Attention, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """One fused kernel, called by its name on a CPU; or the function of attention, which is products of matrices."""
    query, key, value = layer.split(xs)[:3]
    fused = layer.fused(xs) and not by_hand
    word = "fused_attention" if fused else "attention"
    call = Call(word, tuple(query), y, other=tuple(key), weight=tuple(value), macs=layer.macs(xs, y))
    return Spelling("", (call,), untraceable=not by_hand)


@spelled.register
def _(layer: layers.Recurrent, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling | None:
    """PyTorch's function for the whole sequence; a GRU that resets before the product is written out, and not known."""
    if not layer.reset_after or (by_hand and layer.biases == 1):
        return None
    batch, length, _ = xs[0]
    weight = (layer.layers, layer.directions, layer.state)
    rows = layer.gates * layer.units * layer.layers * layer.directions
    call = Call(layer.function, xs[0], y, weight=weight, macs=layer.macs(xs, y), amount=layer.projection)
    biases = Call("recurrent_bias", xs[0], (batch, length, 2 * rows if layer.biases else 0))
    fused = layer.function == "lstm" and layer.projection is None  # one kernel on a CPU
    calls = (call,) if fused else (call, biases)
    if not by_hand:
        return Spelling("", calls)
    return Spelling(layer.function.upper(), (*calls, Call("recurrent_module", xs[0], y, amount=layer)))


@spelled.register
def _(layer: layers.Einsum, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling | None:
    """PyTorch's function of the same name; where the axes that are summed have size 1 it is written out."""
    sizes = layer.sizes(xs)
    if layer.summed and all(sizes[letter] == 1 for letter in layer.summed):
        return None
    equation = layer.equation.replace(" ", "")
    return Spelling("", (Call("einsum", xs[0], y, macs=layer.macs(xs, y), amount=(equation, prod(sizes.values())),
                              affine=bool(layer.summed)),))  # fmt: skip


@spelled.register
def _(layer: layers.Rotary, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """Four products of halves; and one of sizes, which a trace takes for a product of numbers."""
    half = (*y[:-1], layer.turned((y[-1],)) // 2)
    return Spelling("", (*[Call("*", half, half)] * 4, Call("*", (), ())))


@spelled.register
def _(layer: layers.WeightedConv, xs: Xs, y: Shape, by_hand: bool = False) -> Spelling:
    """The function is kept when the module is made: what patches it later is not asked."""
    call = Call("kept_conv", xs[0], y, weight=xs[1], macs=layer.macs(xs, y), bias=len(xs) > 2)
    return Spelling("", (call,), untraceable=True)
