"""Product: the matrix products that the linear part of a layer is."""

from msgspec import Struct


class Product(Struct, frozen=True, gc=False):
    """A batch of matrix products (m × k) · (k × n).

    >>> Product(batch=1, m=6272, n=64, k=147).macs
    59006976
    """

    batch: int
    m: int
    n: int
    k: int

    @property
    def macs(self) -> int:
        """Multiply–accumulate pairs."""
        return self.batch * self.m * self.n * self.k
