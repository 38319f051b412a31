"""On a terminal no line wraps and nothing is left over: names say what varies, and what is shared is said once."""

import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
from conftest import ROOT
from omegaconf import OmegaConf
from rich.console import Console

from multirun_analysis.report import terminal
from paribus.run.logs import BelowError, FittedFormatter
from paribus.run.spec import Composed, Job
from paribus.sweep.labels import label_runs, split_labels
from paribus.sweep.means import tabulate_means
from paribus.sweep.plan import PlannedRun


def planned(*typed: str, best: list[float] | None = None, metric: str = "best_val_loss") -> list[PlannedRun]:
    runs = []
    for i, texts in enumerate(typed):
        hydra: Any = SimpleNamespace(overrides=SimpleNamespace(task=texts.split()))
        summary = None if best is None else {"statistics": {metric: best[i]}}
        job = Job(Path(f"/s/{texts.replace(' ', ',')}"), Composed(OmegaConf.create(), hydra))
        runs.append(PlannedRun(job, "completed" if best else "absent", summary))
    return runs


@pytest.fixture(autouse=True)
def _plain_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paribus.run.spec.to_plain_list", list)


def test_a_run_is_named_by_what_varies() -> None:
    runs, shared = label_runs(planned("model=mlp optim.lr=0.1 seed=1 study=s", "model=mlp optim.lr=0.1 seed=2 study=s"))
    assert [run.label for run in runs] == ["seed=1", "seed=2"]
    assert shared == ["model=mlp", "optim.lr=0.1"]
    assert [run.name for run in runs] == [
        "model=mlp,optim.lr=0.1,seed=1,study=s",
        "model=mlp,optim.lr=0.1,seed=2,study=s",
    ]
    (alone,), shared = label_runs(planned("model=mlp"))
    assert alone.label == "model=mlp" == alone.name and shared == []


def test_the_columns_of_a_study() -> None:
    runs, _ = label_runs(planned("optim.lr=0.1 seed=1", "optim.lr=0.2 seed=1 scheduler.gamma=0.5", "optim=sgd seed=1"))
    assert split_labels(runs) == (["lr", "gamma", "optim"], [["0.1", "", ""], ["0.2", "0.5", ""], ["", "", "sgd"]])
    runs, _ = label_runs(planned("model.seed=1 data.seed=2", "model.seed=1 data.seed=3", "model.seed=2 data.seed=2"))
    assert split_labels(runs)[0] == ["model.seed", "data.seed"]


def test_means_over_seeds() -> None:
    """0.5 and 0.7 have the mean 0.6 and the deviation 0.1414."""
    runs, _ = label_runs(
        planned(
            "a=x seed=1", "a=x seed=2", "a=y seed=1", "a=y seed=2", best=[0.5, 0.7, 2.0, 2.0], metric="best_val_acc"
        )
    )
    console = Console(width=80)
    with console.capture() as shown:
        console.print(tabulate_means(runs))
    heading, *lines = shown.get().splitlines()
    assert heading == "Means over seeds of the best val acc (optimistic: it chose the epoch):"
    assert [line.split() for line in lines] == [
        ["a", "mean", "sd", "seeds"],
        ["x", "60.00%", "14.14%", "2"],
        ["y", "200.00%", "0.00%", "2"],
    ]
    one_seed, _ = label_runs(planned("a=x seed=1", "a=y seed=1", best=[1.0, 2.0]))
    assert tabulate_means(one_seed) is None


def test_a_column_that_says_the_same_in_every_row_is_said_once_where_there_is_no_room() -> None:
    frame = pandas.DataFrame(
        {"setting": ["a" * 20, "b" * 20], "optim.lr": ["0.5", "0.5"], "finding": ["dead units"] * 2}
    )
    for width, said in ((80, []), (30, ["in every row: lr 0.5; finding dead units"])):
        console = Console(width=width, file=io.StringIO())
        with console.capture() as captured:
            console.print(terminal.rich(frame, "Found", width), soft_wrap=True)
        lines = captured.get().splitlines()
        assert [line for line in lines if line.startswith("in every row")] == said
        assert ("finding" in captured.get().partition("setting")[2]) == (not said)


def entry(**extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("x", logging.INFO, "f", 1, "a long message", None, None)
    made.__dict__.update(extra)
    return made


def test_a_message_is_shortened_to_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    shorter = ["a message", "short"]
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    for width, fitting in ((80, "a long message"), (10, "a message"), (5, "short"), (3, "sho")):
        monkeypatch.setenv("COLUMNS", str(width))
        assert FittedFormatter().format(entry(shorter=shorter)) == fitting
    assert FittedFormatter().format(entry()) == "a long message"
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: False))
    assert FittedFormatter().format(entry(shorter=shorter)) == "a long message"


def test_what_runs_share_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BelowError, "shown", set())
    assert [BelowError().filter(entry(once=text)) for text in ("a", "a", "b", None)] == [True, False, True, True]


def run_in_terminal(width: int, *arguments: str) -> str:
    """What an entry point writes to a terminal of that width."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.pop("COLUMNS", None)
        os.execv(sys.executable, [sys.executable, str(ROOT / "train.py"), *arguments])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    written = b""
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not read:
            break
        written += read
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0, written.decode()
    return written.decode()


@pytest.mark.slow
@pytest.mark.cases(1)
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("launcher", ["serial", "parallel", "stacked"])
def test_no_line_wraps(width: int, launcher: str, cifar_root: Path) -> None:
    """A classification, whose lines are the longest, with options that all runs share."""
    written = run_in_terminal(
        width, "--multirun", f"hydra/launcher={launcher}", "study=s", "data=cifar10", f"data.root={cifar_root}",
        "data.verify=false", "data.val_size=20", "model.hidden=[16]", "optim.weight_decay=0.0001", "optim.lr=0.001,0.0003", "seed=1,2", "trainer.max_epochs=3",
        "threads=1", "trainer=cpu",
    )  # fmt: skip
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = [line.rpartition("\r")[2] for line in plain.replace("\r\n", "\n").split("\n")]
    assert max(map(len, lines)) <= width, max(lines, key=len)
    assert len([line for line in lines if line.startswith("layer ")]) == (launcher == "serial")
    table = plain[plain.rindex("Study outputs/s") :]
    assert len(re.findall(r"^ *completed  val acc .* 3/3 ", table, re.M)) == 4, "a line for each run"
    assert (
        "In all of them: " in plain
        and "Means over seeds of the best val acc (optimistic: it chose the epoch):" in plain
    )
    assert "python -m multirun_analysis outputs/s" in plain and "follow it: paribus watch outputs/s\n" in plain.replace(
        "\r", ""
    )


def test_of_a_traceback_the_terminal_shows_the_own_code_and_the_message_last() -> None:
    """json.loads fails within the standard library, which is left out; the record keeps its traceback for the log."""
    try:
        json.loads("{")
    except json.JSONDecodeError:
        made = logging.LogRecord("x", logging.ERROR, __file__, 1, "error: not JSON", (), sys.exc_info())
    lines = FittedFormatter().format(made).splitlines()
    assert lines[-1] == "error: not JSON"
    assert [line for line in lines if "File " in line] == [line for line in lines if f'File "{__file__}"' in line] != []
    assert made.exc_info is not None and "json/decoder.py" in logging.Formatter().format(made)
