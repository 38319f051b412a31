"""The learning rate of a run that warms up, or that follows a metric."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


class Schedule(LRScheduler):
    """A scheduler whose rates are multiplied by (n + 1) / `warmup` in step n < `warmup`; it is stepped after each step.

    The scheduler counts from the start of the run, and goes on as if there were no warm-up.

    Args:
        warmup: optimizer steps; 1 for none.
        scheduler: the scheduler of the rates; None: they are constant.
        every: optimizer steps between two steps of the scheduler. One that follows a metric is stepped by `observe`.
    """

    def __init__(self, optimizer: Optimizer, warmup: int, scheduler: LRScheduler | None = None, every: int = 1):
        # Not LRScheduler's, which would step at once. It is the type by which Lightning and others know a scheduler.
        self.optimizer = optimizer
        self.warmup = warmup
        self.scheduler = scheduler
        self.every = every
        self.done = 0  # optimizer steps
        self.rates = self._read_rates()  # of the scheduler alone
        self._set_rates()

    def step(self, epoch: int | None = None) -> None:
        """Set the rates of the next optimizer step."""
        self.done += 1
        if self.scheduler is not None and not self.follows_metric and self.done % self.every == 0:
            self._step_scheduler()
        elif self.done < self.warmup:
            self._set_rates()

    @property
    def follows_metric(self) -> bool:
        return isinstance(self.scheduler, ReduceLROnPlateau)

    def observe(self, value: float) -> None:
        """Step a scheduler that follows a metric, whose value at the end of an epoch is given."""
        self._step_scheduler(value)

    def _step_scheduler(self, *value: float) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate
        self.scheduler.step(*value)  # type: ignore[union-attr, arg-type]
        self.rates = self._read_rates()
        self._set_rates()

    def _read_rates(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _set_rates(self) -> None:
        factor = min(1.0, (self.done + 1) / self.warmup)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def get_last_lr(self) -> list[Any]:
        return list(self._read_rates())

    def state_dict(self) -> dict[str, Any]:
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        return {"done": self.done, "rates": self.rates, "scheduler": scheduler}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.done, self.rates = state_dict["done"], state_dict["rates"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state_dict["scheduler"])
