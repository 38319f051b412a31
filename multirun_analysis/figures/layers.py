"""Draw the layers of runs: gradients, dead units and updates."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import (
    Scale,
    Slot,
    average,
    draw_bands,
    draw_end_marks,
    draw_level_marks,
    draw_lines,
    set_epochs,
    set_scale,
)
from multirun_analysis.figures.encoding import Encoding, Means, encode_main, pivot
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import SMALL, count, pick, plain
from paribus import record

MOST_PANELS = 6  # layers with a panel each
MOST_BARS = 12  # layers, and settings, beyond which lines are drawn
GUIDE = 1e-3  # of the update ratio
ROOM = 1e6  # layers may differ that much: only what is farther above most of them has exploded


@figure("gradient_flow")
def gradient_flow(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the mean |gradient| of the layers by epoch, weight and bias joined, on a log axis."""
    frames = by_layer(joined(comparison.study.layers))
    return draw_panels(comparison, factor, [frames], "Mean |gradient| of layers", "mean |gradient|", log=True)


@figure("zero_gradients")
def zero_gradients(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the share of the elements of the layers' weight gradients that are exactly 0, by epoch."""
    frames = by_layer(of(comparison.study.layers, "grad_zero_fraction", "weight"))
    return draw_panels(comparison, factor, [frames], "Weight gradients that are exactly 0", "share of elements")


@figure("dead_units")
def dead_units(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the share of dead units (exactly 0 on the whole probe) by epoch, and of saturated outputs if any."""
    groups, title = [], "Dead units"
    for quantity, what in (("dead_fraction", "dead units"), ("saturated_fraction", "saturated outputs")):
        found = by_layer(of(comparison.study.layers, quantity, "activation"))
        groups.append({f"{layer}: {what}": frame for layer, frame in found.items()})
    if groups[1]:
        title = "Dead units and saturated outputs"
    return draw_panels(comparison, factor, groups, f"{title} on the probe", "share")


@figure("update_ratios")
def update_ratios(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the size of a step's update relative to the weights, by epoch, on a log axis; 1e-3 dashed."""
    frames = by_layer(of(comparison.study.layers, "update_ratio", "weight"))
    title = "Update ratio of weights, ‖change in a step‖ / ‖weights‖ (dashed: 1e-3)"
    return draw_panels(comparison, factor, [frames], title, "update ratio", log=True, guide=GUIDE)


def draw_panels(
    comparison: Comparison, factor: str | None, groups: Sequence[Mapping[str, pd.DataFrame]], title: str, ylabel: str,
    log: bool = False, guide: float | None = None,
) -> Figure | None:  # fmt: skip
    """Draw a panel for each frame (run, epoch, value) under its title; those of a group have one scale and own rows.

    Args:
        log: whether the axis is logarithmic; else the values are shares.
        guide: a value to mark.
    """
    encoding = encode_main(comparison, factor)
    read = [{name: encoding.by_epoch(frame) for name, frame in group.items()} for group in groups]
    kept = [{name: values for name, values in group.items() if len(values)} for group in read]
    drawn = [group for group in kept if group]
    if not drawn:
        return None
    whole, panels = style.create_panels([len(group) for group in drawn])
    epochs = np.concatenate([values.columns for group in drawn for values in group.values()])
    for group, grid in zip(drawn, panels, strict=True):
        tables = list(group.values())
        found, scale = average(encoding, tables, log=log, share=not log, zero=not log, guide=guide, room=ROOM)
        for axes, (name, values), means in zip(grid, group.items(), found, strict=True):
            first = axes.get_subplotspec().is_first_col()  # type: ignore[union-attr]
            set_scale(axes, scale, labelled=first)
            set_epochs(axes, epochs)
            _draw_settings(axes, encoding, means, scale)
            alone = values.loc[values.index.intersection(encoding.broken)]
            draw_lines(axes, alone, encoding.runs.loc[alone.index], scale, 0.8, gid="broken")
            draw_end_marks(axes, encoding.ends(values), scale)
            if guide is not None:
                axes.axhline(guide, color=style.GREY, linewidth=1, linestyle=(0, (6, 3)))
            axes.set_title(plain(name, 36), fontsize=10)
            if first:
                axes.set_ylabel(ylabel, fontsize=10)
    names = (name for group in drawn for values in group.values() for name in values.index)
    present = pd.Index(list(dict.fromkeys(names)), dtype=object)
    _finish(whole, encoding, f"{title}{_by(encoding)} ({count(len(present), 'run')})", present, "line")
    return whole


def _draw_settings(axes: Axes, encoding: Encoding, means: Means, scale: Scale) -> None:
    """Draw the mean of each setting, its interval, and at its end the mark of its level."""
    few, settings = len(encoding.settings) <= style.MOST_ENTRIES, encoding.settings
    if few:
        draw_bands(axes, means, settings["colour"], scale)
    middle = means.middle.dropna(how="all")
    draw_lines(axes, middle, settings.loc[middle.index], scale, 1.5 if few else 0.9, gid="mean")
    last = middle.notna().iloc[:, ::-1].idxmax(axis=1) if len(middle) else pd.Series(dtype=float)
    heights = scale.place(middle.ffill(axis=1).iloc[:, -1])
    draw_level_marks(axes, pd.DataFrame({"x": last, "y": heights}), settings, 40 if few else 16, "level")


def _finish(figure: Figure, encoding: Encoding, title: str, present: pd.Index, what: str, marked: str = " (o)") -> None:
    style.add_title(figure, title)
    style.add_legend(figure, encoding.legend(bars=what == "bar"))
    style.add_note(figure, *encoding.describe_means(present, what), *encoding.describe_broken(present, marked))


def _by(encoding: Encoding) -> str:
    return f", by {encoding.factor}" if encoding.factor else ""


def of(layers: pd.DataFrame, quantity: str, tensor: str) -> pd.DataFrame:
    """Select the rows of a quantity of one of the tensors."""
    return layers[(layers["quantity"] == quantity) & (layers["tensor"] == tensor)]


def by_layer(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split a frame (run, layer, depth, ...) by layer, under its name or, where many names differ, its number.

    Where there are many layers: each run's first, middle and last one; the middle only of three and more.
    """
    if frame.empty:
        return {}
    if frame["depth"].max() < MOST_PANELS:
        parts: dict[str, pd.DataFrame] = {}
        for number, part in frame.groupby("depth"):
            names = part["layer"].unique()
            parts[_name_layer(list(names), cast(int, number))] = part
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
    """Average |g| of each layer over weight and bias together: run, epoch, layer, depth, value.

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
    """Select the rows of each run's last epoch."""
    return frame[frame["epoch"] == frame.groupby("run", observed=True)["epoch"].transform("max")]


def _name_layer(names: Sequence[object], depth: int) -> str:
    """Name the layer at a depth, whose name may differ between networks: the last one of one is inside another."""
    found = list(dict.fromkeys(map(str, names)))
    return " / ".join(found) if len(found) <= 2 else f"layer {depth + 1}"


@figure("gradient_bars")
def gradient_bars(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw the mean |gradient| of each layer in a run's last epoch, on a log axis: bars of the settings side by side.

    Of many layers, or settings, lines over depth; exact zeros lie on a dotted line below all else, each with a mark.
    """
    frame = last_epoch(joined(comparison.study.layers))
    encoding = encode_main(comparison, factor)
    values = pivot(frame, encoding.runs.index, "depth")
    settings, n = encoding.settings, len(encoding.settings)
    if values.empty or not n:
        return None
    depths, layers = values.columns, values.shape[1]
    names = [_name_layer(list(frame.loc[frame["depth"] == depth, "layer"].unique()), int(depth)) for depth in depths]
    values.columns = pd.RangeIndex(layers)
    bars = layers <= MOST_BARS >= n
    (means,), scale = average(
        encoding, [values.loc[values.index.intersection(encoding.completed)]], log=True, room=ROOM
    )
    whole = style.figure((float(np.clip(0.2 * layers * n + 1, 5.5, 9.5)) if bars else 7.0) + 2.3, 4.2)
    axes = whole.add_subplot()
    diverged = values.loc[values.index.intersection(encoding.runs.index[encoding.runs["end"] == record.DIVERGED])]
    slot = Slot(axes, scale, "y", True, [record.DIVERGED] * min(len(diverged), 1))
    wide = min(0.82 / n, 0.4)
    offsets = pd.Series(wide * (np.arange(n) - (n - 1) / 2) if bars else 0.0, settings.index)
    if bars:
        _draw_bars(axes, means, settings, offsets, wide, scale)
        shown = [plain(name, 24) for name in names]
        turned = sum(map(len, shown)) > 9 * (whole.get_figwidth() - 2.3)
        look: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}
        axes.set_xticks(range(layers), shown, fontsize=SMALL, **look)
        axes.set_xlim(-0.55, layers - 0.45)
    else:
        _draw_settings(axes, encoding, means, scale)
        axes.set_xlim(-0.03 * layers, 1.03 * (layers - 1))
        ticks = pick(range(layers), 9)
        ends = {0: names[0], layers - 1: names[-1]}
        axes.set_xticks(ticks, [f"{i + 1}" + (f"\n{plain(ends[i], 16)}" if i in ends else "") for i in ticks])
        axes.set_xlabel("layer (1: nearest the input)", fontsize=10)
    rows, where = np.nonzero(means.middle.to_numpy() == 0)
    cells = means.middle.index[rows]
    axes.scatter(where + offsets[cells], np.full(len(rows), scale.floor), marker="v", s=28, facecolors="white",
                 edgecolors=settings["colour"][cells].to_list() or "none", zorder=4, gid="zero")  # fmt: skip
    if len(diverged):
        rows, where = np.nonzero(diverged.notna().to_numpy())
        runs = encoding.runs.loc[diverged.index[rows]].reset_index()
        marks = runs.assign(x=where + runs["cell"].map(offsets).fillna(0).to_numpy())
        slot.draw_marks(marks, "x", marks["colour"])
    axes.set_ylabel("mean |gradient|", fontsize=10)
    title = f"Mean |gradient| of layers in the last epoch{_by(encoding)} ({count(len(values), 'run')})"
    _finish(whole, encoding, title, values.index, "bar" if bars else "line", ", not shown")
    return whole


def _draw_bars(
    axes: Axes, means: Means, settings: pd.DataFrame, offsets: pd.Series, width: float, scale: Scale
) -> None:
    """Draw a bar for each setting and layer, with its interval."""
    for cell in means.middle.index:
        places = np.arange(means.middle.shape[1]) + offsets[cell]
        heights = scale.place(means.middle.loc[cell]) - scale.low
        axes.bar(places, heights, width, scale.low, color=settings["colour"][cell], edgecolor="white",
                 hatch=settings["hatch"][cell], linewidth=0)  # fmt: skip
        low, high = (scale.place(end.loc[cell]) for end in means[1:])
        if np.isfinite(high).any():
            axes.vlines(places, low, high, color="black", linewidth=1)
