"""Windows form a monoid, and their counts are what they say."""

from hypothesis import given
from hypothesis import strategies as st

from archcalc.algebra.window import Window, same_padding

windows = st.builds(
    Window,
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    before=st.integers(0, 5),
    after=st.integers(-2, 5),
    dilation=st.integers(1, 4),
)
sizes = st.integers(-50, 400)


@given(windows, windows, sizes)
def test_two_windows_in_a_row_are_one(first, second, n):
    assert first.then(second).size(n) == second.size(first.size(n))


@given(windows, windows, windows)
def test_composition_is_associative(a, b, c):
    assert a.then(b).then(c) == a.then(b.then(c))


@given(windows)
def test_the_unit_changes_nothing(window):
    unit = Window(kernel=1)
    plain = Window(window.span, window.stride, window.before, window.after)
    assert unit.then(window) == plain == window.then(unit)


@given(windows, st.integers(1, 40), st.integers(1, 20))
def test_taps_and_cells_by_counting(window, n, stops):
    hits = [o * window.stride - window.before + t * window.dilation for o in range(stops) for t in range(window.kernel)]
    inside = [cell for cell in hits if 0 <= cell < n]
    met = [any(0 <= cell < n for cell in hits[o * window.kernel : (o + 1) * window.kernel]) for o in range(stops)]
    if window.dilation > 1:
        assert window.stops_that_meet(n, stops) == sum(met)
    assert window.valid_taps(n, stops) == len(inside)
    assert window.cells_reached(n, stops) == len(set(inside))


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 5))
def test_same_padding_gives_the_quotient_rounded_up(n, span, stride):
    before, after = same_padding(n, span, stride)
    assert 0 <= after - before <= 1
    assert Window(span, stride, before, after).size(n) == -(-n // stride) or span < stride


def test_published_receptive_span_of_the_digits_network():
    stack = [Window(5), Window(2, 2), Window(3), Window(2, 2), Window(5)]
    one = Window(1)
    for window in stack:
        one = one.then(window)
    assert (one.span, one.stride, one.size(28), one.size(1024)) == (28, 4, 1, 250)


def test_three_taps_padded_by_one():
    assert [Window(3, 1, 1, 1).valid_taps(n, n) for n in (1, 5, 10)] == [1, 13, 28]  # 3n − 2
