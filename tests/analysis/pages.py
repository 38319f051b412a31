"""The page of studies made up, in a real headless Chromium; without one the tests that import this are skipped."""

import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

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
    """The page of `make_report`, which no test changes."""
    return make_report(tmp_path_factory.getbasetemp() / "report")


@cache  # three files of tests look at it
def make_report(folder: Path) -> Path:
    """36 runs: optim x rate x 3 seeds; sgd at 0.1 diverged; one failed with a message that is a script."""
    root = folder / "study"
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
