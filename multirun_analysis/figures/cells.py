"""Settings as figures show them: colours and marks by level, means over seeds alone, and what broke counted."""

import textwrap
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import stdtrit

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.inference import LEVEL
from multirun_analysis.figures import style
from multirun_analysis.records.described import in_words, order
from paribus import record

T = TypeVar("T")
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++", "oo", "--")
MOST_DASHES = 4  # levels of a second factor that dashes tell apart
MOST_ENTRIES = 12  # of a legend
MOST_BANDS = 12  # settings beyond which intervals would hide one another


class Cells:
    """The runs of a comparison by setting, and what each setting looks like when a factor is shown.

    Runs that are there twice count once; those of which nobody knows what was tried belong to no setting.

    Attributes:
        runs: (r,) names.
        setting: (r,) number of each run's setting, 0 to n - 1.
        completed, diverged: (r,) bool.
        levels: of the factor, in order; `level` (n,) says which of them a setting has.
        second: a factor of few levels that dashes (or hatches) show, if any, with `second_levels` and `second_level`.
    """

    def __init__(self, comparison: Comparison, factor: str):
        known = comparison.settings.drop(index=list(comparison.duplicates)).query("cell >= 0")
        self.factor, self.all_runs = factor, len(comparison.settings) - len(comparison.duplicates)
        self.runs = known.index
        _, first, self.setting = np.unique(known["cell"].to_numpy(dtype=int), return_index=True, return_inverse=True)
        self.n = len(first)
        self.statuses = comparison.study.runs["status"].drop(index=list(comparison.duplicates))
        status = self.statuses[known.index].to_numpy()
        self.completed, self.diverged = status == record.COMPLETED, status == record.DIVERGED

        def numbered(name: str) -> tuple[list[Hashable], np.ndarray]:
            levels = order(known[name]) if len(known) else []
            place = {level: i for i, level in enumerate(levels)}
            return levels, np.array([place[level] for level in known[name].iloc[first]], dtype=int)

        self.levels, self.level = numbered(factor) if factor in known else ([], np.zeros(self.n, dtype=int))
        self.second: str | None = None
        self.others: list[str] = []  # what lines that look alike may differ in
        for other in [name for name in comparison.factors if name != factor]:
            levels, level = numbered(other)
            if self.second is None and 1 < len(levels) <= MOST_DASHES:
                self.second, self.second_levels, self.second_level = other, levels, level
            elif len(levels) > 1:
                self.others.append(other)
        by_level = style.colours(self.levels or [None])
        self.colours = np.array(list(by_level.values()))[self.level] if self.n else np.empty(0, dtype=str)
        self.kind = self.level if self.second is None else self.second_level  # what dashes and hatches show

    def dash(self, kind: int) -> object:
        return style.DASHES[kind % len(style.DASHES)]

    def means(self, values: np.ndarray, log: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of values (r, m) the means over a setting's completed runs (n, m), and the ends of their 95 % intervals.

        NaN where not all of them have a value; a run that has none at all (nothing was recorded) is not waited for.

        Args:
            log: the interval is one of the mean's logarithm (its deviation is to first order that of the mean, divided
                by the mean), so that it has no end below zero.
        """
        counted = self.completed & ~np.isnan(values).all(axis=1)
        setting, kept = self.setting[counted], values[counted]
        sums, squares = np.zeros((2, self.n, values.shape[1]))
        seeds = np.bincount(setting, minlength=self.n)[:, None].astype(float)
        with np.errstate(all="ignore"):
            np.add.at(sums, setting, kept)
            means = np.where(np.isfinite(sums), sums / seeds, np.nan)
            np.add.at(squares, setting, (kept - means[setting]) ** 2)
            half = stdtrit(seeds - 1, (1 + LEVEL) / 2) * np.sqrt(squares / (seeds - 1) / seeds)
            if log:
                return means, means * np.exp(-half / means), means * np.exp(half / means)
        return means, means - half, means + half

    def matrix(self, frame: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`frame` (run, `column`, value) with a row a run.

        Values (r, m), NaN where there is none; the m different ones of `column`; (r,) bool, whether a run has a row.
        """
        columns, place = np.unique(frame[column].to_numpy(), return_inverse=True)
        runs = frame["run"]
        if isinstance(runs.dtype, pd.CategoricalDtype):
            rows = self.runs.get_indexer(pd.Index(runs.cat.categories))[runs.cat.codes]
        else:
            rows = self.runs.get_indexer(pd.Index(runs))
        ours = rows >= 0
        values = np.full((len(self.runs), len(columns)), np.nan)
        values[rows[ours], place[ours]] = frame["value"].to_numpy(dtype=float)[ours]
        present = np.zeros(len(self.runs), dtype=bool)
        present[rows[ours]] = True
        return values, columns, present

    def legend(self, figure: Figure, bars: bool = False) -> None:
        """Beside the figure: the levels of the factor, and those of the second one."""

        def sign(colour: str, kind: int | None, mark: str = "") -> Artist:
            if bars:
                return Patch(facecolor=colour, edgecolor="white", hatch=HATCHES[(kind or 0) % len(HATCHES)])
            return Line2D([], [], color=colour, linestyle=self.dash(kind or 0), marker=mark, markersize=6)  # type: ignore[arg-type]

        colours = style.colours(self.levels or [None]).values()
        signs = [
            sign(colour, i if self.second is None else None, style.MARKS[i % len(style.MARKS)])
            for i, (_, colour) in enumerate(zip(self.levels, colours, strict=False))
        ]
        sections = {self.factor: (signs, self.levels)}
        if self.second is not None:
            sections[self.second] = ([sign("#555555", i) for i in range(len(self.second_levels))], self.second_levels)
        legend(figure, sections)

    def note(self, figure: Figure, present: np.ndarray, what: str, rest: str = ", not shown") -> None:
        """Below the figure: what is shown of how many seeds, what ended otherwise, who is not in it.

        Args:
            present: (r,) runs that have any of the values.
            what: a line, a bar; what is neither has no interval, and no looks that settings may share.
            rest: how runs that neither completed nor diverged are shown.
        """
        seeds = np.bincount(self.setting[self.completed & present], minlength=1)
        seeds = seeds[seeds > 0]
        words, whole = [], what in ("Line", "Bar")
        if len(seeds) and seeds.max() > 1:
            each = str(seeds.max()) if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
            interval = (
                " and its 95 % interval (on a log axis, of the logarithm)" if whole and self.n <= MOST_BANDS else ""
            )
            words.append(f"{what}: mean of {each} seeds{interval}.")
        elif len(seeds):
            words.append(f"{what}: one run.")
        if self.others and whole:
            words.append(f"Those that look alike differ in {', '.join(plain(name, 30) for name in self.others[:4])}.")
        diverged = int((self.statuses == record.DIVERGED).sum())
        if diverged:
            words.append(f"{diverged} of {self.all_runs} runs diverged (x).")
        others = self.statuses[~self.statuses.isin(record.FINISHED)].value_counts()
        if len(others):
            words.append(f"{', '.join(f'{count} {status}' for status, count in others.items())}{rest}.")
        missing = int((self.completed & ~present).sum())
        if missing:
            words.append(f"{missing} completed without these measurements.")
        if words:
            fit(figure, " ".join(words))


def legend(figure: Figure, sections: Mapping[str, tuple[Sequence[Artist], Sequence[Hashable]]]) -> None:
    """Beside the figure, by heading: a sign a level; of very many levels some, evenly spaced."""
    handles: list[Artist] = []
    labels: list[str] = []
    blank = Line2D([], [], linestyle="none")
    least = min((len(levels) for _, levels in sections.values()), default=0) if len(sections) > 1 else 0
    for heading, (signs, levels) in sections.items():
        shown = some(range(len(levels)), MOST_ENTRIES - (least if len(levels) > MOST_DASHES else 0))
        if levels:
            handles += [blank, *(signs[i] for i in shown)]
            labels += [f"{plain(heading, 28)}:", *(plain(in_words(levels[i]), 24) for i in shown)]
        if len(shown) < len(levels):
            handles.append(blank)
            labels.append(f"… and {len(levels) - len(shown)} more")
    if handles:
        figure.legend(handles, labels, loc="outside right upper", fontsize=9, handlelength=3.2, frameon=False)
        figure.set_figheight(max(figure.get_figheight(), 0.2 * len(handles) + 0.6))


def plain(text: object, longest: int = 40) -> str:
    """A name as it is: without mathematics between dollars, hidden from no legend; a long one without its middle."""
    name = " ".join(str(text).split())
    if len(name) > longest:
        half = (longest - 1) // 2
        name = f"{name[: longest - 1 - half]}…{name[-half:]}"
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def some(members: Sequence[T], most: int) -> list[T]:
    """So many of them at most, evenly spaced, with both ends."""
    if len(members) <= most:
        return list(members)
    return [members[int(i)] for i in np.linspace(0, len(members) - 1, max(most, 1)).round()]


def heading(figure: Figure, text: str) -> None:
    """A title, in as many lines as it takes beside a legend."""
    lines = textwrap.fill(text.replace(" runs)", "\xa0runs)"), int(12 * (figure.get_figwidth() - 2.3)))
    figure.suptitle(lines.replace("\xa0", " "), fontsize=12, x=0.01, ha="left")


def fit(figure: Figure, note: str) -> None:
    """A note under a figure, in as many lines as it takes."""
    figure.supxlabel(textwrap.fill(note, int(13.5 * figure.get_figwidth())), fontsize=9, x=0.01, ha="left")
