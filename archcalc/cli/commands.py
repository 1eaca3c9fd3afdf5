"""What each command does with its options: load, ask, print; returns the exit code."""

import argparse
import os
import sys
from typing import Any

from archcalc.algebra.expression import evaluate
from archcalc.algebra.units import grouped, parse_bytes, parse_count
from archcalc.dialects.yaml import ZOO, load, zoo_names
from archcalc.errors import ModelError, UsageError, nearest
from archcalc.layers.layer import KINDS
from archcalc.model.model import Model
from archcalc.model.sizes import parse
from archcalc.questions.check import BUDGETS, budgets, expectations
from archcalc.views import report as views
from archcalc.views.table import Table


def report(options: argparse.Namespace) -> int:
    """Print the report of a model in the chosen style and format."""
    model = _model(options)
    counted = model.report(depth=options.depth, **_size(options))
    _write(_formatted(options, model, counted), options.output)
    if options.strict and counted.status != "complete":
        print("archcalc: report: under --strict everything must be counted; got a partial total", file=sys.stderr)
        return 6
    return 0


def check(options: argparse.Namespace) -> int:
    """Compare a model with what its author expects, and with budgets."""
    limits = {}
    for name in BUDGETS:
        text = getattr(options, f"max_{name}")
        if text is not None:
            limits[name] = parse_bytes(text) if name.endswith("_bytes") else parse_count(text)
    model = _model(options)
    if not model.expect and not limits:
        raise UsageError("check", "needs an expect: block in the model or a budget such as --max-params 10k", "neither")
    found = expectations(model) if not options.set else []
    found += budgets(model, limits, **_size(options))
    failed = [finding for finding in found if not finding.holds]
    print("\n".join(map(str, failed or found)))
    if options.set and model.expect:
        print(
            "archcalc: check: expect: holds for the spec's own settings; with --set only budgets are compared",
            file=sys.stderr,
        )
    print(f"{len(found) - len(failed)} of {len(found)} hold")
    return 4 if failed else 0


def layers(options: argparse.Namespace) -> int:
    """Print the table of kinds, or all about one."""
    from archcalc.dialects.kinds import kind_page, kinds_page

    if options.kind is None:
        print(kinds_page(_width()))
    elif options.kind in KINDS:
        print(kind_page(options.kind, _width()))
    else:
        raise UsageError(
            "layers", "no such kind", options.kind, way_out=nearest(options.kind, KINDS) or "see: archcalc layers"
        )
    return 0


def zoo(options: argparse.Namespace) -> int:
    """Print the table of models, or the spec of one."""
    if options.name is not None:
        if options.name not in zoo_names():
            way_out = nearest(options.name, zoo_names()) or "see: archcalc zoo"
            raise ModelError("zoo", "has no such model", options.name, way_out=way_out)
        with open(os.path.join(ZOO, f"{options.name}.yaml"), encoding="utf-8") as file:
            print(file.read().rstrip())
        return 0
    rows = []
    for name in zoo_names():
        model = load(f"zoo:{name}")
        counted = model.report()
        size = ", ".join("×".join(map(str, item.shape)) for item in model.inputs.values())
        rows.append((name, size, grouped(counted.totals.params), grouped(counted.totals.macs)))
    print(Table(("model", "input", "params", "MACs"), (False, False, True, True), tuple(rows)).text())
    return 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of specs."""
    from archcalc.dialects.schema import schema as make

    print(_json(make()))
    return 0


def _model(options: argparse.Namespace) -> Model:
    return load(options.model, dict(map(_setting, options.set)))


def _size(options: argparse.Namespace) -> dict[str, Any]:
    size = parse(options.input) if options.input is not None else None
    return {"input": size, "batch": options.batch, "dtype": options.dtype, "convention": options.convention}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise UsageError("--set", "must be NAME=VALUE", repr(text), way_out="such as --set width=64")
    if value in ("true", "false"):
        return name, value == "true"
    try:
        return name, evaluate(value, {})
    except ModelError as error:
        raise UsageError("--set", f"the value of {name}: {error.rule}", error.got) from None


def _formatted(options: argparse.Namespace, model: Model, counted: Any) -> str:
    if options.style != "archcalc":
        return _styled(options, model, counted)
    if options.format == "json":
        if options.layout != "channels_first" or options.columns is not None:
            raise UsageError("--format json", "is the whole report, channels first", "--layout or --columns")
        return _json(counted.to_dict())
    if options.format == "csv":
        return views.csv(counted, options.columns, options.layout)
    if options.format == "text":
        return views.text(counted, _width(), options.columns, options.layout)
    return views.markup(counted, options.format, options.columns, options.layout)


def _styled(options: argparse.Namespace, model: Model, counted: Any) -> str:
    if options.format != "text" or options.columns is not None or options.layout != "channels_first":
        rule = "is a layout of its own: --format, --columns and --layout do not apply"
        raise UsageError(f"--style {options.style}", rule, "one of them")
    from archcalc.dialects import keras, torchinfo

    return keras.summary(model, counted, _width()) if options.style == "keras" else torchinfo.summary(counted)


def _json(data: Any) -> str:
    import json

    return json.dumps(data, ensure_ascii=False, indent=1)


def _write(text: str, path: str | None) -> None:
    """Print, or write a file whole: first beside it, then in its place."""
    if path is None:
        print(text)
        return
    beside = f"{path}.{os.getpid()}.part"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        os.replace(beside, path)
    except (OSError, ValueError) as error:
        if os.path.exists(beside):
            os.unlink(beside)
        raise UsageError(
            "-o", "must be a file that can be written", f"{path}: {getattr(error, 'strerror', None) or error}"
        ) from None


def _width() -> int:
    """Characters of a line: what COLUMNS says, else the terminal, else 80."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
