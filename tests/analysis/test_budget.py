"""The best of so many settings, against all subsets of them and closed forms."""

import math
from itertools import combinations

import numpy as np
import pytest

from multirun_analysis.compare.budget import best_of, best_of_elsewhere


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
