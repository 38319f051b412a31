"""Read and write the files of a run record."""

import csv
import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from paribus.errors import UserError, summarise_error
from paribus.paths import suggest_path
from paribus.record.faults import find_fault
from paribus.record.schema import (
    ABSENT,
    COMPLETED,
    COMPOSITION,
    DAMAGED,
    FINISHED,
    LAST,
    METRICS,
    STOP,
    SUMMARY,
    TRASH,
    UNFINISHED,
    WRITTEN,
)


class RecordError(UserError):
    """A directory without a run, or an unreadable file of a record."""


def read_text(path: Path) -> str:
    """Read a text file of a record.

    Raises RecordError for what is no regular file (a pipe would be waited for without end) and what cannot be read;
    FileNotFoundError and NotADirectoryError where nothing is there.
    """
    require_regular(path)
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise RecordError(f"{path} cannot be read ({reason}).") from None


def require_regular(path: Path) -> None:
    """Raise RecordError where `path` is a pipe, say, which would be waited for without end, or a directory."""
    if path.exists() and not path.is_file():
        raise RecordError(f"{path} is no regular file.")


def read_yaml(path: Path) -> Any:
    """Read a YAML file of a record. Raises as read_text, and RecordError for what is no YAML that a run writes."""
    import yaml

    text = read_text(path)
    if re.search(r"(^|[\s\[{,])[&*]\w", text):  # a run writes no aliases; a few lines of them can fill the memory
        raise RecordError(f"{path} is damaged (it has YAML aliases).")
    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({summarise_error(error)}).") from None


def read_status(directory: Path) -> tuple[str, dict[str, Any] | None]:
    """Return the status of a directory, and its summary if that can be read.

    Besides the statuses in summary.json: unfinished (no summary.json), damaged (unreadable, or completed without
    metrics.csv), absent (no record).
    Whether a process is running in the directory is not checked.
    """
    if not (directory / SUMMARY).exists():
        return (UNFINISHED if (directory / METRICS).exists() or (directory / LAST).exists() else ABSENT), None
    try:
        summary = read_summary(directory)
    except RecordError:
        return DAMAGED, None
    needed = ("identity", "statistics", "config")
    lacking = [key for key in needed if summary.get(key, ... if summary["status"] not in FINISHED else None) is None]
    if lacking or (summary["status"] == COMPLETED and not (directory / METRICS).exists()):
        return DAMAGED, None
    return summary["status"], summary


def describe_damage(directory: Path) -> str:
    """Describe why a run counts as damaged by its summary and its files."""
    try:
        found = read_summary(directory)
    except RecordError as error:
        return str(error)
    lacking = [key for key in ("identity", "statistics", "config") if not isinstance(found.get(key), dict | str)]
    if not lacking:
        return f"{directory / METRICS} is missing."
    version = found.get("versions", {}).get("paribus", "unknown")
    return f"{directory / SUMMARY} lacks {', '.join(lacking)} (made by version {version})."


def advise_repeat(directory: Path) -> str:
    """Say how a run that cannot be used is trained again."""
    return f"Remove the run (paribus rm {shlex.quote(str(directory))}) and train it again."


def clear_record(directory: Path) -> None:
    """Remove the record of a run before it is repeated; keep its log and all unknown files."""
    for pattern in ("events.out.tfevents.*", *WRITTEN):
        for path in directory.glob(pattern):
            path.unlink()


def remove_temporary(directory: Path) -> None:
    """Remove what a killed process has left behind: temporary files, and a request to stop it.

    The caller must own the directory.
    """
    (directory / STOP).unlink(missing_ok=True)
    for name in (*WRITTEN, COMPOSITION):
        path = directory / name
        for stale in path.parent.glob(f".{path.name}.[0-9]*"):
            stale.unlink()


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; its file replaces `path` at the end, unless there is an exception.

    Readers find the old or the new file, never a partial one. Raises OSError with the name of `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:  # some name no file, or the temporary one
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_metrics(directory: Path, epochs: int | None = None) -> list[dict[str, float | None]]:
    """Read the rows of metrics.csv: epoch and step are integers, other values floats, empty cells None.

    `epochs` limits the number of rows; later ones are not checked. Raises RecordError if the file is missing or has an
    incomplete row.
    """
    path = directory / METRICS
    rows = []
    try:
        reader = csv.DictReader(read_text(path).splitlines())
        if not {"epoch", "step"} <= set(reader.fieldnames or ()):
            raise ValueError("it has no columns epoch and step")
        for row in islice(reader, epochs):
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} does not have {len(reader.fieldnames or [])} columns")
            rows.append(
                {k: None if v == "" else int(v) if k in ("epoch", "step") else float(v) for k, v in row.items()}
            )
        return rows
    except FileNotFoundError:
        raise RecordError(f"{directory} has no {METRICS}.") from None
    except (ValueError, csv.Error) as error:
        raise RecordError(f"{path} is damaged: {error}.") from None


def to_plain(value: Any) -> Any:
    """Return a value as JSON has it: NaN and infinity are None."""
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; NaN and infinity become null."""
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(to_plain(content), file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def read_summary(directory: Path) -> dict[str, Any]:
    """Read summary.json. Raises RecordError if it is missing, unreadable or of other content than a run writes."""
    path = directory / SUMMARY
    try:
        summary = json.loads(read_text(path))
    except FileNotFoundError:
        what = "a run that has not ended" if (directory / METRICS).exists() else "no run"
        raise RecordError(f"{directory} holds {what}: it has no {SUMMARY}.") from None
    except NotADirectoryError:
        raise RecordError(f"{directory} is a file. Give the directory of a run.") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path} is damaged ({error}). Repeat the run.") from None
    if not isinstance(summary, dict) or "status" not in summary:
        raise RecordError(f"{path} is not the summary of a run.")
    if fault := find_fault(summary):
        raise RecordError(f"{path} is damaged: {fault}. Repeat the run.")
    return summary


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Return the directories of ended runs at and below `paths`, sorted. Raises RecordError for a path without any."""
    runs: list[Path] = []
    for path in paths:
        if not path.exists():
            raise RecordError(f"{path} does not exist.{suggest_path(path)}")
        below = (p.parent for p in path.rglob(SUMMARY) if TRASH not in p.relative_to(path).parts)
        found = [path] if (path / SUMMARY).exists() else sorted(below)
        if not found:
            read_summary(path)  # raises with the reason
        runs += [run for run in found if run not in runs]
    return runs
