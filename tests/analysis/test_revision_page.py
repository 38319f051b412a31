"""The page of --against in Chromium: nothing is fetched, nothing scrolls sideways, every drawing has words."""

# ruff: noqa: F811
from pathlib import Path

import pytest
from pages import browser  # noqa: F401
from playwright.sync_api import Browser
from test_revisions import make

from multirun_analysis.report.revision_page import compose_revision_page

pytestmark = pytest.mark.browser


def test_it_fits_a_desk_and_a_phone(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(compose_revision_page(make(tmp_path, {"adam": 0.0, "sgd": 2.0}), "o" * 90, "new"))
    for width in (1280, 390):
        opened = browser.new_page(viewport={"width": width, "height": 844})
        troubles: list[str] = []
        opened.on("console", lambda message, found=troubles: found.append(message.text))
        opened.on("request", lambda request, found=troubles: found.append(request.url))
        opened.goto(page.as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        named = opened.locator("svg.difference[aria-label]:not([aria-label=''])")
        assert named.count() == opened.locator("svg").count() == 3
        dot = opened.locator("circle.run").first.bounding_box()
        assert dot is not None and 2 < dot["width"] < 12
        assert troubles == [page.as_uri()]
        opened.close()
