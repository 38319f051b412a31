"""Curves by epoch: a panel a layer, a line a setting, its mean over seeds; what broke is drawn up to where it broke."""

from collections.abc import Mapping
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

from multirun_analysis.compare import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.settings import MOST_BANDS, Settings, plain

ROOM = 1e3  # how far above almost all values of a log axis one may lie


def panels(
    comparison: Comparison,
    factor: str,
    frames: Mapping[str, pd.DataFrame],
    title: str,
    ylabel: str,
    log: bool = False,
    guide: float | None = None,
    columns: int = 3,
) -> Figure | None:
    """A panel for each of `frames` (run, epoch, value) by its title, all on one scale.

    A diverged run's curve ends with an x, at the edge where it had no finite value; one that ended otherwise, with a |.
    Exact zeros on a log axis lie on a dotted line below all else. Values that are not on such an axis are shares.

    Args:
        guide: a value to mark.
        columns: of panels.
    """
    settings = Settings(comparison, factor)
    drawn = {name: settings.matrix(frame, "epoch") for name, frame in frames.items()}
    drawn = {name: found for name, found in drawn.items() if found[2].any()}
    if not drawn:
        return None
    means = {name: settings.means(found[0]) for name, found in drawn.items()}
    broken = ~settings.completed
    values = np.concatenate([
        np.concatenate([means[name][0].ravel(), found[0][broken].ravel()]) for name, found in drawn.items()
    ])  # fmt: skip
    certain = np.concatenate([mean.ravel() for mean, _ in means.values()])
    low, high, floor = log_limits(values, certain, guide) if log else share_limits(values)
    columns = min(columns, len(drawn))
    rows = ceil(len(drawn) / columns)
    figure = style.figure(3.2 * columns + 2.3, 2.5 * rows + 1.2)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(drawn) :]:
        axes.set_visible(False)
    for i, (axes, (name, (found, epochs, present))) in enumerate(zip(grid.flat, drawn.items(), strict=False)):
        _curves(axes, settings, found, means[name], epochs, (low, high, floor))
        _ends(axes, settings, found, epochs, present & broken, (low, high, floor))
        if guide is not None:
            axes.axhline(guide, color=style.GREY, linewidth=1, linestyle=(0, (6, 3)))
        axes.set_title(plain(name, 44), fontsize=10)
        axes.tick_params(labelsize=9, labelbottom=i + columns >= len(drawn))
        if i + columns >= len(drawn):
            axes.set_xlabel("epoch", fontsize=10)
        if i % columns == 0:
            axes.set_ylabel(ylabel, fontsize=10)
    axes = grid.flat[0]
    if log:
        to_log(axes)
    else:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_ylim(low, high)
    if log:
        for other in grid.flat[: len(drawn)]:
            mark_floor(other, floor)
    span = np.concatenate([epochs for _, epochs, _ in drawn.values()])
    margin = 0.04 * (span.max() - span.min()) or 0.5
    axes.set_xlim(span.min() - margin, span.max() + margin)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    seen = np.any([present for _, _, present in drawn.values()], axis=0)
    figure.suptitle(f"{title}, by {plain(factor)} ({int(seen.sum())} runs)", fontsize=12)
    settings.legend(figure)
    settings.note(figure, seen, "Line")
    return figure


def _curves(
    axes: Axes,
    settings: Settings,
    values: np.ndarray,
    mean_half: tuple[np.ndarray, np.ndarray],
    epochs: np.ndarray,
    limits: tuple[float, float, float],
) -> None:
    """Bands, means, and at the end of each the mark of its level; of runs that did not complete thin lines."""
    means, half = mean_half
    _, high, floor = limits
    if settings.n <= MOST_BANDS:
        for k in range(settings.n):
            if np.isfinite(half[k]).any():
                edges = np.clip([means[k] - half[k], means[k] + half[k]], floor, high)
                axes.fill_between(epochs, *edges, color=settings.colours[k], alpha=0.15, linewidth=0)
    kept = np.flatnonzero(np.isfinite(means).any(axis=1))
    kinds = [settings.dash(kind) for kind in settings.kind[kept]]
    axes.add_collection(lines(epochs, means[kept], floor, settings.colours[kept], kinds, 1.5, "mean"), autolim=False)
    last = [np.flatnonzero(np.isfinite(means[k]))[-1] for k in kept]
    ends = np.maximum(means[kept, last], floor)
    for level in np.unique(settings.level[kept]):
        here = settings.level[kept] == level
        axes.plot(epochs[np.array(last)[here]], ends[here], marker=style.MARKS[level % len(style.MARKS)], markersize=6,
                  linestyle="none", color=settings.colours[kept][here][0], markeredgecolor="white",
                  markeredgewidth=0.5, clip_on=False, zorder=4)  # fmt: skip


def _ends(
    axes: Axes,
    settings: Settings,
    values: np.ndarray,
    epochs: np.ndarray,
    broken: np.ndarray,
    limits: tuple[float, float, float],
) -> None:
    """What did not complete: a thin line up to the last finite value, and there an x (diverged) or a | (other)."""
    if not broken.any():
        return
    low, high, floor = limits
    which = np.flatnonzero(broken)
    finite = np.isfinite(values[which])
    # what comes after the first value that is no number is no curve any more
    finite &= np.logical_and.accumulate(finite | np.isnan(values[which]) & (np.cumsum(finite, axis=1) == 0), axis=1)
    shown = np.where(finite, values[which], np.nan)
    setting = settings.setting[which]
    colours = settings.colours[setting]
    kinds = [settings.dash(kind) for kind in settings.kind[setting]]
    axes.add_collection(lines(epochs, shown, floor, colours, kinds, 0.8, "broken"), autolim=False)
    some = finite.any(axis=1)
    last = np.where(some, values.shape[1] - 1 - finite[:, ::-1].argmax(axis=1), 0)
    edge = high / ROOM**0.02 if floor > 0 else high - 0.02 * (high - low)
    heights = np.where(some, np.clip(shown[np.arange(len(which)), last], max(low, floor), edge), edge)
    for mark, here in (("x", settings.diverged[which]), ("|", ~settings.diverged[which])):
        if here.any():
            axes.scatter(epochs[last][here], heights[here], s=70, marker=mark, c=list(colours[here]), linewidths=2,
                         zorder=5, clip_on=False, gid=mark)  # fmt: skip


def lines(
    x: np.ndarray, y: np.ndarray, floor: float, colours: np.ndarray, kinds: list[object], width: float, name: str
) -> LineCollection:
    """Rows of y (n, m) over x (m,) as one artist; what lies below `floor` on it, what is not finite left out."""
    heights = np.where(np.isfinite(y), np.maximum(y, floor), np.nan)
    points = np.stack([np.broadcast_to(np.asarray(x, dtype=float), heights.shape), heights], axis=-1)
    return LineCollection(list(points), colors=list(colours), linestyles=kinds or "-", linewidths=width, gid=name)  # type: ignore[arg-type]


def share_limits(values: np.ndarray) -> tuple[float, float, float]:
    """Limits from 0 on for shares, of which none explodes; and the lowest value, 0."""
    finite = values[np.isfinite(values)]
    high = max(float(finite.max(initial=0)), 0.02)
    return -0.04 * high, 1.06 * high, 0.0


def log_limits(values: np.ndarray, certain: np.ndarray, guide: float | None = None) -> tuple[float, float, float]:
    """Limits of a log axis, and where exact zeros lie on it: below all else, on the lower limit where there are none.

    Args:
        values: all of them.
        certain: those of runs that completed, all of which are to be seen, unless a few explode.
        guide: a value that is to be seen.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    settled = certain[np.isfinite(certain) & (certain > 0)]
    if not len(positive):
        return 1e-8, 1.0, 1e-7
    low, high = float(positive.min()), float(positive.max())
    if len(settled):
        # what diverges may pass through values that would leave no room for all others
        low = max(low, float(settled.min()) / ROOM)
        high = min(high, float(np.quantile(settled, 0.95)) * ROOM)
    if guide is not None:
        low, high = min(low, guide), max(high, guide)
    decades = max(np.log10(high) - np.log10(low), 1.0)
    room = 10 ** min(0.06 * decades, 1.0)
    if not (values == 0).any():
        return low / room, high * room, low / room
    floor = max(low / 10 ** max(1.0, 0.12 * decades), 1e-300)
    return floor / room, high * room, floor


def to_log(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, numticks=8))


def mark_floor(axes: Axes, floor: float) -> None:
    """The line on which exact zeros lie, where there are any."""
    if floor > axes.get_ylim()[0]:
        axes.axhline(floor, color=style.GREY, linewidth=0.8, linestyle=":")
        axes.annotate("exactly 0", (0, floor), (2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                      fontsize=9, color="#555555")  # fmt: skip
