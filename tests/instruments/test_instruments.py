"""What a run leaves of its layers, and how its instruments are chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import as_dict, main, read_layers

from paribus import record
from paribus.randomness import derive_seed
from paribus.run.build import build_data, build_network
from paribus.run.load import load_run

pytestmark = pytest.mark.slow
Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")


def test_instruments_change_no_number(train: Train) -> None:
    none, default, full = (
        train(*SHORT, "model.dropout=0.3", f"callbacks={option}", directory=option)
        for option in ("none", "default", "full")
    )
    summaries = [record.read_summary(directory) for directory in (none, default, full)]
    columns = [name for name in record.read_metrics(none)[0] if name != "epoch_seconds"]
    rows = [[{name: row[name] for name in columns} for row in record.read_metrics(d)] for d in (none, default, full)]
    assert rows[0] == rows[1] == rows[2]
    states = [torch.load(d / record.LAST, weights_only=True)["state_dict"] for d in (none, default, full)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])
        assert torch.equal(tensor, states[2][name])
    assert len({summary["identity"] for summary in summaries}) == 1
    assert summaries[1]["config"]["callbacks"]["gradients"]["every_n_steps"] == 10, "the cadence is on record"
    assert not {record.LAYERS, record.WEIGHTS, record.PREDICTIONS} & {path.name for path in none.iterdir()}
    assert "early_layer_gradient" not in summaries[0]["statistics"]
    # full looks closely at every step, default not at the last of these twelve; both see norms in all of them
    fine, coarse = as_dict(read_layers(full)), as_dict(read_layers(default))
    fine_norm, coarse_norm = (found[3, "linear1", "weight", "grad_norm"] for found in (fine, coarse))
    fine_mean, coarse_mean = (found[3, "linear1", "weight", "grad_mean_abs"] for found in (fine, coarse))
    assert fine_norm == coarse_norm
    assert fine_mean != coarse_mean
    assert coarse_mean == pytest.approx(fine_mean, rel=0.02)


def test_early_layer_gradient_is_the_mean_of_the_first_two_weight_tensors(train: Train) -> None:
    directory = train(*SHORT)
    frame = read_layers(directory)
    early = frame[
        (frame.quantity == "grad_mean_abs") & (frame.tensor == "weight") & frame.layer.isin(["linear1", "linear2"])
    ]
    assert len(early) == 6
    assert record.read_summary(directory)["statistics"]["early_layer_gradient"] == pytest.approx(early.value.mean())


def test_small_networks_keep_their_weights_before_and_after(train: Train) -> None:
    directory = train(*SHORT)
    config = record.read_summary(directory)["config"]
    data = build_data(config)
    data.setup("fit")
    torch.manual_seed(derive_seed(42, "weights"))
    before = build_network(config, data)
    after = load_run(directory, "last").network
    with np.load(directory / record.WEIGHTS) as weights:
        assert set(weights) == {f"{when}/linear{i}" for when in ("before", "after") for i in (1, 2, 3)}
        for path in ("linear1", "linear2", "linear3"):
            assert np.array_equal(weights[f"before/{path}"], before.get_submodule(path).weight.detach().numpy())
            assert np.array_equal(weights[f"after/{path}"], after.get_submodule(path).weight.detach().numpy())
    large = train(*SHORT, "callbacks.weights.small=9472", directory="large")
    assert not (large / record.WEIGHTS).exists()


def test_predictions_are_those_of_the_best_epoch_and_test_comes_with_evaluation(train: Train) -> None:
    directory = train(*SHORT, "trainer.max_epochs=4", "optim.lr=1")
    statistics = record.read_summary(directory)["statistics"]
    assert statistics["best_epoch"] != 4, "the last epoch is not the best one: the two can be told apart"
    frame = pandas.read_parquet(directory / record.PREDICTIONS)
    assert frame.split.value_counts().to_dict() == {"train": 722, "val": 154}
    val = frame[frame.split == "val"]
    assert ((val.target - val.prediction) ** 2).mean() == pytest.approx(statistics["best_val_loss"], rel=1e-5)
    assert main("evaluate.py", f"run={directory}") == 0
    evaluated = pandas.read_parquet(directory / record.PREDICTIONS)
    both = evaluated[evaluated.split != "test"].reset_index(drop=True)
    assert np.allclose(both.prediction, frame.prediction, rtol=1e-4)
    assert both.target.equals(frame.target)
    test = evaluated[evaluated.split == "test"]
    assert len(test) == 154
    mse = record.read_summary(directory)["test"]["mse"]
    assert ((test.target - test.prediction) ** 2).mean() == pytest.approx(mse, rel=1e-5)


def test_without_validation_there_is_no_probe_and_it_is_said(train: Train) -> None:
    directory = train(*SHORT, "data.train_on_validation=true")
    assert "activation" not in set(read_layers(directory).tensor)
    assert "Activations are not recorded" in (directory / record.LOG).read_text()
    assert set(pandas.read_parquet(directory / record.PREDICTIONS).split) == {"train"}


def test_a_probe_larger_than_the_validation_part_is_all_of_it(train: Train) -> None:
    large = train(*SHORT, "callbacks.activations.probe_size=9999", directory="large")
    exact = train(*SHORT, "callbacks.activations.probe_size=154", directory="exact")
    assert as_dict(read_layers(large)) == as_dict(read_layers(exact))


def test_an_epoch_of_one_batch_is_measured(train: Train) -> None:
    frame = read_layers(train(*SHORT, "data.batch_size=1000"))
    one = frame[(frame.epoch == 2) & (frame.layer == "linear1") & (frame.tensor == "weight")]
    assert {"grad_mean_abs", "grad_norm", "update_ratio"} <= set(one.quantity)
    assert one.value.notna().all()


def test_weights_of_zero_have_no_update_ratio_until_they_have_moved(train: Train) -> None:
    values = as_dict(
        read_layers(train(*SHORT, "model.init=kaiming"))
    )  # biases begin at 0; the first step alone is sampled
    assert np.isnan(values[1, "linear1", "bias", "update_ratio"])
    assert values[2, "linear1", "bias", "update_ratio"] > 0
    assert values[1, "linear1", "weight", "update_ratio"] > 0


@pytest.mark.parametrize(
    "override",
    ["gradients.every_n_steps=0", "updates.every_n_steps=-3", "weights.every_n_epochs=-1", "activations.probe_size=0"],
)
def test_a_cadence_is_one_or_more(train: Train, override: str, capsys: Any) -> None:
    train(*SHORT, f"callbacks.{override}", code=1)
    assert f"error: callbacks.{override.partition('=')[0]} is" in capsys.readouterr().err


def test_instruments_are_chosen_one_by_one(train: Train) -> None:
    directory = train(*SHORT, "~callbacks.gradients", "~callbacks.weights", "callbacks.activations.every_n_epochs=2")
    frame = read_layers(directory)
    assert set(frame.quantity) == {"size", "update_ratio", "dead_fraction"} | {
        f"activation_{what}" for what in ("mean", "std", "rms", "max")}  # fmt: skip
    assert set(frame[frame.quantity == "activation_mean"].epoch) == {0, 2}


def test_an_interrupted_run_keeps_what_was_measured(train: Train, own: str) -> None:
    directory = train(own, *SHORT, "+callbacks.stop._target_=own_parts.Stop", code=130)
    assert set(read_layers(directory).epoch) == {0, 1, 2}


def test_an_instrument_of_ones_own_is_one_class_and_one_yaml(train: Train, networks: Any, tmp_path: Path) -> None:
    arguments = networks("Base")
    (tmp_path / "own" / "callbacks").mkdir()
    own = "defaults: [default, _self_]\nlargest: {_target_: own_networks.Largest}\n"
    (tmp_path / "own" / "callbacks" / "mine.yaml").write_text(own)
    directory = train(*arguments, "callbacks=mine")
    frame = read_layers(directory)
    assert set(frame[frame.quantity == "weight_largest"].epoch) == {0, 1, 2}
    with np.load(directory / record.WEIGHTS) as weights:
        assert as_dict(frame)[2, "a", "weight", "weight_largest"] == np.abs(weights["after/a"]).max()


def test_what_is_no_callback_is_refused(train: Train, capsys: Any) -> None:
    train(*SHORT, "+callbacks.x._target_=torch.nn.ReLU", code=1)
    assert "error: callbacks.x._target_: torch.nn.ReLU is no Instrument or Callback." in capsys.readouterr().err


def test_gradients_vanish_in_a_net_of_128_layers_and_not_in_one_of_4(train: Train) -> None:
    last = {}
    for depth in (4, 128):
        size = ("model.width=32", f"model.depth={depth}", "trainer.max_epochs=8")
        directory = train("model=regression", *size, directory=str(depth))
        frame = read_layers(directory)
        chosen = frame[(frame.epoch == 8) & (frame.quantity == "grad_mean_abs") & (frame.tensor == "weight")]
        last[depth] = chosen.sort_values("depth").value.to_numpy()
        assert len(last[depth]) == depth + 1
        statistics = record.read_summary(directory)["statistics"]
        learnt = statistics["best_val_loss"] < 0.8 * statistics["baseline_val_loss"]
        assert learnt == (depth == 4)
    assert last[128][:100].max() < 1e-3 * last[128][-3:].max()
    assert last[4][0] > 1e-2 * last[4][-1]


def test_histograms_come_once_an_epoch_also_in_the_last_one(train: Train) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    directory = train(*SHORT, "callbacks.weights.every_n_epochs=1", "figures=false")
    events = EventAccumulator(str(directory), size_guidance={"histograms": 0}).Reload()
    assert [event.step for event in events.Histograms("weight/0_linear1")] == [0, 1, 2, 3]


def test_what_is_measured_reaches_as_far_as_the_checkpoint(train: Train, tmp_path: Path, monkeypatch: Any) -> None:
    from paribus.training import checkpoints
    from paribus.training.checkpoints import Checkpoints

    seen = []
    write = Checkpoints.write

    def written(self: Checkpoints, trainer: Any) -> None:
        write(self, trainer)
        last = torch.load(self.directory / record.LAST, weights_only=True)["paribus"]["epoch"]
        seen.append((last, read_layers(self.directory).epoch.max()))

    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(Checkpoints, "write", written)
    train(*SHORT)
    assert seen == [(1, 1), (2, 2), (3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TooMany", "'x' of tensor 'weight' has values of shape (4,) for 3 layers. (In callbacks.own.)"),
        ("Misspelt", "'x' of tensor 'wieght': a tensor is 'weight', 'bias' or 'activation'. (In callbacks.own.)"),
        ("Twice", "'weight_norm' of tensor 'weight' is measured twice for a, b, c. Choose another name"),
        ("Nothing", "(In callbacks.own.)"),
        ("Raises", "RuntimeError"),
    ],
)
def test_an_instrument_that_goes_wrong_is_named_and_spoils_nothing(
    train: Train, networks: Any, name: str, message: str, capsys: Any
) -> None:
    directory = train(*networks("Base"), f"+callbacks.own._target_=own_networks.{name}", code=1)
    assert message in capsys.readouterr().err
    assert "(In callbacks.own.)" in record.read_summary(directory)["message"]
    frame = read_layers(directory)
    assert set(frame.epoch) == {0, 1}, "it goes wrong in epoch 1, measured after the others"
    assert {"grad_norm", "weight_norm"} <= set(frame[frame.epoch == 1].quantity)


def test_norms_of_large_finite_weights_are_finite(train: Train) -> None:
    directory = train(*SHORT, "optim=sgd", "optim.lr=0.05", "trainer.max_epochs=2")
    last = torch.load(directory / record.LAST, weights_only=True)["state_dict"]["network.linear2.weight"]
    assert last.abs().max() > 1e19, "its square is beyond single precision"
    assert as_dict(read_layers(directory))[2, "linear2", "weight", "weight_norm"] == pytest.approx(
        float(last.double().norm())
    )


def test_layers_without_an_activation_module_are_named(train: Train, own: str) -> None:
    directory = train(*SHORT, "activation=identity")
    assert "No activation module follows linear1, linear2" in (directory / record.LOG).read_text()
