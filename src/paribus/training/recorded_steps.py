"""Write the optimizer steps of a run to steps.parquet, and show them in TensorBoard."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch.loggers import Logger

from paribus.loggers.tensorboard import TensorBoard
from paribus.record import STEPS, RecordError
from paribus.record.steps import StepsWriter, find_stride

log = logging.getLogger(__name__)
MOST_SHOWN = 1000  # by TensorBoard, of each tag


class RecordedSteps:
    """The steps of one run. A run whose instruments record none has no file.

    Args:
        validated: the validation columns.
        loggers: loggers of the run; TensorBoard shows losses and gradient norms.
        max_epochs: largest number of epochs of the run.
    """

    def __init__(self, directory: Path, validated: Sequence[str], loggers: Sequence[Logger], max_epochs: int):
        self._writer = StepsWriter(directory / STEPS, validated)
        self._boards = [logger for logger in loggers if isinstance(logger, TensorBoard)]
        self._max_epochs = max_epochs
        self._resumed: tuple[int, int] | None = None  # epoch and step up to which the file is still to be read

    def resume(self, epoch: int, step: int) -> None:
        """Go on after `epoch`, which has ended with optimizer step `step`."""
        self._resumed = (epoch, step) if step else None

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Record the n steps of an epoch: arrays (n,) by column of steps.parquet."""
        if self._resumed is not None:
            try:
                self._writer.restore(*self._resumed)
            except RecordError as error:
                log.warning("%s The run continues without it.", error)
                self._writer.abandon()
            self._show(self._writer.rows)  # TensorBoard has dropped them, whose numbers it takes for epochs
            self._resumed = None
        self._writer.add(rows)
        self._show(rows)

    def write(self) -> None:
        """Write all rows so far."""
        self._writer.write()

    def _show(self, rows: Mapping[str, np.ndarray]) -> None:
        if not self._boards or not len(rows["step"]):
            return
        planned = int(self._max_epochs * rows["step"][-1] / rows["epoch"][-1])
        chosen = rows["step"] % find_stride(planned, MOST_SHOWN) == 0
        values = np.stack([rows["train/loss"], rows["grad_norm"]], 1)[chosen]
        for board in self._boards:
            board.log_series(("~by_step/loss", "~by_step/grad_norm"), rows["step"][chosen], values)
