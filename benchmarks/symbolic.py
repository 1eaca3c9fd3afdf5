"""The rival of closed forms: torch's FLOP counter under symbolic sizes; as a program, for ResNet-50."""

from typing import Any

import torch
from networks import ResNet50
from rival import on_meta
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def formula(network: nn.Module, channels: int = 3) -> Any:
    """MACs of one image as a sympy expression in its height and width; through internal modules of torch."""
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    kept = StatelessSymbolicContext(dynamic_sizes=[DimDynamic.STATIC] * 2 + [DimDynamic.DYNAMIC] * 2)
    image = mode.from_tensor(
        torch.empty(1, channels, 224, 256, device="meta"), source=ConstantSource("x"), symbolic_context=kept
    )
    with mode, FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops().node.expr / 2


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = formula(on_meta(ResNet50))
    height, width = sorted(found.free_symbols, key=str)
    print(f"MACs {int(found.subs({height: 224, width: 224})):,}")
