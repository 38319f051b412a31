"""The validation metrics of each fifth of the validation part."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from conftest import read_folds
from short_runs import SHORT, Train, metrics
from torch import nn

from paribus import record
from paribus.data.concrete import Concrete
from paribus.data.fashion_mnist import FashionMNIST
from paribus.data.module import InMemory
from paribus.models.mlp import MLP
from paribus.models.regression import RegressionNet


def whole(directory: Path) -> pandas.DataFrame:
    """What folds.parquet makes of the whole validation part, a row an epoch: means weighted by samples."""
    folds = read_folds(directory)
    weighted = folds.filter(like="val/").mul(folds["samples"], axis=0).groupby(folds["epoch"]).sum()
    return weighted.div(folds.groupby("epoch")["samples"].sum(), axis=0)


@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-12), ("32-true", 1e-6), ("bf16-mixed", 1e-6)])
@pytest.mark.parametrize("model", ["mlp", "regression"])
@pytest.mark.slow
@pytest.mark.cases(3)
def test_folds_add_up_to_the_metrics(
    train: Train, fashion_root: Path, monkeypatch: pytest.MonkeyPatch, model: str, precision: str, tolerance: float
) -> None:
    monkeypatch.setattr(InMemory, "eval_batch_size", 33)
    data = (f"data.root={fashion_root}", "data.val_size=103") if model == "mlp" else ()
    directory = train(f"model={model}", *data, "trainer.max_epochs=2", "threads=1", f"trainer.precision={precision}")
    found, expected = whole(directory), pandas.read_csv(directory / record.METRICS, index_col="epoch")
    assert list(read_folds(directory).columns) == ["epoch", "fold", "samples", *expected.filter(like="val/").columns]
    pandas.testing.assert_frame_equal(found, expected[found.columns], rtol=tolerance, check_index_type=False)


@pytest.mark.slow
def test_folds_of_a_classifier_by_hand(train: Train, fashion_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InMemory, "eval_batch_size", 33)
    directory = train(f"data.root={fashion_root}", "data.val_size=103", "trainer.max_epochs=2", "trainer.precision=64-true",
                      "seed=7", "optim.lr=0.0001")  # fmt: skip
    data = FashionMNIST(str(fashion_root), 64, 103, None, False, mean=[0.5], std=[0.5], seed=7)
    scores, labels = outputs_and_targets(directory, MLP((1, 28, 28), 10, nn.ReLU), data)
    loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(103), labels]
    right = scores.argmax(1) == labels
    assert 0 < right.mean() < 1
    by_hand(read_folds(directory), data, {"val/loss": loss, "val/acc": right})


@pytest.mark.slow
def test_folds_of_a_regression_by_hand(train: Train) -> None:
    directory = train(*SHORT, "seed=7", "trainer.precision=64-true", "loss=mae")
    data = Concrete(None, "strength", "random", False, 64, 0.15, 0.15, None, False, seed=7)
    outputs, targets = outputs_and_targets(directory, RegressionNet((8,), 1, nn.ReLU), data)
    error = outputs - targets
    by_hand(read_folds(directory), data, {"val/loss": abs(error), "val/mse": error**2, "val/mae": abs(error)})


def outputs_and_targets(directory: Path, network: nn.Module, data: InMemory) -> tuple[np.ndarray, np.ndarray]:
    """What the network returns for the validation part as the run leaves it, in double precision."""
    weights = torch.load(directory / record.LAST, weights_only=True)["state_dict"]
    network.double().load_state_dict({name.removeprefix("network."): tensor for name, tensor in weights.items()})
    data.setup("fit")
    assert data.val
    with torch.no_grad():
        outputs = network((data.val[0] if data.stores_inputs else data.inputs(data.val[0])).double())
    return outputs.numpy(), data.val[1].numpy()


def by_hand(found: pandas.DataFrame, data: InMemory, each: dict[str, np.ndarray]) -> None:
    """The last epoch in `found` is what values of each validation sample make of it."""
    assert data.validation_folds is not None
    expected = pandas.DataFrame(each).groupby(data.validation_folds.numpy() + 1).mean()
    expected.insert(0, "samples", np.bincount(data.validation_folds))
    last = found[found["epoch"] == found["epoch"].max()].set_index("fold").drop(columns="epoch")
    pandas.testing.assert_frame_equal(
        last, expected, rtol=1e-9, check_dtype=False, check_index_type=False, check_names=False
    )


@pytest.mark.slow
def test_runs_of_one_split_share_the_folds(train: Train) -> None:
    """Seen in networks that are not trained: they have the same metrics in the same folds."""
    still = (*SHORT, "trainer.max_epochs=1", "optim.lr=1e-30", "seed=1")
    runs = [
        read_folds(train(*still, *more, directory=str(number)))
        for number, more in enumerate((["optim=adam", "data.seed=3"], ["optim=sgd", "data.seed=3", "data.batch_size=30"],
                                       ["data.seed=4"]))
    ]  # fmt: skip
    pandas.testing.assert_frame_equal(runs[0], runs[1], check_exact=True)
    assert (runs[0]["val/loss"] != runs[2]["val/loss"]).all()


@pytest.mark.slow
def test_fewer_samples_than_folds_have_none(train: Train, fashion_root: Path) -> None:
    few = train(f"data.root={fashion_root}", "data.val_size=4", "trainer.max_epochs=1")
    assert metrics(few)[0]["val/loss"] is not None
    assert not (few / record.FOLDS).exists()
