"""Every option of every group composes and can be built; what cannot be right is refused."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from paribus.config.compose import to_resolved
from paribus.run.build import build_learner, build_network
from paribus.run.factory import make_factory

pytestmark = [pytest.mark.slow, pytest.mark.cases(999)]

OPTIONS = {
    group.name: sorted(path.stem for path in group.glob("*.yaml"))
    for group in (ROOT / "conf").iterdir()
    if group.is_dir() and group.name != "hydra"
}
# Those of version 0.1; for the others see test_optimizers.py and test_schedules.py.
FIRST = {
    "optim": ("sgd", "sgd_momentum", "nesterov", "adam", "adamw", "nadam", "adagrad", "rmsprop"),
    "scheduler": ("none", "step", "cosine", "exponential", "onecycle"),
}
OPTIONS["optim"].remove("own")  # of LightningModules: tests/foreign


def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return to_resolved(compose("train", list(overrides)))


class Shapes:
    """Stands for a data module where only its shapes matter."""

    average_flips = False

    def __init__(self, config: dict[str, Any]):
        self.task = "regression" if config["loss"]["_target_"] == "torch.nn.MSELoss" else "classification"
        self.in_shape, self.out_features = ((8,), 1) if self.task == "regression" else ((3, 8, 8), 10)


def test_the_promised_options_exist() -> None:
    promised = {
        "activation": {"relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh"},
        "optim": {"sgd", "sgd_momentum", "nesterov", "adam", "adamw", "nadam", "adagrad", "rmsprop"},
        "scheduler": {"none", "step", "cosine", "exponential", "onecycle"},
        "model": {"mlp", "vgg6", "regression"},
        "data": {"fashion_mnist", "cifar10", "concrete"},
        "trainer": {"auto", "cpu", "gpu"},
        "logger": {"tensorboard", "wandb", "none"},
        "callbacks": {"none", "default"},
        "loss": {"cross_entropy", "bce", "nll", "mse", "mae", "huber", "smooth_l1", "poisson", "quantile"},
        "metrics": {"accuracy", "top_k", "f1", "auroc", "calibration_error", "mse", "mae", "rmse", "r2"},
    }
    for group, names in promised.items():
        assert names <= set(OPTIONS[group]), group


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first.startswith("# ")
    assert len(first) > 20


MOST = max(len(options) for group, options in OPTIONS.items() if group != "experiment")


@pytest.mark.parametrize(
    "chosen",
    [{group: o[i % len(o)] for group, o in OPTIONS.items() if group != "experiment"} for i in range(MOST)]
    + [{"experiment": option} for option in OPTIONS["experiment"]],
    ids=[*range(MOST), *OPTIONS["experiment"]],
)
def test_every_option_composes(chosen: dict[str, str]) -> None:
    """Those of different groups together."""
    config = composed(*(f"{group}={option}" for group, option in chosen.items()))
    assert set(config) >= {"seed", "model", "data", "activation", "optim", "scheduler", "trainer"}


@pytest.mark.parametrize(
    ("model", "activation"),
    [
        *product(["regression"], OPTIONS["activation"]),
        *product(["mlp", "vgg6"], ["relu", "leaky_relu", "prelu", "sine"]),
    ],
)
def test_every_activation_is_what_stands_in_the_network(model: str, activation: str) -> None:
    config = composed(f"model={model}", f"activation={activation}")
    network = build_network(config, Shapes(config))  # type: ignore[arg-type]
    kind = config["activation"]["_target_"].rpartition(".")[2]
    found = [m for name, m in network.named_modules() if name.startswith("activation")]
    assert len(found) == {"mlp": 2, "vgg6": 6, "regression": 2}[model]
    assert {type(m).__name__ for m in found} == {kind}
    assert len({id(m) for m in found}) == len(found), "each layer has its own"
    if activation == "leaky_relu":
        assert found[0].negative_slope == 0.1


@pytest.mark.parametrize(
    ("model", "optim"), [*product(["regression"], FIRST["optim"]), *product(["mlp", "vgg6"], ["sgd_momentum", "adam"])]
)
def test_every_optimizer_has_the_models_rate(model: str, optim: str) -> None:
    config = composed(f"model={model}", f"optim={optim}")
    optimizer = make_factory("optim", config["optim"], torch.optim.Optimizer)([nn.Parameter(torch.zeros(1))])
    group = optimizer.param_groups[0]
    assert group["lr"] == config["default_lr"].get(optim, config["optim"]["lr"])
    expected = {"sgd": (torch.optim.SGD, 0, False), "sgd_momentum": (torch.optim.SGD, 0.9, False),
                "nesterov": (torch.optim.SGD, 0.9, True)}  # fmt: skip
    if optim in expected:
        kind, momentum, nesterov = expected[optim]
        assert (type(optimizer), group["momentum"], group["nesterov"]) == (kind, momentum, nesterov)
    else:
        assert type(optimizer).__name__.lower() == optim


@pytest.mark.parametrize("optim", ["sgd_momentum", "adam", "rmsprop"])
@pytest.mark.parametrize("scheduler", FIRST["scheduler"])
def test_every_scheduler_works_with_every_optimizer(scheduler: str, optim: str) -> None:
    config = composed("model=regression", f"scheduler={scheduler}", f"optim={optim}", "trainer.max_epochs=6")
    shapes: Any = Shapes(config)
    learner = build_learner(config, build_network(config, shapes), shapes)
    optimizer = learner.make_optimizer(learner.network.parameters())
    lr = optimizer.param_groups[0]["lr"]
    if scheduler == "none":
        assert learner.make_scheduler is None
        return
    assert learner.make_scheduler is not None
    schedule = learner.make_scheduler(optimizer, 12)
    assert learner.interval == ("step" if scheduler == "onecycle" else "epoch")
    rates = []
    for _ in range(12 if scheduler == "onecycle" else 6):
        rates.append(optimizer.param_groups[0]["lr"] / lr)
        optimizer.step()
        if len(rates) < 12:
            schedule.step()
    cosine = [(1 + torch.cos(torch.tensor(torch.pi * i / 6)).item()) / 2 for i in range(6)]
    expected = {"step": [1, 1, 0.1, 0.1, 0.01, 0.01], "cosine": cosine, "exponential": [0.9**i for i in range(6)]}
    if scheduler == "onecycle":
        assert max(rates) == pytest.approx(1, rel=0.05)
        assert rates[-1] == pytest.approx(1 / 25 / 1e4)
    else:
        assert rates == pytest.approx(expected[scheduler], rel=1e-6)


@pytest.mark.parametrize(("model", "expected"), [
    ("mlp", ("fashion_mnist", 1e-3, 128, 30)), ("vgg6", ("cifar10", 1e-3, 128, 30)), ("regression", ("concrete", 1e-2, 64, 300)),
])  # fmt: skip
def test_a_models_name_alone_means_its_reports_set_up(model: str, expected: tuple) -> None:
    config = composed(f"model={model}")
    name = config["data"]["_target_"].split(".")[2]
    assert (name, config["optim"]["lr"], config["data"]["batch_size"], config["trainer"]["max_epochs"]) == expected
    assert config["activation"]["_target_"] == "torch.nn.ReLU"
    assert config["optim"]["_target_"] == "torch.optim.Adam"


def test_the_command_line_wins_over_what_a_model_brings() -> None:
    config = composed("model=vgg6", "data=fashion_mnist", "optim.lr=0.5", "trainer.max_epochs=2", "data.batch_size=3")
    assert config["data"]["_target_"].endswith("FashionMNIST")
    assert (config["optim"]["lr"], config["trainer"]["max_epochs"], config["data"]["batch_size"]) == (0.5, 2, 3)


def test_width_and_depth_are_written_out() -> None:
    assert composed("model=regression", "model.width=32", "model.depth=3")["model"]["hidden"] == [32, 32, 32]


def test_data_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert composed()["data"]["root"] == "data"
    monkeypatch.setenv("PARIBUS_DATA", "/somewhere")
    assert composed()["data"]["root"] == "/somewhere"
    assert composed("data.root=here")["data"]["root"] == "here"


def test_configurations_are_plain_values() -> None:
    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(plain(v) for v in value.values())
        if isinstance(value, list):
            return all(plain(v) for v in value)
        return value is None or type(value) in (bool, int, float, str)

    config = composed("model=vgg6")
    assert plain(config)
    assert not OmegaConf.is_config(config)
