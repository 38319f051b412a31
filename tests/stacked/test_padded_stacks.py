"""Runs whose parts have different sizes in one stack: each has the record that it would have alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import read_layers
from small_stacks import curves, jobs, read_summary, same_folds
from torch import Tensor, nn

from paribus import record
from paribus.data.module import InMemory
from paribus.instruments.measurement import StepMeans, average_steps
from paribus.models.mlp import MLP
from paribus.record import N_FOLDS
from paribus.run.attempt import Outcome, attempt
from paribus.stacked.attempt import attempt_stack
from paribus.stacked.modules import set_counts, set_generators, stack_modules, treats_samples_alone
from paribus.stacked.sizes import Sizes, count_samples, stack_padded
from paribus.training.losses import Loss
from paribus.training.sums import EpochSums, average_by_fold

GROUPED = ("data.split=grouped", "seed=1,2,3")  # whose parts hold whole mixes: sizes differ by the seed
Made = list[tuple[Path, Path]]


def make(directory: Path, *typed: str) -> Made:
    """Each run of a sweep made alone, and in a stack."""
    alone, together = jobs(directory / "alone", *typed), jobs(directory / "stacked", *typed)
    assert attempt_stack(together) == [Outcome()] * len(together)
    assert [attempt(job, console=False) for job in alone] == [Outcome()] * len(alone)
    pairs = [(a.directory, b.directory) for a, b in zip(alone, together, strict=True)]
    sizes = {(data["train"], data["val"]) for _, stacked in pairs if (data := read_summary(stacked)["data"])}
    assert len(sizes) > 1
    return pairs


def same_records(pairs: Made, padded: bool = True) -> None:
    keys = ["epoch", "layer", "depth", "tensor", "quantity"]
    for alone, stacked in pairs:
        assert read_summary(stacked).get("stacked") == (len(pairs) if padded else None)
        assert read_summary(stacked)["status"] == read_summary(alone)["status"]
        pd.testing.assert_frame_equal(curves(stacked), curves(alone), rtol=2e-4)
        same_folds(alone, stacked)
        layers = read_layers(alone).merge(read_layers(stacked), on=keys, how="outer", suffixes=("", "_stacked"))
        assert len(layers) == len(read_layers(alone)) == len(read_layers(stacked))
        np.testing.assert_allclose(layers["value_stacked"], layers["value"], rtol=1e-3, atol=1e-4)
        for file in (record.STEPS, record.PREDICTIONS):
            one, other = (pd.read_parquet(where / file) for where in (alone, stacked))
            pd.testing.assert_frame_equal(other, one, rtol=1e-3, atol=1e-4)
        assert read_summary(alone)["identity"] == read_summary(stacked)["identity"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "activation=sigmoid",  # twelve batches, of which eleven are sampled
        "optim=sgd_momentum optim.lr=0.001,1e20",  # half of the runs diverge
        "callbacks=full callbacks.largest_eigenvalue.every_n_epochs=2 optim=sgd",
        "data.batch_size=128 model.dropout=0.3 model.norm=layer metrics=r2",
        "data.batch_size=1000 callbacks.steps.validate_samples=100 activation=tanh",  # one batch
        "data.bins=4 data.batch_size=200 +callbacks.grad_signal._target_=paribus.instruments.grad_signal.GradSignal",
    ],
)
@pytest.mark.cases(6)
def test_a_padded_run_has_the_record_that_it_has_alone(tmp_path: Path, more: str) -> None:
    same_records(make(tmp_path, *GROUPED, *more.split()))


@pytest.mark.slow
def test_numbers_of_validation_batches_may_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InMemory, "eval_batch_size", 17)  # 9 batches of 153 samples, 10 of 154
    same_records(make(tmp_path, *GROUPED, "data.batch_size=128", "trainer.max_epochs=1"))


@pytest.mark.slow
def test_batches_whose_samples_meet_are_not_padded(tmp_path: Path) -> None:
    together = jobs(tmp_path, "data.split=grouped", "seed=1,2", "model.norm=batch", "trainer.max_epochs=1")
    assert attempt_stack(together) == [Outcome()] * 2
    summaries = [read_summary(job.directory) for job in together]
    assert len({summary["data"]["train"] for summary in summaries}) == 2
    assert not any("stacked" in summary for summary in summaries)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        # repeated in a last batch, whose weights it has not met, its loss would be infinite
        "data._target_=uneven_parts.Outlier loss=poisson optim=adam optim.lr=0.01",
        "data._target_=uneven_parts.Uneven loss._target_=uneven_parts.SquaredLogarithm optim=adam optim.lr=0.001",
    ],
)
def test_padding_is_made_of_a_runs_own_samples(tmp_path: Path, more: str) -> None:
    same_records(make(tmp_path, "seed=1,2,3", *more.split()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        "data._target_=uneven_parts.WholeBatch",
        "data._target_=uneven_parts.Uneven +callbacks.own._target_=uneven_parts.Counted",
    ],
)
def test_batch_sizes_and_instruments_of_somebodys_own_are_not_padded(tmp_path: Path, more: str) -> None:
    same_records(make(tmp_path, "seed=1,2,3", *more.split()), padded=False)


@pytest.mark.slow
def test_runs_with_folds_and_without_are_apart(tmp_path: Path) -> None:
    pairs = make(tmp_path, "seed=1,2,3", "data._target_=uneven_parts.WithAndWithoutFolds")
    for alone, stacked in pairs:
        pd.testing.assert_frame_equal(curves(stacked), curves(alone), rtol=2e-4)
        same_folds(alone, stacked)
    assert [(stacked / record.FOLDS).exists() for _, stacked in pairs] == [False, True, True]
    assert [read_summary(stacked).get("stacked") for _, stacked in pairs] == [None, 2, 2]


class Own(MLP):
    """A network of somebody's own, which may do anything with a batch."""


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (MLP((4,), 2, nn.ReLU, hidden=[8, 8], dropout=0.5, norm="layer", skip=True), True),
        (MLP((4,), 2, nn.ReLU, hidden=[8], norm="batch"), False),
        (Own((4,), 2, nn.ReLU, hidden=[8]), False),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Sequential(nn.Flatten(), nn.Linear(2, 1))), True),
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(0)), False),
    ],
)
def test_networks_that_treat_each_sample_by_itself(network: nn.Module, expected: bool) -> None:
    assert treats_samples_alone(network) is expected


def test_sizes_of_a_batch() -> None:
    whole = count_samples([torch.zeros(n) for n in (5, 3, 4)])
    assert (whole.most, whole.counts.tolist()) == (5, [5, 3, 4])
    assert whole.real is not None and whole.real.sum(1).tolist() == [5, 3, 4]
    first, last = whole.cut(0, 3), whole.cut(3, 3)
    assert (first.weight, first.real) == (3, None)
    assert isinstance(last.weight, Tensor) and last.weight.tolist() == [2, 0, 1]
    values = torch.arange(15.0).view(3, 5)
    assert whole.sum(values).tolist() == [0 + 1 + 2 + 3 + 4, 5 + 6 + 7, 10 + 11 + 12 + 13]
    assert last.sum(values[:, 3:]).tolist() == [3 + 4, 0, 13]


def test_padding() -> None:
    parts = [torch.tensor([[1], [2], [3]]), torch.tensor([[4]])]
    assert stack_padded(parts).squeeze(-1).tolist() == [[1, 2, 3], [4, 4, 4]]
    assert stack_padded(parts, 1, 1).squeeze(-1).tolist() == [[2], [4]]
    assert stack_padded(parts, 2, 5).squeeze(-1).tolist() == [[3], [4]]


@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5]])
def test_the_mean_loss_is_torchs_of_each_runs_samples(weights: list[float] | None) -> None:
    torch.manual_seed(0)
    given = None if weights is None else torch.tensor(weights)
    loss = Loss(lambda reduction: nn.CrossEntropyLoss(given, reduction=reduction), "classification", True)
    outputs, targets = torch.randn(2, 6, 3, requires_grad=True), torch.randint(3, (2, 6))
    sizes = Sizes(torch.tensor([4, 6]), torch.device("cpu"))
    losses = loss.of_samples(outputs.flatten(0, 1), targets.flatten()).view(2, 6)
    found = sizes.average(loss, losses, targets)
    expected = torch.stack([loss(outputs[k, :n], targets[k, :n]) for k, n in enumerate((4, 6))])
    assert torch.allclose(found, expected)
    slope, own = (torch.autograd.grad(each.sum(), outputs, retain_graph=True)[0] for each in (found, expected))
    assert torch.allclose(slope, own, atol=1e-7)
    assert (slope[0, 4:] == 0).all()


def test_the_mean_of_no_sample_is_0() -> None:
    loss = Loss(lambda reduction: nn.MSELoss(reduction=reduction), "regression", True)
    losses = torch.tensor([[1.0, 3.0], [float("nan"), float("inf")]])
    found = Sizes(torch.tensor([2, 0]), torch.device("cpu")).average(loss, losses, torch.zeros(2, 2))
    assert found.tolist() == [2, 0]


def test_several_losses_of_a_sample() -> None:
    loss = Loss(lambda reduction: nn.MSELoss(reduction=reduction), "regression", True)
    losses = torch.arange(12.0).view(2, 3, 2)
    found = Sizes(torch.tensor([3, 1]), torch.device("cpu")).average(loss, losses, torch.zeros(2, 3))
    assert found.tolist() == [2.5, 6.5]


def test_means_of_an_epoch_weigh_each_runs_samples() -> None:
    sums = EpochSums()
    sums.add(4, torch.tensor([1.0, 2.0]), {"acc": torch.tensor([4, 2])})
    sums.add(torch.tensor([3, 0]), torch.tensor([2.0, 0.0]), {"acc": torch.tensor([0, 0])})
    sizes, losses = sums.read_batches()
    assert sizes.tolist() == [[4, 4], [3, 0]] and losses.tolist() == [[1, 2], [2, 0]]
    means = sums.read_stack()
    assert means == [
        ({"loss": pytest.approx(10 / 7), "acc": pytest.approx(4 / 7)}, None),
        ({"loss": 2, "acc": 0.5}, None),
    ]


@pytest.mark.parametrize("axes", [(), (3,)])
def test_means_of_steps_weigh_each_runs_samples(axes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    vectors, weights = rng.standard_normal((4, *axes, 2, 5)), np.array([[8, 8], [8, 8], [8, 8], [3, 5]])
    means = StepMeans()
    for vector, weight in zip(vectors, (8, 8, 8, torch.tensor([3, 5])), strict=True):
        means.add(weight, torch.from_numpy(vector))
    read = means.read()
    assert read is not None and read[0].tolist() == weights.tolist()
    expected = np.stack([np.average(vectors[..., k, :], axis=0, weights=weights[:, k]) for k in (0, 1)], -2)
    np.testing.assert_allclose(average_steps(*read), expected)


def test_what_is_no_sample_is_in_no_fold() -> None:
    folds = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 3, 2, 1, 0, N_FOLDS]])
    values = torch.tensor([[1.0, 2, 3, 4, 5, 3], [1, 2, 3, 4, 5, float("nan")]])
    found = average_by_fold({"loss": values}, folds)
    assert found["samples"].tolist() == [[2, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert found["val/loss"].tolist() == [[2, 2, 3, 4, 5], [5, 4, 3, 2, 1]]


def test_dropout_draws_for_the_samples_alone() -> None:
    networks = [nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3), nn.Dropout(0.2)) for _ in range(2)]
    stacked, inputs, counts = stack_modules(networks), torch.ones(2, 5, 3), (3, 5)

    def seeded() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    set_generators(stacked, seeded)
    set_counts(stacked, counts)
    padded = stacked(inputs)
    for k, n in enumerate(counts):
        alone = stack_modules([networks[k]])
        set_generators(alone, lambda k=k: [seeded()[k]])  # type: ignore[misc]
        assert torch.allclose(padded[k, :n], alone(inputs[:1, :n])[0])
    set_generators(stacked, seeded)  # of the next epoch, which begins with a whole batch
    assert (stacked(inputs)[0, :3] != padded[0, :3]).any()
