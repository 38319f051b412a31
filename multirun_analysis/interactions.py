"""Whether the effect of one factor depends on another: tables of two factors, and tests of how differences differ."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from multirun_analysis.compare import Comparison
from multirun_analysis.factors import in_words, order
from multirun_analysis.inference import LEVEL, holm, interval, p_paired
from multirun_analysis.judging import by_seed

MOST_CONTRASTS = 400


@dataclass(frozen=True)
class Interaction:
    """Two factors, crossed, all else equal.

    Attributes:
        context: what else the runs agree in, of the factors that differ elsewhere.
        cells: a row a pair of levels: the two levels, seeds, mean, low, high (of completed runs), diverged.
        contrasts: a row for each two levels of one and two of the other: (a1 - a2 at b1) - (a1 - a2 at b2), paired by
            seed, with low, high, p, p_adjusted; empty where there are fewer than two seeds.
    """

    factors: tuple[str, str]
    context: dict[str, Hashable]
    cells: pd.DataFrame
    contrasts: pd.DataFrame

    @property
    def strongest(self) -> "pd.Series | None":
        """The contrast with the smallest p, if that holds after correction for their number."""
        if self.contrasts.empty or not self.contrasts["p_adjusted"].min() < 1 - LEVEL:
            return None
        return self.contrasts.sort_values("p").iloc[0]


def interactions(comparison: Comparison, most: int = 24) -> list[Interaction]:
    """Every two factors that were crossed, in each setting of the others; `most` of them, the largest first."""
    settings = comparison.settings
    settings = settings[(settings["cell"] >= 0) & ~settings.index.isin(list(comparison.duplicates))]
    found: list[tuple[int, tuple[str, str], dict[str, Hashable], pd.DataFrame]] = []
    for pair in combinations(comparison.factors, 2):
        if not set(pair) & set(comparison.by):
            continue
        others = [factor for factor in comparison.factors if factor not in pair]
        groups = settings.groupby(others, sort=False, dropna=False) if others else [((), settings)]
        for values, group in groups:
            crossed = group.groupby(list(pair), sort=False, dropna=False).size().unstack()
            if (crossed.notna().sum(axis=1) > 1).sum() > 1 and (crossed.notna().sum(axis=0) > 1).sum() > 1:
                found.append((len(group), pair, dict(zip(others, values, strict=True)), group))
    found.sort(key=lambda entry: -entry[0])
    return [_interaction(comparison, pair, context, group) for _, pair, context, group in found[:most]]


def _interaction(
    comparison: Comparison, pair: tuple[str, str], context: dict[str, Hashable], group: pd.DataFrame
) -> Interaction:
    names: dict[tuple[Hashable, Hashable], list[str]] = {}
    for name, a, b in zip(group.index, group[pair[0]], group[pair[1]], strict=True):
        names.setdefault((a, b), []).append(name)
    of_run = {str(run): float(value) for run, value in comparison.values.items()}
    figures = {levels: by_seed(runs, comparison.described, of_run) for levels, runs in names.items()}
    rows = []
    for (a, b), values in figures.items():
        mean, low, high = interval(values[np.isfinite(values)].to_numpy())
        rows.append({pair[0]: a, pair[1]: b, "seeds": int(values.notna().sum()), "mean": mean, "low": low,
                     "high": high, "diverged": int(np.isinf(values).sum())})  # fmt: skip
    tested = []
    sides = [list(combinations(order(group[factor]), 2)) for factor in pair]
    if len(sides[0]) * len(sides[1]) <= MOST_CONTRASTS:
        for a1, a2 in sides[0]:
            for b1, b2 in sides[1]:
                if all(key in figures for key in ((a1, b1), (a2, b1), (a1, b2), (a2, b2))):
                    four = pd.concat([figures[a1, b1], figures[a2, b1], figures[a1, b2], figures[a2, b2]], axis=1)
                    whole = four.to_numpy()[np.isfinite(four.to_numpy()).all(axis=1)]
                    d = whole[:, 0] - whole[:, 1] - (whole[:, 2] - whole[:, 3])
                    if len(d) > 1 and len(d) == figures[a1, b1].notna().sum():
                        mean, low, high = interval(d)
                        tested.append({"a1": in_words(a1), "a2": in_words(a2), "b1": in_words(b1), "b2": in_words(b2),
                                       "seeds": len(d), "difference": mean, "low": low, "high": high,
                                       "p": p_paired(d)})  # fmt: skip
    contrasts = pd.DataFrame(tested)
    if tested:
        contrasts["p_adjusted"] = holm(contrasts["p"].to_numpy(dtype=float))
    return Interaction(pair, context, pd.DataFrame(rows), contrasts)


def table(interaction: Interaction, comparison: Comparison) -> pd.DataFrame:
    """A row a level of the first factor, a column a level of the second; mean, or how many diverged, in each."""
    a, b = interaction.factors
    cells = interaction.cells

    def shown(row: pd.Series) -> str:
        text = comparison.metric.show(row["mean"]) if math.isfinite(row["mean"]) else ""
        broken = f"{row['diverged']}/{row['seeds']} diverged" if row["diverged"] else ""
        return ", ".join(part for part in (text, broken) if part)

    filled = cells.assign(shown=[shown(row) for _, row in cells.iterrows()])
    grid = filled.set_index([a, b])["shown"].unstack().reindex(index=order(cells[a]), columns=order(cells[b]))
    grid.index = pd.Index([in_words(level) for level in grid.index], name=a)
    grid.columns = pd.Index([in_words(level) for level in grid.columns], name=b)
    return grid.fillna("")
