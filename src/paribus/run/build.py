"""Build the parts of a run from its resolved configuration: data, network, learner, callbacks, loggers, trainer."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.profilers import Profiler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from paribus.config.targets import find_kind
from paribus.data.foreign import ForeignData, find_adapter
from paribus.data.module import InMemory
from paribus.errors import UserError, unknown_name
from paribus.instruments.instrument import Instrument
from paribus.models.initialisation import initialise
from paribus.models.layers import Call
from paribus.randomness import derive_seed, restoring_seed_variables, seed_globally
from paribus.run.checks import inspect_network
from paribus.run.factory import is_foreign, make_factory
from paribus.training.learner import Learner, find_learner


def build_data(config: Mapping[str, Any]) -> InMemory | ForeignData:
    """Build the data module of `config` without reading data."""
    kind = find_kind(config["data"].get("_target_"), "data", (lightning.LightningDataModule,))
    if issubclass(kind, InMemory) and not is_foreign(config):
        return make_factory("data", config["data"], InMemory)()  # type: ignore[type-abstract]
    node = dict(config["data"])
    adapter = None if issubclass(kind, InMemory) else find_adapter(node.pop("adapter", None))
    with restoring_seed_variables():
        seed_globally(config["seed"], "split")
        return ForeignData(make_factory("data", node, lightning.LightningDataModule)(), adapter, config["seed"])


def build_network(config: Mapping[str, Any], data: InMemory | ForeignData) -> nn.Module:
    """Build the network of `config` for the shapes of `data`; draw initial weights from torch's generator."""
    node = {key: value for key, value in config["model"].items() if key not in ("init", "loss")}
    activation = make_factory("activation", config["activation"], nn.Module)
    make_network = make_factory("model", node, nn.Module)
    network = make_network(in_shape=data.in_shape, out_features=data.out_features, activation=activation)
    initialise(network, config["model"]["init"], activation())
    return network


def build_learner(config: Mapping[str, Any], network: nn.Module, data: InMemory | ForeignData) -> Learner:
    """Build the learner for the model's loss. Raises UserError where the loss does not fit the task of the data."""
    loss = config["model"]["loss"]
    kind = find_learner(loss)
    if kind.task != data.task:
        name = data.name if isinstance(data, ForeignData) else type(data).__name__
        raise UserError(
            f"model.loss={loss} is for {kind.task}, but {name} is data for {data.task}. "
            "Choose the model for the task (model=regression for numbers, mlp or vgg6 for classes), or other data."
        )
    return kind(network, loss, *make_optimization(config, type(network).__name__), config["seed"])


def make_optimization(config: Mapping[str, Any], whose: str) -> tuple[Any, Any, str]:
    """Return the factories of optimizer and scheduler (or None), and the interval of the scheduler; see Learner."""
    if config["optim"].get("_target_") is None:
        raise UserError(
            f"optim=own is for a LightningModule, which configures its optimizers itself; {whose} is a network without "
            "any. Choose an optimizer: optim=adam."
        )
    make_optimizer = make_factory("optim", config["optim"], Optimizer)
    node = dict(config["scheduler"])
    interval = node.pop("interval", "epoch")
    if interval not in ("epoch", "step"):
        raise unknown_name(interval, "scheduler.interval", ("epoch", "step"))
    make_scheduler = None if node["_target_"] is None else _make_scheduler_factory(node)
    return make_optimizer, make_scheduler, interval


def _make_scheduler_factory(node: Mapping[str, Any]) -> Callable[[Optimizer, int], LRScheduler]:
    """Return a function that builds the scheduler from an optimizer and the run's number of steps."""
    factory = make_factory("scheduler", node, LRScheduler)

    def make_scheduler(optimizer: Optimizer, total_steps: int) -> LRScheduler:
        if "total_steps" not in node:
            return factory(optimizer)
        if node["total_steps"] is None:
            return factory(optimizer, total_steps=total_steps)
        if node["total_steps"] < total_steps:
            raise UserError(
                f"scheduler.total_steps is {node['total_steps']}, but the run has {total_steps} steps. "
                "Leave it out: the run counts them."
            )
        return factory(optimizer)

    return make_scheduler


def build_initial(config: Mapping[str, Any], data: InMemory | ForeignData) -> tuple[Learner, list[Call]]:
    """Build the learner and its untrained network; also return the module calls of a forward pass of two samples."""
    if isinstance(data, ForeignData):
        data.require_pairs()
    torch.manual_seed(derive_seed(config["seed"], "weights"))
    network = build_network(config, data)
    learner = build_learner(config, network, data)
    return learner, inspect_network(network, data)


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
    return instruments, others


def build_loggers(config: Mapping[str, Any], directory: Path) -> list[Logger]:
    """Build the configured loggers, which write to `directory`."""
    kind: Any = Logger
    factories = [make_factory(f"logger.{name}", node, kind) for name, node in config["logger"].items()]
    return [make_logger(save_dir=str(directory)) for make_logger in factories]


def build_trainer(
    config: Mapping[str, Any],
    directory: Path,
    callbacks: list[lightning.Callback],
    loggers: list[Logger] | None = None,
) -> lightning.Trainer:
    """Build Lightning's trainer with `callbacks` and `loggers`; None: the configured ones."""
    loggers = build_loggers(config, directory) if loggers is None else loggers
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
