"""PyTorch's operators that move values: views, slices, joins, padding, indexing."""

from collections.abc import Sequence
from typing import Any

from torch import fx

from archcalc import layers
from archcalc.dialects.aten_graph import Draft, Fixed, Op, Unclear, operator
from archcalc.dialects.aten_shapes import one, permuted, reshaped, same_shape, same_size

END = 2**62  # beyond this, PyTorch means the end of an axis


@operator("contiguous", "clone", "alias", "detach", "to", "_to_copy", "lift_fresh", "lift_fresh_copy", "type_as",
          "bernoulli", "conj", "resolve_conj", "resolve_neg", "requires_grad", "float", "half")  # fmt: skip
def same(op: Op) -> Any:
    """What hands its input on, as far as counts go."""
    name = next(iter(op.given))
    return op.network.values[op.given[name]]


@operator("zero", "fill")
def overwritten(op: Op) -> Any:
    """Another value written over a tensor: no operation."""
    return op.network.values[op.given["self"]]


@operator("copy")
def copied(op: Op) -> Any:
    """Values written into a part of another tensor: no operation; who reads that tensor is wired to it as it was."""
    return op.network.values[op.given["src"]] if isinstance(op.given["src"], fx.Node) else op.x("self")


@operator("getitem")
def item(op: Op) -> Any:
    values, number = op.node.args
    found = op.network.values[values][number]  # type: ignore[index]
    return found() if callable(found) else found


@operator("flatten")
def flatten(op: Op) -> Any:
    x, rank = op.shape("self"), len(op.shape("self"))
    start, end = op["start_dim"] % rank, op["end_dim"] % rank
    if start in {0, end}:
        return reshaped(op, op.x("self"), x, op.y)
    return op.add(layers.Flatten, {"start": start, "end": -1 if end == rank - 1 else end}, op.x("self"))


@operator("view", "reshape", "_unsafe_view", "view_as", "reshape_as", "unflatten", "unsqueeze", "squeeze", "ravel")
def reshape(op: Op) -> Any:
    return reshaped(op, op.x("self"), op.shape("self"), _asked(op))


def _asked(op: Op) -> Sequence[Any]:
    """The sizes as the module's code has them, which are simpler than those that follow from the input's."""
    given = next((op[name] for name in ("size", "shape") if isinstance(op.given.get(name), list | tuple)), None)
    if given is None or len(given) != len(op.y):
        return op.y
    return [size if isinstance(size, int) and size >= 0 else found for size, found in zip(given, op.y, strict=True)]


@operator("permute", "transpose", "swapaxes", "swapdims", "t", "numpy_T", "movedim", "moveaxis", "mT", "adjoint")
def permute(op: Op) -> Any:
    order = list(range(len(op.shape("self"))))
    if "dims" in op.given:
        order = [axis % len(order) for axis in op["dims"]]
    elif "source" in op.given:
        order = _moved(len(order), op["source"], op["destination"])
    elif op.name == "numpy_T":
        order.reverse()
    elif order:
        names = ("dim0", "dim1") if "dim0" in op.given else ("axis0", "axis1")
        a, b = (op.given.get(name, last) for name, last in zip(names, (-2, -1), strict=True))
        if len(order) > 1:
            order[a], order[b] = order[b], order[a]
    return permuted(op, op.x("self"), op.shape("self"), order)


def _moved(rank: int, sources: Any, places: Any) -> list[int]:
    source = [n % rank for n in (sources if isinstance(sources, list) else [sources])]
    place = [n % rank for n in (places if isinstance(places, list) else [places])]
    rest = iter([axis for axis in range(rank) if axis not in source])
    return [source[place.index(n)] if n in place else next(rest) for n in range(rank)]


@operator("slice", "narrow")
def cut(op: Op) -> Any:
    axis = op["dim"]
    if _empty(op.node):  # nothing is cut out, and joining leaves it out
        return Fixed(op.y, str(op.value.dtype).removeprefix("torch."))
    if op.name == "narrow":
        start, stop, step = op.number("start"), op.sizes.size(op["start"] + op["length"]), 1
    else:
        start, stop, step = op["start"] or 0, op["end"], op["step"]
        start = op.sizes.size(start)
        stop = None if stop is None or (isinstance(stop, int) and stop >= END) else op.sizes.size(stop)
    if same_shape(op.shape("self"), op.y):
        return op.network.values[op.given["self"]]
    fields = {"axis": axis % len(op.y), "start": start, "stop": stop, "step": step}
    size = op.shape("self")[axis]
    if isinstance(stop, int) and isinstance(size, int) and stop >= size:
        fields["stop"] = None
    return op.add(layers.Slice, fields, op.x("self"))


@operator("select")
def select(op: Op) -> Any:
    axis, index = op["dim"] % len(op.shape("self")), op.number("index")
    return op.add(layers.Slice, _cell(axis, index), op.x("self"))


def _cell(axis: int, index: Any) -> dict[str, Any]:
    if not isinstance(index, int):
        raise Unclear("a cell whose place follows the input")
    return {"axis": axis, "start": index, "stop": None if index == -1 else index + 1, "drop": True}


@operator("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
def split(op: Op) -> Any:
    axis = op["dim"] % len(op.shape("self"))
    starts = [0]
    for value in op.value:
        starts.append(starts[-1] + value.shape[axis])
    size = op.shape("self")[axis]
    return tuple(_part(op, axis, starts[n], starts[n + 1], size, tuple(v.shape)) for n, v in enumerate(op.value))


def _part(op: Op, axis: int, start: Any, stop: Any, size: Any, shape: Sequence[Any]) -> Any:
    """One part, made when it is read."""
    if same_shape(op.shape("self"), shape):
        return op.network.values[op.given["self"]]

    def make() -> Draft:
        end = None if same_size(stop, size) else op.sizes.size(stop)
        fields = {"axis": axis, "start": op.sizes.size(start), "stop": end}
        return op.add(layers.Slice, fields, op.x("self"), shape=tuple(shape))

    return make


@operator("unbind")
def unbind(op: Op) -> Any:
    axis = op["dim"] % len(op.shape("self"))

    def part(number: int, shape: Sequence[Any]) -> Any:
        return lambda: op.add(layers.Slice, _cell(axis, number), op.x("self"), shape=tuple(shape))

    return tuple(part(number, value.shape) for number, value in enumerate(op.value))


@operator("cat", "concat", "concatenate")
def cat(op: Op) -> Any:
    tensors = [node for node in op.given["tensors"] if not _empty(node)]
    if len(tensors) == 1:
        return op.network.values[tensors[0]]
    return op.add(layers.Concat, {"axis": op.given.get("dim", 0) % len(op.y)}, *map(op.tensor, tensors))


def _empty(node: fx.Node) -> bool:
    return any(isinstance(size, int) and size == 0 for size in node.meta["val"].shape)


@operator("stack", "hstack", "vstack")
def stack(op: Op) -> Any:
    if op.name != "stack":
        raise Unclear(op.name)
    axis = op["dim"] % len(op.y)
    shape = tuple(1 if place == axis else size for place, size in enumerate(op.y))
    parts = [reshaped(op, op.tensor(node), node.meta["val"].shape, shape) for node in op.given["tensors"]]
    return op.add(layers.Concat, {"axis": axis}, *parts)


@operator("expand", "expand_as", "broadcast_to")
def expand(op: Op) -> Any:
    if same_shape(op.shape("self"), op.y):
        return op.network.values[op.given["self"]]
    source = op.x("self", len(op.y))
    before = (*[1] * (len(op.y) - len(op.shape("self"))), *op.shape("self"))
    if same_shape(before, op.y):
        return source
    sizes = [-1 if same_size(a, b) else op.sizes.size(b) for a, b in zip(before, op.y, strict=True)]
    return op.add(layers.Expand, {"shape": tuple(sizes)}, source)


@operator("repeat", "tile")
def repeat(op: Op) -> Any:
    """The same values several times in a row along some axes: themselves, laid side by side."""
    times = op["repeats" if "repeats" in op.given else "dims"]
    made: Any = op.x("self", len(op.y))
    shape = [*[1] * (len(op.y) - len(op.shape("self"))), *op.shape("self")]
    for axis, count in enumerate([1] * (len(op.y) - len(times)) + list(times)):
        if not isinstance(count, int) and not same_size(shape[axis], 1):
            raise Unclear("repeated as often as the input says")
        if same_size(count, 1):
            continue
        if same_size(shape[axis], 1):
            sizes = [-1] * len(shape)
            shape[axis], sizes[axis] = count, op.sizes.size(count)
            made = op.add(layers.Expand, {"shape": tuple(sizes)}, made, shape=tuple(shape))
        else:
            shape[axis] = shape[axis] * count
            made = op.add(layers.Concat, {"axis": axis}, *[made] * count, shape=tuple(shape))
    return made


@operator("repeat_interleave")
def repeat_interleave(op: Op) -> Any:
    """Each cell several times in a row: an axis of copies behind its own, joined with it."""
    if not isinstance(op.given.get("repeats"), int) or op.given.get("dim") is None:
        raise Unclear("repeated as often as a tensor says")
    x, axis, times = list(op.shape("self")), op["dim"] % len(op.shape("self")), op["repeats"]
    apart, copied = [*x[: axis + 1], 1, *x[axis + 1 :]], [*x[: axis + 1], times, *x[axis + 1 :]]
    made = reshaped(op, op.x("self"), x, apart)
    sizes = tuple(times if place == axis + 1 else -1 for place in range(len(apart)))
    made = op.add(layers.Expand, {"shape": sizes}, made, shape=tuple(copied))
    return reshaped(op, made, copied, op.y)


@operator("unfold")
def windows(op: Op) -> Any:
    """Windows along one axis, their cells as a last axis: picked by constant places."""
    axis, size = op["dimension"] % len(op.shape("self")), op["size"]
    places = Fixed((op.y[axis], size), "int64")
    picked = (*op.y[: axis + 1], size, *op.y[axis + 1 : -1])
    made = op.add(layers.Gather, {"axis": axis}, op.x("self"), op.network.source(places, None, op), shape=picked)
    order = [place for place in range(len(picked)) if place != axis + 1]
    return permuted(op, made, picked, [*order, axis + 1])


@operator("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def pad(op: Op) -> Any:
    """Cells around the last axes; where those are not the spatial ones, axes change places before and after."""
    x, given = op.shape("self"), op["padding" if "padding" in op.given else "pad"]
    pairs = [(given[n], given[n + 1]) for n in range(0, len(given), 2)]
    around = {len(x) - 1 - n: pair for n, pair in enumerate(pairs) if not same_shape(pair, (0, 0))}
    if not around:
        return op.network.values[op.given["self"]]
    if any(isinstance(cells, int) and cells < 0 for pair in around.values() for cells in pair):
        return _cropped(op, x, around)
    if 0 in around:
        raise Unclear("padding of the batch")
    mode = op.given.get("mode") or {"refl": "reflect", "repl": "replicate"}.get(op.name[:4], "constant")
    rest = [axis for axis in range(1, len(x)) if axis not in around]
    if not rest:  # no axis can stand for the channels: one of size 1 does
        return _padded_with_channels(op, x, around, mode)
    order = [0, *rest[:1], *sorted([*rest[1:], *around])]
    moved = permuted(op, op.x("self"), x, order)
    amount = tuple((op.sizes.size(a), op.sizes.size(b)) for a, b in (around.get(axis, (0, 0)) for axis in order[2:]))
    shape = tuple(op.y[axis] for axis in order)
    made = op.add(layers.Pad, {"amount": _simple(amount), "mode": mode}, moved, shape=shape)
    return permuted(op, made, shape, [order.index(axis) for axis in range(len(order))])


def _padded_with_channels(op: Op, x: Sequence[Any], around: dict[int, tuple[Any, Any]], mode: str) -> Any:
    amount = tuple((op.sizes.size(a), op.sizes.size(b)) for a, b in (around[axis] for axis in range(1, len(x))))
    made = reshaped(op, op.x("self"), x, (x[0], 1, *x[1:]))
    shape = (op.y[0], 1, *op.y[1:])
    made = op.add(layers.Pad, {"amount": _simple(amount), "mode": mode}, made, shape=shape)
    return reshaped(op, made, shape, op.y)


def _simple(amount: tuple[tuple[Any, Any], ...]) -> Any:
    """One number where all are the same, or one for each axis."""
    if all(before == after for before, after in amount):
        return one([before for before, _ in amount])
    return amount


def _cropped(op: Op, x: Sequence[Any], around: dict[int, tuple[Any, Any]]) -> Any:
    made: Any = op.x("self")
    shape = list(x)
    for axis, (before, after) in around.items():
        if not (isinstance(before, int) and isinstance(after, int) and before <= 0 and after <= 0):
            raise Unclear("cropped and padded at once")
        shape[axis] = op.y[axis]
        fields = {"axis": axis, "start": -before, "stop": after or None}
        made = op.add(layers.Slice, fields, made, shape=tuple(shape))
    return made


@operator("pixel_shuffle", "pixel_unshuffle")
def shuffle(op: Op) -> Any:
    kind = layers.PixelShuffle if op.name == "pixel_shuffle" else layers.PixelUnshuffle
    factor = op["upscale_factor" if op.name == "pixel_shuffle" else "downscale_factor"]
    return op.add(kind, {"factor": factor}, op.x("self"))


@operator("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(op: Op) -> Any:
    batch, channels, *rest = op.y
    groups = op["groups"]
    split_up = (batch, groups, channels // groups, *rest)
    made = reshaped(op, op.x("self"), op.y, split_up)
    order = [0, 2, 1, *range(3, len(split_up))]
    made = permuted(op, made, split_up, order)
    return reshaped(op, made, tuple(split_up[axis] for axis in order), op.y)


@operator("roll")
def roll(op: Op) -> Any:
    if not op["dims"]:
        raise Unclear("rolled as one row")
    rank = len(op.y)
    fields = {"axes": one([axis % rank for axis in op["dims"]]), "shifts": one(op.numbers("shifts"))}
    if not isinstance(fields["axes"], int) and isinstance(fields["shifts"], int):
        fields["shifts"] = op.numbers("shifts")
    return op.add(layers.Roll, fields, op.x("self"))


@operator("flip")
def flip(op: Op) -> Any:
    return op.add(layers.Flip, {"axes": one([axis % len(op.y) for axis in op["dims"]])}, op.x("self"))


@operator("index")
def index(op: Op) -> Any:
    """Rows picked by an index along one axis; a full slice along all others."""
    picked = [(axis, node) for axis, node in enumerate(op.given["indices"]) if node is not None]
    if len(picked) != 1 or str(picked[0][1].meta["val"].dtype) == "torch.bool":
        raise Unclear("picked by several indices at once")
    ((axis, indices),) = picked
    return op.add(layers.Gather, {"axis": axis}, op.x("self"), op.tensor(indices))


@operator("index_select")
def index_select(op: Op) -> Any:
    return op.add(layers.Gather, {"axis": op["dim"] % len(op.y)}, op.x("self"), op.x("index"))


@operator("im2col")
def unfold(op: Op) -> Any:
    names = {"kernel": "kernel_size", "stride": "stride", "padding": "padding", "dilation": "dilation"}
    return op.add(layers.Unfold, {name: one(op[theirs]) for name, theirs in names.items()}, op.x("self"))


@operator("col2im")
def fold(op: Op) -> Any:
    names = {"size": "output_size", "kernel": "kernel_size", "stride": "stride", "padding": "padding",
             "dilation": "dilation"}  # fmt: skip
    return op.add(layers.Fold, {name: one(op.numbers(theirs)) for name, theirs in names.items()}, op.x("self"))


@operator("dropout", "feature_dropout", "native_dropout", "alpha_dropout", "feature_alpha_dropout")
def dropout(op: Op) -> Any:
    name = {"feature_dropout": "channel_dropout", "alpha_dropout": "alpha_dropout"}.get(op.name, "dropout")
    return op.add(layers.reshape.Dropout, {"function": name, "rate": float(op["p"])}, op.x())
