"""Every Keras layer that is covered against Keras itself: parameters and output shapes, in many configurations."""

import math
import os
import tempfile
from importlib import import_module
from importlib.util import find_spec

import pytest

from archcalc.dialects.keras_layers import FOLDED, FUNCTIONS, IDLE, READERS
from archcalc.dialects.keras_net import NETWORKS
from archcalc.dialects.keras_read import from_keras

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="keras is not installed")


class Later:
    """A package that is loaded when it is first asked for something: not where tests are only collected."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        os.environ.setdefault("KERAS_BACKEND", "torch")
        os.environ.setdefault("KERAS_HOME", os.path.join(tempfile.gettempdir(), "archcalc_keras"))  # not in one's home
        return getattr(import_module(self.name), name)


keras, L, ops = Later("keras"), Later("keras.layers"), Later("keras.ops")
FIRST = {"data_format": "channels_first"}
IMAGE, LINE, CUBE, SERIES, VECTOR = (12, 11, 4), (12, 4), (6, 7, 5, 2), (9, 6), (10,)


def fits(got, wanted):
    """Is a shape of ours, in its own order or with the channels moved behind, the one that Keras says, open axes aside?"""
    orders = (got[1:], (*got[2:], *got[1:2]))
    return any(len(o) == len(wanted) and all(b in (None, a) for a, b in zip(o, wanted, strict=True)) for o in orders)


def agrees(model, status="complete", fixed=0):
    """Our reading of a Keras model: parameters, trainable ones, the shape of each output; `fixed` values we never total."""
    ours = from_keras(model.to_json())
    report = ours.report()
    assert report.status == status, report.notes
    assert [note for note in ours.remarks if "the file says" in note] == []
    assert [note for note in report.notes if "/channels_" in note] == []  # nothing is turned round in vain
    if status == "complete":
        assert report.totals.params + report.totals.buffers + fixed == model.count_params()
        assert report.totals.trainable_params == sum(math.prod(w.shape) for w in model.trainable_weights)
    for name, tensor in zip(ours.outputs, model.outputs, strict=True):
        assert fits(report.outputs[name], tuple(tensor.shape)[1:]), (report.outputs[name], tensor.shape)
    return ours


def one(layer, *shapes, dtype=None, call=None):
    """A model of one layer, and one behind it that does nothing: so the file says the layer's output, which the reader compares."""
    inputs = [keras.Input(shape, dtype=dtype) for shape in shapes]
    read = call(layer, inputs) if call else layer(inputs[0] if len(inputs) == 1 else inputs)
    read = read if isinstance(read, list | tuple) else [read]
    return keras.Model(inputs, [L.Activation("linear")(tensor) for tensor in read])


CASES = {
    "Dense": [({"units": 7}, VECTOR), ({"units": 7, "use_bias": False, "activation": "relu"}, SERIES), ({"units": 3, "activation": "softmax"}, IMAGE)],
    "EinsumDense": [
        ({"equation": "abc,cd->abd", "output_shape": (None, 8), "bias_axes": "d"}, SERIES),
        ({"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"}, SERIES),
        ({"equation": "abcd,cde->abe", "output_shape": (None, 5), "bias_axes": "e"}, (4, 2, 3)),
        ({"equation": "ab,bc->ac", "output_shape": 8}, VECTOR),
        ({"equation": "...x,xy->...y", "output_shape": 8, "bias_axes": "y", "activation": "relu"}, SERIES),
        ({"equation": "abc,bcd->abd", "output_shape": (9, 8), "bias_axes": "bd"}, SERIES),
        ({"equation": "abc,bd->adc", "output_shape": (5, 6), "bias_axes": "d"}, SERIES),
    ],
    "Embedding": [({"input_dim": 50, "output_dim": 8}, (16,)), ({"input_dim": 50, "output_dim": 8, "mask_zero": True}, (3, 16))],
    "ReversibleEmbedding": [({"input_dim": 50, "output_dim": 8}, (16,))],
    "Conv1D": [
        ({"filters": 8, "kernel_size": 3}, LINE), ({"filters": 8, "kernel_size": 5, "strides": 2, "padding": "same", "activation": "relu"}, LINE),
        ({"filters": 8, "kernel_size": 3, "dilation_rate": 2, "padding": "causal"}, LINE), (dict(filters=8, kernel_size=3, **FIRST), (4, 12)),
    ],
    "Conv2D": [
        ({"filters": 8, "kernel_size": 3}, IMAGE), ({"filters": 8, "kernel_size": (3, 5), "strides": (2, 3), "padding": "same"}, IMAGE),
        ({"filters": 8, "kernel_size": 3, "groups": 2, "use_bias": False}, IMAGE), ({"filters": 8, "kernel_size": 3, "dilation_rate": (2, 1), "padding": "same"}, IMAGE),
        ({"filters": 8, "kernel_size": 3, "activation": "gelu"}, IMAGE), (dict(filters=8, kernel_size=3, **FIRST), (4, 12, 11)),
    ],
    "Conv3D": [({"filters": 3, "kernel_size": (1, 3, 2), "strides": (1, 2, 1), "padding": "same"}, CUBE), ({"filters": 3, "kernel_size": 2}, CUBE)],
    "Conv1DTranspose": [({"filters": 8, "kernel_size": k, "strides": s, "padding": p}, LINE) for k in (2, 3, 4) for s in (1, 2, 3) for p in ("valid", "same")],
    "Conv2DTranspose": [
        *[({"filters": 8, "kernel_size": k, "strides": s, "padding": p}, IMAGE) for k in (2, 3) for s in (1, 2, 3) for p in ("valid", "same")],
        *[({"filters": 8, "kernel_size": k, "strides": 2, "padding": p, "output_padding": o}, IMAGE) for k in (3, 4) for o in (0, 1) for p in ("valid", "same")],
        (dict(filters=8, kernel_size=3, strides=2, padding="same", use_bias=False, **FIRST), (4, 12, 11)),
    ],
    "Conv3DTranspose": [({"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"}, CUBE)],
    "DepthwiseConv1D": [({"kernel_size": 3, "depth_multiplier": 2, "padding": "same", "strides": 2}, LINE)],
    "DepthwiseConv2D": [({"kernel_size": 3}, IMAGE), ({"kernel_size": 3, "depth_multiplier": 3, "strides": 2, "padding": "same", "use_bias": False, "activation": "relu6"}, IMAGE)],
    "SeparableConv1D": [({"filters": 8, "kernel_size": 3, "padding": "same", "strides": 2}, LINE)],
    "SeparableConv2D": [({"filters": 8, "kernel_size": 3}, IMAGE), ({"filters": 8, "kernel_size": 3, "depth_multiplier": 2, "padding": "same", "use_bias": False, "activation": "relu"}, IMAGE)],
    **{f"{kind}Pooling{n}D": [
        ({"pool_size": 2}, shape), ({"pool_size": 3, "strides": 2, "padding": "same"}, shape), ({"pool_size": 2, "strides": 3}, shape),
        (dict(pool_size=2, **FIRST), shape),
    ] for kind in ("Max", "Average") for n, shape in ((1, LINE), (2, IMAGE), (3, (6, 7, 5, 4)))},
    **{f"Adaptive{kind}Pooling{n}D": [({"output_size": 3}, shape), ({"output_size": 1}, shape)] for kind in ("Max", "Average") for n, shape in ((1, LINE), (2, IMAGE), (3, CUBE))},
    **{f"Global{kind}Pooling{n}D": [({}, shape), ({"keepdims": True}, shape), (FIRST, shape)] for kind in ("Max", "Average") for n, shape in ((1, LINE), (2, IMAGE), (3, CUBE))},
    "BatchNormalization": [
        ({}, IMAGE), ({}, VECTOR), ({}, SERIES), ({"axis": 1}, IMAGE), ({"scale": False}, IMAGE), ({"center": False}, IMAGE),
        ({"scale": False, "center": False}, IMAGE), ({}, CUBE),
    ],
    "LayerNormalization": [({}, SERIES), ({"axis": 1}, IMAGE), ({"axis": [1, 2, 3]}, IMAGE), ({"axis": [-1, -2], "center": False}, IMAGE), ({"scale": False}, IMAGE), ({"scale": False, "center": False}, IMAGE)],
    "GroupNormalization": [({"groups": 2}, IMAGE), ({"groups": -1}, IMAGE), ({"groups": 1, "scale": False}, IMAGE), ({"groups": 2, "center": False}, SERIES), ({"groups": 3, "axis": 1}, (6, 5, 4))],
    "RMSNormalization": [({}, SERIES), ({"axis": -1}, IMAGE)],
    "UnitNormalization": [({}, SERIES), ({"axis": [1, 2]}, IMAGE)],
    "Activation": [({"activation": name}, shape) for name in sorted(set(FUNCTIONS) | set(FOLDED) | {"linear"}) for shape in (IMAGE,)],
    "ReLU": [({}, IMAGE), ({"max_value": 6}, IMAGE), ({"max_value": 4}, IMAGE), ({"negative_slope": 0.1}, VECTOR), ({"threshold": 1.0}, VECTOR)],
    "LeakyReLU": [({}, IMAGE)],
    "ELU": [({"alpha": 0.5}, IMAGE)],
    "PReLU": [({}, IMAGE), ({"shared_axes": [1, 2]}, IMAGE), ({"shared_axes": [1, 2, 3]}, IMAGE), ({"shared_axes": [1]}, IMAGE), ({}, VECTOR), ({}, SERIES)],
    "Softmax": [({}, IMAGE), ({"axis": 1}, IMAGE), ({"axis": -2}, SERIES)],
    "Dropout": [({"rate": 0.3}, IMAGE)], "AlphaDropout": [({"rate": 0.3}, IMAGE)], "GaussianDropout": [({"rate": 0.3}, IMAGE)],
    "SpatialDropout1D": [({"rate": 0.3}, LINE)], "SpatialDropout2D": [({"rate": 0.3}, IMAGE), (dict(rate=0.3, **FIRST), IMAGE)], "SpatialDropout3D": [({"rate": 0.3}, CUBE)],
    "Flatten": [({}, IMAGE), ({}, VECTOR), ({}, SERIES), (FIRST, (4, 12, 11))],
    "Reshape": [({"target_shape": (3, 4, 44)}, IMAGE), ({"target_shape": (-1, 4)}, IMAGE), ({"target_shape": (1, 1, 10)}, VECTOR), ({"target_shape": (2, 5)}, VECTOR), ({"target_shape": (54,)}, SERIES)],
    "Permute": [({"dims": (2, 1)}, SERIES), ({"dims": (3, 1, 2)}, IMAGE), ({"dims": (2, 1, 3)}, IMAGE)],
    "RepeatVector": [({"n": 5}, VECTOR)],
    "ZeroPadding1D": [({"padding": 2}, LINE), ({"padding": (1, 3)}, LINE)],
    "ZeroPadding2D": [({"padding": 2}, IMAGE), ({"padding": (1, 3)}, IMAGE), ({"padding": ((1, 0), (2, 3))}, IMAGE), (dict(padding=2, **FIRST), (4, 12, 11))],
    "ZeroPadding3D": [({"padding": (1, 2, 3)}, CUBE)],
    "Cropping1D": [({"cropping": (1, 3)}, LINE)],
    "Cropping2D": [({"cropping": ((1, 0), (2, 3))}, IMAGE)],
    "Cropping3D": [({"cropping": 1}, CUBE)],
    "UpSampling1D": [({"size": 3}, LINE)],
    "UpSampling2D": [({"size": 2}, IMAGE), ({"size": (2, 3), "interpolation": "bilinear"}, IMAGE), ({"interpolation": "bicubic"}, IMAGE), (FIRST, (4, 12, 11))],
    "UpSampling3D": [({"size": (1, 2, 3)}, CUBE)],
    "Resizing": [({"height": 5, "width": 20}, IMAGE), ({"height": 5, "width": 20, "interpolation": "nearest"}, IMAGE)],
    "CenterCrop": [({"height": 5, "width": 6}, IMAGE)],
    "Rescaling": [({"scale": 1 / 255}, IMAGE), ({"scale": 2.0, "offset": -1.0}, VECTOR)],
    "LayerScale": [], "StochasticDepth": [], "CustomScaleLayer": [], "Masking": [], "RandomCrop": [], "Attention": [], "MultiHeadAttention": [], "GroupedQueryAttention": [], "GroupQueryAttention": [], "Bidirectional": [], "TimeDistributed": [], "Dot": [], "Concatenate": [], "Normalization": [],
    **{name: [] for name in ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average")},
    "LSTM": [({"units": 5}, SERIES), ({"units": 5, "return_sequences": True}, SERIES), ({"units": 5, "use_bias": False}, SERIES)],
    "GRU": [({"units": 5}, SERIES), ({"units": 5, "return_sequences": True, "reset_after": False}, SERIES), ({"units": 5, "use_bias": False}, SERIES)],
    "SimpleRNN": [({"units": 5}, SERIES), ({"units": 5, "activation": "relu", "return_sequences": True}, SERIES), ({"units": 5, "use_bias": False}, SERIES)],
}  # fmt: skip
ROWS = [(name, fields, shape) for name, cases in CASES.items() for fields, shape in cases]


@pytest.mark.parametrize(("name", "fields", "shape"), ROWS, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(ROWS)])
def test_a_layer_has_keras_parameters_and_shapes(name, fields, shape):
    agrees(one(getattr(L, name)(**fields), shape, dtype="int32" if name.endswith("Embedding") else None))


def test_the_file_and_the_layers_are_compared():
    """Keras 3.15 states the axes that dots stand for in the wrong order."""
    model = one(L.EinsumDense("...x,xy->...y", output_shape=8), IMAGE)
    remark = (
        "einsum_dense (EinsumDense): the file says that its output is 11×12×8; it is 12×11×8 by the layers before it"
    )
    assert [note.replace("einsum_dense_1", "einsum_dense") for note in from_keras(model.to_json()).remarks][
        -1
    ].endswith(remark.split(":", 1)[1])


def test_a_norm_that_is_an_rms_norm():
    with pytest.warns(UserWarning, match="rms_scaling"):
        model = one(L.LayerNormalization(rms_scaling=True), IMAGE)
    agrees(model)


def test_values_of_the_data_are_buffers():
    """Keras' `count`, the number of batches seen, is in no total of ours."""
    agrees(one(L.Normalization(axis=-1), IMAGE), fixed=1)
    agrees(one(L.Normalization(axis=-1, mean=[0.1] * 4, variance=[2.0] * 4), IMAGE))


def test_layers_of_the_applications():
    convnext = import_module("keras.src.applications.convnext")
    agrees(one(convnext.LayerScale(1e-6, 4), IMAGE))
    agrees(one(convnext.LayerScale(1e-6, 6), SERIES))
    agrees(one(convnext.StochasticDepth(0.1), IMAGE))
    inception = import_module("keras.src.applications.inception_resnet_v2")
    agrees(one(inception.CustomScaleLayer(0.2), IMAGE, IMAGE))


def test_masking_is_not_counted():
    agrees(one(L.Masking(), SERIES), status="partial")
    agrees(one(L.RandomCrop(5, 6), IMAGE), status="partial")


@pytest.mark.parametrize("name", ["MobileNetV2"])
def test_networks_of_keras(name):
    """The others: benchmarks/keras_reach.py."""
    keras.backend.clear_session()
    agrees(getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3)))


def test_every_layer_that_is_read_is_compared():
    """Layers that read several tensors, or are only wrappers, have tests of their own below; idle ones are known by name."""
    assert set(READERS) - set(IDLE) - set(NETWORKS) == set(CASES)
    assert all(
        hasattr(L, name)
        for name in set(CASES) - {"GroupedQueryAttention", "LayerScale", "StochasticDepth", "CustomScaleLayer"}
        | set(IDLE)
    )


SEVERAL = {
    **{f"{name}-{n}": lambda name=name, shapes=shapes: one(getattr(L, name)(), *shapes)
       for name in ("Add", "Multiply", "Maximum", "Minimum", "Average") for n, shapes in enumerate(([IMAGE] * 3, [(10,)] * 2, [(9, 6)] * 2, [IMAGE, (1, 1, 4)], [IMAGE, (4,)]))},
    "Subtract": lambda: one(L.Subtract(), IMAGE, IMAGE),
    **{f"Concatenate{axis}": lambda axis=axis: one(L.Concatenate(axis=axis), IMAGE, IMAGE) for axis in (1, 2, 3, -1)},
    "Concatenate of vectors": lambda: one(L.Concatenate(), VECTOR, (3,)),
    **{f"Dot{n}": lambda fields=fields, shapes=shapes: one(L.Dot(**fields), *shapes) for n, (fields, shapes) in enumerate((
        ({"axes": 1}, [VECTOR, VECTOR]), ({"axes": -1, "normalize": True}, [VECTOR, VECTOR]), ({"axes": 2}, [(9, 6), (5, 6)]),
        ({"axes": (2, 1)}, [(9, 6), (6, 4)]), ({"axes": 1}, [(9, 6), (9, 4)]), ({"axes": (3, 1)}, [(3, 2, 6), (6, 4)])))},
    "Attention": lambda: one(L.Attention(), (9, 6), (5, 6)),
    **{f"MultiHeadAttention{n}": lambda fields=fields: one(L.MultiHeadAttention(num_heads=2, key_dim=5, **fields), (9, 6), (7, 6), call=lambda layer, x: layer(x[0], x[1])) for n, fields in enumerate((
        {}, {"value_dim": 3}, {"use_bias": False}, {"output_shape": 11}, {"dropout": 0.1}))},
    "MultiHeadAttention to itself": lambda: one(L.MultiHeadAttention(2, 5), (9, 6), call=lambda layer, x: layer(x[0], x[0], use_causal_mask=True)),
    "MultiHeadAttention of three": lambda: one(L.MultiHeadAttention(2, 5), (9, 6), (7, 4), (7, 3), call=lambda layer, x: layer(query=x[0], value=x[1], key=x[2])),
    "MultiHeadAttention masked": lambda: one(L.MultiHeadAttention(2, 5), (9, 6), (9, 9), call=lambda layer, x: layer(x[0], x[0], attention_mask=x[1])),
    "GroupQueryAttention": lambda: one(L.GroupQueryAttention(head_dim=4, num_query_heads=6, num_key_value_heads=2), (9, 12), call=lambda layer, x: layer(x[0], x[0])),
    **{f"Bidirectional-{cell}-{merge}-{sequences}": lambda cell=cell, merge=merge, sequences=sequences: one(L.Bidirectional(getattr(L, cell)(5, return_sequences=sequences), merge_mode=merge), SERIES)
       for cell in ("LSTM", "GRU", "SimpleRNN") for merge in ("concat", "sum", "mul", "ave", None) for sequences in (True, False)},
    "LSTM with states": lambda: one(L.LSTM(5, return_state=True), SERIES),
    "LSTM with states and sequences": lambda: one(L.LSTM(5, return_state=True, return_sequences=True), SERIES),
    "GRU with states": lambda: one(L.GRU(5, return_state=True, return_sequences=True), SERIES),
    **{f"TimeDistributed-{n}": lambda layer=layer, shape=shape: one(L.TimeDistributed(layer()), shape) for n, (layer, shape) in enumerate((
        (lambda: L.Dense(7, activation="relu"), SERIES), (lambda: L.Conv2D(7, 3, strides=2, padding="same"), (3, *IMAGE)), (lambda: L.MaxPooling2D(2), (3, *IMAGE)),
        (L.GlobalAveragePooling2D, (3, *IMAGE)), (lambda: L.GlobalMaxPooling2D(keepdims=True), (3, *IMAGE)), (L.Flatten, (3, *IMAGE)), (L.BatchNormalization, (3, *IMAGE)),
        (lambda: L.LayerNormalization(axis=1), (3, *IMAGE)), (lambda: L.Reshape((4, -1)), (3, *IMAGE)), (lambda: L.Permute((3, 1, 2)), (3, *IMAGE)), (lambda: L.Conv1D(5, 2), (3, *LINE)),
        (lambda: L.DepthwiseConv2D(3), (3, *IMAGE)), (lambda: L.SeparableConv2D(5, 3), (3, *IMAGE)), (lambda: L.Conv2DTranspose(5, 3, strides=2, output_padding=1, padding="same"), (3, *IMAGE)),
        (lambda: L.ZeroPadding2D(1), (3, *IMAGE)), (lambda: L.UpSampling2D(2), (3, *IMAGE)), (L.Softmax, (3, *IMAGE)), (lambda: L.Embedding(9, 5), (3, 4)),
        (lambda: keras.Sequential([L.Input(IMAGE), L.Conv2D(5, 3), L.Flatten(), L.Dense(3)]), (3, *IMAGE))))},
    "PReLU shared": lambda: one(L.PReLU(shared_axes=[1]), SERIES),
}  # fmt: skip


@pytest.mark.parametrize("name", SEVERAL)
def test_layers_of_several_tensors_and_wrappers(name):
    agrees(SEVERAL[name]())


OPS = {
    "add": lambda x, y: x + y, "subtract": lambda x, y: x - y, "multiply": lambda x, y: x * y, "divide": lambda x, y: x / y,
    "maximum": ops.maximum, "minimum": ops.minimum, "constants": lambda x, y: (2 * x + 1) / 3 - (1 - y) ** 2, "quotient": lambda x, _: 1 / x,
    "mean": lambda x, _: ops.mean(x, axis=(1, 2)), "mean of channels": lambda x, _: ops.mean(x, axis=-1), "sum kept": lambda x, _: ops.sum(x, axis=-1, keepdims=True), "max": lambda x, _: ops.max(x, axis=1),
    "abs": lambda x, _: ops.abs(x), "exp": lambda x, _: ops.exp(x), "log": lambda x, _: ops.log(x), "sqrt": lambda x, _: ops.sqrt(x), "square": lambda x, _: ops.square(x),
    "relu": lambda x, _: ops.relu(x), "gelu": lambda x, _: ops.gelu(x), "silu": lambda x, _: ops.silu(x), "sigmoid": lambda x, _: ops.sigmoid(x), "tanh": lambda x, _: ops.tanh(x), "softmax": lambda x, _: ops.softmax(x, axis=-1),
    "matmul": lambda x, y: ops.matmul(x, ops.transpose(y, (0, 1, 3, 2))), "reshape": lambda x, _: ops.reshape(x, (-1, 12, 44)), "transpose": lambda x, _: ops.transpose(x, (0, 3, 1, 2)),
    "concatenate": lambda x, y: ops.concatenate([x, y], axis=2), "expand": lambda x, _: ops.expand_dims(x, 1), "squeeze": lambda x, _: ops.squeeze(ops.expand_dims(x, 1), 1),
    "slice": lambda x, _: x[:, 1:-1, ::2], "pick": lambda x, _: x[:, 0], "ellipsis": lambda x, _: x[..., 1:3], "new axis": lambda x, _: x[:, None],
}  # fmt: skip


@pytest.mark.parametrize("name", OPS)
def test_operations(name):
    x, y = keras.Input(IMAGE), keras.Input(IMAGE)
    agrees(keras.Model([x, y], L.Activation("linear")(OPS[name](x, y))))
