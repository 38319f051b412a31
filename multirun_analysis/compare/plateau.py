"""Whether runs still improve at the end of their budget: then a comparison holds for that budget alone."""

import numpy as np

from multirun_analysis.compare.comparison import Comparison
from paribus import record
from paribus.diagnosis import relative_gain

LEAST_GAIN = 0.02  # of what is left: of the loss, or of 1 less the accuracy


def still_improves(values: np.ndarray, higher: bool, share: bool) -> bool:
    """Say whether a run's (n,) metric by epoch still improves over its last fifth.

    The mean of the last fifth is compared with that of the fifth before: it improves where it gains more than 2 % of
    what is left, and more than two standard errors of the two means.

    Args:
        higher: whether more is better.
        share: whether it is a fraction, of which 1 less the value is left.
    """
    gain = relative_gain(values, higher, share)
    return gain is not None and gain > LEAST_GAIN


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
