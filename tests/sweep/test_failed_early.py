"""A study with a run that fails before its network is built: it has no statistics, and the others are trained."""

from typing import Any

import pytest
from conftest import main

pytestmark = pytest.mark.slow


def test_the_others_are_trained_and_the_results_tabulated(capsys: Any) -> None:
    small = ("model=regression", "model.hidden=[8]", "trainer=cpu", "trainer.max_epochs=1", "threads=1", "logger=none")
    typed = ("--multirun", "study=s", *small, "optim=adam,own", "seed=1,2", "callbacks=none")
    assert main("train.py", *typed) == 1
    out, err = capsys.readouterr()
    assert "4 runs: 2 completed, 2 failed" in out
    assert "optim=own is for a LightningModule" in err
    assert "Traceback" not in out + err
    assert main("train.py", *typed) == 1, "they are tried again"
    assert "4 runs: 2 completed, 2 failed" in capsys.readouterr().out
