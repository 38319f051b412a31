"""Studies whose seeds are added in looks: what each look decided, and which settings go on."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from multirun_analysis.compare.design import Runs
from multirun_analysis.compare.family import finish
from multirun_analysis.compare.results import TURNED, Pair, Result, Verdict
from multirun_analysis.compare.sequential import Looks
from multirun_analysis.records.described import Described
from paribus.record import UntilPlan

AHEAD = tuple(TURNED)


def read_looks(plan: UntilPlan | None, runs: Runs) -> Looks | None:
    """Return the looks by which runs are judged; None where a plan is for others, as for the confirmation of these."""
    if plan is None or not any(_is_planned(plan, run) for run in runs.values()):
        return None
    return Looks(plan.seeds, plan.looks, plan.factor, len(plan.taken))


def select_planned(plan: UntilPlan, runs: Runs, seeds: Collection[Hashable]) -> Runs:
    """Select the runs of a plan that have one of these seeds."""
    return {name: run for name, run in runs.items() if _is_planned(plan, run) and run.seed in seeds}


def _is_planned(plan: UntilPlan, run: Described) -> bool:
    return run.confirms == plan.confirm and run.seed in plan.seeds


def judge_looks(looks: Looks, judge: Callable[[Looks], list[Result]]) -> list[Result]:
    """Judge each look that was taken as though it were the last one, and keep what earlier ones decided.

    Holm's correction holds at each look for its repeated p values; the first false rejection of all looks is as rare
    as they are together, so that what was once rejected stays so (Ye et al. 2013).
    """
    results = judge(replace(looks, taken=min(looks.taken, 1)))
    for taken in range(2, looks.taken + 1):
        results = [_keep(results, result) for result in judge(replace(looks, taken=taken))]
    return [finish(_complete(result)) for result in results]


def _keep(earlier: Sequence[Result], now: Result) -> Result:
    """Keep of an undecided pair what was decided earlier; of trends and divergence the least p value."""
    same = (r for r in earlier if (r.factor, r.contest.block) == (now.factor, now.contest.block))
    before = next(same, None)
    if before is None:
        return now
    pairs = []
    for pair in now.pairs:
        old = before.pair(pair.a, pair.b)
        if old is not None and pair.verdict == Verdict.UNDECIDED and (old.verdict == Verdict.SAME or _agree(old, pair)):
            p_same = np.fmin(pair.p_same, old.p_same)
            pair = replace(pair, verdict=old.verdict, p_adjusted=old.p_adjusted, p_same=float(p_same))
        pairs.append(pair)
    trend = now.trend
    if trend is not None and before.trend is not None:
        least = np.fmin(trend.p_adjusted, before.trend.p_adjusted)
        trend = replace(trend, p_adjusted=(float(least[0]), float(least[1])))
    known = {(test.a, test.b): test.p_adjusted for test in before.divergence}
    divergence = [
        replace(test, p_adjusted=min(test.p_adjusted, known.get((test.a, test.b), 1.0))) for test in now.divergence
    ]
    return replace(now, pairs=pairs, trend=trend, divergence=divergence)


def _agree(old: Pair, pair: Pair) -> bool:
    """Return whether a level was called better that is still ahead: one that has fallen behind is not named."""
    return old.verdict in AHEAD and old.estimate.mean * pair.estimate.mean > 0


def _complete(result: Result) -> Result:
    """Conclude a > c from a > b and b > c: where both are true, so is that, and it needs no test of its own.

    A level that is out gets no more seeds, and is not compared again with those that pass the one that beat it.
    """
    pairs = list(result.pairs)
    for _ in result.usable:  # a chain is no longer than there are levels
        better: dict[tuple[Hashable, Hashable], float] = {}
        for pair in pairs:
            if pair.verdict in AHEAD:
                first, second = (pair.a, pair.b) if pair.verdict == Verdict.BETTER else (pair.b, pair.a)
                better[first, second] = pair.p_adjusted
        pairs = [_conclude(pair, better) for pair in pairs]
    return replace(result, pairs=pairs)


def _conclude(pair: Pair, better: Mapping[tuple[Hashable, Hashable], float]) -> Pair:
    if pair.verdict != Verdict.UNDECIDED:
        return pair
    for a, b, verdict in ((pair.a, pair.b, Verdict.BETTER), (pair.b, pair.a, Verdict.WORSE)):
        for (first, middle), p in better.items():
            if first == a and (middle, b) in better:
                return replace(pair, verdict=verdict, p_adjusted=max(p, better[middle, b]))
    return pair


@dataclass(frozen=True)
class OpenPairs:
    """List what a factor leaves undecided: pairs of levels of which none is out."""

    result: Result
    pairs: list[Pair]

    @property
    def levels(self) -> set[Hashable]:
        return {level for pair in self.pairs for level in (pair.a, pair.b)}


def find_open(results: Iterable[Result]) -> list[OpenPairs]:
    """Find the main pairs that are undecided. A level is out once another one is better, or if it is unusable.

    Values that are tuned for the levels of a factor are not asked for, and keep nothing open.
    """
    results = list(results)
    tuned = {key for result in results for key in result.contest.nuisances}
    found = []
    for result in results:
        beaten = {
            pair.b if pair.verdict == Verdict.BETTER else pair.a for pair in result.pairs if pair.verdict in AHEAD
        }
        open_ = [
            pair
            for pair in result.pairs
            if pair.verdict in (Verdict.UNDECIDED, Verdict.EXPLORATORY) and not {pair.a, pair.b} & beaten
        ]
        if open_ and result.factor not in tuned:
            found.append(OpenPairs(result, open_))
    return found


def find_runs_that_go_on(undecided: Iterable[OpenPairs]) -> set[str]:
    """Find the runs whose settings get more seeds: those with a level that some factor leaves undecided.

    In a grid a level that is out of its own factor goes on where it is a setting of another one that is open.
    """
    return {
        run
        for item in undecided
        for by_level in item.result.contest.entries.values()
        for level, entry in by_level.items()
        if level in item.levels
        for cell in entry.trials.values()
        for run in cell.runs
    }
