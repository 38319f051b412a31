"""Writes the run record while the run goes on: metrics.csv, layers.parquet, and the same to the loggers."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning import Trainer
from torch.optim import Optimizer

from paribus.callbacks.checkpoints import Checkpoints
from paribus.callbacks.instruments import Instrument, Measured, by_tensor
from paribus.errors import UserError
from paribus.loggers import TensorBoard, finish
from paribus.models.learners import Learner
from paribus.record import LAYERS, METRICS, read_metrics
from paribus.statistics import summary_statistics
from paribus.writers import LayersWriter, MetricsWriter

MOST_SCALARS = 100_000  # of layers, in the event file of a run


class Recorder(lightning.Callback):
    """Keeps the rows of metrics.csv, carries the instruments, and ends the run where it diverges.

    Args:
        directory: the run's.
        hyperparameters: flat and plain; what the loggers are told about the run.
        instruments: what is measured of the layers, by name.
        checkpoints: knows the best epoch's weights.
        figures: whether the instruments draw figures.

    Attributes:
        rows: the rows so far, by column.
        taken_up: the epochs after which a process took up the run that another one had left.
        diverged: None, or the epoch and the optimizer step (both counted from 1) of the first loss that was not finite
            (or gradient that broke the weights, where an instrument sees it); for a validation loss, or weights that
            are not finite at the end, the last step before it; and what was not finite: train/loss, val/loss,
            gradient or weights. Where an instrument can tell, also the layer to blame, and its tensor: activation (the
            first that was not finite) or gradient (the one nearest the output, where all activations were finite).
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Mapping[str, Any],
        instruments: Mapping[str, Instrument],
        checkpoints: Checkpoints,
        figures: bool,
    ):
        self.directory = directory
        self.hyperparameters = hyperparameters
        self.instruments = instruments
        self.checkpoints = checkpoints
        self.figures = figures
        self.rows: list[dict[str, float | None]] = []
        self.layers = LayersWriter(directory / LAYERS)
        self.diverged: dict[str, Any] | None = None
        self.taken_up: list[int] = []
        self._left: dict[str, Any] | None = None  # the state in the checkpoint, where the run was taken up
        self._writer: MetricsWriter | None = None
        self._quantities: dict[tuple[str, str], None] = {}  # measured so far, of which tensor, in order
        self._laid_out = False  # TensorBoard's charts
        self._finished = False
        self._started = 0.0
        self._first_step = 0  # optimizer steps before this epoch
        self._step = -1  # of this epoch
        self._samples = 0  # of this epoch, up to the last step
        self._stepping = False
        self._before_step = [i for i in instruments.values() if type(i).before_step is not Instrument.before_step]
        self._after_step = [i for i in instruments.values() if type(i).after_step is not Instrument.after_step]

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        unscales_itself = any(getattr(o, "_step_supports_amp_scaling", False) for o in trainer.optimizers)
        if learner.loss_scaled and unscales_itself and self._before_step:
            raise UserError(
                f"A fused optimizer hides the true gradients of precision {trainer.precision}. Leave optim.fused out, "
                "or choose callbacks=none."
            )
        if self._left is not None:
            self._take_up(trainer, self._left)
        self._writer = MetricsWriter(
            self.directory / METRICS, ("epoch", "step", "lr", *learner.columns, "epoch_seconds"), self.rows
        )
        for name, instrument in self.instruments.items():
            with self._named(name):
                instrument.attach(learner, trainer.datamodule)  # type: ignore[attr-defined]
                if self._left is not None and name in self._left["instruments"]:
                    instrument.load_state_dict(self._left["instruments"][name])

    def _take_up(self, trainer: Trainer, left: dict[str, Any]) -> None:
        """Go on from a checkpoint: what the record holds past its epoch is cut."""
        epoch = left["epoch"]
        self.rows = read_metrics(self.directory, epoch)
        self.layers.restore(epoch)
        self.diverged = left["diverged"]
        self.taken_up = [*left["taken_up"], epoch]
        trainer.should_stop = left["stopped"]

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        if not self.instruments or self.rows:
            return
        tensors = [(layer, tensor, p.numel()) for layer in learner.layers for tensor, p in layer.tensors]
        sizes = torch.tensor([size for _, _, size in tensors])
        # first, so that the layers of the file come in order of depth
        self._add(0, list(by_tensor("size", [(layer, tensor) for layer, tensor, _ in tensors], sizes)))
        scalars = self._measure(0)
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=0)
        self._draw(trainer, 0, last=False)

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._started = time.perf_counter()
        self._first_step, self._step, self._samples = trainer.global_step, -1, 0

    def on_before_optimizer_step(
        self, trainer: Trainer, learner: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        assert isinstance(learner, Learner)
        if self._stepping:
            return  # LBFGS computes its loss several times a step; the first time is that of the step's own weights
        self._step += 1
        self._stepping = True
        for instrument in self._before_step:
            instrument.before_step(self._step, learner.training_sums.samples - self._samples)

    def on_train_batch_end(
        self, trainer: Trainer, learner: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._stepping:
            self._stepping = False
            self._samples = learner.training_sums.samples  # type: ignore[assignment, union-attr]
            for instrument in self._after_step:
                instrument.after_step(self._step)

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner) and self._writer is not None
        epoch = trainer.current_epoch + 1
        means, bad_batch = learner.read(learner.training_sums)
        measured = {f"train/{name}": value for name, value in means.items()} | learner.validation
        row: dict[str, float | None] = {"epoch": epoch, "step": trainer.global_step}
        row |= {"lr": learner.lr, **{name: measured.get(name) for name in learner.columns}}
        row["epoch_seconds"] = time.perf_counter() - self._started
        self.rows.append(row)
        self._writer.write(row)
        scalars = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        if learner.momentum is not None:
            scalars["momentum"] = learner.momentum
        of_layers = self._measure(epoch)
        if epoch % max(1, math.ceil(len(of_layers) * (trainer.max_epochs or 0) / MOST_SCALARS)) == 0:
            scalars |= of_layers
        for logger in trainer.loggers:
            logger.log_metrics(scalars, step=epoch)
            if not self._laid_out and isinstance(logger, TensorBoard):
                logger.log_layout(learner.columns, self._quantities)
        self._laid_out = True
        self._draw(trainer, epoch, last=False)
        bad_step = None if bad_batch is None else bad_batch // trainer.accumulate_grad_batches
        self._find_divergence(trainer, learner, bad_step)
        # where there are other processes, they stop as this one does: Follower waits for it
        trainer.should_stop = trainer.strategy.broadcast(trainer.should_stop)

    def _find_divergence(self, trainer: Trainer, learner: Learner, bad_step: int | None) -> None:
        """End the run where this epoch had a loss that was not finite, or a gradient that broke the weights."""
        bad_gradients = [step for i in self.instruments.values() if (step := i.first_not_finite()) is not None]
        bad_steps = bad_gradients + ([] if bad_step is None else [bad_step])
        broken = bad_step is not None or not math.isfinite(learner.validation.get("val/loss", 0.0))
        # what clipping by value, say, has made finite again has done no harm
        if not broken and (not bad_gradients or _finite(learner)):
            return
        what = "val/loss" if not bad_steps else "train/loss" if bad_step == min(bad_steps) else "gradient"
        self.diverged = {"epoch": trainer.current_epoch + 1, "step": trainer.global_step, "what": what}
        trainer.should_stop = True
        if bad_steps:
            step = min(bad_steps)
            self.diverged["step"] = self._first_step + step + 1
            blamed = [found for instrument in self.instruments.values() if (found := instrument.not_finite_at(step))]
            if trainer.world_size > 1:  # a gradient may be that of an activation which another process saw
                blamed = [found for found in blamed if found[1] == "activation"]
            # a broken activation breaks every gradient; not the other way round
            for layer, tensor in sorted(blamed, key=lambda found: found[1] != "activation")[:1]:
                self.diverged |= {"layer": layer.path, "tensor": tensor}

    def on_train_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        """Finish while the network is on its device still, and after the checkpoints are safe."""
        assert isinstance(learner, Learner)
        self._finished = True
        # Without a validation nobody has looked at the weights since the last step.
        if self.rows and self.diverged is None and not _finite(learner):
            self.diverged = {"epoch": len(self.rows), "step": trainer.global_step, "what": "weights"}
        self.checkpoints.write(trainer)
        self._close()
        if not self.rows:
            return
        best = self.checkpoints.best_state() or learner.network.state_dict()
        for name, instrument in self.instruments.items():
            with self._named(name):
                instrument.finish(self.directory, best)
        self._draw(trainer, len(self.rows), last=True)
        status = "diverged" if self.diverged else "completed"
        for logger in trainer.loggers:
            finish(logger, {**self.hyperparameters, "status": status}, self.statistics())

    def on_fit_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if not self._finished:  # the process that left this run had trained all of its epochs
            self.on_train_end(trainer, learner)

    def on_save_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.layers.write()  # so that what is measured reaches at least as far as the checkpoint
        checkpoint["recorder"] = {
            "epoch": len(self.rows),
            "diverged": self.diverged,
            "stopped": trainer.should_stop,
            "taken_up": self.taken_up,
            "instruments": {name: state for name, i in self.instruments.items() if (state := i.state_dict())},
        }

    def on_load_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._left = checkpoint["recorder"]

    def on_exception(self, trainer: Trainer, learner: lightning.LightningModule, exception: BaseException) -> None:
        self._close()

    def statistics(self) -> dict[str, float | int | None]:
        """The summary statistics of the rows so far, at least one."""
        early = self.layers.early_layer_gradient()
        return summary_statistics(self.rows) | ({} if early is None else {"early_layer_gradient": early})

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self.layers.write()

    def _measure(self, epoch: int) -> dict[str, float]:
        """Have everything measured, keep it, and return it as scalars by their tags."""
        measured: dict[tuple[str, str], list[Measured]] = {}
        try:
            for name, instrument in self.instruments.items():
                with self._named(name), torch.no_grad():
                    for found in instrument.measure(epoch):
                        alike = measured.setdefault((found.quantity, found.tensor), [])
                        found.check({layer for m in alike for layer in m.layers})
                        alike.append(found)
        finally:  # also what was measured before one of them failed
            self._quantities |= dict.fromkeys(measured)
            scalars = self._add(epoch, [m for of_quantity in measured.values() for m in of_quantity])
        return scalars

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Name an instrument in the errors that come out of it."""
        try:
            yield
        except Exception as error:
            error.add_note(f"(In callbacks.{name}.)")
            raise

    def _add(self, epoch: int, measured: Sequence[Measured]) -> dict[str, float]:
        named = [(m, layer) for m in measured for layer in m.layers]
        if not named:
            return {}
        values = np.concatenate([m.values.detach().cpu().double().numpy() for m in measured])
        keys = [(layer.path, layer.depth, m.tensor, m.quantity) for m, layer in named]
        self.layers.add(epoch, keys, values)
        tags = [
            f"{m.quantity}/{layer.label}" + (f".{m.tensor}" if m.tensor != "activation" else "") for m, layer in named
        ]
        return dict(zip(tags, values.tolist(), strict=True))

    def _draw(self, trainer: Trainer, epoch: int, last: bool) -> None:
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoard):
                continue
            for instrument in self.instruments.values():
                for histogram in instrument.histograms(epoch, last):
                    logger.log_histogram(histogram, epoch)
                if self.figures and (last or epoch == 0):
                    for tag, figure in instrument.figures(epoch, last):
                        logger.log_figure(tag, figure, epoch)


def _finite(learner: Learner) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in learner.parameters())
