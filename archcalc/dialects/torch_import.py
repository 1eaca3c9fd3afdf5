"""A PyTorch module as a model: traced by torch.export without computing anything, read operator by operator."""

import contextlib
import copy
import inspect
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from archcalc.dialects import aten_elements, aten_linear, aten_moves
from archcalc.dialects.aten_graph import Draft, Held, Importer, name_of
from archcalc.dialects.aten_sizes import known
from archcalc.errors import ModelError, UsageError
from archcalc.model.graph import Input
from archcalc.questions.model import Model

FAMILIES = (aten_elements, aten_linear, aten_moves)  # importing them fills the table of operators
HELD = {InputKind.PARAMETER: "trainable", InputKind.BUFFER: "buffer", InputKind.CONSTANT_TENSOR: "constant"}


def from_torch(
    module: nn.Module, example_inputs: Any, dynamic: bool | Literal["batch"] = True, *, name: str = ""
) -> Model:
    """The model that a module is at inference, for any size of the inputs if `dynamic` and the module allows it.

    With `dynamic="batch"` only the batch is left open, which is traced faster; with False nothing is.

    `example_inputs` is a tensor, a tuple of the positional arguments, or a dictionary of arguments by name; only
    shapes and dtypes matter, meta tensors will do. The module is not changed and nothing is computed. An operator that
    no kind says is named in the report and not counted: status partial. Raises ModelError where the module cannot be
    traced with these inputs, UsageError where they are no tensors.
    """
    args, kwargs = _arguments(example_inputs)
    own = _twin(module)
    program, remark = _traced(own, args, kwargs, dynamic)
    model = _Reader(own, program).model(name or type(module).__name__)
    remarks = (*model.remarks, *remark)
    return Model(model.name, model.inputs, model.nodes, model.outputs, source="imported from PyTorch", remarks=remarks)


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = (), {}
    if isinstance(example, Mapping):
        kwargs = dict(example)
    else:
        args = tuple(example) if isinstance(example, list | tuple) else (example,)
    if not any(isinstance(value, torch.Tensor) for value in [*args, *kwargs.values()]):
        raise UsageError("example_inputs", "must hold at least one tensor", f"{type(example).__name__}")
    return args, kwargs


def _twin(module: nn.Module) -> nn.Module:
    """The same module with the same tensors, in evaluation mode; the user's own keeps its mode and attributes."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    try:
        return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors}).eval()
    except Exception as error:
        rule = "a module must allow copy.deepcopy, so that yours is not changed"
        raise ModelError("torch", rule, _first_line(error)) from None


def _traced(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], dynamic: bool | Literal["batch"]
) -> tuple[ExportedProgram, list[str]]:
    """The exported program, with as many sizes left open as the module allows; and what has to be said of that."""
    twice = tuple(map(_two, args)), {key: _two(value) for key, value in kwargs.items()}
    attempts = [(twice, _every), (twice, _batch)] if dynamic is True else [(twice, _batch)] if dynamic else []
    reasons: list[str] = []
    for (given, named), axes in [*attempts, ((args, kwargs), _none)]:
        try:
            program = _export(module, given, named, axes)
            if axes is not _none and _fixes_batch(program):
                reasons.append("the module fixes its batch")
                continue
            return program, [f"with open sizes tracing ends in: {reason}" for reason in reasons[:1]]
        except Exception as error:  # of many classes: whatever the module's own code raises while it is traced
            reasons.append(_first_line(error))
    shapes = ", ".join(str(list(v.shape)) for v in [*args, *kwargs.values()] if isinstance(v, torch.Tensor))
    rule = "the module must run on these inputs under torch.export"
    way_out = f"inputs given: {shapes}; try the module on them, or other inputs"
    raise ModelError("torch", rule, reasons[-1], way_out=way_out)


Axes = Callable[[int], Sequence[int]]  # which axes of a tensor of so many
_every: Axes = range


def _batch(rank: int) -> Sequence[int]:
    return range(min(rank, 1))


def _none(rank: int) -> Sequence[int]:
    return range(0 * rank)


def _fixes_batch(program: ExportedProgram) -> bool:
    """Did no input's batch stay open?"""
    inputs = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.USER_INPUT}
    shapes = [
        node.meta["val"].shape for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs
    ]
    return all(isinstance(known(shape[0]), int) for shape in shapes if len(shape))


def _two(value: Any) -> Any:
    """A batch of two in place of one: a size of one is taken to be always one."""
    if not isinstance(value, torch.Tensor) or value.dim() < 2 or value.shape[0] != 1:
        return value
    return (
        value.new_empty((2, *value.shape[1:])) if value.is_floating_point() else value.new_zeros((2, *value.shape[1:]))
    )


def _export(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], axes: Axes) -> ExportedProgram:
    """Traced without values; the given axes of each tensor are left open if the module allows it."""

    def opened(value: Any) -> Any:
        return dict.fromkeys(axes(value.dim()), Dim.AUTO) if isinstance(value, torch.Tensor) else None

    names = list(inspect.signature(module.forward).parameters)
    shapes: Any = tuple(map(opened, args))
    if kwargs:
        shapes = {**dict(zip(names, shapes, strict=False)), **{name: opened(value) for name, value in kwargs.items()}}
    with warnings.catch_warnings(), torch.no_grad(), _silent():
        warnings.simplefilter("ignore")
        return torch.export.export(module, args, kwargs, dynamic_shapes=shapes, strict=False)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """PyTorch logs how it reasons about sizes."""
    logger = logging.getLogger("torch")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."


class _Reader:
    """One exported program, and the module that it was made of."""

    def __init__(self, module: nn.Module, program: ExportedProgram) -> None:
        self.module, self.program = module, program
        placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        self.held: dict[Any, Held] = {}
        self.inputs: dict[Any, str] = {}
        same = _first_names(module)
        for spec in program.graph_signature.input_specs:
            node = placeholders.get(getattr(spec.arg, "name", ""))
            value = node.meta.get("val") if node is not None else None
            if not isinstance(value, torch.Tensor):
                continue
            if spec.kind == InputKind.USER_INPUT:
                self.inputs[node] = spec.arg.name
            elif spec.kind in HELD:
                target = same.get(spec.target, spec.target)
                self.held[node] = Held(target, tuple(value.shape), HELD[spec.kind])

    def model(self, name: str) -> Model:
        importer = Importer(self.held, self.inputs, self.hints())
        for node in self.program.graph.nodes:
            importer.read(node)
        result = self.results(importer)
        importer.unused(_own(self.module))
        nodes = importer.nodes({name: p.requires_grad for name, p in self.module.named_parameters()})
        if not nodes:
            raise ModelError("torch", "a module must do something with its inputs", type(self.module).__name__)
        outputs = tuple(dict.fromkeys(map(name_of, result)))
        remarks = (*_said(importer), *self.closed())
        return Model(name, self.given(importer), tuple(nodes), outputs, remarks=remarks)

    def hints(self) -> dict[Any, int]:
        """What each symbol was in the example."""
        found: dict[Any, int] = {}
        for node in self.inputs:
            for size in node.meta["val"].shape:
                if not isinstance(known(size), int):
                    found[size.node.expr] = size.node.hint
        return found

    def given(self, importer: Importer) -> dict[str, Input]:
        """The inputs as the model's: sizes without the batch, and the first with what must hold of all."""
        inputs: dict[str, Input] = {}
        for node, name in self.inputs.items():
            value = node.meta["val"]
            sizes = [size if isinstance(size, int) else size.node.hint for size in map(known, value.shape)]
            if len(sizes) < 2:
                raise ModelError("torch", "an input must have a batch and at least one more axis", f"{name}: {sizes}")
            dtype = None if value.is_floating_point() else str(value.dtype).removeprefix("torch.")
            guards = () if inputs else (guard.expr for guard in value.fake_mode.shape_env.guards)
            where = tuple(dict.fromkeys(importer.sizes.conditions(guards)))
            inputs[name] = Input(tuple(sizes[1:]), dtype, only=_only(value.shape, sizes), where=where)
        return inputs

    def results(self, importer: Importer) -> list[Draft | str]:
        """What the program returns; what is an input, a weight or no tensor is left out."""
        output = next(node for node in self.program.graph.nodes if node.op == "output")
        found = [importer.values.get(node) for node in output.all_input_nodes]
        drafts = [item() if callable(item) else item for item in found]
        named: list[Draft | str] = [item for item in drafts if isinstance(item, Draft)]
        if not named:
            raise ModelError("torch", "a module must return something that is computed of its inputs", "nothing")
        return named

    def closed(self) -> Iterator[str]:
        """Sizes that did not stay open."""
        for node, name in self.inputs.items():
            sizes = list(map(known, node.meta["val"].shape))
            if len(sizes) > 1 and all(isinstance(size, int) for size in sizes[1:]):
                size = "×".join(map(str, sizes[1:]))
                yield f"{name}: imported at {size} only; the module fixes its size, or was not asked for others"


def _only(shape: Sequence[Any], sizes: Sequence[int]) -> tuple[int | None, ...]:
    """Sizes that are fixed; the channels of an image are the weights' business."""
    closed = [size if isinstance(known(given), int) else None for given, size in zip(shape, sizes, strict=True)]
    if len(closed) >= 4:
        closed[1] = None
    return tuple(closed) if any(size is not None for size in closed) else ()


def _own(module: nn.Module) -> Iterator[Held]:
    for name, parameter in module.named_parameters():
        yield Held(name, tuple(parameter.shape), "trainable")


def _first_names(module: nn.Module) -> dict[str, str]:
    """Every name of a tensor as the first one: tied tensors have several."""
    first: dict[int, str] = {}
    names = {}
    for name, tensor in itertools.chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    ):
        names[name] = first.setdefault(id(tensor), name)
    return names


def _said(importer: Importer) -> Iterator[str]:
    for name, times in sorted(importer.unknown.items()):
        yield f"{name}: not understood, {times} time{'s' if times > 1 else ''}; its operations are not counted"
    if importer.fixed:
        yield f"{importer.fixed} operators compute constants of nothing but sizes; they are not counted"
