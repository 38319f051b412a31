"""Share the variance of a result out among the sources of randomness whose seeds were crossed: the noise budget."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.records.described import Described
from multirun_analysis.records.replicates import seed_effects

Effects = frozenset[int]  # axes of a table
DRAWS = 20_000


@dataclass(frozen=True)
class NoiseShare:
    """A share of the variance, from 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class NoiseBudget:
    """The noise budget of crossed seeds.

    Attributes:
        sources: the names of each random effect, such as "split" or "weights and dropout".
        levels: the number of seeds of each.
        settings: the number of settings whose sums of squares are pooled.
        alone: for each source, the share of the variance that it causes by itself (Sobol's first-order index).
        total: for each source, the share of all effects that it takes part in (total index); they overlap.
        combined: the share that sources cause in combination only.
        deviation: the standard deviation of the result over all sources, in the unit of the metric.
    """

    sources: tuple[str, ...]
    levels: tuple[int, ...]
    settings: int
    alone: tuple[NoiseShare, ...]
    total: tuple[NoiseShare, ...]
    combined: NoiseShare
    deviation: float


def mean_squares(tables: np.ndarray) -> dict[Effects, tuple[float, int]]:
    """Compute the mean square and degrees of freedom of each effect of crossed tables (settings, l_1, ..., l_k).

    An effect is a set of axes, counted from 0: {0} is the first source by itself, {0, 1} its interaction with the
    second. Sums of squares and degrees of freedom are pooled over settings.
    """
    levels = tables.shape[1:]
    found: dict[Effects, tuple[float, int]] = {}
    residual: dict[Effects, np.ndarray] = {frozenset(): tables.mean(axis=tuple(range(1, tables.ndim)), keepdims=True)}
    for size in range(1, len(levels) + 1):
        for axes in combinations(range(len(levels)), size):
            others = tuple(1 + i for i in range(len(levels)) if i not in axes)
            below = [residual[frozenset(part)] for n in range(size) for part in combinations(axes, n)]
            effect = tables.mean(axis=others, keepdims=True) - sum(below)
            residual[frozenset(axes)] = effect
            df = len(tables) * math.prod(levels[i] - 1 for i in axes)
            repeats = math.prod(levels[i] for i in range(len(levels)) if i not in axes)
            found[frozenset(axes)] = float((effect**2).sum()) * repeats / df, df
    return found


def components(squares: Mapping[Effects, np.ndarray], levels: Sequence[int]) -> dict[Effects, np.ndarray]:
    """Compute the variance component of each effect from mean squares, arrays of one shape; it may be below 0.

    With random effects and one run a combination, E[MS_u] = Σ_{v ⊇ u} n_v σ²_v, where n_v is the number of
    combinations of the axes outside v (Searle, Casella & McCulloch, Variance Components, 1992, ch. 4).
    """
    found = {}
    for effect in squares:
        repeats = math.prod(n for i, n in enumerate(levels) if i not in effect)
        whole = sum((-1) ** (len(v) - len(effect)) * squares[v] for v in squares if v >= effect)
        found[effect] = np.asarray(whole / repeats)
    return found


def estimate_budget(tables: np.ndarray, sources: Sequence[str]) -> NoiseBudget:
    """Estimate the noise budget of crossed tables (settings, l_1, ..., l_k), one axis a source of randomness.

    Intervals are generalised confidence intervals (Weerahandi, 1993; Burdick, Borror & Montgomery, 2005): each mean
    square stands for MS · df / χ²(df), drawn DRAWS times, and a share lies between the 2.5 % and 97.5 % quantiles of
    what the draws give. They take effects as normal, and their coverage is simulated in
    benchmarks/simulations/noise.py.
    """
    levels, squares = tables.shape[1:], mean_squares(tables)
    random = np.random.default_rng(0)
    draws = {u: square * df / random.chisquare(df, DRAWS) for u, (square, df) in squares.items()}
    drawn = components(draws, levels)
    estimated = components({u: np.asarray(square) for u, (square, _) in squares.items()}, levels)
    variance, variances = float(sum(estimated.values())), sum(drawn.values())

    def share(effects: Sequence[Effects]) -> NoiseShare:
        if variance <= 0:
            return NoiseShare(math.nan, math.nan, math.nan)
        value = float(sum(estimated[u] for u in effects)) / variance
        low, high = np.quantile(sum(drawn[u] for u in effects) / variances, (0.025, 0.975))
        return NoiseShare(*(min(1.0, max(0.0, float(x))) for x in (value, low, high)))

    axes = range(len(levels))
    return NoiseBudget(
        tuple(sources),
        tuple(levels),
        len(tables),
        tuple(share([frozenset({i})]) for i in axes),
        tuple(share([u for u in estimated if i in u]) for i in axes),
        share([u for u in estimated if len(u) > 1]),
        math.sqrt(max(0.0, variance)),
    )


def find_noise_budget(comparison: Comparison) -> NoiseBudget | str | None:
    """Find the noise budget of a comparison. Return None where no seeds are crossed, or why there is none.

    Settings whose runs have a statistic for every combination of seeds are used; seeds are crossed where two sources of
    randomness, or more, have several seeds each, independently of each other.
    """
    runs = {name: run for name, run in comparison.described.items() if run.seeds and name not in comparison.duplicates}
    effects = seed_effects(runs.values())
    if len(effects) < 2:
        return None
    by_run = {name: [str(run.seeds[effect[0]]) for effect in effects] for name, run in runs.items()}
    seeds = pd.DataFrame.from_dict(by_run, orient="index")
    levels = [seeds[i].nunique() for i in seeds]
    if len(seeds.drop_duplicates()) < math.prod(levels):
        return None  # varied, and not crossed
    frame = seeds.assign(cell=comparison.settings["cell"], value=comparison.values)
    frame = frame[frame["cell"] >= 0]
    finite = frame[np.isfinite(frame["value"].astype(float))]
    whole = [
        mine.sort_values(list(seeds.columns))["value"].to_numpy(float).reshape(levels)
        for _, mine in finite.groupby("cell")
        if len(mine) == math.prod(levels) == len(mine[list(seeds.columns)].drop_duplicates())
    ]
    if not whole:
        return f"no setting has a {comparison.metric.short} for each of the {math.prod(levels)} combinations of seeds"
    return estimate_budget(np.stack(whole), [name_effect(effect, runs.values()) for effect in effects])


def name_effect(effect: Sequence[str], runs: Collection[Described]) -> str:
    """Name the sources of an effect, without those that draw nothing in these runs."""
    idle = set()
    if all(not run.flat.get("data.augment") for run in runs):
        idle.add("augmentation")
    if all(run.flat.get("model.dropout") == 0 for run in runs):
        idle.add("dropout")
    *first, last = [source for source in effect if source not in idle] or list(effect)
    return f"{', '.join(first)} and {last}" if first else last
