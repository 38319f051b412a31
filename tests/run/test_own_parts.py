"""A user's own parts: one class and one YAML."""

import pytest
import torch
from conftest import main
from short_runs import SHORT, Train, metrics

from paribus import record
from paribus.randomness import make_generator


def test_own_model_data_activation_and_optimizer(train: Train, own: str) -> None:
    directory = train(own, "model=bilinear", "activation=square", "optim=sign")
    summary = record.read_summary(directory)
    assert summary["choices"]["data"] == "line"
    assert len(metrics(directory)) == 5
    assert summary["statistics"]["best_val_loss"] < summary["statistics"]["baseline_val_loss"]
    assert summary["set"] == {}
    assert main("evaluate.py", f"run={directory}") == 1, "a record that names other code is trusted only on request"
    assert main("evaluate.py", f"run={directory}", "--trust") == 0
    x = torch.linspace(-1, 1, 100)
    train_x = torch.randperm(100, generator=make_generator(42, "split"))[20:]
    baseline = ((3 * x + 1) - (3 * x[train_x] + 1).mean()).square().mean()
    assert record.read_summary(directory)["test"]["baseline_mse"] == pytest.approx(float(baseline), rel=1e-4)


@pytest.mark.slow
def test_an_experiment_sets_values_that_count_as_set(train: Train, own: str) -> None:
    directory = train(own, "experiment=wide", *SHORT)
    summary = record.read_summary(directory)
    assert summary["choices"]["experiment"] == "wide"
    assert summary["choices"]["optim"] == "sgd"
    assert summary["set"] == {"model.hidden": [9], "trainer.max_epochs": 3}


@pytest.mark.slow
def test_early_stopping_finds_its_metric(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=50", "optim.lr=1e-9", "+callbacks.stop._target_=lightning.pytorch.callbacks.EarlyStopping",
                      "+callbacks.stop.monitor=val/loss", "+callbacks.stop.patience=2", "+callbacks.stop.min_delta=1")  # fmt: skip
    assert record.read_summary(directory)["status"] == "completed"
    assert len(metrics(directory)) == 3


@pytest.mark.slow
def test_the_command_makes_a_run_with_own_parts_again(train: Train, own: str) -> None:
    directory = train(own, "model=bilinear", "activation=square")
    assert record.read_summary(directory)["command"].startswith(f"python train.py {own} model=bilinear")
