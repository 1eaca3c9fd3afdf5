"""Closed forms against reports at random sizes, their conditions against trying every size, their programs against real interpreters."""

import contextlib
import io
import itertools
import json
import re
import shutil
import subprocess
from fractions import Fraction
from functools import cache
from math import ceil, floor
from xml.etree import ElementTree

import hypothesis
import numpy as np
import pytest
import sympy
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from archcalc import load, loads
from archcalc.algebra.assumptions import Domain, assume
from archcalc.algebra.compiled import compiled
from archcalc.algebra.symbolic import FloorDiv, Largest
from archcalc.algebra.written import STYLES, written
from archcalc.cli.main import main
from archcalc.errors import ModelError, UsageError
from archcalc.layers.layer import kind_of
from archcalc.model.sizes import full_shapes
from archcalc.model.walk import outline, walk
from archcalc.questions.closed_form import Derivation
from archcalc.questions.quantities import OPS, QUANTITIES
from archcalc.questions.symbols import replaced, symbols_of
from archcalc.views import formula as views
from tests.zoo import SLOWLY

H, W = sympy.symbols("H W", integer=True, positive=True)
NODE = shutil.which("node")
HEAD = "archcalc: 1\nname: m\ninputs: {image: [4, 40, 40]}\nlayers:\n"
SPECS = {
    "glu over the rows": HEAD + "- glu: 2\n- conv: {filters: 3, kernel: 3, stride: 2}\n",
    "pixel_unshuffle": HEAD + "- pixel_unshuffle: 4\n- max_pool: 3\n",
    "branches of two roundings": HEAD + "- concat:\n  - [max_pool: 2]\n  - [conv: {filters: 4, kernel: 3, stride: 2, padding: 1}]\n",
    "branches that agree": HEAD + "- concat:\n  - [max_pool: {kernel: 3, stride: 2, padding: 1}]\n  - [conv: {filters: 4, kernel: 3, stride: 2, padding: same}]\n",
    "branches of two and three": HEAD + "- residual: {layers: [max_pool: 6], shortcut: [max_pool: 2, max_pool: 3]}\n",
    "branches that meet late": HEAD + "- residual: {layers: [conv: {filters: 4, kernel: 5}], shortcut: [crop: 2]}\n",
    "same, three strides": HEAD + "- conv: {filters: 2, kernel: 3, stride: 2, padding: same}\n- max_pool: {kernel: 2, stride: 3, padding: same}\n- conv: {filters: 2, kernel: 5, stride: 2}\n",
    "ceil_mode": HEAD + "- max_pool: {kernel: 3, stride: 2, ceil_mode: true}\n- avg_pool: {kernel: 2, stride: 3, padding: 1, ceil_mode: true}\n",
    "there and back": HEAD + "- max_pool: 2\n- max_pool: 2\n- resize: 4\n- concat: {from: [resize1, image]}\n",
    "up by transposition": HEAD + "- conv: {filters: 4, kernel: 4, stride: 4}\n- conv_transpose: {filters: 4, kernel: 4, stride: 4}\n- add: {from: [conv_transpose1, image]}\n",
    "reflection": HEAD + "- pad: {amount: 7, mode: reflect}\n- max_pool: 5\n",
    "dilation": HEAD + "- conv: {filters: 2, kernel: 3, dilation: 4, stride: 3}\n",
    "thirds of thirds": HEAD.replace("40", "45") + "- max_pool: 3\n- resize: 2\n- max_pool: 3\n",
    "a fifth of thirds of thirds": HEAD.replace("40", "45") + "- max_pool: 3\n- resize: 2\n- max_pool: 3\n- pixel_unshuffle: 5\n",
    "an axis of fixed size": HEAD + "- resize: {size: 40}\n- add: {from: [resize1, image]}\n",
}  # fmt: skip


def value_of(report, of):
    """The same quantity of a report."""
    if of == "output":
        return report.output
    return getattr(report.totals.ops if of in OPS else report.totals, of)


def rows_of(report, layer, of):
    """A quantity of one layer or block of a report."""
    rows = [row for row in report.rows if row.name == layer or row.name.startswith(f"{layer}/")]
    assert rows
    return rows[-1].output if of == "output" else sum(getattr(row.ops if of in OPS else row, of) for row in rows)


def accepted(model, shapes):
    """Whether the network takes inputs of these shapes; asked of the network, not of its formulas."""
    with contextlib.suppress(ModelError):
        return walk(model, shapes, ask=outline)
    return None


def axes_of(model):
    """The letters that stand for sizes of axes."""
    return [symbol for symbol in symbols_of(model, model.settings) if symbol.usual]


def along(model, symbol, n):
    """The walk with one axis of this size and the others as the spec has them; None where it is refused."""
    return accepted(model, replaced(full_shapes(model.inputs, None, 1), [symbol], {symbol.name: n}))


def drawn(model, count, seed):
    """Sizes for every letter and the batch, small ones and odd ones among them, that the network takes."""
    random = np.random.default_rng(seed)
    axes = axes_of(model)
    own = {symbol.name: model.inputs[symbol.input].shape[symbol.position - 1] for symbol in axes}

    def taken(symbol, sizes):
        return next(n for n in map(int, sizes) if along(model, symbol, n) is not None)

    picked = [{symbol.name: taken(symbol, itertools.count(1)) for symbol in axes} | {"N": 1}]
    while len(picked) < count:
        sizes = {s.name: taken(s, random.integers(1, own[s.name] + 70, 1000)) for s in axes}
        picked.append(sizes | {"N": int(random.integers(2, 9))})
    return picked


def reported(model, sizes, **options):
    """The report at these values of the letters."""
    shapes = replaced(full_shapes(model.inputs, None, 1), axes_of(model), sizes)
    given = {name: shape[1:] for name, shape in shapes.items()}
    return model.report(given, batch=sizes.get("N", 1), **options)


# Formulas against literals


def test_resnet50_by_hand():
    form = load("zoo:resnet50").closed_form("macs")
    assert form.written("text") == (
        "9408·⌈H/2⌉·⌈W/2⌉ + 245760·⌈H/4⌉·⌈W/4⌉ + 1310720·⌈H/8⌉·⌈W/8⌉ + 7471104·⌈H/16⌉·⌈W/16⌉"
        " + 14417920·⌈H/32⌉·⌈W/32⌉ + 2048000"
    )
    assert form(H=224, W=224) == 4_089_184_256  # torchvision's
    even = load("zoo:resnet50").closed_form("macs", assume=["H % 32 == 0", "W % 32 == 0"])
    assert even.written("text") == "81456·H·W + 2048000"
    assert even(H=224, W=224) == 4_089_184_256
    square = load("zoo:resnet50").closed_form("macs", assume=["H % 32 == 0", "W == H"])
    assert square.written("text") in ("81456·H² + 2048000", "81456·W² + 2048000")


def test_the_width_sweep_of_exercise_i():
    form = load("zoo:exercise_i").closed_form("params", symbols=["a", "b"])
    assert form.written("text") == "25·a·b + 76·a + 251·b + 10"
    sweep = {(3, 8): 2_846, (6, 16): 6_882, (12, 32): 18_554, (24, 64): 56_298, (48, 128): 189_386, (96, 256): 685_962}
    assert {pair: form(a=pair[0], b=pair[1]) for pair in sweep} == sweep
    arrays = form.function(*np.array(list(sweep)).T)
    assert arrays[0].tolist() == list(sweep.values())


def test_digits_by_hand():
    model = load("zoo:digits")
    macs = model.closed_form("macs")
    assert macs.written("text") == "500·(H - 4)·(W - 4) + 3600·(⌊H/2⌋ - 4)·(⌊W/2⌋ - 4) + 5000·(⌊H/4⌋ - 6)·(⌊W/4⌋ - 6)"
    assert (macs(H=28, W=28), macs(H=1024, W=1024)) == (653_000, 1_761_730_400)
    assert model.closed_form("output")(H=1024, W=1024) == (1, 10, 250, 250)
    assert model.closed_form("flops", convention="2mac")(H=1024, W=1024) == 3_523_460_800
    assert model.closed_form("params").written("text") == "9150"


# Formulas against reports


@pytest.mark.parametrize("name", SLOWLY)
def test_every_quantity_of_every_model_is_its_reports(name):
    model = load(f"zoo:{name}")
    letters = [*(symbol.name for symbol in axes_of(model)), "N"]
    derivation = Derivation(model, letters)
    points = drawn(model, 5, seed=len(name))
    reports = [reported(model, point) for point in points]
    for of in QUANTITIES:
        form = derivation.form(of)
        for point, report in zip(points, reports, strict=True):
            assert form(**point) == value_of(report, of), (of, point)


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "exercise_e",
        "exercise_k",
        "exercise_m",
        "lenet5",
        "alexnet",
        "resnet18",
        "mobilenet_v2",
        "googlenet",
        "unet",
    ],
)
def test_assumptions_change_no_value(name):
    model = load(f"zoo:{name}")
    first = next(
        n
        for n in range(150 + len(name), 400)
        if accepted(model, replaced(full_shapes(model.inputs, None, 1), axes_of(model), {"H": n, "W": n}))
    )
    assumed = [f"H % 16 == {first % 16}", "W == H", f"H >= {first}"]
    derivation = Derivation(model, ["H", "W"], assumed)
    for of in ("output", "params", "macs", "flops", "output_bytes"):
        form = derivation.form(of)
        assert len({"H", "W"} & set(form.written("ascii"))) <= 1  # one letter stands for both
        for n in (first, first + 16, first + 48):
            assert form(H=n, W=n) == value_of(reported(model, {"H": n, "W": n}), of), (of, n)
    with pytest.raises(UsageError, match="holds where"):
        derivation.form("macs")(H=first + 1, W=first + 1)
    with pytest.raises(UsageError, match=r"W == H|H == W"):
        derivation.form("macs")(H=first, W=first + 16)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("digits", ["conv1", "max_pool1", "conv2", "max_pool2", "conv3"]),
        ("exercise_e", ["max_pool2", "flatten1", "dense1", "dense2"]),
        ("exercise_h", ["conv1", "conv2"]),
        ("googlenet", ["inception3a", "inception4e", "inception3a/concat1/branch2", "max_pool2"]),
        ("resnet18", ["conv1", "max_pool1"]),
        ("unet", ["down2", "up1", "up4/concat1", "bottom/conv1"]),
    ],
)
def test_layers_and_blocks(name, layers):
    model = load(f"zoo:{name}")
    derivation = Derivation(model)
    points = [{symbol.name: point[symbol.name] for symbol in axes_of(model)} for point in drawn(model, 3, seed=7)]
    reports = [reported(model, sizes) for sizes in points]
    for layer in layers:
        for of in ("output", "params", "macs", "add", "cmp", "output_bytes"):
            form = derivation.form(of, layer)
            for sizes, report in zip(points, reports, strict=True):
                assert form(**sizes) == rows_of(report, layer, of), (layer, of, sizes)


@pytest.mark.parametrize(
    ("name", "letters", "values"),
    [
        ("exercise_i", ["a", "b"], [(1, 1), (3, 8), (17, 5), (96, 256)]),
        ("exercise_i", ["a", "b", "H", "W"], [(3, 8, 32, 32), (5, 7, 41, 18), (96, 256, 33, 35)]),
        ("digits", ["width"], [(1,), (20,), (333,)]),
        ("digits", ["W", "width", "N"], [(28, 1, 1), (61, 20, 3)]),
        ("unet", ["classes"], [(1,), (19,)]),
    ],
)
def test_hyperparameters_are_letters_too(name, letters, values):
    model = load(f"zoo:{name}")
    derivation = Derivation(model, letters)
    for of in QUANTITIES:
        form = derivation.form(of)
        for numbers in values:
            point = dict(zip(letters, numbers, strict=True))
            again = model.with_settings({key: n for key, n in point.items() if key in model.settings})
            sizes = {symbol.name: model.inputs[symbol.input].shape[symbol.position - 1] for symbol in axes_of(model)}
            assert form(**point) == value_of(reported(again, sizes | point), of), (of, point)


def test_channels_are_a_letter_too():
    model = load("zoo:digits")
    form = model.closed_form("params", symbols=["C"])
    assert form.written("text") == "500·C + 8650"  # 20·(25·C + 1) + 3,620 + 5,010
    assert form(C=3) == model.report("3x28x28").totals.params == 10_150


def test_channels_through_the_command(capsys):
    assert main(["formula", "zoo:digits", "--of", "params,macs", "--symbols", "C,H"]) == 0
    assert "500·C + 8650" in capsys.readouterr().out


TWO = (
    HEAD.replace("40", "32")
    + "- conv: {name: stem, filters: 4, kernel: 3}\n- max_pool: {name: half, kernel: 2}\n- conv: {filters: 4, kernel: 3, padding: same}\noutputs: [stem, half]\n"
)


def test_every_output_has_its_formula(tmp_path, capsys):
    path = tmp_path / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    assert main(["formula", str(path), "--of", "output"]) == 0
    page = capsys.readouterr().out
    assert re.search(r"stem +1 × 4 × \(H - 2\) × \(W - 2\)\n", page)
    assert re.search(r"half +1 × 4 × \(⌊H/2⌋ - 1\) × \(⌊W/2⌋ - 1\)\n", page)


def test_a_program_of_several_outputs_can_give_each(tmp_path, capsys):
    path = tmp_path / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    assert main(["formula", str(path), "--of", "output", "--format", "python"]) == 0
    space = {}
    exec(capsys.readouterr().out, space)  # noqa: S102 - written by this library
    functions = [value for name, value in space.items() if callable(value)]
    assert sorted(function(32, 32) for function in functions) == [(1, 4, 15, 15), (1, 4, 30, 30)]


def test_dtype_convention_batch_and_fixed_sizes():
    model = load("zoo:digits")
    report = model.report("31x64", batch=3, dtype="int4", convention="exact")
    form = Derivation(model, ["H"], input="31x64", batch=3, dtype="int4", convention="exact")
    for of in QUANTITIES:
        assert form.form(of)(H=31) == value_of(report, of), of
    assert model.closed_form("macs", symbols=[])() == 653_000


# Conditions against trying every size


def fitted(model, name, upto, **options):
    """What the formula says of an axis, beside the sizes that the network takes when it is tried."""
    derivation = Derivation(model, **options)
    fits = derivation.fitting[name]
    symbol = next(symbol for symbol in derivation.symbols if symbol.name == name)
    walked = {n: accepted(model, derivation.along(derivation.alike(symbol), {})(n)) for n in range(1, upto)}
    return fits, walked, symbol.position - 2 if model.reads_as_image(symbol.input) else None


def loses(use, axis):
    """Is there a cell of the padded axis behind the last window, all windows laid down one by one?"""
    if "transpose" in kind_of(use.layer) or not use.xs or len(use.xs[0]) <= 2 + axis:
        return False
    windows = use.layer.windows(use.xs[0])
    if len(windows) <= axis or len(use.answers.y) <= 2 + axis:
        return False
    window, n, stops = windows[axis], use.xs[0][2 + axis], use.answers.y[2 + axis]
    reached = {stop * window.stride + cell for stop in range(stops) for cell in range(window.span)}
    return max(reached) + 1 < n + window.before + window.after


def check_fitting(model, name, upto, **options):
    fits, walked, axis = fitted(model, name, upto, **options)
    assert {n for n in walked if n in fits} == {n for n, uses in walked.items() if uses is not None}
    for n, uses in walked.items():
        if uses is not None and axis is not None and n not in fits.alone:
            assert fits.whole[n % fits.period] == (not any(loses(use, axis) for use in uses)), n
    return fits


@pytest.mark.parametrize(
    "name",
    [
        "digits",
        "exercise_e",
        "exercise_h",
        "lenet5",
        "exercise_m",
        "alexnet_2012",
        "resnet18",
        "vgg16",
        "googlenet",
        "unet",
    ],
)
def test_legal_sizes_of_the_zoo(name):
    model = load(f"zoo:{name}")
    for symbol in axes_of(model)[:1]:
        check_fitting(model, symbol.name, 270)


def test_legal_sizes_that_a_table_ends():
    """14 · 14 patches and a class token are all of the 197 positions at 224×224: 15 patches a side are too many."""
    model = load("zoo:vit_b_16")
    assert check_fitting(model, "H", 270).legal() == "16 ≤ H ≤ 239"
    form = model.closed_form("macs")
    assert form.conditions == ["legal sizes: 16 ≤ H ≤ 239, 16 ≤ W ≤ 239"]
    assert form(H=225, W=224) == model.report("225x224").totals.macs
    with pytest.raises(UsageError) as error:
        form(H=240, W=224)
    assert str(error.value) == "formula: holds where 16 ≤ H ≤ 239; got H = 240"
    assert load("zoo:gpt2").closed_form("macs").conditions == ["legal sizes: 1 ≤ L ≤ 1024"]


@pytest.mark.parametrize("name", SPECS)
def test_legal_sizes_of_specs(name):
    for letter in ("H", "W"):
        check_fitting(loads(SPECS[name]), letter, 130)


small = st.integers(1, 4)
pads = st.sampled_from(["0", "1", "same"])
LINES = {  # lines of a chain, by strategies of their numbers
    "conv: {{filters: 4, kernel: {}, stride: {}, padding: {}}}": (small, small, pads),
    "conv: {{filters: 8, kernel: 2, dilation: {}, padding: {}}}": (small, pads),
    "max_pool: {{kernel: {}, stride: {}, ceil_mode: {}}}": (
        st.integers(2, 3),
        small,
        st.sampled_from(["true", "false"]),
    ),
    "avg_pool: {{kernel: 3, stride: {}, padding: 1, ceil_mode: {}}}": (small, st.sampled_from(["true", "false"])),
    "conv_transpose: {{filters: 4, kernel: {}, stride: {}, padding: {}}}": (
        small,
        small,
        st.sampled_from(["0", "same"]),
    ),
    "resize: {}": (small,),
    "crop: {}": (small,),
    "pad: [[{}, 0], [0, 1]]": (small,),
    "pad: {{amount: {}, mode: reflect}}": (small,),
    "pixel_unshuffle: 2": (),
    "pixel_shuffle: 2": (),
    "glu: 2": (),
    "adaptive_avg_pool: [{}, 3]": (small,),
    "residual: {{layers: [max_pool: {0}], shortcut: [conv: {{filters: 4, kernel: {0}, stride: {0}}}]}}": (
        st.integers(2, 3),
    ),
    "concat: [[max_pool: 2], [avg_pool: {{kernel: {}, stride: 2, padding: 1}}]]": (st.integers(2, 3),),
}
lines = st.sampled_from(list(LINES)).flatmap(
    lambda line: st.tuples(*LINES[line]).map(lambda numbers: line.format(*numbers))
)


@settings(max_examples=60)
@given(st.lists(lines, min_size=1, max_size=4), st.integers(41, 60))
def test_chains_of_any_layers(chain, near):
    model = loads(HEAD + "".join(f"- {line}\n" for line in chain))
    given_ = accepted(model, full_shapes(model.inputs, None, 1))
    hypothesis.assume(given_ is not None)
    derivation = Derivation(model, ["H"])
    hypothesis.assume("H" in derivation.fitting and derivation.fitting["H"].period <= 48)
    check_fitting(model, "H", 100, symbols=["H"])
    forms = [derivation.form(of) for of in ("output", "macs", "macs_exact", "add", "cmp")]
    legal = [n for n in range(1, 100) if along(model, derivation.symbols[0], n) is not None]
    for n in {legal[0], min(legal, key=lambda n: abs(n - near)), legal[-1]}:
        report = reported(model, {"H": n, "W": 40})
        for form in forms:
            assert form(H=n) == value_of(report, form.of), (form.of, n)


def test_two_inputs_that_are_assumed_to_be_alike():
    text = "archcalc: 1\nname: m\ninputs: {left: [3, 32, 32], right: [3, 32, 32]}\nlayers:\n- add: {from: [left, right]}\n- max_pool: 2\n"
    alike = ["H_left == H_right", "W_left == W_right"]
    model = loads(text)
    for letter in ("H_left", "H_right"):
        check_fitting(model, letter, 40, assume=alike)
    form = model.closed_form("cmp", assume=alike)
    report = model.report({"left": "8x10", "right": "8x10"})
    assert form(H_left=8, H_right=8, W_left=10, W_right=10) == report.totals.ops.cmp == 3 * 4 * 5 * 3


def test_two_inputs_of_which_nothing_is_assumed_still_have_their_own_size():
    text = (
        "archcalc: 1\nname: m\ninputs: {left: [3, 32, 32], right: [3, 32, 32]}\nlayers:\n- add: {from: [left, right]}\n"
    )
    form = loads(text).closed_form("add")
    assert "no H_left" not in " ".join(form.conditions)


def test_conditions_in_words():
    digits = load("zoo:digits").closed_form("macs")
    assert digits.conditions == ["legal sizes: H ≥ 28, W ≥ 28", "exact fit: H % 4 == 0, W % 4 == 0"]
    unet = load("zoo:unet").closed_form("macs")
    assert unet.conditions[0] == "legal sizes: H % 16 == 12, H ≥ 188, W % 16 == 12, W ≥ 188"
    square = load("zoo:resnet50").closed_form("macs", assume=["H % 32 == 0", "W == H"], symbols=["H", "W", "N"])
    assert square.conditions[:2] == ["with: N = batch", "assumed: H % 32 == 0, W == H"]
    assert loads(SPECS["branches of two roundings"]).closed_form("macs").conditions[-1] == (
        "exact fit: at no size"
    )  # the pool wants even sizes, the padded convolution odd ones


def test_unet_takes_the_sizes_of_its_paper_and_no_others():
    model = load("zoo:unet")
    fits, walked, _ = fitted(model, "H", 330)
    tried = [n for n, uses in walked.items() if uses is not None]
    assert tried == [n for n in range(188, 330) if n % 16 == 12] == [n for n in range(1, 330) if n in fits]
    assert (fits.least, 572 in fits, 573 in fits) == (188, True, False)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"H": 27, "W": 28}, "formula: holds where H ≥ 28; got H = 27"),
        ({"H": 0, "W": 28}, "formula: must be at least 1 and at most 10**18; got 0"),
        ({"H": 28}, "formula: takes H, W; got H"),
        ({}, "formula: takes H, W; got nothing"),
    ],
    ids=str,
)
def test_sizes_that_a_formula_does_not_hold_for(sizes, text):
    with pytest.raises(UsageError) as caught:
        load("zoo:digits").closed_form("macs")(**sizes)
    assert str(caught.value) == text


def test_the_condition_that_a_size_breaks_is_named():
    form = load("zoo:exercise_f").closed_form("macs", assume=["H % 8 == 5", "H >= 7"])
    assert form(H=13, W=10) == 11 * 8 * 9
    with pytest.raises(UsageError) as caught:
        form(H=5, W=10)
    assert "H >= 7" in caught.value.rule


def test_the_simpler_formula_below_holds_where_it_says():
    page = str(load("zoo:digits").closed_form("macs"))
    simple = re.search(r"where H % 4 == 0 and W % 4 == 0\nMACs   (.*)\n", page)[1]
    assert simple == "3425·H·W/2 - 16700·H - 16700·W + 245600"
    for h, w in ((28, 28), (32, 40), (1024, 1024)):
        assert plain(simple, {"H": h, "W": w}) == load("zoo:digits").report(f"{h}x{w}").totals.macs


# What is written


def plain(text, values):
    """A formula in text or ASCII as arithmetic of fractions."""
    for mark, word in (("⌊", "floor("), ("⌋", ")"), ("⌈", "ceil("), ("⌉", ")"), ("·", "*"), ("^", "**")):
        text = text.replace(mark, word)
    text = re.sub(
        "[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: "**" + "".join(str("⁰¹²³⁴⁵⁶⁷⁸⁹".index(mark)) for mark in match[0]), text
    )
    text = re.sub(r"\b\d+\b", lambda match: f"F({match[0]})", text)
    space = {"F": Fraction, "floor": floor, "ceil": ceil, "max": max, "min": min, "__builtins__": {}}
    return eval(text, space | {name: Fraction(n) for name, n in values.items()})  # noqa: S307 - written by this library


def tex(text, values):
    """A formula in LaTeX as arithmetic of fractions: innermost braces first."""
    assert text.count("{") == text.count("}")
    assert text.count(r"\left") == text.count(r"\right")
    text = re.sub(r"\\mathit\{(\w+)\}", r"\1", text)
    for mark, word in ((r"\left\lfloor", "floor("), (r"\right\rfloor", ")"), (r"\left\lceil", "ceil("), (r"\right\rceil", ")"),
                       (r"\left", ""), (r"\right", ""), (r"\cdot", "*"), (r"\max", "max"), (r"\min", "min")):  # fmt: skip
        text = text.replace(mark, word)
    while "{" in text:
        shorter = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
        shorter = re.sub(r"\^\{([^{}]*)\}", r"**(\1)", shorter)
        assert shorter != text
        text = shorter
    return plain(text, values)


def in_node(scripts):
    """What each JavaScript expression gives, all in one run of node; integers as text."""
    if NODE is None:
        pytest.skip("node is not installed: nothing of JavaScript is checked")
    body = ",\n".join(scripts)
    code = f"const shown = (x) => Array.isArray(x) ? x.map(shown) : String(x);\nconsole.log(JSON.stringify(shown([{body}])));"
    done = subprocess.run([NODE, "-"], input=code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


leaves = st.sampled_from([("H",), ("W",)]) | st.integers(-9, 9).map(lambda n: ("n", n))
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(["+", "*", "max", "min"]), inner, inner)
        | st.tuples(st.just("//"), inner, st.integers(1, 9))
        | st.tuples(st.just("over"), inner, st.integers(1, 9))
        | st.tuples(st.just("**"), inner, st.integers(2, 3))
    ),
    max_leaves=6,
)


def both(tree, h, w):
    """The tree as an expression, and its value; a fraction by itself counts as whole only when it is."""
    head, *rest = tree
    if head == "n":
        return sympy.Integer(rest[0]), Fraction(rest[0])
    if head in ("H", "W"):
        return (H, Fraction(h)) if head == "H" else (W, Fraction(w))
    parts = [both(part, h, w) if isinstance(part, tuple) else (sympy.Integer(part), Fraction(part)) for part in rest]
    (a, x), (b, y) = parts
    made = {
        "+": lambda: (a + b, x + y),
        "*": lambda: (a * b, x * y),
        "max": lambda: (Largest(a, b), max(x, y)),
        "min": lambda: (-Largest(-a, -b), min(x, y)),
        "//": lambda: (FloorDiv(a, b), Fraction(x // y)),
        "over": lambda: (a * b / b, x),
        "**": lambda: (a**b, x**y),
    }
    return made[head]()


@given(trees, st.integers(1, 10**20), st.integers(1, 60))
def test_every_style_has_the_value(tree, h, w):
    expression, value = both(tree, h, w)
    values = {"H": h, "W": w}
    assert plain(written(expression, "text"), values) == value
    assert plain(written(expression, "ascii"), values) == value
    assert tex(written(expression, "latex"), values) == value
    assert written(expression, "ascii").isascii()
    assert eval(written(expression, "python"), {"max": max, "min": min} | values) == value  # noqa: S307
    assert compiled([expression], ["H", "W"])(h, w) == (value,)


@settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))  # each run starts node: no shrinking
@given(st.lists(trees, min_size=15, max_size=25), st.integers(1, 10**20), st.integers(1, 60))
def test_javascript_has_the_value(many, h, w):
    pairs = [both(tree, h, w) for tree in many]
    scripts = [f"((H, W) => {written(expression, 'js')})({h}n, {w}n)" for expression, _ in pairs]
    scripts[0] = (
        f"(() => {{ {views.JS_HELPERS} globalThis.floordiv = floordiv; globalThis.max = max; globalThis.min = min; return 0n; }})(), {scripts[0]}"
    )
    assert in_node(scripts)[1:] == [str(value) for _, value in pairs]


def test_a_power_with_a_minus_in_front_is_javascript():
    text = written(5 - H**2, "js")
    assert in_node([f"((H) => {text})(7n)"]) == ["-44"]


def test_negative_values_round_down_in_every_language():
    expression = FloorDiv(H - 40, 7)
    assert int(expression.subs(H, 1)) == -6  # −39/7 = −5.57…
    assert plain(written(expression), {"H": 1}) == -6
    assert eval(written(expression, "python"), {"H": 1}) == -6  # noqa: S307
    helpers = f"(() => {{ {views.JS_HELPERS} return ((H) => {written(expression, 'js')})(1n); }})()"
    assert in_node([helpers]) == ["-6"]


HUGE = {"H": 10**12 + 1, "W": 10**12 + 7}
PROGRAMS = {
    "digits": [{"H": 28, "W": 33}, {"H": 1024, "W": 1024}, HUGE],
    "resnet50": [{"H": 1, "W": 2}, {"H": 225, "W": 301}, HUGE],
    "unet": [{"H": 572, "W": 188}, {"H": 16 * 10**11 + 12, "W": 10**12 + 12}],
    "exercise_e": [{"H": 11, "W": 28}, {"H": 10**7 + 1, "W": 10**7 + 7}],
    "exercise_h": [{"L": 100}, {"L": 10**17 + 1}],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_give_the_values_of_reports(name):
    model = load(f"zoo:{name}")
    derivation = Derivation(model)
    forms = [derivation.form(of) for of in ("output", "params", "macs", "flops", "output_bytes", "macs_exact")]
    points = PROGRAMS[name]
    space = {"__builtins__": {"max": max, "min": min}}
    exec(views.program(forms, "python"), space)  # noqa: S102 - written by this library
    calls = []
    for point in points:
        report = reported(model, point)
        for form in forms:
            assert space[form.of](**point) == value_of(report, form.of) == form(**point), (form.of, point)
            given_ = ", ".join(f"{n}n" for n in point.values())
            calls.append((f"{form.of}({given_})", value_of(report, form.of)))
    script = f"(() => {{ {views.program(forms, 'js')}\nreturn [{', '.join(call for call, _ in calls)}]; }})()"
    expected = [[str(n) for n in value] if isinstance(value, tuple) else str(value) for _, value in calls]
    assert in_node([script]) == [expected]


def test_a_program_of_hyperparameters_whose_names_are_words_of_the_language():
    text = "archcalc: 1\nname: m\ninputs: {x: [8]}\nset: {lambda: 3, function: 5, var: 2}\nlayers: [dense: lambda, dense: function, dense: var]\n"
    model = loads(text)
    form = model.closed_form("params", symbols=["lambda", "function", "var"])
    # 9·3 + 4·5 + 6·2
    space = {}
    exec(views.program([form], "python"), space)  # noqa: S102
    assert space["params"](3, 5, 2) == 59 == model.report().totals.params
    assert in_node([f"(() => {{ {views.program([form], 'js')}\nreturn params(3, 5, 2); }})()"]) == ["59"]


@pytest.mark.parametrize("style", STYLES)
def test_every_model_in_every_language(style):
    for name in ("digits", "resnet18", "googlenet", "exercise_a", "unet"):
        derivation = Derivation(load(f"zoo:{name}"))
        for of in ("output", "macs"):
            text = derivation.form(of).written(style)
            assert text
            assert style in ("text", "latex", "mathml") or text.isascii()
            assert text.count("{") == text.count("}")
            assert text.count("(") == text.count(")")
            if style == "mathml":
                ElementTree.fromstring(f"<math>{text}</math>")  # noqa: S314 - of our own making


def test_forms_show_themselves():
    form = load("zoo:exercise_f").closed_form("macs")
    assert form.written("text") == "9·(H - 2)·(W - 2)"
    assert repr(form) == "<ClosedForm macs of exercise_f: 9·(H - 2)·(W - 2)>"
    assert form._repr_latex_() == (
        r"$\begin{array}{l} \displaystyle \text{MACs} = 9 \cdot \left(H - 2\right) \cdot \left(W - 2\right) \\ "
        r"\text{legal sizes: H }\ge \text{ 3, W }\ge \text{ 3} \\ \text{exact fit: every legal H, every legal W} \end{array}$"
    )
    assert str(form) == (
        "exercise_f: image 1×1×H×W, float32\n\nMACs   9·(H - 2)·(W - 2)\n\n"
        "legal sizes   H ≥ 3, W ≥ 3\nexact fit     every legal H, every legal W (no cell left over at the end,\n              padding included)"
    )
    assert sympy.expand(form.expression - 9 * (H - 2) * (W - 2)) == 0


@pytest.mark.parametrize(
    "name", ["digits", "exercise_a", "exercise_e", "resnet18", "unet", "mobilenet_v2", "googlenet", "vgg16"]
)
def test_the_page_keeps_its_width(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["formula", f"zoo:{name}", "--of", "output,macs,add,cmp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 80] == []


# Functions of arrays


@given(trees, st.lists(st.integers(1, 2**40), min_size=1, max_size=5), st.integers(1, 2**40))
def test_arrays_never_wrap(tree, heights, width):
    function = compiled([both(tree, 1, 1)[0]], ["H", "W"])
    expected = [both(tree, h, width)[1] for h in heights]
    (found,) = function(np.array(heights), np.full(len(heights), width))
    assert np.broadcast_to(found, len(heights)).tolist() == expected


@given(st.integers(1, 2**33), st.integers(1, 2**33), st.integers(1, 10**6))
def test_products_at_the_edge_of_64_bits(h, w, factor):
    function = compiled([factor * H * W - H, factor * FloorDiv(H * W, 7)], ["H", "W"])
    first, second = function(np.array([h, 1]), np.array([w, 1]))
    assert first.tolist() == [factor * h * w - h, factor - 1]
    assert second.tolist() == [factor * (h * w // 7), 0]
    assert factor * h * w + h > 2**63 - 1 or first.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, np.uint64, object])
def test_arrays_of_every_integer_dtype(dtype):
    (found,) = compiled([81456 * H * W - 300 * H], ["H", "W"])(
        np.array([200, 255], dtype=dtype), np.array([100, 251], dtype=dtype)
    )
    assert found.tolist() == [81456 * 200 * 100 - 300 * 200, 81456 * 255 * 251 - 300 * 255]


def test_a_power_of_a_difference_is_bounded_by_its_parts():
    far = 10**10
    (found,) = compiled([(H - far) ** 2], ["H"])(np.array([1, far]))
    assert found.tolist() == [(far - 1) ** 2, 0]


def test_numbers_beyond_64_bits_are_exact():
    form = load("zoo:resnet50").closed_form("macs", assume=["H % 32 == 0", "W % 32 == 0"])
    n = 32 * 10**12
    (found,) = form.function(np.array([n, 32]), np.array([n, 32]))
    assert found.dtype == object
    assert found.tolist() == [81456 * n * n + 2048000, 81456 * 1024 + 2048000]
    (small,) = form.function(np.array([224]), 224)
    assert (small.dtype, small.tolist()) == (np.int64, [4_089_184_256])
    (empty,) = form.function(np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    assert empty.shape == (0,)
    assert form.function(n, n) == (81456 * n * n + 2048000,)


# Assumptions

domains = st.builds(
    lambda modulus, rest, least, most: Domain(modulus, rest % modulus, least, most),
    st.integers(1, 12), st.integers(0, 11), st.integers(1, 30), st.none() | st.integers(1, 60),
)  # fmt: skip
REACH = range(1, 400)  # 60 and twice the largest period


def members(domain):
    return {n for n in REACH if domain is not None and n in domain}


@given(domains, domains)
def test_two_domains_are_one(a, b):
    found = a.and_(b)
    assert members(found) == members(a) & members(b)
    assert (found is None) == (not members(a) & members(b))
    assert found is None or found.first == min(members(found))


@given(domains)
def test_what_is_said_of_a_domain_is_that_domain(domain):
    said = " and ".join(domain.said("n")) or "True"
    assert members(domain) in ({n for n in REACH if eval(said, {"n": n})}, set())  # noqa: S307


texts = st.sampled_from([
    "H % 4 == 0", "H % 4 == 1", "H % 6 == 3", "H >= 9", "H > 9", "H <= 30", "H < 31", "7 <= H", "H == 21", "3 < H < 50", "W == H", "H == W",
    "W % 5 == 1", "W >= 2*8", "W < 2**5",
])  # fmt: skip


SIDE = range(1, 130)  # twice the common period of the rests above, and their ends


@cache
def holds(text):
    """Where a comparison is true, for every H and W."""
    return np.array([[eval(text, {"H": h, "W": w}) for w in SIDE] for h in SIDE])  # noqa: S307


@given(st.lists(texts, max_size=4))
def test_assumptions_mean_what_they_say(assumed):
    true = np.logical_and.reduce([holds("True"), *map(holds, assumed)])
    try:
        found = assume(assumed, ["H", "W"])
    except UsageError:
        assert not true.any()
        return
    of_h, of_w = ([n in found.domain(name) for n in SIDE] for name in ("H", "W"))
    held = np.outer(of_h, of_w) & (holds("H == W") if found.equal else True)
    assert (held == true).all()


# Messages


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder with model.yaml in it; the exit code and what went to stderr."""
    monkeypatch.chdir(tmp_path)

    def run(arguments, text=""):
        (tmp_path / "model.yaml").write_text(text, encoding="utf-8")
        code = main(arguments)
        out, err = capsys.readouterr()
        assert code == 0 or out == ""
        return code, err

    return run


FORM = "must compare a symbol with a number, such as H % 32 == 0, H == W or H >= 64"
KNOWN_OF = ", ".join(QUANTITIES)
MISTAKES = {
    ("zoo:digits", "--assume", "H % 4 == 1", "--assume", "H % 4 == 2"): (
        2, '--assume: must be possible together; got "H % 4 == 2" with "H % 4 == 1"'
    ),
    ("zoo:digits", "--assume", "H >= 64", "--assume", "H < 64"): (
        2, '--assume: must be possible together; got "H < 64" with "H >= 64"'
    ),
    ("zoo:digits", "--assume", "W == H", "--assume", "H == 32", "--assume", "W == 36"): (
        2, '--assume: must be possible together; got "W == 36" with "W == H", "H == 32"'
    ),
    ("zoo:digits", "--assume", "64 <= H < 64"): (2, '--assume: must be possible together; got "64 <= H < 64" with itself'),
    ("zoo:digits", "--assume", "h >= 64"): (2, "--assume: must speak of symbols of the formula; got h\n  known: H, W"),
    ("zoo:digits", "--assume", "Q >= 64"): (2, "--assume: must speak of symbols of the formula; got Q\n  known: H, W"),
    ("zoo:digits", "--assume", "N == 1"): (2, "--assume: must speak of symbols of the formula; got N\n  known: H, W"),
    ("zoo:digits", "--assume", "H == 32.5"): (
        2, f"--assume: {FORM}; got 'H == 32.5'\n  may hold only integers, names, + - * / // % ** and min max ceil floor"
    ),
    ("zoo:digits", "--assume", "H >= 65/2"): (2, f"--assume: {FORM}; got 'H >= 65/2'\n  must come out whole"),
    ("zoo:digits", "--assume", "H % 32"): (2, f"--assume: {FORM}; got 'H % 32'"),
    ("zoo:digits", "--assume", "H != 32"): (2, f"--assume: {FORM}; got 'H != 32'"),
    ("zoo:digits", "--assume", "2*H == 64"): (2, f"--assume: {FORM}; got '2*H == 64'"),
    ("zoo:digits", "--assume", "H = 64"): (2, f"--assume: {FORM}; got 'H = 64'\n  write == for equality"),
    ("zoo:digits", "--assume", ""): (2, f"--assume: {FORM}; got ''"),
    ("zoo:digits", "--assume", "64 == 64"): (2, f"--assume: {FORM}; got '64 == 64'"),
    ("zoo:digits", "--assume", "H % 32 == 32"): (
        2, "--assume: a rest must be == a number from 0 to below the divisor; got 'H % 32 == 32'"
    ),
    ("zoo:digits", "--assume", "H % 0 == 0"): (
        2, "--assume: a rest must be == a number from 0 to below the divisor; got 'H % 0 == 0'"
    ),
    ("zoo:digits", "--assume", "H < 1"): (2, "--assume: must leave a size of at least 1; got 'H < 1'"),
    ("zoo:digits", "--assume", "H <= 20"): (
        2, "--assume: must leave a size that the model accepts; got H <= 20\n  it accepts H ≥ 28"
    ),
    ("zoo:unet", "--assume", "H % 32 == 0"): (
        2, "--assume: must leave a size that the model accepts; got H % 32 == 0\n  it accepts H % 16 == 12, H ≥ 188"
    ),
    ("zoo:digits", "--of", "mac"): (2, "--of: must be quantities of the report; got 'mac'\n  did you mean macs?"),
    ("zoo:digits", "--of", "joules"): (2, f"--of: must be quantities of the report; got 'joules'\n  known: {KNOWN_OF}"),
    ("zoo:digits", "--layer", "conv4"): (2, "--layer: must name a layer or block of the model; got conv4\n  did you mean conv3?"),
    ("zoo:digits", "--symbols", "H,,W"): (2, "--symbols: must be names separated by commas; got 'H,,W'"),
    ("zoo:digits", "--symbols", "widht"): (
        2, "--symbols: must be letters of the model's sizes or its hyperparameters; got widht\n  did you mean width?"
    ),
    ("zoo:digits", "--symbols", "Q"): (
        2, "--symbols: must be letters of the model's sizes or its hyperparameters; got Q\n  known: C (axis 1 of input image),"
        " H (axis 2 of input image), W (axis 3 of input image), N (batch), width (hyperparameter width)"
    ),
    ("zoo:digits", "--input", "9x9"): (
        3, "Conv: a window spanning 3 must fit its axis; got an axis of 2 padded by (0, 0)\n"
        '  at layers[2] "conv2" in zoo/digits.yaml:10:5, input 1×20×2×2: this model needs at least --input 28x28'
    ),
    ("zoo:digit",): (3, "zoo: has no such model; got digit\n  did you mean digits?"),
    ("zoo:digits", "-o", "no/such/file"): (2, "-o: must be a file that can be written; got no/such/file: No such file or directory"),
}  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes(ask, arguments):
    code, text = MISTAKES[arguments]
    assert ask(["formula", *arguments]) == (code, f"archcalc: {text}\n")


SET = "archcalc: 1\nname: m\ninputs: {{image: [3, 32, 32]}}\nset: {}\nlayers:\n- {}\n"
MODEL_MISTAKES = {
    ("{w: 3}", "conv: {name: w, filters: 4, kernel: w}", "w"): (
        2, "--symbols: must not be the name of a layer; got w\n  rename the layer"
    ),
    ("{H: 3}", "conv: {filters: H, kernel: 3}", "H"): (
        2, "--symbols: must mean one thing; got H: axis 2 of input image and hyperparameter H\n  rename the hyperparameter"
    ),
    ("{N: 3}", "conv: {filters: N, kernel: 3}", "N"): (
        2, "--symbols: must mean one thing; got N: batch and hyperparameter N\n  rename the hyperparameter"
    ),
    ("{b: true}", "conv: {filters: 4, kernel: 3, bias: b}", "b"): (
        3, "Conv: bias must be true or false; got b\n  at layers[0] in model.yaml:6:39"
    ),
    ("{n: 3}", "repeat: {times: n, layers: [relu]}", "n"): (
        3, "repeat: times must be a number: it decides which layers there are; got n\n  at layers[0] in model.yaml:6:3"
    ),
    ("{w: 4}", "dense: w/2", "w"): (
        3, "Dense: units must come out whole for every w; got w/2\n  at layers[0] in model.yaml:6:10: use // or ceil( ), or assume that it is"
    ),
}  # fmt: skip


@pytest.mark.parametrize("given_", MODEL_MISTAKES, ids=str)
def test_letters_that_do_not_work(ask, given_):
    settings_, layer, letters = given_
    code, text = MODEL_MISTAKES[given_]
    asked = ["formula", "model.yaml", "--symbols", letters, "--of", "params"]
    assert ask(asked, SET.format(settings_, layer)) == (code, f"archcalc: {text}\n")


def test_what_comes_out_whole_only_under_an_assumption(ask, capsys):
    spec = SET.format("{w: 4}", "dense: w/2")
    assert (
        ask(
            ["formula", "model.yaml", "--symbols", "w", "--of", "params", "--assume", "w % 2 == 0", "-o", "out.txt"],
            spec,
        )[0]
        == 0
    )
    assert capsys.readouterr().out == ""
    form = loads(spec).closed_form("params", symbols=["w"], assume=["w % 2 == 0"])
    assert [form(w=w) for w in (2, 4, 10)] == [33, 66, 165]  # w/2 units of 32 weights and a bias, over rows of 32


def test_output_goes_to_a_file(ask, tmp_path):
    for style, ends in (("json", "json"), ("js", "js"), ("latex", "tex"), ("text", "txt")):
        assert ask(["formula", "zoo:digits", "--of", "params", "--format", style, "-o", f"out.{ends}"]) == (0, "")
        assert "9150" in (tmp_path / f"out.{ends}").read_text(encoding="utf-8")
    assert ask(["formula", "model.yaml", "-o", "model.yaml"], HEAD + "- relu\n") == (
        2, "archcalc: -o: must not be the model itself; got model.yaml\n"
    )  # fmt: skip
    assert (tmp_path / "model.yaml").read_text() == HEAD + "- relu\n"


def test_json(capsys):
    assert main(["formula", "zoo:digits", "--of", "macs,output", "--format", "json", "--assume", "H >= 64"]) == 0
    macs, output = json.loads(capsys.readouterr().out)
    assert macs["schema_version"] == 1
    assert (macs["model"], macs["of"], macs["layer"], macs["status"]) == ("digits", "macs", None, "complete")
    assert macs["symbols"] == {"H": "axis 2 of input image", "W": "axis 3 of input image"}
    assert macs["inputs"] == {"image": [1, 1, "H", "W"]}
    assert macs["conditions"][0] == "assumed: H >= 64"
    assert eval(macs["python"], {"H": 1024, "W": 1024}) == 1_761_730_400  # noqa: S307
    assert eval(output["python"], {"H": 1024, "W": 1024}) == (1, 10, 250, 250)  # noqa: S307
    assert set(STYLES) <= set(macs)
    assert main(["formula", "zoo:digits", "--of", "params", "--json", "--layer", "conv1"]) == 0
    single = json.loads(capsys.readouterr().out)
    assert (single["layer"], single["text"]) == ("conv1", "520")


def test_one_formula_a_line_and_programs_on_the_command_line(capsys):
    assert main(["formula", "zoo:exercise_f", "--of", "macs", "--format", "ascii"]) == 0
    assert capsys.readouterr().out == "9*(H - 2)*(W - 2)\n"
    assert main(["formula", "zoo:exercise_f", "--of", "output,output_bytes", "--format", "latex"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        r"\mathrm{output} = 1 \times 1 \times (H - 2) \times (W - 2)",
        r"\mathrm{output\_bytes} = 4 \cdot \left(H - 2\right) \cdot \left(W - 2\right)",
    ]
    assert main(["formula", "zoo:exercise_f", "--of", "macs,params", "--format", "python"]) == 0
    space = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(capsys.readouterr().out, space)  # noqa: S102
    assert (space["macs"](10, 10), space["params"](10, 10)) == (576, 10)
