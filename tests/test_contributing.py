"""The worked examples of CONTRIBUTING.md, written into a copy of the checkout and tried together."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from conftest import ROOT, read_layers

from paribus import record

pytestmark = pytest.mark.slow
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout with every example in it."""
    copy = tmp_path / "checkout"
    for part in ("src", "conf", "multirun_analysis"):  # with what Python has compiled: to compile it anew takes seconds
        shutil.copytree(ROOT / part, copy / part)
    shutil.copy(ROOT / "train.py", copy)
    for path, content in re.findall(r"^```(?:yaml|python)\n# (\S+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (copy / path).exists(), f"{path} is there already"
        (copy / path).write_text(content, encoding="utf-8")
    (patch,) = re.findall(r"^```diff\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
    subprocess.run(["git", "apply", "-"], input=patch, text=True, cwd=copy, check=True)
    return copy


def run(checkout: Path, *arguments: str) -> str:
    paths = os.pathsep.join([str(checkout / "src"), str(checkout)])
    environment = {**os.environ, "PYTHONPATH": paths, "GIT_CEILING_DIRECTORIES": str(checkout.parent)}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_example_does_what_it_says(checkout: Path) -> None:
    parts = (
        "model=bilinear",
        "optim=signdescent",
        "scheduler=half_at_first",
        "callbacks=largest",
        "hydra/launcher=reversed",
    )
    options = ("study=examples", "trainer=cpu", "trainer.max_epochs=3", "threads=1", "figures=false", "logger=none")
    run(checkout, "train.py", "--multirun", *parts, *options, "activation=hardshrink,relu")
    first, relu = record.find_runs([checkout / "outputs" / "examples"])
    summaries = [record.read_summary(directory) for directory in (first, relu)]
    assert [summary["choices"]["activation"] for summary in summaries] == ["hardshrink", "relu"]
    assert summaries[0]["data"]["train"] == 60
    ended = [(directory / record.SUMMARY).stat().st_mtime_ns for directory in (first, relu)]
    assert ended[1] < ended[0], "the launcher begins with the last run"
    rates = pandas.read_csv(first / record.METRICS)["lr"]
    assert rates.tolist() == pytest.approx([0.005, 0.005, 0.01])
    layers = read_layers(first)
    assert set(layers[layers.quantity == "weight_largest"].layer) == {"first", "last"}
    shown = run(checkout, "-m", "multirun_analysis", "outputs/examples")
    assert re.search(r"^COST +\d+\.\d s of training$", shown, re.MULTILINE)
    assert (checkout / "outputs" / "examples" / "analysis" / "figures" / "spread.png").exists()
    run(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_sign_descent.py")


def test_each_room_of_the_table_is_there() -> None:
    table = TEXT[TEXT.index("| room |") : TEXT.index("## Add a part")]
    rooms = [
        name
        for row in table.splitlines()[2:]
        for name in re.findall(r"`([\w/.]+)`", row.split("|")[1:2][0] if "|" in row else "")
    ]
    assert len(rooms) > 20
    for name in rooms:
        assert any((ROOT / folder / name).exists() for folder in ("", "src/paribus")), name
