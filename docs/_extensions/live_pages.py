"""Live pages of a few networks beside the documents, and links to them: on the site they can be tried at once."""

from pathlib import Path
from typing import Any

import archcalc

MODELS = ("digits", "resnet50", "unet", "gpt2")
BEFORE = "\n## What is on it"


def on_reading(app: Any, docname: str, source: list[str]) -> None:
    """Say where they are, on the page about them; a copy of the document elsewhere has none."""
    if docname == "page":
        links = ", ".join(f'<a href="live/{name}.html">{name}</a>' for name in MODELS)
        source[0] = source[0].replace(BEFORE, f"\n<p>To try at once: {links}.</p>\n{BEFORE}", 1)


def on_finished(app: Any, error: Exception | None) -> None:
    """Write them into the site."""
    if error is None and app.builder.format == "html":
        folder = Path(app.outdir) / "live"
        folder.mkdir(exist_ok=True)
        for name in MODELS:
            (folder / f"{name}.html").write_text(archcalc.load(f"zoo:{name}").page().html, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Look at the page before it is parsed; write when all is done."""
    app.connect("source-read", on_reading)
    app.connect("build-finished", on_finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
