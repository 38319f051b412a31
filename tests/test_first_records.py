"""Records of version 0.1, made before classes moved: what they are, and that runs go on from them.

tests/records_0.1 was made by version 0.1 with

    python train.py --multirun study=study model=regression 'model.hidden=[3]' scheduler=onecycle \
        data.train_subset=64 optim=adam,sgd trainer.max_epochs=2 logger=none trainer=cpu threads=1 \
        hydra.sweep.subdir='${optim._target_}'
    python train.py model=regression 'model.hidden=[3]' scheduler=step scheduler.step_size=1 \
        data.train_subset=64 trainer.max_epochs=2 logger=none trainer=cpu threads=1 hydra.run.dir=outputs/single
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import main

from multirun_analysis.records.load import load_runs
from paribus import record
from paribus.run.load import load_run

pytestmark = pytest.mark.slow

FIRST = Path(__file__).parent / "records_0.1"
RUNS = ("single", "study/torch.optim.Adam", "study/torch.optim.SGD")
SHARED = ("model=regression", "model.hidden=[3]", "data.train_subset=64", "logger=none", "trainer=cpu", "threads=1")
STUDY = ("--multirun", "study=study", *SHARED, "scheduler=onecycle", "trainer.max_epochs=2")
SUBDIR = "hydra.sweep.subdir=${optim._target_}"


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIRST, tmp_path / "outputs"))


@pytest.mark.parametrize("name", RUNS)
def test_a_moved_class_keeps_the_identity(name: str) -> None:
    summary = json.loads((FIRST / name / record.SUMMARY).read_text())
    config = summary["config"]
    assert "paribus.schedulers." in config["scheduler"]["_target_"], "the record names the class where it was"
    moved = record.use_current_targets(config)
    assert moved["scheduler"]["_target_"].startswith("paribus.training.schedulers.")
    assert record.identify(config) == record.identify(moved) == summary["identity"]


def test_finished_runs_are_not_trained_again(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in outputs.rglob("*.csv")}
    assert main("train.py", *STUDY, "optim=adam,sgd", SUBDIR) == 0
    assert "2 runs; 2 finished" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in outputs.rglob("*.csv")} == before


def test_a_run_resumes(outputs: Path) -> None:
    directory = outputs / "single"
    first = (directory / record.METRICS).read_text().splitlines()
    assert main("train.py", f"resume={directory}", "trainer.max_epochs=4") == 0
    assert (directory / record.METRICS).read_text().splitlines()[:3] == first
    assert [row["epoch"] for row in record.read_metrics(directory)] == [1, 2, 3, 4]
    # step: the rate times 0.1 after each epoch
    np.testing.assert_allclose([row["lr"] for row in record.read_metrics(directory)], [1e-2, 1e-3, 1e-4, 1e-5])


def test_a_run_loads_and_predicts() -> None:
    run = load_run(FIRST / "single")
    stored = torch.load(FIRST / "single" / record.BEST, weights_only=True)["state_dict"]
    rows = np.random.default_rng(0).uniform(100, 300, (4, 8)).astype(np.float32)
    first, bias, last, offset = (tensor.double().numpy() for tensor in stored.values())
    inputs = run.data.inputs(rows).double().numpy()
    expected = (np.maximum(inputs @ first.T + bias, 0) @ last.T + offset)[:, 0]
    np.testing.assert_allclose(run.predict(rows).double().numpy(), expected, rtol=1e-5)


def test_old_and_new_runs_are_compared_as_one_study(outputs: Path) -> None:
    """A third seed, trained now, differs from the two old runs in nothing but its seed and its optimizer."""
    assert main("train.py", *STUDY, "optim=adam", "seed=7", "hydra.sweep.subdir=new") == 0
    runs = load_runs([outputs / "study"]).runs
    settings = {tuple(sorted(row.items())) for row in runs[["optim", "scheduler"]].to_dict("records")}
    assert len(runs) == 3 and len(settings) == 2
