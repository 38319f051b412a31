"""A study that is started again: finished runs are kept, unfinished ones resumed, failed ones trained again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import main
from small_studies import contents, statuses, sweep

from paribus import record
from paribus.sweep.board import LOG

pytestmark = pytest.mark.slow


def test_finished_runs_are_skipped_however_they_were_typed(capsys: Any) -> None:
    directory = sweep("activation=relu,tanh", "optim.lr=0.01,0.02")
    before = contents(directory)
    assert len(before) > 4
    capsys.readouterr()
    sweep("optim.lr=2e-2,1e-2,0.010", "activation=tanh,relu", "optim=adam")
    out = capsys.readouterr().out
    assert "4 runs; 4 finished" in out
    assert "2 combinations come to a run that the sweep already contains" in out
    assert contents(directory) == before


def test_a_wider_sweep_makes_only_what_is_new(capsys: Any) -> None:
    directory = sweep("activation=relu,tanh")
    before = contents(directory)
    capsys.readouterr()
    sweep("activation=relu,tanh,sigmoid", "optim=adam,sgd")
    out = capsys.readouterr().out
    assert "6 runs; 2 finished, 4 to train" in out
    assert "6 runs: 6 completed" in out
    after = contents(directory)
    assert {path: after[path] for path in before} == before
    assert statuses(directory) == ["completed"] * 6


def test_one_bad_run_stops_nothing_and_is_tried_again(own: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "failing.py").write_text(
        "import lightning, pathlib\nclass Fail(lightning.Callback):\n"
        "    def on_train_epoch_end(self, trainer, learner):\n"
        "        if learner.seed == 2 and not pathlib.Path('mended').exists(): raise RuntimeError('boom')\n"
    )
    bad = "+callbacks.fail._target_=failing.Fail"
    directory = sweep("seed=1,2,3", "optim.lr=0.01,1e30", "optim=sgd", bad, code=1)
    out = capsys.readouterr().out
    assert statuses(directory) == ["completed", "completed", "diverged", "diverged", "failed", "failed"]
    assert "6 runs: 2 completed, 2 diverged, 2 failed" in out
    assert "RuntimeError: boom" in out
    assert "Run the same command again to finish the other runs and retry those that failed." in out
    runs = [run for run in directory.iterdir() if run.is_dir()]
    bad_ones = [run for run in runs if record.read_summary(run)["seed"] == 2]
    failed = bad_ones[0] if record.read_status(bad_ones[0])[0] == "failed" else bad_ones[1]
    assert (
        'raise RuntimeError("boom")' in (failed / record.LOG).read_text() or "boom" in (failed / record.LOG).read_text()
    )
    log = (directory / LOG).read_text()
    assert "Traceback" in log
    assert "RuntimeError: boom" in log
    good = {path: content for run in runs if run not in bad_ones for path, content in contents(run).items()}
    Path("mended").touch()
    sweep("seed=1,2,3", "optim.lr=0.01,1e30", "optim=sgd", bad)
    assert "6 runs: 3 completed, 3 diverged" in capsys.readouterr().out
    after = contents(directory)
    assert {path: after[path] for path in good} == good


def test_a_damaged_summary_is_named_and_its_run_made_again(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    one, two = sorted(d for d in directory.iterdir() if d.is_dir())
    expected = record.read_metrics(one)
    (one / record.SUMMARY).write_text('{"status": "compl')
    untouched = contents(two)
    sweep("seed=1,2")
    assert f"{one} is damaged, and is trained again. {one / record.SUMMARY}" in capsys.readouterr().out
    made = record.read_metrics(one)
    assert [{**row, "epoch_seconds": 0} for row in made] == [{**row, "epoch_seconds": 0} for row in expected]
    assert statuses(directory) == ["completed"] * 2
    assert contents(two) == untouched


def test_a_completed_run_without_metrics_is_made_again(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    one, two = sorted(d for d in directory.iterdir() if d.is_dir())
    (one / record.METRICS).unlink()
    untouched = contents(two)
    sweep("seed=1,2")
    assert f"{one / record.METRICS} is missing." in capsys.readouterr().out
    assert len(record.read_metrics(one)) == len(record.read_metrics(two)) and contents(two) == untouched


def test_a_run_whose_checkpoint_is_gone_is_announced_and_made_again(capsys: Any) -> None:
    directory = sweep("seed=1")
    (run,) = (d for d in directory.iterdir() if d.is_dir())
    (run / record.SUMMARY).unlink()
    (run / record.LAST).unlink()
    sweep("seed=1", "dry_run=true")
    assert "1 run; 1 without a checkpoint, to train again" in capsys.readouterr().out
    sweep("seed=1")
    out = capsys.readouterr().out
    assert f"{run} has no checkpoint (checkpoints/last.ckpt): the run starts again." in " ".join(out.split())
    assert len(record.read_metrics(run)) == 2


@pytest.mark.parametrize("damage", ["checkpoint", "composition"])
def test_what_an_unfinished_run_has_left_may_be_damaged(damage: str, capsys: Any) -> None:
    directory = sweep("seed=1")
    (run,) = (d for d in directory.iterdir() if d.is_dir())
    (run / record.SUMMARY).unlink()
    path = run / (record.LAST if damage == "checkpoint" else record.COMPOSITION)
    path.write_bytes(path.read_bytes()[:100])
    sweep("seed=1")
    said = capsys.readouterr().out + (run / record.LOG).read_text()
    assert str(path) in said and "paribus rm" not in said, "the remedy is no longer needed"
    assert statuses(directory) == ["completed"]
    assert len(record.read_metrics(run)) == 2


@pytest.mark.parametrize("again", ["optim.lr=0.01", "optim.lr=0.010"])
def test_an_unfinished_run_is_taken_up_however_it_is_typed(again: str, capsys: Any) -> None:
    directory = sweep("seed=1,2", "optim.lr=0.01")
    run = min(d for d in directory.iterdir() if d.is_dir())
    expected = record.read_metrics(run)
    (run / record.SUMMARY).unlink()
    sweep("seed=1,2", again)
    assert len([d for d in directory.iterdir() if d.is_dir()]) == 2
    assert "Resumed after epoch 2." in next(run.glob("*.log")).read_text()
    out = capsys.readouterr().out
    assert "2 runs; 1 to resume, 1 finished" in out
    assert "Resumed after epoch 2." in out
    assert record.read_metrics(run) == expected


def test_what_belongs_to_somebody_else_is_left_alone() -> None:
    directory = Path("outputs/s").absolute()
    theirs = [directory / "notes.txt", directory / "plots" / "a.png"]
    theirs.append(directory / "callbacks=none,model=regression,seed=1,trainer.max_epochs=2,trainer=cpu" / "b.txt")
    for path in theirs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    sweep("seed=1")
    assert all(path.read_text() == "mine" for path in theirs)
    assert record.read_status(theirs[-1].parent)[0] == "completed", "the run went into the directory of its name"


def test_a_file_where_a_directory_should_be_fails_that_run_alone(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    one = min(d for d in directory.iterdir() if d.is_dir())
    shutil.rmtree(one)
    one.write_text("a file")
    sweep("seed=1,2", code=1)
    out, err = capsys.readouterr()
    assert f"{one} is a file, where a run's directory should be. Move it away." in err
    assert "1 failed, 1 completed" in out
    assert one.read_text() == "a file"


@pytest.mark.parametrize(
    "path", ["a b.csv", "ä日本.csv", "it's.csv", 'say "x".csv', "x=1,y=2.csv", "deep/" + "d/" * 150 + "x.csv"]
)
def test_values_of_every_kind(path: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(60)) + "\n")
    quoted = '"' + path.replace('"', '\\"') + '"'
    arguments = ("data.target=b", f"data.path={quoted}", "data.batch_size=8", "seed=1,2")
    directory = sweep(*arguments)
    before = contents(directory)
    assert statuses(directory) == ["completed"] * 2
    sweep(*arguments)
    assert contents(directory) == before
    run = next(d for d in directory.iterdir() if d.is_dir())
    assert len(run.name.encode()) <= 100
    (run / record.SUMMARY).unlink()
    assert main("train.py", f"resume={run}") == 0
    assert record.read_summary(run)["study"] == "s"
    assert main("train.py", f"rerun={run}", "trust=true") == 0


def test_data_that_change_between_the_runs_of_a_study_are_told(tmp_path: Path, capsys: Any) -> None:
    rows = "a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(60)) + "\n"
    (tmp_path / "own.csv").write_text(rows)
    table = ("data.path=own.csv", "data.target=b", "data.batch_size=8")
    directory = sweep(*table, "seed=1")
    (tmp_path / "own.csv").write_text(rows.replace("3,3", "3,4"))
    sweep(*table, "seed=1,2")
    assert "were not trained on the same data" in " ".join(capsys.readouterr().out.split())
    # nor is what one has left taken for a run on the others, however often it is tried
    run = next(d for d in directory.iterdir() if d.is_dir() and record.read_summary(d)["seed"] == 1)
    (run / record.SUMMARY).unlink()
    left = contents(run)
    for _ in range(2):
        sweep(*table, "seed=1,2", code=1)
        assert "The data have changed since the run started" in capsys.readouterr().err
    assert {p: c for p, c in contents(run).items() if p.name != record.LOG} == {
        p: c for p, c in left.items() if p.name != record.LOG
    }
