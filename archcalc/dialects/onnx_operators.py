"""What each ONNX operator is here: one table from its name to the function that reads it."""

from collections.abc import Callable, Sequence

from archcalc.dialects import onnx_elements as elements
from archcalc.dialects import onnx_linear as linear
from archcalc.dialects import onnx_moves as moves
from archcalc.dialects import onnx_norms as norms
from archcalc.dialects import onnx_sequences as sequences
from archcalc.dialects.onnx_fold import shape, size
from archcalc.dialects.onnx_graph import NotUnderstood, Op
from archcalc.dialects.onnx_values import Value, content

Reader = Callable[[Op], Value | Sequence[Value]]
ATTRIBUTES = {"value_int": "i", "value_ints": "ints", "value_float": "f", "value_floats": "floats"}


def constant(op: Op) -> Value:
    """A tensor that stands in the file as an attribute."""
    tensor = op.constant("value")
    if tensor is not None:
        return Value(tensor.shape, None, tensor.numbers, None, tensor.dtype)
    for name, form in ATTRIBUTES.items():
        number = op.attribute(name, form, (1, 2, 6, 7))
        if number is not None:
            numbers = tuple(number) if name.endswith("s") else (number,)
            return content(numbers, (len(numbers),) if name.endswith("s") else (), real="float" in name)
    raise NotUnderstood("its value is of a type that is not read")


def stored(op: Op) -> Value:
    """A weight in another number format, which is that weight; of a computed value it is not understood."""
    value = op.value(0)
    if not value.constant:
        raise NotUnderstood("it computes in whole numbers", value.shape)
    return Value(value.shape, None, None, value.tensor or op.first_output, None)


def like_input(op: Op) -> Value:
    """A constant of the shape of its input, whatever it holds."""
    value = op.value(0)
    if not value.constant:
        raise NotUnderstood("it works on what the inputs hold", value.shape)
    return Value(value.shape, None, None, None, value.dtype)


OPERATORS: dict[str, Reader] = {
    **dict.fromkeys(elements.PLAIN, elements.activation),
    **dict.fromkeys(elements.WITH_ALPHA, elements.activation_with_alpha),
    **dict.fromkeys(elements.JOINS, elements.arithmetic),
    **dict.fromkeys(elements.RELATIONS, elements.comparison),
    **dict.fromkeys(norms.REDUCTIONS, norms.reduction),
    "ArgMax": norms.arg_max,
    "ArgMin": norms.arg_max,
    "Attention": sequences.attention,
    "AveragePool": linear.average_pool,
    "BatchNormalization": norms.batch_norm,
    "Cast": elements.cast,
    "CastLike": elements.cast,
    "Clip": elements.clip,
    "Concat": moves.concat,
    "Constant": constant,
    "Conv": linear.conv,
    "ConvTranspose": linear.conv_transpose,
    "CumSum": norms.cumulative_sum,
    "DepthToSpace": moves.depth_to_space,
    "DequantizeLinear": stored,
    "Dropout": elements.dropout,
    "Einsum": sequences.einsum,
    "Expand": moves.expand,
    "EyeLike": like_input,
    "Flatten": moves.flatten,
    "GRU": sequences.recurrent,
    "Gather": moves.gather,
    "Gelu": elements.gelu,
    "Gemm": linear.gemm,
    "GlobalAveragePool": linear.global_average_pool,
    "GlobalMaxPool": linear.global_max_pool,
    "GroupNormalization": norms.group_norm,
    "Identity": elements.identity,
    "InstanceNormalization": norms.instance_norm,
    "LRN": norms.local_response_norm,
    "LSTM": sequences.recurrent,
    "LayerNormalization": norms.layer_norm,
    "LogSoftmax": norms.softmax,
    "MatMul": linear.matmul,
    "MaxPool": linear.max_pool,
    "Mean": elements.mean,
    "MeanVarianceNormalization": norms.mean_variance_norm,
    "Not": elements.negation,
    "PRelu": elements.prelu,
    "Pad": moves.pad,
    "Pow": elements.power,
    "QuantizeLinear": stored,
    "RMSNormalization": norms.rms_norm,
    "RNN": sequences.recurrent,
    "Reshape": moves.reshape,
    "Resize": moves.resize,
    "Scatter": like_input,
    "ScatterElements": like_input,
    "ScatterND": like_input,
    "Shape": shape,
    "Shrink": elements.shrink,
    "Size": size,
    "Slice": moves.slice_,
    "Softmax": norms.softmax,
    "SpaceToDepth": moves.space_to_depth,
    "Split": moves.split,
    "Squeeze": moves.squeeze,
    "Swish": elements.swish,
    "Tile": moves.tile,
    "Transpose": moves.transpose,
    "Trilu": like_input,
    "Unsqueeze": moves.unsqueeze,
    "Upsample": moves.resize,
    "Where": elements.where,
}
VIEWS = {  # what leaves a weight the weight that it is
    "Cast", "CastLike", "Constant", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Shape",
         "Size", "Squeeze", "Transpose", "Unsqueeze", "Dropout"}  # fmt: skip
