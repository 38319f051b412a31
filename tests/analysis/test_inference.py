"""Intervals, tests and their corrections, against scipy, simulation and cases counted by hand."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from multirun_analysis.compare import inference


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
def test_interval_and_p_are_scipys(n: int) -> None:
    values = np.random.default_rng(n).normal(0.3, 1, n)
    mean, low, high = inference.interval(values)
    expected = stats.ttest_1samp(values, 0)
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert mean == pytest.approx(values.mean())
    assert inference.p_paired(values) == pytest.approx(expected.pvalue, rel=1e-9)


def test_of_fewer_than_two_there_is_no_interval() -> None:
    mean, low, high = inference.interval(np.array([3.0]))
    assert mean == 3 and np.isnan([low, high]).all()
    assert np.isnan(inference.interval(np.array([]))).all() and np.isnan(inference.p_paired(np.array([1.0])))


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
    assert inference.p_paired(np.array([0.01, 0.01])) == 0.5
    assert inference.p_paired(np.zeros(5)) == 1.0


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


def test_six_levels_without_any_effect_have_a_winner_in_at_most_5_per_cent_of_studies() -> None:
    random = np.random.default_rng(6)
    for n in (3, 5, 10):
        named = 0
        for _ in range(1000):
            figures = random.normal(0, 1, (6, n)) + random.normal(0, 1, n)
            best = figures.mean(axis=1).argmax()
            pairs = list(combinations(range(6), 2))
            adjusted = inference.holm(np.array([inference.p_paired(figures[i] - figures[j]) for i, j in pairs]))
            named += all(p < 0.05 for (i, j), p in zip(pairs, adjusted, strict=True) if best in (i, j))
        assert named / 1000 <= 0.05


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 1), (1.0, 1), (1.0, 15), (2.0, 3)])
def test_that_many_seeds_find_the_difference_four_times_in_five(effect: float, pairs: int) -> None:
    needed = inference.seeds_needed(effect, 1.0, pairs)
    assert needed is not None
    random = np.random.default_rng(1)

    def power(n: int) -> float:
        d = random.normal(effect, 1, (20000, n))
        return float((stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05 / pairs).mean())

    assert power(needed) > 0.79 and power(needed - 1) < 0.81


def test_34_seeds_for_half_a_deviation_as_tables_of_power_say() -> None:
    assert inference.seeds_needed(0.5, 1.0) == 34
    assert inference.seeds_needed(-0.5, 1.0) == 34
    assert inference.seeds_needed(1e-4, 1.0) is None and inference.seeds_needed(0.0, 1.0) is None
    assert inference.seeds_needed(50.0, 1.0) == 2 or inference.seeds_needed(50.0, 1.0) == 3


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
