"""Random configurations of the kinds that work on sequences: recurrent ones, einsum, positions."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from archcalc import layers
from archcalc.crosscheck.drawn import Case, Draw, accepted, axes, batches
from archcalc.layers.layer import Kind, Layer

LETTERS = "hqkdmXY"


@st.composite
def recurrents(draw: Draw, kind: Kind) -> Case:
    """A recurrent layer, or several, in one or two directions, with any biases and what only this kind has."""
    fields: dict[str, Any] = dict(kind.fixed) | {
        "units": draw(st.integers(1, 3)),
        "layers": draw(st.integers(1, 2)),
        "bidirectional": draw(st.booleans()),
        "biases": draw(st.integers(0, 2)),
        "returns": draw(st.sampled_from(["sequence", "last"])),
    }
    if fields["layers"] > 1:
        fields["dropout"] = draw(st.sampled_from([0.0, 0.5]))
    if kind.name == "lstm" and fields["units"] > 1:
        fields["projection"] = draw(st.none() | st.integers(1, fields["units"] - 1))
    if kind.name == "rnn":
        fields["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind.name == "gru":
        fields["reset_after"] = draw(st.booleans())
    x = (draw(batches), draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    return accepted(lambda: layers.Recurrent(**fields), x)


@st.composite
def einsums(draw: Draw, kind: Kind) -> Case:
    """Letters that both inputs have, or one, or that are summed over, each term in any order behind the batch."""
    number = draw(st.integers(1, 4))
    homes = draw(st.lists(st.sampled_from(["shared", "left", "right", "summed"]), min_size=number, max_size=number))
    sizes = dict(zip("b" + LETTERS, (draw(batches), *draw(axes(number, high=4))), strict=False))

    def term(*wanted: str) -> str:
        letters = [letter for letter, home in zip(LETTERS, homes, strict=False) if home in wanted]
        return "b" + "".join(draw(st.permutations(letters)))

    first, second = term("shared", "left", "summed"), term("shared", "right", "summed")
    equation = f"{first},{second}->{term('shared', 'left', 'right')}"
    shapes = [tuple(sizes[letter] for letter in letters) for letters in (first, second)]
    return accepted(lambda: layers.Einsum(equation=equation), *shapes)


@st.composite
def added_positions(draw: Draw, kind: Kind) -> Case:
    """A sequence that is as long as its table, or shorter."""
    x = (draw(batches), draw(st.integers(1, 6)), draw(st.integers(1, 5)))
    length = x[1] + draw(st.integers(0, 4))
    return accepted(lambda: layers.AddedPosition(**kind.fixed, length=length), x)


@st.composite
def rotations(draw: Draw, kind: Kind) -> Case:
    """All features turned, or the first ones."""
    lead, half, rest = draw(axes(draw(st.integers(1, 2)), high=3)), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    length = draw(st.integers(1, 5))
    features = None if rest == 0 and draw(st.booleans()) else 2 * half
    table = length + draw(st.integers(0, 3))
    return accepted(lambda: layers.Rotary(length=table, features=features), (*lead, length, 2 * half + rest))


STRATEGIES: dict[type[Layer], Callable[[Kind], st.SearchStrategy[Case]]] = {
    layers.Recurrent: recurrents,
    layers.Einsum: einsums,
    layers.AddedPosition: added_positions,
    layers.Rotary: rotations,
}
