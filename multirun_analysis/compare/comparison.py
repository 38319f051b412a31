"""What a change did, and how sure one can be: every pair of levels that may be compared, and those that may not.

A run that diverged is worse than every number; one that failed or has not ended says nothing. Neither is left out.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from multirun_analysis.compare.contests import CONFOUNDED, Confounded, confounded, contests
from multirun_analysis.compare.judging import PAIR_COLUMNS, Result, judge
from multirun_analysis.compare.metric import Metric, default_metric
from multirun_analysis.records.described import (
    CONTENT,
    Described,
    factors_of,
    one_architecture,
    order,
    with_unexplained,
)
from multirun_analysis.records.load import Study
from paribus import record
from paribus.errors import UserError, unknown


@dataclass(frozen=True)
class Comparison:
    """What a set of runs of one task says about its factors.

    Attributes:
        study: of these runs alone.
        metric, selection: the figure that is compared; the validated one by which what was tuned is chosen.
        factors: all that differs between the runs, groups of choices first.
        by: those of them that were asked for.
        described: what was tried, by run.
        values: the figure of each run: infinitely bad where it diverged, NaN where there is none.
        results: of the contests, factor by factor, tuned ones first.
        confounded: the pairs of levels that may not be compared.
        duplicates: runs that are there twice, by identity, and the one that counts.
    """

    study: Study
    task: str
    metric: Metric
    selection: Metric
    factors: list[str]
    by: list[str]
    described: dict[str, Described]
    values: pd.Series
    results: list[Result]
    confounded: list[Confounded]
    duplicates: dict[str, str]

    @property
    def pairs(self) -> pd.DataFrame:
        """All pairs, columns PAIR_COLUMNS: those of the contests, then the confounded ones."""
        rows = [
            dict.fromkeys(PAIR_COLUMNS)
            | {"factor": c.factor, "kind": CONFOUNDED, "a": c.a, "b": c.b, "metric": self.metric.name, "seeds": 0}
            | {"verdict": CONFOUNDED, "note": f"the nearest runs differ also in {', '.join(c.also)}"}
            for c in self.confounded
        ]
        parts = [result.pairs.astype(object) for result in self.results]
        return pd.concat([*parts, pd.DataFrame(rows, columns=PAIR_COLUMNS, dtype=object)], ignore_index=True)

    @cached_property
    def settings(self) -> pd.DataFrame:
        """A row a run: its level of every factor, and `cell`, a number that runs share which differ in their seed only.

        Cells are numbered in the order of their levels, factor by factor. -1: what was tried is not known.
        """
        levels = {name: [run.level(factor) for factor in self.factors] for name, run in self.described.items()}
        frame = pd.DataFrame.from_dict(levels, orient="index", columns=self.factors, dtype=object)
        known = [name for name, run in self.described.items() if run.choices]
        ranks = {factor: {level: i for i, level in enumerate(order(frame[factor]))} for factor in self.factors}
        keys = {
            name: tuple(ranks[f][level] for f, level in zip(self.factors, levels[name], strict=True)) for name in known
        }
        places = {key: i for i, key in enumerate(sorted(set(keys.values())))}
        frame["cell"] = [places[keys[name]] if name in keys else -1 for name in frame.index]
        return frame

    def of(self, factor: str) -> list[Result]:
        return [result for result in self.results if result.contest.factor == factor]


def tasks(study: Study) -> list[str]:
    """The tasks of the runs. Figures of one cannot be compared with those of another."""
    return sorted(study.runs["task"].dropna().unique()) or ["regression"]


def compare(study: Study, task: str | None = None, metric: str | None = None, by: Sequence[str] = ()) -> Comparison:
    """Compare the runs of a task (by default the only one) on each factor, or on those named in `by`.

    `metric` is a column of study.runs; by default best_val_acc or best_val_loss, and best_val_mse where the loss
    itself differs. Raises UserError for a task, metric or factor that is not there.
    """
    known = tasks(study)
    if task is None and len(known) > 1:
        raise UserError(f"These runs have several tasks: {', '.join(known)}. Name one of them.")
    if task is not None and task not in known:
        raise unknown(task, "the tasks of these runs", known)
    study = study.of(known[0] if task is None else task)
    described = with_unexplained(one_architecture(study.described))
    factors = factors_of(described.values())
    for name in by:
        if name not in factors:
            raise unknown(name, "what differs between these runs (--by)", factors)
    default = default_metric(task or known[0], factors)
    measured = Metric(metric) if metric else default
    if metric:
        measured.require(study)
    selection = measured if measured.validated and measured.sign else default
    values, selected_on = measured.of(study), selection.of(study)
    duplicates = _duplicates(study)
    compared = {name: run for name, run in described.items() if name not in duplicates}
    figures = {str(run): float(value) for run, value in values.items()}
    chosen_by = {str(run): float(value) for run, value in selected_on.items()}
    statuses = {str(run): str(status) for run, status in study.runs["status"].items()}
    results: list[Result] = []
    others: list[Confounded] = []
    for factor in by or factors:
        found = contests(compared, factors, factor)
        results += judge(found, compared, figures, chosen_by, measured, selection, statuses)
        others += confounded(compared, factors, factor, found)
    return Comparison(
        study, task or known[0], measured, selection, factors, list(by or factors), described, values, results, others,
        duplicates,
    )  # fmt: skip


def _duplicates(study: Study) -> dict[str, str]:
    """Runs that are there under another name as well, made on the same data; the first that is finished counts.

    An attempt that has not ended is nothing beside one that has.
    """
    finished = dict(zip(study.described, study.runs["status"].isin(record.FINISHED), strict=True))
    first: dict[Hashable, dict[Hashable, str]] = {}  # by identity and data; an attempt may not have come to its data
    result = {}
    for name in sorted(study.described, key=lambda name: not finished[name]):
        run = study.described[name]
        if run.identity is not None:
            known = first.setdefault(run.identity, {})
            data = run.flat.get(CONTENT)
            if data is None and known:
                result[name] = next(iter(known.values()))
            elif known.setdefault(data, name) != name:
                result[name] = known[data]
    return result
