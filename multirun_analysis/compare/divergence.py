"""Compare how often levels diverge, as proportions."""

import math
from collections.abc import Hashable
from functools import cache
from itertools import combinations

import numpy as np
from scipy.stats import fisher_exact

from multirun_analysis.compare.design import Contest, Replicate
from multirun_analysis.compare.results import DivergenceTest


def compare_divergence(contest: Contest) -> list[DivergenceTest]:
    """Compare how often levels diverge, the replicate being the unit: it counts where most of its settings diverged."""
    counts: dict[Hashable, tuple[int, int]] = {}
    replicates: dict[Hashable, set[Replicate]] = {}
    for level in contest.levels:
        by_replicate: dict[Replicate, list[bool]] = {}
        for entry in contest.of_level(level):
            for cell in entry.trials.values():
                for key, outcome in cell.outcomes.items():
                    if not math.isnan(outcome.value):
                        by_replicate.setdefault(key, []).append(math.isinf(outcome.value))
        broken = sum(np.mean(some) > 0.5 for some in by_replicate.values())
        counts[level], replicates[level] = (int(broken), len(by_replicate)), set(by_replicate)
    tests = []
    for a, b in combinations(counts, 2):
        (da, na), (db, nb) = counts[a], counts[b]
        if da + db and na and nb:
            p = fisher(da, na, db, nb)
            look = contest.look_at(replicates[a] | replicates[b])
            tests.append(DivergenceTest(a, b, (da, db), (na, nb), p if look is None else look.adjust(p)))
    return tests


def least_p(test: DivergenceTest) -> float:
    """The smallest p that Fisher's test could have given with so many divergences in all (Tarone 1990)."""
    (na, nb), total = test.replicates, sum(test.diverged)
    extremes = [(min(total, na), max(0, total - na)), (max(0, total - nb), min(total, nb))]
    return min(fisher(a, na, b, nb) for a, b in extremes)


@cache
def fisher(a: int, of_a: int, b: int, of_b: int) -> float:
    """Compute the two-sided p of Fisher's exact test that a of `of_a` and b of `of_b` are the same proportion."""
    return float(fisher_exact([[a, of_a - a], [b, of_b - b]])[1])
