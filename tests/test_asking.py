"""The commands that ask for more than one size, as a newcomer types them: options given twice, endings, several inputs."""

import json

import pytest

import archcalc
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.questions.slips import judge
from archcalc.views.formula import program

TWO = """\
archcalc: 1
inputs: {left: [3, 32, 32], right: [1, 16, 16]}
layers:
- conv: {name: half, from: left, filters: 1, kernel: 3, stride: 2, padding: same}
- add: {from: [half, right]}
"""


def out(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_channels_are_a_letter():
    """A convolution of 10 filters of 5×5 over C channels and its bias; a network with layers that have no windows."""
    form = archcalc.load("zoo:exercise_i").closed_form("params", symbols="C")
    assert form.written("text") == "300·C + 17654"  # 12·25·C, and 12 + 9,632 + 8,010
    assert form(C=3) == 18_554
    assert archcalc.load("zoo:resnet50").closed_form("params", symbols=["H", "C"])(H=64, C=3) == 25_557_032


def test_options_that_are_given_twice_add_up(capsys):
    once = out(capsys, "formula", "zoo:digits", "--of", "macs,params", "--symbols", "H,N")
    assert (
        out(capsys, "formula", "zoo:digits", "--of", "macs", "--of", "params", "--symbols", "H", "--symbols", "N")
        == once
    )
    once = out(capsys, "solve", "zoo:digits", "--max", "input", "--subject-to", "macs <= 1G, output_bytes <= 9MB")
    assert (
        out(
            capsys,
            "solve",
            "zoo:digits",
            "--max",
            "input",
            "--subject-to",
            "macs <= 1G",
            "--subject-to",
            "output_bytes <= 9MB",
        )
        == once
    )
    once = out(capsys, "sweep", "zoo:digits", "--batch", "1,8", "--of", "macs,params")
    assert out(capsys, "sweep", "zoo:digits", "--batch", "1", "--batch", "8", "--of", "macs", "--of", "params") == once


def test_the_ending_of_a_file_says_the_format(tmp_path):
    paths = {name: str(tmp_path / name) for name in ("f.py", "f.tex", "f.json", "d.json", "d.md", "s.json")}
    for name in ("f.py", "f.tex", "f.json"):
        assert main(["formula", "zoo:digits", "--of", "macs", "-o", paths[name]]) == 0
    for name in ("d.json", "d.md"):
        assert main(["diff", "zoo:digits", "--batch-b", "2", "-o", paths[name]]) == 0
    assert main(["solve", "zoo:digits", "--max", "batch", "--subject-to", "macs <= 1G", "-o", paths["s.json"]]) == 0
    texts = {name: (tmp_path / name).read_text() for name in paths}
    space = {}
    exec(texts["f.py"], space)  # noqa: S102 - what it is for
    assert space["macs"](28, 28) == 653_000
    assert r"\cdot" in texts["f.tex"]
    assert [json.loads(texts[name])["schema_version"] for name in ("f.json", "d.json", "s.json")] == [1, 1, 1]
    assert texts["d.md"].count("|") > 20


def test_sizes_of_several_inputs_are_tried_together():
    model = archcalc.loads(TWO)
    macs = {n: 9 * 3 * n * n for n in (16, 32)}  # 3×3 over 3 channels at each of n² stops
    found = model.sweep(["left=32,64", "right=16,32"], of="macs")
    assert found.axes == ("N", "H_left", "W_left", "H_right", "W_right")
    wanted = {(32, 16): macs[16], (32, 32): None, (64, 16): None, (64, 32): macs[32]}
    assert {(row[1], row[3]): row[-1] for row in found.rows()} == wanted
    form = model.closed_form("macs")
    assert form(H_left=64, W_left=64, H_right=32, W_right=32) == macs[32]
    with pytest.raises(archcalc.ArchcalcError, match="inputs must agree in every axis"):
        form(H_left=64, W_left=64, H_right=16, W_right=16)
    assert "of H_left, W_left, H_right, W_right not checked" in str(form)


def test_inputs_with_a_comma_between_them(tmp_path, capsys):
    (tmp_path / "two.yaml").write_text(TWO)
    page = out(
        capsys,
        "sweep",
        str(tmp_path / "two.yaml"),
        "--input",
        "left=64x64,right=32x32",
        "--of",
        "macs",
        "--format",
        "csv",
    )
    assert page == f"N,H_left,W_left,H_right,W_right,macs\n1,64,64,32,32,{27 * 32 * 32}\n"


def test_what_is_refused_is_said_in_every_format(capsys):
    for style in ("text", "markdown", "json", "csv"):
        assert main(["sweep", "zoo:digits", "--input", "20,28", "--format", style]) == 0
        assert (
            capsys.readouterr().err == "archcalc: sweep: the model refuses 1 of 2 points; their costs are left empty\n"
        )


def test_an_assumed_size_is_in_its_place():
    form = archcalc.load("zoo:digits").closed_form("macs", assume="H == 28")
    assert form.inputs == {"image": (1, 1, 28, form.inputs["image"][3])}
    assert form(W=28) == 653_000
    assert form.conditions[0] == "assumed: H == 28"
    multiple = archcalc.load("zoo:digits").closed_form("macs", assume="H % 8 == 2, W % 4 == 0")
    assert multiple.conditions[-1] == "exact fit: at no size"


def test_python_takes_what_reports_take():
    model = archcalc.load("zoo:digits")
    for given in ((28, 32), "28x32"):
        assert next(iter(model.sweep(given, of="macs").rows()))[1:3] == (28, 32)
    assert next(iter(model.sweep(64, of="macs").rows()))[1:3] == (64, 64)
    form = model.closed_form("macs")
    for sizes, text in (
        ({"H": 28.5, "W": 28}, "formula: must be whole numbers; got 28.5"),
        ({"H": "28", "W": 28}, "formula: must be whole numbers; got '28'"),
    ):
        with pytest.raises(UsageError) as error:
            form(**sizes)
        assert str(error.value) == text
    with pytest.raises(UsageError) as error:
        form.written("LaTeX")
    assert (
        str(error.value)
        == "style: must be one of text, ascii, latex, mathml, python, js; got 'LaTeX'\n  known: text, ascii, latex, mathml, python, js"
    )


def test_a_batch_of_nothing_is_no_second_side(capsys):
    assert main(["diff", "zoo:digits", "--batch-b", "0"]) == 2
    assert capsys.readouterr().err == "archcalc: batch: must be at least 1 and at most 10**18; got 0\n"


def test_where_the_floor_bites_the_names_have_it_too():
    (working,) = archcalc.load("zoo:exercise_e").explain(layer="max_pool2").layers
    assert (working.steps[0].value.said(), working.steps[0].value.shown()) == ("⌊height/kernel⌋", "⌊11/2⌋")


HEAD = "archcalc: 1\ninputs: {x: %s}\n"


@pytest.mark.parametrize("text", ["H % 3 == 1", "H % 5 == 1", "H % 6 == 2", "H % 7 == 0"])
def test_assumptions_that_no_stride_asks_for(text):
    """Fractions of a size are whole only together: the program, the function and the report agree."""
    model, modulus, rest = archcalc.load("zoo:digits"), int(text.split()[2]), int(text.split()[-1])
    form, space = model.closed_form("macs", assume=text), {}
    exec(program([form], "python"), space)  # noqa: S102 - what it is for
    for h in range(28, 90):
        if h % modulus == rest:
            assert space["macs"](h, 30) == form(H=h, W=30) == model.report((h, 30)).totals.macs


def test_factors_that_are_whole_only_together():
    spec = (
        HEAD % "[1, 12, 12]"
        + "layers: [max_pool: 2, conv: {filters: 1, kernel: 1}, conv: {filters: 2, kernel: 1, padding: 3}]\n"
    )
    model = archcalc.loads(spec)
    assert model.closed_form("macs", assume="H % 5 == 4")(H=4, W=11) == 2 * 5 + 2 * (2 + 6) * (5 + 6) == 186


def test_sizes_that_only_go_together():
    by_three = archcalc.loads(HEAD % "[1, 9, 9]" + "layers: [conv: {filters: 1, kernel: 1}, reshape: [-1, 3]]\n")
    assert [row[-1] for row in by_three.sweep("8..11", of="macs").rows()] == [None, 81, None, None]
    solved = by_three.solve("input", "macs <= 110")
    assert (solved.answer, solved.fails.sizes) == ("9x9", {"H": 12, "W": 12})
    with pytest.raises(archcalc.ArchcalcError):
        by_three.closed_form("macs")(H=8, W=8)
    square = archcalc.loads(
        HEAD % "[4, 8, 8]" + "layers: [conv: {filters: 1, kernel: 1}, concat: [[], [permute: [0, 1, 3, 2]]]]\n"
    )
    assert [row[-1] for row in square.sweep("6..9", of="macs").rows()] == [4 * n * n for n in (6, 7, 8, 9)]
    assert square.solve("input", "macs <= 1000").answer == "15x15"


def test_single_sizes_in_long_sweeps():
    model = archcalc.loads(
        HEAD % "[2, 8]" + "layers: [conv: {filters: 2, kernel: 1}, concat: [[], [resize: {size: 8}]]]\n"
    )
    for last in (100, 101):
        assert [row[1] for row in model.sweep(f"1..{last}", of="macs").rows() if row[-1] is not None] == [8]


def test_rounding_of_letters_in_a_spec():
    model = archcalc.loads(HEAD % "[1, 8, 8]" + "set: {k: 3}\nlayers: [conv: {filters: ceil(k / 2), kernel: 3}]\n")
    assert model.closed_form("params", symbols="k").written("text") == "10·⌈k/2⌉"
    assert model.solve("k", "params <= 100").holds.n == 20


def test_the_model_is_never_written_over(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(TWO)
    for command in (
        ["solve", "a.yaml", "--max", "batch", "--subject-to", "macs <= 100k", "-o", "a.yaml"],
        ["diff", "a.yaml", "--batch-b", "2", "-o", "a.yaml"],
        ["diff", "a.yaml", "b.yaml", "-o", "b.yaml"],
    ):
        assert main(command) == 2
        assert capsys.readouterr().err == f"archcalc: -o: must not be the model itself; got {command[-1]}\n"
    assert (tmp_path / "a.yaml").read_text() == (tmp_path / "b.yaml").read_text() == TWO


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("sweep zoo:digits --sample 5 --seed -1 --input 1..100", "--seed: must be at least 0; got -1"),
        ("sweep zoo:digits --sample 5 --input 1..9999999999x1..9999999999", "--sample: takes points of at most 2^62; got 99,999,999,980,000,000,001"),
        ("explain zoo:digits --convention mac --claim total.flops=653000", "--claim: of FLOPs is judged under the convention archcalc; got mac\n  claim macs, or mul and add"),
    ],
)  # fmt: skip
def test_messages(command, text, capsys):
    assert main(command.split()) == 2
    assert capsys.readouterr().err == f"archcalc: {text}\n"


def test_a_join_is_its_own_row():
    model = archcalc.loads(
        HEAD % "[2, 8, 8]" + "layers: [conv: {filters: 2, kernel: 1}, multiply: [[], [global_avg_pool]]]\n"
    )
    assert judge(model, "multiply1.output_bytes", "512", {"x": (1, 2, 8, 8)}).holds  # 2·8·8·4
