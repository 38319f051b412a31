"""Define the parts of a comparison: outcomes, cells, entries, contests. Never torch.

Runs are compared on a factor where they agree in all else (a context) or were tuned alike (trials). Words as in
docs/glossary.md.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from multirun_analysis.compare.sequential import Look, Looks
from multirun_analysis.records.described import ABSENT, DEFAULT, Described, in_words, is_number, order

UNUSABLE_SHARE = 0.5  # a setting of which more runs diverge is unusable
MOST_LEVELS = 40  # of a factor, all pairs of which are looked at


class Kind(StrEnum):
    """The way in which the levels of a factor are compared."""

    CONTROLLED = "controlled"  # all else equal
    DEFAULTS = "each at its default"  # all else equal but for a value that comes with the level
    TUNED = "tuned"  # each level at the best of the values that were tried
    CONFIRMED = "confirmed"  # settings that were chosen before, on fresh seeds
    FRESH = "controlled, on fresh seeds"  # all else equal, among settings that were chosen before


Replicate = tuple[Hashable, Hashable]  # seed, and seed of the split
Levels = tuple[Hashable, ...]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        value: of the metric; NaN where there is none, infinite where the run diverged.
        selected_on: the statistic by which settings are chosen.
    """

    run: str
    replicate: Replicate
    value: float
    selected_on: float


@dataclass(frozen=True)
class Cell:
    """The runs of one setting, which differ in their replicate only."""

    outcomes: dict[Replicate, Outcome]

    @property
    def runs(self) -> list[str]:
        return [outcome.run for outcome in self.outcomes.values()]

    @property
    def finished(self) -> int:
        return sum(math.isfinite(o.value) for o in self.outcomes.values())

    @property
    def diverged(self) -> int:
        return sum(math.isinf(o.value) for o in self.outcomes.values())

    @property
    def tried(self) -> int:
        return self.finished + self.diverged

    @property
    def usable(self) -> bool:
        """Whether at most half of its runs diverge."""
        return self.finished > 0 and self.diverged <= UNUSABLE_SHARE * self.tried

    def values(self) -> dict[Replicate, float]:
        """The finite values."""
        return {key: o.value for key, o in self.outcomes.items() if math.isfinite(o.value)}


@dataclass(frozen=True)
class Entry:
    """A level in a context: the setting that stands for it.

    Attributes:
        trials: the cells that were tried, by the values of the nuisance factors.
        chosen: those of the chosen one; None where no cell is usable.
        optimism: by how much the mean of the chosen one is too good, since it was chosen by the same runs.
        excluded: usable cells with too few replicates to be candidates.
    """

    trials: dict[Levels, Cell]
    chosen: Levels | None
    optimism: float = 0.0
    excluded: list[Levels] = field(default_factory=list)

    @property
    def cell(self) -> Cell | None:
        return None if self.chosen is None else self.trials[self.chosen]


@dataclass(frozen=True)
class Contest:
    """The levels of a factor that may be compared, in one block.

    Attributes:
        block: what decides on the samples, where that differs between runs.
        entries: by context (the levels of `others`), by level.
        nuisances: whose best value each level takes.
        others: the other factors.
        looks: at which seeds were added; None: the number of seeds was fixed.
    """

    factor: str
    kind: Kind
    block: dict[str, Hashable]
    entries: dict[Levels, dict[Hashable, Entry]]
    nuisances: tuple[str, ...]
    others: tuple[str, ...]
    looks: Looks | None = None

    @property
    def levels(self) -> list[Hashable]:
        return order({level for by_level in self.entries.values() for level in by_level})

    @property
    def runs(self) -> set[str]:
        cells = (c for by in self.entries.values() for e in by.values() for c in e.trials.values())
        return {run for cell in cells for run in cell.runs}

    def of_level(self, level: Hashable) -> list[Entry]:
        return [by_level[level] for by_level in self.entries.values() if level in by_level]

    def look_at(self, replicates: Iterable[Replicate]) -> Look | None:
        """The look at which data of these replicates were complete; None where the number of seeds was fixed."""
        return None if self.looks is None else self.looks.find_look(seed for seed, _ in replicates)

    def varied(self) -> list[str]:
        """The other factors that differ between the contexts."""
        return [other for i, other in enumerate(self.others) if len({context[i] for context in self.entries}) > 1]

    @property
    def where(self) -> str:
        """The block in words, and what all contexts agree in."""
        return where({**self.block, **self.fixed()})

    def fixed(self) -> Mapping[str, Hashable]:
        """Return what all contexts agree in: the level of each such factor."""
        first, varied = next(iter(self.entries)), self.varied()
        return {o: first[i] for i, o in enumerate(self.others) if o not in varied and o not in self.nuisances}


def where(context: Mapping[str, Hashable]) -> str:
    """Put what runs agree in into words; without the values that their choices do not have."""
    shown = {key: value for key, value in context.items() if value != ABSENT}
    return ", ".join(f"{k} at its default" if v == DEFAULT else f"{k}={in_words(v)}" for k, v in shown.items())


Runs = Mapping[str, Described]


def numbers(levels: Sequence[Hashable]) -> list[float] | None:
    """The levels as numbers, where all of them are finite ones."""
    found = [float(level) for level in levels if is_number(level)]  # type: ignore[arg-type]
    return found if len(found) == len(levels) and all(map(math.isfinite, found)) else None
