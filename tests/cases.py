"""The only list of examples: a line of a spec, input shapes, and literal numbers with where they are from.

Literals were worked out by hand from the source named; `ops` is (mul, add, cmp, div, exp).
"""

from typing import NamedTuple

CONVENTIONS = "docs/conventions.md, worked out by hand"
DIGITS = "classroom exercise C: 28×28 digits"


class Case(NamedTuple):
    line: str
    inputs: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]
    params: int
    macs: int
    ops: tuple[int, int, int, int, int]
    source: str
    macs_exact: int | None = None  # where it differs from macs
    buffers: int = 0

    @property
    def kind(self) -> str:
        return self.line.partition(":")[0]


def one(line, x, out, params, macs, ops, source=CONVENTIONS, **more):
    return Case(line, (x,), out, params, macs, ops, source, **more)


X = (2, 8, 10, 10)  # 1,600 elements
E = 1600

CASES = [
    # Convolution
    one("conv: {filters: 20, kernel: 5}", (1, 1, 28, 28), (1, 20, 24, 24), 520, 288_000, (288_000, 288_000, 0, 0, 0), DIGITS),
    one("conv: {filters: 20, kernel: 3}", (1, 20, 12, 12), (1, 20, 10, 10), 3_620, 360_000, (360_000, 360_000, 0, 0, 0), DIGITS),
    one("conv: {filters: 10, kernel: 5}", (1, 20, 5, 5), (1, 10, 1, 1), 5_010, 5_000, (5_000, 5_000, 0, 0, 0), DIGITS),
    one("conv: {filters: 16, kernel: 3, padding: 1}", (1, 8, 10, 10), (1, 16, 10, 10), 1_168, 115_200,
        (115_200, 115_200, 0, 0, 0), "measured tools' common layer; V = 3·10 − 2 = 28 taps per axis", macs_exact=8 * 16 * 28 * 28),
    one("conv: {filters: 16, kernel: 3, padding: 1, bias: false}", (1, 8, 10, 10), (1, 16, 10, 10), 1_152, 115_200,
        (115_200, 113_600, 0, 0, 0), macs_exact=100_352),
    one("conv: {filters: 64, kernel: 7, stride: 2, padding: 3, bias: false}", (1, 3, 224, 224), (1, 64, 112, 112), 9_408,
        118_013_952, (118_013_952, 118_013_952 - 802_816, 0, 0, 0), "ResNet, first layer",
        macs_exact=64 * 3 * (7 * 112 - 3 - 1 - 2) ** 2),
    one("conv: {filters: 100, kernel: 3, stride: 2, padding: same}", (1, 3, 200, 300), (1, 100, 100, 150), 2_800, 40_500_000,
        (40_500_000, 40_500_000, 0, 0, 0), "exercise M", macs_exact=100 * 3 * 299 * 449),
    one("conv: {filters: 8, kernel: 3}", (1, 5, 100), (1, 8, 98), 128, 98 * 120, (11_760, 11_760, 0, 0, 0), "exercise H"),
    one("conv: {filters: 4, kernel: 3, padding: causal, dilation: 2}", (1, 2, 10), (1, 4, 10), 28, 240, (240, 240, 0, 0, 0),
        "taps at −4, −2, 0: 10 + 8 + 6 = 24 of them in the axis", macs_exact=4 * 2 * 24),
    one("conv: {filters: 8, kernel: 3, groups: 4}", X, (2, 8, 8, 8), 8 * 2 * 9 + 8, 2 * 64 * 8 * 18, (18_432, 18_432, 0, 0, 0)),
    one("conv: {filters: 2, kernel: [1, 2, 3], stride: [1, 2, 1], dilation: [1, 1, 2]}", (1, 1, 2, 6, 7), (1, 2, 2, 3, 3), 14,
        18 * 2 * 6, (216, 216, 0, 0, 0), "sizes 2, (6 − 2)/2 + 1 = 3, 7 − 5 + 1 = 3"),
    one("conv: {filters: 1, kernel: 2, padding: [[1, 0], [0, 2]]}", (1, 1, 3, 3), (1, 1, 3, 4), 5, 48, (48, 48, 0, 0, 0),
        "taps 5 of 6 along the first axis, 5 of 8 along the second", macs_exact=25),
    # Transposed convolution
    one("conv_transpose: {filters: 16, kernel: 4, stride: 2, padding: 1}", (1, 8, 10, 10), (1, 16, 20, 20), 2_064, 204_800,
        (204_800, 204_800 - 6_400 + 6_400, 0, 0, 0), "measured tools' common layer; 38 of 40 products per axis land",
        macs_exact=8 * 16 * 38 * 38),
    one("conv_transpose: {filters: 3, kernel: 2, stride: 3, bias: false}", (1, 2, 4), (1, 3, 11), 12, 48, (48, 24, 0, 0, 0),
        "stride above kernel: 8 of 11 cells are reached, 24 outputs"),
    one("conv_transpose: {filters: 4, kernel: 3, stride: 2, padding: 1, output_padding: 1, groups: 2}", (1, 4, 5, 5),
        (1, 4, 10, 10), 76, 25 * 4 * 2 * 9, (1_800, 1_800, 0, 0, 0), "14 of 15 products per axis land", macs_exact=8 * 14 * 14),
    one("conv_transpose: {filters: 1, kernel: 3, stride: 2, padding: same}", (1, 1, 4, 4), (1, 1, 8, 8), 10, 144,
        (144, 144, 0, 0, 0), "Keras: size × stride; one cell is cropped behind: 11 of 12 products land", macs_exact=121),
    one("conv_transpose: {filters: 1, kernel: 1, stride: 2, padding: valid}", (1, 4, 8), (1, 1, 16), 5, 32,
        (32, 32 - 8 + 16, 0, 0, 0), "Keras: (n − 1)·stride + max(span, stride); every other cell is reached"),
    one("depthwise_conv: {kernel: 3, padding: 1, bias: false}", (1, 32, 112, 112), (1, 32, 112, 112), 288, 3_612_672,
        (3_612_672, 3_612_672 - 401_408, 0, 0, 0), "MobileNetV2, second layer", macs_exact=32 * 334 * 334),
    one("depthwise_conv: {kernel: 3, multiplier: 2}", X, (2, 16, 8, 8), 160, 2 * 16 * 64 * 9, (18_432, 18_432, 0, 0, 0)),
    one("separable_conv: {filters: 16, kernel: 3, padding: same}", (1, 8, 10, 10), (1, 16, 10, 10), 72 + 144, 7_200 + 12_800,
        (20_000, 6_400 + 12_800, 0, 0, 0), "8·9 + 8·16 + 16 weights", macs_exact=8 * 28 * 28 + 12_800),
    # Products of matrices
    one("dense: 10", (1, 784), (1, 10), 7_850, 7_840, (7_840, 7_840, 0, 0, 0)),
    one("dense: 64", (1, 4, 32), (1, 4, 64), 2_112, 8_192, (8_192, 8_192, 0, 0, 0), "measured tools' common layer"),
    one("dense: {units: 1000, bias: false}", (2, 2048), (2, 1000), 2_048_000, 4_096_000, (4_096_000, 4_094_000, 0, 0, 0)),
    Case("matmul", ((1, 12, 64, 32), (1, 12, 32, 64)), (1, 12, 64, 64), 0, 1_572_864, (1_572_864, 1_523_712, 0, 0, 0), CONVENTIONS),
    Case("matmul: true", ((2, 5, 3), (2, 4, 3)), (2, 5, 4), 0, 120, (120, 80, 0, 0, 0), CONVENTIONS),
    # Pooling
    one("max_pool: 2", (1, 20, 24, 24), (1, 20, 12, 12), 0, 0, (0, 0, 8_640, 0, 0), DIGITS),
    one("max_pool: 2", (1, 32, 11, 11), (1, 32, 5, 5), 0, 0, (0, 0, 2_400, 0, 0), "exercise E: one row and column dropped"),
    one("max_pool: {kernel: 3, stride: 2, padding: 1}", (1, 64, 112, 112), (1, 64, 56, 56), 0, 0,
        (0, 0, 64 * (167 * 167 - 56 * 56), 0, 0), "ResNet: only the first window meets padding, 168 − 1 taps per axis"),
    one("max_pool: {kernel: 3, stride: 2, ceil_mode: true}", (1, 64, 112, 112), (1, 64, 56, 56), 0, 0,
        (0, 0, 64 * (167 * 167 - 56 * 56), 0, 0), "GoogLeNet: the last window overhangs by one"),
    one("max_pool: {kernel: 2, stride: 2, padding: 1, ceil_mode: true}", (1, 1, 6), (1, 1, 4), 0, 0, (0, 0, 2, 0, 0),
        "PyTorch: a fifth window would start in the padding behind"),
    one("max_pool: {kernel: 2, stride: 1, dilation: 3}", (1, 1, 7), (1, 1, 4), 0, 0, (0, 0, 4, 0, 0)),
    one("avg_pool: 2", (1, 64, 112, 112), (1, 64, 56, 56), 0, 0, (200_704, 602_112, 0, 0, 0)),
    one("avg_pool: {kernel: 3, stride: 1, padding: 1}", (1, 1, 4, 4), (1, 1, 4, 4), 0, 0, (16, 128, 0, 0, 0)),
    one("avg_pool: {kernel: 3, stride: 1, padding: 1, count_include_pad: false}", (1, 1, 4, 4), (1, 1, 4, 4), 0, 0,
        (16, 84, 0, 0, 0), "V = 10 per axis"),
    one("avg_pool: {kernel: 3, stride: 1, padding: same}", (1, 1, 4, 4), (1, 1, 4, 4), 0, 0, (16, 84, 0, 0, 0),
        "Keras' rule leaves padding out: V = 10 per axis"),
    one("max_pool: {kernel: 2, padding: 1, dilation: 2}", (1, 2, 1), (1, 2, 1), 0, 0, (0, 0, 0, 0, 0),
        "the two taps step over the only cell: nothing to compare"),
    one("avg_pool: {kernel: 2, stride: 2, ceil_mode: true}", (1, 1, 5), (1, 1, 3), 0, 0, (3, 2, 0, 0, 0),
        "the overhang is never counted: 2 + 2 + 1 taps"),
    one("global_avg_pool", (1, 2048, 7, 7), (1, 2048, 1, 1), 0, 0, (2_048, 98_304, 0, 0, 0)),
    one("global_avg_pool: false", (1, 4, 3, 5, 7), (1, 4), 0, 0, (4, 416, 0, 0, 0)),
    one("global_max_pool", (1, 512, 7, 7), (1, 512, 1, 1), 0, 0, (0, 0, 24_576, 0, 0)),
    one("adaptive_avg_pool: 6", (1, 256, 13, 13), (1, 256, 6, 6), 0, 0, (9_216, 256 * (18 * 18 - 36), 0, 0, 0),
        "AlexNet at 224; 13 + 6 − 1 cells per axis"),
    one("adaptive_avg_pool: 7", (1, 512, 7, 7), (1, 512, 7, 7), 0, 0, (25_088, 0, 0, 0, 0), "VGG-16 at 224: every cell is its own"),
    one("adaptive_max_pool: [2, 3]", (1, 1, 4, 4), (1, 1, 2, 3), 0, 0, (0, 0, 4 * 6 - 6, 0, 0), "4 and 4 + 3 − 1 cells"),
    # Normalisation
    one("batch_norm", (1, 8, 10, 10), (1, 8, 10, 10), 16, 0, (800, 800, 0, 0, 0), "measured tools' common layer", buffers=16),
    one("batch_norm: {affine: false}", X, X, 0, 0, (E, E, 0, 0, 0), buffers=16),
    one("batch_norm: {running: false}", X, X, 16, 0, (3 * E + 16, 2 * (E - 8) + 2 * E + 8, 0, 8, 0)),
    one("layer_norm", (1, 4, 32), (1, 4, 32), 64, 0, (3 * 128 + 8, 2 * 124 + 256 + 4, 0, 4, 0), "measured tools' common layer"),
    one("layer_norm: [1, 2, 3]", X, X, 1_600, 0, (3 * E + 4, 2 * (E - 2) + 2 * E + 2, 0, 2, 0)),
    one("layer_norm: {affine: false}", (1, 4, 32), (1, 4, 32), 0, 0, (256 + 8, 248 + 128 + 4, 0, 4, 0)),
    one("layer_norm: {bias: false}", (1, 4, 32), (1, 4, 32), 32, 0, (392, 248 + 128 + 4, 0, 4, 0)),
    one("group_norm: {groups: 4}", X, X, 16, 0, (3 * E + 16, 2 * (E - 8) + 2 * E + 8, 0, 8, 0)),
    one("instance_norm", X, X, 0, 0, (2 * E + 32, 2 * (E - 16) + E + 16, 0, 16, 0)),
    one("instance_norm: {affine: true}", X, X, 16, 0, (3 * E + 32, 2 * (E - 16) + 2 * E + 16, 0, 16, 0)),
    one("rms_norm", (1, 4, 32), (1, 4, 32), 32, 0, (3 * 128 + 4, 4 * 31 + 4, 0, 4, 0)),
    one("local_response_norm: 5", (1, 4, 1, 1), (1, 4, 1, 1), 0, 0, (12, 3 + 4 + 4 + 3 - 4 + 4, 0, 4, 8),
        "AlexNet §3.3; channel sums of 3, 4, 4, 3 of 4 channels"),
    one("local_response_norm: 2", (1, 4, 3), (1, 4, 3), 0, 0, (36, 3 * (1 + 2 + 2 + 2) - 12 + 12, 0, 12, 24)),
    # Activations: the table of docs/conventions.md
    one("relu", X, X, 0, 0, (0, 0, E, 0, 0)),
    one("relu6", X, X, 0, 0, (0, 0, 2 * E, 0, 0)),
    one("leaky_relu: 0.2", X, X, 0, 0, (E, 0, E, 0, 0)),
    one("prelu", X, X, 1, 0, (E, 0, E, 0, 0)),
    one("prelu: true", X, X, 8, 0, (E, 0, E, 0, 0)),
    one("sigmoid", X, X, 0, 0, (0, 2 * E, 0, E, E)),
    one("tanh", X, X, 0, 0, (0, 0, 0, 0, E)),
    one("silu", X, X, 0, 0, (E, 2 * E, 0, E, E)),
    one("gelu", X, X, 0, 0, (3 * E, E, 0, 0, E)),
    one("gelu_tanh", X, X, 0, 0, (6 * E, 2 * E, 0, 0, E)),
    one("hardswish", X, X, 0, 0, (2 * E, E, 2 * E, 0, 0)),
    # Activations: each operation of the formula once
    one("rrelu", X, X, 0, 0, (E, 0, E, 0, 0), "a fixed slope at inference: as leaky relu"),
    one("threshold: 0.5", X, X, 0, 0, (0, 0, E, 0, 0), "one selection"),
    one("elu", X, X, 0, 0, (E, E, E, 0, E), "alpha·(exp(x) − 1), selected"),
    one("celu", X, X, 0, 0, (2 * E, E, E, 0, E), "elu with x scaled first"),
    one("selu", X, X, 0, 0, (2 * E, E, E, 0, E), "elu, scaled"),
    one("logsigmoid", X, X, 0, 0, (0, 3 * E, 0, 0, 2 * E), "two signs, a sum, exp and log"),
    one("softsign", X, X, 0, 0, (0, E, E, E, 0), "x / (1 + |x|)"),
    one("softplus", X, X, 0, 0, (0, E, E, 0, 2 * E), "log(1 + exp(x)) or x"),
    one("mish", X, X, 0, 0, (E, E, E, 0, 3 * E), "x · tanh(softplus(x))"),
    one("quick_gelu", X, X, 0, 0, (2 * E, 2 * E, 0, E, E), "x · sigmoid(1.702·x)"),
    one("hardsigmoid", X, X, 0, 0, (E, E, 2 * E, 0, 0), "hardswish without the product with x"),
    one("hardtanh", X, X, 0, 0, (0, 0, 2 * E, 0, 0), "two comparisons"),
    one("hardshrink", X, X, 0, 0, (0, 0, 2 * E, 0, 0), "absolute value, selection"),
    one("softshrink", X, X, 0, 0, (0, E, 2 * E, 0, 0), "two selections and a shift"),
    one("tanhshrink", X, X, 0, 0, (0, E, 0, 0, E), "x − tanh(x)"),
    one("abs", X, X, 0, 0, (0, 0, E, 0, 0), "one selection"),
    one("exp", X, X, 0, 0, (0, 0, 0, 0, E)),
    one("log", X, X, 0, 0, (0, 0, 0, 0, E)),
    one("sqrt", X, X, 0, 0, (0, 0, 0, E, 0)),
    one("square", X, X, 0, 0, (E, 0, 0, 0, 0), "x·x"),
    one("glu", X, (2, 4, 10, 10), 0, 0, (800, 1_600, 0, 800, 800), "sigmoid of one half, times the other"),
    one("softmax", (1, 10), (1, 10), 0, 0, (0, 19, 9, 10, 10)),
    one("softmax: 1", X, X, 0, 0, (0, 200 * 7 + E, 200 * 7, E, E)),
    one("log_softmax", (3, 10), (3, 10), 0, 0, (0, 27 + 60, 27, 0, 33)),
    # Kinds that compute nothing
    one("identity", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("dropout: 0.1", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("channel_dropout: 0.1", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("alpha_dropout: 0.1", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("gaussian_dropout: 0.1", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("drop_path: 0.1", X, X, 0, 0, (0, 0, 0, 0, 0)),
    one("flatten", (1, 20, 5, 5), (1, 500), 0, 0, (0, 0, 0, 0, 0)),
    one("flatten: 2", X, (2, 8, 100), 0, 0, (0, 0, 0, 0, 0)),
    one("reshape: [4, -1, 5]", X, (2, 4, 40, 5), 0, 0, (0, 0, 0, 0, 0)),
    one("permute: [0, 2, 3, 1]", (2, 8, 10, 11), (2, 10, 11, 8), 0, 0, (0, 0, 0, 0, 0)),
    one("pad: [[1, 0], [2, 3]]", X, (2, 8, 11, 15), 0, 0, (0, 0, 0, 0, 0)),
    one("pad: {amount: 3, mode: reflect}", (1, 1, 4, 4), (1, 1, 10, 10), 0, 0, (0, 0, 0, 0, 0)),
    one("crop: 4", (1, 64, 64, 64), (1, 64, 56, 56), 0, 0, (0, 0, 0, 0, 0), "U-Net, first skip"),
    one("pixel_shuffle: 2", (1, 64, 32, 32), (1, 16, 64, 64), 0, 0, (0, 0, 0, 0, 0)),
    one("pixel_unshuffle: 2", (1, 16, 64, 64), (1, 64, 32, 32), 0, 0, (0, 0, 0, 0, 0)),
    one("embedding: {vocabulary: 50257, width: 768}", (1, 1024), (1, 1024, 768), 38_597_376, 0, (0, 0, 0, 0, 0), "GPT-2 small"),
    # Interpolation
    one("resize: 2", (1, 8, 10, 10), (1, 8, 20, 20), 0, 0, (0, 0, 0, 0, 0)),
    one("resize: {scale: 2, mode: bilinear}", (1, 8, 10, 10), (1, 8, 20, 20), 0, 0, (12_800, 9_600, 0, 0, 0),
        "measured tools' common layer: 3,200 outputs, 4 and 3 each"),
    one("resize: {size: [5, 7], mode: bicubic}", (1, 1, 10, 10), (1, 1, 5, 7), 0, 0, (560, 525, 0, 0, 0), "16 taps per output"),
    one("resize: {scale: 3, mode: bilinear}", (1, 1, 4), (1, 1, 12), 0, 0, (24, 12, 0, 0, 0), "2 taps per output"),
    Case("resize: {mode: nearest}", ((1, 4, 5, 5), (1, 9, 8, 6)), (1, 4, 8, 6), 0, 0, (0, 0, 0, 0, 0), CONVENTIONS),
    # Joins
    Case("add", (X, X), X, 0, 0, (0, E, 0, 0, 0), CONVENTIONS),
    Case("add", (X, X, X), X, 0, 0, (0, 2 * E, 0, 0, 0), CONVENTIONS),
    Case("subtract", (X, X), X, 0, 0, (0, E, 0, 0, 0), CONVENTIONS),
    Case("multiply", (X, (2, 8, 1, 1)), X, 0, 0, (E, 0, 0, 0, 0), "squeeze–excite: one factor per channel"),
    Case("divide", (X, (1, 8, 1, 10)), X, 0, 0, (0, 0, 0, E, 0), CONVENTIONS),
    Case("maximum", (X, X), X, 0, 0, (0, 0, E, 0, 0), CONVENTIONS),
    Case("minimum", (X, X), X, 0, 0, (0, 0, E, 0, 0), CONVENTIONS),
    Case("concat", ((1, 64, 28, 28), (1, 128, 28, 28)), (1, 192, 28, 28), 0, 0, (0, 0, 0, 0, 0), CONVENTIONS),
    Case("concat: -1", ((1, 2, 3), (1, 2, 4), (1, 2, 5)), (1, 2, 12), 0, 0, (0, 0, 0, 0, 0), CONVENTIONS),
    # Reductions
    one("reduce_mean: [2, 3]", X, (2, 8), 0, 0, (16, 1_584, 0, 0, 0)),
    one("reduce_sum: {axes: -1, keep_axes: true}", X, (2, 8, 10, 1), 0, 0, (0, 1_440, 0, 0, 0)),
    one("reduce_max: 1", X, (2, 10, 10), 0, 0, (0, 0, 1_400, 0, 0)),
]  # fmt: skip
