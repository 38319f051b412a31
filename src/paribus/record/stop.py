"""Ask a run or a study to stop, by a file in its directory, which reaches every machine of a shared file system.

A run looks for the file at the end of each epoch, in its own directory and in that of the study that executes it. It
then stops as after Ctrl-C, so that it can be resumed. Whoever starts a run or a study again removes the file.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from paribus.record.files import RecordError, read_text
from paribus.record.schema import STOP


@dataclass(frozen=True)
class StopRequest:
    """A request to stop.

    Attributes:
        by: who asks, as user@host.
        at: when, as HH:MM:SS of the asking machine.
    """

    by: str
    at: str


class AlreadyRequestedError(RecordError):
    """A second request to stop the same run or study."""


def request_stop(directory: Path, by: str) -> StopRequest:
    """Ask the run or study in `directory` to stop. Raises AlreadyRequestedError where somebody has asked before."""
    request = StopRequest(by, f"{datetime.now():%H:%M:%S}")
    try:
        file = os.open(directory / STOP, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        first = find_stop([directory]) or request
        raise AlreadyRequestedError(f"{first.by} has asked for this at {first.at} already.") from None
    with open(file, "w", encoding="utf-8") as opened:
        json.dump(asdict(request), opened)
    return request


def find_stop(directories: Iterable[Path]) -> StopRequest | None:
    """Find the first request to stop in `directories`; None where there is none."""
    for directory in directories:
        path = directory / STOP
        if path.exists():
            return _read(path)
    return None


def _read(path: Path) -> StopRequest | None:
    """Read a request; of one that is being written, or was made by hand, only its being there is known."""
    try:
        found = json.loads(read_text(path))
        return StopRequest(str(found["by"]), str(found["at"]))
    except FileNotFoundError:  # withdrawn meanwhile
        return None
    except (RecordError, ValueError, TypeError, KeyError):
        return StopRequest("somebody", "an unknown time")


def withdraw_stop(directory: Path) -> None:
    """Remove a request to stop the run or study in `directory`, if there is one."""
    (directory / STOP).unlink(missing_ok=True)
