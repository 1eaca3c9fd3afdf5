"""The house in order: imports go down, nothing heavy is loaded, one command checks all, files speak of the project alone."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "archcalc"
FILES = sorted(PACKAGE.rglob("*.py"))
FLOORS = {
    "errors": 0, "algebra": 1, "layers": 2, "views": 3, "model": 4, "hardware": 4, "questions": 5, "dialects": 6, "zoo": 6,
    "crosscheck": 7, "cli": 8, "__main__": 9, "": 9,
}  # fmt: skip
LIGHT = {"", "errors"}  # the package itself imports nothing until it is asked, and anyone may read its version
HEAVY = (
    "numpy",
    "sympy",
    "torch",
    "onnx",
    "matplotlib",
    "pydantic",
    "tabulate",
    "jsonschema",
    "hypothesis",
    "tqdm",
    "keras",
    "shtab",
)


def room(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports_of(source, name):
    """Names of modules that a file imports when it is loaded, or inside a function; without those for type checkers only."""
    tree = ast.parse(source)
    typing_only = {
        child for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }  # fmt: skip
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            yield node.module, node
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)


def upward(source, own, name="file"):
    """Imports of the package that do not go down, or sideways within a room."""
    for module, _ in imports_of(source, name):
        if module.split(".")[0] == "archcalc":
            target = module.split(".")[1] if "." in module else ""
            if target != own and target not in LIGHT and FLOORS[target] >= FLOORS[own]:
                yield module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path):
    assert list(upward(path.read_text(encoding="utf-8"), room(path), path.name)) == []


def test_an_upward_import_is_seen():
    assert list(upward("from archcalc.cli import main\n", "layers")) == ["archcalc.cli"]
    assert list(upward("def f():\n    import archcalc.questions.check\n", "model")) == ["archcalc.questions.check"]
    assert list(upward("from archcalc.algebra.num import prod\n", "layers")) == []


def test_there_is_no_cycle_between_files():
    names = {
        ".".join(("archcalc", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in FILES
    }
    edges = {
        name: {
            module
            for module, _ in imports_of(path.read_text(encoding="utf-8"), name)
            if module in names and module != name
        }
        for name, path in names.items()
    }
    edges["archcalc"] = set()  # loads nothing by itself
    order = []
    while edges:
        free = [name for name, needs in edges.items() if not needs & edges.keys()]
        assert free, f"a cycle among {sorted(edges)}"
        order += free
        for name in free:
            del edges[name]
    assert len(order) == len(names)


def loaded_by(statement):
    """Which heavy packages a fresh interpreter has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[-2].split()


def test_nothing_heavy_is_loaded():
    assert loaded_by("import archcalc") == []
    assert loaded_by("import archcalc; archcalc.load; archcalc.layers") == []
    assert loaded_by("from archcalc.cli.main import main; main(['report', 'zoo:resnet50'])") == []


def test_the_guard_sees_what_is_heavy():
    assert loaded_by("import numpy") == ["numpy"]
    assert loaded_by("from archcalc.cli.main import main; main(['report', 'zoo:digits', '--format', 'markdown'])") == [
        "tabulate"
    ]


def test_inner_imports_are_of_optional_or_slow_packages():
    """Own rooms are imported at the top; inside a function stand third-party packages and slow parts of the library."""
    inner = set()
    for path in FILES:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom):
                        inner.add(node.module)
                    elif isinstance(node, ast.Import):
                        inner |= {alias.name for alias in node.names}
    assert inner == {
        "sympy", "numpy", "tabulate", "shtab", "difflib", "csv", "io", "html", "json", "importlib", "tqdm", "keyword",
        "archcalc", "archcalc.errors", "archcalc.dialects", "archcalc.dialects.schema", "archcalc.dialects.kinds",  # foreign words that most calls never need
        "archcalc.algebra", "archcalc.algebra.symbolic", "archcalc.algebra.written", "archcalc.algebra.assumptions",  # sympy
        "matplotlib", "archcalc.views", "archcalc.questions.slips", "archcalc.questions.diff",
        "torch",  # hardware/device.py asks the driver through it, for `local` alone
        "archcalc.dialects.torch_import",  # torch: for Python code that the user names
        *(f"archcalc.questions.{name}" for name in ("closed_form", "explain", "sweep", "solve", "memory", "memory_forms", "time", "fit", "decode", "drawing", "field", "field_form", "page")), "archcalc.crosscheck.calibrate", "archcalc.dialects.torch_maps", "PIL",  # asked by a few commands
        *(f"archcalc.questions.{name}" for name in ("properties", "convolutional", "collapse", "transform", "weights")), "archcalc.questions", "archcalc.dialects.torch_weights",  # numpy
    }  # fmt: skip


def test_only_dialects_know_foreign_words():
    for path in FILES:
        if room(path) not in ("dialects", ""):
            code = ast.parse(path.read_text(encoding="utf-8"))
            names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
            assert not names & {
                "in_channels",
                "out_channels",
                "kernel_size",
                "strides",
                "pads",
                "InputLayer",
                "Conv2D",
            }, path


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "tests").glob("*.py"))], ids=lambda path: path.name)
def test_every_file_opens_with_a_sentence(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text
    assert text.split("\n\n")[0].rstrip().endswith(".")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = node.end_lineno - first.lineno + 1
            assert length <= 30, f"{path.name}: {node.name} has {length} lines"


def test_public_names_are_few_and_exist():
    import archcalc

    assert len(archcalc.__all__) <= 20
    for name in archcalc.__all__:
        assert getattr(archcalc, name) is not None
    assert set(archcalc.__all__) <= set(dir(archcalc))


def test_one_command_tests_everything_and_ci_runs_that_one():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = (ROOT / ".ci/run").read_text(encoding="utf-8").split("# README: test\n")[1].splitlines()[0]
    assert f"\n{command}\n" in readme


def test_the_test_environment_is_pinned():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "\ntorch==2.13.0\n" in pins
    assert all(re.match(r"#|[A-Za-z0-9_.-]+==\S+$", line) for line in pins.splitlines())


def test_the_changelog_knows_the_version():
    import archcalc

    assert f"## {archcalc.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=" ".join,
)
def test_style_and_types(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
