"""Searches that are killed at random moments come to the points, figures and verdicts of one that nobody disturbed.

PARIBUS_SOAK is how often each kind is killed (`make soak`), PARIBUS_SOAK_SEED says at which moments: before one of the
changes that a search makes to the files of its study, chosen at random.
"""

import csv
import itertools
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from small_studies import sweep

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from paribus import record
from paribus.sweep.workers import start_forkserver
from paribus.training import checkpoints

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PARIBUS_SOAK", "1"))
SEED = int(os.environ.get("PARIBUS_SOAK_SEED", "0")) or random.randrange(10**6)
COMMON = ("model.hidden=[8]", "trainer.max_epochs=4", "optim=adam,sgd_momentum")
SEARCH = (*COMMON, "tune=lr", "tune.trials=4", "tune.confirm=2", "tune.reduction=2", "seed=1")
LOOKS = ("until=decided", "until.looks=[3]", "until.max_seeds=4", "until.margin=0.001")
KINDS = {
    "sobol": (*SEARCH, "tune.method=sobol"),
    "halving": (*SEARCH, "tune.method=halving"),
    "optuna": (*SEARCH, "tune.method=optuna"),
    "until": (*COMMON, *LOOKS),
    "search until": (*SEARCH, *LOOKS),
    "stacked": (*SEARCH, "hydra/launcher=stacked"),
}
CHANGES = ("os.rename", "os.remove", "os.mkdir")  # audit events, beside files that are opened to write
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def execute(options: tuple[str, ...], study: str, fatal: int | None) -> None:
    """Execute a study in this process; write how many changes it made to its files, or end before the fatal one."""
    counter = itertools.count(1)

    def count(event: str, given: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and given[2] & WRITING)
        if changes and study in str(given[0]) and next(counter) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    checkpoints.SECONDS_BETWEEN = 0.0  # a checkpoint an epoch
    sys.addaudithook(count)
    sweep(*options, of=study)
    Path("changes").write_text(str(next(counter)))


def survives(options: tuple[str, ...], study: str, fatal: int | None = None) -> bool:
    """Execute a study in a process of its own, killed before the fatal change; return whether it came to its end."""
    process = start_forkserver().Process(target=execute, args=(options, study, fatal))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), Path("log").read_text()
    return process.exitcode == 0


def read_study(study: str) -> dict[str, tuple[str, ...]]:
    """Read how each run ended, and its losses as they are written, by its identity."""
    found = {}
    for path in sorted(Path("outputs", study).glob(f"*/{record.SUMMARY}")):
        summary = record.read_summary(path.parent)
        with (path.parent / record.METRICS).open() as file:
            found[summary["identity"]] = (summary["status"], *(row["val/loss"] for row in csv.DictReader(file)))
    return found


def read_finished(study: str) -> dict[str, tuple[str, ...]]:
    return {name: run for name, run in read_study(study).items() if run[0] in record.FINISHED}


def judge(study: str) -> list[Any]:
    """Judge a study: what its looks found, the means of levels, and each pair of levels."""
    directory = Path("outputs", study)
    plan, results = record.read_plan(directory), compare(load_runs(directory)).results
    pairs = [(pair.a, pair.b, pair.verdict, pair.estimate.mean) for result in results for pair in result.pairs]
    return [plan.taken if plan else (), [[(at.level, at.mean) for at in result.levels] for result in results], pairs]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.cases(1)
def test_a_killed_search_finds_the_same(kind: str) -> None:
    if kind == "optuna":
        pytest.importorskip("optuna")
    options, chance, kills = KINDS[kind], random.Random(SEED), 0
    assert survives(options, "whole")
    changes = int(Path("changes").read_text())
    while kills < KILLS:
        study = f"killed{kills}"
        while kills < KILLS:
            before = read_finished(study)
            fatal = chance.randrange(1, changes // (2 if KILLS == 1 else 4))
            if survives(options, study, fatal):
                break
            kills += 1
            assert before.items() <= read_study(study).items(), f"seed {SEED}"
        assert survives(options, study)
        assert read_study(study) == read_study("whole"), f"seed {SEED}"
        assert judge(study) == judge("whole") and judge("whole")[2], f"seed {SEED}"
        plan = record.read_study_plan(Path("outputs", study))
        assert plan is not None and plan.whole and len(plan.runs) == len(read_study("whole"))
        print(f"{study}: {len(plan.runs)} runs, {changes} changes of files, {kills} kills so far")
