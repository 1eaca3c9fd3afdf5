"""Kinds that pick, turn, look up and give cells: their edges, their errors, and networks in which some read nothing."""

from fractions import Fraction

import pytest
import sympy

import archcalc
from archcalc.errors import LayerError, ModelError
from archcalc.layers import (
    ArgMax,
    Clamp,
    Combine,
    Constant,
    Expand,
    Flip,
    Fold,
    Gather,
    MatMul,
    Normalize,
    Parameter,
    Permute,
    Reduce,
    Reshape,
    Roll,
    Slice,
    Unfold,
    WeightedConv,
)

X = (2, 8, 10, 12)


@pytest.mark.parametrize("stop", [None, *range(-12, 13, 3)])
@pytest.mark.parametrize("start", range(-12, 13, 4))
@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_slice_keeps_what_pythons_keeps(start, stop, step):
    kept = len(range(10)[start:stop:step])
    layer = Slice(axis=2, start=start, stop=stop, step=step)
    if kept:
        assert layer.out(X) == (2, 8, kept, 12)
    else:
        with pytest.raises(LayerError, match="at least one cell must be left"):
            layer.out(X)


def test_a_slice_of_a_symbol():
    n = sympy.Symbol("n", integer=True, positive=True)
    assert str(Slice(axis=1, start=1).out((1, n))[1]) == "n - 1"
    halves = Slice(axis=1, step=2).out((1, n))[1]
    assert [int(halves.subs(n, value)) for value in (1, 2, 7)] == [1, 1, 4]


def test_the_batch_is_an_axis_where_it_is_whole():
    assert Reshape(shape=(-1, 12), whole=True).out(X) == (160, 12)
    assert Permute(order=(2, 0, 1, 3), whole=True).out(X) == (10, 2, 8, 12)
    assert Reduce("reduce_sum", axes=0, whole=True).out(X) == (8, 10, 12)
    assert Reduce("reduce_mean", axes=(0, -1), keep_axes=True, whole=True).out(X) == (1, 8, 10, 1)
    assert Reduce("reduce_max", axes=0, whole=True).ops([X], (8, 10, 12)).cmp == 960
    assert Slice(axis=0, start=1).out(X) == (1, 8, 10, 12)
    assert Slice(axis=0, start=1, drop=True).out(X) == (8, 10, 12)
    assert ArgMax(axis=0).out(X) == (8, 10, 12)


def test_windows_cut_into_the_batch_come_back():
    """Swin: 7 × 7 windows of an 8 × 8-window map, and back."""
    x = (3, 56, 56, 96)
    split = Reshape(shape=(8, 7, 8, 7, 96)).out(x)
    windows = Reshape(shape=(-1, 49, 96), whole=True).out(Permute(order=(0, 1, 3, 2, 4, 5)).out(split))
    assert windows == (3 * 64, 49, 96)
    back = Reshape(shape=(3, 8, 8, 7, 7, 96), whole=True).out(windows)
    assert Reshape(shape=(56, 56, 96)).out(Permute(order=(0, 1, 3, 2, 4, 5)).out(back)) == x


ERRORS = {
    "permute": (lambda: Permute(order=(1, 0)).out((2, 3)),
        "Permute: order must name every axis once, the batch (0) first; got [1, 0] for 2 axes\n  whole: true lets the batch move"),
    "permute whole": (lambda: Permute(order=(1, 1), whole=True).out((2, 3)),
        "Permute: order must name every axis once; got [1, 1] for 2 axes"),
    "permute short": (lambda: Permute(order=(0,)).out((2, 3)),
        "Permute: order must name every axis once, the batch (0) first; got [0] for 2 axes"),
    "slice axis": (lambda: Slice(axis=4).out(X), "Slice: an axis must lie between 0 and 3, or -1 and -4; got 4"),
    "slice empty": (lambda: Slice(axis=1, start=8).out(X), "Slice: at least one cell must be left; got 8::1 of 8"),
    "slice drop": (lambda: Slice(axis=1, stop=2, drop=True).out(X),
        "Slice: an axis that goes must have one cell left; got 0:2:1 of 8"),
    "expand": (lambda: Expand(shape=(-1, 16, -1, -1)).out(X),
        "Expand: only an axis of size 1 can be repeated; got 2×8×10×12 to [-1, 16, -1, -1]"),
    "expand axes": (lambda: Expand(shape=(-1, 8)).out(X),
        "Expand: shape must name every axis, the batch first; got 2×8×10×12 to [-1, 8]"),
    "expand sizes": (lambda: Expand(shape=(0, 8)), "Expand: sizes must be at least 1, or -1; got [0, 8]"),
    "roll": (lambda: Roll(axes=(1, 2), shifts=1).out(X), "Roll: needs one shift for each axis; got axes=(1, 2), shifts=1"),
    "flip": (lambda: Flip(axes=0).out(X), "Flip: an axis must lie between 1 and 3, or -1 and -3; got 0"),
    "gather": (lambda: Gather(axis=2).out((4, 5), (3,)), "Gather: an axis must lie between 0 and 1, or -1 and -2; got 2"),
    "parameter": (lambda: Parameter(shape=(3, 4), axes=1),
        "Parameter: axes must be at least those of the shape; got axes=1, shape=[3, 4]"),
    "constant": (lambda: Constant(shape=(0,)), "Constant: sizes must be at least 1; got [0]"),
    "clamp": (Clamp, "Clamp: needs a bound, low or high; got neither"),
    "reduce twice": (lambda: Reduce("reduce_sum", axes=(0, -4), whole=True).out(X),
        "ReduceSum: each axis must be named once; got (0, -4)"),
    "reduce prod": (lambda: Reduce("reduce_prod", axes=(1, 2)), "ReduceProd: reduces one axis at a time; got [1, 2]"),
    "matmul": (lambda: MatMul().out((1, 4, 5), (1, 6, 7)),
        "Matmul: the first's columns must be the second's rows; got 1×4×5 and 1×6×7"),
    "matmul lead": (lambda: MatMul().out((2, 3, 4, 5), (2, 2, 5, 6)),
        "Matmul: inputs must agree in every axis, or have size 1 there; got 2×3 and 2×2"),
    "combine": (lambda: Combine("add").out((1, 2), (1, 2, 3)), "Add: inputs must have equally many axes; got 1×2 and 1×2×3"),
    "fold taps": (lambda: Fold(size=4, kernel=3).out((1, 10, 4)), "Fold: the taps must divide the columns; got 9 taps, 10 columns"),
    "fold stops": (lambda: Fold(size=4, kernel=3).out((1, 9, 5)), "Fold: a size of 4×4 has 4 stops; got 5"),
    "weighted": (lambda: WeightedConv().out((1, 8, 5, 5), (4, 4, 3, 3)),
        "WeightedConv: the kernel must be (filters, channels / groups, taps …); got a kernel 4×4×3×3, an input 1×8×5×5, groups=1"),
    "weighted bias": (lambda: WeightedConv().out((1, 8, 5, 5), (4, 8, 3, 3), (8,)),
        "WeightedConv: the bias must be one number per filter; got 8"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, text = ERRORS[name]
    with pytest.raises(LayerError) as caught:
        make()
    assert str(caught.value) == text


def test_columns_and_windows_are_adjoint():
    unfold, fold = Unfold(kernel=3, stride=2, padding=1), Fold(size=(9, 8), kernel=3, stride=2, padding=1)
    columns = unfold.out((2, 4, 9, 8))
    assert columns == (2, 36, 20)
    assert fold.out(columns) == (2, 4, 9, 8)


def test_a_kernel_that_is_an_input_costs_what_a_convolutions_own_does():
    conv = archcalc.layers.Conv(filters=16, kernel=3, padding="same", stride=2, groups=2)
    given = WeightedConv(padding="same", stride=2, groups=2)
    x = (2, 8, 15, 15)
    xs, y = [x, (16, 4, 3, 3), (16,)], conv.out(x)
    assert given.out(*xs) == y
    for question in ("macs", "macs_exact", "ops", "product"):
        assert getattr(given, question)(xs, y) == getattr(conv, question)([x], y)
    assert given.reads(xs, y) == (*conv.reads([x], y), 16 * 4 * 9, 16)
    assert given.weights(*xs) == {}


def test_normalized_rows_have_length_one():
    assert Normalize(axis=1).ops([X], X) == archcalc.algebra.ops.Ops(
        mul=1_920, add=1_680, cmp=240, div=240 + 1_920, exp=0
    )


TOKENS = """archcalc: 1
name: tokens
inputs: {image: [3, 32, 32]}
layers:
  - conv: {filters: 16, kernel: 8, stride: 8}
  - flatten: 2
  - permute: {name: patches, order: [0, 2, 1]}
  - parameter: {name: token, shape: [1, 1, 16]}
  - expand: {name: tokens, shape: [image.batch, -1, -1]}
  - concat: {name: joined, axis: 1, from: [tokens, patches]}
  - parameter: {name: positions, shape: [17, 16], axes: 3}
  - add: {name: placed, from: [joined, positions]}
  - parameter: {name: scale, shape: [16], axes: 3, role: buffer}
  - multiply: {from: [placed, scale]}
  - slice: {axis: 1, stop: 1, drop: true}
  - dense: 10
"""


def test_a_network_in_which_some_layers_read_nothing():
    model = archcalc.loads(TOKENS)
    report = model.report(batch=4)
    rows = {row.name: row for row in report.rows}
    assert report.output == (4, 10)
    assert (rows["token"].inputs, rows["token"].output, rows["tokens"].output) == ((), (1, 1, 16), (4, 1, 16))
    assert (report.totals.params, report.totals.buffers) == (3_088 + 16 + 272 + 170, 16)
    assert "params   3546\n" in str(model.closed_form("params"))
    assert archcalc.loads(TOKENS).field()["token"].extents == {}
    assert "token" in {layer.name for layer in model.properties().layers}
    found = model.properties().whole
    assert found.linear.why == "token is the same, whatever is read"
    assert found.affine.why == "multiply1 multiplies its inputs"  # one of them is a constant, which is not looked for


def test_a_parameter_has_no_memory_but_its_weights():
    model = archcalc.loads(TOKENS)
    alone = archcalc.loads(
        "archcalc: 1\ninputs: {x: [4]}\nlayers:\n  - parameter: {name: p, shape: [1, 4]}\n  - add: {from: [x, p]}\n"
    )
    assert model.memory().quantities["weight_bytes"] == 4 * 3_546
    assert alone.memory(allocator="exact").peak.bytes == 3 * 16  # the input, the weight, the sum


def test_a_layer_that_reads_nothing_takes_no_input():
    with pytest.raises(ModelError) as caught:
        archcalc.loads("archcalc: 1\ninputs: {x: [4]}\nlayers:\n  - parameter: {shape: [4], from: x}\n")
    assert str(caught.value) == 'Parameter: needs 0 inputs; got 1\n  at layers[0] "parameter1" in spec:4:5'


def test_written_and_read_again():
    model = archcalc.loads(TOKENS)
    from archcalc.dialects.yaml_write import same, written

    assert same(archcalc.loads(written(model)), model, flat=True)


def test_what_a_sliced_map_sees():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {image: [1, 32, 32]}\nlayers:\n  - conv: {filters: 2, kernel: 3}\n"
        "  - slice: {axis: 2, start: 4, step: 2}\n  - slice: {axis: 3, stop: -3}\n"
    )
    rows, columns = model.field()["slice2"].extents["image"]
    assert (rows.start, rows.stride, rows.size) == (4, 2, 3)
    assert (columns.start, columns.stride, columns.size) == (0, 1, 3)
    assert Fraction(rows.centre) == 5
