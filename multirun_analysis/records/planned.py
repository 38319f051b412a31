"""Which planned runs of a study have no record: those that an interrupted command has not begun. Never torch."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multirun_analysis.records.files import has_record, is_running
from paribus import record


@dataclass(frozen=True)
class Planned:
    """Planned runs, of all studies that are analysed as a whole and have a plan.

    Attributes:
        runs: how many runs the studies' last commands have planned so far.
        unrecorded: how many of those have no record.
        command: goes on with the first study that has unrecorded runs; None where there is none.
        busy: whether a command trains each study that has unrecorded runs.
    """

    runs: int
    unrecorded: int
    command: str | None
    busy: bool


def read_planned(paths: Iterable[Path], directories: Sequence[Path]) -> Planned | None:
    """Count the planned runs of the studies at or below `paths` that hold some of the runs in `directories`.

    None where no such study has a plan that can be read. Runs that are given by their own directories are not a
    whole study, and say nothing about its other runs.
    """
    plans = record.find_study_plans(paths, directories)
    if not plans:
        return None
    unrecorded = {
        study: sum(not has_record(study / entry.path) for entry in plan.runs) for study, plan in plans.items()
    }
    unfinished = [study for study, number in unrecorded.items() if number]
    return Planned(
        sum(len(plan.runs) for plan in plans.values()),
        sum(unrecorded.values()),
        plans[unfinished[0]].command if unfinished else None,
        bool(unfinished) and all(map(is_running, unfinished)),
    )
