"""Compute what levels are worth when each may spend as much: seconds of training, or optimizer steps."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from multirun_analysis.compare.budget import BudgetCurve, budget_curves, searched_contests_of
from multirun_analysis.compare.design import Contest
from multirun_analysis.records.described import in_words, tuned_keys

if TYPE_CHECKING:
    from multirun_analysis.compare.comparison import Comparison

Unit = Literal["seconds", "steps"]
WORDS: dict[Unit, str] = {"seconds": "seconds of training", "steps": "optimizer steps"}
LEFT_BEHIND = "not known, since halving has left trials behind after fewer epochs than others"


@dataclass(frozen=True)
class EqualCost:
    """The worth of levels at equal costs.

    The cost of k trials is k times the mean cost of one: the expectation for k trials drawn at random (Dodge et al.
    2019). A run without a recorded cost is taken to cost as much as the level's others.

    Attributes:
        costs: by level, the mean cost of a trial with all of its seeds.
        intervals: by level, the 95 % interval of that mean over the level's runs (Student); NaN for a single run.
        budgets: costs that every level has spent at least: those of 1, 2, 4, ... trials of the most expensive level,
            and the whole of the level that spent least. Empty where that is less than one trial of another.
        curves: of each level, at the number of whole trials that each budget allows.
        note: what has to be known to read the costs; may be empty.
    """

    unit: Unit
    costs: dict[Hashable, float]
    intervals: dict[Hashable, tuple[float, float]]
    budgets: list[float]
    curves: list[BudgetCurve]
    note: str

    def at(self, curve: BudgetCurve, budget: float) -> tuple[int, float, float, float]:
        """Return the trials that a level gets for a budget, and what they are worth: the mean, and its interval."""
        k = count_affordable(budget, self.costs[curve.level])
        place = curve.trials.index(k)
        return k, curve.mean[place], curve.low[place], curve.high[place]


@dataclass(frozen=True)
class Budgets:
    """The budget curves of the levels of a tuned factor, in one block.

    Attributes:
        curves: by the number of trials.
        equal: by unit, the levels at equal costs, or in words why there is no such comparison. Without the steps where
            every level takes as many.
        fault: in words, why there are no curves at all; None where there are.
    """

    factor: str
    contest: Contest
    curves: list[BudgetCurve]
    equal: dict[Unit, EqualCost | str]
    fault: str | None = None


def find_budgets(comparison: "Comparison") -> list[Budgets]:
    """Find the budget curves of each tuned factor of which a level has two seeds or more; see Comparison.budgets."""
    sign = comparison.metric.sign or 1
    found = []
    tuned = tuned_keys(comparison.described.values())
    for factor in (factor for factor in comparison.by if factor not in tuned):
        for contest in searched_contests_of(comparison, factor):
            if any(comparison.study.summaries[name].get("paused") for name in contest.runs):
                found.append(Budgets(factor, contest, [], {}, LEFT_BEHIND))
                continue
            curves = budget_curves(contest, sign)
            if not curves:
                continue
            equal: dict[Unit, EqualCost | str] = {}
            if len(curves) > 1:
                costs = _collect_costs(comparison, contest)
                equal["seconds"] = _find_fault(comparison, contest, curves) or _equalise(
                    "seconds", costs["seconds"], contest, sign, curves, _describe_times(comparison, costs["seconds"])
                )
                steps = costs["steps"]
                if len({np.nanmedian([steps[name] for name in _list_runs(contest, c.level)]) for c in curves}) > 1:
                    equal["steps"] = _equalise("steps", steps, contest, sign, curves, "")
            found.append(Budgets(factor, contest, curves, equal))
    return found


def count_affordable(budget: float, cost: float) -> int:
    """Count the whole trials that a budget allows; rounding does not take one away."""
    return int(budget / cost * (1 + 1e-9))


def _list_runs(contest: Contest, level: Hashable) -> list[str]:
    """List the runs of a level."""
    return [run for entry in contest.of_level(level) for cell in entry.trials.values() for run in cell.runs]


def _collect_costs(comparison: "Comparison", contest: Contest) -> dict[str, dict[str, float]]:
    """Collect what each run of a contest took: seconds, and steps; NaN where nobody knows."""
    runs, curves = comparison.study.runs, comparison.study.curves
    found = {"seconds": runs.get("train_seconds"), "steps": curves.groupby("run", observed=True)["step"].max()}
    return {
        unit: {name: math.nan if series is None else float(series.get(name, math.nan)) for name in contest.runs}
        for unit, series in found.items()
    }


def _equalise(
    unit: Unit, costs: Mapping[str, float], contest: Contest, sign: int, curves: list[BudgetCurve], note: str
) -> EqualCost | str:
    """Compute what levels are worth at equal costs; return in words why not, where a level's cost is not known."""
    cost_of: dict[Hashable, float] = {}
    intervals: dict[Hashable, tuple[float, float]] = {}
    for curve in curves:
        known = [curve.seeds * costs[name] for name in _list_runs(contest, curve.level) if costs[name] > 0]
        n = len(known)
        if not known:
            return f"not known: the runs with {in_words(curve.level)} have recorded no {WORDS[unit]}"
        mean = cost_of[curve.level] = float(np.mean(known))
        half = float(stats.t.ppf(0.975, n - 1) * np.std(known, ddof=1) / math.sqrt(n)) if n > 1 else math.nan
        intervals[curve.level] = mean - half, mean + half
    most = max(cost_of.values())
    least = min(curve.trials[-1] * cost_of[curve.level] for curve in curves)
    budgets: list[float] = []
    while most * 2 ** len(budgets) < least * (1 - 1e-9):
        budgets.append(most * 2 ** len(budgets))
    if least >= most * (1 - 1e-9):
        budgets.append(least)
    trials = {level: sorted({count_affordable(b, cost) for b in budgets}) for level, cost in cost_of.items()}
    return EqualCost(unit, cost_of, intervals, budgets, budget_curves(contest, sign, trials) if budgets else [], note)


def _find_fault(comparison: "Comparison", contest: Contest, curves: list[BudgetCurve]) -> str | None:
    """State why the seconds of levels are not to be compared; None where nothing in the records speaks against it."""
    summaries = comparison.study.summaries
    by_level: dict[str, set[str]] = {}
    for curve in curves:
        runs = _list_runs(contest, curve.level)
        by_level[in_words(curve.level)] = {_describe_conditions(summaries[name]) for name in runs}
    if len({frozenset(conditions) for conditions in by_level.values()}) == 1:
        return None
    shown = "; ".join(f"{level}: {' and '.join(sorted(found))}" for level, found in by_level.items())
    return f"not comparable, since the levels were not trained alike ({shown})"


def _describe_conditions(summary: Mapping[str, Any]) -> str:
    """State on what a run was trained, as far as its record says."""
    device, threads = str(summary.get("device", "an unknown device")), summary.get("threads")
    parts = [device]
    if device == "cpu" and threads:
        parts.append(f"{threads} thread{'s' * (threads != 1)}")
    if summary.get("processes", 1) != 1:
        parts.append(f"{summary['processes']} processes")
    if summary.get("stacked"):
        parts.append(f"in a stack of {summary['stacked']}")
    return ", ".join(parts)


def _describe_times(comparison: "Comparison", seconds: Mapping[str, float]) -> str:
    """State what the seconds of runs that were trained alike do not say."""
    if any(comparison.study.summaries[name].get("stacked") for name in seconds):
        return "Seconds are each run's share of its stack: alone it takes longer, and others may gain more by stacks."
    at_once = _count_at_once(comparison, seconds)
    if at_once > 1:
        return f"Up to {at_once} of the runs were in training at the same time, which may have slowed some of them."
    return ""


def _count_at_once(comparison: "Comparison", seconds: Mapping[str, float]) -> int:
    """Count the runs that trained at the same time, at most; those that were resumed are left out.

    `started` is in whole seconds, so what overlaps by less than one is not counted.
    """
    events: Counter[float] = Counter()
    for name, duration in seconds.items():
        summary = comparison.study.summaries[name]
        started = pd.to_datetime(str(summary.get("started")), utc=True, errors="coerce")
        if not (pd.isna(started) or summary.get("taken_up")) and duration > 1:
            events[started.timestamp() + 1] += 1
            events[started.timestamp() + duration] -= 1
    return int(max(np.cumsum([events[moment] for moment in sorted(events)]), default=0))
