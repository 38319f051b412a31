"""Lightning's options with a foreign module or data set, and data of Paribus' kind whose shape is known late."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch
from conftest import main

from paribus import load_run, record

pytestmark = pytest.mark.slow

Fit = Callable[..., Path]
LATE = """
import torch
from paribus.data.module import InMemory

class Late(InMemory):
    task = "classification"

    def __init__(self, features, **others):
        super().__init__(**others)
        self.features = features

    def load(self, test):
        x = torch.randn(100, self.features, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0).long()
        self.in_shape, self.out_features, self.class_names = (self.features,), 2, ["no", "yes"]
        train, val, tested = self.choose(100, 20, 20)
        return (None, None, (x[tested], y[tested])) if test else ((x[train], y[train]), (x[val], y[val]), None)

    def inputs(self, raw):
        return torch.as_tensor(raw).float()

    def statistics(self):
        return {}

    def restore(self, statistics):
        pass
"""


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS)


def test_accumulated_steps_have_the_same_loss(fit: Fit) -> None:
    still = ("model=autoencoder", "optim=sgd", "optim.lr=0", "trainer.max_epochs=1")
    plain, summed = fit(*still), fit(*still, "+trainer.accumulate_grad_batches=2", directory="summed")
    assert read(summed)["train/loss"].tolist() == pytest.approx(read(plain)["train/loss"].tolist(), rel=1e-6)
    assert (read(plain)["step"].tolist(), read(summed)["step"].tolist()) == ([4], [2])


def test_a_killed_run_with_a_plateau_goes_on_as_if_undisturbed(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit("model=plateau", directory="whole")
    monkeypatch.setattr("foreign_modules.StopOnce.stopped", False)
    fit("model=plateau", "+callbacks.stop={_target_: foreign_modules.StopOnce}", directory="cut", code=130)
    assert main("train.py", "resume=cut", "trust=true") == 0
    same = ["epoch", "step", "lr", "train/loss", "val/loss"]
    pandas.testing.assert_frame_equal(read(whole)[same], read(Path("cut"))[same], check_exact=True)
    assert read(whole)["lr"].tolist() == pytest.approx([0.5, 0.5, 0.05, 0.005])


def test_epochs_without_validation_have_empty_cells(fit: Fit) -> None:
    run = fit("model=autoencoder", "+trainer.check_val_every_n_epoch=2", "trainer.max_epochs=4")
    assert read(run)["val/loss"].isna().tolist() == [True, False, True, False]
    assert record.read_summary(run)["statistics"]["best_epoch"] in (2, 4)


@pytest.mark.parametrize("model", ["autoencoder", "mlp"])
def test_a_stream_of_unknown_length(fit: Fit, model: str) -> None:
    run = fit(f"model={model}", "data=stream", "trainer.max_epochs=2")
    assert record.read_summary(run)["data"]["train"] is None
    assert read(run)["step"].tolist() == [4, 8]


def test_a_stack_leaves_it_alone_and_says_so(foreign: str, capfd: pytest.CaptureFixture[str]) -> None:
    options = ("trainer=cpu", "threads=1", "logger=none", "study=s", "trainer.max_epochs=1", "hydra/launcher=stacked")
    assert main("train.py", foreign, "--multirun", "model=autoencoder", "seed=1,2", *options) == 0
    assert "it trains a LightningModule of its own" in "".join(capfd.readouterr())


def test_the_environment_stays_as_it_was(fit: Fit) -> None:
    before = dict(os.environ)
    run = fit("model=autoencoder", "trainer.max_epochs=1")
    load_run(run, trust=True)
    changed = {key for key in {*before, *os.environ} if before.get(key) != os.environ.get(key)}
    assert not [key for key in changed if key.startswith("PL_")]


def test_data_whose_shape_is_known_when_loaded(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_parts.py").write_text(LATE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "late_parts", raising=False)
    run_directory = fit("model=mlp", "model.hidden=[4]", "data=late", "trainer.max_epochs=2")
    assert main("evaluate.py", "--trust", f"run={run_directory}") == 0
    run = load_run(run_directory, trust=True)
    assert (run.data.in_shape, run.data.out_features) == ((5,), 2)
    assert run.predict(torch.zeros(3, 5)).shape == (3, 2)
    assert list(record.read_summary(run_directory)["test"]["per_class_acc"]) == ["no", "yes"]
