"""The command as its users see it: golden pages at 80 and 120 columns, whose columns add up, and exit codes."""

import csv
import io
import json
import re
import shlex
from pathlib import Path

import pytest

import archcalc
from archcalc.cli.main import main, parser

GOLDEN = Path(__file__).parent / "golden"
PAGES = {
    "digits-80": (80, "report zoo:digits"),
    "digits-1024-80": (80, "report zoo:digits --input 1024x1024"),
    "digits-1024-120": (120, "report zoo:digits --input 1024x1024"),
    "resnet50-80": (80, "report zoo:resnet50"),
    "resnet50-120": (120, "report zoo:resnet50"),
    "resnet50-1024-depth-2-80": (80, "report zoo:resnet50 --input 1024x1024 --depth 2"),
    "googlenet-80": (80, "report zoo:googlenet"),
    "xception-channels-last-80": (80, "report zoo:xception --layout channels_last --depth 1"),
    "exercise-e-32-80": (80, "report zoo:exercise_e --input 32x32"),
    "exercise-b-columns": (80, "report zoo:exercise_b --columns name,kind,output,macs,macs_exact,mul,add,cmp"),
    "exercise-m-batch-50-120": (120, "report zoo:exercise_m --batch 50 --dtype float16 --convention 2mac"),
    "exercise-a-markdown": (80, "report zoo:exercise_a --format markdown"),
    "exercise-g-latex": (80, "report zoo:exercise_g --format latex"),
    "exercise-g-html": (80, "report zoo:exercise_g --format html"),
    "exercise-g-csv": (80, "report zoo:exercise_g --format csv"),
    "exercise-g-json": (80, "report zoo:exercise_g --json"),
    "digits-keras": (80, "report zoo:digits --style keras"),
    "resnet18-keras": (120, "report zoo:resnet18 --style keras"),
    "digits-torchinfo": (80, "report zoo:digits --style torchinfo"),
    "resnet18-torchinfo": (120, "report zoo:resnet18 --style torchinfo"),
    "layers-80": (80, "layers"),
    "layers-conv-80": (80, "layers conv"),
    "layers-add-80": (80, "layers add"),
    "help-80": (80, "--help"),
    "zoo": (80, "zoo"),
    "check-digits": (80, "check zoo:digits --max-params 10k --max-macs 1G"),
}


def code_of(arguments):
    """The exit code, also of a page of help, which ends the program."""
    try:
        return main(arguments)
    except SystemExit as exit_:
        return exit_.code


@pytest.mark.parametrize("name", PAGES)
def test_golden_pages(name, request, capsys, monkeypatch):
    width, command = PAGES[name]
    monkeypatch.setenv("COLUMNS", str(width))
    assert code_of(command.split()) == 0
    page = capsys.readouterr().out
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--overwrite"):
        path.write_text(page, encoding="utf-8")
    assert page == path.read_text(encoding="utf-8")
    if "--style" not in command and not re.search("--(format|json|columns)", command):
        assert max(map(len, page.splitlines())) <= width


def test_every_golden_file_belongs_to_a_page():
    assert {path.stem for path in GOLDEN.iterdir()} == set(PAGES)


REPORTS = [
    name
    for name, (_, command) in PAGES.items()
    if command.startswith("report") and not re.search("style|format|json", command)
]


@pytest.mark.parametrize("name", REPORTS)
def test_the_columns_of_a_page_add_up_to_the_total_it_prints(name):
    _, table, closing = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").split("\n\n", 2)
    titles, rule, *rows, _, total = table.splitlines()
    starts = [match.span() for match in re.finditer("-+", rule)]
    summed = 0
    for start, end in starts:
        if titles[start:end].strip() in ("params", "MACs", "output bytes", "FLOPs", "exact MACs", "mul", "add", "cmp"):
            column = [int(row[start:end].replace(",", "")) for row in rows]
            assert sum(column) == int(total[start:end].replace(",", ""))
            summed += 1
    assert summed >= 2
    assert "status   complete" in closing


def test_keras_and_torchinfo_pages_add_up():
    keras = (GOLDEN / "resnet18-keras.txt").read_text(encoding="utf-8")
    cells = [row.split("│")[3].strip() for row in keras.splitlines() if row.startswith("│")]
    assert max(map(len, keras.splitlines())) <= 120
    params = [int(cell.replace(",", "")) for cell in cells if cell]
    assert sum(params) == 11_689_512 + 9_600
    assert " Total params: 11,699,112 (44.63 MB)" in keras
    assert " Non-trainable params: 9,600 (37.50 KB)" in keras
    torchinfo = (GOLDEN / "resnet18-torchinfo.txt").read_text(encoding="utf-8")
    leaves = [line.split()[-1] for line in torchinfo.splitlines() if re.search(r"\d-\d", line)]
    assert sum(int(number.replace(",", "")) for number in leaves if number != "--") == 11_689_512


def test_csv_and_json_agree_with_the_totals(capsys):
    assert main(["report", "zoo:mobilenet_v2", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["report", "zoo:mobilenet_v2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert len(rows) == len(data["rows"])
    for key in ("params", "macs", "macs_exact", "flops", "output_bytes", "buffers"):
        assert sum(int(row[key]) for row in rows) == data["totals"][key]
    assert data["totals"]["params"] == 3_504_872


def test_check_fails_with_a_line_for_each_failure(capsys, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        "archcalc: 1\ninputs: {x: [784]}\nlayers: [dense: 10]\n"
        "expect: {params: 7840, output: [1, 9], layers: {dense1: {macs: 7840}}, at: {'100': {params: 5}}}\n"
    )
    assert main(["check", str(path), "--max-params", "7k", "--max-macs", "1M", "--max-weight-bytes", "1KiB"]) == 4
    assert capsys.readouterr().out == (
        "FAIL  params: expected 7,840, counted 7,850\n"
        "FAIL  output: expected 1×9, counted 1×10\n"
        "FAIL  at 100, params: expected 5, counted 1,010\n"
        "FAIL  params at x 1×784: at most 7,000, counted 7,850\n"
        "FAIL  weight_bytes at x 1×784: at most 1,024, counted 31,400\n"
        "2 of 7 hold\n"
    )


def test_check_may_name_a_block(capsys, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(
        "archcalc: 1\ninputs: {x: [4]}\nlayers: [{b: {name: one}}, b]\nblocks: {b: {layers: [dense: 4, dense: 4]}}\n"
        "expect: {layers: {one: {params: 40, output: [1, 4]}, b1/dense2: {params: 20}}}\n"
    )
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.endswith("3 of 3 hold\n")


def test_strict_refuses_a_partial_total(monkeypatch, capsys):
    from archcalc import Input, Model
    from archcalc.cli import common
    from archcalc.layers import Unknown
    from archcalc.model.graph import Node

    partial = Model("p", {"x": Input((4,))}, (Node("u", Unknown(operator="op", output=(1, 4)), ("x",)),), ("u",))
    monkeypatch.setattr(common, "load", lambda *_: partial)
    assert main(["report", "any"]) == 0
    assert main(["report", "any", "--strict"]) == 6
    assert (
        capsys.readouterr().err == "archcalc: report: under --strict everything must be counted; got a partial total\n"
    )


def test_every_command_has_a_page_of_help_with_two_examples(capsys):
    (action,) = parser()._subparsers._group_actions
    for name, command in action.choices.items():
        with pytest.raises(SystemExit) as exit_:
            main([name, "--help"])
        assert exit_.value.code == 0
        assert len(command.epilog.splitlines()) == 3
        assert capsys.readouterr().out.count(f"archcalc {name}") >= 3


def test_the_examples_of_help_run(capsys, monkeypatch, tmp_path):
    Image, torch = (pytest.importorskip(name) for name in ("PIL.Image", "torch"))  # noqa: N806
    (action,) = parser()._subparsers._group_actions
    monkeypatch.chdir(tmp_path)
    here = Path(__file__).parent
    (tmp_path / "model.yaml").write_text((here.parent / "archcalc/zoo/digits.yaml").read_text())
    (tmp_path / "timings.csv").write_text((here / "measured/kernels.csv").read_text())
    Image.new("L", (64, 96)).save(tmp_path / "digits.png")
    torch.save(archcalc.torch.build(archcalc.load("zoo:digits")).state_dict(), tmp_path / "digits.pt")
    ran = 0
    for command in action.choices.values():
        for example in command.epilog.splitlines()[1:]:
            arguments = shlex.split(re.split(r" [|>] ", example.strip())[0])[1:]
            assert main(arguments) == 0, example
            ran += 1
    assert ran >= 10
    assert capsys.readouterr().out


def test_the_page_of_help_has_every_command_once(capsys):
    from archcalc.cli.helping import CODES, FIRST, GROUPS, Top

    (action,) = parser()._subparsers._group_actions
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(action.choices)
    assert type(action.choices["report"]) is not Top
    assert code_of(["--help"]) == 0
    page = capsys.readouterr().out
    for name, command in action.choices.items():
        brief = re.split("[:;] ", command.description.removesuffix("."))[0]
        assert re.search(f"\n  {name} +{brief[0].lower()}", page, re.IGNORECASE), name
    assert all(line in page for line in FIRST)
    assert re.findall(r"(\d+) ", CODES) == ["0", "1", "2", "3", "4", "5", "6", "7", "130"]


def test_what_one_begins_with_runs(capsys, monkeypatch, tmp_path):
    from archcalc.cli.helping import FIRST

    monkeypatch.chdir(tmp_path)
    for command in FIRST:
        arguments, _, file = command.partition(" > ")
        assert main(shlex.split(arguments)[1:]) == 0
        page = capsys.readouterr().out
        assert page
        if file:
            Path(file).write_text(page, encoding="utf-8")


def test_without_a_command_it_says_where_to_begin(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "archcalc: which command? Begin with\n"
        "  archcalc report zoo:resnet50      shapes, parameters, MACs of a known network\n"
        "  archcalc zoo digits > model.yaml  a spec, to change into a network of your own\n"
        "  archcalc explain model.yaml       how each of its numbers is made\n\n"
        "archcalc --help has all\n"
    )


COMPLETED = {  # what is typed, as bash cuts it into words, and what is offered
    "archcalc re": "report reconcile",
    "archcalc report --dt": "--dtype",
    "archcalc report --dtype fl": "float64 float32 float16 float8",
    "archcalc report mi": "mine.yaml",
    "archcalc report zoo : exercise_j": "exercise_j exercise_j_avg_pool exercise_j_four_convs",
    "archcalc report zoo : resnet5": "resnet50",
    "archcalc report zoo : resnet50 --layout channels_f": "channels_first",
    "archcalc report mine.yaml -o mi": "mine.yaml",
    "archcalc diff mine.yaml zoo : resnet10": "resnet101",
    "archcalc time mine.yaml --device nvidia-h2": "nvidia-h200 nvidia-h200-nvl",
    "archcalc zoo resnet5": "resnet50",
    "archcalc layers sep": "separable_conv",
    "archcalc completion z": "zsh",
}


@pytest.fixture(scope="module")
def completing(tmp_path_factory):
    """A folder with a script of each shell, and a spec."""
    pytest.importorskip("shtab")
    from archcalc.cli.completing import script
    from archcalc.cli.parsers_completion import SHELLS

    folder = tmp_path_factory.mktemp("completing")
    (folder / "mine.yaml").touch()
    for shell in SHELLS:
        (folder / shell).write_text(script(shell), encoding="utf-8")
    return folder


def test_bash_completes(completing):
    import subprocess

    asked = [
        f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}; _archcalc; echo ${{COMPREPLY[*]}}"
        for typed in COMPLETED
    ]
    lines = ["source ./bash", "compopt() { :; }", "complete -p archcalc", *asked]  # compopt works at a prompt alone
    done = subprocess.run(["bash", "-c", "\n".join(lines)], cwd=completing, capture_output=True, text=True, check=True)
    declared, *offered = done.stdout.splitlines()
    assert declared == "complete -o bashdefault -F _archcalc archcalc"
    assert dict(zip(COMPLETED, offered, strict=True)) == COMPLETED
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_other_shells_read_their_script(shell, completing):
    import shutil
    import subprocess

    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", shell], cwd=completing, check=True)
    assert "zoo" in (completing / shell).read_text(encoding="utf-8")


def test_the_script_is_printed_and_what_is_missing_is_said(capsys, monkeypatch):
    import sys

    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out.endswith("complete -o bashdefault -F _archcalc archcalc\n")
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 7
    assert capsys.readouterr().err == (
        "archcalc: completion: needs shtab; got import of shtab halted; None in sys.modules\n"
        "  pip install 'archcalc[completion]', or '.[completion]' in a copy of the repository\n"
    )


def test_a_reader_that_stops_early_is_no_error():
    import subprocess
    import sys

    command = f"{sys.executable} -m archcalc report zoo:resnet50 --json | head -c 20; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
