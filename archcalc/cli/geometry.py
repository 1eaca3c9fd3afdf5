"""The commands about geometry: what cells see."""

import argparse
import re
from collections.abc import Mapping, Sequence

from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, width, write
from archcalc.errors import UsageError
from archcalc.model.sizes import parse
from archcalc.views import field as views
from archcalc.views.drawing import check_file


def field(options: argparse.Namespace) -> int:
    """Print receptive fields, the box of a cell, and the cells that see a box."""
    keep_the_model(options)
    style = options.format or format_of(options.output)
    if style not in ("text", "json"):
        raise UsageError("--format", "must be text or json", style)
    if options.plot:
        check_file(options.plot)
        if options.cell is None:
            raise UsageError("--plot", "draws the box of a cell", "no --cell")
    size = parse(options.input) if options.input is not None else None
    cell = None if options.cell is None else numbers("--cell", options.cell)
    box = None if options.box is None else box_of(options.box)
    found = model_of(options).field(options.layer, cell, box, input=size, batch=options.batch)
    write(as_json(found.to_dict()) if style == "json" else views.text(found, width()), options.output)
    if options.plot:
        found.plot(options.plot)
    return 0


def box_of(text: str) -> Sequence[int] | Mapping[str, Sequence[int]]:
    """Numbers, or `name=` and numbers."""
    name, equals, rest = text.rpartition("=")
    return {name: numbers("--box", rest)} if equals else numbers("--box", rest)


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    if not re.fullmatch(r"\s*-?[0-9]{1,18}\s*(,\s*-?[0-9]{1,18}\s*)*", text):
        raise UsageError(option, "must be whole numbers separated by commas", repr(text))
    return tuple(int(number) for number in text.split(","))
