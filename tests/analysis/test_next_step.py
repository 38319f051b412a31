"""What to do next, and the command for it."""

import shlex
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from made_runs import comparison
from made_studies import grid, study
from records import edit_summary, write_run
from screens import SEEDS, line, tuned

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.report import commands
from multirun_analysis.report.verdict import verdict
from paribus.record import PLAN, PlanEntry, StudyPlan, write_study_plan


def test_optimizers_at_their_defaults_are_said_to_be_so_and_the_next_step_is_to_tune(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, 5 + s + 9 * (o == "sgd") + 0.1 * s * (o == "sgd"))}
            for o in ("adam", "sgd") for s in SEEDS]  # fmt: skip
    found = verdict(study(tmp_path, runs))
    assert "each at its default lr" in line(found, "OPTIMIZER") and "tune=lr" in shlex.split(found.command or "")


def test_an_edge_is_named_and_widened_and_a_middle_is_confirmed(tmp_path: Path) -> None:
    edge = verdict(study(tmp_path / "edge", tuned(0.1)))
    assert "EDGE" in line(edge, "LR") and "widen lr to 1" in line(edge, "NEXT")
    assert "optim.lr=1" in shlex.split(edge.command or "")
    middle = verdict(study(tmp_path / "middle", tuned()))
    assert "EDGE" not in line(middle, "LR") and "confirm each level at its best on 10 fresh seeds" in line(
        middle, "NEXT"
    )
    words = shlex.split(middle.command or "")
    assert "confirm=true" in words and "seed=range(101,111)" in words


@pytest.mark.parametrize("which", ["edge", "middle", "uncrossed"])
def test_the_next_command_is_one_that_hydra_composes(tmp_path: Path, which: str) -> None:
    runs = tuned(0.1 if which == "edge" else 0.01)
    if which == "uncrossed":
        runs = [run | ({"optim": "sgd_momentum", "optim__momentum": 0.5} if run["optim"] == "sgd" else {})
                for run in tuned(0.1)]  # fmt: skip
    for i, run in enumerate(runs):
        directory = write_run(tmp_path / "study" / str(i), **run)
        edit_summary(directory, command=f"python train.py model=regression study=study optim={run['optim']} seed=1")
    found = verdict(compare(load_runs(tmp_path / "study")))
    words = shlex.split(found.command or "")
    assert words[:3] == ["python", "train.py", "--multirun"] and "model=regression" in words
    single = [w.split(",")[0] if not w.startswith(("hydra.", "seed=")) else w for w in words[3:]]
    single = [w for w in single if not w.startswith("seed=")]
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        config = compose("train", single, return_hydra_config=True)
    assert config.model._target_.endswith("MLP") or "regression" in str(config.model._target_).lower()
    grids = config.hydra.sweeper.grids
    if which == "uncrossed":
        assert {frozenset(grid) for grid in grids} == {frozenset({"optim"}), frozenset({"optim", "optim.momentum"})}


def test_runs_that_did_not_end_are_counted_and_the_next_step_is_to_finish(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1, 1.2], "tanh": [0.1, 0.2, 0.3]})
    runs[0]["status"], runs[5]["status"] = "failed", "interrupted"
    found = verdict(study(tmp_path, runs))
    assert "1 failed" in found.heading and "1 failed, 1 interrupted" in line(found, "MISSING")
    assert "finish" in line(found, "NEXT")


def test_where_all_diverge_the_next_rates_are_lower_than_all_that_were_tried() -> None:
    runs = [{"optim": o, "given": {"optim.lr": lr}, "seed": s, "status": "diverged", "val/loss": [float("nan")]}
            for o in ("adam", "sgd") for lr in (0.1, 0.01) for s in SEEDS]  # fmt: skip
    found = verdict(comparison(runs))
    assert "lower the learning rate" in line(found, "NEXT") and not line(found, "BEST FOUND")
    words = dict(word.split("=") for word in shlex.split(found.command or "")[3:])
    assert words["optim"].split(",") == ["adam", "sgd"] and words["seed"] == "1,2,3"
    assert all(float(rate) < 0.01 for rate in words["optim.lr"].split(","))


def test_a_test_set_that_was_read_is_not_to_be_read_again(tmp_path: Path) -> None:
    runs = grid({"relu": [11.0, 12.0, 13.1], "tanh": [16.0, 17.1, 18.2]})
    assert "evaluate.py" in (verdict(study(tmp_path / "a", runs)).command or "")
    runs = [run | {"more": {"test": {"mse": 11.0, "epoch": 1}}} for run in runs]
    read = verdict(study(tmp_path / "b", runs))
    assert read.command is None and "has been read" in line(read, "NEXT")


def test_what_is_missing_is_made_by_the_command_in_the_plan(tmp_path: Path) -> None:
    runs = grid({"relu": [1.0, 1.1], "tanh": [0.1, 0.2]})
    runs[0]["status"] = "failed"
    found = study(tmp_path, runs)
    assert verdict(found).command is None
    command = "python train.py --multirun study=study 'seed=range(1,4)'"
    write_study_plan(tmp_path / "study", StudyPlan(command, (), True, 0, 0.0, 0))
    assert verdict(found).command == command
    entry = PlanEntry("another", (), "1", 3)  # a later command of the study that has not planned the run
    write_study_plan(tmp_path / "study", StudyPlan(command, (entry,), True, 0, 0.0, 0))
    assert verdict(found).command is None and "the command that began these runs" in line(verdict(found), "NEXT")
    (tmp_path / "study" / PLAN).write_text("{")
    assert verdict(found).command is None


def test_the_content_of_data_is_no_override(tmp_path: Path) -> None:
    runs = [{"optim": o, "seed": s, "losses": (9.0, 5.0 + s + (o == "sgd") + 0.1 * s * (o == "sgd")),
             "more": {"data": {"sha256": sha, "train": 700, "val": 150}}}
            for o in ("adam", "sgd") for s in SEEDS for sha in ("0" * 10, "1" * 10)]  # fmt: skip
    found = study(tmp_path, runs)
    assert found.blocks == ["data content"]
    assert "content" not in (verdict(found).command or "")


@pytest.mark.parametrize("clash", [False, True])
def test_all_seeds_of_what_was_chosen_are_read_by_a_pattern(tmp_path: Path, clash: bool) -> None:
    """A pattern that would match another setting's run as well is none: that run would be tested, too."""
    for optim, level in (("adam", 1.0), ("sgd", 9.0)):
        for seed in SEEDS:
            write_run(tmp_path / f"optim={optim},seed={seed}", (9.0, level + 0.1 * seed), seed=seed, optim=optim)
    if clash:
        (tmp_path / "optim=sgd,seed=1").rename(tmp_path / "optim=adam,seed=7")
    found = compare(load_runs(tmp_path))
    assert found.best is not None
    command = commands.evaluate(found, [found.best])
    *_, word = command.split()
    assert command.startswith("python evaluate.py ")
    assert word == (f"run={tmp_path}/optim=adam,seed=1" if clash else f"{tmp_path}/optim=adam,seed=*")
