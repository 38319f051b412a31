"""Build the parts of a run from its resolved configuration: data, network, learner, callbacks, loggers, trainer."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, ProgressBar, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from torch import nn

from paribus.config.targets import find_kind, find_target
from paribus.data.foreign import ForeignData, find_adapter
from paribus.data.module import InMemory
from paribus.errors import UserError, unknown_name
from paribus.instruments.instrument import Instrument
from paribus.loggers.tensorboard import TensorBoard
from paribus.models.initialisation import initialise
from paribus.models.layers import Call
from paribus.randomness import derive_seed, restoring_seed_variables, seed_globally
from paribus.record import resolve_seeds
from paribus.run.checks import check_memory, check_outputs, inspect_network
from paribus.run.criteria import build_loss, build_metrics
from paribus.run.factory import is_foreign, make_factory
from paribus.run.optimization import check_optimizer, make_optimizer_factory, plan_schedule
from paribus.training.learner import Learner, find_learner
from paribus.training.steps import Steps, StepsInEpoch
from paribus.training.stopping import StopAtStep
from paribus.training.trained import Trained


def build_data(config: Mapping[str, Any]) -> InMemory | ForeignData:
    """Build the data module of `config` without reading data."""
    kind = find_kind(config["data"].get("_target_"), "data", (lightning.LightningDataModule,))
    node, seeds = dict(config["data"]), resolve_seeds(config)
    if node.get("seed") is not None:
        node["seed"] = seeds["split"]
    if issubclass(kind, InMemory) and not is_foreign(config):
        in_memory = make_factory("data", node, InMemory)()  # type: ignore[type-abstract]
        in_memory.order_seed, in_memory.augmentation_seed = seeds["order"], seeds["augmentation"]
        return in_memory
    if issubclass(kind, InMemory) and node.get("average_flips"):
        raise UserError(
            "data.average_flips is for networks that Paribus validates; a LightningModule of your own has its own "
            "validation_step. Set data.average_flips=false."
        )
    seed = config["seed"] if (config.get("seeds") or {}).get("split") is None else seeds["split"]
    adapter = None if issubclass(kind, InMemory) else find_adapter(node.pop("adapter", None))
    with restoring_seed_variables():
        seed_globally(seed, "split")
        return ForeignData(make_factory("data", node, lightning.LightningDataModule)(), adapter, seed)


def build_network(config: Mapping[str, Any], data: InMemory | ForeignData) -> nn.Module:
    """Build the network of `config` for the shapes of `data`; draw initial weights from torch's generator.

    A model of the user's whose YAML has no `init` keeps the weights that its constructor gives it.
    """
    node = {key: value for key, value in config["model"].items() if key not in ("init", "loss")}
    activation = make_factory("activation", config["activation"], nn.Module)
    make_network = partial(
        make_factory("model", node, nn.Module),
        in_shape=data.in_shape,
        out_features=1 if build_loss(config, data).binary else data.out_features,
        activation=activation,
    )
    if str(node["_target_"]).startswith("paribus."):
        check_memory(make_network)
    network = make_network()
    initialise(network, config["model"].get("init", "torch"), activation())
    return network


def build_learner(config: Mapping[str, Any], network: nn.Module, data: InMemory | ForeignData) -> Learner:
    """Build the learner for the loss, with the metrics. Raises UserError where these do not fit the data."""
    if config["optim"].get("_target_") is None:
        raise UserError(
            f"optim=own is for a LightningModule, which configures its optimizers itself; {type(network).__name__} is "
            "a network without any. Choose an optimizer: optim=adam."
        )
    loss = build_loss(config, data)
    metrics = build_metrics(config, loss, data)
    make_optimizer, plan = make_optimizer_factory(config), plan_schedule(config)
    seed = resolve_seeds(config)["dropout"]
    learner = find_learner(loss)(network, loss, make_optimizer, plan.make, plan.interval, seed, metrics)
    learner.monitor, learner.average_flips = plan.monitor, data.average_flips
    return learner


def build_initial(config: Mapping[str, Any], data: InMemory | ForeignData) -> tuple[Learner, list[Call]]:
    """Build the learner and its untrained network; also return the module calls of a forward pass of two samples."""
    if isinstance(data, ForeignData):
        data.require_pairs()
    torch.manual_seed(derive_seed(resolve_seeds(config)["weights"], "weights"))
    network = build_network(config, data)
    learner = build_learner(config, network, data)
    check_optimizer(config, network)
    calls, output = inspect_network(network, data, learner.loss)
    check_outputs(learner.loss, output, data)
    return learner, calls


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
        others.append(make_factory("averaging", config["averaging"], WeightAveraging)())
    return instruments, others


def build_steps_in_epoch(
    instruments: Mapping[str, Instrument], trained: Trained, data: InMemory | ForeignData
) -> StepsInEpoch | None:
    """Build the callback that records steps, where one of the instruments is Steps. Every rank of a run needs it."""
    steps = next((instrument for instrument in instruments.values() if isinstance(instrument, Steps)), None)
    return None if steps is None else StepsInEpoch(steps, trained, data)


def build_loggers(config: Mapping[str, Any], directory: Path, in_study: bool = False) -> list[Logger]:
    """Build the configured loggers; one whose save_dir is not given writes to `directory`, that of the run."""
    kind: Any = Logger
    loggers = []
    for name, node in config["logger"].items():
        make_logger = make_factory(f"logger.{name}", node, kind)
        takes_directory = "save_dir" in signature(find_target(node["_target_"], f"logger.{name}", (kind,))).parameters
        given: dict[str, Any] = {} if node.get("save_dir") or not takes_directory else {"save_dir": str(directory)}
        logger = make_logger(**given)
        if isinstance(logger, CSVLogger) and Path(logger.log_dir).absolute() == directory.absolute():
            raise UserError(f"logger.{name} would write over the record's own metrics.csv. Give it another save_dir.")
        if isinstance(logger, TensorBoard):
            logger.in_study = in_study
        loggers.append(logger)
    return loggers


def build_trainer(
    config: Mapping[str, Any],
    directory: Path,
    callbacks: list[lightning.Callback],
    in_study: bool = False,
    loggers: list[Logger] | None = None,
) -> lightning.Trainer:
    """Build Lightning's trainer with `callbacks` and `loggers`; None: the configured ones."""
    require_accelerator(config)
    loggers = build_loggers(config, directory, in_study) if loggers is None else loggers
    options = config["trainer"]
    profiler = options.get("profiler") or NoProfiler()
    if isinstance(profiler, str):
        profiler = build_profiler(profiler, directory)
    chosen: dict[str, Any] = {} if isinstance(profiler, Mapping) else {"profiler": profiler}
    if options.get("max_steps") not in (None, -1):
        callbacks = [*callbacks, StopAtStep(options["max_steps"])]
    make_trainer = make_factory("trainer", options, lightning.Trainer)
    return make_trainer(
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=str(directory),
        # False without a Checkpoint callback: Lightning would add its own, larger and written more often
        enable_checkpointing=any(isinstance(callback, Checkpoint) for callback in callbacks),
        # only if asked for: it costs more per step than a small network
        enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
        enable_model_summary=False,
        num_sanity_val_steps=0,  # inspect_network has tried the network already
        **chosen,
    )


def build_profiler(name: str, directory: Path) -> Profiler:
    """Build Lightning's profiler of that name, which writes its report into the run's directory."""
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    if name not in kinds:
        raise unknown_name(name, "trainer.profiler", kinds)
    return kinds[name](dirpath=directory, filename="profile")


def require_accelerator(config: Mapping[str, Any]) -> None:
    """Raise UserError where a GPU is asked for and torch finds none."""
    asked = config["trainer"].get("accelerator")
    if asked in ("gpu", "cuda", "mps") and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise UserError(
            f"trainer.accelerator is {asked!r}, and torch finds no GPU here. Choose trainer=cpu, or trainer=auto, "
            "which takes a GPU where there is one."
        )


def check_devices(trainer: lightning.Trainer, config: Mapping[str, Any], processes: int) -> None:
    """Raise UserError where the trainer has more devices than the run has processes."""
    if trainer.world_size != processes:
        raise UserError(
            f"trainer.devices={config['trainer']['devices']}: a run trains on one device. To train on several, choose "
            "trainer=ddp."
        )


class NoProfiler(Profiler):
    """A profiler that measures nothing. Lightning enters one 40 times a step; its default creates a generator each."""

    def profile(self, action_name: str) -> Any:
        return nullcontext()

    def start(self, action_name: str) -> None: ...

    def stop(self, action_name: str) -> None: ...
