"""Remove what a single run leaves behind that is refused before anything is trained."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf.errors import OmegaConfBaseException

from paribus import record
from paribus.errors import RunRefused, UserError
from paribus.run.logs import LogFile

OWN = (*record.WRITTEN, record.PATCH, record.STOP, ".hydra/*.yaml", "events.out.tfevents.*")
DATE = r"\d{4}-\d\d-\d\d"


@contextmanager
def discarding_refused(directory: Path) -> Iterator[None]:
    """Remove the directory of a single run that is refused in the block; see `discard`. The error is raised again."""
    try:
        yield
    except RunRefused:
        discard(directory)
        raise
    except (UserError, OmegaConfBaseException, OSError):
        if not (directory / record.SUMMARY).exists():  # the error came before there was a record
            discard(directory)
        raise


def discard(directory: Path) -> None:
    """Remove the directory of a single run, and that of its day if it is then empty.

    A directory that held something before this process opened its log stays as it is, and so does one with a file that
    no run of Paribus writes, or one that another process executes a run in. The working directory is emptied only.
    """
    log = _find_log(directory)
    if log is None or not log.begins_directory:
        return
    own = {Path(log.baseFilename), directory / record.LOCK}
    own |= {path for pattern in OWN for path in directory.glob(pattern)}
    found = list(directory.rglob("*"))
    if any(path not in own and (path.is_symlink() or not path.is_dir()) for path in found):
        return
    try:
        with record.lock_directory(directory):
            logging.getLogger().removeHandler(log)
            log.close()
            for path in own:
                path.unlink(missing_ok=True)
            for path in sorted((path for path in found if path not in own), reverse=True):
                path.rmdir()
    except record.BusyError:
        return
    if Path.cwd().is_relative_to(directory):
        return
    # what is not empty stays, and so does a user's empty directory that is a mount, a link or in a read-only one
    with suppress(OSError):
        directory.rmdir()
        if re.fullmatch(DATE, directory.parent.name):
            directory.parent.rmdir()


def _find_log(directory: Path) -> LogFile | None:
    """Find the handler of the log in `directory`; None where the user's own job_logging writes none, or another."""
    handlers = logging.getLogger().handlers
    logs = (h for h in handlers if isinstance(h, LogFile) and Path(h.baseFilename).parent == directory)
    return next(logs, None)
