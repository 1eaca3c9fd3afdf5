"""llms.txt at the root of the site: what the tool is, its commands, and every page with its first sentence."""

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import command_page
from docutils import nodes

TEMPLATE = "llms.txt"


def write(app: Any, error: Exception | None) -> None:
    """Fill in the template beside the pages, once they are built."""
    if error is None and app.builder.format == "html":
        template = Template((Path(app.srcdir) / TEMPLATE).read_text(encoding="utf-8"))
        commands = "\n".join(
            f"- [archcalc {name}](commands.html#{name}): {what}" for name, what in command_page.commands().items()
        )
        text = template.substitute(
            commands=commands,
            pages="\n".join(_pages(app.env, kinds=False)),
            kinds="\n".join(_pages(app.env, kinds=True)),
        )
        (Path(app.outdir) / TEMPLATE).write_text(text, encoding="utf-8")


def _pages(env: Any, *, kinds: bool) -> Iterator[str]:
    for name in sorted(env.all_docs):
        if name.startswith("kinds/") is kinds:
            yield f"- [{env.titles[name].astext()}]({name}.html): {_first_sentence(env.get_doctree(name))}"


def _first_sentence(page: nodes.document) -> str:
    """The start of its first paragraph, on one line."""
    paragraphs = (node.astext() for node in page.findall(nodes.paragraph))
    text = " ".join(next(paragraphs, "").split()).removesuffix(" (All kinds)")
    return re.split(r"(?<=[.:?!]) ", text)[0].rstrip(":")


def setup(app: Any) -> dict[str, bool]:
    """Write it at the end."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
