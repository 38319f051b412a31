"""Lock run directories for their only writer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.record.files import RecordError
from paribus.record.schema import LOCK


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
    lock.release()
    return False
