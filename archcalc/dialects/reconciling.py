"""Counting tools: what each of them counts for PyTorch's words, and how a kind is spelled in them."""

from collections.abc import Mapping, Sequence
from typing import get_args

from archcalc.dialects.tools import hooked, patched, traced
from archcalc.dialects.tools.rules import Network
from archcalc.errors import UsageError, nearest
from archcalc.model import network as model_network
from archcalc.model.sizes import Sizes
from archcalc.questions import reconcile as questions
from archcalc.questions.reconcile import Reconciliation, Tool

NAMES = (
    "torch", "fvcore", "thop", "ptflops", "ptflops-aten", "torchinfo", "calflops", "torchprofile", "deepspeed", "keras",
)  # fmt: skip
NETWORKS: Mapping[str, str] = {
    "built": "as archcalc.torch.build makes it, at inference",
    "modules": "of PyTorch's own modules, as written by hand, at inference",
}


def known(network: Network = "built") -> dict[str, Tool]:
    """Every tool by name, for the network as it is built or of PyTorch's own modules."""
    made = {tool.name: tool for tool in (*traced.tools(network), *patched.tools(network), *hooked.tools(network))}
    return {name: made[name] for name in NAMES}


def reconcile(
    model: model_network.Network,
    tools: Sequence[str] | None = None,
    input: Sizes | Mapping[str, Sizes] | None = None,
    *,
    batch: int = 1,
    network: Network = "built",
) -> Reconciliation:
    """What counting tools print for a model, and why it is not what we count: named lines that add up.

    `tools` are names of NAMES, by default all; `network` is `built` (what `archcalc.torch.build` makes) or `modules`
    (PyTorch's own modules, where the built network has a function or a module of its own).
    Raises UsageError for a wrong argument and ModelError where the shapes do not fit.
    """
    if network not in get_args(Network):
        raise UsageError("network", f"must be one of {', '.join(get_args(Network))}", repr(network))
    every = known(network)
    for name in tools or ():
        if name not in every:
            way_out = nearest(name, every) or f"known: {', '.join(NAMES)}"
            raise UsageError("tool", "must be a tool whose rules are known", repr(name), way_out=way_out)
    chosen = [every[name] for name in dict.fromkeys(tools or NAMES)]
    return questions.reconcile(model, chosen, NETWORKS[network], input, batch=batch)
