"""The spec language: a YAML file as a Model, with every mistake in it named by file, line and column."""

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from archcalc.dialects.yaml_spec import Spec
from archcalc.dialects.yaml_text import BYTES
from archcalc.errors import ModelError, nearest
from archcalc.questions.model import Model

ZOO = os.path.join(os.path.dirname(os.path.dirname(__file__)), "zoo")


def load(path: str | os.PathLike[str], settings: Mapping[str, Any] | None = None) -> Model:
    """The model in a file, in `zoo:NAME`, or on standard input (`-`), with some of its `set:` values replaced.

    Raises ModelError (or Problems, when there are several) for what is wrong with the file, UsageError for a setting
    that the file does not have.
    """
    path = os.fspath(path)
    if path == "-":
        if sys.stdin is None:
            raise ModelError("model", "must be readable", "standard input, which is closed")
        return loads(_decoded(sys.stdin.buffer.read(BYTES + 1), "standard input"), "standard input", settings)
    if path.startswith("zoo:"):
        name = path.removeprefix("zoo:")
        if name not in zoo_names():
            raise ModelError(
                "zoo", "has no such model", name, way_out=nearest(name, zoo_names()) or "see: archcalc zoo"
            )
        file = f"zoo/{name}.yaml"
        return loads(_decoded(_contents(os.path.join(ZOO, f"{name}.yaml")), file), file, settings)
    return loads(_decoded(_contents(path), path), path, settings)


def loads(text: str, file: str = "spec", settings: Mapping[str, Any] | None = None) -> Model:
    """The model that a text describes; `file` is what errors call it."""
    given = dict(settings or {})
    model = Spec(text, file).model(given)
    return replace(model, reread=partial(_again, text, file, given))


def _again(text: str, file: str, given: Mapping[str, Any], settings: Mapping[str, Any]) -> Model:
    """The same text with further settings."""
    return loads(text, file, {**given, **settings})


def zoo_names() -> list[str]:
    """The models that come along, for `zoo:NAME`."""
    return sorted(name.removesuffix(".yaml") for name in os.listdir(ZOO) if name.endswith(".yaml"))


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(BYTES + 1)
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        if path in zoo_names():
            near = f"did you mean zoo:{path}?"
        raise ModelError("model", "no such file", path, way_out=near) from None
    except IsADirectoryError:
        raise ModelError("model", "must be a file", f"the directory {path}") from None
    except (OSError, ValueError) as error:
        raise ModelError("model", "must be readable", f"{path}: {getattr(error, 'strerror', None) or error}") from None


def _decoded(data: bytes, file: str) -> str:
    if len(data) > BYTES:
        raise ModelError("model", f"a spec must have at most {BYTES // 2**20} MiB", file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"the byte 0x{data[error.start]:02x}"
        before = data[: error.start]
        where = f"{file}:{before.count(10) + 1}:{len(before) - before.rfind(10)}"
        raise ModelError("model", "must be UTF-8 text", got, where=where) from None
