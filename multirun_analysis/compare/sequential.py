"""Bounds for seeds that are added in looks: what a p value is worth if one has looked before, and may look again.

A level a is spent as a t² over the information t, the share of the most seeds (Kim and DeMets 1987). Bounds are
computed for normal statistics and used as levels of p values, so that they serve t tests too: the significance level
approach of Jennison and Turnbull (2000, 11.4), with a factor for what t statistics of few seeds have more of chance.
"""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.special import ndtr, stdtr

from multirun_analysis.compare.inference import ALPHA

RHO = 2.0  # the power of the information
TABLE = tuple(np.geomspace(1e-14, 0.999, 64).tolist())  # levels between which repeated p values are interpolated
NODES = 2  # of a quadrature, over a deviation of what is added between two looks
FARTHEST = 9.0  # standard deviations; no normal number lies beyond
HALVINGS = 50  # of the interval of a bound
SIMULATED = 200_000  # pairs of equal levels, for the factor


@dataclass(frozen=True)
class Look:
    """A look at a study: how much of its error rate may be spent by then.

    Attributes:
        seeds: how many seeds there are at each look of the study, increasing.
        number: which look it is, counted from 1; 0 before the first one, when nothing may be concluded.
        factor: see `find_factor`.
    """

    seeds: tuple[int, ...]
    number: int
    factor: float

    @property
    def level(self) -> float:
        """The confidence level of an interval at this look, so that those of all looks hold together in 95 %."""
        return 1 - nominal_levels(self.seeds, ALPHA / self.factor)[max(self.number, 1) - 1]

    def adjust(self, p: float) -> float:
        """Compute the repeated p value of a two-sided p; NaN stays NaN.

        The least level at which p is significant at this look. Whenever one stops, it is at most a with a probability
        of at most a if the hypothesis is true (Jennison and Turnbull 2000, 9.1), so Holm's correction holds for it.
        """
        if math.isnan(p):
            return p
        if self.number == 0:
            return 1.0
        levels = _levels(self.seeds, TABLE)[self.number - 1]
        if p <= levels[0]:
            return float(self.factor * TABLE[0] * p / levels[0])
        if p >= levels[-1]:
            return 1.0
        return min(1.0, self.factor * math.exp(np.interp(math.log(p), np.log(levels), np.log(TABLE))))

    def adjust_one_sided(self, p: float) -> float:
        """Compute the repeated p value of a one-sided p: of two bounds each takes half."""
        return self.adjust(2 * p) / 2 if p < 0.5 else p if math.isnan(p) else 1.0


@dataclass(frozen=True)
class Looks:
    """The looks of a study, fixed before its first run.

    Attributes:
        seeds: all seeds, in the order in which they are added.
        at: how many of them there are at each look, increasing; the last one has all of them.
        factor: see `find_factor`.
        taken: how many looks have been taken.
    """

    seeds: tuple[Hashable, ...]
    at: tuple[int, ...]
    factor: float
    taken: int

    @property
    def judged(self) -> tuple[Hashable, ...]:
        """The seeds that may be judged: those of the looks that have been taken."""
        return self.seeds[: self.at[self.taken - 1]] if self.taken else ()

    def find_look(self, seeds: Iterable[Hashable]) -> Look:
        """Find the look at which data with these seeds were first complete: levels that are out have fewer."""
        last = max((self.seeds.index(seed) for seed in seeds if seed in self.seeds), default=0) + 1
        number = next(k for k, n in enumerate(self.at, 1) if n >= last)
        return Look(self.at, min(number, self.taken), self.factor)


def nominal_levels(seeds: Sequence[int], alpha: float) -> tuple[float, ...]:
    """Compute the levels at which a two-sided p value is significant at each look, `alpha` over all of them."""
    return tuple(_levels(tuple(seeds), (alpha,))[:, 0].tolist())


@cache
def find_factor(seeds: tuple[int, ...]) -> float:
    """Find the factor by which t statistics cross bounds of normal ones more often at a level of 0.05.

    The fewer the seeds of the first looks, the less alike are t statistics from look to look. By simulating pairs of
    equal levels, always with the same random numbers; a standard error of 1 %.
    """
    random = np.random.default_rng(0)
    crossed = np.zeros(SIMULATED, dtype=bool)
    total, squares = np.zeros(SIMULATED), np.zeros(SIMULATED)
    for n, added, level in zip(seeds, np.diff(seeds, prepend=0), nominal_levels(seeds, ALPHA), strict=True):
        new = random.normal(size=SIMULATED) * math.sqrt(added)
        within = random.chisquare(added - 1, SIMULATED) if added > 1 else 0.0
        total, squares = total + new, squares + within + new**2 / added
        t = total / np.sqrt(n * (squares - total**2 / n) / (n - 1))
        crossed |= 2 * stdtr(n - 1, -abs(t)) < level
    return max(1.0, float(crossed.mean()) / ALPHA)


@cache
def _levels(seeds: tuple[int, ...], alphas: tuple[float, ...]) -> np.ndarray:
    """Compute the nominal two-sided levels (looks, A) of overall levels (A,)."""
    information = np.array(seeds) / seeds[-1]
    spent = np.array(alphas) * information[:, None] ** RHO
    return np.asarray(2 * ndtr(-find_bounds(information, np.diff(spent, axis=0, prepend=0.0))))


def find_bounds(information: np.ndarray, crossing: np.ndarray) -> np.ndarray:
    """Find bounds of |Z| (looks, A), each first crossed at a look with the probabilities `crossing` (looks, A).

    Z is normal, and Z sqrt(t) has independent increments over the information t (looks,). By the recursive integration
    of Armitage, McPherson and Rowe (1969), over Gauss-Legendre nodes of the region that has not been left.
    """
    root, step = np.sqrt(information), np.sqrt(np.diff(information, prepend=0.0))
    unit, weights = np.polynomial.legendre.leggauss(math.ceil(NODES * 2 * FARTHEST / step.min()))
    bounds = np.empty_like(crossing)
    at = np.zeros((crossing.shape[1], 1))  # where Z sqrt(t) may have been at the look before, (A, nodes)
    mass = np.ones_like(at)
    for k, target in enumerate(crossing):
        low, high = np.zeros(len(target)), np.full(len(target), FARTHEST)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            edge = middle[:, None] * root[k]
            left = (mass * (ndtr((-edge - at) / step[k]) + ndtr((at - edge) / step[k]))).sum(axis=1)
            low, high = np.where(left > target, middle, low), np.where(left > target, high, middle)
        bounds[k] = high
        nodes = high[:, None] * root[k] * unit
        density = np.exp(-(((nodes[:, :, None] - at[:, None, :]) / step[k]) ** 2) / 2)
        density /= step[k] * math.sqrt(2 * math.pi)
        at, mass = nodes, high[:, None] * root[k] * weights * (density * mass[:, None, :]).sum(axis=2)
    return bounds
