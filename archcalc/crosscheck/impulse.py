"""A linear map that moves with its input is a convolution: its answer to unit impulses, slid, rebuilds every output."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from archcalc.algebra.num import ceil_div

Map = Callable[[Tensor], Any]


def responses(f: Map, shape: Sequence[int], periods: Sequence[int]) -> dict[tuple[int, ...], Tensor]:
    """The answers to a one in each channel, at each place within a period, on a canvas twice as large.

    `shape` is (channels, *axes). The one stands as many whole periods inside as the image has: what comes of it is
    whole, and slides to wherever the image has a cell.
    """
    channels, *axes = shape
    inside = [ceil_div(n, p) * p for n, p in zip(axes, periods, strict=True)]
    canvas = torch.zeros(
        (1, channels, *(n + before for n, before in zip(axes, inside, strict=True))), dtype=torch.float64
    )
    found = {}
    for place in product(range(channels), *map(range, periods)):
        channel, *rest = place
        lit = canvas.clone()
        lit[(0, channel, *(r + before for r, before in zip(rest, inside, strict=True)))] = 1
        found[place] = f(lit)[0]
    return found


def rebuilt(f: Map, x: Tensor, periods: Sequence[int], steps: Sequence[int]) -> Tensor:
    """f(x) from the answers to impulses alone: each cell of x times the answer to a one there, which is a slid one.

    Right where f is linear and moves by `steps` when its input moves by `periods` (see `archcalc properties`);
    zero padding does no harm, for beyond the border stand the same zeros as around an impulse.
    """
    answers = responses(f, x.shape[1:], periods)
    first = next(iter(answers.values()))
    _, channels, *axes = x.shape
    wholes = [ceil_div(n, p) for n, p in zip(axes, periods, strict=True)]
    sizes = [int(m) - w * s for m, w, s in zip(first.shape[1:], wholes, steps, strict=True)]
    y = torch.zeros((x.shape[0], first.shape[0], *sizes), dtype=torch.float64)
    for cell in product(*map(range, axes)):
        turns = [c // p for c, p in zip(cell, periods, strict=True)]
        rest = [c % p for c, p in zip(cell, periods, strict=True)]
        starts = [(w - t) * s for w, t, s in zip(wholes, turns, steps, strict=True)]
        window = tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
        for channel in range(channels):
            slid = answers[(channel, *rest)][(slice(None), *window)]
            here: Any = (slice(None), channel, *cell)
            y += x[here].reshape(-1, *[1] * slid.dim()) * slid
    return y
