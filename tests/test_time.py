"""Times: traffic against real modules, bounds by hand and against measured networks, laws, pages, and bad input."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import archcalc
from archcalc.algebra.window import Window
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.hardware.device import Device, device, devices
from archcalc.layers import KINDS
from archcalc.layers.layer import Composite
from archcalc.questions.kernels import launches
from archcalc.questions.storages import stays
from tests.asking import layer_of, model_of, spec_of
from tests.cases import CASES

A100, P4, H200 = "nvidia-a100-pcie-40gb", "nvidia-p4", "nvidia-h200"
MEASURED = Path(__file__).parent / "measured"
WHOLE = os.environ.get("ARCHCALC_MEASURED")
PARTS = ("compute_s", "memory_s", "quantisation_s", "efficiency_s", "launch_s")
BOUNDS = ("bound_s", "bound_eager_s", "bound_direct_s")


def chain(inputs, *layers):
    """A spec of layers in a row."""
    return archcalc.loads(
        f"archcalc: 1\nname: m\ninputs: {{x: {list(inputs)}}}\nlayers:\n" + "".join(f"- {line}\n" for line in layers)
    )


def made(model, *, training=False, batch=1, dtype="float32"):
    """Every launch of a model."""
    shapes = {name: (batch, *item.shape) for name, item in model.inputs.items()}
    found = stays(model.walk(shapes), model.inputs, shapes, dtype=dtype, training=training)
    return list(launches(found, model.outputs, training=training))


# --- products: as many multiply-accumulates as the layer counts


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.line} {case.inputs}")
def test_products_are_the_linear_part(case):
    uses = model_of(case).walk(dict(zip("abcdef", case.inputs, strict=False)))
    products = [use.layer.product(use.xs, use.answers.y) for use in uses]
    assert sum(product.macs for product in products if product is not None) == case.macs
    assert [product is not None for product in products] == [use.answers.macs > 0 for use in uses]


# --- what is read: against real modules, one element perturbed after another

SMALL = {  # a line of a spec and its inputs: reads, and elements of its tensors, that the output depends on
    ("conv: {filters: 2, kernel: 1, stride: 2}", ((1, 3, 5, 6),)): ((27,), 8),  # one cell in four
    ("conv: {filters: 2, kernel: 3, padding: 1}", ((2, 2, 1, 4),)): ((16,), 14),  # one row of taps meets a row of cells
    ("conv: {filters: 2, kernel: 3, padding: 4}", ((1, 2, 1, 2),)): ((4,), 38),
    ("conv: {filters: 2, kernel: 3, padding: 3, stride: 4}", ((1, 1, 2, 3),)): ((2,), 6),
    ("conv: {filters: 2, kernel: 2, dilation: 3, stride: 2, padding: [1, 2]}", ((1, 2, 4, 5),)): ((16,), 18),
    ("conv: {filters: 4, kernel: 2, stride: 3, groups: 2}", ((1, 4, 7, 8),)): ((96,), 36),  # gaps between windows
    ("conv: {filters: 4, kernel: 3, padding: causal, dilation: 2}", ((1, 2, 3),)): ((6,), 20),
    ("conv: {filters: 2, kernel: 3, padding: same, stride: 2}", ((1, 2, 4, 1),)): ((8,), 14),
    ("conv_transpose: {filters: 2, kernel: 3, stride: 2, padding: 1}", ((1, 2, 2, 3),)): ((12,), 38),
    ("conv_transpose: {filters: 2, kernel: 3, stride: 2, padding: 2}", ((1, 2, 2, 3),)): ((12,), 26),  # cropped taps
    ("conv_transpose: {filters: 2, kernel: 1, stride: 2, padding: 1}", ((1, 2, 3, 3),)): ((2,), 6),  # cropped cells
    ("conv_transpose: {filters: 2, kernel: 3, stride: 1, padding: 3}", ((1, 2, 6, 6),)): ((32,), 38),
    ("conv_transpose: {filters: 2, kernel: 2, stride: 3}", ((1, 2, 2, 2),)): ((8,), 18),
    ("dense: 3", ((2, 4),)): ((8,), 15),
    ("matmul", ((1, 2, 3), (1, 3, 2))): ((6, 6), 0),
    ("attention: {causal: true, window: 2}", ((1, 1, 2, 2), (1, 1, 4, 2), (1, 1, 4, 2))): (
        (4, 6, 6),
        0,
    ),  # not the first key
    ("experts: {top_k: 2, hidden: 2}", ((1, 1, 3), (1, 1, 2))): ((3, 2), 36),
    ("attention: {window: 1}", ((1, 1, 3, 2),) * 3): ((0, 0, 6), 0),  # every query takes the value in its place
    ("einsum: {equation: 'bij,bjk->bki'}", ((1, 2, 3), (1, 3, 2))): ((6, 6), 0),
    ("rnn: 2", ((1, 2, 3),)): ((6,), 2 * 3 + 2 * 2 + 4),
    ("rnn: 2", ((2, 1, 3),)): ((6,), 6 + 4),  # one step, from a state of zeros
    # one step of an lstm has nothing to forget, one of a gru nothing to reset
    ("lstm: {units: 2, layers: 2, projection: 1}", ((2, 1, 3),)): ((6,), 6 * (3 + 2) + 2 + 6 * (1 + 2) + 2),
    ("gru: {units: 2, bidirectional: true}", ((1, 1, 3),)): ((3,), 2 * 6 * (3 + 2)),
    ("gru: {units: 2, biases: 1}", ((1, 1, 3),)): ((3,), 4 * (3 + 1)),
    ("lstm: {units: 2, bidirectional: true, returns: last}", ((1, 2, 1),)): ((2,), 2 * 8 * (1 + 2 + 2)),
    ("lstm: {units: 3, projection: 2}", ((1, 3, 1),)): ((3,), 12 * (1 + 2 + 2) + 6),
    ("gru: {units: 2, reset_after: false, biases: 1}", ((1, 3, 2),)): ((6,), 6 * (2 + 2 + 1)),
    ("learned_position: 5", ((1, 3, 2),)): ((6,), 6),  # the first rows of the table
    ("sinusoidal_position: 5", ((1, 3, 2),)): ((6,), 6),
    ("rotary: {length: 5, features: 2}", ((1, 2, 3, 3),)): ((18,), 6),  # cosines and sines of three positions
    ("max_pool: 2", ((1, 2, 5, 5),)): ((32,), 0),  # the last row and column are dropped
    ("max_pool: {kernel: 2, stride: 3}", ((1, 1, 7, 8),)): ((24,), 0),
    ("max_pool: {kernel: 2, padding: 1, dilation: 2}", ((1, 2, 1),)): ((0,), 0),  # both taps step over the only cell
    ("avg_pool: {kernel: 1, stride: 2}", ((1, 1, 4, 5),)): ((6,), 0),
    ("avg_pool: {kernel: 3, stride: 4, padding: same}", ((1, 1, 6, 6),)): ((25,), 0),
    ("avg_pool: {kernel: 2, stride: 2, ceil_mode: true}", ((1, 1, 5),)): ((5,), 0),
    ("global_avg_pool", ((1, 2, 3, 3),)): ((18,), 0),
    ("global_max_pool", ((1, 2, 3, 3),)): ((18,), 0),
    ("adaptive_avg_pool: 3", ((1, 1, 5, 2),)): ((10,), 0),
    ("adaptive_max_pool: [2, 3]", ((1, 1, 4, 4),)): ((16,), 0),
    ("batch_norm", ((2, 3, 2, 2),)): ((24,), 12),
    ("layer_norm", ((1, 2, 4),)): ((8,), 8),
    ("group_norm: {groups: 2}", ((1, 4, 2, 2),)): ((16,), 8),
    ("instance_norm: {affine: true}", ((2, 2, 2, 2),)): ((16,), 4),
    ("rms_norm", ((1, 2, 4),)): ((8,), 4),
    ("local_response_norm: 3", ((1, 4, 2, 2),)): ((16,), 0),
    ("prelu: true", ((1, 3, 2),)): ((6,), 3),
    ("glu", ((1, 4, 2),)): ((8,), 0),
    ("softmax", ((1, 5),)): ((5,), 0),
    ("log_softmax", ((2, 3),)): ((6,), 0),
    ("pad: 1", ((1, 1, 3, 3),)): ((9,), 0),
    ("pad: {amount: 3, mode: reflect}", ((1, 1, 4, 4),)): ((16,), 0),
    ("crop: 1", ((1, 2, 4, 4),)): ((8,), 0),
    ("pixel_shuffle: 2", ((1, 4, 2, 2),)): ((16,), 0),
    ("pixel_unshuffle: 2", ((1, 1, 4, 4),)): ((16,), 0),
    ("embedding: {vocabulary: 5, width: 3}", ((2, 4),)): ((8,), 3),  # all indices alike: one row
    ("resize: 2", ((1, 1, 3, 3),)): ((9,), 0),
    ("resize: {size: [2, 3]}", ((1, 1, 5, 5),)): ((6,), 0),  # nearest, fewer cells
    ("resize: {mode: nearest}", ((1, 1, 5, 5), (1, 2, 3, 6))): ((15, 0), 0),  # the second input only says a size
    ("add", ((1, 2, 3), (1, 2, 3))): ((6, 6), 0),
    ("subtract", ((1, 2, 3), (1, 1, 3))): ((6, 3), 0),
    ("multiply", ((1, 2, 3), (1, 2, 1))): ((6, 2), 0),
    ("divide", ((2, 2, 3), (1, 2, 1))): ((12, 2), 0),
    ("maximum", ((1, 2, 3), (1, 2, 3))): ((6, 6), 0),
    ("minimum", ((1, 2, 3), (1, 2, 3))): ((6, 6), 0),
    ("concat", ((1, 2, 3), (1, 1, 3))): ((6, 3), 0),
    ("reduce_mean: [1]", ((2, 3, 2),)): ((12,), 0),
    ("reduce_sum: -1", ((2, 3, 2),)): ((12,), 0),
    ("reduce_max: 1", ((2, 3, 2),)): ((12,), 0),
    ("reduce_min: 1", ((2, 3, 2),)): ((12,), 0),
    ("reduce_prod: 1", ((2, 3, 2),)): ((12,), 0),
    ("reduce_variance: [1]", ((2, 3, 2),)): ((12,), 0),
    ("arg_max: 1", ((2, 3, 2),)): ((12,), 0),
    ("cumulative_sum", ((2, 3, 2),)): ((12,), 0),
    ("normalize: 1", ((2, 3, 2),)): ((12,), 0),
    ("clamp: {low: 0, high: 6}", ((1, 2, 3),)): ((6,), 0),
    ("compare: {relation: less}", ((1, 2, 3), (1, 2, 3))): ((6, 6), 0),
    ("compare: {value: 0.5}", ((1, 2, 3),)): ((6,), 0),
    ("where", ((1, 2, 3),) * 3): ((6, 6, 0), 0),  # a condition that holds everywhere chooses the second alone
    ("slice: {axis: 1, start: 1, step: 2}", ((1, 5, 3),)): ((6,), 0),
    ("slice: {axis: 1, start: 1, stop: 2, drop: true}", ((1, 5, 3),)): ((3,), 0),
    ("expand: [-1, 2, 3]", ((1, 1, 3),)): ((3,), 0),
    ("gather", ((4, 3), (2, 2))): ((3, 4), 0),  # all indices alike: one row
    ("roll: {axes: 2, shifts: 1}", ((1, 2, 3),)): ((6,), 0),
    ("flip: 1", ((1, 2, 3),)): ((6,), 0),
    ("unfold: {kernel: 2, stride: 3}", ((1, 1, 5, 5),)): ((16,), 0),
    ("unfold: {kernel: 3, padding: 1}", ((1, 2, 3, 3),)): ((18,), 0),
    ("fold: {size: 5, kernel: 2, stride: 3}", ((1, 4, 4),)): ((16,), 0),
    ("fold: {size: 4, kernel: 3, padding: 1}", ((1, 9, 16),)): ((100,), 0),  # 10 of 12 taps along each axis
    ("weighted_conv: {padding: 1}", ((1, 2, 4, 4), (2, 2, 3, 3))): ((32, 36), 0),
    ("weighted_conv: {stride: 2}", ((1, 2, 5, 6), (2, 2, 1, 1))): ((18, 4), 0),
    ("parameter: {shape: [2, 3], axes: 3}", ()): ((), 6),
    ("constant: [1, 3]", ()): ((), 0),
    **{(name, ((1, 2, 3),)): ((6,), 0) for name, kind in KINDS.items() if kind.cls.__name__ == "Activation"},
}
AT_LEAST = [  # an interpolation reads at least one cell for each output cell
    ("resize: {size: [2, 3], mode: bilinear}", (1, 1, 8, 8), 6),
    ("resize: {size: [2, 3], mode: bicubic}", (1, 1, 8, 8), 6),
    ("resize: {size: [3, 5], mode: bilinear}", (1, 1, 5, 5), 15),
]
NO_TRAFFIC = {"identity", "flatten", "reshape", "permute", "split_heads"} | {
    name for name, kind in KINDS.items() if kind.cls.__name__ == "Dropout"
}


def test_every_kind_is_perturbed():
    covered = {line.partition(":")[0] for line, _ in SMALL}
    assert covered | NO_TRAFFIC | {name for name, kind in KINDS.items() if issubclass(kind.cls, Composite)} == set(
        KINDS
    )


def mattering(compute, tensor):
    """Elements of a tensor without which the result could not be told: it moves when they do."""
    import torch

    before, flat, count = compute().clone().double(), tensor.view(-1), 0  # a result may be the tensor itself
    for place in range(flat.numel()):
        own, moves = flat[place].item(), False
        for step in (0.1, 3.0, -3.0, 100.0, -own):  # the last makes it 0, which a condition tells from all else
            flat[place] = own + step
            after = compute().double()
            moves = moves or not torch.equal(torch.nan_to_num(before, nan=7.0), torch.nan_to_num(after, nan=7.0))
        flat[place] = own
        count += moves
    return count


def real(line, xs):
    """A layer's module in double precision and inputs for it; on the way to any branch of a function."""
    import torch

    layer = layer_of(line)
    module = archcalc.torch.module(layer, *xs).double().eval()
    torch.manual_seed(0)
    for tensor in module.parameters():
        torch.nn.init.normal_(tensor)
    for tensor in module.buffers():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    if line.startswith("embedding"):
        return layer, module, [torch.zeros(x, dtype=torch.long) for x in xs]
    if line == "gather":
        return layer, module, [torch.rand(xs[0], dtype=torch.float64), torch.zeros(xs[1], dtype=torch.long)]
    values = [torch.rand(x, dtype=torch.float64) + 0.1 for x in xs]
    for value in values if line not in ("log", "sqrt", "rsqrt") else ():
        value.view(-1)[::2] *= -1
    return layer, module, values


@pytest.mark.parametrize(("asked", "expected"), SMALL.items(), ids=lambda value: str(value[0]))
def test_reads_are_what_a_torch_module_depends_on(asked, expected):
    torch = pytest.importorskip("torch")
    line, xs = asked
    layer, module, inputs = real(line, xs)
    y = layer.out(*xs)
    assert (layer.reads(xs, y), layer.reads_weights(xs, y)) == expected
    with torch.no_grad():
        if not line.startswith("embedding"):
            numbers = [x for x in inputs if x.is_floating_point()]  # indices are read, and cannot be moved a little
            assert tuple(mattering(lambda: module(*inputs), x) for x in numbers) == expected[0][: len(numbers)]
        tensors = [*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())]
        assert sum(mattering(lambda: module(*inputs), tensor) for tensor in tensors) == expected[1]


@pytest.mark.parametrize(("line", "x", "least"), AT_LEAST)
def test_an_interpolation_reads_at_least_so_much_of_a_torch_module(line, x, least):
    torch = pytest.importorskip("torch")
    layer, module, inputs = real(line, (x,))
    assert layer.reads((x,), layer.out(x)) == (least,)
    with torch.no_grad():
        assert mattering(lambda: module(*inputs), inputs[0]) >= least


WINDOWS = st.builds(
    Window, st.integers(1, 5), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7), st.integers(1, 3)
)


@given(WINDOWS, st.integers(1, 9), st.integers(1, 9))
def test_stops_and_taps_that_meet_an_axis(window, n, stops):
    """Against looking at each cell; padding may be larger than the axis, and than the window."""
    stops = min(stops, window.size(n))
    cells = {
        (stop, tap): stop * window.stride - window.before + tap * window.dilation
        for stop in range(stops) for tap in range(window.kernel)
    }  # fmt: skip
    inside = [place for place, cell in cells.items() if 0 <= cell < n]
    if stops > 0:
        assert window.stops_that_meet(n, stops) == len({stop for stop, _ in inside})
        assert window.taps_that_meet(n, stops) == len({tap for _, tap in inside})
        assert window.cells_reached(n, stops) == len({cells[place] for place in inside})


# --- the backward pass: products and what they touch

LINEAR = [asked for asked in SMALL if asked[0].split(":")[0] in ("conv", "conv_transpose", "dense", "matmul", "einsum")]


@pytest.mark.parametrize("asked", LINEAR, ids=str)
def test_gradients_touch_what_those_of_a_torch_module_depend_on(asked):
    """Each gradient's traffic is exact; a layer before it makes the input's gradient wanted."""
    torch = pytest.importorskip("torch")
    line, xs = asked
    _, module, inputs = real(line, xs)
    weight = (
        [inputs[1]]
        if len(inputs) == 2
        else [module.get_parameter("weight" if hasattr(module, "weight") else "1.weight")]
    )
    tensors = [inputs[0], *weight]
    for tensor in tensors:
        tensor.requires_grad_()
    arrives = torch.randn_like(module(*inputs))

    def gradient(of):
        return torch.autograd.grad(module(*inputs), of, arrives)[0]

    depends = []
    for mine, other in (tensors, tensors[::-1]):
        depends.append(sum(_mattering_to(gradient, mine, tensor) for tensor in (arrives, other)))
    of_graded = [launch.kernel for launch in graded_launches(line, xs) if launch.backward and launch.main]
    linear = [kernel for kernel in of_graded if kernel.product is not None and not kernel.name.startswith("before")]
    assert [kernel.read_bytes // 4 for kernel in linear] == depends
    assert [kernel.write_bytes // 4 for kernel in linear] == [tensor.numel() for tensor in tensors]


def _mattering_to(gradient, of, tensor):
    with_grad = tensor.requires_grad
    import torch

    with torch.no_grad():
        return mattering(lambda: _in_grad_mode(gradient, of), tensor) if tensor is not of or not with_grad else 0


def _in_grad_mode(gradient, of):
    import torch

    with torch.enable_grad():
        return gradient(of).detach()


def graded_launches(line, xs):
    """The launches of one layer in training whose inputs come from layers that learn: a prelu before each."""
    spec = spec_of(line, xs)
    head, _, layer = spec.partition("layers:\n")
    names = "abcdef"[: len(xs)]
    before = "".join(f"  - prelu: {{name: before_{name}, from: {name}}}\n" for name in names)
    reads = f"[{', '.join(names)}]"
    layer = layer.replace(f"from: {reads}", f"from: [{', '.join(f'before_{name}' for name in names)}]")
    return made(archcalc.loads(f"{head}layers:\n{before}{layer}"), training=True, batch=xs[0][0])


@pytest.mark.parametrize(
    ("line", "xs", "read", "written"),
    [
        # elements that the main backward kernel reads and writes; arriving gradient first
        ("relu", ((1, 2, 3),), 6 + 6, 6),
        ("quick_gelu", ((1, 2, 3),), 6 + 6, 6),  # what is inside is a pass of its own
        ("softmax", ((2, 5),), 10 + 10, 10),
        ("crop: 1", ((1, 2, 4, 4),), 8, 32),
        ("pad: 1", ((1, 1, 3, 3),), 9, 9),  # nothing of the gradient of the border is wanted
        ("pad: {amount: 1, mode: reflect}", ((1, 1, 3, 3),), 25, 9),  # its shape is wanted, not its values
        ("avg_pool: 2", ((1, 1, 4, 4),), 4, 16),
        (
            "avg_pool: {kernel: 3, stride: 2, padding: same}",
            ((1, 1, 4, 4),),
            4,
            16,
        ),  # the padded copy is not read again
        ("subtract", ((1, 2, 3), (1, 2, 3)), 6, 6),  # the first one's gradient is what arrives
        ("add", ((1, 2, 3), (1, 2, 1)), 6, 2),
        ("multiply", ((1, 2, 3), (1, 2, 3)), 6 + 12, 12),
        ("resize: 2", ((1, 1, 3, 3),), 36, 9),
        ("embedding: {vocabulary: 5, width: 3}", ((2, 4),), 24, 15),
    ],
)
def test_traffic_of_other_gradients(line, xs, read, written):
    if line.startswith("embedding"):
        every = made(archcalc.loads(spec_of(line, xs)), training=True, batch=2)
    else:
        every = graded_launches(line, xs)
    (kernel,) = [
        launch.kernel
        for launch in every
        if launch.backward and launch.main and not launch.use.name.startswith("before")
    ]
    assert (kernel.read_bytes // 4, kernel.write_bytes // 4) == (read, written)


def test_indices_are_eight_bytes():
    (kernel,) = [
        k.kernel for k in graded_launches("max_pool: 2", ((1, 1, 4, 4),)) if k.backward and k.use.name == "max_pool1"
    ]
    assert (kernel.read_bytes, kernel.write_bytes) == (4 * 4 + 4 * 8, 16 * 4)


def names_of(model, **options):
    return [launch.kernel.name for launch in made(model, training=True, **options) if launch.backward]


def test_which_gradients_are_taken():
    """Not that of the first layer's input, none before a frozen layer that nothing learns before, none through views."""
    assert names_of(chain([8], "dense: 4", "relu", "dense: 2")) == [
        "dense2 (grad input)", "dense2 (grad weight)", "dense2 (grad bias)", "relu1 (backward)", "dense1 (grad weight)",
        "dense1 (grad bias)",
    ]  # fmt: skip
    frozen = chain([8], "dense: {units: 4, trainable: false}", "relu", "dense: {units: 2, bias: false}")
    assert names_of(frozen) == ["dense2 (grad weight)"]
    frozen = chain([8], "dense: {units: 4, bias: false}", "dense: {units: 2, trainable: false}")
    assert names_of(frozen) == ["dense2 (grad input)", "dense1 (grad weight)"]
    views = chain(
        [2, 3, 3], "conv: {filters: 2, kernel: 1, bias: false}", "flatten", "identity", "dense: {units: 2, bias: false}"
    )
    assert names_of(views) == ["dense1 (grad input)", "dense1 (grad weight)", "conv1 (grad weight)"]


def test_gradients_of_several_readers_are_added():
    residual = chain([8], "dense: {units: 8, bias: false}", "residual: {layers: [{dense: {units: 8, bias: false}}]}")
    names = names_of(residual)
    assert [name for name in names if "sum" in name] == ["dense1 (sum of gradients)"]
    assert not any("add" in name and "sum" not in name for name in names)  # an addition hands its gradient on


def test_what_leads_to_no_output_has_no_gradient_and_no_bound():
    spec = "archcalc: 1\nname: m\ninputs: {x: [8]}\nlayers:\n- dense: {name: a, units: 4}\n- dense: {name: b, units: 4000, from: x}\noutputs: [a]\n"
    model = archcalc.loads(spec)
    assert not any(name.startswith("b") for name in names_of(model))
    totals = model.time("1TFLOPS").totals
    assert totals["bound_s"] == pytest.approx(2 * 32 / 1e12)
    assert totals["bound_eager_s"] == pytest.approx(2 * (32 + 32000) / 1e12)  # eager execution computes it


def test_a_value_read_twice_counts_once_also_through_a_view():
    spec = "archcalc: 1\nname: m\ninputs: {{x: [8, 4]}}\nlayers:\n- relu\n- {}\n- matmul: {{from: [relu1, {}], transpose_second: true}}\n"
    for line, name in (("identity", "identity1"), ("permute: [0, 1, 2]", "permute1")):
        (product,) = [k.kernel for k in made(archcalc.loads(spec.format(line, name))) if k.kernel.product]
        assert product.read_bytes == 8 * 4 * 4
    squared = "archcalc: 1\nname: m\ninputs: {x: [8]}\nlayers:\n- prelu\n- multiply: {from: [prelu1, prelu1]}\n"
    (back,) = [
        k.kernel
        for k in made(archcalc.loads(squared), training=True)
        if k.backward and k.main and k.use.name != "prelu1"
    ]
    assert (back.read_bytes, back.write_bytes) == (2 * 8 * 4, 8 * 4)


# --- bounds by hand


def test_the_classroom_question_at_one_teraflops():
    """1,761,730,400 multiply-accumulates, two operations each, 10¹² of them in a second: 3.523 ms."""
    timing = archcalc.load("zoo:digits").time("1TFLOPS", (1024, 1024))
    assert timing.totals["bound_direct_s"] == 3.5234608e-3
    assert timing.plain_s / 2 == 1.7617304e-3
    assert (
        str(timing)
        == """\
digits on 1TFLOPS: image 1×1×1024×1024, float32, forward

at least  3.523 ms  two operations for each multiply–accumulate at 1.000 TFLOP/s
          1.762 ms  if only multiplications are counted

Assumes nothing but the rate: no memory traffic, no launches.
Status: complete
Note: no memory term: the device states no bandwidth"""
    )


def bounds_of(model, on, **options):
    totals = model.time(on, **options).totals
    return tuple(totals[name] for name in BOUNDS)


def test_a_dense_layer_by_hand():
    """A100: 19.49 TFLOP/s, 1,555.2 GB/s, 40 MiB. One row: 4,096 · 4,097 weights, 4,096 values in, as many out."""
    model = chain([4096], "dense: 4096")
    missed = 4 * (4096 * 4097 + 4096) - 40 * 2**20  # the output fits the cache
    assert bounds_of(model, A100) == pytest.approx((missed / 1555.2e9,) * 3)
    assert missed / 1555.2e9 == pytest.approx(16.20e-6, rel=1e-3)
    assert bounds_of(model, A100, batch=4096) == pytest.approx((2 * 4096**3 / 19.49e12,) * 3)
    assert bounds_of(model, A100, batch=4096, math_mode="tf32") == pytest.approx((2 * 4096**3 / 155.9e12,) * 3)
    assert bounds_of(model, A100, batch=4096, dtype="float16") == pytest.approx((2 * 4096**3 / 311.9e12,) * 3)


def test_a_convolution_by_hand():
    """3 × 3 on 56 × 56 with padding: (3 · 56 − 2)² taps on cells for each pair of channels; Winograd is granted 9."""
    model = chain([64, 56, 56], "conv: {filters: 64, kernel: 3, padding: 1}")
    direct = 2 * 32 * 64 * 64 * 166**2
    assert direct == 2 * 3_611_820_032
    for mode, rate in (("torch", 155.9e12), ("tf32", 155.9e12), ("ieee", 19.49e12)):
        expected = (direct / 9 / rate, direct / 9 / rate, direct / rate)
        assert bounds_of(model, A100, batch=32, math_mode=mode) == pytest.approx(expected)
    strided = chain([64, 56, 56], "conv: {filters: 64, kernel: 3, padding: 1, stride: 2}")
    eager, plain = bounds_of(strided, A100, batch=32)[1:]
    assert eager == plain == pytest.approx(2 * 32 * 64 * 64 * 83**2 / 155.9e12)  # 3 · 28 − 1 taps on cells per axis


def test_a_relu_by_hand():
    """32 × 64 × 112 × 112 values: 102,760,448 B are read and as many written; the cache may hold 40 MiB of each."""
    totals = chain([64, 112, 112], "relu").time(A100, batch=32).totals
    assert [totals[name] for name in BOUNDS] == pytest.approx([2 * (102_760_448 - 41_943_040) / 1555.2e9] * 3)
    moved = 2 * 102_760_448 / 1555.2e9
    assert totals["memory_s"] == pytest.approx(moved)


def test_math_modes_choose_the_rates():
    model = chain([8, 8, 8], "conv: {filters: 8, kernel: 1}", "flatten", "dense: 8")
    assert model.time(A100).rates == {"fp32": 19.49e12, "tf32": 155.9e12}
    assert model.time(A100, math_mode="ieee").rates == {"fp32": 19.49e12}
    assert model.time(A100, math_mode="tf32").rates == {"tf32": 155.9e12}
    assert model.time("nvidia-v100-pcie").rates == {"fp32": 14.13e12}  # it has no TF32
    assert model.time(H200, dtype="bfloat16").rates == {"bf16": 1070.5e12}  # at 1.98 GHz; 989.4 at 1.83
    assert model.time(P4, dtype="float16").rates == {"fp32": 5.704e12}  # its rate for halves is a 64th of that


def test_what_may_be_rounded_may_run_in_float32():
    own = Device(id="d", name="d", peak_tflops={"fp32": 10.0, "tf32": 8.0, "fp16": 5.0}, tensor=frozenset(["tf32"]))
    model = chain([8, 8, 8], "conv: {filters: 8, kernel: 1}")
    for options in ({}, {"math_mode": "tf32"}, {"dtype": "float16"}):
        assert model.time(own, **options).totals["bound_s"] == pytest.approx(2 * 8 * 8 * 64 / 10e12)


def test_weights_inputs_and_outputs_of_any_execution():
    """Small layers that each fit a cache: any execution reads all weights, and eager execution is one."""
    own = Device(id="d", name="d", bandwidth_gbps=1.0, l2_mb=0.25, sms=4, peak_tflops={"fp32": 1000.0})
    model = chain([256], *["dense: {units: 256, bias: false}"] * 8)
    timing = model.time(own)
    missed = 8 * 256 * 256 * 4 + 256 * 4 - 2**18
    assert sum(row.bound_s for row in timing.rows) < timing.totals["bound_s"] == timing.totals["bound_eager_s"]
    assert timing.totals["bound_s"] == pytest.approx(missed / 1e9)
    trained = model.time(own, training=True).totals["bound_s"]
    assert trained == pytest.approx((missed + 8 * 256 * 256 * 4 + 256 * 4 - 2**18) / 1e9)  # gradients are written


def test_tied_tensors_views_and_formats_count_once():
    own = Device(id="d", name="d", bandwidth_gbps=1.0, l2_mb=1e-6, sms=4, peak_tflops={"fp32": 1000.0})

    def moved(spec):
        return (
            round(archcalc.loads(f"archcalc: 1\nname: m\n{spec}").time(own).totals["bound_s"] * 1e9) + 2
        )  # one byte of cache, twice

    tied = "inputs: {x: [64]}\nlayers:\n- dense: {name: a, units: 64, bias: false}\n- dense: {name: b, units: 64, bias: false, shared_with: a}\n"
    assert moved(tied) == 4 * (64 + 64 * 64 + 64)
    head = (
        "inputs: {x: {shape: [8], dtype: int64}}\nlayers:\n- embedding: {name: e, vocabulary: 100, width: 16}\n"
        "- dense: {name: h, units: 100, bias: false, shared_with: e}\n"
    )
    assert moved(head) == 8 * 8 + 4 * 100 * 16 + 4 * 8 * 100  # the head reads the whole table
    assert moved("inputs: {x: [2, 8]}\nlayers:\n- flatten\n- relu\noutputs: [relu1, flatten1]\n") == 4 * 16 + 4 * 16
    assert moved("inputs: {x: [2, 8]}\nlayers:\n- relu\n- flatten\noutputs: [relu1, flatten1]\n") == 4 * 16 + 4 * 16
    assert moved("inputs: {x: {shape: [2, 4, 4], dtype: uint8}}\nlayers:\n- pad: 1\n") == 2 * 16 + 2 * 36  # a byte each
    folded = "inputs: {x: [2, 4, 4]}\nlayers:\n- conv: {filters: 3, kernel: 1, bias: false}\n- batch_norm\n"
    assert moved(folded) == 4 * (2 * 16 + 3 * 2 + 3 * 16)  # its statistics may be folded into the convolution
    viewed = "inputs: {x: [2, 8, 8]}\nlayers:\n- identity\n- conv: {filters: 1, kernel: 1, stride: 2, bias: false}\n"
    assert moved(viewed) == 4 * (2 * 16 + 2 + 16)  # a view reads nothing: one cell in four is read


# --- laws

ZOO = ("digits", "resnet18", "mobilenet_v2", "unet", "exercise_m", "exercise_a")


def check_order(timing):
    totals = timing.totals
    below = 1 + 1e-12
    assert totals["bound_s"] <= totals["bound_eager_s"] * below
    assert totals["bound_eager_s"] <= totals["bound_direct_s"] * below
    assert totals["bound_eager_s"] <= totals["estimate_s"] * below
    for row in timing.rows:
        assert row.bound_s <= min(row.bound_direct_s, row.estimate_s) * below, row.name


def check_sums(timing):
    """Parts add up to each row and to the total, and rows to the total but for what the device waits for the host."""
    for row in timing.rows:
        assert sum(getattr(row, name) for name in PARTS) == pytest.approx(row.estimate_s, abs=1e-18)
        assert min(getattr(row, name) for name in PARTS) >= -1e-18
    totals = timing.totals
    assert sum(totals[name] for name in PARTS) == pytest.approx(totals["estimate_s"])
    busy = sum(row.estimate_s for row in timing.rows)
    host = totals["estimate_s"] - busy
    assert host >= -1e-15
    for name in PARTS:
        assert sum(getattr(row, name) for row in timing.rows) + (host if name == "launch_s" else 0) == pytest.approx(
            totals[name]
        )
    for name in ("bound_eager_s", "bound_direct_s"):
        assert (
            max(sum(getattr(row, name.replace("_eager", "")) for row in timing.rows), totals["bound_s"]) == totals[name]
        )


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", ZOO)
def test_bounds_are_in_order_and_parts_add_up(name, training):
    model = archcalc.load(f"zoo:{name}")
    for on in (A100, P4, H200, "nvidia-t4", "amd-mi300x", "nvidia-rtx3060"):
        for dtype in ("float32", "float16"):
            timing = model.time(on, dtype=dtype, batch=2, training=training)
            check_order(timing)
            check_sums(timing)


def test_vgg_in_halves_on_an_h100_fits_the_cache_layer_by_layer():
    """Its weights together do not: the bound of any execution is above the sum of kernels."""
    timing = archcalc.load("zoo:vgg16").time("nvidia-h100-sxm", dtype="float16")
    assert sum(row.bound_s for row in timing.rows) < timing.totals["bound_s"]
    check_order(timing)


def test_bounds_are_in_order_on_every_device_verify():
    for name in ("resnet50", "vgg16", "exercise_m"):
        model = archcalc.load(f"zoo:{name}")
        for on in devices().values():
            for dtype in ("float32", "float16", "bfloat16"):
                if on.bandwidth is None:
                    continue
                try:
                    timing = model.time(on, dtype=dtype)
                except UsageError:
                    continue
                check_order(timing)


STEPS = st.sampled_from([
    "conv: {filters: 8, kernel: 3, padding: 1}", "conv: {filters: 16, kernel: 1, stride: 2}", "relu", "batch_norm",
    "max_pool: {kernel: 3, stride: 2, padding: 1}", "depthwise_conv: {kernel: 3, padding: same}", "pad: 1", "softmax: 1",
    "residual: {layers: [relu6]}", "conv_transpose: {filters: 4, kernel: 2, stride: 2}", "layer_norm", "dropout: 0.5",
])  # fmt: skip
CHAINS = st.lists(STEPS, min_size=1, max_size=6)
OWN = st.builds(
    lambda width, cache, rate, tensor, sms: Device(
        id="own", name="own", bandwidth_gbps=width, l2_mb=cache, sms=sms, tensor=frozenset(["tf32", "fp16"]),
        peak_tflops={"fp32": rate, "tf32": rate * tensor, "fp16": rate * 2 * tensor},
    ),
    st.floats(0.1, 1e4), st.floats(1e-3, 256), st.floats(1e-3, 1e3), st.floats(1, 16), st.integers(1, 200),
)  # fmt: skip


@settings(max_examples=60)
@given(CHAINS, OWN, st.integers(1, 64), st.integers(1, 8), st.booleans())
def test_laws_of_a_chain(layers, on, batch, more, training):
    """Bounds in order; more images never take less; half the bits never have a larger bound; nor has more bandwidth."""
    model = chain([8, 24, 24], *layers)
    timing = model.time(on, batch=batch, training=training)
    check_order(timing)
    check_sums(timing)
    above = 1 + 1e-9
    larger = model.time(on, batch=batch + more, training=training).totals
    assert all(timing.totals[name] <= larger[name] * above for name in (*BOUNDS, "estimate_s"))
    half = model.time(on, batch=batch, training=training, dtype="float16").totals
    assert all(half[name] <= timing.totals[name] * above for name in BOUNDS)
    wider = model.time(replace(on, bandwidth_gbps=on.bandwidth_gbps * 2), batch=batch, training=training).totals
    assert all(wider[name] <= timing.totals[name] * above for name in (*BOUNDS, "estimate_s"))
    trained = model.time(on, batch=batch, training=True).totals
    assert all(model.time(on, batch=batch).totals[name] <= trained[name] * above for name in (*BOUNDS, "estimate_s"))


# --- measured networks

SPECS = {"gpt2-large": "gpt2", "gpt3-xl": "gpt2", "gpt3-2.7b": "gpt2", "opt-1.3b": "opt", "bert-large": "bert"}


def measured(row):
    """The timing of a row of networks.csv, and the seconds that it states."""
    sizes = {
        name: int(row[key])
        for name, key in (("blocks", "layers"), *((n, n) for n in ("sequence", "hidden", "heads", "ffn", "vocab")))
    }
    model = archcalc.load(str(MEASURED / f"{SPECS[row['model']]}.yaml"), sizes)
    timing = model.time(row["gpu"], batch=int(row["batch"]), math_mode="ieee", training=row["mode"] == "training")
    return timing, float(row["time_ms"]) / 1e3


@pytest.fixture(scope="module")
def networks():
    """Every measured network that there is a spec for: mode, timing, seconds."""
    with open((Path(WHOLE) if WHOLE else MEASURED) / "networks.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] in SPECS]
    return [(row["mode"], *measured(row)) for row in rows]


def test_no_measured_network_beats_its_bounds(networks):
    assert len(networks) >= 30
    for _, timing, taken in networks:
        assert timing.totals["bound_s"] <= timing.totals["bound_eager_s"] <= taken, timing
        assert timing.totals["bound_direct_s"] <= taken  # they hold no convolution


def test_estimates_of_measured_networks(networks):
    """At inference 6.9 % mean and 31 % worst (a BERT on a T4), in training 11.5 % and 30 %, with shipped calibrations."""
    for mode, mean, worst in (("inference", 0.09, 0.32), ("training", 0.13, 0.32)):
        misses = [abs(timing.totals["estimate_s"] / taken - 1) for at, timing, taken in networks if at == mode]
        assert sum(misses) / len(misses) <= mean
        assert max(misses) <= worst
    assert all(timing.calibrated == ("fp32",) for _, timing, _ in networks)


@pytest.mark.parametrize(
    ("name", "settings", "published", "left_out", "beside"),
    [
        # Hugging Face's count; positions (and BERT's token types and pooler) that the spec leaves out; its untied head
        ("gpt2", {}, 774_030_080, 1024 * 1280, 50257 * 1280),
        ("opt", {}, 1_315_758_080, 2050 * 2048, 50272 * 2048),
        ("bert", {}, 335_141_888, 512 * 1024 + 2 * 1024 + 1024 * 1025, 0),
        (
            "gpt2",
            {"sequence": 2048, "blocks": 32, "hidden": 2560, "heads": 32, "ffn": 10240},
            2_651_553_280,
            2048 * 2560,
            50257 * 2560,
        ),
    ],
    ids=["gpt2-large", "opt-1.3b", "bert-large", "gpt3-2.7b"],
)
def test_specs_of_measured_networks_are_what_they_say(name, settings, published, left_out, beside):
    model = archcalc.load(str(MEASURED / f"{name}.yaml"), settings)
    assert model.report().totals.params == published - left_out + beside


# --- pages and files


def test_json_has_the_names_and_adds_up(capsys):
    assert main(["time", "zoo:digits", "--device", A100, "--batch", "8", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data["totals"]) == {*BOUNDS, "estimate_s", *PARTS}
    assert (data["schema_version"], data["device"], data["math_mode"], data["training"]) == (1, A100, "torch", False)
    for row in data["rows"]:
        assert sum(row[name] for name in PARTS) == pytest.approx(row["estimate_s"])
    assert sum(row["bound_s"] for row in data["rows"]) <= data["totals"]["bound_eager_s"] * (1 + 1e-12)


def test_csv_has_every_layer(capsys):
    assert main(["time", "zoo:digits", "--device", A100, "--format", "csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    timing = archcalc.load("zoo:digits").time(A100)
    assert [row["name"] for row in rows] == [row.name for row in timing.rows]
    assert [float(row["estimate_s"]) for row in rows] == [row.estimate_s for row in timing.rows]
    assert [float(row["intensity"]) for row in rows] == [row.intensity for row in timing.rows]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [["zoo:resnet50", "--training"], ["zoo:xception", "--dtype", "float16"], ["zoo:digits", "--energy"]],
    ids=str,
)
def test_pages_fit_the_terminal(arguments, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["time", *arguments, "--device", A100]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= width


def test_the_page_adds_up_to_its_total(capsys):
    """Shares of the parts are all of it, and the layers that are not shown are summed."""
    assert main(["time", "zoo:resnet50", "--device", A100, "--batch", "32"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Why practice is slower"))
    shares = [float(line.split()[-2]) for line in lines[start + 1 : start + 6]]
    assert sum(shares) == pytest.approx(100, abs=0.3)
    assert sum(line.startswith("and 163 more, ") for line in lines) == 1


def test_rooflines_are_drawn_and_name_every_layer(tmp_path):
    pytest.importorskip("matplotlib")
    timing = archcalc.load("zoo:exercise_m").time(A100, batch=4)
    timing.plot(str(tmp_path / "r.png"))
    assert (tmp_path / "r.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    code = (
        "import sys, matplotlib; matplotlib.rcParams['svg.fonttype'] = 'none'\n"
        f"from archcalc.cli.main import main; sys.exit(main(['time', 'zoo:exercise_m', '--device', '{A100}', '--plot', sys.argv[1]]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "r.svg")], check=True, capture_output=True)
    drawn = (tmp_path / "r.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in ("conv1", "conv2", "conv3", "tf32", "1,555 GB/s", "FLOP per byte"))


def test_a_device_of_a_file(tmp_path, capsys):
    path = tmp_path / "own.yaml"
    path.write_text("devices:\n- {id: toy, bandwidth_gbps: 10, peak_tflops: {fp32: 1}}\n", encoding="utf-8")
    assert main(["time", "zoo:exercise_a", "--device", "toy", "--devices", str(path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["notes"] == ["no memory term in the bounds: the size of the device's cache is not known"]
    assert data["totals"]["bound_s"] == pytest.approx(2 * 177_800 / 1e12)
    assert data["totals"]["estimate_s"] >= 4 * 178_110 / 10e9  # the estimate moves all weights


def test_no_bandwidth_no_estimate_and_no_roofline():
    timing = archcalc.load("zoo:digits").time("1TFLOPS", training=True)
    assert set(timing.totals) == set(BOUNDS)
    assert timing.totals["bound_direct_s"] == pytest.approx(
        2 * (3 * 653_000 - 288_000) / 1e12
    )  # no input gradient of conv1
    with pytest.raises(UsageError, match="--plot: needs a device whose bandwidth is known; got 1TFLOPS"):
        timing.plot("r.svg")


def test_a_calibration_that_nothing_runs_at_is_said():
    from archcalc.hardware.calibration import shipped

    calibration = shipped(device(A100), "fp32")
    timing = archcalc.load("zoo:digits").time(A100, dtype="bfloat16", calibration=calibration)
    assert timing.calibrated == ()
    assert timing.notes == ("the calibration at fp32 is not used: nothing runs at that rate",)


# --- bad input: whole messages

MISTAKES = [
    (["--device", "nvidia-v100-pcie", "--dtype", "bfloat16"], 2,
     "--device: must have a rate for bf16; got nvidia-v100-pcie with fp64, fp32, fp16\n"
     "  no source states one, and none is made up; a file of your own may: --devices FILE"),
    (["--device", A100, "--dtype", "int4"], 2,
     "--dtype: must have a rate on nvidia-a100-pcie-40gb, which states fp64, fp64_tensor, fp32, tf32, fp16, bf16, int8; got int4"),
    (["--device", "nvidia-v100pci"], 2, "--device: no such device; got nvidia-v100pci\n  did you mean nvidia-v100-pcie?"),
    (["--device", "apple-m1-8c", "--energy"], 2, "energy: needs a device whose process node is known; got apple-m1-8c"),
    (["--device", "1TFLOPS", "--energy"], 2, "energy: needs a device whose process node is known; got 1TFLOPS"),
    (["--device", "1TFLOPS", "--plot", "r.svg"], 2, "--plot: needs a device whose bandwidth is known; got 1TFLOPS"),
    (["--device", A100, "--plot", "r.pdf"], 2, "--plot: must be an .svg or .png file; got r.pdf"),
    (["--device", A100, "--input", "4x4"], 3,
     "Conv: a window spanning 5 must fit its axis; got an axis of 4 padded by (0, 0)"),
    (["--device", A100, "--batch", "0"], 2, None),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "code", "text"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_one_clear_message(arguments, code, text, capsys):
    assert main(["time", "zoo:digits", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("archcalc: ")
    assert "Traceback" not in shown.err
    if text is not None and code == 2:
        assert shown.err == f"archcalc: {text}\n"
    elif text is not None:
        assert shown.err.startswith(f"archcalc: {text}")


def test_wrong_words_from_python():
    model = archcalc.load("zoo:digits")
    with pytest.raises(UsageError, match="math_mode: must be one of torch, ieee, tf32; got 'fast'"):
        model.time(A100, math_mode="fast")
    with pytest.raises(UsageError, match="dtype: must be one of"):
        model.time(A100, dtype="fp16")
