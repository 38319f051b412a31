"""Runs that a study has planned and not begun are said to be missing; nothing is said where no plan tells."""

import json
from pathlib import Path

import pytest
from made_studies import grid
from records import write_run
from screens import line

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report.verdict import Verdict, verdict
from multirun_analysis.report.verdict_json import as_object
from paribus import record

COMMAND = "python train.py --multirun study=s activation=relu,tanh seed=0,1,2"
NO_RECORD = "planned runs have no record"


def plan(directory: Path, names: list[str], command: str = COMMAND) -> None:
    runs = tuple(record.PlanEntry(name, (), None, 3) for name in names)
    record.write_study_plan(directory, record.StudyPlan(command, runs, True, 0, 0.0, 0))


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A study of six planned runs, of which four have finished."""
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [0.1, 0.2, 0.3]})
    for i, run in enumerate(runs[:4]):
        write_run(tmp_path / "s" / str(i), **run)
    plan(tmp_path / "s", [str(i) for i in range(6)])
    return tmp_path / "s"


def judge(*paths: Path) -> Verdict:
    return verdict(compare(load_runs(paths)))


def test_planned_runs_without_a_record_are_counted(begun: Path) -> None:
    found = judge(begun)
    assert line(found, "MISSING") == "2 of 6 planned runs have no record"
    assert "finish" in line(found, "NEXT") and found.command == COMMAND
    comparison = compare(load_runs(begun))
    written = json.loads(json.dumps(as_object(comparison, verdict(comparison), None)["planned"]))
    assert written == {"runs": 6, "unrecorded": 2}
    with record.lock_directory(begun):  # a command trains it, and is between two runs
        assert "wait" in line(judge(begun), "NEXT")


def test_they_are_said_beside_others(begun: Path) -> None:
    write_run(begun / "4", **grid({"tanh": [0.2]})[0] | {"status": "interrupted"})
    assert line(judge(begun), "MISSING") == "1 interrupted: it says nothing yet; 1 of 6 planned runs has no record"


def test_a_directory_of_studies_has_the_command_of_the_unfinished_one(begun: Path) -> None:
    for i, run in enumerate(grid({"relu": [1.0], "tanh": [0.1]})):
        write_run(begun.parent / "a" / str(i), **run)
    plan(begun.parent / "a", ["0", "1"], "python train.py --multirun study=a")
    found = judge(begun.parent)
    assert f"2 of 8 {NO_RECORD}" in line(found, "MISSING") and found.command == COMMAND


@pytest.mark.parametrize(
    "why", ["finished", "absent", "damaged", "of another version", "its runs alone", "opened elsewhere"]
)
def test_nothing_is_said_where_no_plan_tells(begun: Path, why: str) -> None:
    given = [begun]
    if why in ("finished", "opened elsewhere"):
        plan(begun, ["0", "1", "2", "3"])
    if why == "absent":
        (begun / record.PLAN).unlink()
    if why == "damaged":
        (begun / record.PLAN).write_text('{"version": 1, "runs": [')
    if why == "of another version":
        (begun / record.PLAN).write_text('{"version": 99}')
    if why == "its runs alone":
        given = sorted(path for path in begun.iterdir() if path.is_dir())
    if why == "opened elsewhere":
        given = [begun.rename(begun.parent / "copy")]
    found = judge(*given)
    assert NO_RECORD not in line(found, "MISSING") and "finish" not in line(found, "NEXT")
