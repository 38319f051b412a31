"""The learning rates that runs went through."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import choose_scale, set_epochs, set_scale
from multirun_analysis.figures.encoding import ALL, encode
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import count
from multirun_analysis.records.described import in_words, order


@figure("schedules")
def schedules(comparison: Comparison) -> Figure | None:
    """Draw the learning rate of each epoch's last step, a line for each schedule, named by what the others lack."""
    values = encode(comparison, None).curves("lr")
    values = values[values.notna().any(axis=1)]
    if values.empty:
        return None
    lines = _distinct(values)
    keys = ["scheduler", "optim", "optim.lr", *(f for f in comparison.factors if f.startswith("scheduler."))]
    described = comparison.described
    tried = [{key: [described[n].level(key) for n in names] for key in keys} for names in lines.values()]
    # what all lines have in common tells none of them apart
    keys = [key for key in keys if len({frozenset(one[key]) for one in tried}) > 1]
    names = ["; ".join("/".join(map(in_words, order(one[key]))) for key in keys) or ALL for one in tried]
    whole = style.figure(8.5, 4.2)
    axes = whole.subplots()
    set_scale(axes, choose_scale(values.to_numpy()))
    set_epochs(axes, values.columns)
    palette = style.colours(list(lines))
    entries = []
    for i, (run, name) in enumerate(zip(lines, names, strict=True)):
        dash, mark = style.DASHES[i % len(style.DASHES)], style.MARKS[i % len(style.MARKS)]
        every = max(1, values.shape[1] // 6)
        axes.plot(
            values.columns, values.loc[run], color=palette[run], ls=dash, marker=mark, ms=5, lw=1.6, markevery=every
        )
        entries.append((axes.lines[-1], f"{name} ({count(len(lines[run]), 'run')})"))
    axes.set_xlabel("epoch")
    axes.set_ylabel("learning rate (last step of the epoch)")
    style.add_title(whole, f"Learning rate: {count(len(lines), 'schedule')} in {count(len(values), 'run')}")
    style.add_legend(whole, {"; ".join(keys): entries})
    return whole


def _distinct(values: pd.DataFrame) -> dict[str, list[str]]:
    """Group runs by schedule, under the one that went furthest; one that broke off had the same until then."""
    lines: dict[str, list[str]] = {}
    rounded = {run: row[np.isfinite(row)] for run, row in zip(values.index, values.to_numpy(), strict=True)}
    for run in sorted(rounded, key=lambda run: -len(rounded[run])):
        mine = rounded[run]
        same = (one for one in lines if np.allclose(rounded[one][: len(mine)], mine, rtol=1e-6, atol=0))
        lines.setdefault(next(same, run), []).append(run)
    return {run: lines[run] for run in values.index if run in lines}
