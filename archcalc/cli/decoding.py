"""The command about decoding."""

import argparse

from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, width, write
from archcalc.errors import UsageError
from archcalc.views import decode as views


def decode(options: argparse.Namespace) -> int:
    """Print what one more token costs."""
    keep_the_model(options)
    style = options.format or format_of(options.output)
    if style not in ("text", "json"):
        raise UsageError("--format", "must be text or json", style)
    found = model_of(options).decode(
        options.position, batch=options.batch, dtype=options.dtype, cache_dtype=options.cache_dtype
    )
    write(as_json(found.to_dict()) if style == "json" else views.text(found, width()), options.output)
    return 0
