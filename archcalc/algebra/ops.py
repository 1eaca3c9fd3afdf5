"""Operation counts as vectors, and the conventions under which such a vector becomes one number of FLOPs."""

from msgspec import Struct


class Ops(Struct, frozen=True, gc=False):
    """How often each elementary operation is done.

    >>> Ops(mul=3) + Ops(mul=1, add=2)
    Ops(mul=4, add=2, cmp=0, div=0, exp=0)
    """

    mul: int = 0  # multiplications
    add: int = 0  # additions and subtractions
    cmp: int = 0  # maximum, minimum, comparison, selection
    div: int = 0  # divisions, square roots, reciprocals
    exp: int = 0  # exp, log, tanh, erf, sin, …

    def __add__(self, other: "Ops") -> "Ops":
        return Ops(
            self.mul + other.mul, self.add + other.add, self.cmp + other.cmp, self.div + other.div, self.exp + other.exp
        )

    def times(self, n: int) -> "Ops":
        """The same operations, n times."""
        return Ops(self.mul * n, self.add * n, self.cmp * n, self.div * n, self.exp * n)

    @property
    def total(self) -> int:
        """All operations, each counted once."""
        return self.mul + self.add + self.cmp + self.div + self.exp


class Convention(Struct, frozen=True):
    """A weighting of operations and multiply–accumulates that yields a number of FLOPs."""

    name: str
    meaning: str
    per_op: int = 0
    per_mac: int = 0
    per_exact_mac: int = 0

    def flops(self, ops: Ops, macs: int, macs_exact: int) -> int:
        """FLOPs of one use of a layer, or of a total, under this convention."""
        return self.per_op * ops.total + self.per_mac * macs + self.per_exact_mac * macs_exact


CONVENTIONS = {
    convention.name: convention
    for convention in (
        Convention(
            "archcalc", "mul + add + cmp + div + exp, each 1, padding taps of the linear part included", per_op=1
        ),
        Convention("2mac", "2 per multiply-accumulate, nothing else", per_mac=2),
        Convention("mac", "1 per multiply-accumulate, nothing else (many papers call this FLOPs)", per_mac=1),
        Convention("multiplications", "the classroom's name for `mac`", per_mac=1),
        Convention(
            "exact", "as archcalc, without the taps that fall on padding", per_op=1, per_mac=-2, per_exact_mac=2
        ),
    )
}
