"""The command that draws."""

import argparse
import os

from archcalc.cli.common import keep_the_model, model_of, write
from archcalc.errors import UsageError
from archcalc.model.sizes import parse

ENDINGS = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".dot": "dot", ".gv": "dot"}


def draw(options: argparse.Namespace) -> int:
    """Write the network as a picture."""
    keep_the_model(options)
    style = options.format or format_of(options.output)
    size = parse(options.input) if options.input is not None else None
    found = model_of(options).draw(size, batch=options.batch, depth=options.depth)
    write(found.svg() if style == "svg" else found.mermaid() if style == "mermaid" else found.dot(), options.output)
    return 0


def format_of(path: str | None) -> str:
    """What the name of a file promises; what is no file gets a picture."""
    if path is None or path == "-" or (os.path.exists(path) and not os.path.isfile(path)):
        return "svg"
    ending = os.path.splitext(path)[1].lower()
    if ending not in ENDINGS:
        way_out = "or say --format; a browser or rsvg-convert turns an .svg into other pictures"
        raise UsageError("-o", f"must end in {', '.join(ENDINGS)}", repr(path), way_out=way_out)
    return ENDINGS[ending]
