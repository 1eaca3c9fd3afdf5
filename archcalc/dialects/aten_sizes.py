"""Sizes of an exported program in our words: PyTorch's symbols as expressions over the model's inputs."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from archcalc.algebra.size import Axes, Condition, Size

SIGNS = {"Add": "+", "FloorDiv": "//", "CleanDiv": "//", "Mod": "%", "PythonMod": "%"}
RELATIONS: dict[str, Any] = {
    "Equality": "==", "Unequality": "!=", "StrictLessThan": "<", "LessThan": "<=", "StrictGreaterThan": ">",
    "GreaterThan": ">=",
}  # fmt: skip
LEAST = 3  # a comparison with less is about layouts in memory
POWER = 8  # the largest that is written as a product


class NoSize(Exception):
    """A size that no expression over the inputs says."""


def known(size: Any) -> Any:
    """A size as an integer, if it is one; a symbol that was found to be a number says that number.

    >>> known(3)
    3
    """
    return size if isinstance(size, int) or not size.node.expr.is_Integer else int(size.node.expr)


class Sizes:
    """What the symbols of one program stand for: which axis of which input, and how large it was."""

    def __init__(self) -> None:
        self.texts: dict[Any, str] = {}
        self.made: dict[Any, Size] = {}

    def add(self, name: str, shape: Sequence[Any]) -> None:
        """Learn the symbols of an input; the first axis that has one is what it stands for."""
        for place, size in enumerate(shape):
            if not isinstance(known(size), int) and (symbol := size.node.expr).is_Symbol:
                self.texts.setdefault(symbol, f"{name}.{Axes(len(shape)).name(place)}")

    def size(self, value: Any) -> Any:
        """An integer as it is, a symbolic one as a Size; NoSize where there is no expression for it."""
        value = known(value)
        if isinstance(value, int):
            return value
        expression = value.node.expr
        if expression not in self.made:
            self.made[expression] = Size(self.text(expression))
        return self.made[expression]

    def shape(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """All sizes of a shape."""
        return tuple(map(self.size, values))

    def text(self, expression: Any) -> str:
        """An expression of PyTorch's in ours."""
        name, args = type(expression).__name__, expression.args
        if expression.is_Integer or expression in self.texts:
            return self.texts.get(expression, str(expression))
        if name == "Mul":
            return self.product(args)
        if name == "Pow" and args[1].is_Integer and 0 < int(args[1]) <= POWER:
            return " * ".join([self.inner(args[0])] * int(args[1]))
        if name in ("Max", "Min"):
            return nested(name.lower(), list(map(self.text, args)))
        if name in SIGNS:
            return f" {SIGNS[name]} ".join(map(self.inner, args))
        raise NoSize(str(expression))

    def conditions(self, guards: Iterable[Any]) -> Iterator[Condition]:
        """What was asked of sizes while the program was traced, as far as a size may change what it does.

        Equalities, divisibility by a number, and comparisons with a number of 3 or more. PyTorch itself also asks
        whether sizes are 0, 1 or more, for layouts in memory; that changes no count.
        """
        for guard in guards:
            left, right = getattr(guard, "lhs", None), getattr(guard, "rhs", None)
            relation = RELATIONS.get(type(guard).__name__)
            if relation is None or not self.matters(relation, left, right):
                continue
            if relation in (">", ">="):
                left, right, relation = right, left, relation.replace(">", "<")
            with contextlib.suppress(NoSize):
                yield Condition(Size(self.text(left)), relation, Size(self.text(right)))

    def matters(self, relation: str, left: Any, right: Any) -> bool:
        """Could the program go another way where this does not hold?"""
        if relation == "==":
            return True
        if relation == "!=":
            divided = type(left).__name__ in ("Mod", "PythonMod") and left.args[1].is_Integer
            return bool(divided and right.is_Integer)
        return any(side.is_Integer and side >= LEAST for side in (left, right))

    def product(self, args: Sequence[Any]) -> str:
        """A product; a factor 1/n becomes a division at its end."""
        above = [arg for arg in args if not arg.is_Rational or arg.is_Integer]
        below = [arg for arg in args if arg.is_Rational and not arg.is_Integer]
        above += [arg.p for arg in below if arg.p != 1]
        text = " * ".join(self.inner(arg) if hasattr(arg, "is_Symbol") else str(arg) for arg in above)
        for arg in below:
            text = f"({text}) // {arg.q}"
        return text

    def inner(self, expression: Any) -> str:
        """An expression as an operand."""
        text = self.text(expression)
        return text if expression.is_Symbol or (expression.is_Integer and expression >= 0) else f"({text})"


def nested(function: str, texts: Sequence[str]) -> str:
    """A function of many as one of two of two …

    >>> nested("max", ["a", "b", "c"])
    'max(max(a, b), c)'
    """
    first, *rest = texts
    for text in rest:
        first = f"{function}({first}, {text})"
    return first


def hinted(values: Any, hints: Mapping[Any, int]) -> Any:
    """A size or shape with the numbers of the example in place of symbols."""
    if isinstance(values, list | tuple):
        return tuple(hinted(value, hints) for value in values)
    return values if isinstance(values, int) else int(values.node.expr.subs(hints))
