"""Input sizes as users give them: `1024x1024`, `3x224x224`, `784`, `name=…`; made into full shapes with a batch."""

import re
from collections.abc import Mapping, Sequence
from operator import index

from archcalc.algebra.num import LIMIT
from archcalc.errors import UsageError, nearest
from archcalc.layers.layer import Shape, shown
from archcalc.model.graph import Input

Sizes = Sequence[int] | int | str


def full_shapes(inputs: Mapping[str, Input], given: Sizes | Mapping[str, Sizes] | None, batch: int) -> dict[str, Shape]:
    """Shapes (batch, channels, *axes) of all inputs, the given sizes in place of the model's own."""
    batch = whole_number("batch", batch)
    named = _named(inputs, given)
    return {name: (batch, *_resized(name, item.shape, named.get(name))) for name, item in inputs.items()}


def parse(texts: Sequence[str]) -> str | dict[str, str]:
    """What one or several `--input` options say: one size, or sizes by name."""
    pieces = [piece for text in texts for piece in text.split(",")]
    if len(pieces) == 1 and "=" not in pieces[0]:
        return pieces[0]
    named = {}
    for piece in pieces:
        name, equals, size = piece.partition("=")
        if not equals or name in named:
            rule = "several inputs are given as name=size, each once"
            raise UsageError("--input", rule, repr(piece), way_out="such as --input image=224x224,mask=56x56")
        named[name] = size
    return named


def _named(inputs: Mapping[str, Input], given: Sizes | Mapping[str, Sizes] | None) -> dict[str, Sequence[int]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(inputs) != 1:
            rule = f"this model has {len(inputs)} inputs, name each size"
            raise UsageError("--input", rule, str(given), way_out=f"{', '.join(f'{name}=…' for name in inputs)}")
        given = {next(iter(inputs)): given}
    for name in given:
        if name not in inputs:
            raise UsageError("--input", "must name an input of the model", repr(name), way_out=nearest(name, inputs))
    return {name: numbers_of(sizes) for name, sizes in given.items()}


def numbers_of(sizes: Sizes) -> tuple[int, ...]:
    """Sizes as numbers."""
    if isinstance(sizes, int):
        sizes = [sizes]
    if isinstance(sizes, str):
        if not re.fullmatch(r"[0-9]{1,30}(x[0-9]{1,30})*", sizes):
            better = re.sub(r"[ ,;*×X:/]+", "x", sizes.strip())
            way_out = f"did you mean {better}?" if re.fullmatch("[0-9]+(x[0-9]+)*", better) else ""
            raise UsageError("--input", "must be sizes joined by x, such as 1024x1024", repr(sizes), way_out=way_out)
        sizes = [int(number) for number in sizes.split("x")]
    return tuple(whole_number("--input", number) for number in sizes)


def whole_number(what: str, number: int) -> int:
    """A size that is given, if it is a whole number within the limits."""
    try:
        whole = index(number)
    except TypeError:
        raise UsageError(what, "must be whole numbers", repr(number)) from None
    if not 1 <= whole <= LIMIT:
        raise UsageError(what, "must be at least 1 and at most 10**18", f"{whole}")
    return whole


def _resized(name: str, shape: Shape, numbers: Sequence[int] | None) -> Shape:
    if numbers is None:
        return shape
    if len(numbers) == len(shape):
        return tuple(numbers)
    if len(numbers) == len(shape) - 1:
        return (shape[0], *numbers)
    axes = len(shape) - 1
    rule = f"input {name} ({shown(shape)}) takes {axes} sizes, or {axes + 1} with the channels first"
    if axes == 0:
        rule = f"input {name} ({shown(shape)}) takes one size"
    raise UsageError("--input", rule, f"{len(numbers)}: {shown(numbers)}")
