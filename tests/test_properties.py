"""Which layers and networks are linear, affine, homogeneous, elementwise, shift-equivariant: literals, and the real network."""

import json
import random
from math import prod

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

import archcalc
from archcalc import Input, Model, layers, load, loads
from archcalc.algebra.ops import Ops
from archcalc.cli.main import main
from archcalc.crosscheck import strategies
from archcalc.crosscheck.facts import dtypes_of
from archcalc.crosscheck.impulse import rebuilt
from archcalc.errors import ArchcalcError, UsageError
from archcalc.layers import KINDS, Layer
from archcalc.layers.facts import facts
from archcalc.layers.shifts import shift
from archcalc.model.graph import Node
from tests.asking import model_of
from tests.cases import CASES
from tests.shifting import Tried, handy


def of(lines, inputs="{x: [4, 40, 44]}", input=None):
    return loads(f"archcalc: 1\ninputs: {inputs}\nlayers:\n{lines}").properties(input=input).whole


def one(line):
    return of(f"- {line}\n")


def verdicts(found):
    return [name for name in ("linear", "affine", "homogeneous", "elementwise") if getattr(found, name).holds]


def moves(found):
    """Period, step and grade along each axis; or the reason."""
    return [along.why or (along.period, along.step, along.where) for along in found.shifts]


EXERCISE = {  # which of these are linear and shift-invariant?
    "conv: {filters: 4, kernel: 3, bias: false}": (["linear", "affine", "homogeneous"], (1, 1, "everywhere")),
    "conv: {filters: 4, kernel: 3}": (["affine"], (1, 1, "everywhere")),
    "conv: {filters: 4, kernel: 3, stride: 2, bias: false}": (["linear", "affine", "homogeneous"], (2, 1, "everywhere")),
    "conv: {filters: 4, kernel: 3, padding: same, bias: false}": (["linear", "affine", "homogeneous"], (1, 1, "inside")),
    "max_pool: 2": (["homogeneous"], (2, 1, "everywhere")),
    "max_pool: {kernel: 3, stride: 1}": (["homogeneous"], (1, 1, "everywhere")),
    "avg_pool: {kernel: 3, stride: 2}": (["linear", "affine", "homogeneous"], (2, 1, "everywhere")),
    "depthwise_conv: 1": (["affine", "elementwise"], (1, 1, "everywhere")),  # scales each channel and adds a constant
    "tanh": (["elementwise"], (1, 1, "everywhere")),
    "relu": (["homogeneous", "elementwise"], (1, 1, "everywhere")),
    "batch_norm": (["affine", "elementwise"], (1, 1, "everywhere")),
    "global_avg_pool": (["linear", "affine", "homogeneous"], (1, 0, "moving")),
    "instance_norm": ([], (1, 1, "moving")),
    "conv_transpose: {filters: 2, kernel: 4, stride: 2, padding: 1, bias: false}": (["linear", "affine", "homogeneous"], (1, 2, "inside")),
    "conv_transpose: {filters: 2, kernel: 2, stride: 2, bias: false}": (["linear", "affine", "homogeneous"], (1, 2, "everywhere")),
    "pad: {amount: 1, mode: reflect}": (["linear", "affine", "homogeneous"], (1, 1, "inside")),
    "softmax: 1": ([], (1, 1, "everywhere")),
    "resize: 3": (["linear", "affine", "homogeneous"], (1, 3, "everywhere")),
    "resize: {scale: 2, mode: bilinear}": (["linear", "affine", "homogeneous"], (1, 2, "inside")),
    "pixel_unshuffle: 2": (["linear", "affine", "homogeneous"], (2, 1, "everywhere")),
    "square": (["elementwise"], (1, 1, "everywhere")),
}  # fmt: skip


@pytest.mark.parametrize("line", EXERCISE)
def test_which_are_linear_and_shift_equivariant(line):
    expected, along = EXERCISE[line]
    assert verdicts(one(line)) == expected
    assert moves(one(line)) == [along, along]


def test_a_dense_layer_is_linear_and_has_a_weight_for_every_position():
    found = of("- dense: {units: 3, bias: false}\n", "{x: [7, 9]}")
    assert verdicts(found) == ["linear", "affine", "homogeneous"]
    assert moves(found) == [(1, 1, "everywhere")]  # along the rows it is the same for each
    assert (
        moves(of("- flatten\n- dense: {units: 3, bias: false}\n"))
        == ["flatten1 lays the axis in one row with others"] * 2
    )
    turned = of(
        "- relu\n- conv: {filters: 2, kernel: 1}\n- permute: [0, 1, 3, 2]\n- dense: 3\n"
    )  # the last axis is now the height
    assert moves(turned) == ["dense1 has weights of its own for every position", (1, 1, "everywhere")]


def test_reasons_name_the_layer_that_breaks_a_property():
    net = of("- conv: {filters: 2, kernel: 3}\n- relu\n- max_pool: 2\n- softmax: 1\n")
    assert [net.linear.why, net.affine.why, net.homogeneous.why, net.elementwise.why] == [
        "conv1 adds a bias",
        "relu1 computes max(x, 0)",
        "conv1 adds a bias",
        "conv1 reads other cells than the one in its place",
    ]


def test_periods_multiply_along_a_path():
    lines = "- conv: {filters: 2, kernel: 3, stride: 3}\n- max_pool: 2\n- avg_pool: {kernel: 3, stride: 2}\n"
    assert moves(of(lines)) == [(12, 1, "everywhere")] * 2
    assert moves(of(lines + "- resize: 2\n")) == [(12, 2, "everywhere")] * 2
    assert moves(of("- resize: 2\n- max_pool: 4\n")) == [(2, 1, "everywhere")] * 2
    assert moves(of("- resize: 3\n- max_pool: 2\n")) == [(2, 3, "everywhere")] * 2


def test_branches_move_together_or_not():
    same = "- residual: [conv: {filters: 4, kernel: 3, padding: 1, bias: false}]\n"
    assert verdicts(of(same)) == ["linear", "affine", "homogeneous"]
    assert moves(of(same)) == [(1, 1, "inside")] * 2
    up_and_down = "- residual: {layers: [max_pool: 2, resize: 2]}\n"
    assert moves(of(up_and_down, "{x: [4, 40, 40]}")) == [(2, 2, "everywhere")] * 2
    apart = (
        "- conv: {name: a, filters: 1, kernel: 21}\n- max_pool: {name: b, from: x, kernel: 2}\n- add: {from: [a, b]}\n"
    )
    reason = "add1 has inputs that move by different steps"
    assert moves(of(apart, "{x: [1, 40, 40]}")) == [reason] * 2
    squeezed = "- global_avg_pool\n- conv: {filters: 4, kernel: 1}\n- sigmoid\n- multiply: {from: [x, sigmoid1]}\n"
    assert moves(of(squeezed)) == [(1, 1, "moving")] * 2
    stays = "- global_avg_pool\n- resize: {size: [40, 44]}\n- add: {from: [x, resize1]}\n"
    assert moves(of(stays)) == ["add1 joins what moves with what stays"] * 2
    turned = "- conv: {filters: 4, kernel: 1}\n- permute: [0, 1, 3, 2]\n- add: {from: [x, permute1]}\n"
    assert moves(of(turned, "{x: [4, 40, 40]}")) == ["add1 has inputs that move along different axes"] * 2


def test_products_and_quotients_have_a_degree():
    product = of("- relu: {name: a}\n- multiply: {from: [x, a]}\n")
    assert product.degree == 2
    assert product.homogeneous.why == "multiply1 multiplies its inputs: t times the input gives t^2 times the output"
    assert product.linear.why == "a computes max(x, 0)"
    assert of("- square\n- sqrt\n").degree == 1
    assert of("- abs: {name: a}\n- divide: {from: [x, a]}\n").degree == 0
    mixed = of("- square\n- add: {from: [x, square1]}\n")
    assert (mixed.degree, mixed.homogeneous.why) == (None, "add1 joins values that scale differently")


def test_global_pooling_makes_invariant_and_a_dense_layer_leaves_it_so():
    found = of("- conv: {filters: 2, kernel: 3, stride: 2, padding: 1}\n- global_avg_pool\n- flatten\n- dense: 5\n")
    assert [(a.invariant, a.equivariant, a.period, a.because) for a in found.shifts] == [
        (True, False, 2, "global_avg_pool1 pools the whole axis")
    ] * 2


def test_adaptive_windows_are_regular_or_not():
    assert moves(of("- adaptive_avg_pool: 6\n", "{x: [1, 13, 12]}")) == [(2, 1, "everywhere"), (2, 1, "everywhere")]
    assert moves(of("- adaptive_max_pool: 7\n", "{x: [1, 10, 14]}")) == [
        "adaptive_max_pool1 pools 10 cells onto 7 by unequal windows",
        (2, 1, "everywhere"),
    ]


def test_a_row_of_an_image_laid_out_moves_by_its_length():
    assert moves(of("- flatten: 2\n")) == [(1, 44, "everywhere"), "flatten1 lays the axis in one row with others"]


def test_parameters_can_take_the_bend_out_of_a_function():
    assert verdicts(one("leaky_relu: 1.0")) == ["linear", "affine", "homogeneous", "elementwise"]
    assert verdicts(one("threshold: 0.0")) == ["homogeneous", "elementwise"]
    assert verdicts(one("threshold: 0.5")) == ["elementwise"]


class Odd(Layer, frozen=True):
    """A kind of a user's own, which is in no table."""

    def out(self, *xs):
        return xs[0]

    def ops(self, xs, y):
        return Ops()


def test_a_kind_that_does_not_say_breaks_everything_by_name():
    model = Model("own", {"x": Input((4, 8, 8))}, (Node("odd1", Odd(), ("x",)),), ("odd1",))
    found = model.properties().whole
    assert verdicts(found) == []
    assert {found.linear.why, found.elementwise.why, *moves(found)} == {"odd1 is of a kind that does not say"}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_says_what_it_is(name):
    from archcalc.dialects.kinds import example_layer

    kind = KINDS[name]
    layer = example_layer(kind)
    if not isinstance(layer, layers.Composite):
        y = layer.out(*kind.on)
        assert facts(layer, kind.on, y) is not None
        assert shift(layer, kind.on, y, 1) is not None


def test_a_layer_or_block_is_asked_by_name():
    model = load("zoo:resnet18")
    assert verdicts(model.properties("conv1").whole) == ["linear", "affine", "homogeneous"]
    block = model.properties("layer2/block1").whole
    assert block.affine.why == "layer2/block1/relu1 computes max(x, 0)"
    assert moves(block) == [(2, 1, "inside")] * 2
    with pytest.raises(UsageError) as caught:
        model.properties("conv2")
    assert str(caught.value) == "--layer: must name a layer or block of the model; got 'conv2'\n  did you mean conv1?"


# The real network


ZEROS = ("constant",)  # zeros stand for its values, of which any map holds
ids = [f"{n}-{case.line[:50]}" for n, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_every_case_in_pytorch(case):
    if case.kind in ZEROS or case.inputs == ((1, 2, 1),):  # the latter's window meets nothing: minus infinity
        return
    model = model_of(case)
    tried = Tried(model, handy(model), batch=case.inputs[0][0] if len(case.inputs) > 1 else 4)
    tried.check_algebra()
    tried.check_shifts()


ALONG = [  # what is looked up moves with its indices, what is laid out by rows, what is carried round as on a ring
    ("x: {shape: [40], dtype: int64}", "embedding: {vocabulary: 9, width: 3}", [(1, 1, "everywhere")]),
    ("t: [12], x: {shape: [40], dtype: int64}", "gather: {from: [t, x]}", [(1, 1, "everywhere")]),
    ("t: [20, 3], x: {shape: [40], dtype: int64}", "gather: {axis: 1, from: [t, x]}", ["gather1 looks places of the axis up"]),
    ("x: [18, 480]", "fold: {size: [24, 20], kernel: 3, padding: 1}", [(20, 1, "inside")]),
    ("x: [12, 130]", "fold: {size: [26, 20], kernel: 2, stride: 2}", [(10, 2, "everywhere")]),
    ("x: [16, 20, 20]", "unfold: {kernel: 3}}, {fold: {size: 19, kernel: 2}", [(4, 9, "everywhere"), (1, 1, "inside")]),
    ("x: [14, 25, 20]", "unfold: {kernel: 3, stride: [2, 1]}", [(1, 9, "everywhere"), (2, 18, "everywhere")]),
    ("x: [3, 25, 30]", "roll: {axes: [2, 3], shifts: [6, 13]}", [(1, 1, "inside"), (1, 1, "moving")]),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "lines", "expected"), ALONG)
def test_what_is_looked_up_laid_out_or_carried_round_moves(inputs, lines, expected):
    tried = Tried(loads(f"archcalc: 1\ninputs: {{{inputs}}}\nlayers: [{{{lines}}}]\n"), batch=2)
    tried.check_algebra()
    tried.check_shifts()
    assert moves(tried.whole) == expected


def test_a_choice_reads_both_that_it_may_choose():
    lines = "relu: {name: c}}, {tanh: {name: s, from: x}}, {where: {from: [c, x, s]}"
    tried = Tried(loads(f"archcalc: 1\ninputs: {{x: [3, 20, 20]}}\nlayers: [{{{lines}}}]\n"), batch=2)
    assert not tried.whole.homogeneous.holds and not tried.whole.linear.holds
    tried.check_algebra()


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ZEROS])
def test_random_configurations_in_pytorch(name):
    # Functions of single elements share one class, and need but one.
    # The same ones each time: where a span nears the size, a quarter of the cells is too narrow a border to leave out.
    @settings(
        max_examples=1 if KINDS[name].cls is layers.Activation else 4,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategies.cases(KINDS[name]))
    def check(case):
        layer, xs = case
        if any(len(x) == 1 for x in xs):  # a model's input has more axes than the batch
            return
        names = tuple(f"x{number}" for number in range(len(xs)))
        dtypes = ("int64" if dtype == "int64" else None for dtype in dtypes_of(layer, xs))  # truth as 0 or not
        inputs = {name: Input(x[1:], dtype) for name, x, dtype in zip(names, xs, dtypes, strict=True)}
        model = Model(name, inputs, (Node("one", layer, names),), ("one",))
        try:
            few = sum(prod(x) for x in xs) < 64  # some of few numbers must lie where the function bends
            tried = Tried(model, handy(model), batch=64 if few else 8)
            y, other = tried(tried.inputs()), tried(tried.inputs())
        except (ArchcalcError, RuntimeError, ValueError):  # PyTorch does not take it
            return
        # A window that meets padding alone says nothing: `same`, kernel 2 and dilation 2 on an axis of one cell.
        if y.isfinite().all() and (y - other).abs().max() > 1e-9:
            tried.check_algebra()
            tried.check_shifts()

    check()


@pytest.mark.parametrize(
    ("name", "size"),
    [("digits", "64x64"), ("lenet5", None), ("exercise_i", None), ("exercise_j", None), ("exercise_h", None),
     ("exercise_m", "96x80")],
)  # fmt: skip
def test_networks_in_pytorch(name, size):
    tried = Tried(load(f"zoo:{name}"), size)
    tried.check_algebra()
    tried.check_shifts()


LINES = (
    "conv: {filters: 3, kernel: 3, padding: 1, bias: false}", "conv: {filters: 3, kernel: 3}", "relu", "tanh",
    "conv: {filters: 3, kernel: 3, stride: 2, padding: 1}", "max_pool: 2", "avg_pool: 2", "resize: 2", "batch_norm",
    "conv: {filters: 3, kernel: 1, bias: false}", "residual: [conv: {filters: 3, kernel: 3, padding: 1}]", "abs",
    "residual: [conv: {filters: 3, kernel: 3, padding: 1, bias: false}, relu]", "softmax: 1", "instance_norm", "pad: 1",
    "multiply: [[conv: {filters: 3, kernel: 1, bias: false}], [conv: {filters: 3, kernel: 1, bias: false}]]",
    "concat: [[conv: {filters: 1, kernel: 3, padding: 1}], [conv: {filters: 2, kernel: 1}]]",
    "depthwise_conv: {kernel: 3, padding: same}", "conv_transpose: {filters: 3, kernel: 2, stride: 2}",
    "multiply: [[], [global_avg_pool, conv: {filters: 3, kernel: 1}, sigmoid]]",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_random_networks_in_pytorch(seed):
    dice = random.Random(seed)  # noqa: S311 - lines, no secrets
    lines = "".join(f"- {dice.choice(LINES)}\n" for _ in range(dice.randint(2, 5)))
    if seed % 3 == 0:
        lines += dice.choice(
            ["- global_avg_pool\n- flatten\n- dense: 2\n", "- flatten\n- dense: {units: 2, bias: false}\n"]
        )
    model = loads(f"archcalc: 1\ninputs: {{x: [3, 192, 24]}}\nlayers:\n{lines}")
    tried = Tried(model)
    tried.check_algebra()
    tried.check_shift(0)


# Linear and shift-equivariant: a convolution


@pytest.mark.parametrize(
    "lines",
    [
        "conv: {filters: 3, kernel: 3, bias: false}",
        "conv: {filters: 3, kernel: 3, stride: [2, 3], bias: false}",
        "conv: {filters: 2, kernel: [2, 4], padding: same, dilation: 2, bias: false}",
        "avg_pool: {kernel: 3, stride: 2}",
        "conv_transpose: {filters: 2, kernel: 3, stride: 2, bias: false}",
        "resize: 2",
        "resize: 2}, {conv: {filters: 2, kernel: 3, stride: 4, bias: false}",
        "conv: {filters: 2, kernel: 3, stride: 2, bias: false}}, {avg_pool: 2}, {conv: {filters: 2, kernel: 1, bias: false}",
    ],
)
def test_answers_to_impulses_rebuild_what_is_linear_and_equivariant(lines):
    model = loads(f"archcalc: 1\ninputs: {{x: [2, 19, 16]}}\nlayers: [{{{lines}}}]\n".replace("{{conv", "{conv"))
    found = model.properties().whole
    assert found.linear.holds
    network = archcalc.torch.build(model).double()
    x = torch.randn(3, 2, 19, 16, dtype=torch.float64)
    with torch.no_grad():
        y = network(x)
        made = rebuilt(network, x, [a.period for a in found.shifts], [a.step for a in found.shifts])
    assert made.shape == y.shape
    torch.testing.assert_close(made, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("line", ["max_pool: 2", "conv: {filters: 3, kernel: 3}", "pad: {amount: 2, mode: replicate}"])
def test_answers_to_impulses_do_not_rebuild_anything_else(line):
    model = loads(f"archcalc: 1\ninputs: {{x: [2, 12, 12]}}\nlayers: [{line}]\n")
    found = model.properties().whole
    network = archcalc.torch.build(model).double()
    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    with torch.no_grad():
        y = network(x)
        made = rebuilt(network, x, [a.period for a in found.shifts], [a.step for a in found.shifts])
    assert (made - y).abs().max() > 1e-3


# The page and the data


def test_json_holds_verdicts_reasons_and_shifts(capsys):
    assert main(["properties", "zoo:exercise_f", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    whole = data["whole"]
    assert data["schema_version"] == 1
    assert whole["linear"] == {"holds": False, "why": "conv1 adds a bias"}
    assert whole["affine"] == {"holds": True, "why": ""}
    assert whole["shifts"][0] == {
        "axis": "height", "equivariant": True, "invariant": False, "period": 1, "output_axis": 2, "step": 1,
        "where": "everywhere", "why": "",
    }  # fmt: skip


def test_an_answer_shows_itself():
    found = load("zoo:exercise_f").properties()
    assert repr(found) == "<Properties of exercise_f>"
    assert "conv1 adds a bias" in found._repr_html_()
    assert "affine       yes" in str(found)


def test_the_page_of_one_block(capsys):
    assert main(["properties", "zoo:resnet18", "--layer", "layer2/block1/shortcut"]) == 0
    page = capsys.readouterr().out
    assert (
        "  linear       no: layer2/block1/shortcut/batch_norm1 subtracts the running mean\n  affine       yes\n" in page
    )
    assert "  height       equivariant under shifts by multiples of 2, the output by 1 for\n" in page


def test_mistakes_have_exit_codes(capsys):
    assert main(["properties", "zoo:digits", "--layer", "conv9"]) == 2
    assert main(["properties", "zoo:digits", "--input", "4x4"]) == 3
    assert "a window spanning 5 must fit its axis" in capsys.readouterr().err
