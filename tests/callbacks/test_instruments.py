"""What the instruments record, against a run made by hand: a plain loop, autograd, and numpy in double precision."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from conftest import main
from torch import nn

from paribus import record
from paribus.build import build_data, build_network
from paribus.load import load_run
from paribus.randomness import stream_seed

Train = Callable[..., Path]
SHORT = ("model=regression", "trainer.max_epochs=3", "threads=1")
CADENCE = (
    "callbacks.gradients.every_n_steps=2",
    "callbacks.updates.every_n_steps=3",
    "callbacks.activations.probe_size=7",
)
LOSSES = {"mse": nn.functional.mse_loss, "cross_entropy": nn.functional.cross_entropy}


def layers(directory: Path) -> pandas.DataFrame:
    return pandas.read_parquet(directory / record.LAYERS)


def as_dict(frame: pandas.DataFrame) -> dict[tuple, float]:
    keys = list(zip(frame.epoch, frame.layer, frame.tensor, frame.quantity, strict=True))
    assert len(set(keys)) == len(keys), "a value is there twice"
    return dict(zip(keys, frame.value, strict=True))


def doubles(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(float)


def by_hand(config: dict[str, Any]) -> tuple[dict[tuple, float], dict[str, int], nn.Module]:
    """The same run as a plain loop over a sequential network, with every quantity as its definition says it."""
    data = build_data(config)
    data.setup("fit")
    torch.manual_seed(stream_seed(config["seed"], "weights"))
    network = build_network(config, data)
    assert isinstance(network, nn.Sequential)
    optimizer = torch.optim.SGD(network.parameters(), lr=config["optim"]["lr"], momentum=config["optim"]["momentum"])
    instruments = config["callbacks"]
    values: dict[tuple, float] = {}
    depth: dict[str, int] = {}
    parameters = []
    for path, module in network.named_children():
        if isinstance(module, nn.Linear | nn.Conv2d):
            depth[path] = len(depth)
            parameters += [(path, "weight", module.weight), (path, "bias", module.bias)]

    def at_the_end_of(epoch: int) -> None:
        for path, tensor, p in parameters:
            w = doubles(p)
            values[epoch, path, tensor, "weight_mean"] = w.mean()
            values[epoch, path, tensor, "weight_std"] = w.std()
            values[epoch, path, tensor, "weight_norm"] = (w**2).sum() ** 0.5
            if epoch == 0:
                values[epoch, path, tensor, "size"] = w.size
        network.eval()
        y = data.first_inputs("val", instruments["activations"]["probe_size"])
        outputs: dict[str, Any] = {}
        path = ""
        with torch.no_grad():
            for name, module in network.named_children():
                y = module(y)
                path = name if name in depth else path
                if name in depth or name.startswith("activation"):
                    outputs[path] = (doubles(y), None if name in depth else module)
        for path, (a, activation) in outputs.items():
            values[epoch, path, "activation", "activation_mean"] = a.mean()
            values[epoch, path, "activation", "activation_std"] = a.std()
            if activation is not None:
                units = np.moveaxis(a, 1, 0).reshape(a.shape[1], -1)
                values[epoch, path, "activation", "dead_fraction"] = (units == 0).all(1).mean()
            if isinstance(activation, nn.Tanh):
                values[epoch, path, "activation", "saturated_fraction"] = (np.abs(a) > 0.97).mean()
            if isinstance(activation, nn.Sigmoid):
                values[epoch, path, "activation", "saturated_fraction"] = ((a < 0.03) | (a > 0.97)).mean()
        network.train()

    at_the_end_of(0)
    for epoch in range(config["trainer"]["max_epochs"]):
        torch.manual_seed(stream_seed(config["seed"], "training", epoch))
        data.trainer = type("Epoch", (), {"current_epoch": epoch, "strategy": type("", (), {"root_device": "cpu"})})  # type: ignore[assignment]
        seen: dict[tuple, list[tuple[int, float]]] = {}
        for step, (x, y) in enumerate(data.train_dataloader()):
            loss = LOSSES[config["model"]["loss"]](network(x), y)
            gradients = torch.autograd.grad(loss, [p for _, _, p in parameters], retain_graph=True)
            for (path, tensor, _), gradient in zip(parameters, gradients, strict=True):
                g = doubles(gradient)
                found = {"grad_mean_abs": np.abs(g).mean()}
                if step % instruments["gradients"]["every_n_steps"] == 0:
                    found["grad_std"], found["grad_norm"] = g.std(), (g**2).sum() ** 0.5
                    found["grad_zero_fraction"] = (g == 0).mean()
                for quantity, value in found.items():
                    seen.setdefault((epoch + 1, path, tensor, quantity), []).append((len(x), value))
            before = [doubles(p).copy() for _, _, p in parameters]
            optimizer.zero_grad()
            loss.backward()
            if config["trainer"]["gradient_clip_val"]:
                nn.utils.clip_grad_norm_(network.parameters(), config["trainer"]["gradient_clip_val"])
            optimizer.step()
            if step % instruments["updates"]["every_n_steps"] == 0:
                for (path, tensor, p), old in zip(parameters, before, strict=True):
                    size = np.linalg.norm(old.ravel())
                    if size:
                        ratio = np.linalg.norm((doubles(p) - old).ravel()) / size
                        seen.setdefault((epoch + 1, path, tensor, "update_ratio"), []).append((len(x), ratio))
        for key, pairs in seen.items():
            values[key] = sum(n * v for n, v in pairs) / sum(n for n, _ in pairs)
        at_the_end_of(epoch + 1)
    return values, depth, network


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=regression", "model.hidden=[16,8]", "activation=tanh", "trainer.gradient_clip_val=0.5"),
        ("model=regression", "model.width=6", "model.depth=20", "model.init=kaiming", "trainer.gradient_clip_val=0.1"),
        ("model=mlp", "activation=sigmoid", "model.hidden=[8,300]", "model.dropout=0.2", "model.norm=batch"),
        ("model=vgg6", "model.width_multiplier=0.06", "model.dropout=0", "data.verify=false", "data.val_size=20"),
    ],
    ids=["tanh-clipped", "deep", "mlp", "vgg6"],
)  # fmt: skip
def test_every_quantity_is_what_its_definition_says(
    train: Train, fashion_root: Path, cifar_root: Path, overrides: tuple
) -> None:
    if "model=mlp" in overrides:
        overrides = (*overrides, f"data.root={fashion_root}", "data.val_size=100")
    if "model=vgg6" in overrides:
        overrides = (*overrides, f"data.root={cifar_root}")
    directory = train(*overrides, *CADENCE, "optim=sgd_momentum", "optim.lr=0.01", "trainer.max_epochs=2", "threads=1")
    torch.set_num_threads(1)
    frame = layers(directory)
    measured = as_dict(frame)
    expected, depth, network = by_hand(record.read_summary(directory)["config"])
    # where every bias begins at 0 and no later step is sampled there is no ratio to expect
    assert {key for key, value in measured.items() if not np.isnan(value)} == set(expected)
    scale = frame.groupby("quantity", observed=True).value.apply(lambda v: v.abs().max())
    for key, value in expected.items():
        assert measured[key] == pytest.approx(value, rel=2e-4, abs=1e-6 * scale[key[3]]), key
    assert dict(zip(frame.layer, frame.depth, strict=True)) == depth
    # and the loop by hand was the same run
    last = torch.load(directory / record.LAST, weights_only=True)["state_dict"]
    for name, tensor in network.state_dict().items():
        assert torch.allclose(last[f"network.{name}"], tensor, rtol=1e-4, atol=1e-6), name


def test_instruments_change_no_number(train: Train) -> None:
    none, default, full = (
        train(*SHORT, "model.dropout=0.3", f"callbacks={option}", directory=option)
        for option in ("none", "default", "full")
    )
    summaries = [record.read_summary(directory) for directory in (none, default, full)]
    rows = [[{**row, "epoch_seconds": 0} for row in record.read_metrics(d)] for d in (none, default, full)]
    assert rows[0] == rows[1] == rows[2]
    states = [torch.load(d / record.LAST, weights_only=True)["state_dict"] for d in (none, default, full)]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])
        assert torch.equal(tensor, states[2][name])
    assert len({summary["identity"] for summary in summaries}) == 1
    assert summaries[1]["config"]["callbacks"]["gradients"]["every_n_steps"] == 50, "the cadence is on record"
    assert not {record.LAYERS, record.WEIGHTS, record.PREDICTIONS} & {path.name for path in none.iterdir()}
    assert "early_layer_gradient" not in summaries[0]["statistics"]
    # full looks closely at every step, default at the first of these twelve; both see mean |g| in all of them
    fine, coarse = as_dict(layers(full)), as_dict(layers(default))
    assert fine[3, "linear1", "weight", "grad_mean_abs"] == coarse[3, "linear1", "weight", "grad_mean_abs"]
    assert fine[3, "linear1", "weight", "grad_norm"] != coarse[3, "linear1", "weight", "grad_norm"]


def test_early_layer_gradient_is_the_mean_of_the_first_two_weight_tensors(train: Train) -> None:
    directory = train(*SHORT)
    frame = layers(directory)
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
    torch.manual_seed(stream_seed(42, "weights"))
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
    assert "activation" not in set(layers(directory).tensor)
    assert "No activations are recorded" in (directory / record.LOG).read_text()
    assert set(pandas.read_parquet(directory / record.PREDICTIONS).split) == {"train"}


def test_a_probe_larger_than_the_validation_part_is_all_of_it(train: Train) -> None:
    large = train(*SHORT, "callbacks.activations.probe_size=9999", directory="large")
    exact = train(*SHORT, "callbacks.activations.probe_size=154", directory="exact")
    assert as_dict(layers(large)) == as_dict(layers(exact))
    assert "all 154 validation samples" in (large / record.LOG).read_text()
    assert "all 154" not in (exact / record.LOG).read_text()


def test_an_epoch_of_one_batch_is_measured(train: Train) -> None:
    frame = layers(train(*SHORT, "data.batch_size=1000"))
    one = frame[(frame.epoch == 2) & (frame.layer == "linear1") & (frame.tensor == "weight")]
    assert {"grad_mean_abs", "grad_norm", "update_ratio"} <= set(one.quantity)
    assert one.value.notna().all()


def test_weights_of_zero_have_no_update_ratio_until_they_have_moved(train: Train) -> None:
    values = as_dict(layers(train(*SHORT, "model.init=kaiming")))  # biases begin at 0; the first step alone is sampled
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
    frame = layers(directory)
    assert set(frame.quantity) == {"size", "update_ratio", "activation_mean", "activation_std", "dead_fraction"}
    assert set(frame[frame.quantity == "activation_mean"].epoch) == {0, 2}


def test_an_interrupted_run_keeps_what_was_measured(train: Train, own: str) -> None:
    directory = train(own, *SHORT, "+callbacks.stop._target_=own_parts.Stop", code=130)
    assert set(layers(directory).epoch) == {0, 1, 2}


# --- networks that a user might bring

NETWORKS = """
import torch
from torch import nn
from paribus.callbacks.instruments import Instrument, Measured

class Base(nn.Module):
    def __init__(self, in_shape, out_features, activation):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.act = nn.ReLU()
        self.calls = 0
    def forward(self, x):
        return self.c(self.act(self.b(self.act(self.a(x))))).squeeze(1)

class Frozen(Base):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.b.requires_grad_(False)

class Unused(Base):
    def forward(self, x):
        return self.c(self.act(self.a(x))).squeeze(1)

class InPlace(Base):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.act = nn.ReLU(inplace=True)

class Shared(Base):
    def forward(self, x):
        return self.c(self.act(self.b(self.act(self.b(self.act(self.a(x))))))).squeeze(1)

class Breaks(nn.Module):
    # passes on what it gets, but NaN while `now`
    now = False
    def forward(self, x):
        return x * torch.nan if self.now else x

class OneLayerBreaks(Base):
    when = range(3, 99)
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.breaks = Breaks()
    def forward(self, x):
        self.calls += self.training
        self.breaks.now = self.training and self.calls in self.when
        return self.c(self.act(self.breaks(self.b(self.act(self.a(x)))))).squeeze(1)

class BreaksOnce(OneLayerBreaks):
    when = (3,)

class Root(Base):
    # at 0 the square root is finite, and its derivative is not
    def forward(self, x):
        self.calls += self.training
        h = self.act(self.b(self.act(self.a(x))))
        y = self.c(h).squeeze(1)
        return y + torch.sqrt(0 * h.sum(1)) if self.training and self.calls == 2 else y

class Large(Base):
    # a finite output, whose square is beyond the type
    def forward(self, x):
        self.calls += self.training
        y = super().forward(x)
        return y * 1e25 if self.training and self.calls == 2 else y

class Largest(Instrument):
    def measure(self, epoch):
        values = torch.stack([layer.weight.abs().max() for layer in self.learner.layers])
        yield Measured("weight_largest", "weight", self.learner.layers, values)
"""


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[str, ...]]:
    (tmp_path / "networks.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "networks", raising=False)
    folder = tmp_path / "own" / "model"
    folder.mkdir(parents=True)

    def chosen(name: str) -> tuple[str, ...]:
        (folder / "mine.yaml").write_text(
            "# @package _global_\ndefaults: [{/data@_global_.data: concrete}, _self_]\n"
            f"model: {{_target_: networks.{name}, init: torch, loss: mse}}\n"
            "default_epochs: 2\ndefault_lr: {adam: 0.01, sgd: 0.01}\n"
        )
        return (f"--config-dir={tmp_path / 'own'}", "model=mine", "threads=1")

    return chosen


def test_a_frozen_layer_has_no_gradient_and_does_not_move(train: Train, networks: Any) -> None:
    directory = train(*networks("Frozen"))
    values = as_dict(layers(directory))
    assert not [key for key in values if key[1] == "b" and key[3].startswith("grad")]
    assert values[2, "b", "weight", "update_ratio"] == 0
    assert values[2, "b", "weight", "weight_norm"] == values[0, "b", "weight", "weight_norm"]
    assert values[2, "a", "weight", "grad_mean_abs"] > 0
    assert "frozen layers: b" in (directory / record.LOG).read_text()


def test_a_layer_that_the_loss_does_not_depend_on_has_a_gradient_of_zero(train: Train, networks: Any) -> None:
    frame = layers(train(*networks("Unused")))
    values = as_dict(frame)
    assert values[1, "b", "weight", "grad_mean_abs"] == 0
    assert values[1, "b", "weight", "grad_zero_fraction"] == 1
    assert frame.groupby("layer", observed=True).depth.first().to_dict() == {"a": 0, "c": 1, "b": 2}


def test_an_activation_in_place_makes_no_difference(train: Train, networks: Any) -> None:
    plain = as_dict(layers(train(*networks("Base"), directory="plain")))
    assert as_dict(layers(train(*networks("InPlace"), directory="in-place"))) == plain
    assert plain[0, "a", "activation", "activation_mean"] > 0


def test_a_shared_layer_is_one_layer(train: Train, networks: Any) -> None:
    frame = layers(train(*networks("Shared")))
    assert frame.groupby("layer", observed=True).depth.first().to_dict() == {"a": 0, "b": 1, "c": 2}
    assert as_dict(frame)  # nothing twice


def test_an_instrument_of_ones_own_is_one_class_and_one_yaml(train: Train, networks: Any, tmp_path: Path) -> None:
    arguments = networks("Base")
    (tmp_path / "own" / "callbacks").mkdir()
    own = "defaults: [default, _self_]\nlargest: {_target_: networks.Largest}\n"
    (tmp_path / "own" / "callbacks" / "mine.yaml").write_text(own)
    directory = train(*arguments, "callbacks=mine")
    frame = layers(directory)
    assert set(frame[frame.quantity == "weight_largest"].epoch) == {0, 1, 2}
    with np.load(directory / record.WEIGHTS) as weights:
        assert as_dict(frame)[2, "a", "weight", "weight_largest"] == np.abs(weights["after/a"]).max()


def test_what_is_no_callback_is_refused(train: Train, capsys: Any) -> None:
    train(*SHORT, "+callbacks.x._target_=torch.nn.ReLU", code=1)
    assert "error: callbacks.x is a ReLU, no instrument" in capsys.readouterr().err


# --- where a run broke


@pytest.mark.parametrize("look", ["true", "false"])
def test_the_layer_that_broke_first_is_named(train: Train, networks: Any, look: str, capsys: Any) -> None:
    directory = train(*networks("OneLayerBreaks"), f"+callbacks.divergence.look={look}")
    summary = record.read_summary(directory)
    assert summary["status"] == "diverged"
    assert summary["diverged"] == {"epoch": 1, "step": 3, "layer": "b", "tensor": "activation"}
    assert "epoch 1, step 3; the activation of b was not either" in capsys.readouterr().out
    # what was broken is on record, not dropped
    values = as_dict(layers(directory))
    assert np.isnan(values[1, "a", "weight", "grad_mean_abs"])
    assert np.isnan(values[1, "a", "weight", "weight_norm"])


def test_an_output_that_breaks_once_and_not_again_is_blamed_itself(train: Train, networks: Any) -> None:
    at = record.read_summary(train(*networks("BreaksOnce")))["diverged"]
    assert at == {"epoch": 1, "step": 3, "layer": "c", "tensor": "activation"}


@pytest.mark.parametrize("look", ["true", "false"])
def test_accumulated_batches_belong_to_their_step(train: Train, networks: Any, look: str) -> None:
    directory = train(
        *networks("OneLayerBreaks"), f"+callbacks.divergence.look={look}", "+trainer.accumulate_grad_batches=2"
    )
    assert record.read_summary(directory)["diverged"] == {"epoch": 1, "step": 2, "layer": "b", "tensor": "activation"}


def test_a_gradient_that_is_no_number_is_blamed_where_activations_are_sound(train: Train, networks: Any) -> None:
    directory = train(*networks("Root"))
    assert record.read_summary(directory)["diverged"] == {"epoch": 1, "step": 2, "layer": "b", "tensor": "gradient"}
    without = train(*networks("Root"), "callbacks=none", directory="none")
    assert record.read_summary(without)["diverged"] == {"epoch": 1, "step": 3}, "the first loss of the broken weights"


@pytest.mark.parametrize("look", ["true", "false"])
def test_a_loss_beyond_its_type_is_blamed_on_the_gradient_nearest_the_output(
    train: Train, networks: Any, look: str
) -> None:
    directory = train(*networks("Large"), f"+callbacks.divergence.look={look}")
    assert record.read_summary(directory)["diverged"] == {"epoch": 1, "step": 2, "layer": "c", "tensor": "gradient"}


# --- mixed precision: the loss is scaled, gradients are recorded as they are


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lightning offers 16-mixed for GPUs only; its plugin with torch's scaler for the CPU does the same here."""
    from lightning.pytorch.plugins import MixedPrecision

    from paribus import run

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
    plain = as_dict(layers(train(*SHORT, *clip, directory="plain")))
    scaled(16.0)
    mixed = as_dict(layers(train(*SHORT, *clip, directory="mixed")))
    assert set(mixed) == set(plain)
    for key, value in plain.items():
        if key[3] in ("grad_mean_abs", "grad_norm") and key[2] == "weight":
            assert mixed[key] == pytest.approx(value, rel=0.05), key


def test_steps_that_the_scaler_skips_neither_count_nor_diverge(train: Train, scaled: Any) -> None:
    scaled(2.0**20)  # overflows until the scaler has come down
    directory = train(*SHORT, "optim=sgd", "optim.lr=1e-6", UNFUSED, "callbacks.gradients.every_n_steps=1")
    assert record.read_summary(directory)["status"] == "completed"
    values = as_dict(layers(directory))
    assert values[1, "linear1", "weight", "update_ratio"] == 0, "the first step was skipped"
    assert np.isfinite([values[epoch, "linear1", "weight", "grad_mean_abs"] for epoch in (1, 2, 3)]).all()


def test_a_fused_optimizer_would_hide_true_gradients_and_is_refused(train: Train, scaled: Any, capsys: Any) -> None:
    scaled(1024.0)
    train(*SHORT, "+optim.fused=true", code=1)
    assert "Leave optim.fused out" in capsys.readouterr().err


def test_bfloat16_weights_are_measured(train: Train) -> None:
    directory = train(*SHORT, "trainer.precision=bf16-true")
    assert all(np.isfinite(value) for value in as_dict(layers(directory)).values())
    assert len(pandas.read_parquet(directory / record.PREDICTIONS)) == 722 + 154


# --- depth, as in the report


def test_gradients_vanish_in_a_net_of_128_layers_and_not_in_one_of_4(train: Train) -> None:
    last = {}
    for depth in (4, 128):
        size = ("model.width=32", f"model.depth={depth}", "trainer.max_epochs=8")
        directory = train("model=regression", *size, directory=str(depth))
        frame = layers(directory)
        chosen = frame[(frame.epoch == 8) & (frame.quantity == "grad_mean_abs") & (frame.tensor == "weight")]
        last[depth] = chosen.sort_values("depth").value.to_numpy()
        assert len(last[depth]) == depth + 1
        statistics = record.read_summary(directory)["statistics"]
        learnt = statistics["best_val_loss"] < 0.8 * statistics["baseline_val_loss"]
        assert learnt == (depth == 4)
    assert last[128][:100].max() < 1e-3 * last[128][-3:].max()
    assert last[4][0] > 1e-2 * last[4][-1]
