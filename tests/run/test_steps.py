"""steps.parquet: every optimizer step of a run, against plain loops and Lightning's own validation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from paribus import record
from paribus.errors import UserError
from paribus.randomness import derive_seed
from paribus.record.steps import MOST_ROWS, StepsWriter, find_stride
from paribus.run.build import build_data, build_network
from paribus.training.steps import Steps, _average

Train = Callable[..., Path]
SHORT = ("model=regression", "model.hidden=[16,8]", "threads=1", "figures=false", "logger=none")
FOUR = (*SHORT, "data.batch_size=250", "trainer.max_epochs=2")  # steps an epoch


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / record.STEPS)


def test_each_step_is_that_of_a_plain_loop(train: Train) -> None:
    """With dropout, clipping, two batches a step, and a schedule that changes rate and momentum in each step."""
    directory = train(
        *SHORT, "data.batch_size=100", "trainer.max_epochs=2", "model.dropout=0.2", "trainer.gradient_clip_val=0.1",
        "+trainer.accumulate_grad_batches=2", "optim=sgd_momentum", "optim.lr=0.001", "scheduler=onecycle",
    )  # fmt: skip
    torch.set_num_threads(1)
    config = record.read_summary(directory)["config"]
    data = build_data(config)
    data.setup("fit")
    torch.manual_seed(derive_seed(config["seed"], "weights"))
    network = build_network(config, data)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    found = read(directory)
    steps = len(found) // 2
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["scheduler"]["max_lr"], total_steps=2 * steps,
        **{key: config["scheduler"][key] for key in ("pct_start", "div_factor", "final_div_factor")},
    )  # fmt: skip
    rows: list[dict[str, float]] = []
    for epoch in range(2):
        torch.manual_seed(derive_seed(config["seed"], "training", epoch))
        batches = list(data.make_training_batches(lambda epoch=epoch: epoch))
        for first in range(0, len(batches), 2):
            optimizer.zero_grad()
            both = batches[first : first + 2]
            losses = []
            for x, y in both:
                loss = nn.functional.mse_loss(network(x), y)
                (loss / 2).backward()
                losses.append(float(loss.detach()) * len(x))
            group = optimizer.param_groups[0]
            norm = sum(float((p.grad.double() ** 2).sum()) for p in network.parameters()) ** 0.5
            rows.append({
                "step": len(rows) + 1, "epoch": epoch + 1, "train/loss": sum(losses) / sum(len(x) for x, _ in both),
                "lr": group["lr"], "momentum": group["momentum"], "grad_norm": norm,
            })  # fmt: skip
            nn.utils.clip_grad_norm_(network.parameters(), 0.1)
            optimizer.step()
            schedule.step()
    expected = pandas.DataFrame(rows).astype({"step": np.int64, "epoch": np.int32})
    pandas.testing.assert_frame_equal(found[list(expected)], expected, rtol=1e-5)
    assert list(found)[6:] == ["val/loss", "val/mse", "val/mae"]


@pytest.mark.parametrize(
    "typed",
    [
        ("model.norm=batch", "model.dropout=0.2"),
        ("averaging=ema", "averaging.decay=0.5"),
        ("averaging=swa", "averaging.start=0.5"),
        ("optim=schedulefree_adamw", "trainer.precision=bf16-mixed", "metrics=r2"),
    ],
    ids=lambda typed: typed[0],
)
@pytest.mark.slow
@pytest.mark.cases(999)
def test_validation_within_an_epoch_is_that_of_a_run_that_ends_there(train: Train, typed: tuple[str, ...]) -> None:
    """And nothing of the run depends on it."""
    whole, without = train(*FOUR, *typed), train(*FOUR, *typed, "~callbacks.steps", directory="without")
    ended = train(*FOUR, *typed, "+trainer.limit_train_batches=2", "trainer.max_epochs=1", directory="ended")
    steps, last = (
        read(whole).set_index("step"),
        pandas.read_csv(ended / record.METRICS, float_precision="round_trip").iloc[-1],
    )
    columns = [name for name in steps if name.startswith("val/")]
    assert steps.loc[2, columns].tolist() == last[columns].tolist()
    assert steps.index[steps["val/loss"].notna()].tolist() == [1, 2, 5]
    one, other = (pandas.read_csv(d / record.METRICS).drop(columns="epoch_seconds") for d in (whole, without))
    pandas.testing.assert_frame_equal(one, other, check_exact=True)
    assert not (without / record.STEPS).exists()


def test_validation_within_an_epoch_is_on_evenly_spaced_samples(train: Train) -> None:
    directory = train(*FOUR, "callbacks.steps.validate_samples=50", "trainer.max_epochs=1")
    ended = train(*FOUR, "+trainer.limit_train_batches=2", "trainer.max_epochs=1", directory="ended")
    config = record.read_summary(directory)["config"]
    data = build_data(config)
    data.setup("fit")
    network = build_network(config, data)
    state = torch.load(ended / record.LAST, weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in state.items()})
    assert data.val is not None
    inputs, targets = data.val
    chosen = [i * len(inputs) // 50 for i in range(50)]
    expected = nn.functional.mse_loss(network(inputs[chosen]), targets[chosen]).item()
    assert read(directory).set_index("step").loc[2, "val/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("typed", [
    ("optim=lbfgs",), ("data.train_on_validation=true",), ("data.batch_size=5000",), ("optim=sam",),
    ("callbacks.steps.validate_epochs=0",), ("optim=sgd", "optim.lr=10"),
], ids=lambda typed: typed[0])  # fmt: skip
def test_it_is_there_whatever_the_run_is(train: Train, typed: tuple[str, ...]) -> None:
    directory = train(*FOUR, *typed)
    steps, rows = read(directory), pandas.read_csv(directory / record.METRICS)
    assert steps["step"].tolist() == list(range(1, len(steps) + 1))
    assert steps.groupby("epoch")["step"].max().tolist() == rows["step"].tolist()
    assert steps.groupby("epoch")["lr"].last().tolist() == rows["lr"].tolist()
    assert steps["grad_norm"].notna().any()
    validated = steps["val/loss"].notna().any()
    assert validated == (typed[0] in ("optim=lbfgs", "optim=sam", "optim=sgd"))
    if typed[0] in ("data.batch_size=5000", "optim=lbfgs"):  # batches of nearly equal size
        assert steps.groupby("epoch")["train/loss"].mean().to_numpy() == pytest.approx(rows["train/loss"], rel=0.05)


@pytest.mark.slow
def test_of_foreign_modules_it_has_what_is_known(fit: Train) -> None:
    directory = fit("model=gan")
    steps, rows = read(directory), pandas.read_csv(directory / record.METRICS)
    assert (steps["step"].diff().dropna() == 2).all(), "two optimizers step for each batch"
    assert steps["step"].iloc[-1] == rows["step"].iloc[-1]
    assert not [name for name in steps if name.startswith("val/") and steps[name].notna().any()]
    directory = fit("model=autoencoder", directory="other")
    [log] = directory.glob("*.log")
    assert log.read_text().count("steps.parquet has no validation") == 1
    steps, rows = read(directory), pandas.read_csv(directory / record.METRICS)
    assert steps.groupby("epoch")["train/loss"].mean().tolist() == pytest.approx(rows["train/loss"].tolist(), rel=1e-6)


def test_tensorboard_shows_loss_and_gradient_by_step(train: Train) -> None:
    directory = train(*SHORT[:-1], "trainer.max_epochs=2")
    board, steps = EventAccumulator(str(directory)), read(directory)
    board.Reload()
    for tag, column in (("~by_step/loss", "train/loss"), ("~by_step/grad_norm", "grad_norm")):
        events = board.Scalars(tag)
        assert [event.step for event in events] == steps["step"].tolist()
        assert [event.value for event in events] == pytest.approx(steps[column].tolist(), rel=1e-6)


def make_rows(first: int, last: int) -> dict[str, np.ndarray]:
    steps = np.arange(first, last + 1)
    validated = np.where(np.isin(steps, [1, 2, 5, 10, 20, 50]), 1.0 / steps, np.nan)
    return {"step": steps, "epoch": (steps - 1) // 9_000 + 1, "train/loss": 1.0 / steps, "val/loss": validated}


@given(st.integers(1, 9), st.integers(0, 8))
@hypothesis_settings(max_examples=10)
def test_thinning_does_not_depend_on_where_a_run_was_interrupted(tmp_path_factory: Any, epochs: int, at: int) -> None:
    """A file that a killed attempt wrote, with later epochs too, is cut and continued to the undisturbed one."""
    folder = tmp_path_factory.mktemp("steps")
    whole, killed, resumed = (StepsWriter(folder / f"{name}.parquet", ["val/loss"]) for name in "abb")
    for epoch in range(epochs):
        whole.add(make_rows(9_000 * epoch + 1, 9_000 * (epoch + 1)))
        killed.add(make_rows(9_000 * epoch + 1, 9_000 * (epoch + 1)))
    killed.write()
    whole.write()
    at = min(at, epochs)
    if at:
        resumed.restore(at, 9_000 * at)
    for epoch in range(at, epochs):
        resumed.add(make_rows(9_000 * epoch + 1, 9_000 * (epoch + 1)))
    resumed.write()
    found = pandas.read_parquet(folder / "b.parquet")
    pandas.testing.assert_frame_equal(found, pandas.read_parquet(folder / "a.parquet"), check_exact=True)
    stride = find_stride(9_000 * epochs)
    kept = [s for s in range(1, 9_000 * epochs + 1) if s % stride == 0 or s in (1, 2, 5, 10, 20, 50)]
    if at < epochs:
        assert found["step"].tolist() == kept
        assert len(found) <= MOST_ROWS + 6


def test_a_file_without_the_first_steps_is_given_up(tmp_path: Path) -> None:
    writer = StepsWriter(tmp_path / "steps.parquet", ["val/loss"])
    with pytest.raises(record.RecordError, match="does not exist"):
        writer.restore(1, 100)
    writer.add(make_rows(1, 50))
    writer.write()
    with pytest.raises(record.RecordError, match="does not have the steps up to 100"):
        StepsWriter(writer.path, ["val/loss"]).restore(1, 100)
    with pytest.raises(record.RecordError, match="is damaged"):
        StepsWriter(writer.path, ["val/acc"]).restore(1, 50)
    writer.abandon()
    writer.add(make_rows(51, 60))
    assert not writer.path.exists()


def test_the_steps_that_are_followed_by_validation() -> None:
    def list_steps(steps: Steps) -> list[int]:
        found = [0]
        while found[-1] < 300:
            found.append(steps.find_next(found[-1], 0) or 0)
        return found[1:]

    assert list_steps(Steps()) == [1, 2, 5, 10, 20, 50, 100, 200, 500]
    assert list_steps(Steps(1, 1)) == [1, 10, 100, 1000]
    assert Steps(2).find_next(7, 2) is None
    for arguments in ((-1, 3), (3, 0), (True, 3), (3, 3, 0)):
        with pytest.raises(UserError, match=r"callbacks\.steps\.validate"):
            Steps(*arguments)


def test_losses_are_averaged_by_step() -> None:
    """Steps of two batches, of none and of one; a batch behind the last step; two runs, of which one breaks."""
    sizes, losses = np.array([3.0, 1, 2, 2]), np.array([[4.0, 0], [8.0, np.inf], [5.0, 6], [9.0, 9]])
    assert np.array_equal(
        _average(sizes, losses, [2, 2, 3]), [[5.0, np.inf], [np.nan, np.nan], [5.0, 6]], equal_nan=True
    )
