"""Runs compared by any column of their metrics.csv: its figures, its better end, and what a run names as its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from conftest import ROOT
from made_studies import only
from records import edit_summary, write_folds, write_run

from multirun_analysis import load_runs
from multirun_analysis.__main__ import arguments
from multirun_analysis.__main__ import main as analyse
from multirun_analysis.compare.checks import cautions
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.targets import reached, target_of
from multirun_analysis.records.direction import direction_of
from paribus import record
from paribus.errors import UserError

EPOCHS = 20
SCORES = {"relu": 0.6, "tanh": 0.7, "gelu": 0.5}


def add_column(run: Path, column: str, values: Sequence[float], folds: bool = False) -> None:
    """Add a metric to the record of a run; by fold, each fold having the same."""
    pandas.read_csv(run / record.METRICS).assign(**{column: values}).to_csv(run / record.METRICS, index=False)
    if folds:
        table = pandas.read_parquet(run / record.FOLDS)
        table.assign(**{column: np.repeat(values, 5)}).to_parquet(run / record.FOLDS, index=False)


def curve(level: str, seed: int) -> list[float]:
    """Scores that rise to their best in epoch 10, and fall by 0.02 from there; more for some seeds than for others."""
    top = SCORES[level] + 0.001 * seed + 0.0002 * seed * (level == "relu")
    return [top - 0.02 * abs(epoch - 10) / 10 for epoch in range(1, EPOCHS + 1)]


def made(
    root: Path, column: str = "val/f1", folds: bool = False, named: Mapping[str, Any] | None = None, task: str = "classification"
) -> Path:  # fmt: skip
    for level in SCORES:
        for seed in (1, 2, 3, 4):
            run = write_run(root / "study" / f"{level}{seed}", [0.5 - 0.01 * e for e in range(EPOCHS)], seed=seed,
                            task=task, activation=level)  # fmt: skip
            if folds:
                write_folds(run, [[0.5 - 0.01 * e] * 5 for e in range(EPOCHS)])
            add_column(run, column, curve(level, seed), folds)
            if named is not None:
                edit_summary(run, metric=named)
    return root / "study"


def told(root: Path, **options: Any) -> Comparison:
    return compare(load_runs(root), **options)


@pytest.mark.parametrize("column", ["val/f1", "val/auroc", "val/top_5", "val/r2", "train/f1", "val/dice_score"])
def test_scores_are_compared_and_more_is_better(tmp_path: Path, column: str) -> None:
    found = told(made(tmp_path, column), metric=column)
    assert found.metric.name == f"settled_{column.replace('/', '_')}" and found.metric.sign == 1
    assert only(found.results).winner == "tanh"
    for run, value in found.values.items():
        level, seed = str(run)[:-1], int(str(run)[-1])
        assert value == pytest.approx(np.mean(curve(level, seed)[-2:]))  # the last tenth of 20 epochs


@pytest.mark.parametrize("column", ["val/rmse", "val/perplexity", "val/calibration_error", "val/own_loss", "g_loss"])
def test_losses_are_compared_and_less_is_better(tmp_path: Path, column: str) -> None:
    found = told(made(tmp_path, column, task="regression"), metric=column)
    assert found.metric.sign == -1 and only(found.results).winner == "gelu"


@pytest.mark.parametrize(("direction", "winner"), [("higher", "tanh"), ("lower", "gelu")])
def test_a_direction_may_be_given_and_goes_before_the_name(tmp_path: Path, direction: str, winner: str) -> None:
    root = made(tmp_path)
    assert only(told(root, metric="val/f1", direction=direction).results).winner == winner
    root = made(tmp_path / "own", "val/energy")
    assert only(told(root, metric="val/energy", direction=direction).results).winner == winner
    for folder, figure in (("own", "best_val_energy"), ("", "best_val_f1")):
        best = told(tmp_path / folder / "study", metric=figure, direction=direction)
        assert best.values["relu1"] == pytest.approx((max if direction == "higher" else min)(curve("relu", 1)))


def test_an_unknown_direction_is_asked_for(tmp_path: Path) -> None:
    root = made(tmp_path, "val/energy")
    for name in ("val/energy", "settled_val_energy"):
        with pytest.raises(UserError, match=r"--metric .*energy.*--direction higher or --direction lower"):
            told(root, metric=name)
    with pytest.raises(UserError, match="Did you mean 'val/energy'"):
        told(root, metric="val/enrgy")
    for typed, meant in (("accuracy", "val/acc"), ("validation accuracy", "val/acc"), ("training-loss", "train/loss")):
        with pytest.raises(UserError, match=f"Did you mean '{meant}'"):
            told(root, metric=typed)
    assert "best_val_energy" not in load_runs(root).runs  # which end is the best nobody knows


def test_a_direction_alone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["multirun_analysis", str(made(tmp_path)), "--direction", "higher"])
    with pytest.raises(UserError, match="--metric NAME"):
        analyse()
    assert arguments(["x", "--metric", "val/f1", "--direction", "lower"]).direction == "lower"


def test_with_folds_it_is_the_epoch_that_validation_selects(tmp_path: Path) -> None:
    found = told(made(tmp_path, folds=True), metric="val/f1")
    assert found.metric.name == "selected_val_f1"
    for run, value in found.values.items():  # val/acc rises to the end: the last epoch is selected
        assert value == pytest.approx(curve(str(run)[:-1], int(str(run)[-1]))[-1])


def test_of_two_tasks_each_is_compared_by_its_folds(tmp_path: Path) -> None:
    for task in ("classification", "regression"):
        for seed in (1, 2):
            run = write_run(tmp_path / task / str(seed), [0.5, 0.4], seed=seed, task=task)
            write_folds(run, [[0.5] * 5, [0.4] * 5])
    study = load_runs(tmp_path)
    names = [compare(study, task).metric.name for task in ("classification", "regression")]
    assert names == ["selected_val_acc", "selected_val_loss"]


@pytest.mark.parametrize("folds", [True, False])
def test_the_metric_that_runs_name_is_the_default_and_selects(tmp_path: Path, folds: bool) -> None:
    root = made(tmp_path, "val/energy", folds, {"name": "val/energy", "direction": "higher"})
    found = told(root)
    assert found.metric.name == ("selected" if folds else "settled") + "_val_energy" and found.metric.sign == 1
    assert only(found.results).winner == "tanh"
    for run, value in found.values.items():
        mine = curve(str(run)[:-1], int(str(run)[-1]))
        assert value == pytest.approx(mine[9] if folds else np.mean(mine[-2:]))  # which is best in epoch 10
    lower = told(made(tmp_path / "lower", "val/energy", folds, {"name": "val/energy", "direction": "lower"}))
    assert only(lower.results).winner == "gelu"


def test_a_named_metric_that_is_not_validated_is_compared_and_chooses(tmp_path: Path) -> None:
    root = made(tmp_path, "g_loss", named={"name": "g_loss", "direction": "lower"})
    found = told(root)
    assert found.metric.name == "settled_g_loss" == found.selection.name
    assert only(found.results).winner == "gelu"
    target = target_of(found)
    assert target is not None and target.column == "g_loss"
    assert np.isfinite(reached(found, target)["epochs"]).any()


def test_folds_without_the_column_fall_back_to_settled_and_that_is_said(tmp_path: Path) -> None:
    root = made(tmp_path, folds=True)
    for run in root.iterdir():
        table = pandas.read_parquet(run / record.FOLDS)
        table.drop(columns="val/f1").to_parquet(run / record.FOLDS, index=False)
    found = told(root, metric="val/f1")
    assert found.metric.name == "settled_val_f1"
    assert any("folds.parquet of 12 of 12 runs does not hold val/f1" in text for text in cautions(found))
    assert told(root).metric.name == "selected_val_acc"  # of which the folds are there


def test_folds_without_the_named_metric_select_nothing(tmp_path: Path) -> None:
    root = made(tmp_path, folds=True, named={"name": "val/f1", "direction": "higher"})
    run = next(iter(sorted(root.iterdir())))
    table = pandas.read_parquet(run / record.FOLDS)
    table.drop(columns="val/f1").to_parquet(run / record.FOLDS, index=False)
    found = told(root)
    assert found.metric.name == "settled_val_f1"
    assert any("of 1 of 12 runs does not hold val/f1" in text for text in cautions(found))


def test_runs_that_name_different_metrics_ask_for_one(tmp_path: Path) -> None:
    root = made(tmp_path, named={"name": "val/f1", "direction": "higher"})
    edit_summary(root / "relu1", metric={"name": "val/loss", "direction": "lower"})
    with pytest.raises(UserError, match=r"val/f1 \(higher is better\), val/loss \(lower is better\).*--metric NAME"):
        told(root)
    assert only(told(root, metric="val/f1").results).winner == "tanh"


@pytest.mark.parametrize("odd", [{"name": 3, "direction": "higher"}, {"name": "val/f1", "direction": "up"}, "val/f1"])
def test_what_is_no_metric_in_a_summary_is_none(tmp_path: Path, odd: Any) -> None:
    assert told(made(tmp_path, named=odd)).metric.name == "settled_val_acc"


def test_the_commands_of_the_documentation_are_those_that_the_program_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8").splitlines()
    commands = [
        line.partition("#")[0].split()[3:] for line in lines if line.startswith("    python -m multirun_analysis")
    ]
    root = made(tmp_path)
    for run in root.iterdir():
        add_column(run, "val/energy", range(EPOCHS))
    found = []
    for arguments_of in commands:
        monkeypatch.setattr("sys.argv", ["multirun_analysis", str(root), *arguments_of[1:], "--json"])
        analyse()
        verdict = json.loads(capsys.readouterr().out)
        found.append((verdict["metric"], verdict["direction"]))
    assert found == [("settled_val_f1", "higher"), ("best_val_acc", "higher"), ("settled_val_energy", "lower")]


def test_an_own_name_of_the_loss_is_found(tmp_path: Path) -> None:
    root = made(tmp_path)
    assert told(root, metric="val_f1").metric.name == "settled_val_f1"  # as one logs it
    assert told(root, metric="valid/f1").metric.name == "settled_val_f1"


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("val/top_5", "higher"), ("val/top5", "higher"), ("val/top_k", "higher"), ("top-1", "higher"),
        ("val/stop_time", None), ("epochs_to_90pct", "lower"), ("baseline_val_loss", None), ("stability_score", "higher"),
        ("val/F1", "higher"), ("val/calibration_error", "lower"), ("val/word_perplexity", "lower"), ("lr", None),
    ],
)  # fmt: skip
def test_names_say_which_end_is_better(name: str, direction: str | None) -> None:
    assert direction_of(name) == direction
