"""Dense heads as convolutions: the same numbers on the original image, a map of them on a larger one."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc.algebra.num import prod
from archcalc.errors import ModelError
from archcalc.layers.activation import GLU, Activation, LogSoftmax, PReLU, Softmax
from archcalc.layers.conv import Conv
from archcalc.layers.dense import Dense
from archcalc.layers.join import Combine, Concat
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.norm import BatchNorm, LayerNorm, RMSNorm
from archcalc.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from archcalc.layers.reshape import Dropout, Flatten, Identity
from archcalc.layers.shifts import regular
from archcalc.model.graph import Node
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.questions.wiring import Tensors, Transform, Wiring, refusal, rewired

NAME = "fully-convolutional"
EACH_CELL = (Activation, PReLU, Dropout, Identity)  # the same for every value
EACH_VECTOR = (*EACH_CELL, BatchNorm, Combine)  # the same for a vector as for a map of one cell
ALONG_LAST = (Softmax, LogSoftmax, GLU, Concat)  # along axis -1 or 1 of a vector: the channels
WHOLE = (GlobalAvgPool, GlobalMaxPool, AdaptiveAvgPool, AdaptiveMaxPool)


def fully_convolutional(model: Network, input: Sizes | Mapping[str, Sizes] | None = None) -> Transform:
    """See Model.fully_convolutional."""
    work = _Unflattened(Wiring(model, input))
    for node in model.nodes:
        work.visit(node)
    if not work.kernels:
        rest = next((node for node in model.nodes if isinstance(node.layer, Dense)), None)
        got = "no dense layer" if rest is None else "one that reads no flattened image"
        raise refusal(NAME, "needs a dense layer that reads a flattened image", got, rest)
    after = rewired(work.wiring.model, work.layers, work.gone)
    gives = "it gives a map" if work.obstacles() else "each cell of the map is the original on its own window"
    equal = f"at the original size, as a map of one cell; on a larger image {gives}"
    shapes = dict(work.kernels)

    def carry(tensors: Tensors) -> Tensors:
        return {use: _reshaped(own, shapes[use]) if use in shapes else own for use, own in tensors.items()}

    return Transform(NAME, work.wiring.model, after, equal, tuple(work.notes()), carry)


def _reshaped(own: dict[str, object], shape: tuple[int, ...]) -> dict[str, object]:
    """A matrix as filters: its columns lie in the order of channels, then cells."""
    return {name: value.reshape(shape) if name == "weight" else value for name, value in own.items()}  # type: ignore[attr-defined]


class _Unflattened:
    """One pass over the nodes: which values are flattened images, which vectors, and what takes their layers' place."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.flat: dict[str, Shape] = {}  # flattened image → the image's shape
        self.vectors: dict[str, int] = {}  # → spatial axes that it has as a map
        self.layers: dict[str, Layer] = {}
        self.gone: dict[str, str] = {}
        self.kernels: dict[str, tuple[int, ...]] = {}  # dense layers by name → shape of the new weight
        self.waiting: dict[str, str] = {}  # flattened images whose pool is only replaced if a dense layer reads them
        self.pools: dict[str, str] = {}

    def visit(self, node: Node) -> None:
        if any(name in self.flat for name in node.inputs):
            self.after_flatten(node)
        elif any(name in self.vectors for name in node.inputs):
            self.after_dense(node)
        elif self.flattens(node):
            self.flat[node.name] = self.wiring.shapes[node.inputs[0]]
            self.gone[node.name] = node.inputs[0]
        elif isinstance(node.layer, GlobalAvgPool | GlobalMaxPool) and not node.layer.keep_axes:
            x = self.wiring.shapes[node.inputs[0]]
            self.flat[node.name] = (*x[:2], *[1] * (len(x) - 2))
            self.pool(node, x)
        elif isinstance(node.layer, Dense):
            got = f"values of shape {'×'.join(map(str, self.wiring.shapes[node.inputs[0]]))}"
            raise refusal(NAME, "a dense layer must read a flattened image, or what comes of one", got, node)

    def flattens(self, node: Node) -> bool:
        """Does a node lay a whole image out in one row?"""
        if not isinstance(node.layer, Flatten):
            return False
        return len(self.wiring.shapes[node.inputs[0]]) > 2 and len(self.wiring.shapes[node.name]) == 2

    def after_flatten(self, node: Node) -> None:
        """A layer that reads a flattened image: a dense one becomes a convolution over all of it."""
        x = self.flat.get(node.inputs[0])
        if x is not None and isinstance(node.layer, Dense):
            self.open(node.inputs[0])
            self.dense(node, node.layer, x)
        elif x is not None and isinstance(node.layer, EACH_CELL) and not getattr(node.layer, "per_channel", False):
            self.flat[node.name] = x
        else:
            raise refusal(
                NAME, "between flatten and dense only functions of single values can stand", node.layer.kind, node
            )

    def dense(self, node: Node, layer: Dense, x: Shape) -> None:
        _, channels, *axes = x
        kernel = tuple(axes)
        self.layers[node.name] = Conv(layer.units, kernel[0] if len(set(kernel)) == 1 else kernel, bias=layer.bias)
        self.kernels[node.name] = (layer.units, channels, *kernel)
        self.vectors[node.name] = len(axes)

    def after_dense(self, node: Node) -> None:
        """A layer that reads vectors: the same for a map of one cell."""
        ranks = {self.vectors.get(name) for name in node.inputs}
        layer, rank = node.layer, self.vectors.get(node.inputs[0])
        if len(ranks) > 1 or rank is None:
            raise refusal(NAME, "a layer must read vectors alone, or images alone", f"{', '.join(node.inputs)}", node)
        self.vectors[node.name] = rank
        if isinstance(layer, Dense):
            self.dense(node, layer, (1, self.wiring.shapes[node.inputs[0]][1], *[1] * rank))
        elif isinstance(layer, Flatten):
            self.gone[node.name] = node.inputs[0]
        elif isinstance(layer, ALONG_LAST) and layer.axis in (1, -1):
            self.layers[node.name] = replace(layer, axis=1)
        elif isinstance(layer, LayerNorm | RMSNorm) and layer.axes in (1, -1, (1,), (-1,)):
            self.layers[node.name] = replace(layer, axes=1)
        elif not isinstance(layer, EACH_VECTOR):
            raise refusal(NAME, "behind a dense layer only layers can stand that a map has too", layer.kind, node)

    def open(self, name: str) -> None:
        """Give a pool onto a fixed size, in front of the flatten, the window that it has here."""
        node = self.wiring.nodes.get(name)
        while node is not None and (self.flattens(node) or isinstance(node.layer, EACH_CELL)):
            node = self.wiring.nodes.get(node.inputs[0])
        if node is not None and isinstance(node.layer, WHOLE) and node.name not in self.pools:
            self.pool(node, self.wiring.shapes[node.inputs[0]])

    def pool(self, node: Node, x: Shape) -> None:
        sizes = self.wiring.shapes[node.name][2:] or (1,) * (len(x) - 2)
        gaps = [regular(n, size) for n, size in zip(x[2:], sizes, strict=True)]
        if None in gaps:
            rule = "a pool onto a fixed size must have equal windows"
            raise refusal(NAME, rule, f"{'×'.join(map(str, x[2:]))} cells onto {'×'.join(map(str, sizes))}", node)
        kernels = [-(-n // size) for n, size in zip(x[2:], sizes, strict=True)]
        cls = AvgPool if isinstance(node.layer, GlobalAvgPool | AdaptiveAvgPool) else MaxPool
        stride = [s if size > 1 else 1 for s, size in zip(gaps, sizes, strict=True)]
        self.pools[node.name] = f"{node.name}: a window of {'×'.join(map(str, kernels))}, as it pools at this size"
        if all(k == 1 for k in kernels):
            self.gone[node.name] = node.inputs[0]
            return
        self.layers[node.name] = cls(_simple(kernels), stride=None if stride == kernels else _simple(stride))

    def notes(self) -> list[str]:
        """What was done to pools, and what a larger image meets."""
        return [*self.pools.values(), *self.obstacles()]

    def obstacles(self) -> list[str]:
        """Why a cell of the map is not what the original gives on its window."""
        found = []
        others = [
            node.name
            for node in self.wiring.model.nodes
            if isinstance(node.layer, WHOLE) and node.name not in self.pools
        ]
        if others:
            found.append(f"{others[0]} pools the whole image: on a larger one that is not what a sliding window sees")
        padded = next((use for use in self.wiring.uses if _pads(use.layer, use.xs)), None)
        if padded is not None:
            found.append(f"{padded.name} pads: each window that slides has borders of its own, the map has not")
        return found


def _simple(numbers: list[int] | list[int | None]) -> int | tuple[int, ...]:
    values = tuple(number for number in numbers if number is not None)
    return values[0] if len(set(values)) == 1 else values


def _pads(layer: Layer, xs: tuple[Shape, ...]) -> bool:
    windows = layer.windows(xs[0]) if isinstance(layer, Conv | MaxPool | AvgPool) else ()
    return any(window.before > 0 or window.after > 0 for window in windows)


class Sliding(Struct, frozen=True):
    """One pass over a larger image beside the original, slid over it: how many windows, and the work of both."""

    input: tuple[int, ...]
    windows: tuple[int, ...]  # positions along each axis
    steps: tuple[int, ...]  # of the window
    window_macs: int  # of the original on one window
    convolutional_macs: int

    @property
    def sliding_macs(self) -> int:
        """Each window by itself."""
        return prod(self.windows) * self.window_macs

    @property
    def ratio(self) -> float:
        """How many times as much work sliding is."""
        return self.sliding_macs / self.convolutional_macs

    def to_dict(self) -> dict[str, Any]:
        """The work of both as plain data."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        return {**plain, "sliding_macs": self.sliding_macs}


def sliding(made: Transform, input: Sizes | Mapping[str, Sizes]) -> Sliding:
    """The work of a fully convolutional network on a larger image, and of the original on all of its windows.

    A window steps by the strides of the network, so that it visits what the cells of the map see.
    """
    (name, own), *others = full_shapes(made.before.inputs, None, batch=1).items()
    larger = full_shapes(made.before.inputs, input, batch=1)[name]
    steps = []
    for along in made.after.properties().whole.shifts:  # type: ignore[attr-defined]
        if others or along.why or along.step != 1:
            raise ModelError("sliding", "needs one image, and a map that moves with it", along.why or "another")
        steps.append(along.period)
    free = [n - m for n, m in zip(larger[2:], own[2:], strict=True)]
    if any(n < 0 for n in free):
        raise ModelError("sliding", "needs an image at least as large as the original", "×".join(map(str, larger[2:])))
    windows = tuple(n // step + 1 for n, step in zip(free, steps, strict=True))
    macs = [model.report(at).totals.macs for model, at in ((made.before, None), (made.after, input))]
    return Sliding(larger[1:], windows, tuple(steps), *macs)
