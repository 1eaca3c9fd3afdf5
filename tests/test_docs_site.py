"""The documentation site builds without a warning and without a network, and has a page for everything."""

import argparse
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from archcalc.cli.main import parser
from archcalc.layers import KINDS

ROOT = Path(__file__).parents[1]
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "object": "data",
    "source": "src",
    "embed": "src",
}
BUILD = """
import sys
from sphinx.cmd.build import main

code = main(["-q", "-W", "--keep-going", "-b", "html", "docs", sys.argv[1], "-d", sys.argv[1] + "-read"])
print(*[name for name in ("torch", "onnx", "keras") if name in sys.modules])
sys.exit(code)
"""


def test_the_site(tmp_path):
    """One build, which takes most of a minute, and all that is asked of it."""
    site = built(tmp_path / "html")
    every_kind_has_a_page(site)
    no_page_loads_anything_from_elsewhere(site)
    formulas_are_mathml(site)
    llms_txt_names_every_command_and_page(site)
    every_link_within_the_site_leads_to_a_page(site)


def built(out):
    """The site, built without a warning, a network or PyTorch."""
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # nobody listens there
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "", "")
    return out


class Loads(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in LOADED and given.get(LOADED[tag]):
            self.found.append(given[LOADED[tag]])


def elsewhere(page):
    """What a page loads that is not beside it."""
    return [
        place for place in Loads(page).found if urlsplit(place).scheme not in ("", "data") or place.startswith("//")
    ]


def every_kind_has_a_page(site):
    assert {path.stem for path in (site / "kinds").glob("*.html")} == {"index", *KINDS}
    table = (site / "kinds/index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}.html"' in table for name in KINDS)


def no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(KINDS)
    assert {path.name: found for path in pages if (found := elsewhere(path.read_text(encoding="utf-8")))} == {}
    assert [path.name for path in site.rglob("*.css") if "url(http" in path.read_text(encoding="utf-8")] == []


def test_what_is_loaded_from_elsewhere_is_seen():
    page = (
        '<a href="https://a.org"><img src="b.png"><script src="//c.org/d.js"></script><link href="http://e.org/f.css"/>'
    )
    assert elsewhere(page) == ["//c.org/d.js", "http://e.org/f.css"]


def formulas_are_mathml(site):
    page = (site / "kinds/conv.html").read_text(encoding="utf-8")
    assert page.count("<math") > 10
    assert "<mn>288,000</mn>" in page  # the MACs of its example, which is exercise C
    assert not any("mathjax" in path.read_text(encoding="utf-8").lower() for path in site.rglob("*.html"))


def llms_txt_names_every_command_and_page(site):
    text = (site / "llms.txt").read_text(encoding="utf-8")
    assert text.startswith("# archcalc\n\n> ")
    commands = next(action.choices for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert {"report", "explain", "schema"} < set(commands)
    assert [name for name in commands if f"[archcalc {name}](commands.html#{name}): " not in text] == []
    places = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    built = {place for place in places if not place.startswith("live/")}  # which the page about them names
    built -= {"genindex.html", "search.html", "py-modindex.html"}
    assert {place for place in built if f"]({place}): " not in text} == set()


def every_link_within_the_site_leads_to_a_page(site):
    class Links(Loads):
        def handle_starttag(self, tag, attributes):
            if tag == "a" and dict(attributes).get("href"):
                self.found.append(dict(attributes)["href"])

    for path in site.rglob("*.html"):
        for link in Links(path.read_text(encoding="utf-8")).found:
            place = urlsplit(link)
            if not place.scheme and not place.netloc and place.path:
                assert (path.parent / place.path).exists(), f"{path.name}: {link}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs/_extensions").glob("*.py")), ids=lambda path: path.name)
def test_examples_of_the_extensions_run(path):
    done = subprocess.run([sys.executable, "-m", "doctest", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
