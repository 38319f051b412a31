"""Record the plan of a study, for those who watch it: which runs there are to be, and whether a command trains them."""

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from paribus import record
from paribus.sweep.labels import label_runs
from paribus.sweep.plan import PlannedRun, count_epochs
from paribus.sweep.rounds import Round
from paribus.sweep.tables import get_planned_epochs


class PlanKeeper:
    """What a command writes of its plan into plan.json, and the lock that it holds on the study meanwhile.

    A command that begins while another one trains the same study adds its runs to the plan of the other. An earlier
    request to stop the study is withdrawn.

    Args:
        directory: that of the study, which must exist.
        command: goes on with the study.
    """

    def __init__(self, directory: Path, command: str):
        self.directory = directory
        self.command = command
        self._exits = ExitStack()
        self._others: Mapping[str, record.PlanEntry] = {}
        try:
            self._exits.enter_context(record.lock_directory(directory))
        except record.BusyError:
            plan = record.read_study_plan(directory)
            self._others = {entry.path: entry for entry in plan.runs} if plan else {}
        record.withdraw_stop(directory)

    def write(self, current: Round, runs: Iterable[PlannedRun]) -> None:
        """Write the plan: the `runs` of all rounds up to the current one. A round without a name is the last one."""
        labelled, _ = label_runs(list(runs))  # by what varies in all rounds
        entries = [self._describe(run) for run in labelled]
        trained = sum(
            entry.epochs if run.finished else min(entry.epochs, count_epochs(run.job.directory))
            for run, entry in zip(labelled, entries, strict=True)
        )
        plan = record.StudyPlan(
            self.command,
            tuple((self._others | {entry.path: entry for entry in entries}).values()),
            whole=not current.name,
            later=current.later,
            started=time.time(),
            epochs_before=trained,
        )
        record.write_study_plan(self.directory, plan)

    def close(self) -> None:
        """Release the lock."""
        self._exits.close()

    def _describe(self, run: PlannedRun) -> record.PlanEntry:
        seeds = [text for text in run.job.overrides if text.lstrip("+").startswith("seed=")]
        epochs, pause = get_planned_epochs(run), run.job.composed.get("pause")
        return record.PlanEntry(
            run.job.directory.relative_to(self.directory).as_posix(),
            tuple(text for text in run.job.varying if text not in seeds),
            seeds[-1].partition("=")[2] if seeds else None,
            epochs if pause is None else min(pause, epochs),
        )
