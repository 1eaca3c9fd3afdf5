"""Integer expressions of a spec, such as `2*width` or `ceil(width/8)`: read with `ast` and a whitelist, never executed.

A division must come out whole, or stand inside floor( ) or ceil( ). Names may stand for symbols: so then does it.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

from archcalc.algebra.num import LIMIT, is_symbolic, largest, smallest
from archcalc.algebra.size import Axes
from archcalc.errors import ModelError, nearest

LENGTH = 200  # characters
DEPTH = 20  # nested operations
EXPONENT = 64
BOUND = "10**18"


def _power(base: Any, exponent: Any) -> Any:
    if is_symbolic(exponent) or exponent.denominator != 1 or not 0 <= exponent <= EXPONENT:
        raise _Refused(f"must keep its exponents whole, from 0 to {EXPONENT}", f"{exponent}")
    return base ** int(exponent)


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def _ceil(value: Any) -> Any:
    return -_floor(-value)


def _floor(value: Any) -> Any:
    return value // 1 if is_symbolic(value) else math.floor(value)


FUNCTIONS: dict[str, Callable[..., Any]] = {"min": smallest, "max": largest, "ceil": _ceil, "floor": _floor}


class _Refused(Exception):
    """A rule of the expression language was broken: rule, got, way out."""


def evaluate(text: str, names: Mapping[str, Any]) -> int:
    """The value of an integer expression over the given names; ModelError names the rule that it breaks.

    >>> evaluate("max(width // 2, 8) * 3", {"width": 20})
    30
    """
    try:
        if len(text) > LENGTH:
            raise _Refused(f"must have at most {LENGTH} characters", f"{len(text)}")
        try:
            with warnings.catch_warnings(action="ignore"):  # of the parser, about "1or 2"
                tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            cut = "in { } a comma ends the value: put it in quotes" if text.count("(") > text.count(")") else ""
            raise _Refused("must be an integer or an integer expression", repr(text), cut) from None
        value = _value(tree, names, DEPTH)
        if is_symbolic(value):
            whole: int = _whole(text, value)
            return whole
        if Fraction(value).denominator != 1:
            raise _Refused("must come out whole", f"{text} = {value}", "use // or ceil( )")
        return int(value)
    except _Refused as refused:
        rule, got, *way_out = refused.args
        raise ModelError("expression", rule, got, way_out=way_out[0] if way_out else "") from None


def _whole(text: str, value: Any) -> Any:
    from archcalc.algebra.symbolic import normal

    value = normal(value)
    if not value.is_integer:
        names = ", ".join(sorted(map(str, value.free_symbols)))
        raise _Refused(f"must come out whole for every {names}", text, "use // or ceil( ), or assume that it is")
    return value


def _value(tree: ast.AST, names: Mapping[str, Any], depth: int) -> Any:
    if depth == 0:
        raise _Refused(f"must nest at most {DEPTH} operations", "a deeper one")
    match tree:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return _bounded(Fraction(number))
        case ast.Name(id=name):
            return _named(name, names)
        case ast.UnaryOp(op=op, operand=operand) if type(op) in OPERATORS:
            return _exact(OPERATORS[type(op)](_value(operand, names, depth - 1)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return _binary(op, _value(left, names, depth - 1), _value(right, names, depth - 1))
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if name in FUNCTIONS:
            if name in ("ceil", "floor") and len(args) != 1:
                raise _Refused(f"must give {name} one value", str(len(args)))
            values = [_value(arg, names, depth - 1) for arg in args]
            return _exact(reduce(FUNCTIONS[name], values) if name in ("min", "max") else FUNCTIONS[name](values[0]))
        case ast.Call():
            raise _Refused("may call only min, max, ceil and floor", ast.unparse(tree))
    raise _Refused("may hold only integers, names, + - * / // % ** and min max ceil floor", ast.unparse(tree))


def _exact(value: Any) -> Any:
    return value if is_symbolic(value) else Fraction(value)


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if is_symbolic(left) or is_symbolic(right):
        if right == 0 and isinstance(op, ast.Div | ast.FloorDiv | ast.Mod):
            raise _Refused("must not divide by zero", f"{left} / {right}")
        return OPERATORS[type(op)](left, right)
    if isinstance(op, ast.Pow) and abs(left) > 1 and right > EXPONENT:
        raise _Refused(f"must keep its exponents whole, from 0 to {EXPONENT}", f"{right}")
    try:
        return _bounded(Fraction(OPERATORS[type(op)](left, right)))
    except ZeroDivisionError:
        raise _Refused("must not divide by zero", f"{left} / {right}") from None


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name not in names:
        numbers = [known for known, value in names.items() if not isinstance(value, Axes)]
        raise _Refused("must use names that are known here", name, nearest(name, numbers))
    value = names[name]
    if is_symbolic(value):
        return value
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Refused("must compute with integers", f"{name} = {value!r}")
    return Fraction(value)


def _bounded(value: Fraction) -> Fraction:
    if abs(value) > LIMIT or value.denominator > LIMIT:
        raise _Refused(f"must stay below {BOUND}", "more")
    return value
