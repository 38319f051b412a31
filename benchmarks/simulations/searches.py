"""Searches by tune=: no level is better, each takes the best of its trials, and fresh seeds judge what was chosen."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from multirun_analysis.compare.confirmation import searched_contests
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.results import Verdict
from multirun_analysis.records.described import Described, factors_of
from simulations.made_studies import CHOICES, Random, Runs, outcomes_of, tuned
from simulations.rows import Row, share
from simulations.tuning import FRESH, SHAPES, profile

TRIALS, SEEDS = 16, 3


def searches(random: Random, studies: int) -> Iterator[Row]:
    """Two or five levels, 16 trials with 3 seeds, 10 fresh seeds; the noise of all but the first level is larger."""
    for levels, noise, shape in itertools.product((2, 5), (1, 3), SHAPES):
        what = f"{levels} levels, {TRIALS} trials, noise 1 : {noise}, {shape}: false winner"
        wrong = partial(_concludes_wrongly, random, levels, noise, shape)
        yield Row("searched", what, share(studies, wrong), studies, (0, 5))


def find(random: Random, studies: int) -> Iterator[Row]:
    """One of two levels is better by two deviations of the noisier level's runs: how often the verdict says so."""
    for noise in (1, 3):
        what = (
            f"2 levels, {TRIALS} trials, noise 1 : {noise}, graded: a difference of 2 deviations of the larger is found"
        )
        found = partial(_finds, random, noise)
        yield Row("searched", what, share(studies, found), studies, (80, 100))


def _search(
    random: Random, truth: dict[str, np.ndarray], scale: dict[str, float]
) -> dict[str, tuple[float, list[str]]]:
    """Search and judge levels with true means by trial; return each one's chosen truth, and which levels it beats."""
    searched = tuned(dict.fromkeys(truth, TRIALS), SEEDS)
    outcomes = outcomes_of(searched, np.array([_draw(random, run, truth, scale) for run in searched.values()]))
    factors = factors_of(searched.values())
    (contest,) = contests(searched, outcomes, factors, "optim", 1)
    (by_level,) = contest.entries.values()
    runs: Runs = {}
    for level, entry in by_level.items():
        assert entry.chosen is not None
        given = {"optim.lr": entry.chosen[0]}
        for seed in FRESH:
            choices = {**CHOICES, "optim": str(level)}
            runs[f"{level}{seed}"] = Described(choices, dict(given), dict(given), seed, confirms=True)
    fresh = outcomes_of(runs, np.array([_draw(random, run, truth, scale) for run in runs.values()]))
    results = decide([analyse(c, 1, False) for c in searched_contests(runs, fresh, [contest])], 1, None, 0.0)
    beaten: dict[str, list[str]] = {level: [] for level in truth}
    for pair in results[0].pairs:
        if pair.verdict in (Verdict.BETTER, Verdict.WORSE):
            a, b = (pair.a, pair.b) if pair.verdict == Verdict.BETTER else (pair.b, pair.a)
            beaten[str(a)].append(str(b))
    chosen = {str(level): entry.chosen[0] for level, entry in by_level.items() if entry.chosen is not None}
    return {level: (float(truth[level][_place(chosen[level])]), beaten[level]) for level in truth}


def _draw(random: Random, run: Described, truth: dict[str, np.ndarray], scale: dict[str, float]) -> float:
    level = run.choices["optim"]
    return float(truth[level][_place(run.flat["optim.lr"])] + scale[level] * random.normal())


def _place(rate: object) -> int:
    """Return which trial a learning rate was; see `tuned`."""
    assert isinstance(rate, float)
    return round(-np.log10(rate))


def _concludes_wrongly(random: Random, levels: int, noise: float, shape: str) -> bool:
    """Say whether a level is called better whose chosen setting is not better than that of the other."""
    scale = {f"o{i}": 1.0 if i == 0 else noise for i in range(levels)}
    truth = {name: profile(shape, TRIALS, scale[name], name != "o0") for name in scale}
    found = _search(random, truth, scale)
    return any(found[level][0] <= found[other][0] for level in found for other in found[level][1])


def _finds(random: Random, noise: float) -> bool:
    scale = {"o0": 1.0, "o1": noise}
    truth = {name: profile("graded", TRIALS, scale[name], name != "o0") for name in scale}
    truth["o0"] = truth["o0"] + 2 * noise
    return "o1" in _search(random, truth, scale)["o0"][1]


PARTS: dict[str, Callable[[Random, int], Iterator[Row]]] = {"searches": searches, "searches_find": find}
