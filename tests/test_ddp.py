"""trainer=ddp: several processes make the run that one makes. The oracle is the run of one process."""

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import as_dict, main, read_folds, read_layers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from paribus import record
from paribus.data.batches import Batches, select_share
from paribus.errors import UserError
from paribus.models.mlp import MLP
from paribus.record.twins import read_twins
from paribus.training.learner import Regressor
from paribus.training.losses import Loss
from paribus.training.sums import EpochSums

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
DDP = ("trainer=ddp", "trainer.accelerator=cpu", "threads=1", "figures=false")
ONE = ("trainer=cpu", "threads=1", "figures=false")
SHORT = ("model=regression", "trainer.max_epochs=4", "logger=none")
MSE = Loss(nn.MSELoss, "regression", has_samples=True)

RANKED = """
import os, signal, lightning

class Say(lightning.Callback):
    def on_train_epoch_end(self, trainer, learner):
        print("rank", trainer.global_rank, "of", trainer.world_size)
        with open(f"said-{trainer.global_rank}", "a") as file:
            file.write(f"{learner.validation['val/loss']!r} {trainer.should_stop}\\n")

class Fail(lightning.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_rank == 1 and trainer.global_step == 5:
            raise RuntimeError("boom in rank 1")

class Die(lightning.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_rank == 1 and trainer.current_epoch == 2 and os.path.exists("die"):
            os.remove("die")
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def ranked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """ranked("Say"): the override that adds that callback."""
    (tmp_path / "ranked.py").write_text(RANKED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ranked", raising=False)
    return lambda name: f"+callbacks.{name.lower()}._target_=ranked.{name}"


def same_metrics(one: Path, several: Path) -> None:
    """Of all epochs, up to the order of summation; the critical step is found within 2 %, and spikes are not counted."""
    rows, others = record.read_metrics(one), record.read_metrics(several)
    assert len(rows) == len(others) > 0
    for row, other in zip(rows, others, strict=True):
        assert set(row) - set(other) <= {"train/loss_spikes"}
        rough = {name for name in other if name in ("curvature/critical_sharpness", "curvature/stability_margin")}
        fine = set(other) - rough - {"epoch_seconds"}
        assert {name: other[name] for name in fine} == pytest.approx({name: row[name] for name in fine}, rel=1e-4)
        assert {name: other[name] for name in rough} == pytest.approx({name: row[name] for name in rough}, rel=0.03)
    pandas.testing.assert_frame_equal(read_folds(several), read_folds(one), rtol=1e-4)
    expected, found = (read_twins(directory / record.TWINS) for directory in (one, several))
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-3)


def same_layers(one: Path, several: Path) -> None:
    steps = [pandas.read_parquet(directory / record.STEPS) for directory in (several, one)]
    assert steps[0]["val/loss"].notna().any()
    pandas.testing.assert_frame_equal(*steps, rtol=1e-4)
    expected, found = as_dict(read_layers(one)), as_dict(read_layers(several))
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_two_processes_make_the_record_of_one(train: Train, cifar_root: Path, capfd: Any) -> None:
    small = ("model=mlp", "data=cifar10", f"data.root={cifar_root}", "data.verify=false", "data.val_size=31", "data.batch_size=23",
             "trainer.max_epochs=3", "activation=tanh", "model.hidden=[16,8]", "callbacks=full", "scheduler=cosine",
             "trainer.gradient_clip_val=0.5", "+trainer.accumulate_grad_batches=2")  # fmt: skip
    one = train(*small, *ONE, directory="one")
    capfd.readouterr()
    two = train(*small, *DDP, directory="two")
    out, err = capfd.readouterr()
    assert out.count("epoch 3/3") == 1
    assert "2 processes, each on cpu, 1 thread" in out
    assert err == ""
    same_metrics(one, two)
    same_layers(one, two)

    def names(directory: Path) -> set[str]:
        files = {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}
        return {"events" if name.startswith("events") else name for name in files}

    assert names(two) == names(one)
    assert len(list(two.glob("events*"))) == len(list(one.glob("events*")))
    before, after = record.read_summary(one), record.read_summary(two)
    assert (before["processes"], after["processes"], after["threads"]) == (1, 2, 1)
    assert after["identity"] == before["identity"]
    assert after["set"] == before["set"]
    weights = [torch.load(d / record.LAST, weights_only=True)["state_dict"] for d in (one, two)]
    torch.testing.assert_close(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    assert not torch.distributed.is_initialized()


def test_ranks_without_samples_and_own_callbacks(train: Train, ranked: Any, capfd: Any) -> None:
    # 722 = 7 * 103 + 1: of the last batch, one process gets nothing
    short = (*SHORT, "data.batch_size=103")
    one = train(*short, *ONE, directory="one")
    two = train(*short, *DDP, ranked("Say"), directory="two")
    same_metrics(one, two)
    same_layers(one, two)
    said = [Path(f"said-{rank}").read_text() for rank in (0, 1)]
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == 4
    assert "rank 1" not in capfd.readouterr().out, "only rank 0 is heard"


def test_divergence_ends_all_processes_in_order(train: Train, ranked: Any) -> None:
    diverging = ("model=regression", "optim=sgd", "optim.lr=10", "trainer.max_epochs=5")
    one = record.read_summary(train(*diverging, *ONE, directory="one"))
    two = record.read_summary(train(*diverging, *DDP, ranked("Say"), directory="two"))
    assert two["status"] == "diverged"
    for key in ("epoch", "step", "what"):
        assert two["diverged"][key] == one["diverged"][key]
    assert [Path(f"said-{rank}").read_text().split()[-1] for rank in (0, 1)] == ["True", "True"]


def test_a_rank_that_fails_ends_the_run(train: Train, ranked: Any, capfd: Any) -> None:
    directory = train("model=regression", "trainer.max_epochs=50", *DDP, ranked("Fail"), code=1)
    err, message = capfd.readouterr().err, "rank 1 of 2 processes: RuntimeError: boom in rank 1"
    assert [line for line in err.splitlines() if line.startswith("error:")] == [f"error: {message}"]
    assert 'raise RuntimeError("boom in rank 1")' in err
    summary = record.read_summary(directory)
    assert (summary["status"], summary["message"]) == ("failed", message)


def test_a_rank_that_is_killed_ends_its_run_and_not_the_study(train: Train, ranked: Any) -> None:
    Path("die").touch()
    short = (*SHORT, ranked("Die"))
    assert main("train.py", "--multirun", *short, *DDP, "study=s", "seed=1,2") == 1
    left, other = sorted(path.parent for path in Path("outputs/s").glob("*/summary.json"))
    summary = record.read_summary(left)
    assert (summary["status"], record.read_summary(other)["status"]) == ("failed", "completed")
    assert summary["message"] == "rank 1 of 2 processes: its process has ended (SIGKILL, perhaps for want of memory)"
    assert main("train.py", f"resume={left}", "trust=true") == 0
    assert record.read_summary(left)["taken_up"] == [1]
    same_metrics(train(*short, *ONE, "seed=1"), left)


@pytest.mark.cases(0)  # for make soak
def test_an_error_in_all_ranks_is_that_of_rank_0(train: Train, own: str) -> None:
    directory = train(own, "callbacks=boom", "model=regression", *DDP, code=1)
    assert record.read_summary(directory)["message"] == "RuntimeError: boom"
    assert 'raise RuntimeError("boom")' in (directory / record.LOG).read_text()


@pytest.mark.parametrize(("overrides", "message"), [
    (("trainer.devices=0",), "trainer.devices is 0; it must be a whole number, at least 1"),
    (("trainer.devices=1.5",), "trainer.devices is 1.5; it must be a list, a text or a whole number."),
    (("trainer.num_nodes=2",), "trainer.num_nodes is 2, but this command is alone. Start it on each machine by torchrun or srun."),
    (("trainer.num_nodes=0",), "trainer.num_nodes is 0; it must be a whole number, at least 1"),
    (("trainer.strategy=ddp_spawn",), "trainer.strategy=ddp_spawn: a run takes ddp, ddp_find_unused_parameters_true or"),
    (("model.norm=batch", "data.batch_size=719"), "on a batch of one sample: the last of 722 in batches of 719, shared by 2"),
])  # fmt: skip
def test_what_cannot_be_shared_is_refused(train: Train, capfd: Any, overrides: tuple[str, ...], message: str) -> None:
    train("model=regression", *DDP, *overrides, code=1)
    assert message in capfd.readouterr().err


def test_one_process_of_ddp_is_a_run_of_one_process(train: Train) -> None:
    short = ("model=regression", "trainer.max_epochs=2")
    runs = [train(*short, *ONE, directory="a"), train(*short, *DDP, "trainer.devices=auto", directory="b")]
    first, second = ([row | {"epoch_seconds": 0} for row in record.read_metrics(run)] for run in runs)
    assert first == second


def test_an_optimizer_that_goes_by_the_loss_is_refused() -> None:
    learner = Regressor(nn.Linear(1, 1), MSE, torch.optim.LBFGS)
    learner.trainer = SimpleNamespace(world_size=2)  # type: ignore[assignment]
    with pytest.raises(UserError, match="LBFGS evaluates the loss"):
        learner.configure_optimizers()


@given(st.integers(1, 50), st.integers(1, 5))
def test_shares_are_even_and_leave_nothing_out(n: int, processes: int) -> None:
    shares = [select_share(n, rank, processes) for rank in range(processes)]
    assert [i for samples in shares for i in samples] == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 4), st.booleans())
def test_processes_share_the_batches_of_one(n: int, size: int, processes: int, shuffled: bool) -> None:
    data = torch.arange(2.0 * n).view(n, 2), torch.arange(n)
    order = (lambda: torch.Generator().manual_seed(1)) if shuffled else None
    whole = list(Batches(*data, size, order))
    parts = [list(Batches(*data, size, order, rank=rank, processes=processes)) for rank in range(processes)]
    if processes == 1:
        parts = [[(x, y, len(y), len(y)) for x, y in parts[0]]]
    for number, (_, targets) in enumerate(whole):
        batches = [part[number] for part in parts]
        assert torch.equal(torch.cat([y[:own] for _, y, own, _ in batches]), targets)
        assert all(len(x) == len(y) == max(own, 1) for x, y, own, _ in batches)
        assert {total for *_, total in batches} == {len(targets)}


def test_a_sample_that_does_not_count_is_in_no_mean() -> None:
    sums = EpochSums()
    sums.add(0, torch.tensor(math.nan), {"mse": torch.tensor(math.inf)}, whole=1)
    sums.add(2, torch.tensor(3.0), {"mse": torch.tensor(8.0)}, whole=5)
    assert sums.samples == 6
    assert sums.read() == ({"loss": 3.0, "mse": 4.0}, None)


def test_processes_find_the_folds_of_one() -> None:
    torch.manual_seed(0)
    network, folds = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), torch.arange(10) % 5
    data = torch.randn(10, 2), torch.randn(10)
    sent: list[torch.Tensor] = []

    def send(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        sent.append(tensor)
        return tensor

    def receive(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        return {"sum": torch.add, "min": torch.minimum}[reduce_op](tensor, sent.pop(0))

    @torch.no_grad()
    def found(rank: int, processes: int, reduce: Any) -> dict[str, Any] | None:
        learner = Regressor(network, MSE, torch.optim.SGD).eval()
        learner._gather = lambda output, target, places: (output, target)  # type: ignore[method-assign]  no ranks here
        learner.trainer = SimpleNamespace(  # type: ignore[assignment]
            world_size=processes, global_rank=rank, global_step=0, callback_metrics={}, strategy=SimpleNamespace(reduce=reduce),
            datamodule=SimpleNamespace(validation_folds=folds),
        )  # fmt: skip
        for batch in Batches(*data, 3, rank=rank, processes=processes):  # the second process has nothing of the last
            learner.validation_step(batch, 0)
        learner.on_validation_epoch_end()
        return learner.folds

    one = found(0, 1, None)
    found(0, 2, send)
    several = found(1, 2, receive)
    assert one is not None and several is not None
    assert one["samples"].tolist() == several["samples"].tolist() == [2] * 5
    for name, values in one.items():
        assert several[name] == pytest.approx(values, rel=1e-6)


def test_processes_draw_different_dropout() -> None:
    drawn = []
    for rank in (0, 1):
        learner = Regressor(MLP((4,), 1, nn.ReLU, hidden=[2]), MSE, torch.optim.SGD, seed=3)
        learner.trainer = SimpleNamespace(world_size=2, global_rank=rank, current_epoch=0, strategy=None)  # type: ignore[assignment]
        learner.on_train_epoch_start()
        drawn.append(torch.rand(4))
    assert not torch.equal(*drawn)


def test_no_process_is_left(train: Train) -> None:
    """After the runs above."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        for child in children.read_text().split():
            assert "spawn_main" not in Path(f"/proc/{child}/cmdline").read_text()
