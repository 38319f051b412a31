"""Build a LightningModule that is none of Paribus' own, and try it on a batch before it is trained."""

import inspect
import logging
import re
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
import lightning
import torch
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from torch import nn
from torchmetrics import Metric

from paribus.config.targets import find_kind
from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.models.layers import Call, evaluation_mode, recording_calls
from paribus.randomness import seed_globally
from paribus.record import resolve_seeds
from paribus.run.build import build_trainer
from paribus.run.factory import is_foreign, make_factory
from paribus.run.optimization import make_optimizer_factory, plan_schedule
from paribus.training.foreign import ForeignLearner
from paribus.training.learner import Regressor
from paribus.training.logged import LoggedValues
from paribus.training.losses import Loss

log = logging.getLogger(__name__)


def build_module(config: Mapping[str, Any], data: ForeignData) -> lightning.LightningModule:
    """Build the LightningModule with the initial weights of the run's seed.

    Its arguments are the values of `model`; in_shape, out_features and activation are added where it takes them.
    """
    node = config["model"]
    kind: Any = lightning.LightningModule
    make_module = make_factory("model", node, kind)
    found = find_kind(node["_target_"], "model", (kind,))
    accepted = set(inspect.signature(found).parameters) - set(node)
    given: dict[str, Any] = {}
    for name in ("in_shape", "out_features"):
        if name in accepted:
            given[name] = getattr(data, name)
    if "activation" in accepted:
        given["activation"] = make_factory("activation", config["activation"], nn.Module)
    seed_globally(resolve_seeds(config)["weights"], "weights")
    module: lightning.LightningModule = make_module(**given)
    if config["optim"].get("_target_") is not None:
        if not module.automatic_optimization:
            raise UserError(
                f"{found.__name__} steps its optimizers itself (automatic_optimization is False), so that optim= "
                "cannot replace them. Choose its own: optim=own, or in its YAML `- override /optim: own`."
            )
        _replace_optimizers(config, module)
    elif config["scheduler"].get("_target_") is not None:
        raise UserError(
            f"scheduler= is for the optimizer that optim= names; {found.__name__} brings its own (optim=own). Choose "
            "an optimizer too, or leave scheduler= out."
        )
    return module


def _replace_optimizers(config: Mapping[str, Any], module: lightning.LightningModule) -> None:
    """Have the module trained by the configured optimizer and schedule, as a Learner would configure them."""
    plan = plan_schedule(config)
    loss = Loss(nn.MSELoss, "regression", has_samples=True)  # which is never called
    learner = Regressor(module, loss, make_optimizer_factory(config), plan.make, plan.interval)
    learner.monitor = plan.monitor

    def configure_optimizers() -> Any:
        learner.trainer = module.trainer
        return learner.to(module.device).configure_optimizers()

    module.configure_optimizers = configure_optimizers  # type: ignore[method-assign]


@dataclass(frozen=True)
class Trial:
    """The findings of one training step and one validation step of a module.

    Attributes:
        calls: the calls of its modules in the training step.
        columns: the columns of what it logs, with train/loss where the step returns one.
        optimizers: the number of its optimizers.
        automatic: whether Lightning calls the optimizer.
        takes_inputs: whether its forward takes the inputs of a batch by themselves.
    """

    calls: list[Call]
    columns: tuple[str, ...]
    optimizers: int
    automatic: bool
    takes_inputs: bool


class _Observer(lightning.Callback):
    """Keep what a module calls and logs in a trial."""

    def __init__(self, module: lightning.LightningModule):
        self.learner = ForeignLearner(module, ())
        self.logged = LoggedValues()
        self.columns: tuple[str, ...] = ()
        self.calls: list[Call] = []
        self._step = ExitStack()

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.learner.on_train_batch_start(trainer, module, batch, batch_idx)
        self.calls = self._step.enter_context(recording_calls(module))

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._step.close()
        self.learner.on_train_batch_end(trainer, module, outputs, batch, batch_idx)
        self.logged.add_step(trainer, 1)

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        self.logged.add_epoch(trainer)

    def on_train_end(self, trainer: Trainer, module: Any) -> None:
        means, _ = self.learner.read_epoch()
        self.columns = tuple(dict.fromkeys((*means, *self.logged.read(trainer))))


def try_module(config: Mapping[str, Any], data: ForeignData) -> Trial:
    """Build the module and its optimizers, and let it make a step of training and one of validation.

    It is thrown away; the one that is trained is built anew. Raises UserError where its code fails.
    """
    module = build_module(config, data)
    observer = _Observer(module)
    loggers: list[Logger] = [DummyLogger()] if config["logger"] else []
    step = {**config, "trainer": {**config["trainer"], "fast_dev_run": 1}}
    with warnings.catch_warnings(action="ignore"):  # what concerns the run is said when it is trained
        try:
            trainer = build_trainer(step, Path(), [observer], loggers=loggers)
            trainer.fit(module, datamodule=data.module)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{type(module).__name__} fails in its first step: {_explain(error)}") from error
    return Trial(
        [call for call in observer.calls if not isinstance(call.module, Metric)],
        observer.columns,
        len(trainer.optimizers),
        module.automatic_optimization,
        _takes_inputs(module, data),
    )


def _explain(error: Exception) -> str:
    """Say what an error in somebody's code is, and where it was raised, as far as that is not in a library."""
    libraries = tuple(str(Path(package.__file__).parent) for package in (lightning, torch, hydra))  # type: ignore[arg-type]
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((*libraries, "<"))]
    own = [f for f in frames if f.filename != __file__]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}{where}"


def _takes_inputs(module: lightning.LightningModule, data: ForeignData) -> bool:
    """Return whether the module can be called with the inputs of a validation batch alone."""
    inputs = data.get_first_inputs("val", 2)
    if inputs is None:
        return False
    try:
        with evaluation_mode(module):
            module(inputs.to(module.device))
    except Exception:  # noqa: BLE001  whatever it needs, it is not these inputs
        return False
    return True


def list_limits(module: lightning.LightningModule, trial: Trial, data: ForeignData) -> list[str]:
    """Return a sentence for each thing that cannot be promised for the module."""
    name = type(module).__name__
    limits = [
        f"{name} is a LightningModule of its own: runs are equal to the last digit only as far as its code draws from "
        "the seeded generators and keeps its state in the checkpoint; they are not trained in stacks."
    ]
    if not trial.automatic:
        limits.append(f"{name} steps its optimizers itself.")
    if trial.optimizers > 1:
        limits.append(
            f"It has {trial.optimizers} optimizers: lr is the first one's, gradients are those of the first one's "
            "parameters, and step counts the steps of all."
        )
    if "train/loss" not in trial.columns:
        limits.append("Its training_step returns no loss, and none is logged: there is no train/loss.")
    if not trial.takes_inputs:
        limits.append("It has no forward for a batch's inputs alone: activations are not recorded.")
    return limits


def list_data_limits(data: InMemory | ForeignData) -> list[str]:
    """Return a sentence for each thing that cannot be promised for the data of a Learner."""
    if isinstance(data, InMemory):
        return []
    guess = data.find_guess()
    stack = f"{data.name} has loaders of its own: its runs are not trained in stacks, and have no folds."
    return [stack, *data.list_limits(), *([guess] if guess else [])]


def build_foreign(config: Mapping[str, Any], data: ForeignData) -> tuple[ForeignLearner, list[Call], list[str]]:
    """Build the module that is trained, after a trial; also return the calls of its step, and what is not promised."""
    trial = try_module(config, data)
    data.takes_inputs = trial.takes_inputs
    module = build_module(config, data)
    paths = dict(module.named_modules())
    calls = [replace(call, module=paths[call.path]) for call in trial.calls if call.path in paths]
    limits = [*list_limits(module, trial, data), *data.list_limits()]
    if config["optim"].get("_target_") is not None:
        log.info(
            "configure_optimizers of %s is replaced by optim (%s).", type(module).__name__, config["optim"]["_target_"]
        )
    return ForeignLearner(module, trial.columns), calls, limits


def refuse_activation(overrides: Sequence[str], config: Mapping[str, Any]) -> None:
    """Raise UserError where an activation was chosen for a module that takes none."""
    found = find_kind(config["model"]["_target_"], "model", (lightning.LightningModule,))
    chosen = next((text for text in overrides if re.match(r"activation[.=]", text)), None)
    if chosen is not None and "activation" not in inspect.signature(found).parameters:
        raise UserError(f"{chosen} has no effect: {found.__name__} takes no argument `activation`. Leave it out.")


def refuse_seeds(config: Mapping[str, Any], data: InMemory | ForeignData) -> None:
    """Raise UserError where foreign loaders get several seeds for what they draw from the same generators."""
    given = config.get("seeds") or {}
    seeds = {f"seeds.{name}": given.get(name) for name in ("order", "augmentation", "dropout")}
    if isinstance(data, ForeignData) and len(set(seeds.values())) > 1:
        values = ", ".join(f"{key}={seed}" for key, seed in seeds.items() if seed is not None)
        raise UserError(
            f"{data.name} draws order, augmentation and dropout from the same generators, which have one seed; given "
            f"is {values}. Set seeds.order, seeds.augmentation and seeds.dropout to the same number."
        )


def refuse_ranks(config: Mapping[str, Any], data: InMemory | ForeignData, processes: int) -> None:
    """Raise UserError where several processes would train what Paribus does not share out among them."""
    if processes > 1 and isinstance(data, ForeignData):
        model, ours = str(config["model"]["_target_"]).rpartition(".")[2], not is_foreign(config)
        what = f"the loaders of {data.name}" if ours else f"{model}, a LightningModule of its own"
        raise UserError(f"trainer.devices: a run of several processes does not take {what}. Choose trainer=auto.")
