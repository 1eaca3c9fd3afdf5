"""Path names for the nodes of an ONNX file: the modules that an exporter names, without what it says twice."""

import re
from collections.abc import Iterable
from typing import Any

ODD = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
WORDS = re.compile(r"[^/.:\s]+", re.ASCII)
QUOTED = re.compile(r"'([^']*)'")
LEVELS = 12
LONGEST = 60  # characters of one level
SCOPES = "pkg.torch.onnx.name_scopes"  # where PyTorch's exporter lists the modules around a node


def clean(name: str) -> str:
    """A name in the letters that a level of a path may have.

    >>> clean("onnx::Conv 12"), clean("7")
    ('onnx_Conv_12', '7')
    """
    return ODD.sub("_", name)[:LONGEST].strip("_") or "_"


def identifier(name: str) -> str:
    """A name for an input, which stands in expressions over sizes.

    >>> identifier("input.1"), identifier("1")
    ('input_1', '_1')
    """
    name = clean(name).replace("-", "_")
    return name if name[0].isalpha() or name[0] == "_" else f"_{name}"


def path_of(node: Any) -> tuple[str, ...]:
    """The levels that a node's name has, its operator's own name left out where it comes last.

    A level that repeats the one above says only what is new: /layer1/layer1.0/conv1/Conv is layer1/0/conv1.
    """
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), None)
    if scopes is not None:
        scoped = [scope for scope in QUOTED.findall(scopes[:10_000]) if scope][:-1]
        return _levels(scoped[-1].split(".") if scoped else [])
    pieces: list[str] = []
    above = ""
    for level in filter(None, node.name[:1_000].split("/")):
        pieces += level.removeprefix(f"{above}.").split(".") if above else level.split(".")
        above = level
    if pieces and re.fullmatch(rf"(node_)?{re.escape(node.op_type)}(_\d+)?", pieces[-1], re.IGNORECASE):
        pieces.pop()
    return _levels(pieces)


def _levels(pieces: Iterable[str]) -> tuple[str, ...]:
    return tuple(clean(piece) for piece in pieces if piece)[:LEVELS]


class Names:
    """Names that are given so far. A module with one operator goes by its own name, others by kind and number in it."""

    def __init__(self, paths: Iterable[tuple[str, ...]]) -> None:
        self.uses: dict[tuple[str, ...], int] = {}  # operators of each module
        self.levels: set[tuple[str, ...]] = set()  # what other modules lie in
        self.taken: set[str] = set()
        self.counts: dict[tuple[str, str], int] = {}
        for path in paths:
            self.uses[path] = self.uses.get(path, 0) + 1
            self.levels.update(path[:end] for end in range(len(path)))

    def named(self, path: tuple[str, ...], kind: str) -> str:
        """The name of a node of this kind in a module."""
        alone = "/".join(path)
        if path and self.uses.get(path) == 1 and path not in self.levels and alone not in self.taken:
            return self.take(alone)
        return self.numbered("/".join(path), kind)

    def numbered(self, prefix: str, kind: str) -> str:
        """A kind with its number under a prefix."""
        while True:
            number = self.counts[prefix, kind] = self.counts.get((prefix, kind), 0) + 1
            made = f"{prefix}/" if prefix else ""
            made += f"{kind}{'_' if kind[-1].isdigit() else ''}{number}"
            if made not in self.taken:
                return self.take(made)

    def take(self, name: str) -> str:
        """Mark a name as given."""
        self.taken.add(name)
        return name

    def fresh(self, name: str) -> str:
        """A name like this one that is not given yet."""
        made, number = name, 1
        while made in self.taken:
            number += 1
            made = f"{name}_{number}"
        return self.take(made)
