"""Keras networks as written: functional and sequential configs as calls of layers and the tensors that they read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from archcalc.dialects.keras_archive import AGAIN
from archcalc.dialects.keras_config import Config, is_whole, said
from archcalc.dialects.keras_weave import Sizes
from archcalc.errors import ModelError

NETWORKS = ("Functional", "Model", "Sequential")
CALLS = 100_000  # of one network


class Ref(Struct, frozen=True):
    """A tensor: the output of some number of one of a layer's calls."""

    layer: str
    call: int = 0
    output: int = 0


class Entry(Struct, frozen=True, eq=False):
    """A layer as the file has it."""

    kind: str
    name: str
    raw: Mapping[str, Any]
    config: Config


class Step(Struct, frozen=True, eq=False):
    """One call of a layer, its arguments by place or name, tensors among them as Ref."""

    entry: Entry
    number: int
    arguments: Mapping[str, Any]
    reads: tuple[Ref, ...]


class Net(Struct, frozen=True, eq=False):
    """A network: its calls, what goes in and comes out, and the shapes that the file states."""

    inputs: tuple[Ref, ...]
    given: Mapping[Ref, Config]  # the input layers
    steps: tuple[Step, ...]
    outputs: tuple[Ref, ...]
    shapes: Mapping[Ref, Sizes]


def net_of(kind: str, config: Config) -> Net:
    """The network of a functional or sequential config."""
    return _sequential(config) if kind == "Sequential" else _functional(config)


def legacy(what: str, where: str) -> ModelError:
    """The error for what Keras wrote before version 3."""
    return ModelError("Keras", "a config must be one of Keras 3", what, where=where, way_out=AGAIN)


def entries_of(config: Config) -> Iterator[Entry]:
    """The layers of a network."""
    if len(config.items("layers")) > CALLS:
        raise config.error(f"a network must have at most {CALLS:,} layers", "more")
    for number, raw in enumerate(config.items("layers")):
        yield entry_of(raw, f"layers[{number}]", config)


def entry_of(raw: Any, place: str, config: Config) -> Entry:
    """A serialised layer; the place is where errors say it stands until its name is known."""
    file = config.where.rpartition(" in ")[2]
    if not isinstance(raw, Mapping) or not isinstance(raw.get("class_name"), str):
        got = said(raw.get("class_name")) if isinstance(raw, Mapping) else said(raw)
        raise ModelError("Keras", "a layer must have a class_name", got, where=f"{place} in {file}")
    kind = raw["class_name"]
    fields = Config(_subject(kind), raw.get("config"), f"{place} in {file}")
    name = raw.get("name", fields.given("name", None))
    if not isinstance(name, str):
        raise fields.error("name must be text", said(name))
    return Entry(kind, name, raw, Config(_subject(kind), fields.fields, f"layer {said(name[:80])} in {file}"))


def _subject(kind: str) -> str:
    return kind if kind.isidentifier() and len(kind) <= 80 else "layer"


def _sequential(config: Config) -> Net:
    steps: list[Step] = []
    given: dict[Ref, Config] = {}
    shapes: dict[Ref, Sizes] = {}
    source = last = Ref("")
    for entry in entries_of(config):
        if entry.kind == "InputLayer":
            if steps or given:
                raise entry.config.error("an input must be the first layer of a sequential model")
            source = last = Ref(entry.name)
            given[source] = entry.config
            continue
        built = entry.raw.get("build_config")
        if isinstance(built, Mapping) and _is_shape(built.get("input_shape")):
            shapes.setdefault(last, entry.config.shape("build_config", built["input_shape"]))
        steps.append(Step(entry, 0, {"0": last}, (last,)))
        last = Ref(entry.name)
    if not given and config.given("build_input_shape", None) is not None:
        shapes[source] = config.shape("build_input_shape", config.given("build_input_shape"))
    return Net((source,), given, tuple(steps), (last,), shapes)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(size is None or is_whole(size) for size in value)


def _functional(config: Config) -> Net:
    given: dict[Ref, Config] = {}
    shapes: dict[Ref, Sizes] = {}
    steps: list[Step] = []
    for entry in entries_of(config):
        if entry.kind == "InputLayer":
            given[Ref(entry.name)] = entry.config
            continue
        nodes = entry.raw.get("inbound_nodes")
        if not isinstance(nodes, list | tuple):
            raise entry.config.error("inbound_nodes must be a list", said(nodes))
        for number, node in enumerate(nodes):
            steps.append(_step(entry, number, node, shapes))
            if len(steps) > CALLS:
                raise config.error(f"a network must have at most {CALLS:,} calls", "more")
    inputs, outputs = (tuple(_leaves(config, config.given(name))) for name in ("input_layers", "output_layers"))
    if not outputs:
        raise config.error("a network needs an output", "none")
    return Net(inputs, given, tuple(steps), outputs, shapes)


def _step(entry: Entry, number: int, node: Any, shapes: dict[Ref, Sizes]) -> Step:
    if isinstance(node, list | tuple):
        raise legacy("one of Keras 2: its layers list what they read without arguments", entry.config.where)
    if not isinstance(node, Mapping):
        raise entry.config.error("a call must be a mapping", said(node))
    call = Config(entry.config.kind, node, entry.config.where)
    named = call.given("kwargs", {})
    if not isinstance(named, Mapping):
        raise call.error("kwargs must be a mapping", said(named))
    reads: list[Ref] = []
    written = {str(place): item for place, item in enumerate(call.items("args", []))}
    arguments = {name: _tensors(call, item, reads, shapes) for name, item in (written | dict(named)).items()}
    return Step(entry, number, arguments, tuple(reads))


def _tensors(call: Config, value: Any, reads: list[Ref], shapes: dict[Ref, Sizes]) -> Any:
    """An argument with a Ref in the place of each tensor; of other mappings only what holds tensors matters."""
    if isinstance(value, list | tuple):
        return [_tensors(call, item, reads, shapes) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("class_name") != "__keras_tensor__":
        return {str(key): _tensors(call, item, reads, shapes) for key, item in value.items()}
    tensor = Config(call.kind, value.get("config"), call.where)
    ref = _ref(tensor, tensor.given("keras_history"))
    reads.append(ref)
    if tensor.given("shape", None) is not None:
        shapes.setdefault(ref, tensor.shape("shape", tensor.given("shape")))
    return ref


def _ref(config: Config, value: Any) -> Ref:
    if isinstance(value, list | tuple) and len(value) == 3:
        name, call, output = value
        if isinstance(name, str) and is_whole(call) and is_whole(output) and 0 <= call < CALLS and 0 <= output < 1000:
            return Ref(name, call, output)
    raise config.error("a tensor must be a layer's name, the number of a call and of an output", said(value))


def _leaves(config: Config, value: Any) -> Iterator[Ref]:
    """Tensors of the network's inputs or outputs, in order; those of a mapping by its keys' order."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _leaves(config, value[key])
    elif isinstance(value, list | tuple) and not (value and isinstance(value[0], str)):
        for item in value:
            yield from _leaves(config, item)
    else:
        yield _ref(config, value)


def nested(entry: Mapping[str, Any]) -> Sequence[Any]:
    """The layers inside a layer that is a network."""
    config = entry.get("config")
    layers = config.get("layers") if isinstance(config, Mapping) else None
    return layers if isinstance(layers, list | tuple) else []
