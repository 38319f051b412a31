"""Studies whose seeds are added in looks until they are decided."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from multirun_analysis.compare.looks import find_open, find_runs_that_go_on, judge_looks
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.compare.sequential import Looks, find_factor
from simulations.made_studies import PLAIN, Random, Runs, crossed, judge
from simulations.rows import Row
from simulations.tuning import SHAPES, choose_trials, confirming, contradicts, profile

AT = (5, 8, 12, 16, 20)
MOST_FIXED = 40  # seeds of a fixed design whose power is compared
# levels, by how much the first is ahead, what is said of it, least power and least share of spared runs
POWERS: tuple[tuple[int, float, str, tuple[float | None, float | None]], ...] = (
    (2, math.sqrt(2), "2 levels, one ahead by a deviation of the differences", (80.0, 30.0)),
    (2, 1.0, "2 levels, one ahead by a deviation of a run", (80.0, None)),
    (3, math.sqrt(2), "3 levels, one ahead by a deviation of the differences", (None, None)),
    (6, math.sqrt(2), "6 levels, one ahead by a deviation of the differences", (None, None)),
)


@dataclass(frozen=True)
class Ended:
    """The end of a study: its results, the looks it took, and how many runs were trained."""

    results: list[Result]
    looks: int
    runs: int


def watch(runs: Runs, values: np.ndarray, margin: float | None = None, confirmed: bool = False) -> Ended:
    """Add seeds to a study look by look until it is decided, by the rules of the analysis.

    `runs` have all seeds, equally many each, the seed varying fastest; `values` (runs,) are their figures.
    """
    seeds = tuple(dict.fromkeys(run.seed for run in runs.values()))
    names, value_of = list(runs), dict(zip(runs, values, strict=True))
    settings = [names[i : i + len(seeds)] for i in range(0, len(names), len(seeds))]
    known: dict[int, list[Result]] = {}
    there: dict[int, list[str]] = {}
    made: list[str] = []

    def judge_at(looks: Looks) -> list[Result]:
        if looks.taken not in known:
            mine = sorted(there[looks.taken], key=names.index)
            figures = np.array([value_of[name] for name in mine])
            known[looks.taken] = judge({name: runs[name] for name in mine}, figures, margin, confirmed, looks=looks)
        return known[looks.taken]

    for taken, (before, now) in enumerate(itertools.pairwise((0, *AT)), 1):
        made += [name for setting in settings for name in setting[before:now]]
        there[taken] = list(made)
        results = judge_looks(Looks(seeds, AT, find_factor(AT), taken), judge_at)
        on = find_runs_that_go_on(find_open(results))
        settings = [setting for setting in settings if on & set(setting)]
        if not settings:
            break
    return Ended(results, taken, len(made))


def _concludes(results: Sequence[Result]) -> bool:
    return any(result.concluded for result in results)


def until(random: Random, studies: int) -> Iterator[Row]:
    """Nothing has an effect."""
    for levels, noise in itertools.product((2, 3, 6), (1, 3)):
        runs, places = crossed((levels,), PLAIN, AT[-1])
        scale = np.where(places[:, 0] < levels / 2, noise, 1)
        ended = [watch(runs, random.normal(size=len(runs)) * scale) for _ in range(studies)]
        rate = 100 * np.mean([_concludes(e.results) for e in ended])
        yield Row("until", f"{levels} levels, noise 1 : {noise}: false winner", float(rate), studies, (0, 5))


def powers(random: Random, studies: int) -> Iterator[Row]:
    """One level is ahead of all others."""
    for levels, gap, what, required in POWERS:
        yield from _power(random, studies, levels, gap, what, required)


def equivalence(random: Random, studies: int) -> Iterator[Row]:
    """Two levels, told the same within a margin; and how often intervals hold the true difference."""
    for factor, bound in ((1.0, (0.0, 5.0)), (0.0, None)):
        runs, places = crossed((2,), PLAIN, AT[-1])
        ahead = np.where(places[:, 0] == 0, factor, 0)
        ended = [watch(runs, random.normal(size=len(runs)) + ahead, margin=1.0) for _ in range(studies)]
        same = 100 * np.mean([_any(e.results, Verdict.SAME) for e in ended])
        what = "difference equal to a margin of one deviation" if factor else "no difference, that margin"
        yield Row("until", f"{what}: same", float(same), studies, bound)
    yield from _coverage(random, studies)


def _any(results: Sequence[Result], *verdicts: Verdict) -> bool:
    return any(pair.verdict in verdicts for result in results for pair in result.pairs)


def _finds(results: Sequence[Result]) -> bool:
    """Say whether the level in front is called better than all others."""
    return any(result.winner == "activation0" for result in results)


def _power(
    random: Random, studies: int, levels: int, gap: float, what: str, required: tuple[float | None, float | None]
) -> Iterator[Row]:
    """Simulate how often a level that is ahead is found, and how many runs it takes beside a fixed number of seeds."""
    runs, places = crossed((levels,), PLAIN, AT[-1])
    ahead = np.where(places[:, 0] == 0, gap, 0)
    ended = [watch(runs, random.normal(size=len(runs)) + ahead) for _ in range(studies)]
    power = float(np.mean([_finds(e.results) for e in ended]))
    yield Row("until", f"{what}: named", 100 * power, studies, _at_least(required[0]))
    spared = 100 * (1 - float(np.mean([e.runs for e in ended])) / _fixed_runs(random, studies, levels, gap, power))
    yield Row("until", f"{what}: runs spared beside a fixed design of that power", spared, studies,
              _at_least(required[1]))  # fmt: skip


def _at_least(least: float | None) -> tuple[float, float] | None:
    return None if least is None else (least, 100.0)


def _fixed_runs(random: Random, studies: int, levels: int, gap: float, power: float) -> float:
    """The runs of a fixed design with this power, between two numbers of seeds by a line."""

    def measure_power(seeds: int) -> float:
        runs, places = crossed((levels,), PLAIN, seeds)
        ahead = np.where(places[:, 0] == 0, gap, 0)
        return float(np.mean([_finds(judge(runs, random.normal(size=len(runs)) + ahead)) for _ in range(studies)]))

    (low, of_low), (high, of_high) = (2, 0.0), (MOST_FIXED, 1.0)
    while high - low > 1:
        seeds = (low + high) // 2
        rate = measure_power(seeds)
        if rate >= power:
            high, of_high = seeds, rate
        else:
            low, of_low = seeds, rate
    return levels * (low + (power - of_low) / (of_high - of_low) * (high - low))


def _coverage(random: Random, studies: int) -> Iterator[Row]:
    """Simulate how often the interval of a difference holds the true one, wherever the study stopped."""
    for gap in (0.0, 1.0, 2.0):
        runs, places = crossed((2,), PLAIN, AT[-1])
        ahead = np.where(places[:, 0] == 0, gap, 0)
        inside = []
        for _ in range(studies):
            (pair,) = watch(runs, random.normal(size=len(runs)) + ahead).results[0].pairs
            low, high = pair.estimate.interval
            inside.append(low <= (gap if pair.a == "activation0" else -gap) <= high)
        yield Row("until", f"2 levels, {gap:g} apart: interval holds it", 100 * float(np.mean(inside)), studies,
                  (95, 100))  # fmt: skip


def confirmed(random: Random, studies: int) -> Iterator[Row]:
    """16 trials of each of two levels with three seeds; the chosen ones on fresh seeds, added until decided."""
    for noise, shape in itertools.product((1, 3), SHAPES):
        wrong = 0
        for _ in range(studies):
            truth = {"a": profile(shape, 16, 1, False), "b": profile(shape, 16, noise, True)}
            places = choose_trials(random, truth, noise)
            runs = confirming(places, range(101, 101 + AT[-1]))
            scale = np.repeat([1.0, noise], AT[-1])
            means = np.repeat([truth[level][place] for level, place in places.items()], AT[-1])
            ended = watch(runs, means + random.normal(size=len(runs)) * scale, confirmed=True)
            ahead = float(truth["a"][places["a"]] - truth["b"][places["b"]])
            wrong += any(contradicts(result, ahead) for result in ended.results)
        what = f"16 : 16 trials, noise 1 : {noise}, {shape}: false winner on fresh seeds"
        yield Row("until", what, 100 * wrong / studies, studies, (0, 5))
