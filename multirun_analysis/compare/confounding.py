"""Levels that were never compared with all else equal, and in what else they differ."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from multirun_analysis.compare.contests import other_factors
from multirun_analysis.compare.design import MOST_LEVELS, Contest, Runs
from multirun_analysis.records.described import ABSENT, GROUPS, Described, order

BROUGHT = "what their choices bring along"
MOST_SETTINGS = 50  # of a level, when looking for the pair of runs that is nearest to a comparison


@dataclass(frozen=True)
class Confounded:
    """Two levels of a factor without any two runs that agree in all else; the nearest two differ in `also`."""

    factor: str
    a: Hashable
    b: Hashable
    also: tuple[str, ...] = ()


def confounded(runs: Runs, factors: Sequence[str], factor: str, found: Sequence[Contest]) -> list[Confounded]:
    """Find the pairs of levels of a factor that share no context of `found`, and in what else they differ.

    Those that agree in all else, but were not tuned alike, differ in what was tuned.
    """
    having = {name: run for name, run in runs.items() if run.choices and run.level(factor) != ABSENT}
    others = other_factors(having, factors, factor)
    covered = {
        frozenset(pair)
        for contest in found
        for by_level in contest.entries.values()
        for pair in combinations(by_level, 2)
    }
    settings: dict[Hashable, dict[tuple[Hashable, ...], Described]] = {}
    for run in having.values():
        key = tuple((run.level(other), other in run.given) for other in others)
        settings.setdefault(run.level(factor), {}).setdefault(key, run)
    levels = order(settings)
    tuned = tuple(dict.fromkeys(key for contest in found for key in contest.nuisances))
    # of very many, each with its neighbour
    pairs = pairwise(levels) if len(levels) > MOST_LEVELS else combinations(levels, 2)
    result = []
    for a, b in pairs:
        if frozenset((a, b)) not in covered:
            sides = [list(settings[level].values())[:MOST_SETTINGS] for level in (a, b)]
            differing = (_differing(r, s, others) for r in sides[0] for s in sides[1])
            nearest = min(differing, key=lambda also: (len(also), also))
            result.append(Confounded(factor, a, b, nearest or tuned or (BROUGHT,)))
    return result


def _differing(a: Described, b: Described, others: Sequence[str]) -> tuple[str, ...]:
    """List in which other factors two runs differ by what was chosen or set; what choices bring along is theirs."""
    return tuple(
        other
        for other in others
        if a.level(other) != b.level(other) and (other in GROUPS or other in a.given or other in b.given)
    )
