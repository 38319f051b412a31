"""The page, in a real headless Chromium: nothing is fetched, nothing goes wrong, and what one does has its effect."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pandas
import pytest
from records import edit_summary, write_layers, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None and not os.environ.get("CI"):  # in CI they fail instead
    pytest.skip("no Chromium: apt install chromium", allow_module_level=True)
playwright = (
    pytest.importorskip("playwright.sync_api") if not os.environ.get("CI") else __import__("playwright.sync_api")
)

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402

from multirun_analysis import __main__ as command  # noqa: E402
from multirun_analysis.figures import gallery  # noqa: E402
from paribus import record  # noqa: E402

pytestmark = pytest.mark.browser

NASTY = "<img src=x onerror=alert(1)></script><script>window.hacked=1</script>&amp;'\""


def analyse(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["multirun_analysis", *map(str, arguments)])
        patched.setattr(gallery, "gallery", lambda *_: {})  # drawn in other tests
        command.main()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 runs: optim x rate x 3 seeds; sgd at 0.1 diverged; one failed with a message that is a script."""
    root = tmp_path_factory.mktemp("page") / "study"
    for optim in ("adam", "sgd"):
        for lr in (0.0001, 0.001, 0.1):
            for seed in (1, 2, 3):
                broken = (optim, lr) == ("sgd", 0.1)
                failed = (optim, lr, seed) == ("adam", 0.1, 3)
                losses = (40.0, 90.0) if broken else (40.0, 20.0, 5.0 + seed + 10 * (optim == "sgd") + 1 / lr**0.3)
                write_run(
                    root / f"{optim},{lr},{seed}", losses, seed=seed, layers=True, optim=optim, optim__lr=lr,
                    status="diverged" if broken else "failed" if failed else "completed",
                    more={"message": NASTY, "command": f"python train.py '{NASTY}'"} if failed else {},
                )  # fmt: skip
    write_run(root / "nasty <b>name<", (30.0, 20.0), seed=9, activation="<b onclick=hack()>relu</b>", optim__lr=0.001)
    analyse(root)
    return root / "analysis" / "report.html"


@pytest.fixture(scope="module")
def odd_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven runs: three rates x 3 seeds; one of them made twice; one that nobody can read."""
    root = tmp_path_factory.mktemp("page") / "odd"
    for lr in (0.0001, 0.01, 1.0):
        for seed in (1, 2, 3):
            last = {0.0001: 2.0 + seed, 0.01: (0.1, 0.1, 0.9)[seed - 1], 1.0: 5.0}[lr]
            run = write_run(root / f"{lr},{seed}", (100.0, 10.0, last), seed=seed, optim__lr=lr)
            write_layers(run, 3, [f"linear{i}" for i in range(6 if lr == 1 else 2)])
            metrics = pandas.read_csv(run / record.METRICS)
            if lr == 1:  # not validated
                metrics = metrics.drop(columns=["val/loss", "val/mse", "val/mae"])
            metrics.assign(epoch_seconds=0.5 * seed).to_csv(run / record.METRICS, index=False)
    write_run(root / "twice", (100.0, 10.0, 99.0), seed=1, optim__lr=0.0001)
    (write_run(root / "unknown", seed=1) / record.SUMMARY).write_text("{")
    analyse(root)
    return root / "analysis" / "report.html"


@pytest.fixture(scope="module")
def opened(browser: Browser, report: Path) -> Iterator[tuple[Page, list[str]]]:
    yield from watched(browser, report)


@pytest.fixture(scope="module")
def odd_opened(browser: Browser, odd_report: Path) -> Iterator[tuple[Page, list[str]]]:
    yield from watched(browser, odd_report)


def watched(browser: Browser, report: Path) -> Iterator[tuple[Page, list[str]]]:
    """The page, and whatever it should not have done since it was opened."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    troubles: list[str] = []
    own = (report.as_uri(), "blob:", "data:")
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(own) else troubles.append(request.url))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(report.as_uri())
    page.wait_for_selector("#parallel .parcoords")
    yield page, troubles
    page.close()


@pytest.fixture
def page(opened: tuple[Page, list[str]]) -> Iterator[Page]:
    """The page with all runs shown."""
    page, troubles = opened
    page.evaluate("state.order.sort()")
    page.click("#reset")
    yield page
    assert troubles == []


@pytest.fixture
def odd(odd_opened: tuple[Page, list[str]]) -> Iterator[Page]:
    page, troubles = odd_opened
    page.click("#reset")
    yield page
    assert troubles == []


def find(page: Page, words: str, count: int) -> None:
    page.fill("#query", words)
    page.wait_for_function(f"document.getElementById('count').textContent.startsWith('{count} of')")


def axis(page: Page, label: str) -> int:
    """Which of the axes, as they stand in the document, has this name."""
    return page.locator("#parallel .axis-title").all_text_contents().index(label)


def brush(page: Page, label: str, start: float, end: float) -> None:
    """Drag along an axis, from one share of its height to another, from its top."""
    page.locator("#parallel").scroll_into_view_if_needed()
    box = page.locator("#parallel .axis-brush .background").nth(axis(page, label)).bounding_box()
    x = box["x"] + box["width"] / 2
    before = page.inner_text("#count")
    page.mouse.move(x, box["y"] + start * box["height"])
    page.mouse.down()
    page.mouse.move(x, box["y"] + (start + end) / 2 * box["height"], steps=5)
    page.mouse.move(x, box["y"] + end * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function("before => document.getElementById('count').textContent !== before", arg=before)


def shown(page: Page) -> int:
    return page.locator("#table-of-runs tbody tr:not([hidden]):not(.detail)").count()


def column(page: Page, heading: str) -> list[str]:
    headings = page.locator("#table-of-runs thead th").all_inner_texts()
    return page.locator(
        f"#table-of-runs tbody tr:not([hidden]):not(.detail) td:nth-child({headings.index(heading) + 1})"
    ).all_inner_texts()


def drawn(page: Page, chart: str) -> int:
    """How many numbers the lines of a chart show."""
    return page.evaluate(
        f"document.getElementById('{chart}').data.reduce((n, t) => n + t.y.filter(v => v !== null).length, 0)"
    )


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


def test_diverged_runs_have_a_slot_of_their_own_and_a_cross(page: Page) -> None:
    axis = page.evaluate("axes.at(-1)")
    assert {"diverged", "failed"} <= set(axis["ticktext"])
    assert page.locator("#parallel .y-axis").last.locator(".tick text").all_text_contents() == axis["ticktext"]
    slot = axis["tickvals"][axis["ticktext"].index("diverged")]
    numbers = [
        value
        for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True)
        if text not in ("diverged", "failed")
    ]
    assert axis["values"].count(slot) == 3 and slot > max(numbers)
    assert axis["range"][0] <= min(axis["values"]) and axis["range"][1] >= max(axis["values"])
    crosses = page.evaluate(
        "document.getElementById('curve-chart').data.filter(t => t.marker && t.marker.symbol === 'x-thin').map(t => t.x)"
    )
    assert sorted(crosses[0]) == [2, 2, 2, 3]


def test_a_rate_that_spans_powers_of_ten_has_a_log_axis(page: Page) -> None:
    axis = page.evaluate("document.getElementById('parallel').data[0].dimensions.find(d => d.label === 'optim.lr')")
    assert axis["ticktext"] == ["0.0001", "0.001", "0.1"] and axis["tickvals"] == pytest.approx([-4, -3, -1])


def test_means_over_seeds_are_means_over_seeds(page: Page) -> None:
    page.fill("#query", "sgd 0.001")
    page.wait_for_function("document.getElementById('count').textContent.startsWith('3 of')")
    page.select_option("#metric", "val/loss")
    page.select_option("#lines", "means")
    mean = page.evaluate("document.getElementById('curve-chart').data.find(t => t.text && !t.fill).y")
    last = [5.0 + seed + 10 + 1 / 0.001**0.3 for seed in (1, 2, 3)]
    assert mean == pytest.approx([40.0, 20.0, sum(last) / 3], rel=1e-4)


def test_the_slider_shows_the_layers_of_an_epoch(page: Page) -> None:
    page.evaluate("document.getElementById('layers').scrollIntoView()")
    assert page.inner_text("#epoch-shown") == "3"
    page.focus("#epoch")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#epoch-shown") == "2"
    page.wait_for_function("document.querySelector('#depth-chart .gtitle').textContent.startsWith('epoch 2')")
    line = page.evaluate(
        "document.getElementById('depth-chart').data.find(t => t.mode.startsWith('lines')).y.slice(0, 3)"
    )
    # weight and bias joined: (100 * 0.1 + 10 * 0.05) / 110, and a tenth of it a layer further
    assert line == pytest.approx([10.5 / 110 * 0.1**k for k in range(3)], rel=1e-4)
    page.select_option("#quantity", "dead_fraction")
    line = page.evaluate(
        "document.getElementById('depth-chart').data.find(t => t.mode.startsWith('lines')).y.slice(0, 3)"
    )
    assert line == pytest.approx([0, 0.1, 0.2])


def test_runs_that_ended_before_the_epoch_of_the_layers_are_counted(page: Page) -> None:
    page.evaluate(
        "document.getElementById('epoch').value = 3; document.getElementById('epoch').dispatchEvent(new Event('input'))"
    )
    note = "document.getElementById('layer-note').textContent"
    page.wait_for_function(f"{note}.includes('3 of the runs shown had ended before epoch 3.')")
    page.evaluate(
        "document.getElementById('epoch').value = 2; document.getElementById('epoch').dispatchEvent(new Event('input'))"
    )
    page.wait_for_function(f"!{note}.includes('ended')")


def test_a_dragged_slider_draws_once_a_frame(page: Page) -> None:
    draws = page.evaluate("""async () => {
        const chart = document.getElementById('depth-chart'), slider = document.getElementById('epoch');
        let draws = 0;
        chart.on('plotly_afterplot', () => { draws += 1; });
        for (let i = 0; i < 12; i++) { slider.value = i % 4; slider.dispatchEvent(new Event('input')); }
        for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame);
        return draws;
    }""")
    assert draws == 1 and page.inner_text("#epoch-shown") == "3"


def test_no_button_sends_data_away(page: Page) -> None:
    buttons = page.locator(".modebar-btn").evaluate_all("buttons => buttons.map(b => b.dataset.title)")
    assert buttons and not [title for title in buttons if "hare" in title or "loud" in title]


def test_an_interval_below_zero_does_not_spoil_a_log_scale(odd: Page) -> None:
    assert odd.is_checked("#curve-log") and odd.input_value("#lines") == "means"
    low, high = odd.evaluate("document.getElementById('curve-chart')._fullLayout.yaxis.range")
    assert -1.3 < low <= -1 and 2 <= high < 2.3  # of 0.1 to 100
    least = odd.evaluate(
        "Math.min(...document.getElementById('curve-chart').data.flatMap(t => t.y).filter(v => v !== null))"
    )
    assert least == pytest.approx(0.1 / 3)


def test_steps_are_those_of_any_metric_and_seconds_are_means(odd: Page) -> None:
    lines = "document.getElementById('curve-chart').data.filter(t => t.text && !t.fill && t.mode === 'lines').map(t => [t.text[0], t.x])"
    odd.select_option("#metric", "train/loss")
    odd.select_option("#against", "step")
    steps = odd.evaluate(lines)
    odd.select_option("#against", "seconds")
    seconds = odd.evaluate(lines)
    odd.select_option("#against", "epoch")
    odd.select_option("#metric", "val/loss")
    assert [x for _, x in steps] == [[10, 20, 30]] * 3
    assert [x for _, x in seconds] == [[1, 2, 3]] * 3  # of 0.5, 1 and 1.5 an epoch


def test_a_run_made_twice_counts_once_in_means(odd: Page) -> None:
    find(odd, "optim.lr=0.0001", 4)
    mean = odd.evaluate("document.getElementById('curve-chart').data.find(t => t.text && !t.fill).y")
    assert mean == pytest.approx([100, 10, 4])  # of 3, 4 and 5; not 99
    assert "1 of the runs shown is the same experiment as another" in odd.inner_text("#curve-note")
    assert shown(odd) == 4
    odd.locator("#table-of-runs tbody tr:not([hidden])", has_text="99").click()
    assert "the same experiment as 0.0001,1" in odd.inner_text("tr.detail")


def test_a_run_of_unknown_setting_has_a_slot_of_its_own_and_is_grey(odd: Page) -> None:
    assert shown(odd) == 11
    found = odd.evaluate("document.getElementById('parallel').data[0].dimensions.find(d => d.label === 'optim.lr')")
    assert found["ticktext"] == ["unknown", "0.0001", "0.01", "1"] and found["tickvals"][1:] == [-4, -2, 0]
    assert found["values"].count(found["tickvals"][0]) == 1 and found["tickvals"][0] < -4
    assert odd.locator("#legend span", has_text="unknown").locator("line").get_attribute("stroke") == "#8a929a"
    find(odd, "unknown", 1)
    traces = odd.evaluate("document.getElementById('curve-chart').data")
    assert [trace["line"]["color"] for trace in traces if trace["mode"] == "lines"] == ["#8a929a"]


def test_a_layer_that_the_runs_shown_lack_is_not_drawn(odd: Page) -> None:
    odd.select_option("#layer", label="6")
    assert "6 of the runs shown have no layer 6." in odd.inner_text("#layer-note")
    find(odd, "optim.lr=0.01", 3)
    assert odd.text_content("#flow-chart .gtitle") == "no layer 6: the runs shown have 2"
    assert odd.locator("#layer option:not([disabled])").count() == 2
    odd.click("#reset")
    assert odd.locator("#layer option:not([disabled])").count() == 6
    odd.select_option("#layer", label="1")


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
            "colour => document.getElementById('curve-chart').layout.font.color === colour", arg=colour
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


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three optimizers, each at two rates, with names that are markup; two settings confirmed on fresh seeds."""
    root = tmp_path_factory.mktemp("page") / "<i>confirmed"
    for optim in ("adam", "sgd", "<u>own</u>"):
        for lr in (0.01, 0.1):
            for seed in (1, 2, 3, 101, 102, 103, 104):
                if seed > 100 and (lr != 0.01 or optim == "sgd"):
                    continue
                loss = 5.0 + (optim != "adam") + 10 * lr + 0.1 * seed % 0.3 + 0.5 * (seed > 100)
                run = write_run(root / f"{optim.replace('/', '')}{lr},{seed}", (9.0, loss), seed=seed, optim=optim,
                                optim__lr=lr)  # fmt: skip
                if seed > 100:
                    edit_summary(run, config={**record.read_summary(run)["config"], "confirm": True})
    analyse(root)
    return root / "analysis" / "report.html"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_verdict_its_pictures_and_the_details_are_there_on_any_screen(
    browser: Browser, confirmed: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened.goto(confirmed.as_uri())
    opened.wait_for_selector("#count:not(:empty)")
    labels = opened.locator("#verdict dt").all_inner_texts()
    assert {"BEST FOUND", "OPTIMIZER", "NEXT"} <= set(labels)
    for label, pictures in (("OPTIMIZER", 1), ("BEST FOUND", 0)):
        entry = opened.locator("#verdict .lines > div").nth(labels.index(label))
        assert entry.locator(".picture").count() == pictures
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


def test_search_and_fresh_figures_stand_beside_each_other(browser: Browser, confirmed: Path) -> None:
    opened = browser.new_page()
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
    opened.close()


def test_the_copy_button_copies_the_command_as_it_is(browser: Browser, confirmed: Path) -> None:
    opened = browser.new_page()
    opened.add_init_script(
        "window.copied = null; Object.defineProperty(navigator, 'clipboard',"
        " {value: {writeText: async text => { window.copied = text; }}});"
    )
    opened.goto(confirmed.as_uri())
    opened.click("#copy")
    opened.wait_for_function("document.getElementById('copy').textContent === 'Copied'")
    command = opened.evaluate("window.copied")
    assert command is not None and command == json.loads((confirmed.parent / "verdict.json").read_text())["next"]
    opened.close()
