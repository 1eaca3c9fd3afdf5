"""Kinds that read no input: learned tensors by themselves, and constants."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from archcalc.algebra.num import less
from archcalc.algebra.ops import Ops
from archcalc.layers.layer import Layer, Saved, Shape, Weight, register

Sizes = Annotated[tuple[int, ...], Meta(description="sizes of the tensor")]
Axes = Annotated[int | None, Meta(description="axes of the output: as many of size 1 in front as are missing")]


class Source(Layer, frozen=True):
    """A layer that reads nothing."""

    image: ClassVar = False
    arity: ClassVar = (0, 0)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        return Ops()

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...]:
        return ()


def in_front(layer: "Parameter | Constant") -> Shape:
    """The shape of the output: that of the tensor, with axes of size 1 in front."""
    missing = 0 if layer.axes is None else layer.axes - len(layer.shape)
    if missing < 0:
        raise layer.error("axes must be at least those of the shape", f"axes={layer.axes}, shape={list(layer.shape)}")
    return (*(1 for _ in range(missing)), *layer.shape)


def refuse_sizes(layer: "Parameter | Constant") -> None:
    """Refuse a shape that no tensor has."""
    if any(less(size, 1) for size in layer.shape):
        raise layer.error("sizes must be at least 1", f"{list(layer.shape)}")


@register("parameter", example="parameter: [1, 197, 768]", on=[])
class Parameter(Source, frozen=True):
    """A learned tensor by itself: it reads nothing. 0 operations, no memory but its weight's.

    Parameters: the product of its sizes. It has no batch: joined with an image's values, it is repeated for each.
    Source: PyTorch's Parameter and buffers.

    >>> Parameter(shape=(197, 768), axes=3).out()
    (1, 197, 768)
    """

    shape: Sizes
    axes: Axes = None
    role: Annotated[Literal["trainable", "buffer"], Meta(description="a buffer is kept, and not trained")] = "trainable"

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_sizes(self)
        in_front(self)

    def out(self, *xs: Shape) -> Shape:
        return in_front(self)

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        return {"weight": Weight(self.shape, self.role)}

    def aliases(self, training: bool) -> bool:
        return True


@register("constant", example="constant: {shape: [49, 49], dtype: int64}", on=[])
class Constant(Source, frozen=True):
    """Values that are given, or computed of nothing but constants, such as positions: no weights, 0 operations.

    What computing them once takes is not counted.

    >>> Constant(shape=(1, 197), dtype="int64").out()
    (1, 197)
    """

    shape: Sizes
    axes: Axes = None
    dtype: Annotated[
        Literal["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"] | None,
        Meta(description="null: what the model computes in"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_sizes(self)
        in_front(self)

    @property
    def makes(self) -> str | None:  # type: ignore[override]
        """Its values' own format."""
        return self.dtype

    def out(self, *xs: Shape) -> Shape:
        return in_front(self)
