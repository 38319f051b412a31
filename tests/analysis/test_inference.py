"""Estimates, intervals, tests and their corrections, against scipy, statsmodels, closed forms and simulation."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from multirun_analysis.compare import inference
from multirun_analysis.compare.inference import Estimate

SIZES = [2, 3, 5, 10, 20]


def normal(*shape: int, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, shape)


def same(found: Estimate, expected: Estimate) -> None:
    assert tuple(found) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("n", SIZES)
def test_mean_interval_and_p_are_those_of_the_t_test(n: int) -> None:
    values = normal(n, mean=0.3, seed=n)
    found, expected = inference.estimate(values), stats.ttest_1samp(values, 0)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert inference.interval(values) == pytest.approx((values.mean(), *found.interval))
    assert inference.p_two_sided(found, values) == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.n, found.df) == (n, n - 1)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_half_widths_are_of_the_level_asked_for(level: float) -> None:
    values = normal(6)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert inference.estimate(values).half_width(level) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize("n", SIZES)
def test_p_of_at_most_a_value_is_that_of_the_one_sided_t_test(n: int) -> None:
    values = normal(n, seed=n)
    expected = stats.ttest_1samp(values, 0.2, alternative="greater").pvalue
    assert inference.estimate(values).p_below(0.2) == pytest.approx(expected)


def test_of_fewer_than_two_values_nothing_is_sure() -> None:
    one, none = inference.estimate(np.array([3.0])), inference.estimate(np.array([]))
    assert one.mean == 3 and math.isnan(none.mean)
    for found in (one, none):
        figures = (*found.interval, found.p_below(0), inference.p_two_sided(found), inference.p_equivalent(found, 1.0))
        assert np.isnan(figures).all() and math.isnan(inference.detectable(found, 5))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_a_known_effect_in_95_per_cent_of_studies(n: int) -> None:
    """Seeds shift both levels alike, as splits and initial weights do; pairing takes that out again."""
    random = np.random.default_rng(n)
    studies, effect = 2000, 0.7
    seeds = random.normal(0, 3, (studies, n))
    a, b = (seeds + shift + random.normal(0, 1, (studies, n)) for shift in (effect, 0))
    ends = np.array([inference.interval(d)[1:] for d in a - b])
    assert 0.93 < ((ends[:, 0] <= effect) & (effect <= ends[:, 1])).mean() < 0.97


def mean_squares(table: np.ndarray) -> tuple[list[float], list[int]]:
    """Of rows, columns and the rest, with their degrees of freedom, by statsmodels."""
    rows, columns = np.indices(table.shape).reshape(2, -1)
    frame = pd.DataFrame({"y": table.ravel(), "row": rows, "column": columns})
    found = anova_lm(ols("y ~ C(row) + C(column)", frame).fit())
    return (found["sum_sq"] / found["df"]).tolist(), [int(df) for df in found["df"]]


@pytest.mark.parametrize(
    ("rows", "columns", "enter"),
    [(3.0, 3.0, (1, 1, -1)), (3.0, 0.0, (1, 0, 0)), (0.0, 3.0, (0, 1, 0)), (0.0, 0.0, (0, 0, 1))],
)
def test_crossed_effects_have_the_variance_of_their_mean_squares(
    rows: float, columns: float, enter: tuple[int, ...]
) -> None:
    """Components that would be negative are 0, and their mean squares do not enter."""
    shape = (4, 6)
    rest = normal(*shape, seed=8)
    rest += -rest.mean(axis=0) - rest.mean(axis=1, keepdims=True) + rest.mean()  # no effect but those added
    table = rest + rows * normal(4, 1, seed=1) + columns * normal(6, seed=2)
    squares, df = mean_squares(table)
    found = inference.estimate_crossed(table)
    whole = sum(sign * square for sign, square in zip(enter, squares, strict=True))
    below = sum(square**2 / own for sign, square, own in zip(enter, squares, df, strict=True) if sign)
    assert found.mean == pytest.approx(table.mean()) and found.n == 4
    assert found.error == pytest.approx(math.sqrt(whole / table.size))
    assert found.df == pytest.approx(whole**2 / below)


def test_intervals_of_crossed_effects_cover_while_those_of_all_pairs_as_replicates_do_not() -> None:
    random = np.random.default_rng(5)
    crossed = plain = 0
    studies = 1000
    for _ in range(studies):
        table = random.normal(size=(5, 1)) + random.normal(size=5) + random.normal(size=(5, 5))
        low, high = inference.estimate_crossed(table).interval
        crossed += low <= 0 <= high
        low, high = inference.estimate(table.ravel()).interval
        plain += low <= 0 <= high
    assert 0.93 < crossed / studies < 0.985 and plain / studies < 0.8


def labels(shape: tuple[int, int]) -> tuple[list[int], list[int]]:
    rows, columns = np.indices(shape).reshape(2, -1)
    return rows.tolist(), columns.tolist()


def test_crossed_seeds_and_splits_are_two_random_effects_in_whatever_order_they_come() -> None:
    table = normal(5, 4)
    seeds, splits = labels(table.shape)
    order = np.random.default_rng(1).permutation(20)
    found = inference.estimate_replicates(table.ravel()[order], [(seeds[i], splits[i]) for i in order])
    same(found, inference.estimate_crossed(table))


@pytest.mark.parametrize("splits", [[42] * 5, [0, 1, 2, 3, 4]])
def test_one_split_for_all_seeds_or_one_for_each_makes_a_replicate_of_each_seed(splits: list[int]) -> None:
    values = normal(5)
    assert inference.estimate_replicates(values, list(enumerate(splits))) == inference.estimate(values)


def test_a_pair_of_seed_and_split_that_is_missing_takes_its_seed_or_split_along() -> None:
    table = normal(5, 4)
    seeds, splits = labels(table.shape)
    found = inference.estimate_replicates(table.ravel()[1:], list(zip(seeds[1:], splits[1:], strict=True)))
    same(found, inference.estimate_crossed(table[1:]))  # loses 4 of 20, without a split they would be 5


def test_splits_of_which_no_two_share_two_seeds_are_replicates_by_their_mean() -> None:
    """Seeds 0 and 1 on split 0, seeds 2 and 3 on split 1, seeds 4 and 5 on split 2."""
    values = normal(6)
    found = inference.estimate_replicates(values, list(enumerate([0, 0, 1, 1, 2, 2])))
    same(found, inference.estimate(values.reshape(3, 2).mean(axis=1)))


def test_variances_are_averaged_by_degrees_of_freedom() -> None:
    """(3 * 2 + 4 * 1) / 7 = 10/7, on 3 + 4 degrees of freedom, as limma does; an estimate without an error stays."""
    found, alone = inference.shrink([Estimate(1.0, 1 / math.sqrt(5), 4, 5), Estimate(2.0, math.nan, 0, 1)], 3, 2.0)
    same(found, Estimate(1.0, math.sqrt(10 / 7 / 5), 7, 5))
    assert math.isnan(alone.error)
    assert inference.shrink([found], 0, 2.0) == [found] == inference.shrink([found], 3, math.nan)


def test_variances_of_means_over_contexts_are_brought_to_one_scale_and_back() -> None:
    """A mean over 4 contexts has a quarter of the variance: shrunk towards its own, it stays what it is."""
    estimates = [Estimate(0.0, 1 / math.sqrt(5), 4, 5, 1.0), Estimate(0.0, 0.5 / math.sqrt(5), 4, 5, 4.0)]
    assert inference.mean_variance(estimates) == pytest.approx(1.0)
    shrunk = inference.shrink(estimates, 3, 1.0)
    assert [e.error for e in shrunk] == pytest.approx([e.error for e in estimates])
    assert math.isnan(inference.mean_variance([Estimate(0.0, math.nan, 0, 1)]))


def test_one_contrast_is_not_shrunk_and_many_are_by_three_degrees_of_freedom() -> None:
    assert [inference.prior_df(k) for k in (0, 1, 2, 3, 4, 50)] == [0, 0, 1, 2, 3, 3]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_the_sign_test_is_scipys(values: list[float]) -> None:
    d = np.array(values)
    above, n = int((d > 0).sum()), int((d != 0).sum())
    expected = stats.binomtest(above, n).pvalue if n else 1.0
    assert inference.p_sign(d) == pytest.approx(min(1.0, expected))


@pytest.mark.parametrize(("values", "p"), [([0.01, 0.01], 0.5), ([0.0] * 5, 1.0), ([-0.02] * 6, 2 / 64)])
def test_differences_that_do_not_vary_prove_no_more_than_their_signs(values: list[float], p: float) -> None:
    found = inference.estimate(np.array(values))
    assert inference.p_two_sided(found, np.array(values)) == p == inference.p_two_sided(found)


def test_rounding_of_equal_differences_is_no_noise() -> None:
    d = np.array([0.93 - 0.91, 0.83 - 0.81, 0.73 - 0.71])
    assert inference.p_two_sided(inference.estimate(d), d) == 0.25


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("margin", [0.1, 0.5, 2.0])
def test_two_one_sided_tests_are_those_of_statsmodels(n: int, margin: float) -> None:
    a, b = normal(n, seed=n), normal(n, seed=n + 100)
    expected = ttost_paired(a, b, -margin, margin)[0]
    assert inference.p_equivalent(inference.estimate(a - b), margin) == pytest.approx(expected)


def test_two_equal_differences_do_not_prove_that_there_is_none() -> None:
    """That each of n lies within has a probability of 1/2 ** n where the median lies at the margin."""
    for n in (2, 3, 6):
        found = inference.estimate(np.full(n, 0.01))
        assert inference.p_equivalent(found, 0.02) == pytest.approx(0.5**n)
        assert inference.p_equivalent(found, 0.005) == 1.0


@pytest.mark.parametrize("m", [1, 2, 5, 15])
def test_holm_is_that_of_statsmodels(m: int) -> None:
    p = np.random.default_rng(m).uniform(0, 3 / m, m).clip(0, 1).round(1 if m > 5 else 6)  # with ties
    assert inference.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_was_not_tested() -> None:
    adjusted = inference.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert adjusted[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06]) and np.isnan(adjusted[1])
    assert len(inference.holm(np.array([]))) == 0


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20, 100])
@pytest.mark.parametrize("tests", [1, 15, 1225])
def test_the_detectable_difference_has_power_80_per_cent_by_the_noncentral_t(seeds: int, tests: int) -> None:
    found = inference.estimate(normal(5))
    difference = inference.detectable(found, seeds, tests)
    error = found.error * math.sqrt(5 / seeds)
    critical = stats.t.isf(0.025 / tests, seeds - 1)
    assert stats.nct.sf(critical, seeds - 1, difference / error) == pytest.approx(0.8, abs=1e-4)


def test_half_a_deviation_is_seen_with_34_seeds_as_tables_of_power_say() -> None:
    one = Estimate(0.0, 1 / math.sqrt(10), 9, 10)
    assert inference.detectable(one, 34) < 0.5 < inference.detectable(one, 33)


def test_the_detectable_difference_is_not_that_observed_and_keeps_what_shrinking_added() -> None:
    a, b = Estimate(0.0, 0.5, 4, 5), Estimate(9.0, 0.5, 4, 5)
    assert inference.detectable(a, 10) == inference.detectable(b, 10)
    critical = stats.t.isf(0.025, 12)
    shrunk = inference.detectable(Estimate(0.0, 0.5, 7, 5), 10) / (0.5 * math.sqrt(0.5))
    assert stats.nct.sf(critical, 12, shrunk) == pytest.approx(0.8, abs=1e-4)
    assert math.isnan(inference.detectable(Estimate(1.0, 0.0, 4, 5), 10))


def test_a_further_value_falls_into_the_prediction_interval_in_95_per_cent_of_cases() -> None:
    values = normal(4000, 6)
    ends = np.array([inference.prediction_interval(row[:5]) for row in values])
    inside = (ends[:, 0] <= values[:, 5]) & (values[:, 5] <= ends[:, 1])
    assert 0.94 < inside.mean() < 0.96


def test_resplits_of_one_data_set_widen_the_error_by_nadeau_and_bengio() -> None:
    found = inference.corrected_for_resplits(Estimate(1.0, 0.2, 9, 10), 154, 722)
    assert found.error**2 == pytest.approx((1 / 10 + 154 / 722) * (0.2**2 * 10))
    assert (found.mean, found.df, found.n) == (1.0, 9, 10)


def test_the_expected_maximum_has_its_closed_forms() -> None:
    root = math.sqrt(math.pi)
    expected = [0, 1 / root, 3 / (2 * root), 3 / (2 * root) * (1 + 2 / math.pi * math.asin(1 / 3))]
    assert [inference.expected_maximum(k) for k in (1, 2, 3, 4)] == pytest.approx(expected, abs=1e-9)


def test_optimism_of_equal_trials_is_what_their_best_mean_exceeds_them_by() -> None:
    random = np.random.default_rng(3)
    excess, estimated = [], []
    for _ in range(1000):
        trials = random.normal(size=(5, 4)) + random.normal(0, 5, (5, 1))  # the seed shifts all trials alike
        excess.append(trials.mean(axis=0).max() - trials.mean())
        estimated.append(inference.optimism(trials))
    assert np.mean(estimated) == pytest.approx(np.mean(excess), rel=0.15)


def test_there_is_no_optimism_without_a_choice() -> None:
    apart = normal(5, 3) * 0.1 + np.array([0, 50, 100])
    assert inference.optimism(apart) == inference.optimism(normal(5, 1)) == inference.optimism(normal(1, 5)) == 0.0


def test_letters_by_hand() -> None:
    assert inference.letters([0, 1, 2], []) == ["a", "a", "a"]
    assert inference.letters([2, 0, 1], [(0, 1), (0, 2), (1, 2)]) == ["a", "b", "c"]
    assert inference.letters([0, 1, 2, 3], [(0, 2), (0, 3), (1, 3)]) == ["a", "ab", "bc", "c"]


@given(st.integers(1, 7), st.data())
def test_two_levels_share_a_letter_exactly_if_they_cannot_be_separated(k: int, data: st.DataObject) -> None:
    pairs = list(combinations(range(k), 2))
    apart = set(data.draw(st.lists(st.sampled_from(pairs), unique=True))) if pairs else set()
    ranked = data.draw(st.permutations(range(k)))
    letters = dict(zip(ranked, inference.letters(ranked, apart), strict=True))
    for i, j in pairs:
        assert bool(set(letters[i]) & set(letters[j])) == ((i, j) not in apart)


def test_more_than_26_letters_stay_different() -> None:
    found = inference.letters(range(30), list(combinations(range(30), 2)))
    assert found[:2] == ["a", "b"] and found[26] == "a1" and len(set(found)) == 30
