"""Kernel: one launch on a device as the time models see it, whatever layer it comes from."""

from typing import Literal

from msgspec import Struct

from archcalc.algebra.product import Product

__all__ = ["MATH_MODES", "Kernel", "MathMode", "Pace", "Product"]

MathMode = Literal["torch", "ieee", "tf32"]  # how float32 is multiplied
MATH_MODES = ("torch", "ieee", "tf32")
Pace = Literal["gemm", "conv", "attention", "elementwise", "softmax", "norm"]


class Kernel(Struct, frozen=True, gc=False):
    """Work that one launch does: bytes are of distinct elements touched, multiply–accumulates without padding taps.

    A convolution is the product of implicit GEMM: m = batch × stops, n = filters / groups, k = taps of a filter,
    as many as there are groups.
    """

    name: str
    pace: Pace  # which efficiency it runs at
    read_bytes: int
    write_bytes: int
    macs: int = 0
    product: Product | None = None
    stops: tuple[int, ...] = ()  # of a convolution, along each axis
    taps: int = 1  # kernel cells where a fast algorithm may save products (stride 1, dilation 1), else 1
