"""What the commands share: reading the model and its size, progress, and writing results."""

import argparse
import os
import sys
from typing import Any

from archcalc.dialects.fields import take
from archcalc.dialects.sources import PYTHON, load
from archcalc.dialects.yaml_text import read
from archcalc.errors import ModelError, UsageError
from archcalc.model.sizes import parse
from archcalc.questions.model import Model


def keep_the_model(options: argparse.Namespace) -> None:
    """Refuse to write a result over the model that it is of."""
    if "\0" in (options.output or ""):
        raise UsageError("-o", "must be a file that can be written", repr(options.output))
    if options.output and options.model and os.path.realpath(options.output) == os.path.realpath(options.model):
        raise UsageError("-o", "must not be the model itself", options.output)


def progress(items: Any, unit: str, total: int | None = None) -> Any:
    """The items, with a progress bar on standard error where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, unit=f" {unit}", total=total, leave=False, disable=None, file=sys.stderr)


def say(text: str) -> None:
    """A remark, on standard error."""
    print(f"archcalc: {text}", file=sys.stderr)


def model_of(options: argparse.Namespace) -> Model:
    """The model that the options name, with its --set."""
    settings: dict[str, Any] = {}
    for name, value in map(_setting, options.set):
        if name in settings:
            raise UsageError("--set", "must be given once for each name", name)
        settings[name] = value
    try:
        return load(options.model, settings, _example(options))
    except ModelError:
        if settings:
            say(f"with --set {' --set '.join(options.set)}:")
        raise


def _example(options: argparse.Namespace) -> Any:
    """The size that the options name, for Python code, which is traced at a size; None where they name a range."""
    given: list[str] | None = getattr(options, "input", None)
    if given is None or not options.model.startswith(PYTHON) or any(".." in text for text in given):
        return None
    return parse(given)


def size_of(options: argparse.Namespace) -> dict[str, Any]:
    """Input size, batch, dtype and convention, as a report takes them."""
    size = parse(options.input) if options.input is not None else None
    counted = {"convention": options.convention} if "convention" in options else {}  # not all commands count FLOPs
    return {"input": size, "batch": options.batch, "dtype": options.dtype, **counted}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError("--set", "must be NAME=VALUE", repr(text), way_out="such as --set width=64")
    try:
        return name, take(read(value, "--set", []), int | bool, {}, f"--set: {name}")
    except ModelError as error:
        raise UsageError("--set", error.rule, error.got) from None


def format_of(path: str | None) -> str:
    """What the name of a file promises; text if nothing."""
    endings = {".md": "markdown", ".csv": "csv", ".json": "json", ".tex": "latex", ".html": "html"}
    endings |= {".py": "python", ".js": "js"}
    return endings.get(os.path.splitext(path or "")[1].lower(), "text")


def as_json(data: Any) -> str:
    """Plain data as JSON."""
    import json

    return json.dumps(data, ensure_ascii=False, indent=1)


def write(text: str, path: str | None) -> None:
    """Print, or write a file whole: first beside it, then in its place; what is no file is written straight into."""
    if path is None or path == "-":
        print(text)
        return
    target = os.path.realpath(path)
    beside = target if os.path.exists(target) and not os.path.isfile(target) else f"{target}.{os.getpid()}.part"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        if beside != target:
            os.replace(beside, target)
    except (OSError, ValueError) as error:
        if beside != target and os.path.exists(beside):
            os.unlink(beside)
        raise UsageError(
            "-o", "must be a file that can be written", f"{path}: {getattr(error, 'strerror', None) or error}"
        ) from None


def width() -> int:
    """Characters of a line: what COLUMNS says, else the terminal, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and len(columns) <= 6 and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):  # no terminal, or no standard output at all
        return 80
