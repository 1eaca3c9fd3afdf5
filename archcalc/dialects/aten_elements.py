"""PyTorch's operators on single elements and over windows: activations, arithmetic, pools, reductions, resizing."""

import math
from typing import Any

import torch
from torch import fx

from archcalc import layers
from archcalc.dialects.aten_graph import Fixed, Op, Unclear, operator
from archcalc.dialects.aten_shapes import one, reshaped

PLAIN = {  # operators that are a row of the table of activations, and have no parameter
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh", "silu": "silu", "mish": "mish",
    "hardswish": "hardswish", "hardsigmoid": "hardsigmoid", "selu": "selu", "softsign": "softsign",
    "log_sigmoid": "logsigmoid", "softplus": "softplus", "abs": "abs", "exp": "exp", "log": "log", "sqrt": "sqrt",
    "square": "square", "neg": "negative", "reciprocal": "reciprocal", "rsqrt": "rsqrt", "sin": "sin", "cos": "cos",
    "erf": "erf", "floor": "floor", "ceil": "ceil", "round": "round", "sign": "sign", "rrelu": "rrelu",
}  # fmt: skip
WITH_ALPHA = {  # and those with one, under its name in PyTorch
    "leaky_relu": ("leaky_relu", "negative_slope"), "elu": ("elu", "alpha"), "celu": ("celu", "alpha"),
    "hardshrink": ("hardshrink", "lambd"), "softshrink": ("softshrink", "lambd"),
    "threshold": ("threshold", "threshold"),
}  # fmt: skip
BINARY = {"add": "add", "sub": "subtract", "subtract": "subtract", "mul": "multiply", "multiply": "multiply",
          "div": "divide", "divide": "divide", "true_divide": "divide", "maximum": "maximum", "minimum": "minimum",
          "max": "maximum", "min": "minimum", "__and__": "multiply", "logical_and": "multiply",
          "bitwise_and": "multiply"}  # fmt: skip
RELATIONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
             "ne": "not_equal"}  # fmt: skip


@operator(*PLAIN)
def plain(op: Op) -> Any:
    return op.add(layers.Activation, {"function": PLAIN[op.name]}, op.x())


@operator(*WITH_ALPHA)
def with_alpha(op: Op) -> Any:
    function, name = WITH_ALPHA[op.name]
    default = layers.activation.TABLE[function].alpha
    alpha = float(op[name])
    return op.add(layers.Activation, {"function": function, "alpha": None if alpha == default else alpha}, op.x("self"))


@operator("gelu")
def gelu(op: Op) -> Any:
    function = "gelu_tanh" if op["approximate"] == "tanh" else "gelu"
    return op.add(layers.Activation, {"function": function}, op.x("self"))


@operator("hardtanh")
def hardtanh(op: Op) -> Any:
    low, high = float(op["min_val"]), float(op["max_val"])
    if (low, high) == (0, 6):
        return op.add(layers.Activation, {"function": "relu6"}, op.x("self"))
    return op.add(layers.Clamp, {"low": low, "high": high}, op.x("self"))


@operator("clamp", "clamp_min", "clamp_max", "clip")
def clamp(op: Op) -> Any:
    low, high = op.given.get("min"), op.given.get("max")
    if isinstance(low, fx.Node) or isinstance(high, fx.Node):
        raise Unclear("clamped by a tensor")
    bounds = {name: None if bound is None else float(bound) for name, bound in (("low", low), ("high", high))}
    return op.add(layers.Clamp, bounds, op.x("self"))


@operator("pow", "float_power")
def power(op: Op) -> Any:
    exponent: Any = op.given.get("exponent")
    if isinstance(exponent, fx.Node) or not isinstance(op.given.get("self"), fx.Node):
        raise Unclear("to the power of a tensor")
    name = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}.get(exponent)
    if name is not None:
        return op.add(layers.Activation, {"function": name}, op.x("self"))
    return op.add(layers.Activation, {"function": "power", "alpha": float(exponent)}, op.x("self"))


@operator("glu")
def glu(op: Op) -> Any:
    return op.add(layers.GLU, {"axis": op["dim"] % len(op.y)}, op.x("self"))


@operator("softmax", "log_softmax")
def softmax(op: Op) -> Any:
    kind = layers.Softmax if op.name == "softmax" else layers.LogSoftmax
    if len(op.y) == 1:  # of a parameter: as a row of its own
        row = op.add(kind, {"axis": -1}, op.x("self", 2), shape=(1, *op.y))
        return reshaped(op, row, (1, *op.y), op.y)
    return op.add(kind, {"axis": op["dim"] % len(op.y) or -1}, op.x("self"))


@operator(*BINARY)
def binary(op: Op) -> Any:
    """Two tensors, or one and a number."""
    if "dim" in op.given:
        return extreme(op)
    other = op.given.get("other")
    if op.name in ("max", "min") and other is None:
        return reduction(op)
    if op.given.get("rounding_mode"):
        raise Unclear("a division that rounds")
    if op.given.get("alpha", 1) != 1:
        raise Unclear("a sum with a factor")
    if not isinstance(other, fx.Node) or not hasattr(other.meta.get("val"), "shape"):
        return with_number(op, BINARY[op.name], op.x("self"), other)
    sources = op.x("self", len(op.y)), op.x("other", len(op.y))
    return op.add(layers.Combine, {"function": BINARY[op.name]}, *sources)


def with_number(op: Op, function: str, source: Any, number: Any) -> Any:
    """A tensor and a number."""
    value = float(number) if isinstance(number, int | float) else 1.0  # a size: its value changes no count
    if function in ("maximum", "minimum"):
        bounds = {"low": value, "high": None} if function == "maximum" else {"low": None, "high": value}
        return op.add(layers.Clamp, bounds, source)
    if function in ("multiply", "divide"):
        factor = value if function == "multiply" else 1 / value if value else math.inf
        return op.add(layers.Activation, {"function": "scale", "alpha": factor}, source)
    return op.add(layers.Activation, {"function": "shift", "alpha": value if function == "add" else -value}, source)


@operator("addcmul", "addcdiv")
def add_product(op: Op) -> Any:
    """A tensor and the product or quotient of two others."""
    if op["value"] != 1:
        raise Unclear("a sum with a factor")
    function = "multiply" if op.name == "addcmul" else "divide"
    factors = [op.x(name, len(op.y)) for name in ("tensor1", "tensor2")]
    shape = tuple(torch.broadcast_shapes(op.shape("tensor1"), op.shape("tensor2")))  # type: ignore[no-untyped-call]
    shape = (*[1] * (len(op.y) - len(shape)), *shape)
    made = op.add(layers.Combine, {"function": function}, *factors, shape=shape)
    return op.add(layers.Combine, {"function": "add"}, op.x("self", len(op.y)), made)


@operator("rsub")
def from_number(op: Op) -> Any:
    """A number minus a tensor: one subtraction for each element."""
    if isinstance(op.given["other"], fx.Node) and hasattr(op.given["other"].meta["val"], "shape"):
        return op.add(layers.Combine, {"function": "subtract"}, op.x("other", len(op.y)), op.x("self", len(op.y)))
    return with_number(op, "add", op.x("self"), op["other"])


@operator(*RELATIONS)
def compare(op: Op) -> Any:
    other, fields = op.given["other"], {"relation": RELATIONS[op.name]}
    if isinstance(other, fx.Node) and hasattr(other.meta.get("val"), "shape"):
        return op.add(layers.Compare, fields, op.x("self", len(op.y)), op.x("other", len(op.y)))
    value = {"value": float(other)} if isinstance(other, int | float) else {}
    return op.add(layers.Compare, fields | value, op.x("self"))


@operator("where")
def where(op: Op) -> Any:
    names = ("condition", "self", "other")
    if not all(isinstance(op.given.get(name), fx.Node) for name in names):
        raise Unclear("a choice between numbers")
    return op.add(layers.Where, {}, *(op.x(name, len(op.y)) for name in names))


@operator("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(op: Op) -> Any:
    if op.given.get("divisor_override") is not None:
        raise Unclear("an average with a divisor of its own")
    include = op.given.get("count_include_pad", True)
    return op.add(layers.AvgPool, _pool(op) | {"count_include_pad": include}, op.x("self"))


@operator("max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices")
def max_pool(op: Op) -> Any:
    fields = _pool(op) | {"dilation": one(op["dilation"])}
    if isinstance(op.value, tuple | list):
        return (op.add(layers.MaxPool, fields, op.x("self"), shape=tuple(op.value[0].shape)), None)
    return op.add(layers.MaxPool, fields, op.x("self"))


def _pool(op: Op) -> dict[str, Any]:
    kernel = one(op.numbers("kernel_size"))
    stride = one(op.numbers("stride")) if op["stride"] else None
    fields = {"kernel": kernel, "stride": None if stride == kernel else stride, "padding": one(op.numbers("padding"))}
    return fields | {"ceil_mode": op["ceil_mode"]}


@operator("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
          "adaptive_max_pool2d", "adaptive_max_pool3d")  # fmt: skip
def adaptive(op: Op) -> Any:
    kind = layers.AdaptiveAvgPool if "avg" in op.name else layers.AdaptiveMaxPool
    many = isinstance(op.value, tuple | list)
    y = tuple((op.value[0] if many else op.value).shape)
    made = op.add(kind, {"size": one(op.sizes.shape(y[2:]))}, op.x("self"), shape=y)
    return (made, None) if many else made


REDUCTIONS = {"mean": "reduce_mean", "sum": "reduce_sum", "amax": "reduce_max", "amin": "reduce_min",
              "max": "reduce_max", "min": "reduce_min", "prod": "reduce_prod", "var": "reduce_variance"}  # fmt: skip


@operator("mean", "sum", "amax", "amin", "prod", "var", "std")
def reduction(op: Op) -> Any:
    rank = len(op.shape("self"))
    dims = op.given.get("dim")
    axes = range(rank) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    return reduced(op, op.name, [axis % rank for axis in axes], bool(op.given.get("keepdim")))


def reduced(op: Op, name: str, axes: list[int], keep: bool) -> Any:
    """Some axes as one number each; a deviation is the root of a variance."""
    fields = {"function": REDUCTIONS.get(name, "reduce_variance"), "keep_axes": keep} | _over(axes)
    made = op.add(layers.Reduce, fields, op.x("self"))
    return op.add(layers.Activation, {"function": "sqrt"}, made) if name == "std" else made


def _over(axes: list[int]) -> dict[str, Any]:
    """The axes of a reduction, the batch among them or not."""
    return {"axes": axes[0] if len(axes) == 1 else tuple(axes)} | ({"whole": True} if 0 in axes else {})


def extreme(op: Op) -> Any:
    """The largest along an axis, and where it is."""
    axis = op["dim"] % len(op.shape("self"))
    y = tuple(op.value[0].shape)
    fields = {"function": REDUCTIONS[op.name], "axes": axis, "keep_axes": bool(op["keepdim"])}
    return (op.add(layers.Reduce, fields, op.x("self"), shape=y), None)


@operator("argmax", "argmin")
def arg_max(op: Op) -> Any:
    if op["dim"] is None:
        raise Unclear("over all axes")
    axis = op["dim"] % len(op.shape("self"))
    return op.add(layers.ArgMax, {"axis": axis, "keep_axis": bool(op["keepdim"])}, op.x("self"))


@operator("cumsum")
def cumsum(op: Op) -> Any:
    return op.add(layers.CumulativeSum, {"axis": op["dim"] % len(op.y)}, op.x("self"))


@operator("linalg_vector_norm", "norm")
def norm(op: Op) -> Any:
    """The root of the sum of squares."""
    order = op.given.get("ord", op.given.get("p"))
    if order not in (2, 2.0, None) or not op.given.get("dim"):
        raise Unclear("another norm than the usual")
    squares = op.add(layers.Activation, {"function": "square"}, op.x("self"), shape=op.shape("self"))
    rank = len(op.shape("self"))
    axes = [axis % rank for axis in op["dim"]]
    fields = {"function": "reduce_sum", "keep_axes": bool(op["keepdim"])} | _over(axes)
    return op.add(layers.Activation, {"function": "sqrt"}, op.add(layers.Reduce, fields, squares))


@operator("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_linear1d",
          "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
          "_upsample_nearest_exact2d")  # fmt: skip
def resize(op: Op) -> Any:
    if op.name.endswith("aa"):
        raise Unclear("resizing with a wider filter")
    mode = "nearest" if "nearest" in op.name else "bicubic" if "bicubic" in op.name else "bilinear"
    corners = bool(op.given.get("align_corners")) and mode != "nearest"
    scale = _whole_scale(op)
    fields: dict[str, Any] = {"scale": scale} if scale else {"size": one(op.sizes.shape(op.y[2:]))}
    return op.add(layers.Resize, fields | {"mode": mode, "align_corners": corners}, op.x())


def _whole_scale(op: Op) -> Any:
    factors = op.given.get("scale_factors")
    if not factors or any(not float(factor).is_integer() for factor in factors):
        return None
    return one([int(factor) for factor in factors])


@operator("masked_fill")
def masked_fill(op: Op) -> Any:
    """Another value where a mask holds: one selection for each element."""
    value = op.network.source(_scalar(op), len(op.y), op)
    return op.add(layers.Where, {}, op.x("mask", len(op.y)), value, op.x("self", len(op.y)))


def _scalar(op: Op) -> Fixed:
    return Fixed((), str(op.value.dtype).removeprefix("torch."))
