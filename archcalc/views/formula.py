"""Closed forms as pages: headings, formulas that wrap, the conditions under which they hold; and as program text."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.algebra.ops import CONVENTIONS

NAMES = {"macs": "MACs", "flops": "FLOPs", "macs_exact": "exact MACs"}
SIGNS = {"≥": r"\ge ", "≤": r"\le ", "×": r"\times ", "·": r"\cdot ", "−": "-", "…": r"\ldots ", "_": r"\_", "%": r"\%"}
SINGLE = r"[\w.]+|⌊[^⌊⌋⌈⌉]*⌋|⌈[^⌊⌋⌈⌉]*⌉|\\left\\l\w+ ((?!\\left).)*\\right\\r\w+"  # needs no brackets in a product
TEX_ROW = 240  # characters of LaTeX after which a line is full
JS_HELPERS = """\
const floordiv = (a, b) => { const q = a / b; return a % b !== 0n && (a < 0n) !== (b < 0n) ? q - 1n : q; };
const max = (a, b) => (a > b ? a : b), min = (a, b) => (a < b ? a : b);"""


def written_form(form: Any, style: str) -> str:
    """The expression, or the axes of the output between × signs or in brackets."""
    from archcalc.algebra.written import written

    texts = [written(expression, style) for expression in form.expressions]
    if form.of != "output":
        return texts[0]
    if style == "mathml":
        held = (f"<mrow><mo>(</mo>{text}<mo>)</mo></mrow>" if "<mo>" in text else text for text in texts)
        return "<mo>×</mo>".join(held)
    if style in ("text", "ascii", "latex"):
        return {"text": " × ", "ascii": " x ", "latex": r" \times "}[style].join(map(bracketed, texts))
    return f"[{', '.join(texts)}]" if style == "js" else f"({', '.join(texts)},)"


def bracketed(text: str) -> str:
    """A size as a product takes it."""
    return text if re.fullmatch(SINGLE, text) else f"({text})"


def page(forms: Sequence[Any], width: int) -> str:
    """Formulas for a terminal, under what they are of, above the conditions that they share."""
    lines = [heading(forms[-1]), ""]
    several = len({form.layer for form in forms}) > 1
    labels = [f"{title(form)} {form.layer}" if several and form.layer else title(form) for form in forms]
    room = max(map(len, labels))
    for label, form in zip(labels, forms, strict=True):
        lines += labelled(label, ("≥ " if form.partial else "") + written_form(form, "text"), room, width)
    lines += simpler(forms, room, width)
    notes = kinds_of_conditions(forms[0])
    if "exact fit" in notes:
        notes["exact fit"] += " (no cell left over at the end, padding included)"
    if any(form.of == "flops" for form in forms):
        notes["convention"] = f"{forms[0].convention}: {CONVENTIONS[forms[0].convention].meaning}"
    if any(form.partial for form in forms):
        notes["status"] = "partial: something was not counted, see archcalc report"
    lines.append("")
    for name, text in notes.items():
        start = f"{name:11}   "
        lines += textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * len(start))
    return "\n".join(lines).rstrip()


def mathematics(form: Any) -> str:
    """The formula and its conditions for a notebook, as one piece of LaTeX."""
    relation = r"\ge" if form.partial else "="
    formula = broken(f"{words_in(title(form))} {relation} {written_form(form, 'latex')}")
    counted = [f"convention: {form.convention}"] if form.of == "flops" else []
    return stacked([*formula, *map(words_in, [*form.conditions, *counted])])


def broken(formula: str) -> list[str]:
    """A long sum in LaTeX, a few terms to a line."""
    rows, depth = [r"\displaystyle "], 0
    for piece in re.split(r"(\\left|\\right|[{}]| (?=[+-] ))", formula):
        depth += (piece in (r"\left", "{")) - (piece in (r"\right", "}"))
        if piece == " " and not depth and len(rows[-1]) > TEX_ROW:
            rows.append(r"\displaystyle \quad ")
        rows[-1] += piece
    return rows


def stacked(lines: Sequence[str]) -> str:
    """Lines of mathematics under each other, as notebooks take them."""
    return r"$\begin{array}{l} " + r" \\ ".join(lines) + r" \end{array}$"


def words_in(text: str) -> str:
    r"""Text within mathematics; its signs stand outside of the words, where every TeX knows them.

    >>> print(words_in("width_1 % 4 == 0, H ≥ 8"))
    \text{width}\_\text{1 }\%\text{ 4 }==\text{ 0, H }\ge \text{ 8}
    """
    pieces = re.findall(r"((?:[^\W_]|[ ,.;:])+)|(.)", text)
    return "".join(rf"\text{{{words}}}" if words else SIGNS.get(mark, mark) for words, mark in pieces)


def title(form: Any) -> str:
    """The quantity as people call it."""
    name: str = form.of
    return NAMES.get(name, name)


def heading(form: Any) -> str:
    """What the formulas are of."""
    shapes = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in form.inputs.items())
    return f"{form.model}{f', {form.layer}' if form.layer else ''}: {shapes}, {form.dtype}"


def labelled(label: str, formula: str, room: int, width: int) -> list[str]:
    """A label and a formula beside it, broken before signs outside of brackets where the line is full."""
    inner, lines, line = max(20, width - room - 3), [], ""
    for piece in _pieces(formula):
        if line and len(line) + len(piece) > inner:
            lines.append(line)
            line = ""
        line = f"{line}{piece}" if line else piece.lstrip()
    lines = [part for whole in [*lines, line] for part in textwrap.wrap(whole, inner, subsequent_indent="    ")]
    return [f"{'' if number else label:{room}}   {part}" for number, part in enumerate(lines)]


def _pieces(formula: str) -> list[str]:
    """The terms of a sum, each with its sign."""
    pieces, depth = [""], 0
    for place, mark in enumerate(formula):
        depth += (mark in "(⌊⌈") - (mark in ")⌋⌉")
        if depth == 0 and formula[place : place + 3] in (" + ", " - ", " × "):
            pieces.append("")
        pieces[-1] += mark
    return pieces


def conditions(form: Any) -> list[str]:
    """Every condition, in one line each."""
    return [f"{name}: {text}" for name, text in kinds_of_conditions(form).items()]


def kinds_of_conditions(form: Any) -> dict[str, str]:
    """What is assumed, which sizes are accepted, and at which no floor drops anything."""
    fitting, batch = form.fitting(), any(symbol.of == "batch" for symbol in form.symbols)
    legal = ", ".join(fits.legal() for fits in fitting.values())
    even = [
        fits.even(domain.modulus, domain.rest)
        for name, fits in fitting.items()
        if any(size is not None for size in fits.smallest) and (domain := form.assumptions.domain(name)).most is None
    ]
    missing = [symbol.name for symbol in form.symbols if symbol.of != "batch" and symbol.name not in fitting]
    found = {
        "with": "N = batch" if batch else "",
        "assumed": ", ".join(form.assumptions.texts),
        "legal sizes": "; ".join(filter(None, [legal, f"of {', '.join(missing)} not checked" if missing else ""])),
        "exact fit": ", ".join(even) if all(even) else "at no size",
    }
    return {name: text for name, text in found.items() if text}


def simpler(forms: Sequence[Any], room: int, width: int) -> list[str]:
    """The formulas for sizes of one rest modulo all strides (0 where it is legal), if that says them exactly."""
    from archcalc.algebra.written import written

    found: dict[str, list[str]] = {}
    for form in forms:
        domains = of_one_rest(form)
        text = written(form.under(domains)[0]) if domains and form.of != "output" else "⌊"
        if not re.search("[⌊⌈]|max|min", text):
            where = " and ".join(said for name, domain in domains.items() for said in domain.said(name))
            found.setdefault(where, []).extend(labelled(title(form), text, room, width))
    return [line for where, lines in found.items() for line in ("", f"where {where}", *lines)]


def of_one_rest(form: Any) -> Mapping[str, Any]:
    """For each axis that stands under a floor, the legal sizes with the smallest rest by what it is divided by."""
    from archcalc.algebra.assumptions import Domain
    from archcalc.algebra.symbolic import period_of

    found = {}
    for symbol in form.symbols:
        period, fits = period_of(form.expressions, symbol.name), form.fitting().get(symbol.name)
        if period > 1 and fits is not None and form.assumptions.domain(symbol.name).modulus % period:
            rest = next((n for n in range(period) if fits.accepts_rest(n, period)), 0)
            found[symbol.name] = Domain(modulus=period, rest=rest)
    return found


def lines(forms: Sequence[Any], style: str) -> str:
    """One formula a line, in ASCII or LaTeX; several with their names."""
    if len(forms) == 1:
        return written_form(forms[0], style)
    name = r"\mathrm{{{}}} = {}" if style == "latex" else "{} = {}"
    names = [name.replace("_", r"\_") if style == "latex" else name for name in names_of(forms)]
    return "\n".join(name.format(of, written_form(form, style)) for of, form in zip(names, forms, strict=True))


def names_of(forms: Sequence[Any]) -> list[str]:
    """A name for each formula: the quantity, with the layer where that differs."""
    several = len({form.layer for form in forms}) > 1
    return [f"{form.of}_{form.layer}" if several and form.layer else form.of for form in forms]


def program(forms: Sequence[Any], style: str) -> str:
    """Functions of exact integers, in Python or JavaScript."""
    from archcalc.algebra.written import STYLES

    lines = [JS_HELPERS] if style == "js" else []
    for called, form in zip(names_of(forms), forms, strict=True):
        function = STYLES[style].name(called)
        names = [STYLES[style].name(symbol.name) for symbol in form.symbols]
        comment, formula = [f"{title(form)} of {heading(form)}", *form.conditions], written_form(form, style)
        if style == "js":
            converted = "".join(f" {name} = BigInt({name});" for name in names)
            lines += [f"// {line}" for line in comment]
            lines.append(f"function {function}({', '.join(names)}) {{{converted} return {formula}; }}")
        else:
            lines.append(f"def {function}({', '.join(names)}):")
            lines += [*(f"    # {line}" for line in comment), f"    return {formula}", "", ""]
    return "\n".join(lines).rstrip()
