"""`py:package.module:callable`: a PyTorch module made by Python code that the user names; that code is run."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from archcalc.errors import ArchcalcError, CannotRun, ModelError, UsageError, nearest
from archcalc.model.sizes import Sizes, numbers_of, parse
from archcalc.questions.model import Model

EXAMPLE = "such as py:torchvision.models:resnet50 --input 3x224x224"


def load(path: str, settings: Mapping[str, Any], input: Sizes | Mapping[str, Sizes] | None = None) -> Model:
    """The model of what a callable returns for these settings, or of a module that stands there; `@SIZE` may follow.

    Its parameters are made on the meta device where its code allows it: they take no memory.
    """
    path, at, size = path.partition("@")
    given = parse([size]) if at else input
    if given is None:
        raise UsageError("py", "needs the size of an input, with the channels", "none", way_out=f"{EXAMPLE}")
    with _aside():
        module = _made(path, settings)
        return _imported(module, given, path.rpartition(":")[2])


@contextlib.contextmanager
def _aside() -> Iterator[None]:
    """Code of the user's may print: standard output is for the result. It may also import from where the user is."""
    sys.path.insert(0, os.getcwd())
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path.remove(os.getcwd()) if os.getcwd() in sys.path else None


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError as error:
        raise CannotRun("torch", "needs PyTorch", str(error), way_out="pip install 'archcalc[torch]'") from None


def _made(path: str, settings: Mapping[str, Any]) -> Any:
    """The module: what the name stands for, or what it returns."""
    torch = _torch()
    found = _found(path)
    if isinstance(found, torch.nn.Module):
        if settings:
            raise UsageError("--set", "are arguments of a callable", f"{path} is a module")
        return found
    if not callable(found):
        raise ModelError("py", "must name a module, or what makes one", f"{path} is {type(found).__name__}")
    errors = []
    for device in ("meta", "cpu"):  # what reads values while it is made cannot be made on meta
        try:
            with torch.device(device):
                made = found(**settings)
            break
        except (Exception, SystemExit) as error:
            errors.append(error)
    else:
        given = f"it is called with {', '.join(settings)}"
        way_out = given if settings else "its arguments are given by --set NAME=VALUE"
        raise ModelError("py", f"{path} must make a module", said(errors[-1]), way_out=way_out)
    if not isinstance(made, torch.nn.Module):
        raise ModelError("py", f"{path} must make a torch.nn.Module", type(made).__name__)
    return made


def _found(path: str) -> Any:
    """What stands at package.module:name."""
    where, colon, name = path.partition(":")
    if not colon or not where or not name:
        raise UsageError("py", "must be package.module:callable", repr(path), way_out=EXAMPLE)
    try:
        found = importlib.import_module(where)
    except (Exception, SystemExit) as error:  # whatever the user's code does while it is imported
        raise ModelError("py", f"{where} must be importable", said(error)) from None
    for part in name.split("."):
        if not hasattr(found, part):
            near = nearest(part, [name for name in dir(found) if not name.startswith("_")])
            raise ModelError("py", f"{where} has no {part}", path, way_out=near if "did you" in near else "")
        found = getattr(found, part)
    return found


def _imported(module: Any, given: Sizes | Mapping[str, Sizes], name: str) -> Model:
    """Traced at this size: with numbers, and if that fails, with indices where an input is one sequence."""
    from archcalc.dialects.torch_import import from_torch

    sizes = {key: numbers_of(size) for key, size in given.items()} if isinstance(given, Mapping) else numbers_of(given)
    attempts = [False, True] if any(len(item) == 1 for item in _each(sizes)) else [False]
    error: ArchcalcError | None = None
    for indices in attempts:
        try:
            return from_torch(module, _examples(sizes, indices), name=name)
        except ModelError as raised:
            error = error or raised
    raise error or AssertionError


def _each(sizes: Any) -> list[tuple[int, ...]]:
    return list(sizes.values()) if isinstance(sizes, dict) else [sizes]


def _examples(sizes: Any, indices: bool) -> Any:
    """Tensors of these sizes without memory, a batch of one in front."""
    torch = _torch()

    def example(size: tuple[int, ...]) -> Any:
        dtype = torch.int64 if indices and len(size) == 1 else torch.float32
        return torch.empty((1, *size), dtype=dtype, device="meta")

    return {name: example(size) for name, size in sizes.items()} if isinstance(sizes, dict) else (example(sizes),)


def said(error: BaseException) -> str:
    """An error of somebody else's code in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
