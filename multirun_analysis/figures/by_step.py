"""Draw runs by optimizer step, with a logarithmic axis: what happens within the first epochs."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.figures import style
from multirun_analysis.figures.axes import average, draw_bands, draw_lines, set_scale
from multirun_analysis.figures.encoding import Encoding, Means, encode_main
from multirun_analysis.figures.registry import figure
from multirun_analysis.figures.style import LARGE, MOST_ENTRIES, count, plain

BINS = 12  # of a tenfold number of steps, over each of which losses and gradient norms are averaged


@figure("loss_by_step")
def loss_by_step(comparison: Comparison, factor: str | None = None) -> Figure | None:
    """Draw training loss, gradient norm and validation metric against steps: means over the seeds of each setting."""
    encoding = encode_main(comparison, factor)
    steps = comparison.study.steps
    steps = steps[steps["run"].isin(encoding.runs.index)]
    if steps.empty:
        return None
    metric = comparison.selection.column or "val/loss"
    tables = {name: average_bins(steps, name) for name in ("train/loss", "grad_norm")}
    tables[metric] = _validations(comparison, encoding, steps, metric)
    tables = {name: table for name, table in tables.items() if table.notna().to_numpy().any()}
    whole, (panels,) = style.create_panels([len(tables)], 4, 3.4)
    for axes, (name, table) in zip(panels, tables.items(), strict=True):
        log = True if name == "grad_norm" else None
        (means,), scale = average(encoding, [table], log=log, share=name.endswith("acc"))
        set_scale(axes, scale)
        axes.set_xscale("log")
        axes.set_xlim(1, max(2.0, float(steps["step"].max())))
        alone = table.loc[table.index.intersection(encoding.broken)]
        # one by one: settings differ in the steps at which they are validated
        for cell, line in means.middle.iterrows():
            known = line.dropna().index
            draw_lines(axes, means.middle.loc[[cell], known], encoding.settings.loc[[cell]], scale, 1.6)
            if len(encoding.settings) <= MOST_ENTRIES:
                mine = Means(*(part.loc[[cell], known] for part in means))
                draw_bands(axes, mine, encoding.settings["colour"], scale)
        for run, line in alone.iterrows():
            draw_lines(axes, alone.loc[[run], line.dropna().index], encoding.runs.loc[[run]], scale, 0.8)
        axes.set_xlabel("optimizer step")
        axes.set_title(plain(name), fontsize=LARGE)
    by = f" by {encoding.factor}" if encoding.factor else ""
    style.add_title(whole, f"Loss against optimizer steps{by} ({count(len(encoding.runs), 'run')})")
    style.add_legend(whole, encoding.legend(marks=False))
    present = pd.Index(steps["run"].unique())
    style.add_note(whole, *encoding.describe_means(present), f"training: means of {BINS} bins a decade",
                   *encoding.describe_broken())  # fmt: skip
    return whole


def average_bins(steps: pd.DataFrame, column: str) -> pd.DataFrame:
    """Average a column over bins of equal width in the logarithm of the step: (runs, geometric centres)."""
    if column not in steps:
        return pd.DataFrame()
    bins = np.floor(BINS * np.log10(steps["step"].to_numpy(dtype=float)) + 1e-9)
    table = steps[column].groupby([steps["run"].astype(str), bins]).mean().unstack()
    return table.set_axis(10 ** ((table.columns.to_numpy() + 0.5) / BINS), axis="columns")


def _validations(comparison: Comparison, encoding: Encoding, steps: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Collect the validations within epochs and at their ends: (runs, steps)."""
    curves = comparison.study.curves
    mine = curves[(curves["metric"] == metric) & curves["run"].isin(encoding.runs.index)]
    ends = mine.set_index([mine["run"].astype(str), "step"])["value"]
    within = steps.set_index([steps["run"].astype(str), "step"])[metric].dropna() if metric in steps else ends.iloc[:0]
    whole = pd.concat([ends, within]).replace([np.inf, -np.inf], np.nan)
    return whole[~whole.index.duplicated()].unstack().sort_index(axis="columns")
