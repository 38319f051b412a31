"""Find where a concluded difference turns round: the levels of other factors at which the worse level leads."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.inference import ALPHA, holm, p_two_sided
from multirun_analysis.compare.results import Pair, Result, Verdict
from multirun_analysis.records.described import order


@dataclass(frozen=True)
class Reversal:
    """A condition under which the worse of two levels is the better one.

    Attributes:
        factor: of the pair.
        other, level: the factor, and its level, at which the difference turns round.
        pair: the level that leads there, against the one that leads over all settings, at that level alone. Its
            `p_adjusted` is corrected for all conditions that were looked at (Holm).
        log: whether differences of `pair` are logarithms of ratios.
        coverage: the share of the settings at that level in which both levels are usable.
    """

    factor: str
    other: str
    level: Hashable
    pair: Pair
    log: bool
    coverage: float


def find_reversals(results: Sequence[Result], sign: int, positive: bool) -> list[Reversal]:
    """Find the reversals of all concluded pairs of levels, in the order of the results.

    Each pair is compared again at each level of each other factor that was crossed with it. Studies whose seeds were
    added in looks are left out: their bounds hold for the planned comparisons alone.

    Args:
        sign, positive: of the metric, as `analyse` takes them.
    """
    looked: list[Reversal] = []
    for result in results:
        contest = result.contest
        decided = [pair for pair in result.pairs if pair.verdict in (Verdict.BETTER, Verdict.WORSE)]
        if not decided or contest.looks is not None:
            continue
        for other in contest.varied():
            place = contest.others.index(other)
            for level in order({context[place] for context in contest.entries}):
                entries = {context: by for context, by in contest.entries.items() if context[place] == level}
                there = analyse(replace(contest, entries=entries), sign, positive)
                for pair in decided:
                    ahead, behind = (pair.a, pair.b) if pair.verdict == Verdict.BETTER else (pair.b, pair.a)
                    found = there.pair(behind, ahead)
                    if found is not None:
                        share = found.contexts / len(entries)
                        looked.append(Reversal(result.factor, other, level, found, there.log, share))
    p = holm(np.array([p_two_sided(one.pair.estimate, one.pair.differences) for one in looked], dtype=float))
    return [
        replace(one, pair=replace(one.pair, p_adjusted=float(value)))
        for one, value in zip(looked, p, strict=True)
        if value < ALPHA and (sign or 1) * one.pair.estimate.mean > 0
    ]
