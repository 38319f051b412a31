"""Define the results of comparing the levels of a factor: pairs, levels, trend, divergence."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from multirun_analysis.compare.design import Contest, Entry, Levels, numbers
from multirun_analysis.compare.inference import ALPHA, Estimate


class Verdict(StrEnum):
    """The verdict on the first level of a pair against the second."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNDECIDED = "undecided"
    EXPLORATORY = "exploratory"  # one replicate says nothing of noise
    UNUSABLE = "unusable"  # one of the two diverges in most of its settings or seeds


TURNED = {Verdict.BETTER: Verdict.WORSE, Verdict.WORSE: Verdict.BETTER}


@dataclass(frozen=True)
class Pair:
    """Two levels of a factor, compared over the contexts in which both are usable.

    Attributes:
        estimate: of a minus b, over replicates; on a log scale of the logarithm of a / b. Of tuned levels, with the
            difference of their optimism taken off.
        differences: by replicate, (n,).
        contexts: over how many.
        penalty: the difference of optimism that was taken off.
        observed: the mean before that, which is too high by about `optimism`; too low where that is negative.
        p: two-sided; p_adjusted: corrected for all that the study tests.
        p_same: of two one-sided tests that the difference is within the margin, corrected likewise.
        probability: share of the replicates in which a beat b; half for a tie.
        visible: the differences that 5, 10 and 20 seeds would show with probability 0.8.
    """

    a: Hashable
    b: Hashable
    estimate: Estimate
    differences: np.ndarray
    contexts: int
    penalty: float = 0.0
    observed: float = math.nan
    optimism: float = 0.0
    p: float = math.nan
    p_adjusted: float = math.nan
    p_same: float = math.nan
    verdict: Verdict = Verdict.UNDECIDED
    probability: float = math.nan
    visible: tuple[float, ...] = ()

    def turned(self) -> "Pair":
        """The same, b against a."""
        return replace(
            self, a=self.b, b=self.a, estimate=self.estimate._replace(mean=-self.estimate.mean),
            differences=-self.differences, verdict=TURNED.get(self.verdict, self.verdict),
            probability=1 - self.probability, observed=-self.observed, optimism=-self.optimism,
        )  # fmt: skip


@dataclass(frozen=True)
class Trend:
    """The response to a factor of ordered numbers.

    Attributes:
        log: whether the levels are taken by their logarithm.
        slope, curvature: over replicates, of the orthonormal linear and quadratic contrast of the level means.
        p, p_adjusted: of the two.
        optimum: of a quadratic through the best level and its neighbours, and the ends of its 95 % interval; None where
            it does not lie within the levels.
        tied: the levels that cannot be told from the best one.
        at_edge: whether the best level is the lowest or the highest: "lowest", "highest" or "".
    """

    log: bool
    slope: Estimate
    curvature: Estimate
    p: tuple[float, float]
    p_adjusted: tuple[float, float] = (math.nan, math.nan)
    optimum: tuple[float, float, float] | None = None
    tied: list[Hashable] = field(default_factory=list)
    at_edge: str = ""

    @property
    def shown(self) -> bool:
        """Whether there is a trend."""
        return min((p for p in self.p_adjusted if not math.isnan(p)), default=1.0) < ALPHA


@dataclass(frozen=True)
class LevelResult:
    """A level of a factor.

    Attributes:
        mean, low, high: over the contexts that all usable levels share, or over its own where there is none.
        optimism: by how much the mean is too good, since its settings were chosen by the same runs.
        settings: what was chosen, by context.
        trials: how many settings it tried, over all contexts.
        diverged, finished, missing: runs.
        usable: whether it finishes in at least half of its replicates somewhere.
        letters: levels that share one cannot be separated.
    """

    level: Hashable
    mean: float
    low: float
    high: float
    replicates: int
    optimism: float
    settings: dict[Levels, Levels]
    trials: int
    diverged: int
    finished: int
    missing: int
    usable: bool
    letters: str = ""


@dataclass(frozen=True)
class DivergenceTest:
    """Whether two levels diverge equally often, by Fisher's exact test over replicates."""

    a: Hashable
    b: Hashable
    diverged: tuple[int, int]
    replicates: tuple[int, int]
    p: float
    p_adjusted: float = math.nan


@dataclass(frozen=True)
class Result:
    """The results of a contest; see the classes above. Levels are ranked best first, unusable ones last."""

    contest: Contest
    log: bool
    levels: list[LevelResult]
    pairs: list[Pair]
    trend: Trend | None
    divergence: list[DivergenceTest]

    @property
    def factor(self) -> str:
        return self.contest.factor

    def pair(self, a: Hashable, b: Hashable) -> Pair | None:
        """The pair, a against b; None where they were not compared."""
        for pair in self.pairs:
            if (pair.a, pair.b) == (a, b):
                return pair
            if (pair.b, pair.a) == (a, b):
                return pair.turned()
        return None

    def decides(self, a: Hashable, b: Hashable) -> bool:
        """Return whether one of two levels is better than the other."""
        pair = self.pair(a, b)
        return pair is not None and pair.verdict in (Verdict.BETTER, Verdict.WORSE)

    @property
    def usable(self) -> list[LevelResult]:
        return [level for level in self.levels if level.usable]

    @property
    def best(self) -> LevelResult | None:
        """The usable level with the best mean."""
        return next(iter(self.usable), None)

    @property
    def winner(self) -> Hashable | None:
        """The level that is better than every other usable one; None where none is."""
        if self.best is None or len(self.usable) < 2:
            return None
        found = [self.pair(self.best.level, other.level) for other in self.usable[1:]]
        return self.best.level if all(p is not None and p.verdict == Verdict.BETTER for p in found) else None

    @property
    def concluded(self) -> bool:
        """Whether anything is concluded of the factor."""
        decided = any(p.verdict in (Verdict.BETTER, Verdict.WORSE) for p in self.pairs)
        return (
            decided or bool(self.trend and self.trend.shown) or any(test.p_adjusted < ALPHA for test in self.divergence)
        )

    @property
    def exploratory(self) -> bool:
        return bool(self.pairs) and all(p.verdict == Verdict.EXPLORATORY for p in self.pairs)

    @property
    def edges(self) -> list[tuple[Hashable, str, Hashable, str]]:
        """Of what was tuned, the levels whose best value lies at an end of its range in half of the contexts or more.

        Level, key, the value that was chosen most often, and which end.
        """
        found = []
        for level in self.usable:
            chosen = [(e, e.chosen) for e in self.contest.of_level(level.level) if e.chosen is not None]
            for k, key in enumerate(self.contest.nuisances):
                ends = Counter(end for entry, _ in chosen if (end := _end(entry, k)))
                end, times = ends.most_common(1)[0] if ends else ("", 0)
                if end and 2 * times >= len(chosen):
                    values = Counter(setting[k] for entry, setting in chosen if _end(entry, k) == end)
                    value = values.most_common(1)[0][0]
                    if end == "highest" or value != 0:  # nothing lies below 0: no weight decay, no dropout
                        found.append((level.level, key, value, end))
        return found


def find_choice(results: Iterable[Result], factor: str) -> Result | None:
    """Find the result for each of whose levels a factor was tuned: the optimizer, for optim.lr.

    Or that of another factor, at whose levels different values of this one are best.
    """
    tuned = [result for result in results if factor in result.contest.nuisances]
    own = (result for result in tuned if factor.startswith(f"{result.factor}."))
    return next(own, None) or next((result for result in tuned if _count_chosen(result, factor) > 1), None)


def omit_tuned(results: Sequence[Result]) -> list[Result]:
    """Leave out the results of factors that were tuned for each level of another one."""
    return [result for result in results if find_choice(results, result.factor) is None]


def _count_chosen(result: Result, nuisance: str) -> int:
    k = result.contest.nuisances.index(nuisance)
    return len({setting[k] for level in result.usable for setting in level.settings.values()})


def _end(entry: Entry, k: int) -> str:
    """Whether the chosen value of the k-th nuisance factor is the lowest or highest of those tried, or neither: ""."""
    tried = numbers(list({trial[k] for trial in entry.trials}))
    chosen = None if entry.chosen is None else entry.chosen[k]
    if tried is None or len(tried) < 2 or chosen not in (min(tried), max(tried)):
        return ""
    return "lowest" if chosen == min(tried) else "highest"
