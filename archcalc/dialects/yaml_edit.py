"""The lines of a spec changed as its layers were: blocks, repeats and expressions stay as their author wrote them."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from archcalc.dialects.fields import COMMON, fields_of
from archcalc.dialects.yaml_text import Value
from archcalc.layers.layer import KINDS, Layer, kind_of
from archcalc.model.graph import Graph, Node

Place = tuple[int, int]


class Edit(Struct, frozen=True):
    """What becomes of a line: another kind, fields with other values; or it goes."""

    head: str = ""
    fields: tuple[tuple[str, Any], ...] = ()  # None: the field goes back to its default
    anew: bool = False  # its own fields are written anew
    gone: bool = False


def edited(root: Value, before: Graph, after: Graph) -> dict[str, Any] | None:
    """The values of a spec with its lines changed; None where uses of a line change in different ways."""
    edits = edits_of(before, after)
    if edits is None:
        return None
    changed: dict[str, Any] = _plain(root, edits)
    return changed


def edits_of(before: Graph, after: Graph) -> dict[Place, Edit] | None:
    """One edit for each line whose nodes changed, if all its nodes changed alike."""
    left = {node.name: node for node in after.nodes}
    found: dict[Place, set[Edit]] = {}
    for node in before.nodes:
        if node.place is None:
            return None
        place = (node.place.line, node.place.column)
        found.setdefault(place, set()).add(_edit(node, left.get(node.name)))
    if any(len(edits) > 1 for edits in found.values()):
        return None
    return {place: edit for place, (edit,) in found.items() if edit != Edit()}


def _edit(old: Node, new: Node | None) -> Edit:
    if new is None:
        return Edit(gone=True)
    if new.layer == old.layer:
        return Edit()
    fields, others = _fields(new.layer), _fields(old.layer)
    head = kind_of(new.layer)
    if type(new.layer) is not type(old.layer) and any(
        fields[name] != others.get(name, fields[name]) for name in fields
    ):
        return Edit(head, _given(new.layer, fields), anew=True)
    if not set(_required(new.layer)) <= set(others):
        return Edit(head, _given(new.layer, fields), anew=True)
    known = fields_of(head)
    dropped = [(name, None) for name in others if name not in fields]
    changed = [(name, value) for name, value in fields.items() if name in others and others[name] != value]
    back = [(name, None if value == known[name].default else value) for name, value in changed]
    return Edit(head, (*dropped, *back))


def _fields(layer: Layer) -> dict[str, Any]:
    return {name: getattr(layer, name) for name in fields_of(kind_of(layer))}


def _required(layer: Layer) -> list[str]:
    return [field.name for field in fields_of(kind_of(layer)).values() if field.required]


def _given(layer: Layer, fields: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    known = fields_of(kind_of(layer))
    return tuple((name, v) for name, v in fields.items() if known[name].required or v != known[name].default)


def _plain(value: Value, edits: Mapping[Place, Edit]) -> Any:
    """Values as lists and dictionaries, lines edited on the way."""
    if value.shape == "list":
        items = [(item, edits.get((item.line, item.column))) for item in value.data]
        kept = [(item, edit) for item, edit in items if edit is None or not edit.gone]
        return [_plain(item, edits) if edit is None else _line(item, edit) for item, edit in kept]
    if value.shape == "map":
        return {str(key.data): _plain(item, edits) for key, item in value.data}
    return value.data


def _line(item: Value, edit: Edit) -> Any:
    """A line with another kind or other values."""
    written: Any = _plain(item, {})
    head, argument = next(iter(written.items())) if isinstance(written, dict) else (written, None)
    given = argument if isinstance(argument, dict) else {KINDS[head].main: argument}
    given = {name: value for name, value in given.items() if value is not None}
    if edit.anew:
        given = {name: value for name, value in given.items() if name in COMMON}
    for name, value in edit.fields:
        given.pop(name, None)
        if value is not None:
            given[name] = value
    return {edit.head: given} if given else edit.head


def renamed(root: dict[str, Any], again: Graph, after: Graph) -> dict[str, Any] | None:
    """The spec whose lines at the top are given the names that the model has; None where that does not help."""
    if len(again.nodes) != len(after.nodes):
        return None
    wrong: dict[str, str] = {}
    for old, new in zip(again.nodes, after.nodes, strict=True):
        if old.name != new.name and "/" not in old.name and "/" not in new.name:
            wrong[old.name] = new.name
    lines = _top_lines(again)
    layers = list(root["layers"])
    for name, wanted in wrong.items():
        if name not in lines or lines[name] >= len(layers):
            return None
        layers[lines[name]] = _with_name(layers[lines[name]], wanted)
    return {**root, "layers": layers} if wrong else None


def _top_lines(graph: Graph) -> dict[str, int]:
    """Nodes that are a line at the top by themselves, and which line that is."""
    found = {}
    for node in graph.nodes:
        path = node.place.path.split(" ")[0] if node.place is not None else ""
        if path.startswith("layers[") and path.endswith("]") and path.count("[") == 1:
            found[node.name] = int(path[len("layers[") : -1])
    return found


def _with_name(line: Any, name: str) -> Any:
    if isinstance(line, str):
        return {line: {"name": name}}
    ((head, argument),) = line.items()
    if isinstance(argument, dict):
        return {head: {"name": name, **argument}}
    return {head: {"name": name, KINDS[head].main: argument}} if head in KINDS else line
