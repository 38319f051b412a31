"""The command, end to end: what it writes and says, and how it refuses."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
from analysis_command import analyse
from conftest import ROOT
from matplotlib.figure import Figure
from records import write_run

from multirun_analysis.figures import gallery
from paribus import record


def made(root: Path, task: str = "regression", **more: object) -> Path:
    for activation in ("relu", "tanh"):
        for seed in (1, 2, 3):
            losses = (0.9, 0.5, 0.2 + (0.1 + 0.002 * seed) * (activation == "tanh") + 0.01 * seed**2)
            run = write_run(
                root / f"{activation}{seed}", losses, seed=seed, task=task, activation=activation, layers=True, **more
            )
            layers = {f"{when}/linear{i}": np.full((4, 3), 0.1 * i) for when in ("before", "after") for i in (1, 2)}
            np.savez(run / record.WEIGHTS, **layers)
            if task == "regression":
                rows = {"split": ["train", "val"] * 3, "target": range(6), "prediction": range(1, 7)}
                pandas.DataFrame(rows).to_parquet(run / record.PREDICTIONS)
    return root


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.slow
def test_it_writes_tables_figures_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str) -> None:
    study = made(tmp_path / "s", task)
    assert analyse(study, "--pdf", "--latex") == 0
    out = capsys.readouterr().out
    assert "Not drawn" not in out
    assert "relu beats tanh" in out and str(study / "analysis" / "report.html") in out
    names = {path.name for path in (study / "analysis").iterdir()}
    assert names == {
        "report.html",
        "verdict.json",
        "runs.csv",
        "comparison.csv",
        "tables.md",
        "tables.tex",
        "figures",
        ".paribus.json",
    }
    assert len(pandas.read_csv(study / "analysis" / "runs.csv")) == 6
    pairs = pandas.read_csv(study / "analysis" / "comparison.csv")
    assert pairs[["factor", "a", "b", "kind"]].to_numpy().tolist() == [["activation", "relu", "tanh", "controlled"]]
    assert {"low", "high", "p_adjusted", "verdict"} <= set(pairs.columns)
    pngs = {path.stem for path in (study / "analysis" / "figures").glob("*.png")}
    wanted = {"panels_by_activation", "learning_by_activation", "levels_of_activation", "steps", "schedules", "ranking_activation", "differences_activation",
              "gradient_flow", "gradient_bars", "zero_gradients", "dead_units", "update_ratios", "activations", "parallel",
              "weights_relu", "weights_relu_first_layer"}  # fmt: skip
    wanted |= {"predictions_relu", "predictions"} if task == "regression" else {"curves_by_activation_val_acc"}
    assert wanted <= pngs
    assert pngs == {path.stem for path in (study / "analysis" / "figures").glob("*.pdf")}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (study / "analysis" / "figures").glob("*.png"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds, and are drawn in other tests."""
    monkeypatch.setattr(gallery, "gallery", lambda *_: {})


@pytest.mark.usefixtures("no_figures")
def test_again_it_replaces_what_it_wrote_and_takes_it_for_no_run(tmp_path: Path) -> None:
    study = made(tmp_path / "s")
    assert analyse(study) == analyse(study) == 0
    assert len(pandas.read_csv(study / "analysis" / "runs.csv")) == 6


@pytest.mark.usefixtures("no_figures")
def test_several_tasks_have_a_page_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "all" / "a")
    made(tmp_path / "all" / "b", "classification")
    assert analyse(tmp_path / "all" / "a", tmp_path / "all" / "b", "--out", tmp_path / "out") == 0
    for task in ("regression", "classification"):
        assert len(pandas.read_csv(tmp_path / "out" / task / "runs.csv")) == 6
        assert (tmp_path / "out" / task / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere does not exist"),
        (("s", "--by", "activaton"), "Did you mean 'activation'"),
        (("s", "--metric", "best_val_los"), "Did you mean 'best_val_loss'"),
        (("s", "--out", "file/x"), "Write elsewhere: --out DIR"),
    ],
)
def test_mistakes_are_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    made(tmp_path / "s")
    (tmp_path / "file").touch()
    assert analyse(*arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--claim", "activation: relu <= tanh"), 0),
        (("--claim", "activation: relu >= tanh"), 1),
        (("--claim", "activation: relu <= tanh - 0.104"), 2),
        (("--claim", "activation: rellu <= tanh"), 3),
        (("--claim=activation: relu <= tanh", "--bogus"), 3),
        (("--bogus",), 2),
    ],
)
def test_a_claim_is_answered_by_the_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int
) -> None:
    study = made(tmp_path / "s")
    assert analyse(study, *arguments) == code
    said = capsys.readouterr()
    assert said.err.count("error: ") == (code > 2 or "--bogus" in arguments) and "Traceback" not in said.err
    assert not (study / "analysis").exists()


def test_the_verdict_for_programs_is_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made(tmp_path / "s")
    assert analyse(study, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["factors"][0]["winner"] == "relu" and not (study / "analysis").exists()
    monkeypatch.setattr(gallery, "gallery", lambda *_: {})
    assert analyse(study) == 0
    assert json.loads((study / "analysis" / "verdict.json").read_text()) == printed


def test_a_file_of_the_users_own_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "gallery", lambda *_: {})
    study = made(tmp_path / "s")
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "tables.md").write_text("mine")
    assert analyse(study, "--out", tmp_path / "paper") == 1
    assert "tables.md" in capsys.readouterr().err and (tmp_path / "paper" / "tables.md").read_text() == "mine"


@pytest.mark.slow
def test_as_a_command_it_needs_no_terminal_and_help_comes_at_once(tmp_path: Path) -> None:
    made(tmp_path / "s")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        whole = [sys.executable, "-m", "multirun_analysis", *arguments]
        return subprocess.run(whole, capture_output=True, text=True, env=environment)

    done = run(str(tmp_path / "s"))
    assert done.returncode == 0 and "relu beats tanh" in done.stdout and not done.stderr
    start = time.perf_counter()
    done = run("--help")
    assert done.returncode == 0 and "outputs/STUDY" in done.stdout
    assert time.perf_counter() - start < 2  # 0.5 s where nothing else is computing
    assert run().returncode == 2


@pytest.mark.slow
def test_damaged_files_of_one_run_are_told_and_cost_no_other_statistic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = made(tmp_path / "s")
    for name in (record.WEIGHTS, record.PREDICTIONS):
        for run in study.glob("relu*"):
            (run / name).write_bytes((run / name).read_bytes()[:40])
    assert analyse(study) == 0
    out = capsys.readouterr().out
    assert "Not drawn: weights_relu: " in out and "Not drawn: predictions_relu: " in out and "is damaged" in out
    assert (study / "analysis" / "figures" / "weights_tanh.png").exists()


@pytest.mark.slow
def test_a_second_analysis_removes_what_the_first_alone_wrote_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "gallery", lambda *_: {"one": Figure, "other": Figure})
    study = made(tmp_path / "s")
    assert analyse(study, "--latex", "--pdf") == 0
    folder = study / "analysis"
    assert {path.name for path in (folder / "figures").iterdir()} >= {"one.png", "one.pdf", "other.pdf"}
    mine = [folder / "figures" / "curves_of_mine.png", folder / "figures" / "mine.pdf", folder / "notes.md"]
    for path in mine:
        path.write_text("mine")
    assert analyse(study, "--metric", "final_val_loss") == 0
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert not (folder / "tables.tex").exists()
    assert [path.name for path in (folder / "figures").glob("*.pdf")] == ["mine.pdf"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "name", ["report.html", "tables.md", "runs.csv", "verdict.json", "comparison.csv", "tables.tex"]
)
def test_a_file_that_no_analysis_wrote_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    study, folder = made(tmp_path / "s"), tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text("mine")
    assert analyse(study, "--out", folder, "--latex") == 1
    error = capsys.readouterr().err
    assert str(folder / name) in error and "--out DIR" in error
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: "mine"}


@pytest.mark.parametrize("value", ["nan", "inf", "85"])
def test_a_target_that_nothing_can_reach_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    made(tmp_path / "s", "classification")
    assert analyse(tmp_path / "s", "--target", value) == 1
    assert "val/acc is a fraction, 0.85 for 85 %" in capsys.readouterr().err


def test_a_mistake_in_one_figure_is_said_and_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a mistake")

    drawings = {"good": lambda: Figure(), "bad": fail}
    monkeypatch.setattr(gallery, "gallery", lambda *_: drawings)
    assert analyse(made(tmp_path / "s")) == 0
    assert "Not drawn: bad: ZeroDivisionError: a mistake" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "s" / "analysis" / "figures").iterdir()] == ["good.png"]


def test_a_disk_that_is_full_is_an_error_and_no_hang(tmp_path: Path) -> None:
    def broken() -> None:
        raise OSError(28, "No space left on device", "x.png")

    drawings = {str(i): broken for i in range(6)}

    def draw_all() -> None:
        with gallery.drawing(drawings, tmp_path / "f", False) as figures:
            for draw in figures:
                draw()

    with pytest.raises(OSError, match="No space left"):
        draw_all()


@pytest.mark.parametrize("kind", ["single", "diverged", "unfinished", "nothing recorded"])
@pytest.mark.slow
def test_every_figure_of_a_broken_study_is_drawn_or_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    if kind == "single":
        write_run(tmp_path / "s" / "a", layers=True)
    elif kind == "diverged":
        for i in range(4):
            write_run(
                tmp_path / "s" / str(i),
                (float("nan"),),
                seed=i % 2,
                optim__lr=0.1 + i // 2,
                status="diverged",
                layers=True,
            )
    elif kind == "unfinished":
        for i in range(4):
            (write_run(tmp_path / "s" / str(i), seed=i % 2, optim__lr=0.1 + i // 2) / record.SUMMARY).unlink()
    else:
        for i in range(4):
            write_run(tmp_path / "s" / str(i), (1.0,), seed=i % 2, optim__lr=0.1 + i // 2, status="failed")
            (tmp_path / "s" / str(i) / record.METRICS).write_text("epoch,step,lr,train/loss\n")
    assert analyse(tmp_path / "s") == 0
    assert "Not drawn" not in capsys.readouterr().out
    assert (tmp_path / "s" / "analysis" / "report.html").exists()
