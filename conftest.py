"""Documents run: every `>>>` and every `$ archcalc …` in README, docs and docstrings is executed and compared."""

import contextlib
import io
import os
import shlex

import pytest
from sybil import Example, Sybil
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from archcalc.cli.main import main


class ConsoleParser(CodeBlockParser):
    """Blocks of ```console: each `$ archcalc …` and the output under it."""

    language = "console"

    def evaluate(self, example: Example) -> str | None:
        for session in example.parsed.split("$ archcalc ")[1:]:
            command, _, expected = session.partition("\n")
            code, printed = run(shlex.split(command))
            if code != 0 or printed.strip() != expected.strip():
                return f"$ archcalc {command}\nexit code {code}, printed:\n{printed}\ninstead of:\n{expected}"
        return None


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and output of a command in a terminal of 80 columns."""
    out = io.StringIO()
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "80"
    try:
        with contextlib.redirect_stdout(out):
            code = main(arguments)
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before
    return code, out.getvalue()


@pytest.fixture(scope="session", autouse=True)
def _from_the_root(request: pytest.FixtureRequest) -> None:
    os.chdir(request.config.rootpath)


documents = Sybil(parsers=[PythonCodeBlockParser(), ConsoleParser()], patterns=["*.md"], excludes=["**/results/*.md"])
docstrings = Sybil(parsers=[DocTestParser()], path="archcalc", patterns=["**/*.py"])
pytest_collect_file = (documents + docstrings).pytest()
