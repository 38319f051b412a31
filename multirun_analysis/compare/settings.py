"""Group runs into settings: runs that differ in their replicate only, best first. Never torch."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from multirun_analysis.compare.design import UNUSABLE_SHARE
from multirun_analysis.compare.inference import Estimate, estimate_replicates
from multirun_analysis.compare.sequential import Look
from multirun_analysis.records.described import Described, order


@dataclass(frozen=True)
class Setting:
    """The runs that differ in their replicate only.

    Attributes:
        cell: its number in Comparison.settings.
        mean: of its finished runs, over replicates.
        finished, diverged, missing: runs.
        confirms: whether they are a confirmation.
    """

    cell: int
    levels: dict[str, Hashable]
    runs: list[str]
    mean: Estimate
    finished: int
    diverged: int
    missing: int
    confirms: bool

    @property
    def usable(self) -> bool:
        """Whether at most half of its runs diverge."""
        return self.finished > 0 and self.diverged <= UNUSABLE_SHARE * (self.finished + self.diverged)

    def at(self, look: Look) -> "Setting":
        """Return the same with an interval that allows for all looks of its study."""
        return replace(self, mean=self.mean._replace(look=look))

    def block(self, blocks: Sequence[str]) -> tuple[Hashable, ...]:
        """Its levels of the factors that decide on the samples."""
        return tuple(self.levels[factor] for factor in blocks)


def tried_settings(
    cells: pd.Series,
    described: Mapping[str, Described],
    factors: Sequence[str],
    values: pd.Series,
    sign: int,
    blocks: Sequence[str],
) -> list[Setting]:
    """List settings, block by block: usable ones by their mean, then those that diverge, then those without a value.

    Args:
        cells: by run, a number that runs share which differ in their replicate only.
        values: by run; infinite where it diverged, NaN where there is none.
        sign: 1 where more of it is better, -1 where less is.
        blocks: factors between whose levels nothing is ranked.
    """
    by_cell: dict[tuple[int, bool], list[str]] = {}
    for name, cell in cells.items():
        by_cell.setdefault((int(cell), described[str(name)].confirms), []).append(str(name))
    statistics, found = values.to_dict(), []
    for (cell, confirms), names in by_cell.items():
        finite = [name for name in names if math.isfinite(statistics[name])]
        labels = [described[name].replicate for name in finite]
        mean = estimate_replicates(np.array([statistics[name] for name in finite]), labels)
        diverged = sum(math.isinf(statistics[name]) for name in names)
        levels = {factor: described[names[0]].level(factor) for factor in factors}
        missing = len(names) - len(finite) - diverged
        found.append(Setting(cell, levels, names, mean, len(finite), diverged, missing, confirms))
    places = [{level: i for i, level in enumerate(order(s.levels[factor] for s in found))} for factor in blocks]

    def key(s: Setting) -> tuple[object, ...]:
        place = tuple(ranks[level] for ranks, level in zip(places, s.block(blocks), strict=True))
        return place, not s.usable, not s.finished, -(sign or 1) * s.mean.mean if s.finished else 0.0, s.cell

    return sorted(found, key=key)
