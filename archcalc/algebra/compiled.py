"""Expressions as functions of whole arrays: exact integers always, in 64 bits where nothing can leave them."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import sympy
from msgspec import Struct

from archcalc.algebra.symbolic import FloorDiv, Largest
from archcalc.algebra.written import over_one, written

LARGEST = 2**63 - 1  # of numpy's int64


class Compiled(Struct, frozen=True):
    """A function of some symbols that gives several expressions at once, as the source of one Python function.

    The source holds numbers and names made here, nothing from a file; it is plain data, for other processes too.
    """

    symbols: tuple[str, ...]
    source: str
    bounds: str  # the same for the largest absolute value that occurs on the way

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        """The expressions at these values, one for each symbol: integers, or arrays of one shape.

        Arrays come back as int64 if no step can leave 64 bits, else as Python integers (dtype object).
        """
        arrays = [value for value in values if hasattr(value, "dtype")]
        if not arrays:
            return _function(self.source)(*map(int, values))  # type: ignore[no-any-return]
        fits = all(array.size for array in arrays) and self.largest(values) <= LARGEST
        dtype = "int64" if fits else object
        whole = (value.astype(dtype) if hasattr(value, "dtype") else int(value) for value in values)
        return _function(self.source)(*whole)  # type: ignore[no-any-return]

    def largest(self, values: Sequence[Any]) -> int:
        """An upper bound of every absolute value on the way, at the corner of the largest values."""
        corner = [max(abs(int(end)) for end in _ends(value)) for value in values]
        steps: tuple[int, ...] = _function(self.bounds)(*corner)
        return max(steps)


def _ends(value: Any) -> tuple[Any, ...]:
    return (value.min(), value.max()) if hasattr(value, "dtype") else (value,)


def compiled(expressions: Sequence[Any], symbols: Sequence[str]) -> Compiled:
    """One function for all expressions; what they have in common is computed once.

    >>> H, W = sympy.symbols("H W", integer=True, positive=True)
    >>> compiled([H * FloorDiv(W, 2), H + W], ["H", "W"])(3, 5)
    (6, 8)
    """
    names = {name: f"v{number}" for number, name in enumerate(symbols)}
    fractions = [over_one(sympy.sympify(expression)) for expression in expressions]
    steps, results = sympy.cse(
        [top for top, _ in fractions], symbols=sympy.numbered_symbols("s", integer=True), order="none"
    )
    lines = [f"{symbol} = {_python(step, names)}" for symbol, step in steps]
    values = [
        _python(top, names) + (f"//{below}" if below > 1 else "")
        for top, (_, below) in zip(results, fractions, strict=True)
    ]
    sizes = [written(magnitude(top), "python", names) for top, _ in fractions]
    return Compiled(tuple(symbols), _source(names, lines, values), _source(names, [], ["0", *sizes]))


def _python(expression: Any, names: Mapping[str, str]) -> str:
    return f"({written(expression, 'python', names)})"


def _source(names: Mapping[str, str], lines: Sequence[str], values: Sequence[str]) -> str:
    body = [*lines, f"return ({''.join(f'{value}, ' for value in values)})"]
    return f"def f({', '.join(names.values())}):\n" + "".join(f"    {line}\n" for line in body)


@lru_cache(maxsize=64)
def _function(source: str) -> Callable[..., Any]:
    space: dict[str, Any] = {"max": _largest, "min": _smallest, "__builtins__": {}}
    exec(compile(source, "<formula>", "exec"), space)  # noqa: S102 - written by `compiled`, of numbers and own names
    return space["f"]  # type: ignore[no-any-return]


def _largest(a: Any, b: Any) -> Any:
    if not (hasattr(a, "dtype") or hasattr(b, "dtype")):
        return a if a > b else b
    import numpy

    return numpy.maximum(a, b)


def _smallest(a: Any, b: Any) -> Any:
    return -_largest(-a, -b)


def magnitude(expression: Any) -> Any:
    """An expression without minus signs that no step of the computation exceeds, for values of at least zero."""
    if expression.is_Add:
        return sympy.Add(*map(magnitude, expression.args))
    if expression.is_Mul:
        return sympy.Mul(*map(magnitude, expression.args))
    if isinstance(expression, FloorDiv):
        return magnitude(expression.args[0])
    if expression.is_Pow:
        return magnitude(expression.args[0]) ** expression.args[1]
    if isinstance(expression, Largest):
        return sympy.Add(*map(magnitude, expression.args))
    return abs(expression) if expression.is_number else expression
