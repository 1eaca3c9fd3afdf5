"""A layer whose fields follow the sizes of the model's inputs: it becomes a plain layer once those are known."""

from typing import Any

from archcalc.algebra.size import Inputs, at_inputs, holds_size
from archcalc.layers.layer import Layer


class Sized(Layer, frozen=True):
    """A kind with its fields, some of which are a Size; not a kind of its own: the walk asks the layer that it is.

    >>> from archcalc.algebra.size import Size
    >>> from archcalc.layers.reshape import Reshape
    >>> layer = sized_layer(Reshape, {"shape": (768, Size("image.height // 16"), Size("image.width // 16"))})
    >>> layer.at({"image": (1, 3, 224, 320)}).shape
    (768, 14, 20)
    """

    of: type[Layer]
    values: tuple[tuple[str, Any], ...]

    def at(self, inputs: Inputs) -> Layer:
        """The layer for inputs of these full shapes; LayerError where it is none for them."""
        return self.of(**{name: at_inputs(value, inputs) for name, value in self.values})

    @property
    def function(self) -> str:
        """Which of the kinds that share a class it is."""
        return str(dict(self.values).get("function", ""))

    @property
    def arity(self) -> tuple[int, int | None]:  # type: ignore[override]
        """How many inputs the kind takes."""
        return self.of.arity

    @property
    def image(self) -> bool | None:  # type: ignore[override]
        """What the kind says of its output's axes."""
        return self.of.image


def sized_layer(of: type[Layer], values: dict[str, Any]) -> Layer:
    """The layer of a class with these fields, which may hold sizes."""
    if not any(map(holds_size, values.values())):
        return of(**values)
    return Sized(of, tuple(values.items()))
