"""A headless Chromium for tests of pages: one browser for a module, each page watched for errors and requests."""

import os
import shutil
from contextlib import contextmanager

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY = "needs Chromium: apt-get install chromium"
needs_browser = pytest.mark.skipif(BROWSER is None, reason=WHY)


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium's own rule for root
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=flags)
        yield browser
        browser.close()


class Watched:
    """A page that notes what a good one never does: errors, warnings, and requests beside its own file."""

    def __init__(self, browser, path, fragment="", **context):
        self.page = browser.new_context(viewport={"width": 1280, "height": 900}, **context).new_page()
        self.complaints, self.requests = [], []
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = f"file://{path}"
        self.page.goto(self.url + fragment)

    def text(self, selector):
        return self.page.inner_text(selector)

    def close(self):
        """The page is done with: it must have been quiet."""
        self.page.context.close()
        assert self.complaints == []
        assert {url.partition("#")[0] for url in self.requests} == {self.url}
