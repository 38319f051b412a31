"""Searches, as they are typed: the same points for every level, wider ranges, halving, Optuna, fresh seeds."""

import sys
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from scipy.stats import qmc
from small_studies import statuses, sweep

from paribus import record
from paribus.errors import UserError
from paribus.sweep.search import Level
from paribus.sweep.search_optuna import open_study

RATES = {"adam": 1e-2, "sgd_momentum": 2e-3}  # the defaults of model=regression
TUNE = ("tune=lr", "tune.trials=4", "tune.confirm=2", "optim=adam,sgd_momentum", "seed=1,2", "model.hidden=[8]")


def read_runs(directory: Path) -> pandas.DataFrame:
    """A row a run: optimizer, rate, seed, whether it confirms, epochs."""
    rows = []
    for path in sorted(directory.glob(f"*/{record.SUMMARY}")):
        summary = record.read_summary(path.parent)
        config, choices = summary["config"], summary["choices"]
        found = {"optim": choices["optim"], "lr": config["optim"]["lr"], "seed": config["seed"]}
        rows.append({**found, "confirm": config["confirm"], "epochs": summary["statistics"]["epochs"]})
    return pandas.DataFrame(rows)


@pytest.mark.slow
def test_search_and_confirmation() -> None:
    directory = sweep(*TUNE, "tune.widen=0")
    runs = read_runs(directory)
    searched, confirmed = runs[~runs["confirm"]], runs[runs["confirm"]]
    points = qmc.Sobol(1, rng=0).random_base2(2)[:, 0]
    for optim, default in RATES.items():
        mine = searched[searched["optim"] == optim]
        expected = sorted(default * 30 ** (2 * point - 1) for point in points for _ in (1, 2))
        assert sorted(mine["lr"]) == pytest.approx(expected, rel=1e-3)
        assert sorted(mine["seed"]) == [1] * 4 + [2] * 4
        chosen = confirmed[confirmed["optim"] == optim]
        assert set(chosen["seed"]) == {101, 102} and set(chosen["lr"]) <= set(mine["lr"])
    described = record.read_summary(next(directory.glob("*optim=adam*")))
    assert described["config"]["tuned"] == ["optim.lr"] and "tune" not in described["config"]
    before = {path: path.stat().st_mtime_ns for path in directory.glob(f"*/{record.SUMMARY}")}
    plan = record.read_study_plan(directory)
    assert plan is not None and plan.whole
    record.write_study_plan(directory, replace(plan, whole=False, waiting={plan.command: 0}))  # as if killed before it
    sweep(*TUNE, "tune.widen=0")  # again: nothing to do
    again = record.read_study_plan(directory)
    assert again is not None and again.whole and again.runs == plan.runs
    sweep(*TUNE, "tune.widen=0", "tune.trials=8", code=1)  # other settings
    sweep(*TUNE, "tune.widen=0", "metric=val/mae:lower", code=1)
    (directory / "search.json").write_text("[1]")
    sweep(*TUNE, "tune.widen=0", code=1)
    assert {path: path.stat().st_mtime_ns for path in directory.glob(f"*/{record.SUMMARY}")} == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("tune=lr", "optim.lr=0.1,0.2"), "optim.lr is searched by tune.space and swept as well"),
        (("tune=mistaken", "optim=adam,adamw"), "There is no 'optim.lrr'"),
        (("tune=lr", "tune.method=halving"), "halving needs runs of at least tune.reduction=3 epochs"),
        (("tune=lr,lr_wd",), "tune is for the whole sweep"),
        (("tune.trials=8",), "no effect without a search space"),
        (("tune=lr", "tune.trials=1"), "tune.trials is 1"),
        (("tune=lr", "tune.method=grid"), "tune.method is 'grid'"),
        (("tune=lr", "confirm=true"), "confirm is set by the search"),
        (("tune=lr", "pause=1"), "pause is set by the search"),
        (("tune.space={optim.lr:{around:3}}",), "A search space is a file of conf/tune/"),
        (("until=decided", "optim=adam,sgd", "pause=1"), "until=decided judges finished ones"),
    ],
)
def test_refused_searches(given: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/tune").mkdir(parents=True)
    Path("conf/tune/mistaken.yaml").write_text("defaults: [none, _self_]\nspace: {optim.lrr: {around: 3}}\n")
    sweep(*given, code=1)
    shown = capsys.readouterr()
    assert said in " ".join((shown.out + shown.err).split())
    assert not list(Path("outputs").rglob(record.METRICS))


@pytest.mark.slow
def test_an_experiment_may_have_a_space_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/experiment").mkdir(parents=True)
    Path("conf/experiment/mine.yaml").write_text(
        "# @package _global_\ntune: {trials: 2, space: {optim.lr: {low: 0.01, high: 0.1, log: true}}}\n"
    )
    sweep("experiment=mine", "dry_run=true")
    shown = capsys.readouterr().out
    for point in qmc.Sobol(1, rng=0).random_base2(1)[:, 0]:
        assert f" {0.01 * 10**point:.4g} " in shown


def test_optuna_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    sweep("tune=lr", "tune.method=optuna", code=1)
    assert "pip install" in capsys.readouterr().err
    assert not Path("outputs").exists()


@pytest.mark.parametrize("content", ['{"op_code": 0, "wor', "{}\n"])
def test_a_damaged_journal_is_named(tmp_path: Path, content: str) -> None:
    pytest.importorskip("optuna")
    journal = tmp_path / "optuna.journal"
    journal.write_text(content)
    with pytest.raises(UserError, match=r"optuna\.journal is damaged .* Remove it"):
        open_study(Level((), "all runs", 1, []), journal)


@pytest.mark.slow
def test_a_run_that_was_killed_at_its_pause_trains_no_further() -> None:
    options = ("seed=1", "model.hidden=[8]", "trainer.max_epochs=4", "pause=2")
    (run,) = sweep(*options).glob("*seed=1*")
    before = (run / record.METRICS).read_bytes()
    (run / record.SUMMARY).unlink()  # as if it had been killed after its checkpoint
    sweep(*options)
    assert record.read_summary(run)["message"] == "Paused after epoch 2 of 4."
    assert (run / record.METRICS).read_bytes() == before


@pytest.mark.slow
def test_halving_goes_on_from_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    """What halving trains to the end has the numbers of a run without pauses, and each level the same budget."""
    tuned = ("tune=lr", "tune.method=halving", "tune.confirm=0", "tune.widen=0", "tune.trials=6", "tune.reduction=2",
             "optim=adam,sgd_momentum", "seed=1", "model.hidden=[8]", "trainer.max_epochs=4", "scheduler=cosine")  # fmt: skip
    directory = sweep(*tuned)
    runs = read_runs(directory)
    for optim in RATES:
        assert sorted(runs[runs["optim"] == optim]["epochs"]) == [1, 1, 1, 2, 4, 4]
    assert statuses(directory) == ["completed"] * 4 + ["interrupted"] * 8
    assert not [log for log in directory.rglob("*.log") if "ERROR" in log.read_text()], "a pause is no error"
    out = capsys.readouterr().out
    assert "8 paused" in out and "interrupted" not in out
    whole = runs[(runs["epochs"] == 4) & (runs["optim"] == "adam")].iloc[0]
    alone = sweep("optim=adam", f"optim.lr={whole['lr']}", "seed=1", "model.hidden=[8]", "trainer.max_epochs=4",
                  "scheduler=cosine", of="alone")  # fmt: skip
    pair = [next(where.glob(f"*optim.lr={whole['lr']}*optim=adam*")) for where in (directory, alone)]
    frames = [pandas.read_csv(path / record.METRICS).drop(columns="epoch_seconds") for path in pair]
    pandas.testing.assert_frame_equal(*frames, check_exact=True)
