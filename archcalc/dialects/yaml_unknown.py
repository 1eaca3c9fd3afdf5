"""The line `unknown`: an operator that is named and not counted, so that a partial model stays partial in its spec."""

from collections.abc import Mapping
from typing import Any

from archcalc.algebra.num import less
from archcalc.dialects.fields import Field, shown, take
from archcalc.dialects.yaml_text import Value
from archcalc.errors import ModelError, nearest
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.unknown import Unknown

UNKNOWN = "unknown"
FIELDS = {
    field.name: field
    for field in (
        Field("operator", str, "what it is called where it comes from", required=True),
        Field("output", Shape, "its output's shape, with the batch", required=True),
        Field("seen", tuple[Shape, ...], "the input shapes that the output belongs to; none: any", False, ()),
    )
}


def unknown_layer(given: Mapping[str, Value], names: Mapping[str, Any]) -> Layer:
    """The layer of a line `unknown`; ModelError says which field is wrong."""
    for name in given:
        if name not in FIELDS:
            raise ModelError("Unknown", "has no such field", name, way_out=nearest(name, FIELDS))
    for field in FIELDS.values():
        if field.required and field.name not in given:
            raise ModelError("Unknown", f"needs the field {field.name} ({field.meaning})")
    known: dict[str, Mapping[str, Any]] = {"operator": {}, "output": names, "seen": names}
    values = {name: take(value, FIELDS[name].type, known[name], f"Unknown: {name}") for name, value in given.items()}
    for shape in (values["output"], *values.get("seen", ())):
        if not shape or any(less(size, 1) for size in shape):
            raise ModelError("Unknown", "sizes must be at least 1, the batch among them", shown(shape))
    return Unknown(**values)
