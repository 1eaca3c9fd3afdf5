"""The report as data: the file format, sizes as users give them, what is said about them, and reports of Python models."""

import json

import pytest

from archcalc import Input, Model, layers, load, loads
from archcalc.dialects.yaml import zoo_names
from archcalc.errors import UsageError
from archcalc.model.graph import Node

DESIGNED = {  # the format that others script against, with the real numbers of the digits network at 1024×1024
    "schema_version": 1, "tool": "archcalc 0.1.0", "model": "digits", "inputs": {"image": [1, 1, 1024, 1024]},
    "dtype": "float32", "convention": "archcalc", "status": "complete", "notes": [],
    "totals": {
        "params": 9150, "trainable_params": 9150, "buffers": 0, "macs": 1761730400, "macs_exact": 1761730400,
        "ops": {"mul": 1761730400, "add": 1761730400, "cmp": 19476960, "div": 0, "exp": 0},
        "flops": 3542937760, "output_bytes": 132346400, "weight_bytes": 36600, "buffer_bytes": 0,
    },
}  # fmt: skip
FIRST_ROW = {
    "name": "conv1", "kind": "conv", "inputs": ["image"], "output": [1, 20, 1020, 1020], "params": 520,
    "trainable_params": 520, "buffers": 0, "weights": {"weight": [20, 1, 5, 5], "bias": [20]}, "macs": 520200000,
    "macs_exact": 520200000, "ops": {"mul": 520200000, "add": 520200000, "cmp": 0, "div": 0, "exp": 0},
    "flops": 1040400000, "output_bytes": 83232000,
}  # fmt: skip


def test_the_format_is_the_designed_one_with_keys_in_order():
    data = load("zoo:digits").report("1024x1024").to_dict()
    rows = data.pop("rows")
    assert data == DESIGNED
    assert list(data) == list(DESIGNED)
    assert rows[0] == FIRST_ROW
    assert list(rows[0]) == list(FIRST_ROW)
    assert len(rows) == 5
    assert json.loads(json.dumps(data)) == data


def test_integers_stay_exact_beyond_every_machine_word():
    totals = load("zoo:digits").report((10**9, 10**9), batch=10**6).totals
    side = 10**9 - 4
    first = 10**6 * side * side * 20 * 25
    pooled = side // 2 - 2
    second = 10**6 * pooled * pooled * 20 * 180
    third = 10**6 * (pooled // 2 - 4) ** 2 * 10 * 500
    assert totals.macs == first + second + third > 2**64


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (None, (1, 1, 28, 28)), ("40x50", (1, 1, 40, 50)), ((40, 50), (1, 1, 40, 50)), ([1, 40, 50], (1, 1, 40, 50)),
        ("1x40x50", (1, 1, 40, 50)), ({"image": "40x50"}, (1, 1, 40, 50)),
    ],
)  # fmt: skip
def test_sizes(given, shape):
    assert load("zoo:digits").report(given).inputs == {"image": shape}


def test_a_vector_is_one_number():
    assert load("zoo:exercise_a").report("784").totals.params == 178_110


def test_a_dense_layer_behind_a_flatten_changes_its_weights_and_says_so():
    model = load("zoo:exercise_e")
    report = model.report("32x32")
    assert report.status == "complete"
    assert report.notes == (
        "dense1: weight is 128×1152 at this input size, 128×800 at the spec's;"
        " weights trained at the spec's size would not fit",
    )
    assert report.totals.params == 113_386 + 128 * (1152 - 800)
    assert model.report("28x28").notes == model.report(batch=4).notes == load("zoo:digits").report("99x99").notes == ()


def test_a_dense_layer_straight_behind_a_map_says_what_it_works_on():
    text = "archcalc: 1\ninputs: {x: [3, %s]}\nlayers: [conv: {filters: 16, kernel: 3}, %s dense: 10]\n"
    report = loads(text % ("32, 32", "global_avg_pool,")).report()
    assert (report.output, report.status) == ((1, 16, 1, 10), "complete")
    assert report.notes == (
        "dense1: works on the last axis alone, the width of 1×16×1×1; put flatten before it to make it read all",
    )
    assert (
        loads(text % ("32, 32", "max_pool: 2, relu,"))
        .report()
        .notes[0]
        .startswith("dense1: works on the last axis alone, the width of 1×16×15×15;")
    )
    assert (
        loads(text % ("32", ""))
        .report()
        .notes[0]
        .startswith("dense1: works on the last axis alone, the length of 1×16×30;")
    )
    for between in ("flatten,", "global_avg_pool, flatten,", "flatten: 2, permute: [0, 2, 1],"):
        assert loads(text % ("32, 32", between)).report().notes == ()


@pytest.mark.parametrize("name", zoo_names())
def test_no_network_of_the_zoo_has_that_note(name):
    assert not [note for note in load(f"zoo:{name}").report().notes if "works on the last axis" in note]


def test_what_nobody_uses_is_said():
    text = "archcalc: 1\ninputs: {x: [4], y: [3]}\nlayers: [{relu: {from: x}}, {tanh: {from: x}}]\nblocks: {b: {layers: [cnv]}}\n"
    assert loads(text).report().notes == (
        "block b: no line uses it; its lines were not read",
        "y: nothing reads it, and it is not an output of the model",
        "relu1: nothing reads it, and it is not an output of the model",
    )


def test_only_images_have_channels_to_move():
    text = "archcalc: 1\ninputs: {t: {shape: [8], dtype: int64}}\nlayers: [{embedding: {vocabulary: 9, width: 4}}, layer_norm, {dense: 2}]\n"
    report = loads(text).report()
    assert report.images == frozenset()
    assert load("zoo:digits").report().images == {"image", "conv1", "max_pool1", "conv2", "max_pool2", "conv3"}
    assert load("zoo:exercise_h").report().images == {"conv1", "conv2", *load("zoo:exercise_h").inputs}


def test_folded_rows_read_folded_rows():
    report = load("zoo:resnet18").report(depth=1)
    names = {row.name for row in report.rows} | set(report.inputs)
    assert all(set(row.inputs) <= names for row in report.rows)


def test_dtype_and_batch_scale_bytes():
    model = load("zoo:exercise_m")
    assert [row.output_bytes for row in model.report().rows] == [6_000_000, 3_000_000, 1_520_000]
    assert model.report().totals.weight_bytes == 3_613_600
    assert model.report(dtype="bfloat16").totals.output_bytes * 2 == model.report().totals.output_bytes
    assert model.report(batch=50).totals.output_bytes == 50 * 10_520_000
    assert load("zoo:exercise_n").report(batch=100).totals.output_bytes == 1_200_000_000


def test_a_partial_model_says_so_everywhere():
    nodes = (
        Node("conv", layers.Conv(filters=2, kernel=3), ("x",)),
        Node("odd", layers.Unknown(operator="aten::fft", output=(1, 2, 6, 6)), ("conv",)),
    )
    report = Model("part", {"x": Input((1, 8, 8))}, nodes, ("odd",)).report()
    assert report.status == "partial"
    assert report.notes == ("not counted: aten::fft, 1 use (odd)",)
    assert "≥ 648" in str(report)
    assert "status   partial" in str(report)
    assert report.rows[1].kind == "Unknown"


def test_layers_in_a_row_in_python():
    model = Model.chain("own", {"image": (1, 28, 28)}, [layers.Conv(filters=20, kernel=5), layers.MaxPool(kernel=2)])
    assert [row.name for row in model.report().rows] == ["conv1", "max_pool1"]
    assert repr(model) == "<Model own: image 1×28×28, 2 layers>"
    assert repr(model.report()) == "<Report of own: 520 params, 288,000 MACs, complete>"


def test_a_user_registers_a_kind_of_their_own():
    from archcalc.algebra.ops import Ops
    from archcalc.layers import KINDS, Layer, Weight, register

    try:

        @register("learned_scale", example="learned_scale", on=[(1, 4, 8, 8)])
        class Scale(Layer, frozen=True):
            """Multiply every channel by a learned number."""

            def out(self, *xs):
                return xs[0]

            def weights(self, *xs):
                return {"weight": Weight((xs[0][1],))}

            def ops(self, xs, y):
                return Ops(mul=y[0] * y[1] * y[2] * y[3])

        from archcalc import loads

        totals = loads("archcalc: 1\ninputs: {x: [4, 8, 8]}\nlayers: [learned_scale, learned_scale]\n").report().totals
        assert (totals.params, totals.ops.mul) == (8, 512)
        with pytest.raises(TypeError, match="registered already"):
            register("learned_scale", example="learned_scale", on=[(1, 4)])(Scale)
        with pytest.raises(TypeError, match="never counts as zero in silence"):
            register("silent", example="silent", on=[(1, 4)])(type("Silent", (Layer,), {}, frozen=True))
    finally:
        KINDS.pop("learned_scale", None)


def test_composites_fold_to_the_layer_of_the_spec():
    model = Model.chain(
        "c", {"x": (4, 8, 8)}, [layers.SeparableConv(filters=2, kernel=3), layers.DepthwiseConv(kernel=3)]
    )
    assert [(row.name, row.kind) for row in model.report().rows] == [
        ("separable_conv1/depthwise", "conv"), ("separable_conv1/pointwise", "conv"), ("depthwise_conv1", "depthwise_conv"),
    ]  # fmt: skip
    assert [(row.name, row.kind) for row in model.report(depth=1).rows] == [
        ("separable_conv1", "separable_conv"), ("depthwise_conv1", "depthwise_conv"),
    ]  # fmt: skip
    assert model.report(depth=1).rows[0].weights == {
        "depthwise.weight": (4, 1, 3, 3), "pointwise.weight": (2, 4, 1, 1), "pointwise.bias": (2,),
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [{"dtype": "float31"}, {"convention": "mcas"}, {"depth": 0}, {"batch": 0}, {"input": "28,28x"}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(UsageError):
        load("zoo:digits").report(**wrong)


def test_notebooks_get_escaped_html():
    nodes = (Node("<b>", layers.Dropout("dropout"), ("x",)),)
    html = Model("<script>", {"x": Input((4,))}, nodes, ("<b>",)).report()._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
