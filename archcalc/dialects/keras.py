"""Keras' words: its layer names, and its summary, so that one copied from a course can be laid beside ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.model.report import Report, Row
from archcalc.questions.model import Model
from archcalc.views.columns import ordered

NAMES = {  # {} stands for the number of spatial axes
    "conv": "Conv{}D",
    "conv_transpose": "Conv{}DTranspose",
    "depthwise_conv": "DepthwiseConv{}D",
    "separable_conv": "SeparableConv{}D",
    "dense": "Dense",
    "max_pool": "MaxPooling{}D",
    "avg_pool": "AveragePooling{}D",
    "global_avg_pool": "GlobalAveragePooling{}D",
    "global_max_pool": "GlobalMaxPooling{}D",
    "batch_norm": "BatchNormalization",
    "layer_norm": "LayerNormalization",
    "group_norm": "GroupNormalization",
    "rms_norm": "RMSNormalization",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "softmax": "Softmax",
    "dropout": "Dropout",
    "channel_dropout": "SpatialDropout{}D",
    "alpha_dropout": "AlphaDropout",
    "gaussian_dropout": "GaussianDropout",
    "flatten": "Flatten",
    "reshape": "Reshape",
    "permute": "Permute",
    "pad": "ZeroPadding{}D",
    "crop": "Cropping{}D",
    "resize": "UpSampling{}D",
    "embedding": "Embedding",
    "add": "Add",
    "subtract": "Subtract",
    "multiply": "Multiply",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "concat": "Concatenate",
    "identity": "Identity",
}


def summary(model: Model, report: Report, width: int) -> str:
    """The report as Keras 3 prints a model: channels last, no batch, buffers among the non-trainable parameters.

    Cells are wrapped, as Keras does, so that a line takes at most `width` characters.
    """
    from tabulate import tabulate

    chain = all(node.inputs == (source,) for node, source in zip(model.nodes, _chain(model), strict=True))
    titles = ["Layer (type)", "Output Shape", "Param #", *([] if chain else ["Connected to"])]
    shapes = report.inputs | {row.name: row.output for row in report.rows}
    rows = [_cells(rows, chain, report, _axes(rows[0], shapes)) for rows in _layers(model, report)]
    if not chain:
        given = report.inputs.items()
        rows = [*([f"{name} (InputLayer)", _shape(name, shape, report), "0", "-"] for name, shape in given), *rows]
    align = ["left", "left", "right", *([] if chain else ["left"])]
    needed = [max(len(cell) for cell in column) for column in zip(titles, *rows, strict=True)]
    free = width - sum(needed[1:3]) - 3 * len(titles) - 1  # for the name, and what it is connected to
    room = [max(12, free // (1 if chain else 2)), None, None, max(12, free // 2)][: len(titles)]
    grid = tabulate(rows, titles, "simple_grid", colalign=align, disable_numparse=True, maxcolwidths=room)
    return "\n".join([f'Model: "{report.model}"', _boxed(grid), *_totals(report)])


def _chain(model: Model) -> list[str]:
    return [next(iter(model.inputs)), *(node.name for node in model.nodes)][:-1]


def _layers(model: Model, report: Report) -> list[list[Row]]:
    """Rows by the layer of the spec that they are part of: a composite is one layer in Keras."""
    nodes = {node.name for node in model.nodes}
    layers: dict[str, list[Row]] = {}
    for row in report.rows:
        name = row.name
        while name not in nodes and "/" in name:
            name = name.rpartition("/")[0]
        layers.setdefault(name if name in nodes else row.name, []).append(row)
    return list(layers.values())


def _axes(row: Row, shapes: Mapping[str, Sequence[int]]) -> int:
    """Axes of what a layer reads; a tensor by itself reads nothing."""
    return len(shapes.get(row.inputs[0], ())) if row.inputs else 0


def _cells(rows: Sequence[Row], chain: bool, report: Report, axes: int) -> list[str]:
    first, last = rows[0], rows[-1]
    name = first.name if len(rows) == 1 else first.name.rpartition("/")[0]
    kind = first.kind if len(rows) == 1 else "separable_conv"
    params = sum(row.params + row.buffers for row in rows)
    cells = [f"{name} ({class_name(kind, axes)})", _shape(last.name, last.output, report), f"{params:,}"]
    return cells if chain else [*cells, ", ".join(first.inputs)]


def class_name(kind: str, axes: int) -> str:
    """Keras' class for a kind on an input of so many axes with the batch, if it has one; else the kind's own name."""
    return NAMES.get(kind, kind).replace("{}", str(axes - 2))


def _shape(name: str, shape: Sequence[int], report: Report) -> str:
    layout = "channels_last" if name in report.images else "channels_first"
    sizes: list[Any] = [None, *ordered(shape, layout)[1:]]
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def _totals(report: Report) -> list[str]:
    totals = report.totals
    fixed = totals.params - totals.trainable_params + totals.buffers
    width = totals.weight_bytes // totals.params if totals.params else 4
    counts = {"Total": totals.params + totals.buffers, "Trainable": totals.trainable_params, "Non-trainable": fixed}
    mark = "≥ " if report.status == "partial" else ""
    return [f" {what} params: {mark}{n:,} ({_memory(n * width)})" for what, n in counts.items()]


def _memory(n: int) -> str:
    """Bytes as Keras writes them: powers of 1024 under the names of powers of 1000."""
    size = float(n)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    raise AssertionError


def _boxed(grid: str) -> str:
    """A grid with the heavy head that Keras draws."""
    lines = grid.split("\n")
    rule = next(number for number, line in enumerate(lines) if line.startswith("├"))
    lines[0] = lines[0].translate(str.maketrans("┌─┬┐", "┏━┳┓"))
    lines[1:rule] = [line.replace("│", "┃") for line in lines[1:rule]]
    lines[rule] = lines[rule].translate(str.maketrans("├─┼┤", "┡━╇┩"))
    return "\n".join(lines)
