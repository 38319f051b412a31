"""Factors without an effect, and with one of known size."""

import itertools
import math
from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.results import Verdict
from simulations.made_studies import PLAIN, SEEDS, Random, Runs, concludes, crossed, judge
from simulations.rows import Row, share

LARGE = 400  # runs; of larger studies a tenth is simulated


def null(random: Random, studies: int) -> Iterator[Row]:
    """Nothing has an effect: at most 5 % of studies conclude anything."""
    for sizes in ((2,), (6,), (2, 2, 2), (3, 4, 3), (6, 8, 5)):
        for seeds in SEEDS:
            runs, places = crossed(sizes, PLAIN, seeds)
            first = places[:, 0]
            n = studies if len(runs) < LARGE else max(20, studies // 10)
            for noise in ("equal noise", "one level 4 times", "half of the levels 4 times", "5 % diverge"):
                scale = np.ones(len(runs))
                if noise.startswith("one"):
                    scale[first == 0] = 4
                elif noise.startswith("half"):
                    scale[first < sizes[0] / 2] = 4

                def happens(scale: np.ndarray = scale, noise: str = noise, runs: Runs = runs) -> bool:
                    values = random.normal(size=len(scale)) * scale
                    if noise.startswith("5"):
                        values[random.random(len(values)) < 0.05] = -np.inf
                    return concludes(judge(runs, values))

                name = " x ".join(map(str, sizes)) if len(sizes) > 1 else f"1 x {sizes[0]}"
                yield Row("null", f"{name}, {seeds} seeds, {noise}", share(n, happens), n, (0, 5))


def interactions(random: Random, studies: int) -> Iterator[Row]:
    """Nothing has an effect, but that of one factor differs between seeds."""
    for sizes, seeds, times in itertools.product(((2, 2, 2), (3, 3, 3)), SEEDS, (1, 3, 10)):
        runs, places = crossed(sizes, PLAIN, seeds)

        def happens(runs: Runs = runs, places: np.ndarray = places, times: int = times) -> bool:
            own = random.normal(size=(places[:, 0].max() + 1, places[:, -1].max() + 1)) * times
            return concludes(judge(runs, random.normal(size=len(runs)) + own[places[:, 0], places[:, -1]]))

        name = " x ".join(map(str, sizes))
        yield Row("seed x factor", f"{name}, {seeds} seeds, {times} times", share(studies, happens), studies, (0, 5))


def power(random: Random, studies: int) -> Iterator[Row]:
    """One level is ahead: how often it is named."""
    for what, sizes, keys, seeds, gap, least, wins in (
        ("3 x 3 x 3, 5 seeds, 2 deviations: winner", (3, 3, 3), PLAIN, 5, 2, 90, True),
        ("the same, each at its best lr: winner", (3, 3, 3), ("activation", "optim", "optim.lr"), 5, 2, 85, True),
        ("6 levels, 3 seeds, 4 deviations: found", (6,), PLAIN, 3, 4, 75, False),
    ):
        runs, places = crossed(sizes, keys, seeds)

        def happens(runs: Runs = runs, places: np.ndarray = places, gap: float = gap, wins: bool = wins) -> bool:
            values = random.normal(size=len(runs)) + np.where(places[:, 0] == 0, gap, 0)
            result = next(r for r in judge(runs, values) if r.factor == "activation")
            best = [p for p in result.pairs if "activation0" in (p.a, p.b)]
            decided = any(p.verdict in (Verdict.BETTER, Verdict.WORSE) for p in best)
            return result.winner == "activation0" if wins else decided

        yield Row("power", what, share(studies, happens), studies, (least, 100))


def equivalence(random: Random, studies: int) -> Iterator[Row]:
    """Two levels, told the same within a margin."""
    for seeds, factor, required in ((5, 1.0, (0.0, 5.0)), (10, 1.0, (0.0, 5.0)), (10, 0.0, None)):
        runs, places = crossed((2,), PLAIN, seeds)
        margin = 3 * math.sqrt(2 / seeds)

        gap = np.where(places[:, 0] == 0, factor * margin, 0)

        def same(runs: Runs = runs, gap: np.ndarray = gap, margin: float = margin) -> bool:
            values = random.normal(size=len(runs)) + gap
            return any(p.verdict == Verdict.SAME for r in judge(runs, values, margin) for p in r.pairs)

        what = "difference equal to the margin" if factor else "no difference, a margin of 3 standard errors"
        yield Row("same", f"{what}, {seeds} seeds", share(studies, same), studies, required)
