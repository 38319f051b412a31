"""Levels equal in every epoch, whose curves jitter unlike."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from multirun_analysis.records.run_statistics import compute_statistics
from simulations.made_studies import PLAIN, SEEDS, Random, crossed, judge
from simulations.rows import Row


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
    return compute_statistics(metrics, table)
