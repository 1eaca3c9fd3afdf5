"""Compare the zoo, or networks named, with torchvision: what it publishes of its weights, every tensor, MAC, output."""

import importlib
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import torch
from networks import Size
from rival import macs, params
from torch import nn

import archcalc

# torchvision's own operators need the very torch that it was built for; no network here uses one of them.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

IMAGES: list[Size] = [(3, 224, 224), (3, 256, 320), (3, 225, 301), (3, 193, 167)]
LARGE: list[Size] = [(3, 384, 384), (3, 256, 320), (3, 225, 301)]
SCENES: list[Size] = [(3, 520, 520), (3, 256, 320), (3, 225, 301)]
SCENE = {"weights_backbone": None, "aux_loss": True}  # its published weights have the auxiliary head
CONVOLUTIONAL: dict[str, tuple[Mapping[str, Any], list[Size]]] = {  # how torchvision makes it, and input sizes
    **{
        name: ({}, IMAGES)
        for name in (
            "alexnet", "vgg11", "vgg16", "vgg19", "resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d",
            "wide_resnet50_2", "densenet121", "densenet169", "densenet201", "squeezenet1_0", "squeezenet1_1",
            "mobilenet_v2", "mobilenet_v3_large", "mnasnet1_0", "shufflenet_v2_x1_0", "efficientnet_b0",
            "regnet_y_400mf", "convnext_tiny", "convnext_base",
        )
    },
    "googlenet": ({"aux_logits": False, "init_weights": False}, IMAGES),
    "inception_v3": ({"aux_logits": False, "init_weights": False}, [(3, 299, 299), (3, 267, 331), (3, 256, 320)]),
    "efficientnet_v2_s": ({}, LARGE),
    "fcn_resnet50": (SCENE, SCENES),
    "deeplabv3_resnet50": (SCENE, SCENES),
}  # fmt: skip
NETWORKS = {
    **CONVOLUTIONAL,
    "vit_b_16": ({}, IMAGES[:1]),  # made for one size
    "swin_t": (
        {},
        [(3, 224, 224), (3, 448, 224), (3, 224, 672)],
    ),  # whole windows; torchvision pads others
}
HEADLESS = {"inception_v3"}  # its published count has an auxiliary head, which its published GMACs leave out


def make(name: str) -> nn.Module:
    """The network as torchvision makes it, with shapes and no numbers."""
    models = importlib.import_module("torchvision.models")
    found = getattr(models, name, None) or getattr(models.segmentation, name)
    options, _ = NETWORKS[name]
    with torch.device("cpu" if name.startswith("regnet") else "meta"):  # regnet computes its widths with tensors
        return found(weights=None, **options).to("meta")


def published(name: str) -> tuple[int, float]:
    """Parameters and GMACs that torchvision states of the weights."""
    weights = importlib.import_module("torchvision.models").get_model_weights(name)
    stated = next(iter(weights)).meta
    return stated["num_params"], stated["_ops"]


def outputs(network: nn.Module, size: Size) -> list[Size]:
    with torch.no_grad():
        output = network(torch.empty(1, *size, device="meta"))
    several = output.values() if isinstance(output, dict) else output if isinstance(output, list) else [output]
    return [tuple(one.shape) for one in several]


def tensors(network: nn.Module) -> Iterator[Size]:
    """Shapes of all tensors but indices of places, constants in a spec; packed queries, keys and values are three."""
    for name, tensor in network.state_dict().items():
        if name.endswith("relative_position_index"):
            continue
        packed = name.rpartition(".")[2].startswith("in_proj_")
        yield from (tuple(part.shape) for part in (tensor.chunk(3) if packed else [tensor]))


def counted(shapes: Iterable[Size]) -> Counter[Size]:
    """Shapes with how often each occurs; an axis of size 1 in front of a table says nothing."""
    return Counter(shape[1:] if len(shape) == 3 and shape[0] == 1 else shape for shape in shapes)


def differences(name: str, network: nn.Module, size: Size) -> Iterator[str]:
    """What the spec and the network do not agree on at an input size."""
    report = archcalc.load(f"zoo:{name}").report("x".join(map(str, size)))
    mine = counted(tuple(shape) for row in report.rows for shape in row.weights.values())
    theirs = counted(tensors(network))
    pairs = {
        "parameters": (report.totals.params, params(network)),
        "tensors": (mine - theirs, theirs - mine),
        "MACs": (report.totals.macs, macs(network, size)),
        "outputs": (list(report.outputs.values()), outputs(network, size)),
    }
    yield from (f"{name}, {size}: {what} {a} ours, {b} theirs" for what, (a, b) in pairs.items() if a != b)


def compared(name: str) -> tuple[str, list[str]]:
    """A line of the table, and what differs."""
    network, (_, sizes) = make(name).eval(), NETWORKS[name]
    found = [text for size in sizes for text in differences(name, network, size)]
    totals = archcalc.load(f"zoo:{name}").report().totals
    count, gmacs = published(name)
    if count != totals.params and name not in HEADLESS:
        found.append(f"{name}: {totals.params} parameters ours, {count} published")
    if round(totals.macs / 1e9, 3) != gmacs:
        found.append(f"{name}: {totals.macs} MACs ours, {gmacs} G published")
    at = ", ".join("×".join(map(str, size[1:])) for size in sizes)
    cells = [
        name, f"{count:,}", f"{gmacs}", f"{totals.params:,}", f"{totals.macs:,}", f"{len(network.state_dict())}", at,
        "no" if found else "yes",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |", found


def main() -> int:
    try:
        importlib.import_module("torchvision.models")
    except ImportError as error:
        print(f"skipped: {error}")
        return 0
    titles = ["network", "published params", "GMACs", "params", "MACs", "tensors", "MACs and outputs at", "equal"]
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("archcalc", "torch", "torchvision"))
    print(f"- versions: Python {sys.version.split()[0]}, {versions}\n")
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    wrong: list[str] = []
    names = sys.argv[1:] or list(NETWORKS)
    for name in names:
        line, found = compared(name)
        print(line, flush=True)
        wrong += found
    print(f"\n{len(names)} networks, {len(wrong)} differences")
    if wrong:
        print("\n" + "\n".join(f"- {text}" for text in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
