"""Drawings: nothing lost, nothing over anything else, every name shown as it is, the same text each time."""

import json
import re
import time
import xml.etree.ElementTree as ET
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archcalc
from archcalc.cli.main import main
from archcalc.errors import UsageError
from archcalc.layers import KINDS, Conv, Unknown
from archcalc.model.graph import Input, Node
from archcalc.views.boxes import LABEL, length, visible
from archcalc.views.layered import crossings, lattice
from archcalc.views.plan import planned
from archcalc.views.wrapping import TALL

RELU, ADD = KINDS["relu"].cls(function="relu"), KINDS["add"].cls(function="add")
ZOO = [("digits", 1), ("resnet50", 1), ("resnet50", 2), ("resnet50", 4), ("googlenet", 2), ("googlenet", 4), ("unet", 1), ("unet", 2), ("densenet121", 2), ("densenet121", 3), ("xception", 3)]  # fmt: skip
NASTY = ["<script>alert(1)</script>", "a\"b'c;&amp;#35;`x`", "\u202eevil\u200f", "🦊 漢字", "שלום/abc", "**b** __x__ $y$", "1. first", "end", "back\\slash {}|<br/>", "%%{init}%%", "n\nl\t\x01\ud800", "A" * 300, "]]>"]  # fmt: skip


def graph(sources, *, names=None, outputs=None, inputs=1):
    """A model of elementwise layers: for each, what it reads (inputs first, then layers)."""
    names = [f"input{at}" for at in range(inputs)] + (names or [f"layer{at}" for at in range(len(sources))])
    nodes = tuple(
        Node(names[inputs + at], ADD if len(read) > 1 else RELU, tuple(names[source] for source in read))
        for at, read in enumerate(sources)
    )
    returned = tuple(names[at] for at in (outputs or [len(names) - 1]))
    return archcalc.Model("drawn", {name: Input((4, 8, 8)) for name in names[:inputs]}, nodes, returned)


def parsed(text):
    """The picture as a tree, which fails if it is no valid XML."""
    return ET.fromstring(text)  # noqa: S314  our own text


def overlap(one, other):
    """Do two rectangles (left, top, right, bottom) have an inner point in common?"""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def rectangles(plan):
    return [(box.x, box.y, box.x + box.width, box.y + box.height) for box in plan.boxes]


def check_geometry(drawing):
    """No box over a box, no wire over a box or a label, every text inside, every wire down to its box."""
    plan = planned(drawing)
    boxes = rectangles(plan)
    labels = [(label.x, label.y - LABEL, label.x + label.width, label.y) for label in plan.labels]
    assert not [pair for pair in combinations(boxes + labels, 2) if overlap(*pair)]
    for box in plan.boxes:
        assert len(box.lines) == len(box.baselines)
        for line, baseline in zip(box.lines, box.baselines, strict=True):
            assert length(line.text, line.size) < box.width
            assert box.y < baseline - 0.8 * line.size
            assert baseline + 0.2 * line.size < box.y + box.height
    for wire, corners in zip(drawing.wires, plan.paths, strict=True):
        assert corners[0][1] == boxes[wire.source][3]
        assert corners[-1] == (
            pytest.approx((boxes[wire.target][0] + boxes[wire.target][2]) / 2),
            boxes[wire.target][1],
        )
        assert corners[-2][1] < corners[-1][1]
        for (x, y), (right, low) in pairwise(corners):
            reach = (min(x, right) - 0.5, min(y, low), max(x, right) + 0.5, max(y, low))
            assert not [box for box in boxes + labels if overlap(reach, box)], (wire, reach)
    right, low = max(box[2] for box in boxes + labels), max(box[3] for box in boxes)
    assert right < plan.width
    assert low < plan.height
    return plan


def check_whole(model, drawing):
    """Every layer in one box, every number in it, every wire between boxes, and only forwards."""
    report = model.report()
    assert sum(box.layers for box in drawing.boxes) == len(report.rows)
    for key in ("params", "macs"):
        assert sum(getattr(box, key) for box in drawing.boxes) == getattr(report.totals, key)
    assert all(wire.source < wire.target for wire in drawing.wires)
    assert len(set(drawing.wires)) == len(drawing.wires)
    roles = [box.role for box in drawing.boxes]
    assert roles.count("input") == len(model.inputs)
    assert roles.count("output") == len(model.outputs)
    reached = {wire.target for wire in drawing.wires}
    assert all(at in reached for at, role in enumerate(roles) if role != "input")


@pytest.mark.parametrize(("name", "depth"), ZOO, ids=str)
def test_networks_of_the_zoo(name, depth):
    model = archcalc.load(f"zoo:{name}")
    drawing = model.draw(depth=depth)
    check_whole(model, drawing)
    plan = check_geometry(drawing)
    assert plan.height < 3 * TALL or name == "unet"
    assert drawing.svg() == archcalc.load(f"zoo:{name}").draw(depth=depth).svg()


@pytest.mark.parametrize(("name", "depth"), ZOO, ids=str)
def test_nothing_crosses_in_the_zoo(name, depth):
    drawing = archcalc.load(f"zoo:{name}").draw(depth=depth)
    assert crossings(lattice(len(drawing.boxes), [(wire.source, [wire.target]) for wire in drawing.wires])) == 0


@st.composite
def graphs(draw):
    """Models with several inputs and outputs, skips of any length, names in levels and dead ends."""
    inputs, count = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    near = draw(st.sampled_from([2, 5, 40]))
    sources = [
        draw(st.lists(st.integers(max(0, inputs + at - near), inputs + at - 1), min_size=1, max_size=4))
        for at in range(count)
    ]
    levels = draw(st.lists(st.sampled_from("ab"), min_size=count, max_size=count))
    outputs = draw(st.lists(st.integers(0, inputs + count - 1), min_size=1, max_size=3))
    return graph(sources, names=[f"{level}/n{at}" for at, level in enumerate(levels)], outputs=outputs, inputs=inputs)


@given(graphs(), st.integers(1, 2))
def test_any_graph(model, depth):
    """Also one whose blocks are not in one piece: a wire never leads back."""
    drawing = model.draw(depth=depth)
    check_whole(model, drawing)
    check_geometry(drawing)
    parsed(drawing.svg())


def test_the_check_of_places_can_fail(monkeypatch):
    drawing = graph([[0], [0], [1, 2]], outputs=[3]).draw()
    monkeypatch.setattr("archcalc.views.plan.columns", lambda made, _: [50.0] * len(made.rank))
    with pytest.raises(AssertionError):
        check_geometry(drawing)


@given(st.lists(st.text(max_size=50), min_size=1, max_size=6, unique=True))
def test_any_name(names):
    names = [f"{name}{at}" for at, name in enumerate(names)]
    drawing = graph([[at] for at in range(len(names))], names=names).draw(depth=60)
    check_geometry(drawing)
    root = parsed(drawing.svg())
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert "\n" not in drawing.mermaid().replace("\n  n", "")
    drawing.dot().encode()


def test_nasty_names_are_text():
    nodes, before = [], "im<age"
    for at, name in enumerate(NASTY):
        nodes.append(Node(name, Conv(filters=at + 2, kernel=1), (before,)))
        before = name
    drawing = archcalc.Model('<evil> "m"', {"im<age": Input((3, 8, 8))}, tuple(nodes), (before,)).draw(depth=2)
    check_geometry(drawing)
    root = parsed(drawing.svg())
    shown = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<script>alert(1)</script>" in shown
    assert "\\u202eevil\\u200f" in shown
    assert {element.tag.split("}")[1] for element in root.iter()} == {
        "svg",
        "title",
        "style",
        "rect",
        "path",
        "g",
        "text",
    }
    assert '["#60;script#62;alert#40;1#41;#60;/script#62;<br/>' in drawing.mermaid()
    assert 'label="back\\\\slash {}|<br/>\\nconv 1×1' in drawing.dot()


def test_marks_that_reorder_text_are_written_out():
    assert visible("a\u2066b\ud800\x00") == "a\\u2066b\\ud800\\x00"


def test_equal_blocks_in_a_row_are_one_box():
    drawing = archcalc.load("zoo:resnet50").draw(depth=2)
    folded = {box.name: (box.last, box.times, box.layers) for box in drawing.boxes if box.times > 1}
    assert folded == {
        "layer1/block2": ("layer1/block3", 2, 20),
        "layer2/block2": ("layer2/block4", 3, 30),
        "layer3/block2": ("layer3/block6", 5, 50),
        "layer4/block2": ("layer4/block3", 2, 20),
    }
    assert "layer3/block2…6 ×5<br/>block, 10 layers<br/>1.117 M params · 218.4 M MACs each" in drawing.mermaid()


def test_what_differs_or_is_read_elsewhere_is_not_folded():
    def times(model):
        return [box.times for box in model.draw().boxes if box.role == "layer"]

    assert times(graph([[0], [1], [2]])) == [3]
    assert times(graph([[0], [1], [2]], outputs=[2, 3])) == [2, 1]
    assert times(graph([[0], [1], [2], [1, 3]])) == [1, 2, 1]
    convs = [Conv(filters=3, kernel=3, padding=1), Conv(filters=3, kernel=3, padding=2, dilation=2)]
    assert times(archcalc.Model.chain("m", {"x": (3, 8, 8)}, convs)) == [1, 1]
    assert times(archcalc.Model.chain("m", {"x": (3, 8, 8)}, convs[:1] * 2)) == [2]
    assert times(archcalc.Model.chain("m", {"x": (2, 8, 8)}, convs[:1] * 2)) == [1, 1]


def test_a_row_is_named_by_its_first_and_its_last():
    assert "layer0…2 ×3" in graph([[0], [1], [2]]).draw().svg()
    assert "layer0 … layer3 ×2" in graph([[0], [1]], names=["layer0", "layer3"]).draw().svg()
    assert "stem … tail ×2" in graph([[0], [1]], names=["stem", "tail"]).draw().svg()


def test_a_block_in_two_pieces_is_two_boxes():
    model = graph([[0], [1], [2, 1]], names=["a/one", "b", "a/two"])
    drawing = model.draw(depth=1)
    assert [box.name for box in drawing.boxes] == ["input0", "a", "b", "a", "a/two"]
    check_geometry(drawing)


def test_a_box_that_sends_two_tensors_labels_both():
    model = graph([[0], [1], [1, 2], [2]], names=["a/x", "a/y", "p", "q"], outputs=[3, 4])
    plan = check_geometry(model.draw(depth=1))
    assert len([label for label in plan.labels if label.text == "1×4×8×8"]) == len(plan.labels) == 5


def test_weights_that_are_shared_and_operators_that_are_not_counted_are_said():
    conv = Conv(filters=4, kernel=1)
    nodes = (
        Node("a", conv, ("x",)),
        Node("b", conv, ("a",), shared_with="a"),
        Node("c", Unknown("warp", (1, 4, 8, 8)), ("b",)),
    )
    drawing = archcalc.Model("m", {"x": Input((4, 8, 8))}, nodes, ("c",)).draw()
    assert drawing.status == "partial"
    assert "shared weights · 1.024 k MACs" in drawing.svg()
    assert "1 not counted" in drawing.svg()
    assert "weights of a" in drawing.svg()


def test_a_tall_drawing_stands_in_columns():
    drawing = archcalc.load("zoo:densenet121").draw(depth=2)
    plan = check_geometry(drawing)
    assert plan.height < TALL
    assert plan.width > 2 * plan.height / 3


def test_an_empty_and_a_bare_model():
    assert parsed(archcalc.Model("none", {}, (), ()).draw().svg()) is not None
    bare = archcalc.Model("bare", {"x": Input((3,))}, (), ("x",)).draw()
    check_geometry(bare)
    assert bare.mermaid() == 'flowchart TD\n  n0(["x<br/>input"])\n  n1(["x<br/>output"])\n  n0 -->|"1×3"| n1'


def test_the_picture_needs_nothing_else():
    text = archcalc.load("zoo:googlenet").draw().svg()
    assert not re.search(r"href|url\(|@import|<image|<script|<foreignObject", text)
    assert "prefers-color-scheme:dark" in text
    assert text.count("http") == 1


def test_mermaid_and_dot_have_every_box_and_wire():
    drawing = archcalc.load("zoo:googlenet").draw(depth=4)
    mermaid, dot = drawing.mermaid().split("\n"), drawing.dot().split("\n")
    boxes, wires = len(drawing.boxes), len(drawing.wires)
    box, arrow = r'  n[0-9]+(\["[^"]*"\]|\(\["[^"]*"\]\)|\[\["[^"]*"\]\])', r'  n[0-9]+ -->\|"[^"]*"\| n[0-9]+'
    assert [len([line for line in mermaid if re.fullmatch(form, line)]) for form in (box, arrow)] == [boxes, wires]
    assert len(mermaid) == 1 + boxes + wires
    assert len([line for line in dot if re.fullmatch(r"  n[0-9]+ -> n[0-9]+ \[label=\"[^\"]*\"\];", line)]) == wires


def test_a_drawing_as_data_and_in_a_notebook():
    drawing = archcalc.load("zoo:digits").draw(input=(32, 32), batch=2)
    data = json.loads(json.dumps(drawing.to_dict()))
    assert data["schema_version"] == 1
    assert data["wires"][0] == {"source": 0, "target": 1, "tensor": "image", "shape": [2, 1, 32, 32]}
    assert drawing._repr_svg_() == drawing.svg()
    assert repr(drawing) == "<Drawing of digits: 7 boxes at depth 1>"
    assert str(drawing) == drawing.mermaid()


def test_many_layers_are_folded_or_refused_soon():
    start = time.perf_counter()
    equal = archcalc.Model.chain("deep", {"x": (4,)}, [RELU] * 100_000).draw()
    assert [box.layers for box in equal.boxes] == [0, 100_000, 0]
    other = archcalc.Model.chain("deep", {"x": (4,)}, [RELU, KINDS["sigmoid"].cls(function="sigmoid")] * 50_000)
    with pytest.raises(UsageError) as refused:
        other.draw()
    assert str(refused.value) == (
        "draw: a drawing has at most 500 boxes; got 100,002 at depth 1\n  archcalc report lists them all"
    )
    assert time.perf_counter() - start < 30


def test_more_wires_than_can_be_followed_are_refused():
    dense = graph([list(range(at + 1)) for at in range(120)])
    with pytest.raises(UsageError) as refused:
        dense.draw()
    assert str(refused.value) == "draw: a drawing has at most 5,000 wires; got 7,261"


def test_mermaid_refuses_more_than_it_reads():
    dense = graph([list(range(at + 1)) for at in range(40)]).draw()
    with pytest.raises(UsageError) as refused:
        dense.mermaid()
    way_out = "a smaller depth draws less, or use svg or dot"
    assert str(refused.value) == f"mermaid: reads at most 500 arrows; got 821\n  {way_out}"
    wordy = graph([[at] if at % 2 else [0, at] for at in range(300)], names=["<" * 28 + str(at) for at in range(300)])
    with pytest.raises(UsageError) as refused:
        wordy.draw().mermaid()
    assert str(refused.value).startswith("mermaid: reads at most 50,000 characters; got ")


@pytest.mark.parametrize("depth", [0, -1, True, "2"])
def test_a_depth_is_at_least_one(depth):
    with pytest.raises(UsageError) as refused:
        archcalc.load("zoo:digits").draw(depth=depth)
    assert str(refused.value) == f"depth: must be at least 1; got {depth!r}"


ENDINGS = ".svg, .mmd, .mermaid, .dot, .gv"
MISTAKES = {
    ("zoo:digits", "--depth", "0"): "archcalc: depth: must be at least 1; got 0\n",
    ("zoo:digits", "-o", "net.png"): (
        f"archcalc: -o: must end in {ENDINGS}; got 'net.png'\n"
        "  or say --format; a browser or rsvg-convert turns an .svg into other pictures\n"
    ),
    ("zoo:digits", "-o", "missing/net.svg"): (
        "archcalc: -o: must be a file that can be written; got missing/net.svg: No such file or directory\n"
    ),
    (
        "zoo:digits",
        "--input",
        "4",
    ): "archcalc: --input: input image (1×28×28) takes 2 sizes, or 3 with the channels first; got 1: 4\n",
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_mistakes(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["draw", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == MISTAKES[arguments]
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_is_not_known(capsys):
    with pytest.raises(SystemExit) as left:
        main(["draw", "zoo:digits", "--format", "png"])
    assert left.value.code == 2
    assert "argument --format: invalid choice: 'png' (choose from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "start"), [("n.svg", "<svg "), ("n.mmd", "flowchart TD\n"), ("n.GV", 'digraph "digits" {\n')]
)
def test_a_file_is_what_its_name_says(file, start, tmp_path, capsys):
    assert main(["draw", "zoo:digits", "-o", str(tmp_path / file)]) == 0
    assert (tmp_path / file).read_text(encoding="utf-8").startswith(start)
    assert capsys.readouterr() == ("", "")
