"""Attention: every query weighs the values by how well it matches their keys; and features divided among heads."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.field import SAME, Link, Sees, Sight, spread, through
from archcalc.algebra.num import called, differ, divides, largest, less, prod, smallest
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.algebra.window import Window
from archcalc.layers.conv import linear_ops
from archcalc.layers.layer import Graded, Layer, Saved, Scratch, Shape, own, register, shown
from archcalc.layers.reshape import View

Heads = Annotated[
    int | None,
    Meta(description="heads that the features are divided among; by default heads are an axis of the inputs"),
]
KeyHeads = Annotated[
    int | None, Meta(description="heads of keys and values, each for several queries'; as many if not given")
]
Causal = Annotated[bool, Meta(description="a query sees no key behind its own position")]
Reach = Annotated[
    int | None, Meta(description="keys that a query sees: its own and those before it if causal, else around it")
]
Backend = Annotated[
    Literal["flash", "math"],
    Meta(description="flash: one kernel that keeps no scores; math: products and softmax one after another"),
]
QUERY, KEY, VALUE, MASK = range(4)


@register(
    "attention",
    example="attention: {heads: 12, causal: true, from: [query, key, value]}",
    on=[(1, 1024, 768), (1, 1024, 768), (1, 1024, 768)],
)
class Attention(Layer, frozen=True):
    """Weigh values by how well each query matches their keys: softmax(query · key / √width) · value, head by head.

    Inputs: query, key and value, each (batch, heads, length, width) or, with `heads`, (batch, length, heads × width);
        and a mask added to the scores, if given: (batch, heads, queries, keys), axes of size 1 repeated.
        Fewer key heads than heads, which they divide, serve several heads each (grouped queries).
    Output: (batch, heads, queries, value width) or, with `heads`, (batch, queries, heads × value width). No weights.
    Pairs: queries × keys in each head; of these a causal attention or a window leaves out what a query does not see.
        The last query stands at the last key.
    MACs: batch × heads × pairs × (width + value width), all pairs; macs_exact counts those that are seen.
    Operations: the two products on all pairs; for each pair that is seen a multiplication by 1/√width, an addition of
        the mask, if given, and its part in the softmax of its query. To leave a pair out is no operation.
    Source: docs/conventions.md; Vaswani et al. (2017), Ainslie et al. (2023) for grouped queries, Beltagy et al. (2020)
        for windows.

    >>> Attention(heads=12, causal=True).macs_exact([(1, 1024, 768)] * 3, (1, 1024, 768))
    806092800
    """

    autocast: ClassVar = "half"
    image: ClassVar = False

    heads: Heads = None
    kv_heads: KeyHeads = None
    causal: Causal = False
    window: Reach = None
    backend: Backend = "flash"

    arity: ClassVar = (3, 4)
    at_least: ClassVar = {"heads": 1, "kv_heads": 1, "window": 1}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kv_heads is not None and (self.heads is None or divides(self.kv_heads, self.heads) is False):
            raise self.error("kv_heads must divide the heads", f"kv_heads={self.kv_heads}, heads={self.heads}")

    def out(self, *xs: Shape) -> Shape:
        query, key, value = self.split(xs)
        self.agree(query, key, value)
        queries, keys = query[2], key[2]
        if self.limited and less(keys, queries):
            rule = "a causal attention or a window needs at least as many keys as queries"
            raise self.error(rule, f"{queries} queries, {keys} keys")
        scores = self.scores(xs)
        for mask in xs[MASK:]:
            fits = len(mask) == 4 and not any(differ(a, 1) and differ(a, b) for a, b in zip(mask, scores, strict=True))
            if not fits:
                raise self.error(f"the mask must be {shown(scores)}, or have size 1 in an axis", shown(mask))
        y = (*query[:3], value[3])
        return y if self.heads is None else (query[0], queries, self.heads * value[3])

    def split(self, xs: Sequence[Shape]) -> Sequence[Shape]:
        """Query, key and value as (batch, heads, length, width)."""
        fewer = self.kv_heads or self.heads
        return [self.divided(x, heads) for x, heads in zip(xs, (self.heads, fewer, fewer), strict=False)]

    def divided(self, x: Shape, heads: int | None) -> Shape:
        """An input whose heads are an axis."""
        if len(x) == 4 and heads is not None and differ(x[1], heads):
            raise self.error("an axis of heads must have as many as there are", f"{heads} heads, {shown(x)}")
        if len(x) == 4:
            return x
        if heads is None or len(x) != 3:
            rule = "inputs must be (batch, heads, length, width), or with heads (batch, length, features)"
            raise self.error(rule, f"{shown(x)}{'' if heads is None else f', heads={heads}'}")
        batch, length, features = x
        if divides(heads, features) is False:
            raise self.error("heads must divide the features", f"{heads} heads, {features} features")
        return (batch, heads, length, features // heads)

    def agree(self, query: Shape, key: Shape, value: Shape) -> None:
        """Refuse inputs that do not go together."""
        if any(differ(a, b) for a, b in zip(key[:3], value[:3], strict=True)):
            raise self.error("key and value must agree in all but width", f"{shown(key)} and {shown(value)}")
        if differ(query[0], key[0]) or differ(query[3], key[3]):
            raise self.error("query and key must agree in batch and width", f"{shown(query)} and {shown(key)}")
        if divides(key[1], query[1]) is False:
            raise self.error("key heads must divide the heads", f"{key[1]} key heads, {query[1]} heads")

    @property
    def limited(self) -> bool:
        """Does a query see some of the keys only?"""
        return self.causal or self.window is not None

    def scores(self, xs: Sequence[Shape]) -> Shape:
        """A score for every pair of a query and a key, in every head."""
        (batch, heads, queries, _), (_, _, keys, _), _ = self.split(xs)
        return (batch, heads, queries, keys)

    def reach(self, keys: int) -> tuple[int, int]:
        """How many keys before and behind its own position a query looks for."""
        if self.window is None:
            return keys - 1, 0
        return (self.window - 1, 0) if self.causal else (self.window // 2, (self.window - 1) // 2)

    def pairs(self, queries: int, keys: int) -> int:
        """Pairs of a query and a key that it sees.

        >>> Attention(causal=True, window=3).pairs(5, 5)  # 1 + 2 + 3 + 3 + 3
        12
        """
        if not self.limited:
            return queries * keys
        before, behind = self.reach(keys)
        beyond = over_an_end(before - (keys - queries), queries) + over_an_end(behind, queries)
        return called(queries * (before + 1 + behind) - beyond, "pairs seen")

    def trivial(self, xs: Sequence[Shape]) -> bool:
        """Does every query see one key only, whose value it then takes as it is?"""
        *_, queries, keys = self.scores(xs)
        return differ(self.pairs(queries, keys), queries) is False

    def widths(self, xs: Sequence[Shape]) -> int:
        """Products for each pair: of the query with the key, and of the weight with the value."""
        query, _, value = self.split(xs)
        return query[3] + value[3]

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        return prod(self.scores(xs)) * self.widths(xs)

    def macs_exact(self, xs: Sequence[Shape], y: Shape) -> int:
        batch, heads, queries, keys = self.scores(xs)
        return batch * heads * self.pairs(queries, keys) * self.widths(xs)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        batch, heads, queries, keys = self.scores(xs)
        rows, pairs = batch * heads * queries, batch * heads * self.pairs(queries, keys)
        products = linear_ops(self.macs(xs, y), prod(self.scores(xs)) + prod(y), prod(y), bias=False)
        masked = pairs if len(xs) > MASK else 0
        return products + Ops(mul=pairs, add=masked + pairs - rows + pairs, cmp=pairs - rows, div=pairs, exp=pairs)

    def product(self, xs: Sequence[Shape], y: Shape) -> Product:
        """Both products as one, as deep as both widths together."""
        batch, heads, queries, keys = self.scores(xs)
        return Product(batch * heads, queries, keys, self.widths(xs))

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        *_, queries, keys = self.scores(xs)
        seen = smallest(keys, queries + self.reach(keys)[0]) if self.limited else keys
        if self.trivial(xs):
            return (0, 0, prod(xs[VALUE]) // keys * seen, *(0 for _ in xs[MASK:]))
        mask = tuple(map(prod, xs[MASK:]))
        if mask and xs[MASK][2:] == (queries, keys):
            mask = (prod(xs[MASK][:2]) * self.pairs(queries, keys),)
        return (prod(xs[QUERY]), *(prod(x) // keys * seen for x in xs[KEY:MASK]), *mask)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        heads, length, width = self.links(number, xs)
        why = "compares whole vectors" if number == QUERY else "" if length else "sums over keys"
        if self.heads is None:
            return Sees((heads, length, width), why)
        if length is not None and len(xs[number]) == 3:
            length = Link(1, length.sight)
        return Sees((length, None), why or "divides features among heads")

    def links(self, number: int, xs: Sequence[Shape]) -> tuple[Link | None, Link | None, Link | None]:
        """How the heads, queries and value width of the output go along the axes of an input that has heads."""
        if number == QUERY:
            return (Link(1, SAME), Link(2, SAME), None)
        if number == MASK:
            alike = [differ(a, b) is False for a, b in zip(xs[MASK], self.scores(xs), strict=True)]
            return (Link(1, SAME) if alike[1] else None, Link(2, SAME) if alike[2] else None, None)
        query, key, _ = self.split(xs)
        keys = Link(2, self.sight(query[2], key[2])) if self.limited else None
        return (Link(1, spread(query[1] // key[1])), keys, Link(3, SAME) if number == VALUE else None)

    def sight(self, queries: int, keys: int) -> Sight:
        """The keys that a query sees, as a window that moves with it."""
        before, behind = self.reach(keys)
        return through(Window(kernel=before + 1 + behind, before=before - (keys - queries)))

    def fused(self, xs: Sequence[Shape]) -> bool:
        """Is it one kernel? PyTorch has none for two widths, nor for a mask that needs a gradient."""
        key, value = self.split(xs)[KEY:]
        return self.backend == "flash" and len(xs) == MASK and differ(key[3], value[3]) is False

    def by_mask(self, xs: Sequence[Shape]) -> bool:
        """Must what is left out be told by a mask? PyTorch's kernels know the triangle of equal lengths only."""
        *_, queries, keys = self.scores(xs)
        return self.window is not None or (self.causal and differ(queries, keys) is not False)

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        """Flash: the inputs, the output and a log-sum-exp for each row; on a CPU also the mask of a window.

        Math: scaled queries and keys, the weights of all pairs, and the values, each head's by itself.
        """
        batch, heads, queries, keys = self.scores(xs)
        if self.fused(xs):
            inputs = tuple(Saved(number, prod(x)) for number, x in enumerate(xs))
            rows = Saved("own", batch * heads * queries, "statistic", "float32")
            mask = (Saved("own", queries * keys, "mask"),) if self.by_mask(xs) and device == "cpu" else ()
            return (*inputs, rows, Saved("own" if self.merges(xs) else "output", prod(y)), *mask)
        query, key, value = self.split(xs)
        others = (QUERY, KEY, *range(MASK, len(xs)))  # whose gradients come through the weights
        return (
            Saved("own", prod(query), wanted_by=KEY),
            Saved("own", batch * heads * keys * key[3], wanted_by=QUERY),
            Saved("own", prod(self.scores(xs)), wanted_by=(*others, VALUE)),
            Saved("own" if self.copies(xs) else VALUE, batch * heads * keys * value[3], wanted_by=others),
        )

    def copies(self, xs: Sequence[Shape]) -> bool:
        """Are values copied so that each head's lie together: repeated for groups, or taken out from between others?"""
        (batch, heads, *_), key, _ = self.split(xs)
        between = len(xs[VALUE]) == 3 and all(differ(n, 1) is not False for n in (batch, heads, key[2]))
        return between or differ(heads, key[1]) is not False

    def merges(self, xs: Sequence[Shape]) -> bool:
        """Is the output a copy, in which heads lie side by side? What a kernel writes lies as the query does."""
        apart = len(xs[QUERY]) == 4 or not self.fused(xs)
        return self.heads is not None and apart and all(differ(n, 1) is not False for n in self.scores(xs)[1:3])

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Flash on a CPU: a mask with two sides is made of two.

        Math: scores beside their softmax, and so their gradients; heads of keys repeated for groups. Where scores are
        few, another moment of the layer is the largest, and takes a little less than is said.
        """
        batch, heads, queries, keys = self.scores(xs)
        scores, outputs, rows = prod(self.scores(xs)), prod(y), batch * heads * queries
        if self.fused(xs):
            two = self.window is not None and device == "cpu"
            return room(queries * keys - outputs - rows) if two else (), ()
        query, key, value = self.split(xs)
        all_keys, all_values = batch * heads * keys * key[3], batch * heads * keys * value[3]
        grouped, copied = differ(heads, key[1]) is not False, self.copies(xs)
        beside = (all_keys if grouped else 0) - (all_values if copied and not grouped else 0)
        mask = queries * keys if self.limited else 0
        forward = scores + mask + beside - outputs - (0 if training else all_keys)
        backward = scores - outputs - prod(query) - all_keys - (all_values if copied else 0)
        return room(forward), room(backward)

    def cached(self, xs: Sequence[Shape], positions: int) -> int:
        """Elements of the keys and values that decoding keeps after so many positions, those that a query can see.

        >>> core = Attention(heads=32, kv_heads=8, causal=True, window=4096)
        >>> core.cached([(1, 1, 4096), *[(1, 1, 1024)] * 2], 10_000)
        8388608
        """
        kept = positions if self.window is None else smallest(positions, self.window)
        return sum(batch * heads * kept * width for batch, heads, _, width in self.split(xs)[KEY:])


def over_an_end(reach: int, queries: int) -> int:
    """Keys beyond an end that are looked for: by the nearest query so many, by each next one fewer.

    >>> over_an_end(3, queries=2)
    5
    """
    first = largest(reach, 0)
    left = largest(first - queries, 0)
    return first * (first + 1) // 2 - left * (left + 1) // 2


def room(elements: int) -> tuple[Saved, ...]:
    """A tensor of so many elements, if there are any."""
    return own(largest(elements, 0))


@register("split_heads", example="split_heads: 12", on=[(1, 1024, 768)])
class SplitHeads(View, frozen=True):
    """Divide features among heads: (batch, length, heads × width) to (batch, heads, length, width). 0 operations.

    The same memory, seen otherwise: for what turns or normalises each head by itself before an attention.
    Source: Vaswani et al. (2017), §3.2.2.

    >>> SplitHeads(heads=12).out((1, 1024, 768))
    (1, 12, 1024, 64)
    """

    image: ClassVar = False

    heads: Annotated[int, Meta(description="how many heads there are")]

    at_least: ClassVar = {"heads": 1}

    def out(self, *xs: Shape) -> Shape:
        if len(xs[0]) != 3:
            raise self.error("the input must be (batch, length, features)", shown(xs[0]))
        batch, length, features = xs[0]
        if divides(self.heads, features) is False:
            raise self.error("heads must divide the features", f"heads={self.heads}, features={features}")
        return (batch, self.heads, length, features // self.heads)

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees:
        return Sees((None, Link(1, SAME), None), "divides features among heads", bound=True)

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        return any(differ(n, 1) is False for n in y[1:3])  # else the gradient is laid out anew
