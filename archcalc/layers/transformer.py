"""Blocks of transformers that are counted as their parts: multi-head attention, and a gated perceptron."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.num import divides
from archcalc.layers.activation import Activation
from archcalc.layers.attention import Attention, Backend, Causal, Reach, SplitHeads
from archcalc.layers.dense import Dense
from archcalc.layers.join import Combine
from archcalc.layers.layer import Composite, Part, Shape, register, shown
from archcalc.layers.position import Rotary

Gate = Annotated[
    Literal["silu", "gelu", "gelu_tanh", "relu", "sigmoid"], Meta(description="the activation, which opens the gate")
]


@register("multi_head_attention", example="multi_head_attention: {heads: 12, causal: true}", on=[(1, 1024, 768)])
class MultiHeadAttention(Composite, frozen=True):
    """Project queries, keys and values, attend in every head, and project what the heads found.

    Inputs: (batch, length, features); keys and values are made of the second input if there is one, and values of the
        third: cross attention. Output: (batch, length, width).
    Parameters, of width = features: 4 × width² with heads for all, and 4 × width with bias; those of PyTorch's
        MultiheadAttention. Fewer key heads make keys and values narrower.
    Operations: those of four dense layers and an attention; with rotary, queries and keys are turned in between.
    Source: Vaswani et al. (2017), §3.2.2; Ainslie et al. (2023) for key heads.
    """

    heads: Annotated[int, Meta(description="how many heads attend")]
    width: Annotated[int | None, Meta(description="features of the output; the input's if not given")] = None
    kv_heads: Annotated[int | None, Meta(description="heads of keys and values; as many if not given")] = None
    head_width: Annotated[int | None, Meta(description="features of each head; width / heads if not given")] = None
    bias: Annotated[bool, Meta(description="biases of the projections to queries, keys and values")] = True
    out_bias: Annotated[bool | None, Meta(description="bias of the output's projection; as bias if not given")] = None
    causal: Causal = False
    window: Reach = None
    rotary: Annotated[int | None, Meta(description="positions of the rotary table, if queries and keys are turned")] = (
        None
    )
    backend: Backend = "flash"

    arity: ClassVar = (1, 3)
    at_least: ClassVar = {"heads": 1, "width": 1, "kv_heads": 1, "head_width": 1, "window": 1, "rotary": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kv_heads is not None and divides(self.kv_heads, self.heads) is False:
            raise self.error("kv_heads must divide the heads", f"kv_heads={self.kv_heads}, heads={self.heads}")

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        if any(len(x) != 3 for x in xs):
            raise self.error("inputs must be (batch, length, features)", " and ".join(map(shown, xs)))
        width = xs[0][2] if self.width is None else self.width
        if self.head_width is None and divides(self.heads, width) is False:
            raise self.error("heads must divide the width", f"heads={self.heads}, width={width}")
        each = width // self.heads if self.head_width is None else self.head_width
        fewer = self.kv_heads or self.heads
        read = [Part("query", Dense(self.heads * each, self.bias), (0,)), *self.turning("query", self.heads)]
        read += [Part("key", Dense(fewer * each, self.bias), (min(1, len(xs) - 1),)), *self.turning("key", fewer)]
        read += [Part("value", Dense(fewer * each, self.bias), (len(xs) - 1,))]
        core = Attention(self.heads, self.kv_heads, self.causal, self.window, self.backend)
        turned = ("query", "key") if self.rotary is None else ("query_turned", "key_turned")
        out_bias = self.bias if self.out_bias is None else self.out_bias
        output = Part("output", Dense(width, out_bias), ("attention",))
        return (*read, Part("attention", core, (*turned, "value")), output)

    def turning(self, name: str, heads: int) -> Iterator[Part]:
        """Each head by itself is turned, where there is a table."""
        if self.rotary is not None:
            yield Part(f"{name}_heads", SplitHeads(heads), (name,))
            yield Part(f"{name}_turned", Rotary(self.rotary), (f"{name}_heads",))


@register("gated_mlp", example="gated_mlp: 14336", on=[(1, 128, 4096)], main="hidden")
class GatedMLP(Composite, frozen=True):
    """Two dense layers side by side, one through an activation, multiplied; and a third one back to the features.

    Output: the input's shape. Parameters: 3 × hidden × features, and 2 × hidden + features with bias.
    Operations: those of its parts. With silu it is SwiGLU, with gelu GEGLU, with sigmoid GLU.
    Source: Shazeer (2020), GLU Variants Improve Transformer.
    """

    hidden: Annotated[int, Meta(description="units of the two layers side by side")]
    activation: Gate = "silu"
    bias: Annotated[bool, Meta(description="biases of the three dense layers")] = False

    at_least: ClassVar = {"hidden": 1}

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        if len(xs[0]) < 2:
            raise self.error("the input must be (batch, …, features)", shown(xs[0]))
        *_, features = xs[0]
        return (
            Part("gate", Dense(self.hidden, self.bias)),
            Part("activation", Activation(self.activation), ("gate",)),
            Part("up", Dense(self.hidden, self.bias)),
            Part("product", Combine("multiply"), ("activation", "up")),
            Part("down", Dense(features, self.bias), ("product",)),
        )
