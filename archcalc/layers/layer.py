"""Layer: the questions that every kind answers; and the registry, from which all other tables are generated."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr

from archcalc.algebra.field import Sees
from archcalc.algebra.num import differ, less, prod
from archcalc.algebra.ops import Ops
from archcalc.algebra.product import Product
from archcalc.algebra.window import Window
from archcalc.errors import LayerError

Shape = tuple[int, ...]  # (batch, channels, *axes), or (batch, *leading axes, features)


LARGEST_KERNEL = 10**6  # counting taps takes a step for each
PADDING_RULES = ("valid", "same", "causal")


class Weight(Struct, frozen=True):
    """A named tensor that a layer owns."""

    shape: Shape
    role: Literal["trainable", "buffer", "counter"] = "trainable"  # a counter is listed and never totalled


class Saved(Struct, frozen=True):
    """A tensor that automatic differentiation keeps from the forward pass for the backward pass.

    Parameters add nothing and are not listed. The rules are PyTorch's, in training, for contiguous tensors.
    """

    of: int | Literal["output", "own"]  # an input by its number, the output, or a tensor of the layer's own
    elements: int
    role: Literal["activation", "index", "mask", "statistic"] = "activation"
    dtype: str | None = None  # None: what the model computes in
    wanted_by: int | str | tuple[int, ...] | None = None  # kept only if this input, one of these, or this weight trains
    training_only: bool = False  # inference does not make it at all


Scratch = tuple[tuple[Saved, ...], tuple[Saved, ...]]
Graded = Sequence[bool]  # which inputs need a gradient


class Layer(Struct, frozen=True):
    """One kind of layer with its hyperparameters; whatever depends on the input is asked with the input shapes.

    A kind defines `out` and `ops`, and what it has of the others; nothing overrides a kind.
    """

    at_least: ClassVar[Mapping[str, int]] = {}  # the smallest legal value of integer fields
    arity: ClassVar[tuple[int, int | None]] = (1, 1)  # how many inputs it takes; None: no upper end
    moves_data: ClassVar[bool] = False  # the output holds the input's values, in the input's dtype
    makes: ClassVar[str | None] = None  # the output's dtype, where it is neither the model's nor the input's
    differentiable: ClassVar[bool] = True  # does a gradient flow back through it?
    pace: ClassVar[Literal["elementwise", "softmax", "norm"]] = "elementwise"  # how it moves through memory
    autocast: ClassVar[Literal["half", "float32", "follows"]] = "follows"  # what PyTorch's mixed precision computes in
    in_steps: ClassVar[bool] = False  # each step waits for the one before: more than its products say
    keeps_more: ClassVar[str] = ""  # why what `saved` lists is a lower bound; empty where it is all
    image: ClassVar[bool | None] = None  # is axis 1 of the output channels, before spatial axes; None: as in the input

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            if isinstance(getattr(self, field), list):  # lists are welcome, and cannot be dictionary keys
                force_setattr(self, field, _tuples(getattr(self, field)))
        for field in self.at_least:
            rule = broken_rule(type(self), field, getattr(self, field))
            if rule:
                raise self.error(rule, repr(getattr(self, field)))

    @property
    def kind(self) -> str:
        """The kind's name in a spec."""
        return kind_of(self)

    def error(self, rule: str, got: str, *, of: type[LayerError] = LayerError) -> LayerError:
        """A mistake in this layer's fields or inputs; whoever knows the place adds it."""
        return of(titled(self.kind), rule, got)

    def out(self, *xs: Shape) -> Shape:
        """Output shape, for these input shapes."""
        raise NotImplementedError

    def weights(self, *xs: Shape) -> dict[str, Weight]:
        """The tensors that it owns, by name."""
        return {}

    def macs(self, xs: Sequence[Shape], y: Shape) -> int:
        """Multiply–accumulate pairs of the linear part; a kind that has no linear part has none."""
        return 0

    def macs_exact(self, xs: Sequence[Shape], y: Shape) -> int:
        """The same without the pairs that meet padding or a cropped border."""
        return self.macs(xs, y)

    def ops(self, xs: Sequence[Shape], y: Shape) -> Ops:
        """Every elementary operation of one forward pass."""
        raise NotImplementedError

    def saved(self, xs: Sequence[Shape], y: Shape, device: str = "cuda") -> tuple[Saved, ...] | None:
        """What PyTorch keeps for the backward pass on a `cuda` or `cpu` device; None where the kind does not say."""
        return None

    def aliases(self, training: bool) -> bool:
        """Does the output lie in the first input's memory, nothing being copied?"""
        return False

    def in_place(self, y: Shape, training: bool) -> tuple[Saved, ...] | None:
        """What it keeps where it overwrites its input; None where it cannot, or PyTorch copies the input first."""
        return None

    def hands_back(self, number: int, xs: Sequence[Shape], y: Shape) -> bool:
        """Does this input's gradient lie in the memory of the output's gradient, nothing being computed?"""
        return False

    def scratch(self, xs: Sequence[Shape], y: Shape, training: bool, graded: Graded, device: str = "cuda") -> Scratch:
        """Tensors made and let go within the forward and the backward pass, beside what `saved` lists as its own.

        As PyTorch computes it: most kinds are one kernel and need none; those that it composes of several do.
        In the backward pass: when most is taken, beside what was kept, what arrived, and the gradients that are made.
        """
        return (), ()

    def product(self, xs: Sequence[Shape], y: Shape) -> Product | None:
        """The matrix products that its linear part is, padding taps included; None where it has no linear part."""
        return None

    def reads(self, xs: Sequence[Shape], y: Shape) -> tuple[int, ...]:
        """Distinct elements of each input that the output depends on; most kinds depend on all."""
        return tuple(map(prod, xs))

    def reads_weights(self, xs: Sequence[Shape], y: Shape) -> int:
        """Distinct elements of its tensors that the output depends on, at least."""
        return sum(prod(weight.shape) for weight in self.weights(*xs).values() if weight.role != "counter")

    def idle_params(self, *xs: Shape) -> int:
        """Elements of its weights that one position does not use: those of experts that were not chosen."""
        return 0

    def windows(self, x: Shape) -> tuple[Window, ...]:
        """One window per spatial axis, where the kind moves windows."""
        return ()

    def sees(self, number: int, xs: Sequence[Shape], y: Shape) -> Sees | None:
        """Which cells of this input a cell of the output depends on; None where the kind does not say."""
        return None


class Part(Struct, frozen=True):
    """One layer of a composite; it reads earlier parts by name, and inputs of the composite by number."""

    name: str  # empty: the part is the whole, and goes by the composite's own name
    layer: Layer
    sources: tuple[str | int, ...] = (0,)


class Composite(Layer, frozen=True):
    """A kind that stands for a small graph of others: it has no formula, its cost is the sum of its parts."""

    def parts(self, *xs: Shape) -> tuple[Part, ...]:
        """The layers that it stands for, in order; the last one's output is the composite's."""
        raise NotImplementedError


class Kind(Struct, frozen=True):
    """What the registry knows of a kind."""

    name: str
    cls: type[Layer]
    main: str  # the field that a scalar sets: `- dense: 10`
    fixed: dict[str, Any]  # fields that the name decides: relu is Activation(function="relu")
    example: str  # a line of a spec
    on: tuple[Shape, ...]  # input shapes for the example
    summary: str


KINDS: dict[str, Kind] = {}
_NAMES: dict[tuple[type[Layer], str], str] = {}
SomeLayer = TypeVar("SomeLayer", bound=Layer)


def register(
    name: str, *, example: str, on: Sequence[Shape], main: str = "", summary: str = "", **fixed: Any
) -> Callable[[type[SomeLayer]], type[SomeLayer]]:
    """Make a kind known under a name: the spec, schema, reports and docs follow from it.

    `example` is a line of a spec that works on inputs of the shapes `on`; both are shown, and run by a test.
    """

    def known(cls: type[SomeLayer]) -> type[SomeLayer]:
        if name in KINDS:
            raise TypeError(f"a kind named {name} is registered already: {KINDS[name].cls.__name__}")
        if not issubclass(cls, Composite) and (cls.out is Layer.out or cls.ops is Layer.ops):
            raise TypeError(f"{cls.__name__} must define out and ops: a kind never counts as zero in silence")
        free = [field for field in cls.__struct_fields__ if field not in fixed]
        line = summary or (cls.__doc__ or "").strip().split("\n")[0]
        KINDS[name] = Kind(name, cls, main or (free[0] if free else ""), fixed, example, tuple(on), line)
        _NAMES[cls, fixed.get("function", "")] = name
        return cls

    return known


def own(elements: int, dtype: str | None = None) -> tuple[Saved, ...]:
    """A tensor of the layer's own."""
    return (Saved("own", elements, dtype=dtype),)


def shared_out(x: Shape, y: Shape) -> tuple[Saved, ...]:
    """A maximum's gradient is shared by all cells that are largest: where they are, how many, and each one's share."""
    return (*own(prod(x), "bool"), *own(prod(y), "int64"), *own(prod(y)))


def keeps_input(x: Shape) -> tuple[Saved, ...]:
    """The backward pass needs the input, and nothing else."""
    return (Saved(0, prod(x)),)


def keeps_output(y: Shape) -> tuple[Saved, ...]:
    """The backward pass needs the output, and nothing else."""
    return (Saved("output", prod(y)),)


def kind_of(layer: Layer) -> str:
    """The registered name of a layer's kind; the class name for one that is not registered."""
    cls = getattr(layer, "of", type(layer))  # of one whose fields follow the inputs' sizes: the kind that it becomes
    return _NAMES.get((cls, getattr(layer, "function", "")), cls.__name__)


def titled(kind: str) -> str:
    """A kind as the subject of an error.

    >>> titled("max_pool")
    'MaxPool'
    """
    return "".join(word[:1].upper() + word[1:] for word in kind.split("_"))


def positions_of(layer: Layer, x: Shape, axes: int | tuple[int, ...]) -> tuple[int, ...]:
    """Which positions of a shape the given axes are; negative ones count from the end, the batch is no choice."""
    positions: list[int] = []
    if len(x) < 2 or axes == ():
        raise layer.error("needs an axis beside the batch", f"{shown(x)} and {axes}")
    for axis in axes if isinstance(axes, tuple) else (axes,):
        position = axis + len(x) if axis < 0 else axis
        if not 0 < position < len(x):
            raise layer.error(f"an axis must lie between 1 and {len(x) - 1}, or -1 and -{len(x) - 1}", f"{axis}")
        positions.append(position)
    if len(set(positions)) < len(positions):
        raise layer.error("each axis must be named once", f"{axes}")
    return tuple(positions)


def image(layer: Layer, x: Shape) -> tuple[int, int, list[int]]:
    """Batch, channels and axes of an input that must have at least one spatial axis."""
    if len(x) < 3:
        raise layer.error("the input must be (batch, channels, axes …)", shown(x))
    batch, channels, *axes = x
    return batch, channels, axes


def shown(x: Sequence[int]) -> str:
    """A shape as errors and tables write it.

    >>> shown((1, 20, 24, 24))
    '1×20×24×24'
    """
    return "×".join(map(str, x)) if len(x) else "scalar"


def broken_rule(cls: type[Layer], field: str, value: Any) -> str:
    """The rule about a field's numbers that a value breaks; empty if none."""
    if field not in cls.at_least:
        return ""
    for number in numbers(value):
        if isinstance(number, float | str | bool):
            return f"{field} must be whole numbers"
        if less(number, cls.at_least[field]):
            return f"{field} must be at least {cls.at_least[field]}"
        if field == "kernel" and less(LARGEST_KERNEL, number):
            return f"{field} must be at most {LARGEST_KERNEL:,}"
    return ""


def alike(a: Shape, b: Shape) -> bool:
    """Are two shapes known to be the same?"""
    return len(a) == len(b) and all(differ(n, other) is False for n, other in zip(a, b, strict=True))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def numbers(value: Any) -> list[Any]:
    """The numbers in a field's value, a rule of padding being none."""
    if isinstance(value, tuple):
        return [number for item in value for number in numbers(item)]
    return [] if value is None or value in PADDING_RULES else [value]
