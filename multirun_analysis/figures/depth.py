"""Draw the gradient of the first layer, and the result, by the number of layers."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import Slot, choose_scale
from multirun_analysis.figures.encoding import encode
from multirun_analysis.figures.layers import ROOM, joined, last_epoch
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import SMALL, count, pick, plain
from multirun_analysis.records.described import in_words
from paribus import record


@figure("depth")
def depth_against_gradient(comparison: Comparison) -> Figure | None:
    """Draw the first layer's mean |gradient| in the last epoch, and the figure compared, against the number of layers.

    A dot a run; a line joins the means over seeds of settings that agree in all but what makes the network deeper. None
    where all networks have as many layers.
    """
    flow = joined(comparison.study.layers)
    if flow.empty or not comparison.factors:
        return None
    encoding = encode(comparison, None)
    known = encoding.runs[encoding.runs["cell"] >= 0]
    numbers = flow.groupby("run", observed=True)["layer"].nunique().reindex(known.index).dropna()
    if numbers.nunique() < 2:
        return None
    runs = known.loc[numbers.index].assign(number=numbers)
    first = last_epoch(flow).sort_values("depth").drop_duplicates("run").set_index("run")["value"].astype(float)
    levels = comparison.settings.loc[numbers.index, comparison.factors].map(in_words)
    same = [name for name in comparison.factors if not _deepens(levels, name, numbers)]
    runs["group"] = levels[same].agg(", ".join, axis=1) if same else ""
    groups = sorted(set(runs["group"]))
    looks = dict(zip(groups, zip(style.colours(groups).values(), style.DASHES * 8, style.MARKS * 8, strict=False),
                     strict=False))  # fmt: skip
    runs["colour"] = [style.colours(groups)[group] for group in runs["group"]]
    whole = style.figure(8.6 + (2.2 if same else 0), 3.9)
    metric = comparison.metric
    columns = (("First layer in the last epoch", "mean |gradient|", first, True),
               ("Result", metric.name, comparison.values, metric.sign <= 0))  # fmt: skip
    for i, (axes, (title, ylabel, found, at_high)) in enumerate(zip(whole.subplots(1, 2), columns, strict=True)):
        runs["value"] = found.reindex(runs.index).where(runs["end"] == record.COMPLETED)
        means = encoding.means(runs[["value"]]).middle["value"]
        share, values = metric.is_share and i == 1, runs[["value"]].to_numpy()
        scale = choose_scale(values, log=True if i == 0 else None, share=share, room=ROOM if i == 0 else np.inf)
        diverged = runs[runs["end"] == record.DIVERGED]
        slot = Slot(axes, scale, "y", at_high, diverged["end"])
        for group, (colour, dash, mark) in looks.items():
            mine = runs[runs["group"] == group]
            axes.plot(mine["number"], scale.place(mine["value"]), mark, color=colour, alpha=0.6, markersize=5)
            number = mine.groupby("cell")["number"].first().sort_values(kind="stable")
            mean = scale.place(means.reindex(number.index))
            if number.is_unique:  # else a line would join more than means over seeds
                axes.plot(number, mean, color=colour, linestyle=dash)
            axes.plot(number, mean, "_", color=colour, markersize=16)
        slot.draw_marks(diverged, "number", diverged["colour"])
        if i == 1 and metric.name.endswith("val_loss") and "baseline_val_loss" in comparison.study.runs:
            baseline = float(comparison.study.runs["baseline_val_loss"].mean())
            if scale.low < baseline < scale.high:  # all far better runs need no such line
                axes.axhline(baseline, color=style.GREY, linestyle="--", linewidth=1)
                axes.annotate("predicting the mean", (0, baseline), (3, -11), fontsize=SMALL, color="#555555",
                              xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(pick(sorted(set(runs["number"])), 9)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("layers with weights", fontsize=10)
        axes.set_ylabel(plain(ylabel), fontsize=10)
    if same:
        style.add_legend(whole, {", ".join(same): [
            (Line2D([], [], color=colour, linestyle=dash, marker=mark), group)
            for group, (colour, dash, mark) in looks.items()]})  # fmt: skip
    style.add_title(whole, f"Number of layers, gradient and result ({count(len(runs), 'run')})")
    style.add_note(whole, "dot: a run", "dash: mean over seeds", *encoding.describe_broken(runs.index, ", not shown"))
    return whole


def _deepens(levels: pd.DataFrame, factor: str, numbers: pd.Series) -> bool:
    """Tell whether runs that agree in all but this factor differ in their number of layers."""
    others = [name for name in levels if name != factor]
    frame = levels.assign(number=numbers)
    return bool((frame.groupby(others)["number"].nunique() > 1).any() if others else frame["number"].nunique() > 1)
