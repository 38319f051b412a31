"""Tabulate what levels are worth by what they may spend, for readers and for programs."""

from typing import Any

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.equal_cost import WORDS, Budgets, EqualCost
from multirun_analysis.compare.metric import Metric
from multirun_analysis.records.described import in_words


def by_trials(budgets: Budgets, metric: Metric) -> pd.DataFrame:
    """List what the best of so many trials of each level is worth on seeds that did not choose it, with intervals."""
    rows = []
    for curve in budgets.curves:
        shown = {
            f"best of {k}": _show(metric, *worth)
            for k, *worth in zip(curve.trials, curve.mean, curve.low, curve.high, strict=True)
        }
        rows.append({budgets.factor: in_words(curve.level), **shown})
    return pd.DataFrame(rows).fillna("")


def equal_costs(budgets: Budgets, metric: Metric) -> list[tuple[str, pd.DataFrame | list[str]]]:
    """List for each unit of costs, as titled parts, what levels are worth when each may spend as much."""
    parts: list[tuple[str, pd.DataFrame | list[str]]] = []
    for unit, equal in budgets.equal.items():
        title = f"{budgets.factor}: the best of n trials for as many {WORDS[unit]}, on a seed that did not choose it"
        if isinstance(equal, str):
            parts.append((title, [f"{equal[0].upper()}{equal[1:]}."]))
            continue
        rows = []
        for curve in budgets.curves:
            low, high = equal.intervals[curve.level]
            row = {budgets.factor: in_words(curve.level), "a trial": _count(equal, equal.costs[curve.level])}
            if low < high:
                row["a trial"] += f" ({low:,.3g} to {high:,.3g})"
            for curve_at in (c for c in equal.curves if c.level == curve.level):
                for budget in equal.budgets:
                    k, *worth = equal.at(curve_at, budget)
                    row[_count(equal, budget)] = f"{_show(metric, *worth)}, n = {k}"
            rows.append(row)
        parts.append((title, pd.DataFrame(rows).fillna("")))
        notes = [equal.note] if equal.note else []
        if not equal.budgets:
            notes.append("All trials of one level cost less than a single one of another: nothing is equal.")
        if notes:
            parts.append((f"{title}: notes", notes))
    return parts


def _count(equal: EqualCost, amount: float) -> str:
    return f"{amount:,.3g} s" if equal.unit == "seconds" and amount < 1000 else f"{amount:,.0f} {equal.unit}"


def _show(metric: Metric, mean: float, low: float, high: float) -> str:
    return f"{metric.show(mean)} ({metric.show(low)} to {metric.show(high)})"


def budgets_as_objects(comparison: Comparison) -> list[dict[str, Any]]:
    """Compose the budget curves for programs."""
    return [
        {
            "factor": budgets.factor,
            "block": {key: in_words(level) for key, level in budgets.contest.block.items()},
            "not_known": budgets.fault,
            "by_trials": [
                {"level": in_words(curve.level), "trials": curve.trials, "mean": curve.mean,
                 "interval": [list(pair) for pair in zip(curve.low, curve.high, strict=True)]}
                for curve in budgets.curves
            ],
            "at_equal_cost": [
                {"unit": unit, "not_compared": equal, "note": None, "budgets": [], "levels": []}
                if isinstance(equal, str)
                else {"unit": unit, "not_compared": None, "note": equal.note or None, "budgets": equal.budgets,
                      "levels": _list_levels(equal)}
                for unit, equal in budgets.equal.items()
            ],
        }
        for budgets in comparison.budgets
    ]  # fmt: skip


def _list_levels(equal: EqualCost) -> list[dict[str, Any]]:
    """Compose what each level is worth at each of the budgets."""
    by_level = {curve.level: [equal.at(curve, budget) for budget in equal.budgets] for curve in equal.curves}
    return [
        {"level": in_words(level), "cost_of_a_trial": cost, "cost_interval": list(equal.intervals[level]),
         "trials": [k for k, *_ in by_level.get(level, [])],
         "mean": [mean for _, mean, _, _ in by_level.get(level, [])],
         "interval": [[low, high] for *_, low, high in by_level.get(level, [])]}
        for level, cost in equal.costs.items()
    ]  # fmt: skip
