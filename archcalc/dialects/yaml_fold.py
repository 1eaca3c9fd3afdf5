"""A graph as a spec that a person would write: repeats found, equal levels of names as blocks, names kept.

What is written is read back and compared; where it is not the same, less is folded, down to a list of layers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from archcalc.dialects.yaml import loads
from archcalc.dialects.yaml_fold_blocks import Folding, folding
from archcalc.dialects.yaml_fold_scope import Manner
from archcalc.dialects.yaml_fold_text import root_of
from archcalc.dialects.yaml_fold_tree import head_of, values_of
from archcalc.dialects.yaml_layers import LEVELS
from archcalc.dialects.yaml_write import commented, document, expected, inputs_of
from archcalc.errors import ModelError
from archcalc.model.graph import Graph, Node
from archcalc.questions.model import Model

MANNERS = (
    Manner(),
    Manner(inline=False),
    Manner(inline=False, structures=False),
    Manner(inline=False, structures=False, repeats=False),
    Manner(levels=False, structures=False, repeats=False, inline=False),
)


def folded(model: Model, source: str = "") -> str:
    """The spec of a model by its nodes alone; ModelError where no spec says the same.

    `source` says where the model is from, if it does not say so itself.
    """
    model = with_legal_names(model)
    head: dict[str, Any] = {"name": model.name}
    head |= {"about": model.about} if model.about else {}
    head |= {"source": model.source or source} if model.source or source else {}
    tail = {"expect": expected(model)}
    remarks = f"{commented(model.remarks)}\n" if model.remarks else ""
    for manner in MANNERS:
        found = folding(model, manner)
        root = {**head, "inputs": inputs_of(model), **root_of(found, model.inputs), **outputs_of(model, found)}
        text = document(root | tail)
        if same(read_back(text), model):
            return remarks + text
    raise ModelError(
        "convert", "the model must be one that a spec can say", f"{len(model.nodes):,} layers of {model.name}"
    )


def outputs_of(model: Graph, folding: Folding) -> dict[str, Any]:
    """What the spec says of outputs: nothing where the last layer is the only one."""
    return {} if model.outputs == (model.nodes[-1].name,) else {"outputs": folding.outputs}


def read_back(text: str) -> Model | None:
    """The model that a text describes, if it is a spec."""
    try:
        return loads(text, "spec")
    except ModelError:
        return None


def same(again: Graph | None, model: Graph) -> bool:
    """Has what was read back the same inputs, nodes and outputs, so that every row of a report is the same?"""
    return again is not None and list(_facts(again)) == list(_facts(model))


def _facts(graph: Graph) -> Iterator[Any]:
    yield {name: (item.shape, item.dtype, item.channels_last) for name, item in graph.inputs.items()}
    yield graph.outputs
    for node in graph.nodes:
        values = tuple(map(_exact, values_of(node.layer)))
        yield node.name, head_of(node.layer), values, node.inputs, node.trainable, node.shared_with


def _exact(value: Any) -> Any:
    return (type(value), value) if isinstance(value, bool) else value


def with_legal_names(model: Model) -> Model:
    """The model with what a spec's names may not hold as `_`, and a number behind names that are then not unique."""
    names = {name: name for name in model.inputs}
    taken = set(names)
    for node in model.nodes:
        wanted = legal(node.name)
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        names[node.name] = name
    if all(name == made for name, made in names.items()):
        return model
    nodes = tuple(_renamed(node, names) for node in model.nodes)
    return replace(model, nodes=nodes, outputs=tuple(names[name] for name in model.outputs))


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    owner = None if node.shared_with is None else names[node.shared_with]
    return replace(node, name=names[node.name], inputs=tuple(names[name] for name in node.inputs), shared_with=owner)


def legal(name: str) -> str:
    """A path name in the letters that a spec takes.

    >>> legal("features/1x1 conv"), legal("/stem//-conv:0")
    ('features/1x1_conv', '_/stem/_/_conv_0')
    """
    if LEVELS.fullmatch(name) and name and not name.endswith("/"):
        return name
    return "/".join(_legal(level) for level in name.split("/"))


def _legal(level: str) -> str:
    level = re.sub(r"[^A-Za-z0-9_.-]", "_", level)
    return level if re.match("[A-Za-z0-9_]", level) else f"_{level[1:]}"
