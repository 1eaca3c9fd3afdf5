"""ONNX files: what each operator is read as, sizes that follow the inputs', names, and weights that are shared."""

import pytest
from onnx import TensorProto, helper

import archcalc
from tests.onnx_graphs import floats, ints, model_of, node, saved, weight

IMAGE = {"x": (1, 8, 12, 10)}
TOKENS = {"x": ("N", "length", 16)}


def read(tmp_path, *args, **options):
    return archcalc.from_onnx(saved(tmp_path, model_of(*args, **options)))


def rows(model, **options):
    return [(row.name, row.kind, row.output) for row in model.report(**options).rows]


ONE = [  # operator, attributes, further initialisers, opset, and the kinds, output shape, parameters and MACs
    ("Conv", {"pads": [1, 1, 1, 1]}, [weight("w", 4, 8, 3, 3), weight("b", 4)], 20, ["conv"], (1, 4, 12, 10), 292, 34560),
    ("Conv", {"pads": [0, 1, 2, 1]}, [weight("w", 4, 8, 3, 3)], 20, ["conv"], (1, 4, 12, 10), 288, 34560),
    ("Conv", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, [weight("w", 4, 8, 3, 3)], 20, ["conv"], (1, 4, 6, 5), 288, 8640),
    ("Conv", {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, [weight("w", 4, 8, 3, 3)], 20, ["conv"], (1, 4, 6, 5), 288, 8640),
    ("Conv", {"auto_pad": "VALID", "dilations": [2, 1]}, [weight("w", 4, 8, 3, 3)], 20, ["conv"], (1, 4, 8, 8), 288, 18432),
    ("Conv", {"group": 8}, [weight("w", 8, 1, 3, 3)], 20, ["conv"], (1, 8, 10, 8), 72, 5760),
    ("ConvTranspose", {"strides": [2, 2], "output_padding": [1, 1]}, [weight("w", 8, 4, 3, 3)], 20, ["conv_transpose"], (1, 4, 26, 22), 288, 34560),
    ("ConvTranspose", {"strides": [2, 2], "output_shape": [24, 20]}, [weight("w", 8, 4, 3, 3)], 20, ["conv_transpose"], (1, 4, 24, 20), 288, 34560),
    ("ConvTranspose", {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, [weight("w", 8, 4, 3, 3)], 20, ["conv_transpose"], (1, 4, 24, 20), 288, 34560),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, [], 20, ["max_pool"], (1, 8, 6, 5), 0, 0),
    ("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}, [], 20, ["max_pool"], (1, 8, 12, 10), 0, 0),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, [], 20, ["avg_pool"], (1, 8, 12, 10), 0, 0),
    ("GlobalAveragePool", {}, [], 20, ["global_avg_pool"], (1, 8, 1, 1), 0, 0),
    ("GlobalMaxPool", {}, [], 20, ["global_max_pool"], (1, 8, 1, 1), 0, 0),
    ("InstanceNormalization", {}, [weight("s", 8), weight("b", 8)], 20, ["instance_norm"], (1, 8, 12, 10), 16, 0),
    ("GroupNormalization", {"num_groups": 4}, [weight("s", 8), weight("b", 8)], 21, ["group_norm"], (1, 8, 12, 10), 16, 0),
    ("LayerNormalization", {"axis": -1}, [weight("s", 10), weight("b", 10)], 20, ["layer_norm"], (1, 8, 12, 10), 20, 0),
    ("LRN", {"size": 5}, [], 20, ["local_response_norm"], (1, 8, 12, 10), 0, 0),
    ("PRelu", {}, [weight("s", 8, 1, 1)], 20, ["prelu"], (1, 8, 12, 10), 8, 0),
    ("Clip", {}, [floats("a", 0.0), floats("b", 6.0)], 20, ["relu6"], (1, 8, 12, 10), 0, 0),
    ("Clip", {"min": 0.0}, [], 9, ["clamp"], (1, 8, 12, 10), 0, 0),
    ("Gelu", {"approximate": "tanh"}, [], 20, ["gelu_tanh"], (1, 8, 12, 10), 0, 0),
    ("Softmax", {"axis": 1}, [], 20, ["softmax"], (1, 8, 12, 10), 0, 0),
    ("Softmax", {"axis": 1}, [], 9, ["flatten", "softmax", "reshape"], (1, 8, 12, 10), 0, 0),
    ("ReduceMean", {"axes": [2, 3], "keepdims": 0}, [], 13, ["reduce_mean"], (1, 8), 0, 0),
    ("ReduceSum", {}, [ints("a", 1, 2)], 20, ["reduce_sum"], (1, 1, 1, 10), 0, 0),
    ("ReduceL2", {}, [ints("a", 1)], 20, ["square", "reduce_sum", "sqrt"], (1, 1, 12, 10), 0, 0),
    ("Reshape", {}, [ints("s", 0, -1, 10)], 20, ["reshape"], (1, 96, 10), 0, 0),
    ("Reshape", {}, [ints("s", 1, 960)], 20, ["flatten"], (1, 960), 0, 0),
    ("Flatten", {"axis": 2}, [], 20, ["reshape"], (8, 120), 0, 0),
    ("Transpose", {"perm": [0, 2, 3, 1]}, [], 20, ["permute"], (1, 12, 10, 8), 0, 0),
    ("Slice", {}, [ints("a", 1, -3), ints("b", 9, 2**62), ints("c", 2, 3), ints("d", 2, 1)], 20, ["slice", "slice"], (1, 8, 4, 3), 0, 0),
    ("Slice", {}, [ints("a", -1), ints("b", -(2**62)), ints("c", 3), ints("d", -1)], 20, ["flip"], (1, 8, 12, 10), 0, 0),
    ("Slice", {"starts": [2], "ends": [5], "axes": [1]}, [], 9, ["slice"], (1, 3, 12, 10), 0, 0),
    ("Gather", {"axis": 2}, [ints("i", -1, shape=())], 20, ["slice"], (1, 8, 10), 0, 0),
    ("Expand", {}, [ints("s", 3, 1, 8, 1, 1)], 20, ["reshape", "expand"], (3, 1, 8, 12, 10), 0, 0),
    ("Tile", {}, [ints("s", 1, 2, 1, 1)], 20, ["reshape", "expand", "reshape"], (1, 16, 12, 10), 0, 0),
    ("Pad", {}, [ints("p", 0, 0, 1, 2, 0, 0, 0, -1)], 20, ["crop", "pad"], (1, 8, 13, 11), 0, 0),
    ("Resize", {"mode": "linear"}, [floats("r"), floats("s", 1, 1, 2, 2)], 20, ["resize"], (1, 8, 24, 20), 0, 0),
    ("Resize", {}, [floats("r"), floats("s", 1, 1, 0.5, 1.5)], 20, ["resize"], (1, 8, 6, 15), 0, 0),
    ("DepthToSpace", {"blocksize": 2}, [], 20, ["pixel_shuffle"], (1, 2, 24, 20), 0, 0),
    ("SpaceToDepth", {"blocksize": 2}, [], 20, ["pixel_unshuffle"], (1, 32, 6, 5), 0, 0),
    ("Add", {}, [weight("b", 10)], 20, ["parameter", "reshape", "add"], (1, 8, 12, 10), 10, 0),
    ("Mul", {}, [weight("b")], 20, ["scale"], (1, 8, 12, 10), 0, 0),
    ("Pow", {}, [floats("b", 2.0)], 20, ["square"], (1, 8, 12, 10), 0, 0),
    ("MatMul", {}, [weight("w", 10, 6)], 20, ["dense"], (1, 8, 12, 6), 60, 5760),
    ("ArgMax", {"axis": 1}, [], 20, ["arg_max"], (1, 1, 12, 10), 0, 0),
    ("CumSum", {}, [ints("a", 2, shape=())], 20, ["cumulative_sum"], (1, 8, 12, 10), 0, 0),
]  # fmt: skip


@pytest.mark.parametrize("case", ONE, ids=lambda case: f"{case[0]}-{case[3]}-{sorted(case[1].items())}"[:60])
def test_an_operator_is_read_as_its_kind(tmp_path, case):
    kind, attributes, tensors, opset, kinds, output, params, macs = case
    names = ["x", *(tensor.name for tensor in tensors)]
    if kind == "Resize":
        names[1] = ""
        tensors = tensors[1:]
    made = helper.make_node(kind, names, ["y"], **attributes)
    report = read(tmp_path, [made], IMAGE, tensors, opset=opset).report()
    assert [row.kind for row in report.rows] == kinds
    assert (report.output, report.totals.params, report.totals.macs) == (output, params, macs)
    assert (report.status, report.notes) == ("complete", ())


def test_gemm_and_its_factors(tmp_path):
    tensors = [weight("w", 5, 16), weight("b", 5)]
    plain = read(tmp_path, [node("Gemm", "x w b", transB=1)], {"x": (1, 16)}, tensors).report()
    assert [(row.kind, row.weights) for row in plain.rows] == [("dense", {"weight": (5, 16), "bias": (5,)})]
    scaled = read(tmp_path, [node("Gemm", "x w b", transB=1, alpha=0.5)], {"x": (1, 16)}, tensors).report()
    assert [row.kind for row in scaled.rows] == ["dense", "scale", "parameter", "reshape", "add"]
    assert scaled.totals.params == plain.totals.params == 85
    assert scaled.totals.macs == plain.totals.macs == 80


def test_a_batch_norm_has_buffers(tmp_path):
    tensors = [weight(name, 8) for name in "sbmv"]
    totals = read(tmp_path, [node("BatchNormalization", "x s b m v")], IMAGE, tensors).report().totals
    assert (totals.params, totals.buffers) == (16, 16)


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("ways", [1, 2])
def test_recurrent_layers(tmp_path, kind, gates, ways):
    tensors = [weight("w", ways, gates * 8, 6), weight("r", ways, gates * 8, 8), weight("b", ways, 2 * gates * 8)]
    made = node(kind, "x w r b", "y h", hidden_size=8, direction="bidirectional" if ways == 2 else "forward")
    report = read(tmp_path, [made], {"x": (20, 1, 6)}, tensors, outputs=("y", "h")).report(batch=20)
    assert list(report.outputs.values()) == [(20, ways, 1, 8), (ways, 1, 8)]
    assert report.totals.params == ways * gates * 8 * (6 + 8 + 2)
    assert report.totals.macs == 20 * ways * gates * 8 * (6 + 8)


def test_attention_of_the_newest_operator_set(tmp_path):
    inputs = dict.fromkeys(("q", "k", "v"), (1, 10, 32))
    made = node("Attention", "q k v", q_num_heads=4, kv_num_heads=4, is_causal=1)
    row = read(tmp_path, [made], inputs, opset=24).report().rows[0]
    assert (row.kind, row.macs, row.macs_exact) == ("attention", 2 * 4 * 100 * 8, 2 * 4 * 55 * 8)


SHAPES = [  # nodes that compute a shape from x: (N, length, 16), and what that is
    ([node("Shape", "x", "s"), node("Gather", "s one", "n"), node("Unsqueeze", "n zero", "u"), node("Concat", "u minus", "t", axis=0)], lambda n, length: (length, 16 * n)),
    ([node("Shape", "x", "s"), node("Slice", "s zero two", "h"), node("ReduceProd", "h", "p", keepdims=1), node("Concat", "p minus", "t", axis=0)], lambda n, length: (n * length, 16)),
    ([node("Shape", "x", "s"), node("Gather", "s one", "n"), node("Cast", "n", "f", to=1), node("Mul", "f half", "g"), node("Floor", "g", "e"), node("Cast", "e", "i", to=7), node("Unsqueeze", "i zero", "u"), node("Concat", "u minus", "t", axis=0)], lambda n, length: (length // 2, 32 * n)),
    ([node("Size", "x", "n"), node("Div", "n sixteen", "m"), node("Unsqueeze", "m zero", "u"), node("Concat", "u minus", "t", axis=0)], lambda n, length: (n * length, 16)),
    ([node("Shape", "x", "s"), node("Split", "s", "a b c", num_outputs=3, axis=0), node("Mul", "a b", "p"), node("Concat", "p c", "t", axis=0)], lambda n, length: (n * length, 16)),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "shape"), SHAPES, ids=range(len(SHAPES)))
@pytest.mark.parametrize(("batch", "length"), [(1, 128), (2, 10), (3, 24)])
def test_arithmetic_on_shapes_follows_the_sizes(tmp_path, nodes, shape, batch, length):
    tensors = [
        ints("one", 1, shape=()), ints("zero", 0), ints("two", 2), ints("minus", -1), ints("sixteen", 16, shape=()),
        helper.make_tensor("half", TensorProto.FLOAT, (), [0.5]),
    ]  # fmt: skip
    model = read(tmp_path, [*nodes, node("Reshape", "x t")], TOKENS, tensors)
    report = model.report(input=(length, 16), batch=batch)
    assert (report.status, report.output) == ("complete", shape(batch, length))


def test_open_axes_take_any_size(tmp_path):
    nodes = [
        node("Conv", "image w", "c", name="/stem/Conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Shape", "c", "s"),
        node("Gather", "s zero", "n"),
        node("Unsqueeze", "n axis", "u"),
        node("Concat", "u tail", "t", axis=0),
        node("Reshape", "c t", "y", name="/tokens/Reshape"),
    ]
    tensors = [weight("w", 4, 3, 3, 3), ints("zero", 0, shape=()), ints("axis", 0), ints("tail", 4, -1)]
    model = read(tmp_path, nodes, {"image": ("N", 3, "H", "W")}, tensors)
    note = "the file leaves sizes open: image.height = 224, image.width = 224 where --input does not say"
    assert model.report().notes == (note,)
    assert rows(model, input=(65, 30), batch=5) == [
        ("stem", "conv", (5, 4, 33, 15)),
        ("tokens", "reshape", (5, 4, 495)),
    ]


def test_a_fixed_batch_is_any_batch(tmp_path):
    """Shapes that are written for a batch of 1, also where the batch is not the first axis."""
    nodes = [
        node("Reshape", "x a", "h"),
        node("Transpose", "h", "t", perm=[1, 0, 2]),
        node("Reshape", "t b", "y"),
    ]
    model = read(tmp_path, nodes, {"x": (1, 6, 32)}, [ints("a", 1, 6, 32), ints("b", 6, 4, 8)])
    assert model.report().output == (6, 4, 8)
    assert model.report(batch=7).output == (6, 28, 8)


def test_an_output_that_does_not_follow_the_batch_is_told(tmp_path):
    model = read(tmp_path, [node("ReduceSum", "x a")], IMAGE, [ints("a", 0)])
    text = "output y does not follow the batch: other batches than the file's are not told"
    assert model.report().notes == (text,)


def test_names_are_the_modules(tmp_path):
    nodes = [
        node("Relu", "x", "a", name="/layer1/layer1.0/relu/Relu"),
        node("Relu", "a", "b", name="/layer1/layer1.0/relu/Relu_1"),
        node("Add", "a b", "c", name="/layer1/layer1.0/Add"),
        node("Sigmoid", "c", "d", name="node_Sigmoid_7"),
        node("Tanh", "d", "y", name="/head/Tanh"),
    ]
    names = [name for name, _, _ in rows(read(tmp_path, nodes, IMAGE))]
    assert names == ["layer1/0/relu/relu1", "layer1/0/relu/relu2", "layer1/0/add1", "sigmoid1", "head"]


def test_shared_weights_count_once(tmp_path):
    nodes = [
        node("Gather", "w ids", "e"),
        node("Transpose", "w", "t", perm=[1, 0]),
        node("MatMul", "e t", "l"),
        node("Add", "l b", "y"),
    ]
    model = read(tmp_path, nodes, {"ids": (1, 7)}, [weight("w", 50, 16), weight("b", 50)], ids=TensorProto.INT64)
    report = model.report()
    assert [(row.kind, row.params, row.shared_with) for row in report.rows] == [
        ("embedding", 800, None),
        ("dense", 0, "embedding1"),
        ("parameter", 50, None),
        ("reshape", 0, None),
        ("add", 0, None),
    ]
    assert report.totals.macs == 7 * 50 * 16


def test_what_is_shared_in_part_counts_again_and_says_so(tmp_path):
    nodes = [node("Conv", "x v b", "c"), node("Conv", "x w b", "d"), node("Add", "c d", "y")]
    tensors = [weight("v", 8, 8, 1, 1), weight("w", 8, 8, 1, 1), weight("b", 8)]
    report = read(tmp_path, nodes, IMAGE, tensors).report()
    assert report.totals.params == 144
    assert report.notes == ("counted in each use, since these differ: b (1 of the file's tensors)",)


def test_an_unknown_operator_is_a_line(tmp_path):
    nodes = [node("Relu", "x", "a"), node("Hash", "a", "b", domain="of.my.own"), node("Relu", "b", "y")]
    info = helper.make_tensor_value_info("b", TensorProto.FLOAT, (1, 8, 6, 5))
    report = read(tmp_path, nodes, IMAGE, infos=[info], domains=["of.my.own"]).report()
    assert report.status == "partial"
    assert report.notes == ("not counted: of.my.own.Hash, 1 use (hash1)",)
    assert [row.output for row in report.rows] == [(1, 8, 12, 10), (1, 8, 6, 5), (1, 8, 6, 5)]


def test_a_loop_is_a_line_that_reads_what_its_body_reads(tmp_path):
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["a", "s"], ["t"])],
        "body",
        [helper.make_tensor_value_info(n, t, []) for n, t in (("i", 7), ("go", 9), ("s", 1))],
        [helper.make_tensor_value_info(n, t, []) for n, t in (("on", 9), ("t", 1))],
    )
    nodes = [node("Relu", "x", "a"), node("Loop", "three  x", "y", body=body)]
    nodes[1].input[:] = ["three", "", "x"]
    report = read(tmp_path, nodes, IMAGE, [ints("three", 3, shape=())]).report()
    assert [(row.kind, row.inputs) for row in report.rows][1] == ("Unknown", ("x", "relu1"))
    assert report.status == "partial"


def test_functions_are_written_out(tmp_path):
    body = [
        helper.make_node("Conv", ["a", "k"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["c"], ["r"]),
    ]
    slope = body[1].attribute.add()
    slope.name, slope.ref_attr_name, slope.type = "alpha", "slope", 1
    function = helper.make_function(
        "of.my.own", "Block", ["a", "k"], ["r"], body, [helper.make_opsetid("", 20)], ["slope"]
    )
    nodes = [
        node("Block", "x w", "h", domain="of.my.own", slope=0.2),
        node("Block", "h w", "y", domain="of.my.own", slope=0.3),
    ]
    report = read(
        tmp_path, nodes, IMAGE, [weight("w", 8, 8, 3, 3)], functions=[function], domains=["of.my.own"]
    ).report()
    assert [row.kind for row in report.rows] == ["conv", "leaky_relu", "conv", "leaky_relu"]
    assert report.totals.params == 576
    assert report.totals.macs == 2 * 120 * 576


def test_the_command_reads_a_file(tmp_path, capsys):
    from archcalc.cli.main import main

    path = saved(tmp_path, model_of([node("Hash", "x", domain="own")], IMAGE, domains=["own"]))
    assert main(["report", path]) == 0
    assert main(["report", path, "--strict"]) == 6
    assert "own.Hash" in capsys.readouterr().out
