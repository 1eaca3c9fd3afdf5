"""The command that writes a live page."""

import argparse
import sys

from archcalc.cli.common import keep_the_model, model_of, write
from archcalc.dialects.devices import read_devices
from archcalc.errors import UsageError
from archcalc.hardware.device import device
from archcalc.model.sizes import parse


def page(options: argparse.Namespace) -> int:
    """Write the page of a model."""
    keep_the_model(options)
    if options.output is None and sys.stdout.isatty():
        raise UsageError("-o", "must name a file: a page is nothing to read in a terminal", "none")
    own = read_devices(options.devices) if options.devices is not None else None
    on = device(options.device, own) if options.device is not None else None
    size = parse(options.input) if options.input is not None else None
    found = model_of(options).page(size, batch=options.batch, dtype=options.dtype, device=on)
    write(found.html, options.output)
    return 0
