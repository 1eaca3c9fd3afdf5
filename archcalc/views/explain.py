"""Derivations as pages: on a board of plain text, in Markdown, in LaTeX, in HTML."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from archcalc.algebra.ops import CONVENTIONS
from archcalc.algebra.spoken import LATEX, Spoken, grouped
from archcalc.views import mathml, notebook

ROOM = 19  # characters of a label
OPENED = 12  # layers of a page that are open from the start
LEFT = "text-align: left"


def text(explanation: Any, width: int) -> str:
    """The derivations for a terminal of this width."""
    lines = [heading(explanation)]
    for working in explanation.layers:
        lines += [
            "",
            *(part for line in (_title(working), *_inputs(working)) for part in _wrapped(line, width, " " * ROOM)),
        ]
        for under, step in _with_headings(working.steps):
            if under:
                lines.append(f"  {under}")
            lines += _step(step, width)
        for note in working.notes:
            lines += textwrap.wrap(note, width, initial_indent="  ", subsequent_indent="  ")
    if explanation.totals:
        lines += ["", "in all"]
        lines += [line for step in explanation.totals for line in _step(step, width)]
    return "\n".join([*lines, "", *closing(explanation, width)])


def heading(explanation: Any) -> str:
    """What is derived."""
    inputs = ", ".join(f"{name} {_shape(shape)}" for name, shape in explanation.inputs.items())
    return f"{explanation.model}: {inputs}, {explanation.dtype}"


def closing(explanation: Any, width: int) -> list[str]:
    """The convention, and the status where it is not complete."""
    convention = CONVENTIONS[explanation.convention]
    lines = textwrap.wrap(f"FLOPs by the convention {convention.name}: {convention.meaning}", width)
    return lines if explanation.status == "complete" else [*lines, "status: partial, something was not counted"]


def _title(working: Any) -> str:
    return f"{working.name}   {working.kind}{f': {working.fields}' if working.fields else ''}"


def _inputs(working: Any) -> list[str]:
    read = ", ".join(f"{name} {_shape(shape)}" for name, shape in working.inputs)
    return [f"  {'reads':{ROOM}}{read}", f"  {'gives':{ROOM}}{_shape(working.output)}"]


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _with_headings(steps: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each step with the heading that comes before it, if one does."""
    above = ""
    for step in steps:
        yield (step.under if step.under != above else ""), step
        above = step.under


def _step(step: Any, width: int) -> list[str]:
    """A label, and the chain names = values = result beside it, on one line if it fits."""
    label = f"  {f'  {step.label}' if step.under else step.label:{ROOM}}"
    chain = _chain(step)
    if len(label) + len(" = ".join(chain)) <= width:
        chain = [" = ".join(chain)]
    elif len(chain) == 3 and len(label) + 2 + len(" = ".join(chain[1:])) <= width:
        chain = [chain[0], " = ".join(chain[1:])]
    blank = " " * len(label)
    lines = [f"{label}{chain[0]}", *(f"{blank}= {part}" for part in chain[1:])]
    lines = [wrapped for line in lines for wrapped in _wrapped(line, width, f"{blank}  ")]
    if step.remark and len(lines[-1]) + len(step.remark) + 2 <= width:
        return [*lines[:-1], f"{lines[-1]}: {step.remark}"]
    return lines + _wrapped(f"{blank}{step.remark}", width, blank) if step.remark else lines


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False)


def _chain(step: Any) -> list[str]:
    """Names, values and result; without repeating what is the same."""
    result = f"{grouped(int(step.value))}{f' {step.unit}' if step.unit else ''}"
    if not isinstance(step.value, Spoken):
        return [result]
    said, shown = step.value.said(), step.value.shown()
    return [said, shown, result] if shown != grouped(int(step.value)) else [said, result]


def markdown(explanation: Any) -> str:
    """The derivations in Markdown, formulas as inline mathematics."""
    lines = [f"# {heading(explanation)}"]
    for working in explanation.layers:
        read = ", ".join(f"`{name}` {_shape(shape)}" for name, shape in working.inputs)
        fields = f" ({working.fields})" if working.fields else ""
        lines += ["", f"## `{working.name}`: {working.kind}{fields}", "", f"{read} → {_shape(working.output)}", ""]
        lines += [_item(step) for step in working.steps] + [f"- {note}" for note in working.notes]
    if explanation.totals:
        lines += ["", "## In all", "", *(_item(step) for step in explanation.totals)]
    return "\n".join([*lines, "", *closing(explanation, 10**6)])


def _item(step: Any) -> str:
    label = f"{step.under}, {step.label}" if step.under else step.label
    return f"- {label}: ${' = '.join(mathematics(step))}$" + (f" ({step.remark})" if step.remark else "")


def mathematics(step: Any) -> list[str]:
    """The chain names = values = result in LaTeX, without repeating what is the same."""
    result = f"{int(step.value):,}".replace(",", "{,}") + (rf"\ \text{{{step.unit}}}" if step.unit else "")
    if not isinstance(step.value, Spoken):
        return [result]
    said, shown = _tex(step.value.said(LATEX)), _tex(step.value.shown(LATEX))
    return [said, shown, result] if shown != _tex(grouped(int(step.value))) else [said, result]


def _tex(formula: str) -> str:
    return formula.replace("−", "-").replace(",", "{,}")


def latex(explanation: Any) -> str:
    """The derivations in LaTeX: a paragraph for each layer, its formulas aligned."""
    lines = [f"% {heading(explanation)}"]
    for working in explanation.layers:
        fields = f" ({working.fields})" if working.fields else ""
        lines += ["", rf"\paragraph{{{_escaped(working.name)}: {_escaped(working.kind + fields)}}}"]
        lines += _aligned(working.steps)
    if explanation.totals:
        lines += ["", r"\paragraph{In all}", *_aligned(explanation.totals)]
    return "\n".join(lines)


def _aligned(steps: Sequence[Any]) -> list[str]:
    rows = []
    for step in steps:
        label = f"{step.under}, {step.label}" if step.under else step.label
        remark = rf"\quad\text{{({_escaped(step.remark)})}}" if step.remark else ""
        rows.append(rf"\text{{{_escaped(label)}}} &= {' = '.join(mathematics(step))}{remark}")
    return [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]


def _escaped(words: str) -> str:
    for mark in "\\_%#&${}":
        words = words.replace(mark, r"\textbackslash{}" if mark == "\\" else f"\\{mark}")
    return words.replace("×", r"$\times$").replace("−", "$-$").replace("–", "--")


def html(explanation: Any, most: int | None = None) -> str:
    """The derivations in HTML, formulas in MathML; a part that opens and closes for each layer."""
    shown = explanation.layers[:most]
    rest = f"… and {len(explanation.layers) - len(shown):,} more layers: explain(layer=…) shows one"
    return notebook.frame(
        notebook.heading(
            explanation.model, {name: _shape(x) for name, x in explanation.inputs.items()}, explanation.dtype
        ),
        *(_part(working, opened=len(shown) <= OPENED) for working in shown),
        notebook.paragraph(rest) if len(shown) < len(explanation.layers) else "",
        notebook.folded("in all", _table(explanation.totals), opened=True) if explanation.totals else "",
        notebook.paragraphs(closing(explanation, 10**6)),
    )


def _part(working: Any, *, opened: bool) -> str:
    read = ", ".join(f"{notebook.isolated(name)} {_shape(shape)}" for name, shape in working.inputs)
    shapes = f"<p>{f'reads {read}, ' if read else ''}gives {_shape(working.output)}</p>"
    return notebook.folded(_title(working), shapes, _table(working.steps), *map(notebook.paragraph, working.notes),
                           opened=opened)  # fmt: skip


def _table(steps: Sequence[Any]) -> str:
    """A line for each step: its label, how the number comes about, and a remark."""
    lines = []
    for under, step in _with_headings(steps):
        if under:
            lines.append(f'<tr><th scope="rowgroup" colspan="2" style="{LEFT}">{notebook.escaped(under)}</th></tr>')
        formula = " = ".join(mathml.chain(step.value)) + (f" {step.unit}" if step.unit else "")
        remark = f": {notebook.escaped(step.remark)}" if step.remark else ""
        label = f'<th scope="row" style="{LEFT}; font-weight: normal">{notebook.escaped(step.label)}</th>'
        lines.append(f'<tr>{label}<td style="{LEFT}">{formula}{remark}</td></tr>')
    return "\n".join(["<table>", "<tbody>", *lines, "</tbody>", "</table>"]) if lines else ""
