"""The documentation site: `sphinx-build -W -b html docs OUT`; nothing is fetched, neither here nor by a reader."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

import archcalc

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "archcalc"
version = release = archcalc.__version__
html_title = f"archcalc {version}"
extensions = [
    "myst_parser", "sphinx.ext.autodoc",
    "mathml", "generated", "plain_pages", "unimported", "llms", "live_pages",
]  # fmt: skip
exclude_patterns = ["_*"]
smartquotes = False  # `--depth` has two hyphens

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_update_mathjax = False
html_math_renderer = "mathml"

default_role = "literal"  # docstrings are plain prose with `code` in it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures stay short; what an argument takes is said in words
python_maximum_signature_line_length = 100

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/mark.svg"
html_logo = "_static/mark.svg"
html_theme_options = {"sidebar_hide_name": False}
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Answers are not made by those who read them: their classes are shown without a signature."""
    app.connect(
        "autodoc-process-signature",
        lambda _app, what, name, *_: ("", "") if what == "class" and name != "archcalc.Input" else None,
    )
