"""Live pages as files: what they hold, how large they are, what they refuse; browsers try them in test_page_browser."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
import sympy

import archcalc
from archcalc.algebra.branches import refusals
from archcalc.algebra.num import differ, guided, less
from archcalc.algebra.program import Program
from archcalc.algebra.symbolic import FloorDiv, Largest
from archcalc.cli.main import main
from archcalc.errors import ModelError, UsageError
from archcalc.layers import Conv, MaxPool
from archcalc.questions.live import Live
from archcalc.questions.page import MOST, page

H, W = sympy.symbols("H W", integer=True, positive=True)


class Parts(HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.texts = [], "", {"script": [], "style": []}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside in self.texts:
            self.texts[self.inside].append(data)

    def handle_endtag(self, tag):
        self.inside = ""


@pytest.fixture(scope="module")
def resnet():
    return page(archcalc.load("zoo:resnet50")).html


def test_a_page_of_resnet50_is_small(resnet):
    assert len(resnet.encode()) <= 400_000


def test_nothing_is_loaded_and_nothing_else_may_run(resnet):
    parts = Parts(resnet)
    policy = next(a["content"] for _, a in parts.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    hashes = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in
              ("".join(parts.texts["script"]), *parts.texts["style"])}  # fmt: skip
    assert all(f"'sha256-{one}'" in policy for one in hashes)
    for tag, attributes in parts.elements:
        assert not attributes.keys() & {"src", "srcset", "style", "onload", "onerror", "onclick"}, (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base", "img", "a")
    ids = [attributes["id"] for _, attributes in parts.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def data_of(text):
    return json.loads(re.search(r"^const DATA=(.*);$", text, re.MULTILINE)[1])


def test_what_a_page_holds_is_plain_data_with_slots(resnet):
    data = data_of(resnet)
    assert [symbol["name"] for symbol in data["symbols"]] == ["H", "W", "N"]
    assert len(data["rows"]) == 175
    assert data["status"] == "complete" and data["notes"] == []


def test_hyperparameters_are_letters_where_they_can_be():
    live = Live(archcalc.load("zoo:digits"))
    assert live.values == {"H": 28, "W": 28, "N": 1, "width": 20}
    text = "archcalc: 1\nname: m\ninputs: {image: [1, 9, 9]}\nset: {times: 2, width: 3}\nlayers:\n" \
        "  - repeat: {times: times, layers: [{conv: {filters: width, kernel: 3}}]}\n"  # fmt: skip
    live = Live(archcalc.loads(text))
    assert live.values == {"H": 9, "W": 9, "N": 1, "width": 3}
    assert list(live.fixed) == ["times"]


def test_a_model_of_no_letter_has_a_page_too():
    text = "archcalc: 1\nname: m\ninputs: {v: [8]}\nlayers: [{dense: 3}]\n"
    assert "<title>m · archcalc</title>" in page(archcalc.loads(text)).html


@pytest.mark.parametrize("expression", [
    7, H * FloorDiv(H + 3, 4) - W, Largest(0, H - W) ** 2, (81456 * H * W + 2048000) / 32, -H, H - 2**60, H * 0,
])  # fmt: skip
@pytest.mark.parametrize(("h", "w"), [(1, 1), (224, 7), (5, 1000)])
def test_a_program_is_its_expressions(expression, h, w):
    """Its lines are run here, as Python: only ** is spelled as JavaScript has it, and n behind a number goes."""
    program = Program(["H", "W"])
    slot = program.slot(expression)
    lines = program.source("f").removeprefix("function f(v){").removesuffix("return v}").splitlines()
    values = {0: h, 1: w}
    for line in lines:
        place, text = re.fullmatch(r"v\[(\d+)\]=(.*);", line).groups()
        names = {"v": values, "floordiv": lambda a, b: a // b, "largest": max}
        values[int(place)] = eval(re.sub(r"(\d)n", r"\1", text), names)  # noqa: S307 - of our own making
    wanted = sympy.sympify(expression).subs({H: h, W: w})
    assert values[slot] == (wanted if wanted.is_Integer else wanted // 1)


def test_a_program_computes_what_is_alike_once():
    program = Program(["H", "W"])
    first = program.slot(FloorDiv(H, 2) * W)
    assert program.slot(W * FloorDiv(H, 2)) == first
    assert program.source("f").count("floordiv") == 1
    with pytest.raises(TypeError, match="no whole number"):
        program.slot(H**-1)


def test_refusals_are_the_ways_that_raise():
    ways = refusals(lambda: MaxPool(kernel=3).out((1, 1, H, W)))
    assert [[(c.left, c.right, c.holds) for c in way.choices] for way in ways] == [
        [(H, 3, False), (W, 3, True)], [(H, 3, True)]]  # fmt: skip
    assert {way.error.rule for way in ways} == {"a window spanning 3 must fit its axis"}
    assert refusals(lambda: Conv(filters=1, kernel=1).out((1, 1, H, W))) == ()
    assert refusals(lambda: [less(H, n) for n in range(2, 40)], most=5) is None


def test_what_is_known_is_not_asked_of_a_guide():
    asked = []
    with guided(lambda *question: asked.append(question)):
        assert less(H, H + 1) is True and differ(H, H) is False and less(3, 5) is True
        assert less(H, 5) is None and differ(H, W) is None
    assert asked == [("less", H, 5), ("differ", H, W)]
    assert less(H, 5) is None and len(asked) == 2


def test_what_a_page_refuses():
    model = archcalc.load("zoo:digits")
    with pytest.raises(UsageError, match="--dtype: of a page must be one of float64, float32"):
        page(model, dtype="int4")
    with pytest.raises(ModelError, match="must fit its axis"):
        page(model, (8, 8))
    text = f"archcalc: 1\nname: m\ninputs: {{image: [1, 9, 9]}}\nlayers: [{{repeat: {{times: {MOST + 1}, layers: [relu]}}}}]\n"
    with pytest.raises(UsageError) as refused:
        page(archcalc.loads(text))
    assert str(refused.value) == "page: a page has at most 20,000 layers; got 20,001\n  archcalc report lists them all"


def test_command(tmp_path, capsys):
    path = tmp_path / "page.html"
    assert main(["page", "zoo:lenet5", "--input", "64x64", "--batch", "8", "--device", "1TFLOPS", "-o", str(path)]) == 0
    data = data_of(path.read_text(encoding="utf-8"))
    assert [symbol["value"] for symbol in data["symbols"]] == [64, 64, 8]
    assert data["device"] == data["devices"][-1][0] == "1TFLOPS"
    assert main(["page", "zoo:digits", "--input", "8x8", "-o", str(tmp_path / "no.html")]) == 3
    assert not (tmp_path / "no.html").exists()
    assert "at least --input 28x28" in capsys.readouterr().err


def test_an_import_that_is_partial_is_called_so():
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [
        {"class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "in"}},
        {"class_name": "Lambda", "config": {"name": "secret"}},
        {"class_name": "Dense", "config": {"name": "d", "units": 2}}]}}  # fmt: skip
    text = page(archcalc.from_keras(config)).html
    data = data_of(text)
    assert data["status"] == "partial" and data["partial"]
    assert "status: partial" in text and "<mo>≥</mo>" in text
