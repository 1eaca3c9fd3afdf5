"""Live pages in a real browser: every number at random sizes as Python has it, what is refused, names, keys, phones."""

import random

import pytest

import archcalc
from archcalc.errors import ModelError
from archcalc.layers import Conv, Dense, Flatten
from archcalc.model.sizes import full_shapes
from archcalc.questions.live import ELSE
from archcalc.questions.page import page
from archcalc.questions.symbols import replaced, symbols_of
from tests.browsing import Watched, chromium, needs_browser

pytestmark = needs_browser

ASK = """([sizes, choices]) => {
  const network = archcalc.at(Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, BigInt(n)])), choices);
  if (network.refusal) return { refused: network.refusal };
  const rows = network.rows().map(row => [
    row.output, row.params, row.buffers, row.macs, row.macs_exact, row.flops, row.output_bytes].map(String));
  const times = network.times();
  return { rows, peaks: [false, true].map(training => {
    const moments = network.memory(training);
    return moments.length ? String(moments.reduce((most, [, , n]) => (n > most ? n : most), 0n)) : null;
  }),
    bounds: times && [times.bound, times.eager, ...times.rows.map(({ bound }) => bound)] };
}"""
TRIES = 8
KNOWN = {"bert_base": 0.3}  # the part of peaks and bounds that a page holds, where sizes decide how memory goes
MODELS = (
    "digits", "lenet5", "exercise_i", "exercise_h", "exercise_m", "resnet18", "unet", "mobilenet_v2", "vgg11", "gpt2",
    "vit_b_16", "inception_v3", "shufflenet_v2_x1_0", "bert_base", "squeezenet1_1",
)  # fmt: skip

HEAD = "archcalc: 1\ninputs: {image: [3, 33, 33]}\n"
SPECS = {  # where letters do not tell which way a layer goes
    "padding in halves": HEAD + "layers:\n  - conv: {filters: 4, kernel: 3, stride: 2, padding: same}\n"
    "  - max_pool: {kernel: 3, stride: 2, padding: same}\n  - conv: {filters: 2, kernel: 3, padding: 1}\n",
    "two inputs": "archcalc: 1\ninputs: {left: [3, 32, 32], right: [1, 16, 16]}\nlayers:\n"
    "  - conv: {name: a, from: left, filters: 8, kernel: 3, stride: 2, padding: 1}\n"
    "  - conv: {name: b, from: right, filters: 8, kernel: 3, padding: 1}\n  - add: {from: [a, b]}\n",
    "a kernel": HEAD + "set: {k: 3, s: 1}\nlayers:\n  - conv: {filters: 8, kernel: k, stride: s}\n  - relu\n",
    "made of others": HEAD + "set: {a: 4, b: 2 * a, c: a * b}\nlayers:\n  - conv: {filters: a, kernel: 1}\n"
    "  - conv: {filters: b, kernel: 1}\n  - conv: {filters: c, kernel: 1}\n",
    "small maps": HEAD + "layers:\n  - conv: {filters: 4, kernel: 3, stride: 16, padding: 1}\n"
    "  - conv: {filters: 64, kernel: 3, padding: 1}\n  - conv: {filters: 64, kernel: 3, padding: 1}\n",
}  # fmt: skip
KNOWN |= {"padding in halves": 0.3, "a kernel": 0.3}


def model_of(name):
    return archcalc.loads(SPECS[name]) if name in SPECS else archcalc.load(f"zoo:{name}")


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """Pages by model, each written and opened once; all of them have to be quiet to the end."""
    pages = {}

    def show(name, model=None, fragment=""):
        if (name, fragment) not in pages:
            path = tmp_path_factory.mktemp("pages") / "page.html"
            path.write_text(page(model or model_of(name)).html, encoding="utf-8")
            pages[name, fragment] = Watched(browser, path, fragment)
        return pages[name, fragment]

    yield show
    for watched in pages.values():
        watched.close()


def python_says(model, symbols, sizes, choices):
    """What a page must say, from the questions that integers answer."""
    settings = {s["name"]: sizes[s["name"]] for s in symbols if s["of"] == "setting"}
    model = model.with_settings(settings)
    batch = sizes.get("N", 1)
    shapes = replaced(full_shapes(model.inputs, None, 1), symbols_of(model, {}), defaults(model) | sizes)
    given = {name: shape[1:] for name, shape in shapes.items()}
    report = model.report(given, batch=batch, dtype=choices["dtype"], convention=choices["convention"])
    trains = choices["dtype"] in ("float64", "float32", "float16", "bfloat16")
    memory = model.memory(given, batch=batch, dtype=choices["dtype"], training=trains, optimizer=choices["optimizer"])
    rows = [
        [",".join(map(str, row.output)),
         *(str(getattr(row, key)) for key in ("params", "buffers", "macs", "macs_exact", "flops", "output_bytes"))]
        for row in report.rows
    ]  # fmt: skip
    try:
        timing = model.time(choices["device"], given, batch=batch, dtype=choices["dtype"])
        bounds = [timing.totals["bound_s"], timing.totals["bound_eager_s"], *(row.bound_s for row in timing.rows)]
    except archcalc.ArchcalcError:
        bounds = None
    peaks = [str(memory.inference.bytes), str(memory.training.bytes) if trains else None]
    return {"rows": rows, "peaks": peaks, "bounds": bounds}


def defaults(model):
    """Every letter's value in the spec."""
    own = full_shapes(model.inputs, None, 1)
    return {s.name: own[s.input][s.position] if s.of == "axis" else 1 for s in symbols_of(model, {})}


def a_size(draw, symbol):
    """Sizes near the spec's, whole strides away from it, and much smaller or larger ones."""
    value = symbol["value"]
    if symbol["of"] == "batch":
        return draw.randint(1, 5)
    if symbol["of"] == "setting":
        return max(1, value * draw.randint(1, 6) // 2)
    return max(
        1,
        draw.choice(
            [value, value + 32 * draw.randint(-3, 9), int(value * draw.choice([0.2, 0.6, 1.7])) + draw.randint(-3, 9)]
        ),
    )


def a_choice(draw):
    return {
        "dtype": draw.choice(["float64", "float32", "float16", "bfloat16", "float8", "int8"]),
        "convention": draw.choice(["archcalc", "2mac", "mac", "exact"]),
        "optimizer": draw.choice(["none", "sgd", "momentum", "adam", "rmsprop", "adagrad"]),
        "device": draw.choice(["nvidia-h100-sxm", "nvidia-t4", "nvidia-v100-pcie", "nvidia-k80-die"]),
    }


@pytest.mark.parametrize("name", [*MODELS, *SPECS])
def test_every_number_at_random_sizes_is_that_of_python(opened, name):
    model, watched, draw = model_of(name), opened(name), random.Random(name)  # noqa: S311 - sizes
    symbols = watched.page.evaluate("archcalc.symbols")
    refused, known = 0, []
    for _ in range(TRIES):
        sizes = {symbol["name"]: a_size(draw, symbol) for symbol in symbols}
        choices = a_choice(draw)
        found = watched.page.evaluate(ASK, [sizes, choices])
        try:
            wanted = python_says(model, symbols, sizes, choices)
        except ModelError as error:
            refused += 1
            if found.get("refused", {}).get("rule") == ELSE:
                continue
            assert found["refused"]["rule"] == (error.problems[0] if hasattr(error, "problems") else error).rule, sizes
            continue
        if found.get("refused", {}).get("rule") == ELSE:  # broadcasting, mostly: it says so
            continue
        assert found.get("refused") is None, (sizes, found["refused"])
        assert found["rows"] == wanted["rows"], (sizes, choices)
        for here, there in zip(found["peaks"], wanted["peaks"], strict=True):  # a page may say that it does not know
            assert here in (None, there), (sizes, choices)
            known += [here is not None] * (there is not None)
        if wanted["bounds"] is None:
            assert found["bounds"] is None
        elif found["bounds"] is None:
            known.append(False)
        else:
            known.append(True)
            assert found["bounds"] == pytest.approx(wanted["bounds"], rel=1e-12), (sizes, choices)
    assert refused < (TRIES if name in MODELS else 2 * TRIES)  # else nothing was compared
    assert sum(known) >= KNOWN.get(name, 0.8) * len(known), known


def test_a_slider_at_1024_reads_the_classroom_figure(opened):
    watched = opened("digits", fragment="#N=1")
    watched.page.evaluate("""() => {
      const slider = document.getElementById("slide-H");
      slider.value = 1024;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }""")
    assert watched.text("#total-macs").startswith("1,761,730,400 = 1.762 G")
    assert watched.text("#foot-bytes") == "132,346,400"
    watched.page.wait_for_timeout(400)
    assert "W=1024" in watched.page.evaluate("location.hash")


def test_exact_integers_beyond_two_to_the_53(opened):
    watched = opened("digits", fragment="#H=1000000007&W=1000000009")
    report = archcalc.load("zoo:digits").report(input=(1000000007, 1000000009))
    assert report.totals.macs > 2**53
    assert watched.text("#foot-macs") == f"{report.totals.macs:,}"
    assert watched.text("#foot-bytes") == f"{report.totals.output_bytes:,}"


def test_a_wrong_size_names_the_layer_and_offers_the_next_one_that_fits(opened):
    watched = opened("digits", fragment="#H=20&W=20")
    said = watched.text("#refusal")
    assert said.startswith(
        "Conv: a window spanning 5 must fit its axis; got an axis of 3 padded by (0, 0) — layer conv3"
    )
    watched.page.click("#refusal button")
    assert watched.text("#refusal") == ""
    assert watched.page.input_value("#size-H") == watched.page.input_value("#size-W") == "28"
    assert watched.text("#foot-macs") == "653,000"


def test_a_field_says_what_it_takes(opened):
    watched = opened("lenet5")
    for text in ("", "-3", "1.5", "abc", "0", "99999999999999999999"):
        watched.page.fill("#size-H", text)
        assert watched.page.get_attribute("#size-H", "aria-invalid") == "true"
        assert "a whole number" in watched.text("#refusal")
    watched.page.fill("#size-H", "64")
    assert watched.page.get_attribute("#size-H", "aria-invalid") in (None, "false")


def test_a_view_can_be_shared(opened, browser):
    first = opened("resnet18")
    first.page.fill("#size-H", "320")
    first.page.select_option("#dtype", "bfloat16")
    first.page.select_option("#device", "nvidia-t4")
    first.page.check("#training")
    first.page.click("[aria-label='open layer1']")
    first.page.click("[aria-label='open layer1/block1']")
    first.page.click("#lines >> text=conv2")
    first.page.wait_for_timeout(400)
    second = Watched(browser, first.url.removeprefix("file://"), first.page.evaluate("location.hash"))
    for selector in (".totals", "#lines", "#chosen", "#steps"):
        assert second.text(selector) == first.text(selector)
    second.close()


def test_a_fragment_of_somebody_elses_making_does_no_harm(opened):
    watched = opened("lenet5", fragment="#H=<script>&W=-1&dtype=evil&layer=nope&open=%00|..&device=x&N=1e9")
    assert watched.text("#foot-params") == "61,706"


def test_search_order_and_folding(opened):
    watched = opened("resnet18", fragment="#W=224")
    watched.page.fill("#search", "batch_norm layer4")
    names = watched.page.eval_on_selector_all("#lines .name", "all => all.map(one => one.textContent)")
    assert len(names) == 5 and all(name.startswith("layer4/") for name in names)
    watched.page.fill("#search", "")
    watched.page.click("#head button:has-text('params')")
    first = watched.page.eval_on_selector_all(
        "#lines td:nth-child(4)", "all => all.map(one => Number(one.textContent.replaceAll(',', '')))"
    )
    assert first == sorted(first, reverse=True) and len(first) == 69
    assert watched.page.get_attribute("#head th:nth-child(4)", "aria-sort") == "descending"
    watched.page.click("#head button:has-text('params')")
    watched.page.click("#head button:has-text('params')")
    watched.page.click("#open")
    assert watched.page.locator("#lines tr").count() > 69
    watched.page.click("#close")
    folded = watched.page.locator("#lines tr").count()
    params = watched.page.eval_on_selector_all(
        "#lines td:nth-child(4)", "all => all.map(one => Number(one.textContent.replaceAll(',', '')))"
    )
    assert folded < 20 and sum(params) == 11_689_512


DERIVED = """place => {
  const derived = archcalc.derivation(place);
  return derived.map(([under, label, , , value, whole]) => [under, label, String(value), whole]);
}"""


@pytest.mark.parametrize("name", MODELS)
def test_derivations_make_the_numbers_that_the_formulas_give(opened, name):
    """A chain that ended in another number would be left out: at most sizes none is."""
    watched, model = opened(name), archcalc.load(f"zoo:{name}")
    watched.page.evaluate("location.hash = ''")
    report, wrong = model.report(), []
    for place, row in enumerate(report.rows):
        steps = watched.page.evaluate(DERIVED, place)
        values = {(under, label): int(value) for under, label, value, _ in steps}
        assert values.get(("multiply–adds", "in total"), 0) == row.macs
        assert values.get(("", "parameters"), 0) == row.params or row.shared_with
        wrong += [(row.name, label) for _, label, _, whole in steps if not whole]
    assert wrong == []


NAMES = ["<script>alert(1)</script>", "a\"b'c", "\u202egnp", "😀 conv", "</td><b>", "${x}", "$model", "a&amp;b"]


def test_names_are_text(browser, tmp_path):
    layers = [Conv(filters=2, kernel=1) for _ in NAMES]
    model = archcalc.Model.chain(
        "<img src=x onerror=alert(1)>", {"image": (1, 8, 8)}, [*layers, Flatten(), Dense(units=3)]
    )
    nodes = list(model.nodes)
    renamed, last = [], "image"
    for name, node in zip([*NAMES, "flatten", "dense"], nodes, strict=True):
        from msgspec.structs import replace

        renamed.append(replace(node, name=name, inputs=(last,)))
        last = name
    model = archcalc.Model(model.name, model.inputs, tuple(renamed), (last,))
    path = tmp_path / "names.html"
    path.write_text(page(model).html, encoding="utf-8")
    watched = Watched(browser, path)
    shown = watched.page.eval_on_selector_all("#lines .name bdi", "all => all.map(one => one.textContent)")
    assert [name for name in NAMES if "/" not in name] == [name for name in shown if name in NAMES]
    assert watched.page.evaluate("document.title") == "<img src=x onerror=alert(1)> · archcalc"
    assert watched.page.locator("img, #lines script, #lines b").count() == 0
    watched.page.click("#lines .name >> nth=0")
    watched.close()


def test_no_serious_findings_of_axe(opened, browser):
    from axe_playwright_python.sync_playwright import Axe

    for name, scheme, width in (("digits", "light", 1280), ("resnet18", "dark", 1280), ("digits", "light", 390)):
        url = opened(name).url
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=True)
        shown = context.new_page()
        shown.goto(f"{url}#layer=conv1")
        found = Axe().run(shown).response["violations"]
        context.close()
        assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []


def test_it_works_by_keyboard_alone(opened):
    watched = opened("digits", fragment="#H=28")
    watched.page.focus("#slide-H")
    watched.page.keyboard.press("ArrowRight")
    assert watched.page.input_value("#size-H") == "29"
    watched.page.focus("#lines .name")
    watched.page.keyboard.press("Enter")
    assert watched.page.is_visible("#steps math")


def test_a_phone_shows_all_without_scrolling_sideways(opened, browser):
    context = browser.new_context(viewport={"width": 390, "height": 800})
    shown = context.new_page()
    shown.goto(opened("resnet18").url)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_a_model_of_many_layers_opens_folded(browser, tmp_path):
    text = "archcalc: 1\nname: deep\ninputs: {image: [3, 32, 32]}\nlayers:\n  - repeat: {times: 200, layers: [{repeat: {times: 10, layers: [{conv: {filters: 3, kernel: 3, padding: 1}}, relu]}}]}\n"
    path = tmp_path / "deep.html"
    path.write_text(page(archcalc.loads(text)).html, encoding="utf-8")
    watched = Watched(browser, path)
    assert watched.text("#foot-params") == f"{4000 // 2 * 84:,}"
    assert watched.page.locator("#lines tr").count() == 300
    assert watched.text("#rows") == "3,700 rows are not shown. 300 more"
    watched.page.click("#rows button")
    assert watched.page.locator("#lines tr").count() == 600
    watched.close()
