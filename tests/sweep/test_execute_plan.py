"""The runs of a plan are executed, whatever happens to some of them."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from paribus import record
from paribus.run.attempt import Outcome
from paribus.run.spec import Composed, Job
from paribus.sweep.execute import execute_plan
from paribus.sweep.plan import PlannedRun


def jobs(tmp_path: Path, n: int) -> list[PlannedRun]:
    return [
        PlannedRun(
            Job(tmp_path / str(i), Composed(OmegaConf.create(), OmegaConf.create({"mode": RunMode.MULTIRUN}))),
            record.ABSENT,
            None,
        )
        for i in range(n)
    ]  # type: ignore[arg-type]


def whole(status: str) -> dict[str, Any]:
    return {"status": status, "identity": "0", "config": {}, "statistics": {}}


def finish(job: Job) -> None:
    job.directory.mkdir(exist_ok=True)
    (job.directory / record.METRICS).touch()
    record.write_json(job.directory / record.SUMMARY, whole("completed"))


def test_what_another_process_makes_is_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    """The second run is locked for the first three looks; meanwhile its maker finishes."""
    monkeypatch.setattr("paribus.sweep.execute.time.sleep", lambda seconds: None)
    planned = jobs(tmp_path, 3)
    looks = iter([True, True, True])
    theirs = tmp_path / "1"

    def running(directory: Path) -> bool:
        if directory == theirs and next(looks, False):
            return True
        if directory == theirs:
            finish(planned[1].job)
        return False

    monkeypatch.setattr(record, "is_running", running)
    attempts: list[str] = []

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            attempts.append(job.directory.name)
            finish(job)
            yield job, Outcome()

    told: list[tuple[str, str]] = []
    execute_plan(planned, engine, lambda run, ended: told.append((run.name, run.status)))
    assert attempts == ["0", "2", "1"]
    assert told == [("0", "completed"), ("2", "completed"), ("1", "completed")]


def test_a_run_that_turns_out_to_be_taken_is_asked_for_again(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 1)
    answers = iter([Outcome(busy=True), Outcome(busy=True), Outcome()])

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            answer = next(answers)
            if not answer.busy:
                finish(job)
            yield job, answer

    told: list[str] = []
    execute_plan(planned, engine, lambda run, ended: told.append(run.status))
    assert told == ["completed"]


@pytest.mark.parametrize(("left", "ended", "status", "message"), [
    ("completed", Outcome(), "completed", None),
    ("failed", Outcome(message="boom"), "failed", "boom"),
    ("metrics", Outcome(message="its process was killed"), "unfinished", "its process was killed"),
    ("nothing", Outcome(message="Permission denied"), "failed", "Permission denied"),
    ("completed", Outcome(message="another run is there"), "failed", "another run is there"),
])  # fmt: skip
def test_how_a_run_ended_is_what_its_record_says(
    tmp_path: Path, left: str, ended: Outcome, status: str, message: str | None
) -> None:
    (run,) = jobs(tmp_path, 1)
    run.job.directory.mkdir()
    if left in ("metrics", "completed"):
        (run.job.directory / record.METRICS).touch()
    if left not in ("metrics", "nothing"):
        (run.job.directory / record.SUMMARY).write_text(json.dumps(whole(left)))
    after = run.update(ended)
    assert (after.status, after.message) == (status, message)
