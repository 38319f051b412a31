"""The fewest seeds with which any rule of stopping can tell two levels: python benchmarks/fewest_seeds.py

A bound for until=decided: the noise is known, there is a look at each seed, and the rule may give up. Of all rules with
a one-sided error of 2.5 % and a power of 80 %, the one with the fewest seeds on average at the true difference is a
Bayes rule, which dynamic programming finds (Barber and Jennison 2002). Printed beside the fixed design of that power.
"""

import argparse
import math

import numpy as np
from scipy.stats import norm

ERROR, POWER = 0.025, 0.8
HALVINGS = 20
GRID = np.arange(-14, 26, 0.1)  # of the sum of differences, in their deviations
STEP = 0.1
Policy = list[np.ndarray]  # by seed: 0 go on, 1 give up, 2 call the level better; at each point of GRID


def find_policy(effect: float, most: int, false: float, missed: float) -> Policy:
    """Find the rule that minimises the seeds at the true effect plus the prices of a false and of a missed winner."""
    moves = norm.pdf(GRID[None, :] - GRID[:, None]) * STEP
    policy: Policy = []
    ahead = np.zeros_like(GRID)
    for n in range(most, 0, -1):
        ratio = np.exp(effect * GRID - n * effect**2 / 2)
        stop = np.minimum(missed * ratio, false)
        go_on = np.full_like(GRID, np.inf) if n == most else ratio + moves @ ahead
        policy.append(np.where(go_on < stop, 0, np.where(missed * ratio < false, 1, 2)))
        ahead = np.minimum(stop, go_on)
    return policy[::-1]


def evaluate(policy: Policy, effect: float) -> tuple[float, float]:
    """Compute how often a rule calls the level better, and how many seeds it takes on average."""
    moves = norm.pdf(GRID[None, :] - GRID[:, None] - effect) * STEP
    density, better, seeds = norm.pdf(GRID - effect) * STEP, 0.0, 0.0
    for n, decided in enumerate(policy):
        density = density @ moves if n else density
        seeds += float(density.sum())
        better += float(density[decided == 2].sum())
        density = np.where(decided == 0, density, 0)
    return better, seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--effect", type=float, default=math.sqrt(0.5), help="in deviations of the differences")
    parser.add_argument(
        "--most", type=int, default=18, help="seeds; 18 of a known noise are worth 20 of an unknown one"
    )
    options = parser.parse_args()
    missed = [1.0, 300.0]
    for _ in range(HALVINGS):
        price, false = math.sqrt(missed[0] * missed[1]), [1.0, 1e5]
        for _ in range(HALVINGS):
            policy = find_policy(options.effect, options.most, math.sqrt(false[0] * false[1]), price)
            false[0 if evaluate(policy, 0.0)[0] > ERROR else 1] = math.sqrt(false[0] * false[1])
        power, seeds = evaluate(policy, options.effect)
        missed[0 if power < POWER else 1] = price
    fixed = ((norm.ppf(1 - ERROR) + norm.ppf(POWER)) / options.effect) ** 2
    print(
        f"power {power:.3f}: {seeds:.1f} seeds on average, {fixed:.1f} of a fixed design: {1 - seeds / fixed:.1%} fewer"
    )


if __name__ == "__main__":
    main()
