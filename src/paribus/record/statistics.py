"""Summarise a run in a few numbers; imports no torch."""

import math
import statistics
from collections.abc import Mapping, Sequence

from paribus.record.metric import Metric


def score_epoch(row: Mapping[str, float | None], metric: Metric | None = None) -> float | None:
    """Return the score of an epoch that selects the best one, higher is better: of `metric`, val/acc, or -val/loss.

    None if val/loss is missing or not finite: a network that returns NaN still has the accuracy of class 0.
    """
    default = Metric("val/acc", True) if "val/acc" in row else Metric("val/loss", False)
    return (metric or default).score(row)


def summarise_rows(
    rows: Sequence[Mapping[str, float | None]], metric: Metric | None = None
) -> dict[str, float | int | None]:
    """Return the summary statistics of the rows of metrics.csv (at least one).

    best_metric (where a `metric` was chosen), best_val_acc (classification) or best_val_loss (regression) and
    best_epoch ignore epochs with a non-finite loss. epochs_to_90pct is the first epoch with 0.9 of the run's best
    accuracy. stability_score is 1 / (1 + population variance of the epochs' training losses), if they were recorded.
    train_seconds is the sum of epoch_seconds.
    """
    scores = [(int(row["epoch"] or 0), value) for row in rows if (value := score_epoch(row, metric)) is not None]
    best_epoch, best = max(scores, key=lambda pair: pair[1], default=(None, None))
    result: dict[str, float | int | None] = {"epochs": len(rows)}
    result |= {
        f"final_{part}_loss": rows[-1][f"{part}/loss"] for part in ("train", "val") if f"{part}/loss" in rows[-1]
    }
    if metric is not None:
        result |= {"best_metric": None if best is None else metric.value(best), "best_epoch": best_epoch}
    elif "val/acc" in rows[0]:
        result |= {"best_val_acc": best, "best_epoch": best_epoch}
        result["epochs_to_90pct"] = next((e for e, v in scores if best is not None and v >= 0.9 * best), None)
    else:
        result |= {"best_val_loss": None if best is None else -best, "best_epoch": best_epoch}
    if "train/loss" in rows[-1]:
        losses = [row.get("train/loss") for row in rows]
        finite = [loss for loss in losses if loss is not None and math.isfinite(loss)]
        known = len(finite) == len(losses)
        result["stability_score"] = 1 / (1 + _compute_variance(finite)) if known else None
    seconds = [row["epoch_seconds"] or 0.0 for row in rows]
    return result | {"mean_epoch_seconds": sum(seconds) / len(seconds), "train_seconds": sum(seconds)}


def _compute_variance(values: Sequence[float]) -> float:
    try:
        return statistics.pvariance(values)
    except OverflowError:  # of losses in double precision
        return math.inf
