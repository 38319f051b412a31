"""The figures of a run, from its metrics by epoch: final, best, settled and selected.

`best` is a maximum over noise: of two settings equal in every epoch, the one that jitters more has the better one. So
settings are compared by `selected`, the metric of the epoch that validation selects, on samples that did not select it,
or by `settled`, the mean over the last tenth of the epochs. `best` is for reports, and beside others' numbers.
"""

import math

import numpy as np
import pandas as pd

SETTLED_SHARE = 0.1  # of the epochs, the last ones
NOT_METRICS = ["epoch", "step", "epoch_seconds", "lr"]


def figures_of_curves(metrics: pd.DataFrame, folds: pd.DataFrame | None = None) -> dict[str, float]:
    """Compute the figures of a run: `final_`, `best_`, `settled_` and `selected_` with the metric's name.

    An epoch whose validation loss is not finite has no best figure, and is selected never. `selected_` is there for the
    columns of `folds` alone.

    Args:
        metrics: a row an epoch; columns as in metrics.csv.
        folds: a row an epoch and fold; columns as in folds.parquet.
    """
    found: dict[str, float] = {}
    usable = np.isfinite(metrics["val/loss"].to_numpy()) if "val/loss" in metrics else np.zeros(len(metrics), bool)
    for column in map(str, metrics.columns.difference(NOT_METRICS)):
        name, values = column.replace("/", "_"), metrics[column].to_numpy()
        if not len(values):
            continue
        found[f"final_{name}"] = values[-1]
        if column.startswith("val/"):
            good = values[usable & np.isfinite(values)]
            if len(good):
                found[f"best_{name}"] = good.max() if higher_is_better(column) else good.min()
            found[f"settled_{name}"] = settled(values)
    return found | ({} if folds is None else selected(folds))


def settled(values: np.ndarray) -> float:
    """Average the last tenth of a run's (n,) values by epoch, at least one of them."""
    last = values[-math.ceil(SETTLED_SHARE * len(values)) :]
    return float(last.mean()) if np.isfinite(last).all() else math.nan


def selected(folds: pd.DataFrame) -> dict[str, float]:
    """Score the epoch that validation selects on samples that did not select it.

    For each fold the epoch is chosen on the others (by the highest val/acc, or the lowest val/loss where there is none,
    as best.ckpt is), and scored on the fold; the scores are averaged over the samples. An epoch whose loss is not
    finite is chosen never; where there is no other, the figures are NaN.
    """
    count = int(folds["fold"].max())
    order = np.lexsort((folds["fold"].to_numpy(), folds["epoch"].to_numpy()))
    sizes = folds["samples"].to_numpy(dtype=float)[order].reshape(-1, count)[0]
    columns = [column for column in map(str, folds) if column.startswith("val/")]
    # (epochs, folds): sums over the samples of each fold
    sums = {c: folds[c].to_numpy(dtype=float)[order].reshape(-1, count) * sizes for c in columns}
    finite = np.isfinite(sums["val/loss"]).all(axis=1)
    if not finite.any():
        return {f"selected_{column.replace('/', '_')}": math.nan for column in columns}
    by = "val/acc" if "val/acc" in sums else "val/loss"
    known = np.where(finite[:, None], sums[by], 0)
    elsewhere = known.sum(axis=1, keepdims=True) - known
    score = np.where(finite[:, None], elsewhere if by == "val/acc" else -elsewhere, -math.inf)
    chosen = score.argmax(axis=0)  # the first on a tie, as for best.ckpt
    scored = {column: values[chosen, np.arange(count)].sum() / sizes.sum() for column, values in sums.items()}
    return {f"selected_{column.replace('/', '_')}": float(value) for column, value in scored.items()}


def higher_is_better(metric: str) -> bool:
    """Say whether more of it is better: accuracies, R2 and stability; of losses, errors and times less is."""
    return bool({"acc", "accuracy", "r2", "stability"} & set(metric.replace("/", "_").split("_")))
