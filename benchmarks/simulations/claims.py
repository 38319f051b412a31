"""Claims whose truth lies at the boundary: how often they are answered wrongly."""

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

from multirun_analysis.compare.claims import Answer, judge_claim
from multirun_analysis.compare.metric import Metric
from multirun_analysis.compare.results import Result
from simulations.made_studies import PLAIN, SEEDS, Random, Runs, crossed, judge, tuned
from simulations.rows import Row

SCORE, LOSS = Metric("settled_score"), Metric("settled_val_loss")  # compared as differences, and as ratios
WRONG = (Answer.HOLDS, Answer.REFUTED)


def claims(random: Random, studies: int) -> Iterator[Row]:
    """The difference is the one that is claimed: each answer but "undecided" in at most 5 % of studies."""
    for sizes, seeds, op in itertools.product(((2,), (2, 2, 2), (6,)), SEEDS, (">=", "==")):
        runs, places = crossed(sizes, PLAIN, seeds)
        gap = np.where(places[:, 0] == 0, 0.5, 0)

        def study(runs: Runs = runs, gap: np.ndarray = gap) -> list[Result]:
            return judge(runs, random.normal(size=len(runs)) + gap)

        claim = f"activation: activation0 {op} activation1 {'+-' if op == '==' else '+'} 0.5"
        name = " x ".join(map(str, sizes)) if len(sizes) > 1 else f"1 x {sizes[0]}"
        yield from _answers(study, SCORE, claim, f"{name}, {seeds} seeds: {op}", studies)
    for seeds in SEEDS:  # log-normal with a deviation of 30 %, and a margin in their unit
        runs, places = crossed((2,), PLAIN, seeds)
        centre = np.where(places[:, 0] == 0, math.log(5), 0)

        def losses(runs: Runs = runs, centre: np.ndarray = centre) -> list[Result]:
            return judge(runs, np.exp(centre + 0.3 * random.normal(size=len(runs))), sign=-1, loss=True)

        claim = "activation: activation0 <= activation1 + 4"
        yield from _answers(losses, LOSS, claim, f"losses 5 : 1, {seeds} seeds: <=", studies)


def tuned_claims(random: Random, studies: int) -> Iterator[Row]:
    """A level that took the best of 8 equal trials is ahead of, or behind, one that took the best of 2, as claimed."""
    for seeds, noise, gap in itertools.product((3, 10), (1, 4), (3, -3)):
        runs = tuned({"a": 2, "b": 8}, seeds)
        is_b = np.array([run.choices["optim"] == "b" for run in runs.values()])
        scale, shift = np.where(is_b, noise, 1), np.where(is_b, gap, 0)

        def study(runs: Runs = runs, scale: np.ndarray = scale, shift: np.ndarray = shift) -> list[Result]:
            return judge(runs, random.normal(size=len(runs)) * scale + shift)

        what = f"best of 8 {'ahead of' if gap > 0 else 'behind'} best of 2, noise 1 : {noise}, {seeds} seeds: >="
        claim = f"optim: b >= a {'+' if gap > 0 else '-'} {abs(gap)}"
        yield from _answers(study, SCORE, claim, what, studies)


def _answers(study: Callable[[], list[Result]], metric: Metric, claim: str, what: str, studies: int) -> Iterator[Row]:
    found = [judge_claim(study(), metric, claim).answer for _ in range(studies)]
    for answer in WRONG:
        rate = 100 * found.count(answer) / studies
        yield Row("claim", f"{what} {answer}", rate, studies, (0, 5))
