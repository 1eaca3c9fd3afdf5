"""What training keeps between forward and backward pass: every storage once, whichever layers need it."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.layers.layer import Saved
from archcalc.layers.reshape import Dropout, Flatten, Identity, Permute, Reshape
from archcalc.model.graph import Input
from archcalc.model.walk import Use


class Storage(Struct, frozen=True):
    """One block of memory that is kept: whose output it is, or which layer's own, and who keeps it first."""

    of: str
    kept_by: str
    elements: int
    dtype: str


def kept(
    uses: Sequence[Use], inputs: Mapping[str, Input], *, device: str = "cuda", dtype: str = "float32"
) -> list[Storage] | str:
    """The storages that one training step keeps; or, as text, why that is not known.

    Parameters and the model's inputs add nothing. A layer behind which nothing needs a gradient keeps nothing.
    """
    storages: dict[str, Storage] = {}
    roots = {name: name for name in inputs}  # the storage that a value lies in
    graded = dict.fromkeys(inputs, False)  # does a gradient flow back to it?
    for use in uses:
        if isinstance(use.layer, Permute):
            return f"{use.name}: what reads a permuted tensor may keep a copy of it"
        graded[use.name] = _weights_train(use) or any(graded[source] for source in use.inputs)
        roots[use.name] = roots[use.inputs[0]] if _hands_on(use) else use.name
        tensors = use.layer.saved(use.xs, use.answers.y, device)
        if tensors is None:
            return f"{use.name}: {use.kind} does not say what it keeps"
        for number, tensor in enumerate(tensors if graded[use.name] else ()):
            if not _wanted(tensor, use, graded):
                continue
            root = _root(tensor, use, roots, number)
            if root not in inputs and root not in storages:
                storages[root] = Storage(root, use.name, tensor.elements, tensor.dtype or dtype)
    return list(storages.values())


def bytes_kept(storages: Sequence[Storage]) -> int:
    """The bytes of all of them."""
    return sum(bytes_of(storage.elements, storage.dtype) for storage in storages)


def _weights_train(use: Use) -> bool:
    return use.node.trainable and any(weight.role == "trainable" for weight in use.answers.weights.values())


def _hands_on(use: Use) -> bool:
    """Is the output the input's storage?"""
    drops_nothing = isinstance(use.layer, Dropout) and use.layer.rate == 0
    return drops_nothing or isinstance(use.layer, Identity | Flatten | Reshape)


def _wanted(tensor: Saved, use: Use, graded: Mapping[str, bool]) -> bool:
    if isinstance(tensor.wanted_by, int):
        return graded[use.inputs[tensor.wanted_by]]
    return tensor.wanted_by is None or use.node.trainable


def _root(tensor: Saved, use: Use, roots: Mapping[str, str], number: int) -> str:
    if isinstance(tensor.of, int):
        return roots[use.inputs[tensor.of]]
    return roots[use.name] if tensor.of == "output" else f"{use.name} (own {number + 1})"
