"""ONNX operators with windows or products: convolutions, pools, Gemm and MatMul."""

from collections.abc import Sequence
from typing import Any

from archcalc.algebra.num import ceil_div
from archcalc.dialects.onnx_extent import greater, worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import Value
from archcalc.layers import (
    Activation,
    AvgPool,
    Combine,
    Conv,
    ConvTranspose,
    Dense,
    GlobalAvgPool,
    GlobalMaxPool,
    MatMul,
    MaxPool,
    Permute,
    WeightedConv,
)

Pairs = tuple[tuple[Any, Any], ...]


def per_axis(op: Op, name: str, rank: int, default: int) -> tuple[int, ...]:
    """An attribute with one number for each spatial axis."""
    numbers = op.wholes(name)
    if numbers is None:
        return (default,) * rank
    if len(numbers) != rank:
        raise op.error(f"{name} must have one number for each of {rank} axes", f"{list(numbers)}")
    return numbers


def simplest(numbers: Sequence[Any]) -> Any:
    """One number where all are the same; a pair for each axis stays."""
    return numbers[0] if len(set(numbers)) == 1 and not isinstance(numbers[0], tuple) else tuple(numbers)


def padding(op: Op, axes: Sequence[Any], spans: Sequence[int], strides: Sequence[int]) -> Any:
    """The padding of each axis, by numbers or by the rule that auto_pad names."""
    rule = op.word("auto_pad", "NOTSET")
    if rule == "SAME_UPPER":
        return "same"
    if rule == "VALID":
        return 0
    if rule == "SAME_LOWER":  # as `same`, with the odd cell in front
        totals = [
            greater((ceil_div(n, stride) - 1) * stride + span - n, 0)
            for n, span, stride in zip(axes, spans, strides, strict=True)
        ]
        return tuple((total - total // 2, total // 2) for total in totals)
    return simplest([before if before == after else (before, after) for before, after in pads(op, len(axes))])


def pads(op: Op, rank: int) -> Pairs:
    """The attribute `pads`, which lists all begins, then all ends."""
    numbers = op.wholes("pads") or (0,) * (2 * rank)
    if len(numbers) != 2 * rank:
        raise op.error(f"pads must have a begin and an end for each of {rank} axes", f"{list(numbers)}")
    return tuple(zip(numbers[:rank], numbers[rank:], strict=True))


def kernel_of(op: Op, weight: Value) -> tuple[int, ...]:
    """The kernel, which the weight's shape says too."""
    sizes = tuple(map(worth, weight.sizes[2:]))
    given = op.wholes("kernel_shape")
    if not sizes or any(size < 1 for size in sizes) or (given is not None and given != sizes):
        raise op.error("kernel_shape must be that of the weight", f"{given} and {list(weight.sizes)}")
    return sizes


def windowed(op: Op, axes: Sequence[Any], kernel: Sequence[int]) -> dict[str, Any]:
    """Kernel, stride, padding and dilation."""
    rank = len(axes)
    if len(kernel) != rank:
        raise op.error(f"the kernel must have one number for each of {rank} axes", f"{list(kernel)}")
    strides, dilations = per_axis(op, "strides", rank, 1), per_axis(op, "dilations", rank, 1)
    if any(n < 1 for n in (*strides, *dilations)):
        raise op.error("strides and dilations must be at least 1", f"{list(strides)} and {list(dilations)}")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    return {
        "kernel": simplest(kernel),
        "stride": simplest(strides),
        "padding": padding(op, axes, spans, strides),
        "dilation": simplest(dilations),
    }


def conv(op: Op) -> Value:
    x, weight, bias = op.data(0), op.value(1), op.given(2)
    groups = op.whole("group", 1)
    if x.rank < 3 or weight.rank != x.rank:
        raise op.error("input and weight must have equally many axes, at least 3", f"{x.rank} and {weight.rank}")
    fields = windowed(op, x.sizes[2:], kernel_of(op, weight))
    filters, channels = map(worth, weight.sizes[:2])
    if worth(x.sizes[1]) != channels * groups:
        raise op.error("the input must have the channels of the weight", f"{x.sizes[1]} and {groups} × {channels}")
    if not weight.constant:
        del fields["kernel"]
        return op.add(WeightedConv, x, weight, *(() if bias is None else (bias,)), groups=groups, **fields)
    tensors = {"weight": weight}
    if bias is not None:
        tensors["bias"] = op.checked(bias, (filters,), "bias")
    return linear(op, Conv, x, tensors, 1, filters=filters, groups=groups, **fields)


def linear(op: Op, of: Any, x: Value, tensors: dict[str, Value], position: int, **fields: Any) -> Value:
    """A kind with a weight and a bias; a bias that is not shared as the weight is becomes a row of its own."""
    bias, owners = tensors.get("bias"), op.weave.owners
    owner = [owners.get(tensor.tensor or "", ("",))[0] for tensor in tensors.values()]
    tied = owner[0] and any(entry[:2] == (owner[0], "bias") for entry in owners.values())
    if bias is None or not tied or len(set(owner)) == 1:
        return op.add(of, x, tensors=tensors, bias=bias is not None, **fields)
    made = op.add(of, x, tensors={"weight": tensors["weight"]}, bias=False, **fields)
    return op.with_bias(made, bias, position if position > 0 else made.rank - 1)


def conv_transpose(op: Op) -> Value:
    x, weight, bias = op.data(0), op.value(1), op.given(2)
    groups = op.whole("group", 1)
    if x.rank < 3 or weight.rank != x.rank:
        raise op.error("input and weight must have equally many axes, at least 3", f"{x.rank} and {weight.rank}")
    kernel = kernel_of(op, weight)
    channels, filters = worth(weight.sizes[0]), worth(weight.sizes[1]) * groups
    if worth(x.sizes[1]) != channels:
        raise op.error("the input must have the channels of the weight", f"{x.sizes[1]} and {channels}")
    tensors = {"weight": op.checked(weight, weight.sizes, "weight")}
    if bias is not None:
        tensors["bias"] = op.checked(bias, (filters,), "bias")
    fields = windowed(op, x.sizes[2:], kernel)
    extra = per_axis(op, "output_padding", len(kernel), 0)
    fields |= {"padding": cropping(op, x.sizes[2:], kernel, extra), "output_padding": simplest(extra)}
    return linear(op, ConvTranspose, x, tensors, 1, filters=filters, groups=groups, **fields)


def cropping(op: Op, axes: Sequence[Any], kernel: Sequence[int], extra: Sequence[int]) -> Any:
    """What is cut from both ends of a transposed convolution, so that it has the size that is asked for."""
    rank, rule = len(axes), op.word("auto_pad", "NOTSET")
    wanted = op.wholes("output_shape")
    strides, dilations = per_axis(op, "strides", rank, 1), per_axis(op, "dilations", rank, 1)
    if wanted is None and rule in ("NOTSET", "VALID"):
        return 0 if rule == "VALID" else simplest([a if a == b else (a, b) for a, b in pads(op, rank)])
    if wanted is not None and len(wanted) == rank + 2:
        wanted = wanted[2:]
    sizes = [n * stride for n, stride in zip(axes, strides, strict=True)] if wanted is None else wanted
    if len(sizes) != rank:
        raise op.error(f"output_shape must have one number for each of {rank} axes", f"{list(sizes)}")
    crops = []
    for n, size, k, s, d, more in zip(axes, sizes, kernel, strides, dilations, extra, strict=True):
        total = (n - 1) * s + more + (k - 1) * d + 1 - size
        if total < 0:
            raise NotUnderstood("its output is larger than what it reaches")
        smaller = total // 2
        crops.append((smaller, total - smaller) if rule == "SAME_UPPER" else (total - smaller, smaller))
    return tuple(crops)


def pool_fields(op: Op, x: Value) -> dict[str, Any]:
    """Kernel, stride, padding and ceil_mode of a pool."""
    kernel = op.wholes("kernel_shape")
    if not kernel or any(n < 1 for n in kernel):
        raise op.error("kernel_shape must be numbers of at least 1", f"{kernel}")
    if x.rank != len(kernel) + 2:
        raise op.error("the kernel must have a number for each spatial axis", f"{list(kernel)} for {x.rank} axes")
    fields = windowed(op, x.sizes[2:], kernel)
    around = fields["padding"] if isinstance(fields["padding"], tuple) else (fields["padding"],) * len(kernel)
    pairs = [p if isinstance(p, tuple) else (p, p) for p in around if not isinstance(p, str)]
    if any(k < 2 * worth(cells) for k, pair in zip(kernel, pairs, strict=False) for cells in pair):
        raise NotUnderstood("it pads more than half its kernel")
    return fields | {"ceil_mode": bool(op.whole("ceil_mode", 0))}


def max_pool(op: Op) -> list[Value]:
    x = op.data(0)
    made = op.add(MaxPool, x, **pool_fields(op, x))
    return [made, Value(made.shape, made.node, dtype="int64")]  # the places of the largest come from the same pass


def average_pool(op: Op) -> Value:
    x = op.data(0)
    fields = pool_fields(op, x)
    if fields.pop("dilation") != 1:
        raise NotUnderstood("it averages cells that lie apart")
    return op.add(AvgPool, x, **fields, count_include_pad=bool(op.whole("count_include_pad", 0)))


def global_average_pool(op: Op) -> Value:
    return op.add(GlobalAvgPool, op.data(0))


def global_max_pool(op: Op) -> Value:
    return op.add(GlobalMaxPool, op.data(0))


def gemm(op: Op) -> Value:
    """The sum of alpha · A · B and beta · C; a factor of a constant costs nothing, one of the product is a row."""
    x, weight, bias = op.value(0), op.value(1), op.given(2)
    if x.rank != 2 or weight.rank != 2:
        raise op.error("both matrices must have two axes", f"{x.rank} and {weight.rank}")
    turned, alpha = bool(op.whole("transB", 0)), op.real("alpha", 1.0)
    if op.whole("transA", 0):
        x = op.add(Permute, x, order=(1, 0), whole=True)
    if not weight.constant:
        made = matrices(op, op.made(x), op.made(weight), turned=turned)
    else:
        units, features = weight.sizes if turned else weight.sizes[::-1]
        if worth(x.sizes[1]) != worth(features):
            raise op.error("the first's columns must be the second's rows", f"{x.sizes[1]} and {features}")
        tensors = {"weight": weight}
        plain = bias is not None and bias.constant and bias.rank > 0 and bias.sizes[-1] == units == bias.elements
        if plain and bias is not None and alpha == 1:
            return linear(op, Dense, op.made(x), tensors | {"bias": bias}, -1, units=units)
        made = op.add(Dense, x, tensors=tensors, units=units, bias=False)
    if alpha != 1:
        made = op.add(Activation, made, function="scale", alpha=alpha)
    return made if bias is None or op.real("beta", 1.0) == 0 else op.joined(Combine, made, bias, function="add")


def matrices(op: Op, x: Value, y: Value, *, turned: bool = False) -> Value:
    """The product of two inputs of two axes."""
    made = op.add(MatMul, op.lifted(x, 3), op.lifted(y, 3), transpose_second=turned)
    return op.reshaped(made, made.sizes[1:])


def matmul(op: Op) -> Value:
    x, y = op.value(0), op.value(1)
    if min(x.rank, y.rank) < 1:
        raise op.error("both inputs must have an axis", f"{x.rank} and {y.rank}")
    if y.constant and y.rank == 2 and x.rank > 1:
        if worth(x.sizes[-1]) != worth(y.sizes[0]):
            raise op.error("the first's columns must be the second's rows", f"{x.sizes[-1]} and {y.sizes[0]}")
        return op.add(Dense, x, tensors={"weight": y}, units=worth(y.sizes[1]), bias=False)
    rows, columns = x.rank == 1, y.rank == 1
    x, y = op.made(x), op.made(y)
    x = op.reshaped(x, (1, *x.sizes)) if rows else x
    y = op.reshaped(y, (*y.sizes, 1)) if columns else y
    rank = max(x.rank, y.rank, 3)
    both = [op.lifted(x, rank), op.lifted(y, rank)]
    made = op.add(MatMul, *both)
    lead = op.broadened(made, both).sizes[:-2] if rank > 2 else ()
    lead = lead[rank - max(x.rank, y.rank) :]
    shape = (*lead, *(() if rows else made.sizes[-2:-1]), *(() if columns else made.sizes[-1:]))
    return op.reshaped(Value((*op.broadened(made, both).sizes,), made.node), shape)
