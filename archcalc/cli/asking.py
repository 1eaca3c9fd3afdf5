"""The commands that ask for more than one size: formulas, derivations, sweeps, the largest size, differences."""

import argparse
import contextlib
import os
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, progress, say, size_of, width, write
from archcalc.errors import UsageError
from archcalc.model.sizes import full_shapes
from archcalc.questions.model import Model
from archcalc.questions.quantities import USUAL, wanted
from archcalc.views.notebook import document

LANGUAGES = ("text", "ascii", "latex", "python", "js", "json")
HELD = 1_000_000  # points of a sweep in a format that is made at once


def formula(options: argparse.Namespace) -> int:
    """Print quantities of a model as closed forms."""
    from archcalc.questions.closed_form import Derivation
    from archcalc.views import formula as views

    of = wanted("--of", options.of, USUAL)
    keep_the_model(options)
    symbols = listed("--symbols", None if options.symbols is None else ",".join(options.symbols))
    derivation = Derivation(model_of(options), symbols, options.assume, **size_of(options))
    outputs = derivation.model.outputs
    several = "output" in of and options.layer is None and len(outputs) > 1
    forms = [derivation.form("output", output) for output in outputs] if several else []
    forms += [derivation.form(name, options.layer) for name in of if not (several and name == "output")]
    style = options.format or format_of(options.output)
    if style not in LANGUAGES:
        raise UsageError("--format", f"must be one of {', '.join(LANGUAGES)}", style)
    if style == "json":
        page = as_json([form.to_dict() for form in forms] if len(forms) > 1 else forms[0].to_dict())
    elif style == "text":
        page = views.page(forms, width())
    else:
        page = views.program(forms, style) if style in ("python", "js") else views.lines(forms, style)
    write(page, options.output)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print how every number is made, or judge numbers that somebody claims."""
    from archcalc.views import explain as views

    keep_the_model(options)
    model, size = model_of(options), size_of(options)
    if options.claim:
        return _judged(options, model, size)
    found = model.explain(layer=options.layer, **size)
    style = options.format or format_of(options.output)
    if style not in ("text", "json", "markdown", "latex", "html"):
        raise UsageError("--format", "must be text, json, markdown, latex or html", style)
    page = views.text(found, width()) if style == "text" else as_json(found.to_dict()) if style == "json" else ""
    page = page or getattr(views, style)(found)
    write(document(found.model, page) if style == "html" else page, options.output)
    return 0


def _judged(options: argparse.Namespace, model: Model, size: dict[str, Any]) -> int:
    from archcalc.questions.slips import judge

    shapes = full_shapes(model.inputs, size["input"], size["batch"])
    found = []
    for claim in options.claim:
        target, equals, value = claim.partition("=")
        if not equals or not target.strip() or not value.strip():
            way_out = "such as conv2.params=3600, or params=9k"
            raise UsageError("--claim", "must be LAYER.QUANTITY=VALUE", repr(claim), way_out=way_out)
        if target.strip().endswith("flops") and size["convention"] != "archcalc":
            rule = "of FLOPs is judged under the convention archcalc"
            raise UsageError("--claim", rule, size["convention"], way_out="claim macs, or mul and add")
        found.append(judge(model, target.strip(), value.strip(), shapes, size["dtype"]))
    as_data = options.format == "json"
    write(as_json([verdict.to_dict() for verdict in found]) if as_data else "\n".join(map(str, found)), options.output)
    return 0 if all(verdict.holds for verdict in found) else 4


def sweep(options: argparse.Namespace) -> int:
    """Print or write quantities over a grid."""
    from archcalc.questions.sweep import settings_of
    from archcalc.views import sweep as views

    keep_the_model(options)
    asked = {name: getattr(options, name) for name in ("dtype", "convention", "sample", "seed")}
    asked["batch"] = ",".join(options.batch or ["1"])
    settings = settings_of(options.set)
    options.set = []
    show = partial(progress, unit="networks")
    found = model_of(options).sweep(_one_by_one(options.input), settings=settings, of=options.of, show=show, **asked)
    style = options.format or format_of(options.output)
    if style not in ("text", "csv") and found.points > HELD:
        raise UsageError(
            f"--format {style}", f"holds at most {HELD:,} points", f"{found.points:,}", way_out="--format csv"
        )
    if options.plot:
        views.check_plot(found, options.plot)
    if style == "csv" and (not options.plot or options.format or options.output):
        _write_csv(found, options.output)
    elif not options.plot or options.format or options.output:
        page = as_json(found.to_dict()) if style == "json" else ""
        page = page or (views.text(found) if style == "text" else views.markup(found, style))
        write(document(found.model, page) if style == "html" else page, options.output)
        _say_refused(found, sum(int((~chunk["legal"]).sum()) for chunk in found.chunks()))
    if options.plot:
        views.plot(found, options.plot)
    return 0


def _one_by_one(inputs: Sequence[str] | None) -> list[str] | None:
    """`left=64x64,right=32` as two texts: a comma before a name begins another input."""
    if inputs is None:
        return None
    return [part for text in inputs for part in re.split(r",(?=[A-Za-z_])", text)]


def _write_csv(found: Any, path: str | None) -> None:
    from archcalc.views import sweep as views

    bar = progress(None, "points", total=found.points)
    with contextlib.closing(bar):
        if path is not None and path != "-":
            refused = found.write(os.path.realpath(path), bar.update)
        else:
            print(",".join(found.columns))
            refused = 0
            for lines, without in views.csv_lines(found, shown=bar.update):
                print(lines, end="")
                refused += without
    _say_refused(found, refused)


def _say_refused(found: Any, refused: int) -> None:
    if refused:
        say(f"sweep: the model refuses {refused:,} of {found.points:,} points; their costs are left empty")


def solve(options: argparse.Namespace) -> int:
    """Print the largest input, batch or hyperparameter within limits, and how it is known."""
    keep_the_model(options)
    as_data = options.json or format_of(options.output) == "json"
    limits = {"aspect": options.aspect, "multiple": options.multiple, **size_of(options)}
    found = model_of(options).solve(options.max, options.subject_to, **limits)
    write(as_json(found.to_dict()) if as_data else found.text(), options.output)
    return 0 if found.holds is not None else 4


def diff(options: argparse.Namespace) -> int:
    """Print what differs between two models, or between one model at two sizes or settings."""
    from archcalc.questions.diff import compare

    others = (options.input_b, options.batch_b, options.dtype_b)
    if options.b is None and not options.set_b and all(other is None for other in others):
        way_out = "name a second MODEL, or give --set-b, --input-b, --batch-b or --dtype-b"
        raise UsageError("diff", "needs something to compare with", "one model", way_out=way_out)
    other = argparse.Namespace(**vars(options))
    keep_the_model(options)
    keep_the_model(argparse.Namespace(model=options.b, output=options.output))
    other.model, other.set = options.b or options.model, options.set if options.b is None else []
    given = {
        name: value for name in ("input", "batch", "dtype") if (value := getattr(options, f"{name}_b")) is not None
    }
    vars(other).update(given)
    other.set = _overridden(other.set, options.set_b)
    first, second = model_of(options), model_of(other)
    before = first.report(depth=options.depth, **size_of(options))
    found = compare(before, second.report(depth=options.depth, **size_of(other)), (first.settings, second.settings))
    style = options.format or format_of(options.output)
    if style not in ("text", "markdown", "json"):
        raise UsageError("--format", "must be text, markdown or json", style)
    page = as_json(found.to_dict()) if style == "json" else ""
    write(page or (found.markdown() if style == "markdown" else found.text(width())), options.output)
    return 0


def _overridden(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Settings of which the second replace the first of the same name."""
    named = {text.partition("=")[0] for text in second}
    return [text for text in first if text.partition("=")[0] not in named] + list(second)


def listed(option: str, text: str | None) -> list[str] | None:
    """Names separated by commas; None where the option is not given."""
    if text is None:
        return None
    names: Sequence[str] = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(option, "must be names separated by commas", repr(text))
    return list(names)
