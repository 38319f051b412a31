"""Runs and studies stop on request, and go on later as if they had not; the plan of a study is recorded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
from small_studies import statuses, sweep

from paribus import record
from paribus.record.tables import MetricsWriter
from paribus.training import checkpoints

Ask = Callable[[str, Callable[[Path], Path]], None]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """ask("seed=1", place) asks for a stop in place(run) as soon as such a run has trained two epochs, once."""

    def prepare(name: str, place: Callable[[Path], Path]) -> None:
        write, asked = MetricsWriter.write, []

        def write_and_ask(self: MetricsWriter, row: Any) -> None:
            write(self, row)
            if name in str(self.path) and row["epoch"] == 2 and not asked:
                asked.append(record.request_stop(place(self.path.parent), "anna@here"))

        monkeypatch.setattr(MetricsWriter, "write", write_and_ask)
        monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 0.0)

    return prepare


def find(directory: Path, name: str) -> Path:
    (found,) = (run for run in directory.iterdir() if run.is_dir() and name in run.name)
    return found


def same_curves(one: Path, other: Path) -> None:
    frames = [pandas.read_csv(run / record.METRICS).drop(columns="epoch_seconds") for run in (one, other)]
    pandas.testing.assert_frame_equal(*frames, check_exact=True)


@pytest.mark.slow
def test_a_run_that_is_stopped_leaves_the_others_alone_and_is_resumed(ask: Ask) -> None:
    undisturbed = sweep("trainer.max_epochs=4", "seed=1", of="undisturbed")
    ask("seed=1", lambda run: run)
    directory = sweep("trainer.max_epochs=4", "seed=1,2", code=1)
    summary = record.read_summary(stopped := find(directory, "seed=1"))
    assert statuses(directory) == ["completed", "interrupted"]
    assert summary["message"] == "Stopped on request of anna@here after epoch 2 of 4." and "paused" not in summary
    assert not (stopped / record.STOP).exists()
    assert sweep("trainer.max_epochs=4", "seed=1,2") == directory
    assert record.read_summary(stopped)["taken_up"] == [2]
    same_curves(find(undisturbed, "seed=1"), stopped)


@pytest.mark.slow
def test_a_study_that_is_stopped_begins_no_further_run_until_it_is_started_again(ask: Ask) -> None:
    ask("seed=1", lambda run: run.parent)
    directory = sweep("trainer.max_epochs=4", "seed=1,2", code=130)
    assert [run.name for run in directory.iterdir() if run.is_dir()] == [find(directory, "seed=1").name]
    assert record.read_summary(find(directory, "seed=1"))["status"] == "interrupted"
    assert (directory / record.STOP).exists()  # for jobs in the queue of a cluster
    assert not record.is_running(directory)
    sweep("trainer.max_epochs=4", "seed=1,2")
    assert statuses(directory) == ["completed", "completed"] and not (directory / record.STOP).exists()


def test_a_single_run_is_interrupted_by_its_own_request_and_not_by_its_studys(
    ask: Ask, train: Callable[..., Path]
) -> None:
    options = ("model=regression", "trainer.max_epochs=4", "threads=1", "callbacks=none", "logger=none")
    whole = train(*options, directory="days/whole")
    ask("days/cut", lambda run: run)
    cut = train(*options, directory="days/cut", code=130)
    assert record.read_status(cut)[0] == "interrupted" and len(record.read_metrics(cut)) == 2
    (cut.parent / record.STOP).touch()
    train(f"resume={cut}", directory="days/cut")
    same_curves(whole, cut)


def test_the_second_who_asks_is_told_of_the_first(tmp_path: Path) -> None:
    first = record.request_stop(tmp_path, "anna@here")
    with pytest.raises(record.AlreadyRequestedError, match=f"anna@here has asked for this at {first.at}"):
        record.request_stop(tmp_path, "bert@there")
    assert record.find_stop([tmp_path / "none", tmp_path]) == first
    (tmp_path / record.STOP).write_text("")  # made by hand
    found = record.find_stop([tmp_path])
    assert found is not None and found.by == "somebody"
    record.withdraw_stop(tmp_path)
    assert record.find_stop([tmp_path]) is None


@pytest.mark.parametrize("path", ["/etc", "../other", "a/../../b"])
def test_a_plan_does_not_lead_out_of_its_study(tmp_path: Path, path: str) -> None:
    entry = record.PlanEntry(path, ("optim=adam",), "1", 3)
    record.write_study_plan(tmp_path, record.StudyPlan("python train.py", (entry,), True, 0, 0.0, 0))
    with pytest.raises(record.RecordError, match="damaged"):
        record.read_study_plan(tmp_path)


@pytest.mark.slow
def test_the_plan_of_a_study_says_what_there_is_to_be() -> None:
    brief = "trainer.max_epochs=1"
    directory = sweep("activation=relu,tanh", "seed=1", brief)
    plan = record.read_study_plan(directory)
    assert plan is not None and plan.whole and plan.later == 0 and "activation=relu,tanh seed=1" in plan.command
    expected = [(("activation=relu",), "1", 1), (("activation=tanh",), "1", 1)]
    assert [(entry.setting, entry.seed, entry.epochs) for entry in plan.runs] == expected
    assert {directory / entry.path for entry in plan.runs} == {run for run in directory.iterdir() if run.is_dir()}
    before = (directory / record.PLAN).read_bytes()
    with record.lock_directory(directory):  # another command is at work
        sweep("activation=elu", "seed=1", brief)
        both = record.read_study_plan(directory)
    assert both is not None and len(both.runs) == 3 and (directory / record.PLAN).read_bytes() != before
    before = (directory / record.PLAN).read_bytes()
    sweep("activation=elu", "seed=1", brief)  # nothing to do: nothing is written
    assert (directory / record.PLAN).read_bytes() == before
    sweep("activation=elu", "seed=1,2", brief)
    alone = record.read_study_plan(directory)
    assert alone is not None and len(alone.runs) == 2


@pytest.mark.slow
def test_the_plan_of_a_study_in_rounds_is_whole_after_the_last_one() -> None:
    looks = ("until=decided", "until.looks=[3]", "until.max_seeds=4", "until.margin=1000")
    directory = sweep("activation=relu,tanh", "trainer.max_epochs=1", *looks)
    plan = record.read_study_plan(directory)
    assert plan is not None and plan.whole and plan.later == 0
    path = directory / record.PLAN
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(record.RecordError, match="version 99"):
        record.read_study_plan(directory)
