"""What training keeps between forward and backward pass: every storage once, whichever layers need it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.layers.layer import Saved, positions_of
from archcalc.layers.norm import LayerNorm, RMSNorm
from archcalc.layers.reshape import Dropout, Flatten, Identity, Permute, Reshape
from archcalc.layers.resize import Resize
from archcalc.model.graph import Input
from archcalc.model.walk import Use


class Storage(Struct, frozen=True):
    """One block of memory that is kept: whose output it is, or which layer's own, and who keeps it first."""

    of: str
    kept_by: str
    elements: int
    dtype: str


def kept(uses: Sequence[Use], inputs: Mapping[str, Input], *, device: str = "cuda") -> list[Storage] | str:
    """The storages that one training step in float32 keeps; or, as text, why that is not known.

    Parameters and the model's inputs add nothing. A layer behind which nothing needs a gradient keeps nothing.
    """
    storages: dict[str, Storage] = {}
    roots = {name: name for name in inputs}  # the storage that a value lies in
    graded = dict.fromkeys(inputs, False)  # does a gradient flow back to it?
    learns: dict[tuple[str, str], bool] = {}  # does this tensor of this use train? A tied one does if its owner's does
    for use in uses:
        if _permutes(use):
            return f"{use.name}: what reads a permuted tensor may keep a copy of it"
        learning = []
        for name in (name for name, weight in use.answers.weights.items() if weight.role == "trainable"):
            tied = name in use.shared
            learns[use.name, name] = learns[str(use.shared_with), name] if tied else use.node.trainable
            learning += [name] if learns[use.name, name] else []
        graded[use.name] = bool(learning) or any(graded[source] for source in _differentiated(use))
        roots[use.name] = roots[use.inputs[0]] if _hands_on(use) else use.name
        tensors = use.layer.saved(use.xs, use.answers.y, device)
        if tensors is None:
            return f"{use.name}: {use.kind} does not say what it keeps"
        for number, tensor in enumerate(tensors if graded[use.name] else ()):
            root = _root(tensor, use, roots, number)
            if _wanted(tensor, use, graded, learning) and root not in inputs and root not in storages:
                storages[root] = Storage(root, use.name, tensor.elements, tensor.dtype or "float32")
    return list(storages.values())


def bytes_kept(storages: Sequence[Storage]) -> int:
    """The bytes of all of them."""
    return sum(bytes_of(storage.elements, storage.dtype) for storage in storages)


def _differentiated(use: Use) -> tuple[str, ...]:
    """The inputs that a gradient flows back to; the second one of a resize only says a size."""
    return use.inputs[:1] if isinstance(use.layer, Resize) else use.inputs


def _permutes(use: Use) -> bool:
    """Does the output lie in memory in another order than its axes? A norm over other axes than the last moves them."""
    if isinstance(use.layer, LayerNorm | RMSNorm):
        rank = len(use.answers.y)
        axes = positions_of(use.layer, use.answers.y, use.layer.axes)
        return axes != tuple(range(rank - len(axes), rank))
    return isinstance(use.layer, Permute)


def _hands_on(use: Use) -> bool:
    """Is the output the input's storage?"""
    drops_nothing = isinstance(use.layer, Dropout) and use.layer.rate == 0
    return drops_nothing or isinstance(use.layer, Identity | Flatten | Reshape)


def _wanted(tensor: Saved, use: Use, graded: Mapping[str, bool], learning: Sequence[str]) -> bool:
    """Does somebody need a gradient that is computed from it?"""
    match tensor.wanted_by:
        case None:
            return True
        case str(name):
            return name in learning
        case int(number):
            return graded[use.inputs[number]]
        case numbers:
            return any(graded[use.inputs[number]] for number in numbers)


def _root(tensor: Saved, use: Use, roots: Mapping[str, str], number: int) -> str:
    if isinstance(tensor.of, int):
        return roots[use.inputs[tensor.of]]
    return roots[use.name] if tensor.of == "output" else f"{use.name} (own {number + 1})"
