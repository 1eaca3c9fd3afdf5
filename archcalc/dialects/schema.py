"""The JSON Schema of the spec language, generated from the registry, so that editors complete and check."""

from typing import Any

import msgspec

from archcalc.algebra.dtype import BITS
from archcalc.dialects.fields import COMMON, Field, fields_of
from archcalc.dialects.yaml_spec import KEYS, QUANTITIES, ROW_QUANTITIES
from archcalc.dialects.yaml_unknown import FIELDS as UNKNOWN_FIELDS
from archcalc.dialects.yaml_unknown import UNKNOWN
from archcalc.layers.layer import KINDS

NAME = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"}
EXPRESSION = {"$ref": "#/$defs/expression"}
INTEGER = {"anyOf": [{"type": "integer"}, EXPRESSION]}
LAYERS = {"$ref": "#/$defs/layers"}
BRANCHES = {"type": "array", "minItems": 1, "items": LAYERS}
SIZES = {"anyOf": [INTEGER, {"type": "array", "items": INTEGER, "minItems": 1}]}


def schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of a spec."""
    defs = {
        "layers": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "line": {
            "anyOf": [{"enum": _bare()}, *({"$ref": f"#/$defs/{name}"} for name in [*KINDS, *_structures()]), _use()]
        },
        "expression": {"type": "string", "description": "an integer expression over the names of set: and args:"},
        "block": _block(),
        "expect": _expect(),
        **{kind: _line(kind, _kind(kind)) for kind in KINDS},
        **{name: _line(name, fields) for name, fields in _structures().items()},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "archcalc model",
        "type": "object",
        "required": ["archcalc", "inputs", "layers"],
        "additionalProperties": False,
        "properties": {key: _top(key) | {"description": meaning} for key, meaning in KEYS.items()},
        "$defs": defs,
    }


def _top(key: str) -> dict[str, Any]:
    special: dict[str, dict[str, Any]] = {
        "archcalc": {"const": 1},
        "inputs": {"type": "object", "minProperties": 1, "additionalProperties": _input()},
        "channels_last": {"type": "boolean"},
        "set": {"type": "object", "additionalProperties": {"anyOf": [INTEGER, {"type": "boolean"}]}},
        "blocks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/block"}},
        "layers": LAYERS,
        "outputs": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "expect": {"$ref": "#/$defs/expect"},
    }
    return special.get(key, {"type": "string"})


def _input() -> dict[str, Any]:
    fields = {"shape": SIZES, "dtype": {"enum": list(BITS)}, "channels_last": {"type": "boolean"}}
    long = {"type": "object", "required": ["shape"], "additionalProperties": False, "properties": fields}
    return {"anyOf": [SIZES, long]}


def _block() -> dict[str, Any]:
    fields = {"args": {"type": "object"}, "inputs": {"type": "array", "items": NAME}, "layers": LAYERS}
    return {"type": "object", "required": ["layers"], "additionalProperties": False, "properties": fields}


def _expect() -> dict[str, Any]:
    def of(names: tuple[str, ...]) -> dict[str, Any]:
        return dict.fromkeys(names, INTEGER) | {"output": SIZES}

    row = _closed(of(ROW_QUANTITIES))
    sized = of(QUANTITIES) | {"layers": {"type": "object", "additionalProperties": row}}
    at = {"type": "object", "additionalProperties": _closed(sized)}
    return _closed(sized | {"at": at})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _bare() -> list[str]:
    """Kinds that need no field."""
    return [kind for kind in KINDS if not any(field.required for field in fields_of(kind).values())]


def _use() -> dict[str, Any]:
    """A block of the author's: a name that is not a kind's."""
    taken = {"enum": [*KINDS, *_structures()]}
    one = {"type": "object", "minProperties": 1, "maxProperties": 1, "propertyNames": {"allOf": [NAME, {"not": taken}]}}
    return {"anyOf": [{"allOf": [NAME, {"not": taken}]}, one]}


def _line(name: str, argument: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: argument}}


def _structures() -> dict[str, dict[str, Any]]:
    residual = _object({"layers": LAYERS, "shortcut": LAYERS}, ["layers"])
    repeat = _object({"times": INTEGER, "start": INTEGER, "layers": LAYERS}, ["times", "layers"])
    unknown = {field.name: {"description": field.meaning, **_type(field.type)} for field in UNKNOWN_FIELDS.values()}
    needed = [field.name for field in UNKNOWN_FIELDS.values() if field.required]
    return {"residual": {"anyOf": [LAYERS, residual]}, "repeat": repeat, UNKNOWN: _object(unknown, needed)}


def _kind(kind: str) -> dict[str, Any]:
    """What may stand behind a kind's name: nothing, a value of its main field, or its fields."""
    known = KINDS[kind]
    fields = fields_of(kind)
    properties = {field.name: _field(kind, field) for field in fields.values()}
    joins = known.cls.arity[1] is None
    required = [field.name for field in fields.values() if field.required]
    forms = [_object(properties | ({"branches": BRANCHES} if joins else {}), required)]
    if known.main and set(required) <= {known.main}:
        forms.append(_field(kind, fields[known.main]))
    if not required:
        forms.append({"type": "null"})
    return {"anyOf": [*forms, BRANCHES] if joins else forms, "description": known.summary}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    common = {name: {"description": meaning, **_type(wanted)} for name, (wanted, meaning) in COMMON.items()}
    return {"type": "object", "required": required, "additionalProperties": False, "properties": properties | common}


def _field(kind: str, field: Field) -> dict[str, Any]:
    least = KINDS[kind].cls.at_least.get(field.name)
    written = {"description": field.meaning, **_type(field.type, least)}
    return written if field.required else {**written, "default": msgspec.to_builtins(field.default)}


def _type(wanted: Any, least: int | None = None) -> dict[str, Any]:
    """The schema of a type, in which every integer may be an expression."""
    found: dict[str, Any] = _open(msgspec.json.schema(wanted), least)
    return found


def _open(node: Any, least: int | None) -> Any:
    if isinstance(node, list):
        return [_open(item, least) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") == "integer":
        return {"anyOf": [node if least is None else {**node, "minimum": least}, EXPRESSION]}
    return {key: _open(value, least) for key, value in node.items()}
