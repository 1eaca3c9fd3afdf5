"""Feature maps and places: a network whose weights are made by hand finds digits that the test has drawn."""

import json

import numpy as np
import pytest

import archcalc
from archcalc.cli.main import main
from archcalc.errors import ModelError, UsageError
from archcalc.questions.locate import Place, located, merged, shared

torch = pytest.importorskip("torch", reason="torch is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")

DIGITS = """
01110 00100 01110 11111 00010 11111 00110 11111 01110 01110
10001 01100 10001 00010 00110 10000 01000 00001 10001 10001
10011 00100 00001 00100 01010 11110 10000 00010 10001 10001
10101 00100 00010 00010 10010 00001 11110 00100 01110 01111
11001 00100 00100 00001 11111 00001 10001 01000 10001 00001
10001 00100 01000 10001 00010 10001 10001 01000 10001 00010
01110 01110 11111 01110 00010 01110 01110 01000 01110 01100
"""  # ten digits of 5 × 7, side by side
LINES = [line.split() for line in DIGITS.split("\n") if line]
GLYPHS = np.array(
    [[[int(bit) for bit in LINES[row][digit]] for row in range(7)] for digit in range(10)], dtype=np.float32
)
SPEC = """
archcalc: 1
name: finder
inputs: {image: [1, 64, 64]}
layers:
  - avg_pool: {name: halves, kernel: 2}
  - conv: {name: match, filters: 10, kernel: [7, 5]}
  - relu: {name: reports}
"""


def matched_filters():
    """Each filter answers 1 to its own digit, less to any other pattern: what is drawn counts, what is not is against."""
    on = GLYPHS.sum((1, 2), keepdims=True)
    return {
        "match.weight": torch.from_numpy((2 * GLYPHS - 1) / on)[:, None],
        "match.bias": torch.zeros(10),
    }


def drawn(places, height, width):
    """A picture with digits of 14 × 10 pixels at these (digit, top, left)."""
    image = np.zeros((height, width), dtype=np.float32)
    for digit, top, left in places:
        image[top : top + 14, left : left + 10] = np.kron(GLYPHS[digit], np.ones((2, 2)))
    return image


PLACES = [(3, 10, 20), (1, 40, 70), (4, 40, 90), (0, 100, 6), (9, 200, 300), (7, 242, 380), (3, 0, 0), (8, 150, 150)]


@pytest.fixture
def files(tmp_path):
    """The finder, its weights and a picture, as files."""
    (tmp_path / "finder.yaml").write_text(SPEC)
    torch.save(matched_filters(), tmp_path / "finder.pt")
    pixels = (drawn(PLACES, 256, 400) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "page.png")
    return tmp_path


def test_digits_are_found_where_they_were_drawn(files, capsys):
    command = [
        "locate",
        str(files / "finder.yaml"),
        "--image",
        str(files / "page.png"),
        "--weights",
        str(files / "finder.pt"),
    ]
    assert main([*command, "--threshold", "0.95", "--json", "--plot", str(files / "found.png")]) == 0
    data = json.loads(capsys.readouterr().out)
    found = {(place["channel"], *place["box"]) for place in data["places"]}
    assert found == {(digit, top, left, top + 14, left + 10) for digit, top, left in PLACES}
    for place in data["places"]:
        top, left, bottom, right = place["box"]
        assert place["cell"] == [top // 2, left // 2]  # the pool halves
        assert place["centre"] == [(top + bottom - 1) / 2, (left + right - 1) / 2]
        assert place["score"] == pytest.approx(1, abs=1e-5)
    assert (files / "found.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_names_classes(files, capsys):
    command = [
        "locate",
        str(files / "finder.yaml"),
        "--image",
        str(files / "page.png"),
        "--weights",
        str(files / "finder.pt"),
    ]
    assert main([*command, "--threshold", "0.95", "--classes", "zero,one,two,three"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "finder, reports: 8 places in 1 × 256 × 400, 8 cells of at least 0.95"
    assert any(line.split() == ["three", "1", "5,10", "10,20,24,30", "16.5,24.5"] for line in lines)
    assert main([*command, "--threshold", "2"]) == 0
    assert capsys.readouterr().out == "finder, reports: 0 places in 1 × 256 × 400, 0 cells of at least 2\n"


def test_overlaps_are_merged_into_the_strongest():
    places = [
        Place(0, 0.9, (0, 0), (0, 0, 10, 10), (4.5, 4.5)),
        Place(1, 0.8, (0, 1), (0, 2, 10, 12), (4.5, 6.5)),  # shares 80 of 120
        Place(0, 0.7, (0, 3), (0, 6, 10, 16), (4.5, 10.5)),  # 40 of 160 with the first
        Place(2, 0.6, (9, 9), (50, 50, 60, 60), (54.5, 54.5)),
    ]
    boxes = np.array([place.box for place in places])
    assert shared(boxes[0], boxes[1:]) == pytest.approx([80 / 120, 40 / 160, 0])
    assert merged(places, 0.5) == [places[0], places[2], places[3]]
    assert merged(places, 0.2) == [places[0], places[3]]
    assert merged(places, 1) == places


def test_boxes_at_the_border_are_cut_off():
    model = archcalc.loads(SPEC.replace("kernel: [7, 5]", "kernel: [7, 5], padding: [3, 2]"))
    values = np.zeros((10, 32, 32), dtype=np.float32)
    values[2, 0, 31] = 1
    (place,) = located(model, "reports", values, (1, 64, 64), 0.5, 0.5).places
    assert place == Place(2, 1.0, (0, 31), (0, 58, 8, 64), (0.5, 62.5))


@pytest.mark.parametrize("size", ["64x64", "65x131"])
def test_maps_are_those_of_the_network(files, size):
    """By a hook, against the layers called one after another."""
    height, width = map(int, size.split("x"))
    image = np.random.default_rng(0).random((height, width), dtype=np.float32)
    model = archcalc.load(str(files / "finder.yaml"))
    maps = archcalc.torch.feature_maps(model, image, "match", matched_filters())
    weights = matched_filters()
    halves = torch.nn.functional.avg_pool2d(torch.from_numpy(image)[None, None], 2)
    wanted = torch.nn.functional.conv2d(halves, weights["match.weight"], weights["match.bias"])
    assert maps.values.shape == (10, height // 2 - 6, width // 2 - 4)
    np.testing.assert_allclose(maps.values, wanted[0].numpy(), rtol=1e-6, atol=1e-6)
    assert not maps.random_weights


@pytest.mark.parametrize("ending", ["png", "svg"])
@pytest.mark.parametrize(
    ("model", "layer", "channels"),
    [("digits", "conv2", 1), ("exercise_e", "dense1", 1), ("shufflenet_v2_x1_0", "conv1", 3)],
)
def test_maps_are_drawn(tmp_path, model, layer, channels, ending):
    side = {"shufflenet_v2_x1_0": 224}.get(model, 28)
    pixels = np.random.default_rng(1).integers(0, 255, (side, side, channels), dtype=np.uint8)
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(tmp_path / "x.png")
    path = tmp_path / f"maps.{ending}"
    assert (
        main(["featuremaps", f"zoo:{model}", "--image", str(tmp_path / "x.png"), "--layer", layer, "-o", str(path)])
        == 0
    )
    assert path.stat().st_size > 5_000


def test_random_weights_are_the_same_each_time_and_disturb_nothing():
    model = archcalc.load("zoo:digits")
    state = torch.get_rng_state()
    image = np.ones((28, 28), dtype=np.float32)
    first, second = (archcalc.torch.feature_maps(model, image) for _ in range(2))
    assert first.random_weights
    assert np.array_equal(first.values, second.values)
    assert torch.equal(torch.get_rng_state(), state)


BAD = [
    (["--image", "{}/nope.png"], 2, "archcalc: --image: no such file; got {}/nope.png"),
    (["--image", "{}/finder.yaml"], 2, "archcalc: --image: must be a picture that Pillow reads; got {}/finder.yaml: cannot identify image file '{}/finder.yaml'"),
    (["--image", "{}/colour.png"], 2, "archcalc: --image: must have the model's channels: 1; got 3\n  convert it to grey"),
    (["--layer", "mach"], 2, "archcalc: --layer: must name a layer of the model; got mach\n  did you mean match?"),
    (["--weights", "{}/page.png"], 3, "archcalc: --weights: must be a file of tensors as torch.save writes it; got {}/page.png: "),
    (["--weights", "{}/other.pt"], 3, "archcalc: --weights: match.weight must be 10×1×7×5; got 10×1×5×5"),
    (["--weights", "{}/less.pt"], 3, "archcalc: --weights: must hold match.bias; got match.weight"),
    (["--weights", "{}/more.pt"], 3, "archcalc: --weights: must belong to the model; got mach.bias\n  did you mean match.bias?"),
    (["--weights", "{}/list.pt"], 3, "archcalc: --weights: must be a state_dict: tensors by name; got list\n  torch.save(network.state_dict(), path)"),
    (["--weights", "{}/nope.pt"], 3, "archcalc: --weights: no such file; got {}/nope.pt"),
    (["--overlap", "2"], 2, "archcalc: --overlap: must lie between 0 and 1; got 2.0"),
    (["--threshold", "-1"], 3, None),
    (["--plot", "{}/x.pdf"], 2, "archcalc: --plot: must be an .svg or .png file; got {}/x.pdf"),
    (["--image", "{}/small.png"], 3, "archcalc: Conv: a window spanning 7 must fit its axis; got an axis of 4 padded by (0, 0)"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "code", "message"), BAD, ids=[" ".join(case[0]) for case in BAD])
def test_bad_input(files, capsys, options, code, message):
    weights = matched_filters()
    torch.save({**weights, "match.weight": torch.zeros(10, 1, 5, 5)}, files / "other.pt")
    torch.save({"match.weight": weights["match.weight"]}, files / "less.pt")
    torch.save({**weights, "mach.bias": torch.zeros(10)}, files / "more.pt")
    torch.save([1, 2], files / "list.pt")
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(files / "colour.png")
    Image.fromarray(np.zeros((8, 9), dtype=np.uint8)).save(files / "small.png")
    given = {"--image": "{}/page.png", "--weights": "{}/finder.pt", "--threshold": "0.5"} | dict([options])
    arguments = [part.replace("{}", str(files)) for pair in given.items() for part in pair]
    assert main(["locate", str(files / "finder.yaml"), *arguments]) == (code if message else 0)
    error = capsys.readouterr().err
    assert message is None or error.startswith(message.replace("{}", str(files)))
    assert "Traceback" not in error


def test_a_picture_with_code_in_its_weights_runs_nothing(files, capsys):
    """Only tensors are read from a file of weights."""

    class Evil:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"match.weight": Evil()}, files / "evil.pt")
    command = [
        "locate",
        str(files / "finder.yaml"),
        "--image",
        str(files / "page.png"),
        "--weights",
        str(files / "evil.pt"),
    ]
    assert main(command) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "must be a file of tensors" in captured.err


def test_places_need_places():
    model = archcalc.load("zoo:exercise_e")
    maps = archcalc.torch.feature_maps(model, np.zeros((28, 28), dtype=np.float32), "dense1")
    with pytest.raises(ModelError, match="needs a layer with channels × height × width; got dense1: 128"):
        located(model, maps.layer, maps.values, maps.image, 0.5, 0.5)
    with pytest.raises(UsageError, match="needs a model whose input is channels"):
        archcalc.torch.feature_maps(archcalc.load("zoo:exercise_a"), np.zeros((28, 28)))
    with pytest.raises(UsageError, match="finite"):
        archcalc.torch.feature_maps(archcalc.load("zoo:digits"), np.full((28, 28), np.nan))
