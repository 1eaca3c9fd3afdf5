"""The report as data: a row for each use of a layer, or each block down to some depth, and totals of the rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from archcalc import __version__
from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import prod
from archcalc.algebra.ops import CONVENTIONS, Convention, Ops
from archcalc.layers.attention import Attention
from archcalc.layers.layer import Shape, kind_of
from archcalc.layers.unknown import Unknown
from archcalc.model.walk import Use
from archcalc.views import report as views


class Row(Struct, frozen=True, gc=False):
    """What one use of a layer costs; shapes are channels first with the batch."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    output: Shape
    params: int  # trainable and frozen weights, first uses only
    trainable_params: int
    buffers: int  # values in running statistics
    weights: dict[str, Shape]
    macs: int
    macs_exact: int
    ops: Ops
    flops: int  # under the report's convention
    output_bytes: int
    shared_with: str | None = None  # the layer that owns its tensors, whose parameters are 0 here

    def to_dict(self) -> dict[str, Any]:
        """The row as plain data; `shared_with` only where there is one."""
        data: dict[str, Any] = to_builtins(self)
        data |= {"inputs": list(self.inputs), "output": list(self.output)}
        data["weights"] = {name: list(shape) for name, shape in self.weights.items()}
        if self.shared_with is None:
            del data["shared_with"]
        return data


class Totals(Struct, frozen=True, omit_defaults=True):
    """Sums over the rows, and the bytes of weights and buffers."""

    params: int
    trainable_params: int
    buffers: int
    macs: int
    macs_exact: int
    ops: Ops
    flops: int
    output_bytes: int
    weight_bytes: int
    buffer_bytes: int
    active_params: int | None = None  # that one position uses, where it does not use all: experts are chosen


class Report(Struct, frozen=True):
    """Everything counted about a model at one input size; `str(report)` is the table."""

    model: str
    inputs: dict[str, Shape]
    dtype: str
    convention: str
    status: Literal["complete", "partial"]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    totals: Totals
    outputs: dict[str, Shape]  # what the model returns, by layer
    masked: bool = False  # is macs_exact without pairs of an attention that are not seen?
    images: frozenset[str] = frozenset()  # rows and inputs whose axis 1 is channels before spatial axes

    @property
    def output(self) -> Shape:
        """The shape of the first output."""
        return next(iter(self.outputs.values()))

    def __str__(self) -> str:
        return views.text(self, width=80)

    def __repr__(self) -> str:
        return f"<Report of {self.model}: {self.totals.params:,} params, {self.totals.macs:,} MACs, {self.status}>"

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data: integers exact, shapes channels first."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "dtype": self.dtype,
            "convention": self.convention,
            "status": self.status,
            "notes": list(self.notes),
            "rows": [row.to_dict() for row in self.rows],
            "totals": to_builtins(self.totals),
        }


def build(
    model: str,
    inputs: Mapping[str, Shape],
    uses: Sequence[Use],
    outputs: Sequence[str],
    images: Sequence[str],
    *,
    dtype: str,
    convention: str,
    depth: int | None,
    notes: Sequence[str] = (),
) -> Report:
    """The report of a walked model."""
    rows = [row_of(use, dtype, CONVENTIONS[convention]) for use in uses]
    totals = _totals(rows, dtype)
    idle = sum([use.layer.idle_params(*use.xs) for use in uses if not use.shared])
    if idle:
        totals = replace(totals, active_params=totals.params - idle)
    unknown = [use for use in uses if isinstance(use.layer, Unknown)]
    shown = rows if depth is None else list(_folded(rows, depth, composites(uses)))
    return Report(
        model=model,
        inputs=dict(inputs),
        dtype=dtype,
        convention=convention,
        status="partial" if unknown else "complete",
        notes=(*_uncounted(unknown), *notes),
        rows=tuple(shown),
        totals=totals,
        outputs=_outputs(outputs, inputs, uses),
        masked=any(isinstance(use.layer, Attention) and use.layer.limited for use in uses),
        images=frozenset(images).union(_images(uses, folded=depth is not None)),
    )


def _images(uses: Sequence[Use], *, folded: bool) -> list[str]:
    """Rows whose axis 1 is channels before spatial axes; if folded, also the names they may be folded under."""
    names = [use.name for use in uses if use.image]
    if not folded:
        return names
    paths = [name.split("/") for name in names]
    return ["/".join(parts[: depth + 1]) for parts in paths for depth in range(len(parts))]


def _outputs(names: Sequence[str], inputs: Mapping[str, Shape], uses: Sequence[Use]) -> dict[str, Shape]:
    """Shapes of the outputs; a composite's is that of its last part."""
    shapes = dict(inputs)
    for use in uses:
        shapes[use.node.name] = shapes[use.name] = use.answers.y
    return {name: shapes[name] for name in names}


def row_of(use: Use, dtype: str, convention: Convention) -> Row:
    """The row of one use of a layer, in whatever numbers the walk was."""
    answers = use.answers
    params, buffers = _owned(use) if use.shared else (answers.params, answers.buffers)
    return Row(
        use.name,
        use.kind,
        use.inputs,
        answers.y,
        params,
        params if use.node.trainable else 0,
        buffers,
        answers.shapes,
        answers.macs,
        answers.macs_exact,
        answers.ops,
        convention.flops(answers.ops, answers.macs, answers.macs_exact),
        bytes_of(answers.elements, use.dtype or dtype),
        use.shared_with,
    )


def _owned(use: Use) -> tuple[int, int]:
    """Parameters and buffer values that a tied layer does not share."""
    own = [weight for name, weight in use.answers.weights.items() if name not in use.shared]
    return tuple(sum(prod(w.shape) for w in own if w.role == role) for role in ("trainable", "buffer"))  # type: ignore[return-value]


def _totals(rows: Sequence[Row], dtype: str) -> Totals:
    params, buffers = sum([row.params for row in rows]), sum([row.buffers for row in rows])
    return Totals(
        params=params,
        trainable_params=sum([row.trainable_params for row in rows]),
        buffers=buffers,
        macs=sum([row.macs for row in rows]),
        macs_exact=sum([row.macs_exact for row in rows]),
        ops=_sum_ops(rows),
        flops=sum([row.flops for row in rows]),
        output_bytes=sum([row.output_bytes for row in rows]),
        weight_bytes=bytes_of(params, dtype),
        buffer_bytes=bytes_of(buffers, dtype),
    )


def _sum_ops(rows: Sequence[Row]) -> Ops:
    ops = [row.ops for row in rows]
    return Ops(
        sum([o.mul for o in ops]),
        sum([o.add for o in ops]),
        sum([o.cmp for o in ops]),
        sum([o.div for o in ops]),
        sum([o.exp for o in ops]),
    )


def composites(uses: Sequence[Use]) -> dict[str, str]:
    """Kinds of the layers of the spec that are counted as their parts."""
    return {use.node.name: kind_of(use.node.layer) for use in uses if use.name != use.node.name}


def _folded(rows: Sequence[Row], depth: int, kinds: Mapping[str, str]) -> Iterator[Row]:
    """Rows whose names agree in their first `depth` parts, as one; every total stays the same."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault("/".join(row.name.split("/")[:depth]), []).append(row)
    group = {row.name: name for name, members in groups.items() for row in members}
    for name, members in groups.items():
        whole = members[0] if [row.name for row in members] == [name] else None
        row = whole or _merged(name, kinds.get(name, "block"), members)
        yield replace(row, inputs=tuple(dict.fromkeys(group.get(source, source) for source in row.inputs)))


def _merged(name: str, kind: str, rows: Sequence[Row]) -> Row:
    inside = {row.name for row in rows}
    read = dict.fromkeys(source for row in rows for source in row.inputs if source not in inside)
    weights = {
        f"{row.name.removeprefix(name).lstrip('/')}.{key}".lstrip("."): shape
        for row in rows
        for key, shape in row.weights.items()
    }
    totals = _totals(rows, "float32")
    return Row(
        name=name,
        kind=kind,
        inputs=tuple(read),
        output=rows[-1].output,
        params=totals.params,
        trainable_params=totals.trainable_params,
        buffers=totals.buffers,
        weights=weights,
        macs=totals.macs,
        macs_exact=totals.macs_exact,
        ops=totals.ops,
        flops=totals.flops,
        output_bytes=totals.output_bytes,
    )


def _uncounted(unknown: Sequence[Use]) -> Iterator[str]:
    """One note for each operator that was not counted."""
    names: dict[str, list[str]] = {}
    for use in unknown:
        names.setdefault(use.layer.operator, []).append(use.name)  # type: ignore[attr-defined]
    for operator, uses in names.items():
        listed = ", ".join([*uses[:3], "…"] if len(uses) > 3 else uses)
        yield f"not counted: {operator}, {len(uses)} use{'s' if len(uses) > 1 else ''} ({listed})"
