"""Keras layers with spatial axes: convolutions, pools, padding, cropping, resizing; channels last or first."""

from typing import Any

from archcalc import layers
from archcalc.dialects.keras_layers import activated, kept, reads
from archcalc.dialects.keras_weave import Call, Value
from archcalc.layers.layer import Layer, Shape
from archcalc.layers.windowed import per_axis

RULES = ("valid", "same")


def each(*templates: str, ranks: str = "123") -> list[str]:
    """Names with the number of axes in the place of {}."""
    return [template.replace("{}", rank) for template in templates for rank in ranks]


def rank_of(call: Call) -> int:
    """Spatial axes, as the class name says."""
    return int(next(letter for letter in call.config.kind if letter.isdigit()))


def cells(call: Call, name: str, default: Any = 1, least: int = 1) -> int | tuple[int, ...]:
    """A field per axis; 1 for each axis of time in front."""
    numbers = call.config.wholes(name, rank_of(call), default, least)
    if not call.lead and len(set(numbers)) == 1:
        return numbers[0]
    return (*(1,) * call.lead, *numbers)


def images(call: Call) -> Value | None:
    """The tensor in our order, if its axes are as many as the class name says; None where time stands in between."""
    if call.lead and call.config.given("data_format", "channels_last") == "channels_first":
        return None
    x = call.image()
    if x.rank != rank_of(call) + call.lead + 2:
        raise call.config.error(f"needs {rank_of(call)} axes beside batch and channels", f"{x.rank - 2}")
    return x


def placed(call: Call, x: Value | None, layer: Layer, part: str = "") -> list[Value]:
    """The layer on the tensor, and the activation that Keras' layer may have inside."""
    if x is None:
        return call.unknown()
    return activated(call, call.add(layer, x, part=part))


def padding(call: Call, *more: str) -> Any:
    """The rule of padding."""
    return call.config.word("padding", (*RULES, *more), "valid")


def sliding(call: Call, *rules: str) -> dict[str, Any]:
    """Kernel, stride, dilation, padding and bias of a convolution."""
    fields = {"kernel": cells(call, "kernel_size"), "stride": cells(call, "strides", 1)}
    fields |= {"dilation": cells(call, "dilation_rate", 1), "padding": padding(call, *rules)}
    return fields | {"bias": call.config.flag("use_bias", True)}


@reads(*each("Conv{}D"))
def _conv(call: Call) -> list[Value]:
    fields = sliding(call, "causal") | {"groups": call.config.whole("groups", 1)}
    layer = layers.Conv(filters=call.config.whole("filters"), **fields)
    if layer.padding == "causal" and call.lead:
        return call.unknown()
    return placed(call, images(call), layer)


@reads(*each("Conv{}DTranspose"))
def _conv_transpose(call: Call) -> list[Value]:
    """With output padding Keras leaves (size − 1) × stride + span mod 2 cells, and the padding, under `same`."""
    fields = sliding(call)
    layer = layers.ConvTranspose(filters=call.config.whole("filters"), **fields)
    if call.config.given("output_padding", None) is not None:
        count = rank_of(call) + call.lead
        taps, apart = per_axis(layer, "kernel", count), per_axis(layer, "dilation", count)
        spans = [(kernel - 1) * dilation + 1 for kernel, dilation in zip(taps, apart, strict=True)]
        extra = (*(0,) * call.lead, *call.config.wholes("output_padding", rank_of(call), least=0))
        cropped = tuple(span // 2 if fields["padding"] == "same" else 0 for span in spans)
        layer = layers.ConvTranspose(layer.filters, **fields | {"padding": cropped, "output_padding": extra})
    return placed(call, images(call), layer)


@reads(*each("DepthwiseConv{}D", ranks="12"))
def _depthwise(call: Call) -> list[Value]:
    fields = sliding(call, "causal")
    layer = layers.DepthwiseConv(multiplier=call.config.whole("depth_multiplier", 1), **fields)
    return placed(call, images(call), layer)


@reads(*each("SeparableConv{}D", ranks="12"))
def _separable(call: Call) -> list[Value]:
    fields = sliding(call, "causal")
    multiplier = call.config.whole("depth_multiplier", 1)
    layer = layers.SeparableConv(filters=call.config.whole("filters"), multiplier=multiplier, **fields)
    return placed(call, images(call), layer)


@reads(*each("MaxPooling{}D", "AveragePooling{}D"))
def _pool(call: Call) -> list[Value]:
    kernel = cells(call, "pool_size", 2)
    stride = kernel if call.config.given("strides", None) is None else cells(call, "strides")
    pool = layers.MaxPool if call.config.kind.startswith("Max") else layers.AvgPool
    layer = pool(kernel=kernel, stride=None if stride == kernel else stride, padding=padding(call))
    return placed(call, images(call), layer)


@reads(*each("AdaptiveMaxPooling{}D", "AdaptiveAveragePooling{}D"))
def _adaptive(call: Call) -> list[Value]:
    pool = layers.AdaptiveMaxPool if "Max" in call.config.kind else layers.AdaptiveAvgPool
    x = images(call)
    if x is None or call.lead:
        return call.unknown()
    return placed(call, x, pool(size=cells(call, "output_size")))


@reads(*each("GlobalMaxPooling{}D", "GlobalAveragePooling{}D"))
def _global(call: Call) -> list[Value]:
    x, keep = images(call), call.config.flag("keepdims", False)
    largest = "Max" in call.config.kind
    if x is None:
        return call.unknown()
    if not call.lead:
        pool = layers.GlobalMaxPool if largest else layers.GlobalAvgPool
        return [call.add(pool(keep_axes=keep), x)]
    axes = tuple(range(2 + call.lead, x.rank))
    return [call.add(layers.Reduce("reduce_max" if largest else "reduce_mean", axes=axes, keep_axes=keep), x)]


@reads(*each("ZeroPadding{}D", "Cropping{}D"))
def _border(call: Call) -> list[Value]:
    pads = call.config.kind.startswith("Zero")
    amounts = pairs(call, "padding" if pads else "cropping")
    layer = layers.Pad(amount=amounts) if pads else layers.Crop(amount=amounts)
    return placed(call, images(call), layer)


def pairs(call: Call, name: str) -> tuple[tuple[int, int], ...]:
    """Cells before and behind each axis: a number, one per axis, or pairs; of one axis also a plain pair."""
    rank, given = rank_of(call), call.config.given(name)
    if rank == 1 and isinstance(given, list | tuple) and len(given) == 2:
        given = [given]
    items = list(given) if isinstance(given, list | tuple) else [given] * rank
    if len(items) != rank:
        raise call.config.error(f"{name} must be one number, or one or a pair for each of {rank} axes", f"{len(items)}")
    amounts = []
    for item in items:
        before, behind = type(call.config)(call.config.kind, {name: item}, call.config.where).wholes(name, 2, least=0)
        amounts.append((before, behind))
    return (*((0, 0),) * call.lead, *amounts)


@reads(*each("UpSampling{}D"))
def _up_sampling(call: Call) -> list[Value]:
    scale = cells(call, "size", 2)
    known = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
    mode = call.config.word("interpolation", known, "nearest")
    x = images(call)
    if x is None or mode.startswith("lanczos") or (call.lead and mode != "nearest"):
        return call.unknown()
    return [call.add(layers.Resize(scale=scale, mode=mode), x)]  # type: ignore[arg-type]


@reads("Resizing")
def _resizing(call: Call) -> list[Value]:
    size = (call.config.whole("height"), call.config.whole("width"))
    mode = call.config.text("interpolation", "bilinear")
    plain = not any(call.config.given(f"{how}_to_aspect_ratio", False) for how in ("crop", "pad"))
    x = call.image()
    if not plain or mode not in ("nearest", "bilinear", "bicubic") or x.rank != 4 or call.lead:
        return to_size(call, x, size)
    return [call.add(layers.Resize(size=size, mode=mode), x)]  # type: ignore[arg-type]


@reads("RandomCrop")
def _random_crop(call: Call) -> list[Value]:
    """At inference it resizes what it cuts from the centre."""
    return to_size(call, call.image(), (call.config.whole("height"), call.config.whole("width")))


@reads("CenterCrop")
def _center_crop(call: Call) -> list[Value]:
    """An image that is too small is resized instead."""
    size = (call.config.whole("height"), call.config.whole("width"))
    x = call.image()
    if x.rank != 4 or call.lead:
        return kept(call, x)
    spare = [have - wanted for have, wanted in zip(x.shape[2:], size, strict=True)]
    if min(spare) < 0:
        return to_size(call, x, size)
    call.weave.remarks.append(f"{call.name}: cut for the input size in the file; at another one it would cut otherwise")
    return [call.add(layers.Crop(amount=tuple((cut // 2, cut - cut // 2) for cut in spare)), x)]


def to_size(call: Call, x: Value, size: Shape) -> list[Value]:
    """A resampling that is not understood, of which the size is known."""
    shape = (*x.shape[:2], *size) if x.rank == 4 else x.shape
    return [call.add(layers.Unknown(call.config.kind, shape, (x.shape,)), x)]
