"""PyTorch's operators with weights or products: convolution, matrices, attention, recurrence, norms, embeddings."""

import math
import re
from collections.abc import Sequence
from typing import Any

from archcalc import layers
from archcalc.dialects.aten_graph import Draft, Held, Op, Unclear, operator
from archcalc.dialects.aten_shapes import one, permuted, reshaped
from archcalc.errors import LayerError


def weights(op: Op, *names: str) -> list[Held | None]:
    """Arguments that the module holds; Unclear where one is there and is computed."""
    found = []
    for name in names:
        held = op.held(name) if op.has(name) else None
        if op.has(name) and held is None:
            raise Unclear(f"{op.name} with a {name} that is computed")
        found.append(held)
    return found


@operator("conv1d", "conv2d", "conv3d", "convolution")
def conv(op: Op) -> Any:
    rank = len(op.y) - 2
    padding = op["padding"]
    fields = {
        "filters": op.y[1],
        "kernel": one(op.shape("weight")[2:]),
        "stride": one(_full(op["stride"], rank)),
        "padding": padding if isinstance(padding, str) else one(_full(padding, rank)),
        "dilation": one(_full(op["dilation"], rank)),
        "groups": op["groups"],
    }
    if op.given.get("transposed"):
        raise Unclear("a transposed convolution by its general name")
    if op.held("weight") is None or (op.has("bias") and op.held("bias") is None):
        rest = [op.x("bias")] if op.has("bias") else []
        return op.add(layers.WeightedConv, _without(fields, "filters", "kernel"), op.x(), op.x("weight"), *rest)
    return op.add(layers.Conv, fields | {"bias": op.has("bias")}, op.x(), tensors=weights(op, "weight", "bias"))


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    known = layers.WeightedConv.__struct_fields__
    return {name: value for name, value in fields.items() if name not in names or name in known}


def _full(values: Sequence[int], rank: int) -> list[int]:
    return [*values] * rank if len(values) == 1 else list(values)


@operator("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(op: Op) -> Any:
    rank = len(op.y) - 2
    names = ("stride", "padding", "output_padding", "dilation")
    fields = {name: one(_full(op[name], rank)) for name in names}
    fields |= {"filters": op.y[1], "kernel": one(op.shape("weight")[2:]), "groups": op["groups"]}
    held = weights(op, "weight", "bias")
    return op.add(layers.ConvTranspose, fields | {"bias": op.has("bias")}, op.x(), tensors=held)


@operator("linear")
def linear(op: Op) -> Any:
    if op.held("weight") is None:
        return _computed_linear(op)
    units, _ = op.shape("weight")
    if op.has("bias") and op.held("bias") is None:
        made = op.add(layers.Dense, {"units": units, "bias": False}, op.x(), tensors=weights(op, "weight"))
        return op.add(layers.Combine, {"function": "add"}, made, op.x("bias", len(op.y)))
    held = weights(op, "weight", "bias")
    return op.add(layers.Dense, {"units": units, "bias": op.has("bias")}, op.x(), tensors=held)


def _computed_linear(op: Op) -> Any:
    """A dense layer whose weights are computed: a product of two inputs, and a sum."""
    axes = max(len(op.shape()), 3)
    whole = (*[1] * (axes - len(op.y)), *op.y)
    made: Any = op.add(layers.MatMul, {"transpose_second": True}, op.x("", axes), op.x("weight", axes), shape=whole)
    made = reshaped(op, made, whole, op.y)
    return op.add(layers.Combine, {"function": "add"}, made, op.x("bias", len(op.y))) if op.has("bias") else made


@operator("matmul", "bmm", "mm", "__matmul__")
def matmul(op: Op) -> Any:
    return product(op, "self", "other" if "other" in op.given else "mat2")


def product(op: Op, first: str, second: str) -> Draft:
    """Matrices over the last two axes; those of fewer axes get some in front."""
    left, right = op.shape(first), op.shape(second)
    axes = max(len(left), len(right), 3)
    if min(len(left), len(right)) < 2:
        raise Unclear("a product with a vector")
    if len(left) == 2 and len(right) == 2:
        return _plain_product(op, first, second)
    return op.add(layers.MatMul, {}, op.x(first, axes), op.x(second, axes), shape=op.y)


def _plain_product(op: Op, first: str, second: str) -> Draft:
    """Two matrices, with an axis of size 1 in front."""
    (rows, _), (_, columns) = op.shape(first), op.shape(second)
    whole = op.add(layers.MatMul, {}, op.x(first, 3), op.x(second, 3), shape=(1, rows, columns))
    return op.add(layers.Reshape, {"shape": op.sizes.shape(op.y), "whole": True}, whole)


@operator("addmm", "baddbmm")
def addmm(op: Op) -> Any:
    second = "mat2" if "mat2" in op.given else "batch2"
    made = product(op, "mat1" if "mat1" in op.given else "batch1", second)
    return op.add(layers.Combine, {"function": "add"}, made, op.x("self", len(op.y)))


@operator("einsum")
def einsum(op: Op) -> Any:
    equation, operands = op["equation"], op.given["tensors"]
    if len(operands) != 2:
        raise Unclear("einsum of other than two operands")
    equation = equation.replace(" ", "")
    try:
        return op.add(layers.Einsum, {"equation": equation}, *map(op.tensor, operands))
    except LayerError:  # letters that the kind does not take, such as a table that has no batch
        return _as_matrices(op, *re.split(",|->", equation))


def _as_matrices(op: Op, first: str, second: str, output: str) -> Draft | str:
    """A sum over letters as a product of matrices, whose axes are the letters of both, of one, and those summed."""
    sizes: dict[str, Any] = {}
    operands = []
    for node, letters in zip(op.given["tensors"], (first, second), strict=True):
        shape = tuple(node.meta["val"].shape)
        sizes |= dict(zip(letters, shape, strict=True))
        operands.append((op.tensor(node), shape, letters))
    both = [letter for letter in output if letter in first and letter in second]
    left, right = ([n for n in output if n in own and n not in both] for own in (first, second))
    summed = [letter for letter in first if letter in second and letter not in output]
    if {*both, *left, *summed} != set(first) or {*both, *right, *summed} != set(second):
        raise Unclear("letters that are summed over in one operand alone")
    groups = [(both, left, summed), (both, summed, right)]
    matrices = [_grouped(op, *operand, group, sizes) for operand, group in zip(operands, groups, strict=True)]
    whole = tuple(math.prod(sizes[letter] for letter in group) for group in (both, left, right))
    made = op.add(layers.MatMul, {}, *matrices, shape=whole)
    order = [*both, *left, *right]
    shape = tuple(sizes[letter] for letter in order)
    return permuted(op, reshaped(op, made, whole, shape), shape, [order.index(letter) for letter in output])


def _grouped(
    op: Op,
    source: Draft | str,
    shape: tuple[Any, ...],
    letters: str,
    groups: Sequence[list[str]],
    sizes: dict[str, Any],
) -> Draft | str:
    """An operand with the letters of each group joined."""
    order = [letter for group in groups for letter in group]
    moved = permuted(op, source, shape, [letters.index(letter) for letter in order])
    joined = tuple(math.prod(sizes[letter] for letter in group) for group in groups)
    return reshaped(op, moved, tuple(sizes[letter] for letter in order), joined)


@operator("scaled_dot_product_attention")
def attention(op: Op) -> Any:
    sources = [op.x("query"), op.x("key"), op.x("value")]
    if op.has("attn_mask"):
        sources.append(op.x("attn_mask", len(op.y)))
    fields: dict[str, Any] = {"causal": op["is_causal"]}
    if op.given.get("enable_gqa"):
        fields |= {"heads": op.shape("query")[1], "kv_heads": op.shape("key")[1]}
    if len(op.y) != 4:
        return _by_parts(op, sources)
    return op.add(layers.Attention, fields, *sources)


def _by_parts(op: Op, sources: Sequence[Draft | str]) -> Draft:
    """Attention over other axes than (batch, heads, length, width): its two products and the softmax."""
    (*lead, queries, _), (*_, keys, _) = op.shape("query"), op.shape("key")
    scores = (*lead, queries, keys)
    made = op.add(layers.MatMul, {"transpose_second": True}, *sources[:2], shape=scores)
    made = op.add(layers.Activation, {"function": "scale"}, made, shape=scores)
    for mask in sources[3:]:
        made = op.add(layers.Combine, {"function": "add"}, made, mask, shape=scores)
    made = op.add(layers.Softmax, {"axis": -1}, made, shape=scores)
    return op.add(layers.MatMul, {}, made, sources[2])


@operator("embedding")
def embedding(op: Op) -> Any:
    if op.held("weight") is None:
        return op.add(layers.Gather, {"axis": 0}, op.x("weight"), op.x("indices"))
    vocabulary, width = op.shape("weight")
    held = weights(op, "weight")
    return op.add(layers.Embedding, {"vocabulary": vocabulary, "width": width}, op.x("indices"), tensors=held)


@operator("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(op: Op) -> Any:
    if not isinstance(op.given.get("params"), list | tuple) or "num_layers" not in op.given:
        raise Unclear("packed sequences")
    values = [op.network.values.get(node) for node in op.given["params"]]
    params = [value for value in values if isinstance(value, Held)]
    if len(params) < len(values):
        raise Unclear("computed weights")
    function, _, nonlinearity = op.name.partition("_")
    shapes = [held.shape for held in params]
    gates = {"lstm": 4, "gru": 3}.get(function, 1)
    units = shapes[0][0] // gates
    directions = 2 if op["bidirectional"] else 1
    each = len(shapes) // (op["num_layers"] * directions)
    projection = shapes[each - 1][0] if each % 2 == 1 else None
    fields = {
        "function": function, "units": units, "layers": op["num_layers"], "bidirectional": op["bidirectional"],
        "biases": 2 if op["has_biases"] else 0, "projection": projection,
    } | ({"nonlinearity": nonlinearity} if nonlinearity else {})  # fmt: skip
    first = op.value[0]
    source = op.x()
    if not op["batch_first"]:
        source = _first_axes_swapped(op, source, op.shape())
    y = tuple(first.shape) if op["batch_first"] else (first.shape[1], first.shape[0], first.shape[2])
    made = op.add(layers.Recurrent, fields, source, tensors=params, shape=y)
    if not op["batch_first"]:
        made = _first_axes_swapped(op, made, y)
    return (made, *(_state(op, made, item) for item in op.value[1:]))


def _first_axes_swapped(op: Op, source: Any, x: Sequence[Any]) -> Draft:
    return op.add(layers.Permute, {"order": (1, 0, 2), "whole": True}, source, shape=(x[1], x[0], x[2]))


def _state(op: Op, made: Draft, value: Any) -> Any:
    """A last state of a recurrent layer: made only if something reads it."""
    return lambda: op.network.add(
        op, layers.Unknown(f"{op.name}'s last state", op.sizes.shape(value.shape)), [made], tuple(value.shape), ()
    )


@operator("batch_norm")
def batch_norm(op: Op) -> Any:
    if op.has("weight") and op.held("weight") is None and not op.has("running_mean"):
        return _scaled(op)
    held = weights(op, "weight", "bias", "running_mean", "running_var")
    fields = {"epsilon": op["eps"], "affine": op.has("weight"), "running": op.has("running_mean")}
    return op.add(layers.BatchNorm, fields, op.x(), tensors=held)


def _scaled(op: Op) -> Draft:
    """Normalised over the batch, and scaled by numbers that are computed."""
    made = op.add(layers.BatchNorm, {"epsilon": op["eps"], "affine": False, "running": False}, op.x())
    for name, function in (("weight", "multiply"), ("bias", "add")):
        if op.has(name):
            shape = (1, op.y[1], *[1] * (len(op.y) - 2))
            factor = reshaped(op, op.x(name), op.shape(name), shape)
            made = op.add(layers.Combine, {"function": function}, made, factor)
    return made


@operator("instance_norm")
def instance_norm(op: Op) -> Any:
    held = weights(op, "weight", "bias")
    return op.add(layers.InstanceNorm, {"epsilon": op["eps"], "affine": op.has("weight")}, op.x(), tensors=held)


@operator("group_norm")
def group_norm(op: Op) -> Any:
    if op.has("weight") and not op.has("bias"):
        raise Unclear("group_norm with a scale and no shift")
    held = weights(op, "weight", "bias")
    fields = {"groups": op["num_groups"], "epsilon": op["eps"], "affine": op.has("weight")}
    return op.add(layers.GroupNorm, fields, op.x(), tensors=held)


@operator("layer_norm")
def layer_norm(op: Op) -> Any:
    axes = tuple(range(-len(op["normalized_shape"]), 0))
    fields = {"axes": one(axes), "epsilon": op["eps"], "affine": op.has("weight")}
    held = weights(op, "weight", "bias")
    if op.has("weight") and not op.has("bias"):
        fields["bias"] = False
    return op.add(layers.LayerNorm, fields, op.x(), tensors=held)


@operator("rms_norm")
def rms_norm(op: Op) -> Any:
    axes = tuple(range(-len(op["normalized_shape"]), 0))
    held = weights(op, "weight")
    return op.add(layers.RMSNorm, {"axes": one(axes), "affine": op.has("weight")}, op.x(), tensors=held)


@operator("prelu")
def prelu(op: Op) -> Any:
    (slopes,) = op.shape("weight")
    return op.add(layers.PReLU, {"per_channel": slopes > 1}, op.x("self"), tensors=weights(op, "weight"))
