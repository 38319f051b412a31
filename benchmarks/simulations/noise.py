"""The noise budget: how often its intervals cover shares of the variance that are known.

Effects of two or three crossed sources are drawn with given variances; the last ones with the tails of Student's t with
5 degrees of freedom.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from multirun_analysis.compare.noise import estimate_budget
from simulations.made_studies import Random
from simulations.rows import Row

Variances = Mapping[tuple[int, ...], float]
CASES: list[tuple[str, tuple[int, ...], Variances, bool]] = [
    ("two even", (5, 5), {(0,): 1, (1,): 1, (0, 1): 1}, False),
    ("two, one without effect", (5, 5), {(0,): 3, (1,): 0, (0, 1): 7}, False),
    ("split above all", (6, 6, 6), {(0,): 6, (1,): 2, (2,): 1, (0, 1): 0.5, (0, 1, 2): 2}, False),
    ("three even", (6, 6, 6), {(0,): 1, (1,): 1, (2,): 1, (0, 1): 0.5, (0, 1, 2): 1}, False),
    ("combination above all", (6, 6, 6), {(0,): 2, (1,): 0.5, (2,): 0.5, (0, 1, 2): 7}, False),
    ("split above all, 4 seeds each", (4, 4, 4), {(0,): 6, (1,): 2, (2,): 1, (0, 1): 0.5, (0, 1, 2): 2}, False),
    ("split above all, heavy tails", (6, 6, 6), {(0,): 6, (1,): 2, (2,): 1, (0, 1): 0.5, (0, 1, 2): 2}, True),
]


def simulate_coverage(
    random: Random, levels: tuple[int, ...], variances: Variances, heavy: bool, repeats: int
) -> dict[str, float]:
    """Return how often each share's interval covers the true share, by name: alone 0, ..., total 0, ..., combined."""
    whole, axes = sum(variances.values()), range(len(levels))
    true = {f"alone {i}": variances.get((i,), 0) / whole for i in axes}
    true |= {f"total {i}": sum(v for u, v in variances.items() if i in u) / whole for i in axes}
    true["combined"] = sum(v for u, v in variances.items() if len(u) > 1) / whole
    hits = dict.fromkeys(true, 0)
    for _ in range(repeats):
        table = np.zeros((1, *levels))
        for effect, variance in variances.items():
            shape = (1, *(n if i in effect else 1 for i, n in enumerate(levels)))
            drawn = random.standard_t(5, shape) * math.sqrt(3 / 5) if heavy else random.standard_normal(shape)
            table = table + math.sqrt(variance) * drawn
        budget = estimate_budget(table, [str(i) for i in axes])
        found = [*budget.alone, *budget.total, budget.combined]
        for (name, share), interval in zip(true.items(), found, strict=True):
            hits[name] += interval.low - 1e-12 <= share <= interval.high + 1e-12
    return {name: count / repeats for name, count in hits.items()}


def noise(random: Random, studies: int) -> Iterator[Row]:
    """Simulate how often intervals of shares cover the true ones: of a source alone, with others, in combination."""
    for title, levels, variances, heavy in CASES:
        covered = simulate_coverage(random, levels, variances, heavy, studies)
        for kind in ("alone", "total", "combined"):
            found = [100 * share for name, share in covered.items() if name.startswith(kind)]
            yield Row(
                "noise", f"{title}: {kind}, least covered share", min(found), studies, None if heavy else (93, 100)
            )
            yield Row("noise", f"{title}: {kind}, most covered share", max(found), studies, None)
