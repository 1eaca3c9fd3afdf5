"""ONNX files that are wrong: one clear message each, whatever the bytes, within bounds of memory and time."""

import random
import sys

import pytest
from onnx import TensorProto, helper

import archcalc
from archcalc.dialects import onnx_read
from tests.onnx_graphs import floats, ints, model_of, node, saved, weight

IMAGE = {"x": (1, 8, 12, 10)}


def message(tmp_path, model):
    """The error's text, with the file's folder left out."""
    with pytest.raises(archcalc.ArchcalcError) as caught:
        archcalc.from_onnx(saved(tmp_path, model))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(archcalc.ArchcalcError, match=r"^model: no such file; got missing\.onnx$"):
        archcalc.from_onnx("missing.onnx")
    with pytest.raises(archcalc.ArchcalcError, match=r"^model: must be a file; got the directory "):
        archcalc.from_onnx(tmp_path)


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n" + bytes(64), b"archcalc: 1\ninputs: {x: [3, 8, 8]}\n", b"PK\x03\x04aaaa"]
)
def test_other_files(tmp_path, data):
    text = message(tmp_path, data)
    assert text.startswith("ONNX: must be a whole ONNX file; got ")
    assert text.endswith("\n  at model.onnx")


def test_an_empty_file(tmp_path):
    assert (
        message(tmp_path, b"") == "ONNX: must be a whole ONNX file; got no graph, or no operator set\n  at model.onnx"
    )


def test_a_part_of_a_file(tmp_path):
    data = model_of([node("Conv", "x w")], IMAGE, [weight("w", 8, 8, 3, 3)]).SerializeToString()
    expected = "ONNX: must be a whole ONNX file; got other data, or a part of one\n  at model.onnx"
    assert message(tmp_path, data[: len(data) // 2]) == expected


def test_a_file_of_three_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(archcalc.ArchcalcError) as caught:
        archcalc.from_onnx(path)
    assert str(caught.value) == (
        f"ONNX: a file must have less than 2 GiB; got 3,221,225,472 bytes\n  at {path}: save the weights as external data"
    )


def nested(depth, recursive=False):
    """Functions that call each other."""
    sets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    last = "F0" if recursive else "Relu"
    calls = [(f"F{n}", f"F{n + 1}" if n + 1 < depth else last) for n in range(depth)]
    functions = [
        helper.make_function(
            "own",
            name,
            ["a"],
            ["b"],
            [helper.make_node(inner, ["a"], ["b"], domain="own" if inner[0] == "F" else "")],
            sets,
        )
        for name, inner in calls
    ]
    return model_of([node("F0", "x", domain="own")], IMAGE, functions=functions, domains=["own"])


RELU = [node("Relu", "x")]
BAD = {
    "old": (
        model_of(RELU, IMAGE, opset=6),
        "ONNX: the operator set must be 7 to 28; got 6\n"
        "  at model.onnx: onnx.version_converter.convert_version brings older files up to date",
    ),
    "new": (model_of(RELU, IMAGE, opset=999), "ONNX: the operator set must be 7 to 28; got 999\n  at model.onnx"),
    "undefined": (
        model_of([node("Relu", "X")], IMAGE),
        "Relu: must read what the graph has; got 'X'\n  at \"Relu\" in model.onnx",
    ),
    "cycle": (
        model_of([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")], IMAGE),
        "Add: operators must be in order, without cycles: each reads what is made before it; got 'b'\n  at \"Add\" in model.onnx",
    ),
    "twice": (
        model_of([node("Relu", "x", "y"), node("Relu", "x", "y")], IMAGE),
        "Relu: each value must be made once; got 'y'\n  at model.onnx",
    ),
    "no input": (model_of([node("Relu", "w")], {}, [weight("w", 2, 2)]), "ONNX: a graph must have an input; got none\n  at model.onnx"),
    "no output": (
        model_of(RELU, IMAGE, outputs=("z",)),
        "ONNX: an output must be made by the graph; got 'z'\n  at model.onnx",
    ),
    "too few inputs": (model_of([node("Conv", "x")], IMAGE), "Conv: needs input 1; got 1\n  at \"Conv\" in model.onnx"),
    "negative": (
        model_of(RELU, {"x": (1, -3, 4)}),
        "input x: must have at most 15 axes, of sizes from 1 to 10**18; got [1, -3, 4]\n  at model.onnx",
    ),
    "absurd": (
        model_of(RELU, {"x": (1, 2**62)}),
        "input x: must have at most 15 axes, of sizes from 1 to 10**18; got [1, 4611686018427387904]\n  at model.onnx",
    ),
    "many axes": (
        model_of(RELU, {"x": (1,) * 16}),
        f"input x: must have at most 15 axes, of sizes from 1 to 10**18; got {[1] * 16}\n  at model.onnx",
    ),
    "no shape": (
        model_of(RELU, {"x": None}),
        "input x: must be a tensor of a known number of axes; got none\n  at model.onnx",
    ),
    "fills": (
        model_of([node("ConstantOfShape", "s", "c"), node("Add", "x c")], IMAGE, [ints("s", -1)]),
        "ConstantOfShape: sizes must be from 0 to 10**18; got [-1]\n  at \"ConstantOfShape\" in model.onnx",
    ),
    "channels": (
        model_of([node("Conv", "x w")], IMAGE, [weight("w", 8, 7, 3, 3)]),
        "Conv: the input must have the channels of the weight; got 8 and 1 × 7\n  at \"Conv\" in model.onnx",
    ),
    "reshape": (
        model_of([node("Reshape", "x s")], IMAGE, [ints("s", 7, 7)]),
        "Reshape: the new shape must hold the same values; got 1×8×12×10 to 7×7\n  at \"Reshape\" in model.onnx",
    ),
    "type": (
        model_of([node("Softmax", "x", axis=1.5)], IMAGE),
        "Softmax: axis must be of another type; got type 1\n  at \"Softmax\" in model.onnx",
    ),
    "axis": (
        model_of([node("Softmax", "x", axis=4)], IMAGE),
        "Softmax: an axis must lie between -4 and 3; got 4\n  at \"Softmax\" in model.onnx",
    ),
    "recursion": (nested(3, recursive=True), "F0: functions must not call themselves; got F0 in F1 in F2\n  at model.onnx"),
    "deep": (nested(200), "F50: functions must nest at most 50 levels; got more\n  at model.onnx"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_messages(tmp_path, name):
    model, text = BAD[name]
    assert message(tmp_path, model) == text


def test_data_shorter_than_its_shape(tmp_path):
    model = model_of([node("Conv", "x w")], IMAGE, [weight("w", 8, 8, 3, 3)])
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.raw_data = bytes(100)
    text = "tensor w: its data must be as long as its shape says; got 100 of 2,304 bytes\n  at model.onnx"
    assert message(tmp_path, model) == text


def test_weights_in_other_files_are_not_opened(tmp_path):
    model = model_of([node("Conv", "x w")], IMAGE, [weight("w", 8, 8, 3, 3)])
    tensor = model.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/nowhere/at/all"
    assert archcalc.from_onnx(saved(tmp_path, model)).report().totals.params == 576


BOMBS = {
    "constant of shape": ([node("ConstantOfShape", "big", "c"), node("Expand", "x s", "e"), node("Relu", "e")], 8 * 120),
    "range": ([node("Range", "zero huge one", "r"), node("Relu", "x")], 8 * 120),
    "tile": ([node("Tile", "small many", "t"), node("Relu", "x")], 8 * 120),
    "squares": (
        [node("Mul", "seven seven", "p0"), *(node("Mul", f"p{n} p{n}", f"p{n + 1}") for n in range(60)), node("Relu", "x")],
        8 * 120,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_what_grows_is_not_followed(tmp_path, name):
    nodes, elements = BOMBS[name]
    tensors = [
        ints("big", 10**6, 10**6), ints("zero", 0, shape=()), ints("huge", 10**17, shape=()), ints("one", 1, shape=()),
        ints("small", 1, 2, 3), ints("many", 10**8), ints("seven", 7, shape=()), ints("s", 1, 8, 12, 10),
    ]  # fmt: skip
    report = archcalc.from_onnx(saved(tmp_path, model_of(nodes, IMAGE, tensors))).report()
    assert report.rows[-1].ops.cmp == elements


def test_random_bytes_give_a_model_or_a_message(tmp_path):
    whole = [model.SerializeToString() for model, _ in BAD.values()]
    tensors = [weight("w", 8, 8, 3, 3), ints("s", 0, -1), floats("f", 1.0, 1.0, 2.0, 2.0)]
    nodes = [node("Conv", "x w", "a", pads=[1, 1, 1, 1]), node("Resize", "a  f", "b"), node("Reshape", "a s", "y")]
    nodes[1].input[:] = ["a", "", "f"]
    whole.append(model_of(nodes, IMAGE, tensors, outputs=("y", "b")).SerializeToString())
    chance = random.Random(1)  # noqa: S311
    for _ in range(1500):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.choice([1, 1, 2, 5])):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            del data[chance.randrange(len(data)) :]
        try:
            archcalc.from_onnx(saved(tmp_path, bytes(data))).report()
        except archcalc.ArchcalcError as error:
            assert str(error)


def test_without_the_package(tmp_path, monkeypatch):
    path = saved(tmp_path, model_of(RELU, IMAGE))
    for name in [name for name in sys.modules if name.split(".")[0] == "onnx" or name == "onnx_ml_pb2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(onnx_read, "find_spec", lambda _: None)
    with pytest.raises(archcalc.ArchcalcError) as caught:
        archcalc.from_onnx(path)
    assert (
        str(caught.value) == "ONNX: needs the package onnx; got No module named 'onnx'\n  pip install 'archcalc[onnx]'"
    )
