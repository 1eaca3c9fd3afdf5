"""Formula against formula: what PyTorch derives for symbolic sizes, beside what a layer answers for the same symbols.

PyTorch's side stands on internal names (`FakeTensorMode`, `ShapeEnv`); where a version lacks them, `missing` says so.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import sympy
import torch
from msgspec import Struct
from torch.utils.flop_counter import FlopCounterMode

from archcalc.algebra.agreement import UNDER_CONDITIONS, Agreement, Claim, Class, agree
from archcalc.algebra.symbolic import FloorDiv
from archcalc.crosscheck.measure import refusal
from archcalc.dialects.torch import module
from archcalc.errors import LayerError
from archcalc.layers import AvgPool, MaxPool
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.pool import pads_itself

missing = ""
try:
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.source import ConstantSource
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
except ImportError as error:
    missing = f"this version of PyTorch has no symbolic sizes ({error})"

FAR = 12  # cells between two example sizes
MOST_STEPS = 2  # of a sequence, where PyTorch writes each out
MOST_RUNS = 12  # PyTorch's answer may hold for some rests of a division only; others take a run of their own
Symbolic = tuple[Any, ...]


class Derived(Struct, frozen=True):
    """What PyTorch derived: the input shapes in symbols, the output, the FLOPs, and under which conditions."""

    xs: tuple[Symbolic, ...]
    y: Symbolic
    flops: Any
    conditions: tuple[Any, ...]


class Comparison(Struct, frozen=True):
    """Output sizes and MACs beside PyTorch's, and what the comparison leaves out."""

    answers: dict[str, Agreement]
    left_out: tuple[str, ...] = ()


def compare(layer: Layer, xs: Sequence[Shape], dtypes: Sequence[Any]) -> Comparison | str:
    """Output sizes and MACs for every size that the layer's weights leave free; or, as text, why they are not known."""
    if missing:
        return missing
    free, fixed = free_axes(layer, xs), list[str]()
    if layer.in_steps:
        xs = [(x[0], min(x[1], MOST_STEPS), *x[2:]) for x in xs]
        free, fixed = [axes - {1} for axes in free], ["axis 1, along which PyTorch writes out every step"]
    if not any(free):
        return "its weights fix every size"
    examples = distinct(layer, xs, free)
    with _quiet():
        found = [_compare(layer, examples, axes, dtypes) for axes in _together(layer, xs, free)]
    known = [answer for answer in found if not isinstance(answer, str)]
    if not known:
        return next(answer for answer in found if isinstance(answer, str))
    answers = {what: _weakest([answer.answers[what] for answer in known]) for what in ("output", "MACs")}
    why = (
        text for answer in found for text in ([f"an axis: {answer}"] if isinstance(answer, str) else answer.left_out)
    )
    return Comparison(answers, tuple(dict.fromkeys([*fixed, *why])))


def _together(layer: Layer, xs: Sequence[Shape], free: list[set[int]]) -> list[list[set[int]]]:
    """The axes that are symbols at once: all, or one after another for a pool over a padded copy.

    Its axes do not depend on each other, it has no MACs, and the conditions under which PyTorch pads three symbols at
    once fill the memory.
    """
    if not isinstance(layer, MaxPool | AvgPool) or pads_itself(layer, xs[0]):
        return [free]
    return [[{axis}] for axis in sorted(free[0])]


def _weakest(answers: Sequence[Agreement]) -> Agreement:
    """The answer that shows least."""
    order = {"different": 0, "unknown": 1, "equal": 2}
    return min(answers, key=lambda answer: (order[answer.verdict], -len(answer.unseen), answer.by == "normal form"))


def _compare(layer: Layer, xs: list[Shape], free: list[set[int]], dtypes: Sequence[Any]) -> Comparison | str:
    """One run, and more where PyTorch's conditions leave classes of sizes out, or where it gives a symbol up."""
    runs: list[Derived] = []
    for _ in range(MOST_RUNS):
        try:
            run = derive(layer, xs, free, dtypes)
        except Exception as error:  # internals of PyTorch may fail in any way
            return refusal(error) or f"PyTorch derives no expression ({type(error).__name__})"
        kept = [{axis for axis in axes if x[axis].is_Symbol} for x, axes in zip(run.xs, free, strict=True)]
        if kept != free:
            return _without(layer, xs, free, kept, dtypes)
        runs.append(run)
        try:
            answers = _beside(layer, runs)
        except Exception as error:  # a kind of a user's own may answer for integers only
            return f"its formulas cannot be read on symbols ({type(error).__name__}: {error})"
        unseen = dict.fromkeys(place for answer in answers.values() for place in answer.unseen)
        others = {place: _of_class(layer, xs, run.xs, place) for place in unseen}
        legal = [place for place, other in others.items() if other is not None]  # the layer refuses other classes
        if not legal:
            assumed = any(answer.by == UNDER_CONDITIONS for answer in answers.values())
            return Comparison(answers, ("sizes for which PyTorch's conditions do not hold",) if assumed else ())
        xs = others[legal[0]] or xs
    return Comparison(answers, (f"{len(legal)} classes of sizes, for which PyTorch's conditions do not hold",))


def _without(
    layer: Layer, xs: list[Shape], free: list[set[int]], kept: list[set[int]], dtypes: Sequence[Any]
) -> Comparison | str:
    """The comparison over the axes that PyTorch keeps as symbols."""
    lost = sorted({axis for before, after in zip(free, kept, strict=True) for axis in before - after})
    text = f"{'axis' if len(lost) == 1 else 'axes'} {', '.join(map(str, lost))}, which PyTorch specialises"
    if not any(kept):
        return f"every axis: {text}"
    found = _compare(layer, xs, kept, dtypes)
    return found if isinstance(found, str) else Comparison(found.answers, (text, *found.left_out))


def _beside(layer: Layer, runs: Sequence[Derived]) -> dict[str, Agreement]:
    """Our answers for symbols, compared with PyTorch's for the same."""
    xs = runs[0].xs
    y = layer.out(*xs)
    sizes = [agree(n, *(Claim(run.y[axis], run.conditions) for run in runs)) for axis, n in enumerate(y)]
    macs = agree(2 * layer.macs(xs, y), *(Claim(run.flops, run.conditions) for run in runs))
    return {"output": _weakest(sizes), "MACs": macs}


def derive(layer: Layer, xs: Sequence[Shape], free: Sequence[set[int]], dtypes: Sequence[Any]) -> Derived:
    """Run the layer's module on symbolic sizes, of which `xs` are an example; equal sizes are one symbol."""
    environment = ShapeEnv(duck_shape=True)
    mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    mode.cache_enabled = False  # every run has symbols of its own: nothing would be found again
    with torch.device("meta"):
        made = module(layer, *xs).eval()
        examples = [torch.empty(x, dtype=dtype) for x, dtype in zip(xs, dtypes, strict=True)]
    inputs = [
        mode.from_tensor(example, symbolic_context=_context(example.dim(), axes), source=ConstantSource(f"x{number}"))
        for number, (example, axes) in enumerate(zip(examples, free, strict=True))
    ]
    with ExitStack() as stack:
        for manager in (mode, enable_python_dispatcher(), torch.device("meta"), torch.no_grad()):
            stack.enter_context(manager)
        counter = stack.enter_context(FlopCounterMode(display=False))
        y = made(*inputs)
    known = _constants(environment)
    *shapes, output = [tuple(_expression(size, known) for size in tensor.shape) for tensor in (*inputs, y)]
    names = _named(shapes)
    return Derived(
        tuple(tuple(size.subs(names) for size in shape) for shape in shapes),
        tuple(size.subs(names) for size in output),
        _expression(counter.get_total_flops(), known).subs(names),
        tuple(_translated(guard.expr).subs(names) for guard in environment.guards),
    )


def _named(shapes: Sequence[Symbolic]) -> dict[Any, Any]:
    """PyTorch's symbols by the place where they first stand, so that two runs speak of the same."""
    names: dict[Any, Any] = {}
    for number, shape in enumerate(shapes):
        for axis, size in enumerate(shape):
            if size.is_Symbol and size not in names:
                names[size] = sympy.Symbol(f"x{number + 1}[{axis}]", integer=True, positive=True)
    return names


def _context(rank: int, free: set[int]) -> Any:
    kinds = [DimDynamic.DUCK if axis in free else DimDynamic.STATIC for axis in range(rank)]
    return StatelessSymbolicContext(dynamic_sizes=kinds)


def _constants(environment: Any) -> dict[Any, Any]:
    """Expressions that PyTorch has found to be a number, under its conditions."""
    equal = [guard.expr for guard in environment.guards if isinstance(guard.expr, sympy.Eq)]
    return {expression.lhs: expression.rhs for expression in equal if expression.rhs.is_Integer}


def _expression(size: Any, known: Mapping[Any, Any]) -> Any:
    expression = sympy.sympify(getattr(getattr(size, "node", None), "expr", size))
    return _translated(expression.xreplace(known))


def _translated(expression: Any) -> Any:
    """PyTorch's own integer functions as ours and sympy's."""
    names: dict[str, Any] = {
        "FloorDiv": FloorDiv,
        "CleanDiv": FloorDiv,
        "CeilDiv": lambda p, q: -FloorDiv(-p, q),
        "Mod": lambda p, q: p - q * FloorDiv(p, q),
        "PythonMod": lambda p, q: p - q * FloorDiv(p, q),
        "Max": sympy.Max,
        "Min": sympy.Min,
        "ToFloat": lambda p: p,  # a size times a whole number, which floats hold exactly
        "TruncToInt": lambda p: p if p.is_integer else sympy.Function("TruncToInt")(p),
    }
    if expression.is_Float and float(expression).is_integer():
        return sympy.Integer(int(expression))
    if not getattr(expression, "args", ()):
        return expression
    inner = [_translated(part) for part in expression.args]
    return names.get(type(expression).__name__, expression.func)(*inner)


def free_axes(layer: Layer, xs: Sequence[Shape]) -> list[set[int]]:
    """Axes of each input whose size may change without another weight; equal sizes in one place change together."""
    weights = layer.weights(*xs)
    free: list[set[int]] = [set() for _ in xs]
    for axis in range(max(map(len, xs), default=0)):
        for size in {x[axis] for x in xs if axis < len(x)}:
            changed = [_with(xs, axis, size, other) for other in (size + 1, 2 * size, 3 * size)]
            if any(_accepts(layer, other) and layer.weights(*other) == weights for other in changed):
                for x, axes in zip(xs, free, strict=True):
                    if axis < len(x) and x[axis] == size:
                        axes.add(axis)
    return free


def _with(xs: Sequence[Shape], axis: int, size: int, other: int) -> list[Shape]:
    return [tuple(other if at == axis and n == size else n for at, n in enumerate(x)) for x in xs]


def _accepts(layer: Layer, xs: Sequence[Shape]) -> bool:
    try:
        layer.out(*xs)
    except LayerError:
        return False
    return True


def distinct(layer: Layer, xs: Sequence[Shape], free: Sequence[set[int]]) -> list[Shape]:
    """Example sizes of at least 2, no two free axes alike unless they must be: each gets a symbol of its own."""
    taken = {n for x, axes in zip(xs, free, strict=True) for at, n in enumerate(x) if at not in axes}
    shapes = list(xs)
    for axis in range(max(map(len, xs))):
        for size in sorted({x[axis] for x, axes in zip(shapes, free, strict=True) if axis in axes}):
            found = next(_larger(layer, shapes, axis, size, taken), None)
            if found is not None:
                shapes = found[0]
                taken.add(found[1])
    return shapes


def _larger(layer: Layer, xs: list[Shape], axis: int, size: int, taken: set[int]) -> Iterator[tuple[list[Shape], int]]:
    """Sizes that the layer accepts: far from the others, so that padding makes none alike, and small ones last.

    PyTorch treats an output of one cell apart.
    """
    least = max(size, 2)
    far = [n for n in range(least + 24, least + 400) if all(abs(n - other) > FAR for other in taken)]
    for other in (*far, *range(least, least + 24)):
        shapes = _with(xs, axis, size, other)
        if other not in taken and _accepts(layer, shapes):
            yield shapes, other


def _of_class(layer: Layer, xs: list[Shape], symbols: Sequence[Symbolic], place: Class) -> list[Shape] | None:
    """Example sizes of a residue class; None where the layer accepts none of the first."""
    wanted = {symbol: (m, rest) for symbol, m, rest in place}
    shapes = xs
    for axis in range(max(map(len, xs))):
        for x, names in zip(xs, symbols, strict=True):
            if axis < len(x) and names[axis] in wanted:
                m, rest = wanted.pop(names[axis])
                taken = {n for other in shapes for n in other} - {x[axis]}
                near = (n for n in range(x[axis], x[axis] + 64 * m) if n % m == rest and n not in taken)
                shapes = _with(shapes, axis, x[axis], next(near))
    return shapes if _accepts(layer, shapes) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """PyTorch logs what it cannot derive; that is told in our own words."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
