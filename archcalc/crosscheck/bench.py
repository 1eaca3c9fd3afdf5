"""One network at one size, on the bench: run whole, layer by layer, and each of its layers apart."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor, nn

from archcalc.crosscheck import facts, peak
from archcalc.crosscheck.measure import counted_macs, data, packing, storage, tensors_of
from archcalc.crosscheck.result import Check
from archcalc.dialects.torch_network import network_of
from archcalc.errors import ModelError
from archcalc.layers import Combine, Expand, Flatten, Flip, Identity, Permute, Reshape, Roll, Slice
from archcalc.layers.layer import Composite, Layer, Shape
from archcalc.model.graph import Graph, Node
from archcalc.model.walk import Use
from archcalc.questions import storages
from archcalc.questions.account import Account, Choices

Shapes = tuple[Shape, ...]
WHOLE = "the whole network"
RESERVED = torch.uint8  # bytes that cuDNN keeps for a batch norm; no layer of ours computes in it
Progress = Callable[[Sequence[Use]], Iterable[Use]]  # shows how far a walk over the layers has come


class StandIn(nn.Module):
    """Takes the place of a layer that PyTorch cannot build: its output has the formula's shape, and is not measured."""

    def __init__(self, use: Use, error: ModelError) -> None:
        super().__init__()
        self.shape, self.why = use.answers.y, f"{use.kind} {error.rule}"

    def forward(self, *xs: Tensor) -> Tensor:
        return torch.zeros(self.shape, device=xs[0].device if xs else None)


def hands_on(layer: Layer) -> bool:
    """Does the layer only lay its values out anew, whatever they are?"""
    return isinstance(layer, Identity | Flatten | Reshape | Permute | Slice | Expand | Roll | Flip)


def indices_of(uses: Sequence[Use]) -> set[str]:
    """The values that are looked up in a table, from where they enter the model."""
    found: set[str] = set()
    for use in reversed(uses):
        handed = hands_on(use.layer) and use.name in found
        found.update(source for number, source in enumerate(use.inputs) if handed or _looked_up(use, number))
    made = {use.name for use in uses if not hands_on(use.layer) and use.layer.makes is None}
    return found - made


def _looked_up(use: Use, number: int) -> bool:
    """Does an input of a layer say which rows of a table are meant?"""
    return facts.rows_of(use.layer, number, use.xs) is not None


def _read(use: Use, number: int, x: Tensor) -> Tensor:
    """The value as the layer can read it: a table's rows by number, everything else as floating numbers."""
    rows = facts.rows_of(use.layer, number, use.xs)
    if rows is not None:
        return x.long().clamp(0, rows - 1)
    return x if hands_on(use.layer) or x.is_floating_point() else x.float()


class Bench:
    """One network at one size, on its device and on `meta` for torch's counter, and what is known of its layers."""

    def __init__(
        self,
        model: Graph,
        uses: Sequence[Use],
        shapes: Mapping[str, Shape],
        device: str,
        known: dict[Any, list[Check]] | None = None,
    ) -> None:
        self.model, self.uses, self.shapes, self.device = model, uses, dict(shapes), device
        self.known = {} if known is None else known  # what was found of layers, kept from size to size
        self.twin = network_of(model, self.uses, device="meta", stand_in=StandIn).eval()
        self.network = self.twin
        if device != "meta":
            self.network = network_of(model, self.uses, device=device, stand_in=StandIn).eval()
        self.indices = indices_of(uses)  # values that say which row of a table is meant

    def inputs(self) -> list[Tensor]:
        """Random inputs, in the model's order; indices are zero, which every table has, all others floating numbers."""
        return [data(shape, self.dtype(name), self.device) for name, shape in self.shapes.items()]

    def dtype(self, name: str) -> str | None:
        """What a value is made of: indices, or floating numbers."""
        return "int64" if name in self.indices else None

    def in_network(self) -> Iterator[Check]:
        """The whole network once, layer by layer; each reads what the ones before really gave."""
        values: dict[str, Any] = dict(zip(self.shapes, self.inputs(), strict=True))
        last_reader = {source: name for name, _, sources in self.network.calls for source in sources}
        for use, (name, path, sources) in zip(self.uses, self.network.calls, strict=True):
            module, twin = self.network.get_submodule(path), self.twin.get_submodule(path)
            if isinstance(module, StandIn):
                yield Check.none(name, "runs", module.why)
                values[name] = module(*(values[source] for source in sources))
            else:
                xs = [_read(use, number, values[source]) for number, source in enumerate(sources)]
                values[name] = yield from self.called(use, module, twin, xs)
            for source in sources:  # a value is let go once its last reader has run
                if last_reader[source] == name:
                    values.pop(source, None)

    def called(self, use: Use, module: nn.Module, twin: nn.Module, xs: list[Tensor]) -> Any:
        """One call: output, tensors and MACs; gives on the output, or one of the right shape if it is not."""
        try:
            y, macs = counted_macs(twin, [torch.empty_like(x, device="meta") for x in xs])
            y = y if module is twin else module(*xs)
        except (RuntimeError, ValueError) as error:
            yield facts.refused(use.name, "runs", error)
            return torch.zeros(use.answers.y, device=self.device)
        yield Check.of(use.name, "output", use.answers.y, tuple(y.shape))
        yield Check.of(use.name, "tensors", use.answers.shapes, tensors_of(module))
        if use.answers.macs or macs:
            yield Check.of(use.name, "MACs", use.answers.macs, macs)
        return y if tuple(y.shape) == use.answers.y else torch.zeros(use.answers.y, device=self.device)

    def by_itself(self, show: Progress = iter) -> Iterator[Check]:
        """Each layer apart, and each composite as a whole."""
        calls = {name: self.network.get_submodule(path) for name, path, _ in self.network.calls}
        for use in show(self.uses):
            if not isinstance(calls[use.name], StandIn):
                yield from self.apart(use.name, use.layer, use.xs, facts.dtypes_of(use.layer, use.xs))
        for node, xs in self.composites():
            yield from self.arithmetic(node.name, node.layer, xs, (None,) * len(xs))

    def apart(self, name: str, layer: Layer, xs: Shapes, dtypes: facts.Dtypes) -> Iterator[Check]:
        """What one layer does, wherever it stands."""
        device = self.device
        yield from self.once(name, ("saved", layer, xs, dtypes), lambda: [facts.kept(layer, xs, dtypes, device)])
        yield from self.arithmetic(name, layer, xs, dtypes)
        general = facts.generalised(layer, xs)
        yield from self.once(name, ("every size", layer, general, dtypes), lambda: [facts.sized(layer, xs, dtypes)])

    def arithmetic(self, name: str, layer: Layer, xs: Shapes, dtypes: facts.Dtypes) -> Iterator[Check]:
        """Counting one by one; layers that are the same when cut down are counted once."""
        cut = facts.cut(layer, xs)
        if isinstance(cut, str):
            return iter([Check.none(name, "operations", cut)])
        return self.once(name, ("arithmetic", *cut, dtypes), lambda: facts.arithmetic(*cut, dtypes))

    def once(self, name: str, key: Any, look: Callable[[], Iterable[Check]]) -> Iterator[Check]:
        """The checks that stand under a key, made when first asked for, as those of this layer."""
        if key not in self.known:
            self.known[key] = list(look())
        return (replace(check, layer=name) for check in self.known[key])

    def composites(self) -> Iterator[tuple[Node, Shapes]]:
        """The layers of the spec that are built as their parts, with the shapes that they read."""
        shapes = dict(self.shapes) | {use.name: use.answers.y for use in self.uses}
        shapes |= {use.node.name: use.answers.y for use in self.uses}  # a composite's output is its last part's
        for node in self.model.nodes:
            if isinstance(node.layer, Composite):
                yield node, tuple(shapes[source] for source in node.inputs)

    def _takes(self, use: Use) -> bool:
        """Does the layer read indices where it needs them, and numbers where it needs those?"""
        read = (_looked_up(use, number) == (source in self.indices) for number, source in enumerate(use.inputs))
        return hands_on(use.layer) or all(read)

    def why_not(self, unsaid: str) -> str:
        """Why the whole network's memory cannot be compared; empty if it can."""
        if unsaid:
            return unsaid
        if any(isinstance(module, StandIn) for module in self.network.modules()):
            return "a layer of it cannot be built"
        mixed = [use.name for use in self.uses if not self._takes(use)]
        return f"{mixed[0]} takes indices for numbers, or numbers for indices" if mixed else ""

    def why_no_peak(self, *, training: bool) -> str:
        """Why peaks cannot be compared, though what is kept can; empty if they can."""
        if any(item.dtype != self.dtype(name) for name, item in self.model.inputs.items()):
            return "an input is declared in another format than it is read in"
        joins = [use for use in self.uses if isinstance(use.layer, Combine) and len(use.xs) > 2]
        stepwise = [use.name for use in joins if use.layer.kind != "add"]
        if training and stepwise:
            return f"{stepwise[0]}: gradients of a join of more than two inputs are not followed step by step"
        return ""

    def peaks(self) -> Iterator[Check]:
        """The most bytes that are taken at once, at inference and in a step of training: on a CPU, nothing computed."""
        for training, percent in ((False, 1), (True, 2)):
            choices = Choices(training=training, optimizer="sgd", allocator="exact")
            account = Account(self.model, self.uses, self.shapes, "float32", choices, device="cpu", sums_in_place=False)
            why = self.why_not(account.found[training].unsaid)
            why = why or self.why_no_peak(training=training)
            if why:
                yield Check.none(WHOLE, "peak", why)
                continue
            stated, _ = account.peak(training=training)
            try:
                measured = peak.tracked(self.model, self.uses, self.shapes, choices)
            except (RuntimeError, ValueError) as error:
                yield facts.refused(WHOLE, "peak", error)
            else:
                note = "bytes, in training" if training else "bytes, at inference"
                yield Check.within(WHOLE, "peak", stated.bytes, measured, percent, note)

    def whole(self) -> Check:
        """The bytes that training the whole network keeps, each storage once."""
        device = "cuda" if self.device == "cuda" else "cpu"
        found = storages.stays(self.uses, self.model.inputs, self.shapes, device=device)
        why = self.why_not(found.unsaid)
        if why:
            return Check.none(WHOLE, "saved", why)
        inputs = self.inputs()
        try:
            _, packed = packing(self.network, inputs)
        except (RuntimeError, ValueError) as error:
            return facts.refused(WHOLE, "saved", error)
        free = {storage(tensor) for tensor in (*inputs, *self.network.parameters(), *self.network.buffers())}
        blocks = {
            storage(tensor): tensor.untyped_storage().nbytes() for tensor in packed if tensor.dtype is not RESERVED
        }
        measured = sum(size for block, size in blocks.items() if block not in free)
        stated = sum(block.bytes for block, _ in storages.kept(found))
        return Check.of(WHOLE, "saved", stated, measured, "bytes, each storage once")
