"""Which quantities inside the networks go along with the difference of two levels. Never torch.

Quantities of layers and of the network are looked at in the first, the middle and the last epoch. The unit is the
replicate, as for the metric. p values and intervals are corrected for all that is looked at in a study (Bonferroni):
quantities, layers, epochs and factors; findings have 0.3 of the error rate (docs/verdict.md, with simulations).
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import stdtrit

from multirun_analysis.compare.context_means import average_contexts
from multirun_analysis.compare.design import Replicate
from multirun_analysis.compare.divergence import fisher, least_p
from multirun_analysis.compare.inference import ALPHA, Estimate, estimate_replicates, p_two_sided
from multirun_analysis.compare.inner_values import InnerValues, Place
from multirun_analysis.compare.results import DivergenceTest, Pair, Result, Verdict
from multirun_analysis.compare.sequential import Look
from paribus.diagnosis import Diagnosis

LEAST_RATIO = 1.25  # a smaller difference is not worth a word
LEAST_SHARE = 0.05
FOR_FINDINGS = 0.3  # of the error rate: how often runs have a finding; the rest is for quantities


@dataclass(frozen=True)
class InnerDifference:
    """The difference between two levels in one quantity, layer and epoch, or in how often runs have a finding.

    Attributes:
        factor, best, other: the factor, its best level, and the one it is held against.
        concluded: whether the two differ in the metric, as far as the verdict goes.
        place: where it was measured; of a finding its name alone.
        mean, low, high: other / best of a ratio, other - best of shares, over replicates; the interval is corrected for
            all that was looked at. A finding has none.
        levels: the means of best and other.
        replicates: how many.
        p: corrected likewise.
    """

    factor: str
    best: Hashable
    other: Hashable
    concluded: bool
    place: Place
    mean: float
    low: float
    high: float
    levels: tuple[float, float]
    replicates: int
    p: float

    @property
    def clear(self) -> bool:
        """Return whether the difference is beyond chance, and large enough to be worth a word."""
        if not self.p < ALPHA:
            return False
        return abs(math.log(self.mean)) > math.log(LEAST_RATIO) if self.place.ratio else abs(self.mean) > LEAST_SHARE

    @property
    def strength(self) -> float:
        """The end of the interval nearest to no difference: logarithm of a ratio; of a share four times as much.

        So 25 points of dead units weigh as much as a factor of e in the gradient.
        """
        if math.isnan(self.low):
            return 4 * abs(self.mean)
        low, high = (math.log(self.low), math.log(self.high)) if self.place.ratio else (4 * self.low, 4 * self.high)
        return 0.0 if low <= 0 <= high else min(abs(low), abs(high))


@dataclass(frozen=True)
class Looked:
    """A pair of levels in one place: what they differ by, and the means of both."""

    result: Result
    pair: Pair
    place: Place
    estimate: Estimate
    levels: tuple[float, float]


def find_inner_differences(
    results: Sequence[Result], values: InnerValues, diagnoses: Mapping[str, Diagnosis]
) -> list[InnerDifference]:
    """Compare the best level of each factor with the last one that it beats, else the last one, inside the networks.

    Return all places that were looked at, and all findings that could differ between the two.
    """
    looked, counted = [], []
    for result in results:
        pair = choose_pair(result)
        if pair is not None:
            looked += _look(result, pair, values)
            counted += _count(result, pair, diagnoses)
    counted = [one for one in counted if least_p(one[-1]) < FOR_FINDINGS * ALPHA]  # others could not show anything
    share = 1 - FOR_FINDINGS if counted else 1.0
    tests = max(1, len(looked)) / share

    @cache
    def quantile(df: float, look: Look | None) -> float:
        alpha = ALPHA / tests
        return float(stdtrit(df, 1 - (alpha if look is None else look.nominal_level(alpha)) / 2))

    found = []
    for one in looked:
        e = one.estimate
        half = quantile(e.df, e.look) * e.error
        ends = (-e.mean, -e.mean - half, -e.mean + half)  # other against best
        if one.place.ratio:
            ends = tuple(math.exp(max(-700.0, min(end, 700.0))) for end in ends)  # type: ignore[assignment]
        p = min(1.0, tests * p_two_sided(e))
        found.append(InnerDifference(one.result.factor, one.pair.a, one.pair.b, _concluded(one.pair), one.place,
                                     *ends, one.levels, e.n, p))  # fmt: skip
    for result, pair, name, test in counted:
        shares = [d / n for d, n in zip(test.diverged, test.replicates, strict=True)]
        look = pair.estimate.look
        p = min(1.0, len(counted) / FOR_FINDINGS * (test.p if look is None else look.adjust(test.p)))
        found.append(InnerDifference(result.factor, pair.a, pair.b, _concluded(pair), Place(name),
                                     shares[1] - shares[0], math.nan, math.nan, (shares[0], shares[1]),
                                     min(test.replicates), p))  # fmt: skip
    return found


def choose_pair(result: Result) -> Pair | None:
    """Choose the best level against the last one that it beats, or, where it beats none, against the last one."""
    if result.best is None or result.exploratory:
        return None
    pairs = [pair for level in result.usable[1:] if (pair := result.pair(result.best.level, level.level)) is not None]
    beaten = [pair for pair in pairs if pair.verdict == Verdict.BETTER]
    return next(reversed(beaten or pairs), None)


def _concluded(pair: Pair) -> bool:
    return pair.verdict == Verdict.BETTER


def _look(result: Result, pair: Pair, values: InnerValues) -> list[Looked]:
    """Estimate the difference of a pair of levels in each quantity, at each place where both have it."""
    rows: dict[Replicate, list[tuple[int, int, int]]] = {}  # context, runs of a and b
    contexts = 0
    for by_level in result.contest.entries.values():
        cells = [by_level[level].cell if level in by_level else None for level in (pair.a, pair.b)]
        if cells[0] is None or cells[1] is None:
            continue
        mine, other = (cell.values() for cell in cells if cell is not None)
        for key in mine.keys() & other.keys():
            runs = [values.rows.get(cell.outcomes[key].run) for cell in cells if cell is not None]
            if runs[0] is not None and runs[1] is not None:
                rows.setdefault(key, []).append((contexts, runs[0], runs[1]))
        contexts += 1
    keys = sorted(rows, key=str)
    if len(keys) < 2:
        return []
    chosen = np.array([(i, *row) for i, key in enumerate(keys) for row in rows[key]])
    found = []
    for places, first, second in values.of_pairs(chosen[:, 2], chosen[:, 3]):
        if places[0].ratio:
            with np.errstate(divide="ignore", invalid="ignore"):
                differences = np.log(first) - np.log(second)
            differences[~np.isfinite(differences)] = np.nan
        else:
            differences = first - second
        table = np.full((len(places), len(keys), contexts), np.nan)
        table[:, chosen[:, 0], chosen[:, 1]] = differences.T
        means = table[:, :, 0] if contexts == 1 else np.stack([average_contexts(one) for one in table])
        # a replicate without a value may be unlike the others; where no run has another value, nothing can be found
        kept = np.flatnonzero(~np.isnan(means).any(axis=1) & (np.nan_to_num(differences) != 0).any(axis=0))
        levels = zip(*(np.nanmean(part[:, kept], axis=0).tolist() for part in (first, second)), strict=True)
        for i, estimate, of_both in zip(kept, estimate_places(means[kept], keys), levels, strict=True):
            found.append(Looked(result, pair, places[i], estimate._replace(look=pair.estimate.look), of_both))
    return found


def estimate_places(values: np.ndarray, keys: Sequence[Replicate]) -> list[Estimate]:
    """Estimate the means of values (places, replicates); see `estimate_replicates`."""
    seeds, splits = zip(*keys, strict=True)
    n = values.shape[1]
    if 1 < min(len(set(seeds)), len(set(splits))) < n:
        return [estimate_replicates(row, keys) for row in values]
    errors = values.std(axis=1, ddof=1) / math.sqrt(n)
    return [Estimate(float(m), float(e), n - 1, n) for m, e in zip(values.mean(axis=1), errors, strict=True)]


def _count(
    result: Result, pair: Pair, diagnoses: Mapping[str, Diagnosis]
) -> list[tuple[Result, Pair, str, DivergenceTest]]:
    """Count the replicates most of whose runs have a finding, for both levels, and test whether they are as many."""
    by_level: list[dict[Replicate, list[set[str]]]] = []
    for level in (pair.a, pair.b):
        mine: dict[Replicate, list[set[str]]] = {}
        for entry in result.contest.of_level(level):
            for key, outcome in entry.cell.outcomes.items() if entry.cell is not None else ():
                if outcome.run in diagnoses:
                    mine.setdefault(key, []).append({f.finding for f in diagnoses[outcome.run].findings})
        by_level.append(mine)
    found = []
    for name in sorted({name for mine in by_level for sets in mine.values() for one in sets for name in one}):
        counts = [sum(np.mean([name in one for one in sets]) > 0.5 for sets in mine.values()) for mine in by_level]
        sizes = [len(mine) for mine in by_level]
        if sum(counts) and all(sizes):
            a, b = map(int, counts)
            test = DivergenceTest(pair.a, pair.b, (a, b), (sizes[0], sizes[1]), fisher(a, sizes[0], b, sizes[1]))
            found.append((result, pair, name, test))
    return found


def clearest(found: Sequence[InnerDifference]) -> list[InnerDifference]:
    """Keep the clearest place of each factor and quantity, those that explain most first.

    Sizes of gradients, dead and saturated units, curvature and findings come before updates, which follow from the
    learning rate by themselves. Among several places the clearest counts, among equals the earliest epoch.
    """
    best: dict[tuple[str, str], InnerDifference] = {}
    for one in found:
        key = one.factor, one.place.quantity
        if one.clear and (key not in best or one.strength > best[key].strength):
            best[key] = one
    return sorted(best.values(), key=lambda one: (not one.concluded, one.place.follows, -one.strength))
