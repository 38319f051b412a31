"""Measure the time to a target that all runs share: infinite for a run that never reaches it.

Epochs to 90 % of a run's own best flatter poor runs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.records.described import in_words
from paribus import record
from paribus.errors import UserError

NEAR = "near the best run"  # of negative values a share says nothing
UNITS = ("epochs", "steps", "seconds")


@dataclass(frozen=True)
class Target:
    """A column of metrics.csv, and the value that is to be reached; `why` says where that comes from.

    Attributes:
        higher: whether more of it is better.
    """

    column: str
    value: float
    why: str
    higher: bool

    @property
    def in_words(self) -> str:
        sense = "at least" if self.higher else "at most"
        return f"{self.column} {sense} {self.value:.4g} ({self.why})"


def target_of(comparison: Comparison, value: float | None = None) -> Target | None:
    """The target asked for, or by default one that good runs reach on their way; None where no run gives one.

    By default 0.95 of the best accuracy; for a loss 0.9 of the way from the baseline (predicting the training mean) to
    the best, or 1.25 times the best where no baseline is known.
    """
    metric = comparison.selection
    column, higher = metric.column, metric.sign > 0
    assert column is not None  # it is validated
    if value is not None:
        if not math.isfinite(value) or (metric.is_share and not 0 <= value <= 1):
            raise UserError(
                f"--target {value:g} cannot be reached: {column} is "
                + ("a fraction, 0.85 for 85 %." if metric.is_share else "a number.")
            )
        return Target(column, value, "as asked for", higher)
    values = metric.of(comparison.study)
    values = values[np.isfinite(values)]
    if values.empty:
        return None
    if higher:
        most = float(values.max())
        return Target(column, most - 0.05 * abs(most), "0.95 of the best run" if most >= 0 else NEAR, higher)
    best = float(values.min())
    runs = comparison.study.runs
    if "baseline_val_loss" in runs and column == "val/loss":
        baseline = float(runs.loc[values.index, "baseline_val_loss"].mean())
        if baseline > best:
            why = "0.9 of the way from the baseline to the best run"
            return Target(column, baseline - 0.9 * (baseline - best), why, higher)
    return Target(column, best + 0.25 * abs(best), "1.25 times the best run" if best >= 0 else NEAR, higher)


def reached(comparison: Comparison, target: Target) -> pd.DataFrame:
    """By run: epochs, steps and seconds until its first epoch at the target.

    Infinity for a completed or diverged run that never was; NaN for one that failed or stopped before.
    """
    curves = comparison.study.curves
    wide = curves[curves["metric"].isin([target.column, "seconds"])].pivot(
        index=["run", "epoch", "step"], columns="metric", values="value"
    )
    wide = wide.reindex(columns=[target.column, "seconds"]).reset_index()
    there = wide[target.column] >= target.value if target.higher else wide[target.column] <= target.value
    first = wide[there].groupby("run", observed=True)[["epoch", "step", "seconds"]].first()
    first.columns = pd.Index(UNITS)
    runs = comparison.study.runs
    never = runs["status"].isin(record.FINISHED).map({True: math.inf, False: math.nan})
    result = first.reindex(runs.index).astype(float)
    return result.apply(lambda column: column.fillna(never))


def to_target(comparison: Comparison, target: Target) -> pd.DataFrame:
    """A row a cell (runs that differ in their seed only): its levels, seeds, how many reached the target, of how many
    nobody knows, and medians over the others.

    The median counts runs that missed it as infinity; of an even number it is the mean of the two in the middle.
    """
    found = reached(comparison, target)
    settings = comparison.settings
    rows = []
    for _, names in settings[settings["cell"] >= 0].groupby("cell").groups.items():
        times = found.loc[[name for name in names if name not in comparison.duplicates]]
        known = times.dropna(subset="epochs")
        row: dict[str, Any] = {factor: in_words(settings.at[names[0], factor]) for factor in comparison.factors}
        row |= {"seeds": len(known), "reached": int(np.isfinite(known["epochs"]).sum())}
        row["unknown"] = len(times) - len(known)
        row |= {f"median_{unit}": float(np.median(known[unit])) if len(known) else math.nan for unit in UNITS}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.sort_values(["median_epochs", "median_seconds"], kind="stable", ignore_index=True) if rows else frame
