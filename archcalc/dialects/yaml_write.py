"""A model as the text of a spec: its own text in one style, its text with lines changed, or a flat list of layers."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace

from archcalc.algebra.size import Size
from archcalc.dialects.fields import fields_of, shown
from archcalc.dialects.yaml import loads
from archcalc.dialects.yaml_edit import edited, renamed
from archcalc.dialects.yaml_spec import KEYS
from archcalc.dialects.yaml_text import WORDS, Value, read
from archcalc.errors import ModelError
from archcalc.layers.layer import Layer, kind_of
from archcalc.layers.sized import Sized
from archcalc.model.graph import Graph, Input
from archcalc.questions.model import Model

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.-]*", re.ASCII)  # text that needs no quotes, if it is no other word
WIDTH = 100  # of a line that is not broken
ORDER = (
    *(key for key in KEYS if key not in ("archcalc", "blocks", "outputs", "expect")),
    "blocks",
    "outputs",
    "expect",
)
ALWAYS_LISTS = ("layers", "shortcut", "branches")  # keys whose lines stand one below the other if they are many


def text_of(model: Graph) -> str | None:
    """The text that a model was read from; None where it was not read from a text."""
    again = getattr(model, "reread", None)
    return again.args[0] if isinstance(again, partial) else None


def rewritten(model: Model) -> str:
    """The model's own text in one style, with the settings that it has now; comments go."""
    text = text_of(model)
    if text is None:
        return written(model)
    root = plain(read(text, "spec", []))
    for name, value in root.get("set", {}).items():
        if model.settings.get(name) is not None and not isinstance(value, str):
            root["set"][name] = model.settings[name]
    if any(isinstance(value, str) for value in root.get("set", {}).values()) and model.settings:
        root["set"] = dict(model.settings)
    return document(root)


def changed(before: Model, after: Model, name: str) -> str:
    """The spec of a model that was made of another: the other's text with its lines changed, where that says it.

    Blocks and repeats stay if the change is the same wherever their lines are used; what is read back is compared.
    """
    head = {"name": name, "source": f"made of {before.name} by archcalc convert"}
    text = text_of(before)
    if text is not None:
        root = edited(read(text, "spec", []), before, after)
        for _ in range(3):
            if root is None:
                break
            spec = document(top(root, head, after))
            again = _read_back(spec)
            if again is not None and same(again, after):
                return spec
            root = renamed(root, again, after) if again is not None else None
    return written(replace(after, name=name, source=head["source"], about=""))


def _read_back(spec: str) -> Model | None:
    try:
        return loads(spec, "spec")
    except ModelError:
        return None


def same(left: Graph, right: Graph, flat: bool = False) -> bool:
    """Do two models have the same nodes, in names, layers, wiring and weights' freedom?"""

    def facts(graph: Graph) -> list[Any]:
        def name(path: str) -> str:
            return path.replace("/", "_") if flat else path

        nodes = [
            (name(n.name), n.layer, tuple(map(name, n.inputs)), n.trainable, n.shared_with and name(n.shared_with))
            for n in graph.nodes
        ]
        return [nodes, tuple(map(name, graph.outputs)), {k: (i.shape, i.dtype) for k, i in graph.inputs.items()}]

    return facts(left) == facts(right)


def top(root: Mapping[str, Any], head: Mapping[str, str], model: Model) -> dict[str, Any]:
    """The top-level keys of a changed spec: what was said about the old model goes, the new one's totals come."""
    kept = {key: value for key, value in root.items() if key not in ("name", "about", "source", "expect", "inputs")}
    found = {**kept, **head, "inputs": inputs_of(model), "expect": expected(model)}
    found.pop("channels_last", None)  # stated where it is needed, with the input
    return found


def expected(model: Model) -> dict[str, Any]:
    """The totals that `archcalc check` compares."""
    report = model.report()
    totals = report.totals
    buffers = {"buffers": totals.buffers} if totals.buffers else {}
    return {"params": totals.params, **buffers, "macs": totals.macs, "output": list(report.output)}


def written(model: Model) -> str:
    """The model as a flat list of layers, with names and `from` where they are needed; levels of names become `_`."""
    names = flat_names(model)
    explicit = unmade(model, names)
    above = next(iter(model.inputs)) if len(model.inputs) == 1 else None
    lines = []
    for node in model.nodes:
        common: dict[str, Any] = {"name": names[node.name]} if node.name in explicit else {}
        if node.inputs and node.inputs != (above,):
            sources = [names[name] for name in node.inputs]
            common["from"] = sources[0] if len(sources) == 1 else sources
        if not node.trainable:
            common["trainable"] = False
        if node.shared_with is not None:
            common["shared_with"] = names[node.shared_with]
        lines.append(line_of(node.layer, common))
        above = node.name
    root: dict[str, Any] = {"name": model.name}
    root |= {key: getattr(model, key) for key in ("about", "source") if getattr(model, key)}
    root |= {"inputs": inputs_of(model), "layers": lines}
    if model.outputs != (model.nodes[-1].name,):
        root["outputs"] = [names[name] for name in model.outputs]
    return document(root | {"expect": expected(model)})


def flat_names(model: Graph) -> dict[str, str]:
    """A name for each node without levels, different for all."""
    names = {name: name for name in model.inputs}
    taken = set(names)
    for node in model.nodes:
        flat = node.name.replace("/", "_")
        while flat in taken:
            flat += "_"
        taken.add(flat)
        names[node.name] = flat
    return names


def unmade(model: Graph, names: Mapping[str, str]) -> set[str]:
    """Nodes whose names are not what a line without a name would be called."""
    explicit: set[str] = set()
    while True:
        reserved, counts, before = {names[name] for name in explicit}, dict[str, int](), len(explicit)
        for node in model.nodes:
            if node.name not in explicit and _made(kind_of(node.layer), counts, reserved) != names[node.name]:
                explicit.add(node.name)
        if len(explicit) == before:
            return explicit


def _made(kind: str, counts: dict[str, int], reserved: set[str]) -> str:
    """The name that the builder makes for the next layer of a kind."""
    while True:
        counts[kind] = counts.get(kind, 0) + 1
        made = f"{kind}{'_' if kind[-1].isdigit() else ''}{counts[kind]}"
        if made not in reserved:
            return made


def inputs_of(model: Graph) -> dict[str, Any]:
    """The inputs as a spec writes them."""
    return {name: _input(item) for name, item in model.inputs.items()}


def _input(item: Input) -> Any:
    shape = list(item.shape)
    if item.channels_last:
        shape = [*shape[1:], shape[0]]
    more: dict[str, Any] = {} if item.dtype is None else {"dtype": item.dtype}
    more |= {"channels_last": True} if item.channels_last else {}
    return {"shape": shape, **more} if more else shape


def line_of(layer: Layer, common: Mapping[str, Any]) -> Any:
    """A layer as a line: its kind alone, with the value of its main field, or with all fields that are not defaults."""
    kind = kind_of(layer)
    known = fields_of(kind)
    values = dict(layer.values) if isinstance(layer, Sized) else {name: getattr(layer, name) for name in known}
    given = {
        name: values[name]
        for name in known
        if name in values and (known[name].required or values[name] != known[name].default)
    }
    if not given and not common:
        return kind
    main = next(iter(known), "")
    if list(given) == [main] and not common and not isinstance(given[main], tuple):
        return {kind: given[main]}
    return {kind: {**common, **given}}


def plain(value: Value) -> Any:
    """Values as lists and dictionaries, in the order of the text."""
    if value.shape == "list":
        return [plain(item) for item in value.data]
    if value.shape == "map":
        return {str(key.data): plain(item) for key, item in value.data}
    return value.data


# The text


def document(root: Mapping[str, Any]) -> str:
    """The whole spec: keys in their usual order, lines one below the other."""
    ordered = {"archcalc": 1, **{key: root[key] for key in ORDER if key in root}}
    return "\n".join(line for key, value in ordered.items() for line in entry(key, value, 0))


def entry(key: str, value: Any, indent: int) -> Iterator[str]:
    """A key with its value: on one line if it fits, else what it holds line by line."""
    start = f"{' ' * indent}{scalar(key)}:"
    lists = isinstance(value, list) and key in ALWAYS_LISTS and (len(value) > 1 or indent == 0)
    spread = lists or key == "blocks" or (isinstance(value, dict) and "layers" in value and indent == 2)
    if not spread and not isinstance(value, str) and len(start) + 1 + len(flow(value)) <= WIDTH:
        yield f"{start} {flow(value)}"
    elif isinstance(value, str):
        yield f"{start} {scalar(value, alone=True)}"
    elif (key == "args" and _flat(value)) or (key in ("inputs", "from", "outputs") and not _deep(value)):
        yield from _wrapped(f"{start} ", value, indent)
    elif isinstance(value, dict) and value:
        yield start
        for name, item in value.items():
            yield from entry(name, item, indent + 2)
    elif isinstance(value, list | tuple) and value:
        yield start
        for item in value:
            yield from listed(item, indent + 2)
    else:
        yield f"{start} {flow(value)}"


def listed(item: Any, indent: int) -> Iterator[str]:
    """One line of a list."""
    start = f"{' ' * indent}- "
    text = flow(item, pair=True)
    if len(start) + len(text) <= WIDTH and not _long(item):
        yield start + text
    elif isinstance(item, dict) and len(item) == 1 and _flat(next(iter(item.values()))):
        ((head, fields),) = item.items()
        yield from _wrapped(f"{start}{scalar(head)}: ", fields, indent)
    elif isinstance(item, dict):
        inner = [line for name, value in item.items() for line in entry(name, value, indent + 2)]
        yield start + inner[0].lstrip()
        yield from inner[1:]
    elif isinstance(item, list | tuple) and item:
        inner = [line for part in item for line in listed(part, indent + 2)]
        yield start + inner[0].lstrip()
        yield from inner[1:]
    else:
        yield start + text


def _flat(value: Any) -> bool:
    """Is it a mapping of plain values and lists of such?"""
    return isinstance(value, dict) and not any(map(_deep, value.values()))


def _deep(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and any(map(_deep, value)))


def _wrapped(start: str, value: Any, indent: int) -> list[str]:
    """A key with a mapping or list in brackets, over as many lines as it takes; a name stays beside its value."""
    text, inner = flow(value).replace(": ", ":\0"), " " * (indent + 4)
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=start, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace(":\0", ": ") for line in lines]


def _long(item: Any) -> bool:
    """Does a structure hold lists of several lines?"""
    if isinstance(item, dict):
        return any((isinstance(v, list) and k in ALWAYS_LISTS and len(v) > 1) or _long(v) for k, v in item.items())
    return False


def flow(value: Any, *, pair: bool = False) -> str:
    """A value on one line; in a list, a mapping of one key needs no braces."""
    if isinstance(value, dict):
        inner = ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items())
        return inner if pair and len(value) == 1 else f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(item, pair=True) for item in value)}]"
    return scalar(value)


def scalar(value: Any, *, alone: bool = False) -> str:
    """A single value, in quotes only where it would be read as another; commas and brackets matter where others are."""
    if isinstance(value, Size):
        value = str(value)
    if not isinstance(value, str):
        return shown(value)
    if PLAIN.fullmatch(value) and value not in WORDS:
        return value
    try:
        again = read(f"- {value}" if alone else f"[{value}]", "value", []).data
        if len(again) == 1 and again[0].data == value and again[0].shape == "scalar" and "\n" not in value:
            return value
    except ModelError:
        pass
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def commented(lines: Sequence[str]) -> str:
    """Remarks above a spec."""
    return "\n".join(
        textwrap.fill(line, WIDTH, initial_indent="# ", subsequent_indent="#   ") for line in lines if line
    )
