"""A single run that is refused before it has trained an epoch leaves nothing behind, and removes nothing of the user's."""

import logging
from pathlib import Path
from typing import Any

import pytest
from conftest import main
from short_runs import SHORT, Train

from paribus import record
from paribus.errors import RunRefused, UserError
from paribus.run import execute
from paribus.run.logs import LogFile
from paribus.run.refusal import discard, discarding_refused

QUICK = (*SHORT, "callbacks=none", "figures=false", "trainer=cpu")


@pytest.mark.parametrize("bad", [
    ("optim.lr=fast",), ("tune=lr",), ("until=decided",), ("data=table", "data.path=my.csv"), ("trust=maybe",),
    ("optim.lr=fast", "dry_run=true"), ("+trainer.limit_train_batches=0",),
])  # fmt: skip
def test_a_refused_run_leaves_nothing(bad: tuple[str, ...], capsys: Any) -> None:
    assert main("train.py", *QUICK, *bad) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1, "one message, on the terminal"
    assert list(Path("outputs").iterdir()) == [], "neither the run nor its day"


def test_runs_of_the_same_day_stay() -> None:
    assert main("train.py", *QUICK, "trainer.max_epochs=1") == 0
    before = sorted(Path("outputs").rglob("*"))
    assert main("train.py", *QUICK, "optim.lr=fast") == 1
    assert sorted(Path("outputs").rglob("*")) == before


def test_a_directory_that_held_something_is_not_emptied(train: Train, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv.bak").write_text("mine")
    directory = train(*QUICK, "optim.lr=fast", code=1)
    assert (directory / "metrics.csv.bak").read_text() == "mine"
    assert record.read_summary(directory)["message"] == "optim.lr is 'fast'; it must be a number."


def test_an_unexpected_error_leaves_a_record(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(execute, "train", fail)
    directory = train(*QUICK, code=1)
    assert record.read_summary(directory)["message"] == "RuntimeError: boom"
    assert "Traceback" in (directory / record.LOG).read_text()


@pytest.mark.parametrize(("known", "error", "stays"), [
    ({"statistics": {"parameters": 3}}, UserError("no"), False),
    ({"statistics": {"epochs": 1}}, UserError("no"), True),  # it has trained
    ({"processes": 2}, UserError("no"), True),  # other ranks may use the directory
    ({}, OSError(28, "No space left on device"), True),  # interrupted, not refused
])  # fmt: skip
def test_what_counts_as_refused(
    train: Train, monkeypatch: pytest.MonkeyPatch, known: dict[str, Any], error: Exception, stays: bool
) -> None:
    def refuse(job: Any, resume_point: Any, keeper: Any) -> None:
        keeper.summary |= known
        raise error

    monkeypatch.setattr(execute, "train", refuse)
    assert train(*QUICK, code=1).exists() == stays


@pytest.fixture
def begun(tmp_path: Path) -> Any:
    """begun("run"): a directory with a log that has just been opened."""

    def begin(name: str) -> Path:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        logging.getLogger().addHandler(LogFile(str(directory / record.LOG)))
        return directory

    before = list(logging.getLogger().handlers)
    yield begin
    for handler in set(logging.getLogger().handlers) - set(before):
        logging.getLogger().removeHandler(handler)
        handler.close()


def test_a_file_that_no_run_writes_keeps_the_directory(begun: Any) -> None:
    directory = begun("run")
    (directory / "notes.md").write_text("mine")
    (directory / record.SUMMARY).write_text("{}")
    discard(directory)
    assert {path.name for path in directory.iterdir()} == {"notes.md", record.SUMMARY, record.LOG}


def test_a_directory_that_another_process_executes_a_run_in_stays(begun: Any) -> None:
    directory = begun("run")
    with record.lock_directory(directory):
        discard(directory)
        assert (directory / record.LOG).exists()


def test_the_working_directory_and_a_link_are_emptied_only(
    begun: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = begun("run")
    monkeypatch.chdir(directory)
    discard(directory)
    assert list(directory.iterdir()) == []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    discard(begun("link"))
    assert (tmp_path / "link").is_symlink() and list((tmp_path / "elsewhere").iterdir()) == []


def test_a_log_of_before_is_not_removed(begun: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / record.LOG).touch()
    directory = begun("run")
    discard(directory)
    assert (directory / record.LOG).exists()


def test_an_error_after_the_record_is_written_leaves_it(begun: Any) -> None:
    directory = begun("run")
    (directory / record.SUMMARY).write_text("{}")
    with pytest.raises(OSError, match="gone"), discarding_refused(directory):
        raise OSError("gone")
    assert directory.exists()
    with pytest.raises(RunRefused), discarding_refused(directory):
        raise RunRefused("no")
    assert not directory.exists()
