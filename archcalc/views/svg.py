"""The picture of a network as SVG: one file, readable on light and dark pages, every text inside its box."""

from collections.abc import Iterator
from typing import Any

from archcalc.views.boxes import LABEL, Line, length, plain, told, visible, wire_text
from archcalc.views.plan import Label, Placed, Plan, Point, planned

HUES = {  # of the fill, by family: an aid to the eye; the words say the same
    "conv": "blue", "dense": "orange", "attention": "orange", "recurrent": "orange", "embedding": "orange",
    "pool": "green", "reduce": "green", "resize": "green", "norm": "yellow", "activation": "yellow", "join": "purple",
    "block": "grey",
}  # fmt: skip
FILLS = {  # on light and on dark pages
    "blue": ("#dbeafe", "#1e3a5f"), "orange": ("#ffe4d1", "#5c3418"), "green": ("#dcf5e0", "#1d4a2a"),
    "yellow": ("#fdf3c7", "#4f4413"), "purple": ("#ece2fb", "#43306b"), "grey": ("#e9edf2", "#333c48"),
    "none": ("#f6f8fa", "#20262e"), "end": ("#ffffff", "#161b22"),
}  # fmt: skip
FONT = "ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,'Liberation Mono',monospace"
HEAD, ROUND = 7.0, 8.0  # length of an arrow's head, radius of a corner


def svg(drawing: Any, *, live: bool = False) -> str:
    """The whole picture; a live one says where shapes and costs stand, for a page on which they change."""
    plan = planned(drawing)
    width, height = _n(plan.width), _n(plan.height)
    what = f"{visible(drawing.model)}, {len(drawing.boxes)} boxes"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="archcalc-net" role="img" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}">'
    )
    page = f'<rect class="page" width="{width}" height="{height}" rx="6"/>'
    parts = [head, f"<title>{escaped(what)}</title>", f"<style>{_style()}</style>", page]
    labels = [_label(label, live=live) for label in plan.labels]
    parts += [*_wires(drawing, plan, live=live), *_boxes(drawing, plan, live=live), *labels, "</svg>"]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """Text as XML writes it, also in an attribute.

    >>> escaped('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    import html

    return html.escape(text)


def _style() -> str:
    """Colours under the picture's own class: a page that holds it keeps its own."""
    own = ".archcalc-net"
    light = [
        f"{own} text{{font-family:{FONT};fill:#1f2328}}", f"{own} .title{{font-weight:bold}}",
        f"{own} .page{{fill:#ffffff}}", f"{own} .box{{stroke:#57606a}}", f"{own} .partial{{stroke-dasharray:5 3}}",
        f"{own} .wire{{fill:none;stroke:#57606a;stroke-width:1.3}}", f"{own} .head{{fill:#57606a}}",
        f"{own} .shape{{fill:#57606a}}", *(f"{own} .{hue}{{fill:{fill}}}" for hue, (fill, _) in FILLS.items()),
    ]  # fmt: skip
    dark = [
        f"{own} text{{fill:#e6edf3}}", f"{own} .page{{fill:#0d1117}}", f"{own} .box{{stroke:#9aa4af}}",
        f"{own} .wire{{stroke:#9aa4af}}", f"{own} .head,{own} .shape{{fill:#9aa4af}}",
        *(f"{own} .{hue}{{fill:{fill}}}" for hue, (_, fill) in FILLS.items()),
    ]  # fmt: skip
    return f"{''.join(light)}@media (prefers-color-scheme:dark){{{''.join(dark)}}}"


def _wires(drawing: Any, plan: Plan, *, live: bool) -> Iterator[str]:
    heads = set()
    for wire, corners in zip(drawing.wires, plan.paths, strict=True):
        ends = visible(drawing.boxes[wire.source].last), visible(drawing.boxes[wire.target].name)
        what = escaped(f"{ends[0]} to {ends[1]}" + ("" if live else f": {wire_text(wire)}"))
        yield f'<path class="wire" d="{_curve(corners)}"><title>{what}</title></path>'
        heads.add(corners[-1])
    for x, y in sorted(heads):
        yield f'<path class="head" d="M{_n(x)} {_n(y)}l-4 {_n(-HEAD)}h8z"/>'


def _curve(corners: tuple[Point, ...]) -> str:
    """Straight along an axis, with round corners; from rank to rank a bend that leaves and arrives vertically."""
    points = [*corners[:-1], (corners[-1][0], corners[-1][1] - HEAD + 1)]
    text, at = f"M{_xy(points[0])}", points[0]
    for place, point in enumerate(points[1:], start=1):
        if at[0] != point[0] and at[1] != point[1]:
            middle = (at[1] + point[1]) / 2
            text += f"C{_xy((at[0], middle))} {_xy((point[0], middle))} {_xy(point)}"
        else:
            after = points[min(place + 1, len(points) - 1)]
            turns = (at[0] == point[0]) != (point[0] == after[0]) and point[1] in (at[1], after[1])
            text += f"L{_xy(_short(at, point))}Q{_xy(point)} {_xy(_short(after, point))}" if turns else f"L{_xy(point)}"
        at = point
    return text


def _short(start: Point, end: Point) -> Point:
    """A little before the end of a line along an axis."""
    far = abs(start[0] - end[0]) + abs(start[1] - end[1])
    part = min(ROUND, far / 2) / far
    return end[0] + (start[0] - end[0]) * part, end[1] + (start[1] - end[1]) * part


def _xy(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _boxes(drawing: Any, plan: Plan, *, live: bool) -> Iterator[str]:
    for box, placed in zip(drawing.boxes, plan.boxes, strict=True):
        hue = "end" if box.role in ("input", "output") else HUES.get(box.family, "none")
        yield f"<g><title>{escaped(told(box).splitlines()[0] if live else told(box))}</title>"
        if box.times > 1:  # a second sheet behind the first
            yield _rect(placed, f"box {hue}", shift=4, radius=5)
        partial = " partial" if box.uncounted else ""
        yield _rect(placed, f"box {hue}{partial}", radius=placed.height / 2 if hue == "end" else 5)
        for at, (line, y) in enumerate(zip(placed.lines, placed.baselines, strict=True)):
            attributes = ' class="title"' if at == 0 else ""
            if live and line.costs:
                attributes += f' data-costs="{escaped(box.name)}" data-times="{box.times}"'
            yield _text(line, placed.x + placed.width / 2, y, attributes, "middle")
        yield "</g>"


def _rect(placed: Placed, classes: str, radius: float, shift: float = 0) -> str:
    return (
        f'<rect class="{classes}" x="{_n(placed.x + shift)}" y="{_n(placed.y + shift)}" width="{_n(placed.width)}"'
        f' height="{_n(placed.height)}" rx="{_n(radius)}"/>'
    )


def _text(line: Line, x: float, y: float, attributes: str, anchor: str) -> str:
    """A line; where letters are not those of every font, the viewer is told how much room there is."""
    fitted = (
        "" if plain(line.text) else f' textLength="{_n(length(line.text, line.size))}" lengthAdjust="spacingAndGlyphs"'
    )
    where = f'x="{_n(x)}" y="{_n(y)}" font-size="{_n(line.size)}" text-anchor="{anchor}"'
    return f"<text {where}{attributes}{fitted}>{escaped(line.text)}</text>"


def _label(label: Label, *, live: bool) -> str:
    tensor = f' data-tensor="{escaped(label.tensor)}"' if live else ""
    return _text(Line(label.text, LABEL), label.x, label.y, f' class="shape"{tensor}', "start")


def _n(number: float) -> str:
    """A coordinate to a tenth, without zeros that say nothing."""
    return f"{number:.1f}".removesuffix(".0")
