"""Derivations for every size at once: each step as a tree of names, whose values stand in slots."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import fields

from archcalc.algebra.spoken import Spoken
from archcalc.layers.unknown import Unknown
from archcalc.model.walk import Use
from archcalc.questions.explain import AXES, OPERATIONS, PER_AXIS, Board, Step
from archcalc.questions.live import COUNTS, Live

WIDTH = -1  # in the place of a slot: the bytes of a value
FLOPS, BYTES = -2, -3  # in the place of a slot: FLOPs under the page's convention, bytes of the output
OF_STEP = {
    ("", "parameters"): "params", ("", "buffers"): "buffers", ("multiply–adds", "in total"): "macs",
    ("multiply–adds", "without padding"): "macs_exact", ("multiply–adds", "of pairs seen"): "macs_exact",
    **{("", label): key for key, label in OPERATIONS.items()},
}  # fmt: skip


class Words:
    """Templates that alike layers share, and for each layer its template with the slots that fill it."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.own = live.model.walk(live.own)
        self.images = {name: live.model.reads_as_image(name) for name in live.own}
        self.images |= {use.name: use.image for use in self.own}
        self.templates: list[dict[str, Any]] = []
        self.numbers: dict[str, int] = {}
        self.known: dict[Any, list[Any] | None] = {}
        self.rows = [self.row(here, use) for here, use in zip(self.own, live.uses, strict=True)]

    def row(self, here: Use, use: Use) -> list[Any] | None:
        """The number of a layer's template, and the slots; None where nothing is known of it."""
        seen = tuple(self.images.get(name, False) for name in here.inputs)
        key = (here.layer, here.xs, use.layer, use.xs, seen, here.dtype, here.shared)
        if key not in self.known:
            self.known[key] = (
                None if isinstance(here.layer, Unknown) else self.made(Telling(self.live, here, use, seen))
            )
        return self.known[key]

    def made(self, telling: "Telling") -> list[Any]:
        """A new telling, whose template may be an old one."""
        from json import dumps

        template = {"names": telling.names, "steps": telling.steps}
        number = self.numbers.setdefault(dumps(template, sort_keys=True), len(self.templates))
        if number == len(self.templates):
            self.templates.append(template)
        return [number, telling.slots]


class Telling:
    """The steps of one use: walked in numbers for its words, and in letters for its slots."""

    def __init__(self, live: Live, here: Use, use: Use, seen: Sequence[bool]) -> None:
        self.live, self.use = live, use
        self.board = Board(here, seen, "float32", "archcalc")
        self.names: list[str] = []
        self.slots: list[int] = []
        self.counts = dict(zip((*COUNTS, "elements"), live.counts(use), strict=True))
        self.values = dict(self.known())
        self.steps = [self.step(step) for step in (*self.axes(), *self.board.costs())]

    def known(self) -> Iterator[tuple[str, Any]]:
        """What each name stands for, in letters: fields of the layer, axes of its inputs and of its output."""
        yield from fields_of(self.use.layer)
        for spoken, x in zip(self.board.xs, self.use.xs, strict=True):
            yield from ((size.made.name, n) for size, n in zip(spoken, x, strict=True) if isinstance(size, Spoken))
        yield from zip(self.board.out_names(), self.use.answers.y, strict=True)

    def axes(self) -> Iterator[Step]:
        """How each axis of the output came about: axes that are alike at one size may differ at another."""
        for name, size in zip(self.board.out_names(), self.board.made, strict=True):
            if isinstance(size, Spoken) and size.made.how != "name":
                yield Step(name.removeprefix("out "), size)

    def step(self, step: Step) -> list[Any]:
        """[heading, label, unit, remark, tree or none, place of the exact value or none]."""
        tree = self.tree(step.value) if isinstance(step.value, Spoken) else None
        return [step.under, step.label, step.unit, self.remark(step), tree, self.exact(step)]

    def exact(self, step: Step) -> int | None:
        """Where the closed form of a step's number stands: a derivation that differs from it is not shown."""
        if step.label == "FLOPs":
            return self.place("", FLOPS)
        if step.label == "memory":
            return self.place("", BYTES)
        if step.label == "parameters" and self.use.shared:
            return None  # they are counted at their owner, and shown here
        if (step.under, step.label) in OF_STEP:
            return self.place("", self.counts[OF_STEP[step.under, step.label]])
        names = [name.removeprefix("out ") for name in self.board.out_names()]
        if not step.under and step.label in names:
            return self.place("", self.live.program.slot(self.use.answers.y[names.index(step.label)]))
        return None

    def remark(self, step: Step) -> str:
        """What is said beside it, for every size: cells that are left over are those of one size, and not said."""
        if step.label in ("without padding", "of pairs seen"):
            return re.sub("^[0-9,]+", "{rest}", step.remark)
        return "" if re.search("dropped|not reached|same padding", step.remark) else step.remark

    def place(self, name: str, slot: int) -> int:
        """A place of the template for a name and the slot of its value."""
        for place, known in enumerate(zip(self.names, self.slots, strict=True)):
            if known == (name, slot):
                return place
        self.names.append(name)
        self.slots.append(slot)
        return len(self.names) - 1

    def tree(self, n: int) -> Any:
        """A number as it was made: itself, [place], [place, tree], or [sign, parts …]."""
        if not isinstance(n, Spoken):
            return int(n)
        made = n.made
        if made.how == "name":
            return self.name(n)
        if made.how == "sum":
            return ["+", *([times, self.tree(part)] for part, times in zip(made.parts, made.signs, strict=True))]
        return [{"product": "*", "quotient": "/", "power": "^"}[made.how], *map(self.tree, made.parts)]

    def name(self, n: Spoken) -> list[Any]:
        """A name with the slot of its value, or with how its value is made."""
        name = n.made.name
        if name == "bytes of a value":
            return [self.place(name, WIDTH if self.use.dtype is None else self.live.program.slot(int(n)))]
        counted = {**OPERATIONS, "macs": "multiply–adds", "macs_exact": "those without padding"}
        key = next((key for key, label in counted.items() if label == name), None)
        if key is not None and not n.made.parts:
            return [self.place(name, self.counts[key])]
        if name in self.values:
            return [self.place(name, self.live.program.slot(self.values[name]))]
        if n.made.parts:
            return [self.place(name, self.live.program.slot(0)), self.tree(n.made.parts[0])]
        return [self.place(name, self.live.program.slot(int(n)))]


def fields_of(layer: Any) -> Iterator[tuple[str, Any]]:
    """Numbers in a layer's fields, under the names that a derivation gives them."""
    for field in fields(type(layer)):
        value = getattr(layer, field.name)
        if isinstance(value, tuple) and field.name in PER_AXIS and len(value) in AXES:
            for item, axis in zip(value, AXES[len(value)], strict=True):
                if isinstance(item, tuple):
                    yield from zip((f"{field.name} {axis} before", f"{field.name} {axis} after"), item, strict=True)
                else:
                    yield f"{field.name} {axis}", item
        elif value is not None and not isinstance(value, tuple | str | bool | float):
            yield field.name, value
