"""Write the lines of one factor: the leader, its lead, the conditions, and the undecided levels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.confirmation import SETTING, describe_setting
from multirun_analysis.compare.contests import BLOCKS
from multirun_analysis.compare.design import Kind
from multirun_analysis.compare.family import SEEDS
from multirun_analysis.compare.inference import ALPHA, Estimate
from multirun_analysis.compare.metric import Metric
from multirun_analysis.compare.results import LevelResult, Pair, Result, Verdict
from multirun_analysis.records.described import in_words
from multirun_analysis.report.factor_names import name_of
from multirun_analysis.report.tuned_values import tuned_values

PLURALS = {"optim": "optimizers", "activation": "activations", "scheduler": "schedules", "model": "models",
           "data.batch_size": "batch sizes", "model.hidden": "architectures", "optim.lr": "learning rates",
           "model.init": "initialisations", "trainer.max_epochs": "budgets", "loss": "losses", "model.depth": "depths",
           "model.width": "widths", "warmup": "warm-ups", "averaging": "averages"}  # fmt: skip
NAMED = 2  # undecided levels that have a sentence of their own
MOST_LEVELS = 4  # that are listed
LEAST_PAIRS = 3  # of replicates, from which it is told what more of them would show
MOST_TIED = 6  # of ordered ones


class Sentence(NamedTuple):
    """The lines of a factor, the most important first; `rank` puts concluded factors before the others."""

    sentences: list[str]
    rank: int


def factor_sentences(comparison: Comparison, factor: str) -> Sentence:
    """Say what came of a factor."""
    results = comparison.of(factor)
    if factor in BLOCKS:
        levels = comparison.settings[factor].nunique()
        return Sentence(
            [f"{levels} levels, validated on other samples or targets: not compared, all else within each"], 3
        )
    if not results:
        return Sentence([_confounded(comparison, factor)], 3)
    found, rank = [], 2
    for result in results:
        where = f"{result.contest.where}: " if len(results) > 1 and result.contest.block else ""
        mine = _of_result(comparison, result)
        found.append(where + mine[0])
        if len(results) == 1:
            found += mine[1:]
        rank = min(rank, 0 if result.concluded else 1)
    return Sentence(found, rank)


def _confounded(comparison: Comparison, factor: str) -> str:
    pairs = [pair for pair in comparison.confounded if pair.factor == factor]
    if not pairs:
        return "not compared: no two of its levels agree in all else"
    first = min(pairs, key=lambda pair: len(pair.also))
    return f"confounded: {in_words(first.a)} and {in_words(first.b)} differ also in {_few(first.also, 3)}"


def _few(names: Sequence[str], most: int) -> str:
    """List names; of more than so many the first two, and how many others there are."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:2])} and {len(names) - 2} more"


def _of_result(comparison: Comparison, result: Result) -> list[str]:
    metric = comparison.metric
    broken = [level for level in result.levels if not level.usable and level.diverged]
    empty = [level for level in result.levels if not level.usable and not level.diverged]
    if not result.usable and not empty:
        return ["every level diverges in most of its runs"]
    found = tuned_values(comparison, result) if result.usable else []
    if result.usable and not found:
        found = _levels(result, metric, comparison.margin)
        found[0] += _reversed_at(comparison, result) or _vary(comparison, result)
    if broken:
        decided = any(test.p_adjusted < ALPHA for test in result.divergence)
        how = "diverges in most of its runs" if len(broken) == 1 else "diverge in most of their runs"
        found.append(f"{_listed(broken)} unusable: {how}" + (" (decided)" if decided else ""))
    if empty:
        found.append(f"{_listed(empty)} {'has' if len(empty) == 1 else 'have'} no {metric.short} yet")
    return found


def _reversed_at(comparison: Comparison, result: Result) -> str:
    """Say at which levels of other factors another level beats the best one; nothing where there are none."""
    at: dict[tuple[str, str], list[str]] = {}
    for one in sorted(comparison.reversals, key=lambda one: (-one.coverage, one.pair.p_adjusted)):
        if one.factor == result.factor and result.best is not None and one.pair.b == result.best.level:
            at.setdefault((in_words(one.pair.a), name_of(one.other).lower()), []).append(in_words(one.level))
    named = [f"{leads} leads at {other} {' and '.join(levels)}" for (leads, other), levels in at.items()]
    return f"; but {named[0]}" + (f", and {len(named) - 1} more" if len(named) > 1 else "") if named else ""


def _vary(comparison: Comparison, result: Result) -> str:
    """Say by how much the best level leads at two levels of another factor; nothing where that is much the same."""
    best = None if result.best is None else result.best.level
    mine = (one for one in comparison.varying_effects if (one.factor, one.a) == (result.factor, best))
    if (first := next(mine, None)) is None:
        return ""
    other = "" if len(result.usable) < 3 else f" over {in_words(first.b)}"
    leads = [_lead(end, comparison.metric, first.log) for end in (first.at_most, first.at_least)]
    at = f"at {name_of(first.other).lower()} {in_words(first.most)}"
    return f"; the lead{other} varies: {leads[0]} {at}, {leads[1]} at {in_words(first.least)}"


def _lead(found: Estimate, metric: Metric, log: bool) -> str:
    """Format by how much a level leads, and whether that is undecided."""
    low, high = found.interval
    ahead = (metric.sign or 1) * found.mean
    shown = f"{math.exp(ahead):.2g} times" if log else metric.show_difference(ahead, (high - low) / 2)
    return f"{shown} (undecided)" if low <= 0 <= high else shown


def _levels(result: Result, metric: Metric, margin: float | None) -> list[str]:
    best, others = result.usable[0], result.usable[1:]
    if not others:
        return [f"{in_words(best.level)} alone can be judged: {metric.show(best.mean)}"]
    pairs = [pair for level in others if (pair := result.pair(best.level, level.level)) is not None]
    how = _how(result)
    if result.exploratory:
        return [f"one seed, exploratory: {_means(result, metric)}{how}"]
    if result.trend is not None and result.trend.shown:
        return _trend(result, metric)
    beaten = [pair for pair in pairs if pair.verdict == Verdict.BETTER]
    same = [pair for pair in pairs if pair.verdict == Verdict.SAME]
    rest = [pair for pair in pairs if pair.verdict == Verdict.UNDECIDED]
    if not beaten and not same:
        text = [f"undecided: {_means(result, metric)}{how}"]
        if len(pairs) == 1:
            leaning = ": leaning" if pairs[0].p < ALPHA else ""
            both = pairs[0].estimate.n
            of = f", over the {both} seeds of both" if both < max(level.replicates for level in result.usable) else ""
            text.append(f"{in_words(pairs[0].b)} {_behind(pairs[0], metric, result)}{of}{leaning}")
        elsewhere = [p for p in result.pairs if p.verdict in (Verdict.BETTER, Verdict.WORSE)]
        if elsewhere:
            pair = elsewhere[0] if elsewhere[0].verdict == Verdict.BETTER else elsewhere[0].turned()
            text.append(f"but {_beats(pair, metric, result)}")
        more = next((i for i, n in enumerate(SEEDS) if n >= 10 and all(pair.estimate.n < n for pair in pairs)), None)
        known = [p for p in pairs if p.visible and p.estimate.n >= LEAST_PAIRS]
        visible = [] if more is None else [p.visible[more] for p in known if math.isfinite(p.visible[more])]
        if more is not None and visible:
            text.append(f"{SEEDS[more]} seeds would show a difference of {_size(max(visible), metric, result.log)}")
        return text + without_noise(rest)
    text = []
    if beaten:
        open_ = f"; {_few([in_words(pair.b) for pair in rest], MOST_LEVELS)} undecided" if rest else ""
        text.append(_beats(beaten[0], metric, result, beaten[1:]) + how + open_)
    if same:
        names = ", ".join(in_words(pair.b) for pair in same)
        shown = metric.show_estimate(same[0].estimate, result.log)
        within = "" if margin is None else f" within {metric.show_difference(margin)}"
        text.append(f"{in_words(best.level)} and {names} are the same{within}: {shown}" + ("" if beaten else how))
    for pair in sorted(rest, key=lambda pair: pair.p)[:NAMED]:
        word = ": leaning" if pair.p < ALPHA else "" if beaten else ": undecided"  # which the first sentence has said
        optimism = less_optimism(pair, metric, result.log)
        text.append(f"{in_words(pair.b)} {_behind(pair, metric, result)}{optimism}{word}")
    return text + without_noise(rest)


def without_noise(undecided: Sequence[Pair]) -> list[str]:
    """Say why a difference is undecided that every replicate has alike, as of runs on which the seed has no effect."""
    if same := [pair for pair in undecided if pair.estimate.n > 1 and not pair.differences.any()]:
        return [
            f"{in_words(same[0].a)} and {in_words(same[0].b)} have identical values in all {same[0].estimate.n} seeds"
        ]
    alike = [pair.estimate.n for pair in undecided if pair.estimate.constant]
    if not alike:
        return []
    return [f"no noise: exactly the same difference with all {min(alike)} seeds, too few for a sign test"]


def less_optimism(pair: Pair, metric: Metric, log: bool) -> str:
    """Say how much optimism was taken off a difference, where that is worth a word."""
    if not pair.penalty > 0.1 * abs(pair.estimate.mean):
        return ""
    amount = f"a factor of {math.exp(pair.penalty):.2g}" if log else metric.show_difference(pair.penalty)
    return f", after {amount} for optimism"


def _beats(pair: Pair, metric: Metric, result: Result, more: Sequence[Pair] = ()) -> str:
    """Say by how much a level is ahead of the nearest one that it beats, and which others it beats."""
    word = "beats" if metric.sign else "is above" if pair.estimate.mean > 0 else "is below"
    others = in_words(more[0].b) if len(more) == 1 else f"{len(more)} others"
    farther = all(abs(other.estimate.mean) >= abs(pair.estimate.mean) for other in more)
    rest = f" and {others}{' by more' if farther else ''}" if more else ""
    optimism = less_optimism(pair, metric, result.log)
    return f"{in_words(pair.a)} {word} {in_words(pair.b)} by {_absolute(pair, metric, result)}{optimism}{rest}"


def _absolute(pair: Pair, metric: Metric, result: Result) -> str:
    ahead = pair if (pair.estimate.mean > 0) == (not result.log or metric.sign > 0) else pair.turned()
    if result.log and ahead.estimate.mean < 0:
        ahead = ahead.turned()
    return metric.show_estimate(ahead.estimate, result.log)


def _behind(pair: Pair, metric: Metric, result: Result) -> str:
    """By how much the second level is behind the first: 9.4 behind [2.5, 16.2]."""
    turned = pair if metric.sign > 0 else pair.turned()
    if result.log:
        return f"behind by {metric.show_estimate(turned.estimate, True)}"
    low, high = turned.estimate.interval
    half = (high - low) / 2
    return f"{metric.show_difference(turned.estimate.mean, half)} behind {metric.show_interval(low, high)}"


def _size(difference: float, metric: Metric, log: bool) -> str:
    return f"{math.exp(difference):.2g} times" if log else metric.show_difference(difference)


def _means(result: Result, metric: Metric) -> str:
    whole = result.factor == SETTING
    shown = [f"{in_words(level.level)}{':' * whole} {metric.show(level.mean)}" for level in result.usable]
    if len(shown) > MOST_LEVELS:
        shown = [*shown[: MOST_LEVELS - 1], f"{len(shown) - MOST_LEVELS + 1} more"]
    return ("; " if whole else ", ").join(shown)


def _how(result: Result) -> str:
    """For what a comparison holds: each at its best lr, over 3 activations."""
    contest, parts = result.contest, []
    if contest.kind == Kind.TUNED:
        swept = _swept(result)
        parts.append(f"each at its best {' and '.join(key.rpartition('.')[2] for key in swept[:2])}")
        parts += ["at its default lr"] if contest.factor == "optim" and "optim.lr" not in swept else []
    elif contest.kind == Kind.DEFAULTS:
        parts.append("each at its default lr")
    elif contest.kind == Kind.FRESH:
        fixed = describe_setting(contest.fixed())
        parts.append(f"at {fixed}, on fresh seeds" if fixed else "on fresh seeds")
    elif contest.kind == Kind.CONFIRMED:
        fixed = describe_setting(contest.fixed())
        parts += [f"at {fixed}"] if fixed else []
        parts.append("each as the search chose, on fresh seeds" if contest.factor != SETTING else "on fresh seeds")
    elif contest.factor == "scheduler":
        parts.append("at one lr, not swept")
    varied = contest.varied()
    for other in varied:
        if any(other.startswith(f"{choice}.") for choice in varied):
            continue  # a value that only some options of that choice have
        i = contest.others.index(other)
        count = len({context[i] for context in contest.entries})
        over = "" if any(part.startswith("over ") for part in parts) else "over "
        parts.append(f"{over}{count} {PLURALS.get(other, other.rpartition('.')[2].replace('_', ' ') + ' values')}")
    return f", {', '.join(parts[:3])}" if parts else ""


def _swept(result: Result) -> list[str]:
    """The nuisance factors of which some level tried several values."""
    contest = result.contest
    tried = [entry.trials for by_level in contest.entries.values() for entry in by_level.values()]
    return [key for k, key in enumerate(contest.nuisances) if any(len({t[k] for t in some}) > 1 for some in tried)]


def _trend(result: Result, metric: Metric) -> list[str]:
    trend, best = result.trend, result.best
    assert trend is not None and best is not None
    text = f"best {in_words(best.level)}: {metric.show(best.mean)}"
    if trend.at_edge:
        text += f", an EDGE (the {trend.at_edge} tried)"
    elif trend.optimum is not None:
        middle, low, high = trend.optimum
        text += f"; optimum {middle:.3g} [{low:.3g}, {high:.3g}]"
    found = [text + _how(result)]
    tied = [level for level in trend.tied if level != best.level]
    if tied:
        few = ", ".join(map(in_words, tied)) if len(tied) <= MOST_TIED else ""
        found.append(f"not told from it: {few or f'{len(tied)} from {in_words(tied[0])} to {in_words(tied[-1])}'}")
    return found


def _listed(levels: Sequence[LevelResult]) -> str:
    names = [in_words(level.level) for level in levels]
    more = f" and {len(names) - MOST_LEVELS} more" if len(names) > MOST_LEVELS else ""
    return ", ".join(names[:MOST_LEVELS]) + more
