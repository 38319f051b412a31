"""Intervals, tests and their corrections, against scipy, simulation and cases counted by hand."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from multirun_analysis.compare import inference


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
def test_interval_and_p_are_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, n)
    mean, low, high = inference.interval(values)
    expected = stats.ttest_1samp(values, 0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert mean == pytest.approx(values.mean())
    assert inference.p_two_sided(inference.estimate(values)) == pytest.approx(expected.pvalue, rel=1e-9)


def test_of_fewer_than_two_there_is_no_interval() -> None:
    mean, low, high = inference.interval(np.array([3.0]))
    assert mean == 3 and np.isnan([low, high]).all()
    assert np.isnan(inference.interval(np.array([]))).all()
    assert np.isnan(inference.p_two_sided(inference.estimate(np.array([1.0]))))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_a_known_effect_in_95_per_cent_of_studies(n: int) -> None:
    """Seeds shift both levels alike, as splits and initial weights do; pairing takes that out again."""
    random = np.random.default_rng(n)
    studies, effect = 4000, 0.7
    seeds = random.normal(0, 3, (studies, n))
    a, b = (seeds + shift + random.normal(0, 1, (studies, n)) for shift in (effect, 0))
    covered = 0
    for d in a - b:
        _, low, high = inference.interval(d)
        covered += low <= effect <= high
    assert 0.93 < covered / studies < 0.97


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12))
def test_the_sign_test_is_scipys(values: list[float]) -> None:
    d = np.array(values)
    above, n = int((d > 0).sum()), int((d != 0).sum())
    expected = stats.binomtest(above, n).pvalue if n else 1.0
    assert inference.p_sign(d) == pytest.approx(min(1.0, expected))


def test_a_run_that_diverged_counts_in_the_sign_test_as_worse() -> None:
    assert inference.p_sign(np.array([np.inf] * 6)) == pytest.approx(2 * 0.5**6)
    assert inference.p_sign(np.array([np.nan, np.nan])) == 1.0  # both diverged: neither is worse


def test_differences_that_do_not_vary_prove_no_more_than_their_signs() -> None:
    """Accuracies are counted in steps of one sample: equal differences would give p = 0 from two seeds."""
    for n in (2, 6):
        d = np.full(n, 0.01)
        assert inference.p_two_sided(inference.estimate(d), d) == pytest.approx(2 * 0.5**n)
    zeros = np.zeros(5)
    assert inference.p_two_sided(inference.estimate(zeros), zeros) == 1.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_holm_by_its_definition(p: list[float]) -> None:
    adjusted = inference.holm(np.array(p))
    order = sorted(range(len(p)), key=lambda i: p[i])
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        assert adjusted[i] == pytest.approx(largest)


def test_holm_by_hand_leaves_out_what_was_not_tested() -> None:
    adjusted = inference.holm(np.array([0.01, np.nan, 0.04, 0.03]))
    assert adjusted[[0, 2, 3]] == pytest.approx([0.03, 0.06, 0.06]) and np.isnan(adjusted[1])


def test_holm_is_that_of_statsmodels() -> None:
    p = np.random.default_rng(0).random(30) ** 3
    assert inference.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


@pytest.mark.parametrize("margin", [0.3, 1.0, 3.0])
def test_two_one_sided_tests_are_those_of_statsmodels(margin: float) -> None:
    a, b = np.random.default_rng(3).normal(size=(2, 8))
    expected = ttost_paired(a, b, -margin, margin)[0]
    assert inference.p_equivalent(inference.estimate(a - b), margin) == pytest.approx(expected)


@pytest.mark.parametrize(("seeds", "tests"), [(5, 1), (10, 1), (10, 15), (20, 3)])
def test_a_detectable_difference_is_found_four_times_in_five(seeds: int, tests: int) -> None:
    """Against the non-central t of scipy, for a deviation of the differences that was seen over eight seeds."""
    values = np.random.default_rng(1).normal(0, 2, 8)
    difference = inference.detectable(inference.estimate(values), seeds, tests)
    critical = stats.t.ppf(1 - 0.025 / tests, seeds - 1)
    away = difference / (values.std(ddof=1) / math.sqrt(seeds))
    assert 1 - stats.nct.cdf(critical, seeds - 1, away) == pytest.approx(0.8, abs=1e-4)


def test_shrinking_by_hand() -> None:
    """Variances 1 and 3 of one replicate, 2 degrees of freedom each, towards 2 as one degree of freedom."""
    found = [inference.Estimate(0.0, math.sqrt(v / 3), 2, 3) for v in (1.0, 3.0)]
    assert inference.mean_variance(found) == pytest.approx(2)
    shrunk = inference.shrink(found, 1, 2.0)
    assert [e.error**2 * 3 for e in shrunk] == pytest.approx([(2 + 2 * 1) / 3, (2 + 2 * 3) / 3])
    assert [e.df for e in shrunk] == [3, 3]
    assert [inference.prior_df(k) for k in (0, 1, 2, 4, 40)] == [0, 0, 1, 3, 3]


@pytest.mark.parametrize("where", ["rows", "columns", "both"])
def test_crossed_seeds_and_splits_have_the_variance_of_both(where: str) -> None:
    """The variance of the mean is known; the estimated one has it on average."""
    random = np.random.default_rng(2)
    estimated = []
    for _ in range(4000):
        table = 0.5 * random.normal(size=(5, 8))
        table += random.normal(size=(5, 1)) if where != "columns" else 0
        table += random.normal(size=(1, 8)) if where != "rows" else 0
        estimated.append(inference.estimate_crossed(table).error ** 2)
    truth = 0.25 / 40 + (1 / 5 if where != "columns" else 0) + (1 / 8 if where != "rows" else 0)
    assert np.mean(estimated) == pytest.approx(truth, rel=0.1)


def test_one_split_for_all_seeds_or_a_split_for_each_is_a_paired_t() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0, 7.0])
    seeds = [42, 43, 44, 45, 46]
    for splits in ([42] * 5, seeds):
        found = inference.estimate_replicates(values, seeds, splits)
        assert found.interval == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval(0.95)))


def test_gaps_among_crossed_replicates_leave_those_that_are_whole() -> None:
    labels = [(seed, split) for seed in range(3) for split in range(3)]
    values = np.arange(9.0)
    whole = inference.estimate_replicates(values, [s for s, _ in labels], [p for _, p in labels])
    assert whole.mean == 4 and whole == inference.estimate_crossed(values.reshape(3, 3))
    some = [i for i, label in enumerate(labels) if label != (2, 2)]
    found = inference.estimate_replicates(values[some], [labels[i][0] for i in some], [labels[i][1] for i in some])
    assert found.mean == pytest.approx(values.reshape(3, 3)[:2].mean())


def test_the_correction_for_resplits_by_its_formula() -> None:
    found = inference.estimate(np.array([1.0, 2.0, 4.0, 3.0]))
    variance = np.var([1.0, 2.0, 4.0, 3.0], ddof=1)
    corrected = inference.corrected_for_resplits(found, 154, 722)
    assert corrected.error**2 == pytest.approx((1 / 4 + 154 / 722) * variance)


def test_the_expected_maximum_of_standard_normal_numbers() -> None:
    assert inference.expected_maximum(1) == pytest.approx(0, abs=1e-9)
    assert inference.expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-6)
    assert inference.expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-6)


def test_optimism_is_how_much_the_best_of_equal_trials_is_too_good() -> None:
    random = np.random.default_rng(0)
    shared = random.normal(0, 3, (3000, 10, 1))  # what trials of a seed have in common makes none of them better
    studies = shared + random.normal(size=(3000, 10, 5))
    too_good = [study.mean(axis=0).max() - study.mean(axis=0).mean() for study in studies]
    assert np.mean([inference.optimism(study) for study in studies]) == pytest.approx(np.mean(too_good), rel=0.12)
    apart = random.normal(size=(10, 5)) + np.array([0, -20, -20, -20, -20])
    assert inference.optimism(apart) == 0 and inference.optimism(apart[:, :1]) == 0


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
