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

SECONDS_BETWEEN_LOOKS = 1.0  # at whether another command has stopped
log = logging.getLogger(__name__)


def is_awaited(directory: Path, command: str) -> bool:
    """Return whether the recorded plan waits for later rounds of a command, as one does that was killed at its end."""
    try:
        plan = record.read_study_plan(directory)
    except record.RecordError:  # of a study with nothing to train: it is not needed
        return False
    return plan is not None and command in plan.waiting


class PlanKeeper:
    """The writer of a command's plan to plan.json, which holds the lock of the study meanwhile.

    A command that begins while another one trains the same study adds its runs to the plan of the other, which keeps
    them, and takes over the lock once the other has ended. The plan is whole once none of them has a later round.
    An earlier request to stop the study is for the other command: it is withdrawn once that has ended.

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
        self._withdraw_stop()
        self._begins_plan = self._holds_lock  # with the next write: what an earlier command has planned is forgotten
        self._written: set[str] = set()  # the paths of this command's runs in the plan

    def write(self, current: Round, runs: Iterable[PlannedRun]) -> None:
        """Write the plan: the `runs` of all rounds up to the current one. A round without a name is the last one."""
        labelled, _ = label_runs(list(runs))  # by what varies in all rounds
        entries = [self._describe(run) for run in labelled]
        trained = sum(
            entry.epochs if run.finished else min(entry.epochs, count_epochs(run.job.directory))
            for run, entry in zip(labelled, entries, strict=True)
        )
        own = {entry.path: entry for entry in entries}
        before = self._read_before()
        others = {entry.path: entry for entry in before.runs if entry.path not in self._written} if before else {}
        waiting = {command: n for command, n in before.waiting.items() if command != self.command} if before else {}
        if current.name:
            waiting[self.command] = current.later
        plan = record.StudyPlan(
            self.command,
            tuple((others | own).values()),
            whole=not waiting,
            later=sum(waiting.values()),
            started=time.time(),
            epochs_before=trained,
            waiting=waiting,
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

    def _withdraw_stop(self) -> None:
        """Withdraw a request to stop the study, once the command that was asked to stop has seen it, and ended."""
        request = record.find_stop([self.directory])
        if request is not None and not self._holds_lock:
            log.info("Waiting for another command to stop, as %s has asked at %s.", request.by, request.at)
            while not self._holds_lock and record.find_stop([self.directory]) is not None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                self._lock()
        record.withdraw_stop(self.directory)

    def _read_before(self) -> record.StudyPlan | None:
        """Read the plan that was written last, by this command or by another at the same time; None: there is none."""
        if self._begins_plan:
            return None
        try:
            return record.read_study_plan(self.directory)
        except record.RecordError as error:  # training needs no plan
            log.warning("%s", error)
            return None

    def _describe(self, run: PlannedRun) -> record.PlanEntry:
        seeds = [text for text in run.job.overrides if text.lstrip("+").startswith("seed=")]
        epochs, pause = get_planned_epochs(run), run.job.composition.pause
        return record.PlanEntry(
            run.job.directory.relative_to(self.directory).as_posix(),
            tuple(text for text in run.job.varying if text not in seeds),
            seeds[-1].partition("=")[2] if seeds else None,
            epochs if pause is None else min(pause, epochs),
        )
