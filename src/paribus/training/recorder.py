"""Record a run that Lightning trains: metrics.csv, layers.parquet, folds.parquet and the loggers."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning import Trainer
from torch.optim import Optimizer

from paribus.errors import UserError
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, split_by_tensor
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.training.checkpoints import Checkpoints
from paribus.training.evaluated import AverageShower, show_evaluated, store_averages
from paribus.training.learner import Learner
from paribus.training.recording import LayerRows, Recording, warn_of_failure
from paribus.training.stopping import check_validation, explain_stop, share_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorder(AverageShower):
    """The callback that records epochs, carries the instruments, and stops a run that diverges.

    Args:
        directory: directory of the run.
        hyperparameters: those of the run, for the loggers.
        instruments: instruments by name.
        checkpoints: holds the weights of the best epoch.
        figures: whether the instruments draw figures.

    Attributes:
        recording: the record of the run; None before the fit starts.
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Hyperparameters,
        instruments: Mapping[str, Instrument],
        checkpoints: Checkpoints,
        figures: bool,
    ):
        self.directory = directory
        self.hyperparameters = hyperparameters
        self.instruments = instruments
        self.checkpoints = checkpoints
        self.figures = figures
        self.recording: Recording | None = None
        self._resumed_state: dict[str, Any] | None = None  # of the recorder in a resumed run's checkpoint
        self._finished = False
        self._monitored: set[str] = set()  # metrics that callbacks monitor
        self._started = 0.0
        self._first_step = 0  # optimizer steps before this epoch
        self._step = -1  # number of the step in this epoch
        self._samples = 0  # samples of this epoch, up to the last step
        self._stepping = False
        self._before_step = [i for i in instruments.values() if type(i).before_step is not Instrument.before_step]
        self._after_step = [i for i in instruments.values() if type(i).after_step is not Instrument.after_step]

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner)
        unscales_itself = any(group.get("fused") for o in trainer.optimizers for group in o.param_groups)
        if learner.loss_scaled and unscales_itself and self._before_step:
            raise UserError(
                f"A fused optimizer hides the unscaled gradients of precision {trainer.precision}. Leave out "
                "optim.fused, or choose callbacks=none."
            )
        self.recording = Recording(
            self.directory, self.hyperparameters, learner.columns, trainer.max_epochs or 0, trainer.loggers
        )
        if self._resumed_state is not None:
            self.recording.resume(self._resumed_state)
            trainer.should_stop = self._resumed_state["stopped"]
        self.recording.open()
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._monitored = {str(callback.monitor) for callback in callbacks if getattr(callback, "monitor", None)}
        for name, instrument in self.instruments.items():
            with self._naming(name):
                instrument.attach(learner, trainer.datamodule)  # type: ignore[attr-defined]
                if self._resumed_state is not None and name in self._resumed_state["instruments"]:
                    instrument.load_state_dict(self._resumed_state["instruments"][name])

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert isinstance(learner, Learner) and self.recording is not None
        check_validation(trainer)
        if not self.instruments or self.recording.rows:
            return
        tensors = [(layer, tensor, p.numel()) for layer in learner.layers for tensor, p in layer.tensors]
        sizes = torch.tensor([size for _, _, size in tensors])
        # Sizes first: they put the layers of the file in order of depth.
        owners = [(layer, tensor) for layer, tensor, _ in tensors]
        self.recording.add_layers(
            0, LayerRows.from_measured(list(split_by_tensor("size", owners, sizes))), charted=False
        )
        self.recording.add_initial(LayerRows.from_measured(self._measure(0)))
        self._draw(0, last=False)

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._started = time.perf_counter()
        self._first_step, self._step, self._samples = trainer.global_step, -1, 0

    def on_before_optimizer_step(
        self, trainer: Trainer, learner: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        assert isinstance(learner, Learner)
        if self._stepping:
            return  # LBFGS computes its loss several times a step; the first time with the weights before the step
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
        assert isinstance(learner, Learner) and self.recording is not None
        epoch = trainer.current_epoch + 1
        if learner.validated_step != trainer.global_step:  # val_check_interval: other weights than this epoch's
            learner.validation, learner.folds = {}, None
        means, bad_batch = learner.read_means(learner.training_sums)
        row = {f"train/{name}": value for name, value in means.items()} | learner.validation
        seconds = time.perf_counter() - self._started
        self.recording.add_epoch(trainer.global_step, learner.lr, row, seconds, learner.momentum, learner.folds)
        with show_evaluated(trainer, learner):
            scalars = self.recording.add_layers(epoch, LayerRows.from_measured(self._measure(epoch)))
            self.recording.log_epoch(scalars)
            self._draw(epoch, last=False)
        bad_step = None if bad_batch is None else bad_batch // trainer.accumulate_grad_batches
        # with several ranks, a broken gradient may come from an activation on another rank
        blamable = ("activation", "gradient") if trainer.world_size == 1 else ("activation",)
        val_loss = learner.validation.get("val/loss", 0.0)
        self.recording.find_divergence(
            trainer.global_step, self._first_step, bad_step, val_loss, self.instruments.values(),
            learner.has_finite_weights, blamable=blamable,
        )  # fmt: skip
        trainer.should_stop = trainer.should_stop or self.recording.diverged is not None
        # for callbacks that monitor a metric, which Lightning calls after this one; Follower receives it
        measured = {name: scalars[name] for name in self._monitored if name in scalars}
        share_metrics(trainer, {"lr": learner.lr, "epoch_seconds": seconds, **row, **measured})

    def on_train_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        """Write the checkpoints and finish the record while the network is still on its device."""
        assert isinstance(learner, Learner) and self.recording is not None
        self._finished = True
        rows = self.recording.rows
        # Without validation, no loss has shown yet whether the last step broke the weights.
        if rows and self.recording.diverged is None and not learner.has_finite_weights():
            self.recording.diverged = {"epoch": len(rows), "step": trainer.global_step, "what": "weights"}
        if self.recording.diverged is None:
            self.recording.stopped_by = explain_stop(trainer, len(rows))
        self.checkpoints.write(trainer)
        self.recording.close()
        if not rows:
            return
        with show_evaluated(trainer, learner):
            best = self.checkpoints.get_best_network() or learner.network.state_dict()
            for name, instrument in self.instruments.items():
                with self._naming(name):
                    instrument.finish(self.directory, best)
            self._draw(len(rows), last=True)
        self.recording.finish()

    def on_fit_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if not self._finished:  # a resumed run had trained all of its epochs before
            self.on_train_end(trainer, learner)

    def on_save_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        assert self.recording is not None
        store_averages(trainer, learner, checkpoint)
        checkpoint["recorder"] = {
            **self.recording.get_state(trainer.should_stop),
            "instruments": {name: state for name, i in self.instruments.items() if (state := i.state_dict())},
        }

    def on_load_checkpoint(
        self, trainer: Trainer, learner: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        super().on_load_checkpoint(trainer, learner, checkpoint)
        self._resumed_state = checkpoint["recorder"]

    def on_exception(self, trainer: Trainer, learner: lightning.LightningModule, exception: BaseException) -> None:
        if self.recording is not None:
            self.recording.close()

    def _measure(self, epoch: int) -> list[Measured]:
        """Measure with all instruments. If one fails, record what those before it measured, and raise its error."""
        measured: list[Measured] = []
        try:
            for name, instrument in self.instruments.items():
                with self._naming(name), torch.no_grad():
                    for new in instrument.measure(epoch):
                        earlier = [m for m in measured if (m.quantity, m.tensor) == (new.quantity, new.tensor)]
                        new.check({layer for m in earlier for layer in m.layers})
                        measured.append(new)
        except BaseException:
            assert self.recording is not None
            self.recording.add_layers(epoch, LayerRows.from_measured(measured))
            raise
        return measured

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Add the instrument's name to errors that it raises."""
        try:
            yield
        except Exception as error:
            error.add_note(f"(In callbacks.{name}.)")
            raise

    def _draw(self, epoch: int, last: bool) -> None:
        assert self.recording is not None
        instruments = self.instruments.values()
        histograms = (histogram for i in instruments for histogram in i.histograms(epoch, last))
        figures = self._draw_figures(epoch, last) if self.figures and (last or epoch == 0) else ()
        self.recording.draw(epoch, histograms, figures)

    def _draw_figures(self, epoch: int, last: bool) -> "Iterator[tuple[str, Figure]]":
        for name, instrument in self.instruments.items():
            with warn_of_failure(f"A figure of callbacks.{name}"):
                yield from instrument.figures(epoch, last)
