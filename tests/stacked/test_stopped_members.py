"""A run of a stack stops on request, and the others go on."""

from pathlib import Path

import pytest
from small_stacks import jobs

from paribus import record
from paribus.run.attempt import Outcome
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.stack import Stack
from paribus.training import checkpoints


def test_a_run_of_a_stack_stops_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    three = jobs(tmp_path / "s", "seed=1,2,3", "trainer.max_epochs=4", "callbacks=none", "logger=none")
    second, train_epoch = three[1].directory, Stack._train_epoch

    def ask_first(self: Stack) -> None:
        if self.epoch == 1:
            record.request_stop(second, "anna@here")
        train_epoch(self)

    monkeypatch.setattr(Stack, "_train_epoch", ask_first)
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN_LOOKS", 0.0)
    assert attempt_stack(three) == [Outcome()] * 3
    assert [record.read_status(job.directory)[0] for job in three] == ["completed", "interrupted", "completed"]
    assert len(record.read_metrics(second)) == 2
    record.request_stop(tmp_path / "s", "anna@here")
    again = jobs(tmp_path / "s", "seed=2,4,5", "trainer.max_epochs=4", "callbacks=none", "logger=none")
    assert all(outcome.stopped for outcome in attempt_stack(again))  # none begins
    assert len([path for path in (tmp_path / "s").iterdir() if path.is_dir()]) == 3


def test_a_run_whose_optimizer_fails_does_not_end_the_others(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_optimizer")
    small = ("seed=1", "callbacks=none", "logger=none", "data.train_subset=128")
    three = jobs(tmp_path / "s", "optim=shampoo", "optim.lr=0.001,1e30,0.002", *small)
    outcomes = attempt_stack(three)
    assert [record.read_status(job.directory)[0] for job in three] == ["completed", "failed", "completed"]
    assert "LinAlgError" in str(outcomes[1].message)
