"""Studies with until=decided: seeds are added in looks that are fixed beforehand."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import main
from small_studies import QUICK, contents, statuses, sweep

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from paribus import record
from paribus.errors import UserError
from paribus.sweep.until import Judge, continue_seeds, take_look

APART = ("optim.lr=0.01,1e-8", "until=decided")
UNCLEAR = ("optim=adam,sgd", "optim.lr=0.01", "until=decided", "until.looks=[3,4]", "until.max_seeds=5", "seed=1,2")


@pytest.mark.slow
def test_a_clear_difference_ends_at_the_first_look(capsys: Any) -> None:
    directory = sweep(*APART)
    assert statuses(directory) == ["completed"] * 10
    plan = record.read_plan(directory)
    assert plan is not None and plan.looks == (5, 8, 12, 16, 20) and plan.seeds == tuple(range(1, 21))
    assert [(look.seeds, len(look.undecided), len(look.stopped)) for look in plan.taken] == [(5, 0, 2)]
    assert "Look 1 of 5, 5 seeds, by selected_val_loss: all is decided." in capsys.readouterr().out
    before = contents(directory)
    sweep(*APART)
    assert contents(directory) == before
    sweep("optim.lr=0.01,1e-8", "seed=6", code=1)  # a seed more, by the ordinary rule
    assert "Add until=decided to go on with it" in capsys.readouterr().err
    sweep(*APART, "until.margin=0.5", code=1)
    assert "was begun by another plan: margin none, now 0.5" in capsys.readouterr().err
    sweep("optim.lr=0.01,1e-7", "until=decided", "seed=2", "until.looks=[4]", code=1)
    err = capsys.readouterr().err
    assert "at [5, 8, 12, 16, 20] seeds, now [4, 20]" in err and "new settings, now: callbacks=none," in err
    assert contents(directory) == before


def test_a_look_by_another_metric_than_the_last_one_is_refused(tmp_path: Path) -> None:
    plan = record.UntilPlan((1, 2, 3, 4), (3, 4), 1.0, None, False, ("a", "b"))
    plan = plan.take(record.TakenLook(3, "selected_val_loss", ("a and b",), ()))
    judge = Judge(lambda *_: record.Judgement("selected_val_mae", [], set()), lambda looks: 1.0, lambda *_: None)
    with pytest.raises(
        UserError, match="was judged by selected_val_loss at its last look, and would be by selected_val_mae"
    ):
        take_look(plan, tmp_path, {}, ["a", "b"], judge)


@pytest.mark.slow
def test_an_unclear_difference_takes_all_seeds_and_a_killed_study_goes_on(capsys: Any) -> None:
    directory = sweep(*UNCLEAR)
    assert statuses(directory) == ["completed"] * 10
    assert "Look 3 of 3, 5 seeds, by selected_val_loss: undecided: adam and sgd; all seeds are there." in (
        capsys.readouterr().out
    )
    plan = record.read_plan(directory)
    assert plan is not None and plan.seeds == (1, 2, 3, 4, 5) and plan.ended
    assert [(look.seeds, look.stopped) for look in plan.taken[:2]] == [(3, ()), (4, ())]
    runs = {run.name: record.read_summary(run)["seed"] for run in directory.iterdir() if run.is_dir()}
    # as a kill leaves it: after the first look, with one run of the second
    written = json.loads((directory / record.UNTIL).read_text())
    del written["taken"][1:]
    record.write_json(directory / record.UNTIL, written)
    for name, seed in runs.items():
        if seed == 5 or (seed == 4 and "sgd" in name):
            shutil.rmtree(directory / name)
    (result,) = compare(load_runs(directory)).results
    assert [pair.estimate.n for pair in result.pairs] == [3]  # the fourth seed belongs to no look yet
    sweep(*UNCLEAR)
    assert record.read_plan(directory) == plan
    assert {run.name: record.read_summary(run)["seed"] for run in directory.iterdir() if run.is_dir()} == runs


@pytest.mark.parametrize(("overrides", "message"), [
    (("until=decided",), "this study has one"),
    ((*APART, "until.looks=[5,5]"), "each look must have more seeds than the one before"),
    ((*APART, "until.looks=[2,5]"), "until.looks is [2, 5]; it must be a list of whole numbers, each at least 3"),
    ((*APART, "until.looks=5"), "until.looks is 5; it must be a list of whole numbers"),
    ((*APART, "until.max_seeds=4"), "the first look has 5 seeds"),
    ((*APART, "until.max_seeds=null"), "until.max_seeds is null"),
    ((*APART, "until.margin=0.2pt"), "The margin '0.2pt' does not fit"),
    ((*APART, "seed=range(1,30)"), "seed has 29 values, and until.max_seeds is 20"),
    ((*APART, "seeds.weights=1,2"), "seed alone makes replicates"),
    ((*APART, "confirm=true,false"), "confirm has several values"),
    (("optim.lr=0.01,1e-8", "until.max_seeds=4"), "until.* has no effect without looks"),
    ((*APART, "until=none,decided"), "until is for the whole sweep"),
])  # fmt: skip
def test_mistakes_are_refused_before_anything_is_trained(
    overrides: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(*dict.fromkeys(overrides), code=1)
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and message in err
    assert "Traceback" not in out + err
    assert not Path("outputs").exists()


def test_a_single_run_has_no_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("train.py", *QUICK, "until=decided") == 1
    assert "until=decided is for a study" in capsys.readouterr().err


def test_a_study_whose_seeds_were_seen_is_no_sequential_one(capsys: pytest.CaptureFixture[str]) -> None:
    sweep("seed=1")
    sweep(*APART, code=1)
    assert "has runs without until=decided, such as callbacks=none," in capsys.readouterr().err


def test_a_study_whose_plan_is_gone_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    directory = sweep(*APART)
    (directory / record.UNTIL).unlink()
    sweep(*APART, code=1)
    assert "and no until.json, which says what was planned. Copy that file back" in capsys.readouterr().err


def test_seeds_go_on_from_those_given() -> None:
    assert continue_seeds([], 4) == [1, 2, 3, 4]
    assert continue_seeds([101, 7], 5) == [101, 7, 102, 103, 104]
