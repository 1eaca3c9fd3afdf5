"""The rival: torch's FLOP counter on the meta device; run as a program, it counts ResNet-50 and prints the numbers."""

from collections.abc import Callable

import torch
from networks import ResNet50
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without numbers: shapes are all that counting needs, and the quickest that torch can do."""
    with torch.device("meta"):
        return make().eval()


def macs(network: nn.Module, size: tuple[int, ...]) -> int:
    """MACs of one forward pass over one image; the counter counts two FLOPs for each."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, *size, device="meta"))
    half, rest = divmod(counter.get_total_flops(), 2)
    if rest:
        raise ValueError(f"an odd number of FLOPs is no number of MACs: {2 * half + 1}")
    return half


def params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


if __name__ == "__main__":
    torch.set_num_threads(1)
    resnet50 = on_meta(ResNet50)
    print(f"params {params(resnet50):,}")
    print(f"MACs {macs(resnet50, (3, 224, 224)):,}")
