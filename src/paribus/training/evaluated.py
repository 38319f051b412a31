"""Put the weights that are validated into a network whose training steps use others.

A schedule-free optimizer and a callback of weight averaging keep an average beside the weights that are trained. The
average is validated, measured at the end of an epoch and stored as the best; the gradients belong to the trained
weights. Both change places by copies, so that looking at the average changes no digit of the training.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import nn
from torch.optim import Optimizer

from paribus.training.averaging import StochasticAveraging

TRAINED = "trained_weights"  # in last.ckpt, whose state_dict holds the averaged ones


def is_schedule_free(optimizer: object) -> bool:
    """Return whether the optimizer holds an average, which its `eval` puts into the network, and `train` takes out."""
    return callable(getattr(optimizer, "eval", None)) and callable(getattr(optimizer, "train", None))


@contextmanager
def show_averages(optimizers: Iterable[Optimizer]) -> Iterator[None]:
    """Put the averages of schedule-free optimizers that are in training mode into the network within the block."""
    shown: list[Any] = [o for o in optimizers if is_schedule_free(o) and o.param_groups[0].get("train_mode", True)]
    parameters = [p for optimizer in shown for group in optimizer.param_groups for p in group["params"]]
    trained = [parameter.detach().clone() for parameter in parameters]
    for optimizer in shown:
        optimizer.eval()
    try:
        yield
    finally:
        for optimizer in shown:
            optimizer.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, trained, strict=True):
                parameter.copy_(value)  # train() has computed it anew, with other rounding


@contextmanager
def show_evaluated(trainer: Trainer, module: lightning.LightningModule, within_epoch: bool = False) -> Iterator[None]:
    """Put the weights that are validated into the network within the block: averages of an optimizer or a callback.

    `within_epoch`: an average that has not begun is still a copy of the weights at the end of the last epoch, which
    stays where it is.
    """
    averaging = [callback for callback in trainer.callbacks if isinstance(callback, WeightAveraging)]  # type: ignore[attr-defined]
    if within_epoch:
        averaging = [c for c in averaging if not isinstance(c, StochasticAveraging) or c.has_begun(trainer)]
    with show_averages(trainer.optimizers):
        for callback in averaging:
            callback.on_validation_epoch_start(trainer, module)  # it exchanges the weights here, and once more below
        try:
            yield
        finally:
            for callback in averaging:
                callback.on_validation_epoch_end(trainer, module)


def store_averages(trainer: Trainer, module: nn.Module, checkpoint: dict[str, Any]) -> None:
    """Have the state_dict of a checkpoint hold a schedule-free optimizer's average, with the trained weights beside it.

    Lightning's callbacks of weight averaging do the same with theirs.
    """
    if any(is_schedule_free(optimizer) for optimizer in trainer.optimizers):
        checkpoint[TRAINED] = {name: tensor.clone() for name, tensor in checkpoint["state_dict"].items()}
        with show_averages(trainer.optimizers):
            checkpoint["state_dict"] = {name: tensor.clone() for name, tensor in module.state_dict().items()}


class AverageShower(lightning.Callback):
    """Validate the averages of schedule-free optimizers, and go on from the trained weights that a checkpoint holds."""

    _validating: ExitStack | None = None

    def on_validation_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._validating = ExitStack()
        self._validating.enter_context(show_averages(trainer.optimizers))

    def on_validation_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self._validating is not None:
            self._validating.close()

    def on_load_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if TRAINED in checkpoint:
            learner.load_state_dict(checkpoint[TRAINED])
