"""Compare every network of archcalc's zoo with an independent PyTorch network: counts, shapes, and tensors by layer."""

import importlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from typing import Any

import torch
from networks import ROWS, ResNet50, Size, UNet, YOLOv3
from rival import macs, on_meta, params
from torch import nn
from zoo_torchvision import CONVOLUTIONAL, IMAGES, make, outputs

import archcalc
from archcalc.dialects.yaml import zoo_names
from archcalc.questions.check import expectations

KINDS = {  # modules whose output and tensors are compared one by one, and what archcalc calls them
    nn.Conv2d: "conv", nn.Conv1d: "conv", nn.ConvTranspose2d: "conv_transpose", nn.Linear: "dense",
    nn.MaxPool2d: "max_pool", nn.AvgPool2d: "avg_pool", nn.BatchNorm2d: "batch_norm",
    nn.LocalResponseNorm: "local_response_norm",
}  # fmt: skip
ELSEWHERE = {
    "vit_b_16",
    "gpt2",
    "bert_base",
    "llama3_8b",
    "mixtral_8x7b",
    "swin_t",
}  # zoo_torchvision.py; tests/test_zoo.py, by hand
ALSO = {"depthwise_conv": "conv"}  # kinds of archcalc that PyTorch has no module for
Layer = tuple[str, tuple[int, ...], list[tuple[int, ...]]]  # kind, output, shapes of tensors


@dataclass(frozen=True)
class Reference:
    """An independent network, and the inputs to compare at."""

    name: str
    against: str
    make: Callable[[], nn.Module]
    sizes: list[Size]


@dataclass(frozen=True)
class Counts:
    """What both sides say about a network at one input size."""

    params: int
    buffers: int
    macs: int
    outputs: list[Size]
    layers: list[Layer]


def timm(name: str, theirs: str, sizes: list[Size]) -> Reference:
    return Reference(name, f"timm {theirs}", lambda: importlib.import_module("timm").create_model(theirs), sizes)


def references() -> Iterator[Reference]:
    for name, (layers, sizes) in ROWS.items():
        yield Reference(name, "own layers in a row", lambda layers=layers: nn.Sequential(*layers()), sizes)
    yield Reference("unet", "own module", UNet, [(1, 572, 572), (1, 700, 444), (1, 188, 236)])
    yield Reference("resnet50", "own module", ResNet50, IMAGES)
    yield Reference("se_resnet50", "own module", lambda: ResNet50(squeeze=True), IMAGES)
    yield Reference("yolov3", "own module", YOLOv3, [(3, 416, 416), (3, 320, 448), (3, 608, 608)])
    for name, (_, sizes) in CONVOLUTIONAL.items():
        yield Reference(name, f"torchvision {name}", partial(make, name), sizes)
    yield timm("se_resnet50", "seresnet50", IMAGES)
    yield timm("xception", "legacy_xception", [(3, 299, 299), (3, 267, 331), (3, 256, 320)])


def theirs(make: Callable[[], nn.Module], size: Size) -> Counts:
    """Counts of a PyTorch network; a lazy layer takes its width from this size."""
    network = on_meta(make)
    found = outputs(network, size)  # a lazy layer takes its width
    layers = hooked(network)
    total = macs(network, size)
    kept = [tensor for name, tensor in network.named_buffers() if not name.endswith("num_batches_tracked")]
    return Counts(params(network), sum(map(torch.numel, kept)), total, found, layers)


def hooked(network: nn.Module) -> list[Layer]:
    """A list that fills as the network runs."""
    seen: list[Layer] = []

    def note(kind: str) -> Callable[..., None]:
        def hook(module: nn.Module, _: Any, output: torch.Tensor) -> None:
            seen.append((kind, tuple(output.shape), [tuple(tensor.shape) for tensor in module.state_dict().values()]))

        return hook

    for module in network.modules():
        kind = next((kind for cls, kind in KINDS.items() if isinstance(module, cls)), None)
        if kind is not None:
            module.register_forward_hook(note(kind))
    return seen


def ours(model: archcalc.Model, size: Size) -> Counts:
    report = model.report("x".join(map(str, size)))
    layers = [
        (ALSO.get(row.kind, row.kind), row.output, list(row.weights.values()))
        for row in report.rows
        if row.kind in {*KINDS.values(), *ALSO}
    ]
    totals = report.totals
    return Counts(totals.params, totals.buffers, totals.macs, [*report.outputs.values()], layers)


def comparable(name: str, layers: list[Layer]) -> list[Layer]:
    """Inception calls its pools as functions, which no hook sees; RegNet runs a shortcut before its body."""
    kept = [layer for layer in layers if name != "inception_v3" or not layer[0].endswith("pool")]
    return sorted(kept, key=str) if name.startswith("regnet") else kept


def differences(mine: Counts, other: Counts) -> Iterator[str]:
    for what in ("params", "buffers", "macs", "outputs"):
        if getattr(mine, what) != getattr(other, what):
            yield f"{what} {getattr(mine, what)} ours, {getattr(other, what)} theirs"
    if len(mine.layers) != len(other.layers):
        yield f"{len(mine.layers)} layers ours, {len(other.layers)} theirs"
    pairs = enumerate(zip(mine.layers, other.layers, strict=False), start=1)
    yield from (f"layer {number}: {a} ours, {b} theirs" for number, (a, b) in pairs if a != b)


def compared(reference: Reference) -> Iterator[tuple[str, list[str]]]:
    """A line of the table and the differences, for each input size."""
    model = archcalc.load(f"zoo:{reference.name}")
    for size in reference.sizes:
        sides = ours(model, size), theirs(reference.make, size)
        mine, other = (replace(side, layers=comparable(reference.name, side.layers)) for side in sides)
        found = list(differences(mine, other))
        cells = [
            reference.name, reference.against, "×".join(map(str, size)), f"{mine.params:,}", f"{mine.buffers:,}",
            f"{mine.macs:,}", ", ".join("×".join(map(str, shape)) for shape in mine.outputs), f"{len(mine.layers)}",
            "no" if found else "yes",
        ]  # fmt: skip
        yield f"| {' | '.join(cells)} |", [f"{reference.name}, {size}, {reference.against}: {text}" for text in found]


def promised(name: str) -> list[str]:
    """Numbers of the spec's `expect:` that do not hold."""
    return [f"{name}: {finding}" for finding in expectations(archcalc.load(f"zoo:{name}")) if not finding.holds]


def versions() -> str:
    wanted = ("archcalc", "torch", "torchvision", "timm")
    installed = {re.sub(r"[-_.]+", "-", item.name).lower() for item in metadata.distributions()}
    known = [f"{name} {metadata.version(name)}" for name in wanted if name in installed]
    return ", ".join([f"Python {sys.version.split()[0]}", *known])


def main() -> int:
    titles = ["network", "against", "input", "params", "buffers", "MACs", "output", "layers compared", "equal"]
    print(f"- versions: {versions()}\n\n| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    wrong: list[str] = []
    skipped: list[str] = []
    done: set[str] = set()
    lines = 0
    for reference in references():
        try:
            for line, found in compared(reference):
                print(line, flush=True)
                wrong += found
                lines += 1
        except ImportError as error:
            skipped.append(f"{reference.name} against {reference.against}: {error}")
        done.add(reference.name)
    for name in zoo_names():
        wrong += promised(name)
        if name not in done | ELSEWHERE:
            wrong.append(f"{name}: no network to compare with")
    print(f"\n{lines} comparisons, {len(done)} networks, {len(skipped)} skipped, {len(wrong)} differences")
    remarks = [f"- skipped: {text}" for text in skipped] + [f"- different: {text}" for text in wrong]
    if remarks:
        print("\n" + "\n".join(remarks))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
