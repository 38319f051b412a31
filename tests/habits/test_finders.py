"""Lightning's finders of a learning rate and a batch size: what they find is used, recorded and resumed."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import main

from paribus import record
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[8]", "threads=1", "logger=none", "callbacks=none", "trainer.max_epochs=3")
RATE = "+callbacks.rate={_target_: lightning.pytorch.callbacks.LearningRateFinder, num_training_steps: 30}"
SIZE = "+callbacks.size={_target_: lightning.pytorch.callbacks.BatchSizeFinder, init_val: 2, max_val: 16}"


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS, float_precision="round_trip").drop(columns="epoch_seconds")


def test_the_run_is_the_one_with_the_rate_that_was_found(train: Train) -> None:
    directory = train(*SHORT, RATE, directory="found")
    rate = record.read_summary(directory)["found"]["optim.lr"]
    assert read(directory)["lr"].tolist() == [rate] * 3
    given = train(*SHORT, f"optim.lr={rate}", directory="given")
    pandas.testing.assert_frame_equal(read(directory), read(given), check_exact=True)


def test_a_schedule_follows_the_rate_that_was_found(train: Train) -> None:
    directory = train(*SHORT, RATE, "scheduler=onecycle", directory="found")
    rate = record.read_summary(directory)["found"]["optim.lr"]
    given = train(*SHORT, f"optim.lr={rate}", "scheduler=onecycle", directory="given")
    pandas.testing.assert_frame_equal(read(directory), read(given), check_exact=True)


def test_a_rate_may_only_be_suggested(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, f"{RATE[:-1]}, update_attr: false}}")
    assert "callbacks.rate suggests optim.lr=" in capsys.readouterr().out
    assert read(directory)["lr"].tolist() == [0.01] * 3
    assert "found" not in record.read_summary(directory)


def test_the_run_is_the_one_with_the_batch_size_that_was_found(train: Train) -> None:
    directory = train(*SHORT, SIZE, directory="found")
    assert record.read_summary(directory)["found"] == {"data.batch_size": 16}
    given = train(*SHORT, "data.batch_size=16", directory="given")
    pandas.testing.assert_frame_equal(read(directory), read(given), check_exact=True)


def test_the_rate_is_found_for_the_batch_size_that_was_found(train: Train) -> None:
    directory = train(*SHORT, RATE, SIZE, directory="both")
    found = record.read_summary(directory)["found"]
    assert list(found) == ["data.batch_size", "optim.lr"]
    alone = train(*SHORT, RATE, f"data.batch_size={found['data.batch_size']}", directory="alone")
    assert record.read_summary(alone)["found"]["optim.lr"] == found["optim.lr"]


def test_a_resumed_run_keeps_what_was_found(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    step = Recorder.on_train_batch_end

    def copy_in_epoch_2(self: Recorder, trainer: Any, *others: Any) -> None:
        step(self, trainer, *others)
        if trainer.current_epoch == 1 and others[-1] == 1:
            shutil.copytree(self.directory, tmp_path / "killed")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", copy_in_epoch_2)
        whole = train(*SHORT, RATE, SIZE)
    monkeypatch.setattr("paribus.run.prepare.find_values", None)  # nothing is searched for again
    assert main("train.py", f"resume={tmp_path / 'killed'}") == 0
    pandas.testing.assert_frame_equal(read(whole), read(tmp_path / "killed"), check_exact=True)
    first, resumed = (record.read_summary(directory) for directory in (whole, tmp_path / "killed"))
    assert first["found"] == resumed["found"] and first["identity"] == resumed["identity"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((RATE.replace("30", "2"),), "callbacks.rate found no optim.lr"),
        ((RATE.replace("lightning.pytorch.callbacks.Learning", "own_finder.Late"),), "a finder of its own kind"),
        ((RATE, "trainer=ddp"), "finders use one process"),
    ],
)
def test_what_finders_cannot_do(
    train: Train, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    source = (
        "from lightning.pytorch.callbacks import LearningRateFinder\nclass LateRateFinder(LearningRateFinder): ...\n"
    )
    (tmp_path / "own_finder.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    train(*SHORT, *options, code=1)
    assert said in capsys.readouterr().err
