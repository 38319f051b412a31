"""Execute a run in this process and return how the attempt ended."""

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
    """The outcome of an attempt to execute a run.

    Attributes:
        busy: True if the attempt did not begin because another process executes the run.
        stopped: True if the attempt did not begin because somebody has asked to stop the study.
        moved_to: the directory that another command has claimed for the same run; the attempt then did not begin.
        message: the error, if any; the record may lack it, for example after the process was killed.
        traceback: the traceback of an unexpected error.
    """

    busy: bool = False
    stopped: bool = False
    moved_to: Path | None = None
    message: str | None = None
    traceback: str | None = None


log = logging.getLogger(__name__)


def attempt(job: Job, console: bool) -> Outcome:
    """Execute a run in this process and return the outcome; with `console`, also log to the terminal."""
    from paribus.run.execute import execute_run

    try:
        setup_globals()  # registers the resolvers of Hydra in a new process
        if job.find_study_stop():
            return Outcome(stopped=True)
        claimed = claim(job)
        if claimed != job.directory:
            return Outcome(moved_to=claimed)
        job.configure_logging(console)
        with env_override({str(name): str(value) for name, value in job.hydra.job.env_set.items()}):
            execute_run(job)
    except BaseException as error:  # noqa: BLE001  classify_error raises again what is not for the run
        return classify_error(error, job, console)
    finally:
        gc.collect()  # Lightning leaves the run's tensors in reference cycles
    return Outcome()


def claim(job: Job) -> Path:
    """Create and claim the job's directory; return the one that another command has claimed for the run, if any."""
    job.directory.parent.mkdir(parents=True, exist_ok=True)
    claimed = record.claim_directory(job.directory, record.identify(job.config)) if job.in_study else job.directory
    if claimed == job.directory:
        job.directory.mkdir(exist_ok=True)
    return claimed


def classify_error(error: BaseException, job: Job, console: bool) -> Outcome:
    """Return the outcome of an attempt that raised `error`; raise errors again that concern more than the run."""
    if isinstance(error, record.BusyError):
        return Outcome(busy=True)
    if isinstance(error, RunFailed):
        unexpected = isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, UserError | OSError)
        report = "".join(traceback.format_exception(error)) if unexpected else None
        return Outcome(message=str(error), traceback=report)
    if isinstance(error, FileExistsError):
        message = f"{job.directory} is a file, where a run's directory should be. Move it away."
        log.error("error: %s", message)
        return Outcome(message=message)
    if isinstance(error, KeyboardInterrupt) and not console:
        return Outcome(message="interrupted")  # an interruption of the whole study also reaches the main process
    if isinstance(error, UserError | OSError):  # raised before there was a record to write it to
        log.error("error: %s", explain(error))
        return Outcome(message=explain(error))
    if isinstance(error, Exception):
        log.error("error: %s in %s", type(error).__name__, job.directory, exc_info=error)
        report = "".join(traceback.format_exception(error))
        return Outcome(message=f"{type(error).__name__}: {error}", traceback=report)
    raise error
