"""The best that is found, against the number of settings that one may try."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import gammaln

from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Contest, Entry, Kind, Outcome

if TYPE_CHECKING:
    from multirun_analysis.compare.comparison import Comparison


def best_of(values: Sequence[float], sign: int) -> dict[int, float]:
    """Compute the expected best of k of the (n,) values, drawn without replacement, for k = 1, 2, 4, ..., n.

    The expected validation performance of Dodge et al. (2019), without their replacement. `values` are a setting's
    mean each, the infinite ones of those that diverged among them; where all k may diverge the statistic is infinite.

    Args:
        sign: 1 where more is better, -1 where less is.
    """
    ordered = np.sort(sign * np.asarray(values, dtype=float))  # worst first
    return {
        k: float(sign * (_weigh_best(len(ordered), k) * ordered[k - 1 :]).sum()) for k in double_up_to(len(ordered))
    }


def double_up_to(n: int) -> list[int]:
    """List 1, 2, 4, ..., n."""
    return sorted({min(2**i, n) for i in range(n.bit_length() + 1)}) if n else []


def _weigh_best(n: int, k: int) -> np.ndarray:
    """Compute the probability that the best of k of n is the i-th worst, for i = k to n."""
    # the i-th worst, counted from 1, is the best of k with probability C(i - 1, k - 1) / C(n, k)
    return np.exp(_choose(np.arange(k, n + 1) - 1, k - 1) - _choose(np.array(n), k))


def _choose(n: np.ndarray, k: int) -> np.ndarray:
    """The logarithm of the binomial coefficient."""
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def best_of_elsewhere(table: np.ndarray, sign: int, ks: Sequence[int] | None = None) -> dict[int, np.ndarray]:
    """Compute by seed what the best of k trials is worth on a seed that has not chosen it.

    For each seed in turn the trials are ranked by their means over the other seeds, and scored on this one: so the
    choice does not flatter the noisier or the more often tried. The expectation is over all subsets of k trials.

    Args:
        table: statistics (trials, seeds), finite, of two seeds or more.
        sign: 1 where more is better, -1 where less is.
        ks: numbers of trials; None: 1, 2, 4, ..., all. Those that are more than all are left out.

    Returns:
        By k, an array (seeds,).
    """
    n, seeds = table.shape
    found: dict[int, list[float]] = {}
    for seed in range(seeds):
        order = np.argsort(sign * np.delete(table, seed, axis=1).mean(axis=1), kind="stable")  # worst first
        for k in (k for k in (double_up_to(n) if ks is None else ks) if k <= n):
            found.setdefault(k, []).append(float((_weigh_best(n, k) * table[order[k - 1 :], seed]).sum()))
    return {k: np.array(values) for k, values in found.items()}


@dataclass(frozen=True)
class BudgetCurve:
    """The worth of a level by the number of trials that it may have, with 95 % intervals over seeds (Student).

    Attributes:
        seeds: how many replicates each trial has.
    """

    level: Hashable
    seeds: int
    trials: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def searched_contests_of(comparison: "Comparison", factor: str) -> list[Contest]:
    """Find the tuned contests of a factor in the search, without the runs that confirm."""
    values, chosen_by = comparison.values.to_dict(), comparison.selection.of(comparison.study).to_dict()
    runs = {n: r for n, r in comparison.described.items() if not r.confirms and n not in comparison.duplicates}
    outcomes = {n: Outcome(n, run.replicate, float(values[n]), float(chosen_by[n])) for n, run in runs.items()}
    found = contests(runs, outcomes, comparison.factors, factor, comparison.selection.sign, comparison.metric.is_loss)
    return [contest for contest in found if contest.kind == Kind.TUNED]


def budget_curves(
    contest: Contest, sign: int, trials: Mapping[Hashable, Sequence[int]] | None = None
) -> list[BudgetCurve]:
    """Compute the budget curve of each level of a tuned contest, averaged over contexts, from seeds that all have.

    A run that diverged counts as the worst finite statistic of the contest. None for levels with fewer than two seeds.

    Args:
        trials: by level, the numbers of trials; None: 1, 2, 4, ..., all.
    """
    finite = [
        value
        for by_level in contest.entries.values()
        for entry in by_level.values()
        for cell in entry.trials.values()
        for value in cell.values().values()
    ]
    if not finite:
        return []
    worst = min(finite, key=lambda value: sign * value)
    curves = []
    for level in contest.levels:
        tables = [_tabulate(entry, worst) for entry in contest.of_level(level)]
        if any(table.shape[1] < 2 for table in tables) or len({table.shape[1] for table in tables}) > 1:
            continue
        by_context = [best_of_elsewhere(table, sign, trials[level] if trials else None) for table in tables]
        ks = sorted(set.intersection(*(set(found) for found in by_context)))
        seeds = np.array([np.mean([found[k] for found in by_context], axis=0) for k in ks])
        n = seeds.shape[1]
        half = stats.t.ppf(0.975, n - 1) * seeds.std(axis=1, ddof=1) / math.sqrt(n)
        mean = seeds.mean(axis=1)
        curves.append(BudgetCurve(level, n, ks, mean.tolist(), (mean - half).tolist(), (mean + half).tolist()))
    return curves


def _tabulate(entry: Entry, worst: float) -> np.ndarray:
    """Tabulate the statistics of the trials of an entry (trials, seeds), of the seeds that all of them have."""
    shared = sorted(set.intersection(*(set(cell.outcomes) for cell in entry.trials.values())), key=repr)
    table = [[cell.outcomes[key].value for key in shared] for cell in entry.trials.values()]
    return np.where(np.isfinite(table), table, worst).reshape(len(entry.trials), len(shared))
