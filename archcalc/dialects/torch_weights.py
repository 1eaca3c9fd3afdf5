"""Weights of a built network carried over to the network that a transform made of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archcalc.errors import ModelError
from archcalc.model.network import Network
from archcalc.model.sizes import full_shapes
from archcalc.questions.wiring import Tensors, Transform

OWN = "own"  # where a level keeps the module that goes by the level's own name, such as the join of its branches


def carry(made: Transform, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state_dict of `build(made.after)` that computes what `build(made.before)` does with this one.

    Raises ModelError where a transform changes what is computed, or the tensors are not the model's.
    """
    before, after = keys_of(made.before), keys_of(made.after)
    missing = next((key for key in before if key not in state), None)
    if missing is not None:
        raise ModelError("torch", "the state_dict must be of the model that was changed", f"none named {missing}")
    tensors: Tensors = {}
    for key, (use, name) in before.items():
        tensors.setdefault(use, {})[name] = state[key].detach().cpu().numpy()
    arrays = made.weights(tensors)
    like = next((tensor for tensor in state.values() if tensor.is_floating_point()), torch.zeros(()))
    return {key: _tensor(arrays[use][name], like) for key, (use, name) in after.items()}


def _tensor(array: Any, like: Tensor) -> Tensor:
    tensor = torch.from_numpy(np.array(array))
    return tensor.to(like.device, like.dtype if tensor.is_floating_point() else tensor.dtype)


def keys_of(model: Network) -> dict[str, tuple[str, str]]:
    """Names in a state_dict → the use of a layer, and its tensor's name."""
    uses = model.walk(full_shapes(model.inputs, None, batch=1))
    levels = {use.name[:at] for use in uses for at, letter in enumerate(use.name) if letter == "/"}
    paths = {use.name: use.name.replace("/", ".") + (f".{OWN}" if use.name in levels else "") for use in uses}
    return {f"{paths[use.name]}.{name}": (use.name, name) for use in uses for name in use.answers.weights}
