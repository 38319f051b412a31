"""Estimate the effect of a factor: differences of its levels over all settings of the others, by seed."""

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations

import numpy as np

from multirun_analysis.compare.context_means import LEAST_CONTEXTS, average_contexts
from multirun_analysis.compare.design import MOST_LEVELS, Contest, Levels, Replicate
from multirun_analysis.compare.divergence import compare_divergence
from multirun_analysis.compare.inference import Estimate, estimate_replicates
from multirun_analysis.compare.results import LevelResult, Pair, Result
from multirun_analysis.compare.trend import find_trend

RATIO_RANGE = 3.0  # positive losses whose level means span more are compared as ratios
Series = dict[Replicate, float]


def analyse(contest: Contest, sign: int, positive: bool) -> Result:
    """Estimate what a factor does; p values are not corrected yet (see `decide`).

    Args:
        sign: 1 where more of the metric is better, -1 where less is, 0 where neither.
        positive: whether the metric is a loss, which is compared as a ratio where its means span much.
    """
    series = {
        (context, level): entry.cell.values()
        for context, by_level in contest.entries.items()
        for level, entry in by_level.items()
        if entry.cell is not None
    }
    log = positive and _spans(list(series.values()))
    optimism = {
        (context, level): entry.optimism for context, by in contest.entries.items() for level, entry in by.items()
    }
    on_scale = optimism
    if log:
        on_scale = {key: optimism[key] / float(np.mean(list(values.values()))) for key, values in series.items()}
        series = {key: {r: math.log(v) for r, v in values.items()} for key, values in series.items()}
    levels = contest.levels
    usable = {level for _, level in series}
    chosen = [level for level in levels if level in usable]
    pairs = []
    means = _level_means(contest, series, chosen)
    # levels that were out at an earlier look have fewer seeds, and stand below those that beat them
    last = {level: look.number if (look := means[level].look) else 0 for level in chosen}
    ranked = sorted(chosen, key=lambda level: (-last[level], -(sign or 1) * means[level].mean))
    every = list(combinations(chosen, 2))
    if len(chosen) > MOST_LEVELS:
        every = [(ranked[0], level) for level in chosen if level != ranked[0]]
    for a, b in every:
        pairs.append(_compare(contest, series, on_scale, a, b, sign))
    rows = [_level(contest, level, means.get(level), optimism, log) for level in ranked]
    rows += [_level(contest, level, None, optimism, log) for level in levels if level not in usable]
    trend = find_trend(contest, series, chosen, sign)
    return Result(contest, log, rows, [p for p in pairs if p is not None], trend, compare_divergence(contest))


def find_differences(contest: Contest, a: Hashable, b: Hashable, log: bool) -> Series:
    """Find a less b by replicate, averaged over the contexts in which both are usable; of logarithms where `log`."""
    series: dict[tuple[Levels, Hashable], Series] = {}
    for context, by_level in contest.entries.items():
        for level in (a, b):
            cell = by_level[level].cell if level in by_level else None
            if cell is not None:
                values = cell.values()
                series[context, level] = {r: math.log(v) for r, v in values.items()} if log else values
    shared = [context for context in contest.entries if (context, a) in series and (context, b) in series]
    return _averaged(series, shared, a, b) if shared else {}


def _spans(series: Sequence[Series]) -> bool:
    """Whether positive values span so much that their ratios say more than their differences."""
    values = [v for one in series for v in one.values()]
    if not values or min(values) <= 0:
        return False
    means = [float(np.mean(list(one.values()))) for one in series if one]
    return max(means) > RATIO_RANGE * min(means)


def _averaged(series: Mapping[tuple[Levels, Hashable], Series], contexts: Sequence[Levels], a: Hashable, b: Hashable
              ) -> Series:  # fmt: skip
    """By replicate, the mean over contexts of a minus b; see `average_contexts`."""
    found: dict[Replicate, dict[Levels, float]] = {}
    for context in contexts:
        mine, other = series[context, a], series[context, b]
        for key in mine.keys() & other.keys():
            found.setdefault(key, {})[context] = mine[key] - other[key]
    keys = sorted(found, key=str)
    table = np.array([[found[key].get(context, math.nan) for context in contexts] for key in keys])
    means = average_contexts(table.reshape(len(keys), len(contexts)))
    return {key: float(mean) for key, mean in zip(keys, means, strict=True) if not math.isnan(mean)}


def _compare(
    contest: Contest,
    series: Mapping[tuple[Levels, Hashable], Series],
    optimism: Mapping[tuple[Levels, Hashable], float],
    a: Hashable,
    b: Hashable,
    sign: int,
) -> Pair | None:
    contexts = [context for context in contest.entries if (context, a) in series and (context, b) in series]
    if not contexts:
        return None
    found = _averaged(series, contexts, a, b)
    differences = np.array(list(found.values()))
    keys = list(found)
    whole = estimate_replicates(differences, keys, float(len(contexts)))
    whole = whole._replace(look=contest.look_at(keys))
    # The best of many is too good. By as much as the level in front is more so than the other, it is so by chance.
    more = float(np.mean([optimism[c, a] - optimism[c, b] for c in contexts]))
    flattery = more * (sign or 1)
    observed, ahead = whole.mean, (sign or 1) * whole.mean
    penalty = max(0.0, more if ahead > 0 else -more)
    if penalty:
        whole = whole._replace(mean=math.copysign(max(0.0, abs(whole.mean) - penalty), whole.mean))
    wins = (np.sum(sign * differences > 0) + 0.5 * np.sum(differences == 0)) / len(differences) if len(found) else 0.5
    return Pair(a, b, whole, differences, len(contexts), penalty, observed, flattery, probability=float(wins))


def _level_means(
    contest: Contest, series: Mapping[tuple[Levels, Hashable], Series], levels: Sequence[Hashable]
) -> dict[Hashable, Estimate]:
    """Estimate each level's mean, over the contexts that all levels share, or over its own where there is none."""
    common = [c for c in contest.entries if all((c, level) in series for level in levels)]
    found = {}
    for level in levels:
        contexts = common or [c for c in contest.entries if (c, level) in series]
        by_replicate: dict[Replicate, list[float]] = {}
        for context in contexts:
            centre = float(np.mean(list(series[context, level].values())))
            for key, value in series[context, level].items():
                by_replicate.setdefault(key, []).append(value - centre)
        centres = float(np.mean([np.mean(list(series[c, level].values())) for c in contexts]))
        keys = [key for key, values in by_replicate.items() if len(values) >= LEAST_CONTEXTS * len(contexts)]
        values = np.array([centres + float(np.mean(by_replicate[key])) for key in keys])
        mean = estimate_replicates(values, keys)
        found[level] = mean._replace(look=contest.look_at(keys))
    return found


def _level(
    contest: Contest,
    level: Hashable,
    mean: Estimate | None,
    optimism: Mapping[tuple[Levels, Hashable], float],
    log: bool,
) -> LevelResult:
    cells = [cell for entry in contest.of_level(level) for cell in entry.trials.values()]
    of_chosen = {c: by[level].chosen for c, by in contest.entries.items() if level in by}
    ends = (math.nan, math.nan) if mean is None else mean.interval
    values = (math.nan if mean is None else mean.mean, *ends)
    if log:
        values = tuple(math.exp(v) for v in values)  # type: ignore[assignment]
    mine = [optimism[c, level] for c in of_chosen]
    return LevelResult(
        level, *values, 0 if mean is None else mean.n, float(np.mean(mine)),
        {c: chosen for c, chosen in of_chosen.items() if chosen is not None}, len(cells),
        sum(c.diverged for c in cells), sum(c.finished for c in cells),
        sum(len(c.outcomes) - c.tried for c in cells), mean is not None,
    )  # fmt: skip
