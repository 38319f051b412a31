"""Differences whose size depends on a level of another factor, and some whose size does not."""

from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.varying_effects import find_varying_effects
from simulations.made_studies import PLAIN, Random, Runs, crossed, judge
from simulations.rows import Row, share

SIZES = ((2, 2), (2, 4), (3, 3, 3))


def null(random: Random, studies: int) -> Iterator[Row]:
    """The first level is ahead by the same everywhere: no effect varies. The noise may, threefold, with a level."""
    for sizes in SIZES:
        for seeds in (3, 5, 10):
            for gap, noise in ((2.0, 1.0), (6.0, 1.0), (6.0, 3.0)):
                runs, places = crossed(sizes, PLAIN, seeds)
                effect = np.where(places[:, 0] == 0, gap, 0)
                scale = np.where(places[:, 1] == 0, noise, 1.0)

                def happens(runs: Runs = runs, effect: np.ndarray = effect, scale: np.ndarray = scale) -> bool:
                    values = scale * random.normal(size=len(runs)) + effect
                    return bool(find_varying_effects(judge(runs, values), 1))

                name = f"{' x '.join(map(str, sizes))}, {seeds} seeds, ahead by {gap:g}"
                name += f", noise 1:{noise:g}" if noise > 1 else ""
                yield Row("varying effect", name, share(studies, happens), studies, (0, 5))


def power(random: Random, studies: int) -> Iterator[Row]:
    """The first level is ahead by 5 at the first level of the second factor, and by 1 at the two others."""
    for seeds in (3, 5, 10):
        runs, places = crossed((2, 3), PLAIN, seeds)
        effect = np.where(places[:, 0] == 0, np.where(places[:, 1] == 0, 5.0, 1.0), 0)

        def happens(runs: Runs = runs, effect: np.ndarray = effect) -> bool:
            results = judge(runs, random.normal(size=len(runs)) + effect)
            found = find_varying_effects(results, 1)
            return any((one.factor, one.other, one.most) == ("activation", "optim", "optim0") for one in found)

        name = f"2 x 3, {seeds} seeds, ahead by 5 in one of 3 and by 1 in the others"
        yield Row("varying effect found", name, share(studies, happens), studies, None)
