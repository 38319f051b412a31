"""Keep the summary of a run while it is executed."""

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf.errors import OmegaConfBaseException

from paribus import record
from paribus.config.check import read_job_choices
from paribus.config.messages import explain
from paribus.errors import RunFailed, UserError
from paribus.record.provenance import collect_provenance
from paribus.run.resume import ResumePoint
from paribus.run.spec import Job

log = logging.getLogger(__name__)


@dataclass
class SummaryKeeper:
    """What is said of a run in its summary.json, while it is made.

    Attributes:
        begun: whether the record in the directory is that of this attempt, no longer what was left there.
    """

    job: Job
    summary: dict[str, Any]
    begun: bool = False

    def begin(self) -> None:
        """Called before anything is written into the record."""
        self.job.save_composition()
        (self.job.directory / record.SUMMARY).unlink(missing_ok=True)
        self.begun = True


@contextmanager
def keep_summary(job: Job, left: ResumePoint | None) -> Iterator[SummaryKeeper]:
    """While a run is made, or gone on with, in a directory that this process owns. Its summary says how it ended.

    Raises RunFailed after an error, KeyboardInterrupt after an interruption; both are in the log by then.
    """
    directory = job.directory
    summary: dict[str, Any] = {
        "status": record.FAILED,
        "study": job.study,
        "started": left.started if left else datetime.now().astimezone().isoformat(timespec="seconds"),
        "overrides": job.overrides,
        "command": job.command,
        "seed": job.composed.seed,
        **collect_provenance(),
    }
    account = SummaryKeeper(job, summary)
    if left is None:
        account.begin()
    try:
        chosen = job.choices or read_job_choices(job.composed)
        summary |= {"choices": chosen.options, "set": chosen.given, "config": chosen.config}
        summary["identity"] = record.identify(chosen.config)
        yield account
    except (KeyboardInterrupt, SystemExit) as error:
        # Lightning exits after Ctrl-C; after SIGTERM with an exit of its own
        meant = isinstance(error.__context__, KeyboardInterrupt) or isinstance(error, SIGTERMException)
        if isinstance(error, SystemExit) and not meant:
            summary |= {"status": record.FAILED, "message": f"Something in the run exits the process ({error.code})."}
            log.exception("error: %s", summary["message"])
            raise RunFailed(summary["message"]) from error
        summary |= {"status": record.INTERRUPTED}
        log.warning("Interrupted; what was recorded until then is in %s", directory)
        raise KeyboardInterrupt from None
    except (UserError, OSError, OmegaConfBaseException) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # nothing of the run's own: it can go on when there is room again
        summary |= {"status": record.INTERRUPTED if full else record.FAILED, "message": explain(error)}
        log.error("error: %s", explain(error))
        raise RunFailed(explain(error)) from error
    except Exception as error:
        message = f"{type(error).__name__}: {' '.join([str(error), *getattr(error, '__notes__', ())])}"
        summary |= {"status": record.FAILED, "message": message}
        log.exception("error: %s in the run in %s", type(error).__name__, directory)
        raise RunFailed(message) from error
    finally:
        if account.begun:  # else what was left is still all there is
            record.write_json(directory / record.SUMMARY, summary)
