"""Runs with each optimizer, schedule and average: resumed, in stacks, and what is stored of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from conftest import ROOT, main
from torch import nn

from paribus import record
from paribus.run.load import load_run
from paribus.training import checkpoints
from paribus.training.recorder import Recorder

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[16,8]", "data.train_subset=256", "trainer.max_epochs=4", "threads=1",
         "figures=false", "logger=none")  # fmt: skip
NEW = sorted({path.stem for path in (ROOT / "conf" / "optim").glob("*.yaml")}
             - {"sgd", "sgd_momentum", "nesterov", "adam", "adamw", "nadam", "adagrad", "rmsprop"}
             - {"own"})  # of LightningModules: tests/foreign  # fmt: skip


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What kill -9 in the third epoch would leave of the next run, copied while the run goes on."""
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    stepped, copied = Recorder.on_train_batch_end, tmp_path / "killed"

    def step(self: Recorder, trainer: Any, *rest: Any) -> None:
        stepped(self, trainer, *rest)
        if trainer.current_epoch == 2 and rest[-1] == 1 and not copied.exists():
            shutil.copytree(self.directory, copied)

    monkeypatch.setattr(Recorder, "on_train_batch_end", step)
    return copied


def assert_same(undisturbed: Path, resumed: Path) -> None:
    tables = [
        (pandas.read_csv, record.METRICS),
        (pandas.read_parquet, record.LAYERS),
        (pandas.read_parquet, record.FOLDS),
        (pandas.read_parquet, record.STEPS),
    ]
    for read, name in tables:
        one, other = (read(d / name).drop(columns="epoch_seconds", errors="ignore") for d in (undisturbed, resumed))
        pandas.testing.assert_frame_equal(one, other, check_exact=True)
    for name in (record.BEST, record.LAST):
        one, other = (torch.load(d / name, weights_only=True)["state_dict"] for d in (undisturbed, resumed))
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items()), name


@pytest.mark.parametrize("typed", [
    *((f"optim={name}",) for name in NEW),
    *((f"scheduler={name}", "warmup=linear", "warmup.epochs=2.5") for name in ("none", "cosine", "inverse_sqrt")),
    *((f"scheduler={name}",) for name in ("linear", "polynomial", "wsd")),
    ("scheduler=warm_restarts", "scheduler.T_0=2"),
    ("scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.5", "warmup=linear", "warmup.steps=3"),
    ("optim=muon", "scheduler=onecycle", "+trainer.accumulate_grad_batches=2"),
    ("optim=schedulefree_adamw", "warmup=linear", "model.norm=batch"),
    ("averaging=ema", "averaging.decay=0.9"),
    ("averaging=swa", "averaging.start=0.25", "model.norm=batch"),
], ids=lambda typed: " ".join(typed))  # fmt: skip
@pytest.mark.cases(4)
def test_a_resumed_run_equals_the_undisturbed_one(train: Train, killed: Path, typed: tuple[str, ...]) -> None:
    undisturbed = train(*SHORT, *typed)
    assert main("train.py", f"resume={killed}") == 0
    assert_same(undisturbed, killed)
    assert len(pandas.read_csv(killed / record.METRICS)) == 4


@pytest.mark.parametrize(
    "typed",
    [("optim=schedulefree_sgd",), ("averaging=ema", "averaging.decay=0.9"), ("averaging=swa", "averaging.start=0.25")],
)
def test_what_is_validated_is_what_is_stored_measured_and_loaded(train: Train, typed: tuple[str, ...]) -> None:
    """The best network's own loss is the best loss of metrics.csv; its weights' mean is the one of layers.parquet."""
    directory = train(*SHORT, *typed)
    metrics = pandas.read_csv(directory / record.METRICS)
    best = int(metrics["val/loss"].idxmin())
    run = load_run(directory)
    run.data.setup("fit")
    inputs, targets = run.data.val
    with torch.no_grad():
        loss = nn.functional.mse_loss(run.network(inputs), targets)
    assert float(loss) == pytest.approx(metrics["val/loss"][best], rel=1e-5)
    layers = pandas.read_parquet(directory / record.LAYERS)
    rows = layers[(layers.epoch == best + 1) & (layers.tensor == "weight") & (layers.quantity == "weight_norm")]
    weight = run.network.get_parameter("linear1.weight").detach()
    assert rows[rows.layer == "linear1"].value.item() == pytest.approx(float(weight.norm()), rel=1e-5)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The trained weights of the second layer after each step of the next run."""
    found: list[torch.Tensor] = []
    stepped = Recorder.on_train_batch_end

    def step(self: Recorder, trainer: Any, learner: Any, *rest: Any) -> None:
        stepped(self, trainer, learner, *rest)
        found.append(learner.network.linear2.weight.detach().double().clone())

    monkeypatch.setattr(Recorder, "on_train_batch_end", step)
    return found


def test_averages_by_hand(train: Train, steps: list[torch.Tensor]) -> None:
    plain = pandas.read_csv(train(*SHORT, directory="plain") / record.METRICS)
    trained = list(steps)
    assert len(trained) == 4 * 4
    ema = trained[0]
    for weight in trained[1:]:
        ema = 0.9 * ema + 0.1 * weight
    swa = sum(trained[k] for k in (7, 11, 15)) / 3  # the ends of epochs 2, 3 and 4: those after a quarter of the run
    for typed, expected in (
        (("averaging=ema", "averaging.decay=0.9"), ema),
        (("averaging=swa", "averaging.start=0.25"), swa),
    ):
        steps.clear()
        directory = train(*SHORT, *typed, directory=typed[0].partition("=")[2])
        assert all(torch.equal(one, other) for one, other in zip(trained, steps, strict=True)), (
            "the training is the same"
        )
        metrics = pandas.read_csv(directory / record.METRICS)
        assert (metrics["train/loss"] == plain["train/loss"]).all()
        assert (metrics["val/loss"][3:] != plain["val/loss"][3:]).all()
        stored = torch.load(directory / record.LAST, weights_only=True)["state_dict"]["network.linear2.weight"]
        torch.testing.assert_close(stored.double(), expected, rtol=1e-5, atol=1e-6)
        if "swa" in typed[0]:
            assert metrics["val/loss"][:2].tolist() == plain["val/loss"][:2].tolist(), "one epoch is its own mean"


def test_without_validation_the_average_is_what_is_loaded(train: Train) -> None:
    typed = ("optim=schedulefree_sgd", "data.train_on_validation=true")
    directory = train(*SHORT, *typed)
    stored = torch.load(directory / record.LAST, weights_only=True)
    optimizer = stored["optimizer_states"][0]
    z = optimizer["state"][0]["z"]
    y, x = stored["trained_weights"]["network.linear1.weight"], stored["state_dict"]["network.linear1.weight"]
    torch.testing.assert_close(y, 0.1 * z + 0.9 * x)
    assert not torch.equal(x, y)
    assert torch.equal(load_run(directory).network.get_parameter("linear1.weight"), x)


def test_sam_records_the_loss_before_its_step(train: Train) -> None:
    """With a rate of nearly 0 the network stays as it is, so the loss of an epoch is that of the data."""
    directory = train(*SHORT, "optim=sam", "optim.lr=1e-12", "optim.rho=5.0")
    run = load_run(directory, "last")
    run.data.setup("fit")
    inputs, targets = run.data.train
    with torch.no_grad():
        loss = float(nn.functional.mse_loss(run.network(inputs), targets))
    assert pandas.read_csv(directory / record.METRICS)["train/loss"].tolist() == pytest.approx([loss] * 4, rel=1e-5)


@pytest.mark.muon
def test_a_sweep_of_all_of_them(tmp_path: Path) -> None:
    typed = ("--multirun", "study=s", f"hydra.sweep.dir={tmp_path / 's'}", "trainer=cpu", "callbacks=none", *SHORT)
    assert main("train.py", *typed, f"optim={','.join(NEW)}") == 0
    summaries = [record.read_summary(directory) for directory in record.find_runs([tmp_path / "s"])]
    assert sorted(summary["choices"]["optim"] for summary in summaries) == NEW
    assert {summary["status"] for summary in summaries} == {"completed"}
