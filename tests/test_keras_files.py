"""Keras files that are wrong or hostile: each message pinned whole, bounded memory, nothing written, and random damage."""

import copy
import os
import struct
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc import ArchcalcError, from_keras
from archcalc.dialects import keras_archive
from archcalc.dialects.keras_layers import READERS
from archcalc.dialects.keras_read import read_file
from archcalc.questions.model import Model
from tests.keras_configs import chain, conv, functional, layer, rich, tensor, text
from tests.keras_configs import given as image

AGAIN = "open it with Keras 3 and save it anew: keras.models.load_model(…).save('model.keras')"


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """What reading a file says, for a file of these bytes or an archive of these members; nothing else is in the folder after."""
    monkeypatch.chdir(tmp_path)

    def ask(content, name="m.keras", **options):
        if isinstance(content, dict):
            with zipfile.ZipFile(name, "w", **options) as archive:
                for member, data in content.items():
                    archive.writestr(member, data)
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ArchcalcError) as caught:
            read_file(name)
        assert os.listdir(tmp_path) == [name]
        return str(caught.value)

    return ask


def test_an_archive_is_read(tmp_path):
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", text(rich()))
        archive.writestr("model.weights.h5", b"\x89HDF" + bytes(10**6))
    assert (
        read_file(str(path)).report().totals == from_keras(path).report().totals == from_keras(rich()).report().totals
    )


def test_archives_that_are_wrong(refused):
    good = text(chain(conv()))
    assert refused({"other.json": good}) == (
        "Keras: an archive must hold config.json once; got 0 of them\n  at m.keras: was it saved with model.save()?"
    )
    escape = "Keras: names in an archive must stay inside it; got {}\n  at m.keras"
    for name in ("../evil", "/etc/passwd", "a/../../b", "C:/evil", "..\\evil"):
        assert refused({"config.json": good, name: "x"}) == escape.format(repr(name))
    with pytest.warns(UserWarning, match=r"Duplicate name"):
        os.remove("m.keras")
        with zipfile.ZipFile("m.keras", "w") as archive:
            archive.writestr("config.json", good)
            archive.writestr("config.json", good)
    with pytest.raises(ArchcalcError, match=r"an archive must hold config\.json once; got 2 of them"):
        read_file("m.keras")
    assert refused({"config.json": good}, compression=zipfile.ZIP_LZMA) == (
        "Keras: a config must be stored or deflated; got method 14\n  at m.keras"
    )


def archive(data, compression=zipfile.ZIP_DEFLATED):
    """An archive with a config as bytes."""
    import io

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        made.writestr("config.json", data)
    return out.getvalue()


LONG = "Keras: a config must have at most 16 MiB; got more\n  at m.keras"


def test_a_bomb_that_says_its_size(refused):
    tracemalloc.start()
    bomb = archive(bytes(64 * 2**20))
    assert len(bomb) < 2**17
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert refused(bomb) == LONG
    assert tracemalloc.get_traced_memory()[1] - before < 40 * 2**20
    tracemalloc.stop()


def test_a_bomb_that_lies_about_its_size(refused):
    bomb = bytearray(archive(b" " * (20 * 2**20)))
    size = struct.pack("<I", 20 * 2**20)
    said = refused(bytes(bomb.replace(size, struct.pack("<I", 1000))))
    assert said == "Keras: must be a whole archive; got Bad CRC-32 for file 'config.json'\n  at m.keras"


def test_a_list_of_contents_that_is_huge(refused, monkeypatch):
    monkeypatch.setattr(keras_archive, "BYTES", 10_000)
    members = {"config.json": text(chain(conv()))} | {f"member{n}": b"" for n in range(300)}
    assert refused(members) == LONG.replace("16 MiB", "0 MiB")


def test_archives_that_are_damaged(refused):
    whole = archive(text(chain(conv())).encode())
    assert (
        refused(whole[: len(whole) // 2]) == "Keras: must be a whole archive; got File is not a zip file\n  at m.keras"
    )
    spoiled = bytearray(whole)
    spoiled[60] ^= 0xFF
    assert refused(bytes(spoiled)).startswith("Keras: must be a whole archive; got ")
    locked = bytearray(whole)
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    assert refused(bytes(locked)) == "Keras: a config must not be encrypted; got config.json\n  at m.keras"


@given(chance=st.randoms(use_true_random=False))
def test_any_bytes_of_an_archive_may_be_changed(tmp_path_factory, chance):
    whole, path = archive(text(chain(conv())).encode()), tmp_path_factory.getbasetemp() / "spoiled.keras"
    spoiled = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
    path.write_bytes(spoiled[: chance.randint(1, len(spoiled))] if chance.random() < 0.3 else spoiled)
    reads(path)


def reads(config):
    """A model or one of our errors, nothing else; a model is reported, within the same bounds."""
    try:
        model = from_keras(config)
        assert isinstance(model, Model)
        str(model.report())
    except ArchcalcError as error:
        assert "\x1b" not in str(error)
        assert len(str(error)) < 5000


FILES = {
    b"\x89HDF\r\n\x1a\n": f"Keras: an HDF5 file cannot be read; got m.keras\n  {AGAIN}",
    b"": "JSON: must be well-formed; got Expecting value\n  at m.keras:1:1",
    b'{"a":\n 1 2}': "JSON: must be well-formed; got Expecting ',' delimiter\n  at m.keras:2:4",
    b"\xff\xfe\xff": "JSON: must be UTF-8 text; got other bytes\n  at m.keras",
    b"[" * 100_000: "JSON: must nest at most 400 levels; got more\n  at m.keras",
    b"[" * 500 + b"]" * 500: "JSON: must nest at most 400 levels; got more\n  at m.keras",
    b" " * (16 * 2**20 + 1): LONG,
    b"[1]": "Keras: a config must be a mapping; got [1]\n  at m.keras",
    b'{"class_name": "Mine", "config": {}}': "Keras: a model must be functional or sequential: a class of its own is code, which is not run; got Mine\n  at m.keras",
    b'{"class_name": "Functional", "config": {}, "module": "my", "registered_name": "my>Functional"}': "Keras: a model must be functional or sequential: a class of its own is code, which is not run; got Functional\n  at m.keras",
    b'{"class_name": "Sequential", "config": 3}': "Sequential: config must be a mapping; got 3\n  at model in m.keras",
    b'{"class_name": "Sequential", "config": []}': f"Keras: a config must be one of Keras 3; got one of Keras 1\n  at m.keras: {AGAIN}",
    b'{"class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.15.0"}': f"Keras: a config must be one of Keras 3; got one of Keras 2.15.0\n  at m.keras: {AGAIN}",
    b'{"class_name": "Sequential", "config": {}}': "Sequential: needs the field layers\n  at model in m.keras",
    b'{"class_name": "Sequential", "config": {"layers": []}}': "Sequential: the model was saved before it knew the shape of its input\n  at model in m.keras: build it first: model.build((None, 28, 28, 1)); or from_keras(config, input_shape=(28, 28, 1))",
    b'{"class_name": "Sequential", "config": {"layers": [7]}}': "Keras: a layer must have a class_name; got 7\n  at layers[0] in m.keras",
    b'{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense"}]}}': "Dense: config must be a mapping; got null\n  at layers[0] in m.keras",
}  # fmt: skip


@pytest.mark.parametrize("content", FILES, ids=range(len(FILES)))
def test_files_that_are_wrong(refused, content):
    assert refused(content) == FILES[content]


def test_files_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_text("{}")
    for path, message in {
        "modle.keras": "model: no such file; got modle.keras\n  did you mean model.keras?",
        ".": "model: must be a file; got the directory .",
        "a\0b": "model: must be readable; got a\0b: embedded null byte",
    }.items():
        with pytest.raises(ArchcalcError) as caught:
            from_keras(path)
        assert str(caught.value) == message


def test_numbers_without_end_and_what_is_no_config():
    with pytest.raises(ArchcalcError, match=r"^JSON: must be readable; got Exceeds the limit"):
        from_keras('{"a": ' + "9" * 5000 + "}")
    with pytest.raises(ArchcalcError) as caught:
        from_keras(7)
    assert str(caught.value) == "Keras: must be a config, a text or a path; got int\n  from_keras(model.to_json())"
    cycle = {}
    cycle["layers"] = [cycle]
    with pytest.raises(ArchcalcError, match=r"^JSON: must nest at most 400 levels"):
        from_keras(cycle)
    wide = []
    for _ in range(40):
        wide = [wide, wide]
    with pytest.raises(ArchcalcError, match=r"^JSON: must hold at most 1,000,000 values"):
        from_keras({"layers": wide})


def seq(*layers):
    """What a sequential config of these layers says on an image of 28×28×1."""
    with pytest.raises(ArchcalcError) as caught:
        from_keras(chain(*layers))
    return str(caught.value)


PLACE = "\n  at layer x in the config"
LAYERS = [
    (conv("x", filters=None), f"Conv2D: filters must be a whole number from 1 to 10**18; got null{PLACE}"),
    (conv("x", filters="many"), f"Conv2D: filters must be a whole number from 1 to 10**18; got many{PLACE}"),
    (conv("x", filters=True), f"Conv2D: filters must be a whole number from 1 to 10**18; got true{PLACE}"),
    (conv("x", filters=10**19), f"Conv2D: filters must be a whole number from 1 to 10**18; got 10000000000000000000{PLACE}"),
    (layer("Conv2D", "x", kernel_size=3), f"Conv2D: needs the field filters{PLACE}"),
    (layer("Conv2D", "x", filter=3, kernel_size=3), f"Conv2D: needs the field filters{PLACE}: did you mean filter?"),
    (conv("x", kernel_size=[3, 3, 3]), f"Conv2D: kernel_size must be one number or 2; got [3, 3, 3]{PLACE}"),
    (conv("x", kernel_size=[3, -3]), f"Conv2D: kernel_size must be a whole number from 1 to 10**18; got -3{PLACE}"),
    (conv("x", padding="sme"), f"Conv2D: padding must be one of valid, same, causal; got sme{PLACE}: did you mean same?"),
    (conv("x", padding=3), f"Conv2D: padding must be one of valid, same, causal; got 3{PLACE}"),
    (conv("x", data_format="sideways"), f"Conv2D: data_format must be one of channels_last, channels_first; got sideways{PLACE}"),
    (conv("x", use_bias="no"), f"Conv2D: use_bias must be true or false; got no{PLACE}"),
    (conv("x", activation=3), f"Conv2D: activation must be a name or a layer; got 3{PLACE}"),
    (conv("x", groups=3), 'Conv: groups must divide the filters; got groups=3, filters=4'),
    (conv("x", kernel_size=[40, 40]), 'Conv: a window spanning 40 must fit its axis; got an axis of 28 padded by (0, 0)\n  at "x" in the config, input 1×1×28×28'),
    (conv("x", kernel_size=10**9), "Conv: kernel must be at most 1,000,000; got 1000000000"),
    (layer("Conv1D", "x", filters=2, kernel_size=1), f"Conv1D: needs 1 axes beside batch and channels; got 2{PLACE}"),
    (layer("Dense", "x"), f"Dense: needs the field units{PLACE}"),
    (layer("Embedding", "x", input_dim=0, output_dim=3), f"Embedding: input_dim must be a whole number from 1 to 10**18; got 0{PLACE}"),
    (layer("BatchNormalization", "x", axis=7), f"BatchNormalization: an axis must lie between 1 and 3, or count from the end; got 7{PLACE}"),
    (layer("LayerNormalization", "x", axis=[1, "b"]), f"LayerNormalization: axis must be whole numbers, at most 16; got [1, b]{PLACE}"),
    (layer("Softmax", "x", axis=0), f"Softmax: an axis must lie between 1 and 3, or count from the end; got 0{PLACE}"),
    (layer("Dropout", "x", rate="half"), f"Dropout: rate must be a number; got half{PLACE}"),
    (layer("Dropout", "x", rate=3), "Dropout: rate must lie between 0 and 1; got 3.0"),
    (layer("Reshape", "x", target_shape=[5]), 'Reshape: the new shape must hold the same values; got 28×28×1 to [5]\n  at "x" in the config, input 1×28×28×1'),
    (layer("Permute", "x", dims=[1, 1, 2]), f"Permute: dims must name each of 3 axes once, from 1; got [1, 1, 2]{PLACE}"),
    (layer("ZeroPadding2D", "x", padding=[[1, 2, 3], 1]), f"ZeroPadding2D: padding must be one number or 2; got [1, 2, 3]{PLACE}"),
    (layer("ZeroPadding2D", "x", padding=[1, 2, 3]), f"ZeroPadding2D: padding must be one number, or one or a pair for each of 2 axes; got 3{PLACE}"),
    (layer("RepeatVector", "x", n=3), f"RepeatVector: the input must be (batch, features); got 3 axes{PLACE}"),
    (layer("Add", "x"), f"Add: reads two tensors or more; got 1{PLACE}"),
    (layer("Dot", "x", axes=1), f"Dot: reads two tensors, along one axis of each; got 1 tensors{PLACE}"),
    (layer("EinsumDense", "x", equation="ab->b", output_shape=3), f"EinsumDense: equation must be such as ab,bc->ac; got ab->b{PLACE}"),
    (layer("EinsumDense", "x", equation="ab,bc->ac", output_shape=3), f"EinsumDense: the equation must name the 4 axes of the input; got ab,bc->ac{PLACE}"),
    (layer("EinsumDense", "x", equation="...b,bc->c...", output_shape=3), f"EinsumDense: dots must stand at the same end of the input and the output; got ...b,bc->c...{PLACE}"),
    (layer("EinsumDense", "x", equation="...b,bcd->...cd", output_shape=3), f"EinsumDense: output_shape must give the size of each new axis; got c{PLACE}"),
    (layer("MultiHeadAttention", "x", num_heads=2, key_dim=3), f"MultiHeadAttention: reads a query and a value; got 1 tensors{PLACE}"),
    (layer("TimeDistributed", "x", layer=3), f"TimeDistributed: layer must be a layer; got int{PLACE}"),
    (layer("TimeDistributed", "x"), f"TimeDistributed: layer must be a layer; got dict{PLACE}"),
    (layer("Bidirectional", "x", layer=layer("LSTM", "l")), f"LSTM: needs the field units{PLACE}"),
    (layer("InputLayer", "x", batch_shape=[None, 3]), f"InputLayer: an input must be the first layer of a sequential model{PLACE}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"), LAYERS, ids=[f"{entry['class_name']}-{n}" for n, (entry, _) in enumerate(LAYERS)]
)
def test_layers_that_are_wrong(wrong, message):
    assert seq(wrong) == message


def network(*layers, outputs=("d",), **options):
    """What a functional config says."""
    with pytest.raises(ArchcalcError) as caught:
        from_keras(functional(list(layers), list(outputs), **options))
    return str(caught.value)


def test_networks_that_are_wrong():
    x, d = image("x", 7), layer("Dense", "d", [tensor("x")], units=3)
    lost = "Functional: every tensor must come from an input or an earlier layer; got {}\n  at model in the config"
    assert network(x, layer("Dense", "d", [tensor("y")], units=3)) == lost.format("d, call 0, output 0")
    assert network(x, layer("Dense", "d", [tensor("d")], units=3)) == lost.format("d, call 0, output 0")
    assert network(x, d, outputs=["e"]) == lost.format("e, call 0, output 0")
    assert network(x, d, outputs=[["d", 1, 0]]) == lost.format("d, call 1, output 0")
    assert network(x, d, outputs=[]) == "Functional: a network needs an output; got none\n  at model in the config"
    place = "\n  at layer d in the config"
    assert network(x, d | {"inbound_nodes": [[["x", 0, 0, {}]]]}) == (
        f"Keras: a config must be one of Keras 3; got one of Keras 2: its layers list what they read without arguments{place}: {AGAIN}"
    )
    assert network(x, d | {"inbound_nodes": None}) == f"Dense: inbound_nodes must be a list; got null{place}"
    assert network(x, d | {"inbound_nodes": [7]}) == f"Dense: a call must be a mapping; got 7{place}"
    history = tensor("x")
    history["config"]["keras_history"] = ["x", 0]
    assert network(x, layer("Dense", "d", [history], units=3)) == (
        f"Dense: a tensor must be a layer's name, the number of a call and of an output; got [x, 0]{place}"
    )
    old = layer("InputLayer", "x", batch_input_shape=[None, 7])
    assert (
        network(old, d)
        == f"Keras: a config must be one of Keras 3; got one of Keras 2: batch_input_shape\n  at layer x in the config: {AGAIN}"
    )
    assert (
        network(image("x"), d)
        == "inputs: an input must have 1 to 15 sizes of at least 1; got []\n  at layer x in the config"
    )
    assert (
        network(image("x", 0), d)
        == "InputLayer: batch_shape must be a shape with the batch first; got [null, 0]\n  at layer x in the config"
    )
    assert network(image("x", 8, 8, None), conv("d", [tensor("x")])) == (
        "Keras: the channels of an input must be known; got 8×8×?\n  at layer x in the config: give input_shape=…"
    )
    inner = chain(layer("Dense", "e", units=3), shape=(7,)) | {
        "name": "d",
        "inbound_nodes": [{"args": [[tensor("x"), tensor("x")]], "kwargs": {}}],
    }
    assert network(x, inner) == "Sequential: a network of 1 inputs; got 2 tensors\n  at layer d in the config"
    odd = layer("Odd", "o", [tensor("x")], module="m")
    assert network(image("x", None), odd, layer("Dense", "d", [tensor("o", shape=[None, None, 4])], units=3)) == (
        "Odd: what it does is not known, and its output has open axes in the file; got ?×4\n  at layer o in the config: "
        "build the model with a fixed input shape, and save it again"
    )


def test_networks_inside_each_other():
    config = chain(layer("Dense", "d", units=3), shape=(7,))
    for depth in range(30):
        config = chain(config | {"name": f"net{depth}"}, shape=(7,), name=f"net{depth}")
    with pytest.raises(
        ArchcalcError, match=r"^Sequential: networks must stand at most 20 deep in each other; got deeper\n"
    ):
        from_keras(config)


def test_calls_that_double_at_each_level_are_bounded(monkeypatch):
    monkeypatch.setattr("archcalc.dialects.keras_weave.NODES", 1000)
    inside = functional([image("x", 7), layer("Dense", "d", [tensor("x")], units=7)], ["d"], name="net0")
    for depth in range(1, 18):
        twice = inside | {
            "name": f"n{depth}",
            "inbound_nodes": [{"args": [tensor("x")], "kwargs": {}}, {"args": [tensor(f"n{depth}")], "kwargs": {}}],
        }
        inside = functional([image("x", 7), twice], [[f"n{depth}", 1, 0]], name=f"net{depth}")
    with pytest.raises(ArchcalcError) as caught:
        from_keras(inside)
    assert str(caught.value) == "Keras: a model must have at most 1,000 layers, all calls written out; got more"


VALUES = (
    None, True, False, 0, 1, -1, 2, 7, 10**18, 10**30, 10**400, 1.5, -0.0, float("inf"), float("nan"), "", "same", "channels_first", "x" * 1000, "\x1b[31m", "../..", "relu",
    [], {}, [None], [0], [1, 2], [[1, 2], [3, 4]], [3] * 40, {"class_name": "Dense"}, {"class_name": "__lambda__", "config": {"code": "c3RvcA=="}}, ["x", 0, 0], tensor("x"), layer("Dense", "d", units=2),
)  # fmt: skip


def places(value, found=None, path=()):
    """Every place of a tree."""
    found = [] if found is None else found
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found.append((*path, key))
        places(item, found, (*path, key))
    return found


def damaged(config, chance):
    """The config with something replaced, taken away, doubled or exchanged."""
    config = copy.deepcopy(config)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        spots = places(config)
        if not spots:
            return config
        *way, last = chance.choice(spots)
        holder = config
        for key in way:
            holder = holder[key]
        match chance.randrange(5):
            case 0 | 1:
                holder[last] = copy.deepcopy(chance.choice(VALUES))
            case 2 if isinstance(holder, dict):
                del holder[last]
            case 3 if isinstance(holder, list):
                holder.insert(chance.randrange(len(holder) + 1), copy.deepcopy(holder[last]))
            case _:
                *other, end = chance.choice(spots)
                source = config
                try:
                    for key in other:
                        source = source[key]
                    holder[last] = copy.deepcopy(source[end])
                except (KeyError, IndexError, TypeError):
                    pass
    return config


def every():
    """A small config for each class that is read, with fields of all sorts."""
    fields = {
        "units": 3, "filters": 4, "kernel_size": 3, "pool_size": 2, "output_size": 2, "rate": 0.5, "input_dim": 9, "output_dim": 4, "axes": 1, "axis": -1, "n": 2,
        "target_shape": [-1], "dims": [2, 1], "padding": "same", "cropping": 1, "size": 2, "height": 3, "width": 3, "num_heads": 2, "key_dim": 3, "head_dim": 4, "groups": 1,
        "num_query_heads": 4, "num_key_value_heads": 2, "equation": "...x,xy->...y", "output_shape": 5, "activation": "relu", "scale": True, "strides": 1, "layer": layer("Dense", "inner", units=3),
    }  # fmt: skip
    for kind in READERS:
        for sizes in ((6,), (8, 6), (8, 8, 4), (4, 8, 8, 4)):
            own = (
                fields
                | ({"padding": 1} if kind.startswith("Zero") else {})
                | ({"layers": []} if kind == "Sequential" else {})
            )
            reads = (
                [tensor("x"), tensor("x")]
                if "Attention" in kind
                else [[tensor("x"), tensor("x")]]
                if kind in ("Add", "Dot", "Concatenate", "Average", "Maximum")
                else [tensor("x")]
            )
            yield functional(
                [
                    image("x", *sizes),
                    layer(kind, "l", reads, **own),
                    layer("Dense", "d", [tensor("l", shape=[None, 5])], units=2),
                ],
                ["d"],
            )


SOUND = [rich(), chain(conv(), layer("Flatten", "f"), layer("Dense", "d", units=2)), *every()]


def test_each_class_alone_gives_a_model_or_an_error():
    for config in SOUND:
        reads(config)


@given(config=st.sampled_from(SOUND), chance=st.randoms(use_true_random=False))
@settings(max_examples=600)
def test_random_damage_gives_a_model_or_an_error(config, chance):
    reads(damaged(config, chance))


def test_another_error_would_be_seen(monkeypatch):
    monkeypatch.setitem(READERS, "Dense", lambda call: call.nothing)
    with pytest.raises(AttributeError):
        reads(chain(layer("Dense", "d", units=2), shape=(7,)))


@given(cuts=st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(0, 30)))
def test_damaged_text_gives_a_model_or_an_error(cuts):
    whole = text(rich())
    start, end, lost = int(cuts[0] * len(whole)), int(cuts[1] * len(whole)), cuts[2]
    reads("{" + whole[1:start] + whole[start + lost : max(start + lost, end)])
