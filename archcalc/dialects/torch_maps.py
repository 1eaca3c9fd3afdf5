"""Runs the real network on a picture, and returns what a layer made of it."""

import os
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from torch import Tensor, nn

from archcalc.dialects.torch_network import Network, network_of
from archcalc.errors import CannotRun, ModelError, UsageError, nearest
from archcalc.layers.layer import Shape, shown
from archcalc.model.network import Network as Spec
from archcalc.model.walk import Use
from archcalc.views import maps as views

PIXELS = 2**28  # of one picture
SEED = 0  # of weights that are not given


class FeatureMaps(Struct, frozen=True, eq=False):
    """What one layer made of a picture: `values` has the layer's shape without the batch, in float32."""

    model: str
    layer: str
    image: Shape  # channels, height, width
    values: Any
    random_weights: bool
    pixels: Any  # of the picture

    def plot(self, path: str) -> None:
        """Draw a labelled map for each channel, or one strip for a layer without places, into an SVG or PNG file."""
        views.plot(self, path)

    def _repr_html_(self) -> str:
        return views.maps_html(self)

    def __repr__(self) -> str:
        return f"<FeatureMaps of {self.layer} in {self.model}: {shown(self.values.shape)}>"


def feature_maps(model: Spec, image: Any, layer: str | None = None, weights: Any = None) -> FeatureMaps:
    """What a layer makes of one picture.

    `image` is the path of a picture, or an array (height, width) or (channels, height, width) of numbers, those of a
    picture being 0 to 1. `layer` is a layer of the spec, by default the last one. `weights` is the path of a saved
    `state_dict` of `archcalc.torch.build(model)`, or such a dictionary; without them PyTorch's initial ones (seed 0).
    Raises UsageError for a picture that does not fit or a layer that is not there, ModelError where the picture is too
    small, or weights are of other shapes.
    """
    pixels = picture(image, channels_of(model))
    shapes = {next(iter(model.inputs)): (1, *pixels.shape)}
    uses = model.walk(shapes)
    name = named(uses, layer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = network_of(model, uses, device="cpu").eval()
    if weights is not None:
        filled(network, weights)
    values = output_of(network, name, torch.from_numpy(pixels)[None])
    return FeatureMaps(model.name, name, pixels.shape, values[0].numpy(), weights is None, pixels)


def channels_of(model: Spec) -> int:
    """Channels of the one picture that the model takes."""
    if len(model.inputs) != 1:
        raise UsageError("--image", "needs a model with one input", ", ".join(model.inputs))
    (item,) = model.inputs.values()
    if len(item.shape) != 3 or item.dtype is not None:
        raise UsageError("--image", "needs a model whose input is channels × height × width", shown(item.shape))
    return item.shape[0]


def picture(image: Any, channels: int) -> np.ndarray[Any, Any]:
    """A picture as float32 (channels, height, width); that of a file is 0 to 1."""
    pixels = from_file(image) if isinstance(image, str | os.PathLike) else np.asarray(image, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = pixels[None]
    if pixels.ndim != 3 or not pixels.size:
        raise UsageError("--image", "must be channels × height × width", shown(pixels.shape))
    if pixels.shape[0] != channels:
        rule = f"must have the model's channels: {channels}"
        way_out = "convert it to grey" if channels == 1 else "convert it to RGB" if channels == 3 else ""
        raise UsageError("--image", rule, f"{pixels.shape[0]}", way_out=way_out)
    if not np.isfinite(pixels).all():
        raise UsageError("--image", "must hold finite numbers", "infinite or undefined ones")
    return np.ascontiguousarray(pixels, dtype=np.float32)


def from_file(path: Any) -> np.ndarray[Any, Any]:
    """The picture in a file: grey or colours, 0 to 1."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError as error:
        raise CannotRun("--image", "needs Pillow", str(error), way_out="pip install 'archcalc[plot]'") from None
    try:
        with Image.open(path) as file:
            if file.width * file.height > PIXELS:
                raise UsageError("--image", f"must have at most {PIXELS:,} pixels", f"{file.width} × {file.height}")
            grey = file.mode in ("1", "L", "LA", "I;16", "I", "F")
            pixels = np.asarray(file.convert("L" if grey else "RGB"), dtype=np.float32) / 255
    except FileNotFoundError:
        raise UsageError("--image", "no such file", str(path)) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        got = f"{path}: {' '.join(str(error).split())[:120]}"
        raise UsageError("--image", "must be a picture that Pillow reads", got) from None
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def named(uses: Sequence[Use], layer: str | None) -> str:
    """The layer that is meant: by name, or the last one."""
    names = [use.name for use in uses]
    if layer is None:
        return names[-1]
    found = [use.name for use in uses if layer in (use.name, use.node.name)]
    if not found:
        raise UsageError("--layer", "must name a layer of the model", layer, way_out=nearest(layer, names))
    return found[-1]


def filled(network: nn.Module, weights: Any) -> None:
    """Put weights in: every tensor of the network, of its shape, and no other."""
    given = read_weights(weights) if isinstance(weights, str | os.PathLike) else weights
    if not isinstance(given, Mapping) or not all(isinstance(tensor, Tensor) for tensor in given.values()):
        rule = "must be a state_dict: tensors by name"
        raise ModelError("--weights", rule, type(given).__name__, way_out="torch.save(network.state_dict(), path)")
    own = network.state_dict()
    for name, tensor in own.items():
        if name not in given:
            raise ModelError("--weights", f"must hold {name}", ", ".join(list(given)[:3]) or "nothing",
                             way_out=nearest(name, list(given)))  # fmt: skip
        if given[name].shape != tensor.shape:
            got = shown(tuple(given[name].shape))
            raise ModelError("--weights", f"{name} must be {shown(tuple(tensor.shape))}", got)
    for name in given:
        if name not in own:
            raise ModelError("--weights", "must belong to the model", name, way_out=nearest(name, list(own)))
    network.load_state_dict(given)


def read_weights(path: Any) -> Any:
    """Tensors from a file that PyTorch saved; nothing in it is run."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError("--weights", "no such file", str(path)) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        got = f"{path}: {' '.join(str(error).split())[:120]}"
        raise ModelError("--weights", "must be a file of tensors as torch.save writes it", got) from None


def output_of(network: Network, name: str, x: Tensor) -> Tensor:
    """Run the network, and keep what one layer returned."""
    (path,) = (path for called, path, _ in network.calls if called == name)
    seen: list[Tensor] = []
    hook = network.get_submodule(path).register_forward_hook(lambda _, __, y: seen.append(y.detach()))
    try:
        with torch.no_grad():
            network(x)
    finally:
        hook.remove()
    return seen[-1]
