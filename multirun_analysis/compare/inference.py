"""How sure one can be of a difference seen over a few seeds. Plain functions of arrays; knows nothing of runs.

Differences are paired by seed, and their intervals are Student's: at 3 to 10 seeds the percentile bootstrap covers
far less than it says.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
from scipy.special import bdtr, nctdtr, stdtr, stdtrit

LEVEL = 0.95
POWER = 0.8
MOST_SEEDS = 10_000
SAME = 1e-12  # of differences: what rounding leaves of none


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean of (n,) values with the ends of its 95 % interval by Student's t; NaN ends for less than two values."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < 2:
        return mean, math.nan, math.nan
    half = float(stdtrit(n - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def prediction_interval(values: np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % interval in which one more value would fall, of (n,) normal ones; NaN for less than two.

    Wider than that of their mean: mean ± t s sqrt(1 + 1/n).
    """
    n = len(values)
    mean, low, high = interval(values)
    half = (high - low) / 2 * math.sqrt(n + 1)  # of the mean: t s / sqrt(n)
    return mean - half, mean + half


def p_paired(differences: np.ndarray) -> float:
    """Two-sided p of Student's paired test that the mean of (n,) differences is 0; NaN for less than two.

    Differences that do not vary at all come of figures that are counted in coarse steps, and would give p = 0 from two
    seeds; for them it is the sign test's.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    deviation = float(np.std(differences, ddof=1))
    if deviation <= SAME * float(np.max(np.abs(differences))):
        return p_sign(differences)
    t = float(np.mean(differences)) / (deviation / math.sqrt(n))
    return float(2 * stdtr(n - 1, -abs(t)))


def p_sign(differences: np.ndarray) -> float:
    """Two-sided p of the exact sign test on (n,) differences. They may be infinite; zeros and NaN say nothing."""
    above, below = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    n = above + below
    return min(1.0, 2 * float(bdtr(min(above, below), n, 0.5))) if n else 1.0


def holm(p: np.ndarray, untested: int = 0) -> np.ndarray:
    """p values (m,) adjusted so that 0.05 holds for all of them together (Holm 1979). NaN count for nothing.

    `untested`: how many more there could have been, of which these are a choice.
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    ranked = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(ranked), 0, -1) + untested
    adjusted[ranked] = np.minimum(1, np.maximum.accumulate(factors * p[ranked]))
    return adjusted


def seeds_needed(difference: float, deviation: float, pairs: int = 1) -> int | None:
    """The fewest seeds with which a paired t-test finds a difference of this size with probability 0.8.

    Args:
        deviation: standard deviation of the paired differences.
        pairs: how many are tested at once; each is tested at 0.05 / pairs.

    None where there is no such number up to 10,000, or nothing to tell it from.
    """
    if not (math.isfinite(difference) and math.isfinite(deviation)) or difference == 0:
        return None
    if deviation <= SAME * abs(difference):  # as in p_paired
        return signs_needed(pairs)
    effect = abs(difference) / deviation

    def found(n: int) -> bool:
        critical = stdtrit(n - 1, 1 - (1 - LEVEL) / pairs / 2)
        away = effect * math.sqrt(n)
        # far out nctdtr gives NaN; the normal distribution is what it tends to there
        power = 1 - nctdtr(n - 1, away, critical) + nctdtr(n - 1, away, -critical)
        return bool(power >= POWER) if math.isfinite(power) else away > critical

    low, high = 1, 2
    while not found(high):
        low, high = high, 2 * high
        if low > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high if high <= MOST_SEEDS else None


def signs_needed(pairs: int = 1) -> int:
    """The fewest seeds, all with the same sign, with which the sign test tells a difference, of so many `pairs`."""
    return math.floor(1 - math.log2((1 - LEVEL) / pairs)) + 1


def letters(ranked: Sequence[int], separated: Collection[tuple[int, int]]) -> list[str]:
    """Letters by place in the ranking: two that share a letter cannot be separated (compact letter display).

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
