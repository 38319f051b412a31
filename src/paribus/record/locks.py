"""Lock run directories for their only writer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.record.files import RecordError
from paribus.record.schema import CLAIMS, LOCK


class BusyError(RecordError):
    """A run directory that another process is writing to."""


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Lock the directory until the block or the process ends. Raises BusyError if another process holds the lock."""
    from filelock import FileLock, Timeout  # its import takes 50 ms, too long for --help

    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0.3, poll_interval=0.05)  # is_running holds it for a moment
    except Timeout:
        raise BusyError(f"{directory} is being written by another process.") from None
    except NotImplementedError:
        raise RecordError(f"The file system of {directory} has no locks (flock). Choose another one.") from None
    try:
        yield
    finally:
        lock.release()


def is_running(directory: Path) -> bool:
    """Return whether a process holds the directory's lock."""
    if not (directory / LOCK).exists():
        return False
    from filelock import FileLock, Timeout

    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:  # where nobody may write, no process that we know of does
        return False
    lock.release()
    return False


def claim_directory(directory: Path, identity: str) -> Path:
    """Return the directory in which a study's run of this identity is executed: the first that was claimed for it.

    Two commands that type a value differently (0.01, 1e-2) plan one run in two directories; the second is given the
    first's. A claim whose directory is gone no longer counts. Claims are lines of .claims in the study's directory.
    """
    from filelock import FileLock

    study = directory.parent
    with FileLock(study / f"{CLAIMS}.lock"):
        path = study / CLAIMS
        known = dict(line.split(" ", 1) for line in path.read_text().splitlines()) if path.exists() else {}
        claimed = study / known.get(identity, directory.name)
        if claimed == directory or not claimed.is_dir():
            with path.open("a") as file:
                file.write(f"{identity} {directory.name}\n" if known.get(identity) != directory.name else "")
            return directory
        return claimed
