"""Runs that diverge, fail or are interrupted keep what they have."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import read_folds
from short_runs import SHORT, Train, metrics

from paribus import record


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run_in_order(train: Train, capsys: pytest.CaptureFixture) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=10")
    summary = record.read_summary(directory)
    rows = metrics(directory)
    assert summary["status"] == "diverged"
    assert summary["diverged"]["epoch"] == len(rows) < 4
    assert summary["diverged"]["step"] <= (rows[-1]["step"] or 0)
    assert not math.isfinite(rows[-1]["train/loss"] or 0)
    last = read_folds(directory).query(f"epoch == {len(rows)}")
    assert len(last) == 5 and not np.isfinite(last["val/loss"]).any()
    assert "Diverged" in capsys.readouterr().out
    assert json.loads((directory / record.SUMMARY).read_text())["statistics"]["final_train_loss"] is None


@pytest.mark.slow
def test_the_step_of_divergence_is_the_first_bad_one(train: Train) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=10", "data.batch_size=722")  # a step an epoch
    rows = metrics(directory)
    bad = [row for row in rows if not math.isfinite(row["train/loss"] or 0) or not math.isfinite(row["val/loss"] or 0)]
    at = record.read_summary(directory)["diverged"]
    assert (at["epoch"], at["step"]) == (bad[0]["epoch"], bad[0]["step"])


def test_an_interrupted_run_keeps_what_it_has(train: Train, own: str) -> None:
    directory = train(own, "callbacks=stop", *SHORT, code=130)
    summary = record.read_summary(directory)
    assert summary["status"] == "interrupted"
    assert (
        torch.load(directory / record.BEST, weights_only=True)["paribus"]["epoch"]
        == summary["statistics"]["best_epoch"]
    )
    assert len(metrics(directory)) == 2 == summary["statistics"]["epochs"]


def test_an_error_in_the_code_is_recorded_with_its_traceback(train: Train, own: str, capsys: Any) -> None:
    directory = train(own, "callbacks=boom", *SHORT, code=1)
    summary = record.read_summary(directory)
    assert (summary["status"], summary["message"]) == ("failed", "RuntimeError: boom")
    log = (directory / record.LOG).read_text()
    assert "Traceback" in log
    assert 'raise RuntimeError("boom")' in log


@pytest.mark.slow
def test_a_network_of_nan_has_no_best_accuracy(train: Train, fashion_root: Path) -> None:
    directory = train(f"data.root={fashion_root}", "data.val_size=100", "optim=sgd", "optim.lr=1e30")
    summary = record.read_summary(directory)
    assert summary["status"] == "diverged"
    assert summary["statistics"]["best_val_acc"] is None
    assert summary["statistics"]["epochs_to_90pct"] is None
    assert not (directory / record.BEST).exists()


@pytest.mark.slow
def test_a_final_fit_that_ends_in_nan_has_diverged(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=1", "data.train_on_validation=true", "optim=sgd", "optim.lr=1e38",
                      "data.batch_size=1000")  # fmt: skip
    assert record.read_summary(directory)["diverged"] == {"epoch": 1, "step": 1, "what": "weights"}


@pytest.mark.slow
def test_the_step_of_divergence_counts_optimizer_steps(train: Train) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=1e30", "+trainer.accumulate_grad_batches=4")
    summary, rows = record.read_summary(directory), metrics(directory)
    assert rows[0]["step"] == 3
    assert (summary["diverged"]["epoch"], summary["diverged"]["step"]) == (1, 2)  # the first step broke the weights
