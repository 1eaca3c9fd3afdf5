"""What notebooks show: a real one is executed, every object has a picture of itself, and a name in it is text."""

import re
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

import archcalc
from archcalc import Input, Model, layers, load, loads
from archcalc.model.graph import Node
from archcalc.views import notebook
from archcalc.views.boxes import visible
from archcalc.views.model import readable

HOSTILE = "<script>alert('$x$')</script> & \"quoted\" שלום \u202eb 🎉"
START = f"""
import archcalc
from archcalc import Input, Model, layers, load
from archcalc.hardware.device import device
from archcalc.model.graph import Node
from archcalc.questions.diff import compare
NAME = {HOSTILE!r}
nodes = (Node(NAME, layers.Conv(filters=2, kernel=3), (NAME + "in",)), Node(NAME + "2", layers.Conv(filters=2, kernel=3), (NAME,)))
hostile = Model(NAME, {{NAME + "in": Input((1, 9, 9))}}, nodes, (NAME + "2",), about=NAME)
wrong = Model("wrong", {{"x": Input((4,))}}, (Node("conv1", layers.Conv(filters=1, kernel=3), ("x",)),), ("conv1",))
digits, resnet = load("zoo:digits"), load("zoo:resnet50")
"""
CELLS = {  # what a notebook may end a cell with, and a piece of what it then shows
    "digits": "Fully convolutional network for 28×28 digits",
    "resnet": "175 layers, as 23 blocks and layers at depth 2; model.report() lists them all",
    "wrong": "Conv: ",
    "digits.report()": '<td style="text-align: right">288,000</td>',
    "digits.closed_form('macs')": r"\text{legal sizes: H }\ge \text{ 28, W }\ge \text{ 28}",
    "digits.closed_form('macs', assume=['H % 32 == 0', 'W == H'])": r"\text{assumed: H }\%\text{ 32 }==\text{ 0, W }==\text{ H}",
    "digits.closed_form('output')": r"\text{output} = 1 \times 10 \times (\left\lfloor",
    "resnet.closed_form('flops')": r" \\ \displaystyle \quad ",
    "digits.explain(layer='conv2')": "<mtext>filters</mtext><mo>×</mo><mo>(</mo><mtext>kernel</mtext>",
    "digits.explain()": "in all",
    "digits.sweep('32..1024:4')": "… and 49 more points",
    "digits.solve('batch', 'output_bytes <= 1MiB')": "breaks output_bytes &lt;= 1,048,576",
    "digits.memory(training=True)": "training peak",
    "digits.time('nvidia-h200')": "Why practice is slower than theory",
    "digits.time('1TFLOPS')": "if only multiplications are counted",
    "digits.field(cell=(0, 0))": "Cell (0, 0) of ",
    "digits.fit(100_000, training=True, batch=8)": "does not fit",
    "load('zoo:gpt2').decode(1023)": "142,406,400",
    "digits.draw()": "<svg",
    "digits.properties()": "no: conv1 adds a bias",
    "load('zoo:exercise_j_four_convs').collapsed()": "109,706",
    "archcalc.reconcile(digits)": "693,570",
    "device('nvidia-h200')": "NVIDIA H200 SXM 141GB",
    "compare(digits.report(), digits.report(batch=2))": "rows",
    "load('zoo:exercise_i').field_form('a')[0]": r"\text{size} = 16 \times 16",
    "hostile": "",
    "hostile.report()": "",
    "hostile.explain()": "",
    "hostile.memory()": "",
    "hostile.time('nvidia-h200')": "",
    "hostile.field()": "",
    "hostile.fit(1000)": "",
    "hostile.draw()": "",
    "hostile.properties()": "",
    "hostile.collapsed()": "",
    "hostile.sweep()": "",
    "hostile.solve('batch', 'macs <= 10k')": "",
    "archcalc.reconcile(hostile)": "",
    "compare(hostile.report(), digits.report())": "",
}
TAGS = {
    "div", "p", "strong", "bdi", "pre", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "details", "summary",
    "math", "mrow", "mtext", "mo", "mn", "mfrac", "msup",
    "svg", "g", "title", "style", "rect", "path", "text", "tspan", "polygon", "line",
}  # fmt: skip
ATTRIBUTES = {"style", "class", "dir", "scope", "colspan", "open", "displaystyle"}
PROPERTIES = {"text-align", "font-weight", "border-top", "font-variant-numeric", "overflow-x", "white-space"}


class Reader(HTMLParser):
    """Checks that a page is well-formed and that nothing in it acts or is fetched; keeps its texts."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS, tag
        for name, value in attrs:
            picture = tag == "svg" or "svg" in self.open
            assert name in ATTRIBUTES or (picture and not re.match("on|id|.*href", name)), (tag, name)
            if name == "style" and not picture:
                assert {part.split(":")[0].strip() for part in value.split(";")} <= PROPERTIES, value
            assert name == "xmlns" or not re.search("url|//|script", value or ""), value
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert not re.search("url|@import|//", data)
        self.texts.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(page):
    """The texts of a page that is well-formed."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader.texts


def everything(page):
    """All text of a page, as a reader sees it."""
    return "".join(read(page))


@pytest.fixture(scope="module")
def outputs():
    """The bundle that each cell shows, of a notebook that was executed by a kernel."""
    nbformat, nbclient = (pytest.importorskip(name) for name in ("nbformat", "nbclient"))
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(source) for source in (START, *CELLS)]
    page = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(
        page, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(Path.cwd())}}
    ).execute()
    for cell in page.cells:
        assert all(output.output_type == "execute_result" for output in cell.outputs), (
            cell
        )  # nothing printed, no warning
    return {cell.source: [output.data for output in cell.outputs] for cell in page.cells[1:]}


@pytest.mark.parametrize("source", CELLS)
def test_every_bundle(outputs, source):
    (bundle,) = outputs[source]
    rich = [kind for kind in ("text/html", "text/latex", "image/svg+xml") if kind in bundle]
    assert len(rich) == 1
    shown = bundle[rich[0]]
    assert CELLS[source] in shown
    if rich[0] == "text/latex":
        assert shown.isascii()
        assert re.fullmatch(r"\$.*\$", shown)
        assert shown.count("{") == shown.count("}")
        assert shown.count(r"\left") == shown.count(r"\right")
        return
    seen = everything(shown)
    if "hostile" in source:
        assert visible(HOSTILE) in seen or "draw" in source  # which shortens names in boxes


def test_a_hostile_name_stands_as_it_is(outputs):
    (bundle,) = outputs["hostile"]
    seen = everything(bundle["text/html"])
    assert seen.count(visible(HOSTILE)) == 5  # the model, its input, what it is about, two layers
    assert "\u202e" not in bundle["text/html"]
    assert "<bdi>" in bundle["text/html"]
    assert "tex2jax_ignore mathjax_ignore" in bundle["text/html"]


@given(name=st.text(max_size=30), second=st.text(max_size=30), about=st.text(max_size=30))
def test_any_name_is_text(name, second, about):
    own, other = f"a{name}", f"b{second}"
    nodes = (Node(own, layers.Dense(units=3), (other,)),)
    model = Model(name, {other: Input((4,))}, nodes, (own,), about=about)
    for page in (model._repr_html_(), model.report()._repr_html_(), model.explain()._repr_html_()):
        seen = everything(page)
        for text in (name, own, other):
            assert visible(text).strip(" ") in seen
    assert visible(about).strip(" ") in everything(model._repr_html_())


def test_shown_twice_nothing_clashes():
    for shown in (load("zoo:digits")._repr_html_(), load("zoo:digits").explain()._repr_html_()):
        assert not re.search(r"\bid=", shown)
        read(shown + shown)


def test_there_is_no_colour():
    for shown in (load("zoo:resnet50")._repr_html_(), load("zoo:digits").memory()._repr_html_()):
        assert not re.search("color|background|#[0-9a-f]{3}", shown)


def test_headings_of_rows_and_columns():
    page = load("zoo:digits").report()._repr_html_()
    assert page.count('<th scope="col"') == 7
    assert page.count('<th scope="row"') == 5 + 1 + 5  # layers, the total, the closing lines
    assert '<th scope="col" style="text-align: right">MACs</th>' in page
    assert '<th scope="col" style="text-align: left">layer</th>' in page


def test_long_things_say_what_is_left_out():
    chain = Model.chain("long", {"x": Input((4,))}, [layers.Dense(units=4)] * 250)
    shown = chain._repr_html_()
    assert "250 layers" in shown
    assert "<details><summary>" in shown
    assert "… and 50 more rows" in shown
    assert (
        shown.count("<tr>") == 200 + 1 + 1 + 1 + 5
    )  # rows, their titles, what is left out, the total, the closing lines
    assert "5,000" in shown.split("<tfoot>")[1]  # the total is of all
    assert "… and 50 more layers: explain(layer=…) shows one" in chain.explain()._repr_html_()


def test_the_depth_that_can_be_read():
    names = [f"stage{n // 30}/block{n // 10}/conv{n}" for n in range(60)]
    assert readable(names) == 2
    assert readable(names[: notebook.FEW]) is None
    assert readable([f"conv{n}" for n in range(60)]) is None  # nothing to fold
    assert readable([f"block{n // 2}/conv{n}" for n in range(200)]) == 1  # still many, but fewer


def test_a_partial_formula_is_a_lower_bound():
    spec = "archcalc: 1\ninputs: {x: [4]}\nlayers: [dense: 3, unknown: {operator: odd, output: [3]}]\n"
    assert (
        loads(spec)
        .closed_form("macs", symbols="N")
        ._repr_latex_()
        .startswith(r"$\begin{array}{l} \displaystyle \text{MACs} \ge 12 \cdot N \\ ")
    )
    assert load("zoo:digits").closed_form("flops")._repr_latex_().endswith(r"\text{convention: archcalc} \end{array}$")


def test_everything_that_can_be_asked_for_shows_itself():
    """Whatever has a schema of its own as plain data has a picture of itself too."""
    seen = set()
    for module in walk_packages(archcalc.__path__, "archcalc."):
        if module.name != "archcalc.__main__":
            for cls in vars(import_module(module.name)).values():
                if isinstance(cls, type) and issubclass(cls, Struct) and cls.__module__ == module.name:
                    seen.add(cls) if says_its_schema(cls) else None
    assert {cls.__name__ for cls in seen} >= {"Report", "ClosedForm", "Memory", "Transform", "Located", "Verification"}
    without = [cls for cls in seen if not any(hasattr(cls, f"_repr_{kind}_") for kind in ("html", "latex", "svg"))]
    assert without == []


def says_its_schema(cls):
    import inspect

    return "to_dict" in vars(cls) and "schema_version" in inspect.getsource(cls.to_dict)
