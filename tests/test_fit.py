"""What fits: answers against trying every size, every way out computed again, what ways cost by hand, and bad input."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.cli.main import main
from archcalc.errors import ModelError, UsageError
from archcalc.hardware.device import device
from archcalc.questions.ways import RETRAIN, split

HEAD = "archcalc: 1\nname: m\n"
MODELS = {
    "chain": "inputs: {x: [4, 12, 12]}\nlayers:\n- conv: {filters: 6, kernel: 3}\n- relu\n- max_pool: 2\n- flatten\n- dense: 5\n",
    "residual": "inputs: {x: [4, 12, 12]}\nlayers:\n- residual: {layers: [{conv: {filters: 4, kernel: 3, padding: 1}}, batch_norm]}\n- relu\n- global_avg_pool\n",
    "dense": "inputs: {x: [100]}\nlayers:\n- dense: 300\n- sigmoid\n- dense: 10\n",
    "strided": "inputs: {x: [3, 8, 16]}\nlayers:\n- conv: {filters: 8, kernel: 3, stride: 2, padding: same}\n- conv: {filters: 8, kernel: 3, stride: 2, padding: same}\n",
}
CHOICES = [
    {},
    {"training": True},
    {"training": True, "optimizer": "sgd", "amp": "bfloat16"},
    {"training": True, "checkpoint": 1},
]


def model(name):
    return archcalc.loads(HEAD + MODELS[name])


def peak(network, **options):
    """What `memory` says the peak is."""
    return network.memory(**options).peak.bytes


# --- the largest batch and input, against trying every size


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_the_largest_batch_is_that_of_trying_all(name, choices):
    network = model(name)
    peaks = [peak(network, batch=n, **choices) for n in range(1, 41)]
    assert peaks == sorted(peaks)  # more images never take less
    for room in (peaks[0] - 1, peaks[0], peaks[6], peaks[16] - 1, peaks[38]):
        found = network.fit(room, **choices)
        assert (found.largest_batch or 0) == sum(size <= room for size in peaks)
        assert found.fits == (peaks[0] <= room)
        assert network.fit(room, batch=9, **choices).largest_batch == found.largest_batch  # wherever the search starts


@pytest.mark.parametrize("choices", CHOICES[:2], ids=str)
@pytest.mark.parametrize(("name", "unit"), [("chain", (1, 1)), ("residual", (1, 1)), ("strided", (1, 2))])
@pytest.mark.parametrize("multiple", [1, 3])
def test_the_largest_input_is_that_of_trying_all(name, unit, multiple, choices):
    """Proportions stay, each axis is a multiple, and sizes that the network refuses are stepped over."""
    network, peaks = model(name), {}
    for n in range(1, 61):
        try:
            peaks[n] = peak(network, input=tuple(n * multiple * side for side in unit), batch=2, **choices)
        except ModelError:
            assert n * multiple <= 3  # a window must fit
    for room in (min(peaks.values()) - 1, peaks[5], peaks[11] - 1, peaks[50]):
        fitting = [n for n, size in peaks.items() if size <= room]
        expected = tuple(max(fitting) * multiple * side for side in unit) if fitting else None
        assert network.fit(room, batch=2, multiple=multiple, **choices).largest_input == expected


@settings(max_examples=60)
@given(st.sampled_from(sorted(MODELS)), st.integers(1, 10**7), st.integers(1, 10**6), st.booleans())
def test_more_memory_never_holds_less(name, room, more, training):
    less, greater = (model(name).fit(n, training=training) for n in (room, room + more))
    assert (less.largest_batch or 0) <= (greater.largest_batch or 0)
    assert (less.largest_input or ()) <= (greater.largest_input or ())
    assert less.fits <= greater.fits
    assert less.fits == (not less.ways)


def test_the_answer_for_a_device_is_that_for_its_memory():
    network = archcalc.load("zoo:resnet50")
    found = network.fit(device=device("nvidia-t4"), training=True, batch=512)
    assert found.memory_bytes == 16 * 2**30
    best = found.largest_batch
    assert peak(network, batch=best, training=True) <= found.memory_bytes < peak(network, batch=best + 1, training=True)


# --- the ways out of exercise M: each peak computed again, without the code that searches

M_SPEC = """archcalc: 1
name: exercise_m
inputs: {{image: [200, 300, 3]}}
channels_last: true
layers:
  - conv: {{filters: 100, kernel: 3, stride: {stride}, padding: same}}
  - conv: {{filters: 200, kernel: 3, stride: 2, padding: same}}
"""
M_LAST = "  - conv: {filters: 400, kernel: 3, stride: 2, padding: same}\n"
ROOM = 500_000_000


def ways_of(network, room=ROOM, **options):
    return {way.name: way for way in network.fit(room, **options).ways}


@pytest.fixture(scope="module")
def of_m():
    return ways_of(archcalc.load("zoo:exercise_m"), batch=50, training=True)


def test_all_ways_of_the_exercise_are_there(of_m):
    """Smaller batch, larger strides, fewer layers, 16-bit, more devices: the five that are asked for, and one more."""
    assert list(of_m) == [
        "smaller batch", "larger stride", "fewer layers", "16-bit", "checkpoints", "data parallel", "tensor parallel",
        "pipeline",
    ]  # fmt: skip
    for way in of_m.values():
        assert way.fits == (way.peak_bytes is not None and way.peak_bytes <= ROOM)
    assert {name for name, way in of_m.items() if way.price == RETRAIN == "changes the network: retrain"} == {
        "larger stride", "fewer layers",
    }  # fmt: skip


def test_a_smaller_batch(of_m):
    network, way = archcalc.load("zoo:exercise_m"), of_m["smaller batch"]
    largest = max(n for n in range(1, 50) if peak(network, batch=n, training=True) <= ROOM)
    passes = -(-50 // largest)
    even = -(-50 // passes)
    assert way.what == f"batch {even}, {passes} passes with gradient accumulation"
    assert way.peak_bytes == peak(network, batch=even, training=True)
    assert way.price == "the same arithmetic, more launches"


def test_a_larger_stride(of_m):
    edited = archcalc.loads(M_SPEC.format(stride=4) + M_LAST)
    assert of_m["larger stride"].what == "conv1 with stride 4×4"
    assert of_m["larger stride"].peak_bytes == peak(edited, batch=50, training=True)


def test_fewer_layers(of_m):
    """No layer keeps the shape, so the last one goes: its input is then the output, which stays until the end."""
    edited = archcalc.loads(M_SPEC.format(stride=2))
    assert of_m["fewer layers"].what == "without conv3"
    assert of_m["fewer layers"].peak_bytes == peak(edited, batch=50, training=True)


def test_sixteen_bits(of_m):
    assert of_m["16-bit"].what == "mixed precision, bfloat16"
    assert of_m["16-bit"].peak_bytes == peak(archcalc.load("zoo:exercise_m"), batch=50, training=True, amp="bfloat16")
    assert of_m["16-bit"].price == "other roundings: check the accuracy"
    still = ways_of(archcalc.load("zoo:exercise_m"), room=10**7)["16-bit"]
    assert still.peak_bytes == peak(archcalc.load("zoo:exercise_m"), dtype="bfloat16")
    done = ways_of(archcalc.load("zoo:exercise_m"), room=10**6, dtype="float16")["16-bit"]
    assert (done.what, done.price, done.fits) == ("it is already", "none", False)


def test_checkpoints(of_m):
    network = archcalc.load("zoo:resnet18")
    way = ways_of(network, room=10**9, batch=64, training=True)["checkpoints"]
    every, depth = map(int, re.fullmatch(r"every=(\d+)(?:,depth=(\d+))?", way.what).groups("1"))
    assert way.peak_bytes == peak(network, batch=64, training=True, checkpoint=every, depth=depth)
    tried = [
        peak(network, batch=64, training=True, checkpoint=every, depth=depth) for every in (1, 2, 4) for depth in (1, 2)
    ]
    assert way.peak_bytes <= min(tried)
    assert of_m["checkpoints"].price == "up to one more forward pass"


def test_data_parallel(of_m):
    """A ring of d devices: each sends 2 (d − 1) / d of the 3,613,600 bytes of gradients."""
    assert of_m["data parallel"].what == "2 devices, batch 25 each"
    assert of_m["data parallel"].peak_bytes == peak(archcalc.load("zoo:exercise_m"), batch=25, training=True)
    assert of_m["data parallel"].price == "each sends 3,613,600 B a step (gradients, in a ring)"
    four = ways_of(archcalc.load("zoo:exercise_m"), room=300_000_000, batch=50, training=True)["data parallel"]
    assert four.what == "4 devices, batch 13 each"
    assert four.price == f"each sends {2 * 3 * 3_613_600 // 4:,} B a step (gradients, in a ring)"
    still = ways_of(archcalc.load("zoo:exercise_m"), room=100_000_000, batch=50)["data parallel"]
    assert still.price == "nothing is sent"


def test_tensor_parallel_by_hand(of_m):
    """Outputs are gathered, 63/64 of 526,000,000 B sent by each; gradients of inputs summed, twice that of theirs.

    The first layer's input, an image, has no gradient: 300,000,000 + 150,000,000 B are left.
    """
    sent = 526_000_000 + 2 * (300_000_000 + 150_000_000)
    assert of_m["tensor parallel"].what == "64 devices share each layer's filters"
    assert of_m["tensor parallel"].price == f"each sends {63 * sent // 64:,} B a step; the peak is estimated"
    still = ways_of(archcalc.load("zoo:exercise_m"), room=5_000_000)["tensor parallel"]
    assert still.price == f"each sends {63 * 10_520_000 // 64:,} B a pass; the peak is estimated"


def test_a_pipeline_by_hand(of_m):
    """The cut is behind conv2: its 150,000,000 B go forward, their gradient back; with a skip both values cross."""
    assert of_m["pipeline"].what == "2 devices, a stage each"
    assert of_m["pipeline"].price == "300,000,000 B cross between stages; the peak is estimated"
    spec = (
        "inputs: {x: [1000]}\nlayers:\n- dense: {name: a, units: 10, bias: false}\n- dense: {name: b, units: 20, bias: false}\n"
        "- dense: {name: c, units: 1000, bias: false}\n- dense: {name: d, units: 10, bias: false, from: c}\n"
        "- add: {from: [a, d]}\n"
    )
    way = ways_of(archcalc.loads(HEAD + spec), room=140_000)["pipeline"]
    assert way.price == f"{4 * (10 + 20):,} B cross between stages; the peak is estimated"


def test_times_that_ways_cost():
    """With a device, estimates say how much longer it takes."""
    network, on = archcalc.load("zoo:exercise_m"), device("nvidia-t4")
    ways = ways_of(network, batch=50, training=True, device=on)

    def seconds(**options):
        return network.time(on, **options).totals["estimate_s"]

    whole = seconds(batch=50, training=True)
    assert ways["smaller batch"].price == f"about {2 * seconds(batch=25, training=True) / whole:.2f} times the time"
    ratio = seconds(batch=50, training=True, dtype="float16") / whole
    assert ways["16-bit"].what == "mixed precision, float16"  # a T4 has no bfloat16
    assert ways["16-bit"].price == f"about {ratio:.2f} times the time; other roundings: check the accuracy"
    more = 1 + seconds(batch=50) / whole
    assert ways["checkpoints"].price == f"up to one more forward pass: about {more:.2f} times the time"


def test_memory_is_asked_for_also_where_the_device_has_no_such_rate():
    """A T4 states no rate for four bits, or bfloat16: prices are then without times."""
    network, on = archcalc.load("zoo:exercise_m"), device("nvidia-t4")
    for dtype in ("int4", "bfloat16"):
        ways = ways_of(network, room=10**7, batch=50, dtype=dtype, device=on)
        batch = int(re.match(r"batch (\d+)", ways["smaller batch"].what)[1])
        assert ways["smaller batch"].peak_bytes == peak(network, batch=batch, dtype=dtype)
        assert not any("times the time" in way.price for way in ways.values())


def test_blocks_that_keep_the_shape_are_left_out():
    network = archcalc.load("zoo:resnet18")
    way = ways_of(network, room=10**9, batch=64, training=True)["fewer layers"]
    assert way.what.startswith("without layer")
    assert way.peak_bytes < peak(network, batch=64, training=True)
    spec = "inputs: {x: [4, 8, 8]}\nlayers:\n- conv: {name: a, filters: 4, kernel: 3, padding: 1}\n- relu\n- conv: {name: b, filters: 2, kernel: 1}\n"
    (wide,) = [
        way
        for name, way in ways_of(archcalc.loads(HEAD + spec), room=20_000, batch=8, training=True).items()
        if name == "fewer layers"
    ]
    without = spec.replace("- conv: {name: a, filters: 4, kernel: 3, padding: 1}\n", "")
    assert wide.what == "without a"
    assert wide.peak_bytes == peak(archcalc.loads(HEAD + without), batch=8, training=True)


# --- stages of a pipeline


@given(st.lists(st.integers(0, 100), min_size=1, max_size=9), st.integers(1, 5))
def test_stages_are_as_even_as_they_can_be(amounts, parts):
    sums, cuts = split(amounts, parts)
    bounds = [0, *cuts, len(amounts)]
    assert sums == [sum(amounts[a:b]) for a, b in itertools.pairwise(bounds)]
    assert len(sums) <= parts
    best = min(
        max(sum(amounts[a:b]) for a, b in itertools.pairwise((0, *places, len(amounts))))
        for count in range(parts)
        for places in itertools.combinations(range(1, len(amounts)), count)
    )
    assert max(sums) == best


# --- models for which a way does not exist

ONE = HEAD + "inputs: {x: [100]}\nlayers: [{dense: 10}]\n"
TWO = HEAD + "inputs: {x: [100], z: [100]}\nlayers: [{add: {from: [x, z]}}, {dense: 10}]\n"
POOL = HEAD + "inputs: {x: [8, 16, 16]}\nlayers: [{max_pool: 2}, {conv: {filters: 4, kernel: 3}}]\n"


def test_one_layer_on_no_image():
    found = archcalc.loads(ONE).fit(3000)
    ways = {way.name: way for way in found.ways}
    assert found.largest_batch is None
    assert found.largest_input is None
    assert {name: way.what for name, way in ways.items() if way.peak_bytes is None} == {
        "larger stride": "no layer can have one", "fewer layers": "none can be left out",
        "data parallel": "needs a batch above 1", "pipeline": "needs two layers",
    }  # fmt: skip
    assert (ways["smaller batch"].what, ways["smaller batch"].price) == ("batch 1", "even one does not fit")
    assert "largest batch at this input: none, not even one fits\n" in str(found)
    assert "largest input" not in str(found)


def test_why_no_input_fits():
    """U-Net takes 12 more than multiples of 16, from 188 on; 572 holds 16 35 times, and 63 further steps are looked at."""
    network = archcalc.load("zoo:unet")
    found = network.fit(device=device("nvidia-t4"), multiple=16)
    assert (found.fits, found.largest_input) == (True, None)
    assert (
        "largest input at this batch: none, the model accepts none of 16x16, 32x32 …\n"
        "1568x1568; archcalc formula names those that it does\n"
    ) in str(found)
    for n in range(1, 99):
        with pytest.raises(ModelError):
            network.report((16 * n, 16 * n))
    room = peak(network, input=(188, 188))
    assert network.fit(room).largest_input == (188, 188)
    assert network.fit(room).why_no_input == ""
    assert network.fit(room - 1).why_no_input == "not even 188x188 fits"
    assert network.fit(room - 1).to_dict()["why_no_input"] == "not even 188x188 fits"


def test_several_inputs():
    found = archcalc.loads(TWO).fit(10**6, batch=4)
    assert (found.largest_input, found.why_no_input) == (None, "")
    assert found.largest_batch == max(n for n in range(1, 2000) if peak(archcalc.loads(TWO), batch=n) <= 10**6)
    ways = ways_of(archcalc.loads(TWO), room=3000, batch=4)
    assert (ways["pipeline"].what, ways["pipeline"].peak_bytes) == ("one layer holds nearly all of it", None)


def test_a_pool_steps_by_its_kernel():
    way = ways_of(archcalc.loads(POOL), room=100_000, batch=64)["larger stride"]
    edited = archcalc.loads(POOL.replace("max_pool: 2", "max_pool: {kernel: 2, stride: 4}"))
    assert (way.what, way.peak_bytes) == ("max_pool1 with stride 4×4", peak(edited, batch=64))


def test_a_stride_that_later_layers_do_not_bear_is_not_offered():
    """Digits: behind a stride of 2 the last 5 × 5 window would no longer fit; its own stride is left."""
    assert ways_of(archcalc.load("zoo:digits"), room=10**6, batch=300)["larger stride"].what == "conv3 with stride 2×2"


# --- pages, exit codes, bad input


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "arguments",
    [
        ["zoo:resnet50", "--device", "nvidia-t4", "--batch", "512", "--training"],
        ["zoo:exercise_m", "--memory", "5MB"],
        ["zoo:digits", "--memory", "1GiB"],
    ],
    ids=str,
)
def test_pages_fit_the_terminal(arguments, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    code = main(["fit", *arguments])
    out = capsys.readouterr().out
    assert code == (0 if "\nfits: " in out else 4)
    assert max(map(len, out.splitlines())) <= width


def test_the_page_of_what_fits(capsys):
    assert main(["fit", "zoo:digits", "--memory", "1MiB"]) == 0
    network = archcalc.load("zoo:digits")
    size = peak(network)
    best = max(n for n in range(1, 50) if peak(network, batch=n) <= 2**20)
    side = max(n for n in range(28, 200) if peak(network, input=(n, n)) <= 2**20)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits: image 1×1×28×28, float32, inference"
    assert lines[2].startswith(f"fits: peak {size:,} B = ")
    assert lines[3:6] == [
        "memory: 1,048,576 B = 1.000 MiB", f"largest batch at this input: {best}", f"largest input at this batch: {side}x{side}",
    ]  # fmt: skip


def test_json_says_all(capsys, tmp_path):
    assert main(["fit", "zoo:exercise_m", "--memory", "500MB", "--batch", "50", "--training", "--json"]) == 4
    data = json.loads(capsys.readouterr().out)
    assert (data["schema_version"], data["fits"], data["memory_bytes"], data["device"]) == (1, False, ROOM, None)
    assert data["inputs"] == {"image": [50, 3, 200, 300]}
    assert data["peak_bytes"] == peak(archcalc.load("zoo:exercise_m"), batch=50, training=True)
    assert [set(way) for way in data["ways"]] == [{"name", "what", "peak_bytes", "fits", "price"}] * 8
    path = tmp_path / "fit.json"
    assert main(["fit", "zoo:digits", "--memory", "1MiB", "-o", str(path)]) == 0
    assert json.loads(path.read_text(encoding="utf-8"))["ways"] == []


MISTAKES = [
    ([], "--memory: needs a number of bytes, or a device whose memory is known; got neither"),
    (["--device", "1TFLOPS"], "--memory: needs a number of bytes, or a device whose memory is known; got 1TFLOPS, whose memory is not known"),
    (["--device", "nvidia-t4", "--memory", "200GiB"],
     "--memory: must be at most what nvidia-t4 has: 17,179,869,184 B; got 214,748,364,800 B"),
    (["--memory", "12parsec"], "--memory: must be a number of bytes such as 4096, 1.5MB or 24GiB; got '12parsec'"),
    (["--memory", "0"], "--memory: must be at least 1 byte; got 0"),
    (["--memory", "1MiB", "--multiple", "0"], "--multiple: must be at least 1; got 0"),
    (["--memory", "1MiB", "--optimizer", "sgd"], "--optimizer: is about training; got no --training"),
    (["--memory", "1MiB", "--training", "--checkpoint", "3"],
     "--checkpoint: must be every=K; got '3'\n  such as every=4, or every=1,depth=2 for each block inside a block"),
    (["--device", "nvidia-t44"], "--device: no such device; got nvidia-t44\n  did you mean nvidia-t4?"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "text"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_one_clear_message(arguments, text, capsys):
    assert main(["fit", "zoo:digits", *arguments]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"archcalc: {text}\n")


def test_a_size_that_does_not_fit_the_network_is_a_mistake_of_the_model(capsys):
    assert main(["fit", "zoo:digits", "--memory", "1MiB", "--input", "4x4"]) == 3
    assert capsys.readouterr().err.startswith("archcalc: Conv: a window spanning 5 must fit its axis; got an axis of 4")


def test_wrong_arguments_from_python():
    with pytest.raises(UsageError, match="--memory: needs a number of bytes"):
        archcalc.load("zoo:digits").fit()
    with pytest.raises(UsageError, match="--multiple: must be at least 1; got 0"):
        archcalc.load("zoo:digits").fit(10**6, multiple=0)


def test_a_peak_that_is_a_lower_bound_is_no_promise():
    spec = "archcalc: 1\ninputs: {x: [100, 64]}\nlayers: [lstm: 128, dense: 10]"
    found = archcalc.loads(spec).fit(2**30, training=True)
    assert (found.status, found.to_dict()["status"]) == ("partial", "partial")
    assert found.notes[0].startswith("what training keeps is a lower bound: lstm1: it also keeps its gates")
    assert "may fit: peak" in str(found) and "largest sizes upper bounds" in str(found)
    assert archcalc.loads(spec).fit(2**30).status == "complete"  # at inference nothing is kept
