"""Collect the results of simulations: rates, their errors, and the ranges that are required."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """The result of a simulation: a rate in per cent, and the required range; None for a finding without one."""

    part: str
    what: str
    rate: float
    studies: int
    required: tuple[float, float] | None

    @property
    def error(self) -> float:
        share = min(max(self.rate / 100, 1 / self.studies), 1 - 1 / self.studies)
        return 100 * math.sqrt(share * (1 - share) / self.studies)

    @property
    def met(self) -> bool:
        if self.required is None:
            return True
        low, high = self.required
        if low == high:
            return self.rate == low  # what may never happen
        return low - 3 * self.error <= self.rate <= high + 3 * self.error

    @property
    def requirement(self) -> str:
        return "" if self.required is None else f"{self.required[0]:g} to {self.required[1]:g} %"

    def as_markdown(self) -> str:
        result = "" if self.required is None else "met" if self.met else "NOT MET"
        measured = f"{self.rate:.1f} ± {self.error:.1f} %"
        return f"| {self.part} | {self.what} | {self.requirement} | {measured} | {self.studies} | {result} |"


def summarise(rows: Iterable[Row]) -> Iterator[str]:
    """Write a line of Markdown for the rows of a part with one requirement: least, largest and mean rate, and count."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.part, row.requirement), []).append(row)
    for (part, required), group in groups.items():
        rates = [row.rate for row in group]
        met = (
            f"{sum(row.met for row in group)} of {len(group)} met" if required else f"{len(group)} without requirement"
        )
        mean = f"{sum(rates) / len(rates):.1f} %"
        measured = mean if len(rates) == 1 else f"{min(rates):.1f} to {max(rates):.1f} %, mean {mean}"
        yield f"| {part} | {required} | {measured} | {met} |"


def share(studies: int, happens: Callable[[], bool]) -> float:
    return 100 * sum(happens() for _ in range(studies)) / studies
