"""The way out when an input does not fit a model: a size that does."""

from collections.abc import Iterator, Mapping

from archcalc.algebra.num import ceil_div
from archcalc.errors import ModelError
from archcalc.layers.layer import Shape
from archcalc.model.graph import Graph
from archcalc.model.walk import walk

LARGEST = 2**16  # no hint beyond this size
NODES = 5_000  # no search in larger models: every try is a walk


def fitting_size(graph: Graph, shapes: Mapping[str, Shape]) -> str:
    """`this model needs at least --input 256x256`, or the next multiple that works; empty if none was found."""
    name, shape = next(iter(shapes.items()))
    if len(shapes) != 1 or len(shape) < 3 or len(graph.nodes) > NODES:
        return ""
    for wording, size in _tries(graph, name, shape):
        if _accepts(graph, name, (*shape[:2], *size)):
            return f"{wording} --input {'x'.join(map(str, size))}"
    return ""


def _tries(graph: Graph, name: str, shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    batch, channels, *axes = shape
    for multiple in (2, 4, 8, 16, 32, 64):
        rounded = tuple(ceil_div(n, multiple) * multiple for n in axes)
        yield f"sizes that are multiples of {multiple} fit, such as", rounded
    high = 1
    while high <= LARGEST and not _accepts(graph, name, (batch, channels, *(high for _ in axes))):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        fits = _accepts(graph, name, (batch, channels, *(middle for _ in axes)))
        low, high = (low, middle) if fits else (middle, high)
    yield "this model needs at least", tuple(high if n < high else n for n in axes)
    yield "this model needs at least", tuple(high for _ in axes)


def _accepts(graph: Graph, name: str, shape: Shape) -> bool:
    try:
        walk(graph, {name: shape})
    except ModelError:
        return False
    return True
