"""Studies made up, whose truth is known, and what the analysis says of them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from multirun_analysis.compare.confirmation import setting_contest
from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.results import Result
from multirun_analysis.compare.sequential import Looks
from multirun_analysis.records.described import Described, factors_of

CHOICES = {"model": "mlp", "data": "images", "activation": "a0", "optim": "o0", "scheduler": "s0"}
PLAIN = ("activation", "optim", "scheduler")
SEEDS = (3, 5, 10)
Runs = dict[str, Described]
Random = np.random.Generator


def crossed(sizes: Sequence[int], keys: Sequence[str], seeds: int) -> tuple[Runs, np.ndarray]:
    """Make the runs of a grid; and the level of each factor of each run, (runs, factors), with the seed last."""
    runs: Runs = {}
    places = []
    for combination in itertools.product(*map(range, sizes), range(seeds)):
        choices, given = dict(CHOICES), {}
        for key, level in zip(keys, combination[:-1], strict=False):
            if key in choices:
                choices[key] = f"{key}{level}"
            else:
                given[key] = 10.0 ** (-level - 1)
        runs[f"run{len(runs)}"] = Described(choices, dict(given), dict(given), combination[-1])
        places.append(combination)
    return runs, np.array(places)


def tuned(trials: Mapping[str, int], seeds: int) -> Runs:
    """Make the runs of optimizers that tried so many learning rates each."""
    runs: Runs = {}
    for optim, count in trials.items():
        for trial, seed in itertools.product(range(count), range(seeds)):
            given = {"optim.lr": 10.0**-trial}
            runs[f"run{len(runs)}"] = Described({**CHOICES, "optim": optim}, dict(given), dict(given), seed)
    return runs


def outcomes_of(runs: Runs, values: np.ndarray) -> dict[str, Outcome]:
    return {
        name: Outcome(name, run.replicate, float(value), float(value))
        for (name, run), value in zip(runs.items(), values, strict=True)
    }


def judge(
    runs: Runs,
    values: np.ndarray,
    margin: float | None = None,
    confirmed: bool = False,
    sign: int = 1,
    loss: bool = False,
    looks: Looks | None = None,
) -> list[Result]:
    """Judge a study by the analysis.

    Args:
        confirmed: whether the runs are a confirmation, of which whole settings are compared too.
        sign: 1 where higher values are better, -1 where lower ones are.
        looks: at which the seeds were added.
    """
    outcomes, factors = outcomes_of(runs, values), factors_of(runs.values())
    found = [c for factor in factors for c in contests(runs, outcomes, factors, factor, sign, loss)]
    settings = setting_contest(runs, outcomes, factors) if confirmed else None
    found += [] if settings is None else [settings]
    found = [replace(contest, looks=looks) for contest in found]
    return decide([analyse(c, sign, loss) for c in found], sign, margin, 0.0)


def concludes(results: Sequence[Result]) -> bool:
    return any(result.concluded for result in results)
