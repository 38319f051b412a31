"""Whether runs still improve at the end of their budget: then a comparison holds for that budget alone."""

import numpy as np

from multirun_analysis.compare.comparison import Comparison
from paribus import record

LEAST_EPOCHS = 3
LEAST_GAIN = 0.02  # of what is left: of the loss, or of 1 less the accuracy
ERRORS = 2.0  # standard errors by which a gain has to exceed the jitter


def still_improves(values: np.ndarray, higher: bool, share: bool) -> bool:
    """Say whether a run's (n,) metric by epoch still improves over its last fifth.

    The mean of the last fifth is compared with that of the fifth before: it improves where it gains more than 2 % of
    what is left, and more than two standard errors of the two means.

    Args:
        higher: whether more is better.
        share: whether it is a fraction, of which 1 less the value is left.
    """
    n = len(values)
    if n < LEAST_EPOCHS or not np.isfinite(values).all():
        return False
    k = max(1, n // 5)
    last, before = values[-k:], values[-2 * k : -k]
    gain = (last.mean() - before.mean()) * (1 if higher else -1)
    left = 1 - before.mean() if share and higher else abs(before.mean())
    error = np.sqrt((last.var(ddof=1) + before.var(ddof=1)) / k) if k > 1 else 0.0
    return bool(gain > LEAST_GAIN * left and gain > ERRORS * error)


def improving(comparison: Comparison) -> float:
    """Compute the share of the runs that stand for levels that still improve at their last epoch; NaN without any."""
    metric, runs = comparison.selection, comparison.study.runs
    curves = comparison.study.curves
    entries = [e for r in comparison.results for by_level in r.contest.entries.values() for e in by_level.values()]
    standing = {name for entry in entries if entry.cell is not None for name in entry.cell.runs}
    completed = {name for name in runs.index[runs["status"] == record.COMPLETED] if name in standing or not standing}
    mine = curves[(curves["metric"] == metric.column) & curves["run"].isin(completed)]
    if mine.empty:
        return float("nan")
    found = [  # epochs without validation say nothing
        still_improves(values.dropna().to_numpy(), metric.sign > 0, metric.is_share)
        for _, values in mine.groupby("run", observed=True)["value"]
    ]
    return float(np.mean(found))
