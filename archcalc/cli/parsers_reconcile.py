"""The options of the command that lays our counts beside those of counting tools."""

from collections.abc import Sequence

from archcalc.cli.parsing import INCOMPLETE, Adder, later, spec_options, written

NETWORKS = {"built": "archcalc.torch.build makes", "modules": "PyTorch's own modules make, as written by hand"}


def reconcile(add: Adder) -> None:
    """Options of `archcalc reconcile`."""
    what = "what counting tools print for a network, and why it is not what we count, as lines that add up"
    reconcile = add("reconcile", later("reconciling", "reconcile"), what, (
        "archcalc reconcile zoo:resnet50",
        "archcalc reconcile zoo:mobilenet_v2 --tool fvcore,thop --input 192x192 --json",
    ))  # fmt: skip
    spec_options(reconcile)
    tools = "which tools; default: all whose rules are known"
    reconcile.add_argument("--tool", metavar="A,B,…", action="append", help=tools)
    network = f"the network counted: the one that {_joined(list(NETWORKS.values()))}"
    reconcile.add_argument("--network", choices=list(NETWORKS), default="built", help=network)
    strict = f"exit with {INCOMPLETE} if a figure is not known, or a tool does not get through"
    reconcile.add_argument("--strict", action="store_true", help=strict)
    reconcile.add_argument("--format", choices=["text", "json"], help="what to write; default text")
    written(reconcile)


def _joined(words: Sequence[str]) -> str:
    return ", or that ".join(words)


ASKED = (reconcile,)
