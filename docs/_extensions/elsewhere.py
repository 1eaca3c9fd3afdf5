"""What other frameworks call a kind, where one of the tables by which their models are read or printed says so."""

from collections.abc import Iterator

from archcalc.dialects import keras, onnx_elements, torchinfo
from archcalc.dialects.keras_layers import FUNCTIONS
from archcalc.dialects.keras_sequence import CELLS
from archcalc.dialects.onnx_operators import OPERATORS
from archcalc.layers.layer import KINDS, Kind
from archcalc.views.table import Table

ONNX = {
    **onnx_elements.PLAIN,
    **{operator: function for operator, (function, _) in onnx_elements.WITH_ALPHA.items()},
    **onnx_elements.JOINS,
    **dict.fromkeys(onnx_elements.RELATIONS, "compare"),
}


def table(kind: Kind) -> Iterator[str]:
    """The names by framework."""
    axes = len(kind.on[0]) if kind.on else 0
    names = {"PyTorch": _torch(kind, axes), "Keras": _keras(kind, axes), "ONNX": _onnx(kind)}
    rows = tuple((framework, ", ".join(f"`{name}`" for name in said)) for framework, said in names.items() if said)
    if rows:
        yield Table(("framework", "its name"), (False, False), rows).markup("markdown")


def _torch(kind: Kind, axes: int) -> list[str]:
    known = torchinfo.NAMES.get(kind.name)
    return [f"torch.nn.{known.replace('{}', str(max(1, axes - 2)))}"] if known else []


def _keras(kind: Kind, axes: int) -> list[str]:
    name = keras.class_name(kind.name, axes)
    layers = [name] if kind.name in keras.NAMES else [cell for cell, ours in CELLS.items() if ours == kind.name]
    words = [word for word, ours in FUNCTIONS.items() if ours == kind.name]
    return [f"keras.layers.{layer}" for layer in layers] + [f'activation="{word}"' for word in words]


def _onnx(kind: Kind) -> list[str]:
    """Operators that a table gives to the kind, that are spelled as it is, or whose reader bears its name."""
    return [operator for operator, reader in OPERATORS.items() if _read_as(operator, reader.__name__) == kind.name]


def _read_as(operator: str, reader: str) -> str:
    plain = {kind.replace("_", ""): kind for kind in KINDS}
    return ONNX.get(operator) or plain.get(operator.lower(), reader.replace("average", "avg"))
