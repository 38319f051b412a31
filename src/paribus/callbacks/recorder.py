"""Writes the run record while the run goes on: a row of metrics.csv an epoch, and the same to the loggers."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer

from paribus.loggers import finish
from paribus.models.learners import Learner
from paribus.record import METRICS, MetricsWriter, summary_statistics


class Recorder(lightning.Callback):
    """Keeps the rows of metrics.csv, and ends the run where the loss is no longer a finite number.

    Args:
        directory: the run's.
        hyperparameters: flat and plain; what the loggers are told about the run.

    Attributes:
        rows: the rows so far, by column.
        diverged: None, or the epoch and the optimizer step (both counted from 1) of the first loss that was not finite;
            for a validation loss, or weights that are not finite at the end, the last step before it.
    """

    def __init__(self, directory: Path, hyperparameters: Mapping[str, Any]):
        self.path = directory / METRICS
        self.hyperparameters = hyperparameters
        self.rows: list[dict[str, float | None]] = []
        self.diverged: dict[str, int] | None = None
        self._writer: MetricsWriter | None = None
        self._started = 0.0
        self._first_step = 0

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        self._writer = MetricsWriter(self.path, ("epoch", "step", "lr", *learner.columns, "epoch_seconds"))

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._started = time.perf_counter()
        self._first_step = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner) and self._writer is not None
        means, bad_batch = learner.training_sums.read()
        measured = {f"train/{name}": value for name, value in means.items()} | learner.validation
        row: dict[str, float | None] = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step}
        row |= {"lr": learner.lr, **{name: measured.get(name) for name in learner.columns}}
        row["epoch_seconds"] = time.perf_counter() - self._started
        self.rows.append(row)
        self._writer.write(row)
        scalars = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=trainer.current_epoch + 1)
        if bad_batch is not None or not abs(learner.validation.get("val/loss", 0.0)) < float("inf"):
            accumulated = trainer.accumulate_grad_batches
            step = trainer.global_step if bad_batch is None else self._first_step + bad_batch // accumulated + 1
            self.diverged = {"epoch": trainer.current_epoch + 1, "step": step}
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        # Without a validation nobody has looked at the weights since the last step.
        finite = all(bool(torch.isfinite(parameter).all()) for parameter in learner.parameters())
        if self.rows and self.diverged is None and not finite:
            self.diverged = {"epoch": len(self.rows), "step": trainer.global_step}

    def on_fit_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self._writer is not None:
            self._writer.close()
        if self.rows:
            status = "diverged" if self.diverged else "completed"
            for logger in trainer.loggers:
                finish(logger, {**self.hyperparameters, "status": status}, summary_statistics(self.rows))

    def on_exception(self, trainer: Trainer, learner: lightning.LightningModule, exception: BaseException) -> None:
        if self._writer is not None:
            self._writer.close()
