"""Sizes that follow the inputs: read from text, replaced by numbers, evaluated on any number; nothing is executed."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

import archcalc
from archcalc.algebra.size import Axes, Size, at_inputs, follows_inputs, holds_size, sized
from archcalc.errors import ModelError

IMAGE = {"image": Axes(4)}
NAMES = {**IMAGE, "tokens": Axes(2), "k": 7, "half": Size("image.height // 2"), "flag": True}

numbers = st.integers(1, 9).map(str)
axes = st.sampled_from(["image.batch", "image.channels", "image.height", "image.width", "tokens.axis1"])
expressions = st.recursive(
    numbers | axes,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(inner, st.sampled_from(["//", "%"]), numbers).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})")
    ),
    max_leaves=8,
)
shapes = st.tuples(*[st.integers(1, 300)] * 4)


@given(expressions, shapes, st.integers(1, 50))
def test_its_value_is_what_python_says(text, shape, length):
    inputs = {"image": shape, "tokens": (shape[0], length)}
    places = dict(zip(["image.batch", "image.channels", "image.height", "image.width"], shape, strict=True))
    plain = text
    for name, value in {**places, "tokens.axis1": length}.items():
        plain = plain.replace(name, str(value))
    expected = eval(plain, {"__builtins__": {}, "min": min, "max": max})  # noqa: S307 (of our own making)
    size = sized(text, NAMES)
    assert size.at(inputs) == expected
    assert sized(str(size), NAMES) == size


@given(expressions, st.integers(1, 300), st.integers(1, 300))
def test_symbols_give_the_same_formula(text, height, width):
    h, w = sympy.symbols("H W", integer=True, positive=True)
    symbolic = sized(text, NAMES).at({"image": (2, 3, h, w), "tokens": (2, 9)})
    from archcalc.algebra.symbolic import normal

    value = normal(sympy.sympify(symbolic)).subs({h: height, w: width})
    assert int(value.doit()) == sized(text, NAMES).at({"image": (2, 3, height, width), "tokens": (2, 9)})


def test_names_of_numbers_are_replaced_and_sizes_written_out():
    assert str(sized("k * half + image.axis3", NAMES)) == "7 * (image.height // 2) + image.axis3"
    assert sized("half", NAMES).at({"image": (1, 3, 9, 9)}) == 4


@pytest.mark.parametrize(
    ("text", "follows"), [("image.height", True), ("half + 1", True), ("k + 2", False), ("2.5", False), ("-k", False)]
)
def test_what_follows_the_inputs(text, follows):
    assert follows_inputs(text, NAMES) is follows


def test_values_of_fields():
    value = (3, Size("image.height"), (Size("image.width // 2"), 1))
    assert holds_size(value) and not holds_size((1, (2, 3)))
    assert at_inputs(value, {"image": (1, 3, 8, 6)}) == (3, 8, (3, 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image.depth", "expression: image has the axes batch, channels, height, width; got image.depth"),
        ("tokens.height", "expression: tokens has the axes batch, axis1; got tokens.height"),
        ("imag.height", "expression: only inputs of the model have axes; got imag.height\n  did you mean image?"),
        ("image.height / 2", "expression: over sizes of inputs may hold only integers, names, axes, + - * // % and min and max of two; got image.height / 2"),
        ("image.height.real", "expression: over sizes of inputs may hold only integers, names, axes, + - * // % and min and max of two; got image.height.real"),
        ("abs(image.height)", "expression: over sizes of inputs may hold only integers, names, axes, + - * // % and min and max of two; got abs(image.height)"),
        ("flag * image.height", "expression: must use names of integers that are known here; got flag\n  did you mean flag?"),
        ("image.height +", "expression: must be an integer or an integer expression; got 'image.height +'"),
        ("-" * 200 + "image.height", "expression: must nest at most 100 operations; got a deeper one"),
        ("image.height" + " + 1" * 600, "expression: must have at most 2,000 characters; got 2412"),
    ],
)  # fmt: skip
def test_mistakes(text, message):
    with pytest.raises(ModelError) as caught:
        sized(text, NAMES)
    assert str(caught.value) == message


def test_a_division_by_nothing_is_a_mistake_at_the_size_at_hand():
    spec = "archcalc: 1\ninputs: {image: [3, 8, 8]}\nlayers: [reshape: [-1, image.height // (image.width - 8)]]"
    with pytest.raises(ModelError) as caught:
        archcalc.loads(spec).report()
    assert "must not divide by zero" in str(caught.value)


def test_in_a_spec_and_back():
    spec = """
archcalc: 1
inputs: {image: [3, 32, 48]}
blocks:
  cells: {args: {rows: 1}, layers: [reshape: [rows, image.width // 4, 8]]}
layers:
  - conv: {filters: 8, kernel: 4, stride: 4}
  - permute: [0, 2, 3, 1]
  - cells: {rows: image.height // 4}
"""
    from archcalc.dialects.yaml_write import written

    model = archcalc.loads(spec)
    assert model.report(input="64x16", batch=2).output == (2, 16, 4, 8)
    again = archcalc.loads(written(model))
    assert again.report(input="64x16", batch=2).output == (2, 16, 4, 8)
    assert [row.output for row in again.report().rows] == [row.output for row in model.report().rows]


def test_a_mistake_in_a_spec_has_its_place():
    with pytest.raises(ModelError) as caught:
        archcalc.loads("archcalc: 1\ninputs: {image: [3, 8, 8]}\nlayers:\n  - reshape: [-1, image.widht]", "m.yaml")
    assert str(caught.value) == (
        "Reshape: shape image has the axes batch, channels, height, width; got image.widht\n  at layers[0] in m.yaml:4:14"
    )
