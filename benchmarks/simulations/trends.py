"""Ordered factors, and seeds crossed with splits."""

import itertools
from collections.abc import Iterator

import numpy as np

from multirun_analysis.compare.inference import estimate_replicates
from simulations.made_studies import SEEDS, Random, Runs, concludes, crossed, judge
from simulations.rows import Row, share


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
            low, high = estimate_replicates(table.ravel(), labels).interval
            return low < 0 < high

        n = 5 * studies
        yield Row("coverage", f"{rows} x {columns}, variance in {where}", share(n, covers), n, (93, 97))
