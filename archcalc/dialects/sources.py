"""Where models come from: a spec, the zoo, an ONNX or Keras file, or Python code that makes a PyTorch module."""

import os
from collections.abc import Mapping
from typing import Any

from archcalc.dialects import yaml
from archcalc.errors import UsageError
from archcalc.model.sizes import Sizes
from archcalc.questions.model import Model

PYTHON = "py:"


def load(
    path: str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    input: Sizes | Mapping[str, Sizes] | None = None,
) -> Model:
    """The model in a file, in `zoo:NAME`, on standard input (`-`), or of `py:package.module:callable`.

    Files are specs (YAML), ONNX networks (.onnx) or Keras configurations (.keras, .json). `settings` replace values of
    a spec's `set:`, and are arguments of a Python callable. `input` is the size at which Python code is traced; it may
    stand in the path, as in `py:torchvision.models:resnet50@3x224x224`.

    Raises ModelError (or Problems, when there are several) for what is wrong with the file, UsageError for a setting
    that it does not have, CannotRun where a package is missing that reading it needs.
    """
    path = os.fspath(path)
    if path.startswith(PYTHON):
        from archcalc.dialects import python_path

        return python_path.load(path.removeprefix(PYTHON), settings or {}, input)
    reader = {".onnx": _onnx, ".keras": _keras, ".json": _keras}.get(os.path.splitext(path)[1].lower())
    if reader is None or path.startswith("zoo:"):
        return yaml.load(path, settings)
    if settings:
        rule = "are values of a spec's set:, which this file does not have"
        raise UsageError("--set", rule, ", ".join(settings), way_out="archcalc convert writes a spec to edit")
    return reader(path)


def _onnx(path: str) -> Model:
    from archcalc.dialects import onnx_read

    return onnx_read.read_file(path)


def _keras(path: str) -> Model:
    from archcalc.dialects import keras_read

    return keras_read.read_file(path)
