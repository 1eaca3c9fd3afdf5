"""How kernel, stride, padding and dilation of a layer become one Window per axis; convolution and pooling share it."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from archcalc.algebra.num import differ, less, prod
from archcalc.algebra.window import Window, same_padding
from archcalc.errors import LayerError, WindowError
from archcalc.layers.layer import Saved, Shape

PerAxis = int | tuple[int, ...]  # one number for every axis, or one per axis
Padding = int | tuple[int | tuple[int, int], ...] | Literal["valid", "same", "causal"]
Cropping = int | tuple[int | tuple[int, int], ...] | Literal["valid", "same"]


class Windowed(Protocol):
    """A layer with a kernel that moves."""

    @property
    def kernel(self) -> PerAxis: ...
    @property
    def stride(self) -> PerAxis | None: ...
    @property
    def padding(self) -> Padding: ...
    def error(self, rule: str, got: str, *, of: type[LayerError] = LayerError) -> LayerError: ...


def per_axis(layer: Any, field: str, rank: int) -> tuple[int, ...]:
    """The field's value for each of `rank` axes."""
    value = getattr(layer, field)
    if not isinstance(value, tuple):
        return (value,) * rank
    if len(value) != rank:
        raise layer.error(f"{field} must be one number, or one for each of {rank} axes", f"{list(value)}")
    return value


def windows_over(layer: Windowed, axes: Sequence[int]) -> tuple[Window, ...]:
    """One window per axis; WindowError where a window does not fit its padded axis."""
    windows = unchecked(layer, axes)
    for window, n in zip(windows, axes, strict=True):
        if less(n + window.before + window.after, window.span):
            raise does_not_fit(layer, window, n)
    return windows


def unchecked(layer: Windowed, axes: Sequence[int]) -> tuple[Window, ...]:
    """One window per axis, whether it fits or not."""
    rank = len(axes)
    kernel = per_axis(layer, "kernel", rank)
    stride = kernel if layer.stride is None else per_axis(layer, "stride", rank)
    dilation = per_axis(layer, "dilation", rank) if hasattr(layer, "dilation") else (1,) * rank
    spans = [Window(k, dilation=d).span for k, d in zip(kernel, dilation, strict=True)]
    padding = padding_over(layer, axes, spans, stride)
    return tuple(
        Window(k, s, before, after, d)
        for k, s, (before, after), d in zip(kernel, stride, padding, dilation, strict=True)
    )


def padding_over(
    layer: Windowed, axes: Sequence[int], spans: Sequence[int], stride: Sequence[int]
) -> Sequence[tuple[int, int]]:
    """Padding (before, after) of each axis, as numbers or by its rule."""
    match layer.padding:
        case "valid":
            return [(0, 0)] * len(axes)
        case "same":
            return [same_padding(n, span, s) for n, span, s in zip(axes, spans, stride, strict=True)]
        case "causal":
            if len(axes) != 1:
                raise layer.error("causal padding needs exactly one spatial axis", f"{len(axes)}")
            return [(spans[0] - 1, 0)]
    return [p if isinstance(p, tuple) else (p, p) for p in per_axis(layer, "padding", len(axes))]


def depends_on_size(layer: Any) -> str:
    """Why the padding of a layer depends on the size of its input; empty where it does not."""
    stride = layer.kernel if layer.stride is None else layer.stride
    return "same padding with a stride" if layer.padding == "same" and stride != 1 else ""


def evenly_padded(windows: Sequence[Window]) -> bool:
    """Is every axis known to be padded alike before and behind?"""
    return all(differ(window.before, window.after) is False for window in windows)


def kept_under(windows: Sequence[Window], x: Shape, *, copied: bool) -> Saved:
    """The input, or the padded copy of it that PyTorch's windows move over where it cannot pad by itself."""
    if not copied:
        return Saved(0, prod(x))
    batch, channels, *axes = x
    sizes = [n + window.before + window.after for window, n in zip(windows, axes, strict=True)]
    return Saved("own", batch * channels * prod(sizes))


def does_not_fit(layer: Windowed, window: Window, n: int) -> LayerError:
    """The error for a window that is larger than its axis."""
    got = f"an axis of {n} padded by ({window.before}, {window.after})"
    return layer.error(f"a window spanning {window.span} must fit its axis", got, of=WindowError)


def windows_that_meet(windows: Sequence[Window], axes: Sequence[int], stops: Sequence[int]) -> int:
    """Windows with at least one tap off the padding."""
    total = 1
    for window, n, count in zip(windows, axes, stops, strict=True):
        total = total * window.stops_that_meet(n, count)
    return total


def taps_inside(windows: Sequence[Window], axes: Sequence[int], stops: Sequence[int]) -> int:
    """Pairs (stop, tap) off the padding; axes are independent, so the counts multiply."""
    total = 1
    for window, n, count in zip(windows, axes, stops, strict=True):
        total = total * window.valid_taps(n, count)
    return total


def cells_read(windows: Sequence[Window], x: Shape, stops: Sequence[int]) -> int:
    """Elements of an input that at least one tap lies on; a stride above the kernel leaves some out."""
    batch, channels, *axes = x
    reached = [window.cells_reached(n, count) for window, n, count in zip(windows, axes, stops, strict=True)]
    return batch * channels * prod(reached)
