"""The kernels that a device runs for each use of a layer, forward and backward, with their products and traffic."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.num import largest, prod
from archcalc.hardware.kernel import Kernel, Pace, Product
from archcalc.layers.attention import KEY, QUERY, VALUE, Attention
from archcalc.layers.conv import Conv, ConvTranspose
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.norm import BatchNorm
from archcalc.layers.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from archcalc.layers.reshape import Pad
from archcalc.layers.windowed import per_axis, windows_that_meet
from archcalc.model.walk import Use
from archcalc.questions.storages import Block, Stay, Stays

SIZES_ONLY = (MaxPool, AvgPool, AdaptiveAvgPool, AdaptiveMaxPool, Pad)  # keep their input, and read only its shape


class Launch(Struct, frozen=True, gc=False):
    """One kernel, and the use that it is of."""

    use: Use
    kernel: Kernel
    backward: bool = False
    main: bool = True  # without it the result could not be had; the others are PyTorch's way of getting it


def launches(found: Stays, outputs: Collection[str], *, training: bool) -> Iterator[Launch]:
    """All kernels of one forward pass, and in training of the backward pass after it, in order.

    Views have none, and no gradient comes from what leads to none of the outputs. Main kernels touch each element that
    they depend on once; the others are passes that eager PyTorch makes beside them: a bias after a convolution, padded
    copies, parts of composed functions, sums of gradients.
    """
    blocks, wanted = blocks_of(found), leading_to(found, outputs)
    for stay in found.uses:
        yield from forward(stay, blocks, training=training)
    readers: dict[str, int] = {}
    for stay in reversed(found.uses) if training else ():
        if stay.use.name in wanted:
            yield from backward(stay, readers)


def blocks_of(found: Stays) -> dict[str, str]:
    """The block that each value lies in: a view lies in that of its source."""
    return {name: block.name for name, block in found.inputs.items()} | {
        stay.use.name: stay.output.name for stay in found.uses
    }


def leading_to(found: Stays, outputs: Collection[str]) -> set[str]:
    """The uses that an output depends on."""
    wanted = set(outputs)
    for stay in reversed(found.uses):
        if stay.use.name in wanted:
            wanted.update(stay.use.inputs)
    return wanted


def forward(stay: Stay, blocks: Mapping[str, str], *, training: bool) -> Iterator[Launch]:
    """The kernels of one use."""
    use, layer = stay.use, stay.use.layer
    if layer.aliases(training):
        return
    reads = sum(input_bytes(stay, blocks).values()) + weight_bytes(stay)
    writes = bytes_of(use.answers.elements, use.dtype or stay.output.dtype)
    product = layer.product(use.xs, use.answers.y)
    if isinstance(layer, Attention):
        yield from attended(stay, layer, reads, writes)
    elif product is not None:
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


def attended(stay: Stay, layer: Attention, reads: int, writes: int) -> Iterator[Launch]:
    """Flash is one kernel; math is two products, with scores in memory between them."""
    use = stay.use
    if layer.fused(use.xs):
        yield Launch(use, Kernel(use.name, "attention", reads, writes, use.answers.macs_exact, product_of(use)))
        return
    values, scores = input_size(stay, VALUE), score_bytes(stay, layer)
    products = products_of(layer, use)
    for name, (product, exact), read, write in (
        ("scores", products[0], reads - values, 0), ("values", products[1], values, writes)
    ):  # fmt: skip
        yield Launch(use, Kernel(f"{use.name} ({name})", "gemm", read, write, exact, product))
    if layer.limited or len(use.xs) > VALUE + 1:
        yield Launch(use, Kernel(f"{use.name} (mask)", "elementwise", scores, scores), main=False)
    yield Launch(use, Kernel(f"{use.name} (softmax)", "softmax", scores, scores), main=False)


def product_of(use: Use) -> Product | None:
    """Its linear part as one product."""
    return use.layer.product(use.xs, use.answers.y)


def products_of(layer: Attention, use: Use) -> tuple[tuple[Product, int], tuple[Product, int]]:
    """Queries by keys, and weights by values, each with the multiply–accumulates of pairs that are seen."""
    batch, heads, queries, keys = layer.scores(use.xs)
    query, _, value = layer.split(use.xs)
    seen = batch * heads * layer.pairs(queries, keys)
    first = Product(batch * heads, queries, keys, query[3]), seen * query[3]
    return first, (Product(batch * heads, queries, value[3], keys), seen * value[3])


def input_size(stay: Stay, number: int) -> int:
    """Bytes of an input, as far as it is read."""
    return bytes_of(touched(stay.use.layer, stay.use.xs, stay.use.answers.y)[0][number], stay.input_dtypes[number])


def score_bytes(stay: Stay, layer: Attention) -> int:
    """Bytes of the scores of all pairs."""
    return bytes_of(prod(layer.scores(stay.use.xs)), stay.output.dtype)


def attended_back(stay: Stay, layer: Attention, graded: Sequence[int], arrives: int) -> Iterator[Launch]:
    """Two products for each of the forward ones, as far as they are needed; flash also makes the scores once more."""
    use = stay.use
    (first, exact), (second, exact_values) = products_of(layer, use)
    sizes = [bytes_of(prod(x), stay.output.dtype) for x in use.xs]
    if layer.fused(use.xs):
        reads = arrives + sum(block.bytes for block in stay.kept)
        writes, macs, whole = sum(sizes[number] for number in graded), use.answers.macs_exact, product_of(use)
        for kernel in (
            Kernel(f"{use.name} (grad weights, value)", "attention", reads, 0, macs, whole),
            Kernel(f"{use.name} (grad query, key)", "attention", 0, writes, macs, whole),
        ):
            yield Launch(use, kernel, backward=True)
        again = Kernel(f"{use.name} (scores again)", "attention", 0, 0, exact)
        yield Launch(use, again, backward=True, main=False)
        return
    scores, through = score_bytes(stay, layer), any(number != VALUE for number in graded)
    steps = (
        ("grad weights", through, second, exact_values, arrives + sizes[VALUE], 0),
        ("grad value", VALUE in graded, second, exact_values, 0 if through else arrives, sizes[VALUE]),
        ("grad query", QUERY in graded, first, exact, sizes[KEY], sizes[QUERY]),
        ("grad key", KEY in graded, first, exact, sizes[QUERY], sizes[KEY]),
    )
    for name, _, product, macs, read, write in (step for step in steps if step[1]):
        yield Launch(use, Kernel(f"{use.name} ({name})", "gemm", read, write, macs, product), backward=True)
    if through:
        yield Launch(
            use, Kernel(f"{use.name} (softmax backward)", "softmax", 2 * scores, scores), backward=True, main=False
        )


def taps_of(stay: Stay) -> int:
    """Cells of a kernel that a fast algorithm may save products of: stride 1, dilation 1, more than one tap."""
    layer = stay.use.layer
    if not isinstance(layer, Conv | ConvTranspose):
        return 1
    rank = len(stay.use.answers.y) - 2
    plain = all(n == 1 for name in ("stride", "dilation") for n in per_axis(layer, name, rank))
    return prod(per_axis(layer, "kernel", rank)) if plain else 1


def input_bytes(stay: Stay, blocks: Mapping[str, str]) -> dict[str, int]:
    """Bytes of the distinct elements of each block that the output depends on; a block read twice counts once."""
    use, found = stay.use, dict[str, int]()
    reads = touched(use.layer, use.xs, use.answers.y)[0]
    for source, dtype, n in zip(use.inputs, stay.input_dtypes, reads, strict=True):
        block, size = blocks[source], bytes_of(n, dtype)
        found[block] = largest(found[block], size) if block in found else size
    return found


def weight_bytes(stay: Stay) -> int:
    """Bytes of its tensors that it reads."""
    return bytes_of(touched(stay.use.layer, stay.use.xs, stay.use.answers.y)[1], stay.weight_dtype)


@lru_cache(maxsize=1 << 12)
def touched(layer: Layer, xs: tuple[Shape, ...], y: Shape) -> tuple[tuple[int, ...], int]:
    """Distinct elements of each input, and of the weights, that the output depends on; networks repeat themselves."""
    return layer.reads(xs, y), layer.reads_weights(xs, y)


def pace_of(stay: Stay, *, training: bool) -> Pace:
    """How the kernel moves through memory."""
    return "elementwise" if only_scales(stay.use.layer, training=training) else stay.use.layer.pace


def only_scales(layer: Layer, *, training: bool) -> bool:
    """A batch norm with running statistics only scales at inference, and can be folded into the layer before it."""
    return isinstance(layer, BatchNorm) and layer.running and not training


def backward(stay: Stay, readers: dict[str, int]) -> Iterator[Launch]:
    """The kernels of the gradients of one use's inputs and weights."""
    use, layer = stay.use, stay.use.layer
    graded = [number for number, needed in enumerate(stay.graded) if needed]
    if not graded and (not stay.learning or layer.aliases(training=True)):
        return  # a tensor that is read by itself takes the gradient as it arrives
    arrives = bytes_of(arriving(layer, use.xs, use.answers.y), stay.output.dtype)
    product = layer.product(use.xs, use.answers.y)
    made = {use.inputs[n]: prod(use.xs[n]) for n in graded if not layer.hands_back(n, use.xs, use.answers.y)}
    if isinstance(layer, Attention):
        yield from attended_back(stay, layer, graded, arrives)
    elif product is not None:
        yield from back_products(stay, product, graded, arrives)
    elif made or stay.learning:
        reads = {block.name: block.bytes for block in stay.kept if is_read(layer, block)}
        back = bytes_of(sum(made.values()), stay.output.dtype)
        learned = bytes_of(sum(prod(use.answers.weights[name].shape) for name in stay.learning), stay.weight_dtype)
        pace = pace_of(stay, training=True)
        kernel = Kernel(f"{use.name} (backward)", pace, arrives + sum(reads.values()), back + learned)
        yield Launch(use, kernel, backward=True)
        for block in stay.kept:
            if block.role == "inner" and not isinstance(layer, SIZES_ONLY):
                yield Launch(use, Kernel(block.name, "elementwise", block.bytes, 0), backward=True, main=False)
    yield from sums(stay, graded, readers)


def is_read(layer: Layer, block: Block) -> bool:
    """Does the main backward kernel read what is kept? Parts of a composed function are passes of their own."""
    return block.role == "index" if isinstance(layer, SIZES_ONLY) else block.role != "inner"


@lru_cache(maxsize=1 << 12)
def arriving(layer: Layer, xs: tuple[Shape, ...], y: Shape) -> int:
    """Elements of the output's gradient that those of the inputs depend on: not those that met only padding."""
    if isinstance(layer, Pad) and layer.mode == "constant":
        return prod(xs[0])
    if isinstance(layer, Conv):
        return prod(y[:2]) * windows_that_meet(layer.windows(xs[0]), xs[0][2:], y[2:])
    if isinstance(layer, ConvTranspose):
        cells = zip(layer.windows(xs[0]), y[2:], xs[0][2:], strict=True)
        return prod(y[:2]) * prod(window.cells_reached(size, n) for window, size, n in cells)
    return prod(y)


def back_products(stay: Stay, product: Product, graded: Sequence[int], arrives: int) -> Iterator[Launch]:
    """Two products as large as the forward one: the gradient of the input, and that of the weight."""
    use = stay.use
    reads, weights = touched(use.layer, use.xs, use.answers.y)
    size, read = bytes_of(prod(use.xs[0]), stay.output.dtype), bytes_of(reads[0], stay.output.dtype)
    if len(reads) > 1 and not use.answers.shapes:
        second = bytes_of(prod(use.xs[1]), stay.output.dtype)
        second_read = bytes_of(reads[1], stay.output.dtype)
    else:
        sizes = {name: prod(shape) for name, shape in use.answers.shapes.items()}
        biases = sum(n for name, n in sizes.items() if name.startswith("bias"))
        second = bytes_of(sum(sizes.values()) - biases, stay.weight_dtype)
        second_read = bytes_of(largest(weights - biases, 0), stay.weight_dtype)
    b, m, n, k = product.batch, product.m, product.n, product.k
    if 0 in graded:
        back = gradient_product(use) or Product(b, m, k, n)
        kernel = product_kernel(stay, f"{use.name} (grad input)", back, arrives + second_read, size, use.xs[0][2:])
        yield Launch(use, kernel, backward=True)
    if 1 in graded or stay.learning:
        kernel = product_kernel(stay, f"{use.name} (grad weight)", Product(b, k, n, m), arrives + read, second)
        yield Launch(use, kernel, backward=True)
    if any(name.startswith("bias") for name in stay.learning):
        whole = bytes_of(use.answers.elements, stay.output.dtype)
        yield Launch(use, Kernel(f"{use.name} (grad bias)", "norm", whole, 0), backward=True, main=False)


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
