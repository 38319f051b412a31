"""Measure the time to a target that all runs share: infinite for a run that never reaches it.

Epochs to 90 % of a run's own best flatter poor runs.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.records.described import in_words
from paribus import record
from paribus.errors import UserError

NEAR = "near the best run"  # of negative values a share says nothing
UNITS = ("epochs", "steps", "seconds")
SMOOTHED = 3  # successive validations, whose best mean says up to where a curve rises


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
    """By run: epochs, steps and seconds until it reaches the target, by `find_crossing` of its validations.

    They are interpolated between validations where every run has some within epochs (`is_by_step`), else those of an
    epoch's end. Infinity for a completed or diverged run that never reached it; NaN for one that failed or stopped
    before.
    """
    curves = comparison.study.curves
    wide = curves[curves["metric"].isin([target.column, "seconds"])].pivot(
        index=["run", "epoch", "step"], columns="metric", values="value"
    )
    wide = wide.reindex(columns=[target.column, "seconds"]).reset_index()
    by_step = is_by_step(comparison, target.column)
    points = wide[["run", "step", target.column]]
    if by_step:
        points = pd.concat([points, _within_epochs(comparison, target.column)[["run", "step", target.column]]])
    points = points[np.isfinite(points[target.column])].drop_duplicates(["run", "step"])
    validations = _split_by_run(points.sort_values("step", kind="stable"), ["step", target.column])
    ends = _split_by_run(wide, ["epoch", "step", "seconds"])
    sign = 1 if target.higher else -1
    found: dict[str, list[float]] = {}
    for run, (steps, values) in validations.items():
        if run not in ends:  # its steps.parquet is whole, its metrics.csv is not
            continue
        at = find_crossing(steps, sign * values, sign * target.value, by_step)
        if math.isfinite(at):
            step = np.concatenate([[0.0], ends[run][1]])
            found[run] = [float(np.interp(at, step, np.concatenate([[0.0], times]))) for times in ends[run]]
    runs = comparison.study.runs
    result = pd.DataFrame.from_dict(found, orient="index", columns=list(UNITS), dtype=float).reindex(runs.index)
    never = runs["status"].isin(record.FINISHED).map({True: math.inf, False: math.nan})
    return result.apply(lambda column: column.fillna(never))


def _split_by_run(frame: pd.DataFrame, columns: list[str]) -> dict[str, list[np.ndarray]]:
    """Return the values of columns by run, in the order of the rows."""
    codes, names = pd.factorize(frame["run"])
    order = np.argsort(codes, kind="stable")
    begins = np.searchsorted(codes[order], np.arange(1, len(names)))
    parts = [np.split(frame[name].to_numpy(dtype=float)[order], begins) for name in columns]
    return {str(name): [part[i] for part in parts] for i, name in enumerate(names)}


def find_crossing(steps: np.ndarray, values: np.ndarray, target: float, interpolate: bool) -> float:
    """Find the step at which a noisy curve, of which more is better, reaches the target; infinity if it never does.

    The first value at the target is a maximum over noise: of two curves that are equal but for their jitter, the one
    that jitters more has it earlier. So it is where the least-squares rising curve (isotonic regression) through the
    values reaches it. The values count up to the best mean of three successive ones, since a curve may fall afterwards.

    Args:
        steps, values: those of n validations, (n,), in order of the steps.
        interpolate: whether the step may lie between two validations, linearly in its logarithm.
    """
    if not len(values):
        return math.inf
    sums = np.convolve(values, np.ones(SMOOTHED))[: len(values)]
    means = sums / np.minimum(np.arange(1, len(values) + 1), SMOOTHED)
    fitted = isotonic_regression(values[: int(np.argmax(means)) + 1]).x
    at = int(np.searchsorted(fitted, target))  # the first that is not below
    if at == len(fitted):
        return math.inf
    if at == 0 or not interpolate:
        return float(steps[at])
    share = (target - fitted[at - 1]) / (fitted[at] - fitted[at - 1])
    return float(math.exp(np.interp(share, [0, 1], np.log(steps[at - 1 : at + 1]))))


def is_by_step(comparison: Comparison, column: str) -> bool:
    """Say whether every run with values of the column has some within epochs."""
    curves = comparison.study.curves
    having = curves.loc[(curves["metric"] == column) & curves["value"].notna(), "run"].unique()
    return len(having) > 0 and set(having) <= set(_within_epochs(comparison, column)["run"].unique())


def _within_epochs(comparison: Comparison, column: str) -> pd.DataFrame:
    steps = comparison.study.steps
    return steps[steps[column].notna()] if column in steps else steps.iloc[:0]


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
