"""The page on any screen: without WebGL, small studies, the verdict and its pictures."""

# ruff: noqa: F811
import itertools
import json
import re
from pathlib import Path
from typing import Literal

import pytest
from pages import NASTY, analyse, browser, confirmed, drawn, find, opened, page, report, shown  # noqa: F401
from playwright.sync_api import Browser, Page
from records import write_run

pytestmark = pytest.mark.browser


def test_without_webgl_the_rest_works(browser: Browser, report: Path) -> None:
    opened = browser.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.add_init_script(
        "const before = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        " return kind.includes('webgl') ? null : before.call(this, kind, ...rest); };"
    )
    opened.goto(report.as_uri())
    opened.wait_for_selector("#parallel .none")
    assert "need WebGL" in opened.inner_text("#parallel") and drawn(opened, "curve-chart") > 0
    find(opened, "sgd", 9)
    opened.click("#reset")
    assert shown(opened) == 19 and not troubles
    opened.close()


def test_a_browser_that_cannot_unpack_the_charts_has_the_rest(browser: Browser, report: Path) -> None:
    opened = browser.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.add_init_script("delete window.DecompressionStream;")
    opened.goto(report.as_uri())
    opened.wait_for_selector("#no-charts:visible")
    find(opened, "sgd", 9)
    assert shown(opened) == 9 and opened.locator("#verdict svg.difference").count() > 1 and not troubles
    opened.close()


def test_what_one_uses_has_a_name_and_a_place_for_the_keyboard(browser: Browser, report: Path) -> None:
    opened = browser.new_page(viewport={"width": 1280, "height": 844})
    opened.goto(report.as_uri())
    opened.wait_for_selector("#parallel .parcoords")
    opened.locator("#details summary").first.click()
    assert_accessible(opened)
    opened.set_viewport_size({"width": 390, "height": 844})
    assert_accessible(opened)
    opened.close()


def assert_accessible(opened: Page) -> None:
    """The rules of accessibility that such a page can break; names as the browser computes them."""
    for role in ("combobox", "button", "checkbox", "searchbox", "slider", "link"):
        named = opened.get_by_role(role, name=re.compile(r"\S"))  # type: ignore[arg-type]
        assert named.count() == opened.get_by_role(role).count(), role  # type: ignore[arg-type]
    pictures = opened.locator("#verdict").get_by_role("img", name=re.compile(r"\S"))
    assert pictures.count() == opened.locator("svg.difference").count() > 0
    scrolling = opened.evaluate("""[...document.querySelectorAll('main *')].filter(node =>
        node.scrollWidth > node.clientWidth + 1 && ['auto', 'scroll'].includes(getComputedStyle(node).overflowX)
        && node.tabIndex < 0).length""")
    levels = opened.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(node => +node.tagName[1])")
    twice = opened.evaluate("(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')]"
                            ".filter(node => !node.closest('svg')).map(node => node.id))")  # fmt: skip
    assert scrolling == 0 and twice == 0
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_a_row_tells_its_command_and_markup_in_records_stays_text(page: Page) -> None:
    page.locator("#table-of-runs tbody tr", has_text="failed").click()
    detail = page.locator("tr.detail")
    assert NASTY in detail.inner_text() and detail.locator("code").inner_text() == f"python train.py '{NASTY}'"
    page.locator("#table-of-runs tbody tr:not(.detail)", has_text="<b onclick=hack()>relu</b>").click()
    assert "nasty <b>name<" in page.locator("tr.detail").inner_text()
    assert page.locator("main b, main img").count() == 0 and page.evaluate("window.hacked") is None
    assert any("<b onclick" in text for text in page.locator("#parallel text").all_text_contents())
    assert any("<b onclick" in text for text in page.locator("#legend span").all_inner_texts())


def test_it_fits_a_phone_and_the_dark(browser: Browser, report: Path) -> None:
    opened = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="light")
    opened.goto(report.as_uri())
    opened.wait_for_selector("#count:not(:empty)")
    for width, scheme, colour in ((400, "light", "#1d2329"), (1280, "dark", "#e6e9ec")):
        opened.set_viewport_size({"width": width, "height": 800})
        opened.emulate_media(color_scheme=scheme)
        opened.wait_for_function(
            "colour => document.getElementById('curve-chart').layout?.font.color === colour", arg=colour
        )
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
        background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    opened.close()


@pytest.mark.parametrize("what", ["single", "diverged", "unvaried"])
def test_small_and_broken_studies_have_a_page_too(browser: Browser, tmp_path: Path, what: str) -> None:
    if what == "single":
        write_run(tmp_path / "s" / "a")
    elif what == "diverged":
        for seed in (1, 2):
            for lr in (0.1, 1.0):
                write_run(tmp_path / "s" / f"{seed}{lr}", (float("nan"),), seed=seed, optim__lr=lr, status="diverged")
    else:
        for seed in (1, 2):
            write_run(tmp_path / "s" / f"{seed}", seed=seed)
    analyse(tmp_path / "s")
    opened = browser.new_page()
    troubles: list[str] = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto((tmp_path / "s" / "analysis" / "report.html").as_uri())
    opened.wait_for_selector("#count:not(:empty)")
    assert shown(opened) == {"single": 1, "diverged": 4, "unvaried": 2}[what]
    assert not troubles
    opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_verdict_its_pictures_and_the_details_are_there_on_any_screen(
    browser: Browser, confirmed: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened.goto(confirmed.as_uri())
    opened.wait_for_selector("#count:not(:empty)")
    labels = opened.locator("#verdict dt").all_inner_texts()
    assert {"BEST FOUND", "OPTIMIZER", "NEXT"} <= set(labels)
    lines, drawn_first = (opened.locator(part).first.bounding_box() for part in ("#verdict dl", "#verdict .picture"))
    assert lines is not None and drawn_first is not None
    if width > 900:  # beside the picture, else below it
        assert lines["x"] > drawn_first["x"] + drawn_first["width"] and drawn_first["y"] < 300
    else:
        assert lines["y"] > drawn_first["y"] + drawn_first["height"]
    picture = opened.locator("#verdict .picture", has=opened.locator("th", has_text="adam")).first
    assert picture.locator("svg.difference").count() == 2 and picture.locator("svg .best").count() == 1
    assert "<u>own</u>" in picture.inner_text()
    for summary in opened.locator("#details summary").all():
        summary.click()
    assert opened.locator("#details details[open]").count() == opened.locator("#details details").count() > 3
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    box = opened.locator("#verdict").bounding_box()
    assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
    assert opened.locator("main u, h1 i").count() == 0 and "<i>confirmed" in opened.inner_text("h1")
    opened.close()


def test_search_and_fresh_figures_and_a_command_to_copy_stand_there(browser: Browser, confirmed: Path) -> None:
    opened = browser.new_page()
    opened.add_init_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: async text => { window.copied = text; }}});"
    )
    opened.goto(confirmed.as_uri())
    table = opened.locator("#details details", has=opened.locator("summary", has_text="Confirmation")).locator("table")
    headings = table.locator("th").all_text_contents()
    rows = [dict(zip(headings, row.locator("td").all_text_contents(), strict=True))
            for row in table.locator("tbody tr").all()]  # fmt: skip
    adam = next(row for row in rows if row["setting"].startswith("adam"))
    searched = [5.1 + 0.1 * seed % 0.3 for seed in (1, 2, 3)]
    fresh = [5.6 + 0.1 * seed % 0.3 for seed in (101, 102, 103, 104)]
    assert float(adam["in the search"]) == pytest.approx(sum(searched) / 3, abs=0.001) and adam["its seeds"] == "3"
    assert float(adam["on fresh seeds"]) == pytest.approx(sum(fresh) / 4, abs=0.001) and adam["fresh seeds"] == "4"
    assert "fresh seeds" in opened.locator("#verdict dd").first.inner_text()
    assert "optimistic" not in opened.inner_text("#verdict .lines")
    opened.click("#copy")
    opened.wait_for_function("document.getElementById('copy').textContent === 'Copied'")
    command = opened.evaluate("window.copied")
    assert command is not None and command == json.loads((confirmed.parent / "verdict.json").read_text())["next"]
    opened.close()
