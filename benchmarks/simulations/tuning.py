"""Levels that take the best of their trials, and chosen settings on fresh seeds."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import numpy as np

from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.records.described import Described, factors_of
from simulations.made_studies import CHOICES, Random, Runs, judge, outcomes_of, tuned
from simulations.rows import Row, share

SHAPES = ("tied", "graded", "mixed")
LARGE = 20  # trials; of studies with as many of a level half is simulated
FRESH = range(101, 111)


def profile(shape: str, trials: int, noise: float, other: bool) -> np.ndarray:
    """The true means (trials,) of a level's learning rates, the best of them 0."""
    if shape == "tied" or (shape == "mixed" and other):
        return np.zeros(trials)
    near = 1 if shape == "mixed" else 2
    return -0.7 * noise * np.arange(trials) if shape == "graded" else np.where(np.arange(trials) < near, 0, -8 * noise)


def tuning(random: Random, studies: int, a: int, b: int) -> Iterator[Row]:
    """No level is better, and each takes the best of its learning rates, `a` and `b` many, chosen by the same runs."""
    studies = studies if max(a, b) < LARGE else max(20, studies // 2)
    for noise, shape, seeds in itertools.product((1, 4), SHAPES, (3, 10)):
        runs = tuned({"a": a, "b": b}, seeds)
        means, scale = _truth(runs, profile(shape, a, 1, False), profile(shape, b, noise, True), noise)

        def happens(runs: Runs = runs, means: np.ndarray = means, scale: np.ndarray = scale) -> bool:
            results = judge(runs, means + random.normal(size=len(scale)) * scale)
            return any(r.concluded for r in results if r.factor == "optim")

        what = f"{a} : {b} trials, noise 1 : {noise}, {shape}, {seeds} seeds"
        yield Row("tuned", what, share(studies, happens), studies, (0, 5))


def confirmation(random: Random, studies: int) -> Iterator[Row]:
    """Trials with 3 seeds; the chosen one of each level again on 10 fresh seeds, which alone are judged."""
    for (a, b), noise, shape in itertools.product(((3, 3), (2, 8), (5, 20)), (1, 4), SHAPES):
        n = studies if max(a, b) < LARGE else max(20, studies // 2)
        wrong = partial(_confirms_wrongly, random, a, b, noise, shape)
        what = f"{a} : {b} trials, noise 1 : {noise}, {shape}: false winner on 10 fresh seeds"
        yield Row("confirmed", what, share(n, wrong), n, (0, 5))


def _confirms_wrongly(random: Random, a: int, b: int, noise: float, shape: str) -> bool:
    """Search, confirm, and say whether a setting is called better that is not."""
    truth = {"a": profile(shape, a, 1, False), "b": profile(shape, b, noise, True)}
    places = choose_trials(random, truth, noise)
    runs = confirming(places, FRESH)
    means, scale = _truth(runs, truth["a"][[places["a"]]], truth["b"][[places["b"]]], noise)
    results = judge(runs, means + random.normal(size=len(means)) * scale, confirmed=True)
    ahead = float(truth["a"][places["a"]] - truth["b"][places["b"]])
    return any(contradicts(result, ahead) for result in results)


def choose_trials(random: Random, truth: Mapping[str, np.ndarray], noise: float) -> dict[str, int]:
    """Search with three seeds: the trial of each level, a and b, that is chosen; `truth` has their means (trials,)."""
    searched = tuned({level: len(means) for level, means in truth.items()}, 3)
    means, scale = _truth(searched, truth["a"], truth["b"], noise)
    outcomes = outcomes_of(searched, means + random.normal(size=len(means)) * scale)
    (contest,) = contests(searched, outcomes, factors_of(searched.values()), "optim", 1)
    (by_level,) = contest.entries.values()
    return {str(level): _place(entry.chosen[0]) for level, entry in by_level.items() if entry.chosen is not None}


def confirming(places: Mapping[str, int], seeds: Iterable[int]) -> Runs:
    """Make the runs that confirm the chosen trials of levels on these seeds."""
    runs: Runs = {}
    for level, place in places.items():
        given = {"optim.lr": 10.0**-place}
        for seed in seeds:
            choices = {**CHOICES, "optim": level}
            runs[f"{level}{seed}"] = Described(choices, dict(given), dict(given), seed, confirms=True)
    return runs


def _place(rate: object) -> int:
    """Which trial a learning rate was; see `tuned`."""
    assert isinstance(rate, float)
    return round(-np.log10(rate))


def contradicts(result: Result, ahead: float) -> bool:
    """Whether a is called better than b, or worse, where it is ahead by `ahead`; levels are a and b, or settings."""
    decided = [pair for pair in result.pairs if pair.verdict in (Verdict.BETTER, Verdict.WORSE)]
    turned = [pair if str(pair.a).startswith("a") else pair.turned() for pair in decided]
    return any(pair.estimate.mean * ahead <= 0 for pair in turned)


def _truth(runs: Runs, of_a: np.ndarray, of_b: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """By run: the true mean, and the deviation."""
    is_b = np.array([run.choices["optim"] == "b" for run in runs.values()])
    seeds = len({run.seed for run in runs.values()})
    return np.concatenate([np.repeat(of_a, seeds), np.repeat(of_b, seeds)]), np.where(is_b, noise, 1)


PARTS: dict[str, Callable[[Random, int], Iterator[Row]]] = {
    "tuning": partial(tuning, a=3, b=3),
    "tuning_2_8": partial(tuning, a=2, b=8),
    "tuning_5_20": partial(tuning, a=5, b=20),
    "confirmation": confirmation,
}
