"""Loggers beside TensorBoard, and several at once."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import main
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paribus import record

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[8]", "trainer.max_epochs=2", "threads=1", "callbacks=none")
CSV = "+logger.mine={_target_: lightning.pytorch.loggers.CSVLogger"


def test_several_loggers_have_the_same_values(train: Train) -> None:
    directory = train(*SHORT, "logger=[tensorboard,csv]")
    own = pandas.read_csv(directory / record.METRICS)
    table = pandas.read_csv(directory / "csv" / "version_0" / "metrics.csv").dropna(subset="val/loss")
    assert table["val/loss"].tolist() == pytest.approx(own["val/loss"].tolist())
    events = EventAccumulator(str(directory)).Reload()
    assert [event.value for event in events.Scalars("val/loss")] == pytest.approx(own["val/loss"].tolist(), rel=1e-6)


def test_the_directory_of_a_logger_is_respected(train: Train, tmp_path: Path) -> None:
    directory = train(*SHORT, "logger=none", f"{CSV}, save_dir: {tmp_path / 'logs'}, name: a}}")
    assert (tmp_path / "logs" / "a" / "version_0" / "metrics.csv").exists()
    assert not list(directory.rglob("version_0"))


def test_without_one_it_is_that_of_the_run(train: Train) -> None:
    assert (train(*SHORT, "logger=none", f"{CSV}}}") / "lightning_logs" / "version_0" / "metrics.csv").exists()


def test_a_logger_cannot_write_over_the_record(train: Train, capsys: Any) -> None:
    train(*SHORT, "logger=none", f"{CSV}, name: '', version: ''}}", code=1)
    assert "logger.mine would write over the record's own metrics.csv" in capsys.readouterr().err


def test_a_resumed_run_keeps_what_was_logged_before(train: Train) -> None:
    directory = train(*SHORT, "logger=csv")
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=3") == 0
    before, after = (pandas.read_csv(directory / "csv" / f"version_{i}" / "metrics.csv") for i in (0, 1))
    assert len(before["val/loss"].dropna()) == 2 and len(after["val/loss"].dropna()) == 1


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="mlflow is installed")
def test_a_missing_package_is_one_message_before_anything_is_trained(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "logger=mlflow", code=1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "logger.mlflow: " in said and "pip install" in said and "mlflow" in said
    assert not (directory / record.METRICS).exists()
    assert main("train.py", *SHORT, "trainer=cpu", "logger=mlflow", "dry_run=true") == 1


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs mlflow")
def test_mlflow(train: Train) -> None:
    import mlflow

    directory = train(*SHORT, "logger=mlflow")
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("paribus").experiment_id])
    best = record.read_summary(directory)["statistics"]["best_val_loss"]
    assert run.data.metrics["summary/best_val_loss"] == pytest.approx(best)
    assert run.data.params["optim"] == "adam" and run.data.params["optim.lr"] == "0.01"
