"""Draw runs by epoch. Means are over seeds alone; a run that diverged ends with an x where it broke."""

from collections.abc import Hashable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.metric import Metric
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import (
    Scale,
    average,
    choose_scale,
    draw_bands,
    draw_end_marks,
    draw_level_marks,
    draw_lines,
    set_epochs,
    set_scale,
)
from multirun_analysis.figures.encoding import Encoding, encode, encode_main
from multirun_analysis.figures.registry import Drawing, figure, main_factors
from multirun_analysis.figures.style import LARGE, MOST_ENTRIES, count, pick, plain, shorten
from multirun_analysis.records.described import in_words
from paribus import record

ERRORS = ("val/mse", "val/mae")  # one of which is the loss itself
BEHIND = 200  # lines of other levels that a panel shows in grey


@figure("curves")
def by_factor(comparison: Comparison) -> Iterator[tuple[str, Drawing]]:
    """Yield the figures of curves for each of the main factors."""
    metric = comparison.selection.column or "val/loss"
    for factor in main_factors(comparison) or [""]:
        by = f"_by_{factor}" if factor else ""
        for column in dict.fromkeys([metric, "val/loss"]):
            yield f"curves{by}_{column}", partial(overlaid, comparison, factor, column)
        yield f"panels{by}", partial(four_panels, comparison, factor)
        yield f"learning{by}", partial(learning_curves, comparison, factor)
        if factor:
            yield f"levels_of_{factor}", partial(per_level, comparison, factor, metric)


def overlaid(comparison: Comparison, factor: str | None, metric: str) -> Figure | None:
    """Draw a line for each setting, the mean over its seeds, with a mark at its best epoch; broken runs as thin lines.

    The legend has each line's best value, or, of more than 12 lines, the value of each level's best line.
    """
    encoding = encode(comparison, factor)
    values = encoding.curves(metric)
    if values.empty:
        return None
    settings, few = encoding.settings, len(encoding.settings) <= MOST_ENTRIES
    (means,), scale = average(encoding, [values], share=is_share(metric))
    middle = means.middle
    higher = comparison.is_higher_better(metric)
    best = _best(middle, higher)
    tops = _tops(best, settings["level"], higher)
    whole = style.figure(9, 4.6)
    axes = whole.subplots()
    set_scale(axes, scale)
    set_epochs(axes, values.columns)
    if few:
        draw_bands(axes, means, settings["colour"], scale)
    broken = values.loc[values.index.intersection(encoding.broken)]
    draw_lines(axes, broken, encoding.runs.loc[broken.index], scale, 0.9, 0.8)
    bold = middle.index if few else pd.Index(list(tops.values()))
    draw_lines(axes, middle.drop(index=bold), settings.loc[middle.index.drop(bold)], scale, 0.8, 0.45)
    draw_lines(axes, middle.loc[bold], settings.loc[bold], scale, 1.8)
    draw_level_marks(axes, best.rename(columns={"epoch": "x", "value": "y"}), settings, 50 if few else 22, "best")
    _draw_ends(axes, encoding, values, scale, higher)
    axes.set_xlabel("epoch")
    axes.set_ylabel(plain(metric))
    entries: list[tuple[Any, Hashable]]
    if few:
        entries = [
            (Line2D([], [], color=look["colour"], ls=look["dash"], marker=look["mark"], ms=6),
             shorten(look["name"], 30) + _describe_best(best, cell, metric))
            for cell, look in settings.iterrows()
        ]  # fmt: skip
        sections = {f"{', '.join(comparison.factors)}: best at epoch".lstrip(": "): entries}
    else:
        sections = {heading: list(entries) for heading, entries in encoding.legend().items()}
        tried = sections.pop(factor or "", [])
        entries = [(handle, shorten(in_words(level), 30) + (_describe_best(best, tops[level], metric)
                    if level in tops else "")) for handle, level in tried]  # fmt: skip
        sections = {f"{factor or 'all'}: best line at epoch": entries, **sections}
    style.add_title(whole, f"{metric}{_by(factor)} ({_count_runs(encoding)}, {count(len(settings), 'setting')})")
    style.add_legend(whole, sections)
    style.add_note(whole, *encoding.describe_means(values.index), "marks: best epoch of a line",
                   *encoding.describe_broken(), _describe_beyond(scale, middle))  # fmt: skip
    return whole


def four_panels(comparison: Comparison, factor: str | None) -> Figure | None:
    """Draw every run in each of up to four panels: losses and accuracies, or, of a regression, other errors."""
    encoding = encode(comparison, factor)
    names = ["train/loss", "val/loss", "train/acc", "val/acc"]
    if comparison.task == "regression":
        names = ["train/loss", "val/loss", *ERRORS]
    tables = {name: encoding.curves(name) for name in names}
    loss = tables["val/loss"]
    tables = {n: v for n, v in tables.items() if not v.empty and (n not in ERRORS or not _are_same(v, loss))}
    if not tables:
        return None
    whole, (panels,) = style.create_panels([len(tables)], 3.3, 2.7)
    beyond = []
    for axes, (name, values) in zip(panels, tables.items(), strict=True):
        scale = _scale_of_runs(encoding, values, name)
        set_scale(axes, scale)
        set_epochs(axes, values.columns)
        draw_lines(axes, values, encoding.runs.loc[values.index], scale, 0.9, 0.75)
        _draw_ends(axes, encoding, values, scale, comparison.is_higher_better(name))
        axes.set_title(plain(name), fontsize=LARGE)
        said = _describe_beyond(scale, values.loc[values.index.intersection(encoding.completed)])
        beyond.append(said and f"{name}: {said}")
    style.add_title(whole, f"All {_count_runs(encoding)}{_by(factor)}")
    style.add_legend(whole, encoding.legend(marks=False))
    style.add_note(whole, *encoding.describe_broken(), *beyond)
    return whole


def per_level(comparison: Comparison, factor: str | None, metric: str) -> Figure | None:
    """Draw a panel for each level with its runs; all other runs in light grey behind them."""
    encoding = encode(comparison, factor)
    values = encoding.curves(metric)
    if values.empty:
        return None
    levels = pick(encoding.levels)
    whole, (panels,) = style.create_panels([len(levels)])
    scale = _scale_of_runs(encoding, values, metric)
    everything = np.stack([np.broadcast_to(values.columns, values.shape), values], axis=-1)
    behind = everything[:: -(-len(everything) // BEHIND)]
    for axes, level in zip(panels, levels, strict=True):
        mine = encoding.runs[encoding.has_level(level)]
        there = values.loc[values.index.intersection(mine.index)]
        set_scale(axes, scale, labelled=axes.get_subplotspec().is_first_col())  # type: ignore[union-attr]
        set_epochs(axes, values.columns)
        axes.add_collection(LineCollection(list(behind), colors="#cccccc", linewidths=0.6), autolim=False)
        draw_lines(axes, there, mine.loc[there.index], scale, 1.3)
        draw_end_marks(axes, encoding.ends(values.reindex(mine.index)), scale, not comparison.is_higher_better(metric))
        axes.set_title(f"{plain(in_words(level), 18)} ({count(len(mine), 'run')})", fontsize=10)
    style.add_title(whole, f"{metric}, a panel for each level of {factor} ({_count_runs(encoding)}; others grey)")
    style.add_legend(whole, {name: part for name, part in encoding.legend().items() if name == encoding.second})
    less = (
        f"{len(encoding.levels) - len(levels)} more levels are not shown" if len(levels) < len(encoding.levels) else ""
    )
    style.add_note(whole, *encoding.describe_broken(), less, _describe_beyond(scale, values.loc[
        values.index.intersection(encoding.completed)]))  # fmt: skip
    return whole


@figure("steps")
def accuracy_against_step(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw validation accuracy, or loss, of each epoch against the optimizer steps done, which batches determine."""
    encoding = encode_main(comparison, factor)
    tables = {name: encoding.curves(name) for name in ("val/acc", "val/loss")}
    metric = next((name for name, values in tables.items() if not values.empty), None)
    if metric is None:
        return None
    values, steps = tables[metric], encoding.curves(metric, "step")
    scale = _scale_of_runs(encoding, values, metric)
    whole = style.figure(8.5, 4.6)
    axes = whole.subplots()
    set_scale(axes, scale)
    for level in encoding.levels:
        names = values.index.intersection(encoding.runs.index[encoding.has_level(level)])
        look = encoding.runs[encoding.has_level(level)].iloc[0]
        x, y = steps.loc[names].to_numpy().ravel(), values.loc[names].to_numpy().ravel()
        axes.plot(x, y, look["mark"], color=look["colour"], ms=5 if len(values) <= 40 else 3, alpha=0.6, mew=0)
    last = float(np.nanmax(steps.to_numpy(), initial=1))
    axes.set_xlim(-0.02 * last, 1.02 * last)
    ends = encoding.ends(values.reindex(encoding.runs.index), steps.reindex(encoding.runs.index))
    draw_end_marks(axes, ends, scale, not comparison.is_higher_better(metric))
    axes.set_xlabel("optimizer step")
    axes.set_ylabel(plain(metric))
    style.add_title(whole, f"{metric} against optimizer steps{_by(encoding.factor)}: a mark for each epoch of "
                    f"{_count_runs(encoding)}")  # fmt: skip
    style.add_legend(whole, encoding.legend(lines=False))
    style.add_note(whole, *encoding.describe_broken())
    return whole


def learning_curves(comparison: Comparison, factor: str | None) -> Figure | None:
    """Draw training and validation loss together, means over seeds, and the loss of the mean predictor.

    A panel for each setting; of more than 12, one for each level: of its settings with the fewest broken runs the one
    of the lowest loss.
    """
    encoding = encode(comparison, factor)
    losses = {name: encoding.curves(name) for name in ("train/loss", "val/loss")}
    losses = {name: values for name, values in losses.items() if not values.empty}
    settings, cells = encoding.settings, list(encoding.settings.index)
    if not losses or not cells:
        return None
    if len(cells) > MOST_ENTRIES:
        lowest = encoding.means(list(losses.values())[-1]).middle.min(axis=1).reindex(cells)
        broken = encoding.runs["end"].ne(record.COMPLETED).groupby(encoding.runs["cell"]).mean()
        order = pd.DataFrame({"broken": broken.reindex(cells), "lowest": lowest})
        ranked = order.sort_values(["broken", "lowest"], na_position="last", kind="stable").index
        level = settings["level"]
        cells = [next(c for c in ranked if level[c] == one) for one in pick(list(dict.fromkeys(level)))]
    shown = encoding.runs[encoding.runs["cell"].isin(cells)]
    baselines = comparison.study.runs.get("baseline_val_loss", pd.Series(np.nan, shown.index)).reindex(shown.index)
    baselines = baselines.astype(float).replace([np.inf, -np.inf], np.nan)
    tables = [values.loc[values.index.intersection(shown.index)] for values in losses.values()]
    means, scale = average(encoding, tables, more=baselines.dropna().to_list())
    whole, (panels,) = style.create_panels([len(cells)])
    dashes = dict(zip(losses, ("--", "-") if len(losses) > 1 else ("-",), strict=True))
    ends = encoding.ends(tables[-1].reindex(shown.index))
    for axes, cell in zip(panels, cells, strict=True):
        set_scale(axes, scale, labelled=axes.get_subplotspec().is_first_col())  # type: ignore[union-attr]
        set_epochs(axes, tables[-1].columns)
        for dash, values, found in zip(dashes.values(), tables, means, strict=True):
            mine = type(found)(*(part.loc[part.index == cell] for part in found))
            draw_bands(axes, mine, settings["colour"], scale)
            draw_lines(axes, mine.middle, settings.loc[mine.middle.index].assign(dash=dash), scale, 1.6)
            alone = shown[(shown["cell"] == cell) & shown.index.isin(encoding.broken) & shown.index.isin(values.index)]
            draw_lines(axes, values.loc[alone.index], alone.assign(dash=[dash] * len(alone)), scale, 0.8, 0.8)
        draw_end_marks(axes, ends[ends["cell"] == cell], scale)
        baseline = baselines[shown["cell"] == cell].mean()
        if np.isfinite(baseline):
            axes.axhline(baseline, color="black", ls=":", lw=1)
        axes.set_title(plain(settings["name"][cell], 30), fontsize=10)
    entries: list[tuple[Any, Hashable]] = [(Line2D([], [], color=style.GREY, ls=d), name) for name, d in dashes.items()]
    if baselines.notna().any():
        entries.append((Line2D([], [], color="black", ls=":"), "mean predictor"))
    title = f"Training and validation loss{_by(', '.join(comparison.factors))} ({_count_runs(encoding)})"
    if len(cells) < len(settings):
        title = f"Training and validation loss of each level of {factor} at its best setting"
    less = f"{len(cells)} of {len(settings)} settings are shown" if len(cells) < len(settings) else ""
    style.add_title(whole, title)
    style.add_legend(whole, {"": entries})
    style.add_note(whole, *encoding.describe_means(shown.index)[:1], *encoding.describe_broken(), less)
    return whole


def is_share(metric: str) -> bool:
    return metric.endswith("acc")


def _scale_of_runs(encoding: Encoding, values: pd.DataFrame, metric: str) -> Scale:
    completed = values.index.isin(encoding.completed)
    return choose_scale(values[completed], values[~completed], share=is_share(metric))


def _draw_ends(axes: Any, encoding: Encoding, values: pd.DataFrame, scale: Scale, higher: bool) -> None:
    ends = encoding.ends(values.reindex(encoding.runs.index))
    draw_end_marks(axes, ends, scale, not higher)


def _best(mean: pd.DataFrame, higher: bool) -> pd.DataFrame:
    """Find epoch and value of the best of each mean curve that has any value."""
    mean = mean.dropna(how="all")
    if mean.empty:
        return pd.DataFrame({"epoch": [], "value": []}, mean.index)
    epochs, values = (mean.idxmax(axis=1), mean.max(axis=1)) if higher else (mean.idxmin(axis=1), mean.min(axis=1))
    return pd.DataFrame({"epoch": epochs, "value": values})


def _tops(best: pd.DataFrame, levels: pd.Series, higher: bool) -> dict[Hashable, Any]:
    """Find for each level the setting whose mean curve has the best value."""
    ranked = best.sort_values("value", ascending=not higher, kind="stable").index
    tops: dict[Hashable, Any] = {}
    for cell in ranked:
        tops.setdefault(levels[cell], cell)
    return tops


def _describe_best(best: pd.DataFrame, cell: Any, metric: str) -> str:
    if cell not in best.index:
        return ": no mean"
    return f": {Metric(metric.replace('/', '_')).show(float(best['value'][cell]))} at {best['epoch'][cell]}"


def _describe_beyond(scale: Scale, lines: pd.DataFrame) -> str:
    n = int((lines > scale.high).any(axis=1).sum())
    return f"{count(n, 'line')} above the axis" if n else ""


def _are_same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Tell whether they agree but for the last digits: the loss and an error that is computed like it."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-4, equal_nan=True)


def _count_runs(encoding: Encoding) -> str:
    return count(len(encoding.runs), "run")


def _by(factor: str | None) -> str:
    return f" by {factor}" if factor else ""
