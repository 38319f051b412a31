"""Mixed and half precision: the loss is scaled, gradients are recorded as they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import as_dict, read_layers

from paribus import record

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lightning offers 16-mixed for GPUs only; its plugin with torch's scaler for the CPU does the same here."""
    from lightning.pytorch.plugins import MixedPrecision

    from paribus.run import train as run

    build = run.build_trainer

    def use(scale: float) -> None:
        def with_scaler(*arguments: Any) -> Any:
            trainer = build(*arguments)
            scaler = torch.amp.GradScaler("cpu", init_scale=scale)
            trainer.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler)
            return trainer

        monkeypatch.setattr(run, "build_trainer", with_scaler)

    return use


UNFUSED = "+optim.foreach=true"


def test_gradients_are_those_of_the_unscaled_loss_under_mixed_precision(train: Train, scaled: Any) -> None:
    clip = ("trainer.gradient_clip_val=0.1", "optim=sgd", "optim.lr=1e-4", "trainer.max_epochs=1", UNFUSED)
    plain = as_dict(read_layers(train(*SHORT, *clip, directory="plain")))
    scaled(16.0)
    mixed = as_dict(read_layers(train(*SHORT, *clip, directory="mixed")))
    assert set(mixed) == set(plain)
    for key, value in plain.items():
        if key[3] in ("grad_mean_abs", "grad_norm") and key[2] == "weight":
            assert mixed[key] == pytest.approx(value, rel=0.05), key


def test_steps_that_the_scaler_skips_neither_count_nor_diverge(train: Train, scaled: Any) -> None:
    scaled(2.0**20)  # overflows until the scaler has come down
    directory = train(*SHORT, "optim=sgd", "optim.lr=1e-6", UNFUSED, "callbacks.gradients.every_n_steps=1")
    assert record.read_summary(directory)["status"] == "completed"
    values = as_dict(read_layers(directory))
    assert values[1, "linear1", "weight", "update_ratio"] == 0, "the first step was skipped"
    assert np.isfinite([values[epoch, "linear1", "weight", "grad_mean_abs"] for epoch in (1, 2, 3)]).all()


def test_a_fused_optimizer_would_hide_true_gradients_and_is_refused(train: Train, scaled: Any, capsys: Any) -> None:
    scaled(1024.0)
    train(*SHORT, "+optim.fused=true", code=1)
    assert "optim.fused" in capsys.readouterr().err


def test_bfloat16_weights_are_measured(train: Train) -> None:
    directory = train(*SHORT, "trainer.precision=bf16-true")
    assert all(np.isfinite(value) for value in as_dict(read_layers(directory)).values())
    assert len(pandas.read_parquet(directory / record.PREDICTIONS)) == 722 + 154
