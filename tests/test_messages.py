"""What users read when something is wrong: each text is pinned whole, with its place, its way out and its exit code."""

import io
import sys

import pytest

from archcalc.cli.main import main

HEAD = "archcalc: 1\ninputs: {image: [3, 32, 32]}\nlayers:\n"


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder with model.yaml in it; the exit code and what went to stderr."""
    monkeypatch.chdir(tmp_path)

    def run(text, *arguments, file="model.yaml"):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / file).write_bytes(data)
        code = main([*(arguments or ("report", file))])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert code == 0 or out == ""
        return code, err

    return run


LAYER_MISTAKES = {
    "- con: {filters: 3, kernel: 3}": (
        "layers: must be a kind, a structure or a block; got con\n  at layers[0] in model.yaml:4:3: did you mean conv?"
    ),
    "- conv: {filers: 3, filters: 3, kernel: 3}": (
        "Conv: has no such field; got filers\n  at layers[0] in model.yaml:4:18: did you mean filters?"
    ),
    "- conv: {filters: 3}": "Conv: needs the field kernel (taps along each axis)\n  at layers[0] in model.yaml:4:3",
    "- conv: {filters: [3], kernel: 3}": "Conv: filters must be an integer; got [3]\n  at layers[0] in model.yaml:4:19",
    "- conv: {filters: 3.5, kernel: 3}": "Conv: filters must be an integer; got 3.5\n  at layers[0] in model.yaml:4:19",
    "- conv: {filters: 3, kernel: 3, bias: no}": (
        "Conv: bias must be true or false; got no\n  at layers[0] in model.yaml:4:39"
    ),
    "- conv: {filters: 3, kernel: 3, padding: sme}": (
        "Conv: padding must be an integer, a list of integers or [before, after] pairs, valid, same or causal; got sme\n"
        "  at layers[0] in model.yaml:4:42: did you mean same?"
    ),
    "- conv: {filters: 64, kernel: 3, groups: 3}": (
        "Conv: groups must divide the filters; got groups=3, filters=64\n  at layers[0] in model.yaml:4:3"
    ),
    "- conv: {filters: 64, kernel: 3, groups: 2}": (
        "Conv: groups must divide the input channels; got groups=2, channels=3\n"
        '  at layers[0] "conv1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- conv: {filters: 0, kernel: -1}": (
        "Conv: filters must be at least 1; got 0\n  at layers[0] in model.yaml:4:19\n"
        "Conv: kernel must be at least 1; got -1\n  at layers[0] in model.yaml:4:30\n2 problems"
    ),
    "- conv: {filters: 3, kernel: 3, stride: 0}": "Conv: stride must be at least 1; got 0\n  at layers[0] in model.yaml:4:41",
    "- conv: {filters: 3, kernel: [3, 3, 3]}": (
        "Conv: kernel must be one number, or one for each of 2 axes; got [3, 3, 3]\n"
        '  at layers[0] "conv1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- max_pool: 40": (
        "MaxPool: a window spanning 40 must fit its axis; got an axis of 32 padded by (0, 0)\n"
        '  at layers[0] "max_pool1" in model.yaml:4:3, input 1×3×32×32: this model needs at least --input 40x40'
    ),
    "- avg_pool: {kernel: 2, padding: 2}": (
        "AvgPool: padding must be at most half the kernel; got padding (2, 2), kernel 2\n"
        '  at layers[0] "avg_pool1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- global_avg_pool: false\n- conv: {filters: 3, kernel: 3}": (
        "Conv: the input must be (batch, channels, axes …); got 1×3\n"
        '  at layers[1] "conv1" in model.yaml:5:3, input 1×3'
    ),
    "- conv: {filters: w, kernel: 3}": "Conv: filters must use names that are known here; got w\n  at layers[0] in model.yaml:4:19",
    "- batch_norm: {scale: false, bias: false}": (
        "BatchNorm: affine needs a scale or a bias; got neither\n  at layers[0] in model.yaml:4:3"
    ),
    "- dense: __import__('os')": (
        "Dense: units may call only min, max, ceil and floor; got __import__('os')\n  at layers[0] in model.yaml:4:10"
    ),
    "- dense: image.__class__": (
        "Dense: units may hold only integers, names, + - * / // % ** and min max ceil floor; got image.__class__\n"
        "  at layers[0] in model.yaml:4:10"
    ),
    "- dense: 9**9**9**9": "Dense: units must keep its exponents whole, from 0 to 64; got 387420489\n  at layers[0] in model.yaml:4:10",
    "- dense: 2**64": "Dense: units must stay below 10**18; got more\n  at layers[0] in model.yaml:4:10",
    "- dense: 10000000000000000000": "Dense: units must stay below 10**18; got more\n  at layers[0] in model.yaml:4:10",
    "- dense: 1/0": "Dense: units must not divide by zero; got 1 / 0\n  at layers[0] in model.yaml:4:10",
    "- dense: 7/2": (
        "Dense: units must come out whole; got 7/2 = 7/2\n  at layers[0] in model.yaml:4:10: use // or ceil( )"
    ),
    "- dense: 3:4": (
        "Dense: units must be an integer or an integer expression; got '3:4'\n  at layers[0] in model.yaml:4:10"
    ),
    "- dense: " + "-" * 30 + "1": "Dense: units must nest at most 20 operations; got a deeper one\n  at layers[0] in model.yaml:4:10",
    "- dense: " + "1+" * 150 + "1": "Dense: units must have at most 200 characters; got 301\n  at layers[0] in model.yaml:4:10",
    "- dense: {units: 'max(1, 2', bias: true}": (
        "Dense: units must be an integer or an integer expression; got 'max(1, 2'\n"
        "  at layers[0] in model.yaml:4:18: in { } a comma ends the value: put it in quotes"
    ),
    "- relu: {name: a}\n- relu: {name: a}": "model: names must be unique; got 'a'\n  at layers[1] in model.yaml:5:3",
    "- relu: {name: a b}": (
        "Relu: a name must be letters, digits, _ . -, its levels joined by /; got 'a b'\n  at layers[0] in model.yaml:4:3"
    ),
    "- relu: {name: a//b}": (
        "Relu: a name must be letters, digits, _ . -, its levels joined by /; got 'a//b'\n  at layers[0] in model.yaml:4:3"
    ),
    "- relu: {name: a/}": (
        "model: a name that is only a number belongs into a repeat; got 'a/'\n  at layers[0] in model.yaml:4:3"
    ),
    '- relu: {name: ""}': (
        "model: a name that is only a number belongs into a repeat; got ''\n  at layers[0] in model.yaml:4:3"
    ),
    "- separable_conv: {name: a, filters: 4, kernel: 3}\n- relu: {name: a/depthwise}": (
        "Relu: names must be unique; got 'a/depthwise'\n"
        '  at layers[1] "a/depthwise" in model.yaml:5:3, input 1×4×30×30'
    ),
    "- unknown": "Unknown: needs the field operator (what it is called where it comes from)\n  at layers[0] in model.yaml:4:3",
    "- unknown: {operator: fft, output: [1, 3], taps: 4}": (
        "Unknown: has no such field; got taps\n  at layers[0] in model.yaml:4:3: known: operator, output, seen"
    ),
    "- unknown: {operator: fft, output: [0, 3]}": (
        "Unknown: sizes must be at least 1, the batch among them; got [0, 3]\n  at layers[0] in model.yaml:4:3"
    ),
    "- unknown: {operator: fft, output: 3}": "Unknown: output must be a list of integers; got 3\n  at layers[0] in model.yaml:4:3",
    "- unknown: {operator: fft, output: [1, 3], seen: [[1, 3, 16, 16]]}": (
        "Unknown: the output of fft is known for inputs of 1×3×16×16 only; got 1×3×32×32\n"
        '  at layers[0] "Unknown1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- unknown: 3": "Unknown: needs the field operator (what it is called where it comes from)\n  at layers[0] in model.yaml:4:3",
    "- repeat: {times: 2, start: -1, layers: [relu]}": (
        "repeat: start must be a number between 0 and 1,000,000; got -1\n  at layers[0] in model.yaml:4:3"
    ),
    "- relu: {from: later}\n- relu: {name: later}": (
        "from: must name an input or an earlier layer; got later\n  at layers[0] in model.yaml:4:3: known: image"
    ),
    "- relu: {name: me, from: me}": (
        "from: must name an input or an earlier layer; got me\n  at layers[0] in model.yaml:4:3: known: image"
    ),
    "- add": "Add: needs 2 or more inputs; got 1\n  at layers[0] \"add1\" in model.yaml:4:3: name them with from: [a, b]",
    "- relu: {from: [image, image]}": 'Relu: needs 1 input; got 2\n  at layers[0] "relu1" in model.yaml:4:3',
    "- max_pool: 2\n- add: {from: [max_pool1, image]}": (
        "Add: inputs must agree in every axis, or have size 1 there; got 1×3×16×16 and 1×3×32×32\n"
        '  at layers[1] "add1" in model.yaml:5:3, input 1×3×16×16 and 1×3×32×32'
    ),
    "- relu: , tanh: 1": "YAML: the text must be well-formed; got did not find expected node content\n  at model.yaml:4:9",
    "- {relu: , tanh: }": (
        "layers: a line is one kind with its fields; got the keys relu, tanh\n"
        "  at layers[0] in model.yaml:4:3: indent its fields"
    ),
    "- 17": "layers: a line is a kind, or a kind with its fields; got 17\n  at layers[0] in model.yaml:4:3",
    "- identity: 3": "Identity: takes no value; got one\n  at layers[0] in model.yaml:4:3: write `- identity`",
    "- repeat: {times: 1000000000, layers: [relu]}": (
        "repeat: times must lie between 0 and 1,000,000; got 1000000000\n  at layers[0] in model.yaml:4:3"
    ),
    "- residual: {body: [relu]}": (
        "residual: has no such field; got body\n  at layers[0] in model.yaml:4:3: known: layers, shortcut, name, from"
    ),
    "- relu: {branches: [[]]}": "Relu: has no such field; got branches\n  at layers[0] in model.yaml:4:20: known: name, from, trainable, shared_with",
    "- residual: {layers: [relu], shared_with: image}": (
        "residual: shared_with is for a single layer; got image\n  at layers[0] in model.yaml:4:3"
    ),
    "- concat: [relu, tanh]": (
        "concat: branches must be a list of lists of layers; got [relu, tanh]\n  at layers[0] in model.yaml:4:3"
    ),
    "- dense: {units: 3, shared_with: image}": (
        "Dense: shared_with must name an earlier layer with weights; got 'image'\n"
        '  at layers[0] "dense1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- dropout: 2": "Dropout: rate must lie between 0 and 1; got 2.0\n  at layers[0] in model.yaml:4:3",
    "- reshape: [5, -1]": (
        "Reshape: the new shape must hold the same values; got 3×32×32 to [5, -1]\n"
        '  at layers[0] "reshape1" in model.yaml:4:3, input 1×3×32×32: the next size that fits is --input 35x35'
    ),
    "- pixel_shuffle: 2": (
        "PixelShuffle: 4 = factor^axes must divide the channels; got channels=3\n"
        '  at layers[0] "pixel_shuffle1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- softmax: 4": (
        "Softmax: an axis must lie between 1 and 3, or -1 and -3; got 4\n"
        '  at layers[0] "softmax1" in model.yaml:4:3, input 1×3×32×32'
    ),
    "- resize: {scale: 2, size: 3}": (
        "Resize: give scale or size, not both; got scale=2, size=3\n  at layers[0] in model.yaml:4:3"
    ),
}  # fmt: skip


@pytest.mark.parametrize("layers", LAYER_MISTAKES, ids=lambda text: text[:40])
def test_mistakes_in_layers(ask, layers):
    assert ask(HEAD + layers + "\n") == (3, f"archcalc: {LAYER_MISTAKES[layers]}\n")


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
FILE_MISTAKES = {
    b"": "YAML: a spec is one document; got an empty file\n  at model.yaml:1:1",
    b"# nothing\n": "YAML: a spec is one document; got an empty file\n  at model.yaml:1:1",
    b"- relu\n": "spec: must be a mapping with inputs and layers; got [relu]\n  at model.yaml:1:1",
    b"archcalc: 1\nname: \xff\n": "model: must be UTF-8 text; got the byte 0xff\n  at model.yaml:2:7",
    b"a: 1\n---\nb: 2\n": "YAML: a spec is one document; got 2 documents\n  at model.yaml:3:1",
    b"a: !!python/object/apply:os.system [ls]\n": (
        "YAML: tags are not allowed: a spec is plain data; got 'tag:yaml.org,2002:python/object/apply:os.system'\n"
        "  at model.yaml:1:4"
    ),
    b"a: *b\n": "YAML: an alias must name an anchor that stands before it; got *b, no such anchor\n  at model.yaml:1:4",
    b"a: &a [*a]\n": "YAML: an alias must name an anchor that stands before it; got *a, inside itself\n  at model.yaml:1:8",
    BOMB.encode(): "YAML: a spec may hold at most 200,000 values, aliases written out; got more\n  at model.yaml:6:8",
    b"a: " + b"[" * 100: "YAML: must nest at most 60 levels; got more\n  at model.yaml:1:63",
    b"a: [1, 2\n": "YAML: the text must be well-formed; got did not find expected ',' or ']'\n  at model.yaml:2:1",
    b"inputs: {x: [3]}\nlayers: [relu]\n": (
        "spec: needs archcalc:; got none\n  at model.yaml:1:1: write `archcalc: 1` on the first line"
    ),
    b"archcalc: 2\ninputs: {x: [3]}\nlayers: [relu]\n": "archcalc: the version must be 1; got 2\n  at model.yaml:1:11",
    b"archcalc: 1\ninputs: {x: [0]}\nlayers: [relu]\n": (
        "inputs: the sizes of x must be at least 1; got [0]\n  at model.yaml:2:13"
    ),
    b"archcalc: 1\ninputs: {a: [3], b: [3]}\nlayers: [relu]\n": (
        "model: the first layer of a model with several inputs must say which it reads\n"
        "  at layers[0] in model.yaml:3:10: from: one of a, b"
    ),
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: []\n": "layers: needs at least one layer; got none\n  at model.yaml:3:9",
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: [u]\nblocks: {u: {layers: [v]}, v: {layers: [u]}}\n": (
        "blocks: must not use themselves; got u \N{RIGHTWARDS ARROW} v \N{RIGHTWARDS ARROW} u\n"
        "  at blocks.v.layers[0] in model.yaml:4:41"
    ),
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: [relu]\nblocks: {conv: {layers: [relu]}}\n": (
        "blocks: must not take the name of a kind; got conv\n  at model.yaml:4:16"
    ),
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: [u: 3, relu]\nblocks: {u: {layrs: [relu]}}\n": (
        "blocks: u needs layers:; got none\n  at model.yaml:4:13\n"
        "blocks: u: has no such key; got layrs\n  at model.yaml:4:14: did you mean layers?\n2 problems"
    ),
    b"archcalc: 1\ninputs: {x: {shape: [3], dtype: int63}}\nlayers: [relu]\n": (
        "inputs: dtype must be one of float64, float32, float16, bfloat16, float8, int64, int32, int16, int8, uint8, bool, int4; "
        "got int63\n  at model.yaml:2:13"
    ),
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: [relu]\nexpect: {parms: 3}\n": (
        "expect: has no such key; got parms\n  at model.yaml:4:10: did you mean params?"
    ),
    b"archcalc: 1\ninputs: {x: [3]}\nlayers: [relu]\nset: {a: b}\n": (
        "set: a must use names that are known here; got b\n  at model.yaml:4:10"
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", FILE_MISTAKES, ids=lambda data: repr(data[:40]))
def test_mistakes_in_files(ask, data):
    assert ask(data) == (3, f"archcalc: {FILE_MISTAKES[data]}\n")


def test_all_problems_of_a_file_are_reported_together_in_order(ask):
    text = HEAD + "- conv: {filers: 3, kernel: z}\n- relu: {name: a, name: b}\n- max_pool: 40\n- tanhh\n"
    text += "- conv: {name: late, from: image, filters: 4, kernel: 50}\noutputs: nix\n"
    code, err = ask(text)
    assert code == 3
    assert err == (
        "archcalc: Conv: needs the field filters (output channels)\n  at layers[0] in model.yaml:4:3\n"
        "Conv: has no such field; got filers\n  at layers[0] in model.yaml:4:18: did you mean filters?\n"
        "Conv: kernel must use names that are known here; got z\n  at layers[0] in model.yaml:4:29\n"
        "YAML: a key must stand once in its mapping; got 'name', here and in line 5\n  at model.yaml:5:19\n"
        "layers: must be a kind, a structure or a block; got tanhh\n  at layers[3] in model.yaml:7:3: did you mean tanh?\n"
        "Conv: a window spanning 50 must fit its axis; got an axis of 32 padded by (0, 0)\n"
        '  at layers[4] "late" in model.yaml:8:3, input 1×3×32×32\n'
        "from: must name an input or an earlier layer; got nix\n  at model.yaml:9:10: known: image, a, max_pool1, late\n"
        "7 problems\n"
    )


GOOD = HEAD + "- conv: {filters: 4, kernel: 3}\n- flatten\n- dense: 10\n"
COMMAND_MISTAKES = {
    ("report", "model.yaml", "--input", "1024*1024"): (
        2, "--input: must be sizes joined by x, such as 1024x1024; got '1024*1024'\n  did you mean 1024x1024?"
    ),
    ("report", "model.yaml", "--input", "5"): (
        2, "--input: input image (3×32×32) takes 2 sizes, or 3 with the channels first; got 1: 5"
    ),
    ("report", "model.yaml", "--input", "0x5"): (2, "--input: must be at least 1 and at most 10**18; got 0"),
    ("report", "model.yaml", "--input", "big=5x5"): (
        2, "--input: must name an input of the model; got 'big'\n  known: image"
    ),
    ("report", "model.yaml", "--batch", "0"): (2, "batch: must be at least 1 and at most 10**18; got 0"),
    ("report", "model.yaml", "--depth", "0"): (2, "depth: must be at least 1; got 0"),
    ("report", "model.yaml", "--set", "w=3"): (2, "--set: this spec has no set: to override; got w"),
    ("report", "zoo:digits", "--set", "widht=3"): (
        2, "--set: must name a hyperparameter of the spec; got widht\n  did you mean width?"
    ),
    ("report", "zoo:digits", "--set", "width"): (2, "--set: must be NAME=VALUE; got 'width'\n  such as --set width=64"),
    ("report", "zoo:digits", "--set", "width=1.5"): (2, None),
    ("report", "zoo:digits", "--set", "width=0"): (
        3, "with --set width=0:\narchcalc: Conv: filters must be at least 1; got 0\n  at layers[0] in zoo/digits.yaml:8:21\n"
        "Conv: filters must be at least 1; got 0\n  at layers[2] in zoo/digits.yaml:10:34\n2 problems"
    ),
    ("report", "model.yaml", "--columns", "name,mac"): (
        2, "columns: must be columns of the report; got 'mac'\n  did you mean macs?"
    ),
    ("report", "model.yaml", "--style", "keras", "--json"): (
        2, "--style keras: is a layout of its own: --format, --columns and --layout do not apply; got one of them"
    ),
    ("report", "model.yaml", "-o", "no/such/folder/x"): (
        2, "-o: must be a file that can be written; got no/such/folder/x: No such file or directory"
    ),
    ("report", "modle.yaml"): (3, "model: no such file; got modle.yaml\n  did you mean model.yaml?"),
    ("report", "digits"): (3, "model: no such file; got digits\n  did you mean zoo:digits?"),
    ("report", "zoo:resnet51"): (3, "zoo: has no such model; got resnet51\n  did you mean resnet50?"),
    ("report", "."): (3, "model: must be a file; got the directory ."),
    ("layers", "con"): (2, "layers: no such kind; got con\n  did you mean conv?"),
    ("zoo", "vgg166"): (2, "zoo: has no such model; got vgg166\n  did you mean vgg16?"),
    ("check", "model.yaml"): (
        2, "check: needs an expect: block in the model or a budget such as --max-params 10k; got neither"
    ),
    ("check", "model.yaml", "--max-params", "10x"): (
        2, "--max-params: must be a count such as 9150, 10k or 1.5M; got '10x'"
    ),
    ("check", "model.yaml", "--max-output-bytes", "0.0001kB"): (
        2, "--max-output-bytes: must be a whole number; got '0.0001kB' = 0.1"
    ),
}  # fmt: skip


@pytest.mark.parametrize("arguments", COMMAND_MISTAKES, ids=" ".join)
def test_mistakes_on_the_command_line(ask, arguments):
    code, text = COMMAND_MISTAKES[arguments]
    given_code, given_text = ask(GOOD, *arguments)
    assert given_code == code
    assert given_text.startswith("archcalc: ")
    assert text is None or given_text == f"archcalc: {text}\n"


def test_options_that_do_not_exist_are_refused_by_the_parser(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["report", "zoo:digits", "--frmat", "csv"])
    assert exit_.value.code == 2
    assert "unrecognized arguments: --frmat csv" in capsys.readouterr().err


def test_nothing_is_left_behind_when_a_file_cannot_be_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    assert main(["report", "zoo:digits", "-o", "folder"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert main(["report", "zoo:digits", "-o", "out.txt"]) == 0
    assert (tmp_path / "out.txt").read_text().startswith("digits: image 1×1×28×28, float32\n")
    assert capsys.readouterr().out == ""


def test_standard_input(monkeypatch, capsys):
    class Piped:
        buffer = io.BytesIO(GOOD.encode())

    monkeypatch.setattr(sys, "stdin", Piped)
    assert main(["report", "-", "--columns", "name,params"]) == 0
    assert "standard input: image 1×3×32×32" in capsys.readouterr().out


def test_the_smallest_input_of_a_deep_network(capsys):
    assert main(["report", "zoo:vgg16", "--input", "3x20x700"]) == 3
    assert capsys.readouterr().err == (
        "archcalc: MaxPool: a window spanning 2 must fit its axis; got an axis of 1 padded by (0, 0)\n"
        '  at blocks.stage.layers[1] "stage5/max_pool1" in zoo/vgg16.yaml:31:9, input 1×512×1×43:'
        " this model needs at least --input 32x700\n"
    )


def test_the_next_size_that_fits_a_network_with_skips(capsys):
    assert main(["report", "zoo:unet", "--input", "512x600"]) == 3
    assert capsys.readouterr().err.endswith("the next size that fits is --input 524x604\n")
