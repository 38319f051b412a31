"""Count how often a spike is found in losses without one: heavy-tailed noise about a falling mean.

    python benchmarks/spikes.py [--runs N] [--steps N]

Prints a row for each distribution of a batch's loss: runs with a finding by src/paribus/diagnosis/steps.py, and by
single high losses (3 of them, and one in 1,000 steps, beyond 6 standard deviations).
"""

import argparse
from collections.abc import Callable, Mapping

import numpy as np

from paribus.diagnosis.steps import DEVIATIONS, WINDOW, locate_spikes

Draw = Callable[[np.random.Generator, int], np.ndarray]
NOISE: Mapping[str, Draw] = {
    "squared error, a sample a batch": lambda random, n: random.chisquare(1, n),
    "squared error, 2 samples a batch": lambda random, n: random.chisquare(2, n) / 2,
    "squared error, 8 samples a batch": lambda random, n: random.chisquare(8, n) / 8,
    "squared error, 64 samples a batch": lambda random, n: random.chisquare(64, n) / 64,
    "log-normal, sigma 1": lambda random, n: random.lognormal(0, 1, n),
    "log-normal, sigma 2": lambda random, n: random.lognormal(0, 2, n),
    "1 % of the batches 100 times as high": lambda random, n: (
        np.where(random.random(n) < 0.01, 100, 1) * random.chisquare(8, n) / 8
    ),
}


def find_single_losses(losses: np.ndarray) -> bool:
    """Return whether single high losses are as many as 3, and one in 1,000 steps."""
    before = np.lib.stride_tricks.sliding_window_view(losses, WINDOW)[:-1]
    high = losses[WINDOW:] > before.mean(1) + DEVIATIONS * before.std(1)
    return bool(high.sum() >= max(3, len(losses) / 1000))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args()
    random, n = np.random.default_rng(1), options.steps
    fall = 1 + 9 * np.exp(-20 * np.arange(n) / n)  # from 10 to 1
    print("| loss of a batch | runs | with a spike | by single losses |\n| --- | ---: | ---: | ---: |")
    for name, draw in NOISE.items():
        runs = [fall * draw(random, n) for _ in range(options.runs)]
        spikes, single = sum(len(locate_spikes(run)) > 0 for run in runs), sum(map(find_single_losses, runs))
        print(f"| {name} | {len(runs)} | {spikes} | {single} |", flush=True)


if __name__ == "__main__":
    main()
