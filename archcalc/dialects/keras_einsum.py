"""EinsumDense: an equation between an input and a weight, as a dense layer or a grouped convolution."""

import re

from msgspec import Struct

from archcalc import layers
from archcalc.algebra.num import prod
from archcalc.dialects.keras_layers import activated, reads
from archcalc.dialects.keras_moves import permuted
from archcalc.dialects.keras_weave import Call, Value
from archcalc.layers.layer import Layer

EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]*)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]*)(\.\.\.)?", re.ASCII)
SPARE = "0123456789"  # labels for the axes that dots stand for


class Equation(Struct, frozen=True):
    """Labels of the input's axes, the weight's and the output's, the batch first."""

    x: str
    weight: str
    y: str

    def named(self, places: str) -> list[str]:
        """Labels of a role: what the three tensors have of it, x, weight and y, is written as 1 or 0."""
        labels = dict.fromkeys(self.x + self.weight + self.y)
        have = {label: "".join(str(int(label in side)) for side in (self.x, self.weight, self.y)) for label in labels}
        return [label for label, where in have.items() if where == places]


@reads("EinsumDense")
def _einsum(call: Call) -> list[Value]:
    x = call.written()
    equation = _parsed(call, x)
    if equation is None or call.lead:
        return call.unknown()
    sizes = _sizes(call, equation, x)
    kept, summed, made, grouped = (equation.named(places) for places in ("101", "110", "011", "111"))
    bias = call.config.given("bias_axes", None)
    plain = not set(equation.x + equation.weight + equation.y) - {*kept, *summed, *made, *grouped}
    whole_bias = bias is None or sorted(str(bias)) == sorted([*made, *grouped])
    if not plain or not whole_bias or equation.x[0] not in kept:
        return call.unknown()
    layer = _layer(sizes, made, grouped, bias is not None)
    return activated(call, _applied(call, x, equation, layer, sizes))


def _parsed(call: Call, x: Value) -> Equation | None:
    text = call.config.text("equation").replace(" ", "")
    match = EQUATION.fullmatch(text)
    if match is None:
        raise call.config.error("equation must be such as ab,bc->ac", text)
    front, labels, behind, weight, front_y, labels_y, behind_y = match.groups()
    dots = x.rank - len(labels)
    if (front and behind) or bool(front or behind) != bool(front_y or behind_y) or (front is None) != (front_y is None):
        raise call.config.error("dots must stand at the same end of the input and the output", text)
    if dots < 0 or (dots and not (front or behind)) or dots > len(SPARE):
        raise call.config.error(f"the equation must name the {x.rank} axes of the input", text)
    more = SPARE[:dots]
    sides = [f"{more}{side}" if front else f"{side}{more}" for side in (labels, labels_y)]
    if any(len(set(side)) < len(side) for side in (*sides, weight)):
        return None
    return Equation(sides[0], weight, sides[1])


def _sizes(call: Call, equation: Equation, x: Value) -> dict[str, int]:
    """Sizes by label: the input's from the input, the others from the output shape that the layer states."""
    sizes = dict(zip(equation.x, x.shape, strict=True))
    given = call.config.given("output_shape")
    stated = list(given) if isinstance(given, list | tuple) else [given]
    for label, size in zip(reversed(equation.y), reversed(stated), strict=False):
        if label not in sizes:
            named = type(call.config)(call.config.kind, {"output_shape": size}, call.config.where)
            sizes[label] = named.whole("output_shape")
    missing = [label for label in dict.fromkeys(equation.y + equation.weight) if label not in sizes]
    if missing:
        raise call.config.error("output_shape must give the size of each new axis", ", ".join(missing))
    return sizes


def _layer(sizes: dict[str, int], made: list[str], grouped: list[str], bias: bool) -> Layer:
    units = prod(sizes[label] for label in made)
    groups = prod(sizes[label] for label in grouped)
    return (
        layers.Dense(units, bias=bias)
        if not grouped
        else layers.Conv(groups * units, kernel=1, groups=groups, bias=bias)
    )


def _applied(call: Call, x: Value, equation: Equation, layer: Layer, sizes: dict[str, int]) -> Value:
    """Axes in the order that the layer takes, joined; the layer; axes apart again, in the order of the equation."""
    kept, summed, made, grouped = (equation.named(places) for places in ("101", "110", "011", "111"))
    rows, batch = [label for label in kept if label != equation.x[0]], equation.x[0]
    dense = isinstance(layer, layers.Dense)
    wanted = [*rows, *summed] if dense else [*grouped, *summed, *rows]
    x = _ordered(call, x, equation.x, [batch, *wanted], "turned")
    features = prod(sizes[label] for label in (*grouped, *summed))
    lengths = [sizes[label] for label in rows] or ([] if dense else [1])
    laid = (*lengths, features) if dense else (features, *lengths)
    if x.shape[1:] != laid:
        x = call.add(layers.Reshape(shape=laid), x, part="joined", first=False)
    y = call.add(layer, x, first=False)
    labels = [*rows, *made] if dense else [*grouped, *made, *rows]
    apart = tuple(sizes[label] for label in labels)
    if y.shape[1:] != apart:
        y = call.add(layers.Reshape(shape=apart), y, part="apart", first=False)
    return _ordered(call, y, "".join([batch, *labels]), list(equation.y), "ordered")


def _ordered(call: Call, x: Value, labels: str, wanted: list[str], part: str) -> Value:
    if list(labels) == wanted:
        return x
    return permuted(call, x, [labels.index(label) for label in wanted[1:]], part)
