"""Numbers that remember how they were made as MathML, which browsers draw by themselves."""

import re
from collections.abc import Iterator

from archcalc.algebra.spoken import Marks, Spoken
from archcalc.views.notebook import escaped

WRAPPED = re.compile("(<mtext>.*?</mtext>|<[^>]*>)")  # a name, or a tag of another element
FRACTION = "<mfrac><mrow>{0}</mrow><mrow>{1}</mrow></mfrac>"
MATHML = Marks(
    "<mo>×</mo>", "<mo>·</mo>", FRACTION, f"<mrow><mo>⌊</mo>{FRACTION}<mo>⌋</mo></mrow>",
    "<msup><mrow>{0}</mrow><mrow>{1}</mrow></msup>",
    name=lambda name: f"<mtext>{escaped(name)}</mtext>", brackets=False,
)  # fmt: skip


def chain(number: int) -> list[str]:
    r"""How a number is made, in names and in values, and the number; without repeating what is the same.

    >>> from archcalc.algebra.spoken import named
    >>> print(*chain(named(5, "kernel") * 1000), sep="\n")
    <math displaystyle="true"><mtext>kernel</mtext><mo>×</mo><mn>1,000</mn></math>
    <math displaystyle="true"><mn>5</mn><mo>×</mo><mn>1,000</mn></math>
    <math displaystyle="true"><mn>5,000</mn></math>
    """
    value = f"{int(number):,}".replace("-", "−")
    said = [number.said(MATHML), number.shown(MATHML)] if isinstance(number, Spoken) else []
    return [_formula(text) for text in [*(text for text in said if text != value), value]]


def _formula(text: str) -> str:
    """The marks that stand free between elements become elements too."""
    return f'<math displaystyle="true">{"".join(_elements(text))}</math>'


def _elements(text: str) -> Iterator[str]:
    opened = False  # is this the inside of an operator?
    for piece in WRAPPED.split(text):
        if piece.startswith("<") or opened:
            yield piece
        else:
            for digits, mark in re.findall(r"([0-9][0-9,]*)|(\S)", piece):
                yield f"<mn>{digits}</mn>" if digits else f"<mo>{mark}</mo>"
        opened = piece == "<mo>"
