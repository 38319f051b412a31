"""Build a run's optimizer and its schedule from their nodes of the configuration."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from paribus.config.schedules import WARMUP_KEYS, check_length
from paribus.config.targets import find_target
from paribus.errors import UserError, summarise_error, unknown_name
from paribus.run.factory import make_factory
from paribus.training.evaluated import is_schedule_free
from paribus.training.schedule import Schedule

DEFAULT_WARMUP = 0.05  # share of the run's steps
DIRECTIONS = {"loss": "min", "mse": "min", "mae": "min", "rmse": "min", "acc": "max"}  # of metrics that runs record


def make_optimizer_factory(config: Mapping[str, Any]) -> Callable[[Iterable[Tensor]], Optimizer]:
    """Return a function that builds the optimizer from parameters."""
    make = make_factory("optim", config["optim"], Optimizer)

    def make_optimizer(parameters: Iterable[Tensor]) -> Optimizer:
        optimizer = make(parameters)
        if is_schedule_free(optimizer):
            optimizer.train()  # type: ignore[attr-defined]  # the network holds its trained weights from now on
        return optimizer

    return make_optimizer


def check_optimizer(config: Mapping[str, Any], network: nn.Module) -> None:
    """Raise UserError where torch's optimizer does not take the parameters of `network`: tried on zeros."""
    target = str(config["optim"]["_target_"])
    if not target.startswith("torch.optim."):
        return  # what goes wrong in another one's step may be anything; the log has its traceback then
    parameters = [nn.Parameter(torch.zeros_like(parameter)) for parameter in network.parameters()]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer: Any = make_optimizer_factory(config)(parameters)
        optimizer.step(lambda: torch.zeros(()))
    except (UserError, RuntimeError, ValueError) as error:
        better = "muon, which leaves biases and filters to others" if target.endswith(".Muon") else "adam, for example"
        said = summarise_error(error).removeprefix("optim: ").rstrip(".")
        raise UserError(
            f"optim: {target} cannot train all parameters of this network ({said}). Choose optim={better}."
        ) from error


@dataclass(frozen=True)
class SchedulePlan:
    """The schedule of a run's learning rate.

    Attributes:
        make: makes the scheduler from the optimizer and the number of optimizer steps of the whole run.
        interval: when it steps, every "epoch" or every "step".
        monitor: the metric that it follows at the end of each epoch, if it does; the scheduler is a Schedule then.
    """

    make: Callable[[Optimizer, int], LRScheduler] | None = None
    interval: str = "epoch"
    monitor: str | None = None


def plan_schedule(config: Mapping[str, Any]) -> SchedulePlan:
    """Plan the schedule of a configuration, with its warm-up. Raises UserError for what cannot be combined."""
    node = dict(config["scheduler"])
    interval, monitor = node.pop("interval", "epoch"), node.pop("monitor", None)
    if interval not in ("epoch", "step"):
        raise unknown_name(interval, "scheduler.interval", ("epoch", "step"))
    warmup, epochs, target = config.get("warmup"), config["trainer"]["max_epochs"], node["_target_"]
    if target is None and warmup is None:
        return SchedulePlan()
    follows = target is not None and _follows_metric(target)
    if follows:
        monitor = monitor or "val/loss"
        node["mode"] = node.get("mode") or _find_direction(monitor)
        if interval == "step":
            raise UserError(f"scheduler.interval is step, but {target} looks at {monitor} once an epoch. Leave it out.")
    elif monitor is not None:
        raise UserError(f"scheduler.monitor is {monitor!r}, but {target} follows no metric. Leave it out.")
    make_scheduler = None if target is None else _make_scheduler_factory(node, interval, epochs)
    if warmup is None and not follows:
        return SchedulePlan(make_scheduler, interval)

    def make_schedule(optimizer: Optimizer, total_steps: int) -> LRScheduler:
        length = 1 if warmup is None else count_warmup(warmup, total_steps, epochs)
        scheduler = None if make_scheduler is None else make_scheduler(optimizer, total_steps)
        return Schedule(optimizer, length, scheduler, max(1, total_steps // epochs) if interval == "epoch" else 1)

    return SchedulePlan(make_schedule, "step", monitor)


def count_warmup(warmup: Mapping[str, Any], total_steps: int, epochs: int) -> int:
    """Return the steps of a warm-up. Raises UserError where it is longer than the run."""
    given = {key: warmup[key] for key in WARMUP_KEYS if warmup.get(key) is not None}
    key, value = next(iter(given.items()), ("share", DEFAULT_WARMUP))
    steps = value if key == "steps" else math.ceil(value * total_steps / (epochs if key == "epochs" else 1) - 1e-9)
    if steps > total_steps:
        raise UserError(
            f"warmup.{key} is {value}, but the run has {total_steps} steps in {epochs} epochs: it would end before its "
            f"warm-up. Give a smaller warmup.{key}, or more trainer.max_epochs."
        )
    return max(1, int(steps))


def _follows_metric(target: Any) -> bool:
    found = find_target(target, "scheduler", (LRScheduler,))
    return isinstance(found, type) and issubclass(found, ReduceLROnPlateau)


def _find_direction(monitor: str) -> str:
    name = monitor.rpartition("/")[2]
    if name not in DIRECTIONS:
        raise UserError(
            f"scheduler.monitor: whether a higher {monitor} is better is not known. Give scheduler.mode=min or max."
        )
    return DIRECTIONS[name]


def _make_scheduler_factory(
    node: Mapping[str, Any], interval: str, epochs: int
) -> Callable[[Optimizer, int], LRScheduler]:
    """Return a function that builds the scheduler from an optimizer and the run's number of steps.

    A node may name `schedulers` with nodes of their own, as SequentialLR and ChainedScheduler need them.
    """
    node = dict(node)
    parts = node.pop("schedulers", None)
    if parts is not None and not (isinstance(parts, list) and all(isinstance(p, Mapping) for p in parts) and parts):
        raise UserError("scheduler.schedulers must be a list of schedulers, each with a _target_ and its arguments.")
    factory = make_factory("scheduler", node, LRScheduler)
    factories = [_make_scheduler_factory(part, interval, epochs) for part in parts or ()]

    def make_scheduler(optimizer: Optimizer, total_steps: int) -> LRScheduler:
        if interval == "step":
            check_length(node, total_steps, epochs)
        steps = node.get("total_steps")
        if steps is not None and steps != total_steps:
            raise UserError(
                f"scheduler.total_steps is {steps}, but the run has {total_steps} steps. Leave it out: the run counts "
                "them."
            )
        given = {"total_steps": total_steps} if "total_steps" in node and node["total_steps"] is None else {}
        if parts is None:
            return factory(optimizer, **given)
        schedulers = [make(optimizer, total_steps) for make in factories]
        return factory(optimizer=optimizer, schedulers=schedulers, **given)

    return make_scheduler
