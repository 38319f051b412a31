"""Which runs belong to which setting, what each looks like, means over seeds, and what the legend and note say.

A factor's level has a colour and a mark. Dashes (hatches of bars) tell the levels of a second factor apart where one
has up to four of them, else those of the first once more. Runs that are recorded twice count once. A run of which
nobody knows what was tried belongs to no setting, and is drawn in grey.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import stdtrit

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import LEVEL
from multirun_analysis.compare.metric import Metric
from multirun_analysis.figures.registry import main_factors
from multirun_analysis.figures.style import DASHES, GREY, HATCHES, MARKS, MOST_ENTRIES, colours, count
from multirun_analysis.records.described import in_words, order
from paribus import record

MOST_DASHES = 4  # levels of a second factor that dashes tell apart
ALL, UNKNOWN = "all runs", "not known"
MISSING = "missing"  # failed, interrupted, not ended, damaged
Section = list[tuple[Artist, Hashable]]


class Means(NamedTuple):
    """Means over seeds and the ends of their 95 % intervals (Student), each (settings, x); NaN where there is none."""

    middle: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame


@dataclass(frozen=True)
class Encoding:
    """The runs of a comparison with their looks.

    Attributes:
        factor: whose levels the colours stand for; None: there is one level, all runs.
        second: whose levels the dashes stand for, where that is another factor.
        others: factors that nothing tells apart.
        levels, seconds: of the factor and of the second one, in their order.
        runs: by run: level, cell, colour, dash, hatch, mark, end (completed, diverged or missing), status.
    """

    comparison: Comparison
    factor: str | None
    second: str | None
    others: list[str]
    levels: list[Hashable]
    seconds: list[Hashable]
    runs: pd.DataFrame

    @property
    def completed(self) -> pd.Index:
        return self.runs.index[self.runs["end"] == record.COMPLETED]

    @property
    def broken(self) -> pd.Index:
        """Runs that did not complete."""
        return self.runs.index[self.runs["end"] != record.COMPLETED]

    @cached_property
    def settings(self) -> pd.DataFrame:
        """By cell, in order: level, colour, dash, hatch, mark, name (the levels in words), n (runs)."""
        known = self.runs[self.runs["cell"] >= 0]
        grouped = known.groupby("cell")
        settings = grouped[["level", "colour", "dash", "hatch", "mark"]].first()
        firsts = self.comparison.settings.loc[known.index[~known["cell"].duplicated()]].set_index("cell")
        levels = firsts.loc[settings.index, self.comparison.factors].to_numpy()
        settings["name"] = [", ".join(map(in_words, row)) or ALL for row in levels]
        settings["n"] = grouped.size()
        return settings

    def has_level(self, level: Hashable) -> np.ndarray:
        """Tell for each run whether it has this level of the factor."""
        return np.array([one == level for one in self.runs["level"]], dtype=bool)

    def by_epoch(self, frame: pd.DataFrame, value: str = "value") -> pd.DataFrame:
        """Pivot a frame (run, epoch, value) to (runs with any row, epochs).

        What a broken run has after its first value that is not finite is no curve any more, and left out.
        """
        table = pivot(frame, self.runs.index, "epoch", value)
        values = table.to_numpy()
        broken = (self.runs["end"].loc[table.index] != record.COMPLETED).to_numpy()
        started = np.maximum.accumulate(np.isfinite(values), axis=1)
        gone = np.logical_or.accumulate(started & np.isinf(values), axis=1) & broken[:, None]
        return table.where(np.isfinite(values) & ~gone)

    def curves(self, metric: str, value: str = "value") -> pd.DataFrame:
        """Pivot a metric of metrics.csv (or the step of each of its values) to (runs, epochs)."""
        curves = self.comparison.study.curves
        return self.by_epoch(curves[curves["metric"] == metric], value)

    def means(self, values: pd.DataFrame, log: bool = False, share: bool = False) -> Means:
        """Average values (runs, x) over the completed runs of each setting.

        There is no mean where one of them has no value; a run without any row is not waited for.

        Args:
            log: intervals are of the logarithm (to first order), so that none has an end below zero.
            share: intervals end at 0 and 1.
        """
        cells = self.runs["cell"].loc[values.index.intersection(self.completed, sort=False)]
        finite = values.loc[cells.index].replace([np.inf, -np.inf], np.nan)
        grouped = finite.groupby(cells)
        n = grouped.size()
        whole = grouped.count().eq(n, axis=0)
        t = pd.Series(stdtrit(np.maximum(n - 1, 1), (1 + LEVEL) / 2) / np.sqrt(n), n.index, float).where(n > 1)
        middle, half = grouped.mean().where(whole), grouped.std().mul(t, axis=0).where(whole)
        if log:
            factor = (half / middle.where(middle > 0)).clip(upper=600).apply(np.exp)
            return Means(middle, middle / factor, middle * factor)
        low, high = middle - half, middle + half
        return Means(middle, low.clip(lower=0), high.clip(upper=1)) if share else Means(middle, low, high)

    def ends(self, values: pd.DataFrame, positions: pd.DataFrame | None = None) -> pd.DataFrame:
        """Find where the curves of broken runs end: end, level, cell, colour, x and y (NaN without any value).

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
        broke = self.comparison.study.runs["diverged_epoch"].reindex(runs.index).astype(float)
        last = [frame.where(values.notna()).ffill(axis=1).iloc[:, -1] for frame in (positions.loc[runs.index], values)]
        first = values.columns.min() if values.shape[1] else 1
        ends = runs.assign(x=last[0].fillna(broke).fillna(first), y=last[1])
        return ends[ends["y"].notna() | (ends["end"] == record.DIVERGED)]

    def legend(self, lines: bool = True, marks: bool = True, bars: bool = False) -> dict[str, Section]:
        """Return the entries of the legend: the levels of the factor, and those of the second one."""

        def handle(look: pd.Series, colour: str, dash: object, hatch: str, marked: bool) -> Artist:
            if bars:
                return Patch(facecolor=colour, edgecolor="white", hatch=hatch)
            style, marker = (dash if lines else ""), (look["mark"] if marked else "")
            return Line2D([], [], color=colour, linestyle=style, marker=marker, markersize=5)  # type: ignore[arg-type]

        sections: dict[str, Section] = {self.factor or "": []}
        for level in self.levels:
            look = self.runs[self.has_level(level)].iloc[0]
            dash, hatch = ("-", "") if self.second else (look["dash"], look["hatch"])
            sections[self.factor or ""].append((handle(look, look["colour"], dash, hatch, marks), level))
        if self.second and (lines or bars):
            blank = pd.Series({"mark": ""})
            looks = zip(DASHES, HATCHES, self.seconds, strict=False)
            sections[self.second] = [(handle(blank, GREY, dash, hatch, False), x) for dash, hatch, x in looks]
        return sections if self.factor or self.second else {}

    def describe_means(self, present: pd.Index, what: str = "line") -> list[str]:
        """Say over how many seeds each mean is, and what lines that look alike differ in.

        Args:
            present: runs that have any of the values.
        """
        n = self.runs.loc[self.completed.intersection(present), "cell"].value_counts()
        if n.empty:
            return []
        if n.max() == 1:
            words = [f"{what}: one run"]
        else:
            seeds = f"{n.max()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
            words = [f"{what}: mean of {seeds} seeds"]
            if len(self.settings) <= MOST_ENTRIES:
                words[0] += " with 95 % interval (Student; on a log axis, of the logarithm)"
        if self.others:
            words.append(f"those that look alike differ in {', '.join(self.others[:4])}")
        return words

    def describe_broken(self, present: pd.Index | None = None, marked: str = " (o)") -> list[str]:
        """Say how many runs diverged, failed or have not ended, and which are missing from the figure.

        Args:
            present: runs that have any of the values, where others may have completed.
            marked: how runs that failed or have not ended are shown.
        """
        words = []
        if n := int((self.runs["end"] == record.DIVERGED).sum()):
            words.append(f"{n} of {len(self.runs)} runs diverged (x)")
        others = Counter(self.runs.loc[self.runs["end"] == MISSING, "status"])
        words += [f"{n} {status}{marked}" for status, n in sorted(others.items())]
        if present is not None and (n := len(self.completed.difference(present))):
            words.append(f"{n} completed without these measurements")
        if n := len(self.comparison.duplicates):
            words.append(f"{count(n, 'run')} recorded twice count{'s' if n == 1 else ''} once")
        return words


def encode(comparison: Comparison, factor: str | None, along: str | None = None) -> Encoding:
    """Give the runs of a comparison their looks by a factor; `along` is one that an axis shows and needs no dashes."""
    factor = factor if factor in comparison.factors else None
    settings = comparison.settings.drop(index=list(comparison.duplicates))
    known = (settings["cell"] >= 0).to_numpy()
    levels: list[Hashable] = [ALL if k else UNKNOWN for k in known]
    if factor in settings:
        levels = [level if k else UNKNOWN for level, k in zip(settings[factor], known, strict=True)]
    ranks = {level: i for i, level in enumerate(_ordered(levels))}
    second, seconds, others = None, list[Hashable](), []
    for other in comparison.factors:
        found = order(settings.loc[known, other])
        if other in (factor, along) or len(found) < 2:
            continue
        if second is None and len(found) <= MOST_DASHES:
            second, seconds = other, found
        else:
            others.append(other)
    palette = colours(list(ranks)) | {UNKNOWN: GREY}
    place = [ranks[level] for level in levels]
    kind = place
    if second:
        kind = [seconds.index(level) if k else 0 for level, k in zip(settings[second], known, strict=True)]
    status = comparison.study.runs["status"].reindex(settings.index)
    columns = {
        "level": levels,
        "cell": settings["cell"].to_list(),
        "colour": [palette[level] for level in levels],
        "dash": [DASHES[i % len(DASHES)] for i in kind],
        "hatch": [HATCHES[i % len(HATCHES)] for i in kind],
        "mark": [MARKS[i % len(MARKS)] for i in place],
        "end": [s if s in record.FINISHED else MISSING for s in status],
        "status": status.to_list(),
    }
    runs = pd.DataFrame({key: pd.Series(values, settings.index) for key, values in columns.items()})
    return Encoding(comparison, factor, second, others, list(ranks), seconds, runs)


def encode_main(comparison: Comparison, factor: str | None = None) -> Encoding:
    """Give the runs their looks by a factor; None: the first of the main ones."""
    return encode(comparison, factor or next(iter(main_factors(comparison)), None))


def _ordered(levels: Sequence[Hashable]) -> list[Hashable]:
    """Order levels; runs of which nothing is known come last, so that they take no colour from the palette."""
    return [*order(level for level in levels if level != UNKNOWN), *([UNKNOWN] if UNKNOWN in levels else [])]


def pivot(frame: pd.DataFrame, runs: pd.Index, column: str, value: str = "value") -> pd.DataFrame:
    """Pivot a frame (run, column, value) to (those of the runs that have a row, columns): NaN without a row, infinite
    where the value is not finite."""
    codes, names = pd.factorize(frame["run"])
    places = runs.get_indexer(pd.Index(names.astype(object)))[codes] if len(names) else codes
    ours = places >= 0
    columns, at = np.unique(frame[column].to_numpy()[ours], return_inverse=True)
    found = frame[value].to_numpy(dtype=float)[ours]
    values = np.full((len(runs), len(columns)), np.nan)
    values[places[ours], at] = np.where(np.isfinite(found), found, np.inf)
    present = np.zeros(len(runs), dtype=bool)
    present[places[ours]] = True
    return pd.DataFrame(values[present], runs[present], columns)


def outcomes(comparison: Comparison, metric: Metric) -> pd.DataFrame:
    """Return for each run, those recorded twice once, its value (NaN without one) and end: completed, diverged,
    missing."""
    runs = encode(comparison, None).runs
    figures = comparison.values if metric == comparison.metric else metric.of(comparison.study)
    figures = figures.reindex(runs.index)
    end = runs["end"].mask(np.isinf(figures), record.DIVERGED)
    end = end.mask((end == record.COMPLETED) & figures.isna(), MISSING)
    return pd.DataFrame({"value": figures.where(end == record.COMPLETED), "end": end})
