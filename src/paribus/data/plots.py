"""Plot a data set before training, from plain arrays and tables; imports no torch. Missing numbers are left out.

Column names are the axis labels, so the caller puts units into the names.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, StrMethodFormatter

from paribus.plots import BOUND, TRAINED, UNTRAINED

BINS = 30
ROW_COLOURS = LinearSegmentedColormap.from_list("rows", ["#c6dfee", TRAINED, "#0a2233"])  # a single row is visible


def plot_histograms(table: pd.DataFrame) -> Figure:
    """Plot a histogram of each column."""
    figure, panels = _make_panels(len(table.columns), columns=3, width=3.2, height=2.2)
    for i, (axes, name) in enumerate(zip(panels, table, strict=True)):
        values = table[name].dropna().to_numpy(dtype=float)
        edges = _compute_edges(values)
        axes.stairs(np.histogram(values, edges)[0], edges, fill=True, color=TRAINED)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        _format_axis(axes.xaxis, str(name), values)
        if i % 3 == 0:
            axes.set_ylabel("rows", fontsize=10)
    return figure


def plot_boxes(table: pd.DataFrame) -> Figure:
    """Plot a box of each column: median, quartiles, whiskers to 1.5 box lengths, outliers."""
    figure, panels = _make_panels(len(table.columns), columns=5, width=1.9, height=2.6)
    for axes, name in zip(panels, table, strict=True):
        values = table[name].dropna().to_numpy(dtype=float)
        axes.boxplot(
            values,
            widths=0.5,
            patch_artist=True,
            boxprops={"facecolor": TRAINED, "alpha": 0.6},
            medianprops={"color": BOUND, "linewidth": 2},
            flierprops={"marker": ".", "markersize": 5, "markerfacecolor": UNTRAINED, "markeredgecolor": "none"},
        )
        axes.set_xticks([])
        _format_axis(axes.yaxis, str(name), values)
    figure.suptitle("Median and quartiles; whiskers to 1.5 box lengths", fontsize=10)
    return figure


def plot_against_target(table: pd.DataFrame, target: str) -> Figure:
    """Plot a two-dimensional histogram of each feature and the target, on one colour scale."""
    features = [name for name in table if name != target]
    figure, panels = _make_panels(len(features), columns=3, width=3.2, height=2.5)
    goal_edges = _compute_edges(table[target].to_numpy(dtype=float))
    drawn, most = [], 2.0
    for i, (axes, name) in enumerate(zip(panels, features, strict=True)):
        values, goal = table[[name, target]].dropna().to_numpy(dtype=float).T
        edges = _compute_edges(values)
        counts = np.histogram2d(values, goal, [edges, goal_edges])[0].T
        most = max(most, counts.max())
        drawn.append(axes.pcolormesh(edges, goal_edges, np.ma.masked_equal(counts, 0), cmap=ROW_COLOURS))
        _format_axis(axes.xaxis, str(name), values)
        _format_axis(axes.yaxis, target if i % 3 == 0 else "", goal)
    for mesh in drawn:
        mesh.set_norm(LogNorm(1, most))
    ticks = LogLocator(subs=(1, 2, 5))
    bar = figure.colorbar(drawn[0], ax=panels, aspect=40, ticks=ticks, format=StrMethodFormatter("{x:,.0f}"))
    bar.minorticks_off()
    bar.set_label("rows", fontsize=10)
    bar.ax.tick_params(labelsize=9)
    return figure


def plot_by_class(table: pd.DataFrame, classes: np.ndarray, names: Sequence[str]) -> Figure:
    """Plot a box of each column for each class: median, quartiles, whiskers to 1.5 box lengths, without outliers."""
    figure, panels = _make_panels(len(table.columns), columns=3, width=3.2, height=0.9 + 0.22 * len(names))
    for i, (axes, name) in enumerate(zip(panels, table, strict=True)):
        known = table[name].notna().to_numpy()
        values, of_class = table[name].to_numpy(dtype=float)[known], classes[known]
        axes.boxplot(
            [values[of_class == k] for k in range(len(names))],
            orientation="horizontal",
            widths=0.6,
            patch_artist=True,
            showfliers=False,
            boxprops={"facecolor": TRAINED, "alpha": 0.6},
            medianprops={"color": BOUND, "linewidth": 2},
        )
        axes.set_yticks(
            range(1, len(names) + 1), names if i % 3 == 0 else [""] * len(names), fontsize=9, parse_math=False
        )
        axes.invert_yaxis()
        _format_axis(axes.xaxis, str(name), values)
    return figure


def plot_class_counts(counts: Mapping[str, np.ndarray], names: Sequence[str], what: str = "images") -> Figure:
    """Plot the number of images, or rows, of each class as bars.

    Args:
        counts: (classes,), by part.
    """
    figure = Figure(figsize=(7, 0.48 * len(names) + 1), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(counts)
    for i, (part, numbers) in enumerate(counts.items()):
        places = np.arange(len(names)) + (i + 0.5) * height - 0.4
        bars = axes.barh(places, numbers, height, color=(TRAINED, UNTRAINED)[i % 2], label=part)
        axes.bar_label(bars, fmt="{:,.0f}", fontsize=9, padding=3)
    axes.set_yticks(range(len(names)), names, fontsize=10, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(axis="x", labelsize=9)
    axes.set_xlabel(what, fontsize=10)
    figure.legend(loc="outside upper center", ncols=len(counts), fontsize=10, frameon=False)
    return figure


def plot_samples(images: np.ndarray, labels: np.ndarray, names: Sequence[str], columns: int = 8) -> Figure:
    """Plot the first images of each class, a row per class.

    Args:
        images: (n, channels, height, width) bytes; 1 channel is grey, 3 are red, green and blue.
        labels: (n,), indices into `names`.
        columns: images per class.
    """
    gap = 2
    channels, height, width = images.shape[1:]
    sheet = np.full((channels, len(names) * (height + gap), columns * (width + gap)), 255, np.uint8)
    for i in range(len(names)):
        for j, image in enumerate(images[np.flatnonzero(labels == i)[:columns]]):
            top, left = i * (height + gap), j * (width + gap)
            sheet[:, top : top + height, left : left + width] = image
    figure = Figure(figsize=(0.75 * columns + 1.2, 0.75 * len(names) + 0.2), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    shown = np.broadcast_to(sheet, (3, *sheet.shape[1:])).transpose(1, 2, 0)
    axes.imshow(shown, interpolation="nearest")
    axes.set_yticks(np.arange(len(names)) * (height + gap) + height / 2, names, fontsize=10, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_anchor("E")  # spare width goes to the names
    return figure


def _make_panels(n: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n` panels in rows of `columns`, each `width` by `height` inches."""
    rows, columns = ceil(n / columns), min(n, columns)
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = Figure(figsize=(width * columns + 0.6, height * rows), dpi=100, layout=layout)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def _compute_edges(values: np.ndarray) -> np.ndarray:
    """Return the edges of equal bins from minimum to maximum; of one bin if floats cannot resolve them."""
    low, high = float(values.min()), float(values.max())
    edges = np.linspace(low, high, BINS + 1)
    if (np.diff(edges) > 0).all():
        return edges
    margin = 0.1 * max(abs(low), abs(high)) or 0.5
    return np.array([low - margin, high + margin])


def _format_axis(axis: Axis, label: str, values: np.ndarray) -> None:
    """Format ticks (few, with thousands separators for short numbers) and the label (without math mode)."""
    most = np.abs(values).max()
    axis.set_major_locator(MaxNLocator(4 if most < 1e4 else 3 if most < 1e6 else 2))
    if most < 1e7:
        axis.set_major_formatter(StrMethodFormatter("{x:,.7g}"))
    axis.set_tick_params(labelsize=9)
    axis.set_label_text(fill(label, 30), fontsize=10, parse_math=False)
