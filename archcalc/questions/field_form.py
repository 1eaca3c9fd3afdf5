"""The receptive field of a layer as expressions in hyperparameters, such as the size of a kernel."""

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
from msgspec import Struct

from archcalc.algebra.symbolic import normal
from archcalc.errors import ModelError, UsageError
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import outline
from archcalc.questions.field import Tracer, default, named, places_of
from archcalc.questions.symbols import chosen
from archcalc.views import field_form as views


class FieldForm(Struct, frozen=True):
    """Size, stride and start of a layer's field, an expression for each axis of the input."""

    layer: str
    input: str
    size: tuple[Any, ...]
    stride: tuple[Any, ...]
    start: tuple[Any, ...]

    def __str__(self) -> str:
        lines = (f"{name} {' × '.join(map(str, getattr(self, name)))}" for name in ("size", "stride", "start"))
        return f"{self.layer} on {self.input}: {', '.join(lines)}"

    def _repr_latex_(self) -> str:
        return views.mathematics(self)


def field_form(
    model: Network, symbols: str | Sequence[str], layer: str | None = None,
    input: Sizes | Mapping[str, Sizes] | None = None,
) -> tuple[FieldForm, ...]:  # fmt: skip
    """The field of a layer where these hyperparameters are any number; see Model.field_form."""
    letters = chosen(model, model.settings, symbols)
    if not letters or any(letter.of != "setting" for letter in letters):
        got = ", ".join(letter.name for letter in letters) or "none"
        raise UsageError("--symbols", "of a field must be hyperparameters: it is the same at every size", got)
    values = {letter.name: sympy.Symbol(letter.name, integer=True, positive=True) for letter in letters}
    shapes = full_shapes(model.inputs, input, 1)
    open_model = model.with_settings(values)
    places = {name: places_of(model, name, shape) for name, shape in shapes.items()}
    try:
        uses = open_model.walk(shapes, outline)
        tracer = Tracer(uses, shapes, places)
        rows = [tracer.row(use) for use in uses]
    except TypeError as error:
        got = ", ".join(values)
        raise ModelError("Field", "a layer of this model has no field in symbols", f"{got} ({error})") from None
    use = named(uses, layer) if layer is not None else default(rows, uses)
    row = next(row for row in rows if row.name == use.name)
    parts = ("size", "stride", "start")
    return tuple(
        FieldForm(row.name, name, *(tuple(expression(extent, part) for extent in extents) for part in parts))
        for name, extents in row.extents.items()
    )


def expression(extent: Any, part: str) -> Any:
    """A number of an extent in normal form; branches that differ have none."""
    number = getattr(extent, part)
    if number is None:
        raise ModelError("Field", f"branches must have one {part}", "several")
    return normal(number)
