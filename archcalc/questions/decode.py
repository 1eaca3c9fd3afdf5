"""What decoding costs: one more token, with the keys and values of those before it in a cache."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, to_builtins

from archcalc import __version__
from archcalc.algebra.dtype import MODEL_DTYPES, bytes_of
from archcalc.algebra.num import differ, is_symbolic
from archcalc.algebra.ops import Ops
from archcalc.errors import ModelError, UsageError
from archcalc.layers.attention import KEY, MASK, QUERY, Attention
from archcalc.layers.layer import Layer, Shape
from archcalc.model.network import Network, one_of
from archcalc.model.sizes import whole_number
from archcalc.model.walk import Answers, Use, answer
from archcalc.views import decode as views

LENGTH = 1  # the axis of positions in (batch, length) and (batch, length, features)


class Row(Struct, frozen=True, gc=False):
    """What one use of a layer costs for one token."""

    name: str
    kind: str
    macs: int  # of pairs that are seen
    weight_bytes: int  # that it reads, at least
    cache_bytes: int  # of keys and values, with this token's


class Totals(Struct, frozen=True):
    """Sums over the rows; and what the tokens before took, all at once."""

    macs: int
    attention_macs: int  # of them, those that grow with the position
    ops: Ops
    prefill_macs: int
    kv_cache_bytes: int
    kv_cache_bytes_per_token: int  # before windows are full
    weight_bytes: int
    read_bytes: int  # weights and cache: what bounds the time of small batches


class Decode(Struct, frozen=True, eq=False):
    """One token at a position, counted from 0; `str()` is the page."""

    model: str
    position: int
    batch: int
    dtype: str
    cache_dtype: str
    rows: tuple[Row, ...]
    totals: Totals

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self)

    def __repr__(self) -> str:
        totals = self.totals
        return f"<Decode of {self.model} at {self.position}: {totals.macs:,} MACs, cache {totals.kv_cache_bytes:,} B>"

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data."""
        head = {"schema_version": 1, "tool": f"archcalc {__version__}"}
        return head | {name: to_builtins(getattr(self, name)) for name in self.__struct_fields__}


def decode(
    model: Network, position: int, *, batch: int = 1, dtype: str = "float32", cache_dtype: str | None = None
) -> Decode:
    """One token of each sequence at this position; see Model.decode."""
    one_of("dtype", dtype, MODEL_DTYPES)
    kept_as = dtype if cache_dtype is None else cache_dtype
    one_of("--cache-dtype", kept_as, MODEL_DTYPES)
    keys = checked(position) + 1
    uses = decoded(model, keys, batch)
    alone(model, uses, keys, batch)
    rows = tuple(row(use, keys, dtype, kept_as) for use in uses)
    before = uses_at(model, keys - 1, batch) if differ(keys, 1) else []
    return Decode(model.name, position, batch, dtype, kept_as, rows, totals(rows, uses, before, kept_as))


def checked(position: int) -> int:
    """The position, if there is such a one; a symbol stands for any."""
    if is_symbolic(position):
        return position
    if isinstance(position, int) and position < 0:
        raise UsageError("--position", "must be at least 0, the first token", f"{position}")
    return position and whole_number("--position", position)


def sequence(model: Network) -> tuple[str, Shape]:
    """The name and shape of the input, which must be a sequence."""
    if len(model.inputs) != 1:
        raise ModelError("decode", "the model must have one input, a sequence", ", ".join(model.inputs))
    ((name, item),) = model.inputs.items()
    if len(item.shape) > 2 or (len(item.shape) == 1 and item.dtype is None):
        rule = "the input must be a sequence, of tokens or of (length, features)"
        raise ModelError("decode", rule, f"{name}: {list(item.shape)}")
    return name, item.shape


def uses_at(model: Network, length: int, batch: int, ask: Any = answer) -> list[Use]:
    """The walk over a sequence of so many positions."""
    name, (_, *features) = sequence(model)
    return model.walk({name: (whole_number("batch", batch), length, *features)}, ask)


def decoded(model: Network, keys: int, batch: int) -> list[Use]:
    """The walk over one position, in which every attention reads so many keys."""

    def ask(layer: Layer, xs: tuple[Shape, ...]) -> Answers:
        return answer(layer, cached_shapes(xs, keys) if isinstance(layer, Attention) else xs)

    sequence(model)
    uses = uses_at(model, 1, batch, ask)
    attentions = [use for use in uses if isinstance(use.layer, Attention)]
    if not attentions:
        raise ModelError("decode", "needs an attention whose keys and values are kept", f"none in {model.name}")
    for use in attentions:
        if not getattr(use.layer, "causal", False):
            raise ModelError("decode", "every attention must be causal: later tokens are not there yet", use.name)
        if len(use.xs) > MASK:
            raise ModelError("decode", "an attention must do without a mask of one length", use.name)
    return uses


def cached_shapes(xs: Sequence[Shape], keys: int) -> tuple[Shape, ...]:
    """The inputs of an attention with so many keys and values."""
    longer = (tuple(keys if at == len(x) - 2 else n for at, n in enumerate(x)) for x in xs[KEY:MASK])
    return (xs[QUERY], *longer)


def alone(model: Network, uses: Sequence[Use], keys: int, batch: int) -> None:
    """Refuse a model in which something else than attention looks at other positions, or that is never so long.

    What a layer does for all positions must be so many times what it does for one, with the same weights.
    """
    for use, whole in zip(uses, uses_at(model, keys, batch), strict=True):
        if isinstance(use.layer, Attention):
            apart = any(differ(a, b) for a, b in zip(use.xs[QUERY][-2:-1], use.xs[KEY][-2:-1], strict=True))
        else:
            one, every = use.answers, whole.answers
            pairs = ((one.macs, every.macs), (one.elements, every.elements), (one.ops.total, every.ops.total))
            apart = one.shapes != every.shapes or any(differ(a * keys, b) for a, b in pairs)
        if apart:
            rule = "a layer other than attention must treat every position by itself"
            raise ModelError("decode", rule, f"{use.name} ({use.kind})")


def row(use: Use, keys: int, dtype: str, kept_as: str) -> Row:
    """One use for one token."""
    layer, weights = use.layer, use.layer.reads_weights(use.xs, use.answers.y)
    kept = layer.cached(use.xs, keys) if isinstance(layer, Attention) else 0
    return Row(use.name, use.kind, use.answers.macs_exact, bytes_of(weights, dtype), bytes_of(kept, kept_as))


def totals(rows: Sequence[Row], uses: Sequence[Use], before: Sequence[Use], kept_as: str) -> Totals:
    """Sums, and the prefill."""
    attentions = [use for use in uses if isinstance(use.layer, Attention)]
    each = sum(use.layer.cached(use.xs, 1) for use in attentions)  # type: ignore[attr-defined]
    cache, weights = (sum(getattr(item, name) for item in rows) for name in ("cache_bytes", "weight_bytes"))
    return Totals(
        macs=sum(item.macs for item in rows),
        attention_macs=sum(use.answers.macs_exact for use in attentions),
        ops=sum((use.answers.ops for use in uses), Ops()),
        prefill_macs=sum(use.answers.macs_exact for use in before),
        kv_cache_bytes=cache,
        kv_cache_bytes_per_token=bytes_of(each, kept_as),
        weight_bytes=weights,
        read_bytes=weights + cache,
    )
