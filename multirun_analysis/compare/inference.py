"""Infer means and differences from a few seeds. Plain functions of arrays; knows nothing of runs.

Intervals are Student's: at 3 to 10 seeds the percentile bootstrap covers far less than it says.
"""

import math
from collections.abc import Collection, Hashable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import bdtr, nctdtr, ndtr, stdtr, stdtrit

if TYPE_CHECKING:
    from multirun_analysis.compare.sequential import Look

LEVEL = 0.95
ALPHA = 1 - LEVEL
POWER = 0.8
SAME = 1e-12  # of differences: what rounding leaves of none
MOST_PRIOR = 3  # degrees of freedom by which a variance is shrunk, at most


class Estimate(NamedTuple):
    """A mean over replicates.

    Attributes:
        mean: NaN without values.
        error: its standard error; NaN for fewer than two replicates.
        df: the degrees of freedom of `error`.
        n: independent replicates.
        scale: what the variance of one replicate is multiplied by to be comparable with that of other estimates.
        look: of a study whose seeds are added in looks; intervals and p values allow for all of them.
    """

    mean: float
    error: float
    df: float
    n: int
    scale: float = 1.0
    look: "Look | None" = None

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval by Student's t; NaN without an error."""
        half = self.half_width()
        return self.mean - half, self.mean + half

    @property
    def constant(self) -> bool:
        """Whether the values do not vary at all, but for rounding: deterministic runs, or few samples."""
        return self.df > 0 and self.error <= SAME * abs(self.mean)

    def half_width(self, level: float | None = None) -> float:
        """Compute half of the two-sided interval's width; None: of 95 %, over all looks if there are any."""
        level = level or (LEVEL if self.look is None else self.look.level)
        if not self.df > 0:
            return math.nan
        return float(stdtrit(self.df, (1 + level) / 2)) * self.error

    def p_below(self, value: float) -> float:
        """Compute the one-sided p of the hypothesis that the true mean is at most `value`.

        Of differences that do not vary at all it is that of the sign test; see `p_two_sided`.
        """
        if not self.df > 0:
            return math.nan
        sign = 0.5**self.n if self.mean > value else 1.0
        p = sign if self.constant else float(stdtr(self.df, -(self.mean - value) / self.error))
        return p if self.look is None else self.look.adjust_one_sided(p)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Compute the mean of (n,) values with the ends of its 95 % interval; NaN ends for fewer than two values."""
    found = estimate(values)
    return found.mean, *found.interval


def estimate(values: np.ndarray, scale: float = 1.0) -> Estimate:
    """Estimate the mean of (n,) independent values."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    error = float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(mean, error, n - 1, n, scale)


def estimate_crossed(table: np.ndarray, scale: float = 1.0) -> Estimate:
    """Estimate the mean of a table (I, J) whose rows and columns are two random effects: seeds and splits, say.

    The variance of the mean is (σ²_rows / I + σ²_columns / J + σ²_rest / IJ), each component from its mean square and
    not below 0; degrees of freedom by Satterthwaite (1946) over the mean squares that enter.
    """
    rows, columns = table.shape
    mean = float(table.mean())
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_row[:, None] - by_column[None, :] + mean
    df = (rows - 1) * (columns - 1)
    of_rest = float((rest**2).sum()) / df
    squares = [(columns * float(by_row.var(ddof=1)), rows - 1), (rows * float(by_column.var(ddof=1)), columns - 1)]
    larger = [(square, own) for square, own in squares if square > of_rest]
    # MS_rows + MS_columns - MS_rest where both are larger, the larger one alone, or the rest
    whole = sum(square for square, _ in larger) - (len(larger) - 1) * of_rest
    entering = [*larger, *([(of_rest, df)] if len(larger) != 1 else [])]
    below = sum(square**2 / own for square, own in entering)
    n = min(rows, columns)
    return Estimate(mean, math.sqrt(whole / table.size), whole**2 / below if below else n - 1, n, scale)


def estimate_replicates(values: np.ndarray, pairs: Sequence[tuple[Hashable, Hashable]], scale: float = 1.0) -> Estimate:
    """Estimate the mean of values (n,) of runs that differ in seed and split, of which `pairs` holds both.

    Where seeds share several splits, both are random effects: over the seeds and splits that have all of their pairs,
    or, where these are fewer than two by two, over the means of the one of which there are fewer. Else each value is a
    replicate of its own: one split for all seeds, or a split for each.
    """
    seeds, splits = [seed for seed, _ in pairs], [split for _, split in pairs]
    of_seed, of_split = ({label: i for i, label in enumerate(dict.fromkeys(labels))} for labels in (seeds, splits))
    if not 1 < min(len(of_seed), len(of_split)) < len(values):
        return estimate(values, scale)
    table = np.full((len(of_seed), len(of_split)), np.nan)
    table[[of_seed[s] for s in seeds], [of_split[s] for s in splits]] = values
    whole = _complete(table)
    if min(whole.shape) > 1:
        return estimate_crossed(whole, scale)
    return estimate(np.nanmean(table, axis=1 if table.shape[0] <= table.shape[1] else 0), scale)


def _complete(table: np.ndarray) -> np.ndarray:
    """Drop the row or column with the most gaps until there are none."""
    while table.size and np.isnan(table).any():
        gaps = [np.isnan(table).mean(axis=1), np.isnan(table).mean(axis=0)]
        axis = 0 if gaps[0].max() >= gaps[1].max() else 1
        table = np.delete(table, int(gaps[axis].argmax()), axis=axis)
    return table


def prior_df(contrasts: int) -> float:
    """Choose by how many degrees of freedom variances are shrunk, of so many independent contrasts in a study.

    One contrast has nothing to be shrunk to. With 3 degrees of freedom at most, the error rate of studies with unequal
    noise stays at 5 % (benchmarks/verdicts.py).
    """
    return float(min(MOST_PRIOR, max(0, contrasts - 1)))


def mean_variance(estimates: Sequence[Estimate]) -> float:
    """Average the variances of one replicate, each multiplied by its `scale`; NaN where none is known."""
    known = [e.error**2 * e.n * e.scale for e in estimates if e.df > 0 and math.isfinite(e.error)]
    return float(np.mean(known)) if known else math.nan


def shrink(estimates: Sequence[Estimate], prior: float, variance: float) -> list[Estimate]:
    """Shrink the variance of each estimate towards `variance` (see `mean_variance`), as `prior` degrees of freedom.

    s² = (d₀ s₀² + d s²) / (d₀ + d), with d₀ + d degrees of freedom (Smyth 2004). Estimates without an error stay as
    they are.
    """
    if not (prior and math.isfinite(variance)):
        return list(estimates)
    found = []
    for e in estimates:
        if e.df > 0 and math.isfinite(e.error):
            shrunk = (prior * variance / (e.n * e.scale) + e.df * e.error**2) / (prior + e.df)
            e = e._replace(error=math.sqrt(shrunk), df=prior + e.df)
        found.append(e)
    return found


def p_two_sided(found: Estimate, differences: np.ndarray | None = None) -> float:
    """Compute the two-sided p of the hypothesis that the true mean is 0; NaN for fewer than two replicates.

    An error of 0 comes from differences that are counted in coarse steps and do not vary at all; it would give p = 0
    from two seeds. Then it is the exact sign test of `differences` (n,), or of as many as there are replicates.
    """
    if not found.df > 0:
        return math.nan
    alike = np.full(found.n, found.mean) if differences is None else differences
    p = p_sign(alike) if found.constant else float(2 * stdtr(found.df, -abs(found.mean / found.error)))
    return p if found.look is None else found.look.adjust(p)


def p_sign(differences: np.ndarray) -> float:
    """Compute the two-sided p of the exact sign test on (n,) differences; zeros and NaN say nothing."""
    above, below = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    n = above + below
    return min(1.0, 2 * float(bdtr(min(above, below), n, 0.5))) if n else 1.0


def p_equivalent(found: Estimate, margin: float) -> float:
    """Compute the p of the hypothesis that the true mean is `margin` or more away from 0 (two one-sided tests)."""
    return max(found.p_below(-margin), Estimate(-found.mean, *found[1:]).p_below(-margin))


def holm(p: np.ndarray) -> np.ndarray:
    """Adjust p values (m,) so that 0.05 holds for all of them together (Holm 1979). NaN count for nothing."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    ranked = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(ranked), 0, -1)
    adjusted[ranked] = np.minimum(1, np.maximum.accumulate(factors * p[ranked]))
    return adjusted


def detectable(found: Estimate, seeds: int, tests: int = 1) -> float:
    """Compute the difference that so many seeds would show with probability 0.8, tested at 0.05 / `tests`.

    From the variance of the differences alone: a number of seeds computed from an observed difference invites to stop
    when the answer pleases. NaN where the variance is not known, and where seeds are added in looks.
    """
    if not (found.df > 0 and found.error > 0) or found.look is not None:
        return math.nan
    df = seeds - 1 + (found.df - (found.n - 1))  # what shrinking has added stays
    return _noncentrality(df, tests) * found.error * math.sqrt(found.n / seeds)


@cache
def _noncentrality(df: float, tests: int) -> float:
    """Compute the non-centrality at which a t test at 0.05 / `tests` has a power of 0.8."""
    critical = float(stdtrit(df, 1 - ALPHA / tests / 2))
    # the power rises with the non-centrality, and is above 0.8 at `high`, whatever the degrees of freedom
    low, high = 0.0, 2 * critical + 20
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        below = float(nctdtr(df, middle, critical))
        low, high = (middle, high) if math.isfinite(below) and below > 1 - POWER else (low, middle)
    return high


def prediction_interval(values: np.ndarray) -> tuple[float, float]:
    """Compute the ends of the 95 % interval in which one more value would fall, of (n,) normal ones.

    Wider than that of their mean: mean ± t s sqrt(1 + 1/n). NaN for fewer than two.
    """
    n = len(values)
    mean, low, high = interval(values)
    half = (high - low) / 2 * math.sqrt(n + 1)  # of the mean: t s / sqrt(n)
    return mean - half, mean + half


def corrected_for_resplits(found: Estimate, validated: int, trained: int) -> Estimate:
    """Widen an estimate over seeds that re-split one data set, so that it speaks of the population.

    The training parts overlap: the variance of the mean is (1/n + n_val/n_train) s² (Nadeau and Bengio 2003).
    """
    return found._replace(error=found.error * math.sqrt(1 + found.n * validated / trained))


def optimism(trials: np.ndarray) -> float:
    """Estimate by how much the best mean of several trials is too good, of values (replicates, trials), higher better.

    The expected maximum of k standard normal means, times their standard error; k are the trials that lie within two
    standard errors (of a difference, the median over the trials) of the best. The error comes from what differs between
    these trials within a replicate, pooled; it is at most twice that of the chosen one, of few replicates four times.
    """
    replicates, count = trials.shape
    if count < 2 or replicates < 2:
        return 0.0
    means = trials.mean(axis=0)
    best = int(means.argmax())
    against = np.delete(trials - trials[:, [best]], best, axis=1)
    error = float(np.median(against.std(axis=0, ddof=1))) / math.sqrt(replicates)
    near = trials[:, means >= means[best] - 2 * error]
    k = near.shape[1]
    if k < 2:
        return 0.0
    rest = near - near.mean(axis=0) - (near.mean(axis=1, keepdims=True) - near.mean())
    deviation = math.sqrt(float((rest**2).sum()) / ((replicates - 1) * (k - 1)))
    # a trial beside it that varies wildly makes the chosen one no better
    deviation = min(deviation, (2 if replicates >= 5 else 4) * float(trials[:, best].std(ddof=1)))
    return deviation / math.sqrt(replicates) * expected_maximum(k)


@cache
def expected_maximum(k: int) -> float:
    """Compute the expected maximum of k independent standard normal numbers."""
    x = np.linspace(-9, 9, 4001)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(x * k * density * ndtr(x) ** (k - 1)) * (x[1] - x[0]))


def letters(ranked: Sequence[int], separated: Collection[tuple[int, int]]) -> list[str]:
    """Compute letters by place in the ranking: two that share a letter cannot be separated (compact letter display).

    By insertion and absorption (Piepho 2004). `separated` holds pairs of members of `ranked`, in either order.
    """
    places = {member: place for place, member in enumerate(ranked)}
    columns = [frozenset(range(len(ranked)))]
    for a, b in separated:
        i, j = places[a], places[b]
        split = []
        for column in columns:
            split += [column - {i}, column - {j}] if i in column and j in column else [column]
        unique = list(dict.fromkeys(split))
        columns = [column for column in unique if not any(column < other for other in unique)]
    columns.sort(key=sorted)
    return ["".join(_letter(k) for k, column in enumerate(columns) if i in column) for i in range(len(ranked))]


def _letter(k: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[k % 26] + (str(k // 26) if k >= 26 else "")
