"""What decoding costs as a page: one token, its cache, and what it reads, by kinds of layers."""

import textwrap
from collections.abc import Iterator
from typing import Any

from archcalc.algebra.units import grouped, iec, si
from archcalc.views import notebook
from archcalc.views.table import Table

TITLES = ("kind", "uses", "MACs", "weights read", "KV cache")


def text(found: Any, width: int) -> str:
    """The page for a terminal of this width."""
    said = (f"{word:11}{what}" for word, what in summary(found))
    lines = (part for line in said for part in textwrap.wrap(line, width, subsequent_indent=" " * 11))
    return "\n\n".join([heading(found), "\n".join(lines), table(found).text()])


def html(found: Any) -> str:
    """The page for a notebook."""
    head = notebook.heading(found.model, {}, token(found))
    return notebook.frame(head, notebook.entries(summary(found)), notebook.table(table(found)))


def heading(found: Any) -> str:
    """What it is of."""
    return f"{found.model}: {token(found)}"


def token(found: Any) -> str:
    """Which token, in which formats."""
    cache = "" if found.cache_dtype == found.dtype else f", cache in {found.cache_dtype}"
    plural = "" if found.batch == 1 else f" of each of {grouped(found.batch)} sequences"
    return f"the token at position {grouped(found.position)}{plural}, {found.dtype}{cache}"


def summary(found: Any) -> Iterator[tuple[str, str]]:
    """The totals in words."""
    totals = found.totals
    yield "MACs", f"{counted(totals.macs)}; {counted(totals.attention_macs)} of them on {keys(found)}"
    if found.position:
        yield "prefill", f"{counted(totals.prefill_macs)} for what stands before it, all at once"
    yield "KV cache", f"{sized(totals.kv_cache_bytes)}; {sized(totals.kv_cache_bytes_per_token)} for each token"
    yield "reads", f"{sized(totals.read_bytes)} at least: the cache, and {sized(totals.weight_bytes)} of weights"
    yield "intensity", f"{2 * totals.macs / totals.read_bytes:.3g} FLOP for each byte that is read"


def keys(found: Any) -> str:
    """What the token attends to; a window that is full holds fewer."""
    totals = found.totals
    if totals.kv_cache_bytes < (found.position + 1) * totals.kv_cache_bytes_per_token:
        return "as many keys as each window holds"
    return f"{grouped(found.position + 1)} key{'s' if found.position else ''}"


def counted(n: int) -> str:
    """A count, and rounded if it is large."""
    return f"{grouped(n)} = {si(n)}" if n >= 10**6 else grouped(n)


def sized(n: int) -> str:
    """Bytes, and rounded if they are many."""
    return f"{grouped(n)} B" + (f" = {iec(n)}" if n >= 1024 else "")


def table(found: Any) -> Table:
    """A row for each kind of layer that takes anything, and the totals."""
    kinds: dict[str, list[int]] = {}
    for row in found.rows:
        sums = kinds.setdefault(row.kind, [0, 0, 0, 0])
        for place, n in enumerate((1, row.macs, row.weight_bytes, row.cache_bytes)):
            sums[place] += n
    rows = [(kind, *map(grouped, sums)) for kind, sums in kinds.items() if any(sums[1:])]
    whole = (len(found.rows), found.totals.macs, found.totals.weight_bytes, found.totals.kv_cache_bytes)
    return Table(TITLES, (False, True, True, True, True), tuple(rows), ("total", *map(grouped, whole)))
