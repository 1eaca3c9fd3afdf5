"""The checks of one layer by itself: what it keeps for backward, its arithmetic number by number, and every size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archcalc.algebra.ops import Ops
from archcalc.crosscheck import naive, sizes
from archcalc.crosscheck.measure import data, kept_by, refusal, stated
from archcalc.crosscheck.page import What
from archcalc.crosscheck.result import Check
from archcalc.crosscheck.small import smaller
from archcalc.dialects.torch import module
from archcalc.dialects.torch_network import Network
from archcalc.layers import Activation, Embedding, Gather, Where
from archcalc.layers.index import place_of
from archcalc.layers.layer import Layer, Shape, shown
from archcalc.model.graph import Graph, Input, Node
from archcalc.model.walk import Use, walk

MOST = 10_000  # operations and outputs that are counted one by one for one layer: a few hundredths of a second
POSITIVE = ("log", "sqrt", "rsqrt")  # functions of positive numbers
FAR = 0.4  # share of the elements of an activation that lie beyond ±2
TOLERANCE = 1e-9  # relative and absolute; both sides compute in float64

Values = np.ndarray[Any, Any]
Dtypes = tuple[str | None, ...]  # of each input; None: floating
Shapes = tuple[Shape, ...]


def refused(layer: str, what: What, error: Exception) -> Check:
    """Unchecked where PyTorch is known to refuse this; otherwise a difference: we take what it does not."""
    reason = refusal(error)
    if reason is not None:
        return Check.none(layer, what, reason)
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return Check.of(layer, what, "runs", text)


def kept(layer: Layer, xs: Shapes, dtypes: Dtypes, device: str) -> Check:
    """What the layer keeps for the backward pass, tensor by tensor, on this device."""
    tensors = layer.saved(xs, layer.out(*xs), "cuda" if device == "cuda" else "cpu")
    if tensors is None:
        return Check.none(layer.kind, "saved", "the kind does not say what it keeps")
    if layer.keeps_more:
        return Check.none(layer.kind, "saved", layer.keeps_more)
    try:
        with torch.device(device):
            found = kept_by(module(layer, *xs), inputs_for(layer, xs, dtypes, device))
    except (RuntimeError, ValueError) as error:
        return refused(layer.kind, "saved", error)
    return Check.of(
        layer.kind, "saved", sorted(stated(tensors, dtypes).elements(), key=str), sorted(found.elements(), key=str)
    )


def dtypes_of(layer: Layer, xs: Shapes) -> Dtypes:
    """Indices for a table, truth values to select by, floating numbers for everything else."""
    if isinstance(layer, Where):
        return ("bool", None, None)
    return tuple(None if rows_of(layer, number, xs) is None else "int64" for number in range(len(xs)))


def rows_of(layer: Layer, number: int, xs: Shapes) -> int | None:
    """How many rows an input of indices may name; None for an input of numbers."""
    if isinstance(layer, Embedding):
        return layer.vocabulary
    return xs[0][place_of(layer, xs[0], layer.axis)] if isinstance(layer, Gather) and number == 1 else None


def inputs_for(layer: Layer, xs: Shapes, dtypes: Dtypes, device: str) -> list[Tensor]:
    """Random inputs; indices within the layer's table."""
    highest = [rows_of(layer, number, xs) or 2 for number in range(len(xs))]
    return [data(x, dtype, device, largest=most) for x, dtype, most in zip(xs, dtypes, highest, strict=True)]


def alone(layer: Layer, xs: Shapes, dtypes: Dtypes) -> tuple[Graph, list[Use]]:
    """The layer as a model of its own."""
    names = tuple(f"x{number}" for number in range(1, len(xs) + 1))
    inputs = {name: Input(x[1:] or (1,), dtype) for name, x, dtype in zip(names, xs, dtypes, strict=True)}
    graph = Graph(layer.kind, inputs, (Node(layer.kind, layer, names),), (layer.kind,))
    return graph, walk(graph, dict(zip(names, xs, strict=True)))


def cut(layer: Layer, xs: Shapes) -> tuple[Layer, Shapes] | str:
    """The layer, cut down where it is large, so that it can be counted one by one; or, as text, why it cannot."""
    if not naive.has_program(layer):
        return f"{layer.kind} has no program that counts one by one"
    return smaller(layer, xs, MOST) or f"more than {MOST:,} even when cut down"


def arithmetic(layer: Layer, xs: Shapes, dtypes: Dtypes) -> Iterator[Check]:
    """Operations counted one by one, by a program whose results are those of the real layer."""
    uses, note = alone(layer, xs, dtypes)[1], f"on {' and '.join(map(shown, xs))}"
    try:
        y, values, ops, inside = counted(layer, xs, dtypes)
    except (RuntimeError, ValueError) as error:
        yield refused(layer.kind, "values", error)
        return
    yield Check.of(layer.kind, "operations", sum((use.answers.ops for use in uses), Ops()), ops, note)
    if any(use.answers.macs for use in uses):
        yield Check.of(layer.kind, "exact MACs", sum(use.answers.macs_exact for use in uses), inside, note)
    yield Check.of(layer.kind, "values", "the same numbers", compared(y, values), note)


def compared(y: Values, values: Values) -> str:
    """Are these the same numbers?"""
    if y.shape != values.shape:
        return f"shapes {shown(y.shape)} and {shown(values.shape)}"
    same = np.allclose(y, values, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return "the same numbers" if same else f"up to {np.abs(y - values).max():.1e} apart"


def counted(layer: Layer, xs: Shapes, dtypes: Dtypes) -> tuple[Values, Values, Ops, int]:
    """The real layer's output in float64, the program's, its operations, and its products that met no padding."""
    with torch.device("cpu"), torch.no_grad():
        network = randomised(Network(*alone(layer, xs, dtypes)).double().eval())
        inputs = [x.double() if x.is_floating_point() else x for x in inputs_for(layer, xs, dtypes, "cpu")]
        if isinstance(layer, Activation):  # some elements far out, where functions saturate
            inputs = [torch.where(torch.rand(x.shape) < FAR, x * 15, x) for x in inputs]
        if layer.kind in POSITIVE:
            inputs = [x.abs() + 0.1 for x in inputs]
        y = network(*inputs)
    weights = {
        name.removeprefix(f"{layer.kind}.").removeprefix("own."): tensor.numpy()
        for name, tensor in network.state_dict().items()
    }
    values, ops, inside = naive.run(layer, [x.numpy() for x in inputs], weights)
    return y.detach().double().numpy(), values, ops, inside


def randomised(network: nn.Module) -> nn.Module:
    """Other numbers than the initial ones, so that a scale of one and a bias of zero cannot hide anything."""
    for parameter in network.parameters():
        parameter.data.uniform_(-1, 1)
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)  # variances are positive
    return network


def generalised(layer: Layer, xs: Shapes) -> tuple[tuple[int | None, ...], ...]:
    """The input shapes without the sizes that the weights leave free: what every size says is about these."""
    free = sizes.free_axes(layer, xs)
    return tuple(tuple(None if at in axes else n for at, n in enumerate(x)) for x, axes in zip(xs, free, strict=True))


def sized(layer: Layer, xs: Shapes, dtypes: Dtypes) -> Check:
    """Output sizes and MACs as expressions, beside the expressions that PyTorch derives."""
    found = sizes.compare(layer, xs, [None if dtype is None else getattr(torch, dtype) for dtype in dtypes])
    if isinstance(found, str):
        return Check.none(layer.kind, "every size", found)
    for what, agreement in found.answers.items():
        if agreement.verdict == "different":
            return Check.of(layer.kind, "every size", f"{what} as PyTorch derives", f"another at {agreement.by}")
        if agreement.verdict == "unknown":
            return Check.none(layer.kind, "every size", agreement.by)
    note = f"but for {' and '.join(found.left_out)}" if found.left_out else ""
    return Check.of(layer.kind, "every size", "equal for all", "equal for all", note)
