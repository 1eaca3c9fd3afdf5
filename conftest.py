"""Documents run: every `>>>` and every `$ archcalc …` in README, docs and docstrings is executed and compared."""

import contextlib
import io
import os
import shlex
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from xdist.scheduler import LoadScopeScheduling

from archcalc.cli.main import main

# Tests run side by side, one process a core, on small tensors: more threads of torch or BLAS wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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


class ByDocument(LoadScopeScheduling):  # type: ignore[misc]
    """Tests in several processes: the examples of a document go on from each other, and stay together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file.startswith("tests/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByDocument:
    """Which process runs which test."""
    return ByDocument(config, log)


@pytest.fixture(scope="session", autouse=True)
def _from_the_root(request: pytest.FixtureRequest) -> None:
    os.chdir(request.config.rootpath)


MADE = ["**/results/*.md", "docs/benchmarks/*.md", "docs/kinds/*.md", "docs/commands.md"]  # by programs
documents = Sybil(parsers=[PythonCodeBlockParser(), ConsoleParser()], patterns=["*.md"], excludes=MADE)
docstrings = Sybil(parsers=[DocTestParser()], path="archcalc", patterns=["**/*.py"])
pytest_collect_file = (documents + docstrings).pytest()
