"""Memory: classroom figures, laws between its quantities, closed forms, the page, the command and its messages."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.cli.main import main
from archcalc.errors import ArchcalcError
from archcalc.questions.account import OPTIMIZERS, Choices

TRAINING = {"training": True, "optimizer": "momentum"}
SMALL = ["digits", "exercise_e", "exercise_m", "exercise_o", "lenet5", "resnet18", "mobilenet_v2", "googlenet"]


def memory(name, **options):
    return archcalc.load(f"zoo:{name}").memory(**options)


# What a classroom works out by hand


def test_exercise_m():
    """The weights and the two neighbouring maps that take most; in training every map of the batch, once."""
    assert memory("exercise_m").classroom["inference"] == 12_613_600 == 9_000_000 + 3_613_600
    found = memory("exercise_m", batch=50, training=True)
    assert found.classroom["training"] == 565_613_600 == 526_000_000 + 36_000_000 + 3_613_600
    assert [row.output_bytes for row in found.rows] == [50 * 6_000_000, 50 * 3_000_000, 50 * 1_520_000]
    assert found.quantities["weight_bytes"] == 4 * 903_400


def test_the_honest_figure_of_exercise_m():
    """At inference the input and each map are padded first where the padding is odd; a map goes when it has been read."""
    found = memory("exercise_m", allocator="exact")
    second = 4 * 100 * 101 * 151  # the first map, 100 × 150, padded to what stride 2 reaches
    assert found.inference.parts == {
        "weights": 3_613_600, "inputs": 720_000, "values in flight": 9_000_000, "made within one layer": second,
    }  # fmt: skip


def test_exercise_n():
    assert memory("exercise_n").rows[0].output_bytes == 12_000_000
    assert memory("exercise_n", batch=100).rows[0].output_bytes == 1_200_000_000
    assert memory("exercise_n").quantities["weight_bytes"] == 4 * 15_200


def test_by_hand():
    """Two dense layers and a relu on 8 numbers, batch 2: every moment of a step worked out on paper."""
    model = archcalc.loads("archcalc: 1\ninputs: {x: [8]}\nlayers:\n  - dense: 16\n  - relu\n  - dense: 4\n")
    found = model.memory(batch=2, allocator="exact", **TRAINING)
    weights, x, h, y = 4 * (8 * 16 + 16 + 16 * 4 + 4), 64, 128, 32
    standing = 2 * weights + x  # the momentum is as large
    first, second = 4 * (8 * 16 + 16), 4 * (16 * 4 + 4)
    assert [(moment.phase, moment.name, moment.bytes - standing) for moment in found.moments] == [
        ("forward", "dense1", h),
        ("forward", "relu1", 2 * h),
        ("forward", "dense2", h + y),
        ("backward", "dense2", h + y + y + h + second),  # its output, that one's gradient, its input's, its weights'
        ("backward", "relu1", h + y + 2 * h + second),
        ("backward", "dense1", y + h + first + second),
        ("step", "momentum", first + second),
    ]  # fmt: skip
    assert found.quantities == {
        "weight_bytes": weights, "buffer_bytes": 0, "input_bytes": x, "output_bytes": 2 * h + y, "saved_bytes": h,
        "gradient_bytes": weights, "optimizer_bytes": weights, "inference_peak_bytes": weights + x + 2 * h,
        "training_peak_bytes": standing + first + second + y + h,
    }  # fmt: skip


# Laws


@st.composite
def choices(draw):
    """Any choices that go together."""
    chosen = {"training": draw(st.booleans()), "hold": draw(st.sampled_from(["reads", "blocks"]))}
    chosen |= {"allocator": draw(st.sampled_from(["cuda", "exact"])), "in_place": draw(st.booleans())}
    dtype = draw(st.sampled_from(["float32", "float16", "float64"]))
    if dtype == "float32":
        chosen["amp"] = draw(st.sampled_from([None, "bfloat16", "float16"]))
    if chosen["training"]:
        chosen |= {"optimizer": draw(st.sampled_from(sorted(OPTIMIZERS))), "set_to_none": draw(st.booleans())}
        chosen |= {"checkpoint": draw(st.sampled_from([None, 1, 2, 5])), "depth": draw(st.sampled_from([1, 2]))}
        chosen["master"] = dtype == "float16" and draw(st.booleans())
    return chosen | {"dtype": dtype, "batch": draw(st.integers(1, 9))}


@settings(max_examples=60)
@given(st.sampled_from(SMALL), choices())
def test_parts_and_rows_add_up(name, options):
    found = memory(name, **options)
    for peak in (found.inference, found.training):
        assert peak is None or sum(peak.parts.values()) == peak.bytes
    assert max(moment.bytes for moment in found.moments) == found.peak.bytes
    assert sum(row.output_bytes for row in found.rows) == found.quantities["output_bytes"]
    assert sum(row.saved_bytes for row in found.rows) == found.quantities.get("saved_bytes", 0)
    assert found.reserved_bytes >= found.peak.bytes - found.peak.parts.get("rounding", 0)
    assert (found.training is None) == (not options["training"])
    live = {}
    for block, size in found.events:
        assert (block in live) == (size == 0)
        live = {**live, block: size} if size else {other: n for other, n in live.items() if other != block}
    assert all(block.startswith("gradient of ") for block in live)


@settings(max_examples=40)
@given(st.sampled_from(SMALL), choices())
def test_a_larger_batch_never_takes_less(name, options):
    small = memory(name, **options)
    large = memory(name, **{**options, "batch": options["batch"] + 1})
    for key, size in small.quantities.items():
        assert large.quantities[key] >= size, key


@settings(max_examples=40)
@given(st.sampled_from(SMALL), choices())
def test_what_a_knob_may_change(name, options):
    """Blocks hold longer, rounding adds, overwriting saves, checkpoints are about training alone."""
    found = memory(name, **options)
    reads = memory(name, **{**options, "hold": "reads"})
    assert found.inference.bytes >= reads.inference.bytes
    assert found.peak.bytes >= reads.peak.bytes
    exact = memory(name, **{**options, "allocator": "exact"})
    assert exact.peak.bytes <= found.peak.bytes
    assert "rounding" not in exact.peak.parts
    copied = memory(name, **{**options, "in_place": False})
    assert found.inference.bytes <= copied.inference.bytes
    whole = memory(name, **{**options, "checkpoint": None})
    assert found.inference == whole.inference
    assert {**found.quantities, "training_peak_bytes": 0} == {**whole.quantities, "training_peak_bytes": 0}


@pytest.mark.parametrize("name", SMALL)
def test_a_layer_keeps_no_more_than_it_reads_and_makes(name):
    report = archcalc.load(f"zoo:{name}").walk(archcalc.load(f"zoo:{name}").report(batch=3).inputs)
    found = memory(name, batch=3, training=True)
    for use, row in zip(report, found.rows, strict=True):
        cells = sum(4 * n for n in map(_cells, (*use.xs, use.answers.y)))
        assert row.saved_bytes <= 4 * cells  # indices are eight bytes wide, and some own tensors as large as the output


def _cells(shape):
    total = 1
    for size in shape:
        total *= size
    return total


def test_optimizers_cost_what_their_table_says():
    none = memory("resnet18", training=True, optimizer="none")
    weights = none.quantities["weight_bytes"]
    for name, (stored, _) in OPTIMIZERS.items():
        found = memory("resnet18", training=True, optimizer=name)
        assert found.quantities["optimizer_bytes"] == stored * weights
        assert found.training.bytes >= none.training.bytes + stored * weights


def test_a_float32_copy_of_half_weights():
    half = memory("resnet18", training=True, dtype="float16")
    master = memory("resnet18", training=True, dtype="float16", master=True)
    assert master.quantities["master_bytes"] == 2 * master.quantities["weight_bytes"]
    assert master.quantities["optimizer_bytes"] == 2 * half.quantities["optimizer_bytes"]
    assert "master_bytes" not in half.quantities


def test_gradients_that_stay_are_there_from_the_start():
    away, stay = (memory("vgg16", set_to_none=flag, allocator="exact", **TRAINING) for flag in (True, False))
    assert stay.moments[0].bytes - away.moments[0].bytes == away.quantities["gradient_bytes"]
    assert stay.training.bytes > away.training.bytes


def test_a_frozen_network_has_no_gradients():
    spec = (
        "archcalc: 1\ninputs: {x: [3, 8, 8]}\nlayers:\n  - conv: {filters: 4, kernel: 3, trainable: false}\n  - relu\n"
    )
    found = archcalc.loads(spec).memory(training=True)
    assert [found.quantities[f"{name}_bytes"] for name in ("saved", "gradient", "optimizer")] == [0, 0, 0]
    assert found.training.bytes == found.inference.bytes


def test_what_is_not_known_is_said():
    spec = "archcalc: 1\ninputs: {x: [4, 6]}\nlayers:\n  - permute: [0, 2, 1]\n  - dense: 3\n"
    found = archcalc.loads(spec).memory(training=True)
    note = "what training keeps is a lower bound: permute1: what reads a permuted tensor may keep a copy of it"
    assert (found.status, found.notes) == ("partial", (note,))
    assert f"Status: partial\nNote: {note[:70]}" in str(found).replace("\n  ", " ")[
        : -len(note) + 80
    ] or "partial" in str(found)
    assert archcalc.loads(spec).memory().notes == ()


# Closed forms


@pytest.mark.parametrize(("name", "sizes"), [
    ("digits", [(28, 40, 3), (50, 31, 1)]), ("exercise_e", [(32, 32, 2), (41, 60, 5)]), ("exercise_m", [(200, 300, 50), (64, 32, 3)]),
])  # fmt: skip
def test_closed_forms_are_the_account(name, sizes):
    """Sums hold at every size; a peak is what its moment takes, and so at most the peak."""
    model, (at, other) = archcalc.load(f"zoo:{name}"), sizes
    found = model.memory(at[:2], batch=at[2], allocator="exact", **TRAINING)
    forms = found.forms()
    assert list(forms) == list(found.quantities)
    assert {key: _at(form, at) for key, form in forms.items()} == found.quantities
    there = model.memory(other[:2], batch=other[2], allocator="exact", **TRAINING)
    for key, form in forms.items():
        value = _at(form, other)
        assert value <= there.quantities[key] if "peak" in key else value == there.quantities[key], key


def _at(form, sizes):
    import sympy

    values = dict(zip("HWN", sizes, strict=True))
    return int(sympy.sympify(form).subs({symbol: values[symbol.name] for symbol in sympy.sympify(form).free_symbols}))


# The page and the command


def run(capsys, *arguments):
    code = main(["memory", *arguments])
    return code, *capsys.readouterr()


@pytest.mark.parametrize("name", [*SMALL, "densenet121", "alexnet_2012"])
@pytest.mark.parametrize(
    "more", [[], ["--training"], ["--training", "--amp", "float16", "--checkpoint", "every=2", "--classroom"]], ids=len
)
def test_the_page_fits_a_terminal(name, more, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(capsys, f"zoo:{name}", "--batch", "3", *more)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80


def test_the_columns_add_up(capsys):
    """As a reader would: the parts of the peak are the peak that the page names."""
    _, out, _ = run(capsys, "zoo:resnet18", "--training", "--batch", "4")
    block = out.split("At the training peak")[1].split("timeline")[0].splitlines()[1:]
    parts = [int(line.split("  ")[-2].replace(",", "")) for line in block if line.strip()]
    (peak,) = [line for line in out.splitlines() if line.startswith("training peak")]
    assert f" {sum(parts):,} " in peak


def test_json(capsys):
    code, out, _ = run(capsys, "zoo:digits", "--training", "--batch", "2", "--formula", "--json")
    found = json.loads(out)
    assert code == 0
    assert list(found) == [
        "schema_version", "tool", "model", "inputs", "dtype", "choices", "status", "notes", "rows", "totals", "peaks",
        "classroom", "timeline", "forms",
    ]  # fmt: skip
    assert list(found["totals"]) == [
        "weight_bytes", "buffer_bytes", "input_bytes", "output_bytes", "saved_bytes", "gradient_bytes", "optimizer_bytes",
        "inference_peak_bytes", "training_peak_bytes", "reserved_bytes",
    ]  # fmt: skip
    assert found["choices"].keys() == set(Choices.__struct_fields__)
    assert found["rows"][0] == {"name": "conv1", "kind": "conv", "output_bytes": 92_160, "saved_bytes": 0}
    for name in ("inference", "training"):
        assert (
            found["peaks"][name]["bytes"]
            == sum(found["peaks"][name]["parts"].values())
            == found["totals"][f"{name}_peak_bytes"]
        )
    assert max(moment["bytes"] for moment in found["timeline"]) == found["totals"]["training_peak_bytes"]


def test_csv(capsys, tmp_path):
    path = tmp_path / "layers.csv"
    assert run(capsys, "zoo:exercise_g", "--training", "-o", str(path)) == (0, "", "")
    assert path.read_text() == "name,kind,output_bytes,saved_bytes\nconv1,conv,1280,0\nconv2,conv,288,1280\n"


def test_a_drawing(tmp_path, capsys):
    path = tmp_path / "time.svg"
    assert run(capsys, "zoo:digits", "--training", "--plot", str(path))[0] == 0
    assert "<svg" in path.read_text()


def test_a_network_of_nothing_that_runs():
    model = archcalc.loads("archcalc: 1\ninputs: {x: [4]}\nlayers:\n  - identity\n")
    found = model.memory(training=True)
    assert found.training.bytes == found.inference.bytes == 512
    assert str(found)


MISTAKES = [
    (["--amp", "float16", "--dtype", "float16"], 2, "--amp: mixed precision keeps float32 weights; got --dtype float16"),
    (["--checkpoint", "every=1"], 2, "--checkpoint: is about training; got no --training"),
    (["--training", "--checkpoint", "foo"], 2,
     "--checkpoint: must be every=K; got 'foo'\n  such as every=4, or every=1,depth=2 for each block inside a block"),
    (["--training", "--checkpoint", "every=0"], 2,
     "--checkpoint: must be every=K; got 'every=0'\n  such as every=4, or every=1,depth=2 for each block inside a block"),
    (["--optimizer", "sgd"], 2, "--optimizer: is about training; got no --training"),
    (["--keep-gradients"], 2, "--keep-gradients: is about training; got no --training"),
    (["--master-weights"], 2, "--master-weights: is about training; got no --training"),
    (["--training", "--master-weights"], 2, "--master-weights: is about float16 and bfloat16; got --dtype float32"),
    (["--training", "--dtype", "int8"], 2, "--training: computes in float64, float32, float16, bfloat16; got --dtype int8"),
    (["--plot", "x.pdf"], 2, "--plot: must be an .svg or .png file; got x.pdf"),
    (["-o", "x.md"], 2, "--format: must be text, csv or json; got markdown"),
    (["--input", "3x3"], 3,
     "Conv: a window spanning 5 must fit its axis; got an axis of 3 padded by (0, 0)\n"
     '  at layers[0] "conv1" in zoo/digits.yaml:8:5, input 1×1×3×3: this model needs at least --input 28x28'),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "message"), MISTAKES, ids=[" ".join(line) for line, _, _ in MISTAKES])
def test_mistakes_on_the_command_line(arguments, code, message, capsys):
    assert run(capsys, "zoo:digits", *arguments) == (code, "", f"archcalc: {message}\n")


@pytest.mark.parametrize(
    "option", [["--optimizer", "lion"], ["--amp", "float32"], ["--hold", "all"]], ids=lambda line: line[0]
)
def test_words_that_are_not_known(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["memory", "zoo:digits", "--training", *option])
    assert stopped.value.code == 2
    assert f"archcalc memory: error: argument {option[0]}: invalid choice: '{option[1]}'" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "message"), [
    ({"optimizer": "lion"}, "optimizer: must be one of none, sgd, momentum, adam, adamw, rmsprop, adagrad; got 'lion'"),
    ({"amp": "float32"}, "amp: must be one of float16, bfloat16; got 'float32'"),
    ({"hold": "all"}, "hold: must be one of reads, blocks; got 'all'"),
    ({"allocator": "mine"}, "allocator: must be one of cuda, exact; got 'mine'"),
    ({"training": "yes"}, "training: must be True or False; got 'yes'"),
    ({"training": True, "checkpoint": True}, "--checkpoint: must be every=K with K at least 1; got True"),
    ({"training": True, "checkpoint": 2.5}, "--checkpoint: must be every=K with K at least 1; got 2.5"),
    ({"training": True, "checkpoint": 1, "depth": 0}, "--checkpoint: must be depth=D with D at least 1; got 0"),
    ({"set_to_none": False}, "--keep-gradients: is about training; got no --training"),
], ids=str)  # fmt: skip
def test_mistakes_in_python(options, message):
    with pytest.raises(ArchcalcError) as caught:
        memory("digits", **options)
    assert str(caught.value).partition("\n")[0] == message


def test_an_option_that_is_not_known():
    with pytest.raises(ArchcalcError, match=r"memory: must be one of training, optimizer, amp, .*; got 'batch_size'"):
        memory("digits", batch_size=3)
