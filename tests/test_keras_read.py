"""Keras configs as models: wiring, names, weights that are shared, orders of axes, and what is not understood."""

import pytest

import archcalc
from archcalc import from_keras
from archcalc.cli.main import main
from archcalc.layers import BatchNorm, Conv, Dense, Permute, Recurrent, Unknown
from tests.keras_configs import chain, conv, functional, given, layer, rich, tensor, text


def test_the_classroom_network():
    """Example C: 9,150 parameters and 653,000 products."""
    layers = (
        conv("conv1", filters=20, kernel_size=[5, 5]), layer("MaxPooling2D", "pool1", pool_size=[2, 2], strides=[2, 2], padding="valid"),
        conv("conv2", filters=20), layer("MaxPooling2D", "pool2", pool_size=[2, 2], strides=None, padding="valid"),
        conv("conv3", filters=10, kernel_size=[5, 5], activation="linear"),
    )  # fmt: skip
    model = from_keras(text(chain(*layers)))
    totals = model.report().totals
    assert (totals.params, totals.macs, model.report().output) == (9150, 653000, (1, 10, 1, 1))
    assert [node.name for node in model.nodes] == ["conv1", "pool1", "conv2", "pool2", "conv3"]
    assert model.inputs["image"].shape == (1, 28, 28)
    assert model.inputs["image"].channels_last
    assert model.report(input="1024x1024").totals.macs == 1761730400


def test_a_layer_that_is_called_twice_has_its_weights_once():
    model = from_keras(
        functional(
            [given("a", 7), given("b", 7), layer("Dense", "d", [tensor("a")], [tensor("b")], units=3)],
            ["d", ["d", 1, 0]],
        )
    )
    report = model.report()
    assert [(row.name, row.params, row.shared_with) for row in report.rows] == [("d", 24, None), ("d_call2", 0, "d")]
    assert report.totals.macs == 42
    assert model.outputs == ("d", "d_call2")


def test_a_network_inside_that_is_called_twice_has_its_weights_once():
    report = from_keras(rich()).report()
    rows = {row.name: row for row in report.rows}
    assert rows["encoder/c"].params == 40
    assert rows["encoder_call2/c"].params == 0
    assert rows["encoder_call2/d"].shared_with == "encoder/d"
    assert rows["gap"].inputs == ("encoder/d", "encoder_call2/d")


def test_the_rich_config():
    model = from_keras(rich())
    report = model.report()
    lstm, attention = 2 * 4 * 6 * (8 + 6 + 1), 3 * (12 + 1) * 8 + (8 + 1) * 12
    assert report.totals.params == 40 + (26 * 26 * 4 + 1) * 5 + 50 * 8 + lstm + attention + 17 + (17 + 1) * 3
    assert (report.totals.buffers, report.status) == (34, "partial")
    assert report.notes[0] == "not counted: Lambda, 1 use (odd)"
    assert report.outputs == {"head/softmax": (1, 3), "mean": (1, 12)}
    assert model.inputs["tokens"].dtype == "int32"
    assert model.report(batch=3).output == (3, 3)
    kinds = {node.name: node.layer for node in model.nodes}
    assert kinds["both"] == Recurrent("lstm", units=6, biases=1, bidirectional=True)
    assert kinds["look/core"].causal
    assert kinds["norm"] == BatchNorm(epsilon=1e-3, scale=False)


def test_calls_stand_in_an_order_that_can_be_computed_and_else_in_the_files():
    layers = [
        layer("Add", "sum", [[tensor("two"), tensor("one")]]),
        layer("Dense", "two", [tensor("one")], units=3),
        layer("Dense", "one", [tensor("x")], units=3),
        given("x", 3),
    ]
    assert [node.name for node in from_keras(functional(layers, ["sum"])).nodes] == ["one", "two", "sum"]


@pytest.mark.parametrize("leaf", [["a", 0, 0], [["a", 0, 0]], {"first": ["a", 0, 0]}, [[["a", 0, 0]]]])
def test_inputs_and_outputs_may_be_nested(leaf):
    config = functional([given("a", 7), layer("Dense", "d", [tensor("a")], units=3)], ["d"], inputs=leaf)
    config["config"]["output_layers"] = ["d", 0, 0]
    assert from_keras(config).report().totals.params == 24


def test_a_config_alone_is_enough():
    whole = rich()
    assert from_keras(whole["config"]).report().totals == from_keras(whole).report().totals
    small = chain(layer("Dense", "d", units=3), shape=(7,))
    assert from_keras(small["config"]).report().totals.params == 24


def test_layers_that_are_frozen():
    inside = chain(layer("Dense", "d", units=3), shape=(7,), name="inside")
    inside["config"]["trainable"] = False
    frozen = layer("Dense", "e", units=2, trainable=False)
    assert (
        from_keras(chain(inside, frozen, layer("Dense", "f", units=1), shape=(7,))).report().totals.trainable_params
        == 3
    )


@pytest.mark.parametrize(
    ("given_as", "dtype"),
    [
        ("float32", None),
        ("float16", None),
        ("int32", "int32"),
        ("int64", "int64"),
        ("uint8", "uint8"),
        ("bool", "bool"),
        ("string", None),
    ],
)
def test_dtypes_of_inputs(given_as, dtype):
    config = functional([given("x", 7, dtype=given_as), layer("Dense", "d", [tensor("x")], units=3)], ["d"])
    assert from_keras(config).inputs["x"].dtype == dtype


def test_an_embedding_reads_indices_whatever_the_input_says():
    config = functional([given("x", 7), layer("Embedding", "e", [tensor("x")], input_dim=9, output_dim=2)], ["e"])
    assert from_keras(config).inputs["x"].dtype == "int32"


def orders(*layers, shape=(12, 10, 3)):
    """Each node of a chain with its layer's kind and its output."""
    return [(row.name, row.kind, row.output[1:]) for row in from_keras(chain(*layers, shape=shape)).report().rows]


def test_channels_stand_first_inside():
    assert orders(conv(strides=[2, 1], padding="same")) == [("conv", "conv", (4, 6, 10))]
    assert orders(conv(data_format="channels_first"), shape=(3, 12, 10)) == [("conv", "conv", (4, 10, 8))]
    assert not from_keras(chain(conv(data_format="channels_first"), shape=(3, 12, 10))).inputs["image"].channels_last


def test_a_norm_over_channels_names_axis_1():
    model = from_keras(chain(conv(), layer("LayerNormalization", "n", axis=[-1]), layer("Softmax", "s", axis=-1)))
    assert [
        node.layer.__struct_fields__ and getattr(node.layer, "axes", getattr(node.layer, "axis", None))
        for node in model.nodes[1:]
    ] == [1, 1]


def test_a_reshape_of_an_image_turns_it_round_first():
    assert orders(conv(), layer("Reshape", "r", target_shape=[80, 4])) == [
        ("conv", "conv", (4, 10, 8)), ("conv/channels_last", "permute", (10, 8, 4)), ("r", "reshape", (80, 4)),
    ]  # fmt: skip


def test_a_norm_turns_nothing_round_in_vain():
    names = [
        name
        for name, *_ in orders(
            conv(), layer("BatchNormalization", "n", axis=-1), layer("GroupNormalization", "g", groups=2, axis=-1)
        )
    ]
    assert names == ["conv", "n", "g"]


def test_keras_own_layout_shows_tensors_that_read_nothing(tmp_path, capsys):
    path = tmp_path / "m.json"
    path.write_text(text(chain(conv(), layer("PReLU", "p", shared_axes=None))))
    assert main(["report", str(path), "--style", "keras"]) == 0
    assert "p/alpha" in capsys.readouterr().out


def test_one_cell_needs_no_turning():
    layers = (
        layer("GlobalAveragePooling2D", "g"),
        layer("Reshape", "r", target_shape=[1, 1, 3]),
        conv(kernel_size=[1, 1]),
    )
    assert [name for name, *_ in orders(*layers)] == ["g", "r", "conv"]


def test_a_permutation_of_an_image_is_one():
    model = from_keras(chain(layer("Permute", "p", dims=[3, 1, 2]), shape=(12, 10, 3)))
    assert [node.layer for node in model.nodes] == [Permute(order=(0, 1, 2, 3))]


def test_a_tensor_is_turned_round_once():
    layers = [
        given("x", 8, 6),
        conv("c", [tensor("x")]) | {"class_name": "Conv1D"},
        layer("Dense", "d", [tensor("c")], units=2),
        layer("Dense", "e", [tensor("c")], units=2),
    ]
    layers[1]["config"] |= {"kernel_size": [3], "filters": 4}
    names = [node.name for node in from_keras(functional(layers, ["d", "e"])).nodes]
    assert names == ["c", "c/channels_last", "d", "e"]


def test_what_is_not_understood_is_named_and_its_output_is_what_its_reader_says():
    odd = layer("Odd", "odd", module="my.layers", registered="mine>Odd", build=[None, 28, 28, 1])
    head = layer("Dense", "d", units=2, build=[None, 6])
    report = from_keras(chain(odd, head)).report(batch=4)
    assert (report.status, report.rows[0].kind, report.rows[0].output) == ("partial", "Unknown", (4, 6))
    assert report.notes == ("not counted: Odd, 1 use (odd)",)
    assert str(report).count("≥") == 7


def test_an_output_that_nothing_says_is_said_to_be_unknown():
    report = from_keras(chain(layer("Odd", "odd", module="my.layers"), shape=(7,))).report()
    assert (
        report.notes[1]
        == "odd (Odd): the shape of its output is not in the file, nor said by what reads it: it is shown as the batch alone"
    )
    assert report.output == (1,)


def test_what_reads_a_tensor_of_unknown_shape_is_not_counted_either():
    layers = (layer("Odd", "odd", module="m"), layer("Flatten", "f"), layer("Dense", "d", units=2, build=[None, 6]))
    report = from_keras(chain(*layers)).report(batch=3)
    assert [(row.name, row.kind, row.output) for row in report.rows] == [
        ("odd", "Unknown", (3,)),
        ("f", "Unknown", (3, 6)),
        ("d", "dense", (3, 2)),
    ]
    assert report.notes[:2] == ("not counted: Odd, 1 use (odd)", "not counted: Flatten, 1 use (f)")


def test_a_lambda_may_say_its_output():
    code = {"class_name": "__lambda__", "config": {"code": "c3RvcA=="}}
    model = from_keras(chain(layer("Lambda", "odd", function=code, output_shape=[5]), layer("ReLU", "r")))
    assert model.report().output == (1, 5)


def test_a_class_that_is_called_as_one_of_keras_is_not_taken_for_it():
    mine = layer("Dense", "d", module="my.layers", registered="mine>Dense", units=3)
    assert isinstance(from_keras(chain(mine, shape=(7,))).nodes[0].layer, Unknown)
    registered = layer("Dense", "d", registered="mine>Dense", units=3)
    assert isinstance(from_keras(chain(registered, shape=(7,))).nodes[0].layer, Unknown)


def test_an_unknown_output_holds_at_the_size_of_the_file():
    odd = layer("Odd", "odd", module="m")
    model = from_keras(chain(odd, layer("Flatten", "f", build=[None, 4, 4, 2])))
    assert model.report().output == (1, 32)
    assert model.report(batch=2).output == (2, 32)
    with pytest.raises(archcalc.ArchcalcError) as caught:
        model.report(input="32x32")
    message = (
        'Unknown: the output of Odd is known for inputs of 1×1×28×28 only; got 1×1×32×32\n  at "odd", input 1×1×32×32'
    )
    assert str(caught.value) == message


def test_what_keeps_its_shape_is_taken_to_keep_it():
    odd = layer("Odd", "odd", module="m")
    model = from_keras(chain(odd, layer("Flatten", "f", build=[None, 28, 28, 1])))
    assert model.report(input="30x20").output == (1, 600)


@pytest.mark.parametrize(
    "written",
    [
        "my_function",
        {"module": "builtins", "class_name": "function", "config": "my_function", "registered_name": "function"},
    ],
)
def test_a_function_that_is_not_keras_is_named(written):
    report = from_keras(chain(layer("Dense", "d", units=3, activation=written), shape=(7,))).report()
    assert [(row.name, row.kind) for row in report.rows] == [("d", "dense"), ("d/my_function", "Unknown")]
    assert report.notes == ("not counted: activation my_function, 1 use (d/my_function)",)


def test_a_lambda_as_activation_is_named_and_not_run():
    written = {"class_name": "__lambda__", "config": {"code": "c3RvcA==", "defaults": None, "closure": None}}
    assert (
        from_keras(chain(layer("Dense", "d", units=3, activation=written), shape=(7,))).nodes[1].layer.operator
        == "activation lambda"
    )


def test_an_activation_that_is_a_layer():
    written = {
        "module": "keras.layers",
        "class_name": "LeakyReLU",
        "config": {"name": "l", "negative_slope": 0.3},
        "registered_name": None,
    }
    model = from_keras(chain(layer("Dense", "d", units=3, activation=written), shape=(7,)))
    assert [(node.name, node.layer.kind) for node in model.nodes] == [("d", "dense"), ("d/LeakyReLU", "leaky_relu")]
    assert model.nodes[1].layer.alpha == 0.3


def test_masks_are_noted():
    words = layer("Embedding", "e", [tensor("x")], input_dim=9, output_dim=2)
    mask = layer("NotEqual", "mask", [tensor("x"), 0], module="keras.src.ops.numpy", registered="NotEqual")
    pool = layer(
        "GlobalAveragePooling1D", "g", {"args": [tensor("e")], "kwargs": {"mask": tensor("mask", shape=[None, 7])}}
    )
    report = from_keras(functional([given("x", 7), words, mask, pool], ["g"])).report()
    assert [row.name for row in report.rows] == ["e", "e/channels_first", "g"]
    assert report.notes == ("masks that leave out steps are not counted, first in g",)


def test_open_axes_have_stand_ins_that_every_report_names():
    model = from_keras(chain(conv(), shape=(None, None, 3)))
    assert model.remarks == (
        "image: the file leaves axes open (?×?×3); 224×224×3 stands in for them unless --input says otherwise",
    )
    assert model.report(input=(30, 20)).output == (1, 4, 28, 18)
    assert from_keras(chain(conv(), shape=(None, None, 3)), input_shape=(32, 32, 3)).remarks == ()
    assert from_keras(rich(), input_shape={"left": (28, 28, 1)}).report().totals == from_keras(rich()).report().totals


def test_a_model_that_was_never_built_takes_a_shape():
    config = chain(layer("Dense", "d", units=3), shape=None)
    assert from_keras(config, input_shape=(7,)).report().totals.params == 24
    config["config"]["build_input_shape"] = [None, 9]
    assert from_keras(config).report().totals.params == 30


def test_layers_inside_time_see_one_step():
    each = layer("TimeDistributed", "t", layer=conv("inner", activation="relu"))
    model = from_keras(chain(each, shape=(5, 12, 10, 3)))
    assert next((node.name, type(node.layer)) for node in model.nodes) == ("t", Conv)
    assert model.nodes[0].layer.kernel == (1, 3, 3)
    assert model.report().output == (1, 4, 5, 10, 8)


def test_a_table_that_is_used_in_reverse():
    table = layer(
        "ReversibleEmbedding",
        "e",
        [tensor("x")],
        {"args": [tensor("d")], "kwargs": {"reverse": True}},
        input_dim=9,
        output_dim=2,
    )
    config = functional(
        [given("x", 7, dtype="int32"), table, layer("Dense", "d", [tensor("e")], units=2)], [["e", 1, 0]]
    )
    report = from_keras(config).report()
    assert [(row.name, row.params, row.output) for row in report.rows] == [
        ("e", 18, (1, 7, 2)),
        ("d", 6, (1, 7, 2)),
        ("e_call2", 0, (1, 7, 9)),
    ]


def test_names_are_those_of_keras_in_letters_of_a_spec():
    model = from_keras(
        chain(layer("Dense", "my layer\x1b[31m", units=3), layer("Dense", "1st", units=3), shape=(7,), name="a b")
    )
    assert (model.name, [node.name for node in model.nodes]) == ("a_b", ["my_layer__31m", "_1st"])
    assert isinstance(model.nodes[0].layer, Dense)


def test_a_shape_that_differs_from_the_files_is_noted():
    layers = [
        given("x", 7),
        layer("Dense", "d", [tensor("x")], units=3),
        layer("Dense", "e", [tensor("d", shape=[None, 4])], units=2),
    ]
    assert from_keras(functional(layers, ["e"])).remarks == (
        "d (Dense): the file says that its output is 4; it is 3 by the layers before it",
    )


def test_what_does_nothing_at_inference():
    idle = [layer(kind, kind.lower()) for kind in ("RandomFlip", "GaussianNoise", "ActivityRegularization")]
    report = from_keras(chain(*idle)).report()
    assert (report.status, report.totals.flops, {row.kind for row in report.rows}) == ("complete", 0, {"identity"})


def test_the_model_answers_other_questions():
    model = from_keras(chain(conv(), layer("Flatten", "f"), layer("Dense", "d", units=3)))
    assert model.closed_form("params").written("text") == "12·H·W - 24·H - 24·W + 91"
    assert model.memory().peak.bytes > 32_620
    assert "conv" in model.draw().mermaid()


def test_importing_keras_models_needs_no_keras():
    import subprocess
    import sys

    code = f"import sys, archcalc; archcalc.from_keras({text(chain(conv()))!r}); print([n for n in ('keras', 'torch', 'numpy', 'h5py') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_line_reads_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.json").write_text(text(rich()))
    assert main(["report", "m.json"]) == 0
    assert "≥" in capsys.readouterr().out
    assert main(["report", "m.json", "--strict"]) == 6
