"""The inputs of an ONNX graph: which axis is the batch, and sizes for the axes that the file leaves open."""

from collections.abc import Mapping
from typing import Any

from archcalc.algebra.expression import evaluate
from archcalc.algebra.num import LIMIT
from archcalc.algebra.size import Axes
from archcalc.dialects.onnx_extent import BATCH, Extent, axis
from archcalc.dialects.onnx_graph import Op, Weave
from archcalc.dialects.onnx_names import identifier
from archcalc.dialects.onnx_values import FORMATS, OTHER, RANK, Value
from archcalc.errors import ModelError
from archcalc.layers import Reshape, Slice
from archcalc.model.graph import Input

IMAGE = 224  # for the open axes of an image
OTHER_AXES = 128  # for other open axes, such as the length of a sequence
CHANNELS = 3  # for open channels of an image that no convolution reads


class Inputs:
    """What a graph is given, as inputs of the model and as values; and what its named dimensions stand for."""

    def __init__(self, weave: Weave, graph: Any, initialisers: Mapping[str, Value]) -> None:
        self.weave, self.file = weave, weave.file
        self.values: dict[str, Value] = {}
        self.dims: dict[str, Extent] = {}
        self.chosen: dict[str, int] = {}  # sizes of named dimensions that are open
        self.assumed: list[str] = []
        self.channels = channels_read(graph, initialisers)
        items = [item for item in graph.input if item.name not in initialisers]
        if not items:
            raise ModelError("ONNX", "a graph must have an input", "none", where=self.file)
        shapes = [(item, self.dims_of(item)) for item in items]
        lead = next((dims[0] for _, dims in shapes if len(dims) > 1), None)
        for item, dims in shapes:
            self.add(item, dims, lead)
        if self.assumed:
            weave.remark(f"the file leaves sizes open: {', '.join(self.assumed)} where --input does not say")

    def dims_of(self, item: Any) -> list[Any]:
        """An input's dimensions: numbers, or names of those that are open."""
        form = item.type.tensor_type
        if not item.type.HasField("tensor_type") or not form.HasField("shape"):
            raise self.error(item.name, "must be a tensor of a known number of axes", "none")
        dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param for dim in form.shape.dim]
        if len(dims) > RANK or any(isinstance(n, int) and not 0 < n <= LIMIT for n in dims):
            raise self.error(item.name, f"must have at most {RANK} axes, of sizes from 1 to 10**18", f"{dims[:20]}")
        return dims

    def error(self, name: str, rule: str, got: str) -> ModelError:
        """A mistake in an input."""
        return ModelError(f"input {name[:100]}", rule, got, where=self.file)

    def add(self, item: Any, dims: list[Any], lead: Any) -> None:
        """One input: its axis 0 is the batch, as that of the first with several axes is; else it gets one."""
        name = self.weave.names.fresh(identifier(item.name))
        dtype = FORMATS.get(item.type.tensor_type.elem_type, OTHER).name
        batched = dims[:1] == [lead] or (len(dims) > 1 and not isinstance(dims[0], int))
        rest = dims[1:] if batched else dims
        axes = Axes(len(rest or [1]) + 1)
        sizes: list[Any] = [self.size(item.name, dim, place, len(dims), f"{name}.{axes.name(place)}", dtype)
                 for place, dim in enumerate(rest, start=1)]  # fmt: skip
        self.weave.inputs[name] = Input(tuple(size.value for size in sizes) or (1,), self.kept(dtype))
        first = dims[0] if batched else 1
        batch: Any = self.noted(first, f"{name}.batch", first if isinstance(first, int) else BATCH)
        shape: tuple[Any, ...] = (batch, *(sizes or [1]))
        value = Value(shape, name, dtype=dtype if dtype != "float32" else None)
        self.values[item.name] = value if batched and len(dims) > 1 else self.flat(value, len(dims), by_batch=batched)

    def kept(self, dtype: str | None) -> str | None:
        """An input's format where it is not the one that the model computes in."""
        return None if dtype is None or dtype.startswith(("float", "bfloat")) else dtype

    def flat(self, value: Value, rank: int, *, by_batch: bool) -> Value:
        """An input of one number for each of the batch, or one without a batch, of which one is enough for all."""
        op = Op(self.weave, _Input, [], 1, ())
        if by_batch:
            made = op.add(Reshape, value, shape=())
        else:
            made = op.add(Slice, value, axis=0, stop=1, drop=True)
            made = made if rank else op.add(Reshape, made, shape=(), whole=True)
        return Value(made.shape, made.node, dtype=value.dtype)

    def size(self, name: str, dim: Any, place: int, rank: int, text: str, dtype: str | None) -> Extent:
        """The size of an axis: the file's, or one that is taken for it."""
        if isinstance(dim, int):
            return self.noted(dim, text, dim)
        image = rank == 4 and self.kept(dtype) is None
        if dim in self.chosen:
            return self.noted(dim, text, self.chosen[dim])
        taken = self.computed(dim) or (IMAGE if image and place > 1 else OTHER_AXES)
        if image and place == 1:
            taken = self.channels.get(name, CHANNELS)
        if dim:
            self.chosen[dim] = taken
        self.assumed.append(f"{text} = {taken}")
        return self.noted(dim, text, taken)

    def computed(self, dim: str) -> int | None:
        """The size of a dimension whose name is a sum or product of others, such as `past + length`."""
        try:
            size = evaluate(dim, self.chosen) if dim and not dim.isidentifier() else None
        except (ModelError, ArithmeticError):
            return None
        return size if size is not None and 0 < size <= LIMIT else None

    def noted(self, dim: Any, text: str, size: int) -> Extent:
        """An axis as a number that others may follow from."""
        extent = axis(text, size)
        if isinstance(dim, str) and dim:
            self.dims.setdefault(dim, extent)
        return extent


def channels_read(graph: Any, initialisers: Mapping[str, Value]) -> dict[str, int]:
    """How many channels the convolutions read of each value."""
    found = {}
    for node in graph.node:
        weight = initialisers.get(node.input[1]) if node.op_type == "Conv" and len(node.input) > 1 else None
        if weight is not None and weight.rank > 2:
            groups = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
            found[node.input[0]] = max(1, min(weight.sizes[1] * groups, LIMIT))
    return found


class _Input:
    """An operator that is none: what brings an input into its shape."""

    op_type, name, output, attribute = "Input", "", (), ()
