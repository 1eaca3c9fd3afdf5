"""The signature and text of a function whose module needs PyTorch, read from its source: nothing is imported."""

import ast
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import archcalc

PACKAGE = Path(archcalc.__file__).parent


class Unimported(SphinxDirective):
    """`.. unimported:: archcalc.verify crosscheck.verify.verify`: the public name, and the home within the package."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        """The function as autodoc would show it."""
        public, home = self.arguments
        *rooms, name = home.split(".")
        path = PACKAGE.joinpath(*rooms).with_suffix(".py")
        self.env.note_dependency(str(path))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        function = next(item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == name)
        text = textwrap.indent(ast.get_docstring(function) or "", "   ")
        return self.parse_text_to_nodes(f".. py:function:: {public}({_plain(function.args)})\n\n{text}\n")


def _plain(arguments: ast.arguments) -> str:
    """The arguments with their defaults; what they take is said in words."""
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    for argument in filter(None, named):
        argument.annotation = None
    return ast.unparse(arguments)


def setup(app: Any) -> dict[str, bool]:
    """Make the directive known to Sphinx."""
    app.add_directive("unimported", Unimported)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
