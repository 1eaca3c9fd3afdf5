"""YAML text as a tree of values that know their line and column, by the core rules of YAML 1.2.

PyYAML reads the events; which values they mean is decided here, because its own loaders follow YAML 1.1 (`no` is false,
`012` is 10, `3:4` is 184), let duplicate keys win, and follow aliases without end. Tags are refused: data only.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from msgspec import Struct

from archcalc.errors import ModelError

BYTES = 10 * 2**20  # of one file
DEPTH = 60  # nested collections
VALUES = 200_000  # of one file, each alias counted as all it stands for
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (INTEGER, int),
    (BASED, lambda text: int(text, base=0)),
    (FLOAT, float),
)
DIGITS = 100  # of one number
WORDS = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.title(), word.upper())
}


class Value(Struct, frozen=True, eq=False, gc=False):
    """A scalar, list or mapping; `data` is a str, int, float, bool or None, a list of values, or of pairs of values."""

    data: Any
    line: int
    column: int
    shape: str = "scalar"  # or "list", "map"
    size: int = 1  # values in it, itself included; long text counts as several
    depth: int = 0  # levels of collections in it
    text: str = ""  # of a scalar, as written

    @property
    def plain(self) -> Any:
        """The value as ordinary lists and dictionaries."""
        if self.shape == "list":
            return [item.plain for item in self.data]
        if self.shape == "map":
            return {key.data: value.plain for key, value in self.data}
        return self.data

    def items(self) -> Iterator[tuple[str, "Value"]]:
        """Key and value of a mapping, keys as text."""
        for key, value in self.data:
            yield str(key.data), value


def read(text: str, file: str, problems: list[ModelError]) -> Value:
    """The one document of a text; ModelError with file, line and column where it is not such a document.

    Keys that stand twice are added to the problems, and the first one holds.
    """
    try:
        return _Composer(file, problems).document(yaml.parse(text, Loader=LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ModelError("YAML", "the text must be well-formed", error.problem or "", where=where) from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:  # a character that no YAML text may hold
        before = text[: getattr(error, "position", None) or getattr(error, "start", 0)]
        where = f"{file}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        character = repr(text[len(before) : len(before) + 1])
        raise ModelError("YAML", "the text must hold printable characters only", character, where=where) from None


class _Composer:
    """Builds values from parser events, without recursion, so that no nesting can exhaust the stack."""

    def __init__(self, file: str, problems: list[ModelError]) -> None:
        self.file, self.problems = file, problems
        self.anchors: dict[str, Value | None] = {}  # None: still open
        self.values = 0

    def document(self, events: Iterator[Any]) -> Value:
        documents: list[Value] = []
        open_items: list[tuple[Any, list[Value]]] = []
        for event in events:
            if isinstance(event, yaml.AliasEvent):
                value = self.alias(event, len(open_items))
            elif isinstance(event, yaml.ScalarEvent):
                value = self.anchored(event, self.scalar(event))
            elif isinstance(event, yaml.CollectionStartEvent):
                self.open(event, len(open_items))
                open_items.append((event, []))
                continue
            elif isinstance(event, yaml.CollectionEndEvent):
                start, members = open_items.pop()
                value = self.anchored(start, self.collection(start, members))
            else:
                continue
            (open_items[-1][1] if open_items else documents).append(value)
        if len(documents) != 1:
            found = f"{len(documents)} documents" if documents else "an empty file"
            place = f":{documents[1].line}:{documents[1].column}" if documents else ":1:1"
            raise ModelError("YAML", "a spec is one document", found, where=self.file + place)
        return documents[0]

    def open(self, event: Any, depth: int) -> None:
        self.untagged(event)
        if depth >= DEPTH:
            raise self.error(event, f"must nest at most {DEPTH} levels", "more")
        if event.anchor:
            self.anchors[event.anchor] = None

    def collection(self, start: Any, members: list[Value]) -> Value:
        place = start.start_mark.line + 1, start.start_mark.column + 1
        size = 1 + sum(member.size for member in members)
        depth = 1 + max((member.depth for member in members), default=0)
        if isinstance(start, yaml.SequenceStartEvent):
            return Value(members, *place, "list", size, depth)
        pairs = list(zip(members[::2], members[1::2], strict=True))
        seen: dict[Any, tuple[Value, Value]] = {}
        for key, value in pairs:
            if key.shape != "scalar":
                raise self.error_at(key, "a key must be a name", "a collection")
            if key.data in seen:
                got = f"{key.text!r}, here and in line {seen[key.data][0].line}"
                self.problems.append(self.error_at(key, "a key must stand once in its mapping", got))
            else:
                seen[key.data] = (key, value)
        return Value(list(seen.values()), *place, "map", size, depth)

    def scalar(self, event: Any) -> Value:
        self.untagged(event)
        data = event.value if event.style else self.plain(event)
        size = 1 + len(event.value) // 100
        self.count(event, size)
        return Value(data, event.start_mark.line + 1, event.start_mark.column + 1, size=size, text=event.value)

    def plain(self, event: Any) -> Any:
        text = event.value
        if text in WORDS:
            return WORDS[text]
        if not (text[0].isdigit() or text[0] in "+-."):
            return text
        for form, number in NUMBERS:
            if form.fullmatch(text):
                if len(text) > DIGITS:
                    raise self.error(event, f"a number must have at most {DIGITS} characters", f"{len(text)}")
                return number(text)
        return text

    def alias(self, event: Any, depth: int) -> Value:
        value = self.anchors.get(event.anchor)
        if value is None:
            kind = "inside itself" if event.anchor in self.anchors else "no such anchor"
            raise self.error(event, "an alias must name an anchor that stands before it", f"*{event.anchor}, {kind}")
        self.count(event, value.size)
        if depth + value.depth > DEPTH:
            raise self.error(event, f"must nest at most {DEPTH} levels, aliases written out", "more")
        return value

    def anchored(self, event: Any, value: Value) -> Value:
        if event.anchor:
            self.anchors[event.anchor] = value
        return value

    def count(self, event: Any, values: int) -> None:
        self.values += values
        if self.values > VALUES:
            raise self.error(event, f"a spec may hold at most {VALUES:,} values, aliases written out", "more")

    def untagged(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            raise self.error(event, "tags are not allowed: a spec is plain data", repr(event.tag))

    def error(self, event: Any, rule: str, got: str) -> ModelError:
        where = f"{self.file}:{event.start_mark.line + 1}:{event.start_mark.column + 1}"
        return ModelError("YAML", rule, got, where=where)

    def error_at(self, value: Value, rule: str, got: str) -> ModelError:
        return ModelError("YAML", rule, got, where=f"{self.file}:{value.line}:{value.column}")
