"""Numbers with units as people write them: SI prefixes for counts, IEC prefixes for bytes."""

import re
from fractions import Fraction

from archcalc.errors import UsageError

SI = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BYTES = {"": 1, "B": 1}
BYTES |= {f"{prefix}B": factor for prefix, factor in SI.items() if prefix}
BYTES |= {f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", start=1)}
COUNT = "a count such as 9150, 10k or 1.5M"
AMOUNT = "a number of bytes such as 4096, 1.5MB or 24GiB"


def grouped(n: int) -> str:
    """Every digit, in groups of three.

    >>> grouped(1761730400)
    '1,761,730,400'
    """
    return f"{n:,}"


def si(n: int) -> str:
    """Four significant digits and an SI prefix.

    >>> si(1761730400), si(520), si(69_975_000_000)
    ('1.762 G', '520', '69.98 G')
    """
    return _prefixed(n, 1000, ["", "k", "M", "G", "T", "P", "E"])


def iec(n: int) -> str:
    """Bytes to four significant digits with an IEC prefix.

    >>> iec(132346400)
    '126.2 MiB'
    """
    return _prefixed(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"])


def parse_count(text: str) -> int:
    """An exact count such as 10k, 1.5M or 9_150.

    >>> parse_count("1.5M")
    1500000
    """
    return _whole(text, *_parse(text, SI, COUNT))


def parse_bytes(text: str) -> int:
    """An exact number of bytes such as 24GiB, 1.5MB or 4096.

    >>> parse_bytes("24GiB"), parse_bytes("1.5MB")
    (25769803776, 1500000)
    """
    return _whole(text, *_parse(text, BYTES, AMOUNT))


def parse_rounded(text: str, *, of_bytes: bool) -> tuple[int | Fraction, Fraction]:
    """A number as people quote it, and by how much rounding to its last digit may have moved it.

    Only one with a prefix is rounded; without, it must be whole.

    >>> parse_rounded("1.674M", of_bytes=False)
    (1674000, Fraction(500, 1))
    """
    digits, unit = _parse(text, BYTES if of_bytes else SI, AMOUNT if of_bytes else COUNT)
    value, half = Fraction(digits) * unit, Fraction(unit, 2 * 10 ** len(digits.partition(".")[2]))
    if unit == 1 or value.denominator == 1:
        return _whole(text, digits, unit), half if unit > 1 else Fraction(0)
    return value, half


def _prefixed(n: int, base: int, prefixes: list[str]) -> str:
    if n < base:
        return f"{n} {prefixes[0]}".rstrip()
    power = 1
    while n >= base ** (power + 1) and power + 1 < len(prefixes):
        power += 1
    unit = base**power
    decimals = max(0, 4 - len(str(n // unit)))
    digits = (2 * n * 10**decimals + unit) // (2 * unit)  # rounded half up, exactly: floats would not
    whole, rest = divmod(digits, 10**decimals)
    return f"{whole:,}{f'.{rest:0{decimals}}' if decimals else ''} {prefixes[power]}"


def _parse(text: str, units: dict[str, int], form: str) -> tuple[str, int]:
    """The digits of a number, and its unit."""
    match = re.fullmatch(
        r"\s*((?:[0-9]{1,3}(?:,[0-9]{3}){1,9}|[0-9]{1,9}(?:_[0-9]{1,9}){1,9}|[0-9]{1,30})(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)\s*",
        text,
    )
    if not match or match[2] not in units:
        raise UsageError("units", f"must be {form}", repr(text))
    return match[1].replace("_", "").replace(",", ""), units[match[2]]


def _whole(text: str, digits: str, unit: int) -> int:
    value = Fraction(digits) * unit
    if value.denominator != 1:
        raise UsageError("units", "must be a whole number", f"{text!r} = {float(value)}")
    return value.numerator
