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
from multirun_analysis.compare.inference import estimate_replicates
from multirun_analysis.records.described import ABSENT


@dataclass(frozen=True)
class Interaction:
    """Two factors, crossed, all else equal.

    Attributes:
        context: what else the runs agree in, of the factors that differ elsewhere.
        cells: a row a pair of levels: the two levels, seeds, mean (of completed runs), diverged.
    """

    factors: tuple[str, str]
    context: dict[str, Hashable]
    cells: pd.DataFrame

    @property
    def where(self) -> str:
        """The context in words."""
        return where(self.context)


def interactions(comparison: Comparison, most: int = 24) -> list[Interaction]:
    """Find every two factors that were crossed, in each setting of the others; `most` of them, the largest first."""
    runs = {n: r for n, r in comparison.described.items() if r.choices and n not in comparison.duplicates}
    looks = comparison.looks
    if looks is not None:
        runs = {n: r for n, r in runs.items() if r.confirms != comparison.confirmed or r.seed in looks.judged}
    values = {str(run): float(value) for run, value in comparison.values.items()}
    found: list[Interaction] = []
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
                rows = [_summarise(pair, levels, _by_replicate(names, runs, values)) for levels, names in cells.items()]
                # columns of levels stay as they are: pandas would make NaN of None, and a number of a text
                frame = pd.DataFrame({key: pd.Series([row[key] for row in rows], dtype=object) for key in pair})
                frame = frame.join(pd.DataFrame(rows).drop(columns=list(pair)))
                found.append(Interaction(pair, dict(zip(others, context, strict=True)), frame))
    return sorted(found, key=lambda one: -int(one.cells["replicates"].sum()))[:most]


def _by_replicate(names: Sequence[str], runs: Mapping[str, Any], values: Mapping[str, float]) -> dict[Replicate, float]:
    found: dict[Replicate, float] = {}
    for name in names:
        if math.isnan(found.get(runs[name].replicate, math.nan)):
            found[runs[name].replicate] = values[name]
    return found


def _squares(cells: Mapping[tuple[Hashable, Hashable], Any]) -> bool:
    """Whether two levels of one factor were tried with the same two of the other."""
    by_first: dict[Hashable, set[Hashable]] = {}
    for a, b in cells:
        by_first.setdefault(a, set()).add(b)
    return any(len(one & other) > 1 for one, other in combinations(by_first.values(), 2))


def _summarise(
    pair: tuple[str, str], levels: tuple[Hashable, Hashable], values: Mapping[Replicate, float]
) -> dict[str, Any]:
    finite = {key: value for key, value in values.items() if math.isfinite(value)}
    mean = estimate_replicates(np.array([*finite.values()]), list(finite)).mean
    diverged = sum(map(math.isinf, values.values()))
    counts = {"replicates": len(values), "seeds": len(finite) + diverged, "diverged": diverged}
    return {**dict(zip(pair, levels, strict=True)), "mean": mean, **counts}
