"""Contents of small tensors computed while a file is read: the arithmetic on shapes that exporters write out."""

import math
import operator
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

from archcalc.algebra.num import prod
from archcalc.dialects.onnx_extent import Lost, follows, greater, lesser, worth
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import MOST, Numbers, Value, content, elementwise, known, strides
from archcalc.errors import ArchcalcError


def folded(op: Op) -> Value | None:
    """The output of an operator whose inputs' contents are known; None where it is not computed here."""
    function = FOLDS.get(op.kind)
    if function is None or any(value is not None and value.numbers is None for value in op.inputs):
        return None
    try:
        return function(op)
    except ArchcalcError:
        raise
    except (Lost, ArithmeticError, ValueError, TypeError, IndexError, NotUnderstood):
        return None  # not a number that stands for a size


def numbers_of(op: Op, count: int) -> list[Numbers]:
    """The contents of the first inputs."""
    values = [op.value(number) for number in range(count)]
    return [value.numbers for value in values if value.numbers is not None]


def by_cell(function: Callable[..., Any], count: int, real: bool | None = None) -> Callable[[Op], Value | None]:
    """An operator that goes cell by cell."""

    def fold(op: Op) -> Value | None:
        made = elementwise(function, *numbers_of(op, count), real=real)
        return None if made is None else known(made)

    return fold


def divided(op: Op) -> Value | None:
    """Whole numbers are divided towards zero."""
    args = numbers_of(op, 2)
    real = any(arg.real for arg in args)
    made = elementwise(quotient if real else towards_zero, *args)
    return None if made is None else known(made)


def quotient(a: Any, b: Any) -> Any:
    """A quotient of fractions; of whole numbers that divide, a whole number."""
    return a // b if type(a) is type(b) is int and b and a % b == 0 else a / b


def towards_zero(a: Any, b: Any) -> Any:
    """A quotient of whole numbers."""
    return a // b if (worth(a) < 0) == (worth(b) < 0) or worth(a) == 0 else -(-a // b)


def remainder(op: Op) -> Value | None:
    """The rest of whole numbers, with the divisor's sign."""
    made = None if op.whole("fmod", 0) else elementwise(operator.mod, *numbers_of(op, 2))
    return None if made is None else known(made)


def raised(a: Any, b: Any) -> Any:
    """A power with a small exponent."""
    if follows(b) or abs(b) > 64 or (isinstance(a, int) and abs(a) > 10**18):
        raise ValueError
    if isinstance(a, float) or not float(b).is_integer():
        return lost() if follows(a) else float(a) ** b
    return prod([a] * int(b)) if b >= 0 else lost()


def lost() -> Any:
    """A number that cannot be said."""
    raise Lost


def rounded(function: Callable[[Any], int], up: bool) -> Callable[[Any], Any]:
    """A rounding that also takes what follows the inputs' sizes."""

    def apply(number: Any) -> Any:
        if follows(number):
            return -(-number // 1) if up else number // 1
        return function(number)

    return apply


def rooted(number: Any) -> Any:
    """A square root of a plain number."""
    return math.sqrt(number) if not follows(number) else lost()


def size(op: Op) -> Value:
    """How many values there are."""
    return content((op.value(0).elements,), ())


def shape(op: Op) -> Value:
    """A tensor's shape, or a part of it."""
    sizes = op.value(0).sizes
    return content(sizes[slice(op.whole("start", 0), op.attribute("end", "i", (2,)))])


def gathered(op: Op) -> Value | None:
    """Cells along an axis, by their places."""
    data, indices = numbers_of(op, 2)
    position, n = op.axis(len(data.shape), 0), 0
    n = data.shape[position]
    places = [int(at) + n if int(at) < 0 else int(at) for at in indices.items]
    if any(not 0 <= at < n for at in places):
        raise op.error("indices must lie within the axis", f"{list(map(worth, indices.items[:10]))} of {n}")
    if prod(data.shape) // max(n, 1) * len(places) > MOST:
        return None
    made = data.along(position, places)
    return known(made.reshaped((*data.shape[:position], *indices.shape, *data.shape[position + 1 :])))


def sliced(op: Op) -> Value | None:
    """Some cells of some axes."""
    (data,) = numbers_of(op, 1)
    starts, ends = op.setting("starts", 1, 10) or (), op.setting("ends", 2, 10) or ()
    axes, steps = op.setting("axes", 3, 10), op.numbers(4) if op.version >= 10 else None
    ones = (1,) * len(starts)
    every = zip(starts, ends, axes or range(len(starts)), steps or ones, strict=True)
    for start, end, axis, step in every:
        position = op.position(axis, len(data.shape))
        cut = slice(bounded(start), bounded(end), int(step))
        data = data.along(position, range(data.shape[position])[cut])
    return known(data)


def bounded(place: Any) -> int:
    """A place of a slice, no further than any content goes."""
    return int(min(max(worth(place), -(2**31)), 2**31))


def joined(op: Op) -> Value | None:
    """Contents side by side."""
    parts = numbers_of(op, len(op.inputs))
    position = op.axis(len(parts[0].shape))
    if any(len(part.shape) != len(parts[0].shape) for part in parts) or sum(len(part.items) for part in parts) > MOST:
        return None
    before = prod(parts[0].shape[:position])
    rows = [[part.items[len(part.items) // before * row : len(part.items) // before * (row + 1)] for part in parts]
            for row in range(before)] if before else []  # fmt: skip
    items = tuple(item for row in rows for piece in row for item in piece)
    length = sum(part.shape[position] for part in parts)
    made = (*parts[0].shape[:position], length, *parts[0].shape[position + 1 :])
    return known(Numbers(made, items, parts[0].real)) if prod(made) == len(items) else None


def filled(op: Op) -> Value | None:
    """One number everywhere."""
    wanted = op.numbers(0) or ()
    value = op.constant("value")
    if any(not 0 <= worth(n) <= 10**18 for n in wanted):
        raise op.error("sizes must be from 0 to 10**18", f"{list(map(worth, wanted[:15]))}")
    plain = not any(map(follows, wanted)) and prod(wanted) <= MOST
    number = 0.0 if value is None else value.numbers.items[0] if value.numbers and value.numbers.items else None
    real = value is None or (value.numbers is not None and value.numbers.real)
    numbers = Numbers(tuple(wanted), (number,) * prod(wanted), real) if plain and number is not None else None
    return Value(tuple(wanted), None, numbers, None, None if value is None else value.dtype)


def ranged(op: Op) -> Value | None:
    """Numbers from a start to a limit; where there are many, only how many."""
    start, limit, step = (arg.items[0] for arg in numbers_of(op, 3))
    if worth(step) == 0:
        raise op.error("its step must not be 0", "0")
    count = greater(-(-(limit - start) // step), 0)
    count = int(count) if isinstance(count, float) else count
    real = any(isinstance(n, float) for n in (start, limit, step))
    if follows(count) or count > MOST:
        return Value((count,), None, None, None, None if real else "int64")
    return content(tuple(start + number * step for number in range(count)), real=real)


def summed(function: Callable[[Any, Any], Any]) -> Callable[[Op], Value | None]:
    """A reduction over some axes."""

    def fold(op: Op) -> Value | None:
        (data, *_), rank = numbers_of(op, 1), op.value(0).rank
        axes = op.setting("axes", 1, 13 if op.kind == "ReduceSum" else 18)
        if not axes and op.whole("noop_with_empty_axes", 0):
            return known(data)
        places = {op.position(axis, rank) for axis in axes} if axes else set(range(rank))
        keep = bool(op.whole("keepdims", 1))
        shape = [1 if at in places else n for at, n in enumerate(data.shape)]
        cells: dict[int, Any] = {}
        steps = [0 if at in places else step for at, step in enumerate(strides(shape))]
        for cell, item in zip(product(*map(range, data.shape)), data.items, strict=True):
            to = sum(at * step for at, step in zip(cell, steps, strict=True))
            cells[to] = function(cells[to], item) if to in cells else item
        kept = [n for at, n in enumerate(shape) if keep or at not in places]
        return known(Numbers(tuple(kept), tuple(cells[at] for at in sorted(cells)), data.real))

    return fold


def chosen(condition: Any, a: Any, b: Any) -> Any:
    """Where the condition holds the first, else the second."""
    return a if worth(condition) else b


def many(function: Callable[[Any, Any], Any]) -> Callable[[Op], Value | None]:
    """The same function over two inputs or more."""

    def fold(op: Op) -> Value | None:
        args: Sequence[Numbers] = numbers_of(op, len(op.inputs))
        made: Numbers | None = args[0]
        for arg in args[1:]:
            made = None if made is None else elementwise(function, made, arg)
        return None if made is None else known(made)

    return fold


FOLDS: dict[str, Callable[[Op], Value | None]] = {
    "Abs": by_cell(lambda n: n if worth(n) >= 0 else -n, 1),
    "Add": by_cell(operator.add, 2),
    "And": by_cell(lambda a, b: bool(worth(a)) and bool(worth(b)), 2),
    "Ceil": by_cell(rounded(math.ceil, up=True), 1),
    "Concat": joined,
    "ConstantOfShape": filled,
    "Div": divided,
    "Equal": by_cell(operator.eq, 2, real=False),
    "Floor": by_cell(rounded(math.floor, up=False), 1),
    "Gather": gathered,
    "Greater": by_cell(operator.gt, 2, real=False),
    "GreaterOrEqual": by_cell(operator.ge, 2, real=False),
    "Less": by_cell(operator.lt, 2, real=False),
    "LessOrEqual": by_cell(operator.le, 2, real=False),
    "Max": many(greater),
    "Min": many(lesser),
    "Mod": remainder,
    "Mul": by_cell(operator.mul, 2),
    "Neg": by_cell(operator.neg, 1),
    "Not": by_cell(lambda a: not worth(a), 1),
    "Or": by_cell(lambda a, b: bool(worth(a)) or bool(worth(b)), 2),
    "Pow": by_cell(raised, 2),
    "Range": ranged,
    "ReduceMax": summed(greater),
    "ReduceMin": summed(lesser),
    "ReduceProd": summed(operator.mul),
    "ReduceSum": summed(operator.add),
    "Slice": sliced,
    "Sqrt": by_cell(rooted, 1),
    "Sub": by_cell(operator.sub, 2),
    "Where": by_cell(chosen, 3),
}
