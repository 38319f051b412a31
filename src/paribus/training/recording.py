"""Write the record of a run during training: epochs, steps and the measurements of layers, also to its loggers."""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from lightning.pytorch.loggers import Logger

from paribus.errors import UserError
from paribus.loggers.histogram import Histogram
from paribus.loggers.hyperparameters import Hyperparameters
from paribus.loggers.lifecycle import finish_logger, log_scalars
from paribus.loggers.tensorboard import TensorBoard
from paribus.models.layers import WeightLayer
from paribus.record import FOLDS, LAYERS, METRICS, TWINS, Metric, RecordError, read_metrics
from paribus.record.statistics import summarise_rows
from paribus.record.tables import FoldsWriter, LayersWriter, MetricsWriter
from paribus.record.twins import TwinsWriter
from paribus.training.figures import warn_of_failure
from paribus.training.layer_rows import LayerRows
from paribus.training.recorded_steps import RecordedSteps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
NOT_METRICS = ("epoch", "step", "lr", "epoch_seconds")  # columns of every metrics.csv
MAX_LAYER_SCALARS = 100_000  # in the event file of a run


class NonfiniteFinder(Protocol):
    """An instrument, as far as it finds where a run became non-finite."""

    def find_nonfinite_step(self) -> int | None: ...

    def find_nonfinite_layer(self, step: int) -> tuple[WeightLayer, str] | None: ...


class Recording:
    """The record of one run during training: metrics.csv, the tables beside it, and its loggers.

    It does not depend on how the run is trained: by Lightning or in a stack.

    Args:
        hyperparameters: those of the run, for the loggers.
        columns: columns of metrics.csv between lr and epoch_seconds.
        max_epochs: largest number of epochs of the run.
        metric: the metric by which the best epoch is chosen; None: val/acc, or val/loss.

    Attributes:
        rows: rows of metrics.csv so far, by column.
        measured: columns of metrics.csv that instruments have measured; an empty cell there was not measured.
        steps: the optimizer steps so far, where they are recorded.
        taken_up: the epochs after which the run was resumed.
        stopped_by: what has stopped the run before all of its planned epochs; None: nothing.
        diverged: None, or the entry of the summary: `epoch` and optimizer `step`, both counted from 1, and `what`
            was not finite (train/loss, val/loss, gradient or weights). The step is the one with the first non-finite
            loss, or with the gradient that broke the weights. For val/loss and weights it is the last step before.
            If an instrument finds it, also the `layer` and its `tensor`: the first activation that was not finite, or
            the gradient nearest the output where all activations were finite.
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Hyperparameters,
        columns: Sequence[str],
        max_epochs: int,
        loggers: Sequence[Logger],
        metric: Metric | None = None,
    ):
        self.directory = directory
        self.hyperparameters = hyperparameters
        self.columns = tuple(columns)
        self.metric = metric
        self.max_epochs = max_epochs
        self.loggers = loggers
        self.rows: list[dict[str, float | None]] = []
        self.layers = LayersWriter(directory / LAYERS)
        self.folds = FoldsWriter(directory / FOLDS, [name for name in columns if name.startswith("val/")])
        self.measured: dict[str, None] = {}
        self.steps = RecordedSteps(directory, self.folds.columns, loggers, max_epochs)
        self.twins = TwinsWriter(directory / TWINS)
        self.taken_up: list[int] = []
        self.stopped_by: str | None = None
        self.diverged: dict[str, Any] | None = None
        self._writer: MetricsWriter | None = None
        self._written = 0  # rows in metrics.csv
        self._quantities: dict[tuple[str, str], None] = {}  # quantity and tensor of what was measured so far, in order
        self._laid_out = False  # whether TensorBoard has the layout of its charts

    def resume(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint, and cut the record to its epoch."""
        epoch = state["epoch"]
        self.rows = read_metrics(self.directory, epoch)
        self._add_columns(self.rows[-1] if self.rows else {})
        self.layers.restore(epoch)
        validated = [int(row["epoch"] or 0) for row in self.rows if row.get("val/loss") is not None]
        for table in (self.folds, self.twins):
            try:
                table.restore(validated)
            except RecordError as error:
                log.warning("%s The run continues without it.", error)
                table.abandon()
        self.steps.resume(epoch, int(self.rows[-1]["step"] or 0) if self.rows else 0)
        self.diverged = state["diverged"]
        self.measured = dict.fromkeys(state.get("measured", ()))
        self.taken_up = [*state["taken_up"], epoch]

    def open(self) -> None:
        """Open metrics.csv with the rows so far."""
        columns = ("epoch", "step", "lr", *self.columns, "epoch_seconds")
        self._writer = MetricsWriter(self.directory / METRICS, columns, self.rows)
        self._written = len(self.rows)

    def add_initial(self, rows: LayerRows) -> None:
        """Record and log the measurements of the network before training."""
        scalars = self.add_layers(0, rows)
        for logger in self.loggers:
            log_scalars(logger, scalars, 0, self.columns)

    def add_epoch(
        self,
        step: int,
        lr: float,
        means: Mapping[str, float],
        seconds: float,
        momentum: float | None = None,
        folds: Mapping[str, np.ndarray] | None = None,
        complete: bool = True,
    ) -> None:
        """Record an epoch; `log_epoch` passes it on to the loggers.

        Args:
            step: number of optimizer steps done.
            lr: learning rate of the last step.
            momentum: momentum of the last step, for the loggers alone.
            folds: means over the folds, by column of folds.parquet.
            complete: False if `write_epoch` follows, with what else was logged.
        """
        row: dict[str, float | None] = {"epoch": len(self.rows) + 1, "step": step, "lr": lr}
        row |= {name: means.get(name) for name in self.columns}
        row["epoch_seconds"] = seconds
        self.rows.append(row)
        if complete:
            self.write_epoch()
        if folds is not None:
            self.folds.add(len(self.rows), folds)
        self._scalars = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        if momentum is not None:
            self._scalars["momentum"] = momentum

    def add_logged(self, values: Mapping[str, float]) -> None:
        """Add to the last epoch what others have logged, by column. It is theirs to pass on to the loggers."""
        self.rows[-1] |= values

    def add_scalars(self, values: Mapping[str, np.ndarray]) -> None:
        """Add quantities of the network, (), to the last epoch before it is written and logged; NaN is an empty cell.

        Raises UserError for a column that the epoch has already.
        """
        if taken := [name for name in values if self.rows[-1].get(name) is not None or name in NOT_METRICS]:
            raise UserError(f"The epoch has {taken[0]} already. An instrument must choose another name.")
        known = {name: float(value) for name, value in values.items() if not np.isnan(value)}
        self.rows[-1] |= dict.fromkeys(values) | known
        self.measured |= dict.fromkeys(values)
        self._scalars |= known

    def write_epoch(self) -> None:
        """Append the last epoch to metrics.csv, once it is complete. A new column makes the file anew."""
        assert self._writer is not None
        if self._add_columns(self.rows[-1]):
            self._writer.close(self.rows[: self._written])
            self.open()
        elif self._written < len(self.rows):
            self._written = len(self.rows)
            self._writer.write(self.rows[-1])

    def _add_columns(self, row: Mapping[str, float | None]) -> bool:
        new = tuple(name for name in row if name not in (*self.columns, *NOT_METRICS))
        self.columns += new
        return bool(new)

    def log_epoch(self, layer_scalars: Mapping[str, float]) -> None:
        """Pass the last epoch on to the loggers, with the scalars of its layers; these only every n-th time if many."""
        epoch, scalars = len(self.rows), self._scalars
        columns = [name for name in self.rows[-1] if name not in NOT_METRICS]
        if epoch % max(1, math.ceil(len(layer_scalars) * self.max_epochs / MAX_LAYER_SCALARS)) == 0:
            scalars = {**scalars, **layer_scalars}
        for logger in self.loggers:
            log_scalars(logger, scalars, epoch, columns)
            if not self._laid_out and isinstance(logger, TensorBoard):
                logger.log_layout(columns, self._quantities)
        self._laid_out = True

    def add_layers(self, epoch: int, rows: LayerRows, charted: bool = True) -> dict[str, float]:
        """Record measurements of layers. Return them as scalars by tag; `charted`: TensorBoard shows charts of them."""
        if charted:
            self._quantities |= dict.fromkeys(rows.quantities)
        if not rows.keys:
            return {}
        self.layers.add(epoch, rows.keys, rows.values)
        return dict(zip(rows.tags, rows.values.tolist(), strict=True))

    def find_divergence(
        self,
        step: int,
        first_step: int,
        bad_step: int | None,
        val_loss: float,
        instruments: Iterable["NonfiniteFinder"],
        has_finite_weights: Callable[[], bool],
        blamable: Collection[str] = ("activation", "gradient"),
    ) -> None:
        """Set `diverged` if the last epoch had a non-finite loss, or a gradient that broke the weights.

        Args:
            step: number of optimizer steps done; first_step: the same before the epoch.
            bad_step: first step of the epoch, from 0, with a non-finite training loss; None: all were finite.
            val_loss: validation loss of the epoch.
            blamable: tensors in which a layer that an instrument names is recorded.
        """
        instruments = list(instruments)
        bad_gradients = [bad for i in instruments if (bad := i.find_nonfinite_step()) is not None]
        bad_steps = bad_gradients + ([] if bad_step is None else [bad_step])
        broken = bad_step is not None or not math.isfinite(val_loss)
        # a bad gradient that clipping by value has made finite again did no harm
        if not broken and (not bad_gradients or has_finite_weights()):
            return
        what = "val/loss" if not bad_steps else "train/loss" if bad_step == min(bad_steps) else "gradient"
        self.diverged = {"epoch": len(self.rows), "step": step, "what": what}
        if bad_steps:
            bad = min(bad_steps)
            self.diverged["step"] = first_step + bad + 1
            blamed = [pair for i in instruments if (pair := i.find_nonfinite_layer(bad)) and pair[1] in blamable]
            # a broken activation breaks every gradient; not the other way round
            for layer, tensor in sorted(blamed, key=lambda pair: pair[1] != "activation")[:1]:
                self.diverged |= {"layer": layer.path, "tensor": tensor}

    def draw(self, epoch: int, histograms: Iterable[Histogram], figures: Iterable[tuple[str, "Figure"]] = ()) -> None:
        """Log histograms and figures to TensorBoard. Without TensorBoard, neither iterable is consumed."""
        boards = [logger for logger in self.loggers if isinstance(logger, TensorBoard)]
        if not boards:
            return
        for histogram in histograms:
            for board in boards:
                board.log_histogram(histogram, epoch)
        for tag, figure in figures:
            for board in boards:
                with warn_of_failure(f"The figure {tag}"):
                    board.log_figure(tag, figure, epoch)

    def finish(self) -> None:
        """Log the run's status and summary statistics, and finish its loggers."""
        status = "diverged" if self.diverged else "completed"
        for logger in self.loggers:
            finish_logger(logger, self.hyperparameters, status, self.compute_statistics())

    def compute_statistics(self) -> dict[str, float | int | None]:
        """Compute the summary statistics of the rows so far, of which there must be one."""
        early = self.layers.compute_early_gradient()
        return summarise_rows(self.rows, self.metric) | ({} if early is None else {"early_layer_gradient": early})

    @property
    def new_epoch_seconds(self) -> list[float]:
        """The durations of the epochs since the run began, or was last resumed."""
        return [row["epoch_seconds"] or 0.0 for row in self.rows[self.taken_up[-1] if self.taken_up else 0 :]]

    def get_state(self, stopped: bool) -> dict[str, Any]:
        """Write the tables, which must not be behind the checkpoint, and return the state for it."""
        self._write_tables()
        state = {"epoch": len(self.rows), "diverged": self.diverged, "stopped": stopped, "taken_up": self.taken_up}
        return {**state, "measured": list(self.measured)}

    def close(self) -> None:
        """Close metrics.csv and write the tables, if the record was opened."""
        if self._writer is not None:
            if self._written < len(self.rows):
                self.write_epoch()  # something has failed before it was complete
            self._writer.close(self.rows)
            self._write_tables()

    def _write_tables(self) -> None:
        self.layers.write()
        self.folds.write()
        self.steps.write()
        self.twins.write()
