"""Output on the terminal: user text as it stands, and no training that stops because nobody reads."""

import ast
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
from conftest import ROOT
from rich.table import Table

from paribus.errors import UserError
from paribus.paths import parse_path
from paribus.terminal import GuardedStream, make_console
from paribus.training.progress import Progress

pytestmark = pytest.mark.slow

CODE = [
    path for folder in ("src", "multirun_analysis", "studies", "benchmarks") for path in (ROOT / folder).rglob("*.py")
]
SHORT = ("model=regression", "trainer.max_epochs=2", "callbacks=none", "logger=none", "trainer=cpu", "threads=1")


@pytest.mark.parametrize("name", ["x[/b]", "d[age,cement]e", "[red]x", ":smile:", "[link=http://x]y[/link]", "a\\[b]"])
def test_names_are_shown_as_they_stand(name: str) -> None:
    out = io.StringIO()
    table = Table("column", title=name, caption=name)
    table.add_row(name)
    console = make_console(file=out, width=200)
    console.print(table)
    console.print(name)
    assert out.getvalue().count(name) == 4


def test_every_console_comes_from_one_place() -> None:
    made = [
        path.name
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Console"
    ]
    assert made == ["terminal.py"]


class Full(io.StringIO):
    name = "<stdout>"

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_stream_is_reported_once() -> None:
    report = io.StringIO()
    stream = GuardedStream(Full(), report)
    assert [stream.write("abc"), stream.write("de")] == [3, 2]
    assert report.getvalue().count("No space left on device") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("after", ["> /dev/full", "| head -c 1", "2> /dev/full | cat"])
def test_a_study_is_finished_whoever_reads(after: str) -> None:
    command = " ".join([sys.executable, str(ROOT / "train.py"), "--multirun", "study=s", "seed=1,2", *SHORT, after])
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert len(list(Path("outputs/s").glob("*/summary.json"))) == 2


def test_an_ascii_terminal_shows_question_marks(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("größe,strength\n" + "\n".join(f"{i},{i % 7}" for i in range(40)))
    command = [sys.executable, "-m", "paribus.data", "concrete", "--path", str(data)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "gr??e" in done.stdout or "gr?" in done.stdout


@pytest.mark.parametrize("console", [True, False])
def test_batches_are_counted_on_the_terminal_only_where_the_lines_go_there(
    console: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Workers of a study share the terminal with the table of its runs."""
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", terminal)
    handlers: list[logging.Handler] = [logging.FileHandler(tmp_path / "train.log")]
    monkeypatch.setattr(logging.getLogger(), "handlers", handlers + [logging.StreamHandler()] * console)
    seconds = iter([0.0, 0.0, 5.0])  # training begins, an epoch begins, a batch ends
    monkeypatch.setattr("paribus.training.progress.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    trainer: Any = SimpleNamespace(progress_bar_callback=None, current_epoch=0, num_training_batches=9)
    progress, learner = Progress(), lightning.LightningModule()
    progress.on_fit_start(trainer, learner)
    progress.on_train_start(trainer, learner)
    progress.on_train_epoch_start(trainer, learner)
    progress.on_train_batch_end(trainer, learner, None, None, 2)
    assert ("epoch 1: batch 3 of 9" in terminal.getvalue()) == console


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_path_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--out is empty"):
        parse_path(text, "--out")


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate.py", "run="),
        ("train.py", "resume="),
        ("train.py", "rerun="),
        ("-m", "multirun_analysis", ""),
        ("-m", "multirun_analysis", ".", "--out", ""),
        ("-m", "paribus.data", "concrete", "--path", ""),
        ("-m", "paribus.data", "concrete", "--out", ""),
        ("train.py", "hydra.run.dir="),
        ("train.py", "--multirun", "hydra.sweep.dir=", "seed=1,2"),
        ("train.py", "model=regression", "data.path="),
        ("train.py", "data.root="),
    ],
)
def test_no_command_takes_an_empty_path_for_the_working_directory(command: tuple[str, ...], tmp_path: Path) -> None:
    script, *rest = command
    typed = [sys.executable, *([script] if script == "-m" else [str(ROOT / script)]), *rest]
    before = set(tmp_path.rglob("*"))
    done = subprocess.run(typed, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert "is empty" in done.stderr, done.stderr
    found = {path.name for path in set(tmp_path.rglob("*")) - before if path.suffix in (".json", ".csv")}
    assert found <= {"summary.json"}, "which says that the run has failed"
