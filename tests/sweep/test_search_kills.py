"""Searches that are killed at random moments come to the points and the figures of one that nobody disturbed.

PARIBUS_SOAK is how often each is killed (`make soak`), PARIBUS_SOAK_SEED says at which moments.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import pytest
from conftest import ROOT
from small_studies import QUICK, sweep

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from paribus import record

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PARIBUS_SOAK", "1"))
SEED = int(os.environ.get("PARIBUS_SOAK_SEED", "0")) or random.randrange(10**6)
SEARCH = ("tune=lr", "tune.trials=4", "tune.confirm=2", "tune.reduction=2", "tune.widen=0", "optim=adam,sgd_momentum",
          "seed=1", "model.hidden=[8]", "trainer.max_epochs=4")  # fmt: skip


def begin(method: str, study: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "train.py"), "--multirun", f"study={study}", *QUICK, *SEARCH]
    with Path("log").open("ab") as log:
        return subprocess.Popen([*command, f"tune.method={method}"], stdout=log, stderr=log, start_new_session=True)


def read_study(study: str) -> pandas.DataFrame:
    """A row a run: what identifies it, how it ended, and its losses."""
    rows = {}
    for path in sorted(Path("outputs", study).glob(f"*/{record.SUMMARY}")):
        summary = record.read_summary(path.parent)
        losses = pandas.read_csv(path.parent / record.METRICS)["val/loss"]
        rows[summary["identity"]] = {"status": summary["status"], **{str(i): x for i, x in enumerate(losses)}}
    return pandas.DataFrame.from_dict(rows, orient="index").sort_index()


@pytest.mark.parametrize("method", ["sobol", "halving", "optuna"])
@pytest.mark.cases(1)
def test_a_killed_search_finds_the_same(method: str) -> None:
    if method == "optuna":
        pytest.importorskip("optuna")
    sweep(*SEARCH, f"tune.method={method}", of="whole")
    chance = random.Random(SEED)
    for _ in range(KILLS):
        process, seconds = begin(method, "killed"), chance.uniform(2, 7)
        began = time.monotonic()
        while process.poll() is None and time.monotonic() - began < seconds:
            time.sleep(0.05)
        if process.poll() is not None:
            break
        known = read_study("killed") if Path("outputs/killed").exists() else pandas.DataFrame()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        finished = known[known["status"] == record.COMPLETED] if len(known) else known
        now = read_study("killed") if len(finished) else finished
        pandas.testing.assert_frame_equal(now.loc[finished.index, finished.columns], finished, obj=f"seed {SEED}")
    sweep(*SEARCH, f"tune.method={method}", of="killed")
    pandas.testing.assert_frame_equal(read_study("killed"), read_study("whole"), obj=f"seed {SEED}")
    verdicts = [compare(load_runs(Path("outputs", study))).results for study in ("whole", "killed")]
    means = [[(level.level, level.mean) for result in found for level in result.levels] for found in verdicts]
    assert means[0] == means[1] and means[0]
