"""Mixtures of experts: every token goes through a few of many perceptrons, which a router chooses."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees
from archcalc.algebra.num import differ, less, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.layers.activation import TABLE
from archcalc.layers.conv import linear_ops
from archcalc.layers.dense import Dense
from archcalc.layers.join import Combine
from archcalc.layers.layer import Composite, Graded, Layer, Part, Saved, Scratch, Shape, Weight, own, register, shown
from archcalc.layers.transformer import Gate, GatedMLP

TopK = Annotated[int, Meta(description="experts that each token goes through")]
Hidden = Annotated[int, Meta(description="units inside each expert")]


@register("experts", example="experts: {top_k: 2, hidden: 14336, from: [x, scores]}", on=[(1, 16, 4096), (1, 16, 8)])
class Experts(Layer, frozen=True):
    """Send every token through the experts that it scores highest, and add what they say, weighed by those scores.

    Inputs: tokens (batch, …, features), and a score for each expert (batch, …, experts), as a router gives it.
        An expert is a gated_mlp without biases. Weights are the softmax of the scores that are chosen.
    Output: the tokens' shape. Parameters: experts × 3 × hidden × features, all of them held in memory.
    MACs: tokens × top_k × 3 × hidden × features, whichever experts are chosen: none is full, no token is dropped.
    Operations: those of the chosen perceptrons; per token top_k passes that find the highest score of those left, a
        softmax over top_k, and top_k vectors weighed and added.
    Reads: at least top_k experts' weights, where all tokens choose the same.
    Source: Shazeer et al. (2017); Jiang et al. (2024), Mixtral of Experts, §2.1.

    >>> Experts(top_k=2, hidden=14336).weights((1, 16, 4096), (1, 16, 8))["gate"].shape
    (8, 14336, 4096)
    """

    autocast: ClassVar = "half"
    image: ClassVar = False

    top_k: TopK
    hidden: Hidden
    activation: Gate = "silu"

    arity: ClassVar = (2, 2)
    at_least: ClassVar = {"top_k": 1, "hidden": 1}

    def out(self, *xs: Shape) -> Shape:
        tokens, scores = xs
        unlike = any(differ(a, b) for a, b in zip(tokens[:-1], scores[:-1], strict=False))
        if unlike or len(tokens) < 2 or len(tokens) != len(scores):
            raise self.error("needs tokens and their scores, (batch, …) alike", f"{shown(tokens)} and {shown(scores)}")
        if less(scores[-1], self.top_k):
            raise self.error("top_k must be at most the experts", f"top_k={self.top_k}, experts={scores[-1]}")
        return tokens

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        features, experts = xs[0][-1], xs[1][-1]
        into = Weight((experts, self.hidden, features))
        return {"gate": into, "up": into, "down": Weight((experts, features, self.hidden))}

    def chosen(self, xs: Sequence[Shape]) -> int:
        """Tokens, each counted once for every expert that it goes through."""
        return prod(xs[0][:-1]) * self.top_k

    def expert(self, xs: Sequence[Shape]) -> int:
        """Weights of one expert: so many products for each of its tokens."""
        return 3 * self.hidden * xs[0][-1]

    def idle_params(self, *xs: Shape) -> int:
        return (xs[1][-1] - self.top_k) * self.expert(xs)

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.chosen(xs) * self.expert(xs)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        chosen, features, experts, k = self.chosen(xs), xs[0][-1], xs[1][-1], self.top_k
        tokens = chosen // k
        inner = (TABLE[self.activation].per_element + Ops(mul=1)).times(chosen * self.hidden)
        products = linear_ops(self.macs(xs, y), chosen * (2 * self.hidden + features), 0, bias=False)
        compared = tokens * (k * experts - k * (k + 1) // 2 + k - 1)
        shares = Ops(add=chosen - tokens + chosen, cmp=compared, div=chosen, exp=chosen)
        return products + inner + shares + Ops(mul=chosen * features, add=(chosen - tokens) * features)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        """Its three products as one, as deep as all of them."""
        return Product(1, self.chosen(xs), self.hidden, 3 * xs[0][-1])

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        return self.top_k * self.expert(xs)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((*(Link(axis, SAME) for axis in range(1, len(y) - 1)), None), "reads the whole axis")

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """Both inputs of each gate, what each expert said, the shares, who goes where, and where each expert's end."""
        chosen, experts = self.chosen(xs), xs[1][-1]
        kept = [*[chosen * self.hidden] * 2, chosen * xs[0][-1], chosen]
        places = [Saved("own", chosen, "index", "int64"), Saved("own", experts, "index", "int64")]
        return (Saved(0, prod(xs[0])), *(Saved("own", elements, "statistic") for elements in kept), *places)

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """All that is made is held until the end: forward, and backward, where what was not kept is made again."""
        chosen, experts = self.chosen(xs), xs[1][-1]
        wide, inner = chosen * xs[0][-1], chosen * self.hidden
        forward = own(2 * (chosen + wide + inner)) + own(3 * chosen + experts, "int64")
        return forward, own((5 if graded[0] else 3) * wide + 6 * inner) + own(chosen, "int64")


@register("mixture_of_experts", example="mixture_of_experts: {experts: 8, top_k: 2, hidden: 14336}", on=[(1, 16, 4096)])
class MixtureOfExperts(Composite, frozen=True):
    """A router scores all experts for every token, which goes through the best of them, and through shared ones.

    Output: the input's shape. Parameters: features × experts for the router, 3 × hidden × features for each expert,
        and 3 × shared × features. Active for one token: top_k of the experts, all else.
    Operations: those of its parts.
    Source: Jiang et al. (2024), Mixtral; Dai et al. (2024), DeepSeekMoE, for shared experts.
    """

    experts: Annotated[int, Meta(description="how many experts there are to choose from")]
    top_k: TopK
    hidden: Hidden
    shared: Annotated[int, Meta(description="units inside what all tokens go through beside their experts")] = 0
    activation: Gate = "silu"

    at_least: ClassVar = {"experts": 1, "top_k": 1, "hidden": 1, "shared": 0}

    def __post_init__(self) -> None:
        super().__post_init__()
        if less(self.experts, self.top_k):
            raise self.error("top_k must be at most the experts", f"top_k={self.top_k}, experts={self.experts}")

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        router = Part("router", Dense(self.experts, bias=False))
        routed = Part("experts", Experts(self.top_k, self.hidden, self.activation), (0, "router"))
        if self.shared == 0:
            return router, routed
        everyone = Part("shared", GatedMLP(self.shared, self.activation))
        return router, routed, everyone, Part("sum", Combine("add"), ("experts", "shared"))
