"""The letters that a formula of a model can hold: axes of its inputs, the batch, its hyperparameters."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from archcalc.errors import UsageError, nearest
from archcalc.layers.layer import Shape
from archcalc.model.graph import Graph

SPATIAL = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
BATCH = "N"


class Symbol(Struct, frozen=True):
    """A letter, and what it stands for."""

    name: str
    of: Literal["axis", "batch", "setting"]
    input: str = ""
    position: int = 0  # in the full shape, the batch being 0
    usual: bool = False  # does a formula hold it unless it is told otherwise?

    @property
    def meaning(self) -> str:
        """What it stands for, in words."""
        if self.of == "axis":
            return f"axis {self.position} of input {self.input}"
        return "batch" if self.of == "batch" else f"hyperparameter {self.name}"


def symbols_of(graph: Graph, settings: Mapping[str, Any]) -> list[Symbol]:
    """Every letter of a model; with several inputs, axes carry the input's name: H_left."""
    found = []
    for name, item in graph.inputs.items():
        letters = _letters(len(item.shape), image=graph.reads_as_image(name))
        for position, (letter, usual) in enumerate(letters, start=1):
            full = letter if len(graph.inputs) == 1 else f"{letter}_{name}"
            closed = position < len(item.only) and item.only[position] is not None
            found.append(Symbol(full, "axis", name, position, usual and not closed))
    return [*found, Symbol(BATCH, "batch"), *(Symbol(name, "setting") for name in settings)]


def _letters(rank: int, *, image: bool) -> list[tuple[str, bool]]:
    """A letter for each size behind the batch, and whether it is usual."""
    if image:
        spatial = SPATIAL.get(rank - 1, tuple(f"A{number}" for number in range(1, rank)))
        return [("C", False), *((letter, True) for letter in spatial)]
    if rank == 1:
        return [("L", True)]
    return [*((f"L{number}" if rank > 2 else "L", True) for number in range(1, rank)), ("F", False)]


def chosen(graph: Graph, settings: Mapping[str, Any], names: str | Sequence[str] | None) -> list[Symbol]:
    """The letters that are asked for; the sizes of the inputs' axes by default."""
    known = symbols_of(graph, settings)
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    wanted = [symbol.name for symbol in known if symbol.usual] if names is None else list(dict.fromkeys(names))
    layers = {node.name for node in graph.nodes}
    found = []
    for name in wanted:
        fitting = [symbol for symbol in known if symbol.name == name]
        if not fitting:
            listed = ", ".join(f"{symbol.name} ({symbol.meaning})" for symbol in known)
            way_out = nearest(name, [symbol.name for symbol in known], listed=False) or f"known: {listed}"
            raise UsageError(
                "--symbols", "must be letters of the model's sizes or its hyperparameters", name, way_out=way_out
            )
        if len(fitting) > 1:
            both = " and ".join(symbol.meaning for symbol in fitting)
            raise UsageError("--symbols", "must mean one thing", f"{name}: {both}", way_out="rename the hyperparameter")
        if name in layers:
            raise UsageError("--symbols", "must not be the name of a layer", name, way_out="rename the layer")
        found.append(fitting[0])
    return found


def replaced(shapes: Mapping[str, Shape], symbols: Sequence[Symbol], values: Mapping[str, Any]) -> dict[str, Shape]:
    """Full shapes with these values in the place of axes and batch."""
    changed = {name: list(shape) for name, shape in shapes.items()}
    for symbol in symbols:
        if symbol.of == "axis":
            changed[symbol.input][symbol.position] = values[symbol.name]
        elif symbol.of == "batch":
            for shape in changed.values():
                shape[0] = values[symbol.name]
    return {name: tuple(shape) for name, shape in changed.items()}
