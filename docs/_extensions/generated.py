"""Pages that are written before a build: kinds and commands, from the package itself, and the benchmarks' results."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_page
import kind_pages

BENCHMARKS = "benchmarks"


def pages(root: Path) -> dict[str, str]:
    """Every generated page, by its path in the folder of documents."""
    results = {path: path.read_text(encoding="utf-8") for path in (root / BENCHMARKS).rglob("*.md")}
    return {
        **{f"kinds/{name}.md": text for name, text in kind_pages.pages().items()},
        "commands.md": command_page.page(),
        **{f"{path.relative_to(root)}".replace("README", "index"): text for path, text in results.items()},
    }


def write(app: Any) -> None:
    """Write what has changed, so that nothing else is read anew; remove pages of kinds that are gone."""
    made = pages(app.srcdir.parent)
    for folder in (app.srcdir / "kinds", app.srcdir / BENCHMARKS):
        for path in folder.rglob("*.md"):
            if path.relative_to(app.srcdir).as_posix() not in made:
                path.unlink()
    for name, text in made.items():
        path = app.srcdir / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def share_side_bar(app: Any, name: str, template: str, context: dict[str, Any], page: Any) -> None:
    """Pages of kinds stand in no side bar, so that theirs are all the same: one is made, which saves time."""
    if name.startswith("kinds/") and name != "kinds/index":
        made = context["toctree"]
        context["toctree"] = lambda **options: _side_bar(made, frozenset(options.items()))


def _side_bar(made: Callable[..., str], options: frozenset[tuple[str, Any]], known: dict[Any, str] = {}) -> str:  # noqa: B006
    if options not in known:
        known[options] = made(**dict(options))
    return known[options]


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for documents."""
    app.connect("builder-inited", write)
    app.connect("html-page-context", share_side_bar, priority=400)  # the theme comes after
    return {"parallel_read_safe": True, "parallel_write_safe": True}
