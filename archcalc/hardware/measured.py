"""Timings of single kernels, read from CSV: which kernel ran, on which device, in how many seconds."""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from archcalc.algebra.dtype import bytes_of
from archcalc.algebra.window import Window
from archcalc.errors import ModelError, nearest
from archcalc.hardware.kernel import Kernel, Product

# dtype column → format in memory, and the rate at which products run
DTYPES = {
    "float64": ("float64", "fp64"),
    "float32": ("float32", "fp32"),
    "tf32": ("float32", "tf32"),
    "float16": ("float16", "fp16"),
    "bfloat16": ("bfloat16", "bf16"),
}
WINDOW = ("kernel", "stride", "padding", "dilation", "groups")
COLUMNS = (
    "gpu", "op", "function", "dtype", "batch", "rows", "in_features", "out_features", "m", "n", "k", "numel", "inputs",
    "in_channels", "height", "width", "out_channels", *WINDOW, "kernel_family", "time_ms",
)  # fmt: skip
# What the host does for a call, in calls of an addition of two tensors: modules, scalars that become tensors, several
# results. The same on all eight machines of the NeuSight data to some percent, so a constant, not a fitted number.
HOST_STEPS = {
    "linear": 2.1, "bmm": 1.3, "conv": 4.0, "softmax": 1.27, "layer_norm": 1.78, "attention": 2.1, "elementwise": 1.18,
}  # fmt: skip
HOST_STEPS_OF = {"tanh": 1.0, "pow": 1.1}  # of one tensor; others are modules, or take a scalar
BYTES = 1 << 26  # of a file, unpacked
LARGEST = 10**12  # of a size


class Row(Struct, frozen=True):
    """One timing."""

    gpu: str
    dtype: str  # a key of DTYPES
    op: str  # a key of READERS; residuals are told per op
    kernel: Kernel
    seconds: float  # with what the host does in the meantime
    family: str = ""  # of convolution algorithms, where it is known
    steps: float = 1.0  # host work, in calls of an addition

    @property
    def rate(self) -> str:
        """Name of the rate that products of this dtype run at."""
        return DTYPES[self.dtype][1]


Sizes = Callable[..., int]  # a column's whole number, by its name and the least it may be


def read(path: str) -> tuple[Row, ...]:
    """All rows of a CSV file, plain or packed with gzip; ModelError with file and line for a row that cannot be.

    Columns: gpu, op, dtype, time_ms (milliseconds), and per op its sizes; an empty cell does not apply.
    linear: rows, in_features, out_features. bmm: batch, m, n, k (contracted). elementwise: function, numel, inputs
    (2: two tensors; 1: one, maybe with a scalar). softmax, layer_norm: rows, width. conv: batch, in_channels, height,
    width, out_channels, kernel, stride, padding, dilation, groups, and kernel_family. attention: batch (× heads),
    m queries, n keys, k cells of a head.
    """
    table = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    if missing := {"gpu", "op", "dtype", "time_ms"} - set(table.fieldnames or ()):
        raise ModelError("timings", "columns must be there", f"none named {', '.join(sorted(missing))}", where=path)
    return tuple(_rows(table, path))


def _text(path: str) -> str:
    """The text of a file of a sensible size, unpacked."""
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            data = file.read(BYTES + 1)
        if len(data) > BYTES:
            raise ModelError("timings", f"a file must have at most {BYTES >> 20} MiB", path)
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        folder = os.path.dirname(path) or "."
        near = nearest(os.path.basename(path), os.listdir(folder), listed=False) if os.path.isdir(folder) else ""
        raise ModelError("timings", "no such file", path, way_out=near) from None
    except UnicodeDecodeError:
        raise ModelError("timings", "must be UTF-8 text", path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise ModelError(
            "timings", "must be readable", f"{path}: {getattr(error, 'strerror', None) or error}"
        ) from None


def _rows(table: "csv.DictReader[str]", path: str) -> Iterator[Row]:
    try:
        for cells in table:
            yield row_of(cells, f"{path}:{table.line_num}")
    except csv.Error as error:
        raise ModelError("timings", "must be CSV", str(error), where=f"{path}:{table.line_num}") from None


def row_of(cells: Mapping[str, str | None], where: str) -> Row:
    """The timing that a row's cells state."""

    def size(column: str, least: int = 1) -> int:
        text = (cells.get(column) or "").strip()
        if not (text.isascii() and text.isdigit() and least <= int(text[:20]) <= LARGEST):
            rule = f"{column} of {op} must be a whole number, at least {least}"
            raise ModelError("timings", rule, repr(text), where=where)
        return int(text)

    op, dtype, gpu = ((cells.get(column) or "").strip() for column in ("op", "dtype", "gpu"))
    for value, known, column in ((op, READERS, "op"), (dtype, DTYPES, "dtype")):
        if value not in known:
            rule = f"{column} must be one of {', '.join(known)}"
            raise ModelError("timings", rule, repr(value), where=where)
    if not gpu:
        raise ModelError("timings", "gpu must be an id of a device", "nothing", where=where)
    function = (cells.get("function") or "").strip()
    try:
        kernel = READERS[op](size, bytes_of(1, DTYPES[dtype][0]))
    except ModelError as error:
        error.where = where
        raise
    steps = HOST_STEPS[op]
    if op == "elementwise":
        steps = 1.0 if size("inputs") > 1 else HOST_STEPS_OF.get(function, steps)
    family = (cells.get("kernel_family") or "").strip()
    return Row(gpu, dtype, op, kernel, _seconds(cells.get("time_ms"), where), family, steps)


def _seconds(text: str | None, where: str) -> float:
    """A time in milliseconds, as seconds."""
    try:
        seconds = float(text or "") / 1000
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:  # also refuses nan
        raise ModelError("timings", "time_ms must be a number of milliseconds above 0", repr(text or ""), where=where)
    return seconds


def _linear(size: Sizes, width: int) -> Kernel:
    m, k, n = size("rows"), size("in_features"), size("out_features")
    return Kernel("linear", "gemm", width * (m * k + k * n + n), width * m * n, m * n * k, Product(1, m, n, k))


def _bmm(size: Sizes, width: int) -> Kernel:
    batch, m, n, k = size("batch"), size("m"), size("n"), size("k")
    reads, macs = width * batch * k * (m + n), batch * m * n * k
    return Kernel("bmm", "gemm", reads, width * batch * m * n, macs, Product(batch, m, n, k))


def _elementwise(size: Sizes, width: int) -> Kernel:
    numel = size("numel")
    return Kernel("elementwise", "elementwise", width * numel * size("inputs"), width * numel)


def _softmax(size: Sizes, width: int) -> Kernel:
    numel = size("rows") * size("width")
    return Kernel("softmax", "softmax", width * numel, width * numel)


def _layer_norm(size: Sizes, width: int) -> Kernel:
    rows, columns = size("rows"), size("width")
    return Kernel("layer_norm", "norm", width * (rows + 2) * columns, width * rows * columns)


def _attention(size: Sizes, width: int) -> Kernel:
    batch, queries, keys, head = size("batch"), size("m"), size("n"), size("k")
    reads, macs = width * batch * head * (queries + 2 * keys), 2 * batch * queries * keys * head
    return Kernel("attention", "attention", reads, width * batch * queries * head, macs)


def _conv(size: Sizes, width: int) -> Kernel:
    """A convolution over two axes, without bias; taps on padding are no products, cells between windows not read."""
    batch, channels, filters = size("batch"), size("in_channels"), size("out_channels")
    kernel, stride, padding, dilation, groups = (size(name, name != "padding") for name in WINDOW)
    window = Window(kernel, stride, padding, padding, dilation)
    axes = size("height"), size("width")
    stops = [window.size(n) for n in axes]
    if min(stops) < 1 or channels % groups or filters % groups:
        got = f"a window spanning {window.span} on {axes[0]} x {axes[1]}, {groups} groups of {channels} and {filters}"
        raise ModelError("timings", "the window must fit and groups must divide the channels", got)
    taps, cells = 1, 1
    for n, count in zip(axes, stops, strict=True):
        taps *= window.valid_taps(n, count)
        cells *= window.cells_reached(n, count)
    per_filter = kernel**2 * channels // groups
    product = Product(groups, batch * stops[0] * stops[1], filters // groups, per_filter)
    reads = width * (batch * channels * cells + filters * per_filter)
    writes = width * batch * filters * stops[0] * stops[1]
    fast = kernel**2 if stride == dilation == 1 else 1
    macs = batch * filters * (channels // groups) * taps
    return Kernel("conv", "conv", reads, writes, macs, product, tuple(stops), fast)


READERS: dict[str, Callable[[Sizes, int], Kernel]] = {
    "linear": _linear,
    "bmm": _bmm,
    "elementwise": _elementwise,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "conv": _conv,
    "attention": _attention,
}
