"""The cross-check as a user runs it: whole networks, what it finds, what it refuses, and that it leaves no trace."""

import json
import sys

import pytest

import archcalc
from archcalc.cli.main import main
from archcalc.dialects.yaml import zoo_names
from archcalc.errors import CannotRun, UsageError
from archcalc.layers import Conv

torch = pytest.importorskip("torch", reason="torch is not installed")


def other_size(model):
    at = model.expect.get("at", {})
    (item,) = model.inputs.values()
    return next(iter(at)) if at else None if len(item.shape) == 1 else item.shape[1:]


@pytest.mark.parametrize("name", zoo_names())
def test_every_network_of_the_zoo_at_two_sizes(name):
    model = archcalc.load(f"zoo:{name}")
    for size in (None, other_size(model)):
        report = model.report(size)
        found = archcalc.verify(model, size)
        assert found.failures == ()
        assert {check.layer for check in found.checks} == {row.name for row in report.rows}
        assert sum(check.measured for check in found.checks if check.what == "MACs") == report.totals.macs


@pytest.mark.parametrize("name", ["digits", "exercise_m", "lenet5"])
def test_small_networks_with_real_numbers(name):
    found = archcalc.verify(archcalc.load(f"zoo:{name}"), device="cpu", batch=2)
    assert found.failures == ()
    assert "all equal" in str(found)


def test_the_page(capsys):
    assert main(["verify", "zoo:exercise_e", "--input", "32x32", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == (
        "exercise_e: image 1×1×32×32, formula against the real network\n\n"
        "layer      output      tensors       MACs  verdict\n"
        "---------  ----------  -------  ---------  -------\n"
        "conv1      1×32×30×30        2    259,200  equal\n"
        "max_pool1  1×32×15×15                      equal\n"
        "conv2      1×32×13×13        2  1,557,504  equal\n"
        "max_pool2  1×32×6×6                        equal\n"
        "flatten1   1×1152                          equal\n"
        "dense1     1×128             2    147,456  equal\n"
        "dense2     1×10              2      1,280  equal\n\n"
        "checked  7 of output, 7 of tensors, 4 of MACs: all equal\n"
        f"with     torch {torch.__version__}, cpu, seed 0\n"
        "not      operations other than MACs, tensors saved for backward, memory, time\n"
    )


def test_a_wrong_formula_is_found(monkeypatch, capsys):
    monkeypatch.setattr(Conv, "macs", lambda *_: 7)
    assert main(["verify", "zoo:exercise_f"]) == 5
    out = capsys.readouterr().out
    assert "conv1  1×1×8×8        2  576, formula 7  DIFFERS" in out
    assert "1 differ" in out
    assert main(["verify", "zoo:exercise_f", "--json"]) == 5
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [(check["what"], check["equal"]) for check in checks] == [
        ("output", True),
        ("tensors", True),
        ("MACs", False),
    ]


def world():
    """What other code would notice."""
    return (
        torch.get_rng_state().tolist(), torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
    )  # fmt: skip


def test_the_world_is_left_as_it_was(monkeypatch):
    torch.manual_seed(3)
    before = world()
    archcalc.verify(archcalc.load("zoo:digits"), device="cpu", seed=5)
    assert world() == before
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        archcalc.verify(archcalc.load("zoo:digits"), device="cpu")
    assert world() == before


def test_what_cannot_run_is_refused_before_anything_is_allocated(capsys):
    assert main(["verify", "zoo:vgg16", "--input", "100000x100000", "--device", "cpu"]) == 7
    err = capsys.readouterr().err
    assert err.startswith("archcalc: verify: the network must fit the memory; got ")
    assert err.endswith(" free\n  --device meta, or a smaller --input\n")
    assert main(["verify", "zoo:digits", "--input", "100000x100000"]) == 0
    if not torch.cuda.is_available():
        with pytest.raises(CannotRun, match="needs a CUDA device"):
            archcalc.verify(archcalc.load("zoo:digits"), device="cuda")
    with pytest.raises(UsageError, match="must be one of meta, cpu, cuda"):
        archcalc.verify(archcalc.load("zoo:digits"), device="tpu")


def test_without_torch_one_line_names_the_extra(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("archcalc.crosscheck", "archcalc.dialects.torch"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["verify", "zoo:digits"]) == 7
    assert capsys.readouterr().err == (
        "archcalc: torch: needs PyTorch; got import of torch halted; None in sys.modules\n"
        "  pip install 'archcalc[torch]'\n"
    )


def test_a_kind_without_a_module_is_named(capsys, tmp_path):
    from archcalc.algebra.ops import Ops
    from archcalc.layers import KINDS, Layer, register

    @register("mystery", example="mystery", on=[(1, 4)])
    class Mystery(Layer, frozen=True):
        """Hand the input on."""

        def out(self, *xs):
            return xs[0]

        def ops(self, xs, y):
            return Ops()

    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\ninputs: {x: [4]}\nlayers: [mystery]\n")
    try:
        assert main(["verify", str(path)]) == 3
        assert "mystery: has no PyTorch module; got Mystery" in capsys.readouterr().err
    finally:
        KINDS.pop("mystery")
