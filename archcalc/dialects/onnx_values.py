"""What stands for a tensor while an ONNX file is read: its shape, the node that makes it, and small contents."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

from msgspec import Struct

from archcalc.algebra.num import LIMIT, prod
from archcalc.errors import ModelError
from archcalc.layers.layer import Shape, shown

HUGE = 2**80  # beyond every format of whole numbers
FEW = 16  # fractions of a content: scales and bounds; more of them are weights
MOST = 10_000  # numbers of a content: shapes and indices are small
RANK = 15  # axes of one tensor


class Format(Struct, frozen=True):
    """A number format of ONNX: our name for it, bits of a value, how it is packed, and whether it is a fraction."""

    name: str | None
    bits: int
    packed: str = ""  # as `struct` calls it; empty where contents are not read
    real: bool = False


FORMATS = {
    1: Format("float32", 32, "f", real=True),
    2: Format("uint8", 8, "B"),
    3: Format("int8", 8, "b"),
    4: Format("int16", 16, "H"),
    5: Format("int16", 16, "h"),
    6: Format("int32", 32, "i"),
    7: Format("int64", 64, "q"),
    8: Format(None, 0),  # text
    9: Format("bool", 8, "?"),
    10: Format("float16", 16, "e", real=True),
    11: Format("float64", 64, "d", real=True),
    12: Format("int32", 32, "I"),
    13: Format("int64", 64, "Q"),
    14: Format("float64", 64, real=True),  # complex numbers
    15: Format("float64", 128, real=True),
    16: Format("bfloat16", 16, real=True),
    **dict.fromkeys((17, 18, 19, 20, 24), Format("float8", 8, real=True)),
    21: Format("int4", 4),
    22: Format("int4", 4),
    23: Format("int4", 4, real=True),
    25: Format("int4", 2),
    26: Format("int4", 2),
}
OTHER = Format(None, 0)  # not said, or newer than this list
FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 12: "uint64_data", 13: "uint64_data"}  # else int32_data


class Numbers(Struct, frozen=True):
    """A small tensor's content; what follows the inputs' sizes stays an expression over them."""

    shape: tuple[int, ...]
    items: tuple[Any, ...]
    real: bool = False

    def picked(self, shape: Sequence[int], offsets: Sequence[int]) -> "Numbers":
        """A tensor of some of the numbers, by their places."""
        return Numbers(tuple(shape), tuple(self.items[offset] for offset in offsets), self.real)

    def along(self, position: int, kept: Sequence[int]) -> "Numbers":
        """The cells at some places of one axis."""
        before, n, behind = prod(self.shape[:position]), self.shape[position], prod(self.shape[position + 1 :])
        offsets = [(i * n + at) * behind + j for i in range(before) for at in kept for j in range(behind)]
        return self.picked((*self.shape[:position], len(kept), *self.shape[position + 1 :]), offsets)

    def permuted(self, order: Sequence[int]) -> "Numbers":
        """The tensor with its axes in another order."""
        steps = strides(self.shape)
        shape = [self.shape[axis] for axis in order]
        return self.picked(shape, list(walked(shape, [steps[axis] for axis in order])))

    def repeated(self, shape: Sequence[int]) -> "Numbers":
        """The tensor with axes of size 1 repeated, and axes in front."""
        own = (1,) * (len(shape) - len(self.shape)) + self.shape
        steps = [0 if n == 1 else step for n, step in zip(own, strides(own), strict=True)]
        return self.picked(shape, list(walked(shape, steps)))

    def reshaped(self, shape: Sequence[int]) -> "Numbers":
        """The same numbers in another shape."""
        return Numbers(tuple(shape), self.items, self.real)


def strides(shape: Sequence[int]) -> list[int]:
    """How far apart neighbours along each axis lie."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def walked(shape: Sequence[int], steps: Sequence[int]) -> Iterator[int]:
    """The places of all cells, in order, where axes have these strides."""
    for cell in product(*map(range, shape)):
        yield sum(at * step for at, step in zip(cell, steps, strict=True))


def elementwise(function: Callable[..., Any], *args: Numbers, real: bool | None = None) -> Numbers | None:
    """A function of the numbers, cell by cell, with broadcasting; None where the shapes do not fit or are too large."""
    rank = max(len(arg.shape) for arg in args)
    padded = [(1,) * (rank - len(arg.shape)) + arg.shape for arg in args]
    shape = tuple(next((n for n in sizes if n != 1), 1) for sizes in zip(*padded, strict=True))
    if prod(shape) > MOST or any(n not in (1, size) for own in padded for n, size in zip(own, shape, strict=True)):
        return None
    columns = [arg.repeated(shape).items for arg in args]
    items = tuple(function(*cells) for cells in zip(*columns, strict=True))
    if any(isinstance(item, int) and abs(item) > HUGE for item in items):
        return None
    return Numbers(shape, items, any(arg.real for arg in args) if real is None else real)


class Value(Struct, frozen=True):
    """A tensor: what is known of it where it stands in the graph."""

    shape: Shape | None  # None: not known
    node: str | None = None  # the node that makes it; none: it is given by the file alone, or follows from sizes
    numbers: Numbers | None = None  # its content, where that is small and known
    tensor: str | None = None  # the initialiser whose values it holds, all of them, in whatever order
    dtype: str | None = None  # where it is not what the model computes in

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return len(self.shape or ())

    @property
    def sizes(self) -> Shape:
        """Its shape, where that is known."""
        return self.shape if self.shape is not None else ()

    @property
    def constant(self) -> bool:
        """Does it not depend on what the inputs hold?"""
        return self.node is None

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return prod(self.sizes)

    @property
    def learned(self) -> bool:
        """Is it a weight: a tensor of the file with more than one value that is no index?"""
        return self.tensor is not None and self.elements > 1


def content(numbers: Sequence[Any], shape: Sequence[int] | None = None, *, real: bool = False) -> Value:
    """A constant of a known content, by default a list."""
    shape = (len(numbers),) if shape is None else tuple(shape)
    return known(Numbers(tuple(shape), tuple(numbers), real))


def known(numbers: Numbers) -> Value:
    """A constant of a known content."""
    return Value(numbers.shape, None, numbers, None, None if numbers.real else "int64")


def tensor_value(tensor: Any, name: str | None, file: str) -> Value:
    """An initialiser, or the value of an attribute; contents are read where they are small and in the file."""
    subject = f"tensor {tensor.name or name or ''}".strip()
    shape = tuple(tensor.dims)
    if len(shape) > RANK or any(not 0 <= n <= LIMIT for n in shape) or prod(shape) > LIMIT:
        rule = f"must have at most {RANK} axes, and sizes from 0 to 10**18"
        raise ModelError(subject, rule, shown(shape), where=file)
    form = FORMATS.get(tensor.data_type, OTHER)
    numbers = _content(tensor, form, shape, subject, file)
    real = form.real or form.name is None
    return Value(shape, None, numbers, name if real else None, form.name if form.name != "float32" else None)


def _content(tensor: Any, form: Format, shape: Shape, subject: str, file: str) -> Numbers | None:
    """The numbers of a tensor, where they are small; a tensor with fewer than its shape says is refused."""
    count = prod(shape)
    if tensor.data_location == 1 or not form.bits:  # in another file, which is not opened
        return None
    raw, wanted = tensor.raw_data, -(-count * form.bits // 8)
    items = None if raw else getattr(tensor, FIELDS.get(tensor.data_type, "int32_data"))
    given = len(raw) if items is None else len(items)
    least = wanted if items is None else -(-count * min(form.bits, 32) // 32) if form.bits < 8 else count
    if 0 < given < least:
        got = f"{given:,} of {least:,} {'bytes' if items is None else 'numbers'}"
        raise ModelError(subject, "its data must be as long as its shape says", got, where=file)
    if count > (FEW if form.real else MOST) or (given == 0 and count) or not form.packed:
        return None
    if items is None:
        return Numbers(shape, struct.unpack(f"<{count}{form.packed}", raw[:wanted]), form.real)
    numbers = tuple(items[:count])
    if form.packed == "e":
        numbers = struct.unpack(f"<{count}e", struct.pack(f"<{count}H", *(n & 0xFFFF for n in numbers)))
    return Numbers(shape, numbers, form.real)


def whole(number: Any) -> bool:
    """Is it a number of a content that can stand where a whole number is asked for?"""
    if isinstance(number, float):
        return math.isfinite(number) and number.is_integer()
    return True
