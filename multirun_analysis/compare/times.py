"""Compare how fast levels reach a target, by the rules for any other statistic of a run, as a family of their own.

A run that never reaches the target is not left out: its time counts as the number of epochs that was planned, and so do
longer times. What is compared is then the restricted mean time (Royston and Parmar 2013), which has no bias from runs
that were cut off.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd

from multirun_analysis.compare.comparison import Comparison
from multirun_analysis.compare.contests import BLOCKS, contests
from multirun_analysis.compare.design import Outcome
from multirun_analysis.compare.effects import analyse
from multirun_analysis.compare.family import decide
from multirun_analysis.compare.results import Pair, Result, Verdict
from multirun_analysis.compare.targets import Target, is_by_step, reached
from multirun_analysis.records.described import in_words


@dataclass(frozen=True)
class TimeComparison:
    """The times in which the levels of each factor reach a target.

    Attributes:
        limit: the number of epochs to which times are restricted: the smallest that was planned for a run.
        epochs: until each run reached it; infinite for one that never did, NaN where nobody knows.
        results: of each factor, lower being better; corrected for one another.
    """

    target: Target
    limit: float
    epochs: pd.Series
    results: list[Result]

    def count_missed(self, result: Result, level: Hashable) -> tuple[int, int]:
        """Count the runs of a level that have not reached the target within the limit, and all of which one knows."""
        cells = [cell for entry in result.contest.of_level(level) for cell in entry.trials.values()]
        times = self.epochs.loc[[run for cell in cells for run in cell.runs]].dropna()
        return int((times > self.limit).sum()), len(times)

    def describe(self) -> list[str]:
        """Say what is concluded, and what was never reached."""
        sentences = []
        for result in self.results:
            where = f" ({result.contest.where})" if result.contest.block else ""
            for pair in result.pairs:
                if pair.verdict in (Verdict.BETTER, Verdict.WORSE):
                    first = pair if pair.estimate.mean < 0 else pair.turned()
                    sentences.append(
                        f"{result.factor}{where}: {in_words(first.a)} is there {show_gap(first.turned(), result.log)} "
                        f"{'sooner' if not result.log else 'times sooner'} than {in_words(first.b)}."
                    )
            missed = {in_words(level): self.count_missed(result, level) for level in result.contest.levels}
            never = [f"{missed[name][0]} of {missed[name][1]} runs with {name}" for name in missed if missed[name][0]]
            if never:
                sentences.append(
                    f"{result.factor}{where}: {', '.join(never)} did not reach it within {self.limit:g} epochs. They "
                    f"count as {self.limit:g}: means are of times up to there."
                )
        return sentences


def show_gap(pair: Pair, log: bool) -> str:
    """Format the difference of two times in epochs, or their ratio, with its 95 % interval: 1.4 epochs [0.9, 2.0]."""
    values = [pair.estimate.mean, *pair.estimate.interval]
    if log:
        values = [math.exp(value) for value in values]
    shown = [f"{value:.2g}" for value in values]
    interval = "" if math.isnan(values[1]) else f" [{shown[1]}, {shown[2]}]"
    return f"{shown[0]}{'' if log else ' epochs'}{interval}"


def compare_times(comparison: Comparison, target: Target) -> TimeComparison | None:
    """Compare the times to a target on each factor; None where a run has no validations within epochs.

    Whole epochs are too coarse: most runs reach a target in the same one. A choice stands at the fastest of the values
    that were tried for it.
    """
    if not is_by_step(comparison, target.column):
        return None
    epochs = reached(comparison, target)["epochs"]
    counted = {name: run for name, run in comparison.described.items() if name not in comparison.duplicates}
    judged = {name: run for name, run in counted.items() if run.confirms} or counted
    planned = [run.flat.get("trainer.max_epochs") for run in judged.values()]
    known = [float(number) for number in planned if isinstance(number, int | float)]
    limit = min(known, default=float(comparison.study.curves["epoch"].max()))
    times = epochs.clip(upper=limit)
    outcomes = {
        name: Outcome(name, run.replicate, float(times[name]), float(times[name])) for name, run in judged.items()
    }
    factors = comparison.factors
    chosen = [factor for factor in comparison.by or factors if factor not in BLOCKS]
    found = [c for factor in chosen for c in contests(judged, outcomes, factors, factor, sign=-1, loss=True)]
    results = decide([analyse(c, sign=-1, positive=True) for c in found], -1, None, 0.0)
    return TimeComparison(target, limit, epochs, results)
