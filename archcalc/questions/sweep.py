"""Sweeps: quantities over a grid of sizes, batches and hyperparameters, by compiled closed forms, in chunks."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from itertools import product
from math import prod
from typing import Any

from msgspec import Struct

from archcalc import __version__
from archcalc.algebra.compiled import Compiled, compiled
from archcalc.algebra.num import LIMIT
from archcalc.errors import ModelError, UsageError
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes
from archcalc.questions.closed_form import Derivation
from archcalc.questions.fitting import Fitting
from archcalc.questions.quantities import COUNTED, wanted
from archcalc.questions.symbols import BATCH, Symbol, symbols_of
from archcalc.views import sweep as views

USUAL = ("params", "macs", "output_bytes")
MOST_POINTS = 20_000_000
MOST_TOGETHER = 10_000  # choices of sizes of several inputs
MOST_SETTINGS = 10_000  # combinations of hyperparameters: each is a network of its own
CHUNK = 2**16  # points that are computed at once: columns of that length stay in the processor's cache
Values = Sequence[int]


class Axis(Struct, frozen=True):
    """One direction of a grid: the columns that take the same values together, and these."""

    names: tuple[str, ...]
    values: Values


class Part(Struct, frozen=True):
    """The points that share hyperparameters: their grid, and the function for them; None where no network fits."""

    settings: tuple[int, ...]
    axes: tuple[Axis, ...]
    function: Compiled | None
    legal: Mapping[str, Fitting | frozenset[int]]  # by axis
    together: tuple[tuple[str, ...], frozenset[tuple[int, ...]]] = ((), frozenset())  # axes that are legal only so

    @property
    def points(self) -> int:
        """How many there are."""
        return prod(len(axis.values) for axis in self.axes)


class Sweep(Struct, frozen=True):
    """A grid with what is asked at each of its points; computed when it is read, a chunk at a time."""

    model: str
    settings: tuple[str, ...]
    parts: tuple[Part, ...]
    of: tuple[str, ...]
    dtype: str
    convention: str
    status: str
    sample: int | None = None
    seed: int = 0
    executor: Executor | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Columns that say where a point is."""
        return (*self.settings, *(name for axis in self.parts[0].axes for name in axis.names))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, those that say where first."""
        return (*self.axes, *self.of)

    @property
    def points(self) -> int:
        """Points of the grid, or of the sample."""
        return sum(part.points for part in self.parts) if self.sample is None else self.sample

    def chunks(self, start: int = 0) -> Iterator[Mapping[str, Any]]:
        """Columns as arrays, chunk after chunk from a point on; `legal` says which points the model accepts."""
        tasks = self.sampled(start) if self.sample is not None else self.tasks(start)
        if self.executor is None:
            yield from (computed(*task) for task in tasks)
            return
        waiting: list[Future[Any]] = []
        for task in tasks:  # a few ahead of what is read, so that a long sweep does not pile up
            waiting.append(self.executor.submit(computed, *task))
            if len(waiting) > AHEAD:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()

    def tasks(self, start: int) -> Iterator[tuple[Any, ...]]:
        """What `computed` is asked, part by part."""
        for part in self.parts:
            for first in range(start - start % CHUNK if start < part.points else part.points, part.points, CHUNK):
                yield part, self.settings, self.of, max(first, start), min(first + CHUNK, part.points)
            start = max(0, start - part.points)

    def sampled(self, start: int) -> Iterator[tuple[Any, ...]]:
        """The same for random points, each part having its share; the same seed gives the same points."""
        import numpy

        generator = numpy.random.default_rng(self.seed)
        grid = sum(part.points for part in self.parts)
        places = sorted(_random_places(generator, grid, self.points))[start:]
        before = 0
        for part in self.parts:
            inside = [place - before for place in places if before <= place < before + part.points]
            before += part.points
            for first in range(0, len(inside), CHUNK):
                yield part, self.settings, self.of, 0, 0, inside[first : first + CHUNK]

    def table(self) -> dict[str, Any]:
        """Every column as one array; quantities of points that the model refuses are masked."""
        import numpy

        chunks = list(self.chunks())
        table: dict[str, Any] = {name: numpy.concatenate([chunk[name] for chunk in chunks]) for name in self.columns}
        legal = numpy.concatenate([chunk["legal"] for chunk in chunks])
        return {
            name: numpy.ma.array(column, mask=~legal) if name in self.of else column for name, column in table.items()
        }

    def rows(self, start: int = 0) -> Iterator[tuple[int | None, ...]]:
        """Point after point: where it is and what it costs, None where the model refuses it."""
        for chunk in self.chunks(start):
            columns = [chunk[name].tolist() for name in self.columns]
            for legal, row in zip(chunk["legal"].tolist(), zip(*columns, strict=True), strict=True):
                yield row if legal else (*row[: len(self.axes)], *(None for _ in self.of))

    def write(self, path: str, shown: Callable[[int], Any] | None = None) -> int:
        """Write CSV, going on where an earlier run stopped; how many points were refused in this run."""
        return views.write_csv(self, path, shown)

    def __str__(self) -> str:
        return views.text(self)

    def _repr_html_(self) -> str:
        return views.html(self)

    def to_dict(self) -> dict[str, Any]:
        """The sweep as plain data: columns, and a row of exact integers for each point."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "dtype": self.dtype,
            "convention": self.convention,
            "status": self.status,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows()],
        }


AHEAD = 32  # chunks


def computed(
    part: Part, settings: Sequence[str], of: Sequence[str], start: int, stop: int, places: Sequence[int] = ()
) -> dict[str, Any]:
    """The columns of some points of a part; it needs nothing else, so any process can do it."""
    import numpy

    rest = numpy.array(places) if places else numpy.arange(start, stop)
    columns: dict[str, Any] = {
        name: numpy.full(len(rest), value) for name, value in zip(settings, part.settings, strict=True)
    }
    for axis in reversed(part.axes):
        rest, at = numpy.divmod(rest, len(axis.values))
        values = numpy.array(axis.values)[at]
        columns |= dict.fromkeys(axis.names, values)
    legal = numpy.full(len(rest), part.function is not None)
    for name, accepted in part.legal.items():
        legal &= _accepted(columns[name], accepted)
    names, accepted_together = part.together
    if names:
        points = zip(*(columns[name].tolist() for name in names), strict=True)
        legal &= numpy.array([point in accepted_together for point in points], dtype=bool)
    if part.function is None:
        return columns | {name: numpy.zeros(len(rest), dtype=int) for name in of} | {"legal": legal}
    found = part.function(*(columns[name] for name in part.function.symbols))
    whole = {
        name: values if hasattr(values, "dtype") else _constant(values, len(rest))
        for name, values in zip(of, found, strict=True)
    }
    return columns | whole | {"legal": legal}


def _constant(value: int, length: int) -> Any:
    import numpy

    return numpy.full(length, value, dtype=int if abs(value) < 2**63 else object)


def _accepted(values: Any, accepted: Fitting | frozenset[int]) -> Any:
    import numpy

    if not isinstance(accepted, Fitting):
        return numpy.isin(values, list(accepted))
    never = 2**62
    least = numpy.array([never if size is None else size for size in accepted.smallest])
    return (least[values % accepted.period] <= values) | numpy.isin(values, list(accepted.alone))


def _random_places(generator: Any, grid: int, count: int) -> set[int]:
    """Different places of a grid of any size."""
    places: set[int] = set()
    digits = max(1, -(-grid.bit_length() // 32))
    while len(places) < count:
        for words in generator.integers(0, 2**32, (count - len(places), digits), dtype="uint64").tolist():
            number = sum(word << (32 * at) for at, word in enumerate(words))
            places.add(number % grid)
    return places


def sweep(
    model: Network, input: Sizes | Sequence[str] | None = None, *, batch: str | int | Sequence[int] = 1,
    settings: Mapping[str, str | int | Sequence[int]] | None = None, of: str | Sequence[str] | None = USUAL,
    dtype: str = "float32", convention: str = "archcalc", sample: int | None = None, seed: int = 0,
    executor: Executor | None = None, show: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Sweep:  # fmt: skip
    """A sweep over a grid; see Model.sweep."""
    names = tuple(wanted("--of", of, USUAL, COUNTED))
    if seed < 0:
        raise UsageError("--seed", "must be at least 0", f"{seed}")
    axes = [Axis((BATCH,), values_of("--batch", batch)), *input_axes(model, input)]
    swept = {name: values_of("--set", values, name) for name, values in (settings or {}).items()}
    combinations = prod(map(len, swept.values()))
    points = combinations * prod(len(axis.values) for axis in axes)
    _refuse_too_many(points, combinations, sample)
    parts, partial = [], False
    for chosen in show(list(product(*swept.values()))):  # each choice is a network of its own to derive
        part, missing = _part(model, dict(zip(swept, chosen, strict=True)), tuple(axes), names, dtype, convention)
        parts.append(part)
        partial = partial or missing
    status = "partial" if partial else "complete"
    size = None if sample is None else min(sample, points)
    return Sweep(model.name, tuple(swept), tuple(parts), names, dtype, convention, status, size, seed, executor)


def _refuse_too_many(points: int, combinations: int, sample: int | None) -> None:
    if combinations > MOST_SETTINGS:
        raise UsageError("--set", f"must give at most {MOST_SETTINGS:,} combinations", f"{combinations:,}")
    if sample is not None and not 1 <= sample <= MOST_POINTS:
        raise UsageError("--sample", f"must lie between 1 and {MOST_POINTS:,}", f"{sample}")
    if sample is not None and points >= 2**62:
        raise UsageError("--sample", "takes points of at most 2^62", f"{points:,}")
    if sample is None and points > MOST_POINTS:
        way_out = "--sample 100000 takes so many of them at random"
        raise UsageError("sweep", f"must have at most {MOST_POINTS:,} points", f"{points:,}", way_out=way_out)


def _part(
    model: Network, settings: Mapping[str, int], axes: tuple[Axis, ...], of: Sequence[str], dtype: str, convention: str
) -> tuple[Part, bool]:
    """The function for one choice of hyperparameters."""
    chosen = tuple(settings.values())
    names = [name for axis in axes for name in axis.names]
    try:
        network = model.with_settings(settings)
        derivation = Derivation(network, names, dtype=dtype, convention=convention)
        forms = [derivation.raw(name) for name in of]
    except ModelError:
        if not settings:
            raise
        return Part(chosen, axes, None, {}), False
    function = compiled([form.expressions[0] for form in forms], names)
    partial = any(form.partial for form in forms)
    if len(model.inputs) > 1:
        return Part(chosen, axes, function, {}, _together(derivation, axes)), partial
    legal = {axis.names[0]: derivation.accepted(axis.names, axis.values) for axis in axes if axis.names != (BATCH,)}
    return Part(chosen, axes, function, legal), partial


def _together(derivation: Derivation, axes: Sequence[Axis]) -> tuple[tuple[str, ...], frozenset[tuple[int, ...]]]:
    """The sizes of several inputs that are accepted together: each choice is tried."""
    sized = [axis for axis in axes if axis.names != (BATCH,)]
    choices = prod(len(axis.values) for axis in sized)
    if choices > MOST_TOGETHER:
        rule = f"must give several inputs at most {MOST_TOGETHER:,} choices of sizes: each is tried"
        raise UsageError("--input", rule, f"{choices:,}")
    names = tuple(name for axis in sized for name in axis.names)
    accepted = set()
    for chosen in product(*(axis.values for axis in sized)):
        point = tuple(n for axis, n in zip(sized, chosen, strict=True) for _ in axis.names)
        try:
            derivation.at(dict(zip(names, point, strict=True)) | {BATCH: derivation.batch})
        except ModelError:
            continue
        accepted.add(point)
    return names, frozenset(accepted)


def input_axes(model: Network, given: Any) -> list[Axis]:
    """The axes of a grid of input sizes: `32..1024:32` is square, `32..64x48` has an axis each."""
    if given is None:
        return []
    if isinstance(given, int) or (not isinstance(given, str) and all(isinstance(n, int) for n in given)):
        given = "x".join(map(str, [given] if isinstance(given, int) else given))
    texts = [given] if isinstance(given, str) else list(given)
    known = [symbol for symbol in symbols_of(model, {}) if symbol.of == "axis"]
    if len(model.inputs) == 1:
        if len(texts) > 1:
            raise UsageError("--input", "must be given once: this model has one input", " and ".join(texts))
        return _axes_of(texts[0], known)
    found: dict[str, list[Axis]] = {}
    for text in texts:
        name, equals, sizes = text.partition("=")
        if not equals or name not in model.inputs:
            rule = f"must name one of the inputs {', '.join(model.inputs)}"
            raise UsageError("--input", rule, repr(text), way_out=f"such as {next(iter(model.inputs))}=32..64")
        if name in found:
            raise UsageError("--input", "must give each input once", name)
        found[name] = _axes_of(sizes, [symbol for symbol in known if symbol.input == name])
    return [axis for axes in found.values() for axis in axes]


def _axes_of(text: str, symbols: Sequence[Symbol]) -> list[Axis]:
    parts = [values_of("--input", part) for part in text.split("x")]
    spatial = symbols[1:] if len(symbols) > 1 and len(parts) < len(symbols) else symbols
    if len(parts) == 1:
        return [Axis(tuple(symbol.name for symbol in spatial), parts[0])]
    if len(parts) != len(spatial):
        rule = f"takes one range, or {len(symbols) - 1} joined by x, or {len(symbols)} with the channels first"
        raise UsageError("--input", rule, text)
    return [Axis((symbol.name,), values) for symbol, values in zip(spatial, parts, strict=True)]


def values_of(option: str, given: str | int | Sequence[int], name: str = "") -> Values:
    """The values that a text names: `8`, `1,8,64`, `32..1024` or `32..1024:32`.

    >>> list(values_of("--input", "32..128:32"))
    [32, 64, 96, 128]
    """
    if not isinstance(given, str):
        values: Values = [given] if isinstance(given, int) else tuple(given)
    elif match := re.fullmatch(r"\s*([0-9]{1,18})\.\.([0-9]{1,18})(?::([0-9]{1,18}))?\s*", given):
        first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
        values = range(first, last + 1, step) if step else ()
    elif re.fullmatch(r"\s*[0-9]{1,18}(\s*,\s*[0-9]{1,18})*\s*", given):
        values = tuple(dict.fromkeys(int(number) for number in given.split(",")))
    else:
        rule = "must be a number, numbers with commas, or a range such as 32..1024:32"
        raise UsageError(option, f"{name} {rule}".strip(), repr(given))
    ends = (values[0], values[-1]) if isinstance(values, range) and values else values
    if not values or not all(isinstance(value, int) and 1 <= value <= LIMIT for value in ends):
        raise UsageError(option, f"{name} must give at least one number, all at least 1".strip(), repr(given))
    return values


def settings_of(texts: Iterable[str]) -> dict[str, str]:
    """Hyperparameters with the values to try, from NAME=8,16,32."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise UsageError("--set", "must be NAME=VALUES", repr(text), way_out="such as --set width=8,16,32")
        if name in found:
            raise UsageError("--set", "must be given once for each name", name)
        found[name] = values
    return found
