"""Name runs in a table, which has little room."""

import os
from collections.abc import Sequence
from pathlib import Path

from paribus import record
from paribus.run.load import Run


def name_runs(runs: Sequence[Run]) -> tuple[str, list[str]]:
    """Return the directory that several runs are in, and their names there, without the settings that all share.

    A single run has its own directory as its name, and "" for the first. A status other than completed is added.
    """
    status = [run.summary["status"] for run in runs]
    ends = ["" if one == record.COMPLETED else f" ({one})" for one in status]
    if len(runs) < 2:
        return "", [f"{run.directory}{end}" for run, end in zip(runs, ends, strict=True)]
    directories = [run.directory.absolute() for run in runs]
    parent = Path(os.path.commonpath([directory.parent for directory in directories]))
    names = [str(directory.relative_to(parent)) for directory in directories]
    shared = set.intersection(*(set(name.split(",")) for name in names))
    short = [",".join(part for part in name.split(",") if part not in shared) or name for name in names]
    where = parent.relative_to(Path.cwd()) if parent.is_relative_to(Path.cwd()) else parent
    return str(where), [f"{name}{end}" for name, end in zip(short, ends, strict=True)]
