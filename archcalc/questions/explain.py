"""Derivations: how each number of a report is made, in names, in values, and in words where a value needs them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields, replace

from archcalc import __version__
from archcalc.algebra.dtype import BITS, MODEL_DTYPES, bytes_of
from archcalc.algebra.num import prod
from archcalc.algebra.ops import CONVENTIONS, Ops
from archcalc.algebra.spoken import Spoken, factored, named, simplest
from archcalc.algebra.units import grouped
from archcalc.layers.attention import Attention
from archcalc.layers.layer import Layer, Shape, Weight
from archcalc.layers.unknown import Unknown
from archcalc.model.network import Network, one_of
from archcalc.model.report import row_of
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.questions.fitting import left_over
from archcalc.questions.quantities import uses_of
from archcalc.views import explain as views
from archcalc.views.notebook import MOST

ALWAYS_SAID = ("stride", "padding")  # of a convolution: a derivation shows them also at their defaults
PER_AXIS = ("kernel", "stride", "padding", "dilation", "output_padding", "size", "scale", "amount")
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
INDEX = "₁₂₃₄₅₆₇₈₉"
OPERATIONS = {
    "mul": "multiplications", "add": "additions", "cmp": "comparisons", "div": "divisions", "exp": "exponentials"
}  # fmt: skip
NOUNS = ("plane", "row", "column")  # cells along depth, height, width
AS_MANY = {"mul": "one per multiply–add", "add": "as many: n products need n − 1, the bias one more"}
SUMMANDS = 12  # of a total that are written out


class Step(Struct, frozen=True):
    """One number: what it is, the number with its derivation, its unit, and a remark."""

    label: str
    value: int
    unit: str = ""
    remark: str = ""
    under: str = ""  # the heading that several steps share

    def to_dict(self) -> dict[str, Any]:
        """The step as plain data; formula and values only where there is one."""
        label = f"{self.under} {self.label}".strip()
        data: dict[str, Any] = {"label": label, "value": int(self.value), "unit": self.unit}
        if isinstance(self.value, Spoken):
            data |= {"formula": self.value.said(), "values": self.value.shown()}
        return data | ({"remark": self.remark} if self.remark else {})


class Working(Struct, frozen=True):
    """The derivation of everything about one use of a layer."""

    name: str
    kind: str
    fields: str
    inputs: tuple[tuple[str, Shape], ...]
    output: Shape
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()


class Explanation(Struct, frozen=True):
    """Derivations of layers, and the sums over them; `str(explanation)` is what a teacher would write on the board."""

    model: str
    inputs: Mapping[str, Shape]
    dtype: str
    convention: str
    layers: tuple[Working, ...]
    totals: tuple[Step, ...]
    status: str

    def __str__(self) -> str:
        return views.text(self, 80)

    def _repr_html_(self) -> str:
        return views.html(self, MOST)

    def to_dict(self) -> dict[str, Any]:
        """The derivations as plain data."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "dtype": self.dtype,
            "convention": self.convention,
            "status": self.status,
            "layers": [
                {"name": working.name, "kind": working.kind, "output": list(working.output),
                 "steps": [step.to_dict() for step in working.steps], "notes": list(working.notes)}
                for working in self.layers
            ],
            "totals": [step.to_dict() for step in self.totals],
        }  # fmt: skip


def explain(
    model: Network, input: Sizes | Mapping[str, Sizes] | None = None, *, layer: str | None = None,
    batch: int = 1, dtype: str = "float32", convention: str = "archcalc",
) -> Explanation:  # fmt: skip
    """The working of every layer, or of one layer or block; see Model.explain."""
    one_of("dtype", dtype, MODEL_DTYPES)
    one_of("convention", convention, CONVENTIONS)
    shapes = full_shapes(model.inputs, input, batch)
    uses = model.walk(shapes)
    chosen = uses_of(uses, layer)
    images = {name: model.reads_as_image(name) for name in shapes} | {use.name: use.image for use in uses}
    known: dict[Any, tuple[Step, ...]] = {}
    workings = [_working(use, images, dtype, convention, known) for use in chosen]
    partial = any(isinstance(use.layer, Unknown) for use in chosen)
    totals = tuple(_totals(chosen, dtype, convention)) if len(chosen) > 1 else ()
    status = "partial" if partial else "complete"
    return Explanation(model.name, shapes, dtype, convention, tuple(workings), totals, status)


def _working(
    use: Use, images: Mapping[str, bool], dtype: str, convention: str, known: dict[Any, tuple[Step, ...]]
) -> Working:
    inputs = tuple(zip(use.inputs, use.xs, strict=True))
    described = Working(use.name, use.kind, fields_text(use.layer), inputs, use.answers.y, ())
    if isinstance(use.layer, Unknown):
        return replace(described, notes=("its operations are not known: nothing of it is counted",))
    seen = tuple(images.get(name, False) for name in use.inputs)
    key = (use.layer, use.xs, seen, use.dtype)
    if key not in known:
        known[key] = tuple(Board(use, seen, dtype, convention).steps())
    are = "is that" if len(use.shared) == 1 else "are those"
    notes = [f"its {' and '.join(use.shared)} {are} of {use.shared_with}, counted there"] if use.shared else []
    notes += ["frozen: its parameters are not trained"] if not use.node.trainable and use.answers.params else []
    return replace(described, steps=known[key], notes=tuple(notes))


class Board:
    """The steps for one use of a layer: its own formulas, asked with numbers that remember how they were made."""

    def __init__(self, use: Use, images: Sequence[bool], dtype: str, convention: str) -> None:
        self.use, self.dtype, self.convention = use, use.dtype or dtype, convention
        self.layer = spoken_layer(use.layer)
        marks = INDEX if len(use.xs) > 1 else " "
        self.xs = [
            tuple(map(_sized, x, _given(number, len(x), image=image, index=marks[number % len(marks)].strip())))
            for number, (x, image) in enumerate(zip(use.xs, images, strict=True))
        ]
        self.made = self.layer.out(*self.xs)
        self.y = tuple(_renamed(size, name) for size, name in zip(self.made, self.out_names(), strict=True))

    def steps(self) -> Iterator[Step]:
        """Output, parameters, operations, memory: whatever the layer has of them."""
        yield from self.sizes()
        yield from self.costs()

    def costs(self) -> Iterator[Step]:
        """Parameters, operations, memory."""
        yield from self.tensors()
        yield from self.operations()
        values = _spoken(prod(self.y))
        bits = BITS[self.dtype]
        memory = values * named(bits // 8, "bytes of a value") if bits >= 8 else bytes_of(int(values), self.dtype)
        yield Step("memory", memory, "bytes")

    def out_names(self) -> list[str]:
        """Names of the output's axes."""
        plain = _names(len(self.made), image=self.use.image, index="")
        return [f"out {name}" if name != "batch" else name for name in plain]

    def sizes(self) -> Iterator[Step]:
        """How each axis of the output came about, if it is not an input's; those alike in one step."""
        alike: dict[str, list[int]] = {}
        for axis, size in enumerate(self.made):
            if isinstance(size, Spoken) and size.made.how != "name":
                alike.setdefault(size.shown(), []).append(axis)
        names = self.out_names()
        for axes in alike.values():
            label = ", ".join(names[axis].removeprefix("out ") for axis in axes)
            yield Step(label, self.made[axes[0]], remark=self.left_over(axes))

    def left_over(self, axes: Sequence[int]) -> str:
        """In words, the cells at the end that no window reaches: of the input, or of its padding alone."""
        x, windows = self.use.xs[0], self.use.layer.windows(self.use.xs[0])
        dropped: list[str] = []
        unreached: list[str] = []
        for axis in axes:
            cells = left_over(self.use, axis - 2) if 0 <= axis - 2 < len(windows) == len(x) - 2 else 0
            noun = NOUNS[-(len(x) - axis) :][0] if len(x) > 3 else "cell"
            lost = cells - windows[axis - 2].after if cells else 0
            if cells:
                (dropped if lost > 0 else unreached).append(_so_many(max(lost, 0) or cells, noun))
        said = [f"{' and '.join(dropped)} {_are(dropped)} dropped"] if dropped else []
        said += [f"{' and '.join(unreached)} of the padding {_are(unreached)} not reached"] if unreached else []
        if getattr(self.layer, "padding", None) == "same" and not self.goes_by_input and axes[0] >= 2:
            said.insert(
                0, f"same padding: ⌈{x[axes[0]]}/{windows[axes[0] - 2].stride}⌉ = {self.use.answers.y[axes[0]]}"
            )
        return ", ".join(said)

    def tensors(self) -> Iterator[Step]:
        """Parameters, and values that are kept but not trained."""
        owned = self.layer.weights(*self.xs)
        for label, role in (("parameters", "trainable"), ("buffers", "buffer")):
            weights = [weight for weight in owned.values() if weight.role == role]
            if weights:
                yield Step(label, factored(sum(map(_values, weights))), "values" if role == "buffer" else "")

    def operations(self) -> Iterator[Step]:
        """Multiply–adds from one dot product to the whole; single operations; FLOPs under the convention."""
        macs, exact = self.layer.macs(self.xs, self.y), self.use.answers.macs_exact
        if macs:
            yield from self.shares(macs)
            yield Step("in total", macs, under="multiply–adds")
        if exact != macs:
            rest, where = grouped(int(macs) - exact), "the cropped border" if self.goes_by_input else "padding"
            of_pairs = isinstance(self.layer, Attention)
            outside = f"{rest} are of pairs that are not seen" if of_pairs else f"{rest} fall on {where}"
            yield Step("of pairs seen" if of_pairs else "without padding", exact, "", outside, "multiply–adds")
        ops = self.layer.ops(self.xs, self.y)
        counts = {key: (label, count) for key, label in OPERATIONS.items() if (count := getattr(ops, key))}
        for key, (label, count) in counts.items():
            if macs and int(count) == int(macs) and key in AS_MANY:
                yield Step(label, int(count), remark=AS_MANY[key])
            else:
                yield Step(label, simplest(count))
        each = Ops(**{key: named(int(count), label) for key, (label, count) in counts.items()})
        flops = CONVENTIONS[self.convention].flops(
            each, named(int(macs), "multiply–adds"), named(exact, "those without padding")
        )
        if flops:
            yield Step("FLOPs", flops)

    @property
    def goes_by_input(self) -> bool:
        """Are its multiply–adds counted by the cells of the input, not of the output?"""
        alone = len(self.xs) == 1 and len(self.xs[0]) > 2
        return alone and self.layer.macs(self.xs, (1,) * len(self.y)) == self.use.answers.macs

    def shares(self, macs: int) -> Iterator[Step]:
        """Of one output value, of all values at one place; of one input cell where the formula goes by the input."""
        ones = (1,) * len(self.y)
        if self.use.image:
            place = "per pixel" if len(self.y) == 4 else "per cell"
            tries = [("per filter", ones), (place, (1, self.y[1], *ones[2:]))]
        else:
            tries = [("per output", ones), ("per row", (*ones[:-1], self.y[-1]))]
        seen = [int(macs)]
        for label, y in tries:
            share = self.layer.macs(self.xs, y)
            if share * prod(map(int, self.y)) == macs * prod(map(int, y)) and int(share) not in seen:
                seen.append(int(share))
                yield Step(label, share, under="multiply–adds")
        if self.goes_by_input:
            batch, channels, *cells = self.xs[0]
            share = self.layer.macs([(1, channels, *(1 for _ in cells))], self.y)
            if share * int(batch) * prod(map(int, cells)) == macs != share:
                yield Step("per input cell", share, under="multiply–adds")


def _so_many(n: int, noun: str) -> str:
    return f"one {noun}" if n == 1 else f"{n} {noun}s"


def _are(said: Sequence[str]) -> str:
    return "is" if len(said) == 1 and said[0].startswith("one ") else "are"


def spoken_layer(layer: Layer) -> Layer:
    """The layer with its integers under their names; what stands at its default and changes nothing stays unsaid."""
    said = {}
    for field in fields(type(layer)):
        value = getattr(layer, field.name)
        default = None if field.default is NODEFAULT else field.default
        usual = field.name in ALWAYS_SAID and getattr(layer, "stride", 1) is not None
        if usual or value != default:
            said[field.name] = _under_name(value, field.name)
    return replace(layer, **said)


def _under_name(value: Any, name: str) -> Any:
    if type(value) is int:
        return named(value, name)
    if not isinstance(value, tuple) or name not in PER_AXIS or len(value) not in AXES:
        return value
    return tuple(_on_axis(item, f"{name} {axis}") for item, axis in zip(value, AXES[len(value)], strict=True))


def _on_axis(item: Any, name: str) -> Any:
    if not isinstance(item, tuple):
        return named(item, name)
    before, after = item
    return named(before, f"{name} before"), named(after, f"{name} after")


def _sized(size: int, name: str) -> int:
    return size if name == "batch" and size == 1 else named(size, name)


def _given(number: int, rank: int, *, image: bool, index: str) -> list[str]:
    """What the axes of an input are called; a further one of one axis, such as a list of places, has no batch."""
    return [f"values{index}"] if number and rank == 1 else _names(rank, image=image, index=index)


def _names(rank: int, *, image: bool, index: str) -> list[str]:
    """What the axes of a tensor are called."""
    if image and rank > 2:
        inner = ["channels", *AXES.get(rank - 2, tuple(f"axis {number}" for number in range(2, rank)))]
    elif rank == 2:
        inner = ["features"]
    else:
        inner = [*(("rows",) if rank == 3 else tuple(f"axis {number}" for number in range(1, rank - 1))), "features"]
    return ["batch", *(f"{name}{index}" for name in inner)][:rank]


def _renamed(size: int, name: str) -> int:
    if not isinstance(size, Spoken) or size.made.how == "name":
        return size
    return size.called(name)


def _spoken(n: int) -> Spoken:
    return n if isinstance(n, Spoken) else named(n, str(n))


def _values(weight: Weight) -> int:
    """Elements of a tensor, its second axis last: filters × kernel × kernel × channels."""
    shape = weight.shape
    return prod((*shape[:1], *shape[2:], *shape[1:2]))


def fields_text(layer: Layer) -> str:
    """Fields that are not at their defaults, or have none."""
    given = ((field, getattr(layer, field.name)) for field in fields(type(layer)) if field.name != "function")
    return ", ".join(f"{field.name} {_field(value)}" for field, value in given if value != field.default)


def _field(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_field, value))})"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _totals(uses: Sequence[Use], dtype: str, convention: str) -> Iterator[Step]:
    """Sums over the layers, written out where they are few."""
    rows = [row_of(use, dtype, CONVENTIONS[convention]) for use in uses]
    columns: list[tuple[str, str, Callable[[Any], int]]] = [
        ("parameters", "", lambda row: row.params),
        ("multiply–adds", "", lambda row: row.macs),
        ("FLOPs", "", lambda row: row.flops),
        ("output memory", "bytes", lambda row: row.output_bytes),
    ]
    for label, unit, value in columns:
        numbers = [n for n in map(value, rows) if n]
        written = sum((named(n, row.name) for row in rows if (n := value(row))), start=0)
        few = 1 < len(numbers) <= SUMMANDS
        yield Step(
            label, written if few else sum(numbers), unit, remark="" if few else f"sum over {len(numbers)} layers"
        )
