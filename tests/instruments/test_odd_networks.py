"""Networks that instruments have to cope with: frozen, shared, sparse, broken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from conftest import as_dict, read_layers

from paribus import record

pytestmark = pytest.mark.slow
Train = Callable[..., Path]


def test_a_frozen_layer_has_no_gradient_and_does_not_move(train: Train, networks: Any) -> None:
    directory = train(*networks("Frozen"))
    values = as_dict(read_layers(directory))
    assert not [key for key in values if key[1] == "b" and key[3].startswith("grad")]
    assert values[2, "b", "weight", "update_ratio"] == 0
    assert values[2, "b", "weight", "weight_norm"] == values[0, "b", "weight", "weight_norm"]
    assert values[2, "a", "weight", "grad_mean_abs"] > 0
    assert "frozen layers: b" in (directory / record.LOG).read_text()


def test_a_layer_that_the_loss_does_not_depend_on_has_a_gradient_of_zero(train: Train, networks: Any) -> None:
    frame = read_layers(train(*networks("Unused")))
    values = as_dict(frame)
    assert values[1, "b", "weight", "grad_mean_abs"] == 0
    assert values[1, "b", "weight", "grad_zero_fraction"] == 1
    assert frame.groupby("layer", observed=True).depth.first().to_dict() == {"a": 0, "c": 1, "b": 2}


def test_an_activation_in_place_makes_no_difference(train: Train, networks: Any) -> None:
    plain = as_dict(read_layers(train(*networks("Base"), directory="plain")))
    assert as_dict(read_layers(train(*networks("InPlace"), directory="in-place"))) == plain
    assert plain[0, "a", "activation", "activation_mean"] > 0


def test_a_shared_layer_is_one_layer(train: Train, networks: Any) -> None:
    frame = read_layers(train(*networks("Shared")))
    assert frame.groupby("layer", observed=True).depth.first().to_dict() == {"a": 0, "b": 1, "c": 2}
    assert as_dict(frame)  # nothing twice


@pytest.mark.parametrize("name", ["Tied", "NoLayers", "Sparse", "Shared"])
def test_odd_networks_are_trained_with_instruments_as_without(train: Train, networks: Any, name: str) -> None:
    optimizer = ("optim=sgd", "+optim.fused=false", "optim.lr=1e-4")
    runs = [train(*networks(name), *optimizer, f"callbacks={option}", directory=option) for option in ("none", "full")]
    states = [torch.load(directory / record.LAST, weights_only=True)["state_dict"] for directory in runs]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert len(pandas.read_parquet(runs[1] / record.PREDICTIONS)) == 722 + 154


def test_a_sparse_gradient_counts_as_the_dense_one(train: Train, networks: Any) -> None:
    values = as_dict(read_layers(train(*networks("Sparse"), "optim=sgd", "+optim.fused=false", "optim.lr=1e-4")))
    assert values[1, "table", "weight", "grad_zero_fraction"] == 0.5, "two rows of four are used"


def test_a_network_that_breaks_leaves_batch_norm_as_it_was(train: Train, networks: Any) -> None:
    runs = [train(*networks("Normed"), "optim=sgd", "optim.lr=1e30", f"callbacks={option}", directory=option)
            for option in ("none", "default")]  # fmt: skip
    states = [torch.load(directory / record.LAST, weights_only=True)["state_dict"] for directory in runs]
    counted = [int(state["network.norm.num_batches_tracked"]) for state in states]
    assert counted[0] == counted[1] > 0
    assert torch.equal(states[0]["network.norm.running_mean"], states[1]["network.norm.running_mean"])


def test_the_network_can_be_copied_and_pickled_by_a_users_callback(train: Train, networks: Any) -> None:
    train(*networks("Base"), "+callbacks.copies._target_=own_networks.Copies")


def test_a_layer_that_thaws_has_gradients_from_then_on(train: Train, networks: Any) -> None:
    frame = read_layers(train(*networks("Frozen"), "+callbacks.thaws._target_=own_networks.Thaws"))
    assert set(frame[(frame.layer == "b") & (frame.quantity == "grad_mean_abs")].epoch) == {2}


def test_lbfgs_which_computes_its_loss_many_times_a_step_is_measured_by_step(train: Train, networks: Any) -> None:
    from own_networks import UpdatesByHand

    UpdatesByHand.found.clear()
    lbfgs = ("optim=lbfgs", "optim.lr=0.01", "optim.max_iter=4", "optim.line_search_fn=null")
    directory = train(*networks("Base"), *lbfgs, "trainer.max_epochs=1", "callbacks=full",
                      "callbacks.updates.every_n_steps=1", "+callbacks.by_hand._target_=own_networks.UpdatesByHand")  # fmt: skip
    measured = as_dict(read_layers(directory))[1, "a", "weight", "update_ratio"]
    found = UpdatesByHand.found
    assert len(found) == 12
    # LBFGS evaluates a batch several times; each evaluation counts its samples alike
    assert measured == pytest.approx(sum(n * ratio for n, ratio in found) / sum(n for n, _ in found), rel=0.02)
