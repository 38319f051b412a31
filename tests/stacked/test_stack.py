"""Runs trained as one: each has the record that it would have alone."""

import logging
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT, read_layers
from small_stacks import curves, jobs, read_summary, same_folds

from paribus import record
from paribus.data.module import InMemory
from paribus.run.attempt import Outcome, attempt
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.stack import Stack

pytestmark = pytest.mark.slow
Both = Callable[..., list[tuple[Path, Path]]]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """both("optim=sgd", ...): each run of a sweep made alone, and in a stack."""

    def make(*typed: str) -> list[tuple[Path, Path]]:
        alone, together = jobs(tmp_path / "alone", *typed), jobs(tmp_path / "stacked", *typed)
        assert attempt_stack(together) == [Outcome()] * len(together)
        assert [attempt(job, console=False) for job in alone] == [Outcome()] * len(alone)
        assert {read_summary(job.directory).get("stacked") for job in together} == {len(together)}
        return [(a.directory, b.directory) for a, b in zip(alone, together, strict=True)]

    return make


def same_curves(pairs: list[tuple[Path, Path]], columns: list[str] | None = None) -> None:
    for alone, stacked in pairs:
        expected, found = curves(alone), curves(stacked)
        pd.testing.assert_frame_equal(found[columns or list(expected)], expected[columns or list(expected)], rtol=1e-4)
        same_folds(alone, stacked)


FEWER = ("callbacks=none", "logger=none", "data.train_subset=200")  # what has no part in the losses
OPTIMIZERS = ["sgd", "sgd_momentum", "nesterov", "adam", "adamw", "nadam", "adagrad", "rmsprop"]


@pytest.mark.parametrize("optim", OPTIMIZERS)
@pytest.mark.cases(2)
def test_every_optimizer(both: Both, optim: str) -> None:
    same_curves(both(*FEWER, f"optim={optim}", "optim.lr=0.001,0.0005", "optim.weight_decay=0,0.1"))


@pytest.mark.parametrize("optim", ["sgd_momentum", "adam"])
@pytest.mark.parametrize("scheduler", ["cosine", "none", "step", "exponential", "onecycle"])
@pytest.mark.cases(1)
def test_every_schedule(both: Both, scheduler: str, optim: str) -> None:
    same_curves(both(*FEWER, f"scheduler={scheduler}", f"optim={optim}", "optim.lr=0.001,0.0005"))


@pytest.mark.parametrize(
    "values",
    [
        "optim=sgd_momentum optim.momentum=0.5,0.9",
        "optim=adam optim.betas=[0.9,0.999],[0.5,0.9]",
        "scheduler=onecycle scheduler.pct_start=0.2,0.5",
        "scheduler=step scheduler.gamma=0.5,0.1 scheduler.step_size=1",
        "model.init=torch,auto,orthogonal",
        "data.log_age=true,false",
        "optim=nesterov optim.momentum=0.5,0.9 scheduler=onecycle",
    ],
)
@pytest.mark.cases(2)
def test_values_of_its_own(both: Both, values: str) -> None:
    same_curves(both(*FEWER, *values.split(), "optim.lr=0.001"))


ACTIVATIONS = sorted(path.stem for path in (ROOT / "conf" / "activation").glob("*.yaml"))


@pytest.mark.cases(1)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(both: Both, activation: str) -> None:
    same_curves(both(*FEWER, f"activation={activation}", "seed=1,2"))


@pytest.mark.parametrize(
    "more",
    [
        "loss=mae",
        "model.hidden=[]",
        "data.split=grouped",
        "data.bins=4",
        "model.dropout=0.3",
        "data.batch_size=50",
        "data.train_on_validation=true",
        "model.width=4 model.depth=12",
        "model.width=4 model.depth=3 model.skip=true",
    ],
)
@pytest.mark.cases(2)
def test_what_else_may_be(both: Both, more: str) -> None:
    pairs = both(*FEWER, *more.split(), "seed=1,2")
    same_curves(pairs)


def test_batch_norm_trains_alike(both: Both) -> None:
    """The bias before a batch norm has no gradient but rounding, which Adam makes as large as any: what is validated
    with running means follows it."""
    same_curves(both("model.norm=batch", "seed=1,2", "optim=sgd", "optim.lr=0.0005"))


def test_images_too(both: Both, fashion_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InMemory, "eval_batch_size", 25)
    same_curves(both("model=mlp", f"data.root={fashion_root}", "data.val_size=60", "seed=1,2", "optim.lr=0.001,0.01"))


def test_layers_files_and_summaries(both: Both) -> None:
    for alone, stacked in both("seed=1,2", "activation=tanh", "callbacks.steps.validate_samples=40"):
        one, other = read_layers(alone), read_layers(stacked)
        keys = ["epoch", "layer", "depth", "tensor", "quantity"]
        merged = one.merge(other, on=keys, how="outer", suffixes=("", "_stacked"))
        assert len(merged) == len(one) == len(other)
        assert (merged["value"] - merged["value_stacked"]).abs().max() < 1e-4
        steps = [pd.read_parquet(directory / record.STEPS) for directory in (stacked, alone)]
        pd.testing.assert_frame_equal(*steps, rtol=1e-4)
        assert {p.relative_to(alone) for p in alone.rglob("*") if "tfevents" not in p.name and p.name != ".lock"} == {
            p.relative_to(stacked) for p in stacked.rglob("*") if "tfevents" not in p.name and p.name != ".lock"
        }
        assert len(list(stacked.glob("events*"))) == len(list(alone.glob("events*")))
        a, b = read_summary(alone), read_summary(stacked)
        assert set(b) - set(a) == {"stacked"}
        for key in ("identity", "choices", "set", "seed", "config", "data", "status", "study"):
            assert a[key] == b[key]
        timed = {"mean_epoch_seconds", "train_seconds"}
        for key in set(a["statistics"]) - timed:
            assert b["statistics"][key] == pytest.approx(a["statistics"][key], rel=1e-4), key
        for file in (record.BEST, record.LAST):
            like(torch.load(alone / file, weights_only=True), torch.load(stacked / file, weights_only=True))
        one, other = (pd.read_parquet(where / record.PREDICTIONS) for where in (alone, stacked))
        pd.testing.assert_frame_equal(one, other, rtol=1e-4)
        assert histograms(stacked) == histograms(alone)


def histograms(directory: Path) -> dict[str, list[object]]:
    """By tag, their epochs; and what they show before training, when the weights are those of the run alone."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"histograms": 0}).Reload()
    found = {tag: events.Histograms(tag) for tag in events.Tags()["histograms"]}
    assert len(found) == 6
    shown = {tag: drawn[0].histogram_value for tag, drawn in found.items()}
    return {
        tag: [*(one.step for one in drawn), shown[tag].bucket, shown[tag].bucket_limit, round(shown[tag].sum, 6)]
        for tag, drawn in found.items()
    }


def like(one: object, other: object, path: str = "") -> None:
    """Two checkpoints have the same structure and, but for rounding, values."""
    if "started" in path or path.endswith("/stacked"):
        return
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert isinstance(other, dict) and set(one) == set(other), path
        for key in one:
            like(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple) and len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            like(a, b, f"{path}/{i}")
    elif isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor) and one.dtype == other.dtype
        assert torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5), path
    else:
        assert one == (pytest.approx(other, rel=1e-4) if isinstance(one, float) else other), path


def test_one_that_diverges_leaves_the_others_alone(both: Both) -> None:
    pairs = both("optim=sgd_momentum", "optim.lr=0.001,0.5,1e20", "seed=1,2")
    same_curves(pairs)
    for alone, stacked in pairs:
        a, b = read_summary(alone), read_summary(stacked)
        assert a["status"] == b["status"]
        assert a.get("diverged") == b.get("diverged")
        like(
            torch.load(alone / record.LAST, weights_only=True)["recorder"],
            torch.load(stacked / record.LAST, weights_only=True)["recorder"],
        )
    assert [read_summary(stacked)["status"] for _, stacked in pairs].count("diverged") == 4


def test_each_run_has_in_its_log_what_is_said_of_it_and_of_the_stack(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_epoch = Stack._train_epoch

    def said(self: Stack) -> None:
        train_epoch(self)
        logging.getLogger("somebody").info("of the stack in epoch %d", self.epoch)

    monkeypatch.setattr(Stack, "_train_epoch", said)
    for alone, stacked in both("seed=1,2", "data.train_on_validation=true"):
        for directory in (alone, stacked):
            [path] = directory.glob("*.log")
            text = path.read_text()
            assert text.count("Activations are not recorded") == 1 and text.count("RegressionNet") == 1
        assert [line for line in text.splitlines() if "of the stack in epoch 1" in line]


def test_without_instruments_and_with_all_digits(both: Both) -> None:
    def files(directory: Path) -> set[str]:
        return {p.name for p in directory.iterdir() if "tfevents" not in p.name and p.name != ".lock"}

    for alone, stacked in both("callbacks=none", "optim.lr=0.01,0.003"):
        assert files(alone) == files(stacked)
        assert (curves(alone)["lr"] == curves(stacked)["lr"]).all()


@pytest.mark.parametrize(
    "more",
    [
        "model.norm=none data.augment=true trainer.gradient_clip_val=0.5,null",
        "model.norm=batch data.augment=false trainer.gradient_clip_val=0.01 +trainer.gradient_clip_algorithm=value",
        "model.norm=group activation=prelu",
    ],
)
@pytest.mark.cases(2)
def test_narrow_convolutions(both: Both, cifar_root: Path, more: str) -> None:
    typed = ["model=vgg6", "model.width_multiplier=0.05", f"data.root={cifar_root}", "data.verify=false"]
    typed += [
        "data.val_size=20",
        "data.batch_size=16",
        "seed=1,2",
        "optim=sgd",
        "optim.lr=0.0005",
        *more.split(),
    ]  # rounding grows fast at larger rates
    pairs = both(*typed)
    same_curves(pairs)
    one, other = (read_layers(where) for where in pairs[0])
    keys = ["epoch", "layer", "tensor", "quantity"]
    merged = one.merge(other, on=keys, how="outer", suffixes=("", "_stacked"))
    assert len(merged) == len(one) == len(other)
    rounded = merged["quantity"] == "grad_zero_fraction"  # of a bias before a batch norm: its gradient is only rounding
    assert (merged["value"] - merged["value_stacked"])[~rounded].abs().max() < 1e-3
