"""Bounds for seeds that are added in looks, against published tables, scipy, and simulated studies."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm, t, ttest_1samp

from multirun_analysis.compare import inference
from multirun_analysis.compare.sequential import Look, Looks, find_bounds, find_factor, nominal_levels

AT = (5, 8, 12, 16, 20)
FIFTHS = np.arange(1, 6) / 5


@pytest.mark.parametrize(("spent", "published"), [
    # O'Brien-Fleming-like and Pocock-like spending of 0.05, two-sided, five equal looks (Lan and DeMets 1983; ldbounds)
    (4 * norm.sf(norm.ppf(1 - 0.0125) / np.sqrt(FIFTHS)), [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
    (0.05 * np.log(1 + (math.e - 1) * FIFTHS), [2.4380, 2.4268, 2.4101, 2.3966, 2.3859]),
])  # fmt: skip
def test_bounds_are_the_published_ones(spent: np.ndarray, published: list[float]) -> None:
    found = find_bounds(FIFTHS, np.diff(spent, prepend=0.0)[:, None])
    assert found[:, 0] == pytest.approx(published, abs=2e-3)


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 15])
def test_levels_spend_alpha_by_the_square_of_the_information(alpha: float) -> None:
    information = np.array(AT) / AT[-1]
    bounds = norm.isf(np.array(nominal_levels(AT, alpha)) / 2)
    correlation = np.sqrt(np.minimum.outer(information, information) / np.maximum.outer(information, information))
    for k in range(1, 6):
        inside = multivariate_normal.cdf(
            bounds[:k], cov=correlation[:k, :k], maxpts=200_000, abseps=1e-7, releps=0, lower_limit=-bounds[:k]
        )
        assert 1 - inside == pytest.approx(alpha * information[k - 1] ** 2, rel=0.02)


def test_a_repeated_p_value_is_alpha_at_the_bound_of_each_look() -> None:
    for look in range(1, 6):
        at = Look(AT, look, 1.0)
        for alpha in (0.05, 0.01, 0.001):
            p = nominal_levels(AT, alpha)[look - 1]
            assert at.adjust(p) == pytest.approx(alpha, rel=2e-3)
            assert at.adjust_one_sided(p / 2) == pytest.approx(alpha / 2, rel=2e-3)
    assert Look(AT, 1, 1.0).adjust(0.5) == Look(AT, 0, 1.0).adjust(1e-9) == 1.0
    assert math.isnan(Look(AT, 1, 1.0).adjust(math.nan))
    assert Look(AT, 2, 1.2).adjust(1e-4) == pytest.approx(1.2 * Look(AT, 2, 1.0).adjust(1e-4))


def test_repeated_p_values_of_t_statistics_are_at_most_alpha_in_alpha_of_studies() -> None:
    factor, studies = find_factor(AT), 40_000
    values = np.random.default_rng(5).normal(size=(studies, AT[-1]))
    least = np.ones(studies)
    for look, n in enumerate(AT, 1):
        p = ttest_1samp(values[:, :n], 0, axis=1).pvalue
        near = np.flatnonzero(p < 0.2)
        least[near] = np.minimum(least[near], [Look(AT, look, factor).adjust(value) for value in p[near]])
    assert 1.0 < factor < 1.15
    for alpha in (0.05, 0.05 / 3):
        error = math.sqrt(alpha / studies)
        assert alpha - 5 * error < np.mean(least <= alpha) < alpha + 3 * error


def test_an_estimate_at_a_look_has_its_interval_and_p_values() -> None:
    values = np.array([0.3, 0.5, 0.1, 0.4, 0.6, 0.2, 0.5, 0.3])
    look = Look(AT, 2, 1.0)
    found = inference.estimate(values)._replace(look=look)
    level = nominal_levels(AT, 0.05)[1]
    low, high = t.interval(1 - level, 7, values.mean(), values.std(ddof=1) / math.sqrt(8))
    assert found.interval == pytest.approx((low, high))
    plain = ttest_1samp(values, 0)
    assert inference.p_two_sided(found) == pytest.approx(look.adjust(plain.pvalue))
    assert found.p_below(0) == pytest.approx(look.adjust_one_sided(plain.pvalue / 2))
    alike = inference.estimate(np.full(8, 0.25))._replace(look=look)
    assert inference.p_two_sided(alike) == look.adjust(2 * 0.5**8)
    assert math.isnan(inference.detectable(found, 20))


def test_data_belong_to_the_look_at_which_they_were_complete() -> None:
    looks = Looks((7, 3, 5, 9, 11, 12), (2, 4, 6), 1.0, 2)
    assert looks.judged == (7, 3, 5, 9)
    assert [looks.find_look(seeds).number for seeds in ([3, 7], [7, 5], [3, 9, 5], [7])] == [1, 2, 2, 1]
    assert looks.find_look([11]).number == 2  # of a look that is not judged yet nothing more may be spent
