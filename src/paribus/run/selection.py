"""Select the runs that are evaluated: of a directory of runs those that have finished."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from paribus import record
from paribus.errors import UserError

NOT_BEGUN = "not begun"
LEFT_OUT = (record.INTERRUPTED, record.FAILED, record.PAUSED, record.RUNNING, record.UNFINISHED, NOT_BEGUN)
MOST_NAMED = 3
REMEDY = "To evaluate one that has a checkpoint, name its own directory."


def select_runs(paths: Iterable[Path]) -> tuple[list[Path], str | None]:
    """Select the runs to evaluate; return their directories, and a sentence about those that are left out.

    A run that is given by its own directory is selected however it ended. Of a directory of runs, those that have
    finished are; the others count, and so do the runs that its study has planned and not begun. Raises RecordError for
    a path without runs, and UserError for the directory of several studies and where no run is selected.
    """
    paths = list(paths)
    own: list[Path] = []
    below: list[Path] = []
    for path in paths:
        found = record.find_runs([path])
        _refuse_several_studies(path, found)
        (own if found == [path] else below).extend(found)
    plans = record.find_study_plans(paths, below)
    planned = [study / entry.path for study, plan in plans.items() for entry in plan.runs]
    statuses = {run: _find_status(run) for run in dict.fromkeys([*below, *planned]) if run not in own}
    left_out = Counter(status for status in statuses.values() if status in LEFT_OUT)
    selected = [*dict.fromkeys(own), *(run for run, status in statuses.items() if status not in LEFT_OUT)]
    if not left_out:
        return selected, None
    number, total = left_out.total(), len(statuses)
    kind = f"{'planned ' if planned else ''}run{'s' * (total != 1)}"
    counted = ", ".join(f"{n:,} {status}" for status, n in left_out.items())
    if not selected:
        raise UserError(f"None of {total:,} {kind} has finished ({counted}). {REMEDY}")
    are = "has not finished and is left out" if number == 1 else "have not finished and are left out"
    return selected, f"{number:,} of {total:,} {kind} {are} ({counted}). {REMEDY}"


def _refuse_several_studies(path: Path, runs: list[Path]) -> None:
    """Raise UserError for a directory that holds several studies: nobody chooses all of their runs for the test set."""
    studies = sorted({run.parent for run in runs})
    if len(studies) > 1 and not (path / record.PLAN).exists():
        named = ", ".join(map(str, studies[:MOST_NAMED])) + (", ..." if len(studies) > MOST_NAMED else "")
        raise UserError(f"{path} holds the runs of {len(studies):,} studies ({named}). Name the run or study: run=DIR.")


def _find_status(run: Path) -> str:
    """Find the status of a run, also of one that is being trained, or that is planned."""
    status, summary = record.read_status(run)
    if status == record.INTERRUPTED and (summary or {}).get("paused"):
        return record.PAUSED
    if status in (record.UNFINISHED, record.ABSENT) and record.is_running(run):
        return record.RUNNING
    return NOT_BEGUN if status == record.ABSENT else status
