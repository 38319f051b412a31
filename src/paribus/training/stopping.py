"""Say why Lightning has stopped training before the planned number of epochs; check that epochs end as recorded."""

from collections.abc import Mapping

import torch
from lightning import Trainer
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback, EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from paribus.errors import UserError


class StopAtStep(Callback):
    """Stop after `max_steps` optimizer steps as a callback does: with a validation of the weights then reached.

    Lightning's own `max_steps` ends an epoch without one.
    """

    def __init__(self, max_steps: int):
        self.max_steps = max_steps

    def on_train_batch_end(
        self, trainer: Trainer, learner: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step >= self.max_steps:
            trainer.should_stop = True


def share_metrics(trainer: Trainer, metrics: Mapping[str, float]) -> None:
    """Let callbacks monitor these metrics of rank 0, and stop where rank 0 stops. Every rank must call it."""
    trainer.should_stop, shared = trainer.strategy.broadcast((trainer.should_stop, metrics))
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in shared.items()})


def explain_stop(trainer: Trainer, epochs: int) -> str | None:
    """Return why training has stopped after `epochs` epochs; None where all that were planned are complete."""
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return "trainer.fast_dev_run"
    complete = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or not trainer.num_training_batches
    if epochs >= (trainer.max_epochs or 0) and complete:
        return None
    if 0 <= trainer.max_steps <= trainer.global_step:
        return f"trainer.max_steps={trainer.max_steps}"
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping) and callback.stopping_reason is not EarlyStoppingReason.NOT_STOPPED:
            reason = (callback.stopping_reason_message or "").removesuffix(" Signaling Trainer to stop.").rstrip(".")
            return f"{type(callback).__name__}: {reason or callback.stopping_reason.value}"
        if isinstance(callback, Timer) and (callback.time_remaining() or 1) <= 0:
            return f"{type(callback).__name__}: {callback.time_elapsed():.0f} s of training"
    return "a callback, which set trainer.should_stop"


def check_validation(trainer: Trainer) -> None:
    """Raise UserError where validation would not coincide with the ends of epochs, of which the record has the values.

    Call once the loaders are there. An epoch may have several validations, and several epochs one.
    """
    interval, batches = trainer.val_check_batch, trainer.num_training_batches
    if interval is None:
        raise UserError(
            "trainer.val_check_interval is a time: validation would fall within epochs, and a record has the values "
            "at their ends. Choose a share of an epoch (0.5) or a number of batches."
        )
    if not isinstance(interval, int) or not isinstance(batches, int) or not trainer.enable_validation:
        return
    if not interval or (batches % interval and interval % batches):
        raise UserError(
            f"trainer.val_check_interval={trainer.val_check_interval}: an epoch has {batches} batches, and would end "
            f"without a validation. Choose a divisor or a multiple of {batches}, or a share such as 0.5."
        )
