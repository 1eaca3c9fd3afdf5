"""A model as data: named inputs, and nodes in topological order, each a layer and the names it reads from."""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from archcalc.algebra.dtype import BITS
from archcalc.algebra.num import differ, less
from archcalc.algebra.size import Condition
from archcalc.errors import ModelError, nearest
from archcalc.layers.layer import Layer, Shape, shown

AXES = 16  # of one tensor


class Place(Struct, frozen=True, gc=False):
    """Where in a file something was written; line and column count from 1."""

    path: str
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.path} in {self.file}:{self.line}:{self.column}"


class Input(Struct, frozen=True):
    """What a model is given: the shape without batch, channels first; a dtype where it is not the model's."""

    shape: Shape
    dtype: str | None = None  # int64 for indices; None: whatever the model computes in
    channels_last: bool = False  # the spec wrote the shape in the other order
    only: tuple[int | None, ...] = ()  # sizes, with the batch, that an import could not leave open; None: any will do
    where: tuple[Condition, ...] = ()  # of all inputs' sizes: the way that an import went at its example

    def __post_init__(self) -> None:
        if not 1 <= len(self.shape) < AXES or any(less(size, 1) for size in self.shape):
            raise ModelError("inputs", f"an input must have 1 to {AXES - 1} sizes of at least 1", f"{list(self.shape)}")
        if self.dtype is not None and self.dtype not in BITS:
            raise ModelError("inputs", f"dtype must be one of {', '.join(BITS)}", f"{self.dtype}")

    def admit(self, name: str, shapes: Mapping[str, Shape]) -> None:
        """Refuse sizes at which the layers are not known."""
        for axis, (size, known) in enumerate(zip(shapes[name], self.only, strict=False)):
            if known is not None and differ(size, known) is not False:
                rule = f"input {name} was imported with {known} in axis {axis}, and its layers are known for that alone"
                raise ModelError("inputs", rule, f"{size}", way_out="import it again at that size")
        for condition in self.where:
            if condition.holds(shapes) is False:
                sizes = ", ".join(f"{name} {shown(shape)}" for name, shape in shapes.items())
                rule = f"the model was imported where {condition}, and may go another way elsewhere"
                raise ModelError("inputs", rule, sizes, way_out="import it again at that size")


class Node(Struct, frozen=True, gc=False):
    """One use of a layer."""

    name: str  # path names such as stage2/block1/conv3
    layer: Layer
    inputs: tuple[str, ...]
    trainable: bool = True
    shared_with: str | None = None  # the node whose tensors it uses, where both have a tensor of that name
    place: Place | None = None


class Graph(Struct, frozen=True):
    """Nodes in an order in which each reads only from inputs and earlier nodes."""

    name: str
    inputs: Mapping[str, Input]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        seen = dict.fromkeys(self.inputs, None)
        for node in self.nodes:
            self._check(node, seen)
            seen[node.name] = None
        for name in self.outputs:
            if name not in seen:
                raise ModelError("model", "an output must be a layer", repr(name), way_out=nearest(name, seen))

    def _check(self, node: Node, seen: Mapping[str, None]) -> None:
        where = str(node.place) if node.place else f'"{node.name}"'
        if node.name in seen:
            raise ModelError("model", "names must be unique", repr(node.name), where=where)
        for name in node.inputs:
            if name not in seen:
                rule = "a layer reads from inputs and earlier layers"
                raise ModelError("model", rule, repr(name), where=where, way_out=nearest(name, seen))
        check_arity(node.layer, len(node.inputs), where)

    def reads_as_image(self, name: str) -> bool:
        """Is an input channels before spatial axes: as its first reader takes it, else if it has two of them."""
        item = self.inputs[name]
        if item.dtype is not None or len(item.shape) == 1:
            return False
        readers = (node.layer.image for node in self.nodes if name in node.inputs)
        opinion = next((image for image in readers if image is not None), None)
        return len(item.shape) > 2 if opinion is None else opinion

    def unread(self) -> Iterator[str]:
        """Nodes and inputs that no node reads and that are no output of the model."""
        read = {name for node in self.nodes for name in node.inputs} | set(self.outputs)
        yield from (name for name in [*self.inputs, *(node.name for node in self.nodes)] if name not in read)


def check_arity(layer: Layer, given: int, where: str) -> None:
    """Refuse more or fewer inputs than the kind takes."""
    least, most = layer.arity
    if given < least or (most is not None and given > most):
        wanted = f"{least} or more" if most is None else f"{least}" if least == most else f"{least} to {most}"
        error = layer.error(f"needs {wanted} input{'' if most == 1 else 's'}", f"{given}")
        error.where, error.way_out = where, "name them with from: [a, b]" if given < least else ""
        raise error
