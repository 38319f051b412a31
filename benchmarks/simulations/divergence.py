"""Levels and trials that diverge: never ranked where they always do, and no reason to conclude anything by chance."""

from collections.abc import Iterator, Sequence

import numpy as np

from multirun_analysis.compare.inference import ALPHA
from multirun_analysis.compare.results import Result, Verdict
from simulations.made_studies import PLAIN, SEEDS, Random, Runs, crossed, judge, tuned
from simulations.rows import Row, share


def divergence(random: Random, studies: int) -> Iterator[Row]:
    """Of equal levels one always diverges, the others in 5 % of their runs."""
    for sizes, seeds in (((3,), 3), ((3,), 5), ((3,), 10), ((3, 3), 3), ((3, 3), 5)):
        runs, places = crossed(sizes, PLAIN, seeds)
        always = places[:, 0] == 0
        found = [judge(runs, _values(random, always, 0.05)) for _ in range(studies)]
        name = f"{' x '.join(map(str, sizes))} levels, {seeds} seeds, one always diverges"
        rows = ((_is_ranked, "it is ranked", (0.0, 0.0)), (_is_wrong, "false winner of the others", (0.0, 5.0)),
                (_is_decided, "decided that it diverges", None))  # fmt: skip
        for happens, what, required in rows:
            rate = 100 * sum(happens(results, "activation0") for results in found) / studies
            yield Row("divergence", f"{name}: {what}", rate, studies, required)
    for seeds in SEEDS:  # of three learning rates of each level the largest
        runs = tuned({"a": 3, "b": 3}, seeds)
        always = np.array([run.given["optim.lr"] == 1.0 for run in runs.values()])

        def chosen(runs: Runs = runs, always: np.ndarray = always) -> bool:
            return _chooses(judge(runs, _values(random, always, 0.05)), 1.0)

        yield Row("divergence", f"3 : 3 trials, {seeds} seeds, one always diverges: it is chosen",
                  share(studies, chosen), studies, (0, 0))  # fmt: skip
    for seeds in SEEDS:
        runs, places = crossed((2,), PLAIN, seeds)

        def loses(runs: Runs = runs, places: np.ndarray = places, seeds: int = seeds) -> bool:
            good, once = places[:, 0] == 0, (places[:, 0] == 0) & (places[:, -1] == 0)
            values = np.where(once, -np.inf, random.normal(size=len(runs)) + np.where(good, 10, 0))
            best = next(r for r in judge(runs, values) if r.factor == "activation").best
            return best is None or best.level != "activation0"

        what = f"10 deviations ahead, one of {seeds} seeds diverges: ranked below"
        yield Row("divergence", what, share(studies, loses), studies, (0, 0))


def _values(random: Random, always: np.ndarray, chance: float) -> np.ndarray:
    broken = always | (random.random(len(always)) < chance)
    return np.where(broken, -np.inf, random.normal(size=len(always)))


def _is_ranked(results: Sequence[Result], level: str) -> bool:
    """Whether a level is called usable, stands in a pair, or is named as the best."""
    mine = [r for r in results if r.factor == "activation"]
    return any(level in {row.level for row in r.usable} or any(level in (p.a, p.b) for p in r.pairs) for r in mine)


def _is_wrong(results: Sequence[Result], level: str) -> bool:
    """Whether anything is concluded, but of how often this level diverges."""
    pairs = any(p.verdict in (Verdict.BETTER, Verdict.WORSE) for r in results for p in r.pairs)
    return pairs or any(t.p_adjusted < ALPHA and level not in (t.a, t.b) for r in results for t in r.divergence)


def _is_decided(results: Sequence[Result], level: str) -> bool:
    return any(t.p_adjusted < ALPHA and level in (t.a, t.b) for r in results for t in r.divergence)


def _chooses(results: Sequence[Result], rate: float) -> bool:
    contest = next(r.contest for r in results if r.factor == "optim")
    return any(entry.chosen == (rate,) for by_level in contest.entries.values() for entry in by_level.values())
