"""The verdict for programs: verdict.json, whose schema is in docs/verdict.md."""

import json
from typing import Any

from multirun_analysis.compare.claims import Claim
from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.family import SEEDS
from multirun_analysis.compare.inference import ALPHA
from multirun_analysis.compare.inner import clearest
from multirun_analysis.compare.results import Result
from multirun_analysis.compare.reversals import Reversal
from multirun_analysis.compare.settings import Setting
from multirun_analysis.compare.shares import Shares
from multirun_analysis.compare.targets import UNITS, Target, to_target
from multirun_analysis.compare.times import TimeComparison
from multirun_analysis.compare.varying_effects import VaryingEffect
from multirun_analysis.records.described import in_words
from multirun_analysis.records.planned import Planned
from multirun_analysis.report.budget_tables import budgets_as_objects
from multirun_analysis.report.noise import noise_object
from multirun_analysis.report.verdict import Verdict, describe
from multirun_analysis.report.why import as_objects
from paribus.record import to_plain

SCHEMA = 1  # raised when a key is renamed, removed or changes its meaning


def as_object(
    comparison: Comparison,
    found: Verdict,
    claim: Claim | None,
    target: Target | None = None,
    compared_times: TimeComparison | None = None,
) -> dict[str, Any]:
    """Compose the object; numbers that do not exist are null."""
    bests = [_setting(comparison, setting) for setting in comparison.best_by_block]
    return {
        "schema": SCHEMA,
        "task": comparison.task,
        "metric": comparison.metric.name,
        "direction": {1: "higher", -1: "lower"}.get(comparison.metric.sign),
        "margin": comparison.margin,
        "runs": {str(k): int(v) for k, v in comparison.study.runs["status"].value_counts().items()},
        "planned": _planned(comparison.study.planned),
        "heading": found.heading,
        "lines": [{"label": line.label, "sentences": line.sentences} for line in found.lines],
        "next": found.command,
        "best": bests[0] if len(bests) == 1 else None,
        "best_by_block": bests,
        "factors": [_factor(result) for result in comparison.results],
        "reversals": [_reversal(one) for one in comparison.reversals],
        "varying_effects": [_varying_effect(one) for one in comparison.varying_effects],
        "confounded": [
            {"factor": c.factor, "a": in_words(c.a), "b": in_words(c.b), "also": list(c.also)}
            for c in comparison.confounded
        ],
        "blocks": comparison.blocks,
        "unusable": [describe(comparison, s) for s in comparison.tried if s.diverged and not s.usable],
        **_shares(comparison.shares),
        "why": as_objects(clearest(comparison.inner)),
        "diagnosis": {
            name: [finding.as_object() for finding in found.findings]
            for name, found in comparison.study.diagnoses.items()
            if found.findings
        },
        "looks": _looks(comparison),
        "noise": noise_object(comparison),
        "budgets": budgets_as_objects(comparison),
        "times": None if target is None else _times(comparison, target, compared_times),
        "claim": None if claim is None else {
            "text": claim.text, "answer": str(claim.answer), "difference": claim.difference[0],
            "interval": list(claim.difference[1:]), "replicates": claim.seeds,
        },
    }  # fmt: skip


def _planned(planned: Planned | None) -> dict[str, int] | None:
    return None if planned is None else {"runs": planned.runs, "unrecorded": planned.unrecorded}


def _setting(comparison: Comparison, setting: Setting) -> dict[str, Any]:
    return {
        "setting": describe(comparison, setting),
        "levels": {factor: in_words(level) for factor, level in setting.levels.items()},
        "mean": setting.mean.mean,
        "interval": list(setting.mean.interval),
        "replicates": setting.mean.n,
        "confirmed": setting.confirms,
    }


def _reversal(found: Reversal) -> dict[str, Any]:
    return {
        "factor": found.factor,
        "at": {found.other: in_words(found.level)},
        "leads": in_words(found.pair.a),
        "ahead_elsewhere": in_words(found.pair.b),
        "scale": "log" if found.log else "linear",
        "difference": found.pair.estimate.mean,
        "interval": list(found.pair.estimate.interval),
        "p_adjusted": found.pair.p_adjusted,
    }


def _varying_effect(found: VaryingEffect) -> dict[str, Any]:
    return {
        "factor": found.factor,
        "ahead": in_words(found.a),
        "behind": in_words(found.b),
        "scale": "log" if found.log else "linear",
        "at": [
            {found.other: in_words(level), "difference": end.mean, "interval": list(end.interval)}
            for level, end in ((found.most, found.at_most), (found.least, found.at_least))
        ],
        "p_adjusted": found.p_adjusted,
    }


def _factor(result: Result) -> dict[str, Any]:
    winner, trend = result.winner, result.trend
    return {
        "factor": result.factor,
        "kind": str(result.contest.kind),
        "block": {key: in_words(level) for key, level in result.contest.block.items()},
        "scale": "log" if result.log else "linear",
        "concluded": result.concluded,
        "winner": None if winner is None else in_words(winner),
        "levels": [
            {
                "level": in_words(level.level), "mean": level.mean, "interval": [level.low, level.high],
                "replicates": level.replicates, "optimism": level.optimism, "trials": level.trials,
                "finished": level.finished, "diverged": level.diverged, "missing": level.missing,
                "usable": level.usable, "group": level.letters,
            }
            for level in result.levels
        ],
        "pairs": [
            {
                "a": in_words(pair.a), "b": in_words(pair.b), "difference": pair.estimate.mean,
                "interval": list(pair.estimate.interval), "replicates": pair.estimate.n, "settings": pair.contexts,
                "p": pair.p, "p_adjusted": pair.p_adjusted, "verdict": str(pair.verdict),
                "optimism_removed": pair.penalty, "probability": pair.probability,
                "detectable": dict(zip(map(str, SEEDS), pair.visible, strict=False)),
            }
            for pair in result.pairs
        ],
        "trend": None if trend is None else {
            "shown": trend.shown, "optimum": None if trend.optimum is None else list(trend.optimum),
            "tied": [in_words(level) for level in trend.tied], "edge": trend.at_edge or None,
        },
        "divergence": [
            {"a": in_words(t.a), "b": in_words(t.b), "diverged": list(t.diverged), "replicates": list(t.replicates),
             "p_adjusted": t.p_adjusted, "concluded": t.p_adjusted < ALPHA}
            for t in result.divergence
        ],
    }  # fmt: skip


def _looks(comparison: Comparison) -> dict[str, Any] | None:
    """Compose the looks; None where the number of seeds was fixed."""
    plan, looks = comparison.study.plan, comparison.looks
    if plan is None or looks is None:
        return None
    return {
        "seeds": list(plan.looks),
        "taken": looks.taken,
        "ended": plan.ended,
        "undecided": list(plan.taken[-1].undecided) if plan.taken else None,
    }


def _shares(found: Shares | None) -> dict[str, Any]:
    listed = found.of_factors if found else ()
    rest = {"combinations": found.of_combinations, "seeds": found.of_seeds} if found else None
    return {
        "shares": [{"factors": list(s.factors), "share": s.value, "interval": [s.low, s.high]} for s in listed],
        "rest_of_shares": rest,
    }


def _times(comparison: Comparison, target: Target, found: TimeComparison | None) -> dict[str, Any]:
    """Compose the times to a target: medians by setting, and the comparison of levels, a family of its own."""
    rows = to_target(comparison, target).to_dict("records")
    factors = [] if found is None else [_factor(result) | _missed(found, result) for result in found.results]
    return {
        "target": {"column": target.column, "value": target.value, "why": target.why,
                   "direction": "higher" if target.higher else "lower"},
        "settings": [
            {"levels": {factor: row[factor] for factor in comparison.factors}, "runs": row["seeds"],
             "reached": row["reached"], "unknown": row["unknown"],
             **{f"median_{unit}": row[f"median_{unit}"] for unit in UNITS}}
            for row in rows
        ],
        "limit_epochs": None if found is None else found.limit,
        "factors": factors,
    }  # fmt: skip


def _missed(found: TimeComparison, result: Result) -> dict[str, Any]:
    """Count by level the runs that never reached the target, and all of which one knows."""
    counts = {in_words(level): found.count_missed(result, level) for level in result.contest.levels}
    return {"never_reached": {level: list(count) for level, count in counts.items()}}


def as_json(found: dict[str, Any]) -> str:
    """Write it as JSON, NaN and infinity as null."""
    return json.dumps(to_plain(found), indent=1, allow_nan=False, default=float)
