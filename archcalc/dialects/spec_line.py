"""A layer, or a layer on inputs of its own, written as a spec that can be pasted back."""

from typing import Any

from archcalc.layers.layer import KINDS, Layer, Shape


def line_of(layer: Layer) -> str:
    """The layer as a line of a spec: its kind, and the fields that differ from their defaults.

    >>> from archcalc.layers import Conv
    >>> line_of(Conv(filters=4, kernel=(3, 1), padding="same"))
    'conv: {filters: 4, kernel: [3, 1], padding: same}'
    """
    fixed = KINDS[layer.kind].fixed
    names = type(layer).__struct_fields__
    defaults = dict(zip(reversed(names), reversed(type(layer).__struct_defaults__), strict=False))
    fields = {
        name: getattr(layer, name)
        for name in names
        if name not in fixed and (name not in defaults or getattr(layer, name) != defaults[name])
    }
    return f"{layer.kind}: {{{', '.join(f'{name}: {_value(value)}' for name, value in fields.items())}}}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and "," in value:
        return f'"{value}"'
    return "null" if value is None else str(value)


def spec_of(layer: Layer, xs: tuple[Shape, ...], dtypes: tuple[str | None, ...]) -> str:
    """A model of this one layer, reading inputs of these shapes; the batch is not part of a spec."""
    names = [f"x{number}" for number in range(1, len(xs) + 1)]
    inputs = [
        f"  {name}: {_value(x[1:])}" if dtype is None else f"  {name}: {{shape: {_value(x[1:])}, dtype: {dtype}}}"
        for name, x, dtype in zip(names, xs, dtypes, strict=True)
    ]
    line = line_of(layer)
    reads = f"from: [{', '.join(names)}]"
    if names:
        line = f"{line[:-1]}, {reads}}}" if not line.endswith("{}") else f"{line[:-1]}{reads}}}"
    given = ["inputs:", *inputs] if inputs else ["inputs: {unread: [1]}"]  # a spec has one, whoever reads it
    return "\n".join(["archcalc: 1", f"name: {layer.kind}_case", *given, "layers:", f"  - {line}"])
