"""Keras models as ours, read as data from `.keras` archives, texts of to_json, and configs; nothing is run."""

import heapq
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from archcalc.algebra.dtype import BITS
from archcalc.dialects import keras_einsum, keras_moves, keras_sequence, keras_spatial
from archcalc.dialects.keras_archive import contents, parsed, sound
from archcalc.dialects.keras_config import Config, said
from archcalc.dialects.keras_layers import READERS, of_keras, reads
from archcalc.dialects.keras_net import NETWORKS, Entry, Net, Ref, Step, legacy, nested, net_of
from archcalc.dialects.keras_ops import operation
from archcalc.dialects.keras_weave import Call, Sizes, Value, Weave, clean, fits, said_sizes
from archcalc.errors import ModelError
from archcalc.model.graph import Input
from archcalc.questions.model import Model

FAMILIES = (keras_einsum, keras_moves, keras_sequence, keras_spatial)  # each makes its readers known
DEPTH = 20  # networks inside each other
STAND_INS = {2: 128, 3: 128, 4: 224, 5: 32}  # for an axis that the file leaves open, by the axes with the batch
SPATIAL = re.compile(r".*(Conv|Pooling|UpSampling|ZeroPadding|Cropping|SpatialDropout).*[123]D.*")
OPAQUE = re.compile(r".*(Dense|Embedding|LSTM|GRU|RNN|Attention|Reshape|Permute|Flatten|RepeatVector|Bidirectional).*")
Shapes = Sequence[int | None] | Mapping[str, Sequence[int | None]]


def read_file(path: str, input_shape: Shapes | None = None) -> Model:
    """The model in a `.keras` archive, or in a file with what `model.to_json()` gives.

    Raises ModelError for what is wrong with the file.
    """
    return _model(contents(path), path, input_shape)


def from_keras(config: Any, input_shape: Shapes | None = None) -> Model:
    """The model of a Keras 3 config: `model.get_config()`, the text of `model.to_json()`, or a path to a file.

    `input_shape` is the shape without the batch, as Keras writes it, where the config leaves axes open; by name where
    there are several inputs. Layers that are not understood become lines that are named and not counted. Nothing
    is run, and Keras need not be installed. Raises ModelError for what is wrong with the config.
    """
    if isinstance(config, str) and config.lstrip()[:1] == "{":
        return _model(parsed(config, "the text"), "the text", input_shape)
    if isinstance(config, str | os.PathLike):
        return read_file(os.fspath(config), input_shape)
    if not isinstance(config, Mapping):
        way_out = "from_keras(model.to_json())"
        raise ModelError("Keras", "must be a config, a text or a path", type(config).__name__, way_out=way_out)
    return _model(sound(config, "the config"), "the config", input_shape)


def _model(data: Any, file: str, input_shape: Shapes | None) -> Model:
    kind, config = _top(data, file)
    weave = Weave(file)
    level = Level(weave, "", (), 0, config.given("trainable", True) is not False, 0)
    net = net_of(kind, config)
    inputs = [_input(net, ref, weave, input_shape, config) for ref in net.inputs]
    outputs = [value.node for value in _run(net, inputs, level, config)]
    name = config.given("name", "model")
    name = clean(name) if isinstance(name, str) else "model"
    return Model(name, weave.inputs, weave.needed(outputs), tuple(outputs), remarks=tuple(weave.remarks))


def _top(data: Any, file: str) -> tuple[str, Config]:
    """The class and config of a model: as `to_json` writes it, or the config alone."""
    if not isinstance(data, Mapping):
        raise ModelError("Keras", "a config must be a mapping", said(data), where=file)
    version = data.get("keras_version")
    if (isinstance(version, str) and version[:1] in "012") or isinstance(data.get("config"), list):
        raise legacy(f"one of Keras {version if isinstance(version, str) else 1}", file)
    if "class_name" not in data and "layers" in data:
        bare = "Functional" if "input_layers" in data else "Sequential"
        return bare, Config(bare, data, f"model in {file}")
    kind = data.get("class_name")
    if not isinstance(kind, str) or kind not in NETWORKS or not of_keras(data):
        rule = "a model must be functional or sequential: a class of its own is code, which is not run"
        raise ModelError("Keras", rule, said(kind), where=file)
    return kind, Config(kind, data.get("config"), f"model in {file}")


class Level(Struct, frozen=True, eq=False):
    """Where a network's nodes go: which names they get, and what holds for all of them."""

    weave: Weave
    prefix: str
    key: tuple[Any, ...]  # of the network that it is, the same in every call of it
    lead: int
    trainable: bool
    depth: int


def _input(net: Net, ref: Ref, weave: Weave, input_shape: Shapes | None, config: Config) -> Value:
    """An input of the model, channels first inside where what reads it has them last."""
    layer = net.given.get(ref)
    sizes = net.shapes.get(ref) if layer is None else _stated(layer)
    name = ref.layer or "input"
    if isinstance(input_shape, Mapping) and name in input_shape:
        sizes = config.shape("input_shape", (None, *input_shape[name]))
    elif input_shape is not None and not isinstance(input_shape, Mapping):
        sizes = config.shape("input_shape", (None, *input_shape))
    if sizes is None:
        rule = "the model was saved before it knew the shape of its input"
        way_out = "build it first: model.build((None, 28, 28, 1)); or from_keras(config, input_shape=(28, 28, 1))"
        raise config.error(rule, way_out=way_out)
    last = _channels_last(net, ref, len(sizes))
    shape = _closed(weave, name, sizes, last, (layer or config).where)
    if last:
        shape = (shape[-1], *shape[:-1])
    try:
        return weave.input(name, Input(shape, _dtype(net, ref, layer), channels_last=last))
    except ModelError as error:
        error.where = error.where or (layer or config).where
        raise


def _stated(layer: Config) -> Sizes:
    if "batch_input_shape" in layer.fields:
        raise legacy("one of Keras 2: batch_input_shape", layer.where)
    return layer.shape("batch_shape", layer.given("batch_shape"))


def _closed(weave: Weave, name: str, sizes: Sizes, last: bool, where: str) -> tuple[int, ...]:
    """The sizes, with numbers that stand in for open axes; channels cannot be open."""
    if last and sizes[-1] is None:
        rule = "the channels of an input must be known"
        raise ModelError("Keras", rule, said_sizes(sizes), where=where, way_out="give input_shape=…")
    stand_in = STAND_INS.get(len(sizes) + 1, 8)
    shape = tuple(stand_in if size is None else size for size in sizes)
    if None in sizes:
        open_axes = f"{name}: the file leaves axes open ({said_sizes(sizes)})"
        weave.remarks.append(f"{open_axes}; {said_sizes(shape)} stands in for them unless --input says otherwise")
    return shape


def _dtype(net: Net, ref: Ref, layer: Config | None) -> str | None:
    """Whole numbers and truth values as the file says; indices also where an embedding reads an input of fractions."""
    given = layer.given("dtype", None) if layer is not None else None
    if isinstance(given, str) and given in BITS and not given.startswith(("float", "bfloat")):
        return given
    read = any(step.entry.kind.endswith("Embedding") for step in net.steps if ref in step.reads)
    return "int32" if read else None


def _channels_last(net: Net, start: Ref, axes: int) -> bool:
    """Has the first layer with spatial axes that an input reaches the channels last? Images have, if none says."""
    if axes < 2:
        return False
    seen, reached = {start.layer}, [start.layer]
    readers: dict[str, list[Step]] = {}
    for step in net.steps:
        for ref in step.reads:
            readers.setdefault(ref.layer, []).append(step)
    while reached:
        for step in readers.get(reached.pop(0), ()):
            found = _order(step.entry.raw, 0)
            if found is not None:
                return found
            if step.entry.name not in seen and (axes > 2 or not OPAQUE.fullmatch(step.entry.kind)):
                seen.add(step.entry.name)
                reached.append(step.entry.name)
    return axes > 2


def _order(raw: Any, depth: int) -> bool | None:
    """Does a layer, or the first one inside it that says it, have the channels last?"""
    config = raw.get("config") if isinstance(raw, Mapping) else None
    if not isinstance(config, Mapping) or depth > DEPTH:
        return None
    if SPATIAL.fullmatch(str(raw.get("class_name"))):
        return bool(config.get("data_format", "channels_last") != "channels_first")
    inside = [*nested(raw), *([config["layer"]] if isinstance(config.get("layer"), Mapping) else [])]
    return next((found for item in inside if (found := _order(item, depth + 1)) is not None), None)


def _run(net: Net, values: Sequence[Value], level: Level, config: Config) -> list[Value]:
    """All calls, each as soon as what it reads is there, else in the file's order."""
    if len(values) != len(net.inputs):
        raise config.error(f"a network of {len(net.inputs)} inputs", f"{len(values)} tensors")
    made = dict(zip(net.inputs, values, strict=True))
    waiting: dict[Ref, list[int]] = {}
    missing = [len(set(step.reads) - made.keys()) for step in net.steps]
    for number, step in enumerate(net.steps):
        for ref in set(step.reads) - made.keys():
            waiting.setdefault(ref, []).append(number)
    ready = [number for number, count in enumerate(missing) if count == 0]
    expected = _expected(net)
    while ready:
        step = net.steps[heapq.heappop(ready)]
        outputs = _call(step, made, level, expected.get((step.entry.name, step.number), {}))
        for place, value in enumerate(outputs):
            ref = Ref(step.entry.name, step.number, place)
            made[ref] = value
            for number in waiting.pop(ref, ()):
                missing[number] -= 1
                if missing[number] == 0:
                    heapq.heappush(ready, number)
    lost = next((ref for ref in [*net.outputs, *waiting] if ref not in made), None)
    if lost is not None:
        rule = "every tensor must come from an input or an earlier layer"
        raise config.error(rule, f"{said(lost.layer)}, call {lost.call}, output {lost.output}")
    return [made[ref] for ref in net.outputs]


def _expected(net: Net) -> dict[tuple[str, int], dict[int, Sizes]]:
    """What the file says of the outputs of each call."""
    expected: dict[tuple[str, int], dict[int, Sizes]] = {}
    for ref, sizes in net.shapes.items():
        expected.setdefault((ref.layer, ref.call), {})[ref.output] = sizes
    return expected


def _call(step: Step, made: Mapping[Ref, Value], level: Level, expected: Mapping[int, Sizes]) -> list[Value]:
    entry = step.entry
    shared = entry.raw.get("shared_object_id")
    key = ("shared", shared) if isinstance(shared, int) else (*level.key, entry.name)
    again = f"_call{step.number + 1}" if step.number else ""
    steps = made[step.reads[0]].sizes[: level.lead] if step.reads else ()
    expected = {place: (*steps, *sizes) for place, sizes in expected.items()}  # a network inside knows no time
    call = Call(
        level.weave, entry.config, f"{level.prefix}{clean(entry.name)}{again}", key, _resolved(step.arguments, made),
        lead=level.lead, trainable=level.trainable and entry.config.given("trainable", True) is not False,
        expected=expected, depth=level.depth,
    )  # fmt: skip
    reader, before = _reader(entry), len(level.weave.nodes)
    values: list[Value] = call.unknown() if call.shapeless else reader(call)
    if reader is operation:
        level.weave.operations.update(node.name for node in level.weave.nodes[before:])
    for place, value in enumerate(values):
        _agree(call, value, expected.get(place))
    return values


def _reader(entry: Entry) -> Any:
    if not of_keras(entry.raw):
        return Call.unknown
    if ".ops." in str(entry.raw.get("module")):
        return operation
    return READERS.get(entry.kind, Call.unknown)


def _agree(call: Call, value: Value, sizes: Sizes | None) -> None:
    """What the file says of a tensor and what comes of the layers should be the same; the first difference is noted."""
    if sizes is not None and value.known and not fits(sizes, value.sizes):
        said_of = f"{call.name} ({call.config.kind}): the file says that its output is {said_sizes(sizes)}"
        call.weave.note_once("shapes", f"{said_of}; it is {said_sizes(value.sizes)} by the layers before it")


def _resolved(arguments: Any, made: Mapping[Ref, Value]) -> Any:
    if isinstance(arguments, Ref):
        return made[arguments]
    if isinstance(arguments, Mapping):
        return {key: _resolved(item, made) for key, item in arguments.items()}
    return [_resolved(item, made) for item in arguments] if isinstance(arguments, list) else arguments


@reads(*NETWORKS)
def _inside(call: Call) -> list[Value]:
    """A network that is a layer of another: its layers, one level of names further down."""
    if call.depth >= DEPTH:
        raise call.config.error(f"networks must stand at most {DEPTH} deep in each other", "deeper")
    net = _told(net_of(call.config.kind, call.config), call.expected, call.lead)
    level = Level(call.weave, f"{call.name}/", call.key, call.lead, call.trainable, call.depth + 1)
    return _run(net, call.values, level, call.config)


def _told(net: Net, expected: Mapping[int, Sizes], lead: int) -> Net:
    """The network with what is said outside of its outputs."""
    shapes = dict(net.shapes)
    for place, sizes in expected.items():
        if place < len(net.outputs):
            shapes.setdefault(net.outputs[place], sizes[lead:])
    return Net(net.inputs, net.given, net.steps, net.outputs, shapes)
