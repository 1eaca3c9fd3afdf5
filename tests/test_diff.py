"""Two reports side by side: what differs, from what to what and by how much; numbers by hand, and whole pages."""

import json
from fractions import Fraction
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archcalc import Input, Model, layers, load, loads
from archcalc.model.graph import Node
from archcalc.questions.diff import NUMBERS, Change, compare, quantity
from archcalc.views.diff import ratio_text, signed

WIDTHS = "archcalc: 1\nname: {name}\ninputs: {{image: [1, 28, 28]}}\nlayers: [{layers}]\n"


def report(name, size=None, **kwargs):
    return load(f"zoo:{name}").report(size, **kwargs)


def changes_of(found, name):
    """What changed in one row, as {quantity: (before, after)}."""
    (row,) = (row for row in found.rows if row.name == name)
    return {change.what: (change.before, change.after) for change in row.changes}


def states(found):
    return {row.name: row.state for row in found.rows}


def page(text):
    return dedent(text).strip("\n")


def test_another_size_changes_shapes_and_operations_and_no_parameters():
    found = compare(report("digits"), report("digits", "1024x1024"))
    assert states(found) == dict.fromkeys(["conv1", "max_pool1", "conv2", "max_pool2", "conv3"], "changed")
    assert changes_of(found, "conv1") == {
        "output": ((1, 20, 24, 24), (1, 20, 1020, 1020)),
        "macs": (288_000, 520_200_000), "macs_exact": (288_000, 520_200_000),
        "mul": (288_000, 520_200_000), "add": (288_000, 520_200_000),
        "flops": (576_000, 1_040_400_000), "output_bytes": (46_080, 83_232_000),
    }  # fmt: skip
    totals = {change.what: change for change in found.totals}
    assert not totals["params"].changed
    assert (totals["macs"].difference, totals["macs"].ratio) == (1_761_077_400, Fraction(1_761_730_400, 653_000))
    assert not found.same
    assert str(found) == page("""
        A  digits: image 1×1×28×28, float32
        B  digits: image 1×1×1024×1024, float32

        input image  1×1×28×28 → 1×1×1024×1024

        layer                    A               B      difference    ratio
        --------------  ----------  --------------  --------------  -------
        conv1
          output        1×20×24×24  1×20×1020×1020
          MACs             288,000     520,200,000    +519,912,000   ×1,806
          FLOPs            576,000   1,040,400,000  +1,039,824,000   ×1,806
          output bytes      46,080      83,232,000     +83,185,920   ×1,806
        max_pool1
          output        1×20×12×12    1×20×510×510
          FLOPs              8,640      15,606,000     +15,597,360   ×1,806
          output bytes      11,520      20,808,000     +20,796,480   ×1,806
        conv2
          output        1×20×10×10    1×20×508×508
          MACs             360,000     929,030,400    +928,670,400   ×2,581
          FLOPs            720,000   1,858,060,800  +1,857,340,800   ×2,581
          output bytes       8,000      20,645,120     +20,637,120   ×2,581
        max_pool2
          output          1×20×5×5    1×20×254×254
          FLOPs              1,500       3,870,960      +3,869,460   ×2,581
          output bytes       2,000       5,161,280      +5,159,280   ×2,581
        conv3
          output          1×10×1×1    1×10×250×250
          MACs               5,000     312,500,000    +312,495,000  ×62,500
          FLOPs             10,000     625,000,000    +624,990,000  ×62,500
          output bytes          40       2,500,000      +2,499,960  ×62,500

        total                   A              B      difference   ratio
        --------------  ---------  -------------  --------------  ------
          params            9,150          9,150               0
          MACs            653,000  1,761,730,400  +1,761,077,400  ×2,698
          FLOPs         1,316,140  3,542,937,760  +3,541,621,620  ×2,692
          output bytes     67,640    132,346,400    +132,278,760  ×1,957

        outputs      conv3 1×10×1×1 → conv3 1×10×250×250
        rows         5 changed, 0 unchanged
        """)


def test_other_hyperparameters_change_tensors_and_are_named():
    model = load("zoo:exercise_i")
    narrow = model.with_settings({"a": 6, "b": 16})
    found = compare(model.report(), narrow.report(), (model.settings, narrow.settings))
    params = next(change for change in found.totals if change.what == "params")
    assert (params.before, params.after, params.difference) == (18_554, 6_882, -11_672)
    assert [(change.what, change.before, change.after) for change in found.conditions] == [
        ("set a", 12, 6),
        ("set b", 32, 16),
    ]
    conv2 = changes_of(found, "conv2")
    assert conv2["weights"] == ({"weight": (32, 12, 5, 5), "bias": (32,)}, {"weight": (16, 6, 5, 5), "bias": (16,)})
    assert (conv2["params"], conv2["trainable_params"]) == ((9_632, 2_416), (9_632, 2_416))
    lines = str(found).split("\n")
    assert lines[3:5] == ["set a        12 → 6", "set b        32 → 16"]
    start = lines.index("conv2")
    assert "\n".join(lines[start : start + 8]) == page("""
        conv2
          output         1×32×10×10  1×16×10×10
          tensor weight   32×12×5×5    16×6×5×5
          tensor bias            32          16
          params              9,632       2,416      −7,216   ×0.251
          MACs              960,000     240,000    −720,000    ×0.25
          FLOPs           1,920,000     480,000  −1,440,000    ×0.25
          output bytes       12,800       6,400      −6,400    −50 %
        """)
    assert compare(model.report(), narrow.report()).conditions == ()


def test_rows_of_one_side_are_listed_with_their_sum():
    found = compare(report("exercise_j"), report("exercise_j_avg_pool"))
    assert states(found) == {
        "conv1": "unchanged", "conv2": "changed", "flatten1": "changed", "dense1": "changed",
        "avg_pool1": "only in B", "avg_pool2": "only in B",
    }  # fmt: skip
    assert changes_of(found, "conv2")["inputs"] == (("conv1",), ("avg_pool1",))
    assert str(found) == page("""
        A  exercise_j: image 1×3×32×32, float32
        B  exercise_j_avg_pool: image 1×3×32×32, float32

        layer                     A           B  difference    ratio
        ---------------  ----------  ----------  ----------  -------
        conv2
          inputs     conv1 → avg_pool1
          output         1×32×24×24  1×32×10×10
          MACs            5,529,600     960,000  −4,569,600   ×0.174
          FLOPs          11,059,200   1,920,000  −9,139,200   ×0.174
          output bytes       73,728      12,800     −60,928   ×0.174
        flatten1
          inputs     conv2 → avg_pool2
          output            1×18432       1×800
          output bytes       73,728       3,200     −70,528  ×0.0434
        dense1
          tensor weight    10×18432      10×800
          params            184,330       8,010    −176,320  ×0.0435
          MACs              184,320       8,000    −176,320  ×0.0434
          FLOPs             368,640      16,000    −352,640  ×0.0434

        only in B, 2 rows

        layer      kind      output      params  MACs   FLOPs  output bytes
        ---------  --------  ----------  ------  ----  ------  ------------
        avg_pool1  avg_pool  1×12×14×14       0     0   9,408         9,408
        avg_pool2  avg_pool  1×32×5×5         0     0   3,200         3,200
        ---------  --------  ----------  ------  ----  ------  ------------
        total                                 0     0  12,608        12,608

        total                    A          B  difference    ratio
        --------------  ----------  ---------  ----------  -------
          params           194,874     18,554    −176,320  ×0.0952
          MACs           6,419,520  1,673,600  −4,745,920   ×0.261
          FLOPs         12,839,040  3,359,808  −9,479,232   ×0.262
          output bytes     185,128     66,280    −118,848   ×0.358
          weight bytes     779,496     74,216    −705,280  ×0.0952

        rows         3 changed, 2 only in B, 1 unchanged
        """)


def test_blocks_are_compared_as_blocks():
    found = compare(report("resnet18", depth=1), report("resnet50", depth=1))
    assert [name for name, state in states(found).items() if state == "unchanged"] == [
        "conv1", "batch_norm1", "relu1", "max_pool1",
    ]  # fmt: skip
    params = next(change for change in found.totals if change.what == "params")
    assert (params.before, params.after, params.difference) == (11_689_512, 25_557_032, 13_867_520)
    lines = str(found).split("\n")
    assert "  tensors                 24             60     22 the same" in lines
    assert lines[-1] == "rows         7 changed, 4 unchanged"
    whole = compare(report("resnet18"), report("resnet50"))
    names = [{row.name for row in side.rows} for side in (whole.before, whole.after)]
    assert list(states(whole).values()).count("only in B") == len(names[1] - names[0])
    assert f"only in B, {len(names[1] - names[0])} rows" in str(whole)
    assert f"only in A, {len(names[1] - names[0])} rows" in str(compare(report("resnet50"), report("resnet18")))


@pytest.mark.parametrize("depth", [None, 1])
def test_nothing_differs(depth):
    found = compare(report("digits", depth=depth), report("digits", depth=depth))
    assert found.same
    assert str(found) == page("""
        A  digits: image 1×1×28×28, float32
        B  digits: image 1×1×28×28, float32

        rows         no difference in 5 rows
        """)


def test_flops_under_two_conventions_are_two_quantities():
    found = compare(report("digits"), report("digits", convention="2mac"))
    assert found.not_compared == ("flops",)
    assert found.costs_same
    assert not found.same
    assert "flops" not in [change.what for change in found.totals]
    assert str(found) == page("""
        A  digits: image 1×1×28×28, float32
        B  digits: image 1×1×28×28, float32

        convention   archcalc → 2mac: FLOPs under two conventions are not compared

        rows         no difference in 5 rows; FLOPs were not compared
        """)
    larger = compare(report("digits"), report("digits", "32x32", convention="2mac"))
    assert "flops" not in changes_of(larger, "conv1")
    assert "FLOPs  " not in str(larger)
    assert "  add " in str(larger)  # what FLOPs cannot tell here


def test_a_dtype_changes_bytes_alone():
    found = compare(report("digits"), report("digits", dtype="float16"))
    assert changes_of(found, "conv3") == {"output_bytes": (40, 20)}
    assert [change.what for change in found.totals if change.changed] == ["output_bytes", "weight_bytes"]
    assert "dtype        float32 → float16" in str(found)


def test_another_kind_under_the_same_name_is_told():
    a = loads(WIDTHS.format(name="a", layers="{relu: {name: f}}, {conv: {name: c, filters: 2, kernel: 3}}")).report()
    b = loads(WIDTHS.format(name="b", layers="{tanh: {name: f}}, {conv: {name: c, filters: 2, kernel: 3}}")).report()
    found = compare(a, b)
    assert changes_of(found, "f")["kind"] == ("relu", "tanh")
    assert "  kind       relu → tanh" in str(found).split("\n")
    assert states(found)["c"] == "unchanged"


def partial(size, convolved=3):
    nodes = (
        Node("conv", layers.Conv(filters=2, kernel=convolved), ("x",)),
        Node("odd", layers.Unknown(operator="aten::fft", output=(1, 2, size, size)), ("conv",)),
    )
    return Model("part", {"x": Input((1, 8, 8))}, nodes, ("odd",)).report()


def counted():
    nodes = (
        Node("conv", layers.Conv(filters=2, kernel=3), ("x",)),
        Node("odd", layers.Conv(filters=2, kernel=3, padding=1), ("conv",)),
    )
    return Model("whole", {"x": Input((1, 8, 8))}, nodes, ("odd",)).report()


def test_what_was_not_counted_is_no_zero():
    found = compare(partial(6), counted())
    odd = changes_of(found, "odd")
    assert (odd["macs"], odd["params"]) == ((None, 36 * 2 * 18), (None, 38))
    assert "output_bytes" not in odd
    assert str(found) == page("""
        A  part: x 1×1×8×8, float32
        B  whole: x 1×1×8×8, float32

        status       partial → complete

        layer                      A        B  difference  ratio
        ---------------  -----------  -------  ----------  -----
        odd
          kind       Unknown → conv
          tensor weight         none  2×2×3×3
          tensor bias           none        2
          params         not counted       38
          buffers        not counted        0
          MACs           not counted    1,296
          exact MACs     not counted    1,024
          FLOPs          not counted    2,592

        total                 A      B  difference    ratio
        --------------  -------  -----  ----------  -------
          params           ≥ 20     58       ≤ +38   ≤ ×2.9
          MACs            ≥ 648  1,944    ≤ +1,296     ≤ ×3
          exact MACs      ≥ 648  1,672    ≤ +1,024  ≤ ×2.58
          FLOPs         ≥ 1,296  3,888    ≤ +2,592     ≤ ×3
          output bytes    ≥ 576    576         ≤ 0
          weight bytes     ≥ 80    232      ≤ +152   ≤ ×2.9

        rows         1 changed, 1 unchanged
        status       A partial: totals are lower bounds
        note A       not counted: aten::fft, 1 use (odd)
        """)


def test_totals_of_a_partial_report_are_bounds():
    lines = str(compare(counted(), partial(6))).split("\n")
    assert "  MACs          1,944    ≥ 648    ≥ −1,296  ≥ ×0.333" in lines
    assert lines[-2:] == [
        "status       B partial: totals are lower bounds",
        "note B       not counted: aten::fft, 1 use (odd)",
    ]
    lines = str(compare(partial(6), partial(4, convolved=5))).split("\n")
    assert "  MACs            ≥ 648    ≥ 800        +152  +23.5 %" in lines
    assert lines[-3:] == [
        "status       A and B partial: totals are lower bounds; a difference is of what",
        "             was counted",
        "note         not counted: aten::fft, 1 use (odd)",
    ]


def test_nothing_in_common_is_said():
    found = compare(report("digits"), report("exercise_a"))
    assert set(states(found).values()) == {"only in A", "only in B"}
    assert str(found).endswith(
        page("""
        outputs      conv3 1×10×1×1 → sigmoid1 1×10
        rows         5 only in A, 7 only in B, 0 unchanged; no name stands in both, and
                     rows are matched by name
        """)
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_pages_fit(width):
    pairs = [("resnet18", "resnet50"), ("digits", "unet"), ("vgg16", "vgg16"), ("mobilenet_v2", "densenet121")]
    for a, b in pairs:
        for depth in (1, 2):
            found = compare(report(a, depth=depth), report(b, depth=depth))
            assert max(map(len, found.text(width).split("\n"))) <= width


def test_a_narrow_page_keeps_both_sides():
    lines = compare(report("digits"), report("digits", "1024x1024")).text(60).split("\n")
    assert "  MACs             288,000     520,200,000   ×1,806" in lines


@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        ((256, 100), "×2.56"), ((2, 1), "×2"), ((2001, 1000), "×2.00"), ((1123, 1000), "+12.3 %"), ((629, 1000), "−37.1 %"),
        ((1, 2), "−50 %"), ((1, 4), "×0.25"), ((1, 3), "×0.333"), ((0, 5), "×0"), ((180625, 100), "×1,806"),
        ((10**12 + 1, 10**12), "+<0.000001 %"), ((1999, 1000), "+99.9 %"), ((1_000_001, 1_000_000), "+0.0001 %"),
    ],
)  # fmt: skip
def test_ratios(ratio, shown):
    assert ratio_text(Fraction(*ratio)) == shown


def test_signs():
    assert [signed(n) for n in (-11_672, 0, 352)] == ["−11,672", "0", "+352"]


def test_a_change_from_nothing_has_no_ratio():
    assert Change("macs", 0, 5).ratio is None
    assert Change("macs", 0, 5).to_dict() == {"what": "macs", "before": 0, "after": 5, "difference": 5, "ratio": None}
    assert Change("macs", None, 5).difference is None


def test_plain_data():
    found = compare(report("exercise_j"), report("exercise_j_avg_pool"))
    data = found.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert (data["schema_version"], data["tool"]) == (1, "archcalc 0.1.0")
    assert (data["same"], data["unchanged_rows"]) == (False, 1)
    assert [row["name"] for row in data["rows"]] == ["conv2", "flatten1", "dense1", "avg_pool1", "avg_pool2"]
    assert data["rows"][0]["changes"][:2] == [
        {"what": "inputs", "before": ["conv1"], "after": ["avg_pool1"]},
        {"what": "output", "before": [1, 32, 24, 24], "after": [1, 32, 10, 10]},
    ]
    assert data["rows"][3]["row"] == found.after.rows[1].to_dict()
    assert data["totals"][0] == {
        "what": "params", "before": 194_874, "after": 18_554, "difference": -176_320, "ratio": [9277, 97437],
    }  # fmt: skip


def test_markup():
    found = compare(report("exercise_j"), report("exercise_j_avg_pool"))
    lines = found.markdown().split("\n")
    assert lines[0] == "A  exercise_j: image 1×3×32×32, float32"
    rows = ["".join(line.split()) for line in lines]
    assert "|layer|quantity|A|B|difference|ratio|" in rows
    assert "|conv2|inputs|conv1|avg_pool1|||" in rows
    assert "|total|params|194,874|18,554|−176,320|×0.0952|" in rows
    assert lines[-1] == "rows: 3 changed, 2 only in B, 1 unchanged"
    assert "<p>A  exercise_j: image 1×3×32×32, float32</p>\n" in found._repr_html_()
    assert found._repr_html_().count("<thead>") == 2
    assert "<thead>" not in compare(report("digits"), report("digits"))._repr_html_()


def signed_parts(found, what):
    """What each row adds to the difference of a total."""
    for row in found.rows:
        if row.before is None or row.after is None:
            yield quantity(row.after, what) if row.before is None else -quantity(row.before, what)
        else:
            yield sum(change.difference for change in row.changes if change.what == what)


@settings(max_examples=60)
@given(st.tuples(*[st.integers(1, 40)] * 4), st.tuples(*[st.integers(16, 64)] * 2), st.booleans())
def test_differences_of_totals_are_the_sums_of_those_of_the_rows(widths, sides, pooled):
    model = load("zoo:exercise_i")
    before = model.with_settings({"a": widths[0], "b": widths[1]}).report((sides[0], sides[0]))
    other = model.with_settings({"a": widths[2], "b": widths[3]}) if pooled else load("zoo:exercise_j_avg_pool")
    found = compare(before, other.report((sides[1], sides[1])))
    for total in found.totals:
        if total.what in NUMBERS:
            assert total.difference == sum(signed_parts(found, total.what))
