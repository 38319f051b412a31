"""Say what a change of the code did to the runs of a study: lines for the terminal, and an object for programs."""

import math
from collections import Counter
from collections.abc import Hashable, Mapping
from statistics import median
from typing import Any

from multirun_analysis.compare.design import where as name_levels
from multirun_analysis.compare.family import SEEDS
from multirun_analysis.compare.metric import Metric
from multirun_analysis.compare.results import Pair, Result, Verdict
from multirun_analysis.compare.revisions import AFTER, BEFORE, FACTOR, Revision
from multirun_analysis.records.described import in_words
from multirun_analysis.report.verdict import Line
from multirun_analysis.report.verdict import Verdict as FirstScreen

MOST_NAMED = 5  # settings or runs
DECIDED = (Verdict.BETTER, Verdict.WORSE)
SCHEMA = 1


def describe_revision(revision: Revision) -> FirstScreen:
    """Put a comparison of two states of the code into lines."""
    pairs, changed = revision.pairs, revision.changed
    heading = f"{len(pairs)} run{'s' * (len(pairs) != 1)} before and after, by {revision.metric.name}"
    lines = [
        Line("CODE", _facts(revision)),
        Line("CHANGED", _changed(revision)),
        Line("STATUS", _statuses(revision)),
        Line("EFFECT", [sentence for result in revision.whole for sentence in _effect(result, revision)]),
        Line("SETTINGS", _settings(revision)),
        Line("NOISE", _noise(revision) if changed else []),
        Line("MISSING", _missing(revision)),
    ]
    return FirstScreen(heading, [line for line in lines if line.sentences], None)


def _facts(revision: Revision) -> list[str]:
    if not revision.facts:
        return ["no difference is recorded in versions, commit or execution"]
    return [f"{key}: {' and '.join(old)} -> {' and '.join(new)}" for key, (old, new) in revision.facts.items()]


def _changed(revision: Revision) -> list[str]:
    changed, total = revision.changed, len(revision.pairs)
    if not changed:
        return [f"nothing: all runs ({total}) are identical to the last digit"]
    epochs = [pair.first_epoch for pair in changed if pair.first_epoch is not None]
    where = f", from epoch {min(epochs)} on (median {median(epochs):g})" if epochs else ""
    rest = total - len(changed)
    return [f"{len(changed)} of {total} runs{where}" + (f"; {rest} are identical to the last digit" if rest else "")]


def _statuses(revision: Revision) -> list[str]:
    counted = Counter(pair.statuses for pair in revision.pairs if pair.statuses[0] != pair.statuses[1])
    return [f"{number} from {old} to {new}" for (old, new), number in counted.most_common()]


def pair_of(result: Result) -> Pair | None:
    """Return the comparison of after with before."""
    return result.pair(AFTER, BEFORE)


def _effect(result: Result, revision: Revision) -> list[str]:
    """Say what came of one result: after against before."""
    pair, metric = pair_of(result), revision.metric
    block = result.contest.block
    where = f"{name_levels(block)}: " if block else ""
    over = "" if pair is None or pair.contexts < 2 else f", over the {pair.contexts} settings that changed"
    if pair is None or not pair.estimate.n:
        return [f"{where}none can be told: no seed has a {metric.short} before and after"]
    shown = metric.show_estimate(pair.estimate, result.log)
    found = {
        Verdict.SAME: f"the same {metric.short}{_within(revision)}: {shown}",
        Verdict.UNDECIDED: f"no more than noise shows: {metric.short} differs by {shown}, undecided",
        Verdict.EXPLORATORY: f"{metric.short} differs by {shown}: one seed says nothing of noise",
    }.get(pair.verdict, f"{metric.short} is {pair.verdict} by {_size(pair, result, revision)} after the change")
    sentences = [f"{where}{found}{over}"]
    if pair.verdict == Verdict.UNDECIDED and len(pair.visible) > 1 and math.isfinite(pair.visible[1]):
        visible = pair.visible[1]
        size = f"{math.exp(visible):.2g} times" if result.log else metric.show_difference(visible)
        sentences.append(f"{SEEDS[1]} seeds would show a difference of {size}")
    return sentences + _divergence(result)


def _divergence(result: Result) -> list[str]:
    found = []
    for test in result.divergence:
        if test.p_adjusted < 0.05:
            counts = dict(zip((test.a, test.b), zip(test.diverged, test.replicates, strict=True), strict=True))
            said = [f"{counts[side][0]} of {counts[side][1]} seeds {side}" for side in (BEFORE, AFTER)]
            found.append(f"divergence changed: {' and '.join(said)}")
    return found


def _within(revision: Revision) -> str:
    return "" if revision.margin is None else f" within {revision.metric.show_difference(revision.margin)}"


def _size(pair: Pair, result: Result, revision: Revision) -> str:
    estimate = pair.estimate if pair.estimate.mean >= 0 else pair.turned().estimate
    return revision.metric.show_estimate(estimate, result.log)


def _settings(revision: Revision) -> list[str]:
    """Name the settings in which the change had an effect, the clearest first."""
    decided = [
        (pair, f"{name_setting(levels, revision)}: {pair.verdict} by {_size(pair, result, revision)}")
        for levels, result in revision.settings
        if (pair := pair_of(result)) is not None and pair.verdict in DECIDED
    ]
    decided.sort(key=lambda one: one[0].p_adjusted)
    broken = [
        f"{name_setting(levels, revision)}: {sentence}"
        for levels, result in revision.settings
        for sentence in _divergence(result)
    ]
    named = [*(sentence for _, sentence in decided), *broken]
    left = len(named) - MOST_NAMED
    return [*named[:MOST_NAMED], *([f"and {left} more: --json"] if left > 0 else [])]


def name_setting(levels: Mapping[str, Hashable], revision: Revision) -> str:
    """Name a setting by the factors that differ between the settings."""
    settings = {pair.levels for pair in revision.pairs}
    varied = [key for i, key in enumerate(revision.factors) if len({setting[i] for setting in settings}) > 1]
    return ", ".join(in_words(levels[key]) if "." not in key else f"{key.rpartition('.')[2]} {in_words(levels[key])}"
                     for key in varied) or "the setting"  # fmt: skip


def _noise(revision: Revision) -> list[str]:
    within, between = revision.noise
    if math.isnan(within) or math.isnan(between):
        return []
    metric, log = revision.metric, revision.log
    shown = [show_difference(value, metric, log) for value in (within, between)]
    return [f"a run moved by {shown[0]}, two seeds of one setting differ by {shown[1]} (root mean squares)"]


def show_difference(value: float, metric: Metric, log: bool) -> str:
    """Format the difference of two values, or the ratio whose logarithm it is; nothing for NaN."""
    if math.isnan(value):
        return ""
    return f"a factor of {math.exp(value):.3g}" if log else metric.show_difference(value)


def _missing(revision: Revision) -> list[str]:
    parts = [
        f"{len(names)} run{'s' * (len(names) > 1)} only {side}"
        for side, names in ((BEFORE, revision.only_before), (AFTER, revision.only_after))
        if names
    ]
    if revision.other_data:
        parts.append(f"{revision.other_data} on other data, not compared")
    return ["; ".join(parts)] if parts else []


def as_object(revision: Revision) -> dict[str, Any]:
    """Compose the object of `--json`; its schema is in docs/compare.md."""
    found = describe_revision(revision)
    return {
        "schema": SCHEMA,
        "metric": revision.metric.name,
        "margin": revision.margin,
        "heading": found.heading,
        "lines": [{"label": line.label, "sentences": line.sentences} for line in found.lines],
        "identical": not revision.changed,
        "facts": {key: {BEFORE: old, AFTER: new} for key, (old, new) in revision.facts.items()},
        "runs": [
            {
                BEFORE: pair.before,
                AFTER: pair.after,
                "first_epoch": pair.first_epoch,
                "statuses": list(pair.statuses),
                "values": list(pair.values),
            }
            for pair in revision.pairs
        ],
        "only_before": revision.only_before,
        "only_after": revision.only_after,
        "other_data": revision.other_data,
        "effect": [_object(result) for result in revision.whole],
        "settings": [
            {"levels": {key: in_words(level) for key, level in levels.items()}, **_object(result)}
            for levels, result in revision.settings
        ],
        "noise": {"pair": revision.noise[0], "seeds": revision.noise[1]},
    }


def _object(result: Result) -> dict[str, Any]:
    pair = pair_of(result)
    return {
        "factor": FACTOR,
        "block": {key: in_words(level) for key, level in result.contest.block.items()},
        "scale": "log" if result.log else "linear",
        "difference": None if pair is None else pair.estimate.mean,
        "interval": None if pair is None else list(pair.estimate.interval),
        "replicates": 0 if pair is None else pair.estimate.n,
        "p_adjusted": None if pair is None else pair.p_adjusted,
        "verdict": None if pair is None else str(pair.verdict),
    }
