"""The learning rates that runs went through."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.drawing import SPANNING, counted, finish, logarithmic
from multirun_analysis.figures.signs import signs, wide
from multirun_analysis.records.described import in_words, order


def schedules(comparison: Comparison) -> Figure | None:
    """The learning rate of each epoch's last step, a line a schedule, with those of its settings that others lack."""
    signed = signs(comparison, None)
    values = wide(comparison, "lr", signed.runs.index)
    values = values[values.notna().any(axis=1)]
    if values.empty:
        return None
    lines = _distinct(values)
    keys = ["scheduler", "optim", "optim.lr", *(f for f in comparison.factors if f.startswith("scheduler."))]
    described = comparison.described
    tried = [{key: [described[n].level(key) for n in names] for key in keys} for names in lines.values()]
    # what all lines have in common tells none of them apart
    keys = [key for key in keys if len({frozenset(one[key]) for one in tried}) > 1]
    names = ["; ".join("/".join(map(in_words, order(one[key]))) for key in keys) or "all runs" for one in tried]
    figure = style.figure(8.5, 4.2)
    axes = figure.subplots()
    palette = style.colours(list(lines))
    entries = []
    for i, (run, name) in enumerate(zip(lines, names, strict=True)):
        dash, mark = style.DASHES[i % len(style.DASHES)], style.MARKS[i % len(style.MARKS)]
        axes.plot(
            values.columns, values.loc[run], color=palette[run], ls=dash, marker=mark, ms=5, lw=1.6,
            markevery=max(1, values.shape[1] // 6),
        )  # fmt: skip
        entries.append((axes.lines[-1], f"{name} ({counted(len(lines[run]), 'run')})"))
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low > 0 and high > SPANNING * low:
        logarithmic(axes, low, high)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate (last step of the epoch)")
    title = f"Learning rate: {counted(len(lines), 'schedule')} in {counted(len(values), 'run')}"
    return finish(figure, title, "", entries, "; ".join(keys) or None)


def _distinct(values: pd.DataFrame) -> dict[str, list[str]]:
    """Runs with the same schedule, by one of them that went through it the furthest; one that broke off had the same
    until then."""
    lines: dict[str, list[str]] = {}
    rounded = {run: row[np.isfinite(row)] for run, row in zip(values.index, values.to_numpy(), strict=True)}
    for run in sorted(rounded, key=lambda run: -len(rounded[run])):
        mine = rounded[run]
        same = (one for one in lines if np.allclose(rounded[one][: len(mine)], mine, rtol=1e-6, atol=0))
        lines.setdefault(next(same, run), []).append(run)
    return {run: lines[run] for run in values.index if run in lines}
