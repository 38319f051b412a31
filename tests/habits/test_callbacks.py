"""Lightning's own callbacks beside ours."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from conftest import main

from paribus import record
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[8]", "threads=1", "logger=none")


def add(name: str, **options: Any) -> str:
    """The override that adds a callback of Lightning's."""
    values = "".join(f", {key}: {value}" for key, value in options.items())
    return f"+callbacks.{name.lower()}={{_target_: lightning.pytorch.callbacks.{name}{values}}}"


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS).drop(columns="epoch_seconds")


@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar"])
def test_beside_a_progress_bar_ours_is_silent(train: Train, capfd: Any, bar: str) -> None:
    plain = read(train(*SHORT, "trainer.max_epochs=2", directory="plain"))
    assert "epoch 1/2" in capfd.readouterr().out
    barred = read(train(*SHORT, "trainer.max_epochs=2", add(bar), directory="barred"))
    shown = "".join(capfd.readouterr())
    assert "epoch 1/2" not in shown and "12/12" in shown
    pandas.testing.assert_frame_equal(plain, barred, check_exact=True)


@pytest.mark.parametrize("monitor", ["train/loss", "val/loss", "val/mae", "lr", "epoch_seconds"])
def test_early_stopping_on_any_metric(train: Train, monitor: str) -> None:
    # a threshold that every value passes: it stops after the first epoch
    stop = add("EarlyStopping", monitor=monitor, stopping_threshold=1e9)
    directory = train(*SHORT, "callbacks=none", "trainer.max_epochs=4", stop)
    summary = record.read_summary(directory)
    assert len(read(directory)) == 1
    assert summary["stopped"]["epoch"] == 1
    assert summary["stopped"]["by"].startswith(f"EarlyStopping: Stopping threshold reached: {monitor} = ")


def test_early_stopping_on_accuracy(train: Train, fashion_root: Path) -> None:
    stop = add("EarlyStopping", monitor="train/acc", mode="max", stopping_threshold=-1)
    mlp = ("model=mlp", "model.hidden=[8]", f"data.root={fashion_root}", "data.val_size=100")
    directory = train(*mlp, "threads=1", "logger=none", "callbacks=none", "trainer.max_epochs=4", stop)
    assert "train/acc" in record.read_summary(directory)["stopped"]["by"]


def test_early_stopping_on_a_quantity_of_a_layer(train: Train) -> None:
    stop = add("EarlyStopping", monitor="grad_norm/0_linear1.weight", stopping_threshold=1e9)
    directory = train(*SHORT, "trainer.max_epochs=4", stop)
    assert len(read(directory)) == 1


@pytest.mark.parametrize("name", ["EarlyStopping", "ModelCheckpoint"])
def test_a_metric_that_is_not_there_is_one_message_with_those_that_are(train: Train, capsys: Any, name: str) -> None:
    train(*SHORT, "trainer.max_epochs=4", add(name, monitor="val/f1"), code=1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "There is no 'val/f1'" in said and name in said
    assert all(metric in said for metric in ("train/loss", "val/loss", "val/mse", "lr"))


def test_a_metric_that_is_not_there_yet(train: Train, capsys: Any) -> None:
    stop = add("EarlyStopping", monitor="train/loss")
    train(*SHORT, "trainer.max_epochs=2", stop, "+trainer.val_check_interval=0.5", code=1)
    assert "come with an epoch's end" in capsys.readouterr().err


def test_early_stopping_waits_for_min_epochs(train: Train) -> None:
    stop = add("EarlyStopping", monitor="train/loss", stopping_threshold=1e9)
    directory = train(*SHORT, "callbacks=none", "trainer.max_epochs=6", stop, "+trainer.min_epochs=3")
    assert len(read(directory)) == 3 == record.read_summary(directory)["stopped"]["epoch"]


def test_a_run_that_stopped_early_resumes_as_if_undisturbed(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    stop = add("EarlyStopping", monitor="train/loss", mode="max", patience=4)
    command = (*SHORT, "callbacks=none", "trainer.max_epochs=20", stop)
    step = Recorder.on_train_batch_end

    def copy_in_epoch_3(self: Recorder, trainer: Any, *others: Any) -> None:
        step(self, trainer, *others)
        if trainer.current_epoch == 2 and others[-1] == 1:
            shutil.copytree(self.directory, tmp_path / "killed")

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_batch_end", copy_in_epoch_3)
        whole = train(*command)
    assert main("train.py", f"resume={tmp_path / 'killed'}") == 0
    pandas.testing.assert_frame_equal(read(whole), read(tmp_path / "killed"), check_exact=True)
    first, resumed = (record.read_summary(directory)["stopped"] for directory in (whole, tmp_path / "killed"))
    assert first == resumed and first["epoch"] == 5
    capsys.readouterr()
    assert main("train.py", f"resume={whole}", "trainer.max_epochs=30") == 1
    assert "stopped after 5 epochs by EarlyStopping" in capsys.readouterr().err


def test_the_table_of_a_study_says_why_a_run_stopped(capsys: Any) -> None:
    stop = add("EarlyStopping", monitor="train/loss", stopping_threshold=1e9)
    study = ("--multirun", *SHORT, "trainer=cpu", "callbacks=none", "trainer.max_epochs=4", "study=s", stop)
    assert main("train.py", *study, "seed=1,2") == 0
    shown = capsys.readouterr().out
    assert shown.count("1/4") >= 4  # in the table and below it
    assert "stopped after 1/4" in shown and "Stopping threshold reached: train/loss" in shown


def test_a_checkpoint_callback_of_the_users(train: Train) -> None:
    plain = read(train(*SHORT, "trainer.max_epochs=3", directory="plain"))
    keep = add("ModelCheckpoint", monitor="train/loss", save_top_k=1, filename="mine")
    directory = train(*SHORT, "trainer.max_epochs=3", keep, directory="kept")
    pandas.testing.assert_frame_equal(plain, read(directory), check_exact=True)
    (theirs,) = directory.rglob("mine.ckpt")
    weights = torch.load(theirs, weights_only=True)["state_dict"]
    last = torch.load(directory / record.LAST, weights_only=True)["state_dict"]  # the lowest loss is the last one
    assert all(torch.equal(weights[name], tensor) for name, tensor in last.items())


def test_gradients_are_accumulated_by_schedule(train: Train) -> None:
    schedule = add("GradientAccumulationScheduler", scheduling="{0: 2, 1: 4}")
    directory = train(*SHORT, "callbacks=none", "trainer.max_epochs=3", schedule)
    assert read(directory).step.tolist() == [6, 9, 12]


def test_the_timer_stops_a_run(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "callbacks=none", "trainer.max_epochs=2", add("Timer", duration="'00:00:10:00'"))
    assert len(read(directory)) == 2
    assert "stopped" not in record.read_summary(directory)


def test_the_learning_rate_monitor_logs_beside_the_record(train: Train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monitor = add("LearningRateMonitor", logging_interval="epoch")
    directory = train(*SHORT[:-1], "logger=tensorboard", "trainer.max_epochs=2", monitor)
    events = EventAccumulator(str(directory))
    events.Reload()
    assert [event.value for event in events.Scalars("lr-Adam")] == pytest.approx([0.01, 0.01])


def test_weights_may_be_averaged_by_lightning(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=4", add("StochasticWeightAveraging", swa_lrs=0.01))
    assert json.loads((directory / record.SUMMARY).read_text())["status"] == "completed"


@pytest.mark.cases(0)  # for make soak
def test_over_two_processes_each_of_them_monitors_the_same(train: Train) -> None:
    ddp = ("trainer=ddp", "trainer.accelerator=cpu", "callbacks=none", "trainer.max_epochs=6")
    stop = add("EarlyStopping", monitor="train/loss", mode="max", patience=2)
    directory = train(*SHORT, *ddp, stop)
    assert len(read(directory)) == 3 == record.read_summary(directory)["stopped"]["epoch"]
