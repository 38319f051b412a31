"""A run that is repeated is compared with its original."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import main, read_folds, read_layers
from resumed_runs import SHORT, Train

from paribus import record

pytestmark = pytest.mark.slow


def test_a_run_made_again_is_identical(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    assert main("train.py", f"rerun='{directory}'") == 0  # in quotes, as Hydra needs them for other values
    assert (
        "Identical to the last digit: 6 epochs of metrics.csv but for times, layers.parquet, folds.parquet, steps.parquet."
        in capsys.readouterr().out
    )
    again = record.find_runs([Path("outputs")])
    assert len(again) == 1
    assert record.read_summary(again[0])["identity"] == record.read_summary(directory)["identity"]


def test_the_first_epoch_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    text = (directory / record.METRICS).read_text().splitlines()
    cells = text[4].split(",")
    cells[3] = "1.5"
    text[4] = ",".join(cells)
    (directory / record.METRICS).write_text("\n".join(text) + "\n")
    assert main("train.py", f"rerun={directory}") == 1
    assert "The runs differ from epoch 4 on: train/loss was 1.5, is now " in capsys.readouterr().err


def test_of_a_run_from_a_stack_rounding_is_expected_to_differ(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    text = (directory / record.METRICS).read_text()
    first = text.splitlines()[1].split(",")[3]
    (directory / record.METRICS).write_text(text.replace(first, repr(float(first) * (1 + 1e-9)), 1))
    summary = record.read_summary(directory)
    (directory / record.SUMMARY).write_text(json.dumps(summary | {"stacked": 4}))
    assert main("train.py", f"rerun={directory}") == 1
    said = capsys.readouterr().err
    assert "runs trained as one was 4, is now 1" in said
    assert "A stack sums in another order" in said


def test_a_layer_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    frame = read_layers(directory)
    frame.loc[
        (frame.epoch == 3) & (frame.quantity == "weight_norm") & (frame.depth == 1) & (frame.tensor == "bias"), "value"
    ] += 1
    frame.to_parquet(directory / record.LAYERS)
    assert main("train.py", f"rerun={directory}") == 1
    assert (
        "metrics.csv is identical, but layers.parquet is not: in epoch 3 weight_norm of linear2.bias was"
        in capsys.readouterr().err
    )


def test_a_fold_that_differs_is_named(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    frame = read_folds(directory)
    frame.loc[(frame.epoch == 3) & (frame.fold == 2), "val/mae"] += 1
    frame.loc[(frame.epoch == 4) & (frame.fold == 1), "val/loss"] += 1
    frame.to_parquet(directory / record.FOLDS)
    assert main("train.py", f"rerun={directory}") == 1
    assert (
        "metrics.csv is identical, but folds.parquet is not: in epoch 3 val/mae of fold 2 was"
        in capsys.readouterr().err
    )


def test_a_configuration_that_can_no_longer_be_had_is_said(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    summary = record.read_summary(directory)
    summary["config"]["optim"]["eps"] = 1.0  # as if the file had had another default then
    summary["identity"] = record.identify(summary["config"])
    (directory / record.SUMMARY).write_text(json.dumps(summary))
    assert main("train.py", f"rerun={directory}") == 1
    assert "no longer gives its configuration: optim.eps was 1.0, is now 1e-08" in capsys.readouterr().err


def test_a_dry_run_leaves_nothing(train: Train, tmp_path: Path, capsys: Any) -> None:
    assert main("train.py", *SHORT, "dry_run=true") == 0
    assert "Nothing was run (dry_run=true)" in capsys.readouterr().out
    assert not list(tmp_path.rglob("train.log"))
    assert main("train.py", *SHORT, "dry_run=true", "optim.lr=fast") == 1
