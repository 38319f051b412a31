import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from paribus.training.learner import Learner, find_learner
from paribus.training.losses import Loss, find_task
from paribus.training.sums import EpochSums, average_by_fold


@given(st.lists(st.tuples(st.integers(1, 7), st.floats(0, 100, width=32)), min_size=1, max_size=9))
def test_epoch_means_weigh_each_batch_by_its_samples(batches: list[tuple[int, float]]) -> None:
    sums = EpochSums()
    for size, loss in batches:
        sums.add(size, torch.tensor(loss), {"acc": torch.tensor(size // 2)})
    means, bad = sums.read()
    n = sum(size for size, _ in batches)
    assert bad is None
    assert means["loss"] == pytest.approx(sum(size * loss for size, loss in batches) / n)
    assert means["acc"] == sum(size // 2 for size, _ in batches) / n
    sums.add(1, torch.tensor(5.0), {})
    assert sums.read()[0] == {"loss": 5.0}, "what was read is forgotten"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_first_loss_that_is_no_number_is_found(value: float) -> None:
    sums = EpochSums()
    for loss in (1.0, value, 2.0, math.nan):
        sums.add(3, torch.tensor(loss), {})
    means, bad = sums.read()
    assert bad == 1
    assert not math.isfinite(means["loss"])


@given(
    st.integers(5, 40),
    st.sampled_from([(), (1,), (3,)]),
    st.integers(0, 99),
    st.sampled_from([1.0, math.nan, math.inf]),
)
def test_means_by_fold_are_those_of_the_samples_in_it(n: int, lead: tuple[int, ...], seed: int, one: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    loss, right = torch.randn(*lead, n, generator=draw), torch.rand(*lead, n, generator=draw) < 0.5
    loss[..., 0] = one  # what is not finite stays in its fold
    folds = torch.rand(*lead, n, generator=draw).argsort(-1) % 5
    found = average_by_fold({"loss": loss, "acc": right}, folds)
    assert list(found) == ["samples", "val/loss", "val/acc"]
    for index in np.ndindex(lead):
        for fold in range(5):
            chosen = (folds[index] == fold).numpy()
            assert found["samples"][index][fold] == chosen.sum()
            for name, each in (("val/loss", loss), ("val/acc", right)):
                expected = each[index].numpy().astype(float)[chosen].mean()
                assert found[name][index][fold] == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def learner(kind: type[nn.Module]) -> Learner:
    loss = Loss(kind, find_task(kind) or "regression", has_samples=True)
    return find_learner(loss)(nn.Identity(), loss, lambda parameters: torch.optim.SGD(parameters, lr=0.1))


def test_accuracy_counts_what_is_right() -> None:
    output = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    counts = learner(nn.CrossEntropyLoss).score_samples(output, torch.tensor([1, 1, 1]))
    assert counts["acc"].sum().item() == 2


@pytest.mark.parametrize("loss", [nn.MSELoss, nn.L1Loss])
def test_a_regressor_measures_both_errors_whatever_its_loss(loss: type[nn.Module]) -> None:
    module = learner(loss)
    output, targets = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([1.0, 4.0, 1.0])
    assert module.score_samples(output, targets) == {}
    module.eval()
    for batch in ((output, targets), (output[:1], targets[:1] + 1)):
        module.validation_step(batch, 0)
    means, _ = module.validation_sums.read()
    assert means == {
        "mse": (4 + 16 + 1) / 4,
        "mae": (2 + 4 + 1) / 4,
        "loss": pytest.approx({nn.MSELoss: 21, nn.L1Loss: 7}[loss] / 4),
    }
