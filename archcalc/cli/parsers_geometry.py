"""The options of the commands about geometry: what cells see."""

from archcalc.cli.parsing import Adder, later, spec_options, written


def field(add: Adder) -> None:
    """Options of `archcalc field`."""
    what = "what cells see: receptive fields of all layers, the box of a cell, the cells that see a box"
    field = add("field", later("geometry", "field"), what, (
        "archcalc field zoo:digits --input 1024x1024 --cell 3,7",
        "archcalc field zoo:resnet50 --layer layer3 --box 100,100,120,120",
    ))  # fmt: skip
    spec_options(field)
    last = "a layer or block (default with --cell and --box: the last that does not see everything)"
    field.add_argument("--layer", metavar="NAME", help=last)
    field.add_argument("--cell", metavar="R,C", help="its box: a cell of the layer, a number for each axis, from 0")
    where = "the cells that see any of it: all starts, then all ends, such as Y0,X0,Y1,X1; NAME=… for several inputs"
    field.add_argument("--box", metavar="BOX", help=where)
    field.add_argument("--plot", metavar="FILE", help="draw the image and the cell's box into an .svg or .png file")
    field.add_argument("--format", choices=["text", "json"], help="what to write; default text")
    written(field)


ASKED = (field,)
