"""Memory beside the real network: every operation's results watched on tensors without numbers, equal to the byte."""

import pytest
import torch
from hypothesis import given, settings
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

import archcalc
from archcalc import layers
from archcalc.algebra.dtype import bytes_of
from archcalc.crosscheck.facts import dtypes_of
from archcalc.crosscheck.measure import packing, storage
from archcalc.crosscheck.peak import OPTIMIZERS, Watch, _Loss, computing_in, inputs, tracked
from archcalc.crosscheck.strategies import cases
from archcalc.dialects.torch_network import network_of
from archcalc.layers import Combine, Gather
from archcalc.layers.layer import KINDS
from archcalc.model.graph import Graph, Input, Node
from archcalc.model.sizes import full_shapes
from archcalc.model.walk import walk
from archcalc.questions import optimizers, storages
from archcalc.questions.account import Account
from archcalc.questions.ledger import Ledger
from archcalc.questions.liveness import Pass
from archcalc.questions.memory import checked
from tests.asking import layer_of
from tests.cases import CASES
from tests.zoo import SLOWLY

MIB = 2**20
SGD = {"training": True, "optimizer": "sgd"}


def account_of(model, batch=8, dtype="float32", *, sums_in_place=False, **choices):
    """What we say of a CPU without rounding; sums out of place, as PyTorch makes them under a watching mode."""
    shapes = full_shapes(model.inputs, None, batch)
    chosen = checked({"allocator": "exact", **choices}, dtype)
    return Account(model, model.walk(shapes), shapes, dtype, chosen, device="cpu", sums_in_place=sums_in_place)


def stated(account):
    peak, _ = account.peak(training=account.choices.training)
    assert sum(peak.parts.values()) == peak.bytes
    return peak.bytes


def measured(account, **more):
    return tracked(account.model, account.uses, account.shapes, account.choices, dtype=account.dtype, **more)


def check_equal(account, **more):
    assert stated(account) == measured(account, **more)


# The zoo


@pytest.mark.parametrize("optimizer", [None, "momentum", "adam"])
@pytest.mark.parametrize("name", SLOWLY)
def test_every_network(name, optimizer):
    model = archcalc.load(f"zoo:{name}")
    choices = {"training": True, "optimizer": optimizer} if optimizer else {}
    account = account_of(model, **choices)
    real = measured(account)
    assert stated(account) == real
    in_place = stated(account_of(model, sums_in_place=True, **choices))
    assert real * 0.98 <= in_place <= real


# torchvision's own networks under MemTracker, batch 32, in MiB: saved, training peak with momentum, inference peak
TABLE = {
    "resnet50": (2603.6, 2849.3, 434.6),
    "vgg16": (2220.2, 3802.2, 1330.2),
    "mobilenet_v2": (2368.5, 2433.8, 350.4),
    "densenet121": (3960.3, 4056.0, 343.1),  # 355.4: a dense layer of torchvision holds a list of all maps before it
}


@pytest.mark.parametrize("name", TABLE)
def test_the_networks_as_torchvision_runs_them(name):
    """Python keeps the arguments of a running function: a value stays until every block that reads it has ended."""
    model = archcalc.load(f"zoo:{name}")
    training = account_of(model, 32, training=True, optimizer="momentum", hold="blocks", sums_in_place=True)
    inference = account_of(model, 32, hold="blocks")
    found = (training.quantities()["saved_bytes"], stated(training), stated(inference))
    assert tuple(round(size / MIB, 1) for size in found) == TABLE[name]


def mem_tracker_peak(account):
    """The same by PyTorch's own tracker."""
    with FakeTensorMode():
        network = network_of(account.model, account.uses, device="cpu").train(account.choices.training)
        xs, tracker = inputs(account.model, account.shapes, "float32"), MemTracker()
        if not account.choices.training:
            tracker.track_external(network, *xs)
            with tracker, torch.no_grad():
                _y = network(*xs)
        else:
            optimizer = OPTIMIZERS[account.choices.optimizer](network.parameters())
            tracker.track_external(network, optimizer, *xs)
            with tracker:
                for _ in range(2):
                    y = network(*xs)
                    loss = _Loss.apply(y)
                    loss.backward(torch.empty_like(loss))
                    optimizer.step()
                    optimizer.zero_grad()
                    tracker.reset_mod_stats()
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    return snapshot["Total"]


@pytest.mark.parametrize("choices", [{}, {"training": True, "optimizer": "momentum"}], ids=["inference", "training"])
@pytest.mark.parametrize("name", ["exercise_e", "resnet18", "mobilenet_v2", "squeezenet1_1"])
def test_the_watch_counts_as_pytorchs_tracker(name, choices):
    account = account_of(archcalc.load(f"zoo:{name}"), **choices)
    assert measured(account) == mem_tracker_peak(account)


# Every kind by itself


class Source(torch.autograd.Function):
    """An input that needs a gradient and lets go of it: no leaf, which would keep it, or copy one that is shared."""

    @staticmethod
    def forward(_ctx, _weight, x):
        return x.new_empty(x.shape)

    @staticmethod
    def backward(_ctx, gradient):
        return gradient.new_zeros((0,)), None


def alone(layer, xs, *, behind):
    """The layer as a model; behind additions, its inputs are held by nobody else."""
    dtypes = dtypes_of(layer, xs)
    inputs, nodes, sources = {}, [], []
    for number, (x, dtype) in enumerate(zip(xs, dtypes, strict=True)):
        inputs[f"a{number}"] = Input(x[1:] or (1,), dtype)
        if behind and dtype is None:
            inputs[f"b{number}"] = Input(x[1:] or (1,))
            nodes.append(Node(f"s{number}", Combine("add"), (f"a{number}", f"b{number}")))
        sources.append(f"{'s' if behind and dtype is None else 'a'}{number}")
    nodes.append(Node("it", layer, tuple(sources)))
    graph = Graph("alone", inputs, tuple(nodes), ("it",))
    shapes = {name: xs[int(name[1:])] for name in inputs}
    return graph, walk(graph, shapes), shapes


def graded(graph):
    return [name for name, item in graph.inputs.items() if name.startswith("a") and item.dtype is None]


def watched(graph, uses, shapes, *, training, dtype):
    with FakeTensorMode(), computing_in(getattr(torch, dtype)):
        network, watch = network_of(graph, uses, device="cpu").train(training), Watch()
        xs, weight = inputs(graph, shapes, dtype), torch.zeros((0,), requires_grad=True)
        if training:
            xs = [Source.apply(weight, x) if name in graded(graph) else x for name, x in zip(shapes, xs, strict=True)]
        watch.see(*network.parameters(), *network.buffers(), *xs)
        with watch, torch.set_grad_enabled(training):
            y = network(*xs)
            if y.requires_grad:
                loss = _Loss.apply(y)
                loss.backward(torch.empty_like(loss))
    return watch.most


def ours(graph, uses, shapes, *, training, dtype):
    found = storages.stays(
        uses, graph.inputs, shapes, dtype=dtype, training=training, device="cpu",
        graded=graded(graph) if training else (),
    )  # fmt: skip
    tensors = [weight for use in uses for weight in use.answers.weights.values()]
    base = sum(bytes_of(use.answers.params + use.answers.buffers, dtype) for use in uses)
    base += sum(8 for weight in tensors if weight.role == "counter")
    ledger = Ledger(1, base + sum(block.bytes for block in found.inputs.values()))
    Pass(found, [uses[-1].name], ledger, training=training, sums_in_place=False).run()
    assert {block.role for _, _, block in ledger.held.values()} <= {"weight gradient", "gradient"}
    return max(moment.bytes for moment in ledger.moments)


def check_alone(layer, xs, *, dtype="float32"):
    for behind in (False, True):
        made = alone(layer, xs, behind=behind)
        for training in (False, True):
            how = {"training": training, "dtype": dtype}
            said, real = ours(*made, **how), watched(*made, **how)
            less = layer.keeps_more or isinstance(layer, Gather)  # of fake tensors its gradient is summed out of place
            assert said <= real if less else said == real, (layer, xs, behind, training)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.line}-{case.inputs[:1]}")
def test_every_case(case, dtype):
    check_alone(layer_of(case.line), case.inputs, dtype=dtype)


@pytest.mark.parametrize("kind", [
    "conv", "dense", "matmul", "embedding", "global_avg_pool", "global_max_pool", "adaptive_avg_pool",
    "adaptive_max_pool", "layer_norm", "relu", "gelu", "silu", "softsign", "quick_gelu", "tanhshrink", "square", "glu",
    "softmax", "log_softmax", "concat", "resize", "flatten", "reshape", "crop", "reduce_mean", "reduce_sum",
])  # fmt: skip
def test_any_configuration_of_kinds(kind):
    @settings(max_examples=15)
    @given(cases(KINDS[kind]))
    def check(case):
        check_alone(*case)

    check()


@pytest.mark.parametrize("function", ["add", "subtract", "multiply", "divide", "maximum", "minimum"])
@pytest.mark.parametrize(
    "shapes",
    [("[2, 3, 3]", "[2, 3, 3]"), ("[2, 1, 3]", "[2, 3, 3]"), ("[2, 3, 3]", "[2, 1, 3]"), ("[2, 1, 3]", "[2, 3, 1]")],
    ids=str,
)
@pytest.mark.parametrize("learning", ["a", "b", "ab"])
def test_a_join_of_two_sums_gradients_where_it_repeated(function, shapes, learning):
    convs = "".join(f"  - conv: {{name: {name}2, from: {name}, filters: 2, kernel: 1}}\n" for name in learning)
    names = ", ".join(f"{name}2" if name in learning else name for name in "ab")
    model = archcalc.loads(
        f"archcalc: 1\ninputs: {{a: {shapes[0]}, b: {shapes[1]}}}\nlayers:\n"
        f"{convs}  - {function}: {{name: join, from: [{names}]}}\n"
    )
    check_equal(account_of(model, **SGD))


# Graphs of other forms

CONV = "conv: {filters: 4, kernel: 3, padding: 1"
GRAPHS = {
    "no weights": "{x: [4, 4, 4]}\nlayers:\n  - relu\n  - max_pool: 2\n",
    "the output is the input": "{x: [4, 4, 4]}\nlayers:\n  - identity\n",
    "behind the output": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}, name: c}}\n  - relu\n  - {CONV}}}\noutputs: [c]\n",
    "beside the output": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}, name: c}}\n  - {CONV}, name: d}}\n  - sigmoid\n"
        f"  - sigmoid: {{from: d}}\n  - {CONV}}}\n",
    "an output in the middle": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}}}\n  - relu: {{name: r}}\n  - {CONV}, name: d}}\noutputs: [r, d]\n",
    "a chain of views": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}}}\n  - flatten\n  - reshape: [4, 16]\n  - identity\n  - flatten\n  - dense: 3\n",
    "the output is a view": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}}}\n  - flatten\n",
    "two inputs, two outputs": f"{{x: [4, 4, 4], y: [4, 4, 4]}}\nlayers:\n  - {CONV}, name: c, from: x}}\n  - add: {{name: a, from: [c, y]}}\n"
        f"  - relu\n  - {CONV}, name: z}}\noutputs: [a, z]\n",
    "indices": "{t: {shape: [16], dtype: int64}}\nlayers:\n  - embedding: {vocabulary: 100, width: 8}\n  - dense: 8\n  - layer_norm\n",
    "frozen layers": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}, trainable: false}}\n  - relu\n  - {CONV}}}\n  - relu\n"
        f"  - {CONV}, trainable: false}}\n  - batch_norm\n",
    "everything frozen": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}, trainable: false}}\n  - relu\n",
    "one value twice": f"{{x: [4, 4, 4]}}\nlayers:\n  - {CONV}, name: c}}\n  - multiply: {{from: [c, c], name: m}}\n  - concat: {{from: [m, m]}}\n  - {CONV}}}\n",
    "a skip": f"{{x: [4, 8, 8]}}\nlayers:\n  - {CONV}}}\n  - relu: {{name: r}}\n  - max_pool: 2\n  - {CONV}}}\n  - resize: 2\n"
        f"  - concat: {{from: [r, resize1]}}\n  - {CONV}}}\n",
    "a gate": "{x: [8, 8]}\nlayers:\n  - dense: 8\n  - silu: {name: s}\n  - dense: {name: b, units: 8, from: x}\n"
        "  - multiply: {from: [s, b]}\n  - dense: 8\n  - rms_norm\n  - add: {from: [rms_norm1, x]}\n",
    "tensors by themselves": "{x: [8, 8]}\nlayers:\n  - dense: 8\n  - parameter: {name: p, shape: [1, 8, 8]}\n"
        "  - add: {from: [dense1, p]}\n  - parameter: {name: scale, shape: [8], axes: 3}\n  - multiply: {from: [add1, scale]}\n"
        "  - slice: {axis: 1, stop: 3}\n  - sigmoid\n",
    "a token in front": "{x: [8, 8]}\nlayers:\n  - dense: 8\n  - sigmoid: {name: s}\n  - parameter: {name: p, shape: [1, 1, 8]}\n"
        "  - expand: {shape: [2, -1, -1]}\n  - concat: {axis: 1, from: [expand1, s]}\n  - parameter: {name: q, shape: [9, 8], axes: 3}\n"
        "  - add: {from: [concat1, q]}\n  - slice: {axis: 1, stop: 1, drop: true}\n  - dense: 4\n",
    "one parameter twice": "{x: [8]}\nlayers:\n  - parameter: {name: p, shape: [8], axes: 2}\n  - add: {from: [x, p]}\n"
        "  - multiply: {from: [add1, p]}\n",
    "attention": "{x: [8, 8]}\nlayers:\n  - dense: {name: q, units: 8, from: x}\n  - dense: {name: k, units: 8, from: x}\n"
        "  - dense: {name: v, units: 8, from: x}\n  - matmul: {from: [q, k], transpose_second: true}\n  - softmax\n"
        "  - dropout: 0.1\n  - matmul: {from: [dropout1, v]}\n  - dense: 8\n",
}  # fmt: skip


def graph_of(name):
    return archcalc.loads(f"archcalc: 1\ninputs: {GRAPHS[name]}")


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_other_forms(name):
    model = graph_of(name)
    check_equal(account_of(model, 2))
    for optimizer in ("sgd", "adam"):
        account = account_of(model, 2, training=True, optimizer=optimizer)
        check_equal(account)
        left = account.ledger(training=True).held.values()
        assert {block.role for _, _, block in left} <= {"weight gradient"}


@pytest.mark.parametrize("name", ["resnet18", "digits", "mobilenet_v2"])
def test_gradients_that_stay_from_step_to_step(name):
    check_equal(account_of(archcalc.load(f"zoo:{name}"), training=True, optimizer="momentum", set_to_none=False))


@pytest.mark.parametrize("choices", [SGD, {**SGD, "set_to_none": False}, {**SGD, "amp": "bfloat16"}], ids=str)
def test_tied_weights_send_one_gradient(choices):
    """What three uses of a table send back is summed before it becomes the weight's; within the table's bias here."""
    model = archcalc.loads(
        "archcalc: 1\ninputs: {x: [256]}\nlayers:\n  - dense: {name: a, units: 256}\n  - relu\n"
        "  - dense: {units: 256, shared_with: a}\n  - relu\n  - dense: {units: 256, shared_with: a}\n"
    )
    account = account_of(model, 2, **choices)
    assert measured(account) <= stated(account) <= 1.01 * measured(account)


# Knobs


@pytest.mark.parametrize(("every", "depth"), [(1, 1), (4, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize(
    "name", ["exercise_e", "resnet18", "mobilenet_v2", "densenet121", "googlenet", "unet", "xception", "alexnet_2012"]
)
def test_checkpoints(name, every, depth):
    """As torch.utils.checkpoint without re-entrance: it stops once the last tensor is there that is needed."""
    check_equal(
        account_of(archcalc.load(f"zoo:{name}"), training=True, optimizer="momentum", checkpoint=every, depth=depth)
    )


def prepared_in_place(account):
    """The real modules of those layers that overwrite their input, changed to do so."""
    functions = {"sigmoid": torch.sigmoid_, "tanh": torch.tanh_, "exp": torch.exp_}

    class InPlace(torch.nn.Module):
        def __init__(self, kind):
            super().__init__()
            self.function = functions[kind]

        def forward(self, x):
            return self.function(x)

    def prepare(network):
        paths = {name: path for name, path, _ in network.calls}
        for stay in account.found[account.choices.training].uses:
            layer, path = stay.use.layer, paths[stay.use.name]
            if stay.output.name != stay.use.name and not layer.aliases(account.choices.training):
                if layer.kind in functions:
                    network.set_submodule(path, InPlace(layer.kind))
                else:
                    network.get_submodule(path).inplace = True

    return prepare


@pytest.mark.parametrize("choices", [{}, SGD], ids=["inference", "training"])
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "mobilenet_v2", "densenet121", "lenet5", "xception"])
def test_in_place(name, choices):
    account = account_of(archcalc.load(f"zoo:{name}"), in_place=True, **choices)
    check_equal(account, prepare=prepared_in_place(account))
    assert stated(account) <= stated(account_of(archcalc.load(f"zoo:{name}"), **choices))


def test_what_does_not_gain_by_overwriting():
    """The in-place forms of relu6 and silu copy their input first; an output, and what else is read, must stay."""
    spec = "archcalc: 1\ninputs: {{x: [4, 4, 4]}}\nlayers:\n  - {conv}, name: c}}\n  - {kind}: {{name: r}}\n{more}"
    kept = {"relu": 1, "leaky_relu": 1, "relu6": 2, "silu": 2, "hardtanh": 2}
    for kind, blocks in kept.items():
        model = archcalc.loads(spec.format(conv=CONV, kind=kind, more=f"  - {CONV}}}\n"))
        assert account_of(model, 1, in_place=True, **SGD).quantities()["saved_bytes"] == 256 * blocks, kind
    for more in (
        f"  - {CONV}}}\noutputs: [c, conv1]\n",
        "  - flatten: {from: c, name: f}\n  - concat: {from: [f, f]}\noutputs: [r, concat1]\n",
    ):
        found = account_of(
            archcalc.loads(spec.format(conv=CONV, kind="relu", more=more)), 1, in_place=True, **SGD
        ).found[True]
        assert found.uses[1].output.name == "r"


def kept_under(account):
    """Bytes that automatic differentiation packs, each storage once, without inputs and parameters."""
    choices = account.choices
    with FakeTensorMode():
        network, xs = (
            network_of(account.model, account.uses, device="cpu"),
            inputs(account.model, account.shapes, "float32"),
        )
        if choices.in_place:
            prepared_in_place(account)(network)
        with torch.autocast("cpu", getattr(torch, choices.amp or "bfloat16"), enabled=bool(choices.amp)):
            _, packed = packing(network, xs)
        given = {storage(tensor) for tensor in (*xs, *network.parameters(), *network.buffers())}
        blocks = {storage(tensor): tensor.untyped_storage().nbytes() for tensor in packed}
    return sum(size for block, size in blocks.items() if block not in given)


@pytest.mark.parametrize("choices", [{"in_place": True}, {"amp": "bfloat16"}, {"amp": "float16"}], ids=str)
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "unet", "exercise_a", "digits", "densenet121", "resnet18"])
def test_what_is_kept_under_a_knob(name, choices):
    account = account_of(archcalc.load(f"zoo:{name}"), **SGD, **choices)
    assert account.quantities()["saved_bytes"] == kept_under(account) + halved_on_a_cpu(account)


def halved_on_a_cpu(account):
    """Under mixed precision a CPU keeps statistics in the input's format, CUDA in float32."""
    blocks = [block for block, _ in storages.kept(account.found[True]) if block.role == "statistic"]
    return sum(block.bytes for block in blocks) // 2 if account.choices.amp else 0


@pytest.mark.parametrize(
    "name", ["exercise_a", "digits", "lenet5", "vgg16", "unet", "resnet18", "mobilenet_v2", "googlenet", "xception"]
)
def test_mixed_precision(name):
    """The copies of weights that the cache holds until the forward pass ends, and gradients that become float32.

    On a CPU; its list and CUDA's agree for the layers of these networks.
    """
    model = archcalc.load(f"zoo:{name}")
    check_equal(account_of(model, amp="bfloat16"))
    account = account_of(model, amp="bfloat16", training=True, optimizer="momentum")
    real = measured(account)
    assert real <= stated(account) <= real * 1.0003


def test_mixed_precision_of_frozen_layers():
    """Their weights are no candidates for the cache: each use makes a copy, and lets it go."""
    account = account_of(graph_of("frozen layers"), 2, amp="bfloat16", **SGD)
    assert measured(account) <= stated(account) <= measured(account) + 16


@pytest.mark.parametrize(("dtype", "name"), [
    ("float64", "resnet18"), ("float64", "exercise_e"), ("bfloat16", "vgg16"), ("bfloat16", "lenet5"), ("float16", "unet"),
])  # fmt: skip
def test_other_formats(dtype, name):
    """In half formats without norms: their statistics are float32 on CUDA, and of the weights' format on a CPU."""
    model = archcalc.load(f"zoo:{name}")
    for choices in ({}, {"training": True, "optimizer": "adam"}):
        check_equal(account_of(model, 4, dtype, **choices))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizers_state_and_step(name):
    with FakeTensorMode():
        weights = [torch.nn.Parameter(torch.empty(shape)) for shape in ((10, 20), (7,), (3, 3, 3))]
        optimizer, watch = OPTIMIZERS[name](weights), Watch()
        for weight in weights:
            weight.grad = torch.empty_like(weight)
        optimizer.step()
        state = [
            t
            for entry in optimizer.state_dict()["state"].values()
            for t in entry.values()
            if isinstance(t, torch.Tensor) and t.dim()
        ]
        with watch:
            optimizer.step()
    cells = sum(weight.numel() for weight in weights)
    assert (sum(t.numel() for t in state), watch.most // 4) == tuple(n * cells for n in optimizers.OPTIMIZERS[name])


def test_the_table_of_optimizers_is_covered():
    assert set(OPTIMIZERS) == set(optimizers.OPTIMIZERS) - {"none"}


def test_an_error_would_be_seen(monkeypatch):
    """The guard of all this: a layer that keeps one tensor too few is found."""
    monkeypatch.setattr(layers.BatchNorm, "saved", lambda *_, **__: ())
    account = account_of(archcalc.load("zoo:resnet18"), training=True)
    assert stated(account) < 0.98 * measured(account)
