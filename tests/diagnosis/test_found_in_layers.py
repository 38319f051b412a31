"""Findings in layers, of traces whose numbers are made up and whose findings can be read off."""

from typing import Any

import numpy as np
import pytest

from paribus.diagnosis import Finding, LayerTable, Trace, diagnose

NAMES = ("linear1", "linear2", "linear3")
EPOCHS = np.arange(1, 11)
CONFIG = {"optim": {"lr": 0.01}, "activation": {"_target_": "x"}, "model": {"init": "torch"}}


def table(values: Any, begin: int = 1) -> LayerTable:
    values = np.array(values, dtype=float)
    return LayerTable(NAMES[: values.shape[1]], np.arange(values.shape[1]), begin + np.arange(len(values)), values)


def constant(*values: float) -> LayerTable:
    return table([values] * 10)


def network(**layers: LayerTable) -> Trace:
    """A network of three layers with equal gradients and weights of 1, but for what is given."""
    healthy = {
        "grad_mean_abs": constant(1, 1, 1),
        "weight_mean": constant(0, 0, 0),
        "weight_std": constant(1, 1, 1),
        "update_ratio": constant(1e-3, 1e-3, 1e-3),
        "activation_mean": constant(0, 0, 0),
        "activation_std": constant(1, 1, 1),
        "dead_fraction": constant(0, 0),
    }
    metrics = {"epoch": EPOCHS.astype(float), "step": 100.0 * EPOCHS}
    return Trace({"config": CONFIG, "choices": {"activation": "relu"}}, metrics, {**healthy, **layers})


def found(trace: Trace) -> dict[str, Finding]:
    return {one.finding: one for one in diagnose(trace).findings}


def test_a_healthy_network_has_no_finding() -> None:
    assert found(network()) == {}


def test_vanishing_gradients_are_told_by_their_size_beside_the_weights() -> None:
    one = found(network(grad_mean_abs=constant(1e-4, 0.5, 1)))["gradients_vanish"]
    assert one.remedy == "model.init=auto"  # it has relu, and no model.norm
    assert (one.layers, one.epoch) == (("linear1",), 1) and one.evidence["value"] == pytest.approx(1e-4)
    # small weights may have small gradients
    assert not found(network(grad_mean_abs=constant(1e-4, 0.5, 1), weight_std=constant(1e-3, 1, 1)))
    # a layer that recovers soon is no finding; one that goes bad and stays so is, from that epoch on
    assert not found(network(grad_mean_abs=table([[1e-5, 1, 1]] * 4 + [[1, 1, 1]] * 6)))
    late = found(network(grad_mean_abs=table([[1, 1, 1]] * 4 + [[1, 1e-5, 1]] * 6)))["gradients_vanish"]
    assert (late.layers, late.epoch) == (("linear2",), 5)


def test_gradients_explode_towards_the_input_or_activations_towards_the_output() -> None:
    back = found(network(grad_mean_abs=constant(1e4, 10, 1)))["gradients_explode"]
    assert (back.layers, back.epoch, back.evidence["value"]) == (("linear1",), 1, pytest.approx(1e4))
    forward = table([[1, 500, 1e5]] * 11, begin=0)
    one = found(network(activation_std=forward, activation_mean=table(np.zeros((11, 3)), begin=0)))["gradients_explode"]
    # the output layer's scale is that of the targets
    assert (one.layers, one.epoch, one.evidence["value"]) == (("linear2",), 0, pytest.approx(500))


def test_dead_and_saturated_units_count_at_the_end() -> None:
    dead = found(network(dead_fraction=table([[0, 0]] * 3 + [[0, 0.9]] * 7)))["dead_units"]
    assert (dead.layers, dead.epoch, dead.evidence["text"]) == (("linear2",), 4, "90 % of the units are always 0")
    assert "optim.lr=0.001" in dead.remedy and "activation=leaky_relu" in dead.remedy
    assert not found(network(dead_fraction=table([[0.9, 0]] * 9 + [[0.1, 0]])))
    # the output layer may saturate: it may be a sigmoid on purpose
    assert not found(network(saturated_fraction=constant(0.1, 0.1, 0.99)))
    assert found(network(saturated_fraction=constant(0.9, 0.1, 0)))["saturated_units"].layers == ("linear1",)


def test_updates_are_too_large_or_cannot_have_gone_anywhere() -> None:
    large = found(network(update_ratio=constant(1e-3, 0.5, 1e-3)))["updates_too_large"]
    assert (large.layers, large.remedy) == (("linear2",), "optim.lr=0.001")
    small = found(network(update_ratio=constant(1e-5, 2e-5, 1e-5)))["updates_too_small"]
    assert small.evidence["value"] == pytest.approx(1000 * 2e-5)  # 1,000 steps
    sparse = LayerTable(NAMES, np.arange(3), np.array([5, 10]), np.full((2, 3), 2e-5))  # the same, of every fifth epoch
    assert found(network(update_ratio=sparse))["updates_too_small"].evidence["value"] == pytest.approx(0.02)


def test_what_is_absent_is_left_out_and_named() -> None:
    bare = diagnose(Trace({"config": {}}, {"epoch": EPOCHS.astype(float), "train/loss": np.ones(10)}))
    assert bare.findings == ()
    assert {"gradients_vanish", "dead_units", "updates_too_small", "overfits"} <= set(bare.unseen)
    assert not {"diverged", "still_improving"} & set(bare.unseen)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_no_number_breaks_a_diagnosis(value: float) -> None:
    trace = network()
    for name, old in trace.layers.items():
        broken = LayerTable(old.layers, old.depths, old.epochs, np.full_like(old.values, value))
        found(Trace(trace.summary, trace.metrics, {**trace.layers, name: broken}))
