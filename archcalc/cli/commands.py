"""What each command does with its options: load, ask, print; returns the exit code."""

import argparse
import contextlib
import os
from typing import Any

from archcalc.algebra.units import grouped, parse_bytes, parse_count
from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, progress, say, size_of, width, write
from archcalc.dialects.yaml import ZOO, load, zoo_names
from archcalc.errors import UsageError, nearest
from archcalc.layers.layer import KINDS
from archcalc.model.sizes import parse
from archcalc.questions.check import BUDGETS, budgets, expectations
from archcalc.questions.model import Model
from archcalc.views import report as views
from archcalc.views.notebook import document
from archcalc.views.table import Table

OWN_SIZE = {"input": None, "batch": 1, "dtype": "float32", "convention": "archcalc"}


def report(options: argparse.Namespace) -> int:
    """Print the report of a model in the chosen style and format."""
    options.format = options.format or format_of(options.output)
    model = model_of(options)
    counted = model.report(depth=options.depth, **size_of(options))
    keep_the_model(options)
    write(_formatted(options, model, counted), options.output)
    if options.strict and counted.status != "complete":
        say("report: under --strict everything must be counted; got a partial total")
        return 6
    return 0


def check(options: argparse.Namespace) -> int:
    """Compare a model with what its author expects, and with budgets."""
    limits = {}
    for name in BUDGETS:
        text = getattr(options, f"max_{name}")
        if text is not None:
            limits[name] = _limit(name, text)
    model, size = model_of(options), size_of(options)
    found = expectations(model) if not options.set else []
    found += budgets(model, limits, **size)
    if not found:
        rule = "needs an expect: block in the model or a budget such as --max-params 10k"
        if options.set and model.expect:
            rule = "needs a budget such as --max-params 10k beside --set: expect: is for the spec's own settings"
        raise UsageError("check", rule, "neither" if not model.expect else "no budget")
    if model.expect and options.set:
        say("check: expect: is for the spec's own settings; with --set only budgets are compared")
    elif model.expect and size != OWN_SIZE:
        say("check: expect: is compared at the sizes it names, batch 1, float32, convention archcalc; budgets as asked")
    failed = [finding for finding in found if not finding.holds]
    print("\n".join(map(str, failed or found)))
    print(f"{len(found) - len(failed)} of {len(found)} hold")
    return 4 if failed else 0


def verify(options: argparse.Namespace) -> int:
    """Lay formulas beside the real network: of one model, or of every kind over random configurations."""
    keep_the_model(options)
    found = _verified_kinds(options) if options.kinds else _verified_model(options)
    write(as_json(found.to_dict()) if options.json else found.text(width()), options.output)
    if found.failures:
        return 5
    if options.strict and found.unchecked:
        say("verify: under --strict everything must be checked; got checks that could not be made")
        return 6
    return 0


def _verified_model(options: argparse.Namespace) -> Any:
    if options.cases is not None:
        raise UsageError("--cases", "goes with --kinds", f"{options.cases}")
    if options.model is None:
        raise UsageError("verify", "needs a MODEL, or --kinds", "neither")
    import archcalc

    size = parse(options.input) if options.input is not None else None
    fixed = {"batch": options.batch, "device": options.device, "samples": options.samples, "seed": options.seed}
    return archcalc.verify(model_of(options), size, **fixed, show=lambda uses: progress(uses, "layers"))


def _verified_kinds(options: argparse.Namespace) -> Any:
    if options.model is not None or options.input or options.set or options.samples or options.batch != 1:
        given = options.model or "--input, --batch, --set or --samples"
        raise UsageError("--kinds", "takes no model: it makes its own configurations", given)
    import archcalc

    number = 1_000 if options.cases is None else options.cases
    check = archcalc.verify_kinds
    with contextlib.closing(progress(None, "configurations", total=number)) as bar:
        return check(number, device=options.device, seed=options.seed, shown=bar.update)


def layers(options: argparse.Namespace) -> int:
    """Print the table of kinds, or all about one."""
    from archcalc.dialects.kinds import kind_page, kinds_page

    if options.kind is None:
        print(kinds_page(width()))
    elif options.kind in KINDS:
        print(kind_page(options.kind, width()))
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
            raise UsageError("zoo", "has no such model", options.name, way_out=way_out)
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

    print(as_json(make()))
    return 0


def _limit(name: str, text: str) -> int:
    try:
        return parse_bytes(text) if name.endswith("_bytes") else parse_count(text)
    except UsageError as error:
        raise UsageError(f"--max-{name.replace('_', '-')}", error.rule, error.got) from None


def _formatted(options: argparse.Namespace, model: Model, counted: Any) -> str:
    if options.style != "archcalc":
        return _styled(options, model, counted)
    if options.format == "json":
        if options.layout != "channels_first" or options.columns is not None:
            raise UsageError("--format json", "is the whole report, channels first", "--layout or --columns")
        return as_json(counted.to_dict())
    if options.format == "csv":
        for line in (f"status {counted.status}, FLOPs by the convention {counted.convention}", *counted.notes):
            say(f"report: {line}")  # a file of values has no place for it
        return views.csv(counted, options.columns, options.layout)
    if options.format == "text":
        return views.text(counted, width(), options.columns, options.layout)
    page = views.markup(counted, options.format, options.columns, options.layout)
    return document(counted.model, page) if options.format == "html" else page


def _styled(options: argparse.Namespace, model: Model, counted: Any) -> str:
    if options.format != "text" or options.columns is not None or options.layout != "channels_first":
        rule = "is a layout of its own: --format, --columns and --layout do not apply"
        raise UsageError(f"--style {options.style}", rule, "one of them")
    from archcalc.dialects import keras, torchinfo

    if options.style == "keras":
        page = keras.summary(model, counted, width())
    else:
        page = torchinfo.summary(counted, model.report(**size_of(options)))
    return "\n".join([page, f"Status: {counted.status}", *(f"Note: {note}" for note in counted.notes)])
