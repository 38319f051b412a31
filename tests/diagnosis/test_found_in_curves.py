"""Findings in curves, of curves made up."""

from typing import Any

import numpy as np

from paribus.diagnosis import Finding, Trace, describe_findings, diagnose, recorded_findings
from paribus.diagnosis.curves import advise_on_units
from paribus.diagnosis.trace import LayerTable

CONFIG = {"optim": {"lr": 0.1}, "model": {"dropout": 0.0}, "trainer": {"gradient_clip_val": None}}


def found(summary: dict[str, Any] | None = None, **curves: Any) -> dict[str, Finding]:
    named = {name.replace("__", "/"): np.array(values, dtype=float) for name, values in curves.items()}
    length = len(next(iter(named.values())))
    metrics = {"epoch": np.arange(1.0, length + 1), "step": 100 * np.arange(1.0, length + 1), **named}
    return {one.finding: one for one in diagnose(Trace({"config": CONFIG, **(summary or {})}, metrics)).findings}


def test_overfitting_begins_at_the_lowest_validation_loss() -> None:
    falls, rises = np.linspace(2, 1, 11), np.linspace(1.05, 1.5, 9)
    train = np.linspace(2, 0.1, 20)
    one = found(val__loss=[*falls, *rises], train__loss=train)["overfits"]
    assert abs(one.epoch - 11) <= 1 and "trainer.max_epochs=" in one.remedy and "model.dropout=0.2" in one.remedy
    # no rise, a rise below 10 %, and one that the training loss shares
    assert "overfits" not in found(val__loss=[*falls, *[1.0] * 9], train__loss=train)
    assert "overfits" not in found(val__loss=[*falls, *[1.08] * 9], train__loss=train)
    assert "overfits" not in found(val__loss=[*falls, *rises], train__loss=[*falls, *rises])


def test_an_end_that_comes_too_early() -> None:
    assert found(val__loss=np.geomspace(10, 1, 20))["still_improving"].remedy == "trainer.max_epochs=40"
    assert found(val__loss=[*np.geomspace(10, 1, 10), *[1.0] * 10]) == {}
    assert found(val__acc=np.linspace(0.1, 0.9, 20), val__loss=np.ones(20))["still_improving"].epoch == 20
    noisy = 1 + 0.2 * np.random.default_rng(0).normal(size=100)
    assert found(val__loss=noisy) == {}


def test_a_constant_prediction() -> None:
    regression = {"statistics": {"baseline_val_loss": 4.0}}
    assert found(regression, val__loss=[4.0] * 10, train__loss=[4.0] * 10)["at_baseline"].epoch == 1
    collapsed = found(regression, val__loss=[2.0] * 5 + [4.0] * 5, train__loss=[2.0] * 5 + [4.0] * 5)["at_baseline"]
    assert collapsed.epoch == 6 and collapsed.remedy.startswith("optim.lr=")
    assert found(regression, val__loss=[3.0] * 10) == {}
    learnt = found(regression, val__loss=[4.0] * 10, train__loss=[0.1] * 10)["at_baseline"]
    assert learnt.remedy == "inputs that say something of the targets"
    short = found(regression, val__loss=[4.0] * 2, train__loss=[0.1] * 2)["at_baseline"]
    assert short.remedy == "trainer.max_epochs=10", "two epochs say nothing of the inputs"
    still = found(regression | {"config": {"optim": {"lr": 0}}}, val__loss=[4.0] * 10)["at_baseline"]
    assert still.remedy == "a learning rate above 0"
    # prices about 3e5, which vary by 1e5; the outputs are still near 0
    far = {"statistics": {"baseline_val_loss": 1e10}, "config": {"loss": {"_target_": "torch.nn.MSELoss"}}}
    prices = found(far, val__loss=np.linspace(1e11, 9e10, 10))["at_baseline"]
    assert prices.remedy.startswith("a target in larger units (it varies by about 1e+05;")
    table = {"data": {"_target_": "paribus.data.table.Table", "target_unit": 10.0}}
    of_table = found({**far, "config": {**far["config"], **table}}, val__loss=np.linspace(1e11, 9e10, 10))[
        "at_baseline"
    ]
    assert of_table.remedy.startswith("data.target_unit=1000000 (it varies by about 1e+05;")
    beyond = {**far, "statistics": {"baseline_val_loss": np.inf}, "config": {**far["config"], **table}}
    assert "beyond single precision" in (advise_on_units(Trace(beyond, {}, {})) or "")
    # of 100 samples 0.5 lies within three standard errors of 0.3: sqrt((0.5 * 0.7 + 0.3 * 0.5) / 100) = 0.071
    classes = {"statistics": {"baseline_val_acc": 0.3}, "data": {"val": 100}}
    assert "at_baseline" in found(classes, val__acc=[0.5] * 10)
    assert "at_baseline" not in found(classes, val__acc=[0.52] * 10)


def test_a_network_that_learns_nothing_gets_the_remedy_of_what_was_found_inside() -> None:
    """Saturated layers ask for a lower rate: a higher one as well would be advice in both directions."""
    summary = {"config": CONFIG, "statistics": {"baseline_val_loss": 4.0}}
    metrics = {"epoch": np.arange(1.0, 11), "val/loss": np.full(10, 4.0)}
    epochs, depths = np.arange(11), np.array([0, 1])
    saturated = LayerTable(("a", "b"), depths, epochs, np.full((11, 2), 0.99))
    both = {one.finding: one for one in diagnose(Trace(summary, metrics, {"saturated_fraction": saturated})).findings}
    assert both["at_baseline"].remedy == both["saturated_units"].remedy
    for ratio, remedy in ((0.1, "optim.lr=0.01"), (1e-5, "optim.lr=1"), (1e-3, "optim.lr=1 or optim.lr=0.01")):
        table = LayerTable(("a", "b"), depths, epochs[:3], np.array([[np.nan] * 2, [ratio] * 2, [1e-3] * 2]))
        trace = Trace(summary, metrics, {"update_ratio": table})
        assert [f.remedy for f in diagnose(trace).findings if f.finding == "at_baseline"] == [remedy]


def test_outputs_that_grow_towards_large_targets_are_no_explosion() -> None:
    """Gradients grow 200 times while the loss falls; where it does not, the remedy is the same: the unit of the target."""
    summary = {"statistics": {"baseline_val_loss": 1e10}, "config": {"loss": {"_target_": "torch.nn.MSELoss"}}}
    norms = np.array([1.0, *[200.0] * 9])
    steps = {"step": np.arange(1.0, 11), "epoch": np.arange(1.0, 11), "grad_norm": norms}

    def find(losses: np.ndarray) -> dict[str, str]:
        metrics = {"epoch": np.arange(1.0, 11), "val/loss": losses, "train/loss": losses}
        return {one.finding: one.remedy for one in diagnose(Trace(summary, metrics, {}, steps)).findings}

    learning = find(np.linspace(1e11, 2e10, 10))
    assert "gradients_explode" not in learning and learning["at_baseline"].startswith("a target in larger units")
    stuck = find(np.full(10, 1e11))
    assert stuck["gradients_explode"] == stuck["at_baseline"] == learning["at_baseline"]


def test_curvature_where_it_is_recorded() -> None:
    edge = found(**{"curvature/stability_margin": [0.3, 0.6, *[1.0] * 8]})["edge_of_stability"]
    assert (edge.epoch, edge.evidence["value"]) == (3, 1.0)
    assert found(**{"curvature/stability_margin": [0.5] * 10}) == {}


def test_findings_are_recorded_and_read_again() -> None:
    one = found({"statistics": {"baseline_val_loss": 4.0}}, val__loss=[4.0] * 10)["at_baseline"]
    assert one.as_object().keys() == {"finding", "layers", "epoch", "evidence", "threshold", "remedy", "step"}
    assert recorded_findings({"diagnosis": [one.as_object()]}) == (one,)
    older = {key: value for key, value in one.as_object().items() if key != "step"}
    assert recorded_findings({"diagnosis": [older]}) == (one,)
    assert recorded_findings({}) is None and recorded_findings({"diagnosis": [{"finding": "new"}, 3]}) == ()
    assert describe_findings([one]) == (
        "no better than a constant prediction from epoch 1 (validation loss 4, a constant 4). Try optim.lr=1 or "
        "optim.lr=0.01."
    )
