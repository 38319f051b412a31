"""Each mistake with a LightningModule is one message, before anything is trained."""

from collections.abc import Callable
from pathlib import Path

import pytest

from paribus import record

pytestmark = [pytest.mark.slow, pytest.mark.cases(6)]

Fit = Callable[..., Path]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("model=mute",), "Mute logs no val/loss by which its epochs and runs could be compared"),
        (
            ("model=mute", "metric=train/f1"),
            "There is no 'train/f1' in what Mute logs by epoch (metric=). Did you mean 'train/loss'?",
        ),
        (("model=gan", "metric=val/loss"), "There is no 'val/loss' in what GAN logs by epoch"),
        (("model=lit", "metric=val/quality"), "Write metric=val/quality:higher or metric=val/quality:lower"),
        (("model=broken",), "Broken fails in its first step: RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (("model=gan", "optim=adam"), "GAN steps its optimizers itself"),
        (("model=autoencoder", "scheduler=cosine"), "LitAutoEncoder brings its own (optim=own)"),
        (("model=autoencoder", "seeds.order=1"), "draws order, augmentation and dropout from the same generators"),
        (("model=lit", "data=fashion_mnist", "data.average_flips=true"), "has its own validation_step"),
        (("model=autoencoder", "activation=tanh"), "LitAutoEncoder takes no argument `activation`"),
        (("model=autoencoder", "data=raw_dict_bars"), "LitAutoEncoder fails in its first step: KeyError: 0"),
        (("model=autoencoder", "optim._target_=torch.optim.SparseAdam"), "SparseAdam"),
        (
            ("model=autoencoder", "trainer=ddp", "trainer.accelerator=cpu"),
            "LitAutoEncoder, a LightningModule of its own",
        ),
    ],
)
def test_a_mistake_is_one_message(fit: Fit, capfd: pytest.CaptureFixture[str], options: tuple, said: str) -> None:
    run = fit(*options, code=1)
    shown = "".join(capfd.readouterr())
    assert said in shown
    assert "Traceback" not in shown
    assert not (run / record.METRICS).exists(), "nothing was trained"


def test_a_dry_run_makes_a_step(fit: Fit, capfd: pytest.CaptureFixture[str]) -> None:
    fit("model=gan", "dry_run=true")
    assert "The configuration is in order" in "".join(capfd.readouterr())
    fit("model=broken", "dry_run=true", code=1)
    assert "Broken fails in its first step" in "".join(capfd.readouterr())


def test_a_sweep_is_tried_before_its_first_run(foreign: str, capfd: pytest.CaptureFixture[str]) -> None:
    from conftest import main

    options = ("trainer=cpu", "threads=1", "logger=none", "study=s")
    assert main("train.py", foreign, "--multirun", "model=autoencoder,broken", *options, "dry_run=true") == 1
    assert "Broken fails in its first step" in "".join(capfd.readouterr())
