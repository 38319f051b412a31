"""Find where the size of a concluded difference depends on the level of another factor."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from multirun_analysis.compare.design import Contest, Levels
from multirun_analysis.compare.effects import Series, find_differences
from multirun_analysis.compare.inference import ALPHA, Estimate, estimate_replicates, holm, p_two_sided
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.records.described import order


@dataclass(frozen=True)
class VaryingEffect:
    """Two levels of a factor whose difference is larger at one level of another factor than at another.

    Attributes:
        factor, a, b: a is the level that leads over all settings.
        other, least, most: the levels of the other factor at which a leads b by the least and by the most.
        at_least, at_most: a less b at either, a mean over replicates; of logarithms where `log`.
        p_adjusted: of the hypothesis that the two are alike, corrected for all that were looked at (Holm).
    """

    factor: str
    a: Hashable
    b: Hashable
    other: str
    least: Hashable
    most: Hashable
    at_least: Estimate
    at_most: Estimate
    log: bool
    p_adjusted: float


def find_varying_effects(results: Sequence[Result], sign: int) -> list[VaryingEffect]:
    """Find the varying effects of all concluded pairs of levels, those that differ most clearly first.

    The differences of a pair at any two levels of another factor are themselves compared by replicate (t-test of their
    differences, Holm over all of them). Of each pair and other factor the clearest two levels are named. Studies whose
    seeds were added in looks are left out: their bounds hold for the planned comparisons alone.

    Args:
        sign: 1 where more of the metric is better, -1 where less is, 0 where neither.
    """
    looked: list[VaryingEffect] = []
    for result in results:
        if result.contest.looks is not None:
            continue
        for pair in result.pairs:
            if pair.verdict in (Verdict.BETTER, Verdict.WORSE):
                a, b = (pair.a, pair.b) if pair.verdict == Verdict.BETTER else (pair.b, pair.a)
                looked += _compare_conditions(result, a, b, sign or 1)
    p = holm(np.array([one.p_adjusted for one in looked], dtype=float))
    clear = [replace(one, p_adjusted=float(value)) for one, value in zip(looked, p, strict=True) if value < ALPHA]
    named: dict[tuple[Hashable, ...], VaryingEffect] = {}
    for one in sorted(clear, key=lambda one: one.p_adjusted):
        named.setdefault((one.factor, one.a, one.b, one.other), one)
    return list(named.values())


def _compare_conditions(result: Result, a: Hashable, b: Hashable, sign: int) -> list[VaryingEffect]:
    """Compare the difference of two levels at each two levels of each other factor; p values are not corrected yet."""
    contest, found = result.contest, []
    for other in contest.varied():
        place = contest.others.index(other)
        by_level = {
            level: find_differences(_restrict(contest, place, level), a, b, result.log)
            for level in order({context[place] for context in contest.entries})
        }
        for first, second in combinations(by_level, 2):
            shared = [key for key in by_level[first] if key in by_level[second]]
            gaps = np.array([by_level[first][key] - by_level[second][key] for key in shared])
            whole = estimate_replicates(gaps, shared)
            more, less = (first, second) if sign * whole.mean > 0 else (second, first)
            ends = [_estimate(by_level, level) for level in (less, more)]
            p = p_two_sided(whole, gaps)
            found.append(VaryingEffect(result.factor, a, b, other, less, more, ends[0], ends[1], result.log, p))
    return found


def _restrict(contest: Contest, place: int, level: Hashable) -> Contest:
    """Keep the contexts in which the other factor at a place has a level."""
    kept: dict[Levels, dict] = {c: dict(by) for c, by in contest.entries.items() if c[place] == level}
    return replace(contest, entries=kept)


def _estimate(by_level: Mapping[Hashable, Series], level: Hashable) -> Estimate:
    differences = by_level[level]
    return estimate_replicates(np.array(list(differences.values())), list(differences))
