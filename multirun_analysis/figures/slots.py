"""An axis of a metric, with a slot at its bad end for the runs that diverged or have no figure."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.metric import Metric
from multirun_analysis.figures.drawing import SPANNING
from multirun_analysis.figures.signs import MISSING, signs
from multirun_analysis.figures.style import COLOURS, GREY
from paribus import record

BROKEN = COLOURS[5]
DECADES = 6  # on either side of the median, of a logarithmic axis


def outcomes(comparison: Comparison, metric: Metric) -> pd.DataFrame:
    """A row a run, those that are there twice once: value (NaN without one), and end: completed, diverged, missing."""
    runs = signs(comparison, None).runs
    figures = comparison.values if metric == comparison.metric else metric.of(comparison.study)
    figures = figures.reindex(runs.index)
    end = runs["end"].mask(np.isinf(figures), record.DIVERGED)
    end = end.mask((end == record.COMPLETED) & figures.isna(), MISSING)
    return pd.DataFrame({"value": figures.where(end == record.COMPLETED), "end": end})


def scaled(values: np.ndarray, metric: Metric) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """How values are laid out along an axis: by their logarithm (and True) where they span much, else as they are."""
    finite = values[np.isfinite(values)]
    spans = len(finite) > 0 and not metric.is_share and finite.min() > 0 and finite.max() > SPANNING * finite.min()
    return (np.log10, True) if spans else (np.asarray, False)


class Slot:
    """Limits and ticks of an axis for all values, and room for the runs without one. `outside`: values beyond it.

    Args:
        which: "x" or "y".
        runs: with columns value and end.
        more: ends of intervals, which may make the axis up to 0.6 times as long again on either side.
    """

    def __init__(
        self, axes: Axes, which: str, metric: Metric, runs: pd.DataFrame, more: np.ndarray | None = None
    ) -> None:
        self.axes, self.which = axes, which
        values = runs["value"].dropna().to_numpy(dtype=float)
        self.to, self.log = scaled(values, metric)
        low, high = (
            (float(end) for end in self.to(np.array([values.min(), values.max()]))) if len(values) else (0.0, 1.0)
        )
        if self.log:  # what exploded would leave no room for the others
            middle = float(np.median(self.to(values)))
            low, high = max(low, middle - DECADES), min(high, middle + DECADES)
        span = high - low or 0.1 * abs(high) or 0.1
        if more is not None and np.isfinite(more).any():
            with np.errstate(invalid="ignore", divide="ignore"):
                ends = np.nan_to_num(self.to(more[np.isfinite(more)]), nan=-np.inf)  # below 0, on a logarithmic axis
            ends = np.clip(ends, low - 0.6 * span, high + 0.6 * span)
            low, high = min(low, ends.min()), max(high, ends.max())
        margin = 0.06 * max(high - low, span)
        self.low, self.high = low - margin, high + margin
        kinds = [
            word for end, word in ((record.DIVERGED, "diverged"), (MISSING, "no figure")) if (runs["end"] == end).any()
        ]
        self.width = 0.16 * (self.high - self.low) if kinds else 0.0
        bad = self.low if metric.sign > 0 else self.high
        towards = -1 if metric.sign > 0 else 1
        self.middle = bad + towards * self.width / 2
        ends = sorted([bad + towards * self.width, self.high if metric.sign > 0 else self.low])
        self.outside = int((self.kept(values) != values).sum())
        self._ticks(metric, values, "\nor ".join(kinds))
        set_limits = axes.set_xlim if which == "x" else axes.set_ylim
        set_limits(*self.back(np.array(ends)))
        if kinds:
            edges = self.back(np.array(sorted([bad, bad + towards * self.width])))
            (axes.axvspan if which == "x" else axes.axhspan)(*edges, color="#f0f0f0", lw=0, zorder=0, gid="slot")

    def back(self, places: np.ndarray) -> np.ndarray:
        return 10**places if self.log else places

    def kept(self, values: ArrayLike) -> np.ndarray:
        """Values, those outside of the axis at its end."""
        return np.clip(np.asarray(values), *self.back(np.array([self.low, self.high])))

    def put(self, runs: pd.DataFrame, other: str, colours: pd.Series | None = None) -> None:
        """The runs without a value in the slot, side by side where they share a place on the other axis.

        Args:
            other: the column with that place.
        """
        runs = runs[runs["end"] != record.COMPLETED]
        if runs.empty:
            return
        alike = runs.groupby(other)["end"]
        share = (alike.cumcount() + 0.5) / alike.transform("size") - 0.5
        places = pd.Series(self.back((self.middle + 0.8 * share * self.width).to_numpy(dtype=float)), runs.index)
        for end, mark in ((record.DIVERGED, "x"), (MISSING, "o")):
            mine = (runs["end"] == end).to_numpy()
            if not mine.any():
                continue
            both = (places[mine], runs.loc[mine, other])
            colour = colours[runs.index[mine]].to_list() if colours is not None else BROKEN if mark == "x" else GREY
            x, y = both if self.which == "x" else both[::-1]
            marks = self.axes.scatter(x, y, marker=mark, s=45, lw=1.8, zorder=4, gid=end)
            marks.set_edgecolor(colour)
            marks.set_facecolor(colour if mark == "x" else "none")

    def _ticks(self, metric: Metric, values: np.ndarray, word: str) -> None:
        axis = self.axes.xaxis if self.which == "x" else self.axes.yaxis
        if self.log:
            (self.axes.set_xscale if self.which == "x" else self.axes.set_yscale)("log")
        ends = self.back(np.array([self.low, self.high]))
        few = self.high - self.low < 2.5
        locator = LogLocator(subs=(1, 2, 5) if few else (1,)) if self.log else MaxNLocator(6)
        ticks = [t for t in locator.tick_values(*ends) if ends[0] <= t <= ends[1]] if len(values) else []
        labels = [f"{100 * t:g} %" if metric.is_share else f"{t:g}" for t in ticks]
        if word:
            ticks, labels = [*ticks, float(self.back(np.array(self.middle)))], [*labels, word]
        axis.set_ticks(ticks, labels)
        axis.set_ticks([], minor=True)
