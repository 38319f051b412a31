"""Divide a study into rounds of runs, of which each may depend on the results of those before it.

A driver is a generator. It yields a `Round` and is sent the runs of that round once it is over, in the order of
`Round.overrides`. It reads results from their records only. So a study that was killed is replayed: the rounds
that are finished train nothing, and give the driver the same results, and it the same next round.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paribus import record
from paribus.config.compose import Composer
from paribus.errors import UserError
from paribus.sweep.plan import PlannedRun


@dataclass(frozen=True)
class Round:
    """Runs of a study that are planned and executed together.

    Attributes:
        overrides: the overrides of each run, without sweeps.
        name: what the round is for, such as "search"; empty for a study of one round.
        later: number of epochs, over all runs, that later rounds are expected to train.
        describe: states in a few lines what has been found, from the runs of the round so far; None: nothing to state.
        allow_failed: whether later rounds begin though runs of this one failed.
        remedy: what to do if runs of the round fail again and again; empty: nothing but to mend them.
    """

    overrides: Sequence[Sequence[str]]
    name: str = ""
    later: int = 0
    describe: Callable[[Sequence[PlannedRun]], list[str]] | None = None
    allow_failed: bool = False
    remedy: str = ""

    def is_over(self, runs: Sequence[PlannedRun]) -> bool:
        """Return whether later rounds may begin, from the runs of this one."""
        return all(run.finished or (self.allow_failed and run.status == record.FAILED) for run in runs)


Driver = Generator[Round, list[PlannedRun], None]
StartDriver = Callable[[Composer, Path], Driver]  # called with the study's directory, before anything is written there


def match_runs(round: Round, planned: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the run of each list of overrides of a round; several lists may have come to the same run."""
    by_overrides = {overrides: run for run in planned for overrides in run.composed_from}
    return [by_overrides[tuple(overrides)] for overrides in round.overrides]


def run_once(overrides: Sequence[Sequence[str]]) -> StartDriver:
    """Return the driver of a study of one round."""

    def drive(composer: Composer, directory: Path) -> Driver:
        refuse_fixed_seeds(directory)
        yield Round(overrides)

    return drive


def refuse_fixed_seeds(directory: Path) -> None:
    """Raise UserError where runs of a fixed number of seeds would be added to a study with until=decided."""
    if record.read_plan(directory) is not None:
        raise UserError(
            f"{directory} is a study with until=decided: its seeds are added in looks. Add until=decided to go on with "
            "it, or choose another study=NAME."
        )
