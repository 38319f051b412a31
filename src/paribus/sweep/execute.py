"""Execute the runs of a plan that are not finished."""

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
# Makes jobs, in any order and number at once, and says as soon as it knows how each of them ended.
Executor = Callable[[Sequence[Job]], Generator[tuple[Job, Outcome], None, None]]


def execute_plan(planned: Sequence[PlannedRun], engine: Executor, told: Callable[[PlannedRun, Outcome], None]) -> None:
    """Make the runs that are not finished. `told` is called with each run as soon as an attempt to make it has ended.

    A run that another process is making is left to it; once all others are made it is waited for, and made here if that
    process has not finished it.
    """
    waiting = {run.job.directory: run for run in planned if not run.finished}
    while waiting:
        free = [run.job for directory, run in waiting.items() if not record.is_running(directory)]
        if not free:
            log.info("Waiting for %d of the runs, which another process is making.", len(waiting))
        while not free:
            time.sleep(1)
            free = [run.job for directory, run in waiting.items() if not record.is_running(directory)]
        with closing(engine(free)) as outcomes:  # an interruption ends the workers before anything is reported
            for job, ended in outcomes:
                if ended.moved_to is not None:
                    run = waiting.pop(job.directory)
                    waiting[ended.moved_to] = replace(run, job=run.job.move_to(ended.moved_to))
                elif not ended.busy:
                    told(waiting.pop(job.directory).after(ended), ended)
