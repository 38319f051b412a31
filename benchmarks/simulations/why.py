"""Quantities inside networks: how often one is named although none differs, and whether the right one is."""

import math
from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.inner import InnerDifference, clearest, find_inner_differences
from multirun_analysis.compare.inner_values import LAYERS, SLOTS, InnerValues
from multirun_analysis.compare.results import Result
from paribus.diagnosis import Diagnosis, Finding
from simulations.made_studies import PLAIN, Random, Runs, crossed, judge
from simulations.rows import Row, share

EFFECT = math.log(0.42)  # of a gradient, in its first layer and the first epoch


def measured(random: Random, runs: Runs, layers: int, shared: float, spread: float) -> InnerValues:
    """Make quantities that differ by nothing but noise, with a deviation of about 1 (ratios: of the logarithm).

    Args:
        shared: how much of the variance all layers and epochs of a quantity share.
        spread: deviation of the logarithm of the layers' own noise.
    """
    n = len(runs)
    values = {}
    for name, (_, ratio, _) in LAYERS.items():
        common, own = random.normal(size=(n, 1, 1)), random.normal(size=(n, layers, len(SLOTS)))
        noise = math.sqrt(shared) * common + math.sqrt(1 - shared) * own
        noise = noise * np.exp(spread * random.normal(size=(1, layers, len(SLOTS))))
        # shares are often exactly 0, and counted in units
        values[name] = np.exp(noise) if ratio else np.round(np.clip(noise, 0, 3) / 3 * 64) / 64
    epochs = np.tile([1, 15, 30], (n, 1))
    names = [f"linear{i + 1}" for i in range(layers)]
    return InnerValues({name: i for i, name in enumerate(runs)}, epochs, np.full(n, layers), values, {}, names)


def results_of(random: Random, runs: Runs, places: np.ndarray) -> list[Result]:
    """Judge a study in which every factor has a large effect, so that each has a difference to go along with."""
    return judge(runs, random.normal(size=len(runs)) + 20.0 * places[:, :-1].sum(axis=1))


def drawn(random: Random, runs: Runs) -> dict[str, Diagnosis]:
    """Give each run one of two findings at random."""
    one, two = (Finding(name, (), 1, {"text": ""}, None, "") for name in ("dead_units", "overfits"))
    chances = random.random((len(runs), 2)) < (0.3, 0.6)
    return {
        name: Diagnosis(tuple(f for f, there in zip((one, two), chance, strict=True) if there), ())
        for name, chance in zip(runs, chances, strict=True)
    }


def null(random: Random, studies: int) -> Iterator[Row]:
    """Nothing inside differs: at most 5 % of studies name anything."""
    for sizes in ((2,), (3, 4, 3)):
        for seeds in (3, 5, 10):
            runs, places = crossed(sizes, PLAIN, seeds)
            n = studies if len(runs) < 100 else max(20, studies // 10)
            for layers, shared, spread, what in (
                (3, 0.0, 0.0, "3 layers"),
                (12, 0.0, 0.0, "12 layers"),
                (3, 0.7, 0.0, "3 layers, 70 % shared"),
                (12, 0.99, 0.0, "12 layers, 99 % shared"),
                (3, 0.3, 1.0, "3 layers of unequal noise"),
                (12, 0.3, 1.0, "12 layers of unequal noise"),
            ):

                def happens(
                    runs: Runs = runs, places: np.ndarray = places, layers: int = layers, shared: float = shared,
                    spread: float = spread,
                ) -> bool:  # fmt: skip
                    values = measured(random, runs, layers, shared, spread)
                    found = find_inner_differences(results_of(random, runs, places), values, drawn(random, runs))
                    return any(one.clear for one in found)

                name = " x ".join(map(str, sizes)) if len(sizes) > 1 else f"1 x {sizes[0]}"
                yield Row("why", f"{name}, {seeds} seeds, {what}: anything named", share(n, happens), n, (0, 5))


def power(random: Random, studies: int) -> Iterator[Row]:
    """One layer's gradient differs in one epoch: how often it is named, and how often its interval holds the truth."""
    for seeds, noise in ((3, 0.05), (5, 0.05), (5, 0.1), (10, 0.1)):
        runs, places = crossed((2,), PLAIN, seeds)
        named: list[InnerDifference] = []
        for _ in range(studies):
            values = measured(random, runs, 3, 0.5, 0.0)
            for name, (_, ratio, _) in LAYERS.items():
                values.layers[name][:] = values.layers[name] ** noise if ratio else 0.0
            values.layers["grad_mean_abs"][:, 0, 0] *= np.exp(EFFECT * (places[:, 0] == 0))
            # level 1 is the best: 20 more of the metric
            named += clearest(find_inner_differences(results_of(random, runs, places), values, {}))[:1]
        right = [one for one in named if (one.place.quantity, one.place.depth, one.place.slot) ==
                 ("grad_mean_abs", 0, "first")]  # fmt: skip
        what = f"0.42 x in one layer and epoch, noise of {100 * noise:.0f} %, {seeds} seeds"
        yield Row("why", f"{what}: named", 100 * len(right) / studies, studies, None)
        yield Row("why", f"{what}: another named", 100 * (len(named) - len(right)) / studies, studies, (0, 5))
        held = [one.low <= math.exp(EFFECT) <= one.high for one in right]
        if held:
            yield Row("why", f"{what}: interval holds the truth", 100 * float(np.mean(held)), len(held), (95, 100))
