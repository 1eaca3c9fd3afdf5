"""The live page: one file of HTML that needs nothing else, its script and styles named in its security policy."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

SCRIPTS = ("uplot.js", "numbers.js", "network.js", "derivation.js", "table.js", "charts.js", "frame.js", "main.js")
LABELS = {"H": "height", "W": "width", "D": "depth", "L": "length", "N": "batch", "C": "channels", "F": "features"}
CHARTS = {
    "params": "parameters by layer", "macs": "MACs by layer", "bytes": "output memory by layer",
    "memory": "memory, moment by moment", "roofline": "roofline of the device (FLOP/s), every layer at its bound",
}  # fmt: skip
REACH, IMAGE, OTHER = 4, 1024, 64  # a slider goes to so many times its first value, or further


def page(data: Mapping[str, Any], program: str, drawing: str) -> str:
    """The whole page: `data` as questions.page has it, the program in JavaScript, and a drawing in SVG or a word."""
    script = "\n".join(["'use strict';{", constant("DATA", data), program, *map(_resource, SCRIPTS), "}"])
    style = _resource("uplot.css") + _resource("page.css")
    return Template(_resource("page.html")).substitute(
        policy=_policy(script, [style, *re.findall("<style>(.*?)</style>", drawing, re.DOTALL)]),
        tool=escape(data["tool"]),
        model=escape(data["model"]),
        about=f" — <bdi>{escape(data['about'])}</bdi>" if data["about"] else "",
        status=data["status"],
        style=style,
        sizes="\n".join(_sizes(data)),
        dtypes=_options(name for name, _ in data["dtypes"]),
        conventions=_options(data["conventions"]),
        optimizers=_options(data["optimizers"]),
        devices=_options(device[0] for device in data["devices"]),
        spared="without pairs that are not seen" if data["masked"] else "without those on padding or cropped borders",
        formulas="\n".join(_formulas(data)),
        charts="\n".join(_charts()),
        drawing=drawing,
        notes="\n".join(_notes(data["notes"])),
        script=script,
    )


def constant(name: str, data: Any) -> str:
    r"""Data as a constant of a script; nothing in a text ends the script, or is no line of it.

    >>> print(constant("A", {"name": "</script>"}))
    const A={"name":"\u003c/script\u003e"};
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f"const {name}={text};"


@cache
def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _policy(script: str, styles: Iterable[str]) -> str:
    """Only this script and these styles; nothing is loaded from anywhere."""
    allowed = " ".join(map(_hash, styles))
    return f"default-src 'none'; script-src {_hash(script)}; style-src {allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _sizes(data: Mapping[str, Any]) -> Iterator[str]:
    """A slider and a field for each letter; what cannot be one, with the reason."""
    for symbol in data["symbols"]:
        name, label, value = escape(symbol["name"]), escape(label_of(symbol)), symbol["value"]
        slides = f'id="slide-{name}" aria-label="{label}, slider"'
        most = max(REACH * value, IMAGE if symbol["of"] == "axis" else OTHER)
        yield f'<label for="size-{name}"><bdi>{label}</bdi></label><div class="pair">'
        yield f'<input type="range" {slides} min="1" max="{most}" value="{value}">'
        yield f'<input type="text" inputmode="numeric" autocomplete="off" id="size-{name}" value="{value}"></div>'
    if data["square"]:
        yield '<label class="check"><input type="checkbox" id="square"> height and width alike</label>'
    for name, why in data["fixed"].items():
        yield f'<p class="fixed"><bdi>{escape(name)}</bdi> is fixed here: <bdi>{escape(why)}</bdi></p>'


def label_of(symbol: Mapping[str, Any]) -> str:
    """What a letter is called, and of several inputs also whose it is.

    >>> label_of({"name": "H", "of": "axis"}), label_of({"name": "width", "of": "setting"})
    ('height (H)', 'width, a hyperparameter')
    """
    letter, _, rest = symbol["name"].partition("_")
    if symbol["of"] == "setting":
        return f"{symbol['name']}, a hyperparameter"
    return f"{LABELS[letter]} ({letter}){f' of {rest}' if rest else ''}" if letter in LABELS else str(symbol["name"])


def _options(names: Iterable[str]) -> str:
    return "".join(f"<option>{escape(name)}</option>" for name in names)


def _formulas(data: Mapping[str, Any]) -> Iterator[str]:
    """What the model costs at every size; a partial count is at least that."""
    sign = "≥" if data["partial"] else "="
    for title, formula in data["formulas"].items():
        yield f'<math display="block"><mrow><mtext>{title}</mtext><mo>{sign}</mo>{formula}</mrow></math>'


def _charts() -> Iterator[str]:
    for name, title in CHARTS.items():
        yield f'<div><h3>{title}</h3><div id="chart-{name}" role="img" aria-label="{title}; the table has the numbers">'
        yield f'</div><p class="note said" id="chart-{name}-said"></p></div>'


def _notes(notes: Iterable[str]) -> Iterator[str]:
    said = [f"<li><bdi>{escape(note)}</bdi></li>" for note in notes]
    if said:
        yield '<section aria-labelledby="notes"><h2 id="notes">Notes</h2><ul>'
        yield from [*said, "</ul></section>"]
