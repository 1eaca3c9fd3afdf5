"""Random configurations of attention, and of gated and routed layers."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from archcalc import layers
from archcalc.crosscheck.drawn import Case, Draw, accepted, batches, tensor
from archcalc.layers.layer import Kind, Layer, Shape

lengths = st.integers(1, 6)


def limits(draw: Draw) -> dict[str, Any]:
    """What a query does not see."""
    return {"causal": draw(st.booleans()), "window": draw(st.none() | st.integers(1, 7))}


@st.composite
def cores(draw: Draw, kind: Kind) -> Case:
    """Queries beside keys, in heads of their own or in groups, with a mask or without."""
    batch, groups, each, width, other = draw(batches), *(draw(st.integers(1, n)) for n in (2, 2, 3, 3))
    keys = draw(lengths)
    queries, heads = draw(st.integers(1, keys)), groups * each
    wide = draw(st.sampled_from([width, width, other]))  # of values
    fields = limits(draw) | {"backend": draw(st.sampled_from(["flash", "math"]))}
    xs: tuple[Shape, ...] = ((batch, heads, queries, width), (batch, groups, keys, width), (batch, groups, keys, wide))
    if draw(st.booleans()):
        fields |= {"heads": heads, "kv_heads": groups if each > 1 else None}
        xs = tuple(draw(st.sampled_from([x, (x[0], x[2], x[1] * x[3])])) for x in xs)
    if draw(st.integers(0, 3)) == 0:
        xs = (*xs, tuple(draw(st.sampled_from([n, 1])) for n in (batch, heads, queries, keys)))
    return accepted(lambda: layers.Attention(**fields), *xs)


@st.composite
def splits(draw: Draw, kind: Kind) -> Case:
    """Features divided among heads."""
    heads = draw(st.integers(1, 3))
    return accepted(lambda: layers.SplitHeads(heads=heads), (draw(batches), draw(lengths), heads * draw(lengths)))


@st.composite
def blocks(draw: Draw, kind: Kind) -> Case:
    """Projections around a core, on itself or on a memory."""
    groups, each, keys = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(lengths)
    batch, features, head_width = (
        draw(batches),
        groups * each * draw(st.integers(1, 2)),
        draw(st.sampled_from([None, 2])),
    )
    fields = limits(draw) | {
        "heads": groups * each, "kv_heads": groups if each > 1 else None, "head_width": head_width,
        "bias": draw(st.booleans()), "out_bias": draw(st.sampled_from([None, True, False])),
        "rotary": 8 if head_width and draw(st.booleans()) else None,
        "backend": draw(st.sampled_from(["flash", "math"])),
    }  # fmt: skip
    queries = draw(st.integers(1, keys))
    memory = [(batch, keys, draw(st.integers(1, 3))) for _ in range(draw(st.integers(0, 2)))]
    xs = ((batch, queries if memory else keys, features), *memory)
    return accepted(lambda: layers.MultiHeadAttention(**fields), *xs)


@st.composite
def gated(draw: Draw, kind: Kind) -> Case:
    """A gated perceptron on rows."""
    fields = {"hidden": draw(st.integers(1, 5)), "bias": draw(st.booleans())}
    fields["activation"] = draw(st.sampled_from(["silu", "gelu", "gelu_tanh", "relu", "sigmoid"]))
    return accepted(lambda: layers.GatedMLP(**fields), tensor(draw, most=4))


def routing(draw: Draw) -> tuple[int, dict[str, Any]]:
    """How many experts there are, and what each token does with them."""
    experts = draw(st.integers(1, 4))
    fields = {"top_k": draw(st.integers(1, experts)), "hidden": draw(st.integers(1, 3))}
    return experts, fields | {"activation": draw(st.sampled_from(["silu", "gelu", "relu"]))}


@st.composite
def routed(draw: Draw, kind: Kind) -> Case:
    """Tokens and their scores."""
    experts, fields = routing(draw)
    x = tensor(draw, most=3)
    return accepted(lambda: layers.Experts(**fields), x, (*x[:-1], experts))


@st.composite
def mixtures(draw: Draw, kind: Kind) -> Case:
    """A router and its experts, some of them for all tokens."""
    experts, fields = routing(draw)
    shared = draw(st.integers(0, 2))
    return accepted(lambda: layers.MixtureOfExperts(experts=experts, shared=shared, **fields), tensor(draw, most=3))


STRATEGIES: dict[type[Layer], Callable[[Kind], st.SearchStrategy[Case]]] = {
    layers.Attention: cores,
    layers.SplitHeads: splits,
    layers.MultiHeadAttention: blocks,
    layers.GatedMLP: gated,
    layers.Experts: routed,
    layers.MixtureOfExperts: mixtures,
}
