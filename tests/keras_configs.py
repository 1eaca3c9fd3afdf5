"""Keras configs written by hand, as model.to_json() writes them, for tests that need no Keras."""

import json


def tensor(layer, call=0, output=0, shape=None):
    """A tensor as a config names it."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": shape, "dtype": "float32", "keras_history": [layer, call, output]},
    }


def layer(kind, name, *calls, module="keras.layers", registered=None, build=None, **config):
    """A layer and its calls; a call is a list of positional arguments, or a mapping of args and kwargs."""
    nodes = [call if isinstance(call, dict) else {"args": list(call), "kwargs": {}} for call in calls]
    entry = {
        "module": module,
        "class_name": kind,
        "config": {"name": name, "trainable": True, **config},
        "registered_name": registered,
        "name": name,
        "inbound_nodes": nodes,
    }
    return entry | ({"build_config": {"input_shape": build}} if build else {})


def given(name, *sizes, dtype="float32"):
    """An input layer; sizes without the batch, channels last."""
    return layer("InputLayer", name, batch_shape=[None, *sizes], dtype=dtype)


def functional(layers, outputs, name="net", inputs=None):
    """A functional model of these layers."""
    inputs = inputs or [[entry["name"], 0, 0] for entry in layers if entry["class_name"] == "InputLayer"]
    config = {
        "name": name,
        "trainable": True,
        "layers": layers,
        "input_layers": inputs,
        "output_layers": [o if isinstance(o, list) else [o, 0, 0] for o in outputs],
    }
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": config,
        "registered_name": "Functional",
    }


def chain(*layers, shape=(28, 28, 1), name="net"):
    """A sequential model."""
    start = [given("image", *shape)] if shape else []
    return {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": name, "trainable": True, "layers": [*start, *layers]},
        "registered_name": None,
    }


def conv(name="conv", *calls, **fields):
    """A convolution of four filters with three taps."""
    return layer("Conv2D", name, *calls, **{"filters": 4, "kernel_size": [3, 3]} | fields)


def rich():
    """A model with most of what a config can hold."""
    encoder = chain(
        conv("c", activation="relu"), layer("Flatten", "flat"), layer("Dense", "d", units=5), name="encoder"
    )
    return functional(
        [
            given("left", 28, 28, 1), given("right", 28, 28, 1), given("tokens", 16, dtype="int32"),
            encoder | {"name": "encoder", "inbound_nodes": [{"args": [tensor("left")], "kwargs": {}}, {"args": [tensor("right")], "kwargs": {}}]},
            layer("Subtract", "gap", [[tensor("encoder"), tensor("encoder", 1)]]),
            layer("Embedding", "words", [tensor("tokens")], input_dim=50, output_dim=8),
            layer("Bidirectional", "both", [tensor("words")], merge_mode="concat", layer=layer("LSTM", "lstm", units=6, return_sequences=True)),
            layer("MultiHeadAttention", "look", {"args": [tensor("both"), tensor("both")], "kwargs": {"use_causal_mask": True}}, num_heads=2, key_dim=4),
            layer("GlobalAveragePooling1D", "mean", [tensor("look")]),
            layer("Concatenate", "join", [[tensor("gap"), tensor("mean")]], axis=-1),
            layer("Lambda", "odd", [tensor("join", shape=[None, 17])], function={"class_name": "__lambda__", "config": {"code": "c3RvcA=="}}),
            layer("BatchNormalization", "norm", [tensor("odd", shape=[None, 17])], axis=-1, scale=False),
            layer("Dense", "head", [tensor("norm")], units=3, activation="softmax"),
        ],
        ["head", "mean"],
    )  # fmt: skip


def text(config):
    """The config as JSON."""
    return json.dumps(config)
