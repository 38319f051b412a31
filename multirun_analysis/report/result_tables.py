"""Tables of what came of the comparison: levels, pairs, divergence, shares, budgets, confirmations."""

import math
from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd

from multirun_analysis.compare.budget import best_of
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.confirmation import describe_setting
from multirun_analysis.compare.design import where
from multirun_analysis.compare.family import SEEDS
from multirun_analysis.compare.inference import corrected_for_resplits
from multirun_analysis.compare.results import LevelResult, Result
from multirun_analysis.records.described import ABSENT, in_words


def comparison_csv(comparison: Comparison) -> pd.DataFrame:
    """List every pair of levels with all digits, those that were never compared among them."""
    rows = []
    for result in comparison.results:
        for pair in result.pairs:
            low, high = pair.estimate.interval
            rows.append(
                {
                    "factor": result.factor, "kind": str(result.contest.kind), "block": where(result.contest.block),
                    "a": in_words(pair.a), "b": in_words(pair.b), "metric": comparison.metric.name,
                    "scale": "log" if result.log else "linear", "settings": pair.contexts,
                    "replicates": pair.estimate.n, "difference": pair.estimate.mean, "low": low, "high": high,
                    "optimism_removed": pair.penalty, "p": pair.p, "p_adjusted": pair.p_adjusted,
                    "p_same": pair.p_same if comparison.margin else math.nan, "verdict": str(pair.verdict),
                    "probability": pair.probability, "note": "",
                }
            )  # fmt: skip
    for mixed in comparison.confounded:
        rows.append(
            {"factor": mixed.factor, "kind": "confounded", "a": in_words(mixed.a), "b": in_words(mixed.b),
             "metric": comparison.metric.name, "verdict": "confounded",
             "note": f"the nearest runs differ also in {', '.join(mixed.also)}"}
        )  # fmt: skip
    return pd.DataFrame(rows)


def ranking(result: Result, comparison: Comparison) -> pd.DataFrame:
    """List the levels of a factor, best first. Levels of one group (a letter) cannot be separated."""
    metric, nuisances = comparison.metric, result.contest.nuisances
    rows = []
    for place, level in enumerate(result.levels, 1):
        best = result.best
        pair = None if best is None or level is best else result.pair(level.level, best.level)
        taken = dict.fromkeys(_setting(setting, nuisances) for setting in level.settings.values())
        optimism = metric.show_difference(level.optimism) if level.optimism else ""
        rows.append(
            {
                "": str(place) if level.usable else "",
                result.factor: in_words(level.level),
                **({"at its best": "; ".join(taken)} if nuisances else {}),
                "mean": metric.show(level.mean),
                "95 % interval": "" if math.isnan(level.low) else metric.show_range(level.low, level.high),
                **({"optimistic by": optimism} if nuisances else {}),
                "from the best": "" if pair is None else metric.show_estimate(pair.estimate, result.log),
                "group": level.letters,
                "replicates": str(level.replicates),
                "runs": _ends(level),
            }
        )
    return pd.DataFrame(rows)


def _setting(setting: Sequence[Hashable], nuisances: Sequence[str]) -> str:
    return ", ".join(f"{k}={in_words(v)}" for k, v in zip(nuisances, setting, strict=True) if v != ABSENT)


def _ends(level: LevelResult) -> str:
    counts = {"finished": level.finished, "diverged": level.diverged, "missing": level.missing}
    return ", ".join(f"{number} {what}" for what, number in counts.items() if number)


def pairs(result: Result, comparison: Comparison) -> pd.DataFrame:
    """List the pairs of a factor's levels: first less second (or first by second), over replicates.

    Intervals speak of the data set that was split; where seeds re-split it, those on new data are wider (Nadeau and
    Bengio 2003).
    """
    metric, rows, sizes = comparison.metric, [], comparison.resplits
    for pair in result.pairs:
        population = None if sizes is None else corrected_for_resplits(pair.estimate, *sizes)
        seen = [f"{math.exp(v):.2g} times" if result.log else metric.show_difference(v) for v in pair.visible]
        rows.append(
            {
                "pair": f"{in_words(pair.a)} {'by' if result.log else 'less'} {in_words(pair.b)}",
                "settings": str(pair.contexts),
                "replicates": str(pair.estimate.n),
                "difference [95 %]": metric.show_estimate(pair.estimate, result.log),
                **({} if population is None else {"on new data [95 %]": metric.show_estimate(population, result.log)}),
                "p": _p(pair.p),
                "p, corrected": _p(pair.p_adjusted),
                "verdict": str(pair.verdict),
                "first ahead in": f"{100 * pair.probability:.0f} %",
                **{
                    f"{n} seeds would show": text.replace("nan times", "") for n, text in zip(SEEDS, seen, strict=False)
                },
            }
        )
    return pd.DataFrame(rows).fillna("")


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2g}"


def divergence(comparison: Comparison) -> pd.DataFrame:
    """Compare how often levels diverge: replicates in which most of their settings did (Fisher's exact test)."""
    rows = [
        {
            "factor": result.factor,
            "levels": f"{in_words(test.a)} and {in_words(test.b)}",
            "replicates that diverged": " and ".join(
                f"{d} of {n}" for d, n in zip(test.diverged, test.replicates, strict=True)
            ),
            "p": _p(test.p),
            "p, corrected": _p(test.p_adjusted),
        }
        for result in comparison.results
        for test in result.divergence
    ]
    return pd.DataFrame(rows)


def shares(comparison: Comparison) -> pd.DataFrame:
    """List which factor goes with how much of the variance."""
    found = comparison.shares
    if found is None:
        return pd.DataFrame()
    rows = [
        {
            "factors": ", ".join(share.factors),
            "share of the variance": f"{100 * share.value:.1f} %",
            "95 % interval": "" if math.isnan(share.low) else f"{100 * share.low:.0f} to {100 * share.high:.0f} %",
        }
        for share in found.of_factors
    ]
    if not math.isnan(found.of_combinations):
        rest = {"in combination only": found.of_combinations, "seeds": found.of_seeds}
        rows += [
            {"factors": name, "share of the variance": f"{100 * value:.1f} %", "95 % interval": ""}
            for name, value in rest.items()
        ]
    return pd.DataFrame(rows)


def budgets(result: Result, comparison: Comparison) -> pd.DataFrame:
    """List the best of so many trials that one may expect of each level, over all settings of the others."""
    columns: dict[str, dict[Hashable, str]] = {}
    worst = -(comparison.metric.sign or 1) * math.inf
    for level in result.contest.levels:
        curves = []
        for entry in result.contest.of_level(level):
            cells = [cell for cell in entry.trials.values() if cell.tried]
            means = [float(np.mean(list(cell.values().values()))) if cell.usable else worst for cell in cells]
            curves.append(best_of(means, comparison.metric.sign or 1))
        for k in sorted({k for curve in curves for k in curve}):
            shown = comparison.metric.show(float(np.mean([curve[k] for curve in curves if k in curve])))
            columns.setdefault(f"best of {k}", {})[level] = shown.replace("not finite", "may diverge")
    frame = pd.DataFrame(columns).fillna("")
    frame.insert(0, result.factor, [in_words(level) for level in frame.index])
    return frame


def confirmed(comparison: Comparison) -> pd.DataFrame:
    """List confirmed settings: what the search had found beside what fresh seeds gave."""
    metric, rows = comparison.metric, []
    searched = {s.cell: s for s in comparison.tried if not s.confirms}
    for setting in (s for s in comparison.tried if s.confirms):
        before = searched.get(setting.cell)
        found = before is not None and before.finished > 0
        seen = metric.sign * (before.mean.mean - setting.mean.mean) if before is not None else math.nan
        rows.append(
            {
                "setting": describe_setting(setting.levels),
                "in the search": metric.show(before.mean.mean) if before is not None and found else "",
                "its seeds": str(before.finished) if before is not None else "",
                "on fresh seeds": metric.show(setting.mean.mean),
                "95 % interval": metric.show_range(*setting.mean.interval) if setting.finished > 1 else "",
                "fresh seeds": f"{setting.finished}" + (f" ({setting.diverged} diverged)" if setting.diverged else ""),
                "optimism seen": metric.show_difference(seen) if found else "",
            }
        )
    return pd.DataFrame(rows)
