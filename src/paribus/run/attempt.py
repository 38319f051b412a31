"""Execute a run in this process and tell how the attempt ended."""

import gc
import logging
import traceback
from dataclasses import dataclass

from hydra.core.utils import env_override, setup_globals

from paribus import record
from paribus.config.messages import explain
from paribus.errors import RunFailed, UserError
from paribus.run.spec import Job


@dataclass(frozen=True)
class Outcome:
    """How an attempt to make a run came to its end.

    Attributes:
        busy: not at all, another process is making the run.
        message: what went wrong, if anything did; the record may know nothing of it (its process was killed, say).
        traceback: of an error that no user can mend.
    """

    busy: bool = False
    message: str | None = None
    traceback: str | None = None


log = logging.getLogger(__name__)


def attempt(job: Job, console: bool) -> Outcome:
    """Make a run in this process, whatever becomes of it; with `console`, it says on the terminal how it is going."""
    from paribus.run.execute import execute_run

    try:
        setup_globals()  # the resolvers of Hydra, in a process that is new
        job.directory.mkdir(parents=True, exist_ok=True)
        job.configure_logging(console)
        with env_override({str(name): str(value) for name, value in job.hydra.job.env_set.items()}):
            execute_run(job)
    except BaseException as error:  # noqa: BLE001  sorted there
        return outcome_of(error, job, console)
    finally:
        gc.collect()  # Lightning leaves the run's tensors in reference cycles
    return Outcome()


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
