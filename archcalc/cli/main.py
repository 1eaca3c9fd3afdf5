"""The command `archcalc`: its options, and which exit code a mistake ends with."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from archcalc import __version__
from archcalc.cli import (
    helping,
    parsers,
    parsers_completion,
    parsers_costs,
    parsers_decode,
    parsers_drawing,
    parsers_geometry,
    parsers_maps,
    parsers_page,
    parsers_reconcile,
    parsers_transforms,
)
from archcalc.cli.parsing import adder
from archcalc.errors import ArchcalcError, CannotRun, ModelError, UsageError

DONE, UNEXPECTED, USAGE, MODEL, CANNOT_RUN, INTERRUPTED = 0, 1, 2, 3, 7, 130
CODES: dict[type[ArchcalcError], int] = {UsageError: USAGE, ModelError: MODEL, CannotRun: CANNOT_RUN}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    try:
        options = parser().parse_args(arguments)
        code: int = options.run(options)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except ArchcalcError as error:
        _say(error)
        return next((code for cls, code in CODES.items() if isinstance(error, cls)), UNEXPECTED)
    except BrokenPipeError:  # the reader has seen enough; what is left goes nowhere
        _discard_output()
        return DONE
    except OSError as error:
        _discard_output()
        _say(f"standard output: must be writable; got {error.strerror}")
        return UNEXPECTED
    except KeyboardInterrupt:
        return INTERRUPTED


def run() -> NoReturn:
    """The entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show × shows ?
    sys.exit(main())


def _say(message: object) -> None:
    with contextlib.suppress(OSError):  # whoever reads errors may have left
        print(f"archcalc: {message}", file=sys.stderr)


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    what = "What a neural network costs, exactly, with its working shown."
    top = helping.Top(prog="archcalc", description=what, usage="archcalc COMMAND MODEL [options]")
    top.set_defaults(run=helping.begin)
    top.add_argument("--version", action="version", version=f"archcalc {__version__}")
    add = adder(top.add_subparsers(metavar="COMMAND", parser_class=argparse.ArgumentParser, prog="archcalc"))
    rooms = (
        parsers.ASKED,
        parsers_costs.ASKED,
        parsers_decode.ASKED,
        parsers_geometry.ASKED,
        parsers_maps.ASKED,
        parsers_drawing.ASKED,
        parsers_page.ASKED,
        parsers_transforms.ASKED,
        parsers_reconcile.ASKED,
        parsers.LISTED,
        parsers_completion.LISTED,
    )
    for command in (command for room in rooms for command in room):
        command(add)
    return top
