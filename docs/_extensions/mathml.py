"""Mathematics as MathML, which browsers lay out themselves: no script, no font, nothing from the network."""

import html
import re
from typing import Any
from xml.etree.ElementTree import tostring

from docutils import nodes
from latex2mathml.converter import convert_to_element
from sphinx.util.math import get_node_equation_number

SPELLINGS = {r"{aligned}": "{align*}", r"{split}": "{align*}"}  # environments that the converter knows by one name

GROUPED = re.compile(r"(?<=\d)</mn><mrow><mo>,</mo></mrow><mn>(?=\d)")  # 14{,}336 is one number


def mathml(latex: str, display: str) -> str:
    """The formula as a `math` element.

    >>> mathml("a < 14{,}336", "inline").partition("<mo>")[2]
    '&lt;</mo><mn>14,336</mn></mrow></math>'
    """
    for known, name in SPELLINGS.items():
        latex = latex.replace(known, name)
    formula = convert_to_element(latex, display=display)
    for part in formula.iter():
        if part.text:
            part.text = html.unescape(part.text).replace("\\_", "_")
    return GROUPED.sub(",", tostring(formula, encoding="unicode"))


def inline(translator: Any, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def display(translator: Any, node: nodes.math_block) -> None:
    """A formula on lines of its own, with its number where a label asks for one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})</span>')
    translator.body.append(f"{mathml(node.astext(), 'block')}</div>\n")
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Make the renderer known to Sphinx."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
