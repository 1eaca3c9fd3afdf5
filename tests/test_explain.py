"""Derivations against the reports they explain: every line that is shown is worked out again, as a pupil would."""

import json
import re
from fractions import Fraction
from math import floor, prod
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archcalc import Input, Model, load, loads
from archcalc.algebra.ops import CONVENTIONS, Ops
from archcalc.algebra.spoken import LATEX, Spoken, factored, named
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.layers import Conv, Dense, Unknown
from archcalc.layers import layer as registry
from archcalc.layers.layer import Layer, Weight, register
from archcalc.model.graph import Node
from archcalc.views import explain as views
from tests.asking import model_of, report_of
from tests.cases import CASES
from tests.zoo import SLOWLY

GOLDEN = Path(__file__).parent / "golden_explain"
ids = [f"{n}-{case.line[:60]}" for n, case in enumerate(CASES)]
PLANES = {1: ["length"], 2: ["height", "width"], 3: ["depth", "height", "width"]}


def worth(text):
    """What a line of values comes to; a bracket ⌊ ⌋ rounds down, any other division must come out as it is."""
    text = text.replace(",", "")
    for mark, word in (("⌊", "floor("), ("⌋", ")"), ("×", "*"), ("·", "*"), ("^", "**"), ("−", "-")):
        text = text.replace(mark, word)
    text = re.sub(r"\d+", lambda match: f"F({match[0]})", text)
    return eval(text, {"F": Fraction, "floor": floor, "__builtins__": {}})  # noqa: S307 - written by this library


def worth_of_tex(text):
    """The same of a formula in LaTeX."""
    assert text.count("{") == text.count("}")
    assert not re.search(r"\d +\d", text), f"two numbers side by side are set as one: {text}"
    for mark, word in ((r"\left\lfloor", "⌊"), (r"\right\rfloor", "⌋"), (r"\times", "×"), (r"\cdot", "·")):
        text = text.replace(mark, word)
    while "{" in text:
        shorter = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"((\1)/(\2))", text)
        shorter = re.sub(r"\^\{([^{}]*)\}", r"^(\1)", shorter)
        assert shorter != text
        text = shorter
    return worth(text)


def axis_names(y, image):
    """What a reader calls the axes of an output."""
    if image and len(y) > 2:
        return ["batch", "channels", *PLANES.get(len(y) - 2, [f"axis {n}" for n in range(2, len(y))])]
    if len(y) == 2:
        return ["batch", "features"]
    middle = ["rows"] if len(y) == 3 else [f"axis {n}" for n in range(1, len(y) - 1)]
    return ["batch", *middle, "features"][: len(y)]


def check_steps(working, row, image):
    """Every step is worth what it says, and the row of the report says the same."""
    assert (working.name, working.kind, working.output) == (row.name, row.kind, row.output)
    found = {(step.under, step.label): int(step.value) for step in working.steps}
    assert len(found) == len(working.steps)
    for step in working.steps:
        if isinstance(step.value, Spoken):
            assert worth(step.value.shown()) == int(step.value), step
            assert step.value.said()
    names = axis_names(row.output, image)
    for step in working.steps:
        for name in step.label.split(", "):
            if not step.under and name in names:
                assert int(step.value) == row.output[names.index(name)], step
    if row.shared_with is None:
        assert (found.get(("", "parameters"), 0), found.get(("", "buffers"), 0)) == (row.params, row.buffers)
    assert found.get(("multiply–adds", "in total"), 0) == row.macs
    left_out = "of pairs seen" if row.kind == "attention" else "without padding"
    assert found.get(("multiply–adds", left_out), row.macs) == row.macs_exact
    assert found["", "memory"] == row.output_bytes
    assert found.get(("", "FLOPs"), 0) == row.flops
    for key, label in (
        ("mul", "multiplications"),
        ("add", "additions"),
        ("cmp", "comparisons"),
        ("div", "divisions"),
        ("exp", "exponentials"),
    ):
        told = row.macs if key == "mul" and row.macs and ("", label) not in found else 0
        assert found.get(("", label), told) == getattr(row.ops, key), label


def check_shares(working, row):
    """What one output, or all outputs at one place, takes, times how many there are, is the whole."""
    found = {step.label: int(step.value) for step in working.steps if step.under == "multiply–adds"}
    outputs = prod(row.output)
    for label in ("per filter", "per output"):
        if label in found:
            assert found[label] * outputs == row.macs, label
    for label, axis in (("per pixel", 1), ("per cell", 1), ("per row", -1)):
        if label in found:
            assert found[label] * outputs == row.macs * row.output[axis], label


def check(explanation, report):
    """Every layer, and the totals."""
    assert (explanation.model, explanation.dtype, explanation.status) == (report.model, report.dtype, report.status)
    assert len(explanation.layers) == len(report.rows)
    for working, row in zip(explanation.layers, report.rows, strict=True):
        check_steps(working, row, row.name in report.images)
        check_shares(working, row)
    if len(report.rows) > 1:
        totals = report.totals
        found = {step.label: int(step.value) for step in explanation.totals}
        assert found == {
            "parameters": totals.params, "multiply–adds": totals.macs, "FLOPs": totals.flops, "output memory": totals.output_bytes,
        }  # fmt: skip
        for step in explanation.totals:
            if isinstance(step.value, Spoken):
                assert worth(step.value.shown()) == int(step.value)
    for width in (80, 100):
        assert max(map(len, views.text(explanation, width).splitlines())) <= width


# Derivations against reports


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_every_case(case):
    check(model_of(case).explain(batch=case.batch), report_of(case))


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_values_in_latex_come_to_the_same(case):
    for working in model_of(case).explain(batch=case.batch).layers:
        for step in working.steps:
            if isinstance(step.value, Spoken):
                assert worth_of_tex(step.value.shown(LATEX)) == int(step.value), step.label


@pytest.mark.parametrize("case", CASES[::3], ids=ids[::3])
def test_cases_in_a_batch_of_another_dtype_and_convention(case):
    model = model_of(case)
    for options in (
        {"batch": 3, "dtype": "float16", "convention": "exact"},
        {"batch": 2, "dtype": "int4", "convention": "mac"},
    ):
        check(model.explain(**options), model.report(**options))


@pytest.mark.parametrize("name", SLOWLY)
def test_every_model_of_the_zoo(name):
    model = load(f"zoo:{name}")
    check(model.explain(), model.report())


@pytest.mark.parametrize(
    ("name", "input"),
    [
        ("digits", "1024x1024"),
        ("digits", "31x45"),
        ("exercise_e", "29x31"),
        ("resnet18", "225x301"),
        ("exercise_h", "101"),
    ],
)
def test_other_sizes(name, input):
    model = load(f"zoo:{name}")
    check(model.explain(input), model.report(input))
    check(model.explain(input, batch=4, dtype="bfloat16"), model.report(input, batch=4, dtype="bfloat16"))


HEAD = "archcalc: 1\nname: m\ninputs: {image: [3, 9, 11]}\nlayers:\n"
SPECS = {
    "three axes": "archcalc: 1\nname: m\ninputs: {clip: [2, 7, 9, 11]}\nlayers: [conv: {filters: 4, kernel: 2, stride: 2}, max_pool: 2, flatten, dense: 3]\n",
    "one axis": "archcalc: 1\nname: m\ninputs: {x: [2, 17]}\nlayers: [conv: {filters: 4, kernel: 3, stride: 4}, conv_transpose: {filters: 2, kernel: 3, stride: 2}]\n",
    "channels last": "archcalc: 1\nname: m\nchannels_last: true\ninputs: {image: [9, 11, 3]}\nlayers: [conv: {filters: 4, kernel: 3}, max_pool: 2, flatten, dense: 5]\n",
    "tied": "archcalc: 1\nname: m\ninputs: {ids: {shape: [8], dtype: int64}}\nlayers: [embedding: {vocabulary: 100, width: 16}, dense: {units: 100, bias: false, shared_with: embedding1}]\n",
    "frozen": HEAD + "- conv: {filters: 4, kernel: 3, trainable: false}\n- batch_norm\n",
    "two inputs": "archcalc: 1\nname: m\ninputs: {left: [3, 8, 8], right: [3, 8, 8]}\nlayers: [concat: {from: [left, right]}, conv: {filters: 2, kernel: 3}]\n",
    "unequal kernels": HEAD + "- conv: {filters: 4, kernel: [2, 3], stride: [1, 2], padding: [[1, 0], [0, 2]]}\n- avg_pool: {kernel: [3, 2], stride: 2, ceil_mode: true}\n",
    "separable": HEAD + "- separable_conv: {filters: 6, kernel: 3, padding: same}\n- layer_norm: [1, 2, 3]\n- global_avg_pool\n",
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_specs(name):
    model = loads(SPECS[name])
    check(model.explain(), model.report())
    check(model.explain(batch=2, dtype="float16"), model.report(batch=2, dtype="float16"))


def test_a_block_and_a_layer():
    model = load("zoo:resnet18")
    whole = {working.name: working for working in model.explain().layers}
    one = model.explain(layer="conv1")
    assert [working.name for working in one.layers] == ["conv1"]
    assert one.totals == ()
    assert one.layers[0].steps == whole["conv1"].steps
    block = load("zoo:googlenet").explain(layer="inception3a")
    rows = [row for row in load("zoo:googlenet").report().rows if row.name.startswith("inception3a/")]
    assert len(block.layers) == len(rows) > 10
    assert {step.label: int(step.value) for step in block.totals}["parameters"] == sum(row.params for row in rows)


def test_tied_and_frozen_layers_say_so():
    tied = loads(SPECS["tied"]).explain()
    (note,) = tied.layers[1].notes
    assert "weight" in note
    assert note.endswith("of embedding1, counted there")
    assert int(tied.totals[0].value) == 1_600
    frozen = loads(SPECS["frozen"]).explain()
    assert frozen.layers[0].notes == ("frozen: its parameters are not trained",)
    assert frozen.layers[1].notes == ()


def test_what_is_not_known_is_not_derived():
    model = Model(
        "p",
        {"x": Input((4,))},
        (Node("d", Dense(units=2), ("x",)), Node("u", Unknown(operator="op", output=(1, 4)), ("d",))),
        ("u",),
    )
    found = model.explain()
    assert found.status == "partial"
    assert found.layers[1].notes == ("its operations are not known: nothing of it is counted",)
    assert found.layers[1].steps == ()
    assert str(found).endswith("status: partial, something was not counted")


# The exercises


def lines_of(text, name):
    """The lines about one layer, without their indentation."""
    block = text.split(f"\n{name}   ", 1)[1].split("\n\n", 1)[0]
    return [line.strip() for line in block.splitlines()]


def test_exercise_c():
    found = load("zoo:digits").explain()
    conv1 = {step.label: step.value for step in found.layers[0].steps}
    assert (int(conv1["per filter"]), int(conv1["per pixel"]), int(conv1["in total"])) == (25, 500, 288_000)
    text = str(found)
    assert "(28 − 5 + 2·0)/1 + 1 = 24" in text
    assert "= 20 × (5 × 5 × 1 + 1) = 520" in lines_of(text, "conv1")
    assert "conv1 + conv2 + conv3 = 288,000 + 360,000 + 5,000 = 653,000" in text
    assert "conv1 + conv2 + conv3 = 520 + 3,620 + 5,010 = 9,150" in text


def test_exercise_d():
    text = str(load("zoo:digits").explain("1024x1024"))
    assert "= 520,200,000 + 929,030,400 + 312,500,000 = 1,761,730,400" in text
    assert "(1,024 − 5 + 2·0)/1 + 1 = 1,020" in text


def test_exercise_e():
    pool = lines_of(str(load("zoo:exercise_e").explain()), "max_pool2")
    at = next(n for n, line in enumerate(pool) if "⌊11/2⌋ = 5" in line)
    assert pool[at + 1] == "one row and one column are dropped"


@pytest.mark.parametrize(
    ("line", "size", "remark"),
    [
        ("max_pool: 2", "10x11", "one column is dropped"),
        ("max_pool: 2", "11x10", "one row is dropped"),
        ("max_pool: 3", "11x10", "2 rows are dropped, one column is dropped"),
        ("max_pool: 3", "11x11", "2 rows and 2 columns are dropped"),
        ("max_pool: 2", "10x10", ""),
        (
            "conv: {filters: 2, kernel: 7, stride: 2, padding: 3}",
            "224x224",
            "one row and one column of the padding are not reached",
        ),
        ("conv: {filters: 2, kernel: 3, stride: 4, padding: 1}", "9x12", "2 columns are dropped"),
    ],
)
def test_what_a_window_leaves_over(line, size, remark):
    """Cells behind the last window: 9 padded to 11 holds windows at 0–2, 4–6, 8–10; 12 padded to 14 leaves 11–13, one padded."""
    layer = loads(f"archcalc: 1\ninputs: {{image: [1, 20, 20]}}\nlayers:\n- {line}\n").explain(size).layers[0]
    assert (
        ", ".join(
            step.remark for step in layer.steps if step.label in ("height", "width", "height, width") and step.remark
        )
        == remark
    )


def test_three_axes_drop_planes():
    text = "archcalc: 1\ninputs: {clip: [1, 5, 6, 7]}\nlayers: [max_pool: 2]\n"
    remarks = [step.remark for step in loads(text).explain().layers[0].steps if step.remark]
    assert remarks == ["one plane is dropped", "one column is dropped"]


def test_one_axis_drops_cells():
    text = "archcalc: 1\ninputs: {x: [1, 11]}\nlayers: [max_pool: 4]\n"
    steps = loads(text).explain().layers[0].steps
    assert (steps[0].label, int(steps[0].value), steps[0].remark) == ("length", 2, "3 cells are dropped")


def test_exercise_m_in_training_numbers():
    found = load("zoo:exercise_m").explain(batch=50)
    memory = [int(step.value) for working in found.layers for step in working.steps if step.label == "memory"]
    assert sum(memory) == 526_000_000
    values = next(step.value for step in found.layers[0].steps if step.label == "memory")
    assert values.shown() == "50 × 100 × 100 × 150 × 4"


# A formula that is not the library's own


@pytest.fixture
def blur():
    """A kind that a user registers, and that is forgotten afterwards."""

    class Blur(Layer, frozen=True):
        """Blur with its own taps for each channel, and one strength."""

        taps: int
        step: int = 1

        def out(self, *xs):
            batch, channels, n = xs[0]
            return (batch, channels, (n - self.taps) // self.step + 1)

        def weights(self, *xs):
            return {"weight": Weight((xs[0][1], self.taps)), "strength": Weight((1,))}

        def macs(self, xs, y):
            return prod(y) * self.taps

        def ops(self, xs, y):
            return Ops(mul=self.macs(xs, y), add=prod(y) * (self.taps - 1))

    register("blur", example="blur: 3", on=[(1, 2, 9)])(Blur)
    yield Blur
    registry.KINDS.pop("blur")
    registry._NAMES.pop((Blur, ""))


def test_a_formula_that_a_user_registers_is_derived(blur):
    model = loads("archcalc: 1\nname: m\ninputs: {x: [2, 12]}\nlayers:\n- blur: {taps: 3, step: 2}\n")
    found, report = model.explain(), model.report()
    (working,) = found.layers
    (row,) = report.rows
    assert working.fields == "taps 3, step 2"
    steps = {step.label: step for step in working.steps}
    size = next(step for step in working.steps if int(step.value) == 5)
    assert size.value.shown() == "⌊(12 − 3)/2⌋ + 1"
    assert (int(steps["parameters"].value), steps["parameters"].value.shown()) == (7, "2 × 3 + 1")
    assert steps["in total"].value.shown().endswith("× 3")
    assert int(steps["in total"].value) == row.macs == 2 * 5 * 3
    assert worth(steps["additions"].value.shown()) == row.ops.add == 2 * 5 * 2
    assert "taps" in steps["parameters"].value.said()
    assert blur.__doc__


def test_the_users_kind_is_gone_again():
    assert "blur" not in registry.KINDS
    assert all(cls.__name__ != "Blur" for cls, _ in registry._NAMES)


# Numbers that remember

letters = st.sampled_from("abcde")
numbers = st.integers(0, 12)
leaves = st.tuples(st.just("n"), numbers) | st.tuples(letters, numbers)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.tuples(st.sampled_from(["+", "-", "*", "//"]), inner, inner)
        | st.tuples(st.just("**"), inner, st.tuples(st.just("n"), st.integers(0, 3)))
        | st.tuples(st.just("called"), inner)
    ),
    max_leaves=8,
)


def grown(tree):
    """The tree in numbers that remember, and in Python's own."""
    head, *rest = tree
    if head == "n":
        return rest[0], rest[0]
    if head in "abcde":
        return named(rest[0], head), rest[0]
    if head == "called":
        number, value = grown(rest[0])
        return (number.called("part") if isinstance(number, Spoken) else number), value
    (a, x), (b, y) = map(grown, rest)
    assume(head != "//" or y)
    assume(head != "**" or abs(x) < 10**6)
    make = {
        "+": lambda p, q: p + q,
        "-": lambda p, q: p - q,
        "*": lambda p, q: p * q,
        "//": lambda p, q: p // q,
        "**": lambda p, q: p**q,
    }[head]
    return make(a, b), make(x, y)


def holds_a_negative_name(tree):
    """Is a part called by a name that is below zero: then its value in a text has a sign of its own."""
    return tree[0] == "called" or any(isinstance(part, tuple) and holds_a_negative_name(part) for part in tree[1:])


@given(trees)
def test_a_number_that_remembers_is_the_number(tree):
    number, value = grown(tree)
    assert number == value
    assert int(number) == value
    assert hash(number) == hash(value)


@given(trees)
def test_what_is_shown_comes_to_the_value(tree):
    number, value = grown(tree)
    if isinstance(number, Spoken):
        assert worth(number.shown()) == value, number.shown()


@given(trees)
def test_what_is_shown_in_latex_comes_to_the_value(tree):
    number, value = grown(tree)
    if isinstance(number, Spoken):
        assert worth_of_tex(number.shown(LATEX)) == value, number.shown(LATEX)


@given(trees)
def test_what_is_said_comes_to_the_value_where_nothing_is_rounded(tree):
    number, value = grown(tree)
    if isinstance(number, Spoken) and not number.remainders and not holds_a_negative_name(tree):
        text = number.said()
        names = dict(collect(tree))
        assume(len(names) == len(set(collect(tree))))
        for name, of in names.items():
            text = re.sub(rf"\b{name}\b", f"({of})", text)
        assert worth(text) == value, number.said()


def collect(tree):
    """Names with their values."""
    if tree[0] in "abcde":
        return [(tree[0], tree[1])]
    return [pair for part in tree[1:] if isinstance(part, tuple) for pair in collect(part)] if tree[0] != "n" else []


@given(trees)
def test_factors_in_front_lose_no_value(tree):
    number, value = grown(tree)
    found = factored(number)
    assert int(found) == value
    if isinstance(found, Spoken):
        assert worth(found.shown()) == value, found.shown()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(-3, 3))
def test_factors_that_are_in_every_term(filters, taps, bias, times):
    f, t = named(filters, "filters"), named(taps, "taps")
    found = factored(f * t + times * f + bias * f)
    assert int(found) == filters * taps + times * filters + bias * filters
    assert worth(str(found.shown())) == int(found)


@given(st.integers(-50, 50), st.integers(1, 9))
def test_divisions_that_leave_a_rest_are_remembered(n, k):
    number = (named(n, "n") + 1) // named(k, "k")
    assert number.remainders == ([(n + 1, k)] if (n + 1) % k else [])
    assert ("⌊" in number.shown()) == bool((n + 1) % k)
    assert worth(number.shown()) == (n + 1) // k


def test_powers_are_told_apart():
    a, b = named(2, "a"), named(3, "b")
    assert worth(((a**3) ** 2).shown()) == 64
    assert worth((a ** (b + 1)).shown()) == 16
    assert worth((named(-3, "c") ** 2).shown()) == 9


def test_sums_as_people_write_them():
    n, k, p = named(28, "height"), named(2, "kernel"), named(1, "padding")
    assert ((n - k) // k + 1).said() == "height/kernel"
    assert (n - 5 + p + p).said() == "height − 5 + 2·padding" or (n - 5 + p + p).said() == "height + 2·padding − 5"
    assert (n - n).said() == "0"
    assert (1 * n).said() == (n + 0).said() == "height"
    assert named(-3620, "x").shown() == "−3,620"


# Pages

PAGES = {
    "digits": "zoo:digits",
    "digits-1024": "zoo:digits --input 1024x1024",
    "exercise_e": "zoo:exercise_e",
    "exercise_h": "zoo:exercise_h",
    "exercise_i": "zoo:exercise_i",
    "exercise_i-3-8": "zoo:exercise_i --set a=3 --set b=8",
    "exercise_m": "zoo:exercise_m",
    "exercise_n": "zoo:exercise_n",
}
LITERALS = {  # of EXAMPLES: parameters and multiply–adds of each layer that has some, and in all
    "digits": ([520, 3_620, 5_010], [288_000, 360_000, 5_000], 9_150, 653_000),
    "digits-1024": ([520, 3_620, 5_010], [520_200_000, 929_030_400, 312_500_000], 9_150, 1_761_730_400),
    "exercise_e": ([320, 9_248, 102_528, 1_290], [26 * 26 * 288, 11 * 11 * 9_216, 102_400, 1_280], 113_386, 1_413_504),
    "exercise_h": ([128, 25], [98 * 120, 96 * 24], 153, 11_760 + 2_304),
    "exercise_i": ([912, 9_632, 8_010], [784 * 900, 100 * 9_600, 8_000], 18_554, 705_600 + 960_000 + 8_000),
    "exercise_i-3-8": ([228, 608, 2_010], [784 * 225, 100 * 600, 2_000], 2_846, 176_400 + 60_000 + 2_000),
    "exercise_m": ([2_800, 180_200, 720_400], [15_000 * 2_700, 3_750 * 180_000, 950 * 720_000], 903_400, 1_399_500_000),
    "exercise_n": ([15_200], [225_000_000], 15_200, 225_000_000),
}


@pytest.mark.parametrize("name", PAGES)
def test_golden_pages(name, request, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["explain", *PAGES[name].split()]) == 0
    page = capsys.readouterr().out
    path = GOLDEN / f"{name}.txt"
    if request.config.getoption("--overwrite"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(page, encoding="utf-8")
    assert page == path.read_text(encoding="utf-8")
    assert max(map(len, page.splitlines())) <= 80


def test_every_golden_file_belongs_to_a_page():
    assert {path.stem for path in GOLDEN.iterdir()} == set(PAGES) == set(LITERALS)


def results(text, label):
    """The number after the last = sign of each line or chain under this label."""
    joined = re.sub(r"\n {17,}", " ", text)
    chains = [line for line in joined.splitlines() if line.strip().startswith(label)]
    return [int(re.findall(r"[0-9,]+", chain.split(":")[0])[-1].replace(",", "")) for chain in chains]


@pytest.mark.parametrize("name", LITERALS)
def test_golden_pages_add_up_to_the_exercises(name):
    text = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    layers, _, closing = text.partition("\nin all\n")
    params, macs, all_params, all_macs = LITERALS[name]
    assert results(layers, "parameters") == params
    assert results(layers, "in total") == macs
    if len(params) > 1:
        assert results(closing, "parameters") == [all_params] == [sum(params)]
        assert results(closing, "multiply–adds") == [all_macs] == [sum(macs)]
        assert results(closing, "output memory") == [sum(map(int_of_bytes, re.findall(r"= ([0-9,]+) bytes", layers)))]


def int_of_bytes(text):
    return int(text.replace(",", ""))


def test_golden_memory_of_exercises_m_and_n():
    m, n = ((GOLDEN / f"{name}.txt").read_text(encoding="utf-8") for name in ("exercise_m", "exercise_n"))
    assert re.findall(r"= ([0-9,]+) bytes", m)[:3] == ["6,000,000", "3,000,000", "1,520,000"]
    assert re.findall(r"= ([0-9,]+) bytes", n) == ["12,000,000"]


# Formats


@pytest.mark.parametrize("name", ["digits", "exercise_e", "exercise_m", "resnet18", "googlenet"])
def test_json_holds_every_step(name, capsys):
    assert main(["explain", f"zoo:{name}", "--format", "json", "--dtype", "float16"]) == 0
    data = json.loads(capsys.readouterr().out)
    report = load(f"zoo:{name}").report(dtype="float16")
    assert (data["schema_version"], data["dtype"], data["status"]) == (1, "float16", "complete")
    assert [layer["output"] for layer in data["layers"]] == [list(row.output) for row in report.rows]
    for layer, row in zip(data["layers"], report.rows, strict=True):
        steps = {step["label"]: step for step in layer["steps"]}
        assert steps["memory"]["value"] == row.output_bytes
        assert steps.get("multiply–adds in total", {"value": 0})["value"] == row.macs
        for step in layer["steps"]:
            if "values" in step:
                assert worth(step["values"]) == step["value"]
    assert data["totals"][0] == data["totals"][0] | {"label": "parameters", "value": report.totals.params}


@pytest.mark.parametrize("name", ["digits", "exercise_e", "exercise_m", "resnet18"])
def test_markdown(name):
    found = load(f"zoo:{name}").explain()
    page = views.markdown(found)
    assert page.startswith(f"# {name}: ")
    assert page.count("\n## ") == len(found.layers) + 1
    formulas = re.findall(r"^- [^$]*: \$(.*?)\$", page, re.MULTILINE)
    assert len(formulas) == sum(len(working.steps) for working in found.layers) + len(found.totals)
    steps = [step for working in found.layers for step in working.steps] + list(found.totals)
    for formula, step in zip(formulas, steps, strict=True):
        assert formula.count("{") == formula.count("}")
        parts = (
            re.sub(r"\\ \\text\{bytes\}|\\ \\text\{values\}", "", formula)
            .replace("{,}", "")
            .replace("-", "−")
            .split(" = ")
        )
        assert worth_of_tex(parts[-1]) == int(step.value)
        if len(parts) > 2:
            assert worth_of_tex(parts[1]) == int(step.value)


@pytest.mark.parametrize("name", ["digits", "exercise_e", "googlenet"])
def test_latex(name):
    found = load(f"zoo:{name}").explain()
    page = views.latex(found)
    assert (
        page.count(r"\begin{align*}")
        == page.count(r"\end{align*}")
        == page.count(r"\paragraph{")
        == len(found.layers) + 1
    )
    assert page.count("{") == page.count("}")
    assert page.count(r"\left") == page.count(r"\right")
    body = re.sub(r"\\begin\{align\*\}|\\end\{align\*\}", "", page)
    assert body.count("&=") == sum(len(working.steps) for working in found.layers) + len(found.totals)
    page = "\n".join(line for line in page.splitlines() if not line.startswith("%"))
    outside = re.sub(r"\$[^$]*\$", "", page)
    assert not re.search(r"(?<!\\)#|(?<![\\}])_|_(?!\{\d+\}|\w)", outside)  # an index stands behind a name, in brackets
    assert not re.search("[×−·⌊⌋]", page)


def test_names_with_marks_of_latex_and_html():
    text = "archcalc: 1\nname: m\ninputs: {image: [3, 9, 9]}\nlayers:\n- conv: {name: first_one, filters: 2, kernel: 3}\n- max_pool: 2\n"
    found = loads(text).explain()
    assert r"\paragraph{first\_one: conv" in views.latex(found)
    assert r"max\_pool" in views.latex(found)
    assert "## `first_one`: conv" in views.markdown(found)
    assert "<summary>first_one   conv: filters 2, kernel 3</summary>" in found._repr_html_()
    assert "<mtext>filters</mtext><mo>×</mo><mo>(</mo><mtext>kernel</mtext>" in found._repr_html_()


@pytest.mark.parametrize(
    ("ending", "begins"),
    [("md", "# digits: "), ("tex", "% digits: "), ("html", "<!doctype html>"), ("json", "{"), ("txt", "digits: ")],
)
def test_files_by_their_ending(ending, begins, tmp_path, capsys):
    path = tmp_path / f"page.{ending}"
    assert main(["explain", "zoo:digits", "-o", str(path)]) == 0
    assert path.read_text(encoding="utf-8").startswith(begins)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name):
    model = load("zoo:exercise_b")
    found, report = model.explain(convention=name), model.report(convention=name)
    check(found, report)
    assert f"FLOPs by the convention {name}: " in str(found)


MISTAKES = {
    ("zoo:digits", "--layer", "con1"): (2, "--layer: must name a layer or block of the model; got con1\n  did you mean conv1?"),
    ("zoo:digits", "-o", "page.csv"): (2, "--format: must be text, json, markdown, latex or html; got csv"),
    ("zoo:digits", "--batch", "0"): (2, "batch: must be at least 1 and at most 10**18; got 0"),
    ("zoo:exercise_e", "--input", "9x9"): (
        3, "MaxPool: a window spanning 2 must fit its axis; got an axis of 1 padded by (0, 0)\n"
        '  at layers[3] "max_pool2" in zoo/exercise_e.yaml:10:5, input 1×32×1×1: this model needs at least --input 10x10'
    ),
    ("zoo:resnet51",): (3, "zoo: has no such model; got resnet51\n  did you mean resnet50?"),
}  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, text = MISTAKES[arguments]
    assert main(["explain", *arguments]) == code
    assert capsys.readouterr() == ("", f"archcalc: {text}\n")
    assert list(tmp_path.iterdir()) == []


def test_words_that_are_not_known_are_refused():
    with pytest.raises(UsageError, match="dtype"):
        load("zoo:digits").explain(dtype="float12")
    with pytest.raises(UsageError, match="convention"):
        load("zoo:digits").explain(convention="both")


def test_a_model_from_python_is_derived_like_one_from_a_file():
    model = Model.chain("digits", {"image": (1, 28, 28)}, [Conv(filters=20, kernel=5)])
    assert str(model.explain().layers[0].steps[1].value.shown()) == "20 × (5 × 5 × 1 + 1)"
