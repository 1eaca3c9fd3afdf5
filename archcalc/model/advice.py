"""The way out when an input does not fit a model: the next size that does."""

from collections.abc import Callable, Mapping
from functools import cache

from archcalc.errors import LayerError, ModelError, WindowError
from archcalc.layers.layer import Shape
from archcalc.model.graph import Graph
from archcalc.model.walk import outline, walk

NEAR = 64  # cells by which the next size is looked for one by one; beyond, by doubling and halving
LARGEST = 2**16  # no advice beyond this size
NODES = 1_000  # none for larger models: every try is a walk


def fitting_size(graph: Graph, shapes: Mapping[str, Shape], error: LayerError) -> str:
    """`this model needs at least --input 256x256`, or the next size that fits; empty if none was found.

    Axes do not depend on each other, so each is tried as a square of its size.
    """
    name, shape = next(iter(shapes.items()))
    if len(shapes) != 1 or len(shape) < 3 or len(graph.nodes) > NODES:
        return ""
    batch, channels, *axes = shape

    @cache
    def fits(n: int) -> bool:
        return _accepts(graph, name, (batch, channels, *(n for _ in axes)))

    sizes = []
    for n in axes:
        near = next((size for size in range(n, n + NEAR) if fits(size)), None)
        if near is None and isinstance(error, WindowError):  # larger is enough: the answer is where that begins
            near = _least(fits, n)
        if near is None:
            return ""
        sizes.append(near)
    if not _accepts(graph, name, (batch, channels, *sizes)):
        return ""
    wording = "this model needs at least" if isinstance(error, WindowError) else "the next size that fits is"
    return f"{wording} --input {'x'.join(map(str, sizes))}"


def _least(fits: Callable[[int], bool], low: int) -> int | None:
    high = low * 2
    while not fits(high):
        low, high = high, high * 2
        if high > LARGEST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _accepts(graph: Graph, name: str, shape: Shape) -> bool:
    try:
        walk(graph, {name: shape}, ask=outline)
    except ModelError:
        return False
    return True
