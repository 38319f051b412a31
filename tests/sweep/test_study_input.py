"""What is typed for a study: names, values, mistakes."""

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import main
from small_studies import QUICK, contents, statuses, sweep

from paribus import record

pytestmark = pytest.mark.slow


def test_without_a_name_a_study_is_dated(capsys: Any) -> None:
    assert main("train.py", "--multirun", *QUICK, "seed=1,2") == 0
    (directory,) = Path("outputs").iterdir()
    assert statuses(directory) == ["completed"] * 2
    assert {record.read_summary(run)["study"] for run in directory.iterdir() if run.is_dir()} == {directory.name}


@pytest.mark.parametrize("overrides", [
    ("activation=relu,tnah",), ("optim=sgd,adam", "optim.momentum=0.9"), ("optim.lr=0.1,fast",), ("+optm.lr=1",),
    ("model.width=3,4",), ("activation=[relu,tanh]",),
])  # fmt: skip
@pytest.mark.cases(5)
def test_a_mistake_anywhere_is_refused_before_anything_is_run(overrides: tuple[str, ...], capsys: Any) -> None:
    sweep(*overrides, code=1)
    out, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert "Traceback" not in out + err
    assert not Path("outputs").exists()


def test_a_run_of_another_configuration_is_refused_with_the_difference(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    for run in (d for d in directory.iterdir() if d.is_dir()):
        summary = record.read_summary(run)
        summary["config"]["optim"]["eps"] = 0.5  # as if the file had had another default then
        summary["identity"] = record.identify(summary["config"])
        record.write_json(run / record.SUMMARY, summary)
    before = contents(directory)
    sweep("seed=1,2,3", code=1)
    err = capsys.readouterr().err
    assert "holds a run with another configuration: optim.eps was 0.5, is now 1e-08." in err
    assert "Choose another name for the study (study=NAME), or remove that directory to train the run again." in err
    assert "Other runs with such a conflict: 1." in err
    assert contents(directory) == before


def test_a_run_that_failed_before_its_first_epoch_gives_way_to_its_mended_configuration() -> None:
    conf = Path("conf/loss/own.yaml")
    conf.parent.mkdir(parents=True)
    conf.write_text("_target_: own_losses.Whole\n")  # says no task
    directory = sweep("loss=own", "seed=1", code=1)
    assert statuses(directory) == ["failed"]
    conf.write_text("_target_: own_losses.Whole\ntask: regression\n")
    assert statuses(sweep("loss=own", "seed=1")) == ["completed"]


def test_a_run_of_a_study_is_not_made_longer_behind_its_back(capsys: Any) -> None:
    run = next(d for d in sweep("seed=1,2").iterdir() if d.is_dir())
    assert main("train.py", f"resume={run}", "trainer.max_epochs=3") == 1
    assert "is a run of the study s: with more epochs it would be another run." in capsys.readouterr().err
    assert record.read_status(run)[0] == "completed"


def test_what_a_run_is_drawn_from_tells_it_apart() -> None:
    assert statuses(sweep("default_lr.adam=0.01,0.02")) == ["completed"] * 2


def test_two_runs_in_one_directory_are_refused(capsys: Any) -> None:
    sweep("seed=1,2", "hydra.sweep.subdir=x", code=1)
    assert "Two runs of the sweep would have one directory" in capsys.readouterr().err


@pytest.mark.parametrize(("overrides", "message"), [
    (("study=a,b",), "study is for the whole sweep"), (("study=",), "it must be the name of a directory"), (("study=../x",), "it must be the name of a directory"),
    (("hydra/launcher=slurm", "hydra.launcher.cluster=lokal"), "hydra.launcher.cluster is slurm, or local"),
    (("+hydra.sweeper.grid=[]",), "There is no 'grid' in hydra.sweeper. Did you mean 'grids'?"), (("dry_run=flase",), "dry_run is 'flase'"),
    (("hydra.job.chdir=true",), "have no effect on the runs of a study"), (("hydra/launcher=basic",), "A study needs a launcher of its own"),
])  # fmt: skip
@pytest.mark.cases(4)
def test_what_a_study_has_no_use_for_is_refused(overrides: tuple[str, ...], message: str, capsys: Any) -> None:
    assert main("train.py", "--multirun", *QUICK, "seed=1,2", *overrides) == 1
    assert message in capsys.readouterr().err
    assert not Path("outputs").exists()


def test_a_run_that_exits_its_process_stops_nothing(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "leaving.py").write_text(
        "import lightning, sys\nclass Leave(lightning.Callback):\n"
        "    def on_train_epoch_end(self, trainer, learner):\n        if learner.seed == 1: sys.exit(3)\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        directory = sweep("seed=1,2", "+callbacks.leave._target_=leaving.Leave", code=1)
    finally:
        sys.path.remove(str(tmp_path))
    assert statuses(directory) == ["completed", "failed"]
    assert "Code of the run exited the process (3)." in capsys.readouterr().out


@pytest.mark.parametrize("of", ["with spaces", "ünï", "a/b"])
def test_names_of_studies(of: str) -> None:
    assert main("train.py", "--multirun", f"study='{of}'", *QUICK, "seed=1") == 0
    assert statuses(Path("outputs", of)) == ["completed"]
