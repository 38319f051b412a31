"""Name the runs of a study by what they differ in, for the terminal. Their directories have the whole names."""

from collections.abc import Sequence
from dataclasses import replace

from paribus.config.grammar import shorten
from paribus.sweep.plan import PlannedRun

MOST = 24  # characters of a value in a table
PART = ("study=", "sequential=", "confirm=")


def label_runs(planned: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[str]]:
    """Return the runs with the overrides in which they differ, and the overrides that all of them have.

    What says only in which part of a study a run is made is left out.
    """
    typed = [dict.fromkeys(text for text in run.job.overrides if not text.startswith(PART)) for run in planned]
    shared = [text for text in typed[0] if all(text in others for others in typed)] if len(planned) > 1 else []
    varying = [tuple(text for text in texts if text not in shared) for texts in typed] if len(planned) > 1 else [()]
    return [replace(run, job=replace(run.job, varying=v)) for run, v in zip(planned, varying, strict=True)], shared


def split_labels(planned: Sequence[PlannedRun]) -> tuple[list[str], list[list[str]]]:
    """Return the headings of a table of runs, a key each, and a row of values for each run.

    A key is named by its last part where that is unique. A run without such overrides has its directory's name.
    """
    rows = [
        {key.lstrip("+~"): value for key, _, value in (text.partition("=") for text in run.job.varying)}
        if run.job.varying
        else {"run": run.name}
        for run in planned
    ]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    short = [key.rpartition(".")[2] for key in keys]
    headings = [name if short.count(name) == 1 else key for key, name in zip(keys, short, strict=True)]
    cells = [[row.get(k, "") if k == "run" else shorten(row.get(k, ""), MOST) for k in keys] for row in rows]
    return headings, cells
