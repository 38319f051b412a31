"""Times to a target by optimizer steps, their comparison, and what is drawn by step."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
from made_runs import drawn
from records import write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.results import Verdict
from multirun_analysis.compare.targets import find_crossing, is_by_step, reached, target_of
from multirun_analysis.compare.times import compare_times
from multirun_analysis.figures.by_step import average_bins, loss_by_step
from multirun_analysis.report import documents
from multirun_analysis.report.page_data import data_of
from multirun_analysis.report.verdict import verdict
from multirun_analysis.report.verdict_json import as_json, as_object
from paribus import record

STEPS = np.array([1.0, 2, 5, 10])
LOSSES = (9.0, 5.0, 4.0)  # at the ends of epochs of 10 steps


def write_steps(directory: Path, within: Sequence[float]) -> None:
    """The steps of three epochs, with validation losses after steps 1, 2 and 5."""
    step = np.arange(1, 31)
    loss = np.full(30, np.nan)
    loss[[0, 1, 4]] = within
    rows = {"step": step, "epoch": (step - 1) // 10 + 1, "train/loss": 100.0 / step, "lr": 0.1, "momentum": math.nan,
            "grad_norm": 2.0 * step, "val/loss": loss}  # fmt: skip
    pandas.DataFrame(rows).to_parquet(directory / record.STEPS)


def make_study(folder: Path, losses: Sequence[tuple[Sequence[float], Sequence[float]]], seeds: int = 1) -> Comparison:
    """Runs of the activations relu, tanh in turn, with losses within the first epoch and at the ends of all."""
    for i, (within, ends) in enumerate(losses):
        directory = folder / "study" / str(i)
        activation = "relu" if i < seeds else "tanh"
        write_run(directory, ends, seed=i % seeds + 1, activation=activation, trainer__max_epochs=3)
        write_steps(directory, within)
    return compare(load_runs(folder / "study"))


def test_where_a_curve_reaches_a_target() -> None:
    """Against averages of neighbours and logarithms worked out by hand."""
    noisy = np.array([0.2, 0.6, 0.4, 0.8])  # the least-squares rising curve: 0.2, 0.5, 0.5, 0.8
    assert find_crossing(STEPS, noisy, 0.5, interpolate=True) == pytest.approx(2)
    assert find_crossing(STEPS, noisy, 0.6, interpolate=True) == pytest.approx(5 * 2 ** (1 / 3))
    assert find_crossing(STEPS, noisy, 0.6, interpolate=False) == 10
    assert find_crossing(STEPS, noisy, 0.1, interpolate=True) == 1, "there at the first validation"
    assert find_crossing(STEPS, noisy, 0.81, interpolate=True) == math.inf
    assert find_crossing(STEPS[:0], noisy[:0], 0.1, interpolate=True) == math.inf
    falling = np.array([0.1, 0.5, 0.9, 0.8, 0.7, 0.1, 0.1, 0.1])  # until the third it rises
    assert find_crossing(np.arange(1.0, 9), falling, 0.5, interpolate=True) == pytest.approx(2)


def test_times_by_step(tmp_path: Path) -> None:
    found = make_study(tmp_path, [((30, 20, 10), LOSSES), ((30, 25, 24), (9.0, 5.0, 4.5))])
    target = target_of(found, 9.5)
    assert target is not None
    assert is_by_step(found, "val/loss")
    times = reached(found, target)
    step = 5 * 2**0.5  # halfway between steps 5 and 10 on a log axis: from 10 to 9
    assert times.loc["0"].tolist() == pytest.approx([step / 10, step, 0.5 * step / 10])
    step = 5 * 2 ** (14.5 / 15)
    assert times.loc["1"].tolist() == pytest.approx([step / 10, step, 0.5 * step / 10])
    target = target_of(found, 4.2)  # between the ends of the second and the third epoch
    assert target is not None
    times = reached(found, target)
    assert times["steps"].tolist() == pytest.approx([20 * 1.5**0.8, math.inf])


@pytest.mark.parametrize("damage", ["missing", "damaged", "without columns", "a folder"])
def test_whole_epochs_count_where_a_run_has_no_steps(tmp_path: Path, damage: str) -> None:
    make_study(tmp_path, [((30, 20, 10), LOSSES), ((30, 25, 24), LOSSES)])
    path = tmp_path / "study" / "1" / record.STEPS
    path.unlink()
    if damage == "damaged":
        path.write_bytes(b"PAR1 and nothing")
    elif damage == "without columns":
        pandas.DataFrame({"step": [1]}).to_parquet(path)
    elif damage == "a folder":
        path.mkdir()
    found = compare(load_runs(tmp_path / "study"))
    target = target_of(found, 9.5)
    assert target is not None
    assert reached(found, target)["epochs"].tolist() == [1, 1]
    assert compare_times(found, target) is None
    assert set(found.study.unread_steps) == (set() if damage == "missing" else {"1"})
    assert len(found.study.steps) == 30


def test_levels_are_compared_by_restricted_times(tmp_path: Path) -> None:
    """A run that never arrives counts as all of its epochs. Against scipy's paired t-test."""
    fast = [((30, 20, 10), (9 - 0.1 * k, 5.0, 4.0)) for k in range(4)]
    slow = [((30, 29, 28), (27.0, 9.0 - k, 4.0)) for k in range(3)] + [((30, 29, 28), (27.0, 26.0, 25.0))]
    comparison = make_study(tmp_path, [*fast, *slow], seeds=4)
    target = target_of(comparison, 9.4)
    assert target is not None
    found = compare_times(comparison, target)
    assert found is not None
    assert found.limit == 3
    epochs = reached(comparison, target)["epochs"].to_numpy()
    assert np.isfinite(epochs).tolist() == [True] * 7 + [False]
    restricted = np.minimum(epochs, 3)
    [result] = found.results
    assert result.log == (restricted[4:].mean() > 3 * restricted[:4].mean())
    values = np.log(restricted) if result.log else restricted
    expected = stats.ttest_rel(values[:4], values[4:])
    pair = result.pair("relu", "tanh")
    assert pair is not None
    assert pair.p == pytest.approx(expected.pvalue)
    assert pair.estimate.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert pair.verdict == Verdict.BETTER
    assert [found.count_missed(result, level) for level in ("relu", "tanh")] == [(0, 4), (1, 4)]
    first, second = found.describe()
    assert first.startswith("activation: relu is there ") and first.endswith("sooner than tanh.")
    assert "1 of 4 runs with tanh did not reach it within 3 epochs" in second
    titles = [title for title, _ in documents.details(comparison, [], target, found)]
    assert sum(title.startswith("Time to val/loss at most 9.4") for title in titles) == 3
    told = json.loads(as_json(as_object(comparison, verdict(comparison), None, target, found)))["times"]
    assert told["target"] == {"column": "val/loss", "value": 9.4, "why": "as asked for", "direction": "lower"}
    assert told["limit_epochs"] == 3 and told["factors"][0]["pairs"][0]["p"] == pytest.approx(expected.pvalue)
    assert told["factors"][0]["never_reached"] == {"relu": [0, 4], "tanh": [1, 4]}
    assert [(row["levels"]["activation"], row["reached"], row["runs"]) for row in told["settings"]] == [
        ("relu", 4, 4), ("tanh", 3, 4)]  # fmt: skip
    assert told["settings"][1]["median_epochs"] == pytest.approx(np.median(epochs[4:]))


def test_what_is_drawn_by_step(tmp_path: Path) -> None:
    comparison = make_study(tmp_path, [((30, 20, 10), LOSSES), ((30, 25, 24), LOSSES)])
    steps = comparison.study.steps
    table = average_bins(steps, "train/loss")
    assert table.shape[0] == 2
    assert table.iloc[0, 0] == 100.0 and table.iloc[0].notna().all()
    late = [step for step in range(1, 31) if 10 ** (16 / 12) <= step < 10 ** (17 / 12)]  # one of 12 bins a decade
    assert table.iloc[1, -2] == pytest.approx(np.mean([100 / step for step in late]))
    figure = drawn(loss_by_step(comparison))
    assert [axes.get_title() for axes in figure.axes] == ["train/loss", "grad_norm", "val/loss"]
    assert all(axes.get_xscale() == "log" for axes in figure.axes)
    curves = data_of(comparison)["curves"]
    assert curves["metrics"][-2:] == ["train/loss by step", "grad_norm by step"]
    for name in curves["metrics"][-2:]:
        assert len(curves["steps"][name]) == len(curves["values"][name][0]) == table.shape[1]
