"""The spec language: what each form means, seen in the names, wiring and numbers that it gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archcalc import loads
from archcalc.algebra.expression import evaluate
from archcalc.dialects.yaml_text import read
from archcalc.errors import ModelError


def model(layers, inputs="{x: [4, 8, 8]}", more=""):
    return loads(f"archcalc: 1\ninputs: {inputs}\n{more}layers:\n{layers}")


def wiring(model):
    return {node.name: list(node.inputs) for node in model.nodes}


def names(model):
    return [row.name for row in model.report().rows]


def test_each_line_reads_the_one_above_and_is_named_by_kind_and_number():
    spec = model(
        "- conv: {filters: 4, kernel: 3}\n- relu\n- conv: {filters: 4, kernel: 3}\n- relu: {name: last}\n- relu6\n"
    )
    assert wiring(spec) == {
        "conv1": ["x"],
        "relu1": ["conv1"],
        "conv2": ["relu1"],
        "last": ["conv2"],
        "relu6_1": ["last"],
    }


def test_made_names_keep_clear_of_given_ones():
    spec = model("- relu\n- relu: {name: relu1}\n- relu: {from: relu1}\n")
    assert wiring(spec) == {"relu2": ["x"], "relu1": ["relu2"], "relu3": ["relu1"]}


def test_from_names_one_or_several_earlier_layers():
    spec = model("- relu: {name: a}\n- tanh: {name: b, from: x}\n- add: {from: [a, b]}\n- concat: {from: [a, b, x]}\n")
    assert wiring(spec) == {"a": ["x"], "b": ["x"], "add1": ["a", "b"], "concat1": ["a", "b", "x"]}
    assert spec.report().output == (1, 12, 8, 8)


def test_an_unnamed_residual_adds_no_level_and_its_shortcut_does():
    spec = model(
        "- residual:\n    layers: [{conv: {filters: 4, kernel: 1}}, relu]\n    shortcut: [{conv: {filters: 4, kernel: 1}}]\n"
    )
    assert wiring(spec) == {
        "conv1": ["x"], "relu1": ["conv1"], "shortcut/conv1": ["x"], "add1": ["relu1", "shortcut/conv1"],
    }  # fmt: skip


def test_a_named_residual_is_a_level_and_its_sum_goes_by_its_name():
    spec = model("- residual: {name: unit, layers: [relu]}\n- tanh: {from: unit}\n- tanh: {from: unit/relu1}\n")
    assert wiring(spec) == {
        "unit/relu1": ["x"],
        "unit": ["unit/relu1", "x"],
        "tanh1": ["unit"],
        "tanh2": ["unit/relu1"],
    }


def test_a_plain_list_is_the_body_of_a_residual():
    assert wiring(model("- residual: [relu, tanh]\n")) == {"relu1": ["x"], "tanh1": ["relu1"], "add1": ["tanh1", "x"]}


def test_two_residuals_in_one_scope_have_shortcuts_of_their_own():
    spec = model("- residual: {layers: [relu], shortcut: [tanh]}\n- residual: {layers: [relu], shortcut: [tanh]}\n")
    assert names(spec) == ["relu1", "shortcut/tanh1", "add1", "relu2", "shortcut2/tanh1", "add2"]


def test_branches_are_joined_on_channels_and_an_empty_one_hands_its_input_on():
    spec = model("- concat: [[], [conv: {filters: 6, kernel: 1}], [relu, tanh]]\n")
    assert wiring(spec) == {
        "concat1/branch2/conv1": ["x"], "concat1/branch3/relu1": ["x"], "concat1/branch3/tanh1": ["concat1/branch3/relu1"],
        "concat1": ["x", "concat1/branch2/conv1", "concat1/branch3/tanh1"],
    }  # fmt: skip
    assert spec.report().output == (1, 14, 8, 8)


def test_any_joining_kind_may_hold_branches():
    squeeze_excite = "- multiply: [[], [global_avg_pool, {conv: {filters: 2, kernel: 1}}, relu, {conv: {filters: 4, kernel: 1}}, sigmoid]]\n"
    report = model(squeeze_excite).report()
    assert report.output == (1, 4, 8, 8)
    assert report.totals.params == 4 * 2 + 2 + 2 * 4 + 4
    named = model("- concat: {name: join, axis: 2, branches: [[relu], [tanh]]}\n- relu: {from: join}\n")
    assert named.report().output == (1, 4, 16, 8)


def test_repeat_goes_on_counting_and_numbers_given_names():
    spec = model("- repeat: {times: 2, layers: [relu, {tanh: {name: t}}, {add: {from: [t, x]}}]}\n- relu: {from: t}\n")
    assert wiring(spec) == {
        "relu1": ["x"], "t1": ["relu1"], "add1": ["t1", "x"],
        "relu2": ["add1"], "t2": ["relu2"], "add2": ["t2", "x"], "relu3": ["t2"],
    }  # fmt: skip


def test_a_named_repeat_is_a_level():
    spec = model("- repeat: {name: stage, times: 2, layers: [relu]}\n- add: {from: [stage, stage/relu1]}\n")
    assert wiring(spec) == {
        "stage/relu1": ["x"],
        "stage/relu2": ["stage/relu1"],
        "add1": ["stage/relu2", "stage/relu1"],
    }


def test_repeats_inside_repeats():
    spec = model("- repeat: {times: 2, layers: [{repeat: {times: 2, layers: [{relu: {name: r}}]}}]}\n")
    assert names(spec) == ["r1_1", "r1_2", "r2_1", "r2_2"]


def test_repeat_none_is_a_condition():
    assert names(model("- relu\n- repeat: {times: 0, layers: [tanh]}\n- sigmoid\n")) == ["relu1", "sigmoid1"]


BLOCKS = """
blocks:
  unit:
    args: {width: null, kernel: 3, rule: same}
    layers:
      - conv: {filters: 2*width, kernel: kernel, padding: rule}
      - add: {from: [conv1, input]}
  merge:
    inputs: [low, skip]
    layers:
      - concat: {from: [low, skip]}
"""


def test_a_block_is_a_level_with_arguments_and_sees_its_inputs_only():
    spec = model("- unit: {width: 2, name: first}\n- unit: 2\n- merge: {from: [first, x]}\n", more=BLOCKS)
    assert wiring(spec) == {
        "first/conv1": ["x"], "first/add1": ["first/conv1", "x"],
        "unit1/conv1": ["first/add1"], "unit1/add1": ["unit1/conv1", "first/add1"], "merge1/concat1": ["first/add1", "x"],
    }  # fmt: skip
    with pytest.raises(ModelError, match="from: must name an input or an earlier layer; got x"):
        model("- u\n", more="blocks:\n  u:\n    layers: [{relu: {from: x}}]\n")


def test_words_pass_through_arguments_of_blocks():
    outer = (
        BLOCKS
        + "  outer:\n    args: {rule: valid}\n    layers:\n      - conv: {filters: 4, kernel: 3, padding: rule}\n"
    )
    assert model("- outer\n", more=outer).report().output == (1, 4, 6, 6)
    assert model("- outer: same\n", more=outer).report().output == (1, 4, 8, 8)


def test_hyperparameters_and_expressions():
    text = "archcalc: 1\ninputs: {x: [3, 2*n, n]}\nset: {n: 4, w: 'max(2*n, 5)', flag: true}\nlayers:\n- conv: {filters: w + 1, kernel: n // 2, bias: flag}\n"
    assert loads(text).report().output == (1, 9, 7, 3)
    assert loads(text, settings={"n": 6}).report().output == (1, 13, 10, 4)
    assert loads(text, settings={"flag": False}).report().totals.params == 9 * 3 * 4


@given(st.integers(-9, 9), st.integers(1, 9), st.integers(0, 4))
def test_expressions_are_integer_arithmetic(a, b, power):
    names = {"a": a, "b": b}
    assert evaluate("a*b - (a + b)//b % 5", names) == a * b - (a + b) // b % 5
    assert evaluate("b ** p", names | {"p": power}) == b**power
    assert evaluate("ceil(a / b) - floor(a / b)", names) == -(-a // b) - a // b
    assert evaluate("min(a, b, 3) + max(a, -b)", names) == min(a, b, 3) + max(a, -b)


def test_channels_last_inputs_are_turned():
    per_input = model("- relu\n", inputs="{x: {shape: [8, 9, 3], channels_last: true}}")
    everywhere = model("- relu\n", inputs="{x: [8, 9, 3]}", more="channels_last: true\n")
    assert per_input.report().output == everywhere.report().output == (1, 3, 8, 9)


def test_several_inputs_and_outputs():
    spec = model(
        "- conv: {name: c, from: a, filters: 2, kernel: 3}\n- add: {name: s, from: [c, b]}\n",
        inputs="{a: [1, 8, 8], b: [2, 6, 6]}", more="outputs: [s, c]\n",
    )  # fmt: skip
    report = spec.report(input={"a": (10, 10), "b": "8x8"})
    assert report.outputs == {"s": (1, 2, 8, 8), "c": (1, 2, 8, 8)}
    assert report.inputs == {"a": (1, 1, 10, 10), "b": (1, 2, 8, 8)}


def test_token_inputs_keep_their_dtype_until_they_are_embedded():
    text = "- identity\n- embedding: {vocabulary: 100, width: 16}\n- dense: 4\n"
    rows = model(text, inputs="{tokens: {shape: [128], dtype: int64}}").report(dtype="float16").rows
    assert [row.output_bytes for row in rows] == [128 * 8, 128 * 16 * 2, 128 * 4 * 2]


def test_frozen_layers_are_parameters_that_do_not_train():
    text = "- dense: {units: 2, trainable: false}\n- dense: 3\n"
    totals = model(text, inputs="{x: [4]}").report().totals
    assert (totals.params, totals.trainable_params) == (10 + 9, 9)
    block = "blocks:\n  b:\n    layers: [{dense: 2}, {dense: 2}]\n"
    frozen = model("- b: {trainable: false}\n- b\n", inputs="{x: [2]}", more=block).report().totals
    assert (frozen.params, frozen.trainable_params) == (24, 12)


def test_tied_tensors_count_once_in_parameters_and_each_time_in_macs():
    text = "- embedding: {vocabulary: 100, width: 16}\n- dense: {units: 100, bias: false, shared_with: embedding1}\n"
    report = model(text, inputs="{tokens: {shape: [8], dtype: int64}}").report()
    assert [row.params for row in report.rows] == [1600, 0]
    assert report.rows[1].shared_with == "embedding1"
    assert (report.totals.params, report.totals.macs) == (1600, 8 * 16 * 100)
    assert report.to_dict()["rows"][1]["shared_with"] == "embedding1"
    assert "shared_with" not in report.to_dict()["rows"][0]
    biased = model(text.replace("bias: false, ", ""), inputs="{tokens: {shape: [8], dtype: int64}}").report()
    assert biased.rows[1].params == 100  # the bias is its own


def test_a_bare_name_a_scalar_and_fields():
    assert (
        model("- max_pool: 2\n").report().output == model("- max_pool: {kernel: 2}\n").report().output == (1, 4, 4, 4)
    )
    assert model("- pad: [[1, 0], [0, 2]]\n").report().output == (1, 4, 9, 10)
    assert model("- softmax: 1\n").report().output == (1, 4, 8, 8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("true", True), ("False", False), ("1e3", 1000.0), ("012", 12),
        ("3:4", "3:4"), ("0x10", 16), ("0o17", 15), ("1_000", "1_000"), ("~", None), ("null", None), ("", None),
        (".5", 0.5), ("-7", -7), ("'12'", "12"), ("2001-01-01", "2001-01-01"), ("<<", "<<"),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(text, value):
    read_value = read(f"key: {text}\n", "f", []).plain["key"]
    assert read_value == value
    assert type(read_value) is type(value)


def test_numbers_mean_what_their_author_meant():
    assert model("- dense: 1e3\n", inputs="{x: [012]}").report().totals.params == 13_000


def test_a_byte_order_mark_and_a_comment_are_no_trouble(tmp_path):
    from archcalc import load

    path = tmp_path / "m.yaml"
    path.write_text("﻿# a comment\narchcalc: 1\ninputs: {x: [4]}\nlayers: [relu]\n", encoding="utf-8")
    assert load(str(path)).name == "m"


def test_a_join_of_branches_keeps_its_made_name_inside_a_repeat():
    spec = model("- repeat: {times: 2, layers: [{concat: [[relu], []]}]}\n")
    assert names(spec) == ["concat1/branch1/relu1", "concat1", "concat2/branch1/relu1", "concat2"]


def test_lists_are_welcome_in_python():
    from archcalc import Model, layers

    made = Model.chain("m", {"x": (3, 8, 9)}, [layers.Conv(filters=2, kernel=[3, 2], padding=[[1, 0], [0, 1]])])
    assert made.report().output == (1, 2, 7, 9)
    assert made.nodes[0].layer.padding == ((1, 0), (0, 1))
