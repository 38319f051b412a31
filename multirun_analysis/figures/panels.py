"""Curves by epoch: a panel a layer, a line a setting, its mean over seeds; what broke is drawn up to where it broke."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.cells import MOST_BANDS, Cells, heading, plain

ROOM = 1e3  # how far above almost all values of a log axis one may lie
LEAST = 1e-6  # what is that much smaller than a guide is as good as 0
Means = tuple[np.ndarray, np.ndarray, np.ndarray]


class Scale(NamedTuple):
    """Of a y axis. What lies below `floor` is drawn on it; on a log axis zeros, by a line labelled `label`."""

    low: float
    high: float
    floor: float
    label: str = ""
    log: bool = False


def panels(
    comparison: Comparison,
    factor: str,
    groups: Sequence[Mapping[str, pd.DataFrame]],
    title: str,
    ylabel: str,
    log: bool = False,
    guide: float | None = None,
) -> Figure | None:
    """A panel a frame (run, epoch, value) by its title; those of a group have one scale, and rows of their own.

    A diverged run's curve ends with an x, at the edge where it had no finite value; one that ended otherwise, with a
    circle. Values that are not on a log axis are shares.

    Args:
        guide: a value to mark.
    """
    cells = Cells(comparison, factor)
    read = [{name: cells.matrix(frame, "epoch") for name, frame in group.items()} for group in groups]
    kept = [{name: found for name, found in group.items() if found[2].any()} for group in read]
    drawn = [group for group in kept if group]
    if not drawn:
        return None
    most = max(map(len, drawn))
    columns = most if most < 4 else 2 if most == 4 else 3
    rows = sum(ceil(len(group) / columns) for group in drawn)
    figure = style.figure(3.2 * max(columns, 2) + 2.3, 2.5 * rows + 1.2)
    grid = figure.add_gridspec(rows, columns)
    span = np.concatenate([epochs for group in drawn for _, epochs, _ in group.values()])
    margin = 0.04 * (span.max() - span.min()) or 0.5
    row = 0
    for group in drawn:
        means = {name: cells.means(values, log) for name, (values, _, _) in group.items()}
        if not log:  # shares, of which there are none below 0 or above 1
            means = {name: (middle, low.clip(0, 1), high.clip(0, 1)) for name, (middle, low, high) in means.items()}
        scale = _scale(cells, [values for values, _, _ in group.values()], list(means.values()), log, guide)
        for i, (name, (values, epochs, present)) in enumerate(group.items()):
            axes = figure.add_subplot(grid[row + i // columns, i % columns])
            to_scale(axes, scale, labelled=i % columns == 0)
            curves(axes, cells, means[name], epochs, scale)
            _ends(axes, cells, values, epochs, present & ~cells.completed, scale)
            if guide is not None:
                axes.axhline(guide, color=style.GREY, linewidth=1, linestyle=(0, (6, 3)))
            axes.set_title(plain(name, 36), fontsize=10)
            axes.set_xlim(span.min() - margin, span.max() + margin)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if i + columns >= len(group):
                axes.set_xlabel("epoch", fontsize=10)
            if i % columns == 0:
                axes.set_ylabel(ylabel, fontsize=10)
        row += ceil(len(group) / columns)
    seen = np.any([present for group in drawn for _, _, present in group.values()], axis=0)
    heading(figure, f"{title}, by {plain(factor)} ({int(seen.sum())} runs)")
    cells.legend(figure)
    cells.note(figure, seen, "Line", rest=" (o)")
    return figure


def curves(axes: Axes, cells: Cells, means: Means, x: np.ndarray, scale: Scale) -> None:
    """A line a setting, (n, m) over x (m,), its interval, and at its end the mark of its level."""
    middle, below, above = means
    if few := cells.n <= MOST_BANDS:
        for k in np.flatnonzero(np.isfinite(above).any(axis=1)):
            ends = np.clip([below[k], above[k]], scale.floor, scale.high)
            axes.fill_between(x, *ends, color=cells.colours[k], alpha=0.15, linewidth=0)
    kept = np.flatnonzero(np.isfinite(middle).any(axis=1))
    width = 1.5 if few else 0.9
    axes.add_collection(_lines(cells, kept, x, middle[kept], scale.floor, width, "mean"), autolim=False)
    last = middle.shape[1] - 1 - np.isfinite(middle[kept])[:, ::-1].argmax(axis=1)
    heights = np.maximum(middle[kept, last], scale.floor)
    for level in np.unique(cells.level[kept]):
        here = cells.level[kept] == level
        mark = style.MARKS[level % len(style.MARKS)]
        axes.plot(x[last][here], heights[here], mark, markersize=6 if few else 4, color=cells.colours[kept][here][0],
                  markeredgecolor="white", markeredgewidth=0.5, zorder=4)  # fmt: skip


def _ends(axes: Axes, cells: Cells, values: np.ndarray, epochs: np.ndarray, broken: np.ndarray, scale: Scale) -> None:
    """What did not complete: a thin line up to the last finite value, and there an x (diverged) or a circle (other)."""
    which = np.flatnonzero(broken)
    if not len(which):
        return
    finite = np.isfinite(values[which])
    # what comes after the first value that is no number is no curve any more
    started = np.maximum.accumulate(finite, axis=1)
    finite &= np.logical_and.accumulate(finite | ~started, axis=1)
    shown = np.where(finite, values[which], np.nan)
    kinds = cells.setting[which]
    axes.add_collection(_lines(cells, kinds, epochs, shown, scale.floor, 0.8, "broken"), autolim=False)
    some = finite.any(axis=1)
    last = np.where(some, values.shape[1] - 1 - finite[:, ::-1].argmax(axis=1), 0)
    at = np.where(some, np.clip(shown[np.arange(len(which)), last], scale.floor, scale.high), scale.high)
    for mark, here in (("x", cells.diverged[which]), ("o", ~cells.diverged[which])):
        if here.any():
            marks = axes.scatter(epochs[last][here], at[here], s=70, marker=mark, linewidths=2, zorder=5, clip_on=False,
                                 c=list(cells.colours[kinds][here]), gid=mark)  # fmt: skip
            if mark == "o":
                marks.set_facecolor("none")


def _lines(
    cells: Cells, kinds: np.ndarray, x: np.ndarray, y: np.ndarray, floor: float, width: float, name: str
) -> LineCollection:
    """Rows of y (k, m) over x (m,) as one artist, each in the look of its setting, `kinds` (k,)."""
    heights = np.where(np.isfinite(y), np.maximum(y, floor), np.nan)
    points = np.stack([np.broadcast_to(np.asarray(x, dtype=float), heights.shape), heights], axis=-1)
    dashes = [cells.dash(kind) for kind in cells.kind[kinds]]
    colours = list(cells.colours[kinds])
    return LineCollection(list(points), colors=colours, linestyles=dashes or "-", linewidths=width, gid=name)


def _scale(cells: Cells, values: Sequence[np.ndarray], means: Sequence[Means], log: bool, guide: float | None) -> Scale:
    """One that shows all settings, and what it can of the runs that broke."""
    certain = np.concatenate([middle.ravel() for middle, _, _ in means])
    everything = np.concatenate([certain, *(found[~cells.completed].ravel() for found in values)])
    bands = np.concatenate([end.ravel() for _, *ends in means for end in ends if cells.n <= MOST_BANDS] or [certain])
    if log:
        return log_scale(everything, certain, bands, guide)
    everything = np.concatenate([everything, np.minimum(bands, 1)])
    high = max(float(everything[np.isfinite(everything)].max(initial=0)), 0.02)
    return Scale(-0.04 * high, 1.06 * high, 0.0)


def log_scale(values: np.ndarray, certain: np.ndarray, bands: np.ndarray, guide: float | None = None) -> Scale:
    """A log axis; exact zeros, if any, are on a line below all else.

    Args:
        values: all of them.
        certain: those of runs that completed, all of which are to be seen, unless a few explode.
        bands: ends of their intervals, to be seen unless they are far away.
        guide: a value that is to be seen; what is far smaller counts as zero.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    settled = certain[np.isfinite(certain) & (certain > 0)]
    if not len(positive):
        return Scale(1e-9, 1.0, 1e-8, "0", True)
    low, high = float(positive.min()), float(positive.max())
    if len(settled):
        ends = np.clip(bands[bands > 0], settled.min() / 10, settled.max() * 10)
        low, high = float(ends.min(initial=low)), float(ends.max(initial=high))
        # what diverges may pass through values that would leave no room for all others
        low = max(low, float(settled.min()) / ROOM)
        high = min(high, float(np.quantile(settled, 0.95)) * ROOM)
    if guide is not None:
        low, high = min(max(low, guide * LEAST), guide), max(high, guide)
    decades = max(np.log10(high) - np.log10(low), 1.0)
    room = float(10 ** min(0.06 * decades, 1.0))
    tiny = bool((positive < low).any())
    if not tiny and not (values == 0).any():
        return Scale(low / room, high * room, low / room, "", True)
    floor = max(low / float(10 ** max(0.6, 0.1 * decades)), 1e-300)
    return Scale(floor / room, high * room, floor, f"< {low:.0e}" if tiny else "0", True)


def to_scale(axes: Axes, scale: Scale, labelled: bool = True) -> None:
    """Lay out the y axis, with tick labels or without."""
    if scale.log:
        axes.set_yscale("log")
        decades = np.log10(scale.high / scale.low)
        subs = (1.0, 2.0, 5.0) if decades < 1.5 else (1.0, 3.0) if decades < 3 else (1.0,)
        axes.yaxis.set_major_locator(LogLocator(10, subs, numticks=8))
        axes.yaxis.set_major_formatter(LogFormatterSciNotation(10, minor_thresholds=(np.inf, np.inf)))
        axes.yaxis.set_minor_locator(NullLocator())  # they take time
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_ylim(scale.low, scale.high)
    axes.tick_params(labelsize=9)
    axes.tick_params(axis="y", which="both", labelleft=labelled)
    if scale.label:
        axes.set_yticks([tick for tick in axes.get_yticks() if 3 * scale.floor < tick < scale.high])
        axes.axhline(scale.floor, color=style.GREY, linewidth=0.8, linestyle=":")
        if labelled:
            axes.annotate(scale.label, (0, scale.floor), (-7, 0), xycoords=("axes fraction", "data"), fontsize=9,
                          textcoords="offset points", ha="right", va="center",
                          bbox={"color": "white", "pad": 1.5, "linewidth": 0})  # fmt: skip
