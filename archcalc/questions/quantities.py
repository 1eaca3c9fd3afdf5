"""The quantities that can be asked for by name, beside a whole report."""

from collections.abc import Sequence

from archcalc.algebra.ops import Ops
from archcalc.errors import UsageError, nearest

OPS = Ops.__struct_fields__
BYTES_OF = {"weight_bytes": "params", "buffer_bytes": "buffers"}  # bytes in the model's dtype of another quantity
QUANTITIES = (
    "output", "params", "trainable_params", "buffers", "macs", "macs_exact", *OPS, "flops", "output_bytes", *BYTES_OF
)  # fmt: skip
USUAL = ("output", "params", "macs", "flops", "output_bytes")


def wanted(
    option: str, text: str | Sequence[str] | None, usual: Sequence[str], known: Sequence[str] = QUANTITIES
) -> list[str]:
    """Names of quantities, given as a list or separated by commas; the usual ones if none is given."""
    given = usual if text is None else [text] if isinstance(text, str) else text
    names = [name for part in given for name in part.split(",")]
    names = list(dict.fromkeys(name.strip() for name in names))
    for name in names:
        if name not in known:
            way_out = nearest(name.lower(), known) or f"known: {', '.join(known)}"
            raise UsageError(option, "must be quantities of the report", repr(name), way_out=way_out)
    return names
