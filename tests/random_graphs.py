"""Random small networks with branches, and which pixels really move which cell: the reference for receptive fields."""

import random

import torch

from archcalc import Model, layers
from archcalc.errors import ArchcalcError
from archcalc.layers.layer import Shape
from archcalc.model.graph import Input, Node

LOUD = 1e12  # added to a pixel, more than any other value of the network, so that a maximum chooses it
QUIET = 0.37


def pair(rng, low, high):
    return (rng.randint(low, high), rng.randint(low, high))


def around(rng, most):
    return (pair(rng, 0, most), pair(rng, 0, most))


def window(rng, *, dilation=True):
    found = {"kernel": pair(rng, 1, 4), "stride": pair(rng, 1, 3)}
    return found | ({"dilation": pair(rng, 1, 2)} if dilation else {})


def conv(rng):
    padding = rng.choice(["same", "valid", around(rng, 4), rng.randint(0, 2)])
    return layers.Conv(filters=rng.randint(1, 3), padding=padding, **window(rng))


def depthwise(rng):
    return layers.DepthwiseConv(kernel=rng.randint(1, 3), stride=rng.randint(1, 2), padding="same")


def max_pool(rng):
    padding = rng.choice(["same", "valid", 0, 1])
    return layers.MaxPool(padding=padding, ceil_mode=rng.random() < 0.5 and padding in (0, 1), **window(rng))


def avg_pool(rng):
    padding = rng.choice(["same", "valid", 0, 1])
    ceil = rng.random() < 0.5 and padding in (0, 1)
    return layers.AvgPool(padding=padding, ceil_mode=ceil, **window(rng, dilation=False))


def conv_transpose(rng):
    if rng.random() < 0.3:
        return layers.ConvTranspose(filters=2, padding=rng.choice(["same", "valid"]), **window(rng))
    fields = window(rng)
    extra = tuple(rng.randint(0, max(s, d) - 1) for s, d in zip(fields["stride"], fields["dilation"], strict=True))
    return layers.ConvTranspose(filters=rng.randint(1, 3), padding=around(rng, 2), output_padding=extra, **fields)


def resize(rng, mode):
    size = {"scale": pair(rng, 1, 3)} if rng.random() < 0.5 else {"size": pair(rng, 1, 13)}
    return layers.Resize(mode=mode, align_corners=mode != "nearest" and rng.random() < 0.4, **size)


def pad(rng):
    return layers.Pad(amount=around(rng, 2), mode=rng.choice(["constant", "reflect", "replicate", "circular"]))


MONOTONE = {  # grows with every value that it sees: a loud pixel shows wherever it is seen
    conv: 5, depthwise: 1, max_pool: 3, avg_pool: 2, conv_transpose: 2, pad: 2,
    (lambda rng: resize(rng, "nearest")): 1,
    (lambda rng: resize(rng, "bilinear")): 1,
    (lambda rng: layers.Crop(amount=around(rng, 1))): 1,
    (lambda _: layers.PixelShuffle(factor=2)): 1,
    (lambda _: layers.PixelUnshuffle(factor=2)): 1,
    (lambda rng: layers.AdaptiveAvgPool(size=pair(rng, 1, 5))): 1,
    (lambda rng: layers.AdaptiveMaxPool(size=pair(rng, 1, 5))): 1,
    (lambda _: layers.Activation("relu", alpha=None)): 1,
    (lambda _: layers.BatchNorm()): 1,
    (lambda _: layers.Permute(order=(0, 1, 3, 2))): 1,
    (lambda _: layers.GlobalAvgPool()): 0.3,
    (lambda rng: layers.Reduce("reduce_mean", axes=(rng.choice([2, 3]),), keep_axes=True)): 0.3,
}  # fmt: skip
SMOOTH = {  # no maximum: a quiet pixel shows
    conv: 4, avg_pool: 2, conv_transpose: 2, pad: 1,
    (lambda rng: resize(rng, "bilinear")): 1,
    (lambda rng: resize(rng, "bicubic")): 3,
    (lambda rng: layers.Softmax(axis=rng.choice([2, 3]))): 0.5,
    (lambda _: layers.LayerNorm(axes=-1)): 0.5,
    (lambda _: layers.InstanceNorm()): 0.3,
    (lambda rng: layers.GLU(axis=rng.choice([2, 3]))): 0.7,
    (lambda _: layers.LocalResponseNorm(size=3)): 0.3,
    (lambda rng: layers.Dense(units=rng.randint(1, 5))): 0.5,
}  # fmt: skip
JOINS = {
    (lambda _: layers.Combine("add")): 4,
    (lambda _: layers.Concat()): 2,
    (lambda rng: layers.Concat(axis=rng.choice([2, 3]))): 1,
    (lambda _: layers.Combine("maximum")): 1,
}  # fmt: skip


def fits(kinds, xs: Shape, rng, cells: int):
    layer = rng.choices(list(kinds), list(kinds.values()))[0](rng)
    try:
        if isinstance(layer, layers.Composite):
            y = xs[0]
            for part in layer.parts(*xs):
                y = part.layer.out(y)
        else:
            y = layer.out(*xs)
    except ArchcalcError:
        return None
    constant = (  # a share of one cell is 1, whatever it holds
        (isinstance(layer, layers.Softmax) and y[layer.axis] == 1)
        or (isinstance(layer, layers.LayerNorm) and y[-1] == 1)
        or (isinstance(layer, layers.InstanceNorm) and y[2] * y[3] == 1)
    )
    small = not constant and len(y) == 4 and y[2] * y[3] <= cells and y[1] <= 12
    return (layer, y) if small else None


def cancels(layer, before, others) -> bool:
    """May something cancel: a share of what is added to all alike, or an average of shares, which never changes?"""
    sharing = (layers.Softmax, layers.LayerNorm, layers.InstanceNorm)
    if isinstance(layer, sharing):
        return bool(before) and not isinstance(before[0], layers.Conv | layers.ConvTranspose)
    averages = isinstance(layer, layers.AvgPool | layers.Resize)
    return averages and any(isinstance(other, sharing) for other in others)


def network(seed: int, *, smooth: bool = False, cells: int = 400) -> Model:
    """A random network of two axes, its last layer the output; the same seed, the same network."""
    rng = random.Random(seed)  # noqa: S311
    inputs = {"x": (rng.randint(1, 2), *pair(rng, 3, 13))}
    if rng.random() < 0.2:
        inputs["z"] = (1, *pair(rng, 3, 9))
    shapes = {name: (1, *shape) for name, shape in inputs.items()}
    nodes: list[Node] = []
    kinds = SMOOTH if smooth else MONOTONE
    wanted = rng.randint(2, 5 if smooth else 9)
    for _ in range(60):
        if len(nodes) == wanted:
            break
        join = rng.random() < 0.35 and not (smooth and rng.random() < 0.5)
        names = list(shapes)
        sources = rng.choices(names[-3:], k=2) if join else [rng.choices(names, range(1, len(names) + 1))[0]]
        options = {k: v for k, v in JOINS.items() if not smooth or k is not list(JOINS)[3]} if join else kinds
        found = fits(options, [shapes[name] for name in sources], rng, cells)
        before = [node.layer for node in nodes if node.name == sources[0]]
        image = found and (found[0].image is not False or sources[0] not in inputs)  # what reads it says that it is one
        if found and image and not cancels(found[0], before, [node.layer for node in nodes]):
            name = f"n{len(nodes)}"
            nodes.append(Node(name, found[0], tuple(sources)))
            shapes[name] = found[1]
    made = {name: Input(shape) for name, shape in inputs.items()}
    return Model(f"random {seed}", made, tuple(nodes), (nodes[-1].name,))


def positive(module: torch.nn.Module, seed: int, *, small: bool) -> torch.nn.Module:
    """The module with positive random numbers, so that nothing cancels; with small ones no sigmoid becomes 1."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.5)
            if small and tensor.ndim > 1:
                tensor.data /= tensor[0].numel()
    return module


def moved(model: Model, seed: int, *, smooth: bool = False) -> dict[str, torch.Tensor] | None:
    """For each input, (pixels …, cells …): does this pixel, all its channels at once, move this cell?"""
    from archcalc.dialects.torch_network import build

    module = positive(build(model).double().eval(), seed, small=smooth)
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: item.shape for name, item in model.inputs.items()}
    still = {
        name: torch.rand((1, *shape), generator=generator, dtype=torch.float64) + 0.5 for name, shape in shapes.items()
    }
    found = {}
    with torch.no_grad():
        before = module(*still.values())
        if not before.isfinite().all():  # a maximum over padding alone, which hides what is added to it
            return None
        for name, (channels, *axes) in shapes.items():
            n = axes[0] * axes[1]
            apart = torch.linspace(1, 1.5, channels, dtype=torch.float64).reshape(1, -1, 1, 1)
            shake = torch.eye(n, dtype=torch.float64).reshape(n, 1, *axes) * apart * (QUIET if smooth else LOUD)
            values = [(x + shake if other == name else x.expand(n, *x.shape[1:])) for other, x in still.items()]
            after = module(*values)
            least = 1e-13 * before.abs() if smooth else 0.1 * before.abs().max()  # more than rounding makes of it
            change = (after - before).abs() > least
            found[name] = change.any(dim=1).reshape(*axes, *before.shape[2:])
    return found
