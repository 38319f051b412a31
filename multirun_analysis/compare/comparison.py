"""Compare the runs of a task on each factor, under one error rate."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import pandas as pd

from multirun_analysis.compare.chosen_metric import default_metric, find_metric, selecting_metric, with_statistic
from multirun_analysis.compare.confirmation import find_settled, fresh, searched_contests, setting_contest
from multirun_analysis.compare.confounding import Confounded, confounded
from multirun_analysis.compare.contests import BLOCKS, LEAST_TRIED, contests
from multirun_analysis.compare.design import Contest, Kind, Outcome
from multirun_analysis.compare.duplicates import find_duplicates
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.equal_cost import Budgets, find_budgets
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.inner import InnerDifference, find_inner_differences
from multirun_analysis.compare.inner_values import collect_inner_values
from multirun_analysis.compare.looks import judge_looks, read_looks, select_planned
from multirun_analysis.compare.measured_outcomes import find_resolution, measure_outcomes
from multirun_analysis.compare.metric import Metric, parse_margin
from multirun_analysis.compare.results import Result, omit_tuned
from multirun_analysis.compare.reversals import Reversal, find_reversals
from multirun_analysis.compare.sequential import Look, Looks
from multirun_analysis.compare.settings import Setting, tried_settings
from multirun_analysis.compare.shares import Shares, group_factors, variance_shares
from multirun_analysis.compare.varying_effects import VaryingEffect, find_varying_effects
from multirun_analysis.records.described import (
    Described,
    factors_of,
    one_architecture,
    order,
    tuned_keys,
    with_unexplained,
)
from multirun_analysis.records.direction import direction_of
from multirun_analysis.records.load import Study
from multirun_analysis.records.replicates import with_replicates
from paribus.errors import UserError, unknown_name

OTHER_STATISTIC = {"selected": "settled", "settled": "best"}  # beside which a statistic is held


@dataclass(frozen=True)
class Comparison:
    """The comparison of a set of runs of one task on its factors.

    Attributes:
        study: of these runs alone.
        metric, selection: the statistic that is compared; the validated one by which what was tuned is chosen.
        margin: differences up to it count as none; None: there is no such margin.
        factors: all that differs between the runs, groups of choices first.
        by: those of them that were asked for.
        described: what was tried, by run.
        values: the statistic of each run: infinitely bad where it diverged, NaN where there is none.
        results: what came of each factor, in one family; of confirmation runs alone where there are any.
        confounded: the pairs of levels that may not be compared.
        duplicates: runs that are there twice, by identity, and the one that counts.
        reused: runs marked as confirmation on seeds that were searched on; they confirm nothing.
        other: the statistic of the runs beside which the compared one is held, and the results by it.
        looks: at which seeds were added to the runs that are judged; None: their number was fixed.
    """

    study: Study
    task: str
    metric: Metric
    selection: Metric
    margin: float | None
    factors: list[str]
    by: list[str]
    described: dict[str, Described]
    values: pd.Series
    results: list[Result]
    confounded: list[Confounded]
    duplicates: dict[str, str]
    reused: list[str]
    other: tuple[Metric, list[Result]] | None
    looks: Looks | None = None

    @property
    def blocks(self) -> list[str]:
        """The factors that decide on which samples runs are validated: different ones are not compared."""
        return [factor for factor in self.factors if factor in BLOCKS]

    def is_higher_better(self, column: str) -> bool:
        """Say whether more of a column of metrics.csv is better."""
        known = {one.column: one.sign for one in (self.selection, self.metric) if one.column and one.sign}
        return known[column] > 0 if column in known else direction_of(column) == "higher"

    @property
    def confirmed(self) -> bool:
        return any(run.confirms for run in self.described.values())

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

    @cached_property
    def tried(self) -> list[Setting]:
        """The settings, best first, block by block: usable ones by their mean, then those that diverge, then the rest.

        Runs that confirm are settings of their own, beside those by which they were chosen.
        """
        known = self.settings.drop(index=list(self.duplicates)).query("cell >= 0")
        found = tried_settings(known["cell"], self.described, self.factors, self.values, self.metric.sign, self.blocks)
        if self.looks is None:
            return found
        return [s if s.confirms != self.confirmed else s.at(self._find_look(s.runs)) for s in found]

    def _find_look(self, runs: Sequence[str]) -> Look:
        assert self.looks is not None
        return self.looks.find_look(self.described[name].seed for name in runs)

    @cached_property
    def candidates(self) -> list[Setting]:
        """The usable settings that may be the best: with enough replicates; confirmed ones where there are any."""
        usable = [s for s in self.tried if s.usable and s.confirms == self.confirmed]
        most = max((s.finished + s.diverged for s in usable), default=0)
        return [s for s in usable if s.finished + s.diverged >= LEAST_TRIED * most]

    @cached_property
    def best_by_block(self) -> list[Setting]:
        """The best candidate of each block: one where all runs are validated on the same samples.

        Figures of different blocks cannot be ranked.
        """
        found: dict[tuple[Hashable, ...], Setting] = {}
        for setting in self.candidates:
            found.setdefault(setting.block(self.blocks), setting)
        return list(found.values())

    @property
    def best(self) -> Setting | None:
        """The best usable setting; None where there is none, or one in each of several blocks."""
        return self.best_by_block[0] if len(self.best_by_block) == 1 else None

    @cached_property
    def shares(self) -> Shares | None:
        """Share out the metric's variance within blocks among the factors, tuned values together with their choice."""
        block_of = {n: s.block(self.blocks) for s in self.tried if s.usable and not s.confirms for n in s.runs}
        values = {name: value for name in block_of if math.isfinite(value := float(self.values[name]))}
        whole = np.array(list(values.values()))
        if self.metric.is_loss and len(whole) and whole.min() > 0 and whole.max() > 3 * whole.min():
            values = {name: math.log(value) for name, value in values.items()}
        by_block: dict[tuple[Hashable, ...], list[float]] = {}
        for name, value in values.items():
            by_block.setdefault(block_of[name], []).append(value)
        values = {name: value - float(np.mean(by_block[block_of[name]])) for name, value in values.items()}
        seeds = {name: self.described[name].replicate[0] for name in values}
        groups = group_factors([factor for factor in self.factors if factor not in self.blocks])
        return variance_shares(self.settings[self.factors], values, seeds, groups)

    @cached_property
    def reversals(self) -> list[Reversal]:
        """Find at which levels of other factors a concluded difference turns round."""
        return find_reversals(omit_tuned(self.results), self.metric.sign, self.metric.is_loss)

    @cached_property
    def varying_effects(self) -> list[VaryingEffect]:
        """Find where the size of a concluded difference depends on another factor."""
        return find_varying_effects(omit_tuned(self.results), self.metric.sign)

    @cached_property
    def inner(self) -> list[InnerDifference]:
        """Find what differs inside the networks between the best level of each factor and another one."""
        return find_inner_differences(self.results, collect_inner_values(self.study), self.study.diagnoses)

    @cached_property
    def budgets(self) -> list[Budgets]:
        """Find what the levels of each tuned factor are worth by the trials, seconds and steps that they may have."""
        return find_budgets(self)

    @property
    def resplits(self) -> tuple[int, int] | None:
        """The validation and training samples of runs whose seeds re-split one data set; None where they do not."""
        splits = {run.split_seed for run in self.described.values() if run.choices}
        sizes = {(d.get("val"), d.get("train")) for s in self.study.summaries.values() if (d := s.get("data"))}
        known = [
            (val, train) for val, train in sizes if isinstance(val, int) and isinstance(train, int) and val and train
        ]
        return known[0] if len(splits) > 1 and len(known) == 1 else None

    def of(self, factor: str) -> list[Result]:
        """The results of a factor, one for each block."""
        return [result for result in self.results if result.factor == factor]


def tasks(study: Study) -> list[str]:
    """List the tasks of the runs. Figures of one cannot be compared with those of another."""
    return sorted(study.runs["task"].dropna().unique()) or ["regression"]


def compare(
    study: Study,
    task: str | None = None,
    metric: str | None = None,
    by: Sequence[str] = (),
    margin: str | float | None = None,
    direction: str | None = None,
) -> Comparison:
    """Compare the runs of a task (by default the only one) on each factor, or on those named in `by`.

    Args:
        metric: a column of metrics.csv or of study.runs; by default the one that the runs name as their own, else
            validation accuracy or loss (MSE where the loss itself differs).
        margin: differences up to it count as none; "0.2pt", or a number in the metric's unit.
        direction: higher or lower: which is better, of a metric whose name does not say so.

    Raises UserError for a task, metric, factor or margin that is none.
    """
    known = tasks(study)
    if task is None and len(known) > 1:
        raise UserError(f"These runs have several tasks: {', '.join(known)}. Name one of them.")
    if task is not None and task not in known:
        raise unknown_name(task, "the tasks of these runs", known)
    study = study.of(known[0] if task is None else task)
    described = with_replicates(with_unexplained(one_architecture(study.described)))
    factors = factors_of(described.values())
    for factor in by:
        if factor not in factors:
            raise unknown_name(factor, "what differs between these runs (--by)", factors)
    name = task or known[0]
    measured = find_metric(study, metric, direction) if metric else default_metric(study, name, factors)
    selection = selecting_metric(study, name, factors, measured)
    study = with_statistic(with_statistic(study, measured), selection)
    margin = study.plan.margin if margin is None and study.plan is not None else margin
    allowed = parse_margin(margin, measured) if isinstance(margin, str) else margin
    duplicates = find_duplicates(study)
    confirms, reused = fresh(described)
    described = {name: replace(run, confirms=confirms.get(name, False)) for name, run in described.items()}
    counted = {name: run for name, run in described.items() if name not in duplicates}
    judged = {name: run for name, run in counted.items() if run.confirms} or counted
    others = {name: run for name, run in counted.items() if name not in judged}
    searched = tuned_keys(described.values())
    compared = list(by) or [factor for factor in factors if factor not in searched]
    chosen = [factor for factor in compared if factor not in BLOCKS]
    looks = read_looks(study.plan, judged)

    def contests_of(statistic: Metric, runs: Mapping[str, Described], outcomes: Mapping[str, Outcome]) -> list[Contest]:
        found = [contests(runs, outcomes, factors, factor, selection.sign, statistic.is_loss) for factor in chosen]
        return [contest for of_factor in found for contest in of_factor]

    def results_at(statistic: Metric, looks: Looks | None) -> list[Result]:
        runs: Mapping[str, Described] = judged
        if looks is not None and study.plan is not None:
            runs = select_planned(study.plan, judged, looks.judged if looks.taken else looks.seeds)
        outcomes = measure_outcomes(study, runs, statistic, selection)
        tuned, found = list[Contest](), list[Contest]()
        if others:  # each level at what the search chose
            before = contests_of(statistic, others, measure_outcomes(study, others, statistic, selection))
            tuned = [contest for contest in before if contest.kind == Kind.TUNED]
            found = searched_contests(runs, outcomes, tuned)
        if not searched or not found:
            settled = find_settled(found, tuned)
            found += [one for one in contests_of(statistic, runs, outcomes) if one.factor not in settled]
            whole = setting_contest(runs, outcomes, factors) if others and not by and not settled else None
            found += [] if whole is None else [whole]
        found = [replace(contest, looks=looks) for contest in found]
        resolution = find_resolution(study, statistic, outcomes)
        return decide(
            [analyse(c, statistic.sign, statistic.is_loss) for c in found], statistic.sign, allowed, resolution
        )

    def results_by(statistic: Metric) -> list[Result]:
        return results_at(statistic, None) if looks is None else judge_looks(looks, partial(results_at, statistic))

    results = results_by(measured)
    other = None
    if measured.statistic in OTHER_STATISTIC:
        beside = replace(
            measured, name=measured.name.replace(measured.statistic, OTHER_STATISTIC[measured.statistic], 1)
        )
        if beside.name in study.runs:
            study = with_statistic(study, beside)
            other = beside, results_by(beside)
    of = {factor: [result.contest for result in results if result.factor == factor] for factor in chosen}
    mixed = [pair for factor in chosen for pair in confounded(judged, factors, factor, of[factor])]
    return Comparison(
        study, name, measured, selection, allowed, factors, compared, described,
        measured.of(study), results,  mixed, duplicates, reused, other, looks,
    )  # fmt: skip
