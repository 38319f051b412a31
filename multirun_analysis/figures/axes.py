"""Axes: limits that exploding runs do not spoil, log axes, slots for runs without a figure, lines, bands, end marks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import ArrayLike

from multirun_analysis.figures import style
from multirun_analysis.figures.encoding import MISSING, Encoding, Means
from paribus import record

SPANNING = 20  # positive values whose range is beyond this factor are drawn on a log axis
EXPLODED = 100  # lines so many times above most of them are left out of a log axis
COLLAPSED = 1e4  # lines so many times below most of them are, where low values are bad
BELOW = 1e3  # how far below the completed runs a log axis follows the others
NEGLIGIBLE = 1e-6  # values that much smaller than a guide are as good as 0
MORE = 3  # by which factor a log axis extends beyond the lines, for intervals and what is left out
STEPS = (1, 2, 2.5, 5, 10)  # between ticks
LEAST_SPAN = 1e-3  # of an axis, as a share of its values: less would show rounding, with ticks that look alike


@dataclass(frozen=True)
class Scale:
    """Limits of an axis. What lies beyond is drawn at the edge; on a log axis zeros lie at `floor`, ticked `label`."""

    low: float
    high: float
    log: bool = False
    share: bool = False
    floor: float = -np.inf
    label: str = ""

    def place(self, values: ArrayLike) -> np.ndarray:
        """Move values beyond the limits to the edge."""
        return np.clip(np.asarray(values, dtype=float), max(self.low, self.floor), self.high)

    def count_beyond(self, values: ArrayLike) -> int:
        found = np.asarray(values, dtype=float)
        return int((np.isfinite(found) & (self.place(found) != found)).sum())

    @property
    def ticks(self) -> dict[float, str]:
        """Places and labels of its ticks."""
        subs = (1.0, 2.0, 5.0) if self.log and self.high < 300 * self.low else (1.0,)
        locator = LogLocator(10, subs, numticks=9) if self.log else MaxNLocator(6, steps=STEPS)
        low, high = (max(self.low, 0), min(self.high, 1)) if self.share else (self.low, self.high)
        least = self.floor * max(3.0, (self.high / self.low) ** 0.07) if self.label else low  # a label is 7 % high

        def inside(ticks: ArrayLike) -> list[float]:
            return [float(tick) for tick in np.asarray(ticks) if max(low, least) <= tick <= high]

        found = inside(locator.tick_values(low, high))
        if len(found) < 2:
            found = inside(MaxNLocator(4, steps=STEPS).tick_values(low, high))
        labels = {tick: f"{100 * tick:g} %" if self.share else f"{tick:g}" for tick in found}
        return {self.floor: self.label, **labels} if self.label else labels


def spans_decades(values: np.ndarray, share: bool = False) -> bool:
    """Tell whether values are all positive and span so much that they are drawn on a log axis."""
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and not share and finite.min() > 0 and finite.max() > SPANNING * finite.min()


def choose_scale(
    certain: ArrayLike, others: ArrayLike = (), bands: ArrayLike = (), *, log: bool | None = None, share: bool = False,
    zero: bool = False, guide: float | None = None, room: float = EXPLODED, low_is_bad: bool = False,
) -> Scale:  # fmt: skip
    """Choose limits that show all lines, unless a few of them explode.

    Args:
        certain: lines of completed runs, a row each.
        others: values of runs that broke off, shown as far as they leave room for the others.
        bands: ends of intervals, shown unless they are far away.
        log: whether the axis is logarithmic; by default where the values span much.
        share: whether the values are fractions, shown in per cent.
        zero: whether a linear axis begins at 0.
        guide: a value that is to be seen; values far below it count as zero.
        room: how many times above most lines a line is left out of a log axis.
        low_is_bad: whether lines far below most of them are left out as well.
    """
    lines = np.asarray(certain, dtype=float)
    values = np.concatenate([lines.ravel(), np.asarray(others, dtype=float).ravel()])
    values, ends = (x[np.isfinite(x)] for x in (values, np.asarray(bands, dtype=float).ravel()))
    if log if log is not None else spans_decades(values, share):
        rooms = (room, COLLAPSED if low_is_bad else np.inf)
        return _log_scale(lines.reshape(len(lines), -1 if lines.size else 0), values, ends, guide, rooms)
    if not len(values):
        return Scale(0.0, 1.0, share=share)
    low, high = float(values.min()), float(values.max())
    if not share and low <= 0:  # else values within a factor of 20, none of which explodes
        cap = 2.5 * float(np.quantile(values, 0.9))
        high = min(high, cap) if cap > low else high
    if zero:
        top = max(float(ends.max(initial=high)), 0.02)
        return Scale(-0.04 * top, 1.06 * top, share=share, floor=0.0)
    span = max(high - low, LEAST_SPAN * max(abs(low), abs(high))) or 0.1
    low, high = ((low + high - span) / 2, (low + high + span) / 2) if span > high - low else (low, high)
    ends = np.clip(ends, low - 0.6 * span, high + 0.6 * span)
    low, high = float(ends.min(initial=low)), float(ends.max(initial=high))
    margin = 0.05 * (high - low)
    return Scale(low - margin, high + margin, share=share)


def _log_scale(
    lines: np.ndarray, values: np.ndarray, ends: np.ndarray, guide: float | None, rooms: tuple[float, float]
) -> Scale:
    positive = values[values > 0]
    if not len(positive):
        return Scale(1e-9, 1.0, log=True, floor=1e-8, label="0")
    low, high = float(positive.min()), float(positive.max())
    lines = np.where(np.isfinite(lines) & (lines > 0), lines, np.nan)
    lines = lines[~np.isnan(lines).all(axis=1)]
    if len(lines):
        largest, smallest = np.nanmax(lines, axis=1), np.nanmin(lines, axis=1)
        above = rooms[0] * float(np.quantile(largest, 0.7, method="nearest"))
        below = float(np.quantile(smallest, 0.3, method="nearest")) / rooms[1]
        most = MORE * float(largest[largest <= above].max())
        least = float(smallest[smallest >= below].min()) / MORE
        high = high if high <= above else most
        low = max(low, MORE * least / BELOW) if low >= below else least
        ends = np.clip(ends, least, most)
        low, high = float(ends.min(initial=low)), float(ends.max(initial=high))
    if guide is not None:
        low, high = min(max(low, guide * NEGLIGIBLE), guide), max(high, guide)
    decades = max(np.log10(high) - np.log10(low), 1.0)
    margin = float(10 ** min(0.05 * decades, 1.0))
    tiny = bool((positive < low).any())
    if not tiny and not (values == 0).any():
        return Scale(low / margin, high * margin, log=True)
    floor = max(low / float(10 ** max(0.6, 0.1 * decades)), 1e-300)
    return Scale(floor / margin, high * margin, log=True, floor=floor, label=f"< {low:.0e}" if tiny else "0")


def average(
    encoding: Encoding, tables: Sequence[pd.DataFrame], more: Sequence[float] = (), log: bool | None = None,
    share: bool = False, **options: Any,
) -> tuple[list[Means], Scale]:  # fmt: skip
    """Average tables of values (runs, x) over the seeds of each setting, and choose a scale that suits them together.

    Args:
        more: values that are to be seen as well.
        log, share, options: of `choose_scale`.
    """
    alone = [table.loc[table.index.intersection(encoding.broken)].to_numpy().ravel() for table in tables]
    others = np.concatenate([*alone, more])
    found = [encoding.means(table) for table in tables]
    certain = pd.concat([means.middle for means in found]).to_numpy(dtype=float)
    if log is None:
        log = spans_decades(np.concatenate([certain.ravel(), others]), share)
    if log or share:
        found = [encoding.means(table, log, share) for table in tables]
    ends = [end.to_numpy().ravel() for means in found for end in (means.low, means.high)]
    bands = np.concatenate(ends) if len(encoding.settings) <= style.MOST_ENTRIES else ()
    return found, choose_scale(certain, others, bands, log=log, share=share, **options)


def set_scale(axes: Axes, scale: Scale, which: str = "y", labelled: bool = True) -> None:
    """Apply a scale to the x or y axis, with tick labels or without."""
    if scale.log:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(list(scale.ticks), list(scale.ticks.values()))
    axis.set_ticks([], minor=True)
    (axes.set_xlim if which == "x" else axes.set_ylim)(scale.low, scale.high)
    axes.tick_params(labelsize=style.SMALL)
    if not labelled:
        axes.tick_params(axis="y", labelleft=False)
    if scale.label:
        axes.axhline(scale.floor, color=style.GREY, linewidth=0.8, linestyle=":")


def set_epochs(axes: Axes, epochs: ArrayLike) -> None:
    """Set an x axis of epochs."""
    found = np.asarray(epochs, dtype=float)
    if len(found):
        margin = 0.03 * float(np.ptp(found)) or 0.5
        axes.set_xlim(found.min() - margin, found.max() + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=style.SMALL)


class Slot:
    """Room at the bad end of an axis for the runs without a value. It applies the scale.

    Args:
        which: "x" or "y".
        at_high: whether the bad end is the high one.
        ends: of all runs: completed, diverged or missing.
    """

    def __init__(self, axes: Axes, scale: Scale, which: str, at_high: bool, ends: ArrayLike) -> None:
        self.axes, self.scale, self.which = axes, scale, which
        set_scale(axes, scale, which)
        kinds = {record.DIVERGED: "diverged", MISSING: "no figure"}
        words = [word for end, word in kinds.items() if (np.asarray(ends) == end).any()]
        if not words:
            return
        low, high = (np.log10([scale.low, scale.high]) if scale.log else np.array([scale.low, scale.high])).tolist()
        self.width = 0.16 * (high - low)
        start, end = (high, high + self.width) if at_high else (low, low - self.width)
        self.middle = (start + end) / 2
        edges = [float(edge) for edge in self.back(np.array(sorted([start, end])))]
        axis = axes.xaxis if which == "x" else axes.yaxis
        ticks = {**scale.ticks, float(self.back(self.middle)): "\nor ".join(words)}
        axis.set_ticks(list(ticks), list(ticks.values()))
        limits = sorted([float(self.back(end)), scale.low if at_high else scale.high])
        (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)
        (axes.axvspan if which == "x" else axes.axhspan)(*edges, color="#f0f0f0", lw=0, zorder=0, gid="slot")

    def back(self, places: ArrayLike) -> np.ndarray:
        return 10 ** np.asarray(places) if self.scale.log else np.asarray(places)

    def draw_marks(self, runs: pd.DataFrame, other: str, colours: pd.Series | None = None) -> None:
        """Draw the runs without a value, side by side where they share a place on the other axis.

        Args:
            runs: with `end`, and the place in the column `other`.
        """
        runs = runs[runs["end"] != record.COMPLETED]
        if runs.empty:
            return
        alike = runs.groupby(other)["end"]
        share = (alike.cumcount() + 0.5) / alike.transform("size") - 0.5
        places = pd.Series(self.back((self.middle + 0.8 * share * self.width).to_numpy(dtype=float)), runs.index)
        for end, mark, colour in ((record.DIVERGED, "x", style.BROKEN), (MISSING, "o", style.GREY)):
            mine = runs["end"] == end
            if mine.any():
                both = (places[mine], runs.loc[mine, other])
                shades = colours[runs.index[mine]].to_list() if colours is not None else colour
                x, y = both if self.which == "x" else both[::-1]
                marks = self.axes.scatter(x, y, marker=mark, s=45, lw=1.8, zorder=4, gid=end)
                marks.set_edgecolor(shades)
                marks.set_facecolor(shades if mark == "x" else "none")


def draw_lines(
    axes: Axes, values: pd.DataFrame, look: pd.DataFrame, scale: Scale, width: float = 1.0, alpha: float = 1.0,
    gid: str = "runs",
) -> None:  # fmt: skip
    """Draw a line for each row of `values`, coloured and dashed as `look` says, which has the same rows."""
    if values.empty:
        return
    array = values.to_numpy(dtype=float)
    x = values.columns.to_numpy(dtype=float)
    heights = np.where(array > scale.floor, array, np.where(np.isnan(array), np.nan, scale.floor))
    lines = np.stack([np.broadcast_to(x, heights.shape), heights], axis=-1)
    # dashes of a hundred lines on top of each other only blur them
    dashes = look["dash"].to_list() if len(look) <= 100 else "-"
    colours = look["colour"].to_list()
    part = LineCollection(list(lines), colors=colours, linestyles=dashes, linewidths=width, alpha=alpha, gid=gid)
    axes.add_collection(part, autolim=False)
    alone = np.isfinite(heights).sum(axis=1) == 1  # a single epoch is no line
    if alone.any():
        rows, at = np.nonzero(np.isfinite(heights) & alone[:, None])
        axes.scatter(x[at], heights[rows, at], s=12, c=[colours[row] for row in rows], alpha=alpha)


def draw_bands(axes: Axes, means: Means, colours: pd.Series, scale: Scale) -> bool:
    """Draw the intervals of means, and tell whether there are any."""
    there = means.high.index[means.high.notna().any(axis=1)]
    span = scale.high - scale.low
    far = (scale.low * 1e-9, scale.high * 1e9) if scale.log else (scale.low - 9 * span, scale.high + 9 * span)
    x = means.middle.columns.to_numpy(dtype=float)
    for cell in there:
        low, high = (np.clip(end.loc[cell].to_numpy(), max(far[0], scale.floor), far[1]) for end in means[1:])
        axes.fill_between(x, low, high, color=colours[cell], alpha=0.13, lw=0, gid="band")
    return len(there) > 0


def draw_level_marks(axes: Axes, points: pd.DataFrame, look: pd.DataFrame, size: float, gid: str) -> None:
    """Draw the mark of each setting's level at its point (columns x and y)."""
    for mark, settings in look.loc[points.index].groupby("mark"):
        at, colours = points.loc[settings.index], settings["colour"].to_list()
        axes.scatter(
            at["x"], at["y"], marker=str(mark), c=colours, s=size, gid=gid, edgecolors="white", linewidths=0.6,
            zorder=4, clip_on=False,
        )  # fmt: skip


def draw_end_marks(axes: Axes, ends: pd.DataFrame, scale: Scale, at_high: bool = True) -> None:
    """Draw an x where a run diverged, and a circle where another one stopped.

    Args:
        ends: of Encoding.ends.
        at_high: whether the bad end of the axis is the high one; there lies the mark of a run without any value.
    """
    bad = scale.high if at_high else scale.low
    for end, mine in ends.groupby("end"):
        y, colours = scale.place(mine["y"].fillna(bad)), mine["colour"].to_list()
        mark = "x" if end == record.DIVERGED else "o"
        marks = axes.scatter(mine["x"], y, s=70, lw=2, zorder=5, clip_on=False, gid=str(end), marker=mark)
        marks.set_edgecolor(colours)
        marks.set_facecolor(colours if mark == "x" else "none")
