"""The largest size within limits, against looking at every candidate by reports of their own; and what proves it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archcalc
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.questions.solve import constraints


def total(model, quantity, input=None, batch=1):
    """By a report; None where the model refuses the size."""
    try:
        return getattr(model.report(input, batch=batch).totals, quantity)
    except archcalc.ArchcalcError:
        return None


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(["digits", "vgg16", "exercise_b", "lenet5", "exercise_m", "exercise_r_max_pool"]),
    st.sampled_from(["macs", "flops", "output_bytes", "macs_exact", "cmp"]),
    st.integers(1, 64),
    st.integers(1, 130),
)
def test_the_largest_input_is_the_last_that_a_search_by_hand_finds(name, quantity, multiple, place):
    """The limit is what some size costs, so that answers of every size come up."""
    model = archcalc.load(f"zoo:{name}")

    def cost(n):
        try:
            totals = model.report((n, n)).totals
        except archcalc.ArchcalcError:
            return None
        return totals.ops.cmp if quantity == "cmp" else getattr(totals, quantity)

    at = cost(place)
    limit = 1 if at is None else at
    found = model.solve("input", f"{quantity} <= {limit}", multiple=multiple)
    sizes = range(multiple, 2 * max(place, 50) + 2 * multiple, multiple)
    within = [n for n in sizes if (value := cost(n)) is not None and value <= limit]
    if found.fails is None:  # it does not grow with the size
        assert len({cost(n) for n in sizes} - {None}) == 1
        return
    assert (found.holds.sizes["H"] if found.holds else None) == (within[-1] if within else None)
    if found.holds:
        assert found.holds.values == (cost(within[-1]),)
        after = found.fails.sizes["H"]
        assert cost(after) > limit
        assert found.fails.values == (cost(after),)
        assert not [n for n in range(within[-1] + multiple, after, multiple) if cost(n) is not None]
    else:
        assert cost(found.fails.sizes["H"]) > limit


def test_batch_and_several_limits():
    model = archcalc.load("zoo:resnet50")
    found = model.solve("batch", "macs <= 100G, output_bytes <= 2GiB")
    # per image 4,089,184,256 MACs and 150,247,328 bytes of outputs: 24 by the first limit, 14 by the second
    assert found.holds.n == min(100 * 10**9 // 4_089_184_256, 2 * 2**30 // 150_247_328) == 14
    assert found.holds.values == (14 * 4_089_184_256, 14 * 150_247_328)
    assert found.fails.n == 15
    assert found.proved


def test_the_classroom_network_by_its_width():
    model = archcalc.load("zoo:exercise_i")  # 25ab + 76a + 251b + 10 parameters, a = 12: 551b + 922
    found = model.solve("b", "params <= 100k")
    assert (found.holds.n, found.fails.n) == ((100_000 - 922) // 551, (100_000 - 922) // 551 + 1)
    assert found.holds.values == (551 * found.holds.n + 922,)
    assert found.proved
    why = "no limited quantity shrinks as b grows: proved for every value"
    assert found.reason == f"{why}; only values that the layers take are candidates"


def test_only_values_that_the_layers_take():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {x: [12, 8, 8]}\nset: {f: 12}\nlayers: [conv: {filters: f, kernel: 1, groups: 4}]\n"
    )
    found = model.solve("f", "params <= 100")  # f · (3 + 1), four groups of filters
    assert (found.holds.n, found.holds.values, found.fails.n, found.proved) == (24, (96,), 28, True)


def test_only_sizes_that_the_network_takes():
    model = archcalc.load("zoo:unet")
    found = model.solve("input", "macs <= 500G")
    legal = {n: total(model, "macs", (n, n)) for n in range(900, 1000)}
    assert found.holds.sizes == {"H": 940, "W": 940}
    assert found.fails.sizes == {"H": 956, "W": 956}
    assert [n for n, macs in legal.items() if macs is not None] == [908, 924, 940, 956, 972, 988]
    assert legal[940] <= 500 * 10**9 < legal[956]


def test_a_network_with_a_largest_input(capsys):
    """ViT-B/16 has 197 positions: 14 patches a side and the class token, so 239 pixels at most."""
    model = archcalc.load("zoo:vit_b_16")
    found = model.solve("input", "macs <= 10G")
    macs = {n: total(model, "macs", (n, n)) for n in range(1, 260)}
    assert [n for n, value in macs.items() if value is not None] == list(range(16, 240))
    assert found.holds.n == max(n for n, value in macs.items() if value is not None and value <= 10**10)
    assert (found.fails.n, found.proved) == (found.holds.n + 1, True)
    assert macs[found.holds.n] <= 10**10 < macs[found.fails.n]
    assert main(["solve", "zoo:vit_b_16", "--max", "input", "--subject-to", "macs <= 1T"]) == 0
    assert capsys.readouterr().out == (
        "largest input: 239x239\n"
        f"  holds at 239x239: macs {macs[239]:,} keeps macs <= 1,000,000,000,000\n"
        "the model accepts nothing above 239x239: every candidate was looked at\n"
    )
    assert model.solve("input", "macs <= 1").text().startswith("no input keeps the limits\n")


def test_aspect_and_multiple():
    model = archcalc.load("zoo:mobilenet_v2")
    found = model.solve("input", "macs <= 5G", aspect="16:9", multiple=32)
    h, w = found.holds.sizes["H"], found.holds.sizes["W"]
    assert 9 * w == 16 * h
    assert h % 32 == w % 32 == 0
    assert total(model, "macs", (h, w)) <= 5 * 10**9 < total(model, "macs", (h + 288, w + 512))
    assert found.answer == f"{h}x{w}"


def test_a_shrinking_quantity_is_scanned_and_said():
    """Windows onto 7 cells overlap unless 7 divides the size: 13 + 7 − 1 taps at 13 cells, 14 + 7 − 7 at 14."""
    model = archcalc.loads("archcalc: 1\ninputs: {x: [1, 14]}\nlayers: [adaptive_avg_pool: 7]\n")
    found = model.solve("input", "add <= 10")  # taps − 7
    assert not found.proved
    assert "there is no proof of growth: every candidate up to 20000 was looked at" in " ".join(found.reason.split())
    assert (found.holds.n, found.holds.values) == (14, (14 - 7,))
    assert (found.fails.n, found.fails.values) == (15, (15 + 7 - 1 - 7,))
    assert found.text().startswith("largest input: 14\n")


def test_hyperparameters_without_a_formula_are_scanned():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {x: [4, 8, 8]}\nset: {depth: 2}\n"
        "layers: [repeat: {times: depth, layers: [conv: {filters: 4, kernel: 3, padding: 1}]}]\n"
    )
    found = model.solve("depth", "params <= 1500")  # 4·(4·9 + 1) = 148 each
    assert (found.holds.n, found.fails.n, found.proved) == (10, 11, False)


def test_hyperparameters_that_divide():
    model = archcalc.loads(
        "archcalc: 1\ninputs: {x: [12, 8, 8]}\nset: {g: 1}\nlayers: [conv: {filters: 12, kernel: 1, groups: g}]\n"
    )
    found = model.solve("g", "params <= 100")  # 12·12/g + 12: it falls as g grows
    assert (found.holds.n, found.fails, found.proved) == (12, None, False)


def test_nothing_and_everything(capsys):
    model = archcalc.load("zoo:resnet50")
    nothing = model.solve("input", "params <= 1M")
    assert (nothing.holds, nothing.fails.sizes, nothing.answer) == (None, {"H": 1, "W": 1}, "")
    everything = model.solve("input", "params <= 100M")
    assert everything.fails is None
    assert not everything.proved
    assert "the limits do not seem to bound it" in everything.text()
    assert main(["solve", "zoo:resnet50", "--max", "input", "--subject-to", "params <= 1M"]) == 4
    assert capsys.readouterr().out == (
        "no input keeps the limits\n"
        "  fails at 1x1: params 25,557,032 breaks params <= 1,000,000\n"
        "no limited quantity shrinks as the input grows: proved for each of 32\n"
        "remainders, and this is the smallest candidate\n"
    )


def test_the_page_and_its_data(capsys):
    command = [
        "solve",
        "zoo:resnet50",
        "--max",
        "input",
        "--multiple",
        "32",
        "--subject-to",
        "macs <= 100G, output_bytes <= 2GiB",
    ]
    assert main(command) == 0
    page = capsys.readouterr().out
    # 81456·H·W + 2048000 MACs and 2994·H·W + 20384 bytes
    assert page == (
        "largest input: 832x832\n"
        f"  holds at 832x832: macs {81456 * 832**2 + 2048000:,} keeps macs <= 100,000,000,000\n"
        f"  holds at 832x832: output_bytes {2994 * 832**2 + 20384:,} keeps output_bytes <= 2,147,483,648\n"
        f"  fails at 864x864: output_bytes {2994 * 864**2 + 20384:,} breaks output_bytes <= 2,147,483,648\n"
        "no limited quantity shrinks as the input grows: proved for every size\n"
    )
    assert main([*command, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["answer"], data["proved"], data["holds"]["n"], data["fails"]["n"]) == ("832x832", True, 26, 27)


BAD = {
    ("input", "mac <= 1G"): "--subject-to: must limit a quantity of the report; got mac\n  did you mean macs?",
    ("input", "macs <= 2GiB"): "--subject-to: macs must be a count such as 9150, 10k or 1.5M; got '2GiB'",
    ("input", "output_bytes <= 1T"): "--subject-to: output_bytes must be a number of bytes such as 4096, 1.5MB or 24GiB; got '1T'",
    ("batch", "training_peak_bytes <= 16GiB"): "--subject-to: must limit a quantity of the report; got training_peak_bytes\n  archcalc fit finds the largest batch and input whose peak fits into --memory",
    ("input", "macs >= 1G"): "--subject-to: must be limits such as macs <= 1G, joined by commas; got 'macs >= 1G'",
    ("input", ""): "--subject-to: must be limits such as macs <= 1G, joined by commas; got ''",
    ("input", "macs <= 1.5"): "--subject-to: macs must be a whole number; got '1.5' = 1.5",
    ("size", "macs <= 1"): "--max: must be one of input, batch, width; got size",
    ("widht", "macs <= 1"): "--max: must be one of input, batch, width; got widht\n  did you mean width?",
}  # fmt: skip


@pytest.mark.parametrize("asked", BAD)
def test_messages(asked):
    with pytest.raises(UsageError) as error:
        archcalc.load("zoo:digits").solve(*asked)
    assert str(error.value) == BAD[asked]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"aspect": "wide"}, "--aspect: must be WIDTH:HEIGHT, such as 16:9; got 'wide'"),
        ({"aspect": "0:1"}, "--aspect: must be WIDTH:HEIGHT, such as 16:9; got '0:1'"),
        ({"multiple": 0}, "--multiple: must be at least 1; got 0"),
    ],
)
def test_messages_of_options(options, text):
    with pytest.raises(UsageError) as error:
        archcalc.load("zoo:digits").solve("input", "macs <= 1G", **options)
    assert str(error.value) == text


def test_a_multiple_that_no_legal_size_is():
    with pytest.raises(UsageError) as error:
        archcalc.load("zoo:unet").solve(
            "input", "macs <= 1T", multiple=16
        )  # 16·n is never 12 more than a multiple of 16
    assert str(error.value) == "--multiple: must leave sizes that the model accepts; got H = 16·n, W = 16·n"


def test_limits_as_people_write_them():
    assert [str(limit) for limit in constraints("macs<=1,000,000 , output_bytes < 1.5 MB")] == [
        "macs <= 1,000,000",
        "output_bytes < 1,500,000",
    ]
