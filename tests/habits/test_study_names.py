"""The name of a study: by default that of its experiment; what goes on with a study; options that only a study has."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, main

from paribus import record

pytestmark = pytest.mark.slow

SHORT = ("model=regression", "model.hidden=[8]", "threads=1", "callbacks=none", "logger=none", "trainer.max_epochs=2")


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """conf/experiment/small.yaml in the working directory: a study of two seeds."""
    path = tmp_path / "conf" / "experiment" / "small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package _global_\ndefaults: [{override /model: regression}, {override /callbacks: none}]\n"
        "model: {hidden: [8]}\ntrainer: {max_epochs: 2}\nhydra: {sweeper: {params: {seed: '1,2'}}}\n"
    )
    return path


def find_studies() -> list[str]:
    return sorted(path.name for path in Path("outputs").iterdir())


@pytest.mark.usefixtures("experiment")
def test_a_study_of_an_experiment_has_its_name_and_goes_on(capsys: Any) -> None:
    command = ("--multirun", "experiment=small", "trainer=cpu", "threads=1", "logger=none")
    assert main("train.py", *command) == 0
    assert find_studies() == ["small"]
    assert len(record.find_runs([Path("outputs/small")])) == 2
    capsys.readouterr()
    assert main("train.py", *command) == 0
    assert "2 runs; 2 finished" in capsys.readouterr().out
    assert find_studies() == ["small"]


@pytest.mark.usefixtures("experiment")
def test_an_experiment_with_other_values_is_another_study() -> None:
    assert main("train.py", "--multirun", "experiment=small", "trainer=cpu", "logger=none", "optim=sgd") == 0
    assert "small" not in find_studies()
    assert main("train.py", "--multirun", "experiment=small", "trainer=cpu", "logger=none", "study=mine") == 0
    assert "mine" in find_studies() and "small" not in find_studies()


def test_an_experiment_that_has_changed_is_not_mixed_with_the_old_runs(experiment: Path, capsys: Any) -> None:
    command = ("--multirun", "experiment=small", "trainer=cpu", "logger=none")
    assert main("train.py", *command) == 0
    experiment.write_text(experiment.read_text().replace("'1,2'", "'3,4'"))
    assert main("train.py", *command) == 1
    said = capsys.readouterr().err
    assert "holds 2 runs that are not of this experiment as it is now" in said and "study=small" in said
    assert main("train.py", *command, "study=small") == 0
    assert len(record.find_runs([Path("outputs/small")])) == 4


@pytest.mark.parametrize(
    "option",
    [
        "study=mine",
        "hydra/launcher=parallel",
        "hydra.launcher.n_jobs=2",
        "hydra.sweep.dir=x",
        "hydra.sweeper.params.seed=1",
    ],
)
def test_what_only_a_study_takes_is_refused_for_a_single_run(option: str, capsys: Any) -> None:
    added = ("hydra/launcher=parallel",) if "n_jobs" in option else ()
    typed = option if "params" not in option else f"+{option}"
    assert main("train.py", *SHORT, "trainer=cpu", *added, typed) == 1
    said = capsys.readouterr().err
    assert "--multirun" in said and said.count("\n") == 1


def test_several_values_without_multirun(capsys: Any) -> None:
    assert main("train.py", *SHORT, "trainer=cpu", "optim=adam,sgd") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "optim=adam,sgd lists several values: add --multirun" in said
    assert main("train.py", *SHORT, "trainer=cpu", "optim.lr=0,01") == 1
    assert "or write one number with a decimal point" in capsys.readouterr().err


def test_the_command_of_a_run_of_a_study_repeats_it_alone(capsys: Any) -> None:
    assert main("train.py", "--multirun", *SHORT, "trainer=cpu", "study=s", "seed=7") == 0
    (run,) = record.find_runs([Path("outputs/s")])
    words = record.read_summary(run)["command"].split()
    assert "study=s" not in words
    assert main("train.py", *[word.strip("'") for word in words[2:]], "hydra.run.dir=again") == 0
    assert record.read_summary(Path("again"))["identity"] == record.read_summary(run)["identity"]


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.cases(1)
def test_an_interrupted_sweep_says_what_goes_on_with_it(named: bool) -> None:
    long = [text for text in SHORT if "max_epochs" not in text]
    command = [sys.executable, str(ROOT / "train.py"), "--multirun", *long, "trainer=cpu", "trainer.max_epochs=100000"]
    command += ["seed=1,2", *(["study=s"] if named else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ})
    deadline = time.monotonic() + 120
    while not list(Path("outputs").glob("*/*/metrics.csv")) and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    (study,) = find_studies()
    if named:
        assert "Run the same command again" in shown
        return
    assert "Run the same command again" not in shown
    (line,) = [line.strip() for line in shown.splitlines() if line.strip().startswith("python train.py --multirun")]
    assert f"study={study}" in line and "seed=1,2" in line and "trainer.max_epochs=100000" in line
