"""The commands about what a network is like, and what can be made of it."""

import argparse
import os
from collections.abc import Callable
from typing import Any, cast

from archcalc.cli.common import as_json, format_of, keep_the_model, model_of, width, write
from archcalc.dialects import yaml_fold, yaml_write
from archcalc.dialects.sources import PYTHON
from archcalc.errors import CannotRun, ModelError, UsageError
from archcalc.model.sizes import parse
from archcalc.questions.convolutional import Sliding, sliding
from archcalc.questions.model import Model
from archcalc.questions.wiring import Transform
from archcalc.views import properties as views
from archcalc.views import transform as transform_views

MAKERS: dict[str, Callable[[Model, Any], Transform]] = {
    "fully-convolutional": lambda model, size: model.fully_convolutional(size),
    "collapsed": lambda model, size: model.collapsed(input=size),
    "dense": lambda model, size: model.collapsed("dense", size),
    "folded": lambda model, _: model.folded(),
    "separable": lambda model, _: model.separable(),
}


def properties(options: argparse.Namespace) -> int:
    """Print what the layers and the whole are like."""
    keep_the_model(options)
    size = parse(options.input) if options.input is not None else None
    found = model_of(options).properties(options.layer, size)
    as_data = options.format == "json" or format_of(options.output) == "json"
    write(as_json(found.to_dict()) if as_data else views.text(found, width()), options.output)
    return 0


def convert(options: argparse.Namespace) -> int:
    """Write the spec of what is made of a network."""
    keep_the_model(options)
    _check(options)
    model = model_of(options)
    if options.to in (None, "blocks"):
        write(_same(model, options), options.output)
        return 0
    made = MAKERS[options.to](model, parse(options.input) if options.input is not None else None)
    beside = sliding(made, parse(options.at)) if options.at is not None else None
    if options.weights is not None:
        _carry(made, options.weights, options.weights_to)
    as_data = options.format == "json" or format_of(options.output) == "json"
    write(as_json(_data(made, beside)) if as_data else _spec(made, beside), options.output)
    return 0


def _same(model: Model, options: argparse.Namespace) -> str:
    """The spec of the network itself: its own text in one style, or by its layers where it has none."""
    if options.to is None and yaml_write.text_of(model) is not None:
        return yaml_write.rewritten(model)
    return yaml_fold.folded(model, f"read from {os.path.basename(options.model)} by archcalc convert")


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.at is not None and options.to != "fully-convolutional":
        raise UsageError("--at", "goes with --to fully-convolutional", f"--to {options.to or 'nothing'}")
    size = options.input and not options.model.startswith(PYTHON)  # Python code is traced at a size
    if options.to in (None, "blocks") and (size or options.format or options.weights):
        which = "without --to" if options.to is None else "--to blocks"
        raise UsageError("convert", f"{which} takes no --input, --json or --weights", "one of them")
    if (options.weights is None) != (options.weights_to is None):
        raise UsageError("--weights", "goes with --weights-to, the file for the new ones", "one of them")
    files = [options.weights_to, options.output, options.weights, options.model]
    paths = [os.path.realpath(path) for path in files if path]
    if options.weights_to is not None and len(set(paths)) < len(paths):
        raise UsageError("--weights-to", "must be a file of its own", options.weights_to)


def _spec(made: Transform, beside: Sliding | None) -> str:
    """The new spec under a few remarks."""
    remarks = yaml_write.commented(transform_views.remarks(made, beside))
    return f"{remarks}\n{_text(made)}"


def _text(made: Transform) -> str:
    name = f"{made.before.name}_{made.name.replace('-', '_')}"
    return yaml_write.changed(cast(Model, made.before), cast(Model, made.after), name)


def _data(made: Transform, beside: Sliding | None) -> dict[str, Any]:
    more = {} if beside is None else {"sliding": beside.to_dict()}
    return {**made.to_dict(), **more, "spec": _text(made)}


def _carry(made: Transform, source: str, target: str) -> None:
    """Read weights, carry them over, and write the new ones whole."""
    try:
        import torch

        from archcalc.dialects.torch_weights import carry
    except ModuleNotFoundError as error:
        raise CannotRun("torch", "needs PyTorch", str(error), way_out="pip install 'archcalc[torch]'") from None
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes of the reader
        raise ModelError("--weights", "must be a file of tensors", f"{source}: {type(error).__name__}") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ModelError("--weights", "must be a state_dict: names and tensors", source)
    part = f"{os.path.realpath(target)}.{os.getpid()}.part"
    made_state = carry(made, state)
    try:
        torch.save(made_state, part)
        os.replace(part, target)
    except (OSError, RuntimeError) as error:
        if os.path.exists(part):
            os.unlink(part)
        raise UsageError("--weights-to", "must be a file that can be written", f"{target}: {error}") from None
