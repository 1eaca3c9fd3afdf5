"""The options of the command that writes a live page."""

from archcalc.algebra.dtype import BYTEWISE
from archcalc.cli.parsing import Adder, later, spec_options


def page(add: Adder) -> None:
    """Options of `archcalc page`."""
    what = "one HTML file on which every number follows the sizes that the reader chooses, offline"
    page = add("page", later("paging", "page"), what, (
        "archcalc page zoo:digits -o digits.html",
        "archcalc page zoo:resnet50 --batch 32 --dtype bfloat16 --device nvidia-a100-sxm-80gb -o resnet50.html",
    ))  # fmt: skip
    spec_options(page)
    page.add_argument("--dtype", choices=BYTEWISE, default="float32", help="what the network computes in to begin with")
    which = "an id of archcalc hardware, a rate such as 1TFLOPS, or local: the one chosen to begin with"
    page.add_argument("--device", metavar="NAME", help=which)
    page.add_argument("--devices", metavar="FILE", help="a YAML file with devices of your own")
    page.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


ASKED = (page,)
