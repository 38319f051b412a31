"""What happened inside: gradients, dead units and updates of the layers, and how depth bears on them."""

from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.cells import HATCHES, Cells, heading, legend, plain, some
from multirun_analysis.figures.panels import curves, log_scale, panels, to_scale
from multirun_analysis.records.described import in_words

MOST_PANELS = 6  # layers with a panel each
MOST_BARS = 12  # layers, and cells, beyond which lines are drawn
GUIDE = 1e-3  # of the update ratio


def gradient_flow(comparison: Comparison, factor: str) -> Figure | None:
    """Mean |gradient| of the layers by epoch, weight and bias joined, on a log axis."""
    frames = by_layer(joined(comparison.study.layers))
    return panels(comparison, factor, [frames], "Mean |gradient| of layers", "mean |gradient|", log=True)


def zero_gradients(comparison: Comparison, factor: str) -> Figure | None:
    """Share of the elements of the layers' weight gradients that are exactly 0, by epoch."""
    frames = by_layer(of(comparison.study.layers, "grad_zero_fraction", "weight"))
    return panels(comparison, factor, [frames], "Weight gradients that are exactly 0", "share of elements")


def dead_units(comparison: Comparison, factor: str) -> Figure | None:
    """Share of dead units (exactly 0 on the whole probe) by epoch; where there are any, that of saturated outputs."""
    groups, title = [], "Dead units"
    for quantity, what in (("dead_fraction", "dead units"), ("saturated_fraction", "saturated outputs")):
        found = by_layer(of(comparison.study.layers, quantity, "activation"))
        groups.append({f"{layer}: {what}": frame for layer, frame in found.items()})
    if groups[1]:
        title = "Dead units and saturated outputs"
    return panels(comparison, factor, groups, f"{title} on the probe", "share")


def update_ratios(comparison: Comparison, factor: str) -> Figure | None:
    """Size of a step's update relative to that of the weights, by epoch, on a log axis; the guide 1e-3 dashed."""
    frames = by_layer(of(comparison.study.layers, "update_ratio", "weight"))
    title = "Update ratio of weights, ‖change in a step‖ / ‖weights‖ (dashed: 1e-3)"
    return panels(comparison, factor, [frames], title, "update ratio", log=True, guide=GUIDE)


def of(layers: pd.DataFrame, quantity: str, tensor: str) -> pd.DataFrame:
    """The rows of a quantity of one of the tensors."""
    return layers[(layers["quantity"] == quantity) & (layers["tensor"] == tensor)]


def by_layer(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`frame` (run, layer, depth, ...) a layer at a time, by its name or, where names differ, its number.

    Where there are many layers: each run's first, middle and last one; the middle only of three and more.
    """
    if frame.empty:
        return {}
    if frame["depth"].max() < MOST_PANELS:
        parts: dict[str, pd.DataFrame] = {}
        for number, part in frame.groupby("depth"):
            names = part["layer"].unique()
            parts[str(names[0]) if len(names) == 1 else f"layer {cast(int, number) + 1}"] = part
        return parts
    depth = frame["depth"]
    last = depth.groupby(frame["run"], observed=True).transform("max")
    first = depth.groupby(frame["run"], observed=True).transform("min")
    middle = (first + last + 1) // 2
    return {
        "first layer": frame[depth == first],
        "middle layer": frame[(depth == middle) & (middle > first) & (middle < last)],
        "last layer": frame[depth == last],
    }


def joined(layers: pd.DataFrame) -> pd.DataFrame:
    """Mean |g| of each layer, weight and bias joined: run, epoch, layer, depth, value.

    (n_w m_w + n_b m_b) / (n_w + n_b), with n the sizes of the tensors: the mean over all elements of the layer. Not a
    number where a term is none, or its size is not known.
    """
    rows = layers[(layers["quantity"] == "grad_mean_abs") & layers["tensor"].isin(["weight", "bias"])]
    sizes = layers[(layers["quantity"] == "size") & (layers["epoch"] == 0)]
    both = pd.concat([rows, sizes])
    run, layer = (pd.factorize(both[column])[0].astype(np.int64) for column in ("run", "layer"))
    bias = (both["tensor"] == "bias").to_numpy().astype(int)
    at, m = len(rows), both["value"].to_numpy(dtype=float)
    size = np.full((run.max(initial=0) + 1, layer.max(initial=0) + 1, 2), np.nan)
    size[run[at:], layer[at:], bias[at:]] = m[at:]
    run, layer, m, n = run[:at], layer[:at], m[:at], size[run[:at], layer[:at], bias[:at]]
    epoch = rows["epoch"].to_numpy().astype(np.int64)
    key = (run * (epoch.max(initial=0) + 1) + epoch) * size.shape[1] + layer
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    with np.errstate(invalid="ignore"):
        value = np.bincount(group, n * m) / np.bincount(group, n)
    return rows.iloc[first][["run", "epoch", "layer", "depth"]].assign(value=value)


def last_epoch(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch."""
    return frame[frame["epoch"] == frame.groupby("run", observed=True)["epoch"].transform("max")]


def gradient_bars(comparison: Comparison, factor: str) -> Figure | None:
    """Mean |gradient| of each layer in a run's last epoch, on a log axis: bars of the settings side by side.

    Of many layers, or cells, lines over depth; exact zeros lie on a dotted line below all else, each with a mark.
    """
    frame = last_epoch(joined(comparison.study.layers))
    cells = Cells(comparison, factor)
    values, depths, present = cells.matrix(frame, "depth")
    if not present.any():
        return None
    means, below, above = cells.means(values, log=True)
    scale = log_scale(means, means, np.concatenate([below, above]) if cells.n <= MOST_BARS else means)
    bars = len(depths) <= MOST_BARS >= cells.n
    width = float(np.clip(0.2 * len(depths) * cells.n + 1, 5.5, 9.5)) if bars else 7.0
    figure = style.figure(width + 2.3, 4.2)
    axes = figure.add_subplot()
    to_scale(axes, scale)
    places = np.arange(len(depths))
    offsets: np.ndarray = np.zeros(cells.n)
    if bars:
        wide = min(0.82 / cells.n, 0.4)
        offsets = wide * (np.arange(cells.n) - (cells.n - 1) / 2)
        for k in range(cells.n):
            heights = np.maximum(means[k], scale.floor) - scale.low
            axes.bar(places + offsets[k], heights, wide, scale.low, color=cells.colours[k], edgecolor="white",
                     hatch=HATCHES[cells.kind[k] % len(HATCHES)], linewidth=0)  # fmt: skip
            if np.isfinite(above[k]).any():
                ends = np.clip([below[k], above[k]], scale.low, scale.high)
                axes.vlines(places + offsets[k], *ends, color="black", linewidth=1)
        names = frame.groupby("depth")["layer"].agg(lambda layers: layers.iloc[0] if layers.nunique() == 1 else "")
        shown = [plain(names[depth] or f"layer {depth + 1}", 24) for depth in depths]
        axes.set_xticks(places, shown, fontsize=9, rotation=30 if sum(map(len, shown)) > 9 * width else 0)
        axes.set_xlim(-0.55, len(depths) - 0.45)
    else:
        curves(axes, cells, (means, below, above), places, scale)
        axes.set_xlim(-0.03 * len(depths), 1.03 * (len(depths) - 1))
        axes.xaxis.set_major_locator(FixedLocator(some(list(places), 9)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place + 1:.0f}"))
        axes.set_xlabel("layer (1: nearest the input)", fontsize=10)
    which, where = np.nonzero(means == 0)
    axes.scatter(places[where] + offsets[which], np.full(len(which), scale.floor), marker="v", s=28, facecolors="white",
                 edgecolors=list(cells.colours[which]) or "none", zorder=4, gid="zero")  # fmt: skip
    broken = np.flatnonzero(cells.diverged & present)
    if len(broken):
        y = slot(axes, top=True)
        which, where = np.nonzero(~pd.isna(_recorded(cells, frame))[broken])
        setting = cells.setting[broken[which]]
        axes.scatter(places[where] + offsets[setting], np.full(len(which), y), marker="x", s=40, linewidths=1.6,
                     c=list(cells.colours[setting]), gid="x")  # fmt: skip
    axes.set_ylabel("mean |gradient|", fontsize=10)
    shown_runs = int((present & (cells.completed | cells.diverged)).sum())
    heading(figure, f"Mean |gradient| of layers in the last epoch, by {plain(factor)} ({shown_runs} runs)")
    cells.legend(figure, bars)
    cells.note(figure, present, "Bar" if bars else "Line")
    return figure


def _recorded(cells: Cells, frame: pd.DataFrame) -> np.ndarray:
    """1 where a run has a layer, whatever was measured of it (runs, layers); NaN elsewhere."""
    return cells.matrix(frame.assign(value=1.0), "depth")[0]


def depth_against_gradient(comparison: Comparison) -> Figure | None:
    """Mean |gradient| of the first layer in the last epoch, and the figure compared, against the number of layers.

    A dot a run; a line joins the means over seeds of settings that agree in all but what makes the network deeper. None
    where all networks have as many layers.
    """
    flow = joined(comparison.study.layers)
    if flow.empty or not comparison.factors:
        return None
    count = flow.groupby("run", observed=True)["layer"].nunique()
    first = last_epoch(flow).sort_values("depth").drop_duplicates("run").set_index("run")["value"]
    cells = Cells(comparison, comparison.factors[0])
    numbers = count.reindex(cells.runs).to_numpy(dtype=float)
    present = ~np.isnan(numbers)
    if len(np.unique(numbers[present])) < 2:
        return None
    levels = comparison.settings.loc[cells.runs, comparison.factors].map(in_words)
    same = [name for name in comparison.factors if not _deepens(levels, name, numbers)]
    label = levels[same].agg(", ".join, axis=1).to_numpy() if same else np.full(len(levels), "")
    groups = sorted(set(label[present]))
    colours = style.colours(groups)
    figure = style.figure(8.6 + (2.2 if same else 0), max(3.9, 0.21 * min(len(groups), 12) + 0.8))
    metric, runs = comparison.metric, comparison.study.runs
    columns = [
        ("First layer in the last epoch", "mean |gradient|", first.reindex(cells.runs), True),
        ("Result", plain(metric.name), comparison.values[cells.runs], metric.sign <= 0),
    ]
    for i, (axes, (title, ylabel, found, top)) in enumerate(zip(figure.subplots(1, 2), columns, strict=True)):
        values = np.where(cells.completed & present, found.to_numpy(dtype=float), np.nan)
        finite = values[np.isfinite(values)]
        means, floor = cells.means(values[:, None])[0][:, 0], -np.inf
        if i == 0 or (not metric.is_share and len(finite) and 0 < 50 * finite.min() < finite.max()):
            scale = log_scale(values, values, values)
            to_scale(axes, scale)
            floor = scale.floor
        elif len(finite):
            margin = 0.06 * (finite.max() - finite.min()) or 0.05 * abs(finite.max()) or 0.05
            axes.set_ylim(finite.min() - margin, finite.max() + margin)
        number = np.full(cells.n, np.nan)
        number[cells.setting] = numbers
        for k, group in enumerate(groups):
            here = (label == group) & present
            look = {"color": colours[group], "marker": style.MARKS[k % len(style.MARKS)], "linestyle": "none"}
            axes.plot(numbers[here], np.maximum(values[here], floor), alpha=0.6, markersize=5, **look)
            ours = np.unique(cells.setting[here])
            ours = ours[np.argsort(number[ours], kind="stable")]
            if len(np.unique(number[ours])) == len(ours):  # else it would be no mean over seeds alone
                dash = style.DASHES[k % len(style.DASHES)]
                axes.plot(number[ours], np.maximum(means[ours], floor), color=colours[group], linestyle=dash)
            axes.plot(number[ours], np.maximum(means[ours], floor), "_", color=colours[group], markersize=16)
        broken = cells.diverged & present
        if broken.any():
            y = slot(axes, top)
            axes.scatter(numbers[broken], np.full(int(broken.sum()), y), marker="x", s=45, linewidths=1.8,
                         c=[colours[group] for group in label[broken]], gid="x")  # fmt: skip
        if i == 1 and metric.name.endswith("val_loss") and "baseline_val_loss" in runs:
            baseline = float(runs["baseline_val_loss"].mean())
            if axes.get_ylim()[0] < baseline < axes.get_ylim()[1]:  # all far better runs need no such line
                axes.axhline(baseline, color=style.GREY, linestyle="--", linewidth=1)
                axes.annotate("predicting the mean", (0, baseline), (3, -11), fontsize=9, color="#555555",
                              xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
        if metric.is_share and i == 1:
            axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(some(sorted(set(numbers[present])), 9)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("layers with weights", fontsize=10)
        axes.set_ylabel(ylabel, fontsize=10)
        axes.tick_params(labelsize=9)
    if same:
        looks = zip(colours.values(), style.DASHES * 8, style.MARKS * 8, strict=False)
        signs = [Line2D([], [], color=c, linestyle=dash, marker=mark) for c, dash, mark in looks]  # type: ignore[arg-type]
        legend(figure, {", ".join(same): (signs, groups)})
    heading(figure, f"Number of layers, gradient and result ({int(present.sum())} runs)")
    cells.note(figure, present, "Dot: a run. Dash")
    return figure


def _deepens(levels: pd.DataFrame, factor: str, numbers: np.ndarray) -> bool:
    """Whether runs that agree in all but this factor differ in their number of layers."""
    others = [name for name in levels if name != factor]
    frame = levels.assign(number=numbers).dropna(subset="number")
    return bool((frame.groupby(others)["number"].nunique() > 1).any() if others else frame["number"].nunique() > 1)


def slot(axes: Axes, top: bool) -> float:
    """Room beyond the values at one end of the y axis, labelled "diverged"; the height of its middle."""
    to, back = axes.transScale.transform, axes.transScale.inverted().transform
    (_, low), (_, high) = to((1, axes.get_ylim()[0])), to((1, axes.get_ylim()[1]))
    room = 0.14 * (high - low)
    edges = (high, high + room) if top else (low, low - room)
    start, middle, end = (float(back((0, y))[1]) for y in (edges[0], sum(edges) / 2, edges[1]))
    axes.set_yticks([tick for tick in axes.get_yticks() if min(axes.get_ylim()) <= tick <= max(axes.get_ylim())])
    axes.set_ylim(*((None, end) if top else (end, None)))
    axes.axhspan(min(start, end), max(start, end), color="#f2f2f2", zorder=0)
    axes.annotate("diverged", (0, middle), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  fontsize=9, color="#555555", ha="right", va="center")  # fmt: skip
    return middle
