"""Read and write plan.json: the runs that the last command of a study has planned."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any

from paribus.record.files import RecordError, read_text, write_json
from paribus.record.schema import PLAN

VERSION = 1  # of the file


@dataclass(frozen=True)
class PlanEntry:
    """A planned run.

    Attributes:
        path: its directory, below that of the study, with / between the parts.
        setting: the overrides in which it differs from other runs of the study, without its seed.
        seed: its seed, as it was typed; None where no seed was typed.
        epochs: how many epochs it is trained.
    """

    path: str
    setting: tuple[str, ...]
    seed: str | None
    epochs: int


@dataclass(frozen=True)
class StudyPlan:
    """The plan of a study.

    Attributes:
        command: goes on with the study.
        runs: all runs that are planned so far.
        whole: whether no later round of any command adds runs.
        later: how many epochs later rounds are expected to train, over all their runs.
        started: when the round began, in seconds since 1970.
        epochs_before: how many of the planned epochs were trained by then, over all runs.
        waiting: by command that has later rounds, how many epochs these train.
    """

    command: str
    runs: tuple[PlanEntry, ...]
    whole: bool
    later: int
    started: float
    epochs_before: int
    waiting: Mapping[str, int] = field(default_factory=dict)


def write_study_plan(directory: Path, plan: StudyPlan) -> None:
    """Write the plan of the study in `directory`, atomically."""
    write_json(directory / PLAN, {"version": VERSION, **asdict(plan)})


def read_study_plan(directory: Path) -> StudyPlan | None:
    """Read the plan of the study in `directory`; None where there is none, as in a record of an older version.

    Raises RecordError for a file that cannot be read, or that another version wrote.
    """
    path = directory / PLAN
    try:
        found = json.loads(read_text(path))
        if found["version"] != VERSION:
            raise RecordError(f"{path} has version {found['version']}, this Paribus reads {VERSION}. Use a newer one.")
        return _parse(found)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{path} is damaged. Start the command of the study again, which writes it anew.") from error


def find_study_plans(paths: Iterable[Path], runs: Iterable[Path]) -> dict[Path, StudyPlan]:
    """Read the plans of the studies at or below `paths` that hold some of `runs`; return them by directory.

    A directory in `paths` that is a run brings in no study. A plan that cannot be read is left out: only those who
    train the study need it.
    """
    paths = list(paths)
    above = dict.fromkeys(folder for run in runs for folder in run.parents)
    found: dict[Path, StudyPlan] = {}
    for folder in above:
        if any(folder.is_relative_to(path) for path in paths):
            with suppress(RecordError):
                plan = read_study_plan(folder)
                if plan is not None:
                    found[folder] = plan
    return found


def _parse(found: dict[str, Any]) -> StudyPlan:
    for path in (PurePath(run["path"]) for run in found["runs"]):
        if path.is_absolute() or ".." in path.parts:  # of a study from elsewhere: it would lead out of the study
            raise ValueError(str(path))
    runs = tuple(
        PlanEntry(
            str(run["path"]), tuple(map(str, run["setting"])), None if run["seed"] is None else str(run["seed"]),
            int(run["epochs"]),
        )
        for run in found["runs"]
    )  # fmt: skip
    return StudyPlan(
        str(found["command"]), runs, bool(found["whole"]), int(found["later"]), float(found["started"]),
        int(found["epochs_before"]), {str(command): int(n) for command, n in found.get("waiting", {}).items()},
    )  # fmt: skip
