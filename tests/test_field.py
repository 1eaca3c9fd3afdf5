"""Receptive fields: published figures, every pixel of random networks against PyTorch, laws, messages and pages."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.algebra import field as sights
from archcalc.algebra.window import Window
from archcalc.cli.main import main
from archcalc.errors import ModelError, UsageError
from archcalc.layers import KINDS, Layer
from archcalc.layers.layer import Composite
from tests.asking import layer_of

MANY = 1000 if settings.default.max_examples > 1000 else 50  # --hypothesis-profile=long: a thousand networks of each


def loads(layers, inputs="{image: [1, 28, 28]}", rest=""):
    return archcalc.loads(f"archcalc: 1\nname: m\ninputs: {inputs}\n{rest}layers:\n{layers}")


def sizes(row, name="image"):
    """Size, stride and padding, as the table of the paper gives them: the same for both axes."""
    first, second = row.extents[name]
    assert (first.size, first.stride, first.start) == (second.size, second.stride, second.start)
    return first.size, first.stride, -first.start


# --- published figures
# Araujo, Norris, Sim: Computing Receptive Fields of Convolutional Neural Networks, Distill (2019), and its table
# https://github.com/google-research/receptive_field/blob/master/receptive_field/RECEPTIVE_FIELD_TABLE.md


ALEXNET_V2 = """
- conv: {name: conv1, filters: 1, kernel: 11, stride: 4}
- max_pool: {name: pool1, kernel: 3, stride: 2}
- conv: {name: conv2, filters: 1, kernel: 5, padding: same}
- max_pool: {name: pool2, kernel: 3, stride: 2}
- conv: {name: conv3, filters: 1, kernel: 3, padding: same}
- conv: {name: conv4, filters: 1, kernel: 3, padding: same}
- conv: {name: conv5, filters: 1, kernel: 3, padding: same}
- max_pool: {name: pool5, kernel: 3, stride: 2}
"""


@pytest.mark.parametrize("size", [224, 321])
def test_alexnet_as_published(size):
    found = loads(ALEXNET_V2, f"{{image: [3, {size}, {size}]}}").field()
    published = {
        "conv1": (11, 4, 0), "pool1": (19, 8, 0), "conv2": (51, 8, 16), "conv3": (99, 16, 32), "conv4": (131, 16, 48),
        "conv5": (163, 16, 64), "pool5": (195, 32, 64),
    }  # fmt: skip
    assert {name: sizes(found[name]) for name in published} == published
    torchvision = archcalc.load("zoo:alexnet").field()  # pads its first convolution by 2: all padding is 2 more
    assert sizes(torchvision["max_pool3"]) == (195, 32, 66)
    assert sizes(archcalc.load("zoo:alexnet_2012").field()["max_pool3"]) == (195, 32, 64)


def test_vgg16_as_published():
    found = archcalc.load("zoo:vgg16").field()
    published = [(6, 2, 2), (16, 4, 6), (44, 8, 18), (100, 16, 42), (212, 32, 90)]  # pool1 … pool5
    assert [sizes(row) for row in found.rows if row.kind == "max_pool"] == published
    dense = archcalc.load("zoo:vgg16")
    head = loads("- conv: {filters: 1, kernel: 7}", f"{{image: [1, {7}, {7}]}}").field().rows[0]
    assert 212 + 32 * (head.extents["image"][0].size - 1) == 404  # fc6 as a convolution of 7 × 7
    assert dense.field()["dense1"].everything


MOBILENET = [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]  # strides of the thirteen depthwise convolutions


@pytest.mark.parametrize(
    ("size", "padding"),
    [
        (224, [0, 2, 2, 6, 6, 14, 14, 30, 46, 62, 78, 94, 94, 126]),
        (321, [1, 3, 5, 9, 13, 21, 29, 45, 61, 77, 93, 109, 125, 157]),
    ],
)
def test_mobilenet_as_published(size, padding):
    lines = ["- conv: {filters: 1, kernel: 3, stride: 2, padding: same}"]
    lines += [f"- separable_conv: {{filters: 1, kernel: 3, stride: {stride}, padding: same}}" for stride in MOBILENET]
    found = loads("\n".join(lines), f"{{image: [3, {size}, {size}]}}").field()
    rows = [found.rows[0], *(row for row in found.rows if row.name.endswith("pointwise"))]
    size_and_stride = [
        (3, 2), (7, 2), (11, 4), (19, 4), (27, 8), (43, 8), (59, 16), (91, 16), (123, 16), (155, 16), (187, 16), (219, 16),
        (251, 32), (315, 32),
    ]  # fmt: skip
    assert [sizes(row) for row in rows] == [(*two, p) for two, p in zip(size_and_stride, padding, strict=True)]
    assert len(found.notes) == 1
    assert found.notes[0].startswith("holds at this input size: same padding with a stride in conv1, ")


RESNET_V1 = """
blocks:
  stage: {args: {units: 3, stride: 2}, layers: [{repeat: {times: units - 1, layers: [unit]}}, {unit: {stride: stride}}]}
  unit:
    args: {stride: 1}
    layers:
      - residual:
          layers:
            - conv: {filters: 1, kernel: 1}
            - pad: 1
            - conv: {filters: 1, kernel: 3, stride: stride}
            - conv: {filters: 1, kernel: 1}
          shortcut: [max_pool: {kernel: 1, stride: stride}]
"""


@pytest.mark.parametrize(("size", "padding"), [(224, [15, 47, 143, 239]), (321, [17, 49, 145, 241])])
def test_resnet_v1_50_as_published(size, padding):
    lines = """
- conv: {filters: 1, kernel: 7, stride: 2, padding: 3}
- max_pool: {kernel: 3, stride: 2, padding: same}
- stage: {name: block1, units: 3}
- stage: {name: block2, units: 4}
- stage: {name: block3, units: 6}
- stage: {name: block4, units: 3, stride: 1}
"""
    found = loads(lines, f"{{image: [3, {size}, {size}]}}", RESNET_V1.lstrip()).field()
    rows = [sizes(found[f"block{number}"]) for number in (1, 2, 3, 4)]
    expected = [(35, 8), (99, 16), (291, 32), (483, 32)]
    assert rows == [(*two, p) for two, p in zip(expected, padding, strict=True)]


def test_resnet50_of_torchvision():
    """The first unit of a stage has the stride, on its 3 × 3 convolution: 11 + 3·8, + 8 + 3·16, + 16 + 5·32, + 32 + 2·64."""
    found = archcalc.load("zoo:resnet50").field()
    assert [sizes(found[f"layer{number}"]) for number in (1, 2, 3, 4)] == [
        (35, 4, 17), (91, 8, 45), (267, 16, 133), (427, 32, 213)
    ]  # fmt: skip
    assert all(row.aligned for row in found.rows)
    assert found["global_avg_pool1"].everything
    assert found["dense1"].extents["image"][0].why == "global_avg_pool1 pools whole axes"


INCEPTION_V2 = """
blocks:
  mixed:
    layers:
      - concat:
          - [{conv: {filters: 1, kernel: 1}}]
          - [{conv: {filters: 1, kernel: 1}}, {conv: {filters: 1, kernel: 3, padding: same}}]
          - [{conv: {filters: 1, kernel: 1}}, {conv: {filters: 1, kernel: 3, padding: same}}, {conv: {filters: 1, kernel: 3, padding: same}}]
          - [{avg_pool: {kernel: 3, stride: 1, padding: same}}, {conv: {filters: 1, kernel: 1}}]
  smaller:
    layers:
      - concat:
          - [{conv: {filters: 1, kernel: 1}}, {conv: {filters: 1, kernel: 3, stride: 2, padding: same}}]
          - [{conv: {filters: 1, kernel: 3, padding: same}}, {conv: {filters: 1, kernel: 3, stride: 2, padding: same}}]
          - [{max_pool: {kernel: 3, stride: 2, padding: same}}]
"""


@pytest.mark.parametrize(
    ("size", "padding"),
    [
        (224, [2, 2, 6, 6, 22, 38, 46, 78, 110, 142, 174, 190, 254, 318]),
        (321, [3, 5, 9, 13, 29, 45, 61, 93, 125, 157, 189, 221, 285, 349]),
    ],
)
def test_inception_v2_as_published(size, padding):
    names = ["3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b", "5c"]
    lines = """
- conv: {filters: 1, kernel: 7, stride: 2, padding: same}
- max_pool: {kernel: 3, stride: 2, padding: same}
- conv: {filters: 1, kernel: 3, padding: same}
- max_pool: {kernel: 3, stride: 2, padding: same}
""" + "\n".join(f"- {'smaller' if name.endswith('a') else 'mixed'}: {{name: m{name}}}" for name in names)
    found = loads(lines, f"{{image: [3, {size}, {size}]}}", INCEPTION_V2.lstrip()).field()
    rows = [*found.rows[:4], *(found[f"m{name}"] for name in names)]
    two = [(7, 2), (11, 4), (19, 4), (27, 8), (59, 8), (91, 8), (123, 16), (187, 16), (251, 16), (315, 16), (379, 16)]
    two += [(443, 32), (571, 32), (699, 32)]
    assert [sizes(row) for row in rows] == [(*pair, p) for pair, p in zip(two, padding, strict=True)]


def test_the_digits_network_reports_where_a_digit_is():
    found = archcalc.load("zoo:digits").field("conv3", (3, 7), (100, 100, 128, 128), input=(1024, 1024))
    assert sizes(found.rows[-1]) == (28, 4, 0)
    glimpse = found.cell.glimpses["image"]
    assert glimpse.box == glimpse.clipped == ((12, 40), (28, 56))
    assert glimpse.centre == (Fraction(51, 2), Fraction(83, 2))  # 4·3 + 13.5, 4·7 + 13.5
    assert (glimpse.pixels, glimpse.exact) == (784, True)
    assert found.seers.cells == ((19, 32), (19, 32))  # 4r < 128 and 4r + 28 > 100


# --- every pixel of random networks


def bounds(mask):
    """The half-open box around what is true, one of two axes, and how many are."""
    rows, columns = mask.any(1).nonzero().flatten().tolist(), mask.any(0).nonzero().flatten().tolist()
    return (((rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)) if rows else None), int(mask.sum())


def wrong(model, moved):
    """Cells whose box, number of pixels or inverse is not what moves them; and how many claims are bounds only."""
    last, bad, loose = model.outputs[0], [], 0
    (row,) = model.field(last).rows
    if row.axes != (2, 3):  # an axis was averaged away before axes were swapped
        return [], 0
    height, width = row.output[2:]
    for place in {(r, c) for r in range(height) for c in range(width) if (r * 7 + c * 3) % 5 == 0 or r * c == 0}:
        seen = model.field(last, place).cell
        for name, truth in moved.items():
            glimpse = seen.glimpses.get(name)
            box, pixels = bounds(truth[:, :, place[0], place[1]])
            if glimpse is None:
                bad += [(name, place)] if pixels else []
                continue
            loose += not glimpse.exact
            if glimpse.exact and (glimpse.clipped, glimpse.pixels) != (box, pixels):
                bad.append((name, place, glimpse, box, pixels))
            around = glimpse.clipped if glimpse.box is None else glimpse.box
            reflected = any(extent.border for extent in row.extents[name])
            if box and not reflected and not all(a <= c and d <= b for (a, b), (c, d) in zip(around, box, strict=True)):
                bad.append((name, place, "outside", around, box))
    for name, truth in moved.items():
        high, wide = truth.shape[:2]
        box = (high // 3, wide // 4, high // 3 + 1, max(wide // 4 + 1, wide // 2))
        seers = model.field(last, box={name: box}).seers
        expected = bounds(truth[box[0] : box[2], box[1] : box[3]].any(0).any(0))
        if seers.exact and (seers.cells, seers.count) != expected:
            bad.append((name, box, seers, expected))
    return bad, loose


@pytest.mark.parametrize("smooth", [False, True], ids=["maxima", "smooth"])
def test_boxes_are_those_of_the_pixels_that_move_a_cell(smooth):
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.random_graphs import moved, network

    bounds_only = compared = 0
    for seed in range(MANY):
        model = network(seed, smooth=smooth)
        truth = moved(model, seed, smooth=smooth)
        if truth is not None:
            bad, loose = wrong(model, truth)
            assert bad == [], (seed, model.nodes, bad[:2])
            bounds_only += bool(loose)
            compared += 1
    assert compared > 0.9 * MANY
    assert bounds_only < 0.05 * MANY


def test_the_comparison_sees_a_wrong_box(monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed")
    from tests.random_graphs import moved, network

    found = [(network(seed), moved(network(seed), seed)) for seed in range(12)]
    assert not any(wrong(model, truth)[0] for model, truth in found if truth)
    right = sights.through
    monkeypatch.setattr("archcalc.layers.conv.through", lambda w: right(Window(w.kernel + 1, w.stride, w.before)))
    assert any(wrong(model, truth)[0] for model, truth in found if truth)


# --- laws


windows = st.builds(
    Window, st.integers(1, 5), st.integers(1, 4), st.integers(-2, 4), st.integers(-2, 4), st.integers(1, 3)
)


@given(windows, windows, st.integers(-5, 20))
def test_sights_compose_as_windows_do(first, second, o):
    both = first.then(second)
    a, b, c = (sights.through(window) for window in (first, second, both))
    assert (c.start, c.stride, c.size) == (
        a.start + a.stride * b.start,
        a.stride * b.stride,
        a.size + a.stride * (b.size - 1),
    )
    reached = {cell for middle in b.cells(o) for cell in a.cells(middle)}
    assert (min(reached), max(reached)) == (c.start + o * c.stride, c.start + o * c.stride + c.size - 1)


SIGHTS = st.one_of(
    windows.map(sights.through),
    windows.filter(lambda w: w.dilation == 1).map(sights.adjoint),
    st.integers(1, 5).map(sights.spread),
    st.builds(sights.shared, st.integers(1, 20), st.integers(1, 20)),
    st.builds(
        sights.sampled, st.tuples(st.integers(-5, 5), st.integers(1, 6)), st.tuples(st.integers(1, 12), st.integers(1, 12)),
        st.sampled_from([(1, 1), (2, 2)]),
    ),
    st.builds(sights.sampled, st.just((0, 1)), st.tuples(st.integers(1, 12), st.integers(1, 12)), st.just((1, 0))),
)  # fmt: skip


@given(SIGHTS)
def test_start_stride_and_size_are_the_narrowest(sight):
    low, high = [], []
    for o in range(150):
        cells = list(sight.cells(o))
        if cells:
            low.append(min(cells) - sight.start - o * sight.stride)
            high.append(sight.start + o * sight.stride + sight.size - 1 - max(cells))
    assert min(low) == 0
    assert min(high) == 0


@given(SIGHTS, st.integers(1, 30), st.integers(1, 12), st.integers(1, 2**30))
def test_a_cell_is_reached_by_what_sees_it(sight, n, stops, chosen):
    chosen &= (1 << n) - 1
    reached = sight.reached(chosen, stops)
    for o in range(stops):
        assert bool(sight.seen(1 << o, n) & chosen) == bool(reached >> o & 1)


def test_the_hull_contains_the_branches():
    branches = ["conv: {filters: 1, kernel: 5, padding: 2}", "conv: {filters: 1, kernel: 3, dilation: 3, padding: 3}"]
    together = loads(f"- concat: [[{{{branches[0]}}}], [{{{branches[1]}}}], []]").field()["concat1"].extents["image"][0]
    alone = [loads(f"- {branch}").field().rows[0].extents["image"][0] for branch in branches]
    assert (together.start, together.size) == (-3, 7)
    assert all(together.start <= a.start and a.start + a.size <= together.start + together.size for a in alone)
    assert [a.seen for a in alone] == [5, 3]
    assert together.seen == 7


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not issubclass(kind.cls, Composite)])
def test_every_kind_says_what_it_sees(kind):
    layer, xs = layer_of(KINDS[kind].example), KINDS[kind].on
    y = layer.out(*xs)
    for number, x in enumerate(xs):
        said = layer.sees(number, xs, y)
        assert said is not None
        if said is sights.EACH:
            assert x == y
        elif not said.nothing:
            assert len(said.links) == len(y) - 1
            assert all(link is None or 0 < link.source < len(x) for link in said.links)


# --- what is said of special layers


WHOLE = {
    "- global_avg_pool": "global_avg_pool1 pools whole axes",
    "- flatten": "flatten1 joins axes",
    "- instance_norm": "instance_norm1 normalises over the axis",
    "- group_norm: 1": "group_norm1 normalises over the axis",
    "- layer_norm: [1, 2, 3]": "layer_norm1 normalises over the axis",
    "- reduce_mean: [2, 3]": "reduce_mean1 reduces the axis",
    "- adaptive_avg_pool: 1": "",
    "- multiply: [[], [global_avg_pool, {conv: {filters: 1, kernel: 1}}, sigmoid]]": "multiply1/branch2/global_avg_pool1 pools whole axes",
    "- relu\n- reshape: [784]\n- softmax": "reshape1 joins or splits axes",
}


@pytest.mark.parametrize("lines", WHOLE)
def test_everything_is_seen_and_why(lines):
    row = loads(lines).field().rows[-1]
    first, second = row.extents["image"]
    assert (first.size, second.size) == (28, 28)
    if WHOLE[lines]:
        assert row.everything
        assert {first.why, second.why} == {WHOLE[lines]}


def test_attention_sees_all_steps_and_the_scores_only_two():
    spec = """
- dense: {name: q, units: 8, from: x}
- dense: {name: k, units: 8, from: x}
- dense: {name: v, units: 8, from: x}
- matmul: {name: scores, from: [q, k], transpose_second: true}
- softmax: {name: weights}
- matmul: {name: mixed, from: [weights, v]}
"""
    model = loads(spec, "{x: [16, 8]}")
    found = model.field("scores", (3, 11))
    glimpse = found.cell.glimpses["x"]
    assert found.rows[0].axes == (1, 2)
    assert (glimpse.box, glimpse.clipped, glimpse.pixels, glimpse.exact) == (None, ((3, 12),), 2, True)
    assert model.field("mixed").rows[0].everything
    assert model.field("q", (5,)).cell.glimpses["x"].clipped == ((5, 6),)


def test_squeeze_and_excite_sees_everything_and_locally_a_window():
    lines = "- conv: {filters: 4, kernel: 3}\n- multiply: [[], [global_avg_pool]]\n- conv: {filters: 1, kernel: 3}"
    data = loads(lines).field().to_dict()["rows"][-1]["field"]
    assert (data["size"], data["stride"], data["start"], data["everything"]) == ([28, 28], [0, 0], [0, 0], True)
    assert data["local"] == {"size": [5, 5], "stride": [1, 1], "start": [0, 0]}


def test_a_cropped_branch_that_is_pooled_is_not_everything():
    row = loads("- crop: 4\n- global_max_pool").field().rows[-1]
    assert [(e.size, e.stride, e.start, e.whole) for e in row.extents["image"]] == [(20, 0, 4, False)] * 2


def test_dilation_leaves_holes():
    lines = "- conv: {filters: 1, kernel: 3, dilation: 2}\n- conv: {filters: 1, kernel: 3, dilation: 4}"
    first, last = (row.extents["image"][0] for row in loads(lines).field().rows)
    assert (first.size, first.seen) == (5, 3)
    assert (last.size, last.seen) == (13, 7)  # 0, 2, …, 12
    assert loads(lines).field(cell=(0, 0)).cell.glimpses["image"].pixels == 49


def test_branches_that_do_not_align():
    lines = "- residual: {layers: [{conv: {filters: 1, kernel: 2, padding: [[0, 1], [0, 1]]}}], shortcut: []}"
    row = loads(lines).field().rows[-1]
    assert not row.aligned  # centres 1/2 and 0
    assert (row.extents["image"][0].size, row.extents["image"][0].start) == (2, 0)
    strides = """
- max_pool: {name: half, kernel: 2}
- crop: {name: cut, amount: 7, from: image}
- add: {from: [half, cut]}
"""
    found = loads(strides).field("add1", (0, 13))
    extent = found.rows[0].extents["image"][0]
    assert not found.rows[0].aligned
    assert (extent.stride, extent.start, extent.size) == (None, None, 8)  # 0 … 7 at the left end, 20 … 27 at the right
    assert found.cell.glimpses["image"].box is None
    assert found.cell.glimpses["image"].clipped == ((0, 8), (20, 28))


def test_transposed_convolution_and_resizing_have_a_rational_stride():
    found = loads(
        "- max_pool: 4\n- conv_transpose: {filters: 1, kernel: 4, stride: 2, padding: 1}\n- resize: {scale: 2, mode: bilinear}"
    ).field()
    extents = [row.extents["image"][0] for row in found.rows]
    assert [(extent.size, extent.stride, extent.start, extent.centre) for extent in extents] == [
        (4, 4, 0, Fraction(3, 2)),
        (10, 2, -4, Fraction(1, 2)),  # cells (o − 2)/2 … (o + 1)/2: 4 + 4·(5/2 − 1), from −4 on
        (13, 1, -6, 0),  # places −1/4, 1/4, 3/4, …: less than a cell on either side, so 3/4 each
    ]
    assert found.to_dict()["rows"][1]["field"]["centre"] == ["1/2", "1/2"]
    half = (
        loads("- conv_transpose: {filters: 1, kernel: 4, stride: 2, padding: 1}").field().to_dict()["rows"][0]["field"]
    )
    assert (half["size"], half["stride"], half["start"]) == (["5/2", "5/2"], ["1/2", "1/2"], [-1, -1])


def test_one_field_for_each_input():
    model = loads(
        "- conv: {name: a, filters: 2, kernel: 3, from: left}\n- conv: {name: b, filters: 2, kernel: 5, padding: 1, from: right}\n- add: {from: [a, b]}",
        "{left: [1, 9, 9], right: [1, 9, 9]}",
    )
    found = model.field("add1", (0, 0), {"right": (0, 0, 1, 1)})
    data = found.to_dict()
    assert {name: one["size"] for name, one in data["rows"][0]["fields"].items()} == {"left": [3, 3], "right": [5, 5]}
    assert data["cell"]["inputs"]["right"] == {
        "box": [-1, -1, 4, 4], "clipped": [0, 0, 4, 4], "pixels": 16, "centre": [1, 1], "exact": True
    }  # fmt: skip
    assert found.seers.cells == ((0, 2), (0, 2))
    assert model.field("a").rows[0].extents.keys() == {"left"}


def test_a_cell_may_see_padding_alone():
    found = loads("- pad: 3\n- conv: {filters: 1, kernel: 2}").field(cell=(0, 5))
    assert found.cell.glimpses["image"].clipped is None
    assert "Cell (0, 5) of conv1 sees nothing: its box lies in the padding." in str(found)


def test_pixels_that_a_division_drops_are_not_seen():
    lines = "- conv: {filters: 1, kernel: 1, stride: 2}\n- conv: {filters: 1, kernel: 3, padding: 1}"
    glimpse = loads(lines).field(cell=(13, 13)).cell.glimpses["image"]  # of 28 pixels the last is dropped
    assert glimpse.box == ((24, 29), (24, 29))
    assert (glimpse.clipped, glimpse.pixels) == (((24, 27), (24, 27)), 4)


def test_a_kind_that_does_not_say_is_called_a_bound():
    class Odd(Layer, frozen=True):
        def out(self, *xs):
            return xs[0]

        def ops(self, xs, y):
            return archcalc.layers.Activation("relu", alpha=None).ops(xs, y)

    model = archcalc.Model.chain("m", {"x": (1, 8, 8)}, [Odd()])
    found = model.field(cell=(0, 0))
    assert found.rows[0].extents["x"][0].why == "Odd1 does not say what it sees"
    assert not found.cell.glimpses["x"].exact
    assert "at most" in str(found)


def test_kernels_as_symbols():
    model = loads(
        "- conv: {filters: 1, kernel: k}\n- max_pool: {kernel: s, stride: s}\n- conv: {filters: 1, kernel: k, padding: 1}",
        rest="set: {k: 5, s: 2}\n",
    )
    (form,) = model.field_form("k,s")
    assert str(form.size[0]) == "k*s + k - 1"
    assert [str(form.stride[0]), str(form.start[0])] == ["s", "-s"]
    for k in (1, 3, 4):
        one = model.with_settings({"k": k}).field("conv2").rows[0].extents["image"][0]
        assert one.size == form.size[0].subs(
            {symbol: {"k": k, "s": 2}[symbol.name] for symbol in form.size[0].free_symbols}
        )
    assert str(model.field_form("k", "conv1")[0]) == "conv1 on image: size k × k, stride 1 × 1, start 0 × 0"
    with pytest.raises(
        UsageError, match=r"^--symbols: of a field must be hyperparameters: it is the same at every size; got H$"
    ):
        model.field_form("H")


# --- messages and pages


MISTAKES = {
    ("--layer", "conv9"): "--layer: must name a layer or block of the model; got conv9\n  did you mean conv3?",
    ("--cell", "0,0"): "",
    ("--cell", "250,3"): "--cell: cells of conv3 (10×250×250) are 0,0 to 249,249; got 250,3",
    ("--cell=-1,3",): "--cell: cells of conv3 (10×250×250) are 0,0 to 249,249; got -1,3",
    ("--cell", "3"): "--cell: conv3 (10×250×250) has 2 axes of places, give a number for each; got 3",
    ("--cell", "a,3"): "--cell: must be whole numbers separated by commas; got 'a,3'",
    ("--cell", "1.5,3"): "--cell: must be whole numbers separated by commas; got '1.5,3'",
    ("--box", "0,0,4"): "--box: needs 2 starts, then 2 ends, for input image (1024×1024); got 0,0,4",
    ("--box", "4,4,4,9"): "--box: every end must lie behind its start: ends are not part of the box; got 4,4,4,9",
    ("--box", "9,4,5,9"): "--box: every end must lie behind its start: ends are not part of the box; got 9,4,5,9",
    ("--box", "1024,0,1030,9"): "--box: must meet the input image (1024×1024); got 1024,0,1030,9",
    ("--box", "other=0,0,1,1"): "--box: must name the input that it is in; got other\n  image=…",
    ("--box", "here"): "--box: must be whole numbers separated by commas; got 'here'",
    ("--plot", "a.svg"): "--plot: draws the box of a cell; got no --cell",
    ("--plot", "a.gif"): "--plot: must be an .svg or .png file; got a.gif",
    ("-o", "a.csv"): "--format: must be text or json; got csv",
}  # fmt: skip


@pytest.mark.parametrize("options", MISTAKES)
def test_mistakes(options, capsys):
    code = main(["field", "zoo:digits", "--input", "1024x1024", *options])
    text = capsys.readouterr().err
    assert (code, text) == ((2, f"archcalc: {MISTAKES[options]}\n") if MISTAKES[options] else (0, ""))


def test_mistakes_of_the_model(capsys, tmp_path):
    assert main(["field", "zoo:exercise_a"]) == 3
    assert (
        capsys.readouterr().err
        == "archcalc: Field: an input must have an axis of places: an image, a sequence; got image 784\n"
    )
    assert main(["field", "zoo:resnet50", "--layer", "dense1", "--cell", "0"]) == 2
    rule = "needs a layer with places: cells of this layer have no places in the image"
    assert capsys.readouterr().err == f"archcalc: --cell: {rule}; got dense1 1000\n"
    assert main(["field", "zoo:digits", "--input", "20x20"]) == 3
    assert main(["field", str(tmp_path / "none.yaml")]) == 3


def test_mistakes_in_python():
    model = archcalc.load("zoo:digits")
    with pytest.raises(UsageError, match=r"^--cell: must be whole numbers; got \(0\.5, 1\)$"):
        model.field(cell=(0.5, 1))
    with pytest.raises(UsageError, match=r"^--box: must name the input that it is in; got a, b"):
        model.field(box={"a": (0, 0, 1, 1), "b": (0, 0, 1, 1)})
    with pytest.raises(ModelError, match="an axis of places"):
        archcalc.load("zoo:exercise_a").field()


PAGE = """\
digits: what cells see of image 1×1024×1024

layer      output        size  stride  start  centre
---------  ------------  ----  ------  -----  ------
conv1      20×1020×1020     5       1      0       2
max_pool1  20×510×510       6       2      0     5/2
conv2      20×508×508      10       2      0     9/2
max_pool2  20×254×254      12       4      0    11/2
conv3      10×250×250      28       4      0    27/2

Pixels lie at whole numbers, boxes are half-open: cell r of an axis sees [start
+ r·stride, start + r·stride + size), its centre is start + r·stride + (size −
1)/2; padding is −start. At borders less of it lies on the image.

Cell (3, 7) of conv3 sees rows 12 … 39, columns 28 … 55: [12, 40) × [28, 56),
  784 pixels.
Its box, also beyond the image: [12, 40) × [28, 56), centre (25.5, 41.5).

Cells of conv3 that see some of [100, 128) × [100, 128): [19, 32) × [19, 32),
  169 of 62,500.
"""


def test_the_page(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    plot = tmp_path / "field.svg"
    options = ["--input", "1024x1024", "--cell", "3,7", "--box", "100,100,128,128"]
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    assert main(["field", "zoo:digits", *options, "--plot", str(plot)]) == 0
    assert capsys.readouterr().out == PAGE
    assert (
        "cell (3, 7) of conv3" in plot.read_text(encoding="utf-8").replace("&#39;", "'") or plot.stat().st_size > 5000
    )


def test_the_page_of_every_network_fits_eighty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("resnet50", "googlenet", "unet", "se_resnet50", "xception", "exercise_h"):
        assert main(["field", f"zoo:{name}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 100
        assert all(line == line.rstrip() for line in lines)


def test_json(capsys):
    assert main(["field", "zoo:digits", "--layer", "conv3", "--cell", "0,0", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["rows"] == [
        {
            "name": "conv3", "kind": "conv", "output": [1, 10, 1, 1], "aligned": True,
            "field": {
                "size": [28, 28], "stride": [4, 4], "start": [0, 0], "padding": [0, 0], "centre": ["27/2", "27/2"],
                "seen": [28, 28], "everything": False, "why": "", "bound": False, "borders": True,
            },
        }
    ]  # fmt: skip
    assert data["cell"] == {
        "layer": "conv3", "cell": [0, 0], "box": [0, 0, 28, 28], "clipped": [0, 0, 28, 28], "pixels": 784,
        "centre": ["27/2", "27/2"], "exact": True,
    }  # fmt: skip
    assert data["status"] == "complete"
