"""A dry run of a study, and the time that it estimates."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from small_studies import contents, sweep

from paribus import record
from paribus.config.check import read_choices
from paribus.config.compose import Composer
from paribus.run.spec import Composed, Job
from paribus.sweep import estimate as timing
from paribus.sweep.plan import PlannedRun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def composer() -> Composer:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    return Composer(loader, "train")


def test_a_dry_run_prints_nothing_of_lightning() -> None:
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "train.py",
            "--multirun",
            "study=new",
            "model=regression",
            "trainer=cpu",
            "dry_run=true",
        ],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GPU" not in done.stdout + done.stderr and "litlogger" not in done.stdout + done.stderr


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    (next(d for d in directory.iterdir() if d.is_dir()) / record.SUMMARY).unlink()
    before = contents(directory)
    capsys.readouterr()
    sweep("seed=1,2,3", "dry_run=true")
    out = capsys.readouterr().out
    assert "3 runs; 1 to resume, 1 finished, 1 to train" in out or "3 runs; 1 finished, 1 to resume, 1 to train" in out
    assert "Nothing was run (dry_run=true). Estimated time of all unfinished runs in sequence: about " in out
    assert contents(directory) == before


def one_job(composer: Composer, *overrides: str) -> PlannedRun:
    config = composer.compose(["model=regression", "trainer=cpu", *overrides])
    choices = read_choices(config, config.hydra.runtime.choices, composer)
    return PlannedRun(Job(Path("nowhere"), Composed(config, config.hydra), choices), record.ABSENT, None)


def test_the_time_is_estimated_from_runs_like_them(composer: Composer, capsys: Any) -> None:
    directory = sweep("seed=1,2,3")
    for seconds, run in zip((1.0, 5.0, 30.0), (d for d in directory.iterdir() if d.is_dir()), strict=True):
        summary = record.read_summary(run)
        summary["statistics"]["mean_epoch_seconds"] = seconds
        record.write_json(run / record.SUMMARY, summary)
    planned = [one_job(composer, f"seed={seed}", "trainer.max_epochs=7") for seed in (4, 5)]
    assert timing.estimate_seconds(planned, directory) == 5.0 * 7 * 2
    assert timing.estimate_seconds(planned, directory.parent / "another study") == 5.0 * 7 * 2


def test_the_time_is_estimated_by_a_trial_where_there_are_none(
    composer: Composer, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(timing, "TRIAL_S", 0.05)
    planned = [one_job(composer, "trainer.max_epochs=7", "threads=3")]
    used: list[int] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda *given: (used.append(torch.get_num_threads()), step(*given))[1]
    )
    found = timing.estimate_seconds(planned, tmp_path / "outputs" / "s")
    assert found is not None
    assert set(used) == {3} and torch.get_num_threads() != 3
    assert 7 * 12 * 0.00005 < found < 7 * 12 * 0.5, "an epoch has 12 steps of some milliseconds at most"
    own = tmp_path / "own.csv"
    own.write_text("a,strength\n1,2\n")
    gone = one_job(composer, f"data.path={own}")
    own.unlink()
    assert timing.estimate_seconds([gone], tmp_path / "outputs" / "s") is None, "its data are not there to try"
