"""The command that lays our counts beside those of counting tools."""

import argparse

from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, say, width, write
from archcalc.cli.parsing import INCOMPLETE
from archcalc.dialects.reconciling import reconcile as find
from archcalc.errors import UsageError
from archcalc.model.sizes import parse
from archcalc.views import reconcile as views


def reconcile(options: argparse.Namespace) -> int:
    """Print what each tool prints, and the lines between its figures and ours."""
    keep_the_model(options)
    names = [name.strip() for text in options.tool or () for name in text.split(",")]
    if options.tool and not all(names):
        raise UsageError("--tool", "must be names joined by commas", repr(",".join(options.tool)))
    size = parse(options.input) if options.input is not None else None
    found = find(model_of(options), names or None, size, batch=options.batch, network=options.network)
    as_data = options.format == "json" or (options.format is None and format_of(options.output) == "json")
    write(as_json(found.to_dict()) if as_data else views.text(found, width()), options.output)
    if options.strict and found.status != "complete":
        say("reconcile: under --strict every figure must be known; got one that is not")
        return INCOMPLETE
    return 0
