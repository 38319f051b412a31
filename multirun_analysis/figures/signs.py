"""By what the runs of a figure are told apart, and their curves as arrays.

A factor's level has a colour and a mark. Dashes tell the levels of a second factor apart where one has up to four of
them, else those of the first once more. A run that diverged ends with a x, one that failed or has not
ended with a circle.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from scipy.special import stdtrit

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import LEVEL
from multirun_analysis.figures.drawing import MOST_ENTRIES, blank, picked, short
from multirun_analysis.figures.style import DASHES, GREY, MARKS, colours
from multirun_analysis.records.described import in_words, order
from paribus import record

MOST_DASHES = 4
ALL, UNKNOWN = "all runs", "not known"
MISSING = "missing"  # failed, interrupted, not ended, damaged


@dataclass(frozen=True)
class Signs:
    """Runs with what they are drawn with.

    Attributes:
        factor: whose levels the colours stand for; None: there is one level, all runs.
        second: whose levels the dashes stand for, where that is another factor.
        levels: of the factor, in their order.
        seconds: of the second factor.
        runs: a row a run, those that are there twice once: level, cell, colour, dash, mark, end (completed, diverged
            or missing), status.
    """

    comparison: Comparison
    factor: str | None
    second: str | None
    levels: list[Hashable]
    seconds: list[Hashable]
    runs: pd.DataFrame

    @property
    def completed(self) -> pd.DataFrame:
        return self.runs[self.runs["end"] == record.COMPLETED]

    @property
    def broken(self) -> pd.Index:
        """The runs that did not complete."""
        return self.runs.index[self.runs["end"] != record.COMPLETED]

    @cached_property
    def cells(self) -> pd.DataFrame:
        """A row a cell, in its order: level, colour, dash, mark, name (its levels in words), n (runs)."""
        grouped = self.runs.groupby("cell")
        cells = grouped[["level", "colour", "dash", "mark"]].first()
        settings = self.comparison.settings
        first = settings.loc[[names[0] for names in grouped.groups.values()], self.comparison.factors]
        words = [", ".join(map(in_words, levels)) for levels in first.itertuples(index=False)]
        cells["name"] = [UNKNOWN if cell < 0 else w or ALL for cell, w in zip(cells.index, words, strict=True)]
        cells["n"] = grouped.size()
        return cells

    def having(self, level: Hashable) -> np.ndarray:
        """(runs,): whether each has this level of the factor."""
        return np.array([one == level for one in self.runs["level"]], dtype=bool)

    @property
    def means(self) -> str:
        """Of what a line is the mean."""
        low, high = self.cells["n"].min(), self.cells["n"].max()
        if high == 1:
            return "one seed, exploratory"
        return f"mean over {low if low == high else f'{low} to {high}'} seeds"

    def ends(self, values: pd.DataFrame, positions: pd.DataFrame | None = None) -> pd.DataFrame:
        """Where the curves of the runs that did not complete end: end, level, cell, colour, x and y (NaN without any
        value).

        Args:
            values: (some runs, epochs).
            positions: where they lie along x, likewise; by default at their epochs.
        """
        runs = self.runs.loc[values.index, ["end", "level", "cell", "colour"]]
        runs = runs[runs["end"] != record.COMPLETED]
        values = values.loc[runs.index]
        if positions is None:
            epochs = np.broadcast_to(values.columns.to_numpy(dtype=float), values.shape)
            positions = pd.DataFrame(epochs, values.index, values.columns)
        broke = self.comparison.study.runs["diverged_epoch"].reindex(runs.index)
        last = [frame.where(values.notna()).ffill(axis=1).iloc[:, -1] for frame in (positions.loc[runs.index], values)]
        ends = runs.assign(x=last[0].fillna(broke).fillna(1), y=last[1])
        return ends[ends["y"].notna() | (ends["end"] == record.DIVERGED)]

    def note(self, *more: str) -> str:
        """How many runs diverged, failed or have not ended, and what else there is to know."""
        others = Counter(self.runs.loc[self.runs["end"] == MISSING, "status"])
        said = [f"{count} {status} (o)" for status, count in sorted(others.items())]
        if n := int((self.runs["end"] == record.DIVERGED).sum()):
            said.insert(0, f"{n} of {len(self.runs)} runs diverged (x)")
        if n := len(self.comparison.duplicates):
            said.append(f"{n} runs that are there twice count once")
        return "; ".join([*said, *filter(None, more)])

    def legend(self, with_marks: bool = False, with_lines: bool = True) -> list[tuple[Any, str]]:
        """An entry a level, then one a level of the second factor."""
        seconds = self.seconds if with_lines else []
        room = MOST_ENTRIES - len(seconds)
        left = len(self.levels) - room
        entries = []
        for level in picked(self.levels, room - 1) if left > 0 else self.levels:
            colour, dash, mark = self.runs.loc[self.having(level), ["colour", "dash", "mark"]].iloc[0]
            dash = ("-" if self.second else dash) if with_lines else ""
            marker = mark if with_marks else None
            entries.append((Line2D([], [], color=colour, ls=dash, marker=marker, ms=5), short(in_words(level), 30)))
        if left > 0:
            entries.append(blank(f"… and {left + 1} more"))
        for i, level in enumerate(seconds):
            handle = Line2D([], [], color=GREY, ls=DASHES[i])
            entries.append((handle, f"{self.second}={short(in_words(level), 30)}"))
        return entries


def signs(comparison: Comparison, factor: str | None, along: str | None = None) -> Signs:
    """The runs of a comparison by their levels of a factor; `along` is one that an axis shows and needs no dashes."""
    settings = comparison.settings.drop(index=list(comparison.duplicates))
    known = settings["cell"] >= 0
    levels = [ALL] * len(settings)
    if factor is not None:
        levels = [level if k else UNKNOWN for level, k in zip(settings[factor], known, strict=True)]
    ranks = {level: i for i, level in enumerate(order(levels))}
    second, seconds = None, []
    for other in comparison.factors:
        found = order(settings.loc[known, other])
        if other not in (factor, along) and 1 < len(found) <= MOST_DASHES:
            second, seconds = other, found
            break
    palette = colours(list(ranks)) | {UNKNOWN: GREY}
    place = [ranks[level] for level in levels]
    dashes = place
    if second:
        dashes = [seconds.index(level) if k else 0 for level, k in zip(settings[second], known, strict=True)]
    status = comparison.study.runs["status"].reindex(settings.index)
    ends = [s if s in record.FINISHED else MISSING for s in status]
    columns = {
        "level": levels,
        "cell": settings["cell"].to_list(),
        "colour": [palette[level] for level in levels],
        "dash": [DASHES[i % len(DASHES)] for i in dashes],
        "mark": [MARKS[i % len(MARKS)] for i in place],
        "end": ends,
        "status": status.to_list(),
    }
    runs = pd.DataFrame({key: pd.Series(values, settings.index) for key, values in columns.items()})
    return Signs(comparison, factor, second, list(ranks), seconds, runs)


def wide(comparison: Comparison, metric: str, runs: pd.Index, column: str = "value") -> pd.DataFrame:
    """(runs, epochs) of a column of metrics.csv, or of the step at each of its rows; NaN where nothing is finite."""
    curves = comparison.study.curves
    mine = curves[(curves["metric"] == metric) & curves["run"].isin(runs)]
    epochs, at = np.unique(mine["epoch"].to_numpy(), return_inverse=True)
    values = np.full((len(runs), len(epochs)), np.nan)
    values[runs.get_indexer(pd.Index(mine["run"].astype(object))), at] = mine[column].to_numpy(dtype=float)
    return pd.DataFrame(np.where(np.isfinite(values), values, np.nan), runs, epochs)


def over_seeds(values: pd.DataFrame, cells: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean of the runs of each cell and half of its 95 % interval by Student's t, (cells, epochs).

    NaN at an epoch where one of them has no value; of one run there is no interval.
    """
    grouped = values.loc[cells.index].groupby(cells)
    n = grouped.size()
    whole = grouped.count().eq(n, axis=0)
    factor = pd.Series(stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2) / np.sqrt(n), n.index).where(n > 1)
    return grouped.mean().where(whole), grouped.std().mul(factor, axis=0).where(whole)
