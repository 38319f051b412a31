"""Commands that train one study at the same time share its plan."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from paribus import record
from paribus.config.check import Choices
from paribus.run.spec import Composed, Job
from paribus.sweep.plan import PlannedRun
from paribus.sweep.recorded_plan import PlanKeeper
from paribus.sweep.rounds import Round

LAST = Round([])


@dataclass(frozen=True)
class Unmade:
    """A composition that must not be made: it takes milliseconds."""

    overrides: tuple[str, ...]
    pause: int | None

    def make(self) -> Composed:
        raise AssertionError("made for the plan")

    def move_to(self, directory: Path) -> "Unmade":
        return self


def make_run(directory: Path, pause: int | None = None) -> PlannedRun:
    """Plan a run of 5 epochs with the seed that its directory is named after."""
    choices = Choices({}, {}, {"trainer": {"max_epochs": 5}})
    composition = Unmade((f"seed={directory.name}", "optim=sgd"), pause)
    return PlannedRun(Job(directory, composition, choices), record.ABSENT, None)


def read_paths(directory: Path) -> list[str]:
    plan = record.read_study_plan(directory)
    assert plan is not None
    return [entry.path for entry in plan.runs]


def test_runs_that_another_command_has_added_stay_in_the_plan(tmp_path: Path) -> None:
    old = record.PlanEntry("0", (), "0", 1)
    record.write_study_plan(tmp_path, record.StudyPlan("", (old,), True, 0, 0.0, 0))
    first = PlanKeeper(tmp_path, "first")
    first.write(LAST, [make_run(tmp_path / name) for name in "12"])
    assert read_paths(tmp_path) == ["1", "2"]  # an earlier command's are forgotten
    second = PlanKeeper(tmp_path, "second")
    second.write(LAST, [make_run(tmp_path / name) for name in "23"])
    first.write(LAST, [make_run(tmp_path / name) for name in "14"])  # 2 has got another directory
    assert sorted(read_paths(tmp_path)) == ["1", "3", "4"]
    first.close()
    assert not record.is_running(tmp_path)
    second.write(LAST, [make_run(tmp_path / name) for name in "23"])
    assert sorted(read_paths(tmp_path)) == ["1", "2", "3", "4"]
    assert record.is_running(tmp_path)  # the second one holds the lock from now on
    second.close()
    assert not record.is_running(tmp_path)


def test_a_plan_is_whole_once_no_command_has_a_later_round(tmp_path: Path) -> None:
    def read() -> tuple[bool, int]:
        plan = record.read_study_plan(tmp_path)
        assert plan is not None
        return plan.whole, plan.later

    first = PlanKeeper(tmp_path, "first")
    first.write(Round([], "search", later=70), [make_run(tmp_path / "1")])
    second = PlanKeeper(tmp_path, "second")
    second.write(LAST, [make_run(tmp_path / "2")])
    assert read() == (False, 70)
    second.write(Round([], "rung 1 of 2", later=5), [make_run(tmp_path / "2")])
    assert read() == (False, 75)
    first.write(LAST, [make_run(tmp_path / "1")])
    assert read() == (False, 5)
    second.write(LAST, [make_run(tmp_path / "2")])
    assert read() == (True, 0)
    for keeper in (first, second):
        keeper.close()


def test_a_command_waits_for_one_that_was_asked_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with record.lock_directory(tmp_path):  # a command that has not looked yet
        record.request_stop(tmp_path, "anna@here")
        second = threading.Thread(target=PlanKeeper, args=(tmp_path, "second"))
        second.start()
        time.sleep(0.6)
        assert second.is_alive() and record.find_stop([tmp_path]) is not None
    second.join(10)
    assert not second.is_alive() and record.find_stop([tmp_path]) is None
    assert "Waiting for another command to stop, as anna@here has asked at" in caplog.text


def test_a_damaged_plan_ends_no_study(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = PlanKeeper(tmp_path, "first")
    keeper.write(LAST, [make_run(tmp_path / "1")])
    (tmp_path / record.PLAN).write_text("{")
    keeper.write(LAST, [make_run(tmp_path / "1")])
    keeper.close()
    assert read_paths(tmp_path) == ["1"] and "plan.json is damaged" in caplog.text


def test_a_plan_says_setting_seed_and_epochs_without_a_composition(tmp_path: Path) -> None:
    keeper = PlanKeeper(tmp_path, "first")
    keeper.write(LAST, [make_run(tmp_path / "1", pause=2), make_run(tmp_path / "2")])
    keeper.close()
    plan = record.read_study_plan(tmp_path)
    assert plan is not None
    assert plan.runs == (record.PlanEntry("1", (), "1", 2), record.PlanEntry("2", (), "2", 5))
