"""No input makes the tool hang, exhaust memory, or answer what was not asked: examples that a fuzz run found, kept."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archcalc import Input, Model, layers, load, loads
from archcalc.cli.main import main
from archcalc.errors import ArchcalcError, LayerError, ModelError, UsageError

HEAD = "archcalc: 1\ninputs: {image: [3, 32, 32]}\nlayers:\n"
DOUBLING = "blocks:\n  b0: {layers: []}\n" + "".join(
    f"  b{n}: {{layers: [b{n - 1}, b{n - 1}]}}\n" for n in range(1, 29)
)
NESTED = "- residual: [" * 80 + "relu" + "]" * 80
CHAINED = "- &a0 relu\n" + "".join(f"- &a{n} {{residual: [*a{n - 1}]}}\n" for n in range(1, 200))
DEEP_BLOCKS = "blocks:\n  b0: {layers: [relu]}\n" + "".join(
    f"  b{n}: {{layers: [{'{residual: [' * 5}b{n - 1}{']}' * 5}]}}\n" for n in range(1, 29)
)
REFUSED = {
    "doubling blocks": HEAD + "- b28\n" + DOUBLING,
    "deep nesting": HEAD + NESTED,
    "deep aliases": HEAD + CHAINED,
    "deep blocks": HEAD + "- b28\n" + DEEP_BLOCKS,
    "huge sizes": HEAD + "- repeat: {times: 250, layers: [{resize: 1000000000000000000}]}\n",
    "growing rank": HEAD + "- repeat: {times: 20000, layers: [{embedding: {vocabulary: 2, width: 2}}]}\n",
    "growing channels": HEAD + "- repeat: {times: 20000, layers: [{concat: [[], []]}]}\n",
    "huge kernel": HEAD + "- conv: {filters: 4, kernel: 1000000000, padding: same}\n",
    "nested empty repeats": HEAD + "- repeat: {times: 100000, layers: [{repeat: {times: 100000, layers: []}}]}\n",
    "long text by alias": "archcalc: 1\nabout: &a " + "A" * 1_000_000 + "\n" + HEAD[12:] + "- *a\n" * 1000,
    "many near misses": HEAD + "".join(f"- relu: {{name: layer{n}, from: leyer{n}}}\n" for n in range(3000)),
    "no floating point": HEAD + "- dropout: 1e1000\n",
    "one value of min": HEAD + "- dense: min(image)\n",
    "dtype of a list": "archcalc: 1\ninputs: {x: {shape: [3], dtype: [float32]}}\nlayers: [relu]\n",
    "from nothing": HEAD + "- repeat: {from: [], times: 1, layers: [relu]}\n",
    "unknown quantity of a row": HEAD + "- relu\nexpect: {layers: {relu1: {weight_bytes: 3}}}\n",
    "no channels": HEAD + "- reduce_sum: [1, 2, 3]\n- prelu: true\n",
    "two inputs of a residual": HEAD + "- relu\n- tanh\n- residual: {from: [relu1, tanh1], layers: [relu]}\n",
    "a repeat by a taken name": HEAD + "- relu: {name: a}\n- repeat: {name: a, times: 1, layers: [relu]}\n",
    "true is not one": HEAD + "- b: {p: true}\n- b: {p: 1}\nblocks:\n  b:\n    args: {p: null}\n"
    "    layers: [{conv: {filters: 3, kernel: 1, bias: p}}]\n",
    "a name that is no text": "archcalc: 1\nname: {a: b}\ninputs: {x: [3]}\nlayers: [relu]\n",
    "an escape in a name": 'archcalc: 1\nname: "a\\e[31m"\ninputs: {x: [3]}\nlayers: [relu]\n',
    "no outputs": HEAD + "- relu\noutputs: []\n",
    "version true": "archcalc: true\ninputs: {x: [3]}\nlayers: [relu]\n",
    "a null name": "archcalc: 1\ninputs: {null: [3]}\nlayers: [relu]\n",
    "an argument called from": HEAD + "- b\nblocks: {b: {args: {from: 3}, layers: [relu]}}\n",
    "a size that is none": HEAD + "- relu\nexpect: {at: {foo: {params: 0}}}\n",
    "no axes": HEAD + "- layer_norm: []\n",
    "an unprintable character": HEAD + "- relu\x00\n",
    "too many axes": f"archcalc: 1\ninputs: {{x: {[10**18] * 300}}}\nlayers: [relu]\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_once_with_a_place(name, tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text(REFUSED[name], encoding="utf-8")
    before = time.process_time()
    assert main(["report", str(path)]) == 3
    assert time.process_time() - before < 20  # a bound on hanging, far from any measured time
    err = capsys.readouterr().err
    assert "m.yaml:" in err
    assert len(err) < 100_000


QUICK = {
    "kernel": "- conv: {filters: 4, kernel: 1000000, padding: same}",
    "adaptive": "- adaptive_avg_pool: 1000000000",
    "channels": "- local_response_norm: 1000000000",
    "stride": "- conv_transpose: {filters: 4, kernel: 2, stride: 1000000000}",
}


@pytest.mark.parametrize("name", QUICK)
def test_large_fields_cost_nothing(name):
    before = time.process_time()
    assert loads(HEAD + QUICK[name]).report().status == "complete"
    assert time.process_time() - before < 5


def test_several_misfits_on_separate_branches_are_reported_together(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text(HEAD + "- conv: {filters: 4, kernel: 3, groups: 2}\n- max_pool: {from: image, kernel: 99}\n")
    assert main(["report", str(path)]) == 3
    assert capsys.readouterr().err.endswith("2 problems\n")


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.report(input=("28", "28")),
        lambda model: model.report(input=(28.5, 28)),
        lambda model: model.report(input=(None, 28)),
        lambda model: model.report(input=28),
        lambda model: model.report(batch="2"),
        lambda model: model.report(batch=1.5),
        lambda model: model.report(dtype=None),
        lambda model: model.report(convention=["mac"]),
        lambda model: model.report(depth=1.5),
    ],
)
def test_wrong_arguments_in_python(call):
    with pytest.raises(UsageError):
        call(load("zoo:digits"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.Conv(filters="20", kernel=3),
        lambda: layers.Conv(filters=2.5, kernel=3),
        lambda: layers.Conv(filters=True, kernel=3),
        lambda: layers.Conv(filters=2, kernel="3"),
        lambda: layers.Conv(filters=2, kernel=3, padding="smae"),
        lambda: layers.Resize(scale=2, mode="foo"),
        lambda: layers.Resize(scale=1.5),
        lambda: Input((3, -8, 8)),
        lambda: Input((3,), dtype="foo"),
        lambda: Model.chain("m", {"x": (3,)}, []).report() and Model.chain("m", {}, [layers.Dense(units=2)]),
    ],
)
def test_wrong_layers_in_python(make):
    with pytest.raises((LayerError, ModelError)):
        make()


def test_a_path_object_is_a_path(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(HEAD + "- relu\n")
    assert load(path).name == "m"


def test_check_that_compares_nothing_does_not_pass(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\nset: {w: 2}\n" + HEAD[12:] + "- conv: {filters: w, kernel: 1}\nexpect: {params: 1}\n")
    assert main(["check", str(path), "--set", "w=3"]) == 2
    assert main(["check", str(path), "--max-params", "5", "--set", "w=3", "--set", "w=4"]) == 2
    assert main(["check", str(path), "--max-params", "5", "--batch", "2"]) == 4
    assert "expect: is compared at the sizes it names" in capsys.readouterr().err


def test_output_goes_through_links_and_into_pipes_and_never_over_the_model(tmp_path, capsys):
    model, link, target = tmp_path / "m.yaml", tmp_path / "link", tmp_path / "target"
    model.write_text(HEAD + "- relu\n")
    target.write_text("old")
    link.symlink_to(target)
    assert main(["report", str(model), "-o", str(link)]) == 0
    assert link.is_symlink()
    assert target.read_text().startswith("m: image")
    assert main(["report", str(model), "-o", str(model)]) == 2
    assert main(["report", str(model), "-o", "/dev/null"]) == 0
    assert not Path("/dev/null").is_file()
    assert model.read_text() == HEAD + "- relu\n"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("environment", "redirect", "code"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "", 0),
        ({"PYTHONIOENCODING": "latin-1"}, " --style keras", 0),
        ({"COLUMNS": "9" * 5000}, "", 0),
        ({}, " > /dev/full", 1),
        ({}, " >&-", 0),
    ],
)
def test_odd_terminals(environment, redirect, code):
    command = f"{sys.executable} -m archcalc report zoo:digits{redirect}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        errors="replace",
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_closed_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["report", "-"]) == 3
    assert "closed" in capsys.readouterr().err


def test_every_error_survives_a_process_boundary():
    import pickle

    error = UsageError("--set", "must be NAME=VALUE", "x", way_out="such as --set width=64")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
    assert isinstance(again, UsageError)
    assert str(again) == str(error)
    assert isinstance(again, ArchcalcError)
    assert io.StringIO(str(again)).readline().startswith("--set: must be")


def test_the_limits_of_the_docs_are_those_of_the_code():
    from archcalc.algebra.num import LIMIT
    from archcalc.dialects import yaml_layers, yaml_text
    from archcalc.layers.layer import LARGEST_KERNEL
    from archcalc.model import build, graph

    text = (Path(__file__).parents[1] / "docs/limits.md").read_text(encoding="utf-8")
    assert (
        f"{yaml_text.BYTES // 2**20} MiB, {yaml_text.VALUES:,} values with aliases written out, {yaml_text.DEPTH} levels"
        in text
    )
    assert f"repeats and blocks written out | {build.LIMIT:,} |" in text
    assert f"inside each other | {yaml_layers.DEPTH} |" in text
    assert LIMIT == 10**18
    assert f"along one axis | {LARGEST_KERNEL:,} |" in text
    assert f"the batch included | {graph.AXES} |" in text
    assert f"about {yaml_layers.PROBLEMS} |" in text
