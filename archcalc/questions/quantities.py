"""The quantities that can be asked for by name, beside a whole report."""

from collections.abc import Sequence

from archcalc.algebra.ops import Ops
from archcalc.errors import UsageError, nearest
from archcalc.model.walk import Use

OPS = Ops.__struct_fields__
BYTES_OF = {"weight_bytes": "params", "buffer_bytes": "buffers"}  # bytes in the model's dtype of another quantity
QUANTITIES = (
    "output", "params", "trainable_params", "buffers", "macs", "macs_exact", *OPS, "flops", "output_bytes", *BYTES_OF
)  # fmt: skip
COUNTED = tuple(name for name in QUANTITIES if name != "output")  # those that are one number
USUAL = ("output", "params", "macs", "flops", "output_bytes")


def uses_of(uses: Sequence[Use], layer: str | None) -> list[Use]:
    """The uses of a layer or block; all of them if none is named."""
    found = [use for use in uses if layer is None or use.name == layer or use.name.startswith(f"{layer}/")]
    if not found:
        near = nearest(str(layer), [use.name for use in uses])
        raise UsageError("--layer", "must name a layer or block of the model", str(layer), way_out=near)
    return found


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
