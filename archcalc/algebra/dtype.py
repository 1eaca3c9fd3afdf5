"""Number formats by name, and the bytes that tensors of them take."""

from archcalc.algebra.num import ceil_div

BITS = {
    "float64": 64,
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "float8": 8,
    "int64": 64,
    "int32": 32,
    "int16": 16,
    "int8": 8,
    "uint8": 8,
    "bool": 8,  # frameworks store a truth value in a byte
    "int4": 4,
}
MODEL_DTYPES = ("float64", "float32", "float16", "bfloat16", "float8", "int8", "int4")  # what a network may compute in
BYTEWISE = tuple(name for name in MODEL_DTYPES if BITS[name] >= 8)  # those whose values take whole bytes

HALVES = ("float16", "bfloat16")  # the formats of mixed precision


def bytes_of(elements: int, dtype: str) -> int:
    """Bytes of so many elements, packed; half a byte is rounded up once per tensor.

    >>> bytes_of(3, "float32"), bytes_of(3, "int4")
    (12, 2)
    """
    bits = BITS[dtype]
    return elements * (bits // 8) if bits >= 8 else ceil_div(elements * bits, 8)
