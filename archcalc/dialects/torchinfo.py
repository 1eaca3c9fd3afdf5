"""torchinfo's layout of a summary: a tree of modules by depth and index, shapes in brackets, sizes in megabytes."""

from collections.abc import Iterator, Sequence

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import prod
from archcalc.model.report import Report

NAMES = {  # PyTorch's classes; {} stands for the number of spatial axes
    "conv": "Conv{}d",
    "conv_transpose": "ConvTranspose{}d",
    "depthwise_conv": "Conv{}d",
    "dense": "Linear",
    "max_pool": "MaxPool{}d",
    "avg_pool": "AvgPool{}d",
    "adaptive_avg_pool": "AdaptiveAvgPool{}d",
    "adaptive_max_pool": "AdaptiveMaxPool{}d",
    "global_avg_pool": "AdaptiveAvgPool{}d",
    "global_max_pool": "AdaptiveMaxPool{}d",
    "batch_norm": "BatchNorm{}d",
    "instance_norm": "InstanceNorm{}d",
    "layer_norm": "LayerNorm",
    "group_norm": "GroupNorm",
    "rms_norm": "RMSNorm",
    "local_response_norm": "LocalResponseNorm",
    "relu": "ReLU",
    "relu6": "ReLU6",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "selu": "SELU",
    "silu": "SiLU",
    "gelu": "GELU",
    "mish": "Mish",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "hardswish": "Hardswish",
    "hardsigmoid": "Hardsigmoid",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "dropout": "Dropout",
    "channel_dropout": "Dropout{}d",
    "alpha_dropout": "AlphaDropout",
    "flatten": "Flatten",
    "pixel_shuffle": "PixelShuffle",
    "pixel_unshuffle": "PixelUnshuffle",
    "resize": "Upsample",
    "embedding": "Embedding",
    "identity": "Identity",
}


def summary(report: Report, whole: Report) -> str:
    """The report as torchinfo prints a module; sizes are those of the whole report, which no depth changes.

    The multiply–adds are archcalc's MACs.
    """
    lines = [(report.model, _shape(report.output), "--"), *_tree(report)]
    first = max(41, *(len(name) + 1 for name, _, _ in lines))
    rule = "=" * (first + 49)
    body = [f"{name:<{first}}{shape:<26}{params}" for name, shape, params in lines]
    head = f"{'Layer (type:depth-idx)':<{first}}{'Output Shape':<26}Param #"
    return "\n".join([rule, head, rule, *body, rule, *_counts(report), rule, *_sizes(whole), rule])


def _tree(report: Report) -> Iterator[tuple[str, str, str]]:
    """A line for every level that begins, and for every layer; indices count along each depth."""
    counts: dict[int, int] = {}
    rows = report.rows
    shapes = report.inputs | {row.name: row.output for row in rows}
    # a level gives on what its last layer does, or what goes by its own name: the join of its branches
    ends = {level: row.output for row in rows for level in _levels(row.name)} | {row.name: row.output for row in rows}
    seen: set[str] = set()
    for row in rows:
        for level in _levels(row.name):
            if level not in seen:
                seen.add(level)
                yield _line(level.rpartition("/")[2], level.count("/") + 1, counts), _shape(ends[level]), "--"
        params = f"{row.params:,}" if row.params else "(recursive)" if row.shared_with else "--"
        axes = len(shapes[row.inputs[0]]) if row.inputs else 0
        yield _line(_class_name(row.kind, axes), row.name.count("/") + 1, counts), _shape(row.output), params


def _levels(name: str) -> list[str]:
    """The levels that a path name lies in, outermost first."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _line(name: str, depth: int, counts: dict[int, int]) -> str:
    counts[depth] = counts.get(depth, 0) + 1
    indent = "├─" if depth == 1 else "│    " * (depth - 1) + "└─"
    return f"{indent}{name}: {depth}-{counts[depth]}"


def _class_name(kind: str, axes: int) -> str:
    """PyTorch's class for a kind on an input of so many axes with the batch, if it has one; else the kind's name."""
    return NAMES.get(kind, kind).replace("{}", str(max(1, axes - 2)))


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _counts(report: Report) -> list[str]:
    totals, mark = report.totals, "≥ " if report.status == "partial" else ""
    unit, size = next(item for item in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3), ("", 1))
                      if totals.macs >= item[1] or item[1] == 1)  # fmt: skip
    return [
        f"Total params: {mark}{totals.params:,}",
        f"Trainable params: {mark}{totals.trainable_params:,}",
        f"Non-trainable params: {totals.params - totals.trainable_params:,}",
        f"Total mult-adds{f' ({unit})' if unit else ''}: {mark}{totals.macs / size:.2f}  (archcalc's MACs)",
    ]


def _sizes(report: Report) -> list[str]:
    """Torchinfo's estimate of memory: inputs, twice the outputs of layers with parameters, parameters."""
    inputs = sum(bytes_of(prod(shape), report.dtype) for shape in report.inputs.values())
    passes = 2 * sum(row.output_bytes for row in report.rows if row.params)
    params = report.totals.weight_bytes
    named = {"Input size": inputs, "Forward/backward pass size": passes, "Params size": params}
    lines = [f"{what} (MB): {n / 10**6:.2f}" for what, n in named.items()]
    return [*lines, f"Estimated Total Size (MB): {sum(named.values()) / 10**6:.2f}"]
