"""Build the parts of a run from its resolved configuration: data, network, learner, callbacks, loggers, trainer."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from torch import nn

from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.instruments.instrument import Instrument
from paribus.models.initialisation import initialise
from paribus.models.layers import Call
from paribus.randomness import derive_seed
from paribus.run.checks import inspect_network
from paribus.run.factory import make_factory
from paribus.run.optimization import check_optimizer, make_optimizer_factory, plan_schedule
from paribus.training.learner import Learner, find_learner


def build_data(config: Mapping[str, Any]) -> InMemory:
    """Build the data module of `config` without reading data."""
    return make_factory("data", config["data"], InMemory)()  # type: ignore[type-abstract]


def build_network(config: Mapping[str, Any], data: InMemory) -> nn.Module:
    """Build the network of `config` for the shapes of `data`; draw initial weights from torch's generator."""
    node = {key: value for key, value in config["model"].items() if key not in ("init", "loss")}
    activation = make_factory("activation", config["activation"], nn.Module)
    make_network = make_factory("model", node, nn.Module)
    network = make_network(in_shape=data.in_shape, out_features=data.out_features, activation=activation)
    if isinstance(network, lightning.LightningModule):
        raise UserError(
            f"model._target_: {type(network).__name__} is a LightningModule, whose training_step would not be called. "
            "Give the plain network (nn.Module) in it."
        )
    initialise(network, config["model"]["init"], activation())
    return network


def build_learner(config: Mapping[str, Any], network: nn.Module, data: InMemory) -> Learner:
    """Build the learner for the model's loss. Raises UserError where the loss does not fit the task of the data."""
    loss = config["model"]["loss"]
    kind = find_learner(loss)
    if kind.task != data.task:
        raise UserError(
            f"model.loss={loss} is for {kind.task}, but {type(data).__name__} is data for {data.task}. "
            "Choose the model for the task (model=regression for numbers, mlp or vgg6 for classes), or other data."
        )
    plan = plan_schedule(config)
    learner = kind(network, loss, make_optimizer_factory(config), plan.make, plan.interval, config["seed"])
    learner.monitor = plan.monitor
    return learner


def build_initial(config: Mapping[str, Any], data: InMemory) -> tuple[Learner, list[Call]]:
    """Build the learner and its untrained network; also return the module calls of a forward pass of two samples."""
    torch.manual_seed(derive_seed(config["seed"], "weights"))
    network = build_network(config, data)
    learner = build_learner(config, network, data)
    check_optimizer(config, network)
    return learner, inspect_network(network, data)


def try_building(config: Mapping[str, Any], data: InMemory | None = None) -> tuple[InMemory, Learner] | None:
    """Build what a run trains with, and train nothing. Return None where its data have to be downloaded first.

    `data` stands for the data module, where another run has read the same. Raises UserError for what cannot be built.
    """
    build_callbacks(config)
    data = data or build_data(config)
    if not data.is_available():
        return None
    data.setup("fit")
    learner, _ = build_initial(config, data)
    optimizer = learner.build_optimizer(learner.parameters())
    if learner.make_scheduler is not None:
        steps = -(-len(data.train_dataloader()) // (config["trainer"].get("accumulate_grad_batches") or 1))
        learner.make_scheduler(optimizer, steps * config["trainer"]["max_epochs"])
    return data, learner


def build_callbacks(config: Mapping[str, Any]) -> tuple[dict[str, Instrument], list[lightning.Callback]]:
    """Build the configured callbacks; return instruments by name, and Lightning callbacks."""
    instruments: dict[str, Instrument] = {}
    others: list[lightning.Callback] = []
    for name, node in config["callbacks"].items():
        built: Any = make_factory(f"callbacks.{name}", node, Instrument, lightning.Callback)()
        if isinstance(built, Instrument):
            instruments[name] = built
        else:
            others.append(built)
    if config.get("averaging") is not None:
        others.append(build_averaging(config))
    return instruments, others


def build_averaging(config: Mapping[str, Any]) -> WeightAveraging:
    """Build the callback that averages the weights."""
    return make_factory("averaging", config["averaging"], WeightAveraging)()


def build_loggers(config: Mapping[str, Any], directory: Path) -> list[Logger]:
    """Build the configured loggers, which write to `directory`."""
    kind: Any = Logger
    factories = [make_factory(f"logger.{name}", node, kind) for name, node in config["logger"].items()]
    return [make_logger(save_dir=str(directory)) for make_logger in factories]


def build_trainer(
    config: Mapping[str, Any],
    directory: Path,
    callbacks: list[lightning.Callback],
) -> lightning.Trainer:
    """Build Lightning's trainer with `callbacks` and the configured loggers."""
    loggers = build_loggers(config, directory)
    make_trainer = make_factory("trainer", config["trainer"], lightning.Trainer)
    profiler: dict[str, Any] = {} if "profiler" in config["trainer"] else {"profiler": NoProfiler()}
    return make_trainer(
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=str(directory),
        # False without a Checkpoint callback: Lightning would add its own, larger and written more often
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        enable_progress_bar=False,  # costs more per step than a small network
        enable_model_summary=False,
        num_sanity_val_steps=0,  # inspect_network has tried the network already
        **profiler,
    )


class NoProfiler(Profiler):
    """A profiler that measures nothing. Lightning enters one 40 times a step; its default creates a generator each."""

    def profile(self, action_name: str) -> Any:
        return nullcontext()

    def start(self, action_name: str) -> None: ...

    def stop(self, action_name: str) -> None: ...
