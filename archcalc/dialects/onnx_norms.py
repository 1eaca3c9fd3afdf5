"""ONNX operators over whole axes: normalisations, softmax, reductions."""

from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.onnx_extent import worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import Value
from archcalc.layers import (
    Activation,
    ArgMax,
    BatchNorm,
    CumulativeSum,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    LogSoftmax,
    Reduce,
    RMSNorm,
    Softmax,
)

REDUCTIONS = {  # what is done to each element, how they are joined, and what is done to the result
    "ReduceMean": (None, "reduce_mean", None),
    "ReduceSum": (None, "reduce_sum", None),
    "ReduceMax": (None, "reduce_max", None),
    "ReduceMin": (None, "reduce_min", None),
    "ReduceProd": (None, "reduce_prod", None),
    "ReduceL1": ("abs", "reduce_sum", None),
    "ReduceL2": ("square", "reduce_sum", "sqrt"),
    "ReduceSumSquare": ("square", "reduce_sum", None),
    "ReduceLogSum": (None, "reduce_sum", "log"),
    "ReduceLogSumExp": ("exp", "reduce_sum", "log"),
}
AXES_AS_INPUT = {"ReduceSum": 13}  # since when; the others since 18


def batch_norm(op: Op) -> Value:
    """As at inference, also where the file is for training."""
    x = op.data(0)
    channels = (x.sizes[1] if x.rank > 1 else 1,)
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = {name: op.checked(op.value(at), channels, name) for at, name in enumerate(names, start=1)}
    return op.add(BatchNorm, x, tensors=tensors)


def instance_norm(op: Op) -> Value:
    x = op.data(0)
    channels = (x.sizes[1] if x.rank > 1 else 1,)
    tensors = {name: op.checked(op.value(at), channels, name) for at, name in enumerate(("weight", "bias"), start=1)}
    return op.add(InstanceNorm, x, tensors=tensors, affine=True)


def layer_norm(op: Op) -> Value:
    """Over the axes from `axis` to the last."""
    x, bias = op.data(0), op.given(2)
    axes, shape = tail(op, x)
    tensors = {"weight": op.checked(op.value(1), shape, "scale")}
    if bias is not None:
        tensors["bias"] = op.checked(bias, shape, "bias")
    return around_batch(op, LayerNorm, x, axes, tensors=tensors, bias=bias is not None)


def rms_norm(op: Op) -> Value:
    x = op.data(0)
    axes, shape = tail(op, x)
    return around_batch(op, RMSNorm, x, axes, tensors={"weight": op.checked(op.value(1), shape, "scale")})


def tail(op: Op, x: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes from `axis` to the last, and their sizes."""
    first = op.axis(x.rank, -1)
    return tuple(range(first, x.rank)), tuple(x.sizes[first:])


def around_batch(op: Op, of: type, x: Value, axes: tuple[int, ...], **fields: Any) -> Value:
    """A kind that leaves the batch alone; where it must not, the batch is made an axis like the others."""
    if 0 not in axes:
        return op.add(of, x, axes=axes if len(axes) > 1 else axes[0], **fields)
    moved = tuple(axis + 1 for axis in axes)
    made = op.add(of, op.reshaped(x, (1, *x.sizes)), axes=moved if len(moved) > 1 else moved[0], **fields)
    return op.reshaped(made, x.sizes)


def group_norm(op: Op) -> Value:
    x, groups = op.data(0), op.whole("num_groups")
    if op.version < 21:
        raise NotUnderstood("before opset 21 it has one scale for each group")
    channels = (x.sizes[1] if x.rank > 1 else 1,)
    tensors = {name: op.checked(op.value(at), channels, name) for at, name in enumerate(("weight", "bias"), start=1)}
    return op.add(GroupNorm, x, tensors=tensors, groups=groups)


def local_response_norm(op: Op) -> Value:
    fields: dict[str, Any] = {"alpha": op.real("alpha", 1e-4), "beta": op.real("beta", 0.75)}
    return op.add(LocalResponseNorm, op.data(0), size=op.whole("size"), k=op.real("bias", 1.0), **fields)


def mean_variance_norm(op: Op) -> Value:
    """Each channel over the batch: a batch norm that has no running statistics."""
    x, axes = op.data(0), op.wholes("axes") or (0, 2, 3)
    if {op.position(axis, x.rank) for axis in axes} != {0, *range(2, x.rank)}:
        raise NotUnderstood("it does not normalise each channel")
    return op.add(BatchNorm, x, affine=False, running=False)


def softmax(op: Op) -> Value:
    """Along one axis; before opset 13 over all axes from `axis` on, taken as one."""
    x = op.data(0)
    of = Softmax if op.kind == "Softmax" else LogSoftmax
    if x.rank == 0:
        raise NotUnderstood("it reads a single number")
    if op.version >= 13:
        return along(op, of, x, op.axis(x.rank, -1))
    axis = op.axis(x.rank, 1) if op.whole("axis", 1) < x.rank else x.rank
    if axis == x.rank - 1 and axis:
        return op.add(of, x, axis=axis)
    joined = op.reshaped(x, (*(x.sizes[:axis] or (1,)), prod(x.sizes[axis:])))
    return op.reshaped(op.add(of, joined, axis=-1), x.sizes)


def along(op: Op, of: type, x: Value, axis: int) -> Value:
    """A kind along one axis that must not be the batch; there, an axis of size 1 is put in front."""
    if axis:
        return op.add(of, x, axis=axis)
    return op.reshaped(op.add(of, op.reshaped(x, (1, *x.sizes)), axis=1), x.sizes)


def reduction(op: Op) -> Value:
    before, function, after = REDUCTIONS[op.kind]
    x = op.data(0)
    axes = op.setting("axes", 1, AXES_AS_INPUT.get(op.kind, 18))
    if not axes and op.whole("noop_with_empty_axes", 0):
        places: list[int] = []
    else:
        places = sorted({op.position(axis, x.rank) for axis in axes} if axes else range(x.rank))
    keep = bool(op.whole("keepdims", 1))
    if before:
        x = op.add(Activation, x, function=before)
    x = one_by_one(op, x, places, function, keep=keep)
    return op.add(Activation, x, function=after) if after else x


def one_by_one(op: Op, x: Value, places: list[int], function: str, *, keep: bool) -> Value:
    """Some axes reduced; a product one axis at a time."""
    if not places:
        return x
    steps = [(place,) for place in reversed(places)] if function == "reduce_prod" else [tuple(places)]
    for axes in steps:
        fields: dict[str, Any] = {"axes": axes if len(axes) > 1 else axes[0], "keep_axes": keep, "whole": 0 in axes}
        x = op.add(Reduce, x, function=function, **fields)
    return x


def arg_max(op: Op) -> Value:
    """The place of the largest, or smallest: as many comparisons."""
    x = op.data(0)
    made = op.add(ArgMax, x, axis=op.axis(x.rank, 0), keep_axis=bool(op.whole("keepdims", 1)))
    return Value(made.shape, made.node, dtype="int64")


def cumulative_sum(op: Op) -> Value:
    x, axis = op.data(0), op.numbers(1)
    if axis is None or len(axis) != 1:
        raise op.error("needs one axis", f"{axis}")
    return along(op, CumulativeSum, x, op.position(worth(axis[0]), x.rank))
