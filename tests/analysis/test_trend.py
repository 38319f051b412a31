"""The response to ordered numbers: its trend, its optimum and what an answer of many levels may cost."""

import math
from itertools import product

import numpy as np
import pytest
from made_studies import Row, by_level, judged, pair_of
from scipy import stats
from statsmodels.stats.multitest import multipletests

from multirun_analysis.compare.results import Trend, Verdict

BATCH, RATE = "data.batch_size", "optim.lr"
RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]


def trend_of(rows: list[Row], factor: str, sign: int = 1) -> Trend:
    found = judged(rows, sign)[factor].trend
    assert found is not None
    return found


def responses(means: list[float], seeds: int = 5, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    """(seeds, levels): with a shift that all levels share in a seed."""
    random = np.random.default_rng(seed)
    return np.array(means) + random.normal(0, 1, (seeds, 1)) + random.normal(0, noise, (seeds, len(means)))


def rows_of(levels: list[float], table: np.ndarray, factor: str = RATE) -> list[Row]:
    return by_level(dict(zip(levels, table.T.tolist(), strict=True)), factor)


def test_slope_and_curvature_are_the_contrasts_that_tables_of_orthogonal_polynomials_have() -> None:
    levels, table = [16.0, 24.0, 32.0, 40.0, 48.0], responses([0.0, 1.0, 1.5, 1.6, 1.4])
    found = trend_of(rows_of(levels, table, BATCH), BATCH)
    tabled = np.array([[-2, -1, 0, 1, 2], [2, -1, -2, -1, 2], [-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]])
    by_seed = table @ (tabled / np.sqrt([[10], [14], [10], [70]])).T
    means, variances = by_seed.mean(axis=0)[:2], by_seed.var(axis=0, ddof=1)
    assert [found.slope.mean, found.curvature.mean] == pytest.approx(means)
    errors = np.sqrt((3 * variances.mean() + 4 * variances[:2]) / 7 / 5)  # 3 degrees of freedom from all contrasts
    expected = 2 * stats.t.sf(np.abs(means) / errors, 7)
    assert found.p == pytest.approx(tuple(expected)) and not found.log
    assert found.p_adjusted == pytest.approx(tuple(multipletests(expected, method="holm")[1])) and found.shown


def test_levels_of_any_distance_are_taken_as_they_lie() -> None:
    """A straight line over unequal steps has no curvature, and a slope that does not depend on the level's number."""
    levels = [1.0, 2.0, 2.5, 3.9]
    found = trend_of(rows_of(levels, responses([2 * v for v in levels], noise=1e-9), BATCH), BATCH)
    assert found.curvature.mean == pytest.approx(0, abs=1e-6)
    assert found.slope.mean == pytest.approx(2 * math.sqrt(np.sum((np.array(levels) - np.mean(levels)) ** 2)))


def test_levels_of_several_orders_are_taken_by_their_logarithm() -> None:
    found = trend_of(rows_of(RATES, responses([0.0, 1.0, 2.0, 3.0, 4.0], noise=1e-9)), RATE)
    assert found.log and found.slope.mean == pytest.approx(math.sqrt(10))
    assert found.curvature.mean == pytest.approx(0, abs=1e-6)


def fieller(levels: np.ndarray, table: np.ndarray) -> tuple[float, float, float]:
    """The vertex of the parabola through all levels, and where its derivative is 0 within t standard errors."""
    square, linear, _ = np.polyfit(levels, table.T, 2)
    n, t2 = len(table), stats.t.ppf(0.975, len(table) - 1) ** 2
    cov = np.cov(linear, 2 * square) / n
    a, b = linear.mean(), 2 * square.mean()
    ends = np.roots([b**2 - t2 * cov[1, 1], 2 * (a * b - t2 * cov[0, 1]), a**2 - t2 * cov[0, 0]])
    return -a / b, float(ends.min()), float(ends.max())


@pytest.mark.parametrize("sign", [1, -1])
def test_the_optimum_is_the_vertex_of_a_parabola_with_its_interval_by_fieller(sign: int) -> None:
    table = sign * responses([0.0, 2.0, 3.0, 2.6, 0.8], noise=0.3)
    found = trend_of(rows_of(RATES, table), RATE, sign)
    assert found.optimum is not None and found.at_edge == ""
    step = 4 / 1000
    assert np.log10(found.optimum) == pytest.approx(fieller(np.log10(RATES), table), abs=step)
    assert np.log10(found.optimum[0]) == pytest.approx(fieller(np.log10(RATES), table)[0])


@pytest.mark.parametrize(("peak", "near"), [(1, slice(0, 5)), (3, slice(1, 6)), (5, slice(2, 7))])
def test_of_seven_levels_the_five_around_the_best_make_the_optimum(peak: int, near: slice) -> None:
    """Far from it the response is no parabola: there it falls off."""
    x = np.arange(7.0) + 10
    means = [-(abs(k - peak) ** 3.0) for k in range(7)]
    table = responses(means, noise=0.05)
    found = trend_of(rows_of(x.tolist(), table, BATCH), BATCH)
    assert found.optimum is not None
    assert found.optimum[0] == pytest.approx(fieller(x[near], table[:, near])[0])


def test_the_optimum_of_crossed_seeds_and_splits_is_not_surer_than_its_seeds() -> None:
    """Where the best rate lies depends on the seed alone: five splits of each say it five times over."""
    random = np.random.default_rng(1)
    optima = random.normal(-2, 0.5, 5)
    rows: list[Row] = [
        ({RATE: rate}, (seed, split), -float((math.log10(rate) - optima[seed]) ** 2 + random.normal(0, 1e-3)))
        for rate, seed, split in product(RATES, range(5), range(5))
    ]
    found = trend_of(rows, RATE)
    assert found.optimum is not None
    low, high = stats.ttest_1samp(optima, 0).confidence_interval()
    assert np.log10(found.optimum) == pytest.approx((optima.mean(), low, high), abs=0.02)


@pytest.mark.parametrize(("means", "edge"), [([3.0, 2.0, 0.5], "lowest"), ([0.0, 1.0, 3.0], "highest")])
def test_where_the_best_level_is_at_the_edge_the_optimum_may_lie_beyond(means: list[float], edge: str) -> None:
    found = trend_of(rows_of([1e-3, 1e-2, 1e-1], responses(means, noise=0.01)), RATE)
    assert found.at_edge == edge and found.optimum is None


def test_levels_that_cannot_be_told_from_the_best_are_tied_with_it() -> None:
    result = judged(rows_of(RATES, responses([0.0, 3.0, 6.0, 5.99, 1.0], noise=0.1)))[RATE]
    assert result.trend is not None and result.trend.tied == [1e-2, 1e-1]
    assert pair_of(result, 1e-2, 1.0).verdict == Verdict.BETTER and result.winner is None


def test_there_is_a_trend_of_three_ordered_numbers_or_more_only() -> None:
    assert judged(rows_of(RATES[:2], responses([0.0, 1.0])))[RATE].trend is None
    assert judged(by_level({"a": [1.0, 2.0], "b": [2.0, 3.0], "c": [4.0, 4.5]}))["activation"].trend is None
    assert judged(by_level({1: [1.0, 2.0], 2: [2.0, 3.0], "null": [4.0, 4.5]}, BATCH))[BATCH].trend is None


def test_fifty_levels_cost_two_tests_and_no_1225() -> None:
    """Neighbours lie half a deviation apart: no pair would survive a correction for all of them."""
    levels = [float(k) for k in range(10, 60)]
    result = judged(rows_of(levels, responses([0.05 * k for k in range(50)], noise=0.5), BATCH))[BATCH]
    assert result.trend is not None and result.trend.shown and result.concluded
    assert result.trend.p_adjusted == pytest.approx(tuple(multipletests(result.trend.p, method="holm")[1]))
    assert len(result.pairs) == 49 and result.best is not None and {p.a for p in result.pairs} == {result.best.level}
    inner = multipletests([p.p for p in result.pairs], method="holm")[1]
    assert [p.p_adjusted for p in result.pairs] == pytest.approx(inner)
    far = pair_of(result, result.best.level, 10.0)
    assert far.verdict == Verdict.BETTER and 1225 * far.p > 0.05 > 49 * far.p


def test_without_a_trend_no_pair_of_its_levels_is_told_apart() -> None:
    """A response that has neither slope nor curvature."""
    result = judged(rows_of(RATES, responses([-1.0, 2.0, 0.0, -2.0, 1.0], noise=0.5)))[RATE]
    assert result.trend is not None and not result.trend.shown
    assert {p.verdict for p in result.pairs} == {Verdict.UNDECIDED} and {p.p_adjusted for p in result.pairs} == {1.0}


def test_of_one_seed_there_is_no_trend_to_be_shown() -> None:
    result = judged(rows_of(RATES, responses([0.0, 1.0, 2.0, 3.0, 4.0], seeds=1)))[RATE]
    assert result.trend is not None and not result.trend.shown and result.exploratory and not result.concluded
