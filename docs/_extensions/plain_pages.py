"""Pages read well as plain Markdown: links to files outside lead to pages here, a folder's index lists the folder."""

import re
from pathlib import Path
from typing import Any

PLACES = {  # what is written, from the root of the repository -> where the same text stands on the site
    r"CONTRIBUTING\.md": "/contributing.md",
    r"README\.md": "/index.md",
    r"benchmarks/README\.md": "/benchmarks/index.md",
    r"benchmarks/(results/\w+\.md)": r"/benchmarks/\1",
    r"docs/": "/",
}
CONTENTS = "\n\n```{toctree}\n:hidden:\n:glob:\n\n**\n```\n"


def led_here(text: str) -> str:
    """The text with links to files outside of this folder as links to the pages that hold them.

    >>> led_here("[this](../CONTRIBUTING.md), [that](../../benchmarks/results/zoo.md)")
    '[this](/contributing.md), [that](/benchmarks/results/zoo.md)'
    """
    for outside, here in PLACES.items():
        text = re.sub(rf"\]\((?:\.\./)*{outside}", f"]({here}", text)
    return text


def on_reading(app: Any, docname: str, source: list[str]) -> None:
    """Lead its links here; list the pages of a folder under its index."""
    source[0] = led_here(source[0])
    if docname.endswith("/index") and docname != "kinds/index" and "{toctree}" not in source[0]:
        source[0] += CONTENTS


def on_including(app: Any, path: Path, docname: str, content: list[str]) -> None:
    """Lead the links of an included page here."""
    content[0] = led_here(content[0])


def setup(app: Any) -> dict[str, bool]:
    """Look at every page before it is parsed."""
    app.connect("source-read", on_reading)
    app.connect("include-read", on_including)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
