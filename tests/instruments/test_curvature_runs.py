"""What runs record of the whole network: alone, resumed and in a stack."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from conftest import as_dict, main, read_layers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from multirun_analysis import load_runs
from multirun_analysis.compare.chosen_metric import find_metric, with_statistic
from paribus import record
from paribus.run.build import build_data

pytestmark = pytest.mark.slow
# least squares by gradient descent on all 722 samples: a quadratic loss
QUADRATIC = ("model=regression", "model.hidden=[]", "optim=sgd_momentum", "optim.lr=0.02", "data.batch_size=722",
             "trainer=cpu", "threads=1", "callbacks=curvature", "callbacks.largest_eigenvalue.probe_size=722",
             "callbacks.critical_sharpness.probe_size=722")  # fmt: skip
NETWORK = ["curvature/critical_sharpness", "curvature/stability_margin", "curvature/largest_eigenvalue",
           "train/loss_spikes"]  # fmt: skip


def read_curves(directory: Path) -> pandas.DataFrame:
    return pandas.read_csv(directory / record.METRICS, float_precision="round_trip").drop(columns="epoch_seconds")


def test_a_run_on_a_quadratic_records_its_curvature_also_resumed(train: Callable[..., Path]) -> None:
    whole = train(*QUADRATIC, "trainer.max_epochs=4", directory="whole")
    curves = read_curves(whole)
    summary = record.read_summary(whole)
    data = build_data(summary["config"])
    data.setup("fit")
    inputs, targets = (part.double().numpy() for part in data.train)
    features = np.c_[inputs, np.ones(len(inputs))]
    hessian = 2 / len(features) * features.T @ features
    assert curves["curvature/largest_eigenvalue"].to_numpy() == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=0.01)
    stored = torch.load(whole / record.LAST, weights_only=True)
    state = stored["optimizer_states"][0]["state"]
    buffers = [state[i]["momentum_buffer"].double().numpy() for i in (0, 1)]  # weight (1, 8) and bias (1,)
    update = -0.02 * np.concatenate([buffer.ravel() for buffer in buffers])
    weights = np.concatenate([tensor.double().numpy().ravel() for tensor in stored["state_dict"].values()]) - update
    gradient = 2 / len(features) * features.T @ (features @ weights - targets)
    margin = -(update @ hessian @ update) / (2 * gradient @ update)
    assert curves["curvature/stability_margin"].iloc[-1] == pytest.approx(margin, rel=0.03)
    assert curves["curvature/critical_sharpness"].iloc[-1] == pytest.approx(2 * margin / 0.02, rel=0.03)
    values = as_dict(read_layers(whole))
    for tensor, buffer in zip(("weight", "bias"), buffers, strict=True):
        found = values[4, summary_layer(values), tensor, "momentum_buffer_norm"]
        assert found == pytest.approx(np.linalg.norm(buffer), rel=1e-6)
    price = summary["instruments"]
    assert price["epochs"] == 4 and price["seconds"]["largest_eigenvalue"] > 0 and 0 < price["share"] < 1
    events = EventAccumulator(str(whole), size_guidance={"scalars": 0}).Reload()
    shown = [event.value for event in events.Scalars("curvature/largest_eigenvalue")]
    assert shown == pytest.approx(curves["curvature/largest_eigenvalue"].tolist(), rel=1e-6)
    study = load_runs(whole)
    metric = find_metric(study, "curvature/stability_margin", "lower")
    assert with_statistic(study, metric).runs[metric.name].tolist() == [curves["curvature/stability_margin"].iloc[-1]]

    parts = train(*QUADRATIC, "trainer.max_epochs=2", directory="parts")
    assert main("train.py", f"resume={parts}", "trainer.max_epochs=4") == 0
    pandas.testing.assert_frame_equal(read_curves(parts), curves, rtol=0, atol=0)
    assert json.loads((parts / record.SUMMARY).read_text())["instruments"]["epochs"] == 2, "of this process"


def summary_layer(values: dict) -> str:
    [layer] = {layer for _, layer, _, _ in values}
    return layer


def test_a_stack_records_what_its_runs_do_alone(train: Callable[..., Path], tmp_path: Path) -> None:
    short = ("model=regression", "model.hidden=[6]", "data.batch_size=361", "callbacks=curvature", "logger=none",
             "trainer=cpu", "threads=1", "trainer.max_epochs=4")  # fmt: skip
    alone = {rate: train(*short, f"optim.lr={rate}", directory=f"alone{rate}") for rate in (0.01, 0.003)}
    sweep = (
        "--multirun",
        "study=s",
        *short,
        "optim.lr=0.01,0.003",
        "hydra/launcher=stacked",
        "hydra.launcher.n_jobs=1",
    )
    assert main("train.py", *sweep) == 0
    runs = record.find_runs([tmp_path / "outputs" / "s"])
    assert [record.read_summary(run)["stacked"] for run in runs] == [2, 2]
    for run in runs:
        summary = record.read_summary(run)
        expected = alone[summary["config"]["optim"]["lr"]]
        one, other = read_curves(expected), read_curves(run)
        assert one["curvature/largest_eigenvalue"].notna().all()
        # the search for the critical step ends within an interval of 2 %, and rounding may choose the next one
        pandas.testing.assert_frame_equal(other[NETWORK], one[NETWORK], rtol=0.03)
        layers, mine = as_dict(read_layers(expected)), as_dict(read_layers(run))
        moments = [key for key in layers if key[3] in ("exp_avg_norm", "exp_avg_sq_norm")]
        assert len(moments) == 4 * 2 * 2 * 2, "epochs, layers, tensors, averages"
        assert [mine[key] for key in moments] == pytest.approx([layers[key] for key in moments], rel=1e-3)
        assert set(summary["instruments"]["seconds"]) == set(summary["config"]["callbacks"]) - {"progress"}


def test_a_stack_that_is_resumed_goes_on_with_its_trailing_losses(train: Callable[..., Path], tmp_path: Path) -> None:
    short = ("--multirun", "study=s", "model=regression", "model.hidden=[6]", "data.batch_size=361", "callbacks=none",
             "+callbacks.spikes._target_=paribus.instruments.loss_spikes.LossSpikes", "logger=none", "trainer=cpu",
             "threads=1", "seed=1,2", "hydra/launcher=stacked", "hydra.launcher.n_jobs=1")  # fmt: skip
    assert main("train.py", *short, "trainer.max_epochs=2") == 0
    runs = record.find_runs([tmp_path / "outputs" / "s"])
    for run in runs:
        stored = torch.load(run / record.LAST, weights_only=True)["recorder"]["instruments"]["spikes"]["before"]
        assert len(stored) == 4  # two steps an epoch
        assert stored.view(2, 2).mean(1).tolist() == pytest.approx(read_curves(run)["train/loss"].tolist(), rel=1e-6)
