"""Models without a text as specs: names and rows are kept, repeats and blocks found, and people would write it so."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archcalc import Model, layers, load, loads
from archcalc.algebra.size import Size
from archcalc.cli.main import main
from archcalc.dialects.schema import schema
from archcalc.dialects.yaml import ZOO, zoo_names
from archcalc.dialects.yaml_fold import MANNERS, folded, legal, same
from archcalc.dialects.yaml_fold_scope import Manner
from archcalc.dialects.yaml_text import read
from archcalc.errors import ModelError
from archcalc.layers.sized import Sized
from archcalc.layers.unknown import Unknown
from archcalc.model.graph import Input, Node
from tests.folding import flat, random_model


def rows(model):
    """All that a report says of each layer and of the whole."""
    data = model.report().to_dict()
    return {key: data[key] for key in ("inputs", "status", "rows", "totals")}, model.report().outputs


def long(text):
    """Lines that say something."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))


def without_expectations(text):
    """A spec up to what it expects, which people write at length."""
    return text.partition("\nexpect:")[0]


# Every model of the zoo, by its nodes alone

LONGER = {  # times the hand-written one
    "mobilenet_v3_large": 1.65,  # activations that its author chose by an argument
    "swin_t": 2.05,  # sizes that follow the input are no arguments: each stage keeps its own block
}


@pytest.mark.parametrize("name", zoo_names())
def test_the_zoo_is_found_again(name):
    model = load(f"zoo:{name}")
    text = folded(flat(model))
    assert rows(loads(text)) == rows(flat(model))
    with open(f"{ZOO}/{name}.yaml", encoding="utf-8") as file:
        written = file.read()
    assert long(without_expectations(text)) <= LONGER.get(name, 1.25) * long(without_expectations(written)) + 3


def test_resnet50_as_long_as_by_hand():
    text = folded(flat(load("zoo:resnet50")))
    assert long(text) <= 52
    assert "4*filters" in text
    assert "- residual:" in text
    assert "times: times" in text


# Small networks, looked at

RESNET = """
archcalc: 1
name: small_resnet
inputs: {x: [3, 32, 32]}
layers:
- conv: {name: conv1, filters: 16, kernel: 3, padding: 1, bias: false}
- batch_norm: {name: bn1}
- relu: {name: relu}
- conv: {name: layer1/0/conv1, filters: 16, kernel: 3, padding: 1, bias: false}
- batch_norm: {name: layer1/0/bn1}
- relu: {name: layer1/0/relu}
- conv: {name: layer1/0/conv2, filters: 64, kernel: 1, bias: false}
- conv: {name: layer1/0/downsample/0, from: relu, filters: 64, kernel: 1, bias: false}
- batch_norm: {name: layer1/0/downsample/1}
- add: {name: layer1/0/add1, from: [layer1/0/conv2, layer1/0/downsample/1]}
- conv: {name: layer1/1/conv1, filters: 16, kernel: 3, padding: 1, bias: false}
- batch_norm: {name: layer1/1/bn1}
- relu: {name: layer1/1/relu}
- conv: {name: layer1/1/conv2, filters: 64, kernel: 1, bias: false}
- add: {name: layer1/1/add1, from: [layer1/1/conv2, layer1/0/add1]}
- conv: {name: layer2/0/conv1, filters: 32, kernel: 3, padding: 1, stride: 2, bias: false}
- batch_norm: {name: layer2/0/bn1}
- relu: {name: layer2/0/relu}
- conv: {name: layer2/0/conv2, filters: 128, kernel: 1, bias: false}
- conv: {name: layer2/0/downsample/0, from: layer1/1/add1, filters: 128, kernel: 1, stride: 2, bias: false}
- batch_norm: {name: layer2/0/downsample/1}
- add: {name: layer2/0/add1, from: [layer2/0/conv2, layer2/0/downsample/1]}
- conv: {name: layer2/1/conv1, filters: 32, kernel: 3, padding: 1, bias: false}
- batch_norm: {name: layer2/1/bn1}
- relu: {name: layer2/1/relu}
- conv: {name: layer2/1/conv2, filters: 128, kernel: 1, bias: false}
- add: {name: layer2/1/add1, from: [layer2/1/conv2, layer2/0/add1]}
- conv: {name: layer2/2/conv1, filters: 32, kernel: 3, padding: 1, bias: false}
- batch_norm: {name: layer2/2/bn1}
- relu: {name: layer2/2/relu}
- conv: {name: layer2/2/conv2, filters: 128, kernel: 1, bias: false}
- add: {name: layer2/2/add1, from: [layer2/2/conv2, layer2/1/add1]}
- global_avg_pool
- flatten
- dense: {name: fc, units: 10}
"""

RESNET_FOLDED = """
archcalc: 1
name: small_resnet
source: a test
inputs: {x: [3, 32, 32]}
layers:
  - conv: {filters: 16, kernel: 3, padding: 1, bias: false}
  - batch_norm: {name: bn1}
  - relu: {name: relu}
  - layer: {filters: 16, stride: 1, times: 1}
  - layer: {filters: 32, stride: 2, times: 2}
  - global_avg_pool
  - flatten
  - dense: {name: fc, units: 10}
blocks:
  layer:
    args: {filters: null, stride: null, times: null}
    layers:
      - layer_block2: {name: "0", filters: filters, stride: stride}
      - repeat: {times: times, layers: [layer_block: {name: "", filters: filters}]}
  layer_block:
    args: {filters: 32}
    layers:
      - residual:
          - conv: {filters: filters, kernel: 3, padding: 1, bias: false}
          - batch_norm: {name: bn1}
          - relu: {name: relu}
          - conv: {filters: 4*filters, kernel: 1, bias: false}
  layer_block2:
    args: {filters: null, stride: null}
    layers:
      - conv: {filters: filters, kernel: 3, stride: stride, padding: 1, bias: false}
      - batch_norm: {name: bn1}
      - relu: {name: relu}
      - conv: {filters: 4*filters, kernel: 1, bias: false}
      - conv: {name: downsample/0, from: input, filters: 4*filters, kernel: 1, stride: stride,
          bias: false}
      - batch_norm: {name: downsample/1}
      - add: {from: [conv2, downsample/1]}
expect: {params: 129626, buffers: 672, macs: 44221696, output: [1, 10]}
"""

BRANCHES = """
archcalc: 1
name: small_inception
inputs: {image: {shape: [32, 32, 3], channels_last: true}}
layers:
- conv: {name: stem, filters: 16, kernel: 3, padding: same}
- conv: {name: mixed1/one/conv, from: stem, filters: 8, kernel: 1}
- relu: {name: mixed1/one/relu}
- conv: {name: mixed1/two/0/conv, from: stem, filters: 4, kernel: 1}
- relu: {name: mixed1/two/0/relu}
- conv: {name: mixed1/two/1/conv, filters: 8, kernel: 5, padding: 2}
- relu: {name: mixed1/two/1/relu}
- concat: {name: mixed1/concat1, from: [mixed1/one/relu, mixed1/two/1/relu, stem]}
- conv: {name: mixed2/one/conv, from: mixed1/concat1, filters: 12, kernel: 1}
- relu: {name: mixed2/one/relu}
- conv: {name: mixed2/two/0/conv, from: mixed1/concat1, filters: 6, kernel: 1}
- relu: {name: mixed2/two/0/relu}
- conv: {name: mixed2/two/1/conv, filters: 12, kernel: 3, padding: 1}
- relu: {name: mixed2/two/1/relu}
- concat: {name: mixed2/concat1, from: [mixed2/one/relu, mixed2/two/1/relu, mixed1/concat1]}
- global_avg_pool
- flatten
- dense: 10
"""

BRANCHES_FOLDED = """
archcalc: 1
name: small_inception
source: a test
inputs: {image: {shape: [32, 32, 3], channels_last: true}}
layers:
  - conv: {name: stem, filters: 16, kernel: 3, padding: same}
  - mixed: {filters: 8, kernel: 5}
  - mixed: {filters: 12, kernel: 3}
  - global_avg_pool
  - flatten
  - dense: 10
blocks:
  mixed:
    args: {filters: null, kernel: null}
    layers:
      - two_block: {name: one, filters: filters}
      - two_block: {name: two/0, from: input, filters: filters // 2}
      - two_block: {name: two/1, filters: filters, kernel: kernel}
      - concat: {from: [one, two/1, input]}
  two_block:
    args: {filters: null, kernel: 1}
    layers:
      - conv: {name: conv, filters: filters, kernel: kernel, padding: kernel // 2}
      - relu: {name: relu}
expect: {params: 3284, macs: 2712112, output: [1, 10]}
"""

TOKENS = """
archcalc: 1
name: small_transformer
inputs: {tokens: {shape: [16], dtype: int64}, scale: [1, 64]}
layers:
- embedding: {name: wte, from: tokens, vocabulary: 100, width: 64}
- multiply: {name: scaled, from: [wte, scale]}
- layer_norm: {name: h/0/ln_1}
- multi_head_attention: {name: h/0/attn, heads: 4}
- add: {name: h/0/add1, from: [h/0/attn, scaled]}
- layer_norm: {name: h/0/ln_2}
- dense: {name: h/0/mlp/fc, units: 256}
- gelu: {name: h/0/mlp/act}
- dense: {name: h/0/mlp/proj, units: 64}
- add: {name: h/0/add2, from: [h/0/mlp/proj, h/0/add1]}
- layer_norm: {name: h/1/ln_1}
- multi_head_attention: {name: h/1/attn, heads: 4}
- add: {name: h/1/add1, from: [h/1/attn, h/0/add2]}
- layer_norm: {name: h/1/ln_2}
- dense: {name: h/1/mlp/fc, units: 256}
- gelu: {name: h/1/mlp/act}
- dense: {name: h/1/mlp/proj, units: 64}
- add: {name: h/1/add2, from: [h/1/mlp/proj, h/1/add1]}
- layer_norm: {name: ln_f, trainable: false}
- dense: {name: lm_head, units: 100, bias: false, shared_with: wte}
outputs: [lm_head, ln_f]
"""

TOKENS_FOLDED = """
archcalc: 1
name: small_transformer
source: a test
inputs: {tokens: {shape: [16], dtype: int64}, scale: [1, 64]}
layers:
  - embedding: {name: wte, from: tokens, vocabulary: 100, width: 64}
  - multiply: {name: scaled, from: [wte, scale]}
  - repeat: {times: 2, start: 0, layers: [h_block: {name: h/}]}
  - layer_norm: {name: ln_f, trainable: false}
  - dense: {name: lm_head, shared_with: wte, units: 100, bias: false}
blocks:
  h_block:
    layers:
      - residual: [layer_norm: {name: ln_1}, multi_head_attention: {name: attn, heads: 4}]
      - residual: [layer_norm: {name: ln_2}, mlp: {name: mlp}]
  mlp:
    layers:
      - dense: {name: fc, units: 256}
      - gelu: {name: act}
      - dense: {name: proj, units: 64}
outputs: [lm_head, ln_f]
expect: {params: 106496, macs: 1740800, output: [1, 16, 100]}
"""


@pytest.mark.parametrize(
    "given, wanted",
    [(RESNET, RESNET_FOLDED), (BRANCHES, BRANCHES_FOLDED), (TOKENS, TOKENS_FOLDED)],
    ids=["resnet", "branches", "tokens"],
)
def test_what_is_written(given, wanted):
    model = flat(loads(given))
    assert folded(model, "a test") == wanted.strip()
    assert rows(loads(folded(model))) == rows(loads(given))


def test_digits_in_names_and_shared_calls_are_kept():
    names = ["features/0", "features/1", "features/2", "features/3", "features/1_2", "head/0/conv.a-b"]
    nodes, above = [], "x"
    for name in names:
        layer = layers.Conv(filters=4, kernel=1) if "1" not in name.split("/")[1] else layers.Activation("relu")
        nodes.append(Node(name, layer, (above,)))
        above = name
    model = Model("digits", {"x": Input((4, 8, 8))}, tuple(nodes), (above,))
    assert [row.name for row in loads(folded(model)).report().rows] == names


# Whatever graph


@given(st.integers(0, 10**9))
def test_random_graphs_keep_their_rows(seed):
    model = random_model(seed)
    text = folded(model)
    assert rows(loads(text)) == rows(model)
    assert folded(random_model(seed)) == text


def test_random_graphs_are_folded_and_not_only_listed():
    listed = [folded(random_model(seed), "x").count("\nblocks:") for seed in range(30)]
    assert sum(listed) >= 28


def test_what_does_not_read_back_is_not_handed_out(monkeypatch):
    tried = []

    def refuse(again, model):
        tried.append(again)
        return len(tried) == len(MANNERS) and same(again, model)

    monkeypatch.setattr("archcalc.dialects.yaml_fold.same", refuse)
    text = folded(flat(loads(RESNET)))
    assert "blocks:" not in text
    assert "name: layer1/0/conv1" in text
    assert MANNERS[-1] == Manner(levels=False, structures=False, repeats=False, inline=False)
    monkeypatch.setattr("archcalc.dialects.yaml_fold.same", lambda *_: False)
    with pytest.raises(ModelError, match="must be one that a spec can say; got 35 layers of small_resnet"):
        folded(flat(loads(RESNET)))


def test_the_comparison_can_fail():
    model = flat(loads(TOKENS))
    nodes = [Node(n.name, n.layer, n.inputs, True, n.shared_with) for n in model.nodes]
    assert not same(Model(model.name, model.inputs, tuple(nodes), model.outputs), model)
    assert not same(Model(model.name, model.inputs, model.nodes, model.outputs[:1]), model)
    assert not same(None, model)
    last = {"x": Input((3, 8, 8), None, channels_last=True)}
    one = (Node("relu1", layers.Activation("relu"), ("x",)),)
    assert not same(Model("m", {"x": Input((3, 8, 8))}, one, ("relu1",)), Model("m", last, one, ("relu1",)))


def test_names_that_no_spec_has_are_made_legal():
    assert [legal(name) for name in ("conv 1", "a//b", "-x/é", "ok/0")] == ["conv_1", "a/_/b", "_x/_", "ok/0"]
    nodes = [Node("a b", layers.Activation("relu"), ("x",)), Node("a_b", layers.Activation("relu"), ("a b",))]
    model = Model("odd", {"x": Input((3,))}, tuple(nodes), ("a_b",))
    assert [row.name for row in loads(folded(model)).report().rows] == ["a_b", "a_b_2"]


def test_fields_that_follow_the_inputs_stay_expressions():
    half = Size("max(image.height // 2, 1)")
    nodes = [
        Node(f"up/{n}", Sized(layers.AdaptiveAvgPool, (("size", (size, size)),)), (above,))
        for n, (above, size) in enumerate([("image", half), ("up/0", Size("image.height // 4"))])
    ]
    model = Model("sized", {"image": Input((3, 16, 16))}, tuple(nodes), ("up/1",))
    again = loads(folded(model))
    for size in (None, (24, 24)):
        assert [row.output for row in again.report(input=size).rows] == [
            row.output for row in model.report(input=size).rows
        ]


def test_a_partial_model_stays_partial():
    odd = Unknown("aten::fft", (1, 4, 8, 8), ((1, 4, 8, 8),))
    nodes = [Node("x/0", layers.Conv(filters=4, kernel=1), ("image",)), Node("x/1", odd, ("x/0",))]
    nodes.append(Node("source", Unknown("odd: {op}", (1, 2)), ()))
    model = Model("partial", {"image": Input((3, 8, 8))}, tuple(nodes), ("x/1", "source"))
    again = loads(folded(model))
    assert rows(again) == rows(model)
    assert again.report().status == "partial"
    assert again.report().notes == model.report().notes


def test_remarks_of_an_import_stand_above_the_spec():
    model = Model(
        "m", {"x": Input((3,))}, (Node("r", layers.Activation("relu"), ("x",)),), ("r",), remarks=("fixed at 3",)
    )
    assert folded(model).startswith("# fixed at 3\narchcalc: 1\nname: m\n")


@pytest.mark.parametrize("text", [RESNET, BRANCHES, TOKENS], ids=["resnet", "branches", "tokens"])
def test_the_schema_takes_what_is_written(text):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(read(folded(flat(loads(text))), "spec", []).plain, schema())


def test_a_thousand_nodes_take_no_time():
    model = random_model(5, 240)
    assert len(model.nodes) > 1000
    start = time.process_time()
    folded(model)
    assert time.process_time() - start < 2


# The command


def test_convert_to_blocks(tmp_path, capsys):
    spec, target = tmp_path / "flat.yaml", tmp_path / "new.yaml"
    spec.write_text(RESNET)
    assert main(["convert", str(spec), "--to", "blocks", "-o", str(target)]) == 0
    wanted = RESNET_FOLDED.strip().replace("source: a test", "source: read from flat.yaml by archcalc convert")
    assert target.read_text() == wanted + "\n"
    assert main(["check", str(target)]) == 0
    assert main(["diff", str(spec), str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("hold\n")[2])["rows"] == []
    assert main(["convert", str(spec), "--to", "blocks", "-o", str(spec)]) == 2
    assert capsys.readouterr().err == f"archcalc: -o: must not be the model itself; got {spec}\n"
    assert main(["convert", str(spec), "--to", "blocks", "--json"]) == 2
    assert capsys.readouterr().err == (
        "archcalc: convert: --to blocks takes no --input, --json or --weights; got one of them\n"
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flat.yaml", "new.yaml"]
