"""Which factor matters how much: shares of the variance between runs."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multirun_analysis.compare.inference import estimate

OVERLAP = 0.01  # by which shares of a balanced study may exceed 1, since negative ones count as 0


@dataclass(frozen=True)
class Share:
    """The share of the variance of a metric over runs that goes with the levels of some factors.

    Attributes:
        value: ε² (Kelley 1935): the sum of squares between levels less what noise alone would give, over the total.
        low, high: its 95 % interval, by the jackknife over seeds.
    """

    factors: tuple[str, ...]
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shares:
    """The shares of factors in the variance of a metric, and the rest.

    Attributes:
        of_factors: a share for each group of factors, largest first.
        of_seeds: what runs of one setting differ by; NaN where each setting has one run.
        of_combinations: the rest, which no factor has alone; NaN where the shares overlap and come to more than the
            whole, as those of factors that were not combined with each other do.
    """

    of_factors: tuple[Share, ...]
    of_seeds: float

    @property
    def of_combinations(self) -> float:
        rest = 1 - self.of_seeds - sum(share.value for share in self.of_factors)
        return max(0.0, rest) if rest > -OVERLAP else math.nan


def variance_shares(
    levels: pd.DataFrame, values: Mapping[str, float], seeds: Mapping[str, Hashable], groups: Sequence[tuple[str, ...]]
) -> Shares | None:
    """Compute the share of each group of factors; None of fewer than three runs, or of equal statistics.

    Args:
        levels: a row a run, a column a factor.
        values: finite statistics, by run; the logarithm of a loss that spans much.
        seeds: by run.
    """
    runs = [run for run in levels.index if run in values]
    y = np.array([values[run] for run in runs])
    replicate = pd.factorize(pd.Series([str(seeds[run]) for run in runs]))[0]
    if len(runs) < 3 or not y.var() > 0:
        return None
    codes = {group: _codes(levels.loc[runs, list(group)]) for group in groups}
    whole = _codes(levels.loc[runs])
    found = []
    for group, mine in codes.items():
        value = _share(y, mine, whole)
        count = int(replicate.max()) + 1
        low = high = math.nan
        if count > 2:
            kept = [replicate != r for r in range(count)]
            left = np.array([_share(y[k], mine[k], whole[k]) for k in kept])
            half = estimate(count * value - (count - 1) * left).half_width()
            low, high = max(0.0, value - half), min(1.0, value + half)
        found.append(Share(group, value, low, high))
    of_seeds = 1 - _share(y, whole, whole) if len(y) > len(set(whole)) else math.nan
    return Shares(tuple(sorted(found, key=lambda share: -share.value)), of_seeds)


def _codes(frame: pd.DataFrame) -> np.ndarray:
    return pd.factorize(pd.Series([str(tuple(row)) for row in frame.itertuples(index=False)]))[0]


def _share(y: np.ndarray, level: np.ndarray, setting: np.ndarray) -> float:
    """ε² of (n,) values between levels, with the variance within settings as noise."""

    def between(codes: np.ndarray) -> tuple[float, int]:
        counts = np.bincount(codes)
        means = np.bincount(codes, y) / np.maximum(counts, 1)
        return float((counts * (means - y.mean()) ** 2).sum()), int((counts > 0).sum())

    total = float(((y - y.mean()) ** 2).sum())
    (of_levels, k), (of_settings, cells) = between(level), between(setting)
    df = len(y) - cells
    noise = (total - of_settings) / df if df else 0.0
    return min(1.0, max(0.0, (of_levels - (k - 1) * noise) / total)) if total else 0.0


def group_factors(factors: Sequence[str]) -> list[tuple[str, ...]]:
    """Group factors, each choice together with its own values: optimizer and learning rate."""
    groups: dict[str, list[str]] = {}
    for factor in factors:
        head = factor.partition(".")[0]
        groups.setdefault(head if head in ("optim", "scheduler") else factor, []).append(factor)
    return [tuple(members) for members in groups.values()]
