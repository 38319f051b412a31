"""Two published LightningModules, unchanged: trained, recorded, measured, resumed, swept, loaded and evaluated."""

from collections.abc import Callable
from pathlib import Path

import lightning
import pandas
import pytest
import torch
from conftest import as_dict, main, read_layers
from foreign_modules import GAN, Bars, BarsDataModule, LitAutoEncoder

from paribus import load_run, record
from paribus.randomness import seed_globally

pytestmark = pytest.mark.slow

Fit = Callable[..., Path]


def read(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS)


class Losses(lightning.Callback):
    """Keep by epoch what a module logs in its steps."""

    def __init__(self, *names: str):
        self.names, self.epochs = names, list[list[list[float]]]()

    def on_train_epoch_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        seed_globally(42, "training", trainer.current_epoch)
        self.epochs.append([])

    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: object) -> None:
        self.epochs[-1].append([float(trainer.callback_metrics[name]) for name in self.names])


def fit_plainly(
    module: Callable[[], lightning.LightningModule], *names: str
) -> tuple[list[list[float]], lightning.Trainer]:
    """Train for 3 epochs by Lightning alone, with the seeds of a run; the means of what is logged by epoch."""
    seed_globally(42, "weights")
    made, losses = module(), Losses(*names)
    data = BarsDataModule()
    seed_globally(42, "split")
    data.setup("fit")
    data.setup = lambda stage: seed_globally(42, "training")  # type: ignore[method-assign]
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, callbacks=[losses],
    )  # fmt: skip
    trainer.fit(made, data)
    return [torch.tensor(epoch).double().mean(0).tolist() for epoch in losses.epochs], trainer


def test_the_autoencoder_is_trained_as_by_lightning_alone(fit: Fit) -> None:
    means, trainer = fit_plainly(LitAutoEncoder, "train_loss")
    rows = read(fit("model=autoencoder"))
    assert list(rows) == ["epoch", "step", "lr", "train/loss", "val/loss", "epoch_seconds"]
    assert rows["train/loss"].tolist() == pytest.approx([mean for (mean,) in means], rel=1e-6)
    assert rows["val/loss"].iloc[-1] == pytest.approx(float(trainer.callback_metrics["val_loss"]), rel=1e-6)
    assert rows["step"].tolist() == [4, 8, 12]
    assert set(rows["lr"]) == {0.01}


def test_the_gan_steps_its_two_optimizers_as_by_lightning_alone(fit: Fit) -> None:
    means, _ = fit_plainly(GAN, "g_loss", "d_loss")
    run = fit("model=gan")
    rows, summary = read(run), record.read_summary(run)
    assert rows[["g_loss", "d_loss"]].to_numpy() == pytest.approx(torch.tensor(means).numpy(), rel=1e-6)
    assert rows["step"].tolist() == [8, 16, 24], "both optimizers' steps"
    assert summary["metric"] == {"name": "g_loss", "direction": "lower"}
    assert summary["statistics"]["best_metric"] == rows["g_loss"].min()
    said = " ".join(summary["limits"])
    assert "2 optimizers" in said and "steps its optimizers itself" in said and "no train/loss" in said


def test_layers_are_measured_where_the_training_step_uses_them(fit: Fit) -> None:
    layers = as_dict(read_layers(fit("model=autoencoder")))
    run = load_run("run", "last", trust=True)
    weight = run.network.decoder[2].weight
    assert layers[3, "decoder.2", "weight", "weight_norm"] == pytest.approx(float(weight.detach().norm()), rel=1e-6)
    names = {layer for _, layer, _, quantity in layers if quantity == "update_ratio"}
    assert names == {"encoder.0", "encoder.2", "decoder.0", "decoder.2"}
    hidden = torch.relu(run.network.encoder[0](next(iter(run_validation(42)))[0].flatten(1)))
    assert layers[3, "encoder.0", "activation", "activation_mean"] == pytest.approx(float(hidden.mean()), rel=1e-5)


def run_validation(seed: int) -> torch.utils.data.DataLoader:
    """The validation samples of a run with this seed, in one batch."""
    seed_globally(seed, "split")
    data = BarsDataModule(batch_size=32)
    data.setup()
    return data.val_dataloader()


def test_gradients_of_a_gan_are_those_of_its_first_optimizer(fit: Fit) -> None:
    layers = read_layers(fit("model=gan"))
    measured = set(layers[layers.quantity == "grad_norm"].layer)
    assert measured == {"generator.model.0", "generator.model.2", "generator.model.5"}
    assert set(layers[layers.quantity == "update_ratio"].layer) >= {"discriminator.model.0", "generator.model.0"}


@pytest.mark.parametrize("model", ["autoencoder", "gan", "lit"])
def test_a_resumed_run_equals_the_undisturbed_one(fit: Fit, model: str) -> None:
    whole = fit(f"model={model}", "trainer.max_epochs=4", "data.num_workers=0", directory="whole")
    fit(f"model={model}", "trainer.max_epochs=2", directory="cut")
    assert main("train.py", "resume=cut", "trainer.max_epochs=4", "trust=true") == 0
    same = [column for column in read(whole) if column != "epoch_seconds"]
    pandas.testing.assert_frame_equal(read(whole)[same], read(Path("cut"))[same], check_exact=True)
    assert as_dict(read_layers(whole)) == pytest.approx(as_dict(read_layers(Path("cut"))), rel=1e-12, nan_ok=True)
    states = [torch.load(Path(name) / record.LAST, weights_only=True)["state_dict"] for name in ("whole", "cut")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_sweep_over_an_argument_and_seeds(foreign: str) -> None:
    options = ("trainer=cpu", "threads=1", "logger=none", "study=s", "trainer.max_epochs=2")
    assert (
        main("train.py", foreign, "--multirun", "model=autoencoder", "model.hidden_dim=4,16", "seed=1,2", *options) == 0
    )
    runs = record.find_runs([Path("outputs/s")])
    assert [record.read_summary(run)["status"] for run in runs] == ["completed"] * 4
    assert len({read(run)["val/loss"].iloc[-1] for run in runs}) == 4
    before = [(run / record.SUMMARY).stat().st_mtime_ns for run in runs]
    assert (
        main("train.py", foreign, "--multirun", "model=autoencoder", "model.hidden_dim=4,16", "seed=1,2", *options) == 0
    )
    assert [(run / record.SUMMARY).stat().st_mtime_ns for run in runs] == before, "finished runs are known again"


def test_a_loaded_run_predicts_and_is_evaluated_by_its_test_step(fit: Fit) -> None:
    run_directory = fit("model=autoencoder")
    run = load_run(run_directory, trust=True)
    images = Bars(40).images
    with torch.no_grad():
        expected = torch.nn.functional.mse_loss(run.predict(images), images.flatten(1))
    assert main("evaluate.py", "--trust", f"run={run_directory}") == 0
    tested = record.read_summary(run_directory)["test"]
    assert tested["test_loss"] == pytest.approx(float(expected), rel=1e-5)
    assert tested["samples"] == 40
    best = read(run_directory)["val/loss"].idxmin() + 1
    assert tested["epoch"] == run.epoch == best


def test_optim_replaces_its_optimizers(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read(fit("model=autoencoder", "optim=sgd", "optim.lr=0"))
    assert "configure_optimizers of LitAutoEncoder is replaced by optim (torch.optim.SGD)" in capsys.readouterr().out
    assert set(rows["lr"]) == {0.0}
    assert rows["train/loss"].std() == pytest.approx(0, abs=1e-8), "at a rate of 0 nothing is learnt"


def test_optim_comes_with_its_schedule(fit: Fit) -> None:
    rows = read(fit("model=lit", "optim=adam", "scheduler=exponential", "scheduler.gamma=0.5"))
    assert rows["lr"].tolist() == pytest.approx([0.01, 0.005, 0.0025])


def test_metric_selects_the_best_epoch(fit: Fit) -> None:
    run = fit("model=lit", "activation=tanh", "metric=val/f1", "optim=adam", "trainer.max_epochs=6")
    rows, summary = read(run), record.read_summary(run)
    assert summary["metric"] == {"name": "val/f1", "direction": "higher"}
    assert summary["statistics"]["best_epoch"] == rows["val/f1"].idxmax() + 1
    assert load_run(run, "best", trust=True).epoch == rows["val/f1"].idxmax() + 1
    worst = fit("model=lit", "metric=val/f1:lower", "optim=adam", "trainer.max_epochs=6", directory="worst")
    assert record.read_summary(worst)["statistics"]["best_epoch"] == read(worst)["val/f1"].idxmin() + 1


def test_steps_and_epoch_logged_both_are_one_column(fit: Fit) -> None:
    rows = read(fit("model=lit", "optim=adam", "optim.lr=0"))
    assert list(rows)[3:-1] == ["train/loss", "train/acc", "val/loss", "val/f1"]
    assert rows["train/acc"].nunique() == 1, "the mean over all samples does not depend on their order"


def test_it_logs_images_to_tensorboard(foreign: str, train: Callable[..., Path]) -> None:
    run = train(foreign, "model=gan", "threads=1", "trainer.max_epochs=1")
    assert any(b"generated" in path.read_bytes() for path in run.glob("events.out.tfevents.*"))


def test_it_trains_on_data_sets_of_paribus(fit: Fit, fashion_root: Path) -> None:
    run = fit("model=lit", "data=fashion_mnist", f"data.root={fashion_root}", "data.val_size=100")
    summary = record.read_summary(run)
    assert (summary["data"]["train"], summary["data"]["val"]) == (500, 100)
    assert len(summary["data"]["sha256"]) == 64
    pixels = torch.zeros(2, 28, 28, dtype=torch.uint8)
    assert load_run(run, trust=True).predict(pixels).shape == (2, 10)
