"""Programs of attention and of what stands around it: every pair of a query and a key, every expert of a token."""

from collections.abc import Sequence

import numpy as np

from archcalc import layers
from archcalc.crosscheck.naive.elements import FUNCTIONS, exp
from archcalc.crosscheck.naive.linear import dot, rows_times
from archcalc.crosscheck.naive.number import Array, Number, largest, total
from archcalc.crosscheck.naive.program import Weights, compute, filled


@compute.register
def _(layer: layers.Attention, xs: Sequence[Array], weights: Weights) -> Array:
    fewer = layer.kv_heads or layer.heads
    query, key, value = (divided(x, n) for x, n in zip(xs, (layer.heads, fewer, fewer), strict=False))
    y = attended(layer, query, key, value, *xs[3:])
    return y if layer.heads is None else y.swapaxes(1, 2).reshape(len(y), y.shape[2], -1)


def divided(x: Array, heads: int | None) -> Array:
    """Features as heads with features of their own."""
    return x if heads is None or x.ndim == 4 else x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


@compute.register
def _(layer: layers.SplitHeads, xs: Sequence[Array], weights: Weights) -> Array:
    return divided(xs[0], layer.heads)


def attended(layer: layers.Attention, query: Array, key: Array, value: Array, mask: Array | None = None) -> Array:
    """The values weighed for each query; what it does not see counts as padding."""
    y = np.empty((*query.shape[:3], value.shape[3]), dtype=object)
    each = query.shape[1] // key.shape[1]
    spread = None if mask is None else np.broadcast_to(mask, (*query.shape[:3], key.shape[2]))
    for image, head, place in np.ndindex(*query.shape[:3]):
        keys, values = key[image, head // each], value[image, head // each]
        added = None if spread is None else spread[image, head, place]
        seen = [sees(layer, place + len(keys) - query.shape[2], at) for at in range(len(keys))]
        shares = weighed(query[image, head, place], keys, seen, added)
        y[image, head, place] = [dot(shares, column) for column in values.T]
    return y


def sees(layer: layers.Attention, here: int, there: int) -> bool:
    """Does a query see a key, each at its place?"""
    if layer.causal and there > here:
        return False
    if layer.window is None:
        return True
    first = here - (layer.window - 1 if layer.causal else layer.window // 2)
    return first <= there < first + layer.window


def weighed(query: Array, keys: Array, seen: Sequence[bool], mask: Array | None) -> Array:
    """The share of each key: the softmax of the scores of those that are seen."""
    nothing = Number(0.0, query[0].tally, padding=True)
    hidden = np.array([nothing] * len(query), dtype=object)
    scores = [dot(query if shown else hidden, key) for key, shown in zip(keys, seen, strict=True)]
    chosen = [at for at, shown in enumerate(seen) if shown]
    with query[0].tally.apart():
        scaled = {at: scores[at] * len(query) ** -0.5 for at in chosen}
    if mask is not None:
        scaled = {at: score + mask[at] for at, score in scaled.items()}
    shares = dict(zip(chosen, softmax(list(scaled.values())), strict=True))
    return np.array([shares.get(at, nothing) for at in range(len(keys))], dtype=object)


def softmax(numbers: Sequence[Number]) -> list[Number]:
    """Exponentials of what each lies below the largest, divided by their sum."""
    most = largest(numbers)
    powers = [exp(number - most) for number in numbers]
    whole = total(powers)
    return [power / whole for power in powers]


def projected(x: Array, weights: Weights, name: str) -> Array:
    """Rows through a part that is dense."""
    return rows_times(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


@compute.register
def _(layer: layers.MultiHeadAttention, xs: Sequence[Array], weights: Weights) -> Array:
    query, key, value = (
        divided(projected(xs[min(at, len(xs) - 1)], weights, name), heads)
        for at, (name, heads) in enumerate(
            [("query", layer.heads), *((name, layer.kv_heads or layer.heads) for name in ("key", "value"))]
        )
    )
    if layer.rotary is not None:
        with query.flat[0].tally.apart():
            query, key = (turned(layer.rotary, x, weights, f"{n}_turned") for n, x in (("query", query), ("key", key)))
    core = layers.Attention(causal=layer.causal, window=layer.window)
    y = attended(core, query, key, value).swapaxes(1, 2)
    return projected(y.reshape(*y.shape[:2], -1), weights, "output")


def turned(length: int, x: Array, weights: Weights, name: str) -> Array:
    """Each head's features turned by their position."""
    tables = {table: weights[f"{name}.{table}"] for table in ("cosines", "sines")}
    return compute(layers.Rotary(length), [x], tables)


@compute.register
def _(layer: layers.GatedMLP, xs: Sequence[Array], weights: Weights) -> Array:
    gate, up = (projected(xs[0], weights, name) for name in ("gate", "up"))
    with gate.flat[0].tally.apart():
        inner = filled(gate.shape, lambda *at: FUNCTIONS[layer.activation](gate[at], 0.0) * up[at])
    return projected(inner, weights, "down")


@compute.register
def _(layer: layers.Experts, xs: Sequence[Array], weights: Weights) -> Array:
    tokens, scores = xs
    y = np.empty(tokens.shape, dtype=object)
    for at in np.ndindex(*tokens.shape[:-1]):
        chosen = highest(list(scores[at]), layer.top_k)
        shares = softmax([scores[at][expert] for expert in chosen])
        said = [asked(layer.activation, tokens[at], weights, expert) for expert in chosen]
        with tokens.flat[0].tally.apart():
            weighed = [[part * share for part in vector] for vector, share in zip(said, shares, strict=True)]
        y[at] = [total(parts) for parts in zip(*weighed, strict=True)]
    return y


def highest(scores: list[Number], count: int) -> list[int]:
    """Where the highest scores stand, one after another: each pass compares all that are left."""
    left, found = list(range(len(scores))), list[int]()
    for _ in range(count):
        most = largest([scores[at] for at in left])
        found.append(next(at for at in left if scores[at].value == most.value))
        left.remove(found[-1])
    return found


def asked(activation: str, token: Array, weights: Weights, expert: int) -> list[Number]:
    """What one expert says of a token."""
    gate, up = ([dot(token, row) for row in weights[name][expert]] for name in ("gate", "up"))
    with token[0].tally.apart():
        inner = [FUNCTIONS[activation](a, 0.0) * b for a, b in zip(gate, up, strict=True)]
    return [dot(np.array(inner, dtype=object), row) for row in weights["down"][expert]]


@compute.register
def _(layer: layers.MixtureOfExperts, xs: Sequence[Array], weights: Weights) -> Array:
    scores = projected(xs[0], weights, "router")
    stacked = {name: weights[f"experts.{name}"] for name in ("gate", "up", "down")}
    routed = compute(layers.Experts(layer.top_k, layer.hidden, layer.activation), [xs[0], scores], stacked)
    if layer.shared == 0:
        return routed
    own = {name.removeprefix("shared."): weight for name, weight in weights.items() if name.startswith("shared.")}
    everyone = compute(layers.GatedMLP(layer.shared, layer.activation), [xs[0]], own)
    return filled(routed.shape, lambda *at: routed[at] + everyone[at])
