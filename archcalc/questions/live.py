"""A network for every size at once: each number of a report as a slot of one program, and what each layer refuses."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple, replace

from archcalc.algebra.assumptions import Substitution
from archcalc.algebra.branches import Choice, Refusal, flips, refusals
from archcalc.algebra.num import Relation, is_symbolic
from archcalc.algebra.ops import CONVENTIONS, Ops
from archcalc.algebra.program import Program
from archcalc.algebra.symbolic import normal
from archcalc.errors import ArchcalcError, ModelError
from archcalc.layers.layer import Composite, Layer, Shape, shown
from archcalc.layers.sized import Sized
from archcalc.model.network import Network
from archcalc.model.report import row_of
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Answers, Use, bounded, everything
from archcalc.questions.closed_form import Derivation
from archcalc.questions.symbols import Symbol, replaced, symbols_of

COUNTS = ("params", "trainable_params", "buffers", "macs", "macs_exact", *Ops.__struct_fields__)


Asked = Callable[[Layer, tuple[Shape, ...], Shape], Any]  # a question to a layer: its inputs' shapes, and its output's


class Refused(Struct, frozen=True):
    """Sizes that a layer does not take: all these hold; `got` has slots in ⟦…⟧."""

    node: str
    choices: tuple[tuple[str, int, int, bool], ...]  # less or differ, two slots, and whether it holds
    subject: str
    rule: str
    got: str


ELSE = "has another shape at these sizes, which this page does not hold"


class Otherwise(ModelError):
    """On this way a layer takes its inputs, but its output is not what the usual formula says."""

    def __init__(self, error: ModelError, made: Any) -> None:
        super().__init__(error.subject, error.rule, error.got)
        self.made = made


def same_there(refusal: Refusal, usual: Shape) -> bool:
    """Is the output the usual one after all?"""
    return isinstance(refusal.error, Otherwise) and equal_there(refusal.choices, refusal.error.made, usual)


def equal_there(choices: Sequence[Choice], made: Any, usual: Any) -> bool:
    """Are two answers the same where the numbers that a way takes to be equal are equal?"""
    equal = [(c.left, c.right) for c in choices if c.relation == "differ" and not c.holds]
    return bool(_replaced(made, equal) == _replaced(usual, equal))


def _replaced(answer: Any, equal: Sequence[tuple[Any, Any]]) -> Any:
    if isinstance(answer, Struct):
        answer = astuple(answer)
    if isinstance(answer, tuple | list):
        return tuple(_replaced(part, equal) for part in answer)
    return answer.subs(equal) if is_symbolic(answer) else answer


class Assumed:
    """Comparisons that symbols leave open, answered as they are at one choice of the letters, and remembered.

    What is found meanwhile holds where all of them are so again.
    """

    def __init__(self, live: "Live", values: Mapping[str, int]) -> None:
        self.live, self.here = live, {live.forward[name]: value for name, value in values.items()}
        self.answers: dict[tuple[Relation, Any, Any], bool] = {}

    def __call__(self, relation: Relation, left: Any, right: Any) -> bool:
        key = relation, left, right
        if key not in self.answers:
            a, b = (int(n.xreplace(self.here)) if is_symbolic(n) else int(n) for n in (left, right))
            self.answers[key] = a < b if relation == "less" else a != b
        return self.answers[key]

    def slots(self) -> list[tuple[str, int, int, bool]]:
        """The comparisons, and whether each holds."""
        return [self.live.choice(Choice(*asked, holds)) for asked, holds in self.answers.items()]


class Live:
    """One model in the letters of its sizes, its batch and those of its hyperparameters that may be letters."""

    def __init__(self, model: Network, input: Sizes | Mapping[str, Sizes] | None = None, batch: int = 1) -> None:
        self.model, self.batch = model, batch
        self.own = full_shapes(model.inputs, input, batch)
        self.given = {name: shape[1:] for name, shape in self.own.items()}
        model.walk(self.own)  # what does not fit as it stands has no page either
        self.fixed: dict[str, str] = {}  # name of a letter that cannot be one -> why
        self.derivation, self.uses = self.opened()
        self.symbols: list[Symbol] = self.derivation.symbols
        self.program = Program([symbol.name for symbol in self.symbols])
        self.names = [use.name for use in self.uses]

    def opened(self) -> tuple[Derivation, list[Use]]:
        """The walk in as many letters as the layers allow: all of them, or those that are possible one by one."""
        self.fixed.update(self.derived())
        known = symbols_of(self.model, self.model.settings)
        wanted = [symbol for symbol in known if symbol.name not in self.fixed and self.opens(symbol)]
        with suppress(ArchcalcError, TypeError):
            return self.walked(wanted)
        kept: list[Symbol] = []
        found = self.walked(kept)
        for symbol in wanted:
            try:
                found = self.walked([*kept, symbol])
                kept.append(symbol)
            except ArchcalcError as error:
                self.fixed[symbol.name] = f"{error.rule}; got {error.got}" if error.got else error.rule
            except TypeError:  # a loop over a letter, or a choice by it
                self.fixed[symbol.name] = "it decides which layers there are, or they have no formula in it"
        return found

    def derived(self) -> dict[str, str]:
        """Hyperparameters that the spec makes of others: those are the letters, and these follow."""
        own, found = self.model.settings, dict[str, str]()
        for name in [name for name, value in own.items() if type(value) is int]:
            with suppress(ArchcalcError):
                other = self.model.with_settings({name: own[name] + 1}).settings
                found |= {key: f"it follows {name}" for key in own if key != name and other.get(key) != own[key]}
        return found

    def opens(self, symbol: Symbol) -> bool:
        """Is it a letter that a page asks for: a size, the batch, or a hyperparameter that is a number?"""
        if symbol.of == "setting":
            return type(self.model.settings[symbol.name]) is int
        batches = [item.only[0] for item in self.model.inputs.values() if item.only]
        return symbol.usual or (symbol.of == "batch" and all(known is None for known in batches))

    def walked(self, symbols: Sequence[Symbol]) -> tuple[Derivation, list[Use]]:
        """The walk in these letters."""
        names = [symbol.name for symbol in symbols]
        derivation = Derivation(self.model, names, (), self.given, batch=self.batch)
        return derivation, derivation.walk(Substitution(names, derivation.assumptions), in_letters)

    @cached_property
    def graph(self) -> Network:
        """The model in its letters."""
        way = self.forward
        return self.model.with_settings({s.name: way[s.name] for s in self.symbols if s.of == "setting"})

    @cached_property
    def forward(self) -> dict[str, Any]:
        """The letters as expressions."""
        return Substitution([symbol.name for symbol in self.symbols], self.derivation.assumptions).forward

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Full shapes of the inputs, in the letters."""
        own = full_shapes(self.graph.inputs, self.given, self.batch)
        return replaced(own, self.symbols, self.forward)

    @property
    def values(self) -> dict[str, int]:
        """What each letter is to begin with."""
        return {symbol.name: self.value(symbol) for symbol in self.symbols}

    def value(self, symbol: Symbol) -> int:
        """What a letter is to begin with."""
        if symbol.of == "axis":
            return self.own[symbol.input][symbol.position]
        return self.batch if symbol.of == "batch" else int(self.model.settings[symbol.name])

    def doubts(self, questions: Sequence[Asked]) -> list[list[Any]]:
        """Comparisons, in slots: where all of one list hold, a layer answers otherwise than its formulas say."""
        found: dict[tuple[Any, ...], None] = {}
        for layer, xs in {(use.layer, use.xs): None for use in self.uses}:
            again, seen = self.lettered_layer(layer), tuple(map(self.lettered, xs))
            for question in questions:

                def answer(asked: Asked = question, of: Layer = again, given: tuple[Shape, ...] = seen) -> Any:
                    return asked(of, given, of.out(*given))

                usual = answer()
                for choices, made in flips(answer):
                    if not equal_there(choices, made, usual):
                        found[tuple(map(self.choice, choices))] = None
        return [list(map(list, choices)) for choices in found]

    def hold(self, choices: Sequence[Sequence[Any]]) -> bool:
        """Do these comparisons of slots all hold at the model's own size?"""
        values = [(relation, self.here(left), self.here(right), wanted) for relation, left, right, wanted in choices]
        return all((a < b if relation == "less" else a != b) == wanted for relation, a, b, wanted in values)

    def here(self, slot: int) -> int:
        """What a slot has at the model's own size."""
        of = next(expression for expression, place in self.program.slots.items() if place == slot)
        values = {letter: self.letter(letter.name) for letter in of.free_symbols}
        return int(of.xreplace(values))

    def letter(self, name: str) -> int:
        """What a letter is at the model's own size; ⟦7⟧ stands for what is in slot 7."""
        return self.here(int(name[1:-1])) if name.startswith("⟦") else self.values[name]

    def slots(self, numbers: Sequence[Any]) -> list[int]:
        """Where the values of some expressions stand."""
        return [self.program.slot(number) for number in numbers]

    def counts(self, use: Use) -> list[int]:
        """Slots of COUNTS, and of the elements of the output."""
        row = row_of(use, "float32", CONVENTIONS["archcalc"])
        ops = [getattr(row.ops, name) for name in Ops.__struct_fields__]
        plain = [getattr(row, name) for name in COUNTS[: -len(ops)]]
        return self.slots([*plain, *ops, use.answers.elements])

    def refused(self) -> list[Refused]:
        """Everything that a layer refuses, in the order of the layers; what inputs refuse comes first."""
        found = [refused for name in self.graph.inputs for refused in self.at_inputs(name)]
        known: dict[Any, list[Refused]] = {}
        for node, layer, xs in self.asked():
            key = (layer, xs)
            if key not in known:
                known[key] = [self.told(node, refusal) for refusal in self.ways(layer, xs)]
            found += [replace(refused, node=node) for refused in known[key]]
        return found

    def asked(self) -> list[tuple[str, Layer, tuple[Shape, ...]]]:
        """Every layer that is given shapes: those that are counted, and before their parts the composites."""
        shapes, found, seen = dict(self.shapes), [], set[str]()
        for use in self.uses:
            node = use.node
            if node.name not in seen and use.name != node.name:
                layer = node.layer.at(self.shapes) if isinstance(node.layer, Sized) else node.layer
                found.append((node.name, layer, tuple(shapes[name] for name in node.inputs)))
            seen.add(node.name)
            found.append((use.name, use.layer, use.xs))
            shapes[use.name] = shapes[node.name] = use.answers.y
        return found

    def ways(self, layer: Layer, xs: tuple[Shape, ...]) -> Sequence[Refusal]:
        """How a layer refuses inputs: asked with a letter of its own for every size that is not fixed."""
        seen, held = (
            list(map(self.lettered, xs)),
            {name: self.held(getattr(layer, name)) for name in layer.__struct_fields__},
        )

        def asked() -> None:
            again = replace(layer, **held)  # its fields are checked too
            y = again.parts(*seen) if isinstance(again, Composite) else again.out(*seen)
            if not isinstance(again, Composite) and y != usual:
                raise Otherwise(again.error(ELSE, shown_in(seen)), y)

        usual = () if isinstance(layer, Composite) else replace(layer, **held).out(*seen)
        return [refusal for refusal in refusals(asked) or () if not same_there(refusal, usual)]

    def lettered_layer(self, layer: Layer) -> Layer:
        """A layer with a letter of its own for every field that is not fixed."""
        return replace(layer, **{name: self.held(getattr(layer, name)) for name in layer.__struct_fields__})

    def held(self, value: Any) -> Any:
        """A field's value with a letter of its own in the place of each expression."""
        if isinstance(value, tuple):
            return tuple(map(self.held, value))
        return self.program.named(self.program.slot(value)) if is_symbolic(value) else value

    def lettered(self, shape: Shape) -> Shape:
        """A shape with a letter of its own for every size that is not fixed."""
        return tuple(self.program.named(self.program.slot(n)) if is_symbolic(n) else n for n in shape)

    def at_inputs(self, name: str) -> list[Refused]:
        """Sizes that the model was not imported for."""
        named = {of: self.lettered(shape) for of, shape in self.shapes.items()}
        item = self.graph.inputs[name]
        return [self.told("", refusal) for refusal in refusals(lambda: item.admit(name, named)) or ()]

    def told(self, node: str, refusal: Refusal) -> Refused:
        """A refusal in slots."""
        error = refusal.error
        return Refused(node, tuple(map(self.choice, refusal.choices)), error.subject, error.rule, error.got)

    def choice(self, choice: Choice) -> tuple[str, int, int, bool]:
        """A comparison in slots."""
        return choice.relation, self.program.slot(choice.left), self.program.slot(choice.right), choice.holds


def shown_in(xs: Sequence[Shape]) -> str:
    """Shapes as a message has them."""
    return " and ".join(map(shown, xs))


def in_letters(layer: Layer, xs: tuple[Shape, ...]) -> Answers:
    """All that a report says of a layer, in letters: sizes in normal form, so that equal ones are seen to be."""
    y = bounded(layer, layer.out(*xs))
    return everything(layer, xs, tuple(normal(n) if is_symbolic(n) else n for n in y))
