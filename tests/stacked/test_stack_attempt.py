"""Stacks that are interrupted or fail in part, and are resumed."""

import math
from pathlib import Path

import pandas as pd
import pytest
from small_stacks import curves, jobs, read_summary, same_folds

from paribus import record
from paribus.instruments.weights import Weights
from paribus.run.attempt import Outcome, attempt
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.stack import Stack

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("split", ["random", "grouped"])  # grouped: parts of unequal sizes
def test_a_stack_that_was_killed_is_taken_up_and_so_is_each_of_its_runs_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    from paribus.stacked import stack as module

    typed = ("seed=1,2,3", "scheduler=onecycle", "trainer.max_epochs=6", "model.dropout=0.2", f"data.split={split}")
    whole = jobs(tmp_path / "whole", *typed)
    attempt_stack(whole)
    cut = jobs(tmp_path / "cut", *typed)
    trained = Stack._train_epoch

    def killed(self: Stack) -> None:
        if self.epoch == 4:
            raise KeyboardInterrupt
        trained(self)

    monkeypatch.setattr(module, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(module, "MAX_WRITE_SHARE", math.inf)
    monkeypatch.setattr(Stack, "_train_epoch", killed)
    assert {ended.message for ended in attempt_stack(cut)} == {"interrupted"}
    assert {record.read_status(job.directory)[0] for job in cut} == {record.INTERRUPTED}
    monkeypatch.setattr(Stack, "_train_epoch", trained)
    again = jobs(tmp_path / "cut", *typed)
    assert attempt(again[0], console=False) == Outcome()  # alone
    assert attempt_stack(again[1:]) == [Outcome()] * 2
    for one, other in zip(whole, again, strict=True):
        assert read_summary(other.directory)["taken_up"] == [4]
        pd.testing.assert_frame_equal(curves(one.directory), curves(other.directory), rtol=1e-4)
        same_folds(one.directory, other.directory)
    changes = [read_summary(job.directory).get("engine_changes") for job in (whole[0], *again)]
    said = {"epoch": 4, "from": "in a stack of 3"}
    assert changes == [None, [{**said, "to": "alone"}], *[[{**said, "to": "in a stack of 2"}]] * 2]
    assert [read_summary(job.directory).get("stacked") for job in again] == [None, 2, 2]


def test_a_run_whose_files_cannot_be_written_fails_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = jobs(tmp_path, "seed=1,2,3")
    finish = Weights.finish

    def full(self: Weights, directory: Path, best: dict) -> None:
        if directory == together[1].directory:
            raise OSError(28, "No space left on device", "weights.npz")
        finish(self, directory, best)

    monkeypatch.setattr(Weights, "finish", full)
    ended = attempt_stack(together)
    assert [record.read_status(job.directory)[0] for job in together] == ["completed", "interrupted", "completed"]
    assert ended[0] == ended[2] == Outcome() and "No space left" in str(ended[1].message)
    monkeypatch.setattr(Weights, "finish", finish)
    assert attempt_stack(together) == [Outcome()] * 3
    assert {record.read_status(job.directory)[0] for job in together} == {"completed"}
    assert read_summary(together[1].directory)["taken_up"] == [2]


def test_after_ctrl_c_nothing_more_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Stack) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stack, "_train_epoch", interrupted)
    both_shapes = [*jobs(tmp_path, "seed=1,2"), *jobs(tmp_path, "seed=1,2", "data.train_subset=100")]
    assert {ended.message for ended in attempt_stack(both_shapes)} == {"interrupted"}
    assert {record.read_status(job.directory)[0] for job in both_shapes} == {"interrupted"}
