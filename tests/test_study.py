"""Sweeps in this process: what is made, skipped, taken up, tried again, refused."""

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, main
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from paribus import record
from paribus.config.check import read_choices
from paribus.config.compose import Composer
from paribus.errors import UserError
from paribus.run.attempt import Outcome
from paribus.run.spec import Job
from paribus.sweep import estimate as timing
from paribus.sweep.board import LOG
from paribus.sweep.execute import execute_plan
from paribus.sweep.expand import expand_sweep
from paribus.sweep.plan import PlannedRun, name_run

pytestmark = pytest.mark.slow

QUICK = ("model=regression", "trainer.max_epochs=2", "trainer=cpu", "threads=1", "callbacks=none", "logger=none")


def sweep(*overrides: str, code: int = 0, of: str = "s") -> Path:
    """A sweep through train.py; its directory."""
    assert main("train.py", "--multirun", f"study={of}", *QUICK, *overrides) == code
    return Path("outputs", of).absolute()


def contents(directory: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file() and p.name not in (LOG, ".claims")}


def statuses(directory: Path) -> list[str]:
    return sorted(record.read_status(run)[0] for run in directory.iterdir() if run.is_dir())


# --- names


@pytest.fixture(scope="module")
def composer() -> Composer:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
    return Composer(loader, "train")


@pytest.mark.parametrize(("overrides", "expected"), [
    ([], "defaults"),
    (["optim=sgd", "activation=relu"], "activation=relu,optim=sgd"),
    (["seed=1", "threads=2", "data.root=x", "study=y", "logger=none", "figures=true", "hydra.job.num=3"], "seed=1"),
    (["experiment=study", "seed=1"], "seed=1"),
    (["experiment=other", "seed=1"], "experiment=other,seed=1"),
    (["model.hidden=[64,32]"], "model.hidden=[64,32]"),
])  # fmt: skip
def test_a_run_is_named_by_its_choices_sorted(composer: Composer, overrides: list[str], expected: str) -> None:
    assert name_run(overrides, composer, "study") == expected


@given(st.lists(st.text("ab /\\'\"=,äß日\t~*?", min_size=0, max_size=60), min_size=1, max_size=3))
def test_a_name_is_safe_short_and_tells_apart(composer: Composer, texts: list[str]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    overrides = [f"+k{i}={quoted(text)}" for i, text in enumerate(texts)]
    found = name_run(overrides, composer, "study")
    assert len(found.encode()) <= 100
    assert not set(found) & set("/\\'\" \t*?~ä日")
    assert found not in (".", "..")
    assert name_run(list(reversed(overrides)), composer, "study") == found
    assert name_run([*overrides, "+other=1"], composer, "study") != found
    assert name_run([overrides[0][:-1] + 'x"', *overrides[1:]], composer, "study") != found


# --- which runs


def expanded(arguments: Sequence[str], params: Any = None, grids: Any = None) -> list[list[str]]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return expand_sweep(arguments, loader, loader.load_configuration("train", [], RunMode.MULTIRUN), params, grids)


def test_every_combination_is_a_run() -> None:
    assert expanded(["optim=sgd,adam", "seed=range(1,3)", "~callbacks.updates", "model.hidden=[8],[8,4]"]) == [
        [f"optim={optim}", f"seed={seed}", "~callbacks.updates", f"model.hidden={hidden}"]
        for optim in ("sgd", "adam") for seed in (1, 2) for hidden in ("[8]", "[8,4]")
    ]  # fmt: skip


def test_an_experiment_lists_grids_and_points() -> None:
    grids = [{"optim": "sgd,adam", "optim.lr": [0.1, 0.01]}, {"optim": "sgd_momentum", "optim.momentum": 0.5},
             {"model.hidden": [[8], [8, 4]], "data.log_age": True, "data.train_subset": None}]  # fmt: skip
    found = expanded(["seed=1,2"], {"scheduler": "none"}, OmegaConf.create(grids))
    with_seeds = [
        ["scheduler=none", "optim=sgd", "optim.lr=0.1"], ["scheduler=none", "optim=sgd", "optim.lr=0.01"],
        ["scheduler=none", "optim=adam", "optim.lr=0.1"], ["scheduler=none", "optim=adam", "optim.lr=0.01"],
        ["scheduler=none", "optim=sgd_momentum", "optim.momentum=0.5"],
        ["scheduler=none", "model.hidden=[8]", "data.log_age=true", "data.train_subset=null"],
        ["scheduler=none", "model.hidden=[8,4]", "data.log_age=true", "data.train_subset=null"],
    ]  # fmt: skip
    assert found == [[*run, f"seed={seed}"] for run in with_seeds for seed in (1, 2)]


def test_what_is_typed_wins_over_a_grid() -> None:
    assert expanded(["optim=adagrad"], None, [{"optim": "sgd,adam", "optim.lr": 1}]) == [
        ["optim=adagrad", "optim.lr=1"]
    ]


def test_a_grid_that_is_none_and_an_interval_are_refused() -> None:
    with pytest.raises(UserError, match="a grid gives values by key"):
        expanded([], None, ["optim"])
    with pytest.raises(UserError, match="an interval has no end of values"):
        expanded(["optim.lr=interval(0,1)"])


def test_a_study_written_as_an_experiment(tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "own" / "experiment"
    folder.mkdir(parents=True)
    for letter, optim in (("a", "sgd"), ("b", "adagrad")):
        (folder / f"{letter}.yaml").write_text(
            f"# @package _global_\nhydra: {{sweeper: {{grids: [{{optim: {optim}}}, {{optim: adam, optim.lr: '0.1,0.2'}}]}}}}\n"
        )
    own = f"--config-dir={tmp_path / 'own'}"
    one, two = sweep(own, "experiment=a"), sweep(own, "experiment=a,b", of="t")
    assert len([d for d in one.iterdir() if d.is_dir()]) == 3
    assert len([d for d in two.iterdir() if d.is_dir()]) == 4  # adam's runs are the same in both
    assert main("train.py", own, "experiment=a", *QUICK) == 1
    assert "This experiment is a study: it lists several runs. Add --multirun" in capsys.readouterr().err
    run = next(d for d in one.iterdir() if d.is_dir())
    assert main("train.py", f"rerun={run}", "trust=true") == 0
    command = shlex.split(record.read_summary(run)["command"])
    assert main("train.py", *command[2:], "threads=1", "hydra.run.dir=again") == 0
    assert record.read_metrics(Path("again"))[-1]["train/loss"] == record.read_metrics(run)[-1]["train/loss"]


# --- what is there already


def test_finished_runs_are_skipped_however_they_were_typed(capsys: Any) -> None:
    directory = sweep("activation=relu,tanh", "optim.lr=0.01,0.02")
    before = contents(directory)
    assert len(before) > 4
    capsys.readouterr()
    sweep("optim.lr=2e-2,1e-2,0.010", "activation=tanh,relu", "optim=adam")
    out = capsys.readouterr().out
    assert "4 runs; 4 finished" in out
    assert "2 combinations come to a run that the sweep has already" in out
    assert contents(directory) == before


def test_a_wider_sweep_makes_only_what_is_new(capsys: Any) -> None:
    directory = sweep("activation=relu,tanh")
    before = contents(directory)
    capsys.readouterr()
    sweep("activation=relu,tanh,sigmoid", "optim=adam,sgd")
    out = capsys.readouterr().out
    assert "6 runs; 2 finished, 4 to make" in out
    assert "6 runs: 6 completed" in out
    after = contents(directory)
    assert {path: after[path] for path in before} == before
    assert statuses(directory) == ["completed"] * 6


def test_without_a_name_a_study_is_dated(capsys: Any) -> None:
    assert main("train.py", "--multirun", *QUICK, "seed=1,2") == 0
    (directory,) = Path("outputs").iterdir()
    assert statuses(directory) == ["completed"] * 2
    assert {record.read_summary(run)["study"] for run in directory.iterdir() if run.is_dir()} == {directory.name}


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
    assert "The same command goes on with what is not finished, and tries again what failed." in out
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


@pytest.mark.parametrize("overrides", [
    ("activation=relu,tnah",), ("optim=sgd,adam", "optim.momentum=0.9"), ("optim.lr=0.1,fast",), ("+optm.lr=1",),
    ("model.width=3,4",),
])  # fmt: skip
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
    assert "Choose another name for the study (study=NAME), or remove that directory to make the run anew." in err
    assert "1 more are in the same case." in err
    assert contents(directory) == before


def test_a_damaged_summary_is_named_and_its_run_made_again(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    one, two = sorted(d for d in directory.iterdir() if d.is_dir())
    expected = record.read_metrics(one)
    (one / record.SUMMARY).write_text('{"status": "compl')
    untouched = contents(two)
    sweep("seed=1,2")
    assert f"{one / record.SUMMARY} cannot be read: that run is made again." in capsys.readouterr().out
    made = record.read_metrics(one)
    assert [{**row, "epoch_seconds": 0} for row in made] == [{**row, "epoch_seconds": 0} for row in expected]
    assert statuses(directory) == ["completed"] * 2
    assert contents(two) == untouched


@pytest.mark.parametrize("damage", ["checkpoint", "composition"])
def test_what_an_unfinished_run_has_left_may_be_damaged(damage: str, capsys: Any) -> None:
    directory = sweep("seed=1")
    (run,) = (d for d in directory.iterdir() if d.is_dir())
    (run / record.SUMMARY).unlink()
    path = run / (record.LAST if damage == "checkpoint" else record.COMPOSITION)
    path.write_bytes(path.read_bytes()[:100])
    sweep("seed=1")
    assert str(path) in capsys.readouterr().out + (run / record.LOG).read_text()
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
    assert "2 runs; 1 to take up, 1 finished" in out
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


def test_a_run_of_a_study_is_not_made_longer_behind_its_back(capsys: Any) -> None:
    run = next(d for d in sweep("seed=1,2").iterdir() if d.is_dir())
    assert main("train.py", f"resume={run}", "trainer.max_epochs=3") == 1
    assert "is a run of the study s: with more epochs it would be another one." in capsys.readouterr().err
    assert record.read_status(run)[0] == "completed"


def test_what_a_run_is_drawn_from_tells_it_apart() -> None:
    assert statuses(sweep("default_lr.adam=0.01,0.02")) == ["completed"] * 2


def test_two_runs_in_one_directory_are_refused(capsys: Any) -> None:
    sweep("seed=1,2", "hydra.sweep.subdir=x", code=1)
    assert "Two runs of the sweep would have one directory" in capsys.readouterr().err


@pytest.mark.parametrize(("overrides", "message"), [
    (("study=a,b",), "study is for the whole sweep"), (("study=",), "it must be a name"), (("study=../x",), "it must be a name"),
    (("hydra/launcher=slurm", "hydra.launcher.cluster=lokal"), "hydra.launcher.cluster is slurm, or local"),
    (("+hydra.sweeper.grid=[]",), "There is no 'grid' in hydra.sweeper. Did you mean 'grids'?"), (("dry_run=flase",), "dry_run is 'flase'"),
    (("hydra.job.chdir=true",), "have no effect on the runs of a study"), (("hydra/launcher=basic",), "A study needs a launcher of its own"),
])  # fmt: skip
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
    assert "Something in the run exits the process (3)." in capsys.readouterr().out


def test_data_that_change_between_the_runs_of_a_study_are_told(tmp_path: Path, capsys: Any) -> None:
    rows = "a,b\n" + "\n".join(f"{i},{i % 7}" for i in range(60)) + "\n"
    (tmp_path / "own.csv").write_text(rows)
    table = ("data.path=own.csv", "data.target=b", "data.batch_size=8")
    directory = sweep(*table, "seed=1")
    (tmp_path / "own.csv").write_text(rows.replace("3,3", "3,4"))
    sweep(*table, "seed=1,2")
    assert "were not made on the same data" in " ".join(capsys.readouterr().out.split())
    # nor is what one has left taken for a run on the others, however often it is tried
    run = next(d for d in directory.iterdir() if d.is_dir() and record.read_summary(d)["seed"] == 1)
    (run / record.SUMMARY).unlink()
    left = contents(run)
    for _ in range(2):
        sweep(*table, "seed=1,2", code=1)
        assert "The data are no longer those" in capsys.readouterr().err
    assert {p: c for p, c in contents(run).items() if p.name != record.LOG} == {
        p: c for p, c in left.items() if p.name != record.LOG
    }


@pytest.mark.parametrize("of", ["with spaces", "ünï", "a/b"])
def test_names_of_studies(of: str) -> None:
    assert main("train.py", "--multirun", f"study='{of}'", *QUICK, "seed=1") == 0
    assert statuses(Path("outputs", of)) == ["completed"]


# --- making them, whatever happens


def jobs(tmp_path: Path, n: int) -> list[PlannedRun]:
    return [
        PlannedRun(Job(tmp_path / str(i), OmegaConf.create(), OmegaConf.create()), record.ABSENT, None)
        for i in range(n)
    ]  # type: ignore[arg-type]


def whole(status: str) -> dict[str, Any]:
    return {"status": status, "identity": "0", "config": {}, "statistics": {}}


def finish(job: Job) -> None:
    job.directory.mkdir(exist_ok=True)
    record.write_json(job.directory / record.SUMMARY, whole("completed"))


def test_what_another_process_makes_is_waited_for(tmp_path: Path, monkeypatch: Any) -> None:
    """The second run is locked for the first three looks; meanwhile its maker finishes."""
    monkeypatch.setattr("paribus.sweep.execute.time.sleep", lambda seconds: None)
    planned = jobs(tmp_path, 3)
    looks = iter([True, True, True])
    theirs = tmp_path / "1"

    def running(directory: Path) -> bool:
        if directory == theirs and next(looks, False):
            return True
        if directory == theirs:
            finish(planned[1].job)
        return False

    monkeypatch.setattr(record, "is_running", running)
    attempts: list[str] = []

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            attempts.append(job.directory.name)
            finish(job)
            yield job, Outcome()

    told: list[tuple[str, str]] = []
    execute_plan(planned, engine, lambda run, ended: told.append((run.name, run.status)))
    assert attempts == ["0", "2", "1"]
    assert told == [("0", "completed"), ("2", "completed"), ("1", "completed")]


def test_a_run_that_turns_out_to_be_taken_is_asked_for_again(tmp_path: Path) -> None:
    planned = jobs(tmp_path, 1)
    answers = iter([Outcome(busy=True), Outcome(busy=True), Outcome()])

    def engine(jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        for job in jobs:
            answer = next(answers)
            if not answer.busy:
                finish(job)
            yield job, answer

    told: list[str] = []
    execute_plan(planned, engine, lambda run, ended: told.append(run.status))
    assert told == ["completed"]


@pytest.mark.parametrize(("left", "ended", "status", "message"), [
    ("completed", Outcome(), "completed", None),
    ("failed", Outcome(message="boom"), "failed", "boom"),
    ("metrics", Outcome(message="its process was killed"), "unfinished", "its process was killed"),
    ("nothing", Outcome(message="Permission denied"), "failed", "Permission denied"),
    ("completed", Outcome(message="another run is there"), "failed", "another run is there"),
])  # fmt: skip
def test_how_a_run_ended_is_what_its_record_says(
    tmp_path: Path, left: str, ended: Outcome, status: str, message: str | None
) -> None:
    (run,) = jobs(tmp_path, 1)
    run.job.directory.mkdir()
    if left == "metrics":
        (run.job.directory / record.METRICS).touch()
    elif left != "nothing":
        (run.job.directory / record.SUMMARY).write_text(json.dumps(whole(left)))
    after = run.after(ended)
    assert (after.status, after.message) == (status, message)


# --- locks and states


def test_one_process_owns_a_directory(tmp_path: Path) -> None:
    assert not record.is_running(tmp_path)
    with record.lock_directory(tmp_path):
        assert record.is_running(tmp_path)
        with pytest.raises(record.BusyError), record.lock_directory(tmp_path):
            pass
    assert not record.is_running(tmp_path)
    with record.lock_directory(tmp_path):
        pass


@pytest.mark.parametrize(("files", "expected"), [
    ({}, "absent"), ({"train.log": ""}, "absent"), ({record.METRICS: ""}, "unfinished"),
    ({record.SUMMARY: "{"}, "damaged"), ({record.SUMMARY: "{}"}, "damaged"),
    ({record.SUMMARY: '{"status": "failed"}', record.METRICS: ""}, "failed"),
    ({record.SUMMARY: '{"status": "completed"}'}, "damaged"),
    ({record.SUMMARY: '{"status": "failed", "identity": {}}'}, "damaged"),
    ({record.SUMMARY: '{"status": 5}'}, "damaged"),
    ({record.SUMMARY: '{"status": "failed", "statistics": null}'}, "damaged"),
])  # fmt: skip
def test_states(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    assert record.read_status(tmp_path)[0] == expected


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(capsys: Any) -> None:
    directory = sweep("seed=1,2")
    (next(d for d in directory.iterdir() if d.is_dir()) / record.SUMMARY).unlink()
    before = contents(directory)
    capsys.readouterr()
    sweep("seed=1,2,3", "dry_run=true")
    out = capsys.readouterr().out
    assert "3 runs; 1 to take up, 1 finished, 1 to make" in out or "3 runs; 1 finished, 1 to take up, 1 to make" in out
    assert "Nothing was run (dry_run=true). Time for what is to be made, one run after the other: about " in out
    assert contents(directory) == before


def one_job(composer: Composer, *overrides: str) -> PlannedRun:
    config = composer.compose(["model=regression", "trainer=cpu", *overrides])
    return PlannedRun(
        Job(Path("nowhere"), config, config.hydra, read_choices(config, config.hydra.runtime.choices, composer)),
        record.ABSENT,
        None,
    )


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
    monkeypatch.setattr(timing, "TRIAL", 0.05)
    planned = [one_job(composer, "trainer.max_epochs=7")]
    found = timing.estimate_seconds(planned, tmp_path / "outputs" / "s")
    assert found is not None
    assert 7 * 12 * 0.00005 < found < 7 * 12 * 0.5, "an epoch has 12 steps of some milliseconds at most"
    own = tmp_path / "own.csv"
    own.write_text("a,strength\n1,2\n")
    gone = one_job(composer, f"data.path={own}")
    own.unlink()
    assert timing.estimate_seconds([gone], tmp_path / "outputs" / "s") is None, "its data are not there to try"
