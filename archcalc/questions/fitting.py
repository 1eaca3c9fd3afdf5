"""Which sizes of an axis a network accepts, and at which of them no division leaves a rest: found by trying."""

from collections.abc import Callable, Sequence
from functools import cache
from math import lcm
from typing import Any

from msgspec import Struct

from archcalc.errors import ModelError
from archcalc.model.graph import Graph
from archcalc.model.walk import Use, outline, walk

LARGEST_PERIOD = 512  # rests that are tried one by one
FAR = 2**12  # a size of this order is large enough for any window of a class to fit
NEAR = 128  # sizes up to here are tried one by one where larger ones of their rest are refused
SHOWN = 4  # rests, or single sizes, that are listed


class Fitting(Struct, frozen=True):
    """What an axis may be: for each rest modulo the period, the smallest size that is accepted, if any is.

    The strides of a network repeat its behaviour with their product; within one rest, larger is always accepted.
    Where a branch has a size of its own, or a table an end, there are single sizes beside or instead of these.
    """

    name: str
    period: int
    smallest: tuple[int | None, ...]
    whole: tuple[bool, ...]  # rests with which every window's division comes out even
    alone: tuple[int, ...] = ()  # accepted sizes whose rest is not accepted for good

    def __contains__(self, n: int) -> bool:
        least = self.smallest[n % self.period]
        return n in self.alone or (least is not None and least <= n)

    @property
    def least(self) -> int:
        """The smallest size that is accepted; 0 if none is."""
        return min((*(size for size in self.smallest if size is not None), *self.alone), default=0)

    def sizes(self, start: int, step: int) -> Sequence[int]:
        """The first sizes from `start` on, in steps, over one period of rests."""
        return [n for n in range(start, start + step * self.period, step) if n in self]

    def accepts_rest(self, rest: int, period: int) -> bool:
        """Is any size accepted that has this rest by another period?"""
        return any(self.smallest[n % self.period] is not None for n in range(rest, rest + period * self.period, period))

    def legal(self) -> str:
        """The sizes that are accepted, in words."""
        kept = [rest for rest, size in enumerate(self.smallest) if size is not None]
        single = ", ".join(map(str, self.alone[:SHOWN])) + (", …" if len(self.alone) > SHOWN else "")
        if not kept and self.in_a_row:
            return f"{self.alone[0]} ≤ {self.name} ≤ {self.alone[-1]}"
        if not kept and not self.alone:
            return f"no {self.name} (an axis of size 1 is repeated, which the formula does not say)"
        if not kept:
            return f"{self.name} in ({single})" if len(self.alone) > 1 else f"{self.name} == {single}"
        least = min(size for size in self.smallest if size is not None)
        said = f"{self.name} ≥ {least}"
        said = said if len(kept) == self.period else f"{self._rests(kept)}, {said}"
        late = [size for size in self.smallest if size is not None and size - self.period >= least]
        said += f" (not every size below {max(late)})" if late else ""
        return f"{said}, or {self.name} in ({single})" if single else said

    @property
    def in_a_row(self) -> bool:
        """Are the single sizes more than a few, without a gap?"""
        return len(self.alone) > SHOWN and self.alone[-1] - self.alone[0] == len(self.alone) - 1

    def even(self, modulus: int = 1, rest: int = 0) -> str:
        """The sizes, of those with a rest, at which no window leaves cells over, in words; empty if there are none."""
        period = lcm(self.period, modulus)
        accepted = [n for n in range(rest, period, modulus) if self.smallest[n % self.period] is not None]
        rests = [n for n in accepted if self.whole[n % self.period]]
        if len(rests) == len(accepted) and accepted:
            return f"every legal {self.name}"
        return self._rests(rests, period) if rests else ""

    def _rests(self, rests: Sequence[int], period: int = 0) -> str:
        period, rests = _shortened(period or self.period, rests)
        if len(rests) == 1:
            return f"{self.name} % {period} == {rests[0]}"
        listed = ", ".join(map(str, rests)) if len(rests) <= SHOWN else f"{len(rests)} rests, {rests[0]} the first"
        return f"{self.name} % {period} in ({listed})"


def _shortened(period: int, rests: Sequence[int]) -> tuple[int, Sequence[int]]:
    """The same rests by the smallest period that tells them apart from the others."""
    held = set(rests)
    for shorter in range(1, period):
        if period % shorter == 0 and all((rest in held) == (rest % shorter in held) for rest in range(period)):
            return shorter, sorted(rest for rest in held if rest < shorter)
    return period, rests


def fitting(
    name: str, period: int, walked: Callable[[int], Sequence[Use] | None], axis: int | None, own: int
) -> Fitting | None:
    """Try sizes: `walked(n)` is the walk at size n, None where the network refuses it; None for too long a period.

    `axis` is the spatial axis whose windows are looked at, None for what is no axis; `own` a size that is accepted.
    """
    if period > LARGEST_PERIOD:
        return None
    smallest, whole = [], []
    far = -(-FAR // period) * period
    for rest in range(period):
        uses = walked(far + rest)
        smallest.append(_least(rest or period, far + rest, period, walked) if uses is not None else None)
        whole.append(uses is not None and not any(left_over(use, axis) for use in uses if axis is not None))
    near = [n for n in [*range(1, NEAR + 1), own] if smallest[n % period] is None and walked(n) is not None]
    ends = [n for n in near if n + period not in near]
    onward = (size for n in ends for size in range(n, _last(n, far + n % period, period, walked) + 1, period))
    return Fitting(name, period, tuple(smallest), tuple(whole), tuple(sorted({*near, *onward})))


def _least(low: int, high: int, period: int, walked: Callable[[int], Any]) -> int:
    """The smallest accepted size of a class, `high` being accepted, by halving."""
    while low < high:
        middle = low + (high - low) // (2 * period) * period
        low, high = (low, middle) if walked(middle) is not None else (middle + period, high)
    return high


def _last(low: int, high: int, period: int, walked: Callable[[int], Any]) -> int:
    """The end of a run of accepted sizes of a class, `low` being accepted and `high` not, by halving."""
    if walked(low + period) is None:
        return low
    while high - low > period:
        middle = low + (high - low) // (2 * period) * period
        low, high = (middle, high) if walked(middle) is not None else (low, middle)
    return low


def left_over(use: Use, axis: int) -> int:
    """Cells at the end of a spatial axis, padding included, that no window of this layer reaches."""
    x = use.xs[0] if use.xs else ()
    windows = use.layer.windows(x) if len(x) > 2 + axis else ()
    if len(windows) <= axis or len(use.answers.y) <= 2 + axis:
        return 0
    window, n, stops = windows[axis], x[2 + axis], use.answers.y[2 + axis]
    if window.size(n) != stops:  # it spreads cells rather than stops at them
        return 0
    return n + window.before + window.after - window.span - (stops - 1) * window.stride


def tried(
    graph: Graph, shapes_at: Callable[[int], Any], holds: Callable[[Any, Sequence[Use]], bool]
) -> Callable[[int], Sequence[Use] | None]:
    """The walk of a network at a size, remembered; None where it refuses, or where what was derived does not hold."""

    @cache
    def walked(n: int) -> Sequence[Use] | None:
        shapes = shapes_at(n)
        try:
            uses = walk(graph, shapes, ask=outline)
        except ModelError:
            return None
        return uses if holds(shapes, uses) else None

    return walked
