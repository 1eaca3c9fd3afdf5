"""Networks made of others: the numbers of the exercises, equality in PyTorch, what is refused, and the specs that are written."""

import json
import random
from itertools import product

import pytest
import torch

import archcalc
from archcalc import Input, Model, load, loads
from archcalc.cli.main import main
from archcalc.crosscheck.facts import randomised
from archcalc.dialects.yaml_write import changed, flow, rewritten, same, scalar, written
from archcalc.errors import ModelError
from archcalc.questions.convolutional import sliding
from tests.zoo import SLOWLY


def of(lines, inputs="{x: [3, 33, 29]}", more=""):
    return loads(f"archcalc: 1\nname: net\ninputs: {inputs}\n{more}layers:\n{lines}")


def totals(made):
    return [report.totals.params for report in made.reports]


def built(made):
    """Both networks in float64, the second with the weights carried over."""
    torch.manual_seed(1)
    before = randomised(archcalc.torch.build(made.before)).double().eval()
    for module in before.modules():
        for name, tensor in module.named_parameters(recurse=False):
            if name == "weight" and tensor.dim() > 1:
                tensor.data /= tensor[0].numel() ** 0.5 / 2
    after = archcalc.torch.build(made.after).double().eval()
    after.load_state_dict(archcalc.torch.carry(made, before.state_dict()))
    return before, after


def apart(made, size=None, flat=False):
    """How far both are from each other on a random input, relative to the output."""
    before, after = built(made)
    xs = [torch.rand((2, *(size or item.shape)), dtype=torch.float64) * 4 - 2 for item in made.before.inputs.values()]
    with torch.no_grad():
        left, right = before(*xs), after(*xs)
    right = right.reshape(left.shape) if flat else right
    assert left.shape == right.shape
    return float((left - right).abs().max() / left.abs().max())


def refused(ask):
    with pytest.raises(ModelError) as caught:
        ask()
    return str(caught.value)


# Exercise J: one affine map


def test_four_convolutions_are_one_of_27_776_parameters():
    made = load("zoo:exercise_j_four_convs").collapsed()
    assert [node.name for node in made.after.nodes] == ["conv1", "flatten1", "dense1"]
    assert made.after.nodes[0].layer == archcalc.layers.Conv(filters=32, kernel=17)
    assert made.after.report().rows[0].params == 17 * 17 * 3 * 32 + 32 == 27_776
    assert totals(made) == [121_718, 27_776 + 81_930]
    assert made.notes == ("conv1, conv2, conv3 and conv4 are conv1: parameters 39,788 → 27,776",)
    assert apart(made) < 1e-9


@pytest.mark.parametrize("name", ["exercise_j", "exercise_j_avg_pool", "exercise_j_four_convs"])
def test_the_whole_network_is_one_dense_layer_of_30_730_parameters(name):
    made = load(f"zoo:{name}").collapsed("dense")
    assert [node.layer.kind for node in made.after.nodes] == ["flatten", "dense"]
    assert totals(made)[1] == 3_072 * 10 + 10 == 30_730
    assert apart(made) < 1e-9


def test_average_pools_go_into_the_convolution():
    made = load("zoo:exercise_j_avg_pool").collapsed()
    assert made.after.nodes[0].layer == archcalc.layers.Conv(filters=32, kernel=16, stride=4)
    assert apart(made) < 1e-9


COLLAPSED = {
    "odd sizes, strides, dilation, groups": (
        "- conv: {filters: 4, kernel: 3, stride: 2, padding: [[1, 2], [0, 1]]}\n- conv: {filters: 6, kernel: 2, groups: 2, dilation: 2}\n"
        "- avg_pool: {kernel: 2, stride: 1}\n- dropout: 0.3\n- conv: {filters: 2, kernel: [1, 3], stride: [1, 2], bias: false}\n",
        ["conv"],
    ),
    "batch norm first": ("- batch_norm\n- conv: {filters: 4, kernel: 3}\n", ["conv"]),
    "depthwise and separable": (
        "- depthwise_conv: {kernel: 3, multiplier: 2}\n- separable_conv: {filters: 4, kernel: 3}\n- batch_norm: {affine: false}\n",
        ["conv"],
    ),
    "padding apart": ("- conv: {filters: 4, kernel: 3, padding: same}\n- conv: {filters: 4, kernel: 3, padding: same}\n- conv: {filters: 4, kernel: 3}\n",
        ["conv", "conv"]),
    "no bias": ("- conv: {filters: 4, kernel: 3, bias: false}\n- conv: {filters: 4, kernel: 3, bias: false}\n", ["conv"]),
    "around a branch": ("- conv: {filters: 3, kernel: 1}\n- conv: {filters: 3, kernel: 1}\n- residual: [conv: {filters: 3, kernel: 1}, conv: {filters: 3, kernel: 1}, relu]\n- avg_pool: 2\n- conv: {filters: 3, kernel: 1}\n",
        ["conv", "conv", "relu", "add", "conv"]),
}  # fmt: skip


@pytest.mark.parametrize("what", COLLAPSED)
def test_collapsed_chains_compute_the_same_at_every_size(what):
    lines, kinds = COLLAPSED[what]
    made = of(lines).collapsed()
    assert [node.layer.kind for node in made.after.nodes] == kinds
    for size in ((3, 33, 29), (3, 20, 41), (3, 17, 18)):
        assert apart(made, size) < 1e-9


LINES = (
    "conv: {filters: 4, kernel: 3}", "conv: {filters: 4, kernel: [2, 3], stride: [1, 2]}", "avg_pool: {kernel: 2, stride: 1}",
    "conv: {filters: 4, kernel: 2, dilation: 2, bias: false}", "batch_norm", "dropout", "conv: {filters: 4, kernel: 3, padding: 1}",
    "depthwise_conv: {kernel: 2}", "relu", "avg_pool: {kernel: 2, padding: 1}", "conv: {filters: 4, kernel: 1, groups: 2}",
    "conv: {filters: 4, kernel: 3, stride: 2, padding: same}", "avg_pool: {kernel: 3, stride: 2, padding: 1, count_include_pad: false}",
    "avg_pool: {kernel: 3, stride: 2, ceil_mode: true}", "identity",
)  # fmt: skip


@pytest.mark.parametrize(("seed", "to"), list(product(range(25), ["conv", "dense"])))
def test_random_chains_collapse_to_the_same(seed, to):
    dice = random.Random(seed)  # noqa: S311 - lines, no secrets
    lines = "".join(f"- {dice.choice(LINES)}\n" for _ in range(dice.randint(2, 6)))
    ends = (
        "- flatten\n- dense: 5\n- dropout\n- dense: {units: 3, bias: false}\n",
        "- global_avg_pool\n- flatten\n- dense: 4\n",
    )
    if to == "dense":
        lines += dice.choice(ends)
    model = of(lines, "{x: [4, 23, 27]}")
    try:
        made = model.collapsed(to)
    except ModelError as error:
        assert "needs" in str(error)
        return
    assert len(made.after.nodes) < len(model.nodes)
    assert apart(made) < 1e-9
    if to == "conv":
        assert apart(made, (4, 30, 34)) < 1e-9


def test_a_chain_at_another_size_collapses_for_that_size():
    model = of(
        "- conv: {filters: 4, kernel: 3, padding: same}\n- batch_norm\n- avg_pool: 2\n- conv: {filters: 4, kernel: 3}\n- flatten\n- dense: 5\n"
    )
    for made in (model.collapsed(input=(21, 40)), model.collapsed("dense", input=(21, 40))):
        assert made.before.inputs == made.after.inputs
        assert apart(made) < 1e-9
    assert made.after.report().totals.params == 5 * (3 * 21 * 40 + 1)


def test_what_cannot_collapse_says_why():
    assert refused(load("zoo:exercise_i").collapsed) == (
        "collapsed: needs two affine layers in a row, one of them a convolution; got relu1 computes max(x, 0)\n"
        '  at layers[1] "relu1" in zoo/exercise_i.yaml:9:5'
    )
    padded = of("- conv: {filters: 4, kernel: 3}\n- conv: {filters: 4, kernel: 3, padding: 1}\n")
    assert refused(padded.collapsed) == (
        "collapsed: needs two affine layers in a row, one of them a convolution; "
        "got conv2 pads its input with zeros, where one convolution would see what lies beyond\n"
        '  at layers[1] "conv2" in spec:6:3'
    )
    sized = of("- conv: {filters: 4, kernel: 3, stride: 2, padding: same}\n- conv: {filters: 4, kernel: 3}\n")
    assert "got the padding of conv1 depends on the input's size" in refused(sized.collapsed)
    assert refused(lambda: of("- relu\n- flatten\n- dense: 3\n").collapsed("dense")) == (
        'dense: needs an affine layer before the dense one; got relu1 computes max(x, 0)\n  at layers[0] "relu1" in spec:5:3'
    )
    assert "dense: needs a dense layer at the end of the chain; got none" in refused(
        lambda: of("- relu\n").collapsed("dense")
    )


def test_a_transform_shows_itself():
    made = load("zoo:exercise_j_four_convs").collapsed()
    assert str(made).split("\n")[1] == "parameters 121,718 → 109,706, MACs 13,254,720 → 7,184,384"
    assert repr(made) == "<Transform collapsed of exercise_j_four_convs>"
    assert "27,776" in made._repr_html_()


# Exercise P: dense to convolution


@pytest.mark.parametrize(
    "name",
    [
        "exercise_b",
        "exercise_e",
        "exercise_i",
        "exercise_k",
        "exercise_o",
        "lenet5",
        "exercise_j",
        "exercise_j_avg_pool",
    ],
)
def test_dense_heads_become_convolutions_with_the_same_outputs(name):
    made = load(f"zoo:{name}").fully_convolutional()
    assert totals(made)[0] == totals(made)[1]
    assert made.reports[1].output == (*made.reports[0].output, 1, 1)
    assert apart(made, flat=True) < 1e-9


def test_the_lowest_dense_layer_takes_its_inputs_size_and_the_others_one():
    made = load("zoo:exercise_e").fully_convolutional()
    assert [(n.name, n.layer.kernel, n.layer.filters) for n in made.after.nodes if n.layer.kind == "conv"][2:] == [
        ("dense1", 5, 128), ("dense2", 1, 10),
    ]  # fmt: skip
    oblong = of("- flatten\n- dense: 4\n", "{x: [2, 5, 3]}").fully_convolutional()
    assert oblong.after.nodes[0].layer.kernel == (5, 3)


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_each_cell_of_the_map_is_the_original_on_its_window(by):
    made = load("zoo:exercise_e").fully_convolutional()
    assert made.equal.endswith("on a larger image each cell of the map is the original on its own window")
    before, after = built(made)
    image = torch.rand((1, 1, 28 + 4 * 2, 28 + 4 * 2), dtype=torch.float64)
    with torch.no_grad():
        found = after(image)
        row, column = (4 * cells for cells in by)
        window = before(image[:, :, row : row + 28, column : column + 28])
    assert found.shape == (1, 10, 3, 3)
    torch.testing.assert_close(found[:, :, by[0], by[1]], window, rtol=1e-9, atol=1e-12)


def test_sliding_the_original_costs_more():
    made = load("zoo:exercise_e").fully_convolutional()
    beside = sliding(made, (128, 156))
    assert beside.windows == ((128 - 28) // 4 + 1, (156 - 28) // 4 + 1) == (26, 33)
    assert beside.window_macs == 1_413_504
    assert beside.sliding_macs == 26 * 33 * 1_413_504
    assert beside.convolutional_macs == made.after.report(input=(128, 156)).totals.macs
    assert made.after.report(input=(128, 156)).output == (1, 10, 26, 33)
    assert (
        refused(lambda: sliding(made, (27, 40)))
        == "sliding: needs an image at least as large as the original; got 27×40"
    )


HEADS = {
    "global_avg_pool\n- flatten\n- dense: 5\n- softmax": "(33, 29)",
    "{global_max_pool: {keep_axes: false}}\n- dense: 5": "",
    "adaptive_avg_pool: [3, 29]\n- flatten\n- dropout\n- dense: 5\n- batch_norm\n- relu\n- dense: 4\n- log_softmax: 1": "",
    "flatten\n- relu\n- dense: 6\n- layer_norm\n- glu: -1\n- dense: 4\n- rms_norm: 1": "",
    "flatten\n- dense: 6\n- residual: [relu, dense: 6]\n- concat: [[dense: 3], [prelu: true]]\n- dense: 2": "",
    "flatten\n- dense: {units: 6, trainable: false}\n- flatten\n- dense: 2": "",
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_of_all_sorts(head):
    made = of(f"- conv: {{filters: 4, kernel: 3, padding: 1}}\n- {head}\n").fully_convolutional()
    assert apart(made, flat=True) < 1e-9
    larger = made.after.report(input=(40, 37)).output
    assert len(larger) == 4
    assert larger[2:] != (1, 1)


def test_a_head_at_another_size():
    made = load("zoo:exercise_e").fully_convolutional(input=(40, 36))
    assert made.after.inputs["image"].shape == (1, 40, 36)
    assert apart(made, flat=True) < 1e-9


def test_what_cannot_be_fully_convolutional_says_why():
    assert refused(load("zoo:exercise_a").fully_convolutional) == (
        "fully-convolutional: a dense layer must read a flattened image, or what comes of one; got values of shape 1×784\n"
        '  at layers[1] "dense1" in zoo/exercise_a.yaml:8:5'
    )
    assert refused(load("zoo:digits").fully_convolutional) == (
        "fully-convolutional: needs a dense layer that reads a flattened image; got no dense layer"
    )
    assert refused(of("- flatten\n- softmax\n- dense: 3\n").fully_convolutional) == (
        "fully-convolutional: between flatten and dense only functions of single values can stand; got softmax\n"
        '  at layers[1] "softmax1" in spec:6:3'
    )
    assert refused(of("- adaptive_avg_pool: 7\n- flatten\n- dense: 3\n").fully_convolutional) == (
        "fully-convolutional: a pool onto a fixed size must have equal windows; got 33×29 cells onto 7×7\n"
        '  at layers[0] "adaptive_avg_pool1" in spec:5:3'
    )
    assert refused(of("- flatten\n- dense: 6\n- reshape: [2, 3]\n").fully_convolutional) == (
        "fully-convolutional: behind a dense layer only layers can stand that a map has too; got reshape\n"
        '  at layers[2] "reshape1" in spec:7:3'
    )


# Batch norms


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", (3, 65, 49)), ("xception", (3, 71, 77)), ("googlenet", (3, 65, 49))]
)
def test_batch_norms_fold_away(name, size):
    model = load(f"zoo:{name}")
    made = model.folded()
    assert not any(node.layer.kind == "batch_norm" for node in made.after.nodes)
    assert made.reports[1].totals.buffers == 0
    assert apart(made, size) < 1e-9


@pytest.mark.parametrize(
    "line",
    ["conv: {filters: 6, kernel: 3, groups: 3, bias: false}", "conv_transpose: {filters: 6, kernel: 3, stride: 2, groups: 3}",
     "depthwise_conv: {kernel: 3, padding: same, multiplier: 2}", "separable_conv: {filters: 4, kernel: 3, dilation: 2}",
     "conv_transpose: {filters: 4, kernel: 2, bias: false}"],
)  # fmt: skip
@pytest.mark.parametrize("norm", ["batch_norm", "batch_norm: {affine: false}", "batch_norm: {epsilon: 0.1}"])
def test_a_batch_norm_folds_into_every_linear_kind(line, norm):
    made = of(f"- {line}\n- {norm}\n").folded()
    assert len(made.after.nodes) == 1
    assert apart(made) < 1e-9


def test_a_batch_norm_folds_into_a_dense_layer():
    assert apart(of("- dense: 4\n- batch_norm\n", "{x: 7}").folded()) < 1e-9


def test_batch_norms_that_stay_say_why():
    made = load("zoo:densenet121").folded()
    assert (
        made.notes[0]
        == "dense_block1/dense_layer1/batch_norm1 stays: it reads max_pool1, which is no convolution or dense layer"
    )
    assert apart(made, (3, 65, 49)) < 1e-9
    reasons = {
        "- conv: {name: a, filters: 3, kernel: 1}\n- batch_norm\n- add: {from: [a, batch_norm1]}\n": "a is read by other layers too",
        "- conv: {filters: 3, kernel: 1}\n- batch_norm: {running: false}\n": "it normalises by the batch itself, not by running statistics",
        "- conv: {filters: 3, kernel: 1}\n- batch_norm: {trainable: false}\n": "only one of it and conv1 is trainable",
        "- conv: {filters: 3, kernel: 1}\n- batch_norm: {name: b}\n- conv: {filters: 3, kernel: 1, shared_with: conv1}\n":
            "its tensors, or those of what it reads, are shared",
    }  # fmt: skip
    for lines, reason in reasons.items():
        assert (
            f"folded: a batch norm must follow a convolution or dense layer; got {reason}\n  at layers[1]"
            in refused(of(lines).folded)
        )
    assert refused(of("- relu\n").folded) == "folded: needs a batch norm; got none"


# Separable convolutions


def test_separable_says_what_it_saves_and_that_it_is_another_network():
    made = load("zoo:exercise_i").separable()
    assert made.equal == ""
    assert made.notes == (
        "conv1: parameters 912 → 123, MACs 705,600 → 87,024",
        "conv2: parameters 9,632 → 716, MACs 960,000 → 68,400",
    )
    assert totals(made) == [18_554, 18_554 - 789 - 8_916]
    assert (
        refused(lambda: made.weights({}))
        == "separable: is another network: no weights of the old one make it equal\n  train it anew"
    )
    left = (
        of("- conv: {filters: 1, kernel: 3}\n- conv: {filters: 8, kernel: 3}\n- conv: {filters: 4, kernel: 1}\n")
        .separable()
        .notes
    )
    assert left[1:] == ("conv1 stays: it would take 30 weights instead of 27", "conv3 stays: its kernel is 1 already")
    assert refused(of("- conv: {filters: 4, kernel: 1}\n").separable) == (
        'separable: needs a convolution with a kernel above 1 and one group; got its kernel is 1 already\n  at layers[0] "conv1" in spec:5:3'
    )


# Specs that are written


@pytest.mark.parametrize("name", SLOWLY)
def test_a_spec_in_one_style_is_the_same_model(name):
    model = load(f"zoo:{name}")
    again = loads(rewritten(model), name)
    assert same(model, again)
    assert (again.name, again.about, again.source, again.expect) == (
        model.name,
        model.about,
        model.source,
        model.expect,
    )
    assert again.settings == model.settings
    assert rewritten(again) == rewritten(model)


@pytest.mark.parametrize("name", SLOWLY)
def test_a_flat_list_is_the_same_model_but_for_levels_of_names(name):
    model = load(f"zoo:{name}")
    again = loads(written(model), name)
    assert same(model, again, flat=True)
    assert [row.macs for row in again.report().rows] == [row.macs for row in model.report().rows]


@pytest.mark.parametrize("to", ["fully_convolutional", "collapsed", "folded", "separable"])
@pytest.mark.parametrize("name", SLOWLY)
def test_what_is_written_of_a_transform_reads_back(name, to):
    try:
        made = getattr(load(f"zoo:{name}"), to)()
    except ModelError:
        return
    text = changed(made.before, made.after, "made")
    again = loads(text, "made")
    assert same(again, made.after) or same(made.after, again, flat=True)
    mine, theirs = (model.report() for model in (again, made.after))
    columns = ("kind", "output", "params", "macs", "buffers")
    assert [[getattr(row, c) for c in columns] for row in mine.rows] == [
        [getattr(row, c) for c in columns] for row in theirs.rows
    ]
    assert again.expect["params"] == theirs.totals.params


def test_blocks_and_repeats_stay_where_every_use_changes_alike():
    made = load("zoo:resnet50").folded()
    text = changed(made.before, made.after, "folded")
    assert same(loads(text, "folded"), made.after)
    assert "            - conv: {filters: width, kernel: 3, stride: stride, padding: 1}\n            - relu\n" in text
    assert text.count("\n") < 45


def test_settings_that_were_given_are_written():
    model = load("zoo:digits", {"width": 7})
    assert "set: {width: 7}\n" in rewritten(model)
    assert loads(rewritten(model)).settings == {"width": 7}


def test_models_made_in_code_are_written_too():
    model = Model.chain(
        "own", {"x": Input((2, 9, 9), channels_last=True)}, [archcalc.layers.Conv(filters=3, kernel=(3, 1))]
    )
    assert written(model) == (
        "archcalc: 1\nname: own\ninputs: {x: {shape: [9, 9, 2], channels_last: true}}\nlayers:\n  - conv: {filters: 3, kernel: [3, 1]}\n"
        "expect: {params: 21, macs: 1134, output: [1, 3, 7, 9]}"
    )
    assert same(loads(written(model)), model)


@pytest.mark.parametrize("text", ["no", "1e3", "a: b", "a, b", "[a", "#a", "x #y", "-", "", " a", "true", "say \"it\"", "a\\b", "null", "*a", "&b", "é×"])  # fmt: skip
def test_text_is_quoted_where_it_would_be_read_as_something_else(text):
    from archcalc.dialects.yaml_text import read

    assert read(f"[{scalar(text)}]", "value", []).data[0].data == text
    assert read(f"- {scalar(text, alone=True)}", "value", []).data[0].data == text
    assert flow({"a": [1, {"b": True}], "c": None}) == "{a: [1, b: true], c: null}"


# The command


def test_convert_writes_the_spec_with_remarks(tmp_path, capsys):
    target = tmp_path / "one.yaml"
    assert main(["convert", "zoo:exercise_j_four_convs", "--to", "collapsed", "-o", str(target)]) == 0
    text = target.read_text()
    assert text.startswith(
        "# exercise_j_four_convs, collapsed: computes the same at every input size, at inference\n# parameters 121,718 → 109,706,"
    )
    assert main(["check", str(target)]) == 0
    assert capsys.readouterr().out.endswith("3 of 3 hold\n")
    assert [file.name for file in tmp_path.iterdir()] == ["one.yaml"]


def test_convert_never_writes_over_the_model_and_leaves_no_half_files(tmp_path, capsys):
    spec = tmp_path / "net.yaml"
    spec.write_text("archcalc: 1\ninputs: {x: [3, 9, 9]}\nlayers:\n- relu\n")
    before = spec.read_text()
    assert main(["convert", str(spec), "-o", str(spec)]) == 2
    assert capsys.readouterr().err == f"archcalc: -o: must not be the model itself; got {spec}\n"
    assert main(["convert", str(spec), "--to", "folded", "-o", str(tmp_path / "new.yaml")]) == 3
    assert capsys.readouterr().err == "archcalc: folded: needs a batch norm; got none\n"
    assert main(["convert", str(spec), "-o", str(tmp_path / "none" / "new.yaml")]) == 2
    assert spec.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["net.yaml"]


def test_convert_refuses_options_that_do_not_go_together(capsys):
    wrong = {
        ("--at", "64x64"): "--at: goes with --to fully-convolutional; got --to nothing",
        ("--json",): "convert: without --to takes no --input, --json or --weights; got one of them",
        (
            "--to",
            "folded",
            "--weights",
            "a.pt",
        ): "--weights: goes with --weights-to, the file for the new ones; got one of them",
        (
            "--to",
            "folded",
            "--weights",
            "a.pt",
            "--weights-to",
            "a.pt",
        ): "--weights-to: must be a file of its own; got a.pt",
    }
    for options, message in wrong.items():
        assert main(["convert", "zoo:exercise_e", *options]) == 2
        assert capsys.readouterr().err == f"archcalc: {message}\n"


def test_convert_as_json(capsys):
    assert main(["convert", "zoo:exercise_e", "--to", "fully-convolutional", "--at", "64x64", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["before"] == {"params": 113_386, "buffers": 0, "macs": 1_413_504} == data["after"]
    assert data["sliding"]["windows"] == [10, 10]
    assert data["sliding"]["sliding_macs"] == 141_350_400
    assert loads(data["spec"]).report().totals.params == 113_386


def test_convert_carries_weights(tmp_path, capsys):
    old, new, spec = tmp_path / "old.pt", tmp_path / "new.pt", tmp_path / "made.yaml"
    network = archcalc.torch.build(load("zoo:exercise_e")).double().eval()
    torch.save(network.state_dict(), old)
    options = [
        "convert",
        "zoo:exercise_e",
        "--to",
        "fully-convolutional",
        "--weights",
        str(old),
        "--weights-to",
        str(new),
        "-o",
        str(spec),
    ]
    assert main(options) == 0
    made = archcalc.torch.build(load(spec)).double().eval()
    made.load_state_dict(torch.load(new, weights_only=True))
    x = torch.rand((1, 1, 28, 28), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(made(x).flatten(1), network(x), rtol=1e-9, atol=1e-12)
    old.write_bytes(b"no tensors")
    assert main(options) == 3
    assert capsys.readouterr().err.startswith(f"archcalc: --weights: must be a file of tensors; got {old}: ")
    torch.save({"a": torch.zeros(1)}, old)
    assert main(options) == 3
    assert (
        capsys.readouterr().err
        == "archcalc: torch: the state_dict must be of the model that was changed; got none named conv1.weight\n"
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["made.yaml", "new.pt", "old.pt"]
