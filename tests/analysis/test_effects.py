"""What a factor does and what may be concluded of it, on figures that are chosen, against the tests of scipy."""

import math
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest
from made_studies import INFINITE, Row, by_level, judged, pair_of
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from multirun_analysis.compare.inference import detectable
from multirun_analysis.compare.results import Verdict

RELU, TANH = [1.0, 2.0, 3.1, 4.0, 5.2], [1.5, 2.4, 3.7, 4.4, 5.8]


def noisy(means: dict[str, float], seeds: int = 5, noise: float = 1.0, seed: int = 0) -> dict[str, list[float]]:
    """Means with independent noise, and with a shift that all share in a seed."""
    random = np.random.default_rng(seed)
    shared = random.normal(0, 3, seeds)
    return {level: (mean + shared + random.normal(0, noise, seeds)).tolist() for level, mean in means.items()}


@pytest.mark.parametrize(("sign", "verdict", "winner"), [(-1, "better", "relu"), (1, "worse", "tanh")])
def test_two_levels_are_compared_by_the_paired_t_test(sign: int, verdict: str, winner: str) -> None:
    result = judged(by_level({"relu": RELU, "tanh": TANH}), sign)["activation"]
    (pair,) = result.pairs
    expected = stats.ttest_rel(RELU, TANH)
    assert pair.estimate.mean == pytest.approx(np.mean(RELU) - np.mean(TANH))
    assert pair.estimate.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert pair.p == pair.p_adjusted == pytest.approx(expected.pvalue)
    assert (pair.verdict, result.winner, pair.probability) == (verdict, winner, float(sign < 0))
    assert [level.letters for level in result.levels] == ["a", "b"] and result.concluded


def test_a_pair_turned_round_says_the_same_of_the_other() -> None:
    result = judged(by_level({"relu": RELU, "tanh": TANH}), -1)["activation"]
    there, back = pair_of(result, "relu", "tanh"), pair_of(result, "tanh", "relu")
    assert (back.verdict, back.probability, back.p) == (Verdict.WORSE, 0.0, there.p)
    assert back.estimate.mean == -there.estimate.mean and (back.differences == -there.differences).all()
    assert result.pair("relu", "gelu") is None


def test_a_metric_without_a_better_end_has_levels_that_are_higher() -> None:
    assert pair_of(judged(by_level({"relu": RELU, "tanh": TANH}), 0)["activation"], "tanh", "relu").verdict == "better"


def test_only_seeds_that_both_levels_have_are_paired() -> None:
    rows = [*by_level({"relu": RELU, "tanh": TANH[:3]}), ({"activation": "tanh"}, 9, 100.0)]
    pair = judged(rows)["activation"].pairs[0]
    assert pair.p == pytest.approx(stats.ttest_rel(RELU[:3], TANH[:3]).pvalue) and pair.estimate.n == 3


def test_levels_without_a_seed_in_common_are_exploratory() -> None:
    rows = [({"activation": a}, seed, v) for a, seed, v in zip("aabb", (1, 2, 3, 4), RELU, strict=False)]
    result = judged(rows)["activation"]
    assert result.pairs[0].estimate.n == 0 and result.exploratory and result.winner is None


@pytest.mark.parametrize("count", [2, 3, 4])
def test_one_seed_is_exploratory_and_no_level_is_lost(count: int) -> None:
    result = judged(by_level({f"a{k}": [float(k)] for k in range(count)}))["activation"]
    assert result.exploratory and result.winner is None and not result.concluded
    assert [level.level for level in result.levels] == [f"a{k}" for k in reversed(range(count))]
    assert [level.letters for level in result.levels] == [""] * count
    assert all(math.isnan(pair.p) and math.isnan(pair.p_adjusted) for pair in result.pairs)


def test_a_factor_is_compared_over_all_settings_of_the_others_with_the_seed_as_the_unit() -> None:
    random = np.random.default_rng(0)
    cells = product(("relu", "tanh"), ("x", "y", "z"), range(4))
    values = {cell: random.normal() + (cell[0] == "relu") for cell in cells}
    rows = [({"activation": a, "scheduler": o}, s, v) for (a, o, s), v in values.items()]
    pair = judged(rows)["activation"].pairs[0]
    by_seed = [np.mean([values["relu", o, s] - values["tanh", o, s] for o in "xyz"]) for s in range(4)]
    assert pair.differences == pytest.approx(by_seed) and pair.contexts == 3 and pair.estimate.n == 4


def test_settings_that_only_some_levels_have_enter_where_both_of_a_pair_have_them() -> None:
    rows = by_level({"a": [1.0, 2.0], "b": [2.0, 4.0]}) + by_level({"a": [5.0, 9.0], "b": [9.0, 15.0]}, scheduler="s")
    rows += by_level({"c": [0.0, 1.0]})
    result = judged(rows)["activation"]
    assert pair_of(result, "a", "b").differences == pytest.approx([-2.5, -4.0])
    assert pair_of(result, "a", "c").differences == pytest.approx([1.0, 1.0])
    means = {level.level: level.mean for level in result.levels}
    assert means == pytest.approx({"a": 1.5, "b": 3.0, "c": 0.5})  # over the setting that all share


def test_a_seed_with_values_in_fewer_than_half_of_the_settings_takes_no_part() -> None:
    rows = [r for k in range(5) for r in by_level({"a": RELU, "b": TANH}, scheduler=f"s{k}")]
    for level in ("a", "b"):
        rows += [({"activation": level, "scheduler": f"s{k}"}, "odd", 9.0) for k in range(2)]
    assert judged(rows)["activation"].pairs[0].estimate.n == 5


def test_three_levels_share_their_variance_with_one_degree_of_freedom() -> None:
    """(1 * mean variance + 4 * own) / 5, tested with 5 degrees of freedom, and corrected by Holm."""
    figures = noisy({"a": 0.0, "b": 1.0, "c": 3.0})
    result = judged(by_level(figures))["activation"]
    d = {(a, b): np.subtract(figures[a], figures[b]) for a, b in combinations("abc", 2)}
    common = np.mean([v.var(ddof=1) for v in d.values()])
    expected = []
    for (a, b), v in d.items():
        error = math.sqrt((common + 4 * v.var(ddof=1)) / 5 / 5)
        pair = pair_of(result, a, b)
        half = stats.t.ppf(0.975, 5) * error
        assert pair.estimate.interval == pytest.approx((v.mean() - half, v.mean() + half))
        expected.append(2 * stats.t.sf(abs(v.mean()) / error, 5))
    assert [p.p for p in result.pairs] == pytest.approx(expected)
    assert [p.p_adjusted for p in result.pairs] == pytest.approx(multipletests(expected, method="holm")[1])


def test_a_factor_that_is_much_noisier_keeps_its_own_variance() -> None:
    """The effect of the activation differs between seeds, that of the scheduler does not."""
    random = np.random.default_rng(2)
    effect, small = random.normal(0, 10, 5), random.normal(0, 0.1, (2, 2, 5))
    rows: list[Row] = [
        ({"activation": f"a{i}", "scheduler": f"s{j}"}, s, float(i * effect[s] + small[i, j, s]))
        for i, j, s in product(range(2), range(2), range(5))
    ]
    pair = judged(rows)["activation"].pairs[0]
    differences = -effect + (small[0] - small[1]).mean(axis=0)
    assert pair.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_all_factors_of_a_study_are_one_family() -> None:
    random = np.random.default_rng(4)
    rows: list[Row] = [
        ({"activation": a, "scheduler": b, "model": c}, s, random.normal() + 2.0 * (a == "x"))
        for a, b, c, s in product("xyz", "pq", "uvw", range(5))
    ]
    pairs = [pair for result in judged(rows).values() for pair in result.pairs]
    assert len(pairs) == 7
    assert [p.p_adjusted for p in pairs] == pytest.approx(multipletests([p.p for p in pairs], method="holm")[1])
    assert pairs[0].visible == tuple(detectable(pairs[0].estimate, n, 7) for n in (5, 10, 20))


def test_one_activation_ahead_by_two_deviations_in_a_grid_of_27_settings_is_the_winner() -> None:
    random = np.random.default_rng(3)
    names = ("relu", "tanh", "gelu")
    rows: list[Row] = [
        ({"activation": a, "optim": o, "scheduler": c}, s, random.normal() + 2.0 * (a == "gelu"))
        for a, o, c, s in product(names, ("x", "y", "z"), ("p", "q", "r"), range(5))
    ]
    results = judged(rows)
    assert [results[factor].winner for factor in ("activation", "optim", "scheduler")] == ["gelu", None, None]
    assert pair_of(results["activation"], "gelu", "relu").estimate.mean == pytest.approx(2, abs=0.6)


def test_a_level_that_diverges_with_all_seeds_is_unusable_and_that_it_diverges_more_is_decided() -> None:
    result = judged(by_level({"A": [0.1, 0.11, 0.12, 0.1, 0.13], "B": [-INFINITE] * 5}))["activation"]
    assert [(level.level, level.usable) for level in result.levels] == [("A", True), ("B", False)]
    assert not result.pairs and result.best is not None and result.best.level == "A"
    (test,) = result.divergence
    assert test.p == test.p_adjusted == pytest.approx(stats.fisher_exact([[0, 5], [5, 0]]).pvalue) and result.concluded


def test_one_divergence_in_ten_does_not_hide_that_a_level_is_better() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0.95, 0.01, 10), random.normal(0.10, 0.01, 10)
    result = judged(by_level({"A": [*a[:9], -INFINITE], "B": b.tolist()}))["activation"]
    assert [level.level for level in result.levels] == ["A", "B"] and result.winner == "A"
    assert result.pairs[0].p == pytest.approx(stats.ttest_rel(a[:9], b[:9]).pvalue)
    (test,) = result.divergence
    assert test.p == 1.0 == test.p_adjusted


def test_divergence_that_could_not_be_shown_costs_the_other_tests_nothing() -> None:
    figures = {"A": [*RELU, 6.3, -INFINITE], "B": [*TANH, 6.7, 7.0]}
    pair = judged(by_level(figures))["activation"].pairs[0]
    assert pair.p_adjusted == pair.p


def test_divergence_that_could_be_shown_is_corrected_with_the_pairs() -> None:
    figures = {"A": RELU + [-INFINITE] * 5, "B": [*TANH, 6.0, 7.0, 8.0, 9.0, 9.5]}
    result = judged(by_level(figures))["activation"]
    assert len(result.pairs) == 1  # half diverges: still usable
    p = [result.pairs[0].p, result.divergence[0].p]
    adjusted = [result.pairs[0].p_adjusted, result.divergence[0].p_adjusted]
    assert p[1] == pytest.approx(stats.fisher_exact([[5, 5], [0, 10]]).pvalue)
    assert adjusted == pytest.approx(multipletests(p, method="holm")[1])


def test_where_everything_diverges_nothing_is_better() -> None:
    result = judged(by_level({"A": [-INFINITE] * 3, "B": [-INFINITE] * 3}))["activation"]
    assert result.winner is None and result.best is None and not result.pairs and not result.concluded


def test_missing_runs_are_counted_and_are_no_bad_ones() -> None:
    result = judged(by_level({"A": [math.nan, 2.0, 3.1, 4.0, 5.2], "B": TANH}), -1)["activation"]
    assert {level.level: (level.finished, level.missing, level.diverged) for level in result.levels} == {
        "A": (4, 1, 0), "B": (5, 0, 0)}  # fmt: skip
    assert result.pairs[0].p == pytest.approx(stats.ttest_rel(RELU[1:], TANH[1:]).pvalue) and not result.divergence


def test_a_difference_that_cannot_be_measured_is_none_however_often_it_repeats_itself() -> None:
    base = [0.9, 0.91, 0.92]
    result = judged(by_level({"A": base, "B": [v + 1e-6 for v in base]}), resolution=1e-4)["activation"]
    assert result.pairs[0].verdict == Verdict.SAME and result.winner is None
    tight = [v + 9e-5 + e for v, e in zip(base, (-1e-6, 0, 1e-6), strict=True)]
    assert judged(by_level({"A": base, "B": tight}), resolution=1e-4)["activation"].winner is None
    assert judged(by_level({"A": base, "B": tight}), resolution=1e-5)["activation"].winner == "B"


def test_within_a_margin_levels_are_the_same_by_two_one_sided_tests() -> None:
    figures = noisy({"A": 0.0, "B": 0.1}, 10, 0.1)
    (pair,) = judged(by_level(figures), margin=0.5)["activation"].pairs
    assert pair.verdict == Verdict.SAME
    assert pair.p_same == pytest.approx(ttost_paired(*map(np.array, figures.values()), -0.5, 0.5)[0])
    (pair,) = judged(by_level(figures), margin=0.15)["activation"].pairs
    assert pair.verdict == Verdict.WORSE and pair.p_same > 0.05


def test_equivalence_is_corrected_for_the_number_of_pairs() -> None:
    pairs = judged(by_level(noisy({"A": 0.0, "B": 0.1, "C": 0.2}, 10, 0.1)), margin=0.3)["activation"].pairs
    lower, upper = ([(sign * p.estimate.mean + 0.3) / p.estimate.error for p in pairs] for sign in (1, -1))
    p = [max(stats.t.sf(a, e.estimate.df) for a in both) for *both, e in zip(lower, upper, pairs, strict=True)]
    assert [pair.p_same for pair in pairs] == pytest.approx(multipletests(p, method="holm")[1])


@pytest.mark.parametrize(("scale", "log"), [(2.0, False), (10.0, True)])
def test_losses_that_span_much_are_compared_as_ratios(scale: float, log: bool) -> None:
    a = [1.0, 1.2, 0.9, 1.1, 1.0]
    b = [scale * v * f for v, f in zip(a, (1.0, 1.1, 0.95, 1.0, 1.05), strict=True)]
    result = judged(by_level({"A": a, "B": b}), -1, loss=True)["activation"]
    transform: Callable[[list[float]], np.ndarray] = np.log if log else np.asarray
    expected = stats.ttest_rel(transform(a), transform(b))
    assert result.log == log and result.pairs[0].p == pytest.approx(expected.pvalue)
    assert result.pairs[0].estimate.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert result.levels[0].mean == pytest.approx(stats.gmean(a) if log else np.mean(a)) and result.winner == "A"


def test_a_margin_of_losses_that_are_compared_as_ratios_is_one_of_the_loss() -> None:
    """0.5 above a loss of 10 is a ratio of 1.05."""
    b = [9.9, 10.1, 10.0, 10.2, 9.8]
    figures = {"A": [v * f for v, f in zip(b, (1.001, 0.999, 1.0, 1.002, 0.998), strict=True)], "B": b, "C": [1.0] * 5}
    pair = pair_of(judged(by_level(figures), -1, margin=0.5, loss=True)["activation"], "A", "B")
    margin = math.log(1 + 0.5 / stats.gmean(b))
    t = (margin - abs(pair.estimate.mean)) / pair.estimate.error
    assert pair.p_same == pytest.approx(3 * stats.t.sf(t, pair.estimate.df)) and pair.verdict == Verdict.SAME


def test_of_very_many_levels_the_best_is_compared_with_each() -> None:
    figures = {f"a{k:02}": [float((k - 7) ** 2), (k - 7) ** 2 + 0.1 * (k % 3)] for k in range(45)}
    result = judged(by_level(figures), -1)["activation"]
    assert len(result.pairs) == 44 and {pair.a for pair in result.pairs} == {"a07"} and len(result.levels) == 45
    assert {level.letters for level in result.levels} == {""}
