"""Window: what convolution, pooling and unfolding do along one axis; two windows in a row are again one window."""

from functools import lru_cache

from msgspec import Struct

from archcalc.algebra.num import called, ceil_div, differ, gcd, is_symbolic, largest, less, smallest


class Window(Struct, frozen=True, gc=False):
    """A kernel that moves over one axis, which is padded before and after.

    >>> Window(kernel=7, stride=2, before=3, after=3).size(224)
    112
    """

    kernel: int  # taps
    stride: int = 1  # cells between two stops
    before: int = 0  # padded cells in front of the axis
    after: int = 0  # padded cells behind it; negative where the last cells are never visited
    dilation: int = 1  # cells between two taps

    @property
    def span(self) -> int:
        """Cells from the first tap to the last, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def size(self, n: int) -> int:
        """How many stops fit on an axis of n cells."""
        return (n - self.span + self.before + self.after) // self.stride + 1

    def then(self, after: "Window") -> "Window":
        r"""The one window that does this and then the other.

        It visits the same stops because $\lfloor(\lfloor x/a\rfloor + c)/b\rfloor = \lfloor(x + ac)/(ab)\rfloor$.

        >>> Window(kernel=5).then(Window(kernel=2, stride=2)).then(Window(kernel=3))
        Window(kernel=10, stride=2, before=0, after=0, dilation=1)
        """
        return Window(
            kernel=self.span + self.stride * (after.span - 1),
            stride=self.stride * after.stride,
            before=self.before + self.stride * after.before,
            after=self.after + self.stride * after.after,
        )

    def valid_taps(self, n: int, stops: int) -> int:
        """Pairs (stop, tap) that meet a cell of the axis and not its padding, over the first `stops` stops.

        Tap t of stop o lies on cell o·stride − before + t·dilation: per tap, the stops on 0 … n − 1 are counted
        at once. Read the other way round it counts the products of a transposed convolution of `stops` inputs
        that land on n output cells.

        >>> Window(kernel=3, before=1, after=1).valid_taps(10, stops=10)
        28
        """
        reach = (stops - 1) * self.stride + self.span  # where the last stop ends
        if differ(self.before, 0) is False and less(n, reach) is False:
            return self.kernel * stops
        if isinstance(stops, int) and stops < self.kernel:  # taps and stops may change places: the fewer are visited
            turned = Window(kernel=stops, stride=self.dilation, before=self.before, dilation=self.stride)
            return turned.valid_taps(n, self.kernel)
        return called(sum(self._stops_inside(tap, n, 0, stops) for tap in range(self.kernel)), "taps on cells")

    def cells_reached(self, n: int, stops: int) -> int:
        """Cells of the axis that at least one tap of the first `stops` stops lies on.

        Taps whose distance is a multiple of the stride visit the same cells, shifted by `shift` stops: a later tap
        of such a class adds only its last `shift` stops.

        >>> Window(kernel=2, stride=3).cells_reached(12, stops=4)
        8
        """
        common = gcd(self.stride, self.dilation)
        period, shift = self.stride // common, self.dilation // common
        late = largest(0, stops - shift)
        reached = (self._stops_inside(tap, n, 0 if tap < period else late, stops) for tap in range(self.kernel))
        return called(sum(reached), "cells reached")

    def stops_that_meet(self, n: int, stops: int) -> int:
        """Stops, of the first `stops`, at which at least one tap lies on the axis and not on its padding.

        Dilated taps can step over a short axis; windows without gaps always meet it, unless its padding is as large
        as they are. The last tap meets the axis at the earliest stops: counted in that order, each tap adds
        the stops behind those before it.

        >>> Window(kernel=2, before=1, after=1, dilation=2).stops_that_meet(1, stops=1)
        0
        """
        small = less(self.before, self.kernel) is not False and less(self.after, self.kernel) is not False
        if self.dilation == 1 and small:
            return stops
        met, reached = 0, -1
        for tap in reversed(range(self.kernel)):
            offset = tap * self.dilation - self.before
            first = largest(reached + 1, ceil_div(-offset, self.stride))
            last = smallest(stops - 1, (n - 1 - offset) // self.stride)
            met = met + largest(0, last - first + 1)
            reached = largest(reached, last)
        return called(met, "stops on cells")

    def taps_that_meet(self, n: int, stops: int) -> int:
        """Taps that lie on a cell of the axis, and not on padding, at one stop or more.

        >>> Window(kernel=3, before=1, after=1).taps_that_meet(1, stops=1)
        1
        """
        if self.before == 0 and self.after == 0:
            return self.kernel
        return sum(less(0, self._stops_inside(tap, n, 0, stops)) is not False for tap in range(self.kernel))

    def _stops_inside(self, tap: int, n: int, start: int, end: int) -> int:
        """How many stops o with start ≤ o < end put this tap on a cell 0 … n − 1."""
        if any(map(is_symbolic, (n, start, end))):  # slow, and the same for every layer of one window and size
            return _remembered(self, tap, n, start, end)
        return _stops(self, tap, n, start, end)


def _stops(window: Window, tap: int, n: int, start: int, end: int) -> int:
    offset = tap * window.dilation - window.before
    lowest = largest(start, ceil_div(-offset, window.stride))
    highest = smallest(end - 1, (n - 1 - offset) // window.stride)
    return largest(0, highest - lowest + 1)


_remembered = lru_cache(maxsize=10_000)(_stops)


def same_padding(n: int, span: int, stride: int) -> tuple[int, int]:
    """Padding before and after so that an axis of n gives ⌈n / stride⌉ stops; the odd cell goes behind.

    Source: the `SAME` rule of TensorFlow and Keras.

    >>> same_padding(300, span=3, stride=2), same_padding(75, span=3, stride=2)
    ((0, 1), (1, 1))
    """
    total = largest((ceil_div(n, stride) - 1) * stride + span - n, 0)
    before, after = total // 2, total - total // 2
    if differ(before, after) is False:
        return called(before, "padding"), called(after, "padding")
    return called(before, "padding before"), called(after, "padding after")
