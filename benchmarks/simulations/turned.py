"""Differences that turn round at a level of another factor, and some that do not."""

from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.results import Verdict
from multirun_analysis.compare.reversals import find_reversals
from simulations.made_studies import PLAIN, Random, Runs, crossed, judge
from simulations.rows import Row, share

SIZES = ((2, 2), (3, 3, 3))


def null(random: Random, studies: int) -> Iterator[Row]:
    """The first level is ahead by the same everywhere, or nothing has an effect: no reversal may be named."""
    for sizes in SIZES:
        for seeds in (3, 5, 10):
            for gap in (0.0, 2.0):
                runs, places = crossed(sizes, PLAIN, seeds)
                effect = np.where(places[:, 0] == 0, gap, 0)

                def happens(runs: Runs = runs, effect: np.ndarray = effect) -> bool:
                    return bool(find_reversals(judge(runs, random.normal(size=len(runs)) + effect), 1, False))

                name = " x ".join(map(str, sizes))
                yield Row(
                    "reversal", f"{name}, {seeds} seeds, ahead by {gap:g}", share(studies, happens), studies, (0, 5)
                )


def power(random: Random, studies: int) -> Iterator[Row]:
    """The first level is ahead by 4, but behind by 2 at the first level of the second factor."""
    for seeds in (3, 5, 10):
        runs, places = crossed((2, 3), PLAIN, seeds)
        effect = np.where(places[:, 0] == 0, np.where(places[:, 1] == 0, -2.0, 4.0), 0)

        def happens(runs: Runs = runs, effect: np.ndarray = effect) -> bool:
            results = judge(runs, random.normal(size=len(runs)) + effect)
            if not any(p.verdict in (Verdict.BETTER, Verdict.WORSE) for p in results[0].pairs):
                return False
            named = {(one.factor, one.other, one.level) for one in find_reversals(results, 1, False)}
            return ("activation", "optim", "optim0") in named

        yield Row(
            "reversal found", f"2 x 3, {seeds} seeds, behind by 2 in one of 3", share(studies, happens), studies, None
        )
