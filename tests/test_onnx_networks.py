"""Whole networks as ONNX files: those that come with the package, its single operators, and what PyTorch writes."""

import os
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import archcalc

DATA = Path(onnx.__file__).parent / "backend/test/data"
# Parameters, buffers, MACs: of ResNet-50 as in docs/conventions.md, of VGG-19 and SqueezeNet 1.1 as torchvision publishes
# them; of AlexNet by hand, on maps of 54, 26 and 12 cells: 101,616,768 + 207,667,200 + 127,401,984 + 95,551,488 + 63,700,992
# in its convolutions (three of them in two groups), and 37,748,736 + 16,777,216 + 4,096,000 behind them.
LIGHT = {
    "light_resnet50": (25_557_032, 53_120, 4_089_184_256),
    "light_bvlc_alexnet": (60_965_224, 0, 654_560_384),
    "light_vgg19": (143_667_240, 0, 19_632_062_464),
    "light_squeezenet": (1_235_496, 0, 349_151_936),
}


@pytest.mark.parametrize("name", LIGHT)
def test_networks_of_the_package(name):
    report = archcalc.from_onnx(DATA / f"light/{name}.onnx").report()
    totals = report.totals
    assert (report.status, (totals.params, totals.buffers, totals.macs)) == ("complete", LIGHT[name])


CASES = sorted(path for folder in ("pytorch-converted", "pytorch-operator") for path in (DATA / folder).iterdir())


def tensor_shapes(folder, what):
    """Shapes of the tensors that come with a case."""
    shapes = []
    while os.path.exists(path := folder / f"test_data_set_0/{what}_{len(shapes)}.pb"):
        shapes.append(tuple(onnx.TensorProto.FromString(path.read_bytes()).dims))
    return shapes


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_cases_of_the_package_have_the_shapes_that_they_say(tmp_path, path):
    """They are written for operator set 6; what they use of it is the same in 8."""
    proto = onnx.load(path / "model.onnx")
    for entry in proto.opset_import:
        entry.version = max(entry.version, 8)
    onnx.save(proto, tmp_path / "model.onnx")
    model = archcalc.from_onnx(tmp_path / "model.onnx")
    report = model.report(batch=tensor_shapes(path, "input")[0][0])
    assert [report.outputs[name] for name in model.outputs] == tensor_shapes(path, "output")


def test_cases_of_the_package_are_many():
    assert len(CASES) > 100


class Small(nn.Module):
    """A convolutional network with a residual, a grouped convolution and a head for any size."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 7, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=4), nn.GELU(), nn.Conv2d(16, 16, 1))
        self.up = nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.stem(x))))
        x = self.up(x + self.body(x))
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        return self.head(x.flatten(2).transpose(1, 2).mean(1))


class Block(nn.Module):
    """A transformer block that reshapes by the sizes of its input, behind an embedding that the head shares."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(100, 32), nn.Embedding(64, 32)
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.mixed, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.wide, self.narrow = nn.Linear(32, 128), nn.Linear(128, 32)

    def forward(self, ids):
        batch, length = ids.shape
        x = self.words(ids) + self.places(torch.arange(length, device=ids.device))
        q, k, v = (
            part.view(batch, length, 4, 8).transpose(1, 2) for part in self.mixed(self.norm1(x)).split(32, dim=-1)
        )
        weights = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(batch, length, 32))
        x = x + self.narrow(nn.functional.gelu(self.wide(self.norm2(x)), approximate="tanh"))
        return x @ self.words.weight.t()


def exported(module, example, path, open_axes, *, fold=False):
    """The module in a file, as PyTorch's exporter writes it, with weights that no two tensors share by chance."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
            tensor.uniform_(0.1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (example,), path, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
            dynamic_axes={"x": open_axes} if open_axes else None, do_constant_folding=fold,
            training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip


def counted(module, example):
    """PyTorch's own count of MACs."""
    with FlopCounterMode(display=False) as counter:
        module.to("meta")(example.to("meta"))
    return counter.get_total_flops() // 2


NETWORKS = {
    "small": (Small, lambda n, h, w: torch.zeros(n, 3, h, w), {0: "N", 2: "H", 3: "W"}, (64, 64), (96, 40)),
    "block": (Block, lambda n, length: torch.zeros(n, length, dtype=torch.int64), {0: "N", 1: "L"}, (16,), (48,)),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("is_open", [False, True])
def test_what_pytorch_writes(tmp_path, name, is_open):
    make, example, axes, size, other = NETWORKS[name]
    module = make()
    exported(module, example(1, *size), tmp_path / "net.onnx", axes if is_open else None)
    model = archcalc.from_onnx(tmp_path / "net.onnx")
    for batch, sizes in ((1, size), (3, other)) if is_open else ((1, size),):
        report = model.report(input=sizes, batch=batch)
        assert report.status == "complete"
        assert report.totals.params == sum(weight.numel() for weight in module.parameters())
        assert report.totals.macs == counted(module, example(batch, *sizes))
        assert report.output == tuple(module(example(batch, *sizes).to("meta")).shape)


def test_an_lstm_that_pytorch_writes(tmp_path):
    module = nn.LSTM(12, 20, num_layers=2, batch_first=True, bidirectional=True)
    exported(module, torch.zeros(1, 9, 12), tmp_path / "net.onnx", {0: "N", 1: "L"}, fold=True)
    report = archcalc.from_onnx(tmp_path / "net.onnx").report(input=(30, 12), batch=2)
    assert report.totals.params == sum(weight.numel() for weight in module.parameters())
    assert report.totals.macs == 2 * 30 * 2 * 4 * 20 * ((12 + 20) + (40 + 20))
    assert next(iter(report.outputs.values())) == (2, 30, 40)
