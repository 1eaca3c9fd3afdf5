"""Number: a value that tells its tally of every elementary operation that is done to it."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from archcalc.algebra.ops import Ops

Array = np.ndarray[Any, Any]


class Tally:
    """What has been counted so far."""

    def __init__(self) -> None:
        self.mul = self.add = self.cmp = self.div = self.exp = 0
        self.on_padding = 0  # of the multiplications
        self.beside = 0  # of the multiplications: those outside the linear part

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is multiplied meanwhile belongs to no linear part."""
        before = self.mul
        yield
        self.beside += self.mul - before

    @property
    def ops(self) -> Ops:
        """The counts as a vector."""
        return Ops(self.mul, self.add, self.cmp, self.div, self.exp)


class Number:
    """A real number; plain ones beside it are constants. A negation counts as a subtraction, a root as a division."""

    __slots__ = ("padding", "tally", "value")

    def __init__(self, value: float, tally: Tally, *, padding: bool = False) -> None:
        self.value, self.tally, self.padding = value, tally, padding

    def __add__(self, other: "Number | float") -> "Number":
        self.tally.add += 1
        return Number(self.value + plain(other), self.tally)

    __radd__ = __add__

    def __sub__(self, other: "Number | float") -> "Number":
        self.tally.add += 1
        return Number(self.value - plain(other), self.tally)

    def __neg__(self) -> "Number":
        self.tally.add += 1
        return Number(-self.value, self.tally)

    def __mul__(self, other: "Number | float") -> "Number":
        self.tally.mul += 1
        if self.padding:
            self.tally.on_padding += 1
        return Number(self.value * plain(other), self.tally)

    __rmul__ = __mul__

    def __truediv__(self, other: "Number | float") -> "Number":
        self.tally.div += 1
        return Number(_quotient(self.value, plain(other)), self.tally)

    def __rtruediv__(self, other: float) -> "Number":
        self.tally.div += 1
        return Number(_quotient(other, self.value), self.tally)

    def sqrt(self) -> "Number":
        """The square root: one division."""
        self.tally.div += 1
        return Number(math.sqrt(self.value) if self.value >= 0 else math.nan, self.tally)

    def inverse_root(self) -> "Number":
        """One over the square root: one division."""
        self.tally.div += 1
        return Number(_quotient(1.0, math.sqrt(self.value)) if self.value >= 0 else math.nan, self.tally)

    def function(self, of: Any) -> "Number":
        """A transcendental function of it."""
        self.tally.exp += 1
        try:
            return Number(of(self.value), self.tally)
        except ValueError:  # a logarithm of what has none
            return Number(-math.inf if self.value == 0 else math.nan, self.tally)
        except OverflowError:
            return Number(math.inf, self.tally)

    def exp_less_one(self) -> "Number":
        """The exponential minus one: an exponential and a subtraction, without what the difference would lose."""
        self.tally.add += 1
        return self.function(math.expm1)

    def __abs__(self) -> "Number":
        self.tally.cmp += 1
        return Number(abs(self.value), self.tally)

    def at_least(self, other: "Number | float") -> "Number":
        """The larger of both."""
        self.tally.cmp += 1
        return Number(max(self.value, plain(other)), self.tally)

    def at_most(self, other: "Number | float") -> "Number":
        """The smaller of both."""
        self.tally.cmp += 1
        return Number(min(self.value, plain(other)), self.tally)

    def chosen(self, value: float) -> "Number":
        """What one comparison of it decides."""
        self.tally.cmp += 1
        return Number(value, self.tally)

    def where(self, condition: bool, other: "Number | float") -> "Number":
        """This number where the condition holds, else the other: one selection, whichever it is."""
        self.tally.cmp += 1
        return self if condition else Number(plain(other), self.tally)


def plain(number: "Number | float") -> float:
    """The value alone."""
    return number.value if isinstance(number, Number) else number


def _quotient(a: float, b: float) -> float:
    return a / b if b else math.nan if a == 0 else math.copysign(math.inf, a)


def counted(values: Array, tally: Tally) -> Array:
    """An array of numbers that report to one tally."""
    numbers = np.empty(values.shape, dtype=object)
    for at in np.ndindex(*values.shape):
        numbers[at] = Number(float(values[at]), tally)
    return numbers


def total(numbers: Sequence[Number]) -> Number:
    """The sum of n numbers: n − 1 additions."""
    return sum(numbers[1:], numbers[0])


def mean(numbers: Sequence[Number]) -> Number:
    """The sum, times one over how many there are."""
    return total(numbers) * (1 / len(numbers))


def largest(numbers: Sequence[Number]) -> Number:
    """The largest of n numbers: n − 1 comparisons."""
    found = numbers[0]
    for number in numbers[1:]:
        found = found.at_least(number)
    return found


def smallest(numbers: Sequence[Number]) -> Number:
    """The smallest of n numbers: n − 1 comparisons."""
    found = numbers[0]
    for number in numbers[1:]:
        found = found.at_most(number)
    return found


def product(numbers: Sequence[Number]) -> Number:
    """The product of n numbers: n − 1 multiplications."""
    found = numbers[0]
    for number in numbers[1:]:
        found = found * number
    return found


def variance(numbers: Sequence[Number]) -> Number:
    """The mean of the squared distances from the mean."""
    middle = mean(numbers)
    centred = [number - middle for number in numbers]
    return mean([number * number for number in centred])
