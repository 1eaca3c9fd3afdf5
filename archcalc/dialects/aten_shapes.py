"""Shapes of an exported program: which are the same, and one laid out as another."""

from collections.abc import Sequence
from typing import Any

from archcalc import layers
from archcalc.dialects.aten_graph import Draft, Op


def one(values: Any) -> Any:
    """One number where all axes agree."""
    if not isinstance(values, list | tuple):
        return values
    return values[0] if len(set(values)) == 1 else tuple(values)


def reshaped(op: Op, source: Draft | str, x: Sequence[Any], y: Sequence[Any]) -> Draft | str:
    """The same values in another shape: behind the batch where that stays, with −1 for the one size that follows."""
    if same_shape(x, y):
        return source
    sizes = op.sizes.shape(y)
    if x and len(y) > 1 and same_size(x[0], y[0]):
        rest = sizes[1:]
        unknown = [size for size in rest if not isinstance(size, int)]
        if len(unknown) == 1:
            rest = tuple(size if isinstance(size, int) else -1 for size in rest)
        return op.add(layers.Reshape, {"shape": rest}, source, shape=tuple(y))
    return op.add(layers.Reshape, {"shape": sizes, "whole": True}, source, shape=tuple(y))


def same_size(a: Any, b: Any) -> bool:
    """Are two sizes the same number or expression?"""
    return bool(_expression(a) == _expression(b))


def same_shape(x: Sequence[Any], y: Sequence[Any]) -> bool:
    """Are all sizes of two shapes the same?"""
    return len(x) == len(y) and all(map(same_size, x, y))


def _expression(size: Any) -> Any:
    return size if isinstance(size, int) else size.node.expr


def permuted(op: Op, source: Draft | str, x: Sequence[Any], order: Sequence[int]) -> Draft | str:
    """The axes in another order."""
    if list(order) == sorted(order):
        return source
    fields: dict[str, Any] = {"order": tuple(order)} | ({} if order[0] == 0 else {"whole": True})
    return op.add(layers.Permute, fields, source, shape=tuple(x[axis] for axis in order))
