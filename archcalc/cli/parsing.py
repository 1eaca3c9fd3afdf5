"""What the parsers of all commands share: common options, and how a command is added."""

import argparse
import re
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from archcalc.algebra.dtype import MODEL_DTYPES
from archcalc.algebra.ops import CONVENTIONS

Adder = Callable[..., argparse.ArgumentParser]
CHECK_FAILED, INCOMPLETE = 4, 6  # exit codes that helps name


def whole(text: str) -> int:
    """A whole number as an option writes it."""
    if not re.fullmatch("-?[0-9]{1,20}", text):
        raise argparse.ArgumentTypeError(f"must be a whole number; got {text!r}")
    return int(text)


def later(room: str, name: str) -> Callable[[Any], int]:
    """A command whose rooms are loaded when it runs: the others start without them."""

    def run(options: Any) -> int:
        command: Callable[[Any], int] = getattr(import_module(f"archcalc.cli.{room}"), name)
        return command(options)

    return run


def adder(subparsers: Any) -> Adder:
    """How a command is added: with its help, and two examples."""

    def add(name: str, command: Callable[[Any], int], what: str, examples: Sequence[str]) -> argparse.ArgumentParser:
        epilog = "examples:\n" + "\n".join(f"  {example}" for example in examples)
        layout = argparse.RawDescriptionHelpFormatter
        made: argparse.ArgumentParser = subparsers.add_parser(
            name, help=what, description=what[0].upper() + what[1:] + ".", epilog=epilog, formatter_class=layout
        )
        made.set_defaults(run=command)
        return made

    return add


def spec_options(command: argparse.ArgumentParser, *, needed: bool = True) -> None:
    """Which model, at which size."""
    where = "a YAML file, - for standard input, or zoo:NAME"
    command.add_argument("model", metavar="MODEL", nargs=None if needed else "?", help=where)
    size = "1024x1024, or 3x1024x1024, or name=SIZE for several inputs; default: the spec's"
    command.add_argument("--input", metavar="SIZE", action="append", help=size)
    command.add_argument("--batch", type=whole, default=1, metavar="N", help="images at once (default 1)")
    command.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="replace a hyperparameter")


def written(command: argparse.ArgumentParser) -> None:
    """Where the result goes."""
    command.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")
    command.add_argument("-o", "--output", metavar="FILE", help="write to a file instead of standard output")


def dtype_options(command: argparse.ArgumentParser) -> None:
    """Which model, at which size, in which format."""
    spec_options(command)
    command.add_argument("--dtype", choices=MODEL_DTYPES, default="float32", help="what the network computes in")


def model_options(command: argparse.ArgumentParser) -> None:
    """Which model, at which size, counted how."""
    dtype_options(command)
    command.add_argument("--convention", choices=list(CONVENTIONS), default="archcalc", help="what counts as a FLOP")
