"""List studies and runs."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from paribus import record
from paribus.errors import UserError

TAGS = ".tags.json"
NOTES = "notes.md"


@dataclass(frozen=True)
class Run:
    """A run as it is listed.

    Attributes:
        status: as in summary.json, or running, unfinished or damaged.
        metric: the column of metrics.csv that its best epoch was chosen by; None of a run without a summary of epochs.
        best: the value of the metric in that epoch; None if there is none.
        epochs: the number of rows of metrics.csv; None where it cannot be read.
        size: bytes of its directory.
        changed: when its record was last written, in seconds since 1970.
        tags, note: what the user wrote; `note` is the first line of notes.md.
    """

    path: str
    status: str
    metric: str | None
    best: float | None
    epochs: int | None
    size: int
    changed: float
    tags: list[str]
    note: str


@dataclass(frozen=True)
class Study:
    """A directory with runs, as it is listed. Attributes as those of Run; `runs` counts its runs by status."""

    path: str
    runs: dict[str, int]
    size: int
    changed: float
    tags: list[str]
    note: str


def find_runs(root: Path) -> list[Path]:
    """Find the directories of all runs at and below `root`, ended or not, except in the trash."""
    found = []
    for folder, below, files in os.walk(root):
        if record.SUMMARY in files or record.METRICS in files:
            found.append(Path(folder))
            below.clear()
        below[:] = sorted(name for name in below if name != record.TRASH)
    return sorted(found)


def require_ended_runs(path: Path) -> list[Path]:
    """Return the runs at and below `path`. Raises UserError if there are none, or another process executes one."""
    runs = find_runs(path)
    if not runs:
        raise UserError(f"{path} holds no run, and is left as it is.")
    running = [run for run in runs if record.is_running(run)]
    if running:
        raise UserError(f"{running[0]} is being written by another process. Stop it, or wait until it has ended.")
    return runs


def list_runs(root: Path) -> list[Run]:
    """List the runs at and below `root`."""
    return [_describe_run(path) for path in find_runs(root)]


def list_studies(root: Path) -> list[Study]:
    """List the directories that hold runs directly: studies, and the days of single runs."""
    by_parent: dict[Path, list[Run]] = {}
    for run in list_runs(root):
        by_parent.setdefault(Path(run.path).parent, []).append(run)
    return [
        Study(
            str(path),
            dict(Counter(run.status for run in runs)),
            sum(run.size for run in runs),
            max(run.changed for run in runs),
            read_tags(path),
            read_note(path).partition("\n")[0],
        )
        for path, runs in by_parent.items()
    ]


def _describe_run(path: Path) -> Run:
    status, summary = record.read_status(path)
    if status in (record.UNFINISHED, record.INTERRUPTED, record.FAILED) and record.is_running(path):
        status = record.RUNNING
    metric, best = record.read_best(summary or {})
    try:
        epochs = len(record.read_metrics(path))
    except record.RecordError:
        epochs = None
    written = [path / name for name in (record.SUMMARY, record.METRICS) if (path / name).exists()]
    changed = max((file.stat().st_mtime for file in written), default=path.stat().st_mtime)
    note = read_note(path).partition("\n")[0]
    return Run(str(path), status, metric, best, epochs, measure_size(path), changed, read_tags(path), note)


def measure_size(path: Path) -> int:
    """Return the number of bytes of the files at and below `path`; a link counts as itself."""
    if not path.is_dir():
        return path.lstat().st_size
    return sum((Path(folder) / name).lstat().st_size for folder, _, files in os.walk(path) for name in files)


def read_note(path: Path) -> str:
    """Return the text of notes.md, or "" where there is none."""
    return record.read_text(path / NOTES) if (path / NOTES).exists() else ""


def add_note(path: Path, text: str) -> None:
    """Add a paragraph to notes.md."""
    before = read_note(path)
    with record.replace_file(path / NOTES) as temporary:
        temporary.write_text(f"{before.rstrip()}\n\n{text}\n" if before.strip() else f"{text}\n", encoding="utf-8")


def read_tags(path: Path) -> list[str]:
    """Return the tags of a run or study. Raises RecordError if their file is damaged."""
    file = path / TAGS
    if not file.exists():
        return []
    try:
        tags = json.loads(record.read_text(file))["tags"]
    except (ValueError, KeyError, TypeError):
        tags = None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise record.RecordError(f"{file} is damaged. Remove it, and tag {path} again.")
    return tags


def change_tags(path: Path, add: Iterable[str], remove: Iterable[str]) -> list[str]:
    """Add and remove tags of a run or study; return those it has now. Raises UserError for one that it has not."""
    known = set(read_tags(path)) | set(add)
    missing = sorted(set(remove) - known)
    if missing:
        raise UserError(f"{path} has no tag {missing[0]!r}. Its tags: {', '.join(sorted(known)) or 'none'}.")
    tags = sorted(known - set(remove))
    record.write_json(path / TAGS, {"tags": tags})
    return tags


def to_json(listed: Iterable[Run | Study]) -> str:
    """Return what was listed as JSON: a list of objects with the attributes as keys."""
    return json.dumps([asdict(one) for one in listed], indent=2)
