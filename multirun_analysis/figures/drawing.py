"""Lines of many runs at once, axes that suit them, and what stands around them."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from multirun_analysis.compare.metric import Metric
from multirun_analysis.figures.style import limits
from paribus import record

MOST_ENTRIES = 12  # of a legend, panels of a figure, cells that have bands
SPANNING = 20  # a range beyond this factor is drawn on a logarithmic axis
EXPLODED = 100  # values beyond so many times the end of a good run, which most runs have not, are outside of it
SMALL, TITLE = 9, 11  # points


def draw(axes: Axes, values: pd.DataFrame, look: pd.DataFrame, width: float = 1.0, alpha: float = 1.0) -> None:
    """A line a row of `values`, coloured and dashed as `look` says, which has the same rows."""
    x = np.broadcast_to(values.columns.to_numpy(dtype=float), values.shape)
    lines = np.stack([x, values.to_numpy()], axis=-1)
    # dashes of a hundred lines on top of each other only blur them
    dashes = look["dash"].to_list() if len(look) <= 100 else "-"
    axes.add_collection(
        LineCollection(list(lines), colors=look["colour"].to_list(), linestyles=dashes, linewidths=width, alpha=alpha),
        autolim=False,
    )
    alone = values.notna().sum(axis=1) == 1  # a single epoch is no line
    if alone.any():
        y = values[alone].bfill(axis=1).iloc[:, 0]
        at = values[alone].notna().to_numpy().argmax(axis=1)
        axes.scatter(values.columns.to_numpy()[at], y, s=12, c=look["colour"][alone].to_list(), alpha=alpha)


def draw_ends(axes: Axes, ends: pd.DataFrame, metric: str) -> None:
    """A x where a run diverged, a circle where another one stopped; at the bad end where it never had a value.

    To be called when the limits are set: a value outside has its mark at the edge.

    Args:
        ends: of Signs.ends.
    """
    low, high = axes.get_ylim()
    for end, mine in ends.groupby("end"):
        y = mine["y"].fillna(low if is_share(metric) else high).clip(low, high)
        if end == record.DIVERGED:
            axes.scatter(
                mine["x"], y, marker="x", c=mine["colour"].to_list(), s=70, lw=2, zorder=5, clip_on=False, gid=end
            )
        else:
            axes.scatter(
                mine["x"], y, marker="o", edgecolors=mine["colour"].to_list(), facecolors="none", s=70, lw=2, zorder=5,
                clip_on=False, gid=end,
            )  # fmt: skip


def fit(axes: Axes, values: pd.DataFrame, metric: str, broken: pd.Index | None = None) -> str:
    """Axes for curves by epoch: limits that a few exploding values do not spoil, logarithmic where values span much.

    Returns what to say where a whole line lies outside of them, but for the rows that are `broken`.
    """
    epochs = values.columns.to_numpy(dtype=float)
    margin = 0.02 * np.ptp(epochs) if len(epochs) > 1 else 1.0
    if len(epochs):
        axes.set_xlim(epochs.min() - margin, epochs.max() + margin)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    kept = values[values.notna().any(axis=1)]
    array = kept.to_numpy()
    bounds = limits(list(array), is_share(metric))
    if bounds is None:
        axes.text(0.5, 0.5, "no finite value", ha="center", transform=axes.transAxes, fontsize=SMALL)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        return ""
    low, high = float(np.nanmin(array)), float(np.nanmax(array))
    if not is_share(metric) and low > 0 and high > SPANNING * low:
        ends = kept.ffill(axis=1).iloc[:, -1]
        largest = kept.max(axis=1)  # what most runs reach at their beginning, say
        cap = EXPLODED * ends.quantile(0.25, interpolation="lower")
        high = min(high, max(float(cap), float(largest.quantile(0.5, interpolation="lower"))))
        margin = (high / low) ** 0.04
        bounds = (low / margin, high * margin)
        logarithmic(axes, *bounds)
    axes.set_ylim(*bounds)
    if is_share(metric):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    above = kept.index[np.nanmin(array, axis=1) > bounds[1]]
    above = above if broken is None else above.difference(broken)
    return f"{counted(len(above), 'line')} above the axis" if len(above) else ""


def logarithmic(axes: Axes, low: float, high: float, which: str = "y") -> None:
    """A logarithmic axis with plain numbers, more than one to a decade where there are few decades."""
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def finish(
    figure: Figure, title: str, note: str, entries: Sequence[tuple[Any, str]] = (), heading: str | None = None
) -> Figure:
    """Title, note under the plot and legend beside it."""
    width = figure.get_figwidth()
    figure.suptitle(textwrap.fill(plain(title, 400), int(12 * width)), size=TITLE, x=0.01, ha="left")
    if note:
        figure.supxlabel(textwrap.fill(plain(note, 1000), int(15 * width)), size=SMALL, x=0.01, ha="left")
    if entries:
        if len(entries) > MOST_ENTRIES:
            entries = [*entries[: MOST_ENTRIES - 1], blank(f"… and {len(entries) - MOST_ENTRIES + 1} more")]
        handles, labels = zip(*entries, strict=True)
        figure.legend(
            handles, [plain(label, 48) for label in labels], title=heading and plain(heading), fontsize=SMALL,
            title_fontsize=SMALL, loc="outside right center", frameon=False, alignment="left", handlelength=3.2,
        )  # fmt: skip
    return figure


def blank(text: str) -> tuple[Any, str]:
    """A legend entry of text alone."""
    return Line2D([], [], ls=""), text


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def short(text: str, longest: int = 44) -> str:
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[1 - longest // 2 :]}"


def plain(text: str, longest: int = 44) -> str:
    """Text that matplotlib shows as it is, shortened: no formula, no label that its underscore hides."""
    return (" " if text.startswith("_") else "") + short(text, longest).replace("$", r"\$")


def is_share(metric: str) -> bool:
    return metric.endswith("acc")


def shown(metric: str, value: float) -> str:
    return Metric(metric.replace("/", "_")).show(value)


def picked(things: Sequence[Any], most: int = MOST_ENTRIES) -> list[Any]:
    """At most so many of them, evenly over their order."""
    return [things[i] for i in np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)]
