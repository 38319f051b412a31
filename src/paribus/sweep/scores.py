"""Score the trials of a search from the records of their runs, by the figure that the analysis compares."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

UNUSABLE_SHARE = 0.5  # of the runs of a trial that may diverge, as in the analysis
NOISE_ERRORS = 2.0  # standard errors within which two trials are alike
LEAST_RIVALS = 3


def score_runs(directories: Sequence[Path], epochs: int | None = None) -> dict[Path, float]:
    """Score runs that are over: more is better, -inf where a run diverged or failed, NaN without a figure.

    The figure is that by which the analysis chooses tuned values: `selected` where the runs have folds, else `settled`.
    With `epochs`, it is `settled` after so many epochs, also of runs that are paused.
    """
    from multirun_analysis.compare.chosen_metric import default_metric, selecting_metric  # pandas takes time to import
    from multirun_analysis.records.described import factors_of
    from multirun_analysis.records.load import load_runs
    from multirun_analysis.records.run_statistics import settled
    from paribus import record

    study = load_runs(list(directories))
    task = str(next(iter(study.runs["task"].dropna()), "regression"))
    factors = factors_of(study.described.values())
    metric = selecting_metric(study, task, factors, default_metric(study, task, factors))
    scores: dict[Path, float] = {}
    curves = study.curves[study.curves["metric"] == metric.column].set_index("run") if epochs is not None else None
    for name, row in study.runs.iterrows():
        if curves is None:
            value = metric.sign * float(row.get(metric.name, math.nan))
        else:
            mine = curves.loc[curves.index == name].sort_values("epoch")
            value = metric.sign * settled(mine[mine["epoch"] <= epochs]["value"].to_numpy())
        diverged = row["status"] == record.DIVERGED and (epochs is None or row["diverged_epoch"] <= epochs)
        # what a run did before it failed counts as before: else an earlier rung would be decided anew
        failed = row["status"] == record.FAILED and (epochs is None or len(mine) < epochs)
        scores[Path(str(row["directory"]))] = -math.inf if diverged or failed else value
    return scores


def average(values: Sequence[float]) -> float:
    """Average the scores of a trial's runs; -inf where more than half of them diverged, or none has a figure."""
    finite = [value for value in values if math.isfinite(value)]
    diverged = sum(value == -math.inf for value in values)
    return statistics.fmean(finite) if finite and diverged <= UNUSABLE_SHARE * len(values) else -math.inf


def is_alike(scores: Mapping[int, Sequence[float]], best: int, other: int) -> bool:
    """Return whether a trial lies within two standard errors of the best one, from their runs seed by seed.

    The variance of the differences is averaged over the trials that lie next to the best, at least three of them: that
    of one pair over three seeds says little. With one seed, or without such trials, nothing tells them apart.
    """
    ranked = sorted(scores, key=lambda trial: -average(scores[trial]))
    near = ranked[: 1 + max(LEAST_RIVALS, len(ranked) // 4)]
    variances = []
    for rival in (trial for trial in near if trial != best):
        differences = np.subtract(scores[best], scores[rival])
        finite = differences[np.isfinite(differences)]
        if len(finite) > 1:
            variances.append(finite.var(ddof=1) / len(finite))
    gap = average(scores[best]) - average(scores[other])
    return not variances or gap <= NOISE_ERRORS * math.sqrt(statistics.fmean(variances))
