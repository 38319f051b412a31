"""One error rate a study: everything that is concluded, corrected for the number of what is tested."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from multirun_analysis.compare.divergence import least_p
from multirun_analysis.compare.inference import (
    ALPHA,
    detectable,
    holm,
    letters,
    mean_variance,
    p_equivalent,
    p_two_sided,
    prior_df,
    shrink,
)
from multirun_analysis.compare.results import Pair, Result, Verdict

MOST_ABOVE = 3.0  # times the variance of the other factors; above it a factor has one of its own
SEEDS = (5, 10, 20)  # of which it is said what they would show


def decide(results: Sequence[Result], sign: int, margin: float | None, resolution: float) -> list[Result]:
    """Correct all that is tested in a study for its number, and say what may be concluded.

    One family (Holm): the pairs of levels of a factor; for three and more ordered numbers their slope and curvature,
    and pairs of them only where these show a trend; and how often levels diverge, as far as that could show anything.

    Args:
        margin: differences up to it count as none; None: there is no such margin.
        resolution: a difference that is smaller cannot be measured.
    """
    results = _shrunk(results)
    m = sum(len(r.pairs) if r.trend is None else 2 for r in results)
    fisher = [
        (i, k) for i, r in enumerate(results) for k, t in enumerate(r.divergence) if least_p(t) < ALPHA / max(m, 1)
    ]
    p = [pair.p for r in results if r.trend is None for pair in r.pairs]
    p += [value for r in results if r.trend is not None for value in r.trend.p]
    p += [results[i].divergence[k].p for i, k in fisher]
    adjusted = iter(holm(np.array(p, dtype=float)).tolist())
    of_pairs = {(i, k): next(adjusted) for i, r in enumerate(results) if r.trend is None for k in range(len(r.pairs))}
    of_trends = {i: (next(adjusted), next(adjusted)) for i, r in enumerate(results) if r.trend is not None}
    of_divergence = {key: next(adjusted) for key in fisher}
    for i, r in enumerate(results):  # within a trend that is shown, its pairs are a family of their own
        if r.trend is not None:
            inner = holm(np.array([pair.p for pair in r.pairs], dtype=float)).tolist()
            shown = min(of_trends[i]) < ALPHA
            of_pairs |= {(i, k): (value if shown else 1.0) for k, value in enumerate(inner)}
    tests = max(1, sum(not math.isnan(value) for value in p))
    same = holm(np.array([p_equivalent(pair.estimate, _margin(pair, r, margin)) for r in results for pair in r.pairs]))
    of_same = iter(same.tolist())
    decided = []
    for i, r in enumerate(results):
        pairs = []
        for k, pair in enumerate(r.pairs):
            pair = replace(
                pair, p_adjusted=of_pairs[i, k], p_same=next(of_same),
                visible=tuple(detectable(pair.estimate, n, tests) for n in SEEDS),
            )  # fmt: skip
            pairs.append(replace(pair, verdict=_verdict(pair, sign, margin, resolution, r.log)))
        trend = None if r.trend is None else replace(r.trend, p_adjusted=of_trends[i])
        divergence = [replace(t, p_adjusted=of_divergence.get((i, k), 1.0)) for k, t in enumerate(r.divergence)]
        decided.append(finish(replace(r, pairs=pairs, trend=trend, divergence=divergence)))
    return decided


def _margin(pair: Pair, result: Result, margin: float | None) -> float:
    if margin is None:
        return 0.0
    if not result.log:
        return margin
    level = next(level for level in result.levels if level.level == pair.b)
    return math.log1p(margin / level.mean)


def _shrunk(results: Sequence[Result]) -> list[Result]:
    """Shrink the variances of all pairs of a study, as far as their differences are on one scale, towards their mean.

    Those of a factor whose own mean is well above that of the other factors, since its effect differs between seeds,
    are shrunk towards their own mean.
    """
    found = []
    for r in results:
        alike = [other for other in results if other.log == r.log and other.pairs]
        own = [pair.estimate for pair in r.pairs]
        others = mean_variance([pair.estimate for other in alike if other is not r for pair in other.pairs])
        if mean_variance(own) > MOST_ABOVE * others:
            alike = [r]
        contrasts = sum(len(other.usable) - 1 for other in alike)
        towards = mean_variance([pair.estimate for other in alike for pair in other.pairs])
        after = shrink(own, prior_df(contrasts), towards)
        pairs = [
            replace(pair, estimate=e, p=p_two_sided(e, pair.differences))
            for pair, e in zip(r.pairs, after, strict=True)
        ]
        found.append(replace(r, pairs=pairs))
    return found


def _verdict(pair: Pair, sign: int, margin: float | None, resolution: float, log: bool) -> Verdict:
    if pair.estimate.n < 2:
        return Verdict.EXPLORATORY
    if margin is not None and pair.p_same < ALPHA:
        return Verdict.SAME
    low, high = pair.estimate.interval
    if not log and max(abs(low), abs(high), abs(pair.estimate.mean)) < resolution:
        return Verdict.SAME
    # a difference below what can be measured is none, however often it repeats itself
    if not pair.p_adjusted < ALPHA or (not log and abs(pair.estimate.mean) < resolution):
        return Verdict.UNDECIDED
    ahead = pair.estimate.mean > 0
    return Verdict.BETTER if ahead == (sign >= 0) else Verdict.WORSE


def finish(result: Result) -> Result:
    """Add the letters of the levels, and what a trend says of them."""
    usable = result.usable
    place = {level.level: i for i, level in enumerate(usable)}
    apart = {(place[p.a], place[p.b]) for p in result.pairs if p.verdict in (Verdict.BETTER, Verdict.WORSE)}
    whole = len(result.pairs) == len(usable) * (len(usable) - 1) // 2 and not result.exploratory
    shown = letters(range(len(usable)), apart) if whole else [""] * len(usable)
    rows = [replace(level, letters=text) for level, text in zip(usable, shown, strict=True)]
    rows += [level for level in result.levels if not level.usable]
    trend = result.trend
    if trend is not None and result.best is not None:
        best = result.best.level
        tied = [best]
        for level in usable[1:]:
            pair = result.pair(best, level.level)
            if pair is not None and pair.verdict not in (Verdict.BETTER, Verdict.WORSE):
                tied.append(level.level)
        trend = replace(trend, tied=sorted(tied))  # type: ignore[type-var]
    return replace(result, levels=rows, trend=trend)
