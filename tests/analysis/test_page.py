"""The page: nothing is fetched, nothing goes wrong, and what one does with runs has its effect."""

# ruff: noqa: F811

import pytest
from pages import axis, browser, brush, column, drawn, find, opened, page, report, shown  # noqa: F401
from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_every_run_is_in_the_table_and_the_verdict_at_the_top(page: Page) -> None:
    assert shown(page) == 19 and "19 of 19" in page.inner_text("#count")
    verdict = page.inner_text("#verdict")
    assert "15 completed, 3 diverged, 1 failed" in verdict and "BEST FOUND" in verdict and "NEXT" in verdict
    assert page.locator("#verdict").bounding_box()["y"] < page.locator("#details").bounding_box()["y"]
    assert page.locator("#verdict .picture svg.difference").count() > 1  # a picture of a compared factor
    assert page.locator("#details details").count() > 3 and page.locator("#details table:visible").count() == 0
    page.locator("#details summary").first.click()
    assert page.locator("#details table:visible").count() == 1
    assert sorted(column(page, "status")).count("diverged in epoch 2") == 3


def test_a_click_on_a_heading_sorts_by_number_and_back(page: Page) -> None:
    heading = page.locator("#table-of-runs thead button", has_text="best val loss")
    heading.click()
    first = [float(cell) for cell in column(page, "best val loss")]
    assert first == sorted(first) and len(first) == 19
    heading.click()
    assert [float(cell) for cell in column(page, "best val loss")] == sorted(first, reverse=True)
    page.locator("#table-of-runs thead button", has_text="optimizer").click()
    assert column(page, "optimizer") == sorted(column(page, "optimizer"))


def test_words_and_statuses_filter_table_curves_and_parallel_coordinates(page: Page) -> None:
    before = drawn(page, "curve-chart")
    page.fill("#query", "sgd 0.001")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('3 of')")
    assert shown(page) == 3 and drawn(page, "curve-chart") < before
    assert page.evaluate("document.getElementById('parallel').data[0].dimensions[0].values.length") == 3
    page.click("#reset")
    assert shown(page) == 19 and drawn(page, "curve-chart") == before
    page.locator("#statuses label", has_text="completed").locator("input").uncheck()
    assert shown(page) == 4 and set(column(page, "status")) == {"diverged in epoch 2", "failed"}


def test_brushing_an_axis_keeps_the_runs_that_pass_there(page: Page) -> None:
    """A drag with the mouse over the upper part of the last axis, where the slot of diverged runs is."""
    brush(page, "settled_val_loss", 0.01, 0.2)
    kept = column(page, "status")
    assert kept and all(status.startswith(("diverged", "failed")) for status in kept)
    page.click("#reset")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('19 of')")


def test_the_level_at_the_top_of_an_axis_can_be_brushed(page: Page) -> None:
    brush(page, "optim", 0.02, 0.3)
    assert set(column(page, "optimizer")) == {"sgd"} and shown(page) == 9


def test_a_brush_on_the_axis_of_figures_selects_the_very_range(page: Page) -> None:
    brush(page, "settled_val_loss", 0.72, 0.97)
    figures = page.evaluate("axes.at(-1)")
    low, high = figures["range"]
    ends = page.evaluate("state.brush.at(-1)[0]")
    assert ends == pytest.approx([high - 0.97 * (high - low), high - 0.72 * (high - low)], abs=0.02 * (high - low))
    inside = sum(ends[0] <= value <= ends[1] for value in figures["values"])
    assert shown(page) == inside and 0 < inside < 12
    page.select_option("#colour", label="optim.lr")  # drawn again
    assert page.evaluate("document.getElementById('parallel').data[0].dimensions.at(-1).constraintrange") == ends
    assert shown(page) == inside
    page.select_option("#colour", "0")


def test_an_axis_that_was_moved_stays_there_with_its_brush(page: Page) -> None:
    page.locator("#parallel").scroll_into_view_if_needed()
    titles = page.locator("#parallel .axis-title")
    before = page.evaluate("state.order.map(k => axes[k].label)")
    start, end = (titles.nth(axis(page, before[i])).bounding_box() for i in (0, 2))
    page.mouse.move(start["x"] + start["width"] / 2, start["y"] + start["height"] / 2)
    page.mouse.down()
    page.mouse.move(end["x"], start["y"] + 5, steps=8)
    page.mouse.move(end["x"] + end["width"] / 2 + 30, start["y"] + 5, steps=8)
    page.mouse.up()
    moved = [before[1], before[2], before[0], before[3]]
    page.wait_for_function("label => axes[state.order[2]].label === label", arg=before[0])
    brush(page, "optim", 0.98, 0.7)
    assert set(column(page, "optimizer")) == {"adam"}
    find(page, "adam 0.001", 4)
    page.select_option("#colour", label="optim.lr")  # drawn again
    drawn_axes = page.evaluate("document.getElementById('parallel').data[0].dimensions")
    assert [drawn["label"] for drawn in drawn_axes] == moved
    assert [drawn["label"] for drawn in drawn_axes if drawn.get("constraintrange")] == ["optim"]
    assert shown(page) == 4
    page.select_option("#colour", "0")


def test_where_no_run_is_shown_the_page_says_so_and_recovers(page: Page) -> None:
    log = page.is_checked("#curve-log")
    page.set_checked("#curve-log", False)
    find(page, "zzz", 0)
    for note in ("#parallel-note", "#curve-note", "#layer-note"):
        assert page.inner_text(note) == "No run is shown."
    assert drawn(page, "curve-chart") == 0 and shown(page) == 0
    assert page.locator("#parallel .axis-title").count() == 4
    page.click("#reset")
    assert shown(page) == 19 and drawn(page, "curve-chart") > 0 and page.inner_text("#parallel-note") == ""
    assert page.evaluate("document.getElementById('parallel').data[0].dimensions[0].values.length") == 19
    page.set_checked("#curve-log", log)
