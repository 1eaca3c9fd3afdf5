"""Network: a graph that can be walked and reported at any size; every question starts from one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from archcalc.algebra.dtype import MODEL_DTYPES
from archcalc.algebra.ops import CONVENTIONS
from archcalc.errors import LayerError, ModelError, Problems, UsageError, nearest
from archcalc.layers.dense import Dense
from archcalc.layers.layer import Layer, Shape, shown
from archcalc.model import report as reports
from archcalc.model.advice import fitting_size
from archcalc.model.build import Builder
from archcalc.model.graph import Graph, Input
from archcalc.model.report import Report
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Answers, Use, answer, walk
from archcalc.views import model as views


class Network(Graph, frozen=True, dict=True, eq=False):
    """A graph with what its author says of it; it can be walked, reported, and read again with other settings."""

    expect: Mapping[str, Any] = {}
    about: str = ""
    source: str = ""
    remarks: tuple[str, ...] = ()  # what every report of it has to say
    settings: Mapping[str, Any] = {}  # hyperparameters that its spec names, with their values here
    reread: Callable[[Mapping[str, Any]], Any] | None = None  # the spec again, with other hyperparameters

    @classmethod
    def chain(cls, name: str, inputs: Mapping[str, Shape | Input], layers: Sequence[Layer]) -> Self:
        """A model of layers in a row, named by kind and number: conv1, max_pool1, conv2."""
        builder = Builder(_as_inputs(inputs))
        scope = builder.top()
        for layer in layers:
            builder.add(scope, layer)
        return cls(name, builder.inputs, tuple(builder.nodes), (builder.last(scope),))

    def with_settings(self, settings: Mapping[str, Any]) -> Self:
        """The same spec with some of its hyperparameters replaced; a symbol stands for any value.

        Raises UsageError where the spec has no such name, ModelError where the layers do not take the value.
        """
        if not settings:
            return self
        if self.reread is None:
            raise UsageError("settings", "need a model that was read from a spec with set:", ", ".join(settings))
        again: Self = self.reread(settings)
        return again

    def report(
        self,
        input: Sizes | Mapping[str, Sizes] | None = None,
        *,
        batch: int = 1,
        dtype: str = "float32",
        convention: str = "archcalc",
        depth: int | None = None,
    ) -> Report:
        """Shapes, parameters, operations and output memory of every layer, at an input size (the spec's by default).

        `input` is (height, width), or (channels, height, width), or text such as "1024x1024", or a mapping by input
        name. Raises UsageError for a wrong argument and ModelError where the shapes do not fit.
        """
        one_of("dtype", dtype, MODEL_DTYPES)
        one_of("convention", convention, CONVENTIONS)
        if depth is not None and (not isinstance(depth, int) or depth < 1):
            raise UsageError("depth", "must be at least 1", f"{depth}")
        shapes = full_shapes(self.inputs, input, batch)
        uses = self.walk(shapes)
        notes = [*self.remarks, *self._unread, *self._changed_weights(uses, shapes), *self._along_the_width(uses)]
        return reports.build(
            self.name, shapes, uses, self.outputs, self._images,
            dtype=dtype, convention=convention, depth=depth, notes=notes,
        )  # fmt: skip

    def walk(
        self, shapes: Mapping[str, Shape], ask: Callable[[Layer, tuple[Shape, ...]], Answers] = answer
    ) -> list[Use]:
        """Every use of a layer at these full shapes; where one refuses, the error says which size would fit."""
        try:
            return walk(self, shapes, ask=ask)
        except LayerError as error:
            problems: list[ModelError] = []
            walk(self, shapes, problems)
            if len(problems) > 1:
                raise Problems(problems) from None
            error.way_out = error.way_out or fitting_size(self, shapes, error)
            raise

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} {shown(item.shape)}" for name, item in self.inputs.items())
        return f"<{type(self).__name__} {self.name}: {inputs}, {len(self.nodes)} layers>"

    def __str__(self) -> str:
        return str(self.report())

    def _repr_html_(self) -> str:
        return views.html(self)

    @cached_property
    def own_size(self) -> list[Use]:
        """The walk at the size that the spec states; empty if that size does not fit."""
        try:
            return walk(self, full_shapes(self.inputs, None, batch=1))
        except LayerError:
            return []

    @cached_property
    def _images(self) -> list[str]:
        return [name for name in self.inputs if self.reads_as_image(name)]

    @cached_property
    def _unread(self) -> list[str]:
        return [f"{name}: nothing reads it, and it is not an output of the model" for name in self.unread()]

    def _changed_weights(self, uses: Sequence[Use], shapes: Mapping[str, Shape]) -> Iterator[str]:
        """Layers whose tensors have another shape than at the spec's size: trained weights would not fit."""
        if all(shapes[name][1:] == item.shape for name, item in self.inputs.items()):
            return
        for here, own in zip(uses, self.own_size, strict=False):
            mine, theirs = here.answers.weights, own.answers.weights
            if mine is theirs or mine == theirs:
                continue
            changed = next(name for name in mine if mine[name] != theirs.get(name))
            sizes = f"{shown(mine[changed].shape)} at this input size, {shown(theirs[changed].shape)} at the spec's"
            yield f"{here.name}: {changed} is {sizes}; weights trained at the spec's size would not fit"

    def _along_the_width(self, uses: Sequence[Use]) -> Iterator[str]:
        """Dense layers straight behind a map: they work on its last axis, and who wrote them seldom means that."""
        images = {*self._images, *(use.name for use in uses if use.image)}
        for use in uses:
            if isinstance(use.layer, Dense) and use.inputs[0] in images and len(use.xs[0]) > 2:
                axis = f"the {'width' if len(use.xs[0]) > 3 else 'length'} of {shown(use.xs[0])}"
                yield f"{use.name}: works on the last axis alone, {axis}; put flatten before it to make it read all"


def one_of(what: str, value: str, known: Sequence[str] | Mapping[str, Any]) -> None:
    """Refuse a word that is not known here."""
    if not isinstance(value, str) or value not in known:
        near = nearest(value, known) if isinstance(value, str) else ""
        raise UsageError(what, f"must be one of {', '.join(known)}", repr(value), way_out=near)


def _as_inputs(inputs: Mapping[str, Shape | Input]) -> dict[str, Input]:
    return {name: item if isinstance(item, Input) else Input(tuple(item)) for name, item in inputs.items()}
