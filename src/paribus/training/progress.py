"""Log the progress of a run: a line for each epoch, and a counter of batches within long epochs."""

import logging
import math
import sys
import time

import lightning
from lightning import Trainer

from paribus.formatting import format_duration
from paribus.training.recorder import Recorder

log = logging.getLogger(__name__)

MIN_INTERVAL_S = 0.5  # between two lines, or two updates of the counter
LOG_INTERVAL_S = 60.0  # between lines within an epoch, where there is no terminal to show a counter


def _logs_to_console() -> bool:
    """Tell whether log lines of this process go to the console; those of a study's worker go to a file alone."""
    handlers = logging.getLogger().handlers
    return any(isinstance(one, logging.StreamHandler) and not isinstance(one, logging.FileHandler) for one in handlers)


class Progress(lightning.Callback):
    """A callback that logs a line for each epoch. Of short epochs some are left out, never the first and the last.

    Within long epochs a terminal shows a counter of batches, if the lines go there too; elsewhere, as in a worker of a
    study, a line is logged every minute. Beside a progress bar of Lightning's it is silent.
    """

    def __init__(self) -> None:
        self._last = -math.inf
        self._next_count = math.inf
        self._silent = False  # next to a progress bar of Lightning's
        self._counts = False  # on the terminal
        self._fit_started = 0.0
        self._first_epoch = 0

    def on_fit_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._silent = trainer.progress_bar_callback is not None
        self._counts = sys.stderr.isatty() and _logs_to_console()

    def on_train_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        self._fit_started = time.monotonic()
        self._first_epoch = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        interval = math.inf if self._silent else 1.0 if self._counts else LOG_INTERVAL_S
        self._next_count = time.monotonic() + interval

    def on_train_batch_end(
        self, trainer: Trainer, learner: lightning.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if now < self._next_count:
            return
        text = f"epoch {trainer.current_epoch + 1}: batch {batch_idx + 1} of {trainer.num_training_batches}"
        if self._counts:
            sys.stderr.write(f"\r{text} \033[K")
            sys.stderr.flush()
            self._next_count = now + MIN_INTERVAL_S
        else:
            log.info(text)
            self._next_count = now + LOG_INTERVAL_S

    def on_train_epoch_end(self, trainer: Trainer, learner: lightning.LightningModule) -> None:
        if self._silent:
            return
        recorder = next(c for c in trainer.callbacks if isinstance(c, Recorder))  # type: ignore[attr-defined]
        assert recorder.recording is not None
        row, now = recorder.recording.rows[-1], time.monotonic()
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        if self._counts and now > self._next_count - MIN_INTERVAL_S:
            sys.stderr.write("\r\033[K")
        if now - self._last < MIN_INTERVAL_S and epoch not in (1, epochs) and not trainer.should_stop:
            return
        self._last = now
        done = epoch - self._first_epoch
        remaining_s = (now - self._fit_started) / done * (epochs - epoch)
        cells = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}"]
        short = list(cells)
        for part in ("train", "val"):
            values = []
            for name, form in (("loss", "{:.4g}"), ("acc", "{:.2%}")):
                value = row.get(f"{part}/{name}")
                if value is not None:
                    values.append(f"{form.format(value):<6}")
                    cells.append(f"{part} {name} {values[-1]}")
            if values:
                short.append(" ".join([part, *values]))
        left = [f"{format_duration(remaining_s)} left"] if epoch < epochs and not trainer.should_stop else []
        rate = f"lr {row['lr']:.3g}"
        full = [*cells, rate, f"{row['epoch_seconds']:.2f} s", *left]
        shorter = ["  ".join([*short, rate, *left]), "  ".join([*short, *left])]
        log.info("  ".join(full), extra={"shorter": shorter})
