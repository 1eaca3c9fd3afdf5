"""The words on a drawing: lines of a box, tooltips, shapes; and how wide a text is."""

import re
import unicodedata
from typing import Any

from msgspec import Struct

from archcalc.algebra.units import grouped, si
from archcalc.views.columns import shape_text
from archcalc.views.table import shortened

EM = 0.625  # width of a character over its height, in every common monospaced font or more
WIDE, OTHER = 2.2, 1.3  # characters that a letter of East Asia or a picture takes, and one of another script
LONGEST = 32  # characters of a name in a box; the tooltip has all
TITLE, BODY, LABEL = 13.0, 11.0, 10.0  # heights of letters
HIDDEN = {"Cc", "Cs", "Zl", "Zp", "Co", "Cn"}  # categories that a picture cannot show
REORDER = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Line(Struct, frozen=True):
    """One line of text and the height of its letters."""

    text: str
    size: float
    costs: bool = False  # are these the costs, which follow the size of the input?


def visible(text: str) -> str:
    r"""Text in which nothing acts: marks that reorder it, and characters that cannot be shown, are written out.

    >>> visible("a\u202eb\n")
    'a\\u202eb\\n'
    """
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if char in REORDER or unicodedata.category(char) in HIDDEN
        else char
        for char in text
    )


def plain(text: str) -> bool:
    """Is every letter one that monospaced fonts have?"""
    return all(" " <= char <= "~" or "\u00a0" <= char <= "\u024f" or char in "…×·–−≥" for char in text)


def length(text: str, size: float) -> float:
    """At most so wide is a text."""
    return sum([_cells(char) for char in text]) * EM * size


def _cells(char: str) -> float:
    if plain(char):
        return 1
    if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
        return 0
    return WIDE if unicodedata.east_asian_width(char) in "WF" else OTHER


def lines(box: Any) -> list[Line]:
    """What stands in a box."""
    title = Line(_title(box), TITLE)
    if box.role in ("input", "output"):
        return [title, Line(box.role, BODY)]
    made = [title]
    if box.role == "block" or box.detail or box.name.rsplit("/", 1)[-1].rstrip("0123456789") != box.kind:
        made.append(Line(_what(box), BODY))  # relu1 says what it is
    if _costs(box):
        made.append(Line(_costs(box), BODY, costs=True))
    if box.uncounted:
        made.append(Line(f"{grouped(box.uncounted)} not counted", BODY))
    return made


def _title(box: Any) -> str:
    name = shortened(visible(box.name), LONGEST)
    if box.times == 1:
        return name
    first, last = (visible(one).rsplit("/", 1)[-1] for one in (box.name, box.last))
    letters = last.rstrip("0123456789")
    numbers = first.removeprefix(letters), last.removeprefix(letters)
    if all(re.fullmatch("[0-9]{1,9}", number) for number in numbers):
        in_a_row = int(numbers[1]) - int(numbers[0]) == box.times - 1
    else:
        in_a_row = False
    end = f"…{numbers[1]}" if in_a_row else f" … {shortened(last, LONGEST)}"
    return f"{name}{end} ×{grouped(box.times)}"


def _what(box: Any) -> str:
    if box.role == "layer":
        return visible(f"{box.kind} {box.detail}".rstrip())
    layers = box.layers // box.times
    return f"{visible(box.kind)}, {grouped(layers)} layer{'s' if layers > 1 else ''}{'' if _costs(box) else _each(box)}"


def _costs(box: Any) -> str:
    """Parameters and MACs of one of them."""
    parts = ["shared weights"] if box.shared_with is not None else []
    parts += [f"{si(box.params // box.times)} params"] if box.params else []
    parts += [f"{si(box.macs // box.times)} MACs"] if box.macs else []
    return " · ".join(parts) + (_each(box) if parts else "")


def _each(box: Any) -> str:
    return " each" if box.times > 1 else ""


def told(box: Any) -> str:
    """The tooltip: everything in full."""
    shape = shape_text(box.output, "channels_first")
    if box.role in ("input", "output"):
        return f"{box.role} {visible(box.name)}: {shape}"
    name = visible(box.name) if box.times == 1 else f"{visible(box.name)} to {visible(box.last)}, {box.times} times"
    kind = f"{visible(box.kind)} {box.detail}".rstrip()
    made = [f"{name}: {kind}", f"layers: {grouped(box.layers)}", f"params: {grouped(box.params)}",
            f"MACs: {grouped(box.macs)}", f"output: {shape}"]  # fmt: skip
    made += [f"weights of {visible(box.shared_with)}"] if box.shared_with is not None else []
    made += [f"not counted: {grouped(box.uncounted)} operators"] if box.uncounted else []
    return "\n".join(made)


def wire_text(wire: Any) -> str:
    """What a wire carries."""
    return shape_text(wire.shape, "channels_first")
