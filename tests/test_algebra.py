"""Numbers in every reading, units as people write them, operation vectors, and bytes."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from archcalc.algebra.dtype import BITS, bytes_of
from archcalc.algebra.num import ceil_div, differ, divides, largest, less, prod, smallest
from archcalc.algebra.ops import CONVENTIONS, Ops
from archcalc.algebra.units import BYTES, SI, iec, parse_bytes, parse_count, si
from archcalc.errors import UsageError

H = sympy.Symbol("H", integer=True, positive=True)
W = sympy.Symbol("W", integer=True, positive=True)


def test_what_is_known_of_symbols():
    assert (differ(H, H), differ(H + 1, H), differ(H, W)) == (False, True, None)
    assert (less(H, 0), less(0, H), less(H, W)) == (False, True, None)
    assert (divides(2, 4 * H), divides(2, H), divides(2, 2 * H + 1)) == (True, None, False)


def test_what_is_known_of_arrays():
    sizes = np.array([4, 8])
    assert (less(sizes, 9), less(sizes, 4), less(sizes, 5)) == (True, False, None)
    assert (divides(2, sizes), divides(3, sizes), divides(8, sizes)) == (True, False, None)


def test_largest_and_smallest_in_every_reading():
    assert (largest(3, 5), smallest(3, 5)) == (5, 3)
    assert largest(H, 5).subs(H, 9) == 9
    assert smallest(np.array([1, 9]), 5).tolist() == [1, 5]
    assert (largest(True, 2), prod(())) == (2, 1)


@given(st.integers(-1000, 1000), st.integers(1, 50))
def test_quotients_rounded_up(a, b):
    assert ceil_div(a, b) == sympy.ceiling(sympy.Rational(a, b))


@given(st.integers(0, 10**30))
def test_prefixes_are_correct_to_four_digits(n):
    for text, factors, base in ((si(n), SI | {"E": 10**18}, 1000), (iec(n), BYTES | {"EiB": 1024**6}, 1024)):
        number, _, unit = text.partition(" ")
        value = sympy.Rational(number.replace(",", "")) * (factors[unit] if unit else 1)
        assert abs(value - n) * 1000 <= n or n < base


@pytest.mark.parametrize(
    ("text", "n"),
    [("9150", 9150), ("10k", 10_000), ("1.5M", 1_500_000), ("1_000", 1000), ("1,000", 1000), (" 2 G ", 2 * 10**9)],
)
def test_counts_as_people_write_them(text, n):
    assert parse_count(text) == n


@pytest.mark.parametrize("text", ["", "k", "1x", "-1", "1e3", "0.5", "1kB", "١", "1" * 50, "nan"])
def test_counts_that_are_none(text):
    with pytest.raises(UsageError):
        parse_count(text)


def test_bytes_as_people_write_them():
    assert [parse_bytes(text) for text in ("1", "1B", "1kB", "1KiB", "24GiB")] == [1, 1, 1000, 1024, 24 * 2**30]


def test_ops_are_vectors():
    one, two = Ops(1, 2, 3, 4, 5), Ops(10, 20, 30, 40, 50)
    assert one + two == Ops(11, 22, 33, 44, 55)
    assert one.times(10) == two
    assert two.total == 150


def test_every_convention_says_what_it_means():
    for name, convention in CONVENTIONS.items():
        assert convention.name == name
        assert convention.meaning
        assert convention.flops(Ops(), 0, 0) == 0


def test_bytes_of_every_dtype():
    assert [bytes_of(3, dtype) for dtype in BITS] == [24, 12, 6, 6, 3, 24, 12, 6, 3, 3, 3, 2]
