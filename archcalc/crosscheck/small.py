"""A smaller layer of the same make: sizes, channels and filters cut until counting one by one is quick."""

from collections.abc import Iterator

from msgspec.structs import replace

from archcalc.algebra.num import prod
from archcalc.errors import LayerError
from archcalc.layers.layer import Composite, Layer, Shape
from archcalc.model.walk import answer

STEPS = 300  # enough to halve anything; a window that needs its axis is not cut cell by cell for ever
AMOUNTS = (  # fields that say how many of the same
    "filters", "units", "vocabulary", "width", "groups", "layers", "projection", "heads", "kv_heads", "head_width",
    "hidden", "experts", "top_k", "shared",
)  # fmt: skip


def work(layer: Layer, xs: tuple[Shape, ...]) -> int:
    """Operations and outputs, and a share of the inputs, which need only be made: what counting one by one takes."""
    return _work(layer, xs)[0]


def _work(layer: Layer, xs: tuple[Shape, ...]) -> tuple[int, Shape]:
    """The work, and the shape of the output."""
    if not isinstance(layer, Composite):
        answers = answer(layer, xs)
        return answers.ops.total + answers.elements + sum(map(prod, xs)) // 8, answers.y
    names: dict[str | int, Shape] = dict(enumerate(xs))
    total, y = 0, xs[0]
    for part in layer.parts(*xs):
        more, y = _work(part.layer, tuple(names[source] for source in part.sources))
        total, names[part.name] = total + more, y
    return total, y


def smaller(layer: Layer, xs: tuple[Shape, ...], most: int) -> tuple[Layer, tuple[Shape, ...]] | None:
    """The layer and its inputs, halved here and there while it still accepts them, until the work is at most that.

    None where even the smallest takes more.
    """
    for _ in range(STEPS):
        if work(layer, xs) <= most:
            return layer, xs
        step = next(_accepted(layer, xs), None)
        if step is None:
            return None
        layer, xs = step
    return None


def _accepted(layer: Layer, xs: tuple[Shape, ...]) -> Iterator[tuple[Layer, tuple[Shape, ...]]]:
    now = work(layer, xs)
    for fields, shapes in _halvings(layer, xs):
        try:
            candidate: Layer = replace(layer, **fields)
            if work(candidate, shapes) < now:
                yield candidate, shapes
        except LayerError:  # halves that do not go together
            continue


def _halvings(layer: Layer, xs: tuple[Shape, ...]) -> Iterator[tuple[dict[str, int], tuple[Shape, ...]]]:
    """Fields and shapes: everything halved at once, channels with their groups, one group, single axes and fields."""
    fields = {name: _half(getattr(layer, name)) for name in AMOUNTS if isinstance(getattr(layer, name, None), int)}
    for changed in (fields, {}):
        yield changed, tuple(tuple(map(_half, x)) for x in xs)
    yield fields, tuple((x[0], _half(x[1]), *x[2:]) if len(x) > 1 else x for x in xs)
    groups = getattr(layer, "groups", 1)
    if groups > 1 and hasattr(layer, "filters"):
        yield {"filters": layer.filters // groups, "groups": 1}, tuple((x[0], x[1] // groups, *x[2:]) for x in xs)
    for axis in range(max(map(len, xs), default=0)):
        yield {}, tuple(tuple(_half(n) if at == axis else n for at, n in enumerate(x)) for x in xs)
        yield {}, tuple(tuple(n - 1 if at == axis and n > 1 else n for at, n in enumerate(x)) for x in xs)
    yield from (({name: amount}, xs) for name, amount in fields.items())


def _half(n: int) -> int:
    return (n + 1) // 2
