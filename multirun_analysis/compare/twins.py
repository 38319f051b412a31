"""Find where twins part: runs with equal seeds that differ in one factor, epoch by epoch. Never torch."""

import functools
import itertools
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.records.described import ABSENT, order
from paribus import record
from paribus.record.twins import read_twins

MOST_PAIRS = 200  # that the reference is measured by

Twins = dict[str, np.ndarray]  # the arrays of twins.npz


@dataclass(frozen=True)
class Parting:
    """The distances of pairs of runs, by epoch.

    Attributes:
        level: the level that is held against another; None: pairs of runs of one setting, with different seeds.
        epochs: (E,), those that all pairs have.
        disagreement: (pairs, E): the share of the first validation samples that get another class, or, of a
            regression, the root mean square of the differences of the predictions, in the unit of the target.
        distance: (pairs, E): the estimated distance of the weights (2-norm; see paribus.training.twins); NaN where the
            networks have different numbers of parameters.
    """

    level: Hashable
    epochs: np.ndarray
    disagreement: np.ndarray
    distance: np.ndarray

    @property
    def pairs(self) -> int:
        return len(self.disagreement)


@dataclass(frozen=True)
class Partings:
    """The partings of a factor's levels from one of them, `base`, and of two seeds of one setting, if there are any.

    `classes`: whether predictions are classes.
    """

    base: Hashable
    levels: list[Parting]
    reference: Parting | None
    classes: bool


def find_partings(comparison: Comparison, factor: str) -> Partings | None:
    """Find the partings of the levels of a factor from its best level, else from its first; None without twins.

    Twins agree in the seeds of all sources and in every other factor. The reference are pairs of runs that agree in
    all factors and in the split, with another seed of something else: of other samples nothing can be compared.
    """
    read = {name: twins for name in comparison.described if (twins := _read(comparison, name)) is not None}
    groups: dict[Hashable, dict[Hashable, str]] = {}
    others = [other for other in comparison.factors if other != factor]
    for name in read:
        run = comparison.described[name]
        context = (*(run.level(other) for other in others), run.replicate, *_samples(comparison, name))
        if run.level(factor) != ABSENT:
            groups.setdefault(context, {})[run.level(factor)] = name
    levels = order({level for group in groups.values() for level in group})
    best = [result.best.level for result in comparison.of(factor) if result.best is not None]
    base = next((level for level in [*best, *levels] if level in levels), None)
    found = []
    for level in levels:
        pairs = [(group[level], group[base]) for group in groups.values() if level in group and base in group]
        if level != base and (parting := _part(comparison, read, level, pairs)) is not None:
            found.append(parting)
    if not found:
        return None
    classes = all(twins["prediction"].dtype.kind == "i" for twins in read.values())
    return Partings(base, found, _part(comparison, read, None, _pair_seeds(comparison, read)), classes)


def _read(comparison: Comparison, name: str) -> Twins | None:
    """Read a run's twins.npz; None where it has none. Raises RecordError where it is damaged."""
    path = Path(str(comparison.study.runs.at[name, "directory"])) / record.TWINS
    counts = comparison.described[name].choices and name not in comparison.duplicates
    return read_twins(path) if counts and path.exists() else None


def _samples(comparison: Comparison, name: str) -> tuple[Hashable, ...]:
    """Identify the validation samples of a run."""
    data = comparison.study.summaries[name].get("data", {})
    return comparison.described[name].split_seed, data.get("sha256"), data.get("val")


def _pair_seeds(comparison: Comparison, names: Iterable[str]) -> list[tuple[str, str]]:
    """Pair runs of one setting and one split, each with the next seed."""
    groups: dict[Hashable, list[str]] = {}
    for name in names:
        groups.setdefault((comparison.settings.at[name, "cell"], *_samples(comparison, name)), []).append(name)
    pairs = [pair for group in groups.values() for pair in itertools.pairwise(sorted(group))]
    return pairs[:: -(-len(pairs) // MOST_PAIRS) or 1]


def _part(comparison: Comparison, read: dict[str, Twins], level: Hashable, pairs: list[tuple[str, str]]
          ) -> Parting | None:  # fmt: skip
    """Measure how far the runs of each pair are apart; None without a pair that has predictions of equal samples."""
    pairs = [(a, b) for a, b in pairs if _alike(read[a], read[b])]
    of_runs = [read[name]["epoch"] for pair in pairs for name in pair]
    epochs = functools.reduce(np.intersect1d, of_runs) if of_runs else np.empty(0)
    if not len(epochs):
        return None
    disagreement, distance = [], []
    sizes = comparison.study.runs.get("parameters")
    for a, b in pairs:
        one, other = ({key: array[np.isin(read[run]["epoch"], epochs)] for key, array in read[run].items()}
                      for run in (a, b))  # fmt: skip
        disagreement.append(measure_disagreement(one["prediction"], other["prediction"]))
        apart = np.linalg.norm(one["weights"].astype(float) - other["weights"], axis=1)
        distance.append(apart if sizes is not None and sizes[a] == sizes[b] else np.full(len(epochs), np.nan))
    return Parting(level, epochs, np.array(disagreement), np.array(distance))


def _alike(one: Twins, other: Twins) -> bool:
    a, b = one["prediction"], other["prediction"]
    return a.shape[1] == b.shape[1] and a.dtype == b.dtype


def measure_disagreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Measure the disagreement (E,) of predictions (E, n): a share of classes, or a root mean square of values."""
    if one.dtype.kind == "i":
        return np.asarray((one != other).mean(axis=1))
    return np.sqrt(np.square(one.astype(float) - other).mean(axis=1))
