"""The timings that a calibration needs, taken on the device at hand: about 32 single kernels, written as CSV."""

import csv
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import functional

from archcalc.crosscheck.world import untouched
from archcalc.errors import CannotRun, UsageError
from archcalc.hardware.device import device as device_named
from archcalc.hardware.measured import COLUMNS, DTYPES

Case = Mapping[str, int | str]  # op and its sizes, by the columns of the CSV
Call = Callable[[], object]
Timer = Callable[[Call], float]  # seconds that one call takes
Cells = dict[str, str]  # one row of the CSV

WARM_UP, RUNS, FASTEST = 3, 25, 5  # calls before, calls timed, and how many of them are averaged


def _cases(op: str, names: str, *sizes: tuple[int | str, ...]) -> tuple[Case, ...]:
    return tuple({"op": op, **dict(zip(names.split(), values, strict=True))} for values in sizes)


# From sizes that measure the launch to some that fill a large card for milliseconds; some leave rests of tiles.
CASES = (
    *_cases("linear", "rows in_features out_features",
            (64, 512, 512), (512, 4096, 1000), (1024, 1024, 4096), (4096, 1000, 1000), (2048, 4096, 4096),
            (8192, 4096, 4096)),
    *_cases("bmm", "batch m n k",
            (16, 64, 64, 64), (96, 197, 197, 64), (64, 512, 64, 512), (256, 256, 256, 64), (32, 1024, 1024, 128)),
    *_cases("conv", "batch in_channels height width out_channels kernel stride padding dilation groups",
            (1, 64, 56, 56, 64, 3, 1, 1, 1, 1), (16, 64, 56, 56, 64, 3, 1, 1, 1, 1),
            (32, 128, 28, 28, 128, 3, 1, 1, 1, 1), (32, 512, 7, 7, 512, 3, 1, 1, 1, 1),
            (32, 3, 224, 224, 64, 7, 2, 3, 1, 1), (32, 256, 28, 28, 256, 3, 2, 1, 1, 1),
            (32, 256, 14, 14, 1024, 1, 1, 0, 1, 1)),
    *_cases("elementwise", "function numel inputs",
            ("add", 1024, 2), ("relu", 1 << 20, 1), ("add", 1 << 23, 2), ("relu", 1 << 26, 1)),
    *_cases("softmax", "rows width", (64, 128), (4096, 512), (16384, 1000), (65536, 1024)),
    *_cases("layer_norm", "rows width", (64, 256), (4096, 768), (16384, 1024), (65536, 1024)),
    *_cases("attention", "batch m n k", (32, 512, 512, 64), (64, 1024, 1024, 64)),
)  # fmt: skip


def measure(
    device: str = "cuda",
    dtype: str = "float32",
    *,
    gpu: str | None = None,
    cases: Sequence[Case] = CASES,
    timer: Timer | None = None,
    seed: int = 0,
) -> tuple[list[Cells], dict[str, str]]:
    """Time the cases: rows as `measured.read` reads them, and what they were taken with.

    `dtype` is float32 (true fp32 everywhere), tf32 (float32 tensors, products in TF32), float16 or bfloat16. `gpu` is
    the id of the device, if it is not found by its name. Flags of PyTorch, random states and default dtype and device
    are as before afterwards, also after an exception. Raises CannotRun without CUDA, or without memory.
    """
    if dtype not in DTYPES:
        raise UsageError("--dtype", f"must be one of {', '.join(DTYPES)}", repr(dtype))
    if timer is None:
        timer = cuda_timer(device)
    gpu = gpu or device_named("local").id
    with untouched(seed, device), multiplying(tf32=dtype == "tf32"):
        rows = [_timed(case, dtype, gpu, device, timer) for case in cases]
        return rows, environment_of(device)


def cuda_timer(device: str) -> Timer:
    """Seconds between two events around one call: the mean of the fastest 5 of 25, each waited for."""
    if device != "cuda" or not torch.cuda.is_available():
        got = "none that PyTorch can use" if device == "cuda" else repr(device)
        way_out = "take the timings on a machine with one, and read its file"
        raise CannotRun("calibrate", "needs a CUDA device", got, way_out=way_out)

    def seconds(call: Call) -> float:
        for _ in range(WARM_UP):
            call()
        torch.cuda.synchronize()
        taken: list[float] = []
        for _ in range(RUNS):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            call()
            end.record()
            torch.cuda.synchronize()
            taken.append(start.elapsed_time(end) / 1000)
        return sum(sorted(taken)[:FASTEST]) / FASTEST

    return seconds


@contextmanager
def multiplying(*, tf32: bool) -> Iterator[None]:
    """Multiply float32 in TF32 or not, and let cuDNN try its algorithms; afterwards as before.

    Newer versions of PyTorch refuse to read the older flags once somebody has set the newer ones, so only those are
    touched where there are any.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    newer = hasattr(matmul, "fp32_precision")
    flags: list[tuple[Any, str, Any]] = [(cudnn, "benchmark", True)]
    if newer:
        wanted = "tf32" if tf32 else "ieee"
        flags += [(matmul, "fp32_precision", wanted), (cudnn.conv, "fp32_precision", wanted)]  # type: ignore[attr-defined]
    else:
        flags += [(matmul, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32)]
    with ExitStack() as stack:
        for owner, name, value in flags:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield


def _timed(case: Case, dtype: str, gpu: str, device: str, timer: Timer) -> Cells:
    """One row: the case, and the milliseconds that it takes."""
    try:
        seconds = timer(CALLS[str(case["op"])](case, getattr(torch, DTYPES[dtype][0]), device))
    except torch.OutOfMemoryError as error:
        raise CannotRun("calibrate", "the tensors must fit the memory", str(error).split(". ")[0]) from None
    cells = {name: str(value) for name, value in case.items()}
    return cells | {"gpu": gpu, "dtype": dtype, "time_ms": repr(seconds * 1000)}


def environment_of(device: str) -> dict[str, str]:
    """What the times rest on: card, highest clock, versions, date."""
    found = {"torch": torch.__version__, "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat()}
    if device == "cuda":
        card = torch.cuda.get_device_properties(torch.cuda.current_device())
        found |= {"card": card.name, "cuda": str(torch.version.cuda), "cudnn": _cudnn()}
        if clock := getattr(card, "clock_rate", 0):
            found["clock_mhz"] = f"{clock / 1000:g}"
    return found


def _cudnn() -> str:
    return str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]


def write(rows: Sequence[Cells], path: str) -> None:
    """Write the rows as CSV, with all columns that `measured.read` knows."""
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise UsageError("calibrate", "must be a file that can be written", f"{path}: {error.strerror}") from None


def _sizes(case: Case, names: str) -> list[int]:
    return [int(case[name]) for name in names.split()]


def _linear(case: Case, dtype: torch.dtype, device: str) -> Call:
    rows, inputs, outputs = _sizes(case, "rows in_features out_features")
    layer = torch.nn.Linear(inputs, outputs, dtype=dtype, device=device)
    x = torch.randn(1, rows, inputs, dtype=dtype, device=device)
    return lambda: layer(x)


def _bmm(case: Case, dtype: torch.dtype, device: str) -> Call:
    batch, m, n, k = _sizes(case, "batch m n k")
    a, b = (torch.randn(shape, dtype=dtype, device=device) for shape in ((batch, m, k), (batch, k, n)))
    return lambda: torch.bmm(a, b)


def _conv(case: Case, dtype: torch.dtype, device: str) -> Call:
    batch, channels, height, width, filters = _sizes(case, "batch in_channels height width out_channels")
    kernel, stride, padding, dilation, groups = _sizes(case, "kernel stride padding dilation groups")
    layer = torch.nn.Conv2d(
        channels, filters, kernel, stride, padding, dilation, groups, bias=False, dtype=dtype, device=device
    )
    x = torch.randn(batch, channels, height, width, dtype=dtype, device=device)
    return lambda: layer(x)


def _elementwise(case: Case, dtype: torch.dtype, device: str) -> Call:
    x = torch.randn(int(case["numel"]), dtype=dtype, device=device)
    if case["inputs"] == 1:
        module = torch.nn.ReLU()
        return lambda: module(x)
    other = torch.randn_like(x)
    return lambda: x + other


def _softmax(case: Case, dtype: torch.dtype, device: str) -> Call:
    x = torch.randn(*_sizes(case, "rows width"), dtype=dtype, device=device)
    return lambda: torch.softmax(x, -1)


def _layer_norm(case: Case, dtype: torch.dtype, device: str) -> Call:
    rows, width = _sizes(case, "rows width")
    layer = torch.nn.LayerNorm(width, dtype=dtype, device=device)
    x = torch.randn(rows, width, dtype=dtype, device=device)
    return lambda: layer(x)


def _attention(case: Case, dtype: torch.dtype, device: str) -> Call:
    heads, queries, keys, head = _sizes(case, "batch m n k")
    q, k, v = (torch.randn(1, heads, n, head, dtype=dtype, device=device) for n in (queries, keys, keys))
    return lambda: functional.scaled_dot_product_attention(q, k, v)


CALLS: dict[str, Callable[[Case, torch.dtype, str], Call]] = {
    "linear": _linear,
    "bmm": _bmm,
    "conv": _conv,
    "elementwise": _elementwise,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "attention": _attention,
}
