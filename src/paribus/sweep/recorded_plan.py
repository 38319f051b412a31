"""Record the plan of a study, for those who watch it: which runs there are to be, and whether a command trains them."""

import logging
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from paribus import record
from paribus.sweep.labels import label_runs
from paribus.sweep.plan import PlannedRun, count_epochs
from paribus.sweep.rounds import Round
from paribus.sweep.tables import get_planned_epochs

log = logging.getLogger(__name__)


class PlanKeeper:
    """The writer of a command's plan to plan.json, which holds the lock of the study meanwhile.

    A command that begins while another one trains the same study adds its runs to the plan of the other, which keeps
    them, and takes over the lock once the other has ended. An earlier request to stop the study is withdrawn.

    Args:
        directory: the study's directory, which must exist.
        command: the command that goes on with the study.
    """

    def __init__(self, directory: Path, command: str):
        self.directory = directory
        self.command = command
        self._exits = ExitStack()
        self._holds_lock = False
        self._lock()
        self._begins_plan = self._holds_lock  # with the next write: what an earlier command has planned is forgotten
        self._written: set[str] = set()  # the paths of this command's runs in the plan
        record.withdraw_stop(directory)

    def write(self, current: Round, runs: Iterable[PlannedRun]) -> None:
        """Write the plan: the `runs` of all rounds up to the current one. A round without a name is the last one."""
        labelled, _ = label_runs(list(runs))  # by what varies in all rounds
        entries = [self._describe(run) for run in labelled]
        trained = sum(
            entry.epochs if run.finished else min(entry.epochs, count_epochs(run.job.directory))
            for run, entry in zip(labelled, entries, strict=True)
        )
        own = {entry.path: entry for entry in entries}
        plan = record.StudyPlan(
            self.command,
            tuple((self._read_others() | own).values()),
            whole=not current.name,
            later=current.later,
            started=time.time(),
            epochs_before=trained,
        )
        record.write_study_plan(self.directory, plan)
        self._begins_plan, self._written = False, {*own}
        self._lock()

    def close(self) -> None:
        """Release the lock."""
        self._exits.close()

    def _lock(self) -> None:
        """Lock the study, unless another command holds the lock."""
        if not self._holds_lock:
            try:
                self._exits.enter_context(record.lock_directory(self.directory))
                self._holds_lock = True
            except record.BusyError:
                pass  # tried again with the next plan

    def _read_others(self) -> dict[str, record.PlanEntry]:
        """Read the runs that other commands have added to the plan, by path."""
        if self._begins_plan:
            return {}
        try:
            plan = record.read_study_plan(self.directory)
        except record.RecordError as error:  # training needs no plan
            log.warning("%s", error)
            return {}
        return {entry.path: entry for entry in plan.runs if entry.path not in self._written} if plan else {}

    def _describe(self, run: PlannedRun) -> record.PlanEntry:
        seeds = [text for text in run.job.overrides if text.lstrip("+").startswith("seed=")]
        epochs, pause = get_planned_epochs(run), run.job.composition.pause
        return record.PlanEntry(
            run.job.directory.relative_to(self.directory).as_posix(),
            tuple(text for text in run.job.varying if text not in seeds),
            seeds[-1].partition("=")[2] if seeds else None,
            epochs if pause is None else min(pause, epochs),
        )
