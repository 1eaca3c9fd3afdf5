"""Laws: groups divide weights, blocks are the sum of their parts, depth changes no total, one formula has many readings."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from archcalc import load
from archcalc.algebra.ops import CONVENTIONS
from archcalc.crosscheck.strategies import accepted, axes, convs, per_axis
from archcalc.dialects.yaml import zoo_names
from archcalc.layers import Conv, Dense, SeparableConv
from archcalc.model.report import Row
from archcalc.model.walk import answer
from tests.asking import model_of
from tests.cases import CASES

SUMMED = ("params", "trainable_params", "buffers", "macs", "macs_exact", "flops", "output_bytes")


@given(st.data(), st.integers(1, 3), st.sampled_from([1, 2, 4]))
def test_groups_divide_weights_and_macs(data, rank, groups):
    kernel = data.draw(per_axis(rank, 1, 3))
    x = (1, 4, *data.draw(axes(rank, low=3)))
    plain, _ = accepted(lambda: Conv(filters=8, kernel=kernel, bias=False), x)
    grouped = Conv(filters=8, kernel=kernel, bias=False, groups=groups)
    whole, part = answer(plain, (x,)), answer(grouped, (x,))
    assert part.params * groups == whole.params
    assert part.macs * groups == whole.macs
    assert part.y == whole.y


@given(convs())
def test_exact_macs_never_exceed_macs_and_meet_them_without_padding(pair):
    layer, xs = pair
    answers = answer(layer, xs)
    assert 0 <= answers.macs_exact <= answers.macs
    if layer.padding in (0, "valid"):
        assert answers.macs_exact == answers.macs


@given(st.integers(1, 6), st.integers(1, 6), st.integers(3, 9), st.integers(1, 3))
def test_a_separable_convolution_is_the_sum_of_its_parts(channels, filters, n, stride):
    layer = SeparableConv(filters=filters, kernel=3, stride=stride)
    x = (1, channels, n, n)
    depthwise, pointwise = layer.parts(x)
    first = answer(depthwise.layer, (x,))
    second = answer(pointwise.layer, (first.y,))
    stops = first.y[2] * first.y[3]
    assert first.params + second.params == 9 * channels + channels * filters + filters
    assert first.macs + second.macs == stops * (9 * channels + channels * filters)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_a_convolution_over_the_whole_input_is_a_dense_layer(channels, height, width, units):
    x = (1, channels, height, width)
    conv = answer(Conv(filters=units, kernel=(height, width)), (x,))
    dense = answer(Dense(units=units), ((1, channels * height * width),))
    assert (conv.params, conv.macs, conv.ops) == (dense.params, dense.macs, dense.ops)


@pytest.mark.parametrize("name", zoo_names())
def test_rows_add_up_to_the_totals_at_every_depth(name):
    model = load(f"zoo:{name}")
    whole = model.report()
    for depth in (None, 1, 2, 3, 9):
        report = model.report(depth=depth)
        assert report.totals == whole.totals
        for quantity in SUMMED:
            assert sum(getattr(row, quantity) for row in report.rows) == getattr(whole.totals, quantity)
        for op in ("mul", "add", "cmp", "div", "exp"):
            assert sum(getattr(row.ops, op) for row in report.rows) == getattr(whole.totals.ops, op)
        assert report.outputs == whole.outputs
        assert report.rows[-1].output == [*whole.outputs.values()][-1]
        read = {source for row in report.rows for source in row.inputs}
        assert depth or read <= {row.name for row in report.rows} | set(model.inputs)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_are_linear(name):
    model, convention = load("zoo:exercise_b"), CONVENTIONS[name]
    report = model.report(convention=name)
    totals = report.totals
    assert totals.flops == sum(row.flops for row in report.rows)
    assert totals.flops == convention.flops(totals.ops, totals.macs, totals.macs_exact)


def test_conventions_by_hand():
    flops = {name: load("zoo:digits").report(convention=name).totals.flops for name in CONVENTIONS}
    assert flops == {
        "archcalc": 1_316_140, "2mac": 1_306_000, "mac": 653_000, "multiplications": 653_000, "exact": 1_316_140,
    }  # fmt: skip
    padded = load("zoo:exercise_b").report(convention="exact").totals
    assert padded.flops == padded.ops.total - 2 * (padded.macs - padded.macs_exact)
    assert padded.macs - padded.macs_exact == (32 + 64 * 32) * (84 * 84 - 82 * 82)


def reading(case, batch, axes):
    """The case's answers with the batch and all axes replaced; None where a kind fixes its axes."""
    inputs = tuple((batch, x[1], *(axes[n] for n in range(len(x) - 2))) for x in case.inputs)
    (use,) = model_of(case).walk(dict(zip("abcdef", case.inputs, strict=False)))[:1]
    return answer(use.layer, inputs), inputs


GENERAL = [
    case for case in CASES
    if len(case.inputs) == 1 and case.kind not in ("reshape", "embedding", "permute", "separable_conv", "depthwise_conv")
    and len(case.inputs[0]) > 2 and "reflect" not in case.line
]  # fmt: skip


@pytest.mark.parametrize("case", GENERAL, ids=[f"{n}-{case.line[:50]}" for n, case in enumerate(GENERAL)])
def test_one_formula_read_on_symbols_and_arrays(case):
    """Symbols in place of batch and sizes, then numbers for the symbols; and arrays of sizes: the same answers."""
    rank = len(case.inputs[0]) - 2
    sizes = case.inputs[0][2:]
    by_shape = case.kind in ("layer_norm", "rms_norm", "softmax", "dense", "pixel_unshuffle")
    symbols = [*sizes] if by_shape else list(sympy.symbols("H W D", integer=True, positive=True)[:rank])
    batch = sympy.Symbol("N", integer=True, positive=True)
    symbolic, _ = reading(case, batch, symbols)
    values = {batch: case.inputs[0][0]} | ({} if by_shape else dict(zip(symbols, sizes, strict=True)))
    plain, _ = reading(case, case.inputs[0][0], sizes)

    def at(expression):
        return int(sympy.sympify(expression).subs(values))

    assert tuple(map(at, symbolic.y)) == plain.y
    assert at(symbolic.macs) == plain.macs
    assert at(symbolic.macs_exact) == plain.macs_exact
    for op in ("mul", "add", "cmp", "div", "exp"):
        assert at(getattr(symbolic.ops, op)) == getattr(plain.ops, op)
    arrays, _ = reading(case, np.array([1, 3]), sizes)
    first, third = reading(case, 1, sizes)[0], reading(case, 3, sizes)[0]
    assert np.broadcast_to(arrays.macs, 2).tolist() == [first.macs, third.macs]
    assert np.broadcast_to(arrays.ops.add, 2).tolist() == [first.ops.add, third.ops.add]


def test_rows_hold_what_the_file_format_promises():
    assert Row.__struct_fields__ == (
        "name", "kind", "inputs", "output", "params", "trainable_params", "buffers", "weights", "macs", "macs_exact",
        "ops", "flops", "output_bytes", "shared_with",
    )  # fmt: skip
