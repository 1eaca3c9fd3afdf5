"""Einsum: a product of two inputs whose axes go by letters."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees
from archcalc.algebra.num import differ, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, own, register, shown

FORM = re.compile(r"[A-Za-z]+,[A-Za-z]+->[A-Za-z]+", re.ASCII)


@register(
    "einsum", example='einsum: {equation: "bhqd,bhkd->bhqk", from: [a, b]}', on=[(1, 12, 64, 64), (1, 12, 128, 64)]
)
class Einsum(Layer, frozen=True):
    """Multiply two inputs whose axes are letters, and sum over the letters that the output leaves out.

    The first letter of both inputs and of the output is the batch. A letter is summed over only if both inputs have it.
    Multiplications: the product of all letters' sizes. MACs: as many, 0 where nothing is summed.
    Additions: MACs − outputs. Source: Einstein's convention as in NumPy's einsum; docs/conventions.md, matmul.

    >>> Einsum("bhqd,bhkd->bhqk").out((1, 12, 64, 64), (1, 12, 128, 64))
    (1, 12, 64, 128)
    """

    autocast: ClassVar = "half"
    image: ClassVar = False

    equation: Annotated[str, Meta(description="axes of both inputs and of the output, as bhqd,bhkd->bhqk")]

    arity: ClassVar = (2, 2)

    def __post_init__(self) -> None:
        if "." in self.equation:
            raise self.error("equation must name every axis by a letter, without an ellipsis", repr(self.equation))
        if not FORM.fullmatch(self.equation.replace(" ", "")):
            raise self.error("equation must be of the form bij,bjk->bik", repr(self.equation))
        first, second, output = self.terms
        for term in self.terms:
            if len(set(term)) < len(term):
                raise self.error("a letter must stand once in each input and in the output", repr(self.equation))
        if len({term[0] for term in self.terms}) > 1:
            raise self.error("inputs and output must begin with the same letter: the batch", repr(self.equation))
        if not set(output) <= set(first + second):
            raise self.error("each letter of the output must be one of an input", repr(self.equation))
        if not set(first) ^ set(second) <= set(output):
            raise self.error("a letter that is summed over must stand in both inputs", repr(self.equation))

    @property
    def terms(self) -> tuple[str, str, str]:
        """Letters of the first input, the second, and the output."""
        first, second, output = re.split(",|->", self.equation.replace(" ", ""))
        return first, second, output

    @property
    def summed(self) -> str:
        """Letters that the output leaves out, in order of the alphabet."""
        first, _, output = self.terms
        return "".join(sorted(set(first) - set(output)))

    def letters(self, *, first: bool, second: bool) -> str:
        """Letters of the output that these inputs have, and the other ones do not."""
        left, right, output = self.terms
        return "".join(letter for letter in output if (letter in left) is first and (letter in right) is second)

    def sizes(self, xs: Sequence[Shape]) -> dict[str, int]:
        """The size of each letter."""
        found: dict[str, int] = {}
        for term, x in zip(self.terms, xs, strict=False):
            if len(term) != len(x):
                raise self.error(f"{term} must have a letter for each axis of its input", shown(x))
            for letter, n in zip(term, x, strict=True):
                if differ(found.setdefault(letter, n), n):
                    raise self.error(f"inputs must agree in {letter}", " and ".join(map(shown, xs)))
        return found

    def size(self, letters: Iterable[str], xs: Sequence[Shape]) -> int:
        """The product of some letters' sizes."""
        sizes = self.sizes(xs)
        return prod(sizes[letter] for letter in letters)

    def out(self, *xs: Shape) -> Shape:
        sizes = self.sizes(xs)
        return tuple(sizes[letter] for letter in self.terms[2])

    def products(self, xs: Sequence[Shape]) -> int:
        """One for each choice of a place for every letter."""
        return prod(self.sizes(xs).values())

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.products(xs) if self.summed else 0

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        products = self.products(xs)
        return Ops(mul=products, add=products - prod(y))

    def product(self, xs: Sequence[Shape], y: Shape) -> Product | None:
        if not self.summed:
            return None
        shared, left, right = (
            self.letters(first=first, second=second) for first, second in ((True, True), (True, False), (False, True))
        )
        return Product(*(self.size(letters, xs) for letters in (shared, left, right, self.summed)))

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        term, output = self.terms[number], self.terms[2][1:]
        links = (Link(term.index(letter), SAME) if letter in term else None for letter in output)
        return Sees(tuple(links), "sums over the axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """PyTorch multiplies matrices: shared, own and summed axes are joined, on a copy where they lie apart."""
        return tuple(
            Saved("own" if self.summed and self.copied(number, x) else number, prod(x), wanted_by=1 - number)
            for number, x in enumerate(xs)
        )

    def copied(self, number: int, x: Shape) -> bool:
        """Can the axes of this input not be joined where they lie?"""
        shared, alone = self.letters(first=True, second=True), self.letters(first=number == 0, second=number == 1)
        lying = [letter for letter, n in zip(self.terms[number], x, strict=True) if differ(n, 1) is not False]
        behind = dict(pairwise(lying))
        groups = ([letter for letter in group if letter in lying] for group in (shared, alone, self.summed))
        return any(behind.get(a) != b for group in groups for a, b in pairwise(group))

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Gradients of a plain product are made in the output's size, and then summed to an input's."""
        whole, sizes = prod(y), [prod(x) for x, needed in zip(xs, graded, strict=True) if needed]
        if self.summed:
            return (), ()
        smaller = [n for n in sizes if differ(n, whole) is not False]
        return (), own(len(sizes) * whole + sum(smaller[:1]) - sum(sizes))

    def permutes(self, xs: Sequence[Shape]) -> bool:
        """Does the output lie in memory in another order than its axes?"""
        if self.summed:
            order = (self.letters(first=True, second=True), self.letters(first=True, second=False))
            made = "".join((*order, self.letters(first=False, second=True)))
            return made != self.terms[2]
        *inputs, output = self.terms
        return any(list(term) != [letter for letter in output if letter in term] for term in inputs)
