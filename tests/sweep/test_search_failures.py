"""Searches with settings that cannot be trained."""

from pathlib import Path

import numpy as np
import pytest
from small_studies import sweep
from test_search import read_runs

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report.next_step import next_step
from paribus import record

pytestmark = pytest.mark.slow

# Fails in epoch 2 at rates above the limit in a file, until the limit is raised.
BRITTLE = """
from pathlib import Path
import lightning

class Brittle(lightning.Callback):
    def on_train_epoch_start(self, trainer, module):
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        if trainer.current_epoch == 1 and rate > float(Path("limit").read_text()):
            raise RuntimeError(f"a rate of {rate} cannot be trained")
"""
TUNE = ("tune=lr", "tune.trials=4", "tune.widen=0", "tune.confirm=3", "tune.reduction=2", "optim=adam,sgd_momentum", "seed=1",
        "trainer.max_epochs=4", "model.hidden=[8]", "+callbacks.brittle._target_=brittle.Brittle")  # fmt: skip


@pytest.fixture(autouse=True)
def _brittle(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("brittle.py").write_text(BRITTLE)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    Path("limit").write_text("0.05")  # adam: two of the four points around 0.01 lie above it


@pytest.mark.parametrize("method", ["sobol", "halving", "optuna"])
@pytest.mark.cases(1)
def test_failed_trials_are_waited_for_or_count_as_diverged(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    if method == "optuna":
        pytest.importorskip("optuna")
    directory = sweep(*TUNE, f"tune.method={method}", code=1)
    out = capsys.readouterr().out
    assert "cannot be trained" in out and "add tune.allow_failed=true" in out
    assert not read_runs(directory)["confirm"].any()
    sweep(*TUNE, f"tune.method={method}", "tune.allow_failed=true", code=1)
    assert "add tune.allow_failed=true" not in capsys.readouterr().out
    runs = read_runs(directory)
    failed = np.array(
        [record.read_status(p.parent)[0] == record.FAILED for p in sorted(directory.glob("*/summary.json"))]
    )
    assert failed.any() and not runs[failed]["confirm"].any()
    assert set(runs[runs["confirm"]]["optim"]) == {"adam", "sgd_momentum"}
    assert runs[runs["confirm"]]["lr"].max() <= 0.05
    comparison = compare(load_runs(directory))
    assert (comparison.study.runs["status"] == record.FAILED).sum() == sum(failed), "all are in the table"
    assert "finish" not in next_step(comparison).sentence


@pytest.mark.cases(0)  # for make soak
def test_failed_trials_that_can_be_trained_later_change_what_is_chosen() -> None:
    """Without a failure since, the study is that of a search in which nothing failed."""
    whole = ("tune.method=halving", "tune.allow_failed=true")
    directory = sweep(*TUNE, *whole, code=1)
    Path("limit").write_text("inf")
    sweep(*TUNE, *whole)
    other = sweep(*TUNE, *whole, of="other")
    columns = ["optim", "lr", "seed", "confirm", "epochs"]
    runs, others = (read_runs(path)[columns] for path in (directory, other))
    assert len(others.merge(runs, how="inner")) == len(others)
