"""Where a run broke."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import as_dict, read_layers

from paribus import record

pytestmark = pytest.mark.slow

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


@pytest.mark.parametrize("look", ["true", "false"])
def test_the_layer_that_broke_first_is_named(train: Train, networks: Any, look: str, capsys: Any) -> None:
    directory = train(*networks("OneLayerBreaks"), f"callbacks.divergence.look={look}")
    summary = record.read_summary(directory)
    assert summary["status"] == "diverged"
    assert summary["diverged"] == {"epoch": 1, "step": 3, "what": "train/loss", "layer": "b", "tensor": "activation"}
    assert "in epoch 1, step 3; the first non-finite activation is that of b." in capsys.readouterr().out
    # what was broken is on record, not dropped
    values = as_dict(read_layers(directory))
    assert np.isnan(values[1, "a", "weight", "grad_mean_abs"])
    assert np.isnan(values[1, "a", "weight", "weight_norm"])


def test_an_output_that_breaks_once_and_not_again_is_blamed_itself(train: Train, networks: Any) -> None:
    at = record.read_summary(train(*networks("BreaksOnce")))["diverged"]
    assert at == {"epoch": 1, "step": 3, "what": "train/loss", "layer": "c", "tensor": "activation"}


@pytest.mark.parametrize("look", ["true", "false"])
def test_accumulated_batches_belong_to_their_step(train: Train, networks: Any, look: str) -> None:
    directory = train(
        *networks("OneLayerBreaks"), f"callbacks.divergence.look={look}", "+trainer.accumulate_grad_batches=2"
    )
    assert record.read_summary(directory)["diverged"] == {
        "epoch": 1,
        "step": 2,
        "what": "train/loss",
        "layer": "b",
        "tensor": "activation",
    }


def test_a_gradient_that_is_no_number_is_blamed_where_activations_are_sound(train: Train, networks: Any) -> None:
    directory = train(*networks("Root"))
    assert record.read_summary(directory)["diverged"] == {
        "epoch": 1,
        "step": 2,
        "what": "gradient",
        "layer": "b",
        "tensor": "gradient",
    }
    without = train(*networks("Root"), "callbacks=none", directory="none")
    assert record.read_summary(without)["diverged"] == {"epoch": 1, "step": 3, "what": "train/loss"}, (
        "the first loss of the broken weights"
    )


@pytest.mark.parametrize("look", ["true", "false"])
def test_a_loss_beyond_its_type_is_blamed_on_the_gradient_nearest_the_output(
    train: Train, networks: Any, look: str
) -> None:
    directory = train(*networks("Large"), f"callbacks.divergence.look={look}")
    assert record.read_summary(directory)["diverged"] == {
        "epoch": 1,
        "step": 2,
        "what": "train/loss",
        "layer": "c",
        "tensor": "gradient",
    }


def test_of_a_layer_that_is_used_again_the_first_use_that_broke_counts(train: Train, networks: Any) -> None:
    for look in ("true", "false"):
        directory = train(*networks("Reused"), f"callbacks.divergence.look={look}", directory=look)
        assert record.read_summary(directory)["diverged"]["layer"] == "b"


def test_an_infinite_gradient_that_clipping_made_finite_is_no_divergence(train: Train, networks: Any) -> None:
    clip = ("trainer.gradient_clip_val=0.5", "+trainer.gradient_clip_algorithm=value")
    runs = [
        train(*networks("Infinite"), *clip, f"callbacks={option}", directory=option) for option in ("none", "default")
    ]
    assert [record.read_summary(directory)["status"] for directory in runs] == ["completed", "completed"]
    frame = read_layers(runs[1])
    gradients = frame[(frame.quantity == "grad_mean_abs") & (frame.layer == "c") & (frame.tensor == "bias")]
    assert np.isinf(gradients.value.iloc[0]), "but it is on record"


def test_a_gradient_that_broke_the_weights_is_one_without_clipping(train: Train, networks: Any) -> None:
    at = record.read_summary(train(*networks("Infinite")))["diverged"]
    assert at == {"epoch": 1, "step": 2, "what": "gradient", "layer": "c", "tensor": "gradient"}


def test_a_validation_loss_is_called_one(train: Train, capsys: Any) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=1e30", "data.batch_size=1000")
    assert record.read_summary(directory)["diverged"] == {"epoch": 1, "step": 1, "what": "val/loss"}
    assert "Diverged: the validation loss was no longer finite after epoch 1, step 1." in capsys.readouterr().out
