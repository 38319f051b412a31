"""Records as frames: whatever is wrong with a run, it is there, and says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
from records import edit_summary, write_layers, write_run

from multirun_analysis import load_runs
from multirun_analysis.compare.comparison import compare
from multirun_analysis.records.described import in_words, order
from paribus import record
from paribus.errors import UserError

ROOT = Path(__file__).parents[2]


def test_frames_say_what_the_files_say(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "a", (3.0, 1.0, 2.0), seed=7, activation="tanh", optim__lr=0.05, layers=True)
    write_run(tmp_path / "s" / "b", (4.0, 0.5), seed=8, more={"test": {"mse": 1.5, "r2": 0.5}}, layers=True)
    study = load_runs(tmp_path / "s")
    a, b = study.runs.loc["a"], study.runs.loc["b"]
    assert (a["status"], a["activation"], a["optim.lr"], a["seed"], a["task"]) == (
        "completed",
        "tanh",
        0.05,
        7,
        "regression",
    )
    assert b["optim.lr"] == 0.01  # its default
    assert (a["best_val_loss"], a["best_val_mse"], a["final_val_mse"], a["best_val_mae"]) == (1.0, 1.0, 2.0, 1.0)
    assert np.isnan(a["test_mse"]) and (b["test_mse"], b["test_r2"]) == (1.5, 0.5)
    frame = pandas.read_csv(tmp_path / "s" / "a" / record.METRICS)
    mine = study.curves[(study.curves["run"] == "a") & (study.curves["metric"] == "val/loss")]
    assert mine["value"].tolist() == frame["val/loss"].tolist() and mine["step"].tolist() == [10, 20, 30]
    seconds = study.curves[(study.curves["run"] == "b") & (study.curves["metric"] == "seconds")]
    assert seconds["value"].tolist() == [0.5, 1.0]
    expected = pandas.concat(
        {name: pandas.read_parquet(tmp_path / "s" / name / record.LAYERS).astype({"layer": str, "tensor": str, "quantity": str}) for name in "ab"},
        names=["run"],
    ).reset_index("run").reset_index(drop=True)  # fmt: skip
    found = study.layers.astype({"run": str, "layer": str, "tensor": str, "quantity": str})
    pandas.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False)


def test_runs_of_several_studies_and_a_run_alone(tmp_path: Path) -> None:
    for name in ("one/a", "one/b", "two/a"):
        write_run(tmp_path / name)
    assert list(load_runs(tmp_path).runs.index) == ["one/a", "one/b", "two/a"]
    assert list(load_runs([tmp_path / "two", tmp_path / "one", tmp_path / "one" / "a"]).runs.index) == [
        "one/a",
        "one/b",
        "two/a",
    ]
    assert list(load_runs(tmp_path / "one" / "a").runs.index) == ["a"]


def test_what_an_analysis_wrote_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path / "s" / "a")
    shutil.copytree(tmp_path / "s" / "a", tmp_path / "s" / "analysis" / "x")
    for name in ("report.html", "comparison.csv"):
        (tmp_path / "s" / "analysis" / name).touch()
    assert list(load_runs(tmp_path / "s").runs.index) == ["a"]


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "does not exist"), ("empty", "holds no run"), ("file", "is a file")]
)
def test_paths_without_runs_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        load_runs(tmp_path / name)


def test_a_directory_that_cannot_be_read_stops_rather_than_loses_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "s" / "a")
    write_run(tmp_path / "s" / "b" / "c")
    scan = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match="b cannot be read"):
        load_runs(tmp_path / "s")


def status(directory: Path) -> tuple[str, str]:
    row = load_runs(directory).runs.iloc[0]
    return row["status"], row["message"] or ""


def test_a_truncated_metrics_csv_is_damaged_and_its_whole_rows_are_kept(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", (3.0, 2.0, 1.0))
    content = (run / record.METRICS).read_bytes()
    (run / record.METRICS).write_bytes(content[:-12])
    found = load_runs(run)
    assert found.runs["status"].item() == "damaged" and "metrics.csv is damaged: line 4" in found.runs["message"].item()
    assert len(found.curves[found.curves["metric"] == "val/loss"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "metrics.csv is missing"),
        (b"", "it has no columns epoch and step"),
        (b"epoch,step,val/loss\n1,10,3.0\n", "has 1 epochs, summary.json speaks of 3"),
        (b"epoch,step,val/loss\n1,10,oops\n", "could not convert"),
        (b"\xff\xfe\x00", "damaged"),
    ],
)
def test_metrics_that_are_not_the_runs_are_damaged(tmp_path: Path, content: bytes | None, message: str) -> None:
    run = write_run(tmp_path / "a")
    (run / record.METRICS).unlink()
    if content is not None:
        (run / record.METRICS).write_bytes(content)
    found = status(run)
    assert found[0] == "damaged" and message in found[1]


@pytest.mark.parametrize("epochs", ["1,1,2", "1,3,4", "1,,3", "inf,2,3"])
def test_epochs_that_are_not_counted_from_one_are_damage(tmp_path: Path, epochs: str) -> None:
    run = write_run(tmp_path / "a")
    rows = [f"{epoch},{10 * i},3.0\n" for i, epoch in enumerate(epochs.split(","), 1)]
    (run / record.METRICS).write_text("epoch,step,val/loss\n" + "".join(rows))
    found = status(run)
    assert found[0] == "damaged" and "is not of epoch" in found[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"versions": "x"}, {"git": "abc"}, {"data": "concrete"}, {"test": [1]}, {"diverged": True},
        {"choices": {"optim": ["a"]}}, {"statistics": {"best_val_loss": True}}, {"statistics": {"train_seconds": "1"}},
        {"set": [1]}, {"command": 3},
    ],
)  # fmt: skip
def test_one_odd_summary_is_damaged_and_spoils_no_other_run(tmp_path: Path, changes: dict[str, object]) -> None:
    for i in (1, 2, 3):
        write_run(tmp_path / "s" / str(i), seed=i, activation="relu" if i < 3 else "tanh")
    edit_summary(tmp_path / "s" / "1", **changes)
    study = load_runs(tmp_path / "s")
    assert study.runs["status"].tolist() == ["damaged", "completed", "completed"]
    assert next(iter(changes)) in study.runs["message"].iloc[0]
    assert study.runs["best_val_loss"].tolist()[1:] == [1.0, 1.0]
    compare(study)


def test_nan_and_infinity_in_metrics_are_no_damage(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", (float("nan"), float("inf"), 2.0))
    row = load_runs(run).runs.iloc[0]
    assert row["status"] == "completed" and row["best_val_mse"] == 2.0


def test_a_truncated_layers_parquet_leaves_the_run_and_is_told(tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / "s" / name, layers=True)
    path = tmp_path / "s" / "a" / record.LAYERS
    path.write_bytes(path.read_bytes()[:-20])
    study = load_runs(tmp_path / "s")
    assert set(study.layers["run"]) == {"b"} and list(study.unread) == ["a"]
    assert study.runs["status"].tolist() == ["completed"] * 2


def test_other_columns_in_layers_parquet_are_told(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", layers=True)
    pandas.read_parquet(run / record.LAYERS).drop(columns="depth").to_parquet(run / record.LAYERS)
    assert load_runs(run).unread == {"a": "layers.parquet lacks depth"}


def test_layers_of_other_kinds_are_converted_or_told(tmp_path: Path) -> None:
    for name in "abc":
        write_run(tmp_path / "s" / name, layers=True)
    for name, kinds in {"a": {"layer": str, "epoch": "int64"}, "b": {"epoch": str}}.items():
        path = tmp_path / "s" / name / record.LAYERS
        frame = pandas.read_parquet(path).astype(kinds)
        if name == "b":
            frame["epoch"] = "one"
        frame.to_parquet(path)
    study = load_runs(tmp_path / "s")
    assert set(study.layers["run"]) == {"a", "c"} and list(study.unread) == ["b"]


def test_without_a_summary_a_run_has_not_ended(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    (run / record.SUMMARY).unlink()
    assert status(run)[0] == "unfinished"


def test_a_summary_that_is_half_there_is_damaged(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    path = run / record.SUMMARY
    path.write_text(path.read_text()[:100])
    found = status(run)
    assert found[0] == "damaged" and "summary.json" in found[1]


def test_a_record_of_an_older_version_says_why_it_cannot_be_compared(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    edit_summary(run, choices=None, versions={"paribus": "0.0.1"})
    found = status(run)
    assert found[0] == "damaged" and "lacks choices" in found[1] and "0.0.1" in found[1]


@pytest.mark.slow
def test_a_run_that_is_being_made_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    (run / record.SUMMARY).unlink()
    with record.lock_directory(run):
        code = f"from multirun_analysis import load_runs; print(load_runs({str(run)!r}).runs['status'].item())"
        found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "running"


def test_an_unfinished_run_has_its_factors_from_what_hydra_composed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "s" / "a", optim__lr=0.05)
    (run / record.SUMMARY).unlink()
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text(
        "data: {batch_size: 64}\nmodel: {loss: mse}\noptim: {lr: '${rate}'}\nrate: 0.05\nseed: 3\n"
    )
    (run / ".hydra" / "hydra.yaml").write_text(
        "hydra: {runtime: {choices: {optim: sgd, model: regression, hydra/launcher: basic}}, overrides: {task: [optim=sgd, optim.lr=0.05, seed=3]}}"
    )
    row = load_runs(tmp_path / "s").runs.iloc[0]
    assert (row["optim"], row["optim.lr"], row["seed"], row["status"]) == ("sgd", 0.05, 3, "unfinished")


def test_layers_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    study = load_runs(run)
    write_layers(run, 3)
    assert len(study.layers) > 0


@pytest.mark.slow
def test_the_analysis_needs_no_torch_and_starts_at_once(tmp_path: Path) -> None:
    code = (
        "import time, sys; t = time.perf_counter(); import multirun_analysis; seconds = time.perf_counter() - t\n"
        "import multirun_analysis.__main__, multirun_analysis.report, multirun_analysis.report.verdict\n"
        "assert not {'torch', 'lightning'} & set(sys.modules), 'torch'\nprint(seconds)"
    )
    best = min(
        float(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        for _ in range(2)
    )
    assert best < 2  # 0.5 s; with other work beside it, up to three times that


def test_levels_in_words_and_in_order() -> None:
    assert [in_words(v) for v in (0.001, 1e-05, 30, (64, 32), (32,) * 16, None, True, "relu")] == [
        "0.001", "1e-05", "30", "[64, 32]", "[32] * 16", "none", "True", "relu"]  # fmt: skip
    assert order([10, "b", 0.5, "a", 10]) == [0.5, 10, "a", "b"]
