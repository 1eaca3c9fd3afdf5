"""The kernels that a device runs for each use of a layer, forward and backward, with their products and traffic."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import prod
from archcalc.hardware.kernel import Kernel, Pace, Product
from archcalc.layers.conv import Conv, ConvTranspose
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.norm import BatchNorm
from archcalc.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from archcalc.layers.reshape import Pad
from archcalc.layers.windowed import per_axis
from archcalc.model.walk import Use
from archcalc.questions.storages import Stay, Stays

SIZES_ONLY = (MaxPool, AvgPool, AdaptiveAvgPool, AdaptiveMaxPool, Pad)  # keep their input, and read only its shape


class Launch(Struct, frozen=True, gc=False):
    """One kernel, and the use that it is of."""

    use: Use
    kernel: Kernel
    backward: bool = False
    main: bool = True  # without it the result could not be had; the others are PyTorch's way of getting it


def launches(found: Stays, *, training: bool) -> Iterator[Launch]:
    """All kernels of one forward pass, and in training of the backward pass after it, in order.

    Views have none. Main kernels touch each element that they depend on once; the others are passes that eager PyTorch
    makes beside them: a bias after a convolution, padded copies, parts of composed functions, sums of gradients.
    """
    for stay in found.uses:
        yield from forward(stay, training=training)
    readers: dict[str, int] = {}
    for stay in reversed(found.uses) if training else ():
        yield from backward(stay, readers)


def forward(stay: Stay, *, training: bool) -> Iterator[Launch]:
    """The kernels of one use."""
    use, layer = stay.use, stay.use.layer
    if layer.aliases(training) and use.inputs:
        return
    reads = read_bytes(stay) + weight_bytes(stay)
    writes = bytes_of(use.answers.elements, use.dtype or stay.output.dtype)
    product = layer.product(use.xs, use.answers.y)
    if product is not None:
        yield Launch(use, product_kernel(stay, use.name, product, reads, writes, use.answers.y[2:]))
        if isinstance(layer, Conv | ConvTranspose) and layer.bias:
            yield Launch(use, Kernel(f"{use.name} (bias)", "elementwise", writes, writes), main=False)
    else:
        passes = max(1, len(use.inputs) - 1) if layer.arity[1] is None and not layer.moves_data else 1
        yield Launch(use, Kernel(use.name, pace_of(stay, training=training), reads, writes))
        for _ in range(passes - 1):
            yield Launch(use, Kernel(f"{use.name} (so far)", "elementwise", writes, writes), main=False)
    for block in stay.own:
        if block.role in ("inner", "cast", "cast weight"):
            yield Launch(use, Kernel(block.name, "elementwise", block.bytes, block.bytes), main=False)


def product_kernel(
    stay: Stay, name: str, product: Product, reads: int, writes: int, stops: Sequence[int] = ()
) -> Kernel:
    """A layer's linear part as one kernel."""
    layer, exact = stay.use.layer, stay.use.answers.macs_exact
    pace: Pace = "conv" if isinstance(layer, Conv | ConvTranspose) else "gemm"
    return Kernel(name, pace, reads, writes, exact, product, tuple(stops) if pace == "conv" else (), taps_of(stay))


def taps_of(stay: Stay) -> int:
    """Cells of a kernel that a fast algorithm may save products of: stride 1, dilation 1, more than one tap."""
    layer = stay.use.layer
    if not isinstance(layer, Conv | ConvTranspose):
        return 1
    rank = len(stay.use.answers.y) - 2
    plain = all(n == 1 for name in ("stride", "dilation") for n in per_axis(layer, name, rank))
    return prod(per_axis(layer, "kernel", rank)) if plain else 1


def read_bytes(stay: Stay) -> int:
    """Bytes of the distinct input elements that the output depends on; a value read twice counts once."""
    use, found = stay.use, dict[str, int]()
    for source, dtype, n in zip(
        use.inputs, stay.input_dtypes, touched(use.layer, use.xs, use.answers.y)[0], strict=True
    ):
        found[source] = max(found.get(source, 0), bytes_of(n, dtype))
    return sum(found.values())


def weight_bytes(stay: Stay) -> int:
    """Bytes of its tensors that it reads."""
    return bytes_of(touched(stay.use.layer, stay.use.xs, stay.use.answers.y)[1], stay.weight_dtype)


@lru_cache(maxsize=1 << 12)
def touched(layer: Layer, xs: tuple[Shape, ...], y: Shape) -> tuple[tuple[int, ...], int]:
    """Distinct elements of each input, and of the weights, that the output depends on; networks repeat themselves."""
    return layer.reads(xs, y), layer.reads_weights(xs, y)


def pace_of(stay: Stay, *, training: bool) -> Pace:
    """How the kernel moves through memory; a batch norm with running statistics only scales at inference."""
    layer = stay.use.layer
    if isinstance(layer, BatchNorm) and layer.running and not training:
        return "elementwise"
    return layer.pace


def backward(stay: Stay, readers: dict[str, int]) -> Iterator[Launch]:
    """The kernels of the gradients of one use's inputs and weights."""
    use, layer = stay.use, stay.use.layer
    graded = [number for number, needed in enumerate(stay.graded) if needed]
    if not graded and not stay.learning:
        return
    arrives = bytes_of(use.answers.elements, stay.output.dtype)
    product = layer.product(use.xs, use.answers.y)
    if product is not None:
        yield from back_products(stay, product, graded, arrives)
    elif not all(layer.hands_back(number, use.xs, use.answers.y) for number in graded) or stay.learning:
        reads = {
            block.name: block.bytes
            for block in stay.kept
            if not (isinstance(layer, SIZES_ONLY) and block.role == "activation")
        }
        back = sum(bytes_of(prod(use.xs[number]), stay.output.dtype) for number in graded)
        learned = bytes_of(sum(prod(use.answers.weights[name].shape) for name in stay.learning), stay.weight_dtype)
        pace = pace_of(stay, training=True)
        kernel = Kernel(f"{use.name} (backward)", pace, arrives + sum(reads.values()), back + learned)
        yield Launch(use, kernel, backward=True)
    yield from sums(stay, graded, readers)


def back_products(stay: Stay, product: Product, graded: Sequence[int], arrives: int) -> Iterator[Launch]:
    """Two products as large as the forward one: the gradient of the input, and that of the weight."""
    use = stay.use
    sizes = [bytes_of(prod(x), stay.output.dtype) for x in use.xs]
    second = sizes[1] if len(sizes) > 1 else bytes_of(sum(map(prod, use.answers.shapes.values())), stay.weight_dtype)
    b, m, n, k = product.batch, product.m, product.n, product.k
    if 0 in graded:
        back = gradient_product(use) or Product(b, m, k, n)
        kernel = product_kernel(stay, f"{use.name} (grad input)", back, arrives + second, sizes[0], use.xs[0][2:])
        yield Launch(use, kernel, backward=True)
    if 1 in graded or stay.learning:
        kernel = product_kernel(stay, f"{use.name} (grad weight)", Product(b, k, n, m), arrives + sizes[0], second)
        yield Launch(use, kernel, backward=True)
    if "bias" in stay.learning:
        yield Launch(use, Kernel(f"{use.name} (grad bias)", "norm", arrives, 0), backward=True, main=False)


def gradient_product(use: Use) -> Product | None:
    """The gradient of a convolution's input, where that is a convolution too: at stride 1, of the filters turned."""
    layer, x = use.layer, use.xs[0]
    if not isinstance(layer, Conv) or any(n != 1 for n in per_axis(layer, "stride", len(x) - 2)):
        return None
    batch, channels, *cells = x
    taps = prod(per_axis(layer, "kernel", len(cells))) * (layer.filters // layer.groups)
    return Product(layer.groups, batch * prod(cells), channels // layer.groups, taps)


def sums(stay: Stay, graded: Sequence[int], readers: dict[str, int]) -> Iterator[Launch]:
    """Gradients that several readers of a value send back are added, in a pass of its own each."""
    use = stay.use
    for number in graded:
        source = use.inputs[number]
        readers[source] = readers.get(source, 0) + 1
        if readers[source] > 1:
            size = bytes_of(prod(use.xs[number]), stay.output.dtype)
            kernel = Kernel(f"{source} (sum of gradients)", "elementwise", 2 * size, size)
            yield Launch(use, kernel, backward=True, main=False)
