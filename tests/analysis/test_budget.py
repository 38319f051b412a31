"""The best of so many settings, against all subsets of them and closed forms."""

import math
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from made_runs import drawn
from records import write_run
from scipy import stats

from multirun_analysis import load_runs
from multirun_analysis.compare.budget import best_of, best_of_elsewhere
from multirun_analysis.compare.comparison import Comparison, compare
from multirun_analysis.compare.equal_cost import EqualCost
from multirun_analysis.figures.budget import budget
from multirun_analysis.report.budget_tables import budgets_as_objects, equal_costs
from multirun_analysis.report.documents import details
from paribus import record


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n", [1, 5, 8, 11])
def test_the_best_of_k_settings_is_the_mean_over_all_subsets(n: int, sign: int) -> None:
    values = np.random.default_rng(n).normal(size=n).tolist()
    found = best_of(values, sign)
    best = max if sign > 0 else min
    for k, value in found.items():
        assert value == pytest.approx(np.mean([best(some) for some in combinations(values, k)]))
    assert list(found) == [k for k in (1, 2, 4, 8) if k < n] + [n] and found[n] == best(values)


def test_the_best_of_k_is_infinite_as_long_as_all_k_may_have_diverged() -> None:
    found = best_of([1.0, math.inf, 3.0, math.inf, 5.0], -1)
    assert found[1] == found[2] == math.inf
    assert found[4] == pytest.approx(np.mean([min(s) for s in combinations([1.0, math.inf, 3.0, math.inf, 5.0], 4)]))
    assert best_of([math.inf] * 3, -1) == {1: math.inf, 2: math.inf, 3: math.inf} and best_of([], 1) == {}


def test_the_best_of_a_thousand_settings_is_counted_without_overflow() -> None:
    """Of the numbers 1 to n the largest of k drawn is k (n + 1) / (k + 1) on average."""
    for k, value in best_of([float(i) for i in range(1, 1001)], 1).items():
        assert value == pytest.approx(k * 1001 / (k + 1))


def test_the_best_of_k_is_scored_on_seeds_that_did_not_choose_it() -> None:
    """By enumeration: for each seed, over all subsets of k trials, the one that is best on the other seeds."""
    table = np.random.default_rng(0).normal(size=(5, 3))
    found = best_of_elsewhere(table, -1)
    for k in (1, 2, 4, 5):
        for seed in range(3):
            others = np.delete(table, seed, axis=1).mean(axis=1)
            best = [min(some, key=lambda i: others[i]) for some in combinations(range(5), k)]
            assert found[k][seed] == pytest.approx(table[best, seed].mean())


# Losses of adam and lbfgs by learning rate, on seeds 1, 2 and 3: what is best on two seeds is best on the third.
LOSS = {"adam": [8.0, 4.0, 2.0, 1.0], "lbfgs": [3.0, 1.5, 6.0, 5.0]}
SECONDS = {"adam": 1.0, "lbfgs": 2.5}


def write_search(root: Path, steps: Mapping[str, int] | None = None, **more: Mapping[str, Any]) -> Comparison:
    """Four trials of two optimizers with three seeds; a run of lbfgs takes 2.5 s, one of adam 1 s."""
    for optim, losses in LOSS.items():
        for place, loss in enumerate(losses):
            for seed in (1, 2, 3):
                run = write_run(root / f"{optim}{place}{seed}", (9.0, loss + 0.1 * seed), seed, optim=optim,
                                optim__lr=10.0 ** -place, statistics={"train_seconds": SECONDS[optim]},
                                more={"device": "cpu", "threads": 1, **more.get(optim, {})})  # fmt: skip
                if steps:
                    metrics = pandas.read_csv(run / record.METRICS)
                    metrics["step"] = metrics["epoch"] * steps[optim]
                    metrics.to_csv(run / record.METRICS, index=False)
    return compare(load_runs(root), metric="best_val_loss")


def test_levels_at_equal_seconds_by_hand(tmp_path: Path) -> None:
    """A trial of adam costs 3 s, of lbfgs 7.5 s; all four of adam 12 s. So budgets are 7.5 s and 12 s."""
    (budgets,) = write_search(tmp_path).budgets
    equal = budgets.equal["seconds"]
    assert isinstance(equal, EqualCost) and "steps" not in budgets.equal
    assert equal.costs == {"adam": 3.0, "lbfgs": 7.5} and equal.budgets == [7.5, 12.0] and equal.note == ""
    adam, lbfgs = equal.curves
    pairs, seeds = [min(pair) for pair in combinations(LOSS["adam"], 2)], np.array([0.1, 0.2, 0.3])
    half = stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3)  # seeds differ by 0.1
    for curve, spent, k, mean in ((adam, 7.5, 2, np.mean(pairs)), (adam, 12.0, 4, 1.0),
                                  (lbfgs, 7.5, 1, np.mean(LOSS["lbfgs"])), (lbfgs, 12.0, 1, np.mean(LOSS["lbfgs"]))):  # fmt: skip
        expected = mean + seeds.mean()
        assert equal.at(curve, spent) == pytest.approx((k, expected, expected - half, expected + half))


def test_levels_at_equal_steps(tmp_path: Path) -> None:
    """Half the batch is twice the steps: of 2 epochs, 3 seeds and 10 or 20 steps an epoch."""
    (budgets,) = write_search(tmp_path, steps={"adam": 10, "lbfgs": 20}).budgets
    equal = budgets.equal["steps"]
    assert isinstance(equal, EqualCost)
    assert equal.costs == {"adam": 60.0, "lbfgs": 120.0} and equal.budgets == [120.0, 240.0]
    assert [curve.trials for curve in equal.curves] == [[2, 4], [1, 2]]


def test_seconds_are_not_compared_where_levels_were_not_trained_alike(tmp_path: Path) -> None:
    (budgets,) = write_search(tmp_path / "a", adam={"stacked": 12}).budgets
    assert budgets.equal["seconds"] == (
        "not comparable, since the levels were not trained alike (adam: cpu, 1 thread, in a stack of 12; lbfgs: cpu, 1 "
        "thread)"
    )
    (budgets,) = write_search(tmp_path / "b", adam={"stacked": 12}, lbfgs={"stacked": 12}).budgets
    equal = budgets.equal["seconds"]
    assert isinstance(equal, EqualCost) and "each run's share of its stack" in equal.note


def test_runs_that_trained_at_once_are_counted(tmp_path: Path) -> None:
    """Three runs of lbfgs begin at once, and those of adam, of one second, after them."""
    times = {"adam": {"started": "2026-01-01T00:00:05+00:00"}, "lbfgs": {"started": "2026-01-01T00:00:00+00:00"}}
    (budgets,) = write_search(tmp_path, **times).budgets
    equal = budgets.equal["seconds"]
    assert isinstance(equal, EqualCost) and equal.note.startswith("Up to 12 of the runs were in training at the same")


def test_trials_that_halving_left_behind_have_no_budget_curve(tmp_path: Path) -> None:
    comparison = write_search(tmp_path, adam={"paused": True, "status": "interrupted"})
    (budgets,) = comparison.budgets
    assert budgets.curves == [] and budgets.fault is not None and "halving" in budgets.fault
    titles = [title for title, part in details(comparison, [], None) if "trials" in title]
    assert titles == ["optim: what the best of so many trials is worth, on a seed that did not choose it"]
    assert budget(comparison) is None


def test_what_is_written_of_equal_costs(tmp_path: Path) -> None:
    comparison = write_search(tmp_path)
    (budgets,) = comparison.budgets
    ((title, table),) = equal_costs(budgets, comparison.metric)
    assert title == "optim: the best of n trials for as many seconds of training, on a seed that did not choose it"
    assert isinstance(table, pandas.DataFrame) and list(table) == ["optim", "a trial", "7.5 s", "12 s"]
    assert list(table["a trial"]) == ["3 s", "7.5 s"] and table["12 s"][0].endswith("n = 4")
    (found,) = budgets_as_objects(comparison)
    (equal,) = found["at_equal_cost"]
    assert (equal["unit"], equal["budgets"]) == ("seconds", [7.5, 12.0])
    assert [level["trials"] for level in equal["levels"]] == [[2, 4], [1, 1]]
    panels = drawn(budget(comparison)).axes
    assert [axes.get_xlabel() for axes in panels] == [
        "trials that each may have",
        "seconds of training that each may have",
    ]
    spent = [line.get_xdata().tolist() for line in panels[1].get_lines()]
    assert spent == [[3.0, 6.0, 12.0], [7.5, 15.0, 30.0]]
