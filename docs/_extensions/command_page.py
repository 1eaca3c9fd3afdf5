"""The page of commands: what each does, and its help, as the argument parser has them."""

import argparse
import os
from collections.abc import Iterator
from unittest import mock

from archcalc.cli.main import parser

HEAD = """# Commands

What the command line offers, as `archcalc --help` and `archcalc COMMAND --help` print it.
Every command ends with one of these exit codes: 0 done, 1 unexpected, 2 a mistake on the command line,
3 the model or file is wrong, 4 a check failed, 5 a verification found a difference, 6 something was not counted under
`--strict`, 7 it cannot run here, 130 interrupted.
"""


def commands() -> dict[str, str]:
    """Each command with what it is for."""
    return {choice.dest: choice.help or "" for choice in _subparsers()._choices_actions}


def page() -> str:
    """All commands, each with its help at 80 columns."""
    return "\n".join([HEAD, *_sections()])


def _sections() -> Iterator[str]:
    helped = _subparsers().choices
    with mock.patch.dict(os.environ, {"COLUMNS": "80"}):
        for name, what in commands().items():
            yield f"## {name}\n\n{what[0].upper()}{what[1:]}.\n\n```text\n{helped[name].format_help().rstrip()}\n```\n"


def _subparsers() -> argparse._SubParsersAction:  # type: ignore[type-arg]
    return next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
