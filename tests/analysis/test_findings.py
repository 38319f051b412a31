"""Where a comparison is easily wrong, and what is right: contests analysed and decided on runs whose truth is known."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from multirun_analysis.compare.budget import best_of
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Kind, Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.records.described import Described, factors_of

CHOICES = {"model": "mlp", "data": "d", "activation": "relu", "optim": "adam", "scheduler": "none"}
Row = tuple[dict[str, Any], int, float]  # choices and values, seed, figure


def judge(rows: Sequence[Row], sign: int = 1, margin: float | None = None, resolution: float = 0.0, loss: bool = False
          ) -> dict[str, Result]:  # fmt: skip
    runs, outcomes = {}, {}
    for i, (tried, seed, value) in enumerate(rows):
        given = {key: level for key, level in tried.items() if key not in CHOICES}
        choices = CHOICES | {key: level for key, level in tried.items() if key in CHOICES}
        runs[f"run{i}"] = Described(choices, given, dict(given), seed)
        outcomes[f"run{i}"] = Outcome(f"run{i}", runs[f"run{i}"].replicate, value, value)
    factors = factors_of(runs.values())
    found = [c for factor in factors for c in contests(runs, outcomes, factors, factor, sign, loss)]
    return {r.factor: r for r in decide([analyse(c, sign, loss) for c in found], sign, margin, resolution)}


def levels(figures: Mapping[str, Sequence[float]], **tried: Any) -> list[Row]:
    """A row a seed for each activation."""
    return [({"activation": a, **tried}, seed, v) for a, values in figures.items() for seed, v in enumerate(values)]


def test_two_levels_are_compared_by_the_paired_t_test() -> None:
    a, b = [1.0, 2.0, 3.1, 4.0, 5.2], [1.5, 2.4, 3.7, 4.4, 5.8]
    result = judge(levels({"relu": a, "tanh": b}), sign=-1)["activation"]
    (pair,) = result.pairs
    expected = stats.ttest_rel(a, b)
    assert pair.estimate.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert pair.estimate.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert pair.p == pair.p_adjusted == pytest.approx(expected.pvalue)
    assert pair.verdict == Verdict.BETTER and result.winner == "relu" and pair.probability == 1.0
    assert [level.letters for level in result.levels] == ["a", "b"]


def test_a_factor_is_compared_over_all_settings_of_the_others_within_each_seed() -> None:
    random = np.random.default_rng(0)
    values = {
        (a, o, s): random.normal() + (a == "relu") for a in ("relu", "tanh") for o in ("x", "y") for s in range(4)
    }
    rows = [({"activation": a, "optim": o}, s, v) for (a, o, s), v in values.items()]
    pair = judge(rows)["activation"].pairs[0]
    by_seed = [np.mean([values["relu", o, s] - values["tanh", o, s] for o in ("x", "y")]) for s in range(4)]
    assert pair.contexts == 2 and pair.differences == pytest.approx(by_seed)
    assert pair.estimate.mean == pytest.approx(np.mean(by_seed))


def test_a_level_ahead_by_two_deviations_everywhere_is_named() -> None:
    random = np.random.default_rng(4)
    rows = [
        ({"activation": a, "optim": o, "scheduler": c}, s, random.normal() + 2 * (a == "a0"))
        for a in ("a0", "a1", "a2") for o in ("o0", "o1", "o2") for c in ("s0", "s1", "s2") for s in range(5)
    ]  # fmt: skip
    found = judge(rows)
    assert found["activation"].winner == "a0" and not found["optim"].concluded and not found["scheduler"].concluded


def test_everything_that_is_tested_is_one_family() -> None:
    random = np.random.default_rng(1)
    rows = [({"activation": a, "optim": o}, s, random.normal()) for a in "abc" for o in "xyz" for s in range(4)]
    pairs = [pair for result in judge(rows).values() for pair in result.pairs]
    first = min(pairs, key=lambda pair: pair.p)
    assert len(pairs) == 6 and first.p_adjusted == pytest.approx(min(1, 6 * first.p))


def test_a_level_that_diverges_with_all_seeds_is_unusable_and_that_is_decided() -> None:
    result = judge(levels({"relu": [0.9, 0.91, 0.92, 0.9, 0.91], "tanh": [-math.inf] * 5}))["activation"]
    assert [(level.level, level.usable) for level in result.levels] == [("relu", True), ("tanh", False)]
    (test,) = result.divergence
    assert test.p == pytest.approx(stats.fisher_exact([[0, 5], [5, 0]])[1]) and test.p_adjusted < 0.05
    assert result.concluded and not result.pairs and result.levels[1].letters == ""


def test_one_divergence_in_ten_disqualifies_nothing() -> None:
    good = [-math.inf, *(0.95 + 0.001 * i for i in range(9))]
    result = judge(levels({"relu": good, "tanh": [0.1 + 0.001 * i**2 for i in range(10)]}))["activation"]
    assert result.winner == "relu" and result.levels[0].diverged == 1
    assert result.pairs[0].estimate.mean == pytest.approx(0.85, abs=0.05)


def test_a_rate_that_diverges_once_is_still_chosen() -> None:
    """SGD at 0.1 reaches 95 % with nine of ten seeds; adam is not better by 78 points."""
    rows = [({"optim": "sgd", "optim.lr": 0.1}, s, -math.inf if s == 3 else 0.95 + 0.001 * (s % 3)) for s in range(10)]
    rows += [({"optim": "sgd", "optim.lr": 0.01}, s, 0.1175 + 0.001 * (s % 2)) for s in range(10)]
    rows += [({"optim": "adam", "optim.lr": lr}, s, 0.9 + 0.001 * (s % 4)) for lr in (0.1, 0.01) for s in range(10)]
    result = judge(rows)["optim"]
    assert result.contest.kind == Kind.TUNED and result.winner == "sgd"
    assert set(result.levels[0].settings.values()) == {(0.1,)}


def test_a_setting_tried_with_one_seed_is_no_candidate() -> None:
    rows = [({"optim": o, "optim.lr": lr}, s, lr + 0.01 * s) for o in ("a", "b") for lr in (0.1, 0.2) for s in range(5)]
    result = judge([*rows, ({"optim": "a", "optim.lr": 9.0}, 0, 99.0)])["optim"]
    for level in result.levels:
        assert set(level.settings.values()) == {(0.2,)}
    assert len(result.pairs[0].differences) == 5


@pytest.mark.slow
def test_the_best_of_many_equal_trials_is_not_better_for_its_number() -> None:
    random = np.random.default_rng(7)
    errors = 0
    for _ in range(60):
        rows = [({"optim": "a", "optim.lr": 10.0**-t}, s, random.normal()) for t in range(3) for s in range(5)]
        rows += [({"optim": "b", "optim.lr": 10.0**-t}, s, 4 * random.normal()) for t in range(12) for s in range(5)]
        errors += judge(rows)["optim"].concluded
    assert errors <= 8  # 5 % of 60 are 3; more than 8 have a probability of 0.003


def test_levels_whose_rate_comes_with_them_are_each_at_their_default() -> None:
    def run(optim: str, rate: float, given: bool) -> Described:
        values = {"optim.lr": rate} if given else {}
        return Described(CHOICES | {"optim": optim}, values, {"optim.lr": rate}, 1)

    runs = {"a": run("adam", 0.001, False), "b": run("sgd", 0.1, False), "c": run("adam", 0.01, True)}
    outcomes = {name: Outcome(name, (1, 1), 1.0, 1.0) for name in runs}
    (contest,) = contests(runs, outcomes, factors_of(runs.values()), "optim", 1)
    assert contest.kind == Kind.DEFAULTS and contest.runs == {"a", "b"}


def test_figures_of_two_data_sets_are_never_compared() -> None:
    rows = [({"data": d, "activation": a}, s, (0.9 if d == "easy" else 0.5) + 0.01 * (a == "relu") + 0.001 * s * s)
            for d in ("easy", "hard") for a in ("relu", "tanh") for s in range(3)]  # fmt: skip
    runs = {f"run{i}": Described(CHOICES | tried, {}, {}, seed) for i, (tried, seed, _) in enumerate(rows)}
    outcomes = {name: Outcome(name, runs[name].replicate, row[2], row[2]) for name, row in zip(runs, rows, strict=True)}
    found = contests(runs, outcomes, ["data", "activation"], "activation", 1)
    assert [contest.block for contest in found] == [{"data": "easy"}, {"data": "hard"}]


def test_a_difference_below_one_sample_is_none() -> None:
    figures = {"relu": [0.9, 0.91, 0.92], "tanh": [0.9 - 1e-6, 0.91 - 1e-6, 0.92 - 1.1e-6]}
    (pair,) = judge(levels(figures), resolution=1 / 6000)["activation"].pairs
    assert pair.verdict == Verdict.SAME
    assert judge(levels(figures))["activation"].pairs[0].verdict == Verdict.BETTER  # but for the resolution


def test_levels_are_the_same_within_a_margin() -> None:
    a = np.array([0.90, 0.91, 0.92, 0.905, 0.915])
    b = a + np.array([0.001, -0.001, 0.0005, -0.0005, 0.001])
    (pair,) = judge(levels({"relu": a.tolist(), "tanh": b.tolist()}), margin=0.01)["activation"].pairs
    assert pair.verdict == Verdict.SAME
    below = stats.ttest_1samp(a - b, -0.01, alternative="greater").pvalue
    above = stats.ttest_1samp(a - b, 0.01, alternative="less").pvalue
    assert pair.p_same == pytest.approx(max(below, above))


def test_fifty_ordered_levels_have_a_trend_and_not_1225_corrections() -> None:
    random = np.random.default_rng(0)
    rates = np.logspace(-4, 0, 50)
    rows = [({"optim.lr": float(lr)}, s, -((math.log10(lr) + 2) ** 2) + 0.3 * random.normal())
            for lr in rates for s in range(3)]  # fmt: skip
    result = judge(rows)["optim.lr"]
    trend = result.trend
    assert trend is not None and trend.shown and trend.at_edge == ""
    assert trend.p_adjusted[1] <= 2 * trend.p[1] + 1e-12  # of two contrasts
    assert trend.optimum is not None and trend.optimum[1] <= trend.optimum[0] <= trend.optimum[2]
    assert trend.optimum[0] == pytest.approx(0.01, rel=0.6)


def test_the_optimum_is_the_vertex_of_the_fitted_parabola() -> None:
    random = np.random.default_rng(2)
    x = np.array([-4.0, -3.0, -2.0, -1.0, 0.0])
    table = -((x + 1.7) ** 2) + 0.1 * random.normal(size=(4, 5))
    rows = [({"optim.lr": 10.0**e}, s, float(table[s, i])) for s in range(4) for i, e in enumerate(x)]
    trend = judge(rows)["optim.lr"].trend
    assert trend is not None and trend.optimum is not None
    square, linear, _ = np.polyfit(x, table.mean(axis=0), 2)
    assert math.log10(trend.optimum[0]) == pytest.approx(-linear / (2 * square), abs=1e-3)


def test_losses_that_span_much_are_compared_as_ratios() -> None:
    a = [10.0, 12.0, 11.0]
    result = judge(levels({"relu": a, "tanh": [10 * v for v in a]}), sign=-1, loss=True)["activation"]
    assert result.log and result.pairs[0].estimate.mean == pytest.approx(math.log(0.1))
    near = judge(levels({"relu": a, "tanh": [1.1 * v for v in a]}), sign=-1, loss=True)["activation"]
    assert not near.log and near.pairs[0].estimate.mean == pytest.approx(-1.1)


def test_one_seed_is_exploratory_and_hides_no_level() -> None:
    result = judge(levels({"relu": [1.0], "tanh": [2.0], "gelu": [3.0]}))["activation"]
    assert result.exploratory and result.winner is None and not result.concluded
    assert [level.level for level in result.levels] == ["gelu", "tanh", "relu"]


def test_the_best_of_k_trials_is_that_of_all_subsets() -> None:
    from itertools import combinations

    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    for sign in (1, -1):
        best = max if sign > 0 else min
        for k, found in best_of(values, sign).items():
            assert found == pytest.approx(np.mean([best(some) for some in combinations(values, k)]))
