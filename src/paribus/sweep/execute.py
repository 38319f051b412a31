"""Execute the unfinished runs of a plan."""

import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

from paribus import record
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep.plan import PlannedRun

log = logging.getLogger(__name__)
# Executes jobs in any order, several at once or not, and yields the outcome of each as soon as it is known. Once
# somebody has asked to stop the study, it may end without the outcomes of all.
Executor = Callable[[Sequence[Job]], Generator[tuple[Job, Outcome], None, None]]


def execute_plan(
    planned: Sequence[PlannedRun], executor: Executor, on_outcome: Callable[[PlannedRun, Outcome], None]
) -> None:
    """Execute the unfinished runs; call `on_outcome` with each run as soon as its attempt has ended.

    A run that another process executes is executed last, and only if that process does not finish it. Raises
    KeyboardInterrupt where somebody has asked to stop the study, once its executor has ended.
    """
    waiting = {run.job.directory: run for run in planned if not run.finished}
    while waiting:
        available = [run.job for directory, run in waiting.items() if not record.is_running(directory)]
        if not available:
            log.info("Waiting for %d of the runs, which another process is executing.", len(waiting))
        while not available:
            raise_if_stopped(planned)
            time.sleep(1)
            available = [run.job for directory, run in waiting.items() if not record.is_running(directory)]
        with closing(executor(available)) as outcomes:  # an interruption ends the workers before anything is reported
            for job, outcome in outcomes:
                if outcome.moved_to is not None:
                    run = waiting.pop(job.directory)
                    waiting[outcome.moved_to] = replace(run, job=run.job.move_to(outcome.moved_to))
                elif not (outcome.busy or outcome.stopped):
                    on_outcome(waiting.pop(job.directory).update(outcome), outcome)
        raise_if_stopped(planned)


def raise_if_stopped(planned: Sequence[PlannedRun]) -> None:
    """Raise KeyboardInterrupt where somebody has asked to stop the study."""
    request = planned[0].job.find_study_stop() if planned else None
    if request is not None:
        log.warning("Stopped on request of %s.", request.by)
        raise KeyboardInterrupt
