"""Read and write the files of a run record."""

import csv
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from paribus.errors import UserError
from paribus.record.schema import (
    ABSENT,
    BEST,
    COMPOSITION,
    DAMAGED,
    FINISHED,
    FOLDS,
    LAST,
    LAYERS,
    METRICS,
    PREDICTIONS,
    SUMMARY,
    UNFINISHED,
    WEIGHTS,
)


class RecordError(UserError):
    """A directory without a run, or an unreadable file of a record."""


def read_status(directory: Path) -> tuple[str, dict[str, Any] | None]:
    """Return the status of a directory, and its summary if that can be read.

    Besides the statuses in summary.json: unfinished (no summary.json), damaged (unreadable), absent (no record).
    Whether a process is running in the directory is not checked.
    """
    if not (directory / SUMMARY).exists():
        return (UNFINISHED if (directory / METRICS).exists() or (directory / LAST).exists() else ABSENT), None
    try:
        summary = read_summary(directory)
    except RecordError:
        return DAMAGED, None
    kinds = {"status": str, "identity": str, "statistics": dict, "config": dict}
    needed = kinds if summary["status"] in FINISHED else ()
    whole = all(isinstance(summary[key], kind) for key, kind in kinds.items() if key in summary)
    if not whole or not all(key in summary for key in needed):
        return DAMAGED, None
    return summary["status"], summary


def clear_record(directory: Path) -> None:
    """Remove the record of a run before it is repeated; keep its log and all unknown files."""
    # in this order, so that after an interrupted removal the run is still one to repeat
    for pattern in (LAST, BEST, "events.out.tfevents.*", LAYERS, FOLDS, PREDICTIONS, WEIGHTS, METRICS, SUMMARY):
        for path in directory.glob(pattern):
            path.unlink()


def remove_temporary(directory: Path) -> None:
    """Remove the temporary files of a killed process; the caller must own the directory."""
    for name in (SUMMARY, METRICS, LAYERS, FOLDS, PREDICTIONS, WEIGHTS, LAST, BEST, COMPOSITION):
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
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = []
            for row in islice(reader, epochs):
                if None in row or None in row.values():
                    raise ValueError(f"line {reader.line_num} does not have {len(reader.fieldnames or [])} columns")
                rows.append(
                    {k: None if v == "" else int(v) if k in ("epoch", "step") else float(v) for k, v in row.items()}
                )
            return rows
    except FileNotFoundError:
        raise RecordError(f"{directory} has no {METRICS}.") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {error}.") from None


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically; NaN and infinity become null."""

    def to_plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): to_plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [to_plain(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(to_plain(content), file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def read_summary(directory: Path) -> dict[str, Any]:
    """Read summary.json. Raises RecordError if it is missing or unreadable."""
    path = directory / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = "a run that has not ended" if (directory / METRICS).exists() else "no run"
        raise RecordError(f"{directory} holds {what}: it has no {SUMMARY}.") from None
    except NotADirectoryError:
        raise RecordError(f"{directory} is a file. Give the directory of a run.") from None
    except ValueError as error:
        raise RecordError(f"{path} is damaged ({error}). Repeat the run.") from None
    if not isinstance(summary, dict) or "status" not in summary:
        raise RecordError(f"{path} is not the summary of a run.")
    return summary


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Return the directories of ended runs at and below `paths`, sorted. Raises RecordError for a path without any."""
    runs: list[Path] = []
    for path in paths:
        if not path.exists():
            raise RecordError(f"{path} does not exist.")
        found = [path] if (path / SUMMARY).exists() else sorted(p.parent for p in path.rglob(SUMMARY))
        if not found:
            read_summary(path)  # raises with the reason
        runs += [run for run in found if run not in runs]
    return runs
