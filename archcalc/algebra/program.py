"""Many expressions in the same symbols as one program of JavaScript with exact integers, each part computed once."""

from collections.abc import Sequence
from typing import Any

import sympy

from archcalc.algebra.symbolic import FloorDiv, Largest, floored
from archcalc.algebra.written import over_one


class Program:
    """Numbers in slots of an array: those of the symbols come first, then each expression that is asked for.

    `source` is a function that fills the array, given its first numbers: numbers, operators, and two functions of the
    page that runs it, floordiv and largest, alone.

    >>> H, W = sympy.symbols("H W", integer=True, positive=True)
    >>> program = Program(["H", "W"])
    >>> program.slot(H * FloorDiv(H, 2) - W), program.slot(7), program.slot(FloorDiv(H, 2))
    (3, 4, 2)
    >>> print(program.source("f"))
    function f(v){v[2]=floordiv(v[0],2n);
    v[3]=-v[1]+v[0]*v[2];
    v[4]=7n;
    return v}
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        self.lines: list[str] = []
        self.slots: dict[Any, int] = {_symbol(name): place for place, name in enumerate(symbols)}
        self.count = len(symbols)
        self.known: dict[Any, int] = dict(self.slots)  # of expressions as they are given

    def slot(self, expression: Any) -> int:
        """Where the value of an expression stands; equal ones stand in one place."""
        if isinstance(expression, int) and not isinstance(expression, bool):
            expression = sympy.Integer(int(expression))
        found = self.known.get(expression)
        if found is None:
            top, below = over_one(floored(expression))
            found = self._slot(top if below == 1 else FloorDiv(top, below))
            self.known[expression] = found
        return found

    def source(self, name: str) -> str:
        """The whole program as a function of this name."""
        return f"function {name}(v){{" + "".join(f"{line}\n" for line in self.lines) + "return v}"

    def named(self, slot: int) -> Any:
        """A symbol for whatever stands in a slot: a text that holds it can be filled in, ⟦3⟧ by what slot 3 has."""
        symbol = _symbol(f"⟦{slot}⟧")
        self.slots[symbol] = self.known[symbol] = slot
        return symbol

    def _slot(self, expression: Any) -> int:
        if expression not in self.slots:
            text = self._text(expression)
            self.slots[expression], self.count = self.count, self.count + 1
            self.lines.append(f"v[{self.slots[expression]}]={text};")
        return self.slots[expression]

    def _text(self, expression: Any) -> str:
        if expression.is_Integer:
            return f"{int(expression)}n"
        if expression.is_Add:
            return "+".join(map(self._term, sorted(expression.args, key=str))).replace("+-", "-")
        if expression.is_Mul:
            return self._term(expression)
        if isinstance(expression, FloorDiv | Largest):
            name = "floordiv" if isinstance(expression, FloorDiv) else "largest"
            return f"{name}({','.join(map(self._atom, expression.args))})"
        if expression.is_Pow and expression.args[1].is_Integer and expression.args[1] > 0:
            return f"{self._atom(expression.args[0])}**{self._atom(expression.args[1])}"
        raise TypeError(f"no whole number: {expression}")

    def _term(self, term: Any) -> str:
        """A product: its number in front, a plain minus where that is −1."""
        number, rest = term.as_coeff_Mul()
        factors = [] if rest == 1 else [self._atom(factor) for factor in sympy.Mul.make_args(rest)]
        if factors and abs(number) == 1:
            return ("-" if number < 0 else "") + "*".join(factors)
        return "*".join([f"{int(number)}n", *factors])

    def _atom(self, expression: Any) -> str:
        return f"{int(expression)}n" if expression.is_Integer else f"v[{self._slot(expression)}]"


def _symbol(name: str) -> Any:
    return sympy.Symbol(name, integer=True, positive=True)
