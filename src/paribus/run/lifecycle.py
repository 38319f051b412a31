"""Keep the summary of a run while it is executed."""

import errno
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf.errors import OmegaConfBaseException

from paribus import record
from paribus.config.messages import explain
from paribus.errors import Paused, RunFailed, RunRefused, Stopped, UserError
from paribus.record.provenance import collect_provenance, write_patch
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job

log = logging.getLogger(__name__)


@dataclass
class SummaryKeeper:
    """The content of a run's summary.json while the run is executed.

    Attributes:
        started: the time at which the run was started first, as text.
        begun: True once this attempt has started to write the record; before, the directory holds the previous one.
    """

    job: Job
    summary: dict[str, Any]
    started: str
    begun: bool = False

    def begin(self) -> None:
        """Start the record of this attempt. Call before anything else is written to the record."""
        self.job.save_composition()
        (self.job.directory / record.SUMMARY).unlink(missing_ok=True)
        write_patch(self.job.directory)
        self.begun = True


@contextmanager
def keep_summary(job: Job, resume_point: ResumePoint | None) -> Iterator[SummaryKeeper]:
    """Keep the summary of a run while the block executes it, and write the summary when the block ends.

    This process must have locked the directory. Raises RunFailed after an error, RunRefused if that was a user's
    mistake and no epoch was trained, and KeyboardInterrupt after an interruption; the log then holds either. A pause
    ends the block and raises nothing, and so does a stop on request in a study; of a single run, it is an interruption.
    """
    directory = job.directory
    started = resume_point.started if resume_point else datetime.now().astimezone().isoformat(timespec="seconds")
    summary: dict[str, Any] = {
        "status": record.FAILED,
        "study": job.study,
        "started": started,
        "overrides": job.overrides,
        "command": job.command,
        "seed": job.composed.seed if isinstance(job.composed.seed, int) else str(job.composed.seed),  # refused later
        **collect_provenance(),
    }
    keeper = SummaryKeeper(job, summary, started)
    if resume_point is None:
        keeper.begin()
    try:
        if job.choices is not None:
            summary |= {"choices": job.choices.options, "set": job.choices.given, "config": job.config}
            summary["identity"] = record.identify(job.config)
        yield keeper
    except Paused as error:
        summary |= {"status": record.INTERRUPTED, "paused": True, "message": str(error)}
        log.info("%s The same run goes on from there.", error)
    except Stopped as error:
        summary |= {"status": record.INTERRUPTED, "message": str(error)}
        log.warning("%s The record so far is in %s", error, directory)
        if not job.in_study:
            raise KeyboardInterrupt from None
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning raises SystemExit after Ctrl-C, and SIGTERMException after SIGTERM
        interrupted = isinstance(error.__context__, KeyboardInterrupt) or isinstance(error, SIGTERMException)
        if isinstance(error, SystemExit) and not interrupted:
            summary |= {"status": record.FAILED, "message": f"Code of the run exited the process ({error.code})."}
            log.exception("error: %s", summary["message"])
            raise RunFailed(summary["message"]) from error
        summary |= {"status": record.INTERRUPTED}
        log.warning("Interrupted; the record so far is in %s", directory)
        if not job.in_study and (directory / record.LAST).exists():
            log.warning("Go on from its last checkpoint: resume=%s", shlex.quote(str(directory)))
        raise KeyboardInterrupt from None
    except (UserError, OSError, OmegaConfBaseException) as error:
        disk_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # a full disk is not the run's fault: it can be resumed once there is space
        summary |= {"status": record.INTERRUPTED if disk_full else record.FAILED, "message": explain(error)}
        log.error("error: %s", explain(error))
        trained = "epochs" in summary.get("statistics", {})
        several = summary.get("processes", 1) > 1  # the other ranks may still use the directory
        refused = not (disk_full or trained or several)
        raise (RunRefused if refused else RunFailed)(explain(error)) from error
    except Exception as error:
        message = f"{type(error).__name__}: {' '.join([str(error), *getattr(error, '__notes__', ())])}"
        summary |= {"status": record.FAILED, "message": message}
        log.exception("error: %s (%s has the whole traceback)", message.splitlines()[0], directory / record.LOG)
        raise RunFailed(message) from error
    finally:
        if keeper.begun:  # otherwise the previous record stays
            record.write_json(directory / record.SUMMARY, summary)
            record.withdraw_stop(directory)
