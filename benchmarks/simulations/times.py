"""Time to a target: levels that are equally fast, and one that is faster by a known time."""

from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.compare.targets import find_crossing
from simulations.made_studies import PLAIN, Random, Runs, crossed, judge
from simulations.rows import Row

EPOCH, EPOCHS = 844, 30  # optimizer steps an epoch; epochs
WITHIN = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
STEPS = np.array(sorted({*WITHIN, *range(EPOCH, EPOCH * EPOCHS + 1, EPOCH)}), dtype=float)
HIGHEST, GAIN, POWER = 0.9, 0.6, 0.35  # accuracy after t steps: 0.9 - 0.6 t^-0.35
TARGETS = {"early": 0.85, "late": 0.87, "on the plateau": 0.88}  # after 1.4, 6.2 and 20 epochs
BETWEEN = 0.15  # deviation between seeds of the logarithm of the speed


def times(random: Random, studies: int) -> Iterator[Row]:
    """Equally fast levels: at most 5 % of studies find one faster. Intervals of a true difference hold it in 95 %."""
    for name, target in TARGETS.items():
        for jitters in ((0.001, 0.001), (0.001, 0.004)):
            for seeds in (3, 5, 10):
                runs, places = crossed((2,), PLAIN, seeds)
                what = f"{name} target, jitter {100 * jitters[0]:g} : {100 * jitters[1]:g} points, {seeds} seeds"
                yield _null(random, studies, what, runs, places, target, np.array(jitters))
    runs, places = crossed((2,), PLAIN, 5)
    for name, target in TARGETS.items():
        what = f"first validation at the target, {name}, jitter 0.1 : 0.4 points, 5 seeds"
        yield _null(random, studies, what, runs, places, target, np.array([0.001, 0.004]), first=True)
    for name, target in TARGETS.items():
        for seeds in (3, 5, 10):
            yield _coverage(
                random, studies, f"{name} target, one level 1.3 times as fast, {seeds} seeds", target, seeds
            )


def _null(
    random: Random, studies: int, what: str, runs: Runs, places: np.ndarray, target: float, jitters: np.ndarray,
    first: bool = False,
) -> Row:  # fmt: skip
    jitter = jitters[places[:, 0]]
    false = 0
    for _ in range(studies):
        speeds = np.exp(BETWEEN * random.normal(size=len(runs)))
        results = judge(runs, _epochs(random, speeds, jitter, target, first), sign=-1, loss=True)
        false += any(pair.verdict in (Verdict.BETTER, Verdict.WORSE) for r in results for pair in r.pairs)
    return Row("time, null", what, 100 * false / studies, studies, None if first else (0, 5))


def _coverage(random: Random, studies: int, what: str, target: float, seeds: int) -> Row:
    """Simulate how often the interval holds the true difference, or ratio, of restricted mean times without jitter."""
    runs, places = crossed((2,), PLAIN, seeds)
    ratio = np.where(places[:, 0] == 0, 1.3, 1.0)
    many = np.exp(BETWEEN * random.normal(size=100_000))
    exact = [np.minimum(_exact(target) / (many * r) / EPOCH, EPOCHS) for r in (1.3, 1.0)]
    held = 0
    for _ in range(studies):
        speeds = ratio * np.exp(BETWEEN * random.normal(size=len(runs)))
        results: list[Result] = judge(
            runs, _epochs(random, speeds, np.full(len(runs), 0.002), target), sign=-1, loss=True
        )
        [result] = results
        pair = result.pair("activation0", "activation1")
        assert pair is not None
        values = [np.log(one) for one in exact] if result.log else exact
        low, high = pair.estimate.interval
        held += low <= float(values[0].mean() - values[1].mean()) <= high
    return Row("time, interval holds", what, 100 * held / studies, studies, (93, 97))


def _exact(target: float) -> float:
    """The step at which a curve of speed 1 reaches the target."""
    return float(((HIGHEST - target) / GAIN) ** (-1 / POWER))


def _epochs(
    random: Random, speeds: np.ndarray, jitter: np.ndarray, target: float, first: bool = False
) -> np.ndarray:  # fmt: skip
    """Simulate runs, (n,), and find their times to the target in epochs, restricted to those that were planned."""
    found = []
    for speed, deviation in zip(speeds, jitter, strict=True):
        values = HIGHEST - GAIN * (STEPS * speed) ** -POWER + deviation * random.normal(size=len(STEPS))
        if first:
            there = np.flatnonzero(values >= target)
            found.append(STEPS[there[0]] if len(there) else np.inf)
        else:
            found.append(find_crossing(STEPS, values, target, interpolate=True))
    return np.minimum(np.array(found) / EPOCH, EPOCHS)
