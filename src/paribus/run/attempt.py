"""Execute a run in this process and tell how the attempt ended."""

import gc
import logging
import traceback
from dataclasses import dataclass
from pathlib import Path

from hydra.core.utils import env_override, setup_globals

from paribus import record
from paribus.config.messages import explain
from paribus.errors import RunFailed, UserError
from paribus.run.spec import Job


@dataclass(frozen=True)
class Outcome:
    """How an attempt to execute a run ended.

    Attributes:
        busy: it did not begin, since another process executes the run.
        moved_to: it did not begin, since another command plans the same run in this directory.
        message: the error, if there was one; the record may lack it (the process was killed, say).
        traceback: of an error that no user can mend.
    """

    busy: bool = False
    moved_to: Path | None = None
    message: str | None = None
    traceback: str | None = None


log = logging.getLogger(__name__)


def attempt(job: Job, console: bool) -> Outcome:
    """Execute a run in this process, whatever becomes of it; with `console`, its log goes to the terminal too."""
    from paribus.run.execute import execute_run

    try:
        setup_globals()  # the resolvers of Hydra, in a process that is new
        claimed = claim(job)
        if claimed != job.directory:
            return Outcome(moved_to=claimed)
        job.configure_logging(console)
        with env_override({str(name): str(value) for name, value in job.hydra.job.env_set.items()}):
            execute_run(job)
    except BaseException as error:  # noqa: BLE001  sorted there
        return outcome_of(error, job, console)
    finally:
        gc.collect()  # Lightning leaves the run's tensors in reference cycles
    return Outcome()


def claim(job: Job) -> Path:
    """Make the job's directory and claim it; return that of another command, if one claimed the same run before."""
    job.directory.parent.mkdir(parents=True, exist_ok=True)
    claimed = record.claim_directory(job.directory, record.identify(job.config)) if job.of_study else job.directory
    if claimed == job.directory:
        job.directory.mkdir(exist_ok=True)
    return claimed


def outcome_of(error: BaseException, job: Job, console: bool) -> Outcome:
    """How an attempt ended that raised `error`; what is not for the run alone is raised again."""
    if isinstance(error, record.BusyError):
        return Outcome(busy=True)
    if isinstance(error, RunFailed):
        unexpected = isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, UserError | OSError)
        told = "".join(traceback.format_exception(error)) if unexpected else None
        return Outcome(message=str(error), traceback=told)
    if isinstance(error, FileExistsError):
        message = f"{job.directory} is a file, where a run's directory should be. Move it away."
        log.error("error: %s", message)
        return Outcome(message=message)
    if isinstance(error, KeyboardInterrupt) and not console:
        return Outcome(message="interrupted")  # where it was meant for the study, the process that leads it knows
    if isinstance(error, UserError | OSError):  # before there was a record to write it into
        log.error("error: %s", explain(error))
        return Outcome(message=explain(error))
    if isinstance(error, Exception):
        log.error("error: %s in %s", type(error).__name__, job.directory, exc_info=error)
        told = "".join(traceback.format_exception(error))
        return Outcome(message=f"{type(error).__name__}: {error}", traceback=told)
    raise error
