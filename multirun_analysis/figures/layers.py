"""What happened inside: gradients, dead units and updates of the layers, and how depth bears on them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from multirun_analysis.compare import Comparison
from multirun_analysis.factors import in_words
from multirun_analysis.figures import style
from multirun_analysis.figures.panels import lines, log_limits, mark_floor, panels, to_log
from multirun_analysis.figures.settings import HATCHES, Settings, legend, plain, some

MOST_PANELS = 6  # layers with a panel each
MOST_BARS = 12  # layers, and settings, beyond which lines are drawn
GUIDE = 1e-3  # of the update ratio


def gradient_flow(comparison: Comparison, factor: str) -> Figure | None:
    """Mean |gradient| of the layers by epoch, weight and bias joined, on a log axis."""
    frames = by_layer(joined(comparison.study.layers))
    return panels(comparison, factor, frames, "Mean |gradient| of layers", "mean |gradient|", log=True)


def zero_gradients(comparison: Comparison, factor: str) -> Figure | None:
    """Share of the elements of the layers' weight gradients that are exactly 0, by epoch."""
    frames = by_layer(of(comparison.study.layers, "grad_zero_fraction", "weight"))
    return panels(comparison, factor, frames, "Weight gradients that are exactly 0", "share of elements")


def dead_units(comparison: Comparison, factor: str) -> Figure | None:
    """Share of dead units (exactly 0 on the whole probe) by epoch; where there are any, that of saturated outputs."""
    frames, columns = {}, 3
    for quantity, what in (("dead_fraction", "dead units"), ("saturated_fraction", "saturated outputs")):
        found = by_layer(of(comparison.study.layers, quantity, "activation"))
        columns = max(1, len(frames)) if len(frames) in (1, 2, 4) else columns
        frames |= {f"{layer}: {what}": frame for layer, frame in found.items()}
    return panels(comparison, factor, frames, "Dead and saturated units on the probe", "share", columns=columns)


def update_ratios(comparison: Comparison, factor: str) -> Figure | None:
    """Size of a step's update relative to that of the weights, by epoch, on a log axis; the guide 1e-3 dashed."""
    frames = by_layer(of(comparison.study.layers, "update_ratio", "weight"))
    title = "Update ratio of weights, ‖change in a step‖ / ‖weights‖ (dashed: 1e-3)"
    return panels(comparison, factor, frames, title, "update ratio", log=True, guide=GUIDE)


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
        parts = {}
        for depth, part in frame.groupby("depth"):
            names = part["layer"].unique()
            parts[str(names[0]) if len(names) == 1 else f"layer {int(depth) + 1}"] = part  # type: ignore[call-overload]
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
    run, runs = pd.factorize(both["run"])
    layer, names = pd.factorize(both["layer"])
    bias = (both["tensor"] == "bias").to_numpy()
    m, depth, epoch = (both[c].to_numpy() for c in ("value", "depth", "epoch"))
    size = np.full((len(runs), len(names), 2), np.nan)
    is_size = np.arange(len(both)) >= len(rows)
    size[run[is_size], layer[is_size], bias[is_size].astype(int)] = m[is_size]
    run, layer, bias, m, depth, epoch = (a[: len(rows)] for a in (run, layer, bias, m, depth, epoch))
    n = size[run, layer, bias.astype(int)]
    _, first, group = np.unique(
        (run.astype(np.int64) * (epoch.max(initial=0) + 1) + epoch) * len(names) + layer,
        return_index=True, return_inverse=True,
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        value = np.bincount(group, n * m.astype(float)) / np.bincount(group, n)
    kept = rows.iloc[first]
    return pd.DataFrame({c: kept[c] for c in ("run", "epoch", "layer", "depth")} | {"value": value}, index=None)


def last_epoch(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last epoch."""
    return frame[frame["epoch"] == frame.groupby("run", observed=True)["epoch"].transform("max")]


def gradient_bars(comparison: Comparison, factor: str) -> Figure | None:
    """Mean |gradient| of each layer in a run's last epoch, on a log axis: bars of the settings side by side.

    Of many layers, or settings, lines over depth; exact zeros lie on a dotted line below all else, each with a mark.
    """
    frame = last_epoch(joined(comparison.study.layers))
    settings = Settings(comparison, factor)
    values, depths, present = settings.matrix(frame, "depth")
    if not present.any():
        return None
    means, half = settings.means(values)
    low, high, floor = log_limits(means, means)
    bars = len(depths) <= MOST_BARS >= settings.n
    width = float(np.clip(0.2 * len(depths) * settings.n + 1, 4.5, 9.5)) if bars else 7.0
    figure = style.figure(width + 2.3, 4.2)
    axes = figure.add_subplot()
    to_log(axes)
    axes.set_ylim(low, high)
    places, offsets = np.arange(len(depths)), np.zeros(settings.n)
    if bars:
        wide = min(0.82 / settings.n, 0.4)
        offsets = wide * (np.arange(settings.n) - (settings.n - 1) / 2)
        for k in range(settings.n):
            top = np.maximum(means[k], floor)
            axes.bar(places + offsets[k], top - low, wide, low, color=settings.colours[k], edgecolor="white",
                     hatch=HATCHES[settings.kind[k] % len(HATCHES)], linewidth=0)  # fmt: skip
            if np.isfinite(half[k]).any():
                ends = np.clip([means[k] - half[k], means[k] + half[k]], low, high)
                axes.vlines(places + offsets[k], *ends, color="black", linewidth=1)
        names = frame.groupby("depth")["layer"].agg(lambda layers: layers.iloc[0] if layers.nunique() == 1 else "")
        shown = [plain(names[depth] or f"layer {depth + 1}", 24) for depth in depths]
        axes.set_xticks(places, shown, fontsize=9, rotation=30 if sum(map(len, shown)) > 9 * width else 0)
    else:
        kept = np.flatnonzero(np.isfinite(means).any(axis=1))
        kinds = [settings.dash(kind) for kind in settings.kind[kept]]
        axes.add_collection(lines(places, means[kept], floor, settings.colours[kept], kinds, 1.5, "mean"))
        for k in kept:
            last = np.flatnonzero(np.isfinite(means[k]))[-1:]
            axes.plot(places[last], np.maximum(means[k][last], floor), color=settings.colours[k], linestyle="none",
                      marker=style.MARKS[settings.level[k] % len(style.MARKS)], markersize=6)  # fmt: skip
        axes.set_xlim(-0.03 * len(depths), 1.03 * (len(depths) - 1))
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place + 1:.0f}"))
        axes.set_xlabel("layer (1: nearest the input)", fontsize=10)
    mark_floor(axes, floor)
    which, where = np.nonzero(means == 0)
    axes.scatter(places[where] + offsets[which], np.full(len(which), floor), marker="v", s=28, facecolors="white",
                 edgecolors=list(settings.colours[which]) or "none", zorder=4, gid="zero")  # fmt: skip
    broken = np.flatnonzero(settings.diverged & present)
    if len(broken):
        y = slot(axes, top=True)
        which, where = np.nonzero(~pd.isna(_recorded(settings, frame))[broken])
        setting = settings.setting[broken[which]]
        axes.scatter(places[where] + offsets[setting], np.full(len(which), y), marker="x", s=40, linewidths=1.6,
                     c=list(settings.colours[setting]), gid="x")  # fmt: skip
    axes.set_ylabel("mean |gradient|", fontsize=10)
    axes.tick_params(labelsize=9)
    shown_runs = int((present & (settings.completed | settings.diverged)).sum())
    figure.suptitle(f"Mean |gradient| of layers in the last epoch, by {plain(factor)} ({shown_runs} runs)", fontsize=12)
    settings.legend(figure, bars)
    settings.note(figure, present, "Bar" if bars else "Line")
    return figure


def _recorded(settings: Settings, frame: pd.DataFrame) -> np.ndarray:
    """1 where a run has a layer, whatever was measured of it (runs, layers); NaN elsewhere."""
    return settings.matrix(frame.assign(value=1.0), "depth")[0]


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
    settings = Settings(comparison, comparison.factors[0])
    numbers = count.reindex(settings.runs).to_numpy(dtype=float)
    present = ~np.isnan(numbers)
    if len(np.unique(numbers[present])) < 2:
        return None
    levels = comparison.settings.loc[settings.runs, comparison.factors].map(in_words)
    same = [name for name in levels if not _deepens(levels, name, numbers)]
    label = levels[same].agg(", ".join, axis=1).to_numpy() if same else np.full(len(levels), "")
    groups = sorted(set(label[present]))
    colours = style.colours(groups)
    figure = style.figure(8.6 + (2.2 if same else 0), max(3.9, 0.21 * min(len(groups), 12) + 0.8))
    metric, runs = comparison.metric, comparison.study.runs
    columns = [
        ("Mean |gradient| of the first layer, last epoch", "mean |gradient|", first.reindex(settings.runs), True),
        (plain(metric.name), plain(metric.name), comparison.values[settings.runs], metric.sign <= 0),
    ]
    for i, (axes, (title, ylabel, found, top)) in enumerate(zip(figure.subplots(1, 2), columns, strict=True)):
        values = np.where(settings.completed & present, found.to_numpy(dtype=float), np.nan)
        finite = values[np.isfinite(values)]
        means, floor = settings.means(values[:, None])[0][:, 0], -np.inf
        if i == 0 or (not metric.is_share and len(finite) and 0 < 50 * finite.min() < finite.max()):
            low, high, floor = log_limits(values, values)
            to_log(axes)
            axes.set_ylim(low, high)
            mark_floor(axes, floor)
        elif len(finite):
            margin = 0.06 * (finite.max() - finite.min()) or 0.05 * abs(finite.max()) or 0.05
            axes.set_ylim(finite.min() - margin, finite.max() + margin)
        number = np.full(settings.n, np.nan)
        number[settings.setting] = numbers
        for k, group in enumerate(groups):
            here = (label == group) & present
            look = {"color": colours[group], "marker": style.MARKS[k % len(style.MARKS)], "linestyle": "none"}
            axes.plot(numbers[here], np.maximum(values[here], floor), alpha=0.6, markersize=5, **look)
            cells = np.unique(settings.setting[here])
            cells = cells[np.argsort(number[cells], kind="stable")]
            if len(np.unique(number[cells])) == len(cells):  # else it would be no mean over seeds alone
                dash = style.DASHES[k % len(style.DASHES)]
                axes.plot(number[cells], np.maximum(means[cells], floor), color=colours[group], linestyle=dash)
            axes.plot(number[cells], np.maximum(means[cells], floor), "_", color=colours[group], markersize=16)
        broken = settings.diverged & present
        if broken.any():
            y = slot(axes, top)
            axes.scatter(numbers[broken], np.full(int(broken.sum()), y), marker="x", s=45, linewidths=1.8,
                         c=[colours[group] for group in label[broken]], gid="x")  # fmt: skip
        if i == 1 and metric.name.endswith("val_loss") and "baseline_val_loss" in runs:
            baseline = float(runs["baseline_val_loss"].mean())
            if axes.get_ylim()[0] < baseline < axes.get_ylim()[1]:  # all far better runs need no such line
                axes.axhline(baseline, color=style.GREY, linestyle="--", linewidth=1)
                axes.annotate("predicting the mean", (1, baseline), (-3, -11), fontsize=9, color="#555555",
                              ha="right", xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
        if metric.is_share and i == 1:
            axes.yaxis.set_major_formatter(PercentFormatter(1))
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
    figure.suptitle(f"Depth, gradient and result ({int(present.sum())} runs)", fontsize=12)
    settings.note(figure, present, "Dash")
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
    axes.set_ylim(*((None, end) if top else (end, None)))
    axes.axhspan(min(start, end), max(start, end), color="#f2f2f2", zorder=0)
    axes.annotate("diverged", (0, middle), (-4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  fontsize=9, color="#555555", ha="right", va="center")  # fmt: skip
    return middle
