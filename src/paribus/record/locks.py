"""Own a run directory as its only writer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paribus.record.files import RecordError
from paribus.record.schema import LOCK


class BusyError(RecordError):
    """Another process is writing the record."""


@contextmanager
def lock_directory(directory: Path) -> Iterator[None]:
    """Own the directory, as its one writer, until the block ends or the process does, however it ends.

    Raises Busy where another process owns it.
    """
    from filelock import FileLock, Timeout  # 50 ms, which --help need not wait for

    lock = FileLock(directory / LOCK)
    try:
        lock.acquire(timeout=0.3, poll_interval=0.05)  # somebody may just be asking whether it is taken
    except Timeout:
        raise BusyError(f"{directory} is being written by another process.") from None
    except NotImplementedError:
        raise RecordError(f"The file system of {directory} knows no locks (flock). Choose another one.") from None
    try:
        yield
    finally:
        lock.release()


def is_running(directory: Path) -> bool:
    """Whether a process owns the directory."""
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
