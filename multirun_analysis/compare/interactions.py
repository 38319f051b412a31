"""Whether the effect of one factor depends on another: tables of two factors, exploratory."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.design import Replicate, where
from multirun_analysis.compare.inference import ALPHA, estimate_replicates, holm, p_two_sided
from multirun_analysis.compare.sequential import Looks
from multirun_analysis.records.described import ABSENT, in_words, order

MOST_CONTRASTS = 400
Cells = dict[tuple[Hashable, Hashable], pd.Series]


@dataclass(frozen=True)
class Interaction:
    """Two factors, crossed, all else equal.

    Attributes:
        context: what else the runs agree in, of the factors that differ elsewhere.
        cells: a row a pair of levels: the two levels, seeds, mean, low, high (of completed runs), diverged.
        contrasts: a row for each two levels of one and two of the other: (a1 - a2 at b1) - (a1 - a2 at b2), paired by
            seed, with low, high, p, and p_adjusted for their number; empty where there are fewer than two seeds, or a
            run diverged.
    """

    factors: tuple[str, str]
    context: dict[str, Hashable]
    cells: pd.DataFrame
    contrasts: pd.DataFrame

    @property
    def where(self) -> str:
        """The context in words."""
        return where(self.context)

    @property
    def strongest(self) -> "pd.Series | None":
        """The contrast with the smallest p, if that holds after correction for their number."""
        if self.contrasts.empty or not self.contrasts["p_adjusted"].min() < ALPHA:
            return None
        return self.contrasts.sort_values("p").iloc[0]


def interactions(comparison: Comparison, most: int = 24) -> list[Interaction]:
    """Find every two factors that were crossed, in each setting of the others; `most` of them, the largest first."""
    runs = {n: r for n, r in comparison.described.items() if r.choices and n not in comparison.duplicates}
    looks = comparison.looks
    if looks is not None:
        runs = {n: r for n, r in runs.items() if r.confirms != comparison.confirmed or r.seed in looks.judged}
    values = {str(run): float(value) for run, value in comparison.values.items()}
    found: list[tuple[tuple[str, str], dict[str, Hashable], Cells]] = []
    for pair in combinations(comparison.factors, 2):
        if not set(pair) & set(comparison.by):
            continue
        others = [factor for factor in comparison.factors if factor not in pair]
        settings: dict[tuple[Hashable, ...], dict[tuple[Hashable, Hashable], list[str]]] = {}
        for name, run in runs.items():
            levels = run.level(pair[0]), run.level(pair[1])
            if ABSENT not in levels:
                cells = settings.setdefault(tuple(run.level(other) for other in others), {})
                cells.setdefault(levels, []).append(name)
        for context, cells in settings.items():
            if _squares(cells):
                figures = {levels: _by_replicate(names, runs, values) for levels, names in cells.items()}
                found.append((pair, dict(zip(others, context, strict=True)), figures))
    found.sort(key=lambda entry: -sum(map(len, entry[2].values())))
    tested = [
        _contrasts(cells, looks) if _number(cells) <= MOST_CONTRASTS else pd.DataFrame() for _, _, cells in found[:most]
    ]
    p = np.concatenate([table["p"].to_numpy(dtype=float) for table in tested if len(table)] or [np.array([])])
    adjusted = iter(holm(p))
    tested = [table.assign(p_adjusted=[next(adjusted) for _ in range(len(table))]) for table in tested]
    return [
        Interaction(pair, context, _means(pair, cells), table)
        for (pair, context, cells), table in zip(found, tested, strict=False)
    ]


def _by_replicate(names: Sequence[str], runs: Mapping[str, Any], values: Mapping[str, float]) -> pd.Series:
    found: dict[Replicate, float] = {}
    for name in names:
        if math.isnan(found.get(runs[name].replicate, math.nan)):
            found[runs[name].replicate] = values[name]
    return pd.Series(list(found.values()), pd.Index(list(found), tupleize_cols=False), dtype=float)


def as_objects(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]], *columns: str) -> pd.DataFrame:
    """Keep columns of levels as they are: pandas would make NaN of None, and a number of a text."""
    return frame.assign(**{key: pd.Series([row[key] for row in rows], frame.index, dtype=object) for key in columns})


def _squares(cells: Mapping[tuple[Hashable, Hashable], Any]) -> bool:
    """Whether two levels of one factor were tried with the same two of the other."""
    by_first: dict[Hashable, set[Hashable]] = {}
    for a, b in cells:
        by_first.setdefault(a, set()).add(b)
    return any(len(one & other) > 1 for one, other in combinations(by_first.values(), 2))


def _number(cells: Mapping[tuple[Hashable, Hashable], Any]) -> int:
    """Of contrasts, if every cell is there."""
    sides = [len({levels[i] for levels in cells}) for i in (0, 1)]
    return sides[0] * (sides[0] - 1) // 2 * (sides[1] * (sides[1] - 1) // 2)


def _means(pair: tuple[str, str], figures: Cells) -> pd.DataFrame:
    rows = []
    for (a, b), values in figures.items():
        finite = values[np.isfinite(values)]
        mean = estimate_replicates(finite.to_numpy(), [s for s, _ in finite.index], [p for _, p in finite.index])
        low, high = mean.interval
        rows.append({pair[0]: a, pair[1]: b, "seeds": int(values.notna().sum()), "mean": mean.mean, "low": low,
                     "high": high, "diverged": int(np.isinf(values).sum())})  # fmt: skip
    return as_objects(pd.DataFrame(rows), rows, *pair)


def _contrasts(figures: Cells, looks: Looks | None) -> pd.DataFrame:
    tested = []
    sides = [list(combinations(order(levels[i] for levels in figures), 2)) for i in (0, 1)]
    for a1, a2 in sides[0]:
        for b1, b2 in sides[1]:
            keys = [(a1, b1), (a2, b1), (a1, b2), (a2, b2)]
            if all(key in figures for key in keys):
                four = pd.concat([figures[key] for key in keys], axis=1).dropna()
                # a difference in which a run diverged is no number, and leaving it out would flatter
                if len(four) > 1 and np.isfinite(four.to_numpy()).all():
                    d = (four[0] - four[1] - (four[2] - four[3])).to_numpy()
                    mine = estimate_replicates(d, [seed for seed, _ in four.index], [split for _, split in four.index])
                    if looks is not None:
                        mine = mine._replace(look=looks.find_look(seed for seed, _ in four.index))
                    low, high = mine.interval
                    tested.append({"a1": in_words(a1), "a2": in_words(a2), "b1": in_words(b1), "b2": in_words(b2),
                                   "seeds": mine.n, "difference": mine.mean, "low": low, "high": high,
                                   "p": p_two_sided(mine, d)})  # fmt: skip
    return pd.DataFrame(tested)


def table(interaction: Interaction, comparison: Comparison) -> pd.DataFrame:
    """A row a level of the first factor, a column a level of the second; mean, or how many diverged, in each."""
    a, b = interaction.factors
    shown: dict[Hashable, dict[str, str]] = {}
    for row in interaction.cells.to_dict("records"):
        text = comparison.metric.show(row["mean"]) if math.isfinite(row["mean"]) else ""
        broken = f"{row['diverged']}/{row['seeds']} diverged" if row["diverged"] else ""
        shown.setdefault(row[a], {})[in_words(row[b])] = ", ".join(part for part in (text, broken) if part)
    columns = [in_words(level) for level in order(interaction.cells[b])]
    rows = [[shown[level].get(column, "") for column in columns] for level in order(shown)]
    return pd.DataFrame(rows, pd.Index([in_words(level) for level in order(shown)], name=a), columns)
