"""Finished runs: loading, predicting, the test set."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import main

from paribus import record
from paribus.data.concrete import CONCRETE, Concrete
from paribus.record import RecordError
from paribus.run.load import load_run
from paribus.run.selection import select_runs

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=20", "threads=1")


def test_predictions_for_new_rows_are_in_mpa(train: Train) -> None:
    run = load_run(train(*SHORT))
    table = pd.read_csv(CONCRETE)
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=42)
    data.setup("fit")
    assert data.val
    rows = pd.DataFrame(data.val[0].double().numpy() * data._std + data._mean, columns=data.features)
    predicted = run.predict(rows)
    mse = float(((predicted - data.val[1]) ** 2).mean())
    assert mse == pytest.approx(run.summary["statistics"]["best_val_loss"], rel=1e-4)
    assert run.predict(table.drop(columns="strength").to_numpy()[:2]).shape == (2,)
    assert run.checkpoint == "best"
    assert run.epoch == run.summary["statistics"]["best_epoch"]


def test_a_loaded_run_gives_its_data_back(train: Train) -> None:
    run = load_run(train(*SHORT, "data.log_age=true", "data.split=grouped"))
    data = Concrete(None, "strength", "grouped", True, 64, 0.15, 0.15, None, False, seed=42)
    data.setup("fit")
    run.data.setup("fit")
    assert data.train and run.data.train
    assert torch.equal(data.train[0], run.data.train[0])


def test_images_give_probabilities(train: Train, fashion_root: Path) -> None:
    run = load_run(train(f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=1"))
    probabilities = run.predict(np.zeros((3, 28, 28), np.uint8))
    assert probabilities.shape == (3, 10)
    assert torch.allclose(probabilities.sum(1), torch.ones(3))


def test_the_regression_test_set_by_hand(train: Train, capsys: Any) -> None:
    directory = train(*SHORT)
    assert main("evaluate.py", f"run={directory}") == 0
    found = record.read_summary(directory)["test"]
    run = load_run(directory)
    run.data.setup("test")
    assert run.data.test and run.data.test
    x, y = run.data.test
    with torch.no_grad():
        error = (run.network(x).double() - y.double()).numpy()
    target = y.double().numpy()
    run.data.setup("fit")
    assert run.data.train
    baseline = target - run.data.train[1].double().mean().item()
    assert found["samples"] == 154
    assert found["mse"] == pytest.approx((error**2).mean(), rel=1e-5)
    assert found["rmse"] == pytest.approx((error**2).mean() ** 0.5, rel=1e-5)
    assert found["mae"] == pytest.approx(abs(error).mean(), rel=1e-5)
    assert found["r2"] == pytest.approx(1 - (error**2).sum() / ((target - target.mean()) ** 2).sum(), rel=1e-5)
    assert found["baseline_mse"] == pytest.approx((baseline**2).mean(), rel=1e-5)
    out = capsys.readouterr().out
    assert f"{found['mse']:.4g}" in out
    assert "baseline" in out


def test_the_image_test_set_by_hand(train: Train, fashion_root: Path, capsys: Any) -> None:
    directory = train(f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=1")
    assert main("evaluate.py", str(directory)) == 0
    found = record.read_summary(directory)["test"]
    run = load_run(directory)
    run.data.setup("test")
    assert run.data.test
    images, labels = run.data.test
    predicted = run.predict(images).argmax(1)
    confusion = np.zeros((10, 10), int)
    for label, guess in zip(labels.tolist(), predicted.tolist(), strict=True):
        confusion[label, guess] += 1
    assert found["confusion"] == confusion.tolist()
    assert found["acc"] == pytest.approx((predicted == labels).double().mean().item())
    for i, share in enumerate(found["per_class_acc"].values()):
        assert share == pytest.approx(confusion[i, i] / confusion[i].sum())
    assert next(iter(found["per_class_acc"])) == "T-shirt/top"
    assert "Ankle boot" in capsys.readouterr().out


def test_several_runs_and_the_last_checkpoint(train: Train, tmp_path: Path, capsys: Any) -> None:
    for name in ("a", "b"):
        train(*SHORT, directory=f"study/{name}")
    capsys.readouterr()
    assert main("evaluate.py", "run=study", "--checkpoint", "last") == 0
    for name in ("a", "b"):
        assert record.read_summary(tmp_path / "study" / name)["test"]["epoch"] == 20
    assert main("evaluate.py", "run=study/a", "run=study/b") == 0


def test_of_a_study_what_has_finished_is_evaluated_and_the_rest_counted(
    train: Train, tmp_path: Path, capsys: Any
) -> None:
    study = tmp_path / "study"
    train(*SHORT, directory="study/a")
    for name, change in {"b": {"status": "interrupted"}, "c": {"status": "interrupted", "paused": True},
                         "d": {"status": "failed"}}.items():  # fmt: skip
        shutil.copytree(study / "a", study / name)
        record.write_json(study / name / record.SUMMARY, {**record.read_summary(study / "a"), **change})
    capsys.readouterr()
    assert main("evaluate.py", "run=study") == 0
    line, _, table = capsys.readouterr().out.partition("\n")
    assert line.startswith("3 of 4 runs have not finished and are left out (1 interrupted, 1 paused, 1 failed).")
    assert "study/a" in table
    assert ["test" in record.read_summary(study / name) for name in "abcd"] == [True, False, False, False]
    entries = tuple(record.PlanEntry(name, (), None, 20) for name in "abcdef")
    record.write_study_plan(study, record.StudyPlan("", entries, True, 0, 0.0, 0))
    assert select_runs([study])[1].startswith("5 of 6 planned runs have not")  # type: ignore[union-attr]
    with record.lock_directory(study / "b"):
        assert "1 interrupted" in str(select_runs([study])[1]), "of which nothing is known but its record"
    assert main("evaluate.py", "run=study/b", "run=study/a") == 0
    out = capsys.readouterr().out
    assert "b (interrupted)" in out and "left out" not in out
    shutil.copytree(study, tmp_path / "other")
    before = (tmp_path / "other" / "c" / record.SUMMARY).read_bytes()
    assert main("evaluate.py", f"run={tmp_path}") == 1, "the test set is for what was chosen"
    assert f"holds the runs of 2 studies ({tmp_path / 'other'}, {study})" in capsys.readouterr().err
    assert (tmp_path / "other" / "c" / record.SUMMARY).read_bytes() == before
    (study / "a" / record.SUMMARY).unlink()
    assert main("evaluate.py", "run=study") == 1
    assert "None of 6 planned runs has finished (" in capsys.readouterr().err


def test_the_error_of_a_run_without_a_checkpoint_says_why_and_what_to_do(tmp_path: Path) -> None:
    known = {"status": "failed", "message": "optim.lr is -1.", "command": "python train.py optim.lr=-1"}
    record.write_json(tmp_path / record.SUMMARY, {**known, "study": None})
    with pytest.raises(RecordError) as caught:
        load_run(tmp_path)
    assert str(caught.value).endswith(
        "last.ckpt does not exist, since the run failed: optim.lr is -1. Mend that, and train the run again: python "
        "train.py optim.lr=-1"
    )
    record.write_json(tmp_path / record.SUMMARY, {**known, "study": "s", "message": "RuntimeError: boom"})
    with pytest.raises(RecordError, match=r"RuntimeError: boom\. Mend that, and start the study's command again\.$"):
        load_run(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / record.LAST).touch()
    with pytest.raises(RecordError, match=r"best.ckpt does not exist\. There is a last.ckpt: choose that\.$"):
        load_run(tmp_path, "best")


def test_a_table_that_changed_since_training_is_refused(train: Train, tmp_path: Path, capsys: Any) -> None:
    table = pd.read_csv(CONCRETE)
    table.head(100).to_csv("own.csv", index=False)
    directory = train(*SHORT, "data.path=own.csv")
    assert main("evaluate.py", f"run={directory}") == 0
    table.head(200).to_csv("own.csv", index=False)
    assert main("evaluate.py", f"run={directory}") == 1
    assert "has changed since the run was trained" in capsys.readouterr().err


def test_a_checkpoint_of_another_run_is_refused(train: Train) -> None:
    first, second = train(*SHORT, directory="a"), train(*SHORT, "seed=1", directory="b")
    (second / record.BEST).write_bytes((first / record.BEST).read_bytes())
    with pytest.raises(RecordError, match="belongs to another run"):
        load_run(second)


def test_a_device_that_is_not_there_is_said(train: Train, capsys: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main("evaluate.py", f"run={train(*SHORT)}", "--device", "cuda") == 1
    assert "--device cuda cannot be used" in capsys.readouterr().err


def test_a_final_fit_is_evaluated_by_its_last_epoch(train: Train) -> None:
    directory = train(*SHORT, "data.train_on_validation=true")
    assert main("evaluate.py", f"run={directory}") == 0
    assert record.read_summary(directory)["test"]["checkpoint"] == "last"


@pytest.mark.parametrize(("make", "message"), [
    (lambda d: None, "does not exist"),
    (lambda d: d.mkdir(), "holds no run"),
    (lambda d: d.write_text(""), "holds no run|is a file"),
    (lambda d: (d.mkdir(), (d / "metrics.csv").write_text("epoch\n")), "a run that has not ended"),
    (lambda d: (d.mkdir(), (d / "summary.json").write_text('{"status": ')), "damaged"),
    (lambda d: (d.mkdir(), (d / "summary.json").write_text('{"status": "failed"}')), "last.ckpt does not exist.*failed"),
])  # fmt: skip
def test_what_is_no_run_is_said(tmp_path: Path, capsys: Any, make: Callable[[Path], Any], message: str) -> None:
    make(tmp_path / "thing")
    assert main("evaluate.py", "run=thing") == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert re.search(message, err)
    assert "Traceback" not in err


@pytest.mark.parametrize("damage", [b"", b"hello", "half"])
def test_a_damaged_checkpoint_is_named(train: Train, damage: Any) -> None:
    directory = train(*SHORT, "trainer.max_epochs=1")
    path = directory / record.BEST
    path.write_bytes(path.read_bytes()[:5000] if damage == "half" else damage)
    with pytest.raises(RecordError, match=r"best.ckpt is damaged"):
        load_run(directory)


def test_data_that_moved_are_found_with_data_root(train: Train, fashion_root: Path, tmp_path: Path) -> None:
    directory = train(f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=1")
    fashion_root.rename(tmp_path / "moved")
    assert main("evaluate.py", f"run={directory}", "--data-root", str(tmp_path / "moved")) == 0
