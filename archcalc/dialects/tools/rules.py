"""Rules of counting that tools share, and how a table of rules becomes a figure of a tool."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from archcalc import layers
from archcalc.algebra.num import prod
from archcalc.dialects.tools import spelling_sequences  # noqa: F401  (registers its kinds)
from archcalc.dialects.tools.spelling import Call, Spelling, spelled
from archcalc.layers.layer import Shape
from archcalc.model.walk import Use
from archcalc.questions.reconcile import Counted, Figure, Part, Refusal

GRID = "counted on the output grid"
ROUNDED = "NumPy's cost, rounded to four digits"
Network = Literal["built", "modules"]  # which of the two spellings
Rule = Callable[[Call], Sequence[Part] | Refusal]


class Hooked(Struct, frozen=True):
    """A module as a hook sees it: its class, the layer that it is, what it is given and gives."""

    module: str
    layer: Any
    x: Shape
    y: Shape
    use: Use


ModuleRule = Callable[[Hooked], Sequence[Part] | Refusal]


def spelling_of(use: Use, network: Network) -> Spelling | None:
    """What a use is in PyTorch; the parts of an attention that PyTorch has as one module are not known there."""
    if network == "modules" and isinstance(use.node.layer, layers.MultiHeadAttention):
        return None
    return spelled(use.layer, use.xs, use.answers.y, network == "modules")


def linear(n: int, cause: str = "counted otherwise") -> Part:
    """What a tool takes for the multiply–accumulates that we count."""
    return Part(cause, n, instead=True)


def bias(n: int) -> Part:
    """An addition for each output."""
    return Part("bias counted, 1 per output", n)


def each(factor: int, n: int, what: str = "element") -> Part:
    """So many for each element."""
    return Part(f"{factor} per {what}", factor * n)


def products(call: Call) -> list[Part]:
    """The multiply–accumulates, as we count them."""
    return [linear(call.macs)]


def doubled(call: Call) -> list[Part]:
    """2 FLOPs for each multiply–accumulate, and nothing for a bias."""
    return [linear(2 * call.macs)]


def first_by_second(call: Call) -> list[Part]:
    """Elements of the first matrix times the last axis of the second: too few where the first repeats."""
    return [linear(prod(call.x) * call.other[-1], "the first matrix taken once, however often it is used")]


def contraction(call: Call) -> int:
    """The cost that NumPy prints for a sum of products, to four digits: 2 for each product that is summed, else 1."""
    _, size = call.amount
    return int(float(f"{size * (2 if call.affine else 1) + 1:.3e}"))


def recurrent_weights(layer: Any, x: Shape) -> tuple[int, int]:
    """Products with the weights of a recurrent module, its projection left out; and operations behind the gates."""
    h, ways = layer.units, layer.directions
    inputs = [x[-1], *[layer.state * ways] * (layer.layers - 1)]
    times = x[0] * x[1] * ways
    behind = {"rnn": 1, "gru": 7, "lstm": 10}[layer.function] * h + (2 * layer.gates * h if layer.biases else 0)
    products = sum(layer.gates * h * (n + layer.state) for n in inputs)
    return times * products, times * behind * layer.layers


def per_input(factor: int = 1) -> Rule:
    """So many for each element of the input."""
    return lambda call: [each(factor, prod(call.x), "input element")]


def per_output(factor: int = 1) -> Rule:
    """So many for each element of the output."""
    return lambda call: [each(factor, prod(call.y), "output element")]


def norm(plain: int, affine: int) -> Rule:
    """So many for each element, more with weights."""
    return lambda call: [each(affine if call.affine else plain, prod(call.x))]


def found(table: Mapping[str, Any], word: str, axes: int) -> Any:
    """The rule of a word: of just so many axes, or of any number."""
    return table.get(f"{word}{axes}d", table.get(word))


def by_calls(table: Mapping[str, Rule], network: Network, *, traced: bool = False) -> Callable[[Use], Counted]:
    """A figure of a tool that sees functions; a word that its table lacks counts nothing."""

    def count(use: Use) -> Counted:
        spelling = spelling_of(use, network)
        if spelling is None:
            return None
        if traced and spelling.untraceable:
            return Refusal("it computes with the size of the input, which a trace makes a tensor")
        return called(table, spelling)

    return count


def called(table: Mapping[str, Rule], spelling: Spelling) -> Sequence[Part] | Refusal:
    """What a table counts for the calls of one module."""
    parts: list[Part] = []
    for call in spelling.calls:
        rule = found(table, call.word, len(call.x) - 2)
        said = rule(call) if rule else []
        if isinstance(said, Refusal):
            return said
        parts += said
    return parts


def class_of(module: str) -> str:
    """A module's class without the number of axes.

    >>> class_of("Conv2d"), class_of("Linear")
    ('Conv', 'Linear')
    """
    return module[:-2] if module[-2:-1].isdigit() and module.endswith("d") else module


def by_modules(table: Mapping[str, ModuleRule], network: Network) -> Callable[[Use], Counted]:
    """A figure of a tool that hooks modules; a class that its table lacks counts nothing."""

    def count(use: Use) -> Counted:
        spelling = spelling_of(use, network)
        if spelling is None:
            return None
        rule = table.get(class_of(spelling.module))
        return rule(hooked(use, spelling)) if rule else []

    return count


def hooked(use: Use, spelling: Spelling) -> Hooked:
    """A use as a hook sees it."""
    return Hooked(spelling.module, use.layer, use.xs[0] if use.xs else (), use.answers.y, use)


def trained(use: Use) -> dict[str, Shape]:
    """Tensors that automatic differentiation knows, by name; shared ones too."""
    return {name: weight.shape for name, weight in use.answers.weights.items() if weight.role == "trainable"}


def parameters(*, frozen: bool = True, tied: bool = False, known: Callable[[Use], bool | None] | None = None) -> Figure:
    """The parameters that a tool prints: frozen ones or not, tied ones once or at each use, of known modules."""

    def count(use: Use) -> Counted:
        rule = True if known is None else known(use)
        if rule is None or not trained(use):
            return None if rule is None and trained(use) else []
        if not rule:
            return [linear(0, "no rule for the module, whose parameters are left out")]
        if not frozen and not use.node.trainable:
            return [linear(0, "frozen, and left out")]
        shared = sum(prod(trained(use)[name]) for name in use.shared)
        own = [linear(sum(map(prod, trained(use).values())) - shared)]
        return [*own, Part("tied, and counted again", shared)] if tied and shared else own

    return Figure("params", "params", count)
