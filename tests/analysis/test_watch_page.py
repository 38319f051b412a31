"""The page of a study in training, in a headless Chromium, while a real sweep runs, is stopped in part, and is killed."""

# ruff: noqa: F811
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from pages import NASTY, browser  # noqa: F401
from playwright.sync_api import Browser, Page, expect
from records import write_run

from multirun_analysis.watch.followed_study import FollowedStudy
from multirun_analysis.watch.server import open_server
from paribus import record

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)
OPTIONS = ("study=live", "model=regression", "trainer=cpu", "threads=1", "callbacks=none", "logger=none",
           "trainer.max_epochs=100000", "activation=relu,tanh", "seed=1,2", "hydra/launcher=parallel",
           "hydra.launcher.n_jobs=2")  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A sweep in a process group of its own, which has begun to train."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--multirun", *OPTIONS], start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    waiting = threading.Event()
    while len([*tmp_path.glob(f"outputs/live/*/{record.METRICS}")]) < 2 and process.poll() is None:
        waiting.wait(0.1)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def address(sweep: subprocess.Popen[bytes]) -> Iterator[str]:
    study = Path("outputs/live")
    write_run(study / NASTY.replace("/", ""), seed=9)
    with open_server(FollowedStudy(study), 0) as (server, address):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield address
        server.shutdown()
        thread.join()


def open_page(browser: Browser, address: str, troubles: list[str], width: int) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith((address, "data:")) else troubles.append(asked.url))
    page.on("dialog", lambda dialog: dialog.accept() if dialog.message.startswith("Stop ") else dialog.dismiss())
    page.goto(address)
    page.wait_for_selector("#table-of-runs tbody tr")
    return page


def test_a_study_is_followed_stopped_in_part_killed_and_removed(
    browser: Browser, sweep: subprocess.Popen[bytes], address: str
) -> None:
    troubles: list[str] = []
    page, other = (open_page(browser, address, troubles, width) for width in (1280, 390))
    row = page.locator("#table-of-runs tr", has_text="activation=relu seed=1")
    epochs = row.locator("td.bar span")
    expect(epochs).not_to_have_text(epochs.inner_text())  # it goes on
    expect(page.locator("#chart .scatterlayer .trace").first).to_be_attached()
    assert "its command is at work" in page.inner_text("#subtitle") and "1 of 5 finished" in page.inner_text("#lines")
    assert "No verdict before all planned runs are finished: 4 of 4" in page.inner_text("#verdict")
    assert page.locator("#table-of-runs td.name", has_text="<img src=x").count() == 1
    assert page.locator("main img").count() == 0 and page.evaluate("window.hacked") is None
    for opened, width in ((page, 1280), (other, 390)):
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    page.fill("#query", "tanh in training")
    assert page.locator("#table-of-runs tbody tr").count() == 0
    page.fill("#query", "")

    page.get_by_label("Stop activation=relu seed=1").press("Enter")
    expect(page.locator("#said")).to_contain_text("stops at the end of its epoch")
    other.evaluate("name => stop(name, 'the same run')", row.locator("td.name").get_attribute("title"))
    expect(other.locator("#said")).to_have_text(re.compile("the same run: .*(has asked for this|it is interrupted)"))
    expect(row.locator(".status")).to_have_text("interrupted")
    assert "Stopped on request of" in row.inner_text() and row.locator("button:visible").count() == 0
    expect(page.locator("#table-of-runs tr", has_text="activation=tanh seed=1").locator(".running")).to_be_attached()

    os.killpg(sweep.pid, signal.SIGKILL)
    expect(page.locator("#subtitle")).to_contain_text("nothing is being trained")
    assert "python train.py --multirun study=live" in page.inner_text("#lines code")
    assert page.locator("button:visible", has_text="Stop").count() == 0

    shutil.rmtree("outputs/live")
    expect(page.locator("#alert")).to_contain_text("moved or removed")
    assert [text for text in troubles if "409" not in text] == []  # Chromium reports the refusal itself
    page.close()
    other.close()
