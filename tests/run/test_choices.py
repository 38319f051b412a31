"""A single run's configuration is checked once, before anything else."""

from typing import Any

import pytest
from short_runs import Train

from paribus import record
from paribus.run import execute

QUICK = ("model=regression", "trainer.max_epochs=1", "threads=1", "callbacks=none", "logger=none", "figures=false")


def test_it_is_checked_once(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[Any] = []
    check = execute.read_job_choices
    monkeypatch.setattr(execute, "read_job_choices", lambda config: (checked.append(config), check(config))[1])
    directory = train(*QUICK)
    assert train(*QUICK, f"rerun={directory}", directory="again") != directory
    assert len(checked) == 2  # one in each command


def test_a_refused_configuration_leaves_a_record_as_it_is(train: Train, capsys: Any) -> None:
    trained = train(*QUICK, directory="trained")
    before = (trained / record.SUMMARY).read_bytes()
    train(*QUICK, "optim.lr=fast", directory="trained", code=1)
    assert "already holds the record of a run" in capsys.readouterr().err
    assert (trained / record.SUMMARY).read_bytes() == before
