"""Size: an integer expression over the axes of a model's inputs, such as `image.height // 16`, until they are known."""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from msgspec import Struct

from archcalc.algebra.num import called, differ, largest, less, smallest
from archcalc.errors import ModelError, nearest

LENGTH = 2000  # characters
DEPTH = 100  # nested operations
NAMED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z]\w*)?")
IMAGE = ("batch", "channels", "height", "width")  # what the axes of an image go by; of all others axis1, axis2, …
Inputs = Mapping[str, Sequence[int]]  # full shapes, with the batch as axis 0, channels first


def _mod(a: Any, b: Any) -> Any:
    return a - b * (a // b)  # a symbol's own remainder has no normal form


OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: _mod,
}
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {"min": smallest, "max": largest}


class Size(Struct, frozen=True):
    """A number that follows the inputs' sizes. It can be read on any number, as formulas can.

    >>> Size("image.batch * (image.height // 16)").at({"image": (2, 3, 224, 224)})
    28
    """

    text: str

    def at(self, inputs: Inputs) -> int:
        """Its value for inputs of these full shapes."""
        value: int = _value(_tree(self.text), inputs)
        return called(value, "size")

    def __str__(self) -> str:
        return self.text


class Condition(Struct, frozen=True):
    """What must hold of the inputs' sizes.

    >>> Condition(Size("image.height % 7"), "==", Size("0")).holds({"image": (1, 3, 224, 224)})
    True
    """

    left: Size
    relation: Literal["==", "!=", "<", "<="]
    right: Size

    def holds(self, inputs: Inputs) -> bool | None:
        """Known yes, known no; None where it depends on a symbol."""
        left, right = self.left.at(inputs), self.right.at(inputs)
        match self.relation:
            case "==" | "!=":
                unequal = differ(left, right)
                return unequal if self.relation == "!=" or unequal is None else not unequal
            case "<":
                return less(left, right)
        more = less(right, left)
        return None if more is None else not more

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"


class Axes(Struct, frozen=True):
    """What a name of an input stands for in an expression: so many axes, the batch among them."""

    count: int

    def place(self, name: str) -> int | None:
        """Which axis a name means: `axis2`; of an image also its usual names; None where it means none.

        >>> Axes(4).place("height"), Axes(2).place("axis1"), Axes(2).place("height")
        (2, 1, None)
        """
        number = re.fullmatch(r"axis([0-9]{1,2})", name)
        if number is not None:
            return int(number[1]) if int(number[1]) < self.count else None
        known = IMAGE if self.count == len(IMAGE) else IMAGE[:1]
        return known.index(name) if name in known else None

    def name(self, place: int) -> str:
        """What an axis goes by."""
        return IMAGE[place] if place == 0 or self.count == len(IMAGE) else f"axis{place}"


def sized(text: str, names: Mapping[str, Any]) -> Size:
    """An expression as a Size, with the names of numbers replaced; ModelError names the rule that it breaks.

    `names` holds numbers, further sizes, and Axes for each input of the model.

    >>> str(sized("k * image.batch + image.width % 2", {"k": 7, "image": Axes(4)}))
    '7 * image.batch + image.width % 2'
    """
    tree = _parsed(text)
    _check(tree, names, DEPTH)
    return Size(ast.unparse(_Named(names).visit(tree)))


def follows_inputs(text: str, names: Mapping[str, Any]) -> bool:
    """Does an expression take the size of an input's axis, or a name that does?"""
    return any(found[1] or isinstance(names.get(found[0]), Size) for found in NAMED.finditer(text))


def holds_size(value: Any) -> bool:
    """Is there a Size in a field's value?"""
    return isinstance(value, Size) or (isinstance(value, tuple) and any(map(holds_size, value)))


def at_inputs(value: Any, inputs: Inputs) -> Any:
    """A field's value with every Size in it as the number that it is here."""
    if isinstance(value, tuple):
        return tuple(at_inputs(item, inputs) for item in value)
    return value.at(inputs) if isinstance(value, Size) else value


class _Named(ast.NodeTransformer):
    """Replaces names of numbers by the numbers; what stands before a dot is an input's name and stays."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.parse(str(self.names[node.id]), mode="eval").body

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        return ast.Call(node.func, [self.visit(arg) for arg in node.args], [])


def _parsed(text: str) -> ast.expr:
    if len(text) > LENGTH:
        raise _broken(f"must have at most {LENGTH:,} characters", f"{len(text)}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _broken("must be an integer or an integer expression", repr(text)) from None


_tree = cache(_parsed)


def _broken(rule: str, got: str, way_out: str = "") -> ModelError:
    return ModelError("expression", rule, got, way_out=way_out)


def _check(tree: ast.AST, names: Mapping[str, Any], depth: int) -> None:
    """Refuse whatever is not whitelisted."""
    if depth == 0:
        raise _broken(f"must nest at most {DEPTH} operations", "a deeper one")
    match tree:
        case ast.Constant(value=int() as number) if not isinstance(number, bool):
            return
        case ast.Name(id=name):
            if not isinstance(names.get(name), int | Size) or isinstance(names[name], bool):
                raise _broken("must use names of integers that are known here", name, nearest(name, names))
        case ast.Attribute(value=ast.Name(id=name), attr=axis):
            _axis(name, axis, names)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _check(operand, names, depth - 1)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            _check(left, names, depth - 1)
            _check(right, names, depth - 1)
        case ast.Call(func=ast.Name(id=name), args=[_, _] as args, keywords=[]) if name in FUNCTIONS:
            for arg in args:
                _check(arg, names, depth - 1)
        case _:
            rule = "over sizes of inputs may hold only integers, names, axes, + - * // % and min and max of two"
            raise _broken(rule, ast.unparse(tree))


def _axis(name: str, axis: str, names: Mapping[str, Any]) -> int:
    axes = names.get(name)
    if not isinstance(axes, Axes):
        known = [known for known, item in names.items() if isinstance(item, Axes)]
        raise _broken("only inputs of the model have axes", f"{name}.{axis}", nearest(name, known))
    place = axes.place(axis)
    if place is None:
        raise _broken(f"{name} has the axes {', '.join(map(axes.name, range(axes.count)))}", f"{name}.{axis}")
    return place


def _value(tree: ast.AST, inputs: Inputs) -> Any:
    match tree:
        case ast.Constant(value=number):
            return number
        case ast.Attribute(value=ast.Name(id=name), attr=axis):
            return inputs[name][_axis(name, axis, {name: Axes(len(inputs[name]))})]
        case ast.UnaryOp(operand=operand):
            return -_value(operand, inputs)
        case ast.Call(func=ast.Name(id=name), args=[first, second]):
            return FUNCTIONS[name](_value(first, inputs), _value(second, inputs))
        case ast.BinOp(left=left, op=op, right=right):
            below = _value(right, inputs)
            if type(below) is int and below == 0 and isinstance(op, ast.FloorDiv | ast.Mod):
                raise _broken("must not divide by zero", ast.unparse(tree))
            return OPERATORS[type(op)](_value(left, inputs), below)
    raise AssertionError(ast.dump(tree))
