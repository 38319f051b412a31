"""The record of a run while it goes on: its rows, what was measured of its layers, and the same to its loggers."""

import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from lightning.pytorch.loggers import Logger

from paribus.instruments.measurement import Measured
from paribus.loggers.histogram import Histogram
from paribus.loggers.lifecycle import finish_logger
from paribus.loggers.tensorboard import TensorBoard
from paribus.models.layers import WeightLayer
from paribus.record import FOLDS, LAYERS, METRICS, RecordError, read_metrics
from paribus.record.statistics import summarise_rows
from paribus.record.tables import FoldsWriter, LayersWriter, MetricsWriter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)
MOST_SCALARS = 100_000  # of layers, in the event file of a run


@dataclass(frozen=True)
class LayerRows:
    """What was measured at the end of an epoch, as the rows of layers.parquet, n of them.

    Attributes:
        quantities: what was measured, and of which tensor.
        keys: of each row (layer, depth, tensor, quantity).
        tags: of each row, in TensorBoard.
        values: of each row, (n,), in double precision; of a stack of K runs (K, n).
    """

    quantities: tuple[tuple[str, str], ...]
    keys: tuple[tuple[str, int, str, str], ...]
    tags: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def from_measured(cls, measured: Sequence[Measured]) -> "LayerRows":
        alike: dict[tuple[str, str], list[Measured]] = {}
        for found in measured:
            alike.setdefault((found.quantity, found.tensor), []).append(found)
        named = [(m, layer) for together in alike.values() for m in together for layer in m.layers]
        values = [m.values.detach().cpu().double().numpy() for together in alike.values() for m in together]
        return cls(
            tuple(alike),
            tuple((layer.path, layer.depth, m.tensor, m.quantity) for m, layer in named),
            tuple(
                f"{m.quantity}/{layer.label}" + (f".{m.tensor}" if m.tensor != "activation" else "")
                for m, layer in named
            ),
            np.concatenate(values, -1) if values else np.empty(0),
        )

    def select_run(self, k: int) -> "LayerRows":
        """Those of the k-th run of a stack."""
        return replace(self, values=self.values[k] if self.keys else self.values)


class NonfiniteFinder(Protocol):
    """An instrument, as far as it can say where a run broke."""

    def find_nonfinite_step(self) -> int | None: ...

    def find_nonfinite_layer(self, step: int) -> tuple[WeightLayer, str] | None: ...


class Recording:
    """Writes metrics.csv, layers.parquet and folds.parquet of one run, and tells its loggers.

    Knows nothing of how it is trained.

    Args:
        directory: the run's.
        hyperparameters: flat and plain; what the loggers are told about the run.
        columns: of metrics.csv, between lr and epoch_seconds.
        max_epochs: that the run may have.
        loggers: of the run.

    Attributes:
        rows: the rows so far, by column.
        taken_up: the epochs after which a process took up the run that another one had left.
        diverged: None, or what the summary says of it; see Recorder.
    """

    def __init__(
        self,
        directory: Path,
        hyperparameters: Mapping[str, Any],
        columns: Sequence[str],
        max_epochs: int,
        loggers: Sequence[Logger],
    ):
        self.directory = directory
        self.hyperparameters = hyperparameters
        self.columns = columns
        self.max_epochs = max_epochs
        self.loggers = loggers
        self.rows: list[dict[str, float | None]] = []
        self.layers = LayersWriter(directory / LAYERS)
        self.folds = FoldsWriter(directory / FOLDS, [name for name in columns if name.startswith("val/")])
        self.taken_up: list[int] = []
        self.diverged: dict[str, Any] | None = None
        self._writer: MetricsWriter | None = None
        self._quantities: dict[tuple[str, str], None] = {}  # measured so far, of which tensor, in order
        self._laid_out = False  # TensorBoard's charts

    def resume(self, left: Mapping[str, Any]) -> None:
        """Go on from the state in a checkpoint: what the record holds past its epoch is cut."""
        epoch = left["epoch"]
        self.rows = read_metrics(self.directory, epoch)
        self.layers.restore(epoch)
        try:
            self.folds.restore([int(row["epoch"] or 0) for row in self.rows if row.get("val/loss") is not None])
        except RecordError as error:
            log.warning("%s The run goes on without it.", error)
            self.folds.abandon()
        self.diverged = left["diverged"]
        self.taken_up = [*left["taken_up"], epoch]

    def open(self) -> None:
        columns = ("epoch", "step", "lr", *self.columns, "epoch_seconds")
        self._writer = MetricsWriter(self.directory / METRICS, columns, self.rows)

    def add_initial(self, rows: LayerRows) -> None:
        """What was measured of the network as it was drawn."""
        scalars = self.add_layers(0, rows)
        for logger in self.loggers:
            logger.log_metrics(scalars, step=0)

    def add_epoch(
        self,
        step: int,
        lr: float,
        means: Mapping[str, float],
        seconds: float,
        momentum: float | None = None,
        folds: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Keep an epoch: optimizer steps done, the lr of the last, the means by column, seconds; for the loggers alone,
        the momentum; and the columns of folds.parquet."""
        row: dict[str, float | None] = {"epoch": len(self.rows) + 1, "step": step, "lr": lr}
        row |= {name: means.get(name) for name in self.columns}
        row["epoch_seconds"] = seconds
        assert self._writer is not None
        self.rows.append(row)
        self._writer.write(row)
        if folds is not None:
            self.folds.add(len(self.rows), folds)
        self._scalars = {name: value for name, value in row.items() if name != "epoch" and value is not None}
        if momentum is not None:
            self._scalars["momentum"] = momentum

    def log_epoch(self, of_layers: Mapping[str, float]) -> None:
        """Tell the loggers of the epoch, and of its layers in every n-th one where there would be too many."""
        epoch, scalars = len(self.rows), self._scalars
        if epoch % max(1, math.ceil(len(of_layers) * self.max_epochs / MOST_SCALARS)) == 0:
            scalars = {**scalars, **of_layers}
        for logger in self.loggers:
            logger.log_metrics(scalars, step=epoch)
            if not self._laid_out and isinstance(logger, TensorBoard):
                logger.log_layout(self.columns, self._quantities)
        self._laid_out = True

    def add_layers(self, epoch: int, rows: LayerRows, charted: bool = True) -> dict[str, float]:
        """Keep what was measured, and return it as scalars by their tags; `told`: loggers will have charts of it."""
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
        finite: Callable[[], bool],
        blamable: Collection[str] = ("activation", "gradient"),
    ) -> None:
        """Note that the run diverged in its last epoch, if that had a loss that was not finite, or a gradient that
        broke the weights.

        Args:
            step: optimizer steps done; first_step: before the epoch.
            bad_step: the first of the epoch, counted from 0, whose loss was not finite.
            finite: says whether the weights are.
            blamable: what instruments may blame.
        """
        instruments = list(instruments)
        bad_gradients = [bad for i in instruments if (bad := i.find_nonfinite_step()) is not None]
        bad_steps = bad_gradients + ([] if bad_step is None else [bad_step])
        broken = bad_step is not None or not math.isfinite(val_loss)
        # what clipping by value, say, has made finite again has done no harm
        if not broken and (not bad_gradients or finite()):
            return
        what = "val/loss" if not bad_steps else "train/loss" if bad_step == min(bad_steps) else "gradient"
        self.diverged = {"epoch": len(self.rows), "step": step, "what": what}
        if bad_steps:
            bad = min(bad_steps)
            self.diverged["step"] = first_step + bad + 1
            blamed = [found for i in instruments if (found := i.find_nonfinite_layer(bad))]
            blamed = [found for found in blamed if found[1] in blamable]
            # a broken activation breaks every gradient; not the other way round
            for layer, tensor in sorted(blamed, key=lambda found: found[1] != "activation")[:1]:
                self.diverged |= {"layer": layer.path, "tensor": tensor}

    def draw(self, epoch: int, histograms: Iterable[Histogram], figures: Iterable[tuple[str, "Figure"]] = ()) -> None:
        """Give TensorBoard histograms and figures; where it is not there they are not even asked for."""
        boards = [logger for logger in self.loggers if isinstance(logger, TensorBoard)]
        if not boards:
            return
        for histogram in histograms:
            for board in boards:
                board.log_histogram(histogram, epoch)
        for tag, figure in figures:
            for board in boards:
                board.log_figure(tag, figure, epoch)

    def finish(self) -> None:
        """Tell the loggers what came of the run."""
        status = "diverged" if self.diverged else "completed"
        for logger in self.loggers:
            finish_logger(logger, {**self.hyperparameters, "status": status}, self.compute_statistics())

    def compute_statistics(self) -> dict[str, float | int | None]:
        """The summary statistics of the rows so far, at least one."""
        early = self.layers.compute_early_gradient()
        return summarise_rows(self.rows) | ({} if early is None else {"early_layer_gradient": early})

    def get_state(self, stopped: bool) -> dict[str, Any]:
        """What a checkpoint keeps of it. Writes the tables, which so reach at least as far as the checkpoint."""
        self._write_tables()
        return {"epoch": len(self.rows), "diverged": self.diverged, "stopped": stopped, "taken_up": self.taken_up}

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close(self.rows)
            self._write_tables()

    def _write_tables(self) -> None:
        self.layers.write()
        self.folds.write()
