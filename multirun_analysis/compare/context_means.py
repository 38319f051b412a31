"""Means over contexts of replicates that do not have all of them: a run diverged, or was not made."""

import numpy as np

LEAST_CONTEXTS = 0.5  # of the contexts; a replicate with values in fewer takes no part


def average_contexts(table: np.ndarray) -> np.ndarray:
    """Average a table (replicates, contexts) with gaps over its contexts; NaN for replicates with too few of them.

    Contexts differ. So that a gap does not look like noise, a replicate with gaps is held against the others context by
    context: it gets their mean, and its own mean deviation from them. Others are the replicates without a gap; where
    these are fewer than two, or than half, it is the plain mean of what is there.
    """
    known = ~np.isnan(table)
    there = known.sum(axis=1)
    means = np.full(len(table), np.nan)
    kept = (there > 0) & (there >= LEAST_CONTEXTS * table.shape[1])
    whole = known.all(axis=1)
    centres = np.zeros(table.shape[1])
    if whole.sum() >= max(2, kept.sum() / 2):
        centres = table[whole].mean(axis=0)
    deviations = np.where(known, table - centres, 0).sum(axis=1)
    means[kept] = centres.mean() + deviations[kept] / there[kept]
    means[whole] = table[whole].mean(axis=1)  # to the last digit
    return means
