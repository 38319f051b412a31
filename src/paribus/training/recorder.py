"""Record a run that Lightning trains: metrics.csv, the tables beside it, and the loggers."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import torch
from lightning import Trainer
from torch.optim import Optimizer

from paribus.data.foreign import ForeignData
from paribus.data.module import InMemory
from paribus.errors import UserError
from paribus.instruments.calls import InstrumentCalls, naming
from paribus.instruments.instrument import Instrument
from paribus.instruments.measurement import Measured, split_by_tensor
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.training.checkpoints import Checkpoints
from paribus.training.evaluated import AverageShower, show_evaluated, store_averages
from paribus.training.figures import warn_of_failure
from paribus.training.layer_rows import LayerRows
from paribus.training.logged import LoggedValues
from paribus.training.recording import Recording
from paribus.training.steps import StepsInEpoch
from paribus.training.stopping import check_validation, explain_stop, share_metrics
from paribus.training.trained import Trained
from paribus.training.twins import WeightSketch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorder(AverageShower):
    """The callback that records epochs, carries the instruments, and stops a run that diverges.

    Args:
        trained: what is known of the module that the trainer fits.
        hyperparameters: those of the run, for the loggers.
        checkpoints: holds the weights of the best epoch.
        figures: whether the instruments draw figures.
        in_epoch: reads the steps of an epoch, in which it is called before; None: no steps are recorded.
        sees_steps: whether values that are logged by step alone are recorded, as the mean of an epoch.

    Attributes:
        recording: the record of the run; None before the fit starts.
    """

    def __init__(
        self,
        trained: Trained,
        data: InMemory | ForeignData,
        directory: Path,
        hyperparameters: Hyperparameters,
        instruments: Mapping[str, Instrument],
        checkpoints: Checkpoints,
        figures: bool,
        in_epoch: StepsInEpoch | None = None,
        sees_steps: bool = False,
    ):
        self.trained = trained
        self.data = data
        self.directory = directory
        self.hyperparameters = hyperparameters
        self.calls = InstrumentCalls(instruments)
        self.checkpoints = checkpoints
        self.figures = figures
        self.in_epoch = in_epoch
        self.sees_steps = sees_steps
        self.logged = LoggedValues()
        checkpoints.complete_row = self.complete_row
        self.recording: Recording | None = None
        self._resumed_state: dict[str, Any] | None = None  # of the recorder in a resumed run's checkpoint
        self._finished = False
        self._monitored: set[str] = set()  # metrics that callbacks monitor
        self._shared: set[str] = set()  # metrics that callbacks see, and nobody but the recorder sets
        self._started = 0.0
        self._first_step = 0  # optimizer steps before this epoch
        self._step = -1  # number of the step in this epoch
        self._samples = 0  # samples of this epoch, up to the last step
        self._seen = 0  # samples of this epoch, up to the last batch
        self._stepping = False
        self._validated = False  # in any epoch so far
        self._sketch: WeightSketch | None = None  # made with the network on its device

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """The instruments by name."""
        return self.calls.instruments

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        unscales_itself = any(group.get("fused") for o in trainer.optimizers for group in o.param_groups)
        if self.trained.loss_scaled and unscales_itself and self.calls.observes_gradients:
            raise UserError(
                f"A fused optimizer hides the unscaled gradients of precision {trainer.precision}. Leave out "
                "optim.fused, or choose callbacks=none."
            )
        self.recording = Recording(
            self.directory, self.hyperparameters, self.trained.columns, trainer.max_epochs or 0, trainer.loggers,
            self.checkpoints.metric,
        )  # fmt: skip
        if self._resumed_state is not None:
            self.recording.resume(self._resumed_state)
            trainer.should_stop = self._resumed_state["stopped"]
        self.recording.open()
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        self._monitored = {str(callback.monitor) for callback in callbacks if getattr(callback, "monitor", None)}
        for name, instrument in self.instruments.items():
            with naming(name):
                instrument.attach(self.trained, self.data)
                if self._resumed_state is not None and name in self._resumed_state["instruments"]:
                    instrument.load_state_dict(self._resumed_state["instruments"][name])

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert self.recording is not None
        check_validation(trainer)
        if not self.instruments or self.recording.rows:
            return
        tensors = [(layer, tensor, p.numel()) for layer in self.trained.layers for tensor, p in layer.tensors]
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
        self._seen = 0
        self.logged.start_epoch()

    def on_train_batch_start(
        self, trainer: Trainer, learner: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.sees_steps and batch_idx:
            self.logged.add_late(trainer)

    def on_validation_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self.sees_steps and self._seen:
            self.logged.add_late(trainer)

    def on_before_optimizer_step(
        self, trainer: Trainer, learner: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        if self._stepping or (len(trainer.optimizers) > 1 and optimizer is not trainer.optimizers[0]):
            return  # LBFGS computes its loss several times a step; the first time with the weights before the step
        self._step += 1
        self._stepping = True
        self.calls.before_step(self._step, self.trained.samples - self._samples)

    def on_train_batch_end(
        self, trainer: Trainer, learner: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.sees_steps:
            self.logged.add_step(trainer, self.trained.samples - self._seen)
            self._seen = self.trained.samples
        if self._stepping:
            self._stepping = False
            self._samples = self.trained.samples
            self.calls.after_step(self._step)

    def on_validation_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if not trainer.sanity_checking:
            self._validated = True
            self.logged.add_epoch(trainer)

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        assert self.recording is not None
        trained, epoch = self.trained, trainer.current_epoch + 1
        row, bad_batch = trained.read_epoch()
        seconds = time.perf_counter() - self._started
        self.recording.add_epoch(
            trainer.global_step, trained.lr, row, seconds, trained.momentum, trained.folds, complete=False
        )
        self._add_logged(trainer)
        if self.in_epoch is not None:
            self.recording.steps.add(self.in_epoch.rows)
        with show_evaluated(trainer, learner):
            scalars = self.recording.add_layers(epoch, LayerRows.from_measured(self._measure(epoch)))
            self.recording.add_scalars(self.calls.measure_scalars(epoch))
            self.recording.log_epoch(scalars)
            if trained.probe is not None:
                self._sketch = self._sketch or WeightSketch(trained.network.parameters())
                self.recording.twins.add(epoch, (trained.probe, self._sketch.compute()))
            self._draw(epoch, last=False)
        bad_step = None if bad_batch is None else bad_batch // trainer.accumulate_grad_batches
        # with several ranks, a broken gradient may come from an activation on another rank
        blamable = ("activation", "gradient") if trainer.world_size == 1 else ("activation",)
        val_loss = self.recording.rows[-1].get("val/loss")
        self.recording.find_divergence(
            trainer.global_step, self._first_step, bad_step, 0.0 if val_loss is None else val_loss,
            self.instruments.values(), self.trained.has_finite_weights, blamable=blamable,
        )  # fmt: skip
        trainer.should_stop = trainer.should_stop or self.recording.diverged is not None
        # for callbacks that monitor a metric, which Lightning calls after this one; Follower receives it
        shared = {"lr": trained.lr, "epoch_seconds": seconds, **row}
        shared |= {name: scalars[name] for name in self._monitored if name in scalars}
        self._shared |= {name for name in shared if name not in trainer.callback_metrics}
        share_metrics(trainer, {name: shared[name] for name in shared if name in self._shared})

    def _add_logged(self, trainer: Trainer) -> None:
        assert self.recording is not None
        values = self.logged.read(trainer, without=self._shared)
        self.recording.add_logged({name: x for name, x in values.items() if name not in self.trained.reserved})

    def complete_row(self, trainer: Trainer) -> dict[str, float | None]:
        """Complete the row of an epoch after all others' on_train_epoch_end; write it to metrics.csv and return it."""
        assert self.recording is not None
        self._add_logged(trainer)
        self.recording.write_epoch()
        if self.checkpoints.metric is not None and (self._validated or not trainer.enable_validation):
            self.checkpoints.metric.require(self.recording.columns, "the run")
        return self.recording.rows[-1]

    def on_train_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        """Write the checkpoints and finish the record while the network is still on its device."""
        assert self.recording is not None
        self._finished = True
        rows = self.recording.rows
        # Without validation, no loss has shown yet whether the last step broke the weights.
        if rows and self.recording.diverged is None and not self.trained.has_finite_weights():
            self.recording.diverged = {"epoch": len(rows), "step": trainer.global_step, "what": "weights"}
        if self.recording.diverged is None:
            self.recording.stopped_by = explain_stop(trainer, len(rows))
        self.checkpoints.write(trainer)
        self.recording.close()
        if not rows:
            return
        with show_evaluated(trainer, learner):
            best = self.checkpoints.get_best_network(self.trained.prefix) or self.trained.network.state_dict()
            for name, instrument in self.instruments.items():
                with naming(name):
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
            self.calls.measure(epoch, measured)
        except BaseException:
            assert self.recording is not None
            self.recording.add_layers(epoch, LayerRows.from_measured(measured))
            raise
        return measured

    def _draw(self, epoch: int, last: bool) -> None:
        assert self.recording is not None
        histograms = self.calls.compute_histograms(epoch, last)
        figures = self._draw_figures(epoch, last) if self.figures and (last or epoch == 0) else ()
        self.recording.draw(epoch, histograms, figures)

    def _draw_figures(self, epoch: int, last: bool) -> "Iterator[tuple[str, Figure]]":
        for name, instrument in self.instruments.items():
            with warn_of_failure(f"A figure of callbacks.{name}"):
                yield from instrument.figures(epoch, last)
