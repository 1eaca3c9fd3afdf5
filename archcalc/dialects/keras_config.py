"""The fields of a Keras layer, each asked for with what it must be; what is missing or wrong is said with its place."""

from collections.abc import Mapping, Sequence
from typing import Any

from archcalc.algebra.num import LIMIT
from archcalc.dialects.fields import shown
from archcalc.errors import ModelError, nearest

REQUIRED: Any = object()
RANK = 16  # numbers of one field


class Config:
    """What a layer's config says; `where` is the place that errors name."""

    def __init__(self, kind: str, fields: Any, where: str) -> None:
        self.kind, self.where = kind, where
        if not isinstance(fields, Mapping):
            raise self.error("config must be a mapping", said(fields))
        self.fields: Mapping[str, Any] = fields

    def error(self, rule: str, got: str = "", way_out: str = "") -> ModelError:
        """A mistake in this layer."""
        return ModelError(self.kind, rule, got, where=self.where, way_out=way_out)

    def given(self, name: str, default: Any = REQUIRED) -> Any:
        """The field as it stands."""
        if name in self.fields:
            return self.fields[name]
        if default is REQUIRED:
            raise self.error(f"needs the field {name}", way_out=nearest(name, self.fields, listed=False))
        return default

    def whole(self, name: str, default: Any = REQUIRED, least: int = 1) -> int:
        """A whole number."""
        return self._whole(name, self.given(name, default), least)

    def _whole(self, name: str, value: Any, least: int) -> int:
        if not is_whole(value) or not least <= value <= LIMIT:
            raise self.error(f"{name} must be a whole number from {least} to 10**18", said(value))
        return int(value)

    def wholes(self, name: str, count: int, default: Any = REQUIRED, least: int = 1) -> tuple[int, ...]:
        """So many whole numbers, or one for all."""
        value = self.given(name, default)
        if is_whole(value):
            return (self._whole(name, value, least),) * count
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.error(f"{name} must be one number or {count}", said(value))
        return tuple(self._whole(name, item, least) for item in value)

    def numbers(self, name: str, default: Any = REQUIRED) -> tuple[int, ...]:
        """A list of whole numbers of any sign, or one of them."""
        value = self.given(name, default)
        items = value if isinstance(value, list | tuple) else [value]
        if len(items) > RANK or not all(is_whole(item) and abs(item) <= LIMIT for item in items):
            raise self.error(f"{name} must be whole numbers, at most {RANK}", said(value))
        return tuple(items)

    def real(self, name: str, default: Any = REQUIRED) -> float:
        """A number."""
        value = self.given(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -LIMIT <= value <= LIMIT:
            raise self.error(f"{name} must be a number", said(value))
        return float(value)

    def flag(self, name: str, default: Any = REQUIRED) -> bool:
        """True or false."""
        value = self.given(name, default)
        if not isinstance(value, bool):
            raise self.error(f"{name} must be true or false", said(value))
        return value

    def word(self, name: str, known: Sequence[str], default: Any = REQUIRED) -> str:
        """One of some words."""
        value = self.given(name, default)
        if not isinstance(value, str) or value not in known:
            near = nearest(value, known, listed=False) if isinstance(value, str) else ""
            raise self.error(f"{name} must be one of {', '.join(known)}", said(value), near)
        return value

    def text(self, name: str, default: Any = REQUIRED) -> str:
        """Text."""
        value = self.given(name, default)
        if not isinstance(value, str):
            raise self.error(f"{name} must be text", said(value))
        return value

    def items(self, name: str, default: Any = REQUIRED) -> Sequence[Any]:
        """A list of anything."""
        value = self.given(name, default)
        if not isinstance(value, list | tuple):
            raise self.error(f"{name} must be a list", said(value))
        return value

    def shape(self, name: str, value: Any) -> tuple[int | None, ...]:
        """Sizes without the batch that stands first; an open axis is None."""
        sizes = value[1:] if isinstance(value, list | tuple) and 1 <= len(value) <= RANK else None
        if sizes is None or not all(size is None or (is_whole(size) and 1 <= size <= LIMIT) for size in sizes):
            raise self.error(f"{name} must be a shape with the batch first", said(value))
        return tuple(sizes)


def is_whole(value: Any) -> bool:
    """Is it a whole number? A truth value is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def said(value: Any) -> str:
    """A value as an error repeats it, in one line, without what a terminal would take for a command."""
    text = shown(value) if isinstance(value, bool | int | float | str | type(None)) else shown(_short(value))
    return text if text.isprintable() else repr(text)


def _short(value: Any) -> Any:
    """A collection with no more than an error can repeat."""
    if isinstance(value, Mapping):
        return {str(key): "…" for key in list(value)[:8]}
    if isinstance(value, list | tuple):
        return [item if isinstance(item, bool | int | float | str | type(None)) else "…" for item in value[:20]]
    return type(value).__name__
