"""The columns that a report can show: title, unit, and how a cell is written."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from archcalc.algebra.units import grouped
from archcalc.errors import UsageError, nearest


class Column(Struct, frozen=True):
    """One column: what it is called, what it means, and where a row keeps it."""

    key: str
    title: str
    meaning: str
    value: Callable[[Any], Any]
    numeric: bool = True
    rank: int = 9  # the text format leaves out the highest ranks first when a terminal is narrow; 9: only on request


def _ops(name: str) -> Callable[[Any], Any]:
    return lambda row: getattr(row.ops, name)


COLUMNS = {
    column.key: column
    for column in (
        Column("name", "layer", "path name of the layer", lambda row: row.name, numeric=False, rank=0),
        Column("kind", "kind", "kind of the layer", lambda row: row.kind, numeric=False, rank=1),
        Column("inputs", "inputs", "what the layer reads", lambda row: row.inputs, numeric=False),
        Column("output", "output", "output shape", lambda row: row.output, numeric=False, rank=0),
        Column("weights", "weights", "shapes of its tensors", lambda row: row.weights, numeric=False),
        Column("params", "params", "trainable and frozen weights", lambda row: row.params, rank=0),
        Column("trainable_params", "trainable", "weights that are not frozen", lambda row: row.trainable_params),
        Column("buffers", "buffers", "running statistics", lambda row: row.buffers),
        Column("macs", "MACs", "multiply-accumulate pairs", lambda row: row.macs, rank=0),
        Column("macs_exact", "exact MACs", "MACs without the taps on padding", lambda row: row.macs_exact),
        Column("mul", "mul", "multiplications", _ops("mul")),
        Column("add", "add", "additions and subtractions", _ops("add")),
        Column("cmp", "cmp", "comparisons and selections", _ops("cmp")),
        Column("div", "div", "divisions and roots", _ops("div")),
        Column("exp", "exp", "exponentials, logarithms, and the like", _ops("exp")),
        Column("flops", "FLOPs", "operations under the named convention", lambda row: row.flops, rank=3),
        Column("output_bytes", "output bytes", "bytes of the output", lambda row: row.output_bytes, rank=2),
        Column(
            "shared_with", "shared with", "the layer that owns its tensors", lambda row: row.shared_with, numeric=False
        ),
    )
}
TOTALLED = {key for key, column in COLUMNS.items() if column.numeric}


def chosen(keys: str | Sequence[str]) -> list[Column]:
    """The columns of these names, given as a list or separated by commas.

    >>> [column.title for column in chosen("name,macs")]
    ['layer', 'MACs']
    """
    names = [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)
    for name in names:
        if name not in COLUMNS:
            way_out = nearest(name, COLUMNS) or f"known: {', '.join(COLUMNS)}"
            raise UsageError("columns", "must be columns of the report", repr(name), way_out=way_out)
    return [COLUMNS[name] for name in names]


def cell(value: Any, layout: str = "channels_first") -> str:
    """A value as a table shows it: numbers in groups of three, shapes with ×."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shape_text(shape, 'channels_first')}" for name, shape in value.items())
    if isinstance(value, tuple | list):
        names = value and isinstance(value[0], str)
        return ", ".join(value) if names else shape_text(value, layout)
    return "" if value is None else grouped(value) if isinstance(value, int) else str(value)


def shape_text(shape: Sequence[int], layout: str) -> str:
    """A shape in the chosen order of axes.

    >>> shape_text((1, 20, 24, 24), "channels_last")
    '1×24×24×20'
    """
    return "×".join(map(str, ordered(shape, layout))) if shape else "scalar"


def ordered(shape: Sequence[int], layout: str) -> Sequence[int]:
    """The sizes with the channels in the place that the layout says."""
    return (shape[0], *shape[2:], shape[1]) if layout == "channels_last" and len(shape) > 2 else shape
