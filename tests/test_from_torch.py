"""PyTorch modules as models: shapes, parameters and MACs are those of the real module, at every size."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

import archcalc
from archcalc.errors import CannotRun, ModelError, UsageError

IMAGE = (1, 3, 32, 32)


def macs(module, *shapes, dtype=torch.float32):
    """What PyTorch's own counter says on the meta device, where it is right."""
    module = module.eval().to("meta")
    inputs = [torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(*inputs)
    return counter.get_total_flops() // 2, tuple(output.shape)


class Residual(nn.Module):
    """A block that uses one activation twice."""

    def __init__(self, width, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.downsample = nn.Conv2d(width, width, 1, stride) if stride > 1 else None

    def forward(self, x):
        y = self.conv2(self.relu(self.bn1(self.conv1(x))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.layer1 = nn.Sequential(Residual(16), Residual(16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.layer1(self.stem(x)).mean([2, 3])
        return self.fc(x)


def test_a_network_is_named_by_its_modules():
    model = archcalc.from_torch(Small(), torch.empty(IMAGE))
    assert [node.name for node in model.nodes] == [
        "stem/0", "stem/1", "stem/2",
        "layer1/0/conv1", "layer1/0/bn1", "layer1/0/relu", "layer1/0/conv2", "layer1/0/add1", "layer1/0/relu_2",
        "layer1/1/conv1", "layer1/1/bn1", "layer1/1/relu", "layer1/1/conv2", "layer1/1/downsample", "layer1/1/add1",
        "layer1/1/relu_2", "reduce_mean1", "fc",
    ]  # fmt: skip
    assert model.report().status == "complete"


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (17, 96)])
def test_one_import_answers_at_every_size(size):
    model = archcalc.from_torch(Small(), torch.empty(IMAGE))
    counted, output = macs(Small(), (5, 3, *size))
    report = model.report(input=size, batch=5)
    assert (report.totals.macs, report.output) == (counted, output)
    assert report.totals.params == sum(p.numel() for p in Small().parameters())


def test_the_module_stays_as_it_was():
    module = Small().train()
    module.note = object()
    before = {name: (id(value), value.clone()) for name, value in module.state_dict(keep_vars=True).items()}
    archcalc.from_torch(module, torch.empty(IMAGE))
    assert module.training and module.fc.training and not module._forward_hooks
    after = module.state_dict(keep_vars=True)
    assert all(id(after[name]) == key and torch.equal(after[name], value) for name, (key, value) in before.items())


def test_a_module_on_the_meta_device_takes_no_memory():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(10**6, 10**5), nn.Linear(10**5, 10**6))
    totals = archcalc.from_torch(module, torch.empty(1, 10**6, device="meta")).report().totals
    assert totals.params == 2 * 10**11 + 10**5 + 10**6


class Tied(nn.Module):
    """The output layer uses the embedding's weights, and one layer runs twice."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens):
        return self.head(self.inner(self.inner(self.embedding(tokens))))


def test_tied_and_reused_weights_count_once_and_compute_each_time():
    report = archcalc.from_torch(Tied(), torch.zeros(1, 7, dtype=torch.int64)).report(input=(11,))
    assert report.totals.params == 50 * 8 + 8 * 8 + 8 == sum(p.numel() for p in Tied().parameters())
    assert report.totals.macs == 11 * (2 * 8 * 8 + 8 * 50)
    assert [(row.name, row.shared_with) for row in report.rows if row.shared_with] == [
        ("inner_2", "inner"),
        ("head", "embedding"),
    ]
    assert report.inputs == {"tokens": (1, 11)}


class Windows(nn.Module):
    """Tokens in shifted windows that are cut into the batch, with a table of relative positions, as in Swin."""

    def __init__(self, width=8, window=4):
        super().__init__()
        self.window, self.patch = window, nn.Conv2d(3, width, 2, 2)
        self.qkv, self.table = nn.Linear(width, 3 * width), nn.Parameter(torch.zeros((2 * window - 1) ** 2, 2))
        self.register_buffer("index", torch.zeros(window**4, dtype=torch.int64), persistent=False)

    def forward(self, x):
        x = self.patch(x).permute(0, 2, 3, 1)
        w = self.window
        batch, height, width, channels = x.shape
        x = torch.roll(x, (-1, -1), (1, 2))
        x = (
            x.view(batch, height // w, w, width // w, w, channels)
            .permute(0, 1, 3, 2, 4, 5)
            .reshape(-1, w * w, channels)
        )
        q, k, v = self.qkv(x).reshape(x.shape[0], w * w, 3, 2, channels // 2).permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.table[self.index].view(w * w, w * w, -1).permute(2, 0, 1).unsqueeze(0)
        x = ((q * 0.5) @ k.transpose(-2, -1) + bias).softmax(-1) @ v
        x = x.transpose(1, 2).reshape(-1, w, w, channels)
        x = x.view(batch, height // w, width // w, w, w, channels).permute(0, 1, 3, 2, 4, 5)
        return x.reshape(batch, height, width, channels).mean((1, 2))


def test_windows_follow_the_input_as_expressions():
    model = archcalc.from_torch(Windows(), torch.empty(1, 3, 32, 32))
    for size in [(32, 32), (64, 16)]:
        counted, output = macs(Windows(), (3, 3, *size))
        report = model.report(input=size, batch=3)
        assert (report.totals.macs, report.output, report.status) == (counted, output, "complete")
    assert report.totals.params == sum(p.numel() for p in Windows().parameters())
    assert str(model.closed_form("output").written("text")) == "1 × 8"
    assert any("x.height" in str(node.layer) for node in model.nodes)


class Pieces(nn.Module):
    """What networks do between their layers."""

    def forward(self, x):
        first, second = x.chunk(2, dim=1)
        third, rest = torch.split(x, [1, x.shape[1] - 1], 1)
        y = torch.cat([first * 2, second + 1, -third], 1).clamp(min=0)
        y = torch.stack([y, y.square()], 1).flatten(1, 2)
        y = F.interpolate(F.pixel_unshuffle(y, 2), scale_factor=3, mode="bilinear")
        y = F.adaptive_avg_pool2d(F.pad(y, (1, 2, 3, 0), mode="replicate"), (5, 4))
        y = y / y.norm(dim=1, keepdim=True).clamp_min(1e-6) + rest.amax((1, 2, 3))[:, None, None, None]
        y = torch.where(y > 0, y, torch.zeros_like(y)).masked_fill(y.eq(0), 1.0)
        return F.glu(y, 1).flip(2)[:, :3, 1:, 0].expand(-1, 3, -1).unsqueeze(-1).repeat(1, 2, 1, 5)


def test_what_stands_between_layers():
    for size in [(16, 16), (20, 8)]:
        report = archcalc.from_torch(Pieces(), torch.empty(1, 4, *size), dynamic="batch").report(batch=2)
        assert (report.output, report.status) == (tuple(Pieces()(torch.randn(2, 4, *size)).shape), "complete")


class Copies(nn.Module):
    """Windows that overlap, copies, and tensors joined along the batch."""

    def forward(self, x):
        y = x.unfold(3, 4, 2).unfold(2, 4, 2).flatten(4).repeat_interleave(3, dim=1)
        z = torch.zeros_like(y)
        z[:, :, 1:] = y[:, :, :-1]
        return torch.cat([y + z, y.tile(1, 1, 1, 1, 1)], 0).chunk(2, 0)[1].movedim(1, -1)


def test_windows_and_copies():
    report = archcalc.from_torch(Copies(), torch.empty(1, 2, 10, 12)).report(input=(12, 8), batch=3)
    assert (report.output, report.status) == (tuple(Copies()(torch.randn(3, 2, 12, 8)).shape), "complete")


class Tables(nn.Module):
    """Sums over letters whose second operand has no batch, and one that joins letters of both."""

    def __init__(self):
        super().__init__()
        self.table, self.drop = nn.Parameter(torch.zeros(5, 7, 4)), nn.Dropout(0.1, inplace=True)

    def forward(self, x):
        y = torch.einsum("byhwc,hkc->byhwk", x, self.table)
        return torch.einsum("byhwk,byvwk->bvhw", self.drop(y), y)


def test_sums_over_letters():
    report = archcalc.from_torch(Tables(), torch.empty(1, 3, 5, 6, 4), dynamic="batch").report(batch=2)
    counted, output = macs(Tables(), (2, 3, 5, 6, 4))
    assert (report.totals.macs, report.output, report.status) == (counted, output, "complete")


class Sequence(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=batch_first)
        self.attention = nn.MultiheadAttention(10, 2, batch_first=batch_first)

    def forward(self, x):
        y, _ = self.lstm(x)
        return self.attention(y, y, y, need_weights=False)[0]


@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrence_and_attention(batch_first):
    module = Sequence(batch_first)
    shape = (2, 7, 6) if batch_first else (7, 2, 6)
    report = archcalc.from_torch(module, torch.empty(shape), dynamic=False).report(batch=shape[0])
    assert report.totals.params == sum(p.numel() for p in module.parameters())
    lstm = 2 * 7 * 2 * (4 * 5 * (6 + 5) + 4 * 5 * (10 + 5))
    assert report.totals.macs == lstm + 2 * (7 * 10 * 40 + 2 * 7 * 7 * 10)
    assert report.output == tuple(module(torch.empty(shape)).shape)


class Standardised(nn.Module):
    """A convolution whose kernel is computed of its weights at every pass."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 3, 3, 3))

    def forward(self, x):
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, self.weight - mean, padding=1)


def test_a_computed_kernel():
    report = archcalc.from_torch(Standardised(), torch.empty(IMAGE)).report()
    assert (report.totals.params, report.totals.macs) == (216, macs(Standardised(), IMAGE)[0])
    assert report.status == "complete"


class Transformed(nn.Module):
    """Matrices that are buffers are no parameters; what multiplies by them costs as much."""

    def __init__(self):
        super().__init__()
        self.register_buffer("matrix", torch.ones(5, 4))
        self.register_buffer("kernel", torch.ones(2, 3, 3, 3))

    def forward(self, x):
        y = F.conv2d(x, self.kernel)
        return torch.addcmul(x.new_ones(5), F.linear(y.mean(2)[:, 0, :4], self.matrix), x.new_ones(1, 5))


def test_matrices_that_are_buffers():
    report = archcalc.from_torch(Transformed(), torch.empty(1, 3, 8, 8), dynamic="batch").report(batch=2)
    counted, output = macs(Transformed(), (2, 3, 8, 8))
    assert (report.totals.macs, report.output, report.status) == (counted, output, "complete")
    assert (report.totals.params, report.totals.buffers) == (0, 20 + 54)


class Odd(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).abs().relu()


def test_what_is_not_understood_is_named_and_never_zero_in_silence():
    report = archcalc.from_torch(Odd(), torch.empty(IMAGE)).report()
    assert report.status == "partial"
    assert "fft_fft: not understood, 1 time; its operations are not counted" in report.notes
    assert "≥" in str(report)


class ScaledAlone(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return F.group_norm(x, 3, self.weight)


def test_a_norm_of_groups_that_has_no_shift_is_not_taken_for_one_that_has():
    """PoolFormer V2 of timm has them: the kind has both or neither, and would have counted a bias that is not there."""
    report = archcalc.from_torch(ScaledAlone(), torch.empty(IMAGE)).report()
    assert (report.status, report.totals.params) == ("partial", 3)
    assert report.notes[0].startswith("not counted: group_norm, 1 use")


class Fixed(nn.Module):
    """A network that accepts one size alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.position = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.zeros(1, 64, 8))

    def forward(self, x):
        if x.shape[2] != 32 or x.shape[3] != 32:
            raise ValueError("wrong size")
        return self.conv(x).flatten(2).transpose(1, 2) + self.position


def test_a_module_that_fixes_its_size_says_so_and_is_refused_at_others():
    model = archcalc.from_torch(Fixed(), torch.empty(IMAGE))
    assert "x: imported at 3×32×32 only; the module fixes its size, or was not asked for others" in model.report().notes
    assert model.report(batch=4).output == (4, 64, 8)
    with pytest.raises(ModelError) as caught:
        model.report(input=(64, 64))
    assert str(caught.value) == (
        "inputs: input x was imported with 32 in axis 2, and its layers are known for that alone; got 64\n"
        "  import it again at that size"
    )
    assert "L" not in model.closed_form("macs", symbols="N").written("text")


class Ways(nn.Module):
    """A network that goes another way for sizes that 4 does not divide, and for small ones."""

    def __init__(self):
        super().__init__()
        self.mix, self.conv = nn.Parameter(torch.zeros(4)), nn.Conv2d(3, 8, 3)

    def forward(self, x):
        if x.shape[2] % 4:
            x = x * self.mix.softmax(0)[0]
        return self.conv(x) if x.shape[3] > 10 else x.relu()


@pytest.mark.parametrize(
    ("example", "size", "condition"),
    [
        ((16, 12), (18, 12), "x.height % 4 == 0"),
        ((17, 12), (16, 12), "x.height % 4 != 0"),
        ((16, 12), (16, 10), "10 < x.width"),
        ((16, 9), (16, 12), "x.width <= 10"),
    ],
)
def test_where_a_module_goes_another_way_it_is_not_guessed(example, size, condition):
    model = archcalc.from_torch(Ways(), torch.empty(1, 3, *example))
    for sizes in (example, (example[0] + 4, example[1] + 20 * (example[1] > 10))):
        counted, output = macs(Ways(), (2, 3, *sizes))
        report = model.report(input=sizes, batch=2)
        assert (report.totals.macs, report.output) == (counted, output)
    assert ("softmax" in {row.kind for row in report.rows}) == (example[0] % 4 > 0)
    with pytest.raises(ModelError) as caught:
        model.report(input=size)
    shape = "×".join(map(str, (1, 3, *size)))
    assert str(caught.value) == (
        f"inputs: the model was imported where {condition}, and may go another way elsewhere; got x {shape}\n"
        "  import it again at that size"
    )


class Grouped(nn.Module):
    """A network that takes its own number of images alone."""

    def forward(self, x):
        if x.shape[0] == 2:
            raise ValueError("not two")
        return x.reshape(1, -1, 8).relu()


def test_a_batch_that_is_fixed_is_that_of_the_example():
    model = archcalc.from_torch(Grouped(), torch.empty(1, 3, 8, 8))
    assert model.report().output == (1, 24, 8)
    with pytest.raises(ModelError, match="was imported with 1 in axis 0"):
        model.report(batch=2)


def test_parameters_that_nothing_uses_still_count():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.not_used = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.used(x)

    report = archcalc.from_torch(Unused(), torch.empty(1, 4)).report()
    assert report.totals.params == 20 + 15
    assert "not_used/weight: nothing reads it, and it is not an output of the model" in report.notes


def test_frozen_weights():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    module[0].requires_grad_(False)
    totals = archcalc.from_torch(module, torch.empty(1, 4)).report().totals
    assert (totals.params, totals.trainable_params) == (35, 15)


def test_inputs_by_name():
    class Two(nn.Module):
        def forward(self, image, mask):
            return image * mask

    model = archcalc.from_torch(Two(), {"image": torch.empty(1, 3, 8, 8), "mask": torch.empty(1, 1, 8, 8)})
    assert model.report().inputs == {"image": (1, 3, 8, 8), "mask": (1, 1, 8, 8)}


@pytest.mark.parametrize(
    ("module", "given", "text"),
    [
        (
            nn.Conv2d(3, 8, 3),
            torch.empty(1, 4, 8, 8),
            "torch: the module must run on these inputs under torch.export; got ",
        ),
        (
            nn.Linear(3, 8),
            torch.empty(3),
            "torch: an input must have a batch and at least one more axis; got input: [3]",
        ),
    ],
)
def test_inputs_that_do_not_fit(module, given, text):
    with pytest.raises(ModelError) as caught:
        archcalc.from_torch(module, given)
    assert str(caught.value).startswith(text)


def test_inputs_that_are_no_tensors():
    with pytest.raises(UsageError) as caught:
        archcalc.from_torch(nn.ReLU(), (224, 224))
    assert str(caught.value) == "example_inputs: must hold at least one tensor; got tuple"


# By the name of Python code


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "nets_of_mine.py").write_text(
        "import torch\nfrom torch import nn\nprint('hello')\n"
        "def net(width=4):\n    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU())\n"
        "def tokens():\n    return nn.Embedding(10, 4)\n"
        "def fails():\n    raise RuntimeError('no weights\\nhere')\n"
        "def needs(width):\n    return net(width)\n"
        "ready = net(8)\nnumber = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    import sys

    sys.modules.pop("nets_of_mine", None)


@pytest.mark.usefixtures("nets")
def test_a_callable_is_called_and_a_module_is_taken(capsys):
    assert archcalc.load("py:nets_of_mine:net", input="3x8x8").report().totals.params == 112
    assert archcalc.load("py:nets_of_mine:net@3x8x8", {"width": 6}).report(input="20x20").totals.params == 168
    assert archcalc.load("py:nets_of_mine:ready", input="3x8x8").report().totals.params == 224
    assert archcalc.load("py:nets_of_mine:tokens", input="12").report().output == (1, 12, 4)
    assert capsys.readouterr().out == ""  # standard output is for the result


@pytest.mark.usefixtures("nets")
@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (
            "py:nets_of_mine",
            UsageError,
            "py: must be package.module:callable; got 'nets_of_mine'\n  such as py:torchvision.models:resnet50 --input 3x224x224",
        ),
        (
            "py:nets_of_mine:nett",
            ModelError,
            "py: nets_of_mine has no nett; got nets_of_mine:nett\n  did you mean net?",
        ),
        (
            "py:nots_of_mine:net",
            ModelError,
            "py: nots_of_mine must be importable; got ModuleNotFoundError: No module named 'nots_of_mine'",
        ),
        (
            "py:nets_of_mine:fails",
            ModelError,
            "py: nets_of_mine:fails must make a module; got RuntimeError: no weights\n  its arguments are given by --set NAME=VALUE",
        ),
        (
            "py:nets_of_mine:number",
            ModelError,
            "py: must name a module, or what makes one; got nets_of_mine:number is int",
        ),
    ],
)
def test_paths_that_lead_nowhere(path, error, text):
    with pytest.raises(error) as caught:
        archcalc.load(path, input="3x8x8")
    assert str(caught.value) == text


@pytest.mark.usefixtures("nets")
def test_a_size_is_needed():
    with pytest.raises(UsageError) as caught:
        archcalc.load("py:nets_of_mine:net")
    assert str(caught.value) == (
        "py: needs the size of an input, with the channels; got none\n"
        "  such as py:torchvision.models:resnet50 --input 3x224x224"
    )
    with pytest.raises(ModelError, match="the module must run on these inputs"):
        archcalc.load("py:nets_of_mine:net", input="5x8x8")


@pytest.mark.usefixtures("nets")
def test_without_pytorch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(CannotRun) as caught:
        archcalc.load("py:nets_of_mine:net", input="3x8x8")
    assert str(caught.value).startswith("torch: needs PyTorch; got ")
    assert str(caught.value).endswith("pip install 'archcalc[torch]'")
