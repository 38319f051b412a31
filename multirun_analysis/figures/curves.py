"""What runs did epoch by epoch. Means are over seeds alone; a run that diverged ends with a x where it broke."""

from collections.abc import Hashable
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.drawing import (
    MOST_ENTRIES,
    SMALL,
    TITLE,
    counted,
    draw,
    draw_ends,
    finish,
    fit,
    picked,
    plain,
    short,
    shown,
)
from multirun_analysis.figures.signs import over_seeds, signs, wide
from multirun_analysis.records.described import in_words
from multirun_analysis.records.run_figures import higher_is_better
from paribus import record

ERRORS = ("val/mse", "val/mae")  # one of which is the loss itself
INTERVAL = "band: 95 % interval (Student; on a log axis of the logarithm)"
WIDEST = 2.0  # of a band: half of the interval, as a share of the mean


def overlaid(comparison: Comparison, factor: str | None, metric: str) -> Figure | None:
    """A line a cell, the mean over its seeds, with a mark at its best epoch; runs that broke off as thin lines.

    The legend has each line's best value, or, of more than 12 lines, that of each level's best line.
    """
    signed = signs(comparison, factor)
    values = wide(comparison, metric, signed.runs.index)
    if values.empty:
        return None
    cells = signed.cells
    mean, half = over_seeds(values, signed.completed["cell"])
    best = _best(mean, metric)
    few = len(cells) <= MOST_ENTRIES
    tops = _tops(best, cells["level"], metric)
    figure = style.figure(9, 4.6)
    axes = figure.subplots()
    broken = values.loc[signed.broken]
    outside = fit(axes, pd.concat([mean, broken]), metric, signed.broken)
    banded = few and bool(half.notna().any(axis=None))
    if banded:
        _bands(axes, mean, half, cells["colour"])
    draw(axes, broken, signed.runs.loc[broken.index], 0.9, 0.8)
    bold = mean.index if few else pd.Index(list(tops.values()))
    draw(axes, mean.drop(index=bold), cells.drop(index=bold).loc[mean.index.drop(bold)], 0.8, 0.45)
    draw(axes, mean.loc[bold], cells.loc[bold], 1.8)
    for mark, some in cells.loc[best.index].groupby("mark"):
        at, colour = best.loc[some.index], some["colour"].to_list()
        axes.scatter(
            at["epoch"], at["value"], marker=str(mark), c=colour, s=50 if few else 22, gid="best",
            edgecolors="white", linewidths=0.7, zorder=4, clip_on=False,
        )  # fmt: skip
    draw_ends(axes, signed.ends(values), metric)
    axes.set_xlabel("epoch")
    axes.set_ylabel(plain(metric))
    if few:
        entries = [
            (Line2D([], [], color=colour, ls=dash, marker=mark, ms=6), short(name, 30) + _at(best, cell, metric))
            for cell, colour, dash, mark, name in cells[["colour", "dash", "mark", "name"]].itertuples()
        ]
        heading = f"{', '.join(comparison.factors)}: best at epoch".lstrip(": ")
    else:
        values_at = {short(in_words(level), 30): _at(best, cell, metric) for level, cell in tops.items()}
        entries = [(handle, name + values_at.get(name, "")) for handle, name in signed.legend(with_marks=True)]
        heading = f"{factor or 'all'}: its best line at epoch"
    title = f"{metric}{_by(factor)}: {signed.means}, {counted(len(cells), 'setting')}"
    return finish(
        figure, title, signed.note(outside, INTERVAL * banded, "marks: best epoch of a line"), entries, heading
    )


def four_panels(comparison: Comparison, factor: str | None) -> Figure | None:
    """A thin line a run in each of up to four panels: losses and accuracies, or, of a regression, other errors."""
    signed = signs(comparison, factor)
    names = ["train/loss", "val/loss", "train/acc", "val/acc"]
    if comparison.task == "regression":
        names = ["train/loss", "val/loss", *ERRORS]
    panels = {name: wide(comparison, name, signed.runs.index) for name in names}
    loss = panels["val/loss"]
    panels = {n: v for n, v in panels.items() if not v.empty and (n not in ERRORS or not _same(v, loss))}
    if not panels:
        return None
    rows, columns = (1, len(panels)) if len(panels) < 4 else (2, 2)
    figure = style.figure(2 + 3.6 * columns, 0.9 + 2.9 * rows)
    grid = figure.subplots(rows, columns, sharex=True, squeeze=False)
    outside = []
    for axes, (name, values) in zip(grid.flat, panels.items(), strict=True):
        outside.append(fit(axes, values, name, signed.broken))
        draw(axes, values, signed.runs, 0.9, 0.75)
        draw_ends(axes, signed.ends(values), name)
        axes.set_title(name, size=TITLE)
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    title = f"All {counted(len(signed.runs), 'run')}{_by(factor)}"
    said = [f"{name}: {text}" for name, text in zip(panels, outside, strict=True) if text]
    return finish(figure, title, signed.note(*said), signed.legend(), factor)


def per_level(comparison: Comparison, factor: str | None, metric: str) -> Figure | None:
    """A panel a level, of which the runs are drawn; all other runs in light grey behind them."""
    signed = signs(comparison, factor)
    values = wide(comparison, metric, signed.runs.index)
    if values.empty:
        return None
    levels = picked(signed.levels)
    figure, panels = _panels(len(levels), signed.second is not None)
    everything = np.stack([np.broadcast_to(values.columns, values.shape), values], axis=-1)
    behind = everything[:: ceil(len(everything) / 200)]
    outside = fit(panels[0], values, metric, signed.broken)
    ends = signed.ends(values)
    for axes, level in zip(panels, levels, strict=True):
        mine = signed.runs[signed.having(level)]
        axes.add_collection(LineCollection(list(behind), colors="#cccccc", linewidths=0.6), autolim=False)
        draw(axes, values.loc[mine.index], mine, 1.3)
        draw_ends(axes, ends.loc[ends.index.intersection(mine.index)], metric)
        axes.set_title(f"{plain(in_words(level), 22)} ({counted(len(mine), 'run')})", size=SMALL + 1)
    title = f"{metric}, a panel for each level of {factor} ({counted(len(signed.runs), 'run')}; others grey)"
    less = f"{len(signed.levels) - len(levels)} more levels are not shown" if len(levels) < len(signed.levels) else ""
    entries = signed.legend()[-len(signed.seconds) :] if signed.second else []
    return finish(figure, title, signed.note(outside, less), entries)


def accuracy_against_step(comparison: Comparison, factor: str | None) -> Figure | None:
    """Validation accuracy, or loss, of each epoch against the optimizer steps done, of which batches set the number."""
    signed = signs(comparison, factor)
    runs = signed.runs.index
    measured = [name for name in ("val/acc", "val/loss") if (comparison.study.curves["metric"] == name).any()]
    if not measured:
        return None
    metric = measured[0]
    values, steps = wide(comparison, metric, runs), wide(comparison, metric, runs, "step")
    figure = style.figure(8.5, 4.6)
    axes = figure.subplots()
    outside = fit(axes, values, metric, signed.broken)
    for level in signed.levels:
        which = signed.having(level)
        look = signed.runs[which].iloc[0]
        x, y = steps.to_numpy()[which].ravel(), values.to_numpy()[which].ravel()
        axes.plot(
            x, y, look["mark"], color=look["colour"], ms=5 if len(runs) <= 40 else 3, alpha=0.6, mew=0, label=str(level)
        )
    last = float(np.nanmax(steps.to_numpy(), initial=1))
    axes.set_xlim(-0.02 * last, 1.02 * last)
    draw_ends(axes, signed.ends(values, steps), metric)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(plain(metric))
    entries = signed.legend(with_marks=True, with_lines=False)
    title = f"{metric} against optimizer steps{_by(factor)}: a mark an epoch of {counted(len(runs), 'run')}"
    return finish(figure, title, signed.note(outside), entries, factor)


def learning_curves(comparison: Comparison, factor: str | None) -> Figure | None:
    """Training and validation loss together, means over seeds, and the loss of the mean predictor where there is one.

    A panel a cell; of more than 12, a panel a level: of its cells with the fewest broken runs that of the lowest loss.
    """
    signed = signs(comparison, factor)
    losses = {name: wide(comparison, name, signed.runs.index) for name in ("train/loss", "val/loss")}
    losses = {name: values for name, values in losses.items() if not values.empty}
    if not losses:
        return None
    means = {name: over_seeds(values, signed.completed["cell"]) for name, values in losses.items()}
    cells = list(signed.cells.index)
    if len(cells) > MOST_ENTRIES:
        lowest = list(means.values())[-1][0].min(axis=1).reindex(cells)
        broken = signed.runs["end"].ne(record.COMPLETED).groupby(signed.runs["cell"]).mean()
        order = pd.DataFrame({"broken": broken.reindex(cells), "lowest": lowest})
        ranked = order.sort_values(["broken", "lowest"], na_position="last", kind="stable").index
        level = signed.cells["level"]
        cells = [next(c for c in ranked if level[c] == one) for one in picked(signed.levels)]
    figure, panels = _panels(len(cells), True)
    baselines = comparison.study.runs.get("baseline_val_loss", pd.Series(np.nan, signed.runs.index))
    baselines = baselines.reindex(signed.runs.index).replace([np.inf, -np.inf], np.nan)
    unended = signed.runs.loc[signed.broken].query("cell in @cells")
    # the baselines as well, so that axes reach them
    parts = [mean.reindex(cells) for mean, _ in means.values()] + [part.loc[unended.index] for part in losses.values()]
    together = pd.concat([*parts, baselines.drop_duplicates().to_frame(parts[0].columns[0])])
    dashes = dict(zip(losses, ("--", "-") if len(losses) > 1 else ("-",), strict=True))
    validated = list(losses)[-1]
    outside = fit(panels[0], together, validated, signed.broken)
    ends = signed.ends(losses[validated])
    for axes, cell in zip(panels, cells, strict=True):
        runs = signed.runs[signed.runs["cell"] == cell]
        for name, values in losses.items():
            mean, half = (part.reindex([cell]) for part in means[name])
            _bands(axes, mean, half, signed.cells["colour"])
            draw(axes, mean, signed.cells.loc[[cell]].assign(dash=[dashes[name]]), 1.6)
            mine = unended[unended["cell"] == cell]
            draw(axes, values.loc[mine.index], mine.assign(dash=[dashes[name]] * len(mine)), 0.8, 0.8)
        draw_ends(axes, ends[ends["cell"] == cell], "val/loss")
        baseline = baselines[runs.index].mean()
        if np.isfinite(baseline):
            axes.axhline(baseline, color="black", ls=":", lw=1)
        axes.set_title(plain(signed.cells["name"][cell], 30), size=SMALL + 1)
    entries = [(Line2D([], [], color=style.GREY, ls=dash), name) for name, dash in dashes.items()]
    if baselines.notna().any():
        entries.append((Line2D([], [], color="black", ls=":"), "mean predictor"))
    by = _by(", ".join(comparison.factors))
    title = f"Training and validation loss{by}: {signed.means}, {counted(len(signed.runs), 'run')}"
    if len(cells) < len(signed.cells):
        title = f"Training and validation loss of each level of {factor} at its best setting: {signed.means}"
    less = f"{len(cells)} of {len(signed.cells)} settings are shown" if len(cells) < len(signed.cells) else ""
    banded = any(half.reindex(cells).notna().any(axis=None) for _, half in means.values())
    return finish(figure, title, signed.note(outside, less, INTERVAL * banded), entries)


def _best(mean: pd.DataFrame, metric: str) -> pd.DataFrame:
    """(cells with any value): epoch and value of the best of each mean curve."""
    mean = mean.dropna(how="all")
    high = higher_is_better(metric)
    if mean.empty:
        return pd.DataFrame({"epoch": [], "value": []}, mean.index)
    return pd.DataFrame(
        {
            "epoch": mean.idxmax(axis=1) if high else mean.idxmin(axis=1),
            "value": mean.max(axis=1) if high else mean.min(axis=1),
        }
    )


def _tops(best: pd.DataFrame, levels: pd.Series, metric: str) -> dict[Hashable, Any]:
    """By level the cell whose mean curve has the best value."""
    ranked = best.sort_values("value", ascending=not higher_is_better(metric), kind="stable").index
    tops: dict[Hashable, Any] = {}
    for cell in ranked:
        tops.setdefault(levels[cell], cell)
    return tops


def _at(best: pd.DataFrame, cell: Any, metric: str) -> str:
    if cell not in best.index:
        return ": no mean"
    return f": {shown(metric, float(best['value'][cell]))} at {best['epoch'][cell]}"


def _bands(axes: Axes, mean: pd.DataFrame, half: pd.DataFrame, colours: pd.Series) -> None:
    """Intervals of means; on a logarithmic axis of their logarithms (to first order), which have no end below zero."""
    for cell in half.index[half.notna().any(axis=1)]:
        centre, width = mean.loc[cell], half.loc[cell]
        if axes.get_yscale() == "log":
            share = (width / centre).where(centre > 0)
            share = share.where(share < WIDEST)  # beyond that a band says no more than that nothing is known
            low, high = centre * np.exp(-share), centre * np.exp(share)
        else:
            low, high = centre - width, centre + width
        axes.fill_between(mean.columns, low, high, color=colours[cell], alpha=0.1, linewidth=0)


def _panels(n: int, beside: bool) -> tuple[Figure, list[Axes]]:
    """A figure with n panels on common axes, up to four in a row, with the epoch below; `beside`: room for a legend."""
    columns = 2 if n == 4 else min(n, 4 if n in (7, 8) or n > 9 else 3)
    rows = ceil(n / columns)
    figure = style.figure(2.7 * columns + (2.0 if beside else 0.6), 0.9 + 2.1 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[n:]:
        axes.remove()
    for axes in panels[max(0, n - columns) : n]:
        axes.set_xlabel("epoch")
        axes.tick_params(labelbottom=True)
    return figure, panels[:n]


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether they are the same but for the last digits: the loss and an error that is computed like it."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, equal_nan=True)


def _by(factor: str | None) -> str:
    return f" by {factor}" if factor else ""
