"""Pages about kinds, for `archcalc layers`: what the registry knows, and an example that is run as it is shown."""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator

from archcalc.algebra.units import grouped
from archcalc.dialects.fields import COMMON, Field, fields_of, in_words, make, shown, take
from archcalc.dialects.yaml_text import Value, read
from archcalc.layers.layer import KINDS, Kind, Layer
from archcalc.layers.layer import shown as shape_text
from archcalc.model.graph import Graph, Input, Node
from archcalc.model.walk import Use, walk
from archcalc.views.table import Table


def kinds_page(width: int) -> str:
    """Every kind with its first sentence, by family."""
    longest = max(map(len, KINDS))
    lines, family = [], ""
    for kind in KINDS.values():
        module = sys.modules[kind.cls.__module__].__doc__ or ""
        if module != family:
            family = module
            lines += ["", *textwrap.wrap(module.strip().split("\n")[0], width)]
        summary = textwrap.wrap(kind.summary, max(20, width - longest - 4))
        lines += [f"  {kind.name:{longest}}  {summary[0]}", *(" " * (longest + 4) + rest for rest in summary[1:])]
    return "\n".join([*lines[1:], "", f"{len(KINDS)} kinds. One of them: archcalc layers conv"])


def kind_page(name: str, width: int) -> str:
    """One kind: its text, its fields, and its example with the numbers it gives."""
    kind = KINDS[name]
    parts = [[f"{name}: {kind.summary}"], statements(kind)]
    texts = ["\n".join(textwrap.fill(line, width, subsequent_indent="    ") for line in part) for part in parts]
    return "\n\n".join(part for part in [*texts, _fields(name, width), _example(kind)] if part)


def statements(kind: Kind) -> list[str]:
    """What its text says after the summary: sizes, parameters, operations, source; a line each."""
    text = inspect.cleandoc(kind.cls.__doc__ or "").split(">>>")[0].rstrip()
    body = text.removeprefix(kind.summary).strip()  # where many kinds share a class, its text says what they share
    return re.sub(r"\n {4,}", " ", body).split("\n") if body else []


def _given(kind: Kind) -> dict[str, Value]:
    """What a kind's example line says, by field."""
    line = read(f"- {kind.example}", "example", []).data[0]
    argument: Value | None = line.data[0][1] if line.shape == "map" else None
    if argument is None:
        return {}
    return dict(argument.items()) if argument.shape == "map" else {kind.main: argument}


def example_layer(kind: Kind) -> Layer:
    """The layer of a kind's example line."""
    given, known = _given(kind), fields_of(kind.name)
    return make(
        kind.name, {field: take(given[field], known[field].type, {}, field) for field in given if field in known}
    )


def example_spec(kind: Kind) -> str:
    """The example as a spec to paste; what it reads is named as in its line, and learned where it has no batch."""
    named = _given(kind)["from"].plain if "from" in _given(kind) else ["x"] * len(kind.on)
    shapes = dict(zip(named, kind.on, strict=True))
    given = {name: list(shape[1:]) for name, shape in shapes.items() if shape[0] == 1}
    inputs = [f"  {name}: {shape}" for name, shape in given.items()] or ["  unread: [1]"]  # a spec has one
    learned = [
        f"  - parameter: {{name: {name}, shape: {list(shape)}}}" for name, shape in shapes.items() if name not in given
    ]
    lines = ["archcalc: 1", f"name: {kind.name}", "inputs:", *inputs, "layers:", *learned, f"  - {kind.example}"]
    return "\n".join(lines)


def field_rows(name: str) -> list[tuple[str, str, str, str]]:
    """The fields of a kind: name, what it takes, its default, what it means."""
    own = [(field.name, in_words(field.type), _default(field), field.meaning) for field in fields_of(name).values()]
    return own + [(field, in_words(wanted), "", meaning) for field, (wanted, meaning) in COMMON.items()]


def _fields(name: str, width: int) -> str:
    lines = [
        f"{field} ({takes}{f'; {default}' if default else ''}): {meaning}"
        for field, takes, default, meaning in field_rows(name)
    ]
    wrapped = [textwrap.fill(line, width, initial_indent="  ", subsequent_indent=" " * 6) for line in lines]
    return "\n".join(["Fields", *wrapped])


def _default(field: Field) -> str:
    return "needed" if field.required else f"default {shown(field.default)}"


def example_table(kind: Kind) -> Table:
    """What the example gives: a row for each layer that it stands for."""
    layer = example_layer(kind)
    inputs = {f"x{n}" if len(kind.on) > 1 else "x": Input(shape[1:]) for n, shape in enumerate(kind.on, start=1)}
    graph = Graph("example", inputs, (Node(kind.name, layer, tuple(inputs)),), (kind.name,))
    uses = walk(graph, dict(zip(inputs, kind.on, strict=True)))
    titles = ("layer", "output", "params", "MACs", "operations")
    return Table(titles, (False, False, True, True, False), tuple(_counts(uses)))


def _example(kind: Kind) -> str:
    given = f"on {' and '.join(map(shape_text, kind.on))}" if kind.on else "reads nothing, and"
    page = textwrap.indent(example_table(kind).text(), "  ")
    return "\n".join(["Example", f"  - {kind.example}", f"  {given} gives", page])


def _counts(uses: list[Use]) -> Iterator[tuple[str, ...]]:
    for use in uses:
        answers = use.answers
        ops = ", ".join(
            f"{grouped(n)} {op}" for op in ("mul", "add", "cmp", "div", "exp") if (n := getattr(answers.ops, op))
        )
        yield use.name, shape_text(answers.y), grouped(answers.params), grouped(answers.macs), ops or "none"
