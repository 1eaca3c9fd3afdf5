"""Floor division in normal form against Python's own, and the comparison of expressions over whole classes of sizes."""

from operator import add, floordiv, mul

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from archcalc.algebra.agreement import Claim, agree
from archcalc.algebra.symbolic import FloorDiv, normal

H, W = sympy.symbols("H W", integer=True, positive=True)
sizes = st.integers(1, 200)

leaves = st.sampled_from([("H",), ("W",)]) | st.integers(-9, 9).map(lambda n: ("n", n))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.just("+"), inner, inner)
        | st.tuples(st.just("*"), st.integers(-4, 4), inner)
        | st.tuples(st.just("//"), inner, st.integers(1, 9))
        | st.tuples(st.just("ceil"), inner, st.integers(1, 9))
    ),
    max_leaves=8,
)


def value(tree, h, w, floor=floordiv):
    """What the tree stands for: with numbers for H and W Python's integers, with symbols whatever `floor` makes."""
    head, *rest = tree
    if head == "n":
        return rest[0]
    if head in ("H", "W"):
        return h if head == "H" else w
    parts = [value(part, h, w, floor) if isinstance(part, tuple) else part for part in rest]
    make = {"+": add, "*": mul, "//": floor, "ceil": lambda a, q: -floor(-a, q)}
    return make[head](*parts)


def expression(tree):
    """FloorDiv in place of Python's floor division."""
    return sympy.sympify(value(tree, H, W, lambda a, q: FloorDiv(sympy.sympify(a), q)))


def at(found, h, w):
    return int(sympy.sympify(found).subs({H: h, W: w}))


@given(trees, sizes, sizes)
def test_the_normal_form_has_the_same_values(tree, h, w):
    assert at(expression(tree), h, w) == value(tree, h, w)


@given(trees, sizes, sizes)
def test_floors_of_sympy_become_the_same(tree, h, w):
    written = value(tree, H, W)  # sympy's floor
    assert at(normal(written), h, w) == value(tree, h, w)


@given(trees)
def test_the_normal_form_is_its_own(tree):
    once = expression(tree)
    assert normal(once) == sympy.expand(once)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (FloorDiv(2 * H - 1, 2), H - 1),  # a multiple is pulled out
        (FloorDiv(FloorDiv(H, 2), 2), FloorDiv(H, 4)),  # two pools of 2
        (-FloorDiv(-H, 4), FloorDiv(H + 3, 4)),  # a ceiling
        (-FloorDiv(-H, 2), FloorDiv(H + 1, 2)),
        (FloorDiv(6 * H + 2, 4), H + FloorDiv(H + 1, 2)),  # ⌊(6H + 2)/4⌋ = H + ⌊(2H + 2)/4⌋, and 2 cancels
        (FloorDiv(sympy.Integer(-7), 2), sympy.Integer(-4)),
    ],
)
def test_normal_forms_by_hand(found, expected):
    assert found == expected


def test_the_last_map_of_a_resnet_is_one_ceiling():
    n = FloorDiv(H + 6 - 7, 2) + 1  # 7×7, stride 2, padding 3
    for _ in range(4):  # a pool and three stages: span 3, stride 2, padding 1
        n = FloorDiv(n + 2 - 3, 2) + 1
    assert n == FloorDiv(H + 31, 32)


@given(trees, trees)
def test_equal_is_equal_and_different_differs_where_it_says(a, b):
    found = agree(expression(a), Claim(expression(b)))
    if found.verdict == "equal":
        for h in range(20, 60):
            assert value(a, h, 37) == value(b, h, 37)
            assert value(a, 41, h) == value(b, 41, h)
    elif found.verdict == "different":
        where = {} if found.by == "every size" else dict(part.split(" = ") for part in found.by.split(", "))
        h, w = int(where.get("H", 2)), int(where.get("W", 2))
        assert value(a, h, w) != value(b, h, w)


def test_conditions_leave_classes_to_other_claims():
    even, odd = sympy.Eq(sympy.Mod(H, 2), 0), sympy.Eq(sympy.Mod(H, 2), 1)
    half = FloorDiv(H + 1, 2)
    only_even = agree(half, Claim(H // 2, (even,)))
    assert (only_even.verdict, only_even.unseen) == ("equal", (((H, 2, 1),),))
    both = agree(half, Claim(H // 2, (even,)), Claim((H + 1) // 2 + 0, (odd,)))
    assert (both.verdict, both.unseen) == ("equal", ())
    same = agree(H // 2, Claim(H // 2, (even,)))
    assert (same.verdict, same.unseen) == (
        "equal",
        (((H, 2, 1),),),
    )  # the same expression, and nothing known of odd sizes
    assert agree(H // 2, Claim(H // 2, (even,)), Claim(H // 2)).unseen == ()
    assert agree(half, Claim(H // 2)).verdict == "different"
    assert agree(half, Claim(H // 2)).by == "H = 3"


def test_what_cannot_be_decided_is_not_called_equal():
    f = sympy.Function("f")
    assert agree(H, Claim(f(H))).verdict == "unknown"
    wide = sum(FloorDiv(H, q) for q in (7, 11, 13))
    assert agree(wide, Claim(H)).by == "1001 residue classes are too many to look at"
