"""The statistics of a run, from its metrics by epoch: final, best, settled and selected.

`best` is a maximum over noise: of two settings equal in every epoch, the one that jitters more has the better one. So
settings are compared by `selected`, the metric of the epoch that validation selects, on samples that did not select it,
or by `settled`, the mean over the last tenth of the epochs. `best` is for reports, and beside others' numbers.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from multirun_analysis.records.direction import direction_of
from paribus.record import Metric

SETTLED_SHARE = 0.1  # of the epochs, the last ones
NOT_METRICS = ["epoch", "step", "epoch_seconds", "lr"]


def compute_statistics(
    metrics: pd.DataFrame,
    folds: pd.DataFrame | None = None,
    named: Metric | None = None,
    unvalidated: Sequence[int] = (),
    measured: Collection[str] = (),
) -> dict[str, float]:
    """Compute the statistics of a run: `final_`, `best_`, `settled_` and `selected_` with the metric's name.

    An epoch whose validation loss is not finite has no best value, and is selected never. `selected_` is there for the
    columns of `folds` alone, `best_` for columns whose better end is known.

    Args:
        metrics: a row an epoch; columns as in metrics.csv.
        folds: a row an epoch and fold; columns as in folds.parquet.
        named: the metric that the run names as its own.
        unvalidated: epochs without validation, which validation metrics are not taken from.
        measured: columns of instruments, of which the epochs without a value do not count.
    """
    found: dict[str, float] = {}
    validated = metrics[~metrics["epoch"].isin(unvalidated)] if len(unvalidated) else metrics
    for column in sorted(set(map(str, metrics.columns)).difference(NOT_METRICS)):
        rows = validated if column.startswith("val/") else metrics
        rows = rows[rows[column].notna()] if column in measured else rows
        if not len(rows):
            continue
        found[f"final_{name_statistic(column)}"] = rows[column].iloc[-1]
        if column.startswith("val/") or (named is not None and column == named.column):
            own = named is not None and column == named.column
            found |= compute_column_statistics(rows, column, named.direction if own and named else direction_of(column))
    return found | ({} if folds is None else selected(folds, named))


def compute_column_statistics(metrics: pd.DataFrame, column: str, direction: str | None) -> dict[str, float]:
    """Compute `best_` and `settled_` of one column of metrics.csv, of which more ("higher") or less is better."""
    values, name = metrics[column].to_numpy(), name_statistic(column)
    usable = np.isfinite(values)
    if "val/loss" in metrics:
        usable = usable & np.isfinite(metrics["val/loss"].to_numpy())
    found = {}
    if direction is not None and usable.any():
        found[f"best_{name}"] = values[usable].max() if direction == "higher" else values[usable].min()
    return {**found, f"settled_{name}": settled(values)}


def name_statistic(column: str) -> str:
    """Name a column of metrics.csv as in the statistics of a run: val/f1 is val_f1."""
    return column.replace("/", "_")


def settled(values: np.ndarray) -> float:
    """Average the last tenth of a run's (n,) values by epoch, at least one of them."""
    last = values[-math.ceil(SETTLED_SHARE * len(values)) :]
    return float(last.mean()) if np.isfinite(last).all() else math.nan


def selected(folds: pd.DataFrame, named: Metric | None = None) -> dict[str, float]:
    """Score the epoch that validation selects on samples that did not select it.

    For each fold the epoch is chosen on the others, as best.ckpt is: by the metric that the run names, else by the
    highest val/acc, or the lowest val/loss where there is none. It is scored on the fold; the scores are averaged over
    the samples. An epoch whose loss is not finite is chosen never; where there is no other, they are NaN. There
    are none where the metric that the run names has no folds.
    """
    count = int(folds["fold"].max())
    order = np.lexsort((folds["fold"].to_numpy(), folds["epoch"].to_numpy()))
    sizes = folds["samples"].to_numpy(dtype=float)[order].reshape(-1, count)[0]
    columns = [column for column in map(str, folds) if column.startswith("val/")]
    # (epochs, folds): sums over the samples of each fold
    sums = {c: folds[c].to_numpy(dtype=float)[order].reshape(-1, count) * sizes for c in columns}
    by, higher = ("val/acc", True) if "val/acc" in sums else ("val/loss", False)
    if named is not None:
        by, higher = named.column, named.higher
        if by not in sums:
            return {}
    finite = np.isfinite(sums["val/loss"]).all(axis=1) & np.isfinite(sums[by]).all(axis=1)
    if not finite.any():
        return {f"selected_{name_statistic(column)}": math.nan for column in columns}
    known = np.where(finite[:, None], sums[by], 0)
    elsewhere = known.sum(axis=1, keepdims=True) - known
    score = np.where(finite[:, None], elsewhere if higher else -elsewhere, -math.inf)
    chosen = score.argmax(axis=0)  # the first on a tie, as for best.ckpt
    scored = {column: values[chosen, np.arange(count)].sum() / sizes.sum() for column, values in sums.items()}
    return {f"selected_{name_statistic(column)}": float(value) for column, value in scored.items()}
