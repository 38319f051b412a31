"""Charts that no figure of the analysis is: a report's curve among ours, figures side by side."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multirun_analysis.figures import style


def among_ours(
    curves: pd.DataFrame, theirs: pd.Series | None, metric: str, title: str, line: float | None = None
) -> Figure:
    """Curves of ours (a column a run, index the epoch), their mean, and a report's curve or single figure."""
    figure = style.figure(7.5, 4)
    axes = figure.subplots()
    few = curves.shape[1] == 1
    for i, name in enumerate(curves):
        label = ("our run" if few else "our runs") if not i else None
        width, alpha = (2.2, 1.0) if few else (0.7, 0.6)
        axes.plot(curves.index, curves[name], color=style.COLOURS[0], label=label, lw=width, alpha=alpha)
    if not few:
        axes.plot(curves.index, curves.mean(axis=1), color=style.COLOURS[0], lw=2.2, label="their mean")
    if theirs is not None:
        axes.plot(theirs.index, theirs, color=style.COLOURS[5], lw=1.6, marker="o", ms=3, label="the report's run")
    if line is not None:
        axes.axhline(line, color=style.COLOURS[5], lw=1.4, ls="--", label="the report's best")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(metric)
    axes.set_title(title, size=11)
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def intervals(estimates: Mapping[str, tuple[float, ...]], xlabel: str, title: str) -> Figure:
    """A row an estimate: its mean, and its interval (mean, low, high)."""
    figure = style.figure(7.5, 1.1 + 0.32 * len(estimates))
    axes = figure.subplots()
    axes.axvline(0, color="black", lw=0.8)
    for place, (mean, low, high) in enumerate(estimates.values()):
        axes.plot([low, high], [place, place], color=style.COLOURS[0], lw=2)
        axes.plot([mean], [place], "o", color=style.COLOURS[0], ms=6)
    axes.set_yticks(range(len(estimates)), list(estimates))
    axes.invert_yaxis()
    axes.set_xlabel(xlabel)
    figure.suptitle(title, size=11)  # over the labels as well, which leave little width to the axes
    axes.grid(alpha=0.25, axis="x")
    return figure


def dots(
    groups: Mapping[str, pd.Series],
    xlabel: str,
    title: str,
    log: bool = False,
    line: float | None = None,
    line_label: str = "",
) -> Figure:
    """A row a group: a dot a run, a bar at the mean."""
    figure = style.figure(7.5, 0.9 + 0.36 * len(groups))
    axes = figure.subplots()
    for place, values in enumerate(groups.values()):
        axes.plot(values, [place] * len(values), "o", color=style.COLOURS[0], ms=5, alpha=0.6, mew=0)
        axes.plot([values.mean()], [place], "|", color="black", ms=15, mew=2)
    if line is not None:
        axes.axvline(line, color=style.COLOURS[5], lw=1.4, ls="--", label=line_label)
        axes.legend(frameon=False)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    if log:
        axes.set_xscale("log")
    axes.set_xlabel(xlabel)
    axes.set_title(title, size=11)
    axes.grid(alpha=0.25, axis="x")
    return figure
