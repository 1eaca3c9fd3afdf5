"""What `archcalc --help` says: where to begin, the commands by what they are for, models, exit codes."""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator

from archcalc.cli.common import width

FIRST = {
    "archcalc report zoo:resnet50": "shapes, parameters, MACs of a known network",
    "archcalc zoo digits > model.yaml": "a spec, to change into a network of your own",
    "archcalc explain model.yaml": "how each of its numbers is made",
}
GROUPS = {
    "look": ("report", "draw", "page", "diff", "sweep"),
    "understand": ("explain", "formula", "field", "properties"),
    "cost": ("memory", "time", "decode", "fit", "solve"),
    "convert": ("convert",),
    "check": ("check", "verify", "reconcile", "calibrate"),
    "on a picture": ("featuremaps", "locate"),
    "what there is": ("zoo", "layers", "hardware", "schema", "completion"),
}
MODELS = (
    "MODEL is a spec in YAML, zoo:NAME, an .onnx or .keras file, py:package.module:callable for PyTorch code, or - for "
    "a spec on standard input. A spec lists inputs and layers: archcalc zoo has those that come along, archcalc layers "
    "what they are made of."
)
CODES = (
    "Exit codes: 0 done, 1 unexpected, 2 the command line is wrong, 3 the model or its file is, 4 a check failed, "
    "5 verify found a difference, 6 incomplete under --strict, 7 cannot run here, 130 interrupted."
)


class Top(argparse.ArgumentParser):
    """The parser of all commands, with a page of help that one can begin from."""

    def format_help(self) -> str:
        """The page, for a terminal of this width, up to 100 characters."""
        return "\n".join(page(self, min(width(), 100)))


def begin(_: argparse.Namespace) -> int:
    """No command was given: say which to try first."""
    print("\n".join(["archcalc: which command? Begin with", *first(), "", "archcalc --help has all"]), file=sys.stderr)
    return 2


def page(top: Top, columns: int) -> Iterator[str]:
    """All of it, line by line."""
    yield from ("usage: archcalc COMMAND MODEL [options]", "", f"{top.description}", "", "begin with", *first())
    briefs = briefs_of(top)
    for group, names in GROUPS.items():
        yield from ("", group)
        for name in names:
            yield from textwrap.wrap(f"  {name:13}{briefs[name]}", columns, subsequent_indent=" " * 15)
    yield from ("", "archcalc COMMAND --help has the options, and two examples that run.", "")
    yield from [*textwrap.wrap(MODELS, columns), "", *textwrap.wrap(CODES, columns)]
    yield from ("", "  -h, --help   this page", "  --version    which archcalc this is", "")


def first() -> list[str]:
    """Three commands that show what it is for."""
    return [f"  {command:34}{what}" for command, what in FIRST.items()]


def briefs_of(top: Top) -> dict[str, str]:
    """What each command is for, as far as the first colon or semicolon of its own help."""
    (subparsers,) = (action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return {action.dest: re.split("[:;] ", action.help or "")[0] for action in subparsers._choices_actions}
