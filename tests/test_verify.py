"""The cross-check as a user runs it: whole networks, what it finds, what it refuses, and that it leaves no trace."""

import json
import random
import re
import subprocess
import sys
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest

import archcalc
from archcalc.algebra.ops import Ops
from archcalc.cli.main import main
from archcalc.dialects.spec_line import line_of, spec_of
from archcalc.errors import CannotRun, UsageError
from archcalc.layers import KINDS, Conv, Dropout, MaxPool, Resize
from tests.asking import layer_of
from tests.cases import CASES
from tests.zoo import SLOWLY

torch = pytest.importorskip("torch", reason="torch is not installed")

from archcalc.crosscheck import cost, page, verify  # noqa: E402
from archcalc.hardware.device import device  # noqa: E402

# MiB that training keeps: fp32, batch 32 at 224×224, unique storages, as measured with PyTorch's hooks on torchvision's networks
KEPT = {"resnet50": 2_603.7, "vgg16": 2_220.4, "mobilenet_v2": 2_368.6, "densenet121": 3_960.4}


@pytest.mark.parametrize("name", SLOWLY)
def test_every_network_of_the_zoo_at_two_sizes(name):
    model = archcalc.load(f"zoo:{name}")
    found = archcalc.verify(model, batch=32 if name in KEPT else 1, samples=1, seed=1)
    assert found.failures == ()
    assert found.unchecked == ()
    (item,) = model.inputs.values()
    assert len(found.runs) == (1 if len(item.shape) == 1 else 2)  # a vector has one size
    for run in found.runs:
        (shape,) = run.inputs.values()
        report = model.report(shape[1:], batch=shape[0])
        assert {check.layer for check in run.checks} >= {row.name for row in report.rows}
        assert sum(check.measured for check in run.checks if check.what == "MACs") == report.totals.macs
        assert run.whole.verdict == "equal"
    if name in KEPT:
        assert found.runs[0].whole.measured / 2**20 == pytest.approx(KEPT[name], abs=0.2)


def test_networks_of_which_it_is_known_what_training_keeps_are_run():
    assert set(KEPT) <= set(SLOWLY)


@pytest.mark.parametrize("name", ["digits", "exercise_m", "lenet5", "exercise_o"])
def test_small_networks_with_real_numbers(name):
    found = archcalc.verify(archcalc.load(f"zoo:{name}"), device="cpu", batch=2)
    assert found.failures == ()
    assert found.unchecked == ()
    assert found.environment["device"] == "cpu"


PAGE = f"""\
exercise_e: image 1×1×32×32, formulas beside the real network

layer      output      tensors       MACs  saved bytes  verdict
---------  ----------  -------  ---------  -----------  -------
conv1      1×32×30×30        2    259,200        4,096  equal
max_pool1  1×32×15×15                          172,800  equal
conv2      1×32×13×13        2  1,557,504       28,800  equal
max_pool2  1×32×6×6                             30,848  equal
flatten1   1×1152                                       equal
dense1     1×128             2    147,456        4,608  equal
dense2     1×10              2      1,280          512  equal
---------  ----------  -------  ---------  -----------  -------
total                           1,965,440      237,568  equal

output      7 equal: shape of the real output
tensors     7 equal: the real parameters and buffers, by name and shape
MACs        4 equal: torch's counter, on the meta device
exact MACs  4 equal: counting one by one
operations  7 equal: counting one by one
values      7 equal: the program that was counted computes what the real layer
            does
saved       8 equal: tensors that automatic differentiation packs in training;
            in the total each storage once, no input
peak        2 equal: most that the real tensors take at once: within 1 % at
            inference, 2 % in training
every size  7 equal: what PyTorch derives for symbolic sizes
with        torch {torch.__version__.partition("+")[0]}, cpu, seed 0
not         time, what CUDA keeps for backward, peak memory there: --device cuda
            measures them
"""


def test_the_page(capsys):
    assert main(["verify", "zoo:exercise_e", "--input", "32x32", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == PAGE


def test_a_wrong_formula_is_found(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(Conv, "macs", lambda *_: 7)
    assert main(["verify", "zoo:exercise_f"]) == 5
    out = capsys.readouterr().out
    assert "conv1  1×1×8×8        2   576          400  DIFFERS" in out
    assert "MACs        0 equal, 1 differs: torch's counter, on the meta device" in out
    assert "differs     conv1, MACs: formula 7, measured 576" in out
    path = tmp_path / "found.json"
    assert main(["verify", "zoo:exercise_f", "--json", "-o", str(path)]) == 5
    (run,) = json.loads(path.read_text())["runs"]
    verdicts = {check["what"]: check["verdict"] for check in run["checks"] if check["layer"] == "conv1"}
    assert verdicts == {
        "output": "equal", "tensors": "equal", "MACs": "differs", "saved": "equal", "operations": "differs",
        "exact MACs": "differs", "values": "equal", "every size": "differs",
    }  # fmt: skip


def test_in_a_notebook(monkeypatch):
    from archcalc.crosscheck import kinds as kinds_of

    few = ("relu", "separable_conv", "local_response_norm")
    model = archcalc.loads("archcalc: 1\nname: <b>\ninputs: {x: [3]}\nlayers: [dense: 2]\n")
    found = archcalc.verify(model)
    assert repr(found) == "<Verification of <b>: equal>"
    page = found._repr_html_()
    assert "<p>&lt;b&gt;: x 1×3, formulas beside the real network</p>" in page
    assert page.count("<thead>") == 1
    assert "<b>" not in page
    monkeypatch.setattr(kinds_of, "KINDS", {name: KINDS[name] for name in few})
    kinds = archcalc.verify_kinds(1)
    assert re.fullmatch(r"<KindsVerification: 3 kinds, \d+ configurations, 0 fail>", repr(kinds))
    assert '<th scope="row" style="text-align: left; font-weight: normal">separable_conv</th>' in kinds._repr_html_()


FROZEN = """
archcalc: 1
inputs: {image: [4, 8, 8], mask: [4, 8, 8], tokens: {shape: [8], dtype: int64}}
layers:
  - relu: {name: before, from: image}
  - dropout: {name: nothing, rate: 0}
  - conv: {name: frozen, filters: 4, kernel: 1, trainable: false}
  - sigmoid: {name: still}
  - conv: {name: first, filters: 4, kernel: 1}
  - multiply: {name: masked, from: [first, mask]}
  - multiply: {name: square, from: [masked, masked]}
  - flatten: {name: flat}
  - dense: {name: fixed, units: 8, trainable: false}
  - relu: {name: last}
  - embedding: {name: table, from: tokens, vocabulary: 5, width: 8}
  - matmul: {name: scores, from: [table, table], transpose_second: true}
"""


def test_a_layer_keeps_only_what_a_gradient_needs():
    """Nothing before the first trained weight; no partner that needs no gradient; a view's storage is its source's."""
    model = archcalc.loads(FROZEN)
    found = archcalc.verify(model)
    assert found.failures == ()
    first, square, last = 4 * 64, 4 * 64, 8  # what conv reads (still), what square reads (masked), last's output
    table = 8 * 8  # both factors of the product are the same storage
    assert found.runs[0].whole.measured == 4 * (first + square + last + table)


@pytest.mark.parametrize("function", ["add", "subtract", "multiply", "divide", "maximum", "minimum"])
@pytest.mark.parametrize("graded", ["a", "b", "c", "ab", "ac", "bc", "abc"])
def test_a_join_keeps_what_the_gradients_at_hand_need(function, graded):
    """Inputs behind a trained convolution need a gradient, the others do not."""
    convs = "".join(f"  - conv: {{name: {name}2, from: {name}, filters: 2, kernel: 1}}\n" for name in graded)
    names = ", ".join(f"{name}2" if name in graded else name for name in "abc")
    found = archcalc.verify(archcalc.loads(
        "archcalc: 1\ninputs: {a: [2, 3, 3], b: [2, 1, 3], c: [2, 3, 1]}\nlayers:\n"
        f"{convs}  - {function}: {{name: join, from: [{names}]}}\n"
    ))  # fmt: skip
    assert found.failures == ()


TIED = """
archcalc: 1
inputs: {{x: [4]}}
layers:
  - dense: {{name: a, units: 4, bias: false, trainable: {owner}}}
  - tanh: {{}}
  - dense: {{name: b, units: 4, bias: false, shared_with: a, trainable: {user}}}
  - sigmoid: {{}}
  - dense: {{name: c, units: 4, bias: false, shared_with: b}}
  - relu: {{}}
"""


@pytest.mark.parametrize("owner", ["true", "false"])
@pytest.mark.parametrize("user", ["true", "false"])
def test_a_tied_weight_trains_if_its_owner_does(owner, user):
    assert archcalc.verify(archcalc.loads(TIED.format(owner=owner, user=user))).failures == ()


def test_a_gradient_does_not_flow_through_a_size():
    """The second input of a resize; the first is the model's own."""
    found = archcalc.verify(archcalc.loads(
        "archcalc: 1\ninputs: {x: [2, 4, 4], z: [2, 8, 8]}\nlayers:\n  - conv: {name: c, from: z, filters: 2, kernel: 1}\n"
        "  - resize: {from: [x, c]}\n  - relu\n"
    ))  # fmt: skip
    assert found.failures == ()
    assert found.runs[0].whole.formula == 0


def test_a_norm_over_other_axes_than_the_last_permutes():
    spec = (
        "archcalc: 1\ninputs: {x: [4, 4]}\nlayers: [dense: 4, {layer_norm: [1, 2]}, {%s: 1}, gelu, flatten, dense: 2]\n"
    )
    for norm in ("layer_norm", "rms_norm"):
        found = archcalc.verify(archcalc.loads(spec % norm))
        assert found.failures == ()
        assert {check.note for check in found.unchecked} == {
            f"{norm}{2 if norm == 'layer_norm' else 1}: what reads a permuted tensor may keep a copy of it"
        }


def test_batches_repeats_of_one_kind_and_several_inputs():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {a: [3, 6, 6], b: [3, 6, 6]}\n"
        "layers: [{add: {from: [a, b]}}, {separable_conv: {filters: 2, kernel: 3, padding: same}}, permute: [0, 2, 3, 1]]\n"
    )
    found = archcalc.verify(model, {"a": "8x8", "b": "8x8"}, batch=3, samples=0)
    assert found.failures == ()
    assert {check.note for check in found.unchecked} == {"permute1: what reads a permuted tensor may keep a copy of it"}
    assert [check.what for check in found.unchecked] == ["saved", "peak", "peak"]
    assert found.runs[0].inputs == {"a": (3, 3, 8, 8), "b": (3, 3, 8, 8)}


def world():
    """What other code would notice."""
    return (
        torch.get_rng_state().tolist(), torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"), torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(), random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2],
    )  # fmt: skip


@pytest.fixture
def unusual():
    """A world that is not as PyTorch starts."""
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.manual_seed(3)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    with torch.inference_mode(), torch.autocast("cpu"):
        yield
    torch.set_num_threads(threads)
    torch.set_default_device(None)
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("unusual")
def test_the_world_is_left_as_it_was(monkeypatch):
    before = world()
    assert archcalc.verify(archcalc.load("zoo:digits"), device="cpu", seed=5).failures == ()
    assert world() == before
    assert archcalc.verify_kinds(1, seed=5).failures == ()
    assert world() == before
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        archcalc.verify(archcalc.load("zoo:digits"), device="cpu")
    assert world() == before


def test_a_network_of_the_users_own_is_not_touched():
    model = archcalc.load("zoo:exercise_b")
    network = archcalc.torch.build(model).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    archcalc.verify(model, device="cpu")
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_what_cannot_run_is_refused_before_anything_is_allocated(capsys):
    assert main(["verify", "zoo:vgg16", "--input", "100000x100000", "--device", "cpu"]) == 7
    err = capsys.readouterr().err
    assert err.startswith(
        "archcalc: verify: the network must fit the memory; got 34.02 TiB of inputs, weights, outputs and "
    )
    assert err.endswith(" available\n  --device meta, or a smaller --input\n")
    assert main(["verify", "zoo:digits", "--input", "100000x100000"]) == 0
    if not torch.cuda.is_available():
        with pytest.raises(CannotRun, match="needs a CUDA device"):
            archcalc.verify(archcalc.load("zoo:digits"), device="cuda")
    with pytest.raises(UsageError, match="must be one of meta, cpu, cuda"):
        archcalc.verify(archcalc.load("zoo:digits"), device="tpu")


def test_available_memory_is_told_also_without_proc(monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    least = verify.available_bytes()
    monkeypatch.setattr("builtins.open", absent)
    assert 0 < least <= verify.available_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["verify"], 2, "verify: needs a MODEL, or --kinds; got neither"),
        (
            ["verify", "--kinds", "zoo:digits"],
            2,
            "--kinds: takes no model: it makes its own configurations; got zoo:digits",
        ),
        (["verify", "zoo:digits", "--cases", "5"], 2, "--cases: goes with --kinds; got 5"),
        (["verify", "--kinds", "--cases", "0"], 2, "--cases: must lie between 1 and 1,000,000; got 0"),
        (["verify", "zoo:digits", "--samples", "-1"], 2, "--samples: must lie between 0 and 100; got -1"),
    ],
)
def test_usage(arguments, code, message, capsys):
    assert main(arguments) == code
    assert capsys.readouterr().err == f"archcalc: {message}\n"


@pytest.mark.parametrize(
    ("package", "needs", "what"),
    [
        ("torch", "PyTorch", "zoo:digits"),
        ("torch", "PyTorch", "--kinds"),
        ("hypothesis", "the package hypothesis", "--kinds"),
    ],
)
def test_without_a_package_one_line_names_the_extra(monkeypatch, capsys, package, needs, what):
    for name in [name for name in sys.modules if name.startswith(("archcalc.crosscheck", "archcalc.dialects.torch"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["verify", what]) == 7
    assert capsys.readouterr().err == (
        f"archcalc: torch: needs {needs}; got import of {package} halted; None in sys.modules\n"
        "  pip install 'archcalc[torch]'\n"
    )


def mystery():
    """A kind that nobody has taught PyTorch."""
    from archcalc.layers import Layer, register

    @register("mystery", example="mystery", on=[(1, 4)])
    class Mystery(Layer, frozen=True):
        """Hand the input on."""

        def out(self, *xs):
            return xs[0]

        def ops(self, xs, y):
            return Ops(add=y[1])

    return Mystery


def test_a_kind_without_a_module_is_named_and_unchecked(monkeypatch, capsys, tmp_path):
    from archcalc.crosscheck import kinds

    mystery()
    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\ninputs: {x: [4]}\nlayers: [dense: 3, mystery, dense: 2]\n")
    try:
        assert main(["verify", str(path)]) == 0
        out = capsys.readouterr().out
        assert re.search("^mystery1 +unchecked$", out, re.M)
        assert "unchecked   runs of mystery1: mystery has no PyTorch module\n" in out
        assert (
            "unchecked   saved of the whole network: mystery1: mystery does not say what it\n            keeps\n" in out
        )
        assert main(["verify", str(path), "--strict"]) == 6
        assert (
            capsys.readouterr().err
            == "archcalc: verify: under --strict everything must be checked; got checks that could not be made\n"
        )
        monkeypatch.setattr(kinds, "KINDS", {name: KINDS[name] for name in ("relu", "mystery")})
        found = archcalc.verify_kinds(1)
        (own,) = [kind for kind in found.found if kind.kind == "mystery"]
        assert own.failure is None
        assert {check.note for check in own.unchecked} == {"mystery has no PyTorch module"}
        assert "example     no random configurations, only the example: mystery" in str(found)
    finally:
        KINDS.pop("mystery")


def test_a_taught_kind_is_checked_as_far_as_it_says():
    from archcalc.dialects.torch import module

    cls = mystery()
    module.register(cls)(lambda *_: torch.nn.Identity())
    try:
        found = archcalc.verify(archcalc.loads("archcalc: 1\ninputs: {x: [4]}\nlayers: [mystery]\n"))
        assert found.failures == ()
        assert {(check.what, check.note) for check in found.unchecked} == {
            ("saved", "the kind does not say what it keeps"),
            ("operations", "mystery has no program that counts one by one"),
            ("saved", "mystery1: mystery does not say what it keeps"),
            ("peak", "mystery1: mystery does not say what it keeps"),
        }
    finally:
        KINDS.pop("mystery")


def test_a_kind_that_cannot_be_read_on_symbols_is_said():
    from archcalc.dialects.torch import module

    cls = mystery()
    cls.out = lambda _, x: (x[0], int(x[1]))
    module.register(cls)(lambda *_: torch.nn.Identity())
    try:
        found = archcalc.verify(archcalc.loads("archcalc: 1\ninputs: {x: [4]}\nlayers: [mystery]\n"))
        assert found.failures == ()
        (note,) = [check.note for check in found.unchecked if check.what == "every size"]
        assert note.startswith("its formulas cannot be read on symbols (TypeError: ")
    finally:
        KINDS.pop("mystery")


def test_a_mistake_in_a_kind_is_made_small_and_can_be_pasted_back(monkeypatch, capsys, tmp_path):
    from archcalc.crosscheck import kinds

    monkeypatch.setattr(kinds, "KINDS", {name: KINDS[name] for name in ("relu", "max_pool")})
    monkeypatch.setattr(MaxPool, "ops", lambda self, xs, y: all_taps(self.windows(xs[0]), y))
    assert main(["verify", "--kinds", "--cases", "60", "--seed", "2"]) == 5
    table, _, failure = capsys.readouterr().out.partition("# archcalc verify FILE")
    assert re.search("^relu .* equal$", table, re.M)
    assert re.search("^max_pool .* DIFFERS$", table, re.M)
    assert "# max_pool, operations: formula mul 0, add 0, cmp " in failure
    spec = failure[failure.index("archcalc: 1") :]
    assert len(spec) < 120  # small
    path = tmp_path / "case.yaml"
    path.write_text(spec)
    assert main(["verify", str(path)]) == 5
    monkeypatch.undo()
    assert main(["verify", str(path)]) == 0


def all_taps(windows, y):
    """Comparisons as if every tap were on the axis."""
    return Ops(cmp=prod(y) * (prod(window.kernel for window in windows) - 1))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.line[:50])
def test_a_layer_written_as_a_line_is_read_as_itself(case):
    layer = layer_of(case.line)
    assert layer_of(line_of(layer)) == layer


def test_a_spec_of_one_layer():
    text = spec_of(Resize(mode="nearest"), ((2, 3, 4, 4), (2, 1, 5, 6)), (None, None))
    assert text == (
        "archcalc: 1\nname: resize_case\ninputs:\n  x1: [3, 4, 4]\n  x2: [1, 5, 6]\nlayers:\n  - resize: {from: [x1, x2]}"
    )
    assert archcalc.loads(text).report().output == (1, 3, 5, 6)
    assert line_of(Dropout("drop_path", rate=0.25)) == "drop_path: {rate: 0.25}"


class Clock:
    """A stand-in for a CUDA event: every mark is ten milliseconds after the one before."""

    now = 0

    def __init__(self, enable_timing):
        self.at = None

    def record(self):
        Clock.now += 10
        self.at = Clock.now

    def elapsed_time(self, end):
        return end.at - self.at


def fake_cuda(monkeypatch):
    """A module in place of torch.cuda; what was asked of it, in order."""
    done = []
    stand_in = SimpleNamespace(
        Event=Clock, synchronize=lambda: done.append("wait"), reset_peak_memory_stats=lambda: done.append("reset"),
        max_memory_allocated=lambda: 4096,
    )  # fmt: skip
    monkeypatch.setattr(torch, "cuda", stand_in)
    return done


def test_cuda_costs_are_read_from_events_and_the_allocator(monkeypatch):
    """Without a card: the order of steps, the statistics, and that the network is left as it was."""
    done = fake_cuda(monkeypatch)
    network = torch.nn.Linear(3, 2).eval()
    x = torch.rand(4, 3)
    found = cost.measured(network, lambda: [x], "cuda")
    assert found["peak_bytes"] == 4096
    hundredth = pytest.approx(0.01)
    for step in ("forward", "training"):
        assert found[step] == {"median_s": hundredth, "low_s": hundredth, "high_s": hundredth, "repeats": cost.REPEATS}
    assert done == ["wait", "wait", "reset", "wait", "wait"]  # forward; a step, a counted step; training
    assert not network.training
    assert network.weight.grad is None
    assert page.told_cost(found) == (
        "peak        4,096 B = 4.000 KiB allocated at most, in training\n"
        "forward     10.000 ms median, first to last decile 10.000 to 10.000 ms in 30\n            repeats\n"
        "training    10.000 ms median, first to last decile 10.000 to 10.000 ms in 30\n            repeats"
    )
    assert cost.measured(network, lambda: [x], "cpu") is None


def test_what_was_predicted_stands_beside_what_was_measured(monkeypatch):
    model, shapes = archcalc.load("zoo:digits"), {"image": (2, 1, 64, 64)}
    monkeypatch.setattr(cost, "device_of", lambda _: device("nvidia-v100-pcie"))
    said = cost.predicted(model, shapes)
    assert said["peak_bytes"] == model.memory((64, 64), batch=2, training=True, optimizer="none").training.bytes
    assert said["forward"]["bound_eager_s"] == model.time("nvidia-v100-pcie", (64, 64), batch=2).totals["bound_eager_s"]
    assert said["training"]["estimate_s"] > said["forward"]["estimate_s"] > 0
    seconds = {"median_s": 2e-3, "low_s": 1e-3, "high_s": 3e-3, "repeats": 30}
    said = {"peak_bytes": 1010, "forward": {"bound_s": 1e-4, "bound_eager_s": 1e-3, "estimate_s": 1.9e-3}}
    page_of = page.told_cost({"peak_bytes": 1000, "forward": seconds, "predicted": said})
    assert page_of == (
        "peak        1,000 B = 1000 B allocated at most, in training\n"
        "            1,010 B by formula, +1.00 %\n"
        "forward     2.000 ms median, first to last decile 1.000 to 3.000 ms in 30\n            repeats\n"
        "            at least 0.50 of it by formula, expected 0.95 of it"
    )
    beaten = {"forward": {"bound_s": 1e-3, "bound_eager_s": 4e-3}}
    assert "at least 2.00 of it by formula (beaten: this is a mistake, please report it)" in " ".join(
        page.told_cost({"forward": seconds, "predicted": beaten}).split()
    )

    def no_card(_):
        raise CannotRun("--device local", "needs a row for the device", "another card")

    monkeypatch.setattr(cost, "device_of", no_card)
    assert set(cost.predicted(model, shapes)) == {"peak_bytes"}


def test_what_does_not_train_on_a_card_is_said(monkeypatch):
    fake_cuda(monkeypatch)
    found = cost.measured(torch.nn.BatchNorm1d(2).eval(), lambda: [torch.rand(1, 2)], "cuda")
    assert set(found) == {"forward", "failed", "clocks"}
    assert (
        page.told_cost(found)
        .splitlines()[-2]
        .startswith("failed      ValueError: Expected more than 1 value per channel")
    )
    assert "training" in cost.measured(torch.nn.ReLU(), lambda: [torch.rand(1, 2)], "cuda")  # without a backward pass


def test_a_progress_bar_is_no_part_of_the_result(tmp_path):
    """Neither stream of a process that is not a terminal shows one."""
    command = [sys.executable, "-m", "archcalc", "verify", "zoo:exercise_f"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr == ""
    assert done.stdout.startswith("exercise_f: image 1×1×10×10, formulas beside the real network")


FOUND = [  # by a hostile user; what is expected of each: nothing differs, and these reasons for what is unchecked
    ("{x: [4]}", "{local_response_norm: 3}", {"PyTorch's local response norm needs a spatial axis"}),
    ("{x: [2, 5]}", "{resize: {scale: 2, mode: bicubic}}", {"PyTorch interpolates over one to three axes, bicubically over two"}),
    ("{x: [2, 3, 3, 3, 3]}", "{conv: {filters: 1, kernel: 2}}", {"conv has no PyTorch module over 4 axes"}),
    ("{x: [2, 3, 3, 3, 3]}", "{max_pool: {kernel: 2, padding: same}}", {"max_pool has no PyTorch module over 4 axes"}),
    ("{x: [2, 3, 3, 3, 3]}", "{pad: {amount: 1, mode: reflect}}", {"PyTorch reflects and repeats over one to three axes"}),
    ("{x: [3]}", "{softshrink: -1}", {"PyTorch's shrinkage needs an alpha of at least 0 that float32 holds"}),
    ("{x: [3, 4]}", "{batch_norm: {epsilon: -10}}", {"PyTorch's norms need an epsilon above 0"}),
    ("{x: [3, 4]}", "{layer_norm: {epsilon: -10}}", set()),
    ("{x: [4]}", "{celu: 0}", {"PyTorch's celu divides by its parameter"}),
    ("{x: [4]}", "{celu: 0.001}", set()),
    ("{x: [4]}", "{celu: 1.0e+308}", set()),
    ("{x: [3, 5]}", "{local_response_norm: {size: 3, k: 0, alpha: 0}}", set()),
    ("{x: [3, 5]}", "{local_response_norm: {size: 3, beta: 5000, k: 10}}", set()),
    ("{x: [4, 6]}", "{pixel_unshuffle: 2}", set()),
    ("{x: [8, 2, 3, 2]}", "{pixel_shuffle: 2}", set()),
    ("{t: {shape: [4], dtype: float8}}", "identity", {"an input is declared in another format than it is read in"}),
    ("{t: {shape: [4], dtype: float64}}", "{dense: 2}, tanh", {"an input is declared in another format than it is read in"}),
    ("{t: {shape: [4], dtype: int64}}", "relu, softshrink", {"an input is declared in another format than it is read in"}),
    ("{t: {shape: [3, 4], dtype: int8}}", "{multiply: {from: [t, t]}}, {max_pool: 2}", {"an input is declared in another format than it is read in"}),
    ("{t: [2, 3]}", "flatten, {embedding: {vocabulary: 3, width: 2}}", {"an input is declared in another format than it is read in"}),
    ("{t: {shape: [4], dtype: int64}}", "{dropout: 0.5}, {embedding: {vocabulary: 3, width: 2}}",
     {"embedding1 takes indices for numbers, or numbers for indices"}),
    ("{t: [4]}", "{embedding: {vocabulary: 3, width: 4, name: e}}, {dense: {units: 4, from: t}}",
     {"dense1 takes indices for numbers, or numbers for indices"}),
    ("{x: [3, 4096, 4096]}", "{resize: {size: 32}}", set()),
    ("{x: [1, 3000000]}", "{conv: {filters: 1, kernel: 3, dilation: 1000000}}", {"more than 10,000 even when cut down"}),
    ("{x: [4, 3]}", "{concat: {branches: [[], [relu], [tanh], [abs], [exp], [square], [silu], [gelu]]}}", set()),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "layers", "reasons"), FOUND, ids=[line for _, line, _ in FOUND])
def test_what_a_hostile_user_found(inputs, layers, reasons):
    found = archcalc.verify(archcalc.loads(f"archcalc: 1\ninputs: {inputs}\nlayers: [{layers}]\n"), batch=2)
    assert found.failures == ()
    assert {check.note for check in found.unchecked} - {"a layer of it cannot be built"} == reasons
    assert str(found)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["--batch", "1000000000000000000"],
            7,
            "verify: a tensor must have at most 2**56 cells; got 3000000000000000000\n  a smaller --input",
        ),
        (["--seed", "9223372036854775808"], 2, "--seed: must lie between 0 and 2**63 - 1; got 9223372036854775808"),
        (["--samples", "101"], 2, "--samples: must lie between 0 and 100; got 101"),
    ],
)
def test_numbers_that_are_too_large(arguments, code, message, tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\ninputs: {x: [3]}\nlayers: [relu]\n")
    assert main(["verify", str(path), *arguments]) == code
    assert capsys.readouterr().err == f"archcalc: {message}\n"


def test_the_model_is_not_written_over(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\ninputs: {x: [3]}\nlayers: [relu]\n")
    before = path.read_text()
    assert main(["verify", str(path), "-o", str(path)]) == 2
    assert capsys.readouterr().err == f"archcalc: -o: must not be the model itself; got {path}\n"
    assert path.read_text() == before


def test_a_name_that_modules_use_is_an_error_of_the_model(tmp_path, capsys):
    path = tmp_path / "m.yaml"
    path.write_text("archcalc: 1\ninputs: {x: [3]}\nlayers: [residual: {name: r, layers: [relu: {name: own}]}]\n")
    assert main(["verify", str(path)]) == 3
    assert capsys.readouterr().err == (
        "archcalc: torch: a layer of a module must not be called as an attribute of modules, nor have a dot in its name;"
        " got own\n  rename the layer in the spec\n"
    )
