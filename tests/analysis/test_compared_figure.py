"""By which figure runs are compared, which end of it is better, and in which unit a margin is given."""

import math
from pathlib import Path

import pandas
import pytest
from made_studies import grid, only, study
from records import write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.chosen_metric import default_metric
from multirun_analysis.compare.metric import Metric, parse_margin
from paribus import record
from paribus.errors import UserError

SEEDS = (1, 2, 3)


def test_records_without_folds_are_compared_by_their_settled_figure(tmp_path: Path) -> None:
    relu, tanh = [11.0, 12.0, 13.1], [16.0, 17.1, 18.2]
    found = study(tmp_path, grid({"relu": relu, "tanh": tanh}))
    assert found.factors == ["activation"] and found.metric.name == "settled_val_loss"
    (pair,) = only(found.results).pairs
    assert pair.estimate.interval == pytest.approx(tuple(stats.ttest_rel(relu, tanh).confidence_interval(0.95)))


def test_tuning_for_a_test_figure_is_done_on_validation(tmp_path: Path) -> None:
    runs = [
        {"optim": o, "optim__lr": lr, "seed": s, "losses": (9.0, lr), "more": {"test": {"mse": 1 / lr}}}
        for o in ("adam", "sgd") for lr in (0.5, 2.0) for s in (1, 2)
    ]  # fmt: skip
    tuned = only(study(tmp_path, runs, metric="test_mse").of("optim"))
    assert [level.mean for level in tuned.levels] == [2.0, 2.0]


def test_six_that_were_evaluated_beside_six_that_were_not_say_nothing(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0] * 6, "tanh": [1.1] * 6})
    for run in runs[:6]:
        run["more"] = {"test": {"mse": 2.0 + run["seed"], "epoch": 1}}
    result = only(study(tmp_path, runs, metric="test_mse").results)
    assert result.winner is None and not result.concluded


def test_a_metric_without_a_better_end_says_higher_not_better(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0] * 4, "tanh": [1.0] * 4})
    for run in runs:
        gradient = 0.001 * (1 + (run["activation"] == "tanh")) + 1e-5 * run["seed"] ** 2
        run["statistics"] = {"early_layer_gradient": gradient + 1e-6 * run["seed"] * (run["activation"] == "tanh")}
    found = study(tmp_path, runs, metric="early_layer_gradient")
    assert found.metric.sign == 0 and only(found.results).concluded


def test_where_the_loss_is_varied_the_squared_error_is_compared(tmp_path: Path) -> None:
    runs = [{"model__loss": loss, "seed": s, "losses": (9.0, s)} for loss in ("mse", "mae") for s in (1, 2)]
    assert study(tmp_path, runs).metric.name == "settled_val_mse"


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("best_val_acc", 1), ("selected_val_acc", 1), ("test_r2", 1), ("stability_score", 1), ("best_val_loss", -1),
        ("settled_val_loss", -1), ("final_val_mae", -1), ("train_seconds", -1), ("epochs_to_90pct", -1),
        ("baseline_val_loss", 0), ("test_baseline_mse", 0), ("epochs", 0), ("parameters", 0), ("final_accumulated", 0),
    ],
)  # fmt: skip
def test_which_end_of_a_metric_is_better(name: str, sign: int) -> None:
    assert Metric(name).sign == sign


def test_the_default_is_selected_only_where_all_completed_runs_have_folds(tmp_path: Path) -> None:
    found = study(tmp_path, grid({"relu": [1.0, 1.1]})).study
    runs = found.runs.assign(selected_val_loss=[1.0, 1.1], folds=[None, "none recorded"])
    mixed = type(found)(runs, found.curves, found.described, found.summaries)
    assert default_metric(mixed, "regression", []).name == "settled_val_loss"
    whole = type(found)(runs.assign(folds=None), found.curves, found.described, found.summaries)
    assert default_metric(whole, "regression", []).name == "selected_val_loss"


@pytest.mark.parametrize(
    ("text", "metric", "value"),
    [("0.2pt", "best_val_acc", 0.002), ("1.5", "best_val_loss", 1.5), ("1e-3", "test_mse", 0.001), (" 2 points ", "x_acc", 0.02)],
)  # fmt: skip
def test_margins_are_read_in_the_unit_of_the_metric(text: str, metric: str, value: float) -> None:
    assert parse_margin(text, Metric(metric)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "metric"),
    [("0.2pt", "best_val_loss"), ("0.2", "best_val_acc"), ("-1", "best_val_loss"), ("nan", "best_val_loss"),
     ("0", "best_val_loss"), ("much", "best_val_acc"), ("1.2.3", "best_val_loss"), ("", "best_val_acc")],
)  # fmt: skip
def test_a_margin_in_another_unit_is_refused_with_the_right_one(text: str, metric: str) -> None:
    with pytest.raises(UserError, match="percentage points" if metric.endswith("acc") else "unit of"):
        parse_margin(text, Metric(metric))


def test_best_figures_are_of_epochs_whose_loss_is_a_number(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", (3.0, 2.0, 1.0))
    metrics = pandas.read_csv(run / record.METRICS)
    metrics.loc[2, "val/loss"] = math.nan
    metrics.to_csv(run / record.METRICS, index=False)
    assert load_runs(run).runs["best_val_mse"].item() == 2.0
