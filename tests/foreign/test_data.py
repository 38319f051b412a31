"""A LightningDataModule of a user's: its own loaders and batches, with networks of Paribus and with modules."""

from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
import torch
from conftest import main
from foreign_modules import Bars, BarsDataModule

from paribus import load_run, record
from paribus.data.foreign import ForeignData
from paribus.errors import UserError

pytestmark = pytest.mark.slow

Fit = Callable[..., Path]
MLP = ("model=mlp", "model.hidden=[16]", "trainer.max_epochs=2")


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS)


def test_a_network_trains_on_its_loaders(fit: Fit) -> None:
    run = fit(*MLP, "data=bars")
    rows, summary = read(run), record.read_summary(run)
    assert list(rows)[3:-1] == ["train/loss", "val/loss", "train/acc", "val/acc"]
    assert (summary["data"]["train"], summary["data"]["val"]) == (64, 32)
    data = load_run(run, "last", trust=True)
    data.data.setup("fit")
    images, labels = (torch.cat(parts) for parts in zip(*data.data.iterate("val"), strict=True))
    with torch.no_grad():
        output = data.network(images)
    assert rows["val/loss"].iloc[-1] == pytest.approx(
        float(torch.nn.functional.cross_entropy(output, labels)), rel=1e-5
    )
    assert rows["val/acc"].iloc[-1] == float((output.argmax(1) == labels).double().mean())


def test_a_dictionary_is_adapted(fit: Fit) -> None:
    pairs, adapted = fit(*MLP, "data=bars"), fit(*MLP, "data=dict_bars", directory="adapted")
    same = [column for column in read(pairs) if column != "epoch_seconds"]
    pandas.testing.assert_frame_equal(read(pairs)[same], read(adapted)[same], check_exact=True)
    lit = [fit("model=lit", f"data={data}", directory=f"lit_{data}") for data in ("bars", "dict_bars")]
    assert read(lit[0])["val/loss"].tolist() == read(lit[1])["val/loss"].tolist()


def test_a_resumed_run_sees_the_same_order(fit: Fit) -> None:
    whole = fit(*MLP, "data=bars", "data.num_workers=1", directory="whole")
    fit(*MLP, "data=bars", "data.num_workers=1", "trainer.max_epochs=1", directory="cut")
    assert main("train.py", "resume=cut", "trainer.max_epochs=2", "trust=true") == 0
    same = [column for column in read(whole) if column != "epoch_seconds"]
    pandas.testing.assert_frame_equal(read(whole)[same], read(Path("cut"))[same], check_exact=True)


def test_a_run_of_its_data_is_evaluated(fit: Fit) -> None:
    run_directory = fit(*MLP, "data=bars")
    assert main("evaluate.py", "--trust", f"run={run_directory}") == 0
    run, images = load_run(run_directory, trust=True), Bars(40)
    shares = (run.predict(images.images).argmax(1) == images.labels).double().mean()
    assert record.read_summary(run_directory)["test"]["acc"] == float(shares)
    with pytest.raises(UserError, match="trust"):
        load_run(run_directory)


def test_shapes_come_from_attributes_then_from_a_batch() -> None:
    data = ForeignData(BarsDataModule(), None, seed=1)
    data.setup("fit")
    assert (data.task, data.in_shape, data.out_features) == ("classification", (1, 8, 8), 8)
    assert "num_classes" in (data.find_guess() or "")
    named = BarsDataModule()
    named.num_classes, named.in_shape = 12, [64]  # type: ignore[attr-defined]
    data = ForeignData(named, None, seed=1)
    data.setup("fit")
    assert (data.in_shape, data.out_features, data.find_guess()) == ((64,), 12, None)


def test_the_split_follows_from_the_seed_alone() -> None:
    def split(seed: int) -> list[int]:
        torch.manual_seed(torch.seed())
        data = ForeignData(BarsDataModule(), None, seed)
        data.setup("fit")
        first = list(data.module.val.indices)  # type: ignore[attr-defined]
        data.module.setup("fit")
        assert data.module.val.indices == first, "the trainer's setup does not split again"  # type: ignore[attr-defined]
        return first

    assert split(1) == split(1) != split(2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((*MLP, "data=raw_dict_bars"), "is a dictionary (image, label); a network trains on pairs"),
        ((*MLP, "data=wide"), "targets (16, 1) of torch.float32; a network trains on targets of shape (16,)"),
        ((*MLP, "data=dict_bars", "data.adapter=foreign_modules.nothing"), "data.adapter=foreign_modules.nothing: "),
        ((*MLP, "data=dict_bars", "data.adapter=foreign_modules.SIZE"), "it must be a function of a batch"),
        ((*MLP, "data=bars", "optim=own"), "optim=own is for a LightningModule"),
        (("model=regression", "data=bars"), "BarsDataModule is data for classification"),
        ((*MLP, "data=bars", "trainer=ddp", "trainer.accelerator=cpu"), "does not take the loaders of BarsDataModule"),
    ],
)
def test_a_mistake_is_one_message(fit: Fit, capfd: pytest.CaptureFixture[str], options: tuple, said: str) -> None:
    fit(*options, code=1)
    shown = "".join(capfd.readouterr())
    assert said in shown
    assert "Traceback" not in shown


def test_several_loaders_and_none() -> None:
    class Several(BarsDataModule):
        def val_dataloader(self) -> list:  # type: ignore[override]
            return [super().val_dataloader()] * 2

    data = ForeignData(Several(), None, seed=1)
    data.setup("fit")
    with pytest.raises(UserError, match="val_dataloader of Several gives several; a network takes one"):
        data.require_pairs()
