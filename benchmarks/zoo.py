"""Compare every network of archcalc's zoo with an independent PyTorch network: counts, shapes, and tensors by layer."""

import importlib
import re
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from networks import ROWS, ResNet50, Size, UNet
from rival import macs, on_meta, params
from torch import nn

import archcalc
from archcalc.dialects.yaml import zoo_names
from archcalc.questions.check import expectations

# torchvision's own operators need the very torch that it was built for; no network here uses one of them.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

IMAGES: list[Size] = [(3, 224, 224), (3, 256, 320), (3, 225, 301), (3, 193, 167)]
KINDS = {  # modules whose output and tensors are compared one by one, and what archcalc calls them
    nn.Conv2d: "conv", nn.Conv1d: "conv", nn.ConvTranspose2d: "conv_transpose", nn.Linear: "dense",
    nn.MaxPool2d: "max_pool", nn.AvgPool2d: "avg_pool", nn.BatchNorm2d: "batch_norm",
    nn.LocalResponseNorm: "local_response_norm",
}  # fmt: skip
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
    output: tuple[int, ...]
    layers: list[Layer]


def torchvision(name: str, **options: Any) -> Reference:
    def make() -> nn.Module:
        return getattr(importlib.import_module("torchvision.models"), name)(weights=None, **options)

    return Reference(name, f"torchvision {name}", make, IMAGES)


def timm(name: str, theirs: str, sizes: list[Size]) -> Reference:
    return Reference(name, f"timm {theirs}", lambda: importlib.import_module("timm").create_model(theirs), sizes)


def references() -> Iterator[Reference]:
    for name, (layers, sizes) in ROWS.items():
        yield Reference(name, "own layers in a row", lambda layers=layers: nn.Sequential(*layers()), sizes)
    yield Reference("unet", "own module", UNet, [(1, 572, 572), (1, 700, 444), (1, 188, 236)])
    yield Reference("resnet50", "own module", ResNet50, IMAGES)
    yield Reference("se_resnet50", "own module", lambda: ResNet50(squeeze=True), IMAGES)
    for name in ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v2", "densenet121"):
        yield torchvision(name)
    yield torchvision("googlenet", aux_logits=False, init_weights=False)
    yield timm("se_resnet50", "seresnet50", IMAGES)
    yield timm("xception", "legacy_xception", [(3, 299, 299), (3, 267, 331), (3, 256, 320)])


def theirs(make: Callable[[], nn.Module], size: Size) -> Counts:
    """Counts of a PyTorch network; a lazy layer takes its width from this size."""
    network = on_meta(make)
    with torch.no_grad():
        output = network(torch.empty(1, *size, device="meta"))
    layers = hooked(network)
    total = macs(network, size)
    kept = [tensor for name, tensor in network.named_buffers() if not name.endswith("num_batches_tracked")]
    return Counts(params(network), sum(map(torch.numel, kept)), total, tuple(output.shape), layers)


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
    return Counts(totals.params, totals.buffers, totals.macs, report.output, layers)


def differences(mine: Counts, other: Counts) -> Iterator[str]:
    for what in ("params", "buffers", "macs", "output"):
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
        mine, other = ours(model, size), theirs(reference.make, size)
        found = list(differences(mine, other))
        cells = [
            reference.name, reference.against, "×".join(map(str, size)), f"{mine.params:,}", f"{mine.buffers:,}",
            f"{mine.macs:,}", "×".join(map(str, mine.output)), f"{len(mine.layers)}", "no" if found else "yes",
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
        wrong += promised(name) if name in done else [f"{name}: no network to compare with"]
    print(f"\n{lines} comparisons, {len(done)} networks, {len(skipped)} skipped, {len(wrong)} differences")
    remarks = [f"- skipped: {text}" for text in skipped] + [f"- different: {text}" for text in wrong]
    if remarks:
        print("\n" + "\n".join(remarks))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
