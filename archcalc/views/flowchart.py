"""The drawing of a network as text that other programs lay out: Mermaid and DOT."""

from typing import Any

from archcalc.algebra.units import grouped
from archcalc.errors import UsageError
from archcalc.views.boxes import lines, told, visible, wire_text

ARROWS, CHARACTERS = 500, 50_000  # what Mermaid reads unless it is configured otherwise: maxEdges, maxTextSize
QUIET = frozenset(" /_,=×·…−≥")  # beside letters and digits: what Mermaid takes as text


def mermaid(drawing: Any) -> str:
    """A flowchart; boxes are numbered, and every word is quoted."""
    if len(drawing.wires) > ARROWS:
        raise _too_much(f"at most {ARROWS} arrows", len(drawing.wires))
    made = ["flowchart TD"]
    for at, box in enumerate(drawing.boxes):
        words = "<br/>".join(_quoted(line.text) for line in lines(box))
        ends = '(["', '"])'
        left, right = ends if box.role in ("input", "output") else ('[["', '"]]') if box.times > 1 else ('["', '"]')
        made.append(f"  n{at}{left}{words}{right}")
    made += [f'  n{wire.source} -->|"{_quoted(wire_text(wire))}"| n{wire.target}' for wire in drawing.wires]
    text = "\n".join(made)
    if len(text) > CHARACTERS:
        raise _too_much(f"at most {grouped(CHARACTERS)} characters", len(text))
    return text


def _too_much(rule: str, found: int) -> UsageError:
    return UsageError(
        "mermaid", f"reads {rule}", grouped(found), way_out="a smaller depth draws less, or use svg or dot"
    )


def _quoted(text: str) -> str:
    """Text in Mermaid's quotes: what could be markup is written by its number.

    >>> _quoted('a"<b>#1')
    'a#34;#60;b#62;#35;1'
    """
    return "".join(
        char
        if char.isalnum() or char in QUIET or (char == "." and text[at + 1 : at + 2].isdigit())
        else f"#{ord(char)};"
        for at, char in enumerate(text)
    )


def dot(drawing: Any) -> str:
    """A directed graph; boxes are numbered, and every word is quoted."""
    made = [f'digraph "{_slashed(visible(drawing.model))}" {{',
            '  node [shape=box, style=rounded, fontname="monospace", fontsize=11];',
            '  edge [fontname="monospace", fontsize=10];']  # fmt: skip
    for at, box in enumerate(drawing.boxes):
        label = "\\n".join(_slashed(line.text) for line in lines(box))
        shape = "shape=oval, " if box.role in ("input", "output") else "peripheries=2, " if box.times > 1 else ""
        tip = "\\n".join(_slashed(line) for line in told(box).split("\n"))
        made.append(f'  n{at} [{shape}label="{label}", tooltip="{tip}"];')
    made += [f'  n{wire.source} -> n{wire.target} [label="{_slashed(wire_text(wire))}"];' for wire in drawing.wires]
    return "\n".join([*made, "}"])


def _slashed(text: str) -> str:
    r"""Text in DOT's quotes, in which a backslash and & would say something.

    >>> print(_slashed('a"b\\n&lt;'))
    a\"b\\n&amp;lt;
    """
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
