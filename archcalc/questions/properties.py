"""Properties of layers and networks: linear, affine, homogeneous, elementwise, shift-equivariant; and why not.

Layers say what they are (layers/facts.py, layers/shifts.py); here their answers are composed along the graph. What
holds is proved by that. What does not names the first layer that breaks it: a later one could undo it (log after exp),
which is not looked for.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import gcd, lcm
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from archcalc import __version__
from archcalc.errors import UsageError, nearest
from archcalc.layers import join, shifts_moves  # noqa: F401 - the rows of the second register themselves
from archcalc.layers.facts import Facts, facts
from archcalc.layers.layer import Shape
from archcalc.layers.shifts import GRADES, Shift, Where, shift
from archcalc.model.network import Network
from archcalc.model.sizes import Sizes, full_shapes
from archcalc.model.walk import Use
from archcalc.views import properties as views

PLANES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
SILENT = "is of a kind that does not say"


class Verdict(Struct, frozen=True):
    """Does a property hold; if not, what breaks it."""

    why: str = ""

    @property
    def holds(self) -> bool:
        """Nothing breaks it."""
        return not self.why


class Along(Struct, frozen=True):
    """What a shift of the image along one axis does to a value: it moves too, stays as it is, or does not follow."""

    axis: str
    at: int | None = None  # the value's axis that moves; None: the value stays as it is, or does not follow
    period: int = 1  # cells of the image
    step: int = 0  # cells of the value
    where: Where = "everywhere"
    because: str = ""  # why not everywhere
    why: str = ""  # why it does not follow

    @property
    def equivariant(self) -> bool:
        """Does the value move with the image?"""
        return self.at is not None and not self.why

    @property
    def invariant(self) -> bool:
        """Does the value stay as it is?"""
        return self.at is None and not self.why


class Properties(Struct, frozen=True):
    """What one layer, a block or a whole network is like, as a map of its inputs."""

    name: str
    kind: str
    linear: Verdict
    affine: Verdict
    homogeneous: Verdict  # f(t·x) = t·f(x) for t > 0
    elementwise: Verdict
    degree: float | None  # f(t·x) = t^degree · f(x) for t > 0; None: no such number
    shifts: tuple[Along, ...]  # one for each axis of the image

    def to_dict(self) -> dict[str, Any]:
        """The verdicts as plain data."""
        verdicts = {name: getattr(self, name) for name in ("linear", "affine", "homogeneous", "elementwise")}
        return {
            "name": self.name,
            "kind": self.kind,
            **{name: {"holds": verdict.holds, "why": verdict.why} for name, verdict in verdicts.items()},
            "degree": self.degree,
            "shifts": [_along_as_dict(along) for along in self.shifts],
        }


def _along_as_dict(along: Along) -> dict[str, Any]:
    moves = {"equivariant": along.equivariant, "invariant": along.invariant}
    if along.why:
        return {"axis": along.axis, **moves, "why": along.why}
    number = {"output_axis": along.at, "step": along.step} if along.equivariant else {}
    return {"axis": along.axis, **moves, "period": along.period, **number, "where": along.where, "why": along.because}


class Answer(Struct, frozen=True):
    """The properties of every layer by itself, and of the whole; of one layer or block, where that was asked."""

    model: str
    inputs: Mapping[str, Shape]
    layers: tuple[Properties, ...]
    whole: Properties

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "schema_version": 1,
            "tool": f"archcalc {__version__}",
            "model": self.model,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "layers": [layer.to_dict() for layer in self.layers],
            "whole": self.whole.to_dict(),
        }

    def __str__(self) -> str:
        return views.text(self, 80)

    def __repr__(self) -> str:
        return f"<Properties of {self.whole.name}>"

    def _repr_html_(self) -> str:
        return views.html(self)


class State(Struct, frozen=True):
    """What is known of one value as a map of the inputs: reasons, empty where the property holds."""

    along: tuple[Along, ...]
    linear: str = ""
    affine: str = ""
    elementwise: str = ""
    degree: float | None = 1
    scaling: str = ""  # what makes it of another degree than 1, or of none


def properties(model: Network, layer: str | None = None, input: Sizes | Mapping[str, Sizes] | None = None) -> Answer:
    """See Model.properties."""
    shapes = full_shapes(model.inputs, input, batch=1)
    uses = model.walk(shapes)
    places = input_places(model, shapes, uses)
    places |= {use.name: places_of(use.answers.y, use.image, use.dtype) for use in uses}
    wanted = uses if layer is None else _of(layer, uses)
    singles = tuple(_single(use, places) for use in wanted)
    if len(wanted) == 1:
        whole = replace(singles[0], name=layer or model.name)
    else:
        ends = [wanted[-1].name] if layer is not None else [_end(name, uses) for name in model.outputs]
        whole = _named(layer or model.name, "model" if layer is None else "block", _whole(wanted, places, ends))
    return Answer(model.name, shapes, singles, whole)


def input_places(model: Network, shapes: Mapping[str, Shape], uses: Sequence[Use]) -> dict[str, range]:
    """Along which axes each input can be shifted: it is an image if the first layer with an opinion takes it so."""
    found = {}
    for name, item in model.inputs.items():
        opinion = next((u.layer.image for u in uses if name in u.inputs and u.layer.image is not None), None)
        image = model.reads_as_image(name) if opinion is None else opinion
        found[name] = places_of(shapes[name], image and item.dtype is None, item.dtype)
    return found


def places_of(shape: Shape, image: bool, dtype: str | None) -> range:
    """The axes along which a value can be shifted: spatial ones of an image, positions of a sequence."""
    if image:
        return range(2, len(shape))
    return range(1, len(shape) if dtype is not None else max(1, len(shape) - 1))


def _of(layer: str, uses: Sequence[Use]) -> list[Use]:
    """The uses of a layer, or of all layers in a block."""
    wanted = [use for use in uses if use.name == layer or use.name.startswith(f"{layer}/")]
    if not wanted:
        near = nearest(layer, [use.name for use in uses])
        raise UsageError("--layer", "must name a layer or block of the model", repr(layer), way_out=near)
    return wanted


def _end(name: str, uses: Sequence[Use]) -> str:
    """The use whose output a node's is: the last part, where it is a composite."""
    return next((use.name for use in reversed(uses) if use.node.name == name), name)


def _single(use: Use, places: Mapping[str, range]) -> Properties:
    return _named(use.name, use.kind, _whole([use], places, [use.name]))


def _whole(uses: Sequence[Use], places: Mapping[str, range], ends: Sequence[str]) -> list[State]:
    """The states of the outputs, where whatever is not made by these uses is an input of its own."""
    made = {use.name for use in uses}
    given = dict.fromkeys(name for use in uses for name in use.inputs if name not in made)
    rank = max((len(places[name]) for name in given), default=0)
    images = any(places[name].start == 2 for name in given)
    names = PLANES[rank] if images and rank in PLANES else tuple(f"axis {n}" for n in range(1, rank + 1))
    states = {name: State(tuple(_start(places[name], names))) for name in given}
    for use in uses:
        states[use.name] = step(use, [states[name] for name in use.inputs], names)
    return [states[name] for name in ends]


def _start(places: range, names: Sequence[str]) -> Iterator[Along]:
    for number, name in enumerate(names):
        yield Along(name, places[number], 1, 1) if number < len(places) else Along(name)


def step(use: Use, states: Sequence[State], names: Sequence[str]) -> State:
    """What is known of a layer's output, from what is known of its inputs, along the axes of these names."""
    read = [number for number in range(len(use.xs)) if not _says_a_size(use, number)]
    known = facts(use.layer, use.xs, use.answers.y)
    if not states:
        return _unmoved(use, names)
    along = tuple(_moved(use, [(number, states[number].along[k]) for number in read]) for k in range(len(names)))
    if known is None:
        reason = f"{use.name} {SILENT}"
        return State(along, reason, reason, reason, None, reason)
    inputs = [states[number] for number in read]
    own = f"{use.name} {known.why}"
    degree, scaling = _degree(use.name, known, inputs)
    return State(
        along,
        _first([s.linear for s in inputs]) or ("" if known.form == "linear" else own),
        _first([s.affine for s in inputs]) or ("" if known.form in ("linear", "affine") else own),
        _first([s.elementwise for s in inputs]) or (f"{use.name} {known.elementwise}" if known.elementwise else ""),
        degree,
        scaling,
    )


def _says_a_size(use: Use, number: int) -> bool:
    """Is nothing of an input read but how large it is?"""
    seen = use.layer.sees(number, use.xs, use.answers.y)
    return seen is not None and seen.nothing


def _unmoved(use: Use, names: Sequence[str]) -> State:
    """A value that depends on no input is affine, and of degree 0."""
    reason = f"{use.name} is the same, whatever is read"
    return State(tuple(Along(name) for name in names), linear=reason, degree=0, scaling=reason)


def _first(reasons: Sequence[str]) -> str:
    return next(filter(None, reasons), "")


def _degree(name: str, known: Facts, inputs: Sequence[State]) -> tuple[float | None, str]:
    """The power of t by which the output scales when all inputs scale by t; and what makes it other than 1."""
    degrees = [state.degree for state in inputs if state.degree is not None]
    before = _first([state.scaling for state in inputs])
    own = f"{name} {known.why}"
    if len(degrees) < len(inputs):
        return None, before
    if known.form not in ("linear", "homogeneous"):
        return None, own
    if known.powers:
        return sum(p * d for p, d in zip(known.powers, degrees, strict=True)), own
    if len(set(degrees)) > 1:
        return None, f"{name} joins values that scale differently"
    scaled = known.degree * (degrees[0] if degrees else 1)
    return scaled, own if known.degree != 1 else before


def _moved(use: Use, inputs: Sequence[tuple[int, Along]]) -> Along:
    """What a shift of the image does to a layer's output."""
    axis = inputs[0][1].axis
    found = [_through(use, number, along) for number, along in inputs]
    lost = _first([along.why for along in found])
    movers = [along for along in found if along.equivariant]
    if lost:
        return Along(axis, why=lost)
    period = lcm(*(along.period for along in found))
    where = max((along.where for along in found), key=GRADES.index)
    because = next((along.because for along in found if along.where == where), "")
    if not movers:
        return Along(axis, None, period, 0, where, because)
    fixed = [number for (number, _), along in zip(inputs, found, strict=True) if along.invariant]
    at, steps = movers[0].at, {along.step * period // along.period for along in movers}
    if len({along.at for along in movers}) > 1:
        return Along(axis, why=f"{use.name} has inputs that move along different axes")
    if len(steps) > 1:
        return Along(axis, why=f"{use.name} has inputs that move by different steps")
    joins = use.layer.arity[1] is None or isinstance(use.layer, join.Compare | join.Where)
    if joins and any(use.xs[number][at or 0] > 1 for number in fixed):
        return Along(axis, why=f"{use.name} joins what moves with what stays")
    return Along(axis, at, period, steps.pop(), where, because)


def _through(use: Use, number: int, along: Along) -> Along:
    """The same of one input by itself."""
    if not along.equivariant or along.at is None:
        return along
    made = shift(use.layer, use.xs, use.answers.y, along.at, number)
    if made is None:
        return replace(along, why=f"{use.name} {SILENT}")
    if made.broken:
        return replace(along, why=f"{use.name} {made.broken}")
    where = max(along.where, made.where, key=GRADES.index)
    because = along.because if where == along.where else f"{use.name} {made.because}"
    return _stepped(along, made, where, because)


def _stepped(along: Along, made: Shift, where: Where, because: str) -> Along:
    """One shift after another: the image must move so far that the value moves by whole periods of the layer."""
    times = made.period // gcd(along.step, made.period)
    period, whole = along.period * times, along.step * times // made.period
    step = 0 if made.at is None else whole * made.step
    return Along(along.axis, made.at, period, step, where, because)


def _named(name: str, kind: str, ends: Sequence[State]) -> Properties:
    """The verdicts about all outputs together: each property must hold for each."""
    degrees = {state.degree for state in ends}
    degree = degrees.pop() if len(degrees) == 1 else None
    scaling = _first([state.scaling for state in ends]) or ("" if degree is not None else "outputs scale differently")
    if degree is not None and degree != 1:
        scaling = f"{scaling}: t times the input gives t^{degree:g} times the output"
    return Properties(
        name,
        kind,
        Verdict(_first([state.linear for state in ends])),
        Verdict(_first([state.affine for state in ends])),
        Verdict("" if degree == 1 else scaling),
        Verdict(_first([state.elementwise for state in ends])),
        degree,
        tuple(_worst([state.along[k] for state in ends]) for k in range(len(ends[0].along))),
    )


def _worst(found: Sequence[Along]) -> Along:
    """Of several outputs along one axis, the one that follows least."""
    return max(found, key=lambda along: (bool(along.why), GRADES.index(along.where), along.period))
