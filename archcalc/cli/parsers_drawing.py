"""The options of the command that draws."""

from archcalc.cli.parsing import Adder, later, spec_options, whole


def draw(add: Adder) -> None:
    """Options of `archcalc draw`."""
    draw = add("draw", later("drawing", "draw"), "the network as a picture, or as text that others draw", (
        "archcalc draw zoo:resnet50 -o resnet50.svg",
        "archcalc draw zoo:unet --depth 1 --format mermaid",
    ))  # fmt: skip
    spec_options(draw)
    deep = "draw blocks down to this level of their names (default: the deepest that stays readable)"
    draw.add_argument("--depth", type=whole, metavar="D", help=deep)
    formats = "what to write; default: what the name of FILE says, else svg"
    draw.add_argument("--format", choices=["svg", "mermaid", "dot"], help=formats)
    draw.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


ASKED = (draw,)
