"""A page for each registered kind, and a table of all: from the registry, and from the example, which is run."""

import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

import elsewhere

import archcalc
from archcalc import Model
from archcalc.dialects.kinds import example_spec, example_table, field_rows, statements
from archcalc.layers.layer import KINDS, Kind
from archcalc.layers.layer import shown as shape_text
from archcalc.questions.closed_form import Derivation
from archcalc.questions.explain import Step, Working
from archcalc.views.explain import mathematics
from archcalc.views.table import Table

ONE_LINE = 75  # characters of LaTeX text that fit beside a label
FORMS = {"output": "output", "params": "parameters", "macs": "MACs", "macs_exact": "exact MACs", "flops": "FLOPs"}
ROOT = Path(archcalc.__file__).parents[1]


def pages() -> dict[str, str]:
    """Name and text of every page."""
    return {"index": index()} | {name: "\n".join(page(kind)) for name, kind in KINDS.items()}


def index() -> str:
    """All kinds by family, each with its first sentence."""
    lines = [
        "# Layer kinds",
        "",
        f"{len(KINDS)} kinds. `archcalc layers` prints this table, `archcalc layers conv` a page.",
    ]
    for module, kinds in groupby(KINDS.values(), lambda kind: kind.cls.__module__):
        family = (sys.modules[module].__doc__ or "").strip().split("\n")[0]
        rows = tuple((f"[`{kind.name}`]({kind.name}.md)", escaped(kind.summary)) for kind in kinds)
        lines += ["", f"## {escaped(family.partition(':')[0])}", "", escaped(family), ""]
        lines += [Table(("kind", "what it does"), (False, False), rows).markup("markdown")]
    return "\n".join([*lines, ""])


def page(kind: Kind) -> Iterator[str]:
    """All about one kind; the table leads to it, for with all of them the side bar would be as long as a page."""
    yield f"---\norphan: true\n---\n# {kind.name}\n\n{escaped(kind.summary)} ([All kinds](index.md))\n"
    yield from (f"- {_labelled(line)}" for line in statements(kind))
    yield from _section("Fields", _fields(kind))
    yield from _section("Example", _example(kind))
    model = archcalc.loads(example_spec(kind))
    yield from _section("Formulas", _forms(model))
    yield from _section("Derivation", _derivation(model))
    yield from _section("What it is like", _properties(model))
    yield from _section("Elsewhere", elsewhere.table(kind))
    yield from _section("Source", _source(kind))


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    body = list(lines)
    if body:
        yield from ["", f"## {title}", "", *body]


def escaped(text: str) -> str:
    r"""Plain prose as Markdown; what stands between backticks is code already.

    >>> escaped("x*y in `a*b`")
    'x\\*y in `a*b`'
    """
    pieces = re.split("(`[^`]*`)", text)
    text = "".join(piece if piece.startswith("`") else re.sub(r"([*_<>$|\[\]\\])", r"\\\1", piece) for piece in pieces)
    return re.sub(r"docs/(\w+\.md)", r"[docs/\1](/\1)", text)


def _labelled(line: str) -> str:
    label, colon, rest = line.partition(": ")
    return (
        f"**{escaped(label)}:** {escaped(rest)}"
        if colon and len(label) <= len("Output size per axis")
        else escaped(line)
    )


def _fields(kind: Kind) -> Iterator[str]:
    rows = tuple(
        (f"`{name}`", "; ".join(filter(None, (takes, default))), escaped(meaning))
        for name, takes, default, meaning in field_rows(kind.name)
    )
    yield Table(("field", "takes", "meaning"), (False,) * 3, rows).markup("markdown")


def _example(kind: Kind) -> Iterator[str]:
    yield f"```yaml\n{example_spec(kind)}\n```\n"
    shapes = " and ".join(map(shape_text, kind.on))
    yield f"On {shapes} it gives:\n" if shapes else "It reads nothing, and gives:\n"
    table = example_table(kind)
    head, _, *rows = table.markup("markdown").replace("_", r"\_").split("\n")
    yield "\n".join([head, "|".join(["", *("-:" if right else "-" for right in table.numeric), ""]), *rows])


def _forms(model: Model) -> Iterator[str]:
    """Closed forms of the example in the sizes of its input; a quantity that is nothing has none."""
    derived = Derivation(model)
    forms = {of: derived.form(of, model.nodes[-1].name) for of in FORMS}
    written = {of: form.written("latex") for of, form in forms.items() if form.written("text") != "0"}
    if written.get("macs_exact") == written.get("macs"):
        written.pop("macs_exact", None)
    letters = ", ".join(f"${symbol.name}$: {symbol.meaning}" for symbol in forms["output"].symbols)
    yield f"Of the example at every size ({letters}):\n" if letters else "Of the example:\n"
    yield from (_term(FORMS[of], [latex]) for of, latex in written.items())


def _derivation(model: Model) -> Iterator[str]:
    """How each number of the example is made: in names, in values, and the result."""
    board = model.explain(layer=model.nodes[-1].name)
    for working in board.layers:
        if len(board.layers) > 1:
            yield from _heading(working)
        yield from (_term(_label(step), mathematics(step), step.remark) for step in working.steps)
    if board.totals:
        yield "### In all\n"
        yield from (_term(_label(step), mathematics(step), step.remark) for step in board.totals)


def _heading(working: Working) -> Iterator[str]:
    fields = f" ({working.fields})" if working.fields else ""
    read = ", ".join(f"`{name}` {shape_text(shape)}" for name, shape in working.inputs)
    yield f"### `{working.name}`: {escaped(working.kind + fields)}\n\n{read} → {shape_text(working.output)}\n"


def _label(step: Step) -> str:
    return f"{step.under}, {step.label}" if step.under else step.label


def _term(label: str, chain: Sequence[str], remark: str = "") -> str:
    """A term of a list and, as its definition, a chain of equal expressions: on one line where it is short."""
    short = sum(map(len, (re.sub(r"\\\w+ ?|[{}]", "", part) for part in chain))) <= ONE_LINE
    formula = " = ".join(chain) if short else r"\begin{align*}& " + r" \\ & = ".join(chain) + r"\end{align*}"
    said = f"\n\n  {escaped(remark)}" if remark else ""
    return f"{label}\n: $${formula}$${said}\n"


def _properties(model: Model) -> Iterator[str]:
    yield f"```text\n{model.properties(model.nodes[-1].name)}\n```"


@cache
def _lines(cls: type) -> tuple[list[str], int]:
    return inspect.getsourcelines(cls)


def _source(kind: Kind) -> Iterator[str]:
    lines, start = _lines(kind.cls)
    place = f"`{Path(inspect.getfile(kind.cls)).relative_to(ROOT).as_posix()}`, line {start}"
    first = next(name for name, other in KINDS.items() if other.cls is kind.cls)
    if first == kind.name:
        yield f"{place}:\n\n```python\n{''.join(lines).rstrip()}\n```\n"
    else:
        yield f"{place}; it is one class with [{first}]({first}.md#source), whose page shows it."
