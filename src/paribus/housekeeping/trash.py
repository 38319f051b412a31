"""Move runs and studies to a trash, from which they can be taken back until it is emptied."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from paribus import record
from paribus.errors import UserError
from paribus.housekeeping.shelf import measure_size, require_ended_runs
from paribus.paths import suggest_path


def check_removable(paths: Sequence[Path]) -> list[tuple[Path, int, int]]:
    """Return (path, number of runs, bytes) of each path.

    Raises UserError for a path that is not there, holds no run, is in the trash already, contains the working
    directory, or holds a run that another process is executing.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise UserError(f"{path} does not exist.{suggest_path(path)}")
        if record.TRASH in path.absolute().parts:
            raise UserError(f"{path} is in the trash. `paribus rm --empty` deletes what is there.")
        if Path.cwd().is_relative_to(path.resolve()):
            raise UserError(f"{path} contains the working directory. Name studies or runs.")
        found.append((path, len(require_ended_runs(path)), measure_size(path)))
    return found


def move_to_trash(path: Path) -> Path:
    """Move a run or study to the trash on the same file system; return its new path.

    The trash is the directory .trash in the nearest directory above that is called outputs, else beside `path`.
    """
    path = path.absolute()
    above = [parent for parent in path.parents if parent.name == "outputs"]
    root = above[0] if above else path.parent
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    target = root / record.TRASH / stamp / path.relative_to(root)
    number = 1
    while target.exists():  # two removals in a second
        number += 1
        target = root / record.TRASH / f"{stamp}_{number}" / path.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(path, target)
    return target


def find_trash(root: Path) -> list[Path]:
    """Find the trash directories at and below `root`."""
    found = []
    for folder, below, _ in os.walk(root):
        if record.TRASH in below:
            found.append(Path(folder) / record.TRASH)
            below.remove(record.TRASH)
    return found


def empty_trash(root: Path) -> int:
    """Delete what is in the trash directories at and below `root`; return the number of bytes that this frees."""
    freed = 0
    for trash in find_trash(root):
        freed += measure_size(trash)
        shutil.rmtree(trash)
    return freed
