"""What the verdict says, held against simulations whose truth is known: python benchmarks/verdicts.py

Each row is a claim of docs/verdict.md: the share of simulated studies, its standard error, and the range that it has to
lie in. The functions that are called are those of the analysis. Exit code 1 where a rate lies outside by more than
three standard errors.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from multirun_analysis.compare.contests import contests
from multirun_analysis.compare.design import Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.inference import estimate_replicates
from multirun_analysis.compare.results import Result, Verdict
from multirun_analysis.records.described import Described, factors_of
from multirun_analysis.records.run_figures import figures_of_curves
from paribus.terminal import make_console

CHOICES = {"model": "mlp", "data": "images", "activation": "a0", "optim": "o0", "scheduler": "s0"}
PLAIN = ("activation", "optim", "scheduler")
SEEDS = (3, 5, 10)
LARGE = 400  # runs; of larger studies a tenth is simulated
Runs = dict[str, Described]
Random = np.random.Generator


@dataclass(frozen=True)
class Row:
    """What came of a simulation: rates in per cent, and the range that is required, or None where it is a finding."""

    part: str
    what: str
    rate: float
    studies: int
    required: tuple[float, float] | None

    @property
    def error(self) -> float:
        share = min(max(self.rate / 100, 1 / self.studies), 1 - 1 / self.studies)
        return 100 * math.sqrt(share * (1 - share) / self.studies)

    @property
    def met(self) -> bool:
        if self.required is None:
            return True
        low, high = self.required
        return low - 3 * self.error <= self.rate <= high + 3 * self.error


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


def judge(runs: Runs, values: np.ndarray, margin: float | None = None) -> list[Result]:
    """Judge a study by the analysis, higher values being better."""
    outcomes = {
        name: Outcome(name, run.replicate, float(value), float(value))
        for (name, run), value in zip(runs.items(), values, strict=True)
    }
    factors = factors_of(runs.values())
    found = [c for factor in factors for c in contests(runs, outcomes, factors, factor, 1)]
    return decide([analyse(c, 1, False) for c in found], 1, margin, 0.0)


def share(studies: int, happens: Callable[[], bool]) -> float:
    return 100 * sum(happens() for _ in range(studies)) / studies


def concludes(results: Sequence[Result]) -> bool:
    return any(result.concluded for result in results)


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


def jitter(random: Random, studies: int) -> Iterator[Row]:
    """Two levels equal in every epoch, one of which jitters more: false winners by each figure of a run.

    Runs differ by a deviation of 0.3 points.
    """
    cases: list[tuple[str, int, float, bool]] = [
        *(("jitter 0.1 : 0.4, of the samples", seeds, 0.0, False) for seeds in SEEDS),
        ("the same, autocorrelation 0.7", 5, 0.7, False),
        *(("jitter 0.1 : 0.4, of the network", seeds, 0.0, True) for seeds in SEEDS),
    ]
    for what, seeds, correlation, of_network in cases:
        yield from _jitter(random, studies, what, seeds, (0.1, 0.4), (30, 30), correlation, of_network)
    yield from _jitter(random, studies, "plateau of 10 : 30 epochs", 10, (0.2, 0.2), (10, 30), 0.0, False)


def _jitter(
    random: Random, studies: int, what: str, seeds: int, jitters: tuple[float, float], epochs: tuple[int, int],
    correlation: float, of_network: bool,
) -> Iterator[Row]:  # fmt: skip
    runs, places = crossed((2,), PLAIN, seeds)
    found: dict[str, list[bool]] = {"best": [], "settled": [], "selected": []}
    for _ in range(studies):
        rows = []
        for level, _ in places:
            folds = _curves(random, epochs[level], jitters[level] / 100, correlation, of_network)
            rows.append(_figures(folds + 0.9 + 0.003 * random.normal()))
        for figure, mine in found.items():
            results = judge(runs, np.array([row[f"{figure}_val_acc"] for row in rows]))
            noisier = "activation1"
            mine.append(any(result.winner == noisier for result in results))
    for figure, mine in found.items():
        free = figure == "best" or (figure == "selected" and of_network)
        rate = 100 * float(np.mean(mine))
        yield Row("curves", f"{what}, {seeds} seeds: {figure}", rate, studies, None if free else (0, 5))


def _curves(random: Random, epochs: int, jitter: float, correlation: float, of_network: bool) -> np.ndarray:
    """Deviations of the accuracy by epoch and fold (epochs, 5); over all samples with the deviation `jitter`."""
    noise = random.normal(size=(epochs, 1 if of_network else 5)) * jitter * (1 if of_network else math.sqrt(5))
    for i in range(1, epochs):
        noise[i] = correlation * noise[i - 1] + math.sqrt(1 - correlation**2) * noise[i]
    return np.broadcast_to(noise, (epochs, 5))


def _figures(folds: np.ndarray) -> dict[str, float]:
    epochs = np.arange(1, len(folds) + 1)
    metrics = pd.DataFrame({"epoch": epochs, "step": epochs, "val/loss": 1 - folds.mean(1), "val/acc": folds.mean(1)})
    table = pd.DataFrame(
        {"epoch": np.repeat(epochs, 5), "fold": np.tile(np.arange(1, 6), len(folds)), "samples": 1000,
         "val/loss": 1 - folds.ravel(), "val/acc": folds.ravel()}
    )  # fmt: skip
    return figures_of_curves(metrics, table)


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


def profile(shape: str, trials: int, noise: float, other: bool) -> np.ndarray:
    """The true means (trials,) of a level's learning rates, the best of them 0."""
    if shape == "tied" or (shape == "mixed" and other):
        return np.zeros(trials)
    near = 1 if shape == "mixed" else 2
    return -0.7 * noise * np.arange(trials) if shape == "graded" else np.where(np.arange(trials) < near, 0, -8 * noise)


def tuning(random: Random, studies: int) -> Iterator[Row]:
    """No level is better, each takes its best learning rate, chosen by the same runs; and confirmed on fresh seeds."""
    for (a, b), noise, shape in itertools.product(((3, 3), (5, 20), (2, 8)), (1, 4), ("tied", "graded", "mixed")):
        for seeds in (3, 10):
            runs = tuned({"a": a, "b": b}, seeds)
            means = np.concatenate([np.repeat(profile(shape, a, 1, False), seeds),
                                    np.repeat(profile(shape, b, noise, True), seeds)])  # fmt: skip
            scale = np.where([run.choices["optim"] == "b" for run in runs.values()], noise, 1)

            def happens(runs: Runs = runs, means: np.ndarray = means, scale: np.ndarray = scale) -> bool:
                results = judge(runs, means + random.normal(size=len(scale)) * scale)
                return any(r.concluded for r in results if r.factor == "optim")

            what = f"{a} : {b} trials, noise 1 : {noise}, {shape}, {seeds} seeds"
            yield Row("tuned", what, share(studies, happens), studies, (0, 5))
    for noise in (1, 4):  # whatever was chosen before, fresh seeds know nothing of it
        runs, places = crossed((2,), PLAIN, 10)
        scale = np.where(places[:, 0] == 1, noise, 1)

        def confirmed(runs: Runs = runs, scale: np.ndarray = scale) -> bool:
            return concludes(judge(runs, random.normal(size=len(scale)) * scale))

        yield Row("confirmed", f"10 fresh seeds, noise 1 : {noise}", share(studies, confirmed), studies, (0, 5))


def splits(random: Random, studies: int) -> Iterator[Row]:
    """Seeds crossed with splits: how often the 95 % interval of the mean holds the truth."""
    for (rows, columns), where in itertools.product(((5, 5), (3, 10), (5, 20)), ("seeds", "splits", "both")):

        def covers(rows: int = rows, columns: int = columns, where: str = where) -> bool:
            table = 0.3 * random.normal(size=(rows, columns))
            if where in ("seeds", "both"):
                table = table + random.normal(size=(rows, 1))
            if where in ("splits", "both"):
                table = table + random.normal(size=(1, columns))
            labels = list(itertools.product(range(rows), range(columns)))
            low, high = estimate_replicates(
                table.ravel(), [f"seed{i}" for i, _ in labels], [f"split{j}" for _, j in labels]
            ).interval
            return low < 0 < high

        n = 5 * studies
        yield Row("coverage", f"{rows} x {columns}, variance in {where}", share(n, covers), n, (93, 97))


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


def trends(random: Random, studies: int) -> Iterator[Row]:
    """An ordered factor: null, a slope, and the interval of an optimum where the response is quadratic."""
    for seeds in SEEDS:
        runs, places = crossed((7,), ("optim.lr",), seeds)
        x = places[:, 0] - 3.0
        optima: list[bool] = []

        def null_(runs: Runs = runs) -> bool:
            return concludes(judge(runs, random.normal(size=len(runs))))

        def slope(runs: Runs = runs, x: np.ndarray = x) -> bool:
            return any(r.trend is not None and r.trend.shown for r in judge(runs, x + random.normal(size=len(x))))

        def optimum(runs: Runs = runs, x: np.ndarray = x, optima: list[bool] = optima) -> bool:
            trend = judge(runs, -((x - 0.4) ** 2) + random.normal(size=len(x)))[0].trend
            if trend is None or trend.optimum is None:
                return False
            optima.append(trend.optimum[1] <= 10 ** (-1 - 3.4) <= trend.optimum[2])
            return True

        yield Row("trend", f"7 learning rates, {seeds} seeds, no effect", share(studies, null_), studies, (0, 5))
        yield Row("trend", f"{seeds} seeds, 1 deviation a level: shown", share(studies, slope), studies, None)
        share(studies, optimum)
        yield Row(
            "trend", f"{seeds} seeds, optimum within its interval", 100 * float(np.mean(optima)), len(optima), None
        )


PARTS: Mapping[str, Callable[[Random, int], Iterator[Row]]] = {
    f.__name__: f for f in (null, interactions, jitter, power, tuning, splits, equivalence, trends)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a row; of large grids a tenth")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console, failed = make_console(width=160), 0
    console.print(
        "| part | what | required | measured | studies | |\n| --- | --- | ---: | ---: | ---: | --- |", soft_wrap=True
    )
    for name in options.only:
        for row in PARTS[name](np.random.default_rng(options.seed), options.studies):
            required = "" if row.required is None else f"{row.required[0]:g} to {row.required[1]:g} %"
            failed += not row.met
            told = "" if row.required is None else "met" if row.met else "NOT MET"
            measured = f"{row.rate:.1f} ± {row.error:.1f} %"
            line = f"| {row.part} | {row.what} | {required} | {measured} | {row.studies} | {told} |"
            console.print(line, soft_wrap=True)
    if failed:
        sys.exit(f"{failed} rates are outside of what is required.")


if __name__ == "__main__":
    main()
