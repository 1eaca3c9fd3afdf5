"""Counting by naive loops: visit every stop and tap, and look whether it lies in the input. Slow, and plain to see."""

from itertools import product


def axis_pairs(n, kernel, stride, before, dilation, stops):
    """(stop, tap) pairs of one axis, each with whether the tap lies on the axis."""
    for stop in range(stops):
        for tap in range(kernel):
            cell = stop * stride - before + tap * dilation
            yield stop, tap, 0 <= cell < n


def conv_taps(axes, stops, kernel, stride, padding, dilation):
    """All taps, and those off the padding, of one filter channel over an image."""
    per_axis = [
        list(axis_pairs(n, k, s, before, d, out))
        for n, out, k, s, (before, _), d in zip(axes, stops, kernel, stride, padding, dilation, strict=True)
    ]
    everything = inside = 0
    for pairs in product(*per_axis):
        everything += 1
        inside += all(valid for _, _, valid in pairs)
    return everything, inside


def stops_that_fit(n, kernel, stride, before, after, dilation):
    """Slide until the last tap would leave the padded axis."""
    stops = 0
    while stops * stride + (kernel - 1) * dilation < n + before + after:
        stops += 1
    return stops


def pool_stops_ceil(n, kernel, stride, before, after, dilation):
    """Slide while the window starts before the padding behind, until one reaches the end of the padded axis."""
    stops, start = 0, 0
    while start < n + before:
        stops += 1
        if start + (kernel - 1) * dilation + 1 >= n + before + after:
            break
        start += stride
    return stops


def transposed_products(cells, sizes, kernel, stride, crop, dilation):
    """Products, those that land on the output, and the output cells that at least one reaches."""
    everything = landed = 0
    reached = set()
    for at in product(*(range(n) for n in cells)):
        for tap in product(*(range(k) for k in kernel)):
            everything += 1
            where = tuple(i * s + t * d - c for i, s, t, d, c in zip(at, stride, tap, dilation, crop, strict=True))
            if all(0 <= w < size for w, size in zip(where, sizes, strict=True)):
                landed += 1
                reached.add(where)
    return everything, landed, len(reached)


def adaptive_taps(n, size):
    """Cells under all windows of an adaptive pool on one axis."""
    total = 0
    for i in range(size):
        first, last = (i * n) // size, -((-(i + 1) * n) // size)
        total += len(range(n)[first:last])
    return total


def taps_per_window(axes, stops, kernel, stride, padding, dilation):
    """For every window, its taps off the padding."""
    for at in product(*map(range, stops)):
        count = 1
        for o, n, k, s, (before, _), d in zip(at, axes, kernel, stride, padding, dilation, strict=True):
            count *= sum(0 <= o * s - before + t * d < n for t in range(k))
        yield count
