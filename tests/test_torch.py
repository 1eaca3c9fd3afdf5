"""Every kind against the real network: output shape, each tensor by name and shape, and MACs on the meta device."""

from collections import defaultdict
from itertools import product
from operator import lt

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archcalc import Model, load, loads
from archcalc.errors import LayerError, ModelError
from archcalc.layers import KINDS, AvgPool, Conv, ConvTranspose, Layer, MaxPool, PReLU, SeparableConv
from archcalc.layers.windowed import per_axis, unchecked
from archcalc.model.walk import answer
from tests.asking import model_of
from tests.cases import CASES
from tests.zoo import SLOWLY

torch = pytest.importorskip("torch", reason="torch is not installed")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from archcalc.crosscheck.facts import alone, dtypes_of  # noqa: E402
from archcalc.crosscheck.strategies import cases, convs, pools  # noqa: E402
from archcalc.dialects.torch import module  # noqa: E402
from archcalc.dialects.torch_network import build  # noqa: E402
from archcalc.dialects.torch_read import read  # noqa: E402


def run(layer, xs):
    """Output shape, tensors by name and shape, and MACs of the real module on the meta device."""
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        made = module(layer, *xs).eval()
        dtypes = [None if dtype is None else getattr(torch, dtype) for dtype in dtypes_of(layer, tuple(xs))]
        y = made(*[torch.empty(x, dtype=dtype) for x, dtype in zip(xs, dtypes, strict=True)])
    tensors = {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}
    return tuple(y.shape), tensors, counter.get_total_flops() // 2


def canonical(layer):
    """One number where all axes agree, and no stride where it is the kernel: two ways to write the same layer."""
    fields = {name: getattr(layer, name) for name in layer.__struct_fields__}
    for name, value in fields.items():
        if isinstance(value, tuple) and len(set(value)) == 1 and name not in ("axes", "order", "shape"):
            fields[name] = value[0]
    if fields.get("kernel") == fields.get("stride"):
        fields["stride"] = None
    if isinstance(layer, AvgPool):
        fields["count_include_pad"] = layer.counts_padding
    if fields.get("padding") == "valid" and isinstance(layer, MaxPool | AvgPool):
        fields["padding"] = 0
    if isinstance(fields.get("padding"), tuple):  # even pairs are numbers
        even = [pair[0] if isinstance(pair, tuple) and pair[0] == pair[1] else pair for pair in fields["padding"]]
        fields["padding"] = even[0] if len(set(even)) == 1 else tuple(even)
    return type(layer), fields


def agrees(layer: Layer, xs):
    """The layer's answers equal what the real module does, and the module is read as the layer."""
    ours = answer(layer, tuple(xs))
    shape, tensors, macs = run(layer, xs)
    assert ours.y == shape
    assert {name: weight.shape for name, weight in ours.weights.items()} == tensors
    assert ours.macs == macs
    assert canonical(read(module(layer, *xs))) == canonical(layer)
    return ours


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case.line[:50]}" for n, case in enumerate(CASES)])
def test_cases(case):
    shapes = dict(zip(model_of(case).inputs, case.inputs or [(1, 1)], strict=True))
    uses = model_of(case).walk(shapes)
    for use in uses:
        agrees(use.layer, use.xs)
    assert uses[-1].answers.y == case.out


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.booleans())
def test_ceil_mode_sizes(n, kernel, stride, ceil):
    """The rule of the last window, on single axes where it is easiest to get wrong."""
    layer = MaxPool(kernel=kernel, stride=stride, padding=kernel // 2, ceil_mode=ceil)
    real = torch.nn.MaxPool1d(kernel, stride, kernel // 2, ceil_mode=ceil)
    try:
        agrees(layer, [(1, 1, n)])
    except LayerError:
        with pytest.raises(RuntimeError):
            real(torch.zeros(1, 1, n))


@pytest.mark.parametrize("name", SLOWLY)
def test_every_layer_of_the_zoo(name):
    """Each distinct use in a network, at its own size and at another one."""
    model = load(f"zoo:{name}")
    seen = defaultdict(int)
    for size in (None, other_size(model)):
        report = model.report(size)
        for use in model.walk(report.inputs):
            key = (use.layer, use.xs)
            seen[key] += 1
            if seen[key] == 1:
                agrees(use.layer, use.xs)
    assert seen


def other_size(model):
    at = model.expect.get("at", {})
    if at:
        return next(iter(at))
    (item,) = model.inputs.values()
    return None if len(item.shape) == 1 else item.shape[1:]


@pytest.mark.parametrize("name", KINDS)
def test_random_configurations_are_read_as_they_were_built(name):
    @given(cases(KINDS[name]))
    def built_and_read(case):
        layer, xs = case
        assume(not isinstance(layer, PReLU) or xs[0][1] > 1)  # one slope for one channel is one slope for all
        for use in alone(layer, xs, dtypes_of(layer, xs))[1]:
            assert canonical(read(module(use.layer, *use.xs))) == canonical(use.layer)

    built_and_read()


def refused_by_torch(layer, x):
    """PyTorch's three-axis average pool alone measures its kernel against the axis without the padding."""
    return isinstance(layer, AvgPool) and len(x) == 5 and any(map(lt, x[2:], per_axis(layer, "kernel", 3)))


@given(pools())
def test_pools_compute_what_they_say(pair):
    """Also those that PyTorch cannot pad: against windows cut out one by one."""
    layer, (x,) = pair
    assume(not refused_by_torch(layer, x))
    data = torch.rand(x, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5
    by_hand = pooled_by_hand(layer, data)
    torch.testing.assert_close(module(layer, x)(data), by_hand, rtol=1e-12, atol=1e-12, equal_nan=True)


def pooled_by_hand(layer, data):
    """Each window as a slice of the input, padded cells left out, or counted as zeros where the layer says so."""
    windows, stated = layer.windows(tuple(data.shape)), unchecked(layer, data.shape[2:])
    y = torch.empty(layer.out(tuple(data.shape)), dtype=data.dtype)
    axes = tuple(range(2, data.dim()))
    for at in product(*map(range, y.shape[2:])):
        window, counted = data, 1
        for axis, o, w, plain in zip(axes, at, windows, stated, strict=True):
            cells = [o * w.stride - w.before + t * w.dilation for t in range(w.kernel)]
            inside = [cell for cell in cells if 0 <= cell < data.shape[axis]]
            window = window.index_select(axis, torch.tensor(inside, dtype=torch.int64))
            behind = plain.after if getattr(layer, "counts_padding", False) else 0
            before = plain.before if getattr(layer, "counts_padding", False) else 0
            counted *= len([cell for cell in cells if -before <= cell < data.shape[axis] + behind])
        where = (slice(None), slice(None), *at)
        if isinstance(layer, AvgPool):
            y[where] = window.sum(axes) / counted if counted else torch.nan
        else:
            y[where] = window.amax(axes) if window.numel() else -torch.inf
    return y


@given(convs())
def test_padding_rules_are_explicit_padding(pair):
    """The built convolution equals one on an input padded by hand."""
    layer, (x,) = pair
    made = module(layer, x).double()
    data = torch.rand(x, dtype=torch.float64)
    pads = [cells for w in reversed(layer.windows(x)) for cells in (w.before, w.after)]
    plain = Conv(layer.filters, layer.kernel, layer.stride, 0, layer.dilation, layer.groups, layer.bias)
    padded = torch.nn.functional.pad(data, pads)
    other = module(plain, tuple(padded.shape)).double()
    other.load_state_dict(made.state_dict())
    torch.testing.assert_close(made(data), other(padded), rtol=1e-12, atol=1e-12)


NETWORK = """
archcalc: 1
inputs: {tokens: {shape: [8], dtype: int64}, image: [4, 6, 6]}
layers:
  - embedding: {name: table, from: tokens, vocabulary: 10, width: 4}
  - dense: {units: 10, bias: false, shared_with: table, name: head}
  - separable_conv: {name: sep, from: image, filters: 4, kernel: 3, padding: same}
  - concat: {name: join, branches: [[relu], [{conv: {filters: 2, kernel: 1, trainable: false}}]]}
outputs: [head, join]
"""


def test_ties_frozen_layers_composites_and_several_outputs():
    model = loads(NETWORK)
    network = build(model)
    head, join = network(torch.zeros(1, 8, dtype=torch.int64), torch.rand(1, 4, 6, 6))
    report = model.report()
    assert (tuple(head.shape), tuple(join.shape)) == (report.outputs["head"], report.outputs["join"])
    assert network.head.weight is network.table.weight
    assert sum(p.numel() for p in network.parameters()) == report.totals.params
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trainable == report.totals.trainable_params == report.totals.params - 10
    names = {name for name, _ in network.named_modules()}
    assert names >= {"sep.depthwise", "sep.pointwise", "join.own", "join.branch2.conv1"}


def test_a_composite_computes_what_its_parts_do():
    model = Model.chain("m", {"x": (3, 7, 8)}, [SeparableConv(filters=5, kernel=3, stride=2, padding="same")])
    network = build(model).double()
    data = torch.rand(2, 3, 7, 8, dtype=torch.float64)
    depthwise, pointwise = network.separable_conv1.depthwise, network.separable_conv1.pointwise
    padded = torch.nn.functional.pad(data, (0, 1, 1, 1))
    per_channel = [torch.nn.functional.conv2d(padded[:, [c]], depthwise.weight[[c]], stride=2) for c in range(3)]
    mixed = torch.einsum("nchw,fc->nfhw", torch.cat(per_channel, 1), pointwise.weight[:, :, 0, 0])
    whole = mixed + pointwise.bias[:, None, None]
    torch.testing.assert_close(network(data), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "module_of_a_user",
    [
        lambda: torch.nn.LSTM(3, 4),
        lambda: torch.nn.Conv2d(1, 1, 3, padding_mode="circular"),
        torch.nn.Softmax,
        lambda: torch.nn.AdaptiveAvgPool2d((None, 3)),
        lambda: torch.nn.AvgPool2d(2, divisor_override=3),
        lambda: torch.nn.InstanceNorm2d(3, track_running_stats=True),
        lambda: torch.nn.Threshold(1, 20),
    ],
)
def test_modules_without_a_layer_are_named(module_of_a_user):
    with pytest.raises(ModelError, match="archcalc has no layer with"):
        read(module_of_a_user())


def test_the_public_face_is_archcalc_torch():
    import archcalc

    network = archcalc.torch.build(load("zoo:digits"), device="meta")
    assert isinstance(network, torch.nn.Module)
    assert archcalc.torch.read(network.conv1) == Conv(filters=20, kernel=5)


def test_a_layer_named_as_a_method_of_modules_is_refused():
    for name in ("forward", "training", "_modules", "calls", "own", "a.b"):
        with pytest.raises(
            ModelError, match="must not be called as an attribute of modules, nor have a dot in its name"
        ):
            build(loads(f"archcalc: 1\ninputs: {{x: [3]}}\nlayers: [{{dense: {{units: 2, name: {name}}}}}]\n"))


def test_it_can_disagree():
    """The comparison is not empty: wrong answers are seen."""
    with pytest.raises(AssertionError):
        assert (
            answer(Conv(filters=4, kernel=3), ((1, 2, 8, 8),)).macs
            == run(Conv(filters=4, kernel=3, padding=1), [(1, 2, 8, 8)])[2]
        )
    assert run(ConvTranspose(filters=1, kernel=2, stride=2), [(1, 1, 3, 3)])[0] == (1, 1, 6, 6)
