"""One run from the configuration to its record, in this process."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import read_folds
from short_runs import SHORT, Train, metrics
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional as F

from paribus import record
from paribus.data.concrete import Concrete
from paribus.models.regression import RegressionNet
from paribus.randomness import derive_seed, make_generator
from paribus.training.recorder import Recorder


def plain_loop(
    epochs: int, dropout: float, weight_decay: float
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """The run that a user would write by hand, without Lightning and without our loop, batches and means."""
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=7)
    data.setup("fit")
    assert data.train and data.val
    (x, y), (val_x, val_y) = data.train, data.val
    torch.manual_seed(derive_seed(7, "weights"))
    network = RegressionNet((8,), 1, nn.ReLU, [16, 8], dropout=dropout)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    rows, step = [], 0
    for epoch in range(epochs):
        torch.manual_seed(derive_seed(7, "training", epoch))
        total, lr = 0.0, optimizer.param_groups[0]["lr"]
        for batch in torch.randperm(len(x), generator=make_generator(7, "batches", epoch)).split(64):
            loss = F.mse_loss(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            step += 1
        schedule.step()
        network.eval()
        with torch.no_grad():
            val = F.mse_loss(network(val_x), val_y).item()
        network.train()
        rows.append({"epoch": epoch + 1, "step": step, "lr": lr, "train/loss": total / len(x), "val/loss": val})
    return rows, network.state_dict()


def test_a_run_is_the_plain_loop_to_the_last_digit(train: Train) -> None:
    directory = train(*SHORT, "seed=7", "model.hidden=[16,8]", "model.dropout=0.3", "optim.weight_decay=0.1",
                      "scheduler=exponential")  # fmt: skip
    torch.set_num_threads(1)
    rows, weights = plain_loop(3, dropout=0.3, weight_decay=0.1)
    recorded = metrics(directory)
    for row, expected in zip(recorded, rows, strict=True):
        for column in ("epoch", "step", "lr", "val/loss"):
            assert row[column] == expected[column], column
        # the sum over batches is taken in another order
        assert row["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-14)
    last = torch.load(directory / record.LAST, weights_only=True)["state_dict"]
    for name, tensor in weights.items():
        assert torch.equal(last[f"network.{name}"], tensor), name


@pytest.mark.slow
def test_the_same_command_gives_the_same_numbers_and_another_seed_others(train: Train) -> None:
    first, again = (metrics(train(*SHORT, "model.dropout=0.2", directory=name)) for name in ("a", "b"))
    assert first == again
    assert metrics(train(*SHORT, "model.dropout=0.2", "seed=43", directory="c")) != first


def test_what_is_recorded(train: Train, tmp_path: Path) -> None:
    directory = train(*SHORT, "optim=sgd_momentum", "optim.lr=1e-3", "scheduler=cosine")
    summary = record.read_summary(directory)
    assert summary["status"] == "completed"
    assert summary["choices"]["model"] == "regression"
    assert summary["choices"]["data"] == "concrete"
    assert summary["choices"]["optim"] == "sgd_momentum"
    assert summary["set"] == {"optim.lr": 0.001, "trainer.max_epochs": 3}
    assert summary["seed"] == 42
    assert summary["study"] is None
    assert "test" not in summary
    assert summary["data"]["train"] == 722
    assert len(summary["data"]["sha256"]) == 64
    assert summary["versions"]["torch"] == torch.__version__.split("+")[0]
    assert summary["command"].startswith("python train.py model=regression trainer.max_epochs=3")
    assert summary["config"]["optim"]["momentum"] == 0.9
    rows = record.read_metrics(directory)
    statistics = summary["statistics"]
    losses = [row["val/loss"] for row in rows]
    assert statistics["best_val_loss"] == min(losses)  # type: ignore[type-var]
    assert statistics["best_epoch"] == 1 + losses.index(min(losses))  # type: ignore[type-var]
    assert statistics["parameters"] == 9473
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=42)
    data.setup("fit")
    assert data.train and data.val
    baseline = ((data.val[1].double() - data.train[1].double().mean()) ** 2).mean()
    assert statistics["baseline_val_loss"] == pytest.approx(float(baseline), rel=1e-5)
    with (directory / record.METRICS).open() as file:
        columns = next(csv.reader(file))
    assert columns == ["epoch", "step", "lr", "train/loss", "val/loss", "val/mse", "val/mae", "epoch_seconds"]
    assert [row["step"] for row in rows] == [12, 24, 36]
    cosine = [0.001 * (1 + math.cos(math.pi * i / 3)) / 2 for i in range(3)]
    assert [row["lr"] for row in rows] == pytest.approx(cosine)
    log = (directory / record.LOG).read_text()
    assert "linear1" in log
    assert "9,473" in log
    assert (directory / ".hydra" / "overrides.yaml").exists()
    assert {p.name for p in directory.iterdir()} - {record.PATCH} == {
        ".hydra", ".lock", "train.log", "metrics.csv", "layers.parquet", "folds.parquet", "steps.parquet", "twins.npz", "summary.json",
        "checkpoints", "predictions.parquet", "weights.npz",
        next(directory.glob("events.out.tfevents.*")).name,
    }  # fmt: skip


@pytest.mark.slow
def test_mae_is_trained_and_mse_is_there_to_compare(train: Train) -> None:
    rows = metrics(train(*SHORT, "loss=mae"))
    for row in rows:
        assert row["val/loss"] == pytest.approx(row["val/mae"], rel=1e-6)
        assert row["val/mse"] > row["val/mae"]  # type: ignore[operator]


@pytest.mark.slow
def test_checkpoints_hold_plain_values_and_the_best_epoch(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=8", "optim.lr=0.3")
    rows = metrics(directory)
    best, last = (torch.load(directory / name, weights_only=True) for name in (record.BEST, record.LAST))
    assert best["paribus"]["epoch"] == min(rows, key=lambda row: row["val/loss"] or 0)["epoch"]
    assert last["paribus"]["epoch"] == 8
    for checkpoint in (best, last):
        assert checkpoint["paribus"]["config"]["optim"]["lr"] == 0.3
        assert len(checkpoint["paribus"]["statistics"]["mean"]) == 8
    # the best weights give the best validation loss
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=42)
    data.setup("fit")
    network = RegressionNet((8,), 1, nn.ReLU)
    network.load_state_dict({k.removeprefix("network."): v for k, v in best["state_dict"].items()})
    assert data.val
    with torch.no_grad():
        loss = F.mse_loss(network(data.val[0]), data.val[1]).item()
    assert loss == pytest.approx(min(row["val/loss"] or 0 for row in rows), rel=1e-6)


@pytest.mark.slow
def test_a_classifier_on_images(train: Train, fashion_root: Path) -> None:
    directory = train(f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=4", "data.batch_size=50")
    rows = metrics(directory)
    assert [row["step"] for row in rows] == [10, 20, 30, 40]
    assert rows[-1]["val/acc"] > 0.9  # type: ignore[operator]
    assert rows[-1]["train/loss"] < rows[0]["train/loss"]  # type: ignore[operator]
    assert all(float(row["val/acc"] or 0) * 100 == round(float(row["val/acc"] or 0) * 100) for row in rows)
    statistics = record.read_summary(directory)["statistics"]
    assert statistics["best_val_acc"] == max(row["val/acc"] or 0 for row in rows)


@pytest.mark.parametrize("overrides", [
    ("model=vgg6", "model.width_multiplier=0.1", "data=fashion_mnist", "data.val_size=100"),
    ("model=mlp", "data=cifar10", "data.verify=false", "data.val_size=20"),
    ("model=vgg6", "model.width_multiplier=0.1", "model.norm=batch", "data.verify=false", "data.val_size=20"),
])  # fmt: skip
@pytest.mark.slow
def test_any_image_model_on_any_images(train: Train, fashion_root: Path, cifar_root: Path, overrides: tuple) -> None:
    root = fashion_root if "data=fashion_mnist" in overrides else cifar_root
    directory = train(*overrides, f"data.root={root}", "trainer.max_epochs=1")
    assert record.read_summary(directory)["status"] == "completed"


@pytest.mark.slow
def test_tensorboard_has_the_scalars_by_epoch_and_one_hparams_entry(train: Train) -> None:
    directory = train(*SHORT, "optim.lr=0.02")
    events = EventAccumulator(str(directory)).Reload()
    rows = metrics(directory)
    for column in ("train/loss", "val/loss", "lr"):
        tag = column if "/" in column else f"~{column}"  # behind training and validation
        points = [(e.step, e.value) for e in events.Scalars(tag)]
        assert points == [(row["epoch"], pytest.approx(row[column], rel=1e-6)) for row in rows]
    (best,) = events.Scalars("~summary/best_val_loss")
    assert best.value == pytest.approx(record.read_summary(directory)["statistics"]["best_val_loss"], rel=1e-6)
    plugin = events.summary_metadata
    session = [m for name, m in plugin.items() if name == "_hparams_/session_start_info"]
    assert len(session) == 1
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    told = HParamsPluginData.FromString(session[0].plugin_data.content).session_start_info.hparams
    assert told["optim.lr"].number_value == 0.02
    assert told["optim"].string_value == "adam"
    assert told["status"].string_value == "completed"


def test_no_logger_leaves_no_events(train: Train) -> None:
    assert not list(train(*SHORT, "logger=none", "callbacks=none").glob("events*"))


@pytest.mark.slow
def test_one_cycle_counts_its_steps_by_itself(train: Train) -> None:
    rows = metrics(train(*SHORT, "scheduler=onecycle"))
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([parameter], lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=36)
    rates = []
    for _ in range(36):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < 36:
            schedule.step()
    assert [row["lr"] for row in rows] == pytest.approx([rates[11], rates[23], rates[35]])


@pytest.mark.slow
def test_a_final_fit_has_no_validation(train: Train) -> None:
    directory = train(*SHORT, "data.train_on_validation=true")
    for row in metrics(directory):
        assert row["val/loss"] is None
        assert row["train/loss"] is not None
    assert not (directory / record.BEST).exists()
    assert not (directory / record.FOLDS).exists()
    assert torch.load(directory / record.LAST, weights_only=True)["paribus"]["epoch"] == 3
    summary = record.read_summary(directory)
    assert summary["statistics"]["best_val_loss"] is None
    assert summary["data"] == {"sha256": summary["data"]["sha256"], "train": 876, "val": 0}


@pytest.mark.slow
def test_validation_figures_stand_in_the_epochs_that_were_validated_alone(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=4", "+trainer.check_val_every_n_epoch=2")
    rows = metrics(directory)
    assert [row["val/loss"] is None for row in rows] == [True, False, True, False]
    assert read_folds(directory)["epoch"].unique().tolist() == [2, 4]


@pytest.mark.slow
def test_one_identity_however_the_layers_were_said(train: Train) -> None:
    first = train(*SHORT, "model.hidden=[8,8]", directory="a")
    second = train(*SHORT, "model.width=8", "model.depth=2", directory="b")
    assert record.read_summary(first)["identity"] == record.read_summary(second)["identity"]
    assert metrics(first) == metrics(second)


@pytest.mark.slow
def test_progress_shows_first_and_last_epoch_with_loss_accuracy_rate_and_time(
    train: Train, fashion_root: Path, capsys: Any
) -> None:
    train(f"data.root={fashion_root}", "data.val_size=100", "trainer.max_epochs=3")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert lines[0].startswith("epoch 1/3")
    assert lines[-1].startswith("epoch 3/3")
    for part in ("train loss", "train acc", "val loss", "val acc", "lr 0.001", " s"):
        assert part in lines[-1]


@pytest.mark.slow
def test_denormals_are_flushed_while_a_network_trains_and_only_then(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot")
    small, found = torch.tensor([1e-39]), []
    monkeypatch.setattr(
        Recorder, "on_train_epoch_start", lambda *_, own=Recorder.on_train_epoch_start: (found.append(float(small * 1)), own(*_))
    )  # fmt: skip
    train("model=regression", "trainer.max_epochs=1", "threads=1")
    assert found == [0.0] and float(small * 1) > 0
