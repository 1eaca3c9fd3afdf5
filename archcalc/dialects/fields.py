"""Fields of kinds as a spec gives them: what each takes, in types and in words, and how a written value becomes one."""

import math
import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

from archcalc.algebra.expression import BOUND, evaluate
from archcalc.algebra.num import LIMIT, is_symbolic
from archcalc.algebra.size import Size, follows_inputs, sized
from archcalc.dialects.yaml_text import Value
from archcalc.errors import ModelError, nearest
from archcalc.layers.layer import KINDS, Layer
from archcalc.layers.sized import sized_layer

COMMON = {  # what any layer takes beside its own fields
    "name": (str, "name of the layer; made of its kind and number if not given"),
    "from": (str | tuple[str, ...], "the layer or layers that it reads; the line above if not given"),
    "trainable": (bool, "false freezes its weights"),
    "shared_with": (str, "an earlier layer whose tensors of the same names it uses"),
}


class Field(Struct, frozen=True):
    """One field of a kind."""

    name: str
    type: Any
    meaning: str
    required: bool
    default: Any = None


@cache
def fields_of(kind: str) -> dict[str, Field]:
    """The fields of a kind that a spec may give, in order."""
    known = KINDS[kind]
    return {item.name: _field(item) for item in fields(known.cls) if item.name not in known.fixed}


def _field(item: Any) -> Field:
    meaning, wanted = "", item.type
    if get_origin(wanted) is Annotated:
        wanted, *notes = get_args(wanted)
        meaning = next((note.description for note in notes if isinstance(note, Meta) and note.description), "")
    required = item.default is NODEFAULT
    return Field(item.name, wanted, meaning, required, None if required else item.default)


def make(kind: str, values: Mapping[str, Any]) -> Layer:
    """The layer of a kind with these fields."""
    known = KINDS[kind]
    return sized_layer(known.cls, {**known.fixed, **values})


def take(value: Value, wanted: Any, names: Mapping[str, Any], what: str) -> Any:
    """The written value as one of the wanted type; ModelError says what the type takes."""
    subject, _, field = what.partition(": ")
    resolved: Any = value.plain
    try:
        resolved = resolve(value, wanted, names)
        numbers = _as_numbers(resolved)
        taken = msgspec.convert(numbers, wanted)
        return taken if numbers == resolved else resolved  # where a number may stand, so may a symbol
    except ModelError as error:
        words = leaves(wanted).words
        if words and isinstance(value.data, str) and value.data.isidentifier():
            near = nearest(value.data, [*words, *names])
            raise ModelError(subject, f"{field} must be {in_words(wanted)}", value.data, way_out=near) from None
        raise ModelError(subject, f"{field} {error.rule}", error.got, way_out=error.way_out) from None
    except msgspec.ValidationError:
        near = nearest(resolved, leaves(wanted).words) if isinstance(resolved, str) else ""
        raise ModelError(subject, f"{field} must be {in_words(wanted)}", shown(resolved), way_out=near) from None


def _as_numbers(value: Any) -> Any:
    """The value with 1 for every symbol and size, to see whether it has the right form."""
    if isinstance(value, tuple):
        return tuple(map(_as_numbers, value))
    return 1 if is_symbolic(value) or isinstance(value, Size) else value


def take_any(value: Value, names: Mapping[str, Any], what: str) -> Any:
    """The written value of a block's argument: whatever some field of a kind may hold."""
    wanted: Any = int | float | bool | tuple[int | tuple[int, int], ...]
    if isinstance(value.data, str) and value.data not in names and value.data in words():
        return value.data
    if isinstance(value.data, str) and names.get(value.data) in words():
        return names[value.data]
    return take(value, wanted, names, what)


@cache
def words() -> frozenset[str]:
    """Every word that some field takes: same, nearest, …"""
    return frozenset(word for kind in KINDS for field in fields_of(kind).values() for word in leaves(field.type).words)


def resolve(value: Value, wanted: Any, names: Mapping[str, Any]) -> Any:
    """The written value with names replaced and integer expressions computed, where the type takes integers."""
    if value.shape == "list":
        return tuple(resolve(item, wanted, names) for item in value.data)
    if value.shape == "map":
        return value.plain
    data, parts = value.data, leaves(wanted)
    if isinstance(data, str) and data not in parts.words:
        if data in names:
            return names[data]
        computes = (parts.takes(int) or parts.takes(float)) and not parts.takes(str)
        if computes and follows_inputs(data, names):
            return sized(data, names)
        return evaluate(data, names) if computes else data
    if isinstance(data, float) and data.is_integer() and parts.takes(int) and not parts.takes(float):
        data = int(data)
    if isinstance(data, float) and not math.isfinite(data):
        raise ModelError("expression", "must be a finite number", value.text)
    if isinstance(data, int) and abs(data) > LIMIT:
        raise ModelError("expression", f"must stay below {BOUND}", "more")
    return data


class Leaves(Struct, frozen=True):
    """The plain types and words somewhere in a type."""

    types: frozenset[Any]
    words: frozenset[str]

    def takes(self, plain: type) -> bool:
        """Is this plain type among them?"""
        return plain in self.types


@cache
def leaves(wanted: Any) -> Leaves:
    """What may stand somewhere in a value of a type."""
    found = list(_walk(wanted))
    words = frozenset(word for item in found if get_origin(item) is Literal for word in get_args(item))
    plain = frozenset(item for item in found if isinstance(item, type))
    return Leaves(plain, words)


def _walk(wanted: Any) -> Iterator[Any]:
    yield wanted
    if get_origin(wanted) is not Literal:
        for part in get_args(wanted):
            yield from _walk(part)


def in_words(wanted: Any) -> str:
    """What a type takes, as a sentence goes on after "must be".

    >>> in_words(int | tuple[int, ...])
    'an integer or a list of integers'
    """
    plain = {int: "an integer", float: "a number", bool: "true or false", str: "text", type(None): "null"}
    parts = get_args(wanted) if isinstance(wanted, types.UnionType) or get_origin(wanted) is Union else (wanted,)
    said = []
    for part in parts:
        if get_origin(part) is Literal:
            said += list(get_args(part))
        elif get_origin(part) is tuple:
            inner = get_args(part)[0]
            nested = get_origin(inner) is not None or isinstance(inner, types.UnionType)
            of = "integers or [before, after] pairs" if nested else "names" if inner is str else "integers"
            said.append(f"a list of {of}")
        else:
            said.append(plain.get(part, str(part)))
    return f"{', '.join(said[:-1])} or {said[-1]}" if len(said) > 1 else f"{said[0]}"


def shown(value: Any) -> str:
    """A value as a spec would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return str(value)
